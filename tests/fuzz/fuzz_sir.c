/* Fuzz target: the parser of the text form. Whatever the text, parsing ends with a status; what
 * it accepts can be verified, and printing and parsing it again gives the same module and text.  */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ir/ir.h"
#include "support/strbuf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int holds)
{
    if (!holds)
        abort();
}

static void round_trip(const struct ir_module *m)
{
    struct strbuf first = {0}, second = {0};
    struct ir_module *again = NULL;
    ir_print(m, &first);
    require(first.status == SPK_OK);
    require(ir_parse("again.sir", strbuf_cstr(&first), first.len, NULL, &again) == SPK_OK);
    require(ir_module_equal(m, again));
    ir_print(again, &second);
    require(second.len == first.len && memcmp(first.data, second.data, first.len) == 0);
    strbuf_fini(&first);
    strbuf_fini(&second);
    ir_module_destroy(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct diag_list d;
    struct ir_module *m = NULL;
    struct strbuf text = {0};
    diag_init(&d);
    spk_status s = ir_parse("fuzz.sir", (const char *)data, size, &d, &m);
    require((s == SPK_OK) == (m != NULL));
    require(s == SPK_OK || diag_has_errors(&d));
    if (m) {
        s = ir_verify(m, &d);
        require(s == SPK_OK || diag_has_errors(&d));
        round_trip(m);
    }
    diag_render(&d, NULL, &text);
    strbuf_fini(&text);
    ir_module_destroy(m);
    diag_fini(&d);
    return 0;
}
