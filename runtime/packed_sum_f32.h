/* Text of the float sums of a block; included once per instruction set, which defines PK_BYTES,
 * the size of a vector.
 *
 * A class is summed in registers, row by row, then added to the sums of its steps. NV vectors of a
 * row are one block of output channels; with a constant NV everything is unrolled.
 * Order of additions: slices, then classes (plane, set of steps), within one ascending rows.    */
#ifndef SPIKEC_RUNTIME_PACKED_SUM_F32_H
#define SPIKEC_RUNTIME_PACKED_SUM_F32_H

#include <string.h>

#include "runtime/packed_kernels.h"

typedef float pk_f32v __attribute__((vector_size(PK_BYTES), may_alias));

typedef uint32_t pk_u32v __attribute__((vector_size(PK_BYTES), may_alias, aligned(4)));

/* Entries copied at a time, whether or not there are as many: short lists take no branch. */
#define PK_COPY 32u
_Static_assert(PK_COPY <= PK_SLACK, "lists and windows have room for a copy");

/* Appends n entries, moved by `shift`, to a window. */
static inline uint32_t *pk_append(uint32_t *to, const uint32_t *from, uint32_t n, uint32_t shift)
{
    for (uint32_t i = 0;; i += PK_COPY) {
        for (uint32_t v = 0; v < PK_COPY; v += PK_BYTES / 4)
            *(pk_u32v *)(to + i + v) = *(const pk_u32v *)(from + i + v) + shift;
        if (n <= i + PK_COPY)
            return to + n;
    }
}

/* Collects the events under the window of an output position, class by class: s->window holds the
 * places of their weight rows, s->end[k] where class k ends. */
static inline void pk_window(const struct pk_sum *s, uint64_t position)
{
    int64_t y0 = (int64_t)(position / s->out_w) * s->stride_h - s->pad_h;
    int64_t x0 = (int64_t)(position % s->out_w) * s->stride_w - s->pad_w;
    int64_t left = x0 < 0 ? 0 : x0, right = x0 + s->kernel_w;
    int64_t top = y0 < 0 ? 0 : y0, bottom = y0 + s->kernel_h;
    uint32_t tap_bytes = s->channels * s->row_bytes;
    uint32_t *to = s->window;

    right = right > s->in_w ? s->in_w : right;
    bottom = bottom > s->in_h ? s->in_h : bottom;
    for (uint32_t k = 0; k < s->n_classes; k++) {
        for (int64_t y = top; y < bottom && left < right; y++) {
            const struct pk_row *row = &s->row[y];
            uint32_t from = row->first[(uint64_t)left * s->n_classes + k];
            uint32_t n = row->first[(uint64_t)right * s->n_classes + k] - from;
            /* Modulo 2^32: the sum is the place within the slice again. */
            uint32_t shift = (uint32_t)((y - y0) * s->kernel_w - x0) * tap_bytes;

            to = pk_append(to, row->entry + from, n, shift);
        }
        s->end[k] = (uint32_t)(to - s->window);
    }
}

#define PK_SUM_F32(name, NV)                                                                 \
    static inline void name(const struct pk_sum *s, float *acc)                              \
    {                                                                                        \
        const uint32_t *e = s->window;                                                       \
                                                                                             \
        for (uint32_t k = 0; k < s->n_classes; k++) {                                        \
            const struct pk_class *c = &s->cls[k];                                           \
            const uint32_t *end = s->window + s->end[k];                                     \
            pk_f32v sum[NV] = {{0}};                                                         \
                                                                                             \
            if (e == end)                                                                    \
                continue;                                                                    \
            for (; e < end; e++) {                                                           \
                const pk_f32v *w = (const pk_f32v *)((const uint8_t *)s->weights + *e);      \
                                                                                             \
                for (uint32_t v = 0; v < (NV); v++)                                          \
                    sum[v] += w[v];                                                          \
            }                                                                                \
            for (uint32_t v = 0; c->plane > 0 && v < (NV); v++)                              \
                sum[v] *= (float)(1u << c->plane);                                           \
            for (uint32_t i = 0; i < c->n; i++) {                                            \
                pk_f32v *to = (pk_f32v *)(acc + (size_t)c->step[i] * (NV) * (PK_BYTES / 4)); \
                                                                                             \
                for (uint32_t v = 0; v < (NV); v++)                                          \
                    to[v] += sum[v];                                                         \
            }                                                                                \
        }                                                                                    \
    }
PK_SUM_F32(pk_window_f32_64, 256 / PK_BYTES)
PK_SUM_F32(pk_window_f32_32, 128 / PK_BYTES)
PK_SUM_F32(pk_window_f32_16, 64 / PK_BYTES)

static void pk_sum_f32(const struct pk_sum *s)
{
    uint32_t lanes = s->row_bytes / 4;
    float *acc = s->acc;

    for (uint64_t p = s->begin; p < s->end_position; p++, acc += (size_t)s->frames * lanes) {
        pk_window(s, p);
        if (lanes == 64)
            pk_window_f32_64(s, acc);
        else if (lanes == 32)
            pk_window_f32_32(s, acc);
        else
            pk_window_f32_16(s, acc);
    }
}

#endif
