/* Numbers to text and back, independent of the locale.
 *
 * Shortest round trip: a decimal of at most DIG significant digits survives the way through the
 * binary format, so if the shortest representation has at most DIG digits, printing with DIG digits
 * yields it (%g drops trailing zeros); otherwise one or two digits more are tried. That holds for
 * normal numbers; subnormals start from one digit. */
#include <errno.h>
#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/strbuf.h"

#define NUMBER_MAX_TEXT 512u

static bool append_special(struct strbuf *buf, double value)
{
    if (isnan(value))
        strbuf_append(buf, "nan");
    else if (isinf(value))
        strbuf_append(buf, value > 0 ? "inf" : "-inf");
    else
        return false;
    return true;
}

/* strtod and strtof in the C locale. */
static double text_to_f64(const char *text)
{
    locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    double value = strtod_l(text, NULL, c_locale);
    freelocale(c_locale);
    return value;
}

static float text_to_f32(const char *text)
{
    locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    float value = strtof_l(text, NULL, c_locale);
    freelocale(c_locale);
    return value;
}

void strbuf_f32(struct strbuf *buf, float value)
{
    char text[48];
    int digits = fabsf(value) < FLT_MIN ? 1 : FLT_DIG;
    if (append_special(buf, (double)value))
        return;
    do {
        (void)spk_snprintf(text, sizeof text, "%.*g", digits, (double)value);
    } while (text_to_f32(text) != value && ++digits <= FLT_DECIMAL_DIG);
    strbuf_append(buf, text);
}

void strbuf_f64(struct strbuf *buf, double value)
{
    char text[48];
    int digits = fabs(value) < DBL_MIN ? 1 : DBL_DIG;
    if (append_special(buf, value))
        return;
    do {
        (void)spk_snprintf(text, sizeof text, "%.*g", digits, value);
    } while (text_to_f64(text) != value && ++digits <= DBL_DECIMAL_DIG);
    strbuf_append(buf, text);
}

void strbuf_u64(struct strbuf *buf, uint64_t value)
{
    char text[20];
    size_t at = sizeof text;
    do {
        text[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    strbuf_append_n(buf, text + at, sizeof text - at);
}

void strbuf_i64(struct strbuf *buf, int64_t value)
{
    if (value < 0)
        strbuf_char(buf, '-');
    strbuf_u64(buf, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static size_t skip_digits(const char *text, size_t length, size_t at)
{
    while (at < length && is_digit(text[at]))
        at++;
    return at;
}

/* [+-] digits [. digits] [eE [+-] digits], digits before or after the point; copied with a NUL. */
static bool copy_decimal(const char *text, size_t length, char out[NUMBER_MAX_TEXT + 1])
{
    size_t at = 0, start, digits;
    if (length == 0 || length > NUMBER_MAX_TEXT)
        return false;
    if (text[at] == '+' || text[at] == '-')
        at++;
    start = at;
    at = skip_digits(text, length, at);
    digits = at - start;
    if (at < length && text[at] == '.') {
        start = ++at;
        at = skip_digits(text, length, at);
        digits += at - start;
    }
    if (digits == 0)
        return false;
    if (at < length && (text[at] == 'e' || text[at] == 'E')) {
        at++;
        if (at < length && (text[at] == '+' || text[at] == '-'))
            at++;
        start = at;
        at = skip_digits(text, length, at);
        if (at == start)
            return false;
    }
    if (at != length)
        return false;
    memcpy(out, text, length);
    out[length] = '\0';
    return true;
}

bool spk_parse_f64(const char *text, size_t length, double *out_value)
{
    char copy[NUMBER_MAX_TEXT + 1];
    if (!copy_decimal(text, length, copy))
        return false;
    *out_value = text_to_f64(copy);
    return isfinite(*out_value);
}

bool spk_parse_f32(const char *text, size_t length, float *out_value)
{
    char copy[NUMBER_MAX_TEXT + 1];
    if (!copy_decimal(text, length, copy))
        return false;
    *out_value = text_to_f32(copy);
    return isfinite(*out_value);
}

bool spk_parse_i64(const char *text, size_t length, int64_t *out_value)
{
    size_t at = 0;
    bool negative = false;
    int64_t value = 0;
    if (length > 0 && (text[0] == '+' || text[0] == '-'))
        negative = text[at++] == '-';
    if (at == length)
        return false;
    for (; at < length; at++) {
        int digit = text[at] - '0';
        if (!is_digit(text[at]) || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, negative ? -digit : digit, &value))
            return false;
    }
    *out_value = value;
    return true;
}
