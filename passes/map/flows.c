/* Who sends how much to whom (docs/mapping.md, section 4), in closed form.
 *
 * The tiles that read a source position are, for every projection, row tiles x column tiles x
 * channel tiles of the consumer. So the positions of a source tile fall into classes with the same
 * ranges of row and column tiles, and its channels into segments between the borders of what the
 * consumer's channel tiles read. A class and a segment are one edge of each channel tile of the
 * source. Unicast takes the projections one by one; multicast all projections that read a
 * population together, since a message then goes to their union.
 * Cost: positions x readers (not times channels), and the destinations of all edges. */
#include <stdlib.h>
#include <string.h>

#include "passes/map/mesh.h"
#include "passes/map/neuron_cut.h"
#include "support/alloc.h"
#include "support/vec.h"

/* Tiles of the consumer that read a position: rows r0 .. r1, columns c0 .. c1; none: r0 > r1. */
struct reach {
    uint32_t r0, r1, c0, c1;
};

struct span {
    uint32_t lo, hi;
};

/* A projection with one alias that is cut into tiles; what its axes and channel tiles read. */
struct reader {
    const struct map_proj *proj;
    const struct map_pop *target;
    struct span *rows, *columns; /* [view_h], [view_w] tiles of the consumer; none: lo > hi */
    struct span *channels;       /* [channel tiles of the consumer] source channels, end excluded */
};

struct u32_vec VEC_FIELDS(uint32_t);

struct flows {
    const struct mapping *m;
    bool multicast;
    struct reader *reader; /* of the population at hand */
    uint32_t n_readers;
    struct reach *key;    /* [classes][readers] */
    uint32_t *class_size; /* positions */
    uint32_t n_classes;
    struct u32_vec borders; /* of the segments of a channel tile */
    struct u32_vec dests;   /* cores that read a class and segment, rising */
    struct u32_vec sources; /* the graph */
    VEC(double) weights;
    VEC(uint64_t) firsts;
    struct u32_vec all_dests;
};

/* ---- readers ---- */

static spk_status axis_spans(const struct map_proj *p, bool columns, uint32_t n, uint32_t size,
                             uint32_t tile, struct span **out)
{
    SPK_TRY(spk_alloc_array_raw(n, sizeof **out, out));
    for (uint32_t i = 0; i < n; i++) {
        struct span *s = &(*out)[i];
        if (!map_axis_range(p, columns, i, size, tile, &s->lo, &s->hi))
            *s = (struct span){1, 0};
    }
    return SPK_OK;
}

static spk_status open_reader(const struct mapping *m, uint32_t proj, struct reader *r)
{
    const struct map_net *net = &m->net;
    const struct map_proj *p = &net->projs.data[proj];
    const struct map_pop *t = &net->pops.data[p->target];
    r->proj = p;
    r->target = t;
    SPK_TRY(axis_spans(p, false, p->view_h, t->height, t->th, &r->rows));
    SPK_TRY(axis_spans(p, true, p->view_w, t->width, t->tw, &r->columns));
    SPK_TRY(spk_alloc_array_raw(t->gc, sizeof *r->channels, &r->channels));
    for (uint32_t g = 0; g < t->gc; g++) {
        const struct map_tile tile = map_tile_at(net, p->target, 0, 0, g);
        map_source_channels(net, p, tile.c0, tile.nc, &r->channels[g].lo, &r->channels[g].hi);
    }
    return SPK_OK;
}

static void close_readers(struct flows *f)
{
    for (uint32_t i = 0; i < f->n_readers; i++) {
        spk_free(f->reader[i].rows);
        spk_free(f->reader[i].columns);
        spk_free(f->reader[i].channels);
    }
    f->n_readers = 0;
}

/* ---- classes of positions ---- */

static void reach_of(const struct reader *r, uint32_t at, struct reach *out)
{
    const struct span row = r->rows[at / r->proj->view_w], col = r->columns[at % r->proj->view_w];
    const bool none = row.lo > row.hi || col.lo > col.hi;
    *out = none ? (struct reach){1, 0, 1, 0} : (struct reach){row.lo, row.hi, col.lo, col.hi};
}

/* Classes are searched backwards: neighbouring positions are mostly alike. */
static void classify(struct flows *f, uint32_t at)
{
    const size_t n = f->n_readers;
    struct reach *key = f->key + f->n_classes * n;
    for (uint32_t i = 0; i < n; i++)
        reach_of(&f->reader[i], at, &key[i]);
    for (uint32_t c = f->n_classes; c-- > 0;) {
        if (memcmp(f->key + c * n, key, n * sizeof *key) == 0) {
            f->class_size[c]++;
            return;
        }
    }
    f->class_size[f->n_classes++] = 1;
}

/* ---- edges ---- */

static int compare_u32(const void *x, const void *y)
{
    const uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    return (a > b) - (a < b);
}

/* Sorted borders of the segments of source channels [c0, end), both ends included. */
static spk_status find_borders(struct flows *f, uint32_t c0, uint32_t end)
{
    uint32_t n = 0;
    vec_clear(&f->borders);
    SPK_TRY(vec_push(&f->borders, c0));
    SPK_TRY(vec_push(&f->borders, end));
    for (uint32_t i = 0; i < f->n_readers; i++) {
        for (uint32_t g = 0; g < f->reader[i].target->gc; g++) {
            const struct span s = f->reader[i].channels[g];
            if (s.lo > c0 && s.lo < end)
                SPK_TRY(vec_push(&f->borders, s.lo));
            if (s.hi > c0 && s.hi < end)
                SPK_TRY(vec_push(&f->borders, s.hi));
        }
    }
    qsort(f->borders.data, f->borders.len, sizeof *f->borders.data, compare_u32);
    for (size_t i = 0; i < f->borders.len; i++)
        if (i == 0 || f->borders.data[i] != f->borders.data[i - 1])
            f->borders.data[n++] = f->borders.data[i];
    f->borders.len = n;
    return SPK_OK;
}

/* Cores that read channel `channel` of the positions of a class, rising; one for every axon. */
static spk_status find_dests(struct flows *f, uint32_t class, uint32_t channel)
{
    vec_clear(&f->dests);
    for (uint32_t i = 0; i < f->n_readers; i++) {
        const struct reach k = f->key[(size_t) class * f->n_readers + i];
        const struct map_pop *t = f->reader[i].target;
        for (uint32_t y = k.r0; y <= k.r1; y++) {
            for (uint32_t x = k.c0; x <= k.c1; x++) {
                for (uint32_t g = 0; g < t->gc; g++) {
                    const struct span s = f->reader[i].channels[g];
                    const uint32_t tile = t->tile_first + (y * t->gw + x) * t->gc + g;
                    if (channel >= s.lo && channel < s.hi)
                        SPK_TRY(vec_push(&f->dests, f->m->tiles.data[tile].core));
                }
            }
        }
    }
    if (f->dests.len > 1)
        qsort(f->dests.data, f->dests.len, sizeof *f->dests.data, compare_u32);
    return SPK_OK;
}

/* One edge with every core once; for unicast another with those that are there twice, and so on. */
static spk_status add_edges(struct flows *f, uint32_t source, double weight)
{
    const uint32_t *d = f->dests.data;
    size_t before = 1;
    for (uint32_t nth = 0; before > 0 && (nth == 0 || !f->multicast); nth++) {
        before = f->all_dests.len;
        for (size_t i = 0, run = 0; i < f->dests.len; i++) {
            run = i > 0 && d[i] == d[i - 1] ? run + 1 : 0;
            if (run == nth)
                SPK_TRY(vec_push(&f->all_dests, d[i]));
        }
        before = f->all_dests.len - before;
        if (before == 0)
            break;
        SPK_TRY(vec_push(&f->sources, source));
        SPK_TRY(vec_push(&f->weights, weight));
        SPK_TRY(vec_push(&f->firsts, f->all_dests.len));
    }
    return SPK_OK;
}

/* Edges of the channel tiles of one range of positions, whose classes are found. */
static spk_status add_channel_tiles(struct flows *f, const struct map_pop *s, uint32_t first_tile)
{
    for (uint32_t g = 0; g < s->gc; g++) {
        const struct map_tile *t = &f->m->tiles.data[first_tile + g];
        SPK_TRY(find_borders(f, t->c0, t->c0 + t->nc));
        for (size_t b = 0; b + 1 < f->borders.len; b++) {
            const uint32_t from = f->borders.data[b], n = f->borders.data[b + 1] - from;
            const double sends = map_pop_sends(s, from, n);
            for (uint32_t c = 0; c < f->n_classes && sends > 0; c++) {
                SPK_TRY(find_dests(f, c, from));
                SPK_TRY(add_edges(f, t->core, sends * f->class_size[c]));
            }
        }
    }
    return SPK_OK;
}

/* Edges of a population to the readers at hand. */
static spk_status add_population(struct flows *f, const struct map_pop *s)
{
    const size_t positions = (size_t)s->th * s->tw;
    SPK_TRY(spk_alloc_array_raw((positions + 1) * f->n_readers, sizeof *f->key, &f->key));
    spk_status status = spk_alloc_array_raw(positions, sizeof *f->class_size, &f->class_size);
    for (uint32_t i = 0; i < s->gh * s->gw && status == SPK_OK; i++) {
        const uint32_t first = s->tile_first + i * s->gc;
        const struct map_tile *t = &f->m->tiles.data[first];
        f->n_classes = 0;
        for (uint32_t y = t->y0; y < t->y0 + t->ny; y++)
            for (uint32_t x = t->x0; x < t->x0 + t->nx; x++)
                classify(f, y * s->width + x);
        status = add_channel_tiles(f, s, first);
    }
    spk_free(f->key);
    spk_free(f->class_size);
    return status;
}

/* ---- all populations ---- */

struct reading {
    uint32_t pop, proj;
};
struct reading_vec VEC_FIELDS(struct reading);

static int compare_readings(const void *x, const void *y)
{
    const struct reading *a = x, *b = y;
    if (a->pop != b->pop)
        return a->pop < b->pop ? -1 : 1;
    return (a->proj > b->proj) - (a->proj < b->proj);
}

/* Every alias that is cut into tiles, with the projection it feeds; by population. */
static spk_status find_readings(const struct map_net *net, struct reading_vec *out)
{
    for (uint32_t p = 0; p < net->projs.len; p++) {
        const struct map_proj *proj = &net->projs.data[p];
        if (!net->pops.data[proj->target].has_compartments)
            continue;
        for (uint32_t i = 0; i < proj->n_sources; i++)
            if (net->pops.data[proj->source[i].pop].has_compartments)
                SPK_TRY(vec_push(out, (struct reading){proj->source[i].pop, p}));
    }
    if (out->len > 1)
        qsort(out->data, out->len, sizeof *out->data, compare_readings);
    return SPK_OK;
}

static spk_status add_readings(struct flows *f, const struct reading_vec *all)
{
    const struct map_net *net = &f->m->net;
    SPK_TRY(spk_alloc_array(all->len, sizeof *f->reader, &f->reader));
    for (size_t i = 0; i < all->len;) {
        const uint32_t pop = all->data[i].pop;
        spk_status status = SPK_OK;
        do {
            memset(&f->reader[f->n_readers], 0, sizeof *f->reader);
            status = open_reader(f->m, all->data[i++].proj, &f->reader[f->n_readers++]);
        } while (status == SPK_OK && f->multicast && i < all->len && all->data[i].pop == pop);
        if (status == SPK_OK)
            status = add_population(f, &net->pops.data[pop]);
        close_readers(f);
        SPK_TRY(status);
    }
    return SPK_OK;
}

spk_status map_flows_build(const struct mapping *m, enum place_objective objective,
                           struct ir_cluster_graph *out)
{
    struct flows f = {.m = m, .multicast = objective == PLACE_MULTICAST};
    struct reading_vec readings = {0};
    memset(out, 0, sizeof *out);
    if (m->net.lists.len > 0)
        return map_neuron_flows(m, objective, out);
    spk_status status = vec_push(&f.firsts, 0);
    if (status == SPK_OK)
        status = find_readings(&m->net, &readings);
    if (status == SPK_OK)
        status = add_readings(&f, &readings);
    if (status == SPK_OK && f.sources.len >= UINT32_MAX)
        status = SPK_ERR_NOMEM;
    *out = (struct ir_cluster_graph){.n_clusters = m->n_cores,
                                     .n_edges = (uint32_t)f.sources.len,
                                     .source = f.sources.data,
                                     .weight = f.weights.data,
                                     .first = f.firsts.data,
                                     .dest = f.all_dests.data};
    vec_fini(&readings);
    vec_fini(&f.borders);
    vec_fini(&f.dests);
    spk_free(f.reader);
    if (status != SPK_OK)
        ir_cluster_graph_fini(out);
    return status;
}

spk_status map_flows_messages(const struct mapping *m, enum place_objective objective,
                              double *out_messages)
{
    struct ir_cluster_graph f;
    *out_messages = 0;
    SPK_TRY(map_flows_build(m, objective, &f));
    for (uint32_t e = 0; e < f.n_edges; e++) {
        uint64_t n = 0;
        for (uint64_t k = f.first[e]; k < f.first[e + 1]; k++)
            n += f.dest[k] != f.source[e];
        *out_messages += f.weight[e] * (double)(objective == PLACE_MULTICAST && n > 1 ? 1 : n);
    }
    ir_cluster_graph_fini(&f);
    return SPK_OK;
}
