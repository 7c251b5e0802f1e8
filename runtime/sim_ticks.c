/* Simulator, part 5: what depends on the tick of a step (docs/chip-image.md, section 3).
 *
 * Learning synapses. A weight is the number of ticks at which both a LEARN spike of its row and a
 * TEACH spike of its column were processed: the popcount of two bit sets over ticks, which are set
 * as the messages come, in any order. Reads wait until all messages of the step are there and see
 * the ticks before their own. A row of weights is formed once per tick at which it is read.
 * ACCUMULATE and GATED neurons: messages are sorted by tick (counting sort), and the product of the
 * ports is added up tick by tick. Sums are modulo 2^32, so nothing depends on the order within a
 * tick. Cost: rows read x columns x ticks / 64; messages; neurons touched per tick.
 * Limits, checked when the simulator is made: an axon addresses neurons of one kind; the LEARN
 * axons of a block agree about the teachers.                                                     */
#include "runtime/sim_internal.h"

#include <stdlib.h>
#include <string.h>

#include "support/alloc.h"

static spk_status bad(struct diag_list *d, const char *what, uint64_t index, const char *why)
{
    return diag_error(d, diag_place(d, "chip image"), "E0841", "%s %llu: %s", what,
                      (unsigned long long)index, why);
}

static bool two_ports(uint8_t program)
{
    return program == IMG_PROG_ACCUMULATE || program == IMG_PROG_GATED;
}

/* ---- preparing ---- */

/* Whether the neurons among the compartments [first, first + n) of a core (counted through) are all
 * of the kind that multiplies tick by tick, none, or both (-1).                                 */
static int kind_of_targets(const struct sim *s, uint32_t core, uint64_t first, uint64_t n)
{
    const struct sim_core *c = &s->cores[core];
    bool yes = false, no = false;

    for (uint32_t i = 0; i < c->n_groups; i++) {
        const struct sim_group *g = &s->groups[c->group_first + i];
        const uint64_t extent = img_group_extent(&s->im->groups[c->group_first + i]);

        if (g->comp >= first + n || first >= g->comp + extent)
            continue;
        yes = yes || two_ports(g->program);
        no = no || !two_ports(g->program);
        if (two_ports(g->program) && !g->plain)
            return -1;
    }
    return yes && no ? -1 : yes;
}

static spk_status add_block(struct sim *s, uint32_t block, uint64_t width)
{
    const struct image *im = s->im;
    const struct img_content *t = &im->contents[im->blocks[block].content];
    struct sim_plastic p = {.block = block,
                            .n_rows = t->n_rows,
                            .width = (uint32_t)width,
                            .base = IMG_NONE,
                            .most = (1u << im->blocks[block].weight_bits) - 1};

    for (uint32_t r = 0; r < t->n_rows; r++) {
        const struct img_row *row = &im->rows[t->row_first + r];
        uint64_t n = 0;

        for (uint32_t i = 0; i < row->n_runs; i++)
            n += im->runs[row->run_first + i].length;
        p.longest = n > p.longest ? (uint32_t)n : p.longest;
    }
    SPK_TRY(vec_push(&s->plastic, p));
    struct sim_plastic *new = &vec_last(&s->plastic);
    SPK_TRY(spk_alloc_array((size_t)p.n_rows * s->tick_words, sizeof *new->pre, &new->pre));
    SPK_TRY(spk_alloc_array((size_t)p.width * s->tick_words, sizeof *new->post, &new->post));
    SPK_TRY(spk_alloc_array((size_t)p.n_rows * p.longest, sizeof *new->weight, &new->weight));
    SPK_TRY(spk_alloc_array(p.n_rows, sizeof *new->formed, &new->formed));
    return SPK_OK;
}

/* The learning block of an axon, made on first use. Blocks of a core follow each other. */
static spk_status block_of(struct sim *s, uint32_t core, uint32_t block, uint64_t width,
                           uint32_t *out)
{
    struct sim_core *c = &s->cores[core];

    if (c->n_plastic == 0)
        c->plastic_first = (uint32_t)s->plastic.len;
    for (*out = c->plastic_first; *out < c->plastic_first + c->n_plastic; ++*out) {
        if (s->plastic.data[*out].block == block)
            return SPK_OK;
    }
    c->n_plastic++;
    return add_block(s, block, width);
}

spk_status sim_ticks_axon(struct sim *s, uint32_t index, uint64_t extent, struct diag_list *d)
{
    const struct img_in_axon *a = &s->im->in_axons[index];
    struct sim_axon *o = &s->axons[index];
    uint32_t core = o->core;
    int kind;

    if (o->kind == IMG_BLOCK_PLASTIC) {
        SPK_TRY(block_of(s, core, a->block, extent, &o->plastic));
        struct sim_plastic *p = &s->plastic.data[o->plastic];

        o->ticks = a->port == IMG_PORT_LEARN ? SIM_LEARN : SIM_READ;
        if (a->port != IMG_PORT_LEARN && a->port != IMG_PORT_MAIN)
            return bad(d, "in-axon", index, "a learning block has no such port");
        if (a->port == IMG_PORT_LEARN && p->base != IMG_NONE && p->base != o->base)
            return bad(d, "in-axon", index, "learns from other teachers than its block");
        if (a->port == IMG_PORT_LEARN)
            p->base = o->base;
        return SPK_OK;
    }
    if (a->port == IMG_PORT_LEARN)
        return bad(d, "in-axon", index, "its block does not learn");
    if (a->port == IMG_PORT_TEACH) {
        o->ticks = SIM_TEACH;
        return o->kind == IMG_BLOCK_LIST
                   ? SPK_OK
                   : bad(d, "in-axon", index, "teaches through a convolution");
    }
    if (o->kind == IMG_BLOCK_CONV) {
        o->ticks = SIM_PLAIN;
        return two_ports(s->groups[o->base].program)
                   ? bad(d, "in-axon", index, "convolves onto neurons that multiply at every tick")
                   : SPK_OK;
    }
    kind = kind_of_targets(s, core, o->base, extent);
    if (kind < 0)
        return bad(d, "in-axon", index, "its targets are neurons of different kinds, or padded");
    o->ticks = kind ? SIM_PORT : SIM_PLAIN;
    return SPK_OK;
}

spk_status sim_ticks_create(struct sim *s)
{
    uint32_t largest = 1;

    for (uint32_t i = 0; i < s->n_cores; i++)
        largest = s->cores[i].neurons > largest ? s->cores[i].neurons : largest;
    for (uint32_t i = 0; i < s->n_axons; i++)
        s->any_ports = s->any_ports || s->axons[i].ticks == SIM_PORT;
    for (uint32_t i = 0; i < s->n_chunks && s->any_ports; i++) {
        struct sim_chunk *c = &s->chunks[i];

        SPK_TRY(
            spk_alloc_array((size_t)s->im->meta.ticks + 1, sizeof *c->tick_first, &c->tick_first));
        SPK_TRY(spk_alloc_array(largest, sizeof *c->port[0], &c->port[0]));
        SPK_TRY(spk_alloc_array(largest, sizeof *c->port[1], &c->port[1]));
    }
    return SPK_OK;
}

void sim_ticks_destroy(struct sim *s)
{
    for (size_t i = 0; i < s->plastic.len; i++) {
        spk_free(s->plastic.data[i].pre);
        spk_free(s->plastic.data[i].post);
        spk_free(s->plastic.data[i].weight);
        spk_free(s->plastic.data[i].formed);
    }
    vec_fini(&s->plastic);
    for (uint32_t i = 0; s->chunks && i < s->n_chunks; i++) {
        struct sim_chunk *c = &s->chunks[i];

        spk_free(c->tick_first);
        spk_free(c->port[0]);
        spk_free(c->port[1]);
        vec_fini(&c->late);
        vec_fini(&c->sorted);
    }
}

/* ---- messages ---- */

static void set_tick(uint64_t *bits, uint32_t tick)
{
    bits[tick / 64] |= (uint64_t)1 << tick % 64;
}

static const struct img_row *row_of(const struct sim *s, const struct sim_axon *a,
                                    const struct sim_late *m)
{
    return &s->im->rows[s->im->contents[a->content].row_first + a->row + m->atom];
}

/* A post-synaptic spike of teachers: their columns in all learning blocks of the core. */
static void teach(struct sim *s, const struct sim_axon *a, const struct sim_late *m)
{
    const struct sim_core *core = &s->cores[a->core];
    const struct img_row *row = row_of(s, a, m);

    for (uint32_t i = 0; i < row->n_runs; i++) {
        const struct img_run *run = &s->im->runs[row->run_first + i];

        for (uint32_t p = core->plastic_first; p < core->plastic_first + core->n_plastic; p++) {
            struct sim_plastic *b = &s->plastic.data[p];
            const int8_t *w = s->im->weights + run->weight_first;

            for (uint32_t j = 0; j < run->length; j++) {
                uint32_t column = a->base + run->start + j - b->base;
                if (w[j] != 0 && column < b->width)
                    set_tick(b->post + (size_t)column * s->tick_words, m->tick);
            }
            b->touched = true;
        }
    }
}

/* The group of a neuron (counted through, as groups are). */
static const struct sim_group *group_of(const struct sim *s, uint32_t neuron)
{
    uint32_t lo = 0, hi = s->n_groups;

    while (hi - lo > 1) {
        uint32_t middle = lo + (hi - lo) / 2;
        if (s->groups[middle].first <= neuron)
            lo = middle;
        else
            hi = middle;
    }
    return lo < s->n_groups && neuron - s->groups[lo].first < s->groups[lo].n ? &s->groups[lo]
                                                                              : NULL;
}

/* The tick at which the spike of a neuron leaves. */
static uint32_t phase_of(const struct sim *s, const struct sim_group *g, uint32_t neuron)
{
    const struct img_layer *l = &s->im->layers[g->layer];
    const uint32_t local = neuron - g->first, p = local / g->nc, channel = g->c0 + local % g->nc;
    const uint32_t position = (g->y0 + p / g->nx) * l->width + g->x0 + p % g->nx;
    const uint32_t tick = l->phase_base + l->phase_position * position;

    return l->phase_mod ? tick + channel / l->phase_div % l->phase_mod : tick;
}

spk_status sim_ticks_take(struct sim *s, uint32_t chunk, const struct sim_due *due,
                          const struct sim_spike *spike)
{
    const struct sim_axon *a = &s->axons[due->message.axon];
    const struct sim_group *g = NULL;
    const bool host = due->from == s->n_chunks;

    for (uint32_t k = 0; k < due->message.n; k++) {
        struct sim_late m = {due->message.axon,
                             (uint16_t)(due->message.atom + spike[k].neuron - spike[0].neuron), 0,
                             spike[k].payload};

        if (!host && (g == NULL || spike[k].neuron - g->first >= g->n))
            g = group_of(s, spike[k].neuron);
        if (!host && g != NULL)
            m.tick = (uint16_t)phase_of(s, g, spike[k].neuron);
        if (a->ticks == SIM_LEARN) {
            struct sim_plastic *p = &s->plastic.data[a->plastic];
            p->touched = true;
            set_tick(p->pre + (size_t)(a->row + m.atom) * s->tick_words, m.tick);
        } else if (a->ticks == SIM_TEACH) {
            teach(s, a, &m);
        } else {
            SPK_TRY(vec_push(&s->chunks[chunk].late, m));
        }
    }
    return SPK_OK;
}

/* ---- after the last message of a core ---- */

/* Weights of a row before tick `tick`. */
static void form_row(const struct sim *s, struct sim_plastic *p, const struct img_row *row,
                     uint32_t r, uint32_t tick)
{
    const uint64_t *pre = p->pre + (size_t)r * s->tick_words;
    uint16_t *w = p->weight + (size_t)r * p->longest;
    const uint32_t whole = tick / 64;
    const uint64_t rest = tick % 64 ? ((uint64_t)1 << tick % 64) - 1 : 0;

    for (uint32_t i = 0; i < row->n_runs; i++) {
        const struct img_run *run = &s->im->runs[row->run_first + i];

        for (uint32_t j = run->start; j < run->start + run->length; j++) {
            const uint64_t *post = p->post + (size_t)j * s->tick_words;
            uint32_t n = 0;

            for (uint32_t k = 0; k < whole; k++)
                n += (uint32_t)__builtin_popcountll(pre[k] & post[k]);
            if (rest)
                n += (uint32_t)__builtin_popcountll(pre[whole] & post[whole] & rest);
            *w++ = (uint16_t)(n < p->most ? n : p->most);
        }
    }
    p->formed[r] = tick + 1;
}

static void read_row(struct sim *s, const struct sim_axon *a, const struct sim_late *m)
{
    struct sim_plastic *p = &s->plastic.data[a->plastic];
    const struct img_row *row = row_of(s, a, m);
    const uint32_t r = a->row + m->atom, scale = (uint32_t)m->payload << a->shift;
    const uint16_t *w = p->weight + (size_t)r * p->longest;
    int32_t *acc = s->acc + a->base;

    if (p->base == IMG_NONE)
        return; /* nothing ever learns */
    p->touched = true;
    if (p->formed[r] != m->tick + 1u)
        form_row(s, p, row, r, m->tick);
    for (uint32_t i = 0; i < row->n_runs; i++) {
        const struct img_run *run = &s->im->runs[row->run_first + i];

        for (uint32_t j = run->start; j < run->start + run->length; j++, w++)
            acc[j] = (int32_t)((uint32_t)acc[j] + *w * scale);
    }
}

/* Multiplies what the ports got at one tick; the scratch is zero afterwards. */
static void multiply(struct sim *s, struct sim_chunk *chunk, uint32_t core)
{
    const struct sim_core *c = &s->cores[core];

    for (uint32_t i = 0; i < c->n_groups; i++) {
        const struct sim_group *g = &s->groups[c->group_first + i];
        int32_t *acc = s->acc + g->comp;
        int32_t *p0 = chunk->port[0] + (g->comp - c->first);
        int32_t *p1 = chunk->port[1] + (g->comp - c->first);
        uint64_t active = 0;

        if (!two_ports(g->program))
            continue;
        for (uint32_t j = 0; j < g->n; j++) {
            acc[j] = (int32_t)((uint32_t)acc[j] + (uint32_t)p0[j] * (uint32_t)p1[j]);
            active += (p0[j] | p1[j]) != 0;
            p0[j] = p1[j] = 0;
        }
        s->active_updates[c->group_first + i] += active;
    }
}

static void add_port(struct sim *s, struct sim_chunk *chunk, const struct sim_late *m)
{
    const struct sim_axon *a = &s->axons[m->axon];
    const uint32_t base = a->base - s->cores[a->core].first;
    const struct img_row *row = row_of(s, a, m);
    int32_t *to = chunk->port[a->port == IMG_PORT_SECOND] + base;
    const uint32_t scale = (uint32_t)m->payload << a->shift;

    for (uint32_t i = 0; i < row->n_runs; i++) {
        const struct img_run *run = &s->im->runs[row->run_first + i];
        const int8_t *w = s->im->weights + run->weight_first;

        for (uint32_t j = 0; j < run->length; j++)
            to[run->start + j] =
                (int32_t)((uint32_t)to[run->start + j] + (uint32_t)(int32_t)w[j] * scale);
    }
}

/* Sorts the spikes to ports by tick, in `chunk->sorted`. */
static spk_status sort_ports(struct sim *s, struct sim_chunk *chunk)
{
    const struct sim_lates *late = &chunk->late;
    uint32_t *first = chunk->tick_first, ticks = s->im->meta.ticks, n = 0;

    memset(first, 0, ((size_t)ticks + 1) * sizeof *first);
    for (size_t i = 0; i < late->len; i++) {
        if (s->axons[late->data[i].axon].ticks == SIM_PORT) {
            first[late->data[i].tick + 1]++;
            n++;
        }
    }
    for (uint32_t t = 0; t < ticks; t++)
        first[t + 1] += first[t];
    SPK_TRY(vec_reserve(&chunk->sorted, n));
    chunk->sorted.len = n;
    for (size_t i = late->len; i-- > 0;) {
        /* first[tick + 1] is the end of the tick's range and counts down to its start */
        if (s->axons[late->data[i].axon].ticks == SIM_PORT)
            chunk->sorted.data[--first[late->data[i].tick + 1]] = late->data[i];
    }
    return SPK_OK;
}

/* Weights are 0 at the start of a step. */
static void forget(const struct sim *s, struct sim_plastic *p)
{
    if (!p->touched)
        return;
    memset(p->pre, 0, (size_t)p->n_rows * s->tick_words * sizeof *p->pre);
    memset(p->post, 0, (size_t)p->width * s->tick_words * sizeof *p->post);
    memset(p->formed, 0, p->n_rows * sizeof *p->formed);
    p->touched = false;
}

spk_status sim_ticks_finish(struct sim *s, uint32_t chunk_id, uint32_t core)
{
    struct sim_chunk *chunk = &s->chunks[chunk_id];
    struct sim_lates *late = &chunk->late;
    const struct sim_core *c = &s->cores[core];
    bool ports = false;

    for (size_t i = 0; i < late->len; i++) {
        const struct sim_axon *a = &s->axons[late->data[i].axon];

        ports = ports || a->ticks == SIM_PORT;
        if (a->ticks == SIM_READ)
            read_row(s, a, &late->data[i]);
    }
    if (ports)
        SPK_TRY(sort_ports(s, chunk));
    for (size_t i = 0; ports && i < chunk->sorted.len; i++) {
        add_port(s, chunk, &chunk->sorted.data[i]);
        if (i + 1 == chunk->sorted.len ||
            chunk->sorted.data[i + 1].tick != chunk->sorted.data[i].tick)
            multiply(s, chunk, core);
    }
    vec_clear(late);
    for (uint32_t i = c->plastic_first; i < c->plastic_first + c->n_plastic; i++)
        forget(s, &s->plastic.data[i]);
    return SPK_OK;
}

void sim_ticks_reset(struct sim *s)
{
    for (size_t i = 0; i < s->plastic.len; i++)
        forget(s, &s->plastic.data[i]);
    for (uint32_t i = 0; i < s->n_chunks; i++)
        vec_clear(&s->chunks[i].late);
}
