/* Chip descriptions: finding, reading, checking and showing backends/targets/NAME.yaml.
 *
 * Every constant of a description is written as
 *   neurons: {value: 1024, unit: compartments, basis: derived, source: "…"}
 * with exactly the unit of its field and one of the bases measured, simulated, derived, assumed.
 * A constant that is absent was never published; it stays absent. docs/targets.md has the format.
 * All errors of a file are reported in one run, with line, column and what would fit.            */
#ifndef SPIKEC_FRONTEND_TARGET_YAML_H
#define SPIKEC_FRONTEND_TARGET_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include "ir/target.h"
#include "support/diag.h"
#include "support/file.h"
#include "support/status.h"
#include "support/strbuf.h"

/* Reads a target. A text with a '/' or ending in ".yaml" is a path; anything else is a name, looked
 * up as NAME.yaml in the folders of frontend/share.h.
 * SPK_ERR_INPUT: unknown name or bad description; SPK_ERR_IO: unreadable file.
 * *out_target is set only on SPK_OK and released with tgt_destroy.                               */
SPK_CHECKED spk_status fe_target_load(const char *path_or_name, struct diag_list *diags,
                                      struct tgt **out_target);

/* The same on text in memory; `name` is for messages and becomes the target's path. */
SPK_CHECKED spk_status fe_target_parse(const char *name, const char *text, size_t length,
                                       struct diag_list *diags, struct tgt **out_target);

/* Another value of a constant of the description, for experiments. */
struct fe_variation {
    const char *section, *key, *value;
};
/* Appends the description `text` with these values to out_text. Basis and source of a varied
 * constant say so, the name gets "_key_value"; a value that is there already changes nothing.
 * Constants that the text does not state, and lists, are SPK_ERR_INPUT; whether the values are
 * allowed is seen when the result is read. */
SPK_CHECKED spk_status fe_target_vary(const char *name, const char *text, size_t length,
                                      const struct fe_variation *variations, uint32_t n,
                                      struct diag_list *diags, struct strbuf *out_text);
/* The constant of the format by the name KEY or SECTION.KEY; of a KEY that several sections have
 * the first one. */
bool fe_target_find_constant(const char *name, const char **out_section, const char **out_key);

/* Whether the constants contradict each other (tile against mesh, order of systems, bit widths,
 * what an attention lowering needs, …). Reports all contradictions; SPK_ERR_INPUT when there are
 * some. Reading a target includes this check. */
SPK_CHECKED spk_status fe_target_check(const struct tgt *target, struct diag_list *diags);

/* Names of all targets that fe_target_load would find, sorted, each once. Folders that do not exist
 * are skipped. Released with file_names_fini.                                                    */
SPK_CHECKED spk_status fe_target_list(struct diag_list *diags, struct file_names *out_names);

/* Tables of all constants with unit, basis and source; what is not published is listed as such. */
void fe_target_print(const struct tgt *target, struct strbuf *out);
/* The same as a JSON object on one line or indented: section -> key -> {value, unit, basis,
 * source}, null for what is not published. */
SPK_CHECKED spk_status fe_target_json(const struct tgt *target, uint32_t indent,
                                      struct strbuf *out);

#endif
