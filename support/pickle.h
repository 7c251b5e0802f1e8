/* Pickle streams (protocols 2 to 5) as plain values. Nothing is ever called, imported or built:
 * a global stays a pair of names, a call a pair of a callable and its arguments, which the reader
 * of the result may understand or not.
 *
 * Format: the opcodes of CPython's Lib/pickletools.py. Known limits, each an error: opcodes of the
 * text protocols 0 and 1, extension registry, out-of-band buffers; PICKLE_MAX_BYTES,
 * PICKLE_MAX_VALUES, PICKLE_MAX_MEMO. Values may form cycles (a list may hold itself): who walks
 * them must count. */
#ifndef SPIKEC_SUPPORT_PICKLE_H
#define SPIKEC_SUPPORT_PICKLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/arena.h"
#include "support/diag.h"
#include "support/status.h"
#include "support/vec.h"

#define PICKLE_MAX_BYTES ((size_t)64 << 20)
#define PICKLE_MAX_VALUES ((size_t)4 << 20)
#define PICKLE_MAX_MEMO ((uint32_t)4 << 20)

enum pickle_kind {
    PICKLE_NONE,
    PICKLE_BOOL,
    PICKLE_INT,
    PICKLE_LONG, /* an integer beyond 64 bits: text holds its bytes, little-endian */
    PICKLE_FLOAT,
    PICKLE_STRING, /* UTF-8 is not checked */
    PICKLE_BYTES,
    PICKLE_TUPLE,
    PICKLE_LIST, /* also sets */
    PICKLE_DICT, /* also collections.OrderedDict and defaultdict; item holds keys and values in turn
                  */
    PICKLE_GLOBAL,
    PICKLE_CALL, /* item[0] the callable, item[1] its arguments; what is put into it is dropped */
    PICKLE_PERSISTENT /* item[0] the persistent id */
};

struct pickle_value {
    enum pickle_kind kind;
    uint64_t offset; /* of its opcode in the file */
    union {
        bool boolean;
        int64_t integer;
        double real;
        struct {
            const char *data; /* in the stream, no zero byte behind it */
            size_t length;
        } text;
        struct {
            struct pickle_value **item;
            size_t n, room;
        } list;
        struct {
            const char *module, *name; /* with zero bytes; valid UTF-8 without control characters */
        } global;
    };
};

struct pickle_refs VEC_FIELDS(struct pickle_value *);

struct pickle_stream {
    const uint8_t *data;
    size_t size;
    uint64_t base;    /* offset of data in the file */
    const char *name; /* of the file, for messages */
    struct arena *arena;
    struct diag_list *diags;
};

/* Reads one value from the beginning of the stream; *out_used bytes were read, the rest is left
 * alone. Every persistent id met is appended to `persistent` (may be NULL), in the order of the
 * stream. Values live in the arena and refer to the stream's bytes. */
SPK_CHECKED spk_status pickle_read(const struct pickle_stream *stream,
                                   struct pickle_refs *persistent, struct pickle_value **out_value,
                                   size_t *out_used);

bool pickle_is_text(const struct pickle_value *value, const char *text);
bool pickle_is_global(const struct pickle_value *value, const char *module, const char *name);
/* Value of a dict's entry with a string key, the last one set; NULL when there is none. */
struct pickle_value *pickle_get(const struct pickle_value *dict, const char *key);

#endif
