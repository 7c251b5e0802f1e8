/* Generating code: what the emitters of kernels share.
 *
 * A kernel is a function  void f(u8 **args, u8 *scratch, i64 begin, i64 end, i64 *counters).
 * Pointers are bytes (i8*) with offsets in bytes, so that the same calls build typed and opaque
 * pointers. Values that change in loops are stack slots that the first pass turns into registers.
 * Nothing is marked fast-math and no operation may be contracted: additions happen in the order in
 * which they are built, which is the reference engine's.                                        */
#ifndef SPIKEC_BACKENDS_LLVM_EMIT_H
#define SPIKEC_BACKENDS_LLVM_EMIT_H

#include "backends/llvm/llvm_table.h"
#include "backends/llvm/native_plan.h"

/* What the counters of a call count. */
enum nat_counter { NAT_WRAPS, NAT_FLIPS, NAT_OUTSIDE, NAT_COUNTERS };

typedef LLVMValueRef val;
typedef LLVMTypeRef typ;

struct em {
    const struct llvm *l;
    const struct nat_plan *plan;
    LLVMContextRef context;
    LLVMModuleRef module;
    LLVMBuilderRef b;
    typ i1, i8, i16, i32, i64, f32, f64, p8, pp8;
    bool forced; /* neurons obey a teacher */
    const char *cpu, *features;
    bool compress; /* the target has AVX-512: vectors can be compressed by a mask */
    val table;     /* [256][8] bytes: places of the bits of a byte */
    /* the function under construction */
    val fn, args, scratch, begin, end, counters;
    const struct nat_spec *s;
    const struct nat_shape *in;
};

/* ---- constants and types ---- */
val em_i64(const struct em *e, uint64_t v);
val em_i32(const struct em *e, uint32_t v);
val em_f32(const struct em *e, float v);
val em_f64(const struct em *e, double v);
typ em_vec(const struct em *e, typ element); /* of NAT_LANES lanes */
typ em_type(const struct em *e, enum nat_elem elem);
val em_splat(const struct em *e, val scalar);                 /* over NAT_LANES lanes */
val em_splat_n(const struct em *e, val constant, uint32_t n); /* of a constant */
val em_lane_mask(const struct em *e, uint32_t lanes); /* the first `lanes` lanes, <16 x i1> */

/* ---- memory ---- */
val em_at(const struct em *e, val base, val offset); /* base + offset bytes */
val em_load(const struct em *e, typ type, val at, uint32_t align);
void em_store(const struct em *e, val v, val at, uint32_t align);
val em_slot(const struct em *e, typ type); /* stack slot in the entry block */
val em_get(const struct em *e, typ type, val slot);
void em_set(const struct em *e, val slot, val v);
val em_arg(const struct em *e, val index); /* args[index] */
val em_arg_n(const struct em *e, uint32_t index);

/* ---- arithmetic on i64 ---- */
val em_add(const struct em *e, val a, val b);
val em_sub(const struct em *e, val a, val b);
val em_mul(const struct em *e, val a, uint64_t b);
val em_call(const struct em *e, const char *intrinsic, typ overload, val *args, unsigned n);

/* ---- control ---- */
struct em_loop {
    LLVMBasicBlockRef body, end, before;
    val i, limit;
    uint64_t step;
};
/* for (i = from; i < limit; i += step); unsigned, limit - from must not wrap. */
struct em_loop em_for(const struct em *e, val from, val limit, uint64_t step);
void em_end(const struct em *e, const struct em_loop *l);
struct em_if {
    LLVMBasicBlockRef done;
};
struct em_if em_when(const struct em *e, val condition);
void em_done(const struct em *e, const struct em_if *i);

/* ---- kernels: each fills the current function's body ---- */
void em_project(struct em *e);
void em_pointwise(struct em *e);
void em_maxpool(struct em *e);
void em_attention(struct em *e);
void em_input(struct em *e);
void em_pixels(struct em *e);
void em_reduce(struct em *e);
void em_dense(struct em *e);

/* The end of projections and pointwise kernels for NAT_BLOCK channels from block `block` (i64) of
 * one position: bias, encoder, batch norm, neuron, and storing. `sum` gives lanes [NAT_LANES * v,
 * ...) of frame t as vectors of the spec's acc type. */
struct em_sums {
    val (*get)(const struct em *e, void *ctx, val t, uint32_t v);
    void *ctx;
};
void em_epilogue(struct em *e, val position, val block, const struct em_sums *sums);

/* The lanes of `v` (i64, or i32) as reference engines keep currents in 32 bits: unchanged where
 * they fit, else congruent modulo 2^24 beyond 2^30. */
val em_current(const struct em *e, val v64);
/* Lanes [lane, lane + NAT_LANES) of operand `in` at `base` (of its position and frame) as `acc`. */
val em_operand_lanes(const struct em *e, const struct nat_shape *in, val base, val lane,
                     enum nat_elem acc);

/* ---- the whole module ---- */

struct em_options {
    bool forced, compress;      /* as in struct em */
    const char *cpu, *features; /* what the functions may use, in LLVM's words */
    /* NULL: the kernels k0, k1, … are exported, one per function of the plan. Else they are hidden
     * and `entry`_run is the one exported function (native_entry.c), with the plan's constants. */
    const char *entry;
    const void *constants;
};
spk_status em_module(struct em *e, const struct llvm *l, const struct nat_plan *plan,
                     const struct em_options *o, struct diag_list *d) SPK_CHECKED;
void em_fini(struct em *e);

/* Starts a function: its parameters' types, where slots go, an empty body. */
void em_function(struct em *e, const char *name, typ type, bool exported);
/* The type of kernels. */
typ em_kernel_type(const struct em *e);
/* A constant byte array of this module, aligned to 64. */
val em_bytes(const struct em *e, const char *name, const void *bytes, uint64_t n);
/* The exported function of code that is built ahead of time. */
spk_status em_entry(struct em *e, const struct em_options *o) SPK_CHECKED;

#endif
