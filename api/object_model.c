/* Models as objects: loaded or parsed, with other weights, after passes. */
#include <string.h>

#include "api/object_internal.h"
#include "frontend/model.h"
#include "frontend/weights.h"
#include "passes/pass.h"
#include "runtime/reference.h"
#include "support/alloc.h"
#include "support/sha256.h"

void spk_model_destroy(spk_model *m)
{
    if (m == NULL || !api_drop(&m->owners))
        return;
    api_model_fini(&m->loaded);
    spk_free(m->named);
    spk_free(m->named_weights);
    arena_fini(&m->texts);
    diag_fini(&m->sources);
    spk_model_destroy(m->base);
    spk_free(m);
}

static spk_status model_create(spk_model **out)
{
    spk_model *m;
    SPK_TRY(spk_alloc_array(1, sizeof *m, &m));
    atomic_init(&m->owners, 1);
    arena_init(&m->texts, 0);
    diag_init(&m->sources);
    *out = m;
    return SPK_OK;
}

static spk_status copy_text(const char *text, char **out)
{
    if (text == NULL)
        return SPK_OK;
    *out = spk_strdup(text);
    return *out != NULL ? SPK_OK : SPK_ERR_NOMEM;
}

static spk_status copy_list(struct arena *arena, const char *const *list, size_t n,
                            const char ***out, size_t *out_n)
{
    *out = ARENA_NEW_ARRAY(arena, const char *, n + 1);
    if (*out == NULL)
        return SPK_ERR_NOMEM;
    for (size_t i = 0; i < n; i++) {
        (*out)[i] = arena_strdup(arena, list[i]);
        if ((*out)[i] == NULL)
            return SPK_ERR_NOMEM;
    }
    *out_n = n;
    return SPK_OK;
}

static spk_status copy_options(spk_model *m, const struct spk_model_options *o)
{
    m->ema = o->ema;
    m->dt = o->dt;
    SPK_TRY(copy_text(o->model, &m->named));
    SPK_TRY(copy_text(o->weights, &m->named_weights));
    SPK_TRY(copy_list(&m->texts, o->settings, o->n_settings, &m->settings, &m->n_settings));
    return copy_list(&m->texts, o->binds, o->n_binds, &m->binds, &m->n_binds);
}

static bool lists_are_whole(const struct spk_model_options *o)
{
    bool whole =
        (o->settings != NULL || o->n_settings == 0) && (o->binds != NULL || o->n_binds == 0);
    for (size_t i = 0; whole && i < o->n_settings; i++)
        whole = o->settings[i] != NULL;
    for (size_t i = 0; whole && i < o->n_binds; i++)
        whole = o->binds[i] != NULL;
    return whole;
}

/* ---- loading ---- */

static spk_status load(spk_context *c, const struct spk_model_options *o, spk_model *m)
{
    SPK_TRY(copy_options(m, o));
    SPK_TRY(api_model_load_shipped(c, o, &m->loaded));
    return api_sources_keep(c, &m->sources);
}

int spk_model_load(spk_context *c, const struct spk_model_options *o, spk_model **out)
{
    spk_model *m = NULL;
    if (out != NULL)
        *out = NULL;
    SPK_TRY(api_call(c, out != NULL && o != NULL && lists_are_whole(o), "spk_model_load"));
    SPK_TRY(model_create(&m));
    spk_status status = load(c, o, m);
    if (status == SPK_OK)
        *out = m;
    else
        spk_model_destroy(m);
    return status;
}

static void text_hash(const char *text, size_t length, char out[SHA256_HEX_BYTES])
{
    uint8_t digest[SHA256_BYTES];
    sha256_bytes(text, length, digest);
    sha256_to_hex(digest, out);
}

static spk_status parse(spk_context *c, const char *name, const char *text, size_t length,
                        const struct spk_model_options *o, spk_model *m)
{
    SPK_TRY(copy_options(m, o));
    spk_free(m->named);
    m->named = NULL;
    text_hash(text, length, m->text_sha256);
    SPK_TRY(copy_text(name, &m->loaded.path));
    SPK_TRY(api_model_parse(c, name, text, length, o, &m->loaded));
    return api_sources_keep(c, &m->sources);
}

int spk_model_parse(spk_context *c, const char *name, const char *text, size_t length,
                    const struct spk_model_options *o, spk_model **out)
{
    static const struct spk_model_options none;
    const struct spk_model_options *options = o != NULL ? o : &none;
    spk_model *m = NULL;
    if (out != NULL)
        *out = NULL;
    SPK_TRY(api_call(c, out != NULL && name != NULL && text != NULL && lists_are_whole(options),
                     "spk_model_parse"));
    SPK_TRY(model_create(&m));
    spk_status status = parse(c, name, text, length, options, m);
    if (status == SPK_OK)
        *out = m;
    else
        spk_model_destroy(m);
    return status;
}

/* ---- from another model ---- */

static spk_status copy_model(spk_context *c, const spk_model *from, spk_model **out)
{
    spk_model *m;
    SPK_TRY(api_sources_adopt(c, &from->sources));
    SPK_TRY(model_create(&m));
    const struct spk_model_options o = {.model = from->named,
                                        .weights = from->named_weights,
                                        .ema = from->ema,
                                        .dt = from->dt,
                                        .settings = from->settings,
                                        .n_settings = from->n_settings,
                                        .binds = from->binds,
                                        .n_binds = from->n_binds};
    spk_status status = copy_options(m, &o);
    if (status == SPK_OK)
        status = copy_text(from->loaded.path, &m->loaded.path);
    if (status == SPK_OK)
        status = copy_text(from->loaded.weights, &m->loaded.weights);
    if (status == SPK_OK)
        status = api_sources_keep(c, &m->sources);
    if (status == SPK_OK)
        status = ir_module_clone(from->loaded.module, false, &m->loaded.module);
    memcpy(m->text_sha256, from->text_sha256, sizeof m->text_sha256);
    m->arrays = from->arrays;
    if (status == SPK_OK)
        *out = m;
    else
        spk_model_destroy(m);
    return status;
}

/* The module gets its data from the weights alone, so `from` need not stay. */
static spk_status bind(spk_context *c, spk_weights *weights, spk_model *m)
{
    struct fe_weights_report report = {0};
    struct st_file *file;
    if (m->loaded.module->stage != IR_STAGE_MODEL)
        return diag_usage(&c->diags, spk_span_none, "E1055",
                          "'%s' is past the passes that take weights: bind them before",
                          m->loaded.module->name);
    SPK_TRY(api_weights_open(c, weights, &file));
    SPK_TRY(fe_weights_bind_tensors(m->loaded.module, file, &c->diags, &report));
    m->loaded.ignored = report.ignored;
    m->loaded.n_ignored = report.n_ignored;
    spk_free(m->loaded.weights);
    spk_free(m->named_weights);
    m->loaded.weights = m->named_weights = NULL;
    m->arrays = weights->path == NULL;
    m->ema = weights->ema;
    SPK_TRY(copy_text(weights->path, &m->loaded.weights));
    return copy_text(weights->path, &m->named_weights);
}

int spk_model_with_weights(spk_context *c, spk_model *model, spk_weights *weights, spk_model **out)
{
    spk_model *m = NULL;
    if (out != NULL)
        *out = NULL;
    SPK_TRY(api_call(c, out != NULL && model != NULL && weights != NULL, "spk_model_with_weights"));
    SPK_TRY(copy_model(c, model, &m));
    spk_status status = bind(c, weights, m);
    if (status == SPK_OK)
        *out = m;
    else
        spk_model_destroy(m);
    return status;
}

int spk_model_run_passes(spk_context *c, spk_model *model, const char *passes, spk_target *target,
                         spk_model **out)
{
    spk_model *m = NULL;
    if (out != NULL)
        *out = NULL;
    SPK_TRY(api_call(c, out != NULL && model != NULL && passes != NULL, "spk_model_run_passes"));
    SPK_TRY(copy_model(c, model, &m));
    m->base = api_model_keep(model);
    const struct pass_context pc = {.target = target != NULL ? target->target : NULL,
                                    .engine = &rt_reference_engine,
                                    .diags = &c->diags,
                                    .pool = c->pool,
                                    .verify_each = true,
                                    .progress = &c->progress};
    spk_status status = SPK_OK;
    if (passes[0] != '\0')
        status = passes_run(&pc, passes, &m->loaded.module);
    if (status == SPK_OK)
        *out = m;
    else
        spk_model_destroy(m);
    return status;
}
