/* State of the evaluation of a model into a module, shared by lower_model.c (statements and
 * expressions), lower_ops.c (built-in functions) and lower_names.c (names of values and weights).
 * Private to frontend/.                                                                       */
#ifndef SPIKEC_FRONTEND_LOWER_H
#define SPIKEC_FRONTEND_LOWER_H

#include "frontend/sema.h"

#define FE_MAX_NODES 1000000u
#define FE_MAX_ELEMENTS ((uint64_t)1 << 40)
#define FE_MAX_CALLS 64u       /* blocks within blocks */
#define FE_MAX_NESTING 1000u   /* expressions and statements within each other, blocks included */
#define FE_MAX_STEPS 50000000u /* expressions and statements evaluated */
#define FE_MAX_PROGRAMS 1024u  /* different neurons */
#define FE_MAX_NAME 400u       /* bytes of a value's name */

/* The name that a value is to get (`as "…"`), handed down to the op that makes it. */
struct fe_hint {
    const char *text; /* full name; NULL: none */
    struct spk_span span;
};

struct fe_variable {
    const char *name;
    struct fe_value value;
};

/* One call of a block; the model itself is the outermost. */
struct fe_frame {
    struct fe_frame *parent;
    const struct fe_def *def;
    struct spk_span call; /* of the call in the parent */
    const char *scope;    /* prefix or pattern for names */
    size_t base;          /* its first variable */
    struct fe_hint hint;  /* name for its result */
    bool returned;
    struct fe_value result;
    uint32_t depth;
};

struct fe_program_use { /* one compiled neuron */
    const struct fe_def *def;
    const struct fe_value *values;
    uint32_t n;
    uint32_t program;
};

struct fe_names; /* names given so far */

struct fe_eval {
    const struct fe_symbols *symbols;
    struct arena *arena;
    struct diag_list *d;
    struct ir_module *m;
    struct fe_frame *frame;
    VEC(struct fe_variable) variables;
    VEC(struct fe_program_use) programs;
    VEC(struct fe_binding) binds; /* of the description */
    VEC(struct spk_span) bind_spans;
    struct fe_names *names;
    uint32_t steps, nesting;
    uint32_t input; /* node, IR_NONE before */
    uint32_t n_outputs;
    double rate;
    struct spk_span rate_span;
    const char *weights;
};

/* Reports an error with the chain of block calls that led to it. Always SPK_OK, so that
 * evaluation goes on with FE_V_ERROR: `return fe_error(…)`; running out of memory here shows in
 * the list at the end. Hard limits use fe_stop.                                               */
spk_status fe_error(struct fe_eval *ev, struct spk_span span, const char *code, const char *format,
                    ...) SPK_PRINTF(4, 5);
/* The same, but returns SPK_ERR_INPUT, which ends the evaluation. */
spk_status fe_stop(struct fe_eval *ev, struct spk_span span, const char *code, const char *format,
                   ...) SPK_PRINTF(4, 5) SPK_CHECKED;
/* Adds the chain of calls to the error reported last. */
void fe_note_calls(struct fe_eval *ev);

/* Counts one step of work; SPK_ERR_INPUT (reported) once there are too many. */
spk_status fe_step(struct fe_eval *ev, struct spk_span span) SPK_CHECKED;

/* ---- evaluation ---- */

/* A variable of the current frame, NULL where there is none. */
struct fe_value *fe_variable(struct fe_eval *ev, const char *name);
spk_status fe_define(struct fe_eval *ev, const char *name,
                     const struct fe_value *value) SPK_CHECKED;
/* The value of an expression; FE_V_ERROR where something was reported. */
spk_status fe_eval_expr(struct fe_eval *ev, const struct fe_expr *e, const struct fe_hint *hint,
                        struct fe_value *out) SPK_CHECKED;
/* Runs statements up to a `return`, whose value is then in the frame. */
spk_status fe_run(struct fe_eval *ev, const struct fe_stmt *body) SPK_CHECKED;
/* Reports an argument of the wrong kind; false then, and for error values. */
bool fe_check_kind(struct fe_eval *ev, enum fe_formal_kind want, const struct fe_value *v,
                   const char *name, struct spk_span span);

/* Gives an existing value the name of the hint, where there is one. */
spk_status fe_rename(struct fe_eval *ev, const struct fe_value *v,
                     const struct fe_hint *hint) SPK_CHECKED;

/* ---- names ---- */

/* Full name: the scope's '*' replaced by `local`, or scope.local. */
spk_status fe_join(struct fe_eval *ev, const char *scope, const char *local, struct spk_span span,
                   const char **out) SPK_CHECKED;
/* Text of a string with its interpolations. *out NULL where one of them failed (reported). */
spk_status fe_interpolate(struct fe_eval *ev, const struct fe_string *s,
                          const char **out) SPK_CHECKED;
/* Takes a name for a value (or, with `param`, a weight). *out_taken is false where it is in use
 * already (reported).                                                                         */
spk_status fe_take_name(struct fe_eval *ev, const char *name, bool param, struct spk_span span,
                        bool *out_taken) SPK_CHECKED;
void fe_names_fini(struct fe_eval *ev);
/* Name of a layer: the hint, or else the scope joined with `local`. */
spk_status fe_layer_name(struct fe_eval *ev, const struct fe_hint *hint, const char *local,
                         struct spk_span span, struct fe_hint *out) SPK_CHECKED;

/* ---- ops ---- */

/* The call under way. */
struct fe_call {
    struct fe_eval *ev;
    const struct fe_expr *e;
    const struct fe_builtin *b;
    const struct fe_value *v;
    const struct fe_arg *const *slot;
    const struct fe_hint *hint;
    struct fe_value *out;
};

static inline const struct ir_type *fe_type(const struct fe_eval *ev, const struct fe_value *v)
{
    return &ev->m->node[v->node].type;
}
struct spk_span fe_arg_span(const struct fe_call *c, uint32_t i);
bool fe_arg_whole(const struct fe_call *c, uint32_t i, uint64_t low, uint64_t high, uint32_t *out);
/* Reports where operand 0 is no image. */
spk_status fe_need_chw(const struct fe_call *c, bool *out_fine) SPK_CHECKED;
/* Makes the weight LAYER.suffix, or LAYER where suffix is NULL. *out is IR_NONE where it could not
 * be made (reported). */
spk_status fe_weight(struct fe_eval *ev, const struct fe_hint *layer, const char *suffix,
                     uint32_t rank, const uint32_t *dim, struct spk_span span,
                     uint32_t *out) SPK_CHECKED;

/* Adds a node; records it where it is a named spike or count. Errors of shape inference are
 * reported with the chain of calls, *out is then FE_V_ERROR.                                  */
spk_status fe_add_node(struct fe_eval *ev, struct ir_node *node, const struct fe_hint *hint,
                       struct spk_span span, struct fe_value *out) SPK_CHECKED;
/* A call of a built-in function; values[] are the evaluated arguments (defaults filled in). */
spk_status fe_call_builtin(struct fe_eval *ev, const struct fe_builtin *b,
                           const struct fe_expr *call, const struct fe_value *values,
                           const struct fe_arg *const *slot, const struct fe_hint *hint,
                           struct fe_value *out) SPK_CHECKED;
/* A call of a neuron; values[0] is its input, then one per parameter. */
spk_status fe_call_neuron(struct fe_eval *ev, const struct fe_def *neuron,
                          const struct fe_expr *call, const struct fe_value *values, uint32_t n,
                          const struct fe_hint *hint, struct fe_value *out) SPK_CHECKED;
/* x + y of tensors. */
spk_status fe_add_tensors(struct fe_eval *ev, const struct fe_expr *e, uint32_t x, uint32_t y,
                          const struct fe_hint *hint, struct fe_value *out) SPK_CHECKED;
/* input NAME : … */
spk_status fe_input(struct fe_eval *ev, const struct fe_stmt *s, const struct fe_value *shape,
                    const struct fe_value *steps, const double *mean, const double *std,
                    uint32_t n_norm, struct fe_value *out) SPK_CHECKED;
/* input NAME : mask[h, w] */
spk_status fe_mask_input(struct fe_eval *ev, const struct fe_stmt *s, const struct fe_value *shape,
                         struct fe_value *out) SPK_CHECKED;
/* lower_ordinary.c: the built-in functions of ordinary networks, and masks. */
spk_status fe_call_ordinary(const struct fe_call *c) SPK_CHECKED;
/* A whole number in [low, high]; false: reported (or an error value). */
bool fe_whole(struct fe_eval *ev, const struct fe_value *v, struct spk_span span, const char *what,
              uint64_t low, uint64_t high, uint32_t *out);

#endif
