/* Start steps: see depth.h and docs/integers.md, section 6.
 *
 * One forward sweep. A hop takes one step, so a neuron fires one step after its sources; a
 * population whose currents the host writes, and injected event frames, start at 0. Attention adds
 * the latency of its lowering between q, k, v and the neuron behind it; a delay its own steps.
 * What is not aligned starts with its latest operand. Cost: linear.                           */
#include "passes/depth.h"

#include <string.h>

#include "passes/attention.h"
#include "passes/rewrite.h"

static uint32_t latency_of(const struct tgt *t, enum ir_attn_lowering l)
{
    switch (l) {
    case IR_LOWER_AND_LIF:
    case IR_LOWER_PRODUCT:
        return 4;
    case IR_LOWER_SERIAL:
        return 2;
    case IR_LOWER_PLASTIC:
        return 1;
    case IR_LOWER_EMBEDDED:
        return t->arith.embedded_latency;
    case IR_LOWER_ENGINE:
        return t->engine.latency;
    case IR_LOWER_OPEN:
        break;
    }
    return 0;
}

spk_status depth_attention_latency(const struct tgt *t, enum ir_attn_lowering l,
                                   struct diag_list *d, uint32_t *out)
{
    if (l == IR_LOWER_OPEN)
        return diag_error(d, spk_span_none, "E0644",
                          "no lowering is chosen for attention: run pass choose-attention first");
    if (!(t->attention & attn_bit(l)))
        return diag_nofit(d, spk_span_none, "E0640", "target %s offers no attention lowering %s",
                          t->name, attn_name(l));
    *out = latency_of(t, l);
    return SPK_OK;
}

struct sweep {
    const struct ir_module *m;
    const struct tgt *t;
    struct diag_list *d;
    const uint32_t *start;
};

static spk_status check_node(const struct sweep *w, uint32_t id)
{
    const struct ir_node *n = &w->m->node[id];
    char a[160], b[160];
    if (n->op != IR_OP_CONV2D && n->op != IR_OP_LINEAR && n->op != IR_OP_ATTENTION &&
        n->op != IR_OP_DELAY)
        return SPK_OK;
    const uint64_t longest = tgt_limit_value(w->t, TGT_DELAY);
    const bool delays = n->op == IR_OP_CONV2D || n->op == IR_OP_LINEAR; /* synapses have them */
    for (uint32_t k = 1; k < n->n_operands; k++) {
        uint32_t x = n->operand[0], y = n->operand[k];
        if (w->m->node[x].op == IR_OP_LAG || w->m->node[y].op == IR_OP_LAG)
            continue; /* the mapper knows their sources' steps */
        const uint32_t a1 = w->start[x], b1 = w->start[y];
        if ((a1 > b1 ? a1 - b1 : b1 - a1) > (delays ? longest : 0))
            return diag_internal(
                w->d, n->span, "E0692", "%s: operand %s starts at step %u, operand %s at %u",
                ir_op_info(n->op)->name, rw_value_name(w->m, x, a, sizeof a), (unsigned)w->start[x],
                rw_value_name(w->m, y, b, sizeof b), (unsigned)w->start[y]);
    }
    if (n->op == IR_OP_DELAY && longest != UINT64_MAX && n->a.delay.steps > 1 + longest)
        return diag_internal(w->d, n->span, "E0692",
                             "%s: delay of %u steps, the target allows 1 to %llu",
                             rw_value_name(w->m, id, a, sizeof a), (unsigned)n->a.delay.steps,
                             (unsigned long long)longest + 1);
    return SPK_OK;
}

/* A current that the host writes: it comes from a static input without a spiking value between. */
static bool is_host_current(const struct ir_module *m, uint32_t id)
{
    const struct ir_node *n = &m->node[id];
    while (!rw_is_spiking(&n->type) && n->n_operands)
        n = &m->node[n->operand[0]];
    return n->op == IR_OP_INPUT && !n->a.input.events;
}

uint32_t depth_of_node(const struct ir_module *m, const struct tgt *t, uint32_t id,
                       const uint32_t *start)
{
    const struct ir_node *n = &m->node[id];
    uint32_t latest = 0;
    for (uint32_t k = 0; k < n->n_operands; k++)
        if (start[n->operand[k]] > latest)
            latest = start[n->operand[k]];
    switch (n->op) {
    case IR_OP_NEURON:
        if (is_host_current(m, n->operand[0]))
            return 0;
        return m->node[n->operand[0]].op == IR_OP_ATTENTION ? latest : latest + 1;
    case IR_OP_MAXPOOL:
        return latest + 1;
    case IR_OP_DELAY:
        return latest + n->a.delay.steps;
    case IR_OP_LAG: /* frame t is frame t - steps of the operand; feedback waits for nobody */
        return latest > n->a.lag.steps ? latest - n->a.lag.steps : 0;
    case IR_OP_ATTENTION: /* complete at the step in which its neuron fires */
        return latest + latency_of(t, n->a.attention.lowering);
    case IR_OP_INPUT:
    case IR_OP_ENCODE:
    case IR_OP_READOUT: /* the host aligns by itself */
    case IR_OP_OUTPUT:
    case IR_OP_MEAN:
    case IR_OP_MSE:
        return 0;
    case IR_OP_CONV2D:
    case IR_OP_LINEAR:
    case IR_OP_REPEAT:
    case IR_OP_BATCHNORM:
    case IR_OP_SCALE:
    case IR_OP_MEMBRANE:
    case IR_OP_ADD:
    case IR_OP_RESHAPE:
    case IR_OP_MASK: /* what follows exists in stage model only */
    case IR_OP_OFFSET:
    case IR_OP_LAYERNORM:
    case IR_OP_GELU:
    case IR_OP_SLICE:
    case IR_OP_PATCHES:
    case IR_OP_SOFTMAX_ATTENTION:
    case IR_OP_COUNT:
        break;
    }
    return latest;
}

spk_status depth_compute(const struct ir_module *m, const struct tgt *t, bool check_aligned,
                         struct diag_list *d, uint32_t *start)
{
    struct sweep w = {m, t, d, start};
    uint32_t latency;
    for (uint32_t i = 0; i < m->n_nodes; i++) {
        if (m->node[i].op == IR_OP_ATTENTION)
            SPK_TRY(depth_attention_latency(t, m->node[i].a.attention.lowering, d, &latency));
        start[i] = depth_of_node(m, t, i, start);
        if (check_aligned)
            SPK_TRY(check_node(&w, i));
    }
    return SPK_OK;
}

uint32_t depth_drain(uint32_t bits, uint32_t decay)
{
    int64_t v = ((int64_t)1 << (bits - 1)) - 1;
    int64_t keep = 4096 - (int64_t)decay;
    uint32_t steps = 0;
    if (keep >= 4096)
        return UINT32_MAX;
    /* v falls by at least 1 per step because of the truncation. */
    while (v > 0) {
        v = (v * keep) >> 12;
        steps++;
    }
    return steps;
}

uint32_t depth_module_drain(const struct ir_module *m, const struct tgt *t)
{
    uint32_t longest = 0;
    if (t->arith.neuron == TGT_NEURON_PROGRAMMABLE)
        return 0;
    for (uint32_t i = 0; i < m->n_nodes; i++) {
        const struct ir_node *n = &m->node[i];
        if (n->op != IR_OP_NEURON || n->a.neuron.program != IR_NONE)
            continue;
        uint32_t steps = depth_drain(n->a.neuron.q.bits, n->a.neuron.q.decay);
        longest = steps > longest ? steps : longest;
    }
    return longest;
}
