/* Opening LLVM's library. Symbols are bound once per table; the library stays loaded until the
 * process ends, since LLVM does not support being unloaded.                                     */
#include "backends/llvm/llvm_table.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"

static const char *const LIBRARIES[] = {
#if SPIKEC_LLVM_VERSION == 19
    "libLLVM.so.19.1",
    "libLLVM-14.so.1",
#else
    "libLLVM-14.so.1",
    "libLLVM.so.19.1",
#endif
};

struct symbol {
    const char *name;
    size_t offset; /* in struct llvm */
};

static const struct symbol SYMBOLS[] = {
#define X(name) {"LLVM" #name, offsetof(struct llvm, name)},
#include "backends/llvm/llvm_functions.def"
#undef X
};

/* Code generators by architecture; their set-up functions have no prototype without a target. */
static void initialise_targets(void *library)
{
    static const char *const ARCHITECTURES[] = {"X86", "AArch64"};
    static const char *const PARTS[] = {"TargetInfo", "Target", "TargetMC", "AsmPrinter",
                                        "AsmParser"};
    char name[64];

    for (size_t a = 0; a < sizeof ARCHITECTURES / sizeof *ARCHITECTURES; a++) {
        for (size_t p = 0; p < sizeof PARTS / sizeof *PARTS; p++) {
            void (*initialise)(void) = NULL;
            void *symbol;

            memcpy(name, "LLVMInitialize", 15);
            strcat(name, ARCHITECTURES[a]);
            strcat(name, PARTS[p]);
            symbol = dlsym(library, name);
            memcpy(&initialise, &symbol, sizeof symbol);
            if (initialise)
                initialise();
        }
    }
}

static spk_status bind(struct llvm *l, const char *library, struct diag_list *d)
{
    for (size_t i = 0; i < sizeof SYMBOLS / sizeof *SYMBOLS; i++) {
        void *symbol = dlsym(l->library, SYMBOLS[i].name);

        if (!symbol)
            return diag_usage(d, spk_span_none, "E0740",
                              "%s has no function %s: native code needs "
                              "LLVM 14 or 19.1",
                              library, SYMBOLS[i].name);
        memcpy((char *)l + SYMBOLS[i].offset, &symbol, sizeof symbol);
    }
    initialise_targets(l->library);
    return SPK_OK;
}

spk_status llvm_open(struct diag_list *d, struct llvm *out)
{
    const char *library = getenv("SPIKEC_LLVM");
    const char *const *names = library ? &library : LIBRARIES;
    size_t n = library ? 1 : sizeof LIBRARIES / sizeof *LIBRARIES;
    spk_status status;

    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < n && !out->library; i++) {
        out->library = dlopen(names[i], RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE);
        if (out->library) {
            status = bind(out, names[i], d);
            if (status != SPK_OK)
                llvm_close(out);
            return status;
        }
    }
    status = diag_usage(d, spk_span_none, "E0740",
                        "native code needs LLVM's library, and %s%s%s "
                        "cannot be loaded",
                        names[0], n > 1 ? " or " : "", n > 1 ? names[1] : "");
    diag_help_set(d, "install the package libllvm14 (or libllvm19), or use another engine");
    return status;
}

void llvm_close(struct llvm *l)
{
    if (l->library)
        dlclose(l->library);
    memset(l, 0, sizeof *l);
}
