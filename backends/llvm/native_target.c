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

/* Processors, by the names that LLVM has for them in both versions. It would take any name and
 * complain on stderr. `needs`: features that tell whether this processor can run the code.      */
static const struct cpu {
    const char *name, *architecture; /* the beginning of the triple; "": any */
    const char *needs[2];
    bool compress; /* AVX-512 */
} CPUS[] = {
    {"generic", "", {NULL}, false},
    {"x86-64", "x86_64", {NULL}, false},
    {"x86-64-v2", "x86_64", {"+sse4.2", "+popcnt"}, false},
    {"x86-64-v3", "x86_64", {"+avx2", "+bmi2"}, false},
    {"x86-64-v4", "x86_64", {"+avx512vl", "+avx512bw"}, true},
    {"haswell", "x86_64", {"+avx2", "+bmi2"}, false},
    {"skylake", "x86_64", {"+avx2", "+bmi2"}, false},
    {"skylake-avx512", "x86_64", {"+avx512vl", "+avx512bw"}, true},
    {"icelake-server", "x86_64", {"+avx512vbmi2", "+avx512bitalg"}, true},
    {"znver1", "x86_64", {"+avx2", "+sse4a"}, false},
    {"znver2", "x86_64", {"+avx2", "+sse4a"}, false},
    {"znver3", "x86_64", {"+avx2", "+sse4a"}, false},
    {"cortex-a72", "aarch64", {NULL}, false},
    {"neoverse-n1", "aarch64", {NULL}, false},
};
#define N_CPUS (sizeof CPUS / sizeof *CPUS)

static bool architecture_fits(const struct cpu *c, const char *triple)
{
    return strncmp(triple, c->architecture, strlen(c->architecture)) == 0;
}

static spk_status find_cpu(const char *name, const char *triple, struct diag_list *d,
                           const struct cpu **out)
{
    struct strbuf names = {0};
    spk_status status;

    for (size_t i = 0; i < N_CPUS; i++) {
        if (!architecture_fits(&CPUS[i], triple))
            continue;
        if (strcmp(CPUS[i].name, name) == 0) {
            *out = &CPUS[i];
            strbuf_fini(&names);
            return SPK_OK;
        }
        strbuf_printf(&names, ", %s", CPUS[i].name);
    }
    status = diag_usage(d, spk_span_none, "E0745", "unknown processor '%s'", name);
    diag_help_set(d, "processors: native%s", strbuf_cstr(&names));
    strbuf_fini(&names);
    return status;
}

/* Whether this processor runs code made for another. */
static spk_status check_host(const struct cpu *c, const char *features, struct diag_list *d)
{
    for (size_t i = 0; i < sizeof c->needs / sizeof *c->needs; i++) {
        const char *at = c->needs[i] ? strstr(features, c->needs[i]) : NULL;
        char next = at ? at[strlen(c->needs[i])] : ',';

        if (c->needs[i] && (!at || (next != ',' && next != '\0')))
            return diag_usage(d, spk_span_none, "E0747",
                              "this processor cannot run code for %s: it has no %s", c->name,
                              c->needs[i] + 1);
    }
    return SPK_OK;
}

static spk_status no_machine(struct diag_list *d, const char *triple)
{
    return diag_usage(d, spk_span_none, "E0745", "LLVM has no code generator for %s", triple);
}

spk_status nat_target_init(const struct llvm *l, const char *cpu, bool here, struct diag_list *d,
                           struct nat_target *out)
{
    LLVMTargetRef target = NULL;
    char *message = NULL;
    const struct cpu *known = NULL;

    memset(out, 0, sizeof *out);
    out->triple = l->GetDefaultTargetTriple();
    out->host = l->GetHostCPUName();
    out->host_features = l->GetHostCPUFeatures();
    out->cpu = out->host;
    out->features = out->host_features;
    if (cpu && strcmp(cpu, "native") != 0) {
        SPK_TRY(find_cpu(cpu, out->triple, d, &known));
        if (here)
            SPK_TRY(check_host(known, out->host_features, d));
        out->cpu = known->name;
        out->features = "";
    }
    out->compress =
        known ? known->compress
              : strncmp(out->triple, "x86_64", 6) == 0 && strstr(out->features, "+avx512f") != NULL;
    if (l->GetTargetFromTriple(out->triple, &target, &message) == 0)
        out->machine =
            l->CreateTargetMachine(target, out->triple, out->cpu, out->features,
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
    if (t->host)
        l->DisposeMessage(t->host);
    if (t->host_features)
        l->DisposeMessage(t->host_features);
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

spk_status nat_object(const struct llvm *l, const struct em *e, const struct nat_target *t,
                      struct diag_list *d, LLVMMemoryBufferRef *out)
{
    char *message = NULL;
    spk_status status = SPK_OK;

    if (l->TargetMachineEmitToMemoryBuffer(t->machine, e->module, LLVMObjectFile, &message, out))
        status = diag_internal(d, spk_span_none, "E0744", "code: %s", message);
    if (message)
        l->DisposeMessage(message);
    return status;
}

/* ---- in this process ---- */

static spk_status load_object(const struct llvm *l, struct nat_code *c, const struct em *e,
                              const struct nat_target *t, struct diag_list *d)
{
    LLVMMemoryBufferRef object = NULL;
    LLVMErrorRef error;

    SPK_TRY(nat_object(l, e, t, d, &object));
    error = l->OrcCreateLLJIT(&c->jit, NULL);
    if (error)
        l->DisposeMemoryBuffer(object);
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
    struct em_options o = {.forced = forced};
    struct nat_target t;
    struct em e = {0};
    spk_status status;

    memset(out, 0, sizeof *out);
    status = nat_target_init(l, cpu, true, d, &t);
    o.compress = t.compress;
    o.cpu = t.cpu;
    o.features = t.features;
    if (status == SPK_OK)
        status = em_module(&e, l, p, &o, d);
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
