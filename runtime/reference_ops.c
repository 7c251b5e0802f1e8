/* Pointwise ops, pooling and attention of the reference engine.
 *
 * Batch norm is PyTorch's inference form: alpha = weight / sqrt(var + eps) and
 * beta = bias - mean * alpha per channel in float32, then x * alpha + beta, rounded twice.
 * Attention counts are integers and exact in either order of the products: with k^T v first a
 * head costs 2 n d^2 operations, with q k^T first 2 n^2 d (less where spikes are absent). They
 * become currents at the end: scale * count in float32, or unit * count.
 * Sums run in operand order. All ops work on ranges of positions, or on frames x heads, that do
 * not depend on the number of threads.                                                       */
#include "runtime/reference_internal.h"

#include <math.h>

#include "support/alloc.h"

#define GRAIN 8192u /* elements per chunk */
#define PIECE 256u  /* elements converted at a time */

/* ---- batch norm ---- */

struct batchnorm_work {
    const struct ref_value *in;
    struct ref_value *out;
    float *alpha, *beta;
    uint64_t rows, grain;
};

static spk_status batchnorm_chunk(void *ctx, uint32_t chunk, uint32_t worker)
{
    const struct batchnorm_work *w = ctx;
    struct ref_range range = ref_range_of(w->rows, w->grain, chunk);
    uint32_t channels = w->out->channels;
    float scratch[PIECE];

    (void)worker;
    for (uint64_t r = range.begin; r < range.end; r++) {
        for (uint32_t c = 0; c < channels; c += PIECE) {
            uint32_t n = channels - c < PIECE ? channels - c : PIECE;
            const float *x = ref_as_f32(w->in, r * channels + c, n, scratch);
            float *y = ref_f32(w->out) + r * channels + c;

            for (uint32_t i = 0; i < n; i++)
                y[i] = x[i] * w->alpha[c + i] + w->beta[c + i];
        }
    }
    return SPK_OK;
}

/* alpha and beta of all channels, one array. */
static spk_status batchnorm_constants(const struct ref_job *job, const struct ir_node *node,
                                      struct batchnorm_work *w)
{
    const struct ir_param *p = job->e->m->param;
    const float *weight = p[node->param[0]].data, *bias = p[node->param[1]].data;
    const float *mean = p[node->param[2]].data, *var = p[node->param[3]].data;
    uint32_t channels = node->type.channels;

    SPK_TRY(spk_alloc_array_raw(2 * (size_t)channels, sizeof *w->alpha, &w->alpha));
    w->beta = w->alpha + channels;
    for (uint32_t c = 0; c < channels; c++) {
        float inverse = 1.0f / sqrtf(var[c] + node->a.eps);

        w->alpha[c] = inverse * weight[c];
        w->beta[c] = bias[c] - mean[c] * w->alpha[c];
    }
    return SPK_OK;
}

spk_status ref_batchnorm(struct ref_job *job, uint32_t id)
{
    const struct ir_node *node = &job->e->m->node[id];
    uint32_t from = node->operand[0];
    struct batchnorm_work w = {.in = &job->value[from], .out = &job->value[id]};
    /* In place where nobody else will read the operand. */
    bool in_place = !job->keeps_operands && w.in->elem == REF_F32 && w.in->buffer->refs == 1 &&
                    job->e->last_use[from] == id;
    spk_status status;

    SPK_TRY(batchnorm_constants(job, node, &w));
    if (in_place) {
        ref_value_alias(job, id, from);
        status = SPK_OK;
    } else {
        status = ref_value_create(job, id, ref_frames(job, node));
    }
    if (status == SPK_OK) {
        w.rows = w.out->frames * w.out->positions;
        w.grain = GRAIN / w.out->channels + 1;
        status = ref_parallel(job, w.rows, w.grain, batchnorm_chunk, &w);
    }
    spk_free(w.alpha);
    return status;
}

/* ---- scale ---- */

struct scale_work {
    const struct ref_value *in;
    struct ref_value *out;
    const float *factor;
    bool own; /* one for each neuron, [channels][positions] */
};

static spk_status scale_chunk(void *ctx, uint32_t chunk, uint32_t worker)
{
    const struct scale_work *w = ctx;
    struct ref_range range = ref_range_of(w->out->frames * ref_frame_size(w->out), GRAIN, chunk);
    const uint32_t channels = w->out->channels;
    float scratch[PIECE];

    (void)worker;
    for (uint64_t at = range.begin; at < range.end; at += PIECE) {
        uint32_t n = (uint32_t)(range.end - at < PIECE ? range.end - at : PIECE);
        const float *x = ref_as_f32(w->in, at, n, scratch);

        for (uint32_t i = 0; i < n; i++) {
            uint64_t c = (at + i) % channels, p = (at + i) / channels % w->out->positions;

            ref_f32(w->out)[at + i] = x[i] * w->factor[w->own ? c * w->out->positions + p : c];
        }
    }
    return SPK_OK;
}

spk_status ref_scale(struct ref_job *job, uint32_t id)
{
    const struct ir_node *node = &job->e->m->node[id];
    const struct ir_param *p = &job->e->m->param[node->param[0]];
    struct scale_work w = {.in = &job->value[node->operand[0]],
                           .out = &job->value[id],
                           .factor = p->data,
                           .own = p->rank > 1};

    SPK_TRY(ref_value_create(job, id, ref_frames(job, node)));
    return ref_parallel(job, w.out->frames * ref_frame_size(w.out), GRAIN, scale_chunk, &w);
}

/* ---- sums ---- */

struct sum_work {
    const struct ref_job *job;
    const struct ir_node *node;
    struct ref_value *out;
    uint64_t pieces; /* per frame */
};

static void sum_whole(const struct sum_work *w, uint32_t t, uint64_t at, uint32_t n)
{
    uint64_t to = ref_frame_at(w->out, t) + at;
    int64_t sum[PIECE] = {0};

    for (uint32_t o = 0; o < w->node->n_operands; o++) {
        const struct ref_value *v = &w->job->value[w->node->operand[o]];
        uint64_t from = ref_frame_at(v, t) + at;

        if (v->elem == REF_U8)
            for (uint32_t i = 0; i < n; i++)
                sum[i] += ref_u8(v)[from + i];
        else
            for (uint32_t i = 0; i < n; i++)
                sum[i] += ref_as_i32(v, from + i);
    }
    if (w->out->elem == REF_U8)
        for (uint32_t i = 0; i < n; i++)
            ref_u8(w->out)[to + i] = (uint8_t)sum[i];
    else
        for (uint32_t i = 0; i < n; i++)
            ref_i32(w->out)[to + i] = ref_current(sum[i]);
}

static void sum_real(const struct sum_work *w, uint32_t t, uint64_t at, uint32_t n)
{
    float *out = ref_f32(w->out) + ref_frame_at(w->out, t) + at;
    float scratch[PIECE];

    for (uint32_t o = 0; o < w->node->n_operands; o++) {
        const struct ref_value *v = &w->job->value[w->node->operand[o]];
        const float *x = ref_as_f32(v, ref_frame_at(v, t) + at, n, scratch);

        for (uint32_t i = 0; i < n; i++)
            out[i] = o == 0 ? x[i] : out[i] + x[i];
    }
}

/* One piece of one frame. */
static spk_status sum_chunk(void *ctx, uint32_t chunk, uint32_t worker)
{
    const struct sum_work *w = ctx;
    uint32_t t = (uint32_t)(chunk / w->pieces);
    struct ref_range range =
        ref_range_of(ref_frame_size(w->out), GRAIN, (uint32_t)(chunk % w->pieces));

    (void)worker;
    for (uint64_t at = range.begin; at < range.end; at += PIECE) {
        uint32_t n = (uint32_t)(range.end - at < PIECE ? range.end - at : PIECE);

        if (w->out->elem == REF_F32)
            sum_real(w, t, at, n);
        else
            sum_whole(w, t, at, n);
    }
    return SPK_OK;
}

spk_status ref_sum(struct ref_job *job, uint32_t id)
{
    const struct ir_node *node = &job->e->m->node[id];
    struct sum_work w = {.job = job, .node = node, .out = &job->value[id]};

    SPK_TRY(ref_value_create(job, id, ref_frames(job, node)));
    w.pieces = ref_chunks(ref_frame_size(w.out), GRAIN);
    return ref_parallel(job, w.out->frames * w.pieces, 1, sum_chunk, &w);
}

/* ---- max-pool ---- */

struct pool_work {
    const struct ir_node *node;
    const struct ref_value *in;
    struct ref_value *out;
    uint32_t in_h, in_w;
};

/* Largest of the window of one output position, per channel; padding never wins. */
#define POOL_WINDOW(name, item, get)                                                    \
    static void name(const struct pool_work *w, uint64_t frame, uint64_t position,      \
                     item *restrict out)                                                \
    {                                                                                   \
        const struct ir_attr_pool *a = &w->node->a.pool;                                \
        int64_t y0 = (int64_t)(position / w->node->type.width) * a->stride - a->pad;    \
        int64_t x0 = (int64_t)(position % w->node->type.width) * a->stride - a->pad;    \
        bool first = true;                                                              \
                                                                                        \
        for (int64_t y = y0 < 0 ? 0 : y0; y < y0 + a->kernel && y < w->in_h; y++) {     \
            for (int64_t x = x0 < 0 ? 0 : x0; x < x0 + a->kernel && x < w->in_w; x++) { \
                const item *restrict in =                                               \
                    get(w->in) + frame + (uint64_t)(y * w->in_w + x) * w->in->channels; \
                                                                                        \
                for (uint32_t c = 0; c < w->in->channels; c++)                          \
                    out[c] = first || in[c] > out[c] ? in[c] : out[c];                  \
                first = false;                                                          \
            }                                                                           \
        }                                                                               \
    }
POOL_WINDOW(pool_u8, uint8_t, ref_u8)
POOL_WINDOW(pool_i32, int32_t, ref_i32)
POOL_WINDOW(pool_f32, float, ref_f32)

static spk_status pool_chunk(void *ctx, uint32_t chunk, uint32_t worker)
{
    const struct pool_work *w = ctx;
    uint64_t positions = w->out->positions, rows = w->out->frames * positions;
    struct ref_range range = ref_range_of(rows, PIECE, chunk);

    (void)worker;
    for (uint64_t r = range.begin; r < range.end; r++) {
        uint64_t frame = ref_frame_at(w->in, (uint32_t)(r / positions));
        uint64_t at = r * w->out->channels;

        if (w->out->elem == REF_U8)
            pool_u8(w, frame, r % positions, ref_u8(w->out) + at);
        else if (w->out->elem == REF_I32)
            pool_i32(w, frame, r % positions, ref_i32(w->out) + at);
        else
            pool_f32(w, frame, r % positions, ref_f32(w->out) + at);
    }
    return SPK_OK;
}

spk_status ref_maxpool(struct ref_job *job, uint32_t id)
{
    const struct ir_node *node = &job->e->m->node[id];
    const struct ref_value *in = &job->value[node->operand[0]];
    const struct ir_type *type = &job->e->m->node[node->operand[0]].type;
    struct pool_work w = {node, in, &job->value[id], type->height, type->width};

    SPK_TRY(ref_value_create(job, id, in->frames));
    return ref_parallel(job, w.out->frames * w.out->positions, PIECE, pool_chunk, &w);
}

/* ---- attention ---- */

struct attention_work {
    const struct ir_attr_attention *a;
    const struct ref_value *q, *k, *v;
    struct ref_value *out;
    uint32_t d; /* channels of a head */
    bool integer, kv_first;
};

/* [tokens][d] each, kv [d][d]; sums start from zero. */
struct head {
    int64_t *q, *k, *v, *kv, *count;
};

/* One head of one frame, spread out as integers: [tokens][d]. */
static void take_head(const struct ref_value *v, uint32_t t, uint32_t c0, uint32_t d, int64_t *out)
{
    for (uint64_t n = 0; n < v->positions; n++)
        for (uint32_t i = 0; i < d; i++)
            out[n * d + i] = ref_as_i32(v, ref_frame_at(v, t) + n * v->channels + c0 + i);
}

static void multiply_add(int64_t *restrict acc, const int64_t *restrict row, int64_t factor,
                         uint64_t n)
{
    if (factor == 1)
        for (uint64_t i = 0; i < n; i++)
            acc[i] += row[i];
    else if (factor)
        for (uint64_t i = 0; i < n; i++)
            acc[i] += factor * row[i];
}

/* count[n][j] = sum over i of q[n][i] * kv[i][j], kv[i][j] = sum over m of k[m][i] * v[m][j]. */
static void kv_first(const struct head *h, uint64_t tokens, uint32_t d)
{
    for (uint64_t m = 0; m < tokens; m++)
        for (uint32_t i = 0; i < d; i++)
            multiply_add(h->kv + (size_t)i * d, h->v + m * d, h->k[m * d + i], d);
    for (uint64_t n = 0; n < tokens; n++)
        for (uint32_t i = 0; i < d; i++)
            multiply_add(h->count + n * d, h->kv + (size_t)i * d, h->q[n * d + i], d);
}

/* count[n][j] = sum over m of (sum over i of q[n][i] * k[m][i]) * v[m][j]. */
static void qk_first(const struct head *h, uint64_t tokens, uint32_t d)
{
    for (uint64_t n = 0; n < tokens; n++) {
        const int64_t *q = h->q + n * d;

        for (uint64_t m = 0; m < tokens; m++) {
            const int64_t *k = h->k + m * d;
            int64_t weight = 0;

            for (uint32_t i = 0; i < d; i++)
                weight += q[i] && k[i] ? q[i] * k[i] : 0;
            multiply_add(h->count + n * d, h->v + m * d, weight, d);
        }
    }
}

static void put_head(const struct attention_work *w, uint32_t t, uint32_t c0, const int64_t *count)
{
    for (uint64_t n = 0; n < w->out->positions; n++) {
        uint64_t at = ref_frame_at(w->out, t) + n * w->out->channels + c0;

        for (uint32_t j = 0; j < w->d; j++) {
            int64_t x = count[n * w->d + j];

            if (w->integer)
                ref_i32(w->out)[at + j] = ref_current(x * w->a->unit);
            else
                ref_f32(w->out)[at + j] = w->a->scale * (float)x;
        }
    }
}

/* One head of one frame. */
static spk_status attention_chunk(void *ctx, uint32_t chunk, uint32_t worker)
{
    const struct attention_work *w = ctx;
    uint32_t t = chunk / w->a->heads, c0 = chunk % w->a->heads * w->d;
    uint64_t tokens = w->out->positions;
    size_t size = tokens * w->d;
    struct head h = {0};

    (void)worker;
    SPK_TRY(spk_alloc_array(4 * size + (size_t)w->d * w->d, sizeof *h.q, &h.q));
    h.k = h.q + size;
    h.v = h.k + size;
    h.count = h.v + size;
    h.kv = h.count + size;
    take_head(w->q, t, c0, w->d, h.q);
    take_head(w->k, t, c0, w->d, h.k);
    take_head(w->v, t, c0, w->d, h.v);
    if (w->kv_first)
        kv_first(&h, tokens, w->d);
    else
        qk_first(&h, tokens, w->d);
    put_head(w, t, c0, h.count);
    spk_free(h.q);
    return SPK_OK;
}

spk_status ref_attention(struct ref_job *job, uint32_t id)
{
    const struct ir_node *node = &job->e->m->node[id];
    struct attention_work w = {.a = &node->a.attention, .out = &job->value[id]};

    w.q = &job->value[node->operand[0]];
    w.k = &job->value[node->operand[1]];
    w.v = &job->value[node->operand[2]];
    w.d = node->type.channels / w.a->heads;
    w.integer = job->e->integer;
    w.kv_first =
        w.a->order == IR_ATTN_KV_FIRST || (w.a->order == IR_ATTN_AUTO && w.d <= w.q->positions);
    SPK_TRY(ref_value_create(job, id, ref_frames(job, node)));
    return ref_parallel(job, (uint64_t)w.out->frames * w.a->heads, 1, attention_chunk, &w);
}
