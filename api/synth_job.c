/* synth: a model and a firing rate -> weights of a network that fires at it. */
#include "passes/synth.h"

#include <math.h>
#include <string.h>

#include "api/api_internal.h"
#include "support/alloc.h"
#include "support/file.h"
#include "support/safetensors.h"

struct synth_job {
    spk_context *c;
    const struct spk_synth_options *o;
    struct api_model model;
    struct api_data data;       /* --input */
    struct synth_images images; /* else */
    struct engine_input input;  /* of either */
    struct synth_result result;
};

static void job_fini(struct synth_job *j)
{
    synth_result_fini(&j->result);
    synth_images_fini(&j->images);
    api_data_fini(&j->data);
    api_model_fini(&j->model);
}

static spk_status check_options(const struct synth_job *j)
{
    const struct spk_synth_options *o = j->o;
    if (!(o->rate > 0.0 && o->rate < 1.0))
        return diag_usage(
            &j->c->diags, spk_span_none, "E0931",
            "the rate must lie between 0 and 1, both excluded: give it with --rate R");
    if (o->output == NULL)
        return diag_usage(&j->c->diags, spk_span_none, "E0932",
                          "no output file: give it with -o FILE");
    if (o->data.labels != NULL)
        return diag_usage(&j->c->diags, spk_span_none, "E0933", "labels are of no use here");
    return SPK_OK;
}

/* Says now, not after minutes, that a file cannot be written. */
static spk_status check_place(const struct synth_job *j, const char *path)
{
    struct file_writer *w;
    if (path == NULL)
        return SPK_OK;
    SPK_TRY(file_writer_create(path, &j->c->diags, &w));
    file_writer_abort(w);
    return SPK_OK;
}

/* The images that were used, as a file for `run` and `simulate`. */
static spk_status save_input(const struct synth_job *j)
{
    const struct ir_node *in = &j->model.module->node[ir_input(j->model.module)];
    const struct ir_type *t = &in->type;
    const size_t own = (size_t)t->timesteps * ir_type_elements(t);
    struct st_writer *w = NULL;
    uint64_t shape[5];
    uint32_t rank = 0;
    float *images;
    if (j->o->input_out == NULL)
        return SPK_OK;
    shape[rank++] = j->input.n_images;
    if (in->a.input.events)
        shape[rank++] = t->timesteps;
    shape[rank++] = t->channels;
    shape[rank++] = t->height;
    shape[rank++] = t->width;
    SPK_TRY(spk_alloc_array_raw(own, j->input.n_images * sizeof *images, &images));
    for (uint32_t k = 0; k < j->input.n_images; k++) /* without the masks behind them */
        memcpy(images + k * own, j->input.data + k * j->input.image_stride, own * sizeof *images);
    spk_status status = st_writer_create(&w);
    if (status == SPK_OK)
        status = st_writer_add(w, "input", ST_F32, rank, shape, images);
    if (status == SPK_OK)
        status = st_writer_save(w, j->o->input_out, &j->c->diags);
    st_writer_destroy(w);
    spk_free(images);
    return status;
}

static spk_status save_rates(const struct synth_job *j)
{
    const struct ir_module *m = j->model.module;
    struct strbuf text = {0};
    struct json_writer w;
    if (j->o->rates_out == NULL)
        return SPK_OK;
    api_rates_begin(&w, &text);
    for (uint32_t i = 0; i < m->n_nodes; i++)
        if (m->node[i].recorded && j->result.channel_rate[i] != NULL)
            api_rates_add(&w, &m->node[i], j->result.channel_rate[i]);
    spk_status status = api_rates_end(&w, &text, j->o->rates_out, &j->c->diags);
    strbuf_fini(&text);
    return status;
}

/* Trainable ones: without running means and variances. */
static uint64_t parameters_of(const struct ir_module *m)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < m->n_params; i++)
        n += ir_param_elements(&m->param[i]);
    for (uint32_t i = 0; i < m->n_nodes; i++)
        if (m->node[i].op == IR_OP_BATCHNORM)
            n -= 2 * ir_param_elements(&m->param[m->node[i].param[2]]);
    return n;
}

static void report(const struct synth_job *j, struct api_report *r)
{
    const struct ir_module *m = j->model.module;
    struct json_writer *w = &r->w;
    struct strbuf *t = &r->result->text;
    double worst = 0;
    jw_string(w, "model", m->name);
    jw_string(w, "output", j->o->output);
    jw_f64(w, "target_rate", j->o->rate);
    jw_u64(w, "seed", j->o->seed);
    jw_string(w, "input", j->o->data.input ? "given" : "synthetic");
    jw_u64(w, "images", j->input.n_images);
    jw_u64(w, "parameters", parameters_of(m));
    jw_array_begin(w, "layers");
    strbuf_printf(t, "%-34s %-10s %8s\n", "layer", "set by", "rate");
    for (uint32_t i = 0; i < j->result.n_layers; i++) {
        const struct synth_layer *l = &j->result.layer[i];
        const char *name = m->node[l->node].name ? m->node[l->node].name : "";
        worst = fmax(worst, fabs(l->rate / j->o->rate - 1.0));
        jw_object_begin_line(w, NULL);
        jw_string(w, "name", name);
        jw_string(w, "set_by", synth_means_name(l->means));
        jw_f64(w, "rate", l->rate);
        jw_object_end(w);
        strbuf_printf(t, "%-34s %-10s %8.4f\n", name, synth_means_name(l->means), l->rate);
    }
    jw_array_end(w);
    jw_f64(w, "largest_deviation", worst);
    strbuf_printf(t,
                  "%s: %llu parameters, rate %g wanted, furthest layer %.2g %% away, on %u %s "
                  "images\n",
                  m->name, (unsigned long long)parameters_of(m), j->o->rate, 100.0 * worst,
                  j->input.n_images, j->o->data.input ? "given" : "synthetic");
}

static spk_status synth_all(struct synth_job *j, struct api_report *r)
{
    spk_context *c = j->c;
    struct synth_options o = {.rate = j->o->rate,
                              .seed = j->o->seed,
                              .input = &j->input,
                              .pool = c->pool,
                              .diags = &c->diags,
                              .progress = &c->progress};
    SPK_TRY(check_options(j));
    SPK_TRY(check_place(j, j->o->output));
    SPK_TRY(check_place(j, j->o->input_out));
    SPK_TRY(check_place(j, j->o->rates_out));
    SPK_TRY(api_engine(c, NULL, NULL, &o.engine));
    SPK_TRY(api_model_load(c, &j->o->model, false, &j->model));
    if (j->model.module->stage != IR_STAGE_MODEL)
        return diag_usage(&c->diags, spk_span_none, "E0967",
                          "'%s' holds its integers: it takes no weights", j->o->model.model);
    if (j->o->data.input != NULL) {
        struct spk_data_options data = j->o->data;
        const struct ir_type *in = &j->model.module->node[ir_input(j->model.module)].type;
        if (ir_input_values(j->model.module) > in->timesteps * ir_type_elements(in))
            data.mask_ratio = -1;
        SPK_TRY(api_data_load(c, &data, j->model.module, &j->data));
        j->input = j->data.input.input;
    } else {
        SPK_TRY(synth_images_make(j->model.module, (uint32_t)j->o->data.limit, j->o->seed,
                                  &c->diags, &j->images));
        j->input = j->images.input;
    }
    SPK_TRY(synth_weights(j->model.module, &o, &j->result));
    SPK_TRY(ir_params_save(j->model.module, j->o->output, &c->diags));
    SPK_TRY(save_input(j));
    SPK_TRY(save_rates(j));
    report(j, r);
    return SPK_OK;
}

int spk_synth(spk_context *c, const struct spk_synth_options *o, spk_result **out_result)
{
    struct synth_job j = {.c = c, .o = o};
    struct api_report r;
    SPK_TRY(api_job(c, out_result, o != NULL, "spk_synth"));
    spk_status status = api_report_begin(&r, "synth");
    if (status == SPK_OK)
        status = synth_all(&j, &r);
    job_fini(&j);
    return api_report_end(&r, status, false, out_result);
}
