/* What is compiled: a module becomes a list of kernels over buffers of fixed size and place.
 *
 * Values are channel-last, [frame][position][channel]. Spikes are bitmaps, one bit per channel in
 * 64-bit words; counts up to 255 are bytes, other counts and integer currents 32-bit integers, all
 * else floats. Channels are padded to NAT_BLOCK (`pitch`); what lies in the padding is zero for
 * spikes and counts, of no meaning and never read as an input for currents. A time-invariant value
 * has one frame; repeat, reshape, one-operand delay and output share the buffer of their operand.
 *
 * A kernel computes one node or a chain: a projection with the batch norm and the neuron behind
 * it. Everything that its code depends on stands in its `spec`; kernels with equal specs share one
 * function, weights and buffers come as pointers. Buffers lie in one arena per image, reused when
 * what they hold is dead; the plan is the same for running at once and for building ahead of time.
 */
#ifndef SPIKEC_BACKENDS_LLVM_PLAN_H
#define SPIKEC_BACKENDS_LLVM_PLAN_H

#include "ir/ir.h"
#include "support/vec.h"

/* Channels of a block: one word of a bitmap. */
#define NAT_BLOCK 64u
/* Lanes of the vectors in the code; the target's own width is LLVM's business. */
#define NAT_LANES 16u
#define NAT_NONE 0xffffffffu

enum nat_elem { NAT_BITS, NAT_U8, NAT_I16, NAT_I32, NAT_I64, NAT_F32, NAT_F64 };

enum nat_kind {
    NAT_INPUT,     /* the caller's image, made channel-last */
    NAT_PIXELS,    /* the integer encoder's rounded pixels */
    NAT_PROJECT,   /* conv2d, linear, encode */
    NAT_POINTWISE, /* sums, and whatever a batch norm or a neuron reads that is no projection */
    NAT_MAXPOOL,
    NAT_ATTENTION,
    NAT_REDUCE, /* sums over frames and positions, in double precision */
    NAT_DENSE   /* the head, in double precision */
};

/* Shape and representation of a value. */
struct nat_shape {
    enum nat_elem elem;
    uint32_t frames; /* in memory: 1 or the type's T */
    uint32_t steps;  /* the type's T */
    uint32_t channels, pitch, height, width;
    uint32_t bound; /* of spikes and counts; 0: unknown */
};

enum nat_neuron { NAT_NO_NEURON, NAT_PROGRAM, NAT_INTEGER };

/* Slots of a kernel's arguments; operands follow. */
enum nat_arg {
    NAT_ARG_OUT,
    NAT_ARG_WEIGHT,
    NAT_ARG_BIAS,     /* of the projection, [pitch] */
    NAT_ARG_NORM,     /* batch norm: alpha [pitch], beta [pitch] */
    NAT_ARG_VTH,      /* integer neurons, i32 [pitch] */
    NAT_ARG_OFFSET,   /* bias of integer neurons, i32 [pitch] */
    NAT_ARG_EXPECTED, /* teacher: bitmaps as the output, or NULL */
    NAT_ARG_OPERAND
};

/* All that the code of a kernel depends on. Padding bytes are zero: specs are compared as bytes. */
struct nat_spec {
    enum nat_kind kind;
    uint32_t n_in;
    struct nat_shape out;
    /* projections and pools */
    uint32_t kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w;
    uint32_t shift;
    uint32_t acc_frames;           /* frames that the projection computes */
    enum nat_elem acc;             /* of the sums: F32, I32 or I64 */
    enum nat_elem weight;          /* F32, I16 or I32 */
    uint32_t taps_per_segment;     /* 0: a segment holds all operands of a run */
    uint32_t tile, list, segments; /* positions of a call; entries of a row's list; its segments */
    bool bias, norm, encoder;
    uint32_t out_shift, m_exp;
    int32_t m_max;
    /* neuron */
    enum nat_neuron neuron;
    uint32_t program, decay, bits;
    bool soft_reset, offset;
    /* attention, readout, input, pixels */
    uint32_t heads, x_shift;
    float scale;
    int32_t unit;
    double divisor;
    bool planar; /* input: channel-major */
};

enum nat_place { NAT_NOWHERE, NAT_ARENA, NAT_CONST, NAT_IMAGE, NAT_LOGITS, NAT_TEACHER };
struct nat_ref {
    enum nat_place place;
    uint32_t buffer; /* ARENA */
    uint64_t offset; /* CONST: bytes into the constants */
};

struct nat_kernel {
    uint32_t function; /* index into functions */
    uint32_t node;     /* whose value it computes */
    uint32_t first_arg, n_args;
    uint32_t items, tile; /* work is cut into calls of at most `tile` items */
};

/* A distinct function: its spec and the shapes of its operands. */
struct nat_function {
    struct nat_spec spec;
    uint32_t first_in; /* into shapes */
    uint64_t scratch;  /* bytes */
};

struct nat_buffer {
    uint64_t bytes, offset;
    uint32_t first, last; /* kernels between which it holds something */
};

/* A block of constants: re-laid weights and the like. */
struct nat_const {
    enum nat_const_kind {
        NAT_C_ROWS,  /* [block][tap][in][NAT_BLOCK], one row of zeros behind each block */
        NAT_C_HEAD,  /* [NAT_LANES block][in][NAT_LANES] */
        NAT_C_ARRAY, /* [pitch] */
        NAT_C_NORM
    } kind;
    uint32_t node, param;
    uint64_t offset, bytes;
    enum nat_elem elem; /* of the result */
    uint32_t out, in, taps, pitch;
};

struct nat_plan {
    const struct ir_module *m;
    bool integer;
    VEC(struct nat_kernel) kernels;
    VEC(struct nat_function) functions;
    VEC(struct nat_shape) shapes;
    VEC(struct nat_ref) args;
    VEC(struct nat_buffer) buffers;
    VEC(struct nat_const) consts;
    struct nat_shape *shape; /* [n_nodes] */
    uint32_t *buffer;        /* [n_nodes] NAT_NONE: part of another kernel */
    uint32_t *kernel;        /* [n_nodes] after which its value can be looked at; NAT_NONE */
    uint64_t arena_bytes, const_bytes, scratch_bytes;
    uint64_t input_items;       /* floats of an image */
    uint32_t classes, channels; /* of logits and features */
    uint32_t logits_node;
    uint32_t features_buffer; /* f32 means, or f64 counts; NAT_NONE */
    uint32_t features_kernel;
    bool features_counts;
    double divisor;
};

/* Plans a module that verifies and has all its data; what native code cannot do is an error. */
spk_status nat_plan_init(const struct ir_module *m, struct diag_list *d,
                         struct nat_plan *out) SPK_CHECKED;
void nat_plan_fini(struct nat_plan *p);

/* Memory of code built ahead of time: the arena, then these parts; offsets and all in bytes. */
struct nat_workspace {
    uint64_t scratch, counters, args, bytes;
};
struct nat_workspace nat_workspace_of(const struct nat_plan *p);
/* The largest event count that an input of this type may hold; 0: a finite real. */
uint32_t nat_input_max(const struct ir_type *t);

/* Fills const_bytes bytes with the constants. */
void nat_plan_constants(const struct nat_plan *p, void *out);

/* Scratch memory of one call, and where its parts lie: sums [tile * acc_frames][NAT_BLOCK], starts
 * of segments [tile * acc_frames][segments + 1] u32, the lists' byte offsets of weight rows and
 * their values, both [tile * acc_frames * list] of 32 bits (values: 64 for dense pixels). */
struct nat_scratch {
    uint64_t starts, offsets, values, bytes;
};
struct nat_scratch nat_scratch_of(const struct nat_spec *s, const struct nat_shape *in);
uint64_t nat_scratch_bytes(const struct nat_spec *s, const struct nat_shape *in);

/* How the operands of a projection reach the sums: in runs of consecutive operands of one kind. */
enum nat_run { NAT_RUN_BINARY, NAT_RUN_VALUES, NAT_RUN_DENSE };
enum nat_run nat_run_of(const struct nat_shape *in);
/* Whether operand b continues the run of operand a. */
bool nat_same_run(const struct nat_shape *a, const struct nat_shape *b);

/* Bytes of a value in memory: one frame, and all. */
uint64_t nat_frame_bytes(const struct nat_shape *s);
uint64_t nat_value_bytes(const struct nat_shape *s);
uint32_t nat_elem_bits(enum nat_elem e);
static inline uint64_t nat_positions(const struct nat_shape *s)
{
    return (uint64_t)s->height * s->width;
}
static inline uint64_t nat_align(uint64_t n, uint64_t to)
{
    return (n + to - 1) / to * to;
}

#endif
