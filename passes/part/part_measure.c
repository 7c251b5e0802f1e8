/* What a partition costs, counted from the graph alone; and the graph between its parts.
 *
 * Shares nothing with the search, which keeps its own counters: a wrong counter there cannot hide
 * here. Cost: linear in the synapses, plus sorting for the cluster graph. */
#include <stdlib.h>
#include <string.h>

#include "passes/part/part.h"
#include "support/alloc.h"
#include "support/vec.h"

void part_metrics_fini(struct part_metrics *m)
{
    spk_free(m->core);
    memset(m, 0, sizeof *m);
}

static void count_edges(const struct ir_cluster_graph *g, const uint32_t *part, uint32_t *stamp,
                        struct part_metrics *m)
{
    for (uint32_t e = 0; e < g->n_edges; e++) {
        const uint32_t home = part[g->source[e]];
        uint32_t remote = 0;
        for (uint64_t k = g->first[e]; k < g->first[e + 1]; k++) {
            const uint32_t p = part[g->dest[k]];
            m->core[p].synapses++;
            m->remote_events += p != home ? g->weight[e] : 0;
            if (stamp[p] == e + 1)
                continue;
            stamp[p] = e + 1;
            m->core[p].axons++;
            remote += p != home;
        }
        m->used_axons += g->first[e + 1] > g->first[e];
        m->connectivity += g->weight[e] * remote;
        m->cut_net += remote > 0 ? g->weight[e] : 0;
    }
}

static bool beyond(uint64_t have, uint64_t limit)
{
    return limit > 0 && have > limit;
}

static uint64_t parts_for(uint64_t total, uint64_t limit)
{
    return limit > 0 ? total / limit + (total % limit != 0) : 0;
}

static void sum_cores(const struct part_limits *limits, uint32_t n_parts, struct part_metrics *m)
{
    uint64_t neurons = 0, bound = 1;
    uint32_t hearing = 0;
    for (uint32_t p = 0; p < n_parts; p++) {
        const struct part_core *c = &m->core[p];
        neurons += c->neurons;
        m->synapses += c->synapses;
        m->total_axons += c->axons;
        m->max_neurons = c->neurons > m->max_neurons ? c->neurons : m->max_neurons;
        m->max_axons = c->axons > m->max_axons ? c->axons : m->max_axons;
        m->max_synapses = c->synapses > m->max_synapses ? c->synapses : m->max_synapses;
        m->violations += beyond(c->neurons, limits->neurons) || beyond(c->axons, limits->axons) ||
                         beyond(c->synapses, limits->synapses);
        if (c->axons > 0) {
            m->synaptic_reuse += (double)c->synapses / (double)c->axons;
            hearing++;
        }
    }
    m->synaptic_reuse /= hearing > 0 ? hearing : 1;
    const uint64_t each[] = {parts_for(neurons, limits->neurons),
                             parts_for(m->used_axons, limits->axons),
                             parts_for(m->synapses, limits->synapses)};
    for (size_t i = 0; i < sizeof each / sizeof *each; i++)
        bound = each[i] > bound ? each[i] : bound;
    m->cores_bound = n_parts > 0 ? (uint32_t)bound : 0;
}

spk_status part_measure(const struct ir_cluster_graph *g, const uint32_t *size,
                        const struct part_limits *limits, const uint32_t *part, uint32_t n_parts,
                        struct part_metrics *m)
{
    uint32_t *stamp;
    memset(m, 0, sizeof *m);
    SPK_TRY(spk_alloc_array(n_parts, sizeof *stamp, &stamp));
    spk_status status = spk_alloc_array(n_parts, sizeof *m->core, &m->core);
    if (status == SPK_OK) {
        for (uint32_t v = 0; v < g->n_clusters; v++)
            m->core[part[v]].neurons += size != NULL ? size[v] : 1;
        count_edges(g, part, stamp, m);
        sum_cores(limits, n_parts, m);
    }
    spk_free(stamp);
    return status;
}

/* ---- cluster graph ---- */

static int by_id(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

struct clustering {
    struct ir_cluster_graph *out;
    VEC(uint32_t) dest; /* lists of the edges, then the one at hand */
    uint32_t *slot;     /* [slots] edges by hash, UINT32_MAX: free */
    size_t slots;
    uint32_t *stamp;
};

/* The edge from `source` whose list stands behind the others: a new one, or weight on an old. */
static void add_cluster_edge(struct clustering *c, uint32_t source, size_t n, double weight)
{
    struct ir_cluster_graph *g = c->out;
    const uint32_t *list = c->dest.data + (c->dest.len - n);
    uint64_t hash = source * UINT64_C(0x9e3779b97f4a7c15);
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ hash >> 29 ^ list[i]) * UINT64_C(0xbf58476d1ce4e5b9);
    for (size_t i = (hash >> 20) & (c->slots - 1);; i = (i + 1) & (c->slots - 1)) {
        const uint32_t t = c->slot[i];
        if (t == UINT32_MAX) {
            c->slot[i] = g->n_edges;
            g->source[g->n_edges] = source;
            g->weight[g->n_edges] = weight;
            g->first[++g->n_edges] = c->dest.len;
            return;
        }
        if (g->source[t] == source && g->first[t + 1] - g->first[t] == n &&
            memcmp(c->dest.data + g->first[t], list, n * sizeof *list) == 0) {
            g->weight[t] += weight;
            c->dest.len -= n;
            return;
        }
    }
}

static spk_status cluster_edges(struct clustering *c, const struct ir_cluster_graph *graph,
                                const uint32_t *part)
{
    for (uint32_t e = 0; e < graph->n_edges; e++) {
        const uint32_t home = part[graph->source[e]];
        size_t n = 0;
        for (uint64_t k = graph->first[e]; k < graph->first[e + 1]; k++) {
            const uint32_t p = part[graph->dest[k]];
            if (p == home || c->stamp[p] == e + 1)
                continue;
            c->stamp[p] = e + 1;
            SPK_TRY(vec_push(&c->dest, p));
            n++;
        }
        if (n == 0)
            continue;
        qsort(c->dest.data + (c->dest.len - n), n, sizeof *c->dest.data, by_id);
        add_cluster_edge(c, home, n, graph->weight[e]);
    }
    return SPK_OK;
}

spk_status part_cluster_graph(const struct ir_cluster_graph *graph, const uint32_t *part,
                              uint32_t n_parts, struct ir_cluster_graph *out)
{
    struct clustering c = {.out = out, .slots = 16};
    while (c.slots < 2 * (size_t)graph->n_edges + 2)
        c.slots *= 2;
    memset(out, 0, sizeof *out);
    out->n_clusters = n_parts;
    spk_status status = spk_alloc_array_raw(graph->n_edges, sizeof *out->source, &out->source);
    if (status == SPK_OK)
        status = spk_alloc_array_raw(graph->n_edges, sizeof *out->weight, &out->weight);
    if (status == SPK_OK)
        status = spk_alloc_array((size_t)graph->n_edges + 1, sizeof *out->first, &out->first);
    if (status == SPK_OK)
        status = spk_alloc_array_raw(c.slots, sizeof *c.slot, &c.slot);
    if (status == SPK_OK)
        status = spk_alloc_array(n_parts, sizeof *c.stamp, &c.stamp);
    if (status == SPK_OK) {
        memset(c.slot, 0xff, c.slots * sizeof *c.slot);
        status = cluster_edges(&c, graph, part);
    }
    out->dest = c.dest.data;
    spk_free(c.slot);
    spk_free(c.stamp);
    if (status != SPK_OK)
        ir_cluster_graph_fini(out);
    return status;
}
