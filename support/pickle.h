/* Pickle streams (protocols 2 to 5) as plain values. Nothing is ever called, imported or built:
 * a global stays a pair of names, a call a pair of a callable and its arguments, which the reader
 * of the result may understand or not.
 *
 * Format: the opcodes of CPython's Lib/pickletools.py. Known limits, each an error: opcodes of the
 * text protocols 0 and 1, extension registry, out-of-band buffers; PK_MAX_BYTES, PK_MAX_VALUES,
 * PK_MAX_MEMO. Values may form cycles (a list may hold itself): who walks them must count. */
#ifndef SPIKEC_SUPPORT_PICKLE_H
#define SPIKEC_SUPPORT_PICKLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/arena.h"
#include "support/diag.h"
#include "support/status.h"
#include "support/vec.h"

#define PK_MAX_BYTES ((size_t)64 << 20)
#define PK_MAX_VALUES ((size_t)4 << 20)
#define PK_MAX_MEMO ((uint32_t)4 << 20)

enum pk_kind {
    PK_NONE,
    PK_BOOL,
    PK_INT,
    PK_LONG, /* an integer beyond 64 bits: text holds its bytes, little-endian */
    PK_FLOAT,
    PK_STRING, /* UTF-8 is not checked */
    PK_BYTES,
    PK_TUPLE,
    PK_LIST, /* also sets */
    PK_DICT, /* also collections.OrderedDict and defaultdict; item holds keys and values in turn */
    PK_GLOBAL,
    PK_CALL,      /* item[0] the callable, item[1] its arguments; what is put into it is dropped */
    PK_PERSISTENT /* item[0] the persistent id */
};

struct pk_value {
    enum pk_kind kind;
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
            struct pk_value **item;
            size_t n, room;
        } list;
        struct {
            const char *module, *name; /* with zero bytes; valid UTF-8 without control characters */
        } global;
    };
};

struct pk_refs VEC_FIELDS(struct pk_value *);

struct pk_stream {
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
SPK_CHECKED spk_status pk_read(const struct pk_stream *stream, struct pk_refs *persistent,
                               struct pk_value **out_value, size_t *out_used);

bool pk_is_text(const struct pk_value *value, const char *text);
bool pk_is_global(const struct pk_value *value, const char *module, const char *name);
/* Value of a dict's entry with a string key, the last one set; NULL when there is none. */
struct pk_value *pk_get(const struct pk_value *dict, const char *key);

#endif
