/* Diagnostics of a context as data. */
#include <string.h>

#include "api/object_internal.h"

_Static_assert(SPIKEC_ERROR == (int)DIAG_ERROR && SPIKEC_WARNING == (int)DIAG_WARNING &&
                   SPIKEC_NOTE == (int)DIAG_NOTE && SPIKEC_REMARK == (int)DIAG_REMARK,
               "public and internal severities are the same numbers");

static void set_place(const struct diag_list *diags, struct spk_span span,
                      struct spk_diagnostic *out)
{
    const struct source_file *file = diag_source_get(diags, span.file);
    if (file == NULL)
        return;
    out->file = file->name;
    if (file->text == NULL)
        return;
    const struct source_position begin = diag_source_locate(diags, span.file, span.begin);
    const struct source_position end = diag_source_locate(diags, span.file, span.end);
    out->line = begin.line;
    out->column = begin.column;
    out->end_line = end.line;
    out->end_column = end.column;
}

size_t spk_context_diagnostic_count(const spk_context *c)
{
    return c == NULL ? 0 : c->diags.items.len;
}

int spk_context_diagnostic(const spk_context *c, size_t index, struct spk_diagnostic *out)
{
    if (index >= spk_context_diagnostic_count(c))
        return SPK_ERR_USAGE;
    const struct diag *d = c->diags.items.data[index];
    struct spk_diagnostic found = {
        .severity = (int)d->severity, .code = d->code, .message = d->message, .help = d->help};
    set_place(&c->diags, d->span, &found);
    for (const struct diag_note *n = d->notes; n != NULL; n = n->next)
        found.n_notes++;
    return API_GIVE(&found, out);
}

int spk_context_diagnostic_note(const spk_context *c, size_t index, uint32_t note,
                                struct spk_diagnostic *out)
{
    if (index >= spk_context_diagnostic_count(c))
        return SPK_ERR_USAGE;
    const struct diag_note *n = c->diags.items.data[index]->notes;
    for (uint32_t i = 0; n != NULL && i < note; i++)
        n = n->next;
    if (n == NULL)
        return SPK_ERR_USAGE;
    struct spk_diagnostic found = {.severity = SPIKEC_NOTE, .code = "", .message = n->message};
    set_place(&c->diags, n->span, &found);
    return API_GIVE(&found, out);
}
