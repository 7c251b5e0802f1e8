/* Checker: partial sums. A neuron may hear graded sums of parts of its inputs, layers X.sum0,
 * X.sum1, ... of stateless neurons, instead of the inputs themselves. How the inputs are divided is
 * the mapper's business: what counts is that everything adds up. In the linear hash of a set of
 * synapses (check_expected.c) a partial sum therefore stands for the hash of what it hears itself.
 * Sums wrap at the width of a payload; that is harmless where the state that they enter is no
 * wider. */
#include "check/check_internal.h"

#include <string.h>

#include "support/alloc.h"

/* The neuron layer of the module that "NAME.sumN" belongs to, or IMG_NONE. */
static uint32_t whole_of(const struct check *c, uint32_t layer)
{
    const char *name = check_layer_name(c, layer), *dot = strrchr(name, '.');
    const struct img_layer *l = &c->im->layers[layer];

    if (dot == NULL || strncmp(dot, ".sum", 4) != 0 || dot[4] == '\0' ||
        strspn(dot + 4, "0123456789") != strlen(dot + 4))
        return IMG_NONE;
    for (uint32_t i = 0; i < c->im->n_layers; i++) {
        const struct img_layer *w = &c->im->layers[i];
        const char *whole = check_layer_name(c, i);

        if (c->rules[i].kind == RULE_PROJECT && strlen(whole) == (size_t)(dot - name) &&
            strncmp(whole, name, (size_t)(dot - name)) == 0 && w->channels == l->channels &&
            (uint64_t)w->height * w->width == 1 && (uint64_t)l->height * l->width == 1)
            return i;
    }
    return IMG_NONE;
}

spk_status check_partial_rules(struct check *c)
{
    const struct img_meta *m = &c->im->meta;

    SPK_TRY(spk_alloc_array(c->im->n_layers, sizeof *c->partial, &c->partial));
    for (uint32_t i = 0; i < c->im->n_layers; i++) {
        const uint32_t whole = c->rules[i].kind == RULE_NONE ? whole_of(c, i) : IMG_NONE;

        if (whole == IMG_NONE)
            continue;
        c->rules[i] = (struct rule){
            .kind = RULE_PARTIAL, .node = c->rules[whole].node, .op = IR_NONE, .whole = whole};
        SPK_TRY(spk_alloc_array(c->im->layers[i].channels, sizeof *c->partial[i], &c->partial[i]));
        if (m->payload_bits < m->state_bits)
            check_violation(c, "E0942", i, IMG_NONE,
                            "sums of %u bits do not hold what a state of %u bits does",
                            m->payload_bits, m->state_bits);
    }
    return SPK_OK;
}

void check_partial_fini(struct check *c)
{
    for (uint32_t i = 0; c->partial != NULL && i < c->im->n_layers; i++)
        spk_free(c->partial[i]);
    spk_free(c->partial);
}

bool check_has_partial(const struct check *c, uint32_t layer)
{
    for (uint32_t i = 0; i < c->im->n_layers; i++)
        if (c->rules[i].kind == RULE_PARTIAL && c->rules[i].whole == layer)
            return true;
    return false;
}
