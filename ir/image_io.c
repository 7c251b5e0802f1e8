/* image.h5: writing and reading the tables of a chip image.
 *
 * Every table of IMG_TABLES is one dataset of the same name at the top of the file: tables of rows
 * are 1-D compound datasets with the field names of ir/image.h, tables of numbers plain 1-D
 * datasets; `meta`, `encoder` and `head` are compound datasets of one row, `strings` a list. All
 * little endian, packed, in this order; tables above 1 MiB are compressed (deflate 1). The layout
 * of each row is spelled out once below, and a static assertion refuses a row whose fields do not
 * add up to its struct, so that no field can be forgotten here.
 *
 * Reading trusts nothing: a table may not be larger than deflate could make the file's bytes
 * (1,032 to 1, rounded up), which is checked before memory is taken; then image_validate.c makes
 * sure that walking the tables is safe.                                                       */
#include "ir/image.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "ir/image_private.h"
#include "support/alloc.h"
#include "support/file.h"
#include "support/h5.h"

#define FORMAT_NAME "spikec chip image"
#define COMPRESS_ABOVE ((uint64_t)1 << 20)
#define INFLATE_MAX 1100u
#define STRING_MAX ((size_t)1 << 20)
#define STRINGS_MAX 65536u

/* clang-format off */
/* The fields of every row: F(member, h5 type suffix, array length). */
#define CORE(F) \
    F(chip, U32, 1) F(x, U32, 1) F(y, U32, 1) F(neurons, U32, 1) \
    F(group_first, U32, 1) F(n_groups, U32, 1) F(config_first, U32, 1) F(n_configs, U32, 1) \
    F(in_axon_first, U32, 1) F(n_in_axons, U32, 1) F(out_axon_first, U32, 1) \
    F(n_out_axons, U32, 1) F(block_first, U32, 1) F(n_blocks, U32, 1)
#define GROUP(F) \
    F(core, U32, 1) F(layer, U32, 1) F(comp_first, U32, 1) F(y0, U32, 1) F(x0, U32, 1) \
    F(c0, U32, 1) F(ny, U32, 1) F(nx, U32, 1) F(nc, U32, 1) F(pitch, U32, 1) F(slice, U32, 1) \
    F(plane, U32, 1) F(channel_config, U32, 1) F(channel_bias, U32, 1) F(host_current, U32, 1) \
    F(teach_first, U32, 1)
#define CONFIG(F) \
    F(vth, I32, 1) F(decay, U16, 1) F(program, U8, 1) F(soft_reset, U8, 1) F(current_keep, U16, 1)
#define LAYER(F) \
    F(name, U32, 1) F(kind, U32, 1) F(channels, U32, 1) F(height, U32, 1) F(width, U32, 1) \
    F(start, U32, 1) F(recorded, U32, 1) F(layout, U32, 1) F(payload_bound, U32, 1) \
    F(phase_base, U32, 1) F(phase_position, U32, 1) F(phase_div, U32, 1) F(phase_mod, U32, 1) \
    F(order, U32, 1)
#define BLOCK(F) \
    F(core, U32, 1) F(content, U32, 1) F(kind, U8, 1) F(shift, U8, 1) F(weight_bits, U8, 1) \
    F(delay_bits, U8, 1) F(format, U32, 1)
#define CONTENT(F) \
    F(kind, U8, 1) F(kernel_h, U8, 1) F(kernel_w, U8, 1) F(stride, U8, 1) F(pad, U8, 1) \
    F(n_rows, U32, 1) F(nc, U32, 1) F(row_first, U64, 1) F(weight_first, U64, 1)
#define ROW(F) F(run_first, U64, 1) F(n_runs, U32, 1)
#define RUN(F) F(start, U32, 1) F(length, U32, 1) F(weight_first, U64, 1)
#define IN_AXON(F) \
    F(block, U32, 1) F(base, U32, 1) F(group, U32, 1) F(src_width, U16, 1) \
    F(src_height, U16, 1) F(atoms, U16, 1) F(kind, U8, 1) F(port, U8, 1) F(delay, U32, 1) \
    F(row, U32, 1)
#define OUT_AXON(F) \
    F(comp_first, U32, 1) F(comp_count, U32, 1) F(atom_first, U32, 1) F(route, U32, 1) \
    F(dest_axon, U32, 1) F(kind, U8, 1)
#define ROUTE(F) \
    F(src_core, U32, 1) F(dest, U32, 1) F(chip, U32, 1) F(x, U32, 1) F(y, U32, 1) \
    F(hops_x, U32, 1) F(hops_y, U32, 1) F(hops_chip, U32, 1) F(within_tile, U32, 1)
#define INJECTION(F) \
    F(kind, U32, 1) F(layer, U32, 1) F(position, U32, 1) F(channel_first, U32, 1) \
    F(n_channels, U32, 1) F(start, U32, 1) F(core, U32, 1) F(axon, U32, 1)
#define EMBEDDED(F) \
    F(layer, U32, 1) F(core, U32, 1) F(chip, U32, 1) F(processor, U32, 1) F(heads, U32, 1) \
    F(channels, U32, 1) F(tokens, U32, 1) F(head_first, U32, 1) F(head_count, U32, 1) \
    F(column_first, U32, 1) F(columns, U32, 1) F(qk_first, U32, 1) F(unit, I32, 1) \
    F(vth, I32, 1) F(decay, U32, 1) F(bits, U32, 1) F(q_layer, U32, 1) F(k_layer, U32, 1) \
    F(v_layer, U32, 1) F(port_first, U32, 1) F(n_ports, U32, 1)
#define EMBEDDED_PORT(F) \
    F(operand, U32, 1) F(position, U32, 1) F(channel_first, U32, 1) F(n_channels, U32, 1)
#define HOST_PORT(F) \
    F(layer, U32, 1) F(position, U32, 1) F(channel_first, U32, 1) F(n_channels, U32, 1)
#define SUM(F) \
    F(name, U32, 1) F(layout, U32, 1) F(term_first, U32, 1) F(n_terms, U32, 1) F(bound, U32, 1)
#define ENCODER(F) \
    F(present, U32, 1) F(layer, U32, 1) F(in_channels, U32, 1) F(in_height, U32, 1) \
    F(in_width, U32, 1) F(out_channels, U32, 1) F(kernel_h, U32, 1) F(kernel_w, U32, 1) \
    F(stride_h, U32, 1) F(stride_w, U32, 1) F(pad_h, U32, 1) F(pad_w, U32, 1) \
    F(x_shift, U32, 1) F(out_shift, U32, 1) F(m_exp, U32, 1) F(m_max, I32, 1) \
    F(n_norm, U32, 1) F(mean, F32, 4) F(std, F32, 4)
#define HEAD(F) F(classes, U32, 1) F(channels, U32, 1) F(divisor, U32, 1)
#define META(F) \
    F(schema, U32, 1) F(timesteps, U32, 1) F(interval, U32, 1) F(latency, U32, 1) \
    F(state_bits, U32, 1) F(payload_bits, U32, 1) F(chips_x, U32, 1) F(chips_y, U32, 1) \
    F(cores_x, U32, 1) F(cores_y, U32, 1) F(tile_w, U32, 1) F(tile_h, U32, 1) \
    F(threshold_shift, U32, 1) F(ticks, U32, 1) F(word_bits, U32, 1) F(message, U32, 1) \
    F(seed, U64, 1) F(target_name, U32, 1) F(system_name, U32, 1) \
    F(provenance, U32, 1)
/* clang-format on */

/* fields_X[], and the check that nothing is missing: sizes of the fields plus padding. */
#define FIELD(m, t, n) {#m, H5_##t, offsetof(ROW_TYPE, m), n},
#define SIZE(m, t, n) +sizeof(((ROW_TYPE *)0)->m)
#define COMPLETE(list, padding)                                            \
    _Static_assert((size_t)(0 list(SIZE)) + (padding) == sizeof(ROW_TYPE), \
                   "a field of this row is missing in image_io.c")

#define ROW_TYPE struct img_core
static const struct h5_field fields_cores[] = {CORE(FIELD)};
COMPLETE(CORE, 0);
#undef ROW_TYPE
#define ROW_TYPE struct img_group
static const struct h5_field fields_groups[] = {GROUP(FIELD)};
COMPLETE(GROUP, 0);
#undef ROW_TYPE
#define ROW_TYPE struct img_config
static const struct h5_field fields_configs[] = {CONFIG(FIELD)};
COMPLETE(CONFIG, 2);
#undef ROW_TYPE
#define ROW_TYPE struct img_layer
static const struct h5_field fields_layers[] = {LAYER(FIELD)};
COMPLETE(LAYER, 0);
#undef ROW_TYPE
#define ROW_TYPE struct img_block
static const struct h5_field fields_blocks[] = {BLOCK(FIELD)};
COMPLETE(BLOCK, 0);
#undef ROW_TYPE
#define ROW_TYPE struct img_content
static const struct h5_field fields_contents[] = {CONTENT(FIELD)};
COMPLETE(CONTENT, 3);
#undef ROW_TYPE
#define ROW_TYPE struct img_row
static const struct h5_field fields_rows[] = {ROW(FIELD)};
COMPLETE(ROW, 4);
#undef ROW_TYPE
#define ROW_TYPE struct img_run
static const struct h5_field fields_runs[] = {RUN(FIELD)};
COMPLETE(RUN, 0);
#undef ROW_TYPE
#define ROW_TYPE struct img_in_axon
static const struct h5_field fields_in_axons[] = {IN_AXON(FIELD)};
COMPLETE(IN_AXON, 0);
#undef ROW_TYPE
#define ROW_TYPE struct img_out_axon
static const struct h5_field fields_out_axons[] = {OUT_AXON(FIELD)};
COMPLETE(OUT_AXON, 3);
#undef ROW_TYPE
#define ROW_TYPE struct img_route
static const struct h5_field fields_routes[] = {ROUTE(FIELD)};
COMPLETE(ROUTE, 0);
#undef ROW_TYPE
#define ROW_TYPE struct img_injection
static const struct h5_field fields_injections[] = {INJECTION(FIELD)};
COMPLETE(INJECTION, 0);
#undef ROW_TYPE
#define ROW_TYPE struct img_embedded
static const struct h5_field fields_embedded[] = {EMBEDDED(FIELD)};
COMPLETE(EMBEDDED, 0);
#undef ROW_TYPE
#define ROW_TYPE struct img_embedded_port
static const struct h5_field fields_embedded_ports[] = {EMBEDDED_PORT(FIELD)};
COMPLETE(EMBEDDED_PORT, 0);
#undef ROW_TYPE
#define ROW_TYPE struct img_host_port
static const struct h5_field fields_host_ports[] = {HOST_PORT(FIELD)};
COMPLETE(HOST_PORT, 0);
#undef ROW_TYPE
#define ROW_TYPE struct img_sum
static const struct h5_field fields_sums[] = {SUM(FIELD)};
COMPLETE(SUM, 0);
#undef ROW_TYPE
#define ROW_TYPE struct img_encoder
static const struct h5_field fields_encoder[] = {ENCODER(FIELD)};
COMPLETE(ENCODER, 0);
#undef ROW_TYPE
#define ROW_TYPE struct img_head
static const struct h5_field fields_head[] = {HEAD(FIELD)};
COMPLETE(HEAD, 0);
#undef ROW_TYPE
#define ROW_TYPE struct img_meta
static const struct h5_field fields_meta[] = {META(FIELD)};
COMPLETE(META, 4);
#undef ROW_TYPE

#define N_FIELDS(fields) (sizeof(fields) / sizeof((fields)[0]))

/* One table: where its pointer and its count lie in struct image. fields NULL: plain numbers. */
struct table {
    const char *name;
    const struct h5_field *fields;
    size_t n_fields, row_size, pointer, count;
    enum h5_type type;
};
#define PLACE(name)                                                   \
    sizeof(*((struct image *)0)->name), offsetof(struct image, name), \
        offsetof(struct image, n_##name)
#define ROWS(name)                                                        \
    {                                                                     \
#name, fields_##name, N_FIELDS(fields_##name), PLACE(name), H5_U8 \
    }
#define NUMBERS(name, type)               \
    {                                     \
#name, NULL, 0, PLACE(name), type \
    }
static const struct table tables[] = {
    ROWS(cores),
    ROWS(groups),
    ROWS(configs),
    NUMBERS(channel_config, H5_U16),
    NUMBERS(biases, H5_I32),
    ROWS(layers),
    NUMBERS(orders, H5_U32),
    ROWS(blocks),
    ROWS(contents),
    ROWS(rows),
    ROWS(runs),
    NUMBERS(weights, H5_I8),
    ROWS(in_axons),
    ROWS(out_axons),
    ROWS(routes),
    ROWS(injections),
    ROWS(embedded),
    ROWS(embedded_ports),
    ROWS(host_ports),
    ROWS(sums),
    NUMBERS(sum_terms, H5_U32),
    NUMBERS(enc_w, H5_I16),
    NUMBERS(enc_b, H5_I32),
    NUMBERS(head_w, H5_F32),
    NUMBERS(head_b, H5_F32),
    NUMBERS(prices, H5_F64),
};
#define ONE(type, name) +1
_Static_assert(sizeof tables / sizeof tables[0] == 0 IMG_TABLES(ONE),
               "a table of IMG_TABLES is missing in image_io.c");

/* Members by offset: a pointer of any object type has the representation of char *. */
static const void *table_data(const struct image *im, const struct table *t)
{
    const void *p;
    memcpy(&p, (const char *)im + t->pointer, sizeof p);
    return p;
}

static uint64_t table_count(const struct image *im, const struct table *t)
{
    uint64_t n;
    memcpy(&n, (const char *)im + t->count, sizeof n);
    return n;
}

static spk_status write_table(struct h5_file *f, const struct image *im, const struct table *t)
{
    uint64_t n = table_count(im, t);
    uint32_t gzip = n > COMPRESS_ABOVE / t->row_size ? 1 : 0;
    if (t->fields)
        return h5_write_table(f, t->name, t->fields, t->n_fields, t->row_size, n, table_data(im, t),
                              gzip);
    return h5_write(f, t->name, t->type, 1, &n, table_data(im, t), gzip);
}

static spk_status write_strings(struct h5_file *f, const struct image *im)
{
    const char **texts;
    SPK_TRY(spk_alloc_array(im->n_strings, sizeof *texts, &texts));
    for (uint32_t i = 0; i < im->n_strings; i++)
        texts[i] = im->strings[i];
    spk_status s = h5_write_strings(f, "strings", im->n_strings, texts);
    spk_free(texts);
    return s;
}

static spk_status write_all(struct h5_file *f, const struct image *im)
{
    SPK_TRY(h5_write_attr_string(f, "/", "format", FORMAT_NAME));
    SPK_TRY(h5_write_attr_i64(f, "/", "schema", IMG_SCHEMA));
    SPK_TRY(h5_write_table(f, "meta", fields_meta, N_FIELDS(fields_meta), sizeof im->meta, 1,
                           &im->meta, 0));
    SPK_TRY(h5_write_table(f, "encoder", fields_encoder, N_FIELDS(fields_encoder),
                           sizeof im->encoder, 1, &im->encoder, 0));
    SPK_TRY(h5_write_table(f, "head", fields_head, N_FIELDS(fields_head), sizeof im->head, 1,
                           &im->head, 0));
    SPK_TRY(write_strings(f, im));
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        SPK_TRY(write_table(f, im, &tables[i]));
    return SPK_OK;
}

spk_status image_save(const struct image *im, const char *path, struct diag_list *d)
{
    struct strbuf part = {0};
    struct h5_file *f = NULL;
    strbuf_printf(&part, "%s.part", path);
    spk_status s = part.status;
    if (s == SPK_OK)
        s = h5_create(strbuf_cstr(&part), d, &f);
    if (s == SPK_OK) {
        s = write_all(f, im);
        spk_status closed = SPK_OK;
        if (s == SPK_OK)
            closed = h5_close(f);
        else
            h5_destroy(f);
        s = s == SPK_OK ? closed : s;
        if (s == SPK_OK && rename(strbuf_cstr(&part), path) != 0)
            s = diag_io(d, diag_place(d, "%s", path), "E0350",
                        "cannot move the finished image into place");
        if (s != SPK_OK)
            (void)remove(strbuf_cstr(&part));
    }
    strbuf_fini(&part);
    return s;
}

/* ---- reading ---- */

static spk_status read_one(struct h5_file *f, const char *name, const struct h5_field *fields,
                           size_t n_fields, size_t size, struct diag_list *d, void *out)
{
    void *row = NULL;
    uint64_t n = 0;
    SPK_TRY(h5_read_table(f, name, fields, n_fields, size, 1, &row, &n));
    if (n == 1)
        memcpy(out, row, size);
    spk_free(row);
    return n == 1 ? SPK_OK
                  : diag_error(d, h5_place(f, name), "E0351", "must have one row, has none");
}

static spk_status read_table(struct h5_file *f, const struct table *t, uint64_t max_bytes,
                             struct diag_list *d, struct image *im)
{
    void *data = NULL;
    uint64_t n = 0, max = max_bytes / t->row_size;
    if (t->fields) {
        SPK_TRY(h5_read_table(f, t->name, t->fields, t->n_fields, t->row_size, max, &data, &n));
    } else {
        struct h5_info info;
        SPK_TRY(h5_read(f, t->name, t->type, max, &info, &data));
        n = info.count;
        if (info.rank != 1) {
            spk_free(data);
            return diag_error(d, h5_place(f, t->name), "E0351", "must have 1 dimension, has %u",
                              info.rank);
        }
    }
    memcpy((char *)im + t->pointer, &data, sizeof data);
    memcpy((char *)im + t->count, &n, sizeof n);
    return SPK_OK;
}

static spk_status read_strings(struct h5_file *f, uint64_t max_bytes, struct image *im)
{
    struct h5_names names = {0};
    size_t max = max_bytes < STRINGS_MAX ? (size_t)max_bytes : STRINGS_MAX;
    SPK_TRY(h5_read_strings(f, "strings", max, STRING_MAX, &names));
    spk_status s =
        spk_alloc_array(image_string_capacity(names.len), sizeof *im->strings, &im->strings);
    if (s == SPK_OK) {
        if (names.len)
            memcpy(im->strings, names.data, names.len * sizeof *im->strings);
        im->n_strings = (uint32_t)names.len;
        names.len = 0; /* the texts belong to the image now */
    }
    h5_names_fini(&names);
    return s;
}

static spk_status read_header(struct h5_file *f, struct diag_list *d)
{
    char *format = NULL;
    int64_t schema = 0;
    if (!h5_has_attr(f, "/", "format") || !h5_has_attr(f, "/", "schema")) {
        spk_status s = diag_error(d, h5_place(f, "/"), "E0352", "is not a chip image");
        diag_help_set(d, "image.h5 is written by `spikec compile`");
        return s;
    }
    SPK_TRY(h5_read_attr_string(f, "/", "format", 64, &format));
    bool ours = strcmp(format, FORMAT_NAME) == 0;
    spk_free(format);
    if (!ours)
        return diag_error(d, h5_place(f, "/"), "E0352", "is not a chip image");
    SPK_TRY(h5_read_attr_i64(f, "/", "schema", &schema));
    if (schema == IMG_SCHEMA)
        return SPK_OK;
    spk_status s =
        diag_error(d, h5_place(f, "/"), "E0353", "has schema version %lld, this program reads %d",
                   (long long)schema, IMG_SCHEMA);
    diag_help_set(d, "compile the model again with this version");
    return s;
}

static spk_status read_all(struct h5_file *f, uint64_t max_bytes, struct diag_list *d,
                           struct image *im)
{
    SPK_TRY(read_header(f, d));
    SPK_TRY(read_one(f, "meta", fields_meta, N_FIELDS(fields_meta), sizeof im->meta, d, &im->meta));
    SPK_TRY(read_one(f, "encoder", fields_encoder, N_FIELDS(fields_encoder), sizeof im->encoder, d,
                     &im->encoder));
    SPK_TRY(read_one(f, "head", fields_head, N_FIELDS(fields_head), sizeof im->head, d, &im->head));
    SPK_TRY(read_strings(f, max_bytes, im));
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        SPK_TRY(read_table(f, &tables[i], max_bytes, d, im));
    return SPK_OK;
}

spk_status image_load(const char *path, struct diag_list *d, struct image *out)
{
    struct file_map map = {0};
    struct h5_file *f = NULL;
    image_init(out);
    SPK_TRY(file_map_open(path, d, &map));
    uint64_t max_bytes;
    if (__builtin_mul_overflow((uint64_t)map.size, INFLATE_MAX, &max_bytes))
        max_bytes = UINT64_MAX;
    file_map_close(&map);
    SPK_TRY(h5_open(path, d, &f));
    spk_status s = read_all(f, max_bytes, d, out);
    h5_destroy(f);
    if (s == SPK_OK)
        s = image_check_tables(out, path, d);
    if (s != SPK_OK)
        image_fini(out);
    return s;
}
