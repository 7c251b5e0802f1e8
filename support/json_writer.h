/* Streaming JSON output into a strbuf: no tree in memory, keys in the order written.
 *
 *   struct json_writer w; struct strbuf text = {0};
 *   jw_init(&w, &text, 2);
 *   jw_object_begin(&w, NULL);
 *     jw_i64(&w, "cores", 12);
 *     jw_array_begin(&w, "layers"); jw_string(&w, NULL, "conv1"); jw_array_end(&w);
 *   jw_object_end(&w);
 *   SPK_TRY(jw_finish(&w));
 *
 * `key` is the member name inside an object and NULL inside an array or at the top. Errors are
 * sticky: a misplaced call, unbalanced end, or a NaN or infinity (JSON has none) give
 * SPK_ERR_INTERNAL; memory gives SPK_ERR_NOMEM. */
#ifndef SPIKEC_SUPPORT_JSON_WRITER_H
#define SPIKEC_SUPPORT_JSON_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "support/status.h"
#include "support/strbuf.h"

#define JW_MAX_DEPTH 64

struct json_writer {
    struct strbuf *out;
    uint32_t indent, depth;
    spk_status status;
    bool done;                   /* the top value is complete */
    bool is_array[JW_MAX_DEPTH]; /* kind of each open container */
    bool has_items[JW_MAX_DEPTH];
    bool compact[JW_MAX_DEPTH]; /* container stays on one line */
};

/* indent 0: everything on one line; otherwise blanks per level. */
void jw_init(struct json_writer *writer, struct strbuf *out, uint32_t indent);
/* Checks that one complete value was written; adds a final newline when indented. Returns the
 * sticky status. */
SPK_CHECKED spk_status jw_finish(struct json_writer *writer);

void jw_object_begin(struct json_writer *writer, const char *key);
void jw_object_end(struct json_writer *writer);
void jw_array_begin(struct json_writer *writer, const char *key);
void jw_array_end(struct json_writer *writer);
/* As the two above, but the container and what is inside stays on one line: for rows of tables. */
void jw_object_begin_line(struct json_writer *writer, const char *key);
void jw_array_begin_line(struct json_writer *writer, const char *key);

void jw_string(struct json_writer *writer, const char *key, const char *text); /* NULL = null */
void jw_i64(struct json_writer *writer, const char *key, int64_t value);
void jw_u64(struct json_writer *writer, const char *key, uint64_t value);
void jw_f64(struct json_writer *writer, const char *key, double value);
/* null where the value is not finite: for figures that may be unknown. */
void jw_f64_or_null(struct json_writer *writer, const char *key, double value);
void jw_bool(struct json_writer *writer, const char *key, bool value);
void jw_null(struct json_writer *writer, const char *key);
/* `text` is already JSON (for instance from diag_render_json) and is copied as it is. */
void jw_raw(struct json_writer *writer, const char *key, const char *text);

#endif
