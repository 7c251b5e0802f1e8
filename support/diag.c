/* Recording diagnostics and registering sources; rendering is in diag_render.c. */
#include "support/diag.h"

#include <string.h>

#define DIAG_MAX_ERRORS 20u
#define DIAG_MAX_WARNINGS 100u
#define DIAG_MAX_SOURCE ((size_t)INT32_MAX)

struct spk_span spk_span_join(struct spk_span a, struct spk_span b)
{
    if (a.file == 0)
        return b;
    if (b.file != a.file)
        return a;
    return (struct spk_span){a.file, a.begin < b.begin ? a.begin : b.begin,
                             a.end > b.end ? a.end : b.end};
}

void diag_init(struct diag_list *diags)
{
    *diags = (struct diag_list){.max_errors = DIAG_MAX_ERRORS, .max_warnings = DIAG_MAX_WARNINGS};
    arena_init(&diags->arena, 4096);
}

void diag_fini(struct diag_list *diags)
{
    vec_fini(&diags->items);
    vec_fini(&diags->sources);
    arena_fini(&diags->arena);
}

void diag_clear(struct diag_list *diags)
{
    vec_clear(&diags->items);
    vec_clear(&diags->sources);
    arena_clear(&diags->arena);
    diags->error_count = diags->warning_count = diags->suppressed_count = 0;
    diags->out_of_memory = diags->last_suppressed = false;
}

/* ---- sources ---- */

static spk_status out_of_memory(struct diag_list *diags)
{
    diags->out_of_memory = true;
    return SPK_ERR_NOMEM;
}

/* Offsets of the line starts; the array is in the arena. */
static const uint32_t *find_lines(struct arena *arena, const char *text, uint32_t length,
                                  uint32_t *out_count)
{
    uint32_t count = 1, line = 1;
    uint32_t *starts;
    for (uint32_t i = 0; i < length; i++)
        count += text[i] == '\n';
    starts = ARENA_NEW_ARRAY(arena, uint32_t, count);
    if (!starts)
        return NULL;
    for (uint32_t i = 0; i < length; i++) {
        if (text[i] == '\n')
            starts[line++] = i + 1;
    }
    *out_count = count;
    return starts;
}

spk_status diag_source_add(struct diag_list *diags, const char *name, const char *text,
                           size_t length, uint32_t *out_file)
{
    struct source_file source = {0};
    *out_file = 0;
    if (!diags)
        return SPK_OK;
    if (length >= DIAG_MAX_SOURCE)
        return diag_error(diags, spk_span_none, "E0004", "%s: text of %zu bytes is too large", name,
                          length);
    source.length = (uint32_t)length;
    source.name = arena_strdup(&diags->arena, name);
    source.text = arena_strndup(&diags->arena, text, length);
    if (!source.name || !source.text)
        return out_of_memory(diags);
    source.line_starts = find_lines(&diags->arena, source.text, source.length, &source.line_count);
    if (!source.line_starts || vec_push(&diags->sources, source) != SPK_OK)
        return out_of_memory(diags);
    *out_file = (uint32_t)diags->sources.len;
    return SPK_OK;
}

const struct source_file *diag_source_get(const struct diag_list *diags, uint32_t file)
{
    if (!diags || file == 0 || file > diags->sources.len)
        return NULL;
    return &diags->sources.data[file - 1];
}

struct source_position diag_source_locate(const struct diag_list *diags, uint32_t file,
                                          uint32_t offset)
{
    const struct source_file *source = diag_source_get(diags, file);
    uint32_t low = 0, high, at, column = 1;
    if (!source || !source->text)
        return (struct source_position){0, 0};
    if (offset > source->length)
        offset = source->length;
    high = source->line_count; /* line_starts[low] <= offset < line_starts[high] */
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (source->line_starts[middle] <= offset)
            low = middle;
        else
            high = middle;
    }
    for (at = source->line_starts[low]; at < offset; column++) {
        size_t bytes = spk_utf8_decode(source->text + at, source->length - at, NULL);
        at += bytes > 0 ? (uint32_t)bytes : 1;
    }
    return (struct source_position){low + 1, column};
}

struct spk_span diag_place(struct diag_list *diags, const char *format, ...)
{
    struct source_file source = {0};
    va_list arguments;
    if (!diags || diag_limit_reached(diags))
        return spk_span_none;
    va_start(arguments, format);
    source.name = arena_vprintf(&diags->arena, format, arguments);
    va_end(arguments);
    if (!source.name) {
        (void)out_of_memory(diags);
        return spk_span_none;
    }
    for (uint32_t i = 0; i < diags->sources.len; i++) {
        const struct source_file *known = &diags->sources.data[i];
        if (!known->text && strcmp(known->name, source.name) == 0)
            return (struct spk_span){i + 1, 0, 0};
    }
    if (vec_push(&diags->sources, source) != SPK_OK) {
        (void)out_of_memory(diags);
        return spk_span_none;
    }
    return (struct spk_span){(uint32_t)diags->sources.len, 0, 0};
}

/* ---- reporting ---- */

/* Counts the report and tells whether it is still to be kept. */
static bool count_and_keep(struct diag_list *diags, enum diag_severity severity)
{
    uint32_t *count = severity == DIAG_ERROR ? &diags->error_count : &diags->warning_count;
    uint32_t limit = severity == DIAG_ERROR ? diags->max_errors : diags->max_warnings;
    bool keep = limit == 0 || *count < limit;
    if (*count < UINT32_MAX)
        ++*count;
    if (!keep)
        diags->suppressed_count++;
    return keep;
}

spk_status diag_vreport(struct diag_list *diags, enum diag_severity severity, spk_status status,
                        struct spk_span span, const char *code, const char *format,
                        va_list arguments)
{
    struct diag *diag;
    if (!diags)
        return status;
    diags->last_suppressed = !count_and_keep(diags, severity);
    if (!diags->last_suppressed) {
        diags->last_suppressed = true; /* until it is stored */
        diag = ARENA_NEW(&diags->arena, struct diag);
        if (!diag)
            return out_of_memory(diags);
        diag->severity = severity;
        diag->status = status;
        diag->span = span;
        diag->code = arena_strdup(&diags->arena, code);
        diag->message = arena_vprintf(&diags->arena, format, arguments);
        if (!diag->code || !diag->message || vec_push(&diags->items, diag) != SPK_OK)
            return out_of_memory(diags);
        diags->last_suppressed = false;
    }
    return diags->out_of_memory ? SPK_ERR_NOMEM : status;
}

#define DIAG_REPORT(severity, status)                                                        \
    do {                                                                                     \
        va_list arguments;                                                                   \
        va_start(arguments, format);                                                         \
        reported = diag_vreport(diags, (severity), (status), span, code, format, arguments); \
        va_end(arguments);                                                                   \
    } while (0)

spk_status diag_error(struct diag_list *diags, struct spk_span span, const char *code,
                      const char *format, ...)
{
    spk_status reported;
    DIAG_REPORT(DIAG_ERROR, SPK_ERR_INPUT);
    return reported;
}

spk_status diag_nofit(struct diag_list *diags, struct spk_span span, const char *code,
                      const char *format, ...)
{
    spk_status reported;
    DIAG_REPORT(DIAG_ERROR, SPK_ERR_NOFIT);
    return reported;
}

spk_status diag_io(struct diag_list *diags, struct spk_span span, const char *code,
                   const char *format, ...)
{
    spk_status reported;
    DIAG_REPORT(DIAG_ERROR, SPK_ERR_IO);
    return reported;
}

spk_status diag_usage(struct diag_list *diags, struct spk_span span, const char *code,
                      const char *format, ...)
{
    spk_status reported;
    DIAG_REPORT(DIAG_ERROR, SPK_ERR_USAGE);
    return reported;
}

spk_status diag_internal(struct diag_list *diags, struct spk_span span, const char *code,
                         const char *format, ...)
{
    spk_status reported;
    DIAG_REPORT(DIAG_ERROR, SPK_ERR_INTERNAL);
    return reported;
}

void diag_warning(struct diag_list *diags, struct spk_span span, const char *code,
                  const char *format, ...)
{
    spk_status reported;
    DIAG_REPORT(DIAG_WARNING, SPK_OK);
    (void)reported;
}

void diag_remark(struct diag_list *diags, struct spk_span span, const char *code,
                 const char *format, ...)
{
    spk_status reported;
    DIAG_REPORT(DIAG_REMARK, SPK_OK);
    (void)reported;
}

/* The diagnostic that notes attach to, or NULL. */
static struct diag *last_diag(const struct diag_list *diags)
{
    if (!diags || diags->items.len == 0 || diags->last_suppressed)
        return NULL;
    return vec_last(&diags->items);
}

void diag_note_add(struct diag_list *diags, struct spk_span span, const char *format, ...)
{
    struct diag *diag = last_diag(diags);
    struct diag_note *note;
    va_list arguments;
    if (!diag)
        return;
    note = ARENA_NEW(&diags->arena, struct diag_note);
    if (!note) {
        (void)out_of_memory(diags);
        return;
    }
    va_start(arguments, format);
    note->message = arena_vprintf(&diags->arena, format, arguments);
    va_end(arguments);
    if (!note->message) {
        (void)out_of_memory(diags);
        return;
    }
    note->span = span;
    if (diag->last_note)
        diag->last_note->next = note;
    else
        diag->notes = note;
    diag->last_note = note;
}

void diag_help_set(struct diag_list *diags, const char *format, ...)
{
    struct diag *diag = last_diag(diags);
    va_list arguments;
    if (!diag)
        return;
    va_start(arguments, format);
    diag->help = arena_vprintf(&diags->arena, format, arguments);
    va_end(arguments);
    if (!diag->help)
        (void)out_of_memory(diags);
}

bool diag_limit_reached(const struct diag_list *diags)
{
    return diags && diags->max_errors > 0 && diags->error_count >= diags->max_errors;
}
