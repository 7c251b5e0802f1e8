/* Native code: the `native` engine, and building a model ahead of time.
 *
 * Both lower a module of any stage to vector code through LLVM, specialised to shapes, thresholds
 * and neuron equations; docs/native.md describes it. Contract of the engine (ir/engine.h):
 *   - Results equal the reference engine's bit for bit: sums run in the same order, nothing is
 *     contracted or reordered. They do not depend on threads or on other images of a run.
 *   - Module and tensor data must outlive the engine; the module must verify. Weights are re-laid
 *     when the engine is created (a copy), code is made then as well; a run with a teacher makes
 *     code of its own.
 *   - Statistics are those of values that exist in memory: currents that go straight into a neuron
 *     do not, nor do batch norms in between; their entries are left alone.
 *   - Input must be finite, event frames whole numbers from 0 to 2^24; SPK_ERR_INPUT otherwise.
 *   - Without LLVM's library create fails with SPK_ERR_USAGE and names the package.
 *   - It has no walk.                                                                            */
#ifndef SPIKEC_BACKENDS_LLVM_NATIVE_H
#define SPIKEC_BACKENDS_LLVM_NATIVE_H

#include "ir/engine.h"

extern const struct engine_vtable nat_engine;

/* As nat_engine.create, with the processor that code is made for (NULL: this one). Code for a
 * processor that has more instructions than this one may crash. */
spk_status nat_engine_create(const struct ir_module *m, const char *cpu, struct diag_list *d,
                             struct engine **out) SPK_CHECKED;

/* ---- ahead of time ---- */

enum nat_format { NAT_SHARED, NAT_OBJECT, NAT_TEXT };
#define NAT_FORMATS 3
/* What the name of an output asks for: NAME.so, NAME.o, NAME.ll; a usage error for another one. */
spk_status nat_format_of(const char *output, struct diag_list *d, enum nat_format *out) SPK_CHECKED;

struct nat_build_options {
    const char *output; /* replaced in one step, and so is NAME.h beside it */
    const char *cpu;    /* NULL: this one */
    const char *level;  /* in words, for the header: "level R in float32" */
};
struct nat_built {
    char *header; /* its path */
    char *cpu;    /* what code was made for */
    uint64_t workspace_bytes, weight_bytes;
    uint32_t functions;
};
/* Builds code that computes the module's logits, and the C header that tells how to call it; what
 * it computes equals the engine's results. The module must verify and have all its data. On an
 * error nothing is written, unless it came in writing the header. nat_built_fini releases *out. */
spk_status nat_build(const struct ir_module *m, const struct nat_build_options *o,
                     struct diag_list *d, struct nat_built *out) SPK_CHECKED;
void nat_built_fini(struct nat_built *b);

#endif
