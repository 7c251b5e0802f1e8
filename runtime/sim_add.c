/* Simulator, part 10: the inner loops of synapses, 8-bit weights into 32-bit sums.
 *
 * Rows that go to the same targets are added up in 16 bits first: the magnitudes of their payloads
 * add up to at most 255, and 255 * 128 stays inside 16 bits. The block of 16-bit sums lives in
 * vector registers (compiler vectors of 8 lanes: SSE2, NEON, or whatever the machine has), so a
 * synapse costs one load, one widening and one addition, shared by 8. All sums are modulo 2^32 and
 * do not depend on how they are grouped. Cost: 0.05 to 0.1 ns per synapse from the cache. */
#include <string.h>

#include "runtime/sim_internal.h"

#define LANES 8u
#define BLOCK_VECTORS 8u
#define BLOCK (LANES * BLOCK_VECTORS)

typedef int8_t lanes8 __attribute__((vector_size(LANES)));
typedef int16_t lanes16 __attribute__((vector_size(2 * LANES)));

void sim_add_run(int32_t *restrict acc, const int8_t *restrict w, uint32_t n, uint32_t shift,
                 int32_t payload)
{
    const uint32_t scale = (uint32_t)payload << shift;

    if (payload == 1) {
        for (uint32_t i = 0; i < n; i++)
            acc[i] = (int32_t)((uint32_t)acc[i] + ((uint32_t)(int32_t)w[i] << shift));
        return;
    }
    for (uint32_t i = 0; i < n; i++)
        acc[i] = (int32_t)((uint32_t)acc[i] + (uint32_t)(int32_t)w[i] * scale);
}

/* Sums of `vectors` times LANES columns (a constant after inlining) into acc. */
__attribute__((always_inline)) static inline void
add_block(int32_t *restrict acc, const int8_t *restrict w, const size_t *row,
          const int16_t *payload, uint32_t n_rows, uint32_t shift, const uint32_t vectors)
{
    lanes16 sum[BLOCK_VECTORS];
    int16_t out[LANES];

    for (uint32_t v = 0; v < vectors; v++)
        sum[v] = (lanes16){0};
    for (uint32_t k = 0; k < n_rows; k++) {
        const int8_t *from = w + row[k];

        for (uint32_t v = 0; v < vectors; v++) {
            lanes8 x;
            memcpy(&x, from + v * LANES, sizeof x);
            lanes16 wide = __builtin_convertvector(x, lanes16);
            sum[v] += payload ? wide * payload[k] : wide;
        }
    }
    for (uint32_t v = 0; v < vectors; v++) {
        memcpy(out, &sum[v], sizeof out);
        for (uint32_t i = 0; i < LANES; i++)
            acc[v * LANES + i] =
                (int32_t)((uint32_t)acc[v * LANES + i] + ((uint32_t)(int32_t)out[i] << shift));
    }
}

__attribute__((always_inline)) static inline void
add_rows(int32_t *restrict acc, const int8_t *restrict w, const size_t *row, const int16_t *payload,
         uint32_t n_rows, uint32_t n, uint32_t shift)
{
    uint32_t i = 0;

    for (; i + BLOCK <= n; i += BLOCK)
        add_block(acc + i, w + i, row, payload, n_rows, shift, BLOCK_VECTORS);
    for (; i + LANES <= n; i += LANES)
        add_block(acc + i, w + i, row, payload, n_rows, shift, 1);
    for (; i < n; i++) {
        int32_t sum = 0;

        for (uint32_t k = 0; k < n_rows; k++)
            sum += payload ? w[row[k] + i] * payload[k] : w[row[k] + i];
        acc[i] = (int32_t)((uint32_t)acc[i] + ((uint32_t)sum << shift));
    }
}

void sim_add_rows(int32_t *acc, const int8_t *w, const size_t *row, const int16_t *payload,
                  uint32_t n_rows, uint32_t n, uint32_t shift)
{
    if (payload)
        add_rows(acc, w, row, payload, n_rows, n, shift);
    else
        add_rows(acc, w, row, NULL, n_rows, n, shift);
}
