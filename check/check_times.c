/* Checker: times of connections. A spike must be seen when the layer of its target starts. Most
 * connections reach one group and are in time as a whole; a core with any other is looked at run by
 * run. Enable spikes must reach neurons of their own layer only. */
#include "check/check_internal.h"

uint32_t check_lag(const struct check *c, uint32_t from, uint32_t to)
{
    const struct rule *r = &c->rules[to];

    if (r->kind == RULE_PARTIAL) /* it hears what the whole would */
        r = &c->rules[r->whole];
    for (uint32_t i = 0; r->kind == RULE_PROJECT && i < r->n_sources; i++)
        if (c->sources.data[r->source_first + i] == from)
            return c->lags.data[r->source_first + i];
    return 0;
}

bool check_time_plain(const struct check *c, const struct img_in_axon *a, uint32_t first_group,
                      uint32_t last_group, uint64_t feeder)
{
    const struct image *im = c->im;
    uint32_t start, enabled = IMG_NONE, from;
    struct source s;

    if (feeder >= im->n_out_axons) {
        const struct img_injection *j = &im->injections[feeder - im->n_out_axons];

        start = j->start;
        from = j->layer;
        if (j->kind == IMG_INJECT_ENABLE)
            enabled = j->layer;
        else if (start != im->layers[j->layer].start)
            return false;
    } else {
        if (!check_feeder_source(c, feeder, 0, &s))
            return false;
        from = s.layer;
        start = im->layers[s.layer].start;
    }
    for (uint32_t g = first_group; g <= last_group; g++) {
        const uint32_t layer = im->groups[g].layer;

        const uint32_t lag = enabled == IMG_NONE ? check_lag(c, from, layer) : 0;

        if ((uint64_t)start + 1 + a->delay != (uint64_t)im->layers[layer].start + lag ||
            (enabled != IMG_NONE && layer != enabled))
            return false;
    }
    return true;
}

struct timing {
    struct check *c;
    uint32_t core;
    uint64_t arrival; /* step at which the targets see frame 0 */
    uint32_t from;    /* layer, IMG_NONE: enable spikes */
    uint32_t enabled; /* layer of an enable spike, else IMG_NONE */
    uint32_t wrong_layer, wrong_target;
};

static void time_run(void *ctx, uint32_t first, uint32_t n, const int8_t *weights, size_t at)
{
    struct timing *t = ctx;
    const struct img_core *k = &t->c->im->cores[t->core];

    (void)weights;
    (void)at;
    for (uint32_t i = k->group_first; i < k->group_first + k->n_groups; i++) {
        const struct img_group *g = &t->c->im->groups[i];
        const uint32_t lag = t->from == IMG_NONE ? 0 : check_lag(t->c, t->from, g->layer);
        const bool late = (uint64_t)t->c->im->layers[g->layer].start + lag != t->arrival;
        const bool foreign = t->enabled != IMG_NONE && g->layer != t->enabled;

        for (uint32_t comp = first; comp < first + n && (late || foreign); comp++) {
            if (img_group_neuron(g, comp) == IMG_NONE)
                continue;
            t->wrong_layer = late ? g->layer : t->wrong_layer;
            t->wrong_target = foreign ? g->layer : t->wrong_target;
        }
    }
}

static void check_time(struct check *c, uint32_t core, uint32_t local, uint64_t feeder)
{
    const struct image *im = c->im;
    const struct img_core *k = &im->cores[core];
    const struct img_in_axon *a = &im->in_axons[k->in_axon_first + local];
    struct timing t = {c, core, .enabled = IMG_NONE, .wrong_layer = IMG_NONE,
                       .wrong_target = IMG_NONE};
    uint32_t from = IMG_NONE, start, rows = 1;
    struct source s;

    if (a->port >= IMG_PORT_Q)
        return; /* an engine's, see check_engine.c */
    if (feeder >= im->n_out_axons) {
        const struct img_injection *j = &im->injections[feeder - im->n_out_axons];

        start = j->start;
        if (j->kind == IMG_INJECT_ENABLE) {
            t.enabled = j->layer;
        } else {
            from = j->layer;
            if (start != im->layers[from].start)
                check_violation(c, "E0947", from, core,
                                "injected for in-axon %u at step %u, the layer fires at %u", local,
                                start, im->layers[from].start);
        }
    } else {
        if (!check_feeder_source(c, feeder, 0, &s))
            return;
        from = s.layer;
        start = im->layers[from].start;
    }
    t.arrival = (uint64_t)start + 1 + a->delay;
    t.from = from;
    if (from != IMG_NONE)
        rows = check_feeder_atoms(c, feeder);
    for (uint32_t i = 0; i < rows; i++)
        check_each_run(c, a, check_feeder_atom(c, feeder) + i, time_run, &t);
    if (t.wrong_target != IMG_NONE)
        check_violation(c, "E0947", t.enabled, core, "its enable spike goes to '%s'",
                        check_layer_name(c, t.wrong_target));
    if (t.wrong_layer != IMG_NONE)
        check_violation(
            c, "E0947", t.wrong_layer, core,
            "in-axon %u: %s%s%s fires at step %u and is seen at %llu with delay %u; the "
            "layer starts at %u",
            local, from == IMG_NONE ? "the enable spike" : "'",
            from == IMG_NONE ? "" : check_layer_name(c, from), from == IMG_NONE ? "" : "'", start,
            (unsigned long long)t.arrival, a->delay, im->layers[t.wrong_layer].start);
}

void check_core_times(struct check *c, uint32_t core)
{
    const struct img_core *k = &c->im->cores[core];

    for (uint32_t j = 0; j < k->n_in_axons; j++) {
        uint64_t id = (uint64_t)k->in_axon_first + j;
        const struct img_in_axon *a = &c->im->in_axons[id];
        uint32_t first, last;

        check_axon_groups(c, core, a, &first, &last);
        for (uint64_t f = c->feeder_first[id]; f < c->feeder_first[id + 1]; f++)
            if (!check_time_plain(c, a, first, last, c->feeders[f]))
                check_time(c, core, j, c->feeders[f]);
    }
}
