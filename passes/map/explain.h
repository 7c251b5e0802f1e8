/* Why a layer has its tile, and why one does not fit. */
#ifndef SPIKEC_PASSES_MAP_EXPLAIN_H
#define SPIKEC_PASSES_MAP_EXPLAIN_H

#include "passes/map/search.h"

/* SPK_ERR_NOFIT, reported, for the first population one of whose neurons has more inputs than a
 * core has in-axons: no tile can help, and partial sums are not exact. Else SPK_OK. */
SPK_CHECKED spk_status map_explain_fan_in(struct map_net *net, struct diag_list *diags);
/* Reports SPK_ERR_NOFIT for a population none of whose tile shapes fits a core: resource, need,
 * have and the smallest change that fits. Sources keep their cut. */
SPK_CHECKED spk_status map_explain_nofit(struct map_net *net, uint32_t pop,
                                         struct diag_list *diags);
/* One remark per population: its tile and what it uses; notes: the limit that the next larger tile
 * would break along each axis, and the next best tile. Shapes are set; `choice` is theirs. */
SPK_CHECKED spk_status map_explain_tiles(struct mapping *m, const struct search *s,
                                         const uint8_t *choice);

/* Remarks on which layers share cores; tiles have their cores. */
void map_explain_cores(const struct mapping *m, struct diag_list *diags);

#endif
