/* Clusters that have to go to some cells: who gets which, and the same on coarser grids.
 *
 * A bipartite matching of nodes and cells (Kuhn 1955), with regions instead of nodes in the search
 * for an exchange, as nodes of one region are alike: each region is looked at once. Nodes of small
 * regions choose first, each the free cell nearest to its wish; only where a region is full others
 * move on. So a place is found whenever there is one. Cost: nodes times the cells of their regions,
 * for each exchange once more all cells of all regions. */
#include <stdlib.h>
#include <string.h>

#include "passes/place/place_internal.h"
#include "support/alloc.h"

#define MOST_GROWTH 3 /* cells that a region may grow on a coarse grid to hold its nodes */

bool place_may_be_at(const struct place_regions *r, uint32_t node, uint32_t cell)
{
    const uint32_t k = r->of[node];
    if (k == PLACE_NONE)
        return true;
    uint32_t lo = r->first[k], hi = r->first[k + 1];
    while (lo < hi) {
        const uint32_t middle = lo + (hi - lo) / 2;
        if (r->cell[middle] < cell)
            lo = middle + 1;
        else
            hi = middle;
    }
    return lo < r->first[k + 1] && r->cell[lo] == cell;
}

struct assigner {
    const struct place_regions *r;
    const uint32_t *wish; /* or NULL */
    uint32_t width;
    uint32_t *cell_of;              /* [n] */
    uint32_t *owner;                /* [largest cell + 1] */
    uint32_t *queue, *parent, *via; /* [regions]: whose node at cell `via` stands in its way */
};

static uint32_t gap(uint32_t a, uint32_t b)
{
    return a > b ? a - b : b - a;
}

/* The free cell of a region nearest to the node's wish, or PLACE_NONE. */
static uint32_t free_cell(const struct assigner *a, uint32_t region, uint32_t node)
{
    uint32_t best = PLACE_NONE, least = UINT32_MAX;
    for (uint32_t k = a->r->first[region]; k < a->r->first[region + 1]; k++) {
        const uint32_t c = a->r->cell[k], w = a->wish != NULL ? a->wish[node] : c;
        const uint32_t far = gap(c % a->width, w % a->width) + gap(c / a->width, w / a->width);
        if (a->owner[c] != PLACE_NONE || far >= least)
            continue;
        best = c;
        least = far;
    }
    return best;
}

static void settle(struct assigner *a, uint32_t node, uint32_t cell)
{
    a->cell_of[node] = cell;
    a->owner[cell] = node;
}

/* Everyone along the chain of regions that led to `region` moves on by one. */
static void move_on(struct assigner *a, uint32_t region, uint32_t cell, uint32_t node)
{
    while (a->parent[region] != region) {
        const uint32_t left = a->via[region];
        settle(a, a->owner[left], cell);
        cell = left;
        region = a->parent[region];
    }
    settle(a, node, cell);
}

/* A cell for a node whose region is full, by moving others on; false where there is none. */
static bool exchange(struct assigner *a, uint32_t node)
{
    const struct place_regions *r = a->r;
    uint32_t head = 0, tail = 0;
    memset(a->parent, 0xff, r->n * sizeof *a->parent);
    a->parent[r->of[node]] = r->of[node];
    a->queue[tail++] = r->of[node];
    while (head < tail) {
        const uint32_t k = a->queue[head++];
        for (uint32_t i = r->first[k]; i < r->first[k + 1]; i++) {
            const uint32_t other = a->owner[r->cell[i]], s = r->of[other];
            if (a->parent[s] != PLACE_NONE)
                continue;
            a->parent[s] = k;
            a->via[s] = r->cell[i];
            const uint32_t cell = free_cell(a, s, other);
            if (cell != PLACE_NONE) {
                move_on(a, s, cell, node);
                return true;
            }
            a->queue[tail++] = s;
        }
    }
    return false;
}

struct turn {
    uint32_t size, node;
};

static int compare_turns(const void *x, const void *y)
{
    const struct turn *a = x, *b = y;
    if (a->size != b->size)
        return a->size < b->size ? -1 : 1;
    return (a->node > b->node) - (a->node < b->node);
}

static spk_status assign(struct assigner *a, uint32_t n, uint32_t *out_lacking)
{
    const struct place_regions *r = a->r;
    uint32_t n_turns = 0;
    struct turn *turn;
    SPK_TRY(spk_alloc_array_raw(n, sizeof *turn, &turn));
    for (uint32_t v = 0; v < n; v++)
        if (r->of[v] != PLACE_NONE)
            turn[n_turns++] = (struct turn){r->first[r->of[v] + 1] - r->first[r->of[v]], v};
    qsort(turn, n_turns, sizeof *turn, compare_turns);
    for (uint32_t i = 0; i < n_turns && *out_lacking == PLACE_NONE; i++) {
        const uint32_t v = turn[i].node, cell = free_cell(a, r->of[v], v);
        if (cell != PLACE_NONE)
            settle(a, v, cell);
        else if (!exchange(a, v))
            *out_lacking = r->of[v];
    }
    spk_free(turn);
    return SPK_OK;
}

spk_status place_regions_assign(const struct place_regions *r, uint32_t n, uint32_t width,
                                const uint32_t *wish_of, uint32_t *out_cell, uint32_t *out_lacking)
{
    struct assigner a = {.r = r, .wish = wish_of, .width = width, .cell_of = out_cell};
    uint32_t most = 0;
    *out_lacking = PLACE_NONE;
    for (uint32_t i = 0; i < r->first[r->n]; i++)
        most = r->cell[i] > most ? r->cell[i] : most;
    memset(out_cell, 0xff, n * sizeof *out_cell);
    spk_status status = spk_alloc_array_raw((size_t)most + 1, sizeof *a.owner, &a.owner);
    if (status == SPK_OK)
        status = spk_alloc_array_raw(3 * (size_t)r->n, sizeof *a.queue, &a.queue);
    if (status == SPK_OK) {
        memset(a.owner, 0xff, ((size_t)most + 1) * sizeof *a.owner);
        a.parent = a.queue + r->n;
        a.via = a.parent + r->n;
        status = assign(&a, n, out_lacking);
    }
    spk_free(a.owner);
    spk_free(a.queue);
    return status;
}

/* ---- coarse grids ---- */

void place_regions_free(struct place_regions *r)
{
    if (r == NULL)
        return;
    union { /* arrays that are only read by all others */
        const uint32_t *seen;
        uint32_t *own;
    } first = {r->first}, cell = {r->cell}, of = {r->of};
    spk_free(first.own);
    spk_free(cell.own);
    spk_free(of.own);
    spk_free(r);
}

/* Coarse position of a fine one: the inverse of place_grid.c's division into rectangles. */
static uint32_t coarse_at(uint32_t fine, uint32_t n_fine, uint32_t n)
{
    return (uint32_t)((((uint64_t)fine + 1) * n - 1) / n_fine);
}

static int compare_cells(const void *x, const void *y)
{
    const uint32_t *a = x, *b = y;
    return (*a > *b) - (*a < *b);
}

/* Cells of the coarse grid no further than `grow` from one that holds a cell of the region. */
static uint32_t grown(const struct place_level *finest, const struct place_axes *ax,
                      uint32_t region, uint32_t grow, uint32_t *stamp, uint32_t *out)
{
    const struct place_regions *r = finest->regions;
    uint32_t n = 0;
    for (uint32_t i = r->first[region]; i < r->first[region + 1]; i++) {
        const uint32_t x = coarse_at(r->cell[i] % finest->axes.w, finest->axes.w, ax->w);
        const uint32_t y = coarse_at(r->cell[i] / finest->axes.w, finest->axes.h, ax->h);
        const uint32_t x1 = x + grow < ax->w ? x + grow : ax->w - 1;
        const uint32_t y1 = y + grow < ax->h ? y + grow : ax->h - 1;
        for (uint32_t v = y > grow ? y - grow : 0; v <= y1; v++) {
            for (uint32_t u = x > grow ? x - grow : 0; u <= x1; u++) {
                const uint32_t cell = v * ax->w + u;
                if (stamp[cell] == region || (ax->blocked != NULL && ax->blocked[cell]))
                    continue;
                stamp[cell] = region;
                out[n++] = cell;
            }
        }
    }
    qsort(out, n, sizeof *out, compare_cells);
    return n;
}

struct coarse {
    uint32_t *first, *cell, *of, *stamp, *scratch;
};

/* All regions, grown by so much; `cell` is made large enough. */
static spk_status make_cells(const struct place_level *finest, const struct place_axes *ax,
                             uint32_t grow, struct coarse *c)
{
    const size_t cells = (size_t)ax->w * ax->h;
    const uint32_t n = finest->regions->n;
    memset(c->stamp, 0xff, cells * sizeof *c->stamp);
    c->first[0] = 0;
    for (uint32_t k = 0; k < n; k++)
        c->first[k + 1] = c->first[k] + grown(finest, ax, k, grow, c->stamp, c->scratch);
    spk_free(c->cell);
    c->cell = NULL;
    SPK_TRY(spk_alloc_array_raw((size_t)c->first[n] + 1, sizeof *c->cell, &c->cell));
    memset(c->stamp, 0xff, cells * sizeof *c->stamp);
    for (uint32_t k = 0; k < n; k++)
        (void)grown(finest, ax, k, grow, c->stamp, c->cell + c->first[k]);
    return SPK_OK;
}

static spk_status coarsen(const struct place_level *finest, const struct place_level *fine,
                          struct place_level *to, struct coarse *c, bool *out_good)
{
    const struct place_regions *r = finest->regions;
    const size_t cells = (size_t)to->axes.w * to->axes.h;
    uint32_t *place;
    SPK_TRY(spk_alloc_array_raw((size_t)r->n + 1, sizeof *c->first, &c->first));
    SPK_TRY(spk_alloc_array_raw(to->n, sizeof *c->of, &c->of));
    SPK_TRY(spk_alloc_array_raw(cells, sizeof *c->stamp, &c->stamp));
    SPK_TRY(spk_alloc_array_raw(cells, sizeof *c->scratch, &c->scratch));
    for (uint32_t v = 0; v < fine->n; v++)
        c->of[fine->up[v]] = fine->regions->of[v];
    SPK_TRY(spk_alloc_array_raw(to->n, sizeof *place, &place));
    spk_status status = SPK_OK;
    for (uint32_t grow = 0; grow <= MOST_GROWTH && !*out_good && status == SPK_OK; grow++) {
        uint32_t lacking = PLACE_NONE;
        status = make_cells(finest, &to->axes, grow, c);
        const struct place_regions tried = {r->n, c->first, c->cell, c->of};
        if (status == SPK_OK)
            status = place_regions_assign(&tried, to->n, to->axes.w, NULL, place, &lacking);
        *out_good = status == SPK_OK && lacking == PLACE_NONE;
    }
    spk_free(place);
    return status;
}

spk_status place_regions_coarsen(const struct place_level *finest, const struct place_level *fine,
                                 struct place_level *coarse)
{
    struct coarse c = {0};
    bool good = false;
    if (fine->regions == NULL)
        return SPK_OK;
    spk_status status = coarsen(finest, fine, coarse, &c, &good);
    if (status == SPK_OK && good)
        status = spk_alloc_array(1, sizeof *coarse->own_regions, &coarse->own_regions);
    spk_free(c.stamp);
    spk_free(c.scratch);
    if (status == SPK_OK && good) {
        *coarse->own_regions = (struct place_regions){finest->regions->n, c.first, c.cell, c.of};
        coarse->regions = coarse->own_regions;
        return SPK_OK;
    }
    spk_free(c.first);
    spk_free(c.cell);
    spk_free(c.of);
    return status;
}
