/* Cutting a network neuron by neuron (docs/mapping.md, section 3).
 *
 * Networks of plain vectors of neurons whose weights are mostly zero have no regular parts: here
 * the neurons go through the hypergraph partitioner (passes/part), a core for each, and every tile
 * knows which neurons it hears. Populations get an order of their neurons in which those of a core
 * follow each other (struct map_pop.order), projections a list of their synapses (MAP_CHAN_LIST).
 */
#ifndef SPIKEC_PASSES_MAP_NEURON_CUT_H
#define SPIKEC_PASSES_MAP_NEURON_CUT_H

#include "passes/map/map.h"

struct neuron_net {
    bool applies;               /* every population is a vector, all weights are there */
    const char *layer;          /* else: one that is none, or whose weights are not known */
    uint64_t synapses, weights; /* weights other than zero, and all that are stored */
};
struct neuron_net map_neuron_net(const struct map_net *net);
/* Whether it applies and takes no more than a few gigabytes; whether most weights are zero. */
bool map_neuron_net_is_small(const struct neuron_net *n);
bool map_neuron_net_is_sparse(const struct neuron_net *n);

/* Tiles, usage and cores of a mapping whose net was just built and applies. SPK_ERR_NOFIT where no
 * partition was found that respects every limit. */
SPK_CHECKED spk_status map_cut_neurons(struct mapping *m, const struct map_options *options,
                                       struct diag_list *diags);

/* map_flows_build of such a mapping (neuron_flows.c). */
SPK_CHECKED spk_status map_neuron_flows(const struct mapping *m, enum place_objective objective,
                                        struct ir_cluster_graph *out);

/* ---- projections with lists (neuron_axons.c) ---- */

SPK_CHECKED spk_status map_list_axons(const struct map_net *net, const struct map_tile *tile,
                                      struct map_axon axon, map_axon_fn fn, void *ctx);
SPK_CHECKED spk_status map_list_senders(const struct map_net *net, const struct map_axon *axon,
                                        map_sender_fn fn, void *ctx);
SPK_CHECKED spk_status map_list_pieces(const struct map_net *net, const struct map_tile *tile,
                                       const struct map_axon *axon, uint32_t channel,
                                       map_piece_fn fn, void *ctx);
/* In-axons and synaptic memory that one source takes of a tile's core: added. */
SPK_CHECKED spk_status map_list_usage(const struct map_net *net, const struct map_tile *tile,
                                      uint32_t proj, uint32_t source, struct map_usage *out);
/* Weight of the synapse from a channel at the axon's position to a channel of the tile. */
int8_t map_list_weight(const struct map_net *net, const struct map_axon *axon, uint32_t channel,
                       uint32_t target);

#endif
