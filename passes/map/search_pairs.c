/* What an alias costs for each pair of shapes at its ends. The number of consumer tiles that read a
 * source tile's positions is a product over the axes, so rows, columns and channels are priced once
 * for each distinct pair of sizes; equal aliases between equal sets share a table. */
#include "passes/map/search.h"
#include "support/alloc.h"

void search_find_firsts(const struct search_set *set, struct search_firsts *out)
{
    for (uint32_t i = 0; i < set->n; i++) {
        uint32_t r = 0, c = 0, k = 0;
        while (set->shape[r].th != set->shape[i].th)
            r++;
        while (set->shape[c].tw != set->shape[i].tw)
            c++;
        while (set->shape[k].tc != set->shape[i].tc)
            k++;
        out->rows[i] = (uint8_t)r;
        out->columns[i] = (uint8_t)c;
        out->channels[i] = (uint8_t)k;
    }
}

/* The most of a sum of map_axis_tiles over a source tile of n rows. */
static uint64_t axis_cover(const struct map_proj *p, bool columns, uint32_t size, uint32_t n,
                           uint32_t target_size, uint32_t tile)
{
    uint64_t most = 0, sum = 0;
    for (uint32_t y = 0; y < size; y++) {
        sum = y % n == 0 ? 0 : sum;
        sum += map_axis_tiles(p, columns, y, target_size, tile);
        most = sum > most ? sum : most;
    }
    return most;
}

/* Channel blocks of width tc into sources of width sc: most in-axons of a block, most out-axon
 * entries of a source block. */
static spk_status pair_channels(const struct map_net *net, const struct map_proj *p,
                                const struct map_pop *src, uint32_t sc, const struct map_pop *dst,
                                uint32_t tc, uint64_t *out_in, uint64_t *out_entries)
{
    const bool population = net->target->axon_population;
    const uint32_t chunks = (src->channels + sc - 1) / sc, blocks = (dst->channels + tc - 1) / tc;
    const uint32_t atoms = map_axon_atoms(net->target, src->channels, sc);
    uint32_t *entries;
    *out_in = *out_entries = 0;
    if (p->chan == MAP_CHAN_FULL) {
        *out_in = population ? (src->channels + atoms - 1) / atoms : src->channels;
        *out_entries = (uint64_t)blocks * (population ? 1 : sc);
        return SPK_OK;
    }
    SPK_TRY(spk_alloc_array(chunks, sizeof *entries, &entries));
    for (uint32_t g = 0; g < blocks; g++) {
        uint32_t lo, hi;
        map_source_channels(net, p, g * tc,
                            (g + 1) * tc > dst->channels ? dst->channels - g * tc : tc, &lo, &hi);
        for (uint32_t i = lo / sc; i <= (hi - 1) / sc; i++) {
            const uint32_t from = i * sc > lo ? i * sc : lo,
                           to = (i + 1) * sc < hi ? (i + 1) * sc : hi;
            entries[i] += population ? 1 : to - from;
            *out_entries = entries[i] > *out_entries ? entries[i] : *out_entries;
        }
        const uint32_t n = population ? (hi - 1) / atoms - lo / atoms + 1 : hi - lo;
        *out_in = n > *out_in ? n : *out_in;
    }
    spk_free(entries);
    return SPK_OK;
}

static uint32_t saturate(uint64_t v)
{
    return v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
}

/* Slots of n entries; `quarters` of a slot each. */
static uint32_t slots_of(uint64_t n, uint32_t quarters)
{
    return saturate((n * quarters + 3) / 4);
}

spk_status search_pair_price(const struct map_net *net, const struct map_proj *p,
                             const struct map_pop *src, const struct map_shape *a,
                             const struct map_pop *dst, const struct map_shape *b,
                             struct search_pair *out)
{
    const bool same_map = src->height == p->view_h && src->width == p->view_w;
    uint64_t in, entries;
    SPK_TRY(pair_channels(net, p, src, a->tc, dst, b->tc, &in, &entries));
    out->in = saturate(in);
    const uint64_t n = axis_cover(p, false, p->view_h, same_map ? a->th : 1, dst->height, b->th) *
                       axis_cover(p, true, p->view_w, same_map ? a->tw : 1, dst->width, b->tw) *
                       entries * (same_map ? 1 : shape_positions(a));
    out->out = slots_of(n, map_shape_slots(net, p, b));
    return SPK_OK;
}

/* Parts of a pair that are products of one axis each. */
struct pair_parts {
    uint64_t rows, columns, in, entries;
};

static spk_status table_fill(const struct search *s, const struct search_edge *e,
                             struct search_pair *pair)
{
    const struct map_net *net = s->net;
    const struct map_proj *p = &net->projs.data[e->proj];
    const struct map_pop *src = &net->pops.data[e->src], *dst = &net->pops.data[e->dst];
    const struct search_set *x = s->set[e->src], *y = s->set[e->dst];
    const bool same_map = src->height == p->view_h && src->width == p->view_w;
    struct search_firsts fx, fy;
    struct pair_parts *parts;
    spk_status status = SPK_OK;
    search_find_firsts(x, &fx);
    search_find_firsts(y, &fy);
    SPK_TRY(spk_alloc_array((size_t)x->n * y->n, sizeof *parts, &parts));
    for (uint32_t a = 0; a < x->n; a++) {
        for (uint32_t b = 0; b < y->n && status == SPK_OK; b++) {
            const struct map_shape *from = &x->shape[a], *to = &y->shape[b];
            struct pair_parts *n = &parts[a * y->n + b];
            const struct pair_parts *like[3] = {&parts[fx.rows[a] * y->n + fy.rows[b]],
                                                &parts[fx.columns[a] * y->n + fy.columns[b]],
                                                &parts[fx.channels[a] * y->n + fy.channels[b]]};
            n->rows = like[0] != n ? like[0]->rows
                                   : axis_cover(p, false, p->view_h, same_map ? from->th : 1,
                                                dst->height, to->th);
            n->columns = like[1] != n ? like[1]->columns
                                      : axis_cover(p, true, p->view_w, same_map ? from->tw : 1,
                                                   dst->width, to->tw);
            if (like[2] == n)
                status = pair_channels(net, p, src, from->tc, dst, to->tc, &n->in, &n->entries);
            n->in = like[2]->in;
            n->entries = like[2]->entries;
            pair[a * y->n + b] = (struct search_pair){
                saturate(n->in),
                slots_of(n->rows * n->columns * n->entries * (same_map ? 1 : shape_positions(from)),
                         map_shape_slots(net, p, to))};
        }
    }
    spk_free(parts);
    return status;
}

static bool same_pattern(const struct map_proj *a, const struct map_proj *b)
{
    return a == b || (a->pos == b->pos && a->chan == b->chan && a->r == b->r && a->d == b->d &&
                      a->kernel == b->kernel && a->kernel_w == b->kernel_w &&
                      a->stride == b->stride && a->stride_w == b->stride_w && a->pad == b->pad &&
                      a->pad_w == b->pad_w && a->view_h == b->view_h && a->view_w == b->view_w);
}

spk_status search_table_of(struct search *s, struct search_edge *e)
{
    struct search_table t = {
        .source = s->set[e->src], .target = s->set[e->dst], .proj = &s->net->projs.data[e->proj]};
    for (size_t i = 0; i < s->tables.len; i++) {
        const struct search_table *o = &s->tables.data[i];
        if (o->source == t.source && o->target == t.target && same_pattern(o->proj, t.proj)) {
            e->pair = o->pair;
            return SPK_OK;
        }
    }
    SPK_TRY(spk_alloc_array((size_t)t.source->n * t.target->n, sizeof *t.pair, &t.pair));
    spk_status status = table_fill(s, e, t.pair);
    if (status == SPK_OK)
        status = vec_push(&s->tables, t);
    if (status != SPK_OK)
        spk_free(t.pair);
    else
        e->pair = t.pair;
    return status;
}
