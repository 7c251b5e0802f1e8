/* Checker: learning synapses. A core with neurons of a plastic attention holds blocks whose weights
 * are state; what makes them K^T V of its columns is checked exactly and on any input:
 *   reads   q(h, a) of a neuron's own token reaches the neuron through one row per a, times unit;
 *   learns  that row learns from k(h, a) of every token, at the teachers of the core;
 *   teaches every teacher is taught by v(h, b) of every token, b its own channel;
 *   bases   a read starts at the first neuron of a position, a LEARN axon at the first teacher, so
 *           that column c of a block is channel c of the tile in both.
 * Sets are compared by the linear hash of check_expected.c, rows by the channels that use them.
 * Phases and ticks: check_layers.c. Cost: synapses of the blocks times source positions.       */
#include "check/check_internal.h"

#include <string.h>

#include "support/alloc.h"

/* What one core has, by compartment, and by row of its blocks. */
struct plastic {
    struct check *c;
    uint32_t core;
    uint64_t *read, *learn, *teach; /* [neurons] hashes */
    uint32_t *row_first;            /* [blocks + 1] */
    uint32_t *row_read, *row_learn; /* channel + 1 of q, of k; 0: none */
};

static bool learns(const struct check *c, uint32_t core)
{
    const struct img_core *k = &c->im->cores[core];

    for (uint32_t i = 0; i < k->n_blocks; i++) {
        if (c->im->blocks[k->block_first + i].kind == IMG_BLOCK_PLASTIC)
            return true;
    }
    for (uint32_t i = 0; i < k->n_groups; i++) {
        const struct img_group *g = &c->im->groups[k->group_first + i];
        if (g->teach_first != IMG_NONE || c->rules[g->layer].kind == RULE_PLASTIC)
            return true;
    }
    return false;
}

static void check_bases(struct plastic *p, uint32_t axon, const struct img_in_axon *a)
{
    const struct image *im = p->c->im;
    const struct img_core *k = &im->cores[p->core];

    for (uint32_t i = k->group_first; i < k->group_first + k->n_groups; i++) {
        const struct img_group *g = &im->groups[i];
        const uint32_t at = img_group_neuron(g, a->base);

        if (a->port == IMG_PORT_MAIN ? at < g->ny * g->nx * g->nc && at % g->nc == 0
                                     : a->base == g->teach_first)
            return;
    }
    check_violation(p->c, "E0954", IMG_NONE, p->core, "in-axon %u: base %u is not the first %s",
                    axon, a->base,
                    a->port == IMG_PORT_MAIN ? "neuron of a position" : "teacher of a tile");
}

static void use_row(struct plastic *p, uint32_t axon, uint32_t *have, uint32_t channel)
{
    if (*have != 0 && *have != channel + 1)
        check_violation(p->c, "E0954", IMG_NONE, p->core,
                        "in-axon %u: channel %u uses a row of learning synapses that channel %u "
                        "uses too",
                        axon, channel, *have - 1);
    *have = channel + 1;
}

/* One spike source of an axon. */
static void add_source(struct plastic *p, uint32_t axon, const struct img_in_axon *a, uint32_t atom,
                       const struct source *s)
{
    const struct image *im = p->c->im;
    const struct img_block *b = &im->blocks[a->block];
    const struct img_row *row = &im->rows[im->contents[b->content].row_first + a->row + atom];
    const uint32_t at = p->row_first[a->block - im->cores[p->core].block_first] + a->row + atom;
    uint64_t *to = a->port == IMG_PORT_MAIN    ? p->read
                   : a->port == IMG_PORT_LEARN ? p->learn
                                               : p->teach;
    const uint64_t hash = check_hash(p->c, s) << (a->port == IMG_PORT_MAIN ? b->shift : 0);

    if (a->port != IMG_PORT_TEACH)
        use_row(p, axon, a->port == IMG_PORT_MAIN ? &p->row_read[at] : &p->row_learn[at],
                s->channel);
    for (uint64_t i = row->run_first; i < row->run_first + row->n_runs; i++) {
        const struct img_run *run = &im->runs[i];
        const int8_t *w = im->weights + run->weight_first;

        for (uint32_t j = 0; j < run->length; j++)
            to[a->base + run->start + j] += a->port != IMG_PORT_TEACH || w[j] != 0 ? hash : 0;
        p->c->r->synapses += run->length;
    }
}

static void add_axons(struct plastic *p)
{
    const struct image *im = p->c->im;
    const struct img_core *k = &im->cores[p->core];

    for (uint32_t i = 0; i < k->n_in_axons; i++) {
        const uint64_t id = (uint64_t)k->in_axon_first + i;
        const struct img_in_axon *a = &im->in_axons[id];
        struct source s;

        if (a->port > IMG_PORT_TEACH ||
            (a->port < IMG_PORT_TEACH && im->blocks[a->block].kind != IMG_BLOCK_PLASTIC))
            continue;
        check_bases(p, i, a);
        for (uint64_t f = p->c->feeder_first[id]; f < p->c->feeder_first[id + 1]; f++)
            for (uint32_t n = 0; n < check_feeder_atoms(p->c, p->c->feeders[f]); n++)
                if (check_feeder_source(p->c, p->c->feeders[f], n, &s))
                    add_source(p, i, a, check_feeder_atom(p->c, p->c->feeders[f]) + n, &s);
    }
}

static uint64_t sum_channels(uint32_t first, uint32_t n)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < n; i++)
        sum += check_hash_channel(first + i);
    return sum;
}

static void report(struct plastic *p, const struct img_group *g, uint64_t wrong, uint32_t channel,
                   const char *what)
{
    if (wrong == 0)
        return;
    check_violation(p->c, "E0954", g->layer, p->core, "%llu %s; the first is of channel %u",
                    (unsigned long long)wrong, what, channel);
    check_count(p->c, wrong - 1);
}

/* Sums over tokens of the place factors of k and of v. */
static void sum_places(const struct check *c, const struct rule *r, uint64_t sums[2])
{
    const uint32_t *qkv = c->sources.data + r->source_first;

    sums[0] = sums[1] = 0;
    for (uint32_t j = 0; j < r->tokens; j++) {
        sums[0] += check_hash_place(qkv[1], j);
        sums[1] += check_hash_place(qkv[2], j);
    }
}

static void check_tile(struct plastic *p, const struct img_group *g)
{
    struct check *c = p->c;
    const struct rule *r = &c->rules[g->layer];
    const uint32_t q = c->sources.data[r->source_first];
    const uint64_t unit = (uint64_t)c->m->node[r->op].a.attention.unit;
    uint64_t reads = 0, learns_wrong = 0, teaches = 0, places[2];
    uint32_t first[3] = {0, 0, 0};

    if (g->teach_first == IMG_NONE) {
        check_violation(c, "E0954", g->layer, p->core, "its learning synapses have no teachers");
        return;
    }
    sum_places(c, r, places);
    for (uint32_t ch = 0; ch < g->nc; ch++) {
        const uint32_t channel = g->c0 + ch, teacher = g->teach_first + ch;
        const uint64_t head = sum_channels(channel / r->d * r->d, r->d);

        for (uint32_t at = 0; at < g->ny * g->nx; at++) {
            const uint32_t comp = img_group_comp(g, at * g->nc + ch);
            const uint32_t position =
                (g->y0 + at / g->nx) * c->im->layers[g->layer].width + g->x0 + at % g->nx;

            if (p->read[comp] != head * check_hash_place(q, position) * unit && reads++ == 0)
                first[0] = channel;
            p->read[comp] = 0;
        }
        if (p->learn[teacher] != head * places[0] && learns_wrong++ == 0)
            first[1] = channel;
        if (p->teach[teacher] != check_hash_channel(channel) * places[1] && teaches++ == 0)
            first[2] = channel;
        p->learn[teacher] = p->teach[teacher] = 0;
    }
    report(p, g, reads, first[0], "neurons do not read one row per q of their token and head");
    report(p, g, learns_wrong, first[1], "teachers do not see one row per k of their head");
    report(p, g, teaches, first[2], "teachers are not taught by v of their channel, all tokens");
}

/* What is left belongs to no attention; rows are read and learnt by the same channel. */
static void check_rest(struct plastic *p)
{
    const struct img_core *k = &p->c->im->cores[p->core];

    for (uint32_t i = 0; i < k->neurons; i++) {
        if (p->read[i] || p->learn[i] || p->teach[i]) {
            check_violation(p->c, "E0954", IMG_NONE, p->core,
                            "compartment %u has learning synapses that the module does not give it",
                            i);
            break;
        }
    }
    for (uint32_t i = 0; i < p->row_first[k->n_blocks]; i++) {
        if (p->row_read[i] != p->row_learn[i]) {
            check_violation(p->c, "E0954", IMG_NONE, p->core,
                            "a row of learning synapses learns from channel %u and is read by "
                            "channel %u",
                            p->row_learn[i] - 1, p->row_read[i] - 1);
            break;
        }
    }
}

static spk_status check_one(struct plastic *p)
{
    const struct image *im = p->c->im;
    const struct img_core *k = &im->cores[p->core];

    SPK_TRY(spk_alloc_array(k->neurons, sizeof *p->read, &p->read));
    SPK_TRY(spk_alloc_array(k->neurons, sizeof *p->learn, &p->learn));
    SPK_TRY(spk_alloc_array(k->neurons, sizeof *p->teach, &p->teach));
    SPK_TRY(spk_alloc_array((size_t)k->n_blocks + 1, sizeof *p->row_first, &p->row_first));
    for (uint32_t i = 0; i < k->n_blocks; i++) {
        const struct img_block *b = &im->blocks[k->block_first + i];
        const bool here = b->kind == IMG_BLOCK_PLASTIC;

        p->row_first[i + 1] = p->row_first[i] + (here ? im->contents[b->content].n_rows : 0);
    }
    const uint32_t rows = p->row_first[k->n_blocks];
    SPK_TRY(spk_alloc_array((size_t)rows + 1, sizeof *p->row_read, &p->row_read));
    SPK_TRY(spk_alloc_array((size_t)rows + 1, sizeof *p->row_learn, &p->row_learn));
    add_axons(p);
    for (uint32_t i = 0; i < k->n_groups; i++) {
        const struct img_group *g = &im->groups[k->group_first + i];
        if (p->c->rules[g->layer].kind == RULE_PLASTIC)
            check_tile(p, g);
    }
    check_rest(p);
    return SPK_OK;
}

spk_status check_plastic(struct check *c)
{
    for (uint32_t i = 0; i < c->im->n_cores; i++) {
        struct plastic p = {.c = c, .core = i};

        if (!learns(c, i))
            continue;
        spk_status status = check_one(&p);
        void *owned[] = {p.read, p.learn, p.teach, p.row_first, p.row_read, p.row_learn};
        for (size_t o = 0; o < sizeof owned / sizeof *owned; o++)
            spk_free(owned[o]);
        SPK_TRY(status);
    }
    return SPK_OK;
}
