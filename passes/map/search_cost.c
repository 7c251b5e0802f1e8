/* What an assignment of shapes costs, by objective (docs/mapping.md, section 3).
 *
 * Expected messages follow from the shape of the consumer: every spike of a source neuron goes to
 * each tile that reads it. How far is not known before placement: two populations that fill a and b
 * cores are taken to lie as a random pair of cores in a square of a + b cores does, 2/3 of its side
 * apart. */
#include <math.h>

#include "passes/map/search.h"

/* Energy of a message over `hops` links, where the target has prices; else its hops. */
static double message_cost(const struct search *s, double hops)
{
    const struct tgt_const *e = s->net->target->energy_pj;
    double pj = 0;
    if (s->objective != MAP_ENERGY)
        return hops;
    pj += hops * 0.5 * (e[TGT_E_HOP_X].value + e[TGT_E_HOP_Y].value);
    if (e[TGT_E_MESSAGE_IN].present)
        pj += e[TGT_E_MESSAGE_IN].value;
    if (e[TGT_E_MESSAGE_OUT].present)
        pj += e[TGT_E_MESSAGE_OUT].value;
    return pj;
}

/* Work of the fullest core per step: updates and expected synaptic events, in the target's times;
 * each counts one where there are none. Events per neuron do not depend on the shape. */
static double core_work(const struct search *s, uint32_t pop, const struct map_shape *shape)
{
    const struct map_net *net = s->net;
    const struct map_pop *p = &net->pops.data[pop];
    const struct tgt_const *t = net->target->time_ns;
    const double update = t[TGT_T_NEURON_ACTIVE].present ? t[TGT_T_NEURON_ACTIVE].value : 1;
    const double event = t[TGT_T_SYNAPTIC_OP].present ? t[TGT_T_SYNAPTIC_OP].value : 1;
    double events = 0; /* per neuron */
    for (uint32_t k = 0; k < p->n_projs; k++) {
        const struct map_proj *j = &net->projs.data[p->proj_first + k];
        for (uint32_t a = 0; a < j->n_sources; a++) {
            const struct map_pop *src = &net->pops.data[j->source[a].pop];
            const double taps = j->pos == MAP_POS_WINDOW   ? (double)j->kernel * j->kernel_w
                                : j->pos == MAP_POS_GATHER ? (double)j->view_h * j->view_w
                                                           : 1;
            events += src->rate * taps * (j->chan == MAP_CHAN_FULL ? src->channels : 1);
        }
    }
    return (double)shape_positions(shape) * shape->tc * (update + events * event);
}

static struct search_cost cost(const struct search *s, uint32_t pop, uint32_t b,
                               const uint8_t *choice)
{
    const struct map_net *net = s->net;
    const struct map_pop *p = &net->pops.data[pop];
    const struct search_set *set = s->set[pop];
    const double tiles = (double)shape_tiles(&set->shape[b]);
    const double per_router = (double)net->target->tile_w * net->target->tile_h;
    double messages = 0, traffic = 0;
    for (uint32_t k = 0; k < p->n_projs; k++) {
        const struct map_proj *j = &net->projs.data[p->proj_first + k];
        for (uint32_t a = 0; a < j->n_sources; a++) {
            const uint32_t src = j->source[a].pop;
            const double n = net->pops.data[src].rate * set->reach[b * p->n_projs + k];
            double near = 1;
            if (!net->pops.data[src].has_compartments)
                continue;
            if (choice != NULL)
                near = (double)shape_tiles(&s->set[src]->shape[choice[src]]);
            messages += n;
            traffic += n * message_cost(s, 2.0 / 3.0 * sqrt((near + tiles) / per_router));
        }
    }
    switch (s->objective) {
    case MAP_CORES:
        break;
    case MAP_TRAFFIC:
    case MAP_ENERGY:
        return (struct search_cost){traffic, tiles};
    case MAP_LATENCY:
        return (struct search_cost){core_work(s, pop, &set->shape[b]), tiles};
    }
    return (struct search_cost){tiles, messages};
}

struct search_cost search_cost_of(const struct search *s, uint32_t pop, uint32_t b,
                                  const uint8_t *choice)
{
    return cost(s, pop, b, choice);
}

struct search_cost search_cost_least(const struct search *s, uint32_t pop, uint32_t b)
{
    return cost(s, pop, b, NULL);
}
