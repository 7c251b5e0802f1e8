/* The command line of a job, as it is kept in a compiled folder. Files are named without their
 * folders, the compiled folder is DIR: the same job gives the same text wherever it runs. */
#ifndef SPIKEC_API_COMMAND_TEXT_H
#define SPIKEC_API_COMMAND_TEXT_H

#include "api/api_internal.h"

/* Each appends to `out`; NULL values, zero numbers and false flags append nothing. Words are quoted
 * for a shell where they must be. */
void command_word(struct strbuf *out, const char *word);
void command_text(struct strbuf *out, const char *option, const char *value);
void command_file(struct strbuf *out, const char *option, const char *path);
void command_number(struct strbuf *out, const char *option, uint64_t value);
void command_flag(struct strbuf *out, const char *option, bool on);
/* --input, --labels, --limit and the forms of pictures and recordings. */
void command_data(struct strbuf *out, const struct spk_data_options *data);
void command_form(struct strbuf *out, const struct spk_input_form *form);
void command_model(struct strbuf *out, const struct spk_model_options *model);
void command_compile(struct strbuf *out, const struct spk_compile_options *o);

#endif
