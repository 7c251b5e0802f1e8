/* The finest level: who exchanges how much with whom.
 *
 * A layer that sends everything to a layer is |S| x |D| pairs. Two kinds of such groups are found
 * exactly, by equal lists: edges with the same destinations, then, in what is left, destinations
 * with the same incoming edges (where each source also has a partner of its own, as residual
 * streams have, the first kind is not there but the second is). A group's pairs are never listed:
 * the annealer keeps sums over its members instead. Groups that would not save work stay pairs.
 * Invariant: every pair (source, destination), source != destination, is in exactly one link list
 * pair or one group. Cost: O(pins log pins). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "passes/place/place_internal.h"
#include "support/alloc.h"
#include "support/vec.h"

/* A group's sums cost about as much as GROUP_GAIN pairs for each member. */
#define GROUP_GAIN 4
#define MAX_TABLE_BYTES ((uint64_t)96 << 20)

struct part_vec VEC_FIELDS(struct place_member); /* group == node here */

struct list_key {
    uint64_t hash;
    uint32_t length, id;
};

struct builder {
    const struct ir_cluster_graph *g;
    struct place_level *out;
    int32_t *weight;      /* [edges] */
    uint8_t *edge_done;   /* [edges] in a group by destinations */
    uint8_t *node_done;   /* [n] all that comes in is in a group, or was such */
    uint64_t *in_first;   /* [n + 1] */
    uint32_t *in;         /* edges into a node, but for those done */
    struct list_key *key; /* [max(edges, n)] */
    struct part_vec parts;
    uint32_t n_groups, max_groups;
};

void place_level_fini(struct place_level *level)
{
    spk_free(level->link_first);
    spk_free(level->link);
    spk_free(level->member_first);
    spk_free(level->group_first);
    spk_free(level->member);
    spk_free(level->group);
    spk_free(level->self);
    spk_free(level->size);
    spk_free(level->up);
    place_regions_free(level->own_regions);
    place_axes_fini(&level->axes);
    memset(level, 0, sizeof *level);
}

spk_status place_level_index(struct place_level *l)
{
    const uint32_t n_parts = l->group_first[l->n_groups];
    SPK_TRY(spk_alloc_array((size_t)l->n + 1, sizeof *l->member_first, &l->member_first));
    SPK_TRY(spk_alloc_array_raw(n_parts, sizeof *l->member, &l->member));
    SPK_TRY(spk_alloc_array(l->n, sizeof *l->self, &l->self));
    for (uint32_t k = 0; k < n_parts; k++)
        l->member_first[l->group[k].group]++;
    uint32_t sum = 0;
    for (uint32_t v = 0; v <= l->n; v++) {
        sum += l->member_first[v];
        l->member_first[v] = sum;
    }
    for (uint32_t gr = l->n_groups; gr-- > 0;) {
        for (uint32_t k = l->group_first[gr + 1]; k-- > l->group_first[gr];) {
            const struct place_member *p = &l->group[k];
            l->member[--l->member_first[p->group]] = (struct place_member){gr, p->s, p->d};
            l->self[p->group] += (int64_t)p->s * p->d;
        }
    }
    return SPK_OK;
}

spk_status place_level_merge(struct place_level *l)
{
    uint32_t *seen, *where, k = 0;
    SPK_TRY(spk_alloc_array_raw(2 * (size_t)l->n, sizeof *seen, &seen));
    where = seen + l->n;
    memset(seen, 0xff, l->n * sizeof *seen);
    for (uint32_t v = 0, begin = 0; v < l->n; v++) {
        const uint32_t end = l->link_first[v + 1];
        l->link_first[v] = k;
        for (uint32_t i = begin; i < end; i++) {
            const uint32_t u = l->link[i].node;
            if (seen[u] == v) {
                l->link[where[u]].weight += l->link[i].weight;
                continue;
            }
            seen[u] = v;
            where[u] = k;
            l->link[k++] = l->link[i];
        }
        begin = end;
    }
    l->link_first[l->n] = k;
    spk_free(seen);
    return SPK_OK;
}

/* Whole weights stay as they are where their sum over all pairs has 31 bits; others are scaled to
 * a sum of 2^30. */
static spk_status scale_weights(struct builder *b)
{
    const struct ir_cluster_graph *g = b->g;
    double total = 0, plain = 0, scale = 1;
    bool whole = true;
    for (uint32_t e = 0; e < g->n_edges; e++) {
        total += g->weight[e] * (double)(g->first[e + 1] - g->first[e]);
        plain += g->weight[e];
        whole = whole && g->weight[e] == floor(g->weight[e]);
    }
    if (total > 0 && (!whole || total > 0x1p30))
        scale = 0x1p30 / total;
    SPK_TRY(spk_alloc_array_raw(g->n_edges, sizeof *b->weight, &b->weight));
    for (uint32_t e = 0; e < g->n_edges; e++)
        b->weight[e] = g->first[e + 1] > g->first[e] ? (int32_t)lround(g->weight[e] * scale) : 0;
    b->out->weight_scale = scale;
    b->out->mean_weight = g->n_edges > 0 ? (int64_t)(plain * scale / g->n_edges) : 0;
    return SPK_OK;
}

static int compare_keys(const void *x, const void *y)
{
    const struct list_key *a = x, *b = y;
    if (a->hash != b->hash)
        return a->hash < b->hash ? -1 : 1;
    if (a->length != b->length)
        return a->length < b->length ? -1 : 1;
    return (a->id > b->id) - (a->id < b->id);
}

static struct list_key make_key(const uint32_t *list, uint64_t n, uint32_t id)
{
    uint64_t h = n * 0x9e3779b97f4a7c15u;
    for (uint64_t i = 0; i < n; i++) {
        h = (h ^ list[i]) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    return (struct list_key){h, (uint32_t)n, id};
}

/* End of the run of keys with the same list as key[i]. */
static uint32_t same_lists(const struct list_key *key, uint32_t i, uint32_t n,
                           const uint64_t *first, const uint32_t *list)
{
    uint32_t j = i + 1;
    const uint32_t *a = list + first[key[i].id];
    while (j < n && key[j].hash == key[i].hash && key[j].length == key[i].length &&
           memcmp(a, list + first[key[j].id], key[i].length * sizeof *a) == 0)
        j++;
    return j;
}

static bool worth_a_group(const struct builder *b, uint64_t sources, uint64_t dests)
{
    return b->n_groups < b->max_groups && sources * dests >= GROUP_GAIN * (sources + dests);
}

static spk_status groups_by_destinations(struct builder *b)
{
    const struct ir_cluster_graph *g = b->g;
    uint32_t n = 0;
    for (uint32_t e = 0; e < g->n_edges; e++)
        if (b->weight[e] > 0)
            b->key[n++] = make_key(g->dest + g->first[e], g->first[e + 1] - g->first[e], e);
    if (n > 0)
        qsort(b->key, n, sizeof *b->key, compare_keys);
    for (uint32_t i = 0, j; i < n; i = j) {
        j = same_lists(b->key, i, n, g->first, g->dest);
        if (!worth_a_group(b, j - i, b->key[i].length))
            continue;
        const uint32_t gr = b->n_groups++;
        for (uint32_t k = i; k < j; k++) {
            const uint32_t e = b->key[k].id;
            b->edge_done[e] = 1;
            SPK_TRY(vec_push(&b->parts,
                             (struct place_member){gr, (int32_t)g->source[e], b->weight[e]}));
        }
        for (uint32_t k = 0; k < b->key[i].length; k++)
            SPK_TRY(vec_push(&b->parts, (struct place_member){
                                            gr, (int32_t)g->dest[g->first[b->key[i].id] + k], -1}));
    }
    return SPK_OK;
}

static spk_status incoming_lists(struct builder *b)
{
    const struct ir_cluster_graph *g = b->g;
    SPK_TRY(spk_alloc_array((size_t)g->n_clusters + 1, sizeof *b->in_first, &b->in_first));
    for (uint32_t e = 0; e < g->n_edges; e++)
        for (uint64_t k = g->first[e]; !b->edge_done[e] && k < g->first[e + 1]; k++)
            b->in_first[g->dest[k]]++;
    uint64_t sum = 0;
    for (uint32_t v = 0; v <= g->n_clusters; v++) {
        sum += b->in_first[v];
        b->in_first[v] = sum;
    }
    SPK_TRY(spk_alloc_array_raw(sum, sizeof *b->in, &b->in));
    for (uint32_t e = g->n_edges; e-- > 0;)
        for (uint64_t k = g->first[e]; !b->edge_done[e] && k < g->first[e + 1]; k++)
            b->in[--b->in_first[g->dest[k]]] = e;
    return SPK_OK;
}

static spk_status groups_by_sources(struct builder *b)
{
    const uint32_t n = b->g->n_clusters;
    SPK_TRY(incoming_lists(b));
    for (uint32_t v = 0; v < n; v++)
        b->key[v] = make_key(b->in + b->in_first[v], b->in_first[v + 1] - b->in_first[v], v);
    qsort(b->key, n, sizeof *b->key, compare_keys);
    for (uint32_t i = 0, j; i < n; i = j) {
        j = same_lists(b->key, i, n, b->in_first, b->in);
        if (!worth_a_group(b, b->key[i].length, j - i))
            continue;
        const uint32_t gr = b->n_groups++;
        for (uint32_t k = i; k < j; k++) {
            b->node_done[b->key[k].id] = 1;
            SPK_TRY(vec_push(&b->parts, (struct place_member){gr, (int32_t)b->key[k].id, -1}));
        }
        for (uint32_t k = 0; k < b->key[i].length; k++) {
            const uint32_t e = b->in[b->in_first[b->key[i].id] + k];
            if (b->weight[e] > 0)
                SPK_TRY(vec_push(
                    &b->parts, (struct place_member){gr, (int32_t)b->g->source[e], b->weight[e]}));
        }
    }
    return SPK_OK;
}

/* Parts were pushed as {group, node, spikes or -1 for a destination}, groups rising. One node may
 * be in a group more than once: as source of several edges, or on both sides. */
static spk_status store_groups(struct builder *b)
{
    struct place_level *l = b->out;
    uint32_t *seen, *where, k = 0;
    l->n_groups = b->n_groups;
    if (b->parts.len > UINT32_MAX)
        return SPK_ERR_NOMEM;
    SPK_TRY(spk_alloc_array((size_t)b->n_groups + 1, sizeof *l->group_first, &l->group_first));
    SPK_TRY(spk_alloc_array_raw(b->parts.len, sizeof *l->group, &l->group));
    SPK_TRY(spk_alloc_array_raw(2 * (size_t)l->n, sizeof *seen, &seen));
    where = seen + l->n;
    memset(seen, 0xff, l->n * sizeof *seen);
    for (size_t i = 0; i < b->parts.len; i++) {
        const struct place_member *p = &b->parts.data[i];
        const uint32_t node = (uint32_t)p->s, gr = p->group;
        if (seen[node] != gr) {
            seen[node] = gr;
            where[node] = k;
            l->group[k++] = (struct place_member){node, 0, 0};
        }
        if (p->d < 0)
            l->group[where[node]].d++;
        else
            l->group[where[node]].s += p->d;
        l->group_first[gr + 1] = k;
    }
    spk_free(seen);
    return SPK_OK;
}

static spk_status store_links(struct builder *b, struct diag_list *diags)
{
    const struct ir_cluster_graph *g = b->g;
    struct place_level *l = b->out;
    uint64_t total = 0;
    uint32_t sum = 0;
    SPK_TRY(spk_alloc_array((size_t)l->n + 1, sizeof *l->link_first, &l->link_first));
    for (uint32_t e = 0; e < g->n_edges; e++) {
        for (uint64_t k = g->first[e]; b->weight[e] > 0 && !b->edge_done[e] && k < g->first[e + 1];
             k++) {
            const uint32_t s = g->source[e], d = g->dest[k];
            if (s == d || b->node_done[d])
                continue;
            total += 2;
            l->link_first[s]++;
            l->link_first[d]++;
        }
    }
    if (total >= UINT32_MAX)
        return diag_nofit(diags, spk_span_none, "E0682",
                          "the graph has %llu pairs of clusters; at most %u can be placed",
                          (unsigned long long)total / 2, UINT32_MAX / 2);
    for (uint32_t v = 0; v <= l->n; v++) {
        sum += l->link_first[v];
        l->link_first[v] = sum;
    }
    SPK_TRY(spk_alloc_array_raw(sum, sizeof *l->link, &l->link));
    for (uint32_t e = g->n_edges; e-- > 0;) {
        if (b->weight[e] == 0 || b->edge_done[e])
            continue;
        for (uint64_t k = g->first[e + 1]; k-- > g->first[e];) {
            const uint32_t s = g->source[e], d = g->dest[k];
            if (s == d || b->node_done[d])
                continue;
            l->link[--l->link_first[s]] = (struct place_link){d, b->weight[e]};
            l->link[--l->link_first[d]] = (struct place_link){s, b->weight[e]};
        }
    }
    return place_level_merge(l);
}

static spk_status fill(struct builder *b, struct diag_list *diags)
{
    const struct ir_cluster_graph *g = b->g;
    struct place_level *l = b->out;
    const size_t keys = g->n_edges > g->n_clusters ? g->n_edges : g->n_clusters;
    SPK_TRY(scale_weights(b));
    SPK_TRY(spk_alloc_array(g->n_edges, 1, &b->edge_done));
    SPK_TRY(spk_alloc_array(g->n_clusters, 1, &b->node_done));
    SPK_TRY(spk_alloc_array_raw(keys, sizeof *b->key, &b->key));
    SPK_TRY(spk_alloc_array_raw(g->n_clusters, sizeof *l->size, &l->size));
    for (uint32_t v = 0; v < l->n; v++)
        l->size[v] = 1;
    if (b->max_groups > 0) {
        SPK_TRY(groups_by_destinations(b));
        SPK_TRY(groups_by_sources(b));
    }
    SPK_TRY(store_groups(b));
    SPK_TRY(store_links(b, diags));
    return place_level_index(l);
}

static void clear_builder(struct builder *b)
{
    spk_free(b->weight);
    spk_free(b->edge_done);
    spk_free(b->node_done);
    spk_free(b->in_first);
    spk_free(b->in);
    spk_free(b->key);
    vec_fini(&b->parts);
    memset(b, 0, sizeof *b);
}

spk_status place_level_build(const struct ir_cluster_graph *graph, uint64_t cells_around,
                             struct diag_list *diags, struct place_level *out)
{
    struct builder b = {
        .g = graph, .out = out, .max_groups = cells_around == PLACE_NO_GROUPS ? 0 : UINT32_MAX};
    memset(out, 0, sizeof *out);
    out->n = graph->n_clusters;
    spk_status status = fill(&b, diags);
    const uint64_t bytes = (uint64_t)b.n_groups * 2 * cells_around * sizeof(int32_t);
    if (status == SPK_OK && bytes > MAX_TABLE_BYTES) { /* sums per column would not stay in cache */
        clear_builder(&b);
        place_level_fini(out);
        b = (struct builder){.g = graph, .out = out, .max_groups = 0};
        out->n = graph->n_clusters;
        status = fill(&b, diags);
    }
    clear_builder(&b);
    if (status != SPK_OK)
        place_level_fini(out);
    return status;
}
