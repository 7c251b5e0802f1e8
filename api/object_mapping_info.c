/* What a mapping is made of, from its image: cores, tiles, layers. */
#include <string.h>

#include "api/object_internal.h"

int spk_mapping_describe(const spk_mapping *m, struct spk_mapping_info *out)
{
    if (m == NULL)
        return SPK_ERR_USAGE;
    const struct image *im = &m->folder.image;
    struct spk_mapping_info info = {.target = im->strings[im->meta.target_name],
                                    .system = im->strings[im->meta.system_name],
                                    .n_cores = (uint32_t)im->n_cores,
                                    .n_layers = (uint32_t)im->n_layers,
                                    .n_tiles = (uint32_t)im->n_groups,
                                    .timesteps = im->meta.timesteps,
                                    .classes = im->head.classes,
                                    .interval = im->meta.interval,
                                    .latency = im->meta.latency};
    for (uint64_t i = 0; i < im->n_cores; i++) {
        info.neurons += m->core[i].neurons;
        info.synapses += m->core[i].synapses;
    }
    return API_GIVE(&info, out);
}

int spk_mapping_core(const spk_mapping *m, uint32_t index, struct spk_core *out)
{
    if (m == NULL || index >= m->folder.image.n_cores)
        return SPK_ERR_USAGE;
    const struct img_core *core = &m->folder.image.cores[index];
    const struct chip_usage *u = &m->core[index];
    const struct tgt *t = m->folder.target;
    const struct spk_core found = {.chip = core->chip,
                                   .x = core->x,
                                   .y = core->y,
                                   .engine = u->engine,
                                   .first_tile = core->group_first,
                                   .n_tiles = core->n_groups,
                                   .neurons = u->neurons,
                                   .neurons_limit = tgt_core_limit(t, TGT_NEURONS, u->engine),
                                   .in_axons = u->in_axons,
                                   .in_axons_limit = tgt_core_limit(t, TGT_IN_AXONS, u->engine),
                                   .out_axons = u->out_axons,
                                   .out_axons_limit = tgt_core_limit(t, TGT_OUT_AXONS, u->engine),
                                   .synapse_bits = u->synapse_bits,
                                   .synapse_bits_limit =
                                       tgt_core_limit(t, TGT_SYNAPSE_BITS, u->engine),
                                   .synapses = u->synapses};
    return API_GIVE(&found, out);
}

int spk_mapping_tile(const spk_mapping *m, uint32_t index, struct spk_tile *out)
{
    if (m == NULL || index >= m->folder.image.n_groups)
        return SPK_ERR_USAGE;
    const struct img_group *g = &m->folder.image.groups[index];
    const struct spk_tile found = {.core = g->core,
                                   .layer = g->layer,
                                   .c0 = g->c0,
                                   .y0 = g->y0,
                                   .x0 = g->x0,
                                   .nc = g->nc,
                                   .ny = g->ny,
                                   .nx = g->nx};
    return API_GIVE(&found, out);
}

int spk_mapping_layer(const spk_mapping *m, uint32_t index, struct spk_layer *out)
{
    if (m == NULL || index >= m->folder.image.n_layers)
        return SPK_ERR_USAGE;
    const struct image *im = &m->folder.image;
    const struct img_layer *l = &im->layers[index];
    struct spk_layer found = {.name = im->strings[l->name],
                              .kind = api_layer_kind(l->kind),
                              .channels = l->channels,
                              .height = l->height,
                              .width = l->width,
                              .start = l->start,
                              .order = l->order == IMG_NONE ? NULL : im->orders + l->order};
    for (uint64_t i = 0; i < im->n_groups; i++) {
        const struct chip_usage *u = &m->group[i];
        if (im->groups[i].layer != index)
            continue;
        found.n_tiles++;
        found.neurons += u->neurons;
        found.in_axons += u->in_axons;
        found.out_axons += u->out_axons;
        found.synapse_bits += u->synapse_bits;
        found.synapses += u->synapses;
    }
    return API_GIVE(&found, out);
}
