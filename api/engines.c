/* The engines there are. A row per engine; one that this build lacks stays in the table, so that it
 * is missed by name. */
#include <string.h>

#include "api/api_internal.h"
#include "config.h"
#include "runtime/packed.h"
#include "runtime/reference.h"
#if SPIKEC_HAVE_LLVM
#include "backends/llvm/native.h"
#define NATIVE (&nat_engine)
#else
#define NATIVE NULL
#endif

static const struct engine_row {
    const char *name;
    const struct engine_vtable *vtable; /* NULL: not in this build */
} ENGINES[] = {
    {"reference", &rt_reference_engine}, {"packed", &rt_packed_engine}, {"native", NATIVE}};

static spk_status no_engine(spk_context *c, const char *name)
{
    struct strbuf names = {0};
    for (size_t i = 0; i < sizeof ENGINES / sizeof ENGINES[0]; i++)
        if (ENGINES[i].vtable != NULL)
            strbuf_printf(&names, "%s%s", i > 0 ? ", " : "", ENGINES[i].name);
    spk_status status =
        diag_usage(&c->diags, spk_span_none, "E0904", "this build has no engine '%s'", name);
    diag_help_set(&c->diags, "engines: %s", strbuf_cstr(&names));
    strbuf_fini(&names);
    return status;
}

spk_status api_no_native(spk_context *c)
{
    spk_status status = diag_usage(&c->diags, spk_span_none, "E0936",
                                   "this build has no native code: it was made without LLVM");
    diag_help_set(&c->diags,
                  "install the package llvm-14-dev (tools/setup does) and build spikec again");
    return status;
}

spk_status api_engine(spk_context *c, const char *name, const char *target_cpu,
                      const struct engine_vtable **out)
{
    const struct engine_row *row = name == NULL ? &ENGINES[0] : NULL;
    for (size_t i = 0; row == NULL && i < sizeof ENGINES / sizeof ENGINES[0]; i++)
        if (strcmp(name, ENGINES[i].name) == 0)
            row = &ENGINES[i];
    *out = row != NULL ? row->vtable : NULL;
    if (row == NULL)
        return no_engine(c, name);
    if (row->vtable == NULL)
        return api_no_native(c);
    if (target_cpu == NULL || row->vtable == NATIVE)
        return SPK_OK;
    spk_status status = diag_usage(&c->diags, spk_span_none, "E0937",
                                   "engine %s makes no code for a processor", row->name);
    diag_help_set(&c->diags, "give --engine native with --target-cpu");
    return status;
}

spk_status api_engine_create(spk_context *c, const struct engine_vtable *vtable,
                             const char *target_cpu, const struct ir_module *m, struct engine **out)
{
#if SPIKEC_HAVE_LLVM
    if (vtable == NATIVE)
        return nat_engine_create(m, target_cpu, &c->diags, out);
#endif
    (void)target_cpu;
    return vtable->create(m, &c->diags, out);
}
