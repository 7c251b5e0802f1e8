/* Legalisation: from wished places, many alike, to one node per free cell.
 *
 * The grid is halved recursively (at chip borders first, else across the longer side); the nodes
 * of a region are split by rank of their wish so that each half gets those that wish to be there,
 * as far as both have cells for them. Order along each axis is kept and nobody is moved further
 * than crowding demands. Nodes that have to go to some cells are placed there before all others
 * (place_regions.c). Ties by node. Needs: no more nodes than free cells, and cells for all that
 * have to go to some.
 * Cost: O(n log n) expected, O(cells) for the counts of free cells. */
#include <math.h>

#include "passes/place/place_internal.h"
#include "support/alloc.h"

struct legaliser {
    const struct place_axes *axes;
    const struct place_grid *chips; /* NULL: one chip */
    uint32_t *below; /* [(h + 1) * (w + 1)] free cells left of x and above y; NULL: all are free */
    struct place_state *state;
};

struct region {
    uint32_t x0, x1, y0, y1;
};

static uint32_t free_cells(const struct legaliser *lg, struct region r)
{
    const size_t line = (size_t)lg->axes->w + 1;
    const uint32_t *b = lg->below;
    if (b == NULL)
        return (r.x1 - r.x0) * (r.y1 - r.y0);
    return b[r.y1 * line + r.x1] - b[r.y0 * line + r.x1] - b[r.y1 * line + r.x0] +
           b[r.y0 * line + r.x0];
}

static bool before(const struct place_wish *a, const struct place_wish *b, bool by_x)
{
    const float p = by_x ? a->x : a->y, q = by_x ? b->x : b->y;
    return p != q ? p < q : a->node < b->node;
}

/* Quickselect: the k first of the order in front. Deterministic: the pivot is the middle one. */
static void select_first(struct place_wish *w, uint32_t n, uint32_t k, bool by_x)
{
    int64_t lo = 0, hi = (int64_t)n - 1;
    while (lo < hi) {
        const struct place_wish pivot = w[lo + (hi - lo) / 2];
        int64_t i = lo - 1, j = hi + 1;
        for (;;) {
            do
                i++;
            while (before(&w[i], &pivot, by_x));
            do
                j--;
            while (before(&pivot, &w[j], by_x));
            if (i >= j)
                break;
            const struct place_wish t = w[i];
            w[i] = w[j];
            w[j] = t;
        }
        if ((int64_t)k <= j)
            hi = j;
        else
            lo = j + 1;
    }
}

/* Border between chips nearest to the middle of [a, b), or 0 where the range is in one chip. */
static uint32_t chip_border(uint32_t a, uint32_t b, uint32_t chip)
{
    const uint32_t middle = a + (b - a) / 2;
    if (chip == 0 || a / chip == (b - 1) / chip)
        return 0;
    const uint32_t low = middle / chip * chip, high = low + chip;
    if (low <= a)
        return high;
    return high >= b || middle - low <= high - middle ? low : high;
}

/* Chooses the line that halves a region; true for a line across x. */
static bool choose_line(const struct legaliser *lg, struct region r, uint32_t *out_at)
{
    const uint32_t w = r.x1 - r.x0, h = r.y1 - r.y0;
    if (lg->chips != NULL) {
        const uint32_t at_x = chip_border(r.x0, r.x1, lg->chips->chip_w);
        const uint32_t at_y = chip_border(r.y0, r.y1, lg->chips->chip_h);
        if (at_x != 0 || at_y != 0) {
            const bool across = at_y == 0 || (at_x != 0 && w >= h);
            *out_at = across ? at_x : at_y;
            return across;
        }
    }
    *out_at = w >= h ? r.x0 + w / 2 : r.y0 + h / 2;
    return w >= h;
}

static void split(struct legaliser *lg, struct place_wish *w, uint32_t n, struct region r)
{
    if (n == 0)
        return;
    if (r.x1 - r.x0 == 1 && r.y1 - r.y0 == 1) {
        lg->state->pos[w[0].node] = (struct place_xy){(uint16_t)r.x0, (uint16_t)r.y0};
        lg->state->at[(size_t)r.y0 * lg->axes->w + r.x0] = w[0].node;
        return;
    }
    uint32_t at, k = 0;
    const bool by_x = choose_line(lg, r, &at);
    struct region low = r, high = r;
    if (by_x)
        low.x1 = high.x0 = at;
    else
        low.y1 = high.y0 = at;
    for (uint32_t i = 0; i < n; i++)
        k += (by_x ? w[i].x : w[i].y) < (float)at - 0.5f;
    const uint32_t room_low = free_cells(lg, low), room_high = free_cells(lg, high);
    const uint32_t least = n > room_high ? n - room_high : 0, most = n < room_low ? n : room_low;
    k = k < least ? least : k;
    k = k > most ? most : k;
    if (k > 0 && k < n)
        select_first(w, n, k, by_x);
    split(lg, w, k, low);
    split(lg, w + k, n - k, high);
}

static uint32_t nearest(float wish, uint32_t n)
{
    return wish <= 0 ? 0 : wish >= (float)(n - 1) ? n - 1 : (uint32_t)lroundf(wish);
}

/* Places the nodes that have a region and takes them out of `wish`; *io_n: how many are left. */
static spk_status place_pinned(const struct legaliser *lg, const struct place_regions *regions,
                               struct place_wish *wish, uint32_t *io_n)
{
    const uint32_t n = *io_n, w = lg->axes->w;
    uint32_t *wished, *cell, lacking, left = 0;
    SPK_TRY(spk_alloc_array_raw(2 * (size_t)n, sizeof *wished, &wished));
    cell = wished + n;
    for (uint32_t i = 0; i < n; i++)
        wished[wish[i].node] = nearest(wish[i].y, lg->axes->h) * w + nearest(wish[i].x, w);
    spk_status status = place_regions_assign(regions, n, w, wished, cell, &lacking);
    if (status == SPK_OK && lacking != PLACE_NONE)
        status = SPK_ERR_INTERNAL;
    for (uint32_t i = 0; i < n && status == SPK_OK; i++) {
        const uint32_t v = wish[i].node;
        if (cell[v] == PLACE_NONE) {
            wish[left++] = wish[i];
            continue;
        }
        lg->state->pos[v] = (struct place_xy){(uint16_t)(cell[v] % w), (uint16_t)(cell[v] / w)};
        lg->state->at[cell[v]] = v;
    }
    spk_free(wished);
    *io_n = left;
    return status;
}

/* Counts the cells that are neither blocked nor taken. */
static spk_status count_below(struct legaliser *lg)
{
    const struct place_axes *ax = lg->axes;
    const size_t line = (size_t)ax->w + 1;
    SPK_TRY(spk_alloc_array(line * (ax->h + 1u), sizeof *lg->below, &lg->below));
    for (uint32_t y = 0; y < ax->h; y++) {
        uint32_t row = 0;
        for (uint32_t x = 0; x < ax->w; x++) {
            const size_t cell = (size_t)y * ax->w + x;
            row += (ax->blocked == NULL || !ax->blocked[cell]) && lg->state->at[cell] == PLACE_NONE;
            lg->below[(y + 1) * line + x + 1] = lg->below[y * line + x + 1] + row;
        }
    }
    return SPK_OK;
}

spk_status place_legalise(const struct place_axes *axes, const struct place_grid *chips,
                          const struct place_regions *regions, struct place_wish *wish, uint32_t n,
                          struct place_state *state)
{
    struct legaliser lg = {axes, chips, NULL, state};
    const size_t cells = (size_t)axes->w * axes->h;
    for (size_t i = 0; i < cells; i++)
        state->at[i] = PLACE_NONE;
    if (regions != NULL)
        SPK_TRY(place_pinned(&lg, regions, wish, &n));
    if (axes->blocked != NULL || regions != NULL)
        SPK_TRY(count_below(&lg));
    split(&lg, wish, n, (struct region){0, axes->w, 0, axes->h});
    spk_free(lg.below);
    return SPK_OK;
}
