/* Checker, part 2: limits and formats of each core, from the tables alone.
 *
 * Synaptic memory (Loihi's format, as nengo-loihi's SynapseConfig states it): the synapses of a row
 * are cut into blocks of at most block_synapses; a block takes header_bits and per synapse weight,
 * delay and tag bits, padded to whole words. A list block is dense where all its rows are single
 * runs from target offset 0; otherwise each synapse also carries an index, wide enough for the
 * block's last target. A kernel row of a convolution block is dense: kernel_h * kernel_w * nc
 * synapses. Cost: linear in axons and in the rows of each core's blocks.                         */
#include "check/check_internal.h"

#include <stdlib.h>
#include <string.h>

#include "support/alloc.h"

static uint64_t row_bits(const struct tgt_format *f, uint64_t n, uint64_t each)
{
    uint64_t word = f->word_bits ? f->word_bits : 1, bits = 0;
    uint64_t most = f->block_synapses ? f->block_synapses : n;

    while (n > 0) {
        uint64_t part = n < most ? n : most;
        uint64_t whole = n / part;

        /* all full parts at once, then the rest */
        bits += whole * ((part * each + f->header_bits + word - 1) / word * word);
        n -= whole * part;
    }
    return bits;
}

/* Shape of a content that its memory depends on. */
struct shape {
    bool dense;
    uint32_t last;    /* largest target offset */
    int8_t low, high; /* extreme weights */
};

static void take_weights(const struct image *im, uint64_t first, uint64_t n, struct shape *s)
{
    for (uint64_t i = first; i < first + n; i++) {
        s->low = im->weights[i] < s->low ? im->weights[i] : s->low;
        s->high = im->weights[i] > s->high ? im->weights[i] : s->high;
    }
}

static struct shape content_shape(const struct image *im, const struct img_content *c)
{
    struct shape s = {.dense = true};

    if (c->kind == IMG_BLOCK_CONV) {
        take_weights(im, c->weight_first, (uint64_t)c->n_rows * c->kernel_h * c->kernel_w * c->nc,
                     &s);
        return s;
    }
    for (uint64_t r = c->row_first; r < c->row_first + c->n_rows; r++) {
        const struct img_row *row = &im->rows[r];

        for (uint64_t j = row->run_first; j < row->run_first + row->n_runs; j++) {
            const struct img_run *run = &im->runs[j];

            take_weights(im, run->weight_first, run->length, &s);
            if (run->start != 0 || row->n_runs > 1)
                s.dense = false;
            if (run->length > 0 && run->start + run->length - 1 > s.last)
                s.last = run->start + run->length - 1;
        }
    }
    return s;
}

static uint64_t block_bits(const struct check *c, const struct img_block *b, const struct shape *s,
                           bool *out_index_fits)
{
    const struct image *im = c->im;
    const struct tgt_format *f = &c->t->format;
    const struct img_content *t = &im->contents[b->content];
    uint64_t each = (uint64_t)b->weight_bits + b->delay_bits + f->tag_bits, bits = 0;

    if (b->kind == IMG_BLOCK_PLASTIC)
        each += c->t->arith.plastic_tag_bits;
    *out_index_fits = true;
    if (t->kind == IMG_BLOCK_CONV)
        return t->n_rows * row_bits(f, (uint64_t)t->kernel_h * t->kernel_w * t->nc, each);
    if (!s->dense) {
        uint32_t index = f->index_bits_min;

        while (index < 32 && (s->last >> index) != 0)
            index++;
        *out_index_fits = index <= f->index_bits_max;
        each += index;
    }
    for (uint64_t r = t->row_first; r < t->row_first + t->n_rows; r++) {
        uint64_t n = 0;

        for (uint32_t j = 0; j < im->rows[r].n_runs; j++)
            n += im->runs[im->rows[r].run_first + j].length;
        bits += row_bits(f, n, each);
    }
    return bits;
}

/* Limit of a core of its class: an engine's compartments and synaptic memory are its memory. */
static uint64_t core_limit(const struct check *c, uint32_t core, enum tgt_limit which)
{
    const uint64_t bits = c->t->arith.state_bits ? c->t->arith.state_bits : 1;

    if (c->core_task[core] == IMG_NONE)
        return tgt_limit_value(c->t, which);
    if (which == TGT_NEURONS)
        return c->t->engine.memory_bits / bits;
    if (which == TGT_SYNAPSE_BITS)
        return c->t->engine.memory_bits;
    return which == TGT_CONFIGS ? UINT64_MAX : tgt_limit_value(c->t, which);
}

static void limit(struct check *c, uint32_t core, enum tgt_limit which, uint64_t have)
{
    uint64_t most = core_limit(c, core, which);
    const struct img_core *k = &c->im->cores[core];

    if (have > most)
        check_violation(c, "E0930", k->n_groups ? c->im->groups[k->group_first].layer : IMG_NONE,
                        core, "%s: %llu used, at most %llu exist", tgt_limit_name(which),
                        (unsigned long long)have, (unsigned long long)most);
}

/* Whether every group that an axon reaches is graded: its program reads plain accumulators. */
static bool graded_targets(const struct check *c, uint32_t core, const struct img_in_axon *a)
{
    const struct image *im = c->im;
    uint32_t first, last;

    check_axon_groups(c, core, a, &first, &last);
    for (uint32_t g = first; g <= last; g++) {
        const uint32_t config = im->channel_config[im->groups[g].channel_config];

        if (!img_is_graded(im->configs[im->cores[core].config_first + config].program))
            return false;
    }
    return true;
}

/* plain: all its axons lead to plain numbers, at second ports or in graded groups. */
static void check_block(struct check *c, uint32_t core, uint32_t id, const struct shape *s,
                        bool plain)
{
    const struct tgt_arith *a = &c->t->arith;
    const struct img_block *b = &c->im->blocks[id];
    int32_t base = a->current_shift + (a->weight_even ? 1 : 0);
    int32_t exponent = (int32_t)b->shift - base;
    int32_t most = b->weight_bits == 0 ? 0 : (1 << (b->weight_bits - 1)) - 1;

    if (b->kind == IMG_BLOCK_CONV && c->t->sharing != TGT_SHARE_CONVOLUTION)
        check_violation(c, "E0933", IMG_NONE, core,
                        "block %u computes convolution targets, which '%s' cannot", id, c->t->name);
    if (b->kind == IMG_BLOCK_PLASTIC && (b->weight_bits > a->plastic_bits || s->low || s->high))
        check_violation(c, "E0933", IMG_NONE, core,
                        "block %u learns weights of %u bits, '%s' has %u; they start at %d..%d, "
                        "not 0",
                        id, b->weight_bits, c->t->name, a->plastic_bits, s->low, s->high);
    else if (b->kind != IMG_BLOCK_PLASTIC && b->weight_bits > a->weight_bits)
        check_violation(c, "E0933", IMG_NONE, core, "block %u: %u weight bits, '%s' has %u", id,
                        b->weight_bits, c->t->name, a->weight_bits);
    if (s->high > most || s->low < -most - 1)
        check_violation(c, "E0933", IMG_NONE, core, "block %u: weights %d..%d do not fit %u bits",
                        id, s->low, s->high, b->weight_bits);
    if ((exponent < a->weight_exp_min && !(plain && exponent < 0)) || exponent > a->weight_exp_max)
        check_violation(c, "E0933", IMG_NONE, core,
                        "block %u: shift %u is weight exponent %d, '%s' has %d..%d%s", id, b->shift,
                        exponent, c->t->name, a->weight_exp_min, a->weight_exp_max,
                        a->weight_even ? " and even weights" : "");
}

/* Distinct synapse formats (kind, shift, bits) of a core; beyond 64 they are only counted. */
struct formats {
    struct img_block seen[64];
    uint32_t n;
};

static void take_format(struct check *c, uint32_t core, const struct img_block *b,
                        struct formats *f)
{
    uint32_t known = f->n < 64 ? f->n : 64;

    for (uint32_t j = 0; j < known; j++) {
        const struct img_block *o = &f->seen[j];
        bool same = o->kind == b->kind && o->shift == b->shift &&
                    o->weight_bits == b->weight_bits && o->delay_bits == b->delay_bits;

        if (same && o->format == b->format)
            return;
        if (same || o->format == b->format) {
            check_violation(c, "E0933", IMG_NONE, core,
                            "synapse formats %u and %u: blocks of %s kind, shift and bits",
                            o->format, b->format, same ? "the same" : "different");
            return;
        }
    }
    if (f->n < 64)
        f->seen[f->n] = *b;
    f->n++;
}

/* Formats, memory and use of the core's blocks. */
static spk_status check_blocks(struct check *c, uint32_t core, const struct shape *shapes)
{
    const struct image *im = c->im;
    const struct img_core *k = &im->cores[core];
    struct formats formats = {.n = 0};
    uint64_t bits = 0;
    uint32_t *uses;

    SPK_TRY(spk_alloc_array(2 * (size_t)k->n_blocks, sizeof *uses, &uses));
    uint32_t *plain = uses + k->n_blocks;
    for (uint32_t i = 0; i < k->n_in_axons; i++) {
        const struct img_in_axon *a = &im->in_axons[k->in_axon_first + i];

        if (a->block == IMG_NONE)
            continue;
        uses[a->block - k->block_first]++;
        plain[a->block - k->block_first] +=
            a->port == IMG_PORT_SECOND || graded_targets(c, core, a);
    }
    for (uint32_t i = 0; i < k->n_blocks; i++) {
        const struct img_block *b = &im->blocks[k->block_first + i];
        bool fits;

        take_format(c, core, b, &formats);
        bits += block_bits(c, b, &shapes[b->content], &fits);
        if (!fits)
            check_violation(c, "E0933", IMG_NONE, core,
                            "block %u: target offset %u does not fit an index of %u bits",
                            k->block_first + i, shapes[b->content].last,
                            c->t->format.index_bits_max);
        if (uses[i] > 1 && c->t->sharing == TGT_SHARE_NONE)
            check_violation(c, "E0933", IMG_NONE, core,
                            "block %u is used by %u in-axons, '%s' shares no synapses",
                            k->block_first + i, uses[i], c->t->name);
        check_block(c, core, k->block_first + i, &shapes[b->content],
                    uses[i] > 0 && uses[i] == plain[i]);
    }
    spk_free(uses);
    limit(c, core, TGT_SYNAPSE_FORMATS, formats.n);
    if (c->core_task[core] != IMG_NONE)
        bits += check_engine_bits(c, &im->embedded[c->core_task[core]]);
    limit(c, core, TGT_SYNAPSE_BITS, bits);
    return SPK_OK;
}

static bool kind_exists(const struct check *c, uint8_t kind)
{
    return kind == IMG_AXON_DISCRETE ? c->t->axon_discrete : c->t->axon_population;
}

static void check_in_axon(struct check *c, uint32_t core, uint32_t i)
{
    const struct image *im = c->im;
    const struct img_in_axon *a = &im->in_axons[im->cores[core].in_axon_first + i];
    const struct img_block *b = a->block == IMG_NONE ? NULL : &im->blocks[a->block];

    if (!kind_exists(c, a->kind))
        check_violation(c, "E0931", IMG_NONE, core, "in-axon %u: '%s' has no axons of kind %u", i,
                        c->t->name, a->kind);
    if (a->kind == IMG_AXON_DISCRETE && a->atoms != 1)
        check_violation(c, "E0931", IMG_NONE, core, "in-axon %u: discrete, but %u atoms", i,
                        a->atoms);
    if (a->kind == IMG_AXON_POP16 && a->atoms > tgt_limit_value(c->t, TGT_ATOMS))
        check_violation(c, "E0931", IMG_NONE, core, "in-axon %u: %u atoms, pop16 has at most %llu",
                        i, a->atoms, (unsigned long long)tgt_limit_value(c->t, TGT_ATOMS));
    if (b && b->kind != IMG_BLOCK_CONV && a->base > tgt_limit_value(c->t, TGT_AXON_BASE))
        check_violation(c, "E0931", IMG_NONE, core, "in-axon %u: base %u, at most %llu", i, a->base,
                        (unsigned long long)tgt_limit_value(c->t, TGT_AXON_BASE));
    if (b && b->kind != IMG_BLOCK_CONV && a->kind == IMG_AXON_POP16 && a->base % 4 != 0)
        check_violation(c, "E0931", IMG_NONE, core,
                        "in-axon %u: base %u of a pop16 axon is no multiple of 4", i, a->base);
    if (a->delay > tgt_limit_value(c->t, TGT_DELAY))
        check_violation(c, "E0931", IMG_NONE, core, "in-axon %u: delay %u, at most %llu", i,
                        a->delay, (unsigned long long)tgt_limit_value(c->t, TGT_DELAY));
    if (b && b->delay_bits < 32 && a->delay >> b->delay_bits != 0)
        check_violation(c, "E0931", IMG_NONE, core, "in-axon %u: delay %u does not fit %u bits", i,
                        a->delay, b->delay_bits);
    if (a->port == IMG_PORT_SECOND && !c->t->arith.two_ports)
        check_violation(c, "E0931", IMG_NONE, core,
                        "in-axon %u uses port %u, neurons of '%s' have one", i, a->port,
                        c->t->name);
}

/* A population axon's compartments are atoms 0.. of one position: its entry must not leave it. */
static void check_atoms(struct check *c, uint32_t core, uint32_t i, const struct img_out_axon *a)
{
    struct source first, last;

    if (a->kind == IMG_AXON_DISCRETE || a->comp_count < 2 ||
        !check_neuron_of(c, core, a->comp_first, &first, NULL) ||
        !check_neuron_of(
            c, core, check_out_comp(c, c->im->cores[core].out_axon_first + i, a->comp_count - 1),
            &last, NULL))
        return;
    if (first.layer != last.layer || first.position != last.position)
        check_violation(c, "E0932", first.layer, core,
                        "out-axon %u: its compartments lie at positions %u and %u, a population "
                        "axon serves one",
                        i, first.position, last.position);
}

static int compare_ids(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* Distinct destination cores, where the target limits them. */
static spk_status check_destinations(struct check *c, uint32_t core)
{
    const struct img_core *k = &c->im->cores[core];
    uint32_t *to, n = 0;
    uint64_t distinct = 0;

    if (!c->t->limit[TGT_ROUTES].present)
        return SPK_OK;
    SPK_TRY(spk_alloc_array(k->n_out_axons, sizeof *to, &to));
    for (uint32_t i = 0; i < k->n_out_axons; i++) {
        to[n] = c->route_core[c->im->out_axons[k->out_axon_first + i].route];
        n += to[n] != IMG_NONE;
    }
    if (n > 0)
        qsort(to, n, sizeof *to, compare_ids);
    for (uint32_t i = 0; i < n; i++)
        distinct += i == 0 || to[i] != to[i - 1];
    limit(c, core, TGT_ROUTES, distinct);
    spk_free(to);
    return SPK_OK;
}

static void check_out_axons(struct check *c, uint32_t core)
{
    const struct image *im = c->im;
    const struct img_core *k = &im->cores[core];
    uint64_t slots = 0;

    for (uint32_t i = 0; i < k->n_out_axons; i++) {
        const struct img_out_axon *a = &im->out_axons[k->out_axon_first + i];
        uint32_t to = c->route_core[a->route];

        slots += a->kind == IMG_AXON_POP32 ? c->t->pop32_slots : c->t->pop16_slots;
        if (!kind_exists(c, a->kind))
            check_violation(c, "E0932", IMG_NONE, core, "out-axon %u: '%s' has no axons of kind %u",
                            i, c->t->name, a->kind);
        if (a->kind == IMG_AXON_DISCRETE && a->comp_count != 1)
            check_violation(c, "E0932", IMG_NONE, core,
                            "out-axon %u: discrete, but for %u compartments", i, a->comp_count);
        if (a->kind == IMG_AXON_POP16 && a->comp_count > tgt_limit_value(c->t, TGT_ATOMS))
            check_violation(c, "E0932", IMG_NONE, core,
                            "out-axon %u: %u compartments, pop16 has at most %llu atoms", i,
                            a->comp_count, (unsigned long long)tgt_limit_value(c->t, TGT_ATOMS));
        if (to == IMG_NONE)
            continue;
        uint8_t kind = im->in_axons[im->cores[to].in_axon_first + a->dest_axon].kind;
        if (kind != a->kind)
            check_violation(c, "E0932", IMG_NONE, core,
                            "out-axon %u is of kind %u, in-axon %u of core %u of kind %u", i,
                            a->kind, a->dest_axon, to, kind);
        check_atoms(c, core, i, a);
    }
    limit(c, core, TGT_OUT_AXONS, slots);
}

static void check_config(struct check *c, uint32_t core, uint32_t i)
{
    const struct tgt_arith *a = &c->t->arith;
    const struct img_config *g = &c->im->configs[c->im->cores[core].config_first + i];
    int64_t most = ((int64_t)1 << (a->state_bits - 1)) - 1;

    bool graded = img_is_graded(g->program);
    bool pairs = g->program == IMG_PROG_PRODUCT || g->program == IMG_PROG_ACCUMULATE ||
                 g->program == IMG_PROG_GATED;

    if ((g->program == IMG_PROG_FIXED) != (a->neuron == TGT_NEURON_FIXED))
        check_violation(c, "E0934", IMG_NONE, core,
                        "configuration %u: program %u on '%s', whose "
                        "neurons are %s",
                        i, g->program, c->t->name,
                        a->neuron == TGT_NEURON_FIXED ? "hard-wired" : "programmable");
    if (graded && a->payload_bits == 0)
        check_violation(c, "E0934", IMG_NONE, core,
                        "configuration %u sends graded spikes, which '%s' has not", i, c->t->name);
    if (pairs && !a->two_ports)
        check_violation(c, "E0934", IMG_NONE, core,
                        "configuration %u multiplies two inputs, which '%s' cannot", i, c->t->name);
    if (graded)
        return;
    if (g->decay > a->decay_max)
        check_violation(c, "E0934", IMG_NONE, core, "configuration %u: decay %u, at most %u", i,
                        g->decay, a->decay_max);
    if (g->current_keep > (g->program == IMG_PROG_PROG ? 4096 : 0))
        check_violation(c, "E0934", IMG_NONE, core,
                        "configuration %u: keeps %u of 4096 of its current, which its program "
                        "cannot",
                        i, g->current_keep);
    if (g->vth > most || g->vth <= 0)
        check_violation(c, "E0934", IMG_NONE, core,
                        "configuration %u: threshold %d is not in 1..%lld", i, g->vth,
                        (long long)most);
    if (g->program == IMG_PROG_FIXED) {
        int64_t mantissa = ((int64_t)g->vth - 1) >> a->threshold_shift;

        if ((mantissa << a->threshold_shift) + 1 != g->vth ||
            mantissa >> a->threshold_mant_bits != 0)
            check_violation(c, "E0934", IMG_NONE, core,
                            "configuration %u: threshold %d is not (mantissa << %u) + 1 with a "
                            "mantissa of %u bits",
                            i, g->vth, a->threshold_shift, a->threshold_mant_bits);
    }
}

static void check_group(struct check *c, uint32_t core, uint32_t id, uint8_t *used)
{
    const struct image *im = c->im;
    const struct img_group *g = &im->groups[id];
    const struct img_core *k = &im->cores[core];
    int64_t most = ((int64_t)1 << (c->t->arith.state_bits - 1)) - 1;
    bool doubled = false;

    for (uint32_t i = 0; i < g->ny * g->nx * g->nc; i++) {
        uint32_t comp = img_group_comp(g, i);

        doubled |= used[comp] != 0;
        used[comp] = 1;
    }
    for (uint32_t i = 0; g->teach_first != IMG_NONE && i < g->nc; i++) {
        doubled |= used[g->teach_first + i] != 0;
        used[g->teach_first + i] = 1;
    }
    if (doubled)
        check_violation(c, "E0935", g->layer, core,
                        "its compartments from %u overlap another group's", g->comp_first);
    for (uint32_t i = 1; i < g->nc; i++) {
        const struct img_config *a =
            &im->configs[k->config_first + im->channel_config[g->channel_config]];
        const struct img_config *b =
            &im->configs[k->config_first + im->channel_config[g->channel_config + i]];

        if (a->program != b->program || a->decay != b->decay ||
            a->current_keep != b->current_keep || a->soft_reset != b->soft_reset) {
            check_violation(c, "E0935", g->layer, core,
                            "channels %u and %u differ in program, decay or reset", g->c0,
                            g->c0 + i);
            break;
        }
    }
    if (g->channel_bias == IMG_NONE)
        return;
    if (c->t->arith.neuron == TGT_NEURON_FIXED)
        check_violation(c, "E0935", g->layer, core, "static biases, which '%s' has not",
                        c->t->name);
    for (uint32_t i = 0; i < g->nc; i++) {
        int64_t bias = im->biases[g->channel_bias + i];

        if (bias > most || bias < -most) {
            check_violation(c, "E0935", g->layer, core,
                            "bias %lld of channel %u does not fit the state", (long long)bias,
                            g->c0 + i);
            break;
        }
    }
}

static spk_status check_core(struct check *c, uint32_t core, const struct shape *shapes)
{
    const struct img_core *k = &c->im->cores[core];
    uint8_t *used;

    limit(c, core, TGT_NEURONS, k->neurons);
    limit(c, core, TGT_IN_AXONS, k->n_in_axons);
    limit(c, core, TGT_CONFIGS, k->n_configs);
    for (uint32_t i = 0; i < k->n_configs; i++)
        check_config(c, core, i);
    SPK_TRY(spk_alloc_array(k->neurons, 1, &used));
    for (uint32_t i = 0; i < k->n_groups; i++)
        check_group(c, core, k->group_first + i, used);
    spk_free(used);
    for (uint32_t i = 0; i < k->n_in_axons; i++)
        check_in_axon(c, core, i);
    check_out_axons(c, core);
    SPK_TRY(check_destinations(c, core));
    return check_blocks(c, core, shapes);
}

spk_status check_cores(struct check *c)
{
    struct shape *shapes;
    spk_status status = SPK_OK;

    SPK_TRY(spk_alloc_array(c->im->n_contents, sizeof *shapes, &shapes));
    for (uint64_t i = 0; i < c->im->n_contents; i++)
        shapes[i] = content_shape(c->im, &c->im->contents[i]);
    for (uint32_t i = 0; i < c->im->n_cores && status == SPK_OK; i++)
        status = check_core(c, i, shapes);
    spk_free(shapes);
    return status;
}
