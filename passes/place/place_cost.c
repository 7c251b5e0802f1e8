/* U and M of a placement in the grid's own costs, from nothing: what the annealers must agree
 * with. O(pins). */
#include <stdlib.h>
#include <string.h>

#include "passes/place/place_internal.h"
#include "support/alloc.h"

static double unicast(const struct ir_cluster_graph *g, const struct place_axes *ax,
                      const uint32_t *cell)
{
    double sum = 0;
    for (uint32_t e = 0; e < g->n_edges; e++) {
        const uint32_t s = cell[g->source[e]];
        int64_t length = 0;
        for (uint64_t k = g->first[e]; k < g->first[e + 1]; k++) {
            const uint32_t d = cell[g->dest[k]];
            length += labs((long)ax->x[s % ax->w] - ax->x[d % ax->w]) +
                      labs((long)ax->y[s / ax->w] - ax->y[d / ax->w]);
        }
        sum += g->weight[e] * (double)length;
    }
    return sum / ax->scale;
}

static int32_t gap(const int32_t *coordinate, uint32_t a, uint32_t b)
{
    return abs(coordinate[a] - coordinate[b]);
}

/* Length of the union of XY routes: the reach along the source's row, and in each column. */
static int64_t tree_length(const struct ir_cluster_graph *g, const struct place_axes *ax,
                           const uint32_t *cell, uint32_t e, uint32_t *seen, uint32_t *reach)
{
    const uint32_t s = cell[g->source[e]], sx = s % ax->w, sy = s / ax->w;
    uint32_t west = sx, east = sx;
    int64_t length = 0;
    for (uint64_t k = g->first[e]; k < g->first[e + 1]; k++) {
        const uint32_t x = cell[g->dest[k]] % ax->w, y = cell[g->dest[k]] / ax->w;
        west = x < west ? x : west;
        east = x > east ? x : east;
        if (seen[x] != e) {
            seen[x] = e;
            reach[2 * x] = reach[2 * x + 1] = sy;
        }
        if (y < reach[2 * x]) {
            length += gap(ax->y, reach[2 * x], y);
            reach[2 * x] = y;
        }
        if (y > reach[2 * x + 1]) {
            length += gap(ax->y, reach[2 * x + 1], y);
            reach[2 * x + 1] = y;
        }
    }
    return length + gap(ax->x, west, east);
}

static spk_status multicast(const struct ir_cluster_graph *g, const struct place_axes *ax,
                            const uint32_t *cell, double *out)
{
    uint32_t *seen;
    SPK_TRY(spk_alloc_array_raw(3 * (size_t)ax->w, sizeof *seen, &seen));
    memset(seen, 0xff, ax->w * sizeof *seen);
    *out = 0;
    for (uint32_t e = 0; e < g->n_edges; e++)
        *out += g->weight[e] * (double)tree_length(g, ax, cell, e, seen, seen + ax->w);
    *out /= ax->scale;
    spk_free(seen);
    return SPK_OK;
}

spk_status place_cost(const struct ir_cluster_graph *graph, const struct place_grid *grid,
                      enum place_objective objective, const uint32_t *cell, double *out_cost)
{
    struct place_axes axes;
    SPK_TRY(place_axes_of_grid(grid, &axes));
    spk_status status = SPK_OK;
    if (objective == PLACE_MULTICAST)
        status = multicast(graph, &axes, cell, out_cost);
    else
        *out_cost = unicast(graph, &axes, cell);
    place_axes_fini(&axes);
    return status;
}
