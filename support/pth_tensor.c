/* Tensors from the calls that would make them. Shapes, strides and windows are checked against the
 * storage before anything is read; what does not lie in one piece is copied row by row. */
#include <string.h>

#include "support/alloc.h"
#include "support/checked.h"
#include "support/pth_internal.h"

#define UTILS "torch._utils"
#define SPARE ((uint64_t)64 << 20) /* bytes that tensors may have beyond 16 times the file */

struct window {
    uint64_t offset, stride[ST_MAX_RANK];
};

bool pth_is_tensor(const struct pickle_value *value)
{
    if (value->kind != PICKLE_CALL)
        return false;
    const struct pickle_value *callable = value->list.item[0];
    return callable->kind == PICKLE_GLOBAL &&
           ((strcmp(callable->global.module, UTILS) == 0 &&
             strncmp(callable->global.name, "_rebuild_", 9) == 0) ||
            pickle_is_global(callable, "torch._tensor", "_rebuild_from_type_v2"));
}

/* Down to the call that names the storage: parameters and subclasses wrap it. */
static spk_status unwrap(struct pth *f, const struct pickle_value **value, const char **out_maker,
                         const struct pickle_value **out_arguments)
{
    const struct pickle_value *callable, *arguments;
    for (int depth = 0; depth < 8; depth++) {
        if (!pth_is_tensor(*value))
            return pth_fail(f, (*value)->offset, "a parameter is made of something else");
        callable = (*value)->list.item[0];
        arguments = (*value)->list.item[1];
        const char *name = callable->global.name;
        struct pickle_value *const *item = arguments->list.item;
        if (strncmp(name, "_rebuild_parameter", 18) == 0 && arguments->list.n > 0) {
            *value = item[0];
            continue;
        }
        if (strcmp(name, "_rebuild_from_type_v2") == 0 && arguments->list.n >= 3 &&
            item[0]->kind == PICKLE_GLOBAL && item[2]->kind == PICKLE_TUPLE &&
            strcmp(item[0]->global.module, UTILS) == 0) {
            *out_maker = item[0]->global.name;
            *out_arguments = item[2];
            return SPK_OK;
        }
        *out_maker = name;
        *out_arguments = arguments;
        return SPK_OK;
    }
    return pth_fail(f, (*value)->offset, "a parameter within parameters");
}

/* Sizes or strides. */
static spk_status read_numbers(struct pth *f, const struct pickle_value *list, const char *what,
                               uint32_t *out_n, uint64_t *out_numbers)
{
    if (list->kind == PICKLE_CALL && pickle_is_global(list->list.item[0], "torch", "Size") &&
        list->list.item[1]->list.n == 1)
        list = list->list.item[1]->list.item[0];
    if (list->kind != PICKLE_TUPLE && list->kind != PICKLE_LIST)
        return pth_fail(f, list->offset, "%s of a tensor are no tuple", what);
    if (list->list.n > ST_MAX_RANK)
        return pth_fail(f, list->offset, "rank %zu is above the limit of %u", list->list.n,
                        ST_MAX_RANK);
    *out_n = (uint32_t)list->list.n;
    for (uint32_t i = 0; i < *out_n; i++) {
        const struct pickle_value *number = list->list.item[i];
        if (number->kind != PICKLE_INT || number->integer < 0)
            return pth_fail(f, number->offset, "%s of a tensor must be numbers from 0 on", what);
        out_numbers[i] = (uint64_t)number->integer;
    }
    return SPK_OK;
}

static spk_status type_of_global(struct pth *f, const struct pickle_value *type,
                                 enum st_dtype *out_dtype)
{
    static const struct {
        const char *name;
        enum st_dtype dtype;
    } types[] = {
        {"float32", ST_F32}, {"float16", ST_F16}, {"bfloat16", ST_BF16}, {"float64", ST_F64},
        {"int64", ST_I64},   {"int32", ST_I32},   {"int16", ST_I16},     {"int8", ST_I8},
        {"uint8", ST_U8},    {"bool", ST_BOOL},   {"uint16", ST_U16},    {"uint32", ST_U32},
        {"uint64", ST_U64},
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (pickle_is_global(type, "torch", types[i].name)) {
            *out_dtype = types[i].dtype;
            return SPK_OK;
        }
    }
    return pth_fail(f, type->offset, "the element type of a tensor is not supported");
}

/* Shape, type and window; the storage's data is there, the window within it. */
static spk_status read_call(struct pth *f, const struct pickle_value *value, struct st_tensor *t,
                            struct window *w)
{
    const struct pickle_value *arguments = NULL;
    struct pth_storage storage;
    const char *maker = NULL;
    uint32_t n_strides;
    SPK_TRY(unwrap(f, &value, &maker, &arguments));
    struct pickle_value *const *item = arguments->list.item;
    bool third = strcmp(maker, "_rebuild_tensor_v3") == 0;
    if (strcmp(maker, "_rebuild_tensor_v2") != 0 && strcmp(maker, "_rebuild_tensor") != 0 && !third)
        return pth_fail(f, value->offset, "tensors made by '" UTILS ".%s' are not supported",
                        maker);
    if (arguments->list.n < (third ? 7 : 4) || item[0]->kind != PICKLE_PERSISTENT ||
        item[1]->kind != PICKLE_INT || item[1]->integer < 0)
        return pth_fail(f, value->offset, "a tensor is made of something else than a storage");
    SPK_TRY(pth_storage_find(f, item[0], &storage));
    SPK_TRY(read_numbers(f, item[2], "sizes", &t->rank, t->shape));
    SPK_TRY(read_numbers(f, item[3], "strides", &n_strides, w->stride));
    if (n_strides != t->rank)
        return pth_fail(f, value->offset, "a tensor has %u sizes, but %u strides", t->rank,
                        n_strides);
    t->dtype = storage.dtype;
    if (third)
        SPK_TRY(type_of_global(f, item[6], &t->dtype));
    else if (!storage.typed)
        return pth_fail(f, value->offset, "the element type of a tensor is not told");
    size_t size = st_dtype_size(t->dtype), stored = st_dtype_size(storage.dtype);
    uint64_t last = w->offset = (uint64_t)item[1]->integer, step;
    if (!checked_product_u64(t->shape, t->rank, &t->count) ||
        !checked_mul_size(t->count, size, &t->size))
        return pth_fail(f, value->offset, "the number of elements overflows");
    for (uint32_t i = 0; t->count > 0 && i < t->rank; i++) {
        if (!checked_mul_u64(t->shape[i] - 1, w->stride[i], &step) ||
            !checked_add_u64(last, step, &last))
            return pth_fail(f, value->offset, "the place of an element overflows");
    }
    if (t->count > 0 && last >= storage.n_view * stored / size)
        return pth_fail(
            f, value->offset, "a tensor reaches to element %llu of a storage that has %llu",
            (unsigned long long)last, (unsigned long long)(storage.n_view * stored / size));
    t->data = storage.data + storage.view * stored + (t->count > 0 ? w->offset * size : 0);
    return SPK_OK;
}

static bool in_one_piece(const struct st_tensor *t, const struct window *w)
{
    uint64_t stride = 1;
    for (uint32_t i = t->rank; i-- > 0;) {
        if (t->shape[i] != 1 && w->stride[i] != stride)
            return false;
        stride *= t->shape[i]; /* at most count */
    }
    return true;
}

/* Copies the elements in row-major order. */
static spk_status gather(struct pth *f, struct st_tensor *t, const struct window *w)
{
    size_t size = st_dtype_size(t->dtype);
    uint64_t at[ST_MAX_RANK] = {0}, from = 0;
    uint8_t *copy;
    SPK_TRY(spk_alloc_array_raw(t->count, size, &copy));
    spk_status status = vec_push(&f->gathered, copy);
    if (status != SPK_OK) {
        spk_free(copy);
        return status;
    }
    for (uint64_t i = 0; i < t->count; i++) {
        memcpy(copy + i * size, t->data + from * size, size);
        for (uint32_t k = t->rank; k-- > 0;) {
            from += w->stride[k];
            if (++at[k] < t->shape[k])
                break;
            from -= at[k] * w->stride[k];
            at[k] = 0;
        }
    }
    t->data = copy;
    return SPK_OK;
}

spk_status pth_tensor_read(struct pth *f, const struct pickle_value *value, const char *name,
                           struct st_tensor *out_tensor)
{
    struct st_tensor t = {.name = name};
    struct window w = {0};
    SPK_TRY(read_call(f, value, &t, &w));
    if (!checked_add_u64(f->total, t.size, &f->total) ||
        f->total / 16 > (uint64_t)f->size + SPARE / 16)
        return pth_fail(f, value->offset,
                        "its tensors share storages so often that they have more than 16 times "
                        "the bytes of the file");
    if (t.count > 0 && !in_one_piece(&t, &w))
        SPK_TRY(gather(f, &t, &w));
    *out_tensor = t;
    return SPK_OK;
}
