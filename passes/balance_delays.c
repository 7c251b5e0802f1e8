/* Pass balance-delays: makes everything that meets at a projection arrive in the same step.
 *
 * A population at depth L handles frame t at step t + L. The newest summand of a residual stream
 * comes last; everything older has to wait for it in relays (op `delay`, one population of
 * stateless neurons each, 1 to 1 + TGT_DELAY steps long). Start steps are those of the module
 * without relays, since a projection always starts with its latest operand (docs/integers.md, 6).
 *
 *   graded spikes (payload_bits > 0): count relays. At a join with newest summand s_k at L(s_k)
 *     the older content is D_k = delay(D_(k-1), s_(k-1); L(s_k) - L(s_(k-1))): one relay per
 *     join, and consumers have two operands, however deep the network is. In general, for a set S
 *     of operands: those that start latest stay, the rest R is aligned at its own latest start
 *     (recursively) and summed into one relay.
 *   binary spikes: a summand comes through synapses with a delay as long as the chip has such,
 *     and through a chain of relays beyond; where those stand, relay_plan.c decides by cost.
 *
 * Relays are found again by (operands, steps), so consumers of the same join share them. Longer
 * waits are cut into equal pieces. Attention operands are relayed one by one (their bits must not
 * be summed). Recorded sums and the host's read-out need no relays.
 *
 * Invariant, checked at the end: operands of a projection differ by no more than the longest
 * synaptic delay, those of attention and of delays not at all.
 * Cost: relays times operands. Limits: a count that exceeds the payload is refused.           */
#include <string.h>

#include "passes/depth.h"
#include "passes/pass_list.h"
#include "passes/relay_plan.h"
#include "passes/rewrite.h"
#include "support/alloc.h"
#include "support/vec.h"

struct id_list VEC_FIELDS(uint32_t);

/* Feedback `id` of the destination, from source value `source`, which must wait `steps`. */
struct waiting {
    uint32_t id, source, steps;
};
struct lag_list VEC_FIELDS(struct waiting);

struct balance {
    struct rewrite rw;
    const struct tgt *t;
    uint32_t *src_start;         /* start of every source value */
    struct id_list start;        /* start of every destination value */
    struct id_list relays;       /* all delays made so far */
    uint32_t *target;            /* step at which the operands of a source projection meet */
    struct lag_list lags;        /* feedbacks, whose sources are delayed when they are built */
    struct relay_steps *station; /* binary: per source value, starts of its relays, ascending */
    uint32_t max_steps;
    uint64_t relay_neurons;
};

static bool needs_alignment(const struct ir_node *n)
{
    return n->op == IR_OP_CONV2D || n->op == IR_OP_LINEAR || n->op == IR_OP_ATTENTION;
}

/* Starts of destination values added since the last call. */
static spk_status update_starts(struct balance *b)
{
    while (b->start.len < b->rw.dst->n_nodes) {
        uint32_t id = (uint32_t)b->start.len;
        SPK_TRY(vec_push(&b->start, 0));
        b->start.data[id] = depth_of_node(b->rw.dst, b->t, id, b->start.data);
    }
    return SPK_OK;
}

static spk_status check_payload(const struct balance *b, uint32_t id)
{
    const struct ir_node *n = &b->rw.dst->node[id];
    uint32_t bits = b->t->arith.payload_bits;
    if (n->type.kind == IR_SPIKE || bits >= 32 || n->type.bound < ((uint64_t)1 << bits))
        return SPK_OK;
    spk_status s = diag_nofit(b->rw.diags, n->span, "E0642",
                              "a count of up to %u does not fit the %u bits of a graded spike "
                              "of %s",
                              (unsigned)n->type.bound, (unsigned)bits, b->t->name);
    diag_help_set(b->rw.diags, "use fewer blocks, or a target with wider payloads");
    return s;
}

/* "relay.7", or with a number that the model has not taken. NULL when out of memory. */
static const char *relay_name(struct balance *b)
{
    unsigned k = (unsigned)b->relays.len;
    const char *name = arena_printf(&b->rw.dst->arena, "relay.%u", k);
    while (name &&
           (ir_find_value(b->rw.src, name) != IR_NONE || ir_find_value(b->rw.dst, name) != IR_NONE))
        name = arena_printf(&b->rw.dst->arena, "relay.%u", ++k);
    return name;
}

/* One relay of at most max_steps; an equal one is used again. */
static spk_status relay(struct balance *b, const uint32_t *operand, uint32_t n, uint32_t steps,
                        uint32_t *out)
{
    for (size_t i = 0; i < b->relays.len; i++) {
        const struct ir_node *e = &b->rw.dst->node[b->relays.data[i]];
        if (e->n_operands == n && e->a.delay.steps == steps &&
            memcmp(e->operand, operand, n * sizeof *operand) == 0) {
            *out = b->relays.data[i];
            return SPK_OK;
        }
    }
    struct ir_node node;
    memset(&node, 0, sizeof node);
    node.op = IR_OP_DELAY;
    node.name = relay_name(b);
    if (!node.name)
        return SPK_ERR_NOMEM;
    node.n_operands = n;
    SPK_TRY(spk_alloc_array(n, sizeof *node.operand, &node.operand));
    memcpy(node.operand, operand, n * sizeof *operand);
    node.span = b->rw.dst->node[operand[n - 1]].span;
    node.a.delay.steps = steps;
    spk_status s = rw_add(&b->rw, &node, out);
    spk_free(node.operand);
    SPK_TRY(s);
    SPK_TRY(check_payload(b, *out));
    SPK_TRY(update_starts(b));
    b->relay_neurons += ir_type_elements(&b->rw.dst->node[*out].type);
    return vec_push(&b->relays, *out);
}

/* Sums operands of equal start and delays them by any number of steps >= 1. */
static spk_status relay_chain(struct balance *b, const uint32_t *operand, uint32_t n,
                              uint32_t steps, uint32_t *out)
{
    uint32_t pieces = (steps - 1) / b->max_steps + 1;
    uint32_t at = IR_NONE;
    for (uint32_t i = 0; i < pieces; i++) {
        uint32_t length = steps / pieces + (i < steps % pieces);
        if (i == 0)
            SPK_TRY(relay(b, operand, n, length, &at));
        else
            SPK_TRY(relay(b, &at, 1, length, &at));
    }
    *out = at;
    return SPK_OK;
}

/* By id, so that the same content gives the same relays. */
static void sort_ids(struct id_list *list)
{
    for (size_t i = 1; i < list->len; i++) {
        uint32_t x = list->data[i];
        size_t k = i;
        for (; k > 0 && list->data[k - 1] > x; k--)
            list->data[k] = list->data[k - 1];
        list->data[k] = x;
    }
}

/* Graded: replaces list (destination ids) by values that all start at `target`. Recursion depth:
 * distinct starts of the operands.                                                            */
static spk_status align_counts(struct balance *b, struct id_list *list, uint32_t target)
{
    struct id_list older = {0}, rest = {0};
    uint32_t latest = 0, sum = IR_NONE;
    spk_status s = SPK_OK;
    for (size_t i = 0; s == SPK_OK && i < list->len; i++) {
        uint32_t start = b->start.data[list->data[i]];
        if (start == target) {
            s = vec_push(&rest, list->data[i]);
            continue;
        }
        latest = start > latest ? start : latest;
        s = vec_push(&older, list->data[i]);
    }
    if (s == SPK_OK && older.len) {
        s = align_counts(b, &older, latest);
        sort_ids(&older);
        if (s == SPK_OK)
            s = relay_chain(b, older.data, (uint32_t)older.len, target - latest, &sum);
        list->len = 0;
        if (s == SPK_OK)
            s = vec_push(list, sum);
        if (s == SPK_OK)
            s = vec_append(list, rest.data, rest.len);
    }
    vec_fini(&older);
    vec_fini(&rest);
    return s;
}

/* Binary: the last station of the source value up to `target`. */
static spk_status align_spikes(struct balance *b, uint32_t src, uint32_t target, uint32_t *out)
{
    uint32_t at = b->rw.value[src], now = b->src_start[src];
    for (size_t i = 0; i < b->station[src].len && b->station[src].data[i] <= target; i++) {
        uint32_t next = b->station[src].data[i];
        SPK_TRY(relay_chain(b, &at, 1, next - now, &at));
        now = next;
    }
    *out = at;
    return SPK_OK;
}

/* The lag `lag` of the source for a projection whose operands meet at `target`: what it lags behind
 * waits so long that its frame t - steps comes with frame t of the others, in synapses as far as
 * their delay goes, else in relays. */
static spk_status align_lag(struct balance *b, uint32_t lag, uint32_t target, uint32_t *out)
{
    struct ir_node n = b->rw.src->node[lag];
    const bool feedback = n.n_operands == 0;
    const uint32_t from = feedback ? n.a.lag.source : n.operand[0];
    const uint32_t due = target + n.a.lag.steps, start = b->src_start[from];
    uint32_t at = feedback ? IR_NONE : b->rw.value[from];
    char name[160];
    const uint64_t here = (uint64_t)start + b->max_steps - 1;
    const uint32_t wait = due > here ? (uint32_t)(due - here) : 0;
    if (due < start)
        return diag_nofit(b->rw.diags, n.span, "E0645",
                          "%s: its feedback of %u steps leads through %u layers; on a chip each "
                          "takes a step",
                          rw_value_name(b->rw.src, from, name, sizeof name),
                          (unsigned)n.a.lag.steps, (unsigned)(start - target));
    if (!feedback && wait > 0)
        SPK_TRY(relay_chain(b, &at, 1, wait, &at));
    n.name = NULL;
    n.recorded = false;
    n.operand = &at;
    if (feedback)
        n.a.lag.source = 0;
    SPK_TRY(rw_add(&b->rw, &n, out));
    SPK_TRY(update_starts(b));
    b->start.data[*out] = target;
    return feedback ? vec_push(&b->lags, ((struct waiting){*out, from, wait})) : SPK_OK;
}

static spk_status align_operands(struct balance *b, uint32_t id, struct id_list *out)
{
    const struct ir_node *n = &b->rw.src->node[id];
    bool sum = b->t->arith.payload_bits > 0 && n->op != IR_OP_ATTENTION;
    const uint32_t target = b->target[id];
    for (uint32_t k = 0; k < n->n_operands; k++) {
        uint32_t v = b->rw.value[n->operand[k]];
        if (b->rw.src->node[n->operand[k]].op == IR_OP_LAG)
            SPK_TRY(align_lag(b, n->operand[k], target, &v));
        else if (!sum)
            SPK_TRY(align_spikes(b, n->operand[k], target, &v));
        SPK_TRY(vec_push(out, v));
    }
    return sum ? align_counts(b, out, target) : SPK_OK;
}

static bool has_lag(const struct ir_module *m, const struct ir_node *n)
{
    bool any = false;
    for (uint32_t k = 0; k < n->n_operands; k++)
        any = any || m->node[n->operand[k]].op == IR_OP_LAG;
    return any;
}

/* Operands of a projection meet at the latest of them, and of those of the other projections of its
 * neuron. */
static spk_status find_targets(struct balance *b)
{
    const struct ir_module *m = b->rw.src;
    SPK_TRY(spk_alloc_array(m->n_nodes, sizeof *b->target, &b->target));
    for (uint32_t i = 0; i < m->n_nodes; i++)
        for (uint32_t k = 0; k < m->node[i].n_operands; k++)
            if (b->src_start[m->node[i].operand[k]] > b->target[i])
                b->target[i] = b->src_start[m->node[i].operand[k]];
    for (uint32_t i = 0; i < m->n_nodes; i++)
        for (uint32_t k = 0; m->node[i].op == IR_OP_ADD && k < m->node[i].n_operands; k++)
            if (m->node[i].type.kind == IR_CURRENT)
                b->target[m->node[i].operand[k]] = b->target[i];
    return SPK_OK;
}

/* Feedbacks take what they lag behind through relays, if it must wait. */
static spk_status delay_feedbacks(struct balance *b)
{
    for (size_t i = 0; i < b->lags.len; i++) {
        const struct waiting *w = &b->lags.data[i];
        uint32_t at = b->rw.value[w->source];
        if (w->steps > 0)
            SPK_TRY(relay_chain(b, &at, 1, w->steps, &at));
        b->rw.dst->node[w->id].a.lag.source = at;
    }
    return SPK_OK;
}

static spk_status balance_node(struct balance *b, uint32_t id)
{
    const struct ir_node *n = &b->rw.src->node[id];
    if (n->op == IR_OP_LAG && !n->recorded)
        return SPK_OK; /* with the projections that take it */
    if (!needs_alignment(n) || (n->n_operands < 2 && !has_lag(b->rw.src, n) &&
                                b->target[id] == b->src_start[n->operand[0]])) {
        SPK_TRY(rw_copy(&b->rw, id));
        return update_starts(b);
    }
    struct id_list operands = {0};
    spk_status s = align_operands(b, id, &operands);
    if (s == SPK_OK)
        s = rw_copy_operands(&b->rw, id, operands.data, (uint32_t)operands.len);
    vec_fini(&operands);
    return s == SPK_OK ? update_starts(b) : s;
}

static spk_status balance(struct balance *b, const struct pass_context *c)
{
    const struct ir_module *m = b->rw.src;
    uint64_t longest = tgt_limit_value(b->t, TGT_DELAY);
    b->max_steps = longest < UINT32_MAX - 1 ? 1 + (uint32_t)longest : UINT32_MAX;
    SPK_TRY(spk_alloc_array(m->n_nodes, sizeof *b->src_start, &b->src_start));
    SPK_TRY(depth_compute(m, b->t, false, c->diags, b->src_start));
    SPK_TRY(find_targets(b));
    SPK_TRY(spk_alloc_array(m->n_nodes, sizeof *b->station, &b->station));
    SPK_TRY(relay_plan(m, b->t, b->src_start, b->t->arith.payload_bits > 0, b->station));
    for (uint32_t i = 0; i < m->n_nodes; i++)
        SPK_TRY(balance_node(b, i));
    SPK_TRY(delay_feedbacks(b));
    SPK_TRY(depth_compute(b->rw.dst, b->t, true, c->diags, b->start.data));
    uint32_t last = 0;
    for (size_t i = 0; i < b->start.len; i++)
        last = b->start.data[i] > last ? b->start.data[i] : last;
    if (c->remarks)
        diag_remark(c->diags, spk_span_none, "R0613",
                    "balance-delays: %zu relays with "
                    "%llu neurons, last start at step %u",
                    b->relays.len, (unsigned long long)b->relay_neurons, (unsigned)last);
    return SPK_OK;
}

spk_status pass_balance_delays(const struct pass_context *c, const int64_t *options,
                               const struct ir_module *in, struct ir_module **out)
{
    struct balance b;
    (void)options;
    memset(&b, 0, sizeof b);
    b.t = c->target;
    SPK_TRY(rw_init(&b.rw, in, in->stage, c->diags));
    spk_status s = balance(&b, c);
    if (s == SPK_OK)
        *out = rw_take(&b.rw);
    for (uint32_t i = 0; b.station && i < in->n_nodes; i++)
        vec_fini(&b.station[i]);
    spk_free(b.station);
    spk_free(b.src_start);
    spk_free(b.target);
    vec_fini(&b.lags);
    vec_fini(&b.start);
    vec_fini(&b.relays);
    rw_fini(&b.rw);
    return s;
}
