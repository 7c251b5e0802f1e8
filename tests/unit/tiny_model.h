/* A module built by hand for the tests of weights, inputs and rates:
 *   input -> [repeat] -> conv2d 1x1 -> batchnorm -> neuron "a_lif" -> add "b_sum" (a_lif twice)
 *   -> mean -> linear "head" -> output, 3 channels of 2x4 in, 4 channels, 5 classes, T = 2. */
#ifndef SPIKEC_TESTS_TINY_MODEL_H
#define SPIKEC_TESTS_TINY_MODEL_H

#include "ir/ir.h"
#include "unit.h"

#define TINY_CLASSES 5u
#define TINY_PARAMS                                                               \
    7u /* c.weight, bn.{weight,bias,running_mean,running_var}, head.{weight,bias} \
        */

static inline uint32_t tiny_param(struct ir_module *m, const char *name, uint32_t rank, uint32_t d0,
                                  uint32_t d1)
{
    struct ir_param p = {.name = name, .dtype = IR_DT_F32, .rank = rank, .dim = {d0, d1, 1, 1}};
    uint32_t id;
    assert_ok(ir_add_param(m, &p, &id));
    return id;
}

static inline uint32_t tiny_node(struct ir_module *m, struct ir_node *node)
{
    uint32_t id;
    assert_ok(ir_add_node(m, node, NULL, &id));
    return id;
}

static inline uint32_t tiny_lif(struct ir_module *m)
{
    static const struct ir_eq input[] = {{.code = IR_EQ_INPUT}};
    static const struct ir_eq v[] = {{.code = IR_EQ_STATE}};
    static const struct ir_eq one[] = {{.code = IR_EQ_CONST, .k = 1.0f}};
    struct ir_neuron n = {.name = "lif",
                          .n_states = 1,
                          .state_name = {"v"},
                          .charge = {{input, 1}},
                          .reset = {{NULL, 0}},
                          .fire_lhs = {v, 1},
                          .fire_rhs = {one, 1}};
    uint32_t id;
    assert_ok(ir_add_neuron(m, &n, &id));
    return id;
}

/* events: a frame per step; norm: the input declares mean and std. */
static inline struct ir_module *tiny_model(bool events, bool norm)
{
    struct ir_module *m;
    assert_ok(ir_module_create("tiny", &m));
    m->timesteps = 2;
    struct ir_node input = {.op = IR_OP_INPUT,
                            .name = "image",
                            .type = {.kind = IR_REAL,
                                     .layout = IR_CHW,
                                     .timesteps = 1,
                                     .channels = 3,
                                     .height = 2,
                                     .width = 4}};
    input.a.input = (struct ir_attr_input){.events = events, .normalise = norm};
    if (norm) {
        input.a.input.n_norm = 3;
        for (int c = 0; c < 3; c++) {
            input.a.input.mean[c] = 0.25f * (float)c;
            input.a.input.std[c] = 0.5f;
        }
    }
    uint32_t at = tiny_node(m, &input);
    if (!events) {
        struct ir_node repeat = {
            .op = IR_OP_REPEAT, .n_operands = 1, .operand = &at, .a.repeat = 2};
        at = tiny_node(m, &repeat);
    }
    uint32_t weight = tiny_param(m, "c.weight", 4, 4, 3);
    struct ir_node conv = {
        .op = IR_OP_CONV2D, .n_operands = 1, .operand = &at, .n_params = 1, .param = &weight};
    conv.a.conv = (struct ir_attr_conv){.kernel_h = 1, .kernel_w = 1, .stride_h = 1, .stride_w = 1};
    at = tiny_node(m, &conv);
    uint32_t bn[] = {tiny_param(m, "bn.weight", 1, 4, 1), tiny_param(m, "bn.bias", 1, 4, 1),
                     tiny_param(m, "bn.running_mean", 1, 4, 1),
                     tiny_param(m, "bn.running_var", 1, 4, 1)};
    struct ir_node norm_node = {.op = IR_OP_BATCHNORM,
                                .n_operands = 1,
                                .operand = &at,
                                .n_params = 4,
                                .param = bn,
                                .a.eps = 1e-5f};
    at = tiny_node(m, &norm_node);
    struct ir_node neuron = {
        .op = IR_OP_NEURON, .name = "a_lif", .recorded = true, .n_operands = 1, .operand = &at};
    neuron.a.neuron.program = tiny_lif(m);
    at = tiny_node(m, &neuron);
    uint32_t both[2] = {at, at};
    struct ir_node add = {
        .op = IR_OP_ADD, .name = "b_sum", .recorded = true, .n_operands = 2, .operand = both};
    at = tiny_node(m, &add);
    struct ir_node mean = {.op = IR_OP_MEAN, .n_operands = 1, .operand = &at};
    at = tiny_node(m, &mean);
    uint32_t head[] = {tiny_param(m, "head.weight", 2, TINY_CLASSES, 4),
                       tiny_param(m, "head.bias", 1, TINY_CLASSES, 1)};
    struct ir_node linear = {
        .op = IR_OP_LINEAR, .n_operands = 1, .operand = &at, .n_params = 2, .param = head};
    at = tiny_node(m, &linear);
    struct ir_node output = {.op = IR_OP_OUTPUT, .name = "logits", .n_operands = 1, .operand = &at};
    (void)tiny_node(m, &output);
    return m;
}

#endif
