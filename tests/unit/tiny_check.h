/* What the tests of the checker share: a target, module builders, running the checker. */
#ifndef SPIKEC_TESTS_UNIT_TINY_CHECK_H
#define SPIKEC_TESTS_UNIT_TINY_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "check/check.h"
#include "support/diag.h"
#include "tests/unit/tiny_image.h"

/* ---- a target ---- */

static struct tgt_system toy_system = {.name = "toy-1", .chips_x = 1, .chips_y = 1};

SPK_UNUSED static void make_target(struct tgt *t, bool fixed)
{
    static const struct {
        enum tgt_limit l;
        double v;
    } limits[] = {
        {TGT_NEURONS, 64}, {TGT_SYNAPSE_BITS, 65536}, {TGT_IN_AXONS, 64}, {TGT_OUT_AXONS, 64},
        {TGT_CONFIGS, 4},  {TGT_SYNAPSE_FORMATS, 4},  {TGT_DELAY, 7},     {TGT_AXON_BASE, 63},
        {TGT_ATOMS, 16},   {TGT_EMBEDDED_PER_CHIP, 2}};

    memset(t, 0, sizeof *t);
    t->name = "toy";
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        t->limit[limits[i].l] = (struct tgt_const){.present = true, .value = limits[i].v};
    t->arith = (struct tgt_arith){.neuron = fixed ? TGT_NEURON_FIXED : TGT_NEURON_PROGRAMMABLE,
                                  .state_bits = 24,
                                  .weight_bits = 8,
                                  .weight_exp_max = 7,
                                  .threshold_mant_bits = 17,
                                  .bias_mant_bits = 13,
                                  .bias_exp_max = 7,
                                  .decay_max = 4096,
                                  .payload_bits = fixed ? 0 : 8,
                                  .two_ports = !fixed,
                                  .embedded_latency = 2};
    t->format = (struct tgt_format){64, 64, 10, 0, 6, 12};
    t->sharing = TGT_SHARE_CONVOLUTION;
    t->axon_discrete = t->axon_population = true;
    t->pop16_slots = 1;
    t->pop32_slots = 2;
    t->attention = TGT_ATTN_AND_LIF | TGT_ATTN_EMBEDDED | TGT_ATTN_PRODUCT;
    t->cores_x = t->cores_y = 4;
    t->tile_w = t->tile_h = 2;
    t->cores_per_chip = 16;
    t->n_systems = 1;
    t->system = &toy_system;
}

/* ---- a module ---- */

SPK_UNUSED static uint32_t add_param(struct ir_module *m, const char *name, enum ir_dtype type,
                                     uint32_t d0, uint32_t d1, uint32_t d2, uint32_t d3,
                                     const void *data)
{
    struct ir_param p = {.name = name, .dtype = type, .dim = {d0, d1, d2, d3}, .data = data};
    uint32_t id;

    p.rank = d3 ? 4 : d2 ? 3 : d1 ? 2 : 1;
    assert_int_equal(ir_add_param(m, &p, &id), SPK_OK);
    return id;
}

SPK_UNUSED static uint32_t add_node(struct ir_module *m, struct ir_node n, uint32_t *operand,
                                    uint32_t n_operands, uint32_t *param, uint32_t n_params)
{
    struct diag_list d;
    struct strbuf text = {0};
    uint32_t id = 0;

    diag_init(&d);
    n.operand = operand;
    n.n_operands = n_operands;
    n.param = param;
    n.n_params = n_params;
    if (ir_add_node(m, &n, &d, &id) != SPK_OK) {
        diag_render(&d, NULL, &text);
        fail_msg("%s", strbuf_cstr(&text));
    }
    diag_fini(&d);
    return id;
}

SPK_UNUSED static uint32_t add_events(struct ir_module *m, uint32_t c, uint32_t h, uint32_t w)
{
    struct ir_node n = {.op = IR_OP_INPUT,
                        .name = "in",
                        .type = {.kind = IR_COUNT,
                                 .num = IR_I32,
                                 .layout = IR_CHW,
                                 .timesteps = m->timesteps,
                                 .channels = c,
                                 .height = h,
                                 .width = w}};
    uint32_t in;

    n.a.input.events = true;
    in = add_node(m, n, NULL, 0, NULL, 0);
    n = (struct ir_node){.op = IR_OP_ENCODE};
    n.a.encode.kind = IR_ENCODE_EVENTS;
    return add_node(m, n, &in, 1, NULL, 0);
}

SPK_UNUSED static uint32_t add_conv(struct ir_module *m, uint32_t *x, uint32_t nx, uint32_t w,
                                    uint16_t k, uint8_t shift)
{
    struct ir_node n = {.op = IR_OP_CONV2D};

    n.a.conv = (struct ir_attr_conv){k, k, 1, 1, k / 2, k / 2, shift};
    return add_node(m, n, x, nx, &w, 1);
}

SPK_UNUSED static uint32_t add_neuron(struct ir_module *m, const char *name, uint32_t x,
                                      uint32_t vth, uint32_t bias, uint16_t decay)
{
    struct ir_node n = {.op = IR_OP_NEURON, .name = name, .recorded = true};
    uint32_t params[2] = {vth, bias};

    n.a.neuron.program = IR_NONE;
    n.a.neuron.q = (struct ir_neuron_q){.decay = decay, .bits = 24};
    return add_node(m, n, &x, 1, params, bias == IR_NONE ? 1 : 2);
}

SPK_UNUSED static struct ir_module *new_module(uint32_t timesteps)
{
    struct ir_module *m;

    assert_int_equal(ir_module_create("toy", &m), SPK_OK);
    m->stage = IR_STAGE_QUANTISED;
    m->timesteps = timesteps;
    return m;
}

SPK_UNUSED static void add_readout(struct ir_module *m, uint32_t *x, uint32_t n_x, uint32_t divisor,
                                   const float *w, const float *b, uint32_t channels)
{
    struct ir_node n = {.op = IR_OP_READOUT};
    uint32_t params[2] = {add_param(m, "head.weight", IR_DT_F32, 1, channels, 0, 0, w),
                          add_param(m, "head.bias", IR_DT_F32, 1, 0, 0, 0, b)};
    uint32_t id;

    n.a.readout.divisor = divisor;
    id = add_node(m, n, x, n_x, params, 2);
    n = (struct ir_node){.op = IR_OP_OUTPUT, .name = "logits"};
    add_node(m, n, &id, 1, NULL, 0);
}

/* ---- running the checker ---- */

struct outcome {
    struct check_report r;
    char code[8], text[512];
};

SPK_UNUSED static spk_status check(const struct image *im, const struct tgt *t,
                                   const struct ir_module *m, struct outcome *out)
{
    struct diag_list d;
    struct strbuf text = {0};
    spk_status status;

    memset(out, 0, sizeof *out);
    diag_init(&d);
    status = check_image(im, t, m, NULL, &d, &out->r);
    if (d.items.len) {
        diag_render_one(&d, 0, NULL, &text);
        snprintf(out->code, sizeof out->code, "%s", d.items.data[0]->code);
        snprintf(out->text, sizeof out->text, "%s", strbuf_cstr(&text));
    }
    strbuf_fini(&text);
    diag_fini(&d);
    return status;
}

SPK_UNUSED static void expect_clean(const struct image *im, const struct tgt *t,
                                    const struct ir_module *m)
{
    struct outcome o;

    if (check(im, t, m, &o) != SPK_OK)
        fail_msg("%llu violations: %s", (unsigned long long)o.r.violations, o.text);
    assert_int_equal(o.r.violations, 0);
    assert_string_equal(o.code, "");
}

SPK_UNUSED static void expect_found(const struct image *im, const struct tgt *t,
                                    const struct ir_module *m, const char *code, const char *part)
{
    struct outcome o;
    spk_status status = check(im, t, m, &o);

    if (status != SPK_DIFFERENCE || strcmp(o.code, code) != 0 || !strstr(o.text, part))
        fail_msg("expected %s with '%s', status %d, %llu violations: %s", code, part, status,
                 (unsigned long long)o.r.violations, o.text);
    assert_true(o.r.violations > 0);
    assert_int_equal(o.r.violations, o.r.legality + o.r.completeness);
}

#endif
