/* Pass fuse-linear: one projection in place of several linear maps in a row or side by side.
 *
 *   a projection of a projection's current   (convolutions of convolutions; pools, which come as
 *                                            convolutions with constant kernels)
 *   a scale of a current, a scale of spikes  (rows of the weights; a diagonal matrix)
 *   a sum of projections of the same values  (weights added, the smaller kernel inside the larger)
 *
 * Chips have synapses between neurons and nothing else, so these are one set of synapses. The sweep
 * builds every node in the destination; a map that meets a projection there is joined with it, so
 * chains of any length fold from the front. Projections that lose their users are left to pass dce.
 * What is no projection (padding of a map that is not zero there, different sources, weights per
 * position) stays as it is, and lowering refuses it by name. Sums are formed in double and rounded
 * once: results differ from the model's by float rounding.
 * Cost: products of the non-zero weights, at most MAX_WORK; results have at most MAX_ELEMENTS.  */
#include <string.h>

#include "passes/pass_list.h"
#include "passes/rewrite.h"
#include "support/alloc.h"
#include "support/checked.h"

#define MAX_ELEMENTS ((uint64_t)1 << 27)
#define MAX_WORK ((uint64_t)1 << 34)

/* A projection spelled out. Weights [out][in][kh][kw]; borrowed. */
struct map {
    const struct ir_type *in, *result;
    uint32_t out, channels, kh, kw, sh, sw, ph, pw;
    const float *w, *b; /* NULL: no data; no bias */
    bool has_bias, conv;
    const char *name; /* of the weight */
};

struct joined {
    struct map m;
    float *w, *b; /* heap */
};

static bool is_projection(const struct ir_node *n)
{
    return n->op == IR_OP_CONV2D || n->op == IR_OP_LINEAR;
}

static struct map map_of(const struct ir_module *m, const struct ir_node *n)
{
    const struct ir_param *w = &m->param[n->param[0]];
    const bool conv = n->op == IR_OP_CONV2D;
    struct map p = {.in = &m->node[n->operand[0]].type,
                    .result = &n->type,
                    .out = w->dim[0],
                    .channels = w->dim[1],
                    .kh = conv ? n->a.conv.kernel_h : 1,
                    .kw = conv ? n->a.conv.kernel_w : 1,
                    .sh = conv ? n->a.conv.stride_h : 1,
                    .sw = conv ? n->a.conv.stride_w : 1,
                    .ph = conv ? n->a.conv.pad_h : 0,
                    .pw = conv ? n->a.conv.pad_w : 0,
                    .w = w->data,
                    .b = n->n_params > 1 ? m->param[n->param[1]].data : NULL,
                    .has_bias = n->n_params > 1,
                    .conv = conv,
                    .name = w->name};
    return p;
}

static uint64_t elements(const struct map *m)
{
    const uint64_t factors[4] = {m->out, m->channels, m->kh, m->kw};
    uint64_t n;
    return checked_product_u64(factors, 4, &n) ? n : UINT64_MAX;
}

static bool covers(uint64_t size, uint64_t pad, uint64_t kernel, uint64_t stride, uint64_t wanted)
{
    const uint64_t padded = size + 2 * pad;
    return padded >= kernel && (padded - kernel) / stride + 1 == wanted;
}

/* Whether the joined window gives the map that is wanted and fits its fields. */
static bool fits(const struct map *m)
{
    if (m->kh > UINT16_MAX || m->kw > UINT16_MAX || m->sh > UINT16_MAX || m->sw > UINT16_MAX ||
        elements(m) > MAX_ELEMENTS)
        return false;
    if (!m->conv)
        return true;
    return m->in->layout == IR_CHW &&
           covers(m->in->height, m->ph, m->kh, m->sh, m->result->height) &&
           covers(m->in->width, m->pw, m->kw, m->sw, m->result->width);
}

/* ---- one behind the other ---- */

static bool any_bias(const struct map *m)
{
    bool any = m->has_bias && m->b == NULL; /* unknown */
    for (uint32_t c = 0; m->b != NULL && c < m->out; c++)
        any = any || m->b[c] != 0.0f;
    return any;
}

/* Shape of outer(inner(x)); false: no projection. */
static bool compose_shape(const struct map *inner, const struct map *outer, struct map *out)
{
    const bool padded = outer->ph > 0 || outer->pw > 0;
    const bool point = inner->kh == 1 && inner->kw == 1 && inner->ph == 0 && inner->pw == 0;
    if (padded && (!point || any_bias(inner)))
        return false;
    *out = (struct map){.in = inner->in,
                        .result = outer->result,
                        .out = outer->out,
                        .channels = inner->channels,
                        .kh = inner->kh + (outer->kh - 1) * inner->sh,
                        .kw = inner->kw + (outer->kw - 1) * inner->sw,
                        .sh = inner->sh * outer->sh,
                        .sw = inner->sw * outer->sw,
                        .ph = inner->ph + outer->ph * inner->sh,
                        .pw = inner->pw + outer->pw * inner->sw,
                        .has_bias = inner->has_bias || outer->has_bias,
                        .conv = inner->conv || outer->conv,
                        .name = outer->name};
    uint64_t work;
    return fits(out) &&
           checked_mul_u64(elements(inner), (uint64_t)outer->out * outer->kh * outer->kw, &work) &&
           work <= MAX_WORK;
}

/* Adds k * (inner's channel m) at the place of outer's tap (y, x) into one output channel. */
static void add_taps(const struct map *inner, const struct map *out, uint32_t m, uint32_t y,
                     uint32_t x, double k, double *sum)
{
    const float *w = inner->w + (uint64_t)m * inner->channels * inner->kh * inner->kw;
    for (uint32_t c = 0; c < inner->channels; c++)
        for (uint32_t i = 0; i < inner->kh; i++)
            for (uint32_t j = 0; j < inner->kw; j++, w++)
                if (*w != 0.0f)
                    sum[((uint64_t)c * out->kh + y * inner->sh + i) * out->kw + x * inner->sw +
                        j] += k * (double)*w;
}

static spk_status compose(const struct map *inner, const struct map *outer, struct joined *j)
{
    const uint64_t per_out = elements(&j->m) / j->m.out, taps = (uint64_t)outer->kh * outer->kw;
    double *sum = NULL;
    SPK_TRY(spk_alloc_array(per_out, sizeof *sum, &sum));
    const float *w = outer->w;
    for (uint32_t o = 0; o < outer->out; o++) {
        double bias = outer->b ? (double)outer->b[o] : 0.0;
        memset(sum, 0, per_out * sizeof *sum);
        for (uint32_t m = 0; m < outer->channels; m++)
            for (uint64_t t = 0; t < taps; t++, w++) {
                if (*w == 0.0f)
                    continue;
                add_taps(inner, &j->m, m, (uint32_t)(t / outer->kw), (uint32_t)(t % outer->kw),
                         (double)*w, sum);
                bias += inner->b ? (double)*w * (double)inner->b[m] : 0.0;
            }
        for (uint64_t i = 0; i < per_out; i++)
            j->w[o * per_out + i] = (float)sum[i];
        if (j->b)
            j->b[o] = (float)bias;
    }
    spk_free(sum);
    return SPK_OK;
}

/* ---- side by side ---- */

static bool add_shape(const struct map *a, const struct map *b, struct map *out)
{
    const uint32_t ph = a->ph > b->ph ? a->ph : b->ph, pw = a->pw > b->pw ? a->pw : b->pw;
    const uint32_t ah = ph - a->ph + a->kh, bh = ph - b->ph + b->kh;
    const uint32_t aw = pw - a->pw + a->kw, bw = pw - b->pw + b->kw;
    if (a->sh != b->sh || a->sw != b->sw || a->out != b->out || a->channels != b->channels)
        return false;
    *out = *a;
    out->kh = ah > bh ? ah : bh;
    out->kw = aw > bw ? aw : bw;
    out->ph = ph;
    out->pw = pw;
    out->conv = a->conv || b->conv;
    out->has_bias = a->has_bias || b->has_bias;
    return fits(out);
}

static void add_into(const struct map *a, struct joined *j)
{
    const struct map *m = &j->m;
    const float *w = a->w;
    for (uint64_t plane = 0; plane < (uint64_t)a->out * a->channels; plane++)
        for (uint32_t y = 0; y < a->kh; y++)
            for (uint32_t x = 0; x < a->kw; x++)
                j->w[(plane * m->kh + y + m->ph - a->ph) * m->kw + x + m->pw - a->pw] += *w++;
    for (uint32_t c = 0; j->b && a->b && c < a->out; c++)
        j->b[c] += a->b[c];
}

/* ---- building ---- */

/* Zeroed tensors of j->m; none where `data` is false. */
static spk_status joined_alloc(struct joined *j, bool data)
{
    j->w = j->b = NULL;
    if (!data)
        return SPK_OK;
    SPK_TRY(spk_alloc_array(elements(&j->m), sizeof *j->w, &j->w));
    return j->m.has_bias ? spk_alloc_array(j->m.out, sizeof *j->b, &j->b) : SPK_OK;
}

static void joined_fini(struct joined *j)
{
    spk_free(j->w);
    spk_free(j->b);
}

/* Adds the projection in place of source node `id`; takes the tensors. */
static spk_status add_joined(struct rewrite *rw, uint32_t id, struct joined *j,
                             const uint32_t *operands, uint32_t n_operands)
{
    const struct ir_node *from = &rw->src->node[id];
    const struct map *m = &j->m;
    struct ir_param w = {.dtype = IR_DT_F32,
                         .rank = m->conv ? 4 : 2,
                         .dim = {m->out, m->channels, m->kh, m->kw},
                         .name = m->name,
                         .span = from->span};
    struct ir_node n = {.op = m->conv ? IR_OP_CONV2D : IR_OP_LINEAR};
    uint32_t params[2], *copy = NULL;
    float *data = j->w, *bias = j->b;
    j->w = j->b = NULL;
    struct ir_param b = {.dtype = IR_DT_F32, .rank = 1, .dim = {m->out}, .span = from->span};
    b.name = arena_printf(&rw->dst->arena, "%s.bias", m->name);
    spk_status s = rw_new_param(rw, &w, data, &params[0]);
    if (s != SPK_OK || b.name == NULL || !m->has_bias) {
        spk_free(bias);
        bias = NULL;
    }
    SPK_TRY(s);
    if (b.name == NULL)
        return SPK_ERR_NOMEM;
    if (m->has_bias)
        SPK_TRY(rw_new_param(rw, &b, bias, &params[1]));
    SPK_TRY(spk_alloc_array(n_operands, sizeof *copy, &copy));
    memcpy(copy, operands, n_operands * sizeof *copy); /* rw_add may move the nodes */
    n.name = from->name;
    n.recorded = from->recorded;
    n.span = from->span;
    n.operand = copy;
    n.n_operands = n_operands;
    n.param = params;
    n.n_params = m->has_bias ? 2 : 1;
    if (m->conv)
        n.a.conv = (struct ir_attr_conv){.kernel_h = (uint16_t)m->kh,
                                         .kernel_w = (uint16_t)m->kw,
                                         .stride_h = (uint16_t)m->sh,
                                         .stride_w = (uint16_t)m->sw,
                                         .pad_h = (uint16_t)m->ph,
                                         .pad_w = (uint16_t)m->pw};
    s = rw_add(rw, &n, &rw->value[id]);
    spk_free(copy);
    return s;
}

/* outer (of source node `id`) behind the projection `at` of the destination. */
static spk_status join(struct rewrite *rw, uint32_t id, const struct map *outer, uint32_t at,
                       bool *out_done)
{
    const struct ir_node *n = &rw->dst->node[at];
    const struct map inner = map_of(rw->dst, n);
    struct joined j = {0};
    *out_done = compose_shape(&inner, outer, &j.m);
    if (!*out_done)
        return SPK_OK;
    const bool data =
        inner.w && outer->w && (inner.b || !inner.has_bias) && (outer->b || !outer->has_bias);
    spk_status s = joined_alloc(&j, data);
    if (s == SPK_OK && data)
        s = compose(&inner, outer, &j);
    if (s == SPK_OK)
        s = add_joined(rw, id, &j, n->operand, n->n_operands);
    joined_fini(&j);
    return s;
}

/* A scale is a diagonal matrix, or joins the projection before it. */
static spk_status fuse_scale(struct rewrite *rw, uint32_t id, bool *out_done)
{
    const struct ir_node *n = &rw->src->node[id];
    const struct ir_param *p = &rw->src->param[n->param[0]];
    const uint32_t at = rw->value[n->operand[0]], channels = n->type.channels;
    float *diagonal = NULL;
    *out_done = false;
    if (p->rank != 1 || (uint64_t)channels * channels > MAX_ELEMENTS)
        return SPK_OK;
    if (p->data)
        SPK_TRY(spk_alloc_array((size_t)channels * channels, sizeof *diagonal, &diagonal));
    for (uint32_t c = 0; p->data && c < channels; c++)
        diagonal[(size_t)c * channels + c] = ((const float *)p->data)[c];
    const struct map m = {.in = &rw->src->node[n->operand[0]].type,
                          .result = &n->type,
                          .out = channels,
                          .channels = channels,
                          .kh = 1,
                          .kw = 1,
                          .sh = 1,
                          .sw = 1,
                          .w = diagonal,
                          .name = p->name};
    spk_status s = SPK_OK;
    if (is_projection(&rw->dst->node[at]))
        s = join(rw, id, &m, at, out_done);
    if (s == SPK_OK && !*out_done && rw->dst->node[at].type.kind != IR_CURRENT) {
        struct joined j = {.m = m, .w = diagonal};
        *out_done = true;
        return add_joined(rw, id, &j, &at, 1);
    }
    spk_free(diagonal);
    return s;
}

static bool same_sources(const struct ir_node *a, const struct ir_node *b)
{
    return a->n_operands == b->n_operands &&
           memcmp(a->operand, b->operand, a->n_operands * sizeof *a->operand) == 0;
}

/* A sum of currents all of which are projections of the same values. */
static spk_status fuse_add(struct rewrite *rw, uint32_t id, bool *out_done)
{
    const struct ir_node *n = &rw->src->node[id];
    const struct ir_node *first = &rw->dst->node[rw->value[n->operand[0]]];
    struct joined j = {0};
    bool data = true, fine = is_projection(first);
    *out_done = false;
    for (uint32_t k = 0; k < n->n_operands && fine; k++) {
        const struct ir_node *p = &rw->dst->node[rw->value[n->operand[k]]];
        fine = is_projection(p) && same_sources(p, first);
        if (!fine)
            break;
        const struct map m = map_of(rw->dst, p);
        data = data && m.w && (m.b || !m.has_bias);
        struct map before = j.m;
        if (k == 0)
            j.m = m;
        else
            fine = add_shape(&before, &m, &j.m);
    }
    if (!fine)
        return SPK_OK;
    *out_done = true;
    j.m.result = &n->type;
    spk_status s = joined_alloc(&j, data);
    for (uint32_t k = 0; k < n->n_operands && s == SPK_OK && data; k++) {
        const struct map m = map_of(rw->dst, &rw->dst->node[rw->value[n->operand[k]]]);
        add_into(&m, &j);
    }
    if (s == SPK_OK)
        s = add_joined(rw, id, &j, first->operand, first->n_operands);
    joined_fini(&j);
    return s;
}

static spk_status fuse_node(struct rewrite *rw, uint32_t id, uint32_t *fused)
{
    const struct ir_node *n = &rw->src->node[id];
    const uint32_t at = n->n_operands == 1 ? rw->value[n->operand[0]] : IR_NONE;
    bool done = false;
    if (n->op == IR_OP_SCALE) {
        SPK_TRY(fuse_scale(rw, id, &done));
    } else if (n->op == IR_OP_ADD && n->type.kind == IR_CURRENT && !n->recorded) {
        SPK_TRY(fuse_add(rw, id, &done));
    } else if (is_projection(n) && at != IR_NONE && is_projection(&rw->dst->node[at])) {
        const struct map m = map_of(rw->src, n);
        SPK_TRY(join(rw, id, &m, at, &done));
    }
    *fused += done;
    return done ? SPK_OK : rw_copy(rw, id);
}

spk_status pass_fuse_linear(const struct pass_context *c, const int64_t *options,
                            const struct ir_module *in, struct ir_module **out)
{
    (void)options;
    struct rewrite rw;
    uint32_t fused = 0;
    SPK_TRY(rw_init(&rw, in, in->stage, c->diags));
    spk_status s = SPK_OK;
    for (uint32_t i = 0; s == SPK_OK && i < in->n_nodes; i++)
        s = fuse_node(&rw, i, &fused);
    if (s == SPK_OK && c->remarks)
        diag_remark(c->diags, spk_span_none, "R0619", "fuse-linear: %u linear maps joined",
                    (unsigned)fused);
    if (s == SPK_OK)
        *out = rw_take(&rw);
    rw_fini(&rw);
    return s;
}
