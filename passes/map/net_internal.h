/* What net.c, net_neuron.c, net_attention.c and neuron_split.c share. */
#ifndef SPIKEC_PASSES_MAP_NET_INTERNAL_H
#define SPIKEC_PASSES_MAP_NET_INTERNAL_H

#include "passes/map/net.h"

/* A source of a projection that is built later: feedback. */
struct net_feedback {
    uint32_t proj, source, node;
};

struct net_builder {
    struct map_net *net;
    struct diag_list *diags;
    const struct map_rate *node_rate;
    uint32_t *pop_of; /* node -> population, IR_NONE */
    VEC(struct net_feedback) feedbacks;
};

struct u32_vec VEC_FIELDS(uint32_t);

bool net_fixed(const struct net_builder *b);
/* Shift of a weight with exponent 0 into the membrane. */
uint8_t net_unit_shift(const struct tgt *t);
struct map_pop net_pop_default(const char *name, enum img_layer_kind kind, uint32_t node);
/* A stateless threshold unit: fires when its current reaches `vth`. On hard-wired neurons the
 * strongest leak makes what is left of a small membrane zero after one step. */
void net_gate_program(const struct net_builder *b, struct map_pop *p, int32_t vth);
SPK_CHECKED spk_status net_push_pop(struct net_builder *b, const struct map_pop *p, uint32_t *out);
/* Adds an incoming projection to population proj->target, which must be the newest one. */
SPK_CHECKED spk_status net_push_proj(struct net_builder *b, const struct map_proj *proj,
                                     const uint32_t *sources, uint32_t n_sources);
/* The same with lags; a population IR_NONE is named later by b->feedbacks. */
SPK_CHECKED spk_status net_push_sources(struct net_builder *b, const struct map_proj *proj,
                                        const struct map_source *sources, uint32_t n_sources);
/* net_neuron.c: the neurons of node `id`, with their projections; ties feedbacks to their sources
 * when all populations are there. */
SPK_CHECKED spk_status net_neuron(struct net_builder *b, uint32_t id);
SPK_CHECKED spk_status net_close_feedbacks(struct net_builder *b);
struct map_proj net_proj_default(uint32_t target);
/* 1x1 patterns see the source's positions in the target's own geometry. */
void net_view_as_target(const struct net_builder *b, struct map_proj *p);
/* Populations whose spikes sum to value `id`, looking through sums and reshapes; appended. */
SPK_CHECKED spk_status net_sources(struct net_builder *b, uint32_t id, struct u32_vec *out);

/* net_attention.c: the inner populations of an attention node by the net's lowering, and *p, the
 * population of the neuron behind it. */
SPK_CHECKED spk_status net_attention(struct net_builder *b, uint32_t neuron, uint32_t attention,
                                     struct map_pop *p);

#endif
