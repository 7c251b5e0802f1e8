/* The smallest module that inputs and labels can be read for. */
#ifndef SPIKEC_TESTS_TINY_INPUT_H
#define SPIKEC_TESTS_TINY_INPUT_H

#include <stdlib.h>

#include "ir/ir.h"

/* input [1,2,2] (events: two frames of it) and a linear layer's output of 3 classes. */
static inline struct ir_module *tiny_input(bool events, bool norm)
{
    struct ir_module *m;
    uint32_t first, second, third, last, param;
    if (ir_module_create("fuzz", &m) != SPK_OK)
        abort();
    m->timesteps = 2;
    struct ir_node input = {.op = IR_OP_INPUT,
                            .type = {.kind = IR_REAL,
                                     .layout = IR_CHW,
                                     .timesteps = 1,
                                     .channels = 1,
                                     .height = 2,
                                     .width = 2}};
    input.a.input = (struct ir_attr_input){.events = events,
                                           .normalise = norm,
                                           .mean = {0.5f},
                                           .std = {0.25f},
                                           .n_norm = norm ? 1 : 0};
    if (ir_add_node(m, &input, NULL, &first) != SPK_OK)
        abort();
    struct ir_node mean = {.op = IR_OP_MEAN, .n_operands = 1, .operand = &first};
    if (ir_add_node(m, &mean, NULL, &second) != SPK_OK)
        abort();
    struct ir_param p = {.name = "w", .dtype = IR_DT_F32, .rank = 2, .dim = {3, 1}};
    if (ir_add_param(m, &p, &param) != SPK_OK)
        abort();
    struct ir_node linear = {
        .op = IR_OP_LINEAR, .n_operands = 1, .operand = &second, .n_params = 1, .param = &param};
    if (ir_add_node(m, &linear, NULL, &third) != SPK_OK)
        abort();
    struct ir_node output = {.op = IR_OP_OUTPUT, .n_operands = 1, .operand = &third};
    if (ir_add_node(m, &output, NULL, &last) != SPK_OK)
        abort();
    return m;
}

#endif
