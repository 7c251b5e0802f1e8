/* What the files of the report share. */
#ifndef SPIKEC_BACKENDS_REPORT_REPORT_INTERNAL_H
#define SPIKEC_BACKENDS_REPORT_REPORT_INTERNAL_H

#include "backends/report/report.h"
#include "config.h"

/* report_data.c: the page's data as JSON. Errors are sticky in `out`. */
void report_data(const struct rep_folder *f, const struct rep_activity *activity,
                 const struct rep_probes *probes, struct strbuf *out);
/* report_extracts.c: its last members, copied from the folder's files: head of mapping.json, what
 * cost.json says of the whole, the result of verify. */
void report_extracts(const struct rep_folder *f, struct strbuf *out);

/* report_marks.c: fills f->marks, after everything else was read; rep_marks_fini in any case. */
SPK_CHECKED spk_status rep_marks_read(const struct json_cursor *mapping, struct rep_folder *f);
void rep_marks_fini(struct rep_marks *m);

#endif
