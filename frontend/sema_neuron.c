/* Neurons: static check of their equations and compilation to postfix programs (struct ir_neuron).
 *
 * An equation is an expression over `input`, the states and the parameters with + - * /, unary
 * minus, min, max and abs. Sub-expressions without state and input are folded in double precision
 * and rounded to float once; the others are emitted in the order written, operand by operand, so
 * that float32 evaluation has exactly the roundings of the source. Equations stand in the order of
 * the states, because that is the order in which a program runs.
 *
 * Limits: IR_MAX_STATES states, 16 intermediate values, 4,096 codes per equation.              */
#include <math.h>
#include <string.h>

#include "frontend/sema.h"

#define FE_EQ_STACK 16u
#define FE_EQ_CODES 4096u

struct fe_neuron {
    const struct fe_def *def;
    struct diag_list *d;
    struct arena *arena;
    const struct fe_value *values; /* of the parameters; NULL in the static check */
    const struct fe_equation *state[IR_MAX_STATES];
    uint32_t n_states;
    /* emission */
    struct ir_eq *code;
    uint32_t n, stack;
    spk_status status;
};

static int fe_state_index(const struct fe_neuron *n, const char *name)
{
    for (uint32_t i = 0; i < n->n_states; i++) {
        if (strcmp(n->state[i]->name.text, name) == 0)
            return (int)i;
    }
    return -1;
}

static int fe_param_index(const struct fe_neuron *n, const char *name)
{
    int i = 0;
    for (const struct fe_parameter *q = n->def->params; q; q = q->next, i++) {
        if (strcmp(q->name.text, name) == 0)
            return i;
    }
    return -1;
}

/* Function of an equation: operand count, or 0 where there is no such function. */
static uint32_t fe_eq_function(const char *name, uint8_t *out_code)
{
    static const struct {
        const char *name;
        uint8_t code;
        uint8_t operands;
    } functions[] = {{"min", IR_EQ_MIN, 2}, {"max", IR_EQ_MAX, 2}, {"abs", IR_EQ_ABS, 1}};
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        if (strcmp(functions[i].name, name) == 0) {
            *out_code = functions[i].code;
            return functions[i].operands;
        }
    }
    return 0;
}

/* ---- static check ---- */

static void fe_check_eq(struct fe_neuron *n, const struct fe_expr *e, bool constant);

static void fe_check_eq_name(struct fe_neuron *n, const struct fe_expr *e, bool constant)
{
    bool state = fe_state_index(n, e->name) >= 0;
    if (state && constant) {
        diag_error(n->d, e->span, "E0230", "state '%s' has no value here", e->name);
        diag_help_set(n->d, "initial values and rates are made of numbers and parameters");
    } else if (!state && fe_param_index(n, e->name) < 0) {
        struct name_hint best;
        name_hint_init(&best, e->name);
        for (uint32_t i = 0; i < n->n_states; i++)
            name_hint_offer(&best, n->state[i]->name.text);
        for (const struct fe_parameter *q = n->def->params; q; q = q->next)
            name_hint_offer(&best, q->name.text);
        diag_error(n->d, e->span, "E0207", "unknown name '%s'", e->name);
        if (name_hint_best(&best))
            diag_help_set(n->d, "did you mean '%s'?", name_hint_best(&best));
        else
            diag_help_set(n->d, "an equation knows 'input', the states and the parameters");
    }
}

static void fe_check_eq_call(struct fe_neuron *n, const struct fe_expr *e, bool constant)
{
    uint8_t code = 0;
    uint32_t need = fe_eq_function(e->name, &code), have = 0;
    for (const struct fe_arg *a = e->args; a; a = a->next) {
        fe_check_eq(n, a->value, constant);
        have++;
        need = a->name.text ? 0 : need;
    }
    if (!need || have != need || e->string) {
        diag_error(n->d, e->span, "E0231", "not a function of an equation");
        diag_help_set(n->d, "equations have min(a, b), max(a, b) and abs(a)");
    }
}

static void fe_check_eq(struct fe_neuron *n, const struct fe_expr *e, bool constant)
{
    if (!e || diag_limit_reached(n->d))
        return;
    switch (e->kind) {
    case FE_INT:
    case FE_FLOAT:
        return;
    case FE_INPUT:
        if (constant)
            diag_error(n->d, e->span, "E0230", "there is no input here");
        return;
    case FE_NAME:
        fe_check_eq_name(n, e, constant);
        return;
    case FE_CALL:
        fe_check_eq_call(n, e, constant);
        return;
    case FE_UNARY:
    case FE_BINARY:
        fe_check_eq(n, e->left, constant);
        fe_check_eq(n, e->right, constant);
        if (e->kind == FE_UNARY ? e->op == FE_NEG : e->op <= FE_DIV)
            return;
        diag_error(n->d, e->op_span, "E0231", "'%s' is not an operator of equations",
                   fe_operator_text(e->op));
        diag_help_set(n->d, "equations have + - * / min max abs");
        return;
    case FE_BOOL:
    case FE_STRING:
    case FE_MEMBER:
    case FE_AS:
        diag_error(n->d, e->span, "E0231", "equations are made of numbers");
        return;
    }
}

/* Reports a second equation for the same thing, or one out of order. `last` is the index of the
 * state of the previous equation of this kind.                                                */
static void fe_check_order(struct fe_neuron *n, const struct fe_equation *q, int *last)
{
    int i = fe_state_index(n, q->name.text);
    const char *word = q->kind == FE_EQ_CHARGE ? "charge" : "reset";
    if (i < 0) {
        struct name_hint best;
        name_hint_init(&best, q->name.text);
        for (uint32_t j = 0; j < n->n_states; j++)
            name_hint_offer(&best, n->state[j]->name.text);
        diag_error(n->d, q->name.span, "E0232", "'%s' is not a state", q->name.text);
        if (name_hint_best(&best))
            diag_help_set(n->d, "did you mean '%s'?", name_hint_best(&best));
        else
            diag_help_set(n->d, "declare it with: state %s = 0.0;", q->name.text);
    } else if (i <= *last) {
        diag_error(n->d, q->span, "E0233", "%s of '%s' comes too late or twice", word,
                   q->name.text);
        diag_help_set(n->d, "one %s equation per state, in the order of the states", word);
    }
    *last = i > *last ? i : *last;
}

static void fe_collect_states(struct fe_neuron *n)
{
    for (const struct fe_equation *q = n->def->equations; q; q = q->next) {
        if (q->kind != FE_EQ_STATE)
            continue;
        if (n->n_states >= IR_MAX_STATES) {
            if (n->d && !n->values)
                diag_error(n->d, q->span, "E0234", "a neuron has at most %d states", IR_MAX_STATES);
            return;
        }
        n->state[n->n_states++] = q;
    }
}

static void fe_check_state(struct fe_neuron *n, const struct fe_equation *q)
{
    int i = fe_state_index(n, q->name.text);
    if (fe_param_index(n, q->name.text) >= 0 || (i >= 0 && n->state[i] != q))
        diag_error(n->d, q->name.span, "E0206", "'%s' is already defined", q->name.text);
    fe_check_eq(n, q->value, true);
}

static bool fe_is_comparison(const struct fe_expr *e)
{
    return e->kind == FE_BINARY &&
           (e->op == FE_GE || e->op == FE_GT || e->op == FE_LE || e->op == FE_LT);
}

void fe_sema_neuron(const struct fe_def *neuron, struct diag_list *d)
{
    struct fe_neuron n = {.def = neuron, .d = d};
    const struct fe_equation *fire = NULL;
    int charged = -1, was_reset = -1;
    fe_collect_states(&n);
    for (const struct fe_equation *q = neuron->equations; q; q = q->next) {
        switch (q->kind) {
        case FE_EQ_STATE:
            fe_check_state(&n, q);
            break;
        case FE_EQ_CHARGE:
            fe_check_order(&n, q, &charged);
            fe_check_eq(&n, q->value, false);
            break;
        case FE_EQ_RESET:
            fe_check_order(&n, q, &was_reset);
            fe_check_eq(&n, q->value, false);
            break;
        case FE_EQ_RATE:
            fe_check_eq(&n, q->value, true);
            break;
        case FE_EQ_FIRE:
            if (fire) {
                diag_error(d, q->span, "E0233", "a neuron fires on one condition");
                diag_note_add(d, fire->span, "the first one");
            }
            fire = q;
            if (!fe_is_comparison(q->value)) {
                diag_error(d, q->value->span, "E0235", "'fire' needs a comparison");
                diag_help_set(d, "for instance: fire v >= v_th;");
            } else {
                fe_check_eq(&n, q->value->left, false);
                fe_check_eq(&n, q->value->right, false);
            }
            break;
        }
    }
    if (!n.n_states || charged < 0 || !fire) {
        diag_error(d, neuron->name.span, "E0234", "neuron '%s' has no %s", neuron->name.text,
                   !n.n_states ? "state"
                   : !fire     ? "'fire' line"
                               : "'charge' line");
        diag_help_set(d, "a neuron has: state v = 0.0; charge v = …; fire v >= …; reset v = …;");
    }
}

/* ---- compilation ---- */

/* Value of an expression without state and input; false where it has one. Division by zero and
 * infinities are reported (status), the value is then 0.                                      */
static bool fe_eq_constant(struct fe_neuron *n, const struct fe_expr *e, double *out)
{
    double a = 0, b = 0;
    int i;
    uint8_t code = 0;
    *out = 0;
    switch (e->kind) {
    case FE_INT:
        *out = (double)e->i;
        return true;
    case FE_FLOAT:
        *out = e->f;
        return true;
    case FE_NAME:
        i = fe_state_index(n, e->name) >= 0 ? -1 : fe_param_index(n, e->name);
        return i >= 0 && fe_value_number(&n->values[i], out);
    case FE_UNARY:
        if (!fe_eq_constant(n, e->left, &a))
            return false;
        *out = -a;
        return true;
    case FE_BINARY:
        if (!fe_eq_constant(n, e->left, &a) || !fe_eq_constant(n, e->right, &b))
            return false;
        *out = e->op == FE_ADD ? a + b : e->op == FE_SUB ? a - b : e->op == FE_MUL ? a * b : a;
        if (e->op == FE_DIV && b != 0)
            *out = a / b;
        if ((e->op == FE_DIV && b == 0) || !isfinite(*out)) {
            if (n->status == SPK_OK)
                n->status = diag_error(n->d, e->span, "E0221",
                                       b == 0 && e->op == FE_DIV ? "division by zero"
                                                                 : "result is not a finite number");
            *out = 0;
        }
        return true;
    case FE_CALL:
        (void)fe_eq_function(e->name, &code);
        if (!fe_eq_constant(n, e->args->value, &a) ||
            (code != IR_EQ_ABS && !fe_eq_constant(n, e->args->next->value, &b)))
            return false;
        *out = code == IR_EQ_ABS ? fabs(a) : code == IR_EQ_MIN ? fmin(a, b) : fmax(a, b);
        return true;
    default:
        return false;
    }
}

static void fe_emit(struct fe_neuron *n, const struct fe_expr *e, enum ir_eq_code code, uint8_t arg,
                    double k)
{
    if (n->status != SPK_OK)
        return;
    if (n->n >= FE_EQ_CODES || n->stack > FE_EQ_STACK) {
        n->status = diag_error(n->d, e->span, "E0236", "equation is too large");
        diag_help_set(n->d, "at most %u intermediate values and %u operations", FE_EQ_STACK,
                      FE_EQ_CODES);
        return;
    }
    float value = (float)k;
    if (!isfinite(value)) {
        n->status = diag_error(n->d, e->span, "E0221", "number does not fit single precision");
        return;
    }
    n->code[n->n++] = (struct ir_eq){.code = (uint8_t)code, .arg = arg, .k = value};
}

/* Emits code for `e`; on return the stack holds one value more. */
static void fe_compile_expr(struct fe_neuron *n, const struct fe_expr *e)
{
    double k;
    uint8_t code = 0;
    if (n->status != SPK_OK)
        return;
    if (fe_eq_constant(n, e, &k)) {
        n->stack++;
        fe_emit(n, e, IR_EQ_CONST, 0, k);
        return;
    }
    switch (e->kind) {
    case FE_INPUT:
        n->stack++;
        fe_emit(n, e, IR_EQ_INPUT, 0, 0);
        return;
    case FE_NAME:
        n->stack++;
        fe_emit(n, e, IR_EQ_STATE, (uint8_t)fe_state_index(n, e->name), 0);
        return;
    case FE_UNARY:
        fe_compile_expr(n, e->left);
        fe_emit(n, e, IR_EQ_NEG, 0, 0);
        return;
    case FE_BINARY:
        fe_compile_expr(n, e->left);
        fe_compile_expr(n, e->right);
        if (e->op == FE_DIV && n->status == SPK_OK && fe_eq_constant(n, e->right, &k) &&
            (float)k == 0.0f) {
            n->status = diag_error(n->d, e->span, "E0221", "division by zero");
            return;
        }
        fe_emit(n, e,
                e->op == FE_ADD   ? IR_EQ_ADD
                : e->op == FE_SUB ? IR_EQ_SUB
                : e->op == FE_MUL ? IR_EQ_MUL
                                  : IR_EQ_DIV,
                0, 0);
        n->stack--;
        return;
    case FE_CALL:
        (void)fe_eq_function(e->name, &code);
        for (const struct fe_arg *a = e->args; a; a = a->next)
            fe_compile_expr(n, a->value);
        fe_emit(n, e, (enum ir_eq_code)code, 0, 0);
        n->stack -= code == IR_EQ_ABS ? 0u : 1u;
        return;
    default:
        n->status = SPK_ERR_INTERNAL; /* the static check lets nothing else through */
        return;
    }
}

static struct ir_expr fe_compile_eq(struct fe_neuron *n, const struct fe_expr *e)
{
    struct ir_expr out = {NULL, 0};
    n->n = n->stack = 0;
    fe_compile_expr(n, e);
    if (n->status != SPK_OK)
        return out;
    out.code = arena_memdup(n->arena, n->code, n->n * sizeof *n->code, _Alignof(struct ir_eq));
    out.n = n->n;
    if (!out.code)
        n->status = SPK_ERR_NOMEM;
    return out;
}

/* A constant in [low, high] as float. */
static float fe_compile_number(struct fe_neuron *n, const struct fe_expr *e, double low,
                               double high, const char *what)
{
    double k = 0;
    if (!fe_eq_constant(n, e, &k) && n->status == SPK_OK)
        n->status = SPK_ERR_INTERNAL;
    if (n->status == SPK_OK && !(k >= low && k <= high)) {
        n->status = diag_error(n->d, e->span, "E0237", "%s is out of range", what);
        diag_help_set(n->d, "possible are %g to %g", low, high);
    }
    return n->status == SPK_OK ? (float)k : 0.0f;
}

spk_status fe_neuron_compile(const struct fe_def *neuron, const struct fe_value *values,
                             struct arena *arena, struct diag_list *d, struct ir_neuron *out,
                             double *out_rate)
{
    struct fe_neuron n = {.def = neuron, .d = d, .arena = arena, .values = values};
    *out = (struct ir_neuron){.name = neuron->name.text, .span = neuron->name.span};
    *out_rate = 0;
    struct ir_eq code[FE_EQ_CODES];
    n.code = code;
    fe_collect_states(&n);
    out->n_states = n.n_states;
    for (const struct fe_equation *q = neuron->equations; q && n.status == SPK_OK; q = q->next) {
        int i = q->name.text ? fe_state_index(&n, q->name.text) : 0;
        switch (q->kind) {
        case FE_EQ_STATE:
            out->state_name[i] = q->name.text;
            out->state_init[i] = fe_compile_number(&n, q->value, -3.4e38, 3.4e38, "initial value");
            break;
        case FE_EQ_CHARGE:
            out->charge[i] = fe_compile_eq(&n, q->value);
            break;
        case FE_EQ_RESET:
            out->reset[i] = fe_compile_eq(&n, q->value);
            break;
        case FE_EQ_FIRE: {
            enum fe_operator op = q->value->op;
            bool swap = op == FE_LE || op == FE_LT;
            out->cmp = op == FE_GE || op == FE_LE ? IR_CMP_GE : IR_CMP_GT;
            out->fire_lhs = fe_compile_eq(&n, swap ? q->value->right : q->value->left);
            out->fire_rhs = fe_compile_eq(&n, swap ? q->value->left : q->value->right);
            break;
        }
        case FE_EQ_RATE:
            *out_rate = (double)fe_compile_number(&n, q->value, 0.0, 1.0, "firing rate");
            break;
        }
    }
    return n.status;
}
