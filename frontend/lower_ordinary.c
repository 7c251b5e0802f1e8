/* Built-in functions for masks and for ordinary networks (decoders, softmax attention): each makes
 * its weights and one node, as those of lower_ops.c do.                                        */
#include <string.h>

#include "frontend/lower.h"

static spk_status fe_mask(const struct fe_call *c)
{
    uint32_t operands[2] = {c->v[0].node, c->v[1].node}, token = IR_NONE;
    uint32_t channels = fe_type(c->ev, &c->v[0])->channels;
    struct fe_hint layer = *c->hint;
    struct ir_node node = {.op = IR_OP_MASK, .n_operands = 2, .operand = operands, .param = &token};
    if (c->v[1].kind == FE_V_BOOL && !c->v[1].b) { /* hides nothing */
        *c->out = c->v[0];
        return fe_rename(c->ev, c->out, c->hint);
    }
    if (c->v[1].kind != FE_V_TENSOR) {
        fe_error(c->ev, fe_arg_span(c, 1), "E0260", "'mask' must be a tensor or false, this is %s",
                 fe_value_kind_name(c->v[1].kind));
        return SPK_OK;
    }
    if (!c->v[2].b)
        return fe_add_node(c->ev, &node, c->hint, c->e->span, c->out);
    SPK_TRY(fe_layer_name(c->ev, c->hint, "mask_token", c->e->span, &layer));
    SPK_TRY(fe_weight(c->ev, &layer, NULL, 1, &channels, c->e->span, &token));
    node.n_params = 1;
    return token == IR_NONE ? SPK_OK : fe_add_node(c->ev, &node, &layer, c->e->span, c->out);
}

/* One number per element, laid out as the value: [C, H, W], [C, N] or [N, C]. */
static spk_status fe_offset(const struct fe_call *c)
{
    const struct ir_type *t = fe_type(c->ev, &c->v[0]);
    const bool nc = t->layout == IR_NC, image = t->layout == IR_CHW;
    uint32_t table, operand = c->v[0].node;
    uint32_t dim[3] = {nc ? t->width : t->channels, nc ? t->channels : t->width, 0};
    uint32_t rank = t->layout == IR_C ? 1 : image ? 3 : 2;
    struct fe_hint layer;
    if (image) {
        dim[1] = t->height;
        dim[2] = t->width;
    }
    SPK_TRY(fe_layer_name(c->ev, c->hint, "offset", c->e->span, &layer));
    SPK_TRY(fe_weight(c->ev, &layer, NULL, rank, dim, c->e->span, &table));
    if (table == IR_NONE)
        return SPK_OK;
    struct ir_node node = {
        .op = IR_OP_OFFSET, .n_operands = 1, .operand = &operand, .n_params = 1, .param = &table};
    return fe_add_node(c->ev, &node, &layer, c->e->span, c->out);
}

static spk_status fe_layernorm(const struct fe_call *c)
{
    static const char *const suffix[2] = {"weight", "bias"};
    uint32_t params[2], operand = c->v[0].node, channels = fe_type(c->ev, &c->v[0])->channels;
    struct fe_hint layer = *c->hint;
    struct ir_node node = {
        .op = IR_OP_LAYERNORM, .n_operands = 1, .operand = &operand, .param = params};
    double eps = 0;
    if (!fe_value_number(&c->v[1], &eps) || !(eps >= 0) || eps > 1e30)
        return fe_error(c->ev, fe_arg_span(c, 1), "E0261", "eps is out of range");
    node.a.norm = (struct ir_attr_norm){(float)eps, c->v[3].b};
    if (!c->v[2].b)
        return fe_add_node(c->ev, &node, c->hint, c->e->span, c->out);
    SPK_TRY(fe_layer_name(c->ev, c->hint, "norm", c->e->span, &layer));
    for (uint32_t i = 0; i < 2; i++) {
        SPK_TRY(fe_weight(c->ev, &layer, suffix[i], 1, &channels, c->e->span, &params[i]));
        if (params[i] == IR_NONE)
            return SPK_OK;
    }
    node.n_params = 2;
    return fe_add_node(c->ev, &node, &layer, c->e->span, c->out);
}

static spk_status fe_slice(const struct fe_call *c)
{
    uint32_t operand = c->v[0].node, begin, count;
    struct ir_node node = {.op = IR_OP_SLICE, .n_operands = 1, .operand = &operand};
    if (!fe_arg_whole(c, 1, 0, INT32_MAX, &begin) || !fe_arg_whole(c, 2, 1, INT32_MAX, &count))
        return SPK_OK;
    node.a.slice = (struct ir_attr_slice){begin, count};
    return fe_add_node(c->ev, &node, c->hint, c->e->span, c->out);
}

static spk_status fe_patches(const struct fe_call *c)
{
    uint32_t operand = c->v[0].node, size;
    struct ir_node node = {.op = IR_OP_PATCHES, .n_operands = 1, .operand = &operand};
    bool fine;
    SPK_TRY(fe_need_chw(c, &fine));
    if (!fe_arg_whole(c, 1, 1, INT32_MAX, &size) || !fine)
        return SPK_OK;
    node.a.patch = size;
    return fe_add_node(c->ev, &node, c->hint, c->e->span, c->out);
}

static spk_status fe_softmax_attention(const struct fe_call *c)
{
    uint32_t operands[3] = {c->v[0].node, c->v[1].node, c->v[2].node}, heads;
    struct ir_node node = {.op = IR_OP_SOFTMAX_ATTENTION, .n_operands = 3, .operand = operands};
    double scale = 0;
    if (!fe_arg_whole(c, 3, 1, INT32_MAX, &heads))
        return SPK_OK;
    if (!fe_value_number(&c->v[4], &scale) || !(scale > 0) || scale > 3e38 || (float)scale == 0.0f)
        return fe_error(c->ev, fe_arg_span(c, 4), "E0261", "scale is out of range");
    node.a.attention.heads = heads;
    node.a.attention.scale = (float)scale;
    return fe_add_node(c->ev, &node, c->hint, c->e->span, c->out);
}

/* A function of tensors alone; shapes are checked by the op. */
static spk_status fe_plain(const struct fe_call *c, enum ir_op op, uint32_t n)
{
    uint32_t operands[3];
    struct ir_node node = {.op = op, .n_operands = n, .operand = operands};
    for (uint32_t i = 0; i < n; i++)
        operands[i] = c->v[i].node;
    return fe_add_node(c->ev, &node, c->hint, c->e->span, c->out);
}

spk_status fe_call_ordinary(const struct fe_call *c)
{
    switch (c->b->id) {
    case FE_B_MASK:
        return fe_mask(c);
    case FE_B_OFFSET:
        return fe_offset(c);
    case FE_B_LAYERNORM:
        return fe_layernorm(c);
    case FE_B_GELU:
        return fe_plain(c, IR_OP_GELU, 1);
    case FE_B_SLICE:
        return fe_slice(c);
    case FE_B_PATCHES:
        return fe_patches(c);
    case FE_B_SOFTMAX_ATTENTION:
        return fe_softmax_attention(c);
    case FE_B_MSE:
        return fe_plain(c, IR_OP_MSE, c->slot[2] ? 3 : 2);
    default:
        return SPK_ERR_INTERNAL;
    }
}
