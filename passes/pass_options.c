/* Options of a pass: see pass_options.h. */
#include "passes/pass_options.h"

#include <string.h>

#include "support/name_hint.h"
#include "support/strbuf.h"

static bool text_is(const char *text, size_t length, const char *word)
{
    return strlen(word) == length && strncmp(text, word, length) == 0;
}

static bool parse_bool(const char *text, size_t length, int64_t *out)
{
    static const char *const words[] = {"off", "on", "false", "true", "no", "yes", "0", "1"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (text_is(text, length, words[i])) {
            *out = (int64_t)(i & 1);
            return true;
        }
    return false;
}

static void list_choices(const struct pass_option *o, struct strbuf *out)
{
    for (size_t i = 0; i < PASS_MAX_CHOICES && o->choice[i]; i++)
        strbuf_printf(out, "%s%s", i ? ", " : "", o->choice[i]);
}

static spk_status bad_value(const struct pass *p, const struct pass_option *o, const char *text,
                            size_t length, struct diag_list *d)
{
    spk_status s =
        diag_usage(d, spk_span_none, "E0606", "'%.*s' is no value for option '%s' of pass '%s'",
                   (int)length, text, o->name, p->name);
    struct strbuf help = {0};
    if (o->kind == PASS_OPTION_BOOL)
        strbuf_append(&help, "on or off");
    else if (o->kind == PASS_OPTION_INT)
        strbuf_printf(&help, "an integer from %lld to %lld", (long long)o->min, (long long)o->max);
    else
        list_choices(o, &help);
    diag_help_set(d, "give %s", strbuf_cstr(&help));
    strbuf_fini(&help);
    return s;
}

static spk_status parse_value(const struct pass *p, const struct pass_option *o, const char *text,
                              size_t length, struct diag_list *d, int64_t *out)
{
    switch (o->kind) {
    case PASS_OPTION_BOOL:
        if (parse_bool(text, length, out))
            return SPK_OK;
        break;
    case PASS_OPTION_INT:
        if (spk_parse_i64(text, length, out) && *out >= o->min && *out <= o->max)
            return SPK_OK;
        break;
    case PASS_OPTION_CHOICE:
        for (size_t i = 0; i < PASS_MAX_CHOICES && o->choice[i]; i++)
            if (text_is(text, length, o->choice[i])) {
                *out = (int64_t)i;
                return SPK_OK;
            }
        break;
    }
    return bad_value(p, o, text, length, d);
}

static spk_status unknown_option(const struct pass *p, const char *name, size_t length,
                                 struct diag_list *d)
{
    struct name_hint hint;
    name_hint_init_n(&hint, name, length);
    for (size_t i = 0; p->option[i].name; i++)
        name_hint_offer(&hint, p->option[i].name);
    spk_status s = diag_usage(d, spk_span_none, "E0607", "pass '%s' has no option '%.*s'", p->name,
                              (int)length, name);
    if (name_hint_best(&hint) != NULL)
        diag_help_set(d, "did you mean '%s'?", name_hint_best(&hint));
    else if (!p->option[0].name)
        diag_help_set(d, "it takes no options");
    else {
        struct strbuf help = {0};
        for (size_t i = 0; p->option[i].name; i++)
            strbuf_printf(&help, "%s%s", i ? ", " : "", p->option[i].name);
        diag_help_set(d, "its options are %s", strbuf_cstr(&help));
        strbuf_fini(&help);
    }
    return s;
}

static void trim(const char **text, size_t *length)
{
    while (*length && (**text == ' ' || **text == '\t' || **text == '\n')) {
        (*text)++;
        (*length)--;
    }
    while (*length && strchr(" \t\n", (*text)[*length - 1]))
        (*length)--;
}

static spk_status parse_pair(const struct pass *p, const char *text, size_t length,
                             struct diag_list *d, bool *given, int64_t *values)
{
    const char *equals = memchr(text, '=', length);
    size_t name_length = equals ? (size_t)(equals - text) : length;
    const char *name = text;
    trim(&name, &name_length);
    size_t i = 0;
    while (p->option[i].name && !text_is(name, name_length, p->option[i].name))
        i++;
    if (!p->option[i].name)
        return unknown_option(p, name, name_length, d);
    if (given[i])
        return diag_usage(d, spk_span_none, "E0608", "option '%s' of pass '%s' is given twice",
                          p->option[i].name, p->name);
    given[i] = true;
    if (!equals) { /* a bare name switches a boolean on */
        if (p->option[i].kind != PASS_OPTION_BOOL)
            return bad_value(p, &p->option[i], "", 0, d);
        values[i] = 1;
        return SPK_OK;
    }
    const char *value = equals + 1;
    size_t value_length = length - (size_t)(value - text);
    trim(&value, &value_length);
    return parse_value(p, &p->option[i], value, value_length, d, &values[i]);
}

spk_status pass_options_parse(const struct pass *p, const char *text, size_t length,
                              struct diag_list *d, int64_t *out_values)
{
    bool given[PASS_MAX_OPTIONS + 1] = {false};
    for (size_t i = 0; i < PASS_MAX_OPTIONS; i++)
        out_values[i] = p->option[i].name ? p->option[i].value : 0;
    trim(&text, &length);
    while (text && length) {
        const char *comma = memchr(text, ',', length);
        size_t n = comma ? (size_t)(comma - text) : length;
        SPK_TRY(parse_pair(p, text, n, d, given, out_values));
        text += comma ? n + 1 : n;
        length -= comma ? n + 1 : n;
        if (comma && length == 0)
            return diag_usage(d, spk_span_none, "E0602",
                              "an option of pass '%s' is expected after ','", p->name);
    }
    return SPK_OK;
}
