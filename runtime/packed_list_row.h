/* Text of the event lists of an image row; included once per instruction set. */
#ifndef SPIKEC_RUNTIME_PACKED_LIST_ROW_H
#define SPIKEC_RUNTIME_PACKED_LIST_ROW_H

#include "runtime/packed_kernels.h"

static inline uint32_t pk_put(const struct pk_list_row *r, uint32_t n, uint32_t value, uint32_t k,
                              uint32_t *count)
{
    r->value[n] = value;
    r->cls[n] = (uint16_t)k;
    count[k]++;
    return n + 1;
}

/* Sets of up to four steps: an element belongs to that of all steps at which it is active. */
static inline uint32_t pk_list_sets(const struct pk_list_row *r, const uint64_t *bits, uint32_t k,
                                    uint32_t base, uint32_t n, uint32_t *count)
{
    uint32_t first = k;

    for (uint32_t t = 0; t < r->frames; t += PK_GROUP) {
        uint32_t steps = r->frames - t < PK_GROUP ? r->frames - t : PK_GROUP;
        uint64_t step[PK_GROUP] = {0}, any = 0;

        for (uint32_t i = 0; i < steps; i++)
            any |= step[i] = bits[(t + i) * r->frame_words];
        for (; any; any &= any - 1) {
            uint32_t c = (uint32_t)__builtin_ctzll(any);
            uint32_t set = (uint32_t)((step[0] >> c & 1) | (step[1] >> c & 1) << 1 |
                                      (step[2] >> c & 1) << 2 | (step[3] >> c & 1) << 3);

            n = pk_put(r, n, (base + c) * r->row_bytes, first + set - 1, count);
        }
        first += (1u << steps) - 1;
    }
    return n;
}

static inline uint32_t pk_list_steps(const struct pk_list_row *r, const uint64_t *bits, uint32_t k,
                                     uint32_t base, uint32_t n, uint32_t *count)
{
    for (uint32_t t = 0; t < r->frames; t++)
        for (uint64_t x = bits[t * r->frame_words]; x; x &= x - 1)
            n = pk_put(r, n, (base + (uint32_t)__builtin_ctzll(x)) * r->row_bytes, k + t, count);
    return n;
}

static uint32_t pk_list_row(const struct pk_list_row *r)
{
    uint32_t n = 0;

    for (uint32_t x = 0; x < r->in_w; x++) {
        uint32_t *count = r->count + (uint64_t)(x + 1) * r->n_classes;

        for (uint32_t w = 0; w < r->words; w++) {
            const uint64_t *bits = r->bits + (uint64_t)x * r->position_words + w;
            uint32_t base = x * r->channels + 64 * w;

            for (uint32_t p = 0; p < r->planes; p++, bits += r->plane_words)
                n = r->shared ? pk_list_sets(r, bits, p * r->plane_classes, base, n, count)
                              : pk_list_steps(r, bits, p * r->plane_classes, base, n, count);
        }
    }
    return n;
}

/* Events that sharing saves in n words of a plane. */
static uint64_t pk_saved(const uint64_t *bits, uint64_t frame_words, uint32_t frames, uint64_t n)
{
    uint64_t saved = 0;

    for (uint32_t t = 0; t < frames; t += PK_GROUP) {
        uint32_t steps = frames - t < PK_GROUP ? frames - t : PK_GROUP;

        for (uint64_t i = 0; i < n; i++) {
            uint64_t any = 0;

            for (uint32_t s = 0; s < steps; s++) {
                uint64_t x = bits[(t + s) * frame_words + i];

                saved += (uint64_t)__builtin_popcountll(x & any);
                any |= x;
            }
        }
    }
    return saved;
}

#endif
