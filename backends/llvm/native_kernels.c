/* The kernels of a plan under construction: shapes of values, buffers, constants, functions.
 *
 * Kernels are added in the order of nodes; the arguments that one is called with are references,
 * which whoever runs it turns into pointers. Functions are found again by comparing specs as bytes:
 * blocks of a deep network share their code.                                                    */
#include <string.h>

#include "backends/llvm/native_private.h"

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

struct nat_shape nb_shape_of(const struct ir_type *t, uint32_t frames)
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

/* ---- making kernels ---- */

spk_status nb_add_buffer(struct build *b, uint64_t bytes, uint32_t *out)
{
    struct nat_buffer buffer = {.bytes = nat_align(bytes, 64),
                                .first = (uint32_t)b->p->kernels.len,
                                .last = (uint32_t)b->p->kernels.len};

    *out = (uint32_t)b->p->buffers.len;
    return vec_push(&b->p->buffers, buffer);
}

spk_status nb_add_const(struct build *b, struct nat_const c, struct nat_ref *out)
{
    c.offset = b->p->const_bytes;
    b->p->const_bytes += nat_align(c.bytes, 64);
    *out = (struct nat_ref){.place = NAT_CONST, .offset = c.offset};
    return vec_push(&b->p->consts, c);
}

spk_status nb_array_const(struct build *b, uint32_t node, uint32_t param, enum nat_elem elem,
                          uint32_t pitch, struct nat_ref *out)
{
    struct nat_const c = {.kind = NAT_C_ARRAY,
                          .node = node,
                          .param = b->p->m->node[node].param[param],
                          .elem = elem,
                          .pitch = pitch,
                          .bytes = (uint64_t)pitch * nat_elem_bits(elem) / 8};

    return nb_add_const(b, c, out);
}

/* Sets the value of node id: a buffer of its own. */
spk_status nb_own_value(struct build *b, uint32_t id, uint32_t frames)
{
    struct nat_plan *p = b->p;

    p->shape[id] = nb_shape_of(&p->m->node[id].type, frames);
    p->kernel[id] = (uint32_t)p->kernels.len;
    return nb_add_buffer(b, nat_value_bytes(&p->shape[id]), &p->buffer[id]);
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
spk_status nb_add_kernel(struct build *b, uint32_t node, uint64_t items, uint32_t tile)
{
    struct nat_plan *p = b->p;
    struct nat_kernel k = {.node = node,
                           .first_arg = (uint32_t)p->args.len,
                           .n_args = NAT_ARG_OPERAND + b->spec.n_in,
                           .items = (uint32_t)items,
                           .tile = tile};

    if (items > UINT32_MAX)
        return diag_error(b->d, p->m->node[node].span, "E0741",
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

void nb_begin(struct build *b, enum nat_kind kind)
{
    memset(&b->spec, 0, sizeof b->spec);
    memset(b->arg, 0, sizeof b->arg);
    vec_clear(&b->in);
    vec_clear(&b->operands);
    b->spec.kind = kind;
}

spk_status nb_add_operand(struct build *b, uint32_t id)
{
    struct nat_plan *p = b->p;

    b->spec.n_in++;
    SPK_TRY(vec_push(&b->in, p->shape[id]));
    return vec_push(&b->operands, (struct nat_ref){.place = NAT_ARENA, .buffer = p->buffer[id]});
}

spk_status nb_add_operands(struct build *b, const struct ir_node *n)
{
    for (uint32_t i = 0; i < n->n_operands; i++)
        SPK_TRY(nb_add_operand(b, n->operand[i]));
    return SPK_OK;
}

uint32_t nb_operand_frames(const struct build *b)
{
    uint32_t frames = 1;

    for (size_t i = 0; i < b->in.len; i++)
        frames = b->in.data[i].frames > frames ? b->in.data[i].frames : frames;
    return frames;
}

void nb_out_is(struct build *b, uint32_t id)
{
    b->spec.out = b->p->shape[id];
    b->arg[NAT_ARG_OUT] = (struct nat_ref){.place = NAT_ARENA, .buffer = b->p->buffer[id]};
}
