/* Parts of the pass quantise; nobody else includes this. The arithmetic is docs/integers.md.
 *
 * Units: "model" means the membrane of the float model, "membrane" the integers of the target;
 * a scale sigma is membrane units per model unit.                                             */
#ifndef SPIKEC_PASSES_QUANTISE_H
#define SPIKEC_PASSES_QUANTISE_H

#include "passes/pass.h"
#include "passes/rewrite.h"

#define QUANT_MAX_VTH (1 << 20) /* sums then stay far from the width of the state */

/* A leaky integrator with its reset value moved to 0: u <- current_retain*u + gain*input + offset,
 * v <- retain*v + u, fire at theta, v <- 0 or v <- v - theta.                                 */
struct quant_lif {
    double retain, gain, offset, theta;
    bool soft_reset, strict; /* strict: fires on > */
    uint16_t decay, current_keep;
};
/* Constants of neuron node `id` with `program` (its own, or that of a channel). Refused
 * (SPK_ERR_NOFIT, naming the neuron): programs that are no leaky integrators, initial values other
 * than the reset value, thresholds not above it, leaks that the target's decay constant cannot
 * express.                                      */
spk_status quant_lif_of(const struct ir_module *m, uint32_t id, const struct ir_neuron *program,
                        const struct tgt *t, struct diag_list *d,
                        struct quant_lif *out) SPK_CHECKED;

/* Neurons whose constants are params (quantise_rows.c). Gains, thresholds and constant inputs that
 * differ between channels become factors of the rows of the weights and shares of the bias:
 * W'[c] = factor[c] W[c], b'[c] = factor[c] b[c] + add[c]; all channels then have one program. */
struct quant_rows {
    uint32_t n;           /* channels; 0: the program has constants only */
    double *factor, *add; /* heap */
    bool adds;            /* some add is not 0 */
};
/* The common constants of neuron node `id`, and its rows. Refused besides: leaks, currents and
 * kinds of reset that differ, params that differ between the neurons of a channel. */
spk_status quant_rows_of(const struct ir_module *m, uint32_t id, const struct tgt *t,
                         struct diag_list *d, struct quant_lif *out,
                         struct quant_rows *out_rows) SPK_CHECKED;
void quant_rows_fini(struct quant_rows *r);
/* Weights [out][per_out] and bias [out] with the rows applied, on the heap; the same arrays and no
 * copies where there are no rows. w and b may be NULL. */
struct quant_scaled {
    const float *w, *b;
    float *own_w, *own_b;
};
spk_status quant_rows_apply(const struct quant_rows *r, const float *w, const float *b,
                            uint32_t out, uint64_t per_out, struct quant_scaled *s) SPK_CHECKED;
void quant_scaled_fini(struct quant_scaled *s);

/* The threshold that fires like theta at scale sigma where sigma * theta is meant to be reached
 * exactly: ceil(x) for >=, the next integer above for >; with hard-wired neurons the largest
 * (or next) 64 k + 1. x = sigma * theta.                                                      */
int32_t quant_exact_threshold(const struct tgt_arith *a, double x, bool strict);

/* Unit of an attention current and threshold of the neuron behind it (section 4). */
spk_status quant_attention(const struct ir_node *attention, uint32_t timesteps,
                           const struct quant_lif *lif, const struct tgt *t, const char *name,
                           struct diag_list *d, int32_t *out_unit, int32_t *out_vth) SPK_CHECKED;

/* One projection and its neuron. */
struct quant_layer {
    /* in */
    const char *name;
    const float *w; /* [out][in][taps], or NULL: shape only */
    const float *b; /* [out] or NULL: no bias */
    uint32_t out, in;
    uint64_t taps;
    const double *rate; /* [in]: mean input per step */
    const struct quant_lif *lif;
    const struct tgt_arith *arith;
    uint32_t weight_bits;    /* 0: those of arith */
    uint32_t max_thresholds; /* of hard-wired neurons */
    bool clip, correct;      /* search clipping scales; correct the bias for the mean error */
    bool has_bias;
    struct pool *pool;
    /* out; arrays on the heap, NULL where w is */
    int8_t *q;           /* [out][in][taps] */
    int32_t *vth, *bias; /* [out]; bias only if has_bias */
    double *sigma;       /* [out] */
    uint8_t shift;
    /* report */
    uint32_t thresholds; /* distinct ones */
    uint64_t clipped;    /* weights beyond the largest integer */
    double worst_error;  /* largest weight error over theta, clipped ones excepted */
};
/* Chooses scales and computes the integers. After a failure nothing is left on the heap. */
spk_status quant_layer_run(struct quant_layer *l, struct diag_list *d) SPK_CHECKED;
/* Frees the out arrays that were not taken (taken: set to NULL). */
void quant_layer_fini(struct quant_layer *l);

/* Several projections of one neuron as one layer: the columns of the matrix are inputs and taps of
 * the first, then of the second, …; their biases are added (quantise_joint.c). */
struct quant_joint {
    float *w, *b; /* [out][in], [out]; w NULL where a projection has no data */
    double *rate; /* [in], zero */
    uint32_t in, n;
    uint64_t *columns; /* [n] of each projection */
    bool has_bias;
};
/* `sum`: an add of projections. On error, too, quant_joint_fini releases what there is. */
spk_status quant_joint_create(const struct ir_module *m, const struct ir_node *sum,
                              struct diag_list *d, struct quant_joint *out) SPK_CHECKED;
void quant_joint_fini(struct quant_joint *j);
/* The integer weights of projection k out of those of the joint layer; NULL where it has none. */
spk_status quant_joint_part(const struct quant_joint *j, const struct quant_layer *l, uint32_t k,
                            int8_t **out) SPK_CHECKED;

/* Chooses at most max_values of n_values candidates so that the sum over channels of the smallest
 * cost[channel][value] among the chosen is small; at least one is chosen, and each channel can
 * use one of them (cost below HUGE_VAL) if value 0 is possible for every channel. key [channels]
 * orders the channels; channels with similar keys should like similar values.                 */
spk_status quant_cluster(const double *cost, const double *key, uint32_t channels,
                         uint32_t n_values, uint32_t max_values, bool *out_chosen) SPK_CHECKED;
/* Rounds a bias to what the target can carry: any integer of the state, or qf*2^7 + qc*2^14. */
int32_t quant_bias_round(const struct tgt_arith *a, double bias);

/* The host's image encoder (section 5). */
struct quant_encoder {
    /* in */
    const char *name;
    const float *w, *b; /* [out][per_out]; b may be NULL; w NULL: shape only */
    uint32_t out;
    uint64_t per_out;
    double x_max;       /* largest |x| that must not be clipped */
    double current_max; /* largest |gain * (W x + b) + offset|, for soft resets only */
    const struct quant_lif *lif;
    const struct tgt_arith *arith;
    /* out; heap, NULL where w is */
    int16_t *w_q;
    int32_t *b_q, *vth; /* [out] */
    double sigma;
    uint8_t x_shift, out_shift, m_exp;
    int32_t m_max;
};
spk_status quant_encoder_run(struct quant_encoder *e, struct diag_list *d) SPK_CHECKED;
void quant_encoder_fini(struct quant_encoder *e);

/* What a run over the calibration images measured, per node. */
struct quant_stats {
    const struct ir_module *m;
    uint32_t n_images;
    double *abs_max;      /* [n_nodes] */
    uint64_t *wraps;      /* [n_nodes] */
    double **channel_sum; /* [n_nodes][channels] */
};
/* Runs m with c->engine on at most max_images calibration images; out is released with
 * quant_stats_fini (also after a failure).                                                    */
spk_status quant_stats_run(const struct pass_context *c, const struct ir_module *m,
                           int64_t max_images, struct quant_stats *out) SPK_CHECKED;
void quant_stats_fini(struct quant_stats *s);
/* Mean of channel `channel` of a value over images, steps and positions. */
double quant_stats_mean(const struct quant_stats *s, uint32_t node, uint32_t channel);

#endif
