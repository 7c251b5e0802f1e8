/* Places of attention engines (docs/mapping.md, section 4).
 *
 * Engine cores are a class of their own and few, so they are placed when all other cores have their
 * places: the cost of a task at an engine is the sum over the cores that it hears or feeds of
 * expected spikes times distance. Tasks take the cheapest free engine in order, then moves and
 * exchanges that lower the sum are made until there is none. Deterministic. Cost: engines x flows
 * that touch a task, and tasks x engines per round. */
#include <string.h>

#include "passes/map/mesh.h"
#include "support/alloc.h"

#define ROUNDS 32

struct engines {
    const struct map_mesh *mesh;
    uint32_t first, n; /* cores first .. first + n - 1 */
    double *cost;      /* [n][engine cells] */
    uint32_t *slot_of; /* [n] */
    uint32_t *task_at; /* [engine cells], IR_NONE: free */
};

static void add_flow(struct engines *e, uint32_t core, uint32_t other, double weight)
{
    const uint32_t slots = e->mesh->n_engines;
    double *cost = e->cost + (size_t)(core - e->first) * slots;
    for (uint32_t s = 0; s < slots; s++)
        cost[s] += weight * map_mesh_distance(&e->mesh->grid, e->mesh->engine[s], other);
}

/* Tasks are not priced against each other: none hears another. */
static void price(struct engines *e, const struct ir_cluster_graph *f, const uint32_t *cell)
{
    for (uint32_t i = 0; i < f->n_edges; i++) {
        const uint32_t source = f->source[i];
        for (uint64_t k = f->first[i]; k < f->first[i + 1]; k++) {
            const uint32_t dest = f->dest[k];
            if (source >= e->first && dest < e->first)
                add_flow(e, source, cell[dest], f->weight[i]);
            else if (source < e->first && dest >= e->first)
                add_flow(e, dest, cell[source], f->weight[i]);
        }
    }
}

static double cost_at(const struct engines *e, uint32_t task, uint32_t slot)
{
    return task == IR_NONE ? 0 : e->cost[(size_t)task * e->mesh->n_engines + slot];
}

static void put(struct engines *e, uint32_t task, uint32_t slot)
{
    e->task_at[slot] = task;
    if (task != IR_NONE)
        e->slot_of[task] = slot;
}

static void assign(struct engines *e)
{
    const uint32_t slots = e->mesh->n_engines;
    bool better = true;
    for (uint32_t i = 0; i < e->n; i++) {
        uint32_t best = IR_NONE;
        for (uint32_t s = 0; s < slots; s++)
            if (e->task_at[s] == IR_NONE &&
                (best == IR_NONE || cost_at(e, i, s) < cost_at(e, i, best)))
                best = s;
        put(e, i, best);
    }
    for (int round = 0; better && round < ROUNDS; round++) {
        better = false;
        for (uint32_t i = 0; i < e->n; i++) {
            for (uint32_t s = 0; s < slots; s++) {
                const uint32_t from = e->slot_of[i], other = e->task_at[s];
                const double now = cost_at(e, i, from) + cost_at(e, other, s);
                const double then = cost_at(e, i, s) + cost_at(e, other, from);
                if (s == from || then >= now * (1 - 1e-12))
                    continue;
                put(e, i, s);
                put(e, other, from);
                better = true;
            }
        }
    }
}

spk_status map_place_engines(const struct mapping *m, const struct map_mesh *mesh,
                             const struct ir_cluster_graph *flows, uint32_t *cell)
{
    struct engines e = {.mesh = mesh, .first = m->n_cores - m->n_engines, .n = m->n_engines};
    if (e.n == 0)
        return SPK_OK;
    spk_status status = spk_alloc_array((size_t)e.n * mesh->n_engines, sizeof *e.cost, &e.cost);
    if (status == SPK_OK)
        status = spk_alloc_array_raw(e.n, sizeof *e.slot_of, &e.slot_of);
    if (status == SPK_OK)
        status = spk_alloc_array_raw(mesh->n_engines, sizeof *e.task_at, &e.task_at);
    if (status == SPK_OK) {
        memset(e.task_at, 0xff, mesh->n_engines * sizeof *e.task_at);
        price(&e, flows, cell);
        assign(&e);
        for (uint32_t i = 0; i < e.n; i++)
            cell[e.first + i] = mesh->engine[e.slot_of[i]];
    }
    spk_free(e.cost);
    spk_free(e.slot_of);
    spk_free(e.task_at);
    return status;
}
