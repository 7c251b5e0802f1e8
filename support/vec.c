/* Growth of vectors: capacity doubles, starting at 8 items. */
#include "support/vec.h"

#include <stdint.h>

#include "support/checked.h"

spk_status vec_reserve_bytes(void *data, size_t *cap, size_t need, size_t item)
{
    size_t grown = *cap < 8 ? 8 : *cap;
    if (need <= *cap)
        return SPK_OK;
    while (grown < need) {
        if (grown > SIZE_MAX / 2) {
            grown = need;
            break;
        }
        grown *= 2;
    }
    SPK_TRY(spk_realloc_array(grown, item, data));
    *cap = grown;
    return SPK_OK;
}

static char *item_at(void *data, size_t offset)
{
    char *base;
    memcpy(&base, data, sizeof base);
    return base + offset;
}

spk_status vec_resize_bytes(void *data, size_t *len, size_t *cap, size_t count, size_t item)
{
    SPK_TRY(vec_reserve_bytes(data, cap, count, item));
    if (count > *len)
        memset(item_at(data, *len * item), 0, (count - *len) * item);
    *len = count;
    return SPK_OK;
}

spk_status vec_append_bytes(void *data, size_t *len, size_t *cap, const void *items, size_t count,
                            size_t item)
{
    size_t need;
    if (count == 0)
        return SPK_OK;
    if (!checked_add_size(*len, count, &need))
        return SPK_ERR_NOMEM;
    SPK_TRY(vec_reserve_bytes(data, cap, need, item));
    memcpy(item_at(data, *len * item), items, count * item);
    *len = need;
    return SPK_OK;
}
