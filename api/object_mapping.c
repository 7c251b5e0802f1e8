/* Mappings as objects: compiled in memory, or a compiled folder. */
#include <string.h>

#include "api/cost.h"
#include "api/object_internal.h"
#include "support/alloc.h"
#include "support/file.h"
#include "support/sha256.h"

void spk_mapping_destroy(spk_mapping *m)
{
    if (m == NULL || !api_drop(&m->owners))
        return;
    if (m->model != NULL) { /* they own these parts */
        m->folder.model = NULL;
        m->folder.target = NULL;
    }
    api_folder_fini(&m->folder);
    strbuf_fini(&m->mapping_json);
    strbuf_fini(&m->cost_json);
    spk_free(m->core);
    spk_free(m->group);
    diag_fini(&m->sources);
    spk_model_destroy(m->model);
    spk_target_destroy(m->target);
    spk_free(m);
}

static spk_status mapping_create(spk_mapping **out)
{
    spk_mapping *m;
    SPK_TRY(spk_alloc_array(1, sizeof *m, &m));
    atomic_init(&m->owners, 1);
    diag_init(&m->sources);
    *out = m;
    return SPK_OK;
}

static spk_status count_usage(spk_mapping *m)
{
    const struct image *im = &m->folder.image;
    SPK_TRY(spk_alloc_array(im->n_cores, sizeof *m->core, &m->core));
    SPK_TRY(spk_alloc_array(im->n_groups, sizeof *m->group, &m->group));
    return chip_usage_count(im, m->folder.target, m->core, m->group);
}

/* ---- compiling ---- */

static void hash_u32(struct sha256 *hash, uint32_t value)
{
    const uint8_t bytes[4] = {(uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16),
                              (uint8_t)(value >> 24)};
    sha256_update(hash, bytes, sizeof bytes);
}

/* Weights that lie in no file: over the model's params in order, of each name, rank, shape (u32,
 * little-endian) and values. */
static void hash_arrays(const struct ir_module *m, char out[SHA256_HEX_BYTES])
{
    struct sha256 hash;
    uint8_t digest[SHA256_BYTES];
    sha256_init(&hash);
    for (uint32_t i = 0; i < m->n_params; i++) {
        const struct ir_param *p = &m->param[i];
        sha256_update(&hash, p->name, strlen(p->name) + 1);
        hash_u32(&hash, p->rank);
        for (uint32_t k = 0; k < p->rank; k++)
            hash_u32(&hash, p->dim[k]);
        sha256_update(&hash, p->data, (size_t)ir_param_elements(p) * ir_dtype_size(p->dtype));
    }
    sha256_final(&hash, digest);
    sha256_to_hex(digest, out);
}

/* The provenance of a model, in a copy that only its texts are added to. */
static spk_status find_hashes(spk_context *c, const spk_model *model, struct api_model *copy)
{
    if (model->text_sha256[0] == '\0')
        SPK_TRY(file_sha256(copy->path, &c->diags, copy->model_sha256));
    else
        memcpy(copy->model_sha256, model->text_sha256, sizeof copy->model_sha256);
    if (copy->weights != NULL)
        return file_sha256(copy->weights, &c->diags, copy->weights_sha256);
    if (model->arrays)
        hash_arrays(copy->module, copy->weights_sha256);
    return SPK_OK;
}

static struct spk_model_options options_of(const spk_model *m)
{
    return (struct spk_model_options){.model = m->named != NULL ? m->named : m->loaded.module->name,
                                      .weights = m->named_weights,
                                      .ema = m->ema,
                                      .settings = m->settings,
                                      .n_settings = m->n_settings,
                                      .binds = m->binds,
                                      .n_binds = m->n_binds,
                                      .dt = m->dt};
}

static struct spk_compile_options compile_options(const spk_model *model, const spk_target *target,
                                                  const struct spk_mapping_options *o)
{
    return (struct spk_compile_options){.model = options_of(model),
                                        .target = target->named,
                                        .attention = o->attention,
                                        .schedule = o->schedule,
                                        .objective = o->objective,
                                        .cut = o->cut,
                                        .system = o->system,
                                        .rates = o->rates,
                                        .constraints = o->constraints,
                                        .placer = o->placer,
                                        .seed = o->seed,
                                        .separate_cores = o->separate_cores,
                                        .remarks = o->remarks};
}

/* Whether names alone give the same model and target again. */
static bool can_reload(const spk_model *model, const spk_target *target)
{
    return model->named != NULL && model->base == NULL && target->named != NULL;
}

static spk_status check_model(spk_context *c, const spk_model *m, bool weights)
{
    const struct ir_module *module = m->loaded.module;
    if (module->stage != IR_STAGE_MODEL && m->base != NULL)
        return diag_usage(&c->diags, spk_span_none, "E1063",
                          "'%s' is past the passes that compiling begins with", module->name);
    if (!weights || api_has_data(module))
        return SPK_OK;
    spk_status status =
        diag_usage(&c->diags, spk_span_none, "E1056", "model '%s' has no weights", module->name);
    diag_help_set(&c->diags, "bind them with spk_model_with_weights");
    return status;
}

static spk_status compile(spk_context *c, spk_model *model, spk_target *target,
                          const struct spk_mapping_options *o, spk_mapping *m)
{
    const struct spk_compile_options options = compile_options(model, target, o);
    const struct spk_batch images = {.input = o->calibrate};
    struct api_model copy = model->loaded;
    struct api_data calibration = {0};
    struct api_parts parts = {.model = &copy,
                              .target = target->target,
                              .calibration = &calibration,
                              .by_name = can_reload(model, target),
                              .command = can_reload(model, target) && !model->arrays &&
                                         o->calibrate == NULL};
    struct api_built built = {0};
    SPK_TRY(find_hashes(c, model, &copy));
    if (o->calibrate != NULL)
        SPK_TRY(api_batch_load(c, &images, copy.module, &calibration));
    const bool whole = c->whole;
    c->whole = true;
    spk_status status = api_compile_parts(c, &parts, &options, &built);
    c->whole = whole;
    api_data_fini(&calibration);
    SPK_TRY(status);
    m->model = api_model_keep(model);
    m->target = api_target_keep(target);
    m->folder = (struct api_folder){.model = copy.module,
                                    .quantised = built.quantised,
                                    .image = built.image,
                                    .has_image = true,
                                    .target = target->target,
                                    .constraints = built.constraints};
    m->mapping_json = built.mapping_json;
    m->cost_json = built.cost_json;
    built = (struct api_built){.prediction = built.prediction};
    api_built_fini(&built);
    SPK_TRY(api_sources_keep(c, &m->sources));
    return count_usage(m);
}

int spk_mapping_compile(spk_context *c, spk_model *model, spk_target *target,
                        const struct spk_mapping_options *o, spk_mapping **out)
{
    struct spk_mapping_options options;
    spk_mapping *m;
    if (out != NULL)
        *out = NULL;
    SPK_TRY(api_call(c, out != NULL && model != NULL && target != NULL, "spk_mapping_compile"));
    SPK_TRY(API_TAKE(c, o, &options));
    SPK_TRY(api_sources_adopt(c, &model->sources));
    SPK_TRY(check_model(c, model, true));
    SPK_TRY(mapping_create(&m));
    spk_status status = compile(c, model, target, &options, m);
    if (status == SPK_OK)
        *out = m;
    else
        spk_mapping_destroy(m);
    return status;
}

static spk_status estimate(spk_context *c, const spk_model *model, const spk_target *target,
                           const struct spk_mapping_options *o, struct api_report *r, bool *keep)
{
    const struct spk_estimate_options options = {.model = options_of(model),
                                                 .target = target->named,
                                                 .attention = o->attention,
                                                 .objective = o->objective,
                                                 .cut = o->cut,
                                                 .system = o->system,
                                                 .rates = o->rates,
                                                 .constraints = o->constraints,
                                                 .separate_cores = o->separate_cores,
                                                 .remarks = o->remarks};
    const struct api_parts parts = {
        .model = &model->loaded, .target = target->target, .by_name = can_reload(model, target)};
    return api_estimate_parts(c, &parts, &options, r, keep);
}

int spk_mapping_estimate(spk_context *c, spk_model *model, spk_target *target,
                         const struct spk_mapping_options *o, spk_result **out)
{
    struct spk_mapping_options options;
    struct api_report r;
    bool keep = false;
    if (out != NULL)
        *out = NULL;
    SPK_TRY(api_call(c, out != NULL && model != NULL && target != NULL, "spk_mapping_estimate"));
    SPK_TRY(API_TAKE(c, o, &options));
    SPK_TRY(api_sources_adopt(c, &model->sources));
    SPK_TRY(check_model(c, model, false));
    spk_status status = api_report_begin(&r, "estimate");
    if (status == SPK_OK)
        status = estimate(c, model, target, &options, &r, &keep);
    return api_report_end(&r, status, keep, out);
}

/* ---- folders ---- */

static spk_status load_json(spk_context *c, const char *folder, const char *name,
                            struct strbuf *out)
{
    char *text = NULL;
    size_t length = 0;
    SPK_TRY(api_folder_text(c, folder, name, &text, &length));
    strbuf_append_n(out, text, length);
    spk_free(text);
    return out->status;
}

static spk_status load(spk_context *c, const char *folder, spk_mapping *m)
{
    SPK_TRY(api_folder_open(c, folder,
                            API_FOLDER_MODEL | API_FOLDER_QUANTISED | API_FOLDER_IMAGE |
                                API_FOLDER_TARGET | API_FOLDER_CONSTRAINTS,
                            &m->folder));
    SPK_TRY(load_json(c, folder, "mapping.json", &m->mapping_json));
    SPK_TRY(load_json(c, folder, "cost.json", &m->cost_json));
    SPK_TRY(api_sources_keep(c, &m->sources));
    return count_usage(m);
}

int spk_mapping_load(spk_context *c, const char *folder, spk_mapping **out)
{
    spk_mapping *m;
    if (out != NULL)
        *out = NULL;
    SPK_TRY(api_call(c, out != NULL && folder != NULL, "spk_mapping_load"));
    SPK_TRY(mapping_create(&m));
    spk_status status = load(c, folder, m);
    if (status == SPK_OK)
        *out = m;
    else
        spk_mapping_destroy(m);
    return status;
}

int spk_mapping_save(spk_context *c, const spk_mapping *m, const char *folder)
{
    SPK_TRY(api_call(c, m != NULL && folder != NULL, "spk_mapping_save"));
    SPK_TRY(api_sources_adopt(c, &m->sources));
    const struct api_compiled parts = {.model = m->folder.model,
                                       .quantised = m->folder.quantised,
                                       .image = &m->folder.image,
                                       .target = m->folder.target,
                                       .constraints = m->folder.constraints,
                                       .mapping_json = strbuf_cstr(&m->mapping_json),
                                       .cost_json = strbuf_cstr(&m->cost_json)};
    return api_folder_write(c, folder, &parts);
}

/* ---- what is told of it ---- */

int spk_mapping_cost(spk_context *c, const spk_mapping *m, size_t max_cores, spk_result **out)
{
    spk_result *r;
    if (out != NULL)
        *out = NULL;
    SPK_TRY(api_call(c, out != NULL && m != NULL, "spk_mapping_cost"));
    SPK_TRY(spk_alloc_array(1, sizeof *r, &r));
    strbuf_append_n(&r->json, m->cost_json.data, m->cost_json.len);
    spk_status status = cost_table(strbuf_cstr(&m->cost_json), m->cost_json.len, "cost.json",
                                   max_cores, &c->diags, &r->text);
    if (status == SPK_OK)
        status = r->json.status;
    if (status == SPK_OK)
        *out = r;
    else
        spk_result_free(r);
    return status;
}

int spk_mapping_check(spk_context *c, const spk_mapping *m, spk_result **out)
{
    struct api_report r;
    if (out != NULL)
        *out = NULL;
    SPK_TRY(api_call(c, out != NULL && m != NULL, "spk_mapping_check"));
    SPK_TRY(api_sources_adopt(c, &m->sources));
    spk_status status = api_report_begin(&r, "check");
    if (status == SPK_OK)
        status = api_check_folder(c, &m->folder, &r);
    return api_report_end(&r, status, false, out);
}
