/* Zip archives of stored (uncompressed) members, as torch.save writes them: reader and writer.
 *
 * Format: PKWARE APPNOTE 6.3. The reader goes by the central directory (writers that stream leave
 * sizes out of the local headers) and takes zip64 records. It unpacks nothing and writes no files.
 * Before it hands out a pointer it checks that every member is stored and not encrypted, lies
 * within the archive and on bytes of its own, has a plain relative name that no other one has, and
 * that its local header tells the same name. Errors are diagnostics with archive and member. */
#ifndef SPIKEC_SUPPORT_ZIP_H
#define SPIKEC_SUPPORT_ZIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/arena.h"
#include "support/diag.h"
#include "support/file.h"
#include "support/status.h"

struct zip_member {
    const char *name;
    const uint8_t *data; /* within the archive; of any alignment */
    size_t size;
    uint32_t crc; /* as told by the directory */
};

struct zip_archive {
    const char *name;          /* for messages */
    struct zip_member *member; /* in the order of the directory */
    size_t n_members;
    const struct zip_member **by_name; /* sorted */
};

/* Whether bytes begin as a zip archive does. */
bool zip_is_archive(const uint8_t *data, size_t size);

/* Reads the directory of an archive in memory, which must outlive the object; all that is
 * allocated lies in the arena. */
SPK_CHECKED spk_status zip_read(const uint8_t *data, size_t size, const char *name,
                                struct arena *arena, struct diag_list *diags,
                                struct zip_archive *out_archive);
/* NULL when there is none; O(log n). */
const struct zip_member *zip_find(const struct zip_archive *archive, const char *name);
/* Compares the checksum with the member's bytes; a difference is an error. Reads all of them. */
SPK_CHECKED spk_status zip_check(const struct zip_archive *archive, const struct zip_member *member,
                                 struct diag_list *diags);

/* Writes members one after another through a file writer; each member's data begins at a multiple
 * of 64 bytes in the file. The same calls give the same bytes. */
struct zip_writer;
SPK_CHECKED spk_status zip_writer_create(struct file_writer *file, struct zip_writer **out_writer);
void zip_writer_destroy(struct zip_writer *writer); /* NULL is allowed */
SPK_CHECKED spk_status zip_writer_add(struct zip_writer *writer, const char *name, const void *data,
                                      size_t size);
/* Writes the directory. The file is not committed. */
SPK_CHECKED spk_status zip_writer_finish(struct zip_writer *writer);

#endif
