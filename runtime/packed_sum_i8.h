/* Text of the integer sums of a block of 8-bit weights; included once per instruction set behind
 * packed_sum_f32.h.
 *
 * Rows are widened to 16 bits as they are loaded and summed there. row_limit rows fit 16 bits
 * whatever they hold; before a sum could pass that it is widened into the 32-bit accumulators,
 * which the caller has proved to be wide enough. All additions are exact, so their order is free.
 */
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

/* acc[lane] += sum[lane] * 2^shift. */
static inline void pk_widen(int32_t *acc, const pk_i16v *sum, uint32_t n_vectors, uint32_t shift)
{
    const uint8_t *from = (const uint8_t *)sum;
    pk_i32v *to = (pk_i32v *)acc;

    for (uint32_t v = 0; v < 2 * n_vectors; v++)
        to[v] += pk_load_i16(from + (size_t)v * PK_HALF) << (int32_t)shift;
}

/* Sums of an output position, by step: 16 bits, and how many rows they hold. */
struct pk_narrow {
    pk_i16v sum[PK_MAX_FRAMES][PK_LANES_I8 / PK_HALF];
    uint32_t rows[PK_MAX_FRAMES];
};

#define PK_SUM_I8(name, NV)                                                                  \
    static inline void name##_add(const struct pk_sum *s, const struct pk_class *c,          \
                                  struct pk_narrow *t, const pk_i16v *sum, uint32_t rows,    \
                                  int32_t *acc)                                              \
    {                                                                                        \
        uint64_t weight = (uint64_t)rows << c->plane;                                        \
                                                                                             \
        for (uint32_t i = 0; i < c->n; i++) {                                                \
            uint32_t f = c->step[i];                                                         \
            int32_t *wide = acc + (size_t)f * (NV)*PK_HALF;                                  \
                                                                                             \
            if (weight > s->row_limit) {                                                     \
                pk_widen(wide, sum, NV, c->plane);                                           \
                continue;                                                                    \
            }                                                                                \
            if (t->rows[f] + weight > s->row_limit) {                                        \
                pk_widen(wide, t->sum[f], NV, 0);                                            \
                t->rows[f] = 0;                                                              \
            }                                                                                \
            pk_i16v any = (pk_i16v){0} - (int16_t)(t->rows[f] > 0);                          \
            for (uint32_t v = 0; v < (NV); v++) {                                            \
                pk_i16v scaled = sum[v] << (int16_t)c->plane;                                \
                                                                                             \
                t->sum[f][v] = (t->sum[f][v] & any) + scaled;                                \
            }                                                                                \
            t->rows[f] += (uint32_t)weight;                                                  \
        }                                                                                    \
    }                                                                                        \
    static inline void name(const struct pk_sum *s, struct pk_narrow *t, int32_t *acc)       \
    {                                                                                        \
        const uint32_t *e = s->window;                                                       \
                                                                                             \
        memset(t->rows, 0, s->frames * sizeof *t->rows);                                     \
        for (uint32_t k = 0; k < s->n_classes; k++) {                                        \
            const uint32_t *end = s->window + s->end[k];                                     \
                                                                                             \
            while (e < end) {                                                                \
                uint32_t rows = end - e > s->row_limit ? s->row_limit : (uint32_t)(end - e); \
                const uint32_t *stop = e + rows;                                             \
                pk_i16v sum[NV] = {{0}};                                                     \
                                                                                             \
                for (; e < stop; e++) {                                                      \
                    const uint8_t *w = (const uint8_t *)s->weights + *e;                     \
                                                                                             \
                    for (uint32_t v = 0; v < (NV); v++)                                      \
                        sum[v] += pk_load_i8(w + (size_t)v * PK_HALF);                       \
                }                                                                            \
                name##_add(s, &s->cls[k], t, sum, rows, acc);                                \
            }                                                                                \
        }                                                                                    \
        for (uint32_t f = 0; f < s->frames; f++)                                             \
            if (t->rows[f])                                                                  \
                pk_widen(acc + (size_t)f * (NV)*PK_HALF, t->sum[f], NV, 0);                  \
    }
PK_SUM_I8(pk_window_i8_128, 128 / PK_HALF)
PK_SUM_I8(pk_window_i8_64, 64 / PK_HALF)
PK_SUM_I8(pk_window_i8_32, 32 / PK_HALF)

static void pk_sum_i8(const struct pk_sum *s)
{
    struct pk_narrow t;
    int32_t *acc = s->acc;

    for (uint64_t p = s->begin; p < s->end_position; p++, acc += (size_t)s->frames * s->row_bytes) {
        pk_window(s, p);
        if (s->row_bytes == 128)
            pk_window_i8_128(s, &t, acc);
        else if (s->row_bytes == 64)
            pk_window_i8_64(s, &t, acc);
        else
            pk_window_i8_32(s, &t, acc);
    }
}

#endif
