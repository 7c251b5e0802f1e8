/* Reading HDF5 datasets of numbers, strings and attributes; see h5.c.
 *
 * The order is always: describe, check limit and type, allocate, read. Variable-length strings get
 * their memory from an allocator with a budget, so that a length in the file cannot exhaust us. */
#include <string.h>

#include "support/alloc.h"
#include "support/checked.h"
#include "support/h5_internal.h"

static spk_status damaged(const struct h5_file *file, const char *name)
{
    return h5_bad(file, name, "E0020", "cannot be read: damaged HDF5 file");
}

/* ---- numbers ---- */

static spk_status check_numeric(const struct h5_file *file, const char *name,
                                const struct h5_info *info, enum h5_type type, uint64_t max_count)
{
    if (info->kind != H5_KIND_NUMERIC)
        return h5_bad(file, name, "E0022", "does not hold plain numbers");
    if (type != H5_TYPE_COUNT && !h5_widens(info->type, type))
        return h5_bad(file, name, "E0022", "holds %s, which does not fit into %s",
                      h5_type_name(info->type), h5_type_name(type));
    if (info->count > max_count)
        return h5_bad(file, name, "E0023", "has %llu elements, the limit is %llu",
                      (unsigned long long)info->count, (unsigned long long)max_count);
    return SPK_OK;
}

static spk_status read_numbers(const struct h5_file *file, const char *name, hid_t dataset,
                               const struct h5_info *info, enum h5_type type, void *data)
{
    if (info->count > 0 &&
        H5Dread(dataset, h5_native_type(type), H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0)
        return damaged(file, name);
    return SPK_OK;
}

/* `any` accepts every numeric type on disk. */
static spk_status read_array(const struct h5_file *file, const char *name, enum h5_type type,
                             bool any, uint64_t max_count, struct h5_info *info, void *out_data)
{
    hid_t dataset;
    void *data = NULL;
    spk_status status;
    memcpy(out_data, &data, sizeof data);
    SPK_TRY(h5_open_dataset(file, name, info, &dataset));
    status = check_numeric(file, name, info, any ? H5_TYPE_COUNT : type, max_count);
    if (status == SPK_OK)
        status = spk_alloc_array_raw(info->count, h5_type_size(type), &data);
    if (status == SPK_OK)
        status = read_numbers(file, name, dataset, info, type, data);
    (void)H5Dclose(dataset);
    if (status != SPK_OK) {
        spk_free(data);
        return status;
    }
    memcpy(out_data, &data, sizeof data);
    return SPK_OK;
}

spk_status h5_read(const struct h5_file *file, const char *name, enum h5_type type,
                   uint64_t max_count, struct h5_info *out_info, void *out_data)
{
    struct h5_info info;
    return read_array(file, name, type, false, max_count, out_info ? out_info : &info, out_data);
}

spk_status h5_read_as_f64(const struct h5_file *file, const char *name, uint64_t max_count,
                          struct h5_info *out_info, double **out_data)
{
    struct h5_info info;
    return read_array(file, name, H5_F64, true, max_count, out_info ? out_info : &info, out_data);
}

static spk_status check_shape(const struct h5_file *file, const char *name,
                              const struct h5_info *info, uint32_t rank, const uint64_t *dims)
{
    if (info->rank != rank)
        return h5_bad(file, name, "E0022", "has rank %u, expected %u", (unsigned)info->rank,
                      (unsigned)rank);
    for (uint32_t i = 0; i < rank; i++) {
        if (info->dims[i] != dims[i])
            return h5_bad(file, name, "E0022", "dimension %u is %llu, expected %llu", (unsigned)i,
                          (unsigned long long)info->dims[i], (unsigned long long)dims[i]);
    }
    return SPK_OK;
}

spk_status h5_read_into(const struct h5_file *file, const char *name, enum h5_type type,
                        uint32_t rank, const uint64_t *dims, void *out_data)
{
    struct h5_info info;
    hid_t dataset;
    spk_status status;
    SPK_TRY(h5_open_dataset(file, name, &info, &dataset));
    status = check_numeric(file, name, &info, type, UINT64_MAX);
    if (status == SPK_OK)
        status = check_shape(file, name, &info, rank, dims);
    if (status == SPK_OK)
        status = read_numbers(file, name, dataset, &info, type, out_data);
    (void)H5Dclose(dataset);
    return status;
}

spk_status h5_read_scalar(const struct h5_file *file, const char *name, enum h5_type type,
                          void *out_value)
{
    struct h5_info info;
    hid_t dataset;
    spk_status status;
    memset(out_value, 0, h5_type_size(type));
    SPK_TRY(h5_open_dataset(file, name, &info, &dataset));
    status = check_numeric(file, name, &info, type, UINT64_MAX);
    if (status == SPK_OK && info.count != 1)
        status = h5_bad(file, name, "E0022", "has %llu elements, expected one",
                        (unsigned long long)info.count);
    if (status == SPK_OK)
        status = read_numbers(file, name, dataset, &info, type, out_value);
    (void)H5Dclose(dataset);
    return status;
}

/* ---- strings ---- */

/* Budget of the allocator behind variable-length strings. It lists what is not freed, since a read
 * that fails half-way forgets the strings that it has made. */
struct string_block {
    struct string_block *next, *before;
};
struct string_budget {
    size_t left;
    bool exceeded, no_memory;
    struct string_block *blocks;
};

static void *budget_alloc(size_t size, void *data)
{
    struct string_budget *budget = data;
    size_t bytes;
    if (size > budget->left || !checked_add_size(size, sizeof(struct string_block), &bytes)) {
        budget->exceeded = true;
        return NULL;
    }
    budget->left -= size;
    struct string_block *block = spk_alloc_zero(bytes);
    if (block == NULL) {
        budget->no_memory = true;
        return NULL;
    }
    block->next = budget->blocks;
    if (block->next != NULL)
        block->next->before = block;
    budget->blocks = block;
    return block + 1;
}

static void budget_free(void *memory, void *data)
{
    struct string_budget *budget = data;
    struct string_block *block = memory;
    if (block == NULL)
        return;
    block--;
    if (block->next != NULL)
        block->next->before = block->before;
    *(block->before != NULL ? &block->before->next : &budget->blocks) = block->next;
    spk_free(block);
}

/* Source of strings: a dataset or an attribute, with its type and element count. */
struct string_source {
    const struct h5_file *file;
    const char *name; /* for messages */
    hid_t object, type, space;
    bool is_attribute;
    size_t count, max_bytes;
};

static bool read_raw(const struct string_source *source, hid_t transfer, void *memory)
{
    if (source->is_attribute)
        return H5Aread(source->object, source->type, memory) >= 0;
    return H5Dread(source->object, source->type, H5S_ALL, H5S_ALL, transfer, memory) >= 0;
}

static spk_status push_text(const struct string_source *source, const char *text, size_t length,
                            struct h5_names *out)
{
    char *copy;
    spk_status status;
    if (length > source->max_bytes)
        return h5_bad(source->file, source->name, "E0023",
                      "a string is longer than the limit of %zu bytes", source->max_bytes);
    copy = spk_strndup(text, length);
    status = copy ? vec_push(out, copy) : SPK_ERR_NOMEM;
    if (status != SPK_OK)
        spk_free(copy);
    return status;
}

static spk_status read_fixed(const struct string_source *source, struct h5_names *out)
{
    size_t size = H5Tget_size(source->type);
    bool space_padded = H5Tget_strpad(source->type) == H5T_STR_SPACEPAD;
    spk_status status = SPK_OK;
    char *packed;
    if (size / 4 > source->max_bytes) /* room for padding, but not without end */
        return h5_bad(source->file, source->name, "E0023",
                      "strings are longer than the limit of %zu bytes", source->max_bytes);
    SPK_TRY(spk_alloc_array(source->count, size, &packed));
    if (!read_raw(source, H5P_DEFAULT, packed))
        status = damaged(source->file, source->name);
    for (size_t i = 0; status == SPK_OK && i < source->count; i++) {
        const char *text = packed + i * size;
        size_t length = strnlen(text, size);
        while (space_padded && length > 0 && text[length - 1] == ' ')
            length--;
        status = push_text(source, text, length, out);
    }
    spk_free(packed);
    return status;
}

static spk_status read_variable(const struct string_source *source, struct h5_names *out)
{
    struct string_budget budget = {0};
    spk_status status = SPK_OK;
    hid_t transfer;
    char **texts;
    if (!checked_mul_size(source->count, source->max_bytes, &budget.left) ||
        !checked_add_size(budget.left, source->count, &budget.left))
        budget.left = SIZE_MAX;
    SPK_TRY(spk_alloc_array(source->count, sizeof *texts, &texts));
    transfer = H5Pcreate(H5P_DATASET_XFER);
    if (transfer < 0 ||
        H5Pset_vlen_mem_manager(transfer, budget_alloc, &budget, budget_free, &budget) < 0 ||
        !read_raw(source, transfer, texts))
        status = budget.no_memory ? SPK_ERR_NOMEM
                 : budget.exceeded
                     ? h5_bad(source->file, source->name, "E0023",
                              "strings are longer than the limit of %zu bytes", source->max_bytes)
                     : damaged(source->file, source->name);
    for (size_t i = 0; status == SPK_OK && i < source->count; i++)
        status = push_text(source, texts[i] ? texts[i] : "", texts[i] ? strlen(texts[i]) : 0, out);
    if (source->is_attribute) /* H5Aread allocates with the library's own allocator */
        (void)H5Dvlen_reclaim(source->type, source->space, H5P_DEFAULT, texts);
    else
        (void)H5Dvlen_reclaim(source->type, source->space, transfer, texts);
    if (transfer >= 0)
        (void)H5Pclose(transfer);
    while (budget.blocks != NULL)
        budget_free(budget.blocks + 1, &budget);
    spk_free(texts);
    return status;
}

/* Reads all strings of the source and closes its type and space. */
static spk_status read_source(struct string_source *source, struct h5_names *out)
{
    spk_status status = SPK_OK;
    if (source->type < 0 || source->space < 0)
        status = damaged(source->file, source->name);
    else if (H5Tget_class(source->type) != H5T_STRING)
        status = h5_bad(source->file, source->name, "E0022", "does not hold strings");
    else if (source->count > 0 && H5Tis_variable_str(source->type) > 0)
        status = read_variable(source, out);
    else if (source->count > 0)
        status = read_fixed(source, out);
    if (source->type >= 0)
        (void)H5Tclose(source->type);
    if (source->space >= 0)
        (void)H5Sclose(source->space);
    if (status != SPK_OK)
        h5_names_fini(out);
    return status;
}

spk_status h5_read_strings(const struct h5_file *file, const char *name, size_t max_count,
                           size_t max_bytes, struct h5_names *out_texts)
{
    struct string_source source = {.file = file, .name = name, .max_bytes = max_bytes};
    struct h5_info info;
    spk_status status;
    *out_texts = (struct h5_names){0};
    SPK_TRY(h5_open_dataset(file, name, &info, &source.object));
    if (info.kind != H5_KIND_STRING) {
        status = h5_bad(file, name, "E0022", "does not hold strings");
    } else if (info.count > max_count) {
        status = h5_bad(file, name, "E0023", "has %llu strings, the limit is %zu",
                        (unsigned long long)info.count, max_count);
    } else {
        source.count = info.count;
        source.type = H5Dget_type(source.object);
        source.space = H5Dget_space(source.object);
        status = read_source(&source, out_texts);
    }
    (void)H5Dclose(source.object);
    return status;
}

/* Takes the only string out of a list of one. */
static spk_status single(const struct h5_file *file, const char *name, struct h5_names *names,
                         char **out_text)
{
    if (names->len != 1) {
        size_t count = names->len;
        h5_names_fini(names);
        return h5_bad(file, name, "E0022", "has %zu strings, expected one", count);
    }
    *out_text = names->data[0];
    names->len = 0;
    h5_names_fini(names);
    return SPK_OK;
}

spk_status h5_read_string(const struct h5_file *file, const char *name, size_t max_bytes,
                          char **out_text)
{
    struct h5_names names;
    *out_text = NULL;
    SPK_TRY(h5_read_strings(file, name, 1, max_bytes, &names));
    return single(file, name, &names, out_text);
}

/* ---- attributes ---- */

bool h5_has_attr(const struct h5_file *file, const char *object, const char *name)
{
    return h5_exists(file, object) && H5Aexists_by_name(file->id, object, name, H5P_DEFAULT) > 0;
}

static spk_status open_attribute(const struct h5_file *file, const char *object, const char *name,
                                 hid_t *out_attribute)
{
    *out_attribute = H5I_INVALID_HID;
    if (!h5_has_attr(file, object, name))
        return h5_bad(file, object, "E0021", "attribute \"%s\" is missing", name);
    *out_attribute = H5Aopen_by_name(file->id, object, name, H5P_DEFAULT, H5P_DEFAULT);
    return *out_attribute >= 0 ? SPK_OK : damaged(file, object);
}

spk_status h5_read_attr_i64(const struct h5_file *file, const char *object, const char *name,
                            int64_t *out_value)
{
    hid_t attribute, type, space;
    spk_status status = SPK_OK;
    *out_value = 0;
    SPK_TRY(open_attribute(file, object, name, &attribute));
    type = H5Aget_type(attribute);
    space = H5Aget_space(attribute);
    if (type < 0 || space < 0 || H5Sget_simple_extent_npoints(space) != 1 ||
        !h5_widens(h5_classify(type), H5_I64))
        status = h5_bad(file, object, "E0022", "attribute \"%s\" is not one integer", name);
    else if (H5Aread(attribute, H5T_NATIVE_INT64, out_value) < 0)
        status = damaged(file, object);
    if (type >= 0)
        (void)H5Tclose(type);
    if (space >= 0)
        (void)H5Sclose(space);
    (void)H5Aclose(attribute);
    return status;
}

spk_status h5_read_attr_string(const struct h5_file *file, const char *object, const char *name,
                               size_t max_bytes, char **out_text)
{
    struct string_source source = {
        .file = file, .name = name, .is_attribute = true, .count = 1, .max_bytes = max_bytes};
    struct h5_names names = {0};
    spk_status status;
    *out_text = NULL;
    SPK_TRY(open_attribute(file, object, name, &source.object));
    source.type = H5Aget_type(source.object);
    source.space = H5Aget_space(source.object);
    if (source.space >= 0 && H5Sget_simple_extent_npoints(source.space) != 1)
        source.count = 0;
    status = read_source(&source, &names);
    (void)H5Aclose(source.object);
    return status == SPK_OK ? single(file, name, &names, out_text) : status;
}
