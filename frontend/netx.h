/* Networks of lava-dl (.net, HDF5): from a file to an IR module of stage QUANTISED, as they are
 * integers already. docs/netx.md has the format and its arithmetic.
 *
 * Taken is what lava-dl's own reader takes: input, conv, dense and flatten with LOIHI or CUBA
 * neurons, one layer after the other. All else is refused by name (SPK_ERR_INPUT) with the path
 * inside the file. Settings (fe_options.sets): timesteps, by default the file's tSample. */
#ifndef SPIKEC_FRONTEND_NETX_H
#define SPIKEC_FRONTEND_NETX_H

#include "frontend/model.h"

/* Reads the open file; the module is called `name` and belongs to the caller. */
struct h5_file;
spk_status fe_netx_load(const struct h5_file *file, const char *name,
                        const struct fe_options *options, struct diag_list *d,
                        struct ir_module **out) SPK_CHECKED;

#endif
