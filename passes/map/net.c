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
        return data[map_pop_channel(pop, channel)];
    if (pop->vth_period > 0)
        return pop->vth * (int32_t)(channel % (uint32_t)pop->vth_period) + pop->vth / 2 + 1;
    return pop->vth;
}

int32_t map_pop_bias(const struct map_net *net, const struct map_pop *pop, uint32_t channel)
{
    const int32_t *data =
        pop->bias_param != IR_NONE ? net->module->param[pop->bias_param].data : NULL;
    return data != NULL ? data[map_pop_channel(pop, channel)] : 0;
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

/* Fills the delay of a source whose population is known. */
static spk_status set_source(struct net_builder *b, const struct map_proj *p, struct map_source *s)
{
    const struct map_net *net = b->net;
    const struct map_pop *target = &net->pops.data[p->target], *from = &net->pops.data[s->pop];
    if (from->start + 1 > target->start + s->lag)
        return diag_internal(b->diags, target->span, "E0650",
                             "'%s' (step %u) reads '%s' (step %u): delays are not balanced",
                             target->name, target->start, from->name, from->start);
    s->delay = p->pos == MAP_POS_ENGINE ? 0 : target->start + s->lag - 1 - from->start;
    if (s->delay > tgt_limit_value(net->target, TGT_DELAY))
        return diag_internal(b->diags, target->span, "E0651",
                             "'%s' reads '%s' with a delay of %u steps, more than '%s' has",
                             target->name, from->name, s->delay, net->target->name);
    return SPK_OK;
}

spk_status net_push_sources(struct net_builder *b, const struct map_proj *proj,
                            const struct map_source *sources, uint32_t n_sources)
{
    struct map_net *net = b->net;
    struct map_pop *target = &net->pops.data[proj->target];
    struct map_proj p = *proj;
    p.source = arena_memdup(&net->arena, sources, n_sources * sizeof *sources,
                            _Alignof(struct map_source));
    if (p.source == NULL)
        return SPK_ERR_NOMEM;
    p.n_sources = n_sources;
    for (uint32_t i = 0; i < n_sources; i++)
        if (p.source[i].pop != IR_NONE)
            SPK_TRY(set_source(b, &p, &p.source[i]));
    if (p.block_proj == IR_NONE)
        p.block_proj = (uint32_t)net->projs.len;
    SPK_TRY(vec_push(&net->projs, p));
    target->n_projs++;
    return SPK_OK;
}

spk_status net_push_proj(struct net_builder *b, const struct map_proj *proj,
                         const uint32_t *sources, uint32_t n_sources)
{
    struct map_source *list = NULL;
    SPK_TRY(spk_alloc_array(n_sources, sizeof *list, &list));
    for (uint32_t i = 0; i < n_sources; i++)
        list[i].pop = sources[i];
    spk_status status = net_push_sources(b, proj, list, n_sources);
    spk_free(list);
    return status;
}

/* Whether a population reads source s with another lag, too: connections between the same
 * populations are told apart by nothing but their time. */
static bool reads_twice(const struct map_net *net, const struct map_pop *p,
                        const struct map_source *s)
{
    bool other = false;
    for (uint32_t k = 0; k < p->n_projs; k++) {
        const struct map_proj *j = &net->projs.data[p->proj_first + k];
        for (uint32_t i = 0; i < j->n_sources; i++)
            other = other || (j->source[i].pop == s->pop && j->source[i].lag != s->lag);
    }
    return other;
}

static spk_status check_lags(const struct net_builder *b)
{
    const struct map_net *net = b->net;
    for (size_t i = 0; i < net->projs.len; i++) {
        const struct map_proj *j = &net->projs.data[i];
        const struct map_pop *p = &net->pops.data[j->target];
        for (uint32_t s = 0; s < j->n_sources; s++)
            if (j->source[s].lag > 0 && reads_twice(net, p, &j->source[s]))
                return diag_nofit(b->diags, p->span, "E0675", "'%s' reads '%s' with two delays",
                                  p->name, net->pops.data[j->source[s].pop].name);
    }
    return SPK_OK;
}

spk_status net_close_feedbacks(struct net_builder *b)
{
    for (size_t i = 0; i < b->feedbacks.len; i++) {
        const struct net_feedback *f = &b->feedbacks.data[i];
        struct map_proj *p = &b->net->projs.data[f->proj];
        p->source[f->source].pop = b->pop_of[f->node];
        if (b->pop_of[f->node] == IR_NONE)
            return diag_nofit(b->diags, b->net->module->node[f->node].span, "E0675",
                              "feedback from a value that is no neuron's spikes");
        SPK_TRY(set_source(b, p, &p->source[f->source]));
    }
    return check_lags(b);
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
    if (n->op == IR_OP_LAG)
        return diag_nofit(b->diags, n->span, "E0675",
                          "a delayed value that is read by other than projections");
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

/* ---- pools, relays, events ---- */

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
        const bool graded = !pool && n->type.kind != IR_SPIKE; /* counts, of events without bound */
        p.start = pool ? after : after - 1 + n->a.delay.steps;
        if (graded && t->arith.payload_bits == 0)
            status =
                diag_nofit(b->diags, n->span, "E0658",
                           "a count relay needs graded spikes, which '%s' does not have", t->name);
        if (graded) {
            p.program = IMG_PROG_SUM;
            p.payload_bound = n->type.bound ? n->type.bound : NET_EVENT_BOUND;
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
    for (size_t i = 0; i < net->projs.len;
         i++) /* spikes of the last frames reach nobody's window */
        for (uint32_t k = 0; k < net->projs.data[i].n_sources; k++)
            if (net->projs.data[i].source[k].lag > drain)
                drain = net->projs.data[i].source[k].lag;
    net->interval = net->timesteps + drain;
    net->latency = last + net->timesteps;
    return SPK_OK;
}

spk_status map_net_build(const struct ir_module *module, const struct tgt *target,
                         const struct map_rate *node_rate, struct diag_list *diags,
                         struct map_net *out)
{
    struct net_builder b = {.net = out, .diags = diags, .node_rate = node_rate};
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
        status = net_close_feedbacks(&b);
    if (status == SPK_OK)
        status = net_schedule(&b);
    if (status == SPK_OK && out->readout_node == IR_NONE)
        status = diag_internal(diags, spk_span_none, "E0660", "the module has no read-out");
    spk_free(b.pop_of);
    vec_fini(&b.feedbacks);
    if (status != SPK_OK)
        map_net_fini(out);
    return status;
}

void map_lists_clear(struct map_net *net)
{
    for (size_t i = 0; i < net->lists.len; i++) {
        struct map_list *l = &net->lists.data[i];
        spk_free(l->first);
        spk_free(l->target);
        spk_free(l->need_first);
        spk_free(l->need);
    }
    vec_clear(&net->lists);
}

void map_net_fini(struct map_net *net)
{
    map_lists_clear(net);
    vec_fini(&net->lists);
    vec_fini(&net->pops);
    vec_fini(&net->projs);
    vec_fini(&net->sums);
    arena_fini(&net->arena);
}
