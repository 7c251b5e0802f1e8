/* Reading a file of constraints; docs/constraints.md has the format. */
#ifndef SPIKEC_FRONTEND_CONSTRAINTS_YAML_H
#define SPIKEC_FRONTEND_CONSTRAINTS_YAML_H

#include "ir/constraints.h"
#include "support/diag.h"
#include "support/status.h"

/* Reads `path`. All errors of the file are reported in one run, with line, column and what would
 * fit: SPK_ERR_INPUT; an unreadable file is SPK_ERR_IO. Whether layers and places exist is for the
 * mapper to see. *out is set only on SPK_OK and released with constraints_destroy. */
SPK_CHECKED spk_status fe_constraints_load(const char *path, struct diag_list *diags,
                                           struct constraints **out);
/* The same of a text in memory. */
SPK_CHECKED spk_status fe_constraints_parse(const char *name, const char *text, size_t length,
                                            struct diag_list *diags, struct constraints **out);

#endif
