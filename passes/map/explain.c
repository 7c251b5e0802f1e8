/* Remarks and refusals in words (docs/mapping.md, section 3). */
#include "passes/map/explain.h"

#include <inttypes.h>

/* ---- refusals ---- */

/* Memory of the tile if weights had fewer bits: the largest number of bits that fits, 0 for none.
 */
static spk_status bits_that_fit(const struct map_net *net, const struct map_tile *t,
                                uint32_t *out_bits)
{
    struct tgt fewer = *net->target;
    struct map_net n = *net;
    n.target = &fewer;
    for (*out_bits = net->target->arith.weight_bits; *out_bits > 1;) {
        struct map_usage u;
        fewer.arith.weight_bits = (uint8_t)-- * out_bits;
        SPK_TRY(map_tile_usage(&n, t, &u));
        if (u.synapse_bits <= tgt_limit_value(net->target, TGT_SYNAPSE_BITS))
            return SPK_OK;
    }
    *out_bits = 0;
    return SPK_OK;
}

/* Sets the population to tiles of one position and at most `channels` channels, padded where that
 * saves memory (on engine cores there is one shape); the middle one. */
static struct map_tile smallest_tile(struct map_net *net, uint32_t pop, uint32_t channels)
{
    struct map_pop *p = &net->pops.data[pop];
    struct map_shape s =
        p->engine > 0 ? map_shape_make(p, p->height, p->width, p->engine)
                      : map_shape_make(p, 1, 1, p->channels < channels ? p->channels : channels);
    s.pad_y = s.pad_x = net->target->sharing == TGT_SHARE_POPULATION; /* one block for all */
    map_shape_set(p, &s);
    return map_tile_at(net, pop, p->gh / 2, p->gw / 2, 0);
}

/* The projection that brings a position of the population the most in-axons. */
static const struct map_proj *widest(const struct map_net *net, const struct map_pop *p)
{
    const struct map_proj *best = &net->projs.data[p->proj_first];
    for (uint32_t i = 1; i < p->n_projs; i++) {
        const struct map_proj *j = &net->projs.data[p->proj_first + i];
        if (j->kernel * j->kernel_w * j->n_sources >
            best->kernel * best->kernel_w * best->n_sources)
            best = j;
    }
    return best;
}

spk_status map_explain_fan_in(struct map_net *net, struct diag_list *diags)
{
    const uint64_t have = tgt_limit_value(net->target, TGT_IN_AXONS);
    for (uint32_t i = 0; i < net->pops.len; i++) {
        const struct map_pop before = net->pops.data[i], *p = &before;
        struct map_usage u;
        if (!p->has_compartments || p->n_projs == 0)
            continue;
        const struct map_tile t = smallest_tile(net, i, 1);
        SPK_TRY(map_tile_usage(net, &t, &u));
        net->pops.data[i] = before;
        if (u.in_axons <= have)
            continue;
        const struct map_proj *j = widest(net, p);
        const uint32_t channels = net->pops.data[j->source[0].pop].channels;
        const uint64_t each = (uint64_t)j->kernel * j->kernel_w * j->n_sources;
        const uint64_t enables = p->enable ? (p->coarse ? 2 : 1) : 0;
        spk_status status = diag_nofit(
            diags, p->span, "E0672",
            "layer '%s' does not fit '%s': the inputs of each of its neurons%s need %" PRIu64
            " in-axons, a core has %" PRIu64 " (%s: %u x %u positions of %u channels%s)",
            p->name, net->target->name, enables ? " (not counting its bias)" : "",
            u.in_axons - enables, have, j->weight_name ? j->weight_name : "its projection",
            j->kernel, j->kernel_w, channels, j->n_sources > 1 ? " for every summand" : "");
        diag_note_add(diags, p->span,
                      "a leaky integrate-and-fire neuron adds up all its inputs before it decays "
                      "and fires, so neurons that fire for parts of the input would not compute "
                      "the same; sums of parts need graded spikes, and are made for networks of "
                      "vectors of neurons (--cut neurons)");
        if (!net->target->axon_population)
            diag_help_set(diags,
                          "the smallest change that fits: at most %" PRIu64
                          " channels instead of %u (a smaller dim or mlp_ratio), or a target with "
                          "population axons, which need one in-axon per position",
                          have / each, channels);
        else
            diag_help_set(diags,
                          "the smallest change that fits: %.0f %% of this fan-in (a smaller "
                          "kernel, or a running sum instead of %u summands)",
                          100.0 * (double)have / (double)u.in_axons, j->n_sources);
        return status;
    }
    return SPK_OK;
}

spk_status map_explain_nofit(struct map_net *net, uint32_t pop, struct diag_list *diags)
{
    const struct map_pop *p = &net->pops.data[pop];
    struct map_usage u;
    uint32_t bits = 0;
    const struct map_tile t = smallest_tile(net, pop, 4);
    SPK_TRY(map_tile_usage(net, &t, &u));
    size_t v = map_usage_violation(net->target, &u);
    if (v == MAP_N_LIMITS) /* only a tile at the border fails */
        return diag_nofit(diags, p->span, "E0662",
                          "layer '%s' does not fit '%s': no tile shape respects all limits of a "
                          "core",
                          p->name, net->target->name);
    const uint64_t need = map_usage_of(&u, map_limits[v].limit);
    const uint64_t have = tgt_core_limit(net->target, map_limits[v].limit, u.engine);
    if (map_limits[v].limit == TGT_SYNAPSE_BITS)
        SPK_TRY(bits_that_fit(net, &t, &bits));
    spk_status status =
        diag_nofit(diags, p->span, "E0661",
                   "layer '%s' does not fit '%s': its smallest tile (%u x %u "
                   "positions, %u channels) needs %" PRIu64 " %s, a core has %" PRIu64,
                   p->name, net->target->name, t.ny, t.nx, t.nc, need, map_limits[v].what, have);
    const double share = (double)have / (double)need;
    const uint32_t channels =
        p->n_projs ? net->pops.data[widest(net, p)->source[0].pop].channels : 0;
    if (bits > 0)
        diag_help_set(diags,
                      "the smallest change that fits: %u-bit weights, or about %.0f input channels "
                      "instead of %u (a smaller dim or mlp_ratio)",
                      bits, share * channels, channels);
    else
        diag_help_set(diags,
                      "the smallest change that fits: %.0f %% of this layer's fan-in, about %.0f "
                      "input channels instead of %u (a smaller dim or mlp_ratio)",
                      100.0 * share, share * channels, channels);
    return status;
}

/* ---- remarks ---- */

static uint32_t ceil_div(uint32_t a, uint32_t b)
{
    return (a + b - 1) / b;
}

/* Usage of the middle tile of `pop` with shape `x` between its neighbours as they are. */
static spk_status usage_between(struct mapping *m, const struct search *s, uint32_t pop,
                                const struct map_shape *x, struct map_usage *out)
{
    struct map_net *net = &m->net;
    struct map_pop *p = &net->pops.data[pop];
    const struct map_pop before = *p;
    uint64_t slots = search_port_axons(s, pop, x);
    map_shape_set(p, x);
    const struct map_tile t = map_tile_at(net, pop, x->gh / 2, x->gw / 2, 0);
    spk_status status = map_tile_usage(net, &t, out);
    for (uint32_t o = s->out_first[pop]; o < s->out_first[pop + 1] && status == SPK_OK; o++) {
        const struct search_edge *e = &s->edges.data[s->out[o]];
        const struct map_pop *d = &net->pops.data[e->dst];
        const struct map_shape to = map_shape_of(d);
        struct search_pair pair;
        status = search_pair_price(net, &net->projs.data[e->proj], p, x, d, &to, &pair);
        slots += pair.out;
    }
    out->out_axons = slots;
    *p = before;
    return status;
}

/* What the tile would be with the next larger size along one axis, and why it is not. */
static spk_status note_larger(struct mapping *m, const struct search *s, uint32_t pop, int axis)
{
    const struct map_pop *p = &m->net.pops.data[pop];
    const char *const names[3] = {"rows", "columns", "channels"};
    const uint32_t old[3] = {p->th, p->tw, p->tc}, grid[3] = {p->gh, p->gw, p->gc};
    uint32_t size[3] = {p->th, p->tw, p->tc};
    const uint32_t all[3] = {p->height, p->width, p->channels};
    struct map_usage u;
    if (grid[axis] == 1)
        return SPK_OK;
    size[axis] = ceil_div(all[axis], grid[axis] - 1);
    if (axis == 2 && size[2] > map_axon_atoms(m->net.target, 0, 0)) {
        diag_note_add(s->diags, p->span, "channels %u to %u: an axon has %u atoms", old[2], size[2],
                      map_axon_atoms(m->net.target, 0, 0));
        return SPK_OK;
    }
    struct map_shape x = map_shape_make(p, size[0], size[1], size[2]);
    x.slice = p->slice;
    x.pad_y = p->pad_y;
    x.pad_x = p->pad_x;
    SPK_TRY(usage_between(m, s, pop, &x, &u));
    const size_t v = map_usage_violation(m->net.target, &u);
    if (v == MAP_N_LIMITS)
        diag_note_add(s->diags, p->span, "%s %u to %u: would fit, with %" PRIu64 " tiles in all",
                      names[axis], old[axis], size[axis], shape_tiles(&x));
    else
        diag_note_add(s->diags, p->span, "%s %u to %u: needs %" PRIu64 " %s, a core has %" PRIu64,
                      names[axis], old[axis], size[axis], map_usage_of(&u, map_limits[v].limit),
                      map_limits[v].what, tgt_limit_value(m->net.target, map_limits[v].limit));
    return SPK_OK;
}

/* Whether shape b of the set is legal for its sources as they are cut. */
static bool sources_bear(const struct mapping *m, const struct search *s, uint32_t pop, uint32_t b,
                         const uint8_t *choice)
{
    const uint64_t have = tgt_limit_value(m->net.target, TGT_OUT_AXONS);
    for (uint32_t i = s->in_first[pop]; i < s->in_first[pop + 1]; i++) {
        const struct search_edge *e = &s->edges.data[i];
        uint64_t slots = search_port_axons(s, e->src, &s->set[e->src]->shape[choice[e->src]]);
        for (uint32_t o = s->out_first[e->src]; o < s->out_first[e->src + 1]; o++) {
            const struct search_edge *f = &s->edges.data[s->out[o]];
            const uint32_t to = f->dst == pop ? b : choice[f->dst];
            slots += f->pair[choice[e->src] * s->set[f->dst]->n + to].out;
        }
        if (slots > have)
            return false;
    }
    return true;
}

static spk_status note_next_best(struct mapping *m, const struct search *s, uint32_t pop,
                                 const uint8_t *choice)
{
    const struct search_set *set = s->set[pop];
    const struct map_pop *p = &m->net.pops.data[pop];
    uint32_t best = IR_NONE;
    struct search_cost least = {0, 0};
    for (uint32_t b = 0; b < set->n; b++) {
        const struct search_cost c = search_cost_of(s, pop, b, choice);
        struct map_usage u;
        if (b == choice[pop] ||
            (best != IR_NONE &&
             (c.first > least.first || (c.first == least.first && c.second >= least.second))))
            continue;
        SPK_TRY(usage_between(m, s, pop, &set->shape[b], &u));
        if (map_usage_violation(m->net.target, &u) != MAP_N_LIMITS ||
            !sources_bear(m, s, pop, b, choice))
            continue;
        best = b;
        least = c;
    }
    if (best == IR_NONE) {
        diag_note_add(s->diags, p->span, "no other tile is legal between its neighbours");
        return SPK_OK;
    }
    const struct map_shape *x = &set->shape[best];
    const struct search_cost own = search_cost_of(s, pop, choice[pop], choice);
    static const char *const units[] = {"tiles", "messages x hops per frame", "pJ per frame",
                                        "ns per step in the busiest core"};
    diag_note_add(
        s->diags, p->span,
        "next best: %u x %u positions, %u channels: %.6g %s instead of %.6g, then %.6g %s "
        "instead of %.6g",
        x->th, x->tw, x->tc, least.first, units[s->objective], own.first, least.second,
        s->objective == MAP_CORES ? "expected messages" : "tiles", own.second);
    return SPK_OK;
}

static double percent(const struct tgt *t, enum tgt_limit l, uint64_t use)
{
    const uint64_t have = tgt_limit_value(t, l);
    return have == UINT64_MAX ? 0.0 : 100.0 * (double)use / (double)have;
}

spk_status map_explain_tiles(struct mapping *m, const struct search *s, const uint8_t *choice)
{
    const struct tgt *t = m->net.target;
    for (uint32_t i = 0; i < m->net.pops.len; i++) {
        const struct map_pop *p = &m->net.pops.data[i];
        struct map_usage u = {0};
        if (!p->has_compartments)
            continue;
        for (uint32_t k = 0; k < p->gh * p->gw * p->gc; k++) { /* the fullest of each */
            const struct map_usage *x = &m->usage[p->tile_first + k];
            u.neurons = x->neurons > u.neurons ? x->neurons : u.neurons;
            u.in_axons = x->in_axons > u.in_axons ? x->in_axons : u.in_axons;
            u.out_axons = x->out_axons > u.out_axons ? x->out_axons : u.out_axons;
            u.synapse_bits = x->synapse_bits > u.synapse_bits ? x->synapse_bits : u.synapse_bits;
        }
        diag_remark(s->diags, p->span, "R0601",
                    "'%s': %u tiles of %u x %u positions and %u channels (%u x %u x %u); at most "
                    "%u neurons (%.0f %%), %" PRIu64 " in-axons (%.0f %%), %" PRIu64
                    " out-axon slots (%.0f %%), %" PRIu64 " synapse bits (%.0f %%)",
                    p->name, p->gh * p->gw * p->gc, p->th, p->tw, p->tc, p->gh, p->gw, p->gc,
                    u.neurons, percent(t, TGT_NEURONS, u.neurons), u.in_axons,
                    percent(t, TGT_IN_AXONS, u.in_axons), u.out_axons,
                    percent(t, TGT_OUT_AXONS, u.out_axons), u.synapse_bits,
                    percent(t, TGT_SYNAPSE_BITS, u.synapse_bits));
        if (p->fewest_tiles > 0) {
            diag_note_add(s->diags, p->span,
                          "%u tiles would do; so many fit into the gaps of other layers' cores, "
                          "which saves %u cores",
                          p->fewest_tiles, p->recut_saves);
            continue;
        }
        for (int axis = 0; axis < 3; axis++)
            SPK_TRY(note_larger(m, s, i, axis));
        SPK_TRY(note_next_best(m, s, i, choice));
    }
    return SPK_OK;
}

void map_explain_cores(const struct mapping *m, struct diag_list *diags)
{
    for (uint32_t i = 0; i < m->net.pops.len; i++) {
        const struct map_pop *p = &m->net.pops.data[i];
        const uint32_t first = p->tile_first, n = p->gh * p->gw * p->gc;
        uint32_t guests = 0, hosts = 0, host = IR_NONE;
        for (uint32_t t = first; t < first + n && p->has_compartments; t++) {
            const uint32_t core = m->tiles.data[t].core, lead = m->core_tile[m->core_first[core]];
            if (lead < first || lead >= first + n) {
                guests++;
                host = host == IR_NONE ? m->tiles.data[lead].pop : host;
            } else if (lead == t) {
                hosts += m->core_first[core + 1] - m->core_first[core] > 1;
            }
        }
        if (guests > 0)
            diag_remark(diags, p->span, "R0602",
                        "'%s': %u of its %u tiles are guests on cores of other layers ('%s'%s)",
                        p->name, guests, n, m->net.pops.data[host].name,
                        guests > 1 ? " and so on" : "");
        if (hosts > 0)
            diag_remark(diags, p->span, "R0602", "'%s': %u of its cores also hold other tiles",
                        p->name, hosts);
    }
}
