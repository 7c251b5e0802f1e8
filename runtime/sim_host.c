/* Simulator, part 5: the host. Encodes images to currents (docs/integers.md, section 5), injects
 * event frames, enable spikes and the results of embedded processors, counts the read-out's spikes
 * and computes the head in double precision.
 *
 * Event and enable injections carry their own start step; an embedded one fires with its layer. */
#include "runtime/sim_internal.h"

#include <math.h>
#include <string.h>

#include "support/alloc.h"

static uint64_t input_elements(const struct sim *s, bool *out_events)
{
    const struct img_encoder *e = &s->im->encoder;

    *out_events = false;
    if (e->present)
        return (uint64_t)e->in_channels * e->in_height * e->in_width;
    for (uint32_t i = 0; i < s->n_layers; i++) {
        if (s->im->layers[i].kind == IMG_LAYER_INPUT) {
            *out_events = true;
            return s->im->meta.timesteps * sim_layer_elements(&s->im->layers[i]);
        }
    }
    return 0;
}

spk_status sim_host_check_input(const struct sim *s, const struct sim_run *r, struct diag_list *d)
{
    bool events;
    uint64_t n = input_elements(s, &events);
    struct spk_span place = diag_place(d, "input");

    if (n == 0 || r->input.n_images == 0)
        return SPK_OK;
    if (!r->input.data || r->input.image_stride < n)
        return diag_error(d, place, "E0842", "an image has %llu values, the network needs %llu",
                          (unsigned long long)(r->input.data ? r->input.image_stride : 0),
                          (unsigned long long)n);
    for (uint32_t k = 0; k < r->input.n_images; k++) {
        const float *x = r->input.data + k * r->input.image_stride;

        for (uint64_t i = 0; i < n; i++) {
            if (!isfinite(x[i]))
                return diag_error(d, place, "E0842", "image %u: value %llu is not finite", k,
                                  (unsigned long long)i);
            if (events && (x[i] < 0.0f || x[i] > 16777216.0f || x[i] != floorf(x[i])))
                return diag_error(d, place, "E0842",
                                  "image %u: event count %llu is %g, not an integer in 0..2^24", k,
                                  (unsigned long long)i, (double)x[i]);
        }
    }
    return SPK_OK;
}

/* x_q = clip(round_half_even(x * 2^x_shift), +-32767). */
static void quantise_pixels(const struct img_encoder *e, const float *x, int32_t *pixels)
{
    size_t n = (size_t)e->in_channels * e->in_height * e->in_width;

    for (size_t i = 0; i < n; i++) {
        double q = rint(ldexp((double)x[i], (int)e->x_shift));

        q = q > 32767.0 ? 32767.0 : q < -32767.0 ? -32767.0 : q;
        pixels[i] = (int32_t)q;
    }
}

static int32_t encode(const struct image *im, const int32_t *pixels, uint32_t c, uint32_t oy,
                      uint32_t ox)
{
    const struct img_encoder *e = &im->encoder;
    const int16_t *w = im->enc_w + (size_t)c * e->in_channels * e->kernel_h * e->kernel_w;
    int64_t a = im->enc_b[c], m;

    for (uint32_t ic = 0; ic < e->in_channels; ic++) {
        for (uint32_t ky = 0; ky < e->kernel_h; ky++) {
            uint32_t y = oy * e->stride_h + ky - e->pad_h;

            for (uint32_t kx = 0; kx < e->kernel_w; kx++, w++) {
                uint32_t x = ox * e->stride_w + kx - e->pad_w;

                if (y < e->in_height && x < e->in_width)
                    a += (int64_t)*w * pixels[((size_t)ic * e->in_height + y) * e->in_width + x];
            }
        }
    }
    m = e->out_shift == 0 ? a : (a + ((int64_t)1 << (e->out_shift - 1))) >> e->out_shift;
    m = m > e->m_max ? e->m_max : m < -(int64_t)e->m_max ? -(int64_t)e->m_max : m;
    return (int32_t)(uint32_t)((uint64_t)m << e->m_exp);
}

spk_status sim_encode(const struct image *im, const float *image, int32_t *out)
{
    const struct img_encoder *e = &im->encoder;
    const struct img_layer *l = &im->layers[e->layer];
    const uint32_t positions = l->height * l->width;
    int32_t *pixels;

    SPK_TRY(spk_alloc_array((size_t)e->in_channels * e->in_height, e->in_width * sizeof *pixels,
                            &pixels));
    quantise_pixels(e, image, pixels);
    for (uint32_t i = 0; i < l->channels * positions; i++)
        out[i] = i / positions < e->out_channels
                     ? encode(im, pixels, i / positions, i % positions / l->width, i % l->width)
                     : 0;
    spk_free(pixels);
    return SPK_OK;
}

spk_status sim_host_write_currents(struct sim *s)
{
    const struct img_encoder *e = &s->im->encoder;
    const struct engine_input *in = &s->run->input;

    if (!e->present || s->frame[e->layer] != 0)
        return SPK_OK;
    quantise_pixels(e, in->data + s->image[e->layer] * in->image_stride, s->pixels);
    for (uint32_t i = s->layer_group_first[e->layer]; i < s->layer_group_first[e->layer + 1]; i++) {
        const struct sim_group *g = &s->groups[s->layer_groups[i]];
        int32_t *bias = s->bias + g->first;
        const int32_t *fixed = s->static_bias + g->first;

        if (!g->host)
            continue;
        for (uint32_t p = 0; p < g->ny * g->nx; p++) {
            for (uint32_t c = 0; c < g->nc; c++, bias++, fixed++) {
                const uint32_t channel = img_channel(s->im, e->layer, g->c0 + c);
                uint32_t value = 0;
                if (channel < e->out_channels)
                    value = (uint32_t)encode(s->im, s->pixels, channel, g->y0 + p / g->nx,
                                             g->x0 + p % g->nx);
                *bias = (int32_t)((uint32_t)*fixed + value);
            }
        }
        s->stats.group[s->layer_groups[i]].host_writes += 2 * (uint64_t)g->n;
    }
    return SPK_OK;
}

/* Frame of an injection at this step: its own start decides. */
static bool injection_frame(const struct sim *s, const struct img_injection *j, uint32_t *out_image,
                            uint32_t *out_frame)
{
    const struct img_meta *m = &s->im->meta;
    uint64_t t;

    if (s->step < j->start)
        return false;
    t = s->step - j->start;
    *out_frame = (uint32_t)(t % m->interval);
    if (*out_frame >= m->timesteps || t / m->interval >= s->n_images)
        return false;
    *out_image = (uint32_t)(t / m->interval);
    return true;
}

static const struct sim_task *task_of_layer(const struct sim *s, uint32_t layer)
{
    for (uint32_t i = 0; i < s->n_tasks; i++) {
        if (s->tasks[i].def->layer == layer)
            return &s->tasks[i];
    }
    return NULL;
}

static spk_status inject_one(struct sim *s, const struct img_injection *j, uint32_t image,
                             uint32_t frame)
{
    const struct img_layer *l = &s->im->layers[j->layer];
    uint32_t axon = s->im->cores[j->core].in_axon_first + j->axon;
    size_t positions = (size_t)l->height * l->width;
    const struct sim_task *task = NULL;
    const float *x = NULL;
    struct sim_spikes *list = sim_spikes_of(s, s->step, s->n_chunks);

    size_t first = list->len;

    if (j->kind == IMG_INJECT_ENABLE) {
        s->stats.injections++;
        SPK_TRY(vec_push(list, (struct sim_spike){0, 1}));
        return sim_send(s, s->n_chunks, axon, 0, first, 1);
    }
    if (j->kind == IMG_INJECT_EVENTS)
        x = s->run->input.data + image * s->run->input.image_stride + frame * sim_layer_elements(l);
    else if (!(task = task_of_layer(s, j->layer)))
        return SPK_OK;
    for (uint32_t a = 0; a < j->n_channels; a++) {
        size_t at = (j->channel_first + a) * positions + j->position;
        int32_t payload =
            x ? (int32_t)x[at] : task->fired[(size_t)j->position * task->nc + j->channel_first + a];

        if (payload == 0)
            continue;
        SPK_TRY(vec_push(list, (struct sim_spike){a, payload}));
    }
    s->stats.injections += list->len - first;
    return list->len > first ? sim_send(s, s->n_chunks, axon, 0, first, list->len - first) : SPK_OK;
}

/* A recorded input layer shows the event counts themselves. */
static void record_inputs(struct sim *s)
{
    for (uint32_t l = 0; l < s->n_layers; l++) {
        const struct img_layer *layer = &s->im->layers[l];
        uint32_t positions = layer->height * layer->width;
        const float *x;

        if (layer->kind != IMG_LAYER_INPUT || s->frame[l] < 0 || !s->keep[l].kept)
            continue;
        x = s->run->input.data + s->image[l] * s->run->input.image_stride +
            (uint64_t)s->frame[l] * sim_layer_elements(layer);
        for (uint32_t c = 0; c < layer->channels; c++) {
            for (uint32_t p = 0; p < positions; p++, x++) {
                if (*x > 0.0f)
                    sim_record_put(s, l, c, p, (int32_t)*x);
            }
        }
    }
}

spk_status sim_host_inject(struct sim *s)
{
    vec_clear(sim_spikes_of(s, s->step, s->n_chunks));
    for (uint64_t i = 0; i < s->im->n_injections; i++) {
        uint32_t image, frame;

        if (injection_frame(s, &s->im->injections[i], &image, &frame))
            SPK_TRY(inject_one(s, &s->im->injections[i], image, frame));
    }
    if (s->record)
        record_inputs(s);
    return SPK_OK;
}

void sim_host_collect(struct sim *s, const struct sim_out *o, const struct sim_spike *spike,
                      uint32_t n)
{
    const struct img_host_port *p = &s->im->host_ports[o->target];
    uint32_t slot;

    s->stats.host_spikes += n;
    if (s->frame[p->layer] < 0)
        return;
    slot = s->image[p->layer] % s->n_slots;
    for (uint32_t i = 0; i < n; i++)
        s->counts[(size_t)slot * s->im->head.channels +
                  img_channel(s->im, p->layer, p->channel_first + spike[i].neuron - o->first)] +=
            spike[i].payload;
}

void sim_host_finish(struct sim *s, uint32_t image)
{
    const struct img_head *h = &s->im->head;
    int64_t *f = s->counts + (size_t)(image % s->n_slots) * h->channels;

    if (s->run->features)
        memcpy(s->run->features + (size_t)image * h->channels, f, h->channels * sizeof *f);
    if (s->run->logits) {
        for (uint32_t k = 0; k < h->classes; k++) {
            const float *w = s->im->head_w + (size_t)k * h->channels;
            double sum = 0.0;

            for (uint32_t c = 0; c < h->channels; c++)
                sum += (double)w[c] * (double)f[c];
            s->run->logits[(size_t)image * h->classes + k] =
                (float)(sum / (double)h->divisor +
                        (s->im->n_head_b ? (double)s->im->head_b[k] : 0.0));
        }
    }
    memset(f, 0, h->channels * sizeof *f);
}
