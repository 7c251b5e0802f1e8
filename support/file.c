/* Reading files: whole, mapped, gzip; listing folders; paths. Writing is in file_write.c and
 * file_dir.c. */
#include "support/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/file_internal.h"
#include "support/gunzip.h"
#include "support/sha256.h"

#define FILE_DEFAULT_MAX ((size_t)1 << 30)
#define FILE_GZIP_SLACK 65536u /* a packed file may be a little larger than its content */

spk_status file_system_error(struct diag_list *diags, const char *path, const char *code,
                             const char *action)
{
    char buffer[128];
    int error = errno;
    const char *text = strerror_r(error, buffer, sizeof buffer);
    if (error == ENOMEM)
        return SPK_ERR_NOMEM;
    return diag_io(diags, diag_place(diags, "%s", path), code, "cannot %s: %s", action, text);
}

/* ---- whole files ---- */

static spk_status too_large(struct diag_list *diags, const char *path, size_t max_bytes)
{
    return diag_error(diags, diag_place(diags, "%s", path), "E0004",
                      "file is larger than the limit of %zu bytes", max_bytes);
}

/* Reads to the end, whatever kind of file it is; data gets one NUL byte behind the content. */
static spk_status read_all(int fd, const char *path, size_t max_bytes, size_t expected,
                           struct diag_list *diags, char **out_data, size_t *out_size)
{
    VEC(char) data = {0};
    spk_status status = vec_reserve(&data, expected + 2);
    while (status == SPK_OK) {
        ssize_t got;
        if (data.len > max_bytes) {
            status = too_large(diags, path, max_bytes);
            break;
        }
        status = vec_reserve(&data, data.len + 2);
        if (status != SPK_OK)
            break;
        got = read(fd, data.data + data.len, data.cap - data.len - 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            status = file_system_error(diags, path, "E0002", "read");
        if (got <= 0)
            break;
        data.len += (size_t)got;
    }
    if (status != SPK_OK) {
        vec_fini(&data);
        return status;
    }
    data.data[data.len] = '\0';
    *out_data = data.data;
    *out_size = data.len;
    return SPK_OK;
}

spk_status file_read(const char *path, size_t max_bytes, struct diag_list *diags, char **out_data,
                     size_t *out_size)
{
    struct stat info;
    spk_status status;
    int fd;
    *out_data = NULL;
    *out_size = 0;
    if (max_bytes == 0)
        max_bytes = FILE_DEFAULT_MAX;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return file_system_error(diags, path, "E0001", "open");
    if (fstat(fd, &info) != 0)
        status = file_system_error(diags, path, "E0002", "read");
    else if (S_ISREG(info.st_mode) && (uintmax_t)info.st_size > max_bytes)
        status = too_large(diags, path, max_bytes);
    else
        status = read_all(fd, path, max_bytes, S_ISREG(info.st_mode) ? (size_t)info.st_size : 0,
                          diags, out_data, out_size);
    (void)close(fd);
    return status;
}

spk_status file_read_gz(const char *path, size_t max_bytes, struct diag_list *diags,
                        char **out_data, size_t *out_size)
{
    char *packed;
    size_t packed_size;
    spk_status status;
    if (max_bytes == 0)
        max_bytes = FILE_DEFAULT_MAX;
    *out_data = NULL;
    *out_size = 0;
    SPK_TRY(file_read(
        path, max_bytes < SIZE_MAX - FILE_GZIP_SLACK ? max_bytes + FILE_GZIP_SLACK : max_bytes,
        diags, &packed, &packed_size));
    if (!gunzip_is_gzip(packed, packed_size)) {
        if (packed_size > max_bytes) {
            spk_free(packed);
            return too_large(diags, path, max_bytes);
        }
        *out_data = packed;
        *out_size = packed_size;
        return SPK_OK;
    }
    status = gunzip(packed, packed_size, max_bytes, path, diags, out_data, out_size);
    spk_free(packed);
    return status;
}

spk_status file_map_open(const char *path, struct diag_list *diags, struct file_map *out_map)
{
    struct stat info;
    spk_status status = SPK_OK;
    int fd;
    *out_map = (struct file_map){0};
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return file_system_error(diags, path, "E0001", "open");
    if (fstat(fd, &info) != 0) {
        status = file_system_error(diags, path, "E0002", "read");
    } else if (!S_ISREG(info.st_mode)) {
        status = diag_io(diags, diag_place(diags, "%s", path), "E0002", "not a regular file");
    } else if (info.st_size > 0) {
        void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED)
            status = file_system_error(diags, path, "E0002", "map");
        else
            *out_map = (struct file_map){.data = data, .size = (size_t)info.st_size};
    }
    (void)close(fd);
    return status;
}

void file_map_close(struct file_map *map)
{
    if (map->data)
        (void)munmap((void *)(uintptr_t)map->data, map->size);
    *map = (struct file_map){0};
}

void file_pages_release(const void *data, size_t size)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t begin = ((uintptr_t)data + page - 1) / page * page;
    uintptr_t end = ((uintptr_t)data + size) / page * page;
    if (begin < end)
        (void)madvise((void *)begin, end - begin, MADV_DONTNEED);
}

spk_status file_sha256(const char *path, struct diag_list *diags, char *out_hex)
{
    struct file_map map;
    uint8_t digest[SHA256_BYTES];
    out_hex[0] = '\0';
    SPK_TRY(file_map_open(path, diags, &map));
    sha256_bytes(map.data, map.size, digest);
    file_map_close(&map);
    sha256_to_hex(digest, out_hex);
    return SPK_OK;
}

/* ---- names ---- */

bool file_exists(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0;
}

bool file_is_directory(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

spk_status file_list(const char *folder, const char *suffix, struct diag_list *diags,
                     struct file_names *out_names)
{
    spk_status status = SPK_OK;
    struct dirent *entry;
    DIR *handle = opendir(folder);
    *out_names = (struct file_names){0};
    if (!handle)
        return file_system_error(diags, folder, "E0001", "list");
    while (status == SPK_OK && (errno = 0, entry = readdir(handle)) != NULL) {
        char *name;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            !path_has_suffix(entry->d_name, suffix))
            continue;
        name = spk_strdup(entry->d_name);
        status = name ? vec_push(out_names, name) : SPK_ERR_NOMEM;
        if (status != SPK_OK)
            spk_free(name);
    }
    if (status == SPK_OK && errno != 0)
        status = file_system_error(diags, folder, "E0002", "list");
    (void)closedir(handle);
    if (status != SPK_OK)
        file_names_fini(out_names);
    else if (out_names->len > 1)
        qsort(out_names->data, out_names->len, sizeof *out_names->data, compare_names);
    return status;
}

void file_names_fini(struct file_names *names)
{
    for (size_t i = 0; i < names->len; i++)
        spk_free(names->data[i]);
    vec_fini(names);
}

char *path_join(const char *folder, const char *name)
{
    size_t folder_length = strlen(folder);
    size_t length = folder_length + strlen(name) + 2;
    char *path;
    if (folder_length == 0 || name[0] == '/')
        return spk_strdup(name);
    path = spk_alloc(length);
    if (path)
        (void)spk_snprintf(path, length, "%s%s%s", folder,
                           folder[folder_length - 1] == '/' ? "" : "/", name);
    return path;
}

const char *path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

bool path_has_suffix(const char *path, const char *suffix)
{
    size_t length = strlen(path), tail = strlen(suffix);
    return length >= tail && strcmp(path + length - tail, suffix) == 0;
}
