/* Annealing of a partition: single nodes go to parts that their axons reach; where the part is
 * full, nodes of it come back in exchange.
 *
 * A move takes a random node and a part that holds its source, its destinations or other readers
 * of its inputs (seldom any part). If the part has no room, one to three random members of it go
 * the other way until both parts are within their limits, or everything is taken back. The first of
 * them is priced before anything is touched; most exchanges end there. Changes are exact
 * (part_state.c). Acceptance is Metropolis'; the temperature falls geometrically from one at which
 * a given share of worsening moves would be accepted. The budget counts looks at edges, so the time
 * does not depend on how many synapses a node has. One thread. */
#include <math.h>
#include <string.h>

#include "passes/part/part_internal.h"
#include "support/alloc.h"

#define SAMPLES 512u
#define MOST_BACK 3u
#define CANCEL_EVERY 4096u

struct anneal {
    struct part_state *s;
    struct rng rng;
    double temperature, energy, best;
    uint32_t *best_part;
    uint64_t work;
};

static uint32_t below(struct anneal *a, uint64_t bound)
{
    return (uint32_t)rng_below(&a->rng, bound);
}

static uint64_t degree(const struct part_level *l, uint32_t v)
{
    return l->in_first[v + 1] - l->in_first[v] + (l->out_first[v + 1] - l->out_first[v]);
}

/* A part for v that its axons have to do with. */
static uint32_t target(struct anneal *a, uint32_t v)
{
    const struct part_state *s = a->s;
    const struct part_level *l = s->level;
    const uint64_t n_in = l->in_first[v + 1] - l->in_first[v];
    const uint64_t n_out = l->out_first[v + 1] - l->out_first[v];
    const uint32_t way = below(a, 16);
    uint32_t e;
    if (way == 0 || n_in + n_out == 0)
        return below(a, s->k);
    if (n_out > 0 && ((way & 1) || n_in == 0)) {
        e = l->out[l->out_first[v] + below(a, n_out)];
    } else {
        e = l->in[l->in_first[v] + below(a, n_in)];
        if (way & 2)
            return s->part[l->source[e]];
    }
    return s->list[s->list_first[e] + below(a, s->list_len[e])].part;
}

static struct part_change change_of(struct anneal *a, uint32_t v, uint32_t to)
{
    a->work += degree(a->s->level, v);
    return part_state_change(a->s, v, to);
}

static spk_status move(struct anneal *a, uint32_t v, uint32_t to, const struct part_change *change)
{
    a->work += degree(a->s->level, v);
    a->energy += change->cost;
    return part_state_move(a->s, v, to, change);
}

/* v goes to `to`, which has no room for it, and members of `to` come back. `u` is the first. */
static spk_status exchange(struct anneal *a, uint32_t v, uint32_t to, uint32_t u,
                           const struct part_change *first, double most)
{
    struct part_state *s = a->s;
    const struct part_level *l = s->level;
    const uint32_t from = s->part[v];
    uint32_t back[MOST_BACK], n = 0;
    double sum = first->cost;
    bool fits = false;
    SPK_TRY(move(a, v, to, first));
    for (uint32_t i = 0; i < MOST_BACK + 1 && n < MOST_BACK && !fits; i++) {
        if (i > 0)
            u = s->member[to].data[below(a, s->member[to].len)];
        if (u == v)
            continue;
        const struct part_change change = change_of(a, u, from);
        if (!part_state_fits(s, from, l->size[u], change.to, l->synapses[u]))
            continue;
        back[n++] = u;
        sum += change.cost;
        SPK_TRY(move(a, u, from, &change));
        fits = part_state_fits(s, to, 0, 0, 0);
    }
    if (fits && sum <= most)
        return SPK_OK;
    while (n > 0) {
        const struct part_change change = change_of(a, back[--n], to);
        SPK_TRY(move(a, back[n], to, &change));
    }
    const struct part_change change = change_of(a, v, from);
    return move(a, v, from, &change);
}

static spk_status attempt(struct anneal *a)
{
    struct part_state *s = a->s;
    const struct part_level *l = s->level;
    const uint32_t v = below(a, l->n), from = s->part[v], to = target(a, v);
    a->work++;
    if (from == to)
        return SPK_OK;
    const struct part_change change = change_of(a, v, to);
    const double most = a->temperature > 0 ? -a->temperature * log(1 - rng_f64(&a->rng)) : 0;
    if (part_state_fits(s, to, l->size[v], change.to, l->synapses[v]))
        return change.cost <= most ? move(a, v, to, &change) : SPK_OK;
    if (s->member[to].len == 0) /* v alone exceeds what the others may hold */
        return SPK_OK;
    const uint32_t u = s->member[to].data[below(a, s->member[to].len)];
    if (s->size[from] - l->size[v] + l->size[u] > s->limits.neurons)
        return SPK_OK;
    const struct part_change other = change_of(a, u, from);
    if (change.cost + other.cost > most)
        return SPK_OK;
    return exchange(a, v, to, u, &change, most);
}

/* The temperature at which the given share of worsening single moves would be accepted; 0 where
 * there is none. */
static double first_temperature(struct anneal *a, double share)
{
    double worse[SAMPLES];
    uint32_t n = 0;
    for (uint32_t i = 0; i < SAMPLES; i++) {
        const uint32_t v = below(a, a->s->level->n), to = target(a, v);
        if (to == a->s->part[v])
            continue;
        const double cost = change_of(a, v, to).cost;
        if (cost > 0)
            worse[n++] = cost;
    }
    if (n == 0)
        return 0;
    double low = 0, high = 0;
    for (uint32_t i = 0; i < n; i++)
        high = fmax(high, worse[i]);
    high *= 64; /* accepts 98 % of the worst */
    for (int step = 0; step < 60; step++) {
        const double t = low + (high - low) / 2;
        double sum = 0;
        for (uint32_t i = 0; i < n && t > 0; i++)
            sum += exp(-worse[i] / t);
        *(sum < share * n ? &low : &high) = t;
    }
    return high;
}

static void keep_best(struct anneal *a)
{
    /* sums of changes drift in the last digits; what is no gain beyond them is none */
    if (a->energy < a->best - 1e-9 * fabs(a->best)) {
        a->best = a->energy;
        memcpy(a->best_part, a->s->part, a->s->level->n * sizeof *a->best_part);
    }
}

static spk_status cool(struct anneal *a, const struct part_schedule *plan,
                       const struct progress *progress)
{
    const double hot = first_temperature(a, plan->hot);
    const uint64_t begin = a->work;
    for (uint32_t step = 0; step <= plan->steps; step++) {
        /* the last step only descends */
        a->temperature =
            step == plan->steps
                ? 0
                : hot * pow(plan->range, -(double)step / (plan->steps > 1 ? plan->steps - 1 : 1));
        const uint64_t until = begin + plan->work / (plan->steps + 1) * (step + 1);
        for (uint32_t i = 0; a->work < until; i++) {
            if (i % CANCEL_EVERY == 0 && progress_cancelled(progress))
                return SPK_ERR_CANCELLED;
            SPK_TRY(attempt(a));
        }
        keep_best(a);
    }
    return SPK_OK;
}

spk_status part_anneal(struct part_state *s, const struct part_schedule *plan,
                       const struct progress *progress)
{
    struct anneal a = {.s = s, .energy = s->cost};
    struct part_state best;
    if (s->k < 2 || s->level->n < 2)
        return SPK_OK;
    for (uint32_t p = 0; p < s->k; p++)
        a.energy += s->repel[p] * (double)s->size[p];
    a.best = a.energy;
    rng_seed(&a.rng, plan->seed);
    SPK_TRY(spk_alloc_array_raw(s->level->n, sizeof *a.best_part, &a.best_part));
    memcpy(a.best_part, s->part, s->level->n * sizeof *a.best_part);
    spk_status status = cool(&a, plan, progress);
    if (status == SPK_OK)
        status = part_state_init(s->level, &s->limits, a.best_part, s->k, &best);
    spk_free(a.best_part);
    if (status != SPK_OK)
        return status;
    memcpy(best.repel, s->repel, s->k * sizeof *s->repel);
    part_state_fini(s);
    *s = best;
    return SPK_OK;
}
