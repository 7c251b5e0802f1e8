/* Pruning: a shape is removed that breaks a limit even with the best of its neighbours' shapes, and
 * one that has no partner across some edge; until nothing changes or ROUNDS are over (a shape that
 * stays too long costs time only). What is left is mostly legal in combination, so that the beam
 * rarely meets a dead end. */
#include <string.h>

#include "passes/map/search.h"

#define ROUNDS 6

static bool lives(const struct search *s, uint32_t pop, uint32_t shape)
{
    return (s->alive[pop] >> shape & 1u) != 0;
}

static uint64_t edge_window(const struct search *s, const struct search_edge *e, uint32_t b)
{
    return s->set[e->dst]->window[b * s->set[e->dst]->n_projs + e->k];
}

uint64_t search_least_in(const struct search *s, uint32_t pop, uint32_t b)
{
    uint64_t n = s->set[pop]->fixed[b];
    for (uint32_t i = s->in_first[pop]; i < s->in_first[pop + 1]; i++)
        n += edge_window(s, &s->edges.data[i], b) * s->least_in[i][b];
    return n;
}

uint64_t search_least_out(const struct search *s, uint32_t pop, uint32_t a)
{
    uint64_t n = search_port_axons(s, pop, &s->set[pop]->shape[a]);
    for (uint32_t i = s->out_first[pop]; i < s->out_first[pop + 1]; i++)
        n += s->least_out[s->out[i]][a];
    return n;
}

/* Least in and out of every edge, over the living shapes of the other end. */
static void update_least(struct search *s)
{
    for (size_t i = 0; i < s->edges.len; i++) {
        const struct search_edge *e = &s->edges.data[i];
        const uint32_t n = s->set[e->dst]->n;
        memset(s->least_in[i], 0xff, sizeof s->least_in[i]);
        memset(s->least_out[i], 0xff, sizeof s->least_out[i]);
        for (uint32_t a = 0; a < s->set[e->src]->n; a++) {
            for (uint32_t b = 0; b < n; b++) {
                const struct search_pair *p = &e->pair[a * n + b];
                if (lives(s, e->src, a) && p->in < s->least_in[i][b])
                    s->least_in[i][b] = p->in;
                if (lives(s, e->dst, b) && p->out < s->least_out[i][a])
                    s->least_out[i][a] = p->out;
            }
        }
    }
    for (uint32_t i = 0; i < s->net->pops.len; i++)
        for (uint32_t b = 0; s->set[i] != NULL && b < s->set[i]->n; b++)
            s->least_axons[i][b] = search_least_in(s, i, b);
}

/* Whether shapes a and b at the ends of an edge can both be legal; out and in are their least. */
static bool pair_fits(const struct search *s, uint32_t edge, uint32_t a, uint32_t b, uint64_t out,
                      uint64_t in)
{
    const struct search_edge *e = &s->edges.data[edge];
    const struct search_pair *p = &e->pair[a * s->set[e->dst]->n + b];
    const struct tgt *t = s->net->target;
    return out - s->least_out[edge][a] + p->out <= tgt_limit_value(t, TGT_OUT_AXONS) &&
           in + edge_window(s, e, b) * ((uint64_t)p->in - s->least_in[edge][b]) <=
               tgt_limit_value(t, TGT_IN_AXONS);
}

uint64_t search_partners(const struct search *s, uint32_t edge, uint32_t a)
{
    const struct search_edge *e = &s->edges.data[edge];
    const uint64_t out = search_least_out(s, e->src, a);
    uint64_t partners = 0;
    for (uint32_t b = 0; b < s->set[e->dst]->n; b++)
        if (lives(s, e->dst, b) && pair_fits(s, edge, a, b, out, s->least_axons[e->dst][b]))
            partners |= (uint64_t)1 << b;
    return partners;
}

static bool kill(struct search *s, uint32_t pop, uint32_t shape)
{
    s->alive[pop] &= ~((uint64_t)1 << shape);
    return true;
}

/* One look at a population's shapes against its own limits. */
static bool prune_pop(struct search *s, uint32_t pop)
{
    const struct tgt *t = s->net->target;
    bool changed = false;
    for (uint32_t a = 0; a < s->set[pop]->n; a++)
        if (lives(s, pop, a) && (search_least_in(s, pop, a) > tgt_limit_value(t, TGT_IN_AXONS) ||
                                 search_least_out(s, pop, a) > tgt_limit_value(t, TGT_OUT_AXONS)))
            changed = kill(s, pop, a);
    return changed;
}

static bool prune_edge(struct search *s, uint32_t edge)
{
    const struct search_edge *e = &s->edges.data[edge];
    const uint32_t n_a = s->set[e->src]->n, n_b = s->set[e->dst]->n;
    uint64_t met = 0;
    bool changed = false;
    for (uint32_t a = 0; a < n_a; a++) {
        uint64_t partners = lives(s, e->src, a) ? search_partners(s, edge, a) : 0;
        met |= partners;
        if (lives(s, e->src, a) && partners == 0)
            changed = kill(s, e->src, a);
    }
    for (uint32_t b = 0; b < n_b; b++)
        if (lives(s, e->dst, b) && (met >> b & 1u) == 0)
            changed = kill(s, e->dst, b);
    return changed;
}

/* Names the limit that the population's most modest shape breaks, given its neighbours. */
static spk_status report_dead(struct search *s, uint32_t pop, uint64_t before)
{
    const struct map_net *net = s->net;
    const struct map_pop *p = &net->pops.data[pop];
    const uint64_t in_have = tgt_limit_value(net->target, TGT_IN_AXONS);
    const uint64_t out_have = tgt_limit_value(net->target, TGT_OUT_AXONS);
    uint64_t in = UINT64_MAX, out = UINT64_MAX;
    s->alive[pop] = before;
    update_least(s);
    for (uint32_t a = 0; a < s->set[pop]->n; a++) {
        const uint64_t i = search_least_in(s, pop, a), o = search_least_out(s, pop, a);
        in = i < in ? i : in;
        out = o < out ? o : out;
    }
    const bool hub = in <= in_have;
    spk_status status =
        hub && (out <= out_have || out >= UINT32_MAX) /* no shape of a neighbour goes with any */
            ? diag_nofit(s->diags, p->span, "E0664",
                         "layer '%s' does not fit '%s': tiles small enough for its %llu in-axons "
                         "per core ask too many out-axon slots of its sources, or its consumers of "
                         "it",
                         p->name, net->target->name, (unsigned long long)in_have)
            : diag_nofit(s->diags, p->span, "E0663",
                         "layer '%s' does not fit '%s': between the tiles of "
                         "its neighbours its smallest tile needs %llu %s, a core has %llu",
                         p->name, net->target->name, (unsigned long long)(hub ? out : in),
                         hub ? "out-axon slots" : "in-axons",
                         (unsigned long long)(hub ? out_have : in_have));
    diag_help_set(s->diags,
                  "the smallest change that fits: fewer channels in its %s (a smaller dim or "
                  "mlp_ratio), or a target with more axons",
                  hub ? "consumers" : "sources");
    return status;
}

spk_status search_prune(struct search *s)
{
    const uint32_t n = (uint32_t)s->net->pops.len;
    bool changed = true;
    for (int round = 0; round < ROUNDS && changed; round++) {
        changed = false;
        update_least(s);
        for (uint32_t i = 0; i < n; i++) {
            const uint64_t before = s->alive[i];
            if (s->set[i] == NULL)
                continue;
            changed = prune_pop(s, i) || changed;
            if (s->alive[i] == 0)
                return report_dead(s, i, before);
        }
        update_least(s);
        for (uint32_t i = 0; i < s->edges.len; i++) {
            const struct search_edge *e = &s->edges.data[i];
            const uint64_t src = s->alive[e->src], dst = s->alive[e->dst];
            changed = prune_edge(s, i) || changed;
            if (s->alive[e->src] == 0)
                return report_dead(s, e->src, src);
            if (s->alive[e->dst] == 0)
                return report_dead(s, e->dst, dst);
        }
    }
    update_least(s);
    return SPK_OK;
}
