/* cost.json: what every core uses and, once simulated, what it did; layers and chips are sums. */
#ifndef SPIKEC_API_COST_H
#define SPIKEC_API_COST_H

#include "api/api_internal.h"
#include "backends/chip/predict.h"
#include "runtime/sim.h"

/* The paper's compute-only figure (reference: 45 nm, 4.6 pJ per MAC, 0.9 pJ per AC). */
struct cost_paper {
    bool known;
    double macs, sops, energy_mj, macs_per_step;
};

/* What is known beyond the image itself; every part may be NULL. */
struct cost_sources {
    const struct sim_stats *stats;            /* of a simulation */
    const struct chip_prediction *prediction; /* from rates, before one */
    bool measured;                            /* the prediction's rates were given */
    const struct cost_paper *paper;
};
/* Writes the members of the cost object at the writer's position. */
SPK_CHECKED spk_status cost_write(struct json_writer *w, const struct image *im,
                                  const struct tgt *target, const struct cost_sources *sources);
/* Member "links": what goes over every link that carries anything, of a simulation or as predicted
 * (either NULL; nothing is written where both are). */
void cost_links(struct json_writer *w, const struct sim_stats *stats,
                const struct chip_prediction *prediction);
/* The readable table: layers in order, then cores, the fullest first. */
SPK_CHECKED spk_status cost_table(const char *cost_json, size_t length, const char *name,
                                  size_t max_cores, struct diag_list *diags, struct strbuf *out);

#endif
