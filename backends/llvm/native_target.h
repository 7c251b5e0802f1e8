/* Machine code for a plan: the processor it is for, optimisation, objects. */
#ifndef SPIKEC_BACKENDS_LLVM_TARGET_H
#define SPIKEC_BACKENDS_LLVM_TARGET_H

#include "backends/llvm/native_emit.h"

struct nat_target {
    LLVMTargetMachineRef machine;
    char *triple, *host, *host_features; /* LLVM's strings */
    const char *cpu, *features;          /* what code is made for */
    bool compress;
};

/* cpu: "native" (or NULL), or one of the names in docs/native.md; anything else is a usage error,
 * and so is, where the code is to run here, a processor with more than this one has. On an error,
 * too, nat_target_fini releases what there is. */
spk_status nat_target_init(const struct llvm *l, const char *cpu, bool here, struct diag_list *d,
                           struct nat_target *out) SPK_CHECKED;
void nat_target_fini(const struct llvm *l, struct nat_target *t);

/* Optimises the module for the target. */
spk_status nat_optimise(const struct em *e, const struct nat_target *t,
                        struct diag_list *d) SPK_CHECKED;

/* The object of an optimised module, released with DisposeMemoryBuffer. */
spk_status nat_object(const struct llvm *l, const struct em *e, const struct nat_target *t,
                      struct diag_list *d, LLVMMemoryBufferRef *out) SPK_CHECKED;

/* Code of a plan in this process: functions by index of the plan. */
typedef void (*nat_fn)(void **args, void *scratch, uint64_t begin, uint64_t end,
                       uint64_t *counters);
struct nat_code {
    LLVMOrcLLJITRef jit;
    nat_fn *fn;
};
spk_status nat_code_init(const struct llvm *l, const struct nat_plan *p, const char *cpu,
                         bool forced, struct diag_list *d, struct nat_code *out) SPK_CHECKED;
void nat_code_fini(const struct llvm *l, struct nat_code *c);

#endif
