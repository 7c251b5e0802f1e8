/* A file that is safetensors, IDX or text, on disk or in memory (private to the frontend). */
#ifndef SPIKEC_FRONTEND_CONTAINER_H
#define SPIKEC_FRONTEND_CONTAINER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/diag.h"
#include "support/idx.h"
#include "support/safetensors.h"
#include "support/status.h"

struct container {
    const char *name;    /* path, or a name for messages when data is given */
    const uint8_t *data; /* NULL: the file `name` */
    size_t size;
    uint8_t head[16]; /* first bytes, set by container_look; zeros behind a shorter file */
    size_t n_head;
};

/* Reads the first bytes; needed before the others. A file that cannot be opened is an error. */
SPK_CHECKED spk_status container_look(struct container *file, struct diag_list *diags);
/* gzip (only IDX files are packed) or the IDX magic. */
bool container_is_idx(const struct container *file);
/* Text of lines rather than one of the others. */
bool container_is_text(const struct container *file);
SPK_CHECKED spk_status container_open_idx(const struct container *file, struct diag_list *diags,
                                          struct idx_array *out_array);
SPK_CHECKED spk_status container_open_tensors(const struct container *file, struct diag_list *diags,
                                              struct st_file **out_tensors);

#endif
