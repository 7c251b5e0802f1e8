/* Polishing: the beam's assignment made locally optimal (docs/mapping.md, section 3).
 *
 * A trial gives one population another shape, which may break limits of its sources and consumers.
 * Repair takes the first population over a limit and changes it or whoever asks that much of it,
 * each time by the change that leaves the least excess, then the least cost; what was changed first
 * stays as it is. Then the populations around all that has changed take their cheapest legal shape.
 * The trial is kept if the whole is cheaper, else undone. So a hub changes with its consumers, and
 * a consumer with all its sources. Trials go on until none helps, at most SWEEPS times through all;
 * one whose neighbours could not pay for it is not begun.
 *
 * Excess and costs are kept up to date edge by edge, so a change costs the edges of its population.
 * Invariant between trials: no limit is broken and the cost is no more than the beam's. */
#include <string.h>

#include "passes/map/search.h"
#include "support/alloc.h"

#define SWEEPS 8
#define REPAIRS 24    /* changes of one trial */
#define ROUNDING 1e-9 /* what sums of costs may differ by without meaning anything */

struct change {
    uint32_t pop, before;
};

struct polish {
    struct search *s;
    uint8_t *choice;
    uint64_t in_have, out_have;
    uint64_t *in, *out;         /* [pops]: of the largest tile */
    uint64_t over;              /* sum of what is beyond a limit */
    struct search_cost *cost;   /* [pops] */
    struct search_cost sum;     /* of them all */
    struct search_cost *of;     /* [pops][SEARCH_SHAPES] where sources' shapes do not matter */
    double *least;              /* [pops]: least first cost of a living shape */
    VEC(struct change) changes; /* of this trial */
    bool *near;                 /* [pops]: beside one that has changed */
};

static uint64_t beyond(uint64_t n, uint64_t have)
{
    return n > have ? n - have : 0;
}

static uint64_t excess(const struct polish *p, uint32_t pop)
{
    return beyond(p->in[pop], p->in_have) + beyond(p->out[pop], p->out_have);
}

static struct search_cost cost_now(const struct polish *p, uint32_t pop)
{
    if (p->of != NULL)
        return p->of[(size_t)pop * SEARCH_SHAPES + p->choice[pop]];
    return search_cost_of(p->s, pop, p->choice[pop], p->choice);
}

/* A population's share of the sums leaves them before a change and comes back after. */
static void count(struct polish *p, uint32_t pop, bool back)
{
    if (back) {
        p->over += excess(p, pop);
        p->sum.first += p->cost[pop].first;
        p->sum.second += p->cost[pop].second;
    } else {
        p->over -= excess(p, pop);
        p->sum.first -= p->cost[pop].first;
        p->sum.second -= p->cost[pop].second;
    }
}

static void set_shape(struct polish *p, uint32_t pop, uint32_t b)
{
    struct search *s = p->s;
    const struct search_set *set = s->set[pop];
    const uint32_t a = p->choice[pop];
    count(p, pop, false);
    p->in[pop] = set->fixed[b];
    p->out[pop] = search_port_axons(s, pop, &set->shape[b]);
    p->choice[pop] = (uint8_t)b;
    for (uint32_t i = s->in_first[pop]; i < s->in_first[pop + 1]; i++) {
        const struct search_edge *e = &s->edges.data[i];
        const struct search_pair *row = &e->pair[p->choice[e->src] * set->n];
        p->over -= excess(p, e->src);
        p->out[e->src] += row[b].out;
        p->out[e->src] -= row[a].out;
        p->over += excess(p, e->src);
        p->in[pop] += set->window[b * set->n_projs + e->k] * row[b].in;
    }
    for (uint32_t o = s->out_first[pop]; o < s->out_first[pop + 1]; o++) {
        const struct search_edge *e = &s->edges.data[s->out[o]];
        const struct search_set *to = s->set[e->dst];
        const uint32_t c = p->choice[e->dst];
        const uint64_t window = to->window[c * to->n_projs + e->k];
        count(p, e->dst, false);
        p->in[e->dst] += window * e->pair[b * to->n + c].in;
        p->in[e->dst] -= window * e->pair[a * to->n + c].in;
        if (p->of == NULL)
            p->cost[e->dst] = cost_now(p, e->dst);
        count(p, e->dst, true);
        p->out[pop] += e->pair[b * to->n + c].out;
    }
    p->cost[pop] = cost_now(p, pop);
    count(p, pop, true);
}

static spk_status change(struct polish *p, uint32_t pop, uint32_t b)
{
    SPK_TRY(vec_push(&p->changes, ((struct change){pop, p->choice[pop]})));
    set_shape(p, pop, b);
    return SPK_OK;
}

static void undo(struct polish *p)
{
    while (p->changes.len > 0) {
        const struct change c = vec_last(&p->changes);
        p->changes.len--;
        set_shape(p, c.pop, c.before);
    }
}

static bool lives(const struct polish *p, uint32_t pop, uint32_t b)
{
    return (p->s->alive[pop] >> b & 1u) != 0;
}

/* Less in this order; sums that differ by rounding are equal. */
static bool cheaper(struct search_cost a, struct search_cost b)
{
    const double first = ROUNDING * (b.first < 0 ? -b.first : b.first);
    const double second = ROUNDING * (b.second < 0 ? -b.second : b.second);
    if (a.first < b.first - first || a.first > b.first + first)
        return a.first < b.first;
    return a.second < b.second - second;
}

/* The whole by the objective. */
static struct search_cost total(const struct polish *p)
{
    struct search_cost all = p->sum;
    if (p->s->objective != MAP_LATENCY)
        return all;
    all.first = 0;
    for (size_t i = 0; i < p->s->net->pops.len; i++)
        all.first = p->cost[i].first > all.first ? p->cost[i].first : all.first;
    return all;
}

struct option {
    uint32_t pop, shape;
    uint64_t over;
    struct search_cost sum;
};

/* The best shape of a population in place of the one that it has. */
static void look(struct polish *p, uint32_t pop, struct option *best)
{
    const uint32_t now = p->choice[pop];
    for (uint32_t b = 0; b < p->s->set[pop]->n; b++) {
        if (b == now || !lives(p, pop, b))
            continue;
        set_shape(p, pop, b);
        if (p->over < best->over || (p->over == best->over && cheaper(p->sum, best->sum)))
            *best = (struct option){pop, b, p->over, p->sum};
    }
    if (p->choice[pop] != now)
        set_shape(p, pop, now);
}

/* Changes populations other than `fixed` until no limit is broken. */
static spk_status repair(struct polish *p, uint32_t fixed, bool *out_done)
{
    const struct search *s = p->s;
    for (int i = 0; i < REPAIRS && p->over > 0; i++) {
        struct option best = {IR_NONE, 0, p->over, p->sum};
        uint32_t at = 0;
        while (s->set[at] == NULL || excess(p, at) == 0)
            at++;
        if (at != fixed)
            look(p, at, &best);
        for (uint32_t e = s->in_first[at]; p->in[at] > p->in_have && e < s->in_first[at + 1]; e++)
            if (s->edges.data[e].src != fixed)
                look(p, s->edges.data[e].src, &best);
        for (uint32_t o = s->out_first[at]; p->out[at] > p->out_have && o < s->out_first[at + 1];
             o++)
            if (s->edges.data[s->out[o]].dst != fixed)
                look(p, s->edges.data[s->out[o]].dst, &best);
        if (best.pop == IR_NONE || best.over >= p->over)
            break;
        SPK_TRY(change(p, best.pop, best.shape));
    }
    *out_done = p->over == 0;
    return SPK_OK;
}

/* Everything around the changes takes its cheapest legal shape. */
static spk_status settle(struct polish *p)
{
    const struct search *s = p->s;
    const uint32_t n = (uint32_t)s->net->pops.len;
    memset(p->near, 0, n * sizeof *p->near);
    for (size_t i = 0; i < p->changes.len; i++) {
        const uint32_t pop = p->changes.data[i].pop;
        p->near[pop] = true;
        for (uint32_t e = s->in_first[pop]; e < s->in_first[pop + 1]; e++)
            p->near[s->edges.data[e].src] = true;
        for (uint32_t o = s->out_first[pop]; o < s->out_first[pop + 1]; o++)
            p->near[s->edges.data[s->out[o]].dst] = true;
    }
    for (uint32_t i = 0; i < n; i++) {
        struct option best = {IR_NONE, 0, 0, p->sum};
        if (!p->near[i])
            continue;
        look(p, i, &best);
        if (best.pop != IR_NONE)
            SPK_TRY(change(p, i, best.shape));
    }
    return SPK_OK;
}

/* What the neighbours of a population could save at most. */
static double savings(const struct polish *p, uint32_t pop)
{
    const struct search *s = p->s;
    double most = 0;
    for (uint32_t e = s->in_first[pop]; e < s->in_first[pop + 1]; e++)
        most += p->cost[s->edges.data[e].src].first - p->least[s->edges.data[e].src];
    for (uint32_t o = s->out_first[pop]; o < s->out_first[pop + 1]; o++) {
        const uint32_t dst = s->edges.data[s->out[o]].dst;
        most += p->cost[dst].first - p->least[dst];
    }
    return most;
}

static spk_status try_shape(struct polish *p, uint32_t pop, uint32_t b, bool *inout_better)
{
    const struct search_cost before = total(p);
    bool legal;
    p->changes.len = 0;
    SPK_TRY(change(p, pop, b));
    SPK_TRY(repair(p, pop, &legal));
    if (legal)
        SPK_TRY(settle(p));
    if (legal && cheaper(total(p), before))
        *inout_better = true;
    else
        undo(p);
    return SPK_OK;
}

static spk_status sweep(struct polish *p, bool *out_better)
{
    const struct search *s = p->s;
    *out_better = false;
    for (uint32_t i = 0; i < s->net->pops.len; i++) {
        for (uint32_t b = 0; s->set[i] != NULL && b < s->set[i]->n; b++) {
            const double more = search_cost_least(s, i, b).first - p->cost[i].first;
            if (b != p->choice[i] && lives(p, i, b) && more <= 0 + savings(p, i))
                SPK_TRY(try_shape(p, i, b, out_better));
        }
    }
    return SPK_OK;
}

static spk_status start(struct polish *p)
{
    struct search *s = p->s;
    const size_t n = s->net->pops.len;
    SPK_TRY(spk_alloc_array(n, sizeof *p->in, &p->in));
    SPK_TRY(spk_alloc_array(n, sizeof *p->out, &p->out));
    SPK_TRY(spk_alloc_array(n, sizeof *p->cost, &p->cost));
    SPK_TRY(spk_alloc_array(n, sizeof *p->least, &p->least));
    SPK_TRY(spk_alloc_array(n, sizeof *p->near, &p->near));
    if (s->objective == MAP_CORES || s->objective == MAP_LATENCY)
        SPK_TRY(spk_alloc_array(n * SEARCH_SHAPES, sizeof *p->of, &p->of));
    for (uint32_t i = 0; i < n; i++) {
        double least = -1;
        for (uint32_t b = 0; s->set[i] != NULL && b < s->set[i]->n; b++) {
            const struct search_cost c = search_cost_least(s, i, b);
            if (p->of != NULL)
                p->of[(size_t)i * SEARCH_SHAPES + b] = c;
            if (lives(p, i, b))
                least = least < 0 || c.first < least ? c.first : least;
        }
        p->least[i] = least;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (s->set[i] == NULL)
            continue;
        p->in[i] = s->set[i]->fixed[p->choice[i]];
        p->out[i] = search_port_axons(s, i, &s->set[i]->shape[p->choice[i]]);
        p->cost[i] = cost_now(p, i);
    }
    for (size_t i = 0; i < s->edges.len; i++) {
        const struct search_edge *e = &s->edges.data[i];
        const struct search_set *to = s->set[e->dst];
        const uint32_t c = p->choice[e->dst];
        const struct search_pair *pair = &e->pair[p->choice[e->src] * to->n + c];
        p->in[e->dst] += to->window[c * to->n_projs + e->k] * pair->in;
        p->out[e->src] += pair->out;
    }
    for (uint32_t i = 0; i < n; i++)
        if (s->set[i] != NULL)
            count(p, i, true);
    return SPK_OK;
}

spk_status search_polish(struct search *s, uint8_t *inout_choice)
{
    struct polish p = {.s = s,
                       .choice = inout_choice,
                       .in_have = tgt_limit_value(s->net->target, TGT_IN_AXONS),
                       .out_have = tgt_limit_value(s->net->target, TGT_OUT_AXONS)};
    bool better = true;
    spk_status status = start(&p);
    for (int i = 0; i < SWEEPS && better && status == SPK_OK; i++)
        status = sweep(&p, &better);
    spk_free(p.in);
    spk_free(p.out);
    spk_free(p.cost);
    spk_free(p.of);
    spk_free(p.least);
    spk_free(p.near);
    vec_fini(&p.changes);
    return status;
}
