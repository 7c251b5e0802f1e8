/* Text of the event lists of an image row; included once per instruction set. */
#ifndef SPIKEC_RUNTIME_PACKED_LIST_ROW_H
#define SPIKEC_RUNTIME_PACKED_LIST_ROW_H

#include "runtime/packed_kernels.h"

/* Appends base + i for every bit i, ascending. May write up to 64 entries whatever there are. */
static inline uint16_t *pk_append(uint16_t *to, uint64_t bits, uint32_t base)
{
#ifdef __AVX512VBMI2__
    static const uint8_t index[64] __attribute__((aligned(64))) = {
        0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
        22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43,
        44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63};
    const __m512i first = _mm512_set1_epi16((short)base);
    __m512i packed = _mm512_maskz_compress_epi8(bits, _mm512_load_si512(index));
    uint32_t n = (uint32_t)__builtin_popcountll(bits);

    _mm512_storeu_si512(to, first + _mm512_cvtepu8_epi16(_mm512_castsi512_si256(packed)));
    if (n > 32)
        _mm512_storeu_si512(to + 32,
                            first + _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64(packed, 1)));
    return to + n;
#else
    for (; bits; bits &= bits - 1)
        *to++ = (uint16_t)(base + (uint32_t)__builtin_ctzll(bits));
    return to;
#endif
}

/* Sets of a group of up to four steps: set[s] has the elements that are active at exactly the steps
 * of s. */
static inline void pk_sets(const struct pk_list_row *r, const uint64_t *bits, uint32_t steps,
                           uint64_t *set)
{
    uint64_t step[PK_GROUP] = {0}, low[4], high[4];

    for (uint32_t i = 0; i < steps; i++)
        step[i] = bits[i * r->frame_words];
    low[0] = ~(step[0] | step[1]);
    low[1] = step[0] & ~step[1];
    low[2] = step[1] & ~step[0];
    low[3] = step[0] & step[1];
    high[0] = ~(step[2] | step[3]);
    high[1] = step[2] & ~step[3];
    high[2] = step[3] & ~step[2];
    high[3] = step[2] & step[3];
    for (uint32_t s = 0; s < 1u << steps; s++)
        set[s] = low[s & 3] & high[s >> 2];
}

/* One plane and group of steps: lists of all sets side by side. `at` has the class of each set. A
 * first pass counts, so that a second one knows where everything goes. */
static inline uint32_t pk_list_group(const struct pk_list_row *r, const uint64_t *bits,
                                     uint32_t steps, const uint32_t *cls, uint32_t at)
{
    uint32_t words = (r->channels + 63) / 64, sets = 1u << steps;
    uint64_t set[16];

    for (uint32_t x = 0; x < r->in_w; x++) {
        uint32_t n[16] = {0};

        for (uint32_t w = 0; w < words; w++) {
            pk_sets(r, bits + x * r->position_words + w, steps, set);
            for (uint32_t s = 1; s < sets; s++)
                n[s] += (uint32_t)__builtin_popcountll(set[s]);
        }
        for (uint32_t s = 1; s < sets; s++)
            r->first[(uint64_t)cls[s] * (r->in_w + 1) + x] = n[s];
    }
    for (uint32_t s = 1; s < sets; s++) {
        uint32_t *first = r->first + (uint64_t)cls[s] * (r->in_w + 1);

        for (uint32_t x = 0; x < r->in_w; x++) {
            uint32_t n = first[x];

            first[x] = at;
            at += n;
        }
        first[r->in_w] = at;
        at += PK_SLACK; /* lists are written side by side */
    }
    for (uint32_t x = 0; x < r->in_w; x++) {
        uint16_t *to[16];

        for (uint32_t s = 1; s < sets; s++)
            to[s] = r->entry + r->first[(uint64_t)cls[s] * (r->in_w + 1) + x];
        for (uint32_t w = 0; w < words; w++) {
            pk_sets(r, bits + x * r->position_words + w, steps, set);
            for (uint32_t s = 1; s < sets; s++)
                if (set[s])
                    to[s] = pk_append(to[s], set[s], x * r->channels + 64 * w);
        }
    }
    return at;
}

/* An element belongs to the set of all steps of a group at which it is active. */
static uint32_t pk_list_shared(const struct pk_list_row *r)
{
    uint32_t at = r->at;

    for (uint32_t k = 0; k < r->n_classes;) {
        uint32_t plane = r->cls[k].plane, end = k;

        while (end < r->n_classes && r->cls[end].plane == plane)
            end++;
        for (uint32_t t = 0; t < r->frames; t += PK_GROUP) {
            uint32_t steps = r->frames - t < PK_GROUP ? r->frames - t : PK_GROUP, cls[16] = {0};

            for (uint32_t c = k; c < end; c++) {
                uint32_t set = 0;

                if (r->cls[c].step[0] / PK_GROUP * PK_GROUP != t)
                    continue;
                for (uint32_t i = 0; i < r->cls[c].n; i++)
                    set |= 1u << (r->cls[c].step[i] - t);
                cls[set] = c;
            }
            at = pk_list_group(r, r->bits + plane * r->plane_words + t * r->frame_words, steps, cls,
                               at);
        }
        k = end;
    }
    return at;
}

static uint32_t pk_list_row(const struct pk_list_row *r)
{
    uint16_t *to = r->entry + r->at;
    uint32_t words = (r->channels + 63) / 64;

    if (r->shared)
        return pk_list_shared(r);
    for (uint32_t k = 0; k < r->n_classes; k++) {
        const struct pk_class *c = &r->cls[k];
        const uint64_t *bits = r->bits + c->plane * r->plane_words + c->step[0] * r->frame_words;
        uint32_t *first = r->first + (uint64_t)k * (r->in_w + 1);

        for (uint32_t x = 0; x < r->in_w; x++, bits += r->position_words) {
            first[x] = (uint32_t)(to - r->entry);
            for (uint32_t w = 0; w < words; w++)
                if (bits[w])
                    to = pk_append(to, bits[w], x * r->channels + 64 * w);
        }
        first[r->in_w] = (uint32_t)(to - r->entry);
    }
    return (uint32_t)(to - r->entry);
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
