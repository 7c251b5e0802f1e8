/* xoshiro256** 1.0, seeded by splitmix64 (Blackman and Vigna, "Scrambled linear pseudorandom number
 * generators", 2018); bounded numbers by Lemire's multiply-and-reject ("Fast random integer
 * generation in an interval", 2019). */
#include "support/rng.h"

#include <math.h>

static uint64_t rotate_left(uint64_t value, unsigned bits)
{
    return value << bits | value >> (64 - bits);
}

static uint64_t splitmix(uint64_t *state)
{
    uint64_t mixed = *state += UINT64_C(0x9e3779b97f4a7c15);
    mixed = (mixed ^ mixed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ mixed >> 31;
}

void rng_seed(struct rng *rng, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        rng->state[i] = splitmix(&seed);
}

void rng_seed_stream(struct rng *rng, uint64_t seed, uint64_t stream)
{
    uint64_t mixed = stream;
    rng_seed(rng, splitmix(&seed) ^ rotate_left(splitmix(&mixed), 32));
}

uint64_t rng_next_u64(struct rng *rng)
{
    uint64_t *s = rng->state;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate_left(s[3], 45);
    return result;
}

/* High and low word of the 128-bit product, without the __int128 extension. */
static uint64_t multiply_wide(uint64_t a, uint64_t b, uint64_t *out_low)
{
    uint64_t a_low = a & UINT32_MAX, a_high = a >> 32;
    uint64_t b_low = b & UINT32_MAX, b_high = b >> 32;
    uint64_t low = a_low * b_low;
    uint64_t middle = a_high * b_low + (low >> 32);
    uint64_t cross = a_low * b_high + (middle & UINT32_MAX);
    *out_low = cross << 32 | (low & UINT32_MAX);
    return a_high * b_high + (middle >> 32) + (cross >> 32);
}

uint64_t rng_below(struct rng *rng, uint64_t bound)
{
    uint64_t low, high, threshold;
    if (bound == 0)
        return 0;
    high = multiply_wide(rng_next_u64(rng), bound, &low);
    if (low < bound) {
        threshold = (0 - bound) % bound;
        while (low < threshold)
            high = multiply_wide(rng_next_u64(rng), bound, &low);
    }
    return high;
}

int64_t rng_range_i64(struct rng *rng, int64_t low, int64_t high)
{
    uint64_t count = (uint64_t)high - (uint64_t)low + 1; /* 0 stands for all 2^64 values */
    uint64_t step = count == 0 ? rng_next_u64(rng) : rng_below(rng, count);
    return (int64_t)((uint64_t)low + step);
}

double rng_f64(struct rng *rng)
{
    return (double)(rng_next_u64(rng) >> 11) * 0x1.0p-53;
}

double rng_normal(struct rng *rng)
{
    double x, y, square;
    do {
        x = 2.0 * rng_f64(rng) - 1.0;
        y = 2.0 * rng_f64(rng) - 1.0;
        square = x * x + y * y;
    } while (square >= 1.0 || square == 0.0);
    return x * sqrt(-2.0 * log(square) / square);
}

void rng_shuffle_u32(struct rng *rng, uint32_t *items, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        size_t other = (size_t)rng_below(rng, i);
        uint32_t item = items[i - 1];
        items[i - 1] = items[other];
        items[other] = item;
    }
}
