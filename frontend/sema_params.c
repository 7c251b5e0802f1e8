/* Parameters of a model: defaults from the description, values from the command line.
 *
 * Settings are text; each is read as the type of the default. All are read before any is used, the
 * last one of a name wins, and every bad one is reported. Ranges here only keep numbers sane
 * (whole numbers 0 .. 2^31 - 1, finite decimals); what fits the model is found when it is built. */
#include <math.h>
#include <string.h>

#include "frontend/sema.h"

static const struct fe_parameter *fe_find_param(const struct fe_def *model, const char *name,
                                                uint32_t *out_index)
{
    *out_index = 0;
    for (const struct fe_parameter *q = model->params; q; q = q->next, ++*out_index) {
        if (strcmp(q->name.text, name) == 0)
            return q;
    }
    return NULL;
}

static void fe_unknown_setting(const struct fe_def *model, const char *name, struct spk_span place,
                               struct diag_list *d)
{
    struct name_hint best;
    name_hint_init(&best, name);
    struct strbuf all = {0};
    for (const struct fe_parameter *q = model->params; q; q = q->next) {
        name_hint_offer(&best, q->name.text);
        strbuf_printf(&all, "%s%s", all.len ? ", " : "", q->name.text);
    }
    diag_error(d, place, "E0240", "model '%s' has no parameter '%s'", model->name.text, name);
    if (name_hint_best(&best))
        diag_help_set(d, "did you mean '%s'? It has: %s", name_hint_best(&best), strbuf_cstr(&all));
    else
        diag_help_set(d, "it has: %s", all.len ? strbuf_cstr(&all) : "none");
    strbuf_fini(&all);
}

/* Checks the range of a number; reports and returns false outside. */
static bool fe_in_range(const struct fe_value *v, const char *name, struct spk_span place,
                        struct diag_list *d)
{
    if (v->kind == FE_V_INT && (v->i < 0 || v->i > INT32_MAX)) {
        diag_error(d, place, "E0242", "%s = %lld is out of range", name, (long long)v->i);
        diag_help_set(d, "whole numbers go from 0 to %d", INT32_MAX);
        return false;
    }
    if (v->kind == FE_V_FLOAT && !(fabs(v->f) <= 3.4e38)) {
        diag_error(d, place, "E0242", "%s is out of range", name);
        diag_help_set(d, "decimal numbers go up to 3.4e38");
        return false;
    }
    return true;
}

static bool fe_read_bool(const char *text, bool *out)
{
    *out = strcmp(text, "true") == 0 || strcmp(text, "1") == 0;
    return *out || strcmp(text, "false") == 0 || strcmp(text, "0") == 0;
}

static void fe_apply_one(const struct fe_def *model, const struct fe_setting *set,
                         struct diag_list *d, struct fe_value *values)
{
    const char *text = set->value ? set->value : "", *name = set->name ? set->name : "";
    struct spk_span place = diag_place(d, "--set %s=%s", name, text);
    uint32_t index;
    const struct fe_parameter *q = fe_find_param(model, name, &index);
    if (!q) {
        fe_unknown_setting(model, name, place, d);
        return;
    }
    struct fe_value *v = &values[index], read = {.kind = v->kind};
    const char *expected = NULL;
    if (v->kind == FE_V_INT)
        expected = spk_parse_i64(text, strlen(text), &read.i) ? NULL : "a whole number";
    else if (v->kind == FE_V_FLOAT)
        expected = spk_parse_f64(text, strlen(text), &read.f) ? NULL : "a number";
    else
        expected = fe_read_bool(text, &read.b) ? NULL : "true or false";
    if (expected) {
        diag_error(d, place, "E0241", "'%s' is not %s, which parameter '%s' is", text, expected,
                   name);
        diag_note_add(d, q->name.span, "the parameter");
    } else if (fe_in_range(&read, name, place, d)) {
        *v = read;
    }
}

spk_status fe_apply_settings(const struct fe_def *model, const struct fe_setting *sets,
                             uint32_t n_sets, struct diag_list *d, struct fe_value *values)
{
    uint32_t errors = d->error_count, i = 0;
    for (const struct fe_parameter *q = model->params; q; q = q->next, i++) {
        if (!fe_literal(q->value, &values[i]))
            return SPK_ERR_INTERNAL; /* the static check lets nothing else through */
        (void)fe_in_range(&values[i], q->name.text, q->value->span, d);
    }
    for (uint32_t k = 0; k < n_sets && !diag_limit_reached(d); k++)
        fe_apply_one(model, &sets[k], d, values);
    if (d->out_of_memory)
        return SPK_ERR_NOMEM;
    return d->error_count > errors ? SPK_ERR_INPUT : SPK_OK;
}
