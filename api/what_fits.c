/* What would fit where a model does not: the largest published model, and the largest `dim` of the
 * model itself. Both are found by estimating, each in a context of its own. The dims are bisected
 * in steps that heads and stem stages divide; that a larger dim needs more is assumed. */
#include <stdlib.h>
#include <string.h>

#include "api/api_internal.h"
#include "frontend/model.h"
#include "support/alloc.h"

#define MAX_SETTINGS 64

/* The published sizes and the other models of the zoo, by falling number of neurons. */
static const struct {
    const char *title, *model;
    uint32_t n_settings;
    const char *settings[3];
} PUBLISHED[] = {
    {"V2-16-768 (T = 1)", "spikformer_v2", 3, {"dim=768", "depth=16", "timesteps=1"}},
    {"V2-8-768", "spikformer_v2", 1, {"dim=768"}},
    {"V2-8-512", "spikformer_v2", 0, {NULL}},
    {"V2-8-384", "spikformer_v2", 1, {"dim=384"}},
    {"spikformer_v1_imagenet", "spikformer_v1_imagenet", 0, {NULL}},
    {"spikformer_v2_events", "spikformer_v2_events", 0, {NULL}},
    {"spikformer_v1_cifar10", "spikformer_v1_cifar10", 0, {NULL}},
    {"spikformer_v1_cifar10dvs", "spikformer_v1_cifar10dvs", 0, {NULL}},
    {"spikformer_v2_fashion", "spikformer_v2_fashion", 0, {NULL}},
};

static spk_status note_published(spk_context *c, const char *target_name,
                                 const struct api_fit_query *q)
{
    for (size_t i = 0; i < sizeof PUBLISHED / sizeof PUBLISHED[0]; i++) {
        const struct spk_model_options model = {.model = PUBLISHED[i].model,
                                                .settings = PUBLISHED[i].settings,
                                                .n_settings = PUBLISHED[i].n_settings};
        bool fits;
        uint64_t cores;
        SPK_TRY(api_fits(q, &model, &fits, &cores));
        SPK_TRY(api_poll(c));
        if (!fits)
            continue;
        diag_note_add(&c->diags, spk_span_none,
                      "the largest published model that fits '%s'%s%s is %s, on %llu cores",
                      target_name, q->system ? " system " : "", q->system ? q->system : "",
                      PUBLISHED[i].title, (unsigned long long)cores);
        return SPK_OK;
    }
    diag_note_add(&c->diags, spk_span_none, "no published model fits '%s'", target_name);
    return SPK_OK;
}

/* Value of an integer parameter: the last setting's, else the description's; 0 where there is none.
 */
static uint32_t parameter(const struct fe_param_list *list, const struct spk_model_options *m,
                          const char *name)
{
    const size_t n = strlen(name);
    for (size_t i = m->n_settings; i-- > 0;)
        if (strncmp(m->settings[i], name, n) == 0 && m->settings[i][n] == '=')
            return (uint32_t)strtoul(m->settings[i] + n + 1, NULL, 10);
    for (uint32_t i = 0; i < list->n; i++)
        if (strcmp(list->param[i].name, name) == 0 && list->param[i].type == FE_PARAM_INT &&
            list->param[i].i > 0 && list->param[i].i < UINT32_MAX)
            return (uint32_t)list->param[i].i;
    return 0;
}

static uint32_t common_multiple(uint32_t a, uint32_t b)
{
    uint32_t x = a, y = b;
    while (y != 0) {
        const uint32_t rest = x % y;
        x = y;
        y = rest;
    }
    return a / x * b;
}

static spk_status dim_fits(const struct api_fit_query *q, const struct spk_model_options *model,
                           uint32_t dim, bool *out_fits, uint64_t *out_cores)
{
    const char *settings[MAX_SETTINGS];
    struct spk_model_options with = *model;
    char text[32];
    spk_snprintf(text, sizeof text, "dim=%u", dim);
    for (size_t i = 0; i < model->n_settings; i++)
        settings[i] = model->settings[i];
    settings[model->n_settings] = text;
    with.settings = settings;
    with.n_settings++;
    return api_fits(q, &with, out_fits, out_cores);
}

/* The largest multiple of `step` below `dim` that fits. */
static spk_status note_dim(spk_context *c, const struct api_fit_query *q,
                           const struct spk_model_options *model, uint32_t dim, uint32_t step)
{
    uint32_t low, high = (dim + step - 1) / step; /* low fits, high does not */
    const uint32_t all = high;
    uint64_t cores = 0;
    bool any;
    SPK_TRY(dim_fits(q, model, step, &any, &cores)); /* soon told, and often enough */
    if (!any || high < 2)
        return SPK_OK;
    low = 1;
    spk_status status = SPK_OK;
    progress_begin(&c->progress, "looking for a dim that fits", all);
    while (high - low > 1 && status == SPK_OK) {
        const uint32_t middle = low + (high - low) / 2;
        uint64_t n;
        bool fits;
        status = dim_fits(q, model, middle * step, &fits, &n);
        if (status == SPK_OK)
            status = progress_update(&c->progress, all - (high - low));
        if (fits)
            cores = n;
        *(fits ? &low : &high) = middle;
    }
    progress_end(&c->progress);
    SPK_TRY(status);
    diag_note_add(&c->diags, spk_span_none,
                  "dim = %u instead of %u (in steps of %u) fits, on %llu cores", low * step, dim,
                  step, (unsigned long long)cores);
    return SPK_OK;
}

spk_status api_note_what_fits(spk_context *c, const char *target_name,
                              const struct api_fit_query *q, const struct spk_model_options *model)
{
    struct fe_param_list list = {0};
    SPK_TRY(fe_model_params(model->model, &c->diags, &list));
    const bool graph = list.n == 0; /* not a model to be made smaller */
    const uint32_t dim = parameter(&list, model, "dim"), heads = parameter(&list, model, "heads");
    fe_param_list_fini(&list);
    if (graph)
        return SPK_OK;
    if (dim > 0 && heads > 0 && heads <= dim && model->n_settings < MAX_SETTINGS)
        SPK_TRY(note_dim(c, q, model, dim, common_multiple(heads, 8)));
    return note_published(c, target_name, q);
}
