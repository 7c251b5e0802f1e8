/* Runs a batch of grey ramps through a model and prints the class of each and how many spikes its
 * first spiking layer fired.
 *   run_batch MODEL N */
#include <spikec/spikec.h>
#include <stdio.h>
#include <stdlib.h>

/* Image i: a ramp of bytes that begins at i. The caller frees it. */
static unsigned char *ramps(uint32_t n, const struct spk_model_info *info)
{
    const size_t size = (size_t)info->channels * info->height * info->width;
    unsigned char *pixels = malloc(n * size);
    for (size_t i = 0; pixels != NULL && i < n * size; i++)
        pixels[i] = (unsigned char)(i / size * 16 + i % size);
    return pixels;
}

static void print(const spk_outputs *outputs)
{
    struct spk_tensor logits = {.struct_size = sizeof logits};
    struct spk_tensor spikes = {.struct_size = sizeof spikes};
    spk_outputs_logits(outputs, &logits);
    spk_outputs_at(outputs, 0, &spikes);
    const float *row = logits.data;
    const unsigned char *fired = spikes.data;
    unsigned long count = 0;
    for (uint64_t i = 0; i < logits.shape[0]; i++, row += logits.shape[1]) {
        uint64_t best = 0;
        for (uint64_t c = 1; c < logits.shape[1]; c++)
            best = row[c] > row[best] ? c : best;
        printf("image %u: class %u\n", (unsigned)i, (unsigned)best);
    }
    for (uint64_t i = 0; i < spikes.size; i++)
        count += fired[i];
    printf("%s: %lu spikes\n", spikes.name, count);
}

/* The name of the first value that is recorded. */
static const char *first_recorded(const spk_model *model)
{
    struct spk_value value = {.struct_size = sizeof value};
    for (uint32_t i = 0; spk_model_value(model, i, &value) == SPIKEC_OK; i++)
        if (value.recorded)
            return value.name;
    return NULL;
}

static int run(spk_context *context, spk_model *model, uint32_t n)
{
    struct spk_model_info info = {.struct_size = sizeof info};
    spk_session *session = NULL;
    spk_outputs *outputs = NULL;
    spk_model_describe(model, &info);
    unsigned char *pixels = ramps(n, &info);
    const struct spk_tensor images = {.struct_size = sizeof images,
                                      .dtype = SPIKEC_U8,
                                      .rank = 4,
                                      .shape = {n, info.channels, info.height, info.width},
                                      .data = pixels,
                                      .size =
                                          (uint64_t)n * info.channels * info.height * info.width};
    const char *name = first_recorded(model);
    const struct spk_batch batch = {
        .struct_size = sizeof batch, .input = &images, .record = &name, .n_record = 1};
    const struct spk_session_options options = {.struct_size = sizeof options, .engine = "packed"};
    int status = spk_session_create(context, model, &options, &session);
    if (status == SPIKEC_OK)
        status = spk_session_run(context, session, &batch, &outputs);
    if (status == SPIKEC_OK)
        print(outputs);
    spk_outputs_destroy(outputs);
    spk_session_destroy(session);
    free(pixels);
    return status;
}

int main(int argc, char **argv)
{
    spk_context *context = NULL;
    spk_model *model = NULL;
    const uint32_t n = argc == 3 ? (uint32_t)strtoul(argv[2], NULL, 10) : 0;
    if (n == 0 || n > 1000) {
        fprintf(stderr, "usage: run_batch MODEL N\n");
        return SPIKEC_ERR_USAGE;
    }
    const struct spk_model_options options = {.model = argv[1]};
    int status = spk_context_create(NULL, &context);
    if (status == SPIKEC_OK)
        status = spk_model_load(context, &options, &model);
    if (status == SPIKEC_OK)
        status = run(context, model, n);
    if (status != SPIKEC_OK && context != NULL)
        fputs(spk_context_diagnostics(context), stderr);
    spk_model_destroy(model);
    spk_context_destroy(context);
    return status;
}
