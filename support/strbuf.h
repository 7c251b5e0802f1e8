/* Growable text buffer with a sticky error: write without checking, ask once at the end.
 *
 *   struct strbuf out = {0};
 *   strbuf_printf(&out, "%d cores", n);
 *   if (out.status != SPK_OK) …                  // out of memory somewhere above
 *   use(strbuf_cstr(&out)); strbuf_fini(&out);
 *
 * All number formatting is independent of the process locale. */
#ifndef SPIKEC_SUPPORT_STRBUF_H
#define SPIKEC_SUPPORT_STRBUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/status.h"

struct strbuf {
    char *data;        /* NUL-terminated once anything was written; use strbuf_cstr to read */
    size_t len, cap;   /* len without the NUL */
    spk_status status; /* SPK_OK or the first error; after an error all writes are ignored */
};

/* A zero-initialised struct is valid, too. */
void strbuf_init(struct strbuf *buf);
void strbuf_fini(struct strbuf *buf);
/* Empty again and without error, memory kept. */
void strbuf_clear(struct strbuf *buf);

/* The text, NUL-terminated, never NULL (empty text before the first write). Valid until the next
 * write. */
const char *strbuf_cstr(const struct strbuf *buf);

/* Hands the text over: *out_text is released with spk_free; the buffer is empty afterwards. Returns
 * the buffer's sticky status (on error nothing is handed over, *out_text is NULL). */
SPK_CHECKED spk_status strbuf_detach(struct strbuf *buf, char **out_text);

void strbuf_append(struct strbuf *buf, const char *text);
void strbuf_append_n(struct strbuf *buf, const char *text, size_t length);
void strbuf_char(struct strbuf *buf, char c);
void strbuf_repeat(struct strbuf *buf, char c, size_t count);
void strbuf_printf(struct strbuf *buf, const char *format, ...) SPK_PRINTF(2, 3);
void strbuf_vprintf(struct strbuf *buf, const char *format, va_list arguments) SPK_PRINTF(2, 0);

/* Shortest decimal text that reads back as the same value ("0.1", "1e-05", "3"); "nan", "inf" and
 * "-inf" for the others; "-0" for negative zero. */
void strbuf_f32(struct strbuf *buf, float value);
void strbuf_f64(struct strbuf *buf, double value);
void strbuf_i64(struct strbuf *buf, int64_t value);
void strbuf_u64(struct strbuf *buf, uint64_t value);

/* Quoted and escaped as a C string (other control and non-ASCII bytes as three octal digits) or as
 * a JSON string (UTF-8 kept; invalid UTF-8 bytes become U+FFFD; control characters \uXXXX). */
void strbuf_c_string(struct strbuf *buf, const char *text, size_t length);
void strbuf_json_string(struct strbuf *buf, const char *text, size_t length);

/* snprintf in the C locale, whatever the locale of the process. */
int spk_snprintf(char *out, size_t size, const char *format, ...) SPK_PRINTF(3, 4);
int spk_vsnprintf(char *out, size_t size, const char *format, va_list arguments) SPK_PRINTF(3, 0);

/* Number of bytes of the well-formed UTF-8 sequence at `text` (1-4), or 0 when there is none;
 * *out_code_point is set on success (may be NULL). */
size_t spk_utf8_decode(const char *text, size_t length, uint32_t *out_code_point);

/* Reads the whole of text[0..length) as a decimal number ("1", "-2.5e3"; no blanks, no hex, no inf
 * or nan), independent of the locale. False when it is not one, or is out of range of a double
 * (overflow). length is limited to 512 characters. */
SPK_CHECKED bool spk_parse_f64(const char *text, size_t length, double *out_value);
/* As above, correctly rounded to float in one step. */
SPK_CHECKED bool spk_parse_f32(const char *text, size_t length, float *out_value);
/* Decimal integer with optional sign; false on anything else or overflow. */
SPK_CHECKED bool spk_parse_i64(const char *text, size_t length, int64_t *out_value);

#endif
