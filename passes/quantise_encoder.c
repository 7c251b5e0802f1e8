/* The host's image encoder in integers (docs/integers.md, section 5).
 *
 * The first layer of a static image gets one constant current per neuron, a signed mantissa of
 * m_max times 2^m_exp. With a reset to 0 only currents between -theta and +theta matter: a
 * constant current of theta or more fires in every frame, one below 0 in none, whatever its size
 * (the leak keeps the sign). So the scale is the largest power of two over theta at which theta is
 * still in the mantissa's range, and what is clipped was decided already: clipping is exact. With
 * a soft reset the whole range counts, and the scale follows the largest current.
 *
 * Scales are powers of two over theta, so dyadic weights and inputs pass exactly. All channels
 * share one scale: the weights are 16-bit. The rest follows: x_shift from the range of the input
 * (12 for |x| < 8), out_shift as large as 16-bit weights and 32-bit biases allow.             */
#include <math.h>
#include <string.h>

#include "passes/quantise.h"
#include "support/alloc.h"

#define MAX_X_SHIFT 20
#define MAX_OUT_SHIFT 40

static spk_status cannot(const struct quant_encoder *e, const char *what, struct diag_list *d)
{
    spk_status s = diag_nofit(d, spk_span_none, "E0634", "layer %s: %s", e->name, what);
    diag_help_set(d, "normalise the input, or rescale the first layer's weights");
    return s;
}

static double largest(const float *x, uint64_t n)
{
    double m = 0.0;
    for (uint64_t i = 0; i < n; i++)
        if (fabs((double)x[i]) > m)
            m = fabs((double)x[i]);
    return m;
}

/* 2^k, the largest not above x. */
static int floor_log2(double x)
{
    int e = 0;
    (void)frexp(x, &e);
    return e - 1;
}

static void fill(struct quant_encoder *e, double scale)
{
    double bias_scale = e->sigma * ldexp(1.0, e->out_shift - e->m_exp);
    for (uint64_t i = 0; i < e->out * e->per_out; i++)
        e->w_q[i] = (int16_t)nearbyint(scale * e->lif->gain * (double)e->w[i]);
    for (uint32_t c = 0; c < e->out; c++) {
        double b = (e->b ? e->lif->gain * (double)e->b[c] : 0.0) + e->lif->offset;
        e->b_q[c] = (int32_t)nearbyint(bias_scale * b);
    }
}

/* out_shift for 16-bit weights and 32-bit biases; false where there is none. */
static bool choose_out_shift(struct quant_encoder *e)
{
    double w_max = fabs(e->lif->gain) * largest(e->w, e->out * e->per_out);
    double b_max = fabs(e->lif->offset) + (e->b ? fabs(e->lif->gain) * largest(e->b, e->out) : 0.0);
    for (int shift = MAX_OUT_SHIFT; shift >= 0; shift--) {
        double w = w_max * e->sigma * ldexp(1.0, shift - e->x_shift - e->m_exp);
        double b = b_max * e->sigma * ldexp(1.0, shift - e->m_exp);
        if (w <= 32767.0 && b <= 2147483647.0) {
            e->out_shift = (uint8_t)shift;
            return true;
        }
    }
    return false;
}

spk_status quant_encoder_run(struct quant_encoder *e, struct diag_list *d)
{
    const struct tgt_arith *a = e->arith;
    e->w_q = NULL;
    e->b_q = e->vth = NULL;
    e->m_max = (1 << (a->bias_mant_bits - 1)) - 1;
    e->m_exp = a->bias_exp_max;
    int x_shift = e->x_max > 0.0 ? floor_log2(32767.0 / e->x_max) : MAX_X_SHIFT;
    if (!isfinite(e->x_max) || x_shift < 0)
        return cannot(e, "the input is too large for 16 bits", d);
    e->x_shift = (uint8_t)(x_shift > MAX_X_SHIFT ? MAX_X_SHIFT : x_shift);
    double full = ldexp((double)e->m_max, e->m_exp);
    double range = e->lif->soft_reset || e->lif->current_keep > 0
                       ? fmax(e->current_max, e->lif->theta) / e->lif->theta
                       : 1.0;
    int log = floor_log2(full / range);
    if (log > 20)
        log = 20;
    if (log < (int)a->threshold_shift + 2)
        return cannot(e, "its currents are too large for its threshold", d);
    e->sigma = ldexp(1.0, log) / e->lif->theta;
    if (!e->w)
        return SPK_OK;
    if (!choose_out_shift(e))
        return cannot(e, "its weights are too large for the host's 16 bits", d);
    spk_status s = spk_alloc_array_raw(e->out * e->per_out, sizeof *e->w_q, &e->w_q);
    if (s == SPK_OK)
        s = spk_alloc_array_raw(e->out, sizeof *e->b_q, &e->b_q);
    if (s == SPK_OK)
        s = spk_alloc_array_raw(e->out, sizeof *e->vth, &e->vth);
    if (s != SPK_OK) {
        quant_encoder_fini(e);
        return s;
    }
    fill(e, e->sigma * ldexp(1.0, e->out_shift - e->x_shift - e->m_exp));
    for (uint32_t c = 0; c < e->out; c++)
        e->vth[c] = quant_exact_threshold(a, ldexp(1.0, log), e->lif->strict);
    return SPK_OK;
}

void quant_encoder_fini(struct quant_encoder *e)
{
    spk_free(e->w_q);
    spk_free(e->b_q);
    spk_free(e->vth);
    e->w_q = NULL;
    e->b_q = e->vth = NULL;
}
