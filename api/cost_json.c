/* Writes cost.json. Figures are counted for the groups of cores, each of one layer: sums over
 * groups give cores and layers, sums over cores give chips and totals. Dynamic figures are per
 * image (totals of the run divided by the number of images); what has no published price is null
 * and named in `unpriced`. */
#include "api/paper.h"

#include <math.h>
#include <string.h>

#include "backends/chip/usage.h"
#include "runtime/sim.h"
#include "support/alloc.h"

struct cost_sum {
    uint64_t cores, guests;
    struct chip_usage u;
    struct sim_events s;
    struct chip_events e;
};

struct cost {
    struct json_writer *w;
    const struct image *im;
    const struct tgt *target;
    const struct sim_stats *stats;
    const struct chip_prediction *prediction;
    bool measured;
    struct chip_usage *usage, *group_usage; /* [cores], [groups] */
    double images;
};

static void sum_usage(struct cost_sum *t, const struct chip_usage *u)
{
    t->u.neurons += u->neurons;
    t->u.in_axons += u->in_axons;
    t->u.out_axons += u->out_axons;
    t->u.synapse_bits += u->synapse_bits;
    t->u.synapses += u->synapses;
}

static void sum_stats(struct cost_sum *t, const struct sim_events *s)
{
    t->s.synaptic_events += s->synaptic_events;
    t->s.payload_events += s->payload_events;
    t->s.updates_active += s->updates_active;
    t->s.updates_inactive += s->updates_inactive;
    t->s.updates_touched += s->updates_touched;
    t->s.spikes_out += s->spikes_out;
    t->s.messages_out += s->messages_out;
    t->s.messages_in += s->messages_in;
    t->s.within_tile += s->within_tile;
    t->s.hops_x += s->hops_x;
    t->s.hops_y += s->hops_y;
    t->s.hops_chip += s->hops_chip;
    t->s.host_writes += s->host_writes;
    t->s.engine_words += s->engine_words;
    t->s.engine_additions += s->engine_additions;
    for (int e = 0; e < TGT_ENERGY_COUNT; e++)
        t->s.energy_pj[e] += s->energy_pj[e];
    if (s->busy_ns > t->s.busy_ns)
        t->s.busy_ns = s->busy_ns;
}

static void write_static(const struct cost *c, const struct chip_usage *u)
{
    jw_u64(c->w, "neurons", u->neurons);
    jw_u64(c->w, "in_axons", u->in_axons);
    jw_u64(c->w, "out_axons", u->out_axons);
    jw_u64(c->w, "synapse_bits", u->synapse_bits);
    jw_u64(c->w, "synapses", u->synapses);
}

static bool any_price(const struct tgt *t)
{
    for (int e = 0; e < TGT_ENERGY_COUNT; e++)
        if (t->energy_pj[e].present)
            return true;
    return false;
}

static void write_energy(const struct cost *c, const struct sim_events *s)
{
    double total = 0;
    bool priced = any_price(c->target);
    jw_object_begin(c->w, "energy_pj");
    for (int e = 0; e < TGT_ENERGY_COUNT; e++) {
        const char *name = tgt_energy_name((enum tgt_energy)e);
        if (!c->target->energy_pj[e].present) {
            jw_null(c->w, name);
            continue;
        }
        total += s->energy_pj[e];
        jw_f64_or_null(c->w, name, s->energy_pj[e] / c->images);
    }
    if (priced)
        jw_f64_or_null(c->w, "total_priced", total / c->images);
    else
        jw_null(c->w, "total_priced");
    jw_object_end(c->w);
}

static void write_dynamic(const struct cost *c, const struct sim_events *s)
{
    if (c->stats == NULL)
        return;
    jw_f64(c->w, "synaptic_events", (double)s->synaptic_events / c->images);
    jw_f64(c->w, "neuron_updates",
           (double)(s->updates_active + s->updates_inactive + s->updates_touched) / c->images);
    jw_f64(c->w, "neuron_updates_active", (double)s->updates_active / c->images);
    jw_f64(c->w, "spikes_out", (double)s->spikes_out / c->images);
    jw_f64(c->w, "messages", (double)s->messages_out / c->images);
    jw_f64(c->w, "messages_in", (double)s->messages_in / c->images);
    jw_f64(c->w, "hops", (double)(s->hops_x + s->hops_y + s->hops_chip) / c->images);
    jw_f64(c->w, "hops_x", (double)s->hops_x / c->images);
    jw_f64(c->w, "hops_y", (double)s->hops_y / c->images);
    jw_f64(c->w, "hops_chip", (double)s->hops_chip / c->images);
    jw_f64(c->w, "engine_word_operations", (double)s->engine_words / c->images);
    jw_f64(c->w, "engine_additions", (double)s->engine_additions / c->images);
    write_energy(c, s);
    if (c->target->time_ns[TGT_T_SYNAPTIC_OP].present)
        jw_f64(c->w, "busy_ns", s->busy_ns / c->images);
    else
        jw_null(c->w, "busy_ns");
}

static void write_links(const struct cost *c, const struct chip_prediction *p)
{
    jw_string(c->w, "rates", c->measured ? "given" : "declared");
    jw_f64(c->w, "host_input_messages", p->host_in);
    jw_f64(c->w, "host_output_messages", p->host_out);
    jw_f64(c->w, "embedded_input_messages", p->embedded_in);
    jw_u64(c->w, "links_used", p->links);
    jw_f64(c->w, "link_messages_mean", p->link_mean);
    jw_f64(c->w, "link_messages_variance", p->link_variance);
    jw_f64(c->w, "max_link_messages", p->n_hot > 0 ? p->hot[0].messages : 0);
    jw_array_begin(c->w, "hot_links");
    for (uint32_t i = 0; i < p->n_hot; i++) {
        const struct chip_link *l = &p->hot[i];
        const struct chip_router r = chip_link_router(&c->im->meta, l);
        jw_object_begin_line(c->w, NULL);
        jw_u64(c->w, "chip", r.chip);
        jw_u64(c->w, "router_x", r.x);
        jw_u64(c->w, "router_y", r.y);
        jw_string(c->w, "direction", chip_direction_name(l->direction));
        jw_f64(c->w, "messages", l->messages);
        jw_object_end(c->w);
    }
    jw_array_end(c->w);
}

/* Energy per component, of layers and of the whole. */
static void write_predicted_energy(const struct cost *c, const struct chip_events *e)
{
    jw_object_begin(c->w, "energy_pj");
    for (int k = 0; k < TGT_ENERGY_COUNT; k++) {
        const char *name = tgt_energy_name((enum tgt_energy)k);
        if (c->target->energy_pj[k].present)
            jw_f64(c->w, name, e->energy_pj[k]);
        else
            jw_null(c->w, name);
    }
    jw_object_end(c->w);
}

/* Events expected per image; the same figures as after a simulation. */
static void write_predicted(const struct cost *c, const struct chip_events *e,
                            const struct chip_prediction *whole, bool components)
{
    double priced = 0;
    jw_object_begin(c->w, "predicted");
    jw_f64(c->w, "synaptic_events", e->synaptic_events);
    jw_f64(c->w, "neuron_updates", e->neuron_updates);
    jw_f64(c->w, "neuron_updates_active", e->neuron_updates_active);
    jw_f64(c->w, "spikes_out", e->spikes_out);
    jw_f64(c->w, "messages", e->messages);
    jw_f64(c->w, "messages_in", e->messages_in);
    jw_f64(c->w, "hops", e->hops_x + e->hops_y + e->hops_chip);
    jw_f64(c->w, "hops_x", e->hops_x);
    jw_f64(c->w, "hops_y", e->hops_y);
    jw_f64(c->w, "hops_chip", e->hops_chip);
    for (int k = 0; k < TGT_ENERGY_COUNT; k++)
        priced += e->energy_pj[k];
    if (any_price(c->target))
        jw_f64(c->w, "energy_priced_pj", priced);
    else
        jw_null(c->w, "energy_priced_pj");
    if (components)
        write_predicted_energy(c, e);
    if (c->target->time_ns[TGT_T_SYNAPTIC_OP].present)
        jw_f64(c->w, "busy_ns", e->busy_ns);
    else
        jw_null(c->w, "busy_ns");
    if (whole != NULL)
        write_links(c, whole);
    jw_object_end(c->w);
}

static void write_limit(const struct cost *c, const char *key, enum tgt_limit l, bool engine)
{
    uint64_t v = tgt_core_limit(c->target, l, engine);
    if (v == UINT64_MAX)
        jw_null(c->w, key);
    else
        jw_u64(c->w, key, v);
}

static void write_core(const struct cost *c, uint32_t id)
{
    const struct img_core *core = &c->im->cores[id];
    jw_object_begin_line(c->w, NULL);
    jw_u64(c->w, "id", id);
    jw_u64(c->w, "chip", core->chip);
    jw_u64(c->w, "x", core->x);
    jw_u64(c->w, "y", core->y);
    jw_string(c->w, "class", c->usage[id].engine ? "engine" : "neurons");
    jw_array_begin(c->w, "layers");
    for (uint32_t g = 0; g < core->n_groups; g++) {
        const struct img_group *group = &c->im->groups[core->group_first + g];
        jw_string(c->w, NULL, c->im->strings[c->im->layers[group->layer].name]);
    }
    jw_array_end(c->w);
    write_static(c, &c->usage[id]);
    write_limit(c, "neurons_limit", TGT_NEURONS, c->usage[id].engine);
    write_limit(c, "in_axons_limit", TGT_IN_AXONS, c->usage[id].engine);
    write_limit(c, "out_axons_limit", TGT_OUT_AXONS, c->usage[id].engine);
    write_limit(c, "synapse_bits_limit", TGT_SYNAPSE_BITS, c->usage[id].engine);
    if (c->stats != NULL)
        write_dynamic(c, &c->stats->core[id]);
    if (c->prediction != NULL) {
        const struct chip_events e = chip_events_of_core(c->prediction, core);
        write_predicted(c, &e, NULL, false);
    }
    jw_object_end(c->w);
}

static void write_sum(const struct cost *c, const struct cost_sum *t)
{
    jw_u64(c->w, "cores", t->cores);
    write_static(c, &t->u);
    write_dynamic(c, &t->s);
}

static void sum_core(const struct cost *c, struct cost_sum *t, uint32_t core)
{
    t->cores++;
    sum_usage(t, &c->usage[core]);
    if (c->stats != NULL)
        sum_stats(t, &c->stats->core[core]);
    if (c->prediction != NULL) {
        const struct chip_events e = chip_events_of_core(c->prediction, &c->im->cores[core]);
        chip_events_add(&t->e, &e);
    }
}

/* The groups of a core, each to its layer. The core is that of its first group's layer, others are
 * guests. */
static void sum_layers(const struct cost *c, uint32_t core, struct cost_sum *sum)
{
    const struct img_core *k = &c->im->cores[core];
    const struct img_group *group = &c->im->groups[k->group_first];
    for (uint32_t i = 0; i < k->n_groups; i++) {
        struct cost_sum *t = &sum[group[i].layer];
        uint32_t same = 0;
        while (group[same].layer != group[i].layer)
            same++;
        t->cores += i == 0;
        t->guests += i > 0 && same == i;
        sum_usage(t, &c->group_usage[k->group_first + i]);
        if (c->stats != NULL)
            sum_stats(t, &c->stats->group[k->group_first + i]);
        if (c->prediction != NULL)
            chip_events_add(&t->e, &c->prediction->group[k->group_first + i]);
    }
}

static spk_status write_layers(const struct cost *c)
{
    struct cost_sum *sum;
    SPK_TRY(spk_alloc_array(c->im->n_layers, sizeof *sum, &sum));
    for (uint32_t i = 0; i < c->im->n_cores; i++)
        sum_layers(c, i, sum);
    jw_array_begin(c->w, "layers");
    for (uint32_t i = 0; i < c->im->n_layers; i++) {
        const struct img_layer *l = &c->im->layers[i];
        jw_object_begin_line(c->w, NULL);
        jw_string(c->w, "name", c->im->strings[l->name]);
        jw_string(c->w, "kind", api_layer_kind(l->kind));
        jw_u64(c->w, "start_step", l->start);
        jw_u64(c->w, "guest_cores", sum[i].guests);
        write_sum(c, &sum[i]);
        if (c->prediction != NULL)
            write_predicted(c, &sum[i].e, NULL, true);
        jw_object_end(c->w);
    }
    jw_array_end(c->w);
    spk_free(sum);
    return SPK_OK;
}

static spk_status write_chips(const struct cost *c, uint32_t *out_used)
{
    const uint32_t n = c->im->meta.chips_x * c->im->meta.chips_y;
    struct cost_sum *sum;
    SPK_TRY(spk_alloc_array(n, sizeof *sum, &sum));
    *out_used = 0;
    for (uint32_t i = 0; i < c->im->n_cores; i++)
        sum_core(c, &sum[c->im->cores[i].chip], i);
    jw_array_begin(c->w, "chips");
    for (uint32_t i = 0; i < n; i++) {
        if (sum[i].cores == 0)
            continue;
        ++*out_used;
        jw_object_begin_line(c->w, NULL);
        jw_u64(c->w, "id", i);
        write_sum(c, &sum[i]);
        if (c->prediction != NULL)
            write_predicted(c, &sum[i].e, NULL, false);
        jw_object_end(c->w);
    }
    jw_array_end(c->w);
    spk_free(sum);
    return SPK_OK;
}

/* Barrier over all chips of the image's system; NaN where none was published. */
static double system_barrier_ns(const struct cost *c)
{
    const char *name = c->im->strings[c->im->meta.system_name];
    for (uint32_t i = 0; i < c->target->n_systems; i++) {
        const struct tgt_system *s = &c->target->system[i];
        if (strcmp(s->name, name) == 0 && s->barrier_ns.present)
            return s->barrier_ns.value;
    }
    return (double)NAN;
}

/* Time of the run: the simulator's, which has the barrier of one chip; over several chips the
 * system's own barrier takes its place. NaN where a part is not published. */
static double run_time_ns(const struct cost *c, uint32_t chips)
{
    const struct sim_stats *s = c->stats;
    if (!c->target->time_ns[TGT_T_SYNAPTIC_OP].present)
        return (double)NAN;
    if (chips <= 1)
        return s->time_ns;
    return s->time_ns + (double)s->ticks * (system_barrier_ns(c) - s->barrier_ns);
}

static void write_totals(const struct cost *c, uint32_t chips)
{
    struct cost_sum t;
    memset(&t, 0, sizeof t);
    for (uint32_t i = 0; i < c->im->n_cores; i++)
        sum_core(c, &t, i);
    jw_object_begin(c->w, "totals");
    jw_u64(c->w, "chips", chips);
    write_sum(c, &t);
    if (c->stats != NULL) {
        const struct sim_stats *s = c->stats;
        jw_u64(c->w, "max_link_messages", s->max_link_load);
        jw_f64(c->w, "host_input_messages", (double)s->injections / c->images);
        jw_f64(c->w, "host_input_writes", (double)t.s.host_writes / c->images);
        jw_f64(c->w, "host_output_messages", (double)s->host_spikes / c->images);
        jw_f64(c->w, "embedded_input_messages", (double)s->embedded_spikes / c->images);
        jw_f64(c->w, "embedded_operations", (double)s->embedded_ops / c->images);
        jw_u64(c->w, "spikes_outside_windows", s->spikes_outside_windows);
        jw_u64(c->w, "wraps", s->wraps);
        jw_f64_or_null(c->w, "time_ns", run_time_ns(c, chips) / c->images);
    }
    if (c->prediction != NULL)
        write_predicted(c, &t.e, c->prediction, true);
    jw_object_end(c->w);
}

static uint32_t chips_used(const struct image *im)
{
    uint32_t last = 0;
    for (uint64_t i = 0; i < im->n_cores; i++)
        last = im->cores[i].chip > last ? im->cores[i].chip : last;
    return last + 1;
}

/* Chips without touched neurons have no price of them, and times of messages are for export only:
 * nothing is left out of a sum. */
static void write_unpriced(const struct cost *c)
{
    jw_array_begin(c->w, "unpriced");
    for (int e = 0; e < TGT_ENERGY_COUNT; e++) {
        bool occurs = c->stats == NULL || (c->stats->unpriced_energy >> e & 1u);
        if (!c->target->energy_pj[e].present && occurs && e != TGT_E_NEURON_TOUCHED)
            jw_string(c->w, NULL, tgt_energy_name((enum tgt_energy)e));
    }
    jw_array_end(c->w);
    jw_array_begin(c->w, "untimed");
    for (int e = 0; e < TGT_TIME_COUNT; e++) {
        bool occurs = c->stats == NULL || (c->stats->unpriced_time >> e & 1u);
        if (!c->target->time_ns[e].present && occurs && e < TGT_T_MESSAGE_IN)
            jw_string(c->w, NULL, tgt_time_name((enum tgt_time)e));
    }
    if (chips_used(c->im) > 1 && isnan(system_barrier_ns(c)))
        jw_string(c->w, NULL, "barrier_system");
    jw_array_end(c->w);
    jw_object_begin(c->w, "price_basis");
    for (int e = 0; e < TGT_ENERGY_COUNT; e++)
        if (c->target->energy_pj[e].present)
            jw_string(c->w, tgt_energy_name((enum tgt_energy)e),
                      tgt_basis_name(c->target->energy_pj[e].basis));
    jw_object_end(c->w);
}

spk_status cost_write(struct json_writer *w, const struct image *im, const struct tgt *target,
                      const struct cost_sources *sources)
{
    const struct sim_stats *stats = sources->stats;
    struct cost c = {.w = w,
                     .im = im,
                     .target = target,
                     .stats = stats,
                     .prediction = sources->prediction,
                     .measured = sources->measured};
    uint32_t chips = 0;
    c.images = stats ? (double)stats->images : 1.0;
    SPK_TRY(spk_alloc_array(im->n_cores, sizeof *c.usage, &c.usage));
    spk_status status = spk_alloc_array(im->n_groups, sizeof *c.group_usage, &c.group_usage);
    if (status == SPK_OK)
        status = chip_usage_count(im, target, c.usage, c.group_usage);
    if (status == SPK_OK) {
        jw_string(w, "target", target->name);
        jw_string(w, "system", im->strings[im->meta.system_name]);
        jw_u64(w, "images", stats ? stats->images : 0);
        jw_u64(w, "timesteps", im->meta.timesteps);
        jw_u64(w, "latency_steps", im->meta.latency);
        jw_u64(w, "interval_steps", im->meta.interval);
        jw_u64(w, "ticks_per_step", im->meta.ticks);
        jw_u64(w, "latency_ticks", (uint64_t)im->meta.latency * im->meta.ticks);
        jw_u64(w, "interval_ticks", (uint64_t)im->meta.interval * im->meta.ticks);
        if (stats)
            jw_u64(w, "steps", stats->steps);
        write_unpriced(&c);
        if (sources->paper != NULL)
            paper_write(w, sources->paper);
        status = write_chips(&c, &chips);
    }
    if (status == SPK_OK) {
        write_totals(&c, chips);
        status = write_layers(&c);
    }
    if (status == SPK_OK) {
        cost_links(w, stats, sources->prediction);
        jw_array_begin(w, "cores");
        for (uint32_t i = 0; i < im->n_cores; i++)
            write_core(&c, i);
        jw_array_end(w);
        status = w->status;
    }
    spk_free(c.usage);
    spk_free(c.group_usage);
    return status;
}
