/* Text of the neurons of the packed engine and of its bit operations; included once per instruction
 * set, which defines PK_BYTES, the size of a vector.
 *
 * fire_f32 rounds as the reference's interpreter of the equations v = v + (input - v) / tau does:
 * subtraction, division, addition, each rounded; a division by a power of two is the product
 * with its inverse. fire_q is section 1 of docs/integers.md in 32 bits: a product with `keep` is
 * formed of the upper bits and the lower 12 of |v|, both below 2^26.                            */
#ifndef SPIKEC_RUNTIME_PACKED_FIRE_H
#define SPIKEC_RUNTIME_PACKED_FIRE_H

#include "runtime/packed_kernels.h"

#define PK_VLANES (PK_BYTES / 4)
#define PK_FIRE 4u /* vectors of neurons side by side */

typedef float pk_fv __attribute__((vector_size(PK_BYTES), may_alias, aligned(4)));
typedef int32_t pk_iv __attribute__((vector_size(PK_BYTES), may_alias, aligned(4)));
typedef uint32_t pk_uv __attribute__((vector_size(PK_BYTES), may_alias, aligned(4)));

/* Bit i of the result: lane i of the mask (0 or -1). */
static inline uint64_t pk_bits_of(pk_iv mask)
{
#if PK_BYTES == 64
    return _mm512_movepi32_mask((__m512i)mask);
#elif PK_BYTES == 32
    return (uint32_t)_mm256_movemask_ps((__m256)mask);
#else
    uint64_t word = 0;

    for (uint32_t i = 0; i < PK_VLANES; i++)
        word |= (uint64_t)(mask[i] & 1) << i;
    return word;
#endif
}

/* Lane by lane: mask ? a : b. */
static inline pk_iv pk_select(pk_iv mask, pk_iv a, pk_iv b)
{
    return (mask & a) | (~mask & b);
}

static inline pk_fv pk_input(const struct pk_fire_f32 *f, const float *x, uint32_t at)
{
    pk_fv in = *(const pk_fv *)x;

    if (f->bias)
        in = in + *(const pk_fv *)(f->bias + at);
    if (f->alpha)
        in = in * *(const pk_fv *)(f->alpha + at) + *(const pk_fv *)(f->beta + at);
    return in;
}

/* n vectors from channel `at`, side by side: a neuron's steps wait for one another. */
static inline void pk_fire_f32_n(const struct pk_fire_f32 *f, struct pk_lif lif, uint32_t at,
                                 uint32_t n)
{
    const float inverse = 1.0f / lif.tau;
    const pk_fv zero = {0};
    pk_fv v[PK_FIRE], in[PK_FIRE];

    for (uint32_t i = 0; i < n; i++)
        v[i] = zero + lif.v_init;
    for (uint32_t t = 0; t < f->frames; t++) {
        uint64_t word = 0;

        for (uint32_t i = 0; i < n; i++) {
            uint32_t c = at + i * PK_VLANES;
            pk_fv by, reset;
            pk_iv fired;

            if (t == 0 || f->frame_stride)
                in[i] = pk_input(f, f->current + t * f->frame_stride + c, c);
            by = lif.tau_is_power ? (in[i] - v[i]) * inverse : (in[i] - v[i]) / lif.tau;
            v[i] = v[i] + by;
            fired = lif.greater ? v[i] > lif.threshold : v[i] >= lif.threshold;
            reset = lif.soft ? v[i] - lif.v_reset : zero + lif.v_reset;
            v[i] = (pk_fv)pk_select(fired, (pk_iv)reset, (pk_iv)v[i]);
            word |= pk_bits_of(fired) << c;
        }
        f->out[t * f->out_stride] |= word;
    }
}

static void pk_fire_f32(const struct pk_fire_f32 *f)
{
    const struct pk_lif lif = *f->lif;
    uint32_t at = 0;

    for (uint32_t t = 0; t < f->frames; t++)
        f->out[t * f->out_stride] = 0;
    for (; at + PK_FIRE * PK_VLANES <= f->lanes; at += PK_FIRE * PK_VLANES)
        pk_fire_f32_n(f, lif, at, PK_FIRE);
    for (; at < f->lanes; at += PK_VLANES)
        pk_fire_f32_n(f, lif, at, 1);
}

/* trunc(v * keep / 4096) + u, clipped; halves: log2(4096 / keep), or -1 where that is no integer.
 */
static inline pk_iv pk_leak(pk_iv v, pk_iv u, int32_t keep, int32_t halves, int32_t limit)
{
    pk_iv sign = v >> 31, magnitude = (v ^ sign) - sign;
    pk_iv kept;

    pk_iv high = (pk_iv){0} + limit, low = -high;

    if (halves >= 0)
        kept = magnitude >> halves;
    else
        kept = (magnitude >> 12) * keep + (((magnitude & 4095) * keep) >> 12);
    v = ((kept ^ sign) - sign) + u;
    v = pk_select(v > high, high, v);
    return pk_select(v < low, low, v);
}

static inline uint64_t pk_fire_q_n(const struct pk_fire_q *f, int32_t halves, uint32_t at,
                                   uint32_t n)
{
    const int32_t unused = 32 - f->bits, limit = (int32_t)((1u << (f->bits - 1)) - 1);
    const pk_iv zero = {0}, soft = zero - (int32_t)f->soft;
    const uint64_t valid = f->valid >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << f->valid) - 1;
    pk_iv bias[PK_FIRE], add[PK_FIRE], vth[PK_FIRE], v[PK_FIRE];
    uint64_t wraps = 0;

    for (uint32_t i = 0; i < n; i++) {
        uint32_t c = at + i * PK_VLANES;

        bias[i] = f->bias ? *(const pk_iv *)(f->bias + c) : zero;
        add[i] = f->add ? *(const pk_iv *)(f->add + c) : zero;
        vth[i] = *(const pk_iv *)(f->vth + c);
        v[i] = zero;
    }
    for (uint32_t t = 0; t < f->frames; t++) {
        uint64_t word = 0, left = 0;

        for (uint32_t i = 0; i < n; i++) {
            uint32_t c = at + i * PK_VLANES;
            /* Unsigned, so that sums beyond 32 bits are defined. */
            pk_uv x = *(const pk_uv *)(f->current + t * f->frame_stride + c);
            pk_uv current = (x << f->shift) + (pk_uv)add[i], sum = current + (pk_uv)bias[i];
            pk_iv u = (pk_iv)(sum << (uint32_t)unused) >> unused;
            /* Left the width, or even 32 bits. */
            pk_iv wrapped =
                (u != (pk_iv)sum) | ((pk_iv)((current ^ sum) & ((pk_uv)bias[i] ^ sum)) >> 31);
            pk_iv fired;

            left |= pk_bits_of(wrapped) << c;
            v[i] = pk_leak(v[i], u, f->keep, halves, limit);
            fired = v[i] >= vth[i];
            v[i] = pk_select(fired, (v[i] - vth[i]) & soft, v[i]);
            word |= pk_bits_of(fired) << c;
        }
        f->out[t * f->out_stride] |= word;
        wraps += (uint64_t)__builtin_popcountll(left & valid);
    }
    return wraps;
}

static void pk_fire_q(struct pk_fire_q *f)
{
    const bool power = f->keep > 0 && (f->keep & (f->keep - 1)) == 0;
    const int32_t halves = power ? 12 - __builtin_ctz((uint32_t)f->keep) : -1;
    uint32_t at = 0;

    for (uint32_t t = 0; t < f->frames; t++)
        f->out[t * f->out_stride] = 0;
    for (; at + PK_FIRE * PK_VLANES <= f->lanes; at += PK_FIRE * PK_VLANES)
        f->wraps += pk_fire_q_n(f, halves, at, PK_FIRE);
    for (; at < f->lanes; at += PK_VLANES)
        f->wraps += pk_fire_q_n(f, halves, at, 1);
}

static uint32_t pk_and_count(const uint64_t *a, const uint64_t *b, uint32_t n)
{
    uint32_t total = 0;

    for (uint32_t i = 0; i < n; i++)
        total += (uint32_t)__builtin_popcountll(a[i] & b[i]);
    return total;
}

static uint64_t pk_count(const uint64_t *bits, uint64_t n)
{
    uint64_t total = 0;

    for (uint64_t i = 0; i < n; i++)
        total += (uint64_t)__builtin_popcountll(bits[i]);
    return total;
}

static void pk_add_bits(int32_t *sum, const uint64_t *bits, int32_t factor, uint32_t n)
{
    for (uint32_t j = 0; j < n; j++)
        sum[j] += factor & -(int32_t)(bits[j / 64] >> (j % 64) & 1);
}

static void pk_add_rows(int32_t *sum, const int32_t *row, uint32_t n)
{
    for (uint32_t j = 0; j < n; j++)
        sum[j] += row[j];
}

static void pk_add_scaled(double *acc, const double *row, double x, uint32_t n)
{
    for (uint32_t j = 0; j < n; j++)
        acc[j] += x * row[j];
}

#define PK_TABLE(label)                                                                         \
    {                                                                                           \
        .name = label, .sum_f32 = pk_sum_f32, .sum_i8 = pk_sum_i8, .fire_f32 = pk_fire_f32,     \
        .fire_q = pk_fire_q, .and_count = pk_and_count, .add_bits = pk_add_bits,                \
        .add_rows = pk_add_rows, .count = pk_count, .widen = pk_widen, .list_row = pk_list_row, \
        .saved = pk_saved, .add_scaled = pk_add_scaled                                          \
    }

#endif
