/* Compiles a model, shows how far it is, and stops after a number of reports.
 *   watch_progress MODEL TARGET [REPORTS] */
#include <spikec/spikec.h>
#include <stdio.h>
#include <stdlib.h>

struct watch {
    unsigned long seen, limit;
};

static void show(void *user, const char *label, uint64_t done, uint64_t total)
{
    struct watch *w = user;
    w->seen++;
    printf("%s %llu/%llu\n", label, (unsigned long long)done, (unsigned long long)total);
}

/* Polled between pieces of work; true ends the call with SPIKEC_ERR_CANCELLED. */
static bool enough(void *user)
{
    const struct watch *w = user;
    return w->limit > 0 && w->seen >= w->limit;
}

int main(int argc, char **argv)
{
    struct watch watch = {0, argc == 4 ? strtoul(argv[3], NULL, 10) : 0};
    const struct spk_context_options how = {.progress = show, .cancelled = enough, .user = &watch};
    spk_context *context = NULL;
    spk_model *model = NULL;
    spk_target *target = NULL;
    spk_mapping *mapping = NULL;
    if (argc < 3) {
        fprintf(stderr, "usage: watch_progress MODEL TARGET [REPORTS]\n");
        return SPIKEC_ERR_USAGE;
    }
    const struct spk_model_options options = {.model = argv[1]};
    int status = spk_context_create(&how, &context);
    if (status == SPIKEC_OK)
        status = spk_model_load(context, &options, &model);
    if (status == SPIKEC_OK)
        status = spk_target_load(context, argv[2], &target);
    if (status == SPIKEC_OK)
        status = spk_mapping_compile(context, model, target, NULL, &mapping);
    if (status == SPIKEC_ERR_CANCELLED)
        printf("cancelled after %lu reports\n", watch.seen);
    else if (status != SPIKEC_OK && context != NULL)
        fputs(spk_context_diagnostics(context), stderr);
    spk_mapping_destroy(mapping);
    spk_target_destroy(target);
    spk_model_destroy(model);
    spk_context_destroy(context);
    return status;
}
