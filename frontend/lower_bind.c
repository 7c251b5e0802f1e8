/* Bindings: the params of a module get the names that a user's checkpoint has.
 *
 * A side of a binding fits a param by its whole name, by a prefix that ends at a '.', or always
 * where it is empty; the rest of the name is kept. The first binding that fits counts. Cost:
 * params x bindings, at most FE_MAX_WORK.                                                      */
#include <stdlib.h>
#include <string.h>

#include "frontend/sema.h"
#include "support/alloc.h"

#define FE_MAX_WORK 100000000u

/* What follows the matched part of `name`, or NULL where `pattern` does not fit. */
static const char *fe_rest(const char *pattern, const char *name)
{
    size_t n = strlen(pattern);
    if (strncmp(pattern, name, n) != 0)
        return NULL;
    if (n == 0 || name[n] == '\0' || name[n] == '.' || pattern[n - 1] == '.')
        return name + n;
    return NULL;
}

static bool fe_fits_any(const struct ir_module *m, const char *pattern)
{
    for (uint32_t i = 0; i < m->n_params; i++) {
        if (fe_rest(pattern, m->param[i].name))
            return true;
    }
    return false;
}

/* Turns bindings that were written the other way round and complains about idle ones. */
static void fe_orient(const struct ir_module *m, struct fe_binding *binds,
                      const struct spk_span *spans, uint32_t n, struct diag_list *d)
{
    for (uint32_t i = 0; i < n; i++) {
        struct fe_binding b = binds[i];
        if (fe_fits_any(m, b.to))
            continue;
        if (fe_fits_any(m, b.from)) {
            binds[i] = (struct fe_binding){b.to, b.from};
            continue;
        }
        struct name_hint hint;
        name_hint_init(&hint, b.to);
        for (uint32_t k = 0; k < m->n_params; k++)
            name_hint_offer(&hint, m->param[k].name);
        diag_error(d, spans[i], "E0243", "the model has no weight '%s' nor '%s'", b.to, b.from);
        if (name_hint_best(&hint))
            diag_help_set(d, "did you mean '%s'?", name_hint_best(&hint));
        else
            diag_help_set(d, "a binding is CHECKPOINT=MODEL, with whole names or prefixes that "
                             "end at a '.'");
    }
}

static int fe_compare_names(const void *a, const void *b)
{
    const struct ir_param *const *x = a, *const *y = b;
    int order = strcmp((*x)->name, (*y)->name);
    return order ? order : (*x > *y) - (*x < *y);
}

/* Two params must not end up with one name. */
static spk_status fe_check_unique(const struct ir_module *m, struct diag_list *d)
{
    const struct ir_param **sorted;
    spk_status status = SPK_OK;
    SPK_TRY(spk_alloc_array(m->n_params, sizeof *sorted, &sorted));
    for (uint32_t i = 0; i < m->n_params; i++)
        sorted[i] = &m->param[i];
    qsort(sorted, m->n_params, sizeof *sorted, fe_compare_names);
    for (uint32_t i = 1; i < m->n_params && status == SPK_OK; i++) {
        if (strcmp(sorted[i - 1]->name, sorted[i]->name) != 0)
            continue;
        status = diag_error(d, sorted[i]->span, "E0244",
                            "the bindings give two weights the name '%s'", sorted[i]->name);
        diag_note_add(d, sorted[i - 1]->span, "the other one");
    }
    spk_free(sorted);
    return status;
}

static spk_status fe_rename_params(struct ir_module *m, const struct fe_binding *binds, uint32_t n)
{
    for (uint32_t i = 0; i < m->n_params; i++) {
        for (uint32_t k = 0; k < n; k++) {
            const char *rest = fe_rest(binds[k].to, m->param[i].name);
            if (!rest)
                continue;
            const char *name = arena_printf(&m->arena, "%s%s", binds[k].from, rest);
            if (!name)
                return SPK_ERR_NOMEM;
            m->param[i].name = name;
            break;
        }
    }
    return SPK_OK;
}

spk_status fe_bind_names(struct ir_module *m, const struct fe_binding *binds,
                         const struct spk_span *spans, uint32_t n_binds, struct diag_list *d)
{
    if (n_binds == 0)
        return SPK_OK;
    if ((uint64_t)n_binds * m->n_params > FE_MAX_WORK)
        return diag_error(d, spans[0], "E0245", "too many bindings: %u", n_binds);
    struct fe_binding *turned;
    uint32_t errors = d->error_count;
    SPK_TRY(spk_alloc_array(n_binds, sizeof *turned, &turned));
    memcpy(turned, binds, n_binds * sizeof *turned);
    fe_orient(m, turned, spans, n_binds, d);
    spk_status status = d->error_count > errors ? SPK_ERR_INPUT : SPK_OK;
    if (status == SPK_OK)
        status = fe_rename_params(m, turned, n_binds);
    spk_free(turned);
    return status == SPK_OK ? fe_check_unique(m, d) : status;
}
