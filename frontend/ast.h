/* Abstract syntax of the .spk language, the tokens it is parsed from, and the constructors.
 *
 * A unit is one source file; a program is the main unit and the units it imports. All nodes live
 * in the program's arena and are freed with it, which is why the grammar needs no destructors.
 * Every node carries the span of its text. Lists are linked in source order. Trees are at most
 * FE_MAX_DEPTH deep (checked by the constructors), so the passes may recurse.
 *
 * The constructors return NULL when memory ran out or the tree is too deep; the parser then stops
 * with a status.                                                                              */
#ifndef SPIKEC_FRONTEND_AST_H
#define SPIKEC_FRONTEND_AST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/arena.h"
#include "support/diag.h"
#include "support/status.h"
#include "support/vec.h"

#define FE_MAX_DEPTH 200u        /* nesting of expressions and of statements */
#define FE_MAX_SOURCE (4u << 20) /* bytes of one source file */

/* ---- tokens ---- */

struct fe_token {
    int kind; /* enum yytokentype of the grammar, or FE_COMMENT */
    uint32_t begin, end;
};
#define FE_COMMENT (-2)
struct fe_token_vec VEC_FIELDS(struct fe_token);

/* All tokens of a text, comments included, in order; no end token. What is no token is an error
 * and becomes TOK_BAD, and lexing goes on. The status is SPK_OK unless memory ran out; errors are
 * in the list.                                                                                */
spk_status fe_lex(const char *text, size_t length, uint32_t file, struct diag_list *d,
                  struct fe_token_vec *out) SPK_CHECKED;

/* ---- expressions ---- */

struct fe_name {
    const char *text;
    struct spk_span span;
};

/* A string with interpolations: pieces alternate between text and a name to be inserted. */
struct fe_piece {
    const char *text; /* literal text, or the name between braces */
    bool is_name;
    struct spk_span span;
    struct fe_piece *next;
};
struct fe_string {
    struct fe_piece *first;
    struct spk_span span;
};

enum fe_expr_kind {
    FE_INT,
    FE_FLOAT,
    FE_BOOL,
    FE_STRING,
    FE_NAME,
    FE_INPUT,  /* `input` in a neuron equation */
    FE_MEMBER, /* left . name */
    FE_UNARY,
    FE_BINARY,
    FE_CALL,
    FE_AS /* left `as` string */
};
enum fe_operator {
    FE_ADD,
    FE_SUB,
    FE_MUL,
    FE_DIV,
    FE_MOD,
    FE_POW,
    FE_NEG,
    FE_NOT,
    FE_AND,
    FE_OR,
    FE_EQ,
    FE_NE,
    FE_LT,
    FE_LE,
    FE_GT,
    FE_GE
};
const char *fe_operator_text(enum fe_operator op);

struct fe_expr;
struct fe_arg {
    struct fe_name name; /* text NULL: positional */
    struct fe_expr *value;
    struct fe_arg *next;
};

struct fe_expr {
    enum fe_expr_kind kind;
    uint16_t depth;
    struct spk_span span;
    struct spk_span op_span; /* of the operator, or of the called name */
    enum fe_operator op;
    int64_t i;
    double f;
    bool b;
    const char *name; /* FE_NAME, FE_MEMBER, FE_CALL */
    struct fe_expr *left, *right;
    struct fe_arg *args;
    struct fe_string *string; /* FE_STRING; FE_AS: the name; FE_CALL: the scope after `in` */
};

/* ---- statements ---- */

enum fe_stmt_kind {
    FE_LET,
    FE_ASSIGN,
    FE_FOR,
    FE_IF,
    FE_RETURN,
    FE_IN,
    FE_OUT,
    FE_WEIGHTS,
    FE_BIND
};
struct fe_list { /* of numbers after `mean` and `std` */
    struct fe_expr *value;
    struct fe_list *next;
};
struct fe_stmt {
    enum fe_stmt_kind kind;
    uint16_t depth;
    struct spk_span span;
    struct fe_name name;          /* let, assign, for, input, output */
    struct fe_expr *value;        /* let, assign, return, output; if: condition; for: first */
    struct fe_expr *limit;        /* for: end of the range; input: number of steps */
    struct fe_stmt *body, *other; /* for, if */
    /* input NAME : frame[c, h, w] repeat T  |  frames[c, h, w] steps T  |  mask[h, w] (no channels,
     * no steps) */
    bool events, mask;
    struct fe_expr *shape[3];
    struct fe_list *mean, *std;
    struct fe_string *string, *string2; /* weights; bind */
    struct fe_stmt *next;
};

/* ---- definitions ---- */

struct fe_parameter {
    struct fe_name name;
    struct fe_expr *value; /* default, or NULL */
    struct fe_parameter *next;
};

enum fe_equation_kind { FE_EQ_STATE, FE_EQ_CHARGE, FE_EQ_FIRE, FE_EQ_RESET, FE_EQ_RATE };
struct fe_equation {
    enum fe_equation_kind kind;
    struct spk_span span;
    struct fe_name name;   /* state, charge, reset */
    struct fe_expr *value; /* fire: a comparison */
    struct fe_equation *next;
};

enum fe_def_kind { FE_NEURON, FE_BLOCK, FE_MODEL };
struct fe_def {
    enum fe_def_kind kind;
    struct spk_span span;
    struct fe_name name;
    struct fe_parameter *params;
    struct fe_equation *equations; /* neuron */
    struct fe_stmt *body;          /* block, model */
    struct fe_unit *unit;
    struct fe_def *next;
};

struct fe_import {
    struct fe_string *path;
    struct spk_span span;
    struct fe_unit *unit; /* set once it is loaded */
    struct fe_import *next;
};

struct fe_unit {
    const char *path; /* as shown in messages; imports are relative to it */
    const char *id;   /* canonical path: tells whether two imports mean the same file */
    uint32_t file;    /* id in the diagnostic list */
    struct fe_import *imports, *last_import;
    struct fe_def *defs, *last_def;
    struct fe_unit *next;
};

struct fe_program {
    struct arena arena;
    struct fe_unit *units; /* main unit first */
};
void fe_program_init(struct fe_program *p);
void fe_program_fini(struct fe_program *p);

/* ---- parser ---- */

/* State of one parse, shared by the grammar's actions and the constructors. */
struct fe_parser {
    struct fe_program *program;
    struct fe_unit *unit;
    struct diag_list *diags;
    const char *text;
    const struct fe_token *tokens;
    size_t n_tokens, at;
    uint32_t last_end; /* end of the last token handed out */
    spk_status status; /* first hard failure: SPK_ERR_NOMEM */
};

/* The grammar: runs the parser over p->tokens. */
spk_status fe_parse_tokens(struct fe_parser *p) SPK_CHECKED;

/* Parses one text into a new unit at the end of the program. Syntax errors are in the list and
 * give SPK_ERR_INPUT; what could be parsed is in the unit all the same.                       */
spk_status fe_parse_unit(struct fe_program *program, const char *path, const char *text,
                         size_t length, struct diag_list *d, struct fe_unit **out) SPK_CHECKED;

/* Reads the main unit (text NULL: from the file) and everything it imports. */
spk_status fe_program_load(struct fe_program *program, const char *path, const char *text,
                           size_t length, struct diag_list *d) SPK_CHECKED;

/* ---- constructors, called by the grammar ---- */

struct fe_expr *fe_new_expr(struct fe_parser *p, enum fe_expr_kind kind, struct spk_span span);
struct fe_expr *fe_new_number(struct fe_parser *p, struct spk_span span, bool is_float);
struct fe_expr *fe_new_binary(struct fe_parser *p, enum fe_operator op, struct fe_expr *left,
                              struct spk_span op_span, struct fe_expr *right);
struct fe_expr *fe_new_unary(struct fe_parser *p, enum fe_operator op, struct spk_span op_span,
                             struct fe_expr *operand);
struct fe_expr *fe_new_call(struct fe_parser *p, struct fe_name name, struct fe_arg *args,
                            struct fe_string *scope, struct spk_span span);
struct fe_expr *fe_new_member(struct fe_parser *p, struct fe_expr *left, struct fe_name name);
struct fe_expr *fe_new_as(struct fe_parser *p, struct fe_expr *left, struct fe_string *name);
struct fe_arg *fe_new_arg(struct fe_parser *p, struct fe_name name, struct fe_expr *value);
struct fe_list *fe_new_list(struct fe_parser *p, struct fe_expr *value);
struct fe_name fe_new_name(struct fe_parser *p, struct spk_span span);
/* From the quoted text of a token; `{name}` interpolates, `{{` and `}}` are braces. */
struct fe_string *fe_new_string(struct fe_parser *p, struct spk_span span);
struct fe_stmt *fe_new_stmt(struct fe_parser *p, enum fe_stmt_kind kind, struct spk_span span);
/* A statement with a name (text NULL: none) and a value. */
struct fe_stmt *fe_new_value(struct fe_parser *p, enum fe_stmt_kind kind, struct spk_span span,
                             struct fe_name name, struct fe_expr *value);
/* Puts body and other under a statement and checks the depth. */
struct fe_stmt *fe_stmt_nest(struct fe_parser *p, struct fe_stmt *s, struct fe_stmt *body,
                             struct fe_stmt *other);
struct fe_parameter *fe_new_parameter(struct fe_parser *p, struct fe_name name,
                                      struct fe_expr *value);
struct fe_equation *fe_new_equation(struct fe_parser *p, enum fe_equation_kind kind,
                                    struct fe_name name, struct fe_expr *value,
                                    struct spk_span span);
void fe_add_import(struct fe_parser *p, struct fe_string *path, struct spk_span span);
void fe_add_def(struct fe_parser *p, enum fe_def_kind kind, struct fe_name name,
                struct fe_parameter *params, struct fe_equation *equations, struct fe_stmt *body,
                struct spk_span span);

/* Text of a string without interpolations; NULL where it has one. */
const char *fe_string_plain(const struct fe_string *s);

#endif
