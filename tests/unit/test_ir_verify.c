/* The verifier: valid modules pass, and each rule, broken alone, is found with its code. */
#include "ir_samples.h"

static void test_valid(void **state)
{
    (void)state;
    struct ir_module *samples[] = {s_model(), s_lowered(), s_quantised(), s_autoencoder()};
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        struct diag_list d;
        diag_init(&d);
        assert_int_equal(ir_verify(samples[i], &d), SPK_OK);
        assert_int_equal(d.items.len, 0);
        diag_fini(&d);
        ir_module_destroy(samples[i]);
    }
    struct ir_module *empty = s_module("empty", IR_STAGE_MODEL, 1);
    assert_int_equal(ir_verify(empty, NULL), SPK_OK);
    ir_module_destroy(empty);
}

static struct ir_node *value(struct ir_module *m, const char *name)
{
    uint32_t id = ir_find_value(m, name);
    assert_int_not_equal(id, IR_NONE);
    return &m->node[id];
}

static struct ir_node *first(struct ir_module *m, enum ir_op op)
{
    for (uint32_t i = 0; i < m->n_nodes; i++) {
        if (m->node[i].op == op)
            return &m->node[i];
    }
    fail_msg("no %s in the sample", ir_op_info(op)->name);
    return NULL;
}

static struct ir_param *param(struct ir_module *m, const char *name)
{
    uint32_t id = ir_find_param(m, name);
    assert_int_not_equal(id, IR_NONE);
    return &m->param[id];
}

/* ---- one mutation per rule ---- */

static void operand_later(struct ir_module *m)
{
    value(m, "q_lif")->operand[0] = m->n_nodes - 1;
}
static void operand_itself(struct ir_module *m)
{
    value(m, "q_lif")->operand[0] = ir_find_value(m, "q_lif");
}
static void operand_missing(struct ir_module *m)
{
    value(m, "q_lif")->operand[0] = 1u << 30;
}
static void param_missing(struct ir_module *m)
{
    value(m, "head")->param[0] = m->n_params;
}
static void op_unknown(struct ir_module *m)
{
    value(m, "q_lif")->op = (enum ir_op)99;
}
static void arity(struct ir_module *m)
{
    value(m, "attn")->n_operands = 2;
}
static void type_kind(struct ir_module *m)
{
    value(m, "q_lif")->type.kind = IR_COUNT;
}
static void type_shape(struct ir_module *m)
{
    value(m, "q")->type.channels = 9;
}
static void type_bound(struct ir_module *m)
{
    value(m, "attn.out")->type.bound = 7;
}
static void param_shape(struct ir_module *m)
{
    param(m, "q.weight")->dim[1] = 7;
}
static void param_rank(struct ir_module *m)
{
    param(m, "q.bias")->rank = 9;
}
static void param_zero(struct ir_module *m)
{
    param(m, "head.bias")->dim[0] = 0;
}
static void param_huge(struct ir_module *m)
{
    struct ir_param *p = param(m, "q.weight");
    p->rank = 4;
    for (int i = 0; i < 4; i++)
        p->dim[i] = 1u << 31;
}
static void param_dtype(struct ir_module *m)
{
    param(m, "q.weight")->dtype = IR_DT_I8;
}
static void param_name(struct ir_module *m)
{
    param(m, "q.bias")->name = "head.bias";
}
static void value_name(struct ir_module *m)
{
    value(m, "attn_lif")->name = "q_lif";
}
static void unnamed_record(struct ir_module *m)
{
    value(m, "q_lif")->name = NULL;
}
static void recorded_current(struct ir_module *m)
{
    value(m, "q")->recorded = true;
}
static void two_inputs(struct ir_module *m)
{
    (void)s_node(m, s_input(1, 1, 1, false), NULL, false, NONE, NONE);
}
static void two_outputs(struct ir_module *m)
{
    (void)s_node(m, s_op(IR_OP_OUTPUT), NULL, false, OPS(m->n_nodes - 1), NONE);
}
/* ---- masks and ops of ordinary networks ---- */

static void mask_lowered(struct ir_module *m)
{
    struct ir_node mask = s_input(1, 2, 2, false);
    mask.a.input.mask = true;
    (void)s_node(m, mask, NULL, false, NONE, NONE);
}
static void mask_first(struct ir_module *m)
{
    struct ir_node image = m->node[0];
    m->node[0] = m->node[1];
    m->node[1] = image;
}
static void mask_of_two(struct ir_module *m)
{
    value(m, "hidden")->type.channels = 2;
}
static void mask_of_counts(struct ir_module *m)
{
    value(m, "hidden")->a.input.events = true;
}
static void mask_of_spikes(struct ir_module *m)
{
    value(m, "masked")->operand[1] = ir_find_value(m, "masked") - 1;
}
static void mask_of_other_size(struct ir_module *m)
{
    value(m, "hidden")->type.height = 3;
}
static void mask_token_short(struct ir_module *m)
{
    param(m, "mask_token")->dim[0] = 11;
}
static void offset_turned(struct ir_module *m)
{
    param(m, "pos_embed")->dim[0] = 12;
}
static void norm_half(struct ir_module *m)
{
    value(m, "norm")->n_params = 1;
}
static void norm_weight(struct ir_module *m)
{
    param(m, "norm.bias")->dim[0] = 3;
}
static void norm_eps(struct ir_module *m)
{
    value(m, "norm")->a.norm.eps = -1.0f;
}
static void slice_too_long(struct ir_module *m)
{
    value(m, "q")->a.slice.begin = 9;
}
static void slice_of_none(struct ir_module *m)
{
    value(m, "q")->a.slice.count = 0;
}
static void slice_beyond(struct ir_module *m)
{
    value(m, "q")->a.slice.begin = 0xffffffffu;
}
static void patches_odd(struct ir_module *m)
{
    value(m, "patches")->a.patch = 3;
}
static void patches_none(struct ir_module *m)
{
    value(m, "patches")->a.patch = 0;
}
static void softmax_heads(struct ir_module *m)
{
    value(m, "soft")->a.attention.heads = 3;
}
static void softmax_scale(struct ir_module *m)
{
    value(m, "soft")->a.attention.scale = 0.0f;
}
static void mse_of_other(struct ir_module *m)
{
    value(m, "mse")->operand[1] = ir_find_value(m, "norm");
}
static void output_too_large(struct ir_module *m)
{
    struct ir_node *n = value(m, "reconstruction");
    n->type.channels = n->type.width = 1u << 17;
}
static void ordinary_as_lowered(struct ir_module *m)
{
    m->stage = IR_STAGE_LOWERED;
}

static void stage_unknown(struct ir_module *m)
{
    m->stage = (enum ir_stage)7;
}
static void no_timesteps(struct ir_module *m)
{
    m->timesteps = 0;
}
static void other_timesteps(struct ir_module *m)
{
    m->timesteps = 5;
}
static void rate(struct ir_module *m)
{
    m->declared_rate = -1.0f;
}
static void named_target(struct ir_module *m)
{
    m->target = "loihi1";
}
static void no_target(struct ir_module *m)
{
    m->target = NULL;
}
static void no_program(struct ir_module *m)
{
    value(m, "q_lif")->a.neuron.program = IR_NONE;
}
static void program_missing(struct ir_module *m)
{
    value(m, "q_lif")->a.neuron.program = 9;
}
static void program_broken(struct ir_module *m)
{
    m->neuron[0].charge[0].n = 2;
}
static void program_twice(struct ir_module *m)
{
    m->neuron[1] = m->neuron[0];
}
static void float_neuron_params(struct ir_module *m)
{
    static uint32_t ids[1];
    struct ir_node *n = value(m, "q_lif");
    ids[0] = ir_find_param(m, "q.bias");
    n->param = ids;
    n->n_params = 1;
}
static void attention_order(struct ir_module *m)
{
    value(m, "attn")->a.attention.order = (enum ir_attn_order)8;
}
static void model_two_operands(struct ir_module *m)
{
    uint32_t w = ir_find_param(m, "q.weight"), x = ir_find_value(m, "tokens");
    (void)s_node(m, s_op(IR_OP_LINEAR), NULL, false, OPS(x, x), OPS(w));
}
static void model_delay(struct ir_module *m)
{
    (void)s_node(m, s_delay(1), NULL, false, OPS(ir_find_value(m, "tokens")), NONE);
}
static void model_as_lowered(struct ir_module *m)
{
    m->stage = IR_STAGE_LOWERED;
}
static void sum_not_recorded(struct ir_module *m)
{
    value(m, "block.out2")->recorded = false;
}
static void sum_used(struct ir_module *m)
{
    (void)s_node(m, s_delay(1), NULL, false, OPS(ir_find_value(m, "block.out")), NONE);
}
static void analog_projection(struct ir_module *m)
{
    uint32_t w = ir_find_param(m, "stem.weight"), b = ir_find_param(m, "stem.bias");
    uint32_t x = s_node(m, s_repeat(4), NULL, false, OPS(0), NONE);
    (void)s_node(m, s_conv(3, 1, 1), NULL, false, OPS(x), OPS(w, b));
}
static void neuron_on_spikes(struct ir_module *m)
{
    (void)s_node(m, s_neuron(0), NULL, false, OPS(ir_find_value(m, "x")), NONE);
}
static void pooled_counts(struct ir_module *m)
{
    uint32_t x = ir_find_value(m, "stem_lif");
    x = s_node(m, s_delay(1), NULL, false, OPS(x, x), NONE);
    (void)s_node(m, s_pool(2, 2, 0), NULL, false, OPS(x), NONE);
}
static void wrong_divisor(struct ir_module *m)
{
    value(m, "head")->a.readout.divisor = 63;
}
static void q_mean(struct ir_module *m)
{
    (void)s_node(m, s_op(IR_OP_MEAN), NULL, false, OPS(ir_find_value(m, "q_lif")), NONE);
}
static void q_float_weight(struct ir_module *m)
{
    param(m, "q.w")->dtype = IR_DT_F32;
}
static void q_threshold_type(struct ir_module *m)
{
    param(m, "stem.vth")->dtype = IR_DT_I16;
}
static void q_encoder_type(struct ir_module *m)
{
    param(m, "stem.w_q")->dtype = IR_DT_I8;
}
static void q_head_type(struct ir_module *m)
{
    param(m, "head.weight")->dtype = IR_DT_I8;
}
static void q_projection_bias(struct ir_module *m)
{
    uint32_t w = ir_find_param(m, "q.w"), b = ir_find_param(m, "q.bias");
    uint32_t x = (uint32_t)(first(m, IR_OP_RESHAPE) - m->node);
    (void)s_node(m, s_op(IR_OP_LINEAR), NULL, false, OPS(x), OPS(w, b));
}
static void q_program(struct ir_module *m)
{
    value(m, "q_lif")->a.neuron.program = 0;
}
static void q_real_program(struct ir_module *m)
{
    value(m, "q_lif")->a.neuron.program = s_add_lif(m, "lif", 2.0f, 1.0f, false);
}
static void q_no_threshold(struct ir_module *m)
{
    value(m, "q_lif")->n_params = 0;
}
static void q_decay(struct ir_module *m)
{
    value(m, "q_lif")->a.neuron.q.decay = 4097;
}
static void q_bits(struct ir_module *m)
{
    value(m, "q_lif")->a.neuron.q.bits = 33;
}
static void q_shift(struct ir_module *m)
{
    first(m, IR_OP_LINEAR)->a.conv.shift = 25;
}
static void q_unit(struct ir_module *m)
{
    first(m, IR_OP_ATTENTION)->a.attention.unit = 0;
}
static void q_out_shift(struct ir_module *m)
{
    first(m, IR_OP_ENCODE)->a.encode.out_shift = 63;
}
static void q_x_shift(struct ir_module *m)
{
    first(m, IR_OP_ENCODE)->a.encode.x_shift = 31;
}
static void q_m_max(struct ir_module *m)
{
    first(m, IR_OP_ENCODE)->a.encode.m_max = -1;
}
static void q_m_exp(struct ir_module *m)
{
    first(m, IR_OP_ENCODE)->a.encode.m_exp = 25;
}
static void q_raw_input(struct ir_module *m)
{
    uint32_t w = s_param(m, "raw.w", IR_DT_I8, 4, 4, 1, 3, 3);
    (void)s_node(m, s_conv(3, 1, 1), NULL, false, OPS(0), OPS(w));
}
static void q_float_values(struct ir_module *m)
{
    (void)s_node(m, s_reshape(IR_CN), NULL, false, OPS(0), NONE);
}

struct rule {
    struct ir_module *(*sample)(void);
    void (*mutate)(struct ir_module *m);
    const char *code, *text;
};
#define RULE(sample, mutate, code, text) \
    {                                    \
        sample, mutate, code, text       \
    }
static const struct rule rules[] = {
    RULE(s_model, operand_later, "E0302", "after its user"),
    RULE(s_model, operand_itself, "E0302", "after its user"),
    RULE(s_model, operand_missing, "E0302", "does not exist"),
    RULE(s_model, param_missing, "E0302", "a param does not exist"),
    RULE(s_model, op_unknown, "E0301", "unknown op"),
    RULE(s_model, arity, "E0301", "found 2"),
    RULE(s_model, type_kind, "E0321", "has type count"),
    RULE(s_model, type_shape, "E0321", "[9, 16 cn]"),
    RULE(s_model, type_bound, "E0321", "count<=7"),
    RULE(s_model, param_shape, "E0305", "[8, 7]"),
    RULE(s_model, param_rank, "E0310", "at most 4 axes"),
    RULE(s_model, param_zero, "E0310", "each at least 1"),
    RULE(s_model, param_huge, "E0310", "2^40"),
    RULE(s_model, param_dtype, "E0306", "is i8, must be f32"),
    RULE(s_model, param_name, "E0320", "param 'head.bias' is defined twice"),
    RULE(s_model, value_name, "E0320", "value 'q_lif' is defined twice"),
    RULE(s_model, unnamed_record, "E0320", "needs a name"),
    RULE(s_model, recorded_current, "E0323", "only spikes and counts"),
    RULE(s_model, two_inputs, "E0322", "more than one input"),
    RULE(s_lowered, two_outputs, "E0322", "more than one output"),
    RULE(s_lowered, mask_lowered, "E0322", "masks exist in stage model only"),
    RULE(s_autoencoder, mask_first, "E0322", "before the masks"),
    RULE(s_autoencoder, mask_of_two, "E0303", "[1, height, width]"),
    RULE(s_autoencoder, mask_of_counts, "E0307", "real values or a mask"),
    RULE(s_autoencoder, mask_of_spikes, "E0309", "a mask has one channel"),
    RULE(s_autoencoder, mask_of_other_size, "E0304", "does not cover"),
    RULE(s_autoencoder, mask_token_short, "E0305", "token 'mask_token' has shape [11]"),
    RULE(s_autoencoder, offset_turned, "E0305", "[12] or [4, 12]"),
    RULE(s_autoencoder, norm_half, "E0301", "weight and bias, or neither"),
    RULE(s_autoencoder, norm_weight, "E0305", "bias 'norm.bias'"),
    RULE(s_autoencoder, norm_eps, "E0307", "layernorm: eps"),
    RULE(s_autoencoder, slice_too_long, "E0307", "4 channels from 9 on, the operand has 12"),
    RULE(s_autoencoder, slice_of_none, "E0307", "0 channels"),
    RULE(s_autoencoder, slice_beyond, "E0307", "the operand has 12"),
    RULE(s_autoencoder, patches_odd, "E0311", "8x8 does not divide into patches of 3x3"),
    RULE(s_autoencoder, patches_none, "E0311", "patches of 0x0"),
    RULE(s_autoencoder, softmax_heads, "E0308", "softmax_attention: dim 4"),
    RULE(s_autoencoder, softmax_scale, "E0307", "softmax_attention: scale"),
    RULE(s_autoencoder, mse_of_other, "E0304", "equal shapes"),
    RULE(s_autoencoder, output_too_large, "E0310", "2^32 values"),
    RULE(s_autoencoder, ordinary_as_lowered, "E0322", "softmax_attention 'soft': this op exists"),
    RULE(s_autoencoder, ordinary_as_lowered, "E0322", "mean over time alone"),
    RULE(s_model, stage_unknown, "E0322", "unknown stage"),
    RULE(s_model, no_timesteps, "E0312", "1..65535"),
    RULE(s_model, other_timesteps, "E0312", "neither 1 nor"),
    RULE(s_model, rate, "E0307", "declared rate"),
    RULE(s_model, named_target, "E0322", "target is named"),
    RULE(s_quantised, no_target, "E0322", "target is named"),
    RULE(s_model, no_program, "E0313", "has a program"),
    RULE(s_model, program_missing, "E0313", "program 9 does not exist"),
    RULE(s_model, program_broken, "E0313", "not well formed"),
    RULE(s_model, program_twice, "E0313", "0 and 1 are equal"),
    RULE(s_model, float_neuron_params, "E0322", "has the params that its program reads"),
    RULE(s_model, attention_order, "E0307", "order"),
    RULE(s_model, model_two_operands, "E0322", "one operand"),
    RULE(s_model, model_delay, "E0322", "does not exist in stage model"),
    RULE(s_model, model_as_lowered, "E0322", "batch norm must be folded"),
    RULE(s_model, model_as_lowered, "E0322", "no users but other sums"),
    RULE(s_lowered, sum_not_recorded, "E0322", "only where it is recorded"),
    RULE(s_lowered, sum_used, "E0322", "no users but other sums"),
    RULE(s_lowered, analog_projection, "E0323", "must stand before repeat"),
    RULE(s_lowered, neuron_on_spikes, "E0323", "takes a current"),
    RULE(s_lowered, pooled_counts, "E0323", "only spikes can be pooled"),
    RULE(s_lowered, wrong_divisor, "E0307", "divisor"),
    RULE(s_quantised, q_mean, "E0322", "must have become a read-out"),
    RULE(s_quantised, q_float_weight, "E0306", "is f32, must be i8"),
    RULE(s_quantised, q_threshold_type, "E0306", "is i16, must be i32"),
    RULE(s_quantised, q_encoder_type, "E0306", "is i8, must be i16"),
    RULE(s_quantised, q_head_type, "E0306", "is i8, must be f32"),
    RULE(s_quantised, q_projection_bias, "E0322", "belongs to its neuron"),
    RULE(s_quantised, q_program, "E0313", "program 0 does not exist"),
    RULE(s_quantised, q_real_program, "E0322", "no float program"),
    RULE(s_quantised, q_no_threshold, "E0322", "thresholds as param 0"),
    RULE(s_quantised, q_decay, "E0307", "above 4096"),
    RULE(s_quantised, q_bits, "E0307", "2..32"),
    RULE(s_quantised, q_shift, "E0307", "shift is above 24"),
    RULE(s_quantised, q_unit, "E0307", "unit"),
    RULE(s_quantised, q_out_shift, "E0307", "out_shift"),
    RULE(s_quantised, q_x_shift, "E0307", "x_shift"),
    RULE(s_quantised, q_m_max, "E0307", "m_max"),
    RULE(s_quantised, q_m_exp, "E0307", "m_exp"),
    RULE(s_quantised, q_raw_input, "E0323", "must be an encoder"),
    RULE(s_quantised, q_float_values, "E0323", "come through encode"),
};

static void test_rules(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        struct ir_module *m = rules[i].sample();
        struct diag_list d;
        diag_init(&d);
        rules[i].mutate(m);
        spk_status s = ir_verify(m, &d);
        if (s != SPK_ERR_INPUT || !s_has_code(&d, rules[i].code) ||
            !s_has_text(&d, rules[i].text)) {
            struct strbuf b = {0};
            diag_render(&d, NULL, &b);
            print_error("%s\n", strbuf_cstr(&b));
            fail_msg("rule %zu: expected %s '%s'", i, rules[i].code, rules[i].text);
        }
        diag_fini(&d);
        ir_module_destroy(m);
    }
}

/* Several broken rules in one module are all reported. */
static void test_reports_all(void **state)
{
    (void)state;
    struct ir_module *m = s_model();
    struct diag_list d;
    diag_init(&d);
    rate(m);
    recorded_current(m);
    value_name(m);
    param_missing(m);
    attention_order(m);
    assert_int_equal(ir_verify(m, &d), SPK_ERR_INPUT);
    assert_int_equal(d.error_count, 5);
    diag_fini(&d);
    ir_module_destroy(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_reports_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
