/* What the files of the reference engine share. Nothing outside runtime/reference*.c includes it.
 *
 * Values are channel-last, [frame][position][channel], whatever the layout of their type: CHW, CN
 * and NC differ only where values enter and leave the engine. A time-invariant value has one
 * frame, whatever T its type says; `repeat`, `reshape`, one-operand `delay` and `output` share
 * the buffer of their operand.                                                                */
#ifndef SPIKEC_RUNTIME_REFERENCE_INTERNAL_H
#define SPIKEC_RUNTIME_REFERENCE_INTERNAL_H

#include "ir/engine.h"
#include "support/pool.h"

/* Output channels that are accumulated together. */
#define REF_BLOCK 64u
/* Neurons that are updated together. */
#define REF_LANES 256u

enum ref_elem { REF_U8, REF_I32, REF_F32 };

struct ref_buffer {
    uint32_t refs;
    void *data; /* 64-byte aligned, same allocation */
};

struct ref_value {
    struct ref_buffer *buffer; /* NULL: not computed yet, or dead */
    enum ref_elem elem;
    uint32_t frames; /* 1 or the type's T */
    uint32_t channels;
    uint64_t positions;
};

/* Weights in the order of use, see reference_project.c. */
struct ref_weights {
    void *data;    /* float; integer: int32_t, narrow: int8_t; NULL: re-laid at each use */
    uint32_t rows; /* kernel_h * kernel_w * in */
    uint32_t in, out, taps;
    bool integer, narrow;
    int32_t abs_max; /* largest |q|, integer only */
};

struct ref_job;

/* What an engine with kernels of its own puts in the place of the reference's: runs, records,
 * statistics and results are shared (runtime/packed.h). Every member is given.                 */
struct ref_kind {
    /* Whether node id, a projection, is left to ref_project: its weights are then planned. */
    bool (*wants_weights)(const struct engine *e, uint32_t id);
    spk_status (*job_init)(struct ref_job *job);
    void (*job_fini)(struct ref_job *job); /* after an image, too: nothing of it stays */
    spk_status (*compute)(struct ref_job *job, uint32_t id);
    spk_status (*tally)(struct ref_job *job, uint32_t id);
    /* Sees to it that job->value[id] is there in the reference's form. */
    spk_status (*plain)(struct ref_job *job, uint32_t id);
    void (*release)(struct ref_job *job, uint32_t id);
    void (*destroy)(struct engine *e);
};

struct engine {
    const struct ir_module *m;
    const struct ref_kind *kind; /* NULL: the reference engine */
    void *own;                   /* of the kind */
    bool integer;                /* quantised module */
    uint32_t *last_use;          /* [n_nodes] id of the last node that reads it; own id if none */
    struct ref_weights *weight;  /* [n_nodes], conv2d and linear only */
    bool cached;                 /* all weights are re-laid */
    uint64_t value_bytes;        /* of all values of an image: bound of what a run needs */
    uint64_t record_bytes;       /* of all recorded values of an image */
    uint64_t scratch_bytes;      /* of the largest re-laid weights */
    uint32_t *loop_end; /* [n_nodes] last node of the loop that begins here, else IR_NONE */
    bool loops;         /* there are feedbacks */
    uint32_t input_node, features_node;   /* IR_NONE where there is none */
    uint64_t input_values, logits_values; /* of an image: all inputs, all outputs */
    uint64_t *logits_at; /* [n_nodes] place of an output among them, else UINT64_MAX */
};

/* Statistics of one image, merged in image order. */
struct ref_tally {
    double *sum, *abs_max, *min, *max;
    uint64_t *flips, *flips_outside, *wraps;
    double **channel_sum;
    bool wanted; /* any of sum, abs_max, min, max, channel_sum */
};

/* One image on its way through the module. */
struct ref_job {
    const struct engine *e;
    const struct engine_run *run;
    struct pool *pool; /* for work inside the image */
    uint32_t image;
    struct ref_value *value; /* [n_nodes] */
    void *scratch;           /* re-laid weights */
    struct ref_tally tally;
    uint8_t *kept; /* recorded values, when they are delivered later; else NULL */
    uint64_t kept_used;
    bool keeps_operands; /* part of a walk: no value may be overwritten by the next */
    void *own;           /* of the engine's kind */
};

/* ---- runs and images (reference.c) ---- */
/* An engine of a kind, and its runs; on an error `own` stays with the caller. */
spk_status ref_engine_create(const struct ir_module *m, const struct ref_kind *kind, void *own,
                             struct diag_list *d, struct engine **out) SPK_CHECKED;
void ref_engine_destroy(struct engine *e);
spk_status ref_engine_run(struct engine *e, const struct engine_run *r,
                          struct diag_list *d) SPK_CHECKED;
spk_status ref_check_input(const struct engine *e, const struct engine_input *in,
                           struct diag_list *d) SPK_CHECKED;
/* A job without results wanted may have no stats and no recorder in `r`; keep: records are kept
 * for later, and the image is computed by one thread. */
spk_status ref_job_init(struct ref_job *job, const struct engine *e, const struct engine_run *r,
                        bool keep) SPK_CHECKED;
void ref_job_fini(struct ref_job *job);
/* Computes the value of one node from those of its operands. */
spk_status ref_compute(struct ref_job *job, uint32_t id) SPK_CHECKED;
/* The same, and releasing it, as the engine's kind does it. */
spk_status ref_compute_node(struct ref_job *job, uint32_t id) SPK_CHECKED;
void ref_release_node(struct ref_job *job, uint32_t id);

/* Feedback (reference_feedback.c). Plan: loop_end and loops of the engine; values that a loop reads
 * or makes live until its end (last_use, which is filled before). Run: computes all nodes of the
 * loop that begins at `first`. */
void ref_loops_plan(struct engine *e);
spk_status ref_loop_run(struct ref_job *job, uint32_t first) SPK_CHECKED;

/* A run in the caller's hands (reference_walk.c). */
extern const struct engine_walk_vtable ref_walk;

/* ---- values (reference_value.c) ---- */
static inline uint64_t ref_frame_size(const struct ref_value *v)
{
    return v->positions * v->channels;
}
static inline uint64_t ref_frame_at(const struct ref_value *v, uint32_t t)
{
    return v->frames == 1 ? 0 : t * ref_frame_size(v);
}
static inline uint8_t *ref_u8(const struct ref_value *v)
{
    return v->buffer->data;
}
static inline int32_t *ref_i32(const struct ref_value *v)
{
    return v->buffer->data;
}
static inline float *ref_f32(const struct ref_value *v)
{
    return v->buffer->data;
}
enum ref_elem ref_elem_of(const struct ir_node *node);
uint32_t ref_elem_size(enum ref_elem elem);
/* Makes the (uninitialised) buffer of a node's value; frames is 1 or T. */
spk_status ref_value_create(struct ref_job *job, uint32_t id, uint32_t frames) SPK_CHECKED;
/* Node id shares the buffer of its operand. */
void ref_value_alias(struct ref_job *job, uint32_t id, uint32_t operand);
void ref_value_release(struct ref_value *v);
/* Frames that a pointwise result of these operands needs: 1 if all are time-invariant. */
uint32_t ref_frames(const struct ref_job *job, const struct ir_node *node);
/* n elements from element `at` (frame included) as float: in place, or converted to scratch. */
const float *ref_as_f32(const struct ref_value *v, uint64_t at, uint32_t n, float *scratch);
/* One element as an integer (u8, i32; f32 is truncated). */
int32_t ref_as_i32(const struct ref_value *v, uint64_t at);
/* Golden layout ([T, axes...], u8 or i32) to and from the engine's. ref_export fills
 * T * elements items; ref_import reads u8 spikes. */
void ref_export(const struct ref_value *v, const struct ir_type *type, void *out, bool is_i32);
void ref_import(const uint8_t *golden, const struct ir_type *type, uint8_t *out);
bool ref_record_is_i32(const struct ir_type *type);
/* Adds a value to the image's statistics. */
spk_status ref_tally_value(struct ref_job *job, uint32_t id) SPK_CHECKED;

/* Runs fn over [0, total) in chunks of `grain` items, chunk i being [i*grain, ...). fn gets the
 * chunk number and finds its range with ref_range. */
struct ref_range {
    uint64_t begin, end;
};
spk_status ref_parallel(struct ref_job *job, uint64_t total, uint64_t grain, pool_fn fn,
                        void *ctx) SPK_CHECKED;
static inline struct ref_range ref_range_of(uint64_t total, uint64_t grain, uint32_t chunk)
{
    uint64_t begin = (uint64_t)chunk * grain;
    uint64_t end = total - begin < grain ? total : begin + grain;
    return (struct ref_range){begin, end};
}
static inline uint64_t ref_chunks(uint64_t total, uint64_t grain)
{
    return (total + grain - 1) / grain;
}

/* An exact integer as a 32-bit current: unchanged where it fits, else the number of the same sign
 * beyond 2^30 that is congruent modulo 2^24. Wrapping to a state of up to 24 bits and the question
 * whether it wrapped (also after a bias below 2^29 is added) are the same for both. */
int32_t ref_current(int64_t exact);

/* ---- ops: each computes the value of node id ---- */
spk_status ref_project(struct ref_job *job, uint32_t id) SPK_CHECKED; /* conv2d, linear */
spk_status ref_neuron(struct ref_job *job, uint32_t id) SPK_CHECKED;
spk_status ref_attention(struct ref_job *job, uint32_t id) SPK_CHECKED;
spk_status ref_encode(struct ref_job *job, uint32_t id) SPK_CHECKED;
spk_status ref_input(struct ref_job *job, uint32_t id) SPK_CHECKED;
spk_status ref_batchnorm(struct ref_job *job, uint32_t id) SPK_CHECKED;
spk_status ref_scale(struct ref_job *job, uint32_t id) SPK_CHECKED;
spk_status ref_lag(struct ref_job *job, uint32_t id) SPK_CHECKED;
spk_status ref_sum(struct ref_job *job, uint32_t id) SPK_CHECKED; /* add, delay */
spk_status ref_maxpool(struct ref_job *job, uint32_t id) SPK_CHECKED;
spk_status ref_mean(struct ref_job *job, uint32_t id) SPK_CHECKED;
spk_status ref_mean_over_time(struct ref_job *job, uint32_t id) SPK_CHECKED;
spk_status ref_mask(struct ref_job *job, uint32_t id) SPK_CHECKED;
spk_status ref_offset(struct ref_job *job, uint32_t id) SPK_CHECKED;
spk_status ref_layernorm(struct ref_job *job, uint32_t id) SPK_CHECKED;
spk_status ref_gelu(struct ref_job *job, uint32_t id) SPK_CHECKED;
spk_status ref_slice(struct ref_job *job, uint32_t id) SPK_CHECKED;
spk_status ref_patches(struct ref_job *job, uint32_t id) SPK_CHECKED;
spk_status ref_softmax_attention(struct ref_job *job, uint32_t id) SPK_CHECKED;
spk_status ref_mse(struct ref_job *job, uint32_t id) SPK_CHECKED;
spk_status ref_head(struct ref_job *job, uint32_t id) SPK_CHECKED; /* linear, one position */
spk_status ref_readout(struct ref_job *job, uint32_t id) SPK_CHECKED;
/* The same from the sums of all operands over T and positions, [channels]. */
spk_status ref_mean_of(struct ref_job *job, uint32_t id, const double *sum) SPK_CHECKED;
spk_status ref_readout_of(struct ref_job *job, uint32_t id, const double *count) SPK_CHECKED;

/* Weights (reference_project.c): shape and abs_max; then the data, in job->scratch or cached. */
spk_status ref_weights_plan(const struct engine *e, const struct ir_node *node, struct diag_list *d,
                            struct ref_weights *out) SPK_CHECKED;
uint64_t ref_weights_bytes(const struct ref_weights *w);
spk_status ref_weights_relay(struct ref_job *job, const struct ir_node *node,
                             const struct ref_weights *w, void *out) SPK_CHECKED;
/* Whether the linear node is a head: one position, one frame, real input. */
bool ref_is_head(const struct ir_module *m, const struct ir_node *node);
/* Whether all expressions of a program are well formed and no deeper than the stack. */
bool ref_program_valid(const struct ir_neuron *n);

#endif
