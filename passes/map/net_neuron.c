/* Neurons and the projections in front of them, as populations.
 *
 * A neuron is fed by one projection, or by several whose currents add. What a projection reads may
 * lag: frame t then takes frame t - lag of its source. Sources of feedback are built later; until
 * then their population is IR_NONE. */
#include "passes/map/net_internal.h"

#include <string.h>

#include "support/alloc.h"

static void net_neuron_program(struct net_builder *b, const struct ir_node *n, struct map_pop *p)
{
    p->program = net_fixed(b) ? IMG_PROG_FIXED : IMG_PROG_PROG;
    p->decay = n->a.neuron.q.decay;
    p->current_keep = n->a.neuron.q.current_keep;
    p->soft_reset = n->a.neuron.q.soft_reset;
    p->vth_param = n->param[0];
    p->bias_param = n->n_params > 1 ? n->param[1] : IR_NONE;
}

/* Bias by enable spikes (hard-wired neurons have no static bias): a fine and a coarse weight,
 * whatever the values are, so that other weights need no other axons. */
static void net_enable(struct net_builder *b, struct map_pop *p)
{
    p->enable = p->coarse = net_fixed(b) && p->bias_param != IR_NONE && !p->host_current;
}

/* Modules that were not quantised for the target (netx) may hold integers that it has not. */
static spk_status net_check_integers(const struct net_builder *b, const struct ir_node *n,
                                     const struct ir_node *projection, const struct map_pop *p)
{
    const struct tgt *t = b->net->target;
    const struct tgt_arith *a = &t->arith;
    const int unit = net_unit_shift(t), shift = projection->a.conv.shift;
    const bool data = b->net->module->param[p->vth_param].data != NULL;
    const char *what = NULL;
    if (shift < unit + (a->weight_exp_min > 0 ? a->weight_exp_min : 0) ||
        shift > unit + a->weight_exp_max)
        what = "a weight exponent";
    if (n->a.neuron.q.bits != a->state_bits || p->decay > a->decay_max ||
        (p->current_keep > 0 && net_fixed(b)))
        what = p->current_keep > 0 && net_fixed(b) ? "a decaying synaptic current" : "a decay";
    for (uint32_t c = 0; c < p->channels && net_fixed(b) && data && what == NULL; c++) {
        if ((map_pop_vth(b->net, p, c) - 1) % (1 << a->threshold_shift) != 0)
            what = "a threshold";
        else if (map_pop_bias(b->net, p, c) % 128 != 0)
            what = "a bias that is no multiple of 128";
    }
    if (what == NULL)
        return SPK_OK;
    return diag_nofit(b->diags, n->span, "E0674", "'%s' has %s that '%s' has not", p->name, what,
                      t->name);
}

/* A projection in front of neurons, and what it reads. */
struct incoming {
    uint32_t node;
    VEC(struct map_source) sources;
    VEC(uint32_t) feedback; /* per source: node, IR_NONE */
};

static spk_status add_sources(struct net_builder *b, uint32_t id, uint32_t lag, struct incoming *in)
{
    const struct ir_node *n = &b->net->module->node[id];
    struct u32_vec pops = {0};
    if (n->op == IR_OP_LAG && n->n_operands == 0) {
        SPK_TRY(
            vec_push(&in->sources, ((struct map_source){.pop = IR_NONE, .lag = n->a.lag.steps})));
        return vec_push(&in->feedback, n->a.lag.source);
    }
    if (n->op == IR_OP_LAG)
        return add_sources(b, n->operand[0], lag + n->a.lag.steps, in);
    spk_status status = net_sources(b, id, &pops);
    for (size_t i = 0; i < pops.len && status == SPK_OK; i++) {
        status = vec_push(&in->sources, ((struct map_source){.pop = pops.data[i], .lag = lag}));
        if (status == SPK_OK)
            status = vec_push(&in->feedback, IR_NONE);
    }
    vec_fini(&pops);
    return status;
}

/* Step at which neurons fire whose projections read this. */
static uint32_t start_after(const struct net_builder *b, const struct incoming *in)
{
    uint32_t start = 0;
    for (size_t i = 0; i < in->sources.len; i++) {
        const struct map_source *s = &in->sources.data[i];
        if (s->pop == IR_NONE)
            continue;
        const uint32_t from = b->net->pops.data[s->pop].start;
        const uint32_t after = (from > s->lag ? from - s->lag : 0) + 1;
        start = after > start ? after : start;
    }
    return start;
}

static spk_status push_projection(struct net_builder *b, uint32_t pop, const struct incoming *in)
{
    const struct ir_module *m = b->net->module;
    const struct ir_node *n = &m->node[in->node];
    const struct ir_type *it = &m->node[n->operand[0]].type;
    struct map_proj proj = net_proj_default(pop);
    proj.chan = MAP_CHAN_FULL;
    proj.weight_param = n->param[0];
    proj.weight_name = m->param[n->param[0]].name;
    proj.shift = n->a.conv.shift;
    proj.view_h = it->height;
    proj.view_w = it->width;
    if (n->op == IR_OP_CONV2D) {
        proj.kernel = n->a.conv.kernel_h;
        proj.kernel_w = n->a.conv.kernel_w;
        proj.stride = n->a.conv.stride_h;
        proj.stride_w = n->a.conv.stride_w;
        proj.pad = n->a.conv.pad_h;
        proj.pad_w = n->a.conv.pad_w;
    } else {
        net_view_as_target(b, &proj);
    }
    for (size_t i = 0; i < in->sources.len; i++)
        if (in->feedback.data[i] != IR_NONE)
            SPK_TRY(vec_push(&b->feedbacks,
                             ((struct net_feedback){(uint32_t)b->net->projs.len, (uint32_t)i,
                                                    in->feedback.data[i]})));
    return net_push_sources(b, &proj, in->sources.data, (uint32_t)in->sources.len);
}

static spk_status check_projection(const struct net_builder *b, const struct ir_node *n,
                                   const struct ir_node *in, const struct map_pop *p)
{
    if (in->op == IR_OP_CONV2D && in->type.width != n->type.width)
        return diag_nofit(
            b->diags, n->span, "E0671",
            "'%s' flattens the map of a convolution before its neurons; on a chip the "
            "neurons come first: write tokens(neuron(conv2d(...)))",
            p->name);
    if (in->op != IR_OP_CONV2D && in->op != IR_OP_LINEAR)
        return diag_nofit(b->diags, n->span, "E0657",
                          "'%s' is fed by '%s': only convolutions, linear layers and attention can "
                          "feed neurons on a chip",
                          p->name, ir_op_info(in->op)->name);
    return net_check_integers(b, n, in, p);
}

static spk_status read_projections(struct net_builder *b, uint32_t id, struct map_pop *p,
                                   const uint32_t *nodes, uint32_t count, struct incoming *in)
{
    const struct ir_module *m = b->net->module;
    for (uint32_t k = 0; k < count; k++) {
        const struct ir_node *n = &m->node[nodes[k]];
        in[k].node = nodes[k];
        SPK_TRY(check_projection(b, &m->node[id], n, p));
        for (uint32_t i = 0; i < n->n_operands; i++)
            SPK_TRY(add_sources(b, n->operand[i], 0, &in[k]));
        const uint32_t start = start_after(b, &in[k]);
        p->start = start > p->start ? start : p->start;
    }
    return SPK_OK;
}

/* The population *p with these projections. */
static spk_status net_projections(struct net_builder *b, uint32_t id, struct map_pop *p,
                                  const uint32_t *nodes, uint32_t count)
{
    struct incoming *in = NULL;
    uint32_t pop = 0;
    SPK_TRY(spk_alloc_array(count, sizeof *in, &in));
    spk_status status = read_projections(b, id, p, nodes, count, in);
    if (status == SPK_OK) {
        net_enable(b, p);
        status = net_push_pop(b, p, &pop);
    }
    if (status == SPK_OK)
        b->pop_of[id] = pop;
    for (uint32_t k = 0; k < count && status == SPK_OK; k++)
        status = push_projection(b, pop, &in[k]);
    for (uint32_t k = 0; k < count; k++) {
        vec_fini(&in[k].sources);
        vec_fini(&in[k].feedback);
    }
    spk_free(in);
    return status;
}

spk_status net_neuron(struct net_builder *b, uint32_t id)
{
    struct map_net *net = b->net;
    const struct ir_module *m = net->module;
    const struct ir_node *n = &m->node[id], *in = &m->node[n->operand[0]];
    struct map_pop p = net_pop_default(n->name, IMG_LAYER_NEURON, id);
    if (p.name == NULL && (p.name = arena_printf(&net->arena, "neuron.%u", id)) == NULL)
        return SPK_ERR_NOMEM;
    p.span = n->span;
    p.channels = n->type.channels;
    p.height = n->type.height;
    p.width = n->type.width;
    p.layout = n->type.layout;
    p.recorded = n->recorded;
    SPK_TRY(map_pop_set_rate(net, &p, &b->node_rate[id]));
    net_neuron_program(b, n, &p);
    while (in->op == IR_OP_RESHAPE || in->op == IR_OP_REPEAT)
        in = &m->node[in->operand[0]];
    if (in->op == IR_OP_ATTENTION)
        return net_attention(b, id, (uint32_t)(in - m->node), &p);
    if (in->op == IR_OP_ENCODE && in->a.encode.kind == IR_ENCODE_CURRENT) {
        p.host_current = true;
        p.start = 0;
        net->encode_node = (uint32_t)(in - m->node);
        return net_push_pop(b, &p, &b->pop_of[id]);
    }
    if (in->op == IR_OP_ADD && in->type.kind == IR_CURRENT)
        return net_projections(b, id, &p, in->operand, in->n_operands);
    const uint32_t one = (uint32_t)(in - m->node);
    return net_projections(b, id, &p, &one, 1);
}
