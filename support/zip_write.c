/* Zip writer, stored members only. Sizes are known beforehand, so that the local headers tell them;
 * the padding before the data is an extra field "FB", as in the files of torch.save. Zip64 records
 * are written where a size or an offset needs them, and only there. No times are written: all
 * members are of 1 January 1980. */
#include <string.h>
#include <zlib.h>

#include "support/alloc.h"
#include "support/strbuf.h"
#include "support/vec.h"
#include "support/zip.h"

enum { ALIGN = 64, LOCAL_SIZE = 30, WIDE_FIELD = 4 + 3 * 8 };
#define DATE UINT16_C(0x0021) /* 1 January 1980 */
#define WIDE UINT32_MAX

struct written {
    char *name;
    uint64_t offset, size;
    uint32_t crc;
};

struct zip_writer {
    struct file_writer *file;
    uint64_t at;
    VEC(struct written) members;
};

static void put(struct strbuf *out, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        strbuf_char(out, (char)(unsigned char)(value >> (8 * i)));
}

static uint32_t narrow(uint64_t value)
{
    return value < WIDE ? (uint32_t)value : WIDE;
}

spk_status zip_writer_create(struct file_writer *file, struct zip_writer **out_writer)
{
    *out_writer = spk_alloc_zero(sizeof **out_writer);
    if (!*out_writer)
        return SPK_ERR_NOMEM;
    (*out_writer)->file = file;
    return SPK_OK;
}

void zip_writer_destroy(struct zip_writer *writer)
{
    if (!writer)
        return;
    for (size_t i = 0; i < writer->members.len; i++)
        spk_free(writer->members.data[i].name);
    vec_fini(&writer->members);
    spk_free(writer);
}

static spk_status flush(struct zip_writer *w, struct strbuf *text)
{
    spk_status status = text->status;
    if (status == SPK_OK)
        status = file_writer_write(w->file, text->data, text->len);
    w->at += text->len;
    strbuf_fini(text);
    return status;
}

/* What local header and directory entry have in common: from the version needed to the name's
 * length. */
static void put_common(struct strbuf *out, const struct written *m, bool wide)
{
    put(out, wide ? 45 : 20, 2);
    put(out, 0x0800, 2); /* names in UTF-8 */
    put(out, 0, 2);      /* stored */
    put(out, 0, 2);
    put(out, DATE, 2);
    put(out, m->crc, 4);
    put(out, wide ? WIDE : m->size, 4);
    put(out, wide ? WIDE : m->size, 4);
    put(out, strlen(m->name), 2);
}

static spk_status put_local(struct zip_writer *w, const struct written *m)
{
    struct strbuf out = {0};
    bool wide = m->size >= WIDE;
    uint64_t fields = (wide ? 4 + 16 : 0) + 4;
    uint64_t data = w->at + LOCAL_SIZE + strlen(m->name) + fields;
    size_t padding = (size_t)((ALIGN - data % ALIGN) % ALIGN);
    put(&out, UINT32_C(0x04034b50), 4);
    put_common(&out, m, wide);
    put(&out, fields + padding, 2);
    strbuf_append(&out, m->name);
    if (wide) {
        put(&out, 1, 2);
        put(&out, 16, 2);
        put(&out, m->size, 8);
        put(&out, m->size, 8);
    }
    strbuf_append(&out, "FB");
    put(&out, padding, 2);
    strbuf_repeat(&out, 'Z', padding);
    return flush(w, &out);
}

spk_status zip_writer_add(struct zip_writer *w, const char *name, const void *data, size_t size)
{
    struct written m = {.offset = w->at, .size = size};
    if (strlen(name) > UINT16_MAX - WIDE_FIELD)
        return SPK_ERR_INTERNAL;
    m.crc = size ? (uint32_t)crc32_z(0, data, size) : 0;
    m.name = spk_strdup(name);
    if (!m.name)
        return SPK_ERR_NOMEM;
    spk_status status = vec_push(&w->members, m);
    if (status != SPK_OK) {
        spk_free(m.name);
        return status;
    }
    SPK_TRY(put_local(w, &m));
    if (size)
        SPK_TRY(file_writer_write(w->file, data, size));
    w->at += size;
    return SPK_OK;
}

static void put_entry(struct strbuf *out, const struct written *m)
{
    bool wide = m->size >= WIDE || m->offset >= WIDE;
    put(out, UINT32_C(0x02014b50), 4);
    put(out, wide ? 45 : 20, 2);
    put_common(out, m, wide);
    put(out, wide ? WIDE_FIELD : 0, 2);
    strbuf_repeat(out, '\0', 2 + 2 + 2 + 4); /* comment, disk, attributes */
    put(out, wide ? WIDE : m->offset, 4);
    strbuf_append(out, m->name);
    if (wide) {
        put(out, 1, 2);
        put(out, WIDE_FIELD - 4, 2);
        put(out, m->size, 8);
        put(out, m->size, 8);
        put(out, m->offset, 8);
    }
}

spk_status zip_writer_finish(struct zip_writer *w)
{
    struct strbuf out = {0};
    uint64_t begin = w->at, n = w->members.len;
    for (size_t i = 0; i < n; i++)
        put_entry(&out, &w->members.data[i]);
    uint64_t size = out.len;
    if (n >= UINT16_MAX || begin + size >= WIDE) {
        put(&out, UINT32_C(0x06064b50), 4);
        put(&out, 44, 8);
        put(&out, 45, 2);
        put(&out, 45, 2);
        put(&out, 0, 8); /* disks */
        put(&out, n, 8);
        put(&out, n, 8);
        put(&out, size, 8);
        put(&out, begin, 8);
        put(&out, UINT32_C(0x07064b50), 4);
        put(&out, 0, 4);
        put(&out, begin + size, 8);
        put(&out, 1, 4);
    }
    put(&out, UINT32_C(0x06054b50), 4);
    put(&out, 0, 4); /* disks */
    put(&out, n < UINT16_MAX ? n : UINT16_MAX, 2);
    put(&out, n < UINT16_MAX ? n : UINT16_MAX, 2);
    put(&out, narrow(size), 4);
    put(&out, narrow(begin), 4);
    put(&out, 0, 2); /* comment */
    return flush(w, &out);
}
