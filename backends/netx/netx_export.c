/* A chain of quantised layers as netx.
 *
 * Integers are those of lava: a weight w of the file adds w << 6, so a stored q << shift becomes
 * q << (shift - 6), within -256 .. 255; a threshold fires on v > vThMant << 6, so vth must be
 * 64 k + 1 and the same for all channels; a bias is a multiple of 64. A convolution whose kernel
 * covers its map is written as flatten and dense, as netx has it. Cost: the weights. */
#include "backends/netx/netx_export.h"

#include <stdarg.h>
#include <string.h>

#include "ir/ir_text.h"
#include "support/alloc.h"
#include "support/h5.h"
#include "support/strbuf.h"

#define TYPE_LENGTH 10 /* of a layer's type, as h5py stores it */

struct netx {
    const struct ir_module *m;
    struct diag_list *d;
    struct h5_file *file;
    struct netx_figures *f;
    uint32_t layer; /* the next one */
    char path[64];
};

static spk_status refuse(const struct netx *x, uint32_t id, const char *code, const char *format,
                         ...) SPK_PRINTF(4, 5);
static spk_status refuse(const struct netx *x, uint32_t id, const char *code, const char *format,
                         ...)
{
    va_list arguments;
    va_start(arguments, format);
    spk_status status =
        diag_vreport(x->d, DIAG_ERROR, SPK_ERR_INPUT, x->m->node[id].span, code, format, arguments);
    va_end(arguments);
    return status;
}

static const char *key(struct netx *x, const char *name)
{
    spk_snprintf(x->path, sizeof x->path, "layer/%u/%s", (unsigned)x->layer, name);
    return x->path;
}

static spk_status put_numbers(struct netx *x, const char *name, uint32_t count, const int64_t *data)
{
    const uint64_t dims[1] = {count};
    return h5_write(x->file, key(x, name), H5_I64, count > 0, dims, data, 0);
}

static spk_status put_number(struct netx *x, const char *name, int64_t value)
{
    return put_numbers(x, name, 0, &value);
}

static spk_status put_layer(struct netx *x, const char *type, int64_t a, int64_t b, int64_t c)
{
    const int64_t shape[3] = {a, b, c};
    SPK_TRY(h5_write_ascii(x->file, key(x, "type"), TYPE_LENGTH, type));
    return put_numbers(x, "shape", 3, shape);
}

/* ---- neurons ---- */

static spk_status put_bias(struct netx *x, uint32_t id)
{
    const struct ir_node *n = &x->m->node[id];
    const uint64_t channels = n->type.channels;
    float *bias = NULL;
    if (n->n_params < 2)
        return SPK_OK;
    const int32_t *data = x->m->param[n->param[1]].data;
    SPK_TRY(spk_alloc_array(channels, sizeof *bias, &bias));
    spk_status status = SPK_OK;
    for (uint64_t c = 0; c < channels && status == SPK_OK; c++) {
        if (data[c] % 64 != 0 || data[c] / 64 > 131071 || data[c] / 64 < -131071)
            status =
                refuse(x, id, "E0776", "'%s': its bias %d is no multiple of 64 that netx holds",
                       n->name, data[c]);
        bias[c] = (float)(data[c] / 64);
    }
    if (status == SPK_OK && n->a.neuron.q.current_keep != 0)
        status = refuse(x, id, "E0776",
                        "'%s': a bias beside a decaying current: lava adds it to the membrane, "
                        "spikec to the current",
                        n->name);
    if (status == SPK_OK)
        status = h5_write(x->file, key(x, "bias"), H5_F32, 1, &channels, bias, 0);
    spk_free(bias);
    return status;
}

static spk_status put_neuron(struct netx *x, uint32_t id)
{
    const struct ir_node *n = &x->m->node[id];
    const struct ir_neuron_q *q = &n->a.neuron.q;
    const int32_t *vth = x->m->param[n->param[0]].data;
    const char *type = "LOIHI";
    if (vth == NULL)
        return refuse(x, id, "E0776", "'%s' has no data", n->name);
    for (uint32_t c = 1; c < n->type.channels; c++)
        if (vth[c] != vth[0])
            return refuse(x, id, "E0776",
                          "'%s': channel %u has the threshold %d, channel 0 %d; netx has one for "
                          "a layer",
                          n->name, c, vth[c], vth[0]);
    if (vth[0] < 1 || vth[0] % 64 != 1 || vth[0] / 64 > 131071)
        return refuse(x, id, "E0776", "'%s': its threshold %d is not 64 k + 1", n->name, vth[0]);
    if (q->soft_reset || q->bits != 24)
        return refuse(x, id, "E0776", "'%s': netx has 24-bit neurons that are reset to 0", n->name);
    SPK_TRY(put_bias(x, id));
    SPK_TRY(h5_write_text(x->file, key(x, "neuron/type"), 0, NULL, &type));
    SPK_TRY(put_number(x, "neuron/iDecay", 4096 - q->current_keep));
    SPK_TRY(put_number(x, "neuron/vDecay", q->decay));
    SPK_TRY(put_number(x, "neuron/vThMant", vth[0] / 64));
    SPK_TRY(put_number(x, "neuron/refDelay", 1));
    x->f->neurons += ir_type_elements(&n->type);
    return SPK_OK;
}

/* ---- projections ---- */

static spk_status put_weight(struct netx *x, uint32_t id, uint32_t rank, const uint64_t *dims)
{
    const struct ir_node *n = &x->m->node[id];
    const struct ir_param *p = &x->m->param[n->param[0]];
    const int8_t *q = p->data;
    const uint64_t count = ir_param_elements(p);
    const int shift = (int)n->a.conv.shift - 6;
    float *w = NULL;
    if (q == NULL)
        return refuse(x, id, "E0776", "'%s' has no data", p->name);
    SPK_TRY(spk_alloc_array(count, sizeof *w, &w));
    spk_status status = SPK_OK;
    for (uint64_t i = 0; i < count && status == SPK_OK; i++) {
        const int64_t value =
            shift >= 0 && shift < 24 ? (int64_t)q[i] * ((int64_t)1 << shift) : 256;
        w[i] = (float)value;
        if (value < -256 || value > 255)
            status =
                refuse(x, id, "E0776", "'%s': its weight %d << %u does not fit the 9 bits of netx",
                       p->name, q[i], n->a.conv.shift);
    }
    if (status == SPK_OK)
        status = h5_write(x->file, key(x, "weight"), H5_F32, rank, dims, w, 0);
    x->f->weights += count;
    spk_free(w);
    return status;
}

static spk_status put_dense(struct netx *x, uint32_t id)
{
    const struct ir_node *n = &x->m->node[id];
    const struct ir_param *p = &x->m->param[n->param[0]];
    const struct ir_type *in = &x->m->node[n->operand[0]].type;
    const uint64_t dims[2] = {p->dim[0], ir_type_elements(in)};
    if (ir_type_positions(in) > 1) {
        SPK_TRY(put_layer(x, "flatten", 1, 1, (int64_t)dims[1]));
        x->layer++;
    }
    SPK_TRY(put_layer(x, "dense", p->dim[0], 1, 1));
    SPK_TRY(put_number(x, "inFeatures", (int64_t)dims[1]));
    SPK_TRY(put_number(x, "outFeatures", (int64_t)dims[0]));
    return put_weight(x, id, 2, dims);
}

static spk_status put_conv(struct netx *x, uint32_t id)
{
    const struct ir_node *n = &x->m->node[id];
    const struct ir_param *p = &x->m->param[n->param[0]];
    const struct ir_attr_conv *a = &n->a.conv;
    const uint64_t dims[4] = {p->dim[0], p->dim[1], p->dim[2], p->dim[3]};
    const int64_t kernel[2] = {a->kernel_h, a->kernel_w}, stride[2] = {a->stride_h, a->stride_w};
    const int64_t pad[2] = {a->pad_h, a->pad_w}, one[2] = {1, 1};
    SPK_TRY(put_layer(x, "conv", n->type.channels, n->type.height, n->type.width));
    SPK_TRY(put_number(x, "inChannels", p->dim[1]));
    SPK_TRY(put_number(x, "outChannels", p->dim[0]));
    SPK_TRY(put_number(x, "groups", 1));
    SPK_TRY(put_numbers(x, "kernelSize", 2, kernel));
    SPK_TRY(put_numbers(x, "stride", 2, stride));
    SPK_TRY(put_numbers(x, "padding", 2, pad));
    SPK_TRY(put_numbers(x, "dilation", 2, one));
    return put_weight(x, id, 4, dims);
}

/* The projection that feeds neuron `id` and follows value `before`. */
static spk_status put_pair(struct netx *x, uint32_t id, uint32_t before)
{
    const struct ir_module *m = x->m;
    const uint32_t from = m->node[id].operand[0];
    const struct ir_node *p = &m->node[from];
    const struct ir_type *in = p->n_operands == 1 ? &m->node[p->operand[0]].type : NULL;
    if ((p->op != IR_OP_CONV2D && p->op != IR_OP_LINEAR) || in == NULL || p->operand[0] != before)
        return refuse(x, id, "E0775",
                      "'%s' is not fed by one projection of the layer before it, as netx has it",
                      m->node[id].name ? m->node[id].name : "a neuron");
    const bool covers = p->op == IR_OP_CONV2D && p->a.conv.kernel_h == in->height &&
                        p->a.conv.kernel_w == in->width && p->a.conv.pad_h == 0 &&
                        p->a.conv.pad_w == 0;
    if (p->op == IR_OP_LINEAR && ir_type_positions(in) > 1)
        return refuse(
            x, id, "E0775",
            "'%s': a matrix for every position, which netx has not; it has conv and dense",
            m->node[id].name ? m->node[id].name : "a neuron");
    SPK_TRY(p->op == IR_OP_LINEAR || covers ? put_dense(x, from) : put_conv(x, from));
    SPK_TRY(put_neuron(x, id));
    x->layer++;
    return SPK_OK;
}

/* ---- the chain ---- */

static spk_status put_input(struct netx *x, uint32_t id)
{
    const struct ir_node *n = &x->m->node[id];
    if (!n->a.input.events)
        return refuse(x, id, "E0775",
                      "the input is an image of real values; netx networks here take spikes");
    SPK_TRY(put_layer(x, "input", n->type.channels, n->type.height, n->type.width));
    x->layer++;
    return SPK_OK;
}

/* The read-out must give the rates as they are. */
static spk_status check_readout(struct netx *x, uint32_t id, uint32_t before)
{
    const struct ir_node *n = &x->m->node[id];
    const struct ir_param *p = &x->m->param[n->param[0]];
    const float *w = p->data;
    bool one = n->n_operands == 1 && n->operand[0] == before && n->n_params == 1 && w != NULL &&
               p->dim[0] == p->dim[1];
    for (uint64_t i = 0; one && i < ir_param_elements(p); i++)
        one = w[i] == (i / p->dim[1] == i % p->dim[1] ? 1.0f : 0.0f);
    return one ? SPK_OK
               : refuse(x, id, "E0775",
                        "the read-out has weights of its own, which netx cannot hold: end the "
                        "model with the spikes of its last layer");
}

static spk_status put_chain(struct netx *x)
{
    uint32_t last = IR_NONE;
    for (uint32_t i = 0; i < x->m->n_nodes; i++) {
        const struct ir_node *n = &x->m->node[i];
        switch (n->op) {
        case IR_OP_INPUT:
            SPK_TRY(put_input(x, i));
            break;
        case IR_OP_ENCODE:
            last = i;
            break;
        case IR_OP_NEURON:
            SPK_TRY(put_pair(x, i, last));
            last = i;
            break;
        case IR_OP_READOUT:
            SPK_TRY(check_readout(x, i, last));
            break;
        case IR_OP_CONV2D:
        case IR_OP_LINEAR:
        case IR_OP_OUTPUT:
            break;
        default:
            return refuse(x, i, "E0775",
                          "netx has no '%s': its layers are a chain of conv, dense "
                          "and flatten",
                          ir_op_info(n->op)->name);
        }
    }
    return SPK_OK;
}

spk_status netx_export(const struct ir_module *m, const char *path, struct diag_list *d,
                       struct netx_figures *out)
{
    struct netx x = {.m = m, .d = d, .f = out};
    const int64_t one = 1, steps = m->timesteps;
    memset(out, 0, sizeof *out);
    SPK_TRY(h5_create(path, d, &x.file));
    spk_status status = put_chain(&x);
    if (status == SPK_OK)
        status = h5_write(x.file, "simulation/Ts", H5_I64, 0, NULL, &one, 0);
    if (status == SPK_OK)
        status = h5_write(x.file, "simulation/tSample", H5_I64, 0, NULL, &steps, 0);
    out->layers = x.layer;
    if (status != SPK_OK) {
        h5_destroy(x.file);
        return status;
    }
    return h5_close(x.file);
}
