/* Modules for the tests of the IR: small hand-written ones, at least one per stage. Failing to
 * build one is a failure of the test that asked for it. */
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
