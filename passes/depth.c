/* Start steps: see depth.h and docs/integers.md, section 6.
 *
 * One forward sweep. A hop takes one step, so a neuron fires one step after its sources; a
 * population whose currents the host writes, and injected event frames, start at 0. Attention adds
 * the latency of its lowering between q, k, v and the neuron behind it; a delay its own steps.
 * What is not aligned starts with its latest operand. Cost: linear.                           */
#include "passes/depth.h"

#include <string.h>

#include "passes/rewrite.h"

struct choice {
    const char *name;
    enum tgt_attention a;
};
/* In the order in which `auto` takes them: on the cores if that is possible, by size if not. */
static const struct choice choices[] = {
    {"product", TGT_ATTN_PRODUCT},
    {"embedded", TGT_ATTN_EMBEDDED},
    {"and_lif", TGT_ATTN_AND_LIF},
};
#define N_CHOICES (sizeof choices / sizeof *choices)

static spk_status no_attention(const struct tgt *t, const char *name, struct diag_list *d)
{
    spk_status s =
        diag_nofit(d, spk_span_none, "E0640", "target %s offers no attention lowering%s%s", t->name,
                   name ? " " : "", name ? name : " that is implemented");
    struct strbuf help = {0};
    for (size_t i = 0; i < N_CHOICES; i++)
        if (t->attention & choices[i].a)
            strbuf_printf(&help, "%s%s", help.len ? ", " : "", choices[i].name);
    if (help.len)
        diag_help_set(d, "it offers %s", strbuf_cstr(&help));
    else
        diag_help_set(d, "choose another target");
    strbuf_fini(&help);
    return s;
}

/* Largest number of tokens of a layer, and product neurons of all layers (two N*D*d a layer). */
static void attention_size(const struct ir_module *m, uint64_t *tokens, uint64_t *products)
{
    *tokens = *products = 0;
    for (uint32_t i = 0; m && i < m->n_nodes; i++) {
        const struct ir_node *n = &m->node[i];
        uint64_t positions = ir_type_positions(&n->type), d;

        if (n->op != IR_OP_ATTENTION)
            continue;
        d = n->type.channels / n->a.attention.heads;
        *tokens = positions > *tokens ? positions : *tokens;
        *products += 2 * positions * n->type.channels * d;
    }
}

/* Neurons of the target's largest system; 0 where it lists none. */
static uint64_t largest_system(const struct tgt *t)
{
    if (t->n_systems == 0)
        return 0;
    const struct tgt_system *s = &t->system[t->n_systems - 1];
    return (uint64_t)s->chips_x * s->chips_y * t->cores_per_chip * tgt_limit_value(t, TGT_NEURONS);
}

static bool choice_fits(const struct tgt *t, enum tgt_attention a, uint64_t tokens,
                        uint64_t products)
{
    if (a == TGT_ATTN_AND_LIF)
        return tokens <= DEPTH_AND_LIF_TOKENS;
    return a != TGT_ATTN_PRODUCT || t->n_systems == 0 || products <= largest_system(t) / 2;
}

spk_status depth_attention_choice(const struct ir_module *m, const struct tgt *t, const char *name,
                                  struct diag_list *d, enum tgt_attention *out)
{
    bool automatic = name == NULL || strcmp(name, "auto") == 0;
    uint64_t tokens, products;
    attention_size(m, &tokens, &products);
    for (size_t i = 0; i < N_CHOICES; i++) {
        if (!automatic && strcmp(name, choices[i].name) != 0)
            continue;
        bool offered = (t->attention & choices[i].a) != 0;
        *out = choices[i].a;
        if (offered && (!automatic || choice_fits(t, *out, tokens, products)))
            return SPK_OK;
        if (!automatic)
            return no_attention(t, name, d);
    }
    if (automatic && tokens == 0 && m != NULL) /* no attention: any lowering will do */
        return SPK_OK;
    if (automatic)
        return no_attention(t, NULL, d);
    spk_status s = diag_usage(d, spk_span_none, "E0641", "unknown attention lowering '%s'", name);
    diag_help_set(d, "possible are auto, embedded, product, and_lif");
    return s;
}

spk_status depth_attention_latency(const struct tgt *t, enum tgt_attention a, struct diag_list *d,
                                   uint32_t *out)
{
    bool known = false;
    for (size_t i = 0; i < N_CHOICES; i++)
        known = known || choices[i].a == a;
    if (!known || !(t->attention & a))
        return no_attention(t, tgt_attention_name(a), d);
    *out = a == TGT_ATTN_EMBEDDED ? t->arith.embedded_latency : 4;
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
    for (uint32_t k = 1; k < n->n_operands; k++) {
        uint32_t x = n->operand[0], y = n->operand[k];
        if (w->start[x] != w->start[y])
            return diag_internal(
                w->d, n->span, "E0692", "%s: operand %s starts at step %u, operand %s at %u",
                ir_op_info(n->op)->name, rw_value_name(w->m, x, a, sizeof a), (unsigned)w->start[x],
                rw_value_name(w->m, y, b, sizeof b), (unsigned)w->start[y]);
    }
    uint64_t longest = tgt_limit_value(w->t, TGT_DELAY);
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

uint32_t depth_of_node(const struct ir_module *m, uint32_t latency, uint32_t id,
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
    case IR_OP_ATTENTION: /* complete at the step in which its neuron fires */
        return latest + latency;
    case IR_OP_INPUT:
    case IR_OP_ENCODE:
    case IR_OP_READOUT: /* the host aligns by itself */
    case IR_OP_OUTPUT:
    case IR_OP_MEAN:
        return 0;
    case IR_OP_CONV2D:
    case IR_OP_LINEAR:
    case IR_OP_REPEAT:
    case IR_OP_BATCHNORM:
    case IR_OP_ADD:
    case IR_OP_RESHAPE:
    case IR_OP_COUNT:
        break;
    }
    return latest;
}

static bool has_attention(const struct ir_module *m)
{
    for (uint32_t i = 0; i < m->n_nodes; i++)
        if (m->node[i].op == IR_OP_ATTENTION)
            return true;
    return false;
}

spk_status depth_compute(const struct ir_module *m, const struct tgt *t, enum tgt_attention a,
                         bool check_aligned, struct diag_list *d, uint32_t *start)
{
    struct sweep w = {m, t, d, start};
    uint32_t latency = 0;
    if (has_attention(m))
        SPK_TRY(depth_attention_latency(t, a, d, &latency));
    for (uint32_t i = 0; i < m->n_nodes; i++) {
        start[i] = depth_of_node(m, latency, i, start);
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
