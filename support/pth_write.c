/* Checkpoint writer: the pickle that torch.save would write for an OrderedDict of tensors
 * (protocol 2, without the memo's entries that nobody reads back), and a storage for each. */
#include <string.h>

#include "support/pth.h"
#include "support/zip.h"

static const char *storage_name(enum st_dtype dtype)
{
    switch (dtype) {
    case ST_BOOL:
        return "BoolStorage";
    case ST_U8:
        return "ByteStorage";
    case ST_I8:
        return "CharStorage";
    case ST_I16:
        return "ShortStorage";
    case ST_F16:
        return "HalfStorage";
    case ST_BF16:
        return "BFloat16Storage";
    case ST_I32:
        return "IntStorage";
    case ST_F32:
        return "FloatStorage";
    case ST_F64:
        return "DoubleStorage";
    case ST_I64:
        return "LongStorage";
    case ST_U16:
    case ST_U32:
    case ST_U64:
    case ST_DTYPE_COUNT:
        break;
    }
    return NULL;
}

/* ---- pickle ---- */

static void put_bytes(struct strbuf *out, uint64_t value, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        strbuf_char(out, (char)(unsigned char)(value >> (8 * i)));
}

/* BININT1, BININT2, BININT or LONG1, the shortest, as Python's pickler chooses. */
static void put_number(struct strbuf *out, uint64_t value)
{
    unsigned n = 1;
    if (value < 0x100) {
        strbuf_char(out, 'K');
        put_bytes(out, value, 1);
    } else if (value < 0x10000) {
        strbuf_char(out, 'M');
        put_bytes(out, value, 2);
    } else if (value < UINT64_C(0x80000000)) {
        strbuf_char(out, 'J');
        put_bytes(out, value, 4);
    } else {
        while (n < 8 && value >> (8 * n - 1))
            n++;
        n += n == 8 && value >> 63; /* a byte for the sign */
        strbuf_append(out, "\x8a");
        put_bytes(out, n, 1);
        put_bytes(out, value, n < 8 ? n : 8);
        if (n > 8)
            strbuf_char(out, '\0');
    }
}

static void put_text(struct strbuf *out, const char *text)
{
    size_t n = strlen(text);
    strbuf_char(out, 'X');
    put_bytes(out, n, 4);
    strbuf_append_n(out, text, n);
}

static void put_tuple(struct strbuf *out, const uint64_t *numbers, uint32_t n)
{
    if (n == 0) {
        strbuf_char(out, ')');
        return;
    }
    strbuf_char(out, '(');
    for (uint32_t i = 0; i < n; i++)
        put_number(out, numbers[i]);
    strbuf_char(out, 't');
}

static void put_tensor(struct strbuf *out, const struct st_tensor *t, size_t key)
{
    uint64_t strides[ST_MAX_RANK], stride = 1;
    char digits[24];
    for (uint32_t i = t->rank; i-- > 0;) {
        strides[i] = stride;
        stride *= t->shape[i] ? t->shape[i] : 1;
    }
    (void)spk_snprintf(digits, sizeof digits, "%zu", key);
    put_text(out, t->name);
    strbuf_append(out, "ctorch._utils\n_rebuild_tensor_v2\n((");
    put_text(out, "storage");
    strbuf_printf(out, "ctorch\n%s\n", storage_name(t->dtype));
    put_text(out, digits);
    put_text(out, "cpu");
    put_number(out, t->count);
    strbuf_append(out, "tQ"); /* the persistent id */
    put_number(out, 0);       /* offset */
    put_tuple(out, t->shape, t->rank);
    put_tuple(out, strides, t->rank);
    strbuf_append(out, "\x89"                          /* requires_grad */
                       "ccollections\nOrderedDict\n)R" /* hooks */
                       "tR");
}

static void put_pickle(struct strbuf *out, const struct st_tensor *tensors, size_t n)
{
    strbuf_append(out, "\x80\x02"
                       "ccollections\nOrderedDict\n)R(");
    for (size_t i = 0; i < n; i++)
        put_tensor(out, &tensors[i], i);
    strbuf_append(out, "u.");
}

/* ---- archive ---- */

static spk_status write_members(struct zip_writer *zip, const struct strbuf *pickle,
                                const struct st_tensor *tensors, size_t n)
{
    char name[48];
    SPK_TRY(zip_writer_add(zip, "archive/data.pkl", pickle->data, pickle->len));
    SPK_TRY(zip_writer_add(zip, "archive/byteorder", "little", 6));
    for (size_t i = 0; i < n; i++) {
        (void)spk_snprintf(name, sizeof name, "archive/data/%zu", i);
        SPK_TRY(zip_writer_add(zip, name, tensors[i].data, tensors[i].size));
    }
    SPK_TRY(zip_writer_add(zip, "archive/version", "3\n", 2));
    return zip_writer_finish(zip);
}

static spk_status write_archive(struct file_writer *file, const struct strbuf *pickle,
                                const struct st_tensor *tensors, size_t n)
{
    struct zip_writer *zip;
    SPK_TRY(zip_writer_create(file, &zip));
    spk_status status = write_members(zip, pickle, tensors, n);
    zip_writer_destroy(zip);
    return status;
}

spk_status pth_save(const struct st_tensor *tensors, size_t n, const char *path,
                    struct diag_list *diags)
{
    struct strbuf pickle = {0};
    struct file_writer *file = NULL;
    for (size_t i = 0; i < n; i++) {
        if (!storage_name(tensors[i].dtype))
            return diag_error(diags, diag_place(diags, "%s", path), "E0065",
                              "tensor '%s' is %s, which such a checkpoint cannot hold",
                              tensors[i].name, st_dtype_name(tensors[i].dtype));
    }
    put_pickle(&pickle, tensors, n);
    spk_status status = pickle.status;
    if (status == SPK_OK)
        status = file_writer_create(path, diags, &file);
    if (status == SPK_OK) {
        status = write_archive(file, &pickle, tensors, n);
        if (status == SPK_OK)
            status = file_writer_commit(file);
        else
            file_writer_abort(file);
    }
    strbuf_fini(&pickle);
    return status;
}
