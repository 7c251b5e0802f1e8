/* What the files of the report share. */
#ifndef SPIKEC_BACKENDS_REPORT_REPORT_INTERNAL_H
#define SPIKEC_BACKENDS_REPORT_REPORT_INTERNAL_H

#include "backends/report/report.h"
#include "ir/constraints.h"
#include "config.h"

/* report_data.c: the page's data as JSON. Errors are sticky in `out`. */
void report_data(const struct rep_folder *f, const struct rep_activity *activity,
                 struct strbuf *out);
/* report_extracts.c: its last members, copied from the folder's files: head of mapping.json, what
 * cost.json says of the whole, the result of verify. */
void report_extracts(const struct rep_folder *f, struct strbuf *out);

/* report_marks.c: constraints that the floor plan shows. rep_marks_fini in any case. */
struct rep_marks {
    struct ctr_forbid *forbid;
    uint32_t n_forbid;
    uint8_t *pinned; /* [n_cores] */
};
SPK_CHECKED spk_status rep_marks_read(const struct rep_folder *f, struct rep_marks *out);
void rep_marks_fini(struct rep_marks *m);
/* What forbids a place, or NULL. */
const struct ctr_forbid *rep_marks_at(const struct rep_marks *m, const struct rep_folder *f,
                                      uint32_t chip, uint32_t x, uint32_t y);

#endif
