/* The partitioner's main line.
 *
 * The best of two constructions (neurons in order, growth by shared axons; of neurons and of
 * groups) says how many cores are used. Three starts then run side by side: two from that
 * construction, of which one never leaves the limits, and one from groups that ignore it. Each
 * works on levels: twins become one node, then nodes are paired until few are left; the coarsest
 * level is annealed from hot, every finer one from lukewarm. The cheapest start goes through levels
 * once more, whose groups now lie within its cores (V-cycle: Karypis et al. 1999). To save cores,
 * the emptiest are dissolved into the others and the search has to find room for their neurons.
 * Large graphs have one start.
 *
 * What a run may look at is counted, not timed, and starts have their own seeds: the result does
 * not depend on threads or on the machine's speed. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "passes/part/part_internal.h"
#include "support/alloc.h"

#define MAX_LEVELS 24u
#define STARTS 3u
#define COARSEST 3000u /* nodes of the coarsest level, more where there are many cores */
#define NODES_PER_CORE 24u
#define TWINS_PER_CORE 8u   /* groups that fill a core, at least */
#define HOT 0.5             /* shares of worsening moves at the start: of the coarsest level, */
#define LUKEWARM 0.3        /* of the same when the levels are gone through again, */
#define WARM 0.1            /* of finer levels */
#define RANGE 100.0         /* first temperature / last, of the coarsest level */
#define HOT_LOOKS 8000.0    /* entries read per entry of an edge */
#define ENOUGH_LOOKS 1000.0 /* per entry, for a search from hot */
#define COOLEST 0.02
#define LARGE 2000000u /* entries of a coarsest level, for which only one search is affordable */
#define WARM_LOOKS 400.0
#define MOST_HOT_LOOKS 1.5e8
#define MOST_WARM_LOOKS 4e7
#define REPAIRS 3u
#define PROBES 6u /* numbers of cores that are tried for fewer */

struct levels {
    const struct part_level *finest;
    struct part_level coarse[MAX_LEVELS]; /* level k + 1 */
    uint32_t *up[MAX_LEVELS];             /* from level k to k + 1 */
    uint32_t n;                           /* levels, the finest included */
};

struct start {
    uint32_t *part; /* [n] of the finest level */
    bool strict;    /* never beyond the limits, from a legal partition; else beyond at a price */
    double cost;
    bool found; /* a legal partition */
};

struct run {
    const struct part_options *options;
    struct part_limits limits; /* UINT64_MAX: none */
    struct part_level finest;
    double effort;
    struct levels fresh; /* groups that no partition limits */
    uint32_t *base, k;   /* a legal partition of the finest level */
};

static const struct part_level *level_at(const struct levels *l, uint32_t k)
{
    return k == 0 ? l->finest : &l->coarse[k - 1];
}

static void levels_fini(struct levels *l)
{
    for (uint32_t k = 0; k + 1 < l->n; k++)
        part_level_fini(&l->coarse[k]);
    for (uint32_t k = 0; k < MAX_LEVELS; k++)
        spk_free(l->up[k]);
}

static uint64_t share(uint64_t limit, uint64_t total, uint32_t parts)
{
    const uint64_t most = (limit < total ? limit : total) / parts;
    return most > 0 ? most : 1;
}

/* Adds a level of groups; *out_more false where it would hardly be smaller. `part` follows. */
static spk_status add_level(const struct run *r, struct levels *l, uint32_t *part, bool twins,
                            uint64_t seed, bool *out_more)
{
    const uint32_t k = l->n - 1;
    const struct part_level *fine = level_at(l, k);
    uint64_t neurons = 0, axons = 0;
    uint32_t n = 0;
    for (uint32_t v = 0; v < fine->n; v++)
        neurons += fine->size[v];
    for (uint32_t e = 0; e < fine->e; e++)
        axons += fine->axons[e];
    const uint64_t most = share(r->limits.neurons, neurons, TWINS_PER_CORE);
    SPK_TRY(spk_alloc_array_raw(fine->n, sizeof *l->up[k], &l->up[k]));
    if (twins)
        SPK_TRY(part_group_twins(fine, part, most, l->up[k], &n));
    else
        SPK_TRY(part_group_pairs(fine, part, most, share(r->limits.axons, axons, 2), seed, l->up[k],
                                 &n));
    *out_more = n < 0.95 * fine->n;
    if (!*out_more) {
        spk_free(l->up[k]);
        l->up[k] = NULL;
        return SPK_OK;
    }
    SPK_TRY(part_level_contract(fine, l->up[k], n, &l->coarse[k]));
    l->n++;
    if (part == NULL)
        return SPK_OK;
    for (uint32_t v = 0; v < fine->n; v++) /* in place: groups are numbered by their first node */
        part[l->up[k][v]] = part[v];
    return SPK_OK;
}

/* Levels whose groups lie in one part of `part` (which becomes that of the coarsest level), or
 * anywhere where part is NULL. */
static spk_status build_levels(const struct run *r, struct levels *l, uint32_t *part, uint64_t seed)
{
    const uint64_t enough = (uint64_t)NODES_PER_CORE * r->k;
    bool more;
    SPK_TRY(add_level(r, l, part, true, 0, &more));
    for (more = true; more && l->n < MAX_LEVELS;) {
        const uint32_t n = level_at(l, l->n - 1)->n;
        if (n <= COARSEST || n <= enough)
            break;
        SPK_TRY(add_level(r, l, part, false, seed + l->n, &more));
    }
    return SPK_OK;
}

static struct part_schedule schedule(const struct run *r, const struct part_level *l, bool coarsest,
                                     double hot, uint64_t seed)
{
    const double entries = (double)l->first[l->e] + l->e + l->n;
    const double looks = fmin(entries * (coarsest ? HOT_LOOKS : WARM_LOOKS),
                              coarsest ? MOST_HOT_LOOKS : MOST_WARM_LOOKS);
    /* few looks per entry cannot cool what was hot: ten times fewer, half the share */
    const double scarce = fmax(log10(ENOUGH_LOOKS / (r->effort * looks / entries)), 0);
    hot = fmax(hot * pow(0.5, scarce), COOLEST);
    return (struct part_schedule){.hot = coarsest ? hot : fmin(hot, WARM),
                                  .range = coarsest ? RANGE : sqrt(RANGE),
                                  .looks = (uint64_t)(r->effort * looks),
                                  .steps = coarsest ? 100 : 30,
                                  .seed = seed};
}

/* Anneals from the coarsest level, for which `part` holds a partition, to the finest. */
static spk_status refine(const struct run *r, const struct levels *l, uint32_t k, double hot,
                         uint64_t seed, struct start *s)
{
    for (uint32_t level = l->n; level-- > 0;) {
        const struct part_level *at = level_at(l, level);
        struct part_schedule plan = schedule(r, at, level + 1 == l->n, hot, seed * 1000003 + level);
        struct part_state state;
        SPK_TRY(part_state_init(at, &r->limits, s->part, k, &state));
        plan.keep_legal = level == 0;
        plan.strict = s->strict;
        spk_status status = part_anneal(&state, &plan, r->options->progress);
        for (uint32_t i = 0; i < REPAIRS && status == SPK_OK && level == 0; i++) {
            if (part_state_legal(&state) || progress_cancelled(r->options->progress))
                break;
            plan.seed++;
            status = part_anneal(&state, &plan, r->options->progress);
        }
        s->cost = state.cost;
        s->found = status == SPK_OK && part_state_legal(&state);
        if (status == SPK_OK && level > 0)
            for (uint32_t v = level_at(l, level - 1)->n; v-- > 0;)
                s->part[v] = state.part[l->up[level - 1][v]];
        else if (status == SPK_OK)
            memcpy(s->part, state.part, at->n * sizeof *s->part);
        part_state_fini(&state);
        SPK_TRY(status);
    }
    return SPK_OK;
}

/* The partition of the coarsest level that needs fewest parts. */
static spk_status construct(const struct run *r, const struct part_level *l, uint32_t *part,
                            uint32_t *out_k)
{
    uint32_t *other, other_k = 0;
    SPK_TRY(spk_alloc_array_raw(l->n, sizeof *other, &other));
    spk_status status = part_sequential(l, &r->limits, part, out_k);
    if (status == SPK_OK)
        status = part_overlap(l, &r->limits, other, &other_k);
    if (status == SPK_OK && other_k < *out_k) {
        memcpy(part, other, l->n * sizeof *part);
        *out_k = other_k;
    }
    spk_free(other);
    return status;
}

struct fill {
    uint64_t size;
    uint32_t p;
};

static int by_fill(const void *pa, const void *pb)
{
    const struct fill *a = pa, *b = pb;
    if (a->size != b->size)
        return a->size > b->size ? -1 : 1;
    return a->p < b->p ? -1 : a->p > b->p;
}

/* From `have` parts to `want`: the fullest stay, nodes of the others go to the emptiest of them. */
static spk_status dissolve(const struct part_level *l, uint32_t have, uint32_t want, uint32_t *part)
{
    struct fill *fill;
    uint32_t *number, next = 0;
    if (have <= want)
        return SPK_OK;
    SPK_TRY(spk_alloc_array_raw(have, sizeof *fill, &fill));
    spk_status status = spk_alloc_array_raw(have, sizeof *number, &number);
    if (status != SPK_OK) {
        spk_free(fill);
        return status;
    }
    for (uint32_t p = 0; p < have; p++)
        fill[p] = (struct fill){0, p};
    for (uint32_t v = 0; v < l->n; v++)
        fill[part[v]].size += l->size[v];
    qsort(fill, have, sizeof *fill, by_fill);
    for (uint32_t i = 0; i < have; i++)
        number[fill[i].p] = i;
    for (uint32_t v = 0; v < l->n; v++) {
        part[v] = number[part[v]];
        if (part[v] < want)
            continue;
        part[v] = want - 1 - next;
        next = (next + 1) % want;
    }
    spk_free(number);
    spk_free(fill);
    return SPK_OK;
}

/* Through levels whose groups lie in the parts of s->part, a legal partition of r->k parts, to one
 * of at most k. */
static spk_status run_start(const struct run *r, struct start *s, uint32_t k, double hot,
                            uint64_t seed)
{
    struct levels l = {.finest = &r->finest, .n = 1};
    s->found = false;
    spk_status status = build_levels(r, &l, s->part, seed);
    if (status == SPK_OK)
        status = dissolve(level_at(&l, l.n - 1), r->k, k, s->part);
    if (status == SPK_OK)
        status = refine(r, &l, k, hot, seed, s);
    levels_fini(&l);
    return status;
}

/* The same through the fresh levels, from a construction of the coarsest one. */
static spk_status run_fresh(const struct run *r, struct start *s, uint32_t k, double hot,
                            uint64_t seed)
{
    const struct part_level *coarsest = level_at(&r->fresh, r->fresh.n - 1);
    uint32_t have;
    s->found = false;
    const spk_status status = construct(r, coarsest, s->part, &have);
    if (status == SPK_ERR_NOFIT) /* a group may exceed a core where no neuron does */
        return SPK_OK;
    SPK_TRY(status);
    SPK_TRY(dissolve(coarsest, have, k, s->part));
    return refine(r, &r->fresh, k, hot, seed, s);
}

struct search {
    const struct run *run;
    uint32_t k;
    bool single; /* only start 1 */
    struct start start[STARTS];
};

static spk_status start_chunk(void *ctx, uint32_t chunk, uint32_t worker)
{
    struct search *s = ctx;
    struct start *start = &s->start[chunk];
    const struct run *r = s->run;
    const uint64_t seed = r->options->seed * 4099 + chunk;
    (void)worker;
    if (s->single && chunk != 1)
        return SPK_OK;
    start->strict = chunk == 1 && s->k >= r->k;
    if (chunk == 2)
        return run_fresh(r, start, s->k, HOT, seed);
    return run_start(r, start, s->k, start->strict ? LUKEWARM : HOT, seed);
}

/* Numbers the parts in the order of their first node, without empty ones; their number. */
static spk_status renumber(uint32_t *part, uint32_t n, uint32_t k, uint32_t *out_k)
{
    uint32_t *number, used = 0;
    SPK_TRY(spk_alloc_array_raw(k, sizeof *number, &number));
    memset(number, 0xff, k * sizeof *number);
    for (uint32_t v = 0; v < n; v++) {
        if (number[part[v]] == UINT32_MAX)
            number[part[v]] = used++;
        part[v] = number[part[v]];
    }
    spk_free(number);
    *out_k = used;
    return SPK_OK;
}

/* Takes a partition with k parts as the base. */
static spk_status accept(struct run *r, const uint32_t *part, uint32_t k)
{
    memcpy(r->base, part, r->finest.n * sizeof *r->base);
    return renumber(r->base, r->finest.n, k, &r->k);
}

static bool is_large(const struct levels *l)
{
    const struct part_level *coarsest = level_at(l, l->n - 1);
    return coarsest->first[coarsest->e] > LARGE;
}

static spk_status cost_of(const struct run *r, const uint32_t *part, uint32_t k, double *out_cost)
{
    struct part_state s;
    SPK_TRY(part_state_init(&r->finest, &r->limits, part, k, &s));
    *out_cost = s.cost;
    part_state_fini(&s);
    return SPK_OK;
}

/* Searches with k parts; the base becomes the cheapest that was found, or stays where it is
 * cheaper. *out_found false: none has at most k parts. */
static spk_status search(struct run *r, uint32_t k, bool *out_found)
{
    const uint32_t n = r->finest.n;
    struct search s = {.run = r, .k = k, .single = is_large(&r->fresh)};
    struct start last = {0};
    uint32_t best = STARTS;
    double base = INFINITY;
    spk_status status = spk_alloc_array_raw(n, sizeof *last.part, &last.part);
    if (status == SPK_OK && r->k <= k)
        status = cost_of(r, r->base, r->k, &base);
    for (uint32_t i = 0; i < STARTS && status == SPK_OK; i++) {
        status = spk_alloc_array_raw(n, sizeof *s.start[i].part, &s.start[i].part);
        if (status == SPK_OK)
            memcpy(s.start[i].part, r->base, n * sizeof *r->base);
    }
    progress_begin(r->options->progress, "partitioning", 0);
    if (status == SPK_OK)
        status = pool_run(r->options->pool, STARTS, start_chunk, &s);
    for (uint32_t i = 0; i < STARTS && status == SPK_OK; i++)
        if (s.start[i].found && (best == STARTS || s.start[i].cost < s.start[best].cost))
            best = i;
    *out_found = best < STARTS || r->k <= k;
    if (status == SPK_OK && best < STARTS && s.start[best].cost < base) {
        status = accept(r, s.start[best].part, k);
        memcpy(last.part, r->base, n * sizeof *r->base);
        last.strict = s.start[best].strict;
        if (status == SPK_OK && !s.single && !progress_cancelled(r->options->progress))
            status = run_start(r, &last, k, LUKEWARM, r->options->seed * 4099 + STARTS);
        if (status == SPK_OK && last.found && last.cost < s.start[best].cost)
            status = accept(r, last.part, k);
    }
    progress_end(r->options->progress);
    for (uint32_t i = 0; i < STARTS; i++)
        spk_free(s.start[i].part);
    spk_free(last.part);
    return status;
}

/* Fewer parts, by halving between what cannot be and what is there. */
static spk_status save_cores(struct run *r, uint32_t least)
{
    struct start s = {0};
    uint32_t low = least - 1; /* not found */
    SPK_TRY(spk_alloc_array_raw(r->finest.n, sizeof *s.part, &s.part));
    spk_status status = SPK_OK;
    for (uint32_t i = 0; i < PROBES && r->k > low + 1 && status == SPK_OK; i++) {
        if (progress_cancelled(r->options->progress))
            break;
        const uint32_t want = i == 0 ? least : low + (r->k - low) / 2;
        memcpy(s.part, r->base, r->finest.n * sizeof *s.part);
        status = run_start(r, &s, want, HOT, r->options->seed * 8191 + i);
        if (status == SPK_OK && s.found)
            status = accept(r, s.part, want);
        else
            low = want;
    }
    spk_free(s.part);
    return status;
}

/* ---- the whole ---- */

static uint64_t or_none(uint64_t limit)
{
    return limit > 0 ? limit : UINT64_MAX;
}

/* The first neuron that no core can hold, as an error. */
static spk_status check_neurons(const struct run *r, struct diag_list *diags)
{
    const struct part_level *l = &r->finest;
    for (uint32_t v = 0; v < l->n; v++) {
        const uint64_t fan_in = l->in_first[v + 1] - l->in_first[v];
        const char *what = NULL;
        uint64_t have = 0;
        if (l->size[v] > r->limits.neurons) {
            what = "neurons";
            have = r->limits.neurons;
        } else if (fan_in > r->limits.axons) {
            what = "axons";
            have = r->limits.axons;
        } else if (fan_in > r->limits.synapses) {
            what = "synapses";
            have = r->limits.synapses;
        }
        if (what != NULL)
            return diag_nofit(
                diags, spk_span_none, "E0610", "neuron %u alone needs %llu %s, a core has %llu", v,
                (unsigned long long)(l->size[v] > r->limits.neurons ? l->size[v] : fan_in), what,
                (unsigned long long)have);
    }
    return SPK_OK;
}

static uint32_t cores_bound(const struct run *r)
{
    const struct part_level *l = &r->finest;
    double neurons = 0, synapses = 0;
    for (uint32_t v = 0; v < l->n; v++) {
        neurons += (double)l->size[v];
        synapses += (double)l->synapses[v];
    }
    const double bound = fmax(fmax(ceil(neurons / (double)r->limits.neurons),
                                   ceil((double)l->e / (double)r->limits.axons)),
                              ceil(synapses / (double)r->limits.synapses));
    return bound < 1 ? 1 : bound > l->n ? l->n : (uint32_t)bound;
}

/* Takes the construction from fresh groups where it needs fewer cores. */
static spk_status base_of_groups(struct run *r)
{
    const struct levels *l = &r->fresh;
    const struct part_level *coarsest = level_at(l, l->n - 1);
    uint32_t *part, k = 0;
    SPK_TRY(spk_alloc_array_raw(coarsest->n, sizeof *part, &part));
    spk_status status = construct(r, coarsest, part, &k);
    if (status == SPK_OK && k < r->k) {
        r->k = k;
        for (uint32_t v = 0; v < r->finest.n; v++) {
            uint32_t node = v;
            for (uint32_t level = 0; level + 1 < l->n; level++)
                node = l->up[level][node];
            r->base[v] = part[node];
        }
    }
    spk_free(part);
    return status == SPK_ERR_NOFIT ? SPK_OK : status;
}

/* The base: the best construction, or what the engine says. */
static spk_status make_base(struct run *r)
{
    switch (r->options->engine) {
    case PART_SEQUENTIAL:
        return part_sequential(&r->finest, &r->limits, r->base, &r->k);
    case PART_OVERLAP:
        return part_overlap(&r->finest, &r->limits, r->base, &r->k);
    case PART_SPIKEC:
        break;
    }
    SPK_TRY(construct(r, &r->finest, r->base, &r->k));
    r->fresh = (struct levels){.finest = &r->finest, .n = 1};
    SPK_TRY(build_levels(r, &r->fresh, NULL, r->options->seed * 4099));
    return base_of_groups(r);
}

static spk_status run_all(struct run *r, struct diag_list *diags)
{
    const uint32_t allowed = r->options->limits.cores;
    const uint32_t least = cores_bound(r);
    bool *early = r->options->out_ended_early;
    SPK_TRY(check_neurons(r, diags));
    SPK_TRY(make_base(r));
    if (r->options->engine == PART_SPIKEC) {
        bool found = false;
        if (r->options->objective == PART_CORES && r->k > least)
            SPK_TRY(save_cores(r, least));
        const bool more = r->options->objective != PART_CORES || r->k > allowed;
        const uint32_t k = allowed > 0 && more ? allowed : r->k;
        SPK_TRY(search(r, k < r->finest.n ? k : r->finest.n, &found));
    }
    if (early != NULL)
        *early = progress_cancelled(r->options->progress);
    if (early == NULL ? progress_cancelled(r->options->progress)
                      : *early && allowed > 0 && r->k > allowed)
        return SPK_ERR_CANCELLED;
    if (allowed > 0 && r->k > allowed) {
        (void)diag_nofit(diags, spk_span_none, "E0611",
                         "%u cores are needed as far as the search found, %u are allowed", r->k,
                         allowed);
        diag_help_set(diags, "no fewer than %u cores can hold these neurons, axons and synapses",
                      least);
        return SPK_ERR_NOFIT;
    }
    return SPK_OK;
}

spk_status part_run(const struct ir_cluster_graph *graph, const uint32_t *size,
                    const struct part_options *options, struct diag_list *diags, uint32_t *part,
                    uint32_t *out_parts)
{
    struct run r = {.options = options,
                    .limits = {or_none(options->limits.neurons), or_none(options->limits.axons),
                               or_none(options->limits.synapses), 0},
                    .effort = options->effort > 0 ? options->effort : 1};
    *out_parts = 0;
    if (graph->n_clusters == 0)
        return SPK_OK;
    spk_status status = part_level_build(graph, size, &r.finest);
    if (status == SPK_OK)
        status = spk_alloc_array_raw(graph->n_clusters, sizeof *r.base, &r.base);
    if (status == SPK_OK)
        status = run_all(&r, diags);
    if (status == SPK_OK) {
        memcpy(part, r.base, graph->n_clusters * sizeof *part);
        *out_parts = r.k;
    }
    levels_fini(&r.fresh);
    spk_free(r.base);
    part_level_fini(&r.finest);
    return status;
}

static const char *const ENGINES[] = {"spikec", "sequential", "overlap"};

bool part_engine_find(const char *name, enum part_engine *out_engine)
{
    for (size_t i = 0; i < sizeof ENGINES / sizeof *ENGINES; i++) {
        if (strcmp(name, ENGINES[i]) == 0) {
            *out_engine = (enum part_engine)i;
            return true;
        }
    }
    return false;
}

const char *part_engine_name(enum part_engine engine)
{
    return ENGINES[engine];
}
