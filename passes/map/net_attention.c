/* Attention lowered to populations (docs/mapping.md, section 1).
 *
 *   product   k*v products per token, their sum over tokens (a count relay), q * sum, attn_lif
 *   and_lif   the same with binary spikes only: AND units, a thermometer code of the sum, gates
 *   embedded  no inner populations: an embedded processor reads q, k, v and injects the result
 * Channel spaces: products, sums, gates c = (h*d + i)*d + j for the term k_i v_j of head h;
 * thermometers and their gates c*tokens + theta - 1. Costs: docs/mapping.md. */
#include <string.h>

#include "passes/depth.h"
#include "passes/map/net_internal.h"

struct attn {
    uint32_t q, k, v, heads, d, tokens, start;
    int32_t unit;
    double rq, rk, rv;
};

static spk_status net_aux(struct net_builder *b, const char *base, const char *suffix,
                          uint32_t channels, uint32_t tokens, uint32_t start, struct map_pop *out)
{
    char *name = arena_printf(&b->net->arena, "%s.%s", base, suffix);
    if (name == NULL)
        return SPK_ERR_NOMEM;
    *out = net_pop_default(name, IMG_LAYER_AUX, IR_NONE);
    out->channels = channels;
    out->height = 1;
    out->width = tokens;
    out->layout = IR_CN;
    out->start = start;
    return SPK_OK;
}

/* Connects source -> newest population by a constant-weight pattern. */
static spk_status net_pattern(struct net_builder *b, uint32_t target, uint32_t source,
                              enum map_pos pos, enum map_chan chan, uint32_t r, uint32_t d,
                              uint8_t port, int8_t weight, uint8_t shift)
{
    struct map_proj p = net_proj_default(target);
    p.pos = pos;
    p.chan = chan;
    p.r = r;
    p.d = d;
    p.port = port;
    p.weight = weight;
    p.shift = shift;
    if (pos == MAP_POS_WINDOW) {
        net_view_as_target(b, &p);
    } else {
        p.view_h = b->net->pops.data[source].height;
        p.view_w = b->net->pops.data[source].width;
    }
    return net_push_proj(b, &p, &source, 1);
}

/* q delayed by two steps, so that it meets the finished K^T V. */
static spk_status net_q_relay(struct net_builder *b, const char *base, const struct attn *a,
                              uint32_t *out)
{
    const struct tgt *t = b->net->target;
    struct map_pop p;
    uint8_t shift = net_unit_shift(t);
    SPK_TRY(net_aux(b, base, "qrelay", a->heads * a->d, a->tokens, a->start + 2, &p));
    p.kind = IMG_LAYER_RELAY;
    p.rate = a->rq;
    net_gate_program(b, &p, (1 << (t->arith.threshold_shift)) + 1);
    SPK_TRY(net_push_pop(b, &p, out));
    return net_pattern(b, *out, a->q, MAP_POS_WINDOW, MAP_CHAN_SAME, 0, 0, 0, 1, shift);
}

/* `product`: products k*v per token, sums over tokens (count relay), products q*sum, attn_lif. */
static spk_status net_attention_product(struct net_builder *b, const char *base,
                                        const struct attn *a, uint32_t *out_gate)
{
    const uint32_t channels = a->heads * a->d * a->d;
    struct map_pop p;
    uint32_t and_pop, sum, relay, gate;
    SPK_TRY(net_aux(b, base, "and", channels, a->tokens, a->start + 1, &p));
    p.program = IMG_PROG_PRODUCT;
    p.rate = a->rk * a->rv;
    SPK_TRY(net_push_pop(b, &p, &and_pop));
    SPK_TRY(net_pattern(b, and_pop, a->k, MAP_POS_WINDOW, MAP_CHAN_EXPAND, a->d, a->d, 0, 1, 0));
    SPK_TRY(net_pattern(b, and_pop, a->v, MAP_POS_WINDOW, MAP_CHAN_STRIDE, a->d, a->d, 1, 1, 0));
    SPK_TRY(net_aux(b, base, "sum", channels, 1, a->start + 2, &p));
    p.program = IMG_PROG_SUM;
    p.payload_bound = a->tokens;
    p.rate = 1.0;
    for (uint32_t i = 0; i < a->tokens; i++)
        p.rate *= 1.0 - a->rk * a->rv;
    p.rate = 1.0 - p.rate;
    double sum_rate = p.rate;
    SPK_TRY(net_push_pop(b, &p, &sum));
    SPK_TRY(net_pattern(b, sum, and_pop, MAP_POS_GATHER, MAP_CHAN_SAME, 0, 0, 0, 1, 0));
    SPK_TRY(net_q_relay(b, base, a, &relay));
    SPK_TRY(net_aux(b, base, "gate", channels, a->tokens, a->start + 3, &p));
    p.program = IMG_PROG_PRODUCT;
    p.payload_bound = a->tokens;
    p.rate = a->rq * sum_rate;
    SPK_TRY(net_push_pop(b, &p, &gate));
    SPK_TRY(net_pattern(b, gate, relay, MAP_POS_WINDOW, MAP_CHAN_EXPAND, a->d, a->d, 0, 1, 0));
    SPK_TRY(net_pattern(b, gate, sum, MAP_POS_SPREAD, MAP_CHAN_SAME, 0, 0, 1, 1, 0));
    *out_gate = gate;
    return SPK_OK;
}

/* `and_lif`: AND units, a thermometer code of K^T V, gates, attn_lif; binary spikes only. */
static spk_status net_attention_and(struct net_builder *b, const char *base, const struct attn *a,
                                    uint32_t *out_gate)
{
    const uint32_t channels = a->heads * a->d * a->d, n = a->tokens;
    const uint8_t shift = net_unit_shift(b->net->target);
    const int32_t one = 1 << shift;
    struct map_pop p;
    uint32_t and_pop, therm, relay, gate;
    SPK_TRY(net_aux(b, base, "and", channels, n, a->start + 1, &p));
    net_gate_program(b, &p, one + one / 2 + 1);
    p.rate = a->rk * a->rv;
    SPK_TRY(net_push_pop(b, &p, &and_pop));
    SPK_TRY(
        net_pattern(b, and_pop, a->k, MAP_POS_WINDOW, MAP_CHAN_EXPAND, a->d, a->d, 0, 1, shift));
    SPK_TRY(
        net_pattern(b, and_pop, a->v, MAP_POS_WINDOW, MAP_CHAN_STRIDE, a->d, a->d, 0, 1, shift));
    SPK_TRY(net_aux(b, base, "therm", channels * n, 1, a->start + 2, &p));
    net_gate_program(b, &p, one);
    p.vth_period = (int32_t)n; /* theta * one - one/2 + 1, theta = 1 .. n */
    p.rate = a->rk * a->rv;
    SPK_TRY(net_push_pop(b, &p, &therm));
    SPK_TRY(net_pattern(b, therm, and_pop, MAP_POS_GATHER, MAP_CHAN_EXPAND, n, a->d, 0, 1, shift));
    SPK_TRY(net_q_relay(b, base, a, &relay));
    SPK_TRY(net_aux(b, base, "gate", channels * n, n, a->start + 3, &p));
    net_gate_program(b, &p, one + one / 2 + 1);
    p.rate = a->rq * a->rk * a->rv;
    SPK_TRY(net_push_pop(b, &p, &gate));
    SPK_TRY(
        net_pattern(b, gate, relay, MAP_POS_WINDOW, MAP_CHAN_EXPAND, a->d * n, a->d, 0, 1, shift));
    SPK_TRY(net_pattern(b, gate, therm, MAP_POS_SPREAD, MAP_CHAN_SAME, 0, 0, 0, 1, shift));
    *out_gate = gate;
    return SPK_OK;
}

static spk_status net_attn_operand(struct net_builder *b, uint32_t id, uint32_t *out)
{
    struct u32_vec s = {0};
    spk_status status = net_sources(b, id, &s);
    if (status == SPK_OK && s.len != 1)
        status = diag_nofit(b->diags, b->net->module->node[id].span, "E0653",
                            "attention on a sum of %zu spike trains cannot be mapped: its "
                            "operands must be neurons",
                            s.len);
    if (status == SPK_OK)
        *out = s.data[0];
    vec_fini(&s);
    return status;
}

/* weight * 2^shift == unit, within the target's weight format. */
static bool net_unit_weight(const struct tgt *t, int32_t unit, int8_t *weight, uint8_t *shift)
{
    uint32_t s = net_unit_shift(t), q = (uint32_t)unit >> s;
    if (unit <= 0 || (q << s) != (uint32_t)unit)
        return false;
    for (int e = 0; e <= t->arith.weight_exp_max; e++, s++, q >>= 1) {
        if (q <= 127) {
            *weight = (int8_t)q;
            *shift = (uint8_t)s;
            return true;
        }
        if (q & 1)
            return false;
    }
    return false;
}

spk_status net_attention(struct net_builder *b, uint32_t neuron, uint32_t attention,
                         struct map_pop *p)
{
    struct map_net *net = b->net;
    const struct ir_node *x = &net->module->node[neuron];
    const struct ir_node *at = &net->module->node[attention];
    struct attn a = {0};
    uint32_t gate, pop, n_theta;
    int8_t weight;
    uint8_t shift;
    SPK_TRY(net_attn_operand(b, at->operand[0], &a.q));
    SPK_TRY(net_attn_operand(b, at->operand[1], &a.k));
    SPK_TRY(net_attn_operand(b, at->operand[2], &a.v));
    a.heads = at->a.attention.heads;
    a.d = at->type.channels / a.heads;
    a.tokens = (uint32_t)ir_type_positions(&at->type);
    a.unit = at->a.attention.unit;
    a.start = net->pops.data[a.q].start;
    a.rq = net->pops.data[a.q].rate;
    a.rk = net->pops.data[a.k].rate;
    a.rv = net->pops.data[a.v].rate;
    if (net->pops.data[a.k].start != a.start || net->pops.data[a.v].start != a.start)
        return diag_internal(b->diags, x->span, "E0654", "q, k and v of '%s' are not aligned",
                             p->name);
    if (net->attention == TGT_ATTN_EMBEDDED) {
        p->kind = IMG_LAYER_EMBEDDED;
        p->has_compartments = false;
        p->start = a.start + net->target->arith.embedded_latency;
        p->q = a.q;
        p->k = a.k;
        p->v = a.v;
        p->heads = a.heads;
        p->unit = a.unit;
        return net_push_pop(b, p, &b->pop_of[neuron]);
    }
    if (!net_unit_weight(net->target, a.unit, &weight, &shift))
        return diag_internal(b->diags, x->span, "E0655",
                             "the attention unit %d of '%s' is no weight of '%s'", a.unit, p->name,
                             net->target->name);
    if (net->attention == TGT_ATTN_PRODUCT) {
        SPK_TRY(net_attention_product(b, p->name, &a, &gate));
        n_theta = 1;
    } else {
        if (a.tokens > DEPTH_AND_LIF_TOKENS) {
            spk_status status =
                diag_nofit(b->diags, x->span, "E0656",
                           "'%s': the and_lif lowering needs heads*d*d*tokens^2 neurons and is "
                           "limited to %u tokens; this layer has %u",
                           p->name, DEPTH_AND_LIF_TOKENS, a.tokens);
            diag_help_set(b->diags,
                          "the smallest change that fits: --attention embedded or "
                          "product where the target has them, or %u tokens",
                          DEPTH_AND_LIF_TOKENS);
            return status;
        }
        SPK_TRY(net_attention_and(b, p->name, &a, &gate));
        n_theta = a.tokens;
    }
    p->start = a.start + 4;
    SPK_TRY(net_push_pop(b, p, &pop));
    b->pop_of[neuron] = pop;
    return net_pattern(b, pop, gate, MAP_POS_WINDOW, MAP_CHAN_REDUCE, n_theta, a.d, 0, weight,
                       shift);
}
