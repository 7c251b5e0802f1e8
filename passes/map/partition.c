/* Partition: every population into tiles that respect every limit (docs/mapping.md, section 3).
 *
 * The search (search.h) finds shapes for all populations together; what it promises is then counted
 * tile by tile. A shape that breaks a limit after all (the search prices the largest tile of each
 * neighbour apart) is taken out and the search repeated. */
#include <string.h>

#include "passes/map/explain.h"
#include "support/alloc.h"

#define BEAM_WIDTH 48
#define BEAM_WIDE 384 /* where the narrow one found nothing */
#define ROUNDS 24

struct map_tile map_tile_at(const struct map_net *net, uint32_t pop, uint32_t gy, uint32_t gx,
                            uint32_t gc)
{
    const struct map_pop *p = &net->pops.data[pop];
    struct map_tile t = {.pop = pop,
                         .y0 = gy * p->th,
                         .x0 = gx * p->tw,
                         .c0 = gc * p->tc,
                         .ny = p->th,
                         .nx = p->tw,
                         .nc = p->tc,
                         .core = IR_NONE};
    if (t.y0 + t.ny > p->height)
        t.ny = p->height - t.y0;
    if (t.x0 + t.nx > p->width)
        t.nx = p->width - t.x0;
    if (t.c0 + t.nc > p->channels)
        t.nc = p->channels - t.c0;
    if (p->cut != NULL) {
        t.c0 = p->cut[gc];
        t.nc = p->cut[gc + 1] - t.c0;
    }
    map_tile_layout(net, &t);
    return t;
}

uint32_t map_tile_of(const struct map_net *net, uint32_t pop, uint32_t position, uint32_t channel)
{
    const struct map_pop *p = &net->pops.data[pop];
    if (!p->has_compartments)
        return IR_NONE;
    if (p->cut != NULL) {
        uint32_t lo = 0, hi = p->gc; /* cut[lo] <= channel < cut[hi] */
        while (hi - lo > 1) {
            const uint32_t mid = lo + (hi - lo) / 2;
            if (p->cut[mid] <= channel)
                lo = mid;
            else
                hi = mid;
        }
        return p->tile_first + lo;
    }
    uint32_t gy = position / p->width / p->th, gx = position % p->width / p->tw;
    return p->tile_first + (gy * p->gw + gx) * p->gc + channel / p->tc;
}

spk_status map_make_tiles(struct mapping *m)
{
    struct map_net *net = &m->net;
    vec_clear(&m->tiles);
    for (int engines = 0; engines < 2; engines++) { /* tiles on engine cores come last */
        m->n_engines = (uint32_t)m->tiles.len;
        for (uint32_t i = 0; i < net->pops.len; i++) {
            struct map_pop *p = &net->pops.data[i];
            if ((p->engine > 0) != (engines == 1))
                continue;
            p->tile_first = (uint32_t)m->tiles.len;
            for (uint32_t y = 0; y < p->gh && p->has_compartments; y++)
                for (uint32_t x = 0; x < p->gw; x++)
                    for (uint32_t c = 0; c < p->gc; c++)
                        SPK_TRY(vec_push(&m->tiles, map_tile_at(net, i, y, x, c)));
        }
    }
    m->n_engines = (uint32_t)m->tiles.len - m->n_engines;
    return SPK_OK;
}

/* Grids with more than MAP_SPREAD times the fewest tiles are left out, where that leaves a choice
 * for every population. */
static spk_status limit_spread(struct search *s)
{
    const size_t n = s->net->pops.len;
    struct diag_list *diags = s->diags;
    uint64_t *before;
    if (s->objective == MAP_CORES)
        return SPK_OK;
    SPK_TRY(spk_alloc_array_raw(n, sizeof *before, &before));
    memcpy(before, s->alive, n * sizeof *before);
    for (size_t i = 0; i < n; i++) {
        uint64_t fewest = UINT64_MAX;
        for (uint32_t a = 0; s->set[i] != NULL && a < s->set[i]->n; a++)
            if ((s->alive[i] >> a & 1u) != 0 && shape_tiles(&s->set[i]->shape[a]) < fewest)
                fewest = shape_tiles(&s->set[i]->shape[a]);
        for (uint32_t a = 0; s->set[i] != NULL && a < s->set[i]->n; a++)
            if (shape_tiles(&s->set[i]->shape[a]) / MAP_SPREAD > fewest)
                s->alive[i] &= ~((uint64_t)1 << a);
    }
    s->diags = NULL; /* nothing is wrong if this does not work */
    spk_status status = search_prune(s);
    s->diags = diags;
    if (status == SPK_ERR_NOFIT) {
        memcpy(s->alive, before, n * sizeof *before);
        status = search_prune(s);
    }
    spk_free(before);
    return status;
}

static spk_status search_all(struct search *s, uint8_t *choice)
{
    bool found;
    SPK_TRY(search_beam(s, BEAM_WIDTH, choice, &found));
    if (!found)
        SPK_TRY(search_beam(s, BEAM_WIDE, choice, &found));
    if (found)
        return search_polish(s, choice);
    spk_status status = diag_nofit(
        s->diags, spk_span_none, "E0664",
        "no partition respects the axon limits of '%s' (%llu in-axons and %llu out-axon "
        "slots per core)",
        s->net->target->name, (unsigned long long)tgt_limit_value(s->net->target, TGT_IN_AXONS),
        (unsigned long long)tgt_limit_value(s->net->target, TGT_OUT_AXONS));
    diag_help_set(s->diags, "the smallest change that fits: a smaller dim or mlp_ratio");
    return status;
}

/* Tiles and usage of a choice; shapes that break a limit are taken out of the race. */
static spk_status count_choice(struct mapping *m, struct search *s, const uint8_t *choice,
                               bool *out_again)
{
    struct map_net *net = &m->net;
    *out_again = false;
    for (uint32_t i = 0; i < net->pops.len; i++)
        if (s->set[i] != NULL)
            map_shape_set(&net->pops.data[i], &s->set[i]->shape[choice[i]]);
    SPK_TRY(map_make_tiles(m));
    SPK_TRY(map_measure(m));
    for (size_t i = 0; i < m->tiles.len; i++) {
        const uint32_t pop = m->tiles.data[i].pop;
        if (map_usage_violation(net->target, &m->usage[i]) == MAP_N_LIMITS)
            continue;
        s->alive[pop] &= ~((uint64_t)1 << choice[pop]);
        *out_again = true;
    }
    return *out_again ? search_prune(s) : SPK_OK;
}

static spk_status partition(struct mapping *m, struct search *s, const struct map_options *options)
{
    uint8_t *choice;
    bool again = true;
    SPK_TRY(map_explain_fan_in(&m->net, s->diags));
    SPK_TRY(search_prepare(s));
    for (uint32_t i = 0; i < m->net.pops.len; i++)
        if (s->set[i] != NULL && s->set[i]->n == 0)
            return map_explain_nofit(&m->net, i, s->diags);
    SPK_TRY(search_prune(s));
    SPK_TRY(limit_spread(s));
    SPK_TRY(spk_alloc_array(m->net.pops.len, sizeof *choice, &choice));
    spk_status status = SPK_OK;
    for (int round = 0; again && status == SPK_OK; round++) {
        status = search_all(s, choice);
        if (status == SPK_OK)
            status = count_choice(m, s, choice, &again);
        if (status == SPK_OK && again && round == ROUNDS)
            status = diag_internal(s->diags, spk_span_none, "E0665",
                                   "the tile search and the count of its tiles do not agree");
        if (status == SPK_OK && progress_cancelled(options->progress))
            status = SPK_ERR_CANCELLED;
    }
    if (status == SPK_OK && map_shares_cores(&m->net, options))
        status = map_recut(m, s);
    if (status == SPK_OK && options->remarks)
        status = map_explain_tiles(m, s, choice);
    spk_free(choice);
    return status;
}

spk_status map_partition(struct mapping *m, const struct map_options *options,
                         struct diag_list *diags)
{
    struct search s = {.net = &m->net, .objective = options->objective, .diags = diags};
    spk_status status = partition(m, &s, options);
    search_fini(&s);
    return status;
}
