/* Streaming JSON writer; a small stack of open containers checks the order of calls. */
#include "support/json_writer.h"

#include <math.h>
#include <string.h>

void jw_init(struct json_writer *writer, struct strbuf *out, uint32_t indent)
{
    *writer = (struct json_writer){.out = out, .indent = indent};
}

static void fail(struct json_writer *writer)
{
    if (writer->status == SPK_OK)
        writer->status = SPK_ERR_INTERNAL;
}

static bool on_one_line(const struct json_writer *writer)
{
    return writer->indent == 0 || (writer->depth > 0 && writer->compact[writer->depth - 1]);
}

static void new_line(struct json_writer *writer, uint32_t depth)
{
    strbuf_char(writer->out, '\n');
    strbuf_repeat(writer->out, ' ', (size_t)writer->indent * depth);
}

/* Comma, line break and key before a value; false when no value may come here. */
static bool value_begin(struct json_writer *writer, const char *key)
{
    uint32_t level = writer->depth - 1;
    if (writer->status != SPK_OK)
        return false;
    if (writer->depth == 0 ? (writer->done || key) : (writer->is_array[level] == (key != NULL))) {
        fail(writer);
        return false;
    }
    if (writer->depth == 0) {
        writer->done = true;
        return true;
    }
    if (writer->has_items[level])
        strbuf_append(writer->out, on_one_line(writer) && writer->indent > 0 ? ", " : ",");
    writer->has_items[level] = true;
    if (!on_one_line(writer))
        new_line(writer, writer->depth);
    if (key) {
        strbuf_json_string(writer->out, key, strlen(key));
        strbuf_append(writer->out, writer->indent > 0 ? ": " : ":");
    }
    return true;
}

static void container_begin(struct json_writer *writer, const char *key, bool is_array, bool line)
{
    if (writer->depth >= JW_MAX_DEPTH)
        fail(writer);
    if (!value_begin(writer, key))
        return;
    line = line || on_one_line(writer);
    writer->is_array[writer->depth] = is_array;
    writer->has_items[writer->depth] = false;
    writer->compact[writer->depth] = line;
    writer->depth++;
    strbuf_char(writer->out, is_array ? '[' : '{');
}

static void container_end(struct json_writer *writer, bool is_array)
{
    if (writer->status != SPK_OK)
        return;
    if (writer->depth == 0 || writer->is_array[writer->depth - 1] != is_array) {
        fail(writer);
        return;
    }
    if (writer->has_items[writer->depth - 1] && !on_one_line(writer))
        new_line(writer, writer->depth - 1);
    writer->depth--;
    strbuf_char(writer->out, is_array ? ']' : '}');
}

void jw_object_begin(struct json_writer *writer, const char *key)
{
    container_begin(writer, key, false, false);
}

void jw_array_begin(struct json_writer *writer, const char *key)
{
    container_begin(writer, key, true, false);
}

void jw_object_begin_line(struct json_writer *writer, const char *key)
{
    container_begin(writer, key, false, true);
}

void jw_array_begin_line(struct json_writer *writer, const char *key)
{
    container_begin(writer, key, true, true);
}

void jw_object_end(struct json_writer *writer)
{
    container_end(writer, false);
}

void jw_array_end(struct json_writer *writer)
{
    container_end(writer, true);
}

spk_status jw_finish(struct json_writer *writer)
{
    if (writer->depth != 0 || !writer->done)
        fail(writer);
    if (writer->status == SPK_OK && writer->indent > 0)
        strbuf_char(writer->out, '\n');
    return writer->status != SPK_OK ? writer->status : writer->out->status;
}

void jw_string(struct json_writer *writer, const char *key, const char *text)
{
    if (!text)
        jw_null(writer, key);
    else if (value_begin(writer, key))
        strbuf_json_string(writer->out, text, strlen(text));
}

void jw_i64(struct json_writer *writer, const char *key, int64_t value)
{
    if (value_begin(writer, key))
        strbuf_i64(writer->out, value);
}

void jw_u64(struct json_writer *writer, const char *key, uint64_t value)
{
    if (value_begin(writer, key))
        strbuf_u64(writer->out, value);
}

void jw_f64(struct json_writer *writer, const char *key, double value)
{
    size_t start;
    if (!isfinite(value))
        fail(writer);
    if (!value_begin(writer, key))
        return;
    start = writer->out->len;
    strbuf_f64(writer->out, value);
    if (writer->out->status == SPK_OK && !strpbrk(writer->out->data + start, ".e"))
        strbuf_append(writer->out, ".0"); /* a real stays a real for readers that care */
}

void jw_f64_or_null(struct json_writer *writer, const char *key, double value)
{
    if (isfinite(value))
        jw_f64(writer, key, value);
    else
        jw_null(writer, key);
}

void jw_bool(struct json_writer *writer, const char *key, bool value)
{
    jw_raw(writer, key, value ? "true" : "false");
}

void jw_null(struct json_writer *writer, const char *key)
{
    jw_raw(writer, key, "null");
}

void jw_raw(struct json_writer *writer, const char *key, const char *text)
{
    if (value_begin(writer, key))
        strbuf_append(writer->out, text);
}
