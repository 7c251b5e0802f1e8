/* Attention and max-pooling of the packed engine.
 *
 * A head's count = q (k^T v) on bits, exact in either order. With k^T v first, k and v are turned
 * into one row of token bits per channel: kv[i][j] = popcount(k_i & v_j), and every spike of q adds
 * a row of kv: d^2 n / 64 + (spikes of q) d operations. With q k^T first, weight = popcount(q_n &
 * k_m), and the weight is added where v_m has a bit: n^2 (d / 64 + d).
 * Operands that are not binary are left to the reference. Max-pooling of bits is an OR.         */
#include <string.h>

#include "runtime/packed_internal.h"
#include "support/alloc.h"

#define GRAIN 64u /* positions of a chunk */

struct attention {
    const struct pk_kernels *kernels;
    const struct ir_attr_attention *a;
    const struct pk_bits *q, *k, *v;
    struct ref_value *out;
    uint32_t d, words;    /* of a head: channels, words that hold them */
    uint32_t token_words; /* words that hold a bit per token */
    bool integer, kv_first;
};

/* Scratch of a head. */
struct head {
    uint64_t *q, *k, *v; /* [tokens][words] */
    uint64_t *kt, *vt;   /* [d][token_words] */
    int32_t *kv, *count; /* [d][d], [tokens][d] */
};

/* d bits from bit `from` of every row. */
static void take_head(const struct pk_bits *b, uint32_t t, uint32_t from, uint32_t d,
                      uint32_t words, uint64_t *out)
{
    const uint64_t *row = pk_frame(b, 0, t);

    for (uint64_t n = 0; n < b->positions; n++, row += b->words, out += words) {
        for (uint32_t w = 0; w < words; w++) {
            uint32_t bit = from + 64 * w, at = bit / 64, shift = bit % 64;
            uint64_t x = row[at] >> shift;

            if (shift && at + 1 < b->words)
                x |= row[at + 1] << (64 - shift);
            out[w] = d - 64 * w < 64 ? x & (((uint64_t)1 << (d - 64 * w)) - 1) : x;
        }
    }
}

/* out[i] has bit n where row n has bit i. */
static void turn(const uint64_t *rows, uint64_t tokens, uint32_t words, uint32_t token_words,
                 uint64_t *out)
{
    for (uint64_t n = 0; n < tokens; n++)
        for (uint32_t w = 0; w < words; w++)
            for (uint64_t x = rows[n * words + w]; x; x &= x - 1)
                out[(64 * w + (uint64_t)__builtin_ctzll(x)) * token_words + n / 64] |= (uint64_t)1
                                                                                       << (n % 64);
}

static void kv_first(const struct attention *w, const struct head *h, uint64_t tokens)
{
    turn(h->k, tokens, w->words, w->token_words, h->kt);
    turn(h->v, tokens, w->words, w->token_words, h->vt);
    for (uint32_t i = 0; i < w->d; i++)
        for (uint32_t j = 0; j < w->d; j++)
            h->kv[i * w->d + j] =
                (int32_t)w->kernels->and_count(h->kt + (size_t)i * w->token_words,
                                               h->vt + (size_t)j * w->token_words, w->token_words);
    for (uint64_t n = 0; n < tokens; n++)
        for (uint32_t x = 0; x < w->words; x++)
            for (uint64_t b = h->q[n * w->words + x]; b; b &= b - 1)
                w->kernels->add_rows(h->count + n * w->d,
                                     h->kv + (64 * (size_t)x + (size_t)__builtin_ctzll(b)) * w->d,
                                     w->d);
}

static void qk_first(const struct attention *w, const struct head *h, uint64_t tokens)
{
    for (uint64_t n = 0; n < tokens; n++)
        for (uint64_t m = 0; m < tokens; m++) {
            uint32_t weight =
                w->kernels->and_count(h->q + n * w->words, h->k + m * w->words, w->words);

            if (weight)
                w->kernels->add_bits(h->count + n * w->d, h->v + m * w->words, (int32_t)weight,
                                     w->d);
        }
}

static void put_head(const struct attention *w, uint32_t t, uint32_t c0, const int32_t *count)
{
    for (uint64_t n = 0; n < w->out->positions; n++) {
        uint64_t at = ref_frame_at(w->out, t) + n * w->out->channels + c0;

        for (uint32_t j = 0; j < w->d; j++) {
            int32_t x = count[n * w->d + j];

            if (w->integer)
                ref_i32(w->out)[at + j] = ref_current((int64_t)x * w->a->unit);
            else
                ref_f32(w->out)[at + j] = w->a->scale * (float)x;
        }
    }
}

/* One head of one frame. */
static spk_status attention_chunk(void *ctx, uint32_t chunk, uint32_t worker)
{
    const struct attention *w = ctx;
    uint32_t t = chunk / w->a->heads, c0 = chunk % w->a->heads * w->d;
    uint64_t tokens = w->out->positions;
    size_t rows = tokens * w->words, turned = (size_t)w->d * w->token_words;
    struct head h = {0};

    (void)worker;
    SPK_TRY(spk_alloc_array(3 * rows + 2 * turned, sizeof *h.q, &h.q));
    h.k = h.q + rows;
    h.v = h.k + rows;
    h.kt = h.v + rows;
    h.vt = h.kt + turned;
    spk_status status =
        spk_alloc_array(tokens * w->d + (size_t)w->d * w->d, sizeof *h.count, &h.count);
    if (status == SPK_OK) {
        h.kv = h.count + tokens * w->d;
        take_head(w->q, t, c0, w->d, w->words, h.q);
        take_head(w->k, t, c0, w->d, w->words, h.k);
        take_head(w->v, t, c0, w->d, w->words, h.v);
        if (w->kv_first)
            kv_first(w, &h, tokens);
        else
            qk_first(w, &h, tokens);
        put_head(w, t, c0, h.count);
    }
    spk_free(h.count);
    spk_free(h.q);
    return status;
}

static spk_status plain_operands(struct ref_job *job, const struct ir_node *node)
{
    for (uint32_t i = 0; i < node->n_operands; i++)
        SPK_TRY(pk_value_plain(job, node->operand[i]));
    return SPK_OK;
}

/* Sums of a head fit 32 bits. */
static bool fits(const struct ir_node *node, uint32_t d)
{
    return (unsigned __int128)ir_type_positions(&node->type) * d <= INT32_MAX;
}

spk_status pk_attention(struct ref_job *job, uint32_t id)
{
    const struct ir_module *m = job->e->m;
    const struct ir_node *node = &m->node[id];
    struct attention w = {.kernels = pk_of(job->e)->kernels,
                          .a = &node->a.attention,
                          .out = &job->value[id],
                          .integer = job->e->integer};
    struct pk_bits *b[3];
    bool binary = true;

    for (uint32_t i = 0; i < 3; i++)
        binary = binary && m->node[node->operand[i]].type.bound == 1;
    w.d = node->type.channels / w.a->heads;
    if (!binary || !fits(node, w.d)) {
        SPK_TRY(plain_operands(job, node));
        return ref_attention(job, id);
    }
    for (uint32_t i = 0; i < 3; i++)
        SPK_TRY(pk_value_bits(job, node->operand[i], &b[i]));
    w.q = b[0];
    w.k = b[1];
    w.v = b[2];
    w.words = (w.d + 63) / 64;
    w.token_words = (uint32_t)((w.q->positions + 63) / 64);
    w.kv_first =
        w.a->order == IR_ATTN_KV_FIRST || (w.a->order == IR_ATTN_AUTO && w.d <= w.q->positions);
    SPK_TRY(ref_value_create(job, id, ref_frames(job, node)));
    return ref_parallel(job, (uint64_t)w.out->frames * w.a->heads, 1, attention_chunk, &w);
}

/* ---- max-pool ---- */

struct pooling {
    const struct ir_node *node;
    const struct pk_bits *in;
    struct pk_bits *out;
    uint32_t in_h, in_w;
};

static spk_status pool_chunk(void *ctx, uint32_t chunk, uint32_t worker)
{
    const struct pooling *w = ctx;
    const struct ir_attr_pool *a = &w->node->a.pool;
    struct ref_range range = ref_range_of(w->out->frames * w->out->positions, GRAIN, chunk);

    (void)worker;
    for (uint64_t r = range.begin; r < range.end; r++) {
        uint64_t position = r % w->out->positions;
        const uint64_t *from = pk_frame(w->in, 0, (uint32_t)(r / w->out->positions));
        uint64_t *to = w->out->data + r * w->out->words;
        int64_t y0 = (int64_t)(position / w->node->type.width) * a->stride - a->pad;
        int64_t x0 = (int64_t)(position % w->node->type.width) * a->stride - a->pad;

        for (int64_t y = y0 < 0 ? 0 : y0; y < y0 + a->kernel && y < w->in_h; y++)
            for (int64_t x = x0 < 0 ? 0 : x0; x < x0 + a->kernel && x < w->in_w; x++)
                for (uint32_t i = 0; i < w->in->words; i++)
                    to[i] |= from[(uint64_t)(y * w->in_w + x) * w->in->words + i];
    }
    return SPK_OK;
}

spk_status pk_maxpool(struct ref_job *job, uint32_t id)
{
    const struct ir_module *m = job->e->m;
    const struct ir_node *node = &m->node[id];
    const struct ir_type *type = &m->node[node->operand[0]].type;
    struct pooling w = {.node = node, .in_h = type->height, .in_w = type->width};
    struct pk_bits *in = NULL;

    if (type->bound != 1 || (type->kind != IR_SPIKE && type->kind != IR_COUNT)) {
        SPK_TRY(plain_operands(job, node));
        return ref_maxpool(job, id);
    }
    SPK_TRY(pk_value_bits(job, node->operand[0], &in));
    w.in = in;
    SPK_TRY(pk_value_create(job, id, 1, in->frames, &w.out));
    return ref_parallel(job, (uint64_t)in->frames * w.out->positions, GRAIN, pool_chunk, &w);
}
