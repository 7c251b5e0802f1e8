/* Partition: every population into tiles that respect every limit (docs/mapping.md, section 3).
 *
 * Populations are cut in topological order, because the in-axons of a tile depend on how its
 * sources are cut. Out-axons depend on the consumers, so they are counted when all are cut; a
 * population whose core exceeds them gets smaller tiles and the whole is cut again. */
#include <string.h>

#include "passes/map/map.h"
#include "support/alloc.h"

#define PARTITION_ROUNDS 24

static spk_status cut_all(struct mapping *m, enum map_objective objective,
                          const uint32_t *max_neurons, struct diag_list *diags)
{
    struct map_net *net = &m->net;
    vec_clear(&m->tiles);
    for (uint32_t i = 0; i < net->pops.len; i++) {
        struct map_pop *p = &net->pops.data[i];
        p->tile_first = (uint32_t)m->tiles.len;
        if (!p->has_compartments)
            continue;
        SPK_TRY(map_tile_search(net, i, objective, max_neurons[i], diags));
        for (uint32_t y = 0; y < p->gh; y++)
            for (uint32_t x = 0; x < p->gw; x++)
                for (uint32_t c = 0; c < p->gc; c++)
                    SPK_TRY(vec_push(&m->tiles, map_tile_at(net, i, y, x, c)));
    }
    return SPK_OK;
}

/* Worst excess of out-axons over the limit per population; shrinks those populations' tiles. */
static spk_status shrink_hubs(struct mapping *m, uint32_t *max_neurons, struct diag_list *diags,
                              bool *out_again)
{
    const uint64_t have = tgt_limit_value(m->net.target, TGT_OUT_AXONS);
    *out_again = false;
    for (size_t i = 0; i < m->tiles.len; i++) {
        const struct map_tile *t = &m->tiles.data[i];
        const struct map_pop *p = &m->net.pops.data[t->pop];
        const uint64_t need = m->usage[i].out_axons;
        uint32_t neurons = p->th * p->tw * p->tc;
        if (need <= have)
            continue;
        if (p->th * p->tw == 1)
            return diag_nofit(
                diags, p->span, "E0663",
                "layer '%s' does not fit '%s': one position of it needs %llu out-axon "
                "slots, a core has %llu",
                p->name, m->net.target->name, (unsigned long long)need, (unsigned long long)have);
        uint64_t next = (uint64_t)neurons * have / need;
        if (next >= neurons)
            next = neurons - 1;
        if (next < max_neurons[t->pop]) {
            max_neurons[t->pop] = (uint32_t)(next > p->tc ? next : p->tc);
            *out_again = true;
        }
    }
    return SPK_OK;
}

static void remark_tiles(const struct mapping *m, struct diag_list *diags)
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

spk_status map_partition(struct mapping *m, const struct map_options *options,
                         struct diag_list *diags)
{
    uint32_t *max_neurons;
    bool again = true;
    SPK_TRY(spk_alloc_array_raw(m->net.pops.len, sizeof *max_neurons, &max_neurons));
    memset(max_neurons, 0xff, m->net.pops.len * sizeof *max_neurons);
    spk_status status = SPK_OK;
    for (int round = 0; again && status == SPK_OK; round++) {
        status = cut_all(m, options->objective, max_neurons, diags);
        if (status == SPK_OK)
            status = map_measure(m);
        if (status == SPK_OK)
            status = shrink_hubs(m, max_neurons, diags, &again);
        if (status == SPK_OK && again && round == PARTITION_ROUNDS)
            status = diag_nofit(diags, spk_span_none, "E0664",
                                "no partition respects the out-axon limit of '%s' (%llu per core)",
                                m->net.target->name,
                                (unsigned long long)tgt_limit_value(m->net.target, TGT_OUT_AXONS));
        if (status == SPK_OK)
            status = progress_cancelled(options->progress) ? SPK_ERR_CANCELLED : SPK_OK;
    }
    if (status == SPK_OK && options->remarks)
        remark_tiles(m, diags);
    spk_free(max_neurons);
    return status;
}
