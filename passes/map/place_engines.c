/* Places of attention engines (docs/mapping.md, section 4).
 *
 * Engine cores are a class of their own and few, so they are placed when all other tiles have their
 * places: the cost of a task at a core is the sum over the tiles it hears or feeds of expected
 * spikes times distance, as in place.c. Tasks take the cheapest free core in order, then moves and
 * exchanges that lower the sum are made until there is none. Deterministic. Cost: tasks x engine
 * cores x tiles that talk to a task, and tasks x engine cores per round. */
#include <string.h>

#include "passes/map/map.h"
#include "support/alloc.h"

#define CHIP_HOPS 8 /* as in place.c */
#define ROUNDS 32

struct engines {
    struct mapping *m;
    uint32_t first, n, n_slots; /* tiles first .. first + n - 1 */
    struct map_place *slot;
    double *cost;      /* [n][n_slots] */
    uint32_t *slot_of; /* [n] */
    uint32_t *task_at; /* [n_slots], IR_NONE: free */
    double *weight;    /* [tiles] of the task at hand */
    uint32_t task;
    const struct map_axon *axon;
};

/* Chips in the order in which they are filled: every other row of the system backwards. */
static spk_status find_slots(struct engines *e, uint32_t chips)
{
    const struct tgt *t = e->m->net.target;
    const uint32_t cx = e->m->system->chips_x;
    SPK_TRY(spk_alloc_array((size_t)chips * t->engine.per_chip, sizeof *e->slot, &e->slot));
    for (uint32_t i = 0; i < chips; i++) {
        const uint32_t row = i / cx, column = i % cx;
        const uint32_t chip = row * cx + (row % 2 ? cx - 1 - column : column);
        for (uint32_t y = 0; y < t->cores_y; y++)
            for (uint32_t x = 0; x < t->cores_x; x++)
                if (tgt_is_engine(t, x, y))
                    e->slot[e->n_slots++] = (struct map_place){chip, x, y};
    }
    return SPK_OK;
}

static double axis(uint32_t a, uint32_t b, uint32_t chip_a, uint32_t chip_b, uint32_t routers)
{
    const uint32_t x = chip_a * routers + a, y = chip_b * routers + b;
    const uint32_t chips = chip_a > chip_b ? chip_a - chip_b : chip_b - chip_a;
    return (double)(x > y ? x - y : y - x) + CHIP_HOPS * (double)chips;
}

static double distance(const struct mapping *m, const struct map_place *a,
                       const struct map_place *b)
{
    const struct tgt *t = m->net.target;
    const uint32_t cx = m->system->chips_x;
    return axis(a->x / t->tile_w, b->x / t->tile_w, a->chip % cx, b->chip % cx,
                t->cores_x / t->tile_w) +
           axis(a->y / t->tile_h, b->y / t->tile_h, a->chip / cx, b->chip / cx,
                t->cores_y / t->tile_h);
}

/* What a source tile sends to the task at hand. */
static spk_status hear(void *ctx, uint32_t tile, uint32_t channel, uint32_t n)
{
    struct engines *e = ctx;
    const struct map_net *net = &e->m->net;
    const uint32_t pop = net->projs.data[e->axon->proj].source[e->axon->source].pop;
    if (tile != IR_NONE)
        e->weight[tile] += map_pop_sends(&net->pops.data[pop], channel, n);
    return SPK_OK;
}

static spk_status hear_axon(void *ctx, const struct map_tile *tile, const struct map_axon *a)
{
    struct engines *e = ctx;
    (void)tile;
    e->axon = a;
    return map_axon_senders(&e->m->net, a, hear, e);
}

struct feeding {
    struct engines *e;
    uint32_t reader; /* tile */
    const struct map_axon *axon;
};

/* What an engine's task sends to a reading tile, added to the task's costs. */
static spk_status feed(void *ctx, uint32_t tile, uint32_t channel, uint32_t n)
{
    const struct feeding *f = ctx;
    struct engines *e = f->e;
    const struct map_net *net = &e->m->net;
    const uint32_t pop = net->projs.data[f->axon->proj].source[f->axon->source].pop;
    if (tile == IR_NONE || tile < e->first)
        return SPK_OK;
    const double w = map_pop_sends(&net->pops.data[pop], channel, n);
    for (uint32_t s = 0; s < e->n_slots; s++)
        e->cost[(size_t)(tile - e->first) * e->n_slots + s] +=
            w * distance(e->m, &e->slot[s], &e->m->place[e->m->tiles.data[f->reader].core]);
    return SPK_OK;
}

static spk_status feed_axon(void *ctx, const struct map_tile *tile, const struct map_axon *a)
{
    struct feeding *f = ctx;
    const struct map_net *net = &f->e->m->net;
    (void)tile;
    if (net->pops.data[net->projs.data[a->proj].source[a->source].pop].engine == 0)
        return SPK_OK;
    f->axon = a;
    return map_axon_senders(net, a, feed, f);
}

static bool reads_engines(const struct map_net *net, const struct map_pop *p)
{
    for (uint32_t i = 0; i < p->n_projs; i++) {
        const struct map_proj *j = &net->projs.data[p->proj_first + i];
        for (uint32_t s = 0; s < j->n_sources; s++)
            if (net->pops.data[j->source[s].pop].engine > 0)
                return true;
    }
    return false;
}

static spk_status price(struct engines *e)
{
    struct mapping *m = e->m;
    SPK_TRY(spk_alloc_array((size_t)e->n * e->n_slots, sizeof *e->cost, &e->cost));
    SPK_TRY(spk_alloc_array(m->tiles.len, sizeof *e->weight, &e->weight));
    for (uint32_t i = 0; i < e->n; i++) {
        memset(e->weight, 0, m->tiles.len * sizeof *e->weight);
        SPK_TRY(map_tile_axons(&m->net, &m->tiles.data[e->first + i], hear_axon, e));
        for (uint32_t t = 0; t < e->first; t++)
            for (uint32_t s = 0; e->weight[t] > 0 && s < e->n_slots; s++)
                e->cost[(size_t)i * e->n_slots + s] +=
                    e->weight[t] * distance(m, &e->slot[s], &m->place[m->tiles.data[t].core]);
    }
    for (uint32_t t = 0; t < e->first; t++) {
        struct feeding f = {e, t, NULL};
        if (reads_engines(&m->net, &m->net.pops.data[m->tiles.data[t].pop]))
            SPK_TRY(map_tile_axons(&m->net, &m->tiles.data[t], feed_axon, &f));
    }
    return SPK_OK;
}

static double cost_at(const struct engines *e, uint32_t task, uint32_t slot)
{
    return task == IR_NONE ? 0 : e->cost[(size_t)task * e->n_slots + slot];
}

static void put(struct engines *e, uint32_t task, uint32_t slot)
{
    e->task_at[slot] = task;
    if (task != IR_NONE)
        e->slot_of[task] = slot;
}

static void assign(struct engines *e)
{
    bool better = true;
    for (uint32_t i = 0; i < e->n; i++) {
        uint32_t best = IR_NONE;
        for (uint32_t s = 0; s < e->n_slots; s++)
            if (e->task_at[s] == IR_NONE &&
                (best == IR_NONE || cost_at(e, i, s) < cost_at(e, i, best)))
                best = s;
        put(e, i, best);
    }
    for (int round = 0; better && round < ROUNDS; round++) {
        better = false;
        for (uint32_t i = 0; i < e->n; i++) {
            for (uint32_t s = 0; s < e->n_slots; s++) {
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

spk_status map_place_engines(struct mapping *m, uint32_t chips)
{
    struct engines e = {.m = m, .first = (uint32_t)m->tiles.len - m->n_engines, .n = m->n_engines};
    if (e.n == 0)
        return SPK_OK;
    spk_status status = find_slots(&e, chips);
    if (status == SPK_OK)
        status = price(&e);
    if (status == SPK_OK)
        status = spk_alloc_array_raw(e.n, sizeof *e.slot_of, &e.slot_of);
    if (status == SPK_OK)
        status = spk_alloc_array_raw(e.n_slots, sizeof *e.task_at, &e.task_at);
    if (status == SPK_OK) {
        memset(e.task_at, 0xff, e.n_slots * sizeof *e.task_at);
        assign(&e);
        for (uint32_t i = 0; i < e.n; i++)
            m->place[m->tiles.data[e.first + i].core] = e.slot[e.slot_of[i]];
    }
    spk_free(e.slot);
    spk_free(e.cost);
    spk_free(e.weight);
    spk_free(e.slot_of);
    spk_free(e.task_at);
    return status;
}
