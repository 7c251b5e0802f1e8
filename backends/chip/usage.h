/* What each core and group of an emitted image uses of the target's resources, counted from the
 * tables. */
#ifndef SPIKEC_BACKENDS_CHIP_USAGE_H
#define SPIKEC_BACKENDS_CHIP_USAGE_H

#include "ir/image.h"
#include "ir/target.h"

struct chip_usage {
    bool engine; /* an attention engine: synapse_bits is its memory, in use */
    uint64_t neurons, in_axons, out_axons, synapse_bits, synapses, configs;
};

/* out_core: [im->n_cores]; out_group: [im->n_groups] or NULL, the same by the groups whose
 * compartments, axons and blocks they are (configurations, which groups share, left out).
 * out_axons in slots; synapses: stored weights, shared ones once per group. */
SPK_CHECKED spk_status chip_usage_count(const struct image *im, const struct tgt *target,
                                        struct chip_usage *out_core, struct chip_usage *out_group);

/* Bits of a content with `delay_bits` per synapse in the target's format: a block whose rows are
 * all one run from offset 0 is dense; else each synapse has an index wide enough for the block's
 * last target. Convolution contents store each kernel row set once, dense. */
uint64_t chip_content_bits(const struct image *im, const struct tgt *target, uint32_t content,
                           uint32_t weight_bits, uint32_t delay_bits, uint64_t *out_synapses);

#endif
