/* Finer cuts for populations that can live in the gaps of others (docs/mapping.md, section 3).
 *
 * The search counts tiles, each as a core. Where tiles share cores, that is not the whole truth:
 * relays and pools have hardly any memory, and cut into tiles that are less than a core they fit
 * beside tiles whose weights fill their cores. For every such population some finer cuts are tried,
 * one for each fraction of a core's compartments; what counts is the number of cores after packing.
 * Small networks try it with all populations: weights stored once more are no loss where cores have
 * room for them.
 * Populations of one class do what the first of them did. Greedy, in the order of the network.
 * Cost per trial: the population and its neighbours are measured anew, all tiles are packed. */
#include <string.h>

#include "passes/map/search.h"
#include "support/alloc.h"

#define MAX_TRIES 6
#define SMALL 1000 /* tiles up to which populations with weights are tried, too */

/* Shares of a core's compartments that tiles are tried with. */
static const double fractions[MAX_TRIES] = {0.8, 0.51, 0.34, 0.26, 0.17, 0.126};

struct recut {
    struct mapping *m;
    const struct search *s;
    uint32_t cores;
};

/* All tiles and usage, as they were. */
struct saved {
    struct map_shape shape;
    struct map_tile *tile;
    struct map_usage *usage;
    size_t n;
};

static bool has_weights(const struct map_net *net, const struct map_pop *p)
{
    for (uint32_t i = 0; i < p->n_projs; i++)
        if (net->projs.data[p->proj_first + i].chan == MAP_CHAN_FULL)
            return true;
    return false;
}

/* Cuts the population anew; the tables of before go to *old. */
static spk_status cut_anew(struct mapping *m, uint32_t pop, const struct map_shape *shape,
                           struct saved *old)
{
    struct map_pop *p = &m->net.pops.data[pop];
    const uint32_t first = p->tile_first;
    *old = (struct saved){map_shape_of(p), m->tiles.data, m->usage, m->tiles.len};
    const size_t before = shape_tiles(&old->shape), after = shape_tiles(shape);
    const size_t n = old->n - before + after, rest = old->n - first - before;
    struct map_tile *tile;
    struct map_usage *usage;
    SPK_TRY(spk_alloc_array(n, sizeof *tile, &tile));
    spk_status status = spk_alloc_array(n, sizeof *usage, &usage);
    if (status != SPK_OK) {
        spk_free(tile);
        return status;
    }
    memcpy(tile, old->tile, first * sizeof *tile);
    memcpy(usage, old->usage, first * sizeof *usage);
    memcpy(tile + first + after, old->tile + first + before, rest * sizeof *tile);
    memcpy(usage + first + after, old->usage + first + before, rest * sizeof *usage);
    map_shape_set(p, shape);
    for (uint32_t y = 0, at = first; y < p->gh; y++)
        for (uint32_t x = 0; x < p->gw; x++)
            for (uint32_t c = 0; c < p->gc; c++)
                tile[at++] = map_tile_at(&m->net, pop, y, x, c);
    for (size_t i = 0; i < m->net.pops.len; i++)
        if (m->net.pops.data[i].tile_first > first)
            m->net.pops.data[i].tile_first += (uint32_t)(after - before);
    m->tiles.data = tile;
    m->tiles.len = m->tiles.cap = n;
    m->usage = usage;
    return SPK_OK;
}

static void cut_back(struct mapping *m, uint32_t pop, struct saved *old)
{
    struct map_pop *p = &m->net.pops.data[pop];
    const uint32_t change = (uint32_t)(m->tiles.len - old->n);
    for (size_t i = 0; i < m->net.pops.len; i++)
        if (m->net.pops.data[i].tile_first > p->tile_first)
            m->net.pops.data[i].tile_first -= change;
    map_shape_set(p, &old->shape);
    spk_free(m->tiles.data);
    spk_free(m->usage);
    m->tiles.data = old->tile;
    m->tiles.len = m->tiles.cap = old->n;
    m->usage = old->usage;
}

/* Cuts the population by the shape where that saves cores. */
static spk_status try_shape(struct recut *r, uint32_t pop, const struct map_shape *shape,
                            bool *out_better)
{
    struct mapping *m = r->m;
    struct saved old;
    uint32_t cores = UINT32_MAX;
    bool fits = true;
    *out_better = false;
    SPK_TRY(cut_anew(m, pop, shape, &old));
    spk_status status = map_measure_around(m, pop);
    for (size_t i = 0; i < m->tiles.len && status == SPK_OK && fits; i++)
        fits = map_usage_violation(m->net.target, &m->usage[i]) == MAP_N_LIMITS;
    if (status == SPK_OK && fits)
        status = map_count_cores(m, &cores);
    if (status == SPK_OK && cores < r->cores) {
        struct map_pop *p = &m->net.pops.data[pop];
        if (p->fewest_tiles == 0)
            p->fewest_tiles = (uint32_t)shape_tiles(&old.shape);
        p->recut_saves += r->cores - cores;
        r->cores = cores;
        *out_better = true;
        spk_free(old.tile);
        spk_free(old.usage);
        return SPK_OK;
    }
    cut_back(m, pop, &old);
    return status;
}

/* The shape of fewest tiles, but more than now, that have at most so many compartments. */
static const struct map_shape *shape_below(const struct shape_vec *shapes, double comps,
                                           uint64_t tiles_now)
{
    const struct map_shape *best = NULL;
    for (size_t i = 0; i < shapes->len; i++) {
        const struct map_shape *x = &shapes->data[i];
        const uint64_t tiles = shape_tiles(x);
        if (tiles > tiles_now && (double)shape_positions(x) * x->tc <= comps &&
            (best == NULL || tiles < shape_tiles(best)))
            best = x;
    }
    return best;
}

/* Tries the cuts of a population, or only `model`, until one is better. */
static spk_status recut_pop(struct recut *r, uint32_t pop, const struct map_shape *model,
                            struct map_shape *out_shape, bool *out_better)
{
    const struct map_pop *p = &r->m->net.pops.data[pop];
    const double most = (double)tgt_limit_value(r->m->net.target, TGT_NEURONS);
    const struct shape_vec *shapes = &r->s->classes.data[r->s->class_of[pop]].shapes;
    const uint64_t tiles = (uint64_t)p->gh * p->gw * p->gc;
    const struct map_shape *before = NULL;
    *out_better = false;
    if (model != NULL)
        return try_shape(r, pop, model, out_better);
    for (int i = 0; i < MAX_TRIES && !*out_better; i++) {
        const struct map_shape *x = shape_below(shapes, fractions[i] * most, tiles);
        if (x == NULL || x == before || shape_tiles(x) > 8 * tiles)
            continue;
        before = x;
        *out_shape = *x;
        SPK_TRY(try_shape(r, pop, x, out_better));
    }
    return SPK_OK;
}

spk_status map_recut(struct mapping *m, const struct search *s)
{
    struct recut r = {.m = m, .s = s};
    const size_t n = m->net.pops.len;
    const bool small = m->tiles.len <= SMALL;
    uint8_t *state; /* of each class: 0 not tried, 1 has a shape, 2 nothing helps */
    struct map_shape *shape;
    SPK_TRY(map_count_cores(m, &r.cores));
    SPK_TRY(spk_alloc_array(s->classes.len, sizeof *state, &state));
    spk_status status = spk_alloc_array(s->classes.len, sizeof *shape, &shape);
    for (uint32_t i = 0; i < n && status == SPK_OK; i++) {
        const struct map_pop *p = &m->net.pops.data[i];
        const uint32_t k = s->class_of[i];
        bool better;
        if (!p->has_compartments || p->engine > 0 || (!small && has_weights(&m->net, p)) ||
            state[k] == 2)
            continue;
        status = recut_pop(&r, i, state[k] == 1 ? &shape[k] : NULL, &shape[k], &better);
        state[k] = better ? 1 : 2;
    }
    spk_free(state);
    spk_free(shape);
    return status;
}
