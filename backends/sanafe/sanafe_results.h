/* What SANA-FE wrote about a run: spikes.csv, run_summary.yaml and perf.csv. The summary is no
 * valid YAML (a colon without a blank), so its lines are taken apart by hand. */
#ifndef SPIKEC_BACKENDS_SANAFE_RESULTS_H
#define SPIKEC_BACKENDS_SANAFE_RESULTS_H

#include <stdint.h>

#include "support/diag.h"
#include "support/vec.h"

struct sanafe_spike {
    uint32_t step, group, neuron; /* step from 1 */
};
struct sanafe_spikes VEC_FIELDS(struct sanafe_spike);

enum sanafe_component {
    SANAFE_SYNAPSE,
    SANAFE_DENDRITE,
    SANAFE_SOMA,
    SANAFE_NETWORK,
    SANAFE_COMPONENTS
};
extern const char *const sanafe_component_names[SANAFE_COMPONENTS]; /* "synapse", ... */

struct sanafe_summary {
    uint64_t timesteps, fired, messages, events; /* events: of synapses */
    double seconds;                              /* simulated */
    double energy_pj[SANAFE_COMPONENTS];
};
struct sanafe_perf {
    uint64_t timesteps;
    double energy_pj[SANAFE_COMPONENTS]; /* sums over all steps */
};

/* Rows "3.7,12" or "g3.7,12" behind a line of headings, sorted by step, group, neuron. A damaged
 * file is SPK_ERR_INPUT (E0730), with its line. The list is the caller's to vec_fini. */
spk_status sanafe_read_spikes(const char *path, struct diag_list *d,
                              struct sanafe_spikes *out) SPK_CHECKED;
/* E0731: a figure is missing or no number. */
spk_status sanafe_read_summary(const char *path, struct diag_list *d,
                               struct sanafe_summary *out) SPK_CHECKED;
/* E0732: a column is missing or no number. */
spk_status sanafe_read_perf(const char *path, struct diag_list *d,
                            struct sanafe_perf *out) SPK_CHECKED;

#endif
