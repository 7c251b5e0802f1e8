/* The kernels of the packed engine: one table per instruction set (packed_portable.c,
 * packed_avx2.c, packed_avx512.c), all made from the same texts (packed_sum.inc and its
 * neighbours).
 *
 * Lists of events: the input of a projection is cut into slices of channels. For every slice, a row
 * of the image (row y) and a class (bit plane x set of time steps) have a list of the elements
 * x * channels + c that belong to the class, ascending. Weight rows of a block of output channels
 * lie as [kernel row][kernel column][channel], so that the events of a whole window row are one
 * piece of a list, and their weight rows are found by one shift of the base address.           */
#ifndef SPIKEC_RUNTIME_PACKED_KERNELS_H
#define SPIKEC_RUNTIME_PACKED_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

/* Time steps whose events may be grouped into one set of classes. */
#define PK_GROUP 4u
/* Longest sequence of steps the kernels take. */
#define PK_MAX_FRAMES 32u
/* Output channels in one block: of float weights, of 8-bit weights, and of a word of spikes. */
#define PK_LANES_F32 64u
#define PK_LANES_I8 128u
#define PK_WORD 64u
/* Entries that may be read and written behind a list. */
#define PK_SLACK 32u

struct pk_class {
    uint8_t n; /* steps */
    uint8_t step[PK_GROUP];
    uint8_t plane; /* events count 2^plane */
};

/* Lists of an image row, one class behind the other. */
struct pk_row {
    const uint32_t *entry; /* byte offsets of weight rows: (x * channels + c) * row_bytes */
    const uint32_t *first; /* [in_w + 1][classes] into entry */
    void *memory;
};

/* How the lists of a row are made: events as they come, their classes, and how many there are. */
struct pk_list_row {
    const uint64_t *bits; /* of the slice at the first position of the row */
    uint64_t plane_words, frame_words, position_words;
    uint32_t planes, frames, in_w, words, channels, row_bytes, n_classes, plane_classes;
    bool shared;
    uint32_t *value; /* offsets, as in pk_row.entry */
    uint16_t *cls;
    uint32_t *count; /* [in_w + 1][classes], zero: position x is counted at x + 1 */
};

/* One block of output channels, one slice of input channels, positions [begin, end_position). */
struct pk_sum {
    const struct pk_row *row; /* [in_h] */
    const struct pk_class *cls;
    uint32_t n_classes, frames;
    uint32_t in_h, in_w, out_w, kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w;
    uint32_t channels;  /* of the slice */
    uint32_t row_bytes; /* weights of one input under one tap: lanes * element size */
    const void *weights;
    uint32_t row_limit; /* integers: rows whose sum fits 16 bits for sure */
    uint64_t begin, end_position;
    uint32_t *window; /* scratch: events of a position, PK_SLACK more than there can be */
    uint32_t *end;    /* scratch: [classes] */
    void *acc;        /* [end_position - begin][frames][lanes], float or int32: added to */
};

/* Float leaky integrator, in the model's own order of operations. */
struct pk_lif {
    float tau, threshold, v_init, v_reset;
    bool tau_is_power; /* division by tau is exact as a multiplication */
    bool soft;         /* reset v = v - v_reset */
    bool greater;      /* fires at >, else at >= */
};

/* One position, up to 64 channels. Lanes are a multiple of 16; arrays have that many valid items.
 */
struct pk_fire_f32 {
    const float *current;  /* [frames_in][frame_stride] */
    uint64_t frame_stride; /* floats; 0: time-invariant */
    uint32_t lanes, frames;
    const float *bias;         /* or NULL */
    const float *alpha, *beta; /* batch norm, or NULL */
    const struct pk_lif *lif;
    uint64_t *out; /* word of each frame */
    uint64_t out_stride;
};

struct pk_fire_q {
    const int32_t *current;
    uint64_t frame_stride;
    uint32_t lanes, frames, valid; /* wraps are counted in lanes below `valid` */
    const int32_t *add;            /* behind the shift, exact with it; or NULL */
    const int32_t *bias;           /* or NULL */
    const int32_t *vth;
    uint32_t shift;
    int32_t keep, bits; /* 4096 - decay */
    bool soft;
    uint64_t *out;
    uint64_t out_stride;
    uint64_t wraps; /* added to */
};

struct pk_kernels {
    const char *name;
    void (*sum_f32)(const struct pk_sum *s);
    void (*sum_i8)(const struct pk_sum *s);
    void (*fire_f32)(const struct pk_fire_f32 *f);
    void (*fire_q)(struct pk_fire_q *f);
    /* popcount(a & b) summed over n words. */
    uint32_t (*and_count)(const uint64_t *a, const uint64_t *b, uint32_t n);
    /* sum[j] += factor * bit j of the words, j < n. */
    void (*add_bits)(int32_t *sum, const uint64_t *bits, int32_t factor, uint32_t n);
    void (*add_rows)(int32_t *sum, const int32_t *row, uint32_t n);
    /* Makes the lists of a row; returns the number of events. */
    uint32_t (*list_row)(const struct pk_list_row *r);
    /* Events that sharing saves in n words of a plane. */
    uint64_t (*saved)(const uint64_t *bits, uint64_t frame_words, uint32_t frames, uint64_t n);
    /* acc[j] += x * row[j]. */
    void (*add_scaled)(double *acc, const double *row, double x, uint32_t n);
    /* Bits set in n words. */
    uint64_t (*count)(const uint64_t *bits, uint64_t n);
};

/* NULL where this build or machine has none; the portable ones are always there. */
extern const struct pk_kernels pk_kernels_portable;
const struct pk_kernels *pk_kernels_avx2(void);
const struct pk_kernels *pk_kernels_avx512(void);

#endif
