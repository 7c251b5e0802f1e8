/* Relays or synaptic delays (docs/mapping.md, section 1).
 *
 * A summand that a projection reads d steps after it fired comes through synapses with delay d, as
 * long as the chip has such delays; beyond, a relay population (as many neurons as the summand)
 * fires it again. A delay is stored with the synapse, so a projection holds one copy of its weights
 * for every distinct delay among its operands: long delays save relays and cost synaptic memory,
 * which costs cores where it leaves no room for all the neurons a core could have. And every core
 * that reads a summand takes a slot per position in the out-axon table of the cores that fire it,
 * so that a summand which is expensive to cut small had better be read by few and relayed early.
 *
 * The plan is a longest delay R for what relays fire, and one r(v) <= R for every summand itself.
 * For given numbers the stations of a summand follow greedily (the last step at which a relay may
 * stand and the first that covers the next reader), and the cores follow in closed form from the
 * target's limits: neurons, synaptic memory with the copies, out-axon slots. All R are tried; for
 * each, the r(v) are improved one by one until none helps. Equal costs go to the smaller numbers.
 *
 * Cost: R x sweeps x summands x R x readers. Limits: an estimate; the tile search decides. */
#include "passes/relay_plan.h"

#include <string.h>

#include "support/alloc.h"

#define SWEEPS 3
#define SPARE 10       /* one part in so many: tiles that a reader spends on larger blocks */
#define MAX_DELAYS 32u /* distinct delays of a projection, as bits of a word */

/* A projection or attention that reads values. */
struct reader {
    uint32_t node, at; /* start of its latest operand */
    bool exact;        /* attention: no delays */
    uint64_t positions;
    uint32_t channels, rows, blocks, taps; /* blocks of rows of `taps` synapses per channel */
    uint32_t mask;                         /* delays among its operands */
    uint32_t tiles, tile_channels;         /* of its neurons, with that mask */
};

struct use {
    uint32_t reader;
};
struct uses VEC_FIELDS(struct use);

struct memo {
    uint64_t positions;
    uint32_t channels, rows, blocks, taps, mask;
    uint32_t tiles, tile_channels;
};

struct plan {
    const struct ir_module *m;
    const struct tgt *t;
    const uint32_t *start;
    VEC(struct reader) readers;
    VEC(struct memo) memo;
    struct uses *uses;          /* per value, by time */
    uint32_t *reader_of;        /* per node: what reads for it, IR_NONE */
    uint32_t *reach;            /* per value: r(v) */
    uint32_t relay_reach, most; /* R, longest delay of the chip */
    uint64_t neurons, bits, slots;
    uint32_t index_bits;  /* of a synapse that may lie anywhere on a core */
    VEC(uint32_t) values; /* those that somebody reads late */
    bool attention_only;
};

static uint32_t ceil_div64(uint64_t a, uint64_t b)
{
    return (uint32_t)((a + b - 1) / b);
}

static uint32_t delay_bits(uint32_t delay)
{
    uint32_t bits = 0;
    while (delay >> bits != 0)
        bits++;
    return bits;
}

/* ---- who reads what ---- */

static spk_status add_reader(struct plan *p, uint32_t id)
{
    const struct ir_node *n = &p->m->node[id];
    struct reader r = {.node = id,
                       .exact = n->op == IR_OP_ATTENTION,
                       .positions = ir_type_positions(&n->type),
                       .channels = n->type.channels,
                       .rows = p->m->node[n->operand[0]].type.channels,
                       .blocks = 1,
                       .taps = 1};
    if (n->op == IR_OP_CONV2D) {
        const uint32_t taps = (uint32_t)n->a.conv.kernel_h * n->a.conv.kernel_w;
        if (n->a.conv.kernel_h > n->a.conv.stride_h || n->a.conv.kernel_w > n->a.conv.stride_w)
            r.taps = taps;
        else
            r.blocks = taps;
    }
    for (uint32_t k = 0; k < n->n_operands; k++)
        r.at = p->start[n->operand[k]] > r.at ? p->start[n->operand[k]] : r.at;
    for (uint32_t k = 0; k < n->n_operands; k++) {
        struct uses *u = &p->uses[n->operand[k]];
        size_t at = u->len;
        SPK_TRY(vec_push(u, ((struct use){(uint32_t)p->readers.len})));
        for (; at > 0 && p->readers.data[u->data[at - 1].reader].at > r.at; at--)
            u->data[at] = u->data[at - 1];
        u->data[at].reader = (uint32_t)p->readers.len;
    }
    p->reader_of[id] = (uint32_t)p->readers.len;
    return vec_push(&p->readers, r);
}

static spk_status find_readers(struct plan *p)
{
    for (uint32_t i = 0; i < p->m->n_nodes; i++) {
        const enum ir_op op = p->m->node[i].op;
        p->reader_of[i] = IR_NONE;
        if (op == IR_OP_ATTENTION ||
            (!p->attention_only && (op == IR_OP_CONV2D || op == IR_OP_LINEAR)))
            SPK_TRY(add_reader(p, i));
    }
    for (uint32_t i = 0; i < p->m->n_nodes; i++) {
        const struct uses *u = &p->uses[i];
        if (u->len > 0 && p->readers.data[u->data[u->len - 1].reader].at > p->start[i])
            SPK_TRY(vec_push(&p->values, i));
    }
    return SPK_OK;
}

/* ---- stations ---- */

/* Start of the next relay of a value that fires at `now` and is needed at `at`. */
static uint32_t next_station(const struct plan *p, uint32_t now, uint32_t at)
{
    return at - now > p->most + 1 ? now + p->most + 1 : at;
}

/* The stations of a value with reach r; fn is called for each use with the station that serves it
 * and for each station with its predecessor (reader IR_NONE). */
typedef spk_status (*station_fn)(void *ctx, uint32_t value, uint32_t station, uint32_t reader,
                                 uint32_t delay);
static spk_status walk_stations(const struct plan *p, uint32_t value, uint32_t reach, station_fn fn,
                                void *ctx)
{
    uint32_t now = p->start[value];
    for (size_t i = 0; i < p->uses[value].len; i++) {
        const uint32_t reader = p->uses[value].data[i].reader;
        const struct reader *r = &p->readers.data[reader];
        while (r->at - now > (r->exact ? 0 : reach)) {
            const uint32_t next = next_station(p, now, r->at);
            SPK_TRY(fn(ctx, value, now, IR_NONE, next - now));
            now = next;
            reach = p->relay_reach;
        }
        SPK_TRY(fn(ctx, value, now, reader, r->at - now));
    }
    return SPK_OK;
}

/* ---- costs ---- */

/* Tiles of the neurons behind a reader whose weights stand once for each delay in `mask`: the
 * largest block of channels (its sources pay for small ones) that needs hardly more tiles than the
 * best. */
static spk_status reader_tiles(struct plan *p, struct reader *r)
{
    const struct tgt_format *f = &p->t->format;
    uint32_t fewest = 0;
    struct memo e = {r->positions, r->channels, r->rows, r->blocks, r->taps, r->mask, 0, 0};
    for (size_t i = 0; i < p->memo.len; i++) {
        const struct memo *o = &p->memo.data[i];
        if (o->positions == e.positions && o->channels == e.channels && o->rows == e.rows &&
            o->blocks == e.blocks && o->taps == e.taps && o->mask == e.mask) {
            r->tiles = o->tiles;
            r->tile_channels = o->tile_channels;
            return SPK_OK;
        }
    }
    for (uint32_t i = 0; i < 2 * r->channels; i++) {
        const uint32_t pass = i / r->channels, nc = r->channels - i % r->channels;
        uint64_t bits = 0;
        if (nc > p->neurons || e.tiles > 0)
            continue;
        for (uint32_t d = 0; d < MAX_DELAYS; d++)
            if ((r->mask >> d & 1u) != 0)
                bits += (uint64_t)r->rows * r->blocks *
                        tgt_row_bits(f, nc * r->taps, p->t->arith.weight_bits, delay_bits(d),
                                     p->index_bits);
        if (bits > p->bits && nc > 1)
            continue;
        uint64_t positions = p->neurons / nc < r->positions ? p->neurons / nc : r->positions;
        uint32_t tiles = ceil_div64(r->positions, positions) * ceil_div64(r->channels, nc);
        fewest = fewest == 0 || tiles < fewest ? tiles : fewest;
        if (pass == 1 && e.tiles == 0 && tiles <= fewest + fewest / SPARE) {
            e.tiles = tiles;
            e.tile_channels = nc;
        }
    }
    r->tiles = e.tiles;
    r->tile_channels = e.tile_channels;
    return vec_push(&p->memo, e);
}

struct tally {
    struct plan *p;
    uint32_t now;     /* station whose entries are counted */
    uint64_t entries; /* of one position of it */
    uint64_t cores;
};

/* Cores of the population that fires at a station: as many as its neurons and entries need. */
static void close_station(struct tally *c, uint32_t value)
{
    const struct plan *p = c->p;
    const struct ir_node *n = &p->m->node[value];
    const uint64_t positions = ir_type_positions(&n->type), channels = n->type.channels;
    const bool relay = c->now != p->start[value];
    uint64_t most = c->entries > 0 ? p->slots / c->entries : positions;
    uint64_t block = channels < p->neurons ? channels : p->neurons, tiles = 0;
    most = most == 0 ? 1 : most;
    while (n->op == IR_OP_RESHAPE)
        n = &p->m->node[n->operand[0]];
    if (!relay && n->op == IR_OP_NEURON && p->reader_of[n->operand[0]] != IR_NONE) {
        const struct reader *own = &p->readers.data[p->reader_of[n->operand[0]]];
        block = own->tile_channels;
        tiles = own->tiles; /* counted with the reader already */
    }
    uint64_t at_once = p->neurons / block < most ? p->neurons / block : most;
    at_once = at_once == 0 ? 1 : at_once;
    uint64_t need = (uint64_t)ceil_div64(positions, at_once) * ceil_div64(channels, block);
    if (relay) /* any shape will do */
        need = need < ceil_div64(positions * channels, p->neurons)
                   ? ceil_div64(positions * channels, p->neurons)
                   : need;
    c->cores += need > tiles ? need - tiles : 0;
    c->entries = 0;
}

static spk_status mark_delay(void *ctx, uint32_t value, uint32_t station, uint32_t reader,
                             uint32_t delay)
{
    struct plan *p = ctx;
    (void)value;
    (void)station;
    if (reader != IR_NONE)
        p->readers.data[reader].mask |= 1u << (delay < MAX_DELAYS ? delay : MAX_DELAYS - 1);
    return SPK_OK;
}

static spk_status count_entries(void *ctx, uint32_t value, uint32_t station, uint32_t reader,
                                uint32_t delay)
{
    struct tally *c = ctx;
    (void)delay;
    c->now = station;
    if (reader == IR_NONE) { /* the next relay takes it over: one core per position and block */
        const uint64_t n = c->p->m->node[value].type.channels;
        c->entries += ceil_div64(n, n < c->p->neurons ? n : c->p->neurons);
        close_station(c, value);
        c->now = IR_NONE;
        return SPK_OK;
    }
    const struct reader *r = &c->p->readers.data[reader];
    c->entries += r->exact ? 1 : ceil_div64(r->channels, r->tile_channels);
    return SPK_OK;
}

/* Estimated cores of all readers, relays and summands. */
static spk_status plan_cost(struct plan *p, uint64_t *out)
{
    struct tally c = {.p = p};
    for (size_t i = 0; i < p->readers.len; i++) /* operands at its own step come without delay */
        p->readers.data[i].mask = p->readers.data[i].exact ? 0 : 1;
    for (size_t i = 0; i < p->values.len; i++)
        SPK_TRY(walk_stations(p, p->values.data[i], p->reach[p->values.data[i]], mark_delay, p));
    for (size_t i = 0; i < p->readers.len; i++) {
        if (p->readers.data[i].exact)
            continue;
        SPK_TRY(reader_tiles(p, &p->readers.data[i]));
        c.cores += p->readers.data[i].tiles;
    }
    for (size_t i = 0; i < p->values.len; i++) {
        const uint32_t v = p->values.data[i];
        c.now = p->start[v];
        c.entries = 0;
        SPK_TRY(walk_stations(p, v, p->reach[v], count_entries, &c));
        if (c.now != IR_NONE)
            close_station(&c, v);
    }
    *out = c.cores;
    return SPK_OK;
}

/* Improves r(v) value by value, at relay reach R = p->relay_reach. */
static spk_status improve(struct plan *p, uint64_t *inout_cost)
{
    bool better = true;
    for (int sweep = 0; sweep < SWEEPS && better; sweep++) {
        better = false;
        for (size_t i = 0; i < p->values.len; i++) {
            uint32_t *reach = &p->reach[p->values.data[i]], best = *reach;
            for (uint32_t r = 0; r <= p->relay_reach; r++) {
                uint64_t cost;
                *reach = r;
                SPK_TRY(plan_cost(p, &cost));
                if (cost < *inout_cost) {
                    *inout_cost = cost;
                    best = r;
                    better = true;
                }
            }
            *reach = best;
        }
    }
    return SPK_OK;
}

static spk_status choose(struct plan *p)
{
    uint64_t best = UINT64_MAX;
    uint32_t best_reach = 0, *kept;
    const size_t n = p->m->n_nodes;
    SPK_TRY(spk_alloc_array(n, sizeof *kept, &kept));
    spk_status status = SPK_OK;
    for (uint32_t r = 0; r <= p->most && status == SPK_OK; r++) {
        uint64_t cost;
        p->relay_reach = r;
        for (size_t i = 0; i < n; i++)
            p->reach[i] = r;
        status = plan_cost(p, &cost);
        if (status == SPK_OK)
            status = improve(p, &cost);
        if (status == SPK_OK && cost < best) {
            best = cost;
            best_reach = r;
            memcpy(kept, p->reach, n * sizeof *kept);
        }
    }
    p->relay_reach = best_reach;
    memcpy(p->reach, kept, n * sizeof *kept);
    spk_free(kept);
    return status;
}

static spk_status put_station(void *ctx, uint32_t value, uint32_t station, uint32_t reader,
                              uint32_t delay)
{
    struct relay_steps *all = ctx;
    return reader == IR_NONE ? vec_push(&all[value], station + delay) : SPK_OK;
}

static spk_status plan_all(struct plan *p, struct relay_steps *station)
{
    bool relayed = false, late = false;
    SPK_TRY(spk_alloc_array(p->m->n_nodes, sizeof *p->uses, &p->uses));
    SPK_TRY(spk_alloc_array(p->m->n_nodes, sizeof *p->reach, &p->reach));
    SPK_TRY(spk_alloc_array(p->m->n_nodes, sizeof *p->reader_of, &p->reader_of));
    SPK_TRY(find_readers(p));
    for (size_t i = 0; i < p->readers.len; i++) {
        const struct ir_node *n = &p->m->node[p->readers.data[i].node];
        const uint32_t most = p->readers.data[i].exact ? 0 : p->most;
        for (uint32_t k = 0; k < n->n_operands; k++) {
            late = late || p->readers.data[i].at - p->start[n->operand[k]] > most;
            relayed = relayed || (n->n_operands > 1 && p->m->node[n->operand[k]].op == IR_OP_DELAY);
        }
    }
    if (relayed && !late)
        return SPK_OK; /* has been planned before */
    SPK_TRY(choose(p));
    for (size_t i = 0; i < p->values.len; i++)
        SPK_TRY(
            walk_stations(p, p->values.data[i], p->reach[p->values.data[i]], put_station, station));
    return SPK_OK;
}

/* More than any core has where the target states none. */
static uint64_t limit_of(const struct tgt *t, enum tgt_limit l)
{
    const uint64_t value = tgt_limit_value(t, l), most = (uint64_t)1 << 40;
    return value < most ? value : most;
}

spk_status relay_plan(const struct ir_module *m, const struct tgt *t, const uint32_t *start,
                      bool attention_only, struct relay_steps *station)
{
    const uint64_t longest = tgt_limit_value(t, TGT_DELAY);
    struct plan p = {.m = m, .t = t, .start = start, .attention_only = attention_only};
    p.most = longest < MAX_DELAYS - 1 ? (uint32_t)longest : MAX_DELAYS - 1;
    p.neurons = limit_of(t, TGT_NEURONS);
    p.bits = limit_of(t, TGT_SYNAPSE_BITS);
    p.slots = limit_of(t, TGT_OUT_AXONS);
    p.index_bits = t->format.index_bits_min;
    while (p.index_bits < t->format.index_bits_max && (p.neurons - 1) >> p.index_bits != 0)
        p.index_bits++;
    spk_status status = plan_all(&p, station);
    for (uint32_t i = 0; p.uses != NULL && i < m->n_nodes; i++)
        vec_fini(&p.uses[i]);
    spk_free(p.uses);
    spk_free(p.reach);
    spk_free(p.reader_of);
    vec_fini(&p.readers);
    vec_fini(&p.memo);
    vec_fini(&p.values);
    return status;
}
