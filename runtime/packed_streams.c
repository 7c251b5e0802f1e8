/* Streams of the packed engine: pieces of event lists, sorted by length.
 *
 * A tile is summed for all positions of a chunk one after another. The pieces that this reads are
 * the same for every block of output channels, so they are collected once, without the empty ones,
 * and sorted by length (a counting sort; long ones last): a loop that takes as many turns as the
 * one before ends where the processor expects it. Cost: a few cycles per position, class and tile,
 * against one addition per event and vector for every block. */
#include <string.h>

#include "runtime/packed_internal.h"

/* Lengths that are told apart. */
#define LENGTHS 256u
/* Streams that are longer on average stay in order: their entries then lie in order, too. */
#define LONG 32u

static inline uint32_t clip(int64_t x, uint32_t end)
{
    return x < 0 ? 0 : x > end ? end : (uint32_t)x;
}

/* The piece of a list under a window; first: its starts, see pk_first. */
static inline uint32_t piece(const struct pk_window *w, const uint32_t *first, int64_t left,
                             uint32_t *out_from)
{
    *out_from = first[clip(left, w->in_w)];
    return first[clip(left + w->kernel_w, w->in_w)] - *out_from;
}

uint32_t pk_piece(const struct pk_lists *l, const struct pk_window *w, uint32_t q, uint32_t y,
                  uint32_t k, int64_t left)
{
    uint32_t from;

    return piece(w, pk_first(l, q, y, k), left, &from);
}

/* Pieces of class k of a group; appends to out, counts their lengths. */
static uint32_t collect(const struct pk_lists *l, const struct pk_window *w, struct ref_range range,
                        uint64_t origin, uint32_t q, uint32_t ky, uint32_t k, uint32_t in_group,
                        struct pk_stream *out, uint32_t *count)
{
    uint32_t n = 0;

    for (uint64_t p = range.begin; p < range.end;) {
        uint64_t row = p / w->out_w, row_end = (row + 1) * w->out_w;
        int64_t y = (int64_t)row * w->stride_h - w->pad_h + ky;
        uint64_t end = row_end < range.end ? row_end : range.end;
        const uint32_t *first;

        if (y < 0 || y >= w->in_h) {
            p = end;
            continue;
        }
        first = pk_first(l, q, (uint32_t)y, k);
        for (; p < end; p++) {
            int64_t left = (int64_t)(p - row * w->out_w) * w->stride_w - w->pad_w;
            uint32_t from, length = piece(w, first, left, &from);

            out[n] =
                (struct pk_stream){from, (uint16_t)length,
                                   (uint16_t)((uint32_t)(p - origin) << PK_CLASS_BITS | in_group)};
            count[length < LENGTHS ? length : LENGTHS - 1] += length > 0;
            n += length > 0;
        }
    }
    return n;
}

void pk_streams_make(const struct pk_lists *l, const struct pk_window *w, struct ref_range range,
                     uint64_t origin, uint32_t q, uint32_t ky, struct pk_stream *scratch,
                     struct pk_stream *out, uint32_t *ends)
{
    uint32_t done = 0;

    for (uint32_t g = 0; g < l->n_groups; g++) {
        const struct pk_group *group = &l->group[g];
        uint32_t count[LENGTHS] = {0}, n = 0, at = done;
        uint64_t total = 0;

        for (uint32_t k = 0; k < group->n; k++)
            n += collect(l, w, range, origin, q, ky, group->first + k, k, scratch + n, count);
        for (uint32_t i = 0; i < LENGTHS; i++)
            total += (uint64_t)i * count[i];
        if (n > 0 && total / n > LONG) {
            memcpy(out + done, scratch, n * sizeof *out);
            ends[g] = done += n;
            continue;
        }
        for (uint32_t i = 0; i < LENGTHS; i++) {
            uint32_t here = count[i];

            count[i] = at;
            at += here;
        }
        for (uint32_t i = 0; i < n; i++) {
            uint32_t length = scratch[i].n;

            out[count[length < LENGTHS ? length : LENGTHS - 1]++] = scratch[i];
        }
        ends[g] = done = at;
    }
}
