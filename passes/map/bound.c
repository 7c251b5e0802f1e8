/* A lower bound on cores, and how full the cores are (docs/mapping.md, section 3, has the proof).
 *
 * Whatever a core holds, the part of a population on it covers P positions and C channels with
 * n <= P*C neurons. It needs at least P*a in-axons (a: source positions that each target position
 * has to itself, times aliases), P*o out-axons at its sources, and C*b bits, as every neuron's
 * weights are in its core's memory once. With weights w of the four resources that add up to one,
 * no core holds more than one weighted unit, so cores >= sum over populations of neurons times the
 * least weighted use per neuron, which has a closed form in C on the curve P*C = neurons of a core.
 * The bound is the best over a grid of weights; it holds for any shapes and for shared cores. */
#include "passes/map/bound.h"

#include <math.h>
#include <string.h>

#include "support/alloc.h"

#define STEPS 16 /* of each weight, 0 .. 1 */

/* Least need of a population, as fractions of a core. */
struct need {
    double neurons;                       /* of the population */
    double per_neuron;                    /* 1 / neurons of a core */
    double in, out;                       /* per position of a core's part */
    double bits;                          /* per channel of a core's part */
    double most_positions, most_channels; /* on one core */
    double ports;                         /* out-axons that the population has anyway */
};

static double cap(const struct tgt *t, enum tgt_limit l)
{
    const uint64_t v = tgt_limit_value(t, l);
    return v == UINT64_MAX ? (double)INFINITY : (double)v;
}

/* Source rows that target row t reads and no other target row needs to share. */
static double own_rows(uint32_t kernel, uint32_t stride, uint32_t pad, uint32_t size, uint32_t view)
{
    if (kernel >= stride && pad <= kernel - stride && (uint64_t)size * stride <= view)
        return stride;
    return (uint64_t)(size - 1) * stride < view ? 1 : 0;
}

/* Taps of a kernel that the target row with the fewest has. */
static double least_taps(uint32_t kernel, uint32_t stride, uint32_t pad, uint32_t size,
                         uint32_t view)
{
    double least = kernel;
    for (uint32_t i = 0; i < 2; i++) {
        const int64_t first = (int64_t)(i ? size - 1 : 0) * stride - pad;
        const int64_t lo = first > 0 ? first : 0;
        const int64_t hi = first + kernel < view ? first + kernel : view;
        if ((double)(hi - lo) < least)
            least = hi > lo ? (double)(hi - lo) : 0;
    }
    return least;
}

static void need_projection(const struct map_net *net, const struct map_pop *p,
                            const struct map_proj *j, struct need *n)
{
    const struct tgt *t = net->target;
    const bool full = j->chan == MAP_CHAN_FULL, conv = map_proj_conv(t, j);
    const uint32_t channels = net->pops.data[j->source[0].pop].channels;
    double positions = 0, delays = 0;
    if (j->pos == MAP_POS_WINDOW)
        positions = own_rows(j->kernel, j->stride, j->pad, p->height, j->view_h) *
                    own_rows(j->kernel_w, j->stride_w, j->pad_w, p->width, j->view_w);
    else if (j->pos == MAP_POS_GATHER)
        positions = (double)j->view_h * j->view_w;
    double each = 1; /* axons of one source position */
    if (full && t->axon_population)
        each = ceil(channels / cap(t, TGT_ATOMS));
    else if (full)
        each = channels;
    each = each < 1 ? 1 : each;
    for (uint32_t i = 0; i < j->n_sources; i++) {
        bool again = false;
        for (uint32_t k = 0; k < i; k++)
            again = again || j->source[k].delay == j->source[i].delay;
        delays += !again;
        n->in += positions * each / cap(t, TGT_IN_AXONS);
        if (net->pops.data[j->source[i].pop].has_compartments)
            n->out += positions * each * t->pop16_slots / cap(t, TGT_OUT_AXONS);
    }
    if (full && j->pos == MAP_POS_WINDOW)
        n->bits += delays * channels * map_weight_bits(t, j) / cap(t, TGT_SYNAPSE_BITS) *
                   (conv ? (double)j->kernel * j->kernel_w
                         : least_taps(j->kernel, j->stride, j->pad, p->height, j->view_h) *
                               least_taps(j->kernel_w, j->stride_w, j->pad_w, p->width, j->view_w));
}

static struct need need_of(const struct map_net *net, uint32_t pop)
{
    const struct map_pop *p = &net->pops.data[pop];
    const double positions = (double)p->height * p->width;
    struct need n;
    memset(&n, 0, sizeof n);
    n.neurons = positions * p->channels;
    n.per_neuron = 1 / cap(net->target, TGT_NEURONS);
    for (uint32_t i = 0; i < p->n_projs; i++)
        need_projection(net, p, &net->projs.data[p->proj_first + i], &n);
    n.most_positions = n.in > 0 && 1 / n.in < positions ? 1 / n.in : positions;
    n.most_channels = n.bits > 0 && 1 / n.bits < p->channels ? 1 / n.bits : p->channels;
    n.most_positions = n.most_positions < 1 ? 1 : n.most_positions;
    n.most_channels = n.most_channels < 1 ? 1 : n.most_channels;
    return n;
}

/* Least weighted use of a neuron: x/C + y/P on P*C at most a core's neurons. */
static double least_use(const struct need *n, const double w[4])
{
    const double x = w[MAP_USE_IN_AXONS] * n->in + w[MAP_USE_OUT_AXONS] * n->out;
    const double y = w[MAP_USE_SYNAPSE_BITS] * n->bits, most = 1 / n->per_neuron;
    double c = n->most_channels;
    if (c * n->most_positions > most) {
        c = y > 0 ? sqrt(x * most / y) : c;
        if (c > n->most_channels)
            c = n->most_channels;
        if (c < most / n->most_positions)
            c = most / n->most_positions;
        return w[MAP_USE_NEURONS] * n->per_neuron + x / c + y * c / most;
    }
    return w[MAP_USE_NEURONS] * n->per_neuron + x / c + y / n->most_positions;
}

/* Cores that one population needs if it shares none. */
static uint64_t alone(const struct need *n)
{
    const double tile = n->most_positions * n->most_channels;
    const double fits = tile * n->per_neuron < 1 ? tile : 1 / n->per_neuron;
    return (uint64_t)ceil(n->neurons / fits - 1e-6);
}

static double weighted(const struct need *n, size_t n_pops, const double w[4])
{
    double sum = 0;
    for (size_t i = 0; i < n_pops; i++)
        sum += n[i].neurons * least_use(&n[i], w) + w[MAP_USE_OUT_AXONS] * n[i].ports;
    return sum;
}

static void best_weights(const struct need *n, size_t n_pops, struct map_bound *out)
{
    double best = 0;
    for (int i = 0; i <= STEPS; i++) {
        for (int j = 0; i + j <= STEPS; j++) {
            for (int k = 0; i + j + k <= STEPS; k++) {
                const double w[4] = {(double)i / STEPS, (double)j / STEPS, (double)k / STEPS,
                                     (double)(STEPS - i - j - k) / STEPS};
                const double cores = weighted(n, n_pops, w);
                if (cores <= best)
                    continue;
                best = cores;
                memcpy(out->weight, w, sizeof w);
            }
        }
    }
    out->cores = (uint64_t)ceil(best - 1e-6);
}

spk_status map_bound(const struct map_net *net, struct map_bound *out)
{
    struct need *n;
    size_t len = 0;
    memset(out, 0, sizeof *out);
    SPK_TRY(spk_alloc_array(net->pops.len, sizeof *n, &n));
    for (uint32_t i = 0; i < net->pops.len; i++) {
        const struct map_pop *p = &net->pops.data[i];
        if (!p->has_compartments || p->engine > 0)
            continue; /* the bound is of neuron cores */
        n[len] = need_of(net, i);
        n[len].ports =
            p->readout ? (double)p->height * p->width / cap(net->target, TGT_OUT_AXONS) : 0;
        out->unshared += alone(&n[len]);
        len++;
    }
    best_weights(n, len, out);
    spk_free(n);
    return SPK_OK;
}

/* ---- utilisation ---- */

const char *map_use_name(enum map_use use)
{
    static const char *const names[MAP_USES] = {"neurons", "in_axons", "out_axons", "synapse_bits"};
    return names[use];
}

void map_fill_of(const struct mapping *m, struct map_fill out[MAP_USES])
{
    static const enum tgt_limit limits[MAP_USES] = {TGT_NEURONS, TGT_IN_AXONS, TGT_OUT_AXONS,
                                                    TGT_SYNAPSE_BITS};
    memset(out, 0, MAP_USES * sizeof *out);
    const uint32_t cores = m->n_cores - m->n_engines;
    for (uint32_t i = 0; i < cores; i++) {
        const struct map_usage u = map_core_usage(m, i);
        const double use[MAP_USES] = {(double)u.neurons, (double)u.in_axons, (double)u.out_axons,
                                      (double)u.synapse_bits};
        int fullest = 0;
        double most = -1;
        for (int k = 0; k < MAP_USES; k++) {
            const double share = use[k] / cap(m->net.target, limits[k]);
            out[k].mean += share / (double)cores;
            out[k].most = share > out[k].most ? share : out[k].most;
            if (share > most) {
                most = share;
                fullest = k;
            }
        }
        out[fullest].cores++;
    }
}
