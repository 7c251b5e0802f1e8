/* Chunked bump allocator: a list of chunks, newest first, allocation from the newest only.
 *
 * Requests larger than a quarter of the chunk size get a chunk of their own, linked behind the
 * head, so that the rest of the head stays usable. Under the address sanitizer everything not
 * handed out is poisoned, with at least 8 poisoned bytes between objects. */
#include "support/arena.h"

#include <stdint.h>
#include <string.h>

#include "support/alloc.h"
#include "support/checked.h"
#include "support/strbuf.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#endif

#if defined(ARENA_ASAN)
#include <sanitizer/asan_interface.h>
#define ARENA_GAP ((size_t)8)
#define arena_poison(p, n) ASAN_POISON_MEMORY_REGION((p), (n))
#define arena_unpoison(p, n) ASAN_UNPOISON_MEMORY_REGION((p), (n))
#else
#define ARENA_GAP ((size_t)0)
#define arena_poison(p, n) ((void)(p), (void)(n))
#define arena_unpoison(p, n) ((void)(p), (void)(n))
#endif

#define ARENA_DEFAULT_CHUNK ((size_t)64 * 1024)
#define ARENA_MAX_ALIGN 4096u

struct arena_chunk {
    struct arena_chunk *next;
    size_t size, used; /* payload bytes */
    _Alignas(16) char payload[];
};

void arena_init(struct arena *arena, size_t chunk_size)
{
    *arena = (struct arena){.chunk_size = chunk_size};
}

static void chunk_free(struct arena_chunk *chunk)
{
    arena_unpoison(chunk->payload, chunk->size);
    spk_free(chunk);
}

void arena_fini(struct arena *arena)
{
    struct arena_chunk *chunk = arena->head;
    while (chunk) {
        struct arena_chunk *next = chunk->next;
        chunk_free(chunk);
        chunk = next;
    }
    arena_init(arena, arena->chunk_size);
}

void arena_clear(struct arena *arena)
{
    struct arena_chunk *keep = arena->head;
    if (!keep)
        return;
    arena->head = keep->next;
    keep->next = NULL;
    arena_fini(arena);
    arena_poison(keep->payload, keep->size);
    keep->used = 0;
    arena->head = keep;
    arena->total = keep->size;
}

static struct arena_chunk *chunk_add(struct arena *arena, size_t payload, int as_head)
{
    size_t bytes;
    struct arena_chunk *chunk;
    if (!checked_add_size(sizeof *chunk, payload, &bytes))
        return NULL;
    chunk = spk_alloc(bytes);
    if (!chunk)
        return NULL;
    chunk->size = payload;
    chunk->used = 0;
    if (as_head || !arena->head) {
        chunk->next = arena->head;
        arena->head = chunk;
    } else {
        chunk->next = arena->head->next;
        arena->head->next = chunk;
    }
    arena->total += payload;
    arena_poison(chunk->payload, chunk->size);
    return chunk;
}

/* Bytes to leave poisoned behind an object when `left` bytes remain in the chunk. */
static size_t arena_gap(size_t left)
{
    size_t gap = ARENA_GAP;
    return left < gap ? left : gap;
}

/* Takes from the chunk, or returns NULL when the rest is too small. */
static void *chunk_take(struct arena_chunk *chunk, size_t size, size_t align)
{
    uintptr_t at = (uintptr_t)chunk->payload + chunk->used;
    size_t pad = (size_t)(-at & (align - 1));
    size_t left = chunk->size - chunk->used;
    char *memory;
    if (left < pad || left - pad < size)
        return NULL;
    memory = chunk->payload + chunk->used + pad;
    chunk->used += pad + size;
    arena_unpoison(memory, size);
    chunk->used += arena_gap(chunk->size - chunk->used);
    return memory;
}

void *arena_alloc(struct arena *arena, size_t size, size_t align)
{
    size_t chunk_size = arena->chunk_size > 0 ? arena->chunk_size : ARENA_DEFAULT_CHUNK;
    size_t need;
    struct arena_chunk *chunk;
    if (align == 0 || (align & (align - 1)) != 0 || align > ARENA_MAX_ALIGN)
        return NULL;
    if (size == 0)
        size = 1;
    if (arena->head) {
        void *memory = chunk_take(arena->head, size, align);
        if (memory)
            return memory;
    }
    if (!checked_add_size(size, align + ARENA_GAP, &need))
        return NULL;
    if (need > chunk_size / 4)
        chunk = chunk_add(arena, need, 0);
    else
        chunk = chunk_add(arena, chunk_size, 1);
    return chunk ? chunk_take(chunk, size, align) : NULL;
}

void *arena_alloc_array(struct arena *arena, size_t count, size_t size, size_t align)
{
    size_t bytes;
    void *memory;
    if (!checked_mul_size(count, size, &bytes))
        return NULL;
    memory = arena_alloc(arena, bytes, align);
    if (memory)
        memset(memory, 0, bytes);
    return memory;
}

void *arena_memdup(struct arena *arena, const void *data, size_t size, size_t align)
{
    void *memory = arena_alloc(arena, size, align);
    if (memory && size > 0)
        memcpy(memory, data, size);
    return memory;
}

char *arena_strdup(struct arena *arena, const char *text)
{
    return arena_strndup(arena, text, strlen(text));
}

char *arena_strndup(struct arena *arena, const char *text, size_t length)
{
    size_t bytes;
    char *copy;
    if (!checked_add_size(length, 1, &bytes))
        return NULL;
    copy = arena_alloc(arena, bytes, 1);
    if (!copy)
        return NULL;
    if (length > 0)
        memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

char *arena_vprintf(struct arena *arena, const char *format, va_list arguments)
{
    va_list again;
    int length;
    char *text;
    va_copy(again, arguments);
    length = spk_vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (length < 0)
        return NULL;
    text = arena_alloc(arena, (size_t)length + 1, 1);
    if (text)
        (void)spk_vsnprintf(text, (size_t)length + 1, format, arguments);
    return text;
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
    va_list arguments;
    char *text;
    va_start(arguments, format);
    text = arena_vprintf(arena, format, arguments);
    va_end(arguments);
    return text;
}
