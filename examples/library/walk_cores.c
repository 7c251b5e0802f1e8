/* Compiles a model for a chip in memory and prints what lies on every core.
 *   walk_cores MODEL TARGET */
#include <spikec/spikec.h>
#include <stdio.h>

static int walk(const spk_mapping *mapping)
{
    struct spk_mapping_info info = {.struct_size = sizeof info};
    int status = spk_mapping_describe(mapping, &info);
    for (uint32_t i = 0; status == SPIKEC_OK && i < info.n_cores; i++) {
        struct spk_core core = {.struct_size = sizeof core};
        status = spk_mapping_core(mapping, i, &core);
        printf("core %u at chip %u (%u, %u): %llu of %llu neurons,", i, core.chip, core.x, core.y,
               (unsigned long long)core.neurons, (unsigned long long)core.neurons_limit);
        for (uint32_t t = 0; t < core.n_tiles; t++) {
            struct spk_tile tile = {.struct_size = sizeof tile};
            struct spk_layer layer = {.struct_size = sizeof layer};
            spk_mapping_tile(mapping, core.first_tile + t, &tile);
            spk_mapping_layer(mapping, tile.layer, &layer);
            printf(" %s", layer.name);
        }
        printf("\n");
    }
    if (status == SPIKEC_OK)
        printf("%u cores, %llu neurons, latency %u steps\n", info.n_cores,
               (unsigned long long)info.neurons, info.latency);
    return status;
}

int main(int argc, char **argv)
{
    spk_context *context = NULL;
    spk_model *model = NULL;
    spk_target *target = NULL;
    spk_mapping *mapping = NULL;
    if (argc != 3) {
        fprintf(stderr, "usage: walk_cores MODEL TARGET\n");
        return SPIKEC_ERR_USAGE;
    }
    const struct spk_model_options options = {.model = argv[1]};
    int status = spk_context_create(NULL, &context);
    if (status == SPIKEC_OK)
        status = spk_model_load(context, &options, &model);
    if (status == SPIKEC_OK)
        status = spk_target_load(context, argv[2], &target);
    if (status == SPIKEC_OK)
        status = spk_mapping_compile(context, model, target, NULL, &mapping);
    if (status == SPIKEC_OK)
        status = walk(mapping);
    if (status != SPIKEC_OK && context != NULL)
        fputs(spk_context_diagnostics(context), stderr);
    spk_mapping_destroy(mapping);
    spk_target_destroy(target);
    spk_model_destroy(model);
    spk_context_destroy(context);
    return status;
}
