/* From a module to kernels: which nodes are computed together, how values lie in memory.
 *
 * A projection or batch norm whose only reader is a batch norm or neuron is deferred and becomes
 * part of that reader's kernel. Nodes are taken in order, so kernels are, too. Memory: first fit in
 * the order of kernels (native_layout.c). */
#include "backends/llvm/native_plan.h"

#include <string.h>

#include "backends/llvm/native_private.h"
#include "support/alloc.h"

/* ---- the graph ---- */

bool nb_is_alias(const struct ir_node *n)
{
    return n->op == IR_OP_REPEAT || n->op == IR_OP_RESHAPE || n->op == IR_OP_OUTPUT ||
           (n->op == IR_OP_DELAY && n->n_operands == 1) ||
           (n->op == IR_OP_ENCODE && n->a.encode.kind == IR_ENCODE_EVENTS);
}

bool nb_is_head(const struct ir_module *m, const struct ir_node *n)
{
    const struct ir_type *in = &m->node[n->operand[0]].type;

    return n->op == IR_OP_LINEAR && n->n_operands == 1 && in->timesteps == 1 &&
           in->kind == IR_REAL && in->num == IR_F32 && ir_type_positions(in) == 1;
}

bool nb_is_projection(const struct ir_module *m, const struct ir_node *n)
{
    return n->op == IR_OP_CONV2D || (n->op == IR_OP_LINEAR && !nb_is_head(m, n)) ||
           (n->op == IR_OP_ENCODE && n->a.encode.kind == IR_ENCODE_CURRENT);
}

uint32_t nb_through_aliases(const struct ir_module *m, uint32_t id)
{
    while (nb_is_alias(&m->node[id]))
        id = m->node[id].operand[0];
    return id;
}

/* The only reader of a value, aliases skipped; NAT_NONE where there are several or none. */
static uint32_t sole_reader(const struct build *b, uint32_t id)
{
    while (b->n_readers[id] == 1) {
        id = b->reader[id];
        if (!nb_is_alias(&b->p->m->node[id]))
            return id;
    }
    return NAT_NONE;
}

bool nb_deferred(const struct build *b, uint32_t id)
{
    const struct ir_module *m = b->p->m;
    const struct ir_node *n = &m->node[id];
    uint32_t reader = sole_reader(b, id);

    if (reader == NAT_NONE || n->recorded)
        return false;
    if (n->op == IR_OP_BATCHNORM)
        return m->node[reader].op == IR_OP_NEURON;
    return nb_is_projection(m, n) &&
           (m->node[reader].op == IR_OP_NEURON || m->node[reader].op == IR_OP_BATCHNORM);
}

static spk_status find_readers(struct build *b)
{
    const struct ir_module *m = b->p->m;

    SPK_TRY(spk_alloc_array(m->n_nodes, sizeof *b->reader, &b->reader));
    SPK_TRY(spk_alloc_array(m->n_nodes, sizeof *b->n_readers, &b->n_readers));
    for (uint32_t i = 0; i < m->n_nodes; i++) {
        for (uint32_t k = 0; k < m->node[i].n_operands; k++) {
            b->reader[m->node[i].operand[k]] = i;
            b->n_readers[m->node[i].operand[k]]++;
        }
    }
    return SPK_OK;
}

/* Whether every reader of the input takes one element at a time, so that it needs no padding. */
static bool element_wise(const struct build *b, uint32_t id)
{
    const struct ir_module *m = b->p->m;

    for (uint32_t i = id + 1; i < m->n_nodes; i++) {
        for (uint32_t k = 0; k < m->node[i].n_operands; k++)
            if (m->node[i].operand[k] == id &&
                !(nb_is_alias(&m->node[i]) ? element_wise(b, i) : nb_is_projection(m, &m->node[i])))
                return false;
    }
    return true;
}

/* ---- the other ops ---- */

static spk_status input(struct build *b, uint32_t id)
{
    struct nat_plan *p = b->p;
    const struct ir_type *t = &p->m->node[id].type;

    nb_begin(b, NAT_INPUT);
    p->shape[id] = nb_shape_of(t, t->timesteps);
    if (p->shape[id].elem != NAT_BITS && element_wise(b, id))
        p->shape[id].pitch = t->channels;
    p->kernel[id] = (uint32_t)p->kernels.len;
    p->input_items = t->timesteps * ir_type_elements(t);
    SPK_TRY(nb_add_buffer(b, nat_value_bytes(&p->shape[id]), &p->buffer[id]));
    nb_out_is(b, id);
    b->spec.planar = t->layout != IR_NC;
    b->spec.n_in = 1;
    SPK_TRY(vec_push(&b->in, p->shape[id]));
    SPK_TRY(vec_push(&b->operands, (struct nat_ref){.place = NAT_IMAGE}));
    return nb_add_kernel(b, id, ir_type_positions(t), 4096);
}

static spk_status maxpool(struct build *b, uint32_t id)
{
    const struct ir_node *n = &b->p->m->node[id];

    nb_begin(b, NAT_MAXPOOL);
    SPK_TRY(nb_add_operands(b, n));
    SPK_TRY(nb_own_value(b, id, nb_operand_frames(b)));
    nb_out_is(b, id);
    b->spec.kernel_h = b->spec.kernel_w = n->a.pool.kernel;
    b->spec.stride_h = b->spec.stride_w = n->a.pool.stride;
    b->spec.pad_h = b->spec.pad_w = n->a.pool.pad;
    return nb_add_kernel(b, id, ir_type_positions(&n->type), NAT_ROWS);
}

static spk_status attention(struct build *b, uint32_t id)
{
    const struct ir_node *n = &b->p->m->node[id];

    nb_begin(b, NAT_ATTENTION);
    SPK_TRY(nb_add_operands(b, n));
    SPK_TRY(nb_own_value(b, id, nb_operand_frames(b)));
    nb_out_is(b, id);
    b->spec.heads = n->a.attention.heads;
    if (b->p->integer)
        b->spec.unit = n->a.attention.unit;
    else
        b->spec.scale = n->a.attention.scale;
    return nb_add_kernel(b, id, (uint64_t)b->spec.out.frames * b->spec.heads, 1);
}

/* mean: f32 means. readout: f64 counts in a buffer of their own. */
static spk_status reduce(struct build *b, uint32_t id, uint32_t *out_buffer)
{
    struct nat_plan *p = b->p;
    const struct ir_node *n = &p->m->node[id];
    const struct ir_type *from = &p->m->node[n->operand[0]].type;
    bool counts = n->op == IR_OP_READOUT;
    struct nat_shape s;

    nb_begin(b, NAT_REDUCE);
    SPK_TRY(nb_add_operands(b, n));
    s = nb_shape_of(&n->type, 1);
    s.channels = from->channels;
    s.pitch = (uint32_t)nat_align(s.channels, NAT_BLOCK);
    s.elem = counts ? NAT_F64 : NAT_F32;
    b->spec.divisor = counts ? 1.0 : (double)ir_type_positions(from) * from->timesteps;
    b->spec.out = s;
    SPK_TRY(nb_add_buffer(b, nat_value_bytes(&s), out_buffer));
    b->arg[NAT_ARG_OUT] = (struct nat_ref){.place = NAT_ARENA, .buffer = *out_buffer};
    p->features_buffer = *out_buffer;
    p->features_kernel = (uint32_t)p->kernels.len;
    p->features_counts = counts;
    p->channels = s.channels;
    p->divisor = counts ? n->a.readout.divisor : 1.0;
    if (!counts) {
        p->shape[id] = s;
        p->buffer[id] = *out_buffer;
        p->kernel[id] = (uint32_t)p->kernels.len;
    }
    return nb_add_kernel(b, id, s.pitch / NAT_LANES, 1);
}

static spk_status dense(struct build *b, uint32_t id)
{
    struct nat_plan *p = b->p;
    const struct ir_node *n = &p->m->node[id];
    struct nat_const c = {.kind = NAT_C_HEAD, .node = id, .param = n->param[0], .elem = NAT_F32};
    uint32_t counts = NAT_NONE;

    if (n->op == IR_OP_READOUT)
        SPK_TRY(reduce(b, id, &counts));
    c.in = p->m->node[n->operand[0]].type.channels;
    c.out = n->type.channels;
    c.pitch = (uint32_t)nat_align(c.out, NAT_BLOCK);
    c.bytes = (uint64_t)c.pitch * c.in * 4;
    nb_begin(b, NAT_DENSE);
    if (counts == NAT_NONE) {
        SPK_TRY(nb_add_operand(b, n->operand[0]));
    } else {
        struct nat_shape s = nb_shape_of(&p->m->node[n->operand[0]].type, 1);

        s.elem = NAT_F64;
        s.height = s.width = s.steps = 1;
        b->spec.n_in = 1;
        SPK_TRY(vec_push(&b->in, s));
        SPK_TRY(vec_push(&b->operands, (struct nat_ref){.place = NAT_ARENA, .buffer = counts}));
    }
    b->spec.divisor = n->op == IR_OP_READOUT ? n->a.readout.divisor : 1.0;
    b->spec.bias = n->n_params > 1;
    SPK_TRY(nb_add_const(b, c, &b->arg[NAT_ARG_WEIGHT]));
    if (b->spec.bias)
        SPK_TRY(nb_array_const(b, id, 1, NAT_F32, c.pitch, &b->arg[NAT_ARG_BIAS]));
    SPK_TRY(nb_own_value(b, id, 1));
    nb_out_is(b, id);
    return nb_add_kernel(b, id, c.pitch / NAT_LANES, 1);
}

/* The value is looked at when the kernel made last is done, so it must still be there. */
static spk_status keep_alias(struct nat_plan *p, uint32_t id)
{
    struct nat_buffer *b = &p->buffers.data[p->buffer[id]];
    uint32_t last = (uint32_t)p->kernels.len - 1;

    p->kernel[id] = last;
    b->last = b->last > last ? b->last : last;
    return SPK_OK;
}

static spk_status plan_node(struct build *b, uint32_t id)
{
    struct nat_plan *p = b->p;
    const struct ir_node *n = &p->m->node[id];
    uint32_t buffer;

    if (nb_is_alias(n)) {
        p->shape[id] = p->shape[n->operand[0]];
        p->shape[id].steps = n->type.timesteps;
        p->shape[id].height = n->type.height;
        p->shape[id].width = n->type.width;
        p->buffer[id] = p->buffer[n->operand[0]];
        return p->buffer[id] == NAT_NONE ? SPK_OK : keep_alias(p, id);
    }
    if (nb_deferred(b, id))
        return SPK_OK;
    switch (n->op) {
    case IR_OP_INPUT:
        return input(b, id);
    case IR_OP_CONV2D:
    case IR_OP_BATCHNORM:
    case IR_OP_NEURON:
    case IR_OP_ENCODE:
        return nb_chain(b, id);
    case IR_OP_LINEAR:
        return nb_is_head(p->m, n) ? dense(b, id) : nb_chain(b, id);
    case IR_OP_ADD:
    case IR_OP_DELAY:
        return nb_sum(b, id);
    case IR_OP_MAXPOOL:
        return maxpool(b, id);
    case IR_OP_ATTENTION:
        return attention(b, id);
    case IR_OP_MEAN:
        return reduce(b, id, &buffer);
    case IR_OP_READOUT:
        return dense(b, id);
    default:
        return diag_internal(b->d, n->span, "E0742", "native code has no op '%s'",
                             ir_op_info(n->op)->name);
    }
}

static bool has_kernel(const struct ir_node *n)
{
    switch (n->op) {
    case IR_OP_SCALE:
    case IR_OP_MEMBRANE:
    case IR_OP_LAG:
    case IR_OP_MASK:
    case IR_OP_OFFSET:
    case IR_OP_LAYERNORM:
    case IR_OP_GELU:
    case IR_OP_SLICE:
    case IR_OP_PATCHES:
    case IR_OP_SOFTMAX_ATTENTION:
    case IR_OP_MSE:
        return false;
    case IR_OP_MEAN:
        return !n->a.over_time;
    default:
        return true;
    }
}

/* What kernels rely on beyond a verified module. */
static spk_status check(const struct ir_module *m, struct diag_list *d)
{
    uint32_t outputs = 0;

    for (uint32_t i = 0; i < m->n_nodes; i++) {
        const struct ir_node *n = &m->node[i];

        for (uint32_t k = 0; k < n->n_params; k++) {
            const struct ir_param *p = &m->param[n->param[k]];

            if (p->data)
                continue;
            diag_error(d, p->span, "E0743", "no values for '%s'", p->name);
            diag_help_set(d, "give the weights of the model");
            return SPK_ERR_INPUT;
        }
        if (!has_kernel(n))
            return diag_error(d, n->span, "E0741", "native code has no op '%s'",
                              ir_op_info(n->op)->name);
        if (n->op == IR_OP_NEURON &&
            (m->stage == IR_STAGE_QUANTISED ? n->a.neuron.q.current_keep != 0 : n->n_params > 0))
            return diag_error(d, n->span, "E0741",
                              "native code has no neurons with parameters of their own or "
                              "decaying currents");
        outputs += n->op == IR_OP_OUTPUT;
        if (outputs > 1 || (n->op == IR_OP_INPUT && n->a.input.mask) ||
            (n->op == IR_OP_OUTPUT && ir_type_positions(&n->type) > 1))
            return diag_error(d, n->span, "E0741",
                              "native code has one input and one output, which has no positions, "
                              "and no masks");
        if (n->op == IR_OP_INPUT && n->a.input.series)
            return diag_error(d, n->span, "E0741", "native code takes no frames of real values");
        if (n->op == IR_OP_NEURON && m->stage == IR_STAGE_QUANTISED &&
            (n->a.neuron.q.bits < 2 || n->a.neuron.q.bits > 24 || n->n_params < 1))
            return diag_error(d, n->span, "E0741",
                              "native code has integer neurons of 2 to 24 bits");
        if (n->recorded && n->type.kind != IR_SPIKE && n->type.kind != IR_COUNT)
            return diag_error(d, n->span, "E0741", "only spikes and counts can be recorded");
    }
    return SPK_OK;
}

void nat_plan_fini(struct nat_plan *p)
{
    vec_fini(&p->kernels);
    vec_fini(&p->functions);
    vec_fini(&p->shapes);
    vec_fini(&p->args);
    vec_fini(&p->buffers);
    vec_fini(&p->consts);
    spk_free(p->shape);
    spk_free(p->buffer);
    spk_free(p->kernel);
    memset(p, 0, sizeof *p);
}

static spk_status build(struct build *b)
{
    struct nat_plan *p = b->p;
    const struct ir_module *m = p->m;

    SPK_TRY(check(m, b->d));
    SPK_TRY(spk_alloc_array(m->n_nodes, sizeof *p->shape, &p->shape));
    SPK_TRY(spk_alloc_array(m->n_nodes, sizeof *p->buffer, &p->buffer));
    SPK_TRY(spk_alloc_array(m->n_nodes, sizeof *p->kernel, &p->kernel));
    SPK_TRY(find_readers(b));
    for (uint32_t i = 0; i < m->n_nodes; i++) {
        const struct ir_node *n = &m->node[i];

        p->buffer[i] = p->kernel[i] = NAT_NONE;
        if (n->op == IR_OP_OUTPUT || (n->op == IR_OP_READOUT && p->logits_node == NAT_NONE))
            p->logits_node = i;
        SPK_TRY(plan_node(b, i));
    }
    if (p->input_items == 0)
        return diag_error(b->d, spk_span_none, "E0741", "module %s has no input", m->name);
    if (p->logits_node != NAT_NONE) {
        p->classes = (uint32_t)ir_type_elements(&m->node[p->logits_node].type);
        p->buffers.data[p->buffer[p->logits_node]].last = (uint32_t)p->kernels.len;
    }
    if (p->features_buffer != NAT_NONE)
        p->buffers.data[p->features_buffer].last = (uint32_t)p->kernels.len;
    return nat_layout(p);
}

spk_status nat_plan_init(const struct ir_module *m, bool wide, struct diag_list *d,
                         struct nat_plan *out)
{
    struct build b = {.p = out, .d = d};
    spk_status status;

    memset(out, 0, sizeof *out);
    out->m = m;
    out->wide = wide;
    out->integer = m->stage == IR_STAGE_QUANTISED;
    out->logits_node = out->features_buffer = NAT_NONE;
    status = build(&b);
    spk_free(b.reader);
    spk_free(b.n_readers);
    vec_fini(&b.in);
    vec_fini(&b.operands);
    if (status != SPK_OK)
        nat_plan_fini(out);
    return status;
}
