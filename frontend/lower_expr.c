/* Evaluation of expressions: constants are folded, calls of built-in functions and neurons add
 * nodes, calls of blocks run their bodies (lower_model.c).
 *
 * An error gives the value FE_V_ERROR, which silences what depends on it; inside blocks it carries
 * the chain of calls as notes. Variables live on one stack; a block sees its own only.
 * A name (`as "…"`) is handed down as a hint to the operation that makes the value, so that the
 * weights of a layer can carry it.                                                            */
#include <string.h>

#include "frontend/lower.h"

/* ---- errors ---- */

void fe_note_calls(struct fe_eval *ev)
{
    enum { INNER = 4, OUTER = 3 }; /* shown of a long chain */
    uint32_t total = ev->frame ? ev->frame->depth : 0, i = 0;
    for (const struct fe_frame *f = ev->frame; f && f->parent; f = f->parent, i++) {
        if (i < INNER || i + OUTER >= total)
            diag_note_add(ev->d, f->call, "in block '%s' called here", f->def->name.text);
        else if (i == INNER)
            diag_note_add(ev->d, f->call, "… %u more calls …", total - INNER - OUTER);
    }
}

spk_status fe_error(struct fe_eval *ev, struct spk_span span, const char *code, const char *format,
                    ...)
{
    va_list arguments;
    va_start(arguments, format);
    diag_vreport(ev->d, DIAG_ERROR, SPK_ERR_INPUT, span, code, format, arguments);
    va_end(arguments);
    fe_note_calls(ev);
    return SPK_OK;
}

spk_status fe_stop(struct fe_eval *ev, struct spk_span span, const char *code, const char *format,
                   ...)
{
    va_list arguments;
    va_start(arguments, format);
    diag_vreport(ev->d, DIAG_ERROR, SPK_ERR_INPUT, span, code, format, arguments);
    va_end(arguments);
    fe_note_calls(ev);
    return SPK_ERR_INPUT;
}

spk_status fe_step(struct fe_eval *ev, struct spk_span span)
{
    if (ev->d->out_of_memory)
        return SPK_ERR_NOMEM;
    if (++ev->steps <= FE_MAX_STEPS)
        return SPK_OK;
    return fe_stop(ev, span, "E0254", "the model takes too long to evaluate");
}

/* ---- variables ---- */

struct fe_value *fe_variable(struct fe_eval *ev, const char *name)
{
    for (size_t i = ev->variables.len; i-- > ev->frame->base;) {
        if (strcmp(ev->variables.data[i].name, name) == 0)
            return &ev->variables.data[i].value;
    }
    return NULL;
}

spk_status fe_define(struct fe_eval *ev, const char *name, const struct fe_value *value)
{
    return vec_push(&ev->variables, (struct fe_variable){name, *value});
}

/* ---- expressions ---- */

static const struct fe_hint no_hint;

spk_status fe_rename(struct fe_eval *ev, const struct fe_value *v, const struct fe_hint *hint)
{
    bool taken = false;
    if (v->kind == FE_V_ERROR || !hint->text)
        return SPK_OK;
    if (v->kind != FE_V_TENSOR)
        return fe_error(ev, hint->span, "E0256", "only tensors have names, this is %s",
                        fe_value_kind_name(v->kind));
    struct ir_node *node = &ev->m->node[v->node];
    if (node->op == IR_OP_REPEAT || node->op == IR_OP_INPUT)
        return fe_error(ev, hint->span, "E0256", "the input has its name already");
    if (node->name) {
        fe_error(ev, hint->span, "E0256", "this value is called '%s' already", node->name);
        diag_note_add(ev->d, node->span, "here");
        return SPK_OK;
    }
    SPK_TRY(fe_take_name(ev, hint->text, false, hint->span, &taken));
    if (!taken)
        return SPK_OK;
    node->name = arena_strdup(&ev->m->arena, hint->text);
    node->recorded = node->type.kind == IR_SPIKE || node->type.kind == IR_COUNT;
    return node->name ? SPK_OK : SPK_ERR_NOMEM;
}

static spk_status fe_eval_as(struct fe_eval *ev, const struct fe_expr *e,
                             const struct fe_hint *outer, struct fe_value *out)
{
    struct fe_hint hint = {NULL, e->string->span};
    const char *local = NULL;
    SPK_TRY(fe_interpolate(ev, e->string, &local));
    if (local)
        SPK_TRY(fe_join(ev, ev->frame->scope, local, e->string->span, &hint.text));
    if (outer->text && local) {
        fe_error(ev, outer->span, "E0256", "this value is given two names");
        diag_note_add(ev->d, e->string->span, "the other one");
        hint = no_hint;
    }
    return fe_eval_expr(ev, e->left, &hint, out);
}

/* Value of a formal that was left out. */
static struct fe_value fe_default(const struct fe_formal *f, const struct fe_value *values)
{
    if (f->same_as)
        return values[f->same_as];
    switch (f->kind) {
    case FE_F_INT:
        return (struct fe_value){.kind = FE_V_INT, .i = (int64_t)f->number};
    case FE_F_BOOL:
        return (struct fe_value){.kind = FE_V_BOOL, .b = f->number > 0};
    case FE_F_STRING:
        return (struct fe_value){.kind = FE_V_STRING, .text = f->text};
    default:
        return (struct fe_value){.kind = FE_V_FLOAT, .f = f->number};
    }
}

static bool fe_fits(enum fe_formal_kind want, enum fe_value_kind have)
{
    switch (want) {
    case FE_F_TENSOR:
        return have == FE_V_TENSOR;
    case FE_F_INT:
        return have == FE_V_INT;
    case FE_F_BOOL:
        return have == FE_V_BOOL;
    case FE_F_STRING:
        return have == FE_V_STRING;
    case FE_F_FLOAT:
    case FE_F_NUMBER:
        return have == FE_V_INT || have == FE_V_FLOAT;
    default:
        return true;
    }
}

static const char *fe_formal_kind_name(enum fe_formal_kind kind)
{
    static const char *const names[] = {"anything",      "a tensor", "a whole number", "a number",
                                        "true or false", "a string", "a number",       "an axis"};
    return names[kind];
}

bool fe_check_kind(struct fe_eval *ev, enum fe_formal_kind want, const struct fe_value *v,
                   const char *name, struct spk_span span)
{
    if (v->kind == FE_V_ERROR)
        return false;
    if (fe_fits(want, v->kind))
        return true;
    fe_error(ev, span, "E0260", "'%s' must be %s, this is %s", name, fe_formal_kind_name(want),
             fe_value_kind_name(v->kind));
    return false;
}

static spk_status fe_eval_builtin(struct fe_eval *ev, const struct fe_builtin *b,
                                  const struct fe_expr *e, const struct fe_arg *const *slot,
                                  const struct fe_hint *hint, struct fe_value *out)
{
    struct fe_value values[8];
    bool fine = true;
    for (uint32_t i = 0; i < b->n; i++) {
        const struct fe_formal *f = &b->formal[i];
        if (f->kind == FE_F_AXIS)
            continue;
        if (!slot[i]) {
            values[i] = fe_default(f, values);
            continue;
        }
        SPK_TRY(fe_eval_expr(ev, slot[i]->value, &no_hint, &values[i]));
        fine = fe_check_kind(ev, f->kind, &values[i], f->name, slot[i]->value->span) && fine;
    }
    if (!fine)
        return SPK_OK;
    return fe_call_builtin(ev, b, e, values, slot, hint, out);
}

/* Evaluates the arguments of a call of `def` in the caller's frame, then enters `frame`, in which
 * defaults are evaluated (they see the parameters before them) and the parameters defined.
 * values[] and slot[] have one entry per parameter. Left with fe_leave, also after errors.    */
static spk_status fe_enter(struct fe_eval *ev, const struct fe_def *def,
                           const struct fe_arg *const *slot, struct fe_frame *frame,
                           struct fe_value *values)
{
    uint32_t n = 0;
    for (const struct fe_parameter *q = def->params; q; q = q->next, n++) {
        values[n] = (struct fe_value){.kind = FE_V_ERROR};
        if (slot[n])
            SPK_TRY(fe_eval_expr(ev, slot[n]->value, &no_hint, &values[n]));
    }
    frame->parent = ev->frame;
    frame->def = def;
    frame->depth = ev->frame->depth + 1;
    frame->base = ev->variables.len;
    ev->frame = frame;
    n = 0;
    for (const struct fe_parameter *q = def->params; q; q = q->next, n++) {
        if (!slot[n])
            SPK_TRY(fe_eval_expr(ev, q->value, &no_hint, &values[n]));
        SPK_TRY(fe_define(ev, q->name.text, &values[n]));
    }
    return SPK_OK;
}

static void fe_leave(struct fe_eval *ev, const struct fe_frame *frame)
{
    if (ev->frame != frame)
        return; /* it was never entered */
    ev->variables.len = frame->base;
    ev->frame = frame->parent;
}

static spk_status fe_eval_neuron(struct fe_eval *ev, const struct fe_def *neuron,
                                 const struct fe_expr *e, const struct fe_arg *const *slot,
                                 const struct fe_hint *hint, struct fe_value *out)
{
    struct fe_value values[FE_MAX_FORMALS + 1];
    struct fe_frame frame = {.call = e->span, .scope = ""};
    uint32_t n = 1;
    SPK_TRY(fe_eval_expr(ev, slot[0]->value, &no_hint, &values[0]));
    bool fine = fe_check_kind(ev, FE_F_TENSOR, &values[0], "input", slot[0]->value->span);
    spk_status status = fe_enter(ev, neuron, slot + 1, &frame, values + 1);
    fe_leave(ev, &frame);
    SPK_TRY(status);
    for (const struct fe_parameter *q = neuron->params; q; q = q->next, n++) {
        const struct fe_expr *value = slot[n] ? slot[n]->value : q->value;
        fine = fe_check_kind(ev, FE_F_NUMBER, &values[n], q->name.text, value->span) && fine;
    }
    return fine ? fe_call_neuron(ev, neuron, e, values, n, hint, out) : SPK_OK;
}

static spk_status fe_eval_block(struct fe_eval *ev, const struct fe_def *block,
                                const struct fe_expr *e, const struct fe_arg *const *slot,
                                const struct fe_hint *hint, struct fe_value *out)
{
    struct fe_value values[FE_MAX_FORMALS + 1];
    struct fe_frame frame = {.call = e->op_span, .scope = ev->frame->scope, .hint = *hint};
    if (ev->frame->depth >= FE_MAX_CALLS) {
        SPK_TRY(fe_stop(ev, e->span, "E0254", "blocks are nested more than %u deep", FE_MAX_CALLS));
    }
    if (e->string) {
        const char *local = NULL;
        SPK_TRY(fe_interpolate(ev, e->string, &local));
        if (!local)
            return SPK_OK;
        SPK_TRY(fe_join(ev, ev->frame->scope, local, e->string->span, &frame.scope));
    }
    spk_status status = fe_enter(ev, block, slot, &frame, values);
    if (status == SPK_OK)
        status = fe_run(ev, block->body);
    fe_leave(ev, &frame);
    *out = frame.result;
    return status;
}

static spk_status fe_eval_call(struct fe_eval *ev, const struct fe_expr *e,
                               const struct fe_hint *hint, struct fe_value *out)
{
    struct fe_callee callee = fe_symbols_call(ev->symbols, e->name);
    const struct fe_arg *slot[FE_MAX_FORMALS + 1];
    if (!fe_match_args(&callee, e, ev->d, slot))
        return SPK_ERR_INTERNAL; /* the static check lets only matching calls through */
    if (callee.builtin)
        return fe_eval_builtin(ev, callee.builtin, e, slot, hint, out);
    if (callee.def->kind == FE_NEURON)
        return fe_eval_neuron(ev, callee.def, e, slot, hint, out);
    return fe_eval_block(ev, callee.def, e, slot, hint, out);
}

static spk_status fe_eval_member(struct fe_eval *ev, const struct fe_expr *e, struct fe_value *out)
{
    struct fe_value left;
    SPK_TRY(fe_eval_expr(ev, e->left, &no_hint, &left));
    if (left.kind == FE_V_ERROR)
        return SPK_OK;
    if (left.kind != FE_V_TENSOR)
        return fe_error(ev, e->span, "E0260", "only tensors have a shape, this is %s",
                        fe_value_kind_name(left.kind));
    const struct ir_type *t = &ev->m->node[left.node].type;
    bool image = t->layout == IR_CHW;
    out->kind = FE_V_INT;
    if (strcmp(e->name, "channels") == 0)
        out->i = t->channels;
    else if (strcmp(e->name, "tokens") == 0)
        out->i = (int64_t)ir_type_positions(t);
    else if (image)
        out->i = strcmp(e->name, "height") == 0 ? t->height : t->width;
    else
        *out = (struct fe_value){.kind = FE_V_ERROR};
    if (out->kind == FE_V_ERROR) {
        fe_error(ev, e->op_span, "E0262", "tokens have no %s", e->name);
        diag_help_set(ev->d, "they have channels and tokens");
    }
    return SPK_OK;
}

static spk_status fe_eval_binary(struct fe_eval *ev, const struct fe_expr *e,
                                 const struct fe_hint *hint, struct fe_value *out)
{
    struct fe_value a, b;
    SPK_TRY(fe_eval_expr(ev, e->left, &no_hint, &a));
    if (e->kind == FE_BINARY) {
        /* `and` and `or` look at the right side only where it matters. */
        if (a.kind == FE_V_BOOL && ((e->op == FE_AND && !a.b) || (e->op == FE_OR && a.b))) {
            *out = a;
            return fe_rename(ev, out, hint);
        }
        SPK_TRY(fe_eval_expr(ev, e->right, &no_hint, &b));
        if (e->op == FE_ADD && a.kind == FE_V_TENSOR && b.kind == FE_V_TENSOR)
            return fe_add_tensors(ev, e, a.node, b.node, hint, out);
    }
    if (!fe_fold(e, &a, e->kind == FE_BINARY ? &b : NULL, ev->d, out))
        fe_note_calls(ev);
    return fe_rename(ev, out, hint);
}

static spk_status fe_eval_leaf(struct fe_eval *ev, const struct fe_expr *e,
                               const struct fe_hint *hint, struct fe_value *out)
{
    const struct fe_value *v;
    switch (e->kind) {
    case FE_STRING:
        out->kind = FE_V_STRING;
        SPK_TRY(fe_interpolate(ev, e->string, &out->text));
        out->kind = out->text ? FE_V_STRING : FE_V_ERROR;
        break;
    case FE_NAME:
        v = fe_variable(ev, e->name);
        if (!v)
            return SPK_ERR_INTERNAL; /* the static check knows every name */
        *out = *v;
        break;
    default:
        if (!fe_literal(e, out))
            return SPK_ERR_INTERNAL;
        break;
    }
    return fe_rename(ev, out, hint);
}

spk_status fe_eval_expr(struct fe_eval *ev, const struct fe_expr *e, const struct fe_hint *hint,
                        struct fe_value *out)
{
    spk_status status;
    *out = (struct fe_value){.kind = FE_V_ERROR};
    SPK_TRY(fe_step(ev, e->span));
    if (++ev->nesting > FE_MAX_NESTING)
        return fe_stop(ev, e->span, "E0254", "nested too deeply");
    switch (e->kind) {
    case FE_CALL:
        status = fe_eval_call(ev, e, hint, out);
        break;
    case FE_MEMBER:
        status = fe_eval_member(ev, e, out);
        status = status == SPK_OK ? fe_rename(ev, out, hint) : status;
        break;
    case FE_UNARY:
    case FE_BINARY:
        status = fe_eval_binary(ev, e, hint, out);
        break;
    case FE_AS:
        status = fe_eval_as(ev, e, hint, out);
        break;
    default:
        status = fe_eval_leaf(ev, e, hint, out);
        break;
    }
    ev->nesting--;
    return status;
}
