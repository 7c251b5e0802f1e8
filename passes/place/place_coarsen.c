/* Coarsening: pairs of nodes become one node of the next level.
 *
 * Heavy-edge matching: nodes in random order take the free neighbour with the largest weight per
 * product of sizes, so that blobs stay of one size; within groups the first SCAN free members are
 * looked at. Nodes left over pair with one that shares a neighbour or a group. Groups keep their
 * number; their parts are summed, and a node may come to stand on both sides. O(links + parts). */
#include <string.h>

#include "passes/place/place_internal.h"
#include "support/alloc.h"

#define SCAN 64

struct matcher {
    struct place_level *l;
    uint32_t *mate, *order, *candidate;
    double *score;        /* [n], 0 between uses */
    uint32_t *group_scan; /* first part of a group whose node may be free */
    uint32_t max_size, n_candidates;
};

static bool may_pair(const struct matcher *m, uint32_t a, uint32_t b)
{
    const struct place_regions *r = m->l->regions;
    return a != b && m->mate[b] == PLACE_NONE && m->l->size[a] + m->l->size[b] <= m->max_size &&
           (r == NULL || r->of[a] == r->of[b]);
}

static void offer(struct matcher *m, uint32_t b, double weight)
{
    if (m->score[b] == 0)
        m->candidate[m->n_candidates++] = b;
    m->score[b] += weight;
}

static void offer_group(struct matcher *m, uint32_t a, const struct place_member *p)
{
    const struct place_level *l = m->l;
    uint32_t *begin = &m->group_scan[p->group], end = l->group_first[p->group + 1], seen = 0;
    while (*begin < end && m->mate[l->group[*begin].group] != PLACE_NONE)
        (*begin)++;
    for (uint32_t k = *begin; k < end && seen < SCAN; k++) {
        const struct place_member *q = &l->group[k];
        const double w = (double)p->s * q->d + (double)p->d * q->s;
        if (w <= 0 || !may_pair(m, a, q->group))
            continue;
        offer(m, q->group, w);
        seen++;
    }
}

static void pair_with_neighbour(struct matcher *m, uint32_t a)
{
    const struct place_level *l = m->l;
    uint32_t best = PLACE_NONE;
    double best_score = 0;
    m->n_candidates = 0;
    for (uint32_t k = l->link_first[a]; k < l->link_first[a + 1]; k++)
        if (may_pair(m, a, l->link[k].node))
            offer(m, l->link[k].node, l->link[k].weight);
    for (uint32_t k = l->member_first[a]; k < l->member_first[a + 1]; k++)
        offer_group(m, a, &l->member[k]);
    for (uint32_t i = 0; i < m->n_candidates; i++) {
        const uint32_t b = m->candidate[i];
        const double s = m->score[b] / ((double)l->size[a] * l->size[b]);
        m->score[b] = 0;
        if (s > best_score || (s == best_score && b < best)) {
            best_score = s;
            best = b;
        }
    }
    if (best != PLACE_NONE) {
        m->mate[a] = best;
        m->mate[best] = a;
    }
}

/* Pairs `a` with the node that waits at a meeting point, or lets it wait there. */
static bool meet(struct matcher *m, uint32_t *waiting, uint32_t a)
{
    const uint32_t b = *waiting;
    if (b == PLACE_NONE || m->mate[b] != PLACE_NONE || b == a) {
        *waiting = a;
        return false;
    }
    if (!may_pair(m, a, b))
        return false;
    m->mate[a] = b;
    m->mate[b] = a;
    return true;
}

static spk_status pair_leftovers(struct matcher *m)
{
    const struct place_level *l = m->l;
    uint32_t *at_node, *at_group;
    SPK_TRY(spk_alloc_array_raw((size_t)l->n + l->n_groups, sizeof *at_node, &at_node));
    at_group = at_node + l->n;
    memset(at_node, 0xff, ((size_t)l->n + l->n_groups) * sizeof *at_node);
    for (uint32_t i = 0; i < l->n; i++) {
        const uint32_t a = m->order[i];
        bool done = m->mate[a] != PLACE_NONE;
        for (uint32_t k = l->link_first[a]; k < l->link_first[a + 1] && !done; k++)
            done = meet(m, &at_node[l->link[k].node], a);
        for (uint32_t k = l->member_first[a]; k < l->member_first[a + 1] && !done; k++)
            done = meet(m, &at_group[l->member[k].group], a);
    }
    spk_free(at_node);
    return SPK_OK;
}

static spk_status match(struct matcher *m, uint64_t seed)
{
    const uint32_t n = m->l->n;
    struct place_rng rng = {seed};
    SPK_TRY(spk_alloc_array_raw(n, sizeof *m->mate, &m->mate));
    SPK_TRY(spk_alloc_array_raw(n, sizeof *m->order, &m->order));
    SPK_TRY(spk_alloc_array_raw(n, sizeof *m->candidate, &m->candidate));
    SPK_TRY(spk_alloc_array(n, sizeof *m->score, &m->score));
    SPK_TRY(spk_alloc_array_raw(m->l->n_groups, sizeof *m->group_scan, &m->group_scan));
    if (m->l->n_groups > 0)
        memcpy(m->group_scan, m->l->group_first, m->l->n_groups * sizeof *m->group_scan);
    memset(m->mate, 0xff, n * sizeof *m->mate);
    for (uint32_t i = 0; i < n; i++)
        m->order[i] = i;
    for (uint32_t i = n; i > 1; i--) {
        const uint32_t j = place_below(&rng, i), t = m->order[i - 1];
        m->order[i - 1] = m->order[j];
        m->order[j] = t;
    }
    for (uint32_t i = 0; i < n; i++)
        if (m->mate[m->order[i]] == PLACE_NONE)
            pair_with_neighbour(m, m->order[i]);
    return pair_leftovers(m);
}

static spk_status coarse_links(const struct place_level *f, struct place_level *c)
{
    uint32_t sum = 0;
    SPK_TRY(spk_alloc_array((size_t)c->n + 1, sizeof *c->link_first, &c->link_first));
    for (uint32_t a = 0; a < f->n; a++)
        for (uint32_t k = f->link_first[a]; k < f->link_first[a + 1]; k++)
            c->link_first[f->up[a]] += f->up[a] != f->up[f->link[k].node];
    for (uint32_t v = 0; v <= c->n; v++) {
        sum += c->link_first[v];
        c->link_first[v] = sum;
    }
    SPK_TRY(spk_alloc_array_raw(sum, sizeof *c->link, &c->link));
    for (uint32_t a = f->n; a-- > 0;) {
        for (uint32_t k = f->link_first[a + 1]; k-- > f->link_first[a];) {
            const uint32_t x = f->up[a], y = f->up[f->link[k].node];
            if (x != y)
                c->link[--c->link_first[x]] = (struct place_link){y, f->link[k].weight};
        }
    }
    return place_level_merge(c);
}

static spk_status coarse_groups(const struct place_level *f, struct place_level *c)
{
    uint32_t *seen, *where, n = 0;
    c->n_groups = f->n_groups;
    SPK_TRY(spk_alloc_array((size_t)c->n_groups + 1, sizeof *c->group_first, &c->group_first));
    SPK_TRY(spk_alloc_array_raw(f->group_first[f->n_groups], sizeof *c->group, &c->group));
    SPK_TRY(spk_alloc_array_raw(2 * (size_t)c->n, sizeof *seen, &seen));
    where = seen + c->n;
    memset(seen, 0xff, c->n * sizeof *seen);
    for (uint32_t g = 0; g < f->n_groups; g++) {
        for (uint32_t k = f->group_first[g]; k < f->group_first[g + 1]; k++) {
            const struct place_member *p = &f->group[k];
            const uint32_t v = f->up[p->group];
            if (seen[v] != g) {
                seen[v] = g;
                where[v] = n;
                c->group[n++] = (struct place_member){v, 0, 0};
            }
            c->group[where[v]].s += p->s;
            c->group[where[v]].d += p->d;
        }
        c->group_first[g + 1] = n;
    }
    spk_free(seen);
    return place_level_index(c);
}

static spk_status contract(struct matcher *m, struct place_level *c)
{
    struct place_level *f = m->l;
    SPK_TRY(spk_alloc_array_raw(f->n, sizeof *f->up, &f->up));
    for (uint32_t a = 0; a < f->n; a++)
        f->up[a] = m->mate[a] != PLACE_NONE && m->mate[a] < a ? f->up[m->mate[a]] : c->n++;
    SPK_TRY(spk_alloc_array(c->n, sizeof *c->size, &c->size));
    for (uint32_t a = 0; a < f->n; a++)
        c->size[f->up[a]] += f->size[a];
    c->weight_scale = f->weight_scale;
    c->mean_weight = f->mean_weight;
    SPK_TRY(coarse_links(f, c));
    return coarse_groups(f, c);
}

spk_status place_coarsen(struct place_level *fine, uint32_t max_size, uint64_t seed,
                         struct place_level *out)
{
    struct matcher m = {.l = fine, .max_size = max_size};
    memset(out, 0, sizeof *out);
    spk_status status = match(&m, seed);
    if (status == SPK_OK)
        status = contract(&m, out);
    spk_free(m.mate);
    spk_free(m.order);
    spk_free(m.candidate);
    spk_free(m.score);
    spk_free(m.group_scan);
    if (status != SPK_OK)
        place_level_fini(out);
    return status;
}
