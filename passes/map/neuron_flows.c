/* Expected messages between the cores of a network that is cut neuron by neuron, from its out-axons
 * (docs/mapping.md, section 4): what an entry sends over a gap counts, too. */
#include <stdlib.h>
#include <string.h>

#include "passes/map/mesh.h"
#include "passes/map/neuron_cut.h"
#include "support/alloc.h"
#include "support/vec.h"

/* `n` neurons of a tile from `channel` on send to a core. */
struct entry {
    uint32_t tile, channel, dest, n;
};

struct gather {
    const struct mapping *m;
    bool single; /* an entry for every neuron */
    uint32_t dest;
    VEC(struct entry) entries;
};

static spk_status add_sender(void *ctx, uint32_t tile, uint32_t channel, uint32_t n)
{
    struct gather *g = ctx;
    if (tile == IR_NONE)
        return SPK_OK;
    for (uint32_t i = 0; g->single && i < n; i++)
        SPK_TRY(vec_push(&g->entries, (struct entry){tile, channel + i, g->dest, 1}));
    return g->single ? SPK_OK : vec_push(&g->entries, (struct entry){tile, channel, g->dest, n});
}

static spk_status add_axon(void *ctx, const struct map_tile *tile, const struct map_axon *a)
{
    struct gather *g = ctx;
    g->dest = tile->core;
    return map_axon_senders(&g->m->net, a, add_sender, g);
}

/* By source, then destination. */
static int compare_entries(const void *x, const void *y)
{
    const struct entry *a = x, *b = y;
    if (a->tile != b->tile)
        return a->tile < b->tile ? -1 : 1;
    if (a->channel != b->channel)
        return a->channel < b->channel ? -1 : 1;
    return (a->dest > b->dest) - (a->dest < b->dest);
}

struct edges {
    VEC(uint32_t) source;
    VEC(double) weight;
    VEC(uint64_t) first;
    VEC(uint32_t) dest;
};

static spk_status close_edge(struct edges *e, uint32_t source, double weight)
{
    SPK_TRY(vec_push(&e->source, source));
    SPK_TRY(vec_push(&e->weight, weight));
    return vec_push(&e->first, e->dest.len);
}

/* Multicast: a message of a neuron goes to the set of cores that hear it. */
static spk_status add_trees(const struct gather *g, struct edges *out)
{
    const struct entry *e = g->entries.data;
    for (size_t i = 0, j; i < g->entries.len; i = j) {
        const struct map_tile *t = &g->m->tiles.data[e[i].tile];
        for (j = i; j < g->entries.len && e[j].tile == e[i].tile && e[j].channel == e[i].channel;
             j++)
            if (j == i || e[j].dest != e[j - 1].dest)
                SPK_TRY(vec_push(&out->dest, e[j].dest));
        SPK_TRY(
            close_edge(out, t->core, map_pop_sends(&g->m->net.pops.data[t->pop], e[i].channel, 1)));
    }
    return SPK_OK;
}

static int compare_ends(const void *x, const void *y)
{
    const struct entry *a = x, *b = y;
    if (a->tile != b->tile)
        return a->tile < b->tile ? -1 : 1;
    if (a->dest != b->dest)
        return a->dest < b->dest ? -1 : 1;
    if (a->channel != b->channel)
        return a->channel < b->channel ? -1 : 1;
    return (a->n > b->n) - (a->n < b->n);
}

/* Unicast: whatever goes from a tile to a core is one edge. */
static spk_status add_routes(const struct gather *g, struct edges *out)
{
    const struct entry *e = g->entries.data;
    for (size_t i = 0, j; i < g->entries.len; i = j) {
        const struct map_tile *t = &g->m->tiles.data[e[i].tile];
        double sends = 0;
        for (j = i; j < g->entries.len && e[j].tile == e[i].tile && e[j].dest == e[i].dest; j++)
            sends += map_pop_sends(&g->m->net.pops.data[t->pop], e[j].channel, e[j].n);
        SPK_TRY(vec_push(&out->dest, e[i].dest));
        SPK_TRY(close_edge(out, t->core, sends));
    }
    return SPK_OK;
}

spk_status map_neuron_flows(const struct mapping *m, enum place_objective objective,
                            struct ir_cluster_graph *out)
{
    const bool trees = objective == PLACE_MULTICAST;
    struct gather g = {.m = m, .single = trees};
    struct edges e = {0};
    spk_status status = vec_push(&e.first, 0);
    for (size_t i = 0; i < m->tiles.len && status == SPK_OK; i++)
        status = map_tile_axons(&m->net, &m->tiles.data[i], add_axon, &g);
    if (g.entries.len > 1)
        qsort(g.entries.data, g.entries.len, sizeof *g.entries.data,
              trees ? compare_entries : compare_ends);
    if (status == SPK_OK)
        status = trees ? add_trees(&g, &e) : add_routes(&g, &e);
    if (status == SPK_OK && e.source.len >= UINT32_MAX)
        status = SPK_ERR_NOMEM;
    vec_fini(&g.entries);
    *out = (struct ir_cluster_graph){.n_clusters = m->n_cores,
                                     .n_edges = (uint32_t)e.source.len,
                                     .source = e.source.data,
                                     .weight = e.weight.data,
                                     .first = e.first.data,
                                     .dest = e.dest.data};
    if (status != SPK_OK)
        ir_cluster_graph_fini(out);
    return status;
}
