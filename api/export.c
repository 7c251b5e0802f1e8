/* export: a compiled folder in the format of another simulator. A row of the table per format: what
 * it needs of the folder, and the back end that writes. */
#include <string.h>

#include "api/api_internal.h"
#include "api/export.h"
#include "backends/brian/brian.h"
#include "support/file.h"

static spk_status export_brian(struct export_job *j, struct api_report *r)
{
    struct brian_figures f;
    SPK_TRY(brian_export(&j->f.image, j->dir, &j->c->diags, &f));
    jw_u64(&r->w, "populations", f.populations);
    jw_u64(&r->w, "projections", f.projections);
    jw_u64(&r->w, "neurons", f.neurons);
    jw_u64(&r->w, "synapses", f.synapses);
    strbuf_printf(&r->result->text,
                  "%llu populations, %llu projections, %llu neurons, %llu synapses\n",
                  (unsigned long long)f.populations, (unsigned long long)f.projections,
                  (unsigned long long)f.neurons, (unsigned long long)f.synapses);
    return SPK_OK;
}

static const struct export_format {
    const char *name;
    bool needs_input;
    bool takes_model; /* in place of a folder */
    uint32_t parts;   /* enum api_folder_part */
    spk_status (*write)(struct export_job *j, struct api_report *r);
} FORMATS[] = {
    {"brian", false, false, API_FOLDER_IMAGE, export_brian},
    {"netx", false, true, API_FOLDER_QUANTISED, export_netx},
    {"nir", false, true, API_FOLDER_MODEL, export_nir},
    {"sanafe", true, false, API_FOLDER_IMAGE | API_FOLDER_QUANTISED, export_sanafe},
};

static spk_status find_format(spk_context *c, const char *name, const struct export_format **out)
{
    struct strbuf names = {0};
    for (size_t i = 0; i < sizeof FORMATS / sizeof FORMATS[0]; i++) {
        if (name != NULL && strcmp(FORMATS[i].name, name) == 0) {
            *out = &FORMATS[i];
            strbuf_fini(&names);
            return SPK_OK;
        }
        strbuf_printf(&names, "%s%s", i ? ", " : "", FORMATS[i].name);
    }
    spk_status status =
        diag_usage(&c->diags, spk_span_none, "E0960", "--to takes one of %s%s%s%s",
                   strbuf_cstr(&names), name ? ", not '" : "", name ? name : "", name ? "'" : "");
    strbuf_fini(&names);
    return status;
}

/* The compiled folder, or the model where the format takes one. */
static spk_status open_network(struct export_job *j, const struct export_format *format)
{
    const struct spk_model_options *o = &j->o->model;
    const bool folder = file_is_directory(j->o->folder);
    if (format->takes_model && !folder) {
        struct spk_model_options options = *o;
        options.model = j->o->folder;
        return api_model_load(j->c, &options, true, &j->model);
    }
    if (o->weights != NULL || o->ema || o->n_settings > 0 || o->n_binds > 0 ||
        (o->dt > 0.0 && !format->takes_model))
        return diag_usage(&j->c->diags, spk_span_none, "E0966",
                          "--weights, --ema, --set, --bind and --dt belong to models: a compiled "
                          "folder has its own%s",
                          format->takes_model ? "" : ", and this format takes no model");
    return api_folder_open(j->c, j->o->folder, format->parts, &j->f);
}

static spk_status export_all(struct export_job *j, struct api_report *r)
{
    const struct export_format *format = NULL;
    SPK_TRY(find_format(j->c, j->o->to, &format));
    if (j->o->output == NULL)
        return diag_usage(&j->c->diags, spk_span_none, "E0961", "export needs -o OUT");
    if (format->needs_input != (j->o->data.input != NULL))
        return diag_usage(&j->c->diags, spk_span_none, "E0962", "--to %s %s --input", format->name,
                          format->needs_input ? "needs" : "takes no");
    if (j->o->segments > 0 && strcmp(format->name, "sanafe") != 0)
        return diag_usage(&j->c->diags, spk_span_none, "E0965", "--to %s takes no --segment",
                          format->name);
    SPK_TRY(open_network(j, format));
    SPK_TRY(dir_begin(j->o->output, &j->c->diags, &j->dir));
    spk_status status = format->write(j, r);
    if (status == SPK_OK)
        status = api_poll(j->c);
    if (status != SPK_OK) {
        dir_abort(j->dir);
        return status;
    }
    return dir_commit(j->dir);
}

int spk_export(spk_context *c, const struct spk_export_options *o, spk_result **out_result)
{
    struct export_job j = {.c = c, .o = o};
    struct api_report r;
    SPK_TRY(api_job(c, out_result, o != NULL && o->folder != NULL, "spk_export"));
    spk_status status = api_report_begin(&r, "export");
    if (status == SPK_OK)
        status = export_all(&j, &r);
    api_folder_fini(&j.f);
    api_model_fini(&j.model);
    return api_report_end(&r, status, false, out_result);
}
