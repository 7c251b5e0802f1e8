/* JSON in and out: a thin layer around jansson, and the only place that includes it.
 *
 * Reading goes through a cursor that knows its path, so that every complaint says where:
 * "cost.json: .layers[3].name: expected a string, found a number". Objects keep insertion order,
 * integers are int64. For output of any size prefer the streaming writer (support/json_writer.h).
 * The prefix is js_ because jansson owns json_. */
#ifndef SPIKEC_SUPPORT_JSON_H
#define SPIKEC_SUPPORT_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/diag.h"
#include "support/status.h"
#include "support/strbuf.h"

struct json_value; /* owned tree; values inside it are borrowed */

enum json_kind { JS_OBJECT, JS_ARRAY, JS_STRING, JS_INTEGER, JS_REAL, JS_BOOL, JS_NULL };
const char *js_kind_name(enum json_kind kind); /* "an object", "a string", … */

struct json_limits {
    size_t max_bytes;   /* 0 = 256 MiB */
    uint32_t max_depth; /* nesting; 0 = 64 */
};

/* ---- reading ---- */

/* Parses a whole document (object or array at the top). Duplicate keys, trailing text, NaN, NUL in
 * strings, invalid UTF-8, integers beyond int64, too deep or too large input: SPK_ERR_INPUT with
 * a diagnostic at line and column of `name`. limits may be NULL. Release with js_free. */
SPK_CHECKED spk_status js_parse(const char *text, size_t length, const char *name,
                                const struct json_limits *limits, struct diag_list *diags,
                                struct json_value **out_value);
SPK_CHECKED spk_status js_parse_file(const char *path, const struct json_limits *limits,
                                     struct diag_list *diags, struct json_value **out_value);
void js_free(struct json_value *value);

enum json_kind js_kind(const struct json_value *value);

/* A value together with the way that led to it. Copyable; `parent` must outlive it. */
struct json_cursor {
    const struct json_value *value;
    const struct json_cursor *parent; /* NULL at the top */
    const char *key;                  /* member name, or NULL for an array element */
    size_t index;                     /* array index */
    const char *name;                 /* of the document, for messages */
    struct diag_list *diags;
};
struct json_cursor js_root(const struct json_value *value, const char *name,
                           struct diag_list *diags);

/* The place of a cursor for own diagnostics: "file: .a.b[2]". */
struct spk_span js_place(const struct json_cursor *at);

/* Descend. js_has is false also for non-objects and for null members. */
bool js_has(const struct json_cursor *at, const char *key);
SPK_CHECKED spk_status js_member(const struct json_cursor *at, const char *key,
                                 struct json_cursor *out_member); /* missing: diagnostic */
SPK_CHECKED spk_status js_element(const struct json_cursor *at, size_t index,
                                  struct json_cursor *out_element);
/* Number of elements or members; diagnostic when it is not an array / object. */
SPK_CHECKED spk_status js_array_length(const struct json_cursor *at, size_t *out_length);
SPK_CHECKED spk_status js_object_length(const struct json_cursor *at, size_t *out_length);
/* Members in insertion order: start with *iterator = NULL; false when there are no more (or `at` is
 * not an object). out_member->key is the name. */
bool js_next_member(const struct json_cursor *at, void **iterator, struct json_cursor *out_member);

/* Value of the cursor itself; a wrong kind or range is a diagnostic (SPK_ERR_INPUT). js_f64 also
 * takes integers. Strings are borrowed from the tree, NUL-terminated UTF-8. */
SPK_CHECKED spk_status js_i64(const struct json_cursor *at, int64_t min, int64_t max,
                              int64_t *out_value);
SPK_CHECKED spk_status js_u32(const struct json_cursor *at, uint32_t max, uint32_t *out_value);
SPK_CHECKED spk_status js_f64(const struct json_cursor *at, double *out_value);
SPK_CHECKED spk_status js_bool(const struct json_cursor *at, bool *out_value);
SPK_CHECKED spk_status js_string(const struct json_cursor *at, const char **out_text);

/* Member `key` of the cursor's object: the same, with the member required. */
SPK_CHECKED spk_status js_get_i64(const struct json_cursor *at, const char *key, int64_t min,
                                  int64_t max, int64_t *out_value);
SPK_CHECKED spk_status js_get_u32(const struct json_cursor *at, const char *key, uint32_t max,
                                  uint32_t *out_value);
SPK_CHECKED spk_status js_get_f64(const struct json_cursor *at, const char *key, double *out_value);
SPK_CHECKED spk_status js_get_bool(const struct json_cursor *at, const char *key, bool *out_value);
SPK_CHECKED spk_status js_get_string(const struct json_cursor *at, const char *key,
                                     const char **out_text);

/* ---- building ---- */

/* New values; NULL on error (out of memory, text that is not UTF-8, NaN or infinity). */
SPK_CHECKED struct json_value *js_new_object(void);
SPK_CHECKED struct json_value *js_new_array(void);
SPK_CHECKED struct json_value *js_new_string(const char *text);
SPK_CHECKED struct json_value *js_new_i64(int64_t number);
SPK_CHECKED struct json_value *js_new_f64(double number);
SPK_CHECKED struct json_value *js_new_bool(bool truth);
SPK_CHECKED struct json_value *js_new_null(void);

/* Put `value` into an object (replacing a member of that name) or at the end of an array; takes
 * ownership of value in every case. value NULL gives SPK_ERR_NOMEM, so calls can be nested:
 * SPK_TRY(js_set(o, "n", js_new_i64(3))). Wrong container kind: SPK_ERR_INTERNAL. */
SPK_CHECKED spk_status js_set(struct json_value *object, const char *key, struct json_value *value);
SPK_CHECKED spk_status js_append(struct json_value *array, struct json_value *value);

/* Text of a tree. indent 0 = on one line; otherwise blanks per level. Reals are the shortest text
 * that reads back the same and always carry a '.' or exponent. Errors are sticky in `out`. */
void js_dump(const struct json_value *value, uint32_t indent, struct strbuf *out);

#endif
