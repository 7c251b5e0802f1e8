/* Dense and convolution layers of lava-dl networks, and their neurons.
 *
 * A weight w adds w << 6 to the current. Weights that are all even are stored as w / 2 with shift
 * 7, as Loihi does with weights of both signs; others must fit 8 bits and have shift 6, and only
 * one sign, since lava drops the lowest bit of mixed ones. The decays are lava's: u keeps
 * 4096 - iDecay, v loses vDecay of 4096; fires where v > vThMant << 6. Groups and dilation are
 * spelled out as zeros. A flatten is a convolution whose kernel covers the map: the columns of the
 * dense weight behind it are channel, row, column, as in the file. */
#include "frontend/netx_layer.h"

#include <math.h>
#include <string.h>

#include "support/alloc.h"
#include "support/checked.h"

#define STATE_BITS 24

/* A projection before its weights are known to fit. */
struct weights {
    uint32_t out, in, kh, kw; /* dense */
    double *w;                /* [out][in][kh][kw], heap */
};

/* Stored as q << shift of the current; see the head of the file. */
static spk_status store_weights(struct netx *x, const struct weights *w, uint8_t *shift,
                                int8_t **out)
{
    const uint64_t n = (uint64_t)w->out * w->in * w->kh * w->kw;
    bool even = true, plus = false, minus = false, byte = true;
    for (uint64_t i = 0; i < n; i++) {
        even = even && fmod(w->w[i], 2.0) == 0.0;
        byte = byte && w->w[i] >= -128.0 && w->w[i] <= 127.0;
        plus = plus || w->w[i] > 0.0;
        minus = minus || w->w[i] < 0.0;
    }
    if (!even && plus && minus)
        return netx_refuse(
            x, "weight", "E0295",
            "odd weights of both signs: Loihi keeps even ones only, and lava would drop "
            "the lowest bit");
    if (!even && !byte)
        return netx_refuse(x, "weight", "E0295", "odd weights above 127 need 9 bits, spikec has 8");
    SPK_TRY(spk_alloc_array(n, sizeof **out, out));
    for (uint64_t i = 0; i < n; i++)
        (*out)[i] = (int8_t)(even ? w->w[i] / 2.0 : w->w[i]);
    *shift = even ? 7 : 6;
    return SPK_OK;
}

static spk_status add_projection(struct netx *x, const struct weights *w,
                                 const struct ir_attr_conv *conv)
{
    const bool matrix = conv == NULL;
    const uint32_t dim[4] = {w->out, w->in, w->kh, w->kw};
    struct ir_node n = {.op = matrix ? IR_OP_LINEAR : IR_OP_CONV2D};
    uint32_t param;
    uint8_t shift = 0;
    int8_t *data = NULL;
    SPK_TRY(store_weights(x, w, &shift, &data));
    SPK_TRY(netx_param(x, "weight", IR_DT_I8, matrix ? 2 : 4, dim, data, &param));
    if (conv)
        n.a.conv = *conv;
    n.a.conv.shift = shift;
    n.param = &param;
    n.n_params = 1;
    return netx_node(x, &n, NULL);
}

/* ---- neurons ---- */

static spk_status check_neuron(struct netx *x)
{
    const char *type;
    int64_t number;
    SPK_TRY(netx_word(x, "neuron/type", &type));
    if (strcmp(type, "LOIHI") != 0 && strcmp(type, "CUBA") != 0)
        return netx_refuse(x, "neuron/type", "E0296",
                           "neurons of type '%s', which spikec does not read; it reads LOIHI, CUBA",
                           type);
    SPK_TRY(netx_few(x, "neuron/refDelay", 1, 0, 65535, 1, &number));
    if (number > 1)
        return netx_refuse(x, "neuron/refDelay", "E0296",
                           "a refractory time of %lld steps, which spikec cannot express",
                           (long long)number);
    SPK_TRY(netx_few(x, "neuron/gradedSpike", 0, 0, 1, 1, &number));
    if (number != 0)
        return netx_refuse(x, "neuron/gradedSpike", "E0296",
                           "neurons that send graded spikes, which spikec cannot express");
    SPK_TRY(netx_few(x, "delay", 0, 0, 65535, 1, &number));
    return number == 0
               ? SPK_OK
               : netx_refuse(x, "delay", "E0296", "synaptic delays, which spikec does not read");
}

/* bias << 6 for every channel; IR_NONE where there is none. */
static spk_status read_bias(struct netx *x, uint32_t channels, uint32_t *out)
{
    struct h5_info info;
    double *data;
    int32_t *bias = NULL;
    *out = IR_NONE;
    SPK_TRY(netx_whole(x, "bias", false, -131071, 131071, &info, &data));
    bool any = false;
    for (uint64_t i = 0; i < info.count; i++)
        any = any || data[i] != 0.0;
    spk_status status = SPK_OK;
    if (any && info.count != channels)
        status = netx_refuse(x, "bias", "E0294", "%llu values for %u channels",
                             (unsigned long long)info.count, channels);
    if (status == SPK_OK && any)
        status = spk_alloc_array(channels, sizeof *bias, &bias);
    for (uint32_t c = 0; status == SPK_OK && any && c < channels; c++)
        bias[c] = (int32_t)data[c] * 64;
    spk_free(data);
    SPK_TRY(status);
    return any ? netx_param(x, "bias", IR_DT_I32, 1, &channels, bias, out) : SPK_OK;
}

static spk_status add_neuron(struct netx *x)
{
    const uint32_t channels = x->m->node[x->at].type.channels;
    int64_t current, decay, threshold;
    uint32_t params[2];
    int32_t *vth = NULL;
    const char *path = netx_path(x, "neuron");
    if (path == NULL)
        return SPK_ERR_NOMEM;
    if (!h5_exists(x->file, path))
        return netx_refuse(x, "", "E0292", "it has no neurons");
    SPK_TRY(check_neuron(x));
    SPK_TRY(netx_few(x, "neuron/iDecay", -1, 0, 4096, 1, &current));
    SPK_TRY(netx_few(x, "neuron/vDecay", -1, 0, 4096, 1, &decay));
    SPK_TRY(netx_few(x, "neuron/vThMant", -1, 0, 131071, 1, &threshold));
    SPK_TRY(read_bias(x, channels, &params[1]));
    if (params[1] != IR_NONE && current != 4096)
        return netx_refuse(x, "bias", "E0296",
                           "a bias beside a decaying current (iDecay %lld): lava adds it to the "
                           "membrane, spikec to the current",
                           (long long)current);
    SPK_TRY(spk_alloc_array(channels, sizeof *vth, &vth));
    for (uint32_t c = 0; c < channels; c++)
        vth[c] = (int32_t)threshold * 64 + 1;
    SPK_TRY(netx_param(x, "vth", IR_DT_I32, 1, &channels, vth, &params[0]));
    struct ir_node n = {.op = IR_OP_NEURON,
                        .param = params,
                        .n_params = params[1] == IR_NONE ? 1 : 2,
                        .a.neuron = {.program = IR_NONE,
                                     .q = {.decay = (uint16_t)decay,
                                           .bits = STATE_BITS,
                                           .current_keep = (uint16_t)(4096 - current)}}};
    const char *name = arena_printf(&x->arena, "layer.%u", x->index);
    if (name == NULL)
        return SPK_ERR_NOMEM;
    SPK_TRY(netx_node(x, &n, name));
    x->m->node[x->at].recorded = true;
    return SPK_OK;
}

/* ---- layers ---- */

/* The file's shape, where it has one, must be what comes out. */
static spk_status check_shape(struct netx *x, const int64_t *dims)
{
    int64_t have[3];
    SPK_TRY(netx_few(x, "shape", 0, 1, 1e9, 3, have));
    if (have[0] == 0 || memcmp(have, dims, sizeof have) == 0)
        return SPK_OK;
    return netx_refuse(x, "shape", "E0294",
                       "[%lld, %lld, %lld], but the layer gives [%lld, %lld, %lld]",
                       (long long)have[0], (long long)have[1], (long long)have[2],
                       (long long)dims[0], (long long)dims[1], (long long)dims[2]);
}

static spk_status check_output(struct netx *x)
{
    const struct ir_type *t = &x->m->node[x->at].type;
    const int64_t dims[3] = {t->channels, t->height, t->width};
    return check_shape(x, dims);
}

spk_status netx_dense(struct netx *x)
{
    const struct ir_type t = x->m->node[x->at].type;
    const uint64_t in = ir_type_elements(&t);
    const bool map = ir_type_positions(&t) > 1;
    struct h5_info info;
    struct weights w = {.in = t.channels, .kh = t.height, .kw = t.width};
    int64_t features;
    SPK_TRY(netx_keys(x, "dense", "type shape neuron weight bias inFeatures outFeatures delay"));
    if (map && !x->flat)
        return netx_refuse(x, "", "E0294", "a dense layer on a map: there is no flatten before it");
    SPK_TRY(netx_whole(x, "weight", true, -256, 255, &info, &w.w));
    const uint64_t rows = info.rank == 2 ? info.dims[0] : 1;
    spk_status status = SPK_OK;
    if (info.rank < 1 || info.rank > 2 || rows == 0 || rows > UINT32_MAX || info.count != rows * in)
        status = netx_refuse(x, "weight", "E0294", "%llu weights do not make rows of %llu inputs",
                             (unsigned long long)info.count, (unsigned long long)in);
    w.out = (uint32_t)rows;
    if (status == SPK_OK)
        status = netx_few(x, "outFeatures", (int64_t)rows, 0, 1e9, 1, &features);
    if (status == SPK_OK && features != (int64_t)rows)
        status = netx_refuse(x, "outFeatures", "E0294", "%lld, but the weight has %llu rows",
                             (long long)features, (unsigned long long)rows);
    const struct ir_attr_conv all = {.kernel_h = (uint16_t)t.height,
                                     .kernel_w = (uint16_t)t.width,
                                     .stride_h = 1,
                                     .stride_w = 1};
    if (status == SPK_OK)
        status = add_projection(x, &w, map ? &all : NULL);
    spk_free(w.w);
    SPK_TRY(status);
    x->flat = false;
    SPK_TRY(add_neuron(x));
    return check_output(x);
}

struct conv {
    int64_t stride[2], pad[2], dilation[2], groups, in;
};

/* Zeros for other groups and between dilated taps. */
static spk_status spread(struct netx *x, const struct conv *c, const struct h5_info *info,
                         const double *from, struct weights *w)
{
    const uint64_t kh = info->dims[2], kw = info->dims[3], per_group = info->dims[1];
    const uint64_t dense_h = (uint64_t)c->dilation[0] * (kh - 1) + 1;
    const uint64_t dense_w = (uint64_t)c->dilation[1] * (kw - 1) + 1;
    const uint64_t factors[4] = {info->dims[0], (uint64_t)c->in, dense_h, dense_w};
    uint64_t total;
    if (dense_h > UINT16_MAX || dense_w > UINT16_MAX || !checked_product_u64(factors, 4, &total) ||
        total > NETX_MAX_ELEMENTS)
        return netx_refuse(x, "weight", "E0294", "its dense kernel has more than %llu weights",
                           (unsigned long long)NETX_MAX_ELEMENTS);
    *w = (struct weights){(uint32_t)info->dims[0], (uint32_t)c->in, (uint32_t)dense_h,
                          (uint32_t)dense_w, NULL};
    SPK_TRY(spk_alloc_array(total, sizeof *w->w, &w->w));
    const uint64_t out_per_group = w->out / (uint64_t)c->groups;
    for (uint64_t o = 0; o < w->out; o++)
        for (uint64_t i = 0; i < per_group; i++) {
            const uint64_t channel = o / out_per_group * per_group + i;
            double *plane = w->w + (o * w->in + channel) * dense_h * dense_w;
            for (uint64_t y = 0; y < kh; y++)
                for (uint64_t k = 0; k < kw; k++)
                    plane[y * (uint64_t)c->dilation[0] * dense_w + k * (uint64_t)c->dilation[1]] =
                        *from++;
        }
    return SPK_OK;
}

static spk_status conv_weights(struct netx *x, const struct conv *c, struct weights *out)
{
    const struct ir_type *t = &x->m->node[x->at].type;
    struct h5_info info;
    double *data;
    SPK_TRY(netx_whole(x, "weight", true, -256, 255, &info, &data));
    bool fine = info.rank == 4 && info.count > 0 && info.dims[0] <= UINT16_MAX &&
                info.dims[1] <= UINT16_MAX && info.dims[2] <= UINT16_MAX &&
                info.dims[3] <= UINT16_MAX;
    fine = fine && info.dims[0] % (uint64_t)c->groups == 0 &&
           info.dims[1] * (uint64_t)c->groups == (uint64_t)c->in && (uint64_t)c->in == t->channels;
    spk_status status =
        fine ? spread(x, c, &info, data, out)
             : netx_refuse(x, "weight", "E0294",
                           "it does not go with %lld groups of an input of %u channels",
                           (long long)c->groups, t->channels);
    spk_free(data);
    return status;
}

spk_status netx_conv(struct netx *x)
{
    const struct ir_type t = x->m->node[x->at].type;
    struct conv c;
    struct weights w = {0};
    SPK_TRY(netx_keys(x, "conv",
                      "type shape neuron weight bias inChannels outChannels groups kernelSize "
                      "stride padding dilation delay"));
    if (x->flat)
        return netx_refuse(x, "", "E0294", "a convolution behind a flatten");
    SPK_TRY(netx_few(x, "stride", 1, 1, 65535, 2, c.stride));
    SPK_TRY(netx_few(x, "padding", 0, 0, 65535, 2, c.pad));
    SPK_TRY(netx_few(x, "dilation", 1, 1, 65535, 2, c.dilation));
    SPK_TRY(netx_few(x, "groups", 1, 1, 65535, 1, &c.groups));
    SPK_TRY(netx_few(x, "inChannels", t.channels, 1, 65535, 1, &c.in));
    spk_status status = conv_weights(x, &c, &w);
    const struct ir_attr_conv conv = {.kernel_h = (uint16_t)w.kh,
                                      .kernel_w = (uint16_t)w.kw,
                                      .stride_h = (uint16_t)c.stride[0],
                                      .stride_w = (uint16_t)c.stride[1],
                                      .pad_h = (uint16_t)c.pad[0],
                                      .pad_w = (uint16_t)c.pad[1]};
    if (status == SPK_OK && (t.height + 2 * conv.pad_h < w.kh || t.width + 2 * conv.pad_w < w.kw))
        status = netx_refuse(x, "weight", "E0294", "the kernel is larger than the padded map");
    if (status == SPK_OK)
        status = add_projection(x, &w, &conv);
    spk_free(w.w);
    SPK_TRY(status);
    SPK_TRY(add_neuron(x));
    return check_output(x);
}
