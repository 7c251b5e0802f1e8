/* Synthetic images.
 *
 * A field is a sum of octaves: random normal numbers on a grid of 2^k by 2^k points, interpolated
 * bilinearly and periodically, k from 1 until the grid is as fine as the pixels. Every octave has
 * the same variance, that is a power spectrum of 1/f^2, the one of natural images (Field,
 * "Relations between the statistics of natural images and the response properties of cortical
 * cells", 1987). Each channel of a still image is the common field and an own one, mixed to a
 * correlation of 0.9 and normalised. For event frames the field drifts by about a pixel a frame in
 * a random direction; an event camera answers changes of the logarithm of light, and logarithms of
 * natural light are what has this spectrum, so the field's change divided by a threshold is the
 * number of events. Every image has its own stream of the generator. Cost: a few 10 ns a pixel and
 * octave.          */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "passes/synth_internal.h"
#include "support/alloc.h"
#include "support/checked.h"
#include "support/rng.h"

#define MAX_OCTAVES 12u
#define CORRELATION 0.9
#define EVENT_SHARE 0.1 /* of values that have events */
/* Images are added until every channel has this many values to measure, within limits. Values of
 * one image are alike: with a tenth of these, statistics of deep networks hold for those images
 * only. */
#define ENOUGH_VALUES 4096u
#define MIN_IMAGES 2u
#define MAX_IMAGES 256u

struct field {
    uint32_t octaves, side; /* side: pixels that the period spans */
    float *grid[MAX_OCTAVES];
};

static void field_fini(struct field *f)
{
    for (uint32_t k = 0; k < f->octaves; k++)
        spk_free(f->grid[k]);
    *f = (struct field){0};
}

static spk_status field_init(struct field *f, uint32_t height, uint32_t width, struct rng *rng)
{
    *f = (struct field){.side = height > width ? height : width};
    for (uint32_t k = 1; k <= MAX_OCTAVES && (k == 1 || (1u << k) <= f->side); k++) {
        size_t points = (size_t)1 << (2 * k);
        float *grid;
        spk_status status = spk_alloc_array_raw(points, sizeof *grid, &grid);

        if (status != SPK_OK) {
            field_fini(f);
            return status;
        }
        for (size_t i = 0; i < points; i++)
            grid[i] = (float)rng_normal(rng);
        f->grid[f->octaves++] = grid;
    }
    return SPK_OK;
}

static double field_at(const struct field *f, double y, double x)
{
    double sum = 0;

    for (uint32_t k = 0; k < f->octaves; k++) {
        uint32_t n = 2u << k, mask = n - 1;
        double gy = y / f->side * n, gx = x / f->side * n;
        double fy = floor(gy), fx = floor(gx), ay = gy - fy, ax = gx - fx;
        uint32_t y0 = (uint32_t)(int64_t)fy & mask, x0 = (uint32_t)(int64_t)fx & mask;
        const float *r0 = f->grid[k] + (size_t)y0 * n;
        const float *r1 = f->grid[k] + (size_t)((y0 + 1) & mask) * n;
        uint32_t x1 = (x0 + 1) & mask;

        sum += (1 - ay) * ((1 - ax) * (double)r0[x0] + ax * (double)r0[x1]) +
               ay * ((1 - ax) * (double)r1[x0] + ax * (double)r1[x1]);
    }
    return sum;
}

/* To mean 0 and variance 1; a single value becomes 0. */
static void normalise(float *x, uint64_t n)
{
    double mean = 0, square = 0;

    for (uint64_t i = 0; i < n; i++)
        mean += (double)x[i] / (double)n;
    for (uint64_t i = 0; i < n; i++)
        square += ((double)x[i] - mean) * ((double)x[i] - mean) / (double)n;
    double scale = square > 0 ? 1.0 / sqrt(square) : 0.0;
    for (uint64_t i = 0; i < n; i++)
        x[i] = (float)(((double)x[i] - mean) * scale);
}

/* x = scale * x + the field's values of a frame that has moved by (dy, dx). */
static void add_field(const struct field *f, const struct ir_type *t, double dy, double dx,
                      float scale, float *x)
{
    for (uint32_t y = 0; y < t->height; y++)
        for (uint32_t c = 0; c < t->width; c++, x++)
            *x = scale * *x + (float)field_at(f, y + dy, c + dx);
}

static spk_status still_image(const struct ir_type *t, struct rng *rng, float *image)
{
    uint64_t positions = ir_type_positions(t);
    struct field f;
    float *common;

    SPK_TRY(spk_alloc_array(positions, sizeof *common, &common));
    spk_status status = field_init(&f, t->height, t->width, rng);
    if (status == SPK_OK) {
        add_field(&f, t, 0, 0, 0, common);
        normalise(common, positions);
        field_fini(&f);
    }
    for (uint32_t c = 0; c < t->channels && status == SPK_OK; c++) {
        float *x = image + c * positions;

        status = field_init(&f, t->height, t->width, rng);
        if (status != SPK_OK)
            break;
        add_field(&f, t, 0, 0, 0, x);
        field_fini(&f);
        normalise(x, positions);
        for (uint64_t i = 0; i < positions; i++)
            x[i] = (float)(sqrt(CORRELATION) * (double)common[i] +
                           sqrt(1 - CORRELATION) * (double)x[i]);
        normalise(x, positions);
    }
    spk_free(common);
    return status;
}

static int compare_f32(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The change that a share of the values of d[n] reaches; more than 0. */
static spk_status threshold_of(const float *d, uint64_t n, double share, double *out)
{
    float *sorted;

    SPK_TRY(spk_alloc_array_raw(n, sizeof *sorted, &sorted));
    for (uint64_t i = 0; i < n; i++)
        sorted[i] = fabsf(d[i]);
    qsort(sorted, n, sizeof *sorted, compare_f32);
    *out = (double)sorted[(uint64_t)((1.0 - share) * (double)(n - 1))];
    if (!(*out > 0.0))
        *out = 1.0;
    spk_free(sorted);
    return SPK_OK;
}

/* Changes of frame t against the one before, for all frames: change[T, positions]. */
static void changes_of(const struct field *f, const struct ir_type *t, struct rng *rng,
                       float *change)
{
    double angle = 2 * 3.14159265358979323846 * rng_f64(rng), speed = 0.5 + rng_f64(rng);
    double dy = speed * sin(angle), dx = speed * cos(angle);

    for (uint32_t k = 0; k < t->timesteps; k++) {
        float *x = change + k * ir_type_positions(t);

        add_field(f, t, k * dy, k * dx, 0, x);
        add_field(f, t, (k + 1) * dy, (k + 1) * dx, -1, x);
    }
}

static spk_status event_frames(const struct ir_type *t, struct rng *rng, float *image)
{
    uint64_t positions = ir_type_positions(t), n = t->timesteps * positions;
    double signs = t->channels > 1 ? 2 : 1, threshold = 1;
    double most = t->bound ? t->bound : 255;
    struct field f;
    float *change;

    SPK_TRY(spk_alloc_array(n, sizeof *change, &change));
    spk_status status = field_init(&f, t->height, t->width, rng);
    if (status == SPK_OK) {
        changes_of(&f, t, rng, change);
        field_fini(&f);
        status = threshold_of(change, n, signs * EVENT_SHARE, &threshold);
    }
    for (uint64_t i = 0; i < n && status == SPK_OK; i++) {
        double count = fmin(floor(fabs((double)change[i]) / threshold), most);
        uint32_t dark = t->channels > 1 && change[i] < 0;

        for (uint32_t c = dark; c < t->channels; c += (uint32_t)signs)
            image[(i / positions * t->channels + c) * positions + i % positions] = (float)count;
    }
    spk_free(change);
    return status;
}

static uint32_t enough_images(const struct ir_module *m)
{
    uint64_t fewest = UINT32_MAX, n;

    for (uint32_t i = 0; i < m->n_nodes; i++) {
        const struct ir_type *t = &m->node[i].type;
        uint64_t values = t->timesteps * ir_type_positions(t);

        if (m->node[i].op == IR_OP_NEURON && values < fewest)
            fewest = values;
    }
    n = (ENOUGH_VALUES + fewest - 1) / fewest;
    return n < MIN_IMAGES ? MIN_IMAGES : n > MAX_IMAGES ? MAX_IMAGES : (uint32_t)n;
}

void synth_images_fini(struct synth_images *s)
{
    spk_free(s->data);
    *s = (struct synth_images){0};
}

spk_status synth_images_make(const struct ir_module *m, uint32_t n, uint64_t seed,
                             struct diag_list *diags, struct synth_images *out)
{
    const struct ir_node *in = NULL;
    struct synth_images s = {0};
    uint64_t stride, total;
    size_t count;
    spk_status status;

    in = ir_input(m) != IR_NONE ? &m->node[ir_input(m)] : NULL;
    if (!in)
        return diag_internal(diags, spk_span_none, "E0693", "module %s has no input", m->name);
    n = n ? n : enough_images(m);
    stride = ir_input_values(m); /* masks stay zero: nothing is hidden */
    if (!checked_mul_u64(stride, n, &total) || !checked_size_from_u64(total, &count))
        return SPK_ERR_NOMEM;
    status = spk_alloc_array(count, sizeof *s.data, &s.data);
    for (uint32_t k = 0; k < n && status == SPK_OK; k++) {
        float *image = s.data + k * stride;
        struct rng rng;

        rng_seed_stream(&rng, seed, SYNTH_STREAM_IMAGES + k);
        status = in->a.input.events ? event_frames(&in->type, &rng, image)
                                    : still_image(&in->type, &rng, image);
    }
    s.input = (struct engine_input){n, s.data, stride};
    if (status == SPK_OK)
        *out = s;
    else
        synth_images_fini(&s);
    return status;
}
