/* How far a partition is from what no mapper can beat, and how full its cores are. */
#ifndef SPIKEC_PASSES_MAP_BOUND_H
#define SPIKEC_PASSES_MAP_BOUND_H

#include "passes/map/map.h"

enum map_use { MAP_USE_NEURONS, MAP_USE_IN_AXONS, MAP_USE_OUT_AXONS, MAP_USE_SYNAPSE_BITS };
#define MAP_USES 4
const char *map_use_name(enum map_use use); /* "neurons", "in_axons", ... */

struct map_bound {
    uint64_t cores;          /* no partition of this network has fewer, cores shared or not */
    uint64_t unshared;       /* ... where no core is shared: every population rounded up */
    double weight[MAP_USES]; /* of the resources in the best bound: they add up to 1 */
};

/* From the network alone; shapes need not be set. */
SPK_CHECKED spk_status map_bound(const struct map_net *net, struct map_bound *out);

/* One resource over all cores, as shares of its limit (0 where the target states none). */
struct map_fill {
    double mean, most;
    uint64_t cores; /* where this resource is the fullest of the four */
};
void map_fill_of(const struct mapping *m, struct map_fill out[MAP_USES]);

#endif
