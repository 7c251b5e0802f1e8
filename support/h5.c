/* HDF5 files: opening, closing, looking around. Writing is in h5_write.c, reading in h5_read.c and
 * h5_table.c.
 *
 * Names are walked link by link: only hard links are followed, so that a file can neither point
 * outside itself nor in circles. Chunk sizes are checked before the library allocates for them. */
#include <stdlib.h>
#include <string.h>

#include "support/alloc.h"
#include "support/checked.h"
#include "support/file.h"
#include "support/h5_internal.h"

#define H5_MAX_CHUNK_BYTES ((uint64_t)64 << 20)

static const struct {
    const char *name;
    size_t size;
} type_table[H5_TYPE_COUNT] = {
    [H5_I8] = {"i8", 1},   [H5_U8] = {"u8", 1},   [H5_I16] = {"i16", 2}, [H5_U16] = {"u16", 2},
    [H5_I32] = {"i32", 4}, [H5_U32] = {"u32", 4}, [H5_I64] = {"i64", 8}, [H5_U64] = {"u64", 8},
    [H5_F32] = {"f32", 4}, [H5_F64] = {"f64", 8},
};

size_t h5_type_size(enum h5_type type)
{
    return type < H5_TYPE_COUNT ? type_table[type].size : 0;
}

const char *h5_type_name(enum h5_type type)
{
    return type < H5_TYPE_COUNT ? type_table[type].name : "another type";
}

hid_t h5_native_type(enum h5_type type)
{
    switch (type) {
    case H5_I8:
        return H5T_NATIVE_INT8;
    case H5_U8:
        return H5T_NATIVE_UINT8;
    case H5_I16:
        return H5T_NATIVE_INT16;
    case H5_U16:
        return H5T_NATIVE_UINT16;
    case H5_I32:
        return H5T_NATIVE_INT32;
    case H5_U32:
        return H5T_NATIVE_UINT32;
    case H5_I64:
        return H5T_NATIVE_INT64;
    case H5_U64:
        return H5T_NATIVE_UINT64;
    case H5_F32:
        return H5T_NATIVE_FLOAT;
    case H5_F64:
        return H5T_NATIVE_DOUBLE;
    case H5_TYPE_COUNT:
        break;
    }
    return H5I_INVALID_HID;
}

hid_t h5_disk_type(enum h5_type type)
{
    switch (type) {
    case H5_I8:
        return H5T_STD_I8LE;
    case H5_U8:
        return H5T_STD_U8LE;
    case H5_I16:
        return H5T_STD_I16LE;
    case H5_U16:
        return H5T_STD_U16LE;
    case H5_I32:
        return H5T_STD_I32LE;
    case H5_U32:
        return H5T_STD_U32LE;
    case H5_I64:
        return H5T_STD_I64LE;
    case H5_U64:
        return H5T_STD_U64LE;
    case H5_F32:
        return H5T_IEEE_F32LE;
    case H5_F64:
        return H5T_IEEE_F64LE;
    case H5_TYPE_COUNT:
        break;
    }
    return H5I_INVALID_HID;
}

static enum h5_type classify_integer(hid_t type)
{
    size_t size = H5Tget_size(type);
    bool is_signed = H5Tget_sign(type) == H5T_SGN_2;
    if (H5Tget_precision(type) != size * 8)
        return H5_TYPE_COUNT;
    switch (size) {
    case 1:
        return is_signed ? H5_I8 : H5_U8;
    case 2:
        return is_signed ? H5_I16 : H5_U16;
    case 4:
        return is_signed ? H5_I32 : H5_U32;
    case 8:
        return is_signed ? H5_I64 : H5_U64;
    default:
        return H5_TYPE_COUNT;
    }
}

enum h5_type h5_classify(hid_t type)
{
    switch (H5Tget_class(type)) {
    case H5T_INTEGER:
        return classify_integer(type);
    case H5T_ENUM: { /* booleans of h5py */
        const hid_t base = H5Tget_super(type);
        const enum h5_type found = base >= 0 ? classify_integer(base) : H5_TYPE_COUNT;
        if (base >= 0)
            (void)H5Tclose(base);
        return found;
    }
    case H5T_FLOAT:
        if (H5Tequal(type, H5T_IEEE_F32LE) > 0 || H5Tequal(type, H5T_IEEE_F32BE) > 0)
            return H5_F32;
        if (H5Tequal(type, H5T_IEEE_F64LE) > 0 || H5Tequal(type, H5T_IEEE_F64BE) > 0)
            return H5_F64;
        return H5_TYPE_COUNT;
    default:
        return H5_TYPE_COUNT;
    }
}

bool h5_widens(enum h5_type from, enum h5_type to)
{
    static const uint16_t targets[H5_TYPE_COUNT] = {
        [H5_I8] = 1u << H5_I16 | 1u << H5_I32 | 1u << H5_I64 | 1u << H5_F32 | 1u << H5_F64,
        [H5_U8] = 1u << H5_I16 | 1u << H5_U16 | 1u << H5_I32 | 1u << H5_U32 | 1u << H5_I64 |
                  1u << H5_U64 | 1u << H5_F32 | 1u << H5_F64,
        [H5_I16] = 1u << H5_I32 | 1u << H5_I64 | 1u << H5_F32 | 1u << H5_F64,
        [H5_U16] =
            1u << H5_I32 | 1u << H5_U32 | 1u << H5_I64 | 1u << H5_U64 | 1u << H5_F32 | 1u << H5_F64,
        [H5_I32] = 1u << H5_I64 | 1u << H5_F64,
        [H5_U32] = 1u << H5_I64 | 1u << H5_U64 | 1u << H5_F64,
        [H5_F32] = 1u << H5_F64,
    };
    return from < H5_TYPE_COUNT && to < H5_TYPE_COUNT &&
           (from == to || (targets[from] >> to & 1u) != 0);
}

/* ---- diagnostics ---- */

void h5_quiet(void)
{
    /* HDF5 1.10 cannot close a file that could not be written, and its handler at exit crashes on
     * what is left. Every file here is closed by hand, so that the handler has nothing to do. */
    (void)H5dont_atexit();
    (void)H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

struct spk_span h5_place(const struct h5_file *file, const char *name)
{
    return diag_place(file->diags, "%s: %s", file->path, name);
}

spk_status h5_bad(const struct h5_file *file, const char *name, const char *code,
                  const char *format, ...)
{
    va_list arguments;
    spk_status status;
    va_start(arguments, format);
    status = diag_vreport(file->diags, DIAG_ERROR, SPK_ERR_INPUT, h5_place(file, name), code,
                          format, arguments);
    va_end(arguments);
    return status;
}

spk_status h5_write_failed(const struct h5_file *file, const char *name)
{
    return diag_io(file->diags, h5_place(file, name), "E0024", "cannot write to the HDF5 file");
}

/* ---- files ---- */

/* File access settings: the format of HDF5 1.10, in which all metadata carry checksums; no locking
 * (read-only media, several readers). */
static hid_t make_access(void)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    if (access >= 0 && (H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110) < 0 ||
                        H5Pset_file_locking(access, false, true) < 0)) {
        (void)H5Pclose(access);
        access = H5I_INVALID_HID;
    }
    return access;
}

static hid_t create_file(const char *path, hid_t access)
{
    hid_t creation = H5Pcreate(H5P_FILE_CREATE);
    hid_t id = H5I_INVALID_HID;
    if (creation >= 0 && H5Pset_obj_track_times(creation, false) >= 0)
        id = H5Fcreate(path, H5F_ACC_TRUNC, creation, access);
    if (creation >= 0)
        (void)H5Pclose(creation);
    return id;
}

static spk_status open_any(const char *path, bool create, struct diag_list *diags,
                           struct h5_file **out_file)
{
    struct h5_file *file = spk_alloc_zero(sizeof *file);
    hid_t access;
    *out_file = NULL;
    if (!file)
        return SPK_ERR_NOMEM;
    file->path = spk_strdup(path);
    if (!file->path) {
        spk_free(file);
        return SPK_ERR_NOMEM;
    }
    h5_quiet();
    file->diags = diags;
    file->writable = create;
    file->id = H5I_INVALID_HID;
    access = make_access();
    if (access >= 0) {
        file->id = create ? create_file(path, access) : H5Fopen(path, H5F_ACC_RDONLY, access);
        (void)H5Pclose(access);
    }
    if (file->id < 0) {
        h5_destroy(file);
        if (create)
            return diag_io(diags, diag_place(diags, "%s", path), "E0020",
                           "cannot create the HDF5 file");
        return diag_error(diags, diag_place(diags, "%s", path), "E0020",
                          "not an HDF5 file, or damaged");
    }
    *out_file = file;
    return SPK_OK;
}

spk_status h5_create(const char *path, struct diag_list *diags, struct h5_file **out_file)
{
    return open_any(path, true, diags, out_file);
}

spk_status h5_open(const char *path, struct diag_list *diags, struct h5_file **out_file)
{
    struct file_map map; /* tells "no such file" from "not an HDF5 file" */
    *out_file = NULL;
    SPK_TRY(file_map_open(path, diags, &map));
    file_map_close(&map);
    return open_any(path, false, diags, out_file);
}

void h5_destroy(struct h5_file *file)
{
    if (!file)
        return;
    h5_quiet();
    if (file->id >= 0)
        (void)H5Fclose(file->id);
    spk_free(file->path);
    spk_free(file);
}

spk_status h5_close(struct h5_file *file)
{
    spk_status status = SPK_OK;
    if (!file)
        return SPK_OK;
    h5_quiet();
    if (file->writable && H5Fflush(file->id, H5F_SCOPE_LOCAL) < 0)
        status = h5_write_failed(file, "/");
    if (H5Fclose(file->id) < 0 && status == SPK_OK)
        status = h5_write_failed(file, "/");
    file->id = H5I_INVALID_HID;
    h5_destroy(file);
    return status;
}

/* ---- looking around ---- */

bool h5_exists(const struct h5_file *file, const char *name)
{
    char prefix[1024];
    size_t length = strlen(name), at = 0;
    H5L_info_t link;
    h5_quiet();
    if (length == 0 || length >= sizeof prefix)
        return false;
    while (name[at] == '/')
        at++;
    if (at == length)
        return true; /* the root */
    while (at < length) {
        size_t end = at + strcspn(name + at, "/");
        memcpy(prefix, name, end);
        prefix[end] = '\0';
        if (end - at == 1 && name[at] == '.')
            return false;
        if (H5Lexists(file->id, prefix, H5P_DEFAULT) <= 0 ||
            H5Lget_info(file->id, prefix, &link, H5P_DEFAULT) < 0 || link.type != H5L_TYPE_HARD)
            return false;
        at = end + strspn(name + end, "/");
    }
    return H5Oexists_by_name(file->id, name, H5P_DEFAULT) > 0;
}

static spk_status describe_space(const struct h5_file *file, const char *name, hid_t dataset,
                                 struct h5_info *info)
{
    hsize_t dims[H5S_MAX_RANK];
    hid_t space = H5Dget_space(dataset);
    H5S_class_t kind = space >= 0 ? H5Sget_simple_extent_type(space) : H5S_NO_CLASS;
    int rank = space >= 0 ? H5Sget_simple_extent_dims(space, dims, NULL) : -1;
    if (space >= 0)
        (void)H5Sclose(space);
    if (rank < 0)
        return h5_bad(file, name, "E0020", "damaged HDF5 dataset");
    if (rank > (int)H5_MAX_RANK)
        return h5_bad(file, name, "E0023", "rank %d is above the limit of %u", rank, H5_MAX_RANK);
    info->rank = (uint32_t)rank;
    for (int i = 0; i < rank; i++)
        info->dims[i] = dims[i];
    if (kind == H5S_NULL)
        info->count = 0;
    else if (!checked_product_u64(info->dims, info->rank, &info->count))
        return h5_bad(file, name, "E0023", "number of elements overflows");
    return SPK_OK;
}

static spk_status describe_dataset(const struct h5_file *file, const char *name, hid_t dataset,
                                   struct h5_info *info)
{
    hid_t type = H5Dget_type(dataset);
    if (type < 0)
        return h5_bad(file, name, "E0020", "damaged HDF5 dataset");
    info->type = h5_classify(type);
    if (info->type != H5_TYPE_COUNT)
        info->kind = H5_KIND_NUMERIC;
    else if (H5Tget_class(type) == H5T_STRING)
        info->kind = H5_KIND_STRING;
    else if (H5Tget_class(type) == H5T_COMPOUND)
        info->kind = H5_KIND_TABLE;
    (void)H5Tclose(type);
    return describe_space(file, name, dataset, info);
}

spk_status h5_describe(const struct h5_file *file, const char *name, struct h5_info *out_info)
{
    spk_status status = SPK_OK;
    hid_t object;
    *out_info = (struct h5_info){.kind = H5_KIND_OTHER, .type = H5_TYPE_COUNT};
    if (!h5_exists(file, name))
        return h5_bad(file, name, "E0021", "missing in the HDF5 file");
    object = H5Oopen(file->id, name, H5P_DEFAULT);
    switch (object >= 0 ? H5Iget_type(object) : H5I_BADID) {
    case H5I_GROUP:
        out_info->kind = H5_KIND_GROUP;
        break;
    case H5I_DATASET:
        status = describe_dataset(file, name, object, out_info);
        break;
    case H5I_BADID:
        status = h5_bad(file, name, "E0020", "damaged HDF5 object");
        break;
    default:
        break;
    }
    if (object >= 0)
        (void)H5Oclose(object);
    return status;
}

/* Refuses storage outside the file and chunks that dwarf the data. */
static spk_status check_storage(const struct h5_file *file, const char *name, hid_t dataset)
{
    hsize_t chunk[H5S_MAX_RANK];
    uint64_t sizes[H5S_MAX_RANK + 1], bytes;
    spk_status status = SPK_OK;
    hid_t type = H5Dget_type(dataset);
    hid_t creation = H5Dget_create_plist(dataset);
    H5D_layout_t layout = creation >= 0 ? H5Pget_layout(creation) : H5D_LAYOUT_ERROR;
    if (type < 0 || layout == H5D_LAYOUT_ERROR) {
        status = h5_bad(file, name, "E0020", "damaged HDF5 dataset");
    } else if (layout == H5D_VIRTUAL || H5Pget_external_count(creation) > 0) {
        status = h5_bad(file, name, "E0022", "data in other files is not supported");
    } else if (layout == H5D_CHUNKED) {
        int rank = H5Pget_chunk(creation, (int)H5S_MAX_RANK, chunk);
        for (int i = 0; i < rank; i++)
            sizes[i] = chunk[i];
        sizes[rank > 0 ? rank : 0] = H5Tget_size(type);
        if (rank < 0 || !checked_product_u64(sizes, (size_t)rank + 1, &bytes) ||
            bytes > H5_MAX_CHUNK_BYTES)
            status = h5_bad(file, name, "E0023", "chunks are above the limit of %llu bytes",
                            (unsigned long long)H5_MAX_CHUNK_BYTES);
    }
    if (type >= 0)
        (void)H5Tclose(type);
    if (creation >= 0)
        (void)H5Pclose(creation);
    return status;
}

spk_status h5_open_dataset(const struct h5_file *file, const char *name, struct h5_info *out_info,
                           hid_t *out_dataset)
{
    spk_status status;
    *out_dataset = H5I_INVALID_HID;
    SPK_TRY(h5_describe(file, name, out_info));
    if (out_info->kind == H5_KIND_GROUP)
        return h5_bad(file, name, "E0022", "is a group, not a dataset");
    *out_dataset = H5Dopen2(file->id, name, H5P_DEFAULT);
    if (*out_dataset < 0)
        return h5_bad(file, name, "E0020", "not a dataset, or damaged");
    status = check_storage(file, name, *out_dataset);
    if (status != SPK_OK) {
        (void)H5Dclose(*out_dataset);
        *out_dataset = H5I_INVALID_HID;
    }
    return status;
}

/* ---- members of a group ---- */

struct list_request {
    struct h5_names *names;
    size_t max_count;
    spk_status status;
    bool too_many;
};

static herr_t list_one(hid_t group, const char *name, const H5L_info_t *info, void *data)
{
    struct list_request *request = data;
    char *copy;
    (void)group;
    (void)info;
    if (request->names->len >= request->max_count) {
        request->too_many = true;
        return 1;
    }
    copy = spk_strdup(name);
    request->status = copy ? vec_push(request->names, copy) : SPK_ERR_NOMEM;
    if (request->status == SPK_OK)
        return 0;
    spk_free(copy);
    return 1;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

spk_status h5_list(const struct h5_file *file, const char *group, size_t max_count,
                   struct h5_names *out_names)
{
    struct list_request request = {.names = out_names, .max_count = max_count};
    struct h5_info info;
    herr_t walked;
    *out_names = (struct h5_names){0};
    SPK_TRY(h5_describe(file, group, &info));
    if (info.kind != H5_KIND_GROUP)
        return h5_bad(file, group, "E0022", "is not a group");
    /* In native order: for others, 1.10.8 builds a table that crashes on damaged files. */
    walked = H5Literate_by_name(file->id, group, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, list_one,
                                &request, H5P_DEFAULT);
    if (request.too_many)
        request.status = h5_bad(file, group, "E0023", "has more than %zu members", max_count);
    else if (walked < 0 && request.status == SPK_OK)
        request.status = h5_bad(file, group, "E0020", "damaged HDF5 group");
    if (request.status != SPK_OK)
        h5_names_fini(out_names);
    else if (out_names->len > 1)
        qsort(out_names->data, out_names->len, sizeof *out_names->data, compare_names);
    return request.status;
}

void h5_names_fini(struct h5_names *names)
{
    for (size_t i = 0; i < names->len; i++)
        spk_free(names->data[i]);
    vec_fini(names);
}
