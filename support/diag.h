/* Diagnostics and the source map.
 *
 * A diag_list collects what went wrong, where, and what to do about it; nothing is printed here. It
 * also owns the source files, so that one pointer serves every function that can complain:
 *
 *   return diag_error(diags, node->span, "E0103", "unknown value '%s'", name);   // SPK_ERR_INPUT
 *   return diag_error(diags, diag_place(diags, "%s: tensor %s", path, name), "E0402", "…");
 *
 * `diags` may be NULL everywhere: nothing is recorded then, the status is returned all the same.
 * When memory runs out while recording, diags->out_of_memory is set and from then on the functions
 * that return a status return SPK_ERR_NOMEM. Not thread-safe. Code numbers by room: E00xx files and
 * containers (support), E01xx-E02xx frontend, E03xx IR, E04xx weights, E05xx targets, E06xx passes
 * and mapping, E07xx backends, E08xx runtime, E09xx check and tool, E10xx objects of the library;
 * W and R instead of E for warnings, remarks. */
#ifndef SPIKEC_SUPPORT_DIAG_H
#define SPIKEC_SUPPORT_DIAG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/arena.h"
#include "support/status.h"
#include "support/strbuf.h"
#include "support/vec.h"

/* Bytes [begin, end) of a source file. File ids count from 1; file 0 means "no place". */
struct spk_span {
    uint32_t file, begin, end;
};
#define spk_span_none ((struct spk_span){0, 0, 0})

/* From the start of `a` to the end of `b`; the other one when either is spk_span_none. */
struct spk_span spk_span_join(struct spk_span a, struct spk_span b);

enum diag_severity { DIAG_ERROR, DIAG_WARNING, DIAG_NOTE, DIAG_REMARK };

struct diag_note {
    struct spk_span span;
    const char *message;
    struct diag_note *next;
};

struct diag {
    enum diag_severity severity;
    spk_status status; /* what the reporting function returned; SPK_OK for warnings and remarks */
    struct spk_span span;
    const char *code;        /* "E0103"; copied */
    const char *message;     /* one line, no trailing period or newline */
    const char *help;        /* remedy, or NULL */
    struct diag_note *notes; /* in the order added */
    struct diag_note *last_note;
};

/* A source file; text is NULL for a mere place ("weights.safetensors: tensor x"). */
struct source_file {
    const char *name;
    const char *text; /* owned copy, NUL-terminated */
    uint32_t length;
    uint32_t line_count;
    const uint32_t *line_starts; /* byte offset of each line's first character */
};

struct diag_list {
    struct arena arena; /* owns all text below */
    VEC(struct diag *) items;
    VEC(struct source_file) sources; /* id - 1 is the index */
    uint32_t max_errors;             /* errors kept; later ones are counted only. 0 = no limit */
    uint32_t max_warnings;           /* the same for warnings and remarks together */
    uint32_t error_count, warning_count, suppressed_count;
    bool out_of_memory;
    bool last_suppressed; /* the last report was dropped, so its notes are, too */
};

/* max_errors starts at 20, max_warnings at 100. Cannot fail. */
void diag_init(struct diag_list *diags);
void diag_fini(struct diag_list *diags);
/* Forgets diagnostics and sources. */
void diag_clear(struct diag_list *diags);

/* ---- sources ---- */

/* Registers a file and copies name and text (`length` bytes, need not be NUL-terminated). Texts of
 * 2^31 bytes or more are refused with SPK_ERR_INPUT. *out_file is the id for spans. */
SPK_CHECKED spk_status diag_source_add(struct diag_list *diags, const char *name, const char *text,
                                       size_t length, uint32_t *out_file);
/* NULL for ids that do not exist (0 included). */
const struct source_file *diag_source_get(const struct diag_list *diags, uint32_t file);

/* Line and column of a byte offset, both from 1; the column counts code points. Offsets behind the
 * end are moved to the end. {0,0} where the file has no text. */
struct source_position {
    uint32_t line, column;
};
struct source_position diag_source_locate(const struct diag_list *diags, uint32_t file,
                                          uint32_t offset);

/* A place that is not a range of a text file, given in words: file path, tensor name, core. The
 * same words give the same id. spk_span_none when out of memory, when diags is NULL, or when
 * max_errors is reached. */
struct spk_span diag_place(struct diag_list *diags, const char *format, ...) SPK_PRINTF(2, 3);

/* ---- reporting ---- */

/* Each records one diagnostic. The returned status is meant for `return diag_error(…);` it may be
 * ignored where more errors are to be collected. */
spk_status diag_error(struct diag_list *diags, struct spk_span span, const char *code,
                      const char *format, ...) SPK_PRINTF(4, 5); /* SPK_ERR_INPUT */
spk_status diag_nofit(struct diag_list *diags, struct spk_span span, const char *code,
                      const char *format, ...) SPK_PRINTF(4, 5); /* SPK_ERR_NOFIT */
spk_status diag_io(struct diag_list *diags, struct spk_span span, const char *code,
                   const char *format, ...) SPK_PRINTF(4, 5); /* SPK_ERR_IO */
spk_status diag_usage(struct diag_list *diags, struct spk_span span, const char *code,
                      const char *format, ...) SPK_PRINTF(4, 5); /* SPK_ERR_USAGE */
spk_status diag_internal(struct diag_list *diags, struct spk_span span, const char *code,
                         const char *format, ...) SPK_PRINTF(4, 5); /* SPK_ERR_INTERNAL */
void diag_warning(struct diag_list *diags, struct spk_span span, const char *code,
                  const char *format, ...) SPK_PRINTF(4, 5);
void diag_remark(struct diag_list *diags, struct spk_span span, const char *code,
                 const char *format, ...) SPK_PRINTF(4, 5);

/* General form: `status` is stored and returned (SPK_ERR_NOMEM when recording fails). */
spk_status diag_vreport(struct diag_list *diags, enum diag_severity severity, spk_status status,
                        struct spk_span span, const char *code, const char *format,
                        va_list arguments) SPK_PRINTF(6, 0);

/* Adds a note to, or sets the remedy of, the diagnostic reported last; no effect without one. */
void diag_note_add(struct diag_list *diags, struct spk_span span, const char *format, ...)
    SPK_PRINTF(3, 4);
void diag_help_set(struct diag_list *diags, const char *format, ...) SPK_PRINTF(2, 3);

/* Whether max_errors were reported: a parser that recovers should give up. */
bool diag_limit_reached(const struct diag_list *diags);
static inline bool diag_has_errors(const struct diag_list *diags)
{
    return diags && (diags->error_count > 0 || diags->out_of_memory);
}

/* ---- output ---- */

struct diag_style {
    bool color;         /* ANSI colours */
    uint32_t max_width; /* source lines are cut to a window of this many columns; 0 = 100 */
};

/* All diagnostics in order:
 *   net.spk:3:14: error[E0103]: unknown value 'x'
 *       3 | y = conv(x, 3)
 *         |          ^
 *   net.spk:1:1: note: …
 *   help: …
 * Tabs become blanks, control characters and invalid UTF-8 are shown as \xHH. style may be NULL. */
void diag_render(const struct diag_list *diags, const struct diag_style *style, struct strbuf *out);
void diag_render_one(const struct diag_list *diags, size_t index, const struct diag_style *style,
                     struct strbuf *out);

/* JSON array of {severity, code, message, help, file, line, column, end_line, end_column, notes}
 * (place fields null where unknown), on one line. */
void diag_render_json(const struct diag_list *diags, struct strbuf *out);

const char *diag_severity_name(enum diag_severity severity);

#endif
