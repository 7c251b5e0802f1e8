/* Weights as an object: arrays of the caller, or the tensors of a file. */
#include <string.h>

#include "api/object_internal.h"
#include "support/alloc.h"
#include "support/pth.h"

static spk_status weights_create(spk_weights **out)
{
    spk_weights *w;
    SPK_TRY(spk_alloc_array(1, sizeof *w, &w));
    atomic_init(&w->owners, 1);
    arena_init(&w->names, 0);
    *out = w;
    return SPK_OK;
}

void spk_weights_destroy(spk_weights *w)
{
    if (w == NULL || !api_drop(&w->owners))
        return;
    for (size_t i = 0; i < w->owned.len; i++)
        spk_free(w->owned.data[i]);
    vec_fini(&w->owned);
    vec_fini(&w->tensors);
    st_close(w->file);
    spk_free(w->path);
    arena_fini(&w->names);
    spk_free(w);
}

int spk_weights_create(spk_context *c, spk_weights **out)
{
    if (out != NULL)
        *out = NULL;
    SPK_TRY(api_call(c, out != NULL, "spk_weights_create"));
    return weights_create(out);
}

static spk_status load(spk_context *c, const char *path, bool ema, spk_weights *w)
{
    SPK_TRY(tensor_file_open(path, ema, &c->diags, &w->file));
    w->path = spk_strdup(path);
    w->ema = ema;
    if (w->path == NULL)
        return SPK_ERR_NOMEM;
    for (size_t i = 0; i < st_count(w->file); i++)
        SPK_TRY(vec_push(&w->tensors, *st_at(w->file, i)));
    return SPK_OK;
}

int spk_weights_load(spk_context *c, const char *path, bool ema, spk_weights **out)
{
    spk_weights *w = NULL;
    if (out != NULL)
        *out = NULL;
    SPK_TRY(api_call(c, out != NULL && path != NULL, "spk_weights_load"));
    SPK_TRY(weights_create(&w));
    spk_status status = load(c, path, ema, w);
    if (status == SPK_OK)
        *out = w;
    else
        spk_weights_destroy(w);
    return status;
}

int spk_weights_add(spk_context *c, spk_weights *w, const struct spk_tensor *tensor)
{
    struct st_tensor t;
    void *copy = NULL;
    SPK_TRY(api_call(c, w != NULL && tensor != NULL, "spk_weights_add"));
    if (w->file != NULL)
        return diag_usage(&c->diags, spk_span_none, "E1054",
                          "the weights are those of '%s': nothing can be added", w->path);
    SPK_TRY(api_tensor_take(c, tensor, true, &t));
    for (size_t i = 0; i < w->tensors.len; i++)
        if (strcmp(w->tensors.data[i].name, t.name) == 0)
            return diag_usage(&c->diags, spk_span_none, "E1061", "there is an array '%s' already",
                              t.name);
    t.name = arena_strdup(&w->names, t.name);
    copy = spk_alloc(t.size);
    if (t.name == NULL || copy == NULL || vec_push(&w->owned, copy) != SPK_OK) {
        spk_free(copy);
        return SPK_ERR_NOMEM;
    }
    memcpy(copy, t.data, t.size);
    t.data = copy;
    spk_status status = vec_push(&w->tensors, t);
    if (status != SPK_OK)
        spk_free(vec_pop(&w->owned));
    return status;
}

size_t spk_weights_count(const spk_weights *w)
{
    return w == NULL ? 0 : w->tensors.len;
}

int spk_weights_at(const spk_weights *w, size_t index, struct spk_tensor *out)
{
    if (index >= spk_weights_count(w))
        return SPK_ERR_USAGE;
    const struct spk_tensor view = api_tensor_view(&w->tensors.data[index]);
    return API_GIVE(&view, out);
}

int spk_weights_save(spk_context *c, const spk_weights *w, const char *path)
{
    SPK_TRY(api_call(c, w != NULL && path != NULL, "spk_weights_save"));
    return api_tensors_save(c, w->tensors.data, w->tensors.len, path);
}

static void let_go(void *weights)
{
    spk_weights_destroy(weights);
}

spk_status api_weights_open(spk_context *c, spk_weights *w, struct st_file **out_file)
{
    const struct st_source source = {.name = w->path ? w->path : "the arrays",
                                     .format = "arrays",
                                     .tensors = w->tensors.data,
                                     .n_tensors = w->tensors.len,
                                     .release = let_go,
                                     .owner = w};
    SPK_TRY(st_wrap(&source, &c->diags, out_file));
    (void)atomic_fetch_add_explicit(&w->owners, 1, memory_order_relaxed);
    return SPK_OK;
}
