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

/* Where the events of a window row lie. */
struct pk_piece {
    const uint32_t *from, *to; /* [classes]: first entries at the left and the right border */
    uintptr_t weights;         /* address of the row of the element (0, 0) of the image row */
};

/* The pieces of an output position, at most kernel_h; returns their number. */
static inline uint32_t pk_window(const struct pk_sum *s, uint64_t position, struct pk_piece *piece)
{
    int64_t y0 = (int64_t)(position / s->out_w) * s->stride_h - s->pad_h;
    int64_t x0 = (int64_t)(position % s->out_w) * s->stride_w - s->pad_w;
    int64_t left = x0 < 0 ? 0 : x0, right = x0 + s->kernel_w;
    uint64_t tap_bytes = (uint64_t)s->channels * s->row_bytes;
    uint32_t n = 0;

    right = right > s->in_w ? s->in_w : right;
    if (left >= right)
        return 0;
    for (uint32_t ky = 0; ky < s->kernel_h; ky++) {
        int64_t y = y0 + ky;
        const uint32_t *row;

        if (y < 0 || y >= s->in_h)
            continue;
        row = s->first + (uint64_t)y * (s->in_w + 1) * s->n_classes;
        piece[n].from = row + (uint64_t)left * s->n_classes;
        piece[n].to = row + (uint64_t)right * s->n_classes;
        /* Modulo 2^64: entries of the window bring the address back into the block. */
        piece[n].weights = (uintptr_t)s->weights + (uint64_t)ky * s->kernel_w * tap_bytes -
                           (uint64_t)x0 * tap_bytes;
        n++;
    }
    return n;
}

/* Window rows that are kept at a time. */
#define PK_PIECES 16u

#define PK_SUM_F32(name, NV)                                                                  \
    static inline void name(const struct pk_sum *s, const struct pk_piece *piece, uint32_t n, \
                            float *acc)                                                       \
    {                                                                                         \
        for (uint32_t k = 0; k < s->n_classes; k++) {                                         \
            const struct pk_class *c = &s->cls[k];                                            \
            const float scale = (float)(1u << c->plane);                                      \
            pk_f32v sum[NV] = {{0}};                                                          \
            bool any = false;                                                                 \
                                                                                              \
            for (uint32_t r = 0; r < n; r++) {                                                \
                const uint32_t *e = s->entry + piece[r].from[k];                              \
                const uint32_t *end = s->entry + piece[r].to[k];                              \
                                                                                              \
                any |= e < end;                                                               \
                for (; e < end; e++) {                                                        \
                    const pk_f32v *w = (const pk_f32v *)(piece[r].weights + *e);              \
                                                                                              \
                    for (uint32_t v = 0; v < (NV); v++)                                       \
                        sum[v] += w[v];                                                       \
                }                                                                             \
            }                                                                                 \
            if (!any)                                                                         \
                continue;                                                                     \
            for (uint32_t v = 0; c->plane > 0 && v < (NV); v++)                               \
                sum[v] *= scale;                                                              \
            for (uint32_t i = 0; i < c->n; i++) {                                             \
                pk_f32v *to = (pk_f32v *)(acc + (size_t)c->step[i] * (NV) * (PK_BYTES / 4));  \
                                                                                              \
                for (uint32_t v = 0; v < (NV); v++)                                           \
                    to[v] += sum[v];                                                          \
            }                                                                                 \
        }                                                                                     \
    }
PK_SUM_F32(pk_window_f32_64, 256 / PK_BYTES)
PK_SUM_F32(pk_window_f32_32, 128 / PK_BYTES)
PK_SUM_F32(pk_window_f32_16, 64 / PK_BYTES)

static void pk_sum_f32(const struct pk_sum *s)
{
    struct pk_piece piece[PK_PIECES];
    uint32_t lanes = s->row_bytes / 4;
    float *acc = s->acc;

    for (uint64_t p = s->begin; p < s->end; p++, acc += (size_t)s->frames * lanes) {
        uint32_t n = pk_window(s, p, piece);

        if (lanes == 64)
            pk_window_f32_64(s, piece, n, acc);
        else if (lanes == 32)
            pk_window_f32_32(s, piece, n, acc);
        else
            pk_window_f32_16(s, piece, n, acc);
    }
}

#endif
