/* Rates from JSON: plain objects and manifests, per channel, and every kind of complaint. */
#include "frontend/rates.h"
#include "support/file.h"
#include "tiny_model.h"

struct fixture {
    struct ir_module *m;
    struct diag_list diags;
    struct fe_rates rates;
};

static void begin(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    f->m = tiny_model(false, false);
    diag_init(&f->diags);
}

static void end(struct fixture *f)
{
    fe_rates_fini(&f->rates);
    ir_module_destroy(f->m);
    diag_fini(&f->diags);
}

static spk_status parse(struct fixture *f, const char *text)
{
    fe_rates_fini(&f->rates);
    return fe_rates_parse(text, strlen(text), "r.json", f->m, &f->diags, &f->rates);
}

static void plain_and_manifest(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    uint32_t lif = ir_find_value(f.m, "a_lif"), sum = ir_find_value(f.m, "b_sum");
    assert_ok(parse(&f, "{\"a_lif\": 0.25, \"b_sum\": 1.5}"));
    assert_int_equal(f.rates.of_node[lif].n, 1);
    assert_true(f.rates.of_node[lif].rate[0] == 0.25);
    assert_true(f.rates.of_node[sum].rate[0] == 1.5);
    assert_int_equal(f.rates.of_node[0].n, 0);
    assert_ok(parse(&f, "{\"name\": \"x\", \"rates\": {\"a_lif\": [0, 1, 0.5, 0.125]}}"));
    assert_int_equal(f.rates.of_node[lif].n, 4);
    assert_true(f.rates.of_node[lif].rate[3] == 0.125);
    assert_int_equal(f.diags.items.len, 0);
    assert_ok(parse(&f, "{\"b_sum\": 0}"));
    unit_expect_diag(&f.diags, "no rate for 1 of the model's spike values: a_lif");
    end(&f);
}

static void complaints(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    assert_int_equal(parse(&f, "{\"a_lef\": 0.5, \"b_sum\": 2.5, \"a_lif\": [1, 2]}"),
                     SPK_ERR_INPUT);
    assert_int_equal(f.diags.error_count, 3);
    char *text = unit_diag_text(&f.diags);
    assert_non_null(strstr(text, "the model has no spike value 'a_lef'"));
    assert_non_null(strstr(text, "did you mean 'a_lif'?"));
    assert_non_null(strstr(text, "a rate of 2.5 is impossible"));
    assert_non_null(strstr(text, "between 0 and 2"));
    assert_non_null(strstr(text, "2 rates for a value of 4 channels"));
    spk_free(text);
    diag_clear(&f.diags);
    assert_int_equal(parse(&f, "{\"a_lif\": -0.5}"), SPK_ERR_INPUT);
    unit_expect_diag(&f.diags, "a rate of -0.5 is impossible");
    assert_int_equal(parse(&f, "{\"a_lif\": \"often\"}"), SPK_ERR_INPUT);
    unit_expect_diag(&f.diags, "a_lif");
    assert_int_equal(parse(&f, "{\"logits\": 0.5}"), SPK_ERR_INPUT);
    unit_expect_diag(&f.diags, "no spike value 'logits'");
    assert_int_equal(parse(&f, "{\"rates\": 3}"), SPK_ERR_INPUT);
    unit_expect_diag(&f.diags, "'rates' must be an object");
    assert_int_equal(parse(&f, "[1]"), SPK_ERR_INPUT);
    unit_expect_diag(&f.diags, "this is an array");
    assert_int_equal(parse(&f, "{"), SPK_ERR_INPUT);
    assert_int_equal(fe_rates_load("/nonexistent.json", f.m, &f.diags, &f.rates), SPK_ERR_IO);
    end(&f);
}

static void from_a_file(void **state)
{
    (void)state;
    struct fixture f;
    char dir[64], path[96];
    static const char text[] = "{\"a_lif\": 1}";
    spk_status status;
    begin(&f);
    unit_temp_dir(dir);
    (void)snprintf(path, sizeof path, "%s/r.json", dir);
    assert_ok(file_write_all(path, text, sizeof text - 1, NULL));
    assert_ok(fe_rates_load(path, f.m, &f.diags, &f.rates));
    assert_true(f.rates.of_node[ir_find_value(f.m, "a_lif")].rate[0] == 1.0);
    for_each_failing_alloc(status, {
        fe_rates_fini(&f.rates);
        status = fe_rates_load(path, f.m, &f.diags, &f.rates);
    });
    unit_remove_dir(dir);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_and_manifest),
        cmocka_unit_test(complaints),
        cmocka_unit_test(from_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
