/* The public API in wrong hands: missing arguments, structs of other sizes, arrays that are not
 * what they say. Every call gives a status, and says what is wrong where it has a context. */
#include <math.h>

#include "tests/unit/object_fixture.h"

static int setup(void **state)
{
    const struct spk_context_options one = {.threads = 1};
    return spk_context_create(&one, (spk_context **)state);
}

static int teardown(void **state)
{
    spk_context_destroy(*state);
    return 0;
}

static void test_nothing_at_all(void **state)
{
    struct spk_diagnostic d = {.struct_size = sizeof d};
    struct spk_tensor t = {.struct_size = sizeof t};
    struct spk_core core = {.struct_size = sizeof core};
    spk_context *c = *state;
    assert_int_equal(spk_context_create(NULL, NULL), SPIKEC_ERR_USAGE);
    assert_int_equal(spk_context_diagnostic_count(NULL), 0);
    assert_int_equal(spk_context_diagnostic(NULL, 0, &d), SPIKEC_ERR_USAGE);
    assert_string_equal(spk_context_diagnostics(NULL), "");
    spk_context_destroy(NULL);
    spk_weights_destroy(NULL);
    spk_model_destroy(NULL);
    spk_target_destroy(NULL);
    spk_mapping_destroy(NULL);
    spk_session_destroy(NULL);
    spk_outputs_destroy(NULL);
    spk_result_free(NULL);
    assert_int_equal(spk_weights_count(NULL) + spk_outputs_count(NULL), 0);
    assert_int_equal(spk_weights_at(NULL, 0, &t), SPIKEC_ERR_USAGE);
    assert_int_equal(spk_model_describe(NULL, NULL), SPIKEC_ERR_USAGE);
    assert_int_equal(spk_model_value(NULL, 0, NULL), SPIKEC_ERR_USAGE);
    assert_int_equal(spk_model_parameter(NULL, 0, &t), SPIKEC_ERR_USAGE);
    assert_null(spk_model_ignored(NULL, 0));
    assert_int_equal(spk_target_describe(NULL, NULL), SPIKEC_ERR_USAGE);
    assert_int_equal(spk_target_fact(NULL, 0, NULL), SPIKEC_ERR_USAGE);
    assert_int_equal(spk_target_find(NULL, "a", "b", NULL), SPIKEC_ERR_USAGE);
    assert_int_equal(spk_target_system(NULL, 0, NULL), SPIKEC_ERR_USAGE);
    assert_int_equal(spk_mapping_describe(NULL, NULL), SPIKEC_ERR_USAGE);
    assert_int_equal(spk_mapping_core(NULL, 0, &core), SPIKEC_ERR_USAGE);
    assert_int_equal(spk_mapping_tile(NULL, 0, NULL), SPIKEC_ERR_USAGE);
    assert_int_equal(spk_mapping_layer(NULL, 0, NULL), SPIKEC_ERR_USAGE);
    assert_int_equal(spk_session_core_activity(NULL, 0, NULL), SPIKEC_ERR_USAGE);
    assert_int_equal(spk_outputs_logits(NULL, &t), SPIKEC_ERR_USAGE);
    assert_int_equal(spk_outputs_at(NULL, 0, &t), SPIKEC_ERR_USAGE);
    assert_int_equal(spk_outputs_find(NULL, "x", &t), SPIKEC_ERR_USAGE);
    assert_int_equal(spk_context_diagnostic(c, 0, &d), SPIKEC_ERR_USAGE);
}

/* Calls that make something, each without a context and without its arguments. */
static void test_missing_arguments(void **state)
{
    for (int with = 0; with < 2; with++) {
        spk_context *c = with ? *state : NULL;
        spk_weights *w = (spk_weights *)state; /* anything: it becomes NULL */
        spk_model *m = NULL;
        spk_target *t = NULL;
        spk_mapping *p = NULL;
        spk_session *s = NULL;
        spk_outputs *o = NULL;
        spk_result *r = NULL;
        int n = 0;
#define MISSING(call)                              \
    do {                                           \
        assert_int_equal(call, SPIKEC_ERR_USAGE);  \
        n += c != NULL;                            \
        if (c != NULL)                             \
            expect_says(c, "an argument is NULL"); \
    } while (0)
        MISSING(spk_weights_create(c, NULL));
        MISSING(spk_weights_load(c, NULL, false, &w));
        assert_null(w);
        MISSING(spk_weights_add(c, NULL, NULL));
        MISSING(spk_weights_save(c, NULL, NULL));
        MISSING(spk_model_load(c, NULL, &m));
        MISSING(spk_model_parse(c, NULL, NULL, 0, NULL, &m));
        MISSING(spk_model_with_weights(c, NULL, NULL, &m));
        MISSING(spk_model_run_passes(c, NULL, NULL, NULL, &m));
        MISSING(spk_model_print(c, NULL, &r));
        MISSING(spk_target_load(c, NULL, &t));
        MISSING(spk_target_parse(c, NULL, NULL, 0, &t));
        MISSING(spk_target_vary(c, NULL, NULL, 1, &t));
        MISSING(spk_mapping_compile(c, NULL, NULL, NULL, &p));
        MISSING(spk_mapping_estimate(c, NULL, NULL, NULL, &r));
        MISSING(spk_mapping_load(c, NULL, &p));
        MISSING(spk_mapping_save(c, NULL, NULL));
        MISSING(spk_mapping_cost(c, NULL, 0, &r));
        MISSING(spk_mapping_check(c, NULL, &r));
        MISSING(spk_mapping_verify(c, NULL, NULL, NULL, &r));
        MISSING(spk_session_create(c, NULL, NULL, &s));
        MISSING(spk_session_create_mapped(c, NULL, NULL, &s));
        MISSING(spk_session_run(c, NULL, NULL, &o));
        MISSING(spk_session_cost(c, NULL, &r));
        assert_int_equal(n, with ? 23 : 0);
    }
}

/* clang-format off */
#define JOBS(J)                                                                                  \
    J(run, run) J(build, build) J(synth, synth) J(compile, compile) J(estimate, estimate)        \
    J(simulate, simulate) J(verify, verify) J(export, export) J(opt, opt)                        \
    J(partition, partition) J(place, place) J(weights_list, weights) J(weights_convert, weights) \
    J(report, report) J(floorplan, floorplan) J(explore, explore)
/* clang-format on */

/* Every job without context, without options, without a place for the result, with options that are
 * all zero. */
static void test_jobs(void **state)
{
    spk_context *c = *state;
    spk_result *r;
#define J(name, options)                                                 \
    do {                                                                 \
        static const struct spk_##options##_options zero;                \
        r = (spk_result *)state;                                         \
        assert_int_equal(spk_##name(NULL, &zero, &r), SPIKEC_ERR_USAGE); \
        assert_int_equal(spk_##name(c, NULL, &r), SPIKEC_ERR_USAGE);     \
        assert_int_equal(spk_##name(c, &zero, NULL), SPIKEC_ERR_USAGE);  \
        assert_int_not_equal(spk_##name(c, &zero, &r), SPIKEC_OK);       \
        assert_null(r);                                                  \
        if (spk_context_diagnostic_count(c) == 0)                        \
            fail_msg("%s says nothing", #name);                          \
    } while (0);
    JOBS(J)
#undef J
    assert_int_equal(spk_check(c, NULL, &r), SPIKEC_ERR_USAGE);
    assert_int_equal(spk_compare_sanafe(c, NULL, NULL, &r), SPIKEC_ERR_USAGE);
    assert_int_equal(spk_format(c, NULL, &r), SPIKEC_ERR_USAGE);
    assert_int_equal(spk_target_list(c, NULL), SPIKEC_ERR_USAGE);
    assert_int_equal(spk_target_show(c, NULL, &r), SPIKEC_ERR_USAGE);
    assert_int_equal(spk_target_check(c, NULL, &r), SPIKEC_ERR_USAGE);
    assert_int_equal(spk_diff(c, NULL, NULL, &r), SPIKEC_ERR_USAGE);
    assert_int_equal(spk_cost_table(c, NULL, 0, &r), SPIKEC_ERR_USAGE);
    assert_int_equal(spk_doctor(NULL, &r), SPIKEC_ERR_USAGE);
    assert_int_equal(spk_init(c, NULL, &r), SPIKEC_ERR_USAGE);
    assert_int_equal(spk_target_new(c, NULL, NULL, &r), SPIKEC_ERR_USAGE);
    assert_int_equal(spk_model_list(NULL, &r), SPIKEC_ERR_USAGE);
}

/* ---- sizes of structs ---- */

struct longer {
    struct spk_mapping_options o;
    uint64_t more; /* of a later version */
};

static void test_struct_sizes(void **state)
{
    spk_context *c = *state;
    spk_model *model = fixture_model(c);
    spk_target *target;
    spk_mapping *m = NULL;
    struct longer options = {.o = {.struct_size = sizeof options}};
    struct {
        struct spk_model_info info;
        uint64_t more;
    } info = {.info = {.struct_size = sizeof info}, .more = 7};
    assert_ok(spk_target_load(c, "loihi2", &target));
    assert_ok(spk_mapping_compile(c, model, target, &options.o, &m));
    spk_mapping_destroy(m);
    options.more = 1; /* this library does not know it */
    assert_int_equal(spk_mapping_compile(c, model, target, &options.o, &m), SPIKEC_ERR_USAGE);
    assert_null(m);
    expect_says(c, "does not know");
    options.o.struct_size = sizeof options.o;
    assert_ok(spk_mapping_compile(c, model, target, &options.o, &m));
    spk_mapping_destroy(m);
    options.o.struct_size = 0;
    assert_int_equal(spk_mapping_compile(c, model, target, &options.o, &m), SPIKEC_ERR_USAGE);
    expect_says(c, "struct_size is 0");
    options.o.struct_size = sizeof options.o - 1;
    assert_int_equal(spk_mapping_compile(c, model, target, &options.o, &m), SPIKEC_ERR_USAGE);
    assert_ok(spk_model_describe(model, &info.info));
    assert_true(info.more == 7 && info.info.struct_size == sizeof info);
    info.info = (struct spk_model_info){.struct_size = 0};
    assert_int_equal(spk_model_describe(model, &info.info), SPIKEC_ERR_USAGE);
    info.info.struct_size = 16;
    assert_int_equal(spk_model_describe(model, &info.info), SPIKEC_ERR_USAGE);
    assert_null(info.info.name);
    spk_target_destroy(target);
    spk_model_destroy(model);
}

/* ---- arrays ---- */

static void test_weights(void **state)
{
    spk_context *c = *state;
    static const float value[4] = {1, 2, 3, 4};
    const struct spk_tensor good = {.struct_size = sizeof good,
                                    .name = "a",
                                    .dtype = SPIKEC_F32,
                                    .rank = 1,
                                    .shape = {4},
                                    .data = value,
                                    .size = sizeof value};
    struct spk_tensor t;
    spk_weights *w;
    assert_ok(spk_weights_create(c, &w));
#define REFUSED(member, wrong, says)                                   \
    do {                                                               \
        t = good;                                                      \
        t.member = wrong;                                              \
        assert_int_equal(spk_weights_add(c, w, &t), SPIKEC_ERR_USAGE); \
        expect_says(c, says);                                          \
    } while (0)
    REFUSED(struct_size, 0, "struct_size");
    REFUSED(name, NULL, "no name");
    REFUSED(name, "", "no name");
    REFUSED(dtype, -1, "dtype");
    REFUSED(dtype, 13, "dtype");
    REFUSED(rank, 9, "rank");
    REFUSED(data, NULL, "no data");
    REFUSED(size, 15, "16 bytes, its size says 15");
    REFUSED(shape[0], UINT64_MAX / 2, "too large");
    assert_int_equal(spk_weights_count(w), 0);
    assert_ok(spk_weights_add(c, w, &good));
    assert_int_equal(spk_weights_add(c, w, &good), SPIKEC_ERR_USAGE);
    expect_says(c, "already");
    assert_int_equal(spk_weights_at(w, 1, &t), SPIKEC_ERR_USAGE);
    assert_int_equal(spk_weights_save(c, w, "/nowhere/x.weights"), SPIKEC_ERR_USAGE);
    assert_int_equal(spk_weights_save(c, w, "/nowhere/x.safetensors"), SPIKEC_ERR_IO);
    spk_weights_destroy(w);
}

/* What is wrong with weights is told at once and as data; the model stays usable. */
static void test_binding(void **state)
{
    spk_context *c = *state;
    spk_model *bare, *model = NULL;
    spk_weights *w;
    struct spk_diagnostic d = {.struct_size = sizeof d};
    struct spk_tensor t = {.struct_size = sizeof t};
    static const float zeros[64];
    size_t missing = 0;
    assert_ok(spk_model_load(c, &fixture_options, &bare));
    assert_ok(spk_weights_create(c, &w));
    t = (struct spk_tensor){.struct_size = sizeof t,
                            .name = "head.bias",
                            .dtype = SPIKEC_F32,
                            .rank = 2,
                            .shape = {2, 2},
                            .data = zeros,
                            .size = 16};
    assert_ok(spk_weights_add(c, w, &t));
    assert_int_equal(spk_model_with_weights(c, bare, w, &model), SPIKEC_ERR_INPUT);
    assert_null(model);
    for (size_t i = 0; i < spk_context_diagnostic_count(c); i++) {
        assert_ok(spk_context_diagnostic(c, i, &d));
        missing += strcmp(d.code, "E0403") == 0;
        assert_int_equal(d.severity, SPIKEC_ERROR);
        assert_non_null(d.file);
        if (d.n_notes > 0) {
            assert_ok(spk_context_diagnostic_note(c, i, 0, &d));
            assert_int_equal(d.severity, SPIKEC_NOTE);
            assert_true(d.line > 0 && d.column > 0);
            assert_non_null(strstr(d.file, "new_model.spk"));
        }
        assert_int_equal(spk_context_diagnostic_note(c, i, 99, &d), SPIKEC_ERR_USAGE);
    }
    assert_true(missing > 10);
    assert_int_equal(spk_session_create(c, bare, NULL, &(spk_session *){NULL}), SPIKEC_ERR_USAGE);
    expect_says(c, "no weights");
    spk_weights_destroy(w);
    w = fixture_weights(c, bare);
    assert_ok(spk_model_with_weights(c, bare, w, &model));
    spk_model_destroy(model);
    spk_model_destroy(bare);
    spk_weights_destroy(w);
}

static void test_batches(void **state)
{
    spk_context *c = *state;
    spk_model *model = fixture_model(c);
    spk_mapping *m = fixture_mapping(c, model);
    spk_session *s;
    spk_outputs *o = NULL;
    spk_result *r = NULL;
    struct spk_tensor input = fixture_input();
    struct spk_batch b = {.struct_size = sizeof b, .input = &input};
    const char *const names[] = {"no_such_lif", NULL};
    const uint32_t labels[] = {0, 3, 0};
    assert_ok(spk_session_create_mapped(c, m, NULL, &s));
    assert_int_equal(spk_session_cost(c, s, &r), SPIKEC_ERR_USAGE);
    expect_says(c, "there was none");
#define BATCH_REFUSED(status, says)                              \
    do {                                                         \
        assert_int_equal(spk_session_run(c, s, &b, &o), status); \
        assert_null(o);                                          \
        expect_says(c, says);                                    \
        input = fixture_input();                                 \
    } while (0)
    input.shape[1] = 2;
    BATCH_REFUSED(SPIKEC_ERR_USAGE, "its size says");
    input.shape[1] = 2;
    input.shape[2] = 4;
    BATCH_REFUSED(SPIKEC_ERR_INPUT, "the model takes [B,1,8,8]");
    input.shape[0] = 0;
    input.size = 0;
    BATCH_REFUSED(SPIKEC_ERR_INPUT, "no image");
    input.dtype = SPIKEC_I32;
    BATCH_REFUSED(SPIKEC_ERR_INPUT, "element type I32");
    fixture_pixels[1][3] = (float)NAN;
    b.input = &(struct spk_tensor){.struct_size = sizeof input,
                                   .rank = 4,
                                   .dtype = SPIKEC_F32,
                                   .shape = {3, 1, 8, 8},
                                   .data = fixture_pixels,
                                   .size = sizeof fixture_pixels};
    BATCH_REFUSED(SPIKEC_ERR_INPUT, "finite");
    b.input = NULL;
    BATCH_REFUSED(SPIKEC_ERR_USAGE, "no input");
    b.input = &input;
    b.n_record = 1;
    BATCH_REFUSED(SPIKEC_ERR_USAGE, "NULL");
    b.record = names;
    BATCH_REFUSED(SPIKEC_ERR_USAGE, "no_such_lif");
    b.record = names + 1;
    BATCH_REFUSED(SPIKEC_ERR_USAGE, "no value that is recorded");
    b.n_record = 0;
    b.labels = labels;
    b.n_labels = 2;
    assert_int_equal(spk_mapping_verify(c, m, &b, NULL, &r), SPIKEC_ERR_USAGE);
    b.n_labels = 3;
    assert_int_equal(spk_mapping_verify(c, m, &b, NULL, &r), SPIKEC_ERR_INPUT);
    expect_says(c, "the model has 3 classes");
    assert_int_equal(spk_session_run(c, s, &b, &o), SPIKEC_ERR_INPUT);
    b.labels = NULL;
    assert_ok(spk_session_run(c, s, &b, &o)); /* none of it has harmed the session */
    spk_outputs_destroy(o);
    spk_session_destroy(s);
    spk_mapping_destroy(m);
    spk_model_destroy(model);
}

static void test_targets(void **state)
{
    spk_context *c = *state;
    spk_target *target, *other = NULL;
    struct spk_fact f = {.struct_size = sizeof f};
    static const char *const good[] = {"limits.neurons=512", "weight_bits=4"};
    static const char *const bad[] = {"limits.neurons=512", "neurons",      "no_such=1",
                                      "neurons=-3",         "neurons=many", NULL};
    assert_ok(spk_target_load(c, "loihi2", &target));
    for (size_t i = 1; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_not_equal(spk_target_vary(c, target, &bad[i], 1, &other), SPIKEC_OK);
        assert_null(other);
        assert_true(spk_context_diagnostic_count(c) > 0);
    }
    assert_ok(spk_target_vary(c, target, good, 2, &other));
    spk_target_destroy(target);
    assert_ok(spk_target_find(other, "limits", "neurons", &f));
    assert_string_equal(f.text, "512");
    assert_true(f.value > 511.5 && f.value < 512.5);
    assert_int_equal(spk_target_find(other, "limits", "no_such", &f), SPIKEC_ERR_INPUT);
    spk_target_destroy(other);
    assert_int_equal(spk_target_parse(c, "x.yaml", "a: [", 4, &other), SPIKEC_ERR_INPUT);
    expect_says(c, "x.yaml:1:");
    assert_null(other);
}

static void test_options(void **state)
{
    spk_context *c = *state;
    spk_model *model = fixture_model(c), *lowered;
    spk_mapping *m = NULL;
    spk_session *s = NULL;
    spk_target *target;
    spk_weights *w = fixture_weights(c, model);
    struct spk_mapping_options o = {.struct_size = sizeof o, .system = "no-such"};
    struct spk_session_options so = {.struct_size = sizeof so, .engine = "no-such"};
    const char *const holes[] = {"dim=8", NULL};
    const struct spk_model_options broken = {
        .model = FIXTURE_MODEL, .settings = holes, .n_settings = 2};
    assert_ok(spk_target_load(c, "loihi2", &target));
    assert_int_equal(spk_mapping_compile(c, model, target, &o, &m), SPIKEC_ERR_USAGE);
    o = (struct spk_mapping_options){.struct_size = sizeof o, .objective = "beauty"};
    assert_int_equal(spk_mapping_compile(c, model, target, &o, &m), SPIKEC_ERR_USAGE);
    o = (struct spk_mapping_options){.struct_size = sizeof o, .placer = "hand"};
    assert_int_equal(spk_mapping_compile(c, model, target, &o, &m), SPIKEC_ERR_USAGE);
    assert_int_equal(spk_session_create(c, model, &so, &s), SPIKEC_ERR_USAGE);
    so = (struct spk_session_options){.struct_size = sizeof so, .level = "M"};
    assert_int_equal(spk_session_create(c, model, &so, &s), SPIKEC_ERR_USAGE);
    assert_int_equal(spk_model_load(c, &broken, &lowered), SPIKEC_ERR_USAGE);
    assert_ok(spk_model_run_passes(c, model, "prepare", NULL, &lowered));
    spk_model_destroy(model);
    assert_int_equal(spk_mapping_compile(c, lowered, target, NULL, &m), SPIKEC_ERR_USAGE);
    assert_int_equal(spk_model_with_weights(c, lowered, w, &model), SPIKEC_ERR_USAGE);
    assert_null(model);
    assert_int_equal(spk_mapping_load(c, "/nowhere", &m), SPIKEC_ERR_IO);
    spk_model_destroy(lowered);
    spk_weights_destroy(w);
    spk_target_destroy(target);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nothing_at_all, setup, teardown),
        cmocka_unit_test_setup_teardown(test_missing_arguments, setup, teardown),
        cmocka_unit_test_setup_teardown(test_jobs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_struct_sizes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_weights, setup, teardown),
        cmocka_unit_test_setup_teardown(test_binding, setup, teardown),
        cmocka_unit_test_setup_teardown(test_batches, setup, teardown),
        cmocka_unit_test_setup_teardown(test_targets, setup, teardown),
        cmocka_unit_test_setup_teardown(test_options, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
