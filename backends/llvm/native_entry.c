/* The exported function of code built ahead of time: a batch of images in, logits out.
 *
 *     int NAME_run(const float *input, size_t batch, float *logits, void *workspace)
 *     int NAME_run(…, void *workspace, uint64_t *wraps)                     (quantised)
 *
 * It does what native_engine.c does on one thread: checks all input, then for every image calls the
 * plan's kernels in order. Buffers, scratch, counters and the kernels' arguments lie in the
 * workspace; constants are part of the object. It calls nothing and keeps nothing.              */
#include <math.h>

#include "backends/llvm/native_emit.h"
#include "support/strbuf.h"

#define MAX_EVENT 16777216u

struct nat_workspace nat_workspace_of(const struct nat_plan *p)
{
    struct nat_workspace w;
    uint32_t args = 0;

    for (size_t i = 0; i < p->kernels.len; i++)
        args = p->kernels.data[i].n_args > args ? p->kernels.data[i].n_args : args;
    w.scratch = nat_align(p->arena_bytes, 64);
    w.counters = w.scratch + nat_align(p->scratch_bytes, 64);
    w.args = w.counters + 64;
    w.bytes = w.args + (uint64_t)args * 8 + 63; /* 63: to be aligned */
    return w;
}

uint32_t nat_input_max(const struct ir_type *t)
{
    if (t->kind != IR_COUNT && t->kind != IR_SPIKE)
        return 0;
    return t->bound && t->bound < MAX_EVENT ? t->bound : MAX_EVENT;
}

struct entry {
    struct em *e;
    struct nat_workspace w;
    val input, batch, logits, workspace, constants;
};

static val part(const struct entry *n, uint64_t offset)
{
    return em_at(n->e, n->workspace, em_i64(n->e, offset));
}

/* Whether a value may be an input, i1. */
static val is_legal(const struct em *e, val x, uint32_t most)
{
    const struct llvm *l = e->l;
    val in_range, safe, whole;

    if (most == 0) {
        val magnitude = em_call(e, "llvm.fabs", e->f32, &x, 1);

        return l->BuildFCmp(e->b, LLVMRealOLT, magnitude, em_f32(e, INFINITY), "");
    }
    in_range = l->BuildAnd(e->b, l->BuildFCmp(e->b, LLVMRealOGE, x, em_f32(e, 0.0f), ""),
                           l->BuildFCmp(e->b, LLVMRealOLE, x, em_f32(e, (float)most), ""), "");
    safe = l->BuildSelect(e->b, in_range, x, em_f32(e, 0.0f), "");
    whole = l->BuildSIToFP(e->b, l->BuildFPToSI(e->b, safe, e->i32, ""), e->f32, "");
    return l->BuildAnd(e->b, in_range, l->BuildFCmp(e->b, LLVMRealOEQ, whole, safe, ""), "");
}

/* Whether any value of the batch may not be an input, i1. */
static val find_illegal(const struct entry *n, uint32_t most)
{
    const struct em *e = n->e;
    val bad = em_slot(e, e->i1);
    struct em_loop i;
    val x;

    em_set(e, bad, e->l->ConstInt(e->i1, 0, 0));
    i = em_for(e, em_i64(e, 0), em_mul(e, n->batch, e->plan->input_items), 1);
    x = is_legal(e, em_load(e, e->f32, em_at(e, n->input, em_mul(e, i.i, 4)), 4), most);
    em_set(e, bad, e->l->BuildOr(e->b, em_get(e, e->i1, bad), e->l->BuildNot(e->b, x, ""), ""));
    em_end(e, &i);
    return em_get(e, e->i1, bad);
}

static val resolve(const struct entry *n, const struct nat_ref *r, val image)
{
    const struct em *e = n->e;

    switch (r->place) {
    case NAT_ARENA:
        return part(n, e->plan->buffers.data[r->buffer].offset);
    case NAT_CONST:
        return em_at(e, n->constants, em_i64(e, r->offset));
    case NAT_IMAGE:
        return image;
    default:
        return e->l->ConstNull(e->p8);
    }
}

static void run_kernel(const struct entry *n, const struct nat_kernel *k, val image)
{
    const struct em *e = n->e;
    const struct llvm *l = e->l;
    char name[32];
    struct em_loop chunk;
    val end, args[5], fn;

    for (uint32_t i = 0; i < k->n_args; i++)
        em_store(e, resolve(n, &e->plan->args.data[k->first_arg + i], image),
                 part(n, n->w.args + 8 * i), 8);
    spk_snprintf(name, sizeof name, "k%u", (unsigned)k->function);
    fn = l->GetNamedFunction(e->module, name);
    chunk = em_for(e, em_i64(e, 0), em_i64(e, k->items), k->tile);
    end = em_add(e, chunk.i, em_i64(e, k->tile));
    end = l->BuildSelect(e->b, l->BuildICmp(e->b, LLVMIntULT, end, em_i64(e, k->items), ""), end,
                         em_i64(e, k->items), "");
    args[0] = l->BuildPointerCast(e->b, part(n, n->w.args), e->pp8, "");
    args[1] = part(n, n->w.scratch);
    args[2] = chunk.i;
    args[3] = end;
    args[4] = l->BuildPointerCast(e->b, part(n, n->w.counters), l->PointerType(e->i64, 0), "");
    l->BuildCall2(e->b, em_kernel_type(e), fn, args, 5, "");
    em_end(e, &chunk);
}

static void store_logits(const struct entry *n, val image)
{
    const struct em *e = n->e;
    const struct nat_plan *p = e->plan;
    const struct nat_shape *s = &p->shape[p->logits_node];
    val from = part(n, p->buffers.data[p->buffer[p->logits_node]].offset);
    val to = em_at(e, n->logits, em_mul(e, image, (uint64_t)p->classes * 4));
    struct em_loop r = em_for(e, em_i64(e, 0), em_i64(e, nat_positions(s)), 1);
    struct em_loop c = em_for(e, em_i64(e, 0), em_i64(e, s->channels), 1);
    val a = em_add(e, em_mul(e, r.i, s->pitch), c.i);
    val b = em_add(e, em_mul(e, r.i, s->channels), c.i);

    em_store(e, em_load(e, e->f32, em_at(e, from, em_mul(e, a, 4)), 4),
             em_at(e, to, em_mul(e, b, 4)), 4);
    em_end(e, &c);
    em_end(e, &r);
}

static void run_batch(const struct entry *n)
{
    const struct em *e = n->e;
    struct em_loop image = em_for(e, em_i64(e, 0), n->batch, 1);
    val input = em_at(e, n->input, em_mul(e, image.i, e->plan->input_items * 4));

    for (size_t k = 0; k < e->plan->kernels.len; k++)
        run_kernel(n, &e->plan->kernels.data[k], input);
    store_logits(n, image.i);
    em_end(e, &image);
}

/* Hands over how many currents left their width in the batch. */
static void store_wraps(const struct entry *n, val wraps)
{
    const struct em *e = n->e;
    struct em_if wanted =
        em_when(e, e->l->BuildICmp(e->b, LLVMIntNE, wraps, e->l->ConstNull(e->p8), ""));

    em_store(e, em_load(e, e->i64, part(n, n->w.counters + 8 * NAT_WRAPS), 8), wraps, 8);
    em_done(e, &wanted);
}

static val aligned(const struct em *e, val at)
{
    val address = e->l->BuildPtrToInt(e->b, at, e->i64, "");

    return em_at(e, at, e->l->BuildAnd(e->b, e->l->BuildNeg(e->b, address, ""), em_i64(e, 63), ""));
}

spk_status em_entry(struct em *e, const struct em_options *o)
{
    const struct nat_plan *p = e->plan;
    bool integer = p->integer;
    typ types[5] = {e->p8, e->i64, e->p8, e->p8, e->p8};
    struct entry n = {.e = e, .w = nat_workspace_of(p)};
    struct strbuf name = {0};
    uint32_t most = 0;
    struct em_if good;
    spk_status status;
    val bad;

    for (uint32_t i = 0; i < p->m->n_nodes; i++)
        if (p->m->node[i].op == IR_OP_INPUT)
            most = nat_input_max(&p->m->node[i].type);
    n.constants = em_bytes(e, "constants", o->constants, p->const_bytes);
    strbuf_printf(&name, "%s_run", o->entry);
    status = name.status;
    em_function(e, strbuf_cstr(&name), e->l->FunctionType(e->i32, types, integer ? 5 : 4, 0), true);
    strbuf_fini(&name);
    n.constants = e->l->BuildPointerCast(e->b, n.constants, e->p8, "");
    n.input = e->l->GetParam(e->fn, 0);
    n.batch = e->l->GetParam(e->fn, 1);
    n.logits = e->l->GetParam(e->fn, 2);
    n.workspace = aligned(e, e->l->GetParam(e->fn, 3));
    for (uint32_t i = 0; i < NAT_COUNTERS; i++)
        em_store(e, em_i64(e, 0), part(&n, n.w.counters + 8 * i), 8);
    bad = find_illegal(&n, most);
    good = em_when(e, e->l->BuildNot(e->b, bad, ""));
    run_batch(&n);
    em_done(e, &good);
    if (integer)
        store_wraps(&n, e->l->GetParam(e->fn, 4));
    e->l->BuildRet(e->b, e->l->BuildZExt(e->b, bad, e->i32, ""));
    return status;
}
