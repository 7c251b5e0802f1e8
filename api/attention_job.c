/* attention: spiking against softmax attention, in operations and compute energy.
 *
 * Of every attention of spikes in the model, for one time step, with N tokens, D channels, h heads
 * of d = D / h channels (runtime/paper_energy.h):
 *   SSA  N D d (min(fr_k, fr_v) + fr_q) accumulations, 0.9 pJ each;
 *   VSA  the same q, k, v as real numbers: N^2 D multiply-accumulates for q k^T and as many for the
 *        product with v, that is 4 N^2 D operations where multiplication and addition count apart.
 * The paper prices each operation at 4.6 pJ, which is the cost of a multiplication and an addition
 * together; both readings are given.                                                            */
#include <math.h>

#include "api/api_internal.h"
#include "frontend/rates.h"
#include "runtime/paper_energy.h"
#include "support/alloc.h"

/* Spikformer (arXiv 2209.15425, 2401.02020): one attention of 8-512 (196 tokens) in one step. */
#define PUBLISHED_TOKENS 196u
#define PUBLISHED_CHANNELS 512u
#define PUBLISHED_HEADS 8u
#define PUBLISHED_VSA 77e6
#define PUBLISHED_VSA_UJ 354.2
#define PUBLISHED_SSA 5.5e6
#define PUBLISHED_SSA_UJ 4.95

struct attention {
    spk_context *c;
    const struct spk_attention_options *o;
    struct api_model model;
    struct fe_rates rates;
    double *mean; /* [n_nodes] rate of every value */
    struct paper_energy paper;
    uint32_t layers;
    double sops, dense; /* sums over the layers, one step */
    uint64_t macs;
    bool published; /* one layer has the size of 8-512 */
};

static void attention_fini(struct attention *a)
{
    paper_energy_fini(&a->paper);
    spk_free(a->mean);
    fe_rates_fini(&a->rates);
    api_model_fini(&a->model);
}

/* Means of all values: from the file, or the declared rate of spikes. */
static spk_status take_rates(struct attention *a)
{
    const struct ir_module *m = a->model.module;
    SPK_TRY(spk_alloc_array(m->n_nodes, sizeof *a->mean, &a->mean));
    if (a->o->rates != NULL)
        SPK_TRY(fe_rates_load(a->o->rates, m, &a->c->diags, &a->rates));
    for (uint32_t i = 0; i < m->n_nodes; i++) {
        const struct fe_rate *r = a->o->rates != NULL ? &a->rates.of_node[i] : NULL;
        a->mean[i] = r != NULL && r->n > 0 ? 0.0 : (double)NAN;
        for (uint32_t c = 0; r != NULL && c < r->n; c++)
            a->mean[i] += r->rate[c] / r->n;
        if (a->o->rates == NULL && m->node[i].op == IR_OP_NEURON && m->declared_rate > 0)
            a->mean[i] = (double)m->declared_rate;
    }
    return SPK_OK;
}

/* NaN is left out. */
static void figure(struct json_writer *w, const char *name, double value)
{
    if (!isnan(value))
        jw_f64(w, name, value);
}

static void write_spiking(struct json_writer *w, double sops, double dense)
{
    jw_object_begin(w, "ssa");
    jw_f64(w, "accumulations_if_all_spiked", dense);
    figure(w, "accumulations", sops);
    figure(w, "energy_uJ", sops * PAPER_PJ_SOP * 1e-6);
    jw_object_end(w);
}

static void write_softmax(struct json_writer *w, double macs)
{
    jw_object_begin(w, "vsa");
    jw_f64(w, "operations", 2 * macs);
    jw_f64(w, "energy_uJ", 2 * macs * PAPER_PJ_MAC * 1e-6);
    jw_f64(w, "macs", macs);
    jw_f64(w, "energy_of_macs_uJ", macs * PAPER_PJ_MAC * 1e-6);
    jw_object_end(w);
}

static void text_row(struct strbuf *t, const char *name, double sops, double macs)
{
    strbuf_printf(t, "%-32.32s", name);
    if (isnan(sops))
        strbuf_printf(t, " %10s %10s", "-", "-");
    else
        strbuf_printf(t, " %10.4g %10.4g", sops, sops * PAPER_PJ_SOP * 1e-6);
    strbuf_printf(t, " %10.4g %10.4g %10.4g\n", 2 * macs, 2 * macs * PAPER_PJ_MAC * 1e-6,
                  macs * PAPER_PJ_MAC * 1e-6);
}

static void write_layer(struct attention *a, const struct paper_op *op, struct api_report *r)
{
    const struct ir_node *n = &a->model.module->node[op->node];
    const uint64_t tokens = ir_type_positions(&n->type), macs = paper_softmax_macs(&n->type);
    const double sops = op->sops / op->steps;
    jw_object_begin(&r->w, NULL);
    jw_string(&r->w, "name", op->name);
    jw_u64(&r->w, "tokens", tokens);
    jw_u64(&r->w, "channels", n->type.channels);
    jw_u64(&r->w, "heads", n->a.attention.heads);
    figure(&r->w, "rate_q", op->rate);
    figure(&r->w, "rate_k", op->rate_k);
    figure(&r->w, "rate_v", op->rate_v);
    write_spiking(&r->w, sops, (double)op->macs);
    write_softmax(&r->w, (double)macs);
    jw_object_end(&r->w);
    text_row(&r->result->text, op->name, sops, (double)macs);
    a->layers++;
    a->sops += sops;
    a->dense += (double)op->macs;
    a->macs += macs;
    a->published =
        a->published || (tokens == PUBLISHED_TOKENS && n->type.channels == PUBLISHED_CHANNELS &&
                         n->a.attention.heads == PUBLISHED_HEADS);
}

/* The paper's figures, and how far those of the mean layer are from them. */
static void write_published(const struct attention *a, struct api_report *r)
{
    struct strbuf *t = &r->result->text;
    const double macs = (double)a->macs / a->layers, sops = a->sops / a->layers;
    if (!a->published)
        return;
    jw_object_begin(&r->w, "published");
    jw_string(&r->w, "of", "one attention of 8-512, one time step");
    jw_f64(&r->w, "vsa_operations", PUBLISHED_VSA);
    jw_f64(&r->w, "vsa_energy_uJ", PUBLISHED_VSA_UJ);
    jw_f64(&r->w, "ssa_accumulations", PUBLISHED_SSA);
    jw_f64(&r->w, "ssa_energy_uJ", PUBLISHED_SSA_UJ);
    jw_f64(&r->w, "vsa_operations_ours_to_published", 2 * macs / PUBLISHED_VSA);
    figure(&r->w, "ssa_accumulations_ours_to_published", sops / PUBLISHED_SSA);
    jw_f64(&r->w, "ssa_rate_implied_by_one_layer", PUBLISHED_SSA / (a->dense / a->layers));
    jw_f64(&r->w, "ssa_rate_implied_by_all_layers", PUBLISHED_SSA / a->dense);
    jw_object_end(&r->w);
    text_row(t, "published, one layer of 8-512", PUBLISHED_SSA, PUBLISHED_VSA / 2);
    strbuf_printf(
        t,
        "VSA: ours has %+.1f %% operations (4 N^2 D); the paper does not say what it "
        "leaves out. It prices an operation\n"
        "at 4.6 pJ, the cost of a multiplication with an addition: by such pairs it is "
        "%.4g uJ.\n"
        "SSA: the paper's accumulations follow from rates that it does not give: of 2 N D d "
        "a share of %.3g in one layer,\n"
        "or of %.3g in all %u; the VSA figure is one layer's.\n",
        100 * (2 * macs / PUBLISHED_VSA - 1), macs * PAPER_PJ_MAC * 1e-6,
        PUBLISHED_SSA / (a->dense / a->layers), PUBLISHED_SSA / a->dense, a->layers);
}

static spk_status attention_all(struct attention *a, struct api_report *r)
{
    struct strbuf *t = &r->result->text;
    SPK_TRY(api_model_load(a->c, &a->o->model, false, &a->model));
    const struct ir_module *m = a->model.module;
    if (m->stage != IR_STAGE_MODEL)
        return diag_usage(&a->c->diags, spk_span_none, "E0726",
                          "'%s' holds integers: attention is counted of models", a->o->model.model);
    SPK_TRY(take_rates(a));
    SPK_TRY(paper_energy_compute(m, a->mean, &a->c->diags, &a->paper));
    jw_string(&r->w, "model", m->name);
    jw_string(&r->w, "label", "compute only, 45 nm: 4.6 pJ and 0.9 pJ (not a chip energy)");
    jw_string(&r->w, "rates", a->o->rates != NULL ? "given" : "declared");
    jw_u64(&r->w, "timesteps", m->timesteps);
    strbuf_printf(t,
                  "%s, one of %u time steps; compute only, 45 nm (not a chip energy); %s rates\n"
                  "%-32s %10s %10s %10s %10s %10s\n",
                  m->name, m->timesteps, a->o->rates != NULL ? "given" : "declared", "attention",
                  "SSA ACs", "uJ", "VSA ops", "uJ", "uJ by MACs");
    jw_array_begin(&r->w, "layers");
    for (uint32_t i = 0; i < a->paper.n_ops; i++)
        if (m->node[a->paper.op[i].node].op == IR_OP_ATTENTION)
            write_layer(a, &a->paper.op[i], r);
    jw_array_end(&r->w);
    if (a->layers == 0)
        return diag_error(&a->c->diags, spk_span_none, "E0727",
                          "model '%s' has no attention of spikes", m->name);
    jw_object_begin(&r->w, "total");
    write_spiking(&r->w, a->sops, a->dense);
    write_softmax(&r->w, (double)a->macs);
    jw_object_end(&r->w);
    text_row(t, "all", a->sops, (double)a->macs);
    write_published(a, r);
    return SPK_OK;
}

int spk_attention(spk_context *c, const struct spk_attention_options *o, spk_result **out_result)
{
    struct attention a = {.c = c, .o = o};
    struct api_report r;
    *out_result = NULL;
    api_begin(c);
    spk_status status = api_report_begin(&r, "attention");
    if (status == SPK_OK)
        status = attention_all(&a, &r);
    attention_fini(&a);
    return api_report_end(&r, status, false, out_result);
}
