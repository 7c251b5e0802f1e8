/* Reading input images.
 *
 * The kind of file is told by its first bytes (gzip, or the IDX magic; anything else is taken for
 * safetensors). F32 tensors of the right shape are used in place; everything else is converted once
 * into one buffer, whose size is checked before. Bytes go through a table of 256 floats per
 * channel, so that normalising is a look-up with exactly the rounding of (b/255 - mean)/std in f32.
 * Invariants: every value handed out is finite; only images that are used are looked at.
 * Cost: one pass over the images used. */
#include "frontend/inputs.h"

#include <math.h>
#include <string.h>

#include "frontend/container.h"
#include "frontend/input_reader.h"
#include "support/alloc.h"
#include "support/checked.h"
#include "support/idx.h"
#include "support/safetensors.h"

#define MAX_BATCH 0x7fffffffu

void fe_input_fini(struct fe_input *input)
{
    st_close(input->file);
    spk_free(input->converted);
    for (uint64_t i = 0; input->names && i < input->n_available; i++)
        spk_free(input->names[i]);
    spk_free(input->names);
    *input = (struct fe_input){0};
}

static struct spk_span file_place(const struct input_reader *r)
{
    return diag_place(r->diags, "%s", r->name);
}

/* A frame for each time step, of counts or of real values. */
static bool framed(const struct input_reader *r)
{
    return r->node->a.input.events || r->node->a.input.series;
}

/* Axes of a frame that a file must give: trailing ones of a vector or of a row may be left out. */
static uint32_t least_axes(const struct ir_type *t)
{
    return t->height > 1 ? 3 : t->width > 1 ? 2 : 1;
}

/* "[B,3,32,32]" or "[B,4,2,128,128]": what the model takes. */
static void describe_wanted(const struct input_reader *r, struct strbuf *out)
{
    const struct ir_type *t = &r->node->type;
    strbuf_append(out, "[B,");
    if (framed(r))
        strbuf_printf(out, "%u,", t->timesteps);
    if (least_axes(t) == 1)
        strbuf_printf(out, "%u]", t->channels);
    else if (least_axes(t) == 2)
        strbuf_printf(out, "%u,%u]", t->channels, t->width);
    else
        strbuf_printf(out, "%u,%u,%u]", t->channels, t->height, t->width);
}

static bool frame_fits(const struct st_tensor *t, uint32_t first, const struct ir_type *type)
{
    const uint32_t axes = t->rank - first;
    if (t->shape[first] != type->channels)
        return false;
    if (axes == 3)
        return t->shape[first + 1] == type->height && t->shape[first + 2] == type->width;
    return axes == 1 || t->shape[first + 1] == type->width;
}

uint64_t input_elements(const struct input_reader *r)
{
    uint64_t frames = framed(r) ? r->node->type.timesteps : 1;
    return frames * ir_type_elements(&r->node->type);
}

spk_status input_begin(struct input_reader *r, uint64_t available, bool convert)
{
    uint64_t stride = input_elements(r), n = available, bytes;
    if (available == 0)
        return diag_error(r->diags, file_place(r), "E0413", "the file holds no image");
    if (r->options.limit && r->options.limit < n)
        n = r->options.limit;
    if (n > MAX_BATCH)
        return diag_error(r->diags, file_place(r), "E0413",
                          "%llu images, at most %u are read in one run", (unsigned long long)n,
                          MAX_BATCH);
    r->out->n_available = available;
    r->out->input.n_images = (uint32_t)n;
    r->out->input.image_stride = stride;
    if (!convert)
        return SPK_OK;
    if (!checked_mul_u64(stride * sizeof(float), n, &bytes) || bytes > FE_INPUT_MAX_BYTES) {
        spk_status status = diag_error(r->diags, file_place(r), "E0413",
                                       "%llu images of %llu values are too large to convert",
                                       (unsigned long long)n, (unsigned long long)stride);
        diag_help_set(r->diags, "use --limit %llu or less, or store the input as F32",
                      (unsigned long long)(FE_INPUT_MAX_BYTES / (stride * sizeof(float))));
        return status;
    }
    SPK_TRY(spk_alloc_array_raw((size_t)(n * stride), sizeof(float), &r->out->converted));
    r->out->input.data = r->out->converted;
    return SPK_OK;
}

static spk_status check_finite(const struct input_reader *r)
{
    const struct engine_input *in = &r->out->input;
    for (uint32_t image = 0; image < in->n_images; image++) {
        const float *x = in->data + image * in->image_stride;
        bool bad = false;
        for (uint64_t i = 0; i < in->image_stride; i++)
            bad |= !isfinite(x[i]);
        for (uint64_t i = 0; bad && i < in->image_stride; i++) {
            if (isfinite(x[i]))
                continue;
            struct strbuf text = {0};
            strbuf_f32(&text, x[i]);
            spk_status status = diag_error(r->diags, file_place(r), "E0414",
                                           "image %u, value %llu is %s; inputs must be finite",
                                           image, (unsigned long long)i, strbuf_cstr(&text));
            strbuf_fini(&text);
            return status;
        }
    }
    return SPK_OK;
}

/* ---- bytes ---- */

spk_status input_byte_tables(const struct input_reader *r, float (**out_tables)[256])
{
    const struct ir_attr_input *a = &r->node->a.input;
    uint32_t channels = r->node->type.channels;
    if (a->normalise && a->n_norm != 1 && a->n_norm != channels)
        return diag_error(r->diags, r->node->span, "E0415",
                          "the input has %u channels, but its normalisation has %u", channels,
                          a->n_norm);
    SPK_TRY(spk_alloc_array(channels, sizeof **out_tables, out_tables));
    for (uint32_t c = 0; c < channels; c++) {
        uint32_t at = a->n_norm == 1 ? 0 : c;
        for (uint32_t b = 0; b < 256; b++) {
            float x = (float)b;
            if (a->normalise) {
                x = x / 255.0f;
                x = x - a->mean[at];
                x = x / a->std[at];
            }
            (*out_tables)[c][b] = x;
        }
    }
    return SPK_OK;
}

float *input_frame(const struct ir_type *type, float (*tables)[256], const uint8_t *bytes,
                   bool interleaved, float *out)
{
    uint64_t positions = ir_type_positions(type);
    for (uint32_t c = 0; c < type->channels; c++) {
        const uint8_t *in = interleaved ? bytes + c : bytes + c * positions;
        uint64_t step = interleaved ? type->channels : 1;
        for (uint64_t i = 0; i < positions; i++)
            *out++ = tables[c][in[i * step]];
    }
    return out;
}

/* Converts n images of bytes; interleaved: [H,W,C] instead of [.., C,H,W]. */
static void convert_bytes(const struct input_reader *r, float (*tables)[256], const uint8_t *bytes,
                          bool interleaved)
{
    const struct ir_type *t = &r->node->type;
    uint64_t frames = r->out->input.n_images * (input_elements(r) / ir_type_elements(t));
    float *out = r->out->converted;
    for (uint64_t f = 0; f < frames; f++) {
        out = input_frame(t, tables, bytes, interleaved, out);
        bytes += ir_type_elements(t);
    }
}

static spk_status take_bytes(struct input_reader *r, const uint8_t *bytes, bool interleaved)
{
    float(*tables)[256] = NULL;
    spk_status status = input_byte_tables(r, &tables);
    if (status == SPK_OK)
        convert_bytes(r, tables, bytes, interleaved);
    spk_free(tables);
    return status;
}

/* ---- IDX ---- */

spk_status input_need_norm(const struct input_reader *r, const char *what)
{
    if (r->node->a.input.normalise)
        return SPK_OK;
    spk_status status = diag_error(r->diags, file_place(r), "E0415",
                                   "bytes of %s need a normalisation, the model's input declares "
                                   "none",
                                   what);
    diag_note_add(r->diags, r->node->span, "the input is declared here");
    diag_help_set(r->diags, "declare mean and std with the input, or give a safetensors file");
    return status;
}

static spk_status check_idx(const struct input_reader *r, const struct idx_array *a)
{
    const struct ir_type *t = &r->node->type;
    uint32_t channels = a->rank == 4 ? a->dims[3] : 1;
    bool shape_good = (a->rank == 3 || a->rank == 4) && a->dims[1] == t->height &&
                      a->dims[2] == t->width && channels == t->channels;
    if (framed(r)) {
        spk_status status = diag_error(r->diags, file_place(r), "E0411",
                                       "IDX files hold still images, the model takes event frames");
        diag_help_set(r->diags, "give a safetensors file with tensor 'input' [B,T,C,H,W]");
        return status;
    }
    if (!shape_good) {
        struct strbuf have = {0};
        for (uint32_t i = 0; i < a->rank; i++)
            strbuf_printf(&have, "%s%u", i ? "," : "", a->dims[i]);
        spk_status status = diag_error(
            r->diags, file_place(r), "E0411", "IDX images [%s], the model takes [N,%u,%u%s]",
            strbuf_cstr(&have), t->height, t->width, t->channels == 1 ? "" : ",C");
        diag_help_set(r->diags, "height %u, width %u and %u channel(s) would fit", t->height,
                      t->width, t->channels);
        strbuf_fini(&have);
        return status;
    }
    return input_need_norm(r, "an IDX file");
}

static spk_status load_idx(struct input_reader *r, struct idx_array *a)
{
    SPK_TRY(check_idx(r, a));
    SPK_TRY(input_begin(r, a->dims[0], true));
    SPK_TRY(take_bytes(r, a->data, a->rank == 4));
    return check_finite(r);
}

/* ---- safetensors ---- */

static bool type_good(enum st_dtype type, bool frames)
{
    switch (type) {
    case ST_F32:
    case ST_F16:
    case ST_BF16:
    case ST_F64:
    case ST_U8:
        return true;
    case ST_I8:
    case ST_I16:
    case ST_U16:
    case ST_I32:
        return frames;
    default:
        return false;
    }
}

static spk_status check_tensor(const struct input_reader *r, const struct st_tensor *t)
{
    const struct ir_type *type = &r->node->type;
    bool frames = framed(r);
    uint32_t first = frames ? 2 : 1;
    bool rank_good = t->rank <= first + 3 && t->rank >= first + least_axes(type);
    bool shape_good =
        rank_good && (!frames || t->shape[1] == type->timesteps) && frame_fits(t, first, type);
    if (shape_good && type_good(t->dtype, frames))
        return SPK_OK;
    struct strbuf have = {0}, want = {0};
    st_describe(t, &have);
    describe_wanted(r, &want);
    struct spk_span place = diag_place(r->diags, "%s: tensor %s", r->name, t->name);
    spk_status status;
    if (!rank_good) {
        status =
            diag_error(r->diags, place, "E0411",
                       "tensor of rank %u, %s; the model takes rank "
                       "%u, %s",
                       t->rank, strbuf_cstr(&have), first + least_axes(type), strbuf_cstr(&want));
        diag_help_set(r->diags, frames ? "this model takes one frame per time step: [B,T,C,H,W]"
                                       : "this model takes still images: [B,C,H,W]; B may be 1");
    } else if (!shape_good && frames && t->shape[1] != type->timesteps) {
        status = diag_error(r->diags, place, "E0411", "%llu time steps, %s; the model takes %u, %s",
                            (unsigned long long)t->shape[1], strbuf_cstr(&have), type->timesteps,
                            strbuf_cstr(&want));
        diag_help_set(r->diags, "set the model's number of time steps, or cut the input");
    } else if (!shape_good) {
        status = diag_error(r->diags, place, "E0411", "tensor %s, the model takes %s",
                            strbuf_cstr(&have), strbuf_cstr(&want));
    } else {
        status = diag_error(r->diags, place, "E0412", "element type %s, the model takes %s",
                            st_dtype_name(t->dtype),
                            frames ? "F32, F16, BF16, F64, U8, I8, I16, U16 or I32"
                                   : "F32, F16, BF16, F64 or U8");
    }
    strbuf_fini(&have);
    strbuf_fini(&want);
    return status;
}

static bool in_place(const struct st_tensor *t)
{
    return t->dtype == ST_F32 && (uintptr_t)t->data % _Alignof(float) == 0 &&
           __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;
}

/* Takes the open file over, also on error. */
static spk_status load_tensor(struct input_reader *r, struct st_file *file)
{
    const struct st_tensor *t;
    r->out->file = file;
    SPK_TRY(st_require(file, "input", r->diags, &t));
    SPK_TRY(check_tensor(r, t));
    SPK_TRY(input_begin(r, t->shape[0], !in_place(t)));
    if (in_place(t)) {
        const void *data = t->data;
        r->out->input.data = data;
        return check_finite(r);
    }
    if (t->dtype == ST_U8 && !framed(r)) {
        SPK_TRY(take_bytes(r, t->data, false));
    } else {
        struct st_tensor used = *t;
        used.shape[0] = r->out->input.n_images;
        used.count = r->out->input.n_images * r->out->input.image_stride;
        used.size = (size_t)used.count * st_dtype_size(t->dtype);
        SPK_TRY(st_to_f32(&used, r->out->converted));
    }
    st_close(file);
    r->out->file = NULL;
    return check_finite(r);
}

static spk_status load_container(struct input_reader *r, const struct container *file)
{
    spk_status status;
    if (container_is_idx(file)) {
        struct idx_array array = {0};
        status = container_open_idx(file, r->diags, &array);
        if (status == SPK_OK)
            status = load_idx(r, &array);
        idx_fini(&array);
    } else {
        struct st_file *tensors = NULL;
        status = container_open_tensors(file, r->diags, &tensors);
        if (status == SPK_OK)
            status = load_tensor(r, tensors);
    }
    return status;
}

/* Where the images lie; all NULL: pictures or recordings at the reader's name. */
struct source {
    const struct container *file;
    const struct st_tensor *tensor;
};

static spk_status load_source(struct input_reader *r, const struct source *from)
{
    if (from->file)
        return load_container(r, from->file);
    if (!from->tensor)
        return input_load_pictures(r);
    struct st_tensor input = *from->tensor;
    struct st_file *tensors = NULL;
    input.name = "input";
    const struct st_source source = {
        .name = r->name, .format = "array", .tensors = &input, .n_tensors = 1};
    SPK_TRY(st_wrap(&source, r->diags, &tensors));
    return load_tensor(r, tensors);
}

static spk_status load(const struct source *from, const char *name, const struct ir_module *m,
                       const struct fe_input_options *options, struct diag_list *diags,
                       struct fe_input *out_input)
{
    struct fe_input input = {0};
    struct input_reader r = {.name = name, .options = *options, .diags = diags, .out = &input};
    if (ir_input(m) != IR_NONE)
        r.node = &m->node[ir_input(m)];
    if (!r.node || input_elements(&r) == 0)
        return diag_internal(diags, spk_span_none, "E0410", "the module has no input");
    spk_status status = load_source(&r, from);
    if (status == SPK_OK)
        status = input_add_masks(&r, m);
    if (status == SPK_OK)
        *out_input = input;
    else
        fe_input_fini(&input);
    return status;
}

spk_status fe_input_load(const char *path, const struct ir_module *m, uint64_t limit,
                         struct diag_list *diags, struct fe_input *out_input)
{
    struct fe_input_options options = {.limit = limit};
    return fe_input_read(path, m, &options, diags, out_input);
}

spk_status fe_input_read(const char *path, const struct ir_module *m,
                         const struct fe_input_options *options, struct diag_list *diags,
                         struct fe_input *out_input)
{
    struct container file = {.name = path};
    bool pictures;
    SPK_TRY(input_is_picture(path, diags, &pictures));
    if (!pictures)
        SPK_TRY(container_look(&file, diags));
    const struct source from = {pictures ? NULL : &file, NULL};
    return load(&from, path, m, options, diags, out_input);
}

spk_status fe_input_parse(const void *data, size_t size, const char *name,
                          const struct ir_module *m, uint64_t limit, struct diag_list *diags,
                          struct fe_input *out_input)
{
    struct container file = {.name = name, .data = data, .size = size};
    struct fe_input_options options = {.limit = limit};
    SPK_TRY(container_look(&file, diags));
    const struct source from = {&file, NULL};
    return load(&from, name, m, &options, diags, out_input);
}

spk_status fe_input_tensor(const struct st_tensor *tensor, const char *name,
                           const struct ir_module *m, struct diag_list *diags,
                           struct fe_input *out_input)
{
    const struct source from = {NULL, tensor};
    const struct fe_input_options options = {0};
    return load(&from, name, m, &options, diags, out_input);
}
