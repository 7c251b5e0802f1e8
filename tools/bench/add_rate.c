/* How fast a processor adds: the yardstick of tools/bench/engines, which runs one of these for
 * every thread. Rows of weights that lie in the first or the second level cache are added into
 * vectors of sums, with the widest instructions the compiler was told of:
 *
 *   f32   float sums of float weights
 *   i8    16-bit sums of 8-bit weights, widened as they are loaded
 *
 *   add_rate [SECONDS]      prints one JSON object, additions per second
 *
 * Build: cc -O3 -march=native add_rate.c -o add_rate */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CHAINS 8 /* sums side by side, so that no addition waits for the one before */
#if defined(__AVX512BW__)
#define BYTES 64
#elif defined(__AVX2__)
#define BYTES 32
#else
#define BYTES 16
#endif
typedef float f32v __attribute__((vector_size(BYTES)));
typedef int16_t i16v __attribute__((vector_size(BYTES)));

#if BYTES == 64
#include <immintrin.h>
#define WIDEN(p) ((i16v)_mm512_cvtepi8_epi16(_mm256_load_si256((const __m256i *)(p))))
#elif BYTES == 32
#include <immintrin.h>
#define WIDEN(p) ((i16v)_mm256_cvtepi8_epi16(_mm_load_si128((const __m128i *)(p))))
#else
typedef int8_t i8v __attribute__((vector_size(BYTES / 2)));
#define WIDEN(p) __builtin_convertvector(*(const i8v *)(p), i16v)
#endif

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void add_f32(const void *rows, size_t bytes, void *out)
{
    const f32v *w = rows;
    f32v sum[CHAINS] = {{0}};

    for (size_t i = 0; i < bytes / sizeof *w; i += CHAINS)
        for (int k = 0; k < CHAINS; k++)
            sum[k] += w[i + (size_t)k];
    memcpy(out, sum, sizeof sum);
}

static void add_i8(const void *rows, size_t bytes, void *out)
{
    const uint8_t *w = rows;
    i16v sum[CHAINS] = {{0}};

    for (size_t i = 0; i < bytes; i += CHAINS * BYTES / 2)
        for (int k = 0; k < CHAINS; k++)
            sum[k] += WIDEN(w + i + (size_t)k * BYTES / 2);
    memcpy(out, sum, sizeof sum);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* The median of ten equal parts of the time. */
static double rate(double seconds, void (*add)(const void *, size_t, void *), size_t bytes,
                   size_t element)
{
    void *rows = aligned_alloc(64, bytes);
    uint8_t out[CHAINS * BYTES] __attribute__((aligned(64)));
    double part[10];

    if (!rows)
        exit(1);
    memset(rows, 0, bytes);
    for (int p = 0; p < 10; p++) {
        double begin = now(), end;
        uint64_t turns = 0;

        do {
            for (int i = 0; i < 64; i++) {
                add(rows, bytes, out);
                __asm__ volatile("" : : "r"(out) : "memory");
            }
            turns += 64;
            end = now();
        } while (end - begin < seconds / 10);
        part[p] = (double)turns * (double)(bytes / element) / (end - begin);
    }
    qsort(part, 10, sizeof *part, by_size);
    free(rows);
    return part[5];
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? atof(argv[1]) : 0.5;

    if (seconds <= 0) {
        fprintf(stderr, "usage: add_rate [SECONDS]\n");
        return 2;
    }
    printf("{\"vector_bytes\": %d", BYTES);
    printf(", \"f32\": {\"level1\": %.4e", rate(seconds, add_f32, 16 << 10, 4));
    printf(", \"level2\": %.4e}", rate(seconds, add_f32, 384 << 10, 4));
    printf(", \"i8\": {\"level1\": %.4e", rate(seconds, add_i8, 16 << 10, 1));
    printf(", \"level2\": %.4e}}\n", rate(seconds, add_i8, 384 << 10, 1));
    return 0;
}
