/* A NIR graph becomes an IR module: settings, input, the nodes in order, feedback, output.
 *
 * Several edges into a node are a sum. Sums of spikes are counts; where kinds differ, or in front
 * of a neuron, spikes become currents by a scale of 1. The output's spikes are read out as the rate
 * of every channel (mean over positions and time, behind an identity matrix, as read-outs have
 * weights); of an output that is no spikes the mean is the result. Cost: nodes and edges, and the
 * weights.                                                       */
#include "frontend/nir.h"

#include <math.h>
#include <string.h>

#include "frontend/nir_lower.h"
#include "support/alloc.h"
#include "support/checked.h"

#define MAX_IDENTITY 4096u /* channels of an output that is read out through a matrix */

/* ---- helpers that all of nir*.c use ---- */

spk_status nir_array_read(struct nir_lower *l, const struct nir_node *n, const char *key,
                          bool needed, struct nir_array *out)
{
    const char *path = nir_key(l->g, n, key);
    struct h5_info info;
    *out = (struct nir_array){0};
    if (path == NULL)
        return SPK_ERR_NOMEM;
    if (!needed && !h5_exists(l->file, path))
        return SPK_OK;
    SPK_TRY(h5_read_as_f64(l->file, path, NIR_MAX_ELEMENTS, &info, &out->data));
    out->count = info.count;
    out->rank = info.rank;
    memcpy(out->dims, info.dims, sizeof out->dims);
    bool fine = info.count > 0 || !needed;
    for (uint64_t i = 0; i < info.count && fine; i++)
        fine = isfinite(out->data[i]);
    if (fine)
        return SPK_OK;
    nir_array_fini(out);
    return nir_refuse(l->file, l->d, n, "E0284",
                      info.count > 0 ? "%s holds a value that is not finite" : "%s is empty", key);
}

void nir_array_fini(struct nir_array *a)
{
    spk_free(a->data);
    *a = (struct nir_array){0};
}

spk_status nir_param(struct nir_lower *l, const struct nir_node *n, const char *key, uint32_t rank,
                     const uint32_t *dim, float *data, uint32_t *out)
{
    struct ir_param p = {
        .dtype = IR_DT_F32, .rank = rank, .data = data, .span = h5_place(l->file, n->path)};
    spk_status status = ir_module_own(l->m, data);
    if (status != SPK_OK) {
        spk_free(data);
        return status;
    }
    memcpy(p.dim, dim, rank * sizeof *dim);
    p.name = arena_printf(&l->g->arena, "%s.%s", n->name, key);
    if (p.name == NULL)
        return SPK_ERR_NOMEM;
    if (ir_find_param(l->m, p.name) != IR_NONE)
        return nir_refuse(l->file, l->d, n, "E0284", "a second node is called '%s'", n->name);
    return ir_add_param(l->m, &p, out);
}

spk_status nir_add(struct nir_lower *l, const struct nir_node *n, struct ir_node *node, bool named,
                   uint32_t *out)
{
    uint32_t id; /* `out` may be the node's operand */
    node->span = h5_place(l->file, n->path);
    SPK_TRY(ir_add_node(l->m, node, l->d, &id));
    *out = id;
    struct ir_node *made = &l->m->node[*out];
    if (!named)
        return SPK_OK;
    made->name = arena_strdup(&l->m->arena, n->name);
    made->recorded = made->type.kind == IR_SPIKE || made->type.kind == IR_COUNT;
    return made->name ? SPK_OK : SPK_ERR_NOMEM;
}

spk_status nir_need_dt(struct nir_lower *l, const struct nir_node *n)
{
    if (l->dt > 0.0)
        return SPK_OK;
    spk_status status =
        nir_refuse(l->file, l->d, n, "E0290",
                   "%s is defined in continuous time, and no time step is given", n->type_name);
    diag_help_set(l->d, "give the step with --dt SECONDS; the file has none in its metadata (dt)");
    return status;
}

uint64_t nir_elements(const struct nir_value *v)
{
    uint64_t n = 1;
    for (uint32_t i = 0; i < v->rank; i++)
        n *= v->dim[i];
    return n;
}

void nir_shape_text(const struct nir_value *v, struct strbuf *out)
{
    strbuf_char(out, '[');
    for (uint32_t i = 0; i < v->rank; i++)
        strbuf_printf(out, "%s%llu", i ? ", " : "", (unsigned long long)v->dim[i]);
    strbuf_char(out, ']');
}

/* ---- input and output ---- */

/* The shape of an Input, Output or neuron parameter. */
static spk_status shape_of(struct nir_lower *l, const struct nir_node *n, const double *dims,
                           uint64_t rank, struct nir_value *out)
{
    uint64_t total = 1;
    bool fine = rank >= 1 && rank <= 3;
    *out = (struct nir_value){.id = IR_NONE, .rank = (uint32_t)rank};
    for (uint64_t i = 0; i < rank && fine; i++) {
        fine = dims[i] >= 1.0 && dims[i] <= (double)NIR_MAX_ELEMENTS && dims[i] == floor(dims[i]);
        out->dim[i] = fine ? (uint64_t)dims[i] : 0;
        fine = fine && checked_mul_u64(total, out->dim[i], &total) && total <= NIR_MAX_ELEMENTS;
    }
    if (fine)
        return SPK_OK;
    return nir_refuse(l->file, l->d, n, "E0284",
                      "its shape must have 1 to 3 axes and at most %llu elements",
                      (unsigned long long)NIR_MAX_ELEMENTS);
}

static void layout_of(const struct nir_value *v, struct ir_type *t)
{
    t->layout = IR_CHW;
    t->channels = (uint32_t)v->dim[0];
    t->height = v->rank == 3 ? (uint32_t)v->dim[1] : 1;
    t->width = v->rank == 1 ? 1 : (uint32_t)v->dim[v->rank - 1];
}

static spk_status build_input(struct nir_lower *l, const struct nir_node *n,
                              const struct nir_settings *s, struct nir_value *out)
{
    struct nir_array shape = {0};
    struct ir_node node = {.op = IR_OP_INPUT};
    SPK_TRY(nir_array_read(l, n, "shape", true, &shape));
    spk_status status = shape_of(l, n, shape.data, shape.count, out);
    nir_array_fini(&shape);
    SPK_TRY(status);
    layout_of(out, &node.type);
    node.a.input.events = !s->fixed && !s->analog;
    node.a.input.series = s->analog;
    if (s->fixed && s->n_norm > 0) {
        node.a.input.normalise = true;
        node.a.input.n_norm = s->n_norm;
        memcpy(node.a.input.mean, s->mean, sizeof s->mean);
        memcpy(node.a.input.std, s->std, sizeof s->std);
    }
    SPK_TRY(nir_add(l, n, &node, true, &out->id));
    l->m->node[out->id].recorded = false;
    if (!s->fixed)
        return SPK_OK;
    uint32_t operand = out->id;
    struct ir_node repeat = {.op = IR_OP_REPEAT, .n_operands = 1, .operand = &operand};
    repeat.a.repeat = s->timesteps;
    return nir_add(l, n, &repeat, false, &out->id);
}

static bool is_spiking(const struct nir_lower *l, uint32_t id)
{
    const enum ir_kind kind = l->m->node[id].type.kind;
    return kind == IR_SPIKE || kind == IR_COUNT;
}

static spk_status read_rates(struct nir_lower *l, const struct nir_node *n, uint32_t mean,
                             uint32_t *out)
{
    const uint32_t channels = l->m->node[mean].type.channels, dim[2] = {channels, channels};
    uint32_t weight, operand = mean;
    float *one = NULL;
    SPK_TRY(spk_alloc_array((size_t)channels * channels, sizeof *one, &one));
    for (size_t c = 0; c < channels; c++)
        one[c * channels + c] = 1.0f;
    SPK_TRY(nir_param(l, n, "identity", 2, dim, one, &weight));
    struct ir_node node = {
        .op = IR_OP_LINEAR, .n_operands = 1, .operand = &operand, .n_params = 1, .param = &weight};
    return nir_add(l, n, &node, false, out);
}

/* The matrix in front of an output: applied to every position of spikes, and to be read as a mean.
 * The mean of the spikes may come first, which is the same and needs no synapses. */
struct head {
    uint32_t n_params, param[2]; /* 0: none */
};

/* Whether only one edge brings the value on. */
static bool has_one_user(const struct nir_lower *l, uint32_t id)
{
    uint32_t users = 0;
    for (size_t i = 0; i < l->g->edges.len; i++)
        users += l->value[l->g->edges.data[i].from].id == id;
    return users == 1;
}

/* Takes the projection that *at is, the last node of the module, off again. */
static spk_status take_head(struct nir_lower *l, uint32_t *at, struct head *out)
{
    const struct ir_node *p = &l->m->node[*at];
    const struct ir_attr_conv *a = &p->a.conv;
    const bool point = p->op == IR_OP_LINEAR ||
                       (p->op == IR_OP_CONV2D && a->kernel_h == 1 && a->kernel_w == 1 &&
                        a->stride_h == 1 && a->stride_w == 1 && a->pad_h == 0 && a->pad_w == 0);
    *out = (struct head){0};
    if (!point || p->n_operands != 1 || !is_spiking(l, p->operand[0]) || *at + 1 != l->m->n_nodes ||
        !has_one_user(l, *at))
        return SPK_OK;
    out->n_params = p->n_params;
    memcpy(out->param, p->param, p->n_params * sizeof *p->param);
    l->m->param[out->param[0]].rank = 2; /* was [out, in, 1, 1] */
    *at = p->operand[0];
    l->m->n_nodes--;
    return SPK_OK;
}

static spk_status build_output(struct nir_lower *l, const struct nir_node *n,
                               const struct nir_value *in)
{
    struct nir_array shape = {0};
    uint32_t at = in->id;
    SPK_TRY(nir_array_read(l, n, "shape", false, &shape));
    bool fine = shape.count == 0 || shape.count == in->rank;
    for (uint32_t i = 0; fine && shape.count > 0 && i < in->rank; i++)
        fine = shape.data[i] == (double)in->dim[i];
    nir_array_fini(&shape);
    if (!fine) {
        struct strbuf text = {0};
        nir_shape_text(in, &text);
        spk_status status =
            nir_refuse(l->file, l->d, n, "E0284", "its shape is not that of what comes in, %s",
                       strbuf_cstr(&text));
        strbuf_fini(&text);
        return status;
    }
    struct head head;
    SPK_TRY(take_head(l, &at, &head));
    struct ir_node mean = {.op = IR_OP_MEAN, .n_operands = 1, .operand = &at};
    const bool spikes = is_spiking(l, at);
    SPK_TRY(nir_add(l, n, &mean, false, &at));
    struct ir_node matrix = {.op = IR_OP_LINEAR,
                             .n_operands = 1,
                             .operand = &at,
                             .n_params = head.n_params,
                             .param = head.param};
    if (head.n_params > 0)
        SPK_TRY(nir_add(l, n, &matrix, false, &at));
    else if (spikes && l->m->node[at].type.channels <= MAX_IDENTITY)
        SPK_TRY(read_rates(l, n, at, &at));
    struct ir_node out = {.op = IR_OP_OUTPUT, .n_operands = 1, .operand = &at};
    return nir_add(l, n, &out, true, &at);
}

/* ---- feedback ---- */

/* Shape and kind of a value that is built later, from the node's own parameters. */
static spk_status foresee(struct nir_lower *l, const struct nir_node *n, struct nir_value *out,
                          struct ir_type *t)
{
    const bool matrix = n->type == NIR_AFFINE || n->type == NIR_LINEAR;
    const bool spikes = n->type == NIR_IF || n->type == NIR_LIF || n->type == NIR_CUBA_LIF;
    struct nir_array a = {0};
    double dims[H5_MAX_RANK] = {1.0};
    if (!matrix && (!nir_has_state(n->type) || n->type == NIR_DELAY))
        return nir_refuse(l->file, l->d, n, "E0289",
                          "feedback from a %s, which spikec cannot express", n->type_name);
    SPK_TRY(nir_array_read(l, n, matrix ? "weight" : "r", true, &a));
    for (uint32_t i = 0; i < a.rank; i++)
        dims[i] = (double)a.dims[i];
    if (matrix && a.rank >= 2)
        dims[0] = (double)a.dims[a.rank - 2];
    const uint32_t rank = matrix || a.rank == 0 ? 1 : a.rank;
    nir_array_fini(&a);
    SPK_TRY(shape_of(l, n, dims, rank, out));
    layout_of(out, t);
    t->kind = spikes ? IR_SPIKE : IR_CURRENT;
    t->bound = spikes;
    return SPK_OK;
}

/* The value that feedback edge `edge` brings. */
static spk_status build_feedback(struct nir_lower *l, uint32_t edge, uint32_t steps,
                                 struct nir_value *out)
{
    const struct nir_node *from = &l->g->nodes.data[l->g->edges.data[edge].from];
    struct ir_node node = {.op = IR_OP_LAG, .a.lag = {.steps = steps, .source = 0}};
    SPK_TRY(foresee(l, from, out, &node.type));
    SPK_TRY(nir_add(l, from, &node, false, &out->id));
    l->lag[edge] = out->id;
    return SPK_OK;
}

/* Names the sources, which are built now. */
static spk_status close_feedbacks(struct nir_lower *l)
{
    for (size_t i = 0; i < l->g->edges.len; i++) {
        const struct nir_node *from = &l->g->nodes.data[l->g->edges.data[i].from];
        if (l->lag[i] == IR_NONE)
            continue;
        struct ir_node *lag = &l->m->node[l->lag[i]];
        lag->a.lag.source = l->value[l->g->edges.data[i].from].id;
        const struct ir_type *t = &l->m->node[lag->a.lag.source].type;
        if (t->channels != lag->type.channels || t->height != lag->type.height ||
            t->width != lag->type.width)
            return nir_refuse(l->file, l->d, from, "E0284",
                              "feedback: its parameters have not the shape of its layer");
        lag->type.bound = t->bound;
    }
    return SPK_OK;
}

/* ---- sums ---- */

static bool same_value_shape(const struct nir_lower *l, const struct nir_value *a,
                             const struct nir_value *b)
{
    const struct ir_type *x = &l->m->node[a->id].type, *y = &l->m->node[b->id].type;
    return a->rank == b->rank && memcmp(a->dim, b->dim, a->rank * sizeof a->dim[0]) == 0 &&
           x->channels == y->channels && x->height == y->height && x->width == y->width;
}

static spk_status as_current(struct nir_lower *l, const struct nir_node *n, uint32_t index,
                             uint32_t *id)
{
    const uint32_t channels = l->m->node[*id].type.channels;
    uint32_t weight, operand = *id;
    float *one = NULL;
    char key[32];
    if (l->m->node[*id].type.kind == IR_CURRENT)
        return SPK_OK;
    SPK_TRY(spk_alloc_array(channels, sizeof *one, &one));
    for (uint32_t c = 0; c < channels; c++)
        one[c] = 1.0f;
    spk_snprintf(key, sizeof key, "in%u", index);
    SPK_TRY(nir_param(l, n, key, 1, &channels, one, &weight));
    struct ir_node node = {
        .op = IR_OP_SCALE, .n_operands = 1, .operand = &operand, .n_params = 1, .param = &weight};
    return nir_add(l, n, &node, false, id);
}

/* The sum of values; changes `v`. */
static spk_status sum(struct nir_lower *l, const struct nir_node *n, struct nir_value *v,
                      uint32_t count, struct nir_value *out)
{
    const bool neuron = nir_has_state(n->type) && n->type != NIR_DELAY;
    bool spikes = true;
    uint32_t *ids = NULL;
    *out = v[0];
    for (uint32_t i = 0; i < count; i++) {
        spikes = spikes && is_spiking(l, v[i].id);
        if (same_value_shape(l, &v[i], &v[0]))
            continue;
        struct strbuf a = {0}, b = {0};
        nir_shape_text(&v[0], &a);
        nir_shape_text(&v[i], &b);
        spk_status status =
            nir_refuse(l->file, l->d, n, "E0284", "what comes in has different shapes: %s and %s%s",
                       strbuf_cstr(&a), strbuf_cstr(&b),
                       strcmp(strbuf_cstr(&a), strbuf_cstr(&b)) == 0 ? " (a flattened map)" : "");
        strbuf_fini(&a);
        strbuf_fini(&b);
        return status;
    }
    if (count == 1 && !(neuron || n->type == NIR_THRESHOLD))
        return SPK_OK;
    SPK_TRY(spk_alloc_array(count, sizeof *ids, &ids));
    spk_status status = SPK_OK;
    for (uint32_t i = 0; i < count && status == SPK_OK; i++) {
        if (neuron || n->type == NIR_THRESHOLD || !spikes)
            status = as_current(l, n, i, &v[i].id);
        ids[i] = v[i].id;
    }
    out->id = v[0].id;
    if (status == SPK_OK && count > 1) {
        struct ir_node add = {.op = IR_OP_ADD, .n_operands = count, .operand = ids};
        status = nir_add(l, n, &add, false, &out->id);
    }
    spk_free(ids);
    return status;
}

/* ---- the walk ---- */

/* Values of the edges into a node. */
static spk_status gather(struct nir_lower *l, uint32_t id, const uint32_t *edges, uint32_t count,
                         struct nir_value *v)
{
    const struct nir_node *n = &l->g->nodes.data[id];
    uint32_t steps = 1;
    if (n->type == NIR_DELAY)
        SPK_TRY(nir_delay_steps(l, n, &steps));
    for (uint32_t i = 0; i < count; i++) {
        const struct nir_edge *e = &l->g->edges.data[edges[i]];
        if (e->feedback && steps == 0)
            return nir_refuse(l->file, l->d, n, "E0286", "a cycle with a delay of 0 steps");
        if (e->feedback) {
            SPK_TRY(build_feedback(l, edges[i], steps, &v[i]));
            continue;
        }
        v[i] = l->value[e->from];
        if (v[i].id == IR_NONE)
            return nir_refuse(l->file, l->d, n, "E0282", "an edge comes from the Output");
        if (n->type == NIR_DELAY && steps > 0) {
            uint32_t operand = v[i].id;
            struct ir_node lag = {
                .op = IR_OP_LAG, .n_operands = 1, .operand = &operand, .a.lag = {steps, IR_NONE}};
            SPK_TRY(nir_add(l, n, &lag, false, &v[i].id));
        }
    }
    return SPK_OK;
}

static spk_status build(struct nir_lower *l, uint32_t id, const struct nir_value *in)
{
    const struct nir_node *n = &l->g->nodes.data[id];
    struct nir_value *out = &l->value[id];
    switch (n->type) {
    case NIR_OUTPUT:
        return build_output(l, n, in);
    case NIR_PASS:
    case NIR_DELAY:
        *out = *in;
        return SPK_OK;
    case NIR_AFFINE:
    case NIR_LINEAR:
        return nir_affine(l, n, in, out);
    case NIR_SCALE:
        return nir_scale(l, n, in, out);
    case NIR_CONV1D:
    case NIR_CONV2D:
        return nir_conv(l, n, in, out);
    case NIR_SUM_POOL:
    case NIR_AVG_POOL:
        return nir_pool(l, n, in, out);
    case NIR_FLATTEN:
        return nir_flatten(l, n, in, out);
    case NIR_IF:
    case NIR_LIF:
    case NIR_LI:
    case NIR_I:
    case NIR_CUBA_LIF:
    case NIR_CUBA_LI:
    case NIR_THRESHOLD:
        return nir_neuron(l, n, in, out);
    case NIR_INPUT:
        break;
    }
    return SPK_ERR_INTERNAL;
}

static spk_status build_node(struct nir_lower *l, uint32_t id, const uint32_t *edges,
                             uint32_t count, const struct nir_settings *s)
{
    const struct nir_node *n = &l->g->nodes.data[id];
    struct nir_value *v = NULL, in;
    if (n->type == NIR_INPUT)
        return build_input(l, n, s, &l->value[id]);
    SPK_TRY(spk_alloc_array(count, sizeof *v, &v));
    spk_status status = gather(l, id, edges, count, v);
    if (status == SPK_OK)
        status = sum(l, n, v, count, &in);
    spk_free(v);
    return status == SPK_OK ? build(l, id, &in) : status;
}

/* All nodes in order; `at` and `edges`: the edges into each, in the file's order. */
static spk_status build_nodes(struct nir_lower *l, const struct nir_settings *s)
{
    const size_t nodes = l->g->nodes.len, n_edges = l->g->edges.len;
    uint32_t *at = NULL, *edges = NULL;
    spk_status status = spk_alloc_array(nodes + 2, sizeof *at, &at);
    if (status == SPK_OK)
        status = spk_alloc_array(n_edges + 1, sizeof *edges, &edges);
    if (status == SPK_OK) {
        for (size_t i = 0; i < nodes; i++)
            at[i + 2] = at[i + 1] + l->g->nodes.data[i].n_in;
        for (size_t i = 0; i < n_edges; i++)
            edges[at[l->g->edges.data[i].to + 1]++] = (uint32_t)i;
    }
    for (size_t i = 0; i < nodes && status == SPK_OK; i++) {
        const uint32_t id = l->g->order[i];
        status = build_node(l, id, edges + at[id], at[id + 1] - at[id], s);
    }
    spk_free(at);
    spk_free(edges);
    return status == SPK_OK ? close_feedbacks(l) : status;
}

static spk_status lower(struct nir_lower *l, const struct nir_settings *s)
{
    SPK_TRY(spk_alloc_array(l->g->nodes.len, sizeof *l->value, &l->value));
    SPK_TRY(spk_alloc_array(l->g->edges.len + 1, sizeof *l->lag, &l->lag));
    for (size_t i = 0; i < l->g->nodes.len; i++)
        l->value[i].id = IR_NONE;
    for (size_t i = 0; i < l->g->edges.len; i++)
        l->lag[i] = IR_NONE;
    l->m->timesteps = s->timesteps;
    SPK_TRY(build_nodes(l, s));
    return ir_verify(l->m, l->d);
}

spk_status fe_nir_load(const struct h5_file *file, const char *name,
                       const struct fe_options *options, struct diag_list *d,
                       struct ir_module **out)
{
    struct nir_graph g;
    struct nir_lower l = {.file = file, .d = d, .g = &g};
    struct nir_settings s;
    *out = NULL;
    SPK_TRY(nir_settings_read(file, options, d, &s));
    l.dt = s.dt;
    SPK_TRY(nir_graph_read(file, d, &g));
    spk_status status = nir_graph_sort(file, d, &g);
    if (status == SPK_OK)
        status = ir_module_create(name, &l.m);
    if (status == SPK_OK)
        status = lower(&l, &s);
    spk_free(l.value);
    spk_free(l.lag);
    nir_graph_fini(&g);
    if (status == SPK_OK)
        *out = l.m;
    else
        ir_module_destroy(l.m);
    return status;
}
