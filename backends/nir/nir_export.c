/* Cutting a module into static parts, and writing each as a graph.
 *
 * The level of a value is the number of cuts (max-pools, attentions) on the longest way to it; a
 * part is what is connected within one level, so that every part can run when those before it have
 * run. Sums are not nodes in NIR: several edges into a node are one, so `add`, like `repeat`, the
 * mean and the identity of a read-out, is passed through to what feeds it. Parts without a neuron
 * or a projection are not written. Cost: nodes, edges and weights. */
#include "backends/nir/nir_export.h"

#include <stdarg.h>
#include <string.h>

#include "backends/nir/nir_export_internal.h"
#include "ir/ir_text.h"
#include "support/alloc.h"
#include "support/json_writer.h"

struct cut {
    const struct ir_module *m;
    struct diag_list *d;
    uint32_t *level, *part; /* [values] part: a value of the part, its lowest id */
    uint32_t n_cut;
};

/* ---- helpers of all files ---- */

spk_status nirx_refuse(struct nirx *x, uint32_t id, const char *code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    spk_status status =
        diag_vreport(x->d, DIAG_ERROR, SPK_ERR_INPUT, x->m->node[id].span, code, format, arguments);
    va_end(arguments);
    return status;
}

uint32_t nirx_shape(const struct ir_type *t, uint64_t dims[3])
{
    dims[0] = t->channels;
    dims[1] = t->layout == IR_CHW && t->height > 1 ? t->height : ir_type_positions(t);
    dims[2] = t->width;
    return t->layout == IR_CHW && t->height > 1 ? 3 : ir_type_positions(t) > 1 ? 2 : 1;
}

static const char *path_of(struct nirx *x, uint32_t node, const char *key)
{
    return arena_printf(&x->arena, "node/nodes/%s/%s", x->name.data[node], key);
}

static bool has_name(const struct nirx *x, const char *name)
{
    bool has = false;
    for (size_t i = 0; i < x->name.len && !has; i++)
        has = strcmp(x->name.data[i], name) == 0;
    return has;
}

spk_status nirx_node(struct nirx *x, const char *name, const char *type, uint32_t *out)
{
    char *plain = arena_strdup(&x->arena, name);
    if (plain == NULL)
        return SPK_ERR_NOMEM;
    for (char *c = plain; *c; c++)
        *c = *c == '/' ? '.' : *c; /* a path in HDF5 */
    const char *own = *plain ? plain : "node";
    for (unsigned k = 2; has_name(x, own); k++)
        if ((own = arena_printf(&x->arena, "%s.%u", plain, k)) == NULL)
            return SPK_ERR_NOMEM;
    *out = (uint32_t)x->name.len;
    SPK_TRY(vec_push(&x->name, own));
    const char *path = path_of(x, *out, "type");
    return path ? h5_write_text(x->file, path, 0, NULL, &type) : SPK_ERR_NOMEM;
}

spk_status nirx_edge(struct nirx *x, uint32_t from, uint32_t to)
{
    return vec_push(&x->edge, ((struct nirx_edge){from, to}));
}

spk_status nirx_floats(struct nirx *x, uint32_t node, const char *key, uint32_t rank,
                       const uint64_t *dims, const float *data)
{
    const char *path = path_of(x, node, key);
    return path ? h5_write(x->file, path, H5_F32, rank, dims, data, 0) : SPK_ERR_NOMEM;
}

spk_status nirx_numbers(struct nirx *x, uint32_t node, const char *key, uint32_t rank,
                        const uint64_t *dims, const double *data)
{
    const char *path = path_of(x, node, key);
    uint64_t count = 1;
    bool exact = true;
    float *small = NULL;
    for (uint32_t i = 0; i < rank; i++)
        count *= dims[i];
    for (uint64_t i = 0; i < count; i++)
        exact = exact && (double)(float)data[i] == data[i];
    if (path == NULL)
        return SPK_ERR_NOMEM;
    if (!exact)
        return h5_write(x->file, path, H5_F64, rank, dims, data, 0);
    SPK_TRY(spk_alloc_array(count, sizeof *small, &small));
    for (uint64_t i = 0; i < count; i++)
        small[i] = (float)data[i];
    spk_status status = h5_write(x->file, path, H5_F32, rank, dims, small, 0);
    spk_free(small);
    return status;
}

spk_status nirx_integers(struct nirx *x, uint32_t node, const char *key, uint32_t count,
                         const int64_t *data)
{
    const char *path = path_of(x, node, key);
    const uint64_t dims[1] = {count};
    return path ? h5_write(x->file, path, H5_I64, count > 0, dims, data, 0) : SPK_ERR_NOMEM;
}

spk_status nirx_filled(struct nirx *x, uint32_t node, const char *key, const struct ir_type *t,
                       double value)
{
    uint64_t dims[3];
    const uint64_t count = ir_type_elements(t);
    double *data = NULL;
    SPK_TRY(spk_alloc_array(count, sizeof *data, &data));
    for (uint64_t i = 0; i < count; i++)
        data[i] = value;
    spk_status status = nirx_numbers(x, node, key, nirx_shape(t, dims), dims, data);
    spk_free(data);
    return status;
}

/* ---- parts ---- */

static bool is_cut(const struct ir_node *n)
{
    return n->op == IR_OP_MAXPOOL || n->op == IR_OP_ATTENTION;
}

static uint32_t find_part(const struct cut *c, uint32_t id)
{
    while (c->part[id] != id)
        id = c->part[id];
    return id;
}

static void join(struct cut *c, uint32_t a, uint32_t b)
{
    a = find_part(c, a);
    b = find_part(c, b);
    c->part[a > b ? a : b] = a > b ? b : a;
}

static bool is_feedback(const struct ir_node *n)
{
    return n->op == IR_OP_LAG && n->n_operands == 0;
}

static bool raise_level(struct cut *c, uint32_t id, uint32_t from)
{
    const uint32_t level = c->level[from] + is_cut(&c->m->node[from]);
    if (level <= c->level[id])
        return false;
    c->level[id] = level;
    return true;
}

/* Levels, again while a feedback raises them: at most one round for each cut. */
static spk_status find_levels(struct cut *c)
{
    bool again = true;
    for (uint32_t i = 0; i < c->m->n_nodes; i++)
        c->n_cut += is_cut(&c->m->node[i]);
    for (uint32_t round = 0; again; round++) {
        again = false;
        if (round > c->n_cut + 1)
            return diag_error(c->d, spk_span_none, "E0771",
                              "feedback around a max-pool or an attention, where NIR graphs are "
                              "cut");
        for (uint32_t i = 0; i < c->m->n_nodes; i++) {
            const struct ir_node *n = &c->m->node[i];
            for (uint32_t k = 0; k < n->n_operands; k++)
                (void)raise_level(c, i, n->operand[k]);
            if (is_feedback(n))
                again = raise_level(c, i, n->a.lag.source) || again;
        }
    }
    return SPK_OK;
}

static void find_parts(struct cut *c)
{
    for (uint32_t i = 0; i < c->m->n_nodes; i++)
        c->part[i] = i;
    for (uint32_t i = 0; i < c->m->n_nodes; i++) {
        const struct ir_node *n = &c->m->node[i];
        for (uint32_t k = 0; k < n->n_operands && !is_cut(n); k++)
            if (c->level[n->operand[k]] == c->level[i] && !is_cut(&c->m->node[n->operand[k]]))
                join(c, i, n->operand[k]);
        if (is_feedback(n))
            join(c, i, n->a.lag.source);
    }
}

static bool in_part(const struct cut *c, uint32_t id, uint32_t part)
{
    return !is_cut(&c->m->node[id]) && find_part(c, id) == part;
}

static bool is_worth(const struct cut *c, uint32_t part)
{
    bool worth = false;
    for (uint32_t i = 0; i < c->m->n_nodes && !worth; i++) {
        const enum ir_op op = c->m->node[i].op;
        worth = in_part(c, i, part) && (op == IR_OP_NEURON || op == IR_OP_CONV2D ||
                                        op == IR_OP_LINEAR || op == IR_OP_MEMBRANE);
    }
    return worth;
}

/* Whether a value is wanted outside its part. */
static bool leaves(const struct cut *c, uint32_t id)
{
    bool leaving = false;
    for (uint32_t i = id + 1; i < c->m->n_nodes && !leaving; i++)
        for (uint32_t k = 0; k < c->m->node[i].n_operands; k++)
            leaving = leaving || (c->m->node[i].operand[k] == id &&
                                  (is_cut(&c->m->node[i]) || find_part(c, i) != find_part(c, id)));
    return leaving;
}

/* ---- one graph ---- */

static spk_status port(struct nirx *x, const char *name, const char *type, const struct ir_type *t,
                       uint32_t *out)
{
    uint64_t dims[3];
    int64_t shape[3];
    const uint32_t rank = nirx_shape(t, dims);
    for (uint32_t i = 0; i < rank; i++)
        shape[i] = (int64_t)dims[i];
    SPK_TRY(nirx_node(x, name, type, out));
    return nirx_integers(x, *out, "shape", rank, shape);
}

static const char *value_name(struct nirx *x, uint32_t id)
{
    const char *name = x->m->node[id].name;
    return name ? name : arena_printf(&x->arena, "value.%u", id);
}

/* The identity matrix behind the mean of an output that is read as rates. */
static bool is_identity_head(const struct ir_module *m, const struct ir_node *n)
{
    if (n->op != IR_OP_LINEAR || n->n_params != 1 || m->node[n->operand[0]].op != IR_OP_MEAN)
        return false;
    const struct ir_param *p = &m->param[n->param[0]];
    const float *w = p->data;
    bool one = w != NULL && p->dim[0] == p->dim[1];
    for (uint64_t i = 0; one && i < ir_param_elements(p); i++)
        one = w[i] == (i / p->dim[1] == i % p->dim[1] ? 1.0f : 0.0f);
    return one;
}

/* NIR nodes whose outputs sum to the value. */
static spk_status sources(struct nirx *x, uint32_t id, struct nirx_ids *out)
{
    const struct ir_node *n = &x->m->node[id];
    if (x->node[id] != IR_NONE)
        return vec_push(out, x->node[id]);
    if (is_feedback(n))
        return sources(x, n->a.lag.source, out);
    for (uint32_t k = 0; k < n->n_operands; k++)
        SPK_TRY(sources(x, n->operand[k], out));
    return SPK_OK;
}

static spk_status emit(struct nirx *x, uint32_t id)
{
    const struct ir_node *n = &x->m->node[id];
    switch (n->op) {
    case IR_OP_INPUT:
        return port(x, n->name ? n->name : "input", "Input", &n->type, &x->node[id]);
    case IR_OP_NEURON:
    case IR_OP_MEMBRANE:
        return nirx_neuron(x, id);
    case IR_OP_LINEAR:
        if (is_identity_head(x->m, n))
            return SPK_OK;
        return nirx_linear(x, id);
    case IR_OP_CONV2D:
    case IR_OP_SCALE:
    case IR_OP_RESHAPE:
    case IR_OP_LAG:
        return nirx_linear(x, id);
    case IR_OP_ADD:
    case IR_OP_REPEAT:
    case IR_OP_MEAN:
    case IR_OP_OUTPUT:
        return SPK_OK;
    default:
        return nirx_refuse(x, id, "E0771", "NIR has no '%s'", ir_op_info(n->op)->name);
    }
}

/* The edges into NIR node `to` that carry the operands of IR node `id`. */
static spk_status connect(struct nirx *x, uint32_t id, uint32_t to)
{
    const struct ir_node *n = &x->m->node[id];
    struct nirx_ids from = {0};
    spk_status status = SPK_OK;
    for (uint32_t k = 0; k < n->n_operands && status == SPK_OK; k++)
        status = sources(x, n->operand[k], &from);
    if (status == SPK_OK && is_feedback(n))
        status = sources(x, n->a.lag.source, &from);
    for (size_t i = 0; i < from.len && status == SPK_OK; i++) {
        for (size_t k = 0; k < i && status == SPK_OK; k++)
            if (from.data[k] == from.data[i])
                status = nirx_refuse(x, id, "E0771",
                                     "'%s' takes the value of '%s' twice: two equal edges, which "
                                     "readers of NIR join",
                                     x->name.data[to], x->name.data[from.data[i]]);
        if (status == SPK_OK)
            status = nirx_edge(x, from.data[i], to);
    }
    vec_fini(&from);
    return status;
}

/* An Output node for a value: its own node, or what sums to it, leads there. */
static spk_status give(struct nirx *x, uint32_t id, const char *name, const struct ir_type *t,
                       struct json_writer *w)
{
    struct nirx_ids from = {0};
    uint32_t node;
    SPK_TRY(port(x, name, "Output", t, &node));
    jw_object_begin(w, NULL);
    jw_string(w, "node", x->name.data[node]);
    jw_string(w, "value", value_name(x, id));
    jw_object_end(w);
    spk_status status = sources(x, id, &from);
    for (size_t i = 0; i < from.len && status == SPK_OK; i++)
        status = nirx_edge(x, from.data[i], node);
    vec_fini(&from);
    return status;
}

/* Shape of what an output is the mean of. */
static struct ir_type output_type(const struct ir_module *m, const struct ir_node *output)
{
    const struct ir_node *n = &m->node[output->operand[0]];
    struct ir_type t = n->type;
    if (n->op == IR_OP_LINEAR && m->node[n->operand[0]].op == IR_OP_MEAN) {
        t = m->node[m->node[n->operand[0]].operand[0]].type;
        t.channels = n->type.channels;
    } else if (n->op == IR_OP_MEAN) {
        t = m->node[n->operand[0]].type;
    }
    return t;
}

static spk_status take_values(struct nirx *x, const struct cut *c, uint32_t part,
                              struct json_writer *w)
{
    const struct ir_module *m = x->m;
    jw_array_begin(w, "inputs");
    for (uint32_t i = 0; i < m->n_nodes; i++) {
        const struct ir_node *n = &m->node[i];
        if (!in_part(c, i, part))
            continue;
        for (uint32_t k = 0; k < n->n_operands; k++) {
            const uint32_t from = n->operand[k];
            if (in_part(c, from, part) || x->node[from] != IR_NONE)
                continue;
            SPK_TRY(port(x, value_name(x, from), "Input", &m->node[from].type, &x->node[from]));
            jw_object_begin(w, NULL);
            jw_string(w, "node", x->name.data[x->node[from]]);
            jw_string(w, "value", value_name(x, from));
            jw_object_end(w);
        }
        if (n->op != IR_OP_INPUT)
            continue;
        jw_object_begin(w, NULL);
        jw_string(w, "node", n->name ? n->name : "input");
        jw_string(w, "value", value_name(x, i));
        jw_object_end(w);
    }
    jw_array_end(w);
    return SPK_OK;
}

static spk_status give_values(struct nirx *x, const struct cut *c, uint32_t part,
                              struct json_writer *w)
{
    jw_array_begin(w, "outputs");
    for (uint32_t i = 0; i < x->m->n_nodes; i++) {
        const struct ir_node *n = &x->m->node[i];
        if (!in_part(c, i, part))
            continue;
        if (n->op == IR_OP_OUTPUT) {
            const struct ir_type t = output_type(x->m, n);
            SPK_TRY(give(x, i, n->name ? n->name : "output", &t, w));
        } else if (leaves(c, i)) {
            const char *name = arena_printf(&x->arena, "out.%s", value_name(x, i));
            if (name == NULL)
                return SPK_ERR_NOMEM;
            SPK_TRY(give(x, i, name, &n->type, w));
        }
    }
    jw_array_end(w);
    return SPK_OK;
}

static spk_status write_edges(struct nirx *x)
{
    const uint64_t dims[2] = {x->edge.len, 2};
    const char **ends = NULL, *graph = "NIRGraph", *version = "1.0.7";
    SPK_TRY(spk_alloc_array(2 * x->edge.len + 1, sizeof *ends, &ends));
    for (size_t i = 0; i < x->edge.len; i++) {
        ends[2 * i] = x->name.data[x->edge.data[i].from];
        ends[2 * i + 1] = x->name.data[x->edge.data[i].to];
    }
    spk_status status = h5_write_text(x->file, "node/edges", 2, dims, ends);
    if (status == SPK_OK)
        status = h5_write_text(x->file, "node/type", 0, NULL, &graph);
    if (status == SPK_OK)
        status = h5_write_text(x->file, "version", 0, NULL, &version);
    spk_free(ends);
    return status;
}

/* What NIR does not say: step, number of steps, kind of input. */
static spk_status write_metadata(struct nirx *x)
{
    const int64_t steps = x->m->timesteps, one = 1;
    SPK_TRY(h5_write(x->file, "node/metadata/dt", H5_F64, 0, NULL, &x->dt, 0));
    SPK_TRY(h5_write(x->file, "node/metadata/timesteps", H5_I64, 0, NULL, &steps, 0));
    for (uint32_t i = 0; i < x->m->n_nodes; i++) {
        const struct ir_attr_input *a = &x->m->node[i].a.input;
        if (x->m->node[i].op != IR_OP_INPUT || a->events)
            continue;
        SPK_TRY(h5_write(x->file, a->series ? "node/metadata/analog" : "node/metadata/static",
                         H5_I64, 0, NULL, &one, 0));
        if (!a->normalise)
            continue;
        SPK_TRY(h5_write_1d(x->file, "node/metadata/mean", H5_F32, a->n_norm, a->mean));
        SPK_TRY(h5_write_1d(x->file, "node/metadata/std", H5_F32, a->n_norm, a->std));
    }
    return SPK_OK;
}

static spk_status write_graph(struct nirx *x, const struct cut *c, uint32_t part,
                              struct json_writer *w)
{
    SPK_TRY(take_values(x, c, part, w));
    for (uint32_t i = 0; i < x->m->n_nodes; i++)
        if (in_part(c, i, part))
            SPK_TRY(emit(x, i));
    for (uint32_t i = 0; i < x->m->n_nodes; i++)
        if (in_part(c, i, part) && x->node[i] != IR_NONE)
            SPK_TRY(connect(x, i, x->first[i] != IR_NONE ? x->first[i] : x->node[i]));
    SPK_TRY(give_values(x, c, part, w));
    SPK_TRY(write_edges(x));
    return write_metadata(x);
}

static spk_status graph_begin(struct nirx *x, const struct dir_writer *dir, const char *name)
{
    char *path = NULL;
    arena_init(&x->arena, 0);
    SPK_TRY(spk_alloc_array_raw(x->m->n_nodes, sizeof *x->node, &x->node));
    SPK_TRY(spk_alloc_array_raw(x->m->n_nodes, sizeof *x->first, &x->first));
    memset(x->node, 0xff, x->m->n_nodes * sizeof *x->node);
    memset(x->first, 0xff, x->m->n_nodes * sizeof *x->first);
    SPK_TRY(dir_file(dir, name, &path));
    spk_status status = h5_create(path, x->d, &x->file);
    spk_free(path);
    return status;
}

static void graph_fini(struct nirx *x)
{
    h5_destroy(x->file);
    spk_free(x->node);
    spk_free(x->first);
    vec_fini(&x->name);
    vec_fini(&x->edge);
    arena_fini(&x->arena);
}

static spk_status export_part(const struct cut *c, double dt, uint32_t part, const char *name,
                              const struct dir_writer *dir, struct json_writer *w,
                              struct nir_figures *f)
{
    struct nirx x = {.m = c->m, .d = c->d, .dt = dt};
    jw_object_begin(w, NULL);
    jw_string(w, "file", name);
    spk_status status = graph_begin(&x, dir, name);
    if (status == SPK_OK)
        status = write_graph(&x, c, part, w);
    jw_object_end(w);
    if (status == SPK_OK) {
        struct h5_file *file = x.file;
        x.file = NULL;
        status = h5_close(file);
    }
    f->graphs++;
    f->nodes += x.name.len;
    f->edges += x.edge.len;
    graph_fini(&x);
    return status;
}

static spk_status export_parts(struct cut *c, double dt, const struct dir_writer *dir,
                               struct json_writer *w, struct nir_figures *f)
{
    uint32_t parts = 0;
    for (uint32_t i = 0; i < c->m->n_nodes; i++)
        parts += in_part(c, i, i) && is_worth(c, i);
    jw_array_begin(w, "graphs");
    for (uint32_t i = 0; i < c->m->n_nodes; i++) {
        char name[32];
        if (!in_part(c, i, i) || !is_worth(c, i))
            continue;
        if (parts == 1 && c->n_cut == 0)
            spk_snprintf(name, sizeof name, "graph.nir");
        else
            spk_snprintf(name, sizeof name, "graph.%u.nir", (unsigned)f->graphs);
        SPK_TRY(export_part(c, dt, i, name, dir, w, f));
    }
    jw_array_end(w);
    jw_array_begin(w, "cut");
    for (uint32_t i = 0; i < c->m->n_nodes; i++) {
        const struct ir_node *n = &c->m->node[i];
        char name[32];
        if (!is_cut(n))
            continue;
        spk_snprintf(name, sizeof name, "value.%u", (unsigned)i);
        jw_object_begin(w, NULL);
        jw_string(w, "value", n->name ? n->name : name);
        jw_string(w, "op", ir_op_info(n->op)->name);
        jw_object_end(w);
    }
    jw_array_end(w);
    f->cut = c->n_cut;
    return SPK_OK;
}

spk_status nir_export(const struct ir_module *m, double dt, const struct dir_writer *dir,
                      struct diag_list *d, struct nir_figures *out)
{
    struct cut c = {.m = m, .d = d};
    struct strbuf text = {0};
    struct json_writer w;
    memset(out, 0, sizeof *out);
    jw_init(&w, &text, 1);
    jw_object_begin(&w, NULL);
    jw_f64(&w, "dt", dt);
    jw_u64(&w, "timesteps", m->timesteps);
    spk_status status = spk_alloc_array(m->n_nodes, sizeof *c.level, &c.level);
    if (status == SPK_OK)
        status = spk_alloc_array(m->n_nodes, sizeof *c.part, &c.part);
    if (status == SPK_OK)
        status = find_levels(&c);
    if (status == SPK_OK) {
        find_parts(&c);
        status = export_parts(&c, dt, dir, &w, out);
    }
    jw_object_end(&w);
    char *path = NULL;
    if (status == SPK_OK)
        status = jw_finish(&w);
    if (status == SPK_OK)
        status = dir_file(dir, "index.json", &path);
    if (status == SPK_OK)
        status = file_write_all(path, text.data, text.len, d);
    spk_free(path);
    strbuf_fini(&text);
    spk_free(c.level);
    spk_free(c.part);
    return status;
}
