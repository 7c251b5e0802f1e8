/* Start steps and relays: values by hand for small networks, alignment on both kinds of chips,
 * chains, sharing, drains. */
#include "unit.h"

#include "passes/attention.h"
#include "passes/depth.h"
#include "passes/pass.h"
#include "passes_fixture.h"

static const struct fx_config tiny = {.channels = 1,
                                      .size = 8,
                                      .stages = 2,
                                      .dim = 8,
                                      .depth = 2,
                                      .heads = 2,
                                      .mlp_ratio = 2,
                                      .timesteps = 4,
                                      .classes = 3,
                                      .scale = 0.125f,
                                      .with_data = false};

static struct ir_module *make(struct fx_config c, struct diag_list *d)
{
    struct pass_context pc = {.diags = d, .verify_each = true};
    struct ir_module *m = fx_tiny(c, 1, d);
    assert_ok(passes_run(&pc, "prepare", &m));
    return m;
}

static void lower(struct ir_module *m, enum ir_attn_lowering l)
{
    for (uint32_t i = 0; i < m->n_nodes; i++)
        if (m->node[i].op == IR_OP_ATTENTION)
            m->node[i].a.attention.lowering = l;
}

static uint32_t start_of(const struct ir_module *m, const uint32_t *start, const char *name)
{
    uint32_t id = ir_find_value(m, name);
    assert_int_not_equal(id, IR_NONE);
    return start[id];
}

static void test_starts(void **state)
{
    struct diag_list d;
    struct tgt t = fx_target(true);
    uint32_t start[256];
    (void)state;
    diag_init(&d);
    struct ir_module *m = make(tiny, &d);
    assert_true(m->n_nodes < 256);
    lower(m, IR_LOWER_PRODUCT);
    assert_ok(depth_compute(m, &t, false, &d, start));
    /* The host writes the first layer's currents: L = 0; then one step per hop. */
    assert_int_equal(start_of(m, start, "patch_embed.stage0.down_lif"), 0);
    assert_int_equal(start_of(m, start, "patch_embed.stage0.block0.lif2"), 2);
    assert_int_equal(start_of(m, start, "patch_embed.stage1.down_lif"), 3);
    assert_int_equal(start_of(m, start, "patch_embed.stage1.block0.lif2"), 5);
    assert_int_equal(start_of(m, start, "block.0.attn.q_lif"), 6);
    assert_int_equal(start_of(m, start, "block.0.attn.attn_lif"), 10); /* q + 4 */
    assert_int_equal(start_of(m, start, "block.0.attn.proj_lif"), 11);
    assert_int_equal(start_of(m, start, "block.0.mlp.fc2_lif"), 13);
    assert_int_equal(start_of(m, start, "block.1.mlp.fc2_lif"), 21);
    assert_int_equal(start_of(m, start, "block.1.out"), 21);
    lower(m, IR_LOWER_EMBEDDED);
    assert_ok(depth_compute(m, &t, false, &d, start));
    assert_int_equal(start_of(m, start, "block.0.attn.attn_lif"), 6 + 8);
    /* Not aligned yet: the check says so where synapses have no delays that long. */
    t.limit[TGT_DELAY].value = 3.0;
    assert_int_equal(depth_compute(m, &t, true, &d, start), SPK_ERR_INTERNAL);
    unit_expect_diag(&d, "starts at step");
    ir_module_destroy(m);

    struct fx_config c = tiny;
    c.events = true; /* injected frames are at 0, the first layer one hop later */
    m = make(c, &d);
    lower(m, IR_LOWER_PRODUCT);
    assert_ok(depth_compute(m, &t, false, &d, start));
    assert_int_equal(start_of(m, start, "patch_embed.stage0.down_lif"), 1);
    ir_module_destroy(m);

    c = tiny;
    c.v1 = true; /* a max-pool is a population of its own */
    m = make(c, &d);
    lower(m, IR_LOWER_PRODUCT);
    assert_ok(depth_compute(m, &t, false, &d, start));
    assert_int_equal(start_of(m, start, "patch_embed.proj_lif1"), 2);
    assert_int_equal(start_of(m, start, "patch_embed.rpe_lif"), 4);
    ir_module_destroy(m);
    diag_fini(&d);
}

struct relays {
    uint32_t n, counts, longest, operands;
};
static struct relays count_relays(const struct ir_module *m)
{
    struct relays r = {0, 0, 0, 0};
    for (uint32_t i = 0; i < m->n_nodes; i++) {
        const struct ir_node *n = &m->node[i];
        if (n->op == IR_OP_DELAY) {
            r.n++;
            r.counts += n->n_operands > 1;
            r.longest = n->a.delay.steps > r.longest ? n->a.delay.steps : r.longest;
        }
        if ((n->op == IR_OP_LINEAR || n->op == IR_OP_CONV2D) && n->n_operands > r.operands)
            r.operands = n->n_operands;
    }
    return r;
}

static struct relays balanced(struct fx_config c, struct tgt *t, const char *pipeline,
                              struct diag_list *d)
{
    struct pass_context pc = {.diags = d, .verify_each = true, .target = t};
    uint32_t start[512];
    struct ir_module *m = make(c, d);
    assert_ok(passes_run(&pc, pipeline, &m));
    assert_true(m->n_nodes < 512);
    assert_ok(depth_compute(m, t, true, d, start));
    struct relays r = count_relays(m);
    ir_module_destroy(m);
    return r;
}

/* Joins with an older and a newest part: one in each stem stage, then attn and mlp of each block;
 * the last join feeds the head only, which the host aligns.                                    */
static void test_relays(void **state)
{
    struct diag_list d;
    struct tgt graded = fx_target(true), binary = fx_target(false);
    (void)state;
    diag_init(&d);
    struct relays r =
        balanced(tiny, &graded, "choose-attention{attention=and_lif},balance-delays", &d);
    /* stage 0, stage 1, then after block 0 attn, block 0 mlp, block 1 attn. */
    assert_int_equal(r.n, 5);
    assert_int_equal(r.counts, 3);
    assert_int_equal(r.operands, 2);
    assert_int_equal(r.longest, 6);
    /* All waits are synaptic delays where those are long enough and cost nothing. */
    r = balanced(tiny, &binary, "choose-attention{attention=and_lif},balance-delays", &d);
    assert_int_equal(r.n, 0);
    assert_int_equal(r.operands, 5);
    /* The stream is read at steps 5, 11, 13, 19. With delays up to 3 and relays every 4 steps at
     * most: down_lif (3) at 7, 11, 15, 19; lif2 (5) at 9, 13, 17; proj0 (11) at 15, 19; fc2_0 (13)
     * at 17. */
    binary.limit[TGT_DELAY].value = 3.0;
    r = balanced(tiny, &binary, "choose-attention{attention=and_lif},balance-delays", &d);
    assert_int_equal(r.n, 4 + 3 + 2 + 1);
    assert_int_equal(r.counts, 0);
    assert_int_equal(r.longest, 4);
    assert_int_equal(r.operands, 5);
    /* Twice changes nothing. */
    r = balanced(tiny, &binary, "choose-attention{attention=and_lif},balance-delays,balance-delays",
                 &d);
    assert_int_equal(r.n, 10);
    /* Where a second copy of the weights leaves room for fewer neurons, relays are cheaper. */
    binary.limit[TGT_DELAY].value = 62.0;
    binary.limit[TGT_NEURONS] = (struct tgt_const){.present = true, .value = 4096.0};
    binary.limit[TGT_SYNAPSE_BITS] = (struct tgt_const){.present = true, .value = 3000.0};
    r = balanced(tiny, &binary, "choose-attention{attention=and_lif},balance-delays", &d);
    assert_true(r.n > 0);
    diag_fini(&d);
}

/* Delays longer than the chip allows are chains of relays. */
static void test_chains(void **state)
{
    struct diag_list d;
    struct tgt graded = fx_target(true);
    (void)state;
    diag_init(&d);
    graded.limit[TGT_DELAY].value = 3.0; /* steps 1..4 */
    struct relays r =
        balanced(tiny, &graded, "choose-attention{attention=embedded},balance-delays", &d);
    /* Waits: 2, 2, then 1 + 8 + 1 = 10 (3 pieces), 2, 10. */
    assert_int_equal(r.longest, 4);
    assert_int_equal(r.n, 1 + 1 + 3 + 1 + 3);
    graded.limit[TGT_DELAY].present = false; /* no limit stated */
    r = balanced(tiny, &graded, "choose-attention{attention=embedded},balance-delays", &d);
    assert_int_equal(r.longest, 10);
    assert_int_equal(r.n, 5);
    diag_fini(&d);
}

static void test_payload(void **state)
{
    struct diag_list d;
    struct tgt graded = fx_target(true);
    struct pass_context pc = {.diags = &d, .target = &graded};
    (void)state;
    diag_init(&d);
    graded.arith.payload_bits = 1; /* counts up to 1 */
    struct ir_module *m = make(tiny, &d);
    assert_int_equal(passes_run(&pc, "choose-attention,balance-delays", &m), SPK_ERR_NOFIT);
    unit_expect_diag(&d, "does not fit the 1 bits of a graded spike");
    ir_module_destroy(m);
    diag_fini(&d);
}

/* What pass choose-attention makes of the tiny model on a target; OPEN where it refuses. */
static enum ir_attn_lowering chosen(struct tgt *t, const char *options, struct diag_list *d)
{
    struct pass_context pc = {.diags = d, .verify_each = true, .target = t};
    enum ir_attn_lowering l = IR_LOWER_OPEN;
    char pipeline[128];
    struct ir_module *m = make(tiny, d);
    snprintf(pipeline, sizeof pipeline, "choose-attention{%s}", options);
    spk_status status = passes_run(&pc, pipeline, &m);
    for (uint32_t i = 0; status == SPK_OK && i < m->n_nodes; i++)
        if (m->node[i].op == IR_OP_ATTENTION)
            l = m->node[i].a.attention.lowering;
    assert_true(status == SPK_OK || status == SPK_ERR_NOFIT);
    ir_module_destroy(m);
    return l;
}

static void test_attention_choice(void **state)
{
    struct diag_list d;
    struct tgt graded = fx_target(true), binary = fx_target(false);
    uint32_t latency;
    (void)state;
    diag_init(&d);
    assert_int_equal(chosen(&graded, "attention=product", &d), IR_LOWER_PRODUCT);
    /* A processor counts as a core, and this is less than four populations. */
    assert_int_equal(chosen(&graded, "attention=auto", &d), IR_LOWER_EMBEDDED);
    /* 8 steps against 4. */
    assert_int_equal(chosen(&graded, "objective=latency", &d), IR_LOWER_PRODUCT);
    assert_int_equal(chosen(&binary, "attention=auto", &d), IR_LOWER_EMBEDDED);
    assert_int_equal(chosen(&binary, "attention=product", &d), IR_LOWER_OPEN);
    unit_expect_diag(&d, "it has no programmable neurons; neurons with two input ports; graded");
    assert_int_equal(chosen(&binary, "attention=serial", &d), IR_LOWER_OPEN);
    unit_expect_diag(&d, "it offers and_lif, embedded");
    assert_int_equal(chosen(&binary, "attention=plastic", &d), IR_LOWER_OPEN);
    unit_expect_diag(&d, "gate leak and bias, for steps of several ticks; learning synapses");
    assert_int_equal(chosen(&binary, "attention=engine", &d), IR_LOWER_OPEN);
    unit_expect_diag(&d, "it has no attention engine cores");
    binary.attention = 0;
    assert_int_equal(chosen(&binary, "attention=auto", &d), IR_LOWER_OPEN);
    unit_expect_diag(&d, "offers no attention lowering");
    /* Plastic synapses: one population and one step, if the weights can count the tokens. */
    graded.attention |= TGT_ATTN_PLASTIC | TGT_ATTN_SERIAL;
    graded.arith.plastic_bits = 8;
    graded.axon_population = true;
    graded.sharing = TGT_SHARE_POPULATION;
    graded.format = (struct tgt_format){64, 64, 10, 0, 6, 12};
    assert_int_equal(chosen(&graded, "attention=auto", &d), IR_LOWER_PLASTIC);
    assert_int_equal(chosen(&graded, "attention=serial", &d), IR_LOWER_SERIAL);
    graded.arith.plastic_bits = 2; /* 4 tokens */
    assert_int_equal(chosen(&graded, "attention=plastic", &d), IR_LOWER_OPEN);
    unit_expect_diag(&d, "its tokens exceed the largest plastic weight");
    assert_int_equal(chosen(&graded, "attention=auto", &d), IR_LOWER_EMBEDDED);
    /* Latencies. */
    assert_ok(depth_attention_latency(&graded, IR_LOWER_PRODUCT, &d, &latency));
    assert_int_equal(latency, 4);
    assert_ok(depth_attention_latency(&graded, IR_LOWER_EMBEDDED, &d, &latency));
    assert_int_equal(latency, 8);
    assert_ok(depth_attention_latency(&graded, IR_LOWER_SERIAL, &d, &latency));
    assert_int_equal(latency, 2);
    assert_ok(depth_attention_latency(&graded, IR_LOWER_PLASTIC, &d, &latency));
    assert_int_equal(latency, 1);
    assert_int_equal(depth_attention_latency(&graded, IR_LOWER_ENGINE, &d, &latency),
                     SPK_ERR_NOFIT);
    assert_int_equal(depth_attention_latency(&graded, IR_LOWER_OPEN, &d, &latency), SPK_ERR_INPUT);
    unit_expect_diag(&d, "run pass choose-attention first");
    diag_fini(&d);
}

/* Cores by hand, ticks. */
static void test_attention_costs(void **state)
{
    struct tgt t = fx_target(true);
    struct attn_candidate c[ATTN_LOWERINGS];
    struct attn_shape s = {.tokens = 49, .channels = 64, .heads = 4, .distinct = true};
    uint32_t heads, columns;
    (void)state;
    t.attention = 63;
    t.arith.plastic_bits = 8;
    t.axon_population = true;
    t.sharing = TGT_SHARE_CONVOLUTION;
    t.format = (struct tgt_format){64, 64, 10, 0, 6, 13};
    t.limit[TGT_NEURONS] = (struct tgt_const){.present = true, .value = 1024};
    t.limit[TGT_SYNAPSE_BITS] = (struct tgt_const){.present = true, .value = 1048576};
    t.limit[TGT_IN_AXONS] = (struct tgt_const){.present = true, .value = 4096};
    t.engine = (struct tgt_engine){4, 1 << 16, 64, 100000, 2};
    attn_candidates(&t, &s, c);
    /* (1024 - 64) / 64 = 15 tokens a core beside the teachers: 4 tiles of 64 channels. */
    assert_int_equal(c[4].lowering, IR_LOWER_PLASTIC);
    assert_true(c[4].reason == NULL && c[4].cores >= 4 && c[4].cores <= 4);
    assert_int_equal(c[4].ticks, 50);
    assert_int_equal(c[3].lowering, IR_LOWER_SERIAL);
    assert_true(c[3].reason == NULL);
    /* accumulators 4 * 256 on 1 core, relay 49 * 64 on 4, attn_lif 4 */
    assert_true(c[3].cores >= 9 && c[3].cores <= 9);
    assert_int_equal(c[3].ticks, 49);
    /* and_lif refuses 49 tokens */
    assert_non_null(c[0].reason);
    /* An engine: 3 * 49 * 16 + 16 * 16 * 6 + 49 * 16 * 24 = 22,704 bits a head: two fit. */
    assert_int_equal(attn_engine_bits(&t, &s, 1, 16), 22704);
    assert_true(attn_engine_task(&t, &s, &heads, &columns));
    assert_int_equal(heads, 2);
    assert_int_equal(columns, 16);
    assert_true(c[5].cores >= 2 && c[5].cores <= 2);
    /* 16 * 16 words and 49 * 16 * (16 + 1) additions a head */
    assert_int_equal(attn_engine_words(&t, &s, 2, 16), 2 * 256);
    assert_int_equal(attn_engine_adds(&s, 2, 16), 2 * 13328);
    t.engine.ops_per_step = 2 * 13584 - 1; /* one head only */
    assert_true(attn_engine_task(&t, &s, &heads, &columns));
    assert_int_equal(heads, 1);
    t.engine.ops_per_step = 100000;
    /* (q k^T) v: 49 * 49 words, 49 * 16 * 50 additions; a row of 49 counts of 5 bits instead of A
     */
    s.order = IR_ATTN_QK_FIRST;
    assert_int_equal(attn_engine_words(&t, &s, 1, 16), 2401);
    assert_int_equal(attn_engine_adds(&s, 1, 16), 39200);
    assert_int_equal(attn_engine_bits(&t, &s, 1, 16), 22704 - 1536 + 245);
    s.order = IR_ATTN_KV_FIRST;
    t.engine.memory_bits = 10000; /* 49 * (32 + 4) + 16 * 4 * 6 + 49 * 4 * 24 = 6,852: 4 columns */
    assert_true(attn_engine_task(&t, &s, &heads, &columns));
    assert_int_equal(heads, 1);
    assert_int_equal(columns, 4);
    t.engine.memory_bits = 100;
    assert_false(attn_engine_task(&t, &s, &heads, &columns));
    s.distinct = false;
    attn_candidates(&t, &s, c);
    assert_non_null(c[4].reason);
    assert_non_null(c[3].reason);
    assert_null(c[2].reason);
}

static void test_drain(void **state)
{
    (void)state;
    assert_int_equal(depth_drain(24, 2048), 23);
    assert_int_equal(depth_drain(24, 4096), 1);
    assert_int_equal(depth_drain(2, 2048), 1);
    assert_int_equal(depth_drain(24, 0), UINT32_MAX);
    /* decay 1: slow, but it ends because truncation takes at least one unit. */
    int64_t v = 127;
    uint32_t steps = 0;
    while (v) {
        v = (v * 4095) >> 12;
        steps++;
    }
    assert_int_equal(depth_drain(8, 1), steps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_starts),
        cmocka_unit_test(test_relays),
        cmocka_unit_test(test_chains),
        cmocka_unit_test(test_payload),
        cmocka_unit_test(test_attention_choice),
        cmocka_unit_test(test_attention_costs),
        cmocka_unit_test(test_drain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
