/* Unpacking gzip data in memory; the only place that includes zlib. */
#ifndef SPIKEC_SUPPORT_GUNZIP_H
#define SPIKEC_SUPPORT_GUNZIP_H

#include <stdbool.h>
#include <stddef.h>

#include "support/diag.h"
#include "support/status.h"

/* Whether the data starts with the gzip magic number. */
bool gunzip_is_gzip(const void *data, size_t size);

/* Unpacks all members; at most max_bytes come out. Damaged, truncated or too large data:
 * SPK_ERR_INPUT with a diagnostic at `name`. *out_data has a NUL byte behind it; spk_free. */
SPK_CHECKED spk_status gunzip(const void *data, size_t size, size_t max_bytes, const char *name,
                              struct diag_list *diags, char **out_data, size_t *out_size);

#endif
