/* From a core for every neuron to tiles: the order of neurons, and who hears whom.
 *
 * Within a population the neurons of a core follow each other; on a core those that the same cores
 * hear do, so that out-axons reach over long runs. Lists of synapses are brought into that order by
 * transposing twice, without sorting. Cost: linear in synapses, but for sorting the neurons. */
#include <stdlib.h>
#include <string.h>

#include "passes/map/neuron_graph.h"
#include "support/alloc.h"

/* ---- the cores that hear each neuron ---- */

struct heard {
    uint64_t *first; /* [neurons + 1] */
    uint32_t *core;  /* rising for each neuron */
};

static int compare_u32(const void *x, const void *y)
{
    const uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    return (a > b) - (a < b);
}

/* Edges of each neuron: order[first[v] .. first[v + 1]). */
static spk_status edges_of(const struct ir_cluster_graph *c, uint64_t **out_first,
                           uint32_t **out_edge)
{
    uint64_t *first = NULL;
    SPK_TRY(spk_alloc_array((size_t)c->n_clusters + 2, sizeof *first, &first));
    *out_first = first;
    SPK_TRY(spk_alloc_array_raw(c->n_edges, sizeof **out_edge, out_edge));
    for (uint32_t e = 0; e < c->n_edges; e++)
        first[c->source[e] + 2]++;
    for (uint32_t v = 0; v < c->n_clusters; v++)
        first[v + 2] += first[v + 1];
    for (uint32_t e = 0; e < c->n_edges; e++)
        (*out_edge)[first[c->source[e] + 1]++] = e;
    return SPK_OK;
}

static spk_status hear(const struct neuron_graph *g, const uint32_t *part, uint32_t parts,
                       struct heard *out)
{
    const struct ir_cluster_graph *c = &g->graph;
    VEC(uint32_t) cores = {0};
    uint64_t *first = NULL;
    uint32_t *edge = NULL, *seen = NULL;
    spk_status status = edges_of(c, &first, &edge);
    if (status == SPK_OK)
        status = spk_alloc_array(parts, sizeof *seen, &seen);
    if (status == SPK_OK)
        status = spk_alloc_array((size_t)g->n + 1, sizeof *out->first, &out->first);
    for (uint32_t v = 0; v < g->n && status == SPK_OK; v++) {
        const size_t begin = cores.len;
        for (uint64_t i = first[v]; i < first[v + 1]; i++) {
            for (uint64_t k = c->first[edge[i]]; k < c->first[edge[i] + 1]; k++) {
                const uint32_t to = part[c->dest[k]];
                if (seen[to] == v + 1 || status != SPK_OK)
                    continue;
                seen[to] = v + 1;
                status = vec_push(&cores, to);
            }
        }
        if (cores.len > begin + 1)
            qsort(cores.data + begin, cores.len - begin, sizeof *cores.data, compare_u32);
        out->first[v + 1] = cores.len;
    }
    spk_free(first);
    spk_free(edge);
    spk_free(seen);
    out->core = cores.data;
    return status;
}

static void heard_fini(struct heard *h)
{
    spk_free(h->first);
    spk_free(h->core);
}

/* ---- order and cut ---- */

struct rank {
    uint32_t part, channel, n;
    const uint32_t *core;
};

static int compare_ranks(const void *x, const void *y)
{
    const struct rank *a = x, *b = y;
    if (a->part != b->part)
        return a->part < b->part ? -1 : 1;
    for (uint32_t i = 0; i < a->n && i < b->n; i++)
        if (a->core[i] != b->core[i])
            return a->core[i] < b->core[i] ? -1 : 1;
    if (a->n != b->n)
        return a->n < b->n ? -1 : 1;
    return (a->channel > b->channel) - (a->channel < b->channel);
}

/* Order and cut of one population of sorted neurons. */
static spk_status set_order(struct map_net *net, struct map_pop *p, const struct rank *rank)
{
    uint32_t *order = ARENA_NEW_ARRAY(&net->arena, uint32_t, p->channels);
    uint32_t tiles = 1, first = 0;
    for (uint32_t i = 1; i < p->channels; i++)
        tiles += rank[i].part != rank[i - 1].part;
    uint32_t *cut = ARENA_NEW_ARRAY(&net->arena, uint32_t, tiles + 1);
    p->bridge = ARENA_NEW_ARRAY(&net->arena, uint32_t, tiles);
    if (order == NULL || cut == NULL || p->bridge == NULL)
        return SPK_ERR_NOMEM;
    p->th = p->tw = p->gh = p->gw = 1;
    p->tc = p->slice = p->gc = 0;
    for (uint32_t i = 0; i < p->channels; i++) {
        order[i] = rank[i].channel;
        if (i + 1 < p->channels && rank[i].part == rank[i + 1].part)
            continue;
        cut[++p->gc] = i + 1;
        p->tc = i + 1 - first > p->tc ? i + 1 - first : p->tc;
        first = i + 1;
    }
    p->order = order;
    p->cut = cut;
    return SPK_OK;
}

static spk_status order_neurons(struct map_net *net, const struct neuron_graph *g,
                                const uint32_t *part, const struct heard *h)
{
    struct rank *rank = NULL;
    SPK_TRY(spk_alloc_array_raw(g->n, sizeof *rank, &rank));
    for (size_t i = 0; i < net->pops.len; i++) {
        struct map_pop *p = &net->pops.data[i];
        const uint32_t first = g->first[i];
        spk_status status = SPK_OK;
        if (!p->has_compartments)
            continue;
        for (uint32_t c = 0; c < p->channels; c++) {
            const uint64_t at = h->first[first + c];
            rank[c] = (struct rank){part[first + c], c, (uint32_t)(h->first[first + c + 1] - at),
                                    h->core + at};
        }
        qsort(rank, p->channels, sizeof *rank, compare_ranks);
        status = set_order(net, p, rank);
        if (status != SPK_OK) {
            spk_free(rank);
            return status;
        }
    }
    spk_free(rank);
    return SPK_OK;
}

/* ---- lists ---- */

/* Rows of each target of the model: row[first[t] .. first[t + 1]). */
static spk_status transpose(const struct neuron_links *l, uint32_t targets, uint64_t **out_first,
                            uint32_t **out_row)
{
    uint64_t *first = NULL;
    SPK_TRY(spk_alloc_array((size_t)targets + 2, sizeof *first, &first));
    *out_first = first;
    SPK_TRY(spk_alloc_array_raw(l->first[l->rows], sizeof **out_row, out_row));
    for (uint64_t i = 0; i < l->first[l->rows]; i++)
        first[l->target[i] + 2]++;
    for (uint32_t t = 0; t < targets; t++)
        first[t + 2] += first[t + 1];
    for (uint32_t r = 0; r < l->rows; r++)
        for (uint64_t i = l->first[r]; i < l->first[r + 1]; i++)
            (*out_row)[first[l->target[i] + 1]++] = r;
    return SPK_OK;
}

/* Where each channel of the model is on the chip. */
static spk_status invert(const struct map_pop *p, uint32_t **out)
{
    SPK_TRY(spk_alloc_array_raw(p->channels, sizeof **out, out));
    for (uint32_t i = 0; i < p->channels; i++)
        (*out)[map_pop_channel(p, i)] = i;
    return SPK_OK;
}

static spk_status fill_list(const struct map_pop *t, const struct map_pop *s,
                            const struct neuron_links *l, struct map_list *out)
{
    uint32_t *place = NULL, *row = NULL;
    uint64_t *first = NULL;
    spk_status status = spk_alloc_array((size_t)l->rows + 2, sizeof *out->first, &out->first);
    if (status == SPK_OK)
        status = spk_alloc_array_raw(l->first[l->rows], sizeof *out->target, &out->target);
    if (status == SPK_OK)
        status = invert(s, &place);
    if (status == SPK_OK)
        status = transpose(l, t->channels, &first, &row);
    for (uint32_t r = 0; r < l->rows && status == SPK_OK; r++) {
        const uint32_t to = r - r % s->channels + place[r % s->channels];
        out->first[to + 2] = l->first[r + 1] - l->first[r];
    }
    for (uint32_t r = 0; r < l->rows && status == SPK_OK; r++)
        out->first[r + 2] += out->first[r + 1];
    for (uint32_t c = 0; c < t->channels && status == SPK_OK; c++) {
        const uint32_t model = map_pop_channel(t, c);
        for (uint64_t i = first[model]; i < first[model + 1]; i++) {
            const uint32_t to = row[i] - row[i] % s->channels + place[row[i] % s->channels];
            out->target[out->first[to + 1]++] = c;
        }
    }
    spk_free(place);
    spk_free(first);
    spk_free(row);
    return status;
}

/* Rows that reach each tile. */
static spk_status fill_needs(const struct map_pop *t, uint32_t rows, struct map_list *l)
{
    SPK_TRY(spk_alloc_array((size_t)t->gc + 2, sizeof *l->need_first, &l->need_first));
    for (int put = 0; put < 2; put++) {
        for (uint32_t r = 0; r < rows; r++) {
            uint32_t g = 0, last = IR_NONE;
            for (uint64_t i = l->first[r]; i < l->first[r + 1]; i++) {
                while (t->cut[g + 1] <= l->target[i])
                    g++;
                if (g == last)
                    continue;
                last = g;
                if (put)
                    l->need[l->need_first[g + 1]++] = r;
                else
                    l->need_first[g + 2]++;
            }
        }
        if (put)
            break;
        for (uint32_t g = 0; g < t->gc; g++)
            l->need_first[g + 2] += l->need_first[g + 1];
        SPK_TRY(spk_alloc_array_raw(l->need_first[t->gc + 1], sizeof *l->need, &l->need));
    }
    return SPK_OK;
}

static spk_status make_lists(struct map_net *net, const struct neuron_graph *g)
{
    map_lists_clear(net);
    for (size_t i = 0; i < g->links.len; i++) {
        const struct neuron_links *l = &g->links.data[i];
        struct map_proj *p = &net->projs.data[l->proj];
        const struct map_pop *t = &net->pops.data[p->target];
        p->chan = MAP_CHAN_LIST;
        p->source[l->source].list = (uint32_t)net->lists.len;
        SPK_TRY(vec_push(&net->lists, (struct map_list){0}));
        SPK_TRY(fill_list(t, &net->pops.data[p->source[l->source].pop], l, &vec_last(&net->lists)));
        SPK_TRY(fill_needs(t, l->rows, &vec_last(&net->lists)));
    }
    return SPK_OK;
}

spk_status neuron_order_set(struct map_net *net, const struct neuron_graph *g, const uint32_t *part)
{
    struct heard h = {0};
    uint32_t parts = 0;
    for (uint32_t v = 0; v < g->graph.n_clusters; v++)
        parts = part[v] >= parts ? part[v] + 1 : parts;
    spk_status status = hear(g, part, parts, &h);
    if (status == SPK_OK)
        status = order_neurons(net, g, part, &h);
    heard_fini(&h);
    return status == SPK_OK ? make_lists(net, g) : status;
}
