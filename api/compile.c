/* compile and estimate: model -> prepared -> quantised -> balanced -> mapping -> image. */
#include <string.h>

#include "api/command_text.h"
#include "api/compile_internal.h"
#include "api/cost.h"
#include "api/mapping_json.h"
#include "api/node_rates.h"
#include "api/paper.h"
#include "backends/chip/emit.h"
#include "config.h"
#include "frontend/constraints_yaml.h"
#include "passes/attention.h"
#include "passes/map/map.h"
#include "passes/pass.h"
#include "runtime/reference.h"
#include "support/alloc.h"
#include "support/checked.h"
#include "support/file.h"
#include "support/sha256.h"

#define CALIBRATE_DEFAULT 512

struct compile {
    spk_context *c;
    struct api_model model;
    struct tgt *target;
    struct constraints *constraints; /* or NULL */
    struct api_data calibration;
    struct ir_module *module; /* prepared, later quantised and balanced */
    enum map_objective objective;
    enum place_engine placer;
    enum map_cut cut;
    bool separate_cores;
    struct node_rates rates; /* per node of `module` */
    bool measured;           /* rates were given */
    struct cost_paper paper;
    struct mapping mapping;
    bool mapped;
    bool borrowed;   /* model, target and calibration are the caller's */
    bool no_name;    /* the model cannot be loaded again by its name */
    bool no_command; /* no command would do the same */
};

static void compile_fini(struct compile *k)
{
    if (k->mapped)
        map_fini(&k->mapping);
    node_rates_fini(&k->rates);
    ir_module_destroy(k->module);
    constraints_destroy(k->constraints);
    if (k->borrowed)
        return;
    api_data_fini(&k->calibration);
    if (k->target != NULL)
        tgt_destroy(k->target);
    api_model_fini(&k->model);
}

static spk_status load_constraints(struct compile *k, const char *path)
{
    return path != NULL ? fe_constraints_load(path, &k->c->diags, &k->constraints) : SPK_OK;
}

static spk_status check_schedule(spk_context *c, const char *schedule)
{
    if (schedule == NULL || strcmp(schedule, "pipelined") == 0)
        return SPK_OK;
    return diag_usage(&c->diags, spk_span_none, "E0907",
                      "unknown schedule '%s' (there is: "
                      "pipelined)",
                      schedule);
}

/* Names what an objective needs and the target has no published constant of. */
static void missing_constants(const struct tgt *t, enum map_objective objective, struct strbuf *out)
{
    static const enum tgt_energy energies[] = {TGT_E_SYNAPTIC_OP, TGT_E_NEURON_ACTIVE,
                                               TGT_E_NEURON_INACTIVE, TGT_E_HOP_X, TGT_E_HOP_Y};
    static const enum tgt_time times[] = {TGT_T_SYNAPTIC_OP, TGT_T_NEURON_ACTIVE};
    if (objective == MAP_ENERGY)
        for (size_t i = 0; i < sizeof energies / sizeof energies[0]; i++)
            if (!t->energy_pj[energies[i]].present)
                strbuf_printf(out, "%senergy of %s", out->len ? ", " : "",
                              tgt_energy_name(energies[i]));
    if (objective == MAP_LATENCY)
        for (size_t i = 0; i < sizeof times / sizeof times[0]; i++)
            if (!t->time_ns[times[i]].present)
                strbuf_printf(out, "%stime of %s", out->len ? ", " : "", tgt_time_name(times[i]));
}

/* Objectives; one whose constants nobody published for the target cannot be met knowingly. */
static spk_status objective_by_name(spk_context *c, const char *name, const struct tgt *target,
                                    enum map_objective *out)
{
    static const struct {
        const char *name;
        enum map_objective objective;
    } known[] = {{"cores", MAP_CORES},
                 {"traffic", MAP_TRAFFIC},
                 {"energy", MAP_ENERGY},
                 {"latency", MAP_LATENCY}};
    struct strbuf missing = {0};
    *out = MAP_CORES;
    if (name == NULL)
        return SPK_OK;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(name, known[i].name) != 0)
            continue;
        *out = known[i].objective;
        missing_constants(target, *out, &missing);
        spk_status status = missing.status;
        if (status == SPK_OK && missing.len > 0) {
            status = diag_nofit(&c->diags, spk_span_none, "E0908",
                                "objective '%s' needs constants that nobody published for '%s': %s",
                                name, target->name, strbuf_cstr(&missing));
            diag_help_set(&c->diags, "objectives without constants: cores, traffic");
        }
        strbuf_fini(&missing);
        return status;
    }
    return diag_usage(&c->diags, spk_span_none, "E0909",
                      "unknown objective '%s' (there are: cores, traffic, energy, latency)", name);
}

static spk_status cut_by_name(spk_context *c, const char *name, enum map_cut *out)
{
    if (map_cut_find(name == NULL ? "auto" : name, out))
        return SPK_OK;
    return diag_usage(&c->diags, spk_span_none, "E0758",
                      "unknown cut '%s' (there are: auto, tiles, neurons)", name);
}

static struct pass_context pass_context_of(struct compile *k, bool remarks)
{
    return (struct pass_context){
        .target = k->target,
        .engine = &rt_reference_engine,
        .constraints = k->constraints,
        .calibration = k->calibration.input.input.n_images ? &k->calibration.input.input : NULL,
        .diags = &k->c->diags,
        .pool = k->c->pool,
        .remarks = remarks,
        .progress = &k->c->progress,
    };
}

static spk_status load_rates(struct compile *k, const char *path)
{
    struct fe_rates rates = {0};
    spk_status status = SPK_OK;
    if (path != NULL) {
        status = fe_rates_load(path, k->model.module, &k->c->diags, &rates);
        k->measured = status == SPK_OK;
    }
    if (status == SPK_OK)
        status = node_rates_init(k->module, path ? &rates : NULL, k->model.module, &k->rates);
    if (status == SPK_OK && path != NULL)
        status = paper_from_rates(k->model.module, &rates, &k->paper);
    fe_rates_fini(&rates);
    return status;
}

static spk_status compile_map(struct compile *k, const char *system, uint64_t seed, bool remarks,
                              bool places)
{
    bool early = false;
    struct map_options o = {.objective = k->objective,
                            .system = system,
                            .seed = seed,
                            .placer = k->placer,
                            .cut = k->cut,
                            .separate_cores = k->separate_cores,
                            .node_rate = k->rates.of_node,
                            .remarks = remarks,
                            .no_places = !places,
                            .constraints = k->constraints,
                            .out_ended_early = k->c->whole ? NULL : &early,
                            .pool = k->c->pool,
                            .progress = &k->c->progress};
    SPK_TRY(map_run(k->module, k->target, &o, &k->c->diags, &k->mapping));
    k->mapped = true;
    if (early)
        (void)api_end_early(k->c);
    return SPK_OK;
}

static spk_status compile_passes(struct compile *k, const char *attention, bool remarks);

spk_status api_fits(const struct api_fit_query *q, const struct spk_model_options *model,
                    bool *out_fits, uint64_t *out_cores)
{
    spk_context *c;
    *out_fits = false;
    *out_cores = 0;
    SPK_TRY((spk_status)spk_context_create(NULL, &c));
    struct compile t = {.c = c, .separate_cores = q->separate_cores};
    spk_status status = api_target_load(c, q->target, &t.target);
    if (status == SPK_OK)
        status = objective_by_name(c, q->objective, t.target, &t.objective);
    if (status == SPK_OK)
        status = load_constraints(&t, q->constraints);
    if (status == SPK_OK)
        status = cut_by_name(c, q->cut, &t.cut);
    if (status == SPK_OK)
        status = api_chip_model_load(c, model, false, &t.model);
    if (status == SPK_OK)
        status = compile_passes(&t, q->attention, false);
    if (status == SPK_OK)
        status = load_rates(&t, NULL);
    if (status == SPK_OK)
        status = compile_map(&t, q->system, 0, false, false);
    *out_fits = status == SPK_OK;
    if (*out_fits)
        *out_cores = t.mapping.n_cores;
    compile_fini(&t);
    spk_context_destroy(c);
    return status == SPK_ERR_NOMEM ? status : SPK_OK;
}

/* Maps; where that does not fit, says what would. */
static spk_status compile_or_explain(struct compile *k, const struct spk_model_options *model,
                                     const struct api_fit_query *q, uint64_t seed, bool remarks,
                                     bool places)
{
    spk_status status = compile_map(k, q->system, seed, remarks, places);
    if (status == SPK_ERR_NOFIT && !k->no_name && k->constraints == NULL)
        SPK_TRY(api_note_what_fits(k->c, k->target->name, q, model));
    return status;
}

/* Prepared module, attention chosen, quantised and balanced. */
static spk_status compile_passes(struct compile *k, const char *attention, bool remarks)
{
    struct pass_context pc = pass_context_of(k, remarks);
    if (remarks)
        k->c->diags.max_warnings = 0; /* every layer has several */
    SPK_TRY(ir_module_clone(k->model.module, false, &k->module));
    SPK_TRY(passes_compile_pipeline(&pc, PASSES_PREPARED, attention, NULL, &k->module));
    return passes_compile_pipeline(&pc, PASSES_BALANCED, attention,
                                   k->objective == MAP_LATENCY ? "latency" : "cores", &k->module);
}

static spk_status provenance_text(const struct compile *k, const struct spk_compile_options *o,
                                  struct strbuf *out)
{
    struct json_writer w;
    struct strbuf command = {0};
    char hex[65];
    jw_init(&w, out, 0);
    for (int i = 0; i < 32; i++)
        spk_snprintf(hex + 2 * i, 3, "%02x", k->target->sha256[i]);
    jw_object_begin(&w, NULL);
    jw_string(&w, "spikec", SPIKEC_VERSION);
    jw_string(&w, "model", path_base(k->model.path));
    jw_string(&w, "model_sha256", k->model.model_sha256);
    jw_string(&w, "weights_sha256", k->model.weights_sha256);
    jw_string(&w, "target", k->target->name);
    jw_string(&w, "target_sha256", hex);
    jw_string(&w, "attention", attn_of_module(k->module));
    jw_u64(&w, "seed", o->seed);
    if (k->constraints != NULL) {
        sha256_to_hex(k->constraints->sha256, hex);
        jw_string(&w, "constraints", path_base(k->constraints->path));
        jw_string(&w, "constraints_sha256", hex);
    }
    if (api_ended(k->c) != NULL)
        jw_string(&w, "ended_early", api_ended(k->c));
    jw_u64(&w, "calibration_images", k->calibration.input.input.n_images);
    jw_array_begin(&w, "settings");
    for (size_t i = 0; i < o->model.n_settings; i++)
        jw_string(&w, NULL, o->model.settings[i]);
    jw_array_end(&w);
    if (!k->no_command)
        command_compile(&command, o);
    jw_string(&w, "command_line", strbuf_cstr(&command));
    jw_object_end(&w);
    const spk_status status = command.status;
    strbuf_fini(&command);
    return status == SPK_OK ? jw_finish(&w) : status;
}

static void report_summary(const struct compile *k, const struct image *im, struct api_report *r)
{
    struct strbuf *t = &r->result->text;
    uint64_t neurons = 0;
    for (uint64_t i = 0; i < im->n_cores; i++)
        neurons += im->cores[i].neurons;
    strbuf_printf(t,
                  "%s on %s (%s): %llu cores, %llu neurons, latency %u steps, interval %u steps "
                  "per image\n",
                  k->module->name, k->target->name, k->mapping.system->name,
                  (unsigned long long)im->n_cores, (unsigned long long)neurons, im->meta.latency,
                  im->meta.interval);
    strbuf_printf(t,
                  "attention: %s; traffic (spikes x hops per frame): %.6g in layer order, %.6g "
                  "placed (%s)\n",
                  attn_of_module(k->module), k->mapping.layer_order.traffic,
                  k->mapping.placed.traffic, place_engine_name(k->mapping.placer));
}

static spk_status cost_text(struct json_writer *w, const struct image *im, const struct tgt *target,
                            const struct cost_sources *sources, struct strbuf *out)
{
    jw_init(w, out, 1);
    jw_object_begin(w, NULL);
    jw_i64(w, "schema", 1);
    SPK_TRY(cost_write(w, im, target, sources));
    jw_object_end(w);
    return jw_finish(w);
}

static void report_predicted(const struct compile *k, const struct chip_prediction *p,
                             struct strbuf *t)
{
    double priced = 0;
    for (int e = 0; e < TGT_ENERGY_COUNT; e++)
        priced += p->total.energy_pj[e];
    strbuf_printf(t,
                  "expected per image (%s rates): %.6g synaptic events, %.6g messages, %.6g hops",
                  k->measured ? "given" : "declared", p->total.synaptic_events, p->total.messages,
                  p->total.hops_x + p->total.hops_y + p->total.hops_chip);
    if (priced > 0)
        strbuf_printf(t, ", %.6g nJ of what is priced", priced * 1e-3);
    strbuf_char(t, '\n');
}

void api_built_fini(struct api_built *b)
{
    ir_module_destroy(b->quantised);
    constraints_destroy(b->constraints);
    if (b->has_image)
        image_fini(&b->image);
    chip_prediction_fini(&b->prediction);
    strbuf_fini(&b->mapping_json);
    strbuf_fini(&b->cost_json);
    memset(b, 0, sizeof *b);
}

static struct cost_sources cost_sources_of(const struct compile *k, const struct api_built *b)
{
    return (struct cost_sources){
        .prediction = &b->prediction, .measured = k->measured, .paper = &k->paper};
}

/* The image and what is told of it; the module stays where it is. */
static spk_status compile_build(struct compile *k, const struct spk_compile_options *o,
                                struct api_built *b)
{
    const struct cost_sources sources = cost_sources_of(k, b);
    struct strbuf provenance = {0};
    struct json_writer w;
    spk_status status = provenance_text(k, o, &provenance);
    if (status == SPK_OK)
        status = chip_emit(&k->mapping, strbuf_cstr(&provenance), &k->c->progress, &k->c->diags,
                           &b->image);
    strbuf_fini(&provenance);
    SPK_TRY(status);
    b->has_image = true;
    SPK_TRY(mapping_json(&k->mapping, &b->image, api_ended(k->c), &b->mapping_json));
    SPK_TRY(chip_predict(&k->mapping, &b->image, &b->prediction));
    return cost_text(&w, &b->image, k->target, &sources, &b->cost_json);
}

static spk_status compile_write(const struct compile *k, const struct spk_compile_options *o,
                                const struct api_built *b, struct api_report *r)
{
    const struct cost_sources sources = cost_sources_of(k, b);
    const struct api_compiled parts = {k->model.module,
                                       k->module,
                                       &b->image,
                                       k->target,
                                       k->constraints,
                                       strbuf_cstr(&b->mapping_json),
                                       strbuf_cstr(&b->cost_json)};
    SPK_TRY(api_folder_write(k->c, o->output, &parts));
    jw_string(&r->w, "output", o->output);
    jw_string(&r->w, "attention", attn_of_module(k->module));
    api_report_host_ops(&k->model, r);
    SPK_TRY(cost_write(&r->w, &b->image, k->target, &sources));
    SPK_TRY(partition_json(&k->mapping, &r->w));
    report_summary(k, &b->image, r);
    SPK_TRY(partition_text(&k->mapping, &r->result->text));
    placing_text(&k->mapping, &b->prediction, &b->image, &r->result->text);
    report_predicted(k, &b->prediction, &r->result->text);
    return cost_table(parts.cost_json, b->cost_json.len, "cost.json", 16, &k->c->diags,
                      &r->result->text);
}

/* From the loaded parts to the image. */
static spk_status compile_loaded(struct compile *k, const struct spk_compile_options *o,
                                 struct api_built *b)
{
    SPK_TRY(api_poll(k->c));
    SPK_TRY(compile_passes(k, o->attention, o->remarks));
    SPK_TRY(load_rates(k, o->rates));
    const struct api_fit_query q = {o->target,      o->system,         o->attention, o->objective,
                                    o->constraints, o->separate_cores, o->cut};
    SPK_TRY(compile_or_explain(k, &o->model, &q, o->seed, o->remarks, true));
    SPK_TRY(api_poll(k->c));
    return compile_build(k, o, b);
}

/* What the options name, but for files. */
static spk_status compile_names(struct compile *k, const struct spk_compile_options *o)
{
    SPK_TRY(api_system_check(k->c, k->target, o->system));
    SPK_TRY(load_constraints(k, o->constraints));
    SPK_TRY(check_schedule(k->c, o->schedule));
    SPK_TRY(objective_by_name(k->c, o->objective, k->target, &k->objective));
    SPK_TRY(api_placer(k->c, o->placer, &k->placer));
    SPK_TRY(cut_by_name(k->c, o->cut, &k->cut));
    k->separate_cores = o->separate_cores;
    return SPK_OK;
}

static spk_status compile_all(struct compile *k, const struct spk_compile_options *o,
                              struct api_report *r)
{
    if (o->output == NULL)
        return diag_usage(&k->c->diags, spk_span_none, "E0910",
                          "no output folder: give it with -o DIR");
    SPK_TRY(api_target_load(k->c, o->target, &k->target));
    SPK_TRY(compile_names(k, o));
    SPK_TRY(api_chip_model_load(k->c, &o->model, true, &k->model));
    SPK_TRY(api_model_hash(k->c, &k->model));
    if (o->calibrate != NULL) {
        struct spk_data_options d = {.input = o->calibrate,
                                     .form = o->form,
                                     .limit = o->calibrate_limit ? o->calibrate_limit
                                                                 : CALIBRATE_DEFAULT};
        SPK_TRY(api_data_load(k->c, &d, k->model.module, &k->calibration));
    }
    struct api_built built = {0};
    spk_status status = compile_loaded(k, o, &built);
    if (status == SPK_OK)
        status = compile_write(k, o, &built, r);
    api_built_fini(&built);
    return status;
}

static struct compile borrow_parts(spk_context *c, const struct api_parts *parts)
{
    struct compile k = {.c = c,
                        .model = *parts->model,
                        .target = parts->target,
                        .borrowed = true,
                        .no_name = !parts->by_name,
                        .no_command = !parts->command};
    if (parts->calibration != NULL)
        k.calibration = *parts->calibration;
    return k;
}

spk_status api_compile_parts(spk_context *c, const struct api_parts *parts,
                             const struct spk_compile_options *o, struct api_built *out)
{
    struct compile k = borrow_parts(c, parts);
    memset(out, 0, sizeof *out);
    spk_status status = compile_names(&k, o);
    if (status == SPK_OK)
        status = compile_loaded(&k, o, out);
    if (status == SPK_OK) {
        out->quantised = k.module;
        out->constraints = k.constraints;
        k.module = NULL;
        k.constraints = NULL;
    } else {
        api_built_fini(out);
    }
    compile_fini(&k);
    return status;
}

int spk_compile(spk_context *c, const struct spk_compile_options *o, spk_result **out_result)
{
    struct compile k = {.c = c};
    struct api_report r;
    SPK_TRY(api_job(c, out_result, o != NULL, "spk_compile"));
    spk_status status = api_report_begin(&r, "compile");
    if (status == SPK_OK)
        status = compile_all(&k, o, &r);
    compile_fini(&k);
    return api_report_end_early(c, &r, status, "the placement is the best so far", out_result);
}

/* ---- estimate ---- */

static spk_status estimate_loaded(struct compile *k, const struct spk_estimate_options *o,
                                  struct api_report *r, bool *out_keep)
{
    SPK_TRY(load_constraints(k, o->constraints));
    k->separate_cores = o->separate_cores;
    const struct api_fit_query q = {o->target,      o->system,         o->attention, o->objective,
                                    o->constraints, o->separate_cores, o->cut};
    spk_status status = compile_passes(k, o->attention, o->remarks);
    if (status == SPK_OK)
        SPK_TRY(load_rates(k, o->rates));
    if (status == SPK_OK)
        status = compile_or_explain(k, &o->model, &q, 0, o->remarks, false);
    if (status != SPK_OK && status != SPK_ERR_NOFIT)
        return status;
    *out_keep = true;
    jw_string(&r->w, "target", k->target->name);
    jw_bool(&r->w, "fits", status == SPK_OK);
    jw_string(&r->w, "rates", k->measured ? "given" : "declared");
    api_report_host_ops(&k->model, r);
    if (status == SPK_OK) {
        SPK_TRY(estimate_json(&k->mapping, &r->w));
        SPK_TRY(estimate_text(&k->mapping, &r->result->text));
    }
    paper_write(&r->w, &k->paper);
    paper_text(&k->paper, &r->result->text);
    return status;
}

static spk_status estimate_all(struct compile *k, const struct spk_estimate_options *o,
                               struct api_report *r, bool *out_keep)
{
    SPK_TRY(api_target_load(k->c, o->target, &k->target));
    SPK_TRY(api_system_check(k->c, k->target, o->system));
    SPK_TRY(objective_by_name(k->c, o->objective, k->target, &k->objective));
    SPK_TRY(cut_by_name(k->c, o->cut, &k->cut));
    SPK_TRY(api_chip_model_load(k->c, &o->model, false, &k->model));
    return estimate_loaded(k, o, r, out_keep);
}

spk_status api_estimate_parts(spk_context *c, const struct api_parts *parts,
                              const struct spk_estimate_options *o, struct api_report *report,
                              bool *out_keep)
{
    struct compile k = borrow_parts(c, parts);
    spk_status status = api_system_check(c, k.target, o->system);
    if (status == SPK_OK)
        status = objective_by_name(c, o->objective, k.target, &k.objective);
    if (status == SPK_OK)
        status = cut_by_name(c, o->cut, &k.cut);
    if (status == SPK_OK)
        status = estimate_loaded(&k, o, report, out_keep);
    compile_fini(&k);
    return status;
}

/* ---- an estimate with places and expected costs ---- */

/* Gives params without data zeros: what is expected of a network depends on their shapes alone, but
 * for biases. */
static spk_status zero_params(struct ir_module *m, void **out_zeros)
{
    size_t largest = 1;
    for (uint32_t i = 0; i < m->n_params; i++) {
        size_t bytes;
        if (m->param[i].data == NULL) {
            if (!checked_mul_size(ir_param_elements(&m->param[i]), ir_dtype_size(m->param[i].dtype),
                                  &bytes))
                return SPK_ERR_NOMEM;
            largest = bytes > largest ? bytes : largest;
        }
    }
    *out_zeros = spk_alloc_zero(largest);
    if (*out_zeros == NULL)
        return SPK_ERR_NOMEM;
    for (uint32_t i = 0; i < m->n_params; i++)
        if (m->param[i].data == NULL)
            m->param[i].data = *out_zeros;
    return SPK_OK;
}

static spk_status expected_cost(struct compile *k, struct strbuf *out)
{
    struct image im;
    struct json_writer w;
    struct chip_prediction prediction;
    const struct cost_sources sources = {
        .prediction = &prediction, .measured = k->measured, .paper = &k->paper};
    memset(&prediction, 0, sizeof prediction);
    SPK_TRY(chip_emit(&k->mapping, "{}", &k->c->progress, &k->c->diags, &im));
    spk_status status = chip_predict(&k->mapping, &im, &prediction);
    if (status == SPK_OK)
        status = cost_text(&w, &im, k->target, &sources, out);
    chip_prediction_fini(&prediction);
    image_fini(&im);
    return status;
}

spk_status api_expect(spk_context *c, const struct spk_compile_options *o, struct strbuf *out_cost)
{
    struct compile k = {.c = c, .separate_cores = o->separate_cores};
    void *zeros = NULL;
    api_begin(c);
    spk_status status = api_target_load(c, o->target, &k.target);
    if (status == SPK_OK)
        status = api_system_check(c, k.target, o->system);
    if (status == SPK_OK)
        status = objective_by_name(c, o->objective, k.target, &k.objective);
    if (status == SPK_OK)
        status = api_placer(c, o->placer, &k.placer);
    if (status == SPK_OK)
        status = load_constraints(&k, o->constraints);
    if (status == SPK_OK)
        status = cut_by_name(c, o->cut, &k.cut);
    if (status == SPK_OK)
        status = api_chip_model_load(c, &o->model, false, &k.model);
    if (status == SPK_OK)
        status = compile_passes(&k, o->attention, false);
    if (status == SPK_OK)
        status = load_rates(&k, o->rates);
    if (status == SPK_OK)
        status = compile_map(&k, o->system, o->seed, false, true);
    if (status == SPK_OK)
        status = zero_params(k.module, &zeros);
    if (status == SPK_OK)
        status = expected_cost(&k, out_cost);
    compile_fini(&k);
    spk_free(zeros);
    return status;
}

int spk_estimate(spk_context *c, const struct spk_estimate_options *o, spk_result **out_result)
{
    struct compile k = {.c = c};
    struct api_report r;
    bool keep = false;
    SPK_TRY(api_job(c, out_result, o != NULL, "spk_estimate"));
    spk_status status = api_report_begin(&r, "estimate");
    if (status == SPK_OK)
        status = estimate_all(&k, o, &r, &keep);
    compile_fini(&k);
    return api_report_end(&r, status, keep, out_result);
}
