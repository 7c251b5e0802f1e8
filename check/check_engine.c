/* Checker: attention engines. A core with a task is an engine: it lies on an engine's place of the
 * mesh, its task fits memory and operations, fires no earlier than the engine can, and gets every
 * spike of q and k of its heads and of v of its columns, for every token, exactly once and under
 * the right channel and token. What it computes and which neurons it stands for: compare_task,
 * presence. memory      q, k, v of a frame, counts, membranes: heads x (N (2d + columns) + c + N
 * columns b), c = d columns bits(N), or N bits(d) where (q k^T) v is the order operations  words
 * that are ANDed and counted, plus additions if all inputs fire             */
#include "check/check_internal.h"

#include "support/alloc.h"

static uint64_t bits_for(uint64_t most)
{
    uint64_t bits = 0;

    for (; most != 0; most >>= 1)
        bits++;
    return bits ? bits : 1;
}

uint64_t check_engine_bits(const struct check *c, const struct img_embedded *e)
{
    const uint64_t n = e->tokens, d = e->channels / e->heads, columns = e->columns;
    const uint64_t counts = e->qk_first ? n * bits_for(d) : d * columns * bits_for(n);

    return e->head_count * (n * (2 * d + columns) + counts + n * columns * c->t->arith.state_bits);
}

static uint64_t operations(const struct check *c, const struct img_embedded *e)
{
    const uint64_t n = e->tokens, d = e->channels / e->heads, columns = e->columns;
    const uint64_t word = c->t->engine.word_bits ? c->t->engine.word_bits : 1;
    const uint64_t words =
        e->qk_first ? n * n * ((d + word - 1) / word) : d * columns * ((n + word - 1) / word);

    return e->head_count * (words + n * columns * ((e->qk_first ? n : d) + 1));
}

void check_engine_task(struct check *c, uint32_t task)
{
    const struct img_embedded *e = &c->im->embedded[task];
    const struct tgt_engine *t = &c->t->engine;
    const struct img_core *k = &c->im->cores[e->core];
    const uint32_t operands[3] = {e->q_layer, e->k_layer, e->v_layer};
    const uint64_t need = operations(c, e);

    if (!(c->t->attention & TGT_ATTN_ENGINE))
        check_violation(c, "E0923", e->layer, e->core, "'%s' has no attention engines", c->t->name);
    if (need > t->ops_per_step)
        check_violation(c, "E0930", e->layer, e->core,
                        "task %u can need %llu operations in a step, an engine does %u", task,
                        (unsigned long long)need, t->ops_per_step);
    if (e->chip != k->chip)
        check_violation(c, "E0923", e->layer, e->core, "task %u is on chip %u, its core on %u",
                        task, e->chip, k->chip);
    for (int o = 0; o < 3; o++) {
        const uint32_t from = c->im->layers[operands[o]].start;
        const uint32_t to = c->im->layers[e->layer].start;

        if (to <= from || to - from < t->latency)
            check_violation(c, "E0923", e->layer, e->core,
                            "starts at step %u, operand '%s' at %u: the engine needs %u steps", to,
                            check_layer_name(c, operands[o]), from, t->latency);
    }
}

/* Marks what one in-axon brings. seen: [tokens][planes of the operand]. */
static void take_axon(struct check *c, const struct img_embedded *e, uint64_t axon, uint8_t *seen,
                      uint32_t first, uint32_t planes)
{
    const struct img_in_axon *a = &c->im->in_axons[axon];
    const uint32_t layers[3] = {e->q_layer, e->k_layer, e->v_layer};
    const uint32_t layer = layers[a->port - IMG_PORT_Q];
    struct source s;

    for (uint64_t f = c->feeder_first[axon]; f < c->feeder_first[axon + 1]; f++) {
        const uint64_t id = c->feeders[f];

        for (uint32_t i = 0; i < check_feeder_atoms(c, id); i++) {
            const uint32_t channel = a->row + check_feeder_atom(c, id) + i;
            uint8_t *at = &seen[(size_t)a->base * planes + channel - first];

            if (check_is_enable(c, id) || !check_feeder_source(c, id, i, &s))
                continue;
            if (s.layer != layer || s.channel != channel || s.position != a->base)
                check_violation(c, "E0948", e->layer, e->core,
                                "in-axon stands for channel %u, token %u of '%s', but gets '%s', "
                                "channel %u, position %u",
                                channel, a->base, check_layer_name(c, layer),
                                check_layer_name(c, s.layer), s.channel, s.position);
            else
                *at = *at == 255 ? 255 : (uint8_t)(*at + 1);
        }
    }
}

spk_status check_engine_inputs(struct check *c, uint32_t task)
{
    const struct img_embedded *e = &c->im->embedded[task];
    const struct img_core *k = &c->im->cores[e->core];
    const uint32_t d = e->channels / e->heads;
    uint8_t *seen;

    for (uint32_t o = 0; o < 3; o++) {
        const uint32_t planes = e->head_count * (o == 2 ? e->columns : d);
        const uint32_t first = e->head_first * d + (o == 2 ? e->column_first : 0);
        uint64_t wrong = 0, at = 0;

        SPK_TRY(spk_alloc_array((size_t)e->tokens * planes, 1, &seen));
        for (uint32_t i = 0; i < k->n_in_axons; i++)
            if (c->im->in_axons[k->in_axon_first + i].port == IMG_PORT_Q + o)
                take_axon(c, e, (uint64_t)k->in_axon_first + i, seen, first, planes);
        for (uint64_t i = (uint64_t)e->tokens * planes; i-- > 0;) {
            if (seen[i] != 1) {
                wrong++;
                at = i;
            }
        }
        if (wrong) {
            check_violation(c, "E0948", e->layer, e->core,
                            "%llu neurons of operand %u do not reach the engine exactly once; the "
                            "first is channel %llu, position %llu: %u times",
                            (unsigned long long)wrong, o, (unsigned long long)(first + at % planes),
                            (unsigned long long)(at / planes), seen[at]);
            check_count(c, wrong - 1);
        }
        spk_free(seen);
    }
    return SPK_OK;
}
