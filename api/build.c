/* build: a network as machine code for a processor, with a C header. Level R of a model, R or Q of
 * a compiled folder, or a model in the integers of a target. */
#include <string.h>

#include "api/api_internal.h"
#include "config.h"
#include "passes/pass.h"
#include "runtime/reference.h"
#if SPIKEC_HAVE_LLVM
#include "backends/llvm/native.h"

#define CALIBRATE_DEFAULT 512

struct build {
    spk_context *c;
    const struct spk_build_options *o;
    struct api_network net;
    struct tgt *target;
    struct api_data calibration;
    struct ir_module *quantised;
    struct nat_built built;
};

static void build_fini(struct build *b)
{
    nat_built_fini(&b->built);
    ir_module_destroy(b->quantised);
    api_data_fini(&b->calibration);
    api_network_fini(&b->net);
    if (b->target != NULL)
        tgt_destroy(b->target);
}

/* The model in the target's integers: what `compile` maps, before it is mapped. */
static spk_status quantise(struct build *b)
{
    const struct spk_build_options *o = b->o;
    if (api_is_folder(o->model.model))
        return diag_usage(&b->c->diags, spk_span_none, "E0938",
                          "'%s' is compiled: give --level Q for its integers, not --quantised",
                          o->model.model);
    SPK_TRY(api_target_load(b->c, o->quantised, &b->target));
    if (o->calibrate != NULL) {
        struct spk_data_options d = {.input = o->calibrate,
                                     .form = o->form,
                                     .limit = o->calibrate_limit ? o->calibrate_limit
                                                                 : CALIBRATE_DEFAULT};
        SPK_TRY(api_data_load(b->c, &d, b->net.model.module, &b->calibration));
    }
    struct pass_context pc = {
        .target = b->target,
        .engine = &rt_reference_engine,
        .calibration = b->calibration.input.input.n_images ? &b->calibration.input.input : NULL,
        .diags = &b->c->diags,
        .pool = b->c->pool,
        .progress = &b->c->progress,
    };
    SPK_TRY(ir_module_clone(b->net.model.module, false, &b->quantised));
    return passes_compile_pipeline(&pc, PASSES_QUANTISED, NULL, NULL, &b->quantised);
}

static spk_status build_code(struct build *b, const struct ir_module *m, struct api_report *r)
{
    struct strbuf level = {0};
    const bool q = m->stage == IR_STAGE_QUANTISED;
    struct nat_build_options o = {.output = b->o->output, .cpu = b->o->target_cpu};
    strbuf_append(&level, q ? "level Q in the integers of " : "level R in float32");
    if (q)
        strbuf_append(&level, b->target ? b->target->name : "the chip it was compiled for");
    o.level = strbuf_cstr(&level);
    spk_status status = level.status;
    if (status == SPK_OK)
        status = nat_build(m, &o, &b->c->diags, &b->built);
    strbuf_fini(&level);
    if (status != SPK_OK)
        return status;
    const struct nat_built *n = &b->built;
    jw_string(&r->w, "model", m->name);
    jw_string(&r->w, "level", q ? "Q" : "R");
    jw_string(&r->w, "output", b->o->output);
    jw_string(&r->w, "header", n->header);
    jw_string(&r->w, "target_cpu", n->cpu);
    jw_u64(&r->w, "functions", n->functions);
    jw_u64(&r->w, "weight_bytes", n->weight_bytes);
    jw_u64(&r->w, "workspace_bytes", n->workspace_bytes);
    strbuf_printf(&r->result->text,
                  "%s, level %s, for %s: %s and %s\n%u functions, %.3f MB of weights, a workspace "
                  "of %.3f MB\n",
                  m->name, q ? "Q" : "R", n->cpu, b->o->output, n->header, n->functions,
                  (double)n->weight_bytes * 1e-6, (double)n->workspace_bytes * 1e-6);
    return SPK_OK;
}

static spk_status build_all(struct build *b, struct api_report *r)
{
    enum nat_format format;
    if (b->o->output == NULL)
        return diag_usage(&b->c->diags, spk_span_none, "E0938",
                          "no output: give it with -o NAME.so, NAME.o or NAME.ll");
    SPK_TRY(nat_format_of(b->o->output, &b->c->diags, &format));
    if (b->o->calibrate != NULL && b->o->quantised == NULL)
        return diag_usage(&b->c->diags, spk_span_none, "E0938",
                          "--calibrate sets the scales of --quantised, which is not given");
    SPK_TRY(api_network_load(b->c, &b->o->model, b->o->level, &b->net));
    if (b->o->quantised != NULL)
        SPK_TRY(quantise(b));
    SPK_TRY(api_poll(b->c));
    return build_code(b, b->quantised != NULL ? b->quantised : b->net.module, r);
}
#endif

int spk_build(spk_context *c, const struct spk_build_options *o, spk_result **out_result)
{
    SPK_TRY(api_job(c, out_result, o != NULL, "spk_build"));
#if SPIKEC_HAVE_LLVM
    struct build b = {.c = c, .o = o};
    struct api_report r;
    spk_status status = api_report_begin(&r, "build");
    if (status == SPK_OK)
        status = build_all(&b, &r);
    build_fini(&b);
    return api_report_end(&r, status, false, out_result);
#else
    (void)o;
    return api_no_native(c);
#endif
}
