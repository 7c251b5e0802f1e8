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

/* Elements of a word that are active at exactly the class's steps of its group. */
static inline uint64_t pk_set_bits(const struct pk_list_row *r, const struct pk_class *c,
                                   const uint64_t *bits)
{
    uint32_t first = c->step[0] / PK_GROUP * PK_GROUP;
    uint32_t end = r->frames - first < PK_GROUP ? r->frames : first + PK_GROUP;
    uint64_t all = ~(uint64_t)0;

    for (uint32_t t = first, i = 0; t < end; t++) {
        uint64_t x = bits[t * r->frame_words];

        if (i < c->n && c->step[i] == t) {
            all &= x;
            i++;
        } else {
            all &= ~x;
        }
    }
    return all;
}

static uint32_t pk_list_row(const struct pk_list_row *r)
{
    uint16_t *to = r->entry + r->at;
    uint32_t words = (r->channels + 63) / 64;

    for (uint32_t k = 0; k < r->n_classes; k++) {
        const struct pk_class *c = &r->cls[k];
        const uint64_t *bits = r->bits + c->plane * r->plane_words;
        uint32_t *first = r->first + (uint64_t)k * (r->in_w + 1);

        for (uint32_t x = 0; x < r->in_w; x++, bits += r->position_words) {
            first[x] = (uint32_t)(to - r->entry);
            for (uint32_t w = 0; w < words; w++) {
                uint64_t set =
                    r->shared ? pk_set_bits(r, c, bits + w) : bits[w + c->step[0] * r->frame_words];

                if (set)
                    to = pk_append(to, set, x * r->channels + 64 * w);
            }
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
