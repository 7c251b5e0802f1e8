/* Error messages of the .spk front end: every tests/diag/NAME.spk is loaded, and what is reported
 * must be NAME.expected, carets included. Comment lines `// set: A=B` and `// bind: A=B` at the top
 * of a file give settings and bindings. BLESS=1 in the environment rewrites the expectations.  */
#include "unit.h"

#include "frontend/model.h"
#include "support/file.h"

#define MAX_LINES 8

struct header {
    char text[MAX_LINES][64];
    struct fe_setting sets[MAX_LINES];
    struct fe_binding binds[MAX_LINES];
    struct fe_options options;
};

static void read_header(const char *text, struct header *h)
{
    uint32_t line = 0;
    *h = (struct header){.options = {.sets = h->sets, .binds = h->binds}};
    while (strncmp(text, "// set: ", 8) == 0 || strncmp(text, "// bind: ", 9) == 0) {
        bool set = text[3] == 's';
        const char *begin = text + (set ? 8 : 9);
        size_t n = strcspn(begin, "\n");
        assert_true(line < MAX_LINES && n < sizeof h->text[0]);
        memcpy(h->text[line], begin, n);
        char *value = strchr(h->text[line], '=');
        assert_non_null(value);
        *value++ = '\0';
        if (set)
            h->sets[h->options.n_sets++] = (struct fe_setting){h->text[line], value};
        else
            h->binds[h->options.n_binds++] = (struct fe_binding){h->text[line], value};
        line++;
        text = begin + n + (begin[n] == '\n');
    }
}

static void check_file(const char *name)
{
    struct header header;
    struct diag_list d;
    struct ir_module *m = NULL;
    char *text, *expected = NULL, path[256];
    size_t n;
    diag_init(&d);
    assert_ok(file_read(name, 0, NULL, &text, &n));
    read_header(text, &header);
    spk_status status = fe_model_parse_text(name, text, n, &header.options, &d, &m);
    char *found = unit_diag_text(&d);
    if (status != SPK_ERR_INPUT || m || d.error_count == 0)
        fail_msg("%s: status %d:\n%s", name, (int)status, found);
    (void)snprintf(path, sizeof path, "%.*s.expected", (int)strlen(name) - 4, name);
    if (getenv("BLESS"))
        assert_ok(file_write_all(path, found, strlen(found), NULL));
    assert_ok(file_read(path, 0, NULL, &expected, &n));
    if (strcmp(found, expected) != 0)
        fail_msg("%s: expected:\n%s\nfound:\n%s", name, expected, found);
    spk_free(expected);
    spk_free(found);
    spk_free(text);
    diag_fini(&d);
}

static void test_diagnostics(void **state)
{
    (void)state;
    struct file_names names;
    assert_int_equal(chdir(SPIKEC_TEST_DATA_DIR "/../diag"), 0); /* paths in messages stay short */
    assert_ok(file_list(".", ".spk", NULL, &names));
    assert_true(names.len >= 18);
    for (size_t i = 0; i < names.len; i++)
        check_file(names.data[i]);
    file_names_fini(&names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_diagnostics)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
