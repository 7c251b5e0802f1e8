/* Options of a pass in a pipeline text. */
#ifndef SPIKEC_PASSES_PASS_OPTIONS_H
#define SPIKEC_PASSES_PASS_OPTIONS_H

#include "passes/pass.h"

/* Reads "x=1, y=off" ([text, text + length), NULL: nothing given) into out_values, one per option
 * of the pass, the defaults for those that are not given. An option given twice, unknown, or with
 * a value that does not fit is SPK_ERR_USAGE. Booleans are on/off, true/false, yes/no, 1/0.    */
spk_status pass_options_parse(const struct pass *p, const char *text, size_t length,
                              struct diag_list *d, int64_t *out_values) SPK_CHECKED;

#endif
