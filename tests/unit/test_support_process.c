/* support/process: what a program says, its exit code, programs that are not there. */
#include "unit.h"

#include <string.h>

#include "support/process.h"

struct bench {
    struct diag_list d;
    struct strbuf text;
    int code;
};

static spk_status run(struct bench *b, const char *const *argv)
{
    memset(b, 0, sizeof *b);
    diag_init(&b->d);
    return process_run(argv, &b->d, &b->text, &b->code);
}

static void fini(struct bench *b)
{
    strbuf_fini(&b->text);
    diag_fini(&b->d);
}

static void output_and_exit_code(void **state)
{
    const char *const argv[] = {"sh", "-c", "echo one; echo two >&2; cat; exit 7", NULL};
    struct bench b;

    (void)state;
    assert_int_equal(run(&b, argv), SPK_OK);
    assert_int_equal(b.code, 7);
    assert_string_equal(strbuf_cstr(&b.text), "one\ntwo\n"); /* cat found nothing to read */
    fini(&b);
}

static void a_signal(void **state)
{
    const char *const argv[] = {"sh", "-c", "kill -KILL $$", NULL};
    struct bench b;

    (void)state;
    assert_int_equal(run(&b, argv), SPK_OK);
    assert_int_equal(b.code, 128 + 9);
    fini(&b);
}

static void not_there(void **state)
{
    const char *const argv[] = {"spikec-no-such-program", NULL};
    struct bench b;

    (void)state;
    assert_int_equal(run(&b, argv), SPK_OK);
    assert_int_equal(b.code, PROCESS_NONE);
    assert_false(diag_has_errors(&b.d));
    fini(&b);
}

static void refused(void **state)
{
    const char *const argv[] = {"/", NULL};
    struct bench b;

    (void)state;
    assert_int_equal(run(&b, argv), SPK_ERR_IO);
    assert_true(diag_has_errors(&b.d));
    fini(&b);
}

/* More than a pipe holds, and than is kept. */
static void much_output(void **state)
{
    const char *const argv[] = {"head", "-c", "1000000", "/dev/zero", NULL};
    struct bench b;

    (void)state;
    assert_int_equal(run(&b, argv), SPK_OK);
    assert_int_equal(b.code, 0);
    assert_int_equal(b.text.len, 64 << 10);
    fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(output_and_exit_code),
        cmocka_unit_test(a_signal),
        cmocka_unit_test(not_there),
        cmocka_unit_test(refused),
        cmocka_unit_test(much_output),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
