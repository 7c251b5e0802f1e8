/* Running another program and reading what it says. */
#ifndef SPIKEC_SUPPORT_PROCESS_H
#define SPIKEC_SUPPORT_PROCESS_H

#include "support/diag.h"
#include "support/strbuf.h"

/* Runs the program argv[0], looked for in PATH, with the arguments argv (ends with NULL), the
 * caller's environment and an empty standard input; no shell is involved. What it writes to
 * standard output and error is appended to *text, the first 64 KiB of it. *out_exit: its exit code,
 * 128 + the signal's number where a signal ended it, PROCESS_NONE where there is no such program.
 * SPK_ERR_IO with a diagnostic where the system refuses.                                        */
#define PROCESS_NONE (-1)
spk_status process_run(const char *const *argv, struct diag_list *diags, struct strbuf *text,
                       int *out_exit) SPK_CHECKED;

#endif
