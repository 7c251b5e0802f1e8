/* gzip through zlib's inflate; several members in a row are one text, as gzip has it. zlib's memory
 * comes from our allocator, so that fault injection reaches it. */
#include "support/gunzip.h"

#include <limits.h>
#include <string.h>
#include <zlib.h>

#include "support/alloc.h"
#include "support/checked.h"
#include "support/vec.h"

#define GUNZIP_STEP ((size_t)1 << 20)
#define GUNZIP_WINDOW (15 + 16) /* largest window, gzip wrapper only */

struct byte_vec VEC_FIELDS(char);

bool gunzip_is_gzip(const void *data, size_t size)
{
    return size >= 2 && memcmp(data, "\x1f\x8b", 2) == 0;
}

static voidpf zlib_alloc(voidpf opaque, uInt count, uInt size)
{
    size_t bytes;
    (void)opaque;
    if (!checked_mul_size(count, size, &bytes))
        return Z_NULL;
    return spk_alloc_zero(bytes);
}

static void zlib_free(voidpf opaque, voidpf memory)
{
    (void)opaque;
    spk_free(memory);
}

static uInt clip(size_t bytes)
{
    return bytes < INT_MAX ? (uInt)bytes : INT_MAX;
}

/* Inflates one member from *at on; *at ends behind it. Z_OK, or what zlib complained about;
 * Z_BUF_ERROR for truncated data, Z_VERSION_ERROR stands for "too much comes out". */
static int inflate_member(const Bytef *data, size_t size, size_t *at, size_t max_bytes,
                          struct byte_vec *out)
{
    z_stream stream = {.zalloc = zlib_alloc, .zfree = zlib_free};
    int code = inflateInit2(&stream, GUNZIP_WINDOW);
    while (code == Z_OK) {
        uInt given = clip(size - *at), room;
        size_t grow = out->len / 2 > GUNZIP_STEP ? out->len / 2 : GUNZIP_STEP;
        if (out->len > max_bytes) {
            code = Z_VERSION_ERROR;
            break;
        }
        if (out->cap - out->len < 2 && vec_reserve(out, out->len + grow) != SPK_OK) {
            code = Z_MEM_ERROR;
            break;
        }
        room = clip(out->cap - out->len - 1);
        stream.next_in = (Bytef *)(uintptr_t)(data + *at);
        stream.avail_in = given;
        stream.next_out = (Bytef *)out->data + out->len;
        stream.avail_out = room;
        code = inflate(&stream, Z_NO_FLUSH);
        *at += given - stream.avail_in;
        out->len += room - stream.avail_out;
    }
    (void)inflateEnd(&stream);
    if (code == Z_STREAM_END)
        return out->len > max_bytes ? Z_VERSION_ERROR : Z_OK;
    return code;
}

static bool only_zeros(const char *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (data[i] != 0)
            return false;
    }
    return true;
}

static spk_status complain(int code, const char *name, size_t max_bytes, struct diag_list *diags)
{
    if (code == Z_MEM_ERROR)
        return SPK_ERR_NOMEM;
    if (code == Z_VERSION_ERROR)
        return diag_error(diags, diag_place(diags, "%s", name), "E0004",
                          "unpacked content is larger than the limit of %zu bytes", max_bytes);
    return diag_error(diags, diag_place(diags, "%s", name), "E0005", "gzip data is %s",
                      code == Z_BUF_ERROR ? "truncated" : "damaged");
}

spk_status gunzip(const void *data, size_t size, size_t max_bytes, const char *name,
                  struct diag_list *diags, char **out_data, size_t *out_size)
{
    struct byte_vec out = {0};
    const char *bytes = data;
    size_t at = 0;
    int code = Z_OK;
    *out_data = NULL;
    *out_size = 0;
    do {
        code = inflate_member(data, size, &at, max_bytes, &out);
    } while (code == Z_OK && gunzip_is_gzip(bytes + at, size - at));
    if (code == Z_OK && !only_zeros(bytes + at, size - at)) /* padding is allowed, other data not */
        code = Z_DATA_ERROR;
    if (code != Z_OK) {
        vec_fini(&out);
        return complain(code, name, max_bytes, diags);
    }
    out.data[out.len] = '\0';
    *out_data = out.data;
    *out_size = out.len;
    return SPK_OK;
}
