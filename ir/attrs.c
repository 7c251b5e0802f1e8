/* The attributes of every op as a table (what printer, parser and equality work from), and equality
 * of modules.
 *
 * Invariant: every member of the attribute structs of ir/ir.h that an op uses stands in its table;
 * members that an op does not use (a kernel in a linear) are not compared or printed.            */
#include <string.h>

#include "ir/ir.h"
#include "ir/ir_private.h"
#include "ir/ir_syntax.h"

/* Words are read and written as 32-bit numbers. */
_Static_assert(sizeof(enum ir_layout) == 4 && sizeof(enum ir_attn_order) == 4 &&
                   sizeof(enum ir_encode_kind) == 4 && sizeof(enum ir_attn_lowering) == 4 &&
                   sizeof(bool) == 1,
               "enums take 32 bits, bool one byte");

const struct ir_attr_info *ir_attr_table(enum ir_op op, uint32_t *out_n)
{
#define U8(key, member)                                                     \
    {                                                                       \
        key, IR_ATTR_U8, offsetof(struct ir_node, a.member), 1, NULL, false \
    }
#define U16(key, member, n)                                                  \
    {                                                                        \
        key, IR_ATTR_U16, offsetof(struct ir_node, a.member), n, NULL, false \
    }
#define U32(key, member)                                                     \
    {                                                                        \
        key, IR_ATTR_U32, offsetof(struct ir_node, a.member), 1, NULL, false \
    }
#define I32(key, member)                                                     \
    {                                                                        \
        key, IR_ATTR_I32, offsetof(struct ir_node, a.member), 1, NULL, false \
    }
#define F32(key, member, n)                                                  \
    {                                                                        \
        key, IR_ATTR_F32, offsetof(struct ir_node, a.member), n, NULL, false \
    }
#define BOOL(key, member)                                                     \
    {                                                                         \
        key, IR_ATTR_BOOL, offsetof(struct ir_node, a.member), 1, NULL, false \
    }
#define WORD(key, member, words)                                              \
    {                                                                         \
        key, IR_ATTR_WORD, offsetof(struct ir_node, a.member), 1, words, true \
    }
    static const char *const orders[] = {"auto", "kv_first", "qk_first", NULL};
    static const char *const lowerings[] = {"open",   "and_lif", "embedded", "product",
                                            "serial", "plastic", "engine",   NULL};
    static const char *const encodings[] = {"current", "events", NULL};
    static const char *const layouts[] = {"chw", "cn", "nc", "c", NULL};
    static const struct ir_attr_info input[] = {
        BOOL("events", input.events), BOOL("series", input.series),
        BOOL("mask", input.mask),     BOOL("normalise", input.normalise),
        U32("n_norm", input.n_norm),  F32("mean", input.mean, 4),
        F32("std", input.std, 4),
    };
    static const struct ir_attr_info repeat[] = {U32("times", repeat)};
    static const struct ir_attr_info conv[] = {
        U16("kernel", conv.kernel_h, 2),
        U16("stride", conv.stride_h, 2),
        U16("pad", conv.pad_h, 2),
        U8("shift", conv.shift),
    };
    static const struct ir_attr_info linear[] = {U8("shift", conv.shift)};
    static const struct ir_attr_info batchnorm[] = {F32("eps", eps, 1)};
    static const struct ir_attr_info neuron[] = {
        {"program", IR_ATTR_U32, offsetof(struct ir_node, a.neuron.program), 1, NULL, true},
        U16("decay", neuron.q.decay, 1),
        U16("current_keep", neuron.q.current_keep, 1),
        U8("bits", neuron.q.bits),
        BOOL("soft_reset", neuron.q.soft_reset),
    };
    static const struct ir_attr_info membrane[] = {
        {"program", IR_ATTR_U32, offsetof(struct ir_node, a.neuron.program), 1, NULL, true},
    };
    static const struct ir_attr_info lag[] = {
        U32("steps", lag.steps),
        {"source", IR_ATTR_U32, offsetof(struct ir_node, a.lag.source), 1, NULL, true},
    };
    static const struct ir_attr_info maxpool[] = {
        U16("kernel", pool.kernel, 1),
        U16("stride", pool.stride, 1),
        U16("pad", pool.pad, 1),
    };
    static const struct ir_attr_info attention[] = {
        U32("heads", attention.heads),
        F32("scale", attention.scale, 1),
        WORD("order", attention.order, orders),
        I32("unit", attention.unit),
        {"lowering", IR_ATTR_WORD, offsetof(struct ir_node, a.attention.lowering), 1, lowerings,
         false},
    };
    static const struct ir_attr_info layernorm[] = {
        F32("eps", norm.eps, 1),
        BOOL("sample", norm.sample),
    };
    static const struct ir_attr_info slice[] = {U32("begin", slice.begin),
                                                U32("count", slice.count)};
    static const struct ir_attr_info patches[] = {U32("size", patch)};
    static const struct ir_attr_info softmax[] = {U32("heads", attention.heads),
                                                  F32("scale", attention.scale, 1)};
    static const struct ir_attr_info mean[] = {BOOL("over_time", over_time)};
    static const struct ir_attr_info reshape[] = {WORD("to", reshape.to, layouts)};
    static const struct ir_attr_info delay[] = {U32("steps", delay.steps)};
    static const struct ir_attr_info encode[] = {
        WORD("kind", encode.kind, encodings),
        U16("kernel", encode.conv.kernel_h, 2),
        U16("stride", encode.conv.stride_h, 2),
        U16("pad", encode.conv.pad_h, 2),
        U8("shift", encode.conv.shift),
        U8("x_shift", encode.x_shift),
        U8("out_shift", encode.out_shift),
        U8("m_exp", encode.m_exp),
        I32("m_max", encode.m_max),
    };
    static const struct ir_attr_info readout[] = {U32("divisor", readout.divisor)};
#define ENTRY(table)                              \
    {                                             \
        table, sizeof(table) / sizeof((table)[0]) \
    }
    static const struct {
        const struct ir_attr_info *info;
        uint32_t n;
    } tables[IR_OP_COUNT] = {
        [IR_OP_INPUT] = ENTRY(input),         [IR_OP_REPEAT] = ENTRY(repeat),
        [IR_OP_CONV2D] = ENTRY(conv),         [IR_OP_LINEAR] = ENTRY(linear),
        [IR_OP_BATCHNORM] = ENTRY(batchnorm), [IR_OP_NEURON] = ENTRY(neuron),
        [IR_OP_MAXPOOL] = ENTRY(maxpool),     [IR_OP_ATTENTION] = ENTRY(attention),
        [IR_OP_RESHAPE] = ENTRY(reshape),     [IR_OP_DELAY] = ENTRY(delay),
        [IR_OP_ENCODE] = ENTRY(encode),       [IR_OP_READOUT] = ENTRY(readout),
        [IR_OP_MEMBRANE] = ENTRY(membrane),   [IR_OP_LAG] = ENTRY(lag),
        [IR_OP_LAYERNORM] = ENTRY(layernorm), [IR_OP_SLICE] = ENTRY(slice),
        [IR_OP_PATCHES] = ENTRY(patches),     [IR_OP_SOFTMAX_ATTENTION] = ENTRY(softmax),
        [IR_OP_MEAN] = ENTRY(mean),
    };
    *out_n = (unsigned)op < IR_OP_COUNT ? tables[op].n : 0;
    return *out_n ? tables[op].info : NULL;
}

/* The value of one attribute element, read through its offset. */
int64_t ir_attr_get(const struct ir_node *n, const struct ir_attr_info *a, uint32_t i)
{
    const char *at = (const char *)n + a->offset;
    uint16_t u16;
    uint32_t u32;
    int32_t i32;
    switch (a->type) {
    case IR_ATTR_U8:
        return (uint8_t)at[i];
    case IR_ATTR_BOOL:
        return at[i] != 0;
    case IR_ATTR_U16:
        memcpy(&u16, at + i * sizeof u16, sizeof u16);
        return u16;
    case IR_ATTR_I32:
        memcpy(&i32, at + i * sizeof i32, sizeof i32);
        return i32;
    case IR_ATTR_U32:
    case IR_ATTR_WORD:
    case IR_ATTR_F32:
        break;
    }
    memcpy(&u32, at + i * sizeof u32, sizeof u32);
    return u32;
}

float ir_attr_get_f32(const struct ir_node *n, const struct ir_attr_info *a, uint32_t i)
{
    float f;
    memcpy(&f, (const char *)n + a->offset + i * sizeof f, sizeof f);
    return f;
}

void ir_attr_set(struct ir_node *n, const struct ir_attr_info *a, uint32_t i, int64_t value)
{
    char *at = (char *)n + a->offset;
    uint16_t u16 = (uint16_t)value;
    uint32_t u32 = (uint32_t)value;
    bool truth = value != 0;
    switch (a->type) {
    case IR_ATTR_U8:
        at[i] = (char)(uint8_t)value;
        break;
    case IR_ATTR_BOOL:
        memcpy(at + i, &truth, sizeof truth);
        break;
    case IR_ATTR_U16:
        memcpy(at + i * sizeof u16, &u16, sizeof u16);
        break;
    case IR_ATTR_I32:
    case IR_ATTR_U32:
    case IR_ATTR_WORD:
    case IR_ATTR_F32:
        memcpy(at + i * sizeof u32, &u32, sizeof u32);
        break;
    }
}

/* ---- equality ---- */

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_ids(uint32_t n, const uint32_t *a, const uint32_t *b)
{
    return n == 0 || memcmp(a, b, n * sizeof *a) == 0;
}

static bool same_attrs(const struct ir_node *a, const struct ir_node *b)
{
    uint32_t n;
    const struct ir_attr_info *t = ir_attr_table(a->op, &n);
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t j = 0; j < t[i].count; j++) {
            bool same =
                t[i].type == IR_ATTR_F32
                    ? ir_same_f32(ir_attr_get_f32(a, &t[i], j), ir_attr_get_f32(b, &t[i], j))
                    : ir_attr_get(a, &t[i], j) == ir_attr_get(b, &t[i], j);
            if (!same)
                return false;
        }
    }
    return true;
}

bool ir_type_equal(const struct ir_type *a, const struct ir_type *b)
{
    return a->kind == b->kind && a->num == b->num && a->layout == b->layout &&
           a->timesteps == b->timesteps && a->channels == b->channels && a->height == b->height &&
           a->width == b->width && a->bound == b->bound;
}

static bool same_node(const struct ir_node *a, const struct ir_node *b)
{
    return a->op == b->op && a->recorded == b->recorded && same_text(a->name, b->name) &&
           a->n_operands == b->n_operands && a->n_params == b->n_params &&
           same_ids(a->n_operands, a->operand, b->operand) &&
           same_ids(a->n_params, a->param, b->param) && ir_type_equal(&a->type, &b->type) &&
           same_attrs(a, b);
}

static bool same_param(const struct ir_param *a, const struct ir_param *b)
{
    return same_text(a->name, b->name) && a->dtype == b->dtype && a->rank == b->rank &&
           memcmp(a->dim, b->dim, a->rank * sizeof a->dim[0]) == 0;
}

bool ir_module_equal(const struct ir_module *a, const struct ir_module *b)
{
    if (!same_text(a->name, b->name) || a->stage != b->stage || a->timesteps != b->timesteps ||
        !same_text(a->target, b->target) || !ir_same_f32(a->declared_rate, b->declared_rate) ||
        a->n_nodes != b->n_nodes || a->n_params != b->n_params || a->n_neurons != b->n_neurons)
        return false;
    for (uint32_t i = 0; i < a->n_params; i++) {
        if (!same_param(&a->param[i], &b->param[i]))
            return false;
    }
    for (uint32_t i = 0; i < a->n_neurons; i++) {
        if (!ir_neuron_equal(&a->neuron[i], &b->neuron[i], true))
            return false;
    }
    for (uint32_t i = 0; i < a->n_nodes; i++) {
        if (!same_node(&a->node[i], &b->node[i]))
            return false;
    }
    return true;
}
