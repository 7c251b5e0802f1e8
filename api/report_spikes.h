/* Recorded spikes, condensed for the report: rates of every frame and a sample of neurons. */
#ifndef SPIKEC_API_REPORT_SPIKES_H
#define SPIKEC_API_REPORT_SPIKES_H

#include "backends/report/report.h"
#include "support/diag.h"

/* Reads a file of `--spikes`; values that are no layer of the folder (sums) are passed over, and a
 * layer of another shape or number of frames is an error. f must outlive *out. */
SPK_CHECKED spk_status report_spikes_read(const char *path, const struct rep_folder *f,
                                          struct diag_list *d, struct rep_activity *out);
void report_spikes_fini(struct rep_activity *a);

#endif
