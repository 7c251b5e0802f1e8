/* Back end `nir`: the static parts of a float module as NIR graphs (.nir, HDF5; docs/nir.md).
 *
 * NIR has no max-pool and no product of two signals, so the module is cut there: every connected
 * part in between becomes one file, with an Input for each value that comes from another part and
 * an Output for each that goes to one. A module that has neither becomes one file, graph.nir, which
 * spikec reads back. index.json lists files, their inputs and outputs, and what was cut. */
#ifndef SPIKEC_BACKENDS_NIR_NIR_EXPORT_H
#define SPIKEC_BACKENDS_NIR_NIR_EXPORT_H

#include "ir/ir.h"
#include "support/file.h"

struct nir_figures {
    uint64_t graphs, nodes, edges, cut;
};

/* `m`: stage MODEL with data, batch norms folded; dt > 0: the time step in seconds. Refused by name
 * (SPK_ERR_INPUT): neurons that NIR cannot express (E0770), values of ops and shapes that it has
 * not (E0771), weights without data (E0772). */
spk_status nir_export(const struct ir_module *m, double dt, const struct dir_writer *dir,
                      struct diag_list *d, struct nir_figures *out) SPK_CHECKED;

#endif
