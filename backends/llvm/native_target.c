/* Target machines and the JIT.
 *
 * The passes make registers of stack slots, simplify, and move what does not change out of loops;
 * vectors are there already, so no vectoriser runs, and no pass recognises loops as calls of the C
 * library. The JIT links an object that was made as for a file: both ways share everything, and the
 * target machine stays ours (the JIT's builder would consume it).                               */
#include "backends/llvm/native_target.h"

#include <string.h>

#include "support/alloc.h"
#include "support/strbuf.h"

#define PASSES                                                                                 \
    "function(sroa,early-cse<memssa>,instcombine,simplifycfg,loop-mssa(licm),gvn,instcombine," \
    "simplifycfg,loop-mssa(licm),adce)"

static const struct cpu {
    const char *name;
    bool compress;
} CPUS[] = {
    {"generic", false},    {"x86-64", false},        {"x86-64-v2", false},
    {"x86-64-v3", false},  {"x86-64-v4", true},      {"haswell", false},
    {"skylake", false},    {"skylake-avx512", true}, {"icelake-server", true},
    {"znver1", false},     {"znver2", false},        {"znver3", false},
    {"cortex-a72", false}, {"neoverse-n1", false},
};
#define N_CPUS (sizeof CPUS / sizeof *CPUS)

static spk_status unknown_cpu(const char *cpu, struct diag_list *d)
{
    struct strbuf names = {0};
    spk_status status = diag_usage(d, spk_span_none, "E0745", "unknown processor '%s'", cpu);

    for (size_t i = 0; i < N_CPUS; i++)
        strbuf_printf(&names, ", %s", CPUS[i].name);
    diag_help_set(d, "processors: native%s", strbuf_cstr(&names));
    strbuf_fini(&names);
    return status;
}

static spk_status no_machine(struct diag_list *d, const char *triple)
{
    return diag_usage(d, spk_span_none, "E0745", "LLVM has no code generator for %s", triple);
}

spk_status nat_target_init(const struct llvm *l, const char *cpu, struct diag_list *d,
                           struct nat_target *out)
{
    LLVMTargetRef target = NULL;
    char *message = NULL;
    const struct cpu *known = NULL;

    memset(out, 0, sizeof *out);
    if (cpu && strcmp(cpu, "native") == 0)
        cpu = NULL;
    for (size_t i = 0; cpu && i < N_CPUS; i++)
        if (strcmp(CPUS[i].name, cpu) == 0)
            known = &CPUS[i];
    if (cpu && !known)
        return unknown_cpu(cpu, d);
    out->triple = l->GetDefaultTargetTriple();
    if (!cpu) {
        out->cpu = l->GetHostCPUName();
        out->features = l->GetHostCPUFeatures();
    }
    out->compress =
        strncmp(out->triple, "x86_64", 6) == 0 &&
        (known ? known->compress : out->features && strstr(out->features, "+avx512f") != NULL);
    if (l->GetTargetFromTriple(out->triple, &target, &message) == 0)
        out->machine = l->CreateTargetMachine(
            target, out->triple, cpu ? cpu : out->cpu, out->features ? out->features : "",
            LLVMCodeGenLevelDefault, LLVMRelocPIC, LLVMCodeModelDefault);
    if (message)
        l->DisposeMessage(message);
    return out->machine ? SPK_OK : no_machine(d, out->triple);
}

void nat_target_fini(const struct llvm *l, struct nat_target *t)
{
    if (t->machine)
        l->DisposeTargetMachine(t->machine);
    if (t->triple)
        l->DisposeMessage(t->triple);
    if (t->cpu)
        l->DisposeMessage(t->cpu);
    if (t->features)
        l->DisposeMessage(t->features);
    memset(t, 0, sizeof *t);
}

static spk_status failed(const struct llvm *l, LLVMErrorRef error, const char *what,
                         struct diag_list *d)
{
    char *message;
    spk_status status;

    if (!error)
        return SPK_OK;
    message = l->GetErrorMessage(error);
    status = diag_internal(d, spk_span_none, "E0744", "%s: %s", what, message);
    l->DisposeErrorMessage(message);
    return status;
}

spk_status nat_optimise(const struct em *e, const struct nat_target *t, struct diag_list *d)
{
    const struct llvm *l = e->l;
    LLVMPassBuilderOptionsRef options = l->CreatePassBuilderOptions();
    LLVMTargetDataRef layout = l->CreateTargetDataLayout(t->machine);
    spk_status status;

    l->SetTarget(e->module, t->triple);
    l->SetModuleDataLayout(e->module, layout);
    l->DisposeTargetData(layout);
    status = failed(l, l->RunPasses(e->module, PASSES, t->machine, options), "passes", d);
    l->DisposePassBuilderOptions(options);
    return status;
}

/* ---- in this process ---- */

static spk_status load_object(const struct llvm *l, struct nat_code *c, struct em *e,
                              const struct nat_target *t, struct diag_list *d)
{
    LLVMMemoryBufferRef object = NULL;
    char *message = NULL;
    LLVMErrorRef error;

    if (l->TargetMachineEmitToMemoryBuffer(t->machine, e->module, LLVMObjectFile, &message,
                                           &object)) {
        spk_status status = diag_internal(d, spk_span_none, "E0744", "code: %s", message);

        l->DisposeMessage(message);
        return status;
    }
    error = l->OrcCreateLLJIT(&c->jit, NULL);
    SPK_TRY(failed(l, error, "JIT", d));
    error = l->OrcLLJITAddObjectFile(c->jit, l->OrcLLJITGetMainJITDylib(c->jit), object);
    return failed(l, error, "JIT", d);
}

static spk_status find_functions(const struct llvm *l, struct nat_code *c, size_t n,
                                 struct diag_list *d)
{
    char name[32];

    SPK_TRY(spk_alloc_array(n, sizeof *c->fn, &c->fn));
    for (size_t i = 0; i < n; i++) {
        LLVMOrcExecutorAddress at = 0;

        spk_snprintf(name, sizeof name, "k%u", (unsigned)i);
        SPK_TRY(failed(l, l->OrcLLJITLookup(c->jit, &at, name), "JIT", d));
        memcpy(&c->fn[i], &at, sizeof c->fn[i]);
    }
    return SPK_OK;
}

spk_status nat_code_init(const struct llvm *l, const struct nat_plan *p, const char *cpu,
                         bool forced, struct diag_list *d, struct nat_code *out)
{
    struct nat_target t;
    struct em e = {0};
    spk_status status;

    memset(out, 0, sizeof *out);
    status = nat_target_init(l, cpu, d, &t);
    if (status == SPK_OK)
        status = em_module(&e, l, p, "", NAT_EXPORTED, forced, t.compress, d);
    if (status == SPK_OK)
        status = nat_optimise(&e, &t, d);
    if (status == SPK_OK)
        status = load_object(l, out, &e, &t, d);
    if (status == SPK_OK)
        status = find_functions(l, out, p->functions.len, d);
    if (e.l)
        em_fini(&e);
    nat_target_fini(l, &t);
    if (status != SPK_OK)
        nat_code_fini(l, out);
    return status;
}

void nat_code_fini(const struct llvm *l, struct nat_code *c)
{
    if (c->jit)
        (void)(l->OrcDisposeLLJIT(c->jit) == NULL);
    spk_free(c->fn);
    memset(c, 0, sizeof *c);
}
