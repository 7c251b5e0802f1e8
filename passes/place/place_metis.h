/* METIS as a baseline placer. The only file pair that sees its header. */
#ifndef SPIKEC_PASSES_PLACE_METIS_H
#define SPIKEC_PASSES_PLACE_METIS_H

#include "passes/place/place.h"

/* Halves the grid recursively, with METIS halving the graph in the ratio of the free cells; edges
 * to clusters outside the region are not seen. SPK_ERR_USAGE where METIS is not built in. */
SPK_CHECKED spk_status place_by_metis(const struct ir_cluster_graph *graph,
                                      const struct place_grid *grid, uint64_t seed,
                                      struct diag_list *diags, uint32_t *out_cell);

#endif
