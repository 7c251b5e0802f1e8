/* Tensors of two folders, by name: shape, type, and how many values differ by how much. */
#include <math.h>
#include <string.h>

#include "api/diff.h"
#include "support/alloc.h"
#include "support/file.h"
#include "support/safetensors.h"

static spk_status open_file(struct diff *d, uint32_t side, const char *stem, struct st_file **out)
{
    char name[64];
    spk_snprintf(name, sizeof name, "%s.safetensors", stem);
    char *path = path_join(d->side[side].folder, name);
    spk_status status = path ? st_open(path, &d->context->diags, out) : SPK_ERR_NOMEM;
    spk_free(path);
    return status;
}

static bool same_form(const struct st_tensor *a, const struct st_tensor *b)
{
    return a->dtype == b->dtype && a->rank == b->rank &&
           memcmp(a->shape, b->shape, a->rank * sizeof *a->shape) == 0;
}

static spk_status form_text(struct diff *d, const struct st_tensor *t, const char **out)
{
    struct strbuf text = {0};
    st_describe(t, &text);
    *out = arena_strdup(&d->arena, strbuf_cstr(&text));
    spk_status status = text.status;
    strbuf_fini(&text);
    return status == SPK_OK && *out == NULL ? SPK_ERR_NOMEM : status;
}

/* One of another form, or that only one folder has (NULL). */
static spk_status add_form(struct diff *d, enum diff_part part, const struct st_tensor *a,
                           const struct st_tensor *b)
{
    const char *text[2] = {NULL, NULL};
    if (a != NULL)
        SPK_TRY(form_text(d, a, &text[0]));
    if (b != NULL)
        SPK_TRY(form_text(d, b, &text[1]));
    struct diff_change change = {.part = part,
                                 .name = arena_strdup(&d->arena, a ? a->name : b->name),
                                 .first = diff_text(text[0]),
                                 .second = diff_text(text[1])};
    return change.name ? diff_add(d, &change) : SPK_ERR_NOMEM;
}

/* `first` of the change is the number of values, `second` of those that differ. */
static spk_status compare_values(struct diff *d, enum diff_part part, const struct st_tensor *a,
                                 const struct st_tensor *b)
{
    const size_t at = part == DIFF_WEIGHTS ? 0 : 1;
    double *x = NULL, *y = NULL, largest = 0;
    uint64_t n = 0;
    if (a->size == b->size && memcmp(a->data, b->data, a->size) == 0)
        return SPK_OK;
    spk_status status = spk_alloc_array_raw(a->count, sizeof *x, &x);
    if (status == SPK_OK)
        status = spk_alloc_array_raw(a->count, sizeof *y, &y);
    if (status == SPK_OK)
        status = st_to_f64(a, x);
    if (status == SPK_OK)
        status = st_to_f64(b, y);
    for (uint64_t i = 0; status == SPK_OK && i < a->count; i++) {
        n += x[i] != y[i];
        largest = fabs(x[i] - y[i]) > largest ? fabs(x[i] - y[i]) : largest;
    }
    spk_free(x);
    spk_free(y);
    if (status != SPK_OK || n == 0)
        return status;
    struct diff_change change = {.part = part,
                                 .name = arena_strdup(&d->arena, a->name),
                                 .first = diff_number((double)a->count),
                                 .second = diff_number((double)n)};
    if (change.name == NULL)
        return SPK_ERR_NOMEM;
    if (largest > d->largest[at]) {
        d->largest[at] = largest;
        d->largest_where[at] = change.name;
    }
    return diff_add(d, &change);
}

static spk_status compare_files(struct diff *d, enum diff_part part, const struct st_file *a,
                                const struct st_file *b)
{
    d->tensors[part == DIFF_WEIGHTS ? 0 : 1] = st_count(a);
    for (size_t i = 0; i < st_count(a); i++) {
        const struct st_tensor *t = st_at(a, i), *other = st_find(b, t->name);
        if (other == NULL || !same_form(t, other))
            SPK_TRY(add_form(d, part, t, other));
        else
            SPK_TRY(compare_values(d, part, t, other));
    }
    for (size_t i = 0; i < st_count(b); i++)
        if (st_find(a, st_at(b, i)->name) == NULL)
            SPK_TRY(add_form(d, part, NULL, st_at(b, i)));
    return SPK_OK;
}

spk_status diff_tensors(struct diff *d, const char *stem, enum diff_part part)
{
    struct st_file *a = NULL, *b = NULL;
    spk_status status = open_file(d, 0, stem, &a);
    if (status == SPK_OK)
        status = open_file(d, 1, stem, &b);
    if (status == SPK_OK)
        status = compare_files(d, part, a, b);
    st_close(a);
    st_close(b);
    return status;
}
