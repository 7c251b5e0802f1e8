/* Simulator, part 9: event statistics and their prices.
 *
 * Counting is done where events happen, per group; prices (pJ, ns, from the image) are applied at
 * the end, and a core is the sum of its groups. What nobody has published a price for stays NaN,
 * its bit is set in unpriced_*, and the totals cover the rest. Time of a step: the busiest core's
 * synaptic events and updates, plus the barrier, interpolated between its one-tile and all-tiles
 * value by the used tiles of the fullest chip; hop latencies overlap with computing and are not
 * added. Link loads: every message walks XY over the grid of tiles of all chips. Cost: linear in
 * cores per step, in hops at the end.    */
#include "runtime/sim_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/alloc.h"

static int compare_u32(const void *a, const void *b)
{
    const uint32_t *p = a, *q = b;

    return (*p > *q) - (*p < *q);
}

static spk_status count_fullest_chip(struct sim *s)
{
    uint32_t *chips, run = 0;

    SPK_TRY(spk_alloc_array(s->n_cores, sizeof *chips, &chips));
    for (uint32_t i = 0; i < s->n_cores; i++)
        chips[i] = s->im->cores[i].chip;
    qsort(chips, s->n_cores, sizeof *chips, compare_u32);
    for (uint32_t i = 0; i < s->n_cores; i++) {
        run = i > 0 && chips[i] == chips[i - 1] ? run + 1 : 1;
        s->fullest_chip = run > s->fullest_chip ? run : s->fullest_chip;
    }
    spk_free(chips);
    return SPK_OK;
}

spk_status sim_stats_create(struct sim *s)
{
    struct sim_stats *t = &s->stats;

    SPK_TRY(count_fullest_chip(s));
    t->n_cores = s->n_cores;
    t->n_groups = s->n_groups;
    t->n_routes = s->im->n_routes;
    SPK_TRY(spk_alloc_array(s->n_cores, sizeof *t->core, &t->core));
    SPK_TRY(spk_alloc_array(s->n_groups, sizeof *t->group, &t->group));
    SPK_TRY(spk_alloc_array(t->n_routes, sizeof *t->route_messages, &t->route_messages));
    SPK_TRY(spk_alloc_array(s->n_groups, sizeof *s->last_events, &s->last_events));
    SPK_TRY(spk_alloc_array(s->n_groups, sizeof *s->last_active, &s->last_active));
    SPK_TRY(spk_alloc_array(s->n_groups, sizeof *s->active_updates, &s->active_updates));
    return sim_touched_create(s);
}

void sim_stats_destroy(struct sim *s)
{
    spk_free(s->stats.core);
    spk_free(s->stats.group);
    spk_free(s->stats.route_messages);
    spk_free(s->stats.link_load);
    spk_free(s->last_events);
    spk_free(s->last_active);
    spk_free(s->active_updates);
    sim_touched_destroy(s);
}

static double price(const struct sim *s, uint32_t row)
{
    return s->im->n_prices == 0 ? (double)NAN : s->im->prices[row];
}

/* Barrier per step in ns; 0 and marked where unpriced. */
static double barrier(struct sim *s)
{
    const struct img_meta *m = &s->im->meta;
    double low = price(s, TGT_ENERGY_COUNT + TGT_T_BARRIER_MIN);
    double high = price(s, TGT_ENERGY_COUNT + TGT_T_BARRIER_MAX);
    uint32_t tw = m->tile_w ? m->tile_w : 1, th = m->tile_h ? m->tile_h : 1;
    uint32_t per_tile = tw * th, tiles, all = (m->cores_x / tw) * (m->cores_y / th);

    if (isnan(low))
        s->stats.unpriced_time |= 1u << TGT_T_BARRIER_MIN;
    if (isnan(high))
        s->stats.unpriced_time |= 1u << TGT_T_BARRIER_MAX;
    if (isnan(low) || isnan(high))
        return isnan(low) ? isnan(high) ? 0.0 : high : low;
    tiles = (s->fullest_chip + per_tile - 1) / per_tile;
    if (all <= 1 || tiles <= 1)
        return low;
    tiles = tiles > all ? all : tiles;
    return low + (high - low) * (double)(tiles - 1) / (double)(all - 1);
}

void sim_stats_reset(struct sim *s)
{
    struct sim_stats *t = &s->stats;
    struct sim_events *core = t->core, *group = t->group;
    uint64_t *messages = t->route_messages;

    memset(core, 0, s->n_cores * sizeof *core);
    memset(group, 0, s->n_groups * sizeof *group);
    memset(messages, 0, s->im->n_routes * sizeof *messages);
    memset(s->last_events, 0, s->n_groups * sizeof *s->last_events);
    memset(s->last_active, 0, s->n_groups * sizeof *s->last_active);
    memset(s->active_updates, 0, s->n_groups * sizeof *s->active_updates);
    sim_touched_reset(s);
    spk_free(t->link_load);
    *t = (struct sim_stats){.core = core,
                            .route_messages = messages,
                            .n_cores = s->n_cores,
                            .group = group,
                            .n_groups = s->n_groups,
                            .n_routes = s->im->n_routes,
                            .outside_layer = IMG_NONE,
                            .outside_core = IMG_NONE};
    t->barrier_ns = barrier(s);
}

static double priced_time(struct sim *s, enum tgt_time row, uint64_t n)
{
    double p = price(s, TGT_ENERGY_COUNT + (uint32_t)row);

    if (n == 0)
        return 0.0;
    if (isnan(p)) {
        s->stats.unpriced_time |= 1u << row;
        return 0.0;
    }
    return p * (double)n;
}

/* Time of a group in the step that ends. */
static double group_step(struct sim *s, uint32_t i)
{
    const struct sim_group *g = &s->groups[i];
    struct sim_events *c = &s->stats.group[i];
    uint64_t events = c->synaptic_events - s->last_events[i];
    uint64_t active = s->active_updates[i] - s->last_active[i];
    uint64_t visited = s->core_task[g->core] == IMG_NONE ? g->comps : 0;
    uint64_t neurons = visited * s->im->meta.ticks;
    uint64_t touched = s->touched_updates != NULL ? s->touched_updates[i] : 0;
    uint64_t quiet = neurons > active + touched ? neurons - active - touched : 0;
    double ns = priced_time(s, TGT_T_SYNAPTIC_OP, events) +
                priced_time(s, TGT_T_NEURON_ACTIVE, active + touched) +
                priced_time(s, TGT_T_NEURON_INACTIVE, quiet);

    s->last_events[i] = c->synaptic_events;
    s->last_active[i] = s->active_updates[i];
    c->updates_active += active;
    c->updates_inactive += quiet;
    c->updates_touched += touched;
    if (s->touched_updates != NULL)
        s->touched_updates[i] = 0;
    c->busy_ns += ns;
    return ns;
}

void sim_stats_step(struct sim *s)
{
    double busiest = 0.0;

    for (uint32_t c = 0; c < s->n_cores; c++) {
        const struct sim_core *core = &s->cores[c];
        double ns = 0.0;

        for (uint32_t g = core->group_first; g < core->group_first + core->n_groups; g++)
            ns += group_step(s, g);
        s->stats.core[c].busy_ns += ns;
        busiest = ns > busiest ? ns : busiest;
    }
    s->stats.time_ns += busiest + s->stats.barrier_ns * (double)s->im->meta.ticks;
    s->stats.steps++;
    s->stats.ticks += s->im->meta.ticks;
}

static void price_events(struct sim *s, struct sim_events *c, uint64_t embedded_ops)
{
    const uint64_t n[TGT_ENERGY_COUNT] = {[TGT_E_SYNAPTIC_OP] = c->synaptic_events,
                                          [TGT_E_NEURON_ACTIVE] = c->updates_active,
                                          [TGT_E_NEURON_INACTIVE] = c->updates_inactive,
                                          [TGT_E_NEURON_TOUCHED] = c->updates_touched,
                                          [TGT_E_SPIKE_WITHIN_TILE] = c->within_tile,
                                          [TGT_E_HOP_X] = c->hops_x,
                                          [TGT_E_HOP_Y] = c->hops_y,
                                          [TGT_E_HOP_CHIP] = c->hops_chip,
                                          [TGT_E_MESSAGE_IN] = c->messages_in,
                                          [TGT_E_MESSAGE_OUT] = c->messages_out,
                                          [TGT_E_SPIKE_OUT] = c->spikes_out,
                                          [TGT_E_HOST_WRITE] = c->host_writes,
                                          [TGT_E_EMBEDDED_OP] = embedded_ops};

    c->energy_total_pj = 0.0;
    for (uint32_t e = 0; e < TGT_ENERGY_COUNT; e++) {
        double p = price(s, e);

        c->energy_pj[e] = n[e] == 0 ? 0.0 : p * (double)n[e];
        if (isnan(c->energy_pj[e]))
            s->stats.unpriced_energy |= 1u << e;
        else
            c->energy_total_pj += c->energy_pj[e];
    }
}

/* All but prices. */
static void add_events(struct sim_events *sum, const struct sim_events *c)
{
    sum->synaptic_events += c->synaptic_events;
    sum->payload_events += c->payload_events;
    sum->updates_active += c->updates_active;
    sum->updates_inactive += c->updates_inactive;
    sum->updates_touched += c->updates_touched;
    sum->spikes_out += c->spikes_out;
    sum->messages_out += c->messages_out;
    sum->messages_in += c->messages_in;
    sum->within_tile += c->within_tile;
    sum->hops_x += c->hops_x;
    sum->hops_y += c->hops_y;
    sum->hops_chip += c->hops_chip;
    sum->host_writes += c->host_writes;
    sum->engine_words += c->engine_words;
    sum->engine_additions += c->engine_additions;
}

void sim_count_route(struct sim_events *e, const struct img_route *r, uint64_t n)
{
    e->messages_out += n;
    e->within_tile += n * r->within_tile;
    e->hops_x += n * r->hops_x;
    e->hops_y += n * r->hops_y;
    e->hops_chip += n * r->hops_chip;
}

static void sum_groups(struct sim *s)
{
    struct sim_stats *t = &s->stats;

    for (uint32_t i = 0; i < s->n_cores; i++) {
        const struct sim_core *core = &s->cores[i];

        for (uint32_t g = core->group_first; g < core->group_first + core->n_groups; g++) {
            price_events(s, &t->group[g], 0);
            add_events(&t->core[i], &t->group[g]);
        }
        price_events(s, &t->core[i], 0);
        add_events(&t->total, &t->core[i]);
        if (t->core[i].busy_ns > t->total.busy_ns)
            t->total.busy_ns = t->core[i].busy_ns;
    }
    price_events(s, &t->total, t->embedded_ops);
}

/* Loads of the links between tiles: 4 per tile (east, west, south, north). */
static spk_status link_loads(struct sim *s)
{
    const struct img_meta *m = &s->im->meta;
    uint32_t tw = m->tile_w ? m->tile_w : 1, th = m->tile_h ? m->tile_h : 1;
    uint64_t chip_w = (m->cores_x + tw - 1) / tw, chip_h = (m->cores_y + th - 1) / th;
    uint64_t width = chip_w * m->chips_x, height = chip_h * m->chips_y;
    uint64_t *load;

    if (width == 0 || height == 0 || width > (1u << 14) || height > (1u << 14))
        return SPK_OK;
    SPK_TRY(spk_alloc_array(width * height * 4, sizeof *load, &load));
    for (uint64_t i = 0; i < s->im->n_routes; i++) {
        const struct img_route *r = &s->im->routes[i];
        uint64_t n = s->stats.route_messages[i], x, y, to_x, to_y;
        const struct img_core *c;

        if (n == 0 || r->dest != IMG_DEST_CORE)
            continue;
        c = &s->im->cores[r->src_core];
        x = c->chip % m->chips_x * chip_w + c->x / tw;
        y = c->chip / m->chips_x * chip_h + c->y / th;
        to_x = r->chip % m->chips_x * chip_w + r->x / tw;
        to_y = r->chip / m->chips_x * chip_h + r->y / th;
        if (x >= width || to_x >= width || y >= height || to_y >= height)
            continue;
        for (; x != to_x; x = x < to_x ? x + 1 : x - 1)
            load[(y * width + x) * 4 + (x < to_x ? 0 : 1)] += n;
        for (; y != to_y; y = y < to_y ? y + 1 : y - 1)
            load[(y * width + x) * 4 + (y < to_y ? 2 : 3)] += n;
    }
    for (uint64_t i = 0; i < width * height * 4; i++)
        s->stats.max_link_load =
            load[i] > s->stats.max_link_load ? load[i] : s->stats.max_link_load;
    s->stats.link_load = load;
    s->stats.link_w = (uint32_t)width;
    s->stats.link_h = (uint32_t)height;
    return SPK_OK;
}

spk_status sim_stats_finish(struct sim *s)
{
    struct sim_stats *t = &s->stats;

    t->images = s->n_images;
    for (uint64_t i = 0; i < t->n_routes; i++) {
        const struct img_route *r = &s->im->routes[i];
        uint64_t n = t->route_messages[i];

        if (r->src_core >= s->n_cores || n == 0)
            continue;
        if (s->cores[r->src_core].n_groups == 1)
            sim_count_route(&t->group[s->cores[r->src_core].group_first], r, n);
        t->max_route_messages = n > t->max_route_messages ? n : t->max_route_messages;
    }
    sum_groups(s);
    for (uint32_t i = 0; i < s->n_chunks; i++) {
        const struct sim_chunk *c = &s->chunks[i];

        t->wraps += c->wraps;
        t->spikes_outside_windows += c->outside;
        if (c->outside_layer != IMG_NONE &&
            (t->outside_layer == IMG_NONE || c->outside_step < t->outside_step ||
             (c->outside_step == t->outside_step && c->outside_core < t->outside_core))) {
            t->outside_layer = c->outside_layer;
            t->outside_core = c->outside_core;
            t->outside_step = c->outside_step;
        }
    }
    return link_loads(s);
}

const struct sim_stats *sim_statistics(const struct sim *s)
{
    return &s->stats;
}
