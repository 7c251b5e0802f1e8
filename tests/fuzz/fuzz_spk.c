/* Model descriptions from arbitrary bytes: loading must not crash and must say why it refuses; what
 * loads must verify; what formats must format to itself and mean the same module. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct ir_module *load(const char *text, size_t length)
{
    struct diag_list diags;
    struct strbuf rendered = {0};
    struct ir_module *m = NULL;
    diag_init(&diags);
    spk_status status = fe_model_parse_text("fuzz.spk", text, length, NULL, &diags, &m);
    if ((status != SPK_OK && status != SPK_ERR_INPUT && status != SPK_ERR_IO) ||
        (status == SPK_OK) != (m != NULL) || (status != SPK_OK && diags.error_count == 0))
        abort();
    diag_render(&diags, NULL, &rendered);
    strbuf_fini(&rendered);
    diag_fini(&diags);
    return m;
}

static void format(const char *text, size_t length, const struct ir_module *m)
{
    struct strbuf once = {0}, twice = {0};
    if (fe_format("fuzz.spk", text, length, NULL, &once) == SPK_OK) {
        if (fe_format("fuzz.spk", strbuf_cstr(&once), once.len, NULL, &twice) != SPK_OK ||
            once.len != twice.len || memcmp(strbuf_cstr(&once), strbuf_cstr(&twice), once.len) != 0)
            abort();
        struct ir_module *again = m ? load(strbuf_cstr(&once), once.len) : NULL;
        if (m && (!again || !ir_module_equal(m, again)))
            abort();
        ir_module_destroy(again);
    } else if (m) {
        abort(); /* what loads has no syntax errors */
    }
    strbuf_fini(&once);
    strbuf_fini(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    if (size > 65536)
        return 0;
    struct ir_module *m = load(text, size);
    format(text, size, m);
    ir_module_destroy(m);
    return 0;
}
