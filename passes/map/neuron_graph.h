/* What the files of the cut by neurons share. */
#ifndef SPIKEC_PASSES_MAP_NEURON_GRAPH_H
#define SPIKEC_PASSES_MAP_NEURON_GRAPH_H

#include "passes/map/neuron_cut.h"
#include "passes/part/part.h"

/* Synapses of one source of a projection in the model's channels: source neuron position *
 * channels + channel reaches target[first[row] .. first[row + 1]), rising. */
struct neuron_links {
    uint32_t proj, source, rows;
    uint64_t *first;  /* [rows + 1] */
    uint32_t *target; /* channels of the projection's population */
};

/* Neurons are numbered by population; behind them, where frames of events come in, the host. */
struct neuron_graph {
    VEC(struct neuron_links) links; /* by projection, then source */
    uint32_t n;                     /* neurons */
    uint32_t *first;                /* [populations + 1] number of the first neuron */
    uint32_t *size;                 /* [clusters of graph] 1, the host's 0 */
    struct ir_cluster_graph graph;  /* an edge for every source neuron of every projection */
};
void neuron_graph_fini(struct neuron_graph *g);
/* neuron_graph.c: of a net to which the cut applies; its links first, then all else from them. */
SPK_CHECKED spk_status neuron_links_build(const struct map_net *net, struct neuron_graph *out);
SPK_CHECKED spk_status neuron_graph_build(const struct map_net *net, struct neuron_graph *g);

/* neuron_split.c: neurons that hear more than a core can hold get partial sums: populations
 * NAME.sum0, NAME.sum1, ... of as many graded neurons, each with a range of the inputs, that send
 * their sums on. Takes a step more; delays and starts follow. Changes nothing where all neurons
 * fit; SPK_ERR_NOFIT where the chip cannot do it. */
SPK_CHECKED spk_status neuron_split(struct map_net *net, struct neuron_graph *links,
                                    struct diag_list *diags);

/* The neurons of one population, and behind them one for all that they hear of others. */
struct neuron_part_graph {
    struct ir_cluster_graph graph;
    uint32_t *size; /* [clusters] 1, of the last 0 */
    uint32_t *part; /* [clusters] for the caller */
};
SPK_CHECKED spk_status neuron_part_graph_build(const struct map_net *net,
                                               const struct neuron_graph *all, uint32_t pop,
                                               struct neuron_part_graph *out);
void neuron_part_graph_fini(struct neuron_part_graph *g);

/* neuron_order.c: populations in the order of their cores, their tiles as cut, and the lists of all
 * projections, for neurons on cores part[..]. */
SPK_CHECKED spk_status neuron_order_set(struct map_net *net, const struct neuron_graph *g,
                                        const uint32_t *part);

#endif
