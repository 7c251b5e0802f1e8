/* Command lines as text, from the options of a job. */
#include "api/command_text.h"

#include <string.h>

#include "support/file.h"

static bool is_plain(const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_-+=.,:/@%{}";
    return text[0] != '\0' && strspn(text, plain) == strlen(text);
}

void command_word(struct strbuf *out, const char *word)
{
    if (out->len > 0)
        strbuf_char(out, ' ');
    if (is_plain(word)) {
        strbuf_append(out, word);
        return;
    }
    strbuf_char(out, '\'');
    for (; *word != '\0'; word++) {
        if (*word == '\'')
            strbuf_append(out, "'\\''");
        else
            strbuf_char(out, *word);
    }
    strbuf_char(out, '\'');
}

void command_text(struct strbuf *out, const char *option, const char *value)
{
    if (value == NULL)
        return;
    command_word(out, option);
    command_word(out, value);
}

void command_file(struct strbuf *out, const char *option, const char *path)
{
    if (path != NULL)
        command_text(out, option, path_base(path));
}

void command_number(struct strbuf *out, const char *option, uint64_t value)
{
    if (value == 0)
        return;
    command_word(out, option);
    strbuf_char(out, ' ');
    strbuf_u64(out, value);
}

static void command_real(struct strbuf *out, const char *option, double value)
{
    if (value == 0.0)
        return;
    command_word(out, option);
    strbuf_char(out, ' ');
    strbuf_f64(out, value);
}

void command_flag(struct strbuf *out, const char *option, bool on)
{
    if (on)
        command_word(out, option);
}

void command_form(struct strbuf *out, const struct spk_input_form *form)
{
    command_number(out, "--resize", form->resize);
    command_text(out, "--interpolation", form->interpolation);
    command_text(out, "--frames", form->frames);
    command_text(out, "--aedat", form->aedat);
}

void command_data(struct strbuf *out, const struct spk_data_options *data)
{
    command_file(out, "--input", data->input);
    command_file(out, "--labels", data->labels);
    command_number(out, "--limit", data->limit);
    command_form(out, &data->form);
}

void command_model(struct strbuf *out, const struct spk_model_options *model)
{
    command_word(out, path_base(model->model));
    for (size_t i = 0; i < model->n_settings; i++)
        command_text(out, "--set", model->settings[i]);
    for (size_t i = 0; i < model->n_binds; i++)
        command_text(out, "--bind", model->binds[i]);
    command_real(out, "--dt", model->dt);
    command_file(out, "--weights", model->weights);
    command_flag(out, "--ema", model->ema);
}

void command_compile(struct strbuf *out, const struct spk_compile_options *o)
{
    command_word(out, "spikec");
    command_word(out, "compile");
    command_model(out, &o->model);
    command_file(out, "--target", o->target);
    command_file(out, "--calibrate", o->calibrate);
    command_number(out, "--calibrate-limit", o->calibrate_limit);
    command_form(out, &o->form);
    command_text(out, "--attention", o->attention);
    command_text(out, "--schedule", o->schedule);
    command_text(out, "--objective", o->objective);
    command_text(out, "--system", o->system);
    command_file(out, "--rates", o->rates);
    command_text(out, "--placer", o->placer);
    command_file(out, "--constraints", o->constraints);
    command_number(out, "--seed", o->seed);
    command_text(out, "--cut", o->cut);
    command_flag(out, "--separate-cores", o->separate_cores);
    command_text(out, "-o", "DIR");
}
