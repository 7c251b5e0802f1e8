/* What a tile uses of its core, in closed form (docs/mapping.md, sections 2 and 3).
 *
 * The two axes of a window are independent: along each, source rows (columns) fall into classes
 * that reach the tile with the same number of targets and the same kernel coordinate, and the first
 * targets of a class are consecutive. In-axons are the product of the numbers of rows and columns;
 * blocks are pairs of classes, times the distinct base offsets of a pair where the chip limits the
 * base of an axon; the memory of a block follows from what one row of it has at one position (its
 * channel profile). One block per delay where the chip shares kernels.
 * Cost: O(rows + columns of the window + pairs of classes + rows of a block of constant weights).
 * The same numbers as a walk over the axons (map_tile_axons), which a test compares. */
#include <stdlib.h>
#include <string.h>

#include "passes/attention.h"
#include "passes/map/neuron_cut.h"
#include "passes/pass.h"
#include "support/alloc.h"

/* Source rows that reach `count` targets with kernel coordinate k at the first: n of them, with
 * first targets first .. first + n_first - 1. */
struct axis_class {
    uint32_t count, k, first, n_first, n;
};

struct axis {
    VEC(struct axis_class) classes;
    uint32_t n; /* source rows that reach the tile at all */
};

/* What one row of a block has at one target position; `same` consecutive rows are alike. */
struct row_profile {
    uint32_t synapses, end, same;
    bool from_zero; /* one run from offset 0, or nothing */
    bool full;      /* all channels of the first slice and no others, or nothing */
    bool whole;     /* all channels of the tile, or nothing */
};

struct usage_ctx {
    const struct map_net *net;
    const struct map_tile *tile;
    const struct map_proj *proj;
    struct axis rows, columns;
    VEC(struct row_profile) profile;
    uint32_t max_end;
    bool from_zero, full, whole; /* of all rows */
    uint64_t formats[16]; /* bit set over (own bits, conv, shift, delay bits); shift 31: learning */
    uint32_t n_rows, chunks; /* of a block; source tiles of all aliases */
};

/* ---- axes ---- */

static spk_status axis_add(struct axis *a, uint32_t first, uint32_t count, uint32_t k)
{
    a->n++;
    for (size_t i = 0; i < a->classes.len; i++) {
        struct axis_class *c = &a->classes.data[i];
        if (c->count != count || c->k != k)
            continue;
        if (first == c->first + c->n_first)
            c->n_first++;
        c->n++;
        return SPK_OK;
    }
    return vec_push(&a->classes, (struct axis_class){count, k, first, 1, 1});
}

/* Classes of one axis: target positions t0 .. t0 + n - 1 behind `before` ones of padding, source of
 * `size`. */
static spk_status axis_build(struct axis *a, enum map_pos pos, uint32_t kernel, uint32_t stride,
                             uint32_t pad, uint32_t t0, uint32_t n, uint32_t size, bool padded,
                             uint32_t before)
{
    uint32_t lo, hi;
    vec_clear(&a->classes);
    a->n = 0;
    if (pos != MAP_POS_WINDOW) {
        a->n = size;
        return vec_push(&a->classes,
                        (struct axis_class){pos == MAP_POS_TEACHER ? 1 : n, 0, before, 1, size});
    }
    map_window_sources(t0, n, pad, stride, kernel, size, &lo, &hi);
    if (kernel == 1 && stride == 1 && pad == 0) {
        a->n = hi - lo;
        return a->n ? vec_push(&a->classes, (struct axis_class){1, 0, lo - t0 + before, a->n, a->n})
                    : SPK_OK;
    }
    for (uint32_t y = lo; y < hi; y++) {
        uint32_t first, count, k;
        if (map_window_targets(y, pad, stride, kernel, t0, n, padded, before, &first, &count, &k))
            SPK_TRY(axis_add(a, first, count, k));
    }
    return SPK_OK;
}

/* ---- blocks ---- */

static spk_status profile_piece(void *ctx, const struct map_piece *piece)
{
    struct row_profile *r = ctx;
    r->from_zero = r->from_zero && piece->start == r->end;
    r->synapses += piece->length;
    r->end = piece->start + piece->length;
    return SPK_OK;
}

/* Profile of a pattern whose rows have one run each: c -> c, c -> r in a row, many -> one. Every
 * target of the tile is met, so ends and gaps are those of the whole tile. */
static spk_status profile_constant(struct usage_ctx *c, uint32_t lo)
{
    const uint32_t c0 = c->tile->c0, nc = c->tile->nc, r = c->proj->r;
    const uint32_t plane = (nc - 1) / c->tile->slice; /* the last one */
    uint32_t same = c->n_rows, each = 1;
    c->max_end = plane * c->tile->plane + nc - plane * c->tile->slice;
    c->from_zero = c->full = c->whole = nc == 1;
    if (c->proj->chan == MAP_CHAN_REDUCE)
        same = nc * c->proj->d * r;         /* the other rows of the heads are empty */
    if (c->proj->chan == MAP_CHAN_EXPAND) { /* the first and the last row may be cut */
        const uint32_t first = (lo + 1) * r - c0 < nc ? (lo + 1) * r - c0 : nc;
        const uint32_t last = c0 + nc - (lo + c->n_rows - 1) * r;
        c->whole = c->n_rows == 1;
        c->full = c->whole && plane == 0;
        c->from_zero = c->whole && (plane == 0 || c->tile->plane == c->tile->slice);
        SPK_TRY(vec_push(&c->profile, (struct row_profile){first, 0, 1, false, false, false}));
        if (c->n_rows == 1)
            return SPK_OK;
        SPK_TRY(vec_push(&c->profile, (struct row_profile){last, 0, 1, false, false, false}));
        same = c->n_rows - 2;
        each = r;
    }
    return vec_push(&c->profile, (struct row_profile){each, 0, same, false, false, false});
}

/* Profiles of the rows of a block: those of a weighted projection are alike. Discrete axons have a
 * block per row, whose ends and gaps count; else only the numbers of synapses do. */
static spk_status profile_build(struct usage_ctx *c)
{
    const struct map_tile *tile = c->tile;
    const bool discrete = !c->net->target->axon_population;
    const struct map_axon at = {
        .proj = (uint32_t)(c->proj - c->net->projs.data), .rows = 1, .cols = 1};
    uint32_t lo, hi;
    map_source_channels(c->net, c->proj, tile->c0, tile->nc, &lo, &hi);
    vec_clear(&c->profile);
    c->n_rows = hi - lo;
    c->from_zero = c->full = c->whole = true;
    c->max_end = 0;
    if (c->proj->chan == MAP_CHAN_FULL) {
        const uint32_t last = (tile->nc - 1) / tile->slice;
        c->max_end = last * tile->plane + tile->nc - last * tile->slice;
        c->from_zero = last == 0 || tile->plane == tile->slice;
        c->full = last == 0;
        return vec_push(&c->profile, (struct row_profile){tile->nc, c->max_end, c->n_rows,
                                                          c->from_zero, c->full, true});
    }
    if (!discrete && c->proj->chan != MAP_CHAN_STRIDE && c->proj->chan != MAP_CHAN_HEAD)
        return profile_constant(c, lo);
    for (uint32_t channel = lo; channel < hi; channel++) {
        struct row_profile r = {0, 0, 1, true, false, false};
        struct row_profile *last = c->profile.len ? &vec_last(&c->profile) : NULL;
        SPK_TRY(map_row_pieces(c->net, tile, &at, channel, profile_piece, &r));
        r.full = r.synapses == 0 || (r.synapses == tile->slice && r.end == tile->slice);
        r.whole = r.synapses == 0 || r.synapses == tile->nc;
        c->from_zero = c->from_zero && r.from_zero;
        c->full = c->full && r.full;
        c->whole = c->whole && r.whole;
        c->max_end = r.end > c->max_end ? r.end : c->max_end;
        if (last != NULL && last->synapses == r.synapses &&
            (!discrete || (last->end == r.end && last->from_zero == r.from_zero)))
            last->same++;
        else
            SPK_TRY(vec_push(&c->profile, r));
    }
    return SPK_OK;
}

/* Bits of the block whose axons reach rows x cols positions from base + offset on: dense where
 * every row is one run from offset 0; else every synapse has an index as wide as the block's last
 * target asks for. */
static uint64_t block_bits(const struct usage_ctx *c, uint32_t rows, uint32_t cols, uint32_t offset,
                           uint32_t delay_bits)
{
    const struct tgt *t = c->net->target;
    const struct map_tile *tile = c->tile;
    const uint32_t positions = rows * cols;
    const uint32_t last_position = ((rows - 1) * tile->pitch + cols - 1) * tile->slice;
    const bool seamless = offset == 0 && (rows == 1 || cols == tile->pitch);
    const bool planes = tile->nc % tile->slice == 0 && positions * tile->slice == tile->plane;
    uint64_t bits = 0;
    bool dense = positions == 1 ? offset == 0 && c->from_zero
                                : seamless && (c->full || (c->whole && planes));
    uint32_t end = c->max_end ? offset + last_position + c->max_end - 1 : 0;
    for (size_t i = 0; i < c->profile.len; i++) {
        const struct row_profile *r = &c->profile.data[i];
        if (!t->axon_population) { /* every row is a block of its own */
            dense = r->synapses == 0 ||
                    (positions == 1 ? offset == 0 && r->from_zero
                                    : seamless && (r->full || (r->whole && planes)));
            end = r->end ? offset + last_position + r->end - 1 : 0;
        }
        uint32_t index = dense ? 0 : map_index_bits(&t->format, end);
        bits += r->same * tgt_row_bits(&t->format, r->synapses * positions,
                                       map_weight_bits(t, c->proj), delay_bits, index);
    }
    return bits;
}

/* Blocks of a pair of classes: one per distinct base offset, or per axon where nothing is shared.
 * First compartments rise with the target position, so equal offsets follow each other. */
static uint64_t pair_bits(const struct usage_ctx *c, const struct axis_class *row,
                          const struct axis_class *col, uint32_t delay_bits)
{
    const struct tgt *t = c->net->target;
    const bool shared = t->sharing != TGT_SHARE_NONE;
    const uint64_t limit = tgt_limit_value(t, TGT_AXON_BASE);
    const uint64_t each = shared ? 1 : (uint64_t)(row->n / row->n_first) * (col->n / col->n_first);
    uint64_t bits = 0, next = 0; /* the next offset that was not met yet */
    if (limit == UINT64_MAX)
        return (shared ? 1 : (uint64_t)row->n * col->n) *
               block_bits(c, row->count, col->count, 0, delay_bits);
    for (uint32_t y = row->first; y < row->first + row->n_first; y++) {
        for (uint32_t x = col->first; x < col->first + col->n_first; x++) {
            uint64_t first = c->tile->comp_first + (y * c->tile->pitch + x) * c->tile->slice;
            uint64_t offset = first > limit ? first / (limit + 1) * (limit + 1) : 0;
            if (shared && offset < next)
                continue;
            next = offset + 1;
            bits += each * block_bits(c, row->count, col->count, (uint32_t)offset, delay_bits);
        }
    }
    return bits;
}

static uint64_t proj_bits(const struct usage_ctx *c, uint32_t delay_bits)
{
    const struct map_proj *p = c->proj;
    const struct tgt *t = c->net->target;
    uint64_t bits = 0;
    if (map_proj_conv(t, p))
        return c->n_rows * tgt_row_bits(&t->format, p->kernel * p->kernel_w * c->tile->nc,
                                        map_weight_bits(t, p), delay_bits, 0);
    for (size_t i = 0; i < c->rows.classes.len; i++)
        for (size_t j = 0; j < c->columns.classes.len; j++)
            bits += pair_bits(c, &c->rows.classes.data[i], &c->columns.classes.data[j], delay_bits);
    return bits;
}

/* ---- projections ---- */

static void add_format(struct usage_ctx *c, bool own_bits, bool conv, uint32_t shift,
                       uint32_t delay_bits)
{
    const uint32_t format =
        (own_bits ? 512u : 0u) + (conv ? 256u : 0u) + (shift & 31u) * 8u + (delay_bits & 7u);
    c->formats[format / 64] |= (uint64_t)1 << format % 64;
}

/* The weights' exponent, which is not known before they are: each projection has its own then. */
static uint32_t format_shift(const struct usage_ctx *c)
{
    const struct map_proj *p = c->proj;
    const struct map_pop *pop = &c->net->pops.data[c->tile->pop];
    const uint32_t i = (uint32_t)(p - &c->net->projs.data[pop->proj_first]);
    if (p->plastic)
        return 31;
    return p->weight_param == IR_NONE ? p->shift : 30 - (i < 6 ? i : 6);
}

static bool delay_seen(const struct map_proj *p, uint32_t source)
{
    for (uint32_t i = 0; i < source; i++)
        if (p->source[i].delay == p->source[source].delay)
            return true;
    return false;
}

uint32_t map_source_chunks(const struct map_net *net, const struct map_proj *p, uint32_t source,
                           uint32_t c0, uint32_t nc)
{
    const struct map_pop *s = &net->pops.data[p->source[source].pop];
    const uint32_t width = map_axon_atoms(net->target, s->channels, s->tc);
    uint32_t lo, hi;
    map_source_channels(net, p, c0, nc, &lo, &hi);
    return net->target->axon_population ? (hi - 1) / width - lo / width + 1 : hi - lo;
}

static spk_status usage_proj(struct usage_ctx *c, struct map_usage *out)
{
    const struct map_proj *p = c->proj;
    const struct map_tile *t = c->tile;
    const bool shared = c->net->target->sharing != TGT_SHARE_NONE;
    if (p->chan == MAP_CHAN_LIST) {
        for (uint32_t s = 0; s < p->n_sources; s++) {
            SPK_TRY(map_list_usage(c->net, t, (uint32_t)(p - c->net->projs.data), s, out));
            add_format(c, false, false, format_shift(c), map_delay_bits(p->source[s].delay));
        }
        return SPK_OK;
    }
    SPK_TRY(axis_build(&c->rows, p->pos, p->kernel, p->stride, p->pad, t->y0, t->ny, p->view_h,
                       t->pad_y, t->top));
    SPK_TRY(axis_build(&c->columns, p->pos, p->kernel_w, p->stride_w, p->pad_w, t->x0, t->nx,
                       p->view_w, t->pad_x, t->left));
    const uint64_t positions = (uint64_t)c->rows.n * c->columns.n;
    if (positions == 0)
        return SPK_OK;
    SPK_TRY(profile_build(c));
    for (uint32_t s = 0; s < p->n_sources; s++) {
        const uint32_t chunks = map_source_chunks(c->net, p, s, t->c0, t->nc);
        const uint32_t delay_bits = map_delay_bits(p->source[s].delay);
        out->in_axons += positions * chunks;
        if (p->pos == MAP_POS_ENGINE)
            continue;
        if (p != &c->net->projs.data[p->block_proj])
            continue; /* its blocks are another projection's */
        add_format(c, p->weight_bits > 0, map_proj_conv(c->net->target, p), format_shift(c),
                   delay_bits);
        if (!shared)
            out->synapse_bits +=
                proj_bits(c, delay_bits) * (c->net->target->axon_population ? chunks : 1);
        else if (!delay_seen(p, s))
            out->synapse_bits += proj_bits(c, delay_bits);
    }
    return SPK_OK;
}

bool map_configs_count(const struct map_net *net, const struct map_pop *p)
{
    return tgt_limit_value(net->target, TGT_CONFIGS) != UINT64_MAX &&
           (p->vth_param != IR_NONE || p->vth_period > 0);
}

/* Configurations of a tile: its distinct thresholds. Those that come from weights count as many as
 * there may be, whatever the weights are: with others the same tiles still fit, and lie where they
 * lay. */
static uint32_t count_configs(const struct map_net *net, const struct map_tile *tile)
{
    const struct map_pop *p = &net->pops.data[tile->pop];
    uint32_t most = tile->nc;
    if (!map_configs_count(net, p))
        return 1; /* nobody asks, or all channels are alike */
    if (p->vth_param == IR_NONE)
        return most < (uint32_t)p->vth_period ? most : (uint32_t)p->vth_period;
    if (net->target->arith.neuron == TGT_NEURON_FIXED && most > PASSES_MAX_THRESHOLDS)
        most = PASSES_MAX_THRESHOLDS;
    return most;
}

uint64_t map_engine_task_bits(const struct tgt *t, const struct img_embedded *e)
{
    const struct attn_shape s = {.tokens = e->tokens,
                                 .channels = e->channels,
                                 .heads = e->heads,
                                 .order = e->qk_first ? IR_ATTN_QK_FIRST : IR_ATTN_KV_FIRST};
    return attn_engine_bits(t, &s, e->head_count, e->columns);
}

/* Memory that a tile takes of an attention engine. */
static uint64_t engine_bits(const struct map_net *net, const struct map_tile *tile)
{
    const struct map_pop *p = &net->pops.data[tile->pop];
    const uint32_t d = p->channels / p->heads;
    const struct img_embedded e = {.tokens = p->height * p->width,
                                   .channels = p->channels,
                                   .heads = p->heads,
                                   .qk_first = p->qk_first,
                                   .head_count = tile->nc < d ? 1 : tile->nc / d,
                                   .columns = tile->nc < d ? tile->nc : d};
    return map_engine_task_bits(net->target, &e);
}

spk_status map_tile_usage(const struct map_net *net, const struct map_tile *tile,
                          struct map_usage *out)
{
    const struct map_pop *p = &net->pops.data[tile->pop];
    struct usage_ctx c = {.net = net, .tile = tile};
    spk_status status = SPK_OK;
    memset(out, 0, sizeof *out);
    out->neurons = tile->comps;
    out->engine = p->engine > 0;
    if (out->engine)
        out->synapse_bits = engine_bits(net, tile);
    for (uint32_t i = 0; i < p->n_projs && status == SPK_OK; i++) {
        c.proj = &net->projs.data[p->proj_first + i];
        status = usage_proj(&c, out);
    }
    vec_fini(&c.rows.classes);
    vec_fini(&c.columns.classes);
    vec_fini(&c.profile);
    SPK_TRY(status);
    if (p->enable) {
        uint32_t n = p->coarse ? 2 : 1;
        uint32_t offset;
        map_axon_base(net->target, tile->comp_first, &offset);
        out->in_axons += n;
        out->synapse_bits += n * map_enable_bits(net, out->neurons, offset);
        add_format(&c, false, false, map_enable_shift(net, false), 0);
        if (p->coarse)
            add_format(&c, false, false, map_enable_shift(net, true), 0);
    }
    for (size_t i = 0; i < sizeof c.formats / sizeof c.formats[0]; i++)
        out->formats += (uint32_t)__builtin_popcountll(c.formats[i]);
    out->configs = count_configs(net, tile);
    return SPK_OK;
}
