/* Walking an image synapse by synapse: what somebody who takes a network out of the tables needs,
 * whatever he makes of it. The image must have passed image_load.                              */
#ifndef SPIKEC_IR_IMAGE_WALK_H
#define SPIKEC_IR_IMAGE_WALK_H

#include "ir/image.h"

/* Where a compartment's neuron stands in its layer, channels as in the model; layer is IMG_NONE for
 * padding and teachers. */
struct img_neuron {
    uint32_t layer, channel, position;
};
/* Neuron of compartment `comp` of a core. */
struct img_neuron img_neuron_at(const struct image *im, uint32_t core, uint32_t comp);
/* channel * positions + position: the number of a neuron within its layer. */
uint32_t img_neuron_number(const struct image *im, const struct img_neuron *n);
/* Neurons of a layer. */
uint32_t img_layer_neurons(const struct image *im, uint32_t layer);

/* A synapse that a spike of the source reaches, zero weights and those onto padding included. */
struct img_synapse {
    uint32_t source;    /* layer; for an enable spike: the number of layers + the layer served */
    uint32_t neuron;    /* of the source (img_neuron_number); enable: 0 */
    uint32_t core;      /* of the target */
    uint32_t comp;      /* of the target */
    uint32_t axon;      /* global in-axon */
    int32_t weight;     /* in membrane units */
    uint8_t host;       /* 1: injected by host or embedded processor */
    uint32_t src_core;  /* core of the source; IMG_NONE where injected */
    uint32_t injection; /* row of injections, IMG_NONE where it is not injected */
};
typedef spk_status (*img_synapse_fn)(void *ctx, const struct img_synapse *s);

/* Calls fn for every synapse of the network between layers: out-axons of the cores in order, then
 * the injections in order. Errors: what fn returns; SPK_ERR_NOMEM. Cost: linear in synapses. */
spk_status img_walk_synapses(const struct image *im, img_synapse_fn fn, void *ctx) SPK_CHECKED;

#endif
