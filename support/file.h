/* Files: reading whole files, memory maps, gzip, and writing that is all or nothing.
 *
 * Every failure leaves a diagnostic naming the path: SPK_ERR_IO when the system refuses,
 * SPK_ERR_INPUT when the content is at fault (too large, damaged gzip). diags may be NULL. */
#ifndef SPIKEC_SUPPORT_FILE_H
#define SPIKEC_SUPPORT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/diag.h"
#include "support/status.h"
#include "support/strbuf.h"

/* ---- reading ---- */

/* Whole file with a NUL byte behind it (not counted). A file of more than max_bytes is refused
 * (0 = 1 GiB). *out_data is released with spk_free; NULL on error. */
SPK_CHECKED spk_status file_read(const char *path, size_t max_bytes, struct diag_list *diags,
                                 char **out_data, size_t *out_size);

/* As file_read; a file that starts with the gzip magic is unpacked, and max_bytes then limits the
 * unpacked size. */
SPK_CHECKED spk_status file_read_gz(const char *path, size_t max_bytes, struct diag_list *diags,
                                    char **out_data, size_t *out_size);

/* Read-only map of a regular file; data is NULL when size is 0. */
struct file_map {
    const uint8_t *data;
    size_t size;
};
SPK_CHECKED spk_status file_map_open(const char *path, struct diag_list *diags,
                                     struct file_map *out_map);
/* A zero-initialised or closed map is allowed. */
void file_map_close(struct file_map *map);
/* Gives the memory of the whole pages within [data, data + size) of a map back to the system; the
 * next look at them reads the file again. Only for bytes of a file_map. */
void file_pages_release(const void *data, size_t size);

bool file_exists(const char *path);       /* anything of that name */
bool file_is_directory(const char *path); /* symbolic links are followed */

/* SHA-256 of a file as lower-case hexadecimal, out_hex has SHA256_HEX_BYTES (65) bytes. */
SPK_CHECKED spk_status file_sha256(const char *path, struct diag_list *diags, char *out_hex);

/* Sorted names (without . and ..) of a folder's entries that end in `suffix` ("" = all). Released
 * with file_names_fini. */
struct file_names VEC_FIELDS(char *);
SPK_CHECKED spk_status file_list(const char *folder, const char *suffix, struct diag_list *diags,
                                 struct file_names *out_names);
void file_names_fini(struct file_names *names);

/* ---- writing one file ---- */

/* Atomic writer: bytes go to a temporary file in the same folder, commit syncs it and renames it to
 * `path`; until then, and after an error, an existing file stays as it was. Where path is a device
 * or pipe it is written directly. */
struct file_writer;
SPK_CHECKED spk_status file_writer_create(const char *path, struct diag_list *diags,
                                          struct file_writer **out_writer);
/* The first error is sticky. */
SPK_CHECKED spk_status file_writer_write(struct file_writer *writer, const void *data, size_t size);
/* For text that is made bit by bit: writes `text` and clears it once it is long enough to be worth
 * a write, or where it is the last. An error of the text is returned, too. */
SPK_CHECKED spk_status file_writer_text(struct file_writer *writer, struct strbuf *text, bool last);
/* Finishes and destroys the writer in every case. */
SPK_CHECKED spk_status file_writer_commit(struct file_writer *writer);
/* Throws away what was written and destroys the writer. NULL is allowed. */
void file_writer_abort(struct file_writer *writer);

/* All of it in one call. */
SPK_CHECKED spk_status file_write_all(const char *path, const void *data, size_t size,
                                      struct diag_list *diags);

/* ---- replacing a folder ---- */

/* `dir_begin` makes an empty temporary folder next to `path`; files are written below dir_path();
 * dir_commit puts it in the place of `path` in one step. An existing `path` is replaced only if it
 * is an empty folder or holds our marker file `.spikec` (commit adds the marker to new folders);
 * anything else is refused, already by dir_begin, with SPK_ERR_IO and a remedy. */
#define DIR_MARKER ".spikec"
struct dir_writer;
SPK_CHECKED spk_status dir_begin(const char *path, struct diag_list *diags,
                                 struct dir_writer **out_dir);
/* Path of the temporary folder; valid until commit or abort. */
const char *dir_path(const struct dir_writer *dir);
/* Path of a file inside it, released with spk_free; *out_path is NULL on error. */
SPK_CHECKED spk_status dir_file(const struct dir_writer *dir, const char *name, char **out_path);
/* Finishes and destroys `dir` in every case; on error the old folder is still in place and the
 * temporary one is gone. */
SPK_CHECKED spk_status dir_commit(struct dir_writer *dir);
/* Removes the temporary folder and destroys `dir`. NULL is allowed. */
void dir_abort(struct dir_writer *dir);

/* ---- paths ---- */

/* folder + "/" + name (name alone when folder is "" or name is absolute), released with spk_free;
 * NULL when out of memory. */
SPK_CHECKED char *path_join(const char *folder, const char *name);
/* The part behind the last '/', within `path`. */
const char *path_base(const char *path);
bool path_has_suffix(const char *path, const char *suffix);

#endif
