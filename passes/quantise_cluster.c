/* Sharing few scales among many channels.
 *
 * Channels are sorted by a key (the scale that suits their largest weight, ties by id) and cut into
 * at most max_values runs, each with the one candidate that is cheapest for the whole run. The cut
 * that minimises the total is found by dynamic programming over the end of the last run (exact
 * one-dimensional clustering, Wang and Song 2011), here with a cost table in place of a distance.
 * Cuts are only made between blocks of channels, at most BLOCKS of them, so that the cost stays
 * BLOCKS^2 * values + max_values * BLOCKS^2; up to BLOCKS channels the result is the optimum over
 * contiguous runs.
 *
 * An impossible (channel, value) has cost HUGE_VAL. Prefix sums hold the finite costs and count
 * the impossible ones, because infinities cannot be subtracted.                               */
#include <math.h>
#include <string.h>

#include "passes/quantise.h"
#include "support/alloc.h"

#define BLOCKS 128u

struct cluster {
    const double *cost;
    uint32_t channels, n_values, max_values, n_blocks;
    uint32_t *order;  /* channels by key */
    double *sum;      /* [n_blocks + 1][n_values]: finite costs of the first blocks */
    uint32_t *barred; /* [n_blocks + 1][n_values]: impossible ones among them */
    double *best;     /* [max_values + 1][n_blocks + 1] */
    uint32_t *cut;    /* start of the last run of the best */
};

static void sort_by_key(struct cluster *k, const double *key)
{
    for (uint32_t c = 0; c < k->channels; c++) { /* binary insertion, stable */
        uint32_t lo = 0, hi = c;
        while (lo < hi) {
            uint32_t mid = lo + (hi - lo) / 2;
            if (key[k->order[mid]] <= key[c])
                lo = mid + 1;
            else
                hi = mid;
        }
        memmove(k->order + lo + 1, k->order + lo, (c - lo) * sizeof *k->order);
        k->order[lo] = c;
    }
}

static void sum_blocks(struct cluster *k)
{
    for (uint32_t b = 0; b < k->n_blocks; b++) {
        uint32_t from = (uint32_t)((uint64_t)b * k->channels / k->n_blocks);
        uint32_t to = (uint32_t)((uint64_t)(b + 1) * k->channels / k->n_blocks);
        for (uint32_t v = 0; v < k->n_values; v++) {
            double sum = k->sum[b * k->n_values + v];
            uint32_t barred = k->barred[b * k->n_values + v];
            for (uint32_t i = from; i < to; i++) {
                double x = k->cost[(size_t)k->order[i] * k->n_values + v];
                if (x < HUGE_VAL)
                    sum += x;
                else
                    barred++;
            }
            k->sum[(b + 1) * k->n_values + v] = sum;
            k->barred[(b + 1) * k->n_values + v] = barred;
        }
    }
}

/* Cheapest single value for blocks [from, to). */
static double run_cost(const struct cluster *k, uint32_t from, uint32_t to, uint32_t *out_value)
{
    double best = HUGE_VAL;
    *out_value = 0;
    for (uint32_t v = 0; v < k->n_values; v++) {
        uint32_t a = from * k->n_values + v, b = to * k->n_values + v;
        double cost = k->sum[b] - k->sum[a];
        if (k->barred[b] == k->barred[a] && cost < best) {
            best = cost;
            *out_value = v;
        }
    }
    return best;
}

/* best[n][to]: blocks [0, to) in exactly n runs. Every run that ends at `from` starts before it,
 * so best[..][from] is final when the outer loop gets there.                                  */
static void find_cuts(struct cluster *k)
{
    uint32_t row = k->n_blocks + 1, value;
    for (uint32_t i = 0; i < (k->max_values + 1) * row; i++)
        k->best[i] = HUGE_VAL;
    k->best[0] = 0.0;
    for (uint32_t from = 0; from < k->n_blocks; from++)
        for (uint32_t to = from + 1; to <= k->n_blocks; to++) {
            double cost = run_cost(k, from, to, &value);
            for (uint32_t n = 1; n <= k->max_values; n++) {
                double total = k->best[(n - 1) * row + from] + cost;
                if (total < k->best[n * row + to]) {
                    k->best[n * row + to] = total;
                    k->cut[n * row + to] = from;
                }
            }
        }
}

static void choose(const struct cluster *k, bool *chosen)
{
    uint32_t row = k->n_blocks + 1, to = k->n_blocks, n = 1, value;
    for (uint32_t i = 2; i <= k->max_values; i++)
        if (k->best[i * row + to] < k->best[n * row + to])
            n = i;
    memset(chosen, 0, k->n_values * sizeof *chosen);
    if (k->best[n * row + to] == HUGE_VAL) {
        chosen[0] = true;
        return;
    }
    for (; n > 0; n--) {
        uint32_t from = k->cut[n * row + to];
        (void)run_cost(k, from, to, &value);
        chosen[value] = true;
        to = from;
    }
}

static spk_status allocate(struct cluster *k)
{
    size_t row = k->n_blocks + 1u;
    SPK_TRY(spk_alloc_array(k->channels, sizeof *k->order, &k->order));
    SPK_TRY(spk_alloc_array(row * k->n_values, sizeof *k->sum, &k->sum));
    SPK_TRY(spk_alloc_array(row * k->n_values, sizeof *k->barred, &k->barred));
    SPK_TRY(spk_alloc_array((k->max_values + 1u) * row, sizeof *k->best, &k->best));
    return spk_alloc_array((k->max_values + 1u) * row, sizeof *k->cut, &k->cut);
}

spk_status quant_cluster(const double *cost, const double *key, uint32_t channels,
                         uint32_t n_values, uint32_t max_values, bool *out_chosen)
{
    struct cluster k = {
        .cost = cost, .channels = channels, .n_values = n_values, .max_values = max_values};
    k.n_blocks = channels < BLOCKS ? channels : BLOCKS;
    spk_status s = allocate(&k);
    if (s == SPK_OK) {
        sort_by_key(&k, key);
        sum_blocks(&k);
        find_cuts(&k);
        choose(&k, out_chosen);
    }
    spk_free(k.order);
    spk_free(k.sum);
    spk_free(k.barred);
    spk_free(k.best);
    spk_free(k.cut);
    return s;
}
