/* Typed growable vectors.
 *
 *   VEC(struct edge) edges = {0};          // zero-initialised is empty and valid
 *   SPK_TRY(vec_push(&edges, edge));
 *   for (size_t i = 0; i < edges.len; i++) use(&edges.data[i]);
 *   vec_fini(&edges);
 *
 * A vector that goes through function parameters or struct assignments needs a name:
 *   struct edge_vec VEC_FIELDS(struct edge);
 * The items move when the vector grows: keep indices, not pointers. Macros may evaluate `v` more
 * than once. */
#ifndef SPIKEC_SUPPORT_VEC_H
#define SPIKEC_SUPPORT_VEC_H

#include <stddef.h>
#include <string.h>

#include "support/alloc.h"
#include "support/status.h"

#define VEC_FIELDS(type) \
    {                    \
        type *data;      \
        size_t len, cap; \
    }
#define VEC(type) struct VEC_FIELDS(type)

/* Makes room for at least `n` items in total; status SPK_OK or SPK_ERR_NOMEM (vector unchanged). */
#define vec_reserve(v, n) vec_reserve_bytes(&(v)->data, &(v)->cap, (n), sizeof *(v)->data)

/* Appends one item (the value may be a compound literal); SPK_OK or SPK_ERR_NOMEM. */
#define vec_push(v, ...)                                                                       \
    vec_checked(((v)->len < (v)->cap || vec_reserve_bytes(&(v)->data, &(v)->cap, (v)->len + 1, \
                                                          sizeof *(v)->data) == SPK_OK)        \
                    ? ((void)((v)->data[(v)->len++] = (__VA_ARGS__)), SPK_OK)                  \
                    : SPK_ERR_NOMEM)

/* Appends `n` items copied from `items` (not from the same vector); SPK_OK or SPK_ERR_NOMEM. */
#define vec_append(v, items, n) \
    vec_append_bytes(&(v)->data, &(v)->len, &(v)->cap, (items), (n), sizeof *(v)->data)

/* Sets the length to `n`; new items are zero bytes; SPK_OK or SPK_ERR_NOMEM. */
#define vec_resize(v, n) vec_resize_bytes(&(v)->data, &(v)->len, &(v)->cap, (n), sizeof *(v)->data)

/* Last item as an lvalue; removing it as a value. The vector must not be empty. */
#define vec_last(v) ((v)->data[(v)->len - 1])
#define vec_pop(v) ((v)->data[--(v)->len])

/* Empty, memory kept. */
#define vec_clear(v) ((void)((v)->len = 0))

/* Frees the memory; the vector is then empty and valid. */
#define vec_fini(v)              \
    do {                         \
        spk_free((v)->data);     \
        (v)->data = NULL;        \
        (v)->len = (v)->cap = 0; \
    } while (0)

/* Behind the macros: `data` is the address of the data pointer, sizes are checked for overflow. */
SPK_CHECKED spk_status vec_reserve_bytes(void *data, size_t *cap, size_t need, size_t item);
SPK_CHECKED spk_status vec_resize_bytes(void *data, size_t *len, size_t *cap, size_t count,
                                        size_t item);
SPK_CHECKED spk_status vec_append_bytes(void *data, size_t *len, size_t *cap, const void *items,
                                        size_t count, size_t item);
SPK_CHECKED static inline spk_status vec_checked(spk_status status)
{
    return status;
}

#endif
