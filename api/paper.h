/* The paper's compute-only energy figure, as the jobs print it (runtime/paper_energy.h). */
#ifndef SPIKEC_API_PAPER_H
#define SPIKEC_API_PAPER_H

#include "api/cost.h"
#include "frontend/rates.h"

/* From the mean of every node's value (a measured run). */
SPK_CHECKED spk_status paper_from_means(const struct ir_module *m, const double *mean,
                                        struct cost_paper *out);
/* From rates by name; unknown (out->known false) where a needed value has none. */
SPK_CHECKED spk_status paper_from_rates(const struct ir_module *m, const struct fe_rates *rates,
                                        struct cost_paper *out);
/* Member `paper_energy` (nothing where it is not known), and two lines of text. */
void paper_write(struct json_writer *w, const struct cost_paper *p);
void paper_text(const struct cost_paper *p, struct strbuf *out);

#endif
