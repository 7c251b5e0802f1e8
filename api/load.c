/* Loading models, weights, data. */
#include <math.h>
#include <string.h>

#include "api/api_internal.h"
#include "frontend/model.h"
#include "frontend/target_yaml.h"
#include "frontend/weights.h"
#include "runtime/compare.h"
#include "support/alloc.h"
#include "support/file.h"

/* ---- settings and bindings ---- */

struct pairs {
    struct arena arena;
    struct fe_setting *set;
    struct fe_binding *bind;
};

static spk_status split_pair(spk_context *c, struct arena *arena, const char *text,
                             const char *option, const char *form, const char **out_name,
                             const char **out_value)
{
    const char *eq = text != NULL ? strchr(text, '=') : NULL;
    if (eq == NULL || eq == text)
        return diag_usage(&c->diags, spk_span_none, "E0901", "%s '%s' is not of the form %s",
                          option, text != NULL ? text : "", form);
    *out_name = arena_strndup(arena, text, (size_t)(eq - text));
    *out_value = arena_strdup(arena, eq + 1);
    return *out_name && *out_value ? SPK_OK : SPK_ERR_NOMEM;
}

static spk_status read_pairs(spk_context *c, const struct spk_model_options *o, struct pairs *p)
{
    arena_init(&p->arena, 0);
    p->set = ARENA_NEW_ARRAY(&p->arena, struct fe_setting, o->n_settings + 1);
    p->bind = ARENA_NEW_ARRAY(&p->arena, struct fe_binding, o->n_binds + 1);
    if (p->set == NULL || p->bind == NULL)
        return SPK_ERR_NOMEM;
    for (size_t i = 0; i < o->n_settings; i++)
        SPK_TRY(split_pair(c, &p->arena, o->settings[i], "--set", "NAME=VALUE", &p->set[i].name,
                           &p->set[i].value));
    for (size_t i = 0; i < o->n_binds; i++)
        SPK_TRY(split_pair(c, &p->arena, o->binds[i], "--bind", "FROM=TO", &p->bind[i].from,
                           &p->bind[i].to));
    return SPK_OK;
}

/* ---- models ---- */

void api_model_fini(struct api_model *m)
{
    ir_module_destroy(m->module);
    spk_free(m->path);
    spk_free(m->weights);
    for (uint32_t i = 0; i < m->n_ignored; i++)
        spk_free(m->ignored[i]);
    spk_free(m->ignored);
    memset(m, 0, sizeof *m);
}

static spk_status bind_weights(spk_context *c, bool ema, struct api_model *m)
{
    struct fe_weights_report report = {0};
    spk_status status = fe_weights_bind_ema(m->module, m->weights, ema, &c->diags, &report);
    m->ignored = report.ignored;
    m->n_ignored = report.n_ignored;
    report.ignored = NULL;
    report.n_ignored = 0;
    fe_weights_report_fini(&report);
    return status;
}

bool api_has_data(const struct ir_module *m)
{
    bool all = true;
    for (uint32_t i = 0; i < m->n_params; i++)
        all = all && m->param[i].data != NULL;
    return all;
}

spk_status api_no_model(spk_context *c)
{
    return diag_usage(&c->diags, spk_span_none, "E0927", "no model was named");
}

static spk_status load_model(spk_context *c, const struct spk_model_options *o,
                             const struct fe_options *options, bool bind, struct api_model *out)
{
    struct fe_model model = {0};
    if (o->model == NULL)
        return api_no_model(c);
    SPK_TRY(fe_model_open(o->model, options, &c->diags, &model));
    out->module = model.module;
    out->path = model.path;
    out->weights = model.weights;
    if (o->weights != NULL) {
        spk_free(out->weights);
        out->weights = spk_strdup(o->weights);
        if (out->weights == NULL)
            return SPK_ERR_NOMEM;
    }
    if (o->weights != NULL && out->module->stage != IR_STAGE_MODEL)
        return diag_usage(&c->diags, spk_span_none, "E0967",
                          "'%s' holds its integers: it takes no weights", o->model);
    if (!bind)
        return SPK_OK;
    if (out->weights == NULL && api_has_data(out->module))
        return SPK_OK; /* a graph that holds its weights */
    if (out->weights == NULL) {
        spk_status status =
            diag_usage(&c->diags, spk_span_none, "E0902", "model '%s' ships no weights", o->model);
        diag_help_set(&c->diags, "give them with --weights FILE.safetensors");
        return status;
    }
    return bind_weights(c, o->ema, out);
}

spk_status api_model_hash(spk_context *c, struct api_model *m)
{
    SPK_TRY(file_sha256(m->path, &c->diags, m->model_sha256));
    return m->weights ? file_sha256(m->weights, &c->diags, m->weights_sha256) : SPK_OK;
}

spk_status api_model_load(spk_context *c, const struct spk_model_options *o, bool bind,
                          struct api_model *out)
{
    struct pairs pairs = {0};
    memset(out, 0, sizeof *out);
    spk_status status = read_pairs(c, o, &pairs);
    if (status == SPK_OK) {
        struct fe_options options = {pairs.set, (uint32_t)o->n_settings, pairs.bind,
                                     (uint32_t)o->n_binds, o->dt};
        status = load_model(c, o, &options, bind, out);
    }
    arena_fini(&pairs.arena);
    if (status != SPK_OK)
        api_model_fini(out);
    return status;
}

spk_status api_model_load_shipped(spk_context *c, const struct spk_model_options *o,
                                  struct api_model *out)
{
    struct spk_model_options named = *o;
    const bool none = o->weights != NULL && o->weights[0] == '\0';
    if (none)
        named.weights = NULL;
    SPK_TRY(api_model_load(c, &named, false, out));
    if (none) {
        spk_free(out->weights);
        out->weights = NULL;
    }
    if (out->weights == NULL || out->module->stage != IR_STAGE_MODEL)
        return SPK_OK;
    return bind_weights(c, o->ema, out);
}

spk_status api_model_parse(spk_context *c, const char *name, const char *text, size_t length,
                           const struct spk_model_options *o, struct api_model *out)
{
    struct pairs pairs = {0};
    spk_status status = read_pairs(c, o, &pairs);
    if (status == SPK_OK) {
        const struct fe_options options = {pairs.set, (uint32_t)o->n_settings, pairs.bind,
                                           (uint32_t)o->n_binds, o->dt};
        status = fe_model_parse_text(name, text, length, &options, &c->diags, &out->module);
    }
    arena_fini(&pairs.arena);
    SPK_TRY(status);
    if (o->weights == NULL || o->weights[0] == '\0')
        return SPK_OK;
    out->weights = spk_strdup(o->weights);
    return out->weights != NULL ? bind_weights(c, o->ema, out) : SPK_ERR_NOMEM;
}

/* ---- targets ---- */

spk_status api_target_load(spk_context *c, const char *name, struct tgt **out)
{
    *out = NULL;
    if (name != NULL)
        return fe_target_load(name, &c->diags, out);
    spk_status status =
        diag_usage(&c->diags, spk_span_none, "E0918", "no target: give it with --target T");
    diag_help_set(&c->diags, "'spikec target list' names those that come with spikec");
    return status;
}

spk_status api_system_check(spk_context *c, const struct tgt *target, const char *name)
{
    struct strbuf known = {0};
    for (uint32_t i = 0; i < target->n_systems; i++) {
        if (name == NULL || strcmp(name, target->system[i].name) == 0) {
            strbuf_fini(&known);
            return SPK_OK;
        }
        strbuf_printf(&known, "%s%s", i > 0 ? ", " : "", target->system[i].name);
    }
    if (name == NULL)
        return SPK_OK;
    spk_status status = diag_usage(&c->diags, spk_span_none, "E0919",
                                   "target '%s' has no system '%s'", target->name, name);
    diag_help_set(&c->diags, "systems, the smallest first: %s", strbuf_cstr(&known));
    strbuf_fini(&known);
    return status;
}

/* ---- data ---- */

void api_data_fini(struct api_data *d)
{
    fe_input_fini(&d->input);
    fe_labels_fini(&d->labels);
    memset(d, 0, sizeof *d);
}

void api_warn_clipped(spk_context *c, const struct ir_module *m, const struct engine_input *in)
{
    for (uint32_t i = 0; i < m->n_nodes; i++) {
        const struct ir_node *n = &m->node[i];
        uint64_t clipped = 0, elements;
        double limit;
        if (n->op != IR_OP_ENCODE || n->a.encode.kind != IR_ENCODE_CURRENT)
            continue;
        limit = 32767.5 / (double)(1u << n->a.encode.x_shift);
        elements = ir_type_elements(&m->node[n->operand[0]].type);
        for (uint32_t k = 0; k < in->n_images; k++)
            for (uint64_t e = 0; e < elements; e++)
                clipped += fabs((double)in->data[k * in->image_stride + e]) > limit;
        if (clipped == 0)
            continue;
        diag_warning(&c->diags, spk_span_none, "W0901",
                     "%llu of %llu input values lie beyond +-%g and are clipped by the integer "
                     "encoder",
                     (unsigned long long)clipped, (unsigned long long)(elements * in->n_images),
                     limit);
        diag_help_set(&c->diags, "compile with --calibrate on images of this range, or normalise "
                                 "the input");
    }
}

/* Index of `name` among the words; the first where it is NULL. */
static spk_status choose(spk_context *c, const char *option, const char *name, const char *first,
                         const char *second, uint32_t *out)
{
    *out = name != NULL && strcmp(name, second) == 0;
    if (name == NULL || *out || strcmp(name, first) == 0)
        return SPK_OK;
    return diag_usage(&c->diags, spk_span_none, "E0975", "--%s is %s or %s, not '%s'", option,
                      first, second, name);
}

static spk_status input_options(spk_context *c, const struct spk_data_options *o,
                                struct fe_input_options *out)
{
    uint32_t filter, frames, layout;
    SPK_TRY(choose(c, "interpolation", o->form.interpolation, "bicubic", "bilinear", &filter));
    SPK_TRY(choose(c, "frames", o->form.frames, "time", "count", &frames));
    SPK_TRY(choose(c, "aedat", o->form.aedat, "dvs128", "cifar10dvs", &layout));
    *out = (struct fe_input_options){.limit = o->limit,
                                     .resize = o->form.resize,
                                     .filter = filter ? RASTER_BILINEAR : RASTER_BICUBIC,
                                     .frames = frames ? FE_FRAMES_COUNT : FE_FRAMES_TIME,
                                     .mask = o->mask,
                                     .draws_mask = o->mask_ratio != 0,
                                     .mask_ratio = o->mask_ratio > 0 ? o->mask_ratio : 0,
                                     .mask_seed = o->mask_seed,
                                     .layout = layout ? EVENTS_CIFAR10_DVS : EVENTS_DVS128};
    return SPK_OK;
}

spk_status api_data_load(spk_context *c, const struct spk_data_options *o,
                         const struct ir_module *module, struct api_data *out)
{
    memset(out, 0, sizeof *out);
    if (o->input == NULL)
        return diag_usage(&c->diags, spk_span_none, "E0903",
                          "no input images: give them with --input FILE");
    struct fe_input_options options;
    SPK_TRY(input_options(c, o, &options));
    SPK_TRY(fe_input_read(o->input, module, &options, &c->diags, &out->input));
    spk_status status = SPK_OK;
    if (o->labels != NULL)
        status = fe_labels_load(o->labels, module, &out->input, &c->diags, &out->labels);
    if (status != SPK_OK) {
        api_data_fini(out);
        return status;
    }
    if (module->stage == IR_STAGE_QUANTISED)
        api_warn_clipped(c, module, &out->input.input);
    return SPK_OK;
}

uint32_t api_classes(const struct ir_module *m)
{
    if (ir_output_values(m) > 0)
        return (uint32_t)ir_output_values(m);
    for (uint32_t i = m->n_nodes; i-- > 0;)
        if (m->node[i].op == IR_OP_READOUT)
            return m->node[i].type.channels;
    return 0;
}

bool api_classifies(const struct ir_module *m)
{
    uint32_t outputs = 0;
    bool flat = true;
    for (uint32_t i = 0; i < m->n_nodes; i++)
        if (m->node[i].op == IR_OP_OUTPUT) {
            outputs++;
            flat = flat && m->node[i].type.layout == IR_C;
        }
    return outputs <= 1 && flat;
}

void api_data_keep_first(struct api_data *d, uint32_t n)
{
    d->input.input.n_images = n;
    d->labels.n = d->labels.n < n ? d->labels.n : n;
}

double api_top1(const float *logits, const struct fe_labels *labels, uint32_t classes)
{
    uint32_t right = compare_top1(logits, labels->label, labels->n, classes);
    return labels->n ? (double)right / labels->n : 0.0;
}
