/* A mapping as JSON and as text: layer by layer, in the order of the network. */
#include "api/mapping_json.h"

#include <string.h>

#include "passes/attention.h"
#include "passes/map/bound.h"

spk_status partition_json(const struct mapping *m, struct json_writer *w)
{
    struct map_bound bound;
    struct map_fill fill[MAP_USES];
    SPK_TRY(map_bound(&m->net, &bound));
    map_fill_of(m, fill);
    jw_object_begin(w, "partition");
    const uint32_t cores = m->n_cores - m->n_engines;
    jw_u64(w, "cores", cores);
    jw_u64(w, "tiles", m->tiles.len - m->n_engines);
    jw_u64(w, "lower_bound", bound.cores);
    jw_u64(w, "lower_bound_unshared", bound.unshared);
    if (bound.cores > 0)
        jw_f64(w, "gap", (double)cores / (double)bound.cores - 1);
    else
        jw_null(w, "gap");
    jw_object_begin(w, "bound_weights");
    for (int i = 0; i < MAP_USES; i++)
        jw_f64(w, map_use_name((enum map_use)i), bound.weight[i]);
    jw_object_end(w);
    jw_object_begin(w, "utilisation");
    for (int i = 0; i < MAP_USES; i++) {
        jw_object_begin(w, map_use_name((enum map_use)i));
        jw_f64(w, "mean", fill[i].mean);
        jw_f64(w, "max", fill[i].most);
        jw_u64(w, "fullest_in_cores", fill[i].cores);
        jw_object_end(w);
    }
    jw_object_end(w);
    jw_object_end(w);
    return w->status;
}

spk_status partition_text(const struct mapping *m, struct strbuf *out)
{
    struct map_bound bound;
    struct map_fill fill[MAP_USES];
    SPK_TRY(map_bound(&m->net, &bound));
    map_fill_of(m, fill);
    const uint32_t cores = m->n_cores - m->n_engines;
    strbuf_printf(out, "%zu tiles on %u cores; no partition has fewer than %llu (gap %.0f %%)",
                  m->tiles.len - m->n_engines, cores, (unsigned long long)bound.cores,
                  bound.cores ? 100.0 * ((double)cores / (double)bound.cores - 1) : 0.0);
    for (int i = 0; i < MAP_USES; i++)
        strbuf_printf(out, "%s %s %.0f %% (max %.0f %%, fullest in %llu)",
                      i ? "," : "; mean use:", map_use_name((enum map_use)i), 100 * fill[i].mean,
                      100 * fill[i].most, (unsigned long long)fill[i].cores);
    strbuf_char(out, '\n');
    return out->status;
}

/* Channels of a population that is cut neuron by neuron are counted in this order. */
static void write_order(const struct map_pop *p, struct json_writer *w)
{
    if (p->order == NULL)
        return;
    jw_array_begin_line(w, "order");
    for (uint32_t c = 0; c < p->channels; c++)
        jw_u64(w, NULL, p->order[c]);
    jw_array_end(w);
}

static void write_layer(const struct mapping *m, uint32_t pop, struct json_writer *w)
{
    const struct map_pop *p = &m->net.pops.data[pop];
    jw_object_begin_line(w, NULL);
    jw_string(w, "name", p->name);
    jw_string(w, "kind", api_layer_kind(p->kind));
    jw_u64(w, "channels", p->channels);
    jw_u64(w, "height", p->height);
    jw_u64(w, "width", p->width);
    jw_u64(w, "start_step", p->start);
    jw_f64(w, "rate", p->rate);
    if (p->lowering != IR_LOWER_OPEN)
        jw_string(w, "attention", attn_name(p->lowering));
    if (p->has_compartments) {
        jw_array_begin(w, "tile");
        jw_u64(w, NULL, p->th);
        jw_u64(w, NULL, p->tw);
        jw_u64(w, NULL, p->tc);
        jw_array_end(w);
        jw_array_begin(w, "grid");
        jw_u64(w, NULL, p->gh);
        jw_u64(w, NULL, p->gw);
        jw_u64(w, NULL, p->gc);
        jw_array_end(w);
        jw_u64(w, "first_tile", p->tile_first);
        write_order(p, w);
    }
    jw_array_begin(w, "sources");
    for (uint32_t i = 0; i < p->n_projs; i++) {
        const struct map_proj *proj = &m->net.projs.data[p->proj_first + i];
        for (uint32_t s = 0; s < proj->n_sources; s++) {
            jw_object_begin(w, NULL);
            jw_string(w, "name", m->net.pops.data[proj->source[s].pop].name);
            jw_u64(w, "delay", proj->source[s].delay);
            if (proj->weight_name != NULL)
                jw_string(w, "weights", proj->weight_name);
            jw_object_end(w);
        }
    }
    jw_array_end(w);
    jw_object_end(w);
}

static void write_range(struct json_writer *w, const char *key, uint32_t first, uint32_t n)
{
    jw_array_begin(w, key);
    jw_u64(w, NULL, first);
    jw_u64(w, NULL, first + n);
    jw_array_end(w);
}

static void write_tile(const struct mapping *m, size_t i, struct json_writer *w)
{
    const struct map_tile *t = &m->tiles.data[i];
    jw_object_begin_line(w, NULL);
    jw_u64(w, "id", i);
    jw_u64(w, "core", t->core);
    jw_string(w, "layer", m->net.pops.data[t->pop].name);
    write_range(w, "rows", t->y0, t->ny);
    write_range(w, "columns", t->x0, t->nx);
    write_range(w, "channels", t->c0, t->nc);
    jw_object_end(w);
}

static void write_pair(struct json_writer *w, const char *key, uint32_t a, uint32_t b)
{
    jw_array_begin_line(w, key);
    jw_u64(w, NULL, a);
    jw_u64(w, NULL, b);
    jw_array_end(w);
}

/* Where chip, x and y of the cores lie. */
static void mesh_json(const struct image *im, struct json_writer *w)
{
    const struct img_meta *meta = &im->meta;
    jw_object_begin(w, "mesh");
    write_pair(w, "chips", meta->chips_x, meta->chips_y);
    write_pair(w, "cores", meta->cores_x, meta->cores_y);
    write_pair(w, "router", meta->tile_w ? meta->tile_w : 1, meta->tile_h ? meta->tile_h : 1);
    jw_object_end(w);
}

spk_status mapping_json(const struct mapping *m, const struct image *im, const char *ended,
                        struct strbuf *out)
{
    struct json_writer w;
    jw_init(&w, out, 1);
    jw_object_begin(&w, NULL);
    jw_i64(&w, "schema", 2);
    jw_string(&w, "target", m->net.target->name);
    jw_string(&w, "system", m->system->name);
    jw_string(&w, "attention", attn_of_module(m->net.module));
    jw_string(&w, "cut", map_cut_name(m->cut));
    jw_u64(&w, "seed", m->seed);
    jw_u64(&w, "timesteps", im->meta.timesteps);
    jw_u64(&w, "interval_steps", im->meta.interval);
    jw_u64(&w, "latency_steps", im->meta.latency);
    jw_u64(&w, "ticks_per_step", im->meta.ticks);
    mesh_json(im, &w);
    jw_raw(&w, "provenance", im->strings[im->meta.provenance]);
    jw_f64(&w, "traffic_layer_order", m->layer_order.traffic);
    jw_f64(&w, "traffic_placed", m->placed.traffic);
    placing_json(m, ended, &w);
    if (m->constraints != NULL)
        constraints_json(m->constraints, &w);
    SPK_TRY(partition_json(m, &w));
    jw_array_begin(&w, "layers");
    for (uint32_t i = 0; i < m->net.pops.len; i++)
        write_layer(m, i, &w);
    jw_array_end(&w);
    jw_array_begin(&w, "sums");
    for (size_t i = 0; i < m->net.sums.len; i++) {
        const struct map_sum *s = &m->net.sums.data[i];
        jw_object_begin_line(&w, NULL);
        jw_string(&w, "name", s->name);
        jw_array_begin(&w, "terms");
        for (uint32_t t = 0; t < s->n_terms; t++)
            jw_string(&w, NULL, m->net.pops.data[s->term[t]].name);
        jw_array_end(&w);
        jw_object_end(&w);
    }
    jw_array_end(&w);
    jw_array_begin(&w, "cores");
    for (uint32_t i = 0; i < m->n_cores; i++) {
        jw_object_begin_line(&w, NULL);
        jw_u64(&w, "id", i);
        jw_u64(&w, "chip", m->place[i].chip);
        jw_u64(&w, "x", m->place[i].x);
        jw_u64(&w, "y", m->place[i].y);
        jw_array_begin(&w, "tiles");
        for (uint32_t k = m->core_first[i]; k < m->core_first[i + 1]; k++)
            jw_u64(&w, NULL, m->core_tile[k]);
        jw_array_end(&w);
        jw_object_end(&w);
    }
    jw_array_end(&w);
    jw_array_begin(&w, "tiles");
    for (size_t i = 0; i < m->tiles.len; i++)
        write_tile(m, i, &w);
    jw_array_end(&w);
    jw_object_end(&w);
    return jw_finish(&w);
}

struct layer_sum {
    uint64_t cores, guests, tiles, neurons, in_axons, out_axons, synapse_bits;
};

/* Cores that hold tiles first .. first + n - 1: those whose first tile is one of them, and others.
 */
static void count_cores(const struct mapping *m, uint32_t first, struct layer_sum *s)
{
    const uint64_t end = first + s->tiles;
    for (uint64_t i = first; i < end; i++) {
        const uint32_t at = m->core_first[m->tiles.data[i].core];
        uint32_t k = at;
        while (m->core_tile[k] < first || m->core_tile[k] >= end)
            k++;
        if (m->core_tile[k] == i) /* its only or first one there */
            *(k == at ? &s->cores : &s->guests) += 1;
    }
}

static struct layer_sum sum_layer(const struct mapping *m, const struct map_pop *p)
{
    struct layer_sum s = {0};
    if (!p->has_compartments)
        return s;
    s.tiles = (uint64_t)p->gh * p->gw * p->gc;
    count_cores(m, p->tile_first, &s);
    for (uint64_t i = p->tile_first; i < p->tile_first + s.tiles; i++) {
        s.neurons += m->usage[i].neurons;
        s.in_axons += m->usage[i].in_axons;
        s.out_axons += m->usage[i].out_axons;
        s.synapse_bits += m->usage[i].synapse_bits;
    }
    return s;
}

static void write_usage(struct json_writer *w, const struct layer_sum *s)
{
    jw_u64(w, "cores", s->cores);
    jw_u64(w, "tiles", s->tiles);
    jw_u64(w, "neurons", s->neurons);
    jw_u64(w, "in_axons", s->in_axons);
    jw_u64(w, "out_axons", s->out_axons);
    jw_u64(w, "synapse_bits", s->synapse_bits);
}

static uint64_t neuron_chips(const struct mapping *m)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < m->n_chips; i++)
        n += m->chip[i].neurons;
    return n;
}

spk_status estimate_json(const struct mapping *m, struct json_writer *w)
{
    struct layer_sum total = {0};
    jw_string(w, "system", m->system->name);
    jw_string(w, "attention", attn_of_module(m->net.module));
    jw_u64(w, "timesteps", m->net.timesteps);
    jw_u64(w, "latency_steps", m->net.latency);
    jw_u64(w, "interval_steps", m->net.interval);
    jw_u64(w, "ticks_per_step", m->net.ticks);
    jw_array_begin(w, "layers");
    for (size_t i = 0; i < m->net.pops.len; i++) {
        const struct map_pop *p = &m->net.pops.data[i];
        struct layer_sum s = sum_layer(m, p);
        jw_object_begin_line(w, NULL);
        jw_string(w, "name", p->name);
        jw_string(w, "kind", api_layer_kind(p->kind));
        jw_u64(w, "start_step", p->start);
        if (p->lowering != IR_LOWER_OPEN)
            jw_string(w, "attention", attn_name(p->lowering));
        jw_u64(w, "guest_cores", s.guests);
        write_usage(w, &s);
        jw_object_end(w);
        total.tiles += s.tiles;
        total.neurons += s.neurons;
        total.in_axons += s.in_axons;
        total.out_axons += s.out_axons;
        total.synapse_bits += s.synapse_bits;
    }
    jw_array_end(w);
    total.cores = m->n_cores;
    jw_object_begin(w, "totals");
    jw_u64(w, "chips", neuron_chips(m));
    write_usage(w, &total);
    jw_object_end(w);
    return partition_json(m, w);
}

spk_status estimate_text(const struct mapping *m, struct strbuf *out)
{
    const struct tgt *t = m->net.target;
    const uint64_t cores = m->n_cores;
    strbuf_printf(out, "%-36s %6s %6s %10s %10s %10s %14s\n", "layer", "cores", "guest", "neurons",
                  "in-axons", "out-axons", "synapse bits");
    for (size_t i = 0; i < m->net.pops.len; i++) {
        const struct map_pop *p = &m->net.pops.data[i];
        struct layer_sum s = sum_layer(m, p);
        strbuf_printf(out, "%-36s %6llu %6llu %10llu %10llu %10llu %14llu\n", p->name,
                      (unsigned long long)s.cores, (unsigned long long)s.guests,
                      (unsigned long long)s.neurons, (unsigned long long)s.in_axons,
                      (unsigned long long)s.out_axons, (unsigned long long)s.synapse_bits);
    }
    strbuf_printf(out, "%llu cores on %llu chips (%s of %s), latency %u steps, interval %u steps\n",
                  (unsigned long long)cores, (unsigned long long)neuron_chips(m), m->system->name,
                  t->name, m->net.latency, m->net.interval);
    return partition_text(m, out);
}
