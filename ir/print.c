/* The text form of a module (.sir).
 *
 * Params, then neuron programs, then one line per node, all in id order; docs/ir.md has the
 * grammar. Equations are printed as infix with the fewest parentheses that keep the postfix code
 * as it is; numbers in the shortest form that reads back the same. Source spans and tensor data
 * are not part of the text, and ir_module_equal ignores them, so that parse(print(m)) equals m.
 *
 * Cost: linear in the text; an equation is rebuilt as text on a stack of at most 16 entries.    */
#include <string.h>

#include "ir/ir.h"
#include "ir/ir_private.h"
#include "ir/ir_syntax.h"
#include "ir/ir_text.h"

/* ---- words ---- */

bool ir_plain_name(const char *name)
{
    if (!*name || (*name >= '0' && *name <= '9') || *name == '.' || *name == '-')
        return false;
    for (const char *c = name; *c; c++) {
        bool letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || *c == '_';
        if (!letter && !(*c >= '0' && *c <= '9') && *c != '.')
            return false;
    }
    return true;
}

/* A state's name that can stand in an equation. */
static bool plain_state(const struct ir_neuron *n, uint32_t s)
{
    static const char *const reserved[] = {"input", "min", "max", "abs", "nan", "inf", "param"};
    const char *name = n->state_name[s];
    if (!name || !ir_plain_name(name) || strchr(name, '.'))
        return false;
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++) {
        if (strcmp(name, reserved[i]) == 0)
            return false;
    }
    for (uint32_t i = 0; i < n->n_states; i++) {
        if (i != s && n->state_name[i] && strcmp(n->state_name[i], name) == 0)
            return false;
    }
    return true;
}

static void print_quoted(const char *text, struct strbuf *out)
{
    strbuf_c_string(out, text, strlen(text));
}

static void print_param_name(const char *name, struct strbuf *out)
{
    strbuf_char(out, '@');
    if (ir_plain_name(name))
        strbuf_append(out, name);
    else
        print_quoted(name, out);
}

/* ---- equations ---- */

enum level { LEVEL_SUM, LEVEL_PRODUCT, LEVEL_ATOM };
struct part {
    struct strbuf text;
    enum level level;
};

static void wrapped(struct strbuf *out, const struct part *p, enum level at_least)
{
    bool parens = p->level < at_least;
    if (parens)
        strbuf_char(out, '(');
    strbuf_append(out, strbuf_cstr(&p->text));
    if (parens)
        strbuf_char(out, ')');
    if (p->text.status != SPK_OK && out->status == SPK_OK)
        out->status = p->text.status;
}

static void apply_binary(uint8_t code, struct part *a, struct part *b)
{
    struct strbuf t = {0};
    bool product = code == IR_EQ_MUL || code == IR_EQ_DIV;
    if (code == IR_EQ_MIN || code == IR_EQ_MAX) {
        strbuf_append(&t, code == IR_EQ_MIN ? "min(" : "max(");
        wrapped(&t, a, LEVEL_SUM);
        strbuf_append(&t, ", ");
        wrapped(&t, b, LEVEL_SUM);
        strbuf_char(&t, ')');
    } else {
        const char *sign = code == IR_EQ_ADD   ? " + "
                           : code == IR_EQ_SUB ? " - "
                           : code == IR_EQ_MUL ? " * "
                                               : " / ";
        wrapped(&t, a, product ? LEVEL_PRODUCT : LEVEL_SUM);
        strbuf_append(&t, sign);
        wrapped(&t, b, product ? LEVEL_ATOM : LEVEL_PRODUCT);
    }
    strbuf_fini(&a->text);
    strbuf_fini(&b->text);
    a->text = t;
    a->level = code == IR_EQ_MIN || code == IR_EQ_MAX ? LEVEL_ATOM
               : product                              ? LEVEL_PRODUCT
                                                      : LEVEL_SUM;
}

static void apply_unary(uint8_t code, struct part *a)
{
    struct strbuf t = {0};
    strbuf_append(&t, code == IR_EQ_NEG ? "-(" : "abs(");
    wrapped(&t, a, LEVEL_SUM);
    strbuf_char(&t, ')');
    strbuf_fini(&a->text);
    a->text = t;
    a->level = LEVEL_ATOM;
}

static void print_leaf(const struct ir_neuron *n, const struct ir_eq *e, struct strbuf *out)
{
    if (e->code == IR_EQ_CONST)
        strbuf_f32(out, e->k);
    else if (e->code == IR_EQ_INPUT)
        strbuf_append(out, "input");
    else if (e->code == IR_EQ_PARAM)
        strbuf_printf(out, "param(%u)", e->arg);
    else if (plain_state(n, e->arg))
        strbuf_append(out, n->state_name[e->arg]);
    else
        strbuf_printf(out, "$%u", e->arg);
}

static void print_expr(const struct ir_neuron *n, const struct ir_expr *e, struct strbuf *out)
{
    struct part stack[IR_EQ_MAX_DEPTH] = {0};
    uint32_t depth = 0;
    if (!ir_expr_valid(e, n->n_states)) {
        strbuf_append(out, "<malformed>");
        return;
    }
    for (uint32_t i = 0; i < e->n; i++) {
        switch (e->code[i].code) {
        case IR_EQ_CONST:
        case IR_EQ_INPUT:
        case IR_EQ_STATE:
        case IR_EQ_PARAM:
            stack[depth] = (struct part){{0}, LEVEL_ATOM};
            print_leaf(n, &e->code[i], &stack[depth++].text);
            break;
        case IR_EQ_NEG:
        case IR_EQ_ABS:
            apply_unary(e->code[i].code, &stack[depth - 1]);
            break;
        default:
            depth--;
            apply_binary(e->code[i].code, &stack[depth - 1], &stack[depth]);
            break;
        }
    }
    wrapped(out, &stack[0], LEVEL_SUM);
    strbuf_fini(&stack[0].text);
}

static void print_state_name(const struct ir_neuron *n, uint32_t s, struct strbuf *out)
{
    if (plain_state(n, s))
        strbuf_append(out, n->state_name[s]);
    else
        strbuf_printf(out, "$%u", s);
}

static void print_neuron(const struct ir_neuron *n, uint32_t id, struct strbuf *out)
{
    uint32_t states = n->n_states < IR_MAX_STATES ? n->n_states : IR_MAX_STATES;
    strbuf_printf(out, "neuron #%u ", id);
    print_quoted(n->name ? n->name : "", out);
    strbuf_append(out, " {\n");
    for (uint32_t i = 0; i < states; i++) {
        strbuf_append(out, "\tstate ");
        if (plain_state(n, i))
            strbuf_append(out, n->state_name[i]);
        else
            print_quoted(n->state_name[i] ? n->state_name[i] : "", out);
        strbuf_append(out, " = ");
        strbuf_f32(out, n->state_init[i]);
        strbuf_char(out, '\n');
    }
    for (uint32_t i = 0; i < states; i++) {
        if (!n->charge[i].n)
            continue;
        strbuf_append(out, "\tcharge ");
        print_state_name(n, i, out);
        strbuf_append(out, " = ");
        print_expr(n, &n->charge[i], out);
        strbuf_char(out, '\n');
    }
    strbuf_append(out, "\tfire ");
    print_expr(n, &n->fire_lhs, out);
    strbuf_append(out, n->cmp == IR_CMP_GT ? " > " : " >= ");
    print_expr(n, &n->fire_rhs, out);
    strbuf_char(out, '\n');
    for (uint32_t i = 0; i < states; i++) {
        if (!n->reset[i].n)
            continue;
        strbuf_append(out, "\treset ");
        print_state_name(n, i, out);
        strbuf_append(out, " = ");
        print_expr(n, &n->reset[i], out);
        strbuf_char(out, '\n');
    }
    strbuf_append(out, "}\n");
}

/* ---- attributes ---- */

/* Zero (in floats +0) is the default and left out. */
static bool is_default(const struct ir_node *n, const struct ir_attr_info *a)
{
    if (a->always)
        return false;
    for (uint32_t i = 0; i < a->count; i++) {
        if (ir_attr_get(n, a, i) != 0)
            return false;
    }
    return true;
}

static void print_attr_value(const struct ir_node *n, const struct ir_attr_info *a, uint32_t i,
                             struct strbuf *out)
{
    int64_t v = ir_attr_get(n, a, i);
    if (a->type == IR_ATTR_F32)
        strbuf_f32(out, ir_attr_get_f32(n, a, i));
    else if (a->type == IR_ATTR_BOOL)
        strbuf_append(out, v ? "true" : "false");
    else if (a->type == IR_ATTR_U32 && v == IR_NONE)
        strbuf_append(out, "none");
    else if (a->type == IR_ATTR_WORD) {
        uint32_t words = 0;
        while (a->words[words])
            words++;
        if (v >= 0 && v < words)
            strbuf_append(out, a->words[v]);
        else
            strbuf_i64(out, v);
    } else
        strbuf_i64(out, v);
}

static void print_attrs(const struct ir_node *n, struct strbuf *out)
{
    uint32_t count, printed = 0;
    const struct ir_attr_info *a = ir_attr_table(n->op, &count);
    for (uint32_t i = 0; i < count; i++, a++) {
        if (is_default(n, a))
            continue;
        strbuf_append(out, printed++ ? ", " : " {");
        strbuf_append(out, a->key);
        strbuf_char(out, '=');
        if (a->count > 1)
            strbuf_char(out, '[');
        for (uint32_t j = 0; j < a->count; j++) {
            if (j)
                strbuf_append(out, ", ");
            print_attr_value(n, a, j, out);
        }
        if (a->count > 1)
            strbuf_char(out, ']');
    }
    if (printed)
        strbuf_char(out, '}');
}

/* ---- module ---- */

static void print_node(const struct ir_module *m, uint32_t id, struct strbuf *out)
{
    const struct ir_node *n = &m->node[id];
    strbuf_printf(out, "%%%u = %s", id, ir_op_info(n->op)->name);
    for (uint32_t i = 0; i < n->n_operands; i++)
        strbuf_printf(out, i ? ", %%%u" : " %%%u", n->operand[i]);
    for (uint32_t i = 0; i < n->n_params; i++) {
        strbuf_append(out, i ? ", " : " params(");
        if (n->param[i] < m->n_params && m->param[n->param[i]].name)
            print_param_name(m->param[n->param[i]].name, out);
        else
            strbuf_append(out, "<missing>");
    }
    if (n->n_params)
        strbuf_char(out, ')');
    print_attrs(n, out);
    strbuf_append(out, " : ");
    ir_type_text(&n->type, out);
    if (n->name) {
        strbuf_append(out, " name ");
        print_quoted(n->name, out);
    }
    strbuf_append(out, n->recorded ? " recorded\n" : "\n");
}

void ir_print(const struct ir_module *m, struct strbuf *out)
{
    strbuf_append(out, "sir 1\nmodule ");
    print_quoted(m->name ? m->name : "", out);
    strbuf_printf(out, "\nstage %s\ntimesteps %u\n", ir_stage_name(m->stage), m->timesteps);
    if (m->target) {
        strbuf_append(out, "target ");
        print_quoted(m->target, out);
        strbuf_char(out, '\n');
    }
    if (!ir_same_f32(m->declared_rate, 0.0f)) {
        strbuf_append(out, "declared_rate ");
        strbuf_f32(out, m->declared_rate);
        strbuf_char(out, '\n');
    }
    for (uint32_t i = 0; i < m->n_params; i++) {
        const struct ir_param *p = &m->param[i];
        strbuf_append(out, "param ");
        print_param_name(p->name ? p->name : "", out);
        strbuf_printf(out, " %s ", ir_dtype_name(p->dtype));
        ir_dims_text(p->rank < IR_MAX_RANK ? p->rank : IR_MAX_RANK, p->dim, out);
        strbuf_char(out, '\n');
    }
    for (uint32_t i = 0; i < m->n_neurons; i++)
        print_neuron(&m->neuron[i], i, out);
    for (uint32_t i = 0; i < m->n_nodes; i++)
        print_node(m, i, out);
}
