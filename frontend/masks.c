/* The masks of a model that takes them: from a file, or drawn.
 *
 * An image's values become [image | masks in node order], which is what an engine takes; the images
 * are copied once for that. A drawn mask hides round(ratio * positions) positions, the first ones
 * of a seeded shuffle; image k has the stream k of the seed, so it does not matter how many images
 * there are.                                                                                     */
#include <math.h>
#include <string.h>

#include "frontend/container.h"
#include "frontend/input_reader.h"
#include "support/alloc.h"
#include "support/checked.h"
#include "support/events.h"
#include "support/file.h"
#include "support/rng.h"
#include "support/strbuf.h"

/* Where the values of one mask are written. */
struct mask_target {
    const struct ir_node *node;
    float *first;       /* of image 0 */
    uint64_t stride, n; /* between images; positions */
    uint32_t index;     /* among the model's masks */
};

static void draw(const struct input_reader *r, const struct mask_target *t, uint32_t *order)
{
    const uint64_t hide = (uint64_t)rint(r->options.mask_ratio * (double)t->n);
    for (uint32_t image = 0; image < r->out->input.n_images; image++) {
        struct rng rng;
        float *mask = t->first + image * t->stride;
        rng_seed_stream(&rng, r->options.mask_seed, ((uint64_t)t->index << 32) + image);
        for (uint32_t i = 0; i < t->n; i++)
            order[i] = i;
        rng_shuffle_u32(&rng, order, t->n);
        for (uint64_t i = 0; i < t->n; i++)
            mask[order[i]] = i < hide ? 1.0f : 0.0f;
    }
}

static spk_status drawn_mask(const struct input_reader *r, const struct mask_target *t)
{
    uint32_t *order;
    if (t->n > UINT32_MAX)
        return SPK_ERR_NOMEM;
    SPK_TRY(spk_alloc_array_raw((size_t)t->n, sizeof *order, &order));
    draw(r, t, order);
    spk_free(order);
    return SPK_OK;
}

/* [h,w] or [N], one for all images (*out_each false), or with the images in front. */
static bool mask_shape(const struct st_tensor *x, const struct ir_type *t, uint32_t images,
                       bool *out_each)
{
    const uint64_t n = ir_type_positions(t);
    const bool grid2 = x->rank == 2 && x->shape[0] == t->height && x->shape[1] == t->width;
    *out_each = !grid2 && !(x->rank == 1 && x->shape[0] == n);
    if (!*out_each)
        return true;
    if (x->rank < 2 || x->rank > 3 || x->shape[0] < images)
        return false;
    return x->rank == 2 ? x->shape[1] == n : x->shape[1] == t->height && x->shape[2] == t->width;
}

/* Zeros and ones of the tensor, which must be nothing else. */
static spk_status take_values(const struct input_reader *r, const struct st_tensor *x,
                              const struct mask_target *t, bool each)
{
    const uint32_t images = r->out->input.n_images;
    struct st_tensor used = *x;
    float *values;
    size_t count;
    used.count = t->n * (each ? images : 1);
    if (!checked_size_from_u64(used.count, &count))
        return SPK_ERR_NOMEM;
    used.size = count * st_dtype_size(x->dtype);
    SPK_TRY(spk_alloc_array_raw(count, sizeof *values, &values));
    spk_status status = st_to_f32(&used, values);
    for (size_t i = 0; i < count && status == SPK_OK; i++)
        if (values[i] != 0.0f && values[i] != 1.0f) {
            status = diag_error(r->diags, diag_place(r->diags, "%s", r->options.mask), "E0717",
                                "value %llu of the mask is %g; a mask has zeros, and ones where a "
                                "patch is hidden",
                                (unsigned long long)i, (double)values[i]);
        }
    for (uint32_t image = 0; image < images && status == SPK_OK; image++)
        memcpy(t->first + image * t->stride, values + (each ? image * t->n : 0),
               (size_t)t->n * sizeof *values);
    spk_free(values);
    return status;
}

/* What the masks are taken from: a file of tensors, or one array. */
struct mask_source {
    struct st_file *file;
    char *text;             /* of a .npy file */
    struct st_tensor array; /* in it */
};

static spk_status file_mask(const struct input_reader *r, const struct mask_source *s,
                            const struct mask_target *t)
{
    const struct st_tensor *x = s->text ? &s->array : NULL;
    const struct ir_type *type = &t->node->type;
    bool each;
    if (!x)
        x = st_find(s->file, t->node->name ? t->node->name : "mask");
    if (!x)
        SPK_TRY(st_require(s->file, "mask", r->diags, &x));
    if (mask_shape(x, type, r->out->input.n_images, &each))
        return take_values(r, x, t, each);
    struct strbuf have = {0};
    st_describe(x, &have);
    spk_status status = diag_error(
        r->diags, diag_place(r->diags, "%s", r->options.mask), "E0718",
        "the mask is %s, the model takes [%u,%u] or [%llu], or %u of either, one per image",
        strbuf_cstr(&have), type->height, type->width, (unsigned long long)ir_type_positions(type),
        r->out->input.n_images);
    strbuf_fini(&have);
    return status;
}

static spk_status fill(const struct input_reader *r, const struct ir_module *m,
                       const struct mask_source *source, struct mask_target t)
{
    for (uint32_t i = 0; i < m->n_nodes; i++) {
        if (m->node[i].op != IR_OP_INPUT || !m->node[i].a.input.mask)
            continue;
        t.node = &m->node[i];
        t.n = ir_type_positions(&t.node->type);
        SPK_TRY(r->options.mask ? file_mask(r, source, &t) : drawn_mask(r, &t));
        t.first += t.n;
        t.index++;
    }
    return SPK_OK;
}

static spk_status open_source(const struct input_reader *r, struct mask_source *s)
{
    struct container place = {.name = r->options.mask};
    size_t size;
    SPK_TRY(container_look(&place, r->diags));
    if (!npy_is_array(place.head, place.n_head))
        return container_open_tensors(&place, r->diags, &s->file);
    SPK_TRY(file_read(r->options.mask, 0, r->diags, &s->text, &size));
    return npy_array((const uint8_t *)s->text, size, r->options.mask, r->diags, &s->array);
}

/* Makes room for the masks behind every image; *out_first is that of image 0. */
static spk_status widen(struct input_reader *r, uint64_t stride, float **out_first)
{
    struct engine_input *in = &r->out->input;
    uint64_t count;
    size_t size;
    float *wide;
    if (!checked_mul_u64(stride, in->n_images, &count) || !checked_size_from_u64(count, &size) ||
        count > FE_INPUT_MAX_BYTES / sizeof *wide)
        return diag_error(r->diags, diag_place(r->diags, "%s", r->name), "E0413",
                          "%u images of %llu values are too large with their masks", in->n_images,
                          (unsigned long long)stride);
    SPK_TRY(spk_alloc_array_raw(size, sizeof *wide, &wide));
    const uint64_t own = in->image_stride;
    for (uint32_t image = 0; image < in->n_images; image++)
        memcpy(wide + image * stride, in->data + image * own, (size_t)own * sizeof *wide);
    st_close(r->out->file);
    r->out->file = NULL;
    spk_free(r->out->converted);
    r->out->converted = wide;
    in->data = wide;
    in->image_stride = stride;
    *out_first = wide + own;
    return SPK_OK;
}

spk_status input_add_masks(struct input_reader *r, const struct ir_module *m)
{
    const uint64_t stride = ir_input_values(m);
    struct mask_source source = {0};
    spk_status status = SPK_OK;
    float *first = NULL;
    if (stride == r->out->input.image_stride) {
        if (!r->options.mask && !r->options.draws_mask)
            return SPK_OK;
        return diag_usage(r->diags, spk_span_none, "E0719", "model '%s' takes no mask", m->name);
    }
    if (!r->options.mask && !r->options.draws_mask) {
        status = diag_usage(r->diags, spk_span_none, "E0716", "model '%s' takes a mask of patches",
                            m->name);
        diag_help_set(r->diags, "give one with --mask FILE, or draw one with --mask-ratio R");
        return status;
    }
    SPK_TRY(widen(r, stride, &first));
    if (r->options.mask)
        status = open_source(r, &source);
    if (status == SPK_OK)
        status = fill(r, m, &source, (struct mask_target){.first = first, .stride = stride});
    st_close(source.file);
    spk_free(source.text);
    return status;
}
