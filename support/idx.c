/* IDX reader. Everything is checked against the true size before a dimension is believed. */
#include "support/idx.h"

#include <string.h>

#include "support/alloc.h"
#include "support/checked.h"
#include "support/file.h"

#define IDX_DEFAULT_MAX ((size_t)4 << 30)
#define IDX_TYPE_U8 0x08u

static const char *element_name(uint8_t type)
{
    switch (type) {
    case 0x09:
        return "signed bytes";
    case 0x0b:
        return "16-bit integers";
    case 0x0c:
        return "32-bit integers";
    case 0x0d:
        return "32-bit floats";
    case 0x0e:
        return "64-bit floats";
    default:
        return NULL;
    }
}

static spk_status bad(struct diag_list *diags, const char *name, const char *why)
{
    return diag_error(diags, diag_place(diags, "%s", name), "E0040", "%s", why);
}

spk_status idx_parse(const void *bytes, size_t size, const char *name, struct diag_list *diags,
                     struct idx_array *out_array)
{
    const uint8_t *at = bytes;
    struct idx_array array = {.size = 1};
    size_t header;
    *out_array = (struct idx_array){0};
    if (size < 4 || at[0] != 0 || at[1] != 0)
        return bad(diags, name, "not an IDX file: it does not start with two zero bytes");
    if (at[2] != IDX_TYPE_U8) {
        const char *elements = element_name(at[2]);
        if (!elements)
            return bad(diags, name, "not an IDX file: unknown element type");
        return diag_error(diags, diag_place(diags, "%s", name), "E0041",
                          "IDX elements are %s; only unsigned bytes are supported", elements);
    }
    array.rank = at[3];
    if (array.rank == 0 || array.rank > IDX_MAX_RANK)
        return diag_error(diags, diag_place(diags, "%s", name), "E0040",
                          "IDX rank %u is not between 1 and %u", (unsigned)array.rank,
                          IDX_MAX_RANK);
    header = 4 + (size_t)array.rank * 4;
    if (size < header)
        return bad(diags, name, "IDX file is truncated in the header");
    for (uint32_t i = 0; i < array.rank; i++) {
        const uint8_t *digits = at + 4 + (size_t)i * 4;
        array.dims[i] = (uint32_t)digits[0] << 24 | (uint32_t)digits[1] << 16 |
                        (uint32_t)digits[2] << 8 | digits[3];
    }
    for (uint32_t i = 0; i < array.rank; i++) {
        if (!checked_mul_size(array.size, array.dims[i], &array.size))
            return bad(diags, name, "IDX dimensions overflow");
    }
    if (array.size != size - header)
        return diag_error(diags, diag_place(diags, "%s", name), "E0040",
                          "IDX dimensions need %zu bytes of data, the file has %zu", array.size,
                          size - header);
    array.data = at + header;
    *out_array = array;
    return SPK_OK;
}

spk_status idx_read(const char *path, size_t max_bytes, struct diag_list *diags,
                    struct idx_array *out_array)
{
    char *bytes;
    size_t size;
    spk_status status;
    *out_array = (struct idx_array){0};
    SPK_TRY(file_read_gz(path, max_bytes > 0 ? max_bytes : IDX_DEFAULT_MAX, diags, &bytes, &size));
    status = idx_parse(bytes, size, path, diags, out_array);
    if (status == SPK_OK)
        out_array->owned = bytes;
    else
        spk_free(bytes);
    return status;
}

void idx_fini(struct idx_array *array)
{
    spk_free(array->owned);
    *array = (struct idx_array){0};
}
