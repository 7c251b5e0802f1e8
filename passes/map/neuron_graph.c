/* The hypergraph of a network's neurons, from the weights that are not zero. */
#include "passes/map/neuron_graph.h"

#include <string.h>

#include "support/alloc.h"

/* Above this a partition takes gigabytes: about 100 bytes for each synapse and search. */
#define MOST_SYNAPSES ((uint64_t)1 << 24)

/* ---- whether the cut applies ---- */

static bool is_vector(const struct map_pop *p)
{
    if (!p->has_compartments)
        return p->kind == IMG_LAYER_INPUT;
    return p->height == 1 && p->width == 1 && p->engine == 0 && !p->teachers;
}

static void count_weights(const struct ir_param *w, struct neuron_net *n)
{
    const size_t all = ir_param_elements(w);
    const int8_t *data = w->data;
    n->weights += all;
    for (size_t i = 0; i < all; i++)
        n->synapses += data[i] != 0;
}

static bool add_projection(const struct map_net *net, const struct map_proj *p,
                           struct neuron_net *n)
{
    const struct map_pop *target = &net->pops.data[p->target];
    if (p->pos != MAP_POS_WINDOW || p->plastic || p->port != IMG_PORT_MAIN)
        return false;
    if (p->chan == MAP_CHAN_SAME) {
        n->synapses += target->channels;
        n->weights += target->channels;
        return p->view_h == 1 && p->view_w == 1;
    }
    if (p->chan != MAP_CHAN_FULL || net->module->param[p->weight_param].data == NULL)
        return false;
    count_weights(&net->module->param[p->weight_param], n);
    return true;
}

struct neuron_net map_neuron_net(const struct map_net *net)
{
    struct neuron_net n = {.applies = net->ticks == 1};
    for (size_t i = 0; i < net->pops.len && n.applies; i++) {
        const struct map_pop *p = &net->pops.data[i];
        n.applies = is_vector(p);
        for (uint32_t k = 0; k < p->n_projs && n.applies; k++)
            n.applies = add_projection(net, &net->projs.data[p->proj_first + k], &n);
        n.layer = p->name;
    }
    return n;
}

bool map_neuron_net_is_small(const struct neuron_net *n)
{
    return n->applies && n->synapses <= MOST_SYNAPSES;
}

bool map_neuron_net_is_sparse(const struct neuron_net *n)
{
    return n->synapses <= n->weights / 2;
}

/* ---- synapses ---- */

/* Source position under a tap of the projection's window, which has one target position. */
static bool tap_position(const struct map_proj *p, uint32_t tap, uint32_t *out)
{
    const uint32_t y = tap / p->kernel_w - p->pad, x = tap % p->kernel_w - p->pad_w;
    *out = y * p->view_w + x;
    return y < p->view_h && x < p->view_w;
}

/* Calls for every synapse, targets rising: counts it behind its row, or puts it there. */
static void each_synapse(const struct map_net *net, const struct map_proj *p, uint32_t channels,
                         bool put, struct neuron_links *l)
{
    const struct ir_param *w = &net->module->param[p->weight_param];
    const uint32_t taps = p->kernel * p->kernel_w;
    const int8_t *data = w->data;
    for (uint32_t o = 0; o < w->dim[0]; o++) {
        for (uint32_t c = 0; c < w->dim[1]; c++) {
            for (uint32_t tap = 0; tap < taps; tap++) {
                uint32_t at;
                if (*data++ == 0 || !tap_position(p, tap, &at))
                    continue;
                at = at * channels + c;
                if (put)
                    l->target[l->first[at]++] = o;
                else
                    l->first[at + 1]++;
            }
        }
    }
}

static spk_status make_links(const struct map_net *net, uint32_t proj, uint32_t source,
                             struct neuron_links *l)
{
    const struct map_proj *p = &net->projs.data[proj];
    const struct map_pop *s = &net->pops.data[p->source[source].pop];
    l->proj = proj;
    l->source = source;
    l->rows = p->view_h * p->view_w * s->channels;
    SPK_TRY(spk_alloc_array((size_t)l->rows + 1, sizeof *l->first, &l->first));
    if (p->chan == MAP_CHAN_SAME) {
        SPK_TRY(spk_alloc_array_raw(l->rows, sizeof *l->target, &l->target));
        for (uint32_t i = 0; i < l->rows; i++) {
            l->target[i] = i;
            l->first[i + 1] = i + 1;
        }
        return SPK_OK;
    }
    each_synapse(net, p, s->channels, false, l);
    for (uint32_t i = 0; i < l->rows; i++)
        l->first[i + 1] += l->first[i];
    SPK_TRY(spk_alloc_array_raw(l->first[l->rows], sizeof *l->target, &l->target));
    each_synapse(net, p, s->channels, true, l); /* moves every row's start to its end */
    memmove(l->first + 1, l->first, l->rows * sizeof *l->first);
    l->first[0] = 0;
    return SPK_OK;
}

/* ---- graph ---- */

static spk_status make_all_links(const struct map_net *net, struct neuron_graph *g)
{
    for (uint32_t i = 0; i < net->projs.len; i++) {
        for (uint32_t s = 0; s < net->projs.data[i].n_sources; s++) {
            SPK_TRY(vec_push(&g->links, (struct neuron_links){0}));
            SPK_TRY(make_links(net, i, s, &vec_last(&g->links)));
        }
    }
    return SPK_OK;
}

static spk_status number_neurons(const struct map_net *net, struct neuron_graph *g)
{
    SPK_TRY(spk_alloc_array(net->pops.len + 1, sizeof *g->first, &g->first));
    for (size_t i = 0; i < net->pops.len; i++) {
        const struct map_pop *p = &net->pops.data[i];
        g->first[i + 1] = g->first[i] + (p->has_compartments ? p->channels : 0);
    }
    g->n = g->first[net->pops.len];
    return SPK_OK;
}

/* Room for all edges and their destinations. */
static spk_status reserve(size_t edges, size_t pins, struct ir_cluster_graph *c)
{
    if (edges >= UINT32_MAX || c->n_clusters >= UINT32_MAX - 1)
        return SPK_ERR_NOMEM;
    SPK_TRY(spk_alloc_array_raw(edges, sizeof *c->source, &c->source));
    SPK_TRY(spk_alloc_array_raw(edges, sizeof *c->weight, &c->weight));
    SPK_TRY(spk_alloc_array(edges + 1, sizeof *c->first, &c->first));
    return spk_alloc_array_raw(pins, sizeof *c->dest, &c->dest);
}

/* Adds the axons of one source of a projection, from cluster `from` (+ 1 for every row where
 * `each`) to `to` and up. What the host sends has no place and costs nothing. */
static void add_edges(const struct map_net *net, const struct neuron_links *l, uint32_t from,
                      bool each, uint32_t to, struct ir_cluster_graph *c)
{
    const struct map_pop *s = &net->pops.data[net->projs.data[l->proj].source[l->source].pop];
    uint64_t pins = c->first[c->n_edges];
    for (uint32_t r = 0; r < l->rows; r++) {
        if (l->first[r] == l->first[r + 1])
            continue;
        c->source[c->n_edges] = from + (each ? r : 0);
        c->weight[c->n_edges] = s->has_compartments ? map_pop_sends(s, r, 1) : 0;
        for (uint64_t k = l->first[r]; k < l->first[r + 1]; k++)
            c->dest[pins++] = to + l->target[k];
        c->first[++c->n_edges] = pins;
    }
}

static spk_status make_sizes(uint32_t neurons, uint32_t clusters, uint32_t **out)
{
    SPK_TRY(spk_alloc_array_raw(clusters, sizeof **out, out));
    for (uint32_t i = 0; i < clusters; i++)
        (*out)[i] = i < neurons;
    return SPK_OK;
}

static spk_status make_graph(const struct map_net *net, struct neuron_graph *g)
{
    size_t edges = 0, pins = 0;
    bool host = false;
    for (size_t i = 0; i < g->links.len; i++) {
        edges += g->links.data[i].rows;
        pins += g->links.data[i].first[g->links.data[i].rows];
    }
    for (size_t i = 0; i < net->pops.len; i++)
        host = host || !net->pops.data[i].has_compartments;
    g->graph.n_clusters = g->n + host;
    SPK_TRY(make_sizes(g->n, g->graph.n_clusters, &g->size));
    SPK_TRY(reserve(edges, pins, &g->graph));
    for (size_t i = 0; i < g->links.len; i++) {
        const struct neuron_links *l = &g->links.data[i];
        const struct map_proj *p = &net->projs.data[l->proj];
        const uint32_t pop = p->source[l->source].pop;
        const bool inside = net->pops.data[pop].has_compartments;
        add_edges(net, l, inside ? g->first[pop] : g->n, inside, g->first[p->target], &g->graph);
    }
    return SPK_OK;
}

static spk_status make_part_graph(const struct map_net *net, const struct neuron_graph *all,
                                  uint32_t pop, struct neuron_part_graph *g)
{
    const uint32_t n = all->first[pop + 1] - all->first[pop];
    size_t edges = 0, pins = 0;
    g->graph.n_clusters = n + 1;
    SPK_TRY(make_sizes(n, n + 1, &g->size));
    SPK_TRY(spk_alloc_array_raw((size_t)n + 1, sizeof *g->part, &g->part));
    for (int add = 0; add < 2; add++) {
        for (size_t i = 0; i < all->links.len; i++) {
            const struct neuron_links *l = &all->links.data[i];
            const struct map_proj *p = &net->projs.data[l->proj];
            const bool own = p->source[l->source].pop == pop;
            if (p->target != pop)
                continue;
            if (add)
                add_edges(net, l, own ? 0 : n, own, 0, &g->graph);
            edges += l->rows;
            pins += l->first[l->rows];
        }
        if (!add)
            SPK_TRY(reserve(edges, pins, &g->graph));
    }
    return SPK_OK;
}

spk_status neuron_part_graph_build(const struct map_net *net, const struct neuron_graph *all,
                                   uint32_t pop, struct neuron_part_graph *out)
{
    memset(out, 0, sizeof *out);
    spk_status status = make_part_graph(net, all, pop, out);
    if (status != SPK_OK)
        neuron_part_graph_fini(out);
    return status;
}

void neuron_part_graph_fini(struct neuron_part_graph *g)
{
    spk_free(g->size);
    spk_free(g->part);
    ir_cluster_graph_fini(&g->graph);
    memset(g, 0, sizeof *g);
}

spk_status neuron_links_build(const struct map_net *net, struct neuron_graph *out)
{
    memset(out, 0, sizeof *out);
    spk_status status = make_all_links(net, out);
    if (status != SPK_OK)
        neuron_graph_fini(out);
    return status;
}

spk_status neuron_graph_build(const struct map_net *net, struct neuron_graph *g)
{
    SPK_TRY(number_neurons(net, g));
    return make_graph(net, g);
}

void neuron_graph_fini(struct neuron_graph *g)
{
    for (size_t i = 0; i < g->links.len; i++) {
        spk_free(g->links.data[i].first);
        spk_free(g->links.data[i].target);
    }
    vec_fini(&g->links);
    spk_free(g->first);
    spk_free(g->size);
    ir_cluster_graph_fini(&g->graph);
    memset(g, 0, sizeof *g);
}
