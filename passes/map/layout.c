/* Where a tile's neurons lie on their core: slices and padding (docs/mapping.md, section 2).
 *
 * Two costs of population axons are met by the layout alone. An axon shifts its block by a base
 * that the chip limits: cutting the channels into slices, each with a plane of all positions, makes
 * the first compartments of all positions small numbers. And a block serves only source positions
 * that reach the tile in the same way: with padding around the neurons, all do, the border's
 * synapses land on padding. Along an axis the source row s of a window reaches targets ceil((s +
 * pad - kernel + 1) / stride) .. floor((s + pad) / stride), so what the first and the last source
 * row of a tile reach beyond it is the padding. The padding behind a row (a plane) is that before
 * the next, so the larger of the two sides suffices between them. */
#include "passes/map/axons.h"

/* Padding before and behind target rows t0 .. t0 + n - 1 of a source of `size` rows. */
static void axis_padding(uint32_t t0, uint32_t n, uint32_t kernel, uint32_t stride, uint32_t pad,
                         uint32_t size, uint32_t *before, uint32_t *behind)
{
    uint32_t lo, hi;
    map_window_sources(t0, n, pad, stride, kernel, size, &lo, &hi);
    if (lo >= hi)
        return;
    const int64_t from = (int64_t)lo + pad - kernel + 1;
    const int64_t first = from > 0 ? (from + stride - 1) / stride : -(-from / (int64_t)stride);
    const int64_t last = ((int64_t)hi - 1 + pad) / stride;
    if ((int64_t)t0 - first > *before)
        *before = (uint32_t)(t0 - first);
    if (last - (t0 + n - 1) > *behind)
        *behind = (uint32_t)(last - (t0 + n - 1));
}

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

void map_tile_layout(const struct map_net *net, struct map_tile *t)
{
    const struct map_pop *p = &net->pops.data[t->pop];
    uint32_t bottom = 0, right = 0;
    t->slice = p->slice > 0 && p->slice < t->nc ? p->slice : t->nc;
    t->top = t->left = 0;
    t->pad_y = p->pad_y;
    t->pad_x = p->pad_x;
    for (uint32_t i = 0; i < p->n_projs; i++) {
        const struct map_proj *j = &net->projs.data[p->proj_first + i];
        if (j->pos != MAP_POS_WINDOW)
            continue;
        if (p->pad_y)
            axis_padding(t->y0, t->ny, j->kernel, j->stride, j->pad, j->view_h, &t->top, &bottom);
        if (p->pad_x)
            axis_padding(t->x0, t->nx, j->kernel_w, j->stride_w, j->pad_w, j->view_w, &t->left,
                         &right);
    }
    const uint32_t planes = (t->nc + t->slice - 1) / t->slice;
    t->pitch = t->nx + larger(t->left, right);
    t->plane = planes > 1 ? (t->ny + larger(t->top, bottom)) * t->pitch * t->slice : 0;
    const uint32_t lead = t->top * t->pitch + t->left;
    t->lead = lead * t->slice;
    t->comps = (planes - 1) * t->plane +
               (lead + (t->ny - 1 + bottom) * t->pitch + t->nx + right) * t->slice +
               (p->teachers ? t->nc : 0);
}

uint32_t map_tile_comp(const struct map_tile *t, uint32_t y, uint32_t x, uint32_t channel)
{
    return t->comp_first + t->lead + channel / t->slice * t->plane + (y * t->pitch + x) * t->slice +
           channel % t->slice;
}
