/* Figures of a placement.
 *
 * Loads of links: every route is one horizontal and then one vertical segment (x first), so loads
 * are sums over differences at the segments' ends, whatever their length. A multicast tree is the
 * union of such routes: along the source's row as far as its destinations reach, then in each
 * column as far as those of the column do. Congestion (Jin 2023): a packet with both axes left goes
 * either way with probability 1/2, so that each passes d + 1 routers in all; worked out over the
 * rectangle of each pair, source's corner included. */
#include "passes/place/place_metrics.h"

#include <stdlib.h>
#include <string.h>

#include "support/alloc.h"

#define MAX_CONGESTION_AREA 4e9

struct meter {
    const struct ir_cluster_graph *g;
    uint32_t w, h;
    const uint32_t *cell;
    double *unicast, *multicast; /* [4][h * w] differences, then loads */
    double *congestion;          /* [h * w] */
    double *row;                 /* [w] of one pair's rectangle */
    uint32_t *low, *high, *seen; /* [w] of one tree: reach and edge of each column */
    uint32_t *column;            /* [w] columns of one tree */
    struct place_metrics *out;
};

const char *place_direction_name(enum place_direction direction)
{
    static const char *const names[] = {"east", "west", "south", "north"};
    return names[direction];
}

static double *link_at(const struct meter *m, double *loads, enum place_direction d, uint32_t x,
                       uint32_t y)
{
    return &loads[((size_t)d * m->h + y) * m->w + x];
}

/* Adds a segment along a row; differences are prefix sums eastwards, or westwards. */
static void along_row(struct meter *m, double *loads, uint32_t y, uint32_t from, uint32_t to,
                      double w)
{
    if (from == to)
        return;
    const enum place_direction d = from < to ? PLACE_EAST : PLACE_WEST;
    *link_at(m, loads, d, from, y) += w;
    *link_at(m, loads, d, to, y) -= w;
}

static void along_column(struct meter *m, double *loads, uint32_t x, uint32_t from, uint32_t to,
                         double w)
{
    if (from == to)
        return;
    const enum place_direction d = from < to ? PLACE_SOUTH : PLACE_NORTH;
    *link_at(m, loads, d, x, from) += w;
    *link_at(m, loads, d, x, to) -= w;
}

static void integrate(struct meter *m, double *loads)
{
    for (uint32_t y = 0; y < m->h; y++) {
        for (uint32_t x = 1; x < m->w; x++) {
            *link_at(m, loads, PLACE_EAST, x, y) += *link_at(m, loads, PLACE_EAST, x - 1, y);
            const uint32_t r = m->w - 1 - x;
            *link_at(m, loads, PLACE_WEST, r, y) += *link_at(m, loads, PLACE_WEST, r + 1, y);
        }
    }
    for (uint32_t y = 1; y < m->h; y++) {
        for (uint32_t x = 0; x < m->w; x++) {
            *link_at(m, loads, PLACE_SOUTH, x, y) += *link_at(m, loads, PLACE_SOUTH, x, y - 1);
            const uint32_t r = m->h - 1 - y;
            *link_at(m, loads, PLACE_NORTH, x, r) += *link_at(m, loads, PLACE_NORTH, x, r + 1);
        }
    }
}

static uint32_t apart(uint32_t a, uint32_t b)
{
    return a > b ? a - b : b - a;
}

/* Expected transits of one message over the rectangle from source to destination. */
static void pass_rectangle(struct meter *m, uint32_t s, uint32_t d, double weight)
{
    const uint32_t sx = s % m->w, sy = s / m->w, dx = apart(sx, d % m->w), dy = apart(sy, d / m->w);
    const bool west = d % m->w < sx, north = d / m->w < sy;
    for (uint32_t j = 0; j <= dy; j++) {
        double *line = m->congestion + (size_t)(north ? sy - j : sy + j) * m->w;
        for (uint32_t i = 0; i <= dx; i++) {
            double p = i == 0 && j == 0 ? weight : 0;
            if (i > 0) /* from the left: it had gone right */
                p += m->row[i - 1] * (j < dy ? 0.5 : 1.0);
            if (j > 0) /* from above, which is still in row[i] */
                p += m->row[i] * (i < dx ? 0.5 : 1.0);
            m->row[i] = p;
            line[west ? sx - i : sx + i] += p;
        }
    }
}

static void measure_pair(struct meter *m, uint32_t s, uint32_t d, double w)
{
    const uint32_t sx = s % m->w, sy = s / m->w, dx = d % m->w, dy = d / m->w;
    const uint32_t hop = apart(sx, dx) + apart(sy, dy);
    struct place_metrics *o = m->out;
    o->pairs++;
    o->messages += w;
    o->hops += w * hop;
    o->max_hop = hop > o->max_hop ? hop : o->max_hop;
    along_row(m, m->unicast, sy, sx, dx, w);
    along_column(m, m->unicast, dx, sy, dy, w);
    if (o->has_congestion)
        pass_rectangle(m, s, d, w);
}

/* The tree of edge e from its source. */
static void measure_tree(struct meter *m, uint32_t e, uint32_t n_columns, uint32_t sx, uint32_t sy)
{
    const double w = m->g->weight[e];
    uint32_t west = sx, east = sx;
    for (uint32_t i = 0; i < n_columns; i++) {
        const uint32_t c = m->column[i];
        west = c < west ? c : west;
        east = c > east ? c : east;
        along_column(m, m->multicast, c, sy, m->low[c], w);
        along_column(m, m->multicast, c, sy, m->high[c], w);
        m->out->multicast_hops += w * (m->high[c] - m->low[c]);
    }
    along_row(m, m->multicast, sy, sx, west, w);
    along_row(m, m->multicast, sy, sx, east, w);
    m->out->multicast_hops += w * (east - west);
}

/* Sum of the n smallest distances from a cell of an endless mesh: 4d cells at distance d. */
static double nearest_sum(uint64_t n)
{
    double sum = 0;
    for (uint64_t d = 1; n > 0; d++) {
        const uint64_t k = n < 4 * d ? n : 4 * d;
        sum += (double)k * (double)d;
        n -= k;
    }
    return sum;
}

static void measure_edge(struct meter *m, uint32_t e)
{
    const struct ir_cluster_graph *g = m->g;
    const uint32_t s = m->cell[g->source[e]], sx = s % m->w, sy = s / m->w;
    uint32_t n_columns = 0;
    uint64_t n = 0;
    for (uint64_t k = g->first[e]; k < g->first[e + 1]; k++) {
        if (g->dest[k] == g->source[e])
            continue;
        const uint32_t d = m->cell[g->dest[k]], x = d % m->w, y = d / m->w;
        n++;
        measure_pair(m, s, d, g->weight[e]);
        if (m->seen[x] != e) {
            m->seen[x] = e;
            m->column[n_columns++] = x;
            m->low[x] = m->high[x] = sy;
        }
        m->low[x] = y < m->low[x] ? y : m->low[x];
        m->high[x] = y > m->high[x] ? y : m->high[x];
    }
    if (n > 0) {
        m->out->cut_net += g->weight[e];
        m->out->hops_bound += g->weight[e] * nearest_sum(n);
        measure_tree(m, e, n_columns, sx, sy);
    }
}

static bool exists(const struct meter *m, enum place_direction d, uint32_t x, uint32_t y)
{
    switch (d) {
    case PLACE_EAST:
        return x + 1 < m->w;
    case PLACE_WEST:
        return x > 0;
    case PLACE_SOUTH:
        return y + 1 < m->h;
    default:
        return y > 0;
    }
}

static void offer_hot(struct place_loads *o, struct place_hot_link link)
{
    uint32_t i = o->n_hot;
    if (link.load <= 0 || (i == PLACE_HOT_LINKS && link.load <= o->hot[i - 1].load))
        return;
    if (i == PLACE_HOT_LINKS)
        i--;
    else
        o->n_hot++;
    for (; i > 0 && o->hot[i - 1].load < link.load; i--)
        o->hot[i] = o->hot[i - 1];
    o->hot[i] = link;
}

static void summarise(struct meter *m, double *loads, struct place_loads *out)
{
    double sum = 0, squares = 0;
    uint64_t n = 0;
    for (int pass = 0; pass < 2; pass++) {
        const double mean = n > 0 ? sum / (double)n : 0;
        for (int d = 0; d < 4; d++) {
            for (size_t i = 0; i < (size_t)m->w * m->h; i++) {
                const uint32_t x = (uint32_t)(i % m->w), y = (uint32_t)(i / m->w);
                if (!exists(m, (enum place_direction)d, x, y))
                    continue;
                const double load = loads[(size_t)d * m->w * m->h + i];
                if (pass == 1) {
                    squares += (load - mean) * (load - mean);
                    continue;
                }
                n++;
                sum += load;
                out->max = load > out->max ? load : out->max;
                offer_hot(out, (struct place_hot_link){x, y, (enum place_direction)d, load});
            }
        }
    }
    out->variance = n > 0 ? squares / (double)n : 0;
    m->out->links = n;
}

/* Sum of the rectangles between sources and destinations. */
static double total_area(const struct meter *m)
{
    double area = 0;
    for (uint32_t e = 0; e < m->g->n_edges; e++) {
        const uint32_t s = m->cell[m->g->source[e]];
        for (uint64_t k = m->g->first[e]; k < m->g->first[e + 1]; k++) {
            const uint32_t d = m->cell[m->g->dest[k]];
            area += (apart(s % m->w, d % m->w) + 1.0) * (apart(s / m->w, d / m->w) + 1.0);
        }
    }
    return area;
}

static void finish(struct meter *m)
{
    struct place_metrics *o = m->out;
    integrate(m, m->unicast);
    integrate(m, m->multicast);
    summarise(m, m->unicast, &o->unicast);
    summarise(m, m->multicast, &o->multicast);
    for (size_t i = 0; o->has_congestion && i < (size_t)m->w * m->h; i++) {
        o->congestion_sum += m->congestion[i];
        if (m->congestion[i] > o->max_congestion)
            o->max_congestion = m->congestion[i];
    }
    if (o->messages > 0) {
        o->average_hop = o->hops / o->messages;
        o->average_routers = o->average_hop + 1;
        o->max_routers = o->max_hop + 1;
    }
    o->jin_energy = (o->hops + o->messages) * PLACE_JIN_ROUTER + o->hops * PLACE_JIN_WIRE;
    o->composite = o->multicast_hops + 0.10 * o->multicast.max + 0.01 * o->multicast.variance;
    o->multicast_bound = o->messages;
    o->max_load_bound = o->links > 0 ? o->multicast_hops / (double)o->links : 0;
}

static spk_status allocate(struct meter *m)
{
    const size_t cells = (size_t)m->w * m->h;
    SPK_TRY(spk_alloc_array(4 * cells, sizeof *m->unicast, &m->unicast));
    SPK_TRY(spk_alloc_array(4 * cells, sizeof *m->multicast, &m->multicast));
    SPK_TRY(spk_alloc_array(cells, sizeof *m->congestion, &m->congestion));
    SPK_TRY(spk_alloc_array(m->w, sizeof *m->row, &m->row));
    SPK_TRY(spk_alloc_array(m->w, sizeof *m->low, &m->low));
    SPK_TRY(spk_alloc_array(m->w, sizeof *m->high, &m->high));
    SPK_TRY(spk_alloc_array(m->w, sizeof *m->column, &m->column));
    return spk_alloc_array_raw(m->w, sizeof *m->seen, &m->seen);
}

spk_status place_measure(const struct ir_cluster_graph *graph, uint32_t width, uint32_t height,
                         const uint32_t *cell, struct place_metrics *out)
{
    struct meter m = {.g = graph, .w = width, .h = height, .cell = cell, .out = out};
    memset(out, 0, sizeof *out);
    spk_status status = allocate(&m);
    if (status == SPK_OK) {
        memset(m.seen, 0xff, width * sizeof *m.seen);
        out->has_congestion = total_area(&m) <= MAX_CONGESTION_AREA;
        for (uint32_t e = 0; e < graph->n_edges; e++)
            measure_edge(&m, e);
        finish(&m);
    }
    spk_free(m.unicast);
    spk_free(m.multicast);
    spk_free(m.congestion);
    spk_free(m.row);
    spk_free(m.low);
    spk_free(m.high);
    spk_free(m.column);
    spk_free(m.seen);
    return status;
}
