/* Spike trains of the host, and of layers beside the segment: event frames (a copy of the neuron
 * per count), results of embedded processors as simulated, enable spikes, and the currents of a
 * still image, which one neuron per image brings as weights because a bias of SANA-FE's cannot be
 * switched. Cost: linear in neurons of the host times frames. */
#include <string.h>

#include "backends/sanafe/sanafe_internal.h"
#include "support/alloc.h"

static spk_status add_input(struct sanafe *s, uint32_t source, uint32_t neuron, int32_t above,
                            int64_t start)
{
    if (s->n_inputs == s->inputs_cap) {
        const uint32_t cap = s->inputs_cap ? 2 * s->inputs_cap : 64;
        SPK_TRY(spk_realloc_array(cap, sizeof *s->inputs, &s->inputs));
        s->inputs_cap = cap;
    }
    struct sanafe_input *i = &s->inputs[s->n_inputs];
    *i = (struct sanafe_input){source, neuron, above, start, 0, NULL};
    SPK_TRY(spk_alloc_array(s->im->n_cores, sizeof *i->cores, &i->cores));
    s->n_inputs++;
    for (uint64_t t = 0; t < sanafe_timesteps(s); t++)
        i->spikes += sanafe_input_fires(s, i, (int64_t)t - s->offset);
    return SPK_OK;
}

/* Payload of neuron `neuron` of a layer in frame `frame`, counted over all images. */
static int32_t payload(const struct sanafe *s, uint32_t layer, uint64_t frame, uint32_t neuron)
{
    return s->run->values[layer][frame * img_layer_neurons(s->im, layer) + neuron];
}

static spk_status add_layer(struct sanafe *s, uint32_t layer)
{
    const uint64_t frames = (uint64_t)s->run->n_images * s->im->meta.timesteps;
    for (uint32_t n = 0; n < img_layer_neurons(s->im, layer); n++) {
        int32_t most = 0;
        for (uint64_t f = 0; f < frames; f++)
            most = payload(s, layer, f, n) > most ? payload(s, layer, f, n) : most;
        for (int32_t above = 0; above < most; above++)
            SPK_TRY(add_input(s, layer, n, above, s->im->layers[layer].start));
    }
    return SPK_OK;
}

struct hears {
    const struct sanafe *s;
    uint8_t *heard; /* [sources] */
};

static spk_status hear(void *ctx, const struct img_synapse *y)
{
    const struct hears *h = ctx;
    if (sanafe_is_in(h->s, y->core, y->comp))
        h->heard[y->source] = 1;
    return SPK_OK;
}

static spk_status add_inputs(struct sanafe *s, const uint8_t *heard)
{
    const struct image *im = s->im;
    for (uint32_t l = 0; l < im->n_layers; l++)
        if (!s->in[l] && heard[l])
            SPK_TRY(add_layer(s, l));
    for (uint32_t l = 0; l < im->n_layers; l++)
        for (uint64_t j = 0; j < im->n_injections; j++)
            if (s->in[l] && im->injections[j].kind == IMG_INJECT_ENABLE &&
                im->injections[j].layer == l) {
                SPK_TRY(add_input(s, (uint32_t)im->n_layers + l, 0, 0, im->injections[j].start));
                break;
            }
    const bool currents = im->encoder.present && s->in[im->encoder.layer];
    for (uint32_t k = 0; currents && k < s->run->n_images; k++)
        SPK_TRY(
            add_input(s, s->n_sources + k, 0, 0, (int64_t)im->layers[im->encoder.layer].start - 1));
    return SPK_OK;
}

spk_status sanafe_inputs_make(struct sanafe *s)
{
    struct hears h = {s, NULL};
    SPK_TRY(spk_alloc_array(s->n_sources, sizeof *h.heard, &h.heard));
    spk_status status = img_walk_synapses(s->im, hear, &h);
    if (status == SPK_OK)
        status = add_inputs(s, h.heard);
    spk_free(h.heard);
    return status;
}

bool sanafe_input_fires(const struct sanafe *s, const struct sanafe_input *i, int64_t step)
{
    const struct img_meta *m = &s->im->meta;
    const int64_t since = step - i->start;
    if (since < 0 || since % m->interval >= m->timesteps || since / m->interval >= s->run->n_images)
        return false;
    const uint64_t image = (uint64_t)(since / m->interval);
    if (i->source >= s->n_sources)
        return image == i->source - s->n_sources;
    if (i->source >= s->im->n_layers)
        return true;
    return payload(s, i->source, image * m->timesteps + (uint64_t)(since % m->interval),
                   i->neuron) > i->above;
}

uint32_t sanafe_inputs_of(const struct sanafe *s, uint32_t source, uint32_t neuron,
                          uint32_t *out_first)
{
    uint32_t low = 0, high = s->n_inputs, n = 0;
    while (low < high) {
        const uint32_t mid = low + (high - low) / 2;
        const struct sanafe_input *i = &s->inputs[mid];
        if (i->source < source || (i->source == source && i->neuron < neuron))
            low = mid + 1;
        else
            high = mid;
    }
    *out_first = low;
    for (; low + n < s->n_inputs && s->inputs[low + n].source == source &&
           s->inputs[low + n].neuron == neuron;)
        n++;
    return n;
}
