/* Checker, part 5: the neurons of each layer: present exactly once, with the right program,
 * threshold, leak and reset; layer descriptions. Inner populations have no parameters in the
 * module: what their thresholds must achieve is checked in check_synapses.c.                    */
#include "check/check_internal.h"

#include <string.h>

#include "support/alloc.h"

const int32_t *check_i32_param(const struct check *c, uint32_t node, uint32_t index)
{
    const struct ir_node *n = &c->m->node[node];
    const struct ir_param *p;

    if (index >= n->n_params)
        return NULL;
    p = &c->m->param[n->param[index]];
    return p->dtype == IR_DT_I32 && ir_param_elements(p) == n->type.channels
               ? (const int32_t *)p->data
               : NULL;
}

static bool is_neuron(const struct rule *r)
{
    return r->kind == RULE_HOST || r->kind == RULE_PROJECT || r->kind == RULE_ATTENTION ||
           r->kind == RULE_GATED || r->kind == RULE_PLASTIC || r->kind == RULE_ENGINE;
}

/* Whether a program may compute a layer whose parameters the module gives. */
static bool program_fits(const struct rule *r, uint8_t program)
{
    if (r->kind == RULE_GATED)
        return program == IMG_PROG_GATED;
    if (r->kind == RULE_ENGINE)
        return program == IMG_PROG_ENGINE;
    return program == IMG_PROG_FIXED || program == IMG_PROG_PROG;
}

static void check_group_neurons(struct check *c, const struct img_group *g)
{
    const struct image *im = c->im;
    const struct rule *r = &c->rules[g->layer];
    const struct ir_node *n = &c->m->node[r->node];
    const struct ir_neuron_q *q = &n->a.neuron.q;
    const int32_t *vth = check_i32_param(c, r->node, 0);
    const struct img_core *k = &im->cores[g->core];
    uint64_t wrong = 0;

    if ((g->host_current != 0) != (r->kind == RULE_HOST))
        check_violation(c, "E0944", g->layer, g->core, "host currents are %s, expected %s",
                        g->host_current ? "on" : "off", r->kind == RULE_HOST ? "on" : "off");
    if (!is_neuron(r) || !vth)
        return;
    for (uint32_t i = 0; i < g->nc; i++) {
        const uint32_t channel = img_channel(im, g->layer, g->c0 + i);
        const struct img_config *f =
            &im->configs[k->config_first + im->channel_config[g->channel_config + i]];

        if (f->vth == vth[channel] && f->decay == q->decay && f->current_keep == q->current_keep &&
            (f->soft_reset != 0) == q->soft_reset && program_fits(r, f->program))
            continue;
        if (wrong++ == 0)
            check_violation(c, "E0944", g->layer, g->core,
                            "channel %u: threshold %d, decay %u, kept current %u, %s reset, "
                            "program %u; expected threshold %d, decay %u, kept current %u, %s "
                            "reset",
                            channel, f->vth, f->decay, f->current_keep,
                            f->soft_reset ? "soft" : "hard", f->program, vth[channel], q->decay,
                            q->current_keep, q->soft_reset ? "soft" : "hard");
    }
    if (wrong > 1)
        check_count(c, wrong - 1);
}

/* Marks which neurons of a layer exist; groups that hold a neuron twice are violations. */
static spk_status check_presence(struct check *c, uint32_t layer, const uint32_t *groups,
                                 uint32_t n_groups)
{
    const struct img_layer *l = &c->im->layers[layer];
    uint64_t positions = (uint64_t)l->height * l->width, n = positions * l->channels, missing = 0;
    uint8_t *seen;

    SPK_TRY(spk_alloc_array(n, 1, &seen));
    for (uint32_t i = 0; i < n_groups; i++) {
        const struct img_group *g = &c->im->groups[groups[i]];
        uint64_t doubled = 0, first = 0;

        for (uint32_t p = 0; p < g->ny * g->nx; p++) {
            uint64_t position = (uint64_t)(g->y0 + p / g->nx) * l->width + g->x0 + p % g->nx;

            for (uint32_t ch = g->c0; ch < g->c0 + g->nc; ch++) {
                uint64_t at = ch * positions + position;

                if (seen[at] && doubled++ == 0)
                    first = at;
                seen[at] = 1;
            }
        }
        if (doubled) {
            check_violation(c, "E0943", layer, g->core,
                            "%llu neurons exist twice, the first is channel %llu, position %llu",
                            (unsigned long long)doubled, (unsigned long long)(first / positions),
                            (unsigned long long)(first % positions));
            check_count(c, doubled - 1);
        }
    }
    for (uint64_t i = n; i-- > 0;) {
        if (!seen[i]) {
            missing++;
            n = i;
        }
    }
    if (missing) {
        check_violation(c, "E0943", layer, IMG_NONE,
                        "%llu neurons are on no core, the first is channel %llu, position %llu",
                        (unsigned long long)missing, (unsigned long long)(n / positions),
                        (unsigned long long)(n % positions));
        check_count(c, missing - 1);
    }
    spk_free(seen);
    return SPK_OK;
}

static enum img_layer_kind expected_kind(const struct rule *r)
{
    switch (r->kind) {
    case RULE_INPUT:
        return IMG_LAYER_INPUT;
    case RULE_POOL:
        return IMG_LAYER_POOL;
    case RULE_RELAY:
    case RULE_QRELAY:
        return IMG_LAYER_RELAY;
    case RULE_EMBEDDED:
        return IMG_LAYER_EMBEDDED;
    case RULE_AND:
    case RULE_SUM:
    case RULE_THERM:
    case RULE_GATE:
    case RULE_ACC:
    case RULE_PARTIAL:
        return IMG_LAYER_AUX;
    default:
        return IMG_LAYER_NEURON;
    }
}

static void check_description(struct check *c, uint32_t layer)
{
    const struct img_layer *l = &c->im->layers[layer];
    const struct rule *r = &c->rules[layer];
    enum img_layer_kind kind = expected_kind(r);
    const struct ir_node *n = &c->m->node[r->node];
    const struct phase *p = &c->phases[layer];
    bool inner = kind == IMG_LAYER_AUX || r->kind == RULE_QRELAY;

    if (l->kind != (uint32_t)kind)
        check_violation(c, "E0942", layer, IMG_NONE, "is of kind %u, expected %u", l->kind,
                        (unsigned)kind);
    if (l->start != 0 && (kind == IMG_LAYER_INPUT || r->kind == RULE_HOST))
        check_violation(c, "E0942", layer, IMG_NONE, "starts at step %u, expected 0", l->start);
    if (!inner && kind != IMG_LAYER_INPUT &&
        ((l->recorded != 0) != n->recorded || l->layout != (uint32_t)n->type.layout))
        check_violation(c, "E0942", layer, IMG_NONE,
                        "recorded %u, layout %u; expected recorded %u, layout %u", l->recorded,
                        l->layout, n->recorded, (unsigned)n->type.layout);
    if (!inner && kind != IMG_LAYER_INPUT && l->payload_bound < n->type.bound)
        check_violation(c, "E0942", layer, IMG_NONE, "payload bound %u, the value reaches %u",
                        l->payload_bound, n->type.bound);
    if (l->phase_base != p->base || l->phase_position != p->position ||
        (l->phase_mod ? l->phase_div : 0) != p->div || l->phase_mod != p->mod)
        check_violation(c, "E0947", layer, IMG_NONE,
                        "leaves at tick %u + %u * position + channel / %u %% %u; expected %u + %u "
                        "* position + channel / %u %% %u (0: no such term)",
                        l->phase_base, l->phase_position, l->phase_div, l->phase_mod, p->base,
                        p->position, p->div, p->mod);
    if (inner && l->payload_bound < r->tokens &&
        (r->kind == RULE_ACC || (r->product && (r->kind == RULE_SUM || r->kind == RULE_GATE))))
        check_violation(c, "E0942", layer, IMG_NONE, "payload bound %u, the count reaches %u",
                        l->payload_bound, r->tokens);
}

spk_status check_neurons(struct check *c)
{
    const struct image *im = c->im;
    uint32_t *first, *order;
    spk_status status;

    if (c->m->timesteps != im->meta.timesteps)
        check_violation(c, "E0922", IMG_NONE, IMG_NONE, "%u time steps, the module has %u",
                        im->meta.timesteps, c->m->timesteps);
    if (im->meta.ticks < c->ticks)
        check_violation(c, "E0922", IMG_NONE, IMG_NONE,
                        "a step has %u ticks, its attention needs %u", im->meta.ticks, c->ticks);
    SPK_TRY(spk_alloc_array(im->n_layers + 1, sizeof *first, &first));
    status = spk_alloc_array(im->n_groups, sizeof *order, &order);
    for (uint64_t i = 0; i < im->n_groups && status == SPK_OK; i++)
        first[im->groups[i].layer]++;
    for (uint64_t i = 1; i <= im->n_layers; i++)
        first[i] += first[i - 1];
    for (uint64_t i = im->n_groups; i-- > 0 && status == SPK_OK;)
        order[--first[im->groups[i].layer]] = (uint32_t)i;
    for (uint32_t i = 0; i < im->n_layers && status == SPK_OK; i++) {
        if (c->rules[i].kind == RULE_NONE)
            continue;
        check_description(c, i);
        for (uint32_t j = first[i]; j < first[i + 1]; j++)
            check_group_neurons(c, &im->groups[order[j]]);
        if (c->rules[i].kind == RULE_INPUT || c->rules[i].kind == RULE_EMBEDDED) {
            if (first[i + 1] != first[i])
                check_violation(c, "E0943", i, im->groups[order[first[i]]].core,
                                "has compartments, but is not computed on cores");
            continue;
        }
        status = check_presence(c, i, order + first[i], first[i + 1] - first[i]);
    }
    spk_free(first);
    if (order)
        spk_free(order);
    return status;
}
