/* Annealing of M, the length of the union of XY routes.
 *
 * Edges with the same destinations share a set: its cost is the sum over their sources of
 *   w (reach of source and destinations along x + for each column the reach of source row and the
 *   column's destinations along y),
 * which takes one pass over the destinations (columns' extremes) and one over the sources (weights
 * by row, summed up to tell sums of w max(row, .) and w min(row, .) at once). A move swaps two
 * cells, works out the few sets that the two nodes belong to anew and compares with the costs kept;
 * so differences are exact. Schedule as in place_anneal.c.
 * Cost: O(destinations + sources + rows) for each set of the nodes moved. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "passes/place/place_internal.h"
#include "support/alloc.h"

#define SAMPLES 512
#define MAX_ROUNDS 600

struct source {
    uint32_t node;
    int64_t weight;
};

struct set {
    uint32_t edge; /* whose destinations these are */
    uint32_t first_source, n_sources;
    int64_t cost, next; /* now, and if the move is accepted */
};

struct tree_annealer {
    const struct ir_cluster_graph *g;
    const struct place_axes *axes;
    const struct place_regions *regions;
    struct place_state *state;
    struct set *set;
    uint32_t n_sets;
    struct source *source;                /* [edges], by set */
    uint32_t *of_first, *of_node;         /* sets of each node, as source or destination */
    uint32_t *stamp, *touched;            /* [sets] */
    uint32_t move;                        /* number of the move, for stamps */
    uint32_t *seen, *low, *high, *column; /* [w] columns of one tree */
    uint32_t tree;
    int64_t *row_weight, *row_moment; /* [h + 1] */
    struct place_rng rng;
    double scale;
    int64_t change; /* of M by all moves made */
};

/* --- sets --- */

struct edge_key {
    uint64_t hash;
    uint32_t length, edge;
};

static int compare_edge_keys(const void *x, const void *y)
{
    const struct edge_key *a = x, *b = y;
    if (a->hash != b->hash)
        return a->hash < b->hash ? -1 : 1;
    if (a->length != b->length)
        return a->length < b->length ? -1 : 1;
    return (a->edge > b->edge) - (a->edge < b->edge);
}

static bool same_set(const struct ir_cluster_graph *g, const struct edge_key *a,
                     const struct edge_key *b)
{
    return a->hash == b->hash && a->length == b->length &&
           memcmp(g->dest + g->first[a->edge], g->dest + g->first[b->edge],
                  a->length * sizeof *g->dest) == 0;
}

/* Weights as whole numbers, with the sum over all pairs below 2^40. */
static double weight_scale(const struct ir_cluster_graph *g)
{
    double total = 0;
    bool whole = true;
    for (uint32_t e = 0; e < g->n_edges; e++) {
        total += g->weight[e] * (double)(g->first[e + 1] - g->first[e]);
        whole = whole && g->weight[e] == floor(g->weight[e]);
    }
    return total > 0 && (!whole || total > 0x1p40) ? 0x1p40 / total : 1;
}

static spk_status make_sets(struct tree_annealer *an)
{
    const struct ir_cluster_graph *g = an->g;
    struct edge_key *key;
    an->scale = weight_scale(g);
    SPK_TRY(spk_alloc_array(g->n_edges, sizeof *an->set, &an->set));
    SPK_TRY(spk_alloc_array_raw(g->n_edges, sizeof *an->source, &an->source));
    SPK_TRY(spk_alloc_array_raw(g->n_edges, sizeof *key, &key));
    for (uint32_t e = 0; e < g->n_edges; e++) {
        uint64_t h = 0x2545f4914f6cdd1du;
        for (uint64_t k = g->first[e]; k < g->first[e + 1]; k++) {
            h = (h ^ g->dest[k]) * 0xff51afd7ed558ccdu;
            h ^= h >> 32;
        }
        key[e] = (struct edge_key){h, (uint32_t)(g->first[e + 1] - g->first[e]), e};
    }
    if (g->n_edges > 0)
        qsort(key, g->n_edges, sizeof *key, compare_edge_keys);
    for (uint32_t i = 0; i < g->n_edges; i++) {
        const uint32_t e = key[i].edge;
        if (i == 0 || !same_set(g, &key[i - 1], &key[i]))
            an->set[an->n_sets++] = (struct set){.edge = e, .first_source = i};
        an->set[an->n_sets - 1].n_sources++;
        an->source[i] = (struct source){g->source[e], llround(g->weight[e] * an->scale)};
    }
    spk_free(key);
    return SPK_OK;
}

/* Calls fn for every (node, set); a node may come twice. */
static void count_or_fill(struct tree_annealer *an, bool fill)
{
    const struct ir_cluster_graph *g = an->g;
    for (uint32_t i = an->n_sets; i-- > 0;) {
        const struct set *s = &an->set[i];
        for (uint64_t k = g->first[s->edge]; k < g->first[s->edge + 1]; k++) {
            if (fill)
                an->of_node[--an->of_first[g->dest[k]]] = i;
            else
                an->of_first[g->dest[k]]++;
        }
        for (uint32_t k = 0; k < s->n_sources; k++) {
            const uint32_t v = an->source[s->first_source + k].node;
            if (fill)
                an->of_node[--an->of_first[v]] = i;
            else
                an->of_first[v]++;
        }
    }
}

static spk_status make_lists(struct tree_annealer *an)
{
    const uint32_t n = an->g->n_clusters;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < an->n_sets; i++)
        sum += an->g->first[an->set[i].edge + 1] - an->g->first[an->set[i].edge] +
               an->set[i].n_sources;
    if (sum > UINT32_MAX)
        return SPK_ERR_NOMEM;
    SPK_TRY(spk_alloc_array((size_t)n + 1, sizeof *an->of_first, &an->of_first));
    SPK_TRY(spk_alloc_array_raw(sum, sizeof *an->of_node, &an->of_node));
    count_or_fill(an, false);
    uint32_t end = 0;
    for (uint32_t v = 0; v <= n; v++) {
        end += an->of_first[v];
        an->of_first[v] = end;
    }
    count_or_fill(an, true);
    return SPK_OK;
}

/* --- cost of a set --- */

/* Columns of the destinations with their extremes; returns their number. */
static uint32_t find_columns(struct tree_annealer *an, const struct set *s, uint32_t *out_west,
                             uint32_t *out_east)
{
    const struct ir_cluster_graph *g = an->g;
    uint32_t n = 0, west = PLACE_NONE, east = 0;
    if (++an->tree == 0) {
        memset(an->seen, 0, an->axes->w * sizeof *an->seen);
        an->tree = 1;
    }
    const uint32_t tree = an->tree;
    for (uint64_t k = g->first[s->edge]; k < g->first[s->edge + 1]; k++) {
        const struct place_xy p = an->state->pos[g->dest[k]];
        if (an->seen[p.x] != tree) {
            an->seen[p.x] = tree;
            an->column[n++] = p.x;
            an->low[p.x] = an->high[p.x] = p.y;
            west = p.x < west ? p.x : west;
            east = p.x > east ? p.x : east;
        } else if (p.y < an->low[p.x]) {
            an->low[p.x] = p.y;
        } else if (p.y > an->high[p.x]) {
            an->high[p.x] = p.y;
        }
    }
    *out_west = west;
    *out_east = east;
    return n;
}

/* Sum over the columns for one source row. */
static int64_t columns_from(const struct tree_annealer *an, uint32_t n, uint32_t row)
{
    const int32_t *y = an->axes->y;
    int64_t sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t c = an->column[i];
        const uint32_t lo = an->low[c] < row ? an->low[c] : row;
        const uint32_t hi = an->high[c] > row ? an->high[c] : row;
        sum += y[hi] - y[lo];
    }
    return sum;
}

/* The same summed over all sources by their weights, by sums over rows. */
static int64_t columns_from_all(struct tree_annealer *an, const struct set *s, uint32_t n)
{
    const int32_t *y = an->axes->y;
    const uint32_t h = an->axes->h;
    int64_t *w = an->row_weight, *m = an->row_moment, sum = 0;
    memset(w, 0, (h + 1u) * sizeof *w);
    for (uint32_t i = 0; i < s->n_sources; i++) {
        const struct source *o = &an->source[s->first_source + i];
        w[an->state->pos[o->node].y + 1] += o->weight;
    }
    m[0] = 0;
    for (uint32_t r = 0; r < h; r++) { /* weights and moments of rows below r + 1 */
        m[r + 1] = m[r] + w[r + 1] * y[r];
        w[r + 1] += w[r];
    }
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t lo = an->low[an->column[i]], hi = an->high[an->column[i]];
        sum += y[hi] * w[hi + 1] + (m[h] - m[hi + 1]); /* w max(row, hi) */
        sum -= y[lo] * (w[h] - w[lo + 1]) + m[lo + 1]; /* w min(row, lo) */
    }
    return sum;
}

static int64_t set_cost(struct tree_annealer *an, const struct set *s)
{
    const int32_t *x = an->axes->x;
    uint32_t west, east;
    int64_t sum = 0;
    const uint32_t n = find_columns(an, s, &west, &east);
    if (n == 0)
        return 0;
    for (uint32_t i = 0; i < s->n_sources; i++) {
        const struct source *o = &an->source[s->first_source + i];
        const struct place_xy p = an->state->pos[o->node];
        const int64_t along = x[p.x > east ? p.x : east] - x[p.x < west ? p.x : west];
        const int64_t down = s->n_sources < 4 ? columns_from(an, n, p.y) : 0;
        sum += o->weight * (along + down);
    }
    return s->n_sources < 4 ? sum : sum + columns_from_all(an, s, n);
}

/* --- moves --- */

static void put(struct tree_annealer *an, uint32_t node, struct place_xy p)
{
    const size_t cell = (size_t)p.y * an->axes->w + p.x;
    if (node != PLACE_NONE)
        an->state->pos[node] = p;
    an->state->at[cell] = node;
}

static int64_t renew_sets(struct tree_annealer *an, uint32_t node, uint32_t *io_n)
{
    int64_t delta = 0;
    for (uint32_t k = an->of_first[node]; k < an->of_first[node + 1]; k++) {
        const uint32_t i = an->of_node[k];
        if (an->stamp[i] == an->move)
            continue;
        an->stamp[i] = an->move;
        an->touched[(*io_n)++] = i;
        an->set[i].next = set_cost(an, &an->set[i]);
        delta += an->set[i].next - an->set[i].cost;
    }
    return delta;
}

struct tree_move {
    uint32_t a, b; /* b: who is at q, or PLACE_NONE */
    struct place_xy p, q;
    uint32_t n_touched;
    int64_t delta;
};

static bool allowed(const struct tree_annealer *an, uint32_t node, struct place_xy q)
{
    return an->regions == NULL || node == PLACE_NONE ||
           place_may_be_at(an->regions, node, (uint32_t)q.y * an->axes->w + q.x);
}

/* Makes a random move and works out its difference; false where there is none. */
static bool try_move(struct tree_annealer *an, uint32_t range, struct tree_move *m)
{
    const struct place_axes *ax = an->axes;
    m->a = place_below(&an->rng, an->g->n_clusters);
    m->p = an->state->pos[m->a];
    const uint32_t x = m->p.x + place_below(&an->rng, 2 * range + 1) - range;
    const uint32_t y = m->p.y + place_below(&an->rng, 2 * range + 1) - range;
    if (x >= ax->w || y >= ax->h)
        return false;
    const size_t cell = (size_t)y * ax->w + x;
    m->b = an->state->at[cell];
    m->q = (struct place_xy){(uint16_t)x, (uint16_t)y};
    if (m->b == m->a || (ax->blocked != NULL && ax->blocked[cell]) || !allowed(an, m->a, m->q) ||
        !allowed(an, m->b, m->p))
        return false;
    put(an, m->a, m->q);
    put(an, m->b, m->p);
    if (++an->move == 0) {
        memset(an->stamp, 0, an->n_sets * sizeof *an->stamp);
        an->move = 1;
    }
    m->n_touched = 0;
    m->delta = renew_sets(an, m->a, &m->n_touched);
    if (m->b != PLACE_NONE)
        m->delta += renew_sets(an, m->b, &m->n_touched);
    return true;
}

static void keep(struct tree_annealer *an, const struct tree_move *m)
{
    an->change += m->delta;
    for (uint32_t i = 0; i < m->n_touched; i++)
        an->set[an->touched[i]].cost = an->set[an->touched[i]].next;
}

static void take_back(struct tree_annealer *an, const struct tree_move *m)
{
    put(an, m->b, m->q);
    put(an, m->a, m->p);
}

static spk_status start_temperature(struct tree_annealer *an, uint32_t range, double acceptance,
                                    double *out)
{
    double *delta, lo = 1e-3, hi = 1e18;
    struct tree_move m;
    uint32_t n = 0;
    SPK_TRY(spk_alloc_array_raw(SAMPLES, sizeof *delta, &delta));
    for (uint32_t i = 0; i < 8 * SAMPLES && n < SAMPLES; i++) {
        if (!try_move(an, range, &m))
            continue;
        take_back(an, &m);
        delta[n] = (double)m.delta;
        n += m.delta != 0;
    }
    for (int step = 0; step < 60 && n > 0; step++) {
        const double t = sqrt(lo * hi);
        double sum = 0;
        for (uint32_t i = 0; i < n; i++)
            sum += delta[i] <= 0 ? 1 : exp(-delta[i] / t);
        *(sum < acceptance * n ? &lo : &hi) = t;
    }
    spk_free(delta);
    *out = n > 0 ? lo : 0;
    return SPK_OK;
}

static double one_round(struct tree_annealer *an, uint64_t moves, double t, uint32_t range)
{
    uint64_t tried = 0, accepted = 0;
    struct tree_move m;
    for (uint64_t i = 0; i < moves; i++) {
        if (!try_move(an, range, &m))
            continue;
        const double u = (place_rand(&an->rng) + 0.5) * 0x1p-32;
        tried += m.delta != 0;
        if (m.delta > 0 && (t <= 0 || (double)m.delta >= t * -log(u))) {
            take_back(an, &m);
            continue;
        }
        keep(an, &m);
        accepted += m.delta != 0;
    }
    return tried > 0 ? (double)accepted / (double)tried : 0;
}

static spk_status anneal_trees(struct tree_annealer *an, const struct place_schedule *s,
                               const struct progress *progress)
{
    const uint32_t side = an->axes->w > an->axes->h ? an->axes->w : an->axes->h;
    double range = s->range < side ? s->range : side, t;
    const double rounds = log(100) / -log(s->cooling) + 1;
    const uint64_t moves = (uint64_t)(s->moves / rounds) + 1;
    if (progress_cancelled(progress))
        return SPK_OK;
    SPK_TRY(start_temperature(an, (uint32_t)range, s->acceptance, &t));
    const double end = t * 1e-4;
    for (uint32_t round = 0; round < MAX_ROUNDS && t > end; round++) {
        if (progress_update(progress, s->progress_base) != SPK_OK)
            return SPK_OK;
        const double accepted = one_round(an, moves, t, (uint32_t)range);
        if (accepted < 0.02 && range <= 1)
            break;
        t *= accepted > 0.8 || accepted < 0.15 ? pow(s->cooling, 3) : s->cooling;
        range = fmin(fmax(range * (1 - 0.44 + accepted), 1), side);
    }
    (void)one_round(an, moves, 0, 1);
    return SPK_OK;
}

static spk_status prepare(struct tree_annealer *an)
{
    const size_t w = an->axes->w, h = an->axes->h;
    SPK_TRY(make_sets(an));
    SPK_TRY(make_lists(an));
    SPK_TRY(spk_alloc_array(an->n_sets, sizeof *an->stamp, &an->stamp));
    SPK_TRY(spk_alloc_array_raw(an->n_sets, sizeof *an->touched, &an->touched));
    SPK_TRY(spk_alloc_array(4 * w, sizeof *an->seen, &an->seen));
    an->low = an->seen + w;
    an->high = an->low + w;
    an->column = an->high + w;
    SPK_TRY(spk_alloc_array(2 * (h + 1), sizeof *an->row_weight, &an->row_weight));
    an->row_moment = an->row_weight + h + 1;
    for (uint32_t i = 0; i < an->n_sets; i++)
        an->set[i].cost = set_cost(an, &an->set[i]);
    return SPK_OK;
}

spk_status place_anneal_multicast(const struct ir_cluster_graph *graph,
                                  const struct place_axes *axes,
                                  const struct place_regions *regions,
                                  const struct place_schedule *schedule,
                                  const struct progress *progress, struct place_state *state,
                                  double *out_change)
{
    struct tree_annealer an = {.g = graph,
                               .axes = axes,
                               .regions = regions,
                               .state = state,
                               .rng = {schedule->seed * 0x9e3779b97f4a7c15u + 1}};
    spk_status status = prepare(&an);
    if (status == SPK_OK && graph->n_clusters > 0 && axes->n_free > 1)
        status = anneal_trees(&an, schedule, progress);
    if (out_change != NULL)
        *out_change = (double)an.change / (an.scale * axes->scale);
    spk_free(an.set);
    spk_free(an.source);
    spk_free(an.of_first);
    spk_free(an.of_node);
    spk_free(an.stamp);
    spk_free(an.touched);
    spk_free(an.seen);
    spk_free(an.row_weight);
    return status;
}
