/* Zip reader.
 *
 * Algorithm: the end record is looked for from the end of the file backwards; where one of its
 * fields is all ones, or a zip64 locator stands before it, the zip64 record counts. The directory
 * is read into a table; sorted by place it shows overlaps, sorted by name duplicates.
 * Cost: O(n log n) in members; of the data only the local headers are touched. */
#include "support/zip.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "support/checked.h"
#include "support/strbuf.h"

enum {
    END_SIZE = 22,
    LOCATOR_SIZE = 20,
    END64_SIZE = 56,
    ENTRY_SIZE = 46,
    LOCAL_SIZE = 30,
    MAX_COMMENT = 65535,
    MAX_MEMBERS = 1 << 20
};
#define SIG_LOCAL UINT32_C(0x04034b50)
#define SIG_ENTRY UINT32_C(0x02014b50)
#define SIG_END UINT32_C(0x06054b50)
#define SIG_END64 UINT32_C(0x06064b50)
#define SIG_LOCATOR UINT32_C(0x07064b50)

struct reader {
    const uint8_t *data;
    size_t size;
    const char *name;
    struct arena *arena;
    struct diag_list *diags;
    uint64_t n, directory, directory_size; /* from the end record */
    struct extent *extent;                 /* per member */
};

/* Bytes of a member with its local header. */
struct extent {
    uint64_t begin, end;
    const char *name;
};

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)get16(p) | (uint32_t)get16(p + 2) << 16;
}

static uint64_t get64(const uint8_t *p)
{
    return (uint64_t)get32(p) | (uint64_t)get32(p + 4) << 32;
}

bool zip_is_archive(const uint8_t *data, size_t size)
{
    return size >= 4 && get32(data) == SIG_LOCAL;
}

static spk_status fail(const struct reader *r, const char *what)
{
    return diag_error(r->diags, diag_place(r->diags, "%s", r->name), "E0060",
                      "damaged zip archive: %s", what);
}

static spk_status fail_member(struct diag_list *diags, const char *archive, const char *member,
                              const char *what)
{
    struct strbuf text = {0};
    strbuf_c_string(&text, member, strlen(member)); /* any bytes may stand in it */
    spk_status status = diag_error(diags, diag_place(diags, "%s", archive), "E0061",
                                   "zip member %s %s", strbuf_cstr(&text), what);
    strbuf_fini(&text);
    return status;
}

/* ---- end records ---- */

static spk_status read_end64(struct reader *r, uint64_t locator)
{
    uint64_t at = get64(r->data + locator + 8);
    if (get32(r->data + locator + 4) != 0 || get32(r->data + locator + 16) > 1)
        return fail(r, "it is split over several disks");
    if (locator < END64_SIZE || at > locator - END64_SIZE || get32(r->data + at) != SIG_END64)
        return fail(r, "its zip64 end record is not where the locator says");
    const uint8_t *p = r->data + at;
    if (get32(p + 16) != 0 || get32(p + 20) != 0 || get64(p + 24) != get64(p + 32))
        return fail(r, "it is split over several disks");
    r->n = get64(p + 32);
    r->directory_size = get64(p + 40);
    r->directory = get64(p + 48);
    if (r->directory > at || r->directory_size > at - r->directory)
        return fail(r, "the directory lies outside of the file");
    return SPK_OK;
}

static spk_status read_end(struct reader *r)
{
    if (r->size < END_SIZE)
        return fail(r, "it is too short");
    uint64_t last = r->size - END_SIZE;
    uint64_t first = last > MAX_COMMENT ? last - MAX_COMMENT : 0;
    uint64_t at = last + 1;
    while (at-- > first) {
        if (get32(r->data + at) == SIG_END && get16(r->data + at + 20) == last - at)
            break;
        if (at == first)
            return fail(r, "no end record, the file is cut off");
    }
    const uint8_t *p = r->data + at;
    if (at >= LOCATOR_SIZE && get32(p - LOCATOR_SIZE) == SIG_LOCATOR)
        return read_end64(r, at - LOCATOR_SIZE);
    if (get16(p + 4) != 0 || get16(p + 6) != 0 || get16(p + 8) != get16(p + 10))
        return fail(r, "it is split over several disks");
    r->n = get16(p + 10);
    r->directory_size = get32(p + 12);
    r->directory = get32(p + 16);
    if (r->directory > at || r->directory_size > at - r->directory)
        return fail(r, "the directory lies outside of the file");
    return SPK_OK;
}

/* ---- members ---- */

/* Why a member may not have this name; NULL when it may. Nothing is ever written under it, but a
 * name that would leave a folder says that the archive was not made by torch.save. */
static const char *bad_name(const char *name, size_t length)
{
    if (length == 0)
        return "has no name";
    if (memchr(name, '\0', length) || memchr(name, '\\', length))
        return "has a zero byte or a backslash in its name";
    if (name[0] == '/')
        return "has an absolute path";
    for (size_t i = 0, begin = 0; i <= length; i++) {
        if (i < length && name[i] != '/')
            continue;
        if (i - begin == 2 && name[begin] == '.' && name[begin + 1] == '.')
            return "has a path that leaves the archive";
        begin = i + 1;
    }
    return NULL;
}

struct entry_sizes {
    uint64_t packed, size, local;
};

/* The 64-bit values of the extra field 1, for those that do not fit into the entry. */
static bool widen(const uint8_t *extra, size_t length, struct entry_sizes *s)
{
    uint64_t *wide[3] = {&s->size, &s->packed, &s->local};
    while (length >= 4) {
        size_t field = get16(extra + 2);
        if (field > length - 4)
            return false;
        if (get16(extra) == 1) {
            const uint8_t *p = extra + 4;
            for (int i = 0; i < 3; i++) {
                if (*wide[i] != UINT32_MAX)
                    continue;
                if (field < 8)
                    return false;
                *wide[i] = get64(p);
                p += 8;
                field -= 8;
            }
            return true;
        }
        extra += 4 + field;
        length -= 4 + field;
    }
    return s->size != UINT32_MAX && s->packed != UINT32_MAX && s->local != UINT32_MAX;
}

/* Where the data begins, from the local header. */
static spk_status find_data(struct reader *r, struct zip_member *m, struct extent *extent,
                            const struct entry_sizes *s)
{
    uint64_t limit = r->directory;
    if (s->local > limit || limit - s->local < LOCAL_SIZE || get32(r->data + s->local) != SIG_LOCAL)
        return fail_member(r->diags, r->name, m->name, "is not where the directory says");
    const uint8_t *p = r->data + s->local;
    size_t name_length = get16(p + 26);
    uint64_t data = s->local + LOCAL_SIZE + name_length + get16(p + 28);
    if (data > limit || s->size > limit - data)
        return fail_member(r->diags, r->name, m->name, "reaches beyond the data of the archive");
    if (name_length != strlen(m->name) || memcmp(p + LOCAL_SIZE, m->name, name_length) != 0)
        return fail_member(r->diags, r->name, m->name, "has another name in its own header");
    m->data = r->data + data;
    m->size = (size_t)s->size;
    *extent = (struct extent){s->local, data + s->size, m->name};
    return SPK_OK;
}

/* Reads the entry at *at of the directory and moves on. */
static spk_status read_entry(struct reader *r, uint64_t *at, struct zip_member *m,
                             struct extent *extent)
{
    uint64_t end = r->directory + r->directory_size;
    const uint8_t *p = r->data + *at;
    if (end - *at < ENTRY_SIZE || get32(p) != SIG_ENTRY)
        return fail(r, "the directory has fewer members than it says");
    size_t name_length = get16(p + 28), extra = get16(p + 30), comment = get16(p + 32);
    if (end - *at - ENTRY_SIZE < name_length + extra + comment)
        return fail(r, "an entry reaches beyond the directory");
    const char *name = (const char *)p + ENTRY_SIZE, *why = bad_name(name, name_length);
    m->name = arena_strndup(r->arena, name, name_length);
    if (!m->name)
        return SPK_ERR_NOMEM;
    if (why)
        return fail_member(r->diags, r->name, m->name, why);
    if (get16(p + 8) & 1)
        return fail_member(r->diags, r->name, m->name, "is encrypted");
    if (get16(p + 10) != 0)
        return fail_member(r->diags, r->name, m->name, "is compressed, torch.save stores as is");
    struct entry_sizes s = {get32(p + 20), get32(p + 24), get32(p + 42)};
    if (!widen(p + ENTRY_SIZE + name_length, extra, &s))
        return fail_member(r->diags, r->name, m->name, "has a damaged zip64 field");
    if (s.packed != s.size)
        return fail_member(r->diags, r->name, m->name, "is stored, but has two sizes");
    m->crc = get32(p + 16);
    *at += ENTRY_SIZE + name_length + extra + comment;
    return find_data(r, m, extent, &s);
}

static int compare_extents(const void *x, const void *y)
{
    const struct extent *a = x, *b = y;
    if (a->begin != b->begin)
        return a->begin < b->begin ? -1 : 1;
    return a->end == b->end ? 0 : (a->end < b->end ? -1 : 1);
}

static int compare_names(const void *x, const void *y)
{
    return strcmp((*(const struct zip_member *const *)x)->name,
                  (*(const struct zip_member *const *)y)->name);
}

static spk_status check_members(struct reader *r, struct zip_archive *a)
{
    for (size_t i = 0; i < a->n_members; i++)
        a->by_name[i] = &a->member[i];
    if (a->n_members) {
        qsort(r->extent, a->n_members, sizeof *r->extent, compare_extents);
        qsort(a->by_name, a->n_members, sizeof *a->by_name, compare_names);
    }
    for (size_t i = 1; i < a->n_members; i++) {
        if (r->extent[i].begin < r->extent[i - 1].end)
            return fail_member(r->diags, r->name, r->extent[i].name, "overlaps another member");
        if (strcmp(a->by_name[i]->name, a->by_name[i - 1]->name) == 0)
            return fail_member(r->diags, r->name, a->by_name[i]->name, "occurs twice");
    }
    return SPK_OK;
}

spk_status zip_read(const uint8_t *data, size_t size, const char *name, struct arena *arena,
                    struct diag_list *diags, struct zip_archive *out_archive)
{
    struct reader r = {.data = data, .size = size, .name = name, .arena = arena, .diags = diags};
    struct zip_archive a = {.name = name};
    SPK_TRY(read_end(&r));
    if (r.n > r.directory_size / ENTRY_SIZE)
        return fail(&r, "the directory has fewer members than it says");
    if (r.n > MAX_MEMBERS)
        return fail(&r, "it has more than 1048576 members");
    a.n_members = (size_t)r.n;
    a.member = ARENA_NEW_ARRAY(arena, struct zip_member, a.n_members);
    a.by_name = ARENA_NEW_ARRAY(arena, const struct zip_member *, a.n_members);
    r.extent = ARENA_NEW_ARRAY(arena, struct extent, a.n_members);
    if (!a.member || !a.by_name || !r.extent)
        return SPK_ERR_NOMEM;
    uint64_t at = r.directory;
    for (size_t i = 0; i < a.n_members; i++)
        SPK_TRY(read_entry(&r, &at, &a.member[i], &r.extent[i]));
    SPK_TRY(check_members(&r, &a));
    *out_archive = a;
    return SPK_OK;
}

const struct zip_member *zip_find(const struct zip_archive *archive, const char *name)
{
    size_t low = 0, high = archive->n_members;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(archive->by_name[middle]->name, name);
        if (order == 0)
            return archive->by_name[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

spk_status zip_check(const struct zip_archive *archive, const struct zip_member *member,
                     struct diag_list *diags)
{
    if (crc32_z(0, member->data, member->size) == member->crc)
        return SPK_OK;
    spk_status status =
        fail_member(diags, archive->name, member->name, "is damaged: its checksum differs");
    diag_help_set(diags, "get the file again; one that was saved without checksums "
                         "(torch.serialization.set_crc32_options) must be saved with them");
    return status;
}
