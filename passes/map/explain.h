/* Why a layer has its tile, and why one does not fit. */
#ifndef SPIKEC_PASSES_MAP_EXPLAIN_H
#define SPIKEC_PASSES_MAP_EXPLAIN_H

#include "passes/map/map.h"

/* Reports SPK_ERR_NOFIT for a population none of whose tile shapes fits a core: resource, need,
 * have and the smallest change that fits. Sources keep their cut. */
SPK_CHECKED spk_status map_explain_nofit(struct map_net *net, uint32_t pop,
                                         struct diag_list *diags);
/* One remark per population: its tile and what it uses. */
void map_explain_tiles(const struct mapping *m, struct diag_list *diags);

#endif
