/* Safetensors writer; the header is written by the JSON writer and padded with blanks. */
#include <string.h>

#include "support/alloc.h"
#include "support/arena.h"
#include "support/checked.h"
#include "support/file.h"
#include "support/json_writer.h"
#include "support/safetensors.h"
#include "support/vec.h"

#define ST_ALIGN 8u
#define ST_META_KEY "__metadata__"

struct st_pair {
    const char *key, *value;
};

/* Names seen so far: an open-addressing table of index + 1, used for membership only. */
struct name_table {
    uint32_t *slots;
    size_t size; /* a power of two, at most half full */
};

struct st_writer {
    struct arena arena; /* names */
    VEC(struct st_tensor) tensors;
    VEC(struct st_pair) meta;
    struct name_table names;
};

spk_status st_writer_create(struct st_writer **out_writer)
{
    *out_writer = spk_alloc_zero(sizeof **out_writer);
    return *out_writer ? SPK_OK : SPK_ERR_NOMEM;
}

void st_writer_destroy(struct st_writer *writer)
{
    if (!writer)
        return;
    vec_fini(&writer->tensors);
    vec_fini(&writer->meta);
    spk_free(writer->names.slots);
    arena_fini(&writer->arena);
    spk_free(writer);
}

static size_t hash_name(const char *name) /* FNV-1a */
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
    return (size_t)(hash ^ hash >> 32);
}

/* The slot of a name: the one that holds it, or the free one where it belongs. */
static uint32_t *find_slot(const struct st_writer *writer, const char *name)
{
    size_t mask = writer->names.size - 1;
    size_t at = hash_name(name) & mask;
    while (writer->names.slots[at] != 0 &&
           strcmp(writer->tensors.data[writer->names.slots[at] - 1].name, name) != 0)
        at = (at + 1) & mask;
    return &writer->names.slots[at];
}

static spk_status grow_names(struct st_writer *writer)
{
    uint32_t *old = writer->names.slots;
    size_t size = writer->names.size > 0 ? writer->names.size * 2 : 16;
    uint32_t *slots;
    if (writer->tensors.len + 1 <= writer->names.size / 2)
        return SPK_OK;
    SPK_TRY(spk_alloc_array(size, sizeof *slots, &slots));
    writer->names = (struct name_table){slots, size};
    for (size_t i = 0; i < writer->tensors.len; i++)
        *find_slot(writer, writer->tensors.data[i].name) = (uint32_t)i + 1;
    spk_free(old);
    return SPK_OK;
}

spk_status st_writer_add(struct st_writer *writer, const char *name, enum st_dtype dtype,
                         uint32_t rank, const uint64_t *shape, const void *data)
{
    struct st_tensor tensor = {.dtype = dtype, .rank = rank, .data = data};
    uint32_t *slot;
    if (rank > ST_MAX_RANK || dtype >= ST_DTYPE_COUNT || strcmp(name, ST_META_KEY) == 0 ||
        writer->tensors.len >= UINT32_MAX - 1)
        return SPK_ERR_INTERNAL;
    for (uint32_t i = 0; i < rank; i++)
        tensor.shape[i] = shape[i];
    if (!checked_product_u64(tensor.shape, rank, &tensor.count) ||
        !checked_mul_size(tensor.count, st_dtype_size(dtype), &tensor.size))
        return SPK_ERR_INTERNAL;
    SPK_TRY(grow_names(writer));
    slot = find_slot(writer, name);
    if (*slot != 0)
        return SPK_ERR_INTERNAL;
    tensor.name = arena_strdup(&writer->arena, name);
    if (!tensor.name)
        return SPK_ERR_NOMEM;
    SPK_TRY(vec_push(&writer->tensors, tensor));
    *slot = (uint32_t)writer->tensors.len;
    return SPK_OK;
}

spk_status st_writer_meta(struct st_writer *writer, const char *key, const char *value)
{
    struct st_pair pair;
    for (size_t i = 0; i < writer->meta.len; i++) {
        if (strcmp(writer->meta.data[i].key, key) == 0)
            return SPK_ERR_INTERNAL;
    }
    pair.key = arena_strdup(&writer->arena, key);
    pair.value = arena_strdup(&writer->arena, value);
    if (!pair.key || !pair.value)
        return SPK_ERR_NOMEM;
    return vec_push(&writer->meta, pair);
}

/* Element sizes in the order in which the data lie. */
static const size_t size_order[] = {8, 4, 2, 1};
#define SIZE_CLASSES (sizeof size_order / sizeof size_order[0])

static spk_status assign_offsets(const struct st_writer *writer, uint64_t *offsets)
{
    uint64_t at = 0;
    for (size_t class = 0; class < SIZE_CLASSES; class ++) {
        for (size_t i = 0; i < writer->tensors.len; i++) {
            const struct st_tensor *tensor = &writer->tensors.data[i];
            if (st_dtype_size(tensor->dtype) != size_order[class])
                continue;
            offsets[i] = at;
            if (!checked_add_u64(at, tensor->size, &at))
                return SPK_ERR_INTERNAL;
        }
    }
    return SPK_OK;
}

static spk_status make_header(const struct st_writer *writer, const uint64_t *offsets,
                              struct strbuf *out)
{
    struct json_writer json;
    jw_init(&json, out, 0);
    jw_object_begin(&json, NULL);
    if (writer->meta.len > 0) {
        jw_object_begin(&json, ST_META_KEY);
        for (size_t i = 0; i < writer->meta.len; i++)
            jw_string(&json, writer->meta.data[i].key, writer->meta.data[i].value);
        jw_object_end(&json);
    }
    for (size_t i = 0; i < writer->tensors.len; i++) {
        const struct st_tensor *tensor = &writer->tensors.data[i];
        jw_object_begin(&json, tensor->name);
        jw_string(&json, "dtype", st_dtype_name(tensor->dtype));
        jw_array_begin(&json, "shape");
        for (uint32_t d = 0; d < tensor->rank; d++)
            jw_u64(&json, NULL, tensor->shape[d]);
        jw_array_end(&json);
        jw_array_begin(&json, "data_offsets");
        jw_u64(&json, NULL, offsets[i]);
        jw_u64(&json, NULL, offsets[i] + tensor->size);
        jw_array_end(&json);
        jw_object_end(&json);
    }
    jw_object_end(&json);
    SPK_TRY(jw_finish(&json));
    strbuf_repeat(out, ' ', (ST_ALIGN - out->len % ST_ALIGN) % ST_ALIGN);
    return out->status;
}

static spk_status write_content(const struct st_writer *writer, const struct strbuf *header,
                                struct file_writer *file)
{
    uint8_t length[8];
    for (unsigned i = 0; i < sizeof length; i++)
        length[i] = (uint8_t)((uint64_t)header->len >> (8 * i));
    SPK_TRY(file_writer_write(file, length, sizeof length));
    SPK_TRY(file_writer_write(file, header->data, header->len));
    for (size_t class = 0; class < SIZE_CLASSES; class ++) {
        for (size_t i = 0; i < writer->tensors.len; i++) {
            const struct st_tensor *tensor = &writer->tensors.data[i];
            if (st_dtype_size(tensor->dtype) == size_order[class] && tensor->size > 0)
                SPK_TRY(file_writer_write(file, tensor->data, tensor->size));
        }
    }
    return SPK_OK;
}

spk_status st_writer_save(const struct st_writer *writer, const char *path, struct diag_list *diags)
{
    struct strbuf header = {0};
    struct file_writer *file;
    uint64_t *offsets;
    spk_status status;
    SPK_TRY(spk_alloc_array(writer->tensors.len, sizeof *offsets, &offsets));
    status = assign_offsets(writer, offsets);
    if (status == SPK_OK)
        status = make_header(writer, offsets, &header);
    spk_free(offsets);
    if (status == SPK_OK)
        status = file_writer_create(path, diags, &file);
    if (status == SPK_OK) {
        status = write_content(writer, &header, file);
        if (status == SPK_OK)
            status = file_writer_commit(file);
        else
            file_writer_abort(file);
    }
    strbuf_fini(&header);
    return status;
}
