/* A partition of a level with exact counters: for every edge how many of its destinations lie in
 * each part that it reaches, for every part its neurons, axons and synapses.
 *
 * The lists hold at most as many entries as the edge has destinations, so memory is linear in the
 * synapses whatever the number of parts. A change looks once at the lists of the node's edges. */
#include <string.h>

#include "passes/part/part_internal.h"
#include "support/alloc.h"

void part_state_fini(struct part_state *s)
{
    for (uint32_t p = 0; p < s->k && s->member != NULL; p++)
        vec_fini(&s->member[p]);
    spk_free(s->member);
    spk_free(s->part);
    spk_free(s->edge);
    spk_free(s->list);
    spk_free(s->size);
    spk_free(s->axons);
    spk_free(s->synapses);
    spk_free(s->at);
    memset(s, 0, sizeof *s);
}

static spk_status alloc_state(struct part_state *s)
{
    const struct part_level *l = s->level;
    SPK_TRY(spk_alloc_array_raw(l->n, sizeof *s->part, &s->part));
    SPK_TRY(spk_alloc_array_raw(l->n, sizeof *s->at, &s->at));
    SPK_TRY(spk_alloc_array_raw(l->e, sizeof *s->edge, &s->edge));
    SPK_TRY(spk_alloc_array(s->k, sizeof *s->size, &s->size));
    SPK_TRY(spk_alloc_array(s->k, sizeof *s->axons, &s->axons));
    SPK_TRY(spk_alloc_array(s->k, sizeof *s->synapses, &s->synapses));
    SPK_TRY(spk_alloc_array(s->k, sizeof *s->member, &s->member));
    uint64_t total = 0;
    for (uint32_t e = 0; e < l->e; e++) {
        const uint64_t n = l->first[e + 1] - l->first[e];
        s->edge[e] = (struct part_edge){
            .first = total, .weight = l->weight[e], .axons = l->axons[e], .source = l->source[e]};
        total += n < s->k ? n : s->k;
    }
    return spk_alloc_array_raw(total, sizeof *s->list, &s->list);
}

static inline void count_up(struct part_state *s, struct part_edge *e, uint32_t p)
{
    struct part_count *c = s->list + e->first;
    for (uint32_t i = 0; i < e->len; i++) {
        if (c[i].part == p) {
            c[i].count++;
            return;
        }
    }
    c[e->len++] = (struct part_count){p, 1};
}

/* Part `from` has an entry. It goes first, so that a full list has room for the new part. */
static inline void count_move(struct part_state *s, struct part_edge *e, uint32_t from, uint32_t to)
{
    struct part_count *c = s->list + e->first;
    for (uint32_t i = 0;; i++) {
        if (c[i].part == from) {
            if (--c[i].count == 0)
                c[i] = c[--e->len];
            break;
        }
    }
    count_up(s, e, to);
}

spk_status part_state_init(const struct part_level *level, const struct part_limits *limits,
                           const uint32_t *part, uint32_t k, struct part_state *s)
{
    memset(s, 0, sizeof *s);
    s->level = level;
    s->limits = *limits;
    s->k = k;
    spk_status status = alloc_state(s);
    for (uint32_t v = 0; v < level->n && status == SPK_OK; v++) {
        const uint32_t p = part[v];
        s->part[v] = p;
        s->size[p] += level->size[v];
        s->synapses[p] += level->synapses[v];
        s->at[v] = (uint32_t)s->member[p].len;
        status = vec_push(&s->member[p], v);
    }
    if (status != SPK_OK) {
        part_state_fini(s);
        return status;
    }
    for (uint32_t i = 0; i < level->e; i++) {
        struct part_edge *e = &s->edge[i];
        const struct part_count *c = s->list + e->first;
        e->home = part[e->source];
        for (uint64_t j = level->first[i]; j < level->first[i + 1]; j++)
            count_up(s, e, part[level->dest[j]]);
        for (uint32_t j = 0; j < e->len; j++) {
            s->axons[c[j].part] += e->axons;
            s->cost += c[j].part != e->home ? e->weight : 0;
        }
    }
    return SPK_OK;
}

struct part_change part_state_change(const struct part_state *s, uint32_t v, uint32_t to)
{
    const struct part_level *l = s->level;
    const uint32_t from = s->part[v];
    struct part_change change = {0};
    for (uint64_t k = l->in_first[v]; k < l->in_first[v + 1]; k++) {
        const struct part_edge *e = &s->edge[l->in[k]];
        const struct part_count *c = s->list + e->first;
        int leaves = 0, comes = 1; /* whether the edge no longer reaches from, newly reaches to */
        for (uint32_t i = 0; i < e->len; i++) {
            if (c[i].part == from)
                leaves = c[i].count == 1;
            else if (c[i].part == to)
                comes = 0;
        }
        change.looks += e->len + 1;
        change.from -= leaves ? (int64_t)e->axons : 0;
        change.to += comes ? (int64_t)e->axons : 0;
        /* if the source moves along, |D| is the reach less one before and after */
        change.cost += e->source == v
                           ? e->weight * (comes - leaves)
                           : e->weight * ((comes && to != e->home) - (leaves && from != e->home));
    }
    for (uint64_t k = l->out_first[v]; k < l->out_first[v + 1]; k++) {
        const struct part_edge *e = &s->edge[l->out[k]];
        const struct part_count *c = s->list + e->first;
        if (l->own[l->out[k]])
            continue;
        change.looks += e->len + 1;
        for (uint32_t i = 0; i < e->len; i++) {
            if (c[i].part == from)
                change.cost += e->weight;
            else if (c[i].part == to)
                change.cost -= e->weight;
        }
    }
    return change;
}

spk_status part_state_move(struct part_state *s, uint32_t v, uint32_t to,
                           const struct part_change *change)
{
    const struct part_level *l = s->level;
    const uint32_t from = s->part[v], last = vec_last(&s->member[from]);
    SPK_TRY(vec_push(&s->member[to], v));
    s->member[from].data[s->at[v]] = last;
    s->at[last] = s->at[v];
    s->member[from].len--;
    s->at[v] = (uint32_t)s->member[to].len - 1;
    for (uint64_t k = l->in_first[v]; k < l->in_first[v + 1]; k++)
        count_move(s, &s->edge[l->in[k]], from, to);
    for (uint64_t k = l->out_first[v]; k < l->out_first[v + 1]; k++)
        s->edge[l->out[k]].home = to;
    s->part[v] = to;
    s->size[from] -= l->size[v];
    s->size[to] += l->size[v];
    s->synapses[from] -= l->synapses[v];
    s->synapses[to] += l->synapses[v];
    s->axons[from] = (uint64_t)((int64_t)s->axons[from] + change->from);
    s->axons[to] = (uint64_t)((int64_t)s->axons[to] + change->to);
    s->cost += change->cost;
    return SPK_OK;
}

bool part_state_legal(const struct part_state *s)
{
    for (uint32_t p = 0; p < s->k; p++)
        if (s->size[p] > s->limits.neurons || s->axons[p] > s->limits.axons ||
            s->synapses[p] > s->limits.synapses)
            return false;
    return true;
}
