/* JSON reading through jansson. json_value is jansson's json_t under another name.
 *
 * jansson itself checks UTF-8, duplicate keys and integer range; depth is checked by a scan of the
 * text beforehand, because jansson recurses. */
#include "support/json.h"

#include <jansson.h>
#include <string.h>

#include "support/alloc.h"
#include "support/file.h"
#include "support/json_internal.h"

#define JS_DEFAULT_MAX_BYTES ((size_t)256 << 20)
#define JS_DEFAULT_MAX_DEPTH 64u
#define JS_MAX_SHOWN_SOURCE ((size_t)4 << 20) /* larger texts are not kept for carets */

const char *js_kind_name(enum json_kind kind)
{
    switch (kind) {
    case JS_OBJECT:
        return "an object";
    case JS_ARRAY:
        return "an array";
    case JS_STRING:
        return "a string";
    case JS_INTEGER:
        return "an integer";
    case JS_REAL:
        return "a real number";
    case JS_BOOL:
        return "a truth value";
    case JS_NULL:
        return "null";
    }
    return "null";
}

enum json_kind js_kind(const struct json_value *value)
{
    switch (json_typeof(js_node(value))) {
    case JSON_OBJECT:
        return JS_OBJECT;
    case JSON_ARRAY:
        return JS_ARRAY;
    case JSON_STRING:
        return JS_STRING;
    case JSON_INTEGER:
        return JS_INTEGER;
    case JSON_REAL:
        return JS_REAL;
    case JSON_TRUE:
    case JSON_FALSE:
        return JS_BOOL;
    case JSON_NULL:
        break;
    }
    return JS_NULL;
}

/* ---- parsing ---- */

/* Span of byte `offset`, with the source registered where it is small enough to be shown. */
static spk_status text_error(struct diag_list *diags, const char *name, const char *text,
                             size_t length, size_t offset, const char *code, const char *message)
{
    uint32_t file = 0;
    uint32_t at = (uint32_t)offset;
    if (!diags)
        return SPK_ERR_INPUT;
    if (length > JS_MAX_SHOWN_SOURCE)
        return diag_error(diags, diag_place(diags, "%s: byte %zu", name, offset), code, "%s",
                          message);
    if (!diag_limit_reached(diags))
        SPK_TRY(diag_source_add(diags, name, text, length, &file));
    return diag_error(diags, (struct spk_span){file, at, at + 1}, code, "%s", message);
}

/* Offset of the bracket that opens level max_depth + 1, or SIZE_MAX. */
static size_t find_too_deep(const char *text, size_t length, uint32_t max_depth)
{
    uint32_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            if (++depth > max_depth)
                return i;
        } else if ((c == ']' || c == '}') && depth > 0) {
            depth--;
        }
    }
    return SIZE_MAX;
}

spk_status js_parse(const char *text, size_t length, const char *name,
                    const struct json_limits *limits, struct diag_list *diags,
                    struct json_value **out_value)
{
    size_t max_bytes = limits && limits->max_bytes > 0 ? limits->max_bytes : JS_DEFAULT_MAX_BYTES;
    uint32_t max_depth = limits && limits->max_depth > 0 ? limits->max_depth : JS_DEFAULT_MAX_DEPTH;
    json_error_t error = {0};
    json_t *root;
    size_t deep, at;
    *out_value = NULL;
    if (length > max_bytes)
        return diag_error(diags, diag_place(diags, "%s", name), "E0011",
                          "JSON text is larger than the limit of %zu bytes", max_bytes);
    deep = find_too_deep(text, length, max_depth);
    if (deep != SIZE_MAX)
        return text_error(diags, name, text, length, deep, "E0011", "JSON is nested too deeply");
    root = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
    if (root) {
        *out_value = js_wrap(root);
        return SPK_OK;
    }
    if (json_error_code(&error) == json_error_out_of_memory)
        return SPK_ERR_NOMEM;
    at = error.position > 0 ? (size_t)error.position - 1 : 0; /* jansson counts what it has read */
    return text_error(diags, name, text, length, at < length ? at : length, "E0010", error.text);
}

spk_status js_parse_file(const char *path, const struct json_limits *limits,
                         struct diag_list *diags, struct json_value **out_value)
{
    size_t max_bytes = limits && limits->max_bytes > 0 ? limits->max_bytes : JS_DEFAULT_MAX_BYTES;
    char *text;
    size_t length;
    spk_status status;
    *out_value = NULL;
    SPK_TRY(file_read(path, max_bytes, diags, &text, &length));
    status = js_parse(text, length, path, limits, diags, out_value);
    spk_free(text);
    return status;
}

void js_free(struct json_value *value)
{
    if (value)
        json_decref(js_node(value));
}

/* ---- cursors ---- */

struct json_cursor js_root(const struct json_value *value, const char *name,
                           struct diag_list *diags)
{
    return (struct json_cursor){.value = value, .name = name, .diags = diags};
}

static void append_way(const struct json_cursor *at, struct strbuf *out)
{
    if (!at->parent)
        return;
    append_way(at->parent, out);
    if (at->key)
        strbuf_printf(out, ".%s", at->key);
    else
        strbuf_printf(out, "[%zu]", at->index);
}

struct spk_span js_place(const struct json_cursor *at)
{
    struct strbuf way = {0};
    struct spk_span span;
    append_way(at, &way);
    span = way.len > 0 ? diag_place(at->diags, "%s: %s", at->name, strbuf_cstr(&way))
                       : diag_place(at->diags, "%s", at->name);
    strbuf_fini(&way);
    return span;
}

static spk_status wrong_kind(const struct json_cursor *at, const char *wanted)
{
    return diag_error(at->diags, js_place(at), "E0012", "expected %s, found %s", wanted,
                      js_kind_name(js_kind(at->value)));
}

bool js_has(const struct json_cursor *at, const char *key)
{
    const json_t *member = json_object_get(js_node(at->value), key);
    return member && !json_is_null(member);
}

spk_status js_member(const struct json_cursor *at, const char *key, struct json_cursor *out_member)
{
    json_t *member;
    *out_member = (struct json_cursor){0};
    if (js_kind(at->value) != JS_OBJECT)
        return wrong_kind(at, "an object");
    member = json_object_get(js_node(at->value), key);
    if (!member)
        return diag_error(at->diags, js_place(at), "E0012", "member \"%s\" is missing", key);
    *out_member = (struct json_cursor){
        .value = js_wrap(member), .parent = at, .key = key, .name = at->name, .diags = at->diags};
    return SPK_OK;
}

spk_status js_element(const struct json_cursor *at, size_t index, struct json_cursor *out_element)
{
    json_t *element;
    *out_element = (struct json_cursor){0};
    if (js_kind(at->value) != JS_ARRAY)
        return wrong_kind(at, "an array");
    element = json_array_get(js_node(at->value), index);
    if (!element)
        return diag_error(at->diags, js_place(at), "E0012",
                          "the array has %zu elements, element %zu was expected",
                          json_array_size(js_node(at->value)), index);
    *out_element = (struct json_cursor){.value = js_wrap(element),
                                        .parent = at,
                                        .index = index,
                                        .name = at->name,
                                        .diags = at->diags};
    return SPK_OK;
}

spk_status js_array_length(const struct json_cursor *at, size_t *out_length)
{
    *out_length = 0;
    if (js_kind(at->value) != JS_ARRAY)
        return wrong_kind(at, "an array");
    *out_length = json_array_size(js_node(at->value));
    return SPK_OK;
}

spk_status js_object_length(const struct json_cursor *at, size_t *out_length)
{
    *out_length = 0;
    if (js_kind(at->value) != JS_OBJECT)
        return wrong_kind(at, "an object");
    *out_length = json_object_size(js_node(at->value));
    return SPK_OK;
}

bool js_next_member(const struct json_cursor *at, void **iterator, struct json_cursor *out_member)
{
    json_t *object = js_node(at->value);
    *iterator = *iterator ? json_object_iter_next(object, *iterator) : json_object_iter(object);
    if (!*iterator)
        return false;
    *out_member = (struct json_cursor){.value = js_wrap(json_object_iter_value(*iterator)),
                                       .parent = at,
                                       .key = json_object_iter_key(*iterator),
                                       .name = at->name,
                                       .diags = at->diags};
    return true;
}

/* ---- values ---- */

spk_status js_i64(const struct json_cursor *at, int64_t min, int64_t max, int64_t *out_value)
{
    int64_t value;
    *out_value = 0;
    if (js_kind(at->value) != JS_INTEGER)
        return wrong_kind(at, "an integer");
    value = json_integer_value(js_node(at->value));
    if (value < min || value > max)
        return diag_error(at->diags, js_place(at), "E0012", "%lld is not between %lld and %lld",
                          (long long)value, (long long)min, (long long)max);
    *out_value = value;
    return SPK_OK;
}

spk_status js_u32(const struct json_cursor *at, uint32_t max, uint32_t *out_value)
{
    int64_t value;
    *out_value = 0;
    SPK_TRY(js_i64(at, 0, max, &value));
    *out_value = (uint32_t)value;
    return SPK_OK;
}

spk_status js_f64(const struct json_cursor *at, double *out_value)
{
    *out_value = 0.0;
    if (js_kind(at->value) != JS_INTEGER && js_kind(at->value) != JS_REAL)
        return wrong_kind(at, "a number");
    *out_value = json_number_value(js_node(at->value));
    return SPK_OK;
}

spk_status js_bool(const struct json_cursor *at, bool *out_value)
{
    *out_value = false;
    if (js_kind(at->value) != JS_BOOL)
        return wrong_kind(at, "true or false");
    *out_value = json_is_true(js_node(at->value));
    return SPK_OK;
}

spk_status js_string(const struct json_cursor *at, const char **out_text)
{
    *out_text = NULL;
    if (js_kind(at->value) != JS_STRING)
        return wrong_kind(at, "a string");
    *out_text = json_string_value(js_node(at->value));
    return SPK_OK;
}

spk_status js_get_i64(const struct json_cursor *at, const char *key, int64_t min, int64_t max,
                      int64_t *out_value)
{
    struct json_cursor member;
    *out_value = 0;
    SPK_TRY(js_member(at, key, &member));
    return js_i64(&member, min, max, out_value);
}

spk_status js_get_u32(const struct json_cursor *at, const char *key, uint32_t max,
                      uint32_t *out_value)
{
    struct json_cursor member;
    *out_value = 0;
    SPK_TRY(js_member(at, key, &member));
    return js_u32(&member, max, out_value);
}

spk_status js_get_f64(const struct json_cursor *at, const char *key, double *out_value)
{
    struct json_cursor member;
    *out_value = 0.0;
    SPK_TRY(js_member(at, key, &member));
    return js_f64(&member, out_value);
}

spk_status js_get_bool(const struct json_cursor *at, const char *key, bool *out_value)
{
    struct json_cursor member;
    *out_value = false;
    SPK_TRY(js_member(at, key, &member));
    return js_bool(&member, out_value);
}

spk_status js_get_string(const struct json_cursor *at, const char *key, const char **out_text)
{
    struct json_cursor member;
    *out_text = NULL;
    SPK_TRY(js_member(at, key, &member));
    return js_string(&member, out_text);
}
