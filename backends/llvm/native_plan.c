/* From a module to kernels: which nodes are computed together, how values lie in memory.
 *
 * A projection or batch norm whose only reader is a batch norm or neuron is deferred and becomes
 * part of that reader's kernel. Nodes are taken in order, so kernels are, too. Memory: first fit in
 * the order of kernels (native_layout.c). */
#include "backends/llvm/native_plan.h"

#include <string.h>

#include "backends/llvm/native_private.h"
#include "support/alloc.h"

/* Rows (frames x positions) of one call of a projection, and bytes of weights that its inner loop
 * runs over: they stay in the second-level cache. */
#define ROWS 256u
#define SLICE_BYTES ((uint64_t)384 << 10)
#define SCRATCH_BYTES ((uint64_t)12 << 20)
#define MAX_EVENT 16777216u

/* ---- shapes ---- */

uint32_t nat_elem_bits(enum nat_elem e)
{
    static const uint8_t bits[] = {1, 8, 16, 32, 64, 32, 64};

    return bits[e];
}

uint64_t nat_frame_bytes(const struct nat_shape *s)
{
    return nat_positions(s) * s->pitch * nat_elem_bits(s->elem) / 8;
}

uint64_t nat_value_bytes(const struct nat_shape *s)
{
    return s->frames * nat_frame_bytes(s);
}

static enum nat_elem elem_of(const struct ir_type *t)
{
    if (t->kind == IR_SPIKE || t->kind == IR_COUNT)
        return t->bound == 1 ? NAT_BITS : t->bound && t->bound <= UINT8_MAX ? NAT_U8 : NAT_I32;
    return t->num == IR_I32 ? NAT_I32 : NAT_F32;
}

static struct nat_shape shape_of(const struct ir_type *t, uint32_t frames)
{
    struct nat_shape s;

    memset(&s, 0, sizeof s);
    s.elem = elem_of(t);
    s.frames = frames;
    s.steps = t->timesteps;
    s.channels = t->channels;
    s.pitch = (uint32_t)nat_align(t->channels, NAT_BLOCK);
    s.height = t->height;
    s.width = t->width;
    s.bound = t->kind == IR_SPIKE || t->kind == IR_COUNT ? t->bound : 0;
    return s;
}

enum nat_run nat_run_of(const struct nat_shape *in)
{
    if (in->elem == NAT_BITS)
        return NAT_RUN_BINARY;
    return in->elem == NAT_F32 || in->elem == NAT_I64 ? NAT_RUN_DENSE : NAT_RUN_VALUES;
}

bool nat_same_run(const struct nat_shape *a, const struct nat_shape *b)
{
    return a->elem == b->elem && a->frames == b->frames && nat_run_of(a) != NAT_RUN_DENSE;
}

/* ---- the graph ---- */

static bool is_alias(const struct ir_node *n)
{
    return n->op == IR_OP_REPEAT || n->op == IR_OP_RESHAPE || n->op == IR_OP_OUTPUT ||
           (n->op == IR_OP_DELAY && n->n_operands == 1) ||
           (n->op == IR_OP_ENCODE && n->a.encode.kind == IR_ENCODE_EVENTS);
}

static bool is_head(const struct ir_module *m, const struct ir_node *n)
{
    const struct ir_type *in = &m->node[n->operand[0]].type;

    return n->op == IR_OP_LINEAR && n->n_operands == 1 && in->timesteps == 1 &&
           in->kind == IR_REAL && in->num == IR_F32 && ir_type_positions(in) == 1;
}

static bool is_projection(const struct ir_module *m, const struct ir_node *n)
{
    return n->op == IR_OP_CONV2D || (n->op == IR_OP_LINEAR && !is_head(m, n)) ||
           (n->op == IR_OP_ENCODE && n->a.encode.kind == IR_ENCODE_CURRENT);
}

static uint32_t through_aliases(const struct ir_module *m, uint32_t id)
{
    while (is_alias(&m->node[id]))
        id = m->node[id].operand[0];
    return id;
}

/* The only reader of a value, aliases skipped; NAT_NONE where there are several or none. */
static uint32_t sole_reader(const struct build *b, uint32_t id)
{
    while (b->n_readers[id] == 1) {
        id = b->reader[id];
        if (!is_alias(&b->p->m->node[id]))
            return id;
    }
    return NAT_NONE;
}

static bool deferred(const struct build *b, uint32_t id)
{
    const struct ir_module *m = b->p->m;
    const struct ir_node *n = &m->node[id];
    uint32_t reader = sole_reader(b, id);

    if (reader == NAT_NONE || n->recorded)
        return false;
    if (n->op == IR_OP_BATCHNORM)
        return m->node[reader].op == IR_OP_NEURON;
    return is_projection(m, n) &&
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
                !(is_alias(&m->node[i]) ? element_wise(b, i) : is_projection(m, &m->node[i])))
                return false;
    }
    return true;
}

/* ---- making kernels ---- */

static spk_status add_buffer(struct build *b, uint64_t bytes, uint32_t *out)
{
    struct nat_buffer buffer = {.bytes = nat_align(bytes, 64),
                                .first = (uint32_t)b->p->kernels.len,
                                .last = (uint32_t)b->p->kernels.len};

    *out = (uint32_t)b->p->buffers.len;
    return vec_push(&b->p->buffers, buffer);
}

static spk_status add_const(struct build *b, struct nat_const c, struct nat_ref *out)
{
    c.offset = b->p->const_bytes;
    b->p->const_bytes += nat_align(c.bytes, 64);
    *out = (struct nat_ref){.place = NAT_CONST, .offset = c.offset};
    return vec_push(&b->p->consts, c);
}

static spk_status array_const(struct build *b, uint32_t node, uint32_t param, enum nat_elem elem,
                              uint32_t pitch, struct nat_ref *out)
{
    struct nat_const c = {.kind = NAT_C_ARRAY,
                          .node = node,
                          .param = b->p->m->node[node].param[param],
                          .elem = elem,
                          .pitch = pitch,
                          .bytes = (uint64_t)pitch * nat_elem_bits(elem) / 8};

    return add_const(b, c, out);
}

/* Sets the value of node id: a buffer of its own. */
static spk_status own_value(struct build *b, uint32_t id, uint32_t frames)
{
    struct nat_plan *p = b->p;

    p->shape[id] = shape_of(&p->m->node[id].type, frames);
    p->kernel[id] = (uint32_t)p->kernels.len;
    return add_buffer(b, nat_value_bytes(&p->shape[id]), &p->buffer[id]);
}

/* The function for a spec, an equal one where there is one. */
static spk_status function_of(struct build *b, const struct nat_spec *spec,
                              const struct nat_shape *in, uint32_t *out)
{
    struct nat_plan *p = b->p;
    struct nat_function f = {.spec = *spec, .first_in = (uint32_t)p->shapes.len};

    memcpy(&f.spec, spec, sizeof f.spec);
    for (uint32_t i = 0; i < p->functions.len; i++) {
        const struct nat_function *g = &p->functions.data[i];

        if (memcmp(&g->spec, spec, sizeof *spec) == 0 &&
            memcmp(&p->shapes.data[g->first_in], in, spec->n_in * sizeof *in) == 0) {
            *out = i;
            return SPK_OK;
        }
    }
    SPK_TRY(vec_append(&p->shapes, in, spec->n_in));
    f.scratch = nat_scratch_bytes(&f.spec, in);
    p->scratch_bytes = f.scratch > p->scratch_bytes ? f.scratch : p->scratch_bytes;
    *out = (uint32_t)p->functions.len;
    return vec_push(&p->functions, f);
}

/* Adds the kernel of b->spec with b->in, b->args and the operands' buffers. */
static spk_status add_kernel(struct build *b, uint32_t node, uint64_t items, uint32_t tile)
{
    struct nat_plan *p = b->p;
    struct nat_kernel k = {.node = node,
                           .first_arg = (uint32_t)p->args.len,
                           .n_args = NAT_ARG_OPERAND + b->spec.n_in,
                           .items = (uint32_t)items,
                           .tile = tile};

    if (items > UINT32_MAX)
        return diag_error(b->d, p->m->node[node].span, "E0711",
                          "a value of %llu positions is too large for native code",
                          (unsigned long long)items);
    SPK_TRY(function_of(b, &b->spec, b->in.data, &k.function));
    SPK_TRY(vec_append(&p->args, b->arg, NAT_ARG_OPERAND));
    SPK_TRY(vec_append(&p->args, b->operands.data, b->operands.len));
    for (uint32_t i = 0; i < k.n_args; i++) {
        const struct nat_ref *r = &p->args.data[k.first_arg + i];

        if (r->place == NAT_ARENA)
            p->buffers.data[r->buffer].last = (uint32_t)p->kernels.len;
    }
    return vec_push(&p->kernels, k);
}

static void begin(struct build *b, enum nat_kind kind)
{
    memset(&b->spec, 0, sizeof b->spec);
    memset(b->arg, 0, sizeof b->arg);
    vec_clear(&b->in);
    vec_clear(&b->operands);
    b->spec.kind = kind;
}

static spk_status add_operand(struct build *b, uint32_t id)
{
    struct nat_plan *p = b->p;

    b->spec.n_in++;
    SPK_TRY(vec_push(&b->in, p->shape[id]));
    return vec_push(&b->operands, (struct nat_ref){.place = NAT_ARENA, .buffer = p->buffer[id]});
}

static spk_status add_operands(struct build *b, const struct ir_node *n)
{
    for (uint32_t i = 0; i < n->n_operands; i++)
        SPK_TRY(add_operand(b, n->operand[i]));
    return SPK_OK;
}

static uint32_t operand_frames(const struct build *b)
{
    uint32_t frames = 1;

    for (size_t i = 0; i < b->in.len; i++)
        frames = b->in.data[i].frames > frames ? b->in.data[i].frames : frames;
    return frames;
}

static void out_is(struct build *b, uint32_t id)
{
    b->spec.out = b->p->shape[id];
    b->arg[NAT_ARG_OUT] = (struct nat_ref){.place = NAT_ARENA, .buffer = b->p->buffer[id]};
}

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
    s->tile = ROWS / s->acc_frames ? ROWS / s->acc_frames : 1;
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
    s->acc_frames = operand_frames(b);
    c.elem = s->weight;
    c.taps = s->kernel_h * s->kernel_w;
    c.in = b->in.data[0].channels;
    c.out = n->type.channels;
    c.pitch = (uint32_t)nat_align(c.out, NAT_BLOCK);
    if ((uint64_t)c.taps * c.in * c.out != ir_param_elements(w) ||
        (uint64_t)c.taps * c.in * b->in.len > (1u << 23))
        return diag_error(b->d, n->span, "E0711", "weights of %s are too many for native code",
                          w->name);
    if (b->p->integer != (w->dtype != IR_DT_F32))
        return diag_internal(b->d, n->span, "E0712", "weights of %s are of the wrong kind",
                             w->name);
    s->acc = accumulator(b, w, (uint64_t)c.taps * c.in);
    c.bytes = ((uint64_t)c.taps * c.in + 1) * c.pitch * nat_elem_bits(c.elem) / 8;
    SPK_TRY(add_const(b, c, &b->arg[NAT_ARG_WEIGHT]));
    s->bias = n->n_params > 1;
    if (s->bias)
        SPK_TRY(array_const(b, id, 1, b->p->integer ? NAT_I32 : NAT_F32, c.pitch,
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
        begin(b, NAT_PROJECT);
        return add_operands(b, n);
    }
    /* The pixels first, in a kernel of their own. */
    begin(b, NAT_PIXELS);
    SPK_TRY(add_operand(b, n->operand[0]));
    pixels = b->in.data[0];
    pixels.elem = NAT_I64;
    pixels.pitch = pixels.channels;
    SPK_TRY(add_buffer(b, nat_value_bytes(&pixels), &buffer));
    b->spec.out = pixels;
    b->spec.x_shift = n->a.encode.x_shift;
    b->arg[NAT_ARG_OUT] = (struct nat_ref){.place = NAT_ARENA, .buffer = buffer};
    SPK_TRY(add_kernel(b, id, nat_positions(&pixels), 4096));
    begin(b, NAT_PROJECT);
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
    return add_const(b, c, &b->arg[NAT_ARG_NORM]);
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
    SPK_TRY(array_const(b, id, 0, NAT_I32, pitch, &b->arg[NAT_ARG_VTH]));
    if (s->offset)
        SPK_TRY(array_const(b, id, 1, NAT_I32, pitch, &b->arg[NAT_ARG_OFFSET]));
    return SPK_OK;
}

/* The kernel whose last node is id: a projection, batch norm or neuron with what was deferred. */
static spk_status chain(struct build *b, uint32_t id)
{
    const struct ir_module *m = b->p->m;
    uint32_t first = id, norm_id = NAT_NONE, below;
    uint64_t positions = ir_type_positions(&m->node[id].type);
    bool projects;

    if (m->node[id].op == IR_OP_NEURON) {
        below = through_aliases(m, m->node[id].operand[0]);
        if (m->node[below].op == IR_OP_BATCHNORM && deferred(b, below))
            first = norm_id = below;
    } else if (m->node[id].op == IR_OP_BATCHNORM) {
        norm_id = id;
    }
    if (!is_projection(m, &m->node[first])) {
        below = through_aliases(m, m->node[first].operand[0]);
        if (is_projection(m, &m->node[below]) && deferred(b, below))
            first = below;
    }
    projects = is_projection(m, &m->node[first]);
    if (projects) {
        SPK_TRY(project_operands(b, first));
        SPK_TRY(project(b, first));
    } else {
        begin(b, NAT_POINTWISE);
        SPK_TRY(add_operand(b, m->node[first].operand[0]));
        b->spec.acc = b->p->integer ? NAT_I32 : NAT_F32;
        b->spec.acc_frames = operand_frames(b);
    }
    if (norm_id != NAT_NONE)
        SPK_TRY(norm(b, norm_id));
    if (m->node[id].op == IR_OP_NEURON)
        SPK_TRY(neuron(b, id));
    SPK_TRY(own_value(
        b, id, m->node[id].op == IR_OP_NEURON ? m->node[id].type.timesteps : b->spec.acc_frames));
    out_is(b, id);
    if (projects)
        plan_lists(b, positions);
    else
        b->spec.tile = ROWS;
    return add_kernel(b, id, positions, b->spec.tile);
}

static spk_status sum(struct build *b, uint32_t id)
{
    begin(b, NAT_POINTWISE);
    SPK_TRY(add_operands(b, &b->p->m->node[id]));
    SPK_TRY(own_value(b, id, operand_frames(b)));
    out_is(b, id);
    b->spec.acc_frames = operand_frames(b);
    b->spec.acc = b->spec.out.elem == NAT_F32  ? NAT_F32
                  : b->spec.out.elem == NAT_U8 ? NAT_I32
                                               : NAT_I64;
    b->spec.tile = ROWS;
    return add_kernel(b, id, ir_type_positions(&b->p->m->node[id].type), ROWS);
}

/* ---- the other ops ---- */

static spk_status input(struct build *b, uint32_t id)
{
    struct nat_plan *p = b->p;
    const struct ir_type *t = &p->m->node[id].type;

    begin(b, NAT_INPUT);
    p->shape[id] = shape_of(t, t->timesteps);
    if (p->shape[id].elem != NAT_BITS && element_wise(b, id))
        p->shape[id].pitch = t->channels;
    p->kernel[id] = (uint32_t)p->kernels.len;
    p->input_items = t->timesteps * ir_type_elements(t);
    SPK_TRY(add_buffer(b, nat_value_bytes(&p->shape[id]), &p->buffer[id]));
    out_is(b, id);
    b->spec.planar = t->layout != IR_NC;
    b->spec.n_in = 1;
    SPK_TRY(vec_push(&b->in, p->shape[id]));
    SPK_TRY(vec_push(&b->operands, (struct nat_ref){.place = NAT_IMAGE}));
    return add_kernel(b, id, ir_type_positions(t), 4096);
}

static spk_status maxpool(struct build *b, uint32_t id)
{
    const struct ir_node *n = &b->p->m->node[id];

    begin(b, NAT_MAXPOOL);
    SPK_TRY(add_operands(b, n));
    SPK_TRY(own_value(b, id, operand_frames(b)));
    out_is(b, id);
    b->spec.kernel_h = b->spec.kernel_w = n->a.pool.kernel;
    b->spec.stride_h = b->spec.stride_w = n->a.pool.stride;
    b->spec.pad_h = b->spec.pad_w = n->a.pool.pad;
    return add_kernel(b, id, ir_type_positions(&n->type), ROWS);
}

static spk_status attention(struct build *b, uint32_t id)
{
    const struct ir_node *n = &b->p->m->node[id];

    begin(b, NAT_ATTENTION);
    SPK_TRY(add_operands(b, n));
    SPK_TRY(own_value(b, id, operand_frames(b)));
    out_is(b, id);
    b->spec.heads = n->a.attention.heads;
    if (b->p->integer)
        b->spec.unit = n->a.attention.unit;
    else
        b->spec.scale = n->a.attention.scale;
    return add_kernel(b, id, (uint64_t)b->spec.out.frames * b->spec.heads, 1);
}

/* mean: f32 means. readout: f64 counts in a buffer of their own. */
static spk_status reduce(struct build *b, uint32_t id, uint32_t *out_buffer)
{
    struct nat_plan *p = b->p;
    const struct ir_node *n = &p->m->node[id];
    const struct ir_type *from = &p->m->node[n->operand[0]].type;
    bool counts = n->op == IR_OP_READOUT;
    struct nat_shape s;

    begin(b, NAT_REDUCE);
    SPK_TRY(add_operands(b, n));
    s = shape_of(&n->type, 1);
    s.channels = from->channels;
    s.pitch = (uint32_t)nat_align(s.channels, NAT_BLOCK);
    s.elem = counts ? NAT_F64 : NAT_F32;
    b->spec.divisor = counts ? 1.0 : (double)ir_type_positions(from) * from->timesteps;
    b->spec.out = s;
    SPK_TRY(add_buffer(b, nat_value_bytes(&s), out_buffer));
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
    return add_kernel(b, id, s.pitch / NAT_LANES, 1);
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
    begin(b, NAT_DENSE);
    if (counts == NAT_NONE) {
        SPK_TRY(add_operand(b, n->operand[0]));
    } else {
        struct nat_shape s = shape_of(&p->m->node[n->operand[0]].type, 1);

        s.elem = NAT_F64;
        s.height = s.width = s.steps = 1;
        b->spec.n_in = 1;
        SPK_TRY(vec_push(&b->in, s));
        SPK_TRY(vec_push(&b->operands, (struct nat_ref){.place = NAT_ARENA, .buffer = counts}));
    }
    b->spec.divisor = n->op == IR_OP_READOUT ? n->a.readout.divisor : 1.0;
    b->spec.bias = n->n_params > 1;
    SPK_TRY(add_const(b, c, &b->arg[NAT_ARG_WEIGHT]));
    if (b->spec.bias)
        SPK_TRY(array_const(b, id, 1, NAT_F32, c.pitch, &b->arg[NAT_ARG_BIAS]));
    SPK_TRY(own_value(b, id, 1));
    out_is(b, id);
    return add_kernel(b, id, c.pitch / NAT_LANES, 1);
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

    if (is_alias(n)) {
        p->shape[id] = p->shape[n->operand[0]];
        p->shape[id].steps = n->type.timesteps;
        p->shape[id].height = n->type.height;
        p->shape[id].width = n->type.width;
        p->buffer[id] = p->buffer[n->operand[0]];
        return p->buffer[id] == NAT_NONE ? SPK_OK : keep_alias(p, id);
    }
    if (deferred(b, id))
        return SPK_OK;
    switch (n->op) {
    case IR_OP_INPUT:
        return input(b, id);
    case IR_OP_CONV2D:
    case IR_OP_BATCHNORM:
    case IR_OP_NEURON:
    case IR_OP_ENCODE:
        return chain(b, id);
    case IR_OP_LINEAR:
        return is_head(p->m, n) ? dense(b, id) : chain(b, id);
    case IR_OP_ADD:
    case IR_OP_DELAY:
        return sum(b, id);
    case IR_OP_MAXPOOL:
        return maxpool(b, id);
    case IR_OP_ATTENTION:
        return attention(b, id);
    case IR_OP_MEAN:
        return reduce(b, id, &buffer);
    case IR_OP_READOUT:
        return dense(b, id);
    default:
        return diag_internal(b->d, n->span, "E0712", "native code has no op '%s'",
                             ir_op_info(n->op)->name);
    }
}

/* What kernels rely on beyond a verified module. */
static spk_status check(const struct ir_module *m, struct diag_list *d)
{
    for (uint32_t i = 0; i < m->n_nodes; i++) {
        const struct ir_node *n = &m->node[i];

        for (uint32_t k = 0; k < n->n_params; k++) {
            const struct ir_param *p = &m->param[n->param[k]];

            if (p->data)
                continue;
            diag_error(d, p->span, "E0713", "no values for '%s'", p->name);
            diag_help_set(d, "give the weights of the model");
            return SPK_ERR_INPUT;
        }
        if (n->op == IR_OP_NEURON && m->stage == IR_STAGE_QUANTISED &&
            (n->a.neuron.q.bits < 2 || n->a.neuron.q.bits > 24 || n->n_params < 1))
            return diag_error(d, n->span, "E0711",
                              "native code has integer neurons of 2 to 24 bits");
        if (n->recorded && n->type.kind != IR_SPIKE && n->type.kind != IR_COUNT)
            return diag_error(d, n->span, "E0711", "only spikes and counts can be recorded");
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
        return diag_error(b->d, spk_span_none, "E0711", "module %s has no input", m->name);
    if (p->logits_node != NAT_NONE) {
        p->classes = (uint32_t)ir_type_elements(&m->node[p->logits_node].type);
        p->buffers.data[p->buffer[p->logits_node]].last = (uint32_t)p->kernels.len;
    }
    if (p->features_buffer != NAT_NONE)
        p->buffers.data[p->features_buffer].last = (uint32_t)p->kernels.len;
    return nat_layout(p);
}

spk_status nat_plan_init(const struct ir_module *m, struct diag_list *d, struct nat_plan *out)
{
    struct build b = {.p = out, .d = d};
    spk_status status;

    memset(out, 0, sizeof *out);
    out->m = m;
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
