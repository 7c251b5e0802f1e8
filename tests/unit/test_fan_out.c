/* Pass fan-out: a relay where it saves cores and nowhere else, one step later, once. */
#include "unit.h"

#include "passes/depth.h"
#include "passes/pass.h"
#include "passes_fixture.h"

static const struct fx_config tiny = {.channels = 1,
                                      .size = 16,
                                      .stages = 2,
                                      .dim = 32,
                                      .depth = 1,
                                      .heads = 2,
                                      .mlp_ratio = 2,
                                      .timesteps = 2,
                                      .classes = 3,
                                      .scale = 0.125f,
                                      .with_data = false};

/* Stage 1: 4 x 4 positions; lif1 has 128 channels of 32 x 9 synapses, lif2 32 of 128 x 9. With
 * 20,000 bits a core holds 8 channels of lif1 and one or two of lif2, so its spikes go to 16 cores
 * or more. */
static struct tgt target(double slots)
{
    struct tgt t = fx_target(true);
    t.axon_population = true;
    t.sharing = TGT_SHARE_CONVOLUTION;
    t.pop16_slots = t.pop32_slots = 1;
    t.format = (struct tgt_format){64, 64, 10, 0, 6, 13};
    t.limit[TGT_NEURONS] = (struct tgt_const){.present = true, .value = 1024};
    t.limit[TGT_ATOMS] = (struct tgt_const){.present = true, .value = 512};
    t.limit[TGT_SYNAPSE_BITS] = (struct tgt_const){.present = true, .value = 20000};
    t.limit[TGT_OUT_AXONS] = (struct tgt_const){.present = true, .value = slots};
    return t;
}

static struct ir_module *prepared(struct tgt *t, const char *pipeline, struct diag_list *d)
{
    struct pass_context pc = {.diags = d, .verify_each = true, .target = t};
    struct ir_module *m = fx_tiny(tiny, 1, d);
    assert_ok(passes_run(&pc, "prepare,choose-attention{attention=embedded}", &m));
    assert_ok(passes_run(&pc, pipeline, &m));
    return m;
}

static uint32_t relays(const struct ir_module *m)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->n_nodes; i++)
        n += m->node[i].op == IR_OP_DELAY;
    return n;
}

static uint32_t start_of(const struct ir_module *m, const struct tgt *t, const char *name,
                         struct diag_list *d)
{
    uint32_t start[512];
    const uint32_t id = ir_find_value(m, name);
    assert_int_not_equal(id, IR_NONE);
    assert_true(m->n_nodes < 512);
    assert_ok(depth_compute(m, t, false, d, start));
    return start[id];
}

static void test_where_it_pays(void **state)
{
    static const char lif1[] = "patch_embed.stage1.block0.lif1";
    static const char lif2[] = "patch_embed.stage1.block0.lif2";
    struct diag_list d;
    struct tgt few = target(48), many = target(1e6);
    (void)state;
    diag_init(&d);
    struct ir_module *without = prepared(&many, "fan-out", &d); /* slots for everybody */
    assert_int_equal(relays(without), 0);
    struct ir_module *m = prepared(&few, "fan-out", &d);
    const uint32_t id = ir_find_value(m, lif1);
    uint32_t found = 0;
    for (uint32_t i = 0; i < m->n_nodes; i++) {
        const struct ir_node *n = &m->node[i];
        for (uint32_t k = 0; k < n->n_operands; k++) {
            if (n->operand[k] != id)
                continue;
            assert_int_equal(n->op, IR_OP_DELAY); /* nothing else reads it any more */
            assert_int_equal(n->a.delay.steps, 1);
            assert_int_equal(n->n_operands, 1);
            found++;
        }
    }
    assert_int_equal(found, 1);
    assert_int_equal(start_of(m, &few, lif2, &d) - start_of(m, &few, lif1, &d), 2);
    assert_int_equal(start_of(without, &few, lif2, &d) - start_of(without, &few, lif1, &d), 1);
    ir_module_destroy(m);
    ir_module_destroy(without);
    diag_fini(&d);
}

static void test_once(void **state)
{
    struct diag_list d;
    struct tgt t = target(48);
    (void)state;
    diag_init(&d);
    struct ir_module *m = prepared(&t, "fan-out", &d);
    struct ir_module *twice = prepared(&t, "fan-out,fan-out", &d);
    assert_true(relays(m) > 0);
    assert_int_equal(relays(m), relays(twice));
    ir_module_destroy(m);
    ir_module_destroy(twice);
    /* What the residual stream waits for in addition is balanced after it. */
    m = prepared(&t, "fan-out,balance-delays", &d);
    uint32_t start[512];
    assert_true(m->n_nodes < 512);
    assert_ok(depth_compute(m, &t, true, &d, start));
    ir_module_destroy(m);
    /* Axons of single neurons: a relay would have as many entries. */
    t.axon_population = false;
    m = prepared(&t, "fan-out", &d);
    assert_int_equal(relays(m), 0);
    ir_module_destroy(m);
    diag_fini(&d);
}

/* Steps before cores: no relays. */
static void test_not_for_latency(void **state)
{
    static const char *const objectives[2] = {"cores", "latency"};
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct diag_list d;
        struct tgt t = target(48);
        struct pass_context pc = {.diags = &d, .target = &t};
        diag_init(&d);
        struct ir_module *m = fx_tiny(tiny, 1, &d);
        assert_ok(passes_compile_pipeline(&pc, PASSES_BALANCED, "embedded", objectives[i], &m));
        uint32_t n = 0;
        for (uint32_t k = 0; k < m->n_nodes; k++)
            n += m->node[k].name != NULL && strncmp(m->node[k].name, "fan_out.", 8) == 0;
        assert_int_equal(n > 0, i == 0);
        ir_module_destroy(m);
        diag_fini(&d);
    }
}

static spk_status relay_copy(const struct ir_module *base)
{
    struct tgt t = target(48);
    struct pass_context pc = {.target = &t};
    struct ir_module *m = NULL;
    spk_status status = ir_module_clone(base, false, &m);
    if (status == SPK_OK)
        status = passes_run(&pc, "fan-out", &m);
    ir_module_destroy(m);
    return status;
}

static void test_out_of_memory(void **state)
{
    struct diag_list d;
    struct tgt t = target(48);
    spk_status status;
    (void)state;
    diag_init(&d);
    struct ir_module *base = prepared(&t, "dce", &d);
    for_each_failing_alloc(status, status = relay_copy(base));
    ir_module_destroy(base);
    diag_fini(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_where_it_pays), cmocka_unit_test(test_once),
        cmocka_unit_test(test_not_for_latency), cmocka_unit_test(test_out_of_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
