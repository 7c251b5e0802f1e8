/* strbuf: appending, numbers, escaping, locale independence. */
#include "tests/unit/unit.h"

#include <float.h>
#include <locale.h>
#include <math.h>

#include "support/rng.h"
#include "support/strbuf.h"

static void test_append(void **state)
{
    struct strbuf buf = {0};
    char *text, *long_text;
    (void)state;
    assert_string_equal(strbuf_cstr(&buf), "");
    strbuf_append(&buf, "ab");
    strbuf_char(&buf, 'c');
    strbuf_repeat(&buf, '-', 3);
    strbuf_printf(&buf, "%d|%s", 5, "x");
    assert_string_equal(strbuf_cstr(&buf), "abc---5|x");
    strbuf_clear(&buf);
    long_text = spk_alloc_zero(1001);
    memset(long_text, 'y', 1000);
    strbuf_printf(&buf, "%s%d", long_text, 1);
    assert_int_equal(buf.len, 1001);
    spk_free(long_text);
    assert_ok(strbuf_detach(&buf, &text));
    assert_int_equal(strlen(text), 1001);
    spk_free(text);
    assert_ok(strbuf_detach(&buf, &text));
    assert_string_equal(text, "");
    spk_free(text);
}

static void test_sticky_error(void **state)
{
    struct strbuf buf = {0};
    char *text;
    (void)state;
    if (!spk_fault_available())
        skip();
    spk_fault_arm(SPK_FAULT_ALLOC, 1);
    strbuf_append(&buf, "x");
    assert_true(spk_fault_disarm(SPK_FAULT_ALLOC));
    strbuf_append(&buf, "y");
    strbuf_printf(&buf, "%d", 1);
    strbuf_repeat(&buf, ' ', 2);
    assert_int_equal(buf.status, SPK_ERR_NOMEM);
    assert_string_equal(strbuf_cstr(&buf), "");
    assert_int_equal(strbuf_detach(&buf, &text), SPK_ERR_NOMEM);
    assert_null(text);
    strbuf_append(&buf, "ok");
    assert_string_equal(strbuf_cstr(&buf), "ok");
    strbuf_fini(&buf);
}

static void expect_f64(double value, const char *expected)
{
    struct strbuf buf = {0};
    strbuf_f64(&buf, value);
    assert_string_equal(strbuf_cstr(&buf), expected);
    strbuf_fini(&buf);
}

static void expect_f32(float value, const char *expected)
{
    struct strbuf buf = {0};
    strbuf_f32(&buf, value);
    assert_string_equal(strbuf_cstr(&buf), expected);
    strbuf_fini(&buf);
}

static void test_numbers(void **state)
{
    struct strbuf buf = {0};
    (void)state;
    expect_f64(0.1, "0.1");
    expect_f64(1.0 / 3.0, "0.3333333333333333");
    expect_f64(-0.0, "-0");
    expect_f64(1e300, "1e+300");
    expect_f64(5e-324, "5e-324");
    expect_f64(DBL_MAX, "1.7976931348623157e+308");
    expect_f64((double)INFINITY, "inf");
    expect_f64((double)-INFINITY, "-inf");
    expect_f64((double)NAN, "nan");
    expect_f32(0.1f, "0.1");
    expect_f32(16777216.0f, "16777216");
    expect_f32(1e-45f, "1e-45");
    expect_f32(FLT_MAX, "3.4028235e+38");
    strbuf_i64(&buf, INT64_MIN);
    strbuf_char(&buf, ' ');
    strbuf_i64(&buf, INT64_MAX);
    strbuf_char(&buf, ' ');
    strbuf_u64(&buf, UINT64_MAX);
    strbuf_char(&buf, ' ');
    strbuf_u64(&buf, 0);
    assert_string_equal(strbuf_cstr(&buf),
                        "-9223372036854775808 9223372036854775807 18446744073709551615 0");
    strbuf_fini(&buf);
}

static void test_round_trip(void **state)
{
    struct rng rng;
    (void)state;
    rng_seed(&rng, 5);
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = rng_next_u64(&rng);
        uint32_t low = (uint32_t)bits;
        double f64, read64;
        float f32, read32;
        struct strbuf buf = {0};
        memcpy(&f64, &bits, sizeof f64);
        memcpy(&f32, &low, sizeof f32);
        if (isfinite(f64)) {
            strbuf_f64(&buf, f64);
            assert_true(spk_parse_f64(buf.data, buf.len, &read64));
            assert_true(read64 == f64);
        }
        strbuf_clear(&buf);
        if (isfinite(f32)) {
            strbuf_f32(&buf, f32);
            assert_true(spk_parse_f32(buf.data, buf.len, &read32));
            assert_true(read32 == f32);
        }
        strbuf_fini(&buf);
    }
}

static void test_parse(void **state)
{
    static const char *const bad[] = {"",    "+",   ".",   "e5",  "1e",    "1e+", " 1",   "1 ",
                                      "0x1", "nan", "inf", "1,5", "1e999", "--1", "1.2.3"};
    double value;
    float single;
    int64_t integer;
    char long_text[600];
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(spk_parse_f64(bad[i], strlen(bad[i]), &value));
    assert_true(spk_parse_f64("-2.5e3x", 6, &value) && value == -2500.0);
    assert_true(spk_parse_f64(".5", 2, &value) && value == 0.5);
    assert_true(spk_parse_f64("5.", 2, &value) && value == 5.0);
    assert_true(spk_parse_f64("1e-999", 6, &value) && value == 0.0);
    assert_false(spk_parse_f32("1e39", 4, &single));
    memset(long_text, '1', sizeof long_text);
    assert_false(spk_parse_f64(long_text, sizeof long_text, &value));
    assert_true(spk_parse_i64("-9223372036854775808", 20, &integer) && integer == INT64_MIN);
    assert_true(spk_parse_i64("+7", 2, &integer) && integer == 7);
    assert_false(spk_parse_i64("9223372036854775808", 19, &integer));
    assert_false(spk_parse_i64("-", 1, &integer));
    assert_false(spk_parse_i64("1a", 2, &integer));
}

static void test_escape(void **state)
{
    struct strbuf buf = {0};
    (void)state;
    strbuf_c_string(&buf, "a\"\\\n\x01\xc3\xa4?", 8);
    assert_string_equal(strbuf_cstr(&buf), "\"a\\\"\\\\\\n\\001\\303\\244\\077\"");
    strbuf_clear(&buf);
    strbuf_json_string(&buf, "a\"\t\x01\xc3\xa4\xff\x7f", 8);
    assert_string_equal(strbuf_cstr(&buf), "\"a\\\"\\t\\u0001\xc3\xa4\xef\xbf\xbd\\u007f\"");
    strbuf_fini(&buf);
}

static void test_utf8(void **state)
{
    uint32_t code;
    (void)state;
    assert_int_equal(spk_utf8_decode("\xf0\x9f\x98\x80", 4, &code), 4);
    assert_int_equal(code, 0x1f600);
    assert_int_equal(spk_utf8_decode("\xf0\x9f\x98", 3, &code), 0);
    assert_int_equal(spk_utf8_decode("\xc0\x80", 2, &code), 0);
    assert_int_equal(spk_utf8_decode("\xe0\x80\x80", 3, &code), 0);
    assert_int_equal(spk_utf8_decode("\xed\xa0\x80", 3, &code), 0);
    assert_int_equal(spk_utf8_decode("\xf4\x90\x80\x80", 4, &code), 0);
    assert_int_equal(spk_utf8_decode("", 0, &code), 0);
}

static void test_locale(void **state)
{
    double value;
    (void)state;
    if (!setlocale(LC_NUMERIC, "de_DE.UTF-8"))
        skip();
    expect_f64(0.5, "0.5");
    assert_true(spk_parse_f64("0.5", 3, &value) && value == 0.5);
    (void)setlocale(LC_NUMERIC, "C");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append),  cmocka_unit_test(test_sticky_error),
        cmocka_unit_test(test_numbers), cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_parse),   cmocka_unit_test(test_escape),
        cmocka_unit_test(test_utf8),    cmocka_unit_test(test_locale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
