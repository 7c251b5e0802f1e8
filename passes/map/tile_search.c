/* Tile search: positions x channels of one population on one core (docs/mapping.md, section 3).
 *
 * Enumerates the distinct tile shapes (th, tw, tc) of uniform grids, ordered by number of tiles,
 * and takes the best for the objective among those that respect every limit; equal ones go to the
 * fewest tiles, then the largest channel block. A grid is priced on its corner, border
 * and middle tiles: at most 3 x 3 x 2 of them. After NxTF's tile search (Rueckauer et al. 2021), in
 * closed form for the chip's memory format. */
#include <stdlib.h>
#include <string.h>

#include "passes/map/map.h"
#include "support/alloc.h"

struct map_tile map_tile_at(const struct map_net *net, uint32_t pop, uint32_t gy, uint32_t gx,
                            uint32_t gc)
{
    const struct map_pop *p = &net->pops.data[pop];
    struct map_tile t = {pop, gy * p->th, gx * p->tw, gc * p->tc, p->th, p->tw, p->tc, IR_NONE, 0};
    if (t.y0 + t.ny > p->height)
        t.ny = p->height - t.y0;
    if (t.x0 + t.nx > p->width)
        t.nx = p->width - t.x0;
    if (t.c0 + t.nc > p->channels)
        t.nc = p->channels - t.c0;
    return t;
}

uint32_t map_tile_of(const struct map_net *net, uint32_t pop, uint32_t position, uint32_t channel)
{
    const struct map_pop *p = &net->pops.data[pop];
    if (!p->has_compartments)
        return IR_NONE;
    uint32_t gy = position / p->width / p->th, gx = position % p->width / p->tw;
    return p->tile_first + (gy * p->gw + gx) * p->gc + channel / p->tc;
}

/* ---- limits ---- */

static const struct {
    enum tgt_limit limit;
    const char *what;
} CHECKS[] = {
    {TGT_NEURONS, "compartments"},
    {TGT_IN_AXONS, "in-axons"},
    {TGT_SYNAPSE_BITS, "bits of synaptic memory"},
    {TGT_CONFIGS, "compartment configurations"},
    {TGT_SYNAPSE_FORMATS, "synapse formats"},
};
#define N_CHECKS (sizeof CHECKS / sizeof CHECKS[0])

static uint64_t usage_of(const struct map_usage *u, enum tgt_limit l)
{
    switch (l) {
    case TGT_NEURONS:
        return u->neurons;
    case TGT_IN_AXONS:
        return u->in_axons;
    case TGT_SYNAPSE_BITS:
        return u->synapse_bits;
    case TGT_CONFIGS:
        return u->configs;
    case TGT_SYNAPSE_FORMATS:
        return u->formats;
    default:
        return 0;
    }
}

/* Index into CHECKS of the first violated limit, or N_CHECKS. */
static size_t usage_violation(const struct tgt *t, const struct map_usage *u)
{
    for (size_t i = 0; i < N_CHECKS; i++)
        if (usage_of(u, CHECKS[i].limit) > tgt_limit_value(t, CHECKS[i].limit))
            return i;
    return N_CHECKS;
}

/* Prices the population's grid as set in *p: the corner, border and middle tiles. */
static spk_status grid_fits(const struct map_net *net, uint32_t pop, size_t *out_violation,
                            uint64_t *out_axons)
{
    const struct map_pop *p = &net->pops.data[pop];
    const uint32_t ys[3] = {p->gh / 2, 0, p->gh - 1}, xs[3] = {p->gw / 2, 0, p->gw - 1};
    const uint32_t cs[2] = {0, p->gc - 1};
    *out_axons = 0;
    *out_violation = N_CHECKS;
    for (int y = 0; y < 3; y++) {
        for (int x = 0; x < 3; x++) {
            for (int c = 0; c < 2; c++) {
                struct map_tile t;
                struct map_usage u;
                bool again = (y == 1 && ys[1] == ys[0]) || (y == 2 && ys[2] == ys[1]) ||
                             (y == 2 && ys[2] == ys[0]) || (x == 1 && xs[1] == xs[0]) ||
                             (x == 2 && xs[2] == xs[1]) || (x == 2 && xs[2] == xs[0]) ||
                             (c == 1 && cs[1] == cs[0]);
                if (again)
                    continue;
                t = map_tile_at(net, pop, ys[y], xs[x], cs[c]);
                SPK_TRY(map_tile_usage(net, &t, &u));
                *out_violation = usage_violation(net->target, &u);
                if (*out_violation != N_CHECKS)
                    return SPK_OK;
                if (u.in_axons > *out_axons)
                    *out_axons = u.in_axons;
            }
        }
    }
    return SPK_OK;
}

/* ---- enumeration ---- */

struct shape {
    uint32_t th, tw, tc;
    uint64_t tiles;
};
struct shape_vec VEC_FIELDS(struct shape);

static uint32_t ceil_div(uint32_t a, uint32_t b)
{
    return (a + b - 1) / b;
}

/* Next smaller ceil(n / g) below `size`; 0 when there is none. */
static uint32_t next_size(uint32_t n, uint32_t size)
{
    if (size <= 1)
        return 0;
    return ceil_div(n, ceil_div(n, size - 1));
}

static int compare_shape(const void *a, const void *b)
{
    const struct shape *x = a, *y = b;
    if (x->tiles != y->tiles)
        return x->tiles < y->tiles ? -1 : 1;
    if (x->tc != y->tc)
        return x->tc > y->tc ? -1 : 1;
    if (x->th != y->th)
        return x->th < y->th ? -1 : 1;
    return (x->tw < y->tw) - (x->tw > y->tw);
}

/* Channel blocks are multiples of 4 where they can be (pop16 bases), at most one axon's atoms. */
static spk_status enumerate_shapes(const struct map_net *net, const struct map_pop *p,
                                   uint64_t max_neurons, struct shape_vec *out)
{
    const uint64_t atoms = tgt_limit_value(net->target, TGT_ATOMS);
    for (uint32_t tc = p->channels; tc > 0; tc = next_size(p->channels, tc)) {
        uint32_t c = tc % 4 == 0 || tc > p->channels - 4 ? tc : tc + 4 - tc % 4;
        if (c > p->channels)
            c = p->channels;
        if (c > atoms || c > max_neurons)
            continue;
        if (out->len > 0 && vec_last(out).tc == c)
            continue;
        for (uint32_t th = p->height; th > 0; th = next_size(p->height, th)) {
            for (uint32_t tw = p->width; tw > 0; tw = next_size(p->width, tw)) {
                struct shape s = {th, tw, c, 0};
                if ((uint64_t)th * tw * c > max_neurons)
                    continue;
                s.tiles = (uint64_t)ceil_div(p->height, th) * ceil_div(p->width, tw) *
                          ceil_div(p->channels, c);
                SPK_TRY(vec_push(out, s));
            }
        }
    }
    if (out->len > 0)
        qsort(out->data, out->len, sizeof *out->data, compare_shape);
    return SPK_OK;
}

static void set_shape(struct map_pop *p, const struct shape *s)
{
    p->th = s->th;
    p->tw = s->tw;
    p->tc = s->tc;
    p->gh = ceil_div(p->height, s->th);
    p->gw = ceil_div(p->width, s->tw);
    p->gc = ceil_div(p->channels, s->tc);
}

/* ---- does not fit ---- */

/* Memory of the tile if weights had fewer bits: the largest number of bits that fits, 0 for none.
 */
static spk_status bits_that_fit(const struct map_net *net, const struct map_tile *t,
                                uint32_t *out_bits)
{
    struct tgt fewer = *net->target;
    struct map_net n = *net;
    n.target = &fewer;
    for (*out_bits = net->target->arith.weight_bits; *out_bits > 1;) {
        struct map_usage u;
        fewer.arith.weight_bits = (uint8_t)-- * out_bits;
        SPK_TRY(map_tile_usage(&n, t, &u));
        if (u.synapse_bits <= tgt_limit_value(net->target, TGT_SYNAPSE_BITS))
            return SPK_OK;
    }
    *out_bits = 0;
    return SPK_OK;
}

static spk_status report_nofit(const struct map_net *net, uint32_t pop,
                               const struct shape *smallest, struct diag_list *diags)
{
    struct map_pop *p = &net->pops.data[pop];
    struct map_usage u;
    uint32_t bits = 0;
    set_shape(p, smallest);
    struct map_tile t = map_tile_at(net, pop, p->gh / 2, p->gw / 2, 0);
    SPK_TRY(map_tile_usage(net, &t, &u));
    size_t v = usage_violation(net->target, &u);
    if (v == N_CHECKS) /* only a tile at the border fails */
        return diag_nofit(diags, p->span, "E0662",
                          "layer '%s' does not fit '%s': no tile shape respects all limits of a "
                          "core",
                          p->name, net->target->name);
    const uint64_t need = usage_of(&u, CHECKS[v].limit);
    const uint64_t have = tgt_limit_value(net->target, CHECKS[v].limit);
    if (CHECKS[v].limit == TGT_SYNAPSE_BITS)
        SPK_TRY(bits_that_fit(net, &t, &bits));
    spk_status status = diag_nofit(
        diags, p->span, "E0661",
        "layer '%s' does not fit '%s': its smallest tile (%u x %u positions, %u channels) needs "
        "%llu %s, a core has %llu",
        p->name, net->target->name, t.ny, t.nx, t.nc, (unsigned long long)need, CHECKS[v].what,
        (unsigned long long)have);
    if (bits > 0)
        diag_help_set(diags, "the smallest change that fits: %u-bit weights", bits);
    else
        diag_help_set(diags,
                      "the smallest change that fits: %.0f %% of this layer's fan-in (fewer input "
                      "channels: a smaller dim or mlp_ratio)",
                      100.0 * (double)have / (double)need);
    return status;
}

/* Smaller is better; equal scores go to the earlier shape, which has fewer or equal tiles. */
static double shape_score(enum map_objective objective, const struct shape *s, uint64_t axons)
{
    switch (objective) {
    case MAP_TRAFFIC:
        return (double)s->tiles * (double)axons;
    case MAP_LATENCY:
        return (double)s->th * s->tw * s->tc;
    case MAP_CORES:
        break;
    }
    return (double)axons;
}

/* Shapes come by rising number of tiles; the first that fits tells how many are worth a look. */
static spk_status best_shape(struct map_net *net, uint32_t pop, enum map_objective objective,
                             const struct shape_vec *shapes, struct shape *out_best)
{
    double best_score = 0;
    uint64_t most_tiles = UINT64_MAX;
    for (size_t i = 0; i < shapes->len && shapes->data[i].tiles <= most_tiles; i++) {
        const struct shape *s = &shapes->data[i];
        size_t violation;
        uint64_t axons;
        set_shape(&net->pops.data[pop], s);
        SPK_TRY(grid_fits(net, pop, &violation, &axons));
        if (violation != N_CHECKS)
            continue;
        if (out_best->tiles == 0)
            most_tiles = objective == MAP_CORES ? s->tiles : MAP_SPREAD * s->tiles;
        if (out_best->tiles > 0 && shape_score(objective, s, axons) >= best_score)
            continue;
        best_score = shape_score(objective, s, axons);
        *out_best = *s;
    }
    return SPK_OK;
}

spk_status map_tile_search(struct map_net *net, uint32_t pop, enum map_objective objective,
                           uint32_t max_neurons, struct diag_list *diags)
{
    struct map_pop *p = &net->pops.data[pop];
    struct shape_vec shapes = {0};
    struct shape best = {0};
    uint64_t limit = tgt_limit_value(net->target, TGT_NEURONS);
    if (max_neurons < limit)
        limit = max_neurons;
    spk_status status = enumerate_shapes(net, p, limit, &shapes);
    if (status == SPK_OK)
        status = best_shape(net, pop, objective, &shapes, &best);
    if (status == SPK_OK && best.tiles > 0) {
        set_shape(p, &best);
    } else if (status == SPK_OK) {
        struct shape one = {1, 1, p->channels < 4 ? p->channels : 4, 0};
        status = report_nofit(net, pop, shapes.len > 0 ? &vec_last(&shapes) : &one, diags);
    }
    vec_fini(&shapes);
    return status;
}
