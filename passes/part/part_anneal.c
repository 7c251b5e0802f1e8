/* Annealing of a partition: single nodes go to parts that their axons have to do with, or change
 * places with a member of that part.
 *
 * A move takes a random node and a part that holds its source, its destinations or other readers
 * of its inputs (seldom any part). Neurons, axons and synapses beyond the limits of a part have a
 * price: full parts would otherwise lock each other, since groups differ in size. One move beyond
 * the limits costs about the first temperature; towards the end the price rises until nothing is
 * beyond them, and the last step, which only descends, puts limits before all else. Where a single
 * move is refused because the part is full, a random member of it comes back in exchange; the pair
 * is priced before anything is touched, as if the two shared no axon, and most exchanges end there.
 * Changes are exact (part_state.c), acceptance is Metropolis', the temperature falls
 * geometrically from one at which a given share of worsening moves would be accepted. The budget
 * counts entries of lists that are read, so the time does not depend on how many synapses a node
 * has. One thread. */
#include <math.h>
#include <string.h>

#include "passes/part/part_internal.h"
#include "support/alloc.h"

#define SAMPLES 512u
#define CANCEL_EVERY 4096u
#define RISE 1.5      /* of prices, from step to step of the last part */
#define RISE_FROM 0.6 /* share of the steps */
#define FINAL_RISE 1e6

struct anneal {
    struct part_state *s;
    struct rng rng;
    double temperature;
    double price[3]; /* of a neuron, an axon, a synapse beyond the limits */
    bool has_best;
    double best;         /* cost of the cheapest legal partition */
    uint32_t *best_part; /* it, where has_best */
    uint64_t looks;
};

static uint32_t below(struct anneal *a, uint64_t bound)
{
    return (uint32_t)rng_below(&a->rng, bound);
}

/* A part for v that its axons have to do with. */
static uint32_t target(struct anneal *a, uint32_t v)
{
    const struct part_state *s = a->s;
    const struct part_level *l = s->level;
    const uint64_t n_in = l->in_first[v + 1] - l->in_first[v];
    const uint64_t n_out = l->out_first[v + 1] - l->out_first[v];
    const uint32_t way = below(a, 16);
    const struct part_edge *e;
    if (way == 0 || n_in + n_out == 0)
        return below(a, s->k);
    if (n_out > 0 && ((way & 1) || n_in == 0)) {
        e = &s->edge[l->out[l->out_first[v] + below(a, n_out)]];
    } else {
        e = &s->edge[l->in[l->in_first[v] + below(a, n_in)]];
        if (way & 2)
            return e->home;
    }
    return s->list[e->first + below(a, e->len)].part;
}

static double excess(uint64_t have, int64_t more, uint64_t limit)
{
    const uint64_t sum = (uint64_t)((int64_t)have + more);
    return sum > limit ? (double)(sum - limit) : 0;
}

/* What part p costs for being beyond its limits with that much more. */
static double fine(const struct anneal *a, uint32_t p, int64_t size, int64_t axons,
                   int64_t synapses)
{
    const struct part_state *s = a->s;
    return a->price[0] * excess(s->size[p], size, s->limits.neurons) +
           a->price[1] * excess(s->axons[p], axons, s->limits.axons) +
           a->price[2] * excess(s->synapses[p], synapses, s->limits.synapses);
}

/* The change with its effect on fines; *out_full says whether the fine of `to` grows. */
static struct part_change change_of(struct anneal *a, uint32_t v, uint32_t to, double *out_cost,
                                    bool *out_full)
{
    const struct part_state *s = a->s;
    const uint32_t from = s->part[v];
    const int64_t size = (int64_t)s->level->size[v], synapses = (int64_t)s->level->synapses[v];
    const struct part_change change = part_state_change(s, v, to);
    const double rise = fine(a, to, size, change.to, synapses) - fine(a, to, 0, 0, 0);
    const double fall = fine(a, from, 0, 0, 0) - fine(a, from, -size, change.from, -synapses);
    a->looks += change.looks;
    *out_full = rise > 0;
    *out_cost = change.cost + rise - fall;
    return change;
}

static spk_status move(struct anneal *a, uint32_t v, uint32_t to, const struct part_change *change)
{
    a->looks += change->looks;
    return part_state_move(a->s, v, to, change);
}

/* v and u change places if that costs at most `most`; change and cost are those of moving v. */
static spk_status exchange(struct anneal *a, uint32_t v, uint32_t u,
                           const struct part_change *change, double cost, double most)
{
    const uint32_t from = a->s->part[v], to = a->s->part[u];
    bool full;
    double other;
    SPK_TRY(move(a, v, to, change));
    const struct part_change back = change_of(a, u, from, &other, &full);
    if (cost + other <= most)
        return move(a, u, from, &back);
    const struct part_change home = part_state_change(a->s, v, from);
    return move(a, v, from, &home);
}

static spk_status attempt(struct anneal *a)
{
    struct part_state *s = a->s;
    const uint32_t v = below(a, s->level->n), from = s->part[v], to = target(a, v);
    bool full, other_full;
    double cost, other;
    a->looks++;
    if (from == to)
        return SPK_OK;
    const struct part_change change = change_of(a, v, to, &cost, &full);
    const double most = a->temperature > 0 ? -a->temperature * log(1 - rng_f64(&a->rng)) : 0;
    if (cost <= most)
        return move(a, v, to, &change);
    if (!full || s->member[to].len == 0)
        return SPK_OK;
    const uint32_t u = s->member[to].data[below(a, s->member[to].len)];
    const struct part_change back = change_of(a, u, from, &other, &other_full);
    /* limits aside, which hold for the pair */
    if (change.cost + back.cost > most)
        return SPK_OK;
    return exchange(a, v, u, &change, cost, most);
}

/* Sets temperature and prices by what random moves change. The temperature is that at which the
 * given share of the worsening ones would be accepted; 0 where there is none. */
static double first_temperature(struct anneal *a, double share)
{
    const struct part_level *l = a->s->level;
    double worse[SAMPLES], size = 0, axons = 0, synapses = 0;
    uint32_t n = 0, moves = 0;
    for (uint32_t i = 0; i < SAMPLES; i++) {
        const uint32_t v = below(a, l->n), to = target(a, v);
        if (to == a->s->part[v])
            continue;
        const struct part_change change = part_state_change(a->s, v, to);
        moves++;
        size += (double)l->size[v];
        axons += (double)change.to;
        synapses += (double)l->synapses[v];
        if (change.cost > 0)
            worse[n++] = change.cost;
    }
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
    const double unit = high > 0 ? high : 1;
    a->price[0] = unit * moves / fmax(size, 1);
    a->price[1] = unit * moves / fmax(axons, 1);
    a->price[2] = unit * moves / fmax(synapses, 1);
    return high;
}

static void raise_prices(struct anneal *a, double factor)
{
    for (int i = 0; i < 3; i++)
        a->price[i] *= factor;
}

static void look_for_best(struct anneal *a)
{
    /* sums of changes drift in the last digits; what is no gain beyond them is none */
    if ((!a->has_best || a->s->cost < a->best - 1e-9 * fabs(a->best)) && part_state_legal(a->s)) {
        a->has_best = true;
        a->best = a->s->cost;
        memcpy(a->best_part, a->s->part, a->s->level->n * sizeof *a->best_part);
    }
}

static spk_status cool(struct anneal *a, const struct part_schedule *plan,
                       const struct progress *progress)
{
    const double hot = first_temperature(a, plan->hot);
    if (plan->strict)
        raise_prices(a, FINAL_RISE);
    const double decay = pow(plan->range, -1.0 / (plan->steps > 1 ? plan->steps - 1 : 1));
    const uint64_t each = plan->looks / (plan->steps + 1) + 1;
    a->temperature = hot;
    for (uint32_t step = 0; step <= plan->steps; step++) {
        const bool last = step == plan->steps;
        if (last && !plan->strict)
            raise_prices(a, FINAL_RISE);
        else if (step > RISE_FROM * plan->steps && !part_state_legal(a->s))
            raise_prices(a, RISE);
        if (last)
            a->temperature = 0;
        a->looks = 0;
        for (uint32_t i = 0; a->looks < each; i++) {
            if (i % CANCEL_EVERY == 0 && progress_cancelled(progress))
                return SPK_OK;
            SPK_TRY(attempt(a));
        }
        a->temperature *= decay;
        if (plan->keep_legal)
            look_for_best(a);
    }
    return SPK_OK;
}

spk_status part_anneal(struct part_state *s, const struct part_schedule *plan,
                       const struct progress *progress)
{
    struct anneal a = {.s = s};
    struct part_state best;
    if (s->k < 2 || s->level->n < 2)
        return SPK_OK;
    rng_seed(&a.rng, plan->seed);
    SPK_TRY(spk_alloc_array_raw(s->level->n, sizeof *a.best_part, &a.best_part));
    if (plan->keep_legal)
        look_for_best(&a);
    spk_status status = cool(&a, plan, progress);
    if (status == SPK_OK && a.has_best) {
        status = part_state_init(s->level, &s->limits, a.best_part, s->k, &best);
        if (status == SPK_OK) {
            part_state_fini(s);
            *s = best;
        }
    }
    spk_free(a.best_part);
    return status;
}
