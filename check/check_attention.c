/* Checker: what the module says about the layers of an attention lowering.
 *
 * The lowering stands in the quantised module; where that leaves it open, the layers that exist
 * show it. Inner populations of the attention that feeds neuron X are the layers X.and, X.sum,
 * X.therm, X.gate, X.qrelay, X.acc. Where steps have several ticks, the phases of q, k, v and of
 * the inner layers follow from the lowering, and so do the ticks that a step must have at least:
 *   plastic  k and v leave at tick j for token j, q at tick N; N + 1 ticks
 *   serial   k and v likewise; accumulators (h, a, b) and q held back leave at tick a; max(N, d)
 * A value that has two phases at once is a violation.                                          */
#include <string.h>

#include "check/check_internal.h"
#include "support/alloc.h"

/* Whether there is a layer "BASE.SUFFIX". */
static bool exists(const struct check *c, const char *base, const char *suffix)
{
    size_t n = strlen(base);

    for (uint32_t i = 0; i < c->im->n_layers; i++) {
        const char *name = check_layer_name(c, i);

        if (strncmp(name, base, n) == 0 && name[n] == '.' && strcmp(name + n + 1, suffix) == 0)
            return true;
    }
    return false;
}

/* product and and_lif: and/product, sum or thermometer, relay of q, gate, then the neuron. */
static spk_status gated_attention(struct check *c, uint32_t layer, struct rule r,
                                  enum ir_attn_lowering l, const uint32_t *qkv)
{
    const char *base = check_layer_name(c, layer);
    uint32_t inner = r.heads * r.d * r.d, and_layer, middle, relay = qkv[0], gate;

    r.product = l == IR_LOWER_PRODUCT || (l == IR_LOWER_OPEN && exists(c, base, "sum"));
    r.kind = RULE_AND;
    SPK_TRY(check_set_inner(c, base, "and", r, inner, r.tokens, qkv[1], qkv[2], &and_layer));
    if (!r.product)
        inner *= r.tokens;
    r.kind = r.product ? RULE_SUM : RULE_THERM;
    SPK_TRY(check_set_inner(c, base, r.product ? "sum" : "therm", r, inner, 1, and_layer, IMG_NONE,
                            &middle));
    if (exists(c, base, "qrelay")) {
        r.kind = RULE_QRELAY;
        SPK_TRY(check_set_inner(c, base, "qrelay", r, r.heads * r.d, r.tokens, qkv[0], IMG_NONE,
                                &relay));
    }
    r.kind = RULE_GATE;
    SPK_TRY(check_set_inner(c, base, "gate", r, inner, r.tokens, relay, middle, &gate));
    if (gate == IMG_NONE)
        return SPK_OK;
    r.kind = RULE_ATTENTION;
    r.source_first = (uint32_t)c->sources.len;
    r.n_sources = 1;
    c->rules[layer] = r;
    return vec_push(&c->sources, gate);
}

/* The spikes of a layer leave at these ticks. */
static void expect_phase(struct check *c, uint32_t layer, struct phase p)
{
    struct phase *have = layer == IMG_NONE ? NULL : &c->phases[layer];

    if (have == NULL)
        return;
    if ((have->base || have->position || have->mod) && memcmp(have, &p, sizeof p) != 0)
        check_violation(c, "E0947", layer, IMG_NONE,
                        "must leave at the ticks of two lowerings of attention at once");
    *have = p;
}

static void need_ticks(struct check *c, uint32_t ticks)
{
    c->ticks = ticks > c->ticks ? ticks : c->ticks;
}

/* The rule of the neuron itself, with these source layers. */
static spk_status set_neuron(struct check *c, uint32_t layer, struct rule r, enum rule_kind kind,
                             const uint32_t *sources, uint32_t n)
{
    r.kind = kind;
    r.source_first = (uint32_t)c->sources.len;
    r.n_sources = n;
    c->rules[layer] = r;
    return vec_append(&c->sources, sources, n);
}

static spk_status serial_attention(struct check *c, uint32_t layer, struct rule r,
                                   const uint32_t *qkv)
{
    const char *base = check_layer_name(c, layer);
    uint32_t from[2];

    r.kind = RULE_ACC;
    SPK_TRY(check_set_inner(c, base, "acc", r, r.heads * r.d * r.d, 1, qkv[1], qkv[2], &from[0]));
    r.kind = RULE_QRELAY;
    SPK_TRY(
        check_set_inner(c, base, "qrelay", r, r.heads * r.d, r.tokens, qkv[0], IMG_NONE, &from[1]));
    expect_phase(c, qkv[1], (struct phase){.position = 1});
    expect_phase(c, qkv[2], (struct phase){.position = 1});
    expect_phase(c, from[0], (struct phase){.div = r.d, .mod = r.d});
    expect_phase(c, from[1], (struct phase){.div = 1, .mod = r.d});
    need_ticks(c, r.tokens > r.d ? r.tokens : r.d);
    if (from[0] == IMG_NONE || from[1] == IMG_NONE)
        return SPK_OK;
    return set_neuron(c, layer, r, RULE_GATED, from, 2);
}

static spk_status plastic_attention(struct check *c, uint32_t layer, struct rule r,
                                    const uint32_t *qkv)
{
    if (c->t->arith.plastic_bits == 0)
        check_violation(c, "E0934", layer, IMG_NONE, "reads learning synapses, which '%s' has not",
                        c->t->name);
    else if (r.tokens >> c->t->arith.plastic_bits != 0)
        check_violation(c, "E0934", layer, IMG_NONE,
                        "%u tokens can raise a weight above the %u bits of a learning synapse",
                        r.tokens, c->t->arith.plastic_bits);
    expect_phase(c, qkv[0], (struct phase){.base = r.tokens});
    expect_phase(c, qkv[1], (struct phase){.position = 1});
    expect_phase(c, qkv[2], (struct phase){.position = 1});
    need_ticks(c, r.tokens + 1);
    return set_neuron(c, layer, r, RULE_PLASTIC, qkv, 3);
}

static spk_status lowered_rule(struct check *c, uint32_t layer, struct rule r, const uint32_t *qkv)
{
    const enum ir_attn_lowering l = c->m->node[r.op].a.attention.lowering;
    const bool task = c->im->layers[layer].kind == IMG_LAYER_EMBEDDED;

    switch (l) {
    case IR_LOWER_SERIAL:
        return serial_attention(c, layer, r, qkv);
    case IR_LOWER_PLASTIC:
        return plastic_attention(c, layer, r, qkv);
    case IR_LOWER_ENGINE:
        return set_neuron(c, layer, r, RULE_ENGINE, qkv, 3);
    case IR_LOWER_EMBEDDED:
        return set_neuron(c, layer, r, RULE_EMBEDDED, qkv, 3);
    default:
        if (l == IR_LOWER_OPEN && task)
            return set_neuron(c, layer, r, RULE_EMBEDDED, qkv, 3);
        return gated_attention(c, layer, r, l, qkv);
    }
}

spk_status check_attention_rule(struct check *c, uint32_t layer, uint32_t neuron, uint32_t op)
{
    const struct ir_node *a = &c->m->node[op];
    struct rule r = {.node = neuron,
                     .op = op,
                     .heads = a->a.attention.heads,
                     .tokens = (uint32_t)ir_type_positions(&a->type)};
    struct check_layers found = {0};
    spk_status status = SPK_OK;
    bool ok = true;

    if (layer == IMG_NONE)
        return SPK_OK;
    if (a->a.attention.lowering != IR_LOWER_OPEN &&
        !(c->t->attention >> (a->a.attention.lowering - 1) & 1))
        check_violation(c, "E0923", layer, IMG_NONE, "'%s' does not offer its attention lowering",
                        c->t->name);
    r.d = r.heads ? a->type.channels / r.heads : 0;
    for (uint32_t i = 0; i < 3 && ok && status == SPK_OK; i++) {
        status = check_sources_of(c, a->operand[i], &found, &ok);
        ok = ok && found.len == i + 1;
    }
    if (status == SPK_OK && (!ok || r.d == 0))
        check_violation(c, "E0953", layer, IMG_NONE,
                        "cannot be checked: its attention has not three single layers as operands");
    else if (status == SPK_OK)
        status = lowered_rule(c, layer, r, found.data);
    vec_fini(&found);
    return status;
}
