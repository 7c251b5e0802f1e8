/* Building JSON trees through jansson, and printing them with the streaming writer, so that there
 * is one format. */
#include <string.h>

#include "support/json.h"
#include "support/json_internal.h"
#include "support/json_writer.h"

struct json_value *js_new_object(void)
{
    return js_wrap(json_object());
}

struct json_value *js_new_array(void)
{
    return js_wrap(json_array());
}

struct json_value *js_new_string(const char *text)
{
    return js_wrap(json_string(text));
}

struct json_value *js_new_i64(int64_t number)
{
    return js_wrap(json_integer(number));
}

struct json_value *js_new_f64(double number)
{
    return js_wrap(json_real(number));
}

struct json_value *js_new_bool(bool truth)
{
    return js_wrap(json_boolean(truth));
}

struct json_value *js_new_null(void)
{
    return js_wrap(json_null());
}

spk_status js_set(struct json_value *object, const char *key, struct json_value *value)
{
    if (!value)
        return SPK_ERR_NOMEM;
    if (js_kind(object) != JS_OBJECT) {
        js_free(value);
        return SPK_ERR_INTERNAL;
    }
    return json_object_set_new(js_node(object), key, js_node(value)) == 0 ? SPK_OK : SPK_ERR_NOMEM;
}

spk_status js_append(struct json_value *array, struct json_value *value)
{
    if (!value)
        return SPK_ERR_NOMEM;
    if (js_kind(array) != JS_ARRAY) {
        js_free(value);
        return SPK_ERR_INTERNAL;
    }
    return json_array_append_new(js_node(array), js_node(value)) == 0 ? SPK_OK : SPK_ERR_NOMEM;
}

static void dump_value(struct json_writer *writer, const char *key, json_t *node)
{
    const char *name;
    json_t *item;
    size_t i;
    switch (json_typeof(node)) {
    case JSON_OBJECT:
        jw_object_begin(writer, key);
        json_object_foreach(node, name, item) dump_value(writer, name, item);
        jw_object_end(writer);
        break;
    case JSON_ARRAY:
        jw_array_begin(writer, key);
        json_array_foreach(node, i, item) dump_value(writer, NULL, item);
        jw_array_end(writer);
        break;
    case JSON_STRING:
        jw_string(writer, key, json_string_value(node));
        break;
    case JSON_INTEGER:
        jw_i64(writer, key, json_integer_value(node));
        break;
    case JSON_REAL:
        jw_f64(writer, key, json_real_value(node));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        jw_bool(writer, key, json_is_true(node));
        break;
    case JSON_NULL:
        jw_null(writer, key);
        break;
    }
}

void js_dump(const struct json_value *value, uint32_t indent, struct strbuf *out)
{
    struct json_writer writer;
    spk_status status;
    jw_init(&writer, out, indent);
    dump_value(&writer, NULL, js_node(value));
    status = jw_finish(&writer);
    if (out->status == SPK_OK)
        out->status = status;
}
