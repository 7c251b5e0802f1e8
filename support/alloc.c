/* Heap allocation with one place for fault injection; contracts in the header. */
#include "support/alloc.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <string.h>

#include "support/checked.h"
#include "support/fault.h"

void *spk_alloc(size_t size)
{
    if (spk_fault_hit(SPK_FAULT_ALLOC))
        return NULL;
    return malloc(size > 0 ? size : 1);
}

void *spk_alloc_zero(size_t size)
{
    if (spk_fault_hit(SPK_FAULT_ALLOC))
        return NULL;
    return calloc(1, size > 0 ? size : 1);
}

void *spk_alloc_aligned(size_t size, size_t align)
{
    void *memory = NULL;
    if (spk_fault_hit(SPK_FAULT_ALLOC))
        return NULL;
    if (posix_memalign(&memory, align, size > 0 ? size : 1) != 0)
        return NULL;
    return memory;
}

void *spk_alloc_huge(size_t size)
{
    void *memory = spk_alloc_aligned(size, (size_t)2 << 20);
    if (memory)
        (void)madvise(memory, size, MADV_HUGEPAGE);
    return memory;
}

void *spk_realloc(void *old, size_t size)
{
    if (spk_fault_hit(SPK_FAULT_ALLOC))
        return NULL;
    return realloc(old, size > 0 ? size : 1);
}

void spk_free(void *memory)
{
    free(memory);
}

/* The out parameters are addresses of typed pointers; memcpy stores without aliasing trouble. */
static spk_status store(void *out_pointer, void *memory)
{
    memcpy(out_pointer, &memory, sizeof memory);
    return memory ? SPK_OK : SPK_ERR_NOMEM;
}

spk_status spk_alloc_array(size_t count, size_t size, void *out_pointer)
{
    size_t bytes;
    if (!checked_mul_size(count, size, &bytes))
        return store(out_pointer, NULL);
    return store(out_pointer, spk_alloc_zero(bytes));
}

spk_status spk_alloc_array_raw(size_t count, size_t size, void *out_pointer)
{
    size_t bytes;
    if (!checked_mul_size(count, size, &bytes))
        return store(out_pointer, NULL);
    return store(out_pointer, spk_alloc(bytes));
}

spk_status spk_realloc_array(size_t count, size_t size, void *inout_pointer)
{
    void *old, *grown;
    size_t bytes;
    memcpy(&old, inout_pointer, sizeof old);
    if (!checked_mul_size(count, size, &bytes))
        return SPK_ERR_NOMEM;
    grown = spk_realloc(old, bytes);
    if (!grown)
        return SPK_ERR_NOMEM;
    return store(inout_pointer, grown);
}

char *spk_strdup(const char *text)
{
    return spk_strndup(text, strlen(text));
}

char *spk_strndup(const char *text, size_t length)
{
    size_t bytes;
    char *copy;
    if (!checked_add_size(length, 1, &bytes))
        return NULL;
    copy = spk_alloc(bytes);
    if (!copy)
        return NULL;
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}
