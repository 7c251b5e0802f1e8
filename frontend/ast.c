/* Constructors of the syntax tree. Every node is zeroed arena memory; a failed one sets the
 * parser's status, which makes the lexer hand out the end of the file, so that parsing stops
 * soon.                                                                                       */
#include "frontend/ast.h"

#include <string.h>

void fe_program_init(struct fe_program *p)
{
    arena_init(&p->arena, 0);
    p->units = NULL;
}

void fe_program_fini(struct fe_program *p)
{
    arena_fini(&p->arena);
    p->units = NULL;
}

const char *fe_operator_text(enum fe_operator op)
{
    static const char *const text[] = {"+",   "-",  "*",  "/",  "%", "**", "-", "not",
                                       "and", "or", "==", "!=", "<", "<=", ">", ">="};
    return text[op];
}

static void *fe_fail(struct fe_parser *p)
{
    if (p->status == SPK_OK)
        p->status = SPK_ERR_NOMEM;
    return NULL;
}

static void *fe_too_deep(struct fe_parser *p, struct spk_span span)
{
    if (p->status == SPK_OK) {
        p->status = diag_error(p->diags, span, "E0110", "nested too deeply");
        diag_help_set(p->diags, "at most %u levels; give intermediate results names with 'let'",
                      FE_MAX_DEPTH);
    }
    return NULL;
}

static uint16_t fe_depth(const struct fe_expr *e)
{
    return e ? e->depth : 0;
}

struct fe_expr *fe_new_expr(struct fe_parser *p, enum fe_expr_kind kind, struct spk_span span)
{
    struct fe_expr *e = ARENA_NEW(&p->program->arena, struct fe_expr);
    if (!e)
        return fe_fail(p);
    e->kind = kind;
    e->span = e->op_span = span;
    e->depth = 1;
    return e;
}

/* Sets the depth of `e` from its children; NULL when it is too deep. */
static struct fe_expr *fe_nest(struct fe_parser *p, struct fe_expr *e, uint16_t deepest)
{
    if (deepest >= FE_MAX_DEPTH)
        return fe_too_deep(p, e->span);
    e->depth = (uint16_t)(deepest + 1);
    return e;
}

struct fe_expr *fe_new_number(struct fe_parser *p, struct spk_span span, bool is_float)
{
    struct fe_expr *e = fe_new_expr(p, is_float ? FE_FLOAT : FE_INT, span);
    if (!e)
        return NULL;
    const char *text = p->text + span.begin;
    size_t length = span.end - span.begin;
    bool valid = is_float ? spk_parse_f64(text, length, &e->f) : spk_parse_i64(text, length, &e->i);
    if (!valid) {
        diag_error(p->diags, span, "E0106", "number is out of range");
        diag_help_set(p->diags, is_float ? "decimal numbers reach to about 1.8e308"
                                         : "whole numbers reach to 9223372036854775807");
    }
    return e;
}

struct fe_expr *fe_new_binary(struct fe_parser *p, enum fe_operator op, struct fe_expr *left,
                              struct spk_span op_span, struct fe_expr *right)
{
    if (!left || !right)
        return NULL;
    struct fe_expr *e = fe_new_expr(p, FE_BINARY, spk_span_join(left->span, right->span));
    if (!e)
        return NULL;
    e->op = op;
    e->op_span = op_span;
    e->left = left;
    e->right = right;
    return fe_nest(p, e, left->depth > right->depth ? left->depth : right->depth);
}

struct fe_expr *fe_new_unary(struct fe_parser *p, enum fe_operator op, struct spk_span op_span,
                             struct fe_expr *operand)
{
    if (!operand)
        return NULL;
    struct fe_expr *e = fe_new_expr(p, FE_UNARY, spk_span_join(op_span, operand->span));
    if (!e)
        return NULL;
    e->op = op;
    e->op_span = op_span;
    e->left = operand;
    return fe_nest(p, e, operand->depth);
}

struct fe_expr *fe_new_call(struct fe_parser *p, struct fe_name name, struct fe_arg *args,
                            struct fe_string *scope, struct spk_span span)
{
    struct fe_expr *e = fe_new_expr(p, FE_CALL, span);
    if (!e)
        return NULL;
    e->name = name.text;
    e->op_span = name.span;
    e->args = args;
    e->string = scope;
    uint16_t deepest = 0;
    for (const struct fe_arg *a = args; a; a = a->next)
        deepest = fe_depth(a->value) > deepest ? fe_depth(a->value) : deepest;
    return fe_nest(p, e, deepest);
}

struct fe_expr *fe_new_member(struct fe_parser *p, struct fe_expr *left, struct fe_name name)
{
    if (!left)
        return NULL;
    struct fe_expr *e = fe_new_expr(p, FE_MEMBER, spk_span_join(left->span, name.span));
    if (!e)
        return NULL;
    e->left = left;
    e->name = name.text;
    e->op_span = name.span;
    return fe_nest(p, e, left->depth);
}

struct fe_expr *fe_new_as(struct fe_parser *p, struct fe_expr *left, struct fe_string *name)
{
    if (!left || !name)
        return NULL;
    struct fe_expr *e = fe_new_expr(p, FE_AS, spk_span_join(left->span, name->span));
    if (!e)
        return NULL;
    e->left = left;
    e->string = name;
    e->op_span = name->span;
    return fe_nest(p, e, left->depth);
}

struct fe_arg *fe_new_arg(struct fe_parser *p, struct fe_name name, struct fe_expr *value)
{
    struct fe_arg *a = ARENA_NEW(&p->program->arena, struct fe_arg);
    if (!a)
        return fe_fail(p);
    a->name = name;
    a->value = value;
    return a;
}

struct fe_list *fe_new_list(struct fe_parser *p, struct fe_expr *value)
{
    struct fe_list *l = ARENA_NEW(&p->program->arena, struct fe_list);
    if (!l)
        return fe_fail(p);
    l->value = value;
    return l;
}

struct fe_name fe_new_name(struct fe_parser *p, struct spk_span span)
{
    struct fe_name name = {NULL, span};
    name.text = arena_strndup(&p->program->arena, p->text + span.begin, span.end - span.begin);
    if (!name.text)
        fe_fail(p);
    return name;
}

struct fe_stmt *fe_new_stmt(struct fe_parser *p, enum fe_stmt_kind kind, struct spk_span span)
{
    struct fe_stmt *s = ARENA_NEW(&p->program->arena, struct fe_stmt);
    if (!s)
        return fe_fail(p);
    s->kind = kind;
    s->span = span;
    s->depth = 1;
    return s;
}

struct fe_stmt *fe_new_value(struct fe_parser *p, enum fe_stmt_kind kind, struct spk_span span,
                             struct fe_name name, struct fe_expr *value)
{
    struct fe_stmt *s = fe_new_stmt(p, kind, span);
    if (!s)
        return NULL;
    s->name = name;
    s->value = value;
    return s;
}

struct fe_stmt *fe_stmt_nest(struct fe_parser *p, struct fe_stmt *s, struct fe_stmt *body,
                             struct fe_stmt *other)
{
    uint16_t deepest = 0;
    s->body = body;
    s->other = other;
    for (const struct fe_stmt *c = body; c; c = c->next)
        deepest = c->depth > deepest ? c->depth : deepest;
    for (const struct fe_stmt *c = other; c; c = c->next)
        deepest = c->depth > deepest ? c->depth : deepest;
    if (deepest >= FE_MAX_DEPTH)
        return fe_too_deep(p, s->span);
    s->depth = (uint16_t)(deepest + 1);
    return s;
}

struct fe_parameter *fe_new_parameter(struct fe_parser *p, struct fe_name name,
                                      struct fe_expr *value)
{
    struct fe_parameter *q = ARENA_NEW(&p->program->arena, struct fe_parameter);
    if (!q || !name.text)
        return fe_fail(p);
    q->name = name;
    q->value = value;
    return q;
}

struct fe_equation *fe_new_equation(struct fe_parser *p, enum fe_equation_kind kind,
                                    struct fe_name name, struct fe_expr *value,
                                    struct spk_span span)
{
    struct fe_equation *q = ARENA_NEW(&p->program->arena, struct fe_equation);
    if (!q)
        return fe_fail(p);
    q->kind = kind;
    q->name = name;
    q->value = value;
    q->span = span;
    return value ? q : NULL;
}

void fe_add_import(struct fe_parser *p, struct fe_string *path, struct spk_span span)
{
    struct fe_import *i = ARENA_NEW(&p->program->arena, struct fe_import);
    if (!i || !path) {
        fe_fail(p);
        return;
    }
    i->path = path;
    i->span = span;
    if (p->unit->last_import)
        p->unit->last_import->next = i;
    else
        p->unit->imports = i;
    p->unit->last_import = i;
}

void fe_add_def(struct fe_parser *p, enum fe_def_kind kind, struct fe_name name,
                struct fe_parameter *params, struct fe_equation *equations, struct fe_stmt *body,
                struct spk_span span)
{
    struct fe_def *d = ARENA_NEW(&p->program->arena, struct fe_def);
    if (!d || !name.text) {
        fe_fail(p);
        return;
    }
    d->kind = kind;
    d->name = name;
    d->params = params;
    d->equations = equations;
    d->body = body;
    d->span = span;
    d->unit = p->unit;
    if (p->unit->last_def)
        p->unit->last_def->next = d;
    else
        p->unit->defs = d;
    p->unit->last_def = d;
}

/* ---- strings ---- */

static struct fe_piece *fe_add_piece(struct fe_parser *p, struct fe_piece ***end, const char *text,
                                     size_t length, bool is_name, struct spk_span span)
{
    struct fe_piece *piece = ARENA_NEW(&p->program->arena, struct fe_piece);
    if (piece)
        piece->text = arena_strndup(&p->program->arena, text, length);
    if (!piece || !piece->text)
        return fe_fail(p);
    piece->is_name = is_name;
    piece->span = span;
    **end = piece;
    *end = &piece->next;
    return piece;
}

static size_t fe_name_length(const char *text, size_t length)
{
    size_t n = 0;
    while (n < length &&
           (text[n] == '_' || (text[n] >= 'a' && text[n] <= 'z') ||
            (text[n] >= 'A' && text[n] <= 'Z') || (n > 0 && text[n] >= '0' && text[n] <= '9')))
        n++;
    return n;
}

struct fe_string *fe_new_string(struct fe_parser *p, struct spk_span span)
{
    struct fe_string *s = ARENA_NEW(&p->program->arena, struct fe_string);
    if (!s)
        return fe_fail(p);
    s->span = span;
    struct fe_piece **end = &s->first;
    const char *text = p->text;
    uint32_t at = span.begin + 1;
    uint32_t stop = span.end > at && text[span.end - 1] == '"' ? span.end - 1 : span.end;
    uint32_t plain = at;
    while (at < stop) {
        char c = text[at];
        bool brace = c == '{' || c == '}';
        if (brace && at + 1 < stop && text[at + 1] == c) { /* {{ or }}: keep one of them */
            if (!fe_add_piece(p, &end, text + plain, at + 1 - plain, false, span))
                return NULL;
            plain = at += 2;
            continue;
        }
        if (!brace) {
            at++;
            continue;
        }
        if (at > plain && !fe_add_piece(p, &end, text + plain, at - plain, false, span))
            return NULL;
        size_t length = fe_name_length(text + at + 1, stop - at - 1);
        uint32_t close = at + 1 + (uint32_t)length;
        struct spk_span place = {span.file, at, close < stop ? close + 1 : stop};
        if (c == '}' || length == 0 || close >= stop || text[close] != '}') {
            diag_error(p->diags, place, "E0107", "a brace in a string encloses one name");
            diag_help_set(p->diags, "write {name} to insert a value, {{ and }} for plain braces");
            plain = at += 1;
            continue;
        }
        if (!fe_add_piece(p, &end, text + at + 1, length, true, place))
            return NULL;
        plain = at = close + 1;
    }
    if (stop > plain && !fe_add_piece(p, &end, text + plain, stop - plain, false, span))
        return NULL;
    if (!s->first && !fe_add_piece(p, &end, "", 0, false, span))
        return NULL;
    return s;
}

const char *fe_string_plain(const struct fe_string *s)
{
    return s->first && !s->first->next && !s->first->is_name ? s->first->text : NULL;
}
