/* What the files that make a plan share. */
#ifndef SPIKEC_BACKENDS_LLVM_PRIVATE_H
#define SPIKEC_BACKENDS_LLVM_PRIVATE_H

#include "backends/llvm/native_plan.h"

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

/* Places the buffers in the arena. */
spk_status nat_layout(struct nat_plan *p) SPK_CHECKED;

#endif
