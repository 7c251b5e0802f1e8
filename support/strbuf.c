/* Growable text buffer: appending, formatted printing, escaping. Numbers are in strbuf_number.c. */
#include "support/strbuf.h"

#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "support/alloc.h"
#include "support/checked.h"
#include "support/vec.h"

void strbuf_init(struct strbuf *buf)
{
    *buf = (struct strbuf){0};
}

void strbuf_fini(struct strbuf *buf)
{
    spk_free(buf->data);
    strbuf_init(buf);
}

void strbuf_clear(struct strbuf *buf)
{
    buf->len = 0;
    buf->status = SPK_OK;
    if (buf->data)
        buf->data[0] = '\0';
}

const char *strbuf_cstr(const struct strbuf *buf)
{
    return buf->data ? buf->data : "";
}

spk_status strbuf_detach(struct strbuf *buf, char **out_text)
{
    spk_status status;
    strbuf_append_n(buf, "", 0); /* makes sure that there is a text */
    status = buf->status;
    *out_text = NULL;
    if (status == SPK_OK) {
        *out_text = buf->data;
        buf->data = NULL;
    }
    strbuf_fini(buf);
    return status;
}

/* Room for `more` bytes and the NUL; false after an error. */
static bool strbuf_room(struct strbuf *buf, size_t more)
{
    size_t need;
    if (buf->status != SPK_OK)
        return false;
    if (!checked_add_size(buf->len, more, &need) || !checked_add_size(need, 1, &need))
        buf->status = SPK_ERR_NOMEM;
    else
        buf->status = vec_reserve_bytes(&buf->data, &buf->cap, need, 1);
    return buf->status == SPK_OK;
}

void strbuf_append_n(struct strbuf *buf, const char *text, size_t length)
{
    if (!strbuf_room(buf, length))
        return;
    if (length > 0)
        memcpy(buf->data + buf->len, text, length);
    buf->len += length;
    buf->data[buf->len] = '\0';
}

void strbuf_append(struct strbuf *buf, const char *text)
{
    strbuf_append_n(buf, text, strlen(text));
}

void strbuf_char(struct strbuf *buf, char c)
{
    strbuf_append_n(buf, &c, 1);
}

void strbuf_repeat(struct strbuf *buf, char c, size_t count)
{
    if (!strbuf_room(buf, count))
        return;
    memset(buf->data + buf->len, c, count);
    buf->len += count;
    buf->data[buf->len] = '\0';
}

/* glibc's C locale is a static object: newlocale neither allocates nor fails for it. */
int spk_vsnprintf(char *out, size_t size, const char *format, va_list arguments)
{
    locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    locale_t old = c_locale ? uselocale(c_locale) : (locale_t)0;
    int length = vsnprintf(out, size, format, arguments);
    if (c_locale) {
        (void)uselocale(old);
        freelocale(c_locale);
    }
    return length;
}

int spk_snprintf(char *out, size_t size, const char *format, ...)
{
    va_list arguments;
    int length;
    va_start(arguments, format);
    length = spk_vsnprintf(out, size, format, arguments);
    va_end(arguments);
    return length;
}

void strbuf_vprintf(struct strbuf *buf, const char *format, va_list arguments)
{
    char small[256];
    va_list again;
    int length;
    va_copy(again, arguments);
    length = spk_vsnprintf(small, sizeof small, format, again);
    va_end(again);
    if (length < 0) {
        buf->status = buf->status == SPK_OK ? SPK_ERR_INTERNAL : buf->status;
    } else if ((size_t)length < sizeof small) {
        strbuf_append_n(buf, small, (size_t)length);
    } else if (strbuf_room(buf, (size_t)length)) {
        (void)spk_vsnprintf(buf->data + buf->len, (size_t)length + 1, format, arguments);
        buf->len += (size_t)length;
    }
}

void strbuf_printf(struct strbuf *buf, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    strbuf_vprintf(buf, format, arguments);
    va_end(arguments);
}

size_t spk_utf8_decode(const char *text, size_t length, uint32_t *out_code_point)
{
    static const uint32_t smallest[5] = {0, 0, 0x80, 0x800, 0x10000};
    size_t bytes;
    uint32_t code;
    unsigned char first;
    if (length == 0)
        return 0;
    first = (unsigned char)text[0];
    if (first < 0x80) {
        bytes = 1;
        code = first;
    } else if (first >= 0xc2 && first < 0xe0) {
        bytes = 2;
        code = first & 0x1fu;
    } else if (first >= 0xe0 && first < 0xf0) {
        bytes = 3;
        code = first & 0x0fu;
    } else if (first >= 0xf0 && first < 0xf5) {
        bytes = 4;
        code = first & 0x07u;
    } else {
        return 0;
    }
    if (bytes > length)
        return 0;
    for (size_t i = 1; i < bytes; i++) {
        unsigned char next = (unsigned char)text[i];
        if ((next & 0xc0u) != 0x80u)
            return 0;
        code = code << 6 | (next & 0x3fu);
    }
    if (code < smallest[bytes] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        return 0;
    if (out_code_point)
        *out_code_point = code;
    return bytes;
}

/* The two-character escapes that C and JSON share; NULL for all else. */
static const char *simple_escape(char c)
{
    switch (c) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\n':
        return "\\n";
    case '\t':
        return "\\t";
    case '\r':
        return "\\r";
    case '\b':
        return "\\b";
    case '\f':
        return "\\f";
    default:
        return NULL;
    }
}

void strbuf_c_string(struct strbuf *buf, const char *text, size_t length)
{
    strbuf_char(buf, '"');
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)text[i];
        const char *escape = simple_escape(text[i]);
        if (escape)
            strbuf_append(buf, escape);
        else if (byte < 0x20 || byte >= 0x7f || byte == '?') /* '?': no trigraphs */
            strbuf_printf(buf, "\\%03o", (unsigned)byte);
        else
            strbuf_char(buf, text[i]);
    }
    strbuf_char(buf, '"');
}

void strbuf_json_string(struct strbuf *buf, const char *text, size_t length)
{
    size_t i = 0;
    strbuf_char(buf, '"');
    while (i < length) {
        const char *escape = simple_escape(text[i]);
        size_t bytes = spk_utf8_decode(text + i, length - i, NULL);
        if (escape)
            strbuf_append(buf, escape);
        else if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            strbuf_printf(buf, "\\u%04x", (unsigned)(unsigned char)text[i]);
        else if (bytes > 0)
            strbuf_append_n(buf, text + i, bytes);
        else
            strbuf_append(buf, "\xef\xbf\xbd"); /* U+FFFD */
        i += bytes > 0 ? bytes : 1;
    }
    strbuf_char(buf, '"');
}
