/* Setting batch norms.
 *
 * Statistics are measured: mean and variance of the operand, per channel, so that the norm does
 * normalise. A channel that does not vary (dead, or a constant input) gets the mean variance of its
 * layer instead, 1 where the whole layer is constant: it then sits at its bias, and folding the
 * norm into the weights meets no huge scale. Scale and bias: in units of the input that makes a
 * resting neuron fire at once, a scale of one half (1 for the neuron with tau 2 and threshold 1:
 * the norm's own neutral value) that differs from channel to channel by SPREAD, and a bias of
 * `shift` that differs likewise; trained networks do so (spikformer_v2_fashion: standard deviations
 * 0.15 of both). The shift is found by running the neurons: the rate grows with it (or falls, for a
 * neuron with negative gain). It is bracketed by doubling steps and closed in on by false position
 * with halving (Illinois method, Dowell and Jarratt 1971). A rate is a step function of finitely
 * many neurons: the nearest one met is kept. Cost: about 8 evaluations of norm and neurons a layer.
 */
#include <math.h>

#include "passes/synth_internal.h"
#include "support/alloc.h"
#include "support/rng.h"

#define SPREAD 0.15
/* A rate this close, relative, is good enough. */
#define CLOSE 2e-3
#define MAX_DOUBLINGS 16u
#define MAX_STEPS 24u
/* Channels whose variance is below this part of the layer's mean are constant but for rounding. */
#define CONSTANT 1e-6

static const struct ir_node *node_of(const struct synth *s, uint32_t id)
{
    return &s->m->node[id];
}

spk_status synth_norm_measure(struct synth *s, uint32_t id)
{
    const struct ir_node *n = node_of(s, id);
    float *mean = s->param[n->param[2]], *variance = s->param[n->param[3]];
    uint32_t channels = n->type.channels;
    double usual = 0;

    SPK_TRY(s->walk->moments(s->at, n->operand[0], s->mean, s->variance));
    for (uint32_t c = 0; c < channels; c++)
        usual += s->variance[c] / channels;
    if (!(usual > 0.0))
        usual = 1.0;
    for (uint32_t c = 0; c < channels; c++) {
        mean[c] = (float)s->mean[c];
        variance[c] = (float)(s->variance[c] > CONSTANT * usual ? s->variance[c] : usual);
    }
    return s->walk->compute(s->at, id);
}

spk_status synth_rate(struct synth *s, uint32_t neuron, double *out)
{
    uint32_t channels = node_of(s, neuron)->type.channels;

    SPK_TRY(s->walk->moments(s->at, neuron, s->mean, NULL));
    *out = 0;
    for (uint32_t c = 0; c < channels; c++)
        *out += s->mean[c] / channels;
    return SPK_OK;
}

/* Scales and biases of all norms of a layer. */
static void set_norms(struct synth *s, const struct synth_group *g,
                      const struct synth_contrast *contrast)
{
    for (uint32_t i = 0; i < g->n_norms; i++) {
        const struct ir_node *n = node_of(s, g->norm[i]);
        float *scale = s->param[n->param[0]], *bias = s->param[n->param[1]];
        struct rng own, shared;

        rng_seed_stream(&own, s->o->seed, SYNTH_STREAM_NORMS + g->norm[i]);
        rng_seed_stream(&shared, s->o->seed, SYNTH_STREAM_NORMS + contrast->seed);
        for (uint32_t c = 0; c < n->type.channels; c++) {
            double side =
                contrast->pattern == SYNTH_SPREAD ? rng_normal(&shared) : (c % 2 == 0 ? 1.0 : -1.0);
            double wide = 0.5 * g->unit * (1.0 + SPREAD * rng_normal(&own));

            scale[c] = (float)fmax(wide, 0.1 * g->unit);
            bias[c] = (float)(g->unit * (g->shift + 0.5 * SPREAD * rng_normal(&own) +
                                         contrast->amount * side));
        }
    }
}

struct search {
    struct synth *s;
    struct synth_group *g;
    const struct synth_contrast *contrast;
    double wanted;
    double best_shift, best_error;
    double sign; /* of the slope */
};

/* Distance of the rate at a shift from the wanted one. */
static spk_status try_shift(struct search *x, double shift, double *out_error)
{
    double rate;

    x->g->shift = shift;
    set_norms(x->s, x->g, x->contrast);
    for (uint32_t i = 0; i < x->g->n_path; i++)
        SPK_TRY(x->s->walk->compute(x->s->at, x->g->path[i]));
    SPK_TRY(synth_rate(x->s, x->g->neuron, &rate));
    *out_error = rate - x->wanted;
    if (fabs(*out_error) < x->best_error) {
        x->best_error = fabs(*out_error);
        x->best_shift = shift;
    }
    return SPK_OK;
}

/* From one shift in growing steps to one on the other side of the wanted rate; where the rate does
 * not move at all, or moves away, the other direction is tried. */
static spk_status bracket(struct search *x, double *a, double *fa, double *b, double *fb)
{
    for (int turn = 0; turn < 2; turn++) {
        double step = 0.25 * (*fa > 0 ? -x->sign : x->sign);

        *b = *a;
        for (uint32_t i = 0; i < MAX_DOUBLINGS; i++, step *= 2) {
            double from = *b, f_from = i ? *fb : *fa;

            *b += step;
            SPK_TRY(try_shift(x, *b, fb));
            if (*fa * *fb <= 0.0) {
                *a = from;
                *fa = f_from;
                return SPK_OK;
            }
        }
        x->sign = -x->sign;
    }
    return SPK_OK; /* saturated on both sides: the nearest rate is kept */
}

static spk_status close_in(struct search *x, double a, double fa, double b, double fb)
{
    for (uint32_t i = 0; i < MAX_STEPS && x->best_error > CLOSE * x->wanted; i++) {
        double c = (a * fb - b * fa) / (fb - fa), fc;

        if (i % 4 == 3 || !(c > fmin(a, b) && c < fmax(a, b)))
            c = 0.5 * (a + b);
        SPK_TRY(try_shift(x, c, &fc));
        if (fc * fb <= 0.0) {
            a = b;
            fa = fb;
        } else {
            fa *= 0.5;
        }
        b = c;
        fb = fc;
        if (fa == fb)
            break;
    }
    return SPK_OK;
}

spk_status synth_norm_solve(struct synth *s, struct synth_group *g, double rate,
                            const struct synth_contrast *contrast)
{
    struct search x = {s, g, contrast, rate, g->shift, INFINITY, 1.0};
    double a = g->shift, b = a, fa, fb = 0, ignored;

    g->target = rate;
    SPK_TRY(try_shift(&x, a, &fa));
    if (x.best_error > CLOSE * rate) {
        SPK_TRY(bracket(&x, &a, &fa, &b, &fb));
        if (fa * fb <= 0.0)
            SPK_TRY(close_in(&x, a, fa, b, fb));
    }
    return g->shift == x.best_shift ? SPK_OK : try_shift(&x, x.best_shift, &ignored);
}
