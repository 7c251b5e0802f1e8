/* The spiking IR: types, ops, modules.
 *
 * A module is a list of nodes in SSA form and in topological order: node i uses only values
 * of nodes < i, and every node defines exactly one value, so that "value id" and "node id"
 * are the same 32-bit number. A value is a tensor over [T, B, axes...]: T time steps (T = 1
 * is time-invariant), B images (implicit, chosen at run time), then one of four layouts:
 *   CHW [channels, height, width]; CN [channels, tokens]; NC [tokens, channels]; C [channels].
 * Params are named constant tensors beside the graph (weights, thresholds); their data may be
 * absent (estimates need shapes only). Neurons are programs: bytecode of the model's own
 * equations (float), or an integer program after quantisation.
 *
 * The same ops serve three stages; `ir_module.stage` says which rules the verifier applies:
 *   IR_STAGE_MODEL      as written by the user: one operand per projection, float;
 *   IR_STAGE_LOWERED    batch norm folded, residual sums spread over variadic projections
 *                       (an `add` survives only to be recorded), host segments explicit;
 *   IR_STAGE_QUANTISED  lowered, all arithmetic in the target's integers.
 *
 * Ownership: everything hangs on the module's arena, except tensor data, which belongs to the
 * module's buffers (ir_module_own) or to a mapped file that outlives it.                     */
#ifndef SPIKEC_IR_IR_H
#define SPIKEC_IR_IR_H

#include <stdbool.h>
#include <stdint.h>

#include "support/arena.h"
#include "support/diag.h"
#include "support/status.h"

#define IR_MANY 0xffffu
#define IR_NONE 0xffffffffu
#define IR_MAX_RANK 4
#define IR_MAX_STATES 4
#define IR_MAX_NEURON_PARAMS 8

enum ir_op {
#define IR_OP(e, s, a, b, c, d, f) IR_OP_##e,
#include "ir/ops.def"
#undef IR_OP
    IR_OP_COUNT
};

enum ir_op_flag {
    IR_F_POINTWISE_T = 1, /* acts on each time step alone: commutes with `repeat` */
    IR_F_STATE = 2,       /* keeps state from step to step */
    IR_F_HOST = 4,        /* host segment */
    IR_F_REDUCE_T = 8     /* output has T = 1 */
};

struct ir_op_info {
    const char *name;
    uint16_t min_operands, max_operands, min_params, max_params;
    uint32_t flags;
};
const struct ir_op_info *ir_op_info(enum ir_op op);

/* What a number means, and how it is represented. */
enum ir_kind { IR_SPIKE, IR_COUNT, IR_CURRENT, IR_REAL };
enum ir_num { IR_F32, IR_I32 };
enum ir_layout { IR_CHW, IR_CN, IR_NC, IR_C };

struct ir_type {
    enum ir_kind kind;
    enum ir_num num;
    enum ir_layout layout;
    uint32_t timesteps; /* 1 = time-invariant */
    uint32_t channels;
    uint32_t height, width; /* CN and NC: height = 1, width = tokens; C: both 1 */
    uint32_t bound;         /* spike, count: largest possible value, 0 = unknown */
};

/* height * width: the number of positions (pixels or tokens). */
uint64_t ir_type_positions(const struct ir_type *t);
/* channels * positions; all shapes are checked on construction to fit 2^40. */
uint64_t ir_type_elements(const struct ir_type *t);

enum ir_dtype { IR_DT_F32, IR_DT_I8, IR_DT_I16, IR_DT_I32 };

/* A constant tensor, row-major, outermost dimension first.
 * Weights of conv2d: [out, in, kh, kw]; of linear: [out, in]; of scale and of float neurons:
 * [channels] or one for each neuron, [channels, height, width]; the rest: [channels].         */
struct ir_param {
    const char *name; /* unique in the module */
    enum ir_dtype dtype;
    uint32_t rank;
    uint32_t dim[IR_MAX_RANK];
    const void *data; /* NULL: shape only */
    struct spk_span span;
    bool mapped; /* data lie in a read-only map of a file (file_pages_release) */
};
uint64_t ir_param_elements(const struct ir_param *p);
uint32_t ir_dtype_size(enum ir_dtype t);

/* Neuron equations as postfix code on a stack of float32 (depth <= 16). */
enum ir_eq_code {
    IR_EQ_CONST, /* push k */
    IR_EQ_INPUT, /* push the input current of this step */
    IR_EQ_STATE, /* push state arg */
    IR_EQ_PARAM, /* push the neuron's own value of the node's param arg */
    IR_EQ_NEG,
    IR_EQ_ADD,
    IR_EQ_SUB,
    IR_EQ_MUL,
    IR_EQ_DIV,
    IR_EQ_MIN,
    IR_EQ_MAX,
    IR_EQ_ABS
};
struct ir_eq {
    uint8_t code;
    uint8_t arg;
    float k;
};
struct ir_expr {
    const struct ir_eq *code;
    uint32_t n;
};
enum ir_cmp { IR_CMP_GE, IR_CMP_GT };

/* One neuron program. Per step: every charge equation in order (each may read states already
 * updated), then the comparison fire_lhs (cmp) fire_rhs, then, where it holds, the resets in
 * order. Two uses with the same equations and constants share one program.                    */
struct ir_neuron {
    const char *name; /* e.g. "lif" */
    uint32_t n_states;
    const char *state_name[IR_MAX_STATES];
    float state_init[IR_MAX_STATES];
    struct ir_expr charge[IR_MAX_STATES]; /* n == 0: state is not charged */
    struct ir_expr reset[IR_MAX_STATES];  /* n == 0: state is not reset */
    struct ir_expr fire_lhs, fire_rhs;
    enum ir_cmp cmp;
    struct spk_span span;
};

/* How many params a node with this program has: one more than the largest that is read. */
uint32_t ir_neuron_params(const struct ir_neuron *n);

/* A program of one or two states in closed form: u = current_retain*u + gain*input;
 * v = retain*v + u + offset; fire v >= v_th (or >); reset v = v_reset, or v = v - v_th.
 * current_retain is 0 for one state.                                                          */
struct ir_lif {
    double current_retain, retain, gain, offset, v_init, v_th, v_reset;
    bool soft_reset;
    enum ir_cmp cmp;
};
/* Tells whether a program is such a leaky integrator and gives its constants. The constants are
 * found by evaluating the linear equations symbolically; false where they are not linear.      */
bool ir_neuron_as_lif(const struct ir_neuron *n, struct ir_lif *out);

/* Integer neuron of a quantised module; all quantities in membrane units of the target.
 *   u = wrap(trunc(u * current_keep / 4096) + sum of currents + bias[c], bits);
 *   v = clip(trunc(v * (4096 - decay) / 4096) + u);
 *   fire where v >= vth[c]; then v = 0 (hard) or v -= vth[c] (soft). See docs/integers.md.
 * trunc rounds towards zero; wrap is two's complement of `bits` bits; clip is +-(2^(bits-1)-1).
 * vth and bias are the node's params 0 and 1 (i32 [channels], bias optional).                  */
struct ir_neuron_q {
    uint16_t decay; /* 0..4096 */
    uint8_t bits;   /* 24 on both Loihi */
    bool soft_reset;
    uint16_t current_keep; /* 0..4096; 0: the current of a step is its input */
};

struct ir_attr_conv {
    uint16_t kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w;
    uint8_t shift; /* quantised: a weight q stands for q << shift membrane units */
};
struct ir_attr_norm {
    float eps;
    bool sample; /* variance over n - 1 instead of n */
};
struct ir_attr_slice {
    uint32_t begin, count; /* channels */
};
struct ir_attr_pool {
    uint16_t kernel, stride, pad;
};
struct ir_attr_attention {
    uint32_t heads;
    float scale;
    enum ir_attn_order { IR_ATTN_AUTO, IR_ATTN_KV_FIRST, IR_ATTN_QK_FIRST } order;
    int32_t unit; /* quantised: output current = unit * (q (k^T v)); 0 in float */
    /* How a chip computes it (docs/mapping.md); OPEN until pass choose-attention. Value l stands
     * for bit l - 1 of enum tgt_attention. */
    enum ir_attn_lowering {
        IR_LOWER_OPEN,
        IR_LOWER_AND_LIF,
        IR_LOWER_EMBEDDED,
        IR_LOWER_PRODUCT,
        IR_LOWER_SERIAL,
        IR_LOWER_PLASTIC,
        IR_LOWER_ENGINE
    } lowering;
};
enum ir_encode_kind {
    IR_ENCODE_CURRENT, /* static image: fixed-point conv on the host, one current per neuron */
    IR_ENCODE_EVENTS   /* event frames: non-negative integer counts, one injection each */
};
/* Host input encoder, see docs/integers.md. CURRENT: x_q = clip(rne(x * 2^x_shift), +-32767);
 * a = sum w_q * x_q + b_q (i64); m = clip(rshift_round(a, out_shift), +-m_max);
 * current = m << m_exp. Params: w_q i16 [out, in, kh, kw], b_q i32 [out].                      */
struct ir_attr_encode {
    enum ir_encode_kind kind;
    struct ir_attr_conv conv;
    uint8_t x_shift, out_shift, m_exp;
    int32_t m_max;
};
struct ir_attr_neuron {
    uint32_t program;     /* float: index into module->neurons; quantised: IR_NONE */
    struct ir_neuron_q q; /* quantised */
};
struct ir_attr_readout {
    uint32_t divisor; /* tokens * timesteps */
};
struct ir_attr_input {
    bool events;    /* event counts, a frame per step */
    bool series;    /* real values, a frame per step; neither: one frame, for `repeat` */
    bool mask;      /* a second input, for op mask: 1 where a position is hidden, else 0 */
    bool normalise; /* IDX bytes: x = (byte/255 - mean[c]) / std[c] */
    float mean[4], std[4];
    uint32_t n_norm;
};
struct ir_attr_reshape {
    enum ir_layout to;
};
struct ir_attr_delay {
    uint32_t steps; /* how many steps later than its operand; sums its operands when several */
};

/* With an operand: its value `steps` steps before, zero before the first. Without one: the same of
 * the later node `source` (delayed feedback).                                                   */
struct ir_attr_lag {
    uint32_t steps;
    uint32_t source; /* IR_NONE where there is an operand */
};

struct ir_node {
    enum ir_op op;
    struct ir_type type;
    const char *name; /* value name, e.g. "block.0.attn.q_lif"; NULL when unnamed */
    bool recorded;    /* one of the golden-case values: spikes, counts with a public name */
    uint32_t n_operands, n_params;
    uint32_t *operand; /* value ids */
    uint32_t *param;   /* param ids */
    struct spk_span span;
    union {
        struct ir_attr_conv conv; /* conv2d; linear uses shift only */
        struct ir_attr_pool pool;
        struct ir_attr_attention attention;
        struct ir_attr_encode encode;
        struct ir_attr_neuron neuron;
        struct ir_attr_readout readout;
        struct ir_attr_input input;
        struct ir_attr_reshape reshape;
        struct ir_attr_delay delay;
        struct ir_attr_lag lag;
        struct ir_attr_norm norm; /* layernorm */
        struct ir_attr_slice slice;
        uint32_t patch;  /* patches: side of a patch */
        bool over_time;  /* mean: over time alone, positions stay */
        float eps;       /* batchnorm: params weight, bias, running_mean, running_var */
        uint32_t repeat; /* repeat: T */
    } a;
};

enum ir_stage { IR_STAGE_MODEL, IR_STAGE_LOWERED, IR_STAGE_QUANTISED };

struct ir_module {
    struct arena arena;
    const char *name;
    enum ir_stage stage;
    uint32_t timesteps;
    const char *target; /* quantised: name of the target it was quantised for, else NULL */
    uint32_t n_nodes, cap_nodes;
    struct ir_node *node;
    uint32_t n_params, cap_params;
    struct ir_param *param;
    uint32_t n_neurons, cap_neurons;
    struct ir_neuron *neuron;
    uint32_t n_owned, cap_owned;
    void **owned;                 /* heap blocks freed with the module */
    struct ir_module_hook *hooks; /* called when the module is destroyed */
    float declared_rate;    /* firing rate assumed where nothing was measured; 0 = not declared */
    struct ir_names *names; /* name lookup; belongs to module.c */
};

spk_status ir_module_create(const char *name, struct ir_module **out) SPK_CHECKED;
void ir_module_destroy(struct ir_module *m);
/* Deep copy of graph and params; tensor data is shared, not copied, so the source (and the file
 * it maps) must outlive the copy, unless with_data is set.                                     */
spk_status ir_module_clone(const struct ir_module *m, bool with_data,
                           struct ir_module **out) SPK_CHECKED;
/* Gives a heap block to the module. */
spk_status ir_module_own(struct ir_module *m, void *heap_block) SPK_CHECKED;
/* Has destroy(object) called when the module is destroyed, the latest hook first: for what the
 * module's tensor data lies in, such as a mapped file. On an error the caller keeps the object. */
spk_status ir_module_on_destroy(struct ir_module *m, void (*destroy)(void *object),
                                void *object) SPK_CHECKED;

/* Building: operands and params are copied; the node's type is computed by ir_infer (below).
 * Attributes are set by the caller in *node before the call; op, operands, params, name, span
 * and recorded come with it too (arrays may be the caller's).                                  */
spk_status ir_add_node(struct ir_module *m, const struct ir_node *node, struct diag_list *d,
                       uint32_t *out_id) SPK_CHECKED;
spk_status ir_add_param(struct ir_module *m, const struct ir_param *p,
                        uint32_t *out_id) SPK_CHECKED; /* same name: same id, shapes must agree */
spk_status ir_add_neuron(struct ir_module *m, const struct ir_neuron *n,
                         uint32_t *out_id) SPK_CHECKED; /* deduplicates equal programs */
uint32_t ir_find_value(const struct ir_module *m, const char *name); /* IR_NONE if absent */
/* The input that is no mask; IR_NONE where there is none. */
uint32_t ir_input(const struct ir_module *m);
/* What a caller gives for an image, and gets: the values of all inputs, all steps of the first,
 * then the masks in node order; those of all outputs (one step) in node order.               */
uint64_t ir_input_values(const struct ir_module *m);
uint64_t ir_output_values(const struct ir_module *m);
uint32_t ir_find_param(const struct ir_module *m, const char *name);

/* Shape inference of one node from its operands and params (docs/ir.md has the rules);
 * diagnostics name both shapes and what would fit.                                            */
spk_status ir_infer(const struct ir_module *m, const struct ir_node *node, struct diag_list *d,
                    struct ir_type *out) SPK_CHECKED;
/* Checks every rule of the stage; reports all violations. */
spk_status ir_verify(const struct ir_module *m, struct diag_list *d) SPK_CHECKED;

/* Text form (.sir), total and versioned: ir_parse(ir_print(m)) == m, params by name and shape;
 * their data is not part of the text.                                                         */
struct strbuf;
void ir_print(const struct ir_module *m, struct strbuf *out);
spk_status ir_parse(const char *file_name, const char *text, size_t length, struct diag_list *d,
                    struct ir_module **out) SPK_CHECKED;
bool ir_module_equal(const struct ir_module *a, const struct ir_module *b);

/* Tensor data of a module to and from a safetensors file (all params that have data).
 * Reading binds every param by name and checks dtype and shape; missing ones are errors.      */
spk_status ir_params_save(const struct ir_module *m, const char *path,
                          struct diag_list *d) SPK_CHECKED;
spk_status ir_params_load(struct ir_module *m, const char *path, struct diag_list *d) SPK_CHECKED;

#endif
