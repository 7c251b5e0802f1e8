/* What the files of the placement room share. */
#ifndef SPIKEC_PASSES_PLACE_INTERNAL_H
#define SPIKEC_PASSES_PLACE_INTERNAL_H

#include "passes/place/place.h"

struct place_xy {
    uint16_t x, y;
};

struct place_link {
    uint32_t node;
    int32_t weight;
};

/* A node's part in a group: as a source (s > 0) and as a destination (d > 0); pair (a, b) of the
 * group has the weight a.s * b.d + a.d * b.s. */
struct place_member {
    uint32_t group; /* in lists by node; the node in lists by group */
    int32_t s, d;
};

/* Coordinates of a grid's columns and rows in whole units, and which cells may be used. */
struct place_axes {
    uint32_t w, h;
    int32_t *x, *y;   /* [w], [h], not falling */
    bool unit;        /* x[i] = i and y[i] = i */
    double scale;     /* units per unit of cost */
    uint8_t *blocked; /* [h * w] or NULL */
    uint32_t n_free;
};

/* One level of the multilevel scheme: an undirected graph of n nodes. Pairs of nodes that send to
 * each other are links, duplicates summed; where many sources share many destinations, the pairs
 * stay implicit in a group. Weights are integers: spikes times weight_scale. */
struct place_level {
    uint32_t n, n_groups;
    uint32_t *link_first; /* [n + 1] */
    struct place_link *link;
    uint32_t *member_first, *group_first; /* [n + 1], [n_groups + 1] */
    struct place_member *member, *group;  /* the same parts by node and by group */
    int64_t *self;                        /* [n] sum of s * d over the node's parts */
    uint32_t *size;                       /* [n] clusters in the node */
    uint32_t *up;                         /* [n] node of the next level; NULL at the last */
    double weight_scale;
    int64_t mean_weight;                 /* of an edge, for the end of the annealing */
    const struct place_regions *regions; /* of the nodes, in cells of this level; or NULL */
    struct place_regions *own_regions;   /* what that points at on coarse levels, owned */
    struct place_axes axes;
};

/* Where nodes are and what is in a cell. */
struct place_state {
    struct place_xy *pos; /* [n] */
    uint32_t *at;         /* [h * w] node or PLACE_NONE */
};

/* xorshift-multiply generator, small enough to be inlined into the annealer's loop. */
struct place_rng {
    uint64_t state;
};
static inline uint32_t place_rand(struct place_rng *r)
{
    uint64_t z = r->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 32)) * 0xd6e8feb86659fd93u;
    return (uint32_t)(z >> 32);
}
static inline uint32_t place_below(struct place_rng *r, uint32_t bound)
{
    return (uint32_t)(((uint64_t)place_rand(r) * bound) >> 32);
}

/* place_grid.c */
SPK_CHECKED spk_status place_grid_check(const struct place_grid *grid, struct diag_list *diags);
/* The grid's own coordinates. */
SPK_CHECKED spk_status place_axes_of_grid(const struct place_grid *grid, struct place_axes *out);
/* A coarser grid of the same shape with at least n free cells, in finer units. */
SPK_CHECKED spk_status place_axes_coarse(const struct place_axes *fine, uint32_t n,
                                         struct place_axes *out);
void place_axes_fini(struct place_axes *axes);

/* place_level.c: the finest level of a graph; axes are left empty. `cells_around` is width + height
 * of the grid; where the tables of the groups would be too large (PLACE_NO_GROUPS: always) every
 * pair becomes a link. SPK_ERR_NOFIT where the links do not fit into 32-bit counts. */
#define PLACE_NO_GROUPS UINT64_MAX
SPK_CHECKED spk_status place_level_build(const struct ir_cluster_graph *graph,
                                         uint64_t cells_around, struct diag_list *diags,
                                         struct place_level *out);
void place_level_fini(struct place_level *level);
/* Fills the lists of parts from group_first and group. */
SPK_CHECKED spk_status place_level_index(struct place_level *level);
/* Sums links to the same neighbour. */
SPK_CHECKED spk_status place_level_merge(struct place_level *level);

/* place_regions.c */
bool place_may_be_at(const struct place_regions *regions, uint32_t node, uint32_t cell);
/* Cells for all nodes that have a region, each near its wish; out_cell of others is PLACE_NONE.
 * *out_lacking: a region whose nodes (with those of regions that it meets) are more than the cells,
 * or PLACE_NONE. `wish_of` [n]: wished cell of each node, or NULL. */
SPK_CHECKED spk_status place_regions_assign(const struct place_regions *regions, uint32_t n,
                                            uint32_t width, const uint32_t *wish_of,
                                            uint32_t *out_cell, uint32_t *out_lacking);
/* Regions of the nodes of the level above `fine` in its own cells, grown a little where these are
 * too few for its nodes; it gets none where that does not help, so that only finer ones obey. Its
 * axes must be set. */
SPK_CHECKED spk_status place_regions_coarsen(const struct place_level *finest,
                                             const struct place_level *fine,
                                             struct place_level *coarse);
void place_regions_free(struct place_regions *regions); /* NULL is allowed */

/* place_coarsen.c: pairs nodes that exchange most per size, of one region; sets fine->up. */
SPK_CHECKED spk_status place_coarsen(struct place_level *fine, uint32_t max_size, uint64_t seed,
                                     struct place_level *out);

/* place_legalise.c: cells for nodes that wish to be at (x, y), in cells, with the least change of
 * their order; nodes that have a region are placed first. `chips` and `regions` may be NULL. */
struct place_wish {
    float x, y;
    uint32_t node;
};
SPK_CHECKED spk_status place_legalise(const struct place_axes *axes, const struct place_grid *chips,
                                      const struct place_regions *regions, struct place_wish *wish,
                                      uint32_t n, struct place_state *state);

/* place_anneal.c: swaps with exact differences of U, which obey the level's regions. out_change
 * (may be NULL) is their sum over the moves made, in the level's units. Cancelling ends the moves.
 */
struct place_schedule {
    double moves;      /* in all */
    double acceptance; /* of uphill and downhill moves together, at the first temperature */
    double cooling;    /* factor per round */
    uint32_t range;    /* of the first moves, in cells */
    bool descend;      /* end in swaps of neighbours that help: for what is not annealed again */
    uint64_t seed;
    uint64_t progress_base, progress_span;
};
SPK_CHECKED spk_status place_anneal(const struct place_level *level, bool one_chip,
                                    const struct place_schedule *schedule,
                                    const struct progress *progress, struct place_state *state,
                                    int64_t *out_change);
/* U of a level's state, from nothing, in the level's units. */
SPK_CHECKED spk_status place_level_cost(const struct place_level *level,
                                        const struct place_state *state, int64_t *out_cost);

/* place_multicast.c: swaps with exact differences of M; out_change as above, in spikes x costs. */
SPK_CHECKED spk_status place_anneal_multicast(const struct ir_cluster_graph *graph,
                                              const struct place_axes *axes,
                                              const struct place_regions *regions,
                                              const struct place_schedule *schedule,
                                              const struct progress *progress,
                                              struct place_state *state, double *out_change);

/* place_orders.c: clusters in order (or by id) along a line through the free cells. */
SPK_CHECKED spk_status place_in_order(const struct place_grid *grid, enum place_engine line,
                                      const uint32_t *order, uint32_t n, uint32_t *out_cell);

#endif
