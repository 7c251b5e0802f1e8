/* Linear maps, reshapes and delays as nodes of NIR.
 *
 *   conv2d   Conv2d on maps, Conv1d on rows; where one window covers the map: Flatten, Affine
 *   linear   Affine or Linear on vectors, else Conv1d or Conv2d with a kernel of 1
 *   scale    Scale; none where it only makes currents of spikes
 *   reshape  Flatten (a map to its tokens)
 *   lag      Delay; the feedback of one step is an edge                                          */
#include <string.h>

#include "backends/nir/nir_export_internal.h"
#include "support/alloc.h"

/* "conv0" of "conv0.weight". */
static const char *stem(struct nirx *x, const struct ir_node *n)
{
    const char *name = x->m->param[n->param[0]].name, *dot = strrchr(name, '.');
    const size_t length = dot != NULL && dot != name ? (size_t)(dot - name) : strlen(name);
    return arena_printf(&x->arena, "%.*s", (int)length, name);
}

/* What a projection is applied to: behind the mean of a head, every frame and position. */
static const struct ir_type *input_of(const struct ir_module *m, const struct ir_node *n)
{
    const struct ir_node *from = &m->node[n->operand[0]];
    return from->op == IR_OP_MEAN ? &m->node[from->operand[0]].type : &from->type;
}

static const float *data_of(struct nirx *x, uint32_t id, uint32_t k)
{
    const struct ir_node *n = &x->m->node[id];
    return k < n->n_params ? x->m->param[n->param[k]].data : NULL;
}

static spk_status need_data(struct nirx *x, uint32_t id)
{
    const struct ir_node *n = &x->m->node[id];
    for (uint32_t k = 0; k < n->n_params; k++)
        if (x->m->param[n->param[k]].data == NULL)
            return nirx_refuse(x, id, "E0772", "param '%s' has no data",
                               x->m->param[n->param[k]].name);
    return SPK_OK;
}

/* `bias`, zeros where the projection has none. */
static spk_status write_bias(struct nirx *x, uint32_t id, uint32_t node, uint64_t out)
{
    const float *b = data_of(x, id, 1);
    float *zero = NULL;
    if (b != NULL)
        return nirx_floats(x, node, "bias", 1, &out, b);
    SPK_TRY(spk_alloc_array(out, sizeof *zero, &zero));
    spk_status status = nirx_floats(x, node, "bias", 1, &out, zero);
    spk_free(zero);
    return status;
}

static spk_status flatten(struct nirx *x, const char *name, const struct ir_type *t, int64_t start,
                          uint32_t *out)
{
    uint64_t dims[3];
    int64_t shape[3], end = -1;
    const uint32_t rank = nirx_shape(t, dims);
    for (uint32_t i = 0; i < rank; i++)
        shape[i] = (int64_t)dims[i];
    SPK_TRY(nirx_node(x, name, "Flatten", out));
    SPK_TRY(nirx_integers(x, *out, "input_type", rank, shape));
    SPK_TRY(nirx_integers(x, *out, "start_dim", 0, &start));
    return nirx_integers(x, *out, "end_dim", 0, &end);
}

static spk_status affine(struct nirx *x, uint32_t id, uint64_t out, uint64_t in)
{
    const bool bias = x->m->node[id].n_params > 1;
    const uint64_t dims[2] = {out, in};
    const char *name = stem(x, &x->m->node[id]);
    if (name == NULL)
        return SPK_ERR_NOMEM;
    SPK_TRY(nirx_node(x, name, bias ? "Affine" : "Linear", &x->node[id]));
    SPK_TRY(nirx_floats(x, x->node[id], "weight", 2, dims, data_of(x, id, 0)));
    return bias ? write_bias(x, id, x->node[id], out) : SPK_OK;
}

/* One window covers the map: a matrix on the flattened map. */
static spk_status matrix(struct nirx *x, uint32_t id)
{
    const struct ir_node *n = &x->m->node[id];
    const struct ir_param *w = &x->m->param[n->param[0]];
    const struct ir_type *in = &x->m->node[n->operand[0]].type;
    uint64_t dims[3];
    SPK_TRY(affine(x, id, w->dim[0], (uint64_t)w->dim[1] * w->dim[2] * w->dim[3]));
    if (nirx_shape(in, dims) == 1)
        return SPK_OK;
    const char *name = arena_printf(&x->arena, "%s.flatten", x->name.data[x->node[id]]);
    if (name == NULL)
        return SPK_ERR_NOMEM;
    SPK_TRY(flatten(x, name, in, 0, &x->first[id]));
    return nirx_edge(x, x->first[id], x->node[id]);
}

static spk_status convolution(struct nirx *x, uint32_t id, uint32_t axes,
                              const struct ir_attr_conv *a)
{
    const struct ir_node *n = &x->m->node[id];
    const struct ir_param *w = &x->m->param[n->param[0]];
    const struct ir_type *in = input_of(x->m, n);
    const int64_t one[2] = {1, 1};
    const int64_t stride[2] = {a->stride_h, a->stride_w}, pad[2] = {a->pad_h, a->pad_w};
    const int64_t size[2] = {in->height, in->width}, joined = (int64_t)ir_type_positions(in);
    const uint64_t dims[4] = {w->dim[0], w->dim[1], a->kernel_h, a->kernel_w};
    const uint64_t row[3] = {w->dim[0], w->dim[1], a->kernel_w};
    const uint32_t skip = 2 - axes;
    const char *name = stem(x, n);
    if (name == NULL)
        return SPK_ERR_NOMEM;
    SPK_TRY(nirx_node(x, name, axes == 2 ? "Conv2d" : "Conv1d", &x->node[id]));
    const uint32_t node = x->node[id];
    SPK_TRY(nirx_floats(x, node, "weight", axes + 2, axes == 2 ? dims : row, data_of(x, id, 0)));
    SPK_TRY(write_bias(x, id, node, w->dim[0]));
    SPK_TRY(nirx_integers(x, node, "stride", axes == 2 ? 2 : 0, stride + skip));
    SPK_TRY(nirx_integers(x, node, "padding", axes == 2 ? 2 : 0, pad + skip));
    SPK_TRY(nirx_integers(x, node, "dilation", axes == 2 ? 2 : 0, one));
    SPK_TRY(nirx_integers(x, node, "groups", 0, one));
    return nirx_integers(x, node, "input_shape", axes == 2 ? 2 : 0, axes == 2 ? size : &joined);
}

static spk_status conv2d(struct nirx *x, uint32_t id)
{
    const struct ir_node *n = &x->m->node[id];
    const struct ir_type *in = &x->m->node[n->operand[0]].type;
    const struct ir_attr_conv *a = &n->a.conv;
    uint64_t dims[3];
    const uint32_t rank = nirx_shape(in, dims), result = nirx_shape(&n->type, dims);
    if (a->kernel_h == in->height && a->kernel_w == in->width && a->pad_h == 0 && a->pad_w == 0)
        return matrix(x, id);
    if (rank == 3 && result == 3)
        return convolution(x, id, 2, a);
    if (rank == 2 && result == 2 && a->kernel_h == 1 && a->pad_h == 0)
        return convolution(x, id, 1, a);
    return nirx_refuse(x, id, "E0771",
                       "convolution '%s' changes the number of axes (a map of one row or one "
                       "position), which NIR's do not",
                       x->m->param[n->param[0]].name);
}

static spk_status linear(struct nirx *x, uint32_t id)
{
    const struct ir_node *n = &x->m->node[id];
    const struct ir_param *w = &x->m->param[n->param[0]];
    const struct ir_attr_conv point = {.kernel_h = 1, .kernel_w = 1, .stride_h = 1, .stride_w = 1};
    uint64_t dims[3];
    const uint32_t rank = nirx_shape(input_of(x->m, n), dims);
    return rank == 1 ? affine(x, id, w->dim[0], w->dim[1]) : convolution(x, id, rank - 1, &point);
}

bool nirx_is_identity(const struct ir_module *m, const struct ir_node *n)
{
    if (n->op != IR_OP_SCALE || m->param[n->param[0]].data == NULL)
        return false;
    const struct ir_param *p = &m->param[n->param[0]];
    const float *data = p->data;
    bool one = m->node[n->operand[0]].type.kind != IR_CURRENT;
    for (uint64_t i = 0; one && i < ir_param_elements(p); i++)
        one = data[i] == 1.0f;
    return one;
}

static spk_status scale(struct nirx *x, uint32_t id)
{
    const struct ir_node *n = &x->m->node[id];
    const struct ir_param *p = &x->m->param[n->param[0]];
    const float *data = p->data;
    uint64_t dims[3];
    const uint32_t rank = nirx_shape(&n->type, dims);
    const uint64_t count = ir_type_elements(&n->type), positions = ir_type_positions(&n->type);
    const char *name = stem(x, n);
    float *all = NULL;
    if (name == NULL)
        return SPK_ERR_NOMEM;
    SPK_TRY(nirx_node(x, name, "Scale", &x->node[id]));
    SPK_TRY(spk_alloc_array(count, sizeof *all, &all));
    for (uint64_t i = 0; i < count; i++)
        all[i] = data[p->rank > 1 ? i : i / positions];
    spk_status status = nirx_floats(x, x->node[id], "scale", rank, dims, all);
    spk_free(all);
    return status;
}

static spk_status reshape(struct nirx *x, uint32_t id)
{
    const struct ir_node *n = &x->m->node[id];
    const struct ir_type *in = &x->m->node[n->operand[0]].type;
    uint64_t dims[3];
    const uint32_t rank = nirx_shape(in, dims);
    const char *name = arena_printf(&x->arena, "flatten.%u", id);
    if (name == NULL)
        return SPK_ERR_NOMEM;
    if (rank == nirx_shape(&n->type, dims) || rank < 3)
        return SPK_OK; /* the same axes */
    return flatten(x, name, in, 1, &x->node[id]);
}

static spk_status lag(struct nirx *x, uint32_t id)
{
    const struct ir_node *n = &x->m->node[id];
    const char *name = arena_printf(&x->arena, "delay.%u", id);
    if (name == NULL)
        return SPK_ERR_NOMEM;
    if (n->n_operands == 0 && n->a.lag.steps == 1)
        return SPK_OK;
    SPK_TRY(nirx_node(x, name, "Delay", &x->node[id]));
    return nirx_filled(x, x->node[id], "delay", &n->type, (double)n->a.lag.steps * x->dt);
}

spk_status nirx_linear(struct nirx *x, uint32_t id)
{
    SPK_TRY(need_data(x, id));
    switch (x->m->node[id].op) {
    case IR_OP_CONV2D:
        return conv2d(x, id);
    case IR_OP_LINEAR:
        return linear(x, id);
    case IR_OP_SCALE:
        return nirx_is_identity(x->m, &x->m->node[id]) ? SPK_OK : scale(x, id);
    case IR_OP_RESHAPE:
        return reshape(x, id);
    default:
        return lag(x, id);
    }
}
