/* HDF5 files: a thin layer around libhdf5 1.10, and the only place that includes it.
 *
 * Written files carry no time stamps and use fixed little-endian types, so the same calls give the
 * same bytes. Names are paths such as "cores/x"; missing groups on the way are made when writing.
 * Every failure is a diagnostic "file: name: …": SPK_ERR_INPUT for content, SPK_ERR_IO for the
 * system. Sizes found in a file are never trusted: readers state a limit. Links to other files,
 * external storage and soft links are refused. The library's own error printing is switched off.
 * One handle belongs to one thread at a time; libhdf5 itself locks (Debian builds it thread-safe).
 *
 * Known limit: accidental damage of files written here is caught, since all metadata and
 * compressed data carry checksums, but libhdf5 1.10 has bugs on crafted files that no caller can
 * rule out. */
#ifndef SPIKEC_SUPPORT_H5_H
#define SPIKEC_SUPPORT_H5_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/diag.h"
#include "support/status.h"
#include "support/vec.h"

#define H5_MAX_RANK 8u

struct h5_file;

enum h5_type {
    H5_I8,
    H5_U8,
    H5_I16,
    H5_U16,
    H5_I32,
    H5_U32,
    H5_I64,
    H5_U64,
    H5_F32,
    H5_F64,
    H5_TYPE_COUNT
};
size_t h5_type_size(enum h5_type type); /* bytes */
const char *h5_type_name(enum h5_type type);

/* ---- files ---- */

/* New file (an existing one is overwritten). For an atomic result write into dir_path(). The path,
 * not the content, is kept for messages; diags must live as long as the file. */
SPK_CHECKED spk_status h5_create(const char *path, struct diag_list *diags,
                                 struct h5_file **out_file);
/* Existing file, read-only. */
SPK_CHECKED spk_status h5_open(const char *path, struct diag_list *diags,
                               struct h5_file **out_file);
/* Writes what is pending, closes and frees the handle in every case; reports failure of the
 * write-back. NULL is allowed. */
SPK_CHECKED spk_status h5_close(struct h5_file *file);
/* Closes without report: for readers and error paths. NULL is allowed. */
void h5_destroy(struct h5_file *file);

/* Location "file: name" for own diagnostics. */
struct spk_span h5_place(const struct h5_file *file, const char *name);

/* ---- writing ---- */

SPK_CHECKED spk_status h5_write_group(struct h5_file *file, const char *name);

/* Dataset of rank 0 (one value) to H5_MAX_RANK with the given dims, row-major, from packed native
 * data. gzip_level 0 stores it contiguously; 1-9 chunked, shuffled, compressed and with a checksum
 * (not for rank 0 or empty datasets, which are stored plainly). The name must not exist yet. */
SPK_CHECKED spk_status h5_write(struct h5_file *file, const char *name, enum h5_type type,
                                uint32_t rank, const uint64_t *dims, const void *data,
                                uint32_t gzip_level);
/* 1-D shorthand, uncompressed. */
SPK_CHECKED spk_status h5_write_1d(struct h5_file *file, const char *name, enum h5_type type,
                                   uint64_t count, const void *data);

/* Scalar string and list of strings: UTF-8, fixed length (that of the longest), NUL-padded. */
SPK_CHECKED spk_status h5_write_string(struct h5_file *file, const char *name, const char *text);
SPK_CHECKED spk_status h5_write_strings(struct h5_file *file, const char *name, size_t count,
                                        const char *const *texts);

/* Strings of variable length, UTF-8, in a dataset of rank 0 to H5_MAX_RANK, as h5py writes them. */
SPK_CHECKED spk_status h5_write_text(struct h5_file *file, const char *name, uint32_t rank,
                                     const uint64_t *dims, const char *const *texts);

/* One string in a list of one: ASCII of `size` bytes, NUL-padded, as h5py writes 'S10'. */
SPK_CHECKED spk_status h5_write_ascii(struct h5_file *file, const char *name, size_t size,
                                      const char *text);

/* Attributes of a dataset or group ("/" is the root). */
SPK_CHECKED spk_status h5_write_attr_i64(struct h5_file *file, const char *object, const char *name,
                                         int64_t value);
SPK_CHECKED spk_status h5_write_attr_string(struct h5_file *file, const char *object,
                                            const char *name, const char *text);

/* One column of a table: a field of a C struct. `count` > 1 makes it a fixed array; 0 means 1. */
struct h5_field {
    const char *name;
    enum h5_type type;
    size_t offset; /* offsetof in the struct */
    uint32_t count;
};
#define H5_FIELD(struct_type, member, type)             \
    {                                                   \
#member, type, offsetof(struct_type, member), 1 \
    }

/* Table: 1-D dataset of compounds. Rows lie in memory as C structs of row_size bytes; on disk they
 * are packed (no padding bytes). n_rows 0 is allowed. */
SPK_CHECKED spk_status h5_write_table(struct h5_file *file, const char *name,
                                      const struct h5_field *fields, size_t n_fields,
                                      size_t row_size, uint64_t n_rows, const void *rows,
                                      uint32_t gzip_level);

/* ---- reading ---- */

enum h5_kind { H5_KIND_GROUP, H5_KIND_NUMERIC, H5_KIND_STRING, H5_KIND_TABLE, H5_KIND_OTHER };

struct h5_info {
    enum h5_kind kind;
    enum h5_type type; /* valid for H5_KIND_NUMERIC */
    uint32_t rank;
    uint64_t dims[H5_MAX_RANK];
    uint64_t count; /* product of dims, 1 for rank 0 */
};

/* Whether an object of this name exists, along the whole path. */
bool h5_exists(const struct h5_file *file, const char *name);
/* Missing object: diagnostic, SPK_ERR_INPUT. */
SPK_CHECKED spk_status h5_describe(const struct h5_file *file, const char *name,
                                   struct h5_info *out_info);

/* Reads a whole dataset of at most max_count elements as `type`. The stored type may be any from
 * which no value can change (i8 to i32, u16 to f32, f32 to f64, …); others are refused. *out_data:
 * spk_free. out_info may be NULL. */
SPK_CHECKED spk_status h5_read(const struct h5_file *file, const char *name, enum h5_type type,
                               uint64_t max_count, struct h5_info *out_info, void *out_data);
/* As h5_read, with exactly this shape required, into the caller's memory. */
SPK_CHECKED spk_status h5_read_into(const struct h5_file *file, const char *name, enum h5_type type,
                                    uint32_t rank, const uint64_t *dims, void *out_data);
/* Any numeric dataset converted to double, as C converts (f64 to f32 files by other programs). */
SPK_CHECKED spk_status h5_read_as_f64(const struct h5_file *file, const char *name,
                                      uint64_t max_count, struct h5_info *out_info,
                                      double **out_data);
/* One value (rank 0 or exactly one element), widening as in h5_read. */
SPK_CHECKED spk_status h5_read_scalar(const struct h5_file *file, const char *name,
                                      enum h5_type type, void *out_value);

/* Fixed or variable-length strings, each of at most max_bytes. spk_free / h5_names_fini. */
SPK_CHECKED spk_status h5_read_string(const struct h5_file *file, const char *name,
                                      size_t max_bytes, char **out_text);
struct h5_names VEC_FIELDS(char *);
SPK_CHECKED spk_status h5_read_strings(const struct h5_file *file, const char *name,
                                       size_t max_count, size_t max_bytes,
                                       struct h5_names *out_texts);
void h5_names_fini(struct h5_names *names);

bool h5_has_attr(const struct h5_file *file, const char *object, const char *name);
SPK_CHECKED spk_status h5_read_attr_i64(const struct h5_file *file, const char *object,
                                        const char *name, int64_t *out_value);
SPK_CHECKED spk_status h5_read_attr_string(const struct h5_file *file, const char *object,
                                           const char *name, size_t max_bytes, char **out_text);

/* Table of at most max_rows rows: every field asked for must exist with the same element count and
 * a type that widens into the wanted one; extra columns in the file are ignored. Bytes of a row
 * that no field covers are zero. *out_rows is the address of a row pointer: spk_free. */
SPK_CHECKED spk_status h5_read_table(const struct h5_file *file, const char *name,
                                     const struct h5_field *fields, size_t n_fields,
                                     size_t row_size, uint64_t max_rows, void *out_rows,
                                     uint64_t *out_n_rows);

/* Names of a group's members ("/" for the root), sorted bytewise. At most max_count. */
SPK_CHECKED spk_status h5_list(const struct h5_file *file, const char *group, size_t max_count,
                               struct h5_names *out_names);

#endif
