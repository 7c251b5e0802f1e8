/* Synthetic weights: the walk through the network.
 *
 * Nodes are computed in order, for all images at once. At a batch norm its statistics are measured
 * and set; at a neuron the rate is, by the batch norms in front of it or by q, k and v; what
 * follows sees the spikes that came of it, so one pass suffices and the rates told are those that a
 * run over the same images gives. Values are dropped when nothing can ask for them any more.
 * Memory: weights, and the live values of all images. Cost: one run of the images, and about ten
 * evaluations of norms and neurons a layer.                                                      */
#include "passes/synth.h"

#include <math.h>

#include "passes/synth_internal.h"
#include "support/alloc.h"

/* Layers further from the rate than this, relative, are warned of. */
#define FAR 0.1
#define MAX_NAMED 8u

const char *synth_means_name(enum synth_means m)
{
    switch (m) {
    case SYNTH_BATCHNORM:
        return "batchnorm";
    case SYNTH_ATTENTION:
        return "attention";
    case SYNTH_NONE:
        break;
    }
    return "none";
}

void synth_result_fini(struct synth_result *r)
{
    for (uint32_t i = 0; r->channel_rate && i < r->n_nodes; i++)
        spk_free(r->channel_rate[i]);
    spk_free(r->channel_rate);
    spk_free(r->layer);
    *r = (struct synth_result){0};
}

/* Sets the layer of a neuron; all values on the way to it are computed already. */
static spk_status set_layer(struct synth *s, struct synth_group *g)
{
    struct synth_contrast none = {.pattern = SYNTH_HALVES};

    switch (g->means) {
    case SYNTH_BATCHNORM:
        return synth_norm_solve(s, g, s->o->rate, &none);
    case SYNTH_ATTENTION:
        return synth_attention_solve(s, g);
    case SYNTH_NONE:
        break;
    }
    return SPK_OK;
}

static spk_status visit(struct synth *s, uint32_t id)
{
    const struct ir_node *n = &s->m->node[id];
    uint32_t g = s->plan.group_of[id];

    if (n->op == IR_OP_BATCHNORM && g != IR_NONE)
        return synth_norm_measure(s, id);
    SPK_TRY(s->walk->compute(s->at, id));
    if (n->op == IR_OP_NEURON)
        return set_layer(s, &s->plan.group[g]);
    return SPK_OK;
}

static spk_status note_rate(struct synth *s, uint32_t id, struct synth_result *r)
{
    const struct ir_node *n = &s->m->node[id];
    double sum = 0;

    if (n->op != IR_OP_NEURON && !n->recorded)
        return SPK_OK;
    if (!r->channel_rate[id])
        SPK_TRY(spk_alloc_array(n->type.channels, sizeof(double), &r->channel_rate[id]));
    SPK_TRY(s->walk->moments(s->at, id, r->channel_rate[id], NULL));
    for (uint32_t c = 0; c < n->type.channels; c++)
        sum += r->channel_rate[id][c] / n->type.channels;
    if (n->op == IR_OP_NEURON) {
        uint32_t g = s->plan.group_of[id];

        r->layer[g] = (struct synth_layer){id, s->plan.group[g].means, sum};
    }
    return SPK_OK;
}

/* Rates that are final when node id is done: its own, and those of q, k, v that it set again. */
static spk_status note_rates(struct synth *s, uint32_t id, struct synth_result *r)
{
    uint32_t g = s->plan.group_of[id];

    SPK_TRY(note_rate(s, id, r));
    for (uint32_t k = 0; k < 3 && s->m->node[id].op == IR_OP_NEURON; k++) {
        uint32_t o = s->plan.group[g].operand[k];

        if (o != IR_NONE)
            SPK_TRY(note_rate(s, s->plan.group[o].neuron, r));
    }
    return SPK_OK;
}

static spk_status walk_all(struct synth *s, struct synth_result *r)
{
    spk_status status = SPK_OK;

    progress_begin(s->o->progress, "calibrating", s->m->n_nodes);
    for (uint32_t id = 0; id < s->m->n_nodes && status == SPK_OK; id++) {
        status = visit(s, id);
        if (status == SPK_OK)
            status = note_rates(s, id, r);
        for (uint32_t v = 0; v <= id; v++)
            if (s->plan.needed_until[v] == id)
                s->walk->drop(s->at, v);
        if (status == SPK_OK)
            status = progress_update(s->o->progress, id + 1);
    }
    progress_end(s->o->progress);
    return status;
}

/* A value whose last reader is a neuron that is set through q, k and v must outlive the search. */
static spk_status start(struct synth *s, struct engine **engine)
{
    uint32_t widest = 1;

    for (uint32_t i = 0; i < s->m->n_nodes; i++)
        widest = s->m->node[i].type.channels > widest ? s->m->node[i].type.channels : widest;
    SPK_TRY(spk_alloc_array(widest, sizeof *s->mean, &s->mean));
    SPK_TRY(spk_alloc_array(widest, sizeof *s->variance, &s->variance));
    SPK_TRY(synth_plan_init(s->m, &s->plan));
    SPK_TRY(synth_params_fill(s->m, s->o->seed, s->o->pool, &s->param));
    SPK_TRY(s->o->engine->create(s->m, s->o->diags, engine));
    return s->walk->begin(*engine, s->o->input, s->o->pool, s->o->diags, &s->at);
}

static spk_status result_init(const struct synth *s, struct synth_result *r)
{
    r->n_layers = s->plan.n_groups;
    r->n_nodes = s->m->n_nodes;
    SPK_TRY(spk_alloc_array(r->n_layers, sizeof *r->layer, &r->layer));
    return spk_alloc_array(r->n_nodes, sizeof *r->channel_rate, &r->channel_rate);
}

static spk_status warn_far(const struct synth *s, const struct synth_result *r)
{
    struct strbuf list = {0};
    uint32_t n = 0;

    for (uint32_t i = 0; i < r->n_layers; i++) {
        const struct ir_node *node = &s->m->node[r->layer[i].node];

        if (fabs(r->layer[i].rate - s->o->rate) <= FAR * s->o->rate)
            continue;
        if (n++ < MAX_NAMED)
            strbuf_printf(&list, "%s%s %.3g", n > 1 ? ", " : "",
                          node->name ? node->name : "a layer", r->layer[i].rate);
    }
    if (n > MAX_NAMED)
        strbuf_append(&list, ", …");
    if (n)
        diag_warning(s->o->diags, spk_span_none, "W0691",
                     "%u of %u spiking layers are more than a tenth away from the rate %g: %s", n,
                     r->n_layers, s->o->rate, strbuf_cstr(&list));
    spk_status status = list.status;
    strbuf_fini(&list);
    return status;
}

spk_status synth_weights(struct ir_module *m, const struct synth_options *o,
                         struct synth_result *out)
{
    struct synth s = {.o = o, .m = m, .walk = o->engine->walk};
    struct synth_result r = {0};
    struct engine *engine = NULL;
    spk_status status;

    if (!s.walk || o->input->n_images == 0 || !(o->rate > 0.0 && o->rate < 1.0) ||
        m->stage != IR_STAGE_MODEL)
        return diag_internal(o->diags, spk_span_none, "E0692",
                             "synthetic weights of a %s module from %u images at rate %g", m->name,
                             o->input->n_images, o->rate);
    status = start(&s, &engine);
    if (status == SPK_OK)
        status = result_init(&s, &r);
    if (status == SPK_OK)
        status = walk_all(&s, &r);
    if (status == SPK_OK)
        status = warn_far(&s, &r);
    s.walk->end(s.at);
    if (engine)
        o->engine->destroy(engine);
    synth_plan_fini(&s.plan);
    spk_free(s.param);
    spk_free(s.mean);
    spk_free(s.variance);
    if (status == SPK_OK)
        *out = r;
    else
        synth_result_fini(&r);
    return status;
}
