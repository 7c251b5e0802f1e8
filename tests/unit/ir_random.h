/* A seeded generator of valid modules, for the tests of the IR. */
#ifndef SPIKEC_TESTS_IR_RANDOM_H
#define SPIKEC_TESTS_IR_RANDOM_H

#include "ir_samples.h"
#include "support/rng.h"
#include "support/strbuf.h"

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
    static const enum ir_op ops[] = {IR_OP_CONV2D, IR_OP_LINEAR,   IR_OP_BATCHNORM, IR_OP_NEURON,
                                     IR_OP_ADD,    IR_OP_MAXPOOL,  IR_OP_RESHAPE,   IR_OP_ATTENTION,
                                     IR_OP_DELAY,  IR_OP_NEURON,   IR_OP_NEURON,    IR_OP_GELU,
                                     IR_OP_SLICE,  IR_OP_LAYERNORM};
    struct ir_module *m = s->m;
    bool q = m->stage == IR_STAGE_QUANTISED, model = m->stage == IR_STAGE_MODEL;
    struct ir_node n = s_op(ops[s_rnd(s, 0, sizeof ops / sizeof ops[0] - 1)]);
    const bool ordinary = n.op == IR_OP_BATCHNORM || n.op == IR_OP_GELU || n.op == IR_OP_SLICE ||
                          n.op == IR_OP_LAYERNORM;
    if ((ordinary && !model) || (n.op == IR_OP_DELAY && model))
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
    case IR_OP_SLICE:
        n.a.slice.begin = s_rnd(s, 0, t.channels - 1);
        n.a.slice.count = s_rnd(s, 1, t.channels - n.a.slice.begin);
        break;
    case IR_OP_LAYERNORM:
        n.a.norm.eps = 1e-6f;
        for (uint32_t i = s_rnd(s, 0, 1) * 2; i; i--)
            param[n_param++] = s_vector(s, IR_DT_F32, t.channels);
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

#endif
