/* A file of probes, condensed for the report: membranes of a sample of its neurons. */
#ifndef SPIKEC_API_REPORT_PROBES_H
#define SPIKEC_API_REPORT_PROBES_H

#include "backends/report/report.h"
#include "support/diag.h"

/* Reads what --probe-out wrote (docs/files.md, section 11), told by the name as there. What is not
 * of this folder (another layer, shape or number of steps) or no such file is an error. f must
 * outlive *out. */
SPK_CHECKED spk_status report_probes_read(const char *path, const struct rep_folder *f,
                                          struct diag_list *d, struct rep_probes *out);
void report_probes_fini(struct rep_probes *p);

#endif
