/* Seeded random numbers: xoshiro256** 1.0 (Blackman, Vigna 2018) seeded by splitmix64. The sequence
 * is part of the project's determinism and never changes for a given seed. */
#ifndef SPIKEC_SUPPORT_RNG_H
#define SPIKEC_SUPPORT_RNG_H

#include <stddef.h>
#include <stdint.h>

struct rng {
    uint64_t state[4];
};

void rng_seed(struct rng *rng, uint64_t seed);
/* Independent stream for (seed, stream), for instance one per chunk of parallel work. */
void rng_seed_stream(struct rng *rng, uint64_t seed, uint64_t stream);

uint64_t rng_next_u64(struct rng *rng);
/* Uniform in [0, bound) without modulo bias; bound 0 gives 0. */
uint64_t rng_below(struct rng *rng, uint64_t bound);
/* Uniform in [low, high]; needs low <= high. */
int64_t rng_range_i64(struct rng *rng, int64_t low, int64_t high);
/* Uniform in [0, 1), 53 bits. */
double rng_f64(struct rng *rng);
/* Standard normal (Marsaglia's polar method). */
double rng_normal(struct rng *rng);
/* Fisher-Yates shuffle of `count` numbers. */
void rng_shuffle_u32(struct rng *rng, uint32_t *items, size_t count);

#endif
