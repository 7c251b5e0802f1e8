/* Attention lowered to populations (docs/mapping.md, section 1).
 *
 *   product   k*v products per token, their sum over tokens (a count relay), q * sum, attn_lif
 *   and_lif   the same with binary spikes only: AND units, a thermometer code of the sum, gates
 *   serial    accumulators of k*v fed token by token, attn_lif fed by them row by row
 *   plastic   attn_lif reads learning synapses that hold K^T V
 *   engine    attn_lif on cores of their own class, which read q, k and v
 *   embedded  no inner populations: an embedded processor reads q, k, v and injects the result
 * Channel spaces: products, sums, gates c = (h*d + i)*d + j for the term k_i v_j of head h;
 * thermometers and their gates c*tokens + theta - 1. Costs: docs/mapping.md. */
#include <string.h>

#include "passes/attention.h"
#include "passes/map/net_internal.h"

struct attn {
    uint32_t q, k, v, heads, d, tokens, start;
    int32_t unit;
    bool qk_first;
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

/* q delayed, so that it meets the finished K^T V. */
static spk_status net_q_relay(struct net_builder *b, const char *base, const struct attn *a,
                              uint32_t steps, uint32_t *out)
{
    const struct tgt *t = b->net->target;
    struct map_pop p;
    uint8_t shift = net_unit_shift(t);
    SPK_TRY(net_aux(b, base, "qrelay", a->heads * a->d, a->tokens, a->start + steps, &p));
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
    SPK_TRY(net_q_relay(b, base, a, 2, &relay));
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
    SPK_TRY(net_q_relay(b, base, a, 2, &relay));
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

/* The tick at which spikes of `pop` leave. An operand that must leave at two ticks is refused. */
static spk_status net_phase(struct net_builder *b, uint32_t pop, uint32_t base, uint32_t position,
                            uint32_t div, uint32_t mod)
{
    struct map_pop *p = &b->net->pops.data[pop];
    if (!p->has_compartments || p->phase_base || p->phase_position || p->phase_mod)
        return diag_nofit(b->diags, p->span, "E0674",
                          "'%s' cannot leave at the ticks that its attention needs: it %s", p->name,
                          p->has_compartments ? "already leaves at others" : "is no neuron");
    p->phase_base = base;
    p->phase_position = position;
    p->phase_div = div;
    p->phase_mod = mod;
    return SPK_OK;
}

static void net_ticks(struct net_builder *b, uint32_t ticks)
{
    if (ticks > b->net->ticks)
        b->net->ticks = ticks;
}

/* `plastic`: every core of attn_lif learns K^T V of its columns in a block of learning synapses
 * (k_j and v_j at tick j), which q reads at tick N. No inner populations. */
static spk_status net_attention_plastic(struct net_builder *b, const struct attn *a,
                                        struct map_pop *p, uint32_t *out)
{
    struct map_net *net = b->net;
    uint8_t shift = 0;
    while (a->unit >> (shift + 1) != 0)
        shift++;
    p->start = a->start + 1;
    p->teachers = true;
    SPK_TRY(net_push_pop(b, p, out));
    SPK_TRY(net_pattern(b, *out, a->q, MAP_POS_WINDOW, MAP_CHAN_HEAD, 0, a->d, IMG_PORT_MAIN, 0,
                        shift));
    SPK_TRY(net_pattern(b, *out, a->k, MAP_POS_TEACHER, MAP_CHAN_HEAD, 0, a->d, IMG_PORT_LEARN, 0,
                        shift));
    SPK_TRY(net_pattern(b, *out, a->v, MAP_POS_TEACHER, MAP_CHAN_SAME, 0, a->d, IMG_PORT_TEACH, 1,
                        net_unit_shift(net->target)));
    struct map_proj *proj = &net->projs.data[net->pops.data[*out].proj_first];
    proj[0].plastic = proj[1].plastic = true;
    proj[1].block_proj = proj[0].block_proj;
    SPK_TRY(net_phase(b, a->k, 0, 1, 0, 0));
    SPK_TRY(net_phase(b, a->v, 0, 1, 0, 0));
    SPK_TRY(net_phase(b, a->q, a->tokens, 0, 0, 0));
    net_ticks(b, attn_ticks(IR_LOWER_PLASTIC, a->tokens, a->d));
    return SPK_OK;
}

/* `serial`: accumulators of K^T V, fed token by token; attn_lif multiplies them, row by row, with q
 * of the step before. */
static spk_status net_attention_serial(struct net_builder *b, const struct attn *a,
                                       struct map_pop *p, int8_t weight, uint8_t shift,
                                       uint32_t *out)
{
    const char *base = p->name;
    struct map_pop inner;
    uint32_t acc, relay;
    SPK_TRY(net_aux(b, base, "acc", a->heads * a->d * a->d, 1, a->start + 1, &inner));
    inner.program = IMG_PROG_ACCUMULATE;
    inner.payload_bound = a->tokens;
    inner.rate = 1.0;
    for (uint32_t i = 0; i < a->tokens; i++)
        inner.rate *= 1.0 - a->rk * a->rv;
    inner.rate = 1.0 - inner.rate;
    SPK_TRY(net_push_pop(b, &inner, &acc));
    SPK_TRY(net_pattern(b, acc, a->k, MAP_POS_GATHER, MAP_CHAN_EXPAND, a->d, a->d, IMG_PORT_MAIN, 1,
                        0));
    SPK_TRY(net_pattern(b, acc, a->v, MAP_POS_GATHER, MAP_CHAN_STRIDE, a->d, a->d, IMG_PORT_SECOND,
                        1, 0));
    SPK_TRY(net_q_relay(b, base, a, 1, &relay));
    p->start = a->start + 2;
    p->program = IMG_PROG_GATED;
    SPK_TRY(net_push_pop(b, p, out));
    SPK_TRY(net_pattern(b, *out, acc, MAP_POS_SPREAD, MAP_CHAN_REDUCE, 1, a->d, IMG_PORT_MAIN,
                        weight, shift));
    SPK_TRY(
        net_pattern(b, *out, relay, MAP_POS_WINDOW, MAP_CHAN_HEAD, 0, a->d, IMG_PORT_SECOND, 1, 0));
    SPK_TRY(net_phase(b, a->k, 0, 1, 0, 0));
    SPK_TRY(net_phase(b, a->v, 0, 1, 0, 0));
    SPK_TRY(net_phase(b, acc, 0, 0, a->d, a->d));
    SPK_TRY(net_phase(b, relay, 0, 0, 1, a->d));
    net_ticks(b, attn_ticks(IR_LOWER_SERIAL, a->tokens, a->d));
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
        if (q < 1u << (t->arith.weight_bits - 1)) {
            *weight = (int8_t)q;
            *shift = (uint8_t)s;
            return true;
        }
        if (q & 1)
            return false;
    }
    return false;
}

/* `engine`: attn_lif on engine cores, a task of whole heads or of part of one head's columns each.
 */
static spk_status net_attention_engine(struct net_builder *b, const struct attn *a,
                                       const struct attn_shape *shape, struct map_pop *p,
                                       uint32_t *out)
{
    uint32_t heads, columns;
    if (!attn_engine_task(b->net->target, shape, &heads, &columns))
        return diag_nofit(b->diags, p->span, "E0673",
                          "'%s': not even one column fits an attention engine of '%s'", p->name,
                          b->net->target->name);
    p->engine = heads * columns;
    p->program = IMG_PROG_ENGINE;
    p->start = a->start + b->net->target->engine.latency;
    p->q = a->q;
    p->k = a->k;
    p->v = a->v;
    p->heads = a->heads;
    p->unit = a->unit;
    p->qk_first = a->qk_first;
    SPK_TRY(net_push_pop(b, p, out));
    SPK_TRY(net_pattern(b, *out, a->q, MAP_POS_ENGINE, MAP_CHAN_HEAD, 0, a->d, IMG_PORT_Q, 0, 0));
    SPK_TRY(net_pattern(b, *out, a->k, MAP_POS_ENGINE, MAP_CHAN_HEAD, 0, a->d, IMG_PORT_K, 0, 0));
    return net_pattern(b, *out, a->v, MAP_POS_ENGINE, MAP_CHAN_SAME, 0, a->d, IMG_PORT_V, 0, 0);
}

/* `embedded`: no compartments; a task of a processor. */
static spk_status net_attention_embedded(struct net_builder *b, const struct attn *a,
                                         struct map_pop *p, uint32_t *out)
{
    p->kind = IMG_LAYER_EMBEDDED;
    p->has_compartments = false;
    p->start = a->start + b->net->target->arith.embedded_latency;
    p->q = a->q;
    p->k = a->k;
    p->v = a->v;
    p->heads = a->heads;
    p->unit = a->unit;
    p->qk_first = a->qk_first;
    return net_push_pop(b, p, out);
}

/* `product` and `and_lif`: attn_lif adds up gates. */
static spk_status net_attention_gates(struct net_builder *b, const struct attn *a,
                                      struct map_pop *p, int8_t weight, uint8_t shift,
                                      uint32_t *out)
{
    const bool product = p->lowering == IR_LOWER_PRODUCT;
    uint32_t gate;
    if (product)
        SPK_TRY(net_attention_product(b, p->name, a, &gate));
    else
        SPK_TRY(net_attention_and(b, p->name, a, &gate));
    p->start = a->start + 4;
    SPK_TRY(net_push_pop(b, p, out));
    return net_pattern(b, *out, gate, MAP_POS_WINDOW, MAP_CHAN_REDUCE, product ? 1 : a->tokens,
                       a->d, 0, weight, shift);
}

spk_status net_attention(struct net_builder *b, uint32_t neuron, uint32_t attention,
                         struct map_pop *p)
{
    struct map_net *net = b->net;
    const struct ir_node *x = &net->module->node[neuron];
    const struct ir_node *at = &net->module->node[attention];
    struct attn a = {0};
    uint32_t *out = &b->pop_of[neuron];
    int8_t weight;
    uint8_t shift;
    SPK_TRY(net_attn_operand(b, at->operand[0], &a.q));
    SPK_TRY(net_attn_operand(b, at->operand[1], &a.k));
    SPK_TRY(net_attn_operand(b, at->operand[2], &a.v));
    a.heads = at->a.attention.heads;
    a.d = at->type.channels / a.heads;
    a.tokens = (uint32_t)ir_type_positions(&at->type);
    a.unit = at->a.attention.unit;
    a.qk_first = at->a.attention.order == IR_ATTN_QK_FIRST;
    a.start = net->pops.data[a.q].start;
    a.rq = net->pops.data[a.q].rate;
    a.rk = net->pops.data[a.k].rate;
    a.rv = net->pops.data[a.v].rate;
    if (net->pops.data[a.k].start != a.start || net->pops.data[a.v].start != a.start)
        return diag_internal(b->diags, x->span, "E0654", "q, k and v of '%s' are not aligned",
                             p->name);
    p->lowering = at->a.attention.lowering;
    if (p->lowering == IR_LOWER_EMBEDDED)
        return net_attention_embedded(b, &a, p, out);
    const struct attn_shape shape = attn_shape_of(net->module, attention);
    if (p->lowering == IR_LOWER_ENGINE)
        return net_attention_engine(b, &a, &shape, p, out);
    if (p->lowering == IR_LOWER_PLASTIC)
        return net_attention_plastic(b, &a, p, out);
    if (!net_unit_weight(net->target, a.unit, &weight, &shift))
        return diag_internal(b->diags, x->span, "E0655",
                             "the attention unit %d of '%s' is no weight of '%s'", a.unit, p->name,
                             net->target->name);
    if (p->lowering == IR_LOWER_SERIAL)
        return net_attention_serial(b, &a, p, weight, shift, out);
    if (p->lowering == IR_LOWER_PRODUCT || p->lowering == IR_LOWER_AND_LIF)
        return net_attention_gates(b, &a, p, weight, shift, out);
    return diag_internal(b->diags, x->span, "E0656", "'%s' has no lowering of attention", p->name);
}
