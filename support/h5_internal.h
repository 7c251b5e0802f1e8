/* What the files behind support/h5.h share, and the only include of hdf5.h. */
#ifndef SPIKEC_SUPPORT_H5_INTERNAL_H
#define SPIKEC_SUPPORT_H5_INTERNAL_H

#include <hdf5.h>

#include "support/h5.h"

struct h5_file {
    hid_t id;
    bool writable;
    struct diag_list *diags;
    char *path;
};

/* Turns off the library's own error printing for this thread. Called by every entry point. */
void h5_quiet(void);

/* In-memory and on-disk types; borrowed, not to be closed. */
hid_t h5_native_type(enum h5_type type);
hid_t h5_disk_type(enum h5_type type);
/* The h5_type of a stored type; H5_TYPE_COUNT for all that is not a plain number of ours. */
enum h5_type h5_classify(hid_t type);
/* Whether every value of `from` is a value of `to`. */
bool h5_widens(enum h5_type from, enum h5_type to);

/* Diagnostics "file: name: …". */
spk_status h5_bad(const struct h5_file *file, const char *name, const char *code,
                  const char *format, ...) SPK_PRINTF(4, 5);              /* SPK_ERR_INPUT */
spk_status h5_write_failed(const struct h5_file *file, const char *name); /* SPK_ERR_IO */

/* Opens a dataset after the checks of h5_describe and of its storage: no external files, no virtual
 * datasets, no oversized chunks. The caller closes *out_dataset with H5Dclose. */
SPK_CHECKED spk_status h5_open_dataset(const struct h5_file *file, const char *name,
                                       struct h5_info *out_info, hid_t *out_dataset);

/* Compound type in memory for the fields of a C struct; H5Tclose. Negative on failure. */
hid_t h5_table_memory_type(const struct h5_field *fields, size_t n_fields, size_t row_size);

#endif
