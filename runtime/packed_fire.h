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

static void pk_fire_f32(const struct pk_fire_f32 *f)
{
    const struct pk_lif lif = *f->lif;
    const float inverse = 1.0f / lif.tau;
    const pk_fv zero = {0};

    for (uint32_t t = 0; t < f->frames; t++)
        f->out[t * f->out_stride] = 0;
    for (uint32_t at = 0; at < f->lanes; at += PK_VLANES) {
        pk_fv v = zero + lif.v_init, in = zero;

        for (uint32_t t = 0; t < f->frames; t++) {
            pk_fv by, reset;
            pk_iv fired;

            if (t == 0 || f->frame_stride)
                in = pk_input(f, f->current + t * f->frame_stride + at, at);
            by = lif.tau_is_power ? (in - v) * inverse : (in - v) / lif.tau;
            v = v + by;
            fired = lif.greater ? v > lif.threshold : v >= lif.threshold;
            reset = lif.soft ? v - lif.v_reset : zero + lif.v_reset;
            v = (pk_fv)pk_select(fired, (pk_iv)reset, (pk_iv)v);
            f->out[t * f->out_stride] |= pk_bits_of(fired) << at;
        }
    }
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

static void pk_fire_q(struct pk_fire_q *f)
{
    const int32_t unused = 32 - f->bits, limit = (int32_t)((1u << (f->bits - 1)) - 1);
    const pk_iv zero = {0}, soft = zero - (int32_t)f->soft;
    const bool power = f->keep > 0 && (f->keep & (f->keep - 1)) == 0;
    const int32_t halves = power ? 12 - __builtin_ctz((uint32_t)f->keep) : -1;
    uint64_t wraps = 0;

    for (uint32_t t = 0; t < f->frames; t++)
        f->out[t * f->out_stride] = 0;
    for (uint32_t at = 0; at < f->lanes; at += PK_VLANES) {
        const pk_iv bias = f->bias ? *(const pk_iv *)(f->bias + at) : zero;
        const pk_iv add = f->add ? *(const pk_iv *)(f->add + at) : zero;
        const pk_iv vth = *(const pk_iv *)(f->vth + at);
        uint64_t valid = f->valid - at >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << (f->valid - at)) - 1;
        pk_iv v = zero;

        valid = at >= f->valid ? 0 : valid;
        for (uint32_t t = 0; t < f->frames; t++) {
            /* Unsigned, so that sums beyond 32 bits are defined. */
            pk_uv x = *(const pk_uv *)(f->current + t * f->frame_stride + at);
            pk_uv current = (x << f->shift) + (pk_uv)add, sum = current + (pk_uv)bias;
            pk_iv u = (pk_iv)(sum << (uint32_t)unused) >> unused;
            /* Left the width, or even 32 bits. */
            pk_iv wrapped =
                (u != (pk_iv)sum) | ((pk_iv)((current ^ sum) & ((pk_uv)bias ^ sum)) >> 31);
            pk_iv fired;

            wraps += (uint64_t)__builtin_popcountll(pk_bits_of(wrapped) & valid);
            v = pk_leak(v, u, f->keep, halves, limit);
            fired = v >= vth;
            v = pk_select(fired, (v - vth) & soft, v);
            f->out[t * f->out_stride] |= pk_bits_of(fired) << at;
        }
    }
    f->wraps += wraps;
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
        .add_rows = pk_add_rows, .count = pk_count, .list_row = pk_list_row, .saved = pk_saved, \
        .add_scaled = pk_add_scaled                                                             \
    }

#endif
