/* Safetensors files: reader and writer; the reader's table also stands for other tensor files.
 *
 * Format: 8-byte little-endian length N, N bytes of JSON {name: {dtype, shape, data_offsets}}, then
 * the data. The reader maps the file and validates everything before it hands out a pointer: header
 * length (at most 100 MB), JSON, duplicate names, dtypes, shape products, that the data ranges
 * cover the buffer without overlap or holes. Errors are diagnostics with file and tensor name. */
#ifndef SPIKEC_SUPPORT_SAFETENSORS_H
#define SPIKEC_SUPPORT_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/diag.h"
#include "support/status.h"

#define ST_MAX_RANK 8u

enum st_dtype {
    ST_BOOL, /* one byte, 0 or 1 */
    ST_U8,
    ST_I8,
    ST_I16,
    ST_U16,
    ST_F16,
    ST_BF16,
    ST_I32,
    ST_U32,
    ST_F32,
    ST_F64,
    ST_I64,
    ST_U64,
    ST_DTYPE_COUNT
};
const char *st_dtype_name(enum st_dtype dtype); /* "F32" */
size_t st_dtype_size(enum st_dtype dtype);      /* bytes */

struct st_tensor {
    const char *name;
    enum st_dtype dtype;
    uint32_t rank;
    uint64_t shape[ST_MAX_RANK];
    uint64_t count;      /* elements: product of shape, 1 for rank 0 */
    const uint8_t *data; /* little-endian, row-major, possibly unaligned; inside the map */
    size_t size;         /* bytes */
};

/* ---- reading ---- */

struct st_file;

/* Opens and validates. Everything handed out lives until st_close. */
SPK_CHECKED spk_status st_open(const char *path, struct diag_list *diags,
                               struct st_file **out_file);
/* The same on bytes in memory, which must outlive the object; `name` is for messages. */
SPK_CHECKED spk_status st_open_memory(const void *data, size_t size, const char *name,
                                      struct diag_list *diags, struct st_file **out_file);
void st_close(struct st_file *file); /* NULL is allowed */

/* Whether the data lie in a map of a file, so that file_pages_release may be told of them. */
bool st_is_mapped(const struct st_file *file);

/* Tensors of another format as such a file. Names and tensors are copied, the data are not. On
 * success `release(owner)` is called by st_close; on error the owner stays the caller's. Two
 * tensors of one name are an error. */
struct st_source {
    const char *name;   /* path, for messages */
    const char *format; /* st_format; static text */
    const struct st_tensor *tensors;
    size_t n_tensors;
    const char *const *others; /* st_other_at */
    size_t n_others;
    void (*release)(void *owner);
    void *owner;
};
SPK_CHECKED spk_status st_wrap(const struct st_source *source, struct diag_list *diags,
                               struct st_file **out_file);

const char *st_format(const struct st_file *file); /* "safetensors" */
/* What the file holds beside the tensors, in words: "epoch (a number)". None in safetensors. */
size_t st_other_count(const struct st_file *file);
const char *st_other_at(const struct st_file *file, size_t index);

const char *st_name(const struct st_file *file); /* path or name given at opening */
/* Tensors in the order of the header. */
size_t st_count(const struct st_file *file);
const struct st_tensor *st_at(const struct st_file *file, size_t index);
/* By name, in O(log n); NULL when there is none. */
const struct st_tensor *st_find(const struct st_file *file, const char *name);
/* By name; a missing tensor is a diagnostic. */
SPK_CHECKED spk_status st_require(const struct st_file *file, const char *name,
                                  struct diag_list *diags, const struct st_tensor **out_tensor);

/* Entries of __metadata__ in the order of the header. */
size_t st_meta_count(const struct st_file *file);
void st_meta_at(const struct st_file *file, size_t index, const char **out_key,
                const char **out_value);
const char *st_meta(const struct st_file *file, const char *key); /* NULL when there is none */

/* The place "file: tensor name" for own diagnostics. */
struct spk_span st_place(const struct st_file *file, const struct st_tensor *tensor,
                         struct diag_list *diags);
/* "F32[3,4]" appended to `out`. */
void st_describe(const struct st_tensor *tensor, struct strbuf *out);

/* Convert all elements into the caller's array of tensor->count. To f32 every dtype is accepted
 * (F64, I32, I64 and larger are rounded to nearest). To i32/i64 only integer types and BOOL are;
 * a float type is SPK_ERR_INPUT, as is a value out of range; out_index (may be NULL) then tells the
 * first offending element. No diagnostic is made: the caller knows what the tensor was for. */
SPK_CHECKED spk_status st_to_f32(const struct st_tensor *tensor, float *out_values);
SPK_CHECKED spk_status st_to_f64(const struct st_tensor *tensor, double *out_values);
SPK_CHECKED spk_status st_to_i32(const struct st_tensor *tensor, int32_t *out_values,
                                 uint64_t *out_index);
SPK_CHECKED spk_status st_to_i64(const struct st_tensor *tensor, int64_t *out_values,
                                 uint64_t *out_index);

/* ---- writing ---- */

/* Collects tensors and writes them in one go. The header lists them in insertion order, padded with
 * blanks to a multiple of 8; data lie in descending element size (so each is aligned), insertion
 * order within. The same calls give the same bytes. */
struct st_writer;
SPK_CHECKED spk_status st_writer_create(struct st_writer **out_writer);
void st_writer_destroy(struct st_writer *writer); /* NULL is allowed */
/* `data` is borrowed until st_writer_save or st_writer_destroy; the name is copied.
 * SPK_ERR_INTERNAL for a repeated name, rank above ST_MAX_RANK, or a size that overflows. */
SPK_CHECKED spk_status st_writer_add(struct st_writer *writer, const char *name,
                                     enum st_dtype dtype, uint32_t rank, const uint64_t *shape,
                                     const void *data);
SPK_CHECKED spk_status st_writer_meta(struct st_writer *writer, const char *key, const char *value);
/* Writes atomically; the writer stays usable. */
SPK_CHECKED spk_status st_writer_save(const struct st_writer *writer, const char *path,
                                      struct diag_list *diags);

#endif
