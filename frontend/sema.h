/* Between the passes of the .spk front end: name tables, built-in functions, matching of arguments,
 * the static check, compilation of neurons, model parameters. Private to frontend/.            */
#ifndef SPIKEC_FRONTEND_SEMA_H
#define SPIKEC_FRONTEND_SEMA_H

#include "frontend/ast.h"
#include "frontend/model.h"
#include "support/name_hint.h"
#include "ir/ir.h"

#define FE_MAX_FORMALS 32u /* parameters of one definition */
#define FE_MAX_DEFS 4096u  /* definitions of a program */
#define FE_MAX_LOCALS 4096u

/* ---- values ---- */

enum fe_value_kind { FE_V_ERROR, FE_V_TENSOR, FE_V_INT, FE_V_FLOAT, FE_V_BOOL, FE_V_STRING };
struct fe_value {
    enum fe_value_kind kind; /* ERROR: reported already, silences what depends on it */
    uint32_t node;           /* TENSOR: value id in the module */
    int64_t i;
    double f;
    bool b;
    const char *text;
};
const char *fe_value_kind_name(enum fe_value_kind kind); /* "a tensor", "a whole number", … */
/* Numbers as double; false for the other kinds. */
bool fe_value_number(const struct fe_value *v, double *out);

/* Arithmetic and comparison of constants; `e` (FE_UNARY or FE_BINARY) gives operator, places and
 * names for messages; b is ignored for unary operators. Errors: reported, value FE_V_ERROR. The
 * return value tells whether an error was reported.                                           */
bool fe_fold(const struct fe_expr *e, const struct fe_value *a, const struct fe_value *b,
             struct diag_list *d, struct fe_value *out);

/* ---- built-in functions ---- */

enum fe_builtin_id {
    FE_B_CONV2D,
    FE_B_LINEAR,
    FE_B_BATCHNORM,
    FE_B_MAXPOOL,
    FE_B_ATTENTION,
    FE_B_TOKENS,
    FE_B_MEAN,
    FE_B_MASK,
    FE_B_OFFSET,
    FE_B_LAYERNORM,
    FE_B_GELU,
    FE_B_SLICE,
    FE_B_PATCHES,
    FE_B_SOFTMAX_ATTENTION,
    FE_B_MSE,
    FE_B_MIN,
    FE_B_MAX,
    FE_B_ABS,
    FE_B_DIV
};
enum fe_formal_kind {
    FE_F_ANY, /* user definitions: whatever is given */
    FE_F_TENSOR,
    FE_F_INT,
    FE_F_FLOAT,
    FE_F_BOOL,
    FE_F_STRING,
    FE_F_NUMBER,
    FE_F_AXIS /* a word, not evaluated: tokens, pixels or time */
};
struct fe_formal {
    const char *name;
    enum fe_formal_kind kind;
    bool required;
    double number;    /* default of int, float, bool */
    const char *text; /* default of string */
    uint8_t same_as;  /* default is the value of this formal; 0: use number */
};
struct fe_builtin {
    const char *name;
    enum fe_builtin_id id;
    uint32_t n;
    struct fe_formal formal[8];
};
const struct fe_builtin *fe_builtin_find(const char *name);

/* What a call refers to; exactly one member is set, or none when the name is unknown. */
struct fe_callee {
    const struct fe_builtin *builtin;
    const struct fe_def *def;
};

/* All neurons and blocks of a program, and the main unit's model. */
struct fe_symbols {
    const struct fe_program *program;
    struct fe_table_entry *table; /* hash, by name */
    const struct fe_def *model;
    struct arena *arena; /* for the table */
};
/* Collects definitions; duplicates and a missing model are errors. Always call fe_symbols_fini. */
spk_status fe_symbols_init(struct fe_symbols *s, const struct fe_program *program,
                           struct arena *arena, bool need_model, struct diag_list *d) SPK_CHECKED;
void fe_symbols_fini(struct fe_symbols *s);
struct fe_callee fe_symbols_call(const struct fe_symbols *s, const char *name);

/* Offers all functions, blocks and neurons. */
void fe_symbols_nearest(const struct fe_symbols *s, struct name_hint *best);

/* Matches the arguments of a call to the formals: slot[i] becomes the argument of formal i, or NULL
 * where it is left out. Axis words fill slots from the first axis formal on. Problems are reported
 * when d is not NULL; false then.                                                             */
bool fe_match_args(const struct fe_callee *callee, const struct fe_expr *call, struct diag_list *d,
                   const struct fe_arg **slot);
uint32_t fe_formal_count(const struct fe_callee *callee);

/* ---- passes ---- */

/* Static check of everything that does not depend on values: names, calls, where statements may
 * stand. Reports all violations.                                                              */
spk_status fe_sema(const struct fe_symbols *s, struct diag_list *d) SPK_CHECKED;
/* The part of it for one neuron. */
void fe_sema_neuron(const struct fe_def *neuron, struct diag_list *d);

/* Compiles a neuron with the given parameter values (numbers, one per parameter). Equations are
 * translated in the order written; parts without state and input are computed in double precision
 * and rounded once, as PyTorch does with Python numbers. *out lives on the arena. *out_rate is the
 * declared firing rate or 0. Errors are reported: SPK_ERR_INPUT.                              */
spk_status fe_neuron_compile(const struct fe_def *neuron, const struct fe_value *values,
                             struct arena *arena, struct diag_list *d, struct ir_neuron *out,
                             double *out_rate) SPK_CHECKED;

/* Values of the model's parameters: defaults, then the settings in order. All settings are applied
 * and checked before anything else. values[] has one entry per parameter.                     */
spk_status fe_apply_settings(const struct fe_def *model, const struct fe_setting *sets,
                             uint32_t n_sets, struct diag_list *d,
                             struct fe_value *values) SPK_CHECKED;
/* Value of a literal default (with sign); false where it is not one. */
bool fe_literal(const struct fe_expr *e, struct fe_value *out);

/* Evaluates the model into a module. The result also gives the path of the weights named in the
 * description (arena text as written) or NULL.                                                */
spk_status fe_lower(const struct fe_symbols *s, const struct fe_value *params,
                    const struct fe_binding *binds, uint32_t n_binds, struct arena *arena,
                    struct diag_list *d, struct ir_module **out,
                    const char **out_weights) SPK_CHECKED;

/* Renames params of a module to the names a checkpoint has. */
spk_status fe_bind_names(struct ir_module *m, const struct fe_binding *binds,
                         const struct spk_span *spans, uint32_t n_binds,
                         struct diag_list *d) SPK_CHECKED;

#endif
