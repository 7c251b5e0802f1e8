/* What the files of shape inference share. Every function reports what it finds wrong and then
 * gives SPK_ERR_INPUT. */
#ifndef SPIKEC_IR_INFER_INTERNAL_H
#define SPIKEC_IR_INFER_INTERNAL_H

#include "ir/ir.h"

/* One inference under way. */
struct infer {
    const struct ir_module *m;
    const struct ir_node *n;
    struct diag_list *d;
    const char *op;
    struct ir_type *out;
};

static inline const struct ir_type *operand(const struct infer *c, uint32_t i)
{
    return &c->m->node[c->n->operand[i]].type;
}

static inline const struct ir_param *param(const struct infer *c, uint32_t i)
{
    return &c->m->param[c->n->param[i]];
}

static inline const char *value_name(const struct infer *c, uint32_t i)
{
    const char *name = c->m->node[c->n->operand[i]].name;
    return name ? name : "";
}

/* "OP: what: shape [and shape]"; b may be NULL. */
spk_status infer_shape_error(const struct infer *c, const char *code, const char *what,
                             const struct ir_type *a, const struct ir_type *b);
spk_status infer_param_error(const struct infer *c, uint32_t i, const char *role,
                             const char *expected);
/* Param i is [n]. */
spk_status infer_need_channels(const struct infer *c, uint32_t i, const char *role,
                               uint32_t n) SPK_CHECKED;
/* Param i is [channels], or [channels, height, width]: one per neuron. */
spk_status infer_need_elements(const struct infer *c, uint32_t i, const char *role,
                               const struct ir_type *t) SPK_CHECKED;
/* All operands have the shape and number of steps of the first. */
spk_status infer_need_equal(const struct infer *c) SPK_CHECKED;
/* The channels of q split in equal heads. */
spk_status infer_need_heads(const struct infer *c, const struct ir_type *q,
                            uint32_t heads) SPK_CHECKED;

/* infer_ordinary.c: ops of ordinary networks. */
spk_status infer_mask(const struct infer *c) SPK_CHECKED;
spk_status infer_offset(const struct infer *c) SPK_CHECKED;
spk_status infer_layernorm(const struct infer *c) SPK_CHECKED;
spk_status infer_gelu(const struct infer *c) SPK_CHECKED;
spk_status infer_slice(const struct infer *c) SPK_CHECKED;
spk_status infer_patches(const struct infer *c) SPK_CHECKED;
spk_status infer_softmax_attention(const struct infer *c) SPK_CHECKED;
spk_status infer_mse(const struct infer *c) SPK_CHECKED;

#endif
