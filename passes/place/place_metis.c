/* METIS (Karypis, Kumar 1998; version 5.1): recursive bisection of the graph along with the grid.
 *
 * The longer side of a region is halved; METIS halves its clusters in the ratio of the free cells.
 * Where its balance is not exact, the clusters that lose least move over. */
#include "passes/place/place_metis.h"

#include <stdlib.h>
#include <string.h>

#include "config.h"

#include "passes/place/place_internal.h"
#include "support/alloc.h"

#if SPIKEC_HAVE_METIS
#include <metis.h>

struct metis_run {
    const struct place_level *l;
    const struct place_axes *axes;
    uint32_t *cell;      /* result */
    uint32_t *local;     /* [n] index in the region */
    uint32_t *region_of; /* [n] number of the region being cut */
    uint32_t n_regions;
    idx_t seed;
    idx_t *first, *to, *weight, *part; /* for the largest region */
    struct metis_rank {
        int64_t loss;
        uint32_t node;
    } * rank;
};

static uint32_t free_in(const struct place_axes *ax, const uint32_t r[4])
{
    uint32_t n = 0;
    if (ax->blocked == NULL)
        return (r[1] - r[0]) * (r[3] - r[2]);
    for (uint32_t y = r[2]; y < r[3]; y++)
        for (uint32_t x = r[0]; x < r[1]; x++)
            n += !ax->blocked[(size_t)y * ax->w + x];
    return n;
}

static bool cut(struct metis_run *m, const uint32_t *node, uint32_t n, double share)
{
    idx_t options[METIS_NOPTIONS], n_vertices = (idx_t)n, one = 1, two = 2, cut_weight = 0;
    real_t target[2] = {(real_t)share, (real_t)(1 - share)};
    idx_t k = 0;
    const uint32_t region = ++m->n_regions;
    for (uint32_t i = 0; i < n; i++) {
        m->local[node[i]] = i;
        m->region_of[node[i]] = region;
    }
    for (uint32_t i = 0; i < n; i++) {
        m->first[i] = k;
        for (uint32_t e = m->l->link_first[node[i]]; e < m->l->link_first[node[i] + 1]; e++) {
            const struct place_link *link = &m->l->link[e];
            if (m->region_of[link->node] != region)
                continue;
            m->to[k] = (idx_t)m->local[link->node];
            m->weight[k++] = link->weight > 0 ? link->weight : 1;
        }
    }
    m->first[n] = k;
    METIS_SetDefaultOptions(options);
    options[METIS_OPTION_SEED] = m->seed;
    return METIS_PartGraphRecursive(&n_vertices, &one, m->first, m->to, NULL, NULL, m->weight, &two,
                                    target, NULL, options, &cut_weight, m->part) == METIS_OK;
}

static int compare_rank(const void *x, const void *y)
{
    const struct metis_rank *a = x, *b = y;
    if (a->loss != b->loss)
        return a->loss < b->loss ? -1 : 1;
    return (a->node > b->node) - (a->node < b->node);
}

/* Orders the nodes of a region: side 0 first, within it those that would lose most by leaving. The
 * first k then go to side 0. */
static void order_by_side(struct metis_run *m, uint32_t *node, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        int64_t to_low = 0;
        for (idx_t e = m->first[i]; e < m->first[i + 1]; e++)
            to_low += m->part[m->to[e]] == 0 ? m->weight[e] : -m->weight[e];
        const int64_t side = m->part[i] == 0 ? INT64_MIN / 2 : INT64_MAX / 2;
        m->rank[i] = (struct metis_rank){side - to_low, node[i]};
    }
    qsort(m->rank, n, sizeof *m->rank, compare_rank);
    for (uint32_t i = 0; i < n; i++)
        node[i] = m->rank[i].node;
}

static spk_status split_region(struct metis_run *m, uint32_t *node, uint32_t n, const uint32_t r[4])
{
    const uint32_t w = r[1] - r[0], h = r[3] - r[2];
    if (n == 0)
        return SPK_OK;
    if (w == 1 && h == 1) {
        m->cell[node[0]] = r[2] * m->axes->w + r[0];
        return SPK_OK;
    }
    uint32_t low[4] = {r[0], r[1], r[2], r[3]}, high[4] = {r[0], r[1], r[2], r[3]}, k = 0;
    if (w >= h)
        low[1] = high[0] = r[0] + w / 2;
    else
        low[3] = high[2] = r[2] + h / 2;
    const uint32_t room_low = free_in(m->axes, low), room_high = free_in(m->axes, high);
    if (room_low > 0 && room_high > 0 && n > 1) {
        if (!cut(m, node, n, (double)room_low / (room_low + room_high)))
            return SPK_ERR_NOMEM;
        for (uint32_t i = 0; i < n; i++)
            k += m->part[i] == 0;
        order_by_side(m, node, n);
    } else {
        k = room_low > 0 ? n : 0;
    }
    if (k > room_low)
        k = room_low;
    if (n - k > room_high)
        k = n - room_high;
    SPK_TRY(split_region(m, node, k, low));
    return split_region(m, node + k, n - k, high);
}

static spk_status run(struct metis_run *m)
{
    const size_t n = m->l->n, n_links = m->l->link_first[n];
    uint32_t *node;
    SPK_TRY(spk_alloc_array_raw(n, sizeof *m->local, &m->local));
    SPK_TRY(spk_alloc_array(n, sizeof *m->region_of, &m->region_of));
    SPK_TRY(spk_alloc_array_raw(n + 1, sizeof *m->first, &m->first));
    SPK_TRY(spk_alloc_array_raw(n_links + 1, sizeof *m->to, &m->to));
    SPK_TRY(spk_alloc_array_raw(n_links + 1, sizeof *m->weight, &m->weight));
    SPK_TRY(spk_alloc_array(n, sizeof *m->part, &m->part));
    SPK_TRY(spk_alloc_array_raw(n, sizeof *m->rank, &m->rank));
    SPK_TRY(spk_alloc_array_raw(n, sizeof *node, &node));
    for (uint32_t v = 0; v < n; v++)
        node[v] = v;
    const uint32_t all[4] = {0, m->axes->w, 0, m->axes->h};
    spk_status status = split_region(m, node, (uint32_t)n, all);
    spk_free(node);
    return status;
}

spk_status place_by_metis(const struct ir_cluster_graph *graph, const struct place_grid *grid,
                          uint64_t seed, struct diag_list *diags, uint32_t *out_cell)
{
    struct place_level l;
    SPK_TRY(place_level_build(graph, PLACE_NO_GROUPS, diags, &l));
    struct metis_run m = {
        .l = &l, .axes = &l.axes, .cell = out_cell, .seed = (idx_t)(seed & 0x3fffffff)};
    spk_status status = place_axes_of_grid(grid, &l.axes);
    if (status == SPK_OK && l.link_first[l.n] > INT32_MAX)
        status = diag_nofit(diags, spk_span_none, "E0693", "the graph is too large for METIS");
    if (status == SPK_OK)
        status = run(&m);
    spk_free(m.local);
    spk_free(m.region_of);
    spk_free(m.first);
    spk_free(m.to);
    spk_free(m.weight);
    spk_free(m.part);
    spk_free(m.rank);
    place_level_fini(&l);
    return status;
}

#else

spk_status place_by_metis(const struct ir_cluster_graph *graph, const struct place_grid *grid,
                          uint64_t seed, struct diag_list *diags, uint32_t *out_cell)
{
    (void)graph;
    (void)grid;
    (void)seed;
    (void)out_cell;
    return diag_usage(diags, spk_span_none, "E0694",
                      "the placer 'metis' is not built in: libmetis-dev was not found");
}

#endif
