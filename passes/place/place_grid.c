/* Grids: coordinates of columns and rows, free cells, and coarser grids of the same shape.
 *
 * Every cost of the network is a sum of an x and a y part, so a grid is two rising coordinate lists
 * in whole units. Costs that are not whole numbers are rounded to 1/UNITS of the cheapest one. A
 * coarse grid divides the fine one into w x h rectangles; its coordinates are the means of theirs.
 */
#include <math.h>
#include <string.h>

#include "passes/place/place_internal.h"
#include "support/alloc.h"

#define UNITS 64.0
#define COARSE_UNITS 16 /* coarse units per fine one */
#define MAX_UNITS (1 << 26)

void place_axes_fini(struct place_axes *axes)
{
    spk_free(axes->x);
    spk_free(axes->y);
    spk_free(axes->blocked);
    memset(axes, 0, sizeof *axes);
}

static bool cost_ok(double c)
{
    return isfinite(c) && c >= 0 && c <= 1e6;
}

spk_status place_grid_check(const struct place_grid *grid, struct diag_list *diags)
{
    if (grid->width == 0 || grid->height == 0 || grid->width > PLACE_MAX_SIDE ||
        grid->height > PLACE_MAX_SIDE)
        return diag_error(diags, spk_span_none, "E0680",
                          "a mesh of %u x %u: sides must be from 1 to %u", grid->width,
                          grid->height, PLACE_MAX_SIDE);
    if (!cost_ok(grid->x_cost) || !cost_ok(grid->y_cost) || !cost_ok(grid->chip_x_cost) ||
        !cost_ok(grid->chip_y_cost))
        return diag_error(diags, spk_span_none, "E0681",
                          "costs of the mesh must be numbers from 0 to 1e6");
    return SPK_OK;
}

static bool is_whole(double c)
{
    return c == floor(c);
}

static double axis_scale(const struct place_grid *g)
{
    const double c[4] = {g->x_cost, g->y_cost, g->chip_x_cost, g->chip_y_cost};
    double least = INFINITY;
    bool whole = true;
    for (int i = 0; i < 4; i++) {
        whole = whole && is_whole(c[i]);
        if (c[i] > 0 && c[i] < least)
            least = c[i];
    }
    return whole || !isfinite(least) ? 1.0 : UNITS / least;
}

/* Coordinate of position i of an axis, in costs. */
static double coordinate(uint32_t i, uint32_t tile, uint32_t chip, double hop, double border)
{
    return hop * (tile > 1 ? i / tile : i) + (chip > 0 ? border * (i / chip) : 0);
}

static spk_status fill_axis(uint32_t n, uint32_t tile, uint32_t chip, double hop, double border,
                            double scale, int32_t **out)
{
    SPK_TRY(spk_alloc_array_raw(n, sizeof **out, out));
    for (uint32_t i = 0; i < n; i++)
        (*out)[i] = (int32_t)lround(scale * coordinate(i, tile, chip, hop, border));
    return SPK_OK;
}

static bool is_unit(const struct place_axes *a)
{
    for (uint32_t i = 0; i < a->w; i++)
        if (a->x[i] != (int32_t)i)
            return false;
    for (uint32_t i = 0; i < a->h; i++)
        if (a->y[i] != (int32_t)i)
            return false;
    return true;
}

static spk_status copy_blocked(const uint8_t *blocked, struct place_axes *a)
{
    const size_t cells = (size_t)a->w * a->h;
    uint32_t n = 0;
    for (size_t i = 0; blocked != NULL && i < cells; i++)
        n += blocked[i] != 0;
    a->n_free = (uint32_t)cells - n;
    if (n == 0)
        return SPK_OK;
    SPK_TRY(spk_alloc_array_raw(cells, 1, &a->blocked));
    for (size_t i = 0; i < cells; i++)
        a->blocked[i] = blocked[i] != 0;
    return SPK_OK;
}

spk_status place_axes_of_grid(const struct place_grid *grid, struct place_axes *out)
{
    struct place_grid g = *grid;
    memset(out, 0, sizeof *out);
    if (g.x_cost == 0 && g.y_cost == 0)
        g.x_cost = g.y_cost = 1;
    out->w = g.width;
    out->h = g.height;
    out->scale = axis_scale(&g);
    const double far = fmax(coordinate(g.width, g.tile_w, g.chip_w, g.x_cost, g.chip_x_cost),
                            coordinate(g.height, g.tile_h, g.chip_h, g.y_cost, g.chip_y_cost));
    if (far * out->scale > MAX_UNITS)
        out->scale = MAX_UNITS / far;
    spk_status status =
        fill_axis(g.width, g.tile_w, g.chip_w, g.x_cost, g.chip_x_cost, out->scale, &out->x);
    if (status == SPK_OK)
        status =
            fill_axis(g.height, g.tile_h, g.chip_h, g.y_cost, g.chip_y_cost, out->scale, &out->y);
    if (status == SPK_OK)
        status = copy_blocked(g.blocked, out);
    if (status == SPK_OK)
        out->unit = is_unit(out);
    else
        place_axes_fini(out);
    return status;
}

/* Number of coarse cells that hold a free fine one; marks the others where `mark` is given. */
static uint32_t count_free(const struct place_axes *fine, uint32_t w, uint32_t h, uint8_t *mark)
{
    if (fine->blocked == NULL)
        return w * h;
    uint32_t n = 0;
    for (uint32_t j = 0; j < h; j++) {
        const uint32_t y0 = (uint32_t)((uint64_t)j * fine->h / h);
        const uint32_t y1 = (uint32_t)((uint64_t)(j + 1) * fine->h / h);
        for (uint32_t i = 0; i < w; i++) {
            const uint32_t x0 = (uint32_t)((uint64_t)i * fine->w / w);
            const uint32_t x1 = (uint32_t)((uint64_t)(i + 1) * fine->w / w);
            bool free_one = false;
            for (uint32_t y = y0; y < y1 && !free_one; y++)
                for (uint32_t x = x0; x < x1 && !free_one; x++)
                    free_one = !fine->blocked[(size_t)y * fine->w + x];
            n += free_one;
            if (mark != NULL)
                mark[(size_t)j * w + i] = !free_one;
        }
    }
    return n;
}

static spk_status coarse_axis(const int32_t *fine, uint32_t n_fine, uint32_t n, int32_t units,
                              int32_t **out)
{
    SPK_TRY(spk_alloc_array_raw(n, sizeof **out, out));
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t a = (uint32_t)((uint64_t)i * n_fine / n);
        const uint32_t b = (uint32_t)((uint64_t)(i + 1) * n_fine / n);
        int64_t sum = 0;
        for (uint32_t k = a; k < b; k++)
            sum += fine[k];
        (*out)[i] = (int32_t)(sum * units / (b - a));
    }
    return SPK_OK;
}

spk_status place_axes_coarse(const struct place_axes *fine, uint32_t n, struct place_axes *out)
{
    const double f = sqrt((double)n / fine->n_free);
    uint32_t w = (uint32_t)ceil(fine->w * f), h = (uint32_t)ceil(fine->h * f);
    memset(out, 0, sizeof *out);
    w = w > fine->w ? fine->w : w;
    h = h > fine->h ? fine->h : h;
    if (fine->blocked == NULL) {
        while ((uint64_t)(w - 1) * h >= n)
            w--;
        while ((uint64_t)w * (h - 1) >= n)
            h--;
    }
    while (count_free(fine, w, h, NULL) < n) {
        if (h == fine->h || (w < fine->w && (uint64_t)w * fine->h < (uint64_t)h * fine->w))
            w++;
        else
            h++;
    }
    const int32_t reach =
        fine->x[fine->w - 1] > fine->y[fine->h - 1] ? fine->x[fine->w - 1] : fine->y[fine->h - 1];
    const int32_t units = reach < MAX_UNITS / COARSE_UNITS ? COARSE_UNITS : 1;
    out->w = w;
    out->h = h;
    out->scale = fine->scale * units;
    spk_status status = coarse_axis(fine->x, fine->w, w, units, &out->x);
    if (status == SPK_OK)
        status = coarse_axis(fine->y, fine->h, h, units, &out->y);
    out->n_free = w * h;
    if (status == SPK_OK && fine->blocked != NULL) {
        status = spk_alloc_array_raw((size_t)w * h, 1, &out->blocked);
        if (status == SPK_OK)
            out->n_free = count_free(fine, w, h, out->blocked);
    }
    if (status != SPK_OK)
        place_axes_fini(out);
    return status;
}
