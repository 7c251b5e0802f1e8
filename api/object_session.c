/* Sessions: a model, or a mapping at one of its levels, made ready to run batches. */
#include "api/object_session.h"

#include <string.h>

#include "passes/pass.h"
#include "support/alloc.h"

void spk_session_destroy(spk_session *s)
{
    if (s == NULL)
        return;
    if (s->engine != NULL)
        s->vtable->destroy(s->engine);
    sim_destroy(s->sim);
    ir_module_destroy(s->own);
    spk_model_destroy(s->model);
    spk_mapping_destroy(s->mapping);
    spk_free(s);
}

/* The engine of a module; a float one is computed with its constant part hoisted. */
static spk_status make_engine(spk_context *c, const struct ir_module *m,
                              const struct spk_session_options *o, spk_session *s)
{
    s->module = m;
    if (m->stage != IR_STAGE_QUANTISED) {
        const struct pass_context pc = {.diags = &c->diags};
        SPK_TRY(ir_module_clone(m, false, &s->own));
        SPK_TRY(passes_run(&pc, "hoist-constant", &s->own));
        s->module = s->own;
    }
    SPK_TRY(api_engine(c, o->engine, o->target_cpu, &s->vtable));
    return api_engine_create(c, s->vtable, o->target_cpu, s->module, &s->engine);
}

static spk_status open_model(spk_context *c, spk_model *model, const struct spk_session_options *o,
                             spk_session *s)
{
    const struct ir_module *m = model->loaded.module;
    if (o->level != NULL && strcmp(o->level, m->stage == IR_STAGE_QUANTISED ? "Q" : "R") != 0)
        return diag_usage(&c->diags, spk_span_none, "E1057",
                          "model '%s' runs at level %s; others are those of a mapping", m->name,
                          m->stage == IR_STAGE_QUANTISED ? "Q" : "R");
    if (!api_has_data(m))
        return diag_usage(&c->diags, spk_span_none, "E1056", "model '%s' has no weights", m->name);
    s->model = api_model_keep(model);
    return make_engine(c, m, o, s);
}

int spk_session_create(spk_context *c, spk_model *model, const struct spk_session_options *o,
                       spk_session **out)
{
    struct spk_session_options options;
    spk_session *s;
    if (out != NULL)
        *out = NULL;
    SPK_TRY(api_call(c, out != NULL && model != NULL, "spk_session_create"));
    SPK_TRY(API_TAKE(c, o, &options));
    SPK_TRY(api_sources_adopt(c, &model->sources));
    SPK_TRY(spk_alloc_array(1, sizeof *s, &s));
    spk_status status = open_model(c, model, &options, s);
    if (status == SPK_OK)
        *out = s;
    else
        spk_session_destroy(s);
    return status;
}

static spk_status open_mapping(spk_context *c, spk_mapping *mapping,
                               const struct spk_session_options *o, spk_session *s)
{
    const char *level = o->level != NULL ? o->level : "M";
    s->mapping = api_mapping_keep(mapping);
    if (strcmp(level, "R") == 0)
        return make_engine(c, mapping->folder.model, o, s);
    if (strcmp(level, "Q") == 0)
        return make_engine(c, mapping->folder.quantised, o, s);
    if (strcmp(level, "M") != 0)
        return diag_usage(&c->diags, spk_span_none, "E1057", "unknown level '%s' (R, Q or M)",
                          level);
    if (o->engine != NULL || o->target_cpu != NULL)
        return diag_usage(&c->diags, spk_span_none, "E1057",
                          "level M is what the simulator computes: it takes no engine");
    s->module = mapping->folder.quantised;
    return sim_create(&mapping->folder.image, &c->diags, &s->sim);
}

int spk_session_create_mapped(spk_context *c, spk_mapping *mapping,
                              const struct spk_session_options *o, spk_session **out)
{
    struct spk_session_options options;
    spk_session *s;
    if (out != NULL)
        *out = NULL;
    SPK_TRY(api_call(c, out != NULL && mapping != NULL, "spk_session_create_mapped"));
    SPK_TRY(API_TAKE(c, o, &options));
    SPK_TRY(api_sources_adopt(c, &mapping->sources));
    SPK_TRY(spk_alloc_array(1, sizeof *s, &s));
    spk_status status = open_mapping(c, mapping, &options, s);
    if (status == SPK_OK)
        *out = s;
    else
        spk_session_destroy(s);
    return status;
}

/* ---- level M: what it cost ---- */

static spk_status write_cost(const spk_session *s, struct json_writer *w)
{
    const struct cost_sources sources = {.stats = sim_statistics(s->sim), .paper = &s->paper};
    return cost_write(w, &s->mapping->folder.image, s->mapping->folder.target, &sources);
}

/* The table reads the same members from a text of their own. */
static spk_status report_cost(spk_context *c, const spk_session *s, struct api_report *r)
{
    struct strbuf text = {0};
    struct json_writer w;
    SPK_TRY(write_cost(s, &r->w));
    jw_init(&w, &text, 1);
    jw_object_begin(&w, NULL);
    spk_status status = write_cost(s, &w);
    jw_object_end(&w);
    if (status == SPK_OK)
        status = jw_finish(&w);
    if (status == SPK_OK)
        status = cost_table(text.data, text.len, "cost.json", 16, &c->diags, &r->result->text);
    strbuf_fini(&text);
    return status;
}

int spk_session_cost(spk_context *c, const spk_session *s, spk_result **out)
{
    struct api_report r;
    if (out != NULL)
        *out = NULL;
    SPK_TRY(api_call(c, out != NULL && s != NULL, "spk_session_cost"));
    if (s->sim == NULL || !s->has_run)
        return diag_usage(&c->diags, spk_span_none, "E1058",
                          "costs are those of a run at level M, and there was none");
    spk_status status = api_report_begin(&r, "simulate");
    if (status == SPK_OK)
        status = report_cost(c, s, &r);
    return api_report_end(&r, status, false, out);
}

int spk_session_core_activity(const spk_session *s, uint32_t core, struct spk_core_activity *out)
{
    if (s == NULL || s->sim == NULL || !s->has_run)
        return SPK_ERR_USAGE;
    const struct sim_stats *stats = sim_statistics(s->sim);
    if (core >= stats->n_cores)
        return SPK_ERR_USAGE;
    const struct sim_events *e = &stats->core[core];
    const struct spk_core_activity found = {
        .synaptic_events = e->synaptic_events,
        .neuron_updates = e->updates_active + e->updates_inactive + e->updates_touched,
        .spikes_out = e->spikes_out,
        .messages_out = e->messages_out,
        .messages_in = e->messages_in,
        .hops = e->hops_x + e->hops_y + e->hops_chip,
        .energy_pj = e->energy_total_pj,
        .busy_ns = e->busy_ns};
    return API_GIVE(&found, out);
}
