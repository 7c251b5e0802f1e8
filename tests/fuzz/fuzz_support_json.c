/* JSON reader on any bytes: what it accepts must survive printing and reading again, and what it
 * refuses must have a diagnostic that renders. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "support/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void print_twice(const struct json_value *value, struct diag_list *diags)
{
    struct strbuf first = {0}, second = {0};
    struct json_value *again;
    js_dump(value, 1, &first);
    if (js_parse(first.data, first.len, "again", NULL, diags, &again) != SPK_OK)
        __builtin_trap();
    js_dump(again, 1, &second);
    if (strcmp(strbuf_cstr(&first), strbuf_cstr(&second)) != 0)
        __builtin_trap();
    js_free(again);
    strbuf_fini(&first);
    strbuf_fini(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct diag_list diags;
    struct json_value *value;
    struct strbuf text = {0};
    diag_init(&diags);
    if (js_parse((const char *)data, size, "fuzz", NULL, &diags, &value) == SPK_OK) {
        print_twice(value, &diags);
        js_free(value);
    } else {
        diag_render(&diags, NULL, &text);
        diag_render_json(&diags, &text);
        if (text.len == 0)
            __builtin_trap();
    }
    strbuf_fini(&text);
    diag_fini(&diags);
    return 0;
}
