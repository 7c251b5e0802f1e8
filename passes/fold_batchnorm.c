/* Pass fold-batchnorm: puts the batch norm behind a projection into its weights and bias.
 *
 *   y = gamma * (W x + b - mean) / sqrt(var + eps) + beta = (a W) x + (beta + a (b - mean))
 *
 * (Jacob et al. 2018, section 3.2.) The scale a = gamma / sqrt(var + eps) is rounded to float32
 * once, as the float implementation of batch norm does, so that statistics that stand for a power
 * of two fold to exactly that power; products and sums are then formed in double and rounded to
 * float32. The projection gets a bias param (named after the weight, with ".bias") if it had
 * none.
 *
 * A projection that only batch norms use is replaced; one with other users stays for them, and
 * each batch norm gets its own folded copy. A batch norm without a projection in front of it is
 * left as it is (lowering will refuse it). Where any of the tensors has no data (estimates) the
 * result has none either. Cost: one pass over the weights.                                    */
#include <math.h>
#include <string.h>

#include "passes/pass_list.h"
#include "passes/rewrite.h"
#include "support/alloc.h"

static bool is_projection(const struct ir_node *n)
{
    return n->op == IR_OP_CONV2D || n->op == IR_OP_LINEAR;
}

static const float *floats(const struct ir_module *m, uint32_t param)
{
    return m->param[param].dtype == IR_DT_F32 ? m->param[param].data : NULL;
}

/* Weights [out][per_out] and bias [out]; b_in may be NULL (no bias). */
struct fold {
    const float *gamma, *beta, *mean, *var, *w_in, *b_in;
    uint32_t out;
    uint64_t per_out;
    float eps;
};

static void fold_data(const struct fold *f, float *w, float *b)
{
    for (uint32_t c = 0; c < f->out; c++) {
        double inverse = 1.0 / sqrt((double)f->var[c] + (double)f->eps);
        double a = (double)(float)((double)f->gamma[c] * (double)(float)inverse);
        const float *src = f->w_in + c * f->per_out;
        float *dst = w + c * f->per_out;
        for (uint64_t i = 0; i < f->per_out; i++)
            dst[i] = (float)(a * (double)src[i]);
        double offset = (f->b_in ? (double)f->b_in[c] : 0.0) - (double)f->mean[c];
        b[c] = (float)((double)f->beta[c] + a * offset);
    }
}

/* Folded data on the heap, or NULL for both where an input has none. */
static spk_status make_data(const struct ir_module *m, const struct ir_node *proj,
                            const struct ir_node *bn, float **out_w, float **out_b)
{
    const struct ir_param *w = &m->param[proj->param[0]];
    struct fold f = {
        .gamma = floats(m, bn->param[0]),
        .beta = floats(m, bn->param[1]),
        .mean = floats(m, bn->param[2]),
        .var = floats(m, bn->param[3]),
        .w_in = floats(m, proj->param[0]),
        .b_in = proj->n_params > 1 ? floats(m, proj->param[1]) : NULL,
        .out = w->dim[0],
        .eps = bn->a.eps,
    };
    *out_w = *out_b = NULL;
    if (!f.gamma || !f.beta || !f.mean || !f.var || !f.w_in || (proj->n_params > 1 && !f.b_in))
        return SPK_OK;
    f.per_out = f.out ? ir_param_elements(w) / f.out : 0;
    SPK_TRY(spk_alloc_array_raw(f.out * f.per_out, sizeof(float), out_w));
    spk_status s = spk_alloc_array_raw(f.out, sizeof(float), out_b);
    if (s != SPK_OK) {
        spk_free(*out_w);
        return s;
    }
    fold_data(&f, *out_w, *out_b);
    return SPK_OK;
}

static const char *bias_name(struct rewrite *rw, const char *weight)
{
    size_t n = strlen(weight);
    const char *tail = ".weight";
    if (n > strlen(tail) && strcmp(weight + n - strlen(tail), tail) == 0)
        n -= strlen(tail);
    return arena_printf(&rw->dst->arena, "%.*s.bias", (int)n, weight);
}

/* Replaces batch norm `id` over the source projection `proj`. */
static spk_status fold_one(struct rewrite *rw, uint32_t id, uint32_t proj)
{
    const struct ir_module *m = rw->src;
    const struct ir_node *p = &m->node[proj], *bn = &m->node[id];
    float *w = NULL, *b = NULL;
    uint32_t params[2], *operand = NULL;
    SPK_TRY(make_data(m, p, bn, &w, &b));
    struct ir_param shape = m->param[p->param[0]];
    shape.dtype = IR_DT_F32;
    spk_status s = rw_new_param(rw, &shape, w, &params[0]);
    if (s != SPK_OK) {
        spk_free(b);
        return s;
    }
    struct ir_param bias = {
        .dtype = IR_DT_F32, .rank = 1, .dim = {shape.dim[0]}, .span = m->param[bn->param[1]].span};
    bias.name = p->n_params > 1 ? m->param[p->param[1]].name : bias_name(rw, shape.name);
    if (!bias.name) {
        spk_free(b);
        return SPK_ERR_NOMEM;
    }
    SPK_TRY(rw_new_param(rw, &bias, b, &params[1]));
    SPK_TRY(spk_alloc_array(p->n_operands, sizeof *operand, &operand));
    for (uint32_t k = 0; k < p->n_operands; k++)
        operand[k] = rw->value[p->operand[k]];
    struct ir_node n = *p;
    n.name = bn->name;
    n.recorded = bn->recorded;
    n.span = spk_span_join(p->span, bn->span);
    n.operand = operand;
    n.param = params;
    n.n_params = 2;
    s = rw_add(rw, &n, &rw->value[id]);
    spk_free(operand);
    return s;
}

static bool folds(const struct ir_module *m, const struct ir_node *n)
{
    return n->op == IR_OP_BATCHNORM && is_projection(&m->node[n->operand[0]]);
}

/* A projection that is not recorded and that only batch norms use need not be built. */
static void mark_vanishing(const struct rewrite *rw, bool *vanishes)
{
    const struct ir_module *m = rw->src;
    for (uint32_t i = 0; i < m->n_nodes; i++)
        vanishes[i] = is_projection(&m->node[i]) && !m->node[i].recorded && rw->uses[i];
    for (uint32_t i = 0; i < m->n_nodes; i++) {
        const struct ir_node *n = &m->node[i];
        for (uint32_t k = 0; k < n->n_operands; k++)
            if (!folds(m, n))
                vanishes[n->operand[k]] = false;
    }
}

spk_status pass_fold_batchnorm(const struct pass_context *c, const int64_t *options,
                               const struct ir_module *in, struct ir_module **out)
{
    struct rewrite rw;
    bool *vanishes = NULL;
    uint32_t folded = 0;
    (void)options;
    SPK_TRY(spk_alloc_array(in->n_nodes, sizeof *vanishes, &vanishes));
    spk_status s = rw_init(&rw, in, in->stage, c->diags);
    if (s != SPK_OK) {
        spk_free(vanishes);
        return s;
    }
    mark_vanishing(&rw, vanishes);
    for (uint32_t i = 0; s == SPK_OK && i < in->n_nodes; i++) {
        const struct ir_node *n = &in->node[i];
        if (vanishes[i])
            continue;
        if (folds(in, n)) {
            s = fold_one(&rw, i, n->operand[0]);
            folded++;
        } else {
            s = rw_copy(&rw, i);
        }
    }
    if (s == SPK_OK && c->remarks)
        diag_remark(c->diags, spk_span_none, "R0612",
                    "fold-batchnorm: %u batch norms "
                    "folded",
                    (unsigned)folded);
    if (s == SPK_OK)
        *out = rw_take(&rw);
    rw_fini(&rw);
    spk_free(vanishes);
    return s;
}
