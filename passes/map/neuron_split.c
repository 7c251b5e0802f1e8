/* Fan-in beyond a core: partial sums (docs/mapping.md, section 3).
 *
 * A leaky neuron adds up all inputs of a step before it decays and fires, so it may hear sums of
 * parts of them in their place. On chips with graded spikes a neuron without state sends such a sum
 * as its payload. The rows of all that a population hears are cut into ranges of equal length, one
 * for each population of partial sums; the population hears those with weight one. Sums wrap as
 * the state does, so nothing is lost where a payload has as many bits. What hears the population
 * starts a step later, and so on; delays of synapses make up for it where paths meet. */
#include <string.h>

#include "passes/map/net_internal.h"
#include "passes/map/neuron_graph.h"
#include "support/alloc.h"

struct splitter {
    struct map_net *net;
    struct diag_list *diags;
    struct neuron_graph *g;
    VEC(struct map_proj) projs; /* the new ones, by population */
    VEC(struct neuron_links) links;
};

/* ---- what fits ---- */

/* Rows that a core can take for one neuron: each is a word of memory at least, and an in-axon where
 * those have no atoms. */
static uint64_t most_rows(const struct map_net *net)
{
    const struct tgt *t = net->target;
    const uint64_t bits = tgt_limit_value(t, TGT_SYNAPSE_BITS);
    const uint64_t axons = tgt_limit_value(t, TGT_IN_AXONS);
    const uint64_t row =
        tgt_row_bits(&t->format, 1, t->arith.weight_bits, 0, map_index_bits(&t->format, 0));
    uint64_t most = bits == UINT64_MAX || row == 0 ? UINT64_MAX : bits / row;
    if (!t->axon_population && axons < most)
        most = axons;
    return most;
}

/* Positions of sources that a neuron may hear: an in-axon for each, two more at the ends. */
static uint64_t most_positions(const struct map_net *net)
{
    const uint64_t axons = tgt_limit_value(net->target, TGT_IN_AXONS);
    return axons == UINT64_MAX ? axons : axons > 4 ? axons - 4 : 1;
}

struct range {
    uint64_t from, to; /* rows, counted over all links of the population */
};

static const struct map_pop *source_of(const struct map_net *net, const struct neuron_links *l)
{
    return &net->pops.data[net->projs.data[l->proj].source[l->source].pop];
}

/* Whether every neuron can hear its inputs among the rows of a range. */
static spk_status range_fits(const struct splitter *s, uint32_t pop, struct range r, bool *out)
{
    const struct map_net *net = s->net;
    uint64_t at = 0, positions = 0;
    uint32_t *inputs;
    SPK_TRY(spk_alloc_array(net->pops.data[pop].channels, sizeof *inputs, &inputs));
    *out = true;
    for (size_t i = 0; i < s->g->links.len; i++) {
        const struct neuron_links *l = &s->g->links.data[i];
        const uint32_t channels = source_of(net, l)->channels;
        if (net->projs.data[l->proj].target != pop)
            continue;
        for (uint32_t row = 0; row < l->rows; row++, at++) {
            if (at < r.from || at >= r.to || l->first[row] == l->first[row + 1])
                continue;
            positions += row % channels == 0 || at == r.from;
            for (uint64_t k = l->first[row]; k < l->first[row + 1]; k++)
                inputs[l->target[k]]++;
        }
    }
    for (uint32_t c = 0; c < net->pops.data[pop].channels; c++)
        *out = *out && inputs[c] <= most_rows(net);
    *out = *out && (!net->target->axon_population || positions <= most_positions(net));
    spk_free(inputs);
    return SPK_OK;
}

static uint64_t count_rows(const struct splitter *s, uint32_t pop)
{
    uint64_t rows = 0;
    for (size_t i = 0; i < s->g->links.len; i++)
        if (s->net->projs.data[s->g->links.data[i].proj].target == pop)
            rows += s->g->links.data[i].rows;
    return rows;
}

static struct range range_at(uint64_t rows, uint32_t parts, uint32_t i)
{
    return (struct range){rows * i / parts, rows * (i + 1) / parts};
}

/* Fewest ranges of which all fit; 1: nothing is to be split. */
static spk_status count_parts(const struct splitter *s, uint32_t pop, uint32_t *out)
{
    const uint64_t rows = count_rows(s, pop);
    bool fit = rows == 0;
    for (*out = 1; !fit && *out <= rows; *out += !fit) {
        fit = true;
        for (uint32_t i = 0; i < *out && fit; i++)
            SPK_TRY(range_fits(s, pop, range_at(rows, *out, i), &fit));
    }
    return SPK_OK;
}

static spk_status refuse(const struct splitter *s, const struct map_pop *p, uint32_t parts)
{
    spk_status status =
        diag_nofit(s->diags, p->span, "E0760",
                   "layer '%s' does not fit '%s': its neurons hear %u times what a core holds, and "
                   "partial sums need graded spikes of at least %u bits",
                   p->name, s->net->target->name, parts, s->net->target->arith.state_bits);
    diag_help_set(s->diags, "fewer inputs, or a target with graded spikes");
    return status;
}

/* ---- partial sums ---- */

/* The links of the rows in a range, as those of projection `proj`. */
static spk_status slice_links(const struct neuron_links *l, uint64_t from, uint64_t to,
                              uint32_t proj, struct neuron_links *out)
{
    *out = (struct neuron_links){.proj = proj, .rows = l->rows};
    SPK_TRY(spk_alloc_array((size_t)l->rows + 1, sizeof *out->first, &out->first));
    for (uint32_t row = 0; row < l->rows; row++)
        out->first[row + 1] =
            out->first[row] + (row >= from && row < to ? l->first[row + 1] - l->first[row] : 0);
    SPK_TRY(spk_alloc_array_raw(out->first[l->rows], sizeof *out->target, &out->target));
    if (from < to && out->first[l->rows] > 0)
        memcpy(out->target, l->target + l->first[from], out->first[l->rows] * sizeof *out->target);
    return SPK_OK;
}

/* The population of one range, behind all others. */
static spk_status push_sum(struct splitter *s, uint32_t pop, uint32_t part)
{
    const struct map_pop *p = &s->net->pops.data[pop];
    const char *name = arena_printf(&s->net->arena, "%s.sum%u", p->name, part);
    struct map_pop sum = net_pop_default(name, IMG_LAYER_AUX, IR_NONE);
    if (name == NULL)
        return SPK_ERR_NOMEM;
    sum.span = p->span;
    sum.channels = p->channels;
    sum.height = sum.width = 1;
    sum.layout = p->layout;
    sum.program = IMG_PROG_SUM;
    sum.payload_bound = (1u << (s->net->target->arith.payload_bits - 1)) - 1;
    sum.rate = sum.payload_bound; /* hardly ever 0 */
    return vec_push(&s->net->pops, sum);
}

/* Projections of the newest population: a range of what `pop` hears. */
static spk_status fill_sum(struct splitter *s, uint32_t pop, struct range r)
{
    struct map_net *net = s->net;
    struct map_pop *sum = &vec_last(&net->pops);
    uint64_t at = 0;
    sum->proj_first = (uint32_t)s->projs.len;
    for (size_t i = 0; i < s->g->links.len; i++) {
        const struct neuron_links *l = &s->g->links.data[i];
        const uint64_t from = r.from > at ? r.from - at : 0;
        const uint64_t to = r.to > at ? r.to - at : 0;
        if (net->projs.data[l->proj].target != pop)
            continue;
        at += l->rows;
        if (from >= l->rows || to == 0)
            continue;
        struct map_proj proj = net->projs.data[l->proj];
        const uint32_t id = (uint32_t)s->projs.len;
        proj.target = (uint32_t)net->pops.len - 1;
        proj.block_proj = id;
        proj.shift =
            (uint8_t)(proj.shift - net_unit_shift(net->target)); /* sums count in such units */
        proj.n_sources = 1;
        proj.source = arena_memdup(&net->arena, &proj.source[l->source], sizeof *proj.source,
                                   _Alignof(struct map_source));
        if (proj.source == NULL)
            return SPK_ERR_NOMEM;
        SPK_TRY(vec_push(&s->projs, proj));
        SPK_TRY(vec_push(&s->links, (struct neuron_links){0}));
        SPK_TRY(slice_links(l, from, to < l->rows ? to : l->rows, id, &vec_last(&s->links)));
        sum->n_projs++;
    }
    return SPK_OK;
}

static spk_status identity_links(uint32_t n, uint32_t proj, uint32_t source,
                                 struct neuron_links *out)
{
    *out = (struct neuron_links){.proj = proj, .source = source, .rows = n};
    SPK_TRY(spk_alloc_array((size_t)n + 1, sizeof *out->first, &out->first));
    SPK_TRY(spk_alloc_array_raw(n, sizeof *out->target, &out->target));
    for (uint32_t i = 0; i < n; i++) {
        out->target[i] = i;
        out->first[i + 1] = i + 1;
    }
    return SPK_OK;
}

/* The population hears its sums, the newest `parts` populations. */
static spk_status hear_sums(struct splitter *s, uint32_t pop, uint32_t parts)
{
    struct map_net *net = s->net;
    struct map_pop *p = &net->pops.data[pop];
    struct map_proj proj = net_proj_default(pop);
    proj.chan = MAP_CHAN_SAME;
    proj.view_h = proj.view_w = 1;
    proj.shift = net_unit_shift(net->target);
    proj.block_proj = (uint32_t)s->projs.len;
    proj.n_sources = parts;
    proj.source = ARENA_NEW_ARRAY(&net->arena, struct map_source, parts);
    if (proj.source == NULL)
        return SPK_ERR_NOMEM;
    for (uint32_t i = 0; i < parts; i++) {
        proj.source[i].pop = (uint32_t)net->pops.len - parts + i;
        SPK_TRY(vec_push(&s->links, (struct neuron_links){0}));
        SPK_TRY(identity_links(p->channels, proj.block_proj, i, &vec_last(&s->links)));
    }
    p->proj_first = proj.block_proj;
    p->n_projs = 1;
    return vec_push(&s->projs, proj);
}

/* Takes over the projections of a population that is not split. */
static spk_status keep(struct splitter *s, uint32_t pop)
{
    struct map_pop *p = &s->net->pops.data[pop];
    const uint32_t before = p->proj_first, now = (uint32_t)s->projs.len;
    for (uint32_t i = 0; i < p->n_projs; i++) {
        SPK_TRY(vec_push(&s->projs, s->net->projs.data[before + i]));
        vec_last(&s->projs).block_proj = now + i;
    }
    for (size_t i = 0; i < s->g->links.len; i++) {
        struct neuron_links *l = &s->g->links.data[i];
        if (s->net->projs.data[l->proj].target != pop)
            continue;
        SPK_TRY(vec_push(&s->links, *l));
        vec_last(&s->links).proj = now + l->proj - before;
        l->first = NULL; /* moved */
        l->target = NULL;
    }
    p->proj_first = now;
    return SPK_OK;
}

/* ---- time ---- */

static spk_status refuse_time(const struct splitter *s, const struct map_pop *p)
{
    return diag_nofit(s->diags, p->span, "E0761",
                      "layer '%s' does not fit '%s': partial sums of its inputs take a step more "
                      "than a loop or the delays of synapses allow",
                      p->name, s->net->target->name);
}

/* Starts are moved back as far as partial sums ask for, delays follow. */
static spk_status set_times(struct splitter *s)
{
    struct map_net *net = s->net;
    const uint32_t before = net->latency;
    uint32_t latest = 0, was = 0;
    bool moved = true;
    for (size_t i = 0; i < net->pops.len; i++)
        was = net->pops.data[i].start > was ? net->pops.data[i].start : was;
    for (size_t round = 0; moved; round++) {
        moved = false;
        for (size_t i = 0; i < net->projs.len; i++) {
            const struct map_proj *p = &net->projs.data[i];
            struct map_pop *to = &net->pops.data[p->target];
            for (uint32_t k = 0; k < p->n_sources; k++) {
                const uint32_t from = net->pops.data[p->source[k].pop].start + 1;
                if (from <= to->start + p->source[k].lag)
                    continue;
                to->start = from - p->source[k].lag;
                moved = true;
            }
            if (moved && round > net->pops.len)
                return refuse_time(s, to);
        }
    }
    for (size_t i = 0; i < net->projs.len; i++) {
        struct map_proj *p = &net->projs.data[i];
        const struct map_pop *to = &net->pops.data[p->target];
        for (uint32_t k = 0; k < p->n_sources; k++) {
            struct map_source *from = &p->source[k];
            from->delay = to->start + from->lag - 1 - net->pops.data[from->pop].start;
            if (from->delay > tgt_limit_value(net->target, TGT_DELAY))
                return refuse_time(s, to);
        }
        latest = to->start > latest ? to->start : latest;
    }
    net->latency = latest > was ? before + latest - was : before;
    return SPK_OK;
}

/* ---- main line ---- */

static spk_status split_all(struct splitter *s)
{
    struct map_net *net = s->net;
    const uint32_t n = (uint32_t)net->pops.len;
    const struct tgt *t = net->target;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t parts = 1;
        if (net->pops.data[i].has_compartments)
            SPK_TRY(count_parts(s, i, &parts));
        if (parts <= 1) {
            SPK_TRY(keep(s, i));
            continue;
        }
        if (t->arith.payload_bits < t->arith.state_bits)
            return refuse(s, &net->pops.data[i], parts);
        const uint64_t rows = count_rows(s, i);
        for (uint32_t k = 0; k < parts; k++) {
            SPK_TRY(push_sum(s, i, k));
            SPK_TRY(fill_sum(s, i, range_at(rows, parts, k)));
        }
        SPK_TRY(hear_sums(s, i, parts));
    }
    return SPK_OK;
}

static void links_fini(struct neuron_links *l, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        spk_free(l[i].first);
        spk_free(l[i].target);
    }
}

spk_status neuron_split(struct map_net *net, struct neuron_graph *links, struct diag_list *diags)
{
    struct splitter s = {.net = net, .diags = diags, .g = links};
    const size_t pops = net->pops.len;
    spk_status status = split_all(&s);
    links_fini(links->links.data, links->links.len);
    vec_fini(&links->links);
    vec_fini(&net->projs);
    memcpy(&links->links, &s.links, sizeof s.links);
    memcpy(&net->projs, &s.projs, sizeof s.projs);
    return status == SPK_OK && net->pops.len > pops ? set_times(&s) : status;
}
