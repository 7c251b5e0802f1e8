/* The op table, sizes of types and params, and the names of all enums of the IR.
 *
 * The table is generated from ops.def. Everything here is a constant look-up; nothing can fail. */
#include "ir/ir.h"
#include "ir/ir_text.h"

static const struct ir_op_info table[IR_OP_COUNT + 1] = {
#define IR_OP(e, s, a, b, c, d, f) [IR_OP_##e] = {(s), (a), (b), (c), (d), (f)},
#include "ir/ops.def"
#undef IR_OP
    [IR_OP_COUNT] = {"?", 0, 0, 0, 0, 0},
};

const struct ir_op_info *ir_op_info(enum ir_op op)
{
    return &table[(unsigned)op < IR_OP_COUNT ? op : IR_OP_COUNT];
}

uint64_t ir_type_positions(const struct ir_type *t)
{
    return (uint64_t)t->height * t->width;
}

uint64_t ir_type_elements(const struct ir_type *t)
{
    return ir_type_positions(t) * t->channels;
}

uint64_t ir_param_elements(const struct ir_param *p)
{
    uint64_t n = 1;
    for (uint32_t i = 0; i < p->rank && i < IR_MAX_RANK; i++)
        n *= p->dim[i];
    return n;
}

uint32_t ir_dtype_size(enum ir_dtype t)
{
    switch (t) {
    case IR_DT_I8:
        return 1;
    case IR_DT_I16:
        return 2;
    case IR_DT_F32:
    case IR_DT_I32:
        break;
    }
    return 4;
}

#define NAME_OF(names, value) \
    ((size_t)(value) < sizeof(names) / sizeof((names)[0]) ? (names)[(value)] : "?")

const char *ir_kind_name(enum ir_kind k)
{
    static const char *const names[] = {"spike", "count", "current", "real"};
    return NAME_OF(names, k);
}

const char *ir_num_name(enum ir_num n)
{
    static const char *const names[] = {"f32", "i32"};
    return NAME_OF(names, n);
}

const char *ir_layout_name(enum ir_layout l)
{
    static const char *const names[] = {"chw", "cn", "nc", "c"};
    return NAME_OF(names, l);
}

const char *ir_dtype_name(enum ir_dtype t)
{
    static const char *const names[] = {"f32", "i8", "i16", "i32"};
    return NAME_OF(names, t);
}

const char *ir_stage_name(enum ir_stage s)
{
    static const char *const names[] = {"model", "lowered", "quantised"};
    return NAME_OF(names, s);
}

const char *ir_attn_order_name(enum ir_attn_order o)
{
    static const char *const names[] = {"auto", "kv_first", "qk_first"};
    return NAME_OF(names, o);
}

const char *ir_encode_name(enum ir_encode_kind k)
{
    static const char *const names[] = {"current", "events"};
    return NAME_OF(names, k);
}

void ir_shape_text(const struct ir_type *t, struct strbuf *out)
{
    switch (t->layout) {
    case IR_CHW:
        strbuf_printf(out, "[%u, %u, %u chw]", t->channels, t->height, t->width);
        break;
    case IR_CN:
        strbuf_printf(out, "[%u, %u cn]", t->channels, t->width);
        break;
    case IR_NC:
        strbuf_printf(out, "[%u, %u nc]", t->width, t->channels);
        break;
    case IR_C:
        strbuf_printf(out, "[%u c]", t->channels);
        break;
    }
}

void ir_type_text(const struct ir_type *t, struct strbuf *out)
{
    strbuf_append(out, ir_kind_name(t->kind));
    if (t->kind == IR_COUNT && t->bound)
        strbuf_printf(out, "<=%u", t->bound);
    strbuf_printf(out, " %s T=%u ", ir_num_name(t->num), t->timesteps);
    ir_shape_text(t, out);
}

void ir_dims_text(uint32_t rank, const uint32_t *dim, struct strbuf *out)
{
    strbuf_char(out, '[');
    for (uint32_t i = 0; i < rank; i++)
        strbuf_printf(out, i ? ", %u" : "%u", dim[i]);
    strbuf_char(out, ']');
}
