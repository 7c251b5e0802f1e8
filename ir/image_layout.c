/* Where the neurons of a compartment group lie on its core (struct img_group).
 *
 * A group is a box of positions x channels. Channels are cut into slices of `slice`, each of which
 * has a plane of compartments; within a plane, rows of positions are `pitch` positions apart. Rows
 * and planes may so be farther apart than their neurons need: the compartments between are padding,
 * on which synapses of a shared block may land that belong to no neuron. Cost: constant. */
#include "ir/image.h"

uint64_t img_group_extent(const struct img_group *g)
{
    const uint64_t planes = ((uint64_t)g->nc + g->slice - 1) / g->slice;
    return (planes - 1) * g->plane + ((uint64_t)(g->ny - 1) * g->pitch + g->nx) * g->slice;
}

uint32_t img_group_neuron(const struct img_group *g, uint32_t comp)
{
    uint32_t at = comp - g->comp_first, p = 0;
    if (comp < g->comp_first)
        return IMG_NONE;
    if (g->slice < g->nc) {
        p = at / g->plane;
        at %= g->plane;
    }
    const uint32_t position = at / g->slice, y = position / g->pitch, x = position % g->pitch;
    const uint64_t c = (uint64_t)p * g->slice + at % g->slice;
    if (y >= g->ny || x >= g->nx || c >= g->nc)
        return IMG_NONE;
    return (y * g->nx + x) * g->nc + (uint32_t)c;
}

uint32_t img_group_comp(const struct img_group *g, uint32_t neuron)
{
    const uint32_t c = neuron % g->nc, position = neuron / g->nc;
    return g->comp_first + c / g->slice * g->plane +
           (position / g->nx * g->pitch + position % g->nx) * g->slice + c % g->slice;
}

uint32_t img_out_comp(const struct img_group *g, uint32_t comp_first, uint32_t i)
{
    if (g == NULL || g->slice == g->nc)
        return comp_first + i;
    const uint32_t r = (comp_first - g->comp_first) % g->slice;
    return comp_first - r + (r + i) / g->slice * g->plane + (r + i) % g->slice;
}
