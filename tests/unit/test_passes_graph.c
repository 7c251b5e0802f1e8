/* What the float passes do to the graph: where repeat ends up, what is merged and dropped, folded
 * numbers, summands after lowering, refusals. That the numbers stay is tests/exec's business. */
#include "unit.h"

#include <math.h>

#include "passes/pass.h"
#include "passes_fixture.h"

static const struct fx_config tiny = {.channels = 2,
                                      .size = 8,
                                      .stages = 2,
                                      .dim = 8,
                                      .depth = 2,
                                      .heads = 2,
                                      .mlp_ratio = 2,
                                      .timesteps = 3,
                                      .classes = 3,
                                      .scale = 0.125f,
                                      .with_data = true};

static uint32_t count(const struct ir_module *m, enum ir_op op)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->n_nodes; i++)
        n += m->node[i].op == op;
    return n;
}

static struct ir_module *after(const char *pipeline, struct diag_list *d)
{
    struct pass_context c = {.diags = d, .verify_each = true};
    struct ir_module *m = fx_tiny(tiny, 7, d);
    assert_ok(passes_run(&c, pipeline, &m));
    return m;
}

static void test_hoist(void **state)
{
    struct diag_list d;
    (void)state;
    diag_init(&d);
    struct ir_module *m = after("hoist-constant", &d);
    assert_int_equal(count(m, IR_OP_REPEAT), 1);
    uint32_t first = ir_find_value(m, "patch_embed.stage0.down_lif");
    const struct ir_node *repeat = &m->node[m->node[first].operand[0]];
    assert_int_equal(repeat->op, IR_OP_REPEAT);
    assert_int_equal(repeat->type.timesteps, 3);
    const struct ir_node *bn = &m->node[repeat->operand[0]];
    assert_int_equal(bn->op, IR_OP_BATCHNORM);
    assert_int_equal(bn->type.timesteps, 1);
    ir_module_destroy(m);
    diag_fini(&d);
}

/* Two equal chains of unnamed values, and equal neurons of which the later one is recorded. */
static void test_cse_and_dce(void **state)
{
    struct diag_list d;
    struct pass_context c = {.diags = &d, .verify_each = true};
    struct fx f = {.d = &d, .c = tiny};
    (void)state;
    diag_init(&d);
    assert_ok(ir_module_create("twins", &f.m));
    f.m->timesteps = 3;
    f.lif = fx_neuron(&f, 2.0f, 1.0f);
    uint32_t x = fx_input(&f), pair[2], w = fx_param(&f, "w", 4, 3, 2, 1);
    struct ir_node conv = {.op = IR_OP_CONV2D};
    conv.a.conv = (struct ir_attr_conv){.kernel_h = 1, .kernel_w = 1, .stride_h = 1, .stride_w = 1};
    for (int i = 0; i < 2; i++) {
        struct ir_node n = {.op = IR_OP_NEURON, .name = i ? "b_lif" : NULL, .recorded = i};
        uint32_t y = fx_node(&f, conv, &x, 1, &w, 1);
        n.a.neuron.program = f.lif;
        pair[i] = fx_node(&f, n, &y, 1, NULL, 0);
    }
    (void)fx_add(&f, pair[0], pair[1], "sum");
    conv.a.conv.kernel_w = 1;
    conv.a.conv.pad_w = 1; /* not equal, and nobody needs it */
    (void)fx_node(&f, conv, &x, 1, &w, 1);
    assert_ok(passes_run(&c, "cse", &f.m));
    assert_int_equal(count(f.m, IR_OP_CONV2D), 1);
    assert_int_equal(count(f.m, IR_OP_NEURON), 1);
    uint32_t id = ir_find_value(f.m, "b_lif");
    assert_int_not_equal(id, IR_NONE);
    assert_true(f.m->node[id].recorded);
    const struct ir_node *sum = &f.m->node[ir_find_value(f.m, "sum")];
    assert_int_equal(sum->operand[0], id);
    assert_int_equal(sum->operand[1], id);
    assert_int_equal(sum->type.bound, 2);
    ir_module_destroy(f.m);

    /* Two recorded twins both stay. */
    struct ir_module *m = after("cse", &d);
    struct ir_module *n = fx_tiny(tiny, 7, &d);
    assert_int_equal(count(m, IR_OP_NEURON), count(n, IR_OP_NEURON));
    ir_module_destroy(n);
    ir_module_destroy(m);
    diag_fini(&d);
}

static const float *data_of(const struct ir_module *m, const char *name)
{
    uint32_t id = ir_find_param(m, name);
    assert_int_not_equal(id, IR_NONE);
    assert_non_null(m->param[id].data);
    return m->param[id].data;
}

static void test_fold(void **state)
{
    struct diag_list d;
    (void)state;
    diag_init(&d);
    struct ir_module *a = fx_tiny(tiny, 7, &d);
    struct ir_module *b = after("fold-batchnorm", &d);
    assert_int_equal(count(b, IR_OP_BATCHNORM), 0);
    assert_int_equal(ir_find_param(b, "block.0.attn.q_bn.weight"), IR_NONE);
    /* With a bias of its own, and without. */
    const char *const convs[] = {"block.0.mlp.fc1_conv", "block.0.attn.q_conv"};
    const char *const bns[] = {"block.0.mlp.fc1_bn", "block.0.attn.q_bn"};
    for (int i = 0; i < 2; i++) {
        char name[80];
#define DATA(m, prefix, suffix) \
    (snprintf(name, sizeof name, "%s." suffix, prefix), data_of(m, name))
        const float *w = DATA(a, convs[i], "weight"), *gamma = DATA(a, bns[i], "weight"),
                    *beta = DATA(a, bns[i], "bias"), *mean = DATA(a, bns[i], "running_mean"),
                    *var = DATA(a, bns[i], "running_var"), *fw = DATA(b, convs[i], "weight"),
                    *fb = DATA(b, convs[i], "bias");
        const float *bias = i ? NULL : DATA(a, convs[i], "bias");
#undef DATA
        for (uint32_t c = 0; c < 8; c++) {
            double scale = (double)gamma[c] / sqrt((double)var[c]);
            for (uint32_t k = 0; k < 8; k++)
                assert_true((double)fw[c * 8 + k] == scale * (double)w[c * 8 + k]);
            double in = (bias ? (double)bias[c] : 0.0) - (double)mean[c];
            assert_true((double)fb[c] == (double)beta[c] + scale * in);
        }
    }
    ir_module_destroy(a);
    ir_module_destroy(b);

    /* Without data the shapes still fold. */
    struct pass_context c = {.diags = &d, .verify_each = true};
    struct fx_config empty = tiny;
    empty.with_data = false;
    struct ir_module *m = fx_tiny(empty, 7, &d);
    assert_ok(passes_run(&c, "prepare", &m));
    assert_null(m->param[ir_find_param(m, "block.0.attn.q_conv.bias")].data);
    ir_module_destroy(m);
    diag_fini(&d);
}

static const struct ir_node *projection_of(const struct ir_module *m, const char *neuron)
{
    uint32_t id = ir_find_value(m, neuron);
    assert_int_not_equal(id, IR_NONE);
    return &m->node[m->node[id].operand[0]];
}

static void test_lower(void **state)
{
    struct diag_list d;
    (void)state;
    diag_init(&d);
    struct ir_module *m = after("prepare", &d);
    assert_int_equal(m->stage, IR_STAGE_LOWERED);
    assert_int_equal(projection_of(m, "patch_embed.stage1.down_lif")->n_operands, 2);
    assert_int_equal(projection_of(m, "block.0.attn.k_lif")->n_operands, 2);
    assert_int_equal(projection_of(m, "block.0.mlp.fc1_lif")->n_operands, 3);
    assert_int_equal(projection_of(m, "block.1.mlp.fc1_lif")->n_operands, 5);
    assert_int_equal(projection_of(m, "block.1.mlp.fc2_lif")->n_operands, 1);
    /* Sums survive only where they are recorded. */
    assert_int_equal(count(m, IR_OP_ADD), 1 + 2 * 2);
    assert_int_equal(m->node[ir_find_value(m, "block.1.out")].n_operands, 6);
    assert_int_equal(m->node[ir_find_value(m, "block.1.out")].type.bound, 6);
    assert_int_equal(count(m, IR_OP_MEAN), 0);
    const struct ir_node *head = &m->node[ir_find_value(m, "head")];
    assert_int_equal(head->op, IR_OP_READOUT);
    assert_int_equal(head->n_operands, 6);
    assert_int_equal(head->a.readout.divisor, 2 * 2 * 3);
    assert_int_equal(head->n_params, 2);
    /* 4 tokens, 4 channels per head: a tie goes to k first. */
    for (uint32_t i = 0; i < m->n_nodes; i++)
        if (m->node[i].op == IR_OP_ATTENTION)
            assert_int_equal(m->node[i].a.attention.order, IR_ATTN_KV_FIRST);
    ir_module_destroy(m);
    diag_fini(&d);
}

static void refuse_lower(uint32_t (*build)(struct fx *f, uint32_t spikes, uint32_t current),
                         const char *message)
{
    struct diag_list d;
    struct pass_context c = {.diags = &d};
    struct fx_config events = tiny;
    diag_init(&d);
    events.events = true;
    struct fx f = {.d = &d, .c = events};
    assert_ok(ir_module_create("odd", &f.m));
    f.m->timesteps = 3;
    f.lif = fx_neuron(&f, 2.0f, 1.0f);
    uint32_t x = fx_input(&f), w = fx_param(&f, "w", 4, 2, 2, 1);
    struct ir_node conv = {.op = IR_OP_CONV2D};
    conv.a.conv = (struct ir_attr_conv){.kernel_h = 1, .kernel_w = 1, .stride_h = 1, .stride_w = 1};
    uint32_t current = fx_node(&f, conv, &x, 1, &w, 1);
    uint32_t spikes = fx_lif(&f, current, "a_lif", f.lif);
    (void)build(&f, spikes, current);
    assert_int_equal(passes_run(&c, "lower", &f.m), SPK_ERR_NOFIT);
    unit_expect_diag(&d, message);
    ir_module_destroy(f.m);
    diag_fini(&d);
}

static uint32_t pool_of_sum(struct fx *f, uint32_t spikes, uint32_t current)
{
    struct ir_node n = {.op = IR_OP_MAXPOOL};
    uint32_t sum = fx_add(f, spikes, spikes, "sum");
    (void)current;
    n.a.pool = (struct ir_attr_pool){2, 2, 0};
    return fx_node(f, n, &sum, 1, NULL, 0);
}

static uint32_t membrane_shortcut(struct fx *f, uint32_t spikes, uint32_t current)
{
    (void)spikes;
    uint32_t sum = fx_add(f, current, current, NULL); /* of projections: allowed */
    return fx_lif(f, fx_add(f, current, sum, NULL), "b_lif", f->lif);
}

static uint32_t lone_mean(struct fx *f, uint32_t spikes, uint32_t current)
{
    struct ir_node mean = {.op = IR_OP_MEAN}, out = {.op = IR_OP_OUTPUT, .name = "logits"};
    (void)current;
    uint32_t x = fx_node(f, mean, &spikes, 1, NULL, 0);
    return fx_node(f, out, &x, 1, NULL, 0);
}

static uint32_t current_batchnorm(struct fx *f, uint32_t spikes, uint32_t current)
{
    (void)current;
    return fx_lif(f, fx_bn(f, spikes, "lone_bn"), "b_lif", f->lif);
}

static void test_refusals(void **state)
{
    (void)state;
    refuse_lower(pool_of_sum, "max-pooling of a sum of spikes is no OR");
    refuse_lower(membrane_shortcut, "a sum of currents cannot be mapped");
    refuse_lower(lone_mean, "other than by the linear head");
    refuse_lower(current_batchnorm, "batch norm has no conv2d or linear before it");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hoist),    cmocka_unit_test(test_cse_and_dce),
        cmocka_unit_test(test_fold),     cmocka_unit_test(test_lower),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
