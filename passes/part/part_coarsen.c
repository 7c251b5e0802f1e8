/* Groups of neurons that a search may move as one.
 *
 * Twins. In layered networks all channels of a position read the same axons and are read by the
 * same neurons; such neurons differ in nothing that a partition can see. They are found by hashes
 * of the set of incoming edges and of the destinations of outgoing ones, in one sort. (Two sets
 * with one hash would only make a poorer group.)
 *
 * Pairs. Nodes in random order take the neighbour with the largest sum over shared axons of
 * weight / readers, divided by the product of the sizes (heavy-edge matching on hypergraphs:
 * Karypis et al. 1999, with samples of long lists); sharing an axon counts whether both read it or
 * one sends it. A pair must stay small in neurons and in axons, else the parts could not be filled.
 * Cost: O(s + n log n) for twins, O(n) for pairs with samples of 24 x 24. */
#include <stdlib.h>
#include <string.h>

#include "passes/part/part_internal.h"
#include "support/alloc.h"

#define SAMPLE 24u  /* edges of a node, destinations of an edge that are looked at */
#define ATTEMPTS 4u /* best neighbours tried when pairs would be too large */
#define NOBODY UINT32_MAX

static uint64_t mix(uint64_t z)
{
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

struct likeness {
    uint64_t in, out;
    uint32_t part, v;
};

static int by_likeness(const void *pa, const void *pb)
{
    const struct likeness *a = pa, *b = pb;
    if (a->part != b->part)
        return a->part < b->part ? -1 : 1;
    if (a->in != b->in)
        return a->in < b->in ? -1 : 1;
    if (a->out != b->out)
        return a->out < b->out ? -1 : 1;
    return a->v < b->v ? -1 : a->v > b->v;
}

static struct likeness likeness_of(const struct part_level *l, const uint64_t *reach, uint32_t v,
                                   const uint32_t *part)
{
    struct likeness a = {.part = part != NULL ? part[v] : 0, .v = v};
    for (uint64_t k = l->in_first[v]; k < l->in_first[v + 1]; k++)
        a.in += mix(l->in[k]);
    for (uint64_t k = l->out_first[v]; k < l->out_first[v + 1]; k++)
        a.out += mix(reach[l->out[k]]);
    return a;
}

/* leader[v] is the first node of v's group: numbers groups in that order. */
static uint32_t number_groups(const uint32_t *leader, uint32_t n, uint32_t *up)
{
    uint32_t groups = 0;
    for (uint32_t v = 0; v < n; v++)
        up[v] = leader[v] == v ? groups++ : up[leader[v]];
    return groups;
}

spk_status part_group_twins(const struct part_level *l, const uint32_t *part, uint64_t most,
                            uint32_t *up, uint32_t *out_n)
{
    struct likeness *like = NULL;
    uint64_t *reach = NULL;
    uint32_t *leader = NULL;
    spk_status status = spk_alloc_array_raw(l->n, sizeof *like, &like);
    if (status == SPK_OK)
        status = spk_alloc_array(l->e, sizeof *reach, &reach);
    if (status == SPK_OK)
        status = spk_alloc_array_raw(l->n, sizeof *leader, &leader);
    if (status == SPK_OK) {
        for (uint32_t e = 0; e < l->e; e++)
            for (uint64_t k = l->first[e]; k < l->first[e + 1]; k++)
                reach[e] += mix(l->dest[k]);
        for (uint32_t v = 0; v < l->n; v++)
            like[v] = likeness_of(l, reach, v, part);
        qsort(like, l->n, sizeof *like, by_likeness);
        uint64_t size = 0;
        for (uint32_t i = 0; i < l->n; i++) {
            const struct likeness *a = &like[i], *b = a - (i > 0);
            const bool joins = i > 0 && a->part == b->part && a->in == b->in && a->out == b->out &&
                               size + l->size[a->v] <= most;
            size = joins ? size + l->size[a->v] : l->size[a->v];
            leader[a->v] = joins ? leader[b->v] : a->v;
        }
        *out_n = number_groups(leader, l->n, up);
    }
    spk_free(like);
    spk_free(reach);
    spk_free(leader);
    return status;
}

struct pairing {
    const struct part_level *l;
    const uint32_t *part;
    uint64_t most, most_axons;
    struct rng rng;
    uint32_t *mate;           /* [n] NOBODY: free */
    double *score;            /* [n] of the neighbours of the node at hand, else 0 */
    uint32_t *near, n_near;   /* those neighbours */
    uint32_t *stamp, n_stamp; /* [e] edges of the node at hand */
};

static void rate(struct pairing *p, uint32_t v, uint32_t u, double score)
{
    if (u == v || p->mate[u] != NOBODY || (p->part != NULL && p->part[u] != p->part[v]) ||
        p->l->size[u] + p->l->size[v] > p->most)
        return;
    if (p->score[u] <= 0)
        p->near[p->n_near++] = u;
    p->score[u] += score / ((double)(p->l->size[u] + 1) * (double)(p->l->size[v] + 1));
}

static void rate_edge(struct pairing *p, uint32_t v, uint32_t e)
{
    const struct part_level *l = p->l;
    const uint64_t n = l->first[e + 1] - l->first[e];
    /* an axon without spikes still takes room in every core */
    const double score = (l->weight[e] + (double)l->axons[e]) / (double)n;
    rate(p, v, l->source[e], score);
    if (n <= SAMPLE) {
        for (uint64_t k = l->first[e]; k < l->first[e + 1]; k++)
            rate(p, v, l->dest[k], score);
        return;
    }
    for (uint32_t i = 0; i < SAMPLE; i++)
        rate(p, v, l->dest[l->first[e] + rng_below(&p->rng, n)], score);
}

static void rate_edges(struct pairing *p, uint32_t v, const uint32_t *edge, uint64_t n)
{
    for (uint64_t i = 0; i < n && i < SAMPLE; i++)
        rate_edge(p, v, edge[n <= SAMPLE ? i : rng_below(&p->rng, n)]);
}

/* Whether v (whose edges are stamped) and u have few enough axons together. */
static bool few_axons(const struct pairing *p, uint64_t axons, uint32_t u)
{
    const struct part_level *l = p->l;
    for (uint64_t k = l->in_first[u]; k < l->in_first[u + 1] && axons <= p->most_axons; k++)
        axons += p->stamp[l->in[k]] == p->n_stamp ? 0 : l->axons[l->in[k]];
    return axons <= p->most_axons;
}

static void find_mate(struct pairing *p, uint32_t v)
{
    const struct part_level *l = p->l;
    uint64_t axons = 0;
    p->n_near = 0;
    rate_edges(p, v, l->in + l->in_first[v], l->in_first[v + 1] - l->in_first[v]);
    rate_edges(p, v, l->out + l->out_first[v], l->out_first[v + 1] - l->out_first[v]);
    p->n_stamp++;
    for (uint64_t k = l->in_first[v]; k < l->in_first[v + 1]; k++) {
        p->stamp[l->in[k]] = p->n_stamp;
        axons += l->axons[l->in[k]];
    }
    for (uint32_t attempt = 0; attempt < ATTEMPTS && p->mate[v] == NOBODY; attempt++) {
        uint32_t best = NOBODY;
        for (uint32_t i = 0; i < p->n_near; i++) {
            const uint32_t u = p->near[i];
            if (p->score[u] > 0 && (best == NOBODY || p->score[u] > p->score[best] ||
                                    (p->score[u] >= p->score[best] && u < best)))
                best = u;
        }
        if (best == NOBODY)
            break;
        p->score[best] = 0;
        if (few_axons(p, axons, best)) {
            p->mate[v] = best;
            p->mate[best] = v;
        }
    }
    for (uint32_t i = 0; i < p->n_near; i++)
        p->score[p->near[i]] = 0;
}

static spk_status alloc_pairing(struct pairing *p)
{
    const struct part_level *l = p->l;
    SPK_TRY(spk_alloc_array_raw(l->n, sizeof *p->mate, &p->mate));
    SPK_TRY(spk_alloc_array(l->n, sizeof *p->score, &p->score));
    SPK_TRY(spk_alloc_array_raw(l->n, sizeof *p->near, &p->near));
    return spk_alloc_array(l->e, sizeof *p->stamp, &p->stamp);
}

spk_status part_group_pairs(const struct part_level *l, const uint32_t *part, uint64_t most,
                            uint64_t most_axons, uint64_t seed, uint32_t *up, uint32_t *out_n)
{
    struct pairing p = {.l = l, .part = part, .most = most, .most_axons = most_axons};
    spk_status status = alloc_pairing(&p);
    if (status == SPK_OK) {
        rng_seed(&p.rng, seed);
        memset(p.mate, 0xff, l->n * sizeof *p.mate);
        for (uint32_t v = 0; v < l->n; v++)
            up[v] = v;
        rng_shuffle_u32(&p.rng, up, l->n);
        for (uint32_t i = 0; i < l->n; i++)
            if (p.mate[up[i]] == NOBODY)
                find_mate(&p, up[i]);
        for (uint32_t v = 0; v < l->n; v++) /* leaders */
            p.mate[v] = p.mate[v] < v ? p.mate[v] : v;
        *out_n = number_groups(p.mate, l->n, up);
    }
    spk_free(p.mate);
    spk_free(p.score);
    spk_free(p.near);
    spk_free(p.stamp);
    return status;
}
