/* What the files of the pass quantise that build the module share. */
#ifndef SPIKEC_PASSES_QUANTISE_INTERNAL_H
#define SPIKEC_PASSES_QUANTISE_INTERNAL_H

#include "passes/pass_list.h"
#include "passes/quantise.h"

struct quantise {
    struct quant_rows rows; /* of the neuron that is being built */
    struct rewrite rw;
    const struct pass_context *c;
    const struct tgt *t;
    const int64_t *options;
    bool calibrated;
    struct quant_stats stats; /* of the float module */
};

/* Data of param k of a source node, NULL where it has none. */
const float *quant_param_data(const struct ir_module *m, const struct ir_node *n, uint32_t k);
/* The value's name, or one made of its id; NULL when out of memory. */
const char *quant_label_of(struct quantise *q, uint32_t id);
/* Mean input per channel: the sum over the summands. */
spk_status quant_input_rates(struct quantise *q, const struct ir_node *proj, uint32_t channels,
                             double **out) SPK_CHECKED;
void quant_remark_layer(const struct quantise *q, const struct quant_layer *l, uint64_t weights);
/* Adds the integer projection with weights `data` (ownership moves). */
spk_status quant_add_projection(struct quantise *q, uint32_t proj, int8_t *data, uint8_t shift,
                                uint32_t *out) SPK_CHECKED;
/* Threshold, bias and neuron behind `current`. */
spk_status quant_finish_layer(struct quantise *q, uint32_t id, uint32_t current,
                              struct quant_layer *l) SPK_CHECKED;

/* quantise_sum.c: neuron `id` behind `add`, a sum of projections. */
spk_status quant_sum(struct quantise *q, uint32_t id, uint32_t add,
                     const struct quant_lif *lif) SPK_CHECKED;

#endif
