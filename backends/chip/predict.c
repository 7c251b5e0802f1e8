/* Expected events of an image, see predict.h.
 *
 * One pass over the out-axons: an entry's spikes per image are T times the rates of its
 * compartments (the mean of its group's channels); each is one message along its route, one arrival
 * at the in-axon, and there as many synaptic events as its rows have synapses on average (exact
 * where rows are equally long, as in every weighted projection). A second pass walks the routes for
 * the link loads. Every compartment is visited at every step; a visit is active where input or
 * state is not zero, which is estimated from the synaptic events per compartment as if they came
 * independently. Cost: linear in the tables. */
#include "backends/chip/predict.h"

#include <math.h>
#include <string.h>

#include "support/alloc.h"

struct predict {
    const struct mapping *m;
    const struct image *im;
    const struct tgt *t;
    struct chip_prediction *out;
    double *group_sends;  /* [groups] messages per neuron, out-axon and frame */
    uint64_t *row_before; /* [rows + 1] synapses in rows before it */
    uint32_t *core_at;    /* [chip][y][x] core, IMG_NONE */
    double *route;        /* [routes] messages per image */
    uint32_t *fresh;      /* [out-axons] compartments whose spike is a message of this entry */
};

static void predict_fini(struct predict *p)
{
    spk_free(p->group_sends);
    spk_free(p->row_before);
    spk_free(p->core_at);
    spk_free(p->route);
    spk_free(p->fresh);
}

static spk_status tabulate(struct predict *p)
{
    const struct image *im = p->im;
    const struct img_meta *meta = &im->meta;
    const size_t places = (size_t)meta->chips_x * meta->chips_y * meta->cores_x * meta->cores_y;
    SPK_TRY(spk_alloc_array(im->n_groups, sizeof *p->group_sends, &p->group_sends));
    SPK_TRY(spk_alloc_array_raw(im->n_rows + 1, sizeof *p->row_before, &p->row_before));
    SPK_TRY(spk_alloc_array_raw(places, sizeof *p->core_at, &p->core_at));
    SPK_TRY(spk_alloc_array(im->n_routes, sizeof *p->route, &p->route));
    SPK_TRY(spk_alloc_array(im->n_out_axons, sizeof *p->fresh, &p->fresh));
    SPK_TRY(spk_alloc_array(im->n_groups, sizeof *p->out->group, &p->out->group));
    p->out->n_groups = im->n_groups;
    for (uint64_t i = 0; i < im->n_groups; i++) {
        const struct img_group *g = &im->groups[i];
        p->group_sends[i] = map_pop_sends(&p->m->net.pops.data[g->layer], g->c0, g->nc) / g->nc;
    }
    p->row_before[0] = 0;
    for (uint64_t r = 0; r < im->n_rows; r++) {
        uint64_t n = 0;
        for (uint64_t i = im->rows[r].run_first; i < im->rows[r].run_first + im->rows[r].n_runs;
             i++)
            n += im->runs[i].length;
        p->row_before[r + 1] = p->row_before[r] + n;
    }
    memset(p->core_at, 0xff, places * sizeof *p->core_at);
    for (uint32_t c = 0; c < im->n_cores; c++) {
        const struct img_core *core = &im->cores[c];
        p->core_at[((size_t)core->chip * meta->cores_y + core->y) * meta->cores_x + core->x] = c;
    }
    return SPK_OK;
}

/* Outputs o in [first, first + n) that some tap of the kernel reaches from source coordinate s. */
static uint64_t reached(uint32_t s, uint32_t pad, uint32_t stride, uint32_t kernel, uint32_t first,
                        uint32_t n)
{
    const int64_t reach = (int64_t)s + pad;
    int64_t lo = reach - kernel + 1, hi = reach / stride;
    lo = lo <= 0 ? 0 : (lo + stride - 1) / stride;
    lo = lo < first ? first : lo;
    hi = hi > (int64_t)first + n - 1 ? (int64_t)first + n - 1 : hi;
    return hi >= lo ? (uint64_t)(hi - lo + 1) : 0;
}

/* Synapses per arriving spike. */
static double synapses_per_spike(const struct predict *p, const struct img_in_axon *a)
{
    const struct image *im = p->im;
    if (a->block == IMG_NONE) /* an engine latches the spike */
        return 0;
    const struct img_content *c = &im->contents[im->blocks[a->block].content];
    if (c->kind == IMG_BLOCK_CONV) {
        const struct img_group *g = &im->groups[a->group];
        return (
            double)(reached(a->base / a->src_width, c->pad, c->stride, c->kernel_h, g->y0, g->ny) *
                    reached(a->base % a->src_width, c->pad, c->stride, c->kernel_w, g->x0, g->nx) *
                    c->nc);
    }
    const uint64_t row = c->row_first + a->row;
    return (double)(p->row_before[row + a->atoms] - p->row_before[row]) / a->atoms;
}

/* `spikes` per image arrive at an in-axon. */
static void arrive(struct predict *p, uint32_t core, uint32_t axon, double spikes)
{
    const struct img_in_axon *a = &p->im->in_axons[p->im->cores[core].in_axon_first + axon];
    struct chip_events *e = &p->out->group[img_axon_group(p->im, core, a)];
    e->messages_in += spikes;
    e->synaptic_events += spikes * synapses_per_spike(p, a);
}

/* Where a spike is one message per core: an entry's compartments less those that an entry before it
 * sends along the same route. Entries of a core are few, and alike as a rule. */
static void share_messages(struct predict *p, const struct img_core *core)
{
    const struct img_out_axon *a = &p->im->out_axons[core->out_axon_first];
    uint32_t *fresh = &p->fresh[core->out_axon_first];
    for (uint32_t i = 0; i < core->n_out_axons; i++) {
        uint32_t from = a[i].comp_first, to = from + a[i].comp_count;
        for (uint32_t j = i; p->im->meta.message == TGT_MESSAGE_CORE && j-- > 0 && from < to;) {
            const uint32_t first = a[j].comp_first, end = first + a[j].comp_count;
            if (a[j].route != a[i].route || end <= from || first >= to)
                continue;
            from = first <= from ? end : from;
            to = first > from ? first : to;
        }
        fresh[i] = from < to ? to - from : 0;
    }
}

static void count_messages(struct predict *p)
{
    const struct image *im = p->im;
    const double frames = im->meta.timesteps;
    for (uint64_t i = 0; i < im->n_cores; i++) {
        const struct img_core *core = &im->cores[i];
        share_messages(p, core);
        for (uint32_t o = 0; o < core->n_out_axons; o++) {
            const struct img_out_axon *a = &im->out_axons[core->out_axon_first + o];
            const struct img_route *r = &im->routes[a->route];
            const uint32_t g = img_group_at(im, (uint32_t)i, a->comp_first);
            const double sends = frames * p->group_sends[g];
            const double n = sends * p->fresh[core->out_axon_first + o];
            struct chip_events *e = &p->out->group[g];
            p->route[a->route] += n;
            e->messages += n;
            e->within_tile += n * r->within_tile;
            e->hops_x += n * r->hops_x;
            e->hops_y += n * r->hops_y;
            e->hops_chip += n * r->hops_chip;
            if (r->dest == IMG_DEST_HOST)
                p->out->host_out += sends * a->comp_count;
            else if (r->dest == IMG_DEST_EMBEDDED)
                p->out->embedded_in += sends * a->comp_count;
            else
                arrive(p,
                       p->core_at[((size_t)r->chip * im->meta.cores_y + r->y) * im->meta.cores_x +
                                  r->x],
                       a->dest_axon, sends * a->comp_count);
        }
    }
    for (uint64_t i = 0; i < im->n_injections; i++) {
        const struct img_injection *j = &im->injections[i];
        const double n = j->kind == IMG_INJECT_ENABLE
                             ? frames
                             : frames * map_pop_sends(&p->m->net.pops.data[j->layer],
                                                      j->channel_first, j->n_channels);
        p->out->host_in += n;
        arrive(p, j->core, j->axon, n);
    }
}

/* Steps after which a hard-wired membrane that stood at the threshold has decayed to zero. */
static double decay_steps(const struct img_config *c)
{
    int64_t v = c->vth;
    double steps = 0;
    for (; v > 0 && c->decay > 0; steps++)
        v = (v * (4096 - (int64_t)c->decay)) >> 12;
    return steps;
}

/* Steps per image at which a compartment of the group has input or state: from the first frame
 * with input on, which comes with probability `input` per frame; hard-wired ones also until they
 * have decayed. */
static double active_steps(const struct predict *p, const struct img_group *g, double input,
                           const struct img_config *c)
{
    const struct img_meta *meta = &p->im->meta;
    double silent = 1, steps = 0;
    if (g->host_current || g->channel_bias != IMG_NONE)
        input = 1;
    for (uint32_t t = 0; t < meta->timesteps; t++) {
        silent *= 1 - input;
        steps += img_has_membrane(c->program) ? 1 - silent : input;
    }
    if (c->program == IMG_PROG_FIXED) {
        const double idle = meta->interval - meta->timesteps, decay = decay_steps(c);
        steps += (1 - silent) * (decay < idle ? decay : idle);
    }
    return steps;
}

static void count_updates(struct predict *p)
{
    const struct image *im = p->im;
    const double steps = (double)im->meta.interval * im->meta.ticks, frames = im->meta.timesteps;
    for (uint64_t c = 0; c < im->n_cores; c++) {
        const struct img_core *core = &im->cores[c];
        for (uint32_t i = core->group_first; i < core->group_first + core->n_groups; i++) {
            const struct img_group *g = &im->groups[i];
            const struct img_config *config =
                &im->configs[core->config_first + im->channel_config[g->channel_config]];
            const double n = (double)g->ny * g->nx * g->nc;
            struct chip_events *e = &p->out->group[i];
            if (config->program != IMG_PROG_ENGINE) {                /* engines count operations */
                e->neuron_updates += img_group_comps(im, i) * steps; /* padding too */
                e->neuron_updates_active +=
                    n * active_steps(p, g, 1 - exp(-e->synaptic_events / (n * frames)), config);
            }
            e->spikes_out += n * frames * p->group_sends[i];
            if (g->host_current)
                e->host_writes += 2 * n;
        }
    }
}

static double time_of(const struct tgt *t, enum tgt_time k)
{
    return t->time_ns[k].present ? t->time_ns[k].value : 0;
}

static void price(const struct tgt *t, struct chip_events *e)
{
    const double quiet = e->neuron_updates - e->neuron_updates_active;
    const double n[TGT_ENERGY_COUNT] = {[TGT_E_SYNAPTIC_OP] = e->synaptic_events,
                                        [TGT_E_NEURON_ACTIVE] = e->neuron_updates_active,
                                        [TGT_E_NEURON_INACTIVE] = quiet,
                                        [TGT_E_SPIKE_WITHIN_TILE] = e->within_tile,
                                        [TGT_E_HOP_X] = e->hops_x,
                                        [TGT_E_HOP_Y] = e->hops_y,
                                        [TGT_E_HOP_CHIP] = e->hops_chip,
                                        [TGT_E_MESSAGE_IN] = e->messages_in,
                                        [TGT_E_MESSAGE_OUT] = e->messages,
                                        [TGT_E_SPIKE_OUT] = e->spikes_out,
                                        [TGT_E_HOST_WRITE] = e->host_writes};
    for (int k = 0; k < TGT_ENERGY_COUNT; k++)
        e->energy_pj[k] = t->energy_pj[k].present ? n[k] * t->energy_pj[k].value : 0;
    e->busy_ns = e->synaptic_events * time_of(t, TGT_T_SYNAPTIC_OP) +
                 e->neuron_updates_active * time_of(t, TGT_T_NEURON_ACTIVE) +
                 quiet * time_of(t, TGT_T_NEURON_INACTIVE);
}

void chip_events_add(struct chip_events *sum, const struct chip_events *e)
{
    sum->synaptic_events += e->synaptic_events;
    sum->neuron_updates += e->neuron_updates;
    sum->neuron_updates_active += e->neuron_updates_active;
    sum->spikes_out += e->spikes_out;
    sum->messages += e->messages;
    sum->messages_in += e->messages_in;
    sum->within_tile += e->within_tile;
    sum->hops_x += e->hops_x;
    sum->hops_y += e->hops_y;
    sum->hops_chip += e->hops_chip;
    sum->host_writes += e->host_writes;
    for (int k = 0; k < TGT_ENERGY_COUNT; k++)
        sum->energy_pj[k] += e->energy_pj[k];
    sum->busy_ns = e->busy_ns > sum->busy_ns ? e->busy_ns : sum->busy_ns;
}

struct chip_events chip_events_of_core(const struct chip_prediction *p, const struct img_core *core)
{
    struct chip_events sum = {0};
    double busy = 0;
    for (uint32_t g = core->group_first; g < core->group_first + core->n_groups; g++) {
        chip_events_add(&sum, &p->group[g]);
        busy += p->group[g].busy_ns;
    }
    sum.busy_ns = busy;
    return sum;
}

/* ---- links ---- */

struct grid {
    uint32_t width, height, chip_w, chip_h;
    double *load; /* [y][x][direction] */
};

static void walk(struct grid *g, uint32_t x, uint32_t y, uint32_t to_x, uint32_t to_y, double n)
{
    for (; x != to_x; x = x < to_x ? x + 1 : x - 1)
        g->load[((size_t)y * g->width + x) * 4 + (x < to_x ? 0 : 1)] += n;
    for (; y != to_y; y = y < to_y ? y + 1 : y - 1)
        g->load[((size_t)y * g->width + x) * 4 + (y < to_y ? 2 : 3)] += n;
}

struct chip_router chip_link_router(const struct img_meta *m, const struct chip_link *l)
{
    const uint32_t tw = m->tile_w ? m->tile_w : 1, th = m->tile_h ? m->tile_h : 1;
    const uint32_t w = (m->cores_x + tw - 1) / tw, h = (m->cores_y + th - 1) / th;
    return (struct chip_router){l->y / h * m->chips_x + l->x / w, l->x % w, l->y % h};
}

const char *chip_direction_name(uint32_t direction)
{
    static const char *const names[4] = {"east", "west", "south", "north"};
    return names[direction];
}

static void keep_hot(struct chip_prediction *out, const struct chip_link *l)
{
    uint32_t at = out->n_hot < CHIP_HOT_LINKS ? out->n_hot++ : CHIP_HOT_LINKS;
    for (; at > 0 && out->hot[at - 1].messages < l->messages; at--)
        if (at < CHIP_HOT_LINKS)
            out->hot[at] = out->hot[at - 1];
    if (at < CHIP_HOT_LINKS)
        out->hot[at] = *l;
}

static void summarise_links(const struct grid *g, struct chip_prediction *out)
{
    /* links that exist: horizontal and vertical neighbours, both directions */
    const double all =
        2.0 * ((double)(g->width - 1) * g->height + (double)g->width * (g->height - 1));
    double sum = 0, squares = 0;
    for (uint32_t y = 0; y < g->height; y++) {
        for (uint32_t x = 0; x < g->width; x++) {
            for (uint32_t d = 0; d < 4; d++) {
                const struct chip_link l = {x, y, d, g->load[((size_t)y * g->width + x) * 4 + d]};
                if (!(l.messages > 0))
                    continue;
                out->links++;
                sum += l.messages;
                squares += l.messages * l.messages;
                keep_hot(out, &l);
            }
        }
    }
    if (all > 0) {
        out->link_mean = sum / all;
        out->link_variance = squares / all - out->link_mean * out->link_mean;
    }
}

static spk_status load_links(struct predict *p)
{
    const struct image *im = p->im;
    const struct img_meta *meta = &im->meta;
    const uint32_t tw = meta->tile_w ? meta->tile_w : 1, th = meta->tile_h ? meta->tile_h : 1;
    struct grid g = {.chip_w = (meta->cores_x + tw - 1) / tw,
                     .chip_h = (meta->cores_y + th - 1) / th};
    g.width = g.chip_w * meta->chips_x;
    g.height = g.chip_h * meta->chips_y;
    SPK_TRY(spk_alloc_array((size_t)g.width * g.height * 4, sizeof *g.load, &g.load));
    for (uint64_t i = 0; i < im->n_routes; i++) {
        const struct img_route *r = &im->routes[i];
        const struct img_core *c = &im->cores[r->src_core];
        if (r->dest != IMG_DEST_CORE || !(p->route[i] > 0))
            continue;
        walk(&g, c->chip % meta->chips_x * g.chip_w + c->x / tw,
             c->chip / meta->chips_x * g.chip_h + c->y / th,
             r->chip % meta->chips_x * g.chip_w + r->x / tw,
             r->chip / meta->chips_x * g.chip_h + r->y / th, p->route[i]);
    }
    summarise_links(&g, p->out);
    p->out->grid_w = g.width;
    p->out->grid_h = g.height;
    p->out->load = g.load;
    return SPK_OK;
}

spk_status chip_predict(const struct mapping *m, const struct image *im,
                        struct chip_prediction *out)
{
    struct predict p = {.m = m, .im = im, .t = m->net.target, .out = out};
    memset(out, 0, sizeof *out);
    spk_status status = tabulate(&p);
    if (status == SPK_OK) {
        count_messages(&p);
        count_updates(&p);
        for (uint64_t g = 0; g < out->n_groups; g++)
            price(p.t, &out->group[g]);
        for (uint64_t c = 0; c < im->n_cores; c++) {
            const struct chip_events e = chip_events_of_core(out, &im->cores[c]);
            chip_events_add(&out->total, &e);
        }
        status = load_links(&p);
    }
    predict_fini(&p);
    if (status != SPK_OK)
        chip_prediction_fini(out);
    return status;
}

void chip_prediction_fini(struct chip_prediction *p)
{
    spk_free(p->group);
    spk_free(p->load);
    memset(p, 0, sizeof *p);
}
