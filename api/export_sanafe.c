/* export --to sanafe: simulates the image on the given images, keeping the spikes of every layer,
 * and hands both to the back end. What embedded processors compute is part of the simulation, so in
 * SANA-FE the layers behind them are driven by what they sent. */
#include <string.h>

#include "api/export.h"
#include "backends/sanafe/sanafe.h"
#include "ir/ir.h"
#include "runtime/sim.h"
#include "support/alloc.h"

struct sanafe_job {
    struct export_job *j;
    struct api_data data;
    struct sim *sim;
    int32_t **values;
    int32_t *currents;
    double (*group_pj)[2];
};

static void job_fini(struct sanafe_job *k)
{
    for (uint64_t i = 0; k->values != NULL && i < k->j->f.image.n_layers; i++)
        spk_free(k->values[i]);
    spk_free(k->values);
    spk_free(k->currents);
    spk_free(k->group_pj);
    sim_destroy(k->sim);
    api_data_fini(&k->data);
}

/* Into [image][frame][channel, position], whatever the layout. */
static spk_status take_value(void *ctx, uint32_t image, const struct sim_value *v, const void *data)
{
    struct sanafe_job *k = ctx;
    if (v->layer == IMG_NONE)
        return SPK_OK;
    const uint32_t positions = v->height * v->width, n = v->channels * positions;
    const bool swapped = v->layout == IR_NC;
    int32_t *to = k->values[v->layer] + (size_t)image * v->timesteps * n;
    for (size_t i = 0; i < (size_t)v->timesteps * n; i++) {
        const size_t frame = i / n, at = i % n;
        const size_t channel = swapped ? at % v->channels : at / positions;
        const size_t position = swapped ? at / v->channels : at % positions;
        to[frame * n + channel * positions + position] =
            v->is_i32 ? ((const int32_t *)data)[i] : ((const uint8_t *)data)[i];
    }
    return SPK_OK;
}

static spk_status simulate(struct sanafe_job *k)
{
    struct image *im = &k->j->f.image;
    const struct sim_recorder recorder = {k, take_value};
    const struct sim_run run = {.input = k->data.input.input,
                                .pool = k->j->c->pool,
                                .cancelled = api_cancelled,
                                .recorder = &recorder,
                                .progress = api_progress,
                                .progress_ctx = k->j->c};
    const size_t frames = (size_t)run.input.n_images * im->meta.timesteps;
    SPK_TRY(spk_alloc_array(im->n_layers, sizeof *k->values, &k->values));
    for (uint32_t l = 0; l < im->n_layers; l++) {
        const struct img_layer *layer = &im->layers[l];
        im->layers[l].recorded = 1; /* inner layers, too */
        SPK_TRY(spk_alloc_array((size_t)layer->channels * layer->height * layer->width,
                                frames * sizeof **k->values, &k->values[l]));
    }
    SPK_TRY(sim_create(im, &k->j->c->diags, &k->sim));
    api_progress_begin(k->j->c, "simulating", run.input.n_images);
    return sim_run(k->sim, &run, &k->j->c->diags);
}

static spk_status encode(struct sanafe_job *k)
{
    const struct image *im = &k->j->f.image;
    const struct engine_input *in = &k->data.input.input;
    if (!im->encoder.present)
        return SPK_OK;
    const struct img_layer *l = &im->layers[im->encoder.layer];
    const size_t n = (size_t)l->channels * l->height * l->width;
    SPK_TRY(spk_alloc_array(in->n_images, n * sizeof *k->currents, &k->currents));
    for (uint32_t i = 0; i < in->n_images; i++)
        SPK_TRY(sim_encode(im, in->data + i * in->image_stride, k->currents + i * n));
    return SPK_OK;
}

static spk_status group_energies(struct sanafe_job *k, const struct sim_stats *st)
{
    SPK_TRY(spk_alloc_array(st->n_groups, sizeof *k->group_pj, &k->group_pj));
    for (uint32_t g = 0; g < st->n_groups; g++) {
        const double *e = st->group[g].energy_pj;
        k->group_pj[g][0] = e[TGT_E_SYNAPTIC_OP];
        k->group_pj[g][1] = e[TGT_E_NEURON_ACTIVE] + e[TGT_E_NEURON_INACTIVE] +
                            e[TGT_E_NEURON_TOUCHED] + e[TGT_E_SPIKE_OUT];
    }
    return SPK_OK;
}

static spk_status report(struct api_report *r, const struct sanafe_figures *f)
{
    jw_string(&r->w, "format", f->yaml ? "yaml" : "netlist");
    jw_u64(&r->w, "timesteps", f->timesteps);
    jw_u64(&r->w, "groups", f->groups);
    jw_u64(&r->w, "neurons", f->neurons);
    jw_u64(&r->w, "inputs", f->inputs);
    jw_u64(&r->w, "edges", f->edges);
    jw_u64(&r->w, "spikes", f->spikes);
    jw_f64(&r->w, "energy_pj", f->energy_pj);
    strbuf_printf(&r->result->text,
                  "%llu neurons, %llu inputs, %llu edges, %llu steps; expected: %llu spikes, "
                  "%.6g nJ\n",
                  (unsigned long long)f->neurons, (unsigned long long)f->inputs,
                  (unsigned long long)f->edges, (unsigned long long)f->timesteps,
                  (unsigned long long)f->spikes, f->energy_pj * 1e-3);
    return SPK_OK;
}

static spk_status export_all(struct sanafe_job *k, struct api_report *r)
{
    struct export_job *j = k->j;
    struct sanafe_figures figures;
    SPK_TRY(api_data_load(j->c, &j->o->data, j->f.quantised, &k->data));
    SPK_TRY(simulate(k));
    SPK_TRY(encode(k));
    const struct sim_stats *st = sim_statistics(k->sim);
    struct sanafe_run run = {.n_images = k->data.input.input.n_images,
                             .values = k->values,
                             .currents = k->currents,
                             .barrier_ns = st->barrier_ns};
    memcpy(run.energy_pj, st->total.energy_pj, sizeof run.energy_pj);
    SPK_TRY(group_energies(k, st));
    run.group_pj = k->group_pj;
    run.segment = j->o->segment ? j->o->segment - 1 : 0;
    run.n_segments = j->o->segments ? j->o->segments : 1;
    for (uint64_t i = 0; i < st->n_routes; i++)
        if (j->f.image.routes[i].dest != IMG_DEST_CORE)
            run.messages_outside += st->route_messages[i];
    SPK_TRY(sanafe_export(&j->f.image, &run, j->dir, &j->c->diags, &figures));
    return report(r, &figures);
}

spk_status export_sanafe(struct export_job *j, struct api_report *r)
{
    struct sanafe_job k = {.j = j};
    spk_status status = export_all(&k, r);
    job_fini(&k);
    return status;
}
