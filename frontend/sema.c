/* Static check of blocks and models: every name is known, every call fits, every statement stands
 * where it may. What depends on values (shapes, divisibility, conditions) is checked when the model
 * is evaluated (lower_model.c).
 *
 * One walk per definition with a stack of local names; a body's names end with the body. All
 * violations are reported, until the diagnostic list is full. Cost: statements x locals.       */
#include "frontend/sema.h"

#include <string.h>

struct fe_local {
    const char *name;
    struct spk_span span;
    bool range; /* variable of a for loop */
};

struct fe_check {
    const struct fe_symbols *symbols;
    const struct fe_def *def;
    struct diag_list *d;
    VEC(struct fe_local) locals;
    bool in_body; /* past the parameters */
    uint32_t n_inputs, n_outputs;
    struct spk_span last_input;
    spk_status status; /* out of memory */
};

static struct fe_local *fe_local_find(struct fe_check *c, const char *name)
{
    for (size_t i = c->locals.len; i-- > 0;) {
        if (strcmp(c->locals.data[i].name, name) == 0)
            return &c->locals.data[i];
    }
    return NULL;
}

static void fe_local_add(struct fe_check *c, struct fe_name name, bool range)
{
    const struct fe_local *have = fe_local_find(c, name.text);
    if (have) {
        diag_error(c->d, name.span, "E0206", "'%s' is already defined", name.text);
        diag_note_add(c->d, have->span, "here");
        if (!range && c->in_body)
            diag_help_set(c->d, "to change it, write: %s = …;", name.text);
        return;
    }
    if (c->locals.len >= FE_MAX_LOCALS) {
        diag_error(c->d, name.span, "E0115", "more than %u names in one definition", FE_MAX_LOCALS);
        return;
    }
    if (vec_push(&c->locals, (struct fe_local){name.text, name.span, range}) != SPK_OK)
        c->status = SPK_ERR_NOMEM;
}

static void fe_unknown_name(struct fe_check *c, const char *name, struct spk_span span)
{
    struct name_hint best;
    name_hint_init(&best, name);
    for (size_t i = 0; i < c->locals.len && name[1]; i++)
        name_hint_offer(&best, c->locals.data[i].name);
    diag_error(c->d, span, "E0207", "unknown name '%s'", name);
    if (name_hint_best(&best))
        diag_help_set(c->d, "did you mean '%s'?", name_hint_best(&best));
    else if (fe_symbols_call(c->symbols, name).def || fe_builtin_find(name))
        diag_help_set(c->d, "'%s' is a function: call it with its arguments in parentheses", name);
}

static void fe_check_string(struct fe_check *c, const struct fe_string *s)
{
    for (const struct fe_piece *piece = s ? s->first : NULL; piece; piece = piece->next) {
        if (piece->is_name && !fe_local_find(c, piece->text))
            fe_unknown_name(c, piece->text, piece->span);
    }
}

static void fe_check_expr(struct fe_check *c, const struct fe_expr *e);

static void fe_check_axis(struct fe_check *c, const struct fe_arg *a)
{
    const struct fe_expr *e = a->value;
    if (e && e->kind == FE_NAME &&
        (strcmp(e->name, "tokens") == 0 || strcmp(e->name, "pixels") == 0 ||
         strcmp(e->name, "time") == 0))
        return;
    if (e) {
        diag_error(c->d, e->span, "E0208", "not an axis");
        diag_help_set(c->d, "axes are tokens (or pixels) and time");
    }
}

static void fe_check_call(struct fe_check *c, const struct fe_expr *e)
{
    struct fe_callee callee = fe_symbols_call(c->symbols, e->name);
    const struct fe_arg *slot[FE_MAX_FORMALS + 1] = {0};
    bool known = callee.builtin || callee.def;
    if (!known) {
        struct name_hint best;
        name_hint_init(&best, e->name);
        fe_symbols_nearest(c->symbols, &best);
        diag_error(c->d, e->op_span, "E0207", "unknown function '%s'", e->name);
        if (name_hint_best(&best))
            diag_help_set(c->d, "did you mean '%s'?", name_hint_best(&best));
        else
            diag_help_set(c->d, "define it with 'block %s(…) { … }' or import it", e->name);
    } else {
        known = fe_match_args(&callee, e, c->d, slot);
    }
    if (known && e->string && (callee.builtin || callee.def->kind == FE_NEURON)) {
        diag_error(c->d, e->string->span, "E0209", "'in' is for blocks");
        diag_help_set(c->d, "give this value its name with: as \"…\"");
    }
    fe_check_string(c, e->string);
    for (const struct fe_arg *a = e->args; a; a = a->next) {
        bool axis = false;
        for (uint32_t i = 0; known && callee.builtin && i < callee.builtin->n; i++)
            axis = axis || (slot[i] == a && callee.builtin->formal[i].kind == FE_F_AXIS);
        if (axis)
            fe_check_axis(c, a);
        else
            fe_check_expr(c, a->value);
    }
}

static void fe_check_member(struct fe_check *c, const struct fe_expr *e)
{
    static const char *const members[] = {"channels", "height", "width", "tokens"};
    struct name_hint best;
    name_hint_init(&best, e->name);
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        if (strcmp(e->name, members[i]) == 0)
            return;
        name_hint_offer(&best, members[i]);
    }
    diag_error(c->d, e->op_span, "E0210", "a tensor has no '%s'", e->name);
    if (name_hint_best(&best))
        diag_help_set(c->d, "did you mean '%s'?", name_hint_best(&best));
    else
        diag_help_set(c->d, "it has channels, height, width and tokens");
}

static void fe_check_expr(struct fe_check *c, const struct fe_expr *e)
{
    if (!e || c->status != SPK_OK || diag_limit_reached(c->d))
        return;
    switch (e->kind) {
    case FE_NAME:
        if (!fe_local_find(c, e->name))
            fe_unknown_name(c, e->name, e->span);
        return;
    case FE_INPUT:
        diag_error(c->d, e->span, "E0211", "'input' is the current of a neuron's equation");
        diag_help_set(c->d, "here, use the name that the model's input was given");
        return;
    case FE_STRING:
        fe_check_string(c, e->string);
        return;
    case FE_CALL:
        fe_check_call(c, e);
        return;
    case FE_MEMBER:
        fe_check_expr(c, e->left);
        fe_check_member(c, e);
        return;
    case FE_UNARY:
        fe_check_expr(c, e->left);
        return;
    case FE_BINARY:
        fe_check_expr(c, e->left);
        fe_check_expr(c, e->right);
        return;
    case FE_AS:
        fe_check_expr(c, e->left);
        fe_check_string(c, e->string);
        return;
    case FE_INT:
    case FE_FLOAT:
    case FE_BOOL:
        return;
    }
}

static void fe_check_body(struct fe_check *c, const struct fe_stmt *body);

static void fe_model_only(struct fe_check *c, const struct fe_stmt *s, const char *what)
{
    if (c->def->kind != FE_MODEL)
        diag_error(c->d, s->span, "E0212", "%s belongs into a model, not into a block", what);
}

static void fe_check_input(struct fe_check *c, const struct fe_stmt *s)
{
    fe_model_only(c, s, "'input'");
    for (size_t i = 0; i < 3; i++)
        fe_check_expr(c, s->shape[i]);
    fe_check_expr(c, s->limit);
    for (const struct fe_list *l = s->mean; l; l = l->next)
        fe_check_expr(c, l->value);
    for (const struct fe_list *l = s->std; l; l = l->next)
        fe_check_expr(c, l->value);
    if (s->events && s->mean) {
        diag_error(c->d, s->span, "E0213", "event frames are counts and are not normalised");
        diag_help_set(c->d, "leave out 'normalise'");
    }
    if (s->mask && s->mean)
        diag_error(c->d, s->span, "E0213", "a mask is zeros and ones and is not normalised");
    if (s->mask && !c->n_inputs) {
        diag_error(c->d, s->span, "E0213", "a mask stands behind the input that it belongs to");
        diag_help_set(c->d, "declare the frame or the frames first");
    }
    if (!s->mask && c->n_inputs++ > 0) {
        diag_error(c->d, s->span, "E0213", "a model has one input, and masks for it");
        diag_note_add(c->d, c->last_input, "the first one");
    }
    if (!s->mask)
        c->last_input = s->span;
    if (s->name.text)
        fe_local_add(c, s->name, false);
}

static void fe_check_assign(struct fe_check *c, const struct fe_stmt *s)
{
    fe_check_expr(c, s->value);
    const struct fe_local *have = fe_local_find(c, s->name.text);
    if (!have) {
        struct name_hint best;
        name_hint_init(&best, s->name.text);
        for (size_t i = 0; i < c->locals.len && s->name.text[1]; i++)
            name_hint_offer(&best, c->locals.data[i].name);
        diag_error(c->d, s->name.span, "E0207", "unknown name '%s'", s->name.text);
        if (name_hint_best(&best))
            diag_help_set(c->d, "did you mean '%s'? A new name is introduced with 'let'",
                          name_hint_best(&best));
        else
            diag_help_set(c->d, "a new name is introduced with: let %s = …;", s->name.text);
    } else if (have->range) {
        diag_error(c->d, s->name.span, "E0206", "'%s' counts a loop and cannot be changed",
                   s->name.text);
        diag_note_add(c->d, have->span, "the loop");
    }
}

static void fe_check_stmt(struct fe_check *c, const struct fe_stmt *s)
{
    size_t outer = c->locals.len;
    switch (s->kind) {
    case FE_LET:
        fe_check_expr(c, s->value);
        fe_local_add(c, s->name, false);
        return;
    case FE_ASSIGN:
        fe_check_assign(c, s);
        return;
    case FE_FOR:
        fe_check_expr(c, s->value);
        fe_check_expr(c, s->limit);
        fe_local_add(c, s->name, true);
        fe_check_body(c, s->body);
        c->locals.len = outer;
        return;
    case FE_IF:
        fe_check_expr(c, s->value);
        fe_check_body(c, s->body);
        fe_check_body(c, s->other);
        return;
    case FE_RETURN:
        if (c->def->kind == FE_MODEL) {
            diag_error(c->d, s->span, "E0212", "a model has outputs, it does not return a value");
            diag_help_set(c->d, "write: output logits = …;");
        }
        fe_check_expr(c, s->value);
        return;
    case FE_IN:
        fe_check_input(c, s);
        return;
    case FE_OUT:
        fe_model_only(c, s, "'output'");
        c->n_outputs++;
        fe_check_expr(c, s->value);
        return;
    case FE_WEIGHTS:
        fe_model_only(c, s, "'weights'");
        fe_check_string(c, s->string);
        return;
    case FE_BIND:
        fe_model_only(c, s, "'bind'");
        fe_check_string(c, s->string);
        fe_check_string(c, s->string2);
        return;
    }
}

static void fe_check_body(struct fe_check *c, const struct fe_stmt *body)
{
    size_t outer = c->locals.len;
    bool ended = false;
    for (const struct fe_stmt *s = body; s; s = s->next) {
        if (c->status != SPK_OK || diag_limit_reached(c->d))
            return;
        if (ended) {
            diag_error(c->d, s->span, "E0214", "nothing is evaluated after the result");
            return;
        }
        fe_check_stmt(c, s);
        ended = s->kind == FE_RETURN;
    }
    c->locals.len = outer;
}

/* Whether every way through a body ends with a result. */
static bool fe_returns(const struct fe_stmt *body)
{
    for (const struct fe_stmt *s = body; s; s = s->next) {
        if (s->kind == FE_RETURN)
            return true;
        if (s->kind == FE_IF && fe_returns(s->body) && fe_returns(s->other))
            return true;
    }
    return false;
}

static void fe_check_params(struct fe_check *c)
{
    uint32_t n = 0;
    bool optional = false;
    for (const struct fe_parameter *q = c->def->params; q; q = q->next) {
        if (++n >= FE_MAX_FORMALS) {
            diag_error(c->d, q->name.span, "E0115", "more than %u parameters", FE_MAX_FORMALS - 1);
            return;
        }
        struct fe_value literal;
        if (c->def->kind == FE_MODEL) {
            if (!q->value || !fe_literal(q->value, &literal) || literal.kind == FE_V_STRING) {
                diag_error(c->d, q->value ? q->value->span : q->name.span, "E0215",
                           "parameter '%s' of a model needs a number or true or false as default",
                           q->name.text);
                diag_help_set(c->d, "for instance: %s = 8", q->name.text);
            }
        } else {
            fe_check_expr(c, q->value); /* sees the parameters before it */
            if (optional && !q->value && c->def->kind == FE_BLOCK) {
                diag_error(c->d, q->name.span, "E0215",
                           "parameter '%s' without default after one with a default", q->name.text);
            }
        }
        optional = optional || q->value;
        fe_local_add(c, q->name, false);
    }
}

spk_status fe_sema(const struct fe_symbols *s, struct diag_list *d)
{
    uint32_t errors = d->error_count;
    struct fe_check c = {.symbols = s, .d = d};
    for (const struct fe_unit *unit = s->program->units; unit; unit = unit->next) {
        for (const struct fe_def *def = unit->defs; def; def = def->next) {
            if (c.status != SPK_OK || diag_limit_reached(d))
                break;
            c.def = def;
            c.n_inputs = c.n_outputs = 0;
            vec_clear(&c.locals);
            c.in_body = false;
            fe_check_params(&c);
            c.in_body = true;
            if (def->kind == FE_NEURON) {
                fe_sema_neuron(def, d);
                continue;
            }
            fe_check_body(&c, def->body);
            if (def->kind == FE_BLOCK && !fe_returns(def->body)) {
                diag_error(d, def->name.span, "E0216", "block '%s' has no result", def->name.text);
                diag_help_set(d, "end it with an expression without ';', or with 'return'");
            }
            if (def->kind == FE_MODEL && !c.n_inputs)
                diag_error(d, def->name.span, "E0213", "model '%s' has no input", def->name.text);
            if (def->kind == FE_MODEL && !c.n_outputs)
                diag_error(d, def->name.span, "E0213", "model '%s' has no output", def->name.text);
        }
    }
    vec_fini(&c.locals);
    if (c.status != SPK_OK)
        return c.status;
    return d->error_count > errors ? SPK_ERR_INPUT : SPK_OK;
}
