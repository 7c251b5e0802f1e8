/* stub */
#include "passes/place/place_internal.h"
spk_status place_anneal_multicast(const struct ir_cluster_graph *graph,
                                  const struct place_axes *axes, const struct place_grid *chips,
                                  const uint32_t *fixed, const struct place_schedule *schedule,
                                  const struct progress *progress, struct place_state *state)
{
    (void)graph;
    (void)axes;
    (void)chips;
    (void)fixed;
    (void)schedule;
    (void)progress;
    (void)state;
    return SPK_OK;
}
