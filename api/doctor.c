/* doctor: what this build and this machine have, and what is lost without the rest. A row of PARTS
 * per thing; nothing is changed, nothing is fetched. Programs are looked up in PATH, Python modules
 * are found without importing them. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/api_internal.h"
#include "backends/report/report.h"
#include "config.h"
#include "frontend/model.h"
#include "frontend/share.h"
#include "frontend/target_yaml.h"
#include "runtime/packed.h"
#include "support/alloc.h"
#include "support/file.h"
#include "support/process.h"
#if SPIKEC_HAVE_LLVM
#include "backends/llvm/native.h"
#endif

const char *spk_build_facts(void)
{
    return "compiler: " SPIKEC_COMPILER "\n"
           "build: " SPIKEC_BUILD "\n"
           "processor: " SPIKEC_PROCESSOR "\n"
           "libraries: " SPIKEC_LIBRARIES
#if SPIKEC_HAVE_METIS
           ", METIS"
#endif
#if SPIKEC_HAVE_SCOTCH
           ", Scotch"
#endif
           "\n";
}

/* Where a part comes from; `what` of a row names it there. */
enum kind {
    OF_BUILD,   /* part of the build: one of the names in in_build() */
    OF_CPU,     /* instruction sets: one of the names in in_cpu() */
    OF_LIBRARY, /* a library that is loaded on demand */
    PROGRAM,    /* a program in PATH */
    MODULE,     /* a module of the python3 in PATH */
    FOLDER      /* a folder with data */
};

static const struct part {
    enum kind kind;
    const char *name, *what;
    const char *gives;  /* what it is for */
    const char *costs;  /* what is so without it */
    const char *remedy; /* how to come by it; NULL: not at all */
} PARTS[] = {
    {OF_CPU, "AVX2", "avx2", "fast kernels of the engine packed",
     "packed runs its portable kernels, which are slower", NULL},
    {OF_CPU, "AVX-512", "avx512", "the fastest kernels of the engine packed",
     "packed runs the kernels of AVX2", NULL},
    {OF_BUILD, "native code", "llvm", "run and verify --engine native, build", "these are refused",
     "install llvm-14-dev, then build spikec again"},
    {OF_LIBRARY, "LLVM library", "llvm", "run and verify --engine native, build",
     "these are refused; the engine packed does not need it", "apt install libllvm14"},
    {PROGRAM, "cc", "cc", "build -o NAME.so: linking, unless ld is there",
     "ld links; where that is missing too, build writes NAME.o and NAME.ll only",
     "apt install gcc"},
    {PROGRAM, "ld", "ld", "build -o NAME.so: linking, unless cc is there",
     "cc links; where that is missing too, build writes NAME.o and NAME.ll only",
     "apt install binutils"},
    {OF_BUILD, "Scotch", "scotch", "compile and place --placer scotch, to compare with",
     "that placer is refused", "install libscotch-dev, then build spikec again"},
    {OF_BUILD, "METIS", "metis", "compile and place --placer metis, to compare with",
     "that placer is refused", "install libmetis-dev, then build spikec again"},
    {OF_BUILD, "D3", "d3", "report: its drawings (D3 is built in)", "report is refused",
     "install node-d3, then build spikec again"},
    {PROGRAM, "chromium", "chromium", "tests that click through the report; any browser shows it",
     "these tests are left out", "apt install chromium chromium-driver python3-selenium"},
    {PROGRAM, "python3", "python3", "running what export --to brian writes, tests, training",
     "none of these runs", "apt install python3"},
    {MODULE, "Brian 2", "brian2", "the same; a module of that python3",
     "the exported script does not start", "apt install python3-brian"},
    {MODULE, "NumPy", "numpy", "exported scripts, tests; a module of that python3", "neither runs",
     "apt install python3-numpy"},
    {MODULE, "PyTorch", "torch", "training (tools/train); reading checkpoints does not need it",
     "no training", "apt install python3-torch"},
    {PROGRAM, "SANA-FE", "sim", "running what export --to sanafe writes",
     "its tests use recorded results", "build it from its sources, put its program sim in PATH"},
    {FOLDER, "Fashion-MNIST", "/usr/share/datasets/fashion-mnist",
     "images of the trained example: calibration, accuracy", "the example runs on your images only",
     "apt install dataset-fashion-mnist"},
};
#define N_PARTS (sizeof PARTS / sizeof PARTS[0])

struct findings {
    spk_context *c;
    struct strbuf modules; /* " name name ", those that python3 finds */
};

static bool in_build(const char *what)
{
    return (strcmp(what, "llvm") == 0 && SPIKEC_HAVE_LLVM) ||
           (strcmp(what, "scotch") == 0 && SPIKEC_HAVE_SCOTCH) ||
           (strcmp(what, "metis") == 0 && SPIKEC_HAVE_METIS) ||
           (strcmp(what, "d3") == 0 && report_available());
}

static bool in_cpu(const char *what)
{
    return pk_path_available(strcmp(what, "avx2") == 0 ? PK_PATH_AVX2 : PK_PATH_AVX512);
}

static bool llvm_library(void)
{
#if SPIKEC_HAVE_LLVM
    return nat_available();
#else
    return false;
#endif
}

/* *out: the program's file, empty where it is not found. */
static spk_status in_path(const char *program, struct strbuf *out)
{
    const char *list = getenv("PATH");
    while (list && *list) {
        size_t length = strcspn(list, ":");
        strbuf_clear(out);
        strbuf_append_n(out, list, length);
        strbuf_printf(out, "%s%s", length > 0 ? "/" : "./", program);
        SPK_TRY(out->status);
        if (access(strbuf_cstr(out), X_OK) == 0 && !file_is_directory(strbuf_cstr(out)))
            return SPK_OK;
        list += length + (list[length] == ':');
    }
    strbuf_clear(out);
    return SPK_OK;
}

/* Asks python3, once, which of the modules of PARTS it has. */
static spk_status find_modules(struct findings *f)
{
    struct strbuf code = {0};
    int exit_code = 0;
    strbuf_append(&code, "import importlib.util as u\nfor n in '");
    for (size_t i = 0; i < N_PARTS; i++)
        if (PARTS[i].kind == MODULE)
            strbuf_printf(&code, "%s ", PARTS[i].what);
    strbuf_append(&code, "'.split():\n  if u.find_spec(n): print('', n, '')\n");
    spk_status status = code.status;
    const char *const argv[] = {"python3", "-c", strbuf_cstr(&code), NULL};
    if (status == SPK_OK)
        status = process_run(argv, &f->c->diags, &f->modules, &exit_code);
    if (status == SPK_OK && exit_code != 0)
        strbuf_clear(&f->modules);
    strbuf_fini(&code);
    return status;
}

static bool has_module(const struct findings *f, const char *name)
{
    char word[64];
    spk_snprintf(word, sizeof word, " %s ", name);
    return strstr(strbuf_cstr(&f->modules), word) != NULL;
}

/* *where (empty at first): its file, of a program. */
static spk_status find_part(const struct findings *f, const struct part *p, struct strbuf *where,
                            bool *out_found)
{
    *out_found = false;
    switch (p->kind) {
    case OF_BUILD:
        *out_found = in_build(p->what);
        return SPK_OK;
    case OF_CPU:
        *out_found = in_cpu(p->what);
        return SPK_OK;
    case OF_LIBRARY:
        *out_found = llvm_library();
        return SPK_OK;
    case PROGRAM:
        SPK_TRY(in_path(p->what, where));
        *out_found = where->len > 0;
        return SPK_OK;
    case MODULE:
        *out_found = has_module(f, p->what);
        return SPK_OK;
    case FOLDER:
        *out_found = file_is_directory(p->what);
        return SPK_OK;
    }
    return SPK_ERR_INTERNAL;
}

static spk_status report_part(const struct findings *f, const struct part *p, size_t *missing,
                              struct api_report *r)
{
    struct strbuf where = {0}, *text = &r->result->text;
    bool found;
    spk_status status = find_part(f, p, &where, &found);
    if (status == SPK_OK) {
        *missing += !found;
        jw_object_begin(&r->w, NULL);
        jw_string(&r->w, "name", p->name);
        jw_bool(&r->w, "found", found);
        jw_string(&r->w, "path", where.len > 0 ? strbuf_cstr(&where) : NULL);
        jw_string(&r->w, "gives", p->gives);
        jw_string(&r->w, "costs", found ? NULL : p->costs);
        jw_string(&r->w, "remedy", found ? NULL : p->remedy);
        jw_object_end(&r->w);
        strbuf_printf(text, "%-8s %-14s %s", found ? "yes" : "missing", p->name, p->gives);
        if (where.len > 0)
            strbuf_printf(text, " (%s)", strbuf_cstr(&where));
        if (!found)
            strbuf_printf(text, "\n%23s without it: %s", "", p->costs);
        if (!found && p->remedy != NULL)
            strbuf_printf(text, "\n%23s remedy: %s", "", p->remedy);
        strbuf_append(text, "\n");
    }
    strbuf_fini(&where);
    return status;
}

static spk_status report_parts(struct findings *f, struct api_report *r)
{
    size_t missing = 0;
    jw_array_begin(&r->w, "parts");
    for (size_t i = 0; i < N_PARTS; i++)
        SPK_TRY(report_part(f, &PARTS[i], &missing, r));
    jw_array_end(&r->w);
    jw_u64(&r->w, "missing", missing);
    strbuf_printf(&r->result->text, "\n%s\n",
                  missing == 0 ? "nothing is missing"
                               : "what is missing is needed only for what its line says");
    return SPK_OK;
}

/* What spikec ships: how much of it is found, and in which folders. */
static spk_status report_shipped(spk_context *c, enum fe_share what, const char *word, size_t n,
                                 struct api_report *r)
{
    struct file_names folders = {0};
    spk_status status = fe_share_folders(what, &folders);
    if (status == SPK_OK) {
        const char *comma = " in ";
        jw_object_begin(&r->w, word);
        jw_u64(&r->w, "found", n);
        jw_array_begin(&r->w, "folders");
        strbuf_printf(&r->result->text, "%s: %zu", word, n);
        for (size_t i = 0; i < folders.len; i++) {
            if (!file_is_directory(folders.data[i]))
                continue;
            jw_string(&r->w, NULL, folders.data[i]);
            strbuf_printf(&r->result->text, "%s%s", comma, folders.data[i]);
            comma = ", ";
        }
        strbuf_append(&r->result->text, "\n");
        jw_array_end(&r->w);
        jw_object_end(&r->w);
    }
    if (status == SPK_OK && n == 0) {
        struct strbuf places = {0};
        for (size_t i = 0; i < folders.len; i++)
            strbuf_printf(&places, "%s%s", i > 0 ? ", " : "", folders.data[i]);
        status = places.status;
        if (status == SPK_OK)
            status = diag_io(&c->diags, spk_span_none, "E0998", "no %s are found in %s", word,
                             strbuf_cstr(&places));
        strbuf_fini(&places);
    }
    file_names_fini(&folders);
    return status;
}

static void report_build(struct api_report *r)
{
    const char *facts = spk_build_facts();
    jw_string(&r->w, "version", spk_version());
    strbuf_printf(&r->result->text, "spikec %s\n%s", spk_version(), facts);
    jw_object_begin(&r->w, "build");
    while (*facts) {
        char key[32], value[256];
        size_t line = strcspn(facts, "\n"), word = strcspn(facts, ":");
        spk_snprintf(key, sizeof key, "%.*s", (int)word, facts);
        spk_snprintf(value, sizeof value, "%.*s", (int)(line - word - 2), facts + word + 2);
        jw_string(&r->w, key, value);
        facts += line + 1;
    }
    jw_object_end(&r->w);
    jw_u64(&r->w, "processors", (uint64_t)sysconf(_SC_NPROCESSORS_ONLN));
    strbuf_printf(&r->result->text, "processors: %ld\n", sysconf(_SC_NPROCESSORS_ONLN));
}

static spk_status doctor_all(spk_context *c, struct api_report *r)
{
    struct findings f = {.c = c};
    struct fe_model_names models;
    struct file_names targets = {0};
    report_build(r);
    SPK_TRY(fe_model_list(NULL, 0, &c->diags, &models));
    spk_status shipped = report_shipped(c, FE_SHARE_MODELS, "models", models.n, r);
    fe_model_names_fini(&models);
    if (shipped != SPK_OK && shipped != SPK_ERR_IO)
        return shipped;
    SPK_TRY(fe_target_list(&c->diags, &targets));
    spk_status status = report_shipped(c, FE_SHARE_TARGETS, "targets", targets.len, r);
    file_names_fini(&targets);
    if (status != SPK_OK && status != SPK_ERR_IO)
        return status;
    if (status == SPK_OK)
        status = shipped;
    strbuf_append(&r->result->text, "\n");
    spk_status parts = find_modules(&f);
    if (parts == SPK_OK)
        parts = report_parts(&f, r);
    strbuf_fini(&f.modules);
    return parts == SPK_OK ? status : parts;
}

int spk_doctor(spk_context *c, spk_result **out_result)
{
    struct api_report r;
    SPK_TRY(api_job(c, out_result, true, "spk_doctor"));
    spk_status status = api_report_begin(&r, "doctor");
    if (status == SPK_OK)
        status = doctor_all(c, &r);
    return api_report_end(&r, status, status == SPK_ERR_IO, out_result);
}
