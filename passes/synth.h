/* Synthetic weights: a network of a wanted firing rate, for planning before training.
 *
 * Weights are drawn at random, batch norms are set layer by layer from what reaches them when an
 * engine runs some images, so that every spiking layer behind a batch norm fires at the wanted
 * mean rate (over images, steps, positions and channels), and so that the neurons of an attention,
 * which have none, do too. What is set follows from the graph, not from names.                   */
#ifndef SPIKEC_PASSES_SYNTH_H
#define SPIKEC_PASSES_SYNTH_H

#include "ir/engine.h"
#include "ir/ir.h"
#include "support/diag.h"
#include "support/pool.h"
#include "support/progress.h"

/* Everything is borrowed; pool, diags and progress may be NULL. */
struct synth_options {
    double rate; /* wanted, in (0, 1) */
    uint64_t seed;
    const struct engine_vtable *engine; /* one with a walk */
    const struct engine_input *input;   /* the images, at least one */
    struct pool *pool;
    struct diag_list *diags;
    const struct progress *progress;
};

/* By what the rate of a spiking layer is set. */
enum synth_means {
    SYNTH_BATCHNORM, /* the batch norms between it and the layers before */
    SYNTH_ATTENTION, /* the batch norms of q, k and v of the attention that feeds it */
    SYNTH_NONE       /* nothing in front of it could be set: fires as it does */
};
const char *synth_means_name(enum synth_means m); /* "batchnorm", "attention", "none" */

struct synth_layer {
    uint32_t node; /* an IR_OP_NEURON */
    enum synth_means means;
    double rate; /* reached */
};

struct synth_result {
    uint32_t n_layers, n_nodes;
    struct synth_layer *layer; /* every spiking layer, in node order */
    double **channel_rate;     /* [n_nodes]: of neurons and recorded values [channels], else NULL */
};
/* A zero-initialised result is allowed. */
void synth_result_fini(struct synth_result *r);

/* Gives every param of a MODEL module that batch norms, projections and read-outs use data (owned
 * by the module; what it had before is not looked at) and tells the rates reached. Warns of layers
 * that are more than a tenth of the rate away from it. The same module, images, seed and rate give
 * the same data at any number of threads. *out is set only on SPK_OK.                            */
spk_status synth_weights(struct ir_module *m, const struct synth_options *o,
                         struct synth_result *out) SPK_CHECKED;

/* Synthetic images for the input of a module.
 * Still images: sums of random fields of equal variance in every octave of scale, that is a power
 * spectrum that falls with the square of the frequency as in natural images (Field 1987), channels
 * correlated by 0.9, each image of mean 0 and variance 1 as after normalisation. Event frames: the
 * same field drifts over the sensor; where its change from frame to frame passes a threshold, as in
 * an event camera, there is an event, in even channels for brighter, in odd ones for darker; the
 * threshold lets one value in ten have events.                                                  */
struct synth_images {
    struct engine_input input; /* borrows data */
    float *data;
};
void synth_images_fini(struct synth_images *s); /* a zero-initialised one is allowed */
/* n 0: as many as give every layer enough to measure, fewer the larger the network. */
spk_status synth_images_make(const struct ir_module *m, uint32_t n, uint64_t seed,
                             struct diag_list *diags, struct synth_images *out) SPK_CHECKED;

#endif
