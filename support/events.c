/* Readers of event recordings. The header of a .npy file is the text of a Python dict; the few
 * forms that NumPy writes are read by a scanner of its own. Cost: one pass over the events. */
#include "support/events.h"

#include <math.h>
#include <string.h>

#include "support/checked.h"

static const char npy_magic[] = "\x93NUMPY", aedat_magic[] = "#!AER-DAT2.0";
enum { NPY_MAGIC = 6, AEDAT_MAGIC = 12, MAX_FIELDS = 16 };

struct field {
    size_t offset, size;
    char kind; /* i u f b; 0: not told */
};

struct npy {
    const char *text; /* of the header */
    size_t length, at;
    bool fortran, structured;
    struct field item;     /* of plain arrays; its size also that of records */
    struct field named[4]; /* t x y p */
    uint64_t shape[4];
    uint32_t rank;
};

bool npy_is_array(const uint8_t *data, size_t size)
{
    return size >= NPY_MAGIC && memcmp(data, npy_magic, NPY_MAGIC) == 0;
}

bool events_is_recording(const uint8_t *data, size_t size)
{
    return npy_is_array(data, size) ||
           (size >= AEDAT_MAGIC && memcmp(data, aedat_magic, AEDAT_MAGIC) == 0);
}

static spk_status bad(struct diag_list *diags, const char *name, const char *format, ...)
    SPK_PRINTF(3, 4);

static spk_status bad(struct diag_list *diags, const char *name, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    spk_status status = diag_vreport(diags, DIAG_ERROR, SPK_ERR_INPUT,
                                     diag_place(diags, "%s", name), "E0080", format, arguments);
    va_end(arguments);
    return status;
}

/* ---- header of .npy ---- */

static void skip_blanks(struct npy *n)
{
    while (n->at < n->length && (n->text[n->at] == ' ' || n->text[n->at] == '\n'))
        n->at++;
}

static bool accept(struct npy *n, char c)
{
    skip_blanks(n);
    if (n->at >= n->length || n->text[n->at] != c)
        return false;
    n->at++;
    return true;
}

/* A text in single quotes, without escapes. */
static bool quoted(struct npy *n, const char **out_text, size_t *out_length)
{
    if (!accept(n, '\'') || n->at >= n->length)
        return false;
    const char *begin = n->text + n->at, *end = memchr(begin, '\'', n->length - n->at);
    if (!end)
        return false;
    *out_text = begin;
    *out_length = (size_t)(end - begin);
    n->at += *out_length + 1;
    return true;
}

static bool word(struct npy *n, const char *text)
{
    size_t length = strlen(text);
    skip_blanks(n);
    if (n->length - n->at < length || memcmp(n->text + n->at, text, length) != 0)
        return false;
    n->at += length;
    return true;
}

/* "<i8", "|u1", "|b1", "<f4". */
static bool element_type(struct npy *n, struct field *out_field)
{
    const char *text;
    size_t length;
    if (!quoted(n, &text, &length) || length != 3 || !memchr("<|=", text[0], 3) ||
        !memchr("iufb", text[1], 4) || !memchr("1248", text[2], 4))
        return false;
    out_field->kind = text[1];
    out_field->size = (size_t)(text[2] - '0');
    return text[1] != 'f' || out_field->size >= 4;
}

static bool record_type(struct npy *n)
{
    static const char names[] = "txyp";
    for (int i = 0; i < MAX_FIELDS && accept(n, '('); i++) {
        struct field field = {.offset = n->item.size};
        const char *name, *known = NULL;
        size_t length;
        if (!quoted(n, &name, &length) || !accept(n, ',') || !element_type(n, &field) ||
            !accept(n, ')'))
            return false;
        if (length == 1)
            known = memchr(names, name[0], 4);
        if (known)
            n->named[known - names] = field;
        n->item.size += field.size;
        (void)accept(n, ',');
    }
    n->structured = true;
    return accept(n, ']') && n->named[0].kind && n->named[1].kind && n->named[2].kind &&
           n->named[3].kind;
}

static bool shape(struct npy *n)
{
    if (!accept(n, '('))
        return false;
    while (!accept(n, ')')) {
        uint64_t extent = 0;
        size_t begin;
        skip_blanks(n);
        for (begin = n->at; n->at < n->length && n->at - begin < 15; n->at++) {
            if (n->text[n->at] < '0' || n->text[n->at] > '9')
                break;
            extent = extent * 10 + (uint64_t)(n->text[n->at] - '0');
        }
        if (n->at == begin || n->rank == 4)
            return false;
        n->shape[n->rank++] = extent;
        (void)accept(n, ',');
    }
    return true;
}

/* Value of one key. */
static bool member(struct npy *n, const char *key, size_t length)
{
    if (length == 5 && memcmp(key, "descr", 5) == 0 && n->item.size == 0)
        return accept(n, '[') ? record_type(n) : element_type(n, &n->item);
    if (length == 13 && memcmp(key, "fortran_order", 13) == 0) {
        n->fortran = word(n, "True");
        return n->fortran || word(n, "False");
    }
    return length == 5 && memcmp(key, "shape", 5) == 0 && n->rank == 0 && shape(n);
}

static bool header(struct npy *n)
{
    const char *key;
    size_t length;
    if (!accept(n, '{'))
        return false;
    while (!accept(n, '}')) {
        if (!quoted(n, &key, &length) || !accept(n, ':') || !member(n, key, length))
            return false;
        (void)accept(n, ',');
    }
    return n->item.size > 0;
}

/* ---- values of .npy ---- */

/* One number; false where a float is not whole or a number is too large. */
static bool load(const uint8_t *p, const struct field *field, int64_t *out_number)
{
    uint64_t bits = 0;
    unsigned spare = (unsigned)(64 - 8 * field->size);
    memcpy(&bits, p + field->offset, field->size);
    if (field->kind == 'f') {
        double x;
        float narrow;
        if (field->size == 8) {
            memcpy(&x, &bits, sizeof x);
        } else {
            memcpy(&narrow, &bits, sizeof narrow);
            x = (double)narrow;
        }
        if (!(fabs(x) < 0x1p62) || x != floor(x))
            return false;
        *out_number = (int64_t)x;
        return true;
    }
    *out_number = field->kind == 'i' ? (int64_t)(bits << spare) >> spare : (int64_t)bits;
    return field->kind == 'i' || bits <= INT64_MAX;
}

static spk_status take_records(const struct npy *n, const uint8_t *data, const char *name,
                               struct diag_list *diags, struct event_list *out)
{
    size_t record = n->structured ? n->item.size : 4 * n->item.size;
    for (uint64_t i = 0; i < n->shape[0]; i++) {
        int64_t v[4] = {0};
        for (unsigned k = 0; k < 4; k++) {
            struct field field = n->structured ? n->named[k] : n->item;
            if (!n->structured)
                field.offset = k * n->item.size;
            if (!load(data + i * record, &field, &v[k]))
                return bad(diags, name, "event %llu: not a whole number", (unsigned long long)i);
        }
        if (v[1] < 0 || v[1] > UINT16_MAX || v[2] < 0 || v[2] > UINT16_MAX || v[3] < -1 || v[3] > 1)
            return bad(diags, name, "event %llu: x %lld, y %lld, p %lld is no event",
                       (unsigned long long)i, (long long)v[1], (long long)v[2], (long long)v[3]);
        struct event e = {v[0], (uint16_t)v[1], (uint16_t)v[2], v[3] == 1};
        SPK_TRY(vec_push(out, e));
    }
    return SPK_OK;
}

/* Reads the header; *out_data becomes the place of the values, *out_size their bytes. `what` says
 * what the element types may be. */
static spk_status open_npy(const uint8_t *data, size_t size, const char *name, const char *what,
                           struct diag_list *diags, struct npy *n, const uint8_t **out_data,
                           size_t *out_size)
{
    size_t at = 10, length;
    if (size < 12 || data[6] < 1 || data[6] > 3)
        return bad(diags, name, "not a .npy file of version 1 to 3");
    length = (size_t)data[8] | (size_t)data[9] << 8;
    if (data[6] > 1) {
        length |= (size_t)data[10] << 16 | (size_t)data[11] << 24;
        at = 12;
    }
    if (length > size - at)
        return bad(diags, name, "the .npy file is cut off in its header");
    n->text = (const char *)data + at;
    n->length = length;
    *out_data = data + at + length;
    *out_size = size - at - length;
    return header(n) ? SPK_OK : bad(diags, name, "%s", what);
}

static spk_status wrong_size(const char *name, size_t size, struct diag_list *diags)
{
    return bad(diags, name,
               "the .npy file has %zu bytes of data, which is not what its shape needs", size);
}

static spk_status read_npy(const uint8_t *data, size_t size, const char *name,
                           struct diag_list *diags, struct event_list *out)
{
    struct npy n = {0};
    const uint8_t *values;
    size_t have, bytes;
    SPK_TRY(
        open_npy(data, size, name,
                 "events must be records with t, x, y and p, or [N,4], of little-endian numbers",
                 diags, &n, &values, &have));
    if (n.rank != (n.structured ? 1 : 2) || (n.rank == 2 && n.shape[1] != 4) || n.fortran)
        return bad(diags, name, "events must be records [N], or [N,4] in C order");
    if (!checked_mul_size(n.shape[0], n.structured ? n.item.size : 4 * n.item.size, &bytes) ||
        bytes != have)
        return wrong_size(name, have, diags);
    return take_records(&n, values, name, diags, out);
}

static bool tensor_type(const struct field *f, enum st_dtype *out)
{
    static const struct {
        char kind;
        size_t size;
        enum st_dtype type;
    } types[] = {{'b', 1, ST_BOOL}, {'u', 1, ST_U8},  {'u', 2, ST_U16}, {'u', 4, ST_U32},
                 {'u', 8, ST_U64},  {'i', 1, ST_I8},  {'i', 2, ST_I16}, {'i', 4, ST_I32},
                 {'i', 8, ST_I64},  {'f', 4, ST_F32}, {'f', 8, ST_F64}};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        *out = types[i].type;
        if (types[i].kind == f->kind && types[i].size == f->size)
            return true;
    }
    return false;
}

spk_status npy_array(const uint8_t *data, size_t size, const char *name, struct diag_list *diags,
                     struct st_tensor *out_tensor)
{
    static const char what[] = "the array must be of little-endian numbers, with at most 4 axes in "
                               "C order";
    struct npy n = {0};
    struct st_tensor t = {.name = name, .count = 1};
    const uint8_t *values;
    size_t have;
    uint64_t bytes;
    if (!npy_is_array(data, size))
        return bad(diags, name, "not a .npy file");
    SPK_TRY(open_npy(data, size, name, what, diags, &n, &values, &have));
    if (n.structured || n.fortran || !tensor_type(&n.item, &t.dtype))
        return bad(diags, name, "%s", what);
    for (t.rank = 0; t.rank < n.rank; t.rank++) {
        t.shape[t.rank] = n.shape[t.rank];
        if (!checked_mul_u64(t.count, n.shape[t.rank], &t.count))
            return wrong_size(name, have, diags);
    }
    if (!checked_mul_u64(t.count, n.item.size, &bytes) || bytes != have)
        return wrong_size(name, have, diags);
    t.data = values;
    t.size = have;
    *out_tensor = t;
    return SPK_OK;
}

/* ---- AEDAT 2.0 ---- */

static uint32_t big32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static spk_status read_aedat(const uint8_t *data, size_t size, const char *name,
                             enum event_layout layout, struct diag_list *diags,
                             struct event_list *out)
{
    size_t at = 0;
    while (at < size && data[at] == '#') {
        const uint8_t *end = memchr(data + at, '\n', size - at);
        if (!end)
            return bad(diags, name, "the AEDAT file is cut off in its header");
        at = (size_t)(end - data) + 1;
    }
    if ((size - at) % 8 != 0)
        return bad(diags, name, "the AEDAT file ends within an event");
    for (; at < size; at += 8) {
        uint32_t address = big32(data + at);
        uint16_t column = address >> 1 & 127, row = address >> 8 & 127;
        if (address >> 16)
            return bad(diags, name, "byte %zu: address 0x%08x is not one of a DVS128", at, address);
        if (address >> 15)
            continue;
        struct event e = {.t = big32(data + at + 4), .p = !(address & 1)};
        e.x = (uint16_t)(127 - (layout == EVENTS_DVS128 ? column : row));
        e.y = (uint16_t)(layout == EVENTS_DVS128 ? row : 127 - column);
        SPK_TRY(vec_push(out, e));
    }
    return SPK_OK;
}

spk_status events_read(const uint8_t *data, size_t size, const char *name, enum event_layout layout,
                       struct diag_list *diags, struct event_list *out_events)
{
    *out_events = (struct event_list){0};
    if (!events_is_recording(data, size))
        return bad(diags, name, "neither a .npy nor an AEDAT 2.0 file");
    if (data[0] == '#')
        SPK_TRY(read_aedat(data, size, name, layout, diags, out_events));
    else
        SPK_TRY(read_npy(data, size, name, diags, out_events));
    for (size_t i = 1; i < out_events->len; i++) {
        if (out_events->data[i].t < out_events->data[i - 1].t)
            return bad(diags, name, "event %zu: the time stamp goes backwards", i);
    }
    return SPK_OK;
}
