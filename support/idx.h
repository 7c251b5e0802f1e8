/* IDX files (the format of MNIST): two zero bytes, element type, rank, rank big-endian 32-bit
 * dimensions, data. Only unsigned bytes (type 8) are accepted. */
#ifndef SPIKEC_SUPPORT_IDX_H
#define SPIKEC_SUPPORT_IDX_H

#include <stddef.h>
#include <stdint.h>

#include "support/diag.h"
#include "support/status.h"

#define IDX_MAX_RANK 8u

struct idx_array {
    uint32_t rank; /* 1 to IDX_MAX_RANK */
    uint32_t dims[IDX_MAX_RANK];
    size_t size;         /* bytes = product of dims */
    const uint8_t *data; /* points into `owned`, or into the bytes given to idx_parse */
    char *owned;
};

/* Reads a file, gzip accepted, of at most max_bytes unpacked (0 = 4 GiB). */
SPK_CHECKED spk_status idx_read(const char *path, size_t max_bytes, struct diag_list *diags,
                                struct idx_array *out_array);
/* The same on bytes in memory, which must outlive the array; `name` is for messages. */
SPK_CHECKED spk_status idx_parse(const void *bytes, size_t size, const char *name,
                                 struct diag_list *diags, struct idx_array *out_array);
/* A zero-initialised array is allowed. */
void idx_fini(struct idx_array *array);

#endif
