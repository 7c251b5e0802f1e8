/* Firing rates of a simulated run, as the paper's energy figure needs them. */
#ifndef SPIKEC_API_SIM_RATES_H
#define SPIKEC_API_SIM_RATES_H

#include "api/cost.h"

/* Sums per node of the float module; zero-initialised, then sim_rates_init. */
struct sim_rates {
    const struct ir_module *model;
    double *sum;    /* [n_nodes], of all elements */
    bool *measured; /* [n_nodes] */
};
SPK_CHECKED spk_status sim_rates_init(struct sim_rates *r, const struct ir_module *model);
void sim_rates_fini(struct sim_rates *r);

/* Takes a recorded value of one image; max-pools of it are formed here, since the chip's own OR
 * populations are not recorded. */
void sim_rates_add(struct sim_rates *r, const struct sim_value *value, const void *data);
/* The paper's figure over n_images images; event inputs are measured from `input`. Not known
 * where a rate it needs was not recorded. */
SPK_CHECKED spk_status sim_rates_paper(struct sim_rates *r, const struct engine_input *input,
                                       struct cost_paper *out);

#endif
