/* The two containers of torch.save, and the storages in them.
 *
 * Zip: <root>/data.pkl, and a member <root>/data/<key> per storage. Before 1.6: four pickles (magic
 * number, protocol 1001, sizes of the machine's types, the value), a fifth with the keys of all
 * storages, then per key an int64 count and the elements, whose size only the value's pickle tells.
 */
#include <stdlib.h>
#include <string.h>

#include "support/checked.h"
#include "support/pth_internal.h"

/* ---- storages ---- */

static const struct {
    const char *name;
    enum st_dtype dtype;
} storage_types[] = {
    {"FloatStorage", ST_F32},  {"HalfStorage", ST_F16}, {"BFloat16Storage", ST_BF16},
    {"DoubleStorage", ST_F64}, {"LongStorage", ST_I64}, {"IntStorage", ST_I32},
    {"ShortStorage", ST_I16},  {"CharStorage", ST_I8},  {"ByteStorage", ST_U8},
    {"BoolStorage", ST_BOOL},
};

static spk_status parse_type(struct pth *f, const struct pickle_value *type,
                             struct pth_storage *storage)
{
    if (type->kind != PICKLE_GLOBAL)
        return pth_fail(f, type->offset, "the type of a storage is no global");
    const char *module = type->global.module, *name = type->global.name;
    if (strcmp(module, "torch") == 0 || strcmp(module, "torch.cuda") == 0) {
        for (size_t i = 0; i < sizeof storage_types / sizeof storage_types[0]; i++) {
            if (strcmp(name, storage_types[i].name) == 0) {
                storage->dtype = storage_types[i].dtype;
                storage->typed = true;
                return SPK_OK;
            }
        }
    }
    if (strcmp(module, "torch.storage") == 0 &&
        (strcmp(name, "UntypedStorage") == 0 || strcmp(name, "_UntypedStorage") == 0)) {
        storage->dtype = ST_U8;
        return SPK_OK;
    }
    return pth_fail(f, type->offset, "storages of type '%s.%s' are not supported", module, name);
}

/* (key, offset, count) of a view, or None. */
static spk_status parse_view(struct pth *f, const struct pickle_value *view,
                             struct pth_storage *storage)
{
    struct pickle_value *const *item = view->list.item;
    if (view->kind == PICKLE_NONE)
        return SPK_OK;
    if (view->kind != PICKLE_TUPLE || view->list.n != 3 || item[1]->kind != PICKLE_INT ||
        item[2]->kind != PICKLE_INT || item[1]->integer < 0 || item[2]->integer < 0 ||
        (uint64_t)item[1]->integer > storage->n ||
        (uint64_t)item[2]->integer > storage->n - (uint64_t)item[1]->integer)
        return pth_fail(f, view->offset, "the view of a storage lies outside of it");
    storage->view = (uint64_t)item[1]->integer;
    storage->n_view = (uint64_t)item[2]->integer;
    return SPK_OK;
}

spk_status pth_storage_parse(struct pth *f, const struct pickle_value *persistent,
                             struct pth_storage *out_storage)
{
    const struct pickle_value *id = persistent->list.item[0];
    struct pickle_value *const *item = id->list.item;
    struct pth_storage storage = {0};
    if (id->kind != PICKLE_TUPLE || id->list.n < 5 || id->list.n > 6 ||
        !pickle_is_text(item[0], "storage") || item[2]->kind != PICKLE_STRING ||
        item[4]->kind != PICKLE_INT || item[4]->integer < 0)
        return pth_fail(f, persistent->offset, "a persistent id names no storage");
    SPK_TRY(parse_type(f, item[1], &storage));
    storage.key = item[2]->text.data;
    storage.key_length = item[2]->text.length;
    storage.n = storage.n_view = (uint64_t)item[4]->integer;
    if (id->list.n == 6)
        SPK_TRY(parse_view(f, item[5], &storage));
    *out_storage = storage;
    return SPK_OK;
}

static spk_status storage_bytes(struct pth *f, const struct pickle_value *persistent,
                                const struct pth_storage *storage, uint64_t *out_bytes)
{
    if (!checked_mul_u64(storage->n, st_dtype_size(storage->dtype), out_bytes) ||
        *out_bytes > f->size)
        return pth_fail(f, persistent->offset, "a storage of %llu elements is larger than the file",
                        (unsigned long long)storage->n);
    return SPK_OK;
}

static spk_status find_member(struct pth *f, const struct pickle_value *persistent,
                              struct pth_storage *storage, uint64_t bytes)
{
    if (storage->key_length > 64 || memchr(storage->key, '\0', storage->key_length))
        return pth_fail(f, persistent->offset, "the key of a storage is no number");
    char *path =
        arena_printf(&f->arena, "%s/data/%.*s", f->root, (int)storage->key_length, storage->key);
    if (!path)
        return SPK_ERR_NOMEM;
    const struct zip_member *member = zip_find(&f->zip, path);
    if (!member)
        return pth_fail(f, persistent->offset, "the archive has no storage of this key");
    if (member->size != bytes)
        return pth_fail(f, persistent->offset, "a storage has %zu bytes, %llu are wanted",
                        member->size, (unsigned long long)bytes);
    bool *checked = &f->checked[member - f->zip.member];
    if (!*checked)
        SPK_TRY(zip_check(&f->zip, member, f->diags));
    *checked = true;
    storage->data = member->data;
    return SPK_OK;
}

static int compare_keys(const struct pth_stored *a, const char *key, size_t length)
{
    if (a->key_length != length)
        return a->key_length < length ? -1 : 1;
    return length ? memcmp(a->key, key, length) : 0;
}

static struct pth_stored *find_stored(const struct pth *f, const char *key, size_t length)
{
    size_t low = 0, high = f->n_stored;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_keys(&f->stored[middle], key, length);
        if (order == 0)
            return &f->stored[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

spk_status pth_storage_find(struct pth *f, const struct pickle_value *persistent,
                            struct pth_storage *out_storage)
{
    uint64_t bytes;
    SPK_TRY(pth_storage_parse(f, persistent, out_storage));
    SPK_TRY(storage_bytes(f, persistent, out_storage, &bytes));
    if (!f->stored)
        return find_member(f, persistent, out_storage, bytes);
    const struct pth_stored *stored = find_stored(f, out_storage->key, out_storage->key_length);
    if (!stored || !stored->data || stored->bytes != bytes)
        return pth_fail(f, persistent->offset, "the file has no such storage");
    out_storage->data = stored->data;
    return SPK_OK;
}

/* ---- zip ---- */

static const struct zip_member *member_of(struct pth *f, const char *name)
{
    const char *path = arena_printf(&f->arena, "%s/%s", f->root, name);
    return path ? zip_find(&f->zip, path) : NULL;
}

spk_status pth_read_zip(struct pth *f)
{
    size_t used;
    f->format = "pytorch zip";
    SPK_TRY(zip_read(f->data, f->size, f->name, &f->arena, f->diags, &f->zip));
    f->checked = ARENA_NEW_ARRAY(&f->arena, bool, f->zip.n_members);
    if (!f->checked)
        return SPK_ERR_NOMEM;
    const char *first = f->zip.n_members ? f->zip.member[0].name : "";
    f->root = arena_strndup(&f->arena, first, strcspn(first, "/"));
    if (!f->root)
        return SPK_ERR_NOMEM;
    const struct zip_member *pickle = member_of(f, "data.pkl");
    const struct zip_member *order = member_of(f, "byteorder");
    if (!pickle)
        return diag_error(f->diags, diag_place(f->diags, "%s", f->name), "E0063",
                          "a zip archive, but not one of torch.save: it has no data.pkl");
    if (order && (order->size != 6 || memcmp(order->data, "little", 6) != 0))
        return diag_error(f->diags, diag_place(f->diags, "%s", f->name), "E0063",
                          "its numbers are not little-endian");
    SPK_TRY(zip_check(&f->zip, pickle, f->diags));
    struct pickle_stream in = {.data = pickle->data,
                               .size = pickle->size,
                               .base = (uint64_t)(pickle->data - f->data),
                               .name = f->name,
                               .arena = &f->arena,
                               .diags = f->diags};
    return pickle_read(&in, &f->persistent, &f->value, &used);
}

/* ---- before 1.6 ---- */

/* Reads the next pickle and moves on. */
static spk_status next_pickle(struct pth *f, size_t *at, struct pickle_refs *persistent,
                              struct pickle_value **out_value)
{
    struct pickle_stream in = {.data = f->data + *at,
                               .size = f->size - *at,
                               .base = *at,
                               .name = f->name,
                               .arena = &f->arena,
                               .diags = f->diags};
    size_t used;
    SPK_TRY(pickle_read(&in, persistent, out_value, &used));
    *at += used;
    return SPK_OK;
}

static int order_stored(const void *x, const void *y)
{
    const struct pth_stored *a = x, *b = y;
    int order = compare_keys(a, b->key, b->key_length);
    if (order != 0)
        return order;
    return a->bytes == b->bytes ? 0 : (a->bytes < b->bytes ? -1 : 1);
}

/* The old format gives the classes of a whole model persistent ids, too. */
static bool is_class(const struct pickle_value *persistent)
{
    const struct pickle_value *id = persistent->list.item[0];
    return id->kind == PICKLE_TUPLE && id->list.n > 0 && pickle_is_text(id->list.item[0], "module");
}

/* The table of all storages that the value refers to. */
static spk_status list_stored(struct pth *f)
{
    f->stored = ARENA_NEW_ARRAY(&f->arena, struct pth_stored, f->persistent.len);
    if (!f->stored)
        return SPK_ERR_NOMEM;
    for (size_t i = 0; i < f->persistent.len; i++) {
        const struct pickle_value *persistent = f->persistent.data[i];
        struct pth_storage storage;
        uint64_t bytes;
        if (is_class(persistent))
            continue;
        SPK_TRY(pth_storage_parse(f, persistent, &storage));
        SPK_TRY(storage_bytes(f, persistent, &storage, &bytes));
        f->stored[f->n_stored++] = (struct pth_stored){
            .key = storage.key, .key_length = storage.key_length, .n = storage.n, .bytes = bytes};
    }
    size_t n = 0;
    if (f->n_stored)
        qsort(f->stored, f->n_stored, sizeof *f->stored, order_stored);
    for (size_t i = 0; i < f->n_stored; i++) {
        const struct pth_stored *s = &f->stored[i];
        if (n > 0 && compare_keys(&f->stored[n - 1], s->key, s->key_length) == 0) {
            if (f->stored[n - 1].bytes != s->bytes || f->stored[n - 1].n != s->n)
                return pth_fail(f, 0, "one storage is given two sizes");
            continue;
        }
        f->stored[n++] = *s;
    }
    f->n_stored = n;
    return SPK_OK;
}

/* Gives every storage of the table its data. */
static spk_status place_stored(struct pth *f, size_t at, const struct pickle_value *keys)
{
    if (keys->kind != PICKLE_LIST)
        return pth_fail(f, keys->offset, "the keys of the storages are no list");
    for (size_t i = 0; i < keys->list.n; i++) {
        const struct pickle_value *key = keys->list.item[i];
        struct pth_stored *stored = NULL;
        if (key->kind == PICKLE_STRING)
            stored = find_stored(f, key->text.data, key->text.length);
        if (!stored || stored->data)
            return pth_fail(f, key->offset, "a storage is listed that no tensor has, or twice");
        if (f->size - at < 8 || f->size - at - 8 < stored->bytes)
            return pth_fail(f, at, "the file ends within its storages");
        uint64_t n;
        memcpy(&n, f->data + at, sizeof n);
        if (n != stored->n)
            return pth_fail(f, at, "a storage tells another size than its tensors");
        stored->data = f->data + at + 8;
        at += 8 + (size_t)stored->bytes;
    }
    if (at != f->size)
        return pth_fail(f, at, "%zu bytes are left behind the storages", f->size - at);
    return SPK_OK;
}

spk_status pth_read_legacy(struct pth *f)
{
    struct pickle_value *magic, *protocol, *system, *keys;
    size_t at = 0;
    f->format = "pytorch before 1.6";
    SPK_TRY(next_pickle(f, &at, NULL, &magic));
    SPK_TRY(next_pickle(f, &at, NULL, &protocol));
    if (protocol->kind != PICKLE_INT || protocol->integer != 1001)
        return pth_fail(f, protocol->offset, "the protocol of the checkpoint is not 1001");
    SPK_TRY(next_pickle(f, &at, NULL, &system));
    const struct pickle_value *little = pickle_get(system, "little_endian");
    if (!little || little->kind != PICKLE_BOOL || !little->boolean)
        return pth_fail(f, system->offset, "its numbers are not little-endian");
    SPK_TRY(next_pickle(f, &at, &f->persistent, &f->value));
    SPK_TRY(list_stored(f));
    SPK_TRY(next_pickle(f, &at, NULL, &keys));
    return place_stored(f, at, keys);
}
