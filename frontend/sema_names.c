/* Names: the built-in functions, the table of definitions, matching of arguments.
 *
 * Neurons and blocks of all units share one flat name space with the built-in functions; models
 * have their own and only the main unit's counts. Look-up is by hash (uthash, entries on an
 * arena).                                                                                     */
#include "frontend/sema.h"
#include "support/alloc.h"

#include <string.h>

struct fe_table_entry;
#define uthash_malloc(size) spk_alloc(size)
#define uthash_free(pointer, size) spk_free(pointer)
#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(element) ((element)->lost = true)
#include <uthash.h>

struct fe_table_entry {
    const struct fe_def *def;
    bool lost;
    UT_hash_handle hh;
};

static const struct fe_builtin builtins[] = {
    {"conv2d",
     FE_B_CONV2D,
     6,
     {{"x", FE_F_TENSOR, true, 0, NULL, 0},
      {"out", FE_F_INT, true, 0, NULL, 0},
      {"kernel", FE_F_INT, true, 0, NULL, 0},
      {"stride", FE_F_INT, false, 1, NULL, 0},
      {"pad", FE_F_INT, false, 0, NULL, 0},
      {"bias", FE_F_BOOL, false, 0, NULL, 0}}},
    {"linear",
     FE_B_LINEAR,
     3,
     {{"x", FE_F_TENSOR, true, 0, NULL, 0},
      {"out", FE_F_INT, true, 0, NULL, 0},
      {"bias", FE_F_BOOL, false, 1, NULL, 0}}},
    {"batchnorm",
     FE_B_BATCHNORM,
     2,
     {{"x", FE_F_TENSOR, true, 0, NULL, 0}, {"eps", FE_F_FLOAT, false, 1e-5, NULL, 0}}},
    {"maxpool",
     FE_B_MAXPOOL,
     4,
     {{"x", FE_F_TENSOR, true, 0, NULL, 0},
      {"kernel", FE_F_INT, true, 0, NULL, 0},
      {"stride", FE_F_INT, false, 0, NULL, 1},
      {"pad", FE_F_INT, false, 0, NULL, 0}}},
    {"attention",
     FE_B_ATTENTION,
     6,
     {{"q", FE_F_TENSOR, true, 0, NULL, 0},
      {"k", FE_F_TENSOR, true, 0, NULL, 0},
      {"v", FE_F_TENSOR, true, 0, NULL, 0},
      {"heads", FE_F_INT, true, 0, NULL, 0},
      {"scale", FE_F_FLOAT, true, 0, NULL, 0},
      {"order", FE_F_STRING, false, 0, "auto", 0}}},
    {"tokens",
     FE_B_TOKENS,
     2,
     {{"x", FE_F_TENSOR, true, 0, NULL, 0}, {"channels_last", FE_F_BOOL, false, 0, NULL, 0}}},
    {"mean",
     FE_B_MEAN,
     3,
     {{"x", FE_F_TENSOR, true, 0, NULL, 0},
      {"axis", FE_F_AXIS, true, 0, NULL, 0},
      {"axis", FE_F_AXIS, false, 0, NULL, 0}}},
    {"mask",
     FE_B_MASK,
     3,
     {{"x", FE_F_TENSOR, true, 0, NULL, 0},
      {"mask", FE_F_ANY, true, 0, NULL, 0}, /* a tensor, or false */
      {"token", FE_F_BOOL, false, 0, NULL, 0}}},
    {"offset", FE_B_OFFSET, 1, {{"x", FE_F_TENSOR, true, 0, NULL, 0}}},
    {"layernorm",
     FE_B_LAYERNORM,
     4,
     {{"x", FE_F_TENSOR, true, 0, NULL, 0},
      {"eps", FE_F_FLOAT, false, 1e-5, NULL, 0},
      {"affine", FE_F_BOOL, false, 1, NULL, 0},
      {"sample", FE_F_BOOL, false, 0, NULL, 0}}},
    {"gelu", FE_B_GELU, 1, {{"x", FE_F_TENSOR, true, 0, NULL, 0}}},
    {"slice",
     FE_B_SLICE,
     3,
     {{"x", FE_F_TENSOR, true, 0, NULL, 0},
      {"begin", FE_F_INT, true, 0, NULL, 0},
      {"count", FE_F_INT, true, 0, NULL, 0}}},
    {"patches",
     FE_B_PATCHES,
     2,
     {{"x", FE_F_TENSOR, true, 0, NULL, 0}, {"size", FE_F_INT, true, 0, NULL, 0}}},
    {"softmax_attention",
     FE_B_SOFTMAX_ATTENTION,
     5,
     {{"q", FE_F_TENSOR, true, 0, NULL, 0},
      {"k", FE_F_TENSOR, true, 0, NULL, 0},
      {"v", FE_F_TENSOR, true, 0, NULL, 0},
      {"heads", FE_F_INT, true, 0, NULL, 0},
      {"scale", FE_F_FLOAT, true, 0, NULL, 0}}},
    {"mse",
     FE_B_MSE,
     3,
     {{"x", FE_F_TENSOR, true, 0, NULL, 0},
      {"y", FE_F_TENSOR, true, 0, NULL, 0},
      {"mask", FE_F_TENSOR, false, 0, NULL, 0}}},
    {"min",
     FE_B_MIN,
     2,
     {{"a", FE_F_NUMBER, true, 0, NULL, 0}, {"b", FE_F_NUMBER, true, 0, NULL, 0}}},
    {"max",
     FE_B_MAX,
     2,
     {{"a", FE_F_NUMBER, true, 0, NULL, 0}, {"b", FE_F_NUMBER, true, 0, NULL, 0}}},
    {"abs", FE_B_ABS, 1, {{"a", FE_F_NUMBER, true, 0, NULL, 0}}},
    {"div", FE_B_DIV, 2, {{"a", FE_F_INT, true, 0, NULL, 0}, {"b", FE_F_INT, true, 0, NULL, 0}}},
};
#define N_BUILTINS (sizeof builtins / sizeof builtins[0])

const struct fe_builtin *fe_builtin_find(const char *name)
{
    for (size_t i = 0; i < N_BUILTINS; i++) {
        if (strcmp(builtins[i].name, name) == 0)
            return &builtins[i];
    }
    return NULL;
}

const char *fe_value_kind_name(enum fe_value_kind kind)
{
    static const char *const names[] = {"an error",         "a tensor",  "a whole number",
                                        "a decimal number", "a boolean", "a string"};
    return names[kind];
}

bool fe_value_number(const struct fe_value *v, double *out)
{
    *out = v->kind == FE_V_INT ? (double)v->i : v->f;
    return v->kind == FE_V_INT || v->kind == FE_V_FLOAT;
}

/* ---- definitions ---- */

static spk_status fe_symbols_add(struct fe_symbols *s, const struct fe_def *def,
                                 struct diag_list *d)
{
    struct fe_table_entry *have = NULL;
    if (fe_builtin_find(def->name.text)) {
        diag_error(d, def->name.span, "E0201", "'%s' is a built-in function", def->name.text);
        diag_help_set(d, "choose another name");
        return SPK_OK;
    }
    HASH_FIND_STR(s->table, def->name.text, have);
    if (have) {
        diag_error(d, def->name.span, "E0201", "'%s' is defined twice", def->name.text);
        diag_note_add(d, have->def->name.span, "first definition");
        return SPK_OK;
    }
    struct fe_table_entry *entry = ARENA_NEW(s->arena, struct fe_table_entry);
    if (!entry)
        return SPK_ERR_NOMEM;
    entry->def = def;
    HASH_ADD_KEYPTR(hh, s->table, def->name.text, strlen(def->name.text), entry);
    return entry->lost ? SPK_ERR_NOMEM : SPK_OK;
}

static spk_status fe_symbols_unit(struct fe_symbols *s, const struct fe_unit *unit, uint32_t *count,
                                  struct diag_list *d)
{
    for (const struct fe_def *def = unit->defs; def; def = def->next) {
        if (++*count > FE_MAX_DEFS)
            return diag_error(d, def->span, "E0115", "more than %u definitions", FE_MAX_DEFS);
        if (def->kind != FE_MODEL) {
            SPK_TRY(fe_symbols_add(s, def, d));
        } else if (unit == s->program->units) {
            if (s->model) {
                diag_error(d, def->name.span, "E0202", "a file describes one model");
                diag_note_add(d, s->model->name.span, "the first one");
            } else {
                s->model = def;
            }
        }
    }
    return SPK_OK;
}

spk_status fe_symbols_init(struct fe_symbols *s, const struct fe_program *program,
                           struct arena *arena, bool need_model, struct diag_list *d)
{
    *s = (struct fe_symbols){.program = program, .arena = arena};
    uint32_t count = 0, errors = d->error_count;
    for (const struct fe_unit *unit = program->units; unit; unit = unit->next)
        SPK_TRY(fe_symbols_unit(s, unit, &count, d));
    if (!s->model && need_model && program->units) {
        uint32_t file = program->units->file;
        diag_error(d, (struct spk_span){file, 0, 0}, "E0203", "there is no model in this file");
        diag_help_set(d, "a description holds: model NAME(parameters) { … }");
    }
    return d->error_count > errors ? SPK_ERR_INPUT : SPK_OK;
}

void fe_symbols_fini(struct fe_symbols *s)
{
    HASH_CLEAR(hh, s->table);
}

struct fe_callee fe_symbols_call(const struct fe_symbols *s, const char *name)
{
    struct fe_callee callee = {fe_builtin_find(name), NULL};
    if (!callee.builtin) {
        struct fe_table_entry *entry = NULL;
        HASH_FIND_STR(s->table, name, entry);
        callee.def = entry ? entry->def : NULL;
    }
    return callee;
}

void fe_symbols_nearest(const struct fe_symbols *s, struct name_hint *best)
{
    for (size_t i = 0; i < N_BUILTINS; i++)
        name_hint_offer(best, builtins[i].name);
    for (const struct fe_table_entry *e = s->table; e; e = e->hh.next)
        name_hint_offer(best, e->def->name.text);
}

/* ---- arguments ---- */

uint32_t fe_formal_count(const struct fe_callee *callee)
{
    uint32_t n = 0;
    if (callee->builtin)
        return callee->builtin->n;
    if (callee->def && callee->def->kind == FE_NEURON)
        n = 1; /* the input comes before the parameters */
    for (const struct fe_parameter *q = callee->def ? callee->def->params : NULL; q; q = q->next)
        n++;
    return n;
}

/* Flattens formals of any callee; at most FE_MAX_FORMALS. */
static uint32_t fe_formals(const struct fe_callee *callee, struct fe_formal *out)
{
    uint32_t n = 0;
    if (callee->builtin) {
        memcpy(out, callee->builtin->formal, callee->builtin->n * sizeof *out);
        return callee->builtin->n;
    }
    if (callee->def->kind == FE_NEURON)
        out[n++] = (struct fe_formal){.name = "input", .kind = FE_F_TENSOR, .required = true};
    for (const struct fe_parameter *q = callee->def->params; q && n < FE_MAX_FORMALS; q = q->next)
        out[n++] = (struct fe_formal){.name = q->name.text, .required = !q->value};
    return n;
}

static void fe_note_signature(struct diag_list *d, const struct fe_callee *callee,
                              const struct fe_formal *formal, uint32_t n)
{
    struct strbuf text = {0};
    strbuf_printf(&text, "%s(", callee->builtin ? callee->builtin->name : callee->def->name.text);
    for (uint32_t i = 0; i < n; i++) {
        strbuf_printf(&text, "%s%s", i ? ", " : "", formal[i].name);
        if (!formal[i].required)
            strbuf_append(&text, " = …");
    }
    strbuf_char(&text, ')');
    if (text.status == SPK_OK)
        diag_note_add(d, callee->def ? callee->def->name.span : spk_span_none, "it is declared %s",
                      strbuf_cstr(&text));
    strbuf_fini(&text);
}

/* Slot of one argument, UINT32_MAX where there is none (reported). */
static uint32_t fe_slot(const struct fe_arg *a, uint32_t position, const struct fe_formal *formal,
                        uint32_t n, struct diag_list *d)
{
    struct name_hint best;
    if (!a->name.text) {
        if (position < n)
            return position;
        diag_error(d, a->value ? a->value->span : a->name.span, "E0204",
                   "too many arguments: at most %u", n);
        return UINT32_MAX;
    }
    name_hint_init(&best, a->name.text);
    for (uint32_t i = 0; i < n; i++) {
        if (formal[i].kind != FE_F_AXIS && strcmp(formal[i].name, a->name.text) == 0)
            return i;
        name_hint_offer(&best, formal[i].name);
    }
    diag_error(d, a->name.span, "E0205", "unknown argument '%s'", a->name.text);
    if (name_hint_best(&best))
        diag_help_set(d, "did you mean '%s'?", name_hint_best(&best));
    return UINT32_MAX;
}

bool fe_match_args(const struct fe_callee *callee, const struct fe_expr *call, struct diag_list *d,
                   const struct fe_arg **slot)
{
    struct fe_formal formal[FE_MAX_FORMALS + 1];
    uint32_t n = fe_formals(callee, formal), position = 0;
    bool named = false;
    memset(slot, 0, n * sizeof *slot);
    for (const struct fe_arg *a = call->args; a; a = a->next) {
        if (!a->name.text && named) {
            diag_error(d, a->value ? a->value->span : call->span, "E0204",
                       "positional argument after a named one");
            return false;
        }
        named = named || a->name.text;
        uint32_t i = fe_slot(a, position++, formal, n, d);
        if (i == UINT32_MAX) {
            fe_note_signature(d, callee, formal, n);
            return false;
        }
        if (slot[i]) {
            diag_error(d, a->name.span, "E0205", "argument '%s' is given twice", formal[i].name);
            return false;
        }
        slot[i] = a;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (formal[i].required && !slot[i]) {
            if (formal[i].kind == FE_F_AXIS) {
                diag_error(d, call->span, "E0204", "mean needs the axes it runs over");
                diag_help_set(d, "write mean(x, tokens, time)");
            } else {
                diag_error(d, call->span, "E0204", "argument '%s' is missing", formal[i].name);
                fe_note_signature(d, callee, formal, n);
            }
            return false;
        }
    }
    return true;
}
