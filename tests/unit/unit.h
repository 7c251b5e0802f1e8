/* Common to all unit tests: cmocka with the headers that it wants before it, and small helpers. */
#ifndef SPIKEC_TESTS_UNIT_H
#define SPIKEC_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/alloc.h"
#include "support/diag.h"
#include "support/fault.h"
#include "support/status.h"

#define assert_ok(expr) assert_int_equal((expr), SPK_OK)

/* Runs `body` (statements that set `status`) once with each allocation failing, until it runs
 * through; every failing run must end with SPK_ERR_NOMEM. */
#define for_each_failing_alloc(status, body)                     \
    do {                                                         \
        for (uint64_t nth_ = 1; spk_fault_available(); nth_++) { \
            bool fired_;                                         \
            spk_fault_arm(SPK_FAULT_ALLOC, nth_);                \
            body;                                                \
            fired_ = spk_fault_disarm(SPK_FAULT_ALLOC);          \
            if (!fired_) {                                       \
                assert_int_equal((status), SPK_OK);              \
                break;                                           \
            }                                                    \
            assert_int_equal((status), SPK_ERR_NOMEM);           \
        }                                                        \
    } while (0)

/* Makes a fresh temporary folder; `out` has 64 bytes. */
static inline void unit_temp_dir(char out[64])
{
    (void)snprintf(out, 64, "/tmp/spikec-unit-XXXXXX");
    assert_non_null(mkdtemp(out));
}

/* Removes a folder with everything in it. */
static inline void unit_remove_dir(const char *path)
{
    char command[128];
    assert_true(strncmp(path, "/tmp/spikec-unit-", 17) == 0);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", path);
    assert_int_equal(system(command), 0);
}

/* Text of all diagnostics; spk_free. */
static inline char *unit_diag_text(const struct diag_list *diags)
{
    struct strbuf out = {0};
    char *text;
    diag_render(diags, NULL, &out);
    assert_ok(strbuf_detach(&out, &text));
    return text;
}

/* Asserts that the diagnostics contain `part`, then clears them. */
static inline void unit_expect_diag(struct diag_list *diags, const char *part)
{
    char *text = unit_diag_text(diags);
    if (!strstr(text, part))
        fail_msg("expected \"%s\" in:\n%s", part, text);
    spk_free(text);
    diag_clear(diags);
}

#endif
