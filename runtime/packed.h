/* The packed engine: the numbers of the reference engine, as fast as the additions allow.
 *
 * Spikes are bits, residual streams are bit planes of small counts, and a projection adds one
 * weight row per event (docs/engines.md has the algorithm and what was measured). MODEL and LOWERED
 * modules are computed in float32, QUANTISED ones in the integers of docs/integers.md.
 *
 * Contract: that of the reference engine (runtime/reference.h), with these differences.
 *   - Quantised modules: every value, feature, logit and count of wraps is that of the reference.
 *   - Float modules: the sums of a projection are taken in another order, which depends on the
 * module and its input, not on the path of kernels or the number of threads. Where the sums are
 * exact, so are all values.
 *   - Currents of a projection that goes straight into a neuron are never stored: `sum` of such a
 *     value stays 0, unless the statistics ask for abs_max, min or max.
 *   - No walk.
 *   - Weights are re-laid when a layer first runs and kept up to PK_KEEP_BYTES; pages of a mapped
 *     weight file are given back then.                                                        */
#ifndef SPIKEC_RUNTIME_PACKED_H
#define SPIKEC_RUNTIME_PACKED_H

#include "ir/engine.h"

extern const struct engine_vtable rt_packed_engine;

enum pk_path { PK_PATH_BEST, PK_PATH_PORTABLE, PK_PATH_AVX2, PK_PATH_AVX512, PK_PATH_COUNT };

/* How time steps are summed: PK_SHARE_AUTO chooses per layer by what it saves, PK_SHARE_NEVER
 * adds every event, PK_SHARE_ALWAYS forms sums of events that several steps have in common.    */
enum pk_share { PK_SHARE_AUTO, PK_SHARE_NEVER, PK_SHARE_ALWAYS };

struct pk_options {
    enum pk_path path;
    enum pk_share share;
    uint64_t keep_bytes; /* of re-laid weights; 0: PK_KEEP_BYTES */
    uint32_t tile_bytes; /* of weights that are added for all positions in turn; 0: PK_TILE_BYTES */
};

/* As create of the vtable, with the path of kernels and the rest forced. SPK_ERR_USAGE where this
 * machine, or this build, has no such path. */
spk_status pk_create(const struct ir_module *m, const struct pk_options *options,
                     struct diag_list *d, struct engine **out) SPK_CHECKED;
bool pk_path_available(enum pk_path path);
const char *pk_path_name(enum pk_path path);

/* What a projection took: time of the fastest image, additions of the first. */
struct pk_layer {
    const char *name; /* of the neuron behind it, else of the projection, else "" */
    uint32_t node;
    const char *kernel; /* what summed it: "events", "shared", "reference" */
    uint64_t events;    /* events under the windows x output channels: additions of a plain sum */
    uint64_t additions; /* done: less where time steps share sums */
    double density;     /* events per element of its input */
    uint64_t nanoseconds;
};
/* Measures every image from now on; images must then run one at a time. */
void pk_profile(struct engine *e);
/* In node order; the array belongs to the engine. */
const struct pk_layer *pk_layers(const struct engine *e, uint32_t *out_n);
/* All other nodes: the fastest of each. */
uint64_t pk_other_nanoseconds(const struct engine *e);
const char *pk_kernels_name(const struct engine *e);

#endif
