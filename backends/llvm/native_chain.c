/* Kernels of chains: a projection, batch norm or neuron with what was deferred in front of it.
 *
 * Sizes: a call computes at most NAT_ROWS rows (frames x positions); long lists are cut into
 * segments whose weights, at most SLICE_BYTES, stay in the second-level cache while all rows use
 * them. */
#include <string.h>

#include "backends/llvm/native_private.h"

#define SLICE_BYTES ((uint64_t)384 << 10)
#define SCRATCH_BYTES ((uint64_t)12 << 20)

/* ---- projections ---- */

static uint32_t weight_max(const struct ir_param *p)
{
    uint32_t most = 0;

    for (uint64_t i = 0; p->dtype != IR_DT_F32 && i < ir_param_elements(p); i++) {
        int64_t w = p->dtype == IR_DT_I8    ? ((const int8_t *)p->data)[i]
                    : p->dtype == IR_DT_I16 ? ((const int16_t *)p->data)[i]
                                            : ((const int32_t *)p->data)[i];
        uint32_t magnitude = (uint32_t)(w < 0 ? -w : w);

        most = magnitude > most ? magnitude : most;
    }
    return most;
}

/* The width that the sums need, from the largest payloads and weights. */
static enum nat_elem accumulator(const struct build *b, const struct ir_param *w, uint64_t rows)
{
    unsigned __int128 bound = 0;
    uint32_t most = weight_max(w);

    if (!b->p->integer)
        return NAT_F32;
    for (size_t i = 0; i < b->in.len; i++) {
        const struct nat_shape *s = &b->in.data[i];
        uint64_t payload = b->spec.encoder ? 32767u : s->bound ? s->bound : (uint64_t)INT32_MAX;

        bound += (unsigned __int128)payload * rows * most;
    }
    return bound > INT32_MAX ? NAT_I64 : NAT_I32;
}

/* Segments, lists and tile of a projection. */
static void plan_lists(struct build *b, uint64_t positions)
{
    struct nat_spec *s = &b->spec;
    uint32_t taps = s->kernel_h * s->kernel_w, in = b->in.data[0].channels;
    uint64_t row = (uint64_t)in * NAT_BLOCK * nat_elem_bits(s->weight) / 8;

    if (taps * row > SLICE_BYTES && taps > 1)
        s->taps_per_segment = SLICE_BYTES > row ? (uint32_t)(SLICE_BYTES / row) : 1;
    for (size_t i = 0; i < b->in.len; i++) {
        bool first = i == 0 || !nat_same_run(&b->in.data[i - 1], &b->in.data[i]);

        if (nat_run_of(&b->in.data[i]) != NAT_RUN_DENSE && s->taps_per_segment)
            s->segments += (taps + s->taps_per_segment - 1) / s->taps_per_segment;
        else
            s->segments += first;
    }
    s->list = (uint32_t)(b->in.len * taps * in) + 4 * (s->segments + 1);
    s->tile = NAT_ROWS / s->acc_frames ? NAT_ROWS / s->acc_frames : 1;
    while (s->tile > 1 && nat_scratch_bytes(s, b->in.data) > SCRATCH_BYTES)
        s->tile /= 2;
    /* Calls of about equal size, an even number of them where there are several. */
    if (positions > s->tile) {
        uint64_t calls = nat_align((positions + s->tile - 1) / s->tile, 4);

        s->tile = (uint32_t)((positions + calls - 1) / calls);
    } else {
        s->tile = (uint32_t)positions;
    }
}

/* The producer's half of a projection's kernel. */
static spk_status project(struct build *b, uint32_t id)
{
    const struct ir_module *m = b->p->m;
    const struct ir_node *n = &m->node[id];
    const struct ir_attr_conv *conv = n->op == IR_OP_ENCODE ? &n->a.encode.conv : &n->a.conv;
    const struct ir_param *w = &m->param[n->param[0]];
    struct nat_spec *s = &b->spec;
    struct nat_const c = {.kind = NAT_C_ROWS, .node = id, .param = n->param[0]};
    bool window = n->op != IR_OP_LINEAR;

    s->kernel_h = window ? conv->kernel_h : 1;
    s->kernel_w = window ? conv->kernel_w : 1;
    s->stride_h = window ? conv->stride_h : 1;
    s->stride_w = window ? conv->stride_w : 1;
    s->pad_h = window ? conv->pad_h : 0;
    s->pad_w = window ? conv->pad_w : 0;
    s->shift = b->p->integer && n->op != IR_OP_ENCODE ? conv->shift : 0;
    s->weight = w->dtype == IR_DT_F32 ? NAT_F32 : w->dtype == IR_DT_I8 ? NAT_I16 : NAT_I32;
    s->acc_frames = nb_operand_frames(b);
    c.elem = s->weight;
    c.taps = s->kernel_h * s->kernel_w;
    c.in = b->in.data[0].channels;
    c.out = n->type.channels;
    c.pitch = (uint32_t)nat_align(c.out, NAT_BLOCK);
    if ((uint64_t)c.taps * c.in * c.out != ir_param_elements(w) ||
        (uint64_t)c.taps * c.in * b->in.len > (1u << 23))
        return diag_error(b->d, n->span, "E0741", "weights of %s are too many for native code",
                          w->name);
    if (b->p->integer != (w->dtype != IR_DT_F32))
        return diag_internal(b->d, n->span, "E0742", "weights of %s are of the wrong kind",
                             w->name);
    s->acc = accumulator(b, w, (uint64_t)c.taps * c.in);
    c.bytes = ((uint64_t)c.taps * c.in + 1) * c.pitch * nat_elem_bits(c.elem) / 8;
    SPK_TRY(nb_add_const(b, c, &b->arg[NAT_ARG_WEIGHT]));
    s->bias = n->n_params > 1;
    if (s->bias)
        SPK_TRY(nb_array_const(b, id, 1, b->p->integer ? NAT_I32 : NAT_F32, c.pitch,
                               &b->arg[NAT_ARG_BIAS]));
    return SPK_OK;
}

static spk_status project_operands(struct build *b, uint32_t id)
{
    const struct ir_node *n = &b->p->m->node[id];
    struct nat_plan *p = b->p;
    struct nat_shape pixels;
    uint32_t buffer;

    if (n->op != IR_OP_ENCODE) {
        nb_begin(b, NAT_PROJECT);
        return nb_add_operands(b, n);
    }
    /* The pixels first, in a kernel of their own. */
    nb_begin(b, NAT_PIXELS);
    SPK_TRY(nb_add_operand(b, n->operand[0]));
    pixels = b->in.data[0];
    pixels.elem = NAT_I64;
    pixels.pitch = pixels.channels;
    SPK_TRY(nb_add_buffer(b, nat_value_bytes(&pixels), &buffer));
    b->spec.out = pixels;
    b->spec.x_shift = n->a.encode.x_shift;
    b->arg[NAT_ARG_OUT] = (struct nat_ref){.place = NAT_ARENA, .buffer = buffer};
    SPK_TRY(nb_add_kernel(b, id, nat_positions(&pixels), 4096));
    nb_begin(b, NAT_PROJECT);
    b->spec.encoder = true;
    b->spec.out_shift = n->a.encode.out_shift;
    b->spec.m_exp = n->a.encode.m_exp;
    b->spec.m_max = n->a.encode.m_max;
    b->spec.n_in = 1;
    SPK_TRY(vec_push(&b->in, pixels));
    (void)p;
    return vec_push(&b->operands, (struct nat_ref){.place = NAT_ARENA, .buffer = buffer});
}

/* ---- chains ---- */

static spk_status norm(struct build *b, uint32_t id)
{
    uint32_t pitch = (uint32_t)nat_align(b->p->m->node[id].type.channels, NAT_BLOCK);
    struct nat_const c = {.kind = NAT_C_NORM,
                          .node = id,
                          .elem = NAT_F32,
                          .pitch = pitch,
                          .bytes = (uint64_t)pitch * 8};

    b->spec.norm = true;
    return nb_add_const(b, c, &b->arg[NAT_ARG_NORM]);
}

static spk_status neuron(struct build *b, uint32_t id)
{
    const struct ir_node *n = &b->p->m->node[id];
    uint32_t pitch = (uint32_t)nat_align(n->type.channels, NAT_BLOCK);
    struct nat_spec *s = &b->spec;

    b->arg[NAT_ARG_EXPECTED] = (struct nat_ref){.place = NAT_TEACHER};
    if (!b->p->integer) {
        s->neuron = NAT_PROGRAM;
        s->program = n->a.neuron.program;
        return SPK_OK;
    }
    s->neuron = NAT_INTEGER;
    s->decay = n->a.neuron.q.decay;
    s->bits = n->a.neuron.q.bits;
    s->soft_reset = n->a.neuron.q.soft_reset;
    s->offset = n->n_params > 1;
    SPK_TRY(nb_array_const(b, id, 0, NAT_I32, pitch, &b->arg[NAT_ARG_VTH]));
    if (s->offset)
        SPK_TRY(nb_array_const(b, id, 1, NAT_I32, pitch, &b->arg[NAT_ARG_OFFSET]));
    return SPK_OK;
}

/* The kernel whose last node is id: a projection, batch norm or neuron with what was deferred. */
spk_status nb_chain(struct build *b, uint32_t id)
{
    const struct ir_module *m = b->p->m;
    uint32_t first = id, norm_id = NAT_NONE, below;
    uint64_t positions = ir_type_positions(&m->node[id].type);
    bool projects;

    if (m->node[id].op == IR_OP_NEURON) {
        below = nb_through_aliases(m, m->node[id].operand[0]);
        if (m->node[below].op == IR_OP_BATCHNORM && nb_deferred(b, below))
            first = norm_id = below;
    } else if (m->node[id].op == IR_OP_BATCHNORM) {
        norm_id = id;
    }
    if (!nb_is_projection(m, &m->node[first])) {
        below = nb_through_aliases(m, m->node[first].operand[0]);
        if (nb_is_projection(m, &m->node[below]) && nb_deferred(b, below))
            first = below;
    }
    projects = nb_is_projection(m, &m->node[first]);
    if (projects) {
        SPK_TRY(project_operands(b, first));
        SPK_TRY(project(b, first));
    } else {
        nb_begin(b, NAT_POINTWISE);
        SPK_TRY(nb_add_operand(b, m->node[first].operand[0]));
        b->spec.acc = b->p->integer ? NAT_I32 : NAT_F32;
        b->spec.acc_frames = nb_operand_frames(b);
    }
    if (norm_id != NAT_NONE)
        SPK_TRY(norm(b, norm_id));
    if (m->node[id].op == IR_OP_NEURON)
        SPK_TRY(neuron(b, id));
    SPK_TRY(nb_own_value(
        b, id, m->node[id].op == IR_OP_NEURON ? m->node[id].type.timesteps : b->spec.acc_frames));
    nb_out_is(b, id);
    if (projects)
        plan_lists(b, positions);
    else
        b->spec.tile = NAT_ROWS;
    return nb_add_kernel(b, id, positions, b->spec.tile);
}

spk_status nb_sum(struct build *b, uint32_t id)
{
    nb_begin(b, NAT_POINTWISE);
    SPK_TRY(nb_add_operands(b, &b->p->m->node[id]));
    SPK_TRY(nb_own_value(b, id, nb_operand_frames(b)));
    nb_out_is(b, id);
    b->spec.acc_frames = nb_operand_frames(b);
    b->spec.acc = b->spec.out.elem == NAT_F32  ? NAT_F32
                  : b->spec.out.elem == NAT_U8 ? NAT_I32
                                               : NAT_I64;
    b->spec.tile = NAT_ROWS;
    return nb_add_kernel(b, id, ir_type_positions(&b->p->m->node[id].type), NAT_ROWS);
}
