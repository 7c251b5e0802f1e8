/* Nodes and edges of a NIR file; sub-graphs are inlined as they are met.
 *
 * A sub-graph's own Input and Output become nodes that hand on what they get; an edge to (from) the
 * sub-graph is one to its Input (from its Output). Names of inlined nodes are joined with '.'.
 * Names are found by binary search, as a group's members come sorted. Every node's datasets are
 * compared with those that its type has, so that nothing in the file is passed over in silence.
 * Cost: E log N. Limits: those of nir_graph.h.                                                  */
#include <stdarg.h>
#include <string.h>

#include "frontend/nir_graph.h"
#include "support/alloc.h"

static const struct nir_kind {
    const char *name;
    enum nir_type type;
    bool state;
    const char *keys; /* blank-separated */
} KINDS[] = {
    {"Input", NIR_INPUT, false, "shape"},
    {"Output", NIR_OUTPUT, false, "shape"},
    {"Affine", NIR_AFFINE, false, "weight bias"},
    {"Linear", NIR_LINEAR, false, "weight"},
    {"Scale", NIR_SCALE, false, "scale"},
    {"Conv1d", NIR_CONV1D, false, "input_shape weight stride padding dilation groups bias"},
    {"Conv2d", NIR_CONV2D, false, "input_shape weight stride padding dilation groups bias"},
    {"SumPool2d", NIR_SUM_POOL, false, "kernel_size stride padding"},
    {"AvgPool2d", NIR_AVG_POOL, false, "kernel_size stride padding"},
    {"Flatten", NIR_FLATTEN, false, "input_type start_dim end_dim"},
    {"IF", NIR_IF, true, "r v_threshold v_reset"},
    {"LIF", NIR_LIF, true, "tau r v_leak v_threshold v_reset"},
    {"LI", NIR_LI, true, "tau r v_leak"},
    {"I", NIR_I, true, "r"},
    {"CubaLIF", NIR_CUBA_LIF, true, "tau_syn tau_mem r v_leak v_threshold v_reset w_in"},
    {"CubaLI", NIR_CUBA_LI, true, "tau_syn tau_mem r v_leak w_in"},
    {"Delay", NIR_DELAY, true, "delay"},
    {"Threshold", NIR_THRESHOLD, false, "threshold"},
};
#define N_KINDS (sizeof KINDS / sizeof KINDS[0])

struct reader {
    const struct h5_file *file;
    struct diag_list *d;
    struct nir_graph *g;
};

bool nir_has_state(enum nir_type type)
{
    for (size_t i = 0; i < N_KINDS; i++)
        if (KINDS[i].type == type)
            return KINDS[i].state;
    return false;
}

const char *nir_key(struct nir_graph *g, const struct nir_node *n, const char *key)
{
    return arena_printf(&g->arena, "%s/%s", n->path, key);
}

spk_status nir_refuse(const struct h5_file *file, struct diag_list *d, const struct nir_node *n,
                      const char *code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    spk_status status = diag_vreport(d, DIAG_ERROR, SPK_ERR_INPUT, h5_place(file, n->path), code,
                                     format, arguments);
    va_end(arguments);
    return status;
}

static spk_status bad(const struct reader *r, const char *path, const char *code,
                      const char *format, ...) SPK_PRINTF(4, 5);
static spk_status bad(const struct reader *r, const char *path, const char *code,
                      const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    spk_status status = diag_vreport(r->d, DIAG_ERROR, SPK_ERR_INPUT, h5_place(r->file, path), code,
                                     format, arguments);
    va_end(arguments);
    return status;
}

/* ---- nodes ---- */

/* Whether `key` is one of the words of `words`. */
static bool has_word(const char *words, const char *key)
{
    const size_t length = strlen(key);
    for (const char *at = words; (at = strstr(at, key)) != NULL; at += length)
        if ((at == words || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0'))
            return true;
    return false;
}

static spk_status check_keys(const struct reader *r, const char *path, const struct nir_kind *kind)
{
    struct h5_names names = {0};
    SPK_TRY(h5_list(r->file, path, 64, &names));
    spk_status status = SPK_OK;
    for (size_t i = 0; i < names.len && status == SPK_OK; i++) {
        const char *key = names.data[i];
        /* Types that NIR derives from shapes, and remarks. */
        if (has_word("type metadata input_type output_type name", key) || has_word(kind->keys, key))
            continue;
        status = bad(r, path, "E0281", "%s has a '%s', which spikec does not know; it knows: %s",
                     kind->name, key, kind->keys);
    }
    h5_names_fini(&names);
    return status;
}

static spk_status unknown_type(const struct reader *r, const char *path, const char *type)
{
    struct strbuf known = {0};
    for (size_t i = 0; i < N_KINDS; i++)
        strbuf_printf(&known, "%s%s", i ? ", " : "", KINDS[i].name);
    spk_status status =
        bad(r, path, "E0280", "node of type '%.64s', which spikec cannot express", type);
    diag_help_set(r->d, "types that it reads: NIRGraph, %s", strbuf_cstr(&known));
    strbuf_fini(&known);
    return status;
}

static spk_status push_node(const struct reader *r, const struct nir_kind *kind, const char *path,
                            const char *name, bool inner, uint32_t *out)
{
    struct nir_node n = {.type = kind->type, .type_name = kind->name, .path = path, .name = name};
    if (r->g->nodes.len >= NIR_MAX_NODES)
        return bad(r, path, "E0285", "more than %u nodes", NIR_MAX_NODES);
    *out = (uint32_t)r->g->nodes.len;
    if (inner && (n.type == NIR_INPUT || n.type == NIR_OUTPUT))
        n.type = NIR_PASS;
    return vec_push(&r->g->nodes, n);
}

/* What a name of a graph stands for: where edges to it lead, where edges from it begin. */
struct port {
    uint32_t in, out;
};

static spk_status read_graph(const struct reader *r, const char *path, const char *prefix,
                             uint32_t depth, struct port *out);

static spk_status read_type(const struct reader *r, const char *path, char **out)
{
    const char *key = arena_printf(&r->g->arena, "%s/type", path);
    *out = NULL;
    if (key == NULL)
        return SPK_ERR_NOMEM;
    return h5_read_string(r->file, key, NIR_MAX_NAME, out);
}

static spk_status read_node(const struct reader *r, const char *path, const char *name,
                            uint32_t depth, struct port *out)
{
    const struct nir_kind *kind = NULL;
    char *type = NULL;
    SPK_TRY(read_type(r, path, &type));
    spk_status status = SPK_OK;
    if (strcmp(type, "NIRGraph") == 0) {
        status = read_graph(r, path, name, depth + 1, out);
    } else {
        for (size_t i = 0; i < N_KINDS; i++)
            if (strcmp(KINDS[i].name, type) == 0)
                kind = &KINDS[i];
        status = kind ? check_keys(r, path, kind) : unknown_type(r, path, type);
        if (status == SPK_OK)
            status = push_node(r, kind, path, name, depth > 0, &out->in);
        out->out = out->in;
    }
    spk_free(type);
    return status;
}

/* ---- graphs ---- */

static int find_name(const struct h5_names *names, const char *name)
{
    size_t low = 0, high = names->len;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(names->data[middle], name);
        if (order == 0)
            return (int)middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

static spk_status read_edges(const struct reader *r, const char *path, const struct h5_names *names,
                             const struct port *port)
{
    struct h5_names ends = {0};
    struct h5_info info;
    const char *key = arena_printf(&r->g->arena, "%s/edges", path);
    if (key == NULL)
        return SPK_ERR_NOMEM;
    SPK_TRY(h5_describe(r->file, key, &info));
    if (info.count > 0 && (info.rank != 2 || info.dims[1] != 2))
        return bad(r, key, "E0282", "edges must be pairs of node names");
    if (info.count == 0)
        return SPK_OK;
    SPK_TRY(h5_read_strings(r->file, key, 2 * NIR_MAX_EDGES, NIR_MAX_NAME, &ends));
    spk_status status = SPK_OK;
    for (size_t i = 0; i + 1 < ends.len && status == SPK_OK; i += 2) {
        int from = find_name(names, ends.data[i]), to = find_name(names, ends.data[i + 1]);
        if (from < 0 || to < 0) {
            status = bad(r, key, "E0282", "edge '%s' to '%s': there is no node '%s'", ends.data[i],
                         ends.data[i + 1], ends.data[from < 0 ? i : i + 1]);
            break;
        }
        if (r->g->edges.len >= NIR_MAX_EDGES)
            status = bad(r, key, "E0285", "more than %zu edges", NIR_MAX_EDGES);
        else
            status = vec_push(&r->g->edges, (struct nir_edge){port[from].out, port[to].in, false});
    }
    h5_names_fini(&ends);
    return status;
}

/* The one Input and the one Output among the nodes read since `first`. */
static spk_status find_ports(const struct reader *r, const char *path, const struct port *port,
                             size_t n, struct port *out)
{
    uint32_t inputs = 0, outputs = 0;
    for (size_t i = 0; i < n; i++) {
        const struct nir_node *node = &r->g->nodes.data[port[i].in];
        if (port[i].in != port[i].out)
            continue; /* a sub-graph */
        if (strcmp(node->type_name, "Input") == 0) {
            out->in = port[i].in;
            inputs++;
        } else if (strcmp(node->type_name, "Output") == 0) {
            out->out = port[i].in;
            outputs++;
        }
    }
    if (inputs == 1 && outputs == 1)
        return SPK_OK;
    return bad(r, path, "E0283",
               "the graph has %u Input and %u Output nodes; spikec expresses one of each", inputs,
               outputs);
}

static spk_status read_members(const struct reader *r, const char *path, const char *prefix,
                               uint32_t depth, const struct h5_names *names, struct port *port)
{
    for (size_t i = 0; i < names->len; i++) {
        const char *node = arena_printf(&r->g->arena, "%s/nodes/%s", path, names->data[i]);
        const char *name = prefix ? arena_printf(&r->g->arena, "%s.%s", prefix, names->data[i])
                                  : arena_strdup(&r->g->arena, names->data[i]);
        if (node == NULL || name == NULL)
            return SPK_ERR_NOMEM;
        SPK_TRY(read_node(r, node, name, depth, &port[i]));
    }
    return SPK_OK;
}

static spk_status read_graph(const struct reader *r, const char *path, const char *prefix,
                             uint32_t depth, struct port *out)
{
    const char *key = arena_printf(&r->g->arena, "%s/nodes", path);
    struct h5_names names = {0};
    struct port *port = NULL;
    if (key == NULL)
        return SPK_ERR_NOMEM;
    if (depth > NIR_MAX_DEPTH)
        return bad(r, path, "E0285", "sub-graphs are nested deeper than %u", NIR_MAX_DEPTH);
    SPK_TRY(h5_list(r->file, key, NIR_MAX_NODES, &names));
    spk_status status = spk_alloc_array(names.len, sizeof *port, &port);
    if (status == SPK_OK)
        status = read_members(r, path, prefix, depth, &names, port);
    if (status == SPK_OK)
        status = find_ports(r, path, port, names.len, out);
    if (status == SPK_OK)
        status = read_edges(r, path, &names, port);
    spk_free(port);
    h5_names_fini(&names);
    return status;
}

static spk_status read_all(const struct reader *r)
{
    char *type = NULL;
    struct port port;
    SPK_TRY(read_type(r, "node", &type));
    spk_status status = SPK_OK;
    if (strcmp(type, "NIRGraph") != 0)
        status = bad(r, "node", "E0280", "the root must be a NIRGraph, it is a '%.64s'", type);
    spk_free(type);
    SPK_TRY(status);
    SPK_TRY(read_graph(r, "node", NULL, 0, &port));
    r->g->input = port.in;
    r->g->output = port.out;
    for (size_t i = 0; i < r->g->edges.len; i++)
        r->g->nodes.data[r->g->edges.data[i].to].n_in++;
    for (size_t i = 0; i < r->g->nodes.len; i++) {
        const struct nir_node *n = &r->g->nodes.data[i];
        if ((n->n_in == 0) != (i == r->g->input))
            return bad(r, n->path, "E0282",
                       n->n_in ? "an edge leads into the Input" : "no edge leads into this node");
    }
    return SPK_OK;
}

spk_status nir_graph_read(const struct h5_file *file, struct diag_list *d, struct nir_graph *out)
{
    const struct reader r = {file, d, out};
    memset(out, 0, sizeof *out);
    arena_init(&out->arena, 0);
    out->input = out->output = IR_NONE;
    spk_status status = read_all(&r);
    if (status != SPK_OK)
        nir_graph_fini(out);
    return status;
}

void nir_graph_fini(struct nir_graph *g)
{
    vec_fini(&g->nodes);
    vec_fini(&g->edges);
    arena_fini(&g->arena);
}
