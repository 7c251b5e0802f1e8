/* What a job runs: level R of a model, R or Q of a compiled folder. */
#include <string.h>

#include "api/api_internal.h"
#include "passes/pass.h"

void api_network_fini(struct api_network *n)
{
    ir_module_destroy(n->own);
    api_folder_fini(&n->folder);
    api_model_fini(&n->model);
    memset(n, 0, sizeof *n);
}

static spk_status refuse_model_options(spk_context *c, const struct spk_model_options *m)
{
    if (m->n_settings == 0 && m->n_binds == 0 && m->weights == NULL && !m->ema)
        return SPK_OK;
    return diag_usage(
        &c->diags, spk_span_none, "E0911",
        "'%s' is a compiled folder: --set, --bind, --weights and --ema were fixed when it "
        "was compiled",
        m->model);
}

static spk_status check_level(spk_context *c, const char *level, const char *model, bool *out_q)
{
    *out_q = level != NULL && strcmp(level, "Q") == 0;
    if (level != NULL && !*out_q && strcmp(level, "R") != 0)
        return diag_usage(&c->diags, spk_span_none, "E0912", "unknown level '%s' (R or Q)", level);
    if (!*out_q || api_is_folder(model))
        return SPK_OK;
    spk_status status = diag_usage(&c->diags, spk_span_none, "E0913",
                                   "level Q belongs to a target: '%s' is not compiled", model);
    diag_help_set(&c->diags, "run 'spikec compile MODEL --target T -o DIR', then give DIR");
    return status;
}

spk_status api_network_load(spk_context *c, const struct spk_model_options *o, const char *level,
                            struct api_network *out)
{
    bool q;
    if (o->model == NULL)
        return api_no_model(c);
    SPK_TRY(check_level(c, level, o->model, &q));
    if (api_is_folder(o->model)) {
        SPK_TRY(refuse_model_options(c, o));
        SPK_TRY(api_folder_open(c, o->model, q ? API_FOLDER_QUANTISED : API_FOLDER_MODEL,
                                &out->folder));
        out->module = q ? out->folder.quantised : out->folder.model;
    } else {
        SPK_TRY(api_model_load(c, o, true, &out->model));
        out->module = out->model.module;
    }
    if (q)
        return SPK_OK;
    struct pass_context pc = {.diags = &c->diags};
    SPK_TRY(ir_module_clone(out->module, false, &out->own));
    SPK_TRY(passes_run(&pc, "hoist-constant", &out->own));
    out->module = out->own;
    return SPK_OK;
}
