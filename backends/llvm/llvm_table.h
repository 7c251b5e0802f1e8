/* The part of LLVM's C API that this room uses, as a table of function pointers.
 *
 * The library is opened when native code is asked for: a plain run neither needs it nor pays for
 * it. Only functions that LLVM 14 and LLVM 19.1 both have, with the same types, are in the table;
 * the headers of either will do. Nothing else includes llvm-c.                                  */
#ifndef SPIKEC_BACKENDS_LLVM_TABLE_H
#define SPIKEC_BACKENDS_LLVM_TABLE_H

#include <llvm-c/Analysis.h>
#include <llvm-c/Core.h>
#include <llvm-c/Error.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <llvm-c/Transforms/PassBuilder.h>

#include "support/diag.h"

struct llvm {
    void *library;
#define X(name) __typeof__(&LLVM##name) name;
#include "backends/llvm/llvm_functions.def"
#undef X
};

/* Opens the library: that of the environment variable SPIKEC_LLVM, or else the first of those this
 * program knows. An error (usage) names what was looked for and the Debian package.             */
spk_status llvm_open(struct diag_list *d, struct llvm *out) SPK_CHECKED;
/* A zero-initialised table is allowed. */
void llvm_close(struct llvm *l);

#endif
