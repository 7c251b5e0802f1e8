/* Words of a text file: see words.h. */
#include "frontend/words.h"

#include <stdarg.h>

const char *fe_word(struct fe_words *w, size_t *out_length)
{
    fe_skip_blanks(w);
    const char *begin = w->p;
    while (w->p < w->end && !fe_is_blank(*w->p) && *w->p != '\n')
        w->p++;
    *out_length = (size_t)(w->p - begin);
    return begin;
}

spk_status fe_words_bad(struct fe_words *w, const char *code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    spk_status status =
        diag_vreport(w->diags, DIAG_ERROR, SPK_ERR_INPUT,
                     diag_place(w->diags, "%s:%u", w->name, w->line), code, format, arguments);
    va_end(arguments);
    return status;
}
