/* Words of a text file, line by line: what the readers of graph files share.
 *
 * The text is the caller's and need not end in a line feed or NUL. Words stand between blanks
 * (space, tab, carriage return); a line feed ends a line and is no blank. */
#ifndef SPIKEC_FRONTEND_WORDS_H
#define SPIKEC_FRONTEND_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/diag.h"

struct fe_words {
    const char *p, *end; /* what is left of the text */
    uint32_t line;       /* of p, from 1 on */
    const char *name;    /* of the file, for messages */
    struct diag_list *diags;
};

static inline bool fe_is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static inline void fe_skip_blanks(struct fe_words *w)
{
    while (w->p < w->end && fe_is_blank(*w->p))
        w->p++;
}

/* The next word of the line; p is behind it, *out_length 0 at the end of the line. */
const char *fe_word(struct fe_words *w, size_t *out_length);
/* Reports an error of the input at the present line and returns its status. */
spk_status fe_words_bad(struct fe_words *w, const char *code, const char *format, ...)
    SPK_PRINTF(3, 4);

#endif
