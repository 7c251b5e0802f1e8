/* What each core of an emitted image uses of the target's resources, counted from the tables. */
#ifndef SPIKEC_BACKENDS_CHIP_USAGE_H
#define SPIKEC_BACKENDS_CHIP_USAGE_H

#include "ir/image.h"
#include "ir/target.h"

struct chip_usage {
    bool engine; /* an attention engine: synapse_bits is its memory, in use */
    uint64_t neurons, in_axons, out_axons, synapse_bits, synapses, configs;
};

/* out: [im->n_cores]. out_axons in slots; synapses: stored weights, shared ones once per core. */
SPK_CHECKED spk_status chip_usage_count(const struct image *im, const struct tgt *target,
                                        struct chip_usage *out);

/* Bits of a content with `delay_bits` per synapse in the target's format: a block whose rows are
 * all one run from offset 0 is dense; else each synapse has an index wide enough for the block's
 * last target. Convolution contents store each kernel row set once, dense. */
uint64_t chip_content_bits(const struct image *im, const struct tgt *target, uint32_t content,
                           uint32_t delay_bits, uint64_t *out_synapses);

#endif
