/* Setting q, k and v.
 *
 * The neurons behind an attention see scale * q (k^T v): for independent spikes of rates rq, rk, rv
 * a mean of scale * tokens * d * rq * rk * rv with d channels a head, which nothing normalises. For
 * many tokens that is far above the threshold at the rates of trained networks, for few far below.
 * What leaves the rates as they are is the overlap: only a channel in which both q and k fire
 * counts. So the biases of q and k are set apart, channel by channel: q prefers one half of the
 * channels (even ones) and k the other, which takes the overlap down to nothing; or both prefer the
 * same ones, drawn from one normal deviate, which takes it up to one over the rate. Within that
 * range q, k and v all fire at the wanted rate, and bisection over the contrast finds that of the
 * neurons behind. Where the range does not suffice (few tokens), or q and k cannot be told apart,
 * the rates of q, k and v are raised or lowered together, by bisection too.
 * Every step sets q, k and v again for their rates (synth_norms.c), hence costs some ten
 * evaluations of three small layers and one of the attention. The nearest rate met is kept. A
 * product of three rates answers a difference between images much more than a norm does, and from
 * block to block the difference grows, until a deep network is silent for one image and busy for
 * the next (seen with 16 blocks and one step). So the channels of v differ by a deviate of their
 * own: those far above and far below what the neurons behind need answer little. Steps average as
 * well, hence less of it the more steps there are. */
#include <math.h>

#include "passes/synth_internal.h"

#define MAX_CONTRAST 2.0
#define V_CONTRAST 1.0 /* of v, divided by the square of the number of steps */
#define STEPS 12u
#define CLOSE 2e-2
#define MIN_RATE 1e-3
#define MAX_RATE 0.95

/* One setting of the operands. */
struct setting {
    double contrast; /* > 0: apart, < 0: together */
    double rate;     /* of q, k, v */
};

struct tune {
    struct synth *s;
    struct synth_group *g;
    struct setting now, best;
    double best_error;
};

static struct synth_group *operand_of(const struct tune *t, uint32_t k)
{
    uint32_t g = t->g->operand[k];

    return g == IR_NONE ? NULL : &t->s->plan.group[g];
}

static double v_contrast(const struct tune *t, const struct synth_group *v)
{
    double steps = t->s->m->node[v->neuron].type.timesteps;

    return V_CONTRAST / (steps * steps);
}

/* Makes a setting true and measures the neurons behind. */
static spk_status apply(struct tune *t, struct setting x, double *out_error)
{
    double rate;

    for (uint32_t k = 0; k < 3; k++) {
        struct synth_group *o = operand_of(t, k);
        struct synth_contrast c = {x.contrast > 0 ? SYNTH_HALVES : SYNTH_SPREAD, 0, t->g->neuron};

        if (!o || (x.rate == t->now.rate && (k == 2 || x.contrast == t->now.contrast)))
            continue;
        if (k == 2)
            c = (struct synth_contrast){SYNTH_SPREAD, v_contrast(t, o), o->neuron};
        else
            c.amount = x.contrast > 0 && k == 1 ? -x.contrast : fabs(x.contrast);
        SPK_TRY(synth_norm_solve(t->s, o, x.rate, &c));
    }
    t->now = x;
    for (uint32_t i = 0; i < t->g->n_path; i++)
        SPK_TRY(t->s->walk->compute(t->s->at, t->g->path[i]));
    SPK_TRY(synth_rate(t->s, t->g->neuron, &rate));
    *out_error = rate - t->s->o->rate;
    if (fabs(*out_error) < t->best_error) {
        t->best_error = fabs(*out_error);
        t->best = x;
    }
    return SPK_OK;
}

static bool good_enough(const struct tune *t)
{
    return t->best_error <= CLOSE * t->s->o->rate;
}

/* Bisection between two settings, the neurons firing too little at `low`, too much at `high`. */
static spk_status bisect(struct tune *t, struct setting low, struct setting high)
{
    for (uint32_t i = 0; i < STEPS && !good_enough(t); i++) {
        struct setting middle = {0.5 * (low.contrast + high.contrast), sqrt(low.rate * high.rate)};
        double error;

        SPK_TRY(apply(t, middle, &error));
        if (error < 0)
            low = middle;
        else
            high = middle;
    }
    return SPK_OK;
}

/* The rates of q, k, v, from a setting at which the neurons fire too little or too much. */
static spk_status move_rates(struct tune *t, struct setting from, double error)
{
    struct setting end = from;
    double at_end;

    end.rate = error < 0 ? MAX_RATE : fmin(MIN_RATE, 0.1 * from.rate);
    SPK_TRY(apply(t, end, &at_end));
    if (error * at_end > 0)
        return SPK_OK; /* out of reach: the nearest is kept */
    return error < 0 ? bisect(t, from, end) : bisect(t, end, from);
}

spk_status synth_attention_solve(struct synth *s, struct synth_group *g)
{
    struct tune t = {.s = s, .g = g, .best_error = INFINITY}; /* now: nothing is set yet */
    struct setting start = {0, s->o->rate}, end = start;
    bool apart = g->operand[0] != IR_NONE && g->operand[1] != IR_NONE;
    double error, at_end, ignored;

    SPK_TRY(apply(&t, start, &error));
    if (good_enough(&t))
        return SPK_OK;
    if (apart) {
        end.contrast = error < 0 ? -MAX_CONTRAST : MAX_CONTRAST;
        SPK_TRY(apply(&t, end, &at_end));
        if (error * at_end <= 0)
            SPK_TRY(error < 0 ? bisect(&t, start, end) : bisect(&t, end, start));
    }
    if (!apart || error * at_end > 0)
        SPK_TRY(move_rates(&t, end, error));
    if (t.now.contrast == t.best.contrast && t.now.rate == t.best.rate)
        return SPK_OK;
    return apply(&t, t.best, &ignored);
}
