/* Safetensors reader. The header goes through the JSON room into a plain table in an arena; then
 * every range is checked against the data: sorted by begin, each must start where the one before
 * ended, and the last must end at the end of the file. */
#include "support/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "support/alloc.h"
#include "support/arena.h"
#include "support/checked.h"
#include "support/file.h"
#include "support/json.h"

#define ST_MAX_HEADER ((uint64_t)100000000)
#define ST_MAX_JSON_DEPTH 8u
#define ST_PREFIX 8u /* bytes of the header length */

struct st_meta_entry {
    const char *key, *value;
};

struct st_file {
    struct arena arena; /* names, tensors, metadata */
    struct file_map map;
    const char *name;
    struct st_tensor *tensors; /* in header order */
    size_t n_tensors;
    const struct st_tensor **by_name; /* sorted */
    struct st_meta_entry *meta;
    size_t n_meta;
    const char *format;
    const char **others;
    size_t n_others;
    void (*release)(void *owner); /* of st_wrap, else NULL */
    void *owner;
};

static const struct {
    const char *name;
    size_t size;
} dtype_table[ST_DTYPE_COUNT] = {
    [ST_BOOL] = {"BOOL", 1}, [ST_U8] = {"U8", 1},   [ST_I8] = {"I8", 1},     [ST_I16] = {"I16", 2},
    [ST_U16] = {"U16", 2},   [ST_F16] = {"F16", 2}, [ST_BF16] = {"BF16", 2}, [ST_I32] = {"I32", 4},
    [ST_U32] = {"U32", 4},   [ST_F32] = {"F32", 4}, [ST_F64] = {"F64", 8},   [ST_I64] = {"I64", 8},
    [ST_U64] = {"U64", 8},
};

const char *st_dtype_name(enum st_dtype dtype)
{
    return dtype < ST_DTYPE_COUNT ? dtype_table[dtype].name : "?";
}

size_t st_dtype_size(enum st_dtype dtype)
{
    return dtype < ST_DTYPE_COUNT ? dtype_table[dtype].size : 0;
}

/* ---- header ---- */

static spk_status read_dtype(const struct json_cursor *entry, enum st_dtype *out_dtype)
{
    const char *name;
    SPK_TRY(js_get_string(entry, "dtype", &name));
    for (unsigned i = 0; i < ST_DTYPE_COUNT; i++) {
        if (strcmp(name, dtype_table[i].name) == 0) {
            *out_dtype = (enum st_dtype)i;
            return SPK_OK;
        }
    }
    return diag_error(entry->diags, js_place(entry), "E0031",
                      "element type \"%s\" is not supported", name);
}

static spk_status read_shape(const struct json_cursor *entry, struct st_tensor *tensor)
{
    struct json_cursor shape;
    size_t rank;
    SPK_TRY(js_member(entry, "shape", &shape));
    SPK_TRY(js_array_length(&shape, &rank));
    if (rank > ST_MAX_RANK)
        return diag_error(entry->diags, js_place(&shape), "E0031",
                          "rank %zu is above the limit of %u", rank, ST_MAX_RANK);
    tensor->rank = (uint32_t)rank;
    for (size_t i = 0; i < rank; i++) {
        struct json_cursor element;
        int64_t extent;
        SPK_TRY(js_element(&shape, i, &element));
        SPK_TRY(js_i64(&element, 0, INT64_MAX, &extent));
        tensor->shape[i] = (uint64_t)extent;
    }
    if (!checked_product_u64(tensor->shape, rank, &tensor->count))
        return diag_error(entry->diags, js_place(&shape), "E0031", "number of elements overflows");
    return SPK_OK;
}

static spk_status read_range(const struct json_cursor *entry, const uint8_t *data, size_t data_size,
                             struct st_tensor *tensor)
{
    struct json_cursor offsets, element;
    int64_t range[2];
    size_t length, need;
    SPK_TRY(js_member(entry, "data_offsets", &offsets));
    SPK_TRY(js_array_length(&offsets, &length));
    if (length != 2)
        return diag_error(entry->diags, js_place(&offsets), "E0031",
                          "expected two offsets, found %zu", length);
    for (size_t i = 0; i < 2; i++) {
        SPK_TRY(js_element(&offsets, i, &element));
        SPK_TRY(js_i64(&element, 0, INT64_MAX, &range[i]));
    }
    if (range[0] > range[1] || (uint64_t)range[1] > data_size)
        return diag_error(entry->diags, js_place(&offsets), "E0032",
                          "data range [%lld, %lld) lies outside the %zu bytes of data",
                          (long long)range[0], (long long)range[1], data_size);
    tensor->size = (size_t)(range[1] - range[0]);
    if (!checked_mul_size(tensor->count, st_dtype_size(tensor->dtype), &need) ||
        need != tensor->size)
        return diag_error(entry->diags, js_place(&offsets), "E0032",
                          "data range has %zu bytes, which is not what the shape needs",
                          tensor->size);
    tensor->data = data + range[0];
    return SPK_OK;
}

static spk_status read_metadata(struct st_file *file, const struct json_cursor *object)
{
    struct json_cursor member;
    void *iterator = NULL;
    size_t count;
    SPK_TRY(js_object_length(object, &count));
    file->meta = ARENA_NEW_ARRAY(&file->arena, struct st_meta_entry, count);
    if (!file->meta)
        return SPK_ERR_NOMEM;
    while (js_next_member(object, &iterator, &member)) {
        struct st_meta_entry *entry = &file->meta[file->n_meta];
        const char *value;
        SPK_TRY(js_string(&member, &value));
        entry->key = arena_strdup(&file->arena, member.key);
        entry->value = arena_strdup(&file->arena, value);
        if (!entry->key || !entry->value)
            return SPK_ERR_NOMEM;
        file->n_meta++;
    }
    return SPK_OK;
}

static spk_status read_entries(struct st_file *file, const struct json_cursor *root,
                               const uint8_t *data, size_t data_size)
{
    struct json_cursor entry;
    void *iterator = NULL;
    size_t count;
    SPK_TRY(js_object_length(root, &count));
    file->tensors = ARENA_NEW_ARRAY(&file->arena, struct st_tensor, count);
    if (!file->tensors)
        return SPK_ERR_NOMEM;
    while (js_next_member(root, &iterator, &entry)) {
        struct st_tensor *tensor = &file->tensors[file->n_tensors];
        if (strcmp(entry.key, "__metadata__") == 0) {
            SPK_TRY(read_metadata(file, &entry));
            continue;
        }
        tensor->name = arena_strdup(&file->arena, entry.key);
        if (!tensor->name)
            return SPK_ERR_NOMEM;
        SPK_TRY(read_dtype(&entry, &tensor->dtype));
        SPK_TRY(read_shape(&entry, tensor));
        SPK_TRY(read_range(&entry, data, data_size, tensor));
        file->n_tensors++;
    }
    return SPK_OK;
}

/* ---- ranges and names ---- */

static int compare_begin(const void *a, const void *b)
{
    const struct st_tensor *left = *(const struct st_tensor *const *)a;
    const struct st_tensor *right = *(const struct st_tensor *const *)b;
    if (left->data != right->data)
        return left->data < right->data ? -1 : 1;
    return left->size == right->size ? 0 : (left->size < right->size ? -1 : 1);
}

static int compare_name(const void *a, const void *b)
{
    return strcmp((*(const struct st_tensor *const *)a)->name,
                  (*(const struct st_tensor *const *)b)->name);
}

static spk_status list_names(struct st_file *file)
{
    file->by_name = ARENA_NEW_ARRAY(&file->arena, const struct st_tensor *, file->n_tensors);
    if (!file->by_name)
        return SPK_ERR_NOMEM;
    for (size_t i = 0; i < file->n_tensors; i++)
        file->by_name[i] = &file->tensors[i];
    return SPK_OK;
}

static void sort_names(struct st_file *file)
{
    if (file->n_tensors)
        qsort(file->by_name, file->n_tensors, sizeof *file->by_name, compare_name);
}

/* Leaves file->by_name sorted by name. */
static spk_status check_cover(struct st_file *file, const uint8_t *data, size_t data_size,
                              struct diag_list *diags)
{
    const uint8_t *end = data;
    size_t n = file->n_tensors;
    SPK_TRY(list_names(file));
    if (n)
        qsort(file->by_name, n, sizeof *file->by_name, compare_begin);
    for (size_t i = 0; i < n; i++) {
        const struct st_tensor *tensor = file->by_name[i];
        if (tensor->data != end)
            return diag_error(diags, st_place(file, tensor, diags), "E0032", "data %s",
                              tensor->data < end ? "overlaps with another tensor"
                                                 : "leaves a hole before it");
        end += tensor->size;
    }
    if (end != data + data_size)
        return diag_error(diags, diag_place(diags, "%s", file->name), "E0032",
                          "%zu bytes at the end belong to no tensor",
                          (size_t)(data + data_size - end));
    sort_names(file);
    return SPK_OK;
}

static spk_status parse(struct st_file *file, const uint8_t *bytes, size_t size,
                        struct diag_list *diags)
{
    struct json_limits limits = {.max_bytes = ST_MAX_HEADER, .max_depth = ST_MAX_JSON_DEPTH};
    struct json_value *header;
    struct json_cursor root;
    uint64_t length = 0;
    spk_status status;
    if (size < ST_PREFIX)
        return diag_error(diags, diag_place(diags, "%s", file->name), "E0030",
                          "not a safetensors file: shorter than 8 bytes");
    for (unsigned i = 0; i < ST_PREFIX; i++)
        length |= (uint64_t)bytes[i] << (8 * i);
    if (length > ST_MAX_HEADER || length > size - ST_PREFIX)
        return diag_error(diags, diag_place(diags, "%s", file->name), "E0030",
                          "not a safetensors file: header length %llu is beyond the %s",
                          (unsigned long long)length,
                          length > ST_MAX_HEADER ? "limit of 100000000 bytes" : "end of the file");
    if (length == 0 || bytes[ST_PREFIX] != '{')
        return diag_error(diags, diag_place(diags, "%s", file->name), "E0030",
                          "not a safetensors file: the header is no JSON object");
    SPK_TRY(js_parse((const char *)bytes + ST_PREFIX, length, file->name, &limits, diags, &header));
    root = js_root(header, file->name, diags);
    status = read_entries(file, &root, bytes + ST_PREFIX + length, size - ST_PREFIX - length);
    js_free(header);
    if (status == SPK_OK)
        status = check_cover(file, bytes + ST_PREFIX + length, size - ST_PREFIX - length, diags);
    return status;
}

/* ---- interface ---- */

static spk_status file_new(const char *name, struct st_file **out_file)
{
    struct st_file *file = spk_alloc_zero(sizeof *file);
    *out_file = NULL;
    if (!file)
        return SPK_ERR_NOMEM;
    arena_init(&file->arena, 0);
    file->format = "safetensors";
    file->name = arena_strdup(&file->arena, name);
    if (!file->name) {
        st_close(file);
        return SPK_ERR_NOMEM;
    }
    *out_file = file;
    return SPK_OK;
}

spk_status st_open_memory(const void *data, size_t size, const char *name, struct diag_list *diags,
                          struct st_file **out_file)
{
    struct st_file *file;
    spk_status status;
    *out_file = NULL;
    SPK_TRY(file_new(name, &file));
    status = parse(file, data, size, diags);
    if (status != SPK_OK) {
        st_close(file);
        return status;
    }
    *out_file = file;
    return SPK_OK;
}

spk_status st_open(const char *path, struct diag_list *diags, struct st_file **out_file)
{
    struct file_map map;
    spk_status status;
    *out_file = NULL;
    SPK_TRY(file_map_open(path, diags, &map));
    status = st_open_memory(map.data, map.size, path, diags, out_file);
    if (status == SPK_OK)
        (*out_file)->map = map;
    else
        file_map_close(&map);
    return status;
}

/* Copies of the tensors with their names, and of the texts. */
static spk_status copy_source(struct st_file *file, const struct st_source *source)
{
    struct arena *arena = &file->arena;
    file->format = source->format;
    file->tensors = ARENA_NEW_ARRAY(arena, struct st_tensor, source->n_tensors);
    file->others = ARENA_NEW_ARRAY(arena, const char *, source->n_others);
    if (!file->tensors || !file->others)
        return SPK_ERR_NOMEM;
    for (size_t i = 0; i < source->n_tensors; i++) {
        file->tensors[i] = source->tensors[i];
        file->tensors[i].name = arena_strdup(arena, source->tensors[i].name);
        if (!file->tensors[i].name)
            return SPK_ERR_NOMEM;
    }
    for (size_t i = 0; i < source->n_others; i++) {
        file->others[i] = arena_strdup(arena, source->others[i]);
        if (!file->others[i])
            return SPK_ERR_NOMEM;
    }
    file->n_tensors = source->n_tensors;
    file->n_others = source->n_others;
    return list_names(file);
}

spk_status st_wrap(const struct st_source *source, struct diag_list *diags,
                   struct st_file **out_file)
{
    struct st_file *file;
    *out_file = NULL;
    SPK_TRY(file_new(source->name, &file));
    spk_status status = copy_source(file, source);
    if (status == SPK_OK)
        sort_names(file);
    for (size_t i = 1; status == SPK_OK && i < file->n_tensors; i++) {
        if (strcmp(file->by_name[i]->name, file->by_name[i - 1]->name) == 0)
            status = diag_error(diags, st_place(file, file->by_name[i], diags), "E0034",
                                "there are two tensors of this name");
    }
    if (status != SPK_OK) {
        st_close(file);
        return status;
    }
    file->release = source->release;
    file->owner = source->owner;
    *out_file = file;
    return SPK_OK;
}

void st_close(struct st_file *file)
{
    if (!file)
        return;
    if (file->release)
        file->release(file->owner);
    file_map_close(&file->map);
    arena_fini(&file->arena);
    spk_free(file);
}

bool st_is_mapped(const struct st_file *file)
{
    return file->map.data != NULL;
}

const char *st_name(const struct st_file *file)
{
    return file->name;
}

const char *st_format(const struct st_file *file)
{
    return file->format;
}

size_t st_other_count(const struct st_file *file)
{
    return file->n_others;
}

const char *st_other_at(const struct st_file *file, size_t index)
{
    return index < file->n_others ? file->others[index] : NULL;
}

size_t st_count(const struct st_file *file)
{
    return file->n_tensors;
}

const struct st_tensor *st_at(const struct st_file *file, size_t index)
{
    return index < file->n_tensors ? &file->tensors[index] : NULL;
}

const struct st_tensor *st_find(const struct st_file *file, const char *name)
{
    size_t low = 0, high = file->n_tensors;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(file->by_name[middle]->name, name);
        if (order == 0)
            return file->by_name[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

spk_status st_require(const struct st_file *file, const char *name, struct diag_list *diags,
                      const struct st_tensor **out_tensor)
{
    *out_tensor = st_find(file, name);
    if (*out_tensor)
        return SPK_OK;
    return diag_error(diags, diag_place(diags, "%s", file->name), "E0033",
                      "there is no tensor \"%s\"", name);
}

size_t st_meta_count(const struct st_file *file)
{
    return file->n_meta;
}

void st_meta_at(const struct st_file *file, size_t index, const char **out_key,
                const char **out_value)
{
    *out_key = *out_value = NULL;
    if (index < file->n_meta) {
        *out_key = file->meta[index].key;
        *out_value = file->meta[index].value;
    }
}

const char *st_meta(const struct st_file *file, const char *key)
{
    for (size_t i = 0; i < file->n_meta; i++) {
        if (strcmp(file->meta[i].key, key) == 0)
            return file->meta[i].value;
    }
    return NULL;
}

struct spk_span st_place(const struct st_file *file, const struct st_tensor *tensor,
                         struct diag_list *diags)
{
    return diag_place(diags, "%s: tensor %s", file->name, tensor->name);
}

void st_describe(const struct st_tensor *tensor, struct strbuf *out)
{
    strbuf_printf(out, "%s[", st_dtype_name(tensor->dtype));
    for (uint32_t i = 0; i < tensor->rank; i++) {
        if (i > 0)
            strbuf_char(out, ',');
        strbuf_u64(out, tensor->shape[i]);
    }
    strbuf_char(out, ']');
}
