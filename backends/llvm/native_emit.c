/* Building blocks of generated code: constants, memory, loops; and the module around the kernels.
 */
#include "backends/llvm/native_emit.h"

#include <string.h>

#include "support/strbuf.h"

/* ---- constants and types ---- */

val em_i64(const struct em *e, uint64_t v)
{
    return e->l->ConstInt(e->i64, v, 0);
}

val em_i32(const struct em *e, uint32_t v)
{
    return e->l->ConstInt(e->i32, v, 0);
}

val em_f32(const struct em *e, float v)
{
    return e->l->ConstReal(e->f32, (double)v);
}

val em_f64(const struct em *e, double v)
{
    return e->l->ConstReal(e->f64, v);
}

typ em_vec(const struct em *e, typ element)
{
    return e->l->VectorType(element, NAT_LANES);
}

typ em_type(const struct em *e, enum nat_elem elem)
{
    switch (elem) {
    case NAT_BITS:
        return e->i1;
    case NAT_U8:
        return e->i8;
    case NAT_I16:
        return e->i16;
    case NAT_I32:
        return e->i32;
    case NAT_I64:
        return e->i64;
    case NAT_F32:
        return e->f32;
    case NAT_F64:
        return e->f64;
    }
    return e->i8;
}

val em_splat_n(const struct em *e, val constant, uint32_t n)
{
    val lanes[64];

    for (uint32_t i = 0; i < n; i++)
        lanes[i] = constant;
    return e->l->ConstVector(lanes, n);
}

val em_splat(const struct em *e, val scalar)
{
    typ vector = em_vec(e, e->l->TypeOf(scalar));
    val first = e->l->BuildInsertElement(e->b, e->l->GetUndef(vector), scalar, em_i32(e, 0), "");

    return e->l->BuildShuffleVector(e->b, first, e->l->GetUndef(vector),
                                    e->l->ConstNull(em_vec(e, e->i32)), "");
}

val em_lane_mask(const struct em *e, uint32_t lanes)
{
    val bit[NAT_LANES];

    for (uint32_t i = 0; i < NAT_LANES; i++)
        bit[i] = e->l->ConstInt(e->i1, i < lanes, 0);
    return e->l->ConstVector(bit, NAT_LANES);
}

/* ---- memory ---- */

val em_at(const struct em *e, val base, val offset)
{
    return e->l->BuildGEP2(e->b, e->i8, base, &offset, 1, "");
}

val em_load(const struct em *e, typ type, val at, uint32_t align)
{
    val typed = e->l->BuildPointerCast(e->b, at, e->l->PointerType(type, 0), "");
    val v = e->l->BuildLoad2(e->b, type, typed, "");

    e->l->SetAlignment(v, align);
    return v;
}

void em_store(const struct em *e, val v, val at, uint32_t align)
{
    typ pointer = e->l->PointerType(e->l->TypeOf(v), 0);
    val store = e->l->BuildStore(e->b, v, e->l->BuildPointerCast(e->b, at, pointer, ""));

    e->l->SetAlignment(store, align);
}

val em_slot(const struct em *e, typ type)
{
    LLVMBasicBlockRef here = e->l->GetInsertBlock(e->b);
    val first = e->l->GetFirstInstruction(e->l->GetEntryBasicBlock(e->fn));
    val slot;

    if (first)
        e->l->PositionBuilderBefore(e->b, first);
    slot = e->l->BuildAlloca(e->b, type, "");
    e->l->PositionBuilderAtEnd(e->b, here);
    return slot;
}

val em_get(const struct em *e, typ type, val slot)
{
    return e->l->BuildLoad2(e->b, type, slot, "");
}

void em_set(const struct em *e, val slot, val v)
{
    e->l->BuildStore(e->b, v, slot);
}

val em_arg(const struct em *e, val index)
{
    val at = e->l->BuildGEP2(e->b, e->p8, e->args, &index, 1, "");

    return e->l->BuildLoad2(e->b, e->p8, at, "");
}

val em_arg_n(const struct em *e, uint32_t index)
{
    return em_arg(e, em_i64(e, index));
}

/* ---- arithmetic ---- */

val em_add(const struct em *e, val a, val b)
{
    return e->l->BuildAdd(e->b, a, b, "");
}

val em_sub(const struct em *e, val a, val b)
{
    return e->l->BuildSub(e->b, a, b, "");
}

val em_mul(const struct em *e, val a, uint64_t b)
{
    return e->l->BuildMul(e->b, a, e->l->ConstInt(e->l->TypeOf(a), b, 0), "");
}

val em_call(const struct em *e, const char *intrinsic, typ overload, val *args, unsigned n)
{
    unsigned id = e->l->LookupIntrinsicID(intrinsic, strlen(intrinsic));
    size_t n_types = overload ? 1 : 0;
    val fn = e->l->GetIntrinsicDeclaration(e->module, id, &overload, n_types);
    typ type = e->l->IntrinsicGetType(e->context, id, &overload, n_types);

    return e->l->BuildCall2(e->b, type, fn, args, n, "");
}

/* ---- control ---- */

struct em_loop em_for(const struct em *e, val from, val limit, uint64_t step)
{
    struct em_loop l = {.limit = limit, .step = step};
    val some = e->l->BuildICmp(e->b, LLVMIntULT, from, limit, "");

    l.before = e->l->GetInsertBlock(e->b);
    l.body = e->l->AppendBasicBlockInContext(e->context, e->fn, "");
    l.end = e->l->AppendBasicBlockInContext(e->context, e->fn, "");
    e->l->BuildCondBr(e->b, some, l.body, l.end);
    e->l->PositionBuilderAtEnd(e->b, l.body);
    l.i = e->l->BuildPhi(e->b, e->l->TypeOf(from), "");
    e->l->AddIncoming(l.i, &from, &l.before, 1);
    return l;
}

void em_end(const struct em *e, const struct em_loop *l)
{
    val next = e->l->BuildAdd(e->b, l->i, e->l->ConstInt(e->l->TypeOf(l->i), l->step, 0), "");
    val more = e->l->BuildICmp(e->b, LLVMIntULT, next, l->limit, "");
    LLVMBasicBlockRef last = e->l->GetInsertBlock(e->b);

    e->l->AddIncoming(l->i, &next, &last, 1);
    e->l->BuildCondBr(e->b, more, l->body, l->end);
    e->l->PositionBuilderAtEnd(e->b, l->end);
}

struct em_if em_when(const struct em *e, val condition)
{
    LLVMBasicBlockRef yes = e->l->AppendBasicBlockInContext(e->context, e->fn, "");
    struct em_if i = {e->l->AppendBasicBlockInContext(e->context, e->fn, "")};

    e->l->BuildCondBr(e->b, condition, yes, i.done);
    e->l->PositionBuilderAtEnd(e->b, yes);
    return i;
}

void em_done(const struct em *e, const struct em_if *i)
{
    e->l->BuildBr(e->b, i->done);
    e->l->PositionBuilderAtEnd(e->b, i->done);
}

/* ---- the module ---- */

val em_bytes(const struct em *e, const char *name, const void *bytes, uint64_t n)
{
    val text = e->l->ConstStringInContext(e->context, bytes, (unsigned)n, 1);
    val global = e->l->AddGlobal(e->module, e->l->TypeOf(text), name);

    e->l->SetInitializer(global, text);
    e->l->SetGlobalConstant(global, 1);
    e->l->SetLinkage(global, LLVMPrivateLinkage);
    e->l->SetAlignment(global, 64);
    return global;
}

static void add_table(struct em *e)
{
    char bytes[256 * 8] = {0};

    for (unsigned byte = 0; byte < 256; byte++) {
        unsigned n = 0;

        for (unsigned bit = 0; bit < 8; bit++)
            if (byte >> bit & 1)
                bytes[byte * 8 + n++] = (char)bit;
    }
    e->table = em_bytes(e, "bit_places", bytes, sizeof bytes);
}

static void attribute(const struct em *e, const char *name, const char *value)
{
    e->l->AddAttributeAtIndex(e->fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                              e->l->CreateStringAttribute(e->context, name, (unsigned)strlen(name),
                                                          value, (unsigned)strlen(value)));
}

typ em_kernel_type(const struct em *e)
{
    typ p[5] = {e->pp8, e->p8, e->i64, e->i64, e->l->PointerType(e->i64, 0)};

    return e->l->FunctionType(e->l->VoidTypeInContext(e->context), p, 5, 0);
}

void em_function(struct em *e, const char *name, typ type, bool exported)
{
    LLVMBasicBlockRef entry, body;

    e->fn = e->l->AddFunction(e->module, name, type);
    if (!exported)
        e->l->SetLinkage(e->fn, LLVMInternalLinkage);
    attribute(e, "prefer-vector-width", "512");
    attribute(e, "min-legal-vector-width", "512");
    attribute(e, "target-cpu", e->cpu);
    attribute(e, "target-features", e->features);
    entry = e->l->AppendBasicBlockInContext(e->context, e->fn, "");
    body = e->l->AppendBasicBlockInContext(e->context, e->fn, "");
    /* Slots go in front of this branch. */
    e->l->PositionBuilderAtEnd(e->b, entry);
    e->l->BuildBr(e->b, body);
    e->l->PositionBuilderAtEnd(e->b, body);
}

static void add_kernel(struct em *e, uint32_t index, bool exported)
{
    static void (*const BODIES[])(struct em *) = {
        [NAT_INPUT] = em_input,         [NAT_PIXELS] = em_pixels,   [NAT_PROJECT] = em_project,
        [NAT_POINTWISE] = em_pointwise, [NAT_MAXPOOL] = em_maxpool, [NAT_ATTENTION] = em_attention,
        [NAT_REDUCE] = em_reduce,       [NAT_DENSE] = em_dense,
    };
    const struct nat_function *f = &e->plan->functions.data[index];
    char name[32];

    spk_snprintf(name, sizeof name, "k%u", (unsigned)index);
    em_function(e, name, em_kernel_type(e), exported);
    e->s = &f->spec;
    e->in = &e->plan->shapes.data[f->first_in];
    e->args = e->l->GetParam(e->fn, 0);
    e->scratch = e->l->GetParam(e->fn, 1);
    e->begin = e->l->GetParam(e->fn, 2);
    e->end = e->l->GetParam(e->fn, 3);
    e->counters = e->l->GetParam(e->fn, 4);
    BODIES[f->spec.kind](e);
    e->l->BuildRetVoid(e->b);
}

static void init_types(struct em *e)
{
    e->i1 = e->l->IntTypeInContext(e->context, 1);
    e->i8 = e->l->IntTypeInContext(e->context, 8);
    e->i16 = e->l->IntTypeInContext(e->context, 16);
    e->i32 = e->l->IntTypeInContext(e->context, 32);
    e->i64 = e->l->IntTypeInContext(e->context, 64);
    e->f32 = e->l->FloatTypeInContext(e->context);
    e->f64 = e->l->DoubleTypeInContext(e->context);
    e->p8 = e->l->PointerType(e->i8, 0);
    e->pp8 = e->l->PointerType(e->p8, 0);
}

spk_status em_module(struct em *e, const struct llvm *l, const struct nat_plan *plan,
                     const struct em_options *o, struct diag_list *d)
{
    char *message = NULL;
    spk_status status = SPK_OK;

    *e = (struct em){.l = l,
                     .plan = plan,
                     .forced = o->forced,
                     .compress = o->compress,
                     .cpu = o->cpu,
                     .features = o->features};
    e->context = l->ContextCreate();
    e->module = l->ModuleCreateWithNameInContext(o->entry ? o->entry : "spikec", e->context);
    e->b = l->CreateBuilderInContext(e->context);
    init_types(e);
    add_table(e);
    for (uint32_t i = 0; i < plan->functions.len; i++)
        add_kernel(e, i, o->entry == NULL);
    if (o->entry)
        status = em_entry(e, o);
    if (status == SPK_OK && l->VerifyModule(e->module, LLVMReturnStatusAction, &message))
        status = diag_internal(d, spk_span_none, "E0744", "generated code is not well formed: %s",
                               message);
    if (message)
        l->DisposeMessage(message);
    if (status != SPK_OK)
        em_fini(e);
    return status;
}

void em_fini(struct em *e)
{
    if (e->b)
        e->l->DisposeBuilder(e->b);
    if (e->module)
        e->l->DisposeModule(e->module);
    if (e->context)
        e->l->ContextDispose(e->context);
    *e = (struct em){0};
}
