/* A small network with weights of its own, for tests of the public objects. */
#ifndef SPIKEC_TESTS_OBJECT_FIXTURE_H
#define SPIKEC_TESTS_OBJECT_FIXTURE_H

#include "include/spikec/spikec.h"
#include "tests/unit/unit.h"

#define FIXTURE_MODEL SPIKEC_TEST_DATA_DIR "/../../api/new_model.spk"

static const char *const fixture_settings[] = {"height=8",    "width=8",  "dim=8",
                                               "heads=2",     "depth=1",  "mlp_ratio=2",
                                               "timesteps=2", "classes=3"};
static const struct spk_model_options fixture_options = {
    .model = FIXTURE_MODEL, .settings = fixture_settings, .n_settings = 8};

/* The last diagnostic of the context says `part`. */
static inline void expect_says(spk_context *c, const char *part)
{
    const char *text = spk_context_diagnostics(c);
    if (strstr(text, part) == NULL)
        fail_msg("expected \"%s\" in:\n%s", part, text);
}

/* Weights that a network of this kind may have: small numbers, variances of 1. */
static inline spk_weights *fixture_weights(spk_context *c, const spk_model *model)
{
    struct spk_model_info info = {.struct_size = sizeof info};
    spk_weights *w;
    uint32_t seed = 1;
    assert_ok(spk_model_describe(model, &info));
    assert_ok(spk_weights_create(c, &w));
    for (uint32_t i = 0; i < info.n_parameters; i++) {
        struct spk_tensor t = {.struct_size = sizeof t};
        float *values;
        assert_ok(spk_model_parameter(model, i, &t));
        assert_int_equal(t.dtype, SPIKEC_F32);
        values = malloc(t.size);
        assert_non_null(values);
        for (uint64_t k = 0; k < t.size / sizeof *values; k++) {
            seed = seed * 1664525u + 1013904223u;
            values[k] = strstr(t.name, "running_var") != NULL
                            ? 1.0f
                            : (float)(seed >> 16) / 32768.0f - 0.6f;
        }
        t.data = values;
        assert_ok(spk_weights_add(c, w, &t));
        free(values); /* they were copied */
    }
    return w;
}

/* The network with those weights. */
static inline spk_model *fixture_model(spk_context *c)
{
    spk_model *bare, *model;
    assert_ok(spk_model_load(c, &fixture_options, &bare));
    spk_weights *w = fixture_weights(c, bare);
    assert_ok(spk_model_with_weights(c, bare, w, &model));
    spk_weights_destroy(w);
    spk_model_destroy(bare);
    return model;
}

static inline spk_mapping *fixture_mapping(spk_context *c, spk_model *model)
{
    spk_target *target;
    spk_mapping *mapping;
    assert_ok(spk_target_load(c, "loihi2", &target));
    assert_ok(spk_mapping_compile(c, model, target, NULL, &mapping));
    spk_target_destroy(target);
    return mapping;
}

enum { FIXTURE_IMAGES = 3 };
static float fixture_pixels[FIXTURE_IMAGES][64];

static inline struct spk_tensor fixture_input(void)
{
    for (int i = 0; i < FIXTURE_IMAGES; i++)
        for (int k = 0; k < 64; k++)
            fixture_pixels[i][k] = (float)((i * 31 + k * 7) % 16) / 8.0f - 0.5f;
    return (struct spk_tensor){.struct_size = sizeof(struct spk_tensor),
                               .dtype = SPIKEC_F32,
                               .rank = 4,
                               .shape = {FIXTURE_IMAGES, 1, 8, 8},
                               .data = fixture_pixels,
                               .size = sizeof fixture_pixels};
}

#endif
