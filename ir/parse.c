/* Parser of the text form (.sir): recursive descent with one token of look-ahead.
 *
 * It builds the module through the same functions as everybody else, so every node goes through
 * inference, and the written type must be the inferred one. The first error ends parsing: the text
 * is written by the printer, and a wrong line makes the ids of all later ones meaningless. Spans of
 * the module point into the .sir text.
 *
 * Limits: 2 GiB of text, 4,096 neuron programs, 65,535 operands per node, those of equations in
 * parse_equation.c. Memory and time are linear in the text.                                     */
#include <string.h>

#include "ir/ir.h"
#include "ir/ir_private.h"
#include "ir/ir_syntax.h"
#include "ir/ir_text.h"
#include "ir/sir_parser.h"
#include "support/strbuf.h"
#include "support/vec.h"

#define MAX_PROGRAMS 4096u

static const char *const num_words[] = {"f32", "i32", NULL};
static const char *const dtype_words[] = {"f32", "i8", "i16", "i32", NULL};
static const char *const layout_words[] = {"chw", "cn", "nc", "c", NULL};
static const char *const kind_words[] = {"spike", "count", "current", "real", NULL};
static const char *const stage_words[] = {"model", "lowered", "quantised", NULL};

/* "[a, b, c" up to max numbers; the closing bracket is left. */
static spk_status dims(struct parser *p, uint32_t max, uint32_t *out, uint32_t *out_n)
{
    *out_n = 0;
    SPK_TRY(sir_need_punct(p, '['));
    if (sir_at_punct(p, ']'))
        return SPK_OK;
    do {
        if (*out_n == max)
            return sir_expected(p, "fewer axes");
        SPK_TRY(sir_need_u32(p, &out[*out_n]));
        ++*out_n;
    } while (sir_accept_punct(p, ','));
    return SPK_OK;
}

static spk_status type(struct parser *p, struct ir_type *t)
{
    uint32_t kind, num, layout, dim[3], n;
    memset(t, 0, sizeof *t);
    SPK_TRY(sir_need_choice(p, kind_words, "spike, count, current or real", &kind));
    t->kind = (enum ir_kind)kind;
    t->bound = kind == IR_SPIKE;
    if (kind == IR_COUNT && p->tok.kind == LEX_LE) {
        sir_advance(p);
        SPK_TRY(sir_need_u32(p, &t->bound));
    }
    SPK_TRY(sir_need_choice(p, num_words, "f32 or i32", &num));
    t->num = (enum ir_num)num;
    SPK_TRY(sir_need_word(p, "T"));
    SPK_TRY(sir_need_punct(p, '='));
    SPK_TRY(sir_need_u32(p, &t->timesteps));
    SPK_TRY(dims(p, 3, dim, &n));
    struct spk_span at = sir_span_here(p);
    SPK_TRY(sir_need_choice(p, layout_words, "chw, cn, nc or c", &layout));
    SPK_TRY(sir_need_punct(p, ']'));
    static const uint32_t rank[] = {3, 2, 2, 1};
    if (n != rank[layout])
        return diag_error(p->d, at, "E0332", "layout %s has %u axes, found %u",
                          layout_words[layout], rank[layout], n);
    t->layout = (enum ir_layout)layout;
    t->channels = layout == IR_NC ? dim[1] : dim[0];
    t->height = layout == IR_CHW ? dim[1] : 1;
    t->width = layout == IR_CHW ? dim[2] : layout == IR_CN ? dim[1] : layout == IR_NC ? dim[0] : 1;
    return SPK_OK;
}

/* ---- statements ---- */

static spk_status state_line(struct parser *p, struct ir_neuron *n)
{
    if (n->n_states == IR_MAX_STATES)
        return sir_expected(p, "at most 4 states");
    if (p->tok.kind != LEX_WORD && p->tok.kind != LEX_STRING)
        return sir_expected(p, "the name of a state");
    n->state_name[n->n_states] = p->tok.text;
    sir_advance(p);
    SPK_TRY(sir_need_punct(p, '='));
    SPK_TRY(sir_need_float(p, &n->state_init[n->n_states]));
    n->n_states++;
    return SPK_OK;
}

/* "v = expression" of a charge or reset line; exprs is the array it goes into. */
static spk_status assignment(struct parser *p, const struct ir_neuron *n, struct ir_expr *exprs)
{
    uint32_t s = 0;
    if (p->tok.kind == LEX_STATE)
        s = p->tok.number;
    else
        while (s < n->n_states && !sir_at_word(p, n->state_name[s]))
            s++;
    if (s >= n->n_states)
        return sir_expected(p, "a state of this neuron");
    if (exprs[s].n)
        return sir_expected(p, "one equation per state, not a second one for this");
    sir_advance(p);
    SPK_TRY(sir_need_punct(p, '='));
    return sir_equation(p, n, &exprs[s]);
}

static spk_status neuron_body(struct parser *p, struct ir_neuron *n)
{
    while (!sir_accept_punct(p, '}')) {
        if (sir_accept_word(p, "state")) {
            SPK_TRY(state_line(p, n));
        } else if (sir_accept_word(p, "charge")) {
            SPK_TRY(assignment(p, n, n->charge));
        } else if (sir_accept_word(p, "reset")) {
            SPK_TRY(assignment(p, n, n->reset));
        } else if (!n->fire_lhs.n && sir_accept_word(p, "fire")) {
            SPK_TRY(sir_equation(p, n, &n->fire_lhs));
            n->cmp = p->tok.kind == LEX_GE ? IR_CMP_GE : IR_CMP_GT;
            if (p->tok.kind != LEX_GE && !sir_at_punct(p, '>'))
                return sir_expected(p, "'>=' or '>'");
            sir_advance(p);
            SPK_TRY(sir_equation(p, n, &n->fire_rhs));
        } else {
            return sir_expected(p, "state, charge, reset, one fire, or '}'");
        }
    }
    return SPK_OK;
}

static spk_status neuron_statement(struct parser *p)
{
    struct ir_neuron n;
    uint32_t begin = p->tok.begin, id;
    memset(&n, 0, sizeof n);
    sir_advance(p);
    if (p->tok.kind != LEX_NEURON || p->tok.number != p->m->n_neurons ||
        p->m->n_neurons >= MAX_PROGRAMS)
        return diag_error(p->d, sir_span_here(p), "E0333",
                          "expected #%u, the next neuron program of at most %u", p->m->n_neurons,
                          MAX_PROGRAMS);
    sir_advance(p);
    SPK_TRY(sir_need_string(p, "the name of the program in quotes", &n.name));
    SPK_TRY(sir_need_punct(p, '{'));
    SPK_TRY(neuron_body(p, &n));
    n.span = sir_span_from(p, begin);
    if (!n.n_states || !n.fire_lhs.n)
        return diag_error(p->d, n.span, "E0313",
                          "a neuron program has at least one state and fires");
    return ir_neuron_append(p->m, &n, &id);
}

static spk_status param_statement(struct parser *p)
{
    struct ir_param q;
    uint32_t begin = p->tok.begin, dtype, id;
    memset(&q, 0, sizeof q);
    sir_advance(p);
    q.name = p->tok.text;
    if (p->tok.kind != LEX_PARAM)
        return sir_expected(p, "@ and the name of a param");
    uint32_t before = p->m->n_params;
    struct spk_span at = sir_span_here(p);
    sir_advance(p);
    SPK_TRY(sir_need_choice(p, dtype_words, "f32, i8, i16 or i32", &dtype));
    q.dtype = (enum ir_dtype)dtype;
    SPK_TRY(dims(p, IR_MAX_RANK, q.dim, &q.rank));
    SPK_TRY(sir_need_punct(p, ']'));
    q.span = sir_span_from(p, begin);
    spk_status s = ir_add_param(p->m, &q, &id);
    if (s == SPK_ERR_INPUT || (s == SPK_OK && p->m->n_params == before))
        return diag_error(p->d, at, "E0320", "param '%s' is defined twice", q.name);
    return s;
}

static spk_status attr_element(struct parser *p, struct ir_node *n, const struct ir_attr_info *a,
                               uint32_t i)
{
    int64_t value = 0;
    uint32_t word = 0;
    float f;
    switch (a->type) {
    case IR_ATTR_BOOL:
        value = sir_accept_word(p, "true");
        if (!value && !sir_accept_word(p, "false"))
            return sir_expected(p, "true or false");
        break;
    case IR_ATTR_WORD:
        SPK_TRY(sir_need_choice(p, a->words, "one of the words this attribute takes", &word));
        value = word;
        break;
    case IR_ATTR_F32:
        SPK_TRY(sir_need_float(p, &f));
        memcpy(&word, &f, sizeof word);
        value = word;
        break;
    case IR_ATTR_U32:
        if (sir_accept_word(p, "none"))
            value = IR_NONE;
        else
            SPK_TRY(sir_need_int(p, 0, UINT32_MAX, &value));
        break;
    case IR_ATTR_U8:
        SPK_TRY(sir_need_int(p, 0, UINT8_MAX, &value));
        break;
    case IR_ATTR_U16:
        SPK_TRY(sir_need_int(p, 0, UINT16_MAX, &value));
        break;
    case IR_ATTR_I32:
        SPK_TRY(sir_need_int(p, INT32_MIN, INT32_MAX, &value));
        break;
    }
    ir_attr_set(n, a, i, value);
    return SPK_OK;
}

/* "{key=value, key=[value, value]}"; the brace is at the look-ahead. */
static spk_status attributes(struct parser *p, struct ir_node *n)
{
    uint32_t count, seen = 0;
    const struct ir_attr_info *table = ir_attr_table(n->op, &count);
    sir_advance(p);
    do {
        uint32_t i = 0;
        while (i < count && !sir_at_word(p, table[i].key))
            i++;
        if (i == count)
            return sir_expected(p, "an attribute of this op");
        if (seen >> i & 1)
            return sir_expected(p, "each attribute once");
        seen |= 1u << i;
        sir_advance(p);
        SPK_TRY(sir_need_punct(p, '='));
        if (table[i].count == 1) {
            SPK_TRY(attr_element(p, n, &table[i], 0));
            continue;
        }
        for (uint32_t j = 0; j < table[i].count; j++) {
            SPK_TRY(sir_need_punct(p, j ? ',' : '['));
            SPK_TRY(attr_element(p, n, &table[i], j));
        }
        SPK_TRY(sir_need_punct(p, ']'));
    } while (sir_accept_punct(p, ','));
    return sir_need_punct(p, '}');
}

static spk_status node_params(struct parser *p, struct ir_node *n, uint32_t *param, uint32_t max)
{
    SPK_TRY(sir_need_punct(p, '('));
    do {
        if (p->tok.kind != LEX_PARAM)
            return sir_expected(p, "@ and the name of a param");
        if (n->n_params == max)
            return sir_expected(p, "fewer params");
        param[n->n_params] = ir_find_param(p->m, p->tok.text);
        if (param[n->n_params] == IR_NONE)
            return diag_error(p->d, sir_span_here(p), "E0334", "unknown param '%s'", p->tok.text);
        n->n_params++;
        sir_advance(p);
    } while (sir_accept_punct(p, ','));
    return sir_need_punct(p, ')');
}

struct operand_list VEC_FIELDS(uint32_t);

static spk_status node_operands(struct parser *p, struct operand_list *list)
{
    if (p->tok.kind != LEX_VALUE)
        return SPK_OK;
    do {
        if (p->tok.kind != LEX_VALUE)
            return sir_expected(p, "% and the number of a value");
        if (p->tok.number >= p->m->n_nodes)
            return diag_error(p->d, sir_span_here(p), "E0334", "value %%%u is not defined before",
                              p->tok.number);
        if (list->len == IR_MANY)
            return sir_expected(p, "fewer operands");
        SPK_TRY(vec_push(list, p->tok.number));
        sir_advance(p);
    } while (sir_accept_punct(p, ','));
    return SPK_OK;
}

static spk_status op_word(struct parser *p, struct ir_node *n)
{
    for (uint32_t i = 0; i < IR_OP_COUNT; i++) {
        if (!sir_accept_word(p, ir_op_info((enum ir_op)i)->name))
            continue;
        n->op = (enum ir_op)i;
        return SPK_OK;
    }
    return sir_expected(p, "the name of an op");
}

/* Adds the node and compares its type with the written one. */
static spk_status add_checked(struct parser *p, struct ir_node *n)
{
    uint32_t id;
    struct ir_type written = n->type;
    SPK_TRY(ir_add_node(p->m, n, p->d, &id));
    const struct ir_type *inferred = &p->m->node[id].type;
    if (ir_type_equal(&written, inferred))
        return SPK_OK;
    struct strbuf a = {0}, b = {0};
    ir_type_text(&written, &a);
    ir_type_text(inferred, &b);
    spk_status s = diag_error(p->d, n->span, "E0321", "written type is %s, operands give %s",
                              strbuf_cstr(&a), strbuf_cstr(&b));
    strbuf_fini(&a);
    strbuf_fini(&b);
    return s;
}

static spk_status node_body(struct parser *p, struct ir_node *n, struct operand_list *list)
{
    uint32_t begin = p->tok.begin, param[4];
    if (p->tok.number != p->m->n_nodes)
        return diag_error(p->d, sir_span_here(p), "E0333", "expected %%%u, the next value",
                          p->m->n_nodes);
    sir_advance(p);
    SPK_TRY(sir_need_punct(p, '='));
    SPK_TRY(op_word(p, n));
    SPK_TRY(node_operands(p, list));
    if (sir_accept_word(p, "params"))
        SPK_TRY(node_params(p, n, param, 4));
    if (sir_at_punct(p, '{'))
        SPK_TRY(attributes(p, n));
    SPK_TRY(sir_need_punct(p, ':'));
    SPK_TRY(type(p, &n->type));
    if (sir_accept_word(p, "name"))
        SPK_TRY(sir_need_string(p, "the value's name in quotes", &n->name));
    n->recorded = sir_accept_word(p, "recorded");
    n->span = sir_span_from(p, begin);
    n->n_operands = (uint32_t)list->len;
    n->operand = list->data;
    n->param = param;
    return add_checked(p, n);
}

static spk_status node_statement(struct parser *p)
{
    struct ir_node n;
    struct operand_list list = {0};
    memset(&n, 0, sizeof n);
    spk_status s = node_body(p, &n, &list);
    vec_fini(&list);
    return s;
}

static spk_status header(struct parser *p)
{
    const char *name;
    uint32_t stage;
    int64_t v;
    SPK_TRY(sir_need_word(p, "sir"));
    SPK_TRY(sir_need_int(p, 0, UINT32_MAX, &v));
    if (v != 1)
        return diag_error(p->d, sir_span_from(p, 0), "E0335",
                          "version %lld of the text form, this program reads 1", (long long)v);
    SPK_TRY(sir_need_word(p, "module"));
    SPK_TRY(sir_need_string(p, "the module's name in quotes", &name));
    SPK_TRY(ir_module_create(name, &p->m));
    SPK_TRY(sir_need_word(p, "stage"));
    SPK_TRY(sir_need_choice(p, stage_words, "model, lowered or quantised", &stage));
    p->m->stage = (enum ir_stage)stage;
    SPK_TRY(sir_need_word(p, "timesteps"));
    SPK_TRY(sir_need_int(p, 1, IR_MAX_TIMESTEPS, &v));
    p->m->timesteps = (uint32_t)v;
    if (sir_accept_word(p, "target")) {
        SPK_TRY(sir_need_string(p, "the target's name in quotes", &name));
        p->m->target = arena_strdup(&p->m->arena, name);
        if (!p->m->target)
            return SPK_ERR_NOMEM;
    }
    if (sir_accept_word(p, "declared_rate"))
        SPK_TRY(sir_need_float(p, &p->m->declared_rate));
    return SPK_OK;
}

static spk_status text(struct parser *p)
{
    sir_advance(p);
    SPK_TRY(header(p));
    for (;;) {
        if (p->tok.kind == LEX_END)
            return SPK_OK;
        if (p->tok.kind == LEX_VALUE)
            SPK_TRY(node_statement(p));
        else if (sir_at_word(p, "param"))
            SPK_TRY(param_statement(p));
        else if (sir_at_word(p, "neuron"))
            SPK_TRY(neuron_statement(p));
        else
            return sir_expected(p, "param, neuron, or a value such as %0");
    }
}

spk_status ir_parse(const char *file_name, const char *source, size_t length, struct diag_list *d,
                    struct ir_module **out)
{
    struct parser p;
    memset(&p, 0, sizeof p);
    *out = NULL;
    if (length >= (size_t)1 << 31)
        return diag_error(d, diag_place(d, "%s", file_name), "E0331", "text of 2 GiB or more");
    if (d)
        SPK_TRY(diag_source_add(d, file_name, source, length, &p.lex.file));
    arena_init(&p.arena, 0);
    p.d = d;
    p.lex.text = source;
    p.lex.length = (uint32_t)length;
    p.lex.d = d;
    p.lex.arena = &p.arena;
    spk_status s = text(&p);
    arena_fini(&p.arena);
    if (s != SPK_OK) {
        ir_module_destroy(p.m);
        return s;
    }
    *out = p.m;
    return SPK_OK;
}
