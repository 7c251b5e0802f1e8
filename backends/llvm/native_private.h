/* What the files that make a plan share. */
#ifndef SPIKEC_BACKENDS_LLVM_PRIVATE_H
#define SPIKEC_BACKENDS_LLVM_PRIVATE_H

#include "backends/llvm/native.h"
#include "backends/llvm/native_plan.h"
#include "support/strbuf.h"

/* The kernel under construction, and the readers of values. */
struct build {
    struct nat_plan *p;
    struct diag_list *d;
    uint32_t *reader, *n_readers; /* [n_nodes] the last reader, and how many */
    struct nat_spec spec;
    struct nat_ref arg[NAT_ARG_OPERAND];
    VEC(struct nat_shape) in;
    VEC(struct nat_ref) operands;
};

/* Rows (frames x positions) of one call. */
#define NAT_ROWS 256u

/* ---- the graph (native_plan.c) ---- */

/* Nodes that share the value of their operand; the head; what sums products of weights. */
bool nb_is_alias(const struct ir_node *n);
bool nb_is_head(const struct ir_module *m, const struct ir_node *n);
bool nb_is_projection(const struct ir_module *m, const struct ir_node *n);
/* The node whose value `id` shares. */
uint32_t nb_through_aliases(const struct ir_module *m, uint32_t id);
/* Whether the node becomes part of the kernel of its only reader. */
bool nb_deferred(const struct build *b, uint32_t id);

/* ---- chains (native_chain.c) ---- */

/* The kernel whose last node is id, a projection, batch norm or neuron; a sum. */
spk_status nb_chain(struct build *b, uint32_t id) SPK_CHECKED;
spk_status nb_sum(struct build *b, uint32_t id) SPK_CHECKED;

/* ---- kernels (native_kernels.c) ---- */

struct nat_shape nb_shape_of(const struct ir_type *t, uint32_t frames);
/* A buffer that lives from the next kernel on. */
spk_status nb_add_buffer(struct build *b, uint64_t bytes, uint32_t *out) SPK_CHECKED;
spk_status nb_add_const(struct build *b, struct nat_const c, struct nat_ref *out) SPK_CHECKED;
/* Parameter `param` of a node, padded to `pitch` elements. */
spk_status nb_array_const(struct build *b, uint32_t node, uint32_t param, enum nat_elem elem,
                          uint32_t pitch, struct nat_ref *out) SPK_CHECKED;
/* The value of node id gets a buffer of its own. */
spk_status nb_own_value(struct build *b, uint32_t id, uint32_t frames) SPK_CHECKED;
/* Starts a kernel; its operands, the frames that they have at most, its output. */
void nb_begin(struct build *b, enum nat_kind kind);
spk_status nb_add_operand(struct build *b, uint32_t id) SPK_CHECKED;
spk_status nb_add_operands(struct build *b, const struct ir_node *n) SPK_CHECKED;
uint32_t nb_operand_frames(const struct build *b);
void nb_out_is(struct build *b, uint32_t id);
/* Ends it: `items` items in calls of at most `tile`. */
spk_status nb_add_kernel(struct build *b, uint32_t node, uint64_t items, uint32_t tile) SPK_CHECKED;

/* ---- ahead of time (native_header.c) ---- */

/* A module's name as a C identifier. */
void nat_symbol_name(const char *name, bool upper, struct strbuf *out);
/* The text of the header. */
void nat_header(const struct nat_plan *p, const struct nat_build_options *o, const char *cpu,
                struct strbuf *out);

/* ---- memory (native_layout.c) ---- */

/* Places the buffers in the arena. */
spk_status nat_layout(struct nat_plan *p) SPK_CHECKED;

#endif
