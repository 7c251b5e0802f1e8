/* simulate: level M of a compiled folder; refreshes the dynamic part of its cost.json. */
#include <string.h>

#include "api/command_text.h"
#include "api/cost.h"
#include "api/paper.h"
#include "api/probes.h"
#include "api/sim_rates.h"
#include "runtime/compare.h"
#include "runtime/record.h"
#include "runtime/sim.h"
#include "support/alloc.h"
#include "support/file.h"
#include "support/time.h"

struct simulate {
    spk_context *c;
    const struct spk_simulate_options *o;
    struct api_folder f;
    struct api_data data;
    struct sim *sim;
    struct record *record; /* NULL: spikes are not asked for */
    struct sim_rates rates;
    struct api_probes probes;
    float *logits;
    double seconds;
};

static void simulate_fini(struct simulate *s)
{
    sim_destroy(s->sim);
    record_destroy(s->record);
    sim_rates_fini(&s->rates);
    probes_fini(&s->probes);
    spk_free(s->logits);
    api_data_fini(&s->data);
    api_folder_fini(&s->f);
}

static spk_status take_value(void *ctx, uint32_t image, const struct sim_value *value,
                             const void *data)
{
    struct simulate *s = ctx;
    sim_rates_add(&s->rates, value, data);
    if (s->record == NULL)
        return SPK_OK;
    const uint32_t index = record_index(s->record, value->name);
    return index == IR_NONE ? SPK_OK : record_put(s->record, index, image, data);
}

static spk_status simulate_run(struct simulate *s)
{
    const uint32_t n = s->data.input.input.n_images;
    uint32_t done = n;
    struct sim_recorder recorder = {s, take_value};
    struct sim_run run = {.input = s->data.input.input,
                          .pool = s->c->pool,
                          .cancelled = api_cancelled,
                          .out_images = s->c->whole ? NULL : &done,
                          .recorder = &recorder,
                          .progress = api_progress,
                          .progress_ctx = s->c};
    SPK_TRY(sim_rates_init(&s->rates, s->f.model));
    SPK_TRY(spk_alloc_array((size_t)n * s->f.image.head.classes, sizeof *s->logits, &s->logits));
    run.logits = s->logits;
    if (s->o->spikes != NULL) {
        SPK_TRY(record_create(n, 0, &s->record));
        SPK_TRY(record_add_module(s->record, s->f.quantised, &s->c->diags));
    }
    if (s->o->probes.n_probes > 0) {
        const struct spk_probe_options *p = &s->o->probes;
        SPK_TRY(probe_layers_of_image(&s->f.image, &s->probes));
        SPK_TRY(probes_read(s->c, p->probe, p->n_probes, n, s->f.image.meta.timesteps, &s->probes));
        run.probe = &s->probes.run;
    }
    SPK_TRY(sim_create(&s->f.image, &s->c->diags, &s->sim));
    api_progress_begin(s->c, "simulating", n);
    uint64_t start = spk_time_ns();
    SPK_TRY(sim_run(s->sim, &run, &s->c->diags));
    s->seconds = (double)(spk_time_ns() - start) * 1e-9;
    if (done < n && api_end_early(s->c)) {
        api_data_keep_first(&s->data, done);
        if (s->record != NULL)
            record_keep_first(s->record, done);
    }
    return SPK_OK;
}

static spk_status save(struct simulate *s)
{
    struct record_outputs out = {.logits = s->logits, .classes = s->f.image.head.classes};
    struct record *empty = NULL;
    if (s->record != NULL)
        SPK_TRY(record_save(s->record, &out, s->o->spikes, &s->c->diags));
    if (s->o->probes.n_probes > 0)
        SPK_TRY(
            probes_write(s->c, &s->probes, s->data.input.input.n_images, "M", s->o->probes.output));
    if (s->o->out == NULL)
        return SPK_OK;
    SPK_TRY(record_create(s->data.input.input.n_images, 0, &empty));
    spk_status status = record_save(empty, &out, s->o->out, &s->c->diags);
    record_destroy(empty);
    return status;
}

/* Rates of the simulated run give the paper's figure of exactly these images. */
static spk_status simulate_report(struct simulate *s, struct api_report *r)
{
    const struct sim_stats *st = sim_statistics(s->sim);
    const uint32_t n = s->data.input.input.n_images, classes = s->f.image.head.classes;
    struct strbuf cost = {0}, command = {0}, *t = &r->result->text;
    struct json_writer w;
    struct cost_paper paper;
    char *path = NULL;
    SPK_TRY(sim_rates_paper(&s->rates, &s->data.input.input, &paper));
    const struct cost_sources sources = {.stats = st, .paper = &paper};
    command_word(&command, "spikec");
    command_word(&command, "simulate");
    command_word(&command, "DIR");
    command_data(&command, &s->o->data);
    jw_init(&w, &cost, 1);
    jw_object_begin(&w, NULL);
    jw_i64(&w, "schema", 1);
    jw_string(&w, "command_line", strbuf_cstr(&command));
    spk_status status = command.status;
    strbuf_fini(&command);
    if (status == SPK_OK)
        status = cost_write(&w, &s->f.image, s->f.target, &sources);
    jw_object_end(&w);
    if (status == SPK_OK)
        status = jw_finish(&w);
    if (status == SPK_OK)
        status = (path = path_join(s->o->folder, "cost.json")) ? SPK_OK : SPK_ERR_NOMEM;
    if (status == SPK_OK)
        status = file_write_all(path, cost.data, cost.len, &s->c->diags);
    spk_free(path);
    if (status == SPK_OK) {
        jw_f64(&r->w, "seconds_per_image", n ? s->seconds / n : 0.0);
        jw_string(&r->w, "engine_used", "simulator");
        if (s->data.labels.n > 0)
            jw_f64(&r->w, "top1", api_top1(s->logits, &s->data.labels, classes));
        status = cost_write(&r->w, &s->f.image, s->f.target, &sources);
        strbuf_printf(t, "%u images, %llu steps, %.4g s per image\n", n,
                      (unsigned long long)st->steps, n ? s->seconds / n : 0.0);
        if (s->data.labels.n > 0)
            strbuf_printf(t, "top-1: %.4f\n", api_top1(s->logits, &s->data.labels, classes));
    }
    if (status == SPK_OK)
        status = cost_table(cost.data, cost.len, "cost.json", 16, &s->c->diags, t);
    strbuf_fini(&cost);
    return status;
}

static spk_status simulate_all(struct simulate *s, struct api_report *r)
{
    SPK_TRY(probes_check(s->c, &s->o->probes));
    SPK_TRY(api_folder_open(
        s->c, s->o->folder,
        API_FOLDER_MODEL | API_FOLDER_QUANTISED | API_FOLDER_IMAGE | API_FOLDER_TARGET, &s->f));
    SPK_TRY(api_data_load(s->c, &s->o->data, s->f.quantised, &s->data));
    SPK_TRY(simulate_run(s));
    SPK_TRY(save(s));
    return simulate_report(s, r);
}

int spk_simulate(spk_context *c, const struct spk_simulate_options *o, spk_result **out_result)
{
    struct simulate s = {.c = c, .o = o};
    struct api_report r;
    SPK_TRY(api_job(c, out_result, o != NULL, "spk_simulate"));
    spk_status status = api_report_begin(&r, "simulate");
    if (status == SPK_OK)
        status = simulate_all(&s, &r);
    simulate_fini(&s);
    return api_report_end_early(c, &r, status, "only so many images were simulated", out_result);
}
