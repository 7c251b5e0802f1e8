/* Weights, biases and thresholds of one layer in integers (docs/integers.md, section 3).
 *
 * Error model. With scale sigma_c of output channel c, weight W becomes
 * q = round(W sigma / 2^shift) clamped to the stored bits, so it stands for q 2^shift / sigma.
 * For inputs that spike with rate p_i the membrane input of a step is off by sum_i x_i dW_i: mean
 * sum p_i dW_i, variance sum p_i (1 - p_i) dW_i^2. The mean is moved into the bias; the rest costs
 *     E_c(sigma) = sum_i p_i (1 - p_i) dW_i^2 + dB^2 + (1 / sigma)^2
 * with dB the rounding (and clamping) error of the bias and the last term that of the truncating
 * leak. Scales are chosen to minimise the sum of E_c over the layer, so outlier weights are clipped
 * where that pays (compare Nagel et al. 2021, sections 3.1 and 3.2).
 *
 * Programmable neurons: each channel has its own sigma; candidates clip the largest weight by 0 to
 * 35 %. Hard-wired neurons: at most 16 thresholds vth = 64 k + 1 per layer, hence at most 16 values
 * sigma = vth / theta. Candidates are a logarithmic grid, of which quantise_cluster.c chooses 16;
 * channels then take the best of those.
 *
 * The weight exponent is the smallest whose total error is within 2 % of the best of up to four:
 * larger ones make biases and leak finer but cap the scale (vth <= 2^20).
 * Results do not depend on the number of threads: channels are independent, sums run in order.
 * Cost: weights times candidates near a channel's scale (8 programmable, about 50 hard-wired).  */
#include <math.h>
#include <string.h>

#include "passes/quantise.h"
#include "support/alloc.h"

#define GRID 96u     /* candidate scales of a layer with hard-wired neurons */
#define CLIPS 8u     /* candidate scales of a channel with a programmable one */
#define CLIP_MAX 1.5 /* a scale at most this much larger than what fits the largest weight */
#define EXPONENTS 4
#define CHUNK 16u /* channels per work item */

/* Adding and taking away 1.5 * 2^52 rounds a double to the nearest even integer. */
static double round_even(double x)
{
    const double magic = 6755399441055744.0;
    return (x + magic) - magic;
}

static double clamp(double x, double limit)
{
    return x > limit ? limit : x < -limit ? -limit : x;
}

int32_t quant_bias_round(const struct tgt_arith *a, double bias)
{
    if (a->neuron == TGT_NEURON_PROGRAMMABLE) {
        double limit = ldexp(1.0, a->state_bits - 1) - 1.0;
        return (int32_t)nearbyint(clamp(bias, limit));
    }
    /* Multiples of 128: (qf + qc * h) * 2^7 with h = 2^(weight bits - 1), -h/2 <= qf < h/2 and
     * -h <= qc < h. */
    const double h = ldexp(1.0, a->weight_bits - 1);
    double n = nearbyint(bias / 128.0);
    if (n > (h - 1.0) * h + h / 2.0 - 1.0)
        n = (h - 1.0) * h + h / 2.0 - 1.0;
    if (n < -h * h - h / 2.0)
        n = -h * h - h / 2.0;
    return (int32_t)n * 128;
}

/* Everything fixed while one exponent is tried. */
struct search {
    struct quant_layer *l;
    uint64_t per_out;
    double q_max;
    const double *weight_of; /* [in]: p (1 - p) */
    double *w_max;           /* [out]: largest |gain * w| */
    double *cost;            /* [out][n_candidates] */
    const double *candidate; /* hard-wired: [n_candidates]; else NULL */
    uint32_t n_candidates;
    int shift;
};

static double model_bias(const struct quant_layer *l, uint32_t c)
{
    return (l->b ? l->lif->gain * (double)l->b[c] : 0.0) + l->lif->offset;
}

/* Variance term of one channel; *out_mean is sum p dW. */
static double weight_error(const struct search *s, uint32_t c, double sigma, double *out_mean)
{
    const struct quant_layer *l = s->l;
    const float *w = l->w + c * s->per_out;
    double scale = sigma * l->lif->gain * ldexp(1.0, -s->shift);
    double back = ldexp(1.0, s->shift) / sigma;
    double variance = 0.0, mean = 0.0;
    for (uint32_t i = 0; i < l->in; i++) {
        double square = 0.0, sum = 0.0;
        for (uint64_t k = 0; k < l->taps; k++) {
            double x = scale * (double)w[i * l->taps + k];
            double error = x - clamp(round_even(x), s->q_max);
            square += error * error;
            sum += error;
        }
        variance += s->weight_of[i] * square;
        mean += l->rate[i] * sum;
    }
    *out_mean = mean * back;
    return variance * back * back;
}

static double channel_error(const struct search *s, uint32_t c, double sigma)
{
    double mean, error = weight_error(s, c, sigma, &mean);
    double bias_error = 0.0;
    if (s->l->has_bias) {
        double b = model_bias(s->l, c) + (s->l->correct ? mean : 0.0);
        bias_error = (double)quant_bias_round(s->l->arith, b * sigma) / sigma - b;
    }
    if (!s->l->has_bias || !s->l->correct)
        bias_error += mean;
    return error + bias_error * bias_error + 1.0 / (sigma * sigma);
}

/* The scale at which the channel's largest weight is the largest integer. */
static double fitting_scale(const struct search *s, uint32_t c)
{
    double cap = (double)QUANT_MAX_VTH / s->l->lif->theta;
    double fit = s->q_max * ldexp(1.0, s->shift) / s->w_max[c];
    return s->w_max[c] > 0.0 && fit < cap ? fit : cap;
}

/* Threshold and scale of candidate k of a programmable channel. */
static double own_threshold(const struct search *s, uint32_t c, uint32_t k)
{
    double sigma = fitting_scale(s, c) / (1.0 - 0.05 * (double)k);
    double vth = nearbyint(sigma * s->l->lif->theta);
    return clamp(vth < 1.0 ? 1.0 : vth, (double)QUANT_MAX_VTH);
}

static spk_status score_chunk(void *ctx, uint32_t chunk, uint32_t worker)
{
    struct search *s = ctx;
    (void)worker;
    for (uint32_t c = chunk * CHUNK; c < s->l->out && c < (chunk + 1) * CHUNK; c++) {
        double *cost = s->cost + (size_t)c * s->n_candidates;
        double fit = fitting_scale(s, c);
        for (uint32_t k = 0; k < s->n_candidates; k++) {
            double sigma =
                s->candidate ? s->candidate[k] : own_threshold(s, c, k) / s->l->lif->theta;
            double most = s->l->clip ? CLIP_MAX : 1.0 + 1e-9;
            if (s->candidate && sigma > most * fit)
                cost[k] = HUGE_VAL;
            else if (s->candidate && sigma < fit / 3.0 && k + 1 < s->n_candidates)
                cost[k] = -1.0; /* filled in below: far from being the best */
            else
                cost[k] = channel_error(s, c, sigma);
        }
        /* Coarse scales lose quadratically; going down from the nearest computed one. */
        for (uint32_t k = s->n_candidates; s->candidate && k-- > 0;)
            if (cost[k] < 0.0) {
                double ratio = s->candidate[k + 1] / s->candidate[k];
                cost[k] = cost[k + 1] < HUGE_VAL ? cost[k + 1] * ratio * ratio
                                                 : channel_error(s, c, s->candidate[k]);
            }
    }
    return SPK_OK;
}

static spk_status score(struct search *s)
{
    return pool_run(s->l->pool, (s->l->out + CHUNK - 1) / CHUNK, score_chunk, s);
}

static spk_status max_chunk(void *ctx, uint32_t chunk, uint32_t worker)
{
    struct search *s = ctx;
    (void)worker;
    for (uint32_t c = chunk * CHUNK; c < s->l->out && c < (chunk + 1) * CHUNK; c++) {
        const float *w = s->l->w + c * s->per_out;
        double m = 0.0;
        for (uint64_t i = 0; i < s->per_out; i++)
            if (fabs((double)w[i]) > m)
                m = fabs((double)w[i]);
        s->w_max[c] = m * fabs(s->l->lif->gain);
    }
    return SPK_OK;
}

/* ---- programmable: best candidate per channel ---- */

static double pick_own(struct search *s, int32_t *vth)
{
    double total = 0.0;
    for (uint32_t c = 0; c < s->l->out; c++) {
        const double *cost = s->cost + (size_t)c * s->n_candidates;
        uint32_t best = 0;
        for (uint32_t k = 1; k < s->n_candidates; k++)
            if (cost[k] < cost[best])
                best = k;
        vth[c] = (int32_t)own_threshold(s, c, best);
        total += cost[best];
    }
    return total;
}

/* ---- hard-wired: at most 16 values for the layer ---- */

/* The grid: 64 k + 1 (strict: 64 k) over theta, from a quarter of the smallest fitting scale to
 * the largest, equal steps of the logarithm.                                                  */
static uint32_t make_grid(const struct search *s, double *sigma, int32_t *vth)
{
    const struct tgt_arith *a = s->l->arith;
    double low = HUGE_VAL, high = 0.0, theta = s->l->lif->theta;
    double step = (double)(1u << a->threshold_shift);
    double cap =
        floor(fmin(ldexp(1.0, a->threshold_mant_bits) - 1.0, ((double)QUANT_MAX_VTH - 1.0) / step));
    for (uint32_t c = 0; c < s->l->out; c++) {
        double fit = fitting_scale(s, c);
        low = fmin(low, fit);
        high = fmax(high, fit);
    }
    low = s->l->clip ? low : low * 0.97;
    high = s->l->clip ? high * CLIP_MAX : high;
    uint32_t n = 0;
    double wanted = 2.0 + log(high / low) / log(1.02); /* steps of about 2 % are enough */
    uint32_t points = wanted < (double)GRID ? (uint32_t)wanted : GRID;
    for (uint32_t i = 0; i < points; i++) {
        double x = low * pow(high / low, (double)i / (double)(points - 1));
        double k = clamp(floor(x * theta / step), cap);
        int32_t v = (int32_t)((k < 1.0 ? 1.0 : k) * step) + 1;
        if (n > 0 && v == vth[n - 1])
            continue;
        vth[n] = v;
        sigma[n++] = (double)(s->l->lif->strict ? v - 1 : v) / theta;
    }
    return n;
}

static double *fitting_scales(const struct search *s)
{
    double *fit = NULL;
    if (spk_alloc_array(s->l->out, sizeof *fit, &fit) != SPK_OK)
        return NULL;
    for (uint32_t c = 0; c < s->l->out; c++)
        fit[c] = fitting_scale(s, c);
    return fit;
}

static spk_status pick_shared(struct search *s, const int32_t *grid_vth, int32_t *vth,
                              double *out_total)
{
    bool chosen[GRID] = {false};
    double *fit = fitting_scales(s);
    if (!fit)
        return SPK_ERR_NOMEM;
    spk_status status =
        quant_cluster(s->cost, fit, s->l->out, s->n_candidates, s->l->max_thresholds, chosen);
    spk_free(fit);
    SPK_TRY(status);
    *out_total = 0.0;
    for (uint32_t c = 0; c < s->l->out; c++) {
        const double *cost = s->cost + (size_t)c * s->n_candidates;
        uint32_t best = GRID;
        for (uint32_t g = 0; g < s->n_candidates; g++)
            if (chosen[g] && (best == GRID || cost[g] < cost[best]))
                best = g;
        vth[c] = grid_vth[best];
        *out_total += cost[best];
    }
    return SPK_OK;
}

/* ---- the layer ---- */

/* Tries one exponent: thresholds into vth, total error into *out_total. */
static spk_status try_exponent(struct search *s, int32_t *vth, double *out_total)
{
    double grid[GRID];
    int32_t grid_vth[GRID];
    bool fixed = s->l->arith->neuron == TGT_NEURON_FIXED;
    s->candidate = fixed ? grid : NULL;
    s->n_candidates = fixed ? make_grid(s, grid, grid_vth) : s->l->clip ? CLIPS : 1;
    SPK_TRY(spk_alloc_array((size_t)s->l->out * s->n_candidates, sizeof *s->cost, &s->cost));
    spk_status status = score(s);
    if (status == SPK_OK && fixed)
        status = pick_shared(s, grid_vth, vth, out_total);
    else if (status == SPK_OK)
        *out_total = pick_own(s, vth);
    spk_free(s->cost);
    s->cost = NULL;
    return status;
}

static spk_status fill_chunk(void *ctx, uint32_t chunk, uint32_t worker)
{
    struct search *s = ctx;
    struct quant_layer *l = s->l;
    (void)worker;
    for (uint32_t c = chunk * CHUNK; c < l->out && c < (chunk + 1) * CHUNK; c++) {
        double scale = l->sigma[c] * l->lif->gain * ldexp(1.0, -s->shift);
        for (uint64_t i = c * s->per_out; i < (c + 1) * s->per_out; i++)
            l->q[i] = (int8_t)clamp(round_even(scale * (double)l->w[i]), s->q_max);
        if (l->has_bias) {
            double mean = 0.0;
            if (l->correct)
                (void)weight_error(s, c, l->sigma[c], &mean);
            l->bias[c] = quant_bias_round(l->arith, (model_bias(l, c) + mean) * l->sigma[c]);
        }
    }
    return SPK_OK;
}

static void report(const struct search *s)
{
    struct quant_layer *l = s->l;
    for (uint32_t c = 0; c < l->out; c++) {
        double scale = l->sigma[c] * l->lif->gain * ldexp(1.0, -s->shift);
        uint32_t earlier = 0;
        while (earlier < c && l->vth[earlier] != l->vth[c])
            earlier++;
        l->thresholds += earlier == c;
        for (uint64_t i = c * s->per_out; i < (c + 1) * s->per_out; i++) {
            double x = scale * (double)l->w[i];
            double error = fabs(x - (double)l->q[i]);
            if (fabs(x) > s->q_max + 0.5)
                l->clipped++;
            else
                l->worst_error = fmax(l->worst_error,
                                      error * ldexp(1.0, s->shift) / (l->sigma[c] * l->lif->theta));
        }
    }
}

/* The part of the error that a larger exponent would lower: rounding of biases and of the leak. */
static double fine_error(const struct search *s, const int32_t *vth)
{
    double grain = s->l->arith->neuron == TGT_NEURON_FIXED ? 128.0 : 1.0, sum = 0.0;
    for (uint32_t c = 0; c < s->l->out; c++) {
        double sigma = (double)vth[c] / s->l->lif->theta;
        sum += (1.0 + (s->l->has_bias ? grain * grain / 12.0 : 0.0)) / (sigma * sigma);
    }
    return sum;
}

/* Chooses the exponent; vth and s->shift are those of the chosen one. */
static spk_status choose_scales(struct search *s, int base, int32_t *vth)
{
    const struct tgt_arith *a = s->l->arith;
    double total[EXPONENTS], best = HUGE_VAL;
    int first = a->weight_exp_min > 0 ? a->weight_exp_min : 0;
    int n = a->weight_exp_max - first + 1;
    n = n > EXPONENTS ? EXPONENTS : n;
    for (int e = 0; e < n; e++) {
        s->shift = base + first + e;
        SPK_TRY(try_exponent(s, vth, &total[e]));
        best = fmin(best, total[e]);
        /* Done when nothing is left to gain, or when the cap on scales begins to hurt. */
        if (total[e] < HUGE_VAL && (fine_error(s, vth) <= 0.02 * total[e] || total[e] > 1.5 * best))
            n = e + 1;
    }
    for (int e = 0; e < n - 1; e++)
        if (total[e] <= 1.02 * best) {
            s->shift = base + first + e;
            return try_exponent(s, vth, &total[e]);
        }
    return SPK_OK; /* the last one tried */
}

static spk_status run_search(struct search *s, int base)
{
    struct quant_layer *l = s->l;
    SPK_TRY(spk_alloc_array(l->out, sizeof *s->w_max, &s->w_max));
    SPK_TRY(spk_alloc_array(l->out, sizeof *l->sigma, &l->sigma));
    SPK_TRY(spk_alloc_array(l->out, sizeof *l->vth, &l->vth));
    SPK_TRY(spk_alloc_array_raw(l->out * s->per_out, sizeof *l->q, &l->q));
    if (l->has_bias)
        SPK_TRY(spk_alloc_array(l->out, sizeof *l->bias, &l->bias));
    SPK_TRY(pool_run(l->pool, (l->out + CHUNK - 1) / CHUNK, max_chunk, s));
    SPK_TRY(choose_scales(s, base, l->vth));
    bool fixed = l->arith->neuron == TGT_NEURON_FIXED;
    for (uint32_t c = 0; c < l->out; c++) {
        l->sigma[c] = (double)(fixed && l->lif->strict ? l->vth[c] - 1 : l->vth[c]) / l->lif->theta;
        if (!fixed && l->lif->strict)
            l->vth[c]++;
    }
    l->shift = (uint8_t)s->shift;
    SPK_TRY(pool_run(l->pool, (l->out + CHUNK - 1) / CHUNK, fill_chunk, s));
    report(s);
    return SPK_OK;
}

spk_status quant_layer_run(struct quant_layer *l, struct diag_list *d)
{
    struct search s;
    double *variance = NULL;
    const struct tgt_arith *a = l->arith;
    int base = a->current_shift + (a->weight_even ? 1 : 0);
    memset(&s, 0, sizeof s);
    s.l = l;
    s.per_out = l->in * l->taps;
    s.q_max = (double)((1 << ((l->weight_bits > 0 ? l->weight_bits : a->weight_bits) - 1)) - 1);
    s.shift = base + (a->weight_exp_min > 0 ? a->weight_exp_min : 0);
    l->q = NULL;
    l->vth = l->bias = NULL;
    l->sigma = NULL;
    l->thresholds = 0;
    l->clipped = 0;
    l->worst_error = 0.0;
    l->shift = (uint8_t)s.shift;
    if (!l->w)
        return SPK_OK;
    for (uint64_t i = 0; i < l->out * s.per_out; i++)
        if (!isfinite(l->w[i]))
            return diag_error(d, spk_span_none, "E0635", "layer %s: weight %llu is not finite",
                              l->name, (unsigned long long)i);
    SPK_TRY(spk_alloc_array(l->in, sizeof *variance, &variance));
    for (uint32_t i = 0; i < l->in; i++) {
        /* Counts vary at least as spikes do; silent inputs still count a little. */
        double p = l->rate[i] < 0.0 ? 0.0 : l->rate[i];
        variance[i] = fmax(p < 0.5 ? p * (1.0 - p) : 0.5 * p, 1e-3);
    }
    s.weight_of = variance;
    spk_status status = run_search(&s, base);
    spk_free(variance);
    spk_free(s.w_max);
    if (status != SPK_OK)
        quant_layer_fini(l);
    return status;
}

void quant_layer_fini(struct quant_layer *l)
{
    spk_free(l->q);
    spk_free(l->vth);
    spk_free(l->bias);
    spk_free(l->sigma);
    l->q = NULL;
    l->vth = l->bias = NULL;
    l->sigma = NULL;
}
