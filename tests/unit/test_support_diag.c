/* Diagnostics: recording, limits, rendering with carets, JSON. */
#include "tests/unit/unit.h"

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

static uint32_t add(const char *name, const char *text)
{
    uint32_t file;
    assert_ok(diag_source_add(&diags, name, text, strlen(text), &file));
    return file;
}

static void expect(const char *expected)
{
    char *text = unit_diag_text(&diags);
    assert_string_equal(text, expected);
    spk_free(text);
}

static void test_basic(void **state)
{
    uint32_t file = add("net.spk", "input x\ny = conv(z, 3)\n");
    (void)state;
    assert_int_equal(
        diag_error(&diags, (struct spk_span){file, 17, 18}, "E0103", "unknown value '%s'", "z"),
        SPK_ERR_INPUT);
    diag_note_add(&diags, (struct spk_span){file, 6, 7}, "did you mean '%c'?", 'x');
    diag_help_set(&diags, "declare it first");
    diag_warning(&diags, (struct spk_span){file, 12, 20}, "W0001", "odd");
    diag_remark(&diags, spk_span_none, "R0001", "no place");
    expect("net.spk:2:10: error[E0103]: unknown value 'z'\n"
           "    2 | y = conv(z, 3)\n"
           "      |          ^\n"
           "net.spk:1:7: note: did you mean 'x'?\n"
           "    1 | input x\n"
           "      |       ^\n"
           "help: declare it first\n"
           "net.spk:2:5: warning[W0001]: odd\n"
           "    2 | y = conv(z, 3)\n"
           "      |     ^~~~~~~~\n"
           "remark[R0001]: no place\n");
    assert_true(diag_has_errors(&diags));
    assert_int_equal(diags.error_count, 1);
    assert_int_equal(diags.warning_count, 2);
}

static void test_place(void **state)
{
    struct spk_span a = diag_place(&diags, "%s: tensor %s", "w.st", "a");
    struct spk_span again = diag_place(&diags, "w.st: tensor a");
    (void)state;
    assert_int_equal(a.file, again.file);
    assert_int_equal(diag_nofit(&diags, a, "E0600", "too big"), SPK_ERR_NOFIT);
    assert_int_equal(diag_io(&diags, a, "E0001", "gone"), SPK_ERR_IO);
    assert_int_equal(diag_usage(&diags, spk_span_none, "E0900", "what?"), SPK_ERR_USAGE);
    assert_int_equal(diag_internal(&diags, spk_span_none, "E0999", "oops"), SPK_ERR_INTERNAL);
    expect("w.st: tensor a: error[E0600]: too big\nw.st: tensor a: error[E0001]: gone\n"
           "error[E0900]: what?\nerror[E0999]: oops\n");
}

static void test_odd_text(void **state)
{
    uint32_t file = add("a\nb", "\t\xc3\xa4\x01\xff = 1\r\n");
    (void)state;
    (void)diag_error(&diags, (struct spk_span){file, 6, 7}, "E1", "bad \x1b[31m name");
    (void)diag_error(&diags, (struct spk_span){file, 8, 8}, "E2", "at");
    (void)diag_error(&diags, (struct spk_span){file, 99, 120}, "E3", "behind the end");
    (void)diag_error(&diags, (struct spk_span){file, 4, 2}, "E4", "reversed");
    expect("a\\x0ab:1:6: error[E1]: bad \\x1b[31m name\n"
           "    1 |     \xc3\xa4\\x01\\xff = 1\n"
           "      |               ^\n" /* the '=' */
           "a\\x0ab:1:8: error[E2]: at\n"
           "    1 |     \xc3\xa4\\x01\\xff = 1\n"
           "      |                 ^\n"
           "a\\x0ab:2:1: error[E3]: behind the end\n"
           "    2 |\n"
           "      | ^\n"
           "a\\x0ab:1:4: error[E4]: reversed\n"
           "    1 |     \xc3\xa4\\x01\\xff = 1\n"
           "      |          ^\n");
}

static void test_long_line(void **state)
{
    char text[1001];
    struct diag_style style = {.max_width = 30};
    struct strbuf out = {0};
    uint32_t file;
    (void)state;
    for (size_t i = 0; i < 1000; i++)
        text[i] = (char)('a' + i % 26);
    text[1000] = '\0';
    file = add("long", text);
    (void)diag_error(&diags, (struct spk_span){file, 520, 523}, "E1", "x");
    diag_render(&diags, &style, &out);
    assert_string_equal(strbuf_cstr(&out), "long:1:521: error[E1]: x\n"
                                           "    1 | ...lmnopqrstuvwxyzabcdefghijklmno...\n"
                                           "      |                   ^~~\n");
    strbuf_clear(&out);
    diag_clear(&diags);
    file = add("long", text);
    (void)diag_error(&diags, (struct spk_span){file, 0, 1000}, "E1", "x");
    diag_render(&diags, &style, &out);
    assert_string_equal(strbuf_cstr(&out), "long:1:1: error[E1]: x\n"
                                           "    1 | abcdefghijklmnopqrstuvwxyzabcd...\n"
                                           "      | ^~~~~~~~~~~~~~~~~~~~~~~~~~~~~~\n");
    strbuf_fini(&out);
}

static void test_limit(void **state)
{
    char *text;
    (void)state;
    diags.max_errors = 2;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(diag_error(&diags, spk_span_none, "E1", "number %d", i), SPK_ERR_INPUT);
        diag_note_add(&diags, spk_span_none, "note %d", i);
    }
    assert_true(diag_limit_reached(&diags));
    assert_int_equal(diags.error_count, 5);
    assert_int_equal(diag_place(&diags, "x").file, 0);
    text = unit_diag_text(&diags);
    assert_string_equal(text, "error[E1]: number 0\nnote: note 0\nerror[E1]: number 1\n"
                              "note: note 1\nnote: 3 further messages not shown\n");
    spk_free(text);
}

static void test_null(void **state)
{
    uint32_t file;
    (void)state;
    assert_int_equal(diag_error(NULL, diag_place(NULL, "x"), "E1", "x"), SPK_ERR_INPUT);
    diag_note_add(NULL, spk_span_none, "x");
    diag_help_set(NULL, "x");
    diag_warning(NULL, spk_span_none, "W1", "x");
    assert_ok(diag_source_add(NULL, "x", "y", 1, &file));
    assert_false(diag_has_errors(NULL) || diag_limit_reached(NULL));
    assert_null(diag_source_get(NULL, 1));
    diag_note_add(&diags, spk_span_none, "nothing to attach to");
    expect("");
}

static void test_locate(void **state)
{
    uint32_t file = add("f", "ab\n\xc3\xa4x\n\nlast");
    struct source_position at;
    (void)state;
    at = diag_source_locate(&diags, file, 0);
    assert_true(at.line == 1 && at.column == 1);
    at = diag_source_locate(&diags, file, 5);
    assert_true(at.line == 2 && at.column == 2);
    at = diag_source_locate(&diags, file, 7);
    assert_true(at.line == 3 && at.column == 1);
    at = diag_source_locate(&diags, file, 1000);
    assert_true(at.line == 4 && at.column == 5);
    at = diag_source_locate(&diags, 77, 0);
    assert_true(at.line == 0);
}

static void test_join(void **state)
{
    struct spk_span joined = spk_span_join((struct spk_span){1, 5, 9}, (struct spk_span){1, 2, 6});
    (void)state;
    assert_true(joined.begin == 2 && joined.end == 9);
    joined = spk_span_join(spk_span_none, (struct spk_span){2, 1, 2});
    assert_true(joined.file == 2);
    joined = spk_span_join((struct spk_span){1, 5, 9}, spk_span_none);
    assert_true(joined.file == 1 && joined.begin == 5);
}

static void test_json(void **state)
{
    struct strbuf out = {0};
    uint32_t file = add("n.spk", "a\nbc\n");
    (void)state;
    (void)diag_error(&diags, (struct spk_span){file, 2, 4}, "E1", "say \"%s\"", "x");
    diag_note_add(&diags, spk_span_none, "see");
    diag_render_json(&diags, &out);
    assert_string_equal(
        strbuf_cstr(&out),
        "[{\"severity\":\"error\",\"code\":\"E1\",\"message\":\"say \\\"x\\\"\",\"help\":null,"
        "\"file\":\"n.spk\",\"line\":2,\"column\":1,\"end_line\":2,\"end_column\":3,"
        "\"notes\":[{\"message\":\"see\",\"file\":null,\"line\":null,\"column\":null,"
        "\"end_line\":null,\"end_column\":null}]}]");
    strbuf_fini(&out);
}

static void test_color(void **state)
{
    struct strbuf out = {0};
    struct diag_style style = {.color = true};
    uint32_t file = add("f", "a");
    (void)state;
    (void)diag_error(&diags, (struct spk_span){file, 0, 1}, "E1", "x");
    diag_render(&diags, &style, &out);
    assert_string_equal(strbuf_cstr(&out), "\033[1mf:1:1: \033[1;31merror[E1]: \033[0mx\n"
                                           "    1 | a\n      | \033[1;31m^\033[0m\n");
    strbuf_fini(&out);
}

static spk_status report_once(void)
{
    struct diag_list list;
    uint32_t file;
    spk_status status;
    diag_init(&list);
    list.arena.chunk_size = 128; /* many chunks, many allocations */
    status = diag_source_add(&list, "f", "some text\nhere\n", 15, &file);
    for (int i = 0; status == SPK_OK && i < 20; i++) {
        status = diag_error(&list, diag_place(&list, "place number %d", i), "E0001",
                            "a message of some length %d", i);
        diag_note_add(&list, spk_span_none, "a note %d", i);
        diag_help_set(&list, "help %d", i);
        if (list.out_of_memory)
            status = SPK_ERR_NOMEM;
        else if (status == SPK_ERR_INPUT)
            status = SPK_OK;
    }
    diag_fini(&list);
    return status;
}

static void test_memory(void **state)
{
    spk_status status;
    (void)state;
    for_each_failing_alloc(status, status = report_once());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_basic, setup, teardown),
        cmocka_unit_test_setup_teardown(test_place, setup, teardown),
        cmocka_unit_test_setup_teardown(test_odd_text, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_line, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_null, setup, teardown),
        cmocka_unit_test_setup_teardown(test_locate, setup, teardown),
        cmocka_unit_test_setup_teardown(test_join, setup, teardown),
        cmocka_unit_test_setup_teardown(test_json, setup, teardown),
        cmocka_unit_test_setup_teardown(test_color, setup, teardown),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
