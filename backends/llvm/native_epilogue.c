/* What follows the sums of one position: bias, encoder, batch norm, neuron, storing.
 *
 * A neuron's equations become vector code of the model's own program: all steps of NAT_BLOCK
 * neurons run one after another with their states in registers, and the spikes of a step leave as
 * one word. Integer neurons are section 1 of docs/integers.md in 64-bit lanes; a sum that does not
 * fit 32 bits needs no folding here, since wrapping it to the state gives the same.
 * Under a teacher (`forced`) what fired is compared with the expected word, and resets and output
 * follow the expected one. Padding lanes never fire and are never counted.                       */
#include <string.h>

#include "backends/llvm/native_emit.h"

#define GROUPS (NAT_BLOCK / NAT_LANES)
#define STACK 16u
#define TIE 1e-5

/* ---- lanes ---- */

val em_current(const struct em *e, val v64)
{
    typ vector = em_vec(e, e->i64);
    val beyond = em_splat_n(e, em_i64(e, (uint64_t)1 << 30), NAT_LANES);
    val mask = em_splat_n(e, em_i64(e, ((uint64_t)1 << 24) - 1), NAT_LANES);
    val most = em_splat_n(e, em_i64(e, INT32_MAX), NAT_LANES);
    val least = em_splat_n(e, em_i64(e, (uint64_t)(int64_t)INT32_MIN), NAT_LANES);
    val zero = e->l->ConstNull(vector);
    val above = em_add(e, beyond, e->l->BuildAnd(e->b, v64, mask, ""));
    val negated = e->l->BuildAnd(e->b, em_sub(e, zero, v64), mask, "");
    val below = em_sub(e, em_sub(e, zero, beyond), negated);
    val high = e->l->BuildICmp(e->b, LLVMIntSGT, v64, most, "");
    val low = e->l->BuildICmp(e->b, LLVMIntSLT, v64, least, "");
    val out =
        e->l->BuildSelect(e->b, high, above, e->l->BuildSelect(e->b, low, below, v64, ""), "");

    return e->l->BuildTrunc(e->b, out, em_vec(e, e->i32), "");
}

val em_operand_lanes(const struct em *e, const struct nat_shape *in, val base, val lane,
                     enum nat_elem acc)
{
    const struct llvm *l = e->l;
    typ to = em_vec(e, em_type(e, acc));
    bool floats = acc == NAT_F32 || acc == NAT_F64;
    val at, v;

    if (in->elem == NAT_BITS) {
        at = em_at(e, base, l->BuildLShr(e->b, lane, em_i64(e, 3), ""));
        v = l->BuildBitCast(e->b, em_load(e, e->i16, at, 2), em_vec(e, e->i1), "");
        return floats ? l->BuildUIToFP(e->b, v, to, "") : l->BuildZExt(e->b, v, to, "");
    }
    at = em_at(e, base, em_mul(e, lane, nat_elem_bits(in->elem) / 8));
    v = em_load(e, em_vec(e, em_type(e, in->elem)), at, NAT_LANES);
    if (in->elem == NAT_U8)
        return floats ? l->BuildUIToFP(e->b, v, to, "") : l->BuildZExt(e->b, v, to, "");
    if (in->elem == NAT_F32 && acc == NAT_F64)
        return l->BuildFPExt(e->b, v, to, "");
    if (in->elem == NAT_I32 && floats)
        return l->BuildSIToFP(e->b, v, to, "");
    if (in->elem == NAT_I32 && acc == NAT_I64)
        return l->BuildSExt(e->b, v, to, "");
    return v;
}

/* ---- the state of an epilogue ---- */

struct ep {
    struct em *e;
    const struct em_sums *sums;
    val position, block, lane;        /* lane: first channel */
    val state[GROUPS][IR_MAX_STATES]; /* slots */
    val input[GROUPS], lhs[GROUPS], rhs[GROUPS];
    typ vf, vi, vl; /* vectors of f32, i32, i64 */
};

/* Lanes of a per-channel array of 32-bit items, from group v of the block. */
static val channel_lanes(const struct ep *p, uint32_t arg, uint64_t first, uint32_t v, typ type)
{
    const struct em *e = p->e;
    val lane = em_add(e, p->lane, em_i64(e, first + v * NAT_LANES));

    return em_load(e, type, em_at(e, em_arg_n(e, arg), em_mul(e, lane, 4)), 64);
}

/* The valid lanes of the block as a word; NULL: all. */
static val valid_word(const struct ep *p)
{
    const struct em *e = p->e;
    uint32_t rest = e->s->out.channels % NAT_BLOCK;
    val last;

    if (rest == 0)
        return NULL;
    last =
        e->l->BuildICmp(e->b, LLVMIntEQ, p->block, em_i64(e, e->s->out.channels / NAT_BLOCK), "");
    return e->l->BuildSelect(e->b, last, em_i64(e, ((uint64_t)1 << rest) - 1),
                             em_i64(e, UINT64_MAX), "");
}

static val mask_bits(const struct em *e, val mask)
{
    return e->l->BuildZExt(e->b, e->l->BuildBitCast(e->b, mask, e->i16, ""), e->i64, "");
}

/* <16 x i1> of group v of a word. */
static val word_mask(const struct em *e, val word, uint32_t v)
{
    val shifted = e->l->BuildLShr(e->b, word, em_i64(e, v * NAT_LANES), "");

    return e->l->BuildBitCast(e->b, e->l->BuildTrunc(e->b, shifted, e->i16, ""), em_vec(e, e->i1),
                              "");
}

static val join_words(const struct em *e, const val *mask)
{
    val word = mask_bits(e, mask[0]);

    for (uint32_t v = 1; v < GROUPS; v++)
        word = e->l->BuildOr(
            e->b, word, e->l->BuildShl(e->b, mask_bits(e, mask[v]), em_i64(e, v * NAT_LANES), ""),
            "");
    return word;
}

/* counters[which] += bits of word, where there are any. */
static void count_bits(const struct em *e, enum nat_counter which, val word)
{
    val some = e->l->BuildICmp(e->b, LLVMIntNE, word, em_i64(e, 0), "");
    struct em_if i = em_when(e, some);
    val index = em_i64(e, which);
    val at = e->l->BuildGEP2(e->b, e->i64, e->counters, &index, 1, "");
    val n = em_call(e, "llvm.ctpop", e->i64, &word, 1);

    e->l->BuildStore(e->b, em_add(e, e->l->BuildLoad2(e->b, e->i64, at, ""), n), at);
    em_done(e, &i);
}

/* ---- the input of neurons ---- */

static val encoded(const struct ep *p, val sum)
{
    const struct em *e = p->e;
    const struct nat_spec *s = e->s;
    val most = em_splat_n(e, em_i64(e, (uint64_t)(int64_t)s->m_max), NAT_LANES);
    val least = em_splat_n(e, em_i64(e, (uint64_t) - (int64_t)s->m_max), NAT_LANES);
    val shift = em_splat_n(e, em_i64(e, s->out_shift), NAT_LANES);

    if (s->out_shift) {
        val half = em_splat_n(e, em_i64(e, (uint64_t)1 << (s->out_shift - 1)), NAT_LANES);

        sum = e->l->BuildAShr(e->b, em_add(e, sum, half), shift, "");
    }
    sum = e->l->BuildSelect(e->b, e->l->BuildICmp(e->b, LLVMIntSGT, sum, most, ""), most, sum, "");
    sum =
        e->l->BuildSelect(e->b, e->l->BuildICmp(e->b, LLVMIntSLT, sum, least, ""), least, sum, "");
    return e->l->BuildShl(e->b, sum, em_splat_n(e, em_i64(e, s->m_exp), NAT_LANES), "");
}

/* The current of group v at step t: f32, or i64 lanes. */
static val current(const struct ep *p, val t, uint32_t v)
{
    const struct em *e = p->e;
    const struct nat_spec *s = e->s;
    const struct llvm *l = e->l;
    val x = p->sums->get(e, p->sums->ctx, s->acc_frames == 1 ? em_i64(e, 0) : t, v);

    if (s->acc == NAT_F32) {
        if (s->bias)
            x = l->BuildFAdd(e->b, x, channel_lanes(p, NAT_ARG_BIAS, 0, v, p->vf), "");
        if (s->norm) {
            x = l->BuildFMul(e->b, x, channel_lanes(p, NAT_ARG_NORM, 0, v, p->vf), "");
            x = l->BuildFAdd(e->b, x, channel_lanes(p, NAT_ARG_NORM, s->out.pitch, v, p->vf), "");
        }
        return x;
    }
    if (s->acc == NAT_I32)
        x = l->BuildSExt(e->b, x, p->vl, "");
    if (s->shift)
        x = l->BuildShl(e->b, x, em_splat_n(e, em_i64(e, s->shift), NAT_LANES), "");
    if (s->bias)
        x = em_add(e, x,
                   l->BuildSExt(e->b, channel_lanes(p, NAT_ARG_BIAS, 0, v, p->vi), p->vl, ""));
    return s->encoder ? encoded(p, x) : x;
}

/* ---- float programs ---- */

static val evaluate(const struct ep *p, const struct ir_expr *x, uint32_t v)
{
    const struct em *e = p->e;
    const struct llvm *l = e->l;
    val stack[STACK + 1];
    uint32_t top = 0;

    for (uint32_t k = 0; k < x->n; k++) {
        const struct ir_eq *q = &x->code[k];
        val b = top > 0 ? stack[top - 1] : NULL, a = top > 1 ? stack[top - 2] : NULL;

        switch (q->code) {
        case IR_EQ_CONST:
            stack[top++] = em_splat_n(e, em_f32(e, q->k), NAT_LANES);
            continue;
        case IR_EQ_INPUT:
            stack[top++] = p->input[v];
            continue;
        case IR_EQ_STATE:
            stack[top++] = em_get(e, p->vf, p->state[v][q->arg]);
            continue;
        case IR_EQ_NEG:
            stack[top - 1] = l->BuildFNeg(e->b, b, "");
            continue;
        case IR_EQ_ABS:
            stack[top - 1] = em_call(e, "llvm.fabs", p->vf, &b, 1);
            continue;
        case IR_EQ_ADD:
            a = l->BuildFAdd(e->b, a, b, "");
            break;
        case IR_EQ_SUB:
            a = l->BuildFSub(e->b, a, b, "");
            break;
        case IR_EQ_MUL:
            a = l->BuildFMul(e->b, a, b, "");
            break;
        case IR_EQ_DIV:
            a = l->BuildFDiv(e->b, a, b, "");
            break;
        case IR_EQ_MIN:
            a = l->BuildSelect(e->b, l->BuildFCmp(e->b, LLVMRealOLT, b, a, ""), b, a, "");
            break;
        default: /* IR_EQ_MAX */
            a = l->BuildSelect(e->b, l->BuildFCmp(e->b, LLVMRealOGT, b, a, ""), b, a, "");
            break;
        }
        stack[--top - 1] = a;
    }
    return stack[0];
}

static const struct ir_neuron *program(const struct ep *p)
{
    return &p->e->plan->m->neuron[p->e->s->program];
}

/* Charges group v and tells who fires: <16 x i1>. */
static val float_fire(struct ep *p, val t, uint32_t v)
{
    const struct em *e = p->e;
    const struct ir_neuron *n = program(p);

    p->input[v] = current(p, t, v);
    for (uint32_t s = 0; s < n->n_states; s++)
        if (n->charge[s].n)
            em_set(e, p->state[v][s], evaluate(p, &n->charge[s], v));
    p->rhs[v] = evaluate(p, &n->fire_rhs, v);
    p->lhs[v] = evaluate(p, &n->fire_lhs, v);
    return e->l->BuildFCmp(e->b, n->cmp == IR_CMP_GE ? LLVMRealOGE : LLVMRealOGT, p->lhs[v],
                           p->rhs[v], "");
}

static void float_reset(struct ep *p, uint32_t v, val fired)
{
    const struct em *e = p->e;
    const struct ir_neuron *n = program(p);

    for (uint32_t s = 0; s < n->n_states; s++) {
        val old;

        if (n->reset[s].n == 0)
            continue;
        old = em_get(e, p->vf, p->state[v][s]);
        em_set(e, p->state[v][s],
               e->l->BuildSelect(e->b, fired, evaluate(p, &n->reset[s], v), old, ""));
    }
}

/* Wrong spikes are outside unless |lhs - rhs| < TIE, in double precision; NaN counts. */
static val float_outside(const struct ep *p, uint32_t v)
{
    const struct em *e = p->e;
    typ wide = em_vec(e, e->f64);
    val a = e->l->BuildFPExt(e->b, p->lhs[v], wide, ""),
        b = e->l->BuildFPExt(e->b, p->rhs[v], wide, "");
    val difference = e->l->BuildFSub(e->b, a, b, "");
    val distance = em_call(e, "llvm.fabs", wide, &difference, 1);

    return e->l->BuildFCmp(e->b, LLVMRealUGE, distance, em_splat_n(e, em_f64(e, TIE), NAT_LANES),
                           "");
}

/* ---- integer neurons ---- */

/* trunc(v * keep / 4096), towards zero. */
static val decayed(const struct ep *p, val v)
{
    const struct em *e = p->e;
    uint64_t keep = 4096 - (uint64_t)e->s->decay;
    val product, sign, round;

    if (keep == 4096)
        return v;
    product = e->l->BuildMul(e->b, v, em_splat_n(e, em_i64(e, keep), NAT_LANES), "");
    sign = e->l->BuildAShr(e->b, product, em_splat_n(e, em_i64(e, 63), NAT_LANES), "");
    round = e->l->BuildAnd(e->b, sign, em_splat_n(e, em_i64(e, 4095), NAT_LANES), "");
    return e->l->BuildAShr(e->b, em_add(e, product, round), em_splat_n(e, em_i64(e, 12), NAT_LANES),
                           "");
}

static val integer_fire(struct ep *p, val t, uint32_t v, val *out_wrapped)
{
    const struct em *e = p->e;
    const struct llvm *l = e->l;
    uint64_t half = (uint64_t)1 << (e->s->bits - 1);
    val halves = em_splat_n(e, em_i64(e, half), NAT_LANES);
    val limit = em_splat_n(e, em_i64(e, half - 1), NAT_LANES);
    val least = em_splat_n(e, em_i64(e, 1 - half), NAT_LANES);
    val sum = current(p, t, v), u, x;

    if (e->s->offset)
        sum = em_add(e, sum,
                     l->BuildSExt(e->b, channel_lanes(p, NAT_ARG_OFFSET, 0, v, p->vi), p->vl, ""));
    u = l->BuildAnd(e->b, em_add(e, sum, halves), em_splat_n(e, em_i64(e, 2 * half - 1), NAT_LANES),
                    "");
    u = em_sub(e, u, halves);
    *out_wrapped = l->BuildICmp(e->b, LLVMIntNE, u, sum, "");
    x = em_add(e, decayed(p, em_get(e, p->vl, p->state[v][0])), u);
    x = l->BuildSelect(e->b, l->BuildICmp(e->b, LLVMIntSGT, x, limit, ""), limit, x, "");
    x = l->BuildSelect(e->b, l->BuildICmp(e->b, LLVMIntSLT, x, least, ""), least, x, "");
    em_set(e, p->state[v][0], x);
    p->lhs[v] = x;
    p->rhs[v] = l->BuildSExt(e->b, channel_lanes(p, NAT_ARG_VTH, 0, v, p->vi), p->vl, "");
    return l->BuildICmp(e->b, LLVMIntSGE, x, p->rhs[v], "");
}

static void integer_reset(struct ep *p, uint32_t v, val fired)
{
    const struct em *e = p->e;
    val after = e->s->soft_reset ? em_sub(e, p->lhs[v], p->rhs[v]) : e->l->ConstNull(p->vl);

    em_set(e, p->state[v][0], e->l->BuildSelect(e->b, fired, after, p->lhs[v], ""));
}

/* ---- steps ---- */

/* Under a teacher: compares `word` with the expected one, counts, gives the expected one. */
static val obey(struct ep *p, val word, val offset, val valid)
{
    struct em *e = p->e;
    val expected = em_arg_n(e, NAT_ARG_EXPECTED), slot = em_slot(e, e->i64);
    val given = e->l->BuildICmp(e->b, LLVMIntNE, expected, e->l->ConstNull(e->p8), "");
    val outside[GROUPS], wrong;
    struct em_if i;

    em_set(e, slot, word);
    i = em_when(e, given);
    wrong = e->l->BuildXor(e->b, word, em_load(e, e->i64, em_at(e, expected, offset), 8), "");
    if (valid)
        wrong = e->l->BuildAnd(e->b, wrong, valid, "");
    em_set(e, slot, e->l->BuildXor(e->b, word, wrong, ""));
    count_bits(e, NAT_FLIPS, wrong);
    for (uint32_t v = 0; v < GROUPS; v++)
        outside[v] = e->s->neuron == NAT_PROGRAM
                         ? float_outside(p, v)
                         : e->l->BuildICmp(e->b, LLVMIntNE, p->lhs[v], p->rhs[v], "");
    count_bits(e, NAT_OUTSIDE, e->l->BuildAnd(e->b, join_words(e, outside), wrong, ""));
    em_done(e, &i);
    return em_get(e, e->i64, slot);
}

static void neuron_step(struct ep *p, val t)
{
    struct em *e = p->e;
    const struct nat_shape *out = &e->s->out;
    val valid = valid_word(p), fired[GROUPS], wrapped[GROUPS], word, offset;

    for (uint32_t v = 0; v < GROUPS; v++)
        fired[v] =
            e->s->neuron == NAT_PROGRAM ? float_fire(p, t, v) : integer_fire(p, t, v, &wrapped[v]);
    word = join_words(e, fired);
    if (valid)
        word = e->l->BuildAnd(e->b, word, valid, "");
    if (e->s->neuron == NAT_INTEGER) {
        val all = join_words(e, wrapped);

        count_bits(e, NAT_WRAPS, valid ? e->l->BuildAnd(e->b, all, valid, "") : all);
    }
    offset = em_add(e, em_mul(e, t, nat_positions(out)), p->position);
    offset = em_mul(e, em_add(e, em_mul(e, offset, out->pitch / NAT_BLOCK), p->block), 8);
    if (e->forced)
        word = obey(p, word, offset, valid);
    em_store(e, word, em_at(e, em_arg_n(e, NAT_ARG_OUT), offset), 8);
    for (uint32_t v = 0; v < GROUPS; v++) {
        val mask = word_mask(e, word, v);

        if (e->s->neuron == NAT_PROGRAM)
            float_reset(p, v, mask);
        else
            integer_reset(p, v, mask);
    }
}

static void neuron_steps(struct ep *p)
{
    struct em *e = p->e;
    bool floats = e->s->neuron == NAT_PROGRAM;
    uint32_t n_states = floats ? program(p)->n_states : 1;
    typ type = floats ? p->vf : p->vl;
    struct em_loop l;

    for (uint32_t v = 0; v < GROUPS; v++) {
        for (uint32_t s = 0; s < n_states; s++) {
            p->state[v][s] = em_slot(e, type);
            em_set(e, p->state[v][s],
                   floats ? em_splat_n(e, em_f32(e, program(p)->state_init[s]), NAT_LANES)
                          : e->l->ConstNull(type));
        }
    }
    l = em_for(e, em_i64(e, 0), em_i64(e, e->s->out.frames), 1);
    neuron_step(p, l.i);
    em_end(e, &l);
}

static void store_values(struct ep *p)
{
    struct em *e = p->e;
    const struct nat_shape *out = &e->s->out;
    struct em_loop l = em_for(e, em_i64(e, 0), em_i64(e, out->frames), 1);
    val row = em_add(e, em_mul(e, l.i, nat_positions(out)), p->position);
    val first = em_add(e, em_mul(e, row, out->pitch), p->lane);

    for (uint32_t v = 0; v < GROUPS; v++) {
        uint32_t bytes = nat_elem_bits(out->elem) / 8;
        val x = current(p, l.i, v), at = em_add(e, first, em_i64(e, v * NAT_LANES));

        if (out->elem == NAT_U8)
            x = e->l->BuildTrunc(e->b, x, em_vec(e, e->i8), "");
        else if (out->elem == NAT_I32)
            x = em_current(e, x);
        em_store(e, x, em_at(e, em_arg_n(e, NAT_ARG_OUT), em_mul(e, at, bytes)), bytes * NAT_LANES);
    }
    em_end(e, &l);
}

void em_epilogue(struct em *e, val position, val block, const struct em_sums *sums)
{
    struct ep p;

    memset(&p, 0, sizeof p);
    p.e = e;
    p.sums = sums;
    p.position = position;
    p.block = block;
    p.lane = em_mul(e, block, NAT_BLOCK);
    p.vf = em_vec(e, e->f32);
    p.vi = em_vec(e, e->i32);
    p.vl = em_vec(e, e->i64);
    if (e->s->neuron == NAT_NO_NEURON)
        store_values(&p);
    else
        neuron_steps(&p);
}

/* ---- kernels that have nothing in front of it ---- */

struct pointwise {
    val position, lane; /* of the block */
};

static val pointwise_sum(const struct em *e, void *ctx, val t, uint32_t v)
{
    const struct pointwise *w = ctx;
    val lane = em_add(e, w->lane, em_i64(e, v * NAT_LANES)), sum = NULL;

    for (uint32_t i = 0; i < e->s->n_in; i++) {
        const struct nat_shape *in = &e->in[i];
        val row =
            in->frames == 1 ? w->position : em_add(e, em_mul(e, t, nat_positions(in)), w->position);
        uint64_t bytes = (uint64_t)in->pitch * nat_elem_bits(in->elem) / 8;
        val base = em_at(e, em_arg_n(e, NAT_ARG_OPERAND + i), em_mul(e, row, bytes));
        val x = em_operand_lanes(e, in, base, lane, e->s->acc);

        if (!sum)
            sum = x;
        else if (e->s->acc == NAT_F32)
            sum = e->l->BuildFAdd(e->b, sum, x, "");
        else
            sum = em_add(e, sum, x);
    }
    return sum;
}

void em_pointwise(struct em *e)
{
    struct pointwise w;
    struct em_sums sums = {pointwise_sum, &w};
    struct em_loop p = em_for(e, e->begin, e->end, 1);
    struct em_loop b = em_for(e, em_i64(e, 0), em_i64(e, e->s->out.pitch / NAT_BLOCK), 1);

    w.position = p.i;
    w.lane = em_mul(e, b.i, NAT_BLOCK);
    em_epilogue(e, p.i, b.i, &sums);
    em_end(e, &b);
    em_end(e, &p);
}
