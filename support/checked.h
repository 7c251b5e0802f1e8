/* Integer arithmetic that reports overflow. Every function returns true and stores the result when
 * it fits; on overflow it returns false and *out_result holds the wrapped value. */
#ifndef SPIKEC_SUPPORT_CHECKED_H
#define SPIKEC_SUPPORT_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/status.h"

#define SPK_CHECKED_OPS(name, type)                                                     \
    SPK_CHECKED static inline bool checked_add_##name(type a, type b, type *out_result) \
    {                                                                                   \
        return !__builtin_add_overflow(a, b, out_result);                               \
    }                                                                                   \
    SPK_CHECKED static inline bool checked_sub_##name(type a, type b, type *out_result) \
    {                                                                                   \
        return !__builtin_sub_overflow(a, b, out_result);                               \
    }                                                                                   \
    SPK_CHECKED static inline bool checked_mul_##name(type a, type b, type *out_result) \
    {                                                                                   \
        return !__builtin_mul_overflow(a, b, out_result);                               \
    }

SPK_CHECKED_OPS(size, size_t)
SPK_CHECKED_OPS(i64, int64_t)
SPK_CHECKED_OPS(u64, uint64_t)
SPK_CHECKED_OPS(i32, int32_t)
SPK_CHECKED_OPS(u32, uint32_t)

#undef SPK_CHECKED_OPS

/* a * b + c. */
SPK_CHECKED static inline bool checked_mul_add_size(size_t a, size_t b, size_t c,
                                                    size_t *out_result)
{
    return checked_mul_size(a, b, out_result) && checked_add_size(*out_result, c, out_result);
}

/* Product of `count` factors; the product of none is 1. A zero factor gives 0 even when the rest
 * would overflow. */
SPK_CHECKED static inline bool checked_product_u64(const uint64_t *factors, size_t count,
                                                   uint64_t *out_result)
{
    uint64_t product = 1;
    for (size_t i = 0; i < count; i++) {
        if (factors[i] == 0) {
            *out_result = 0;
            return true;
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (!checked_mul_u64(product, factors[i], &product))
            return false;
    }
    *out_result = product;
    return true;
}

/* Narrowing: true when the value fits. */
SPK_CHECKED static inline bool checked_u32_from_u64(uint64_t value, uint32_t *out_result)
{
    *out_result = (uint32_t)value;
    return value <= UINT32_MAX;
}
SPK_CHECKED static inline bool checked_u32_from_i64(int64_t value, uint32_t *out_result)
{
    *out_result = (uint32_t)value;
    return value >= 0 && value <= UINT32_MAX;
}
SPK_CHECKED static inline bool checked_i32_from_i64(int64_t value, int32_t *out_result)
{
    *out_result = (int32_t)value;
    return value >= INT32_MIN && value <= INT32_MAX;
}
SPK_CHECKED static inline bool checked_size_from_u64(uint64_t value, size_t *out_result)
{
    *out_result = (size_t)value;
    return value <= SIZE_MAX;
}

#endif
