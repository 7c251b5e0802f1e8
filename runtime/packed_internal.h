/* What the files of the packed engine share. Nothing outside runtime/packed*.c includes it.
 *
 * The engine is a kind of the reference engine (runtime/reference_internal.h): planning, runs,
 * records, statistics and every op without a kernel here are shared. A value exists as bits, in the
 * reference's plain form, or both; each op takes the form it needs, which is made from the other.
 */
#ifndef SPIKEC_RUNTIME_PACKED_INTERNAL_H
#define SPIKEC_RUNTIME_PACKED_INTERNAL_H

#include <stdatomic.h>

#include "runtime/packed.h"
#include "runtime/packed_kernels.h"
#include "runtime/reference_internal.h"

/* Re-laid weights are kept up to this size, the others are re-laid at every use. */
#define PK_KEEP_BYTES ((uint64_t)1 << 30)
/* Weights of a tile: stay in a second-level cache, with room for what streams by. */
#define PK_TILE_BYTES (384u << 10)
/* Counts of events end at 2^24. */
#define PK_MAX_PLANES 25u
#define PK_MAX_KERNEL 16u

/* Spikes and counts: [plane][frame][position][word], 64 channels a word, unused bits zero. */
struct pk_bits {
    uint32_t refs, planes, frames, channels, words;
    uint64_t positions;
    uint64_t *data;
};
static inline uint64_t pk_plane_words(const struct pk_bits *b)
{
    return (uint64_t)b->frames * b->positions * b->words;
}
/* Words of plane p, step t (a time-invariant value has one frame). */
static inline uint64_t *pk_frame(const struct pk_bits *b, uint32_t p, uint32_t t)
{
    uint64_t frame = b->frames == 1 ? 0 : t;

    return b->data + p * pk_plane_words(b) + frame * b->positions * b->words;
}

/* Weights of a projection as the kernels want them:
 * [block of out channels][slice of in channels][kernel row][kernel column][in][lane].
 * Kernel rows are tiles. */
struct pk_weights {
    uint64_t bytes, at; /* at: where they are kept */
    uint32_t in, out, kernel_h, kernel_w, lanes, blocks, slice, n_slices, row_bytes;
    bool integer, keep;
    atomic_int state; /* of what is kept: enum pk_state */
    int32_t abs_max;  /* integers; once ready */
};
enum pk_state { PK_RAW, PK_BEING_RELAID, PK_READY };
struct pk_relaid {
    const uint8_t *data;
    int32_t abs_max; /* integers */
    void *own;       /* to be freed by who got it, or NULL */
};

/* What create found out about a node. */
struct pk_plan {
    bool packed;           /* projection: done here */
    uint32_t neuron, norm; /* projection: nodes computed with it, or IR_NONE */
    bool lif_valid;        /* neuron: done here */
    struct pk_lif lif;     /* float neuron */
    struct pk_weights w;   /* projection */
};

struct pk_engine {
    const struct pk_kernels *kernels;
    struct pk_options options;
    struct pk_plan *plan; /* [n_nodes] */
    uint32_t n_nodes;
    uint8_t *kept;          /* re-laid weights of all layers that keep them */
    struct pk_layer *layer; /* [n_layers] */
    uint32_t n_layers;
    uint64_t *times;       /* [n_nodes] */
    uint64_t *nanoseconds; /* the same; NULL: nobody measures */
    uint64_t counting_ns;  /* spent on counting in the node under way */
};

/* Classes with one plane and equal numbers of steps. */
struct pk_group {
    uint32_t first, n;
};

/* Lists of a slice of channels. */
struct pk_slice {
    uint16_t *entry;
    uint32_t *first; /* [in_h][classes][in_w + 1] */
};

/* Event lists of one value, see packed_kernels.h. */
struct pk_lists {
    struct pk_bits *in; /* a reference; NULL: no lists */
    uint32_t in_h, in_w, slice, n_slices;
    bool shared;
    uint32_t n_classes, n_groups;
    struct pk_class *cls; /* group by group */
    struct pk_group *group;
    struct pk_slice *part; /* [n_slices] */
};
/* Starts of the lists of row y and class k in slice q: [in_w + 1]. */
static inline const uint32_t *pk_first(const struct pk_lists *l, uint32_t q, uint32_t y, uint32_t k)
{
    return l->part[q].first + ((uint64_t)y * l->n_classes + k) * (l->in_w + 1);
}

/* Windows of a projection over its input image. */
struct pk_window {
    uint32_t in_h, in_w, out_w, kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w;
};

struct pk_job {
    struct pk_bits **bits; /* [n_nodes] */
    /* The sum of operands that the last projection read, and its lists. */
    struct pk_bits *sum;
    uint32_t *summed, n_summed; /* node ids */
    struct pk_lists lists;
};

static inline const struct pk_engine *pk_of(const struct engine *e)
{
    return e->own;
}
static inline struct pk_job *pk_job_of(struct ref_job *job)
{
    return job->own;
}

/* ---- values (packed_value.c) ---- */
spk_status pk_bits_create(uint32_t planes, uint32_t frames, uint64_t positions, uint32_t channels,
                          struct pk_bits **out) SPK_CHECKED; /* zero */
void pk_bits_release(struct pk_bits *b);                     /* NULL is allowed */
/* Makes an empty value of a node and gives it to the job. */
spk_status pk_value_create(struct ref_job *job, uint32_t id, uint32_t planes, uint32_t frames,
                           struct pk_bits **out) SPK_CHECKED;
void pk_value_set(struct ref_job *job, uint32_t id, struct pk_bits *b); /* takes a reference over */
/* The bits of a computed value, borrowed; packs the plain form where there are none. */
spk_status pk_value_bits(struct ref_job *job, uint32_t id, struct pk_bits **out) SPK_CHECKED;
spk_status pk_value_plain(struct ref_job *job, uint32_t id) SPK_CHECKED;
/* Sum of values, borrowed from the job; operands of one node. */
spk_status pk_operands(struct ref_job *job, const uint32_t *operand, uint32_t n,
                       struct pk_bits **out) SPK_CHECKED;
void pk_forget(struct pk_job *p); /* the sum and the lists */
spk_status pk_tally(struct ref_job *job, uint32_t id) SPK_CHECKED;
/* Whether somebody asks for the extremes of values: then all are computed. */
bool pk_wants_extremes(const struct ref_job *job);

/* ---- lists (packed_lists.c) ---- */
/* Lists of the job for a projection with these weights over an in_h x in_w image. */
spk_status pk_lists_make(struct ref_job *job, struct pk_bits *in, const struct pk_weights *w,
                         uint32_t in_h, uint32_t in_w) SPK_CHECKED;
void pk_lists_fini(struct pk_lists *l);

/* ---- streams (packed_streams.c) ---- */
/* How many entries of list k of row y lie under a window that starts at column left. */
uint32_t pk_piece(const struct pk_lists *l, const struct pk_window *w, uint32_t q, uint32_t y,
                  uint32_t k, int64_t left);
/* Streams of positions [begin, end) of the chunk that starts at origin for slice q and kernel row
 * ky, group by group, by length; ends: [groups]. scratch and out have room for (end - begin) *
 * classes. */
void pk_streams_make(const struct pk_lists *l, const struct pk_window *w, struct ref_range range,
                     uint64_t origin, uint32_t q, uint32_t ky, struct pk_stream *scratch,
                     struct pk_stream *out, uint32_t *ends);

/* ---- weights (packed_weights.c) ---- */
/* False where the kernels cannot take the projection. */
bool pk_weights_plan(const struct ir_module *m, uint32_t id, uint32_t tile_bytes,
                     struct pk_weights *out);
spk_status pk_weights_get(struct ref_job *job, uint32_t id, struct pk_relaid *out) SPK_CHECKED;

/* ---- ops ---- */
spk_status pk_project(struct ref_job *job, uint32_t id) SPK_CHECKED;
spk_status pk_neuron(struct ref_job *job, uint32_t id) SPK_CHECKED;
spk_status pk_attention(struct ref_job *job, uint32_t id) SPK_CHECKED;
spk_status pk_maxpool(struct ref_job *job, uint32_t id) SPK_CHECKED;
spk_status pk_encode(struct ref_job *job, uint32_t id) SPK_CHECKED;
/* Mean or read-out of counts with known bounds. */
spk_status pk_read(struct ref_job *job, uint32_t id) SPK_CHECKED;
/* Whether the engine computes the neuron itself; fills in lif for floats (packed_neuron.c). */
bool pk_neuron_plan(const struct ir_module *m, const struct ir_node *node, struct pk_lif *lif);

/* Constants of a neuron, padded to whole blocks, and the word by word work of a position. */
struct pk_fire {
    const struct pk_kernels *kernels;
    struct pk_bits *out;
    uint32_t channels;
    bool integer;
    struct pk_fire_f32 f;
    struct pk_fire_q q;
    void *constants;
};
/* norm: batch norm between the projection and the neuron, or IR_NONE; projection: whose bias comes
 * first, or IR_NONE. */
spk_status pk_fire_init(struct ref_job *job, uint32_t neuron, uint32_t norm, uint32_t projection,
                        uint32_t padded, struct pk_fire *out) SPK_CHECKED;
void pk_fire_fini(struct pk_fire *f);
/* Channels [first, first + lanes) of one position, lanes <= 64 a multiple of 16, first of 64;
 * returns how many currents wrapped. */
uint64_t pk_fire_word(const struct pk_fire *f, uint64_t position, uint32_t first, uint32_t lanes,
                      const void *current, uint64_t frame_stride);

#endif
