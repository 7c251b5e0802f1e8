/* Enumeration of tile shapes (docs/mapping.md, section 3), after NxTF's tile search (Rueckauer et
 * al. 2021): uniform grids, each distinct ceil(n / g) along every axis. A grid is priced on its
 * corner, border and middle tiles, at most 3 x 3 x 2 of them. Where all projections take all source
 * channels, the largest channel block that fits is the best one for a given cut of the positions:
 * no neighbour gains by a smaller one. Where axons share blocks within a limited base, every cut is
 * tried in several layouts (layout.c), and the one with the largest block is kept; if that needs
 * long axons, so is the one that does best with short ones. */
#include "passes/map/shapes.h"

#include <stdlib.h>

#include "support/alloc.h"

/* Channel blocks of constant patterns are tried in steps of at least this ratio. */
#define BLOCK_STEP 0.85

const struct map_limit_name map_limits[MAP_N_LIMITS] = {
    {TGT_NEURONS, "compartments"},
    {TGT_IN_AXONS, "in-axons"},
    {TGT_SYNAPSE_BITS, "bits of synaptic memory"},
    {TGT_CONFIGS, "compartment configurations"},
    {TGT_SYNAPSE_FORMATS, "synapse formats"},
    {TGT_OUT_AXONS, "out-axon slots"},
};

uint64_t map_usage_of(const struct map_usage *u, enum tgt_limit l)
{
    switch (l) {
    case TGT_NEURONS:
        return u->neurons;
    case TGT_IN_AXONS:
        return u->in_axons;
    case TGT_OUT_AXONS:
        return u->out_axons;
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

size_t map_usage_violation(const struct tgt *t, const struct map_usage *u)
{
    for (size_t i = 0; i < MAP_N_LIMITS; i++)
        if (map_usage_of(u, map_limits[i].limit) >
            tgt_core_limit(t, map_limits[i].limit, u->engine))
            return i;
    return MAP_N_LIMITS;
}

static uint32_t ceil_div(uint32_t a, uint32_t b)
{
    return (a + b - 1) / b;
}

struct map_shape map_shape_make(const struct map_pop *p, uint32_t th, uint32_t tw, uint32_t tc)
{
    return (struct map_shape){.th = th,
                              .tw = tw,
                              .tc = tc,
                              .gh = ceil_div(p->height, th),
                              .gw = ceil_div(p->width, tw),
                              .gc = ceil_div(p->channels, tc)};
}

struct map_shape map_shape_of(const struct map_pop *p)
{
    struct map_shape s = map_shape_make(p, p->th, p->tw, p->tc);
    s.slice = p->slice;
    s.pad_y = p->pad_y;
    s.pad_x = p->pad_x;
    return s;
}

void map_shape_set(struct map_pop *p, const struct map_shape *s)
{
    p->th = s->th;
    p->tw = s->tw;
    p->tc = s->tc;
    p->gh = s->gh;
    p->gw = s->gw;
    p->gc = s->gc;
    p->slice = s->slice;
    p->pad_y = s->pad_y;
    p->pad_x = s->pad_x;
}

uint32_t map_shape_slots(const struct map_net *net, const struct map_proj *p,
                         const struct map_shape *s)
{
    const struct tgt *t = net->target;
    const uint64_t limit = tgt_limit_value(t, TGT_AXON_BASE);
    const uint32_t last = net->pops.data[p->target].channels % s->tc;
    const uint32_t slice = s->slice > 0 && s->slice < s->tc ? s->slice : s->tc;
    const uint32_t more = t->pop32_slots > t->pop16_slots ? t->pop32_slots - t->pop16_slots : 0;
    if (!t->axon_population || map_proj_conv(t, p) ||
        (shape_positions(s) == 1 && !s->pad_y && !s->pad_x && p->pos != MAP_POS_TEACHER))
        return 4 * t->pop16_slots;
    if (limit != UINT64_MAX && (limit + 1) % 4 != 0)
        return 4 * (t->pop16_slots + more);
    if (slice % 4 == 0 && (last >= slice || last % 4 == 0))
        return 4 * t->pop16_slots;
    return 4 * t->pop16_slots + more * (slice % 2 == 0 ? 2 : 3);
}

/* The most source rows that a tile of n rows reads; tiles inside the map read as many as the
 * second one. */
static uint32_t axis_window(uint32_t size, uint32_t n, uint32_t pad, uint32_t stride,
                            uint32_t kernel, uint32_t view)
{
    const uint32_t tiles = ceil_div(size, n), at[4] = {0, tiles > 1, tiles / 2, tiles - 1};
    uint32_t most = 0;
    for (int i = 0; i < 4; i++) {
        const uint32_t t0 = at[i] * n;
        uint32_t lo, hi;
        map_window_sources(t0, t0 + n > size ? size - t0 : n, pad, stride, kernel, view, &lo, &hi);
        most = hi - lo > most ? hi - lo : most;
    }
    return most;
}

uint64_t map_shape_window(const struct map_net *net, const struct map_proj *p,
                          const struct map_shape *s)
{
    const struct map_pop *t = &net->pops.data[p->target];
    if (p->pos != MAP_POS_WINDOW)
        return (uint64_t)p->view_h * p->view_w;
    return (uint64_t)axis_window(t->height, s->th, p->pad, p->stride, p->kernel, p->view_h) *
           axis_window(t->width, s->tw, p->pad_w, p->stride_w, p->kernel_w, p->view_w);
}

static spk_status tile_fits(const struct map_net *net, const struct map_tile *t, bool *out)
{
    struct map_usage u;
    SPK_TRY(map_tile_usage(net, t, &u));
    *out = map_usage_violation(net->target, &u) == MAP_N_LIMITS;
    return SPK_OK;
}

spk_status map_grid_fits(const struct map_net *net, uint32_t pop, bool *out_fits)
{
    const struct map_pop *p = &net->pops.data[pop];
    const uint32_t ys[3] = {p->gh / 2, 0, p->gh - 1}, xs[3] = {p->gw / 2, 0, p->gw - 1};
    const uint32_t cs[2] = {0, p->gc - 1};
    for (int y = 0; y < 3; y++) {
        for (int x = 0; x < 3; x++) {
            for (int c = 0; c < 2; c++) {
                const bool again = (y == 1 && ys[1] == ys[0]) || (y == 2 && ys[2] == ys[1]) ||
                                   (y == 2 && ys[2] == ys[0]) || (x == 1 && xs[1] == xs[0]) ||
                                   (x == 2 && xs[2] == xs[1]) || (x == 2 && xs[2] == xs[0]) ||
                                   (c == 1 && cs[1] == cs[0]);
                if (again)
                    continue;
                const struct map_tile t = map_tile_at(net, pop, ys[y], xs[x], cs[c]);
                SPK_TRY(tile_fits(net, &t, out_fits));
                if (!*out_fits)
                    return SPK_OK;
            }
        }
    }
    return SPK_OK;
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
    const struct map_shape *x = a, *y = b;
    const uint64_t m = shape_tiles(x), n = shape_tiles(y);
    if (m != n)
        return m < n ? -1 : 1;
    if (x->gc != y->gc)
        return x->gc < y->gc ? -1 : 1;
    if (x->th + x->tw != y->th + y->tw)
        return x->th + x->tw < y->th + y->tw ? -1 : 1;
    return (x->th < y->th) - (x->th > y->th);
}

struct u32_list VEC_FIELDS(uint32_t);

/* How the projections into a population bind its tiles. */
struct block_kind {
    bool full;     /* all take all source channels */
    bool list;     /* some have bases, which short axons want to be multiples of 4 */
    bool slices;   /* some have bases that may become too large */
    bool overlaps; /* some windows overlap: borders of tiles add variants of blocks */
};

static struct block_kind block_kind_of(const struct map_net *net, const struct map_pop *p)
{
    const struct tgt *t = net->target;
    const bool shares = t->sharing == TGT_SHARE_POPULATION && t->axon_population;
    struct block_kind k = {.full = true};
    for (uint32_t i = 0; i < p->n_projs; i++) {
        const struct map_proj *j = &net->projs.data[p->proj_first + i];
        k.full = k.full && j->chan == MAP_CHAN_FULL;
        k.list = k.list || !map_proj_conv(t, j);
        k.overlaps = k.overlaps || (j->pos == MAP_POS_WINDOW &&
                                    (j->kernel > j->stride || j->kernel_w > j->stride_w));
    }
    k.overlaps = k.overlaps && shares;
    k.slices = k.full && shares && t->limit[TGT_AXON_BASE].present && p->n_projs > 0;
    return k;
}

/* Channel blocks, largest first, at most one axon's atoms, multiples of `align`, within the number
 * of neurons. */
static spk_status find_blocks(const struct map_net *net, const struct map_pop *p, uint32_t align,
                              const struct block_kind *kind, struct u32_list *out)
{
    const uint64_t atoms = tgt_limit_value(net->target, TGT_ATOMS);
    const uint64_t neurons = tgt_limit_value(net->target, TGT_NEURONS);
    for (uint32_t tc = p->channels; tc > 0; tc = next_size(p->channels, tc)) {
        uint32_t c = tc > p->channels - align ? tc : ceil_div(tc, align) * align;
        if (c > p->channels)
            c = p->channels;
        if (c > atoms || c > neurons || (out->len > 0 && vec_last(out) == c))
            continue;
        if (!kind->full && out->len > 0 && p->channels % c != 0 && c > BLOCK_STEP * vec_last(out))
            continue;
        SPK_TRY(vec_push(out, c));
    }
    return SPK_OK;
}

static spk_status shape_fits(struct map_net *net, uint32_t pop, const struct map_shape *s,
                             bool *out)
{
    *out = shape_positions(s) * s->tc <= tgt_limit_value(net->target, TGT_NEURONS);
    if (!*out)
        return SPK_OK;
    map_shape_set(&net->pops.data[pop], s);
    return map_grid_fits(net, pop, out);
}

/* The largest block with which `s` fits (bisection: smaller blocks need less of everything);
 * gc = 0 where none does. */
static spk_status largest_block(struct map_net *net, uint32_t pop, const struct u32_list *blocks,
                                struct map_shape *s)
{
    const struct map_pop *p = &net->pops.data[pop];
    struct map_shape best = {.gc = 0};
    size_t lo = 0, hi = blocks->len; /* blocks below lo do not fit, from hi on they do */
    while (lo < hi) {
        const size_t at = (lo + hi) / 2;
        bool fits;
        s->tc = blocks->data[at];
        s->gc = ceil_div(p->channels, s->tc);
        SPK_TRY(shape_fits(net, pop, s, &fits));
        if (fits)
            best = *s;
        hi = fits ? at : hi;
        lo = fits ? lo : at + 1;
    }
    *s = best;
    return SPK_OK;
}

/* Shapes of one cut of the positions in plain layout, for every block. */
static spk_status find_plain(struct map_net *net, uint32_t pop, uint32_t th, uint32_t tw,
                             const struct u32_list *blocks, bool all, struct shape_vec *out)
{
    for (size_t i = 0; i < blocks->len; i++) {
        const struct map_shape s = map_shape_make(&net->pops.data[pop], th, tw, blocks->data[i]);
        bool fits;
        SPK_TRY(shape_fits(net, pop, &s, &fits));
        if (fits)
            SPK_TRY(vec_push(out, s));
        if (fits && !all)
            break;
    }
    return SPK_OK;
}

/* The one shape of a population on engine cores: all positions, a task's channels. */
static spk_status find_engine(struct map_net *net, uint32_t pop, struct shape_vec *out)
{
    struct map_pop *p = &net->pops.data[pop];
    const struct map_pop before = *p;
    const struct map_shape s = map_shape_make(p, p->height, p->width, p->engine);
    bool fits;
    map_shape_set(p, &s);
    spk_status status = map_grid_fits(net, pop, &fits);
    *p = before;
    return status == SPK_OK && fits ? vec_push(out, s) : status;
}

#define N_ALIGNS 3
static const uint32_t ALIGNS[N_ALIGNS] = {4, 2, 1};

/* Shapes of one cut in the best layouts. A layout is worth its padding only if it has larger
 * blocks than those with less. */
static spk_status find_layouts(struct map_net *net, uint32_t pop, uint32_t th, uint32_t tw,
                               const struct u32_list *blocks, const struct block_kind *kind,
                               struct shape_vec *out)
{
    const struct map_pop *p = &net->pops.data[pop];
    struct map_shape best[2] = {{.gc = UINT32_MAX}, {.gc = UINT32_MAX}}; /* short axons; any */
    const int pads = kind->overlaps ? 4 : 1;
    for (int pad = 0; pad < pads; pad++) {
        for (int a = -1; a < (kind->slices ? N_ALIGNS : 0); a++) {
            struct map_shape s = map_shape_make(p, th, tw, 1);
            s.slice = a < 0 ? 0 : ALIGNS[a];
            s.pad_x = (pad & 1) != 0;
            s.pad_y = (pad & 2) != 0;
            SPK_TRY(largest_block(net, pop, &blocks[a < 0 ? 0 : a], &s));
            if (s.gc == 0)
                continue;
            const bool quick = a <= 0;
            if (quick && s.gc < best[0].gc)
                best[0] = s;
            if (s.gc < best[1].gc)
                best[1] = s;
        }
    }
    if (best[0].gc != UINT32_MAX)
        SPK_TRY(vec_push(out, best[0]));
    return best[1].gc < best[0].gc ? vec_push(out, best[1]) : SPK_OK;
}

spk_status map_shapes_find(struct map_net *net, uint32_t pop, bool fine, struct shape_vec *out)
{
    struct map_pop *p = &net->pops.data[pop];
    const struct map_pop before = *p;
    const uint64_t max_neurons = tgt_limit_value(net->target, TGT_NEURONS);
    const struct block_kind kind = block_kind_of(net, p);
    const bool all = fine || !kind.full;
    struct u32_list blocks[N_ALIGNS] = {0};
    spk_status status = SPK_OK;
    if (p->engine > 0)
        return find_engine(net, pop, out);
    for (int a = 0; a < N_ALIGNS && status == SPK_OK; a++)
        status = find_blocks(net, p, kind.list ? ALIGNS[a] : 1, &kind, &blocks[a]);
    for (uint32_t th = p->height; th > 0 && status == SPK_OK; th = next_size(p->height, th)) {
        for (uint32_t tw = p->width; tw > 0 && status == SPK_OK; tw = next_size(p->width, tw)) {
            if ((uint64_t)th * tw > max_neurons)
                continue;
            if (!all && (kind.slices || kind.overlaps))
                status = find_layouts(net, pop, th, tw, blocks, &kind, out);
            else
                status = find_plain(net, pop, th, tw, &blocks[0], all, out);
        }
    }
    for (int a = 0; a < N_ALIGNS; a++)
        vec_fini(&blocks[a]);
    *p = before;
    if (status == SPK_OK && out->len > 0)
        qsort(out->data, out->len, sizeof *out->data, compare_shape);
    return status;
}
