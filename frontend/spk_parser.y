/* Grammar of the .spk language (docs/language.md).
 *
 * bison 3.8, pure LALR(1) without conflicts, with lookahead correction so that the list of
 * expected tokens in a message is exact. Locations are byte spans. All semantic values live in
 * the program's arena (ast.h), so discarded ones need no destructor. After an error the parser
 * goes on behind the next ';' or '}', or at the next definition, to find more of them.          */
%define api.pure full
%define api.prefix {fe_yy}
%define api.token.prefix {TOK_}
%define api.location.type {struct spk_span}
%define parse.error custom
%define parse.lac full
%locations
%param { struct fe_parser *p }
%expect 0

%code requires {
#include "frontend/ast.h"
}

%code {
#include <string.h>

#include "support/alloc.h"

#define YYMALLOC spk_alloc
#define YYFREE spk_free
#define YYMAXDEPTH 4000
#define YYLLOC_DEFAULT(current, rhs, n)                                                            \
	((current) = (n) ? spk_span_join(YYRHSLOC(rhs, 1), YYRHSLOC(rhs, n))                           \
	                 : (struct spk_span){p->unit->file, YYRHSLOC(rhs, 0).end,                     \
	                                     YYRHSLOC(rhs, 0).end})

static int fe_yylex(FE_YYSTYPE *value, struct spk_span *span, struct fe_parser *p);
static void fe_yyerror(const struct spk_span *span, struct fe_parser *p, const char *message);

#define APPEND(list, item)                                                                         \
	do {                                                                                           \
		if (item) {                                                                                \
			if ((list).last)                                                                       \
				(list).last->next = (item);                                                        \
			else                                                                                   \
				(list).first = (item);                                                             \
			(list).last = (item);                                                                  \
		}                                                                                          \
	} while (0)

static bool fe_word_is(struct fe_parser *p, struct fe_name word, const char *a, const char *b,
                       const char *message);
static struct fe_stmt *fe_new_mask(struct fe_parser *p, struct fe_name name, struct fe_name kind,
                                   struct fe_expr *height, struct fe_expr *width,
                                   struct spk_span span);
static struct fe_stmt *fe_new_input(struct fe_parser *p, struct fe_name name,
                                    struct fe_name kind, struct fe_expr *const *shape,
                                    struct fe_name mode, struct fe_expr *steps,
                                    struct spk_span span);
}

%union {
	struct fe_expr *expr;
	struct fe_string *string;
	struct fe_name name;
	struct { struct fe_arg *first, *last; } args;
	struct fe_arg *arg;
	struct { struct fe_stmt *first, *last; } stmts;
	struct fe_stmt *stmt;
	struct { struct fe_parameter *first, *last; } params;
	struct fe_parameter *param;
	struct { struct fe_equation *first, *last; } equations;
	struct fe_equation *equation;
	struct { struct fe_list *first, *last; } numbers;
}

%token IMPORT "'import'" NEURON "'neuron'" BLOCK "'block'" MODEL "'model'"
%token STATE "'state'" CHARGE "'charge'" FIRE "'fire'" RESET "'reset'"
%token LET "'let'" FOR "'for'" IN "'in'" IF "'if'" ELSE "'else'" RETURN "'return'"
%token INPUT "'input'" OUTPUT "'output'" WEIGHTS "'weights'" BIND "'bind'" AS "'as'"
%token TRUE "'true'" FALSE "'false'" AND "'and'" OR "'or'" NOT "'not'"
%token RANGE "'..'" POW "'**'" EQ "'=='" NE "'!='" LE "'<='" GE "'>='"
%token INT "a number" FLOAT "a decimal number" NAME "a name" STRING "a string"
%token BAD "an invalid character"
%token YYEOF 0 "the end of the file"

%left OR
%left AND
%precedence NOT
%nonassoc EQ NE '<' '>' LE GE
%left '+' '-'
%left '*' '/' '%'
%precedence NEGATION
%right POW
%precedence '.'

%type <expr> expr named
%type <string> string scope
%type <name> name
%type <args> args args1
%type <arg> arg
%type <stmts> stmts body
%type <stmt> stmt if_stmt input
%type <params> params params1
%type <param> param
%type <equations> equations
%type <equation> equation
%type <numbers> numbers numbers1

%%

unit:
  %empty
| unit item
| unit error
;

item:
  IMPORT string ';'                    { fe_add_import(p, $2, @$); }
| NEURON name '(' params ')' '{' equations '}'
	{ fe_add_def(p, FE_NEURON, $2, $4.first, $7.first, NULL, @$); }
| BLOCK name '(' params ')' body
	{ fe_add_def(p, FE_BLOCK, $2, $4.first, NULL, $6.first, @$); }
| MODEL name '(' params ')' body
	{ fe_add_def(p, FE_MODEL, $2, $4.first, NULL, $6.first, @$); }
;

params:
  %empty                               { $$.first = $$.last = NULL; }
| params1
| params1 ','
;
params1:
  param                                { $$.first = $$.last = NULL; APPEND($$, $1); }
| params1 ',' param                    { $$ = $1; APPEND($$, $3); }
;
param:
  name                                 { $$ = fe_new_parameter(p, $1, NULL); }
| name '=' expr                        { $$ = fe_new_parameter(p, $1, $3); }
;

equations:
  %empty                               { $$.first = $$.last = NULL; }
| equations equation                   { $$ = $1; APPEND($$, $2); }
;
equation:
  STATE name '=' expr ';'              { $$ = fe_new_equation(p, FE_EQ_STATE, $2, $4, @$); }
| CHARGE name '=' expr ';'             { $$ = fe_new_equation(p, FE_EQ_CHARGE, $2, $4, @$); }
| FIRE expr ';'
	{ $$ = fe_new_equation(p, FE_EQ_FIRE, (struct fe_name){0}, $2, @$); }
| RESET name '=' expr ';'              { $$ = fe_new_equation(p, FE_EQ_RESET, $2, $4, @$); }
| name expr ';'                        {
	$$ = fe_word_is(p, $1, "rate", NULL,
	                "a neuron has 'state', 'charge', 'fire', 'reset' and 'rate' lines")
	         ? fe_new_equation(p, FE_EQ_RATE, $1, $2, @$) : NULL; }
| name name '=' expr ';'               {
	fe_word_is(p, $1, "state", NULL,
	           "a neuron has 'state', 'charge', 'fire', 'reset' and 'rate' lines");
	$$ = NULL; }
| error ';'                            { $$ = NULL; }
;
body:
  '{' stmts '}'                        { $$ = $2; }
| '{' stmts named '}'                  {
	struct fe_stmt *result = fe_new_value(p, FE_RETURN, @3, (struct fe_name){0}, $3);
	$$ = $2;
	APPEND($$, result); }
| '{' stmts error '}'                  { $$ = $2; }
;
stmts:
  %empty                               { $$.first = $$.last = NULL; }
| stmts stmt                           { $$ = $1; APPEND($$, $2); }
;
stmt:
  LET name '=' named ';'               { $$ = fe_new_value(p, FE_LET, @$, $2, $4); }
| name '=' named ';'                   { $$ = fe_new_value(p, FE_ASSIGN, @$, $1, $3); }
| OUTPUT name '=' named ';'            { $$ = fe_new_value(p, FE_OUT, @$, $2, $4); }
| RETURN named ';'
	{ $$ = fe_new_value(p, FE_RETURN, @$, (struct fe_name){0}, $2); }
| FOR name IN expr RANGE expr body     {
	if (($$ = fe_new_stmt(p, FE_FOR, spk_span_join(@1, @6)))) {
		$$->name = $2;
		$$->value = $4;
		$$->limit = $6;
		$$ = fe_stmt_nest(p, $$, $7.first, NULL);
	} }
| WEIGHTS string ';'
	{ if (($$ = fe_new_stmt(p, FE_WEIGHTS, @$))) $$->string = $2; }
| BIND string '=' string ';'           {
	if (($$ = fe_new_stmt(p, FE_BIND, @$))) {
		$$->string = $2;
		$$->string2 = $4;
	} }
| if_stmt
| input ';'
| error ';'                            { $$ = NULL; }
;
if_stmt:
  IF expr body                         {
	if (($$ = fe_new_stmt(p, FE_IF, @2))) {
		$$->value = $2;
		$$ = fe_stmt_nest(p, $$, $3.first, NULL);
	} }
| IF expr body ELSE body               {
	if (($$ = fe_new_stmt(p, FE_IF, @2))) {
		$$->value = $2;
		$$ = fe_stmt_nest(p, $$, $3.first, $5.first);
	} }
| IF expr body ELSE if_stmt            {
	if (($$ = fe_new_stmt(p, FE_IF, @2))) {
		$$->value = $2;
		$$ = fe_stmt_nest(p, $$, $3.first, $5);
	} }
;
input:
  INPUT name ':' name '[' expr ',' expr ',' expr ']' name expr {
	struct fe_expr *shape[3] = {$6, $8, $10};
	$$ = fe_new_input(p, $2, $4, shape, $12, $13, @$); }
| INPUT name ':' name '[' expr ',' expr ']' {
	$$ = fe_new_mask(p, $2, $4, $6, $8, @$); }
| input name name numbers name numbers {
	$$ = $1;
	static const char form[] = "written: normalise mean NUMBERS std NUMBERS";
	if (fe_word_is(p, $2, "normalise", "normalize",
	               "after the shape comes 'normalise' or ';'") &&
	    fe_word_is(p, $3, "mean", NULL, form) && fe_word_is(p, $5, "std", NULL, form) && $$) {
		$$->mean = $4.first;
		$$->std = $6.first;
		$$->span = @$;
	} }
;
numbers:
  expr                                 { $$.first = $$.last = fe_new_list(p, $1); }
| '[' numbers1 ']'                     { $$ = $2; }
;
numbers1:
  expr                                 { $$.first = $$.last = fe_new_list(p, $1); }
| numbers1 ',' expr                    {
	struct fe_list *n = fe_new_list(p, $3);
	$$ = $1;
	APPEND($$, n); }
;

named:
  expr
| named AS string                      { $$ = fe_new_as(p, $1, $3); }
;

expr:
  INT                                  { $$ = fe_new_number(p, @$, false); }
| FLOAT                                { $$ = fe_new_number(p, @$, true); }
| TRUE                                 { if (($$ = fe_new_expr(p, FE_BOOL, @$))) $$->b = true; }
| FALSE                                { $$ = fe_new_expr(p, FE_BOOL, @$); }
| string                               { if (($$ = fe_new_expr(p, FE_STRING, @$))) $$->string = $1; }
| INPUT                                { $$ = fe_new_expr(p, FE_INPUT, @$); }
| name
	{ if (($$ = fe_new_expr(p, FE_NAME, @$))) $$->name = $1.text; }
| name '(' args ')' scope              { $$ = fe_new_call(p, $1, $3.first, $5, @$); }
| expr '.' name                        { $$ = fe_new_member(p, $1, $3); }
| '(' named ')'                        { if (($$ = $2)) $$->span = @$; }
| '(' error ')'                        { $$ = NULL; }
| '-' expr %prec NEGATION              { $$ = fe_new_unary(p, FE_NEG, @1, $2); }
| NOT expr                             { $$ = fe_new_unary(p, FE_NOT, @1, $2); }
| expr POW expr                        { $$ = fe_new_binary(p, FE_POW, $1, @2, $3); }
| expr '*' expr                        { $$ = fe_new_binary(p, FE_MUL, $1, @2, $3); }
| expr '/' expr                        { $$ = fe_new_binary(p, FE_DIV, $1, @2, $3); }
| expr '%' expr                        { $$ = fe_new_binary(p, FE_MOD, $1, @2, $3); }
| expr '+' expr                        { $$ = fe_new_binary(p, FE_ADD, $1, @2, $3); }
| expr '-' expr                        { $$ = fe_new_binary(p, FE_SUB, $1, @2, $3); }
| expr EQ expr                         { $$ = fe_new_binary(p, FE_EQ, $1, @2, $3); }
| expr NE expr                         { $$ = fe_new_binary(p, FE_NE, $1, @2, $3); }
| expr '<' expr                        { $$ = fe_new_binary(p, FE_LT, $1, @2, $3); }
| expr LE expr                         { $$ = fe_new_binary(p, FE_LE, $1, @2, $3); }
| expr '>' expr                        { $$ = fe_new_binary(p, FE_GT, $1, @2, $3); }
| expr GE expr                         { $$ = fe_new_binary(p, FE_GE, $1, @2, $3); }
| expr AND expr                        { $$ = fe_new_binary(p, FE_AND, $1, @2, $3); }
| expr OR expr                         { $$ = fe_new_binary(p, FE_OR, $1, @2, $3); }
;
scope:
  %empty                               { $$ = NULL; }
| IN string                            { $$ = $2; }
;

args:
  %empty                               { $$.first = $$.last = NULL; }
| args1
| args1 ','
;
args1:
  arg                                  { $$.first = $$.last = NULL; APPEND($$, $1); }
| args1 ',' arg                        { $$ = $1; APPEND($$, $3); }
;
arg:
  named                                { $$ = fe_new_arg(p, (struct fe_name){0}, $1); }
| name '=' named                       { $$ = fe_new_arg(p, $1, $3); }
;

name:   NAME                           { $$ = fe_new_name(p, @$); } ;
string: STRING                         { $$ = fe_new_string(p, @$); } ;

%%

static int fe_yylex(FE_YYSTYPE *value, struct spk_span *span, struct fe_parser *p)
{
	(void)value;
	while (p->at < p->n_tokens && p->tokens[p->at].kind == FE_COMMENT)
		p->at++;
	if (p->at >= p->n_tokens || p->status != SPK_OK || diag_limit_reached(p->diags)) {
		*span = (struct spk_span){p->unit->file, p->last_end, p->last_end};
		return TOK_YYEOF;
	}
	const struct fe_token *t = &p->tokens[p->at++];
	*span = (struct spk_span){p->unit->file, t->begin, t->end};
	p->last_end = t->end;
	return t->kind;
}

/* Called for exhausted stacks only; syntax errors go through fe_yyreport_syntax_error. */
static void fe_yyerror(const struct spk_span *span, struct fe_parser *p, const char *message)
{
	(void)message;
	if (p->status == SPK_OK)
		p->status = diag_error(p->diags, *span, "E0110", "nested too deeply");
}

static void fe_token_name(const struct fe_parser *p, yysymbol_kind_t kind, struct spk_span span,
                          struct strbuf *out)
{
	if (kind == YYSYMBOL_NAME || kind == YYSYMBOL_INT || kind == YYSYMBOL_FLOAT) {
		strbuf_char(out, '\'');
		strbuf_append_n(out, p->text + span.begin, span.end - span.begin);
		strbuf_char(out, '\'');
	} else {
		strbuf_append(out, yysymbol_name(kind));
	}
}

/* "expected A or B, found C"; a missing ';' is reported behind the token before it. */
static int yyreport_syntax_error(const yypcontext_t *context, struct fe_parser *p)
{
	enum { LISTED = 4, ALL = 80 };
	yysymbol_kind_t expected[ALL];
	yysymbol_kind_t found = yypcontext_token(context);
	struct spk_span span = *yypcontext_location(context);
	int n = yypcontext_expected_tokens(context, expected, ALL);
	if (n == YYENOMEM)
		return YYENOMEM;
	if (p->status != SPK_OK || diag_limit_reached(p->diags))
		return 0;
	if (found == YYSYMBOL_BAD)
		return 0; /* the lexer has said so */
	bool semicolon = false, close = false, number = false;
	for (int i = 0; i < n; i++) {
		semicolon = semicolon || strcmp(yysymbol_name(expected[i]), "';'") == 0;
		close = close || strcmp(yysymbol_name(expected[i]), "')'") == 0;
		number = number || expected[i] == YYSYMBOL_INT;
	}
	struct strbuf text = {0};
	if (n > 0 && n <= LISTED) {
		strbuf_append(&text, "expected ");
		for (int i = 0; i < n; i++) {
			strbuf_append(&text, i == 0 ? "" : i + 1 < n ? ", " : " or ");
			strbuf_append(&text, yysymbol_name(expected[i]));
		}
		strbuf_append(&text, ", found ");
	} else if (number) {
		strbuf_append(&text, close ? "expected an expression or ')', found "
		                           : "expected an expression, found ");
	} else if (semicolon) {
		strbuf_append(&text, "expected ';' or an operator, found ");
	} else if (close) {
		strbuf_append(&text, "expected ')', ',' or an operator, found ");
	} else {
		strbuf_append(&text, "unexpected ");
	}
	fe_token_name(p, found, span, &text);
	uint32_t before = 0; /* end of the token before the unexpected one */
	for (size_t i = p->at; i-- > 0;) {
		if (p->tokens[i].kind != FE_COMMENT && p->tokens[i].end <= span.begin &&
		    p->tokens[i].begin < span.begin) {
			before = p->tokens[i].end;
			break;
		}
	}
	bool new_line = before > 0 && memchr(p->text + before, '\n', span.begin - before) != NULL;
	spk_status status = text.status;
	if (status == SPK_OK && semicolon && !number && new_line) {
		diag_error(p->diags, (struct spk_span){span.file, before, before}, "E0104",
		           "expected ';' at the end of the statement");
	} else if (status == SPK_OK) {
		diag_error(p->diags, span, "E0104", "%s", strbuf_cstr(&text));
	}
	strbuf_fini(&text);
	if (status != SPK_OK)
		p->status = status;
	return 0;
}

static bool fe_word_is(struct fe_parser *p, struct fe_name word, const char *a, const char *b,
                       const char *message)
{
	if (!word.text || strcmp(word.text, a) == 0 || (b && strcmp(word.text, b) == 0))
		return word.text != NULL;
	diag_error(p->diags, word.span, "E0105", "unexpected word '%s'", word.text);
	diag_help_set(p->diags, "%s", message);
	return false;
}

static struct fe_stmt *fe_new_input(struct fe_parser *p, struct fe_name name,
                                    struct fe_name kind, struct fe_expr *const *shape,
                                    struct fe_name mode, struct fe_expr *steps,
                                    struct spk_span span)
{
	struct fe_stmt *s = fe_new_stmt(p, FE_IN, span);
	if (!s || !kind.text || !mode.text)
		return NULL;
	if (!fe_word_is(p, kind, "frame", "frames",
	                "an input is 'frame[c, h, w] repeat T' or 'frames[c, h, w] steps T'"))
		return s;
	s->events = strcmp(kind.text, "frames") == 0;
	if (!fe_word_is(p, mode, s->events ? "steps" : "repeat", NULL,
	                s->events ? "several frames are written: frames[c, h, w] steps T"
	                          : "one frame is written: frame[c, h, w] repeat T"))
		return s;
	s->name = name;
	memcpy(s->shape, shape, sizeof s->shape);
	s->limit = steps;
	return s;
}

static struct fe_stmt *fe_new_mask(struct fe_parser *p, struct fe_name name, struct fe_name kind,
                                   struct fe_expr *height, struct fe_expr *width,
                                   struct spk_span span)
{
	struct fe_stmt *s = fe_new_stmt(p, FE_IN, span);
	if (!s || !kind.text)
		return NULL;
	if (!fe_word_is(p, kind, "mask", NULL,
	                "an input of two sizes is a mask: mask[h, w]; one of three 'frame[c, h, w] "
	                "repeat T' or 'frames[c, h, w] steps T'"))
		return s;
	s->name = name;
	s->mask = true;
	s->shape[1] = height;
	s->shape[2] = width;
	return s;
}

spk_status fe_parse_tokens(struct fe_parser *p)
{
	int result = fe_yyparse(p);
	if (p->status == SPK_OK && result == 2)
		p->status = SPK_ERR_NOMEM;
	return p->status;
}
