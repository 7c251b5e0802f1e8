/* Fan-in splitting: neurons with more inputs than a core has axons get partial-sum neurons
 * ("unrolling" of SpiNeMap, here as a tree instead of a chain: a chain adds a step per partial sum,
 * a tree one per level).
 *
 * A neuron of F inputs and c the axons of a core gets k = ceil(F / c) partial sums of runs of its
 * inputs in the order of their ids, input i in run floor(i k / F); where k exceeds c, the partial
 * sums are summed likewise. Cost: linear in the synapses. */
#include <string.h>

#include "passes/part/part.h"
#include "support/alloc.h"
#include "support/checked.h"

#define UNSPLIT UINT32_MAX

void part_split_fini(struct part_split *split)
{
    ir_cluster_graph_fini(&split->graph);
    spk_free(split->size);
    memset(split, 0, sizeof *split);
}

struct splitting {
    const struct ir_cluster_graph *old;
    struct part_split *out;
    uint32_t most;    /* inputs of a neuron */
    uint32_t *fan_in; /* [old n] */
    uint32_t *added;  /* [old n] first partial sum, or UNSPLIT */
    uint32_t *next;   /* [old n] inputs seen so far */
    double *weight;   /* [n_added] largest weight of the inputs */
};

static uint32_t runs_of(const struct splitting *s, uint32_t inputs)
{
    return inputs / s->most + (inputs % s->most != 0);
}

/* Numbers the partial sums: those of a neuron level by level. */
static spk_status plan(struct splitting *s, struct diag_list *diags)
{
    const struct ir_cluster_graph *g = s->old;
    uint32_t total = g->n_clusters;
    SPK_TRY(spk_alloc_array_raw(g->n_clusters, sizeof *s->added, &s->added));
    for (uint32_t v = 0; v < g->n_clusters; v++) {
        const uint32_t first = total;
        uint32_t levels = 0;
        for (uint32_t inputs = s->fan_in[v]; inputs > s->most; levels++) {
            inputs = runs_of(s, inputs);
            if (!checked_add_u32(total, inputs, &total) || total > INT32_MAX)
                return diag_nofit(diags, spk_span_none, "E0612",
                                  "splitting fan-in at %u inputs takes more than %d neurons",
                                  s->most, INT32_MAX);
        }
        s->added[v] = levels > 0 ? first : UNSPLIT;
        s->out->n_split += levels > 0;
        s->out->levels = levels > s->out->levels ? levels : s->out->levels;
    }
    s->out->n_added = total - g->n_clusters;
    return SPK_OK;
}

static spk_status alloc_graph(struct splitting *s)
{
    const struct ir_cluster_graph *g = s->old;
    struct ir_cluster_graph *out = &s->out->graph;
    const uint32_t added = s->out->n_added;
    uint32_t edges, n;
    size_t pins;
    if (!checked_add_u32(g->n_edges, added, &edges) || !checked_add_u32(g->n_clusters, added, &n) ||
        !checked_add_size(g->first[g->n_edges], added, &pins))
        return SPK_ERR_NOMEM;
    SPK_TRY(spk_alloc_array_raw(edges, sizeof *out->source, &out->source));
    SPK_TRY(spk_alloc_array_raw(edges, sizeof *out->weight, &out->weight));
    SPK_TRY(spk_alloc_array((size_t)edges + 1, sizeof *out->first, &out->first));
    SPK_TRY(spk_alloc_array_raw(pins, sizeof *out->dest, &out->dest));
    SPK_TRY(spk_alloc_array_raw(n, sizeof *s->out->size, &s->out->size));
    SPK_TRY(spk_alloc_array(g->n_clusters, sizeof *s->next, &s->next));
    SPK_TRY(spk_alloc_array(added, sizeof *s->weight, &s->weight));
    out->n_edges = edges;
    out->n_clusters = n;
    return SPK_OK;
}

/* The run that input i of `inputs` belongs to. */
static uint32_t run_of(const struct splitting *s, uint32_t i, uint32_t inputs)
{
    return (uint32_t)((uint64_t)i * runs_of(s, inputs) / inputs);
}

static void hear(struct splitting *s, uint32_t id, double weight)
{
    double *most = &s->weight[id - s->old->n_clusters];
    *most = weight > *most ? weight : *most;
}

static void copy_edges(struct splitting *s)
{
    const struct ir_cluster_graph *g = s->old;
    struct ir_cluster_graph *out = &s->out->graph;
    for (uint32_t e = 0; e < g->n_edges; e++) {
        out->source[e] = g->source[e];
        out->weight[e] = g->weight[e];
        out->first[e + 1] = g->first[e + 1];
        for (uint64_t k = g->first[e]; k < g->first[e + 1]; k++) {
            const uint32_t v = g->dest[k];
            out->dest[k] = v;
            if (s->added[v] == UNSPLIT)
                continue;
            out->dest[k] = s->added[v] + run_of(s, s->next[v]++, s->fan_in[v]);
            hear(s, out->dest[k], g->weight[e]);
        }
    }
}

/* The axons of the partial sums of v: to those of the next level, at last to v. */
static void add_edges(struct splitting *s, uint32_t v)
{
    const struct ir_cluster_graph *g = s->old;
    struct ir_cluster_graph *out = &s->out->graph;
    uint32_t id = s->added[v], n = runs_of(s, s->fan_in[v]);
    for (bool last = false; !last;) {
        last = n <= s->most;
        for (uint32_t i = 0; i < n; i++) {
            const uint32_t from = id + i, to = last ? v : id + n + run_of(s, i, n);
            const uint32_t e = g->n_edges + (from - g->n_clusters);
            out->source[e] = from;
            out->weight[e] = s->weight[from - g->n_clusters];
            out->dest[out->first[e]] = to;
            out->first[e + 1] = out->first[e] + 1;
            if (!last)
                hear(s, to, out->weight[e]);
        }
        id += n;
        n = runs_of(s, n);
    }
}

static spk_status split_all(struct splitting *s, const uint32_t *size, struct diag_list *diags)
{
    const struct ir_cluster_graph *g = s->old;
    SPK_TRY(plan(s, diags));
    if (s->out->n_added == 0)
        return SPK_OK;
    SPK_TRY(alloc_graph(s));
    for (uint32_t v = 0; v < s->out->graph.n_clusters; v++)
        s->out->size[v] = v < g->n_clusters && size != NULL ? size[v] : 1;
    copy_edges(s);
    for (uint32_t v = 0; v < g->n_clusters; v++)
        if (s->added[v] != UNSPLIT)
            add_edges(s, v);
    return SPK_OK;
}

spk_status part_split_fan_in(const struct ir_cluster_graph *graph, const uint32_t *size,
                             const struct part_limits *limits, struct diag_list *diags,
                             struct part_split *out)
{
    struct splitting s = {.old = graph, .out = out};
    uint64_t most = limits->axons > 0 ? limits->axons : UINT64_MAX;
    memset(out, 0, sizeof *out);
    if (limits->synapses > 0 && limits->synapses < most)
        most = limits->synapses;
    s.most = most < UINT32_MAX ? (uint32_t)most : UINT32_MAX;
    SPK_TRY(spk_alloc_array(graph->n_clusters, sizeof *s.fan_in, &s.fan_in));
    for (uint64_t k = 0; graph->n_edges > 0 && k < graph->first[graph->n_edges]; k++)
        s.fan_in[graph->dest[k]]++;
    for (uint32_t v = 0; v < graph->n_clusters; v++)
        out->max_fan_in = s.fan_in[v] > out->max_fan_in ? s.fan_in[v] : out->max_fan_in;
    spk_status status = SPK_OK;
    if (out->max_fan_in > s.most && s.most < 2)
        status = diag_nofit(diags, spk_span_none, "E0613",
                            "a core that takes one input cannot sum partial sums; at least 2 axons "
                            "and synapses are needed");
    else if (out->max_fan_in > s.most)
        status = split_all(&s, size, diags);
    spk_free(s.fan_in);
    spk_free(s.added);
    spk_free(s.next);
    spk_free(s.weight);
    if (status != SPK_OK)
        part_split_fini(out);
    return status;
}
