/* Writing rates: the file that `--rates` reads. */
#include "api/api_internal.h"
#include "support/file.h"

void api_rates_begin(struct json_writer *w, struct strbuf *text)
{
    jw_init(w, text, 1);
    jw_object_begin(w, NULL);
}

void api_rates_add(struct json_writer *w, const struct ir_node *n, const double *channel_rate)
{
    jw_array_begin_line(w, n->name);
    for (uint32_t c = 0; c < n->type.channels; c++)
        jw_f64(w, NULL, channel_rate[c]);
    jw_array_end(w);
}

spk_status api_rates_end(struct json_writer *w, const struct strbuf *text, const char *path,
                         struct diag_list *diags)
{
    jw_object_end(w);
    SPK_TRY(jw_finish(w));
    return file_write_all(path, text->data, text->len, diags);
}
