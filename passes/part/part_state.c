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
    spk_free(s->list_first);
    spk_free(s->list_len);
    spk_free(s->list);
    spk_free(s->size);
    spk_free(s->axons);
    spk_free(s->synapses);
    spk_free(s->repel);
    spk_free(s->at);
    memset(s, 0, sizeof *s);
}

static spk_status alloc_state(struct part_state *s)
{
    const struct part_level *l = s->level;
    SPK_TRY(spk_alloc_array_raw(l->n, sizeof *s->part, &s->part));
    SPK_TRY(spk_alloc_array_raw(l->n, sizeof *s->at, &s->at));
    SPK_TRY(spk_alloc_array_raw((size_t)l->e + 1, sizeof *s->list_first, &s->list_first));
    SPK_TRY(spk_alloc_array(l->e, sizeof *s->list_len, &s->list_len));
    SPK_TRY(spk_alloc_array(s->k, sizeof *s->size, &s->size));
    SPK_TRY(spk_alloc_array(s->k, sizeof *s->axons, &s->axons));
    SPK_TRY(spk_alloc_array(s->k, sizeof *s->synapses, &s->synapses));
    SPK_TRY(spk_alloc_array(s->k, sizeof *s->repel, &s->repel));
    SPK_TRY(spk_alloc_array(s->k, sizeof *s->member, &s->member));
    uint64_t total = 0;
    for (uint32_t e = 0; e < l->e; e++) {
        const uint64_t n = l->first[e + 1] - l->first[e];
        s->list_first[e] = total;
        total += n < s->k ? n : s->k;
    }
    s->list_first[l->e] = total;
    return spk_alloc_array_raw(total, sizeof *s->list, &s->list);
}

static inline void count_up(struct part_state *s, uint32_t e, uint32_t p)
{
    struct part_count *c = s->list + s->list_first[e];
    const uint32_t n = s->list_len[e];
    for (uint32_t i = 0; i < n; i++) {
        if (c[i].part == p) {
            c[i].count++;
            return;
        }
    }
    c[n] = (struct part_count){p, 1};
    s->list_len[e] = n + 1;
}

/* Part `from` has an entry. It goes first, so that a full list has room for the new part. */
static inline void count_move(struct part_state *s, uint32_t e, uint32_t from, uint32_t to)
{
    struct part_count *c = s->list + s->list_first[e];
    for (uint32_t i = 0;; i++) {
        if (c[i].part == from) {
            if (--c[i].count == 0)
                c[i] = c[--s->list_len[e]];
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
    for (uint32_t e = 0; e < level->e; e++) {
        const struct part_count *c = s->list + s->list_first[e];
        for (uint64_t i = level->first[e]; i < level->first[e + 1]; i++)
            count_up(s, e, part[level->dest[i]]);
        for (uint32_t i = 0; i < s->list_len[e]; i++) {
            s->axons[c[i].part] += level->axons[e];
            s->cost += c[i].part != part[level->source[e]] ? level->weight[e] : 0;
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
        const uint32_t e = l->in[k], n = s->list_len[e];
        const struct part_count *c = s->list + s->list_first[e];
        int leaves = 0, comes = 1; /* whether the edge no longer reaches from, newly reaches to */
        for (uint32_t i = 0; i < n; i++) {
            if (c[i].part == from)
                leaves = c[i].count == 1;
            else if (c[i].part == to)
                comes = 0;
        }
        change.from -= leaves ? (int64_t)l->axons[e] : 0;
        change.to += comes ? (int64_t)l->axons[e] : 0;
        if (l->source[e] ==
            v) { /* the source moves along: |D| is the reach less one all the time */
            change.connectivity += l->weight[e] * (comes - leaves);
        } else {
            const uint32_t home = s->part[l->source[e]];
            change.connectivity +=
                l->weight[e] * ((comes && to != home) - (leaves && from != home));
        }
    }
    for (uint64_t k = l->out_first[v]; k < l->out_first[v + 1]; k++) {
        const uint32_t e = l->out[k], n = s->list_len[e];
        const struct part_count *c = s->list + s->list_first[e];
        if (l->own[e])
            continue;
        for (uint32_t i = 0; i < n; i++) {
            if (c[i].part == from)
                change.connectivity += l->weight[e];
            else if (c[i].part == to)
                change.connectivity -= l->weight[e];
        }
    }
    change.cost = change.connectivity + (s->repel[to] - s->repel[from]) * (double)l->size[v];
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
        count_move(s, l->in[k], from, to);
    s->part[v] = to;
    s->size[from] -= l->size[v];
    s->size[to] += l->size[v];
    s->synapses[from] -= l->synapses[v];
    s->synapses[to] += l->synapses[v];
    s->axons[from] = (uint64_t)((int64_t)s->axons[from] + change->from);
    s->axons[to] = (uint64_t)((int64_t)s->axons[to] + change->to);
    s->cost += change->connectivity;
    return SPK_OK;
}
