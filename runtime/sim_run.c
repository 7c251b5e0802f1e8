/* Simulator, part 8: the step loop. Per step: which frame each layer is at; host currents; fire
 * (parallel over chunks); host and embedded processors; deliver (parallel over chunks); statistics;
 * hand over the image that is complete. Two fork-joins per step.                                */
#include "runtime/sim_internal.h"

#include <string.h>

#include "support/alloc.h"
#include "support/pool.h"

static spk_status reset(struct sim *s)
{
    size_t n = s->n_comps;

    memset(s->v, 0, s->n_neurons * sizeof *s->v);
    if (s->u)
        memset(s->u, 0, s->n_neurons * sizeof *s->u);
    memset(s->acc, 0, n * sizeof *s->acc);
    if (s->acc1)
        memset(s->acc1, 0, n * sizeof *s->acc1);
    memcpy(s->bias, s->static_bias, s->n_neurons * sizeof *s->bias);
    memset(s->dirty, 0, s->n_cores);
    memset(s->counts, 0, (size_t)s->n_slots * s->im->head.channels * sizeof *s->counts);
    for (uint32_t i = 0; i < s->n_groups; i++)
        s->groups[i].active = false;
    sim_ticks_reset(s);
    for (size_t i = 0; i < (size_t)s->ring * (s->n_chunks + 1) * s->n_chunks; i++)
        vec_clear(&s->lists[i]);
    for (size_t i = 0; i < (size_t)s->ring * (s->n_chunks + 1); i++)
        vec_clear(&s->spikes[i]);
    for (uint32_t i = 0; i < s->n_chunks; i++) {
        struct sim_chunk *c = &s->chunks[i];
        vec_clear(&c->notes);
        c->wraps = c->outside = c->outside_step = 0;
        c->outside_layer = c->outside_core = IMG_NONE;
    }
    sim_embedded_reset(s);
    sim_stats_reset(s);
    return sim_record_begin(s);
}

static void place_frames(struct sim *s)
{
    const struct img_meta *m = &s->im->meta;

    for (uint32_t i = 0; i < s->n_layers; i++) {
        uint64_t start = s->im->layers[i].start, t = s->step - start;

        s->frame[i] = -1;
        if (s->step < start || t % m->interval >= m->timesteps || t / m->interval >= s->n_images)
            continue;
        s->frame[i] = (int32_t)(t % m->interval);
        s->image[i] = (uint32_t)(t / m->interval);
    }
}

static void process_notes(struct sim *s)
{
    for (uint32_t i = 0; i < s->n_chunks; i++) {
        struct sim_notes *notes = &s->chunks[i].notes;

        for (size_t j = 0; j < notes->len; j++) {
            const struct sim_note *note = &notes->data[j];
            const struct sim_out *o = &s->outs[note->out];
            const struct sim_spike *spike = sim_spikes_of(s, s->step, i)->data + note->first;

            if (o->dest == IMG_DEST_HOST)
                sim_host_collect(s, o, spike, note->n);
            else
                sim_embedded_collect(s, o, spike, note->n);
        }
        vec_clear(notes);
    }
}

/* The image whose last step this is, or -1. */
static int64_t completed(const struct sim *s)
{
    const struct img_meta *m = &s->im->meta;
    uint64_t t;

    if (s->step + 1 < m->latency)
        return -1;
    t = s->step + 1 - m->latency;
    return t % m->interval == 0 ? (int64_t)(t / m->interval) : -1;
}

static spk_status one_step(struct sim *s)
{
    place_frames(s);
    SPK_TRY(sim_host_write_currents(s));
    SPK_TRY(pool_run(s->run->pool, s->n_chunks, sim_fire_chunk, s));
    sim_embedded_step(s);
    SPK_TRY(sim_host_inject(s));
    process_notes(s);
    SPK_TRY(pool_run(s->run->pool, s->n_chunks, sim_deliver_chunk, s));
    sim_stats_step(s);
    return SPK_OK;
}

static uint64_t steps_of(const struct img_meta *m, uint32_t n_images)
{
    return n_images == 0 ? 0 : (uint64_t)(n_images - 1) * m->interval + m->latency;
}

static bool is_cancelled(const struct sim_run *r)
{
    return r->cancelled != NULL && r->cancelled(r->progress_ctx);
}

/* Begins no more images. Asked at the step that finishes one, so that the last step to come is that
 * of a run of those begun, whether some are under way or none. */
static void end_early(struct sim *s)
{
    const uint64_t begun = s->step / s->im->meta.interval + 1;
    if (begun >= s->n_images)
        return;
    s->n_images = (uint32_t)begun;
    s->n_steps = steps_of(&s->im->meta, s->n_images);
}

static spk_status finish_image(struct sim *s, uint32_t image)
{
    const struct sim_run *r = s->run;

    sim_host_finish(s, image);
    if (s->record)
        SPK_TRY(sim_record_finish(s, image));
    if (r->progress)
        r->progress(r->progress_ctx, image + 1, r->input.n_images);
    if (r->out_images != NULL && is_cancelled(r))
        end_early(s);
    return SPK_OK;
}

spk_status sim_run(struct sim *s, const struct sim_run *r, struct diag_list *d)
{
    const struct img_meta *m = &s->im->meta;
    spk_status status;

    SPK_TRY(sim_host_check_input(s, r, d));
    s->run = r;
    s->n_images = r->input.n_images;
    status = reset(s);
    if (status == SPK_OK)
        status = sim_probe_begin(s, d);
    s->n_steps = steps_of(m, s->n_images);
    for (s->step = 0; s->step < s->n_steps && status == SPK_OK; s->step++) {
        int64_t image = completed(s);

        const bool whole = r->out_images == NULL || s->step < m->latency;
        status = whole && is_cancelled(r) ? SPK_ERR_CANCELLED : one_step(s);
        if (status == SPK_OK && image >= 0)
            status = finish_image(s, (uint32_t)image);
    }
    if (status == SPK_OK)
        status = sim_stats_finish(s);
    if (status == SPK_OK && r->out_images != NULL)
        *r->out_images = s->n_images;
    s->run = NULL;
    return status;
}
