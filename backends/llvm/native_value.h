/* Values of the native engine as its callers see them. */
#ifndef SPIKEC_BACKENDS_LLVM_VALUE_H
#define SPIKEC_BACKENDS_LLVM_VALUE_H

#include "backends/llvm/native_plan.h"
#include "ir/engine.h"

/* Whether a recorded value of this type is i32. */
bool nat_record_is_i32(const struct ir_type *t);
uint64_t nat_record_bytes(const struct ir_type *t);
/* To the golden layout, [T, axes...], u8 or i32. */
void nat_export(const struct nat_shape *s, const struct ir_type *t, const void *value, void *out);
/* Spikes from the golden layout to bitmaps; out is all zero. */
void nat_import(const struct nat_shape *s, const struct ir_type *t, const uint8_t *golden,
                void *out);

/* Statistics of one image, merged in image order; arrays [n_nodes]. */
struct nat_tally {
    double *sum, *min, *max;
    uint64_t *count; /* [n_nodes][NAT_COUNTERS] */
    double **channel_sum;
    bool wanted, extremes;
};
spk_status nat_tally_init(struct nat_tally *t, const struct engine_stats *s,
                          const struct ir_module *m) SPK_CHECKED;
void nat_tally_fini(struct nat_tally *t, uint32_t n_nodes);
/* Takes the statistics of node id's value. */
spk_status nat_tally_value(struct nat_tally *t, const struct nat_plan *p, uint32_t id,
                           const void *value) SPK_CHECKED;
/* Adds an image to the caller's arrays and clears its own. */
void nat_tally_merge(struct nat_tally *t, const struct engine_stats *s, const struct nat_plan *p);

#endif
