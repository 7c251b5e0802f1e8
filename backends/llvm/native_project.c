/* Projections: conv2d, linear, the integer encoder's convolution.
 *
 * A call computes all frames of a range of output positions in three phases. First it lists, row by
 * row (position x frame), the byte offsets of the weight rows that the nonzero inputs of the window
 * select: operand by operand, tap by tap, channel by channel. Then, block by block of output
 * channels, it adds the listed rows onto the sums, which stay in registers while a list runs; long
 * lists are cut into segments, so that the weights of a segment stay in a near cache while all rows
 * use them. Then comes the epilogue for the block. Every output has one accumulator, from zero, in
 * the order of the list: the reference engine's order.
 * Lists are padded to a multiple of STEP with a row of zeros; adding zero changes no sum, since
 * none is -0. 16-bit weights are summed in 16 bits, NARROW rows at most, before they are widened.
 * Bits become offsets without a branch: by compressing a vector of offsets (AVX-512), or through a
 * table of the places of the bits of a byte.
 * Cost: one vector addition per event and NAT_LANES channels (32 for 16-bit weights), a tenth of
 * that for the lists. */
#include <string.h>

#include "backends/llvm/native_emit.h"

#define STEP 4u
#define NARROW 252u
#define GROUPS (NAT_BLOCK / NAT_LANES)

struct pj {
    struct em *e;
    val starts, offsets, values;
    val cursor, segment; /* slots, i64 */
    val row;             /* of the call: (position - begin) * acc_frames + frame */
    uint32_t row_bytes, rows, value_bytes;
    bool has_values;
};

/* ---- lists ---- */

static val in_bytes(const struct em *e, val index, uint64_t bytes)
{
    return em_mul(e, index, bytes);
}

static val start_at(const struct pj *p, val row, val segment)
{
    const struct em *e = p->e;
    val index = em_add(e, em_mul(e, row, e->s->segments + 1), segment);

    return em_at(e, p->starts, in_bytes(e, index, 4));
}

/* Pads the list behind the last segment and starts the next one. */
static void open_segment(const struct pj *p)
{
    const struct em *e = p->e;
    val at = em_get(e, e->i64, p->cursor), segment = em_get(e, e->i64, p->segment);

    em_store(e, em_splat_n(e, em_i32(e, p->rows * p->row_bytes), STEP),
             em_at(e, p->offsets, in_bytes(e, at, 4)), 4);
    if (p->has_values && p->value_bytes == 4)
        em_store(e, em_splat_n(e, em_i32(e, 0), STEP), em_at(e, p->values, in_bytes(e, at, 4)), 4);
    at = e->l->BuildAnd(e->b, em_add(e, at, em_i64(e, STEP - 1)), em_i64(e, ~(uint64_t)(STEP - 1)),
                        "");
    em_set(e, p->cursor, at);
    em_store(e, e->l->BuildTrunc(e->b, at, e->i32, ""), start_at(p, p->row, segment), 4);
    em_set(e, p->segment, em_add(e, segment, em_i64(e, 1)));
}

static void advance(const struct pj *p, val bits)
{
    const struct em *e = p->e;
    val n = em_call(e, "llvm.ctpop", e->i64, &bits, 1);

    em_set(e, p->cursor, em_add(e, em_get(e, e->i64, p->cursor), n));
}

/* Offsets of `n` consecutive rows: base + i * row_bytes. */
static val consecutive(const struct pj *p, val base, uint32_t first, uint32_t n)
{
    const struct em *e = p->e;
    val lanes[NAT_LANES], vector, undefined = e->l->GetUndef(e->l->VectorType(e->i32, n));

    for (uint32_t i = 0; i < n; i++)
        lanes[i] = em_i32(e, (first + i) * p->row_bytes);
    vector = e->l->BuildInsertElement(e->b, undefined, base, em_i32(e, 0), "");
    vector = e->l->BuildShuffleVector(e->b, vector, undefined,
                                      e->l->ConstNull(e->l->VectorType(e->i32, n)), "");
    return em_add(e, vector, e->l->ConstVector(lanes, n));
}

/* The bits of one word of spikes; base: offset of the row of its first channel, i32. */
static void list_word(const struct pj *p, val word, val base)
{
    const struct em *e = p->e;
    uint32_t step = e->compress ? 16 : 8;

    for (uint32_t k = 0; k < NAT_BLOCK; k += step) {
        val part = e->l->BuildLShr(e->b, word, em_i64(e, k), ""), v;
        val cursor = em_get(e, e->i64, p->cursor);
        val at = em_at(e, p->offsets, in_bytes(e, cursor, 4));

        part = e->l->BuildAnd(e->b, part, em_i64(e, ((uint64_t)1 << step) - 1), "");
        if (e->compress) {
            typ vector = em_vec(e, e->i32);
            val args[3] = {consecutive(p, base, k, 16), e->l->ConstNull(vector),
                           e->l->BuildBitCast(e->b, e->l->BuildTrunc(e->b, part, e->i16, ""),
                                              em_vec(e, e->i1), "")};

            v = em_call(e, "llvm.x86.avx512.mask.compress", vector, args, 3);
        } else {
            typ bytes = e->l->VectorType(e->i8, 8), words = e->l->VectorType(e->i32, 8);
            val table = e->l->BuildPointerCast(e->b, e->table, e->p8, "");
            val places = em_load(e, bytes, em_at(e, table, em_mul(e, part, 8)), 8);
            val wide = e->l->BuildZExt(e->b, places, words, "");

            v = e->l->BuildMul(e->b, wide, em_splat_n(e, em_i32(e, p->row_bytes), 8), "");
            val first = e->l->BuildInsertElement(e->b, e->l->GetUndef(words),
                                                 em_add(e, base, em_i32(e, k * p->row_bytes)),
                                                 em_i32(e, 0), "");
            v = em_add(e, v,
                       e->l->BuildShuffleVector(e->b, first, e->l->GetUndef(words),
                                                e->l->ConstNull(words), ""));
        }
        em_store(e, v, at, 4);
        advance(p, part);
    }
}

static void list_bits(const struct pj *p, const struct nat_shape *in, val at, val base)
{
    const struct em *e = p->e;
    struct em_loop l = em_for(e, em_i64(e, 0), em_i64(e, in->pitch / NAT_BLOCK), 1);
    val word = em_load(e, e->i64, em_at(e, at, em_mul(e, l.i, 8)), 8);
    val first = e->l->BuildTrunc(e->b, em_mul(e, l.i, NAT_BLOCK * p->row_bytes), e->i32, "");
    struct em_if some = em_when(e, e->l->BuildICmp(e->b, LLVMIntNE, word, em_i64(e, 0), ""));

    list_word(p, word, em_add(e, base, first));
    em_done(e, &some);
    em_end(e, &l);
}

/* Nonzero counts with their values. */
static void list_values(const struct pj *p, const struct nat_shape *in, val at, val base)
{
    const struct em *e = p->e;
    uint32_t bytes = nat_elem_bits(in->elem) / 8;
    struct em_loop l = em_for(e, em_i64(e, 0), em_i64(e, in->channels), 1);
    val x = em_load(e, em_type(e, in->elem), em_at(e, at, em_mul(e, l.i, bytes)), bytes);
    val cursor = em_get(e, e->i64, p->cursor), item = in_bytes(e, cursor, 4), some;
    val offset = e->l->BuildTrunc(e->b, em_mul(e, l.i, p->row_bytes), e->i32, "");

    if (in->elem == NAT_U8)
        x = e->l->BuildZExt(e->b, x, e->i32, "");
    some = e->l->BuildICmp(e->b, LLVMIntNE, x, em_i32(e, 0), "");
    em_store(e, em_add(e, base, offset), em_at(e, p->offsets, item), 4);
    if (e->s->acc == NAT_F32)
        x = e->l->BuildSIToFP(e->b, x, e->f32, "");
    em_store(e, x, em_at(e, p->values, item), 4);
    em_set(e, p->cursor, em_add(e, cursor, e->l->BuildZExt(e->b, some, e->i64, "")));
    em_end(e, &l);
}

/* All values of one tap of a real operand, or zeros outside of the image. */
static void list_dense(const struct pj *p, const struct nat_shape *in, val at, val inside)
{
    const struct em *e = p->e;
    typ type = em_type(e, in->elem);
    uint32_t bytes = nat_elem_bits(in->elem) / 8;
    struct em_loop l = em_for(e, em_i64(e, 0), em_i64(e, in->channels), 1);
    val cursor = em_get(e, e->i64, p->cursor), to = em_at(e, p->values, em_mul(e, cursor, bytes));
    struct em_if i;

    em_store(e, e->l->ConstNull(type), to, bytes);
    i = em_when(e, inside);
    em_store(e, em_load(e, type, em_at(e, at, em_mul(e, l.i, bytes)), bytes), to, bytes);
    em_done(e, &i);
    em_set(e, p->cursor, em_add(e, cursor, em_i64(e, 1)));
    em_end(e, &l);
}

/* One operand of one row; y0, x0: corner of its window. */
static void list_operand(const struct pj *p, const struct nat_shape *in, val operand, val frame,
                         val y0, val x0)
{
    struct em *e = p->e;
    const struct nat_spec *s = e->s;
    enum nat_run run = nat_run_of(in);
    uint64_t position_bytes = (uint64_t)in->pitch * nat_elem_bits(in->elem) / 8;
    val base = em_arg(e, operand);
    struct em_loop ky, kx;
    struct em_if i;
    val tap, y, x, inside, at;

    if (in->frames > 1)
        base = em_at(e, base, em_mul(e, frame, nat_frame_bytes(in)));
    ky = em_for(e, em_i64(e, 0), em_i64(e, s->kernel_h), 1);
    kx = em_for(e, em_i64(e, 0), em_i64(e, s->kernel_w), 1);
    tap = em_add(e, em_mul(e, ky.i, s->kernel_w), kx.i);
    if (s->taps_per_segment && run != NAT_RUN_DENSE) {
        val rest = e->l->BuildURem(e->b, tap, em_i64(e, s->taps_per_segment), "");

        i = em_when(e, e->l->BuildICmp(e->b, LLVMIntEQ, rest, em_i64(e, 0), ""));
        open_segment(p);
        em_done(e, &i);
    }
    y = em_add(e, y0, ky.i);
    x = em_add(e, x0, kx.i);
    inside = e->l->BuildAnd(e->b, e->l->BuildICmp(e->b, LLVMIntULT, y, em_i64(e, in->height), ""),
                            e->l->BuildICmp(e->b, LLVMIntULT, x, em_i64(e, in->width), ""), "");
    at = em_at(e, base, em_mul(e, em_add(e, em_mul(e, y, in->width), x), position_bytes));
    if (run == NAT_RUN_DENSE) {
        list_dense(p, in, at, inside);
    } else {
        val first = e->l->BuildTrunc(e->b, em_mul(e, tap, (uint64_t)in->channels * p->row_bytes),
                                     e->i32, "");

        i = em_when(e, inside);
        if (run == NAT_RUN_BINARY)
            list_bits(p, in, at, first);
        else
            list_values(p, in, at, first);
        em_done(e, &i);
    }
    em_end(e, &kx);
    em_end(e, &ky);
}

/* Operands [*first, …) that form a run; returns the index behind them. */
static uint32_t run_end(const struct em *e, uint32_t first)
{
    uint32_t end = first + 1;

    while (end < e->s->n_in && nat_same_run(&e->in[first], &e->in[end]))
        end++;
    return end;
}

/* The lists of all rows of the call. */
static void make_lists(struct pj *p)
{
    struct em *e = p->e;
    const struct nat_spec *s = e->s;
    bool window =
        s->kernel_h * s->kernel_w > 1 || s->stride_h * s->stride_w > 1 || s->pad_h || s->pad_w;
    struct em_loop position, frame, o;
    val y0, x0, in_call;

    p->cursor = em_slot(e, e->i64);
    p->segment = em_slot(e, e->i64);
    em_set(e, p->cursor, em_i64(e, 0));
    position = em_for(e, e->begin, e->end, 1);
    y0 = e->l->BuildUDiv(e->b, position.i, em_i64(e, s->out.width), "");
    x0 = e->l->BuildURem(e->b, position.i, em_i64(e, s->out.width), "");
    if (window) {
        y0 = em_sub(e, em_mul(e, y0, s->stride_h), em_i64(e, s->pad_h));
        x0 = em_sub(e, em_mul(e, x0, s->stride_w), em_i64(e, s->pad_w));
    }
    in_call = em_mul(e, em_sub(e, position.i, e->begin), s->acc_frames);
    frame = em_for(e, em_i64(e, 0), em_i64(e, s->acc_frames), 1);
    p->row = em_add(e, in_call, frame.i);
    em_set(e, p->segment, em_i64(e, 0));
    for (uint32_t i = 0, end; i < s->n_in; i = end) {
        end = run_end(e, i);
        if (s->taps_per_segment == 0 || nat_run_of(&e->in[i]) == NAT_RUN_DENSE)
            open_segment(p);
        o = em_for(e, em_i64(e, NAT_ARG_OPERAND + i), em_i64(e, NAT_ARG_OPERAND + end), 1);
        list_operand(p, &e->in[i], o.i, frame.i, y0, x0);
        em_end(e, &o);
    }
    open_segment(p);
    em_end(e, &frame);
    em_end(e, &position);
}

/* ---- sums ---- */

struct sums {
    const struct pj *p;
    val weights; /* of the block */
    val slot[GROUPS];
    typ vector; /* of the sums */
    val acc;    /* where the sums of the row lie */
};

static val item(const struct pj *p, val base, typ type, val k, uint32_t bytes)
{
    const struct em *e = p->e;

    return em_load(e, type, em_at(e, base, em_mul(e, k, bytes)), bytes);
}

static val row_at(const struct sums *m, val k)
{
    const struct em *e = m->p->e;
    val offset = item(m->p, m->p->offsets, e->i32, k, 4);

    return em_at(e, m->weights, e->l->BuildZExt(e->b, offset, e->i64, ""));
}

/* Lanes of group v of the weight row at `row`, in the type of the sums. */
static val weight_lanes(const struct sums *m, val row, uint32_t v)
{
    const struct em *e = m->p->e;
    enum nat_elem weight = e->s->weight;
    uint32_t bytes = NAT_LANES * nat_elem_bits(weight) / 8;
    val w = em_load(e, em_vec(e, em_type(e, weight)), em_at(e, row, em_i64(e, v * bytes)), bytes);

    return weight == e->s->acc ? w : e->l->BuildSExt(e->b, w, m->vector, "");
}

static void add_to(const struct sums *m, uint32_t v, val x)
{
    const struct em *e = m->p->e;
    val old = em_get(e, m->vector, m->slot[v]);

    em_set(e, m->slot[v],
           e->s->acc == NAT_F32 ? e->l->BuildFAdd(e->b, old, x, "") : em_add(e, old, x));
}

/* The row times a scalar of the sums' type. */
static void add_scaled(const struct sums *m, val row, val factor)
{
    const struct em *e = m->p->e;
    val f = em_splat(e, factor);

    for (uint32_t v = 0; v < GROUPS; v++) {
        val w = weight_lanes(m, row, v);

        add_to(m, v,
               e->s->acc == NAT_F32 ? e->l->BuildFMul(e->b, f, w, "")
                                    : e->l->BuildMul(e->b, f, w, ""));
    }
}

/* 16-bit weights, binary: sums of at most NARROW rows in 32 lanes of 16 bits. */
static void add_narrow(const struct sums *m, val from, val end)
{
    const struct em *e = m->p->e;
    const struct llvm *l = e->l;
    typ wide = l->VectorType(e->i16, 2 * NAT_LANES);
    struct em_loop outer = em_for(e, from, end, NARROW), k;
    val limit = em_add(e, outer.i, em_i64(e, NARROW)), slot[GROUPS / 2], lanes[2 * NAT_LANES];

    limit = l->BuildSelect(e->b, l->BuildICmp(e->b, LLVMIntULT, limit, end, ""), limit, end, "");
    for (uint32_t v = 0; v < GROUPS / 2; v++) {
        slot[v] = em_slot(e, wide);
        em_set(e, slot[v], l->ConstNull(wide));
    }
    k = em_for(e, outer.i, limit, STEP);
    for (uint32_t i = 0; i < STEP; i++) {
        val row = row_at(m, em_add(e, k.i, em_i64(e, i)));

        for (uint32_t v = 0; v < GROUPS / 2; v++) {
            val w = em_load(e, wide, em_at(e, row, em_i64(e, v * 4 * NAT_LANES)), 64);

            em_set(e, slot[v], em_add(e, em_get(e, wide, slot[v]), w));
        }
    }
    em_end(e, &k);
    for (uint32_t i = 0; i < 2 * NAT_LANES; i++)
        lanes[i] = em_i32(e, i);
    for (uint32_t v = 0; v < GROUPS; v++) {
        val half = l->BuildShuffleVector(e->b, em_get(e, wide, slot[v / 2]), l->GetUndef(wide),
                                         l->ConstVector(lanes + v % 2 * NAT_LANES, NAT_LANES), "");

        add_to(m, v, l->BuildSExt(e->b, half, m->vector, ""));
    }
    em_end(e, &outer);
}

/* The entries [from, end) of one list onto the sums in registers. */
static void add_list(const struct sums *m, enum nat_run run, val from, val end)
{
    const struct em *e = m->p->e;
    struct em_loop k;

    if (run == NAT_RUN_BINARY && e->s->weight == NAT_I16) {
        add_narrow(m, from, end);
        return;
    }
    k = em_for(e, from, end, STEP);
    for (uint32_t i = 0; i < STEP; i++) {
        val index = em_add(e, k.i, em_i64(e, i)), row = row_at(m, index), x;

        if (run == NAT_RUN_BINARY) {
            for (uint32_t v = 0; v < GROUPS; v++)
                add_to(m, v, weight_lanes(m, row, v));
            continue;
        }
        x = item(m->p, m->p->values, e->s->acc == NAT_F32 ? e->f32 : e->i32, index, 4);
        if (e->s->acc == NAT_I64)
            x = e->l->BuildSExt(e->b, x, e->i64, "");
        add_scaled(m, row, x);
    }
    em_end(e, &k);
}

/* All rows of a dense operand, with the values listed from `from` on. */
static void add_dense(const struct sums *m, const struct nat_shape *in, val from)
{
    const struct em *e = m->p->e;
    uint32_t bytes = nat_elem_bits(in->elem) / 8;
    struct em_loop k = em_for(e, em_i64(e, 0), em_i64(e, m->p->rows), 1);
    val x = item(m->p, m->p->values, em_type(e, in->elem), em_add(e, from, k.i), bytes);

    if (in->elem == NAT_I64 && e->s->acc == NAT_I32)
        x = e->l->BuildTrunc(e->b, x, e->i32, "");
    add_scaled(m, em_at(e, m->weights, em_mul(e, k.i, m->p->row_bytes)), x);
    em_end(e, &k);
}

/* Adds segments [first, end) of one run to the sums of all rows. */
static void add_segments(struct sums *m, uint32_t operand, uint32_t first, uint32_t end)
{
    struct em *e = m->p->e;
    const struct nat_shape *in = &e->in[operand];
    uint32_t bytes = nat_elem_bits(e->s->acc) / 8;
    struct em_loop segment = em_for(e, em_i64(e, first), em_i64(e, end), 1), row;
    val fresh = e->l->BuildICmp(e->b, LLVMIntEQ, segment.i, em_i64(e, 0), ""), at, from, to;
    val rows = em_mul(e, em_sub(e, e->end, e->begin), e->s->acc_frames);

    row = em_for(e, em_i64(e, 0), rows, 1);
    at = em_at(e, m->acc, em_mul(e, row.i, NAT_BLOCK * bytes));
    for (uint32_t v = 0; v < GROUPS; v++) {
        val old = em_load(e, m->vector, em_at(e, at, em_i64(e, v * NAT_LANES * bytes)), 64);

        em_set(e, m->slot[v], e->l->BuildSelect(e->b, fresh, e->l->ConstNull(m->vector), old, ""));
    }
    from = em_load(e, e->i32, start_at(m->p, row.i, segment.i), 4);
    from = e->l->BuildZExt(e->b, from, e->i64, "");
    if (nat_run_of(in) == NAT_RUN_DENSE) {
        add_dense(m, in, from);
    } else {
        to = em_load(e, e->i32, start_at(m->p, row.i, em_add(e, segment.i, em_i64(e, 1))), 4);
        add_list(m, nat_run_of(in), from, e->l->BuildZExt(e->b, to, e->i64, ""));
    }
    for (uint32_t v = 0; v < GROUPS; v++)
        em_store(e, em_get(e, m->vector, m->slot[v]),
                 em_at(e, at, em_i64(e, v * NAT_LANES * bytes)), 64);
    em_end(e, &row);
    em_end(e, &segment);
}

static uint32_t run_segments(const struct em *e, uint32_t first, uint32_t end)
{
    uint32_t taps = e->s->kernel_h * e->s->kernel_w, per = e->s->taps_per_segment;

    if (per == 0 || nat_run_of(&e->in[first]) == NAT_RUN_DENSE)
        return 1;
    return (end - first) * ((taps + per - 1) / per);
}

/* ---- the kernel ---- */

struct get {
    val acc, position;
};

static val project_sum(const struct em *e, void *ctx, val t, uint32_t v)
{
    const struct get *g = ctx;
    uint32_t bytes = nat_elem_bits(e->s->acc) / 8;
    val row = em_mul(e, em_sub(e, g->position, e->begin), e->s->acc_frames);
    val at = em_at(e, g->acc, em_mul(e, em_add(e, row, t), NAT_BLOCK * bytes));

    return em_load(e, em_vec(e, em_type(e, e->s->acc)),
                   em_at(e, at, em_i64(e, v * NAT_LANES * bytes)), 64);
}

void em_project(struct em *e)
{
    const struct nat_spec *s = e->s;
    struct nat_scratch part = nat_scratch_of(s, e->in);
    struct pj p = {.e = e};
    struct sums m = {.p = &p};
    struct get g;
    struct em_sums sums = {project_sum, &g};
    struct em_loop block, position;
    uint32_t segment = 0;

    p.row_bytes = NAT_BLOCK * nat_elem_bits(s->weight) / 8;
    p.rows = s->kernel_h * s->kernel_w * e->in[0].channels;
    p.value_bytes = 4;
    for (uint32_t i = 0; i < s->n_in; i++) {
        p.has_values |= nat_run_of(&e->in[i]) != NAT_RUN_BINARY;
        if (e->in[i].elem == NAT_I64)
            p.value_bytes = 8;
    }
    p.starts = em_at(e, e->scratch, em_i64(e, part.starts));
    p.offsets = em_at(e, e->scratch, em_i64(e, part.offsets));
    p.values = em_at(e, e->scratch, em_i64(e, part.values));
    make_lists(&p);
    m.acc = g.acc = e->scratch;
    m.vector = em_vec(e, em_type(e, s->acc));
    for (uint32_t v = 0; v < GROUPS; v++)
        m.slot[v] = em_slot(e, m.vector);
    block = em_for(e, em_i64(e, 0), em_i64(e, s->out.pitch / NAT_BLOCK), 1);
    m.weights = em_at(e, em_arg_n(e, NAT_ARG_WEIGHT),
                      em_mul(e, block.i, (uint64_t)(p.rows + 1) * p.row_bytes));
    for (uint32_t i = 0, end; i < s->n_in; i = end) {
        uint32_t n;

        end = run_end(e, i);
        n = run_segments(e, i, end);
        add_segments(&m, i, segment, segment + n);
        segment += n;
    }
    position = em_for(e, e->begin, e->end, 1);
    g.position = position.i;
    em_epilogue(e, position.i, block.i, &sums);
    em_end(e, &position);
    em_end(e, &block);
}
