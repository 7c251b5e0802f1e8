/* The order in which the nodes of a NIR graph are computed, and which edges are feedback.
 *
 * NIR graphs may have cycles. In discrete time a cycle needs an edge that carries the value of the
 * step before. A depth-first search from the input, edges in the order of the file, finds an edge
 * that closes a cycle; on that cycle the last edge that leaves a node with state becomes feedback,
 * so that forward paths from the input stay undelayed, and biases behind the delay act from the
 * first step (as in simulators that keep the last spikes). Then the search begins again. What is
 * left is sorted: repeatedly the first node in the file all of whose sources are done (Kahn 1962,
 * by levels). Cost: edges times feedbacks. A cycle without state is an algebraic loop and is
 * refused.       */
#include <string.h>

#include "frontend/nir_graph.h"
#include "support/alloc.h"

struct sorter {
    const struct h5_file *file;
    struct diag_list *d;
    struct nir_graph *g;
    uint32_t *first; /* [nodes + 1] range of a node in `out` */
    uint32_t *out;   /* [edges] ids of edges by their origin, in the file's order */
    uint32_t *next;  /* [nodes] position of the search in the node's range */
    uint32_t *by;    /* [nodes] edge by which the search came, IR_NONE */
    uint8_t *state;  /* [nodes] 0 new, 1 on the path, 2 done */
    uint32_t *path;  /* nodes on the path */
    uint32_t n_path;
};

static spk_status index_edges(struct sorter *s)
{
    const size_t n = s->g->nodes.len, e = s->g->edges.len;
    SPK_TRY(spk_alloc_array(n + 2, sizeof *s->first, &s->first));
    SPK_TRY(spk_alloc_array(e + 1, sizeof *s->out, &s->out));
    SPK_TRY(spk_alloc_array(n + 1, sizeof *s->next, &s->next));
    SPK_TRY(spk_alloc_array(n + 1, sizeof *s->by, &s->by));
    SPK_TRY(spk_alloc_array(n + 1, sizeof *s->state, &s->state));
    SPK_TRY(spk_alloc_array(n + 1, sizeof *s->path, &s->path));
    for (size_t i = 0; i < e; i++)
        s->first[s->g->edges.data[i].from + 2]++;
    for (size_t i = 2; i <= n + 1; i++)
        s->first[i] += s->first[i - 1];
    for (size_t i = 0; i < e; i++)
        s->out[s->first[s->g->edges.data[i].from + 1]++] = (uint32_t)i;
    return SPK_OK;
}

/* The cycle that `edge` closes: from its target along the path to its origin. */
static spk_status break_cycle(const struct sorter *s, uint32_t edge)
{
    struct nir_edge *edges = s->g->edges.data;
    uint32_t at = edge;
    for (;;) {
        const uint32_t origin = edges[at].from;
        const enum nir_type type = s->g->nodes.data[origin].type;
        if (nir_has_state(type)) {
            if (type == NIR_DELAY) /* its own delay will do: what comes into it is of the past */
                at = origin == edges[edge].to ? edge : s->by[origin];
            edges[at].feedback = true;
            return SPK_OK;
        }
        if (origin == edges[edge].to)
            break;
        at = s->by[origin];
    }
    return nir_refuse(s->file, s->d, &s->g->nodes.data[edges[edge].to], "E0286",
                      "a cycle of edges leads through this node without a neuron: its value would "
                      "depend on itself in the same step");
}

/* Searches from one root; *out_edge is an edge that closes a cycle, or IR_NONE. */
static void search(struct sorter *s, uint32_t root, uint32_t *out_edge)
{
    *out_edge = IR_NONE;
    if (s->state[root] != 0)
        return;
    s->n_path = 0;
    s->path[s->n_path++] = root;
    s->state[root] = 1;
    s->by[root] = IR_NONE;
    s->next[root] = s->first[root];
    while (s->n_path > 0) {
        const uint32_t v = s->path[s->n_path - 1];
        if (s->next[v] == s->first[v + 1]) {
            s->state[v] = 2;
            s->n_path--;
            continue;
        }
        const uint32_t id = s->out[s->next[v]++];
        const struct nir_edge *e = &s->g->edges.data[id];
        if (e->feedback)
            continue;
        if (s->state[e->to] == 1) {
            *out_edge = id;
            return;
        }
        if (s->state[e->to] == 2)
            continue;
        s->state[e->to] = 1;
        s->by[e->to] = id;
        s->next[e->to] = s->first[e->to];
        s->path[s->n_path++] = e->to;
    }
}

static spk_status find_feedbacks(struct sorter *s)
{
    const uint32_t n = (uint32_t)s->g->nodes.len;
    for (uint32_t found = 0;; found++) {
        uint32_t edge = IR_NONE;
        memset(s->state, 0, n);
        search(s, s->g->input, &edge);
        for (uint32_t i = 0; i < n && edge == IR_NONE; i++)
            search(s, i, &edge);
        if (edge == IR_NONE)
            return SPK_OK;
        if (found == NIR_MAX_FEEDBACKS)
            return nir_refuse(s->file, s->d, &s->g->nodes.data[s->g->edges.data[edge].to], "E0285",
                              "more than %u feedbacks", NIR_MAX_FEEDBACKS);
        SPK_TRY(break_cycle(s, edge));
    }
}

static spk_status order_nodes(struct sorter *s)
{
    const uint32_t n = (uint32_t)s->g->nodes.len;
    uint32_t done = 0, ready = 0, *waits = s->next;
    s->g->order = ARENA_NEW_ARRAY(&s->g->arena, uint32_t, n + 1);
    if (s->g->order == NULL)
        return SPK_ERR_NOMEM;
    memset(waits, 0, n * sizeof *waits);
    for (size_t i = 0; i < s->g->edges.len; i++)
        waits[s->g->edges.data[i].to] += !s->g->edges.data[i].feedback;
    for (uint32_t i = 0; i < n; i++)
        if (waits[i] == 0)
            s->g->order[ready++] = i;
    for (; done < ready; done++) {
        const uint32_t v = s->g->order[done];
        for (uint32_t k = s->first[v]; k < s->first[v + 1]; k++) {
            const struct nir_edge *e = &s->g->edges.data[s->out[k]];
            if (!e->feedback && --waits[e->to] == 0)
                s->g->order[ready++] = e->to;
        }
    }
    return done == n ? SPK_OK : SPK_ERR_INTERNAL;
}

spk_status nir_graph_sort(const struct h5_file *file, struct diag_list *d, struct nir_graph *g)
{
    struct sorter s = {.file = file, .d = d, .g = g};
    spk_status status = index_edges(&s);
    if (status == SPK_OK)
        status = find_feedbacks(&s);
    if (status == SPK_OK)
        status = order_nodes(&s);
    spk_free(s.first);
    spk_free(s.out);
    spk_free(s.next);
    spk_free(s.by);
    spk_free(s.state);
    spk_free(s.path);
    return status;
}
