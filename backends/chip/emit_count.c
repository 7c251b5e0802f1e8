/* Counts the axons of an image before any is emitted.
 *
 * In- and out-axons are most of an image (millions, where there are thousands of everything else),
 * so their tables get exactly their size, and an out-axon is written where it belongs: behind the
 * others of its source core. The count walks the same closed forms as the emission. */
#include "backends/chip/emit_internal.h"
#include "support/alloc.h"

struct counting {
    struct emit *e;
    const struct map_tile *tile;
    uint64_t in_axons, injections;
};

static spk_status count_sender(void *ctx, uint32_t src, uint32_t channel, uint32_t n)
{
    struct counting *c = ctx;
    (void)channel;
    const uint64_t axons = c->e->target->axon_population ? 1 : n;
    if (src == IR_NONE)
        c->injections += axons;
    else
        c->e->out_first[c->e->m->tiles.data[src].core + 1] += axons;
    return SPK_OK;
}

static spk_status count_axon(void *ctx, const struct map_tile *tile, const struct map_axon *a)
{
    struct counting *c = ctx;
    (void)tile;
    c->in_axons += c->e->target->axon_population ? 1 : a->n_atoms;
    return map_axon_senders(c->e->net, a, count_sender, c);
}

/* Ports of a population: one out-axon per position of every tile, or per neuron. */
static void count_ports(struct emit *e, uint32_t pop)
{
    const struct map_pop *p = &e->net->pops.data[pop];
    for (uint32_t i = 0; i < p->gh * p->gw * p->gc && p->has_compartments; i++) {
        const struct map_tile *t = &e->m->tiles.data[p->tile_first + i];
        e->out_first[t->core + 1] +=
            (uint64_t)t->ny * t->nx * (e->target->axon_population ? 1 : t->nc);
    }
}

static spk_status count_all(struct emit *e, struct counting *c)
{
    for (uint32_t i = 0; i < e->m->tiles.len; i++) {
        const struct map_tile *t = &e->m->tiles.data[i];
        const struct map_pop *p = &e->net->pops.data[t->pop];
        const uint32_t enables = p->enable ? p->coarse ? 2 : 1 : 0;
        SPK_TRY(map_tile_axons(e->net, t, count_axon, c));
        if (t->comps > e->longest_run)
            e->longest_run = t->comps;
        c->in_axons += enables;
        c->injections += enables;
    }
    for (uint32_t i = 0; i < e->net->pops.len; i++) {
        const struct map_pop *p = &e->net->pops.data[i];
        if (p->readout)
            count_ports(e, i);
        if (p->kind == IMG_LAYER_EMBEDDED) {
            count_ports(e, p->q);
            count_ports(e, p->k);
            count_ports(e, p->v);
        }
    }
    return SPK_OK;
}

/* Room for exactly n items in an empty vector. */
#define ROOM(v, n)                                                        \
    do {                                                                  \
        SPK_TRY(spk_alloc_array_raw((n), sizeof *(v)->data, &(v)->data)); \
        (v)->cap = (n);                                                   \
    } while (0)

spk_status emit_reserve(struct emit *e)
{
    const uint32_t cores = e->m->n_cores;
    struct counting c = {.e = e};
    SPK_TRY(spk_alloc_array((size_t)cores + 1, sizeof *e->out_first, &e->out_first));
    SPK_TRY(spk_alloc_array((size_t)cores + 1, sizeof *e->out_next, &e->out_next));
    SPK_TRY(count_all(e, &c));
    for (uint32_t i = 0; i < cores; i++)
        e->out_first[i + 1] += e->out_first[i];
    for (uint32_t i = 0; i < cores; i++)
        e->out_next[i] = e->out_first[i];
    if (c.in_axons >= IMG_NONE || e->out_first[cores] >= IMG_NONE || c.injections >= IMG_NONE)
        return diag_nofit(
            e->diags, spk_span_none, "E0707",
            "the image would have %llu in-axons and %llu out-axons; tables hold fewer "
            "than 2^32 rows",
            (unsigned long long)c.in_axons, (unsigned long long)e->out_first[cores]);
    ROOM(&e->in_axons, (size_t)c.in_axons);
    ROOM(&e->out_axons, (size_t)e->out_first[cores]);
    ROOM(&e->injections, (size_t)c.injections);
    e->out_axons.len = e->out_axons.cap;
    return SPK_OK;
}
