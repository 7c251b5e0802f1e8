/* Built-in functions and neurons: each makes its weights and one node.
 *
 * Shapes are computed and checked by ir_infer; checked here is what the user wrote: kinds and
 * ranges of arguments, and what deserves a better message than the op can give (attention heads,
 * sizes of windows). Weights of a layer NAME are NAME.weight, NAME.bias, and for batch norm also
 * NAME.running_mean and NAME.running_var.                                                      */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "frontend/lower.h"
#include "support/checked.h"

bool fe_whole(struct fe_eval *ev, const struct fe_value *v, struct spk_span span, const char *what,
              uint64_t low, uint64_t high, uint32_t *out)
{
    *out = 0;
    if (v->kind == FE_V_ERROR)
        return false;
    if (v->kind != FE_V_INT) {
        fe_error(ev, span, "E0260", "%s must be a whole number, this is %s", what,
                 fe_value_kind_name(v->kind));
        return false;
    }
    if (v->i < 0 || (uint64_t)v->i < low || (uint64_t)v->i > high) {
        fe_error(ev, span, "E0261", "%s = %lld is out of range", what, (long long)v->i);
        diag_help_set(ev->d, "possible are %llu to %llu", (unsigned long long)low,
                      (unsigned long long)high);
        return false;
    }
    *out = (uint32_t)v->i;
    return true;
}

spk_status fe_add_node(struct fe_eval *ev, struct ir_node *node, const struct fe_hint *hint,
                       struct spk_span span, struct fe_value *out)
{
    bool taken = true;
    *out = (struct fe_value){.kind = FE_V_ERROR};
    if (ev->m->n_nodes >= FE_MAX_NODES)
        return fe_stop(ev, span, "E0254", "the model has more than %u operations", FE_MAX_NODES);
    if (hint->text)
        SPK_TRY(fe_take_name(ev, hint->text, false, hint->span, &taken));
    if (!taken)
        return SPK_OK;
    node->name = hint->text;
    node->span = span;
    node->recorded = false;
    uint32_t id = IR_NONE;
    spk_status status = ir_add_node(ev->m, node, ev->d, &id);
    if (status == SPK_ERR_INPUT) {
        fe_note_calls(ev);
        return SPK_OK;
    }
    SPK_TRY(status);
    struct ir_node *made = &ev->m->node[id];
    bool counts = made->type.kind == IR_SPIKE || made->type.kind == IR_COUNT;
    made->recorded = made->name && counts && made->op != IR_OP_INPUT && made->op != IR_OP_REPEAT &&
                     made->op != IR_OP_OUTPUT;
    *out = (struct fe_value){.kind = FE_V_TENSOR, .node = id};
    return SPK_OK;
}

spk_status fe_weight(struct fe_eval *ev, const struct fe_hint *layer, const char *suffix,
                     uint32_t rank, const uint32_t *dim, struct spk_span span, uint32_t *out)
{
    struct ir_param p = {.dtype = IR_DT_F32, .rank = rank, .span = span};
    uint64_t elements = 1;
    bool fits = true, taken = false;
    *out = IR_NONE;
    for (uint32_t i = 0; i < rank; i++) {
        p.dim[i] = dim[i];
        fits = fits && checked_mul_u64(elements, dim[i], &elements);
    }
    if (!fits || elements > FE_MAX_ELEMENTS)
        return fe_error(ev, span, "E0255", "'%s%s%s' would have more than 2^40 elements",
                        layer->text, suffix ? "." : "", suffix ? suffix : "");
    p.name = suffix ? arena_printf(ev->arena, "%s.%s", layer->text, suffix) : layer->text;
    if (!p.name)
        return SPK_ERR_NOMEM;
    SPK_TRY(fe_take_name(ev, p.name, true, layer->span, &taken));
    return taken ? ir_add_param(ev->m, &p, out) : SPK_OK;
}

struct spk_span fe_arg_span(const struct fe_call *c, uint32_t i)
{
    return c->slot[i] && c->slot[i]->value ? c->slot[i]->value->span : c->e->span;
}

bool fe_arg_whole(const struct fe_call *c, uint32_t i, uint64_t low, uint64_t high, uint32_t *out)
{
    return fe_whole(c->ev, &c->v[i], fe_arg_span(c, i), c->b->formal[i].name, low, high, out);
}

spk_status fe_need_chw(const struct fe_call *c, bool *out_fine)
{
    *out_fine = fe_type(c->ev, &c->v[0])->layout == IR_CHW;
    if (*out_fine)
        return SPK_OK;
    fe_error(c->ev, fe_arg_span(c, 0), "E0262", "%s needs an image, this is a list of tokens",
             c->b->name);
    diag_help_set(c->ev->d, "on tokens, use linear(x, out)");
    return SPK_OK;
}

/* A window that does not fit is reported with the size it meets. */
static spk_status fe_need_window(const struct fe_call *c, uint32_t kernel, uint32_t pad,
                                 bool *out_fine)
{
    const struct ir_type *t = fe_type(c->ev, &c->v[0]);
    uint64_t padding = 2u * (uint64_t)pad;
    *out_fine = t->height + padding >= kernel && t->width + padding >= kernel;
    if (*out_fine)
        return SPK_OK;
    fe_error(c->ev, c->e->span, "E0263", "%s: the kernel of %u is larger than the image of %ux%u%s",
             c->b->name, kernel, t->height, t->width, pad ? " with its padding" : "");
    diag_help_set(c->ev->d, "the image has become too small here: start with a larger one, or use "
                            "a smaller kernel or more padding");
    return SPK_OK;
}

static spk_status fe_conv2d(const struct fe_call *c)
{
    uint32_t out, kernel, stride, pad, weight, bias = IR_NONE;
    bool fine;
    struct fe_hint layer;
    SPK_TRY(fe_need_chw(c, &fine));
    if (!fe_arg_whole(c, 1, 1, INT32_MAX, &out) || !fe_arg_whole(c, 2, 1, UINT16_MAX, &kernel) ||
        !fe_arg_whole(c, 3, 1, UINT16_MAX, &stride) || !fe_arg_whole(c, 4, 0, UINT16_MAX, &pad) ||
        !fine)
        return SPK_OK;
    SPK_TRY(fe_need_window(c, kernel, pad, &fine));
    if (!fine)
        return SPK_OK;
    uint32_t dim[4] = {out, fe_type(c->ev, &c->v[0])->channels, kernel, kernel};
    SPK_TRY(fe_layer_name(c->ev, c->hint, "conv", c->e->span, &layer));
    SPK_TRY(fe_weight(c->ev, &layer, "weight", 4, dim, c->e->span, &weight));
    if (c->v[5].b)
        SPK_TRY(fe_weight(c->ev, &layer, "bias", 1, &out, c->e->span, &bias));
    if (weight == IR_NONE || (c->v[5].b && bias == IR_NONE))
        return SPK_OK;
    uint32_t operand = c->v[0].node, params[2] = {weight, bias};
    struct ir_node node = {.op = IR_OP_CONV2D,
                           .n_operands = 1,
                           .operand = &operand,
                           .n_params = c->v[5].b ? 2 : 1,
                           .param = params};
    node.a.conv = (struct ir_attr_conv){(uint16_t)kernel,
                                        (uint16_t)kernel,
                                        (uint16_t)stride,
                                        (uint16_t)stride,
                                        (uint16_t)pad,
                                        (uint16_t)pad,
                                        0};
    return fe_add_node(c->ev, &node, &layer, c->e->span, c->out);
}

static spk_status fe_linear(const struct fe_call *c)
{
    uint32_t out, weight, bias = IR_NONE;
    struct fe_hint layer;
    if (!fe_arg_whole(c, 1, 1, INT32_MAX, &out))
        return SPK_OK;
    uint32_t dim[2] = {out, fe_type(c->ev, &c->v[0])->channels};
    SPK_TRY(fe_layer_name(c->ev, c->hint, "linear", c->e->span, &layer));
    SPK_TRY(fe_weight(c->ev, &layer, "weight", 2, dim, c->e->span, &weight));
    if (c->v[2].b)
        SPK_TRY(fe_weight(c->ev, &layer, "bias", 1, &out, c->e->span, &bias));
    if (weight == IR_NONE || (c->v[2].b && bias == IR_NONE))
        return SPK_OK;
    uint32_t operand = c->v[0].node, params[2] = {weight, bias};
    struct ir_node node = {.op = IR_OP_LINEAR,
                           .n_operands = 1,
                           .operand = &operand,
                           .n_params = c->v[2].b ? 2 : 1,
                           .param = params};
    return fe_add_node(c->ev, &node, &layer, c->e->span, c->out);
}

static spk_status fe_batchnorm(const struct fe_call *c)
{
    static const char *const suffix[4] = {"weight", "bias", "running_mean", "running_var"};
    double eps = 0;
    uint32_t params[4], channels = fe_type(c->ev, &c->v[0])->channels;
    struct fe_hint layer;
    if (!fe_value_number(&c->v[1], &eps) || !(eps >= 0) || eps > 1e30)
        return fe_error(c->ev, fe_arg_span(c, 1), "E0261", "eps is out of range");
    SPK_TRY(fe_layer_name(c->ev, c->hint, "bn", c->e->span, &layer));
    for (uint32_t i = 0; i < 4; i++) {
        SPK_TRY(fe_weight(c->ev, &layer, suffix[i], 1, &channels, c->e->span, &params[i]));
        if (params[i] == IR_NONE)
            return SPK_OK;
    }
    uint32_t operand = c->v[0].node;
    struct ir_node node = {.op = IR_OP_BATCHNORM,
                           .n_operands = 1,
                           .operand = &operand,
                           .n_params = 4,
                           .param = params};
    node.a.eps = (float)eps;
    return fe_add_node(c->ev, &node, &layer, c->e->span, c->out);
}

static spk_status fe_maxpool(const struct fe_call *c)
{
    uint32_t kernel, stride, pad, operand = c->v[0].node;
    bool fine;
    SPK_TRY(fe_need_chw(c, &fine));
    if (!fe_arg_whole(c, 1, 1, UINT16_MAX, &kernel) ||
        !fe_arg_whole(c, 2, 1, UINT16_MAX, &stride) || !fe_arg_whole(c, 3, 0, UINT16_MAX, &pad) ||
        !fine)
        return SPK_OK;
    SPK_TRY(fe_need_window(c, kernel, pad, &fine));
    if (!fine)
        return SPK_OK;
    struct ir_node node = {.op = IR_OP_MAXPOOL, .n_operands = 1, .operand = &operand};
    node.a.pool = (struct ir_attr_pool){(uint16_t)kernel, (uint16_t)stride, (uint16_t)pad};
    return fe_add_node(c->ev, &node, c->hint, c->e->span, c->out);
}

#define FE_MAX_HEADS_SEARCH 65536u

static spk_status fe_heads_error(const struct fe_call *c, uint32_t dim, uint32_t heads)
{
    char below[16] = "";
    uint32_t low = dim / heads * heads;
    if (low > 0)
        snprintf(below, sizeof below, "%u, ", low);
    fe_error(c->ev, fe_arg_span(c, 3), "E0264",
             "dim %u is not divisible by heads %u; nearest: %s%llu", dim, heads, below,
             (unsigned long long)low + heads);
    uint32_t fewer = heads - 1, more = heads + 1;
    fewer = fewer > dim ? dim : fewer;
    while (fewer > 1 && dim % fewer != 0)
        fewer--;
    while (more < dim && more - heads < FE_MAX_HEADS_SEARCH && dim % more != 0)
        more++;
    if (fewer >= 1 && more <= dim && dim % more == 0)
        diag_help_set(c->ev->d, "or heads %u, %u: every head takes an equal share of the channels",
                      fewer, more);
    else if (fewer >= 1)
        diag_help_set(c->ev->d, "or heads %u: every head takes an equal share of the channels",
                      fewer);
    return SPK_OK;
}

static spk_status fe_attention(const struct fe_call *c)
{
    static const char *const orders[] = {"auto", "kv_first", "qk_first"};
    const struct ir_type *q = fe_type(c->ev, &c->v[0]);
    uint32_t heads, order = 0;
    double scale = 0;
    if (q->layout != IR_CN && q->layout != IR_NC) {
        fe_error(c->ev, fe_arg_span(c, 0), "E0262", "attention needs tokens, this is an image");
        diag_help_set(c->ev->d, "turn it into tokens first: tokens(x)");
        return SPK_OK;
    }
    if (!fe_arg_whole(c, 3, 1, INT32_MAX, &heads))
        return SPK_OK;
    if (q->channels % heads != 0)
        return fe_heads_error(c, q->channels, heads);
    if (!fe_value_number(&c->v[4], &scale) || !(scale > 0) || scale > 3e38 ||
        (float)scale == 0.0f) {
        fe_error(c->ev, fe_arg_span(c, 4), "E0261", "scale is out of range");
        diag_help_set(c->ev->d, "the scale of attention is above 0, for instance 0.125");
        return SPK_OK;
    }
    while (order < 3 && strcmp(orders[order], c->v[5].text) != 0)
        order++;
    if (order == 3) {
        fe_error(c->ev, fe_arg_span(c, 5), "E0265", "unknown order '%s'", c->v[5].text);
        diag_help_set(c->ev->d, "orders are \"auto\", \"kv_first\" and \"qk_first\"");
        return SPK_OK;
    }
    uint32_t operands[3] = {c->v[0].node, c->v[1].node, c->v[2].node};
    struct ir_node node = {.op = IR_OP_ATTENTION, .n_operands = 3, .operand = operands};
    node.a.attention.heads = heads;
    node.a.attention.scale = (float)scale;
    node.a.attention.order = order == 1   ? IR_ATTN_KV_FIRST
                             : order == 2 ? IR_ATTN_QK_FIRST
                                          : IR_ATTN_AUTO;
    return fe_add_node(c->ev, &node, c->hint, c->e->span, c->out);
}

/* Of tokens: the other layout, or what they are. */
static spk_status fe_tokens(const struct fe_call *c)
{
    bool fine;
    uint32_t operand = c->v[0].node;
    const enum ir_layout have = fe_type(c->ev, &c->v[0])->layout, to = c->v[1].b ? IR_NC : IR_CN;
    if (have == to) {
        *c->out = c->v[0];
        return fe_rename(c->ev, c->out, c->hint);
    }
    fine = have == IR_CN || have == IR_NC;
    if (!fine)
        SPK_TRY(fe_need_chw(c, &fine));
    if (!fine)
        return SPK_OK;
    struct ir_node node = {.op = IR_OP_RESHAPE, .n_operands = 1, .operand = &operand};
    node.a.reshape.to = to;
    return fe_add_node(c->ev, &node, c->hint, c->e->span, c->out);
}

static spk_status fe_mean(const struct fe_call *c)
{
    uint32_t operand = c->v[0].node;
    bool time[2] = {false, false}, both = c->slot[2] != NULL;
    for (uint32_t i = 0; i <= both; i++)
        time[i] = strcmp(c->slot[i + 1]->value->name, "time") == 0;
    if (time[0] == time[1]) {
        fe_error(c->ev, c->e->span, "E0266", "mean runs over two different axes, or over time");
        diag_help_set(c->ev->d, "write mean(x, tokens, time), or mean(x, time)");
        return SPK_OK;
    }
    struct ir_node node = {.op = IR_OP_MEAN, .n_operands = 1, .operand = &operand};
    node.a.over_time = !both;
    return fe_add_node(c->ev, &node, c->hint, c->e->span, c->out);
}

/* min, max, abs, div on constants. */
static spk_status fe_numeric(const struct fe_call *c)
{
    const struct fe_value *a = &c->v[0], *b = &c->v[c->b->n - 1];
    double x, y;
    if (c->hint->text)
        return fe_error(c->ev, c->hint->span, "E0256", "only tensors have names");
    if (c->b->id == FE_B_DIV) {
        if (b->i <= 0)
            return fe_error(c->ev, fe_arg_span(c, 1), "E0221", "div needs a divisor above 0");
        *c->out = (struct fe_value){.kind = FE_V_INT, .i = a->i / b->i - (a->i % b->i < 0)};
        return SPK_OK;
    }
    if (!fe_value_number(a, &x) || !fe_value_number(b, &y))
        return SPK_ERR_INTERNAL;
    if (c->b->id == FE_B_ABS) {
        struct fe_value zero = {.kind = FE_V_INT};
        if (a->kind == FE_V_FLOAT)
            *c->out = (struct fe_value){.kind = FE_V_FLOAT, .f = fabs(a->f)};
        else if (!checked_sub_i64(zero.i, a->i, &zero.i))
            return fe_error(c->ev, c->e->span, "E0221", "result does not fit 64 bits");
        else
            *c->out = a->i < 0 ? zero : *a;
        return SPK_OK;
    }
    bool both = a->kind == FE_V_INT && b->kind == FE_V_INT;
    bool first =
        c->b->id == FE_B_MIN ? (both ? a->i <= b->i : x <= y) : (both ? a->i >= b->i : x >= y);
    *c->out = first ? *a : *b;
    if (!both)
        *c->out = (struct fe_value){.kind = FE_V_FLOAT, .f = first ? x : y};
    return SPK_OK;
}

spk_status fe_call_builtin(struct fe_eval *ev, const struct fe_builtin *b,
                           const struct fe_expr *call, const struct fe_value *values,
                           const struct fe_arg *const *slot, const struct fe_hint *hint,
                           struct fe_value *out)
{
    struct fe_call c = {ev, call, b, values, slot, hint, out};
    *out = (struct fe_value){.kind = FE_V_ERROR};
    switch (b->id) {
    case FE_B_CONV2D:
        return fe_conv2d(&c);
    case FE_B_LINEAR:
        return fe_linear(&c);
    case FE_B_BATCHNORM:
        return fe_batchnorm(&c);
    case FE_B_MAXPOOL:
        return fe_maxpool(&c);
    case FE_B_ATTENTION:
        return fe_attention(&c);
    case FE_B_TOKENS:
        return fe_tokens(&c);
    case FE_B_MEAN:
        return fe_mean(&c);
    case FE_B_MASK:
    case FE_B_OFFSET:
    case FE_B_LAYERNORM:
    case FE_B_GELU:
    case FE_B_SLICE:
    case FE_B_PATCHES:
    case FE_B_SOFTMAX_ATTENTION:
    case FE_B_MSE:
        return fe_call_ordinary(&c);
    case FE_B_MIN:
    case FE_B_MAX:
    case FE_B_ABS:
    case FE_B_DIV:
        return fe_numeric(&c);
    }
    return SPK_ERR_INTERNAL;
}

/* ---- neurons ---- */

static bool fe_same_values(const struct fe_value *a, const struct fe_value *b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        double x = 0, y = 0;
        (void)fe_value_number(&a[i], &x);
        (void)fe_value_number(&b[i], &y);
        if (a[i].kind != b[i].kind || memcmp(&x, &y, sizeof x) != 0)
            return false;
    }
    return true;
}

/* Compiles the neuron unless it was with the same values. *out IR_NONE: reported. */
static spk_status fe_neuron_program(struct fe_eval *ev, const struct fe_def *neuron,
                                    const struct fe_expr *call, const struct fe_value *values,
                                    uint32_t n, uint32_t *out)
{
    *out = IR_NONE;
    for (size_t i = 0; i < ev->programs.len; i++) {
        const struct fe_program_use *use = &ev->programs.data[i];
        if (use->def == neuron && fe_same_values(use->values, values, n)) {
            *out = use->program;
            return SPK_OK;
        }
    }
    if (ev->programs.len >= FE_MAX_PROGRAMS)
        return fe_stop(ev, call->span, "E0254", "more than %u different neurons", FE_MAX_PROGRAMS);
    struct ir_neuron program;
    double rate;
    spk_status status = fe_neuron_compile(neuron, values, ev->arena, ev->d, &program, &rate);
    if (status == SPK_ERR_INPUT) {
        diag_note_add(ev->d, call->span, "neuron '%s' used here", neuron->name.text);
        fe_note_calls(ev);
        return SPK_OK;
    }
    SPK_TRY(status);
    SPK_TRY(ir_add_neuron(ev->m, &program, out));
    if (rate > 0 && ev->rate > 0 && rate != ev->rate) {
        fe_error(ev, call->span, "E0267", "the neurons of this model declare different rates");
        diag_note_add(ev->d, ev->rate_span, "the other rate is declared for this one");
        diag_help_set(ev->d, "a declared rate holds for the whole model: use one value");
    } else if (rate > 0) {
        ev->rate = rate;
        ev->rate_span = call->span;
    }
    const struct fe_value *copy =
        arena_memdup(ev->arena, values, n * sizeof *values, _Alignof(struct fe_value));
    if (!copy)
        return SPK_ERR_NOMEM;
    return vec_push(&ev->programs, (struct fe_program_use){neuron, copy, n, *out});
}

spk_status fe_call_neuron(struct fe_eval *ev, const struct fe_def *neuron,
                          const struct fe_expr *call, const struct fe_value *values, uint32_t n,
                          const struct fe_hint *hint, struct fe_value *out)
{
    struct fe_hint layer;
    uint32_t program, operand = values[0].node;
    *out = (struct fe_value){.kind = FE_V_ERROR};
    SPK_TRY(fe_neuron_program(ev, neuron, call, values + 1, n - 1, &program));
    if (program == IR_NONE)
        return SPK_OK;
    SPK_TRY(fe_layer_name(ev, hint, neuron->name.text, call->span, &layer));
    struct ir_node node = {.op = IR_OP_NEURON, .n_operands = 1, .operand = &operand};
    node.a.neuron.program = program;
    return fe_add_node(ev, &node, &layer, call->span, out);
}

static void fe_shape_text(const struct ir_type *t, struct strbuf *out)
{
    if (t->layout == IR_CHW)
        strbuf_printf(out, "%u x %ux%u", t->channels, t->height, t->width);
    else if (t->layout == IR_C)
        strbuf_printf(out, "%u", t->channels);
    else
        strbuf_printf(out, "%u x %u tokens%s", t->channels, t->width,
                      t->layout == IR_NC ? " (channels last)" : "");
}

static spk_status fe_sum_error(struct fe_eval *ev, const struct fe_expr *e, const struct ir_type *a,
                               const struct ir_type *b)
{
    struct strbuf x = {0}, y = {0};
    fe_shape_text(a, &x);
    fe_shape_text(b, &y);
    fe_error(ev, e->span, "E0257", "a sum of different shapes: %s and %s", strbuf_cstr(&x),
             strbuf_cstr(&y));
    if (a->layout != b->layout)
        diag_help_set(ev->d, "an image becomes tokens with tokens(x), with channels_last = true "
                             "where the other has them last");
    else if (a->channels != b->channels)
        diag_help_set(ev->d,
                      "a shortcut keeps the number of channels: make it %u or %u on both "
                      "sides",
                      a->channels, b->channels);
    else
        diag_help_set(ev->d, "a shortcut keeps the size: check kernel, stride and pad");
    strbuf_fini(&x);
    strbuf_fini(&y);
    return SPK_OK;
}

spk_status fe_add_tensors(struct fe_eval *ev, const struct fe_expr *e, uint32_t x, uint32_t y,
                          const struct fe_hint *hint, struct fe_value *out)
{
    uint32_t operands[2] = {x, y};
    const struct ir_type *a = &ev->m->node[x].type, *b = &ev->m->node[y].type;
    struct ir_node node = {.op = IR_OP_ADD, .n_operands = 2, .operand = operands};
    if (a->layout != b->layout || a->channels != b->channels || a->height != b->height ||
        a->width != b->width)
        return fe_sum_error(ev, e, a, b);
    return fe_add_node(ev, &node, hint, e->span, out);
}

spk_status fe_mask_input(struct fe_eval *ev, const struct fe_stmt *s, const struct fe_value *shape,
                         struct fe_value *out)
{
    struct fe_hint hint = {s->name.text, s->name.span};
    struct ir_node node = {.op = IR_OP_INPUT};
    uint32_t height, width;
    *out = (struct fe_value){.kind = FE_V_ERROR};
    bool fine = fe_whole(ev, &shape[1], s->shape[1]->span, "height", 1, INT32_MAX, &height);
    if (!fe_whole(ev, &shape[2], s->shape[2]->span, "width", 1, INT32_MAX, &width) || !fine)
        return SPK_OK;
    node.type = (struct ir_type){.layout = IR_CHW, .channels = 1, .height = height, .width = width};
    node.a.input.mask = true;
    return fe_add_node(ev, &node, &hint, s->span, out);
}

spk_status fe_input(struct fe_eval *ev, const struct fe_stmt *s, const struct fe_value *shape,
                    const struct fe_value *steps, const double *mean, const double *std,
                    uint32_t n_norm, struct fe_value *out)
{
    static const char *const what[3] = {"number of channels", "height", "width"};
    uint32_t size[3], t;
    *out = (struct fe_value){.kind = FE_V_ERROR};
    bool fine = fe_whole(ev, steps, s->limit->span, "number of time steps", 1, UINT16_MAX, &t);
    for (uint32_t i = 0; i < 3; i++)
        fine = fe_whole(ev, &shape[i], s->shape[i]->span, what[i], 1, INT32_MAX, &size[i]) && fine;
    if (!fine)
        return SPK_OK;
    if (n_norm > 0 && n_norm != size[0]) {
        fe_error(ev, s->span, "E0268", "%u normalisation constants for %u channels", n_norm,
                 size[0]);
        diag_help_set(ev->d, "give one mean and one std per channel: mean [a, b, c]");
        return SPK_OK;
    }
    ev->m->timesteps = t;
    struct ir_node node = {.op = IR_OP_INPUT};
    struct fe_hint hint = {s->name.text, s->name.span}, none = {NULL, s->span};
    node.type = (struct ir_type){
        .layout = IR_CHW, .channels = size[0], .height = size[1], .width = size[2]};
    node.a.input.events = s->events;
    node.a.input.normalise = n_norm > 0;
    node.a.input.n_norm = n_norm;
    for (uint32_t i = 0; i < n_norm; i++) {
        node.a.input.mean[i] = (float)mean[i];
        node.a.input.std[i] = (float)std[i];
    }
    SPK_TRY(fe_add_node(ev, &node, &hint, s->span, out));
    if (out->kind != FE_V_TENSOR || s->events)
        return SPK_OK;
    uint32_t image = out->node;
    struct ir_node repeat = {.op = IR_OP_REPEAT, .n_operands = 1, .operand = &image};
    repeat.a.repeat = t;
    return fe_add_node(ev, &repeat, &none, s->span, out);
}
