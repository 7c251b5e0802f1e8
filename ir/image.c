/* The chip image in memory: life cycle and the string table. */
#include "ir/image.h"

#include <string.h>

#include "ir/image_private.h"
#include "support/alloc.h"

void image_init(struct image *im)
{
    memset(im, 0, sizeof *im);
}

void image_fini(struct image *im)
{
    for (uint32_t i = 0; i < im->n_strings; i++)
        spk_free(im->strings[i]);
    spk_free(im->strings);
#define T(type, name) spk_free(im->name);
    IMG_TABLES(T)
#undef T
    image_init(im);
}

size_t image_string_capacity(size_t n)
{
    size_t cap = 16;
    while (cap < n)
        cap *= 2;
    return cap;
}

/* The array has no capacity field: it always has room for image_string_capacity(n_strings). */
spk_status image_string(struct image *im, const char *text, uint32_t *out)
{
    for (uint32_t i = 0; i < im->n_strings; i++) {
        if (strcmp(im->strings[i], text) == 0) {
            *out = i;
            return SPK_OK;
        }
    }
    *out = IMG_NONE;
    size_t n = im->n_strings;
    if (n + 1 >= IMG_NONE)
        return SPK_ERR_NOMEM;
    if (!im->strings || image_string_capacity(n + 1) != image_string_capacity(n))
        SPK_TRY(spk_realloc_array(image_string_capacity(n + 1), sizeof *im->strings, &im->strings));
    char *copy = spk_strdup(text);
    if (!copy)
        return SPK_ERR_NOMEM;
    im->strings[n] = copy;
    *out = im->n_strings++;
    return SPK_OK;
}
