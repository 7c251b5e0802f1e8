/* Comparison of two records, and of outputs.
 *
 * Tensors are matched by name. What counts is every element of every neuron value once; sums of
 * spikes are compared as well, but into their own figures, since they follow from their summands.*/
#ifndef SPIKEC_RUNTIME_COMPARE_H
#define SPIKEC_RUNTIME_COMPARE_H

#include "runtime/record.h"

struct compare_layer {
    const char *name; /* of the expected record, which must outlive the result */
    bool neuron;
    uint64_t values, mismatches;
    uint64_t expected_sum, got_sum; /* spikes of both */
};

struct compare_mismatch {
    bool found;
    uint32_t image, layer, frame; /* layer: index into compare.layer */
    uint64_t index;               /* within the frame, golden layout */
    int32_t expected, got;
};

struct compare {
    uint32_t n_layers;
    struct compare_layer *layer;          /* in the order of the expected record */
    uint64_t values_compared, mismatches; /* neuron values */
    uint64_t sum_mismatches;              /* other values */
    struct compare_mismatch first;        /* lowest image, then layer, frame, index */
};

/* Compares n_images images from image expected_first and got_first on. A value of `expected` that
 * `got` lacks or has in another shape is an error; extra values of `got` are ignored. `neuron` is
 * taken from either side. SPK_OK also when values differ.                                      */
spk_status compare_records(const struct record *expected, uint32_t expected_first,
                           const struct record *got, uint32_t got_first, uint32_t n_images,
                           struct diag_list *d, struct compare *out) SPK_CHECKED;
void compare_fini(struct compare *c);
/* Adds the figures of `more` (later images of the same layers; image_offset is added to its first
 * mismatch): for runs that are compared in batches. SPK_ERR_INTERNAL when the layers differ.   */
spk_status compare_merge(struct compare *into, const struct compare *more,
                         uint32_t image_offset) SPK_CHECKED;

/* Share of equal values of a layer, and of all neuron values; 1 when there are none. */
double compare_agreement(uint64_t values, uint64_t mismatches);
/* The same for teacher-forced runs, from engine_stats.flips: values and flips of the neuron layers
 * of a module over n_images images.                                                            */
void compare_forced(const struct ir_module *m, const uint64_t *flips, uint64_t n_images,
                    uint64_t *out_values, uint64_t *out_flips);

/* Images whose logits differ in any class (bit pattern, or by more than tolerance if above 0). */
uint32_t compare_logits(const float *a, const float *b, uint32_t n_images, uint32_t classes,
                        float tolerance);
/* Index of the largest logit, the first of equals. */
uint32_t compare_argmax(const float *logits, uint32_t classes);
/* Number of images whose argmax is the label. */
uint32_t compare_top1(const float *logits, const uint32_t *labels, uint32_t n_images,
                      uint32_t classes);

#endif
