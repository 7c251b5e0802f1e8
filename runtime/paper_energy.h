/* The energy figure of the Spikformer papers: arithmetic only, 45 nm.
 *
 *   E = 4.6 pJ * MACs on real numbers + 0.9 pJ * synaptic operations (SOPs)
 *
 * Of a module of stage MODEL. A projection of spikes or counts takes fr * T * MACs SOPs, fr the
 * mean of its input; one of real numbers T * MACs in float (the first convolution of a static
 * image, computed at every step as the papers count it). Attention takes
 * T * h * n * d * d * (min(fr_k, fr_v) + fr_q) SOPs whatever its order. The head, the linear layer
 * behind the mean, takes (channels + 1) * classes MACs once. What follows a mean over time alone
 * (the decoder of an autoencoder) is computed once, too, softmax attention with 2 N^2 D MACs.  */
#ifndef SPIKEC_RUNTIME_PAPER_ENERGY_H
#define SPIKEC_RUNTIME_PAPER_ENERGY_H

#include "ir/ir.h"

#define PAPER_PJ_MAC 4.6
#define PAPER_PJ_SOP 0.9

/* One op, in node order, the head not included. Unknown figures are NaN. */
struct paper_op {
    char *name; /* of its weight without ".weight"; attention: its own or its user's name */
    uint32_t node;
    uint64_t macs;         /* per step; attention: both products, k^T v first */
    uint32_t steps;        /* T */
    bool spike;            /* input is spikes or counts */
    double rate;           /* mean of the input; attention: of q */
    double rate_k, rate_v; /* attention only, else 0 */
    double sops;           /* 0 where the input is real */
};

struct paper_energy {
    uint32_t n_ops;
    struct paper_op *op;
    uint64_t macs_per_step; /* all ops, without the head */
    uint64_t macs_float;
    double sops, energy_mj; /* NaN where a rate is unknown */
    uint32_t first_unknown; /* node of the value whose rate is missing, or IR_NONE */
};

/* rate[i]: mean of value i over images, steps and elements; NaN where it is not known. Rates of
 * values that are only passed on (repeat, reshape, delay) or summed follow from their operands'. A
 * max-pooled value's rate does not: it needs a measurement. SPK_ERR_INTERNAL for other stages;
 * unknown rates are no error. paper_energy_fini frees the result (also after an error).        */
spk_status paper_energy_compute(const struct ir_module *m, const double *rate, struct diag_list *d,
                                struct paper_energy *out) SPK_CHECKED;
/* Multiply-accumulates of both products of softmax attention on q, k, v of this type, in one step:
 * 2 N^2 D. Exponentials and quotients of the softmax, h N^2 of each, are not in them.          */
uint64_t paper_softmax_macs(const struct ir_type *q);
void paper_energy_fini(struct paper_energy *p);

/* Mean of every value from engine_stats.sum of n_images images: rate[i] = sum / elements. */
void paper_energy_rates(const struct ir_module *m, const double *sum, uint64_t n_images,
                        double *out_rate);

#endif
