/* The state of a .sir parser, and the steps that its files share. Internal to ir/parse*.c. */
#ifndef SPIKEC_IR_SIR_PARSER_H
#define SPIKEC_IR_SIR_PARSER_H

#include "ir/ir.h"
#include "ir/sir_lex.h"

struct parser {
    struct lexer lex;
    struct lex_token tok; /* look-ahead */
    uint32_t last_end;    /* end of the token before it */
    struct ir_module *m;
    struct diag_list *d;
    struct arena arena; /* texts of tokens */
    uint32_t nesting;
};

/* Moves on by one token. */
void sir_advance(struct parser *p);
/* From byte `begin` to the end of the token before the look-ahead; the look-ahead itself. */
struct spk_span sir_span_from(const struct parser *p, uint32_t begin);
struct spk_span sir_span_here(const struct parser *p);
/* Reports what was expected at the look-ahead, unless the lexer already did. */
spk_status sir_expected(struct parser *p, const char *what) SPK_CHECKED;

bool sir_at_punct(const struct parser *p, char c);
bool sir_at_word(const struct parser *p, const char *word);
/* Moves on and tells true where the look-ahead is that. */
bool sir_accept_punct(struct parser *p, char c);
bool sir_accept_word(struct parser *p, const char *word);

/* Moves on over what must come here, else reports. */
spk_status sir_need_punct(struct parser *p, char c) SPK_CHECKED;
spk_status sir_need_word(struct parser *p, const char *word) SPK_CHECKED;
spk_status sir_need_string(struct parser *p, const char *what, const char **out) SPK_CHECKED;
spk_status sir_need_int(struct parser *p, int64_t min, int64_t max, int64_t *out) SPK_CHECKED;
spk_status sir_need_u32(struct parser *p, uint32_t *out) SPK_CHECKED;
spk_status sir_need_float(struct parser *p, float *out) SPK_CHECKED;
/* One of a NULL-terminated list of words. */
spk_status sir_need_choice(struct parser *p, const char *const *words, const char *what,
                           uint32_t *out) SPK_CHECKED;

/* One infix equation over the states of `n` as postfix code on the parser's arena. */
spk_status sir_equation(struct parser *p, const struct ir_neuron *n,
                        struct ir_expr *out) SPK_CHECKED;

#endif
