/* Formatter of .spk texts.
 *
 * Works on tokens, not on the tree: the output has exactly the tokens and comments of the input,
 * so it means the same, and only blanks and line breaks change. A line ends behind '{', ';' and
 * '}' and behind a comment; '{ … }' that stood on one line stays on it. Breaks that the author put
 * inside a statement stay, indented one tab per open bracket, or by one where none is open. Empty
 * lines are kept, at most one in a row, and one separates definitions.
 *
 * Idempotent: every decision depends on the tokens and on whether a break stood between two of
 * them, and both are the same in the output. Cost: linear. Lines are not wrapped.              */
#include <string.h>

#include "frontend/ast.h"
#include "frontend/model.h"
#include "spk_parser.tab.h"

struct fe_fmt {
    const char *text;
    const struct fe_token *tokens;
    size_t n;
    struct strbuf *out;
    VEC(uint8_t) braces;    /* open braces: 1 = on one line */
    VEC(uint32_t) brackets; /* saved number of open brackets for each brace */
    uint32_t open;          /* brackets open since the last brace */
    spk_status status;
};

static uint32_t fe_newlines(const struct fe_fmt *f, size_t i)
{
    uint32_t n = 0;
    for (uint32_t at = i ? f->tokens[i - 1].end : 0; at < f->tokens[i].begin; at++)
        n += f->text[at] == '\n';
    return n;
}

/* Whether the brace at i closes before the line ends. */
static bool fe_is_flat(const struct fe_fmt *f, size_t i)
{
    uint32_t depth = 1;
    for (size_t k = i + 1; k < f->n; k++) {
        if (f->tokens[k].kind == FE_COMMENT || fe_newlines(f, k) > 0)
            return false;
        depth += f->tokens[k].kind == '{';
        depth -= f->tokens[k].kind == '}';
        if (depth == 0)
            return true;
    }
    return false;
}

static bool fe_in_flat(const struct fe_fmt *f)
{
    return f->braces.len > 0 && f->braces.data[f->braces.len - 1];
}

static bool fe_ends_operand(int kind)
{
    return kind == TOK_NAME || kind == TOK_INT || kind == TOK_FLOAT || kind == TOK_STRING ||
           kind == TOK_TRUE || kind == TOK_FALSE || kind == TOK_INPUT || kind == ')' || kind == ']';
}

/* Whether the token at i is a sign rather than an operator between two operands. */
static bool fe_is_sign(const struct fe_fmt *f, size_t i)
{
    if (f->tokens[i].kind != '-')
        return false;
    while (i > 0 && f->tokens[i - 1].kind == FE_COMMENT)
        i--;
    return i == 0 || !fe_ends_operand(f->tokens[i - 1].kind);
}

/* Whether a blank stands between the tokens i - 1 and i of one line. */
static bool fe_spaced(const struct fe_fmt *f, size_t i)
{
    int before = f->tokens[i - 1].kind, now = f->tokens[i].kind;
    if (now == FE_COMMENT)
        return true;
    if (now == ')' || now == ']' || now == ',' || now == ';' || now == '.' || before == '(' ||
        before == '[' || before == '.')
        return false;
    if ((now == '(' || now == '[') && before == TOK_NAME)
        return false;
    if (before == '{' && now == '}')
        return false;
    return !fe_is_sign(f, i - 1);
}

/* Number of line breaks before the token at i: 0, 1, or 2 for an empty line between. */
static uint32_t fe_breaks(const struct fe_fmt *f, size_t i)
{
    int before = f->tokens[i - 1].kind, now = f->tokens[i].kind;
    uint32_t have = fe_newlines(f, i);
    bool top = f->braces.len == 0;
    if (now == FE_COMMENT && have == 0)
        return 0; /* behind the code it is about */
    bool must = before == FE_COMMENT || (before == '{' && !fe_in_flat(f)) ||
                (before == ';' && f->open == 0 && !fe_in_flat(f)) ||
                (before == '}' && now != TOK_ELSE && !fe_in_flat(f)) ||
                (now == '}' && !fe_in_flat(f));
    if (now == '{' || (before == '}' && now == TOK_ELSE))
        return before == FE_COMMENT;
    if (!must && have == 0)
        return 0;
    if (now == '}' && before == '{' && have == 0)
        return 0;
    if (before == '{' || now == '}')
        return 1;
    if (before == '}' && top)
        return 2;
    return have > 1 && (must || now == FE_COMMENT) && f->open == 0 ? 2 : 1;
}

/* True where the token at i begins a statement or definition (rather than continuing one). */
static bool fe_begins(const struct fe_fmt *f, size_t i)
{
    while (i > 0 && f->tokens[i - 1].kind == FE_COMMENT)
        i--;
    if (i == 0 || f->open > 0)
        return i == 0;
    int before = f->tokens[i - 1].kind;
    return before == ';' || before == '{' || before == '}';
}

static void fe_indent(struct fe_fmt *f, size_t i)
{
    int now = f->tokens[i].kind;
    size_t depth = f->braces.len + f->open;
    if (now == '}' || now == ')' || now == ']')
        depth -= depth > 0;
    else if (f->open == 0 && !fe_begins(f, i) && now != '{')
        depth++;
    strbuf_repeat(f->out, '\t', depth);
}

static void fe_track(struct fe_fmt *f, size_t i)
{
    int kind = f->tokens[i].kind;
    spk_status status = SPK_OK;
    if (kind == '(' || kind == '[') {
        f->open++;
    } else if (kind == ')' || kind == ']') {
        f->open -= f->open > 0;
    } else if (kind == '{') {
        status = vec_push(&f->braces, fe_in_flat(f) || fe_is_flat(f, i));
        if (status == SPK_OK)
            status = vec_push(&f->brackets, f->open);
        f->open = 0;
    } else if (kind == '}' && f->braces.len > 0) {
        f->braces.len--;
        f->open = vec_pop(&f->brackets);
    }
    if (f->status == SPK_OK)
        f->status = status;
}

static void fe_put(struct fe_fmt *f, size_t i)
{
    const struct fe_token *t = &f->tokens[i];
    uint32_t end = t->end;
    while (t->kind == FE_COMMENT && end > t->begin &&
           (f->text[end - 1] == ' ' || f->text[end - 1] == '\t' || f->text[end - 1] == '\r'))
        end--;
    strbuf_append_n(f->out, f->text + t->begin, end - t->begin);
}

static void fe_format_tokens(struct fe_fmt *f)
{
    for (size_t i = 0; i < f->n && f->status == SPK_OK; i++) {
        uint32_t breaks = i ? fe_breaks(f, i) : 0;
        strbuf_repeat(f->out, '\n', breaks);
        if (breaks > 0)
            fe_indent(f, i);
        else if (i > 0 && fe_spaced(f, i))
            strbuf_char(f->out, ' ');
        fe_put(f, i);
        fe_track(f, i);
    }
    if (f->n > 0)
        strbuf_char(f->out, '\n');
}

spk_status fe_format(const char *name, const char *text, size_t length, struct diag_list *d,
                     struct strbuf *out)
{
    struct diag_list own;
    struct fe_program program;
    struct fe_unit *unit = NULL;
    struct fe_token_vec tokens = {0};
    diag_init(&own);
    fe_program_init(&program);
    struct diag_list *list = d ? d : &own;
    spk_status status = fe_parse_unit(&program, name, text, length, list, &unit);
    if (status == SPK_OK)
        status = fe_lex(text, length, unit->file, list, &tokens);
    if (status == SPK_OK) {
        struct fe_fmt f = {.text = text, .tokens = tokens.data, .n = tokens.len, .out = out};
        fe_format_tokens(&f);
        vec_fini(&f.braces);
        vec_fini(&f.brackets);
        status = f.status != SPK_OK ? f.status : out->status;
    }
    vec_fini(&tokens);
    fe_program_fini(&program);
    diag_fini(&own);
    return status;
}
