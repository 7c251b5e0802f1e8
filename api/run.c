/* run: level R of a model, R or Q of a compiled folder. */
#include <stdlib.h>
#include <string.h>

#include "api/api_internal.h"
#include "api/paper.h"
#include "api/probes.h"
#include "api/run_profile.h"
#include "runtime/compare.h"
#include "runtime/packed.h"
#include "runtime/record.h"
#include "support/alloc.h"
#include "support/file.h"
#include "support/time.h"

struct run {
    spk_context *c;
    const struct spk_run_options *o;
    struct api_network net;
    const struct ir_module *module; /* of the network */
    const struct engine_vtable *vtable;
    struct engine *engine;
    struct api_data data;
    struct api_probes probes;
    struct record *record, *expected;
    struct record_teacher *teacher;
    float *logits, *features;
    double *sum;
    double **channel_sum;
    uint64_t *flips, *outside, *wraps;
    double load_seconds, seconds;
    uint32_t channels, done; /* images of the run at hand */
};

static void run_fini(struct run *r)
{
    if (r->engine != NULL)
        r->vtable->destroy(r->engine);
    record_teacher_destroy(r->teacher);
    record_destroy(r->expected);
    record_destroy(r->record);
    if (r->channel_sum != NULL)
        for (uint32_t i = 0; i < r->module->n_nodes; i++)
            spk_free(r->channel_sum[i]);
    spk_free(r->channel_sum);
    api_data_fini(&r->data);
    probes_fini(&r->probes);
    api_network_fini(&r->net);
    spk_free(r->logits);
    spk_free(r->features);
    spk_free(r->sum);
    spk_free(r->flips);
    spk_free(r->outside);
    spk_free(r->wraps);
}

/* Channels of `features`: what the head reads. */
static uint32_t feature_channels(const struct ir_module *m)
{
    for (uint32_t i = m->n_nodes; i-- > 0;)
        if ((m->node[i].op == IR_OP_MEAN && !m->node[i].a.over_time) ||
            m->node[i].op == IR_OP_READOUT)
            return m->node[m->node[i].operand[0]].type.channels;
    return 0;
}

static uint32_t timesteps_of(const struct ir_module *m)
{
    uint32_t most = 1;
    for (uint32_t i = 0; i < m->n_nodes; i++)
        if (m->node[i].op == IR_OP_NEURON && m->node[i].type.timesteps > most)
            most = m->node[i].type.timesteps;
    return most;
}

static spk_status prepare_probes(struct run *r)
{
    const struct spk_probe_options *p = &r->o->probes;
    SPK_TRY(probes_check(r->c, p));
    if (p->n_probes == 0)
        return SPK_OK;
    if (r->module->stage != IR_STAGE_QUANTISED || strcmp(r->vtable->name, "reference") != 0)
        return diag_usage(&r->c->diags, spk_span_none, "E0980",
                          "probes are of level Q (a compiled folder and --level Q) and engine "
                          "'reference'");
    SPK_TRY(probe_layers_of_module(r->module, &r->probes));
    return probes_read(r->c, p->probe, p->n_probes, r->data.input.input.n_images,
                       timesteps_of(r->module), &r->probes);
}

static spk_status run_prepare(struct run *r)
{
    const struct ir_module *m = r->module;
    const uint32_t n = r->data.input.input.n_images;
    r->channels = feature_channels(m);
    SPK_TRY(spk_alloc_array((size_t)n * api_classes(m), sizeof *r->logits, &r->logits));
    SPK_TRY(spk_alloc_array((size_t)n * r->channels, sizeof *r->features, &r->features));
    SPK_TRY(spk_alloc_array(m->n_nodes, sizeof *r->sum, &r->sum));
    SPK_TRY(spk_alloc_array(m->n_nodes, sizeof *r->flips, &r->flips));
    SPK_TRY(spk_alloc_array(m->n_nodes, sizeof *r->outside, &r->outside));
    SPK_TRY(spk_alloc_array(m->n_nodes, sizeof *r->wraps, &r->wraps));
    if (r->o->rates_out != NULL) {
        SPK_TRY(spk_alloc_array(m->n_nodes, sizeof *r->channel_sum, &r->channel_sum));
        for (uint32_t i = 0; i < m->n_nodes; i++)
            if (m->node[i].recorded)
                SPK_TRY(spk_alloc_array(m->node[i].type.channels, sizeof **r->channel_sum,
                                        &r->channel_sum[i]));
    }
    if (r->o->spikes != NULL) {
        SPK_TRY(record_create(n, 0, &r->record));
        SPK_TRY(record_add_module(r->record, m, &r->c->diags));
    }
    if (r->o->teacher != NULL) {
        SPK_TRY(record_open(r->o->teacher, &r->c->diags, &r->expected));
        SPK_TRY(record_teacher_create(r->expected, m, 0, n, &r->c->diags, &r->teacher));
    }
    SPK_TRY(prepare_probes(r));
    if (r->o->profile)
        SPK_TRY(profile_check(r->c, r->vtable, n));
    SPK_TRY(api_engine_create(r->c, r->vtable, r->o->target_cpu, m, &r->engine));
    if (r->o->profile)
        pk_profile(r->engine);
    return SPK_OK;
}

static void run_progress(void *ctx, uint64_t done, uint64_t total)
{
    struct run *r = ctx;
    r->done = (uint32_t)done;
    api_progress(r->c, done, total);
}

static bool run_cancelled(void *ctx)
{
    struct run *r = ctx;
    return api_cancelled(r->c);
}

/* Images that a run finished before it was cancelled are a result: those are all there are then. */
static spk_status keep_finished(struct run *r, spk_status status)
{
    if (status != SPK_ERR_CANCELLED || r->done == 0 || !api_end_early(r->c))
        return status;
    api_data_keep_first(&r->data, r->done);
    if (r->record != NULL)
        record_keep_first(r->record, r->done);
    return SPK_OK;
}

static spk_status run_once(struct run *r, bool full)
{
    const bool quantised = r->module->stage == IR_STAGE_QUANTISED;
    struct engine_stats stats = {.sum = r->sum,
                                 .flips = r->flips,
                                 .flips_outside = r->outside,
                                 .wraps = quantised ? r->wraps : NULL,
                                 .channel_sum = r->channel_sum};
    struct engine_recorder recorder = {0};
    struct engine_teacher teacher = {0};
    struct engine_run run = {.input = r->data.input.input,
                             .logits = r->logits,
                             .features_f32 = quantised ? NULL : r->features,
                             .pool = r->c->pool,
                             .cancelled = run_cancelled,
                             .progress = run_progress,
                             .progress_ctx = r};
    if (r->teacher != NULL) {
        teacher = record_teacher_engine(r->teacher);
        run.teacher = &teacher;
    }
    if (full) {
        run.stats = &stats;
        run.probe = r->o->probes.n_probes > 0 ? &r->probes.run : NULL;
        if (r->record != NULL) {
            recorder = record_recorder(r->record);
            run.recorder = &recorder;
        }
    }
    r->done = 0;
    api_progress_begin(r->c, "running", run.input.n_images);
    return r->vtable->run(r->engine, &run, &r->c->diags);
}

static int compare_f64(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The first run collects everything; where several are asked for, the others are bare, and one that
 * is cancelled counts for nothing. */
static spk_status run_execute(struct run *r)
{
    const uint32_t repeats = r->o->repeat ? r->o->repeat : 1;
    uint32_t n = 0;
    double *seconds;
    SPK_TRY(spk_alloc_array(repeats, sizeof *seconds, &seconds));
    spk_status status = SPK_OK;
    while (n < repeats && status == SPK_OK && api_ended(r->c) == NULL) {
        uint64_t start = spk_time_ns();
        status = run_once(r, n == 0);
        if (n == 0)
            status = keep_finished(r, status);
        seconds[n] = (double)(spk_time_ns() - start) * 1e-9;
        n += status == SPK_OK;
    }
    if (status == SPK_ERR_CANCELLED && n > 0 && api_end_early(r->c))
        status = SPK_OK;
    qsort(seconds, n, sizeof *seconds, compare_f64);
    r->seconds = n > 0 ? seconds[n / 2] : 0;
    spk_free(seconds);
    return status;
}

static double node_mean(const struct run *r, uint32_t id)
{
    const struct ir_type *t = &r->module->node[id].type;
    double n = (double)ir_type_elements(t) * t->timesteps * r->data.input.input.n_images;
    return n > 0 ? r->sum[id] / n : 0.0;
}

static void write_rates(const struct run *r, struct json_writer *w)
{
    jw_object_begin(w, "rates");
    for (uint32_t i = 0; i < r->module->n_nodes; i++)
        if (r->module->node[i].recorded)
            jw_f64(w, r->module->node[i].name, node_mean(r, i));
    jw_object_end(w);
}

static void write_teacher(const struct run *r, struct json_writer *w)
{
    uint64_t flips = 0, outside = 0, values = 0;
    if (r->teacher == NULL)
        return;
    jw_object_begin(w, "teacher");
    jw_array_begin(w, "layers");
    for (uint32_t i = 0; i < r->module->n_nodes; i++) {
        const struct ir_node *n = &r->module->node[i];
        uint64_t v = ir_type_elements(&n->type) * n->type.timesteps * r->data.input.input.n_images;
        if (!n->recorded || n->op != IR_OP_NEURON)
            continue;
        jw_object_begin_line(w, NULL);
        jw_string(w, "name", n->name);
        jw_u64(w, "values", v);
        jw_u64(w, "flips", r->flips[i]);
        jw_u64(w, "flips_outside", r->outside[i]);
        jw_object_end(w);
        values += v;
        flips += r->flips[i];
        outside += r->outside[i];
    }
    jw_array_end(w);
    jw_u64(w, "values", values);
    jw_u64(w, "flips", flips);
    jw_u64(w, "flips_outside", outside);
    jw_object_end(w);
}

static spk_status write_rates_file(const struct run *r)
{
    struct strbuf text = {0};
    struct json_writer w;
    api_rates_begin(&w, &text);
    for (uint32_t i = 0; i < r->module->n_nodes; i++) {
        const struct ir_node *n = &r->module->node[i];
        double per =
            (double)ir_type_positions(&n->type) * n->type.timesteps * r->data.input.input.n_images;
        if (!n->recorded)
            continue;
        for (uint32_t c = 0; c < n->type.channels; c++)
            r->channel_sum[i][c] = per > 0 ? r->channel_sum[i][c] / per : 0.0;
        api_rates_add(&w, n, r->channel_sum[i]);
    }
    spk_status status = api_rates_end(&w, &text, r->o->rates_out, &r->c->diags);
    strbuf_fini(&text);
    return status;
}

static spk_status write_files(const struct run *r)
{
    const uint32_t classes = api_classes(r->module);
    struct record_outputs out = {NULL, r->logits, r->channels, classes,
                                 api_classifies(r->module) ? NULL : r->module};
    struct record *empty = NULL;
    if (r->module->stage != IR_STAGE_QUANTISED && r->channels > 0)
        out.features = r->features;
    if (r->o->rates_out != NULL)
        SPK_TRY(write_rates_file(r));
    if (r->o->probes.n_probes > 0)
        SPK_TRY(
            probes_write(r->c, &r->probes, r->data.input.input.n_images, "Q", r->o->probes.output));
    if (r->record != NULL)
        SPK_TRY(record_save(r->record, &out, r->o->spikes, &r->c->diags));
    if (r->o->out == NULL)
        return SPK_OK;
    SPK_TRY(record_create(r->data.input.input.n_images, 0, &empty));
    spk_status status = record_save(empty, &out, r->o->out, &r->c->diags);
    record_destroy(empty);
    return status;
}

/* The outputs of a network that tells no classes; of single numbers the mean over the images. */
static void write_outputs(const struct run *r, struct api_report *rep)
{
    const struct ir_module *m = r->module;
    const uint32_t images = r->data.input.input.n_images, all = api_classes(m);
    size_t at = 0;
    if (api_classifies(m))
        return;
    jw_array_begin(&rep->w, "outputs");
    for (uint32_t i = 0; i < m->n_nodes; i++) {
        const struct ir_node *n = &m->node[i];
        const uint64_t size = ir_type_elements(&n->type);
        const char *name = n->name ? n->name : "output";
        double sum = 0;
        if (n->op != IR_OP_OUTPUT)
            continue;
        jw_object_begin_line(&rep->w, NULL);
        jw_string(&rep->w, "name", name);
        jw_u64(&rep->w, "values", size);
        for (uint32_t k = 0; k < images; k++)
            sum += (double)r->logits[(size_t)k * all + at];
        if (size == 1 && images > 0) {
            jw_f64(&rep->w, "mean", sum / images);
            strbuf_printf(&rep->result->text, "%s: %.6g (mean over %u images)\n", name,
                          sum / images, images);
        }
        jw_object_end(&rep->w);
        at += (size_t)size;
    }
    jw_array_end(&rep->w);
}

static void run_report(const struct run *r, struct api_report *rep)
{
    struct json_writer *w = &rep->w;
    struct strbuf *t = &rep->result->text;
    const uint32_t n = r->data.input.input.n_images, classes = api_classes(r->module);
    jw_string(w, "model", r->module->name);
    jw_string(w, "level", r->module->stage == IR_STAGE_QUANTISED ? "Q" : "R");
    jw_string(w, "engine_used", r->vtable->name);
    jw_u64(w, "images", n);
    strbuf_printf(t, "%s, level %s, engine %s: %u images, %.4g s per image\n", r->module->name,
                  r->module->stage == IR_STAGE_QUANTISED ? "Q" : "R", r->vtable->name, n,
                  n ? r->seconds / n : 0.0);
    if (r->data.labels.n > 0) {
        double top1 = api_top1(r->logits, &r->data.labels, classes);
        jw_f64(w, "top1", top1);
        strbuf_printf(t, "top-1: %.4f\n", top1);
    } else if (n > 0 && n <= 16 && api_classifies(r->module)) {
        for (uint32_t i = 0; i < n; i++)
            strbuf_printf(t, "image %u: class %u\n", i,
                          compare_argmax(r->logits + (size_t)i * classes, classes));
    }
    write_outputs(r, rep);
    jw_f64(w, "seconds_per_image", n ? r->seconds / n : 0.0);
    jw_f64(w, "load_seconds", r->load_seconds);
    jw_u64(w, "peak_bytes", spk_peak_rss_bytes());
    jw_array_begin(w, "ignored_tensors");
    for (uint32_t i = 0; i < r->net.model.n_ignored; i++) {
        jw_string(w, NULL, r->net.model.ignored[i]);
        strbuf_printf(t, "ignored tensor: %s\n", r->net.model.ignored[i]);
    }
    jw_array_end(w);
    if (r->module->stage == IR_STAGE_QUANTISED) {
        uint64_t wraps = 0;
        for (uint32_t i = 0; i < r->module->n_nodes; i++)
            wraps += r->wraps[i];
        jw_u64(w, "wraps", wraps);
    }
    if (r->o->profile)
        profile_write(r->engine, rep);
    write_teacher(r, w);
    write_rates(r, w);
}

static spk_status run_paper(const struct run *r, struct api_report *rep)
{
    struct cost_paper paper = {0};
    double *mean;
    if (r->module->stage == IR_STAGE_QUANTISED)
        return SPK_OK;
    SPK_TRY(spk_alloc_array(r->module->n_nodes, sizeof *mean, &mean));
    for (uint32_t i = 0; i < r->module->n_nodes; i++)
        mean[i] = node_mean(r, i);
    spk_status status = paper_from_means(r->module, mean, &paper);
    spk_free(mean);
    paper_write(&rep->w, &paper);
    paper_text(&paper, &rep->result->text);
    return status;
}

static spk_status run_all(struct run *r, struct api_report *rep)
{
    uint64_t start = spk_time_ns();
    SPK_TRY(api_engine(r->c, r->o->engine, r->o->target_cpu, &r->vtable));
    SPK_TRY(api_network_load(r->c, &r->o->model, r->o->level, &r->net));
    r->module = r->net.module;
    SPK_TRY(api_data_load(r->c, &r->o->data, r->module, &r->data));
    SPK_TRY(run_prepare(r));
    r->load_seconds = (double)(spk_time_ns() - start) * 1e-9;
    SPK_TRY(run_execute(r));
    SPK_TRY(write_files(r));
    run_report(r, rep);
    return run_paper(r, rep);
}

int spk_run(spk_context *c, const struct spk_run_options *o, spk_result **out_result)
{
    struct run r = {.c = c, .o = o};
    struct api_report rep;
    SPK_TRY(api_job(c, out_result, o != NULL, "spk_run"));
    spk_status status = api_report_begin(&rep, "run");
    if (status == SPK_OK)
        status = run_all(&r, &rep);
    run_fini(&r);
    return api_report_end_early(c, &rep, status, "only so many images were run", out_result);
}
