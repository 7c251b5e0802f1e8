/* The kernels beside projections: input, pixels of the integer encoder, max-pool, attention, sums
 * over frames and positions, and the head.
 *
 * Attention is exact in integers: k^T v of a head is summed first, from the rows of v that the
 * spikes of k select, then the rows of k^T v that those of q select (32 bits, which hold tokens
 * times channels; 64 where operands are counts). Rounding of pixels is half to even by adding and
 * taking away 1.5 * 2^52, after clipping, which does not change the result. Sums and the head are
 * in double precision, in index order, lanes over channels. */
#include <string.h>

#include "backends/llvm/native_emit.h"

#define ROUNDER 6755399441055744.0
#define PIXEL_MAX 32767.0

/* ---- input ---- */

static val pixel(const struct em *e, val frame, val position, val channel)
{
    const struct nat_shape *out = &e->s->out;
    uint64_t positions = nat_positions(out), frame_size = positions * out->channels;
    val in_frame = e->s->planar ? em_add(e, em_mul(e, channel, positions), position)
                                : em_add(e, em_mul(e, position, out->channels), channel);
    val index = em_add(e, em_mul(e, frame, frame_size), in_frame);

    return em_load(e, e->f32, em_at(e, em_arg_n(e, NAT_ARG_OPERAND), em_mul(e, index, 4)), 4);
}

static void input_bits(const struct em *e, val frame, val position, val row)
{
    const struct nat_shape *out = &e->s->out;
    val slot = em_slot(e, e->i64);
    struct em_loop w = em_for(e, em_i64(e, 0), em_i64(e, out->pitch / NAT_BLOCK), 1), c;
    val first = em_mul(e, w.i, NAT_BLOCK), limit = em_add(e, first, em_i64(e, NAT_BLOCK)), bit, at;
    val channels = em_i64(e, out->channels);

    limit = e->l->BuildSelect(e->b, e->l->BuildICmp(e->b, LLVMIntULT, limit, channels, ""), limit,
                              channels, "");
    em_set(e, slot, em_i64(e, 0));
    c = em_for(e, first, limit, 1);
    bit = e->l->BuildFCmp(e->b, LLVMRealUNE, pixel(e, frame, position, c.i), em_f32(e, 0.0f), "");
    bit = e->l->BuildShl(e->b, e->l->BuildZExt(e->b, bit, e->i64, ""), em_sub(e, c.i, first), "");
    em_set(e, slot, e->l->BuildOr(e->b, em_get(e, e->i64, slot), bit, ""));
    em_end(e, &c);
    at = em_add(e, em_mul(e, row, out->pitch / NAT_BLOCK), w.i);
    em_store(e, em_get(e, e->i64, slot), em_at(e, em_arg_n(e, NAT_ARG_OUT), em_mul(e, at, 8)), 8);
    em_end(e, &w);
}

static void input_values(const struct em *e, val frame, val position, val row)
{
    const struct nat_shape *out = &e->s->out;
    typ type = em_type(e, out->elem);
    uint32_t bytes = nat_elem_bits(out->elem) / 8;
    struct em_loop c = em_for(e, em_i64(e, 0), em_i64(e, out->channels), 1);
    val x = pixel(e, frame, position, c.i), at;

    if (out->elem != NAT_F32)
        x = e->l->BuildFPToSI(e->b, x, e->i32, "");
    if (out->elem == NAT_U8)
        x = e->l->BuildTrunc(e->b, x, e->i8, "");
    at = em_add(e, em_mul(e, row, out->pitch), c.i);
    em_store(e, x, em_at(e, em_arg_n(e, NAT_ARG_OUT), em_mul(e, at, bytes)), bytes);
    em_end(e, &c);
    if (out->pitch == out->channels)
        return;
    c = em_for(e, em_i64(e, out->channels), em_i64(e, out->pitch), 1);
    at = em_add(e, em_mul(e, row, out->pitch), c.i);
    em_store(e, e->l->ConstNull(type), em_at(e, em_arg_n(e, NAT_ARG_OUT), em_mul(e, at, bytes)),
             bytes);
    em_end(e, &c);
}

void em_input(struct em *e)
{
    const struct nat_shape *out = &e->s->out;
    struct em_loop p = em_for(e, e->begin, e->end, 1);
    struct em_loop f = em_for(e, em_i64(e, 0), em_i64(e, out->frames), 1);
    val row = em_add(e, em_mul(e, f.i, nat_positions(out)), p.i);

    if (out->elem == NAT_BITS)
        input_bits(e, f.i, p.i, row);
    else
        input_values(e, f.i, p.i, row);
    em_end(e, &f);
    em_end(e, &p);
}

void em_pixels(struct em *e)
{
    const struct nat_shape *in = &e->in[0], *out = &e->s->out;
    const struct llvm *l = e->l;
    struct em_loop p = em_for(e, e->begin, e->end, 1);
    struct em_loop c = em_for(e, em_i64(e, 0), em_i64(e, out->channels), 1);
    val from = em_add(e, em_mul(e, p.i, in->pitch), c.i), x, at;

    x = em_load(e, e->f32, em_at(e, em_arg_n(e, NAT_ARG_OPERAND), em_mul(e, from, 4)), 4);
    x = l->BuildFPExt(e->b, x, e->f64, "");
    x = l->BuildFMul(e->b, x, em_f64(e, (double)((uint64_t)1 << e->s->x_shift)), "");
    x = l->BuildSelect(e->b, l->BuildFCmp(e->b, LLVMRealOGT, x, em_f64(e, PIXEL_MAX), ""),
                       em_f64(e, PIXEL_MAX), x, "");
    x = l->BuildSelect(e->b, l->BuildFCmp(e->b, LLVMRealOLT, x, em_f64(e, -PIXEL_MAX), ""),
                       em_f64(e, -PIXEL_MAX), x, "");
    x = l->BuildFAdd(e->b, x, em_f64(e, ROUNDER), "");
    x = l->BuildFSub(e->b, x, em_f64(e, ROUNDER), "");
    at = em_add(e, em_mul(e, p.i, out->pitch), c.i);
    em_store(e, l->BuildFPToSI(e->b, x, e->i64, ""),
             em_at(e, em_arg_n(e, NAT_ARG_OUT), em_mul(e, at, 8)), 8);
    em_end(e, &c);
    em_end(e, &p);
}

/* ---- max-pool ---- */

/* One word of bits or NAT_LANES values from everything in the window. */
static void pool_unit(const struct em *e, val frame, val y0, val x0, val unit, val row)
{
    const struct nat_shape *in = &e->in[0], *out = &e->s->out;
    const struct llvm *l = e->l;
    bool bits = in->elem == NAT_BITS;
    typ type = bits ? e->i64 : em_vec(e, em_type(e, in->elem));
    uint32_t bytes = bits ? 8 : NAT_LANES * nat_elem_bits(in->elem) / 8;
    uint64_t units = bits ? in->pitch / NAT_BLOCK : in->pitch / NAT_LANES;
    val best = em_slot(e, type), first = em_slot(e, e->i1), base = em_arg_n(e, NAT_ARG_OPERAND), x;
    struct em_loop ky, kx;
    struct em_if i;
    val y, xx, inside, at, old;

    em_set(e, best, l->ConstNull(type));
    em_set(e, first, l->ConstInt(e->i1, 1, 0));
    if (in->frames > 1)
        base = em_at(e, base, em_mul(e, frame, nat_frame_bytes(in)));
    ky = em_for(e, em_i64(e, 0), em_i64(e, e->s->kernel_h), 1);
    kx = em_for(e, em_i64(e, 0), em_i64(e, e->s->kernel_w), 1);
    y = em_add(e, y0, ky.i);
    xx = em_add(e, x0, kx.i);
    inside = l->BuildAnd(e->b, l->BuildICmp(e->b, LLVMIntULT, y, em_i64(e, in->height), ""),
                         l->BuildICmp(e->b, LLVMIntULT, xx, em_i64(e, in->width), ""), "");
    i = em_when(e, inside);
    at = em_add(e, em_mul(e, em_add(e, em_mul(e, y, in->width), xx), units), unit);
    x = em_load(e, type, em_at(e, base, em_mul(e, at, bytes)), bits ? 8 : 16);
    old = em_get(e, type, best);
    if (bits) {
        x = l->BuildOr(e->b, old, x, "");
    } else {
        val larger =
            in->elem == NAT_F32
                ? l->BuildFCmp(e->b, LLVMRealOGT, x, old, "")
                : l->BuildICmp(e->b, in->elem == NAT_U8 ? LLVMIntUGT : LLVMIntSGT, x, old, "");

        old = l->BuildSelect(e->b, em_get(e, e->i1, first), x, old, "");
        x = l->BuildSelect(e->b, larger, x, old, "");
    }
    em_set(e, best, x);
    em_set(e, first, l->ConstInt(e->i1, 0, 0));
    em_done(e, &i);
    em_end(e, &kx);
    em_end(e, &ky);
    at = em_add(e, em_mul(e, row, out->pitch / (bits ? NAT_BLOCK : NAT_LANES)), unit);
    em_store(e, em_get(e, type, best), em_at(e, em_arg_n(e, NAT_ARG_OUT), em_mul(e, at, bytes)),
             bits ? 8 : 16);
}

void em_maxpool(struct em *e)
{
    const struct nat_shape *out = &e->s->out;
    uint32_t lanes = out->elem == NAT_BITS ? NAT_BLOCK : NAT_LANES;
    struct em_loop p = em_for(e, e->begin, e->end, 1), f, u;
    val y0 = em_mul(e, e->l->BuildUDiv(e->b, p.i, em_i64(e, out->width), ""), e->s->stride_h);
    val x0 = em_mul(e, e->l->BuildURem(e->b, p.i, em_i64(e, out->width), ""), e->s->stride_w);

    y0 = em_sub(e, y0, em_i64(e, e->s->pad_h));
    x0 = em_sub(e, x0, em_i64(e, e->s->pad_w));
    f = em_for(e, em_i64(e, 0), em_i64(e, out->frames), 1);
    u = em_for(e, em_i64(e, 0), em_i64(e, out->pitch / lanes), 1);
    pool_unit(e, f.i, y0, x0, u.i, em_add(e, em_mul(e, f.i, nat_positions(out)), p.i));
    em_end(e, &u);
    em_end(e, &f);
    em_end(e, &p);
}

/* ---- attention ---- */

struct head {
    uint64_t tokens;
    uint32_t d, wide; /* channels of a head, and in memory */
    enum nat_elem elem;
    uint32_t bytes;
    typ type, vector;
    val v, counts, kv; /* [tokens][wide], [wide], [d][wide] */
    val frame, first;  /* first channel */
};

static bool narrow_counts(const struct em *e, const struct head *h)
{
    for (uint32_t i = 0; i < 3; i++)
        if (e->in[i].elem != NAT_BITS)
            return false;
    return h->tokens * h->d <= INT32_MAX;
}

/* Where the channels of token n of operand i lie. */
static val token_at(const struct em *e, const struct head *h, uint32_t i, val n)
{
    const struct nat_shape *in = &e->in[i];
    val base = em_arg_n(e, NAT_ARG_OPERAND + i);

    if (in->frames > 1)
        base = em_at(e, base, em_mul(e, h->frame, nat_frame_bytes(in)));
    return em_at(e, base, em_mul(e, n, (uint64_t)in->pitch * nat_elem_bits(in->elem) / 8));
}

/* One channel as an integer of the head's type. */
static val element(const struct em *e, const struct head *h, uint32_t i, val token, val channel)
{
    const struct nat_shape *in = &e->in[i];
    const struct llvm *l = e->l;
    uint32_t bytes = nat_elem_bits(in->elem) / 8;
    val x;

    if (in->elem == NAT_BITS) {
        x = em_load(e, e->i8, em_at(e, token, l->BuildLShr(e->b, channel, em_i64(e, 3), "")), 1);
        x = l->BuildZExt(e->b, x, e->i64, "");
        x = l->BuildLShr(e->b, x, l->BuildAnd(e->b, channel, em_i64(e, 7), ""), "");
        x = l->BuildAnd(e->b, x, em_i64(e, 1), "");
        return h->elem == NAT_I64 ? x : l->BuildTrunc(e->b, x, h->type, "");
    }
    x = em_load(e, em_type(e, in->elem), em_at(e, token, em_mul(e, channel, bytes)), bytes);
    if (in->elem == NAT_F32)
        return l->BuildFPToSI(e->b, x, h->type, "");
    return in->elem == NAT_U8 ? l->BuildZExt(e->b, x, h->type, "")
                              : l->BuildSExt(e->b, x, h->type, "");
}

static val row_of(const struct em *e, const struct head *h, val base, val n)
{
    return em_at(e, base, em_mul(e, n, (uint64_t)h->wide * h->bytes));
}

static val lanes_of(const struct em *e, const struct head *h, val row, uint32_t lane)
{
    return em_at(e, row, em_i64(e, (uint64_t)lane * h->bytes));
}

static void clear_rows(const struct em *e, const struct head *h, val base, uint64_t rows)
{
    struct em_loop n = em_for(e, em_i64(e, 0), em_i64(e, rows), 1);

    for (uint32_t c = 0; c < h->wide; c += NAT_LANES)
        em_store(e, e->l->ConstNull(h->vector), lanes_of(e, h, row_of(e, h, base, n.i), c), 4);
    em_end(e, &n);
}

/* v of the head as integers. */
static void spread_v(const struct em *e, const struct head *h)
{
    struct em_loop n, c;
    val token, row;

    if (h->d % NAT_LANES)
        clear_rows(e, h, h->v, h->tokens);
    n = em_for(e, em_i64(e, 0), em_i64(e, h->tokens), 1);
    token = token_at(e, h, 2, n.i);
    row = row_of(e, h, h->v, n.i);
    if (h->d % NAT_LANES == 0 && e->in[2].elem == NAT_BITS) {
        for (uint32_t k = 0; k < h->d; k += NAT_LANES)
            em_store(
                e,
                em_operand_lanes(e, &e->in[2], token, em_add(e, h->first, em_i64(e, k)), h->elem),
                lanes_of(e, h, row, k), 4);
    } else {
        c = em_for(e, em_i64(e, 0), em_i64(e, h->d), 1);
        em_store(e, element(e, h, 2, token, em_add(e, h->first, c.i)),
                 em_at(e, row, em_mul(e, c.i, h->bytes)), h->bytes);
        em_end(e, &c);
    }
    em_end(e, &n);
}

/* to += factor * from, a row each, where factor is not 0. */
static void add_row(const struct em *e, const struct head *h, val factor, val from, val to)
{
    val some = e->l->BuildICmp(e->b, LLVMIntNE, factor, e->l->ConstNull(h->type), "");
    struct em_if i = em_when(e, some);
    val f = em_splat(e, factor);

    for (uint32_t c = 0; c < h->wide; c += NAT_LANES) {
        val x = em_load(e, h->vector, lanes_of(e, h, from, c), 4);
        val old = em_load(e, h->vector, lanes_of(e, h, to, c), 4);

        em_store(e, em_add(e, old, h->elem == NAT_I32 ? x : e->l->BuildMul(e->b, f, x, "")),
                 lanes_of(e, h, to, c), 4);
    }
    em_done(e, &i);
}

static val attended(const struct em *e, const struct head *h, val counts)
{
    const struct llvm *l = e->l;
    val unit;

    if (!e->plan->integer) {
        val x = l->BuildSIToFP(e->b, counts, em_vec(e, e->f32), "");

        return l->BuildFMul(e->b, em_splat_n(e, em_f32(e, e->s->scale), NAT_LANES), x, "");
    }
    if (h->elem == NAT_I32)
        counts = l->BuildSExt(e->b, counts, em_vec(e, e->i64), "");
    unit = em_splat_n(e, em_i64(e, (uint64_t)(int64_t)e->s->unit), NAT_LANES);
    return em_current(e, l->BuildMul(e->b, counts, unit, ""));
}

static void put_token(const struct em *e, const struct head *h, val n)
{
    const struct nat_shape *out = &e->s->out;
    val row = em_add(e, em_mul(e, h->frame, h->tokens), n);
    val at = em_add(e, em_mul(e, row, out->pitch), h->first);
    val to = em_at(e, em_arg_n(e, NAT_ARG_OUT), em_mul(e, at, 4));

    for (uint32_t c = 0; c < h->wide; c += NAT_LANES) {
        val x = attended(e, h, em_load(e, h->vector, lanes_of(e, h, h->counts, c), 4));

        if (c + NAT_LANES <= h->d) {
            em_store(e, x, em_at(e, to, em_i64(e, c * 4)), 4);
            continue;
        }
        for (uint32_t k = c; k < h->d; k++)
            em_store(e, e->l->BuildExtractElement(e->b, x, em_i32(e, k - c), ""),
                     em_at(e, to, em_i64(e, k * 4)), 4);
    }
}

/* One item: a head of a frame. */
static void attend(const struct em *e, const struct head *h)
{
    struct em_loop n, i;

    spread_v(e, h);
    clear_rows(e, h, h->kv, h->d);
    n = em_for(e, em_i64(e, 0), em_i64(e, h->tokens), 1);
    i = em_for(e, em_i64(e, 0), em_i64(e, h->d), 1);
    add_row(e, h, element(e, h, 1, token_at(e, h, 1, n.i), em_add(e, h->first, i.i)),
            row_of(e, h, h->v, n.i), row_of(e, h, h->kv, i.i));
    em_end(e, &i);
    em_end(e, &n);
    n = em_for(e, em_i64(e, 0), em_i64(e, h->tokens), 1);
    clear_rows(e, h, h->counts, 1);
    i = em_for(e, em_i64(e, 0), em_i64(e, h->d), 1);
    add_row(e, h, element(e, h, 0, token_at(e, h, 0, n.i), em_add(e, h->first, i.i)),
            row_of(e, h, h->kv, i.i), h->counts);
    em_end(e, &i);
    put_token(e, h, n.i);
    em_end(e, &n);
}

void em_attention(struct em *e)
{
    const struct nat_spec *s = e->s;
    struct head h = {.tokens = nat_positions(&s->out), .d = s->out.channels / s->heads};
    struct em_loop item = em_for(e, e->begin, e->end, 1);
    val index;

    h.wide = (uint32_t)nat_align(h.d, NAT_LANES);
    h.elem = narrow_counts(e, &h) ? NAT_I32 : NAT_I64;
    h.bytes = nat_elem_bits(h.elem) / 8;
    h.type = em_type(e, h.elem);
    h.vector = em_vec(e, h.type);
    h.v = e->scratch;
    h.kv = em_at(e, e->scratch, em_i64(e, h.tokens * h.wide * h.bytes));
    h.counts = em_at(e, h.kv, em_i64(e, (uint64_t)h.d * h.wide * h.bytes));
    h.frame = e->l->BuildUDiv(e->b, item.i, em_i64(e, s->heads), "");
    index = e->l->BuildURem(e->b, item.i, em_i64(e, s->heads), "");
    h.first = em_mul(e, index, h.d);
    attend(e, &h);
    em_end(e, &item);
}

/* ---- sums over frames and positions, and the head ---- */

void em_reduce(struct em *e)
{
    const struct nat_spec *s = e->s;
    const struct llvm *l = e->l;
    typ wide = em_vec(e, e->f64);
    struct em_loop group = em_for(e, e->begin, e->end, 1), row;
    val slot = em_slot(e, wide), lane = em_mul(e, group.i, NAT_LANES), x, divisor;

    em_set(e, slot, l->ConstNull(wide));
    for (uint32_t i = 0; i < s->n_in; i++) {
        const struct nat_shape *in = &e->in[i];
        uint64_t rows = in->frames * nat_positions(in);
        uint64_t bytes = (uint64_t)in->pitch * nat_elem_bits(in->elem) / 8;
        double repeats = in->frames == 1 ? in->steps : 1;

        row = em_for(e, em_i64(e, 0), em_i64(e, rows), 1);
        x = em_operand_lanes(e, in,
                             em_at(e, em_arg_n(e, NAT_ARG_OPERAND + i), em_mul(e, row.i, bytes)),
                             lane, NAT_F64);
        x = l->BuildFMul(e->b, em_splat_n(e, em_f64(e, repeats), NAT_LANES), x, "");
        em_set(e, slot, l->BuildFAdd(e->b, em_get(e, wide, slot), x, ""));
        em_end(e, &row);
    }
    x = em_get(e, wide, slot);
    if (s->out.elem == NAT_F32) {
        divisor = em_splat_n(e, em_f64(e, s->divisor), NAT_LANES);
        x = l->BuildFPTrunc(e->b, l->BuildFDiv(e->b, x, divisor, ""), em_vec(e, e->f32), "");
    }
    em_store(e, x,
             em_at(e, em_arg_n(e, NAT_ARG_OUT), em_mul(e, lane, nat_elem_bits(s->out.elem) / 8)),
             64);
    em_end(e, &group);
}

void em_dense(struct em *e)
{
    const struct nat_spec *s = e->s;
    const struct nat_shape *in = &e->in[0];
    const struct llvm *l = e->l;
    typ wide = em_vec(e, e->f64), narrow = em_vec(e, e->f32);
    uint32_t bytes = nat_elem_bits(in->elem) / 8;
    struct em_loop group = em_for(e, e->begin, e->end, 1), c;
    val slot = em_slot(e, wide), from = em_mul(e, group.i, in->channels), x, w, bias;

    em_set(e, slot, l->ConstNull(wide));
    c = em_for(e, em_i64(e, 0), em_i64(e, in->channels), 1);
    w = em_at(e, em_arg_n(e, NAT_ARG_WEIGHT), em_mul(e, em_add(e, from, c.i), NAT_LANES * 4));
    w = l->BuildFPExt(e->b, em_load(e, narrow, w, 64), wide, "");
    x = em_load(e, em_type(e, in->elem),
                em_at(e, em_arg_n(e, NAT_ARG_OPERAND), em_mul(e, c.i, bytes)), bytes);
    if (in->elem == NAT_F32)
        x = l->BuildFPExt(e->b, x, e->f64, "");
    x = l->BuildFMul(e->b, w, em_splat(e, x), "");
    em_set(e, slot, l->BuildFAdd(e->b, em_get(e, wide, slot), x, ""));
    em_end(e, &c);
    x = l->BuildFDiv(e->b, em_get(e, wide, slot), em_splat_n(e, em_f64(e, s->divisor), NAT_LANES),
                     "");
    bias = l->ConstNull(wide);
    if (s->bias)
        bias = l->BuildFPExt(
            e->b,
            em_load(e, narrow,
                    em_at(e, em_arg_n(e, NAT_ARG_BIAS), em_mul(e, group.i, NAT_LANES * 4)), 64),
            wide, "");
    x = l->BuildFPTrunc(e->b, l->BuildFAdd(e->b, x, bias, ""), narrow, "");
    em_store(e, x, em_at(e, em_arg_n(e, NAT_ARG_OUT), em_mul(e, group.i, NAT_LANES * 4)), 64);
    em_end(e, &group);
}
