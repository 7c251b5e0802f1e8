/* Small networks for tests of passes: a Spikformer V2 and a V1 stem with max-pools, built through
 * the IR's own builder, with weights from a seeded generator. All weights are dyadic (multiples of
 * 1/16, batch norm scales powers of two), so that every float sum is exact in any order and a pass
 * that keeps the meaning keeps every bit.                                                     */
#ifndef SPIKEC_TESTS_PASSES_FIXTURE_H
#define SPIKEC_TESTS_PASSES_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/ir.h"
#include "ir/target.h"
#include "support/alloc.h"
#include "support/diag.h"
#include "support/rng.h"

struct fx_config {
    bool events, v1;
    uint32_t channels, size, stages, dim, depth, heads, mlp_ratio, timesteps, classes;
    float scale;
    bool with_data;
};

/* Gives the data of a param (malloc'ed through spk_alloc), or NULL. */
typedef float *(*fx_data)(void *ctx, const struct ir_param *p);

struct fx {
    struct ir_module *m;
    struct diag_list *d;
    struct fx_config c;
    fx_data data;
    void *ctx;
    uint32_t lif, lif_half;
};

#define FX_CHECK(x)                                                           \
    do {                                                                      \
        if ((x) != SPK_OK) {                                                  \
            fprintf(stderr, "fixture: %s failed in line %d\n", #x, __LINE__); \
            abort();                                                          \
        }                                                                     \
    } while (0)

static float *fx_dyadic(void *ctx, const struct ir_param *p)
{
    struct rng *rng = ctx;
    uint64_t n = ir_param_elements(p);
    float *x = spk_alloc((size_t)n * sizeof *x);
    const char *name = p->name;
    if (!x)
        abort();
    for (uint64_t i = 0; i < n; i++) {
        float r = (float)((int64_t)rng_below(rng, 33) - 16) / 16.0f;
        if (p->rank >= 2)
            x[i] = r;
        else if (strstr(name, "running_var"))
            x[i] = rng_below(rng, 2) ? 0.25f : 1.0f; /* eps is 0 in the fixture */
        else if (strstr(name, "_bn.weight") || strstr(name, ".bn1.weight") ||
                 strstr(name, ".bn2.weight"))
            x[i] = 0.5f;
        else
            x[i] = r;
    }
    return x;
}

static uint32_t fx_param(struct fx *f, const char *name, uint32_t rank, uint32_t a, uint32_t b,
                         uint32_t k)
{
    struct ir_param p = {.name = name, .dtype = IR_DT_F32, .rank = rank, .dim = {a, b, k, k}};
    uint32_t id;
    float *data = f->c.with_data && f->data ? f->data(f->ctx, &p) : NULL;
    if (data)
        FX_CHECK(ir_module_own(f->m, data));
    p.data = data;
    FX_CHECK(ir_add_param(f->m, &p, &id));
    return id;
}

static uint32_t fx_node(struct fx *f, struct ir_node n, const uint32_t *operand, uint32_t no,
                        const uint32_t *param, uint32_t np)
{
    uint32_t id, ids[8], params[4];
    for (uint32_t i = 0; i < no; i++)
        ids[i] = operand[i];
    for (uint32_t i = 0; i < np; i++)
        params[i] = param[i];
    n.operand = ids;
    n.n_operands = no;
    n.param = params;
    n.n_params = np;
    FX_CHECK(ir_add_node(f->m, &n, f->d, &id));
    return id;
}

static uint32_t fx_neuron(struct fx *f, float tau, float v_th)
{
    const struct ir_eq charge[] = {{IR_EQ_STATE, 0, 0.0f}, {IR_EQ_INPUT, 0, 0.0f},
                                   {IR_EQ_STATE, 0, 0.0f}, {IR_EQ_SUB, 0, 0.0f},
                                   {IR_EQ_CONST, 0, tau},  {IR_EQ_DIV, 0, 0.0f},
                                   {IR_EQ_ADD, 0, 0.0f}};
    const struct ir_eq v = {IR_EQ_STATE, 0, 0.0f}, th = {IR_EQ_CONST, 0, v_th},
                       zero = {IR_EQ_CONST, 0, 0.0f};
    struct ir_neuron n;
    uint32_t id;
    memset(&n, 0, sizeof n);
    n.name = "lif";
    n.n_states = 1;
    n.state_name[0] = "v";
    n.charge[0] = (struct ir_expr){charge, 7};
    n.reset[0] = (struct ir_expr){&zero, 1};
    n.fire_lhs = (struct ir_expr){&v, 1};
    n.fire_rhs = (struct ir_expr){&th, 1};
    n.cmp = IR_CMP_GE;
    FX_CHECK(ir_add_neuron(f->m, &n, &id));
    return id;
}

static uint32_t fx_lif(struct fx *f, uint32_t current, const char *name, uint32_t program)
{
    struct ir_node n = {.op = IR_OP_NEURON, .name = name, .recorded = true};
    n.a.neuron.program = program;
    return fx_node(f, n, &current, 1, NULL, 0);
}

static uint32_t fx_bn(struct fx *f, uint32_t x, const char *prefix)
{
    static const char *const part[] = {"weight", "bias", "running_mean", "running_var"};
    struct ir_node n = {.op = IR_OP_BATCHNORM};
    uint32_t params[4];
    char name[128];
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "%s.%s", prefix, part[i]);
        params[i] = fx_param(f, name, 1, f->m->node[x].type.channels, 0, 0);
    }
    n.a.eps = f->data == fx_dyadic ? 0.0f : 1e-5f;
    return fx_node(f, n, &x, 1, params, 4);
}

/* conv (kernel k) or, for k = 0, linear on tokens; then batch norm and neuron "<prefix>_lif". */
static uint32_t fx_layer(struct fx *f, uint32_t x, const char *conv, const char *bn,
                         const char *lif, uint32_t out, uint16_t k, uint16_t stride, uint16_t pad,
                         bool bias)
{
    struct ir_node n = {.op = k ? IR_OP_CONV2D : IR_OP_LINEAR};
    uint32_t params[2];
    char name[128];
    snprintf(name, sizeof name, "%s.weight", conv);
    params[0] = fx_param(f, name, k ? 4 : 2, out, f->m->node[x].type.channels, k);
    if (bias) {
        snprintf(name, sizeof name, "%s.bias", conv);
        params[1] = fx_param(f, name, 1, out, 0, 0);
    }
    if (k)
        n.a.conv = (struct ir_attr_conv){.kernel_h = k,
                                         .kernel_w = k,
                                         .stride_h = stride,
                                         .stride_w = stride,
                                         .pad_h = pad,
                                         .pad_w = pad};
    x = fx_node(f, n, &x, 1, params, bias ? 2 : 1);
    x = fx_bn(f, x, bn);
    return fx_lif(f, x, lif, f->lif);
}

static uint32_t fx_add(struct fx *f, uint32_t a, uint32_t b, const char *name)
{
    struct ir_node n = {.op = IR_OP_ADD, .name = name, .recorded = name != NULL};
    const uint32_t ids[2] = {a, b};
    return fx_node(f, n, ids, 2, NULL, 0);
}

static uint32_t fx_stem_v2(struct fx *f, uint32_t x)
{
    char conv[64], bn[64], lif[64];
    for (uint32_t i = 0; i < f->c.stages; i++) {
        uint32_t width = f->c.dim >> (f->c.stages - 1 - i);
        snprintf(conv, sizeof conv, "patch_embed.stage%u.down_conv", (unsigned)i);
        snprintf(bn, sizeof bn, "patch_embed.stage%u.down_bn", (unsigned)i);
        snprintf(lif, sizeof lif, "patch_embed.stage%u.down_lif", (unsigned)i);
        x = fx_layer(f, x, conv, bn, lif, width, 2, 2, 0, false);
        uint32_t h = x;
        for (unsigned j = 1; j <= 2; j++) {
            const char *at = "patch_embed.stage";
            snprintf(conv, sizeof conv, "%s%u.block0.conv%u", at, (unsigned)i, j);
            snprintf(bn, sizeof bn, "%s%u.block0.bn%u", at, (unsigned)i, j);
            snprintf(lif, sizeof lif, "%s%u.block0.lif%u", at, (unsigned)i, j);
            h = fx_layer(f, h, conv, bn, lif, j == 1 ? 4 * width : width, 3, 1, 1, false);
        }
        x = fx_add(f, x, h, i + 1 == f->c.stages ? "patch_embed.out" : NULL);
    }
    return x;
}

static uint32_t fx_stem_v1(struct fx *f, uint32_t x)
{
    char conv[64], bn[64], lif[64];
    for (uint32_t i = 0; i < f->c.stages; i++) {
        uint32_t width = f->c.dim >> (f->c.stages - 1 - i);
        struct ir_node pool = {.op = IR_OP_MAXPOOL};
        snprintf(conv, sizeof conv, "patch_embed.proj_conv%u", (unsigned)i);
        snprintf(bn, sizeof bn, "patch_embed.proj%u_bn", (unsigned)i);
        snprintf(lif, sizeof lif, "patch_embed.proj_lif%u", (unsigned)i);
        x = fx_layer(f, x, conv, bn, lif, width, 3, 1, 1, false);
        pool.a.pool = (struct ir_attr_pool){3, 2, 1};
        x = fx_node(f, pool, &x, 1, NULL, 0);
    }
    uint32_t h = fx_layer(f, x, "patch_embed.rpe_conv", "patch_embed.rpe_bn", "patch_embed.rpe_lif",
                          f->c.dim, 3, 1, 1, false);
    return fx_add(f, x, h, "patch_embed.out");
}

static uint32_t fx_block(struct fx *f, uint32_t x, unsigned l)
{
    char conv[64], bn[64], lif[64];
    uint32_t qkv[3];
    for (int i = 0; i < 3; i++) {
        snprintf(conv, sizeof conv, "block.%u.attn.%c_conv", l, "qkv"[i]);
        snprintf(bn, sizeof bn, "block.%u.attn.%c_bn", l, "qkv"[i]);
        snprintf(lif, sizeof lif, "block.%u.attn.%c_lif", l, "qkv"[i]);
        qkv[i] = fx_layer(f, x, conv, bn, lif, f->c.dim, 0, 0, 0, false);
    }
    struct ir_node a = {.op = IR_OP_ATTENTION};
    a.a.attention.heads = f->c.heads;
    a.a.attention.scale = f->c.scale;
    uint32_t h = fx_node(f, a, qkv, 3, NULL, 0);
    snprintf(lif, sizeof lif, "block.%u.attn.attn_lif", l);
    h = fx_lif(f, h, lif, f->lif_half);
    snprintf(conv, sizeof conv, "block.%u.attn.proj_conv", l);
    snprintf(bn, sizeof bn, "block.%u.attn.proj_bn", l);
    snprintf(lif, sizeof lif, "block.%u.attn.proj_lif", l);
    h = fx_layer(f, h, conv, bn, lif, f->c.dim, 0, 0, 0, true);
    snprintf(lif, sizeof lif, "block.%u.attn.out", l);
    x = fx_add(f, x, h, lif);
    h = x;
    for (unsigned j = 1; j <= 2; j++) {
        snprintf(conv, sizeof conv, "block.%u.mlp.fc%u_conv", l, j);
        snprintf(bn, sizeof bn, "block.%u.mlp.fc%u_bn", l, j);
        snprintf(lif, sizeof lif, "block.%u.mlp.fc%u_lif", l, j);
        h = fx_layer(f, h, conv, bn, lif, j == 1 ? f->c.dim * f->c.mlp_ratio : f->c.dim, 0, 0, 0,
                     true);
    }
    snprintf(lif, sizeof lif, "block.%u.out", l);
    return fx_add(f, x, h, lif);
}

static uint32_t fx_input(struct fx *f)
{
    struct ir_node n = {.op = IR_OP_INPUT, .name = "image"};
    n.type = (struct ir_type){.layout = IR_CHW,
                              .timesteps = f->c.timesteps,
                              .channels = f->c.channels,
                              .height = f->c.size,
                              .width = f->c.size};
    n.a.input.events = f->c.events;
    uint32_t x = fx_node(f, n, NULL, 0, NULL, 0);
    if (f->c.events)
        return x;
    struct ir_node r = {.op = IR_OP_REPEAT};
    r.a.repeat = f->c.timesteps;
    return fx_node(f, r, &x, 1, NULL, 0);
}

/* The whole network at stage model; aborts on any error. */
static struct ir_module *fx_build(struct fx_config c, fx_data data, void *ctx, struct diag_list *d)
{
    struct fx f = {.d = d, .c = c, .data = data, .ctx = ctx};
    uint32_t params[2];
    FX_CHECK(ir_module_create("fixture", &f.m));
    f.m->timesteps = c.timesteps;
    f.lif = fx_neuron(&f, 2.0f, 1.0f);
    f.lif_half = fx_neuron(&f, 2.0f, 0.5f);
    uint32_t x = fx_input(&f);
    x = c.v1 ? fx_stem_v1(&f, x) : fx_stem_v2(&f, x);
    struct ir_node r = {.op = IR_OP_RESHAPE};
    r.a.reshape.to = IR_CN;
    x = fx_node(&f, r, &x, 1, NULL, 0);
    for (uint32_t l = 0; l < c.depth; l++)
        x = fx_block(&f, x, l);
    struct ir_node mean = {.op = IR_OP_MEAN};
    x = fx_node(&f, mean, &x, 1, NULL, 0);
    params[0] = fx_param(&f, "head.weight", 2, c.classes, c.dim, 0);
    params[1] = fx_param(&f, "head.bias", 1, c.classes, 0, 0);
    struct ir_node head = {.op = IR_OP_LINEAR, .name = "head"};
    x = fx_node(&f, head, &x, 1, params, 2);
    struct ir_node out = {.op = IR_OP_OUTPUT, .name = "logits"};
    (void)fx_node(&f, out, &x, 1, NULL, 0);
    return f.m;
}

static SPK_UNUSED struct ir_module *fx_tiny(struct fx_config c, uint64_t seed, struct diag_list *d)
{
    struct rng rng;
    rng_seed(&rng, seed);
    return fx_build(c, fx_dyadic, &rng, d);
}

/* The arithmetic of two kinds of chips; only what passes look at. */
static SPK_UNUSED struct tgt fx_target(bool programmable)
{
    struct tgt t;
    memset(&t, 0, sizeof t);
    t.name = programmable ? "graded" : "binary";
    t.arith = (struct tgt_arith){
        .neuron = programmable ? TGT_NEURON_PROGRAMMABLE : TGT_NEURON_FIXED,
        .state_bits = 24,
        .weight_bits = 8,
        .weight_even = !programmable,
        .current_shift = 6,
        .weight_exp_min = 0,
        .weight_exp_max = 7,
        .threshold_shift = 6,
        .threshold_mant_bits = 17,
        .bias_mant_bits = 13,
        .bias_exp_max = 7,
        .decay_max = 4096,
        .payload_bits = programmable ? 24 : 0,
        .two_ports = programmable,
        .embedded_latency = 8,
    };
    t.limit[TGT_DELAY] = (struct tgt_const){.present = true, .value = 62.0};
    t.attention = TGT_ATTN_AND_LIF | TGT_ATTN_EMBEDDED;
    if (programmable)
        t.attention |= TGT_ATTN_PRODUCT;
    return t;
}

#endif
