/* JSON: parsing with limits, cursors, building, dumping, the streaming writer. */
#include "tests/unit/unit.h"

#include <math.h>

#include "support/json.h"
#include "support/json_writer.h"

static struct diag_list diags;

static int setup(void **state)
{
    (void)state;
    diag_init(&diags);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    diag_fini(&diags);
    return 0;
}

static struct json_value *parse(const char *text)
{
    struct json_value *value;
    assert_ok(js_parse(text, strlen(text), "t.json", NULL, &diags, &value));
    return value;
}

static void refuse(const char *text, const char *message)
{
    struct json_value *value;
    assert_int_equal(js_parse(text, strlen(text), "t.json", NULL, &diags, &value), SPK_ERR_INPUT);
    assert_null(value);
    unit_expect_diag(&diags, message);
}

static void test_bad_text(void **state)
{
    char deep[200];
    struct json_limits small = {.max_bytes = 10};
    struct json_value *value;
    (void)state;
    refuse("", "error[E0010]");
    refuse("{\n \"a\": 1,\n \"a\": 2}", "t.json:3:4: error[E0010]: duplicate object key");
    refuse("[1, 2", "error[E0010]");
    refuse("[1] x", "error[E0010]");
    refuse("[NaN]", "error[E0010]");
    refuse("[1e999]", "error[E0010]");
    refuse("[99999999999999999999]", "error[E0010]");
    refuse("[\"\\u0000\"]", "error[E0010]");
    refuse("[\"\xff\"]", "error[E0010]");
    refuse("3", "error[E0010]");
    memset(deep, '[', 100);
    memset(deep + 100, ']', 100);
    deep[199] = '\0';
    refuse(deep, "t.json:1:65: error[E0011]: JSON is nested too deeply");
    assert_int_equal(js_parse("[1,2,3,4,5,6]", 13, "t", &small, &diags, &value), SPK_ERR_INPUT);
    unit_expect_diag(&diags, "limit of 10 bytes");
    value =
        parse("[\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[\"]");
    js_free(value);
    assert_int_equal(js_parse_file("/nonexistent/x", NULL, &diags, &value), SPK_ERR_IO);
    unit_expect_diag(&diags, "/nonexistent/x: error[E0001]");
}

static void test_cursor(void **state)
{
    struct json_value *value =
        parse("{\"z\":1,\"a\":[{\"n\":\"x\"},{\"n\":5}],\"f\":2.5,\"t\":true,\"q\":null,"
              "\"big\":9007199254740993}");
    struct json_cursor root = js_root(value, "t.json", &diags), a, element, member;
    const char *text;
    int64_t i64;
    uint32_t u32;
    double f64;
    bool truth;
    size_t length;
    void *iterator = NULL;
    (void)state;
    assert_ok(js_get_i64(&root, "z", 0, 10, &i64));
    assert_ok(js_get_i64(&root, "big", 0, INT64_MAX, &i64));
    assert_true(i64 == INT64_C(9007199254740993));
    assert_ok(js_get_f64(&root, "f", &f64));
    assert_true(f64 == 2.5);
    assert_ok(js_get_f64(&root, "z", &f64));
    assert_ok(js_get_bool(&root, "t", &truth));
    assert_true(truth && js_has(&root, "z") && !js_has(&root, "q") && !js_has(&root, "nope"));
    assert_ok(js_member(&root, "a", &a));
    assert_ok(js_array_length(&a, &length));
    assert_int_equal(length, 2);
    assert_ok(js_element(&a, 0, &element));
    assert_ok(js_get_string(&element, "n", &text));
    assert_string_equal(text, "x");
    assert_ok(js_element(&a, 1, &element));
    assert_int_equal(js_get_string(&element, "n", &text), SPK_ERR_INPUT);
    unit_expect_diag(&diags, "t.json: .a[1].n: error[E0012]: expected a string, found an integer");
    assert_int_equal(js_element(&a, 2, &member), SPK_ERR_INPUT);
    unit_expect_diag(&diags, "t.json: .a: error[E0012]: the array has 2 elements");
    assert_int_equal(js_get_u32(&root, "big", 100, &u32), SPK_ERR_INPUT);
    unit_expect_diag(&diags,
                     "t.json: .big: error[E0012]: 9007199254740993 is not between 0 and 100");
    assert_int_equal(js_get_bool(&root, "z", &truth), SPK_ERR_INPUT);
    unit_expect_diag(&diags, "expected true or false");
    assert_int_equal(js_get_f64(&root, "t", &f64), SPK_ERR_INPUT);
    unit_expect_diag(&diags, "expected a number, found a truth value");
    assert_int_equal(js_get_i64(&root, "missing", 0, 1, &i64), SPK_ERR_INPUT);
    unit_expect_diag(&diags, "t.json: error[E0012]: member \"missing\" is missing");
    assert_int_equal(js_member(&a, "x", &member), SPK_ERR_INPUT);
    assert_int_equal(js_object_length(&a, &length), SPK_ERR_INPUT);
    assert_int_equal(js_array_length(&root, &length), SPK_ERR_INPUT);
    assert_true(js_next_member(&root, &iterator, &member));
    assert_string_equal(member.key, "z"); /* insertion order */
    assert_true(js_next_member(&root, &iterator, &member));
    assert_string_equal(member.key, "a");
    iterator = NULL;
    assert_false(js_next_member(&a, &iterator, &member));
    js_free(value);
}

static spk_status build(struct json_value *object)
{
    struct json_value *array = js_new_array();
    SPK_TRY(js_set(object, "z", js_new_i64(INT64_MIN)));
    SPK_TRY(js_set(object, "list", array));
    SPK_TRY(js_append(array, js_new_f64(0.1)));
    SPK_TRY(js_append(array, js_new_f64(3.0)));
    SPK_TRY(js_append(array, js_new_bool(false)));
    SPK_TRY(js_append(array, js_new_null()));
    SPK_TRY(js_append(array, js_new_array()));
    return js_set(object, "a", js_new_string("\xc3\xa4\n"));
}

static void test_build(void **state)
{
    struct json_value *object = js_new_object();
    struct strbuf out = {0};
    (void)state;
    assert_ok(build(object));
    js_dump(object, 0, &out);
    assert_string_equal(strbuf_cstr(&out),
                        "{\"z\":-9223372036854775808,\"list\":[0.1,3.0,false,null,[]],"
                        "\"a\":\"\xc3\xa4\\n\"}");
    strbuf_clear(&out);
    js_dump(object, 2, &out);
    assert_string_equal(strbuf_cstr(&out),
                        "{\n  \"z\": -9223372036854775808,\n  \"list\": [\n    0.1,\n    3.0,\n"
                        "    false,\n    null,\n    []\n  ],\n  \"a\": \"\xc3\xa4\\n\"\n}\n");
    strbuf_fini(&out);
    assert_null(js_new_f64((double)NAN));
    assert_null(js_new_f64((double)INFINITY));
    assert_null(js_new_string("\xff"));
    assert_int_equal(js_set(object, "n", NULL), SPK_ERR_NOMEM);
    assert_int_equal(js_append(object, js_new_null()), SPK_ERR_INTERNAL);
    js_free(object);
    js_free(NULL);
}

static void test_writer(void **state)
{
    struct json_writer writer;
    struct strbuf out = {0};
    (void)state;
    jw_init(&writer, &out, 2);
    jw_object_begin(&writer, NULL);
    jw_i64(&writer, "n", -1);
    jw_array_begin(&writer, "rows");
    for (int i = 0; i < 2; i++) {
        jw_object_begin_line(&writer, NULL);
        jw_u64(&writer, "id", (uint64_t)i);
        jw_array_begin(&writer, "xy");
        jw_f64(&writer, NULL, 1.5);
        jw_f64_or_null(&writer, NULL, (double)NAN);
        jw_array_end(&writer);
        jw_object_end(&writer);
    }
    jw_array_end(&writer);
    jw_string(&writer, "s", NULL);
    jw_raw(&writer, "r", "[1]");
    jw_bool(&writer, "b", true);
    jw_object_end(&writer);
    assert_ok(jw_finish(&writer));
    assert_string_equal(strbuf_cstr(&out), "{\n  \"n\": -1,\n  \"rows\": [\n"
                                           "    {\"id\": 0, \"xy\": [1.5, null]},\n"
                                           "    {\"id\": 1, \"xy\": [1.5, null]}\n  ],\n"
                                           "  \"s\": null,\n  \"r\": [1],\n  \"b\": true\n}\n");
    strbuf_fini(&out);
}

static void test_writer_errors(void **state)
{
    struct json_writer writer;
    struct strbuf out = {0};
    (void)state;
    jw_init(&writer, &out, 0);
    assert_int_equal(jw_finish(&writer), SPK_ERR_INTERNAL); /* nothing written */
    jw_init(&writer, &out, 0);
    jw_object_begin(&writer, NULL);
    jw_i64(&writer, NULL, 1); /* member without a name */
    assert_int_equal(jw_finish(&writer), SPK_ERR_INTERNAL);
    jw_init(&writer, &out, 0);
    jw_array_begin(&writer, NULL);
    jw_object_end(&writer); /* wrong end */
    assert_int_equal(jw_finish(&writer), SPK_ERR_INTERNAL);
    jw_init(&writer, &out, 0);
    jw_f64(&writer, NULL, (double)INFINITY);
    assert_int_equal(jw_finish(&writer), SPK_ERR_INTERNAL);
    jw_init(&writer, &out, 0);
    jw_null(&writer, NULL);
    jw_null(&writer, NULL); /* two values at the top */
    assert_int_equal(jw_finish(&writer), SPK_ERR_INTERNAL);
    jw_init(&writer, &out, 0);
    for (int i = 0; i < JW_MAX_DEPTH + 1; i++)
        jw_array_begin(&writer, NULL);
    assert_int_equal(jw_finish(&writer), SPK_ERR_INTERNAL);
    strbuf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bad_text, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cursor, setup, teardown),
        cmocka_unit_test(test_build),
        cmocka_unit_test(test_writer),
        cmocka_unit_test(test_writer_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
