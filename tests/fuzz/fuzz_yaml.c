/* Target descriptions from arbitrary bytes: reading, and showing what was read, must not crash. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "frontend/target_yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct diag_list diags;
    struct strbuf text = {0};
    struct tgt *t = NULL;
    diag_init(&diags);
    if (fe_target_parse("fuzz.yaml", (const char *)data, size, &diags, &t) == SPK_OK) {
        fe_target_print(t, &text);
        if (fe_target_json(t, 2, &text) != SPK_OK || fe_target_check(t, NULL) != SPK_OK)
            abort();
        tgt_destroy(t);
    } else if (diags.error_count == 0) {
        abort(); /* a failure without a word */
    }
    diag_render(&diags, NULL, &text);
    strbuf_fini(&text);
    diag_fini(&diags);
    return 0;
}
