/* Heap allocation. Every allocation of the project goes through here, so that tests can fail the
 * n-th one (support/fault.h). Memory obtained here is released with spk_free only. */
#ifndef SPIKEC_SUPPORT_ALLOC_H
#define SPIKEC_SUPPORT_ALLOC_H

#include <stddef.h>

#include "support/status.h"

/* Uninitialised memory, aligned as malloc does. NULL when out of memory. size 0 gives a valid
 * unique pointer. */
SPK_CHECKED void *spk_alloc(size_t size);

/* As spk_alloc, filled with zero bytes. */
SPK_CHECKED void *spk_alloc_zero(size_t size);

/* Uninitialised memory with alignment `align` (a power of two, at least sizeof(void *)). NULL when
 * out of memory. Released with spk_free. */
SPK_CHECKED void *spk_alloc_aligned(size_t size, size_t align);

/* As spk_alloc_aligned for what is large and read in no order: aligned to 2 MiB, on large pages where
 * the system has them to give. Memory that is never written is never used up. */
SPK_CHECKED void *spk_alloc_huge(size_t size);

/* Grows or shrinks; on failure returns NULL and `old` stays valid. old may be NULL. */
SPK_CHECKED void *spk_realloc(void *old, size_t size);

/* NULL is allowed. */
void spk_free(void *memory);

/* Zero-filled array of `count` items of `size` bytes; the product is checked. `out_pointer` is the
 * address of a pointer of any object type: `spk_alloc_array(n, sizeof *x, &x)`. On error the
 * pointer becomes NULL and the status is SPK_ERR_NOMEM (overflow included). count 0 gives a valid
 * pointer. */
SPK_CHECKED spk_status spk_alloc_array(size_t count, size_t size, void *out_pointer);

/* As spk_alloc_array, not initialised: for large buffers that are filled at once. */
SPK_CHECKED spk_status spk_alloc_array_raw(size_t count, size_t size, void *out_pointer);

/* Resizes the array behind `inout_pointer` (address of a pointer, as above) to `count` items; new
 * items are not initialised. On error the old array stays as it was. */
SPK_CHECKED spk_status spk_realloc_array(size_t count, size_t size, void *inout_pointer);

/* Copy of a string on the heap; NULL when out of memory. */
SPK_CHECKED char *spk_strdup(const char *text);
SPK_CHECKED char *spk_strndup(const char *text, size_t length);

#endif
