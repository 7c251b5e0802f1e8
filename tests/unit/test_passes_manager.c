/* The pass manager: pipeline texts, options, errors with the nearest name, stages, life of modules
 * when a pass fails, every allocation failing. */
#include "unit.h"

#include "passes/pass.h"
#include "passes_fixture.h"
#include "runtime/reference.h"

static const struct fx_config tiny = {.channels = 2,
                                      .size = 8,
                                      .stages = 1,
                                      .dim = 8,
                                      .depth = 1,
                                      .heads = 2,
                                      .mlp_ratio = 2,
                                      .timesteps = 3,
                                      .classes = 3,
                                      .scale = 0.125f,
                                      .with_data = true};

static void expect_usage(const char *pipeline, const char *message)
{
    struct diag_list d;
    diag_init(&d);
    assert_int_equal(passes_check(pipeline, &d), SPK_ERR_USAGE);
    unit_expect_diag(&d, message);
    diag_fini(&d);
}

static void test_texts(void **state)
{
    struct diag_list d;
    (void)state;
    diag_init(&d);
    assert_ok(passes_check("", &d));
    assert_ok(passes_check("cse", &d));
    assert_ok(passes_check(" prepare , quantise { clip = off , images = 3 } ", &d));
    assert_ok(passes_check("quantise{clip},dce{}", &d));
    assert_ok(passes_check("choose-attention{attention=and_lif}", &d));
    assert_int_equal(d.error_count, 0);
    diag_fini(&d);
    expect_usage("quantize", "did you mean 'quantise'?");
    expect_usage("cse,prepar", "did you mean 'prepare'?");
    expect_usage("xyzzy", "unknown pass 'xyzzy'");
    expect_usage("cse,,dce", "a pass name is expected at character 5");
    expect_usage("cse dce", "',' or '{' is expected at character 5");
    expect_usage("quantise{clip=on", "'{' without '}'");
    expect_usage("prepare{x=1}", "takes no options");
    expect_usage("quantise{imags=3}", "did you mean 'images'?");
    expect_usage("quantise{zzzzzzzz=3}", "its options are clip, correct-bias, images");
    expect_usage("cse{x=1}", "it takes no options");
    expect_usage("quantise{images=0}", "give an integer from 1 to 1000000");
    expect_usage("quantise{images=3x}", "'3x' is no value for option 'images'");
    expect_usage("quantise{images}", "give an integer");
    expect_usage("quantise{clip=maybe}", "give on or off");
    expect_usage("quantise{clip=on,clip=off}", "is given twice");
    expect_usage("quantise{clip=on,}", "is expected after ','");
    expect_usage("choose-attention{attention=magic}",
                 "give auto, and_lif, embedded, product, serial, plastic, engine");
}

static void test_registry(void **state)
{
    size_t n, aliases;
    const struct pass *p = pass_registry(&n);
    const struct pass_alias *a = pass_aliases(&aliases);
    (void)state;
    assert_true(n >= 9);
    for (size_t i = 0; i < n; i++) {
        assert_ptr_equal(pass_find(p[i].name, strlen(p[i].name)), &p[i]);
        assert_true(*p[i].summary && *p[i].expects && *p[i].changes && *p[i].never);
        assert_true(p[i].stages != 0);
        assert_null(p[i].option[PASS_MAX_OPTIONS].name);
        for (size_t k = 0; p[i].option[k].name; k++) {
            assert_non_null(p[i].option[k].help);
            if (p[i].option[k].kind == PASS_OPTION_CHOICE)
                assert_non_null(p[i].option[k].choice[p[i].option[k].value]);
        }
    }
    for (size_t i = 0; i < aliases; i++) {
        assert_null(pass_find(a[i].name, strlen(a[i].name)));
        assert_ok(passes_check(a[i].text, NULL));
    }
    assert_null(pass_find("cs", 2));
}

/* A pipeline that fails in the middle leaves the module as it was before the failing pass. */
static void test_failure_keeps_module(void **state)
{
    struct diag_list d;
    struct pass_context c = {.diags = &d, .verify_each = true};
    (void)state;
    diag_init(&d);
    struct ir_module *m = fx_tiny(tiny, 1, &d);
    assert_int_equal(passes_run(&c, "cse,lower", &m), SPK_ERR_NOFIT);
    unit_expect_diag(&d, "batch norm has no conv2d or linear before it");
    assert_int_equal(m->stage, IR_STAGE_MODEL);
    assert_ok(ir_verify(m, &d));
    assert_int_equal(passes_run(&c, "balance-delays", &m), SPK_ERR_INPUT);
    unit_expect_diag(&d, "does not apply to a module at stage 'model'");
    assert_ok(passes_run(&c, "prepare", &m));
    assert_int_equal(m->stage, IR_STAGE_LOWERED);
    assert_int_equal(passes_run(&c, "quantise", &m), SPK_ERR_USAGE);
    unit_expect_diag(&d, "needs a target");
    assert_int_equal(passes_run(&c, "fold-batchnorm", &m), SPK_ERR_INPUT);
    assert_int_equal(m->stage, IR_STAGE_LOWERED);
    ir_module_destroy(m);
    diag_fini(&d);
}

struct log {
    char text[256];
};
static void note_pass(void *ctx, const char *pass, const struct ir_module *m)
{
    struct log *l = ctx;
    assert_true(m->n_nodes > 0);
    strncat(l->text, pass, sizeof l->text - strlen(l->text) - 1);
    strncat(l->text, " ", sizeof l->text - strlen(l->text) - 1);
}

static void test_callback_and_levels(void **state)
{
    struct diag_list d;
    struct log log = {""};
    struct tgt t = fx_target(true);
    struct pass_context c = {
        .diags = &d, .verify_each = true, .target = &t, .after = note_pass, .after_ctx = &log};
    (void)state;
    diag_init(&d);
    struct ir_module *m = fx_tiny(tiny, 2, &d);
    assert_ok(passes_compile_pipeline(&c, PASSES_PREPARED, NULL, NULL, &m));
    assert_string_equal(log.text, "infer-shapes hoist-constant fold-batchnorm fuse-linear cse dce "
                                  "lower order-attention ");
    log.text[0] = '\0';
    assert_ok(passes_compile_pipeline(&c, PASSES_BALANCED, "product", NULL, &m));
    assert_string_equal(log.text, "quantise choose-attention fan-out balance-delays ");
    assert_int_equal(m->stage, IR_STAGE_QUANTISED);
    assert_string_equal(m->target, "graded");
    ir_module_destroy(m);
    diag_fini(&d);
}

static spk_status compile_copy(const struct ir_module *base)
{
    static const float image[2 * 8 * 8] = {1.0f, -0.5f, 0.25f};
    struct engine_input input = {1, image, 2 * 8 * 8};
    struct tgt t = fx_target(false);
    struct pass_context c = {.target = &t, .engine = &rt_reference_engine, .calibration = &input};
    struct ir_module *m = NULL;
    spk_status s = ir_module_clone(base, false, &m);
    if (s == SPK_OK)
        s = passes_run(&c, "prepare,quantise,choose-attention,balance-delays", &m);
    ir_module_destroy(m);
    return s;
}

/* The n-th allocation fails: a status, no leak, no half-made module. */
static void test_out_of_memory(void **state)
{
    struct diag_list d;
    struct fx_config small = tiny;
    (void)state;
    diag_init(&d);
    small.dim = 4;
    small.mlp_ratio = 1;
    struct ir_module *base = fx_tiny(small, 3, &d);
    spk_status s = SPK_OK;
    for_each_failing_alloc(s, { s = compile_copy(base); });
    ir_module_destroy(base);
    diag_fini(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_registry),
        cmocka_unit_test(test_failure_keeps_module),
        cmocka_unit_test(test_callback_and_levels),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
