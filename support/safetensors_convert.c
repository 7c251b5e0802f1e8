/* Conversion of tensor elements; data may be unaligned, so every element is loaded by memcpy. */
#include <string.h>

#include "support/half.h"
#include "support/safetensors.h"

/* Little-endian hosts only; the build targets are. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "little-endian host expected");

/* for (i…) out[i] = convert(element i as `type`) */
#define CONVERT_LOOP(type, expression)                     \
    for (uint64_t i = 0; i < tensor->count; i++) {         \
        type x;                                            \
        memcpy(&x, tensor->data + i * sizeof x, sizeof x); \
        out_values[i] = (expression);                      \
    }                                                      \
    return SPK_OK

#define CONVERT_TO(target)                              \
    switch (tensor->dtype) {                            \
    case ST_BOOL:                                       \
    case ST_U8:                                         \
        CONVERT_LOOP(uint8_t, (target)x);               \
    case ST_I8:                                         \
        CONVERT_LOOP(int8_t, (target)x);                \
    case ST_I16:                                        \
        CONVERT_LOOP(int16_t, (target)x);               \
    case ST_U16:                                        \
        CONVERT_LOOP(uint16_t, (target)x);              \
    case ST_F16:                                        \
        CONVERT_LOOP(uint16_t, (target)half_to_f32(x)); \
    case ST_BF16:                                       \
        CONVERT_LOOP(uint16_t, (target)bf16_to_f32(x)); \
    case ST_I32:                                        \
        CONVERT_LOOP(int32_t, (target)x);               \
    case ST_U32:                                        \
        CONVERT_LOOP(uint32_t, (target)x);              \
    case ST_F32:                                        \
        CONVERT_LOOP(float, (target)x);                 \
    case ST_F64:                                        \
        CONVERT_LOOP(double, (target)x);                \
    case ST_I64:                                        \
        CONVERT_LOOP(int64_t, (target)x);               \
    case ST_U64:                                        \
        CONVERT_LOOP(uint64_t, (target)x);              \
    case ST_DTYPE_COUNT:                                \
        break;                                          \
    }                                                   \
    return SPK_ERR_INPUT

spk_status st_to_f32(const struct st_tensor *tensor, float *out_values)
{
    CONVERT_TO(float);
}

spk_status st_to_f64(const struct st_tensor *tensor, double *out_values)
{
    CONVERT_TO(double);
}

/* Element `index` of an integer tensor as int64; false when it does not fit. */
static bool load_i64(const struct st_tensor *tensor, uint64_t index, int64_t *out_value)
{
    size_t size = st_dtype_size(tensor->dtype);
    unsigned spare = (unsigned)(64 - 8 * size);
    uint64_t bits = 0;
    memcpy(&bits, tensor->data + index * size, size);
    switch (tensor->dtype) {
    case ST_I8:
    case ST_I16:
    case ST_I32:
    case ST_I64:
        *out_value = (int64_t)(bits << spare) >> spare; /* sign extension */
        return true;
    default:
        *out_value = (int64_t)bits;
        return bits <= INT64_MAX;
    }
}

static bool is_integer(enum st_dtype dtype)
{
    return dtype != ST_F16 && dtype != ST_BF16 && dtype != ST_F32 && dtype != ST_F64 &&
           dtype < ST_DTYPE_COUNT;
}

static spk_status offending(uint64_t index, uint64_t *out_index)
{
    if (out_index)
        *out_index = index;
    return SPK_ERR_INPUT;
}

spk_status st_to_i64(const struct st_tensor *tensor, int64_t *out_values, uint64_t *out_index)
{
    if (!is_integer(tensor->dtype))
        return offending(0, out_index);
    for (uint64_t i = 0; i < tensor->count; i++) {
        if (!load_i64(tensor, i, &out_values[i]))
            return offending(i, out_index);
    }
    return SPK_OK;
}

spk_status st_to_i32(const struct st_tensor *tensor, int32_t *out_values, uint64_t *out_index)
{
    if (!is_integer(tensor->dtype))
        return offending(0, out_index);
    for (uint64_t i = 0; i < tensor->count; i++) {
        int64_t value;
        if (!load_i64(tensor, i, &value) || value < INT32_MIN || value > INT32_MAX)
            return offending(i, out_index);
        out_values[i] = (int32_t)value;
    }
    return SPK_OK;
}
