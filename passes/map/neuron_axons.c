/* Axons, rows and use of projections whose synapses are listed (MAP_CHAN_LIST).
 *
 * A tile has an in-axon for every source position and chunk of atoms in which some neuron reaches
 * it, from the first to the last such neuron, and a block of its own for it: rows between that
 * reach nothing are empty and take no memory. A source tile has an out-axon for every run of
 * neurons that the tile hears; gaps of up to map_tile.bridge neurons are sent over. */
#include <string.h>

#include "passes/map/neuron_cut.h"

static const struct map_list *list_of(const struct map_net *net, const struct map_axon *a)
{
    return &net->lists.data[net->projs.data[a->proj].source[a->source].list];
}

spk_status map_list_axons(const struct map_net *net, const struct map_tile *tile, struct map_axon a,
                          map_axon_fn fn, void *ctx)
{
    const struct map_list *l = list_of(net, &a);
    const struct map_pop *s = &net->pops.data[net->projs.data[a.proj].source[a.source].pop];
    const uint32_t g =
        map_tile_of(net, tile->pop, 0, tile->c0) - net->pops.data[tile->pop].tile_first;
    const uint32_t width =
        net->target->axon_population ? map_axon_atoms(net->target, s->channels, s->tc) : 1;
    a.rows = a.cols = 1;
    for (uint64_t i = l->need_first[g], end = l->need_first[g + 1]; i < end;) {
        const uint32_t c = l->need[i] % s->channels, at = l->need[i] - c;
        const uint32_t chunk = (c / width + 1) * width;
        const uint32_t stop = at + (chunk < s->channels ? chunk : s->channels);
        a.need_first = i;
        while (i < end && l->need[i] < stop)
            i++;
        a.n_need = (uint32_t)(i - a.need_first);
        a.pos = at / s->channels;
        a.first_source_channel = a.first_row_channel = c;
        a.n_atoms = a.n_rows = l->need[i - 1] - at - c + 1;
        map_axon_place(net, tile, &a);
        SPK_TRY(fn(ctx, tile, &a));
    }
    return SPK_OK;
}

spk_status map_list_senders(const struct map_net *net, const struct map_axon *a, map_sender_fn fn,
                            void *ctx)
{
    const uint32_t pop = net->projs.data[a->proj].source[a->source].pop;
    const struct map_pop *s = &net->pops.data[pop];
    const uint32_t *need = list_of(net, a)->need + a->need_first;
    if (!s->has_compartments) /* what is injected begins with atom 0 and has no gaps */
        return fn(ctx, IR_NONE, a->first_source_channel, a->n_atoms);
    for (uint32_t i = 0; i < a->n_need;) {
        const uint32_t from = need[i] % s->channels;
        const uint32_t tile = map_tile_of(net, pop, a->pos, from);
        const uint32_t end = s->cut[tile - s->tile_first + 1];
        const uint32_t bridge = s->bridge[tile - s->tile_first];
        uint32_t last = from;
        for (i++; i < a->n_need; i++) {
            const uint32_t c = need[i] % s->channels;
            if (c >= end || c - last - 1 > bridge)
                break;
            last = c;
        }
        SPK_TRY(fn(ctx, tile, from, last - from + 1));
    }
    return SPK_OK;
}

/* First of the row's targets that is at least c. */
static uint64_t first_target(const struct map_list *l, uint64_t row, uint32_t c)
{
    uint64_t lo = l->first[row], hi = l->first[row + 1];
    while (lo < hi) {
        const uint64_t mid = lo + (hi - lo) / 2;
        if (l->target[mid] < c)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

spk_status map_list_pieces(const struct map_net *net, const struct map_tile *tile,
                           const struct map_axon *a, uint32_t channel, map_piece_fn fn, void *ctx)
{
    const struct map_list *l = list_of(net, a);
    const struct map_pop *s = &net->pops.data[net->projs.data[a->proj].source[a->source].pop];
    const uint64_t row = (uint64_t)a->pos * s->channels + channel, end = l->first[row + 1];
    for (uint64_t i = first_target(l, row, tile->c0); i < end;) {
        const uint32_t c = l->target[i];
        uint32_t n = 1;
        if (c >= tile->c0 + tile->nc)
            break;
        while (i + n < end && l->target[i + n] == c + n && c + n < tile->c0 + tile->nc)
            n++;
        const struct map_piece piece = {
            .start = a->offset + c - tile->c0, .length = n, .target_channel = c};
        SPK_TRY(fn(ctx, &piece));
        i += n;
    }
    return SPK_OK;
}

int8_t map_list_weight(const struct map_net *net, const struct map_axon *a, uint32_t channel,
                       uint32_t target)
{
    const struct map_proj *p = &net->projs.data[a->proj];
    if (p->weight_param == IR_NONE)
        return p->weight;
    const struct ir_param *w = &net->module->param[p->weight_param];
    const struct map_pop *s = &net->pops.data[p->source[a->source].pop];
    const size_t from = map_pop_channel(s, channel);
    const size_t to = map_pop_channel(&net->pops.data[p->target], target);
    const size_t tap =
        (size_t)(a->pos / p->view_w + p->pad) * p->kernel_w + a->pos % p->view_w + p->pad_w;
    return ((const int8_t *)w->data)[(to * w->dim[1] + from) * p->kernel * p->kernel_w + tap];
}

/* ---- use ---- */

struct row_use {
    uint32_t synapses, end;
    bool dense; /* one run from compartment 0 on */
};

struct list_use {
    const struct map_net *net;
    uint32_t delay_bits;
    struct map_usage *out;
};

static spk_status use_piece(void *ctx, const struct map_piece *piece)
{
    struct row_use *r = ctx;
    r->dense = r->dense && piece->start == 0;
    r->synapses += piece->length;
    r->end = piece->start + piece->length;
    return SPK_OK;
}

static spk_status use_axon(void *ctx, const struct map_tile *tile, const struct map_axon *a)
{
    const struct list_use *u = ctx;
    const struct tgt *t = u->net->target;
    const struct map_list *l = list_of(u->net, a);
    struct row_use all = {0, 0, true};
    uint32_t index = 0;
    u->out->in_axons++;
    for (int pass = 0; pass < 2; pass++) { /* whether it is dense, then its bits */
        for (uint32_t i = 0; i < a->n_need; i++) {
            struct row_use row = {0, 0, true};
            const uint32_t channel =
                l->need[a->need_first + i] - l->need[a->need_first] + a->first_source_channel;
            SPK_TRY(map_list_pieces(u->net, tile, a, channel, use_piece, &row));
            all.dense = all.dense && row.dense;
            all.end = row.end > all.end ? row.end : all.end;
            if (pass == 1)
                u->out->synapse_bits += tgt_row_bits(&t->format, row.synapses, t->arith.weight_bits,
                                                     u->delay_bits, index);
        }
        index = all.dense ? 0 : map_index_bits(&t->format, all.end - 1);
    }
    return SPK_OK;
}

spk_status map_list_usage(const struct map_net *net, const struct map_tile *tile, uint32_t proj,
                          uint32_t source, struct map_usage *out)
{
    const struct map_axon at = {.proj = proj, .source = source};
    struct list_use u = {net, map_delay_bits(net->projs.data[proj].source[source].delay), out};
    return map_list_axons(net, tile, at, use_axon, &u);
}
