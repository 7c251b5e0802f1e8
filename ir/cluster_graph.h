/* A graph of clusters: what placement works on and what a .cg file holds.
 *
 * Clusters send spikes along edges; an edge (an axon) is a source, the spikes it carries per
 * inference, and the set of clusters that receive each of them. Flat arrays, nothing per pair. */
#ifndef SPIKEC_IR_CLUSTER_GRAPH_H
#define SPIKEC_IR_CLUSTER_GRAPH_H

#include <stdint.h>

#include "support/status.h"

struct ir_cluster_graph {
    uint32_t n_clusters, n_edges;
    uint32_t *source; /* [n_edges] */
    double *weight;   /* [n_edges], spikes per inference; finite, not negative */
    uint64_t *first;  /* [n_edges + 1]; destinations of edge e: dest[first[e] .. first[e + 1]) */
    uint32_t *dest;   /* distinct within an edge; the source itself is allowed, it costs nothing */
};

/* Frees the arrays; a zero-initialised graph is allowed. */
void ir_cluster_graph_fini(struct ir_cluster_graph *graph);

/* Whether offsets rise, ids are below n_clusters, destinations of an edge distinct and weights
 * finite and not negative: SPK_OK, SPK_ERR_INTERNAL, or SPK_ERR_NOMEM. */
SPK_CHECKED spk_status ir_cluster_graph_check(const struct ir_cluster_graph *graph);

#endif
