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

uint32_t img_group_comps(const struct image *im, uint32_t group)
{
    const struct img_core *k = &im->cores[im->groups[group].core];
    const uint32_t last = k->group_first + k->n_groups - 1;
    return (group == last ? k->neurons : im->groups[group + 1].comp_first) -
           (group == k->group_first ? 0 : im->groups[group].comp_first);
}

uint32_t img_group_at(const struct image *im, uint32_t core, uint32_t comp)
{
    const struct img_core *k = &im->cores[core];
    uint32_t group = k->group_first;
    for (uint32_t g = group + 1; g < k->group_first + k->n_groups; g++)
        if (im->groups[g].comp_first <= comp)
            group = g;
    return group;
}

uint32_t img_axon_group(const struct image *im, uint32_t core, const struct img_in_axon *a)
{
    const struct img_core *k = &im->cores[core];
    if (a->group != IMG_NONE)
        return a->group;
    if (k->n_groups <= 1 || a->block == IMG_NONE)
        return k->group_first;
    /* The last target of a row is a neuron of the group or padding behind one. */
    const struct img_content *c = &im->contents[im->blocks[a->block].content];
    for (uint32_t r = a->row; r < a->row + a->atoms; r++) {
        const struct img_row *row = &im->rows[c->row_first + r];
        if (row->n_runs == 0)
            continue;
        const struct img_run *last = &im->runs[row->run_first + row->n_runs - 1];
        return img_group_at(im, core, a->base + last->start + last->length - 1);
    }
    return k->group_first;
}
