/* Graph of clusters: release, and the check of its invariants. Linear in the destinations. */
#include "ir/cluster_graph.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "support/alloc.h"

void ir_cluster_graph_fini(struct ir_cluster_graph *graph)
{
    spk_free(graph->source);
    spk_free(graph->weight);
    spk_free(graph->first);
    spk_free(graph->dest);
    memset(graph, 0, sizeof *graph);
}

static bool edge_is_sound(const struct ir_cluster_graph *g, uint32_t e, uint32_t *stamp)
{
    if (g->source[e] >= g->n_clusters || !isfinite(g->weight[e]) || g->weight[e] < 0 ||
        g->first[e] > g->first[e + 1])
        return false;
    for (uint64_t k = g->first[e]; k < g->first[e + 1]; k++) {
        const uint32_t d = g->dest[k];
        if (d >= g->n_clusters || stamp[d] == e)
            return false;
        stamp[d] = e;
    }
    return true;
}

spk_status ir_cluster_graph_check(const struct ir_cluster_graph *graph)
{
    uint32_t *stamp;
    bool sound = graph->n_edges == 0 || graph->first[0] == 0;
    SPK_TRY(spk_alloc_array_raw(graph->n_clusters, sizeof *stamp, &stamp));
    memset(stamp, 0xff, graph->n_clusters * sizeof *stamp);
    for (uint32_t e = 0; e < graph->n_edges && sound; e++)
        sound = edge_is_sound(graph, e, stamp);
    spk_free(stamp);
    return sound ? SPK_OK : SPK_ERR_INTERNAL;
}
