/* Partitions from nothing: neurons in order, and growth by shared axons.
 *
 * Sequential fill (Jin et al. 2023): a new core begins where the next node does not fit. Overlap
 * (AxonFlow 2026, "hyperedge hiding", in own words): a core takes, among the nodes that its axons
 * reach, the one with the fewest axons that it does not have yet (ties: most axons, then lowest
 * id), and is closed when that one does not fit; it begins with the first free node. The candidates
 * stand in a heap with places, because every axon that a core gains makes all its readers cheaper.
 * Cost: O(s) and O(s log n) for s synapses, times the cores that an axon reaches. */
#include <string.h>

#include "passes/part/part_internal.h"
#include "support/alloc.h"

#define NOWHERE UINT32_MAX

/* The part that is being filled. */
struct filling {
    const struct part_level *l;
    const struct part_limits *limits;
    uint32_t *seen; /* [e] part that has the edge, plus 1 */
    uint32_t p;
    uint64_t size, axons, synapses;
};

static uint64_t new_axons(const struct filling *f, uint32_t v)
{
    const struct part_level *l = f->l;
    uint64_t axons = 0;
    for (uint64_t k = l->in_first[v]; k < l->in_first[v + 1]; k++)
        axons += f->seen[l->in[k]] == f->p + 1 ? 0 : l->axons[l->in[k]];
    return axons;
}

static bool has_room(const struct filling *f, uint32_t v, uint64_t axons)
{
    return f->size + f->l->size[v] <= f->limits->neurons && f->axons + axons <= f->limits->axons &&
           f->synapses + f->l->synapses[v] <= f->limits->synapses;
}

static void take(struct filling *f, uint32_t v, uint64_t axons, uint32_t *part)
{
    f->size += f->l->size[v];
    f->axons += axons;
    f->synapses += f->l->synapses[v];
    part[v] = f->p;
}

static void next_part(struct filling *f)
{
    f->p++;
    f->size = f->axons = f->synapses = 0;
}

spk_status part_sequential(const struct part_level *l, const struct part_limits *limits,
                           uint32_t *part, uint32_t *out_k)
{
    struct filling f = {.l = l, .limits = limits};
    spk_status status = spk_alloc_array(l->e, sizeof *f.seen, &f.seen);
    for (uint32_t v = 0; v < l->n && status == SPK_OK; v++) {
        uint64_t axons = new_axons(&f, v);
        if (!has_room(&f, v, axons) && v > 0) {
            next_part(&f);
            axons = new_axons(&f, v);
        }
        if (!has_room(&f, v, axons))
            status = SPK_ERR_NOFIT;
        take(&f, v, axons, part);
        for (uint64_t k = l->in_first[v]; k < l->in_first[v + 1]; k++)
            f.seen[l->in[k]] = f.p + 1;
    }
    spk_free(f.seen);
    *out_k = l->n > 0 ? f.p + 1 : 0;
    return status;
}

struct overlap {
    struct filling f;
    uint32_t *part;
    uint64_t *fresh, *fan_in; /* [n] axons that the part lacks, all axons */
    uint32_t *heap, *place;   /* [n] candidates; place NOWHERE: none */
    uint32_t n;
};

static bool before(const struct overlap *o, uint32_t a, uint32_t b)
{
    if (o->fresh[a] != o->fresh[b])
        return o->fresh[a] < o->fresh[b];
    if (o->fan_in[a] != o->fan_in[b])
        return o->fan_in[a] > o->fan_in[b];
    return a < b;
}

static void put(struct overlap *o, uint32_t i, uint32_t v)
{
    o->heap[i] = v;
    o->place[v] = i;
}

static void sift_up(struct overlap *o, uint32_t i)
{
    const uint32_t v = o->heap[i];
    for (; i > 0 && before(o, v, o->heap[(i - 1) / 2]); i = (i - 1) / 2)
        put(o, i, o->heap[(i - 1) / 2]);
    put(o, i, v);
}

static void sift_down(struct overlap *o, uint32_t i)
{
    const uint32_t v = o->heap[i];
    for (uint64_t c = 2 * (uint64_t)i + 1; c < o->n; c = 2 * (uint64_t)i + 1) {
        if (c + 1 < o->n && before(o, o->heap[c + 1], o->heap[c]))
            c++;
        if (!before(o, o->heap[c], v))
            break;
        put(o, i, o->heap[c]);
        i = (uint32_t)c;
    }
    put(o, i, v);
}

static void add_candidate(struct overlap *o, uint32_t v)
{
    o->fresh[v] = new_axons(&o->f, v);
    put(o, o->n, v);
    sift_up(o, o->n++);
}

/* v, no longer among the candidates, goes into the part; its axons make their readers cheaper. */
static void absorb(struct overlap *o, uint32_t v)
{
    const struct part_level *l = o->f.l;
    take(&o->f, v, o->fresh[v], o->part);
    for (uint64_t k = l->in_first[v]; k < l->in_first[v + 1]; k++) {
        const uint32_t e = l->in[k];
        if (o->f.seen[e] == o->f.p + 1)
            continue;
        for (uint64_t i = l->first[e]; i < l->first[e + 1]; i++) {
            const uint32_t d = l->dest[i];
            if (o->part[d] != NOWHERE || o->place[d] == NOWHERE)
                continue;
            o->fresh[d] -= l->axons[e];
            sift_up(o, o->place[d]);
        }
        o->f.seen[e] = o->f.p + 1;
        for (uint64_t i = l->first[e]; i < l->first[e + 1]; i++)
            if (o->part[l->dest[i]] == NOWHERE && o->place[l->dest[i]] == NOWHERE)
                add_candidate(o, l->dest[i]);
    }
}

static spk_status grow(struct overlap *o)
{
    const uint32_t n = o->f.l->n;
    uint32_t left = n, next = 0;
    while (left > 0) {
        if (o->n == 0) {
            while (o->part[next] != NOWHERE)
                next++;
            add_candidate(o, next);
        }
        const uint32_t v = o->heap[0];
        if (has_room(&o->f, v, o->fresh[v])) {
            const uint32_t last = o->heap[--o->n];
            o->place[v] = NOWHERE;
            if (o->n > 0) {
                put(o, 0, last);
                sift_down(o, 0);
            }
            absorb(o, v);
            left--;
            continue;
        }
        if (o->f.size == 0 && o->f.axons == 0 && o->f.synapses == 0)
            return SPK_ERR_NOFIT;
        while (o->n > 0)
            o->place[o->heap[--o->n]] = NOWHERE;
        next_part(&o->f);
    }
    return SPK_OK;
}

spk_status part_overlap(const struct part_level *l, const struct part_limits *limits,
                        uint32_t *part, uint32_t *out_k)
{
    struct overlap o = {.f = {.l = l, .limits = limits}, .part = part};
    spk_status status = spk_alloc_array(l->e, sizeof *o.f.seen, &o.f.seen);
    if (status == SPK_OK)
        status = spk_alloc_array_raw(l->n, sizeof *o.fresh, &o.fresh);
    if (status == SPK_OK)
        status = spk_alloc_array(l->n, sizeof *o.fan_in, &o.fan_in);
    if (status == SPK_OK)
        status = spk_alloc_array_raw(l->n, sizeof *o.heap, &o.heap);
    if (status == SPK_OK)
        status = spk_alloc_array_raw(l->n, sizeof *o.place, &o.place);
    if (status == SPK_OK) {
        memset(part, 0xff, l->n * sizeof *part);
        memset(o.place, 0xff, l->n * sizeof *o.place);
        for (uint32_t v = 0; v < l->n; v++)
            for (uint64_t k = l->in_first[v]; k < l->in_first[v + 1]; k++)
                o.fan_in[v] += l->axons[l->in[k]];
        status = grow(&o);
    }
    *out_k = l->n > 0 ? o.f.p + 1 : 0;
    spk_free(o.f.seen);
    spk_free(o.fresh);
    spk_free(o.fan_in);
    spk_free(o.heap);
    spk_free(o.place);
    return status;
}
