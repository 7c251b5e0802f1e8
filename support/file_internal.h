/* What the files behind support/file.h share; nobody else includes this. */
#ifndef SPIKEC_SUPPORT_FILE_INTERNAL_H
#define SPIKEC_SUPPORT_FILE_INTERNAL_H

#include "support/diag.h"
#include "support/status.h"

/* Diagnostic "path: cannot <action>: <text of errno>"; SPK_ERR_IO, SPK_ERR_NOMEM for ENOMEM. */
spk_status file_system_error(struct diag_list *diags, const char *path, const char *code,
                             const char *action);

/* Name for attempt number `attempt` at a temporary sibling of `path`: "path.tmp-<pid>-<attempt>".
 * spk_free; NULL when out of memory. */
SPK_CHECKED char *file_temporary_name(const char *path, unsigned attempt);
#define FILE_TEMPORARY_ATTEMPTS 100u

/* Syncs the folder that holds `path`, so that a rename in it survives a crash; best effort. */
void file_sync_parent(const char *path);

#endif
