/* Reading HDF5 tables (1-D datasets of compounds) into arrays of C structs; see h5.c. */
#include <string.h>

#include "support/alloc.h"
#include "support/h5_internal.h"

/* The element type and count of a table column: a number, or a 1-D array of numbers. */
static enum h5_type column_type(hid_t compound, unsigned index, uint64_t *out_count)
{
    hid_t member = H5Tget_member_type(compound, index);
    enum h5_type type = H5_TYPE_COUNT;
    *out_count = 1;
    if (member < 0)
        return type;
    if (H5Tget_class(member) == H5T_ARRAY) {
        hsize_t dims[H5S_MAX_RANK];
        hid_t base = H5Tget_super(member);
        if (base >= 0 && H5Tget_array_ndims(member) == 1 && H5Tget_array_dims2(member, dims) == 1) {
            type = h5_classify(base);
            *out_count = dims[0];
        }
        if (base >= 0)
            (void)H5Tclose(base);
    } else {
        type = h5_classify(member);
    }
    (void)H5Tclose(member);
    return type;
}

static spk_status check_columns(const struct h5_file *file, const char *name, hid_t compound,
                                const struct h5_field *fields, size_t n_fields)
{
    for (size_t i = 0; i < n_fields; i++) {
        const struct h5_field *field = &fields[i];
        int index = H5Tget_member_index(compound, field->name);
        enum h5_type type;
        uint64_t count;
        if (index < 0)
            return h5_bad(file, name, "E0021", "column \"%s\" is missing", field->name);
        type = column_type(compound, (unsigned)index, &count);
        if (!h5_widens(type, field->type))
            return h5_bad(file, name, "E0022", "column \"%s\" holds %s, expected %s", field->name,
                          h5_type_name(type), h5_type_name(field->type));
        if (count != (field->count > 1 ? field->count : 1))
            return h5_bad(file, name, "E0022", "column \"%s\" has %llu values per row, expected %u",
                          field->name, (unsigned long long)count,
                          field->count > 1 ? (unsigned)field->count : 1u);
    }
    return SPK_OK;
}

/* Zeroes the bytes of every row that belong to no field: the library may leave anything there. */
static spk_status clear_gaps(const struct h5_field *fields, size_t n_fields, size_t row_size,
                             uint64_t n_rows, char *rows)
{
    char *covered;
    bool gaps = false;
    SPK_TRY(spk_alloc_array(row_size, 1, &covered));
    for (size_t i = 0; i < n_fields; i++)
        memset(covered + fields[i].offset, 1,
               h5_type_size(fields[i].type) * (fields[i].count > 1 ? fields[i].count : 1));
    for (size_t b = 0; b < row_size; b++)
        gaps = gaps || !covered[b];
    for (uint64_t row = 0; gaps && row < n_rows; row++) {
        for (size_t b = 0; b < row_size; b++) {
            if (!covered[b])
                rows[row * row_size + b] = 0;
        }
    }
    spk_free(covered);
    return SPK_OK;
}

static spk_status read_rows(const struct h5_file *file, const char *name, hid_t dataset,
                            const struct h5_field *fields, size_t n_fields, size_t row_size,
                            uint64_t n_rows, char **out_rows)
{
    hid_t memory;
    char *rows;
    spk_status status = SPK_OK;
    SPK_TRY(spk_alloc_array(n_rows, row_size, &rows));
    memory = h5_table_memory_type(fields, n_fields, row_size);
    if (memory < 0 ||
        (n_rows > 0 && H5Dread(dataset, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, rows) < 0))
        status = h5_bad(file, name, "E0020", "cannot be read: damaged HDF5 file");
    if (memory >= 0)
        (void)H5Tclose(memory);
    if (status == SPK_OK)
        status = clear_gaps(fields, n_fields, row_size, n_rows, rows);
    if (status != SPK_OK) {
        spk_free(rows);
        return status;
    }
    *out_rows = rows;
    return SPK_OK;
}

static spk_status check_table(const struct h5_file *file, const char *name, hid_t dataset,
                              const struct h5_info *info, const struct h5_field *fields,
                              size_t n_fields, uint64_t max_rows)
{
    hid_t compound;
    spk_status status;
    if (info->kind != H5_KIND_TABLE || info->rank != 1)
        return h5_bad(file, name, "E0022", "is not a table");
    if (info->count > max_rows)
        return h5_bad(file, name, "E0023", "has %llu rows, the limit is %llu",
                      (unsigned long long)info->count, (unsigned long long)max_rows);
    compound = H5Dget_type(dataset);
    if (compound < 0)
        return h5_bad(file, name, "E0020", "damaged HDF5 table");
    status = check_columns(file, name, compound, fields, n_fields);
    (void)H5Tclose(compound);
    return status;
}

spk_status h5_read_table(const struct h5_file *file, const char *name,
                         const struct h5_field *fields, size_t n_fields, size_t row_size,
                         uint64_t max_rows, void *out_rows, uint64_t *out_n_rows)
{
    struct h5_info info;
    hid_t dataset;
    char *rows = NULL;
    spk_status status;
    *out_n_rows = 0;
    memcpy(out_rows, &rows, sizeof rows);
    SPK_TRY(h5_open_dataset(file, name, &info, &dataset));
    status = check_table(file, name, dataset, &info, fields, n_fields, max_rows);
    if (status == SPK_OK)
        status = read_rows(file, name, dataset, fields, n_fields, row_size, info.count, &rows);
    (void)H5Dclose(dataset);
    if (status != SPK_OK)
        return status;
    memcpy(out_rows, &rows, sizeof rows);
    *out_n_rows = info.count;
    return SPK_OK;
}
