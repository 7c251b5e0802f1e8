/* Host segments of the reference engine: input, image encoder, mean, head, read-out.
 *
 * The encoder is section 5 of docs/integers.md: pixels are rounded half to even in double
 * precision, the convolution is summed in 64 bits. Means, the head and the read-out are summed in
 * double precision over positions, then channels, in index order: counts are exact, and logits
 * differ from any other summation by far less than 1e-4.                                      */
#include "runtime/reference_internal.h"

#include <math.h>
#include <string.h>

#include "support/alloc.h"

spk_status ref_input(struct ref_job *job, uint32_t id)
{
    const struct ir_type *type = &job->e->m->node[id].type;
    const struct engine_input *in = &job->run->input;
    const float *image = in->data + (uint64_t)job->image * in->image_stride;
    struct ref_value *v = &job->value[id];
    uint64_t size;

    /* The values of the inputs lie one after another. */
    for (uint32_t i = 0; i < id; i++) {
        const struct ir_type *t = &job->e->m->node[i].type;

        if (job->e->m->node[i].op == IR_OP_INPUT)
            image += t->timesteps * ir_type_elements(t);
    }
    SPK_TRY(ref_value_create(job, id, type->timesteps));
    size = ref_frame_size(v);
    for (uint32_t t = 0; t < v->frames; t++) {
        for (uint64_t i = 0; i < size; i++) {
            uint64_t p = i / v->channels, c = i % v->channels;
            /* Channel-major, unless the positions come first. */
            uint64_t from = type->layout == IR_NC ? i : c * v->positions + p;
            float x = image[t * size + from];

            if (v->elem == REF_F32)
                ref_f32(v)[t * size + i] = x;
            else if (v->elem == REF_I32)
                ref_i32(v)[t * size + i] = (int32_t)x;
            else
                ref_u8(v)[t * size + i] = (uint8_t)x;
        }
    }
    return SPK_OK;
}

/* ---- encoder ---- */

struct encode_work {
    const struct ir_attr_encode *a;
    const struct ir_type *in_type, *type;
    int32_t *pixel;        /* x_q, [position][channel] */
    const int16_t *weight; /* [out, in, kh, kw] */
    const int32_t *bias;   /* or NULL */
    struct ref_value *out;
};

static int64_t encode_window(const struct encode_work *w, uint32_t o, int64_t y0, int64_t x0)
{
    const struct ir_attr_conv *c = &w->a->conv;
    int64_t height = w->in_type->height, width = w->in_type->width, sum = 0;
    uint32_t in = w->in_type->channels;
    const int16_t *q = w->weight + (uint64_t)o * in * c->kernel_h * c->kernel_w;

    for (uint32_t i = 0; i < in; i++) {
        for (int64_t ky = 0; ky < c->kernel_h; ky++) {
            for (int64_t kx = 0; kx < c->kernel_w; kx++, q++) {
                int64_t y = y0 + ky, x = x0 + kx;

                if (y >= 0 && y < height && x >= 0 && x < width)
                    sum += (int64_t)*q * w->pixel[(uint64_t)(y * width + x) * in + i];
            }
        }
    }
    return sum;
}

/* One output position. */
static spk_status encode_chunk(void *ctx, uint32_t position, uint32_t worker)
{
    const struct encode_work *w = ctx;
    const struct ir_attr_conv *c = &w->a->conv;
    int64_t y0 = (int64_t)(position / w->type->width) * c->stride_h - c->pad_h;
    int64_t x0 = (int64_t)(position % w->type->width) * c->stride_w - c->pad_w;

    (void)worker;
    for (uint32_t o = 0; o < w->type->channels; o++) {
        int64_t m = encode_window(w, o, y0, x0) + (w->bias ? w->bias[o] : 0);

        if (w->a->out_shift)
            m = (m + ((int64_t)1 << (w->a->out_shift - 1))) >> w->a->out_shift;
        m = m > w->a->m_max ? w->a->m_max : m < -w->a->m_max ? -(int64_t)w->a->m_max : m;
        ref_i32(w->out)[(uint64_t)position * w->type->channels + o] =
            ref_current(m * ((int64_t)1 << w->a->m_exp));
    }
    return SPK_OK;
}

spk_status ref_encode(struct ref_job *job, uint32_t id)
{
    const struct ir_module *m = job->e->m;
    const struct ir_node *node = &m->node[id];
    const struct ref_value *in = &job->value[node->operand[0]];
    struct encode_work w = {.a = &node->a.encode,
                            .in_type = &m->node[node->operand[0]].type,
                            .type = &node->type,
                            .out = &job->value[id]};
    uint64_t size = in->frames * ref_frame_size(in);
    spk_status status;

    if (w.a->kind == IR_ENCODE_EVENTS) { /* counts already */
        ref_value_alias(job, id, node->operand[0]);
        return SPK_OK;
    }
    SPK_TRY(ref_value_create(job, id, in->frames));
    w.weight = m->param[node->param[0]].data;
    w.bias = node->n_params > 1 ? m->param[node->param[1]].data : NULL;
    SPK_TRY(spk_alloc_array_raw(size, sizeof *w.pixel, &w.pixel));
    for (uint64_t i = 0; i < size; i++) {
        double x = rint(ldexp((double)ref_f32(in)[i], w.a->x_shift));

        w.pixel[i] = (int32_t)(x > 32767 ? 32767 : x < -32767 ? -32767 : x);
    }
    status = ref_parallel(job, w.out->positions, 1, encode_chunk, &w);
    spk_free(w.pixel);
    return status;
}

/* ---- mean, head, read-out ---- */

/* Adds the sum over the T frames of the type and all positions to sum[channels]. */
static void add_up(const struct ref_value *v, const struct ir_type *type, double *sum)
{
    double repeats = v->frames == 1 ? type->timesteps : 1;

    for (uint64_t r = 0; r < v->frames * v->positions; r++) {
        uint64_t at = r * v->channels;

        for (uint32_t c = 0; c < v->channels; c++)
            sum[c] += repeats * (v->elem == REF_F32 ? (double)ref_f32(v)[at + c]
                                                    : (double)ref_as_i32(v, at + c));
    }
}

spk_status ref_mean_of(struct ref_job *job, uint32_t id, const double *sum)
{
    const struct ir_type *type = &job->e->m->node[job->e->m->node[id].operand[0]].type;
    double n = (double)ir_type_positions(type) * type->timesteps;

    SPK_TRY(ref_value_create(job, id, 1));
    for (uint32_t c = 0; c < type->channels; c++)
        ref_f32(&job->value[id])[c] = (float)(sum[c] / n);
    if (id == job->e->features_node && job->run->features_f32)
        memcpy(job->run->features_f32 + (uint64_t)job->image * type->channels,
               ref_f32(&job->value[id]), type->channels * sizeof(float));
    return SPK_OK;
}

spk_status ref_mean(struct ref_job *job, uint32_t id)
{
    uint32_t from = job->e->m->node[id].operand[0];
    double *sum = NULL;
    spk_status status;

    SPK_TRY(spk_alloc_array(job->value[from].channels, sizeof *sum, &sum));
    add_up(&job->value[from], &job->e->m->node[from].type, sum);
    status = ref_mean_of(job, id, sum);
    spk_free(sum);
    return status;
}

/* out[k] = sum over c of weight[k][c] * x[c] / divisor + bias[k]. */
static void dense(const struct ir_module *m, const struct ir_node *node, const double *x,
                  uint32_t channels, double divisor, float *out)
{
    const float *weight = m->param[node->param[0]].data;
    const float *bias = node->n_params > 1 ? m->param[node->param[1]].data : NULL;

    for (uint32_t k = 0; k < node->type.channels; k++) {
        double sum = 0;

        for (uint32_t c = 0; c < channels; c++)
            sum += (double)weight[(uint64_t)k * channels + c] * x[c];
        out[k] = (float)(sum / divisor + (bias ? (double)bias[k] : 0.0));
    }
}

bool ref_is_head(const struct ir_module *m, const struct ir_node *node)
{
    const struct ir_type *in = &m->node[node->operand[0]].type;

    return node->op == IR_OP_LINEAR && node->n_operands == 1 && in->timesteps == 1 &&
           in->kind == IR_REAL && in->num == IR_F32 && ir_type_positions(in) == 1;
}

spk_status ref_head(struct ref_job *job, uint32_t id)
{
    const struct ir_node *node = &job->e->m->node[id];
    const struct ref_value *in = &job->value[node->operand[0]];
    double *x = NULL;

    SPK_TRY(ref_value_create(job, id, 1));
    SPK_TRY(spk_alloc_array(in->channels, sizeof *x, &x));
    for (uint32_t c = 0; c < in->channels; c++)
        x[c] = (double)ref_f32(in)[c];
    dense(job->e->m, node, x, in->channels, 1.0, ref_f32(&job->value[id]));
    spk_free(x);
    return SPK_OK;
}

spk_status ref_readout_of(struct ref_job *job, uint32_t id, const double *count)
{
    const struct ir_node *node = &job->e->m->node[id];
    uint32_t channels = job->e->m->node[node->operand[0]].type.channels;
    uint64_t at = (uint64_t)job->image * channels;
    bool ours = id == job->e->features_node;

    SPK_TRY(ref_value_create(job, id, 1));
    for (uint32_t c = 0; ours && c < channels; c++) {
        if (job->run->features)
            job->run->features[at + c] = (int64_t)count[c];
        if (job->run->features_f32)
            job->run->features_f32[at + c] = (float)(count[c] / node->a.readout.divisor);
    }
    dense(job->e->m, node, count, channels, node->a.readout.divisor, ref_f32(&job->value[id]));
    return SPK_OK;
}

spk_status ref_readout(struct ref_job *job, uint32_t id)
{
    const struct ir_module *m = job->e->m;
    const struct ir_node *node = &m->node[id];
    double *count = NULL;
    spk_status status;

    SPK_TRY(spk_alloc_array(job->value[node->operand[0]].channels, sizeof *count, &count));
    for (uint32_t o = 0; o < node->n_operands; o++)
        add_up(&job->value[node->operand[o]], &m->node[node->operand[o]].type, count);
    status = ref_readout_of(job, id, count);
    spk_free(count);
    return status;
}
