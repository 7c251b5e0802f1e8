/* Annealing: swaps of cells within a window, with exact differences of U.
 *
 * A move takes a node to a cell within `range` of its own; who is there comes back. Links cost one
 * step each; a group costs a sum over the columns and rows crossed: for each group, side and axis a
 * table holds the slope of f(x) = sum over the side's members of weight x |x - member| between
 * neighbouring columns, so that the change for a member of the other side is read off (and an
 * accepted move changes the slopes it crosses only). Pairs within the two that swap are counted
 * twice that way and put right: a swap leaves their distance as it was.
 * AIMED of 256 moves go towards a random neighbour: the length of the step is as drawn, its
 * direction is the neighbour's, and along an axis on which the two already agree there is no step.
 * So steps follow the pull of the links (after the directed moves of VPR 8, Murray et al. 2020).
 * Not on several chips, where such steps pile up at the borders. Schedule as in VPR (Betz, Rose
 * 1997): the range follows the acceptance of 44 %, cooling is slow between 80 % and 15 %.
 * Acceptance counts only moves that change U. Same seed, same result. Cost: O(links + parts x
 * range) per move. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "passes/place/place_internal.h"
#include "support/alloc.h"

#define SAMPLES 2048
#define THRESHOLDS 4096
#define MAX_ROUNDS 600
#define AIMED 154
#define LARGE 65536 /* nodes above which moves are made window by window */
#define WINDOW 64u  /* columns and rows */
#define MAX_SWEEPS 64
#define LAST_SWEEPS 8 /* where the search was ended early */

struct spot {
    int32_t x, y;
};

struct annealer {
    const struct place_level *l;
    const struct place_axes *axes;
    bool one_chip;
    const struct place_regions *regions;
    struct place_xy *pos;
    struct spot *spot; /* [n] coordinates of a node's column and row */
    uint32_t *at;
    uint32_t window, window_x, window_y; /* 0: all of the grid */
    int32_t *slope;   /* [groups][2 sides][w + h]; side 0: sources, 1: destinations */
    size_t line;      /* w + h */
    float *threshold; /* -ln of the middle of each of THRESHOLDS equal parts of (0, 1) */
    struct place_rng rng;
    int64_t change; /* of U by all moves made */
};

static int32_t *slopes(const struct annealer *an, uint32_t group, uint32_t side)
{
    return an->slope + ((size_t)group * 2 + side) * an->line;
}

static void add_to_slopes(const struct annealer *an, int32_t *t, struct place_xy p, int32_t weight)
{
    for (uint32_t c = 0; c < an->axes->w; c++)
        t[c] += p.x <= c ? weight : -weight;
    t += an->axes->w;
    for (uint32_t c = 0; c < an->axes->h; c++)
        t[c] += p.y <= c ? weight : -weight;
}

static spk_status make_slopes(struct annealer *an)
{
    const struct place_level *l = an->l;
    an->line = (size_t)an->axes->w + an->axes->h;
    SPK_TRY(spk_alloc_array(l->n_groups * 2 * an->line, sizeof *an->slope, &an->slope));
    for (uint32_t g = 0; g < l->n_groups; g++) {
        for (uint32_t k = l->group_first[g]; k < l->group_first[g + 1]; k++) {
            const struct place_member *p = &l->group[k];
            if (p->s > 0)
                add_to_slopes(an, slopes(an, g, 0), an->pos[p->group], p->s);
            if (p->d > 0)
                add_to_slopes(an, slopes(an, g, 1), an->pos[p->group], p->d);
        }
    }
    return SPK_OK;
}

/* f(b) - f(a) from slopes. */
static inline int64_t crossed(const int32_t *t, const int32_t *coordinate, uint32_t a, uint32_t b)
{
    int64_t sum = 0;
    for (uint32_t c = a; c < b; c++)
        sum += (int64_t)t[c] * (coordinate[c + 1] - coordinate[c]);
    for (uint32_t c = b; c < a; c++)
        sum -= (int64_t)t[c] * (coordinate[c + 1] - coordinate[c]);
    return sum;
}

/* A member of this weight goes from a to b. */
static inline void shift(int32_t *t, uint32_t a, uint32_t b, int32_t weight)
{
    for (uint32_t c = a; c < b; c++)
        t[c] -= 2 * weight;
    for (uint32_t c = b; c < a; c++)
        t[c] += 2 * weight;
}

/* Change of U when `a` alone goes from p to q; adds the weight of its link to b to *io_pair. */
static inline int64_t move_delta(const struct annealer *an, uint32_t a, struct place_xy p,
                                 struct place_xy q, uint32_t b, int64_t *io_pair)
{
    const struct place_level *l = an->l;
    const int32_t *x = an->axes->x, *y = an->axes->y;
    const int32_t px = x[p.x], py = y[p.y], qx = x[q.x], qy = y[q.y];
    int64_t delta = 0;
    for (uint32_t k = l->link_first[a], end = l->link_first[a + 1]; k < end; k++) {
        const struct place_link e = l->link[k];
        const int32_t rx = an->spot[e.node].x, ry = an->spot[e.node].y;
        delta += (int64_t)e.weight * (abs(qx - rx) + abs(qy - ry) - abs(px - rx) - abs(py - ry));
        *io_pair += e.node == b ? e.weight : 0;
    }
    for (uint32_t k = l->member_first[a], end = l->member_first[a + 1]; k < end; k++) {
        const struct place_member m = l->member[k];
        if (m.s > 0) {
            const int32_t *t = slopes(an, m.group, 1);
            delta += m.s * (crossed(t, x, p.x, q.x) + crossed(t + an->axes->w, y, p.y, q.y));
        }
        if (m.d > 0) {
            const int32_t *t = slopes(an, m.group, 0);
            delta += m.d * (crossed(t, x, p.x, q.x) + crossed(t + an->axes->w, y, p.y, q.y));
        }
    }
    return delta;
}

static int64_t group_pair(const struct place_level *l, uint32_t a, uint32_t b)
{
    int64_t sum = 0;
    for (uint32_t i = l->member_first[a]; i < l->member_first[a + 1]; i++) {
        const struct place_member *m = &l->member[i];
        for (uint32_t k = l->member_first[b]; k < l->member_first[b + 1]; k++) {
            const struct place_member *o = &l->member[k];
            if (m->group == o->group)
                sum += (int64_t)m->s * o->d + (int64_t)m->d * o->s;
        }
    }
    return sum;
}

/* Change of U when `a` goes from p to q and b (PLACE_NONE: nobody) from q to p. */
static inline int64_t swap_delta(const struct annealer *an, uint32_t a, uint32_t b,
                                 struct place_xy p, struct place_xy q)
{
    const struct place_level *l = an->l;
    const int32_t *x = an->axes->x, *y = an->axes->y;
    int64_t pair = -l->self[a], unused = 0;
    int64_t delta = move_delta(an, a, p, q, b, &pair);
    if (b != PLACE_NONE) {
        delta += move_delta(an, b, q, p, PLACE_NONE, &unused);
        pair += group_pair(l, a, b) - l->self[b];
    }
    if (pair != 0)
        delta += 2 * pair * (abs(x[p.x] - x[q.x]) + abs(y[p.y] - y[q.y]));
    return delta;
}

static inline void move_node(struct annealer *an, uint32_t a, struct place_xy p, struct place_xy q)
{
    const struct place_level *l = an->l;
    for (uint32_t k = l->member_first[a], end = l->member_first[a + 1]; k < end; k++) {
        const struct place_member m = l->member[k];
        if (m.s > 0) {
            int32_t *t = slopes(an, m.group, 0);
            shift(t, p.x, q.x, m.s);
            shift(t + an->axes->w, p.y, q.y, m.s);
        }
        if (m.d > 0) {
            int32_t *t = slopes(an, m.group, 1);
            shift(t, p.x, q.x, m.d);
            shift(t + an->axes->w, p.y, q.y, m.d);
        }
    }
    an->pos[a] = q;
    an->spot[a] = (struct spot){an->axes->x[q.x], an->axes->y[q.y]};
    an->at[(size_t)q.y * an->axes->w + q.x] = a;
}

static inline void do_swap(struct annealer *an, uint32_t a, uint32_t b, struct place_xy p,
                           struct place_xy q)
{
    move_node(an, a, p, q);
    if (b != PLACE_NONE)
        move_node(an, b, q, p);
    else
        an->at[(size_t)p.y * an->axes->w + p.x] = PLACE_NONE;
}

static bool may_be_at(const struct annealer *an, uint32_t node, struct place_xy q)
{
    return place_may_be_at(an->regions, node, (uint32_t)q.y * an->axes->w + q.x);
}

/* From p the drawn step, towards r; may wrap below 0. */
static inline uint32_t step_to(uint32_t p, uint32_t r, uint32_t drawn)
{
    const int32_t offset = (int32_t)(drawn - p);
    const uint32_t step = (uint32_t)abs(offset);
    return r > p ? p + step : r < p ? p - step : p;
}

/* A random node; of a large graph one of the window at hand (or none: an empty cell). */
static inline uint32_t next_node(struct annealer *an)
{
    if (an->window == 0)
        return place_below(&an->rng, an->l->n);
    const uint32_t x = an->window_x + place_below(&an->rng, an->window);
    const uint32_t y = an->window_y + place_below(&an->rng, an->window);
    return x < an->axes->w && y < an->axes->h ? an->at[(size_t)y * an->axes->w + x] : PLACE_NONE;
}

/* A random move: false where it leads outside, to a blocked cell, or nowhere. */
static inline bool propose(struct annealer *an, uint32_t range, uint32_t *out_a, uint32_t *out_b,
                           struct place_xy *out_p, struct place_xy *out_q)
{
    const struct place_axes *ax = an->axes;
    const uint32_t a = next_node(an);
    if (a == PLACE_NONE)
        return false;
    const struct place_xy p = an->pos[a];
    const uint32_t span = 2 * range + 1;
    uint32_t x = p.x + place_below(&an->rng, span) - range;
    uint32_t y = p.y + place_below(&an->rng, span) - range;
    const uint32_t first = an->l->link_first[a], degree = an->l->link_first[a + 1] - first;
    if (an->one_chip && degree > 0 && place_rand(&an->rng) >> 24 < AIMED) {
        const uint32_t k = first + place_below(&an->rng, degree);
        const struct place_xy r = an->pos[an->l->link[k].node];
        x = step_to(p.x, r.x, x);
        y = step_to(p.y, r.y, y);
    }
    if (x >= ax->w || y >= ax->h) /* also what wrapped below 0 */
        return false;
    const size_t cell = (size_t)y * ax->w + x;
    const uint32_t b = an->at[cell];
    if (b == a || (ax->blocked != NULL && ax->blocked[cell]))
        return false;
    *out_q = (struct place_xy){(uint16_t)x, (uint16_t)y};
    if (an->regions != NULL &&
        (!may_be_at(an, a, *out_q) || (b != PLACE_NONE && !may_be_at(an, b, p))))
        return false;
    *out_a = a;
    *out_b = b;
    *out_p = p;
    return true;
}

/* The temperature at which this share of random moves would be accepted. */
static spk_status first_temperature(struct annealer *an, uint32_t range, double acceptance,
                                    double *out)
{
    double *delta, lo = 1e-3, hi = 1e18;
    uint32_t n = 0;
    SPK_TRY(spk_alloc_array_raw(SAMPLES, sizeof *delta, &delta));
    for (uint32_t i = 0; i < 8 * SAMPLES && n < SAMPLES; i++) {
        uint32_t a, b;
        struct place_xy p, q;
        if (!propose(an, range, &a, &b, &p, &q))
            continue;
        delta[n] = (double)swap_delta(an, a, b, p, q);
        n += delta[n] != 0;
    }
    for (int step = 0; step < 60 && n > 0; step++) {
        const double t = sqrt(lo * hi);
        double sum = 0;
        for (uint32_t i = 0; i < n; i++)
            sum += delta[i] <= 0 ? 1 : exp(-delta[i] / t);
        if (sum < acceptance * n)
            lo = t;
        else
            hi = t;
    }
    spk_free(delta);
    *out = n > 0 ? lo : 0;
    return SPK_OK;
}

/* Moves tried and accepted, of those that change U. */
struct tally {
    uint64_t tried, accepted;
};

static void some_moves(struct annealer *an, uint64_t moves, double temperature, uint32_t range,
                       struct tally *io)
{
    uint64_t tried = 0, accepted = 0;
    for (uint64_t i = 0; i < moves; i++) {
        uint32_t a, b;
        struct place_xy p, q;
        if (!propose(an, range, &a, &b, &p, &q))
            continue;
        const int64_t delta = swap_delta(an, a, b, p, q);
        const double limit = temperature * (double)an->threshold[place_rand(&an->rng) % THRESHOLDS];
        tried += delta != 0;
        if (delta > 0 && (double)delta >= limit)
            continue;
        do_swap(an, a, b, p, q);
        an->change += delta;
        accepted += delta != 0;
    }
    io->tried += tried;
    io->accepted += accepted;
}

/* One round of moves at one temperature; the share of moves accepted. The nodes of a large graph do
 * not fit a cache: they are taken window by window. */
static double round_of_moves(struct annealer *an, uint64_t moves, double temperature,
                             uint32_t range)
{
    struct tally t = {0};
    an->window = an->l->n > LARGE ? WINDOW : 0;
    if (an->window == 0) {
        some_moves(an, moves, temperature, range, &t);
    } else {
        const uint32_t across = (an->axes->w + WINDOW - 1) / WINDOW;
        const uint32_t down = (an->axes->h + WINDOW - 1) / WINDOW;
        for (uint32_t i = 0; i < across * down; i++) {
            const uint32_t row = i / across, column = i % across;
            an->window_x = (row % 2 ? across - 1 - column : column) * WINDOW;
            an->window_y = row * WINDOW;
            some_moves(an, moves / (across * down) + 1, temperature, range, &t);
        }
        an->window = 0;
    }
    return t.tried > 0 ? (double)t.accepted / (double)t.tried : 0;
}

static double next_temperature(double t, double acceptance, double cooling)
{
    if (acceptance > 0.96)
        return t * 0.5;
    if (acceptance > 0.8)
        return t * cooling * cooling;
    return acceptance > 0.15 ? t * cooling : t * cooling * cooling * cooling * cooling;
}

/* Swaps of neighbouring cells as long as they help, of about so many moves at most. */
static void descend(struct annealer *an, double moves)
{
    const struct place_axes *ax = an->axes;
    const size_t cells = (size_t)ax->w * ax->h;
    const double sweeps = fmin(fmax(moves / (2.0 * (double)cells), 1), MAX_SWEEPS);
    bool better = true;
    for (uint32_t sweep = 0; better && sweep < sweeps; sweep++) {
        better = false;
        for (size_t i = 0; i < cells; i++) {
            for (int down = 0; down < 2; down++) {
                struct place_xy p = {(uint16_t)(i % ax->w), (uint16_t)(i / ax->w)};
                struct place_xy q = {(uint16_t)(p.x + !down), (uint16_t)(p.y + down)};
                if (q.x >= ax->w || q.y >= ax->h)
                    continue;
                const size_t j = (size_t)q.y * ax->w + q.x;
                uint32_t a = an->at[i], b = an->at[j];
                if ((a == PLACE_NONE && b == PLACE_NONE) ||
                    (ax->blocked != NULL && (ax->blocked[i] || ax->blocked[j])))
                    continue;
                if (a == PLACE_NONE) {
                    const struct place_xy t = p;
                    a = b;
                    b = PLACE_NONE;
                    p = q;
                    q = t;
                }
                if (an->regions != NULL &&
                    (!may_be_at(an, a, q) || (b != PLACE_NONE && !may_be_at(an, b, p))))
                    continue;
                const int64_t delta = swap_delta(an, a, b, p, q);
                if (delta < 0) {
                    do_swap(an, a, b, p, q);
                    an->change += delta;
                    better = true;
                }
            }
        }
    }
}

/* What is left to do where the moves were ended: too hot a state is worth less than the one that it
 * came from, and a little is gained by neighbours. */
static spk_status end_early(struct annealer *an, const struct place_xy *before)
{
    if (an->change > 0) {
        memset(an->at, 0xff, (size_t)an->axes->w * an->axes->h * sizeof *an->at);
        for (uint32_t v = 0; v < an->l->n; v++) {
            const struct place_xy p = an->pos[v] = before[v];
            an->spot[v] = (struct spot){an->axes->x[p.x], an->axes->y[p.y]};
            an->at[(size_t)p.y * an->axes->w + p.x] = v;
        }
        an->change = 0;
        spk_free(an->slope);
        an->slope = NULL;
        SPK_TRY(make_slopes(an));
    }
    if (an->l->n <= LARGE)
        descend(an, LAST_SWEEPS * 2.0 * an->axes->w * an->axes->h);
    return SPK_OK;
}

static spk_status cool(struct annealer *an, const struct place_schedule *s,
                       const struct progress *progress, bool *out_early)
{
    const uint32_t side = an->axes->w > an->axes->h ? an->axes->w : an->axes->h;
    const double end = 0.005 * (double)an->l->mean_weight * an->axes->scale;
    double range = s->range < side ? s->range : side, t;
    *out_early = progress_cancelled(progress);
    if (*out_early)
        return SPK_OK;
    SPK_TRY(first_temperature(an, (uint32_t)range, s->acceptance, &t));
    const double rounds = log(100) / -log(s->cooling) + 1;
    const uint64_t moves = (uint64_t)(s->moves / rounds) + 1;
    for (uint32_t round = 0; round < MAX_ROUNDS && t > end; round++) {
        const double done = round < rounds ? round / rounds : 1;
        *out_early =
            progress_update(progress, s->progress_base +
                                          (uint64_t)(done * (double)s->progress_span)) != SPK_OK;
        if (*out_early)
            return SPK_OK;
        const double accepted = round_of_moves(an, moves, t, (uint32_t)range);
        if (accepted < 0.03 && range <= 1)
            break;
        t = next_temperature(t, accepted, s->cooling);
        range = fmin(fmax(range * (1 - 0.44 + accepted), 1), side);
    }
    if (s->descend)
        descend(an, s->moves);
    return SPK_OK;
}

static spk_status init(struct annealer *an, const struct place_level *level,
                       const struct place_state *state, uint64_t seed)
{
    *an = (struct annealer){.l = level,
                            .axes = &level->axes,
                            .pos = state->pos,
                            .at = state->at,
                            .rng = {seed * 0x9e3779b97f4a7c15u + 0x2545f4914f6cdd1du}};
    SPK_TRY(spk_alloc_array_raw(THRESHOLDS, sizeof *an->threshold, &an->threshold));
    for (uint32_t i = 0; i < THRESHOLDS; i++)
        an->threshold[i] = (float)-log((i + 0.5) / THRESHOLDS);
    SPK_TRY(spk_alloc_array_raw(level->n, sizeof *an->spot, &an->spot));
    for (uint32_t v = 0; v < level->n; v++)
        an->spot[v] = (struct spot){an->axes->x[an->pos[v].x], an->axes->y[an->pos[v].y]};
    return make_slopes(an);
}

spk_status place_anneal(const struct place_level *level, bool one_chip,
                        const struct place_schedule *schedule, const struct progress *progress,
                        struct place_state *state, int64_t *out_change)
{
    struct annealer an;
    struct place_xy *before = NULL;
    bool early = false;
    spk_status status = init(&an, level, state, schedule->seed);
    an.one_chip = one_chip;
    an.regions = level->regions;
    if (status == SPK_OK)
        status = spk_alloc_array_raw(level->n, sizeof *before, &before);
    if (status == SPK_OK && level->n > 0 && level->axes.n_free > 1) {
        memcpy(before, state->pos, level->n * sizeof *before);
        status = cool(&an, schedule, progress, &early);
    }
    if (status == SPK_OK && early)
        status = end_early(&an, before);
    if (out_change != NULL)
        *out_change = an.change;
    spk_free(before);
    spk_free(an.slope);
    spk_free(an.spot);
    spk_free(an.threshold);
    return status;
}

static int64_t group_axis_cost(const struct place_level *l, const struct place_state *state,
                               uint32_t group, bool by_x, const int32_t *coordinate, uint32_t n,
                               int64_t *sum)
{
    int64_t total_s = 0, total_d = 0, s = 0, d = 0, cost = 0;
    memset(sum, 0, 2 * (size_t)n * sizeof *sum);
    for (uint32_t k = l->group_first[group]; k < l->group_first[group + 1]; k++) {
        const struct place_member *m = &l->group[k];
        const uint32_t c = by_x ? state->pos[m->group].x : state->pos[m->group].y;
        sum[2 * c] += m->s;
        sum[2 * c + 1] += m->d;
        total_s += m->s;
        total_d += m->d;
    }
    for (uint32_t c = 0; c + 1 < n; c++) {
        s += sum[2 * c];
        d += sum[2 * c + 1];
        cost += (coordinate[c + 1] - coordinate[c]) * (s * (total_d - d) + d * (total_s - s));
    }
    return cost;
}

spk_status place_level_cost(const struct place_level *l, const struct place_state *state,
                            int64_t *out_cost)
{
    const struct place_axes *ax = &l->axes;
    int64_t cost = 0, *sum;
    SPK_TRY(spk_alloc_array_raw(2 * (size_t)(ax->w > ax->h ? ax->w : ax->h), sizeof *sum, &sum));
    for (uint32_t a = 0; a < l->n; a++) {
        const struct place_xy p = state->pos[a];
        for (uint32_t k = l->link_first[a]; k < l->link_first[a + 1]; k++) {
            const struct place_xy q = state->pos[l->link[k].node];
            if (l->link[k].node > a)
                cost += (int64_t)l->link[k].weight *
                        (abs(ax->x[p.x] - ax->x[q.x]) + abs(ax->y[p.y] - ax->y[q.y]));
        }
    }
    for (uint32_t g = 0; g < l->n_groups; g++)
        cost += group_axis_cost(l, state, g, true, ax->x, ax->w, sum) +
                group_axis_cost(l, state, g, false, ax->y, ax->h, sum);
    spk_free(sum);
    *out_cost = cost;
    return SPK_OK;
}
