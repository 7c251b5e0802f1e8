/* Text of the float sums; included once per instruction set, which defines PK_BYTES, the size of a
 * vector.
 *
 * A stream is summed in registers, row by row, then added to the sums of the steps of its class.
 * NV vectors make a row; with constants everything is unrolled. Streams come sorted by length, so
 * that the inner loop's end is foreseen. Order of additions of one sum: tiles, then groups, then
 * streams, within one the rows at even and at odd places of each four; it depends on no instruction
 * set and no thread. */
#ifndef SPIKEC_RUNTIME_PACKED_SUM_F32_H
#define SPIKEC_RUNTIME_PACKED_SUM_F32_H

#include <stddef.h>
#include <string.h>

#include "runtime/packed_kernels.h"

typedef float pk_f32v __attribute__((vector_size(PK_BYTES), may_alias));

/* What the kernels read of a pk_sum, in registers: stores to sums could alias the struct. */
struct pk_at {
    const struct pk_stream *stream, *end;
    const uint8_t *weights;
    const uint16_t *entry;
    const int32_t *left;
    ptrdiff_t tap_bytes;
    size_t position; /* sums of one */
    uint32_t lanes;
};
static inline struct pk_at pk_at_of(const struct pk_sum *s, uint32_t row_bytes)
{
    return (struct pk_at){.stream = s->stream,
                          .end = s->stream + s->n_streams,
                          .weights = s->weights,
                          .entry = s->entry,
                          .left = s->left,
                          .tap_bytes = (ptrdiff_t)s->channels * row_bytes,
                          .position = (size_t)s->frames * s->lanes,
                          .lanes = s->lanes};
}
/* Where the row of entry 0 would lie for a stream. */
static inline const uint8_t *pk_base(const struct pk_at *a, uint32_t at)
{
    return a->weights - a->left[at >> PK_CLASS_BITS] * a->tap_bytes;
}
/* Four entries in one load; first the lowest 16 bits. */
static inline uint64_t pk_four(const uint16_t *e)
{
    uint64_t x;

    memcpy(&x, e, sizeof x);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    x = (uint64_t)e[0] | (uint64_t)e[1] << 16 | (uint64_t)e[2] << 32 | (uint64_t)e[3] << 48;
#endif
    return x;
}

/* A row that adds nothing. */
static const uint8_t pk_no_row[PK_WORD * 4] __attribute__((aligned(64)));

/* The row of entry x of the last four of a stream, `rest` of which are its own: without a branch,
 * as lengths modulo four cannot be foreseen. */
static inline const uint8_t *pk_last(const uint8_t *base, uint64_t x, uint32_t i, uint32_t rest,
                                     uint32_t row_bytes)
{
    const uint8_t *row = base + (size_t)(x >> (16 * i) & 0xffff) * row_bytes;

    return i < rest ? row : pk_no_row;
}

#define PK_ADD_F32(sum, row, NV)                   \
    do {                                           \
        const pk_f32v *w = (const pk_f32v *)(row); \
                                                   \
        for (uint32_t v = 0; v < (NV); v++)        \
            (sum)[v] += w[v];                      \
    } while (0)

#define PK_SUM_F32(name, NV, SIZE)                                                 \
    static void name(const struct pk_sum *s)                                       \
    {                                                                              \
        const struct pk_at a = pk_at_of(s, (NV)*PK_BYTES);                         \
        const struct pk_class *cls = s->cls;                                       \
        const float scale = (float)(1u << cls->plane);                             \
        float *const sums = s->acc;                                                \
                                                                                   \
        for (const struct pk_stream *at = a.stream; at < a.end; at++) {            \
            const uint8_t *base = pk_base(&a, at->at);                             \
            const uint16_t *e = a.entry + at->from;                                \
            uint32_t n = at->n;                                                    \
            float *acc = sums + (at->at >> PK_CLASS_BITS) * a.position;            \
            const uint8_t *step = cls[at->at & PK_CLASS_MASK].step;                \
            pk_f32v sum[NV] = {{0}}, more[NV] = {{0}};                             \
                                                                                   \
            for (; n > 4; n -= 4, e += 4) {                                        \
                uint64_t x = pk_four(e);                                           \
                                                                                   \
                PK_ADD_F32(sum, base + (x & 0xffff) * ((NV)*PK_BYTES), NV);        \
                PK_ADD_F32(more, base + (x >> 16 & 0xffff) * ((NV)*PK_BYTES), NV); \
                PK_ADD_F32(sum, base + (x >> 32 & 0xffff) * ((NV)*PK_BYTES), NV);  \
                PK_ADD_F32(more, base + (x >> 48) * ((NV)*PK_BYTES), NV);          \
            }                                                                      \
            uint64_t x = pk_four(e);                                               \
                                                                                   \
            PK_ADD_F32(sum, pk_last(base, x, 0, n, (NV)*PK_BYTES), NV);            \
            PK_ADD_F32(more, pk_last(base, x, 1, n, (NV)*PK_BYTES), NV);           \
            PK_ADD_F32(sum, pk_last(base, x, 2, n, (NV)*PK_BYTES), NV);            \
            PK_ADD_F32(more, pk_last(base, x, 3, n, (NV)*PK_BYTES), NV);           \
            for (uint32_t v = 0; v < (NV); v++)                                    \
                sum[v] = (sum[v] + more[v]) * scale;                               \
            for (uint32_t k = 0; k < (SIZE); k++) {                                \
                pk_f32v *to = (pk_f32v *)(acc + (size_t)step[k] * a.lanes);        \
                                                                                   \
                for (uint32_t v = 0; v < (NV); v++)                                \
                    to[v] += sum[v];                                               \
            }                                                                      \
        }                                                                          \
    }
#define PK_SUMS_F32(NV)                           \
    PK_SUM_F32(pk_f32_##NV##_1, NV / PK_BYTES, 1) \
    PK_SUM_F32(pk_f32_##NV##_2, NV / PK_BYTES, 2) \
    PK_SUM_F32(pk_f32_##NV##_3, NV / PK_BYTES, 3) \
    PK_SUM_F32(pk_f32_##NV##_4, NV / PK_BYTES, 4)
PK_SUMS_F32(256)
PK_SUMS_F32(128)
PK_SUMS_F32(64)

static void pk_sum_f32(const struct pk_sum *s)
{
    static void (*const of[3][PK_GROUP])(const struct pk_sum *) = {
        {pk_f32_64_1, pk_f32_64_2, pk_f32_64_3, pk_f32_64_4},
        {pk_f32_128_1, pk_f32_128_2, pk_f32_128_3, pk_f32_128_4},
        {pk_f32_256_1, pk_f32_256_2, pk_f32_256_3, pk_f32_256_4}};

    of[s->row_bytes / 128][s->size - 1](s);
}

#endif
