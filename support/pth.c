/* Checkpoints: opening, and telling tensor files apart. */
#include "support/pth.h"

#include <string.h>

#include "support/alloc.h"
#include "support/pth_internal.h"

/* The magic number 0x1950a86a20f9469cfc6c of the old format as LONG1 of ten bytes. */
static const uint8_t magic[12] = {0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46,
                                  0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};

static bool is_legacy(const uint8_t *data, size_t size)
{
    size_t at = 2;
    if (size < 2 || data[0] != 0x80)
        return false;
    if (size > 2 && data[2] == 0x95) /* FRAME of protocol 4 */
        at += 9;
    return size >= at + sizeof magic && memcmp(data + at, magic, sizeof magic) == 0;
}

/* A safetensors file may begin with the same four bytes, but then has the brace of its header. */
bool pth_is_checkpoint(const uint8_t *data, size_t size)
{
    return is_legacy(data, size) || (zip_is_archive(data, size) && (size <= 8 || data[8] != '{'));
}

spk_status pth_fail(struct pth *f, uint64_t offset, const char *format, ...)
{
    struct strbuf text = {0};
    va_list arguments;
    va_start(arguments, format);
    strbuf_vprintf(&text, format, arguments);
    va_end(arguments);
    spk_status status =
        diag_error(f->diags, diag_place(f->diags, "%s", f->name), "E0063", "%s (byte %llu)",
                   strbuf_cstr(&text), (unsigned long long)offset);
    strbuf_fini(&text);
    return status;
}

static void release(void *owner)
{
    struct pth *f = owner;
    for (size_t i = 0; i < f->gathered.len; i++)
        spk_free(f->gathered.data[i]);
    vec_fini(&f->gathered);
    vec_fini(&f->persistent);
    vec_fini(&f->tensors);
    vec_fini(&f->others);
    arena_fini(&f->arena);
    file_map_close(&f->map);
    spk_free(f);
}

static spk_status read_all(struct pth *f, bool ema, struct diag_list *diags,
                           struct st_file **out_file)
{
    if (is_legacy(f->data, f->size))
        SPK_TRY(pth_read_legacy(f));
    else
        SPK_TRY(pth_read_zip(f));
    SPK_TRY(pth_select(f, ema));
    struct st_source source = {.name = f->name,
                               .format = f->format,
                               .tensors = f->tensors.data,
                               .n_tensors = f->tensors.len,
                               .others = f->others.data,
                               .n_others = f->others.len,
                               .release = release,
                               .owner = f};
    SPK_TRY(st_wrap(&source, diags, out_file));
    /* Of what was read, only bytes are needed from here on. */
    vec_fini(&f->persistent);
    vec_fini(&f->tensors);
    vec_fini(&f->others);
    arena_fini(&f->arena);
    return SPK_OK;
}

static spk_status open_checkpoint(const uint8_t *data, size_t size, struct file_map map,
                                  const char *name, bool ema, struct diag_list *diags,
                                  struct st_file **out_file)
{
    struct pth *f = spk_alloc_zero(sizeof *f);
    *out_file = NULL;
    if (!f) {
        file_map_close(&map);
        return SPK_ERR_NOMEM;
    }
    f->name = name;
    f->data = data;
    f->size = size;
    f->map = map;
    f->diags = diags;
    arena_init(&f->arena, 0);
    spk_status status = read_all(f, ema, diags, out_file);
    if (status != SPK_OK)
        release(f);
    return status;
}

spk_status pth_open_memory(const uint8_t *data, size_t size, const char *name, bool ema,
                           struct diag_list *diags, struct st_file **out_file)
{
    return open_checkpoint(data, size, (struct file_map){0}, name, ema, diags, out_file);
}

spk_status pth_open_map(struct file_map map, const char *name, bool ema, struct diag_list *diags,
                        struct st_file **out_file)
{
    return open_checkpoint(map.data, map.size, map, name, ema, diags, out_file);
}

/* ---- any tensor file ---- */

static spk_status refuse_ema(const char *name, bool ema, struct diag_list *diags)
{
    if (!ema)
        return SPK_OK;
    return diag_error(diags, diag_place(diags, "%s", name), "E0064",
                      "--ema is for PyTorch checkpoints, this is none");
}

spk_status tensor_file_open(const char *path, bool ema, struct diag_list *diags,
                            struct st_file **out_file)
{
    struct file_map map;
    *out_file = NULL;
    SPK_TRY(file_map_open(path, diags, &map));
    if (pth_is_checkpoint(map.data, map.size))
        return pth_open_map(map, path, ema, diags, out_file);
    file_map_close(&map);
    SPK_TRY(refuse_ema(path, ema, diags));
    return st_open(path, diags, out_file);
}

spk_status tensor_file_open_memory(const void *data, size_t size, const char *name, bool ema,
                                   struct diag_list *diags, struct st_file **out_file)
{
    *out_file = NULL;
    if (pth_is_checkpoint(data, size))
        return pth_open_memory(data, size, name, ema, diags, out_file);
    SPK_TRY(refuse_ema(name, ema, diags));
    return st_open_memory(data, size, name, diags, out_file);
}
