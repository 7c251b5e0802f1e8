/* Shape inference of masks, patches and the ops of ordinary networks (decoders, softmax attention).
 *
 * All but a mask of spikes and a slice compute in f32 and give currents; none of them exists in a
 * quantised module. docs/ir.md states the rules.                                               */
#include <math.h>

#include "ir/infer_internal.h"
#include "ir/ir_private.h"
#include "ir/ir_text.h"

static spk_status ordinary(const struct infer *c)
{
    *c->out = *operand(c, 0);
    c->out->kind = IR_CURRENT;
    c->out->bound = 0;
    if (c->m->stage == IR_STAGE_QUANTISED || c->out->num != IR_F32)
        return diag_error(c->d, c->n->span, "E0309", "%s: works on f32 only", c->op);
    return SPK_OK;
}

/* Operand i is a mask that covers `x`: one channel, constant in time, 0 or 1; as many positions as
 * x, or for an image a grid whose cells are equal rectangles of it.                             */
static spk_status need_mask(const struct infer *c, uint32_t i, const struct ir_type *x)
{
    const struct ir_type *m = operand(c, i);
    if (m->kind != IR_SPIKE || m->channels != 1 || m->timesteps != 1)
        return diag_error(c->d, c->n->span, "E0309",
                          "%s: a mask has one channel of zeros and ones that do not change with "
                          "time, operand %u is %s with %u channels and %u time steps",
                          c->op, i, ir_kind_name(m->kind), m->channels, m->timesteps);
    bool covers = ir_type_positions(m) == ir_type_positions(x) &&
                  (x->layout != IR_CHW || m->layout != IR_CHW || m->width == x->width);
    if (!covers && x->layout == IR_CHW && m->layout == IR_CHW)
        covers = x->height % m->height == 0 && x->width % m->width == 0;
    if (covers)
        return SPK_OK;
    spk_status s = infer_shape_error(c, "E0304", "the mask does not cover the value", m, x);
    diag_help_set(c->d, x->layout == IR_CHW ? "height and width are multiples of the mask's"
                                            : "tokens and mask have as many positions");
    return s;
}

spk_status infer_mask(const struct infer *c)
{
    const struct ir_type *x = operand(c, 0);
    *c->out = *x;
    SPK_TRY(need_mask(c, 1, x));
    if (!c->n->n_params) /* hidden places become zero: spikes stay spikes */
        return SPK_OK;
    SPK_TRY(ordinary(c));
    return infer_need_channels(c, 0, "token", x->channels);
}

spk_status infer_offset(const struct infer *c)
{
    const struct ir_param *p = param(c, 0);
    SPK_TRY(ordinary(c));
    const struct ir_type *t = c->out;
    if (t->layout == IR_CHW || t->layout == IR_C)
        return infer_need_elements(c, 0, "offset", t);
    const uint32_t rows = t->layout == IR_NC ? t->width : t->channels;
    const uint32_t columns = t->layout == IR_NC ? t->channels : t->width;
    if ((p->rank == 2 && p->dim[0] == rows && p->dim[1] == columns) ||
        (p->rank == 1 && p->dim[0] == t->channels))
        return SPK_OK;
    struct strbuf expected = {0};
    strbuf_printf(&expected, "[%u] or [%u, %u]", t->channels, rows, columns);
    spk_status s = infer_param_error(c, 0, "offset", strbuf_cstr(&expected));
    strbuf_fini(&expected);
    return s;
}

spk_status infer_layernorm(const struct infer *c)
{
    static const char *const roles[] = {"weight", "bias"};
    const struct ir_attr_norm *a = &c->n->a.norm;
    SPK_TRY(ordinary(c));
    if (c->n->n_params == 1)
        return diag_error(c->d, c->n->span, "E0301",
                          "layernorm: takes weight and bias, or neither, found 1 param");
    for (uint32_t i = 0; i < c->n->n_params; i++)
        SPK_TRY(infer_need_channels(c, i, roles[i], c->out->channels));
    if (!(a->eps >= 0.0f) || !isfinite(a->eps))
        return diag_error(c->d, c->n->span, "E0307",
                          "layernorm: eps must be finite and not negative");
    if (a->sample && c->out->channels < 2)
        return diag_error(c->d, c->n->span, "E0307",
                          "layernorm: the sample variance needs two channels");
    return SPK_OK;
}

spk_status infer_gelu(const struct infer *c)
{
    return ordinary(c);
}

spk_status infer_slice(const struct infer *c)
{
    const struct ir_attr_slice *a = &c->n->a.slice;
    const struct ir_type *x = operand(c, 0);
    *c->out = *x;
    if (!a->count || a->begin >= x->channels || a->count > x->channels - a->begin)
        return diag_error(c->d, c->n->span, "E0307",
                          "slice: %u channels from %u on, the operand has %u", a->count, a->begin,
                          x->channels);
    c->out->channels = a->count;
    return SPK_OK;
}

spk_status infer_patches(const struct infer *c)
{
    const struct ir_type *x = operand(c, 0);
    const uint32_t size = c->n->a.patch;
    *c->out = *x;
    if (x->layout != IR_CHW)
        return infer_shape_error(c, "E0303", "needs an operand laid out [channels, height, width]",
                                 x, NULL);
    if (!size || x->height % size || x->width % size)
        return diag_error(c->d, c->n->span, "E0311",
                          "patches: an image of %ux%u does not divide into patches of %ux%u",
                          x->height, x->width, size, size);
    uint64_t channels = (uint64_t)x->channels * size * size;
    uint64_t tokens = (uint64_t)(x->height / size) * (x->width / size);
    if (channels > UINT32_MAX || tokens > UINT32_MAX)
        return infer_shape_error(c, "E0310", "too many values for patches", x, NULL);
    c->out->layout = IR_NC;
    c->out->channels = (uint32_t)channels;
    c->out->height = 1;
    c->out->width = (uint32_t)tokens;
    return SPK_OK;
}

spk_status infer_softmax_attention(const struct infer *c)
{
    const struct ir_attr_attention *a = &c->n->a.attention;
    const struct ir_type *q = operand(c, 0);
    if (q->layout != IR_CN && q->layout != IR_NC)
        return infer_shape_error(c, "E0303",
                                 "needs tokens, laid out [channels, tokens] or [tokens, "
                                 "channels]",
                                 q, NULL);
    SPK_TRY(infer_need_equal(c));
    SPK_TRY(infer_need_heads(c, q, a->heads));
    if (!(a->scale > 0.0f) || !isfinite(a->scale))
        return diag_error(c->d, c->n->span, "E0307", "%s: scale must be finite and above 0", c->op);
    return ordinary(c);
}

spk_status infer_mse(const struct infer *c)
{
    const struct ir_type *a = operand(c, 0), *b = operand(c, 1);
    SPK_TRY(ordinary(c));
    if (a->layout != b->layout || a->channels != b->channels || a->height != b->height ||
        a->width != b->width)
        return infer_shape_error(c, "E0304", "operands must have equal shapes", a, b);
    if (a->timesteps != b->timesteps)
        return diag_error(c->d, c->n->span, "E0312", "%s: operands have %u and %u time steps",
                          c->op, a->timesteps, b->timesteps);
    if (c->n->n_operands > 2)
        SPK_TRY(need_mask(c, 2, a));
    *c->out = (struct ir_type){.kind = IR_REAL,
                               .num = IR_F32,
                               .layout = IR_C,
                               .timesteps = 1,
                               .channels = 1,
                               .height = 1,
                               .width = 1};
    return SPK_OK;
}
