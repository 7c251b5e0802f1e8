/* Placements along a line: row by row, in alternating direction, or along a Hilbert curve.
 *
 * The curve is that of the enclosing power of two with the cells outside left out (Hilbert 1891;
 * the turn of coordinates per bit pair as in Warren, Hacker's Delight, ch. 16). O(cells). */
#include "passes/place/place_internal.h"

static struct place_xy hilbert_at(uint32_t side, uint64_t d)
{
    uint32_t x = 0, y = 0;
    for (uint32_t s = 1; s < side; s *= 2) {
        const uint32_t rx = 1 & (uint32_t)(d / 2), ry = 1 & ((uint32_t)d ^ rx);
        if (ry == 0) {
            if (rx == 1) {
                x = s - 1 - x;
                y = s - 1 - y;
            }
            const uint32_t t = x;
            x = y;
            y = t;
        }
        x += s * rx;
        y += s * ry;
        d /= 4;
    }
    return (struct place_xy){(uint16_t)x, (uint16_t)y};
}

/* Next cell of a line from *step on; false behind the last one. */
static bool next_cell(const struct place_grid *g, enum place_engine line, uint64_t *step,
                      size_t *out_cell)
{
    uint32_t side = 1;
    if (line != PLACE_HILBERT) {
        const uint64_t i = (*step)++, y = i / g->width, x = i % g->width;
        *out_cell = y * g->width + (line == PLACE_SNAKE && y % 2 ? g->width - 1 - x : x);
        return y < g->height;
    }
    while (side < g->width || side < g->height)
        side *= 2;
    while (*step < (uint64_t)side * side) {
        const struct place_xy p = hilbert_at(side, (*step)++);
        if (p.x >= g->width || p.y >= g->height)
            continue;
        *out_cell = (size_t)p.y * g->width + p.x;
        return true;
    }
    return false;
}

spk_status place_in_order(const struct place_grid *grid, enum place_engine line,
                          const uint32_t *order, uint32_t n, uint32_t *out_cell)
{
    uint64_t step = 0;
    size_t cell;
    for (uint32_t i = 0; i < n;) {
        if (!next_cell(grid, line, &step, &cell))
            return SPK_ERR_INTERNAL;
        if (grid->blocked == NULL || !grid->blocked[cell]) {
            out_cell[order != NULL ? order[i] : i] = (uint32_t)cell;
            i++;
        }
    }
    return SPK_OK;
}
