/* How fast this machine adds: the yardstick of tools/bench/engines. Every thread adds rows of weights
 * that lie in its first or second level cache into vectors of sums, with the widest instructions
 * the compiler was told of:
 *
 *   f32   float sums of float weights
 *   i8    16-bit sums of 8-bit weights, widened as they are loaded
 *
 *   add_rate THREADS [SECONDS]      prints one JSON object, additions per second of all threads
 *
 * Build: cc -O3 -march=native -pthread add_rate.c -o add_rate */
#include <pthread.h>
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

struct job {
    void (*add)(const void *, size_t, void *);
    size_t bytes, element;
    double seconds, rate; /* rate: out */
    pthread_barrier_t *start;
};

/* The median of ten equal parts of the time. */
static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void *work(void *ctx)
{
    struct job *j = ctx;
    void *rows = aligned_alloc(64, j->bytes);
    uint8_t out[CHAINS * BYTES] __attribute__((aligned(64)));
    double part[10];

    if (!rows)
        exit(1);
    memset(rows, 0, j->bytes);
    j->add(rows, j->bytes, out);
    pthread_barrier_wait(j->start);
    for (int p = 0; p < 10; p++) {
        double begin = now(), end;
        uint64_t turns = 0;

        do {
            for (int i = 0; i < 64; i++) {
                j->add(rows, j->bytes, out);
                __asm__ volatile("" : : "r"(out) : "memory");
            }
            turns += 64;
            end = now();
        } while (end - begin < j->seconds / 10);
        part[p] = (double)turns * (double)(j->bytes / j->element) / (end - begin);
    }
    qsort(part, 10, sizeof *part, by_size);
    j->rate = part[5];
    free(rows);
    return NULL;
}

static double rate(int threads, double seconds, void (*add)(const void *, size_t, void *),
                   size_t bytes, size_t element)
{
    pthread_barrier_t start;
    pthread_t id[64];
    struct job job[64];
    double sum = 0;

    pthread_barrier_init(&start, NULL, (unsigned)threads);
    for (int i = 0; i < threads; i++) {
        job[i] = (struct job){add, bytes, element, seconds, 0, &start};
        if (pthread_create(&id[i], NULL, work, &job[i]) != 0)
            exit(1);
    }
    for (int i = 0; i < threads; i++) {
        pthread_join(id[i], NULL);
        sum += job[i].rate;
    }
    pthread_barrier_destroy(&start);
    return sum;
}

int main(int argc, char **argv)
{
    int threads = argc > 1 ? atoi(argv[1]) : 1;
    double seconds = argc > 2 ? atof(argv[2]) : 0.5;

    if (threads < 1 || threads > 64 || seconds <= 0) {
        fprintf(stderr, "usage: add_rate THREADS [SECONDS]\n");
        return 2;
    }
    printf("{\"vector_bytes\": %d, \"threads\": %d", BYTES, threads);
    printf(", \"f32\": {\"level1\": %.4e", rate(threads, seconds, add_f32, 16 << 10, 4));
    printf(", \"level2\": %.4e}", rate(threads, seconds, add_f32, 384 << 10, 4));
    printf(", \"i8\": {\"level1\": %.4e", rate(threads, seconds, add_i8, 16 << 10, 1));
    printf(", \"level2\": %.4e}}\n", rate(threads, seconds, add_i8, 384 << 10, 1));
    return 0;
}
