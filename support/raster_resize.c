/* Resampling by convolution with precomputed windows, in the manner of Pillow: two passes, Keys'
 * cubic (1981) with a = -1/2 or a triangle, support times the scale when shrinking. Cost: per
 * output value and pass about twice the support times the scale. */
#include <math.h>
#include <string.h>

#include "support/alloc.h"
#include "support/checked.h"
#include "support/raster.h"

#define BITS 22 /* of the fixed point: 32 - 8 for the byte - 2 for sign and overshoot */

struct windows {
    uint32_t *first, *n; /* per output value: window of input values */
    int32_t *weight;     /* [outputs][width] */
    uint32_t width;
};

static double bilinear(double x)
{
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

static double bicubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
    return x < 2.0 ? (((x - 5.0) * x + 8.0) * x - 4.0) * a : 0.0;
}

static void windows_fini(struct windows *w)
{
    spk_free(w->first);
    spk_free(w->n);
    spk_free(w->weight);
}

/* One window, centred on output value `at`, normalised to a sum of 1. */
static void fill_window(struct windows *w, uint32_t at, uint32_t in, double scale, double support,
                        enum raster_filter filter, double *scratch)
{
    double (*kernel)(double) = filter == RASTER_BICUBIC ? bicubic : bilinear;
    double stretch = scale < 1.0 ? 1.0 : scale, sum = 0.0;
    double center = ((double)at + 0.5) * scale;
    int64_t low = (int64_t)(center - support + 0.5), high = (int64_t)(center + support + 0.5);
    low = low < 0 ? 0 : low;
    high = high > (int64_t)in ? (int64_t)in : high;
    for (int64_t i = low; i < high; i++) {
        scratch[i - low] = kernel(((double)i - center + 0.5) * (1.0 / stretch));
        sum += scratch[i - low];
    }
    w->first[at] = (uint32_t)low;
    w->n[at] = (uint32_t)(high - low);
    for (int64_t i = 0; i < high - low; i++) {
        double x = (sum != 0.0 ? scratch[i] / sum : scratch[i]) * (double)(1 << BITS);
        w->weight[(size_t)at * w->width + (size_t)i] = (int32_t)(x < 0.0 ? x - 0.5 : x + 0.5);
    }
}

static spk_status make_windows(uint32_t in, uint32_t out, enum raster_filter filter,
                               struct windows *w)
{
    double scale = (double)in / (double)out;
    double support = (filter == RASTER_BICUBIC ? 2.0 : 1.0) * (scale < 1.0 ? 1.0 : scale);
    double *scratch;
    size_t n;
    w->width = (uint32_t)ceil(support) * 2 + 1;
    if (!checked_mul_size(out, w->width, &n))
        return SPK_ERR_NOMEM;
    SPK_TRY(spk_alloc_array(out, sizeof *w->first, &w->first));
    SPK_TRY(spk_alloc_array(out, sizeof *w->n, &w->n));
    SPK_TRY(spk_alloc_array(n, sizeof *w->weight, &w->weight));
    SPK_TRY(spk_alloc_array(w->width, sizeof *scratch, &scratch));
    for (uint32_t i = 0; i < out; i++)
        fill_window(w, i, in, scale, support, filter, scratch);
    spk_free(scratch);
    return SPK_OK;
}

/* Weighted sum of one window: values `step` bytes apart. */
static uint8_t blend(const struct windows *w, uint32_t at, const uint8_t *in, size_t step)
{
    const int32_t *weight = w->weight + (size_t)at * w->width;
    int64_t sum = (int64_t)1 << (BITS - 1);
    in += w->first[at] * step;
    for (uint32_t i = 0; i < w->n[at]; i++)
        sum += (int64_t)in[i * step] * weight[i];
    sum >>= BITS;
    return (uint8_t)(sum < 0 ? 0 : (sum > 255 ? 255 : sum));
}

/* One pass, along rows or along columns. */
static spk_status pass(const struct raster *in, bool columns, uint32_t size,
                       enum raster_filter filter, struct raster *out)
{
    struct windows w = {0};
    uint32_t width = columns ? in->width : size, height = columns ? size : in->height;
    size_t row = (size_t)in->width * in->channels;
    spk_status status = make_windows(columns ? in->height : in->width, size, filter, &w);
    if (status == SPK_OK)
        status = raster_alloc(width, height, in->channels, out);
    uint8_t *to = status == SPK_OK ? out->pixel : NULL;
    for (uint32_t y = 0; to && y < height; y++)
        for (uint32_t x = 0; x < width; x++)
            for (uint32_t c = 0; c < in->channels; c++)
                *to++ = columns ? blend(&w, y, in->pixel + (size_t)x * in->channels + c, row)
                                : blend(&w, x, in->pixel + y * row + c, in->channels);
    windows_fini(&w);
    return status;
}

spk_status raster_resize(const struct raster *in, uint32_t width, uint32_t height,
                         enum raster_filter filter, struct raster *out_raster)
{
    struct raster middle = {0};
    *out_raster = (struct raster){0};
    if (width == 0 || height == 0)
        return SPK_ERR_INTERNAL;
    SPK_TRY(pass(in, false, width, filter, &middle)); /* of the same width: every window is 1 */
    spk_status status = pass(&middle, true, height, filter, out_raster);
    raster_fini(&middle);
    return status;
}
