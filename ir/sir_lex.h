/* Tokens of the text form (.sir); see docs/ir.md for the grammar. */
#ifndef SPIKEC_IR_SIR_LEX_H
#define SPIKEC_IR_SIR_LEX_H

#include "ir/ir.h"

enum lex_kind {
    LEX_END,
    LEX_WORD,   /* letters, digits, '_', '.', not starting with a digit */
    LEX_NUMBER, /* unsigned decimal number; text only */
    LEX_STRING, /* decoded */
    LEX_VALUE,  /* %12 */
    LEX_NEURON, /* #3 */
    LEX_STATE,  /* $1 */
    LEX_PARAM,  /* @name or @"name", decoded */
    LEX_GE,
    LEX_LE,
    LEX_PUNCT, /* the character itself in `punct` */
    LEX_BAD    /* reported */
};
struct lex_token {
    enum lex_kind kind;
    char punct;
    uint32_t number;     /* VALUE, NEURON, STATE */
    uint32_t begin, end; /* bytes */
    const char *text;    /* WORD, NUMBER, STRING, PARAM: NUL-terminated, on the arena */
};
struct lexer {
    const char *text;
    uint32_t length, at;
    uint32_t file;
    struct diag_list *d;
    struct arena *arena; /* texts of tokens */
    spk_status status;   /* of the first LEX_BAD: SPK_ERR_INPUT or SPK_ERR_NOMEM */
};
/* The next token; after an error LEX_BAD for ever. */
struct lex_token lex_next(struct lexer *l);

#endif
