/* cost.json: what every core uses and, once simulated, what it did; layers and chips are sums. */
#ifndef SPIKEC_API_COST_H
#define SPIKEC_API_COST_H

#include "api/api_internal.h"
#include "runtime/sim.h"

/* The paper's compute-only figure (reference: 45 nm, 4.6 pJ per MAC, 0.9 pJ per AC). */
struct cost_paper {
    bool known;
    double macs, sops, energy_mj, macs_per_step;
};

/* stats NULL: static part only. Writes the members of the cost object at the writer's position. */
SPK_CHECKED spk_status cost_write(struct json_writer *w, const struct image *im,
                                  const struct tgt *target, const struct sim_stats *stats,
                                  const struct cost_paper *paper);
/* The readable table: layers in order, then cores, the fullest first. */
SPK_CHECKED spk_status cost_table(const char *cost_json, size_t length, const char *name,
                                  size_t max_cores, struct diag_list *diags, struct strbuf *out);

#endif
