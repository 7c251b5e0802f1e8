/* reconstruct: what a masked autoencoder makes of images, as a picture.
 *
 * A row of the picture is an image: as it is, with its hidden patches grey, and reconstructed, with
 * the predicted pixels in the hidden patches and the image's own in the others, on which the loss
 * is not taken. Pixels are brought back to bytes by the input's normalisation; where the model's
 * loss is on pixels normalised in each patch, a predicted patch first gets mean and variance of the
 * image's own patch, as those are not predicted. Every pixel is drawn as a square of `zoom` pixels.
 */
#include <math.h>
#include <string.h>

#include "api/api_internal.h"
#include "runtime/record.h"
#include "runtime/reference.h"
#include "support/alloc.h"
#include "support/file.h"
#include "support/raster.h"

#define IMAGES_DEFAULT 8
#define GAP 4u          /* pixels around images */
#define SIDE_WANTED 96u /* images are drawn at least so large */
#define HIDDEN_GREY 128

struct reconstruct {
    spk_context *c;
    const struct spk_reconstruct_options *o;
    struct api_model model;
    struct api_data data;
    struct engine *engine;
    float *outputs;
    uint32_t all; /* values of all outputs of an image */
    struct raster picture;
    /* nodes */
    const struct ir_node *image, *mask, *output;
    const struct ir_node *norm;  /* the patches' normalisation, or NULL */
    uint64_t output_at, mask_at; /* places in what an engine gives and takes */
    uint32_t loss_at;            /* IR_NONE: no output of one number */
    uint32_t patch, zoom;
    float low, high; /* of images without normalisation: what becomes 0 and 255 */
};

static void reconstruct_fini(struct reconstruct *k)
{
    if (k->engine != NULL)
        rt_reference_engine.destroy(k->engine);
    raster_fini(&k->picture);
    spk_free(k->outputs);
    api_data_fini(&k->data);
    api_model_fini(&k->model);
}

/* ---- what the model is ---- */

static spk_status no_autoencoder(const struct reconstruct *k, const char *why)
{
    spk_status status =
        diag_usage(&k->c->diags, spk_span_none, "E0728", "model '%s' reconstructs no pictures: %s",
                   k->model.module->name, why);
    diag_help_set(&k->c->diags, "spikformer_v2_mae is a model that does");
    return status;
}

/* Input, mask and the first output with positions; places of the others. */
static void find_nodes(struct reconstruct *k)
{
    const struct ir_module *m = k->model.module;
    uint64_t in_at = 0, out_at = 0;
    k->loss_at = IR_NONE;
    for (uint32_t i = 0; i < m->n_nodes; i++) {
        const struct ir_node *n = &m->node[i];
        const uint64_t size = ir_type_elements(&n->type);
        if (n->op == IR_OP_INPUT) {
            if (n->a.input.mask && k->mask == NULL) {
                k->mask = n;
                k->mask_at = in_at;
            } else if (!n->a.input.mask) {
                k->image = n;
            }
            in_at += n->type.timesteps * size;
        }
        if (n->op != IR_OP_OUTPUT)
            continue;
        if (n->type.layout == IR_NC && k->output == NULL) {
            k->output = n;
            k->output_at = out_at;
        } else if (size == 1 && k->loss_at == IR_NONE) {
            k->loss_at = (uint32_t)out_at;
        }
        out_at += size;
    }
}

/* The normalisation of patches that the loss compares the output with. */
static const struct ir_node *norm_of_patches(const struct ir_module *m, const struct ir_node *out)
{
    for (uint32_t i = 0; i < m->n_nodes; i++) {
        const struct ir_node *n = &m->node[i];
        if (n->op != IR_OP_MSE || n->operand[0] != out->operand[0])
            continue;
        const struct ir_node *target = &m->node[n->operand[1]];
        return target->op == IR_OP_LAYERNORM && target->n_params == 0 ? target : NULL;
    }
    return NULL;
}

static spk_status check_model(struct reconstruct *k)
{
    find_nodes(k);
    if (k->image == NULL || k->image->type.timesteps != 1 || k->mask == NULL || k->output == NULL)
        return no_autoencoder(k, "it takes an image and a mask and gives pixels of patches, "
                                 "[tokens, pixels]");
    const struct ir_type *x = &k->image->type, *m = &k->mask->type, *y = &k->output->type;
    k->patch = x->height / m->height;
    const uint64_t pixels = (uint64_t)k->patch * k->patch * x->channels;
    if (x->height % m->height || x->width % m->width || x->width / m->width != k->patch ||
        ir_type_positions(y) != ir_type_positions(m) || y->channels != pixels)
        return no_autoencoder(k, "its output is not one patch of pixels for each position of the "
                                 "mask");
    if (x->channels != 1 && x->channels != 3)
        return no_autoencoder(k, "pictures have one channel or three");
    k->norm = norm_of_patches(k->model.module, k->output);
    return SPK_OK;
}

/* ---- pixels ---- */

/* A value of the input as a byte. */
static uint8_t byte_of(const struct reconstruct *k, float value, uint32_t channel)
{
    const struct ir_attr_input *a = &k->image->a.input;
    const uint32_t at = a->n_norm > 1 ? channel : 0;
    double x = a->normalise ? (double)value * (double)a->std[at] + (double)a->mean[at]
                            : ((double)value - (double)k->low) / ((double)k->high - (double)k->low);
    x = rint(x * 255.0);
    return (uint8_t)(x > 255 ? 255 : x > 0 ? x : 0);
}

static void find_range(struct reconstruct *k)
{
    const struct engine_input *in = &k->data.input.input;
    const uint64_t n = ir_type_elements(&k->image->type);
    k->low = INFINITY;
    k->high = -INFINITY;
    for (uint32_t image = 0; image < in->n_images; image++)
        for (uint64_t i = 0; i < n; i++) {
            k->low = fminf(k->low, in->data[image * in->image_stride + i]);
            k->high = fmaxf(k->high, in->data[image * in->image_stride + i]);
        }
    if (!(k->high > k->low))
        k->high = k->low + 1.0f;
}

static void draw(struct reconstruct *k, uint32_t column, uint32_t image, uint32_t y, uint32_t x,
                 uint32_t channel, uint8_t byte)
{
    const struct ir_type *t = &k->image->type;
    const size_t row = (size_t)k->picture.width * k->picture.channels;
    const size_t left = GAP + column * ((size_t)t->width * k->zoom + GAP) + (size_t)x * k->zoom;
    const size_t top = GAP + image * ((size_t)t->height * k->zoom + GAP) + (size_t)y * k->zoom;
    for (size_t dy = 0; dy < k->zoom; dy++)
        for (size_t dx = 0; dx < k->zoom; dx++)
            k->picture.pixel[(top + dy) * row + (left + dx) * k->picture.channels + channel] = byte;
}

/* Factor and shift that bring predicted pixels of a patch to those of the input. */
static void patch_scale(const struct reconstruct *k, const float *image, uint32_t py, uint32_t px,
                        double *out_factor, double *out_shift)
{
    const struct ir_type *t = &k->image->type;
    const uint64_t n = (uint64_t)k->patch * k->patch * t->channels;
    double mean = 0, squares = 0;
    *out_factor = 1;
    *out_shift = 0;
    if (k->norm == NULL)
        return;
    for (int pass = 0; pass < 2; pass++)
        for (uint64_t i = 0; i < n; i++) {
            const uint64_t c = i % t->channels, x = i / t->channels % k->patch,
                           y = i / t->channels / k->patch;
            const double v =
                (double)image[(c * t->height + py * k->patch + y) * t->width + px * k->patch + x];
            if (pass == 0)
                mean += v / (double)n;
            else
                squares += (v - mean) * (v - mean);
        }
    *out_factor =
        sqrt(squares / (double)(k->norm->a.norm.sample ? n - 1 : n) + (double)k->norm->a.norm.eps);
    *out_shift = mean;
}

/* The three pictures of one patch. */
static void draw_patch(struct reconstruct *k, uint32_t image, uint32_t py, uint32_t px)
{
    const struct ir_type *t = &k->image->type;
    const struct engine_input *in = &k->data.input.input;
    const float *x = in->data + image * in->image_stride;
    const uint64_t position = (uint64_t)py * k->mask->type.width + px;
    const bool hidden = x[k->mask_at + position] != 0.0f;
    const float *predicted =
        k->outputs + (size_t)image * k->all + k->output_at + position * k->output->type.channels;
    double factor, shift;
    patch_scale(k, x, py, px, &factor, &shift);
    for (uint32_t i = 0; i < k->output->type.channels; i++) {
        const uint32_t c = i % t->channels, dx = i / t->channels % k->patch,
                       dy = i / t->channels / k->patch;
        const uint32_t y = py * k->patch + dy, column = px * k->patch + dx;
        const float own = x[((uint64_t)c * t->height + y) * t->width + column];
        const uint8_t seen = byte_of(k, own, c);
        const uint8_t made = byte_of(k, (float)((double)predicted[i] * factor + shift), c);
        draw(k, 0, image, y, column, c, seen);
        draw(k, 1, image, y, column, c, hidden ? HIDDEN_GREY : seen);
        draw(k, 2, image, y, column, c, hidden ? made : seen);
    }
}

static spk_status draw_all(struct reconstruct *k)
{
    const struct ir_type *t = &k->image->type;
    const uint32_t images = k->data.input.input.n_images;
    const uint32_t side = t->height < t->width ? t->height : t->width;
    k->zoom = (SIDE_WANTED + side - 1) / side;
    const uint64_t width = GAP + 3 * ((uint64_t)t->width * k->zoom + GAP);
    const uint64_t height = GAP + images * ((uint64_t)t->height * k->zoom + GAP);
    spk_status status = SPK_ERR_INPUT;
    if (width <= RASTER_MAX_SIDE && height <= RASTER_MAX_SIDE)
        status = raster_alloc((uint32_t)width, (uint32_t)height, t->channels, &k->picture);
    if (status == SPK_ERR_INPUT) {
        status = diag_usage(&k->c->diags, spk_span_none, "E0729",
                            "a picture of %u images has %llu rows, at most %u are drawn", images,
                            (unsigned long long)height, RASTER_MAX_SIDE);
        diag_help_set(&k->c->diags, "draw fewer with --limit N");
    }
    SPK_TRY(status);
    memset(k->picture.pixel, 255, (size_t)width * height * t->channels);
    find_range(k);
    for (uint32_t image = 0; image < images; image++)
        for (uint32_t py = 0; py < k->mask->type.height; py++)
            for (uint32_t px = 0; px < k->mask->type.width; px++)
                draw_patch(k, image, py, px);
    return SPK_OK;
}

/* ---- the job ---- */

static spk_status compute(struct reconstruct *k)
{
    const struct ir_module *m = k->model.module;
    struct engine_run run = {.input = k->data.input.input,
                             .pool = k->c->pool,
                             .cancelled = api_cancelled,
                             .progress = api_progress,
                             .progress_ctx = k->c};
    k->all = api_classes(m);
    SPK_TRY(spk_alloc_array((size_t)run.input.n_images * k->all, sizeof *k->outputs, &k->outputs));
    run.logits = k->outputs;
    SPK_TRY(rt_reference_engine.create(m, &k->c->diags, &k->engine));
    api_progress_begin(k->c, "reconstructing", run.input.n_images);
    return rt_reference_engine.run(k->engine, &run, &k->c->diags);
}

static spk_status write_files(const struct reconstruct *k)
{
    const struct record_outputs outputs = {
        .logits = k->outputs, .classes = k->all, .module = k->model.module};
    struct strbuf png = {0};
    struct record *empty = NULL;
    spk_status status = raster_encode_png(&k->picture, &png);
    if (status == SPK_OK)
        status = file_write_all(k->o->output, strbuf_cstr(&png), png.len, &k->c->diags);
    strbuf_fini(&png);
    if (status != SPK_OK || k->o->out == NULL)
        return status;
    SPK_TRY(record_create(k->data.input.input.n_images, 0, &empty));
    status = record_save(empty, &outputs, k->o->out, &k->c->diags);
    record_destroy(empty);
    return status;
}

static void report(const struct reconstruct *k, struct api_report *r)
{
    const uint32_t images = k->data.input.input.n_images;
    double hidden = 0, loss = 0;
    const uint64_t n = ir_type_positions(&k->mask->type);
    for (uint32_t i = 0; i < images; i++) {
        const float *x = k->data.input.input.data + i * k->data.input.input.image_stride;
        for (uint64_t p = 0; p < n; p++)
            hidden += (double)x[k->mask_at + p];
        if (k->loss_at != IR_NONE)
            loss += (double)k->outputs[(size_t)i * k->all + k->loss_at] / images;
    }
    jw_string(&r->w, "model", k->model.module->name);
    jw_string(&r->w, "output", k->o->output);
    jw_u64(&r->w, "images", images);
    jw_u64(&r->w, "width", k->picture.width);
    jw_u64(&r->w, "height", k->picture.height);
    jw_u64(&r->w, "zoom", k->zoom);
    jw_u64(&r->w, "patch", k->patch);
    jw_f64(&r->w, "hidden", hidden / ((double)n * images));
    strbuf_printf(&r->result->text, "%s: %u images, %.3g %% of their patches hidden: %s (%ux%u)\n",
                  k->model.module->name, images, 100 * hidden / ((double)n * images), k->o->output,
                  k->picture.width, k->picture.height);
    if (k->loss_at == IR_NONE)
        return;
    jw_f64(&r->w, "loss", loss);
    strbuf_printf(&r->result->text, "loss: %.6g (mean over the images)\n", loss);
}

static spk_status reconstruct_all(struct reconstruct *k, struct api_report *r)
{
    struct spk_data_options data = k->o->data;
    if (k->o->output == NULL)
        return diag_usage(&k->c->diags, spk_span_none, "E0733",
                          "no picture to write: name it with -o FILE.png");
    if (data.limit == 0)
        data.limit = IMAGES_DEFAULT;
    SPK_TRY(api_model_load(k->c, &k->o->model, true, &k->model));
    SPK_TRY(check_model(k));
    SPK_TRY(api_data_load(k->c, &data, k->model.module, &k->data));
    SPK_TRY(compute(k));
    SPK_TRY(draw_all(k));
    SPK_TRY(write_files(k));
    report(k, r);
    return SPK_OK;
}

int spk_reconstruct(spk_context *c, const struct spk_reconstruct_options *o,
                    spk_result **out_result)
{
    struct reconstruct k = {.c = c, .o = o};
    struct api_report r;
    *out_result = NULL;
    api_begin(c);
    spk_status status = api_report_begin(&r, "reconstruct");
    if (status == SPK_OK)
        status = reconstruct_all(&k, &r);
    reconstruct_fini(&k);
    return api_report_end(&r, status, false, out_result);
}
