/* Tile shapes of a population: which uniform grids respect the limits that depend on the population
 * alone, and what they ask of its neighbours. */
#ifndef SPIKEC_PASSES_MAP_SHAPES_H
#define SPIKEC_PASSES_MAP_SHAPES_H

#include "passes/map/map.h"

/* Tiles of th x tw positions and tc channels, as a grid of gh x gw x gc, and how their neurons lie
 * on a core (struct map_pop). */
struct map_shape {
    uint32_t th, tw, tc, gh, gw, gc;
    uint32_t slice;
    bool pad_y, pad_x;
};
struct shape_vec VEC_FIELDS(struct map_shape);

static inline uint64_t shape_tiles(const struct map_shape *s)
{
    return (uint64_t)s->gh * s->gw * s->gc;
}
static inline uint64_t shape_positions(const struct map_shape *s)
{
    return (uint64_t)s->th * s->tw;
}

/* The plain layout. */
struct map_shape map_shape_make(const struct map_pop *p, uint32_t th, uint32_t tw, uint32_t tc);
/* The shape that is set in the population. */
struct map_shape map_shape_of(const struct map_pop *p);
void map_shape_set(struct map_pop *p, const struct map_shape *s);

/* The limits of a core that are checked, in the order of the messages. Out-axons come last: they
 * depend on the consumers. */
struct map_limit_name {
    enum tgt_limit limit;
    const char *what;
};
#define MAP_N_LIMITS 6
extern const struct map_limit_name map_limits[MAP_N_LIMITS];
uint64_t map_usage_of(const struct map_usage *u, enum tgt_limit l);
/* Index into map_limits of the first one that is violated, or MAP_N_LIMITS. */
size_t map_usage_violation(const struct tgt *t, const struct map_usage *u);

/* Shapes of `pop` by rising number of tiles, cut to those that respect every limit if each source
 * were one tile per position; with `fine`, also channel blocks smaller than the largest that fits.
 * Sources keep their cut. */
SPK_CHECKED spk_status map_shapes_find(struct map_net *net, uint32_t pop, bool fine,
                                       struct shape_vec *out);
/* Worst use over the corner, border and middle tiles of the grid that is set in the population. */
SPK_CHECKED spk_status map_grid_fits(const struct map_net *net, uint32_t pop, bool *out_fits);
/* Out-axon slots of four entries to tiles of the shape, by projection `p`: 4 where every base fits
 * a short axon, more where some are no multiples of 4. */
uint32_t map_shape_slots(const struct map_net *net, const struct map_proj *p,
                         const struct map_shape *s);
/* Source positions of projection `p` that the largest tile of the shape reads. */
uint64_t map_shape_window(const struct map_net *net, const struct map_proj *p,
                          const struct map_shape *s);

#endif
