/* The kernels of the packed engine: one table per instruction set (packed_portable.c,
 * packed_avx2.c, packed_avx512.c), all made from the same texts (packed_sum_*.h and their
 * neighbours).
 *
 * Lists: the input of a projection is cut into slices of channels. For every slice, row of the
 * image and class (bit plane x set of time steps) there is a list of the elements x * channels + c
 * that belong to the class, ascending: the events under one row of a window are one piece of it.
 * Streams: such pieces, sorted by length. Tiles: the weights of one slice under one kernel row for
 * one block of output channels; small enough for a first-level cache. A stream adds the rows of a
 * tile that its events name to the sums of an output position.                               */
#ifndef SPIKEC_RUNTIME_PACKED_KERNELS_H
#define SPIKEC_RUNTIME_PACKED_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

/* Time steps whose events may be grouped into one set of classes. */
#define PK_GROUP 4u
/* Longest sequence of steps the kernels take. */
#define PK_MAX_FRAMES 32u
/* Output channels of a word of spikes, of a row of float weights and of one of 8-bit weights. */
#define PK_WORD 64u
#define PK_LANES_F32 64u
#define PK_LANES_I8 128u
/* Entries that may be written behind a list. */
#define PK_SLACK 64u

struct pk_class {
    uint8_t n; /* steps */
    uint8_t step[PK_GROUP];
    uint8_t plane; /* events count 2^plane */
};

/* The lists of an image row, class by class. */
struct pk_list_row {
    const uint64_t *bits; /* of the slice at the first position of the row */
    uint64_t plane_words, frame_words, position_words;
    uint32_t frames, in_w, channels, n_classes;
    const struct pk_class *cls;
    bool shared;     /* an element belongs to the set of all steps at which it is active */
    uint16_t *entry; /* of the slice's arena; x * channels + c */
    uint32_t at;     /* where the row begins there */
    uint32_t *first; /* [n_classes][in_w + 1] into the arena */
};

/* A piece of a list: entries [from, from + n), for position at >> PK_CLASS_BITS of a chunk and
 * class at & PK_CLASS_MASK of a group. */
#define PK_CLASS_BITS 7u
#define PK_CLASS_MASK 127u
#define PK_MAX_POSITIONS 512u
struct pk_stream {
    uint32_t from;
    uint16_t n, at;
};

/* Streams of one tile, whose classes have as many steps each and one plane. */
struct pk_sum {
    const struct pk_stream *stream;
    uint32_t n_streams;
    uint32_t size;              /* steps of each class */
    const struct pk_class *cls; /* of the group */
    const uint16_t *entry;
    const uint8_t *weights; /* the tile: [kernel column][channel][lanes] */
    uint32_t row_bytes, channels;
    const int32_t *left;    /* [positions] the window's first column */
    uint32_t frames, lanes; /* lanes: of all sums of a position and step */
    void *acc;              /* [positions][frames][lanes], float or int16: added to */
    /* Integers: as many rows fit 16 bits whatever they hold. */
    uint32_t row_limit;
    uint16_t *rows;   /* [positions][frames] held by acc */
    int32_t *wide;    /* as acc: what left it */
    uint8_t *spilled; /* [positions][frames] whether wide holds anything */
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
    /* sum[j] = narrow[j] + wide[j]; wide may be NULL. */
    void (*widen)(int32_t *sum, const int16_t *narrow, const int32_t *wide, uint32_t n);
    /* Makes the lists of a row; returns where they end. */
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
