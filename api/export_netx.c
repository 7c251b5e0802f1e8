/* export --to netx: the integers of a compiled folder or of a netx network as they are; of a float
 * model those that the rules of Loihi 1 give it with one threshold per layer and weights of 9 bits
 * as lava has them. */
#include "api/export.h"
#include "backends/netx/netx_export.h"
#include "passes/pass.h"
#include "support/alloc.h"

/* The float module in integers of netx. */
static spk_status quantise(struct export_job *j, struct ir_module **m)
{
    struct tgt *target = NULL;
    SPK_TRY(api_target_load(j->c, "loihi1", &target));
    target->arith.weight_exp_min = target->arith.weight_exp_max = 0;
    const struct pass_context passes = {
        .diags = &j->c->diags, .pool = j->c->pool, .target = target};
    spk_status status = passes_run(&passes, "prepare,quantise{thresholds=1}", m);
    tgt_destroy(target);
    return status;
}

spk_status export_netx(struct export_job *j, struct api_report *r)
{
    struct ir_module **m = j->model.module ? &j->model.module : &j->f.quantised;
    struct netx_figures f;
    char *path = NULL;
    if ((*m)->stage != IR_STAGE_QUANTISED)
        SPK_TRY(quantise(j, m));
    SPK_TRY(dir_file(j->dir, "network.net", &path));
    spk_status status = netx_export(*m, path, &j->c->diags, &f);
    spk_free(path);
    SPK_TRY(status);
    jw_u64(&r->w, "layers", f.layers);
    jw_u64(&r->w, "neurons", f.neurons);
    jw_u64(&r->w, "weights", f.weights);
    strbuf_printf(&r->result->text, "%llu layers, %llu neurons, %llu weights\n",
                  (unsigned long long)f.layers, (unsigned long long)f.neurons,
                  (unsigned long long)f.weights);
    return SPK_OK;
}
