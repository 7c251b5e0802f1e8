/* Text of the float sums; included once per instruction set, which defines PK_BYTES, the size of a
 * vector.
 *
 * A stream is summed in registers, row by row, then added to the sums of the steps of its class.
 * NV vectors make a row; with constants everything is unrolled. Streams come sorted by length, so
 * that the inner loop's end is foreseen. Order of additions of one sum: tiles, then groups, then
 * streams, within one ascending rows; it depends on no instruction set and no thread. */
#ifndef SPIKEC_RUNTIME_PACKED_SUM_F32_H
#define SPIKEC_RUNTIME_PACKED_SUM_F32_H

#include <stddef.h>
#include <string.h>

#include "runtime/packed_kernels.h"

typedef float pk_f32v __attribute__((vector_size(PK_BYTES), may_alias));

/* Where the row of entry 0 would lie for a stream. */
static inline const uint8_t *pk_base(const struct pk_sum *s, const struct pk_stream *at,
                                     uint32_t row_bytes)
{
    return s->weights -
           (ptrdiff_t)s->left[at->at >> PK_CLASS_BITS] * (ptrdiff_t)(s->channels * row_bytes);
}

#define PK_SUM_F32(name, NV, SIZE)                                                         \
    static void name(const struct pk_sum *s)                                               \
    {                                                                                      \
        const float scale = (float)(1u << s->cls->plane);                                  \
                                                                                           \
        for (uint32_t i = 0; i < s->n_streams; i++) {                                      \
            const struct pk_stream at = s->stream[i];                                      \
            const struct pk_class *c = &s->cls[at.at & PK_CLASS_MASK];                     \
            const uint8_t *base = pk_base(s, &at, (NV)*PK_BYTES);                          \
            const uint16_t *e = s->entry + at.from, *end = e + at.n;                       \
            float *acc =                                                                   \
                (float *)s->acc + (size_t)(at.at >> PK_CLASS_BITS) * s->frames * s->lanes; \
            pk_f32v sum[NV] = {{0}};                                                       \
                                                                                           \
            for (; e < end; e++) {                                                         \
                const pk_f32v *w = (const pk_f32v *)(base + (size_t)*e * ((NV)*PK_BYTES)); \
                                                                                           \
                for (uint32_t v = 0; v < (NV); v++)                                        \
                    sum[v] += w[v];                                                        \
            }                                                                              \
            for (uint32_t v = 0; v < (NV); v++)                                            \
                sum[v] *= scale;                                                           \
            for (uint32_t k = 0; k < (SIZE); k++) {                                        \
                pk_f32v *to = (pk_f32v *)(acc + (size_t)c->step[k] * s->lanes);            \
                                                                                           \
                for (uint32_t v = 0; v < (NV); v++)                                        \
                    to[v] += sum[v];                                                       \
            }                                                                              \
        }                                                                                  \
    }
#define PK_SUMS_F32(NV)                           \
    PK_SUM_F32(pk_f32_##NV##_1, NV / PK_BYTES, 1) \
    PK_SUM_F32(pk_f32_##NV##_2, NV / PK_BYTES, 2) \
    PK_SUM_F32(pk_f32_##NV##_3, NV / PK_BYTES, 3) \
    PK_SUM_F32(pk_f32_##NV##_4, NV / PK_BYTES, 4)
PK_SUMS_F32(128)
PK_SUMS_F32(64)

static void pk_sum_f32(const struct pk_sum *s)
{
    static void (*const of[2][PK_GROUP])(const struct pk_sum *) = {
        {pk_f32_64_1, pk_f32_64_2, pk_f32_64_3, pk_f32_64_4},
        {pk_f32_128_1, pk_f32_128_2, pk_f32_128_3, pk_f32_128_4}};

    of[s->row_bytes == 128][s->size - 1](s);
}

#endif
