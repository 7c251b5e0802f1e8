/* Host segments of the packed engine: image encoder, mean and read-out.
 *
 * The encoder's integer sums are formed in double precision, where they are exact: pixels and
 * weights have 16 bits, so 2^22 products fit. Channels lie side by side, one weight column per tap.
 * Means and read-outs start from the number of spikes per channel, counted on the bits.         */
#include <math.h>
#include <string.h>

#include "runtime/packed_internal.h"
#include "support/alloc.h"

#define GRAIN 64u         /* positions of a chunk */
#define MAX_TAPS 4194304u /* 2^22 */

/* ---- encoder ---- */

struct encode {
    const struct pk_kernels *kernels;
    const struct ir_attr_encode *a;
    const struct ir_type *in_type, *type;
    double *weight; /* [tap][in][out] */
    double *bias;   /* [out] */
    double *pixel;  /* [position][in] */
    struct ref_value *out;
};

static void encode_position(const struct encode *w, uint64_t position, double *sum)
{
    const struct ir_attr_conv *c = &w->a->conv;
    uint32_t in = w->in_type->channels, out = w->type->channels;
    int64_t y0 = (int64_t)(position / w->type->width) * c->stride_h - c->pad_h;
    int64_t x0 = (int64_t)(position % w->type->width) * c->stride_w - c->pad_w;
    int32_t *to = ref_i32(w->out) + position * out;

    memcpy(sum, w->bias, out * sizeof *sum);
    for (int64_t ky = 0; ky < c->kernel_h; ky++) {
        for (int64_t kx = 0; kx < c->kernel_w; kx++) {
            int64_t y = y0 + ky, x = x0 + kx;

            if (y < 0 || y >= w->in_type->height || x < 0 || x >= w->in_type->width)
                continue;
            for (uint32_t i = 0; i < in; i++)
                w->kernels->add_scaled(
                    sum, w->weight + ((uint64_t)(ky * c->kernel_w + kx) * in + i) * out,
                    w->pixel[(uint64_t)(y * w->in_type->width + x) * in + i], out);
        }
    }
    for (uint32_t o = 0; o < out; o++) {
        int64_t m = (int64_t)sum[o];

        if (w->a->out_shift)
            m = (m + ((int64_t)1 << (w->a->out_shift - 1))) >> w->a->out_shift;
        m = m > w->a->m_max ? w->a->m_max : m < -w->a->m_max ? -(int64_t)w->a->m_max : m;
        to[o] = ref_current(m * ((int64_t)1 << w->a->m_exp));
    }
}

static spk_status encode_chunk(void *ctx, uint32_t chunk, uint32_t worker)
{
    const struct encode *w = ctx;
    struct ref_range range = ref_range_of(w->out->positions, GRAIN, chunk);
    double *sum = NULL;

    (void)worker;
    SPK_TRY(spk_alloc_array_raw(w->type->channels, sizeof *sum, &sum));
    for (uint64_t i = range.begin; i < range.end; i++)
        encode_position(w, i, sum);
    spk_free(sum);
    return SPK_OK;
}

/* Weights turned around, bias and pixels as doubles, in one allocation. */
static spk_status encode_init(const struct ref_job *job, const struct ir_node *node,
                              const struct ref_value *in, struct encode *w)
{
    const struct ir_module *m = job->e->m;
    const int16_t *q = m->param[node->param[0]].data;
    const int32_t *b = node->n_params > 1 ? m->param[node->param[1]].data : NULL;
    uint32_t channels = w->in_type->channels, out = w->type->channels;
    uint32_t taps = (uint32_t)w->a->conv.kernel_h * w->a->conv.kernel_w;
    uint64_t pixels = in->frames * ref_frame_size(in), weights = (uint64_t)taps * channels * out;

    SPK_TRY(spk_alloc_array(weights + out + pixels, sizeof *w->weight, &w->weight));
    w->bias = w->weight + weights;
    w->pixel = w->bias + out;
    for (uint32_t o = 0; o < out; o++) {
        w->bias[o] = b ? b[o] : 0;
        for (uint32_t i = 0; i < channels; i++)
            for (uint32_t k = 0; k < taps; k++)
                w->weight[((uint64_t)k * channels + i) * out + o] = *q++;
    }
    for (uint64_t i = 0; i < pixels; i++) {
        double x = rint(ldexp((double)ref_f32(in)[i], w->a->x_shift));

        w->pixel[i] = x > 32767 ? 32767 : x < -32767 ? -32767 : x;
    }
    return SPK_OK;
}

spk_status pk_encode(struct ref_job *job, uint32_t id)
{
    const struct ir_module *m = job->e->m;
    const struct ir_node *node = &m->node[id];
    const struct ref_value *in = &job->value[node->operand[0]];
    struct encode w = {.kernels = pk_of(job->e)->kernels,
                       .a = &node->a.encode,
                       .in_type = &m->node[node->operand[0]].type,
                       .type = &node->type,
                       .out = &job->value[id]};
    uint64_t taps = (uint64_t)w.a->conv.kernel_h * w.a->conv.kernel_w * w.in_type->channels;
    spk_status status;

    if (w.a->kind == IR_ENCODE_EVENTS || in->frames != 1 || taps > MAX_TAPS)
        return ref_encode(job, id);
    SPK_TRY(ref_value_create(job, id, 1));
    SPK_TRY(encode_init(job, node, in, &w));
    status = ref_parallel(job, w.out->positions, GRAIN, encode_chunk, &w);
    spk_free(w.weight);
    return status;
}

/* ---- mean and read-out ---- */

spk_status pk_read(struct ref_job *job, uint32_t id)
{
    const struct ir_module *m = job->e->m;
    const struct ir_node *node = &m->node[id];
    const struct ir_type *type = &m->node[node->operand[0]].type;
    const struct pk_kernels *kernels = pk_of(job->e)->kernels;
    uint32_t channels = type->channels;
    struct pk_bits *b = NULL;
    int32_t *count = NULL;
    double *sum = NULL, repeats;
    uint64_t rows;

    SPK_TRY(pk_operands(job, node->operand, node->n_operands, &b));
    repeats = b->frames == 1 ? type->timesteps : 1;
    rows = (uint64_t)b->frames * b->positions;
    SPK_TRY(spk_alloc_array(channels, sizeof *sum + sizeof *count, &sum));
    count = (int32_t *)(void *)(sum + channels);
    for (uint32_t p = 0; p < b->planes; p++) {
        const uint64_t *bits = b->data + p * pk_plane_words(b);

        memset(count, 0, channels * sizeof *count);
        for (uint64_t r = 0; r < rows; r++)
            kernels->add_bits(count, bits + r * b->words, 1, channels);
        for (uint32_t c = 0; c < channels; c++)
            sum[c] += repeats * (double)((uint64_t)1 << p) * count[c];
    }
    spk_status status =
        node->op == IR_OP_MEAN ? ref_mean_of(job, id, sum) : ref_readout_of(job, id, sum);
    spk_free(sum);
    return status;
}
