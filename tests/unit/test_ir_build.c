/* Building modules: the op table, look-up, deduplication, clones, inference and its messages,
 * memory failures. */
#include <stdio.h>

#include "ir_random.h"

#include "ir/ir_text.h"
#include "support/alloc.h"
#include "support/fault.h"

static void test_op_table(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < IR_OP_COUNT; i++) {
        const struct ir_op_info *a = ir_op_info((enum ir_op)i);
        assert_true(a->min_operands <= a->max_operands && a->min_params <= a->max_params);
        for (uint32_t j = 0; j < i; j++)
            assert_string_not_equal(a->name, ir_op_info((enum ir_op)j)->name);
    }
    assert_string_equal(ir_op_info(IR_OP_CONV2D)->name, "conv2d");
    assert_string_equal(ir_op_info((enum ir_op)77)->name, "?");
    assert_string_equal(ir_kind_name((enum ir_kind)9), "?");
    assert_int_equal(ir_dtype_size(IR_DT_I16), 2);
}

static void test_types(void **state)
{
    (void)state;
    struct ir_module *m = s_model();
    static const struct {
        const char *value, *type;
    } cases[] = {
        {"image", "real f32 T=1 [3, 8, 8 chw]"},
        {"stem.repeat", "current f32 T=4 [8, 4, 4 chw]"},
        {"stem_lif", "spike f32 T=4 [8, 4, 4 chw]"},
        {"tokens", "spike f32 T=4 [8, 16 cn]"},
        {"q", "current f32 T=4 [8, 16 cn]"},
        {"attn", "current f32 T=4 [8, 16 cn]"},
        {"attn.out", "count<=2 f32 T=4 [8, 16 cn]"},
        {"features", "real f32 T=1 [8 c]"},
        {"logits", "real f32 T=1 [5 c]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct strbuf b = {0};
        uint32_t id = ir_find_value(m, cases[i].value);
        assert_int_not_equal(id, IR_NONE);
        ir_type_text(&m->node[id].type, &b);
        assert_string_equal(strbuf_cstr(&b), cases[i].type);
        strbuf_fini(&b);
    }
    ir_module_destroy(m);
    m = s_lowered();
    const struct ir_node *n = &m->node[ir_find_value(m, "block.out2")];
    assert_int_equal(n->type.bound, 3);
    n = &m->node[ir_find_value(m, "stem.pool")];
    assert_int_equal(n->type.kind, IR_SPIKE);
    assert_int_equal(n->type.height, 4);
    ir_module_destroy(m);
    m = s_quantised();
    n = &m->node[ir_find_value(m, "stem_lif")];
    assert_int_equal(n->type.timesteps, 3);
    assert_int_equal(n->type.num, IR_I32);
    assert_int_equal(m->node[n->operand[0]].type.timesteps, 1);
    assert_int_equal(m->node[n->operand[0]].type.height, 4);
    ir_module_destroy(m);
}

static void test_lookup(void **state)
{
    (void)state;
    struct ir_module *m = s_module("many", IR_STAGE_MODEL, 2);
    char name[32];
    for (uint32_t i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "p.%u", i);
        assert_int_equal(s_param(m, name, IR_DT_F32, 1, 4, 0, 0, 0), i);
    }
    for (uint32_t i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "p.%u", i);
        assert_int_equal(ir_find_param(m, name), i);
        assert_int_equal(s_param(m, name, IR_DT_F32, 1, 4, 0, 0, 0), i);
    }
    assert_int_equal(ir_find_param(m, "p.5000"), IR_NONE);
    assert_int_equal(ir_find_param(m, NULL), IR_NONE);
    assert_int_equal(ir_find_value(m, "p.1"), IR_NONE);
    struct ir_param other = {.name = "p.7", .dtype = IR_DT_F32, .rank = 1, .dim = {5}};
    uint32_t id;
    assert_int_equal(ir_add_param(m, &other, &id), SPK_ERR_INPUT);
    assert_int_equal(id, IR_NONE);
    m->param[9].name = "renamed";
    assert_int_equal(ir_find_param(m, "renamed"), 9);
    assert_int_equal(ir_find_param(m, "p.9"), IR_NONE);
    /* data given later reaches the param that is there */
    static const float data[4] = {1, 2, 3, 4};
    other.dim[0] = 4;
    other.data = data;
    assert_int_equal(ir_add_param(m, &other, &id), SPK_OK);
    assert_ptr_equal(m->param[7].data, data);
    ir_module_destroy(m);
}

static void test_programs_are_shared(void **state)
{
    (void)state;
    struct ir_module *m = s_module("m", IR_STAGE_MODEL, 2);
    uint32_t a = s_add_lif(m, "lif", 2.0f, 1.0f, false);
    assert_int_equal(s_add_lif(m, "other", 2.0f, 1.0f, false), a);
    assert_int_not_equal(s_add_lif(m, "lif", 2.0f, 0.5f, false), a);
    assert_int_not_equal(s_add_lif(m, "lif", 2.0f, 1.0f, true), a);
    assert_int_equal(m->n_neurons, 3);
    assert_string_equal(m->neuron[a].name, "lif");
    struct s_lif l;
    uint32_t id;
    s_lif_init(&l, "bad", 2.0f, 1.0f, false);
    l.n.charge[0].n = 2; /* leaves two values */
    assert_int_equal(ir_add_neuron(m, &l.n, &id), SPK_ERR_INPUT);
    l.n.charge[0].n = 7;
    l.charge[6].code = 99;
    assert_int_equal(ir_add_neuron(m, &l.n, &id), SPK_ERR_INPUT);
    l.charge[6].code = IR_EQ_ADD;
    l.charge[0].arg = 1; /* no such state */
    assert_int_equal(ir_add_neuron(m, &l.n, &id), SPK_ERR_INPUT);
    ir_module_destroy(m);
}

static void test_clone(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct ir_module *m = s_random_module(seed), *c;
        assert_int_equal(ir_module_clone(m, false, &c), SPK_OK);
        assert_true(ir_module_equal(m, c));
        c->node[c->n_nodes - 1].type.channels++;
        assert_false(ir_module_equal(m, c));
        for (uint32_t i = 0; i < m->n_nodes; i++) {
            if (m->node[i].name)
                assert_int_equal(ir_find_value(c, m->node[i].name), i);
        }
        ir_module_destroy(c);
        ir_module_destroy(m);
    }
}

static void test_clone_data(void **state)
{
    (void)state;
    static const float data[5] = {1, 2, 3, 4, 5};
    struct ir_module *m = s_model(), *shared, *deep;
    uint32_t id = ir_find_param(m, "head.bias");
    m->param[id].data = data;
    assert_int_equal(ir_module_clone(m, false, &shared), SPK_OK);
    assert_int_equal(ir_module_clone(m, true, &deep), SPK_OK);
    ir_module_destroy(m);
    assert_ptr_equal(shared->param[id].data, data);
    assert_ptr_not_equal(deep->param[id].data, data);
    assert_memory_equal(deep->param[id].data, data, sizeof data);
    ir_module_destroy(shared);
    ir_module_destroy(deep);
}

/* Every attribute takes part in equality. */
static void test_equality(void **state)
{
    (void)state;
    struct ir_module *m = s_model(), *c;
    for (uint32_t i = 0; i < 9; i++) {
        assert_int_equal(ir_module_clone(m, false, &c), SPK_OK);
        assert_true(ir_module_equal(m, c));
        uint32_t last = c->n_nodes - 1;
        switch (i) {
        case 0:
            c->stage = IR_STAGE_LOWERED;
            break;
        case 1:
            c->target = "x";
            break;
        case 2:
            c->param[0].dim[1]++;
            break;
        case 3:
            c->node[1].a.conv.stride_w++;
            break;
        case 4:
            c->node[last].recorded = true;
            break;
        case 5:
            c->node[last].operand[0]--;
            break;
        case 6:
            c->node[0].a.input.std[2] = 1.0f;
            break;
        case 7:
            c->neuron[1].state_init[0] = -0.0f;
            break;
        default:
            c->node[last].name = NULL;
            break;
        }
        assert_false(ir_module_equal(m, c));
        ir_module_destroy(c);
    }
    assert_int_equal(ir_module_clone(m, false, &c), SPK_OK);
    c->node[1].span = (struct spk_span){1, 2, 3};
    assert_true(ir_module_equal(m, c));
    ir_module_destroy(c);
    ir_module_destroy(m);
}

/* ---- inference errors ---- */

struct bed {
    struct ir_module *m;
    uint32_t image, map, current, tokens, nc, rep, w, b8, w2;
};

static struct bed bed(void)
{
    struct bed t;
    struct ir_module *m = t.m = s_module("bed", IR_STAGE_MODEL, 4);
    uint32_t lif = s_add_lif(m, "lif", 2.0f, 1.0f, false);
    t.w = s_param(m, "w", IR_DT_F32, 4, 8, 3, 3, 3);
    t.b8 = s_param(m, "b8", IR_DT_F32, 1, 8, 0, 0, 0);
    t.w2 = s_param(m, "w2", IR_DT_F32, 2, 8, 500, 0, 0);
    t.image = s_node(m, s_input(3, 8, 6, false), "image", false, NONE, NONE);
    t.current = s_node(m, s_conv(3, 1, 1), "current", false, OPS(t.image), OPS(t.w));
    t.rep = s_node(m, s_repeat(4), NULL, false, OPS(t.current), NONE);
    t.map = s_node(m, s_neuron(lif), "map", true, OPS(t.rep), NONE);
    t.tokens = s_node(m, s_reshape(IR_CN), "tokens", false, OPS(t.map), NONE);
    t.nc = s_node(m, s_reshape(IR_NC), "nc", false, OPS(t.map), NONE);
    return t;
}

/* The node is refused with this code, and a message or remedy holds this text. */
static void refused(struct ir_module *m, struct ir_node n, uint32_t n_operands,
                    const uint32_t *operands, uint32_t n_params, const uint32_t *params,
                    const char *code, const char *text)
{
    struct diag_list d;
    uint32_t id, copy[4], param_copy[4], before = m->n_nodes;
    for (uint32_t i = 0; i < n_operands; i++)
        copy[i] = operands[i];
    for (uint32_t i = 0; i < n_params; i++)
        param_copy[i] = params[i];
    n.n_operands = n_operands;
    n.operand = copy;
    n.n_params = n_params;
    n.param = param_copy;
    diag_init(&d);
    assert_int_equal(ir_add_node(m, &n, &d, &id), SPK_ERR_INPUT);
    assert_int_equal(id, IR_NONE);
    assert_int_equal(m->n_nodes, before);
    if (!s_has_code(&d, code) || !s_has_text(&d, text))
        fail_msg("expected %s '%s', got %s '%s'", code, text, d.items.data[0]->code,
                 d.items.data[0]->message);
    diag_fini(&d);
}

static void test_infer_projection_errors(void **state)
{
    (void)state;
    struct bed t = bed();
    struct ir_module *m = t.m;
    refused(m, s_conv(3, 1, 1), NONE, OPS(t.w), "E0301", "takes 1 or more operands, found 0");
    refused(m, s_conv(3, 1, 1), OPS(99), OPS(t.w), "E0302", "value 99 of 6");
    refused(m, s_conv(3, 1, 1), OPS(t.image), OPS(99), "E0302", "tensor 99 of 3");
    refused(m, s_conv(3, 1, 1), OPS(t.tokens), OPS(t.w), "E0303", "[8, 48 cn]");
    refused(m, s_conv(3, 1, 1), OPS(t.map), OPS(t.w), "E0305",
            "weight 'w' has shape [8, 3, 3, 3], expected [out, 8, 3, 3] for an operand "
            "[8, 8, 6 chw]");
    refused(m, s_conv(2, 1, 1), OPS(t.image), OPS(t.w), "E0305", "expected [out, 3, 2, 2]");
    refused(m, s_conv(3, 0, 1), OPS(t.image), OPS(t.w), "E0307", "at least 1");
    refused(m, s_conv(3, 1, 1), OPS(t.image), OPS(t.w, t.w2), "E0305", "expected [8]");
    struct ir_node big = s_conv(3, 1, 0);
    uint32_t huge = s_param(m, "huge", IR_DT_F32, 4, 8, 3, 9, 9);
    big.a.conv.kernel_h = big.a.conv.kernel_w = 9;
    refused(m, big, OPS(t.image), OPS(huge), "E0311", "kernel 9x9 is larger");
    refused(m, s_op(IR_OP_LINEAR), OPS(t.tokens), OPS(t.w2), "E0305",
            "expected [out, 8] for an operand [8, 48 cn]");
    refused(m, s_op(IR_OP_LINEAR), OPS(t.tokens, t.nc), OPS(t.w2), "E0304",
            "[8, 48 cn] and [48, 8 nc]");
    refused(m, s_op(IR_OP_LINEAR), OPS(t.current, t.rep), OPS(t.w2), "E0312", "1 and 4");
    uint32_t wide = s_param(m, "wide", IR_DT_F32, 2, 4294967295u, 8, 0, 0);
    uint32_t y = s_node(m, s_op(IR_OP_LINEAR), NULL, false, OPS(t.tokens), OPS(wide));
    assert_int_equal(m->node[y].type.channels, 4294967295u);
    uint32_t map = s_node(m, s_input(3, 100000, 100000, false), NULL, false, NONE, NONE);
    uint32_t w1 = s_param(m, "w1", IR_DT_F32, 4, 200, 3, 3, 3);
    refused(m, s_conv(3, 1, 1), OPS(map), OPS(w1), "E0310", "2^40");
    ir_module_destroy(m);
}

static void test_infer_other_errors(void **state)
{
    (void)state;
    struct bed t = bed();
    struct ir_module *m = t.m;
    struct ir_node n = s_op(IR_OP_BATCHNORM);
    refused(m, n, OPS(t.current), OPS(t.b8, t.b8, t.b8, t.w2), "E0305", "running_var");
    n.a.eps = -1.0f;
    refused(m, n, OPS(t.current), OPS(t.b8, t.b8, t.b8, t.b8), "E0307", "eps");
    refused(m, s_neuron(7), OPS(t.rep), NONE, "E0313", "program 7 does not exist, there are 1");
    refused(m, s_pool(3, 2, 3), OPS(t.map), NONE, "E0307", "pad 3 must be below the kernel 3");
    refused(m, s_pool(9, 2, 0), OPS(t.map), NONE, "E0311", "kernel 9");
    refused(m, s_pool(2, 2, 0), OPS(t.nc), NONE, "E0303", "[48, 8 nc]");
    refused(m, s_op(IR_OP_ADD), OPS(t.map, t.tokens), NONE, "E0304", "reshape");
    refused(m, s_op(IR_OP_ADD), OPS(t.map, t.rep), NONE, "E0309", "current");
    refused(m, s_op(IR_OP_ADD), OPS(t.map), NONE, "E0301", "takes 2 or more");
    refused(m, s_delay(1), OPS(t.rep), NONE, "E0309", "only spikes and counts");
    refused(m, s_delay(0), OPS(t.map), NONE, "E0307", "at least 1 step");
    refused(m, s_attention(3, 0), OPS(t.tokens, t.tokens, t.tokens), NONE, "E0308",
            "dim 8 is not divisible by heads 3");
    refused(m, s_attention(3, 0), OPS(t.tokens, t.tokens, t.tokens), NONE, "E0308",
            "nearest: 6, 9");
    refused(m, s_attention(9, 0), OPS(t.tokens, t.tokens, t.tokens), NONE, "E0308", "nearest: 9");
    refused(m, s_attention(0, 0), OPS(t.tokens, t.tokens, t.tokens), NONE, "E0308", "heads 0");
    refused(m, s_attention(2, 0), OPS(t.map, t.map, t.map), NONE, "E0303", "tokens");
    refused(m, s_attention(2, 0), OPS(t.tokens, t.nc, t.tokens), NONE, "E0304", "equal shapes");
    refused(m, s_attention(2, 0), OPS(t.tokens, t.tokens), NONE, "E0301", "found 2");
    refused(m, s_reshape(IR_CHW), OPS(t.tokens), NONE, "E0303", "to layout chw");
    refused(m, s_reshape(IR_CN), OPS(t.tokens), NONE, "E0303", "[8, 48 cn] to layout cn");
    refused(m, s_repeat(4), OPS(t.rep), NONE, "E0312", "already has 4 time steps");
    refused(m, s_repeat(0), OPS(t.current), NONE, "E0312", "0 is not in 1..65535");
    refused(m, s_readout(192), OPS(t.rep), OPS(t.w2), "E0309", "spikes or counts");
    refused(m, s_readout(0), OPS(t.map), OPS(t.w2), "E0307", "divisor");
    refused(m, s_op(IR_OP_ENCODE), OPS(t.map), OPS(t.w), "E0309", "static image");
    n = s_op(IR_OP_ENCODE);
    refused(m, n, OPS(t.image), NONE, "E0301", "needs its weight");
    n.a.encode.kind = IR_ENCODE_EVENTS;
    refused(m, n, OPS(t.image), NONE, "E0309", "must be counts");
    refused(m, s_input(0, 8, 8, false), NONE, NONE, "E0310", "at least 1");
    n = s_input(3, 8, 8, false);
    n.a.input.normalise = true;
    n.a.input.n_norm = 2;
    refused(m, n, NONE, NONE, "E0307", "2 normalisation constants for 3 channels");
    uint32_t two = s_node(m, s_repeat(3), NULL, false, OPS(t.current), NONE);
    refused(m, s_neuron(0), OPS(two), NONE, "E0312", "operand has 3 time steps, the module 4");
    ir_module_destroy(m);
}

/* Building and cloning with the n-th allocation failing: a status, no leak, no half-made node. */
static void test_out_of_memory(void **state)
{
    (void)state;
    if (!spk_fault_available())
        skip();
    struct ir_module *m = s_model();
    static const float data[5] = {0};
    m->param[ir_find_param(m, "head.bias")].data = data;
    uint64_t n = 1;
    for (;; n++) {
        struct ir_module *c;
        spk_fault_arm(SPK_FAULT_ALLOC, n);
        spk_status s = ir_module_clone(m, true, &c);
        bool fired = spk_fault_disarm(SPK_FAULT_ALLOC);
        assert_int_equal(s, fired ? SPK_ERR_NOMEM : SPK_OK);
        if (!fired) {
            assert_true(ir_module_equal(m, c));
            ir_module_destroy(c);
            break;
        }
        assert_null(c);
    }
    assert_true(n > 4);
    ir_module_destroy(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_op_table),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_lookup),
        cmocka_unit_test(test_programs_are_shared),
        cmocka_unit_test(test_clone),
        cmocka_unit_test(test_clone_data),
        cmocka_unit_test(test_equality),
        cmocka_unit_test(test_infer_projection_errors),
        cmocka_unit_test(test_infer_other_errors),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
