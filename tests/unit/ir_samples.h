/* Modules for the tests of the IR: three small hand-written ones, one per stage, and a seeded
 * generator of valid modules. Failing to build one is a failure of the test that asked for it. */
#ifndef SPIKEC_TESTS_IR_SAMPLES_H
#define SPIKEC_TESTS_IR_SAMPLES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ir/ir.h"
#include "support/rng.h"
#include "support/strbuf.h"

#define SAMPLE SPK_UNUSED static

SAMPLE uint32_t s_param(struct ir_module *m, const char *name, enum ir_dtype dtype, uint32_t rank,
                        uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
    struct ir_param p = {.name = name, .dtype = dtype, .rank = rank, .dim = {a, b, c, d}};
    uint32_t id;
    assert_int_equal(ir_add_param(m, &p, &id), SPK_OK);
    return id;
}

/* Adds a node with these operands and params; name NULL for none. A named spike or count is
 * recorded where `recorded` is set. */
SAMPLE uint32_t s_node(struct ir_module *m, struct ir_node n, const char *name, bool recorded,
                       uint32_t n_operands, const uint32_t *operands, uint32_t n_params,
                       const uint32_t *params)
{
    uint32_t id, copy[8], param_copy[8];
    assert_true(n_operands <= 8 && n_params <= 8);
    for (uint32_t i = 0; i < n_operands; i++)
        copy[i] = operands[i];
    for (uint32_t i = 0; i < n_params; i++)
        param_copy[i] = params[i];
    n.name = name;
    n.recorded = recorded;
    n.n_operands = n_operands;
    n.operand = copy;
    n.n_params = n_params;
    n.param = param_copy;
    assert_int_equal(ir_add_node(m, &n, NULL, &id), SPK_OK);
    return id;
}
#define OPS(...)                                                                   \
    (uint32_t)(sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t)), (uint32_t[]) \
    {                                                                              \
        __VA_ARGS__                                                                \
    }
#define NONE 0, NULL

/* v = v + (input - v) / tau; v >= v_th; v = 0 (hard) or v - v_th (soft). */
struct s_lif {
    struct ir_eq charge[7], fire[1], th[1], reset[3];
    struct ir_neuron n;
};
SAMPLE void s_lif_init(struct s_lif *l, const char *name, float tau, float v_th, bool soft)
{
    memset(l, 0, sizeof *l);
    const struct ir_eq charge[7] = {{IR_EQ_STATE, 0, 0}, {IR_EQ_INPUT, 0, 0},   {IR_EQ_STATE, 0, 0},
                                    {IR_EQ_SUB, 0, 0},   {IR_EQ_CONST, 0, tau}, {IR_EQ_DIV, 0, 0},
                                    {IR_EQ_ADD, 0, 0}};
    memcpy(l->charge, charge, sizeof charge);
    l->fire[0] = (struct ir_eq){IR_EQ_STATE, 0, 0};
    l->th[0] = (struct ir_eq){IR_EQ_CONST, 0, v_th};
    l->reset[0] = soft ? l->fire[0] : (struct ir_eq){IR_EQ_CONST, 0, 0.0f};
    l->reset[1] = l->th[0];
    l->reset[2] = (struct ir_eq){IR_EQ_SUB, 0, 0};
    l->n.name = name;
    l->n.n_states = 1;
    l->n.state_name[0] = "v";
    l->n.charge[0] = (struct ir_expr){l->charge, 7};
    l->n.fire_lhs = (struct ir_expr){l->fire, 1};
    l->n.fire_rhs = (struct ir_expr){l->th, 1};
    l->n.reset[0] = (struct ir_expr){l->reset, soft ? 3 : 1};
    l->n.cmp = IR_CMP_GE;
}
SAMPLE uint32_t s_add_lif(struct ir_module *m, const char *name, float tau, float v_th, bool soft)
{
    struct s_lif l;
    uint32_t id;
    s_lif_init(&l, name, tau, v_th, soft);
    assert_int_equal(ir_add_neuron(m, &l.n, &id), SPK_OK);
    return id;
}

SAMPLE struct ir_node s_input(uint32_t c, uint32_t h, uint32_t w, bool events)
{
    struct ir_node n;
    memset(&n, 0, sizeof n);
    n.op = IR_OP_INPUT;
    n.type.layout = IR_CHW;
    n.type.channels = c;
    n.type.height = h;
    n.type.width = w;
    n.a.input.events = events;
    return n;
}
SAMPLE struct ir_node s_op(enum ir_op op)
{
    struct ir_node n;
    memset(&n, 0, sizeof n);
    n.op = op;
    return n;
}
SAMPLE struct ir_node s_conv(uint16_t kernel, uint16_t stride, uint16_t pad)
{
    struct ir_node n = s_op(IR_OP_CONV2D);
    n.a.conv = (struct ir_attr_conv){kernel, kernel, stride, stride, pad, pad, 0};
    return n;
}
SAMPLE struct ir_node s_neuron(uint32_t program)
{
    struct ir_node n = s_op(IR_OP_NEURON);
    n.a.neuron.program = program;
    return n;
}
SAMPLE struct ir_node s_reshape(enum ir_layout to)
{
    struct ir_node n = s_op(IR_OP_RESHAPE);
    n.a.reshape.to = to;
    return n;
}
SAMPLE struct ir_node s_attention(uint32_t heads, int32_t unit)
{
    struct ir_node n = s_op(IR_OP_ATTENTION);
    n.a.attention.heads = heads;
    n.a.attention.scale = 0.125f;
    n.a.attention.unit = unit;
    return n;
}
SAMPLE struct ir_node s_pool(uint16_t kernel, uint16_t stride, uint16_t pad)
{
    struct ir_node n = s_op(IR_OP_MAXPOOL);
    n.a.pool = (struct ir_attr_pool){kernel, stride, pad};
    return n;
}
SAMPLE struct ir_node s_repeat(uint32_t times)
{
    struct ir_node n = s_op(IR_OP_REPEAT);
    n.a.repeat = times;
    return n;
}
SAMPLE struct ir_node s_delay(uint32_t steps)
{
    struct ir_node n = s_op(IR_OP_DELAY);
    n.a.delay.steps = steps;
    return n;
}
SAMPLE struct ir_node s_readout(uint32_t divisor)
{
    struct ir_node n = s_op(IR_OP_READOUT);
    n.a.readout.divisor = divisor;
    return n;
}

SAMPLE struct ir_module *s_module(const char *name, enum ir_stage stage, uint32_t timesteps)
{
    struct ir_module *m;
    assert_int_equal(ir_module_create(name, &m), SPK_OK);
    m->stage = stage;
    m->timesteps = timesteps;
    if (stage == IR_STAGE_QUANTISED)
        m->target = "loihi1";
    return m;
}

/* Ids of the values of the samples that tests look for are found by name. */
SAMPLE struct ir_module *s_model(void)
{
    struct ir_module *m = s_module("sample", IR_STAGE_MODEL, 4);
    uint32_t lif = s_add_lif(m, "lif", 2.0f, 1.0f, false);
    uint32_t half = s_add_lif(m, "lif", 2.0f, 0.5f, false);
    uint32_t w = s_param(m, "stem.conv.weight", IR_DT_F32, 4, 8, 3, 2, 2);
    uint32_t bn[4] = {s_param(m, "stem.bn.weight", IR_DT_F32, 1, 8, 0, 0, 0),
                      s_param(m, "stem.bn.bias", IR_DT_F32, 1, 8, 0, 0, 0),
                      s_param(m, "stem.bn.running_mean", IR_DT_F32, 1, 8, 0, 0, 0),
                      s_param(m, "stem.bn.running_var", IR_DT_F32, 1, 8, 0, 0, 0)};
    uint32_t wq = s_param(m, "q.weight", IR_DT_F32, 2, 8, 8, 0, 0);
    uint32_t bq = s_param(m, "q.bias", IR_DT_F32, 1, 8, 0, 0, 0);
    uint32_t wh = s_param(m, "head.weight", IR_DT_F32, 2, 5, 8, 0, 0);
    uint32_t bh = s_param(m, "head.bias", IR_DT_F32, 1, 5, 0, 0, 0);
    struct ir_node input = s_input(3, 8, 8, false), norm = s_op(IR_OP_BATCHNORM);
    input.a.input.normalise = true;
    input.a.input.n_norm = 3;
    for (int i = 0; i < 3; i++) {
        input.a.input.mean[i] = 0.1f * (float)i;
        input.a.input.std[i] = 0.25f;
    }
    norm.a.eps = 1e-5f;
    uint32_t image = s_node(m, input, "image", false, NONE, NONE);
    uint32_t conv = s_node(m, s_conv(2, 2, 0), NULL, false, OPS(image), OPS(w));
    uint32_t normed = s_node(m, norm, NULL, false, OPS(conv), 4, bn);
    uint32_t rep = s_node(m, s_repeat(4), "stem.repeat", false, OPS(normed), NONE);
    uint32_t stem = s_node(m, s_neuron(lif), "stem_lif", true, OPS(rep), NONE);
    uint32_t tokens = s_node(m, s_reshape(IR_CN), "tokens", false, OPS(stem), NONE);
    uint32_t q = s_node(m, s_op(IR_OP_LINEAR), "q", false, OPS(tokens), OPS(wq, bq));
    uint32_t ql = s_node(m, s_neuron(lif), "q_lif", true, OPS(q), NONE);
    uint32_t at = s_node(m, s_attention(2, 0), "attn", false, OPS(ql, ql, tokens), NONE);
    uint32_t al = s_node(m, s_neuron(half), "attn_lif", true, OPS(at), NONE);
    uint32_t sum = s_node(m, s_op(IR_OP_ADD), "attn.out", true, OPS(tokens, al), NONE);
    uint32_t mean = s_node(m, s_op(IR_OP_MEAN), "features", false, OPS(sum), NONE);
    uint32_t head = s_node(m, s_op(IR_OP_LINEAR), "head", false, OPS(mean), OPS(wh, bh));
    (void)s_node(m, s_op(IR_OP_OUTPUT), "logits", false, OPS(head), NONE);
    return m;
}

/* A small masked autoencoder with every op of ordinary networks: two outputs, a mask. */
SAMPLE struct ir_module *s_autoencoder(void)
{
    struct ir_module *m = s_module("sample.autoencoder", IR_STAGE_MODEL, 2);
    uint32_t lif = s_add_lif(m, "lif", 2.0f, 1.0f, false);
    uint32_t w = s_param(m, "stem.weight", IR_DT_F32, 4, 4, 1, 2, 2);
    uint32_t we = s_param(m, "embed.weight", IR_DT_F32, 2, 12, 4, 0, 0);
    uint32_t token = s_param(m, "mask_token", IR_DT_F32, 1, 12, 0, 0, 0);
    uint32_t table = s_param(m, "pos_embed", IR_DT_F32, 2, 4, 12, 0, 0);
    uint32_t nw = s_param(m, "norm.weight", IR_DT_F32, 1, 12, 0, 0, 0);
    uint32_t nb = s_param(m, "norm.bias", IR_DT_F32, 1, 12, 0, 0, 0);
    uint32_t wp = s_param(m, "pred.weight", IR_DT_F32, 2, 16, 4, 0, 0);
    struct ir_node grid = s_input(1, 2, 2, false), time = s_op(IR_OP_MEAN);
    struct ir_node norm = s_op(IR_OP_LAYERNORM), unit = s_op(IR_OP_LAYERNORM);
    struct ir_node cut = s_op(IR_OP_SLICE), soft = s_op(IR_OP_SOFTMAX_ATTENTION);
    struct ir_node patch = s_op(IR_OP_PATCHES);
    grid.a.input.mask = true;
    time.a.over_time = true;
    norm.a.norm.eps = unit.a.norm.eps = 1e-6f;
    unit.a.norm.sample = true;
    cut.a.slice.count = 4;
    soft.a.attention.heads = 2;
    soft.a.attention.scale = 0.5f;
    patch.a.patch = 4;
    uint32_t image = s_node(m, s_input(1, 8, 8, false), "image", false, NONE, NONE);
    uint32_t hidden = s_node(m, grid, "hidden", false, NONE, NONE);
    uint32_t rep = s_node(m, s_repeat(2), NULL, false, OPS(image), NONE);
    uint32_t conv = s_node(m, s_conv(2, 2, 0), NULL, false, OPS(rep), OPS(w));
    uint32_t masked = s_node(m, s_op(IR_OP_MASK), "masked", false, OPS(conv, hidden), NONE);
    uint32_t stem = s_node(m, s_neuron(lif), "stem_lif", true, OPS(masked), NONE);
    uint32_t pool = s_node(m, s_pool(2, 2, 0), "pool", true, OPS(stem), NONE);
    uint32_t tokens = s_node(m, s_reshape(IR_NC), NULL, false, OPS(pool), NONE);
    uint32_t x = s_node(m, time, "tokens.mean", false, OPS(tokens), NONE);
    x = s_node(m, s_op(IR_OP_LINEAR), NULL, false, OPS(x), OPS(we));
    x = s_node(m, s_op(IR_OP_MASK), "token", false, OPS(x, hidden), OPS(token));
    x = s_node(m, s_op(IR_OP_OFFSET), "offset", false, OPS(x), OPS(table));
    x = s_node(m, norm, "norm", false, OPS(x), OPS(nw, nb));
    uint32_t q = s_node(m, cut, "q", false, OPS(x), NONE);
    cut.a.slice.begin = 4;
    uint32_t k = s_node(m, cut, NULL, false, OPS(x), NONE);
    cut.a.slice.begin = 8;
    uint32_t v = s_node(m, cut, NULL, false, OPS(x), NONE);
    x = s_node(m, soft, "soft", false, OPS(q, k, v), NONE);
    x = s_node(m, s_op(IR_OP_GELU), "gelu", false, OPS(x), NONE);
    x = s_node(m, s_op(IR_OP_LINEAR), "pred", false, OPS(x), OPS(wp));
    uint32_t y = s_node(m, patch, "patches", false, OPS(image), NONE);
    y = s_node(m, unit, "target", false, OPS(y), NONE);
    uint32_t loss = s_node(m, s_op(IR_OP_MSE), "mse", false, OPS(x, y, hidden), NONE);
    (void)s_node(m, s_op(IR_OP_OUTPUT), "reconstruction", false, OPS(x), NONE);
    (void)s_node(m, s_op(IR_OP_OUTPUT), "loss", false, OPS(loss), NONE);
    return m;
}

SAMPLE struct ir_module *s_lowered(void)
{
    struct ir_module *m = s_module("sample.lowered", IR_STAGE_LOWERED, 4);
    uint32_t lif = s_add_lif(m, "lif", 2.0f, 1.0f, false);
    uint32_t w = s_param(m, "stem.weight", IR_DT_F32, 4, 8, 2, 3, 3);
    uint32_t b = s_param(m, "stem.bias", IR_DT_F32, 1, 8, 0, 0, 0);
    uint32_t wp = s_param(m, "proj.weight", IR_DT_F32, 2, 8, 8, 0, 0);
    uint32_t wh = s_param(m, "head.weight", IR_DT_F32, 2, 5, 8, 0, 0);
    uint32_t image = s_node(m, s_input(2, 8, 8, false), "image", false, NONE, NONE);
    uint32_t conv = s_node(m, s_conv(3, 1, 1), NULL, false, OPS(image), OPS(w, b));
    uint32_t rep = s_node(m, s_repeat(4), NULL, false, OPS(conv), NONE);
    uint32_t stem = s_node(m, s_neuron(lif), "stem_lif", true, OPS(rep), NONE);
    uint32_t pool = s_node(m, s_pool(3, 2, 1), "stem.pool", true, OPS(stem), NONE);
    uint32_t x = s_node(m, s_reshape(IR_NC), "x", false, OPS(pool), NONE);
    uint32_t p = s_node(m, s_op(IR_OP_LINEAR), NULL, false, OPS(x), OPS(wp));
    uint32_t y = s_node(m, s_neuron(lif), "y_lif", true, OPS(p), NONE);
    uint32_t sum = s_node(m, s_op(IR_OP_ADD), "block.out", true, OPS(x, y), NONE);
    uint32_t late = s_node(m, s_delay(2), "x.late", false, OPS(x), NONE);
    uint32_t two = s_node(m, s_op(IR_OP_LINEAR), NULL, false, OPS(late, y), OPS(wp));
    uint32_t z = s_node(m, s_neuron(lif), "z_lif", true, OPS(two), NONE);
    (void)s_node(m, s_op(IR_OP_ADD), "block.out2", true, OPS(sum, z), NONE);
    uint32_t out = s_node(m, s_readout(64), "head", false, OPS(x, y, z), OPS(wh));
    (void)s_node(m, s_op(IR_OP_OUTPUT), "logits", false, OPS(out), NONE);
    return m;
}

SAMPLE struct ir_module *s_quantised(void)
{
    struct ir_module *m = s_module("sample.quantised", IR_STAGE_QUANTISED, 3);
    uint32_t we = s_param(m, "stem.w_q", IR_DT_I16, 4, 4, 1, 2, 2);
    uint32_t be = s_param(m, "stem.b_q", IR_DT_I32, 1, 4, 0, 0, 0);
    uint32_t th = s_param(m, "stem.vth", IR_DT_I32, 1, 4, 0, 0, 0);
    uint32_t bias = s_param(m, "q.bias", IR_DT_I32, 1, 4, 0, 0, 0);
    uint32_t wq = s_param(m, "q.w", IR_DT_I8, 2, 4, 4, 0, 0);
    uint32_t wc = s_param(m, "c.w", IR_DT_I8, 4, 4, 4, 1, 1);
    uint32_t wh = s_param(m, "head.weight", IR_DT_F32, 2, 3, 4, 0, 0);
    uint32_t bh = s_param(m, "head.bias", IR_DT_F32, 1, 3, 0, 0, 0);
    struct ir_node lif = s_neuron(IR_NONE), enc = s_op(IR_OP_ENCODE), lin = s_op(IR_OP_LINEAR);
    lif.a.neuron.q = (struct ir_neuron_q){.decay = 2048, .bits = 24};
    enc.a.encode = (struct ir_attr_encode){IR_ENCODE_CURRENT, {2, 2, 2, 2, 0, 0, 0}, 8, 3, 2, 4095};
    lin.a.conv.shift = 7;
    uint32_t image = s_node(m, s_input(1, 8, 8, false), "image", false, NONE, NONE);
    uint32_t cur = s_node(m, enc, NULL, false, OPS(image), OPS(we, be));
    uint32_t stem = s_node(m, lif, "stem_lif", true, OPS(cur), OPS(th, bias));
    uint32_t conv = s_node(m, s_conv(1, 1, 0), NULL, false, OPS(stem), OPS(wc));
    uint32_t cl = s_node(m, lif, "c_lif", true, OPS(conv), OPS(th));
    uint32_t x = s_node(m, s_reshape(IR_CN), NULL, false, OPS(cl), NONE);
    uint32_t q = s_node(m, lin, NULL, false, OPS(x), OPS(wq));
    uint32_t ql = s_node(m, lif, "q_lif", true, OPS(q), OPS(th, bias));
    uint32_t at = s_node(m, s_attention(2, 1024), NULL, false, OPS(ql, ql, x), NONE);
    uint32_t al = s_node(m, lif, "attn_lif", true, OPS(at), OPS(th));
    (void)s_node(m, s_op(IR_OP_ADD), "attn.out", true, OPS(x, al), NONE);
    uint32_t relay = s_node(m, s_delay(3), NULL, false, OPS(x, al), NONE);
    uint32_t out = s_node(m, s_readout(48), "head", false, OPS(relay), OPS(wh, bh));
    (void)s_node(m, s_op(IR_OP_OUTPUT), "logits", false, OPS(out), NONE);
    return m;
}

/* ---- random modules ---- */

SAMPLE float s_random_float(struct rng *r)
{
    static const float special[] = {0.0f, -0.0f, 1.0f, -1.0f, 0.5f, 1e-45f, 3.4e38f, 0.1f};
    if (rng_below(r, 3) == 0)
        return special[rng_below(r, 8)];
    return (float)rng_normal(r);
}

/* Random postfix code of one value; returns the number of codes (at most max, at least 1). */
SAMPLE uint32_t s_random_expr(struct rng *r, struct ir_eq *code, uint32_t max, uint32_t states)
{
    uint32_t n = 0, depth = 0;
    while (n + depth + 1 < max && (depth != 1 || rng_below(r, 4))) {
        uint32_t pick = (uint32_t)rng_below(r, 4);
        struct ir_eq e = {IR_EQ_CONST, 0, 0.0f};
        if (depth >= 2 && (pick >= 2 || depth >= 15)) {
            static const uint8_t binary[] = {IR_EQ_ADD, IR_EQ_SUB, IR_EQ_MUL,
                                             IR_EQ_DIV, IR_EQ_MIN, IR_EQ_MAX};
            e.code = binary[rng_below(r, 6)];
            depth--;
        } else if (depth >= 1 && pick == 1) {
            e.code = rng_below(r, 2) ? IR_EQ_NEG : IR_EQ_ABS;
        } else {
            e.code = (uint8_t)(IR_EQ_CONST + rng_below(r, 3));
            e.k = e.code == IR_EQ_CONST ? s_random_float(r) : 0.0f;
            e.arg = e.code == IR_EQ_STATE ? (uint8_t)rng_below(r, states) : 0;
            depth++;
        }
        code[n++] = e;
    }
    for (; depth > 1; depth--)
        code[n++] = (struct ir_eq){rng_below(r, 2) ? IR_EQ_SUB : IR_EQ_DIV, 0, 0.0f};
    return n;
}

SAMPLE void s_random_neuron(struct rng *r, struct ir_module *m)
{
    static const char *const names[] = {"v", "u", "input", "two words", "\xc3\xa4", "v"};
    struct ir_eq code[10][40];
    struct ir_neuron n;
    uint32_t id;
    memset(&n, 0, sizeof n);
    n.name = rng_below(r, 2) ? "lif" : "a \"quoted\"\tname";
    n.n_states = 1 + (uint32_t)rng_below(r, IR_MAX_STATES);
    for (uint32_t i = 0; i < n.n_states; i++) {
        n.state_name[i] = names[rng_below(r, 6)];
        n.state_init[i] = s_random_float(r);
        if (rng_below(r, 3))
            n.charge[i] = (struct ir_expr){code[i], s_random_expr(r, code[i], 40, n.n_states)};
        if (rng_below(r, 3))
            n.reset[i] =
                (struct ir_expr){code[4 + i], s_random_expr(r, code[4 + i], 40, n.n_states)};
    }
    n.fire_lhs = (struct ir_expr){code[8], s_random_expr(r, code[8], 40, n.n_states)};
    n.fire_rhs = (struct ir_expr){code[9], s_random_expr(r, code[9], 40, n.n_states)};
    n.cmp = rng_below(r, 2) ? IR_CMP_GE : IR_CMP_GT;
    assert_int_equal(ir_add_neuron(m, &n, &id), SPK_OK);
}

struct s_random {
    struct rng rng;
    struct ir_module *m;
    uint32_t serial;
    char name[64];
};

SAMPLE uint32_t s_rnd(struct s_random *s, uint32_t low, uint32_t high)
{
    return low + (uint32_t)rng_below(&s->rng, (uint64_t)high - low + 1);
}

SAMPLE const char *s_name(struct s_random *s, const char *stem)
{
    static const char *const odd[] = {"", ".x", " space", "\"q\"", "\\", "\n", "\xe2\x82\xac"};
    struct strbuf b = {0};
    strbuf_printf(&b, "%s%s.%u", stem, odd[s_rnd(s, 0, 6)], s->serial++);
    memset(s->name, 0, sizeof s->name);
    memcpy(s->name, strbuf_cstr(&b), b.len < sizeof s->name ? b.len : sizeof s->name - 1);
    strbuf_fini(&b);
    return s->name;
}

SAMPLE bool s_events(const struct ir_type *t)
{
    return t->kind == IR_SPIKE || t->kind == IR_COUNT;
}

/* A value that may feed `op` in this stage, IR_NONE where none was found. */
SAMPLE uint32_t s_pick(struct s_random *s, enum ir_op op)
{
    const struct ir_module *m = s->m;
    bool model = m->stage == IR_STAGE_MODEL;
    for (uint32_t tries = 0; tries < 20; tries++) {
        uint32_t id = s_rnd(s, 0, m->n_nodes - 1);
        const struct ir_node *n = &m->node[id];
        const struct ir_type *t = &n->type;
        bool fine = n->op != IR_OP_INPUT || model;
        if (n->op == IR_OP_ADD && !model && op != IR_OP_ADD)
            continue;
        if (op == IR_OP_CONV2D || op == IR_OP_MAXPOOL)
            fine &= t->layout == IR_CHW;
        if (op == IR_OP_CONV2D || op == IR_OP_LINEAR)
            fine &= model || s_events(t);
        if (op == IR_OP_MAXPOOL)
            fine &= model || t->kind == IR_SPIKE;
        if (op == IR_OP_NEURON)
            fine &= t->kind == IR_CURRENT;
        if (op == IR_OP_BATCHNORM)
            fine &= t->kind == IR_CURRENT;
        if (op == IR_OP_ADD || op == IR_OP_DELAY || op == IR_OP_ATTENTION || op == IR_OP_READOUT)
            fine &= s_events(t);
        if (op == IR_OP_ATTENTION)
            fine &= t->layout == IR_CN || t->layout == IR_NC;
        if (op == IR_OP_RESHAPE)
            fine &= t->layout != IR_C;
        if (fine)
            return id;
    }
    return IR_NONE;
}

SAMPLE uint32_t s_weight(struct s_random *s, uint32_t rank, uint32_t a, uint32_t b, uint32_t k)
{
    enum ir_dtype t = s->m->stage == IR_STAGE_QUANTISED ? IR_DT_I8 : IR_DT_F32;
    return s_param(s->m, s_name(s, "w"), t, rank, a, b, k, k);
}

SAMPLE uint32_t s_vector(struct s_random *s, enum ir_dtype t, uint32_t n)
{
    return s_param(s->m, s_name(s, "vec"), t, 1, n, 0, 0, 0);
}

/* Adds one random node; nothing where no operand was found. */
SAMPLE void s_random_node(struct s_random *s)
{
    static const enum ir_op ops[] = {IR_OP_CONV2D, IR_OP_LINEAR,  IR_OP_BATCHNORM, IR_OP_NEURON,
                                     IR_OP_ADD,    IR_OP_MAXPOOL, IR_OP_RESHAPE,   IR_OP_ATTENTION,
                                     IR_OP_DELAY,  IR_OP_NEURON,  IR_OP_NEURON};
    struct ir_module *m = s->m;
    bool q = m->stage == IR_STAGE_QUANTISED, model = m->stage == IR_STAGE_MODEL;
    struct ir_node n = s_op(ops[s_rnd(s, 0, 10)]);
    if ((n.op == IR_OP_BATCHNORM && !model) || (n.op == IR_OP_DELAY && model))
        return;
    uint32_t x = s_pick(s, n.op), operand[3] = {x, x, x}, param[4], n_param = 0;
    uint32_t n_operand = ir_op_info(n.op)->min_operands;
    if (x == IR_NONE)
        return;
    struct ir_type t = m->node[x].type;
    uint32_t out = s_rnd(s, 1, 3) * 4;
    switch (n.op) {
    case IR_OP_CONV2D:
        n = s_conv((uint16_t)s_rnd(s, 1, 3), (uint16_t)s_rnd(s, 1, 2), 1);
        param[n_param++] = s_weight(s, 4, out, t.channels, n.a.conv.kernel_h);
        break;
    case IR_OP_LINEAR:
        param[n_param++] = s_weight(s, 2, out, t.channels, 0);
        n_operand = model ? 1 : s_rnd(s, 1, 3);
        break;
    case IR_OP_BATCHNORM:
        for (; n_param < 4; n_param++)
            param[n_param] = s_vector(s, IR_DT_F32, t.channels);
        n.a.eps = 1e-5f;
        break;
    case IR_OP_NEURON:
        n.a.neuron.program = q ? IR_NONE : s_rnd(s, 0, m->n_neurons - 1);
        if (q) {
            n.a.neuron.q.decay = (uint16_t)s_rnd(s, 0, 4096);
            n.a.neuron.q.bits = 24;
            n.a.neuron.q.soft_reset = s_rnd(s, 0, 1);
        }
        for (uint32_t i = q ? s_rnd(s, 1, 2) : 0; i; i--)
            param[n_param++] = s_vector(s, IR_DT_I32, t.channels);
        break;
    case IR_OP_MAXPOOL:
        n = s_pool(2, 1, 1);
        break;
    case IR_OP_RESHAPE:
        n = s_reshape(t.layout == IR_CN ? IR_NC : IR_CN);
        break;
    case IR_OP_ATTENTION:
        n = s_attention(1, q ? 64 : 0);
        n.a.attention.order = (enum ir_attn_order)s_rnd(s, 0, 2);
        break;
    case IR_OP_DELAY:
        n = s_delay(s_rnd(s, 1, 60));
        n_operand = s_rnd(s, 1, 3);
        break;
    default:
        break;
    }
    if ((n.op == IR_OP_CONV2D || n.op == IR_OP_LINEAR) && q)
        n.a.conv.shift = (uint8_t)s_rnd(s, 0, 12);
    else if ((n.op == IR_OP_CONV2D || n.op == IR_OP_LINEAR) && s_rnd(s, 0, 1))
        param[n_param++] = s_vector(s, IR_DT_F32, out);
    bool spikes = n.op == IR_OP_NEURON || n.op == IR_OP_ADD || n.op == IR_OP_DELAY;
    bool recorded = n.op == IR_OP_ADD || (spikes && s_rnd(s, 0, 1));
    const char *name = recorded || s_rnd(s, 0, 1) ? s_name(s, "value") : NULL;
    (void)s_node(m, n, name, recorded, n_operand, operand, n_param, param);
}

SAMPLE void s_random_start(struct s_random *s)
{
    struct ir_module *m = s->m;
    bool events = s_rnd(s, 0, 1), q = m->stage == IR_STAGE_QUANTISED;
    struct ir_node input = s_input(s_rnd(s, 1, 3), s_rnd(s, 4, 9), s_rnd(s, 4, 9), events);
    uint32_t c = input.type.channels;
    if (!events && s_rnd(s, 0, 1)) {
        input.a.input.normalise = true;
        input.a.input.n_norm = c;
        for (uint32_t i = 0; i < c; i++) {
            input.a.input.mean[i] = s_random_float(&s->rng);
            input.a.input.std[i] = 0.3f;
        }
    }
    uint32_t x = s_node(m, input, s_name(s, "image"), false, NONE, NONE);
    struct ir_node enc = s_op(IR_OP_ENCODE);
    enc.a.encode.kind = IR_ENCODE_EVENTS;
    if (events && m->stage != IR_STAGE_MODEL) {
        (void)s_node(m, enc, NULL, false, OPS(x), NONE);
    } else if (!events && q) {
        uint32_t w = s_param(m, s_name(s, "w"), IR_DT_I16, 4, 4, c, 3, 3);
        enc.a.encode =
            (struct ir_attr_encode){IR_ENCODE_CURRENT, {3, 3, 1, 1, 1, 1, 0}, 7, 2, 1, 4095};
        x = s_node(m, enc, NULL, false, OPS(x), OPS(w));
        struct ir_node lif = s_neuron(IR_NONE);
        lif.a.neuron.q.bits = 24;
        uint32_t th = s_vector(s, IR_DT_I32, 4);
        (void)s_node(m, lif, s_name(s, "stem"), true, OPS(x), OPS(th));
    } else if (!events) {
        uint32_t w = s_weight(s, 4, 4, c, 3);
        x = s_node(m, s_conv(3, 1, 1), NULL, false, OPS(x), OPS(w));
        x = s_node(m, s_repeat(m->timesteps), NULL, false, OPS(x), NONE);
        (void)s_node(m, s_neuron(0), s_name(s, "stem"), true, OPS(x), NONE);
    }
}

SAMPLE void s_random_end(struct s_random *s)
{
    struct ir_module *m = s->m;
    if (m->stage == IR_STAGE_MODEL) {
        uint32_t mean = s_node(m, s_op(IR_OP_MEAN), NULL, false, OPS(m->n_nodes - 1), NONE);
        (void)s_node(m, s_op(IR_OP_OUTPUT), s_name(s, "y"), false, OPS(mean), NONE);
        return;
    }
    uint32_t x = s_pick(s, IR_OP_READOUT);
    if (x == IR_NONE)
        return;
    const struct ir_type *t = &m->node[x].type;
    uint32_t w = s_param(m, s_name(s, "head"), IR_DT_F32, 2, 7, t->channels, 0, 0);
    struct ir_node head = s_readout((uint32_t)ir_type_positions(t) * t->timesteps);
    uint32_t y = s_node(m, head, NULL, false, OPS(x), OPS(w));
    (void)s_node(m, s_op(IR_OP_OUTPUT), "logits", false, OPS(y), NONE);
}

SAMPLE struct ir_module *s_random_module(uint64_t seed)
{
    struct s_random s;
    memset(&s, 0, sizeof s);
    rng_seed(&s.rng, seed);
    s.m = s_module(s_name(&s, "m"), (enum ir_stage)s_rnd(&s, 0, 2), s_rnd(&s, 1, 6));
    if (s_rnd(&s, 0, 1))
        s.m->declared_rate = 0.15f;
    for (uint32_t i = s_rnd(&s, 1, 3); i; i--)
        s_random_neuron(&s.rng, s.m);
    s_random_start(&s);
    for (uint32_t i = s_rnd(&s, 0, 25); i; i--)
        s_random_node(&s);
    s_random_end(&s);
    return s.m;
}

/* Whether a diagnostic with this code was reported. */
SAMPLE bool s_has_code(const struct diag_list *d, const char *code)
{
    for (size_t i = 0; i < d->items.len; i++) {
        if (strcmp(d->items.data[i]->code, code) == 0)
            return true;
    }
    return false;
}

/* Whether some message or remedy holds this text. */
SAMPLE bool s_has_text(const struct diag_list *d, const char *text)
{
    for (size_t i = 0; i < d->items.len; i++) {
        const struct diag *x = d->items.data[i];
        if (strstr(x->message, text) || (x->help && strstr(x->help, text)))
            return true;
    }
    return false;
}

#endif
