/* Legalisation: from wished places, many alike, to one node per free cell.
 *
 * The grid is halved recursively (at chip borders first, else across the longer side); the nodes
 * of a region are split by rank of their wish so that each half gets those that wish to be there,
 * as far as both have cells for them. Order along each axis is kept and nobody is moved further
 * than crowding demands. Nodes fixed to a chip go to its side whatever they wish. Ties by node.
 * Needs: no more nodes than free cells, and no more fixed ones on a chip than it has.
 * Cost: O(n log n) expected, O(cells) for the counts of free cells. */
#include <float.h>

#include "passes/place/place_internal.h"
#include "support/alloc.h"

struct legaliser {
    const struct place_axes *axes;
    const struct place_grid *chips; /* NULL: one chip */
    const uint32_t *fixed;
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

/* Chip side of a fixed node at a line: its wish is moved far beyond it. */
static uint32_t push_fixed(const struct legaliser *lg, struct place_wish *w, uint32_t n, bool by_x,
                           uint32_t at, uint32_t *out_high)
{
    uint32_t low = 0;
    *out_high = 0;
    if (lg->fixed == NULL || lg->chips == NULL || lg->chips->chip_w == 0)
        return 0;
    const uint32_t across = (lg->chips->width + lg->chips->chip_w - 1) / lg->chips->chip_w;
    const uint32_t chip = by_x ? lg->chips->chip_w : lg->chips->chip_h;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t f = lg->fixed[w[i].node];
        if (f == PLACE_NONE || chip == 0 || at % chip != 0)
            continue;
        const bool is_low = (by_x ? f % across : f / across) < at / chip;
        *(by_x ? &w[i].x : &w[i].y) = is_low ? -FLT_MAX : FLT_MAX;
        low += is_low;
        *out_high += !is_low;
    }
    return low;
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
    uint32_t at, fixed_high, k = 0;
    const bool by_x = choose_line(lg, r, &at);
    struct region low = r, high = r;
    if (by_x)
        low.x1 = high.x0 = at;
    else
        low.y1 = high.y0 = at;
    const uint32_t fixed_low = push_fixed(lg, w, n, by_x, at, &fixed_high);
    for (uint32_t i = 0; i < n; i++)
        k += (by_x ? w[i].x : w[i].y) < (float)at - 0.5f;
    const uint32_t room_low = free_cells(lg, low), room_high = free_cells(lg, high);
    uint32_t least = n > room_high ? n - room_high : 0, most = n < room_low ? n : room_low;
    least = least < fixed_low ? fixed_low : least;
    most = most > n - fixed_high ? n - fixed_high : most;
    k = k < least ? least : k;
    k = k > most ? most : k;
    if (k > 0 && k < n)
        select_first(w, n, k, by_x);
    split(lg, w, k, low);
    split(lg, w + k, n - k, high);
}

spk_status place_legalise(const struct place_axes *axes, const struct place_grid *chips,
                          const uint32_t *fixed, struct place_wish *wish, uint32_t n,
                          struct place_state *state)
{
    struct legaliser lg = {axes, chips, fixed, NULL, state};
    const size_t line = (size_t)axes->w + 1, cells = (size_t)axes->w * axes->h;
    for (size_t i = 0; i < cells; i++)
        state->at[i] = PLACE_NONE;
    if (axes->blocked != NULL) {
        SPK_TRY(spk_alloc_array(line * (axes->h + 1u), sizeof *lg.below, &lg.below));
        for (uint32_t y = 0; y < axes->h; y++) {
            uint32_t row = 0;
            for (uint32_t x = 0; x < axes->w; x++) {
                row += !axes->blocked[(size_t)y * axes->w + x];
                lg.below[(y + 1) * line + x + 1] = lg.below[y * line + x + 1] + row;
            }
        }
    }
    split(&lg, wish, n, (struct region){0, axes->w, 0, axes->h});
    spk_free(lg.below);
    return SPK_OK;
}
