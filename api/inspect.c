/* opt, fmt, check and the target commands: jobs that look at things. */
#include <string.h>

#include "api/api_internal.h"
#include "check/check.h"
#include "frontend/model.h"
#include "frontend/target_yaml.h"
#include "passes/pass.h"
#include "support/alloc.h"
#include "support/file.h"
#include "support/json.h"
#include "support/sha256.h"

/* ---- opt ---- */

struct opt {
    spk_context *c;
    const struct spk_opt_options *o;
    struct ir_module *module;
    struct api_model model;
    struct tgt *target;
    struct strbuf *text;
};

static void print_after(void *ctx, const char *pass, const struct ir_module *m)
{
    struct opt *k = ctx;
    if (k->o->print_after == NULL ||
        (strcmp(k->o->print_after, "all") != 0 && strcmp(k->o->print_after, pass) != 0))
        return;
    strbuf_printf(k->text, "// after %s\n", pass);
    ir_print(m, k->text);
}

static spk_status check_print_after(struct opt *k)
{
    const char *name = k->o->print_after;
    if (strcmp(name, "all") == 0 || pass_find(name, strlen(name)) != NULL)
        return SPK_OK;
    spk_status status =
        diag_usage(&k->c->diags, spk_span_none, "E0929", "no pass '%s' to print after", name);
    diag_help_set(&k->c->diags, "'spikec opt --list' lists the passes; 'all' prints after each");
    return status;
}

static spk_status opt_load(struct opt *k)
{
    const struct spk_model_options *mo = &k->o->model;
    if (!path_has_suffix(mo->model, ".sir")) {
        SPK_TRY(api_model_load(k->c, mo, mo->weights != NULL, &k->model));
        k->module = k->model.module;
        k->model.module = NULL;
        return SPK_OK;
    }
    if (mo->ema)
        return diag_usage(&k->c->diags, spk_span_none, "E0974",
                          "--ema is for models, '%s' is a module", mo->model);
    char *text = NULL;
    size_t length = 0;
    SPK_TRY(file_read(mo->model, 0, &k->c->diags, &text, &length));
    spk_status status = ir_parse(mo->model, text, length, &k->c->diags, &k->module);
    spk_free(text);
    if (status == SPK_OK && mo->weights != NULL)
        status = ir_params_load(k->module, mo->weights, &k->c->diags);
    return status == SPK_OK ? ir_verify(k->module, &k->c->diags) : status;
}

static void list_passes(struct api_report *r)
{
    size_t n;
    const struct pass *p = pass_registry(&n);
    jw_array_begin(&r->w, "passes");
    for (size_t i = 0; i < n; i++) {
        jw_object_begin(&r->w, NULL);
        jw_string(&r->w, "name", p[i].name);
        jw_string(&r->w, "summary", p[i].summary);
        jw_string(&r->w, "expects", p[i].expects);
        jw_string(&r->w, "changes", p[i].changes);
        jw_string(&r->w, "never_changes", p[i].never);
        jw_object_end(&r->w);
        strbuf_printf(&r->result->text, "%-18s %s\n", p[i].name, p[i].summary);
        for (const struct pass_option *op = p[i].option; op->name != NULL; op++)
            strbuf_printf(&r->result->text, "%20s%s: %s\n", "", op->name, op->help);
    }
    jw_array_end(&r->w);
    const struct pass_alias *alias = pass_aliases(&n);
    jw_array_begin(&r->w, "pipelines");
    for (size_t i = 0; i < n; i++) {
        jw_object_begin(&r->w, NULL);
        jw_string(&r->w, "name", alias[i].name);
        jw_string(&r->w, "summary", alias[i].summary);
        jw_string(&r->w, "passes", alias[i].text);
        jw_object_end(&r->w);
        strbuf_printf(&r->result->text, "%-18s %s: %s\n", alias[i].name, alias[i].summary,
                      alias[i].text);
    }
    jw_array_end(&r->w);
}

static spk_status opt_all(struct opt *k, struct api_report *r)
{
    struct strbuf sir = {0};
    k->text = &r->result->text;
    if (k->o->list) {
        list_passes(r);
        return SPK_OK;
    }
    if (k->o->target != NULL)
        SPK_TRY(fe_target_load(k->o->target, &k->c->diags, &k->target));
    SPK_TRY(opt_load(k));
    if (k->o->print_after != NULL)
        SPK_TRY(check_print_after(k));
    struct pass_context pc = {.target = k->target,
                              .diags = &k->c->diags,
                              .pool = k->c->pool,
                              .verify_each = true,
                              .after = print_after,
                              .after_ctx = k};
    if (k->o->passes != NULL && k->o->passes[0] != '\0')
        SPK_TRY(passes_run(&pc, k->o->passes, &k->module));
    ir_print(k->module, &sir);
    spk_status status = sir.status;
    if (status == SPK_OK) {
        jw_string(&r->w, "sir", strbuf_cstr(&sir));
        if (k->o->print_after == NULL)
            strbuf_append(k->text, strbuf_cstr(&sir));
    }
    strbuf_fini(&sir);
    return status;
}

int spk_opt(spk_context *c, const struct spk_opt_options *o, spk_result **out_result)
{
    struct opt k = {.c = c, .o = o};
    struct api_report r;
    *out_result = NULL;
    api_begin(c);
    spk_status status = api_report_begin(&r, "opt");
    if (status == SPK_OK)
        status = opt_all(&k, &r);
    ir_module_destroy(k.module);
    api_model_fini(&k.model);
    if (k.target != NULL)
        tgt_destroy(k.target);
    return api_report_end(&r, status, false, out_result);
}

/* ---- fmt ---- */

static spk_status format_all(spk_context *c, const char *path, struct api_report *r)
{
    char *text = NULL;
    size_t length = 0;
    SPK_TRY(file_read(path, 0, &c->diags, &text, &length));
    spk_status status = fe_format(path, text, length, &c->diags, &r->result->text);
    if (status == SPK_OK) {
        jw_string(&r->w, "file", path);
        jw_bool(&r->w, "changed",
                r->result->text.len != length || memcmp(r->result->text.data, text, length) != 0);
    }
    spk_free(text);
    return status;
}

int spk_format(spk_context *c, const char *path, spk_result **out_result)
{
    struct api_report r;
    *out_result = NULL;
    api_begin(c);
    spk_status status = api_report_begin(&r, "fmt");
    if (status == SPK_OK)
        status = format_all(c, path, &r);
    return api_report_end(&r, status, false, out_result);
}

/* ---- check ---- */

/* The constraints that lie in the folder are those that the image was made with. */
static spk_status same_constraints(spk_context *c, const struct api_folder *f)
{
    const char *text = f->image.strings[f->image.meta.provenance], *made = "";
    char have[SHA256_HEX_BYTES] = "";
    struct json_value *v = NULL;
    SPK_TRY(js_parse(text, strlen(text), "provenance", NULL, &c->diags, &v));
    const struct json_cursor p = js_root(v, "provenance", NULL);
    if (js_has(&p, "constraints_sha256") &&
        js_get_string(&p, "constraints_sha256", &made) != SPK_OK)
        made = "";
    if (f->constraints != NULL)
        sha256_to_hex(f->constraints->sha256, have);
    spk_status status = SPK_OK;
    if (strcmp(made, have) != 0)
        status = diag_error(&c->diags, spk_span_none, "E0906",
                            "constraints.yaml is not what the image was made with");
    js_free(v);
    return status;
}

static spk_status check_all(spk_context *c, const char *folder, struct api_report *r)
{
    struct api_folder f;
    struct check_report report = {0};
    SPK_TRY(api_folder_open(
        c, folder,
        API_FOLDER_QUANTISED | API_FOLDER_IMAGE | API_FOLDER_TARGET | API_FOLDER_CONSTRAINTS, &f));
    const struct check_options options = {
        .pool = c->pool, .progress = &c->progress, .constraints = f.constraints};
    spk_status status = same_constraints(c, &f);
    if (status == SPK_OK)
        status = check_image(&f.image, f.target, f.quantised, &options, &c->diags, &report);
    if (status == SPK_OK || status == SPK_DIFFERENCE) {
        jw_u64(&r->w, "cores", f.image.n_cores);
        jw_u64(&r->w, "violations", report.violations);
        jw_u64(&r->w, "synapses_checked", report.synapses);
        strbuf_printf(&r->result->text, "%llu cores, %llu synapses checked: %llu violations\n",
                      (unsigned long long)f.image.n_cores, (unsigned long long)report.synapses,
                      (unsigned long long)report.violations);
        status = report.violations > 0 ? SPK_DIFFERENCE : SPK_OK;
    }
    api_folder_fini(&f);
    return status;
}

int spk_check(spk_context *c, const char *folder, spk_result **out_result)
{
    struct api_report r;
    *out_result = NULL;
    api_begin(c);
    spk_status status = api_report_begin(&r, "check");
    if (status == SPK_OK)
        status = check_all(c, folder, &r);
    return api_report_end(&r, status, false, out_result);
}

/* ---- targets ---- */

static spk_status target_list(spk_context *c, struct api_report *r)
{
    struct file_names names = {0};
    SPK_TRY(fe_target_list(&c->diags, &names));
    jw_array_begin(&r->w, "targets");
    for (size_t i = 0; i < names.len; i++) {
        jw_string(&r->w, NULL, names.data[i]);
        strbuf_printf(&r->result->text, "%s\n", names.data[i]);
    }
    jw_array_end(&r->w);
    file_names_fini(&names);
    return SPK_OK;
}

int spk_target_list(spk_context *c, spk_result **out_result)
{
    struct api_report r;
    *out_result = NULL;
    api_begin(c);
    spk_status status = api_report_begin(&r, "target list");
    if (status == SPK_OK)
        status = target_list(c, &r);
    return api_report_end(&r, status, false, out_result);
}

static spk_status target_show(spk_context *c, const char *name, bool show, struct api_report *r)
{
    struct tgt *t = NULL;
    struct strbuf json = {0};
    SPK_TRY(api_target_load(c, name, &t));
    spk_status status = fe_target_check(t, &c->diags);
    if (status == SPK_OK && show) {
        status = fe_target_json(t, 0, &json);
        jw_raw(&r->w, "target", strbuf_cstr(&json));
        fe_target_print(t, &r->result->text);
    } else if (status == SPK_OK) {
        jw_string(&r->w, "target", t->name);
        jw_bool(&r->w, "consistent", true);
        strbuf_printf(&r->result->text,
                      "%s: every constant has a unit, a basis and a source, and "
                      "none contradicts another\n",
                      t->name);
    }
    strbuf_fini(&json);
    tgt_destroy(t);
    return status;
}

int spk_target_show(spk_context *c, const char *target, spk_result **out_result)
{
    struct api_report r;
    *out_result = NULL;
    api_begin(c);
    spk_status status = api_report_begin(&r, "target show");
    if (status == SPK_OK)
        status = target_show(c, target, true, &r);
    return api_report_end(&r, status, false, out_result);
}

int spk_target_check(spk_context *c, const char *target, spk_result **out_result)
{
    struct api_report r;
    *out_result = NULL;
    api_begin(c);
    spk_status status = api_report_begin(&r, "target check");
    if (status == SPK_OK)
        status = target_show(c, target, false, &r);
    return api_report_end(&r, status, false, out_result);
}

/* ---- models ---- */

static spk_status model_list(spk_context *c, struct api_report *r)
{
    struct fe_model_names names;
    SPK_TRY(fe_model_list(NULL, 0, &c->diags, &names));
    jw_array_begin(&r->w, "models");
    for (uint32_t i = 0; i < names.n; i++) {
        jw_string(&r->w, NULL, names.name[i]);
        strbuf_printf(&r->result->text, "%s\n", names.name[i]);
    }
    jw_array_end(&r->w);
    fe_model_names_fini(&names);
    return SPK_OK;
}

int spk_model_list(spk_context *c, spk_result **out_result)
{
    struct api_report r;
    *out_result = NULL;
    api_begin(c);
    spk_status status = api_report_begin(&r, "model list");
    if (status == SPK_OK)
        status = model_list(c, &r);
    return api_report_end(&r, status, false, out_result);
}
