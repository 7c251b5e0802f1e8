/* The .sir parser: tokens, numbers, words, and the infix equations of neuron programs.
 *
 * Equations are parsed by recursive descent straight into postfix code: a binary operator is
 * emitted behind its two operands, which is how the printer reads the code back. A minus sign in
 * front of a number belongs to the number; in front of anything else it negates.
 *
 * Limits: IR_EQ_MAX_CODE codes, and twice as many open parentheses, which is what the printer can
 * need for them; deeper text is refused, so recursion is bounded.                               */
#include <math.h>
#include <string.h>

#include "ir/ir_private.h"
#include "ir/sir_parser.h"
#include "support/strbuf.h"
#include "support/vec.h"

#define MAX_NESTING (2u * IR_EQ_MAX_CODE + 2u)

void sir_advance(struct parser *p)
{
    p->last_end = p->tok.end;
    p->tok = lex_next(&p->lex);
}

struct spk_span sir_span_from(const struct parser *p, uint32_t begin)
{
    return (struct spk_span){p->lex.file, begin, p->last_end};
}

struct spk_span sir_span_here(const struct parser *p)
{
    return (struct spk_span){p->lex.file, p->tok.begin, p->tok.end};
}

spk_status sir_expected(struct parser *p, const char *what)
{
    if (p->tok.kind == LEX_BAD)
        return p->lex.status;
    return diag_error(p->d, sir_span_here(p), "E0330", "expected %s%s", what,
                      p->tok.kind == LEX_END ? ", found the end of the text" : "");
}

bool sir_at_punct(const struct parser *p, char c)
{
    return p->tok.kind == LEX_PUNCT && p->tok.punct == c;
}

bool sir_at_word(const struct parser *p, const char *word)
{
    return p->tok.kind == LEX_WORD && strcmp(p->tok.text, word) == 0;
}

bool sir_accept_punct(struct parser *p, char c)
{
    if (!sir_at_punct(p, c))
        return false;
    sir_advance(p);
    return true;
}

bool sir_accept_word(struct parser *p, const char *word)
{
    if (!sir_at_word(p, word))
        return false;
    sir_advance(p);
    return true;
}

spk_status sir_need_punct(struct parser *p, char c)
{
    const char what[] = {'\'', c, '\'', '\0'};
    return sir_accept_punct(p, c) ? SPK_OK : sir_expected(p, what);
}

spk_status sir_need_word(struct parser *p, const char *word)
{
    return sir_accept_word(p, word) ? SPK_OK : sir_expected(p, word);
}

spk_status sir_need_string(struct parser *p, const char *what, const char **out)
{
    *out = p->tok.text;
    if (p->tok.kind != LEX_STRING)
        return sir_expected(p, what);
    sir_advance(p);
    return SPK_OK;
}

spk_status sir_need_int(struct parser *p, int64_t min, int64_t max, int64_t *out)
{
    uint32_t begin = p->tok.begin;
    bool negative = sir_accept_punct(p, '-');
    *out = 0;
    if (p->tok.kind != LEX_NUMBER || !spk_parse_i64(p->tok.text, strlen(p->tok.text), out))
        return sir_expected(p, "an integer");
    sir_advance(p);
    if (negative)
        *out = -*out;
    if (*out >= min && *out <= max)
        return SPK_OK;
    return diag_error(p->d, sir_span_from(p, begin), "E0331", "must be in %lld..%lld",
                      (long long)min, (long long)max);
}

spk_status sir_need_u32(struct parser *p, uint32_t *out)
{
    int64_t v;
    SPK_TRY(sir_need_int(p, 0, UINT32_MAX, &v));
    *out = (uint32_t)v;
    return SPK_OK;
}

spk_status sir_need_float(struct parser *p, float *out)
{
    bool negative = sir_accept_punct(p, '-');
    if (sir_accept_word(p, "nan"))
        *out = NAN;
    else if (sir_accept_word(p, "inf"))
        *out = INFINITY;
    else if (p->tok.kind == LEX_NUMBER && spk_parse_f32(p->tok.text, strlen(p->tok.text), out))
        sir_advance(p);
    else
        return sir_expected(p, "a number");
    if (negative)
        *out = -*out;
    return SPK_OK;
}

spk_status sir_need_choice(struct parser *p, const char *const *words, const char *what,
                           uint32_t *out)
{
    for (uint32_t i = 0; words[i]; i++) {
        if (sir_accept_word(p, words[i])) {
            *out = i;
            return SPK_OK;
        }
    }
    return sir_expected(p, what);
}

/* ---- equations ---- */

struct equation {
    VEC(struct ir_eq) code;
    const struct ir_neuron *n;
    uint32_t n_states;
};

static spk_status emit(struct parser *p, struct equation *e, struct ir_eq code)
{
    if (e->code.len >= IR_EQ_MAX_CODE)
        return sir_expected(p, "a shorter equation");
    return vec_push(&e->code, code);
}

static spk_status expression(struct parser *p, struct equation *e);
static spk_status factor(struct parser *p, struct equation *e);

static spk_status call(struct parser *p, struct equation *e, uint8_t code, bool two)
{
    SPK_TRY(sir_need_punct(p, '('));
    SPK_TRY(expression(p, e));
    if (two) {
        SPK_TRY(sir_need_punct(p, ','));
        SPK_TRY(expression(p, e));
    }
    SPK_TRY(sir_need_punct(p, ')'));
    return emit(p, e, (struct ir_eq){code, 0, 0.0f});
}

static spk_status own_param(struct parser *p, struct equation *e)
{
    int64_t index;
    SPK_TRY(sir_need_punct(p, '('));
    SPK_TRY(sir_need_int(p, 0, IR_MAX_NEURON_PARAMS - 1, &index));
    SPK_TRY(sir_need_punct(p, ')'));
    return emit(p, e, (struct ir_eq){IR_EQ_PARAM, (uint8_t)index, 0.0f});
}

static spk_status named_state(struct parser *p, struct equation *e)
{
    for (uint32_t i = 0; i < e->n_states; i++) {
        if (!sir_at_word(p, e->n->state_name[i]))
            continue;
        sir_advance(p);
        return emit(p, e, (struct ir_eq){IR_EQ_STATE, (uint8_t)i, 0.0f});
    }
    return sir_expected(p, "a number, input, a state of this neuron, or '('");
}

static spk_status factor_inner(struct parser *p, struct equation *e)
{
    struct ir_eq leaf = {IR_EQ_CONST, 0, 0.0f};
    if (sir_accept_punct(p, '(')) {
        SPK_TRY(expression(p, e));
        return sir_need_punct(p, ')');
    }
    if (sir_at_punct(p, '-')) {
        sir_advance(p);
        if (p->tok.kind == LEX_NUMBER || sir_at_word(p, "inf")) {
            SPK_TRY(sir_need_float(p, &leaf.k));
            leaf.k = -leaf.k;
            return emit(p, e, leaf);
        }
        SPK_TRY(factor(p, e));
        return emit(p, e, (struct ir_eq){IR_EQ_NEG, 0, 0.0f});
    }
    if (p->tok.kind == LEX_NUMBER || sir_at_word(p, "nan") || sir_at_word(p, "inf")) {
        SPK_TRY(sir_need_float(p, &leaf.k));
        return emit(p, e, leaf);
    }
    if (p->tok.kind == LEX_STATE) {
        leaf = (struct ir_eq){IR_EQ_STATE, (uint8_t)p->tok.number, 0.0f};
        if (p->tok.number >= e->n_states)
            return sir_expected(p, "a state of this neuron");
        sir_advance(p);
        return emit(p, e, leaf);
    }
    if (sir_accept_word(p, "input"))
        return emit(p, e, (struct ir_eq){IR_EQ_INPUT, 0, 0.0f});
    if (sir_accept_word(p, "min"))
        return call(p, e, IR_EQ_MIN, true);
    if (sir_accept_word(p, "max"))
        return call(p, e, IR_EQ_MAX, true);
    if (sir_accept_word(p, "abs"))
        return call(p, e, IR_EQ_ABS, false);
    if (sir_accept_word(p, "param"))
        return own_param(p, e);
    return named_state(p, e);
}

static spk_status factor(struct parser *p, struct equation *e)
{
    if (++p->nesting > MAX_NESTING)
        return sir_expected(p, "less nesting");
    SPK_TRY(factor_inner(p, e));
    p->nesting--;
    return SPK_OK;
}

static spk_status product(struct parser *p, struct equation *e)
{
    SPK_TRY(factor(p, e));
    while (sir_at_punct(p, '*') || sir_at_punct(p, '/')) {
        uint8_t code = sir_at_punct(p, '*') ? IR_EQ_MUL : IR_EQ_DIV;
        sir_advance(p);
        SPK_TRY(factor(p, e));
        SPK_TRY(emit(p, e, (struct ir_eq){code, 0, 0.0f}));
    }
    return SPK_OK;
}

static spk_status expression(struct parser *p, struct equation *e)
{
    SPK_TRY(product(p, e));
    while (sir_at_punct(p, '+') || sir_at_punct(p, '-')) {
        uint8_t code = sir_at_punct(p, '+') ? IR_EQ_ADD : IR_EQ_SUB;
        sir_advance(p);
        SPK_TRY(product(p, e));
        SPK_TRY(emit(p, e, (struct ir_eq){code, 0, 0.0f}));
    }
    return SPK_OK;
}

/* One equation, copied to the arena. */
spk_status sir_equation(struct parser *p, const struct ir_neuron *n, struct ir_expr *out)
{
    struct equation e = {{0}, n, n->n_states};
    uint32_t begin = p->tok.begin;
    p->nesting = 0;
    spk_status s = expression(p, &e);
    if (s == SPK_OK) {
        out->code = arena_memdup(&p->arena, e.code.data, e.code.len * sizeof *e.code.data,
                                 _Alignof(struct ir_eq));
        out->n = (uint32_t)e.code.len;
        if (!out->code)
            s = SPK_ERR_NOMEM;
        else if (!ir_expr_valid(out, n->n_states))
            s = diag_error(p->d, sir_span_from(p, begin), "E0313",
                           "equation needs more than %u values at a time", IR_EQ_MAX_DEPTH);
    }
    vec_fini(&e.code);
    return s;
}
