/* What the files of synth share. Internal to passes/synth*.c. */
#ifndef SPIKEC_PASSES_SYNTH_INTERNAL_H
#define SPIKEC_PASSES_SYNTH_INTERNAL_H

#include "passes/synth.h"

/* Streams of the generator: one domain each, numbered inside it. */
#define SYNTH_STREAM_WEIGHTS ((uint64_t)1 << 32)
#define SYNTH_STREAM_NORMS ((uint64_t)2 << 32)
#define SYNTH_STREAM_IMAGES ((uint64_t)3 << 32)

/* A spiking layer and what stands between it and the layers before. */
struct synth_group {
    uint32_t neuron;
    enum synth_means means;
    uint32_t *norm; /* BATCHNORM: the batch norms that are this layer's to set */
    uint32_t n_norms;
    uint32_t *path; /* nodes to compute again when they change, ascending, neuron last */
    uint32_t n_path;
    /* ATTENTION: groups of q, k, v, or IR_NONE where an operand cannot be set. */
    uint32_t operand[3];
    /* State of the search: what is added to every bias of its norms, in units of `unit`. */
    double shift;
    double unit;   /* input that makes a resting neuron fire at once */
    double target; /* rate that the norms were last set for */
};

/* synth_layers.c: which layer is set by what, and how long values are needed. */
struct synth_plan {
    const struct ir_module *m;
    uint32_t n_groups;
    struct synth_group *group; /* in node order */
    uint32_t *group_of;        /* [n_nodes]: of a neuron or a norm, or IR_NONE */
    uint32_t *needed_until;    /* [n_nodes]: last node whose setting reads the value */
};
spk_status synth_plan_init(const struct ir_module *m, struct synth_plan *p) SPK_CHECKED;
void synth_plan_fini(struct synth_plan *p);

/* synth_params.c: data for all params: weights normal with variance 1 / fan-in, biases of
 * projections likewise, batch norms neutral. data[i]: writable data of param i.                 */
spk_status synth_params_fill(struct ir_module *m, uint64_t seed, struct pool *pool,
                             float ***out_data) SPK_CHECKED;

/* The walk and what is being set. */
struct synth {
    const struct synth_options *o;
    struct ir_module *m;
    struct synth_plan plan;
    float **param;
    const struct engine_walk_vtable *walk;
    struct engine_walk *at;
    double *mean, *variance; /* scratch, [widest value] */
};

/* synth_norms.c. Statistics of a batch norm from its operand's values; then the norm is computed.
 */
spk_status synth_norm_measure(struct synth *s, uint32_t node) SPK_CHECKED;
/* Mean rate of a neuron's value. */
spk_status synth_rate(struct synth *s, uint32_t neuron, double *out) SPK_CHECKED;
/* How the biases of a layer differ from channel to channel: contrast times the unit, up in one half
 * of the channels, down in the other (HALVES), or by a normal deviate (SPREAD), which two layers of
 * the same seed share. */
enum synth_pattern { SYNTH_HALVES, SYNTH_SPREAD };
struct synth_contrast {
    enum synth_pattern pattern;
    double amount;
    uint64_t seed;
};
/* Finds the shift at which the layer fires at `rate`, and leaves all its values computed. */
spk_status synth_norm_solve(struct synth *s, struct synth_group *g, double rate,
                            const struct synth_contrast *contrast) SPK_CHECKED;

/* synth_attention.c: sets q, k and v for the rate of the neurons behind an attention. */
spk_status synth_attention_solve(struct synth *s, struct synth_group *g) SPK_CHECKED;

#endif
