/* Lexer of the text form (.sir): hand-written, two characters of look-ahead, never reads behind the
 * end, no state but the position. Blanks and // comments separate tokens; line ends mean nothing.
 */
#include "ir/sir_lex.h"

#include <string.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool in_word(char c)
{
    return is_letter(c) || is_digit(c) || c == '.';
}

/* The character `ahead` of the position, NUL behind the end. */
static char peek(const struct lexer *l, uint32_t ahead)
{
    return ahead < l->length - l->at ? l->text[l->at + ahead] : '\0';
}

static struct lex_token bad(struct lexer *l, uint32_t begin, const char *message)
{
    uint32_t end = l->at < l->length ? l->at + 1 : l->at;
    struct spk_span span = {l->file, begin, end};
    l->status = diag_error(l->d, span, "E0330", "%s", message);
    return (struct lex_token){.kind = LEX_BAD, .begin = begin, .end = end};
}

static struct lex_token no_memory(struct lexer *l)
{
    l->status = SPK_ERR_NOMEM;
    return (struct lex_token){.kind = LEX_BAD};
}

static void skip_blanks(struct lexer *l)
{
    while (l->at < l->length) {
        char c = peek(l, 0);
        if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
            l->at++;
        } else if (c == '/' && peek(l, 1) == '/') {
            while (l->at < l->length && peek(l, 0) != '\n')
                l->at++;
        } else {
            return;
        }
    }
}

static struct lex_token with_text(struct lexer *l, enum lex_kind kind, uint32_t begin)
{
    struct lex_token t = {.kind = kind, .begin = begin, .end = l->at};
    t.text = arena_strndup(l->arena, l->text + begin, l->at - begin);
    return t.text ? t : no_memory(l);
}

static struct lex_token word(struct lexer *l, uint32_t begin)
{
    while (in_word(peek(l, 0)))
        l->at++;
    return with_text(l, LEX_WORD, begin);
}

static struct lex_token number(struct lexer *l, uint32_t begin)
{
    while (is_digit(peek(l, 0)))
        l->at++;
    if (peek(l, 0) == '.') {
        l->at++;
        while (is_digit(peek(l, 0)))
            l->at++;
    }
    if (peek(l, 0) == 'e' || peek(l, 0) == 'E') {
        uint32_t sign = peek(l, 1) == '+' || peek(l, 1) == '-';
        if (is_digit(peek(l, 1 + sign))) {
            l->at += 1 + sign;
            while (is_digit(peek(l, 0)))
                l->at++;
        }
    }
    if (in_word(peek(l, 0)))
        return bad(l, begin, "a number runs into a word");
    return with_text(l, LEX_NUMBER, begin);
}

/* %12, #3, $1 */
static struct lex_token numbered(struct lexer *l, enum lex_kind kind, uint32_t begin)
{
    uint64_t n = 0;
    l->at++;
    if (!is_digit(peek(l, 0)))
        return bad(l, begin, "expected digits");
    while (is_digit(peek(l, 0))) {
        n = n * 10 + (uint64_t)(peek(l, 0) - '0');
        if (n >= IR_NONE)
            return bad(l, begin, "number is too large");
        l->at++;
    }
    return (struct lex_token){.kind = kind, .number = (uint32_t)n, .begin = begin, .end = l->at};
}

/* One character behind a backslash, which stands before the position; 0 where it is none. */
static char escaped(struct lexer *l)
{
    static const char from[] = "abfnrtv\\\"'?", to[] = "\a\b\f\n\r\t\v\\\"'?";
    char c = peek(l, 0);
    const char *simple = c ? strchr(from, c) : NULL;
    if (simple) {
        l->at++;
        return to[simple - from];
    }
    uint32_t value = 0, digits = 0;
    while (digits < 3 && peek(l, 0) >= '0' && peek(l, 0) <= '7') {
        value = value * 8 + (uint32_t)(peek(l, 0) - '0');
        digits++;
        l->at++;
    }
    return value <= 255 ? (char)(unsigned char)value : '\0';
}

static struct lex_token string(struct lexer *l, enum lex_kind kind, uint32_t begin)
{
    uint32_t from = ++l->at;
    while (l->at < l->length && peek(l, 0) != '"' && peek(l, 0) != '\n')
        l->at += peek(l, 0) == '\\' && l->length - l->at > 1 ? 2 : 1;
    if (peek(l, 0) != '"')
        return bad(l, begin, "string is not closed before the end of its line");
    char *out = arena_alloc(l->arena, (size_t)(l->at - from) + 1, 1);
    if (!out)
        return no_memory(l);
    size_t n = 0;
    l->at = from;
    while (peek(l, 0) != '"') {
        char c = peek(l, 0);
        l->at++;
        if (c == '\\')
            c = escaped(l);
        if (!c)
            return bad(l, begin, "string holds a zero byte or an unknown escape");
        out[n++] = c;
    }
    l->at++;
    out[n] = '\0';
    return (struct lex_token){.kind = kind, .begin = begin, .end = l->at, .text = out};
}

static struct lex_token param(struct lexer *l, uint32_t begin)
{
    l->at++;
    if (peek(l, 0) == '"')
        return string(l, LEX_PARAM, begin);
    if (!is_letter(peek(l, 0)))
        return bad(l, begin, "expected the name of a param behind '@'");
    uint32_t from = l->at;
    struct lex_token t = word(l, from);
    if (t.kind == LEX_BAD)
        return t;
    t.kind = LEX_PARAM;
    t.begin = begin;
    return t;
}

struct lex_token lex_next(struct lexer *l)
{
    if (l->status != SPK_OK)
        return (struct lex_token){.kind = LEX_BAD};
    skip_blanks(l);
    uint32_t begin = l->at;
    if (begin >= l->length)
        return (struct lex_token){.kind = LEX_END, .begin = begin, .end = begin};
    char c = peek(l, 0);
    if (is_letter(c))
        return word(l, begin);
    if (is_digit(c))
        return number(l, begin);
    if ((c == '>' || c == '<') && peek(l, 1) == '=') {
        l->at += 2;
        return (struct lex_token){.kind = c == '>' ? LEX_GE : LEX_LE, .begin = begin, .end = l->at};
    }
    switch (c) {
    case '%':
        return numbered(l, LEX_VALUE, begin);
    case '#':
        return numbered(l, LEX_NEURON, begin);
    case '$':
        return numbered(l, LEX_STATE, begin);
    case '@':
        return param(l, begin);
    case '"':
        return string(l, LEX_STRING, begin);
    default:
        break;
    }
    if (!c || !strchr("=,:{}[]()+-*/><", c))
        return bad(l, begin, "unexpected character");
    l->at++;
    return (struct lex_token){.kind = LEX_PUNCT, .punct = c, .begin = begin, .end = l->at};
}
