/* Back end `brian`: the network of a chip image as a script for the simulator Brian 2 (CeCILL 2.1;
 * nothing of it is contained here). Three files: run.py, network.json (populations, projections,
 * tasks, read-out) and network.safetensors (thresholds, biases, synapses). */
#ifndef SPIKEC_BACKENDS_BRIAN_H
#define SPIKEC_BACKENDS_BRIAN_H

#include "ir/image.h"
#include "support/file.h"

struct brian_figures {
    uint64_t populations, projections, neurons, synapses;
};

/* Writes the three files below `dir`. Refused by name (SPK_ERR_INPUT): steps of several ticks and
 * learning synapses (E0710), layers whose cores run different programs (E0711).            */
spk_status brian_export(const struct image *im, const struct dir_writer *dir, struct diag_list *d,
                        struct brian_figures *out) SPK_CHECKED;

#endif
