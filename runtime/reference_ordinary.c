/* Masks, patches and the ops of ordinary networks in the reference engine (docs/ir.md, section 2).
 *
 * Row by row, a row being the channels of one position of one frame; sums over channels, tokens
 * and rows run in index order in double precision and are rounded to float32 once, so a result
 * does not depend on the number of threads and differs from any float32 evaluation by rounding
 * alone. GELU is the exact one, with erf. Softmax subtracts the largest score first. Cost: linear,
 * but softmax attention takes 2 N^2 D multiplications, and a head of it N doubles of memory.    */
#include "runtime/reference_internal.h"

#include <math.h>
#include <string.h>

#include "support/alloc.h"

#define GRAIN 8192u /* elements per chunk */

struct row_work {
    const struct ir_node *node;
    const struct ir_type *in_type; /* of operand 0 */
    const struct ref_value *in, *second;
    const struct ir_type *second_type;
    struct ref_value *out;
    const float *a, *b; /* params, NULL where there are none */
    bool per_element;   /* offset: param a has one number per element */
    uint64_t rows, grain;
    void (*row)(const struct row_work *w, uint64_t frame, uint64_t position, float *scratch);
};

/* n elements of operand 0 at a position, as float. */
static const float *row_in(const struct row_work *w, uint64_t frame, uint64_t position,
                           float *scratch)
{
    uint64_t at = ref_frame_at(w->in, (uint32_t)frame) + position * w->in->channels;

    return ref_as_f32(w->in, at, w->in->channels, scratch);
}

static void *row_out(const struct row_work *w, uint64_t frame, uint64_t position)
{
    uint64_t at = (frame * w->out->positions + position) * w->out->channels;

    return (uint8_t *)w->out->buffer->data + at * ref_elem_size(w->out->elem);
}

static spk_status row_chunk(void *ctx, uint32_t chunk, uint32_t worker)
{
    const struct row_work *w = ctx;
    struct ref_range range = ref_range_of(w->rows, w->grain, chunk);
    float *scratch;

    (void)worker;
    SPK_TRY(spk_alloc_array_raw(w->in->channels, sizeof *scratch, &scratch));
    for (uint64_t r = range.begin; r < range.end; r++)
        w->row(w, r / w->out->positions, r % w->out->positions, scratch);
    spk_free(scratch);
    return SPK_OK;
}

/* Computes node id with w->row for every row of the result. */
static spk_status by_rows(struct ref_job *job, uint32_t id, struct row_work *w)
{
    const struct ir_module *m = job->e->m;
    const struct ir_node *n = &m->node[id];

    w->node = n;
    w->in = &job->value[n->operand[0]];
    w->in_type = &m->node[n->operand[0]].type;
    if (n->n_operands > 1) {
        w->second = &job->value[n->operand[1]];
        w->second_type = &m->node[n->operand[1]].type;
    }
    w->a = n->n_params > 0 ? m->param[n->param[0]].data : NULL;
    w->b = n->n_params > 1 ? m->param[n->param[1]].data : NULL;
    w->per_element = n->n_params > 0 && m->param[n->param[0]].rank > 1;
    w->out = &job->value[id];
    SPK_TRY(ref_value_create(job, id, w->in->frames));
    w->rows = w->out->frames * w->out->positions;
    w->grain = GRAIN / w->out->channels + 1;
    return ref_parallel(job, w->rows, w->grain, row_chunk, w);
}

/* ---- mask ---- */

/* The cell of a mask over position p of a value: the same position, or for an image the cell of the
 * grid that p lies in. */
static uint64_t mask_cell(const struct ir_type *mask, const struct ir_type *x, uint64_t p)
{
    if (ir_type_positions(mask) == ir_type_positions(x))
        return p;
    uint64_t row = p / x->width / (x->height / mask->height);
    uint64_t column = p % x->width / (x->width / mask->width);
    return row * mask->width + column;
}

static bool hidden(const struct ref_value *mask, const struct ir_type *type,
                   const struct ir_type *x, uint64_t p)
{
    return ref_as_i32(mask, mask_cell(type, x, p)) != 0;
}

static void mask_row(const struct row_work *w, uint64_t frame, uint64_t p, float *scratch)
{
    uint32_t size = ref_elem_size(w->out->elem), channels = w->out->channels;
    uint64_t from = ref_frame_at(w->in, (uint32_t)frame) + p * channels;
    void *out = row_out(w, frame, p);

    if (hidden(w->second, w->second_type, w->in_type, p)) {
        if (w->a)
            memcpy(out, w->a, channels * sizeof(float));
        else
            memset(out, 0, (size_t)channels * size);
    } else if (w->out->elem == w->in->elem) {
        memcpy(out, (const uint8_t *)w->in->buffer->data + from * size, (size_t)channels * size);
    } else {
        memcpy(out, row_in(w, frame, p, scratch), channels * sizeof(float));
    }
}

spk_status ref_mask(struct ref_job *job, uint32_t id)
{
    struct row_work w = {.row = mask_row};

    return by_rows(job, id, &w);
}

/* ---- offset, layer norm, GELU, slice, patches ---- */

static void offset_row(const struct row_work *w, uint64_t frame, uint64_t p, float *scratch)
{
    const float *x = row_in(w, frame, p, scratch);
    float *out = row_out(w, frame, p);
    uint64_t channels = w->out->channels, positions = w->out->positions;
    bool last = w->node->type.layout == IR_NC; /* the table is laid out as the value */

    for (uint64_t c = 0; c < channels; c++)
        out[c] = x[c] + w->a[!w->per_element ? c : last ? p * channels + c : c * positions + p];
}

spk_status ref_offset(struct ref_job *job, uint32_t id)
{
    struct row_work w = {.row = offset_row};

    return by_rows(job, id, &w);
}

static void layernorm_row(const struct row_work *w, uint64_t frame, uint64_t p, float *scratch)
{
    const struct ir_attr_norm *a = &w->node->a.norm;
    const float *x = row_in(w, frame, p, scratch);
    float *out = row_out(w, frame, p);
    uint32_t n = w->out->channels;
    double mean = 0, squares = 0, scale;

    for (uint32_t c = 0; c < n; c++)
        mean += (double)x[c];
    mean /= n;
    for (uint32_t c = 0; c < n; c++)
        squares += ((double)x[c] - mean) * ((double)x[c] - mean);
    scale = 1.0 / sqrt(squares / (a->sample ? n - 1 : n) + (double)a->eps);
    for (uint32_t c = 0; c < n; c++) {
        double y = ((double)x[c] - mean) * scale;

        out[c] = (float)(w->a ? y * (double)w->a[c] + (double)w->b[c] : y);
    }
}

spk_status ref_layernorm(struct ref_job *job, uint32_t id)
{
    struct row_work w = {.row = layernorm_row};

    return by_rows(job, id, &w);
}

static void gelu_row(const struct row_work *w, uint64_t frame, uint64_t p, float *scratch)
{
    const double root_half = 0.70710678118654752440; /* sqrt(1/2) */
    const float *x = row_in(w, frame, p, scratch);
    float *out = row_out(w, frame, p);

    for (uint32_t c = 0; c < w->out->channels; c++)
        out[c] = (float)(0.5 * (double)x[c] * (1.0 + erf((double)x[c] * root_half)));
}

spk_status ref_gelu(struct ref_job *job, uint32_t id)
{
    struct row_work w = {.row = gelu_row};

    return by_rows(job, id, &w);
}

static void slice_row(const struct row_work *w, uint64_t frame, uint64_t p, float *scratch)
{
    uint32_t size = ref_elem_size(w->out->elem);
    uint64_t from = ref_frame_at(w->in, (uint32_t)frame) + p * w->in->channels;

    (void)scratch;
    memcpy(row_out(w, frame, p),
           (const uint8_t *)w->in->buffer->data + (from + w->node->a.slice.begin) * size,
           (size_t)w->out->channels * size);
}

spk_status ref_slice(struct ref_job *job, uint32_t id)
{
    struct row_work w = {.row = slice_row};

    return by_rows(job, id, &w);
}

/* The rows of a patch lie one after another, channels fastest, as they do in the image. */
static void patches_row(const struct row_work *w, uint64_t frame, uint64_t p, float *scratch)
{
    uint32_t side = w->node->a.patch, width = w->in_type->width, size = ref_elem_size(w->out->elem);
    uint64_t y0 = p / (width / side) * side, x0 = p % (width / side) * side;
    size_t run = (size_t)side * w->in->channels * size;
    uint8_t *out = row_out(w, frame, p);

    (void)scratch;
    for (uint64_t y = y0; y < y0 + side; y++, out += run) {
        uint64_t at = ref_frame_at(w->in, (uint32_t)frame) + (y * width + x0) * w->in->channels;

        memcpy(out, (const uint8_t *)w->in->buffer->data + at * size, run);
    }
}

spk_status ref_patches(struct ref_job *job, uint32_t id)
{
    struct row_work w = {.row = patches_row};

    return by_rows(job, id, &w);
}

/* ---- softmax attention ---- */

struct softmax_work {
    const struct ir_attr_attention *a;
    const struct ref_value *q, *k, *v;
    struct ref_value *out;
    uint32_t d; /* channels of a head */
};

static double dot(const float *x, const float *y, uint32_t n)
{
    double sum = 0;

    for (uint32_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)y[i];
    return sum;
}

/* One head of one frame, spread out: [tokens][d]. */
static void take_head(const struct ref_value *v, uint32_t t, uint32_t c0, uint32_t d, float *out)
{
    for (uint64_t n = 0; n < v->positions; n++, out += d) {
        uint64_t at = ref_frame_at(v, t) + n * v->channels + c0;

        for (uint32_t i = 0; i < d; i++)
            out[i] = v->elem == REF_F32 ? ref_f32(v)[at + i] : (float)ref_as_i32(v, at + i);
    }
}

/* One row of the result: sum over m of softmax(scale * q k_m) v_m. */
static void attend(const struct softmax_work *w, const float *q, const float *k, const float *v,
                   double *score, double *sum, float *out)
{
    uint64_t tokens = w->k->positions;
    double largest = -INFINITY, total = 0;

    for (uint64_t m = 0; m < tokens; m++) {
        score[m] = (double)w->a->scale * dot(q, k + m * w->d, w->d);
        largest = fmax(largest, score[m]);
    }
    memset(sum, 0, w->d * sizeof *sum);
    for (uint64_t m = 0; m < tokens; m++) {
        double e = exp(score[m] - largest);

        total += e;
        for (uint32_t i = 0; i < w->d; i++)
            sum[i] += e * (double)v[m * w->d + i];
    }
    for (uint32_t i = 0; i < w->d; i++)
        out[i] = (float)(sum[i] / total);
}

/* One head of one frame. */
static spk_status softmax_chunk(void *ctx, uint32_t chunk, uint32_t worker)
{
    const struct softmax_work *w = ctx;
    uint32_t t = chunk / w->a->heads, c0 = chunk % w->a->heads * w->d;
    uint64_t tokens = w->out->positions;
    size_t size = (size_t)tokens * w->d;
    float *q = NULL;
    double *score = NULL;

    (void)worker;
    SPK_TRY(spk_alloc_array_raw(3 * size, sizeof *q, &q));
    spk_status status = spk_alloc_array_raw((size_t)tokens + w->d, sizeof *score, &score);
    if (status == SPK_OK) {
        take_head(w->q, t, c0, w->d, q);
        take_head(w->k, t, c0, w->d, q + size);
        take_head(w->v, t, c0, w->d, q + 2 * size);
        for (uint64_t n = 0; n < tokens; n++) {
            uint64_t at = (t * tokens + n) * w->out->channels + c0;

            attend(w, q + n * w->d, q + size, q + 2 * size, score, score + tokens,
                   ref_f32(w->out) + at);
        }
    }
    spk_free(score);
    spk_free(q);
    return status;
}

spk_status ref_softmax_attention(struct ref_job *job, uint32_t id)
{
    const struct ir_node *node = &job->e->m->node[id];
    struct softmax_work w = {.a = &node->a.attention, .out = &job->value[id]};

    w.q = &job->value[node->operand[0]];
    w.k = &job->value[node->operand[1]];
    w.v = &job->value[node->operand[2]];
    w.d = node->type.channels / w.a->heads;
    SPK_TRY(ref_value_create(job, id, ref_frames(job, node)));
    return ref_parallel(job, (uint64_t)w.out->frames * w.a->heads, 1, softmax_chunk, &w);
}

/* ---- mean over time, mean squared error ---- */

static double element(const struct ref_value *v, uint32_t frame, uint64_t i)
{
    uint64_t at = ref_frame_at(v, frame) + i;

    return v->elem == REF_F32 ? (double)ref_f32(v)[at] : (double)ref_as_i32(v, at);
}

spk_status ref_mean_over_time(struct ref_job *job, uint32_t id)
{
    const struct ref_value *in = &job->value[job->e->m->node[id].operand[0]];
    uint64_t size = ref_frame_size(in);

    SPK_TRY(ref_value_create(job, id, 1));
    for (uint64_t i = 0; i < size; i++) {
        double sum = 0;

        for (uint32_t t = 0; t < in->frames; t++)
            sum += element(in, t, i);
        ref_f32(&job->value[id])[i] = (float)(sum / in->frames);
    }
    return SPK_OK;
}

spk_status ref_mse(struct ref_job *job, uint32_t id)
{
    const struct ir_module *m = job->e->m;
    const struct ir_node *n = &m->node[id];
    const struct ref_value *a = &job->value[n->operand[0]], *b = &job->value[n->operand[1]];
    const struct ref_value *mask = n->n_operands > 2 ? &job->value[n->operand[2]] : NULL;
    uint32_t frames = a->frames > b->frames ? a->frames : b->frames;
    double sum = 0;
    uint64_t rows = 0;

    for (uint32_t t = 0; t < frames; t++)
        for (uint64_t p = 0; p < a->positions; p++) {
            if (mask &&
                !hidden(mask, &m->node[n->operand[2]].type, &m->node[n->operand[0]].type, p))
                continue;
            rows++;
            for (uint64_t i = p * a->channels; i < (p + 1) * a->channels; i++) {
                double difference = element(a, t, i) - element(b, t, i);

                sum += difference * difference;
            }
        }
    SPK_TRY(ref_value_create(job, id, 1));
    ref_f32(&job->value[id])[0] = rows ? (float)(sum / ((double)rows * a->channels)) : 0.0f;
    return SPK_OK;
}
