/* Export to SANA-FE: what the image must be, the tables that the writers share, and run.sh. The
 * facts about SANA-FE (file formats, order of a step, what costs what) are those of its sources at
 * commit 8951ab0. */
#include "backends/sanafe/sanafe.h"

#include <math.h>
#include <string.h>

#include "backends/sanafe/sanafe_internal.h"
#include "support/alloc.h"

#define LIF_ADDRESSES 1024u /* of a leaky_integrate_fire unit */

/* ---- text files ---- */

spk_status sanafe_text_open(struct sanafe_text *t, const struct dir_writer *dir, const char *name,
                            struct diag_list *d)
{
    char *path = NULL;
    *t = (struct sanafe_text){0};
    SPK_TRY(dir_file(dir, name, &path));
    spk_status status = file_writer_create(path, d, &t->file);
    spk_free(path);
    return status;
}

spk_status sanafe_text_flush(struct sanafe_text *t)
{
    SPK_TRY(t->text.status);
    SPK_TRY(file_writer_write(t->file, strbuf_cstr(&t->text), t->text.len));
    strbuf_clear(&t->text);
    return SPK_OK;
}

spk_status sanafe_text_close(struct sanafe_text *t, spk_status status)
{
    if (status == SPK_OK)
        status = sanafe_text_flush(t);
    strbuf_fini(&t->text);
    if (status == SPK_OK)
        return file_writer_commit(t->file);
    file_writer_abort(t->file);
    return status;
}

/* ---- places and times ---- */

uint64_t sanafe_timesteps(const struct sanafe *s)
{
    const struct img_meta *m = &s->im->meta;
    return (uint64_t)(s->run->n_images - 1) * m->interval + m->latency + s->offset;
}

uint32_t sanafe_tile(const struct sanafe *s, uint32_t core, uint32_t *out_within)
{
    const struct img_meta *m = &s->im->meta;
    const struct img_core *k = &s->im->cores[core];
    *out_within = k->y % m->tile_h * m->tile_w + k->x % m->tile_w;
    return k->x / m->tile_w * s->tiles_y + k->y / m->tile_h;
}

/* ---- what SANA-FE can be ---- */

static spk_status cannot(const struct sanafe *s, const char *what, const char *has)
{
    spk_status status =
        diag_error(s->d, spk_span_none, "E0720", "SANA-FE cannot be this chip: %s, '%s' has %s",
                   what, s->im->strings[s->im->meta.target_name], has);
    diag_help_set(s->d, "compile with --target=sanafe-loihi");
    return status;
}

static spk_status check_chip(struct sanafe *s)
{
    const struct image *im = s->im;
    static const enum tgt_energy needed[] = {TGT_E_SYNAPTIC_OP, TGT_E_NEURON_ACTIVE,
                                             TGT_E_NEURON_INACTIVE, TGT_E_SPIKE_OUT,
                                             TGT_E_MESSAGE_OUT};
    if (im->meta.chips_x * im->meta.chips_y != 1)
        return cannot(s, "it has one mesh", "several chips");
    for (uint64_t i = 0; i < im->n_configs; i++)
        if (im->configs[i].program != IMG_PROG_FIXED)
            return cannot(s, "its neurons leak at every step", "programmable ones");
    if (im->meta.message != TGT_MESSAGE_CORE)
        return cannot(s, "a spike is one message per destination core", "one per out-axon entry");
    for (uint64_t i = 0; i < im->n_in_axons; i++)
        s->max_delay = im->in_axons[i].delay > s->max_delay ? im->in_axons[i].delay : s->max_delay;
    if (s->max_delay > SANAFE_MAX_DELAY)
        return cannot(s, "synapses have delays of up to 5 steps", "longer ones");
    for (uint64_t i = 0; i < im->n_cores; i++)
        if (im->cores[i].neurons > LIF_ADDRESSES)
            return cannot(s, "its neuron units have 1024 addresses", "more on a core");
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
        if (isnan(im->prices[needed[i]]))
            return diag_error(s->d, spk_span_none, "E0721", "'%s' has no price of %s",
                              im->strings[im->meta.target_name], tgt_energy_name(needed[i]));
    return SPK_OK;
}

/* ---- tables ---- */

static spk_status number_groups(struct sanafe *s)
{
    const struct image *im = s->im;
    SPK_TRY(spk_alloc_array(im->n_layers, sizeof *s->group_first, &s->group_first));
    for (uint32_t l = 0; l < im->n_layers; l++) {
        s->group_first[l] = s->in[l] ? s->n_groups : IMG_NONE;
        s->n_groups += s->in[l] ? im->layers[l].channels : 0;
    }
    return spk_alloc_array(s->n_groups, sizeof *s->config, &s->config);
}

/* One neuron model per channel; a channel is the same on all cores. */
static spk_status read_configs(struct sanafe *s)
{
    const struct image *im = s->im;
    for (uint64_t g = 0; g < im->n_groups; g++) {
        const struct img_group *group = &im->groups[g];
        for (uint32_t c = 0; s->in[group->layer] && c < group->nc; c++) {
            const uint32_t channel = img_channel(im, group->layer, group->c0 + c);
            const struct img_config *k =
                &im->configs[im->cores[group->core].config_first +
                             im->channel_config[group->channel_config + c]];
            struct img_config *at = &s->config[s->group_first[group->layer] + channel];
            if (k->current_keep != 0)
                return diag_error(s->d, spk_span_none, "E0722",
                                  "layer '%s' has decaying synaptic currents, which this export "
                                  "does not write",
                                  im->strings[im->layers[group->layer].name]);
            if (at->vth != 0 &&
                (at->vth != k->vth || at->decay != k->decay || at->soft_reset != k->soft_reset))
                return diag_error(s->d, spk_span_none, "E0722",
                                  "layer '%s': channel %u has different neurons on different cores",
                                  im->strings[im->layers[group->layer].name], channel);
            *at = *k;
        }
    }
    return SPK_OK;
}

static spk_status number_padding(struct sanafe *s)
{
    const struct image *im = s->im;
    uint64_t n = 0;
    SPK_TRY(spk_alloc_array(im->n_cores + 1, sizeof *s->comp_first, &s->comp_first));
    for (uint64_t c = 0; c < im->n_cores; c++) {
        s->comp_first[c] = n;
        n += im->cores[c].neurons;
    }
    s->comp_first[im->n_cores] = n;
    SPK_TRY(spk_alloc_array(n, sizeof *s->padding, &s->padding));
    for (uint32_t c = 0; c < im->n_cores; c++)
        for (uint32_t k = 0; k < im->cores[c].neurons; k++) {
            const bool in = sanafe_is_in(s, c, k);
            s->mapped += in;
            s->padding[s->comp_first[c] + k] =
                in && img_neuron_at(im, c, k).layer == IMG_NONE ? s->n_padding++ : IMG_NONE;
        }
    return SPK_OK;
}

static spk_status prepare(struct sanafe *s)
{
    const struct img_meta *m = &s->im->meta;
    s->n_sources = 2 * (uint32_t)s->im->n_layers;
    s->tiles_x = m->cores_x / m->tile_w;
    s->tiles_y = m->cores_y / m->tile_h;
    s->per_tile = m->tile_w * m->tile_h;
    s->offset = s->im->encoder.present ? 1 : 0;
    SPK_TRY(check_chip(s));
    SPK_TRY(sanafe_segment_choose(s));
    SPK_TRY(number_groups(s));
    SPK_TRY(read_configs(s));
    SPK_TRY(number_padding(s));
    s->first_input = s->n_groups + (s->n_padding > 0);
    SPK_TRY(sanafe_segment_messages(s));
    return sanafe_inputs_make(s);
}

static void sanafe_fini(struct sanafe *s)
{
    for (uint32_t i = 0; i < s->n_inputs; i++)
        spk_free(s->inputs[i].cores);
    spk_free(s->inputs);
    spk_free(s->in);
    spk_free(s->group_first);
    spk_free(s->config);
    spk_free(s->comp_first);
    spk_free(s->padding);
}

/* ---- run.sh ---- */

static spk_status write_script(const struct sanafe *s, const struct dir_writer *dir)
{
    struct sanafe_text t;
    SPK_TRY(sanafe_text_open(&t, dir, "run.sh", s->d));
    strbuf_printf(
        &t.text,
        "#!/bin/sh\n"
        "# Simulates this network in SANA-FE: `sim` of the PATH, or what SANAFE_SIM names.\n"
        "# Results go to results/, or to the folder given; compare them with\n"
        "#   spikec compare-sanafe THIS_FOLDER RESULTS\n"
        "set -eu\n"
        "here=$(cd \"$(dirname \"$0\")\" && pwd)\n"
        "results=${1:-$here/results}\n"
        "mkdir -p \"$results\"\n"
        "exec \"${SANAFE_SIM:-sim}\" -s %s-o \"$results\" -t simple \"$here/arch.yaml\" "
        "\"$here/%s\" %llu\n",
        s->yaml ? "" : "-n ", s->yaml ? "network.yaml" : "network.net",
        (unsigned long long)sanafe_timesteps(s));
    return sanafe_text_close(&t, SPK_OK);
}

spk_status sanafe_export(const struct image *im, const struct sanafe_run *run,
                         const struct dir_writer *dir, struct diag_list *d,
                         struct sanafe_figures *out)
{
    struct sanafe s = {.im = im, .run = run, .d = d};
    double energy = 0;
    spk_status status = prepare(&s);
    if (status == SPK_OK)
        status = sanafe_write_arch(&s, dir);
    if (status == SPK_OK)
        status = sanafe_write_network(&s, dir);
    if (status == SPK_OK)
        status = sanafe_write_expected(&s, dir, &energy);
    if (status == SPK_OK)
        status = write_script(&s, dir);
    if (status == SPK_OK)
        *out = (struct sanafe_figures){.timesteps = sanafe_timesteps(&s),
                                       .groups = s.first_input + s.n_inputs,
                                       .neurons = s.mapped,
                                       .inputs = s.n_inputs,
                                       .edges = s.edges,
                                       .spikes = s.spikes,
                                       .energy_pj = energy,
                                       .yaml = s.yaml};
    sanafe_fini(&s);
    return status;
}
