/* Firing rates of a model's values, measured elsewhere and read from JSON. */
#ifndef SPIKEC_FRONTEND_RATES_H
#define SPIKEC_FRONTEND_RATES_H

#include <stddef.h>
#include <stdint.h>

#include "ir/ir.h"
#include "support/arena.h"
#include "support/diag.h"
#include "support/status.h"

struct fe_rate {
    uint32_t n;         /* 0: not given, 1: one rate for all, else one per channel */
    const double *rate; /* mean of the value's elements (0..1 for spikes, larger for counts) */
};
struct fe_rates {
    struct arena arena;
    uint32_t n_nodes;
    struct fe_rate *of_node; /* [n_nodes], by node id */
};
/* A zero-initialised object is allowed. */
void fe_rates_fini(struct fe_rates *rates);

/* Reads {"value name": rate or [rate per channel], …}, or an object that holds such a one as its
 * member "rates" (a manifest). Errors, all in one run: names that no spike or count value of the
 * module has (with the nearest one), wrong numbers of channels, rates that are negative or above
 * the value's bound. Neuron values without a rate are named in a warning.
 * *out_rates is set only on SPK_OK; released with fe_rates_fini.                                 */
SPK_CHECKED spk_status fe_rates_load(const char *path, const struct ir_module *m,
                                     struct diag_list *diags, struct fe_rates *out_rates);
/* The same on text in memory; `name` is for messages. */
SPK_CHECKED spk_status fe_rates_parse(const char *text, size_t length, const char *name,
                                      const struct ir_module *m, struct diag_list *diags,
                                      struct fe_rates *out_rates);

#endif
