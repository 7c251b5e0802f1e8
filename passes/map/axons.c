/* Axons, block keys and synapse rows of a tile in closed form (docs/mapping.md, section 2).
 *
 * For a window (kernel k, stride s, pad p) source row y reaches target rows t with
 * 0 <= y + p - t*s < k: a contiguous range, of which the tile keeps a part. All positions with the
 * same part, kernel coordinates and base offset share one block: interior positions share one,
 * borders of a tile add variants. Cost: O(positions in the window x source tiles) per tile. */
#include "passes/map/axons.h"

#include <string.h>

#include "passes/map/neuron_cut.h"
#include "support/alloc.h"

uint32_t map_axon_slots(const struct tgt *t, enum img_axon_kind kind)
{
    return kind == IMG_AXON_POP32 ? t->pop32_slots : t->pop16_slots;
}

#define MAX_ATOMS 32768u /* of the image's in-axons */

uint32_t map_axon_atoms(const struct tgt *t, uint32_t channels, uint32_t tc)
{
    const uint64_t limit = tgt_limit_value(t, TGT_ATOMS);
    const uint32_t atoms = t->axon_population && limit < MAX_ATOMS ? (uint32_t)limit : MAX_ATOMS;
    return channels <= atoms || tc == 0 || tc > atoms ? atoms : atoms / tc * tc;
}

uint32_t map_weight_bits(const struct tgt *t, const struct map_proj *p)
{
    const uint32_t learning = (uint32_t)t->arith.plastic_bits + t->arith.plastic_tag_bits;
    return p->plastic ? learning : p->weight_bits > 0 ? p->weight_bits : t->arith.weight_bits;
}

uint32_t map_delay_bits(uint32_t delay)
{
    uint32_t bits = 0;
    while ((delay >> bits) != 0)
        bits++;
    return bits;
}

uint32_t map_index_bits(const struct tgt_format *f, uint32_t last)
{
    uint32_t bits = f->index_bits_min;
    while (bits < f->index_bits_max && (last >> bits) != 0)
        bits++;
    return bits;
}

bool map_proj_conv(const struct tgt *t, const struct map_proj *p)
{
    const bool regular = p->stride == p->stride_w && p->pad == p->pad_w && p->kernel <= UINT8_MAX &&
                         p->kernel_w <= UINT8_MAX && p->stride <= UINT8_MAX && p->pad <= UINT8_MAX;
    return t->sharing == TGT_SHARE_CONVOLUTION && p->chan == MAP_CHAN_FULL && regular;
}

void map_source_channels(const struct map_net *net, const struct map_proj *proj, uint32_t c0,
                         uint32_t nc, uint32_t *lo, uint32_t *hi)
{
    const uint32_t channels = net->pops.data[proj->source[0].pop].channels;
    const uint32_t last = c0 + nc - 1, d = proj->d, r = proj->r;
    switch (proj->chan) {
    case MAP_CHAN_LIST: /* any: the list says which */
    case MAP_CHAN_FULL:
        *lo = 0;
        *hi = channels;
        break;
    case MAP_CHAN_SAME:
        *lo = c0;
        *hi = c0 + nc;
        break;
    case MAP_CHAN_EXPAND:
        *lo = c0 / r;
        *hi = last / r + 1;
        break;
    case MAP_CHAN_STRIDE: /* (h, i, j) <- (h, j): whole heads, or part of one row of j */
        if (c0 / d == last / d) {
            *lo = c0 / (d * d) * d + c0 % d;
            *hi = *lo + nc;
        } else {
            *lo = c0 / (d * d) * d;
            *hi = (last / (d * d) + 1) * d;
        }
        break;
    case MAP_CHAN_HEAD:
        *lo = c0 / d * d;
        *hi = (last / d + 1) * d;
        break;
    case MAP_CHAN_REDUCE: /* (h, j) <- (h, i, j, theta): whole heads */
        *lo = c0 / d * (d * d * r);
        *hi = (last / d + 1) * (d * d * r);
        break;
    }
}

bool map_window_targets(uint32_t y, uint32_t pad, uint32_t stride, uint32_t kernel, uint32_t t0,
                        uint32_t n, bool padded, uint32_t before, uint32_t *first, uint32_t *count,
                        uint32_t *k)
{
    const int64_t yp = (int64_t)y + pad, from = yp + 1 - kernel, end = (int64_t)t0 + n - 1;
    int64_t lo = from > 0 ? (from + stride - 1) / stride : -(-from / (int64_t)stride);
    int64_t hi = yp / stride;
    if (lo > end || hi < t0 || lo > hi)
        return false;
    if (!padded && lo < t0)
        lo = t0;
    if (!padded && hi > end)
        hi = end;
    *first = (uint32_t)(lo - t0 + before);
    *count = (uint32_t)(hi - lo + 1);
    *k = (uint32_t)(yp - lo * stride);
    return true;
}

void map_window_sources(uint32_t t0, uint32_t n, uint32_t pad, uint32_t stride, uint32_t kernel,
                        uint32_t size, uint32_t *lo, uint32_t *hi)
{
    uint64_t first = (uint64_t)t0 * stride, end = (uint64_t)(t0 + n - 1) * stride + kernel;
    *lo = first > pad ? (uint32_t)(first - pad) : 0;
    *hi = end > pad ? (uint32_t)(end - pad) : 0;
    if (*hi > size)
        *hi = size;
    if (*lo > *hi)
        *lo = *hi;
}

uint32_t map_axon_base(const struct tgt *t, uint32_t first, uint32_t *out_offset)
{
    const uint64_t limit = tgt_limit_value(t, TGT_AXON_BASE);
    const uint32_t base = first > limit ? first % (uint32_t)(limit + 1) : first;
    *out_offset = first - base;
    return base;
}

void map_axon_place(const struct map_net *net, const struct map_tile *tile, struct map_axon *a)
{
    const struct tgt *t = net->target;
    const struct map_proj *p = &net->projs.data[a->proj];
    const uint32_t first = p->pos == MAP_POS_TEACHER
                               ? tile->comp_first + tile->comps - tile->nc
                               : tile->comp_first + (a->ty * tile->pitch + a->tx) * tile->slice;
    a->conv = map_proj_conv(t, p);
    a->base = map_axon_base(t, first, &a->offset);
    if (a->conv || p->pos == MAP_POS_ENGINE) {
        a->base = a->pos;
        a->offset = 0;
    }
    a->kind = IMG_AXON_POP16;
    if (!t->axon_population)
        a->kind = IMG_AXON_DISCRETE;
    else if ((!a->conv && p->pos != MAP_POS_ENGINE && a->base % 4 != 0) ||
             a->n_atoms > tgt_limit_value(t, TGT_ATOMS))
        a->kind = IMG_AXON_POP32;
}

/* The axons of one source position: one for all channels that reach this tile, as far as an axon
 * has atoms (chunks begin at multiples of those, so that a compartment is the same atom for all its
 * consumers but for a constant). */
static spk_status axon_sources(const struct map_net *net, const struct map_tile *tile,
                               struct map_axon *a, map_axon_fn fn, void *ctx)
{
    const struct map_proj *p = &net->projs.data[a->proj];
    const struct map_pop *s = &net->pops.data[p->source[a->source].pop];
    const uint32_t width = map_axon_atoms(net->target, s->channels, s->tc);
    uint32_t lo, hi;
    map_source_channels(net, p, tile->c0, tile->nc, &lo, &hi);
    a->first_row_channel = lo;
    a->n_rows = hi - lo;
    for (uint32_t c = lo / width * width; c < hi; c += width) {
        a->first_source_channel = c > lo ? c : lo;
        a->n_atoms = (c + width < hi ? c + width : hi) - a->first_source_channel;
        a->row = a->first_source_channel - lo;
        map_axon_place(net, tile, a);
        SPK_TRY(fn(ctx, tile, a));
    }
    return SPK_OK;
}

spk_status map_tile_axons(const struct map_net *net, const struct map_tile *tile, map_axon_fn fn,
                          void *ctx)
{
    const struct map_pop *pop = &net->pops.data[tile->pop];
    for (uint32_t i = 0; i < pop->n_projs; i++) {
        const struct map_proj *p = &net->projs.data[pop->proj_first + i];
        uint32_t y_lo = 0, y_hi = p->view_h, x_lo = 0, x_hi = p->view_w;
        if (p->pos == MAP_POS_WINDOW) {
            map_window_sources(tile->y0, tile->ny, p->pad, p->stride, p->kernel, p->view_h, &y_lo,
                               &y_hi);
            map_window_sources(tile->x0, tile->nx, p->pad_w, p->stride_w, p->kernel_w, p->view_w,
                               &x_lo, &x_hi);
        }
        for (uint32_t s = 0; s < p->n_sources; s++) {
            if (p->chan == MAP_CHAN_LIST) {
                const struct map_axon a = {.proj = pop->proj_first + i, .source = s};
                SPK_TRY(map_list_axons(net, tile, a, fn, ctx));
                continue;
            }
            for (uint32_t y = y_lo; y < y_hi; y++) {
                struct map_axon a = {.proj = pop->proj_first + i, .source = s};
                a.rows = p->pos == MAP_POS_TEACHER ? 1 : tile->ny;
                a.cols = p->pos == MAP_POS_TEACHER ? 1 : tile->nx;
                a.ty = tile->top;
                a.tx = tile->left;
                if (p->pos == MAP_POS_WINDOW &&
                    !map_window_targets(y, p->pad, p->stride, p->kernel, tile->y0, tile->ny,
                                        tile->pad_y, tile->top, &a.ty, &a.rows, &a.ky))
                    continue;
                for (uint32_t x = x_lo; x < x_hi; x++) {
                    if (p->pos == MAP_POS_WINDOW &&
                        !map_window_targets(x, p->pad_w, p->stride_w, p->kernel_w, tile->x0,
                                            tile->nx, tile->pad_x, tile->left, &a.tx, &a.cols,
                                            &a.kx))
                        continue;
                    a.pos = y * p->view_w + x;
                    SPK_TRY(axon_sources(net, tile, &a, fn, ctx));
                }
            }
        }
    }
    return SPK_OK;
}

spk_status map_axon_senders(const struct map_net *net, const struct map_axon *a, map_sender_fn fn,
                            void *ctx)
{
    const uint32_t pop = net->projs.data[a->proj].source[a->source].pop;
    const struct map_pop *s = &net->pops.data[pop];
    const uint32_t end = a->first_source_channel + a->n_atoms;
    if (net->projs.data[a->proj].chan == MAP_CHAN_LIST)
        return map_list_senders(net, a, fn, ctx);
    if (!s->has_compartments)
        return fn(ctx, IR_NONE, a->first_source_channel, a->n_atoms);
    const uint32_t first = map_tile_of(net, pop, a->pos, 0);
    for (uint32_t c = a->first_source_channel; c < end;) {
        const uint32_t next = (c / s->tc + 1) * s->tc;
        SPK_TRY(fn(ctx, first + c / s->tc, c, (next < end ? next : end) - c));
        c = next;
    }
    return SPK_OK;
}

struct map_block_key map_axon_key(const struct map_net *net, const struct map_tile *tile,
                                  const struct map_axon *a)
{
    struct map_block_key k;
    memset(&k, 0, sizeof k);
    k.proj = net->projs.data[a->proj].block_proj;
    k.channel = IR_NONE;
    k.delay = net->projs.data[a->proj].source[a->source].delay;
    k.c0 = tile->c0;
    k.nc = tile->nc;
    if (a->conv)
        return k;
    k.rows = a->rows;
    k.cols = a->cols;
    k.ky = a->ky;
    k.kx = a->kx;
    k.offset = a->offset;
    if (net->projs.data[a->proj].chan == MAP_CHAN_LIST) {
        k.rows = a->source;
        k.ky = a->pos;
        k.kx = a->first_source_channel;
    }
    k.slice = tile->slice;
    k.plane = tile->plane;
    if (a->rows > 1)
        k.pitch = tile->pitch;
    return k;
}

/* The channel pieces of one target position of a plane with channels c0 .. c1 - 1. */
static spk_status row_channels(const struct map_proj *p, uint32_t c0, uint32_t c1, uint32_t channel,
                               struct map_piece piece, map_piece_fn fn, void *ctx)
{
    const uint32_t d = p->d, r = p->r, at = piece.start;
    uint32_t lo = c0, hi = c1;
    switch (p->chan) {
    case MAP_CHAN_LIST:
    case MAP_CHAN_FULL:
        break;
    case MAP_CHAN_SAME:
        lo = channel;
        hi = channel + 1;
        break;
    case MAP_CHAN_EXPAND:
        lo = channel * r;
        hi = lo + r;
        break;
    case MAP_CHAN_HEAD:
        lo = channel / d * d;
        hi = lo + d;
        break;
    case MAP_CHAN_REDUCE:
        lo = channel / (d * d * r) * d + channel / r % d;
        hi = lo + 1;
        break;
    case MAP_CHAN_STRIDE:
        for (uint32_t i = 0; i < d; i++) {
            uint32_t c = (channel / d * d + i) * d + channel % d;
            if (c < c0 || c >= c1)
                continue;
            piece.start = at + c - c0;
            piece.length = 1;
            piece.target_channel = c;
            SPK_TRY(fn(ctx, &piece));
        }
        return SPK_OK;
    }
    if (lo < c0)
        lo = c0;
    if (hi > c1)
        hi = c1;
    if (lo >= hi)
        return SPK_OK;
    piece.start = at + lo - c0;
    piece.length = hi - lo;
    piece.target_channel = lo;
    return fn(ctx, &piece);
}

spk_status map_row_pieces(const struct map_net *net, const struct map_tile *tile,
                          const struct map_axon *a, uint32_t channel, map_piece_fn fn, void *ctx)
{
    const struct map_proj *p = &net->projs.data[a->proj];
    const uint32_t end = tile->c0 + tile->nc;
    uint32_t plane = a->offset;
    if (p->chan == MAP_CHAN_LIST)
        return map_list_pieces(net, tile, a, channel, fn, ctx);
    for (uint32_t c = tile->c0; c < end; c += tile->slice, plane += tile->plane) {
        const uint32_t c1 = end - c < tile->slice ? end : c + tile->slice;
        for (uint32_t at = 0; at < a->rows * a->cols; at++) {
            const uint32_t y = at / a->cols, x = at % a->cols;
            struct map_piece piece = {.start = plane + (y * tile->pitch + x) * tile->slice};
            if (p->pos == MAP_POS_WINDOW) {
                piece.ky = a->ky - y * p->stride;
                piece.kx = a->kx - x * p->stride_w;
            }
            SPK_TRY(row_channels(p, c, c1, channel, piece, fn, ctx));
        }
    }
    return SPK_OK;
}

uint8_t map_enable_shift(const struct map_net *net, bool coarse)
{
    const struct tgt_arith *a = &net->target->arith;
    return (uint8_t)(a->current_shift + (a->weight_even ? 1 : 0) +
                     (coarse ? a->weight_bits - 1 : 0));
}

uint64_t map_enable_bits(const struct map_net *net, uint32_t neurons, uint32_t offset)
{
    const struct tgt *t = net->target;
    const uint32_t index = offset == 0 ? 0 : map_index_bits(&t->format, offset + neurons - 1);
    return tgt_row_bits(&t->format, neurons, t->arith.weight_bits, 0, index);
}
