/* Building ahead of time: a shared library, an object or LLVM's text, and the C header.
 *
 * The object is made in memory, as for the JIT. A shared library is linked from it by the system's
 * `cc`, or `ld` where there is no cc, in a temporary folder next to the output.                  */
#include <string.h>

#include "backends/llvm/native_private.h"
#include "backends/llvm/native_target.h"
#include "support/alloc.h"
#include "support/file.h"
#include "support/process.h"

static const char *const SUFFIXES[] = {
    [NAT_SHARED] = ".so", [NAT_OBJECT] = ".o", [NAT_TEXT] = ".ll"};

spk_status nat_format_of(const char *output, struct diag_list *d, enum nat_format *out)
{
    const char *name = path_base(output);

    for (int i = 0; i < NAT_FORMATS; i++) {
        if (strlen(name) > strlen(SUFFIXES[i]) && path_has_suffix(name, SUFFIXES[i])) {
            *out = (enum nat_format)i;
            return SPK_OK;
        }
    }
    return diag_usage(d, spk_span_none, "E0748",
                      "what to build is said by the output's name, NAME.so, NAME.o or NAME.ll, not "
                      "'%s'",
                      output);
}

/* ---- linking ---- */

static spk_status no_linker(const char *output, struct diag_list *d)
{
    spk_status status = diag_usage(d, spk_span_none, "E0749",
                                   "%s cannot be linked: there is neither cc nor ld", output);

    diag_help_set(d, "install the package binutils, or build an object, NAME.o, and link that");
    return status;
}

static spk_status link_object(const char *object, const char *library, const char *output,
                              struct diag_list *d)
{
    const char *const by_cc[] = {"cc", "-shared", "-nostdlib", "-o", library, object, NULL};
    const char *const by_ld[] = {"ld", "-shared", "-o", library, object, NULL};
    struct strbuf text = {0};
    int code;
    spk_status status = process_run(by_cc, d, &text, &code);

    if (status == SPK_OK && code == PROCESS_NONE)
        status = process_run(by_ld, d, &text, &code);
    if (status == SPK_OK && code == PROCESS_NONE)
        status = no_linker(output, d);
    else if (status == SPK_OK && code != 0)
        status = diag_io(d, spk_span_none, "E0749", "%s cannot be linked (exit code %d): %s",
                         output, code, strbuf_cstr(&text));
    strbuf_fini(&text);
    return status;
}

static spk_status copy_file(const char *from, const char *to, struct diag_list *d)
{
    struct file_map map;
    spk_status status;

    SPK_TRY(file_map_open(from, d, &map));
    status = file_write_all(to, map.data, map.size, d);
    file_map_close(&map);
    return status;
}

static spk_status link_in(const struct dir_writer *dir, const void *bytes, size_t n,
                          const char *output, struct diag_list *d)
{
    char *object = NULL, *library = NULL;
    spk_status status = dir_file(dir, "model.o", &object);

    if (status == SPK_OK)
        status = dir_file(dir, "model.so", &library);
    if (status == SPK_OK)
        status = file_write_all(object, bytes, n, d);
    if (status == SPK_OK)
        status = link_object(object, library, output, d);
    if (status == SPK_OK)
        status = copy_file(library, output, d);
    spk_free(object);
    spk_free(library);
    return status;
}

static spk_status write_library(const void *bytes, size_t n, const char *output,
                                struct diag_list *d)
{
    struct strbuf folder = {0};
    struct dir_writer *dir = NULL;
    spk_status status;

    strbuf_printf(&folder, "%s.link", output);
    status = folder.status;
    if (status == SPK_OK)
        status = dir_begin(strbuf_cstr(&folder), d, &dir);
    if (status == SPK_OK)
        status = link_in(dir, bytes, n, output, d);
    dir_abort(dir);
    strbuf_fini(&folder);
    return status;
}

/* ---- writing ---- */

static spk_status write_text(const struct llvm *l, const struct em *e, const char *output,
                             struct diag_list *d)
{
    char *text = l->PrintModuleToString(e->module);
    spk_status status = file_write_all(output, text, strlen(text), d);

    l->DisposeMessage(text);
    return status;
}

static spk_status write_code(const struct llvm *l, const struct em *e, const struct nat_target *t,
                             enum nat_format format, const char *output, struct diag_list *d)
{
    LLVMMemoryBufferRef object = NULL;
    const void *bytes;
    size_t n;
    spk_status status;

    if (format == NAT_TEXT)
        return write_text(l, e, output, d);
    SPK_TRY(nat_object(l, e, t, d, &object));
    bytes = l->GetBufferStart(object);
    n = l->GetBufferSize(object);
    status = format == NAT_OBJECT ? file_write_all(output, bytes, n, d)
                                  : write_library(bytes, n, output, d);
    l->DisposeMemoryBuffer(object);
    return status;
}

/* NAME.so to NAME.h. */
static spk_status header_path(const char *output, enum nat_format format, char **out)
{
    struct strbuf path = {0};

    strbuf_append_n(&path, output, strlen(output) - strlen(SUFFIXES[format]));
    strbuf_append(&path, ".h");
    return strbuf_detach(&path, out);
}

static spk_status write_header(const struct nat_plan *p, const struct nat_build_options *o,
                               const char *cpu, const char *path, struct diag_list *d)
{
    struct strbuf text = {0};
    spk_status status;

    nat_header(p, o, cpu, &text);
    status = text.status;
    if (status == SPK_OK)
        status = file_write_all(path, strbuf_cstr(&text), text.len, d);
    strbuf_fini(&text);
    return status;
}

static spk_status emit(const struct llvm *l, const struct nat_plan *p, const void *constants,
                       const struct nat_target *t, const struct nat_build_options *o,
                       struct diag_list *d, struct nat_built *out)
{
    struct strbuf name = {0};
    struct em_options eo = {
        .compress = t->compress, .cpu = t->cpu, .features = t->features, .constants = constants};
    struct em e = {0};
    enum nat_format format;
    spk_status status = nat_format_of(o->output, d, &format);

    nat_symbol_name(p->m->name, false, &name);
    eo.entry = strbuf_cstr(&name);
    if (status == SPK_OK)
        status = name.status;
    if (status == SPK_OK)
        status = em_module(&e, l, p, &eo, d);
    if (status == SPK_OK)
        status = nat_optimise(&e, t, d);
    if (status == SPK_OK)
        status = header_path(o->output, format, &out->header);
    if (status == SPK_OK)
        status = write_code(l, &e, t, format, o->output, d);
    if (status == SPK_OK)
        status = write_header(p, o, out->cpu, out->header, d);
    if (e.l)
        em_fini(&e);
    strbuf_fini(&name);
    return status;
}

/* What code built ahead of time needs beyond a plan. */
static spk_status check(const struct nat_plan *p, struct diag_list *d)
{
    if (p->logits_node == NAT_NONE || p->shape[p->logits_node].elem != NAT_F32)
        return diag_error(d, spk_span_none, "E0741", "module %s has no logits to compute",
                          p->m->name);
    if (p->const_bytes > INT32_MAX)
        return diag_error(d, spk_span_none, "E0741",
                          "%llu bytes of weights are too many for an object: at most %d",
                          (unsigned long long)p->const_bytes, INT32_MAX);
    return SPK_OK;
}

static spk_status build(const struct llvm *l, const struct nat_plan *p,
                        const struct nat_build_options *o, struct diag_list *d,
                        struct nat_built *out)
{
    struct nat_target t;
    void *constants;
    spk_status status;

    SPK_TRY(check(p, d));
    constants = spk_alloc_aligned(p->const_bytes + 64, 64);
    if (!constants)
        return SPK_ERR_NOMEM;
    nat_plan_constants(p, constants);
    status = nat_target_init(l, o->cpu, false, d, &t);
    if (status == SPK_OK) {
        out->cpu = spk_strdup(o->cpu ? o->cpu : "native");
        out->workspace_bytes = nat_workspace_of(p).bytes;
        out->weight_bytes = p->const_bytes;
        out->functions = (uint32_t)p->functions.len;
        status = out->cpu ? emit(l, p, constants, &t, o, d, out) : SPK_ERR_NOMEM;
    }
    nat_target_fini(l, &t);
    spk_free(constants);
    return status;
}

spk_status nat_build(const struct ir_module *m, const struct nat_build_options *o,
                     struct diag_list *d, struct nat_built *out)
{
    struct llvm l = {0};
    struct nat_plan p = {0};
    spk_status status;

    memset(out, 0, sizeof *out);
    SPK_TRY(ir_verify(m, d));
    SPK_TRY(llvm_open(d, &l));
    status = nat_plan_init(m, d, &p);
    if (status == SPK_OK)
        status = build(&l, &p, o, d, out);
    nat_plan_fini(&p);
    llvm_close(&l);
    if (status != SPK_OK)
        nat_built_fini(out);
    return status;
}

void nat_built_fini(struct nat_built *b)
{
    spk_free(b->header);
    spk_free(b->cpu);
    memset(b, 0, sizeof *b);
}
