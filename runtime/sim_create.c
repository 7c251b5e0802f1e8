/* Simulator, part 1: checks an image for what execution relies on and lays it out flat.
 *
 * Everything that the step loop indexes with is checked here once (images may come from anywhere),
 * so that the loop itself needs no range checks. Legality against a chip is not looked at: that is
 * the checker's business. Cost: linear in the tables, apart from one sort of the core places.
 * Limit: all compartments of a group share program, decay and kind of reset (thresholds are free).
 */
#include "runtime/sim_internal.h"

#include <string.h>

#include "support/alloc.h"

static spk_status bad(struct diag_list *d, const char *what, uint64_t index, const char *why)
{
    return diag_error(d, diag_place(d, "chip image"), "E0841", "%s %llu: %s", what,
                      (unsigned long long)index, why);
}

static bool inside(uint64_t first, uint64_t count, uint64_t limit)
{
    return first <= limit && count <= limit - first;
}

uint64_t sim_layer_elements(const struct img_layer *l)
{
    return (uint64_t)l->channels * l->height * l->width;
}

static spk_status check_meta(const struct image *im, struct diag_list *d)
{
    const struct img_meta *m = &im->meta;

    if (m->timesteps == 0 || m->timesteps > (1u << 20))
        return bad(d, "time steps", m->timesteps, "not in 1..2^20");
    if (m->interval < m->timesteps)
        return bad(d, "interval", m->interval, "shorter than the time steps of an image");
    if (m->state_bits < 2 || m->state_bits > 31)
        return bad(d, "state width", m->state_bits, "not in 2..31 bits");
    if (m->ticks == 0 || m->ticks > SIM_MAX_TICKS)
        return bad(d, "ticks", m->ticks, "not in 1..65535");
    if (m->payload_bits > 31)
        return bad(d, "payload width", m->payload_bits, "above 31 bits");
    if (im->n_cores > (1u << 24) || im->n_layers > (1u << 24) || im->n_groups > (1u << 30) ||
        im->n_in_axons >= IMG_NONE || im->n_out_axons >= IMG_NONE || im->n_routes >= IMG_NONE ||
        im->n_injections >= IMG_NONE || im->n_embedded > (1u << 20))
        return bad(d, "cores", im->n_cores, "the tables are too large to be indexed");
    for (uint64_t i = 0; i < im->n_layers; i++) {
        const struct img_layer *l = &im->layers[i];

        if (l->channels == 0 || l->height == 0 || l->width == 0 ||
            (uint64_t)l->height * l->width > (1u << 31) / l->channels)
            return bad(d, "layer", i, "an axis is 0 or it has 2^31 neurons or more");
        if (l->kind > IMG_LAYER_EMBEDDED || l->layout > IR_C)
            return bad(d, "layer", i, "unknown kind or layout");
        if (l->name >= im->n_strings)
            return bad(d, "layer", i, "its name is not in the string table");
        if (img_layer_last_phase(l) >= m->ticks || (l->phase_mod != 0 && l->phase_div == 0))
            return bad(d, "layer", i, "its spikes leave after the last tick of the step");
        if (!inside(l->start, m->timesteps, m->latency))
            return bad(d, "layer", i, "its window ends after the latency of an image");
    }
    return SPK_OK;
}

static spk_status check_core(const struct image *im, uint64_t i, struct diag_list *d)
{
    const struct img_core *c = &im->cores[i];

    if (!inside(c->group_first, c->n_groups, im->n_groups) ||
        !inside(c->config_first, c->n_configs, im->n_configs) ||
        !inside(c->in_axon_first, c->n_in_axons, im->n_in_axons) ||
        !inside(c->out_axon_first, c->n_out_axons, im->n_out_axons) ||
        !inside(c->block_first, c->n_blocks, im->n_blocks))
        return bad(d, "core", i, "a range of its rows leaves its table");
    return SPK_OK;
}

static spk_status build_cores(struct sim *s, struct diag_list *d)
{
    const struct image *im = s->im;
    uint64_t comps = 0;

    s->n_cores = (uint32_t)im->n_cores;
    SPK_TRY(spk_alloc_array(s->n_cores, sizeof *s->cores, &s->cores));
    for (uint32_t i = 0; i < s->n_cores; i++) {
        const struct img_core *c = &im->cores[i];

        SPK_TRY(check_core(im, i, d));
        s->cores[i] = (struct sim_core){.first = (uint32_t)comps,
                                        .neurons = c->neurons,
                                        .group_first = c->group_first,
                                        .n_groups = c->n_groups};
        comps += c->neurons;
        if (comps >= (1u << 31))
            return bad(d, "core", i, "2^31 compartments or more");
    }
    s->n_comps = (uint32_t)comps;
    SPK_TRY(spk_alloc_array(s->n_cores, sizeof *s->core_task, &s->core_task));
    for (uint32_t i = 0; i < s->n_cores; i++)
        s->core_task[i] = IMG_NONE;
    for (uint64_t i = 0; i < im->n_embedded; i++)
        if (im->embedded[i].core < s->n_cores)
            s->core_task[im->embedded[i].core] = (uint32_t)i;
    s->n_chunks = s->n_cores < SIM_MAX_CHUNKS ? s->n_cores : SIM_MAX_CHUNKS;
    return SPK_OK;
}

/* Thresholds, biases, decay and program of one group; its shape is already known to be legal. */
static spk_status build_group_neurons(struct sim *s, struct sim_group *g,
                                      const struct img_group *ig, uint64_t index,
                                      struct diag_list *d)
{
    const struct image *im = s->im;
    const struct img_core *core = &im->cores[g->core];

    if (!inside(ig->channel_config, g->nc, im->n_channel_config))
        return bad(d, "group", index, "its channel configurations leave their table");
    if (ig->channel_bias != IMG_NONE && !inside(ig->channel_bias, g->nc, im->n_biases))
        return bad(d, "group", index, "its biases leave their table");
    for (uint32_t c = 0; c < g->nc; c++) {
        uint32_t id = im->channel_config[ig->channel_config + c];
        int32_t bias = ig->channel_bias == IMG_NONE ? 0 : im->biases[ig->channel_bias + c];
        const struct img_config *cfg;

        if (id >= core->n_configs)
            return bad(d, "group", index, "a channel has a configuration its core has not");
        cfg = &im->configs[core->config_first + id];
        if (cfg->program > IMG_PROG_ENGINE || cfg->decay > 4096 ||
            cfg->current_keep > (cfg->program == IMG_PROG_PROG ? 4096 : 0))
            return bad(d, "configuration", core->config_first + id,
                       "unknown program, or decay or kept current above 4096");
        if (c == 0) {
            g->program = cfg->program;
            g->keep = 4096 - cfg->decay;
            g->current_keep = cfg->current_keep;
            g->soft_reset = cfg->soft_reset != 0;
        } else if (g->program != cfg->program || g->keep != 4096 - cfg->decay ||
                   g->current_keep != cfg->current_keep ||
                   g->soft_reset != (cfg->soft_reset != 0)) {
            return bad(d, "group", index, "its channels differ in program, decay or reset");
        }
        g->has_bias |= bias != 0;
        g->always |= cfg->vth <= 0;
        for (uint32_t p = 0; p < g->ny * g->nx; p++) {
            s->vth[g->first + p * g->nc + c] = cfg->vth;
            s->static_bias[g->first + p * g->nc + c] = bias;
        }
    }
    if (g->program == IMG_PROG_FIXED && g->has_bias)
        return bad(d, "group", index, "hard-wired neurons have no static bias");
    if (img_is_graded(g->program)) {
        g->always = false;
        if (im->meta.payload_bits == 0)
            return bad(d, "group", index, "graded program on a chip without payload");
    }
    g->has_bias |= g->host;
    return SPK_OK;
}

static spk_status build_group(struct sim *s, uint32_t core, uint32_t index, struct diag_list *d)
{
    const struct image *im = s->im;
    const struct img_group *ig = &im->groups[index];
    struct sim_group *g = &s->groups[index];
    const struct img_layer *l;
    uint64_t n, rows;

    if (ig->core != core || ig->layer >= s->n_layers)
        return bad(d, "group", index, "wrong core or unknown layer");
    l = &im->layers[ig->layer];
    if (l->kind == IMG_LAYER_INPUT || l->kind == IMG_LAYER_EMBEDDED)
        return bad(d, "group", index, "its layer is of a kind without compartments");
    if (ig->ny == 0 || ig->nx == 0 || ig->nc == 0 || ig->c0 >= l->channels ||
        !inside(ig->y0, ig->ny, l->height) || !inside(ig->x0, ig->nx, l->width))
        return bad(d, "group", index, "its tile is empty or leaves its layer");
    n = (uint64_t)ig->ny * ig->nx;
    rows = (uint64_t)(ig->ny - 1) * ig->pitch + ig->nx;
    if (ig->pitch < ig->nx || ig->slice == 0 || ig->slice > ig->nc ||
        (ig->slice < ig->nc && (ig->plane < rows * ig->slice || ig->plane % ig->slice != 0)))
        return bad(d, "group", index, "its rows or planes overlap");
    if (n > im->cores[core].neurons || n * ig->nc > im->cores[core].neurons ||
        !inside(ig->comp_first, img_group_extent(ig), im->cores[core].neurons))
        return bad(d, "group", index, "its compartments leave its core");
    if (index > im->cores[core].group_first && ig->comp_first < ig[-1].comp_first)
        return bad(d, "group", index,
                   "the groups of its core are not in the order of compartments");
    if (s->n_neurons + n * ig->nc > s->n_comps)
        return bad(d, "group", index, "groups overlap: more neurons than compartments");
    *g = (struct sim_group){.core = core,
                            .layer = ig->layer,
                            .first = s->n_neurons,
                            .n = (uint32_t)(n * ig->nc),
                            .comps = img_group_comps(im, index),
                            .comp = s->cores[core].first + ig->comp_first,
                            .pitch = ig->pitch,
                            .slice = ig->slice,
                            .plane = ig->plane,
                            .plain = ig->slice == ig->nc && (ig->pitch == ig->nx || ig->ny == 1),
                            .y0 = ig->y0,
                            .x0 = ig->x0,
                            .c0 = ig->c0,
                            .ny = ig->ny,
                            .nx = ig->nx,
                            .nc = ig->nc,
                            .host = ig->host_current != 0};
    s->n_neurons += g->n;
    if (g->host && (!im->encoder.present || im->encoder.layer != ig->layer))
        return bad(d, "group", index, "the host has no currents for its layer");
    return build_group_neurons(s, g, ig, index, d);
}

static spk_status build_groups(struct sim *s, struct diag_list *d)
{
    uint32_t *next;

    s->n_groups = (uint32_t)s->im->n_groups;
    SPK_TRY(spk_alloc_array(s->n_groups, sizeof *s->groups, &s->groups));
    for (uint32_t i = 0; i < s->n_groups; i++)
        s->groups[i].layer = IMG_NONE;
    for (uint32_t c = 0; c < s->n_cores; c++) {
        for (uint32_t i = 0; i < s->cores[c].n_groups; i++)
            SPK_TRY(build_group(s, c, s->cores[c].group_first + i, d));
    }
    SPK_TRY(spk_alloc_array((size_t)s->n_layers + 1, sizeof *s->layer_group_first,
                            &s->layer_group_first));
    SPK_TRY(spk_alloc_array(s->n_groups, sizeof *s->layer_groups, &s->layer_groups));
    for (uint32_t i = 0; i < s->n_groups; i++) {
        if (s->groups[i].layer == IMG_NONE)
            return bad(d, "group", i, "belongs to no core");
        s->layer_group_first[s->groups[i].layer + 1]++;
    }
    for (uint32_t l = 0; l < s->n_layers; l++)
        s->layer_group_first[l + 1] += s->layer_group_first[l];
    SPK_TRY(spk_alloc_array(s->n_layers, sizeof *next, &next));
    if (s->n_layers != 0)
        memcpy(next, s->layer_group_first, s->n_layers * sizeof *next);
    for (uint32_t i = 0; i < s->n_groups; i++)
        s->layer_groups[next[s->groups[i].layer]++] = i;
    spk_free(next);
    return SPK_OK;
}

static spk_status check_encoder(const struct sim *s, struct diag_list *d)
{
    const struct image *im = s->im;
    const struct img_encoder *e = &im->encoder;
    const struct img_layer *l;
    uint64_t fan_in, out_h, out_w;

    if (!e->present)
        return SPK_OK;
    if (e->layer >= s->n_layers)
        return bad(d, "encoder layer", e->layer, "there is no such layer");
    l = &im->layers[e->layer];
    if (e->stride_h == 0 || e->stride_w == 0 || e->kernel_h == 0 || e->kernel_w == 0 ||
        e->kernel_h > 4096 || e->kernel_w > 4096 || e->in_channels == 0 || e->in_channels > 65536 ||
        e->in_height == 0 || e->in_height > 65536 || e->in_width == 0 || e->in_width > 65536 ||
        e->pad_h > 4096 || e->pad_w > 4096 || e->x_shift > 30 || e->out_shift > 62 ||
        e->m_exp > 30 || e->m_max < 0)
        return bad(d, "encoder of layer", e->layer, "a parameter is out of range");
    if (e->in_height + 2 * e->pad_h < e->kernel_h || e->in_width + 2 * e->pad_w < e->kernel_w)
        return bad(d, "encoder of layer", e->layer, "the kernel exceeds the padded image");
    out_h = (e->in_height + 2 * e->pad_h - e->kernel_h) / e->stride_h + 1;
    out_w = (e->in_width + 2 * e->pad_w - e->kernel_w) / e->stride_w + 1;
    if (out_h != l->height || out_w != l->width || e->out_channels != l->channels)
        return bad(d, "encoder of layer", e->layer, "its output has not the layer's shape");
    fan_in = (uint64_t)e->in_channels * e->kernel_h * e->kernel_w;
    if (im->n_enc_b != e->out_channels || im->n_enc_w / fan_in != e->out_channels ||
        im->n_enc_w % fan_in != 0)
        return bad(d, "encoder of layer", e->layer, "weights or biases have the wrong number");
    return SPK_OK;
}

static spk_status check_tables(const struct sim *s, struct diag_list *d)
{
    const struct image *im = s->im;

    if (im->n_prices != 0 && im->n_prices != TGT_ENERGY_COUNT + TGT_TIME_COUNT)
        return bad(d, "price table", im->n_prices, "has not one row per energy and time");
    for (uint64_t i = 0; i < im->n_sums; i++) {
        const struct img_sum *sum = &im->sums[i];

        if (sum->name >= im->n_strings || sum->layout > IR_C || sum->n_terms == 0 ||
            !inside(sum->term_first, sum->n_terms, im->n_sum_terms))
            return bad(d, "sum", i, "unknown name, layout or terms");
        for (uint32_t t = 0; t < sum->n_terms; t++) {
            const uint32_t *terms = &im->sum_terms[sum->term_first];
            if (terms[t] >= s->n_layers ||
                im->layers[terms[t]].channels != im->layers[terms[0]].channels ||
                im->layers[terms[t]].height * im->layers[terms[t]].width !=
                    im->layers[terms[0]].height * im->layers[terms[0]].width)
                return bad(d, "sum", i, "its terms are unknown or differ in shape");
        }
    }
    if (im->n_head_w / (im->head.channels ? im->head.channels : 1) != im->head.classes ||
        (im->head.channels && im->n_head_w % im->head.channels) ||
        (im->n_head_b && im->n_head_b != im->head.classes) ||
        (im->head.classes && im->head.divisor == 0))
        return bad(d, "head, classes", im->head.classes, "its weights have the wrong number");
    for (uint64_t i = 0; i < im->n_host_ports; i++) {
        const struct img_host_port *p = &im->host_ports[i];
        if (p->layer >= s->n_layers || !inside(p->channel_first, p->n_channels, im->head.channels))
            return bad(d, "host port", i, "unknown layer or channels beyond the head's");
    }
    return SPK_OK;
}

static spk_status alloc_state(struct sim *s)
{
    uint32_t largest = 1, n = s->n_comps;
    bool plain = true;

    SPK_TRY(spk_alloc_array(s->n_layers, sizeof *s->frame, &s->frame));
    SPK_TRY(spk_alloc_array(s->n_layers, sizeof *s->image, &s->image));
    SPK_TRY(spk_alloc_array(s->n_neurons, sizeof *s->v, &s->v));
    for (uint32_t i = 0; i < s->n_groups; i++)
        if (s->groups[i].current_keep > 0 && s->u == NULL)
            SPK_TRY(spk_alloc_array(s->n_neurons, sizeof *s->u, &s->u));
    SPK_TRY(spk_alloc_array(n, sizeof *s->acc, &s->acc));
    if (s->im->encoder.present) {
        const struct img_encoder *e = &s->im->encoder;
        SPK_TRY(spk_alloc_array((size_t)e->in_channels * e->in_height * e->in_width,
                                sizeof *s->pixels, &s->pixels));
    }
    for (uint32_t i = 0; i < s->n_axons; i++) {
        if (s->axons[i].port == IMG_PORT_SECOND && s->axons[i].ticks == SIM_PLAIN && !s->acc1)
            SPK_TRY(spk_alloc_array(n, sizeof *s->acc1, &s->acc1));
    }
    SPK_TRY(spk_alloc_array(s->n_cores, 1, &s->dirty));
    SPK_TRY(spk_alloc_array(s->n_chunks, sizeof *s->chunks, &s->chunks));
    for (uint32_t i = 0; i < s->n_groups; i++) {
        largest = s->groups[i].n > largest ? s->groups[i].n : largest;
        plain = plain && s->groups[i].plain;
    }
    for (uint32_t i = 0; i < s->n_chunks; i++) {
        SPK_TRY(spk_alloc_array(largest, sizeof(int32_t), &s->chunks[i].fired));
        SPK_TRY(spk_alloc_array(s->n_cores / s->n_chunks + 2, sizeof(uint32_t),
                                &s->chunks[i].core_first));
        if (plain)
            continue;
        SPK_TRY(spk_alloc_array(largest, sizeof(int32_t), &s->chunks[i].input));
        SPK_TRY(spk_alloc_array(largest, sizeof(int32_t), &s->chunks[i].input1));
    }
    return sim_ticks_create(s);
}

static spk_status build(struct sim *s, struct diag_list *d)
{
    const struct image *im = s->im;

    SPK_TRY(check_meta(im, d));
    s->n_layers = (uint32_t)im->n_layers;
    s->tick_words = (im->meta.ticks + 63) / 64;
    s->max_payload = im->meta.payload_bits == 0 ? 1 : ((int64_t)1 << im->meta.payload_bits) - 1;
    s->n_slots = (im->meta.latency + im->meta.interval - 1) / im->meta.interval + 1;
    SPK_TRY(build_cores(s, d));
    SPK_TRY(spk_alloc_array(s->n_comps, sizeof *s->vth, &s->vth));
    SPK_TRY(spk_alloc_array(s->n_comps, sizeof *s->bias, &s->bias));
    SPK_TRY(spk_alloc_array(s->n_comps, sizeof *s->static_bias, &s->static_bias));
    SPK_TRY(build_groups(s, d));
    SPK_TRY(check_encoder(s, d));
    SPK_TRY(check_tables(s, d));
    SPK_TRY(sim_build_axons(s, d));
    SPK_TRY(sim_embedded_create(s, d));
    SPK_TRY(sim_record_plan(s, d));
    SPK_TRY(sim_stats_create(s));
    SPK_TRY(spk_alloc_array((size_t)s->n_slots * (im->head.channels ? im->head.channels : 1),
                            sizeof *s->counts, &s->counts));
    return alloc_state(s);
}

spk_status sim_create(const struct image *im, struct diag_list *d, struct sim **out)
{
    struct sim *s = spk_alloc_zero(sizeof *s);
    spk_status status;

    *out = NULL;
    if (!s)
        return SPK_ERR_NOMEM;
    s->im = im;
    status = build(s, d);
    if (status != SPK_OK) {
        sim_destroy(s);
        return status;
    }
    *out = s;
    return SPK_OK;
}

void sim_destroy(struct sim *s)
{
    if (!s)
        return;
    sim_probe_clear(s);
    if (s->lists) {
        for (size_t i = 0; i < (size_t)s->ring * (s->n_chunks + 1) * s->n_chunks; i++)
            vec_fini(&s->lists[i]);
    }
    for (size_t i = 0; s->spikes && i < (size_t)s->ring * (s->n_chunks + 1); i++)
        vec_fini(&s->spikes[i]);
    if (s->chunks) {
        for (uint32_t i = 0; i < s->n_chunks; i++) {
            vec_fini(&s->chunks[i].notes);
            vec_fini(&s->chunks[i].dues);
            spk_free(s->chunks[i].core_first);
            spk_free(s->chunks[i].fired);
            spk_free(s->chunks[i].input);
            spk_free(s->chunks[i].input1);
        }
    }
    sim_ticks_destroy(s);
    sim_embedded_destroy(s);
    sim_stats_destroy(s);
    void *owned[] = {s->cores,
                     s->groups,
                     s->layer_group_first,
                     s->layer_groups,
                     s->axons,
                     s->outs,
                     s->segment,
                     s->segment_first,
                     s->segment_outs,
                     s->segment_repeats,
                     s->vth,
                     s->bias,
                     s->static_bias,
                     s->v,
                     s->u,
                     s->acc,
                     s->acc1,
                     s->dirty,
                     s->lists,
                     s->spikes,
                     s->chunks,
                     s->frame,
                     s->image,
                     s->core_task,
                     s->record,
                     s->keep,
                     s->sum_buffer,
                     s->counts,
                     s->pixels};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        spk_free(owned[i]);
    spk_free(s);
}

uint32_t sim_find_layer(const struct sim *s, const char *name)
{
    for (uint32_t i = 0; i < s->n_layers; i++) {
        if (strcmp(s->im->strings[s->im->layers[i].name], name) == 0)
            return i;
    }
    return IMG_NONE;
}

bool sim_locate(const struct sim *s, uint32_t layer, uint32_t channel, uint32_t position,
                uint32_t *out_core, uint32_t *out_compartment)
{
    if (layer >= s->n_layers || channel >= s->im->layers[layer].channels)
        return false;
    uint32_t y = position / s->im->layers[layer].width;
    uint32_t x = position % s->im->layers[layer].width;

    for (uint32_t i = s->layer_group_first[layer]; i < s->layer_group_first[layer + 1]; i++) {
        const struct sim_group *g = &s->groups[s->layer_groups[i]];

        if (y - g->y0 < g->ny && x - g->x0 < g->nx && channel - g->c0 < g->nc) {
            *out_core = g->core;
            *out_compartment =
                img_group_comp(&s->im->groups[s->layer_groups[i]],
                               ((y - g->y0) * g->nx + (x - g->x0)) * g->nc + (channel - g->c0));
            return true;
        }
    }
    return false;
}
