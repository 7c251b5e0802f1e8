/* Module -> populations and projections, attention lowered (docs/mapping.md, section 1).
 *
 * One pass over the nodes in order. `value` of a node is the list of populations whose spikes sum
 * to it: one for a neuron, pool or relay, several for a recorded sum. Conv2d, linear and attention
 * nodes do not become anything themselves: the neuron that follows makes the projection. */
#include "passes/map/net_internal.h"

#include <string.h>

#include "passes/depth.h"
#include "support/alloc.h"

int32_t map_pop_vth(const struct map_net *net, const struct map_pop *pop, uint32_t channel)
{
    const int32_t *data =
        pop->vth_param != IR_NONE ? net->module->param[pop->vth_param].data : NULL;
    if (data != NULL)
        return data[channel];
    if (pop->vth_period > 0)
        return pop->vth * (int32_t)(channel % (uint32_t)pop->vth_period) + pop->vth / 2 + 1;
    return pop->vth;
}

int32_t map_pop_bias(const struct map_net *net, const struct map_pop *pop, uint32_t channel)
{
    const int32_t *data =
        pop->bias_param != IR_NONE ? net->module->param[pop->bias_param].data : NULL;
    return data != NULL ? data[channel] : 0;
}

/* Event counts have no static bound; above this a single one would leave a 24-bit state. */
#define NET_EVENT_BOUND ((1u << 23) - 1)

bool net_fixed(const struct net_builder *b)
{
    return b->net->target->arith.neuron == TGT_NEURON_FIXED;
}

uint8_t net_unit_shift(const struct tgt *t)
{
    return (uint8_t)(t->arith.current_shift + (t->arith.weight_even ? 1 : 0));
}

struct map_pop net_pop_default(const char *name, enum img_layer_kind kind, uint32_t node)
{
    struct map_pop p;
    memset(&p, 0, sizeof p);
    p.name = name;
    p.kind = kind;
    p.node = node;
    p.vth_param = p.bias_param = IR_NONE;
    p.payload_bound = 1;
    p.has_compartments = true;
    p.q = p.k = p.v = IR_NONE;
    return p;
}

void net_gate_program(const struct net_builder *b, struct map_pop *p, int32_t vth)
{
    p->program = net_fixed(b) ? IMG_PROG_FIXED : IMG_PROG_PROG;
    p->decay = b->net->target->arith.decay_max;
    p->vth = vth;
}

spk_status net_push_pop(struct net_builder *b, const struct map_pop *p, uint32_t *out)
{
    *out = (uint32_t)b->net->pops.len;
    SPK_TRY(vec_push(&b->net->pops, *p));
    vec_last(&b->net->pops).proj_first = (uint32_t)b->net->projs.len;
    return SPK_OK;
}

spk_status net_push_proj(struct net_builder *b, const struct map_proj *proj,
                         const uint32_t *sources, uint32_t n_sources)
{
    struct map_net *net = b->net;
    struct map_pop *target = &net->pops.data[proj->target];
    struct map_proj p = *proj;
    p.source = ARENA_NEW_ARRAY(&net->arena, struct map_source, n_sources);
    if (p.source == NULL)
        return SPK_ERR_NOMEM;
    p.n_sources = n_sources;
    for (uint32_t i = 0; i < n_sources; i++) {
        const struct map_pop *s = &net->pops.data[sources[i]];
        if (s->start + 1 > target->start)
            return diag_internal(b->diags, target->span, "E0650",
                                 "'%s' (step %u) reads '%s' (step %u): delays are not balanced",
                                 target->name, target->start, s->name, s->start);
        p.source[i].pop = sources[i];
        p.source[i].delay = p.pos == MAP_POS_ENGINE ? 0 : target->start - 1 - s->start;
        if (p.source[i].delay > tgt_limit_value(net->target, TGT_DELAY))
            return diag_internal(b->diags, target->span, "E0651",
                                 "'%s' reads '%s' with a delay of %u steps, more than '%s' has",
                                 target->name, s->name, p.source[i].delay, net->target->name);
    }
    if (p.block_proj == IR_NONE)
        p.block_proj = (uint32_t)net->projs.len;
    SPK_TRY(vec_push(&net->projs, p));
    target->n_projs++;
    return SPK_OK;
}

spk_status net_sources(struct net_builder *b, uint32_t id, struct u32_vec *out)
{
    const struct ir_node *n = &b->net->module->node[id];
    if (b->pop_of[id] != IR_NONE)
        return vec_push(out, b->pop_of[id]);
    if (n->op == IR_OP_ADD || n->op == IR_OP_RESHAPE) {
        for (uint32_t i = 0; i < n->n_operands; i++)
            SPK_TRY(net_sources(b, n->operand[i], out));
        return SPK_OK;
    }
    return diag_internal(b->diags, n->span, "E0652", "value %u (%s) carries no spikes", id,
                         ir_op_info(n->op)->name);
}

static uint32_t net_start_after(const struct net_builder *b, const struct u32_vec *s)
{
    uint32_t start = 0;
    for (size_t i = 0; i < s->len; i++) {
        uint32_t t = b->net->pops.data[s->data[i]].start + 1;
        if (t > start)
            start = t;
    }
    return start;
}

struct map_proj net_proj_default(uint32_t target)
{
    struct map_proj p;
    memset(&p, 0, sizeof p);
    p.target = target;
    p.weight_param = p.block_proj = IR_NONE;
    p.kernel = p.kernel_w = p.stride = p.stride_w = 1;
    p.weight = 1;
    return p;
}

void net_view_as_target(const struct net_builder *b, struct map_proj *p)
{
    const struct map_pop *t = &b->net->pops.data[p->target];
    p->view_h = t->height;
    p->view_w = t->width;
}

/* ---- ordinary layers ---- */

static void net_neuron_program(struct net_builder *b, const struct ir_node *n, struct map_pop *p)
{
    p->program = net_fixed(b) ? IMG_PROG_FIXED : IMG_PROG_PROG;
    p->decay = n->a.neuron.q.decay;
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

static spk_status net_neuron(struct net_builder *b, uint32_t id)
{
    struct map_net *net = b->net;
    const struct ir_module *m = net->module;
    const struct ir_node *n = &m->node[id], *in = &m->node[n->operand[0]];
    struct map_pop p = net_pop_default(n->name, IMG_LAYER_NEURON, id);
    struct u32_vec sources = {0};
    uint32_t pop;
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
    if (in->op == IR_OP_CONV2D && in->type.width != n->type.width)
        return diag_nofit(
            b->diags, n->span, "E0671",
            "'%s' flattens the map of a convolution before its neurons; on a chip the "
            "neurons come first: write tokens(neuron(conv2d(...)))",
            p.name);
    if (in->op != IR_OP_CONV2D && in->op != IR_OP_LINEAR)
        return diag_nofit(b->diags, n->span, "E0657",
                          "'%s' is fed by '%s': only convolutions, linear layers and attention can "
                          "feed neurons on a chip",
                          p.name, ir_op_info(in->op)->name);
    spk_status status = SPK_OK;
    for (uint32_t i = 0; i < in->n_operands && status == SPK_OK; i++)
        status = net_sources(b, in->operand[i], &sources);
    if (status == SPK_OK) {
        p.start = net_start_after(b, &sources);
        net_enable(b, &p);
        status = net_push_pop(b, &p, &pop);
    }
    if (status == SPK_OK) {
        struct map_proj proj = net_proj_default(pop);
        const struct ir_type *it = &m->node[in->operand[0]].type;
        b->pop_of[id] = pop;
        proj.chan = MAP_CHAN_FULL;
        proj.weight_param = in->param[0];
        proj.weight_name = m->param[in->param[0]].name;
        proj.shift = in->a.conv.shift;
        proj.view_h = it->height;
        proj.view_w = it->width;
        if (in->op == IR_OP_CONV2D) {
            proj.kernel = in->a.conv.kernel_h;
            proj.kernel_w = in->a.conv.kernel_w;
            proj.stride = in->a.conv.stride_h;
            proj.stride_w = in->a.conv.stride_w;
            proj.pad = in->a.conv.pad_h;
            proj.pad_w = in->a.conv.pad_w;
        } else {
            net_view_as_target(b, &proj);
        }
        status = net_push_proj(b, &proj, sources.data, (uint32_t)sources.len);
    }
    vec_fini(&sources);
    return status;
}

/* OR over a window, or a relay (identity, or the sum of its operands on graded chips). */
static spk_status net_pool_or_relay(struct net_builder *b, uint32_t id)
{
    struct map_net *net = b->net;
    const struct ir_node *n = &net->module->node[id];
    const struct tgt *t = net->target;
    const bool pool = n->op == IR_OP_MAXPOOL;
    struct map_pop p = net_pop_default(n->name, pool ? IMG_LAYER_POOL : IMG_LAYER_RELAY, id);
    struct u32_vec sources = {0};
    uint32_t pop = 0;
    if (p.name == NULL)
        p.name = arena_printf(&net->arena, pool ? "pool.%u" : "delay.%u", id);
    if (p.name == NULL)
        return SPK_ERR_NOMEM;
    p.span = n->span;
    p.channels = n->type.channels;
    p.height = n->type.height;
    p.width = n->type.width;
    p.layout = n->type.layout;
    p.recorded = n->recorded;
    SPK_TRY(map_pop_set_rate(net, &p, &b->node_rate[id]));
    spk_status status = SPK_OK;
    for (uint32_t i = 0; i < n->n_operands && status == SPK_OK; i++)
        status = net_sources(b, n->operand[i], &sources);
    if (status == SPK_OK) {
        uint32_t after = net_start_after(b, &sources);
        const bool graded = !pool && n->type.bound > 1;
        p.start = pool ? after : after - 1 + n->a.delay.steps;
        if (graded && t->arith.payload_bits == 0)
            status =
                diag_nofit(b->diags, n->span, "E0658",
                           "a count relay needs graded spikes, which '%s' does not have", t->name);
        if (graded) {
            p.program = IMG_PROG_SUM;
            p.payload_bound = n->type.bound;
        } else {
            net_gate_program(b, &p, (1 << t->arith.threshold_shift) + 1);
        }
        if (status == SPK_OK)
            status = net_push_pop(b, &p, &pop);
        if (status == SPK_OK) {
            struct map_proj proj = net_proj_default(pop);
            b->pop_of[id] = pop;
            proj.chan = MAP_CHAN_SAME;
            proj.shift = graded ? 0 : net_unit_shift(t);
            if (pool) {
                const struct ir_type *it = &net->module->node[n->operand[0]].type;
                proj.kernel = proj.kernel_w = n->a.pool.kernel;
                proj.stride = proj.stride_w = n->a.pool.stride;
                proj.pad = proj.pad_w = n->a.pool.pad;
                proj.view_h = it->height;
                proj.view_w = it->width;
            } else {
                net_view_as_target(b, &proj);
            }
            status = net_push_proj(b, &proj, sources.data, (uint32_t)sources.len);
        }
    }
    vec_fini(&sources);
    return status;
}

static spk_status net_events(struct net_builder *b, uint32_t id)
{
    const struct ir_node *n = &b->net->module->node[id];
    const struct ir_node *in = &b->net->module->node[n->operand[0]];
    struct map_pop p = net_pop_default(in->name ? in->name : "input", IMG_LAYER_INPUT, id);
    if (n->a.encode.kind != IR_ENCODE_EVENTS)
        return SPK_OK; /* the neuron behind it takes the currents */
    p.span = in->span;
    p.channels = n->type.channels;
    p.height = n->type.height;
    p.width = n->type.width;
    p.layout = n->type.layout;
    p.has_compartments = false;
    p.payload_bound = n->type.bound ? n->type.bound : NET_EVENT_BOUND;
    SPK_TRY(map_pop_set_rate(b->net, &p, &b->node_rate[id]));
    return net_push_pop(b, &p, &b->pop_of[id]);
}

static spk_status net_sum(struct net_builder *b, uint32_t id)
{
    const struct ir_node *n = &b->net->module->node[id];
    struct u32_vec terms = {0};
    if (!n->recorded)
        return SPK_OK;
    spk_status status = net_sources(b, id, &terms);
    if (status == SPK_OK) {
        struct map_sum s = {n->name, n->type.layout, n->type.bound, (uint32_t)terms.len,
                            arena_memdup(&b->net->arena, terms.data, terms.len * sizeof *terms.data,
                                         _Alignof(uint32_t))};
        status = s.term ? vec_push(&b->net->sums, s) : SPK_ERR_NOMEM;
    }
    vec_fini(&terms);
    return status;
}

static spk_status net_readout(struct net_builder *b, uint32_t id)
{
    const struct ir_node *n = &b->net->module->node[id];
    struct u32_vec s = {0};
    spk_status status = SPK_OK;
    b->net->readout_node = id;
    for (uint32_t i = 0; i < n->n_operands && status == SPK_OK; i++)
        status = net_sources(b, n->operand[i], &s);
    for (size_t i = 0; i < s.len && status == SPK_OK; i++)
        b->net->pops.data[s.data[i]].readout = true;
    vec_fini(&s);
    return status;
}

static spk_status net_node(struct net_builder *b, uint32_t id)
{
    switch (b->net->module->node[id].op) {
    case IR_OP_NEURON:
        return net_neuron(b, id);
    case IR_OP_MAXPOOL:
    case IR_OP_DELAY:
        return net_pool_or_relay(b, id);
    case IR_OP_ENCODE:
        return net_events(b, id);
    case IR_OP_ADD:
        return net_sum(b, id);
    case IR_OP_READOUT:
        return net_readout(b, id);
    default:
        return SPK_OK;
    }
}

/* Interval between images and the step behind the last spike of image 0. */
static spk_status net_schedule(struct net_builder *b)
{
    struct map_net *net = b->net;
    const uint32_t bits = net->target->arith.state_bits;
    uint32_t drain = 0, last = 0;
    for (size_t i = 0; i < net->pops.len; i++) {
        const struct map_pop *p = &net->pops.data[i];
        if (p->start > last)
            last = p->start;
        if (p->program == IMG_PROG_FIXED && p->kind == IMG_LAYER_NEURON) {
            uint32_t d = depth_drain(bits, p->decay);
            if (d == UINT32_MAX)
                return diag_nofit(b->diags, p->span, "E0659",
                                  "'%s' never forgets (no leak) and '%s' cannot reset neurons "
                                  "between images",
                                  p->name, net->target->name);
            if (d > drain)
                drain = d;
        }
    }
    net->interval = net->timesteps + drain;
    net->latency = last + net->timesteps;
    return SPK_OK;
}

spk_status map_net_build(const struct ir_module *module, const struct tgt *target,
                         const struct map_rate *node_rate, struct diag_list *diags,
                         struct map_net *out)
{
    struct net_builder b = {out, diags, node_rate, NULL};
    memset(out, 0, sizeof *out);
    arena_init(&out->arena, 0);
    out->module = module;
    out->target = target;
    out->ticks = 1;
    out->timesteps = module->timesteps;
    out->encode_node = out->readout_node = IR_NONE;
    SPK_TRY(spk_alloc_array_raw(module->n_nodes, sizeof *b.pop_of, &b.pop_of));
    memset(b.pop_of, 0xff, module->n_nodes * sizeof *b.pop_of);
    spk_status status = SPK_OK;
    for (uint32_t id = 0; id < module->n_nodes && status == SPK_OK; id++)
        status = net_node(&b, id);
    if (status == SPK_OK)
        status = net_schedule(&b);
    if (status == SPK_OK && out->readout_node == IR_NONE)
        status = diag_internal(diags, spk_span_none, "E0660", "the module has no read-out");
    spk_free(b.pop_of);
    if (status != SPK_OK)
        map_net_fini(out);
    return status;
}

void map_net_fini(struct map_net *net)
{
    vec_fini(&net->pops);
    vec_fini(&net->projs);
    vec_fini(&net->sums);
    arena_fini(&net->arena);
}
