/* The cut by neurons: partition, order, count; again with tighter limits where a core is too full.
 *
 * The partitioner counts neurons, axons and synapses. What these take of a core (words of rows,
 * widths of indices, out-axons, alignment of tiles) is known when tiles are made, so the limits it
 * gets are estimates at first. Whatever a core exceeds then lowers the limit that stands for it.
 * Out-axons get fewer where an entry may send over a gap; tiles of full cores do, as little as it
 * takes. */
#include "passes/map/neuron_cut.h"

#include <string.h>

#include "passes/map/neuron_graph.h"
#include "passes/map/shapes.h"
#include "support/alloc.h"

#define ROUNDS 12
#define TIGHTEN 0.97 /* beyond what the fullest core asks for */

struct cutter {
    struct mapping *m;
    const struct map_options *options;
    struct diag_list *diags;
    struct neuron_graph graph;
    struct part_limits limits;
    bool apart; /* no core has neurons of two populations, until cores are shared */
    uint32_t *part;
    double over[MAP_N_LIMITS]; /* use of the fullest core / limit */
};

static uint64_t limit_of(const struct cutter *c, enum tgt_limit l)
{
    return tgt_limit_value(c->m->net.target, l);
}

/* Bits of a synapse in a row of many. */
static double synapse_bits(const struct tgt *t)
{
    const uint64_t neurons = tgt_limit_value(t, TGT_NEURONS);
    const uint32_t last = neurons == UINT64_MAX ? 0 : (uint32_t)neurons - 1;
    return t->arith.weight_bits + map_index_bits(&t->format, last);
}

static void first_limits(struct cutter *c)
{
    const struct tgt *t = c->m->net.target;
    const uint64_t neurons = limit_of(c, TGT_NEURONS), bits = limit_of(c, TGT_SYNAPSE_BITS);
    const uint64_t axons = limit_of(c, TGT_IN_AXONS);
    c->limits.neurons = neurons == UINT64_MAX ? 0 : neurons;
    c->limits.axons = t->axon_population || axons == UINT64_MAX ? 0 : axons;
    c->limits.synapses = bits == UINT64_MAX ? 0 : (uint64_t)((double)bits / synapse_bits(t));
}

/* ---- one round ---- */

static spk_status run(const struct cutter *c, const struct ir_cluster_graph *graph,
                      const uint32_t *size, uint32_t *part, uint32_t *out_parts)
{
    const struct map_options *o = c->options;
    const struct part_options p = {.limits = c->limits,
                                   .objective =
                                       o->objective == MAP_CORES ? PART_CORES : PART_CONNECTIVITY,
                                   .seed = o->seed,
                                   .pool = o->pool,
                                   .progress = o->progress};
    return part_run(graph, size, &p, NULL, part, out_parts);
}

/* The neurons of each population for themselves: what they hear of others comes from outside. */
static spk_status run_apart(struct cutter *c, uint32_t *out_parts)
{
    spk_status status = SPK_OK;
    *out_parts = 0;
    for (uint32_t i = 0; i < c->m->net.pops.len && status == SPK_OK; i++) {
        const uint32_t first = c->graph.first[i];
        struct neuron_part_graph sub;
        uint32_t parts = 0;
        if (c->graph.first[i + 1] == first)
            continue;
        SPK_TRY(neuron_part_graph_build(&c->m->net, &c->graph, i, &sub));
        status = run(c, &sub.graph, sub.size, sub.part, &parts);
        for (uint32_t v = first; v < c->graph.first[i + 1] && status == SPK_OK; v++)
            c->part[v] = *out_parts + sub.part[v - first];
        *out_parts += parts;
        neuron_part_graph_fini(&sub);
    }
    return status;
}

static spk_status partition(struct cutter *c)
{
    uint32_t parts = 0, *number = NULL, n = 0;
    SPK_TRY(c->apart ? run_apart(c, &parts)
                     : run(c, &c->graph.graph, c->graph.size, c->part, &parts));
    /* a core that would hold nothing but the host is none */
    SPK_TRY(spk_alloc_array(parts, sizeof *number, &number));
    for (uint32_t v = 0; v < c->graph.n; v++) {
        if (number[c->part[v]] == 0)
            number[c->part[v]] = ++n;
        c->part[v] = number[c->part[v]] - 1;
    }
    if (c->graph.graph.n_clusters > c->graph.n)
        c->part[c->graph.n] = 0;
    c->m->n_cores = n;
    spk_free(number);
    return SPK_OK;
}

/* Tiles by core, behind each other. */
static spk_status assign(struct cutter *c)
{
    struct mapping *m = c->m;
    const uint32_t n = (uint32_t)m->tiles.len;
    SPK_TRY(spk_realloc_array((size_t)m->n_cores + 1, sizeof *m->core_first, &m->core_first));
    SPK_TRY(spk_realloc_array(n, sizeof *m->core_tile, &m->core_tile));
    memset(m->core_first, 0, ((size_t)m->n_cores + 1) * sizeof *m->core_first);
    for (uint32_t i = 0; i < n; i++) {
        struct map_tile *t = &m->tiles.data[i];
        const struct map_pop *p = &m->net.pops.data[t->pop];
        t->core = c->part[c->graph.first[t->pop] + p->order[t->c0]];
        m->core_first[t->core + 1]++;
    }
    for (uint32_t i = 0; i < m->n_cores; i++)
        m->core_first[i + 1] += m->core_first[i];
    for (uint32_t i = n; i-- > 0;)
        m->core_tile[--m->core_first[m->tiles.data[i].core + 1]] = i;
    memmove(m->core_first, m->core_first + 1, m->n_cores * sizeof *m->core_first);
    m->core_first[m->n_cores] = n;
    for (uint32_t i = 0; i < m->n_cores; i++) {
        uint32_t at = 0;
        for (uint32_t k = m->core_first[i]; k < m->core_first[i + 1]; k++) {
            struct map_tile *t = &m->tiles.data[m->core_tile[k]];
            t->comp_first = at;
            at = (at + t->comps + MAP_COMP_ALIGN - 1) / MAP_COMP_ALIGN * MAP_COMP_ALIGN;
        }
    }
    return SPK_OK;
}

/* Lets the tiles of cores with too many out-axons send over longer gaps, until all fit or no gap is
 * left. */
static spk_status widen(struct cutter *c)
{
    struct mapping *m = c->m;
    const uint64_t most = limit_of(c, TGT_OUT_AXONS);
    for (bool again = true; again;) {
        again = false;
        for (uint32_t i = 0; i < m->n_cores; i++) {
            if (map_core_usage(m, i).out_axons <= most)
                continue;
            for (uint32_t k = m->core_first[i]; k < m->core_first[i + 1]; k++) {
                const uint32_t id = m->core_tile[k];
                struct map_pop *p = &m->net.pops.data[m->tiles.data[id].pop];
                uint32_t *bridge = &p->bridge[id - p->tile_first];
                again = again || *bridge < m->tiles.data[id].nc;
                *bridge = 2 * *bridge + 1;
            }
        }
        if (again)
            SPK_TRY(map_count_out_axons(m, NULL));
    }
    return SPK_OK;
}

/* Use of a core / limit. */
static double over_of(const struct cutter *c, uint32_t core, size_t limit)
{
    const struct map_usage u = map_core_usage(c->m, core);
    const uint64_t most = tgt_core_limit(c->m->net.target, map_limits[limit].limit, false);
    return (double)map_usage_of(&u, map_limits[limit].limit) / (double)most;
}

/* By how much each limit is exceeded at most. */
static bool count_over(struct cutter *c)
{
    bool fits = true;
    for (size_t k = 0; k < MAP_N_LIMITS; k++)
        c->over[k] = 0;
    for (uint32_t i = 0; i < c->m->n_cores; i++) {
        for (size_t k = 0; k < MAP_N_LIMITS; k++) {
            const double over = over_of(c, i, k);
            c->over[k] = over > c->over[k] ? over : c->over[k];
            fits = fits && over <= 1;
        }
    }
    return fits;
}

/* What a core that takes `over` times its share may have, of `have` counted by the partitioner. */
static void lower(uint64_t *limit, uint64_t have, double over)
{
    const uint64_t next = (uint64_t)((double)have / over * TIGHTEN);
    if (*limit == 0 || next < *limit)
        *limit = next > 0 ? next : 1;
}

/* Lowers the limit that stands for each resource that some core has too little of. */
static spk_status tighten(struct cutter *c)
{
    const struct ir_cluster_graph *g = &c->graph.graph;
    struct part_metrics metrics;
    struct part_limits next = c->limits;
    SPK_TRY(part_measure(g, c->graph.size, &c->limits, c->part, c->m->n_cores, &metrics));
    for (uint32_t i = 0; i < c->m->n_cores; i++) {
        for (size_t k = 0; k < MAP_N_LIMITS; k++) {
            const enum tgt_limit l = map_limits[k].limit;
            const double over = over_of(c, i, k);
            if (over <= 1)
                continue;
            if (l == TGT_SYNAPSE_BITS)
                lower(&next.synapses, metrics.core[i].synapses, over);
            else if (l == TGT_IN_AXONS && !c->m->net.target->axon_population)
                lower(&next.axons, metrics.core[i].axons, over);
            else
                lower(&next.neurons, metrics.core[i].neurons, over);
        }
    }
    c->limits = next;
    part_metrics_fini(&metrics);
    return SPK_OK;
}

/* Configurations, formats and in-axons for whole populations depend on how many of those a core
 * holds. */
static bool mixes_too_much(const struct cutter *c)
{
    for (size_t k = 0; k < MAP_N_LIMITS; k++) {
        const enum tgt_limit l = map_limits[k].limit;
        if (c->over[k] > 1 && (l == TGT_CONFIGS || l == TGT_SYNAPSE_FORMATS ||
                               (l == TGT_IN_AXONS && c->m->net.target->axon_population)))
            return !c->apart;
    }
    return false;
}

/* Cores with one tile each are shared as those of regular tiles are. */
static spk_status share(struct cutter *c)
{
    if (!c->apart || !map_shares_cores(&c->m->net, c->options))
        return SPK_OK;
    spk_free(c->m->core_first);
    spk_free(c->m->core_tile);
    c->m->core_first = c->m->core_tile = NULL;
    return map_assign_cores(c->m, c->options);
}

static spk_status refuse(struct cutter *c)
{
    size_t worst = 0;
    for (size_t k = 1; k < MAP_N_LIMITS; k++)
        worst = c->over[k] > c->over[worst] ? k : worst;
    return diag_nofit(c->diags, spk_span_none, "E0757",
                      "no cut by neurons was found that respects '%s': the fullest core needs %.2f "
                      "times its %s",
                      c->m->net.target->name, c->over[worst], map_limits[worst].what);
}

/* Not even one neuron fits, with as much as is known of what it takes. */
static spk_status refuse_neuron(const struct cutter *c)
{
    const struct ir_cluster_graph *g = &c->graph.graph;
    const struct map_net *net = &c->m->net;
    uint32_t *inputs, most = 0, pop = 0;
    SPK_TRY(spk_alloc_array(g->n_clusters, sizeof *inputs, &inputs));
    for (uint64_t i = 0; i < g->first[g->n_edges]; i++)
        inputs[g->dest[i]]++;
    for (uint32_t v = 1; v < c->graph.n; v++)
        most = inputs[v] > inputs[most] ? v : most;
    while (c->graph.first[pop + 1] <= most)
        pop++;
    spk_status status = diag_nofit(
        c->diags, net->pops.data[pop].span, "E0759",
        "layer '%s' does not fit '%s': channel %u hears %u neurons, which takes more than a core",
        net->pops.data[pop].name, net->target->name, most - c->graph.first[pop], inputs[most]);
    spk_free(inputs);
    return status;
}

static spk_status cut(struct cutter *c)
{
    struct mapping *m = c->m;
    SPK_TRY(neuron_links_build(&m->net, &c->graph));
    SPK_TRY(neuron_split(&m->net, &c->graph, c->diags));
    SPK_TRY(neuron_graph_build(&m->net, &c->graph));
    SPK_TRY(spk_alloc_array_raw(c->graph.graph.n_clusters, sizeof *c->part, &c->part));
    first_limits(c);
    c->apart = c->options->separate_cores;
    for (int round = 0; round < ROUNDS; round++) {
        spk_status status = partition(c);
        if (status == SPK_ERR_NOFIT)
            return refuse_neuron(c);
        SPK_TRY(status);
        SPK_TRY(neuron_order_set(&m->net, &c->graph, c->part));
        SPK_TRY(map_make_tiles(m));
        SPK_TRY(assign(c));
        SPK_TRY(map_measure(m));
        SPK_TRY(widen(c));
        if (count_over(c))
            return share(c);
        if (!mixes_too_much(c)) {
            SPK_TRY(tighten(c));
            continue;
        }
        c->apart = true;
        first_limits(c);
    }
    return refuse(c);
}

spk_status map_cut_neurons(struct mapping *m, const struct map_options *options,
                           struct diag_list *diags)
{
    struct cutter c = {.m = m, .options = options, .diags = diags};
    spk_status status = cut(&c);
    neuron_graph_fini(&c.graph);
    spk_free(c.part);
    return status;
}
