/* Reading rates.
 *
 * The members of the JSON object are looked up among the module's named values; everything that is
 * wrong is reported before the status is returned. Rates are those of the golden cases: the mean
 * over images, steps and elements, so that a sum of spikes may exceed 1.
 * Invariant: every rate is finite, not negative and at most the static bound of its value (where
 * the module knows one). Cost: linear, plus a search for near names per unknown one. */
#include "frontend/rates.h"

#include <string.h>

#include "support/name_hint.h"
#include "support/json.h"
#include "support/strbuf.h"

#define MAX_NAMED 5u  /* missing names spelt out in the warning */
#define MAX_HINTS 20u /* unknown names that get a suggestion */

struct rate_reader {
    const struct ir_module *m;
    struct diag_list *diags;
    struct fe_rates *out;
    uint32_t n_unknown;
    spk_status status;
};

void fe_rates_fini(struct fe_rates *rates)
{
    arena_fini(&rates->arena);
    *rates = (struct fe_rates){0};
}

static void fail(struct rate_reader *r, spk_status status)
{
    if (r->status == SPK_OK || status == SPK_ERR_NOMEM)
        r->status = status;
}

static bool has_rate(const struct ir_node *node)
{
    return node->name && (node->type.kind == IR_SPIKE || node->type.kind == IR_COUNT) &&
           node->op != IR_OP_INPUT;
}

static void unknown_name(struct rate_reader *r, const struct json_cursor *at)
{
    struct name_hint hint;
    fail(r,
         diag_error(r->diags, js_place(at), "E0432", "the model has no spike value '%s'", at->key));
    if (r->n_unknown++ >= MAX_HINTS)
        return;
    name_hint_init(&hint, at->key);
    for (uint32_t i = 0; i < r->m->n_nodes; i++) {
        if (has_rate(&r->m->node[i]))
            name_hint_offer(&hint, r->m->node[i].name);
    }
    if (name_hint_best(&hint))
        diag_help_set(r->diags, "did you mean '%s'?", name_hint_best(&hint));
}

static spk_status read_rate(struct rate_reader *r, const struct ir_type *type,
                            const struct json_cursor *at, double *out)
{
    SPK_TRY(js_f64(at, out));
    double most = type->kind == IR_SPIKE ? 1.0 : type->bound;
    if (*out < 0.0 || (most > 0.0 && *out > most)) {
        struct strbuf text = {0};
        strbuf_f64(&text, *out);
        spk_status status = diag_error(r->diags, js_place(at), "E0433",
                                       "a rate of %s is impossible", strbuf_cstr(&text));
        if (most > 0.0)
            diag_help_set(r->diags, "this value lies between 0 and %.0f", most);
        strbuf_fini(&text);
        return status;
    }
    return SPK_OK;
}

static spk_status read_channels(struct rate_reader *r, const struct ir_node *node,
                                const struct json_cursor *at, double **out, uint32_t *out_n)
{
    size_t n;
    SPK_TRY(js_array_length(at, &n));
    if (n != node->type.channels)
        return diag_error(r->diags, js_place(at), "E0434", "%zu rates for a value of %u channels",
                          n, node->type.channels);
    *out_n = (uint32_t)n;
    *out = ARENA_NEW_ARRAY(&r->out->arena, double, n);
    if (!*out)
        return SPK_ERR_NOMEM;
    for (size_t i = 0; i < n; i++) {
        struct json_cursor element;
        SPK_TRY(js_element(at, i, &element));
        SPK_TRY(read_rate(r, &node->type, &element, *out + i));
    }
    return SPK_OK;
}

static void read_member(struct rate_reader *r, const struct json_cursor *at)
{
    uint32_t id = ir_find_value(r->m, at->key), n = 1;
    double *rate = NULL;
    spk_status status = SPK_OK;
    if (id == IR_NONE || !has_rate(&r->m->node[id])) {
        unknown_name(r, at);
        return;
    }
    if (js_kind(at->value) == JS_ARRAY) {
        status = read_channels(r, &r->m->node[id], at, &rate, &n);
    } else {
        rate = ARENA_NEW(&r->out->arena, double);
        status = rate ? read_rate(r, &r->m->node[id].type, at, rate) : SPK_ERR_NOMEM;
    }
    if (status == SPK_OK)
        r->out->of_node[id] = (struct fe_rate){n, rate};
    else
        fail(r, status);
}

/* One warning that names the neuron values without a rate. */
static void warn_missing(struct rate_reader *r, const char *name)
{
    struct strbuf list = {0};
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->m->n_nodes; i++) {
        const struct ir_node *node = &r->m->node[i];
        if (node->op != IR_OP_NEURON || !node->name || r->out->of_node[i].n)
            continue;
        if (n++ < MAX_NAMED)
            strbuf_printf(&list, "%s%s", n > 1 ? ", " : "", node->name);
    }
    if (n > MAX_NAMED)
        strbuf_append(&list, ", …");
    if (n)
        diag_warning(r->diags, diag_place(r->diags, "%s", name), "W0435",
                     "no rate for %u of the model's spike values: %s", n, strbuf_cstr(&list));
    if (list.status != SPK_OK)
        fail(r, list.status);
    strbuf_fini(&list);
}

static spk_status read_object(struct rate_reader *r, const struct json_value *value,
                              const char *name)
{
    struct json_cursor root = js_root(value, name, r->diags), inner, member;
    const struct json_cursor *at = &root;
    void *iterator = NULL;
    if (js_kind(value) != JS_OBJECT)
        return diag_error(r->diags, js_place(&root), "E0431",
                          "rates are an object of value names and numbers, this is %s",
                          js_kind_name(js_kind(value)));
    if (js_has(&root, "rates")) {
        SPK_TRY(js_member(&root, "rates", &inner));
        at = &inner;
        if (js_kind(inner.value) != JS_OBJECT)
            return diag_error(r->diags, js_place(at), "E0431", "'rates' must be an object");
    }
    while (js_next_member(at, &iterator, &member))
        read_member(r, &member);
    if (r->status == SPK_OK)
        warn_missing(r, name);
    return r->status;
}

static spk_status read_tree(struct json_value *value, const char *name, const struct ir_module *m,
                            struct diag_list *diags, struct fe_rates *out_rates)
{
    struct fe_rates rates = {.n_nodes = m->n_nodes};
    struct rate_reader r = {.m = m, .diags = diags, .out = &rates};
    arena_init(&rates.arena, 0);
    rates.of_node = ARENA_NEW_ARRAY(&rates.arena, struct fe_rate, m->n_nodes);
    spk_status status = rates.of_node ? read_object(&r, value, name) : SPK_ERR_NOMEM;
    js_free(value);
    if (status == SPK_OK)
        *out_rates = rates;
    else
        fe_rates_fini(&rates);
    return status;
}

spk_status fe_rates_load(const char *path, const struct ir_module *m, struct diag_list *diags,
                         struct fe_rates *out_rates)
{
    struct json_value *value = NULL;
    SPK_TRY(js_parse_file(path, NULL, diags, &value));
    return read_tree(value, path, m, diags, out_rates);
}

spk_status fe_rates_parse(const char *text, size_t length, const char *name,
                          const struct ir_module *m, struct diag_list *diags,
                          struct fe_rates *out_rates)
{
    struct json_value *value = NULL;
    SPK_TRY(js_parse(text, length, name, NULL, diags, &value));
    return read_tree(value, name, m, diags, out_rates);
}
