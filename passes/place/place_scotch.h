/* Scotch as a baseline placer. The only file pair that sees its header. */
#ifndef SPIKEC_PASSES_PLACE_SCOTCH_H
#define SPIKEC_PASSES_PLACE_SCOTCH_H

#include "passes/place/place.h"

/* Maps the graph onto the mesh by Scotch's dual recursive bipartitioning; then, because its parts
 * need not fill cells one to one, clusters go to the free cell of their region by rank. One thread
 * with a generator of its own, so that the seed decides. SPK_ERR_USAGE where Scotch is not built
 * in, or for a grid with blocked cells. */
SPK_CHECKED spk_status place_by_scotch(const struct ir_cluster_graph *graph,
                                       const struct place_grid *grid, uint64_t seed,
                                       struct diag_list *diags, uint32_t *out_cell);

#endif
