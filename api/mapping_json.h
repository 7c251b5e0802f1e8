/* mapping.json, and what `estimate` says of a mapping that has no weights. */
#ifndef SPIKEC_API_MAPPING_JSON_H
#define SPIKEC_API_MAPPING_JSON_H

#include "api/api_internal.h"
#include "backends/chip/predict.h"
#include "passes/map/map.h"

/* Populations with their tile grids and delays, and the place of every tile. ended: why the search
 * for places was ended early, or NULL. */
SPK_CHECKED spk_status mapping_json(const struct mapping *m, const struct image *im,
                                    const char *ended, struct strbuf *out);
/* constraints_json.c: member "constraints". */
void constraints_json(const struct constraints *c, struct json_writer *w);
/* Cost members known without an image: totals, layers, cores (design of cost.json). */
SPK_CHECKED spk_status estimate_json(const struct mapping *m, struct json_writer *w);
SPK_CHECKED spk_status estimate_text(const struct mapping *m, struct strbuf *out);
/* How good the partition is: lower bound, gap, utilisation; member "partition", or one line. */
SPK_CHECKED spk_status partition_json(const struct mapping *m, struct json_writer *w);
SPK_CHECKED spk_status partition_text(const struct mapping *m, struct strbuf *out);
/* placing_json.c: what the placement achieves; member "placement", or lines with the loads of links
 * that are expected of the image. */
void placing_json(const struct mapping *m, const char *ended, struct json_writer *w);
void placing_text(const struct mapping *m, const struct chip_prediction *c, const struct image *im,
                  struct strbuf *out);

#endif
