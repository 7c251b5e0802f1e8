/* Shape and kind inference of one node from its operands, params and attributes.
 *
 * One function per op; each checks its own requirements in the order operand layout, equal shapes,
 * param shapes, attributes, and reports the first that fails (a later one often follows from it)
 * with both shapes and what would fit. docs/ir.md states the rules. Only the module's stage decides
 * whether currents are f32 or i32; which ops a stage allows is the verifier's business.
 *
 * Cost: O(operands). Limits: at most 2^40 elements per value and param, 65,535 time steps.      */
#include "ir/ir.h"

#include <math.h>

#include "ir/infer_internal.h"
#include "ir/ir_private.h"
#include "ir/ir_text.h"

spk_status infer_shape_error(const struct infer *c, const char *code, const char *what,
                             const struct ir_type *a, const struct ir_type *b)
{
    struct strbuf x = {0}, y = {0};
    ir_shape_text(a, &x);
    if (b)
        ir_shape_text(b, &y);
    spk_status s = diag_error(c->d, c->n->span, code, "%s: %s: %s%s%s", c->op, what,
                              strbuf_cstr(&x), b ? " and " : "", strbuf_cstr(&y));
    strbuf_fini(&x);
    strbuf_fini(&y);
    return s;
}

spk_status infer_param_error(const struct infer *c, uint32_t i, const char *role,
                             const char *expected)
{
    const struct ir_param *p = param(c, i);
    struct strbuf dims = {0};
    ir_dims_text(p->rank, p->dim, &dims);
    spk_status s = diag_error(c->d, c->n->span, "E0305", "%s: %s '%s' has shape %s, expected %s",
                              c->op, role, p->name, strbuf_cstr(&dims), expected);
    strbuf_fini(&dims);
    return s;
}

static enum ir_num stage_num(const struct infer *c)
{
    return c->m->stage == IR_STAGE_QUANTISED ? IR_I32 : IR_F32;
}

spk_status infer_need_channels(const struct infer *c, uint32_t i, const char *role, uint32_t n)
{
    const struct ir_param *p = param(c, i);
    if (p->rank == 1 && p->dim[0] == n)
        return SPK_OK;
    struct strbuf expected = {0};
    strbuf_printf(&expected, "[%u], one entry per channel", n);
    spk_status s = infer_param_error(c, i, role, strbuf_cstr(&expected));
    strbuf_fini(&expected);
    return s;
}

spk_status infer_need_elements(const struct infer *c, uint32_t i, const char *role,
                               const struct ir_type *t)
{
    const struct ir_param *p = param(c, i);
    if (p->rank == 1 && p->dim[0] == t->channels)
        return SPK_OK;
    if (p->rank == 3 && p->dim[0] == t->channels && p->dim[1] == t->height && p->dim[2] == t->width)
        return SPK_OK;
    struct strbuf expected = {0};
    strbuf_printf(&expected, "[%u] or [%u, %u, %u]", t->channels, t->channels, t->height, t->width);
    spk_status s = infer_param_error(c, i, role, strbuf_cstr(&expected));
    strbuf_fini(&expected);
    return s;
}

static bool events(enum ir_kind k)
{
    return k == IR_SPIKE || k == IR_COUNT;
}

spk_status infer_need_equal(const struct infer *c)
{
    const struct ir_type *a = operand(c, 0);
    for (uint32_t i = 1; i < c->n->n_operands; i++) {
        const struct ir_type *b = operand(c, i);
        if (a->layout != b->layout || a->channels != b->channels || a->height != b->height ||
            a->width != b->width) {
            spk_status s = infer_shape_error(c, "E0304", "operands must have equal shapes", a, b);
            if (a->layout != b->layout)
                diag_help_set(c->d, "bring one of them into the layout of the other "
                                    "with reshape");
            return s;
        }
        if (a->timesteps != b->timesteps)
            return diag_error(c->d, c->n->span, "E0312", "%s: operands have %u and %u time steps",
                              c->op, a->timesteps, b->timesteps);
        if (a->num != b->num)
            return diag_error(c->d, c->n->span, "E0309", "%s: operands are %s and %s", c->op,
                              ir_num_name(a->num), ir_num_name(b->num));
    }
    return SPK_OK;
}

/* Bound of a sum of the operands; 0 where one is unknown or the sum leaves 32 bits. */
static uint32_t sum_bound(const struct infer *c)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < c->n->n_operands; i++) {
        const struct ir_type *t = operand(c, i);
        if (!t->bound)
            return 0;
        sum += t->bound;
    }
    return sum <= UINT32_MAX ? (uint32_t)sum : 0;
}

static spk_status infer_input(const struct infer *c)
{
    const struct ir_attr_input *a = &c->n->a.input;
    *c->out = c->n->type;
    c->out->kind = a->mask ? IR_SPIKE : a->events ? IR_COUNT : IR_REAL;
    c->out->num = IR_F32;
    c->out->timesteps = a->events || a->series ? c->m->timesteps : 1;
    if ((a->events && a->series) || (a->mask && (a->events || a->series || a->normalise)))
        return diag_error(c->d, c->n->span, "E0307",
                          "input: frames are either event counts, real values or a mask");
    if (!a->events)
        c->out->bound = a->mask;
    if (a->mask && (c->out->channels != 1 || c->out->layout != IR_CHW))
        return infer_shape_error(c, "E0303", "a mask is laid out [1, height, width]", c->out, NULL);
    if (a->n_norm > 4 || (a->n_norm && a->n_norm != c->out->channels))
        return diag_error(c->d, c->n->span, "E0307",
                          "input: %u normalisation constants for %u channels", a->n_norm,
                          c->out->channels);
    for (uint32_t i = 0; a->normalise && i < a->n_norm; i++) {
        if (!isfinite(a->mean[i]) || !(a->std[i] > 0.0f) || !isfinite(a->std[i]))
            return diag_error(c->d, c->n->span, "E0307",
                              "input: mean and std must be finite and std above 0");
    }
    if (a->normalise && !a->n_norm)
        return diag_error(c->d, c->n->span, "E0307", "input: normalisation without constants");
    return SPK_OK;
}

static spk_status infer_repeat(const struct infer *c)
{
    *c->out = *operand(c, 0);
    if (c->out->timesteps != 1)
        return diag_error(c->d, c->n->span, "E0312", "repeat: operand already has %u time steps",
                          c->out->timesteps);
    if (!c->n->a.repeat || c->n->a.repeat > IR_MAX_TIMESTEPS)
        return diag_error(c->d, c->n->span, "E0312", "repeat: %u is not in 1..%u", c->n->a.repeat,
                          IR_MAX_TIMESTEPS);
    c->out->timesteps = c->n->a.repeat;
    return SPK_OK;
}

/* Output size of a sliding window, 0 where the window does not fit. */
static uint32_t window(uint32_t size, uint32_t kernel, uint32_t stride, uint32_t pad)
{
    uint64_t padded = (uint64_t)size + 2u * (uint64_t)pad;
    uint64_t n = padded < kernel ? 0 : (padded - kernel) / stride + 1;
    return n <= UINT32_MAX ? (uint32_t)n : 0;
}

/* conv2d and encode: weight [out, in, kh, kw], bias [out], spatial shape. */
static spk_status conv_shape(const struct infer *c, const struct ir_attr_conv *a)
{
    const struct ir_type *x = operand(c, 0);
    if (x->layout != IR_CHW)
        return infer_shape_error(c, "E0303", "needs an operand laid out [channels, height, width]",
                                 x, NULL);
    if (!a->kernel_h || !a->kernel_w || !a->stride_h || !a->stride_w)
        return diag_error(c->d, c->n->span, "E0307", "%s: kernel and stride must be at least 1",
                          c->op);
    const struct ir_param *w = param(c, 0);
    if (w->rank != 4 || w->dim[1] != x->channels || w->dim[2] != a->kernel_h ||
        w->dim[3] != a->kernel_w || !w->dim[0]) {
        struct strbuf expected = {0}, in = {0};
        ir_shape_text(x, &in);
        strbuf_printf(&expected, "[out, %u, %u, %u] for an operand %s", x->channels, a->kernel_h,
                      a->kernel_w, strbuf_cstr(&in));
        spk_status s = infer_param_error(c, 0, "weight", strbuf_cstr(&expected));
        strbuf_fini(&expected);
        strbuf_fini(&in);
        return s;
    }
    if (c->n->n_params > 1)
        SPK_TRY(infer_need_channels(c, 1, "bias", w->dim[0]));
    c->out->channels = w->dim[0];
    c->out->height = window(x->height, a->kernel_h, a->stride_h, a->pad_h);
    c->out->width = window(x->width, a->kernel_w, a->stride_w, a->pad_w);
    if (c->out->height && c->out->width)
        return SPK_OK;
    return diag_error(c->d, c->n->span, "E0311",
                      "%s: kernel %ux%u is larger than the padded map %ux%u", c->op, a->kernel_h,
                      a->kernel_w, x->height + 2u * a->pad_h, x->width + 2u * a->pad_w);
}

static spk_status infer_conv2d(const struct infer *c)
{
    SPK_TRY(infer_need_equal(c));
    *c->out = *operand(c, 0);
    SPK_TRY(conv_shape(c, &c->n->a.conv));
    c->out->kind = IR_CURRENT;
    c->out->num = stage_num(c);
    c->out->bound = 0;
    return SPK_OK;
}

/* linear and readout: weight [out, in] on the channel axis, bias [out]. */
static spk_status linear_shape(const struct infer *c)
{
    const struct ir_type *x = operand(c, 0);
    const struct ir_param *w = param(c, 0);
    if (w->rank != 2 || w->dim[1] != x->channels || !w->dim[0]) {
        struct strbuf expected = {0}, in = {0};
        ir_shape_text(x, &in);
        strbuf_printf(&expected, "[out, %u] for an operand %s", x->channels, strbuf_cstr(&in));
        spk_status s = infer_param_error(c, 0, "weight", strbuf_cstr(&expected));
        strbuf_fini(&expected);
        strbuf_fini(&in);
        return s;
    }
    if (c->n->n_params > 1)
        SPK_TRY(infer_need_channels(c, 1, "bias", w->dim[0]));
    c->out->channels = w->dim[0];
    return SPK_OK;
}

static spk_status infer_linear(const struct infer *c)
{
    SPK_TRY(infer_need_equal(c));
    *c->out = *operand(c, 0);
    SPK_TRY(linear_shape(c));
    c->out->kind = IR_CURRENT;
    c->out->num = stage_num(c);
    c->out->bound = 0;
    return SPK_OK;
}

static spk_status infer_batchnorm(const struct infer *c)
{
    static const char *const roles[] = {"weight", "bias", "running_mean", "running_var"};
    *c->out = *operand(c, 0);
    for (uint32_t i = 0; i < 4; i++)
        SPK_TRY(infer_need_channels(c, i, roles[i], c->out->channels));
    if (!(c->n->a.eps >= 0.0f) || !isfinite(c->n->a.eps))
        return diag_error(c->d, c->n->span, "E0307",
                          "batchnorm: eps must be finite and not negative");
    if (c->out->num != IR_F32)
        return diag_error(c->d, c->n->span, "E0309", "batchnorm: works on f32 only");
    c->out->kind = IR_CURRENT;
    c->out->bound = 0;
    return SPK_OK;
}

static spk_status infer_scale(const struct infer *c)
{
    *c->out = *operand(c, 0);
    SPK_TRY(infer_need_elements(c, 0, "scale", c->out));
    if (c->m->stage == IR_STAGE_QUANTISED)
        return diag_error(c->d, c->n->span, "E0309", "scale: works on f32 only");
    c->out->kind = IR_CURRENT;
    c->out->num = IR_F32;
    c->out->bound = 0;
    return SPK_OK;
}

/* neuron and membrane */
static spk_status infer_neuron(const struct infer *c)
{
    static const char *const roles[] = {"threshold", "bias"};
    const bool spikes = c->n->op == IR_OP_NEURON;
    const struct ir_type *x = operand(c, 0);
    *c->out = *x;
    if (x->timesteps != 1 && x->timesteps != c->m->timesteps)
        return diag_error(c->d, c->n->span, "E0312",
                          "neuron: operand has %u time steps, the module %u", x->timesteps,
                          c->m->timesteps);
    if (c->n->a.neuron.program != IR_NONE && c->n->a.neuron.program >= c->m->n_neurons)
        return diag_error(c->d, c->n->span, "E0313",
                          "neuron: program %u does not exist, there are %u", c->n->a.neuron.program,
                          c->m->n_neurons);
    if (c->m->stage == IR_STAGE_QUANTISED && c->n->n_params > 2)
        return diag_error(c->d, c->n->span, "E0301",
                          "neuron: takes a threshold and a bias, found %u params", c->n->n_params);
    for (uint32_t i = 0; i < c->n->n_params; i++) {
        if (c->m->stage == IR_STAGE_QUANTISED)
            SPK_TRY(infer_need_channels(c, i, roles[i], x->channels));
        else
            SPK_TRY(infer_need_elements(c, i, "param", x));
    }
    c->out->kind = spikes ? IR_SPIKE : IR_CURRENT;
    c->out->num = stage_num(c);
    c->out->timesteps = c->m->timesteps;
    c->out->bound = spikes ? 1 : 0;
    return SPK_OK;
}

static spk_status infer_lag(const struct infer *c)
{
    const struct ir_attr_lag *a = &c->n->a.lag;
    if (!a->steps)
        return diag_error(c->d, c->n->span, "E0307", "lag: must be at least 1 step");
    if ((a->source == IR_NONE) != (c->n->n_operands == 1))
        return diag_error(c->d, c->n->span, "E0301",
                          "lag: takes an operand, or the source of a feedback");
    *c->out = c->n->n_operands ? *operand(c, 0) : c->n->type; /* feedback: as declared */
    c->out->num = stage_num(c);
    c->out->timesteps = c->m->timesteps;
    return SPK_OK;
}

/* add and delay: a sum of spikes and counts is a count; add also sums currents or reals. */
static spk_status infer_sum(const struct infer *c, bool analog)
{
    SPK_TRY(infer_need_equal(c));
    *c->out = *operand(c, 0);
    bool all_events = true, all_same = true;
    for (uint32_t i = 0; i < c->n->n_operands; i++) {
        all_events = all_events && events(operand(c, i)->kind);
        all_same = all_same && operand(c, i)->kind == operand(c, 0)->kind;
    }
    if (!all_events && (!analog || !all_same)) {
        for (uint32_t i = 0; i < c->n->n_operands; i++) {
            enum ir_kind k = operand(c, i)->kind;
            if (!events(k) && (!analog || k != operand(c, 0)->kind || i))
                return diag_error(
                    c->d, c->n->span, "E0309", "%s: operand %u '%s' is %s, the first is %s; %s",
                    c->op, i, value_name(c, i), ir_kind_name(k), ir_kind_name(operand(c, 0)->kind),
                    analog ? "sums are of spikes and counts, or of one "
                             "analog kind"
                           : "only spikes and counts can be delayed");
        }
        return diag_error(c->d, c->n->span, "E0309", "%s: operands mix %s with spikes or counts",
                          c->op, ir_kind_name(operand(c, 0)->kind));
    }
    if (all_events && c->n->n_operands > 1) {
        c->out->kind = IR_COUNT;
        c->out->bound = sum_bound(c);
    }
    return SPK_OK;
}

static spk_status infer_delay(const struct infer *c)
{
    if (!c->n->a.delay.steps)
        return diag_error(c->d, c->n->span, "E0307", "delay: must be at least 1 step");
    return infer_sum(c, false);
}

static spk_status infer_maxpool(const struct infer *c)
{
    const struct ir_attr_pool *a = &c->n->a.pool;
    const struct ir_type *x = operand(c, 0);
    *c->out = *x;
    if (x->layout != IR_CHW)
        return infer_shape_error(c, "E0303", "needs an operand laid out [channels, height, width]",
                                 x, NULL);
    if (!a->kernel || !a->stride)
        return diag_error(c->d, c->n->span, "E0307",
                          "maxpool: kernel and stride must be at least 1");
    if (a->pad >= a->kernel)
        return diag_error(c->d, c->n->span, "E0307",
                          "maxpool: pad %u must be below the kernel %u, else a window holds "
                          "padding only",
                          a->pad, a->kernel);
    c->out->height = window(x->height, a->kernel, a->stride, a->pad);
    c->out->width = window(x->width, a->kernel, a->stride, a->pad);
    if (c->out->height && c->out->width)
        return SPK_OK;
    return diag_error(c->d, c->n->span, "E0311",
                      "maxpool: kernel %u is larger than the padded map %ux%u", a->kernel,
                      x->height + 2u * a->pad, x->width + 2u * a->pad);
}

spk_status infer_need_heads(const struct infer *c, const struct ir_type *q, uint32_t heads)
{
    if (heads && q->channels % heads == 0)
        return SPK_OK;
    spk_status s = diag_error(c->d, c->n->span, "E0308", "%s: dim %u is not divisible by heads %u",
                              c->op, q->channels, heads);
    if (heads) {
        uint32_t below = q->channels / heads * heads;
        uint64_t above = (uint64_t)below + heads;
        if (below)
            diag_help_set(c->d, "nearest: %u, %llu", below, (unsigned long long)above);
        else
            diag_help_set(c->d, "nearest: %llu", (unsigned long long)above);
    }
    return s;
}

static spk_status infer_attention(const struct infer *c)
{
    const struct ir_attr_attention *a = &c->n->a.attention;
    const struct ir_type *q = operand(c, 0);
    if (q->layout != IR_CN && q->layout != IR_NC)
        return infer_shape_error(c, "E0303",
                                 "needs tokens, laid out [channels, tokens] or [tokens, "
                                 "channels]",
                                 q, NULL);
    SPK_TRY(infer_need_equal(c));
    for (uint32_t i = 0; i < 3; i++) {
        if (!events(operand(c, i)->kind))
            return diag_error(c->d, c->n->span, "E0309",
                              "attention: %c must be spikes or counts, it is %s", "qkv"[i],
                              ir_kind_name(operand(c, i)->kind));
    }
    SPK_TRY(infer_need_heads(c, q, a->heads));
    if (!(a->scale > 0.0f) || !isfinite(a->scale))
        return diag_error(c->d, c->n->span, "E0307", "attention: scale must be finite and above 0");
    *c->out = *q;
    c->out->kind = IR_CURRENT;
    c->out->num = stage_num(c);
    c->out->bound = 0;
    return SPK_OK;
}

/* mean over all positions and steps, or over the steps alone; readout */
static spk_status infer_mean(const struct infer *c)
{
    *c->out = *operand(c, 0);
    c->out->kind = IR_REAL;
    c->out->num = IR_F32;
    c->out->timesteps = 1;
    c->out->bound = 0;
    if (c->n->op == IR_OP_MEAN && c->n->a.over_time)
        return SPK_OK;
    c->out->layout = IR_C;
    c->out->height = c->out->width = 1;
    return SPK_OK;
}

static spk_status infer_reshape(const struct infer *c)
{
    const struct ir_type *x = operand(c, 0);
    enum ir_layout to = c->n->a.reshape.to;
    *c->out = *x;
    bool fine = (x->layout == IR_CHW && (to == IR_CN || to == IR_NC)) ||
                (x->layout == IR_CN && to == IR_NC) || (x->layout == IR_NC && to == IR_CN);
    if (!fine) {
        struct strbuf in = {0};
        ir_shape_text(x, &in);
        spk_status s = diag_error(c->d, c->n->span, "E0303",
                                  "reshape: cannot bring %s to layout %s; possible are chw to "
                                  "cn or nc, cn to nc, nc to cn",
                                  strbuf_cstr(&in), ir_layout_name(to));
        strbuf_fini(&in);
        return s;
    }
    uint64_t tokens = ir_type_positions(x);
    if (tokens > UINT32_MAX)
        return infer_shape_error(c, "E0310", "too many positions for tokens", x, NULL);
    c->out->layout = to;
    c->out->height = 1;
    c->out->width = (uint32_t)tokens;
    return SPK_OK;
}

static spk_status infer_encode(const struct infer *c)
{
    const struct ir_type *x = operand(c, 0);
    *c->out = *x;
    c->out->num = stage_num(c);
    if (c->n->a.encode.kind == IR_ENCODE_EVENTS) {
        if (c->n->n_params)
            return diag_error(c->d, c->n->span, "E0301",
                              "encode: event frames take no params, found %u", c->n->n_params);
        if (!events(x->kind))
            return diag_error(c->d, c->n->span, "E0309",
                              "encode: event frames must be counts, the operand is %s",
                              ir_kind_name(x->kind));
        return SPK_OK;
    }
    if (c->n->a.encode.kind != IR_ENCODE_CURRENT)
        return diag_error(c->d, c->n->span, "E0307", "encode: unknown kind %d",
                          (int)c->n->a.encode.kind);
    if (!c->n->n_params)
        return diag_error(c->d, c->n->span, "E0301",
                          "encode: the convolution of a static image needs its weight");
    if (x->kind != IR_REAL || x->timesteps != 1)
        return diag_error(c->d, c->n->span, "E0309",
                          "encode: needs a static image (real, one time step), the operand is "
                          "%s with %u time steps",
                          ir_kind_name(x->kind), x->timesteps);
    SPK_TRY(conv_shape(c, &c->n->a.encode.conv));
    c->out->kind = IR_CURRENT;
    c->out->bound = 0;
    return SPK_OK;
}

static spk_status infer_readout(const struct infer *c)
{
    SPK_TRY(infer_need_equal(c));
    for (uint32_t i = 0; i < c->n->n_operands; i++) {
        if (!events(operand(c, i)->kind))
            return diag_error(c->d, c->n->span, "E0309",
                              "readout: operand %u '%s' must be spikes or counts, it is %s", i,
                              value_name(c, i), ir_kind_name(operand(c, i)->kind));
    }
    if (!c->n->a.readout.divisor)
        return diag_error(c->d, c->n->span, "E0307", "readout: divisor must be at least 1");
    SPK_TRY(infer_mean(c));
    return linear_shape(c);
}

static spk_status infer_output(const struct infer *c)
{
    *c->out = *operand(c, 0);
    c->out->kind = IR_REAL;
    c->out->bound = 0;
    return SPK_OK;
}

/* Counts and ids: everything after this may index operands and params freely. */
static spk_status check_ids(const struct infer *c)
{
    const struct ir_op_info *info = ir_op_info(c->n->op);
    if ((unsigned)c->n->op >= IR_OP_COUNT)
        return diag_error(c->d, c->n->span, "E0301", "unknown op %d", (int)c->n->op);
    if (c->n->n_operands < info->min_operands || c->n->n_operands > info->max_operands)
        return diag_error(c->d, c->n->span, "E0301", "%s: takes %u%s operands, found %u", c->op,
                          info->min_operands, info->max_operands == IR_MANY ? " or more" : "",
                          c->n->n_operands);
    if (c->n->n_params < info->min_params || c->n->n_params > info->max_params)
        return diag_error(c->d, c->n->span, "E0301", "%s: takes %u to %u params, found %u", c->op,
                          info->min_params, info->max_params, c->n->n_params);
    for (uint32_t i = 0; i < c->n->n_operands; i++) {
        if (c->n->operand[i] >= c->m->n_nodes)
            return diag_error(c->d, c->n->span, "E0302", "%s: operand %u refers to value %u of %u",
                              c->op, i, c->n->operand[i], c->m->n_nodes);
    }
    for (uint32_t i = 0; i < c->n->n_params; i++) {
        if (c->n->param[i] >= c->m->n_params)
            return diag_error(c->d, c->n->span, "E0302", "%s: param %u refers to tensor %u of %u",
                              c->op, i, c->n->param[i], c->m->n_params);
    }
    return SPK_OK;
}

static spk_status dispatch(const struct infer *c)
{
    switch (c->n->op) {
    case IR_OP_INPUT:
        return infer_input(c);
    case IR_OP_REPEAT:
        return infer_repeat(c);
    case IR_OP_CONV2D:
        return infer_conv2d(c);
    case IR_OP_LINEAR:
        return infer_linear(c);
    case IR_OP_BATCHNORM:
        return infer_batchnorm(c);
    case IR_OP_SCALE:
        return infer_scale(c);
    case IR_OP_NEURON:
    case IR_OP_MEMBRANE:
        return infer_neuron(c);
    case IR_OP_LAG:
        return infer_lag(c);
    case IR_OP_ADD:
        return infer_sum(c, true);
    case IR_OP_MAXPOOL:
        return infer_maxpool(c);
    case IR_OP_ATTENTION:
        return infer_attention(c);
    case IR_OP_RESHAPE:
        return infer_reshape(c);
    case IR_OP_DELAY:
        return infer_delay(c);
    case IR_OP_ENCODE:
        return infer_encode(c);
    case IR_OP_MASK:
        return infer_mask(c);
    case IR_OP_OFFSET:
        return infer_offset(c);
    case IR_OP_LAYERNORM:
        return infer_layernorm(c);
    case IR_OP_GELU:
        return infer_gelu(c);
    case IR_OP_SLICE:
        return infer_slice(c);
    case IR_OP_PATCHES:
        return infer_patches(c);
    case IR_OP_SOFTMAX_ATTENTION:
        return infer_softmax_attention(c);
    case IR_OP_MSE:
        return infer_mse(c);
    case IR_OP_MEAN:
        return infer_mean(c);
    case IR_OP_READOUT:
        return infer_readout(c);
    case IR_OP_OUTPUT:
        return infer_output(c);
    case IR_OP_COUNT:
        break;
    }
    return SPK_ERR_INTERNAL;
}

/* The type itself makes sense, whatever made it. */
static spk_status check_result(const struct infer *c)
{
    const struct ir_type *t = c->out;
    if (!t->channels || !t->height || !t->width)
        return infer_shape_error(c, "E0310", "every axis must be at least 1", t, NULL);
    if ((unsigned)t->layout > IR_C || (t->layout != IR_CHW && t->height != 1) ||
        (t->layout == IR_C && t->width != 1))
        return diag_error(c->d, c->n->span, "E0310",
                          "%s: height %u and width %u do not go with layout %s", c->op, t->height,
                          t->width, ir_layout_name(t->layout));
    if (!t->timesteps || t->timesteps > IR_MAX_TIMESTEPS)
        return diag_error(c->d, c->n->span, "E0312", "%s: %u time steps, possible are 1..%u", c->op,
                          t->timesteps, IR_MAX_TIMESTEPS);
    uint64_t n;
    if (__builtin_mul_overflow(ir_type_positions(t), (uint64_t)t->channels, &n) ||
        n > IR_MAX_ELEMENTS)
        return infer_shape_error(c, "E0310", "more than 2^40 elements", t, NULL);
    return SPK_OK;
}

spk_status ir_infer(const struct ir_module *m, const struct ir_node *node, struct diag_list *d,
                    struct ir_type *out)
{
    struct ir_type type = {0};
    struct infer c = {m, node, d, ir_op_info(node->op)->name, &type};
    SPK_TRY(check_ids(&c));
    SPK_TRY(dispatch(&c));
    SPK_TRY(check_result(&c));
    *out = type;
    return SPK_OK;
}
