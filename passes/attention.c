/* Lowerings of attention and their costs: see attention.h and docs/mapping.md, section 1.
 *
 * Every population of a lowering is tiled by itself: a tile takes whole heads, or an even part of
 * one head, times as many positions as neurons, in-axons and synaptic memory leave room for. The
 * tile search of passes/map prices the same populations axon by axon; the closed forms here agree
 * with it up to the shapes that it may take between these. Cost: (heads + log d) per population. */
#include "passes/attention.h"

#include <math.h>
#include <string.h>

static const enum ir_attn_lowering all[ATTN_LOWERINGS] = {IR_LOWER_AND_LIF, IR_LOWER_EMBEDDED,
                                                          IR_LOWER_PRODUCT, IR_LOWER_SERIAL,
                                                          IR_LOWER_PLASTIC, IR_LOWER_ENGINE};

enum tgt_attention attn_bit(enum ir_attn_lowering l)
{
    return (enum tgt_attention)(1u << ((unsigned)l - 1));
}

const char *attn_name(enum ir_attn_lowering l)
{
    return l == IR_LOWER_OPEN ? "open" : tgt_attention_name(attn_bit(l));
}

bool attn_by_name(const char *name, enum ir_attn_lowering *out)
{
    *out = IR_LOWER_OPEN;
    for (size_t i = 0; i < ATTN_LOWERINGS; i++)
        if (strcmp(name, attn_name(all[i])) == 0)
            *out = all[i];
    return *out != IR_LOWER_OPEN;
}

const char *attn_of_module(const struct ir_module *m)
{
    const char *name = "none";
    for (uint32_t i = 0; i < m->n_nodes; i++) {
        if (m->node[i].op != IR_OP_ATTENTION)
            continue;
        const char *here = attn_name(m->node[i].a.attention.lowering);
        if (strcmp(name, "none") != 0 && strcmp(name, here) != 0)
            return "mixed";
        name = here;
    }
    return name;
}

/* The value behind reshapes: what fires. */
static uint32_t behind(const struct ir_module *m, uint32_t id)
{
    while (m->node[id].op == IR_OP_RESHAPE)
        id = m->node[id].operand[0];
    return id;
}

struct attn_shape attn_shape_of(const struct ir_module *m, uint32_t attention)
{
    const struct ir_node *n = &m->node[attention];
    struct attn_shape s = {(uint32_t)ir_type_positions(&n->type),
                           n->type.channels,
                           n->a.attention.heads,
                           n->a.attention.unit,
                           true,
                           n->a.attention.order};
    for (uint32_t i = 0; i < m->n_nodes; i++) {
        const struct ir_node *o = &m->node[i];
        for (uint32_t k = 0; o->op == IR_OP_ATTENTION && k < 3; k++)
            for (uint32_t j = 0; j < 3; j++)
                if ((i != attention || k != j) &&
                    behind(m, o->operand[k]) == behind(m, n->operand[j]))
                    s.distinct = false;
    }
    return s;
}

/* ---- tiles in closed form ---- */

static uint64_t ceil_div(uint64_t a, uint64_t b)
{
    return (a + b - 1) / b;
}

/* Bits of one row: n synapses with an index up to `last` (0: dense). */
static uint64_t row(const struct tgt *t, uint64_t n, uint64_t last, uint32_t tag)
{
    const struct tgt_format *f = &t->format;
    struct tgt_format with_tag = *f;
    uint32_t index = 0;
    with_tag.tag_bits = (uint8_t)(f->tag_bits + tag);
    if (last > 0)
        for (index = f->index_bits_min; index < f->index_bits_max && last >> index != 0; index++)
            continue;
    return tgt_row_bits(&with_tag, (uint32_t)n, t->arith.weight_bits, 0, index);
}

/* What a tile of `columns` channels (`heads` heads are touched) takes per core and per position. */
struct tile_need {
    uint64_t neurons, bits, axons;                /* once */
    uint64_t each_neurons, each_bits, each_axons; /* per position */
};
typedef struct tile_need (*need_fn)(const struct tgt *t, const struct attn_shape *s, uint64_t heads,
                                    uint64_t columns);

static uint64_t positions_that_fit(const struct tgt *t, const struct tile_need *n, uint64_t tokens)
{
    const uint64_t have[3] = {tgt_limit_value(t, TGT_NEURONS), tgt_limit_value(t, TGT_SYNAPSE_BITS),
                              tgt_limit_value(t, TGT_IN_AXONS)};
    const uint64_t once[3] = {n->neurons, n->bits, n->axons};
    const uint64_t each[3] = {n->each_neurons, n->each_bits, n->each_axons};
    uint64_t fit = tokens;
    for (int i = 0; i < 3; i++) {
        if (once[i] > have[i])
            return 0;
        if (each[i] > 0 && (have[i] - once[i]) / each[i] < fit)
            fit = (have[i] - once[i]) / each[i];
    }
    return fit;
}

/* Fewest cores of a population over tilings by heads or parts of a head; 0: none fits. */
static double tiled(const struct tgt *t, const struct attn_shape *s, uint64_t positions,
                    uint64_t per_head, need_fn need)
{
    double best = 0;
    for (uint64_t parts = 1; parts <= per_head; parts *= 2) {
        for (uint64_t heads = s->heads; heads >= 1; heads--) {
            uint64_t columns = parts == 1 ? heads * per_head : ceil_div(per_head, parts);
            if (parts > 1 && heads > 1)
                continue;
            struct tile_need n = need(t, s, heads, columns);
            uint64_t fit = positions_that_fit(t, &n, positions);
            if (fit == 0)
                continue;
            double tiles = (double)ceil_div(positions, fit) *
                           (double)(parts == 1 ? ceil_div(s->heads, heads) : s->heads * parts);
            if (best <= 0 || tiles < best)
                best = tiles;
        }
    }
    return best;
}

static uint64_t per_head(const struct attn_shape *s)
{
    return s->channels / s->heads;
}

/* In-axons of one source position with n channels. */
static uint64_t axons_of(const struct tgt *t, uint64_t n)
{
    uint64_t atoms = tgt_limit_value(t, TGT_ATOMS);
    if (!t->axon_population)
        return n;
    return atoms == UINT64_MAX ? 1 : ceil_div(n, atoms);
}

/* One block of `rows` rows that several positions share, or one per position. */
static void add_rows(const struct tgt *t, struct tile_need *n, uint64_t rows, uint64_t synapses,
                     uint64_t last)
{
    uint64_t bits = rows * row(t, synapses, last, 0);
    if (t->sharing == TGT_SHARE_NONE)
        n->each_bits += bits;
    else
        n->bits += bits;
}

/* relay: c -> c */
static struct tile_need need_relay(const struct tgt *t, const struct attn_shape *s, uint64_t heads,
                                   uint64_t columns)
{
    struct tile_need n = {.each_neurons = columns, .each_axons = axons_of(t, columns)};
    (void)s;
    (void)heads;
    add_rows(t, &n, columns, 1, columns);
    return n;
}

/* plastic: attn_lif with its blocks and teachers */
static struct tile_need need_plastic(const struct tgt *t, const struct attn_shape *s,
                                     uint64_t heads, uint64_t columns)
{
    const uint64_t rows = heads * per_head(s), each = columns / heads;
    struct tile_need n = {.neurons = columns,
                          .axons = s->tokens * (axons_of(t, rows) + axons_of(t, columns)),
                          .each_neurons = columns,
                          .each_axons = axons_of(t, rows)};
    n.bits = rows * row(t, each, heads > 1 ? columns - 1 : 0, t->arith.plastic_tag_bits) +
             columns * row(t, 1, columns - 1, 0);
    return n;
}

/* serial: accumulators (h, a, b), one position; columns counts whole accumulators */
static struct tile_need need_accumulators(const struct tgt *t, const struct attn_shape *s,
                                          uint64_t heads, uint64_t columns)
{
    const uint64_t d = per_head(s), keys = ceil_div(columns, d), values = heads * d;
    struct tile_need n = {.each_neurons = columns,
                          .axons = s->tokens * (axons_of(t, keys) + axons_of(t, values))};
    n.bits = keys * row(t, d, columns, 0) + values * row(t, ceil_div(keys, heads), columns, 0);
    return n;
}

/* serial: attn_lif; A's rows reach a column at every position */
static struct tile_need need_gated(const struct tgt *t, const struct attn_shape *s, uint64_t heads,
                                   uint64_t columns)
{
    const uint64_t d = per_head(s), each = columns / heads;
    struct tile_need n = {.each_neurons = columns,
                          .each_axons = axons_of(t, heads * d),
                          .axons = axons_of(t, columns * d)};
    const uint32_t index = t->format.index_bits_max;
    n.bits = heads * d * row(t, each, columns, 0) + columns * d * t->format.word_bits;
    n.each_bits = columns * d * (t->arith.weight_bits + index);
    return n;
}

/* product: k.v of every token, per_head = d*d channels of a head */
static struct tile_need need_products(const struct tgt *t, const struct attn_shape *s,
                                      uint64_t heads, uint64_t columns)
{
    const uint64_t d = per_head(s), keys = ceil_div(columns, d), values = heads * d;
    struct tile_need n = {.each_neurons = columns,
                          .each_axons = axons_of(t, keys) + axons_of(t, values)};
    add_rows(t, &n, keys, d, columns);
    add_rows(t, &n, values, ceil_div(keys, heads), columns);
    return n;
}

static struct tile_need need_sums(const struct tgt *t, const struct attn_shape *s, uint64_t heads,
                                  uint64_t columns)
{
    struct tile_need n = {.each_neurons = columns, .axons = s->tokens * axons_of(t, columns)};
    (void)heads;
    n.bits = columns * row(t, 1, columns, 0);
    return n;
}

/* product: q times the sum, at every token */
static struct tile_need need_gates(const struct tgt *t, const struct attn_shape *s, uint64_t heads,
                                   uint64_t columns)
{
    const uint64_t d = per_head(s), keys = ceil_div(columns, d);
    struct tile_need n = {
        .each_neurons = columns, .each_axons = axons_of(t, keys), .axons = axons_of(t, columns)};
    (void)heads;
    add_rows(t, &n, keys, d, columns);
    n.bits += columns * t->format.word_bits;
    n.each_bits += columns * (t->arith.weight_bits + t->format.index_bits_max);
    return n;
}

/* product: attn_lif adds the gates of its column */
static struct tile_need need_reduce(const struct tgt *t, const struct attn_shape *s, uint64_t heads,
                                    uint64_t columns)
{
    const uint64_t inputs = columns * per_head(s);
    struct tile_need n = {.each_neurons = columns, .each_axons = axons_of(t, inputs)};
    (void)heads;
    add_rows(t, &n, inputs, 1, columns);
    return n;
}

/* ---- the lowerings ---- */

/* Sums of parts; 0 where one of them does not fit. */
static double sum_of(const double *part, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        if (part[i] <= 0)
            return 0;
        sum += part[i];
    }
    return sum;
}

static double cores_product(const struct tgt *t, const struct attn_shape *s)
{
    const uint64_t d = per_head(s);
    const double part[] = {tiled(t, s, s->tokens, d * d, need_products),
                           tiled(t, s, 1, d * d, need_sums), tiled(t, s, s->tokens, d, need_relay),
                           tiled(t, s, s->tokens, d * d, need_gates),
                           tiled(t, s, s->tokens, d, need_reduce)};
    return sum_of(part, sizeof part / sizeof *part);
}

static double cores_serial(const struct tgt *t, const struct attn_shape *s)
{
    const uint64_t d = per_head(s);
    const double part[] = {tiled(t, s, 1, d * d, need_accumulators),
                           tiled(t, s, s->tokens, d, need_relay),
                           tiled(t, s, s->tokens, d, need_gated)};
    return sum_of(part, sizeof part / sizeof *part);
}

/* By neurons alone: AND units, thermometers, gates, relay, attn_lif. */
static double cores_and_lif(const struct tgt *t, const struct attn_shape *s)
{
    const double n = s->tokens, hdd = (double)s->channels * (double)per_head(s);
    const double neurons = 2 * hdd * n + hdd * n * n + 2 * n * (double)s->channels;
    return ceil(neurons / (double)tgt_limit_value(t, TGT_NEURONS)) + 4;
}

static uint32_t bits_for(uint32_t most)
{
    uint32_t bits = 1;
    while (most >> bits != 0)
        bits++;
    return bits;
}

/* (q k^T) v holds a row of counts of one query, q (k^T v) the counts of its columns. */
uint64_t attn_engine_bits(const struct tgt *t, const struct attn_shape *s, uint32_t heads,
                          uint32_t columns)
{
    const uint64_t d = per_head(s), n = s->tokens;
    const uint64_t planes = n * (2 * d + columns);
    const uint64_t counts = s->order == IR_ATTN_QK_FIRST ? n * bits_for((uint32_t)d)
                                                         : d * columns * bits_for(s->tokens);
    return heads * (planes + counts + n * columns * t->arith.state_bits);
}

uint64_t attn_engine_words(const struct tgt *t, const struct attn_shape *s, uint32_t heads,
                           uint32_t columns)
{
    const uint64_t d = per_head(s), n = s->tokens, word = t->engine.word_bits;
    if (s->order == IR_ATTN_QK_FIRST)
        return heads * n * n * ceil_div(d, word);
    return heads * d * columns * ceil_div(n, word);
}

uint64_t attn_engine_adds(const struct attn_shape *s, uint32_t heads, uint32_t columns)
{
    const uint64_t d = per_head(s), n = s->tokens;
    return heads * n * columns * ((s->order == IR_ATTN_QK_FIRST ? n : d) + 1);
}

static bool engine_can(const struct tgt *t, const struct attn_shape *s, uint32_t heads,
                       uint32_t columns)
{
    return attn_engine_bits(t, s, heads, columns) <= t->engine.memory_bits &&
           attn_engine_words(t, s, heads, columns) + attn_engine_adds(s, heads, columns) <=
               t->engine.ops_per_step &&
           s->tokens * 3 <= tgt_limit_value(t, TGT_IN_AXONS) &&
           s->tokens <= tgt_limit_value(t, TGT_OUT_AXONS);
}

bool attn_engine_task(const struct tgt *t, const struct attn_shape *s, uint32_t *out_heads,
                      uint32_t *out_columns)
{
    const uint32_t d = (uint32_t)per_head(s);
    if (t->engine.per_chip == 0 || t->engine.word_bits == 0)
        return false;
    for (*out_heads = s->heads; *out_heads >= 1; --*out_heads) {
        *out_columns = d;
        if (engine_can(t, s, *out_heads, d))
            return true;
    }
    *out_heads = 1;
    for (*out_columns = d; *out_columns >= 1; --*out_columns)
        if (d % *out_columns == 0 && engine_can(t, s, 1, *out_columns))
            return true;
    return false;
}

static double cores_engine(const struct tgt *t, const struct attn_shape *s)
{
    uint32_t heads, columns;
    if (!attn_engine_task(t, s, &heads, &columns))
        return 0;
    return (double)(ceil_div(s->heads, heads) * ceil_div(per_head(s), columns));
}

static double cores_embedded(const struct tgt *t)
{
    const uint64_t n = tgt_limit_value(t, TGT_EMBEDDED_PER_CHIP);
    const double share = (double)t->cores_per_chip / (double)n;
    return n == 0 ? 0 : share < 1 ? 1 : share;
}

uint32_t attn_ticks(enum ir_attn_lowering l, uint32_t tokens, uint32_t d)
{
    if (l == IR_LOWER_PLASTIC)
        return tokens + 1;
    if (l == IR_LOWER_SERIAL)
        return tokens > d ? tokens : d;
    return 1;
}

void attn_missing(const struct tgt *t, enum ir_attn_lowering l, struct strbuf *out)
{
    const bool serial = l == IR_LOWER_SERIAL, plastic = l == IR_LOWER_PLASTIC;
    const bool product = l == IR_LOWER_PRODUCT;
    const struct {
        bool missing;
        const char *what;
    } needs[] = {
        {(serial || plastic) && t->arith.neuron != TGT_NEURON_PROGRAMMABLE,
         "neurons that gate leak and bias, for steps of several ticks"},
        {product && t->arith.neuron != TGT_NEURON_PROGRAMMABLE, "programmable neurons"},
        {(serial || product) && !t->arith.two_ports, "neurons with two input ports"},
        {(serial || product) && t->arith.payload_bits < 2, "graded spikes"},
        {plastic && t->arith.plastic_bits == 0, "learning synapses"},
        {plastic && (!t->axon_population || t->sharing == TGT_SHARE_NONE),
         "population axons that share synapses"},
        {plastic && t->limit[TGT_AXON_BASE].present, "axon bases that reach the whole core"},
        {l == IR_LOWER_ENGINE && t->engine.per_chip == 0, "attention engine cores"},
        {l == IR_LOWER_EMBEDDED && !t->limit[TGT_EMBEDDED_PER_CHIP].present, "embedded processors"},
    };
    for (size_t i = 0; i < sizeof needs / sizeof *needs; i++)
        if (needs[i].missing)
            strbuf_printf(out, "%s%s", out->len ? "; " : "", needs[i].what);
}

static const char *plastic_reason(const struct tgt *t, const struct attn_shape *s)
{
    uint32_t shift = 0;
    if (t->arith.plastic_bits == 0)
        return "the target has no learning synapses";
    if (s->tokens >= 1u << t->arith.plastic_bits)
        return "its tokens exceed the largest plastic weight";
    while (s->unit > 0 && s->unit >> (shift + 1) != 0)
        shift++;
    if (s->unit > 0 && (s->unit & (s->unit - 1)) != 0)
        return "its unit is no power of two";
    if (s->unit > 0 && (int)shift > t->arith.current_shift + t->arith.weight_exp_max)
        return "its unit exceeds the largest weight exponent";
    return NULL;
}

/* Why the layer cannot have a lowering that the target offers; NULL: it can. */
static const char *reason_of(const struct tgt *t, const struct attn_shape *s,
                             const struct attn_candidate *c)
{
    const char *reason = NULL;
    bool ticks = c->lowering == IR_LOWER_SERIAL || c->lowering == IR_LOWER_PLASTIC;
    if (!c->offered)
        return "the target does not offer it";
    if (c->lowering == IR_LOWER_AND_LIF && s->tokens > ATTN_AND_LIF_TOKENS)
        reason = "it has too many tokens for binary gates";
    else if (c->lowering == IR_LOWER_PLASTIC)
        reason = plastic_reason(t, s);
    if (!reason && ticks && !s->distinct)
        reason = "a value is used as more than one of q, k and v";
    if (!reason && c->cores <= 0)
        reason = "not even one channel of it fits a core";
    return reason;
}

void attn_candidates(const struct tgt *t, const struct attn_shape *s,
                     struct attn_candidate out[ATTN_LOWERINGS])
{
    const double cores[ATTN_LOWERINGS] = {cores_and_lif(t, s),
                                          cores_embedded(t),
                                          cores_product(t, s),
                                          cores_serial(t, s),
                                          tiled(t, s, s->tokens, per_head(s), need_plastic),
                                          cores_engine(t, s)};
    const uint32_t steps[ATTN_LOWERINGS] = {4, t->arith.embedded_latency, 4, 2,
                                            1, t->engine.latency};
    for (size_t i = 0; i < ATTN_LOWERINGS; i++) {
        struct attn_candidate *c = &out[i];
        c->lowering = all[i];
        c->offered = (t->attention & attn_bit(all[i])) != 0;
        c->cores = cores[i];
        c->steps = steps[i];
        c->ticks = attn_ticks(all[i], s->tokens, (uint32_t)per_head(s));
        c->reason = reason_of(t, s, c);
    }
}

int attn_compare(enum attn_objective o, const struct attn_candidate *a,
                 const struct attn_candidate *b)
{
    const double time[2] = {(double)a->steps * a->ticks, (double)b->steps * b->ticks};
    const double first[2] = {o == ATTN_LOW_LATENCY ? time[0] : a->cores,
                             o == ATTN_LOW_LATENCY ? time[1] : b->cores};
    const double then[2] = {o == ATTN_LOW_LATENCY ? a->cores : time[0],
                            o == ATTN_LOW_LATENCY ? b->cores : time[1]};
    if ((a->reason == NULL) != (b->reason == NULL))
        return a->reason == NULL ? -1 : 1;
    if (first[0] < first[1] || first[0] > first[1])
        return first[0] < first[1] ? -1 : 1;
    if (then[0] < then[1] || then[0] > then[1])
        return then[0] < then[1] ? -1 : 1;
    return (int)b->lowering - (int)a->lowering;
}
