/* Atomic writing of one file: temporary sibling, sync, rename. Devices and pipes are written
 * directly. A symbolic link is followed, so that the file it names is replaced and not the link. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/alloc.h"
#include "support/fault.h"
#include "support/file.h"
#include "support/file_internal.h"

#define WRITER_BUFFER 65536u

struct file_writer {
    struct diag_list *diags;
    char *path;      /* where the file shall be, links resolved */
    char *temporary; /* NULL when writing directly */
    int fd;
    spk_status status;
    size_t fill;
    char buffer[WRITER_BUFFER];
};

char *file_temporary_name(const char *path, unsigned attempt)
{
    size_t size = strlen(path) + 48;
    char *name = spk_alloc(size);
    if (name)
        (void)spk_snprintf(name, size, "%s.tmp-%ld-%u", path, (long)getpid(), attempt);
    return name;
}

void file_sync_parent(const char *path)
{
    size_t length = (size_t)(path_base(path) - path);
    char parent[PATH_MAX] = ".";
    int fd;
    if (length >= sizeof parent)
        return;
    if (length > 0) {
        memcpy(parent, path, length);
        parent[length] = '\0';
    }
    fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        (void)close(fd);
    }
}

static void writer_free(struct file_writer *writer)
{
    if (writer->fd >= 0)
        (void)close(writer->fd);
    spk_free(writer->path);
    spk_free(writer->temporary);
    spk_free(writer);
}

/* Opens a fresh temporary file next to writer->path, with the permissions of the old file. */
static spk_status open_temporary(struct file_writer *writer, const struct stat *existing)
{
    for (unsigned attempt = 0; attempt < FILE_TEMPORARY_ATTEMPTS; attempt++) {
        spk_free(writer->temporary);
        writer->temporary = file_temporary_name(writer->path, attempt);
        if (!writer->temporary)
            return SPK_ERR_NOMEM;
        writer->fd = open(writer->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (writer->fd >= 0 && existing)
            (void)fchmod(writer->fd, existing->st_mode & 0777);
        if (writer->fd >= 0 || errno != EEXIST)
            break;
    }
    if (writer->fd < 0)
        return file_system_error(writer->diags, writer->path, "E0003", "create the file");
    return SPK_OK;
}

static spk_status writer_open(struct file_writer *writer, const char *path)
{
    struct stat info;
    char resolved[PATH_MAX];
    bool exists = stat(path, &info) == 0;
    if (exists && S_ISDIR(info.st_mode)) {
        errno = EISDIR;
        return file_system_error(writer->diags, path, "E0003", "write");
    }
    writer->path = spk_strdup(exists && realpath(path, resolved) ? resolved : path);
    if (!writer->path)
        return SPK_ERR_NOMEM;
    if (!exists || S_ISREG(info.st_mode))
        return open_temporary(writer, exists ? &info : NULL);
    writer->fd = open(path, O_WRONLY | O_CLOEXEC);
    if (writer->fd < 0)
        return file_system_error(writer->diags, path, "E0003", "open");
    return SPK_OK;
}

spk_status file_writer_create(const char *path, struct diag_list *diags,
                              struct file_writer **out_writer)
{
    struct file_writer *writer = spk_alloc(sizeof *writer);
    spk_status status;
    *out_writer = NULL;
    if (!writer)
        return SPK_ERR_NOMEM;
    writer->diags = diags;
    writer->path = writer->temporary = NULL;
    writer->fd = -1;
    writer->status = SPK_OK;
    writer->fill = 0;
    status = writer_open(writer, path);
    if (status != SPK_OK) {
        writer_free(writer);
        return status;
    }
    *out_writer = writer;
    return SPK_OK;
}

/* write(2) until all is out. */
static void write_out(struct file_writer *writer, const char *data, size_t size)
{
    while (size > 0 && writer->status == SPK_OK) {
        ssize_t put = -1;
        if (spk_fault_hit(SPK_FAULT_WRITE))
            errno = ENOSPC;
        else
            put = write(writer->fd, data, size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0) {
            writer->status = file_system_error(writer->diags, writer->path, "E0003", "write");
            return;
        }
        data += put;
        size -= (size_t)put;
    }
}

static void flush_buffer(struct file_writer *writer)
{
    write_out(writer, writer->buffer, writer->fill);
    writer->fill = 0;
}

spk_status file_writer_write(struct file_writer *writer, const void *data, size_t size)
{
    if (size > WRITER_BUFFER - writer->fill)
        flush_buffer(writer);
    if (size > WRITER_BUFFER - writer->fill) {
        write_out(writer, data, size);
    } else if (size > 0) {
        memcpy(writer->buffer + writer->fill, data, size);
        writer->fill += size;
    }
    return writer->status;
}

/* A system call of the commit, or its injected failure. */
static void commit_step(struct file_writer *writer, int result, const char *action)
{
    if (writer->status != SPK_OK)
        return;
    if (result == 0 && spk_fault_hit(SPK_FAULT_WRITE)) {
        errno = EIO;
        result = -1;
    }
    if (result != 0)
        writer->status = file_system_error(writer->diags, writer->path, "E0003", action);
}

/* Text shorter than this waits for more. */
#define TEXT_PIECE ((size_t)60000)

spk_status file_writer_text(struct file_writer *writer, struct strbuf *text, bool last)
{
    SPK_TRY(text->status);
    if (text->len < TEXT_PIECE && !last)
        return SPK_OK;
    SPK_TRY(file_writer_write(writer, text->data, text->len));
    strbuf_clear(text);
    return SPK_OK;
}

spk_status file_writer_commit(struct file_writer *writer)
{
    spk_status status;
    int closed;
    flush_buffer(writer);
    if (writer->temporary && writer->status == SPK_OK)
        commit_step(writer, fsync(writer->fd), "sync");
    closed = close(writer->fd);
    writer->fd = -1;
    commit_step(writer, closed, "close");
    if (writer->temporary && writer->status == SPK_OK)
        commit_step(writer, rename(writer->temporary, writer->path), "replace the file");
    if (writer->temporary && writer->status == SPK_OK)
        file_sync_parent(writer->path);
    else if (writer->temporary)
        (void)unlink(writer->temporary);
    status = writer->status;
    writer_free(writer);
    return status;
}

void file_writer_abort(struct file_writer *writer)
{
    if (!writer)
        return;
    if (writer->temporary)
        (void)unlink(writer->temporary);
    writer_free(writer);
}

spk_status file_write_all(const char *path, const void *data, size_t size, struct diag_list *diags)
{
    struct file_writer *writer;
    spk_status status;
    SPK_TRY(file_writer_create(path, diags, &writer));
    status = file_writer_write(writer, data, size);
    if (status != SPK_OK) {
        file_writer_abort(writer);
        return status;
    }
    return file_writer_commit(writer);
}
