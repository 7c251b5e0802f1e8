/* What SANA-FE should give: spikes, and energies by its components. The chip's part is what the
 * simulation of the image counted, at the image's prices; beside it SANA-FE has steps before our
 * first one, in which every compartment is accessed, spikes of input neurons, whose way to the
 * cores costs hops, and host currents that come through synapses. It has no messages to host and
 * embedded processors. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backends/sanafe/sanafe_internal.h"
#include "support/alloc.h"
#include "support/json_writer.h"

enum { SYNAPSE, DENDRITE, SOMA, NETWORK, COMPONENTS };
static const char *const component_names[COMPONENTS] = {"synapse", "dendrite", "soma", "network"};

static double price(const struct sanafe *s, enum tgt_energy e)
{
    return isnan(s->im->prices[e]) ? 0.0 : s->im->prices[e];
}

static void chip_energies(const struct sanafe *s, double out[COMPONENTS])
{
    const double *e = s->run->energy_pj;
    memset(out, 0, COMPONENTS * sizeof *out);
    for (uint64_t g = 0; g < s->im->n_groups; g++) {
        if (!s->in[s->im->groups[g].layer])
            continue;
        out[SYNAPSE] += s->run->group_pj[g][0];
        out[SOMA] += s->run->group_pj[g][1];
    }
    if (s->run->n_segments > 1)
        out[NETWORK] = s->between_pj;
    else
        out[NETWORK] = e[TGT_E_HOP_X] + e[TGT_E_HOP_Y] + e[TGT_E_MESSAGE_IN] +
                       e[TGT_E_MESSAGE_OUT] -
                       (double)s->run->messages_outside * price(s, TGT_E_MESSAGE_OUT);
}

/* What the inputs cost in SANA-FE: their tile is behind the last column, in the first row. */
static void input_energies(const struct sanafe *s, double out[COMPONENTS])
{
    memset(out, 0, COMPONENTS * sizeof *out);
    out[SYNAPSE] = (double)s->current_events * price(s, TGT_E_SYNAPTIC_OP);
    out[SOMA] = (double)s->mapped * s->offset * price(s, TGT_E_NEURON_INACTIVE);
    for (uint32_t i = 0; i < s->n_inputs; i++)
        for (uint32_t c = 0; c < s->im->n_cores; c++) {
            uint32_t within;
            const uint32_t tile = sanafe_tile(s, c, &within);
            if (s->inputs[i].cores[c])
                out[NETWORK] +=
                    (double)s->inputs[i].spikes * sanafe_hops_pj(s, s->tiles_x * s->tiles_y, tile);
        }
}

static void put_energies(struct json_writer *w, const char *key, const double e[COMPONENTS])
{
    jw_object_begin_line(w, key);
    for (int i = 0; i < COMPONENTS; i++)
        jw_f64(w, component_names[i], e[i]);
    jw_object_end(w);
}

static spk_status write_json(const struct sanafe *s, const struct dir_writer *dir,
                             double *out_energy)
{
    double chip[COMPONENTS], inputs[COMPONENTS];
    struct sanafe_text t;
    struct json_writer w;
    chip_energies(s, chip);
    input_energies(s, inputs);
    *out_energy = 0;
    for (int i = 0; i < COMPONENTS; i++)
        *out_energy += chip[i] + inputs[i];
    SPK_TRY(sanafe_text_open(&t, dir, "expected.json", s->d));
    jw_init(&w, &t.text, 1);
    jw_object_begin(&w, NULL);
    jw_u64(&w, "schema", 1);
    jw_string(&w, "target", s->im->strings[s->im->meta.target_name]);
    jw_u64(&w, "images", s->run->n_images);
    jw_u64(&w, "timesteps", sanafe_timesteps(s));
    jw_u64(&w, "offset", s->offset);
    jw_u64(&w, "segment", s->run->segment + 1);
    jw_u64(&w, "segments", s->run->n_segments);
    jw_u64(&w, "neurons", s->mapped);
    jw_u64(&w, "inputs", s->n_inputs);
    jw_u64(&w, "spikes", s->spikes);
    jw_object_begin(&w, "energy_pj");
    put_energies(&w, "chip", chip);
    put_energies(&w, "inputs", inputs);
    jw_object_end(&w);
    jw_array_begin(&w, "layers");
    for (uint32_t l = 0; l < s->im->n_layers; l++) {
        if (s->group_first[l] == IMG_NONE)
            continue;
        jw_object_begin_line(&w, NULL);
        jw_string(&w, "name", s->im->strings[s->im->layers[l].name]);
        jw_u64(&w, "first_group", s->group_first[l]);
        jw_u64(&w, "channels", s->im->layers[l].channels);
        jw_u64(&w, "start", s->im->layers[l].start);
        jw_object_end(&w);
    }
    jw_array_end(&w);
    jw_object_end(&w);
    return sanafe_text_close(&t, jw_finish(&w));
}

/* ---- expected_spikes.csv ---- */

/* Spikes of all layers at our step `step`, in the order of groups. */
static void put_step(struct sanafe *s, struct strbuf *out, uint64_t step)
{
    const struct img_meta *m = &s->im->meta;
    for (uint32_t l = 0; l < s->im->n_layers; l++) {
        const struct img_layer *layer = &s->im->layers[l];
        const int64_t since = (int64_t)step - layer->start;
        if (s->group_first[l] == IMG_NONE || since < 0 || since % m->interval >= m->timesteps ||
            since / m->interval >= s->run->n_images)
            continue;
        const uint32_t positions = layer->height * layer->width, n = positions * layer->channels;
        const uint64_t frame =
            (uint64_t)(since / m->interval) * m->timesteps + (uint64_t)(since % m->interval);
        const int32_t *fired = s->run->values[l] + frame * n;
        for (uint32_t i = 0; i < n; i++)
            if (fired[i] != 0) {
                strbuf_printf(out, s->yaml ? "g%u.%u,%llu\n" : "%u.%u,%llu\n",
                              s->group_first[l] + i / positions, i % positions,
                              (unsigned long long)(step + s->offset + 1));
                s->spikes++;
            }
    }
}

static spk_status write_spikes(struct sanafe *s, const struct dir_writer *dir)
{
    struct sanafe_text t;
    spk_status status = SPK_OK;
    SPK_TRY(sanafe_text_open(&t, dir, "expected_spikes.csv", s->d));
    strbuf_append(&t.text, "neuron,timestep\n");
    for (uint64_t step = 0; step + s->offset < sanafe_timesteps(s) && status == SPK_OK; step++) {
        put_step(s, &t.text, step);
        status = sanafe_text_flush(&t);
    }
    return sanafe_text_close(&t, status);
}

spk_status sanafe_write_expected(struct sanafe *s, const struct dir_writer *dir,
                                 double *out_energy_pj)
{
    SPK_TRY(write_spikes(s, dir));
    return write_json(s, dir, out_energy_pj);
}
