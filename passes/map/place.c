/* Placement: a system and a place for every core (docs/mapping.md, section 4).
 *
 * The grid of the chips in use and the graph of expected messages go to the placement engine
 * (passes/place), which knows nothing of models; whether it minimises single routes or trees is
 * what the target's network does. Attention engines are a class of their own and placed afterwards.
 * Layer order, the start of comparison: cores by id along the cells in the order in which chips are
 * filled. */
#include <math.h>
#include <string.h>

#include "passes/map/mesh.h"
#include "support/alloc.h"

struct placing {
    struct mapping *m;
    const struct map_options *options;
    struct diag_list *diags;
    struct map_mesh mesh;
    struct ir_cluster_graph flows;
    struct place_regions pins;
    uint32_t *cell; /* [cores] */
};

static enum place_objective objective_of(const struct mapping *m)
{
    return m->net.target->routing == TGT_MULTICAST ? PLACE_MULTICAST : PLACE_UNICAST;
}

/* ---- figures ---- */

static uint32_t distance(const uint32_t a, const uint32_t b)
{
    return a > b ? a - b : b - a;
}

static void count_messages(const struct placing *p, struct map_placing *out)
{
    const struct ir_cluster_graph *f = &p->flows;
    const struct place_grid *g = &p->mesh.grid;
    for (uint32_t e = 0; e < f->n_edges; e++) {
        const uint32_t from = p->cell[f->source[e]];
        const uint32_t sx = from % g->width, sy = from / g->width;
        for (uint64_t k = f->first[e]; k < f->first[e + 1]; k++) {
            const uint32_t to = p->cell[f->dest[k]], x = to % g->width, y = to / g->width;
            const uint32_t hops =
                distance(sx / g->tile_w, x / g->tile_w) + distance(sy / g->tile_h, y / g->tile_h);
            if (from == to)
                continue;
            out->messages += f->weight[e];
            if (sx / g->chip_w != x / g->chip_w || sy / g->chip_h != y / g->chip_h)
                out->over_chips += f->weight[e];
            if (hops > out->max_hop && f->weight[e] > 0)
                out->max_hop = hops;
        }
    }
}

static spk_status measure(const struct placing *p, struct map_placing *out)
{
    const struct place_grid hops = map_mesh_in_hops(&p->mesh);
    const enum place_objective objective = objective_of(p->m);
    memset(out, 0, sizeof *out);
    count_messages(p, out);
    SPK_TRY(place_cost(&p->flows, &hops, objective, p->cell, &out->traffic));
    return place_cost(&p->flows, &p->mesh.grid, objective, p->cell, &out->cost);
}

/* ---- places ---- */

static void place_in_layer_order(struct placing *p)
{
    const uint32_t n = p->m->n_cores - p->m->n_engines;
    for (uint32_t i = 0; i < p->m->n_cores; i++)
        p->cell[i] = i < n ? p->mesh.slot[i] : p->mesh.engine[i - n];
}

/* The flows between neuron cores alone. */
static spk_status without_engines(const struct placing *p, struct ir_cluster_graph *out)
{
    const struct ir_cluster_graph *f = &p->flows;
    const uint32_t n = f->n_clusters - p->m->n_engines;
    uint64_t pins = 0;
    out->n_clusters = n;
    SPK_TRY(spk_alloc_array_raw(f->n_edges, sizeof *out->source, &out->source));
    SPK_TRY(spk_alloc_array_raw(f->n_edges, sizeof *out->weight, &out->weight));
    SPK_TRY(spk_alloc_array((size_t)f->n_edges + 1, sizeof *out->first, &out->first));
    SPK_TRY(spk_alloc_array_raw(f->first[f->n_edges], sizeof *out->dest, &out->dest));
    for (uint32_t e = 0; e < f->n_edges; e++) {
        if (f->source[e] >= n)
            continue;
        for (uint64_t k = f->first[e]; k < f->first[e + 1]; k++)
            if (f->dest[k] < n)
                out->dest[pins++] = f->dest[k];
        out->source[out->n_edges] = f->source[e];
        out->weight[out->n_edges++] = f->weight[e];
        out->first[out->n_edges] = pins;
    }
    return SPK_OK;
}

/* Large models get less search for each core, so that placing takes seconds: a fifth at 30,000. */
#define FULL_EFFORT_CORES 1000.0

static double effort_for(uint32_t cores)
{
    return cores > FULL_EFFORT_CORES ? sqrt(FULL_EFFORT_CORES / cores) : 1;
}

/* A second try in the cells that are filled first, SHARE times as many as there are cores: with
 * much room a search from all over the chips does not find together. The cheaper placement counts.
 */
#define SHARE 1.5

static spk_status confine(const struct placing *p, const struct ir_cluster_graph *flows,
                          const struct place_options *o)
{
    const uint32_t n = flows->n_clusters, n_slots = (uint32_t)ceil(SHARE * n);
    const size_t cells = (size_t)p->mesh.grid.width * p->mesh.grid.height;
    struct place_grid grid = p->mesh.grid;
    double whole = 0, confined = 0;
    uint8_t *blocked = NULL;
    uint32_t *cell = NULL;
    if (n_slots >= p->mesh.n_slots || n < 2 || o->regions != NULL)
        return SPK_OK;
    spk_status status = spk_alloc_array_raw(cells, 1, &blocked);
    if (status == SPK_OK)
        status = spk_alloc_array_raw(n, sizeof *cell, &cell);
    if (status == SPK_OK) {
        memset(blocked, 1, cells);
        for (uint32_t i = 0; i < n_slots; i++)
            blocked[p->mesh.slot[i]] = 0;
        grid.blocked = blocked;
        status = place_run(flows, &grid, o, p->diags, cell);
    }
    if (status == SPK_OK)
        status = place_cost(flows, &grid, o->objective, p->cell, &whole);
    if (status == SPK_OK)
        status = place_cost(flows, &grid, o->objective, cell, &confined);
    if (status == SPK_OK && confined < whole)
        memcpy(p->cell, cell, n * sizeof *cell);
    spk_free(blocked);
    spk_free(cell);
    return status;
}

static spk_status place_neuron_cores(struct placing *p)
{
    const struct place_options o = {.objective = objective_of(p->m),
                                    .engine = p->options->placer,
                                    .seed = p->options->seed,
                                    .effort = effort_for(p->m->n_cores - p->m->n_engines),
                                    .regions = p->pins.n > 0 ? &p->pins : NULL,
                                    .pool = p->options->pool,
                                    .progress = p->options->progress,
                                    .out_ended_early = p->options->out_ended_early};
    struct ir_cluster_graph part = {0};
    const struct ir_cluster_graph *flows = p->m->n_engines > 0 ? &part : &p->flows;
    spk_status status = p->m->n_engines > 0 ? without_engines(p, &part) : SPK_OK;
    if (status == SPK_OK)
        status = place_run(flows, &p->mesh.grid, &o, p->diags, p->cell);
    if (status == SPK_OK && o.engine == PLACE_SPIKEC &&
        !(o.out_ended_early != NULL && *o.out_ended_early))
        status = confine(p, flows, &o);
    ir_cluster_graph_fini(&part);
    return status;
}

static spk_status place_all(struct placing *p)
{
    struct mapping *m = p->m;
    SPK_TRY(map_mesh_build(m, &p->mesh));
    SPK_TRY(map_flows_build(m, objective_of(m), &p->flows));
    SPK_TRY(spk_alloc_array_raw(m->n_cores, sizeof *p->cell, &p->cell));
    SPK_TRY(map_pin_cores(m, &p->mesh, p->diags, &p->pins));
    place_in_layer_order(p);
    SPK_TRY(measure(p, &m->layer_order));
    SPK_TRY(place_neuron_cores(p));
    SPK_TRY(map_place_engines(m, &p->mesh, &p->flows, p->cell));
    SPK_TRY(measure(p, &m->placed));
    SPK_TRY(spk_alloc_array_raw(m->n_cores, sizeof *m->place, &m->place));
    for (uint32_t i = 0; i < m->n_cores; i++)
        m->place[i] = map_mesh_place(m, &p->mesh, p->cell[i]);
    return SPK_OK;
}

/* Whether there are places for what is pinned; no core is placed. */
static spk_status only_pins(struct placing *p)
{
    if (p->m->constraints == NULL || p->m->constraints->n_pins == 0)
        return SPK_OK;
    SPK_TRY(map_mesh_build(p->m, &p->mesh));
    return map_pin_cores(p->m, &p->mesh, p->diags, &p->pins);
}

spk_status map_place_cores(struct mapping *m, const struct map_options *options,
                           struct diag_list *diags)
{
    struct placing p = {.m = m, .options = options, .diags = diags};
    SPK_TRY(map_choose_system(m, options->system, diags));
    m->placer = options->placer;
    spk_status status = options->no_places ? only_pins(&p) : place_all(&p);
    map_mesh_fini(&p.mesh);
    map_pins_fini(&p.pins);
    ir_cluster_graph_fini(&p.flows);
    spk_free(p.cell);
    return status;
}
