/* Replacing a folder in one step.
 *
 * The new content grows in a temporary sibling. Commit exchanges the two names atomically (Linux
 * renameat2 with RENAME_EXCHANGE) and then deletes the old content under the temporary name; where
 * the file system cannot exchange, the old folder is moved aside, the new one moved in, and the old
 * one deleted, with a moment in which the name does not exist. Only folders that are empty or carry
 * our marker are ever deleted. Deleting never follows symbolic links. */
#include <dirent.h>
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

#define REMOVE_MAX_DEPTH 64u

struct dir_writer {
    struct diag_list *diags;
    char *path;      /* to be replaced, absolute where it exists already */
    char *temporary; /* NULL until the folder was made */
};

/* ---- deleting ---- */

static int remove_entry(int folder, const char *name, unsigned depth);

/* Deletes what is in the folder open as `fd` and closes it; 0 or -1 with errno. */
static int remove_content(int fd, unsigned depth)
{
    struct dirent *entry;
    int result = 0;
    DIR *handle = fdopendir(fd);
    if (!handle) {
        (void)close(fd);
        return -1;
    }
    while (result == 0 && (entry = readdir(handle)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            result = remove_entry(dirfd(handle), entry->d_name, depth);
    }
    (void)closedir(handle);
    return result;
}

static int remove_entry(int folder, const char *name, unsigned depth)
{
    struct stat info;
    int fd;
    if (fstatat(folder, name, &info, AT_SYMLINK_NOFOLLOW) != 0)
        return -1;
    if (!S_ISDIR(info.st_mode))
        return unlinkat(folder, name, 0);
    if (depth == 0) {
        errno = ELOOP;
        return -1;
    }
    fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || remove_content(fd, depth - 1) != 0)
        return -1;
    return unlinkat(folder, name, AT_REMOVEDIR);
}

/* ---- may it be replaced? ---- */

static spk_status refuse(struct diag_list *diags, const char *path, const char *why)
{
    spk_status status =
        diag_io(diags, diag_place(diags, "%s", path), "E0006", "will not replace it: %s", why);
    diag_help_set(diags, "name a folder that does not exist yet, or one that spikec made");
    return status;
}

static bool is_empty_folder(const char *path)
{
    struct dirent *entry;
    bool empty = true;
    DIR *handle = opendir(path);
    if (!handle)
        return false;
    while (empty && (entry = readdir(handle)) != NULL)
        empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    (void)closedir(handle);
    return empty;
}

static spk_status check_replaceable(struct diag_list *diags, const char *path)
{
    struct stat info;
    char *marker;
    bool marked;
    if (lstat(path, &info) != 0)
        return errno == ENOENT ? SPK_OK : file_system_error(diags, path, "E0003", "write");
    if (!S_ISDIR(info.st_mode))
        return refuse(diags, path, "it is not a folder");
    if (is_empty_folder(path))
        return SPK_OK;
    marker = path_join(path, DIR_MARKER);
    if (!marker)
        return SPK_ERR_NOMEM;
    marked = lstat(marker, &info) == 0 && S_ISREG(info.st_mode);
    spk_free(marker);
    return marked ? SPK_OK : refuse(diags, path, "the folder holds files that are not from spikec");
}

/* The path to use: without trailing slashes, resolved where it exists. The current folder and its
 * parents cannot be swapped away under the user. */
static spk_status resolve(const char *path, struct diag_list *diags, char **out_path)
{
    char resolved[PATH_MAX], here[PATH_MAX];
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    if (length == 0) {
        errno = ENOENT;
        return file_system_error(diags, "\"\"", "E0003", "create a folder");
    }
    if (realpath(path, resolved)) {
        size_t prefix = strlen(resolved);
        if (getcwd(here, sizeof here) && strncmp(here, resolved, prefix) == 0 &&
            (here[prefix] == '\0' || here[prefix] == '/' || resolved[prefix - 1] == '/'))
            return refuse(diags, path, "it is the current folder or holds it");
        *out_path = spk_strdup(resolved);
    } else {
        *out_path = spk_strndup(path, length);
    }
    return *out_path ? SPK_OK : SPK_ERR_NOMEM;
}

/* ---- life of a dir_writer ---- */

static void dir_free(struct dir_writer *dir)
{
    spk_free(dir->path);
    spk_free(dir->temporary);
    spk_free(dir);
}

static spk_status make_temporary(struct dir_writer *dir)
{
    for (unsigned attempt = 0; attempt < FILE_TEMPORARY_ATTEMPTS; attempt++) {
        char *name = file_temporary_name(dir->path, attempt);
        if (!name)
            return SPK_ERR_NOMEM;
        if (!spk_fault_hit(SPK_FAULT_WRITE)) {
            if (mkdir(name, 0777) == 0) {
                dir->temporary = name;
                return SPK_OK;
            }
        } else {
            errno = ENOSPC;
        }
        spk_free(name);
        if (errno != EEXIST)
            break;
    }
    return file_system_error(dir->diags, dir->path, "E0003", "create the folder");
}

spk_status dir_begin(const char *path, struct diag_list *diags, struct dir_writer **out_dir)
{
    struct dir_writer *dir = spk_alloc_zero(sizeof *dir);
    spk_status status;
    *out_dir = NULL;
    if (!dir)
        return SPK_ERR_NOMEM;
    dir->diags = diags;
    status = resolve(path, diags, &dir->path);
    if (status == SPK_OK)
        status = check_replaceable(diags, dir->path);
    if (status == SPK_OK)
        status = make_temporary(dir);
    if (status != SPK_OK) {
        dir_free(dir);
        return status;
    }
    *out_dir = dir;
    return SPK_OK;
}

const char *dir_path(const struct dir_writer *dir)
{
    return dir->temporary;
}

spk_status dir_file(const struct dir_writer *dir, const char *name, char **out_path)
{
    *out_path = path_join(dir->temporary, name);
    return *out_path ? SPK_OK : SPK_ERR_NOMEM;
}

static spk_status write_marker(struct dir_writer *dir)
{
    static const char text[] = "This folder was made by spikec and may be replaced by it.\n";
    char *marker;
    spk_status status;
    SPK_TRY(dir_file(dir, DIR_MARKER, &marker));
    status = file_write_all(marker, text, sizeof text - 1, dir->diags);
    spk_free(marker);
    return status;
}

/* Old and new change places; afterwards the old content is under the temporary name. Without
 * RENAME_EXCHANGE the old folder passes through the name `aside`. */
static int swap_folders(const char *temporary, const char *path, const char *aside)
{
    int error;
    if (renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_EXCHANGE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
    if (rename(path, aside) != 0)
        return -1;
    if (rename(temporary, path) != 0) {
        error = errno;
        (void)rename(aside, path);
        errno = error;
        return -1;
    }
    return rename(aside, temporary);
}

static spk_status put_in_place(struct dir_writer *dir, const char *aside)
{
    bool replace = file_exists(dir->path);
    int result;
    SPK_TRY(check_replaceable(dir->diags, dir->path));
    if (spk_fault_hit(SPK_FAULT_WRITE)) {
        errno = EIO;
        result = -1;
    } else if (replace) {
        result = swap_folders(dir->temporary, dir->path, aside);
    } else {
        result = rename(dir->temporary, dir->path);
    }
    if (result != 0)
        return file_system_error(dir->diags, dir->path, "E0003", "replace the folder");
    file_sync_parent(dir->path);
    if (replace && remove_entry(AT_FDCWD, dir->temporary, REMOVE_MAX_DEPTH) != 0)
        diag_warning(dir->diags, diag_place(dir->diags, "%s", dir->temporary), "W0006",
                     "cannot remove the folder that was replaced");
    spk_free(dir->temporary);
    dir->temporary = NULL;
    return SPK_OK;
}

spk_status dir_commit(struct dir_writer *dir)
{
    char *aside = NULL;
    spk_status status = write_marker(dir);
    if (status == SPK_OK) {
        aside = file_temporary_name(dir->path, FILE_TEMPORARY_ATTEMPTS);
        status = aside ? put_in_place(dir, aside) : SPK_ERR_NOMEM;
    }
    spk_free(aside);
    dir_abort(dir);
    return status;
}

void dir_abort(struct dir_writer *dir)
{
    if (!dir)
        return;
    if (dir->temporary)
        (void)remove_entry(AT_FDCWD, dir->temporary, REMOVE_MAX_DEPTH);
    dir_free(dir);
}
