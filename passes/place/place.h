/* Placement of clusters on a grid of cells: public header of the room.
 *
 * In: a hypergraph (an edge is a source, its spikes per inference, and the set of clusters that
 * receive them) and a grid of cells with its costs. Out: a cell for every cluster, no two in one.
 * The room knows nothing of models, tiles or targets; the mapper and `spikec place` both use it.
 * docs/placement.md describes the algorithm and has the measured figures.
 *
 * Distance is |X[a.x] - X[b.x]| + |Y[a.y] - Y[b.y]|, where the coordinate of a column (row) counts
 * the router tiles before it times the cost of a hop plus the chip borders before it times their
 * cost: 0 within a tile. The same graph, grid, options and seed give the same cells at any number
 * of threads. */
#ifndef SPIKEC_PASSES_PLACE_PLACE_H
#define SPIKEC_PASSES_PLACE_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "ir/cluster_graph.h"
#include "support/diag.h"
#include "support/pool.h"
#include "support/progress.h"
#include "support/status.h"

#define PLACE_NONE UINT32_MAX
/* Widest and highest grid; positions are kept in 16 bits. */
#define PLACE_MAX_SIDE 65535u

struct place_grid {
    uint32_t width, height;          /* cells */
    uint32_t tile_w, tile_h;         /* cells of a router tile; 0: 1 */
    uint32_t chip_w, chip_h;         /* cells of a chip; 0: the whole grid is one chip */
    double x_cost, y_cost;           /* of a hop between neighbouring routers; both 0: 1 and 1 */
    double chip_x_cost, chip_y_cost; /* of a chip border, on top of the hop */
    const uint8_t *blocked;          /* [height * width], non-zero: no cluster here; or NULL */
};

enum place_objective {
    PLACE_UNICAST,  /* U = sum over edges and destinations of spikes x distance */
    PLACE_MULTICAST /* M = sum over edges of spikes x length of the union of their XY routes */
};

enum place_engine {
    PLACE_SPIKEC,  /* multilevel annealing, the default */
    PLACE_SCOTCH,  /* Scotch's dual recursive bipartitioning onto the mesh */
    PLACE_METIS,   /* recursive bisection of graph and grid by METIS */
    PLACE_HILBERT, /* clusters in order along a Hilbert curve */
    PLACE_ROW,     /* row by row */
    PLACE_SNAKE    /* row by row in alternating direction */
};

/* Where some clusters have to go. No region holds a blocked cell or a cell twice. */
struct place_regions {
    uint32_t n;
    const uint32_t *first; /* [n + 1] */
    const uint32_t *cell;  /* [first[n]] ascending within a region */
    const uint32_t *of;    /* [n_clusters] region, or PLACE_NONE: anywhere */
};

struct place_options {
    enum place_objective objective;
    enum place_engine engine;
    uint64_t seed;
    double effort;         /* of the search, 1 is the default; 0 stands for 1 */
    const uint32_t *order; /* clusters along the line of the first placement, or NULL: by id */
    const struct place_regions *regions; /* or NULL: every cluster may go anywhere */
    struct pool *pool;                   /* or NULL */
    const struct progress *progress;     /* or NULL */
    bool *out_ended_early; /* set where the search was cancelled: the cells are the best so far, and
                              as legal as ever. NULL: cancelling is SPK_ERR_CANCELLED */
};

/* Places every cluster: cell[c] = y * width + x. SPK_ERR_NOFIT with a message where there are more
 * clusters than free cells (or more that have to go to some than those are), SPK_ERR_USAGE for an
 * engine that is not built in or cannot do what is asked for, SPK_ERR_CANCELLED. The graph must
 * pass ir_cluster_graph_check. Duplicate edges are separate axons. */
SPK_CHECKED spk_status place_run(const struct ir_cluster_graph *graph,
                                 const struct place_grid *grid, const struct place_options *options,
                                 struct diag_list *diags, uint32_t *out_cell);

/* U and M of a placement, in the grid's costs. */
SPK_CHECKED spk_status place_cost(const struct ir_cluster_graph *graph,
                                  const struct place_grid *grid, enum place_objective objective,
                                  const uint32_t *cell, double *out_cost);

/* Names as of the command line; false where there is none of that name. */
bool place_engine_find(const char *name, enum place_engine *out_engine);
const char *place_engine_name(enum place_engine engine);

#endif
