/* export --to nir: folds batch norms and hands the float module to the back end. The step of the
 * file is --dt, by default 1: the unit of time is then a step. */
#include "api/export.h"
#include "backends/nir/nir_export.h"
#include "passes/pass.h"

spk_status export_nir(struct export_job *j, struct api_report *r)
{
    const struct pass_context passes = {.diags = &j->c->diags, .pool = j->c->pool};
    struct ir_module **m = j->model.module ? &j->model.module : &j->f.model;
    const double dt = j->o->model.dt > 0.0 ? j->o->model.dt : 1.0;
    struct nir_figures f;
    SPK_TRY(passes_run(&passes, "infer-shapes,fold-batchnorm,dce", m));
    SPK_TRY(nir_export(*m, dt, j->dir, &j->c->diags, &f));
    jw_u64(&r->w, "graphs", f.graphs);
    jw_u64(&r->w, "nodes", f.nodes);
    jw_u64(&r->w, "edges", f.edges);
    jw_u64(&r->w, "cut", f.cut);
    strbuf_printf(&r->result->text, "%llu graphs, %llu nodes, %llu edges",
                  (unsigned long long)f.graphs, (unsigned long long)f.nodes,
                  (unsigned long long)f.edges);
    if (f.cut > 0)
        strbuf_printf(&r->result->text, "; cut at %llu values that NIR cannot express",
                      (unsigned long long)f.cut);
    strbuf_char(&r->result->text, '\n');
    return SPK_OK;
}
