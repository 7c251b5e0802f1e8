/* The papers' energy figure on a network small enough to count by hand, its rules for passed-on,
 * summed and unknown rates, and the published anchors. All manifests: tests/golden.            */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "runtime/paper_energy.h"
#include "support/alloc.h"
#include "support/fault.h"

static void check(spk_status status, struct diag_list *d)
{
    if (status != SPK_OK) {
        struct strbuf text = {0};

        diag_render(d, NULL, &text);
        print_error("status %s\n%s\n", spk_status_name(status), strbuf_cstr(&text));
        strbuf_fini(&text);
    }
    assert_int_equal(status, SPK_OK);
}

static bool close_to(double a, double b)
{
    return fabs(a - b) <= 1e-12 * fabs(b);
}

struct net {
    struct ir_module *m;
    struct diag_list d;
    uint32_t input, s0, pool, sum, s1, q, k, v;
};

static uint32_t add(struct net *n, struct ir_node node)
{
    uint32_t id = 0;

    check(ir_add_node(n->m, &node, &n->d, &id), &n->d);
    return id;
}

static uint32_t param(struct net *n, const char *name, uint32_t rank, uint32_t a, uint32_t b,
                      uint32_t k)
{
    struct ir_param p = {name, IR_DT_F32, rank, {a, b, k, k}, NULL, spk_span_none, false};
    uint32_t id = 0;

    check(ir_add_param(n->m, &p, &id), &n->d);
    return id;
}

static uint32_t neuron(struct net *n, uint32_t x, const char *name)
{
    static const struct ir_eq v = {IR_EQ_STATE, 0, 0}, in = {IR_EQ_INPUT, 0, 0};
    struct ir_neuron lif = {.name = "n",
                            .n_states = 1,
                            .state_name = {"v"},
                            .charge = {{&in, 1}},
                            .fire_lhs = {&v, 1},
                            .fire_rhs = {&v, 1}};
    uint32_t id = 0;

    check(ir_add_neuron(n->m, &lif, &id), &n->d);
    return add(n, (struct ir_node){.op = IR_OP_NEURON,
                                   .n_operands = 1,
                                   .operand = &x,
                                   .name = name,
                                   .recorded = true,
                                   .a.neuron.program = id});
}

static uint32_t token_layer(struct net *n, uint32_t x, const char *weight, const char *name)
{
    uint32_t w = param(n, weight, 2, 4, 4, 0);

    x = add(n, (struct ir_node){
                   .op = IR_OP_LINEAR, .n_operands = 1, .operand = &x, .n_params = 1, .param = &w});
    return neuron(n, x, name);
}

/* T = 3: conv 2 -> 4, k3 on 4x4; LIF; [pool to 2x2]; conv 4 -> 4, k1; LIF; sum; q, k, v;
 * attention of 2 heads; mean; 5 classes.                                                     */
static void build(struct net *n, bool events, bool pooled)
{
    uint32_t x, w, xy[2], qkv[3], p[2];

    *n = (struct net){0};
    diag_init(&n->d);
    check(ir_module_create("e", &n->m), &n->d);
    n->m->timesteps = 3;
    n->input = x = add(
        n, (struct ir_node){.op = IR_OP_INPUT,
                            .name = "image",
                            .a.input.events = events,
                            .type = {.layout = IR_CHW, .channels = 2, .height = 4, .width = 4}});
    if (!events)
        x = add(
            n, (struct ir_node){.op = IR_OP_REPEAT, .n_operands = 1, .operand = &x, .a.repeat = 3});
    w = param(n, "first.weight", 4, 4, 2, 3);
    x = add(n, (struct ir_node){.op = IR_OP_CONV2D,
                                .n_operands = 1,
                                .operand = &x,
                                .n_params = 1,
                                .param = &w,
                                .a.conv = {3, 3, 1, 1, 1, 1, 0}});
    n->s0 = x = neuron(n, x, "s0");
    n->pool = IR_NONE;
    if (pooled)
        n->pool = x =
            add(n, (struct ir_node){
                       .op = IR_OP_MAXPOOL, .n_operands = 1, .operand = &x, .a.pool = {3, 2, 1}});
    xy[0] = x;
    w = param(n, "second.weight", 4, 4, 4, 1);
    x = add(n, (struct ir_node){.op = IR_OP_CONV2D,
                                .n_operands = 1,
                                .operand = &x,
                                .n_params = 1,
                                .param = &w,
                                .a.conv = {1, 1, 1, 1, 0, 0, 0}});
    n->s1 = xy[1] = neuron(n, x, "s1");
    n->sum = x = add(n, (struct ir_node){.op = IR_OP_ADD, .n_operands = 2, .operand = xy});
    x = add(n, (struct ir_node){
                   .op = IR_OP_RESHAPE, .n_operands = 1, .operand = &x, .a.reshape.to = IR_CN});
    n->q = qkv[0] = token_layer(n, x, "q.weight", "q_lif");
    n->k = qkv[1] = token_layer(n, x, "k.weight", "k_lif");
    n->v = qkv[2] = token_layer(n, x, "v.weight", "v_lif");
    x = add(n, (struct ir_node){.op = IR_OP_ATTENTION,
                                .n_operands = 3,
                                .operand = qkv,
                                .a.attention = {2, 0.125f, IR_ATTN_QK_FIRST, 0}});
    x = neuron(n, x, "attn_lif");
    x = add(n, (struct ir_node){.op = IR_OP_MEAN, .n_operands = 1, .operand = &x});
    p[0] = param(n, "head.weight", 2, 5, 4, 0);
    p[1] = param(n, "head.bias", 1, 5, 0, 0);
    x = add(n, (struct ir_node){
                   .op = IR_OP_LINEAR, .n_operands = 1, .operand = &x, .n_params = 2, .param = p});
    (void)add(n, (struct ir_node){.op = IR_OP_OUTPUT, .n_operands = 1, .operand = &x});
}

static void finish(struct net *n)
{
    ir_module_destroy(n->m);
    diag_fini(&n->d);
}

static void fill(const struct net *n, double *rate)
{
    for (uint32_t i = 0; i < n->m->n_nodes; i++)
        rate[i] = (double)NAN;
    rate[n->s0] = 0.5;
    rate[n->s1] = 0.25;
    rate[n->q] = 0.125;
    rate[n->k] = 0.0625;
    rate[n->v] = 0.25;
}

static void by_hand(void **state)
{
    struct net n;
    struct paper_energy p;
    double rate[64];

    (void)state;
    build(&n, false, false);
    fill(&n, rate);
    check(paper_energy_compute(n.m, rate, &n.d, &p), &n.d);
    assert_int_equal(p.n_ops, 6);
    assert_string_equal(p.op[0].name, "first");
    assert_string_equal(p.op[2].name, "q");
    assert_string_equal(p.op[5].name, "attn_lif");
    assert_true(p.op[0].macs == 4 * 16 * 2 * 9 && !p.op[0].spike);
    assert_true(p.op[1].macs == 4 * 16 * 4 && p.op[1].spike);
    assert_true(close_to(p.op[1].sops, 0.5 * 3 * 256));
    assert_true(close_to(p.op[2].sops, 0.75 * 3 * 256)); /* the sum's rate: 0.5 + 0.25 */
    assert_true(p.op[5].macs == 2 * 2 * 16 * 2 * 2);
    assert_true(close_to(p.op[5].sops, 3 * 128 * (0.0625 + 0.125)));
    assert_int_equal(p.macs_per_step, 1152 + 256 * 4 + 256);
    assert_int_equal(p.macs_float, 3 * 1152 + 5 * 5);
    assert_true(close_to(p.sops, 384 + 3 * 576 + 72));
    assert_true(close_to(p.energy_mj, (4.6 * 3481 + 0.9 * 2184) * 1e-9));
    assert_int_equal(p.first_unknown, IR_NONE);
    paper_energy_fini(&p);
    finish(&n);
}

/* Event frames are spikes: no MACs in float but the head's; the input's rate is needed. */
static void events_and_unknowns(void **state)
{
    struct net n;
    struct paper_energy p;
    double rate[64];

    (void)state;
    build(&n, true, true);
    fill(&n, rate);
    check(paper_energy_compute(n.m, rate, &n.d, &p), &n.d);
    assert_true(isnan(p.energy_mj) && isnan(p.sops));
    assert_int_equal(p.first_unknown, n.input);
    paper_energy_fini(&p);
    rate[n.input] = 1.5;
    check(paper_energy_compute(n.m, rate, &n.d, &p), &n.d);
    assert_true(isnan(p.energy_mj));
    assert_int_equal(p.first_unknown, n.pool); /* not that of s0 */
    assert_true(close_to(p.op[0].sops, 1.5 * 3 * 1152));
    paper_energy_fini(&p);
    rate[n.pool] = 0.75;
    check(paper_energy_compute(n.m, rate, &n.d, &p), &n.d);
    assert_int_equal(p.first_unknown, IR_NONE);
    assert_int_equal(p.macs_float, 25);
    assert_true(close_to(p.op[1].sops, 0.75 * 3 * 64));
    assert_true(close_to(p.op[2].sops, 1.0 * 3 * 64));
    paper_energy_fini(&p);
    rate[n.k] = (double)NAN; /* the smaller of k and v is not known then */
    check(paper_energy_compute(n.m, rate, &n.d, &p), &n.d);
    assert_true(isnan(p.op[5].sops) && isnan(p.energy_mj));
    paper_energy_fini(&p);
    n.m->stage = IR_STAGE_LOWERED;
    assert_int_equal(paper_energy_compute(n.m, rate, &n.d, &p), SPK_ERR_INTERNAL);
    paper_energy_fini(&p);
    finish(&n);
}

/* VSA of one step of 8-512: 77e6 operations; SSA: 5.5e6. */
static void published_anchors(void **state)
{
    (void)state;
    assert_true(fabs(77e6 * PAPER_PJ_MAC * 1e-6 - 354.2) < 0.05);
    assert_true(fabs(5.5e6 * PAPER_PJ_SOP * 1e-6 - 4.95) < 0.005);
}

static void measured_rates(void **state)
{
    struct net n;
    double sum[64] = {0}, rate[64];

    (void)state;
    build(&n, false, false);
    sum[n.s0] = 96;     /* of 2 images, 3 steps, 64 neurons */
    sum[n.input] = -16; /* of 2 images, one frame of 32 */
    paper_energy_rates(n.m, sum, 2, rate);
    assert_true(close_to(rate[n.s0], 0.25));
    assert_true(close_to(rate[n.input], -0.25));
    finish(&n);
}

static void out_of_memory(void **state)
{
    struct net n;
    double rate[64];
    uint64_t k;

    (void)state;
    if (!spk_fault_available())
        skip();
    build(&n, false, false);
    fill(&n, rate);
    for (k = 1;; k++) {
        struct paper_energy p;
        spk_status status;

        spk_fault_arm(SPK_FAULT_ALLOC, k);
        status = paper_energy_compute(n.m, rate, NULL, &p);
        paper_energy_fini(&p);
        if (!spk_fault_disarm(SPK_FAULT_ALLOC)) {
            assert_int_equal(status, SPK_OK);
            break;
        }
        assert_int_equal(status, SPK_ERR_NOMEM);
    }
    assert_int_equal(k, 10); /* three arrays, six names */
    finish(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_hand),           cmocka_unit_test(events_and_unknowns),
        cmocka_unit_test(published_anchors), cmocka_unit_test(measured_rates),
        cmocka_unit_test(out_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
