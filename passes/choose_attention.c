/* Pass choose-attention: gives every attention the lowering that costs least on the target.
 *
 * Candidates are priced in closed form by the layer's shape (attention.h), once for layers of equal
 * shape, by the objective: `cores` compares cores, then steps times ticks; `latency` the other way
 * round. The remark tells the next best. A forced lowering that the target lacks is refused with
 * the capability that is missing. Cost: layers times candidates.                              */
#include <string.h>

#include "passes/attention.h"
#include "passes/pass_list.h"
#include "passes/rewrite.h"

static const enum ir_attn_lowering forced[] = {
    [CHOOSE_AUTO] = IR_LOWER_OPEN,         [CHOOSE_AND_LIF] = IR_LOWER_AND_LIF,
    [CHOOSE_EMBEDDED] = IR_LOWER_EMBEDDED, [CHOOSE_PRODUCT] = IR_LOWER_PRODUCT,
    [CHOOSE_SERIAL] = IR_LOWER_SERIAL,     [CHOOSE_PLASTIC] = IR_LOWER_PLASTIC,
    [CHOOSE_ENGINE] = IR_LOWER_ENGINE,
};

struct choice {
    const struct pass_context *c;
    enum attn_objective objective;
    enum ir_attn_lowering forced;
    struct attn_shape shape; /* of the layer priced last */
    struct attn_candidate candidate[ATTN_LOWERINGS];
    bool priced;
};

static void offers(const struct tgt *t, struct strbuf *out)
{
    for (unsigned l = IR_LOWER_AND_LIF; l <= IR_LOWER_ENGINE; l++)
        if (t->attention & attn_bit((enum ir_attn_lowering)l))
            strbuf_printf(out, "%s%s", out->len ? ", " : "", attn_name((enum ir_attn_lowering)l));
}

/* For messages: the neuron behind the attention, which has a name. */
static const char *layer_name(const struct ir_module *m, uint32_t id, char *buffer, size_t size)
{
    for (uint32_t i = id; i < m->n_nodes; i++) {
        const struct ir_node *n = &m->node[i];
        if (n->op == IR_OP_NEURON && n->operand[0] == id)
            return rw_value_name(m, i, buffer, size);
    }
    return rw_value_name(m, id, buffer, size);
}

/* The target does not offer what is asked for, or nothing at all. */
static spk_status refuse_target(const struct choice *k)
{
    const struct tgt *t = k->c->target;
    struct strbuf lacks = {0}, help = {0};
    spk_status s;
    if (k->forced == IR_LOWER_OPEN) {
        s = diag_nofit(k->c->diags, spk_span_none, "E0640",
                       "target %s offers no attention lowering", t->name);
    } else {
        attn_missing(t, k->forced, &lacks);
        s = diag_nofit(k->c->diags, spk_span_none, "E0640",
                       "target %s offers no attention lowering %s%s%s", t->name,
                       attn_name(k->forced), lacks.len ? ": it has no " : "", strbuf_cstr(&lacks));
    }
    offers(t, &help);
    if (help.len)
        diag_help_set(k->c->diags, "it offers %s", strbuf_cstr(&help));
    else
        diag_help_set(k->c->diags, "choose another target");
    strbuf_fini(&lacks);
    strbuf_fini(&help);
    return s;
}

/* No candidate, or not the forced one, can do this layer. */
static spk_status refuse_layer(const struct choice *k, const struct ir_module *m, uint32_t id)
{
    struct strbuf why = {0};
    char name[160];
    for (size_t i = 0; i < ATTN_LOWERINGS; i++) {
        const struct attn_candidate *a = &k->candidate[i];
        bool asked = k->forced == IR_LOWER_OPEN || a->lowering == k->forced;
        if (a->offered && asked)
            strbuf_printf(&why, "%s%s: %s", why.len ? "; " : "", attn_name(a->lowering),
                          a->reason ? a->reason : "possible");
    }
    spk_status s =
        diag_nofit(k->c->diags, m->node[id].span, "E0643",
                   "no attention lowering of %s can do %s of %u tokens and %u channels "
                   "in %u heads (%s)",
                   k->c->target->name, layer_name(m, id, name, sizeof name), k->shape.tokens,
                   k->shape.channels, k->shape.heads, strbuf_cstr(&why));
    strbuf_fini(&why);
    return s;
}

/* Two N*D*d product neurons per layer may take half of the largest system. */
static void bound_products(struct choice *k, const struct ir_module *m)
{
    const struct tgt *t = k->c->target;
    uint64_t products = 0, have;
    for (uint32_t i = 0; i < m->n_nodes; i++) {
        const struct ir_node *n = &m->node[i];
        if (n->op == IR_OP_ATTENTION && n->a.attention.heads)
            products += 2 * ir_type_positions(&n->type) * n->type.channels *
                        (n->type.channels / n->a.attention.heads);
    }
    if (t->n_systems == 0)
        return;
    const struct tgt_system *s = &t->system[t->n_systems - 1];
    have = (uint64_t)s->chips_x * s->chips_y * t->cores_per_chip * tgt_limit_value(t, TGT_NEURONS);
    for (size_t i = 0; i < ATTN_LOWERINGS; i++)
        if (k->candidate[i].lowering == IR_LOWER_PRODUCT && !k->candidate[i].reason &&
            k->forced == IR_LOWER_OPEN && products > have / 2)
            k->candidate[i].reason = "its products take more than half of the largest system";
}

static bool same_shape(const struct attn_shape *a, const struct attn_shape *b)
{
    return a->tokens == b->tokens && a->channels == b->channels && a->heads == b->heads &&
           a->unit == b->unit && a->distinct == b->distinct && a->order == b->order;
}

static void remark(const struct choice *k, const struct ir_module *m, uint32_t id,
                   const struct attn_candidate *best, const struct attn_candidate *next)
{
    char name[160], other[160] = "";
    if (next)
        spk_snprintf(other, sizeof other, "; %s %s: %.4g cores, %u steps of %u ticks",
                     k->forced == IR_LOWER_OPEN ? "next best" : "best other",
                     attn_name(next->lowering), next->cores, next->steps, next->ticks);
    diag_remark(k->c->diags, m->node[id].span, "R0614",
                "choose-attention: %s: %s, %.4g cores, %u steps of %u ticks%s",
                layer_name(m, id, name, sizeof name), attn_name(best->lowering), best->cores,
                best->steps, best->ticks, other);
}

static spk_status choose(struct choice *k, const struct ir_module *m, uint32_t id,
                         enum ir_attn_lowering *out)
{
    const struct attn_shape shape = attn_shape_of(m, id);
    const struct attn_candidate *best = NULL, *next = NULL;
    if (!k->priced || !same_shape(&shape, &k->shape)) {
        k->shape = shape;
        k->priced = true;
        attn_candidates(k->c->target, &shape, k->candidate);
        bound_products(k, m);
    }
    for (size_t i = 0; i < ATTN_LOWERINGS; i++) {
        const struct attn_candidate *a = &k->candidate[i];
        if (a->reason)
            continue;
        if (a->lowering == k->forced || (k->forced == IR_LOWER_OPEN &&
                                         (best == NULL || attn_compare(k->objective, a, best) < 0)))
            best = a;
    }
    if (best == NULL)
        return refuse_layer(k, m, id);
    for (size_t i = 0; i < ATTN_LOWERINGS; i++) {
        const struct attn_candidate *a = &k->candidate[i];
        if (!a->reason && a != best && (next == NULL || attn_compare(k->objective, a, next) < 0))
            next = a;
    }
    *out = best->lowering;
    if (k->c->remarks)
        remark(k, m, id, best, next);
    return SPK_OK;
}

spk_status pass_choose_attention(const struct pass_context *c, const int64_t *options,
                                 const struct ir_module *in, struct ir_module **out)
{
    struct choice k = {.c = c,
                       .objective = options[CHOOSE_OBJECTIVE] ? ATTN_LOW_LATENCY : ATTN_FEW_CORES,
                       .forced = forced[options[CHOOSE_LOWERING]]};
    struct rewrite rw;
    bool any = false;
    for (uint32_t i = 0; i < in->n_nodes; i++)
        any = any || in->node[i].op == IR_OP_ATTENTION;
    if (any && (c->target->attention == 0 ||
                (k.forced != IR_LOWER_OPEN && !(c->target->attention & attn_bit(k.forced)))))
        return refuse_target(&k);
    SPK_TRY(rw_init(&rw, in, in->stage, c->diags));
    spk_status s = SPK_OK;
    for (uint32_t i = 0; s == SPK_OK && i < in->n_nodes; i++) {
        s = rw_copy(&rw, i);
        if (s == SPK_OK && in->node[i].op == IR_OP_ATTENTION)
            s = choose(&k, in, i, &rw.dst->node[rw.value[i]].a.attention.lowering);
    }
    if (s == SPK_OK)
        *out = rw_take(&rw);
    rw_fini(&rw);
    return s;
}
