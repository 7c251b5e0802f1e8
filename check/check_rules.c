/* Checker, part 4: what the quantised module says about each layer of the image.
 *
 * Layers are found by name: a neuron's value name (or "neuron.ID"), a delay's ("delay.ID"), a
 * max-pool's ("pool.ID"), the input node's for event frames, and X.and, X.sum, X.therm, X.gate,
 * X.qrelay for the inner populations of the attention that feeds neuron X. Which lowering was
 * taken shows in the layers that exist. Inner channels are (h*d + i)*d + j, times tokens plus
 * theta - 1 for thermometers and their gates.                                                    */
#include "check/check_internal.h"

#include <string.h>

#include "support/alloc.h"

/* Layer of a given shape and name; a violation and IMG_NONE where it is missing or misshapen. */
static uint32_t layer_named(struct check *c, const char *name, uint32_t channels, uint32_t height,
                            uint32_t width)
{
    uint32_t id = check_find_layer(c, name);
    const struct img_layer *l;

    if (id == IMG_NONE) {
        check_violation(c, "E0940", IMG_NONE, IMG_NONE, "layer '%s' is missing", name);
        return IMG_NONE;
    }
    l = &c->im->layers[id];
    if (l->channels != channels || l->height != height || l->width != width) {
        check_violation(c, "E0942", id, IMG_NONE, "is %u x %u x %u, expected %u x %u x %u",
                        l->channels, l->height, l->width, channels, height, width);
        return IMG_NONE;
    }
    return id;
}

/* Sets layer_of[node]. */
static spk_status layer_of_node(struct check *c, uint32_t node, const char *prefix)
{
    const struct ir_node *n = &c->m->node[node];
    struct strbuf name = {0};
    spk_status status;

    if (n->name)
        strbuf_append(&name, n->name);
    else
        strbuf_printf(&name, "%s.%u", prefix, node);
    status = name.status;
    if (status == SPK_OK)
        c->layer_of[node] =
            layer_named(c, strbuf_cstr(&name), n->type.channels, n->type.height, n->type.width);
    strbuf_fini(&name);
    return status;
}

spk_status check_sources_of(struct check *c, uint32_t value, struct check_layers *out, bool *out_ok)
{
    const struct ir_node *n = &c->m->node[value];

    *out_ok = true;
    if (c->layer_of[value] != IMG_NONE)
        return vec_push(out, c->layer_of[value]);
    if (n->op == IR_OP_ADD || n->op == IR_OP_RESHAPE || n->op == IR_OP_REPEAT) {
        for (uint32_t i = 0; i < n->n_operands && *out_ok; i++)
            SPK_TRY(check_sources_of(c, n->operand[i], out, out_ok));
        return SPK_OK;
    }
    *out_ok = false; /* reported where its layer was missing */
    return SPK_OK;
}

/* Sets rule `r` of a layer and its sources from the operands of `op`. */
static spk_status set_rule(struct check *c, uint32_t layer, struct rule r, const uint32_t *operands,
                           uint32_t n_operands)
{
    struct check_layers found = {0};
    spk_status status = SPK_OK;
    bool ok = true;

    if (layer == IMG_NONE)
        return SPK_OK;
    if (c->rules[layer].kind != RULE_NONE) {
        check_violation(c, "E0942", layer, IMG_NONE, "stands for two values of the module");
        return SPK_OK;
    }
    for (uint32_t i = 0; i < n_operands && ok && status == SPK_OK; i++)
        status = check_sources_of(c, operands[i], &found, &ok);
    r.source_first = (uint32_t)c->sources.len;
    r.n_sources = ok ? (uint32_t)found.len : 0;
    if (status == SPK_OK)
        status = vec_append(&c->sources, found.data, r.n_sources);
    vec_fini(&found);
    if (status == SPK_OK && ok)
        c->rules[layer] = r;
    else if (status == SPK_OK)
        check_violation(c, "E0953", layer, IMG_NONE,
                        "cannot be checked, because a layer it reads is missing");
    return status;
}

/* An inner population of attention; its sources are the given layers. */
spk_status check_set_inner(struct check *c, const char *base, const char *suffix, struct rule r,
                           uint32_t channels, uint32_t tokens, uint32_t source0, uint32_t source1,
                           uint32_t *out_layer)
{
    struct strbuf name = {0};
    spk_status status;

    strbuf_printf(&name, "%s.%s", base, suffix);
    status = name.status;
    *out_layer =
        status == SPK_OK ? layer_named(c, strbuf_cstr(&name), channels, 1, tokens) : IMG_NONE;
    strbuf_fini(&name);
    if (status != SPK_OK)
        return status;
    if (*out_layer == IMG_NONE || source0 == IMG_NONE)
        return SPK_OK;
    r.source_first = (uint32_t)c->sources.len;
    r.n_sources = source1 == IMG_NONE ? 1 : 2;
    SPK_TRY(vec_push(&c->sources, source0));
    if (source1 != IMG_NONE)
        SPK_TRY(vec_push(&c->sources, source1));
    c->rules[*out_layer] = r;
    return SPK_OK;
}

/* What an operand of a projection is, seen `lag` frames late. Feedback comes from layers that are
 * found later: its node is noted in place of the layer, see check_build_rules. */
static spk_status part_source(struct check *c, uint32_t value, uint32_t lag, struct part *p)
{
    const struct ir_node *n = &c->m->node[value];
    struct check_layers found = {0};
    bool ok = true;

    if (n->op == IR_OP_LAG && n->n_operands == 1)
        return part_source(c, n->operand[0], lag + n->a.lag.steps, p);
    if (n->op == IR_OP_LAG) {
        SPK_TRY(vec_push(&c->feedbacks,
                         ((struct feedback){(uint32_t)c->sources.len, n->a.lag.source})));
        SPK_TRY(vec_push(&c->sources, IMG_NONE));
        p->n_sources++;
        return vec_push(&c->lags, n->a.lag.steps);
    }
    spk_status status = check_sources_of(c, value, &found, &ok);
    for (size_t i = 0; i < found.len && ok && status == SPK_OK; i++) {
        status = vec_push(&c->sources, found.data[i]);
        if (status == SPK_OK)
            status = vec_push(&c->lags, lag);
        p->n_sources++;
    }
    vec_fini(&found);
    if (status == SPK_OK && !ok)
        p->op = IR_NONE;
    return status;
}

/* Adds the part of projection `op` in front of a layer. */
static spk_status projection_part(struct check *c, uint32_t layer, uint32_t op, bool *out_fine)
{
    const struct ir_node *n = &c->m->node[op];
    struct part p = {.op = op, .source_first = (uint32_t)c->sources.len};

    *out_fine = false;
    if (n->op != IR_OP_CONV2D && n->op != IR_OP_LINEAR) {
        check_violation(c, "E0953", layer, IMG_NONE, "is fed by '%s', which is no projection",
                        ir_op_info(n->op)->name);
        return SPK_OK;
    }
    const struct ir_param *w = &c->m->param[n->param[0]];
    if (w->dtype != IR_DT_I8 || !w->data || w->rank < 2) {
        check_violation(c, "E0953", layer, IMG_NONE, "its weights '%s' are absent or not i8",
                        w->name);
        return SPK_OK;
    }
    if (n->n_params > 1)
        check_violation(c, "E0953", layer, IMG_NONE,
                        "its projection has a bias of its own; biases belong to neurons");
    SPK_TRY(vec_reserve(&c->lags, c->sources.len));
    while (c->lags.len < c->sources.len) /* those of other rules do not lag */
        SPK_TRY(vec_push(&c->lags, 0));
    for (uint32_t i = 0; i < n->n_operands; i++)
        SPK_TRY(part_source(c, n->operand[i], 0, &p));
    if (p.op == IR_NONE) {
        check_violation(c, "E0953", layer, IMG_NONE,
                        "cannot be checked, because a layer it reads is missing");
        return SPK_OK;
    }
    *out_fine = layer != IMG_NONE;
    return *out_fine ? vec_push(&c->parts, p) : SPK_OK;
}

static spk_status set_projection(struct check *c, uint32_t layer, const struct rule *r)
{
    if (c->rules[layer].kind != RULE_NONE)
        check_violation(c, "E0942", layer, IMG_NONE, "stands for two values of the module");
    else
        c->rules[layer] = *r;
    return SPK_OK;
}

/* Layers of feedbacks, now that all are known. */
static void close_feedbacks(struct check *c)
{
    for (size_t i = 0; i < c->feedbacks.len; i++)
        c->sources.data[c->feedbacks.data[i].source] = c->layer_of[c->feedbacks.data[i].node];
}

/* Spikes that are seen late must not reach the next image, and a layer is seen late by another in
 * one way only, since that is how connections are told apart. */
static void check_lags(struct check *c)
{
    const struct img_meta *m = &c->im->meta;
    uint32_t worst = 0;

    for (uint32_t l = 0; l < c->im->n_layers; l++) {
        const struct rule *r = &c->rules[l];

        for (uint32_t i = 0; r->kind == RULE_PROJECT && i < r->n_sources; i++) {
            const uint32_t lag = c->lags.data[r->source_first + i];

            worst = lag > worst ? lag : worst;
            if (lag != check_lag(c, c->sources.data[r->source_first + i], l))
                check_violation(c, "E0953", l, IMG_NONE,
                                "cannot be checked, because it reads a layer with two lags");
        }
    }
    if (m->interval < (uint64_t)m->timesteps + worst)
        check_violation(c, "E0922", IMG_NONE, IMG_NONE,
                        "interval %u: late spikes need %u idle steps after %u frames", m->interval,
                        worst, m->timesteps);
}

static spk_status neuron_rule(struct check *c, uint32_t id)
{
    uint32_t op = c->m->node[id].operand[0];
    struct rule r = {.node = id};

    while (c->m->node[op].op == IR_OP_RESHAPE || c->m->node[op].op == IR_OP_REPEAT)
        op = c->m->node[op].operand[0];
    const struct ir_node *n = &c->m->node[op];
    r.op = op;
    SPK_TRY(layer_of_node(c, id, "neuron"));
    if (n->op == IR_OP_ATTENTION)
        return check_attention_rule(c, c->layer_of[id], id, op);
    if (n->op == IR_OP_ENCODE && n->a.encode.kind == IR_ENCODE_CURRENT) {
        r.kind = RULE_HOST;
        return set_rule(c, c->layer_of[id], r, NULL, 0);
    }
    r.kind = RULE_PROJECT;
    r.part_first = (uint32_t)c->parts.len;
    r.source_first = (uint32_t)c->sources.len;
    const bool sum = n->op == IR_OP_ADD;
    for (uint32_t k = 0; k < (sum ? n->n_operands : 1); k++) {
        bool fine;
        SPK_TRY(projection_part(c, c->layer_of[id], sum ? n->operand[k] : op, &fine));
        if (!fine)
            return SPK_OK;
    }
    r.n_parts = (uint32_t)c->parts.len - r.part_first;
    r.n_sources = (uint32_t)c->sources.len - r.source_first;
    return set_projection(c, c->layer_of[id], &r);
}

static spk_status node_rule(struct check *c, uint32_t id)
{
    const struct ir_node *n = &c->m->node[id];
    struct rule r = {.node = id, .op = id};

    switch (n->op) {
    case IR_OP_NEURON:
        return neuron_rule(c, id);
    case IR_OP_MAXPOOL:
        r.kind = RULE_POOL;
        SPK_TRY(layer_of_node(c, id, "pool"));
        return set_rule(c, c->layer_of[id], r, n->operand, n->n_operands);
    case IR_OP_DELAY:
        r.kind = RULE_RELAY;
        SPK_TRY(layer_of_node(c, id, "delay"));
        return set_rule(c, c->layer_of[id], r, n->operand, n->n_operands);
    case IR_OP_ENCODE:
        if (n->a.encode.kind != IR_ENCODE_EVENTS)
            return SPK_OK;
        r.kind = RULE_INPUT;
        const struct ir_node *in = &c->m->node[n->operand[0]];
        c->layer_of[id] = layer_named(c, in->name ? in->name : "input", n->type.channels,
                                      n->type.height, n->type.width);
        return set_rule(c, c->layer_of[id], r, NULL, 0);
    default:
        return SPK_OK;
    }
}

spk_status check_build_rules(struct check *c)
{
    SPK_TRY(spk_alloc_array(c->m->n_nodes, sizeof *c->layer_of, &c->layer_of));
    SPK_TRY(spk_alloc_array(c->im->n_layers, sizeof *c->rules, &c->rules));
    SPK_TRY(spk_alloc_array(c->im->n_layers, sizeof *c->phases, &c->phases));
    c->ticks = 1;
    memset(c->layer_of, 0xff, c->m->n_nodes * sizeof *c->layer_of);
    for (uint32_t i = 0; i < c->m->n_nodes; i++)
        SPK_TRY(node_rule(c, i));
    close_feedbacks(c);
    SPK_TRY(check_partial_rules(c));
    check_lags(c);
    for (uint32_t i = 0; i < c->im->n_layers; i++) {
        if (c->rules[i].kind == RULE_NONE)
            check_violation(c, "E0941", i, IMG_NONE, "stands for no value of the module");
    }
    return SPK_OK;
}
