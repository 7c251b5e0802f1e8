/* NIR graphs (.nir, HDF5; Pedersen et al. 2024): from a file to an IR module of stage MODEL with
 * its weights. docs/nir.md says what every primitive becomes.
 *
 * NIR is continuous in time; the module is the forward Euler discretisation with step dt, from the
 * options or the file's metadata. Settings (fe_options.sets): timesteps (default: the file's
 * metadata, else NIR_TIMESTEPS), static and analog (bool; neither: frames of event counts).
 *
 * Hostile files: every size is limited, cycles without state, missing nodes, wrong shapes and types
 * are SPK_ERR_INPUT with the path inside the file; what spikec cannot express is refused likewise.
 */
#ifndef SPIKEC_FRONTEND_NIR_H
#define SPIKEC_FRONTEND_NIR_H

#include "frontend/model.h"

#define NIR_TIMESTEPS 4u /* where neither the file nor a setting tells: as the zoo's models */

/* Reads the open file; the module is called `name` and belongs to the caller. */
struct h5_file;
spk_status fe_nir_load(const struct h5_file *file, const char *name,
                       const struct fe_options *options, struct diag_list *d,
                       struct ir_module **out) SPK_CHECKED;

#endif
