/* Remarks and refusals in words (docs/mapping.md, section 3). */
#include "passes/map/explain.h"

#include "passes/map/shapes.h"

/* Memory of the tile if weights had fewer bits: the largest number of bits that fits, 0 for none.
 */
static spk_status bits_that_fit(const struct map_net *net, const struct map_tile *t,
                                uint32_t *out_bits)
{
    struct tgt fewer = *net->target;
    struct map_net n = *net;
    n.target = &fewer;
    for (*out_bits = net->target->arith.weight_bits; *out_bits > 1;) {
        struct map_usage u;
        fewer.arith.weight_bits = (uint8_t)-- * out_bits;
        SPK_TRY(map_tile_usage(&n, t, &u));
        if (u.synapse_bits <= tgt_limit_value(net->target, TGT_SYNAPSE_BITS))
            return SPK_OK;
    }
    *out_bits = 0;
    return SPK_OK;
}

spk_status map_explain_nofit(struct map_net *net, uint32_t pop, struct diag_list *diags)
{
    struct map_pop *p = &net->pops.data[pop];
    struct map_usage u;
    uint32_t bits = 0;
    const struct map_shape smallest = map_shape_make(p, 1, 1, p->channels < 4 ? p->channels : 4);
    map_shape_set(p, &smallest);
    struct map_tile t = map_tile_at(net, pop, p->gh / 2, p->gw / 2, 0);
    SPK_TRY(map_tile_usage(net, &t, &u));
    size_t v = map_usage_violation(net->target, &u);
    if (v == MAP_N_LIMITS) /* only a tile at the border fails */
        return diag_nofit(diags, p->span, "E0662",
                          "layer '%s' does not fit '%s': no tile shape respects all limits of a "
                          "core",
                          p->name, net->target->name);
    const uint64_t need = map_usage_of(&u, map_limits[v].limit);
    const uint64_t have = tgt_limit_value(net->target, map_limits[v].limit);
    if (map_limits[v].limit == TGT_SYNAPSE_BITS)
        SPK_TRY(bits_that_fit(net, &t, &bits));
    spk_status status = diag_nofit(
        diags, p->span, "E0661",
        "layer '%s' does not fit '%s': its smallest tile (%u x %u positions, %u channels) needs "
        "%llu %s, a core has %llu",
        p->name, net->target->name, t.ny, t.nx, t.nc, (unsigned long long)need, map_limits[v].what,
        (unsigned long long)have);
    if (bits > 0)
        diag_help_set(diags, "the smallest change that fits: %u-bit weights", bits);
    else
        diag_help_set(diags,
                      "the smallest change that fits: %.0f %% of this layer's fan-in (fewer input "
                      "channels: a smaller dim or mlp_ratio)",
                      100.0 * (double)have / (double)need);
    return status;
}

void map_explain_tiles(const struct mapping *m, struct diag_list *diags)
{
    for (size_t i = 0; i < m->net.pops.len; i++) {
        const struct map_pop *p = &m->net.pops.data[i];
        const struct map_usage *u;
        if (!p->has_compartments)
            continue;
        u = &m->usage[p->tile_first];
        diag_remark(diags, p->span, "R0601",
                    "'%s': %u cores (%u x %u positions, %u channels each): %u neurons, %llu "
                    "in-axons, %llu out-axons, %llu synapse bits on the first",
                    p->name, p->gh * p->gw * p->gc, p->th, p->tw, p->tc, u->neurons,
                    (unsigned long long)u->in_axons, (unsigned long long)u->out_axons,
                    (unsigned long long)u->synapse_bits);
    }
}
