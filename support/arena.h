/* Chunked bump allocator: many small objects with one common end of life.
 *
 * Memory never moves. Nothing is freed one by one. Not thread-safe. Large requests get a chunk of
 * their own. Under the address sanitizer the rest of a chunk is poisoned. */
#ifndef SPIKEC_SUPPORT_ARENA_H
#define SPIKEC_SUPPORT_ARENA_H

#include <stdarg.h>
#include <stddef.h>

#include "support/status.h"

struct arena_chunk;

struct arena {
    struct arena_chunk *head; /* chunk in use; older ones are linked behind it */
    size_t chunk_size;        /* payload of a normal chunk, bytes */
    size_t total;             /* payload bytes of all chunks, for statistics */
};

/* chunk_size 0 means 64 KiB. Allocates nothing yet, cannot fail. A zero-initialised struct arena is
 * valid, too. */
void arena_init(struct arena *arena, size_t chunk_size);

/* Frees everything; the arena is then as after arena_init. */
void arena_fini(struct arena *arena);

/* Forgets all objects, keeps one chunk for reuse. */
void arena_clear(struct arena *arena);

/* Uninitialised memory of `size` bytes (0 is allowed) aligned to `align`, a power of two up to
 * 4096. NULL when out of memory. */
SPK_CHECKED void *arena_alloc(struct arena *arena, size_t size, size_t align);

/* As arena_alloc, `count` items of `size` bytes, zero-filled; NULL also when the product
 * overflows. */
SPK_CHECKED void *arena_alloc_array(struct arena *arena, size_t count, size_t size, size_t align);

/* Zero-filled object or array of a type; NULL when out of memory. */
#define ARENA_NEW(arena, type) ((type *)arena_alloc_array((arena), 1, sizeof(type), _Alignof(type)))
#define ARENA_NEW_ARRAY(arena, type, count) \
    ((type *)arena_alloc_array((arena), (count), sizeof(type), _Alignof(type)))

/* Copies of text, NUL-terminated; NULL when out of memory. */
SPK_CHECKED char *arena_strdup(struct arena *arena, const char *text);
SPK_CHECKED char *arena_strndup(struct arena *arena, const char *text, size_t length);
SPK_CHECKED void *arena_memdup(struct arena *arena, const void *data, size_t size, size_t align);

/* Formatted text as strbuf_printf would print it (independent of the locale); NULL when out of
 * memory. */
SPK_CHECKED char *arena_printf(struct arena *arena, const char *format, ...) SPK_PRINTF(2, 3);
SPK_CHECKED char *arena_vprintf(struct arena *arena, const char *format, va_list arguments)
    SPK_PRINTF(2, 0);

#endif
