/* Diagnostics as text with source lines and carets, and as JSON.
 *
 * A source line is shown as a row of cells: a code point is one cell (no East Asian widths, no
 * combining marks), a tab is blanks up to the next multiple of four, any control character or
 * byte that is not UTF-8 is \xHH in four cells. Carets are placed by cells. Lines wider than the
 * limit are cut to a window around the caret. Cost: linear in the length of the line. */
#include <stdio.h>
#include <string.h>

#include "support/diag.h"

#define RENDER_WIDTH 100u
#define RENDER_MIN_WIDTH 20u
#define TAB_WIDTH 4u

static const char *const color_of[] = {
    [DIAG_ERROR] = "\033[1;31m",
    [DIAG_WARNING] = "\033[1;35m",
    [DIAG_NOTE] = "\033[1;36m",
    [DIAG_REMARK] = "\033[1;34m",
};
#define COLOR_OFF "\033[0m"
#define COLOR_BOLD "\033[1m"

const char *diag_severity_name(enum diag_severity severity)
{
    switch (severity) {
    case DIAG_ERROR:
        return "error";
    case DIAG_WARNING:
        return "warning";
    case DIAG_NOTE:
        return "note";
    case DIAG_REMARK:
        return "remark";
    }
    return "error";
}

/* ---- cells ---- */

/* One code point or stray byte of a source line, ready to be shown. */
struct cell_run {
    uint32_t bytes; /* taken from the source */
    uint32_t cells; /* columns on the screen */
    char text[8];   /* what is shown, `text_length` bytes; tabs are shown as blanks */
    uint32_t text_length;
};

static struct cell_run next_run(const char *text, size_t length, uint64_t column)
{
    struct cell_run run = {.bytes = 1, .cells = 1};
    uint32_t code = 0;
    size_t bytes = spk_utf8_decode(text, length, &code);
    bool control = code < 0x20 || code == 0x7f || (code >= 0x80 && code < 0xa0) ||
                   (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
    if (bytes == 1 && code == '\t') {
        run.cells = run.text_length = TAB_WIDTH - (uint32_t)(column % TAB_WIDTH);
        memset(run.text, ' ', sizeof run.text);
    } else if (bytes == 0 || control) { /* C0, C1, bidirectional overrides: byte by byte */
        (void)spk_snprintf(run.text, sizeof run.text, "\\x%02x", (unsigned)(unsigned char)text[0]);
        run.cells = run.text_length = 4;
    } else {
        memcpy(run.text, text, bytes);
        run.bytes = run.text_length = (uint32_t)bytes;
    }
    return run;
}

/* Text of names and messages: control characters escaped, otherwise as it is. */
static void append_clean(struct strbuf *out, const char *text)
{
    size_t length = strlen(text);
    for (size_t i = 0; i < length;) {
        struct cell_run run = next_run(text + i, length - i, TAB_WIDTH - 1);
        strbuf_append_n(out, run.text, run.text_length);
        i += run.bytes;
    }
}

/* A source line and the part to underline. */
struct shown_line {
    const char *text;
    uint32_t length;
    uint32_t mark_begin, mark_end; /* bytes within the line */
    uint64_t first, last;          /* the same in cells: [first, last), at least one cell */
    uint64_t width;                /* cells of the whole line */
};

static struct shown_line measure_line(const struct source_file *source, uint32_t line,
                                      struct spk_span span)
{
    uint32_t start = source->line_starts[line - 1];
    uint32_t end = line < source->line_count ? source->line_starts[line] - 1 : source->length;
    struct shown_line shown = {.text = source->text + start};
    uint64_t column = 0;
    if (end > start && source->text[end - 1] == '\r')
        end--;
    shown.length = end - start;
    shown.mark_begin = span.begin - start < shown.length ? span.begin - start : shown.length;
    shown.mark_end = span.end <= end ? span.end - start : shown.length;
    if (span.end < span.begin || shown.mark_end < shown.mark_begin)
        shown.mark_end = shown.mark_begin;
    shown.first = shown.last = UINT64_MAX;
    for (uint32_t at = 0; at < shown.length;) {
        struct cell_run run = next_run(shown.text + at, shown.length - at, column);
        if (at + run.bytes > shown.mark_begin && shown.first == UINT64_MAX)
            shown.first = column;
        if (at >= shown.mark_end && shown.last == UINT64_MAX)
            shown.last = column;
        column += run.cells;
        at += run.bytes;
    }
    shown.width = column;
    if (shown.first > column)
        shown.first = column;
    if (shown.last > column)
        shown.last = column;
    if (shown.last <= shown.first)
        shown.last = shown.first + 1;
    return shown;
}

/* Cells [from, to) of the line. */
static void append_window(struct strbuf *out, const struct shown_line *shown, uint64_t from,
                          uint64_t to)
{
    uint64_t column = 0;
    for (uint32_t at = 0; at < shown->length && column < to;) {
        struct cell_run run = next_run(shown->text + at, shown->length - at, column);
        if (column >= from && column + run.cells <= to)
            strbuf_append_n(out, run.text, run.text_length);
        else if (column + run.cells > from) /* cut by the border of the window */
            strbuf_repeat(out, ' ',
                          (size_t)((column + run.cells < to ? column + run.cells : to) -
                                   (column > from ? column : from)));
        column += run.cells;
        at += run.bytes;
    }
}

static void render_snippet(const struct source_file *source, struct spk_span span, uint32_t line,
                           enum diag_severity severity, const struct diag_style *style,
                           struct strbuf *out)
{
    struct shown_line shown = measure_line(source, line, span);
    uint64_t limit = style->max_width > RENDER_MIN_WIDTH ? style->max_width : RENDER_MIN_WIDTH;
    uint64_t from = 0, to = shown.width;
    bool cut_left = false, cut_right = false;
    if (shown.width > limit) {
        from = shown.first > limit / 2 ? shown.first - limit / 2 : 0;
        if (from + limit > shown.width)
            from = shown.width - limit;
        to = from + limit;
        cut_left = from > 0;
        cut_right = to < shown.width;
    }
    strbuf_printf(out, "%5u | %s", (unsigned)line, cut_left ? "..." : "");
    append_window(out, &shown, from, to);
    while (out->len > 0 && out->data[out->len - 1] == ' ')
        out->data[--out->len] = '\0';
    strbuf_append(out, cut_right ? "...\n" : "\n");
    strbuf_append(out, "      | ");
    strbuf_repeat(out, ' ', (size_t)(shown.first - from) + (cut_left ? 3 : 0));
    if (style->color)
        strbuf_append(out, color_of[severity]);
    strbuf_char(out, '^');
    if (shown.last > to)
        shown.last = to;
    if (shown.last > shown.first + 1)
        strbuf_repeat(out, '~', (size_t)(shown.last - shown.first - 1));
    if (style->color)
        strbuf_append(out, COLOR_OFF);
    strbuf_char(out, '\n');
}

/* ---- text ---- */

static void render_message(const struct diag_list *diags, struct spk_span span,
                           enum diag_severity severity, const char *code, const char *message,
                           const struct diag_style *style, struct strbuf *out)
{
    const struct source_file *source = diag_source_get(diags, span.file);
    struct source_position at = diag_source_locate(diags, span.file, span.begin);
    if (style->color)
        strbuf_append(out, COLOR_BOLD);
    if (source) {
        append_clean(out, source->name);
        if (source->text)
            strbuf_printf(out, ":%u:%u", (unsigned)at.line, (unsigned)at.column);
        strbuf_append(out, ": ");
    }
    if (style->color)
        strbuf_append(out, color_of[severity]);
    strbuf_append(out, diag_severity_name(severity));
    if (code)
        strbuf_printf(out, "[%s]", code);
    strbuf_append(out, ": ");
    if (style->color)
        strbuf_append(out, COLOR_OFF);
    append_clean(out, message);
    strbuf_char(out, '\n');
    if (source && source->text)
        render_snippet(source, span, at.line, severity, style, out);
}

void diag_render_one(const struct diag_list *diags, size_t index, const struct diag_style *style,
                     struct strbuf *out)
{
    struct diag_style plain = style ? *style : (struct diag_style){0};
    const struct diag *diag;
    if (index >= diags->items.len)
        return;
    if (plain.max_width == 0)
        plain.max_width = RENDER_WIDTH;
    diag = diags->items.data[index];
    render_message(diags, diag->span, diag->severity, diag->code, diag->message, &plain, out);
    for (const struct diag_note *note = diag->notes; note; note = note->next)
        render_message(diags, note->span, DIAG_NOTE, NULL, note->message, &plain, out);
    if (diag->help) {
        strbuf_append(out, "help: ");
        append_clean(out, diag->help);
        strbuf_char(out, '\n');
    }
}

void diag_render(const struct diag_list *diags, const struct diag_style *style, struct strbuf *out)
{
    for (size_t i = 0; i < diags->items.len; i++)
        diag_render_one(diags, i, style, out);
    if (diags->suppressed_count > 0)
        strbuf_printf(out, "note: %u further message%s not shown\n",
                      (unsigned)diags->suppressed_count, diags->suppressed_count == 1 ? "" : "s");
    if (diags->out_of_memory)
        strbuf_append(out, "error: out of memory\n");
}

/* ---- JSON ---- */

static void json_text(struct strbuf *out, const char *key, const char *text)
{
    strbuf_printf(out, "\"%s\":", key);
    if (text)
        strbuf_json_string(out, text, strlen(text));
    else
        strbuf_append(out, "null");
}

static void json_span(const struct diag_list *diags, struct spk_span span, struct strbuf *out)
{
    const struct source_file *source = diag_source_get(diags, span.file);
    struct source_position first = diag_source_locate(diags, span.file, span.begin);
    struct source_position last = diag_source_locate(diags, span.file, span.end);
    json_text(out, "file", source ? source->name : NULL);
    if (source && source->text)
        strbuf_printf(out, ",\"line\":%u,\"column\":%u,\"end_line\":%u,\"end_column\":%u",
                      (unsigned)first.line, (unsigned)first.column, (unsigned)last.line,
                      (unsigned)last.column);
    else
        strbuf_append(out, ",\"line\":null,\"column\":null,\"end_line\":null,\"end_column\":null");
}

static void json_diag(const struct diag_list *diags, const struct diag *diag, struct strbuf *out)
{
    strbuf_char(out, '{');
    json_text(out, "severity", diag_severity_name(diag->severity));
    strbuf_char(out, ',');
    json_text(out, "code", diag->code);
    strbuf_char(out, ',');
    json_text(out, "message", diag->message);
    strbuf_char(out, ',');
    json_text(out, "help", diag->help);
    strbuf_char(out, ',');
    json_span(diags, diag->span, out);
    strbuf_append(out, ",\"notes\":[");
    for (const struct diag_note *note = diag->notes; note; note = note->next) {
        strbuf_append(out, note == diag->notes ? "{" : ",{");
        json_text(out, "message", note->message);
        strbuf_char(out, ',');
        json_span(diags, note->span, out);
        strbuf_char(out, '}');
    }
    strbuf_append(out, "]}");
}

void diag_render_json(const struct diag_list *diags, struct strbuf *out)
{
    strbuf_char(out, '[');
    for (size_t i = 0; i < diags->items.len; i++) {
        if (i > 0)
            strbuf_char(out, ',');
        json_diag(diags, diags->items.data[i], out);
    }
    strbuf_char(out, ']');
}
