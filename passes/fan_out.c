/* Pass fan-out: relays that spread spikes to many cores.
 *
 * A core has an out-axon slot for every position and every core that reads it. Where a projection
 * is cut into many blocks of channels because its weights fill the cores, the layer that it reads
 * must be cut into few positions per core, although its own weights, which every core holds for
 * its channels, would serve many positions: it takes many times the cores that its neurons need. A
 * relay of the layer (`delay` by one step: the same spikes again) has no weights to speak of, so
 * it can be cut into few positions and many channels for little, and the layer itself sends each
 * spike to one core or two. The price is the relay's cores and a step of latency.
 *
 * For every neuron that is read by projections of nothing else, both ways are priced in closed
 * form: the reader's blocks follow from its weights and the core's memory, the positions that the
 * layer (or its relay) may have per core from these, its cores from positions, neurons and its own
 * weights. A relay is placed where it saves more than one core in SPARE of what is there without.
 *
 * Invariant: no number in frame time changes. A module that has its relays is not changed.
 * Cost: values times readers times channels. Limits: an estimate; the tile search decides. */
#include <math.h>
#include <string.h>

#include "passes/pass_list.h"
#include "passes/rewrite.h"
#include "support/alloc.h"

#define SPARE 20 /* one part in so many is no reason for a relay or small blocks */

struct fan {
    const struct ir_module *m;
    const struct tgt *t;
    uint64_t neurons, bits, slots, atoms;
    uint32_t index_bits; /* of a synapse that may lie anywhere on a core */
};

static uint64_t ceil_div(uint64_t a, uint64_t b)
{
    return (a + b - 1) / b;
}

/* More than any core has where the target states none. */
static uint64_t limit_of(const struct tgt *t, enum tgt_limit l)
{
    const uint64_t value = tgt_limit_value(t, l), most = (uint64_t)1 << 40;
    return value < most ? value : most;
}

static bool is_projection(const struct ir_node *n)
{
    return n->op == IR_OP_CONV2D || n->op == IR_OP_LINEAR;
}

/* Whether neighbouring targets share sources. */
static bool overlaps(const struct ir_node *n)
{
    return n->op == IR_OP_CONV2D &&
           (n->a.conv.kernel_h > n->a.conv.stride_h || n->a.conv.kernel_w > n->a.conv.stride_w);
}

/* The most channels of a projection whose weights fit a core, each stored once. */
static uint64_t most_channels(const struct fan *f, const struct ir_node *n)
{
    const uint32_t taps =
        n->op == IR_OP_CONV2D ? (uint32_t)n->a.conv.kernel_h * n->a.conv.kernel_w : 1;
    const uint64_t rows = f->m->node[n->operand[0]].type.channels;
    const bool conv = f->t->sharing == TGT_SHARE_CONVOLUTION, together = conv || overlaps(n);
    const uint64_t most = n->type.channels < f->neurons ? n->type.channels : f->neurons;
    for (uint64_t c = most; c > 1; c--) {
        const uint64_t bits = tgt_row_bits(&f->t->format, (uint32_t)c * (together ? taps : 1),
                                           f->t->arith.weight_bits, 0, conv ? 0 : f->index_bits);
        if (rows * (together ? 1 : taps) * bits <= f->bits)
            return c;
    }
    return 1;
}

/* How neurons of a type are cut: so many channels, rows and columns per core. */
struct cut {
    uint64_t channels, rows, columns, cores;
};

/* Empty compartments per row and column of a tile that let all its positions share weights. */
static uint64_t padding(const struct fan *f, const struct ir_node *n, bool columns)
{
    const struct ir_attr_conv *a = &n->a.conv;
    if (f->t->sharing != TGT_SHARE_POPULATION || n->op != IR_OP_CONV2D)
        return 0;
    return columns ? ceil_div(a->kernel_w - 1u, a->stride_w)
                   : ceil_div(a->kernel_h - 1u, a->stride_h);
}

/* The fewest cores with tiles of c channels and at most so many positions. */
static struct cut cut_channels(const struct fan *f, const struct ir_type *type, uint64_t c,
                               double positions, uint64_t pad_y, uint64_t pad_x)
{
    struct cut best = {.cores = UINT64_MAX};
    for (uint64_t rows = 1; rows <= type->height; rows++) {
        const uint64_t room = f->neurons / c / (rows + pad_y);
        const double most = positions < (double)rows ? 1 : positions / (double)rows;
        uint64_t columns = room > pad_x + 1 ? room - pad_x : 1;
        columns = (double)columns > most ? (uint64_t)most : columns;
        columns = columns > type->width ? type->width : columns;
        if (rows > 1 && (room <= pad_x || (double)rows > positions))
            break;
        const uint64_t cores = ceil_div(type->channels, c) * ceil_div(type->height, rows) *
                               ceil_div(type->width, columns);
        if (cores < best.cores)
            best = (struct cut){c, rows, columns, cores};
    }
    return best;
}

/* The most channels, of at most so many, that take hardly more cores than the fewest: sources pay
 * for every block of channels. */
static struct cut best_cut(const struct fan *f, const struct ir_type *type, uint64_t channels,
                           double positions, uint64_t pad_y, uint64_t pad_x)
{
    const uint64_t most = channels < type->channels ? channels : type->channels;
    struct cut cut = {.cores = UINT64_MAX};
    uint64_t fewest = UINT64_MAX;
    for (uint64_t c = most; c > 0; c--) {
        cut = cut_channels(f, type, c, positions, pad_y, pad_x);
        fewest = cut.cores < fewest ? cut.cores : fewest;
    }
    for (uint64_t c = most; c > 0; c--) {
        cut = cut_channels(f, type, c, positions, pad_y, pad_x);
        if (cut.cores <= fewest + fewest / SPARE)
            break;
    }
    return cut;
}

static struct cut cut_of(const struct fan *f, const struct ir_node *projection, double positions)
{
    return best_cut(f, &projection->type, most_channels(f, projection), positions,
                    padding(f, projection, false), padding(f, projection, true));
}

/* Tiles of n target rows that read a source row, on average. */
static double axis_fan(uint64_t size, uint64_t n, uint32_t kernel, uint32_t stride)
{
    const double own = (double)n * stride;
    return n >= size || kernel <= stride ? 1 : (own + kernel - stride) / own;
}

/* Cores that read one position of the operand of a projection. */
static double fan_of(const struct fan *f, const struct ir_node *n)
{
    const struct cut cut = cut_of(f, n, INFINITY);
    const double blocks = (double)ceil_div(n->type.channels, cut.channels);
    if (n->op != IR_OP_CONV2D)
        return blocks;
    return blocks * axis_fan(n->type.height, cut.rows, n->a.conv.kernel_h, n->a.conv.stride_h) *
           axis_fan(n->type.width, cut.columns, n->a.conv.kernel_w, n->a.conv.stride_w);
}

/* Whether the reader takes its spikes by a relay of value `id`. */
static bool takes_relay(const struct ir_module *m, uint32_t id, const struct ir_node *reader)
{
    return is_projection(reader) && reader->n_operands == 1 && reader->operand[0] == id &&
           m->node[id].op == IR_OP_NEURON;
}

struct price {
    double fan;                    /* cores that read a position */
    uint64_t without, with, relay; /* cores of the layer without and with a relay, of the relay */
};

/* Whether a relay of the value pays. */
static bool pays(const struct fan *f, uint32_t id, struct price *out)
{
    const struct ir_node *n = &f->m->node[id];
    const uint64_t wide = f->atoms < f->neurons ? f->atoms : f->neurons;
    const double slots = (double)(f->slots / (f->t->pop16_slots > 0 ? f->t->pop16_slots : 1));
    out->fan = 0;
    if (!f->t->axon_population || n->op != IR_OP_NEURON ||
        !is_projection(&f->m->node[n->operand[0]]))
        return false; /* axons of single neurons: a relay would take as many */
    for (uint32_t i = id + 1; i < f->m->n_nodes; i++)
        if (takes_relay(f->m, id, &f->m->node[i]))
            out->fan += fan_of(f, &f->m->node[i]);
    if (out->fan <= 1)
        return false;
    out->without = cut_of(f, &f->m->node[n->operand[0]], slots / out->fan).cores;
    out->with = cut_of(f, &f->m->node[n->operand[0]], slots / 2).cores;
    out->relay = best_cut(f, &n->type, wide, slots / out->fan, 0, 0).cores;
    return out->with + out->relay + out->without / SPARE < out->without;
}

static spk_status add_relay(struct rewrite *rw, uint32_t id, uint32_t *out)
{
    const struct ir_node *n = &rw->src->node[id];
    uint32_t operand = rw->value[id];
    struct ir_node node;
    memset(&node, 0, sizeof node);
    node.op = IR_OP_DELAY;
    node.n_operands = 1;
    node.operand = &operand;
    node.span = n->span;
    node.a.delay.steps = 1;
    node.name = arena_printf(&rw->dst->arena, "fan_out.%u", id);
    for (unsigned k = id; node.name && ir_find_value(rw->src, node.name) != IR_NONE;)
        node.name = arena_printf(&rw->dst->arena, "fan_out.%u", ++k);
    return node.name ? rw_add(rw, &node, out) : SPK_ERR_NOMEM;
}

static void remark(const struct rewrite *rw, uint32_t id, const struct price *p)
{
    char name[160];
    diag_remark(rw->diags, rw->src->node[id].span, "R0617",
                "fan-out: %s: %.1f cores read each position; a relay of %llu cores and %llu of its "
                "own instead of %llu",
                rw_value_name(rw->src, id, name, sizeof name), p->fan, (unsigned long long)p->relay,
                (unsigned long long)p->with, (unsigned long long)p->without);
}

static spk_status fan_out(const struct fan *f, struct rewrite *rw, bool remarks, uint32_t *relay)
{
    for (uint32_t i = 0; i < f->m->n_nodes; i++) {
        const struct ir_node *n = &f->m->node[i];
        const uint32_t from = n->n_operands == 1 ? n->operand[0] : IR_NONE;
        struct price price;
        relay[i] = IR_NONE;
        if (from != IR_NONE && relay[from] != IR_NONE && takes_relay(f->m, from, n))
            SPK_TRY(rw_copy_operands(rw, i, &relay[from], 1));
        else
            SPK_TRY(rw_copy(rw, i));
        if (!pays(f, i, &price))
            continue;
        SPK_TRY(add_relay(rw, i, &relay[i]));
        if (remarks)
            remark(rw, i, &price);
    }
    return SPK_OK;
}

spk_status pass_fan_out(const struct pass_context *c, const int64_t *options,
                        const struct ir_module *in, struct ir_module **out)
{
    struct fan f = {.m = in, .t = c->target};
    struct rewrite rw;
    uint32_t *relay;
    (void)options;
    f.neurons = limit_of(f.t, TGT_NEURONS);
    f.bits = limit_of(f.t, TGT_SYNAPSE_BITS);
    f.slots = limit_of(f.t, TGT_OUT_AXONS);
    f.atoms = limit_of(f.t, TGT_ATOMS);
    f.index_bits = f.t->format.index_bits_min;
    while (f.index_bits < f.t->format.index_bits_max && (f.neurons - 1) >> f.index_bits != 0)
        f.index_bits++;
    SPK_TRY(rw_init(&rw, in, in->stage, c->diags));
    spk_status s = spk_alloc_array_raw(in->n_nodes, sizeof *relay, &relay);
    if (s == SPK_OK) {
        s = fan_out(&f, &rw, c->remarks, relay);
        spk_free(relay);
    }
    if (s == SPK_OK)
        *out = rw_take(&rw);
    rw_fini(&rw);
    return s;
}
