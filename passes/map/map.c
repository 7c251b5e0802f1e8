/* The mapper's main line: choose the attention lowering, build the network, partition, place. */
#include "passes/map/map.h"

#include <string.h>

#include "support/alloc.h"

static spk_status check_attention(const struct tgt *target, enum tgt_attention a,
                                  struct diag_list *diags)
{
    if ((target->attention & (uint32_t)a) != 0)
        return SPK_OK;
    return diag_nofit(diags, spk_span_none, "E0669",
                      "target '%s' lacks the capability '%s' for attention", target->name,
                      tgt_attention_name(a));
}

spk_status map_choose_attention(const struct ir_module *module, const struct tgt *target,
                                enum tgt_attention forced, struct diag_list *diags,
                                enum tgt_attention *out)
{
    static const enum tgt_attention order[] = {TGT_ATTN_PRODUCT, TGT_ATTN_EMBEDDED,
                                               TGT_ATTN_AND_LIF};
    uint64_t tokens = 0, products = 0;
    *out = forced;
    if (forced != 0)
        return check_attention(target, forced, diags);
    for (uint32_t i = 0; i < module->n_nodes; i++) {
        const struct ir_node *n = &module->node[i];
        if (n->op != IR_OP_ATTENTION)
            continue;
        uint64_t t = ir_type_positions(&n->type);
        if (t > tokens)
            tokens = t;
        products += 2 * t * n->type.channels * (n->type.channels / n->a.attention.heads);
    }
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        const uint64_t system_neurons =
            target->n_systems == 0
                ? 0
                : (uint64_t)target->system[target->n_systems - 1].chips_x *
                      target->system[target->n_systems - 1].chips_y * target->cores_per_chip *
                      tgt_limit_value(target, TGT_NEURONS);
        if ((target->attention & (uint32_t)order[i]) == 0 ||
            (order[i] == TGT_ATTN_AND_LIF && tokens > 16) ||
            (order[i] == TGT_ATTN_PRODUCT && products > system_neurons / 2))
            continue;
        *out = order[i];
        return SPK_OK;
    }
    if (tokens == 0) { /* no attention in the model: any lowering will do */
        *out = TGT_ATTN_AND_LIF;
        return SPK_OK;
    }
    return diag_nofit(diags, spk_span_none, "E0670",
                      "target '%s' has no attention lowering that can do %llu tokens", target->name,
                      (unsigned long long)tokens);
}

static spk_status default_rates(const struct ir_module *module, double **out)
{
    SPK_TRY(spk_alloc_array(module->n_nodes, sizeof **out, out));
    for (uint32_t i = 0; i < module->n_nodes; i++)
        (*out)[i] = module->declared_rate > 0 ? (double)module->declared_rate : 0.1;
    return SPK_OK;
}

spk_status map_run(const struct ir_module *module, const struct tgt *target,
                   const struct map_options *options, struct diag_list *diags,
                   struct mapping *out)
{
    double *rates = NULL;
    enum tgt_attention attention;
    memset(out, 0, sizeof *out);
    SPK_TRY(map_choose_attention(module, target, options->attention, diags, &attention));
    if (options->node_rate == NULL)
        SPK_TRY(default_rates(module, &rates));
    spk_status status = map_net_build(module, target, attention,
                                      rates ? rates : options->node_rate, diags, &out->net);
    spk_free(rates);
    SPK_TRY(status);
    out->seed = options->seed;
    status = map_partition(out, options, diags);
    if (status == SPK_OK)
        status = map_place_tiles(out, options, diags);
    if (status != SPK_OK)
        map_fini(out);
    return status;
}

void map_fini(struct mapping *m)
{
    vec_fini(&m->tiles);
    spk_free(m->usage);
    spk_free(m->place);
    map_net_fini(&m->net);
    memset(m, 0, sizeof *m);
}
