/* Text of the integer sums of 8-bit weights; included once per instruction set behind
 * packed_sum_f32.h.
 *
 * Rows are widened to 16 bits as they are loaded and summed there, as are the sums of a position
 * and step. row_limit rows fit 16 bits whatever they hold: before a sum could pass that it moves
 * into 32 bits, which the caller has proved to be wide enough. All additions are exact, so their
 * order is free. */
#ifndef SPIKEC_RUNTIME_PACKED_SUM_I8_H
#define SPIKEC_RUNTIME_PACKED_SUM_I8_H

#include "runtime/packed_sum_f32.h"

#define PK_HALF (PK_BYTES / 2) /* 8-bit weights, and 16-bit sums, of one vector */

typedef int16_t pk_i16v __attribute__((vector_size(PK_BYTES), may_alias));
typedef int32_t pk_i32v __attribute__((vector_size(PK_BYTES), may_alias));

/* PK_HALF bytes at p, as 16-bit and as 32-bit lanes. */
static inline pk_i16v pk_load_i8(const void *p);
static inline pk_i32v pk_load_i16(const void *p);

#if PK_BYTES == 64
static inline pk_i16v pk_load_i8(const void *p)
{
    return (pk_i16v)_mm512_cvtepi8_epi16(_mm256_load_si256((const __m256i *)p));
}
static inline pk_i32v pk_load_i16(const void *p)
{
    return (pk_i32v)_mm512_cvtepi16_epi32(_mm256_load_si256((const __m256i *)p));
}
#elif PK_BYTES == 32
static inline pk_i16v pk_load_i8(const void *p)
{
    return (pk_i16v)_mm256_cvtepi8_epi16(_mm_load_si128((const __m128i *)p));
}
static inline pk_i32v pk_load_i16(const void *p)
{
    return (pk_i32v)_mm256_cvtepi16_epi32(_mm_load_si128((const __m128i *)p));
}
#else
static inline pk_i16v pk_load_i8(const void *p)
{
    typedef int8_t bytes __attribute__((vector_size(PK_HALF), may_alias));

    return __builtin_convertvector(*(const bytes *)p, pk_i16v);
}
static inline pk_i32v pk_load_i16(const void *p)
{
    typedef int16_t halves __attribute__((vector_size(PK_HALF), may_alias));

    return __builtin_convertvector(*(const halves *)p, pk_i32v);
}
#endif

/* wide[lane] += sum[lane] * 2^shift; the first time it is set. */
static inline void pk_spill(const struct pk_sum *s, size_t target, const pk_i16v *sum,
                            uint32_t n_vectors, uint32_t shift)
{
    const uint8_t *from = (const uint8_t *)sum;
    pk_i32v *to = (pk_i32v *)(s->wide + target * s->lanes);
    pk_i32v any = (pk_i32v){0} - (int32_t)s->spilled[target];

    for (uint32_t v = 0; v < 2 * n_vectors; v++)
        to[v] = (to[v] & any) + (pk_load_i16(from + (size_t)v * PK_HALF) << (int32_t)shift);
    s->spilled[target] = 1;
}

#define PK_ADD_I8(sum, row, NV)                              \
    do {                                                     \
        const uint8_t *w = (row);                            \
                                                             \
        for (uint32_t v = 0; v < (NV); v++)                  \
            (sum)[v] += pk_load_i8(w + (size_t)v * PK_HALF); \
    } while (0)

#define PK_SUM_I8(name, NV, SIZE)                                                          \
    static inline void name##_add(const struct pk_sum *s, uint16_t at, const pk_i16v *sum, \
                                  uint32_t weight)                                         \
    {                                                                                      \
        const struct pk_class *c = &s->cls[at & PK_CLASS_MASK];                            \
        size_t target = (size_t)(at >> PK_CLASS_BITS) * s->frames;                         \
                                                                                           \
        for (uint32_t k = 0; k < (SIZE); k++) {                                            \
            size_t to = target + c->step[k];                                               \
            pk_i16v *acc = (pk_i16v *)((int16_t *)s->acc + to * s->lanes);                 \
            uint32_t rows = s->rows[to] + weight;                                          \
                                                                                           \
            if (rows > s->row_limit) {                                                     \
                if (weight > s->row_limit) {                                               \
                    pk_spill(s, to, sum, NV, c->plane);                                    \
                    continue;                                                              \
                }                                                                          \
                pk_spill(s, to, acc, NV, 0);                                               \
                memset(acc, 0, (NV)*PK_BYTES);                                             \
                rows = weight;                                                             \
            }                                                                              \
            s->rows[to] = (uint16_t)rows;                                                  \
            for (uint32_t v = 0; v < (NV); v++)                                            \
                acc[v] += sum[v] << (int16_t)c->plane;                                     \
        }                                                                                  \
    }                                                                                      \
    static void name(const struct pk_sum *s)                                               \
    {                                                                                      \
        const struct pk_at a = pk_at_of(s, (NV)*PK_HALF);                                  \
        const uint32_t limit = s->row_limit, plane = s->cls->plane;                        \
                                                                                           \
        for (const struct pk_stream *at = a.stream; at < a.end; at++) {                    \
            const uint8_t *base = pk_base(&a, at->at);                                     \
            const uint16_t *e = a.entry + at->from;                                        \
                                                                                           \
            for (uint32_t rest = at->n; rest > 0;) {                                       \
                uint32_t rows = rest > limit ? limit : rest, n = rows;                     \
                pk_i16v sum[NV] = {{0}}, more[NV] = {{0}};                                 \
                                                                                           \
                for (; n > 4; n -= 4, e += 4) {                                            \
                    uint64_t x = pk_four(e);                                               \
                                                                                           \
                    PK_ADD_I8(sum, base + (x & 0xffff) * ((NV)*PK_HALF), NV);              \
                    PK_ADD_I8(more, base + (x >> 16 & 0xffff) * ((NV)*PK_HALF), NV);       \
                    PK_ADD_I8(sum, base + (x >> 32 & 0xffff) * ((NV)*PK_HALF), NV);        \
                    PK_ADD_I8(more, base + (x >> 48) * ((NV)*PK_HALF), NV);                \
                }                                                                          \
                uint64_t x = pk_four(e);                                                   \
                                                                                           \
                PK_ADD_I8(sum, pk_last(base, x, 0, n, (NV)*PK_HALF), NV);                  \
                PK_ADD_I8(more, pk_last(base, x, 1, n, (NV)*PK_HALF), NV);                 \
                PK_ADD_I8(sum, pk_last(base, x, 2, n, (NV)*PK_HALF), NV);                  \
                PK_ADD_I8(more, pk_last(base, x, 3, n, (NV)*PK_HALF), NV);                 \
                e += n;                                                                    \
                for (uint32_t v = 0; v < (NV); v++)                                        \
                    sum[v] += more[v];                                                     \
                name##_add(s, at->at, sum, rows << plane);                                 \
                rest -= rows;                                                              \
            }                                                                              \
        }                                                                                  \
    }
#define PK_SUMS_I8(LANES)                            \
    PK_SUM_I8(pk_i8_##LANES##_1, LANES / PK_HALF, 1) \
    PK_SUM_I8(pk_i8_##LANES##_2, LANES / PK_HALF, 2) \
    PK_SUM_I8(pk_i8_##LANES##_3, LANES / PK_HALF, 3) \
    PK_SUM_I8(pk_i8_##LANES##_4, LANES / PK_HALF, 4)
PK_SUMS_I8(128)
PK_SUMS_I8(64)
PK_SUMS_I8(32)

static void pk_sum_i8(const struct pk_sum *s)
{
    static void (*const of[3][PK_GROUP])(const struct pk_sum *) = {
        {pk_i8_32_1, pk_i8_32_2, pk_i8_32_3, pk_i8_32_4},
        {pk_i8_64_1, pk_i8_64_2, pk_i8_64_3, pk_i8_64_4},
        {pk_i8_128_1, pk_i8_128_2, pk_i8_128_3, pk_i8_128_4}};

    of[s->row_bytes / 64][s->size - 1](s);
}

static void pk_widen(int32_t *sum, const int16_t *narrow, const int32_t *wide, uint32_t n)
{
    for (uint32_t j = 0; j < n; j += PK_BYTES / 4) {
        pk_i32v x = pk_load_i16(narrow + j);

        if (wide)
            x += *(const pk_i32v *)(wide + j);
        *(pk_i32v *)(sum + j) = x;
    }
}

#endif
