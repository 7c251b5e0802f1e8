/* Memory of a plan: scratch of a call, buffers in the arena, constants.
 *
 * Buffers are placed in the order of their first use at the lowest offset that is free for as long
 * as they live. Constants are the model's tensors re-laid for the kernels: weight rows of one block
 * of output channels one after another, a row of zeros behind them for what pads a list; arrays
 * padded with zeros; alpha = weight / sqrt(var + eps) and beta = bias - mean * alpha of batch norms
 * in float32, as the reference engine forms them.                                               */
#include <math.h>
#include <string.h>

#include "backends/llvm/native_private.h"
#include "support/alloc.h"

#define TILE 64u

/* ---- scratch ---- */

struct nat_scratch nat_scratch_of(const struct nat_spec *s, const struct nat_shape *in)
{
    uint64_t rows = (uint64_t)s->tile * s->acc_frames, lists = rows * s->list + 64;
    struct nat_scratch out = {0};
    bool values = false, dense = false;

    if (s->kind != NAT_PROJECT)
        return out;
    for (uint32_t i = 0; i < s->n_in; i++) {
        values |= nat_run_of(&in[i]) != NAT_RUN_BINARY;
        dense |= in[i].elem == NAT_I64;
    }
    out.starts = rows * NAT_BLOCK * nat_elem_bits(s->acc) / 8;
    out.offsets = out.starts + nat_align(rows * (s->segments + 1) * 4, 64);
    out.values = out.offsets + nat_align(lists * 4, 64);
    out.bytes = out.values + (values ? nat_align(lists * (dense ? 8 : 4), 64) : 0);
    return out;
}

static uint64_t attention_bytes(const struct nat_spec *s)
{
    uint64_t d = s->out.channels / s->heads, wide = nat_align(d, NAT_LANES);

    /* v [tokens][wide], k^T v [d][wide], sums of a token [wide], 64 bits each at most. */
    return (nat_positions(&s->out) + d + 1) * wide * 8;
}

uint64_t nat_scratch_bytes(const struct nat_spec *s, const struct nat_shape *in)
{
    return s->kind == NAT_ATTENTION ? attention_bytes(s) : nat_scratch_of(s, in).bytes;
}

/* ---- the arena ---- */

spk_status nat_layout(struct nat_plan *p)
{
    uint32_t *order = NULL; /* placed buffers by offset */
    size_t n = 0;

    SPK_TRY(spk_alloc_array(p->buffers.len, sizeof *order, &order));
    for (size_t i = 0; i < p->buffers.len; i++) {
        struct nat_buffer *b = &p->buffers.data[i];
        uint64_t at = 0;
        size_t place;

        for (size_t k = 0; k < n; k++) {
            const struct nat_buffer *o = &p->buffers.data[order[k]];

            if (o->last < b->first || o->first > b->last)
                continue;
            if (o->offset >= at + b->bytes)
                break;
            at = o->offset + o->bytes > at ? o->offset + o->bytes : at;
        }
        b->offset = at;
        p->arena_bytes = at + b->bytes > p->arena_bytes ? at + b->bytes : p->arena_bytes;
        for (place = n; place > 0 && p->buffers.data[order[place - 1]].offset > at; place--)
            order[place] = order[place - 1];
        order[place] = (uint32_t)i;
        n++;
    }
    spk_free(order);
    return SPK_OK;
}

/* ---- constants ---- */

static int32_t integer_at(const struct ir_param *p, uint64_t i)
{
    if (p->dtype == IR_DT_I8)
        return ((const int8_t *)p->data)[i];
    if (p->dtype == IR_DT_I16)
        return ((const int16_t *)p->data)[i];
    return ((const int32_t *)p->data)[i];
}

static void put(void *out, uint64_t to, enum nat_elem elem, const struct ir_param *p, uint64_t from)
{
    if (elem == NAT_F32)
        ((float *)out)[to] = ((const float *)p->data)[from];
    else if (elem == NAT_I16)
        ((int16_t *)out)[to] = (int16_t)integer_at(p, from);
    else
        ((int32_t *)out)[to] = integer_at(p, from);
}

/* [out][in][tap] to [block][tap][in][NAT_BLOCK]; tiles of the source are turned around. */
static void put_rows(const struct nat_const *c, const struct ir_param *p, void *out)
{
    uint64_t rows = (uint64_t)c->taps * c->in;

    for (uint32_t first = 0; first < c->out; first += NAT_BLOCK) {
        uint32_t width = c->out - first < NAT_BLOCK ? c->out - first : NAT_BLOCK;
        uint64_t base = (uint64_t)(first / NAT_BLOCK) * (rows + 1) * NAT_BLOCK;

        for (uint64_t s0 = 0; s0 < rows; s0 += TILE) {
            uint64_t n = rows - s0 < TILE ? rows - s0 : TILE;

            for (uint32_t j = 0; j < width; j++) {
                uint64_t from = (first + j) * rows + s0;

                for (uint64_t s = s0; s < s0 + n; s++) {
                    uint64_t row = s % c->taps * c->in + s / c->taps;

                    put(out, base + row * NAT_BLOCK + j, c->elem, p, from + s - s0);
                }
            }
        }
    }
}

/* [out][in] to [block of NAT_LANES][in][NAT_LANES]. */
static void put_head(const struct nat_const *c, const struct ir_param *p, float *out)
{
    const float *w = p->data;

    for (uint64_t k = 0; k < c->out; k++)
        for (uint64_t i = 0; i < c->in; i++)
            out[(k / NAT_LANES * c->in + i) * NAT_LANES + k % NAT_LANES] = w[k * c->in + i];
}

static void put_norm(const struct nat_plan *plan, const struct nat_const *c, float *out)
{
    const struct ir_node *node = &plan->m->node[c->node];
    const struct ir_param *p = plan->m->param;
    const float *weight = p[node->param[0]].data, *bias = p[node->param[1]].data;
    const float *mean = p[node->param[2]].data, *var = p[node->param[3]].data;

    for (uint32_t i = 0; i < node->type.channels; i++) {
        float inverse = 1.0f / sqrtf(var[i] + node->a.eps);

        out[i] = inverse * weight[i];
        out[c->pitch + i] = bias[i] - mean[i] * out[i];
    }
}

void nat_plan_constants(const struct nat_plan *plan, void *out)
{
    memset(out, 0, plan->const_bytes);
    for (size_t i = 0; i < plan->consts.len; i++) {
        const struct nat_const *c = &plan->consts.data[i];
        const struct ir_param *p = c->kind == NAT_C_NORM ? NULL : &plan->m->param[c->param];
        void *to = (uint8_t *)out + c->offset;

        if (c->kind == NAT_C_ROWS)
            put_rows(c, p, to);
        else if (c->kind == NAT_C_HEAD)
            put_head(c, p, to);
        else if (c->kind == NAT_C_NORM)
            put_norm(plan, c, to);
        else
            for (uint64_t k = 0; k < ir_param_elements(p); k++)
                put(to, k, c->elem, p, k);
    }
}
