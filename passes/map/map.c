/* The mapper's main line: build the network, partition, share cores, place. */
#include "passes/map/explain.h"

#include <string.h>

#include "support/alloc.h"

static spk_status default_rates(const struct ir_module *module, const double *declared,
                                struct map_rate **out)
{
    SPK_TRY(spk_alloc_array(module->n_nodes, sizeof **out, out));
    for (uint32_t i = 0; i < module->n_nodes; i++)
        (*out)[i] = (struct map_rate){1, declared};
    return SPK_OK;
}

spk_status map_run(const struct ir_module *module, const struct tgt *target,
                   const struct map_options *options, struct diag_list *diags, struct mapping *out)
{
    const double declared = map_declared_rate(module);
    struct map_rate *rates = NULL;
    memset(out, 0, sizeof *out);
    if (options->node_rate == NULL)
        SPK_TRY(default_rates(module, &declared, &rates));
    spk_status status =
        map_net_build(module, target, rates ? rates : options->node_rate, diags, &out->net);
    spk_free(rates);
    SPK_TRY(status);
    out->seed = options->seed;
    if (options->constraints != NULL)
        status = map_constrain(out, options->constraints, diags);
    if (status == SPK_OK)
        status = map_partition(out, options, diags);
    if (status == SPK_OK)
        status = map_assign_cores(out, options);
    if (status == SPK_OK && options->remarks)
        map_explain_cores(out, diags);
    if (status == SPK_OK)
        status = map_place_cores(out, options, diags);
    if (status != SPK_OK)
        map_fini(out);
    return status;
}

void map_fini(struct mapping *m)
{
    vec_fini(&m->tiles);
    spk_free(m->usage);
    spk_free(m->core_first);
    spk_free(m->core_tile);
    spk_free(m->place);
    map_net_fini(&m->net);
    memset(m, 0, sizeof *m);
}
