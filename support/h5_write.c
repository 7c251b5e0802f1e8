/* Writing HDF5 datasets, strings, attributes and tables; see h5.c.
 *
 * Time stamps are off for every object and numbers go to disk little-endian and packed, so that
 * equal calls give equal bytes. */
#include <string.h>

#include "support/alloc.h"
#include "support/checked.h"
#include "support/h5_internal.h"

#define CHUNK_TARGET_BYTES ((uint64_t)1 << 20)

static void close_property(hid_t id)
{
    if (id >= 0)
        (void)H5Pclose(id);
}

static spk_status make_group(struct h5_file *file, const char *name)
{
    hid_t creation = H5Pcreate(H5P_GROUP_CREATE);
    hid_t group = H5I_INVALID_HID;
    h5_quiet();
    if (creation >= 0 && H5Pset_obj_track_times(creation, false) >= 0)
        group = H5Gcreate2(file->id, name, H5P_DEFAULT, creation, H5P_DEFAULT);
    close_property(creation);
    if (group < 0)
        return h5_write_failed(file, name);
    (void)H5Gclose(group);
    return SPK_OK;
}

/* Makes the groups on the way to `name` one by one: those that the library makes by itself would
 * carry time stamps. */
static spk_status make_parents(struct h5_file *file, const char *name)
{
    const char *slash = strchr(name + 1, '/');
    for (; slash; slash = strchr(slash + 1, '/')) {
        spk_status status = SPK_OK;
        char *parent = spk_strndup(name, (size_t)(slash - name));
        if (!parent)
            return SPK_ERR_NOMEM;
        if (!h5_exists(file, parent))
            status = make_group(file, parent);
        spk_free(parent);
        SPK_TRY(status);
    }
    return SPK_OK;
}

spk_status h5_write_group(struct h5_file *file, const char *name)
{
    SPK_TRY(make_parents(file, name));
    return make_group(file, name);
}

/* Halves the leading dimensions until a chunk has at most CHUNK_TARGET_BYTES. */
static void choose_chunk(uint32_t rank, const uint64_t *dims, size_t item, hsize_t *out_chunk)
{
    uint64_t bytes = item;
    for (uint32_t i = 0; i < rank; i++) {
        out_chunk[i] = dims[i];
        bytes *= dims[i]; /* fits: the data lies in memory */
    }
    for (uint32_t i = 0; i < rank; i++) {
        while (bytes > CHUNK_TARGET_BYTES && out_chunk[i] > 1) {
            bytes = bytes / out_chunk[i];
            out_chunk[i] = (out_chunk[i] + 1) / 2;
            bytes *= out_chunk[i];
        }
    }
}

/* Strings of variable length must have a fill value. */
static hid_t dataset_properties(uint32_t rank, const uint64_t *dims, uint64_t count, hid_t disk,
                                uint32_t gzip_level)
{
    const size_t item = H5Tget_size(disk);
    const bool variable = H5Tis_variable_str(disk) > 0;
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    hsize_t chunk[H5_MAX_RANK];
    bool ok = creation >= 0 && H5Pset_obj_track_times(creation, false) >= 0 &&
              H5Pset_fill_time(creation, variable ? H5D_FILL_TIME_IFSET : H5D_FILL_TIME_NEVER) >= 0;
    if (ok && gzip_level > 0 && rank > 0 && count > 0) {
        choose_chunk(rank, dims, item, chunk);
        ok = H5Pset_chunk(creation, (int)rank, chunk) >= 0 && H5Pset_shuffle(creation) >= 0 &&
             H5Pset_deflate(creation, gzip_level < 9 ? gzip_level : 9) >= 0 &&
             H5Pset_fletcher32(creation) >= 0; /* libhdf5 trusts what inflate returns */
    }
    if (ok)
        return creation;
    close_property(creation);
    return H5I_INVALID_HID;
}

/* Creates the dataset and writes all of it from memory of type `memory`. */
static spk_status write_dataset(struct h5_file *file, const char *name, hid_t disk, hid_t memory,
                                uint32_t rank, const uint64_t *dims, const void *data,
                                uint32_t gzip_level)
{
    hsize_t extent[H5_MAX_RANK];
    hid_t space, creation, dataset = H5I_INVALID_HID;
    uint64_t count;
    bool ok;
    h5_quiet();
    if (rank > H5_MAX_RANK || !checked_product_u64(dims, rank, &count) || !file->writable)
        return h5_write_failed(file, name);
    SPK_TRY(make_parents(file, name));
    for (uint32_t i = 0; i < rank; i++)
        extent[i] = dims[i];
    space = rank > 0 ? H5Screate_simple((int)rank, extent, NULL) : H5Screate(H5S_SCALAR);
    creation = dataset_properties(rank, dims, count, disk, gzip_level);
    ok = space >= 0 && creation >= 0;
    if (ok)
        dataset = H5Dcreate2(file->id, name, disk, space, H5P_DEFAULT, creation, H5P_DEFAULT);
    ok = dataset >= 0;
    if (ok && count > 0)
        ok = H5Dwrite(dataset, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0;
    if (dataset >= 0)
        ok = H5Dclose(dataset) >= 0 && ok;
    if (space >= 0)
        (void)H5Sclose(space);
    close_property(creation);
    return ok ? SPK_OK : h5_write_failed(file, name);
}

spk_status h5_write(struct h5_file *file, const char *name, enum h5_type type, uint32_t rank,
                    const uint64_t *dims, const void *data, uint32_t gzip_level)
{
    return write_dataset(file, name, h5_disk_type(type), h5_native_type(type), rank, dims, data,
                         gzip_level);
}

spk_status h5_write_1d(struct h5_file *file, const char *name, enum h5_type type, uint64_t count,
                       const void *data)
{
    return h5_write(file, name, type, 1, &count, data, 0);
}

/* ---- strings ---- */

/* UTF-8 of fixed size; H5Tclose. */
static hid_t string_type(size_t size)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    if (type >= 0 &&
        (H5Tset_size(type, size > 0 ? size : 1) < 0 || H5Tset_strpad(type, H5T_STR_NULLPAD) < 0 ||
         H5Tset_cset(type, H5T_CSET_UTF8) < 0)) {
        (void)H5Tclose(type);
        type = H5I_INVALID_HID;
    }
    return type;
}

spk_status h5_write_string(struct h5_file *file, const char *name, const char *text)
{
    hid_t type;
    spk_status status;
    h5_quiet();
    type = string_type(strlen(text));
    if (type < 0)
        return h5_write_failed(file, name);
    status = write_dataset(file, name, type, type, 0, NULL, text, 0);
    (void)H5Tclose(type);
    return status;
}

spk_status h5_write_strings(struct h5_file *file, const char *name, size_t count,
                            const char *const *texts)
{
    size_t longest = 1;
    uint64_t dims = count;
    char *packed;
    hid_t type;
    spk_status status;
    for (size_t i = 0; i < count; i++)
        longest = strlen(texts[i]) > longest ? strlen(texts[i]) : longest;
    SPK_TRY(spk_alloc_array(count, longest, &packed));
    for (size_t i = 0; i < count; i++)
        memcpy(packed + i * longest, texts[i], strlen(texts[i]));
    h5_quiet();
    type = string_type(longest);
    status = type >= 0 ? write_dataset(file, name, type, type, 1, &dims, packed, 0)
                       : h5_write_failed(file, name);
    if (type >= 0)
        (void)H5Tclose(type);
    spk_free(packed);
    return status;
}

spk_status h5_write_text(struct h5_file *file, const char *name, uint32_t rank,
                         const uint64_t *dims, const char *const *texts)
{
    hid_t type;
    spk_status status = SPK_OK;
    h5_quiet();
    type = H5Tcopy(H5T_C_S1);
    if (type < 0 || H5Tset_size(type, H5T_VARIABLE) < 0 || H5Tset_cset(type, H5T_CSET_UTF8) < 0)
        status = h5_write_failed(file, name);
    if (status == SPK_OK)
        status = write_dataset(file, name, type, type, rank, dims, texts, 0);
    if (type >= 0)
        (void)H5Tclose(type);
    return status;
}

spk_status h5_write_ascii(struct h5_file *file, const char *name, size_t size, const char *text)
{
    const uint64_t one = 1;
    const size_t length = strlen(text);
    char *packed;
    hid_t type;
    spk_status status = SPK_OK;
    SPK_TRY(spk_alloc_array(size, 1, &packed));
    memcpy(packed, text, length < size ? length : size);
    h5_quiet();
    type = string_type(size);
    if (type < 0 || H5Tset_cset(type, H5T_CSET_ASCII) < 0)
        status = h5_write_failed(file, name);
    if (status == SPK_OK)
        status = write_dataset(file, name, type, type, 1, &one, packed, 0);
    if (type >= 0)
        (void)H5Tclose(type);
    spk_free(packed);
    return status;
}

/* ---- attributes ---- */

static spk_status write_attribute(struct h5_file *file, const char *object, const char *name,
                                  hid_t disk, hid_t memory, const void *data)
{
    hid_t space = H5Screate(H5S_SCALAR);
    hid_t attribute = H5I_INVALID_HID;
    bool ok = space >= 0 && disk >= 0;
    if (ok)
        attribute = H5Acreate_by_name(file->id, object, name, disk, space, H5P_DEFAULT, H5P_DEFAULT,
                                      H5P_DEFAULT);
    ok = attribute >= 0 && H5Awrite(attribute, memory, data) >= 0;
    if (attribute >= 0)
        ok = H5Aclose(attribute) >= 0 && ok;
    if (space >= 0)
        (void)H5Sclose(space);
    return ok ? SPK_OK : h5_write_failed(file, name);
}

spk_status h5_write_attr_i64(struct h5_file *file, const char *object, const char *name,
                             int64_t value)
{
    h5_quiet();
    return write_attribute(file, object, name, H5T_STD_I64LE, H5T_NATIVE_INT64, &value);
}

spk_status h5_write_attr_string(struct h5_file *file, const char *object, const char *name,
                                const char *text)
{
    hid_t type;
    spk_status status;
    h5_quiet();
    type = string_type(strlen(text));
    status = write_attribute(file, object, name, type, type, text);
    if (type >= 0)
        (void)H5Tclose(type);
    return status;
}

/* ---- tables ---- */

/* Adds one field to a compound type; false on failure. */
static bool insert_field(hid_t compound, const struct h5_field *field, size_t offset, hid_t scalar)
{
    hsize_t count = field->count;
    hid_t array;
    bool ok;
    if (field->count <= 1)
        return H5Tinsert(compound, field->name, offset, scalar) >= 0;
    array = H5Tarray_create2(scalar, 1, &count);
    ok = array >= 0 && H5Tinsert(compound, field->name, offset, array) >= 0;
    if (array >= 0)
        (void)H5Tclose(array);
    return ok;
}

static size_t field_bytes(const struct h5_field *field)
{
    return h5_type_size(field->type) * (field->count > 1 ? field->count : 1);
}

hid_t h5_table_memory_type(const struct h5_field *fields, size_t n_fields, size_t row_size)
{
    hid_t compound = H5Tcreate(H5T_COMPOUND, row_size);
    bool ok = compound >= 0;
    for (size_t i = 0; ok && i < n_fields; i++)
        ok = insert_field(compound, &fields[i], fields[i].offset, h5_native_type(fields[i].type));
    if (ok || compound < 0)
        return compound;
    (void)H5Tclose(compound);
    return H5I_INVALID_HID;
}

static hid_t table_disk_type(const struct h5_field *fields, size_t n_fields)
{
    size_t size = 0, offset = 0;
    hid_t compound;
    bool ok;
    for (size_t i = 0; i < n_fields; i++)
        size += field_bytes(&fields[i]);
    compound = H5Tcreate(H5T_COMPOUND, size);
    ok = compound >= 0;
    for (size_t i = 0; ok && i < n_fields; i++) {
        ok = insert_field(compound, &fields[i], offset, h5_disk_type(fields[i].type));
        offset += field_bytes(&fields[i]);
    }
    if (ok || compound < 0)
        return compound;
    (void)H5Tclose(compound);
    return H5I_INVALID_HID;
}

spk_status h5_write_table(struct h5_file *file, const char *name, const struct h5_field *fields,
                          size_t n_fields, size_t row_size, uint64_t n_rows, const void *rows,
                          uint32_t gzip_level)
{
    hid_t memory, disk;
    spk_status status;
    h5_quiet();
    memory = h5_table_memory_type(fields, n_fields, row_size);
    disk = table_disk_type(fields, n_fields);
    status = memory >= 0 && disk >= 0
                 ? write_dataset(file, name, disk, memory, 1, &n_rows, rows, gzip_level)
                 : h5_write_failed(file, name);
    if (memory >= 0)
        (void)H5Tclose(memory);
    if (disk >= 0)
        (void)H5Tclose(disk);
    return status;
}
