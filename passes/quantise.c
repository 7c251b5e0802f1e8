/* Pass quantise: from a lowered float module to the target's integers (docs/integers.md).
 *
 * Algorithm. With calibration images the float module runs first, for input rates and ranges. Then
 * one sweep in node order rebuilds the module; projections, attention and their repeats are built
 * when their neuron is met, because gain, threshold and scale belong together:
 *     static image -> conv2d -> neuron      encode (host) and integer thresholds
 *     event frames                          encode (events) behind the input
 *     spikes -> conv2d, linear -> neuron    8-bit weights, thresholds, biases (quantise_layer.c)
 *     attention -> neuron                   unit and threshold (quantise_neuron.c)
 * max-pools, reshapes, recorded sums, delays and the float head are taken over. With calibration
 * images the integer module runs too: a current that leaves the width of the state is an error that
 * names the layer.
 *
 * Params without data give integer params without data, so that estimates see the same graph.
 * Names: weights keep theirs; a neuron value N has "N.vth" and "N.bias"; an encoder made from
 * weight W has "W.enc_w" and "W.enc_b".
 * Refused, naming the layer: neurons that are no leaky integrators, neurons without a projection,
 * values of unusual ops in front of a neuron, first layers that are no convolution.
 * Cost: quantise_layer.c per weight, plus the calibration runs.                               */
#include <math.h>
#include <string.h>

#include "ir/constraints.h"
#include "passes/pass_list.h"
#include "passes/quantise_internal.h"
#include "support/alloc.h"

#define DEFAULT_RATE 0.2   /* spikes per neuron and step where nothing is known */
#define DEFAULT_X_MAX 7.99 /* range of an image about which nothing is known */

const float *quant_param_data(const struct ir_module *m, const struct ir_node *n, uint32_t k)
{
    return k < n->n_params ? m->param[n->param[k]].data : NULL;
}

const char *quant_label_of(struct quantise *q, uint32_t id)
{
    const struct ir_node *n = &q->rw.src->node[id];
    struct arena *a = &q->rw.dst->arena;
    return n->name ? arena_strdup(a, n->name) : arena_printf(a, "value.%u", (unsigned)id);
}

/* Adds params "<label><suffix>" i32 [channels]; data (may be NULL) changes owner. */
static spk_status channel_param(struct quantise *q, const char *label, const char *suffix,
                                uint32_t channels, struct spk_span span, int32_t *data,
                                uint32_t *out)
{
    struct ir_param p = {.dtype = IR_DT_I32, .rank = 1, .dim = {channels}, .span = span};
    p.name = arena_printf(&q->rw.dst->arena, "%s%s", label, suffix);
    if (!p.name) {
        spk_free(data);
        return SPK_ERR_NOMEM;
    }
    return rw_new_param(&q->rw, &p, data, out);
}

/* The integer neuron of source neuron `id` on destination value `current`. */
static spk_status add_neuron(struct quantise *q, uint32_t id, const struct quant_lif *lif,
                             uint32_t current, const uint32_t *params, uint32_t n_params)
{
    struct ir_node n = q->rw.src->node[id];
    uint32_t operand = current, param[2] = {params[0], n_params > 1 ? params[1] : IR_NONE};
    n.operand = &operand;
    n.n_operands = 1;
    n.param = param;
    n.n_params = n_params;
    memset(&n.a, 0, sizeof n.a);
    n.a.neuron.program = IR_NONE;
    n.a.neuron.q.decay = lif->decay;
    n.a.neuron.q.current_keep = lif->current_keep;
    n.a.neuron.q.bits = q->t->arith.state_bits;
    n.a.neuron.q.soft_reset = lif->soft_reset;
    return rw_add(&q->rw, &n, &q->rw.value[id]);
}

/* ---- spikes -> projection -> neuron ---- */

/* Mean input per channel: the sum over the summands. */
spk_status quant_input_rates(struct quantise *q, const struct ir_node *proj, uint32_t channels,
                             double **out)
{
    const struct ir_module *m = q->rw.src;
    double declared = m->declared_rate > 0.0f ? (double)m->declared_rate : DEFAULT_RATE;
    SPK_TRY(spk_alloc_array(channels, sizeof **out, out));
    for (uint32_t k = 0; k < proj->n_operands; k++)
        for (uint32_t c = 0; c < channels; c++) {
            uint32_t from = proj->operand[k];
            (*out)[c] += q->calibrated ? quant_stats_mean(&q->stats, from, c) : declared;
        }
    return SPK_OK;
}

void quant_remark_layer(const struct quantise *q, const struct quant_layer *l, uint64_t weights)
{
    if (!q->c->remarks || !l->w)
        return;
    double low = l->sigma[0], high = l->sigma[0];
    for (uint32_t c = 1; c < l->out; c++) {
        low = fmin(low, l->sigma[c]);
        high = fmax(high, l->sigma[c]);
    }
    diag_remark(q->c->diags, spk_span_none, "R0614",
                "quantise: %s: scale %.1f to %.1f, weight shift %u, %u thresholds, largest "
                "weight error %.5f of the threshold, %llu of %llu weights clipped",
                l->name, low, high, (unsigned)l->shift, (unsigned)l->thresholds, l->worst_error,
                (unsigned long long)l->clipped, (unsigned long long)weights);
}

/* Adds the integer projection with weights `data` (ownership moves). */
spk_status quant_add_projection(struct quantise *q, uint32_t proj, int8_t *data, uint8_t shift,
                                uint32_t *out)
{
    const struct ir_module *m = q->rw.src;
    struct ir_node n = m->node[proj];
    struct ir_param w = m->param[n.param[0]];
    uint32_t param, *operand = NULL;
    w.dtype = IR_DT_I8;
    SPK_TRY(rw_new_param(&q->rw, &w, data, &param));
    SPK_TRY(spk_alloc_array(n.n_operands, sizeof *operand, &operand));
    for (uint32_t k = 0; k < n.n_operands; k++)
        operand[k] = q->rw.value[n.operand[k]];
    n.operand = operand;
    n.param = &param;
    n.n_params = 1;
    n.a.conv.shift = shift;
    spk_status s = rw_add(&q->rw, &n, out);
    spk_free(operand);
    return s;
}

/* Threshold, bias and neuron behind `current`. */
spk_status quant_finish_layer(struct quantise *q, uint32_t id, uint32_t current,
                              struct quant_layer *l)
{
    struct spk_span span = q->rw.src->node[id].span;
    uint32_t params[2];
    int32_t *vth = l->vth, *bias = l->bias;
    l->vth = l->bias = NULL;
    spk_status s = channel_param(q, l->name, ".vth", l->out, span, vth, &params[0]);
    if (s != SPK_OK) {
        spk_free(bias);
        return s;
    }
    if (l->has_bias)
        SPK_TRY(channel_param(q, l->name, ".bias", l->out, span, bias, &params[1]));
    return add_neuron(q, id, l->lif, current, params, l->has_bias ? 2 : 1);
}

static spk_status quantise_projection(struct quantise *q, uint32_t id, uint32_t proj,
                                      const struct quant_lif *lif)
{
    const struct ir_module *m = q->rw.src;
    const struct ir_node *p = &m->node[proj];
    const struct ir_param *w = &m->param[p->param[0]];
    double *rate = NULL;
    struct quant_layer l = {
        .name = quant_label_of(q, id),
        .w = quant_param_data(m, p, 0),
        .b = quant_param_data(m, p, 1),
        .out = w->dim[0],
        .in = w->dim[1],
        .lif = lif,
        .arith = &q->t->arith,
        .weight_bits =
            ctr_bits_of(q->c->constraints, quant_label_of(q, id), q->t->arith.weight_bits),
        .max_thresholds = (uint32_t)q->options[QUANTISE_THRESHOLDS],
        .clip = q->options[QUANTISE_CLIP] != 0,
        .correct = q->options[QUANTISE_CORRECT] != 0,
        .has_bias = p->n_params > 1 || lif->offset != 0.0 || q->rows.adds,
        .pool = q->c->pool,
    };
    if (!l.name)
        return SPK_ERR_NOMEM;
    l.taps = p->op == IR_OP_CONV2D ? (uint64_t)w->dim[2] * w->dim[3] : 1;
    if (p->n_params > 1 && !l.b)
        l.w = NULL; /* half a layer is no layer: shapes only */
    struct quant_scaled scaled = {0};
    spk_status s = quant_input_rates(q, p, l.in, &rate);
    if (s == SPK_OK)
        s = quant_rows_apply(&q->rows, l.w, l.b, l.out, l.in * l.taps, &scaled);
    l.w = scaled.w;
    l.b = scaled.b;
    l.rate = rate;
    if (s == SPK_OK)
        s = quant_layer_run(&l, q->c->diags);
    spk_free(rate);
    quant_scaled_fini(&scaled);
    SPK_TRY(s);
    quant_remark_layer(q, &l, ir_param_elements(w));
    uint32_t current;
    int8_t *data = l.q;
    l.q = NULL;
    s = quant_add_projection(q, proj, data, l.shift, &current);
    if (s == SPK_OK)
        s = quant_finish_layer(q, id, current, &l);
    quant_layer_fini(&l);
    return s;
}

/* ---- static image -> conv2d -> neuron ---- */

/* The largest |x| that the encoder must take: from the calibration images (with a tenth to spare)
 * and from the model's normalisation of bytes.                                                */
static double input_range(const struct quantise *q, uint32_t input)
{
    const struct ir_attr_input *a = &q->rw.src->node[input].a.input;
    double range = 0.0;
    for (uint32_t c = 0; a->normalise && c < a->n_norm; c++) {
        double low = fabs((double)a->mean[c] / (double)a->std[c]);
        double high = fabs((1.0 - (double)a->mean[c]) / (double)a->std[c]);
        range = fmax(range, fmax(low, high));
    }
    if (q->calibrated)
        range = fmax(range, 1.1 * q->stats.abs_max[input]);
    return range > 0.0 ? range : DEFAULT_X_MAX;
}

/* Bound of |gain * (W x + b) + offset| for |x| <= x_max, or what calibration saw. */
static double current_range(const struct quantise *q, uint32_t conv, const struct quant_lif *lif,
                            double x_max)
{
    const struct ir_module *m = q->rw.src;
    const struct ir_node *p = &m->node[conv];
    const struct ir_param *w = &m->param[p->param[0]];
    const float *data = w->data, *b = quant_param_data(m, p, 1);
    double range = 0.0;
    if (q->calibrated)
        return 1.5 * (fabs(lif->gain) * q->stats.abs_max[conv] + fabs(lif->offset));
    uint64_t per_out = ir_param_elements(w) / w->dim[0];
    for (uint32_t c = 0; data && c < w->dim[0]; c++) {
        double sum = b ? fabs((double)b[c]) : 0.0;
        for (uint64_t i = 0; i < per_out; i++)
            sum += x_max * fabs((double)data[c * per_out + i]);
        range = fmax(range, sum);
    }
    return fabs(lif->gain) * range + fabs(lif->offset);
}

static spk_status add_encoder(struct quantise *q, uint32_t conv, struct quant_encoder *e,
                              uint32_t *out)
{
    const struct ir_module *m = q->rw.src;
    const struct ir_node *p = &m->node[conv];
    struct arena *a = &q->rw.dst->arena;
    struct ir_param w = m->param[p->param[0]];
    struct ir_param b = {.dtype = IR_DT_I32, .rank = 1, .dim = {w.dim[0]}, .span = w.span};
    uint32_t params[2], operand = q->rw.value[p->operand[0]];
    const bool point = w.rank == 2; /* a matrix for every position */
    if (point) {
        w.rank = 4;
        w.dim[2] = w.dim[3] = 1;
    }
    w.dtype = IR_DT_I16;
    b.name = arena_printf(a, "%s.enc_b", w.name);
    w.name = arena_printf(a, "%s.enc_w", w.name);
    if (!w.name || !b.name)
        return SPK_ERR_NOMEM;
    int16_t *w_data = e->w_q;
    e->w_q = NULL;
    SPK_TRY(rw_new_param(&q->rw, &w, w_data, &params[0]));
    int32_t *b_data = e->b_q;
    e->b_q = NULL;
    SPK_TRY(rw_new_param(&q->rw, &b, b_data, &params[1]));
    struct ir_node n;
    memset(&n, 0, sizeof n);
    n.op = IR_OP_ENCODE;
    n.span = p->span;
    n.operand = &operand;
    n.n_operands = 1;
    n.param = params;
    n.n_params = 2;
    n.a.encode.kind = IR_ENCODE_CURRENT;
    n.a.encode.conv = p->a.conv;
    if (point)
        n.a.encode.conv =
            (struct ir_attr_conv){.kernel_h = 1, .kernel_w = 1, .stride_h = 1, .stride_w = 1};
    n.a.encode.x_shift = e->x_shift;
    n.a.encode.out_shift = e->out_shift;
    n.a.encode.m_exp = e->m_exp;
    n.a.encode.m_max = e->m_max;
    SPK_TRY(rw_add(&q->rw, &n, out));
    if (q->c->remarks)
        diag_remark(q->c->diags, p->span, "R0615",
                    "quantise: %s: host encoder, scale "
                    "%.1f, x_shift %u, out_shift %u, mantissa +-%d << %u",
                    e->name, e->sigma, (unsigned)e->x_shift, (unsigned)e->out_shift, (int)e->m_max,
                    (unsigned)e->m_exp);
    return SPK_OK;
}

/* Between encoder and neuron stands the repeat, where there was one. */
static spk_status add_repeat(struct quantise *q, uint32_t *current)
{
    struct ir_node n;
    uint32_t operand = *current;
    memset(&n, 0, sizeof n);
    n.op = IR_OP_REPEAT;
    n.operand = &operand;
    n.n_operands = 1;
    n.a.repeat = q->rw.src->timesteps;
    return rw_add(&q->rw, &n, current);
}

/* Of the rows of the neuron's weights. */
static double largest_factor(const struct quant_rows *r)
{
    double most = 1.0;
    for (uint32_t c = 0; c < r->n; c++)
        most = fmax(most, fabs(r->factor[c]));
    return most;
}

static spk_status quantise_encoder(struct quantise *q, uint32_t id, uint32_t conv,
                                   const struct quant_lif *lif, bool repeated)
{
    const struct ir_module *m = q->rw.src;
    const struct ir_node *p = &m->node[conv];
    if (m->node[p->operand[0]].op != IR_OP_INPUT) {
        char name[160];
        spk_status s = diag_nofit(q->c->diags, p->span, "E0636",
                                  "neuron %s: the host can "
                                  "only apply one projection to a static image",
                                  rw_value_name(m, id, name, sizeof name));
        diag_help_set(q->c->diags, "make the first layer a projection of the input, and run "
                                   "hoist-constant before this pass");
        return s;
    }
    const struct ir_param *w = &m->param[p->param[0]];
    struct quant_encoder e = {
        .name = quant_label_of(q, id),
        .w = quant_param_data(m, p, 0),
        .b = quant_param_data(m, p, 1),
        .out = w->dim[0],
        .per_out = ir_param_elements(w) / w->dim[0],
        .x_max = input_range(q, p->operand[0]),
        .lif = lif,
        .arith = &q->t->arith,
    };
    uint32_t current, params[2];
    if (!e.name)
        return SPK_ERR_NOMEM;
    if (p->n_params > 1 && !e.b)
        e.w = NULL;
    e.current_max = current_range(q, conv, lif, e.x_max) * largest_factor(&q->rows);
    struct quant_scaled scaled;
    spk_status s = quant_rows_apply(&q->rows, e.w, e.b, e.out, e.per_out, &scaled);
    e.w = scaled.w;
    e.b = scaled.b;
    if (s == SPK_OK)
        s = quant_encoder_run(&e, q->c->diags);
    quant_scaled_fini(&scaled);
    SPK_TRY(s);
    s = add_encoder(q, conv, &e, &current);
    if (s == SPK_OK && repeated)
        s = add_repeat(q, &current);
    int32_t *vth = e.vth;
    if (s == SPK_OK) {
        e.vth = NULL;
        s = channel_param(q, e.name, ".vth", e.out, p->span, vth, &params[0]);
    }
    quant_encoder_fini(&e);
    return s == SPK_OK ? add_neuron(q, id, lif, current, params, 1) : s;
}

/* ---- attention -> neuron ---- */

static spk_status quantise_attention(struct quantise *q, uint32_t id, uint32_t attention,
                                     const struct quant_lif *lif)
{
    const struct ir_node *a = &q->rw.src->node[attention];
    const char *label = quant_label_of(q, id);
    int32_t unit, vth, *data = NULL;
    uint32_t current, params[2];
    if (!label)
        return SPK_ERR_NOMEM;
    SPK_TRY(quant_attention(a, q->rw.src->timesteps, lif, q->t, label, q->c->diags, &unit, &vth));
    SPK_TRY(spk_alloc_array(a->type.channels, sizeof *data, &data));
    for (uint32_t c = 0; c < a->type.channels; c++)
        data[c] = vth;
    SPK_TRY(channel_param(q, label, ".vth", a->type.channels, a->span, data, &params[0]));
    SPK_TRY(rw_copy(&q->rw, attention));
    current = q->rw.value[attention];
    q->rw.dst->node[current].a.attention.unit = unit;
    if (q->c->remarks)
        diag_remark(q->c->diags, a->span, "R0616",
                    "quantise: %s: attention unit %d, "
                    "threshold %d",
                    label, (int)unit, (int)vth);
    return add_neuron(q, id, lif, current, params, 1);
}

/* ---- the sweep ---- */

/* Several projections of one neuron, delays and feedback: neurons must run on the frames of their
 * window only, and relays must count. */
static spk_status need_schedule(struct quantise *q, uint32_t id, const char *what)
{
    char name[160];
    if (q->t->arith.neuron == TGT_NEURON_PROGRAMMABLE && q->t->arith.payload_bits > 0)
        return SPK_OK;
    spk_status s = diag_nofit(q->c->diags, q->rw.src->node[id].span, "E0639",
                              "%s: %s is only mapped to programmable neurons with graded spikes, "
                              "which '%s' has not",
                              rw_value_name(q->rw.src, id, name, sizeof name), what, q->t->name);
    diag_help_set(q->c->diags, "choose another target, such as loihi2");
    return s;
}

static spk_status build_neuron(struct quantise *q, uint32_t id, const struct quant_lif *lif)
{
    const struct ir_module *m = q->rw.src;
    uint32_t source = m->node[id].operand[0];
    bool repeated = m->node[source].op == IR_OP_REPEAT;
    char name[160];
    if (repeated)
        source = m->node[source].operand[0];
    const struct ir_node *s = &m->node[source];
    if (s->op == IR_OP_ATTENTION && q->rows.n == 0)
        return quantise_attention(q, id, source, lif);
    if (s->op == IR_OP_CONV2D || s->op == IR_OP_LINEAR) {
        if (rw_is_spiking(&m->node[s->operand[0]].type))
            return quantise_projection(q, id, source, lif);
        return quantise_encoder(q, id, source, lif, repeated);
    }
    if (s->op == IR_OP_ADD && s->type.kind == IR_CURRENT) {
        SPK_TRY(need_schedule(q, id, "the sum of several projections"));
        return quant_sum(q, id, source, lif);
    }
    spk_status st = diag_nofit(q->c->diags, m->node[id].span, "E0637",
                               "neuron %s: its input is %s, not a projection or attention",
                               rw_value_name(m, id, name, sizeof name), ir_op_info(s->op)->name);
    diag_help_set(q->c->diags, "put conv2d or linear in front of it");
    return st;
}

static spk_status quantise_neuron(struct quantise *q, uint32_t id)
{
    struct quant_lif lif;
    SPK_TRY(quant_rows_of(q->rw.src, id, q->t, q->c->diags, &lif, &q->rows));
    spk_status s = build_neuron(q, id, &lif);
    quant_rows_fini(&q->rows);
    return s;
}

static spk_status add_event_encoder(struct quantise *q, uint32_t id)
{
    struct ir_node n;
    uint32_t operand = q->rw.value[id];
    memset(&n, 0, sizeof n);
    n.op = IR_OP_ENCODE;
    n.span = q->rw.src->node[id].span;
    n.operand = &operand;
    n.n_operands = 1;
    n.a.encode.kind = IR_ENCODE_EVENTS;
    return rw_add(&q->rw, &n, &q->rw.value[id]);
}

static spk_status quantise_node(struct quantise *q, uint32_t id)
{
    const struct ir_node *n = &q->rw.src->node[id];
    switch (n->op) {
    case IR_OP_CONV2D:
    case IR_OP_LINEAR:
    case IR_OP_ATTENTION:
        return SPK_OK; /* with their neurons */
    case IR_OP_REPEAT:
        return rw_is_spiking(&n->type) ? rw_copy(&q->rw, id) : SPK_OK;
    case IR_OP_NEURON:
        return quantise_neuron(q, id);
    case IR_OP_ADD:
        return n->type.kind == IR_CURRENT ? SPK_OK : rw_copy(&q->rw, id); /* with their neurons */
    case IR_OP_LAG:
        SPK_TRY(need_schedule(q, id, "a delay or feedback"));
        return rw_copy(&q->rw, id);
    case IR_OP_INPUT:
        SPK_TRY(rw_copy(&q->rw, id));
        return n->a.input.events ? add_event_encoder(q, id) : SPK_OK;
    case IR_OP_BATCHNORM:
    case IR_OP_SCALE:
    case IR_OP_MEMBRANE:
    case IR_OP_MAXPOOL:
    case IR_OP_RESHAPE:
    case IR_OP_DELAY:
    case IR_OP_ENCODE:
    case IR_OP_MEAN:
    case IR_OP_READOUT:
    case IR_OP_OUTPUT:
    case IR_OP_MASK: /* refused by lower, as is all that follows */
    case IR_OP_OFFSET:
    case IR_OP_LAYERNORM:
    case IR_OP_GELU:
    case IR_OP_SLICE:
    case IR_OP_PATCHES:
    case IR_OP_SOFTMAX_ATTENTION:
    case IR_OP_MSE:
    case IR_OP_COUNT:
        break;
    }
    return rw_copy(&q->rw, id);
}

/* ---- calibration of the result ---- */

static spk_status check_wraps(struct quantise *q, const struct quant_stats *s)
{
    spk_status status = SPK_OK;
    for (uint32_t i = 0; i < s->m->n_nodes; i++) {
        char name[160];
        if (!s->wraps[i])
            continue;
        status = diag_error(q->c->diags, s->m->node[i].span, "E0638",
                            "layer %s: %llu currents left the %u-bit state while "
                            "calibrating",
                            rw_value_name(s->m, i, name, sizeof name),
                            (unsigned long long)s->wraps[i], (unsigned)q->t->arith.state_bits);
        diag_help_set(q->c->diags, "train with smaller weights relative to the threshold");
    }
    return status;
}

static spk_status check_result(struct quantise *q)
{
    struct quant_stats s;
    spk_status status = quant_stats_run(q->c, q->rw.dst, q->options[QUANTISE_IMAGES], &s);
    if (status == SPK_OK)
        status = check_wraps(q, &s);
    quant_stats_fini(&s);
    return status;
}

static spk_status run(struct quantise *q)
{
    const struct ir_module *m = q->rw.src;
    q->rw.dst->target = arena_strdup(&q->rw.dst->arena, q->t->name);
    if (!q->rw.dst->target)
        return SPK_ERR_NOMEM;
    if (q->calibrated)
        SPK_TRY(quant_stats_run(q->c, m, q->options[QUANTISE_IMAGES], &q->stats));
    spk_status status = SPK_OK;
    progress_begin(q->c->progress, "quantising", m->n_nodes);
    for (uint32_t i = 0; i < m->n_nodes && status == SPK_OK; i++) {
        status = quantise_node(q, i);
        if (status == SPK_OK)
            status = progress_update(q->c->progress, i + 1);
    }
    progress_end(q->c->progress);
    SPK_TRY(status);
    return q->calibrated ? check_result(q) : SPK_OK;
}

spk_status pass_quantise(const struct pass_context *c, const int64_t *options,
                         const struct ir_module *in, struct ir_module **out)
{
    struct quantise q;
    memset(&q, 0, sizeof q);
    q.c = c;
    q.t = c->target;
    q.options = options;
    q.calibrated = c->engine && c->calibration && c->calibration->n_images > 0;
    SPK_TRY(rw_init(&q.rw, in, IR_STAGE_QUANTISED, c->diags));
    spk_status s = run(&q);
    if (s == SPK_OK)
        *out = rw_take(&q.rw);
    if (q.stats.m)
        quant_stats_fini(&q.stats);
    rw_fini(&q.rw);
    return s;
}
