/* Levels of the partitioner: the finest from a graph, coarser ones by contraction.
 *
 * Contraction maps the destinations of every edge, drops repeats, sorts them, and finds an edge
 * with the same source and list by hashing; such edges become one with the sum of weights and
 * axons. An axon that reaches a node reaches it once, however many of its neurons listen, so costs
 * and counts of a partition of the coarse level are those of the neurons.
 * Cost: linear in the destinations, but for sorting each list. */
#include <stdlib.h>
#include <string.h>

#include "passes/part/part_internal.h"
#include "support/alloc.h"

void part_level_fini(struct part_level *l)
{
    spk_free(l->size);
    spk_free(l->synapses);
    spk_free(l->source);
    spk_free(l->weight);
    spk_free(l->axons);
    spk_free(l->first);
    spk_free(l->dest);
    spk_free(l->in_first);
    spk_free(l->in);
    spk_free(l->out_first);
    spk_free(l->out);
    spk_free(l->own);
    memset(l, 0, sizeof *l);
}

static spk_status alloc_level(struct part_level *l, uint32_t n, uint32_t e, uint64_t pins)
{
    memset(l, 0, sizeof *l);
    l->n = n;
    SPK_TRY(spk_alloc_array(n, sizeof *l->size, &l->size));
    SPK_TRY(spk_alloc_array(n, sizeof *l->synapses, &l->synapses));
    SPK_TRY(spk_alloc_array_raw(e, sizeof *l->source, &l->source));
    SPK_TRY(spk_alloc_array_raw(e, sizeof *l->weight, &l->weight));
    SPK_TRY(spk_alloc_array_raw(e, sizeof *l->axons, &l->axons));
    SPK_TRY(spk_alloc_array((size_t)e + 1, sizeof *l->first, &l->first));
    return spk_alloc_array_raw(pins, sizeof *l->dest, &l->dest);
}

/* The edges of each node, from the edges' lists. */
static spk_status index_edges(struct part_level *l)
{
    const uint64_t pins = l->first[l->e];
    SPK_TRY(spk_alloc_array((size_t)l->n + 1, sizeof *l->in_first, &l->in_first));
    SPK_TRY(spk_alloc_array((size_t)l->n + 1, sizeof *l->out_first, &l->out_first));
    SPK_TRY(spk_alloc_array_raw(pins, sizeof *l->in, &l->in));
    SPK_TRY(spk_alloc_array_raw(l->e, sizeof *l->out, &l->out));
    SPK_TRY(spk_alloc_array(l->e, sizeof *l->own, &l->own));
    for (uint32_t e = 0; e < l->e; e++) {
        l->out_first[l->source[e]]++;
        for (uint64_t k = l->first[e]; k < l->first[e + 1]; k++)
            l->in_first[l->dest[k]]++;
    }
    uint64_t in = 0, out = 0; /* ends of the lists, which filling from behind turns into starts */
    for (uint32_t v = 0; v < l->n; v++) {
        in += l->in_first[v];
        l->in_first[v] = in;
        out += l->out_first[v];
        l->out_first[v] = out;
    }
    l->in_first[l->n] = in;
    l->out_first[l->n] = out;
    for (uint32_t e = l->e; e-- > 0;) {
        l->out[--l->out_first[l->source[e]]] = e;
        for (uint64_t k = l->first[e]; k < l->first[e + 1]; k++) {
            l->in[--l->in_first[l->dest[k]]] = e;
            if (l->dest[k] == l->source[e])
                l->own[e] = 1;
        }
    }
    return SPK_OK;
}

spk_status part_level_build(const struct ir_cluster_graph *graph, const uint32_t *size,
                            struct part_level *l)
{
    const uint64_t pins = graph->n_edges > 0 ? graph->first[graph->n_edges] : 0;
    spk_status status = alloc_level(l, graph->n_clusters, graph->n_edges, pins);
    for (uint32_t v = 0; v < graph->n_clusters && status == SPK_OK; v++)
        l->size[v] = size != NULL ? size[v] : 1;
    for (uint32_t e = 0; e < graph->n_edges && status == SPK_OK; e++) {
        const uint64_t n = graph->first[e + 1] - graph->first[e];
        if (n == 0)
            continue;
        l->source[l->e] = graph->source[e];
        l->weight[l->e] = graph->weight[e];
        l->axons[l->e] = 1;
        l->first[l->e + 1] = graph->first[e + 1];
        l->e++;
    }
    if (status == SPK_OK && pins > 0)
        memcpy(l->dest, graph->dest, pins * sizeof *l->dest);
    for (uint64_t k = 0; k < pins && status == SPK_OK; k++)
        l->synapses[l->dest[k]]++;
    if (status == SPK_OK)
        status = index_edges(l);
    if (status != SPK_OK)
        part_level_fini(l);
    return status;
}

static int by_id(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static uint64_t mix(uint64_t z)
{
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

struct contraction {
    const struct part_level *fine;
    const uint32_t *up;
    struct part_level *coarse;
    uint32_t *stamp; /* [n] last fine edge that named the node, plus 1 */
    uint32_t *slot;  /* [slots] coarse edges by hash, UINT32_MAX: free */
    size_t slots;    /* a power of two */
};

/* Mapped, distinct, sorted destinations of fine edge e behind the coarse edges; their number. */
static uint64_t map_edge(struct contraction *c, uint32_t e)
{
    const struct part_level *f = c->fine;
    uint32_t *list = c->coarse->dest + c->coarse->first[c->coarse->e];
    uint64_t n = 0;
    bool sorted = true;
    for (uint64_t k = f->first[e]; k < f->first[e + 1]; k++) {
        const uint32_t d = c->up[f->dest[k]];
        if (c->stamp[d] == e + 1)
            continue;
        c->stamp[d] = e + 1;
        sorted = sorted && (n == 0 || list[n - 1] < d);
        list[n++] = d;
    }
    if (!sorted)
        qsort(list, n, sizeof *list, by_id);
    return n;
}

/* Adds fine edge e, whose mapped list stands behind the coarse edges. */
static void add_edge(struct contraction *c, uint32_t e, uint64_t n)
{
    struct part_level *g = c->coarse;
    const uint32_t source = c->up[c->fine->source[e]];
    const uint32_t *list = g->dest + g->first[g->e];
    uint64_t hash = mix(source + UINT64_C(0x9e3779b97f4a7c15));
    for (uint64_t k = 0; k < n; k++)
        hash = mix(hash + list[k] + UINT64_C(0x9e3779b97f4a7c15));
    for (size_t i = hash & (c->slots - 1);; i = (i + 1) & (c->slots - 1)) {
        const uint32_t t = c->slot[i];
        if (t == UINT32_MAX) {
            c->slot[i] = g->e;
            g->source[g->e] = source;
            g->weight[g->e] = c->fine->weight[e];
            g->axons[g->e] = c->fine->axons[e];
            g->first[g->e + 1] = g->first[g->e] + n;
            g->e++;
            return;
        }
        if (g->source[t] == source && g->first[t + 1] - g->first[t] == n &&
            memcmp(g->dest + g->first[t], list, n * sizeof *list) == 0) {
            g->weight[t] += c->fine->weight[e];
            g->axons[t] += c->fine->axons[e];
            return;
        }
    }
}

spk_status part_level_contract(const struct part_level *fine, const uint32_t *up, uint32_t n,
                               struct part_level *coarse)
{
    struct contraction c = {.fine = fine, .up = up, .coarse = coarse, .slots = 16};
    while (c.slots < 2 * (size_t)fine->e + 2)
        c.slots *= 2;
    spk_status status = alloc_level(coarse, n, fine->e, fine->first[fine->e]);
    if (status == SPK_OK)
        status = spk_alloc_array(n, sizeof *c.stamp, &c.stamp);
    if (status == SPK_OK)
        status = spk_alloc_array_raw(c.slots, sizeof *c.slot, &c.slot);
    if (status == SPK_OK) {
        memset(c.slot, 0xff, c.slots * sizeof *c.slot);
        for (uint32_t v = 0; v < fine->n; v++) {
            coarse->size[up[v]] += fine->size[v];
            coarse->synapses[up[v]] += fine->synapses[v];
        }
        for (uint32_t e = 0; e < fine->e; e++)
            add_edge(&c, e, map_edge(&c, e));
        status = spk_realloc_array(coarse->first[coarse->e], sizeof *coarse->dest, &coarse->dest);
    }
    if (status == SPK_OK)
        status = index_edges(coarse);
    spk_free(c.stamp);
    spk_free(c.slot);
    if (status != SPK_OK)
        part_level_fini(coarse);
    return status;
}
