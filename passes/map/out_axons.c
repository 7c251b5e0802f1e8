/* Out-axon slots of every tile, in closed form (docs/mapping.md, section 2).
 *
 * A tile has one out-axon entry per source position, source tile and consumer tile that reads it.
 * For a regular projection the number of consumer tiles that read position (y, x) is a product: row
 * tiles whose window covers y, times column tiles whose window covers x, times channel tiles that
 * the source tile's channels reach. Sums of the first two over a tile separate where consumer and
 * source see the same map. Cost per consumer and source: rows + columns + tiles. Entries of two
 * slots (pop32) depend on each base: where a consumer has them, its axons are walked. */
#include <string.h>

#include "passes/map/map.h"
#include "support/alloc.h"

bool map_axis_range(const struct map_proj *p, bool columns, uint32_t at, uint32_t size,
                    uint32_t tile, uint32_t *first, uint32_t *last)
{
    uint32_t from = 0, count = p->pos == MAP_POS_GATHER ? 1 : size, k;
    if (p->pos == MAP_POS_WINDOW &&
        !(columns ? map_window_targets(at, p->pad_w, p->stride_w, p->kernel_w, 0, size, false, 0,
                                       &from, &count, &k)
                  : map_window_targets(at, p->pad, p->stride, p->kernel, 0, size, false, 0, &from,
                                       &count, &k)))
        return false;
    *first = from / tile;
    *last = (from + count - 1) / tile;
    return true;
}

uint32_t map_axis_tiles(const struct map_proj *p, bool columns, uint32_t at, uint32_t size,
                        uint32_t tile)
{
    uint32_t first, last;
    return map_axis_range(p, columns, at, size, tile, &first, &last) ? last - first + 1 : 0;
}

struct out_ctx {
    struct mapping *m;
    const bool *which; /* [pops] whose out-axons are counted; NULL: all */
    const struct map_proj *proj;
    const struct map_pop *target;
    uint32_t proj_id;
    uint64_t *rows, *columns; /* [view_h], [view_w]: consumer tiles along the axis */
    uint64_t *chunks;         /* [channel tiles of the source]: entries per position */
};

/* Consumer channel tiles that each channel tile of the source reaches; on chips without population
 * axons the entries, one per channel. */
static void count_chunks(struct out_ctx *c, const struct map_pop *s)
{
    const struct map_net *net = &c->m->net;
    const uint32_t atoms = map_axon_atoms(net->target, s->channels, s->tc);
    memset(c->chunks, 0, s->gc * sizeof *c->chunks);
    for (uint32_t g = 0; g < c->target->gc; g++) {
        const struct map_tile t = map_tile_at(net, c->proj->target, 0, 0, g);
        uint32_t lo, hi;
        map_source_channels(net, c->proj, t.c0, t.nc, &lo, &hi);
        for (uint32_t i = lo / s->tc; i <= (hi - 1) / s->tc; i++) {
            const uint32_t from = i * s->tc > lo ? i * s->tc : lo;
            const uint32_t to = (i + 1) * s->tc < hi ? (i + 1) * s->tc : hi;
            c->chunks[i] +=
                net->target->pop16_slots *
                (net->target->axon_population ? (to - 1) / atoms - from / atoms + 1 : to - from);
        }
    }
}

/* Sum over the positions of a source tile of the consumer tiles that read them. */
static uint64_t position_tiles(const struct out_ctx *c, const struct map_pop *s,
                               const struct map_tile *t)
{
    uint64_t rows = 0, columns = 0, sum = 0;
    if (s->width == c->proj->view_w && s->height == c->proj->view_h) {
        for (uint32_t y = t->y0; y < t->y0 + t->ny; y++)
            rows += c->rows[y];
        for (uint32_t x = t->x0; x < t->x0 + t->nx; x++)
            columns += c->columns[x];
        return rows * columns;
    }
    for (uint32_t y = t->y0; y < t->y0 + t->ny; y++)
        for (uint32_t at = y * s->width + t->x0; at < y * s->width + t->x0 + t->nx; at++)
            sum += c->rows[at / c->proj->view_w] * c->columns[at % c->proj->view_w];
    return sum;
}

static void add_source(struct out_ctx *c, const struct map_pop *s)
{
    count_chunks(c, s);
    for (uint32_t gy = 0; gy < s->gh; gy++) {
        for (uint32_t gx = 0; gx < s->gw; gx++) {
            const uint32_t first = s->tile_first + (gy * s->gw + gx) * s->gc;
            const uint64_t n = position_tiles(c, s, &c->m->tiles.data[first]);
            for (uint32_t g = 0; g < s->gc; g++)
                c->m->usage[first + g].out_axons += n * c->chunks[g];
        }
    }
}

/* Whether every entry to the consumer takes as many slots: no base that pop16 cannot hold. */
static bool uniform_slots(const struct map_net *net, const struct map_proj *p)
{
    const struct tgt *t = net->target;
    const struct map_pop *pop = &net->pops.data[p->target];
    const uint64_t limit = tgt_limit_value(t, TGT_AXON_BASE);
    if (p->chan == MAP_CHAN_LIST)
        return false;
    if (!t->axon_population || t->pop16_slots == t->pop32_slots)
        return true;
    const uint32_t slice = pop->slice > 0 && pop->slice < pop->tc ? pop->slice : pop->tc;
    const uint32_t last = pop->channels % pop->tc; /* a tile of fewer channels than a slice */
    return map_proj_conv(t, p) || (slice % 4 == 0 && (last >= slice || last % 4 == 0) &&
                                   (limit == UINT64_MAX || (limit + 1) % 4 == 0));
}

struct walk_ctx {
    const struct out_ctx *c;
    uint32_t slots;
};

static bool counts(const struct out_ctx *c, uint32_t pop)
{
    return (c->which == NULL || c->which[pop]) && c->m->net.pops.data[pop].has_compartments;
}

static spk_status count_sender(void *ctx, uint32_t tile, uint32_t channel, uint32_t n)
{
    const struct walk_ctx *w = ctx;
    (void)channel;
    (void)n;
    if (tile != IR_NONE)
        w->c->m->usage[tile].out_axons += w->slots;
    return SPK_OK;
}

static spk_status count_walked(void *ctx, const struct map_tile *tile, const struct map_axon *a)
{
    struct out_ctx *c = ctx;
    struct walk_ctx w = {c, map_axon_slots(c->m->net.target, a->kind)};
    (void)tile;
    if (a->proj != c->proj_id || !counts(c, c->proj->source[a->source].pop))
        return SPK_OK;
    return map_axon_senders(&c->m->net, a, count_sender, &w);
}

static spk_status count_projection(struct mapping *m, uint32_t id, const bool *which)
{
    struct map_net *net = &m->net;
    struct out_ctx c = {.m = m, .which = which, .proj_id = id, .proj = &net->projs.data[id]};
    const struct map_proj *p = c.proj;
    uint32_t most = 1, n_counted = 0;
    for (uint32_t i = 0; i < p->n_sources; i++)
        n_counted += counts(&c, p->source[i].pop);
    if (n_counted == 0)
        return SPK_OK;
    c.target = &net->pops.data[p->target];
    const uint32_t tiles = c.target->gh * c.target->gw * c.target->gc;
    if (!uniform_slots(net, p)) {
        for (uint32_t i = 0; i < tiles; i++)
            SPK_TRY(
                map_tile_axons(net, &m->tiles.data[c.target->tile_first + i], count_walked, &c));
        return SPK_OK;
    }
    for (uint32_t i = 0; i < p->n_sources; i++)
        if (counts(&c, p->source[i].pop) && net->pops.data[p->source[i].pop].gc > most)
            most = net->pops.data[p->source[i].pop].gc;
    SPK_TRY(spk_alloc_array_raw(p->view_h, sizeof *c.rows, &c.rows));
    spk_status status = spk_alloc_array_raw(p->view_w, sizeof *c.columns, &c.columns);
    if (status == SPK_OK)
        status = spk_alloc_array_raw(most, sizeof *c.chunks, &c.chunks);
    if (status == SPK_OK) {
        for (uint32_t y = 0; y < p->view_h; y++)
            c.rows[y] = map_axis_tiles(p, false, y, c.target->height, c.target->th);
        for (uint32_t x = 0; x < p->view_w; x++)
            c.columns[x] = map_axis_tiles(p, true, x, c.target->width, c.target->tw);
        for (uint32_t i = 0; i < p->n_sources; i++)
            if (counts(&c, p->source[i].pop))
                add_source(&c, &net->pops.data[p->source[i].pop]);
    }
    spk_free(c.rows);
    spk_free(c.columns);
    spk_free(c.chunks);
    return status;
}

/* Entries of a tile to one port for each position: on chips without population axons to each
 * neuron's. */
static uint32_t port_axons(const struct mapping *m, const struct map_tile *t)
{
    return t->ny * t->nx * (m->net.target->axon_population ? 1 : t->nc) *
           m->net.target->pop16_slots;
}

spk_status map_count_out_axons(struct mapping *m, const bool *which)
{
    struct map_net *net = &m->net;
    for (size_t i = 0; i < m->tiles.len; i++) {
        const struct map_tile *t = &m->tiles.data[i];
        if (which == NULL || which[t->pop])
            m->usage[i].out_axons = net->pops.data[t->pop].readout ? port_axons(m, t) : 0;
    }
    for (size_t e = 0; e < net->pops.len; e++) {
        const struct map_pop *p = &net->pops.data[e];
        const uint32_t in[3] = {p->q, p->k, p->v};
        for (int o = 0; p->kind == IMG_LAYER_EMBEDDED && o < 3; o++) {
            const struct map_pop *s = &net->pops.data[in[o]];
            if (which != NULL && !which[in[o]])
                continue;
            for (uint32_t i = s->tile_first; i < s->tile_first + s->gh * s->gw * s->gc; i++)
                m->usage[i].out_axons += port_axons(m, &m->tiles.data[i]);
        }
    }
    for (uint32_t i = 0; i < net->projs.len; i++)
        if (net->pops.data[net->projs.data[i].target].has_compartments)
            SPK_TRY(count_projection(m, i, which));
    return SPK_OK;
}
