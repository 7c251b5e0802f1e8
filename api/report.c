/* report and floorplan: a compiled folder for the eye. Both read mapping.json, cost.json,
 * verify.json and target.yaml; neither needs the image or the weights. */
#include <string.h>

#include "api/api_internal.h"
#include "api/report_probes.h"
#include "api/report_spikes.h"
#include "frontend/target_yaml.h"
#include "support/alloc.h"
#include "support/file.h"
#include "support/json.h"

struct opened {
    char *mapping_path, *cost_path, *verify_path;
    struct json_value *mapping, *cost, *verify;
    struct tgt *target;
    struct rep_folder f;
};

static void opened_fini(struct opened *p)
{
    rep_folder_fini(&p->f);
    js_free(p->mapping);
    js_free(p->cost);
    js_free(p->verify);
    spk_free(p->mapping_path);
    spk_free(p->cost_path);
    spk_free(p->verify_path);
    if (p->target != NULL)
        tgt_destroy(p->target);
}

static spk_status open_folder(spk_context *c, const char *folder, struct opened *p)
{
    SPK_TRY(api_folder_check(c, folder));
    SPK_TRY(api_folder_json(c, folder, "mapping.json", &p->mapping_path, &p->mapping));
    SPK_TRY(api_folder_json(c, folder, "cost.json", &p->cost_path, &p->cost));
    p->verify_path = path_join(folder, "verify.json");
    if (p->verify_path == NULL)
        return SPK_ERR_NOMEM;
    if (file_exists(p->verify_path))
        SPK_TRY(js_parse_file(p->verify_path, NULL, &c->diags, &p->verify));
    char *path = path_join(folder, "target.yaml");
    spk_status status = path ? fe_target_load(path, &c->diags, &p->target) : SPK_ERR_NOMEM;
    spk_free(path);
    SPK_TRY(status);
    const struct json_cursor mapping = js_root(p->mapping, p->mapping_path, &c->diags);
    const struct json_cursor cost = js_root(p->cost, p->cost_path, &c->diags);
    return rep_folder_read(&mapping, &cost, p->verify, p->target, &p->f);
}

static spk_status write_output(spk_context *c, const char *path, const struct strbuf *text,
                               struct api_report *r)
{
    SPK_TRY(file_write_all(path, text->data, text->len, &c->diags));
    jw_string(&r->w, "output", path);
    jw_u64(&r->w, "bytes", text->len);
    strbuf_printf(&r->result->text, "%s: %.1f MB\n", path, (double)text->len * 1e-6);
    return SPK_OK;
}

/* ---- report ---- */

static spk_status report_all(spk_context *c, const struct spk_report_options *o,
                             struct api_report *r)
{
    struct opened p;
    struct rep_activity activity = {0};
    struct rep_probes probes = {0};
    struct strbuf page = {0};
    if (o->output == NULL)
        return diag_usage(&c->diags, spk_span_none, "E0983", "report needs -o FILE");
    if (!report_available()) {
        spk_status status = diag_io(&c->diags, spk_span_none, "E0984",
                                    "this spikec was built without the drawing library D3");
        diag_help_set(&c->diags, "install Debian's node-d3 (tools/setup does) and build again");
        return status;
    }
    memset(&p, 0, sizeof p);
    spk_status status = open_folder(c, o->folder, &p);
    if (status == SPK_OK && o->spikes != NULL)
        status = report_spikes_read(o->spikes, &p.f, &c->diags, &activity);
    if (status == SPK_OK && o->probes != NULL)
        status = report_probes_read(o->probes, &p.f, &c->diags, &probes);
    if (status == SPK_OK)
        status = report_html(&p.f, o->spikes != NULL ? &activity : NULL,
                             o->probes != NULL ? &probes : NULL, &page);
    if (status == SPK_OK)
        status = write_output(c, o->output, &page, r);
    if (status == SPK_OK) {
        jw_u64(&r->w, "cores", p.f.n_cores);
        jw_u64(&r->w, "layers", p.f.n_layers);
        jw_bool(&r->w, "simulated", p.f.images > 0);
        jw_bool(&r->w, "verified", p.verify != NULL);
        jw_bool(&r->w, "spikes", o->spikes != NULL);
        jw_bool(&r->w, "probes", o->probes != NULL);
    }
    strbuf_fini(&page);
    report_spikes_fini(&activity);
    report_probes_fini(&probes);
    opened_fini(&p);
    return status;
}

int spk_report(spk_context *c, const struct spk_report_options *o, spk_result **out_result)
{
    struct api_report r;
    SPK_TRY(api_job(c, out_result, o != NULL, "spk_report"));
    spk_status status = api_report_begin(&r, "report");
    if (status == SPK_OK)
        status = report_all(c, o, &r);
    return api_report_end(&r, status, false, out_result);
}

/* ---- floorplan ---- */

/* "layer", or the key of a figure. */
static spk_status find_colouring(spk_context *c, const char *name, struct floorplan_options *out)
{
    struct strbuf names = {0};
    out->colour_by = -1;
    out->subject = "layer";
    if (name == NULL || strcmp(name, "layer") == 0)
        return SPK_OK;
    for (int i = 0; i < REP_FIGURES; i++) {
        if (strcmp(name, rep_figure_info[i].key) == 0) {
            out->colour_by = i;
            out->subject = rep_figure_info[i].label;
            strbuf_fini(&names);
            return SPK_OK;
        }
        strbuf_printf(&names, ", %s", rep_figure_info[i].key);
    }
    spk_status status =
        diag_usage(&c->diags, spk_span_none, "E0985", "--colour-by takes one of layer%s, not '%s'",
                   strbuf_cstr(&names), name);
    strbuf_fini(&names);
    return status;
}

static spk_status floorplan_draw(spk_context *c, const struct opened *p,
                                 const struct floorplan_options *draw, struct strbuf *out)
{
    bool known = draw->colour_by < 0, on_chip = draw->chip < 0;
    for (uint32_t i = 0; i < p->f.n_cores; i++) {
        const double v = draw->colour_by < 0
                             ? 0
                             : p->f.core_figure[(size_t)i * REP_FIGURES + (size_t)draw->colour_by];
        known |= v == v;
        on_chip |= p->f.core[i].chip == draw->chip;
    }
    if (!on_chip)
        return diag_usage(&c->diags, spk_span_none, "E0986", "no core lies on chip %lld",
                          (long long)draw->chip);
    if (!known) {
        spk_status status =
            diag_error(&c->diags, spk_span_none, "E0987", "the folder knows no %s of its cores",
                       rep_figure_info[draw->colour_by].key);
        diag_help_set(&c->diags, "the target has no published constant for it, or "
                                 "'spikec simulate' has not run yet");
        return status;
    }
    return floorplan_svg(&p->f, draw, out);
}

static spk_status floorplan_all(spk_context *c, const struct spk_floorplan_options *o,
                                struct api_report *r)
{
    struct opened p;
    struct floorplan_options draw = {.chip = o->one_chip ? (int64_t)o->chip : -1};
    struct strbuf svg = {0};
    if (o->output == NULL)
        return diag_usage(&c->diags, spk_span_none, "E0983", "floorplan needs -o FILE");
    SPK_TRY(find_colouring(c, o->colour_by, &draw));
    memset(&p, 0, sizeof p);
    spk_status status = open_folder(c, o->folder, &p);
    if (status == SPK_OK)
        status = floorplan_draw(c, &p, &draw, &svg);
    if (status == SPK_OK)
        status = write_output(c, o->output, &svg, r);
    if (status == SPK_OK) {
        jw_u64(&r->w, "cores", p.f.n_cores);
        jw_u64(&r->w, "chips", p.f.n_chips);
    }
    strbuf_fini(&svg);
    opened_fini(&p);
    return status;
}

int spk_floorplan(spk_context *c, const struct spk_floorplan_options *o, spk_result **out_result)
{
    struct api_report r;
    SPK_TRY(api_job(c, out_result, o != NULL, "spk_floorplan"));
    spk_status status = api_report_begin(&r, "floorplan");
    if (status == SPK_OK)
        status = floorplan_all(c, o, &r);
    return api_report_end(&r, status, false, out_result);
}
