/* The linear maps of NIR as conv2d, linear and scale of the IR (docs/nir.md, section 3).
 *
 * Everything is spelled out in dense weights: groups as blocks, dilation and the odd half of
 * padding "same" as zeros, pools as convolutions with a constant kernel on the diagonal, and an
 * Affine behind a Flatten as a convolution whose kernel covers the map. The numbers are the same;
 * the IR and all that works on it need no further ops. Cost: the dense weights, at most
 * NIR_MAX_ELEMENTS.      */
#include <math.h>
#include <string.h>

#include "frontend/nir_lower.h"
#include "support/alloc.h"
#include "support/checked.h"

static float *floats_of(const struct nir_array *a)
{
    float *data = NULL;
    if (spk_alloc_array(a->count, sizeof *data, &data) != SPK_OK)
        return NULL;
    for (uint64_t i = 0; i < a->count; i++)
        data[i] = (float)a->data[i];
    return data;
}

static spk_status wrong_shape(struct nir_lower *l, const struct nir_node *n,
                              const struct nir_value *in, const char *what)
{
    struct strbuf shape = {0};
    nir_shape_text(in, &shape);
    spk_status status = nir_refuse(l->file, l->d, n, "E0284", "%s does not go with an input %s",
                                   what, strbuf_cstr(&shape));
    strbuf_fini(&shape);
    return status;
}

/* ---- bias ---- */

/* Param "bias" [out]; IR_NONE where all of it is 0, as convolutions of NIR cannot be without. */
static spk_status bias_param(struct nir_lower *l, const struct nir_node *n, uint64_t out,
                             uint32_t *out_param)
{
    struct nir_array b = {0};
    *out_param = IR_NONE;
    SPK_TRY(nir_array_read(l, n, "bias", true, &b));
    if (b.count != out) {
        nir_array_fini(&b);
        return nir_refuse(l->file, l->d, n, "E0284", "bias has %llu values, weight %llu rows",
                          (unsigned long long)b.count, (unsigned long long)out);
    }
    bool zero = true;
    for (uint64_t i = 0; i < out && zero; i++)
        zero = b.data[i] == 0.0;
    float *data = zero ? NULL : floats_of(&b);
    const uint32_t dim[1] = {(uint32_t)out};
    nir_array_fini(&b);
    if (zero)
        return SPK_OK;
    return data ? nir_param(l, n, "bias", 1, dim, data, out_param) : SPK_ERR_NOMEM;
}

static spk_status add_projection(struct nir_lower *l, const struct nir_node *n,
                                 struct ir_node *node, uint32_t operand, uint32_t weight,
                                 uint32_t bias, uint32_t *out)
{
    uint32_t params[2] = {weight, bias};
    node->n_operands = 1;
    node->operand = &operand;
    node->n_params = bias == IR_NONE ? 1 : 2;
    node->param = params;
    return nir_add(l, n, node, false, out);
}

/* ---- Affine, Linear ---- */

/* [out, in], behind any number of axes of 1. */
static bool matrix_shape(const struct nir_array *w, uint64_t *out, uint64_t *in)
{
    if (w->rank < 2)
        return false;
    for (uint32_t i = 0; i + 2 < w->rank; i++)
        if (w->dims[i] != 1)
            return false;
    *out = w->dims[w->rank - 2];
    *in = w->dims[w->rank - 1];
    return *out > 0 && *in > 0 && *out <= UINT32_MAX && *in <= UINT32_MAX;
}

spk_status nir_affine(struct nir_lower *l, const struct nir_node *n, const struct nir_value *in,
                      struct nir_value *out)
{
    const struct ir_type t = l->m->node[in->id].type;
    struct nir_array w = {0};
    uint64_t rows = 0, columns = 0;
    uint32_t weight, bias = IR_NONE;
    SPK_TRY(nir_array_read(l, n, "weight", true, &w));
    const bool matrix = matrix_shape(&w, &rows, &columns);
    float *data = matrix ? floats_of(&w) : NULL;
    nir_array_fini(&w);
    if (!matrix)
        return nir_refuse(l->file, l->d, n, "E0284", "weight must be a matrix [out, in]");
    if (data == NULL)
        return SPK_ERR_NOMEM;
    if (in->rank != 1 || columns != in->dim[0] || t.height > UINT16_MAX || t.width > UINT16_MAX) {
        struct strbuf what = {0};
        spk_free(data);
        strbuf_printf(&what, "weight [%llu, %llu]", (unsigned long long)rows,
                      (unsigned long long)columns);
        spk_status status = wrong_shape(l, n, in, strbuf_cstr(&what));
        if (in->rank != 1)
            diag_help_set(l->d, "put a Flatten before it");
        strbuf_fini(&what);
        return status;
    }
    /* A flattened map: one window that covers it. */
    const bool map = t.height > 1 || t.width > 1;
    const uint32_t dim[4] = {(uint32_t)rows, t.channels, t.height, t.width};
    SPK_TRY(nir_param(l, n, "weight", map ? 4 : 2, dim, data, &weight));
    if (n->type == NIR_AFFINE)
        SPK_TRY(bias_param(l, n, rows, &bias));
    struct ir_node node = {.op = map ? IR_OP_CONV2D : IR_OP_LINEAR};
    if (map)
        node.a.conv = (struct ir_attr_conv){.kernel_h = (uint16_t)t.height,
                                            .kernel_w = (uint16_t)t.width,
                                            .stride_h = 1,
                                            .stride_w = 1};
    *out = (struct nir_value){.rank = 1, .dim = {rows}};
    return add_projection(l, n, &node, in->id, weight, bias, &out->id);
}

/* ---- Scale ---- */

spk_status nir_scale(struct nir_lower *l, const struct nir_node *n, const struct nir_value *in,
                     struct nir_value *out)
{
    const struct ir_type t = l->m->node[in->id].type;
    const uint64_t elements = nir_elements(in), positions = ir_type_positions(&t);
    struct nir_array s = {0};
    SPK_TRY(nir_array_read(l, n, "scale", true, &s));
    if (s.count != elements && s.count != 1) {
        nir_array_fini(&s);
        return wrong_shape(l, n, in, "the shape of scale");
    }
    bool per_channel = true;
    for (uint64_t i = 0; s.count > 1 && i < elements && per_channel; i++)
        per_channel = s.data[i] == s.data[i / positions * positions];
    const uint64_t count = per_channel ? t.channels : elements;
    float *data = NULL;
    spk_status status = spk_alloc_array(count, sizeof *data, &data);
    for (uint64_t i = 0; status == SPK_OK && i < count; i++)
        data[i] = (float)s.data[s.count == 1 ? 0 : per_channel ? i * positions : i];
    nir_array_fini(&s);
    SPK_TRY(status);
    const uint32_t dim[3] = {t.channels, t.height, t.width};
    uint32_t param, operand = in->id;
    SPK_TRY(nir_param(l, n, "scale", per_channel ? 1 : 3, dim, data, &param));
    struct ir_node node = {
        .op = IR_OP_SCALE, .n_operands = 1, .operand = &operand, .n_params = 1, .param = &param};
    *out = *in;
    return nir_add(l, n, &node, false, &out->id);
}

/* ---- convolutions ---- */

/* Along one axis. */
struct window {
    uint64_t kernel, stride, dilation;
    uint64_t pad;   /* on both sides */
    uint64_t shift; /* of the kernel: zeros before its first tap */
    uint64_t dense; /* taps of the dense kernel */
};

struct conv {
    struct window h, w;
    uint64_t groups, out, in_per_group;
};

/* `count` whole numbers of a dataset: one for all, or one each. */
static spk_status read_numbers(struct nir_lower *l, const struct nir_node *n, const char *key,
                               uint64_t absent, uint64_t least, uint32_t count, uint64_t *out)
{
    struct nir_array a = {0};
    SPK_TRY(nir_array_read(l, n, key, false, &a));
    bool fine = a.count <= 1 || a.count == count;
    for (uint32_t i = 0; i < count && fine; i++) {
        const double x = a.count == 0 ? (double)absent : a.data[a.count == 1 ? 0 : i];
        fine = x >= (double)least && x <= 65535.0 && x == floor(x);
        out[i] = fine ? (uint64_t)x : 0;
    }
    nir_array_fini(&a);
    if (fine)
        return SPK_OK;
    return nir_refuse(l->file, l->d, n, "E0284", "%s must be %u whole numbers from %llu to 65535",
                      key, count, (unsigned long long)least);
}

/* padding: numbers, "valid" or "same". */
static spk_status read_padding(struct nir_lower *l, const struct nir_node *n, uint32_t axes,
                               struct window *const *w)
{
    const char *key = nir_key(l->g, n, "padding");
    struct h5_info info;
    uint64_t pad[2] = {0, 0};
    char *word = NULL;
    if (key == NULL)
        return SPK_ERR_NOMEM;
    if (!h5_exists(l->file, key))
        return SPK_OK;
    SPK_TRY(h5_describe(l->file, key, &info));
    if (info.kind != H5_KIND_STRING) {
        SPK_TRY(read_numbers(l, n, "padding", 0, 0, axes, pad));
        for (uint32_t i = 0; i < axes; i++)
            w[i]->pad = pad[i];
        return SPK_OK;
    }
    SPK_TRY(h5_read_string(l->file, key, NIR_MAX_NAME, &word));
    const bool same = strcmp(word, "same") == 0, valid = strcmp(word, "valid") == 0;
    spk_free(word);
    if (!same && !valid)
        return nir_refuse(l->file, l->d, n, "E0284", "padding must be numbers, 'same' or 'valid'");
    for (uint32_t i = 0; i < axes && same; i++) {
        const uint64_t total = w[i]->dilation * (w[i]->kernel - 1);
        if (w[i]->stride != 1)
            return nir_refuse(l->file, l->d, n, "E0284", "padding 'same' needs a stride of 1");
        w[i]->pad = (total + 1) / 2; /* of an odd sum the larger half comes last */
        w[i]->shift = total % 2;
    }
    return SPK_OK;
}

/* input_shape, where there is one, must be the map. */
static spk_status check_input_shape(struct nir_lower *l, const struct nir_node *n,
                                    const struct nir_value *in, uint32_t axes)
{
    struct nir_array a = {0};
    SPK_TRY(nir_array_read(l, n, "input_shape", false, &a));
    bool fine = a.count == 0 || a.count == axes;
    for (uint32_t i = 0; fine && a.count > 0 && i < axes; i++)
        fine = a.data[i] == (double)in->dim[1 + i];
    nir_array_fini(&a);
    return fine ? SPK_OK : wrong_shape(l, n, in, "input_shape");
}

/* Positions of the output along an axis, 0 where the window does not fit. */
static uint64_t window_count(const struct window *w, uint64_t size)
{
    const uint64_t padded = size + 2 * w->pad;
    return padded < w->dense ? 0 : (padded - w->dense) / w->stride + 1;
}

/* Adds conv2d with weight `dense` (heap, changes owner). */
static spk_status add_conv(struct nir_lower *l, const struct nir_node *n, const struct conv *c,
                           const struct nir_value *in, float *dense, struct nir_value *out)
{
    const struct ir_type t = l->m->node[in->id].type;
    const uint32_t dim[4] = {(uint32_t)c->out, t.channels, (uint32_t)c->h.dense,
                             (uint32_t)c->w.dense};
    uint32_t weight, bias = IR_NONE;
    SPK_TRY(nir_param(l, n, "weight", 4, dim, dense, &weight));
    if (n->type == NIR_CONV1D || n->type == NIR_CONV2D)
        SPK_TRY(bias_param(l, n, c->out, &bias));
    /* A kernel of one position along a row is a matrix for every position. */
    const bool point =
        n->type == NIR_CONV1D && c->w.dense == 1 && c->w.stride == 1 && c->w.pad == 0;
    if (point)
        l->m->param[weight].rank = 2;
    struct ir_node node = {.op = point ? IR_OP_LINEAR : IR_OP_CONV2D};
    if (!point)
        node.a.conv = (struct ir_attr_conv){.kernel_h = (uint16_t)c->h.dense,
                                            .kernel_w = (uint16_t)c->w.dense,
                                            .stride_h = (uint16_t)c->h.stride,
                                            .stride_w = (uint16_t)c->w.stride,
                                            .pad_h = (uint16_t)c->h.pad,
                                            .pad_w = (uint16_t)c->w.pad};
    SPK_TRY(add_projection(l, n, &node, in->id, weight, bias, &out->id));
    const struct ir_type *made = &l->m->node[out->id].type;
    out->rank = in->rank;
    out->dim[0] = made->channels;
    if (in->rank == 3) {
        out->dim[1] = made->height;
        out->dim[2] = made->width;
    } else {
        out->dim[1] = ir_type_positions(made);
    }
    return SPK_OK;
}

static spk_status finish_window(struct nir_lower *l, const struct nir_node *n,
                                const struct nir_value *in, const struct ir_type *t, struct conv *c)
{
    c->h.dense = c->h.shift + c->h.dilation * (c->h.kernel - 1) + 1;
    c->w.dense = c->w.shift + c->w.dilation * (c->w.kernel - 1) + 1;
    const uint64_t dense_elements[4] = {c->out, t->channels, c->h.dense, c->w.dense};
    uint64_t total;
    if (c->h.dense > UINT16_MAX || c->w.dense > UINT16_MAX ||
        !checked_product_u64(dense_elements, 4, &total) || total > NIR_MAX_ELEMENTS)
        return nir_refuse(l->file, l->d, n, "E0285",
                          "its dense kernel [%llu, %u, %llu, %llu] has more than %llu weights",
                          (unsigned long long)c->out, t->channels, (unsigned long long)c->h.dense,
                          (unsigned long long)c->w.dense, (unsigned long long)NIR_MAX_ELEMENTS);
    if (window_count(&c->h, t->height) == 0 || window_count(&c->w, t->width) == 0)
        return wrong_shape(l, n, in, "the kernel");
    return SPK_OK;
}

static float *dense_kernel(const struct conv *c, const struct nir_array *w, uint32_t in)
{
    float *dense = NULL;
    const uint64_t per_group = c->out / c->groups;
    if (spk_alloc_array(c->out * in * c->h.dense * c->w.dense, sizeof *dense, &dense) != SPK_OK)
        return NULL;
    const double *from = w->data;
    for (uint64_t o = 0; o < c->out; o++)
        for (uint64_t i = 0; i < c->in_per_group; i++) {
            const uint64_t channel = o / per_group * c->in_per_group + i;
            float *plane = dense + (o * in + channel) * c->h.dense * c->w.dense;
            for (uint64_t y = 0; y < c->h.kernel; y++)
                for (uint64_t x = 0; x < c->w.kernel; x++)
                    plane[(c->h.shift + y * c->h.dilation) * c->w.dense + c->w.shift +
                          x * c->w.dilation] = (float)*from++;
        }
    return dense;
}

/* Kernel, strides and the rest from the file; w: its weight. */
static spk_status read_conv(struct nir_lower *l, const struct nir_node *n,
                            const struct nir_value *in, const struct nir_array *w, struct conv *c)
{
    const uint32_t axes = n->type == NIR_CONV2D ? 2 : 1;
    const struct ir_type t = l->m->node[in->id].type;
    struct window *const window[2] = {axes == 2 ? &c->h : &c->w, &c->w};
    uint64_t stride[2], dilation[2];
    c->h = c->w = (struct window){.kernel = 1, .stride = 1, .dilation = 1, .dense = 1};
    SPK_TRY(read_numbers(l, n, "stride", 1, 1, axes, stride));
    SPK_TRY(read_numbers(l, n, "dilation", 1, 1, axes, dilation));
    SPK_TRY(read_numbers(l, n, "groups", 1, 1, 1, &c->groups));
    if (w->rank != axes + 2)
        return nir_refuse(l->file, l->d, n, "E0284", "weight has rank %u, %s takes rank %u",
                          w->rank, n->type_name, axes + 2);
    c->out = w->dims[0];
    c->in_per_group = w->dims[1];
    for (uint32_t i = 0; i < axes; i++) {
        window[i]->kernel = w->dims[2 + i];
        window[i]->stride = stride[i];
        window[i]->dilation = dilation[i];
        if (window[i]->kernel == 0 || window[i]->kernel > UINT16_MAX)
            return wrong_shape(l, n, in, "the kernel");
    }
    if (c->out == 0 || c->out % c->groups != 0 || c->in_per_group > t.channels ||
        c->in_per_group * c->groups != t.channels)
        return wrong_shape(l, n, in, "weight with groups");
    return read_padding(l, n, axes, window);
}

spk_status nir_conv(struct nir_lower *l, const struct nir_node *n, const struct nir_value *in,
                    struct nir_value *out)
{
    const struct ir_type t = l->m->node[in->id].type;
    const uint32_t rank = n->type == NIR_CONV2D ? 3 : 2;
    struct nir_array w = {0};
    struct conv c = {0};
    if (in->rank != rank)
        return wrong_shape(l, n, in, n->type_name);
    SPK_TRY(check_input_shape(l, n, in, rank - 1));
    SPK_TRY(nir_array_read(l, n, "weight", true, &w));
    spk_status status = read_conv(l, n, in, &w, &c);
    /* Joined axes: a window of one position may go over them, no larger one. */
    if (status == SPK_OK && rank == 2 && t.height > 1 &&
        (c.w.kernel > 1 || c.w.stride > 1 || c.w.pad > 0))
        status = nir_refuse(l->file, l->d, n, "E0289",
                            "a Conv1d over the joined rows of a map, which spikec cannot express");
    if (status == SPK_OK)
        status = finish_window(l, n, in, &t, &c);
    float *dense = status == SPK_OK ? dense_kernel(&c, &w, t.channels) : NULL;
    nir_array_fini(&w);
    if (status == SPK_OK && dense == NULL)
        return SPK_ERR_NOMEM;
    return status == SPK_OK ? add_conv(l, n, &c, in, dense, out) : status;
}

/* ---- pools ---- */

spk_status nir_pool(struct nir_lower *l, const struct nir_node *n, const struct nir_value *in,
                    struct nir_value *out)
{
    const struct ir_type t = l->m->node[in->id].type;
    struct conv c = {.groups = 1, .out = t.channels, .in_per_group = t.channels};
    uint64_t kernel[2], stride[2], pad[2];
    float *dense = NULL;
    if (in->rank != 3)
        return wrong_shape(l, n, in, n->type_name);
    SPK_TRY(read_numbers(l, n, "kernel_size", 0, 1, 2, kernel));
    SPK_TRY(read_numbers(l, n, "stride", 1, 1, 2, stride));
    SPK_TRY(read_numbers(l, n, "padding", 0, 0, 2, pad));
    c.h = (struct window){kernel[0], stride[0], 1, pad[0], 0, 0};
    c.w = (struct window){kernel[1], stride[1], 1, pad[1], 0, 0};
    SPK_TRY(finish_window(l, n, in, &t, &c));
    const uint64_t taps = kernel[0] * kernel[1];
    const float value = n->type == NIR_AVG_POOL ? 1.0f / (float)taps : 1.0f;
    SPK_TRY(spk_alloc_array((uint64_t)t.channels * t.channels * taps, sizeof *dense, &dense));
    for (uint64_t k = 0; k < t.channels; k++)
        for (uint64_t i = 0; i < taps; i++)
            dense[(k * t.channels + k) * taps + i] = value;
    return add_conv(l, n, &c, in, dense, out);
}

/* ---- Flatten ---- */

static spk_status read_axis(struct nir_lower *l, const struct nir_node *n, const char *key,
                            double absent, uint32_t rank, uint32_t *out)
{
    struct nir_array a = {0};
    SPK_TRY(nir_array_read(l, n, key, false, &a));
    double x = a.count == 1 ? a.data[0] : absent;
    const bool one = a.count <= 1;
    nir_array_fini(&a);
    if (x < 0.0)
        x += (double)rank;
    if (!one || !(x >= 0.0 && x < (double)rank) || x != floor(x))
        return nir_refuse(l->file, l->d, n, "E0284", "%s must be one of the %u axes", key, rank);
    *out = (uint32_t)x;
    return SPK_OK;
}

spk_status nir_flatten(struct nir_lower *l, const struct nir_node *n, const struct nir_value *in,
                       struct nir_value *out)
{
    struct nir_array shape = {0};
    uint32_t start, end;
    SPK_TRY(nir_array_read(l, n, "input_type", false, &shape));
    bool fine = shape.count == 0 || shape.count == in->rank;
    for (uint32_t i = 0; fine && shape.count > 0 && i < in->rank; i++)
        fine = shape.data[i] == (double)in->dim[i];
    nir_array_fini(&shape);
    if (!fine)
        return wrong_shape(l, n, in, "input_type");
    SPK_TRY(read_axis(l, n, "start_dim", 0.0, in->rank, &start));
    SPK_TRY(read_axis(l, n, "end_dim", -1.0, in->rank, &end));
    if (start > end)
        return nir_refuse(l->file, l->d, n, "E0284", "start_dim is behind end_dim");
    *out = (struct nir_value){.id = in->id};
    for (uint32_t i = 0; i < in->rank; i++) {
        if (i > start && i <= end)
            out->dim[out->rank - 1] *= in->dim[i];
        else
            out->dim[out->rank++] = in->dim[i];
    }
    return SPK_OK;
}
