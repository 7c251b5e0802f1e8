/* Synapse blocks and their shared contents.
 *
 * Two axons with equal keys share a block on a core (its memory is charged once there); equal keys
 * on different cores share the stored content. A content is generated once per key, from the
 * projection's closed form, and stored once per value (emit_store.c). */
#include <string.h>

#include "backends/chip/emit_internal.h"
#include "passes/map/neuron_cut.h"
#include "support/alloc.h"

/* One row under construction; the last run is open until the next begins. */
struct row_builder {
    struct emit *e;
    const struct map_proj *p;
    const struct map_axon *axon;
    uint32_t channel;    /* of the source */
    uint32_t start, end; /* compartment offsets of the open run; its weights are e->pieces */
    bool open;
    uint32_t target, length; /* the kernel looked up last (length 0: none), at `kernel` */
    uint64_t kernel;
};

/* Weights of the open run: where its pieces lie behind each other in the image, or a copy. */
static spk_status run_weights(struct emit *e, uint32_t length, uint64_t *out_first)
{
    uint64_t end = e->pieces.data[0].from;
    size_t at = 0;
    *out_first = end;
    while (at < e->pieces.len && e->pieces.data[at].from == end)
        end += e->pieces.data[at++].length;
    if (at == e->pieces.len)
        return SPK_OK;
    const uint64_t copy = e->weights.len;
    SPK_TRY(vec_reserve(&e->weights, copy + length));
    for (at = 0; at < e->pieces.len; at++) {
        const struct emit_piece *p = &e->pieces.data[at];
        memcpy(e->weights.data + e->weights.len, e->weights.data + p->from, p->length);
        e->weights.len += p->length;
    }
    return emit_store_bytes(e, copy, out_first);
}

static spk_status close_run(struct row_builder *b)
{
    struct emit *e = b->e;
    const uint32_t length = b->end - b->start;
    uint64_t first;
    if (!b->open)
        return SPK_OK;
    if (b->p->weight_param == IR_NONE)
        SPK_TRY(emit_store_constant(e, b->p->plastic ? 0 : b->p->weight, length, &first));
    else
        SPK_TRY(run_weights(e, length, &first));
    vec_clear(&e->pieces);
    b->open = false;
    vec_last(&e->rows).n_runs++;
    return vec_push(&e->runs, (struct img_run){b->start, length, first});
}

static spk_status push_piece(void *ctx, const struct map_piece *piece)
{
    struct row_builder *b = ctx;
    struct emit *e = b->e;
    if (b->open && piece->start != b->end)
        SPK_TRY(close_run(b));
    if (!b->open)
        b->start = piece->start;
    b->open = true;
    b->end = piece->start + piece->length;
    if (b->p->weight_param == IR_NONE)
        return SPK_OK;
    struct emit_piece weights = {.length = piece->length};
    if (b->p->chan == MAP_CHAN_LIST) { /* a piece is a run: there is none like it next to it */
        const uint64_t first = e->weights.len;
        SPK_TRY(vec_reserve(&e->weights, first + piece->length));
        for (uint32_t i = 0; i < piece->length; i++)
            e->weights.data[e->weights.len++] =
                map_list_weight(e->net, b->axon, b->channel, piece->target_channel + i);
        SPK_TRY(emit_store_bytes(e, first, &weights.from));
        return vec_push(&e->pieces, weights);
    }
    /* The pieces of a row at neighbouring positions are parts of one kernel. */
    if (b->length != piece->length || b->target != piece->target_channel) {
        SPK_TRY(emit_store_kernel(e, b->p, b->channel, piece->target_channel, piece->length,
                                  &b->kernel));
        b->target = piece->target_channel;
        b->length = piece->length;
    }
    weights.from = b->kernel + (uint64_t)emit_tap(b->p, piece->ky, piece->kx) * piece->length;
    return vec_push(&e->pieces, weights);
}

static spk_status make_list(struct emit *e, const struct map_tile *tile, const struct map_axon *a,
                            struct img_content *c)
{
    c->kind = e->net->projs.data[a->proj].plastic ? IMG_BLOCK_PLASTIC : IMG_BLOCK_LIST;
    c->row_first = e->rows.len;
    for (uint32_t i = 0; i < a->n_rows; i++) {
        struct row_builder b = {.e = e,
                                .p = &e->net->projs.data[a->proj],
                                .axon = a,
                                .channel = a->first_row_channel + i};
        SPK_TRY(vec_push(&e->rows, (struct img_row){e->runs.len, 0}));
        SPK_TRY(map_row_pieces(e->net, tile, a, b.channel, push_piece, &b));
        SPK_TRY(close_run(&b));
    }
    return SPK_OK;
}

/* Weights [source channels][kh][kw][nc]. */
static spk_status make_conv(struct emit *e, const struct map_tile *tile, const struct map_axon *a,
                            struct img_content *c)
{
    const struct map_proj *p = &e->net->projs.data[a->proj];
    c->kind = IMG_BLOCK_CONV;
    c->kernel_h = (uint8_t)p->kernel;
    c->kernel_w = (uint8_t)p->kernel_w;
    c->stride = (uint8_t)p->stride;
    c->pad = (uint8_t)p->pad;
    c->nc = tile->nc;
    if (p->kernel > 255 || p->kernel_w > 255 || p->stride > 255 || p->pad > 255 ||
        p->stride != p->stride_w || p->pad != p->pad_w)
        return diag_nofit(e->diags, e->net->pops.data[p->target].span, "E0701",
                          "convolutional sharing needs equal strides and pads in x and y, below "
                          "256");
    const struct ir_param *w = &e->net->module->param[p->weight_param];
    const uint64_t taps = (uint64_t)p->kernel * p->kernel_w, from = w->dim[1] * taps;
    const uint64_t first = e->weights.len, n = a->n_rows * taps;
    const int8_t *data = (const int8_t *)w->data + tile->c0 * from + a->first_row_channel * taps;
    SPK_TRY(vec_resize(&e->weights, first + n * tile->nc));
    for (uint32_t o = 0; o < tile->nc; o++) {
        int8_t *to = e->weights.data + first + o;
        for (uint64_t i = 0; i < n; i++)
            to[i * tile->nc] = data[o * from + i];
    }
    return emit_store_bytes(e, first, &c->weight_first);
}

static spk_status content_of(struct emit *e, const struct map_tile *tile, const struct map_axon *a,
                             const struct map_block_key *key, uint32_t *out)
{
    bool fresh;
    uint32_t made;
    SPK_TRY(block_map_add(&e->content_map, key, (uint32_t)e->made.len, &made, &fresh));
    if (!fresh) {
        *out = e->made.data[made];
        return SPK_OK;
    }
    struct img_content c;
    memset(&c, 0, sizeof c);
    c.n_rows = a->n_rows;
    if (a->conv)
        SPK_TRY(make_conv(e, tile, a, &c));
    else
        SPK_TRY(make_list(e, tile, a, &c));
    SPK_TRY(emit_store_content(e, &c, out));
    return vec_push(&e->made, *out);
}

/* Core-local number of a synapse format. */
static spk_status format_of(struct emit *e, uint32_t shift, uint32_t weight_bits,
                            uint32_t delay_bits, uint32_t kind, uint32_t *out)
{
    const uint32_t id = (kind << 24) | (weight_bits << 16) | (delay_bits << 8) | shift;
    for (*out = 0; *out < e->core_formats.len; (*out)++)
        if (e->core_formats.data[*out] == id)
            return SPK_OK;
    return vec_push(&e->core_formats, id);
}

/* weight_bits 0: the target's. */
static spk_status push_block(struct emit *e, uint32_t content, uint32_t kind, uint32_t shift,
                             uint8_t weight_bits, uint32_t delay_bits)
{
    struct img_block b;
    memset(&b, 0, sizeof b);
    b.core = e->core;
    b.content = content;
    b.kind = (uint8_t)kind;
    b.shift = (uint8_t)shift;
    b.weight_bits = kind == IMG_BLOCK_PLASTIC ? e->target->arith.plastic_bits
                    : weight_bits > 0         ? weight_bits
                                              : e->target->arith.weight_bits;
    b.delay_bits = (uint8_t)delay_bits;
    SPK_TRY(format_of(e, shift, b.weight_bits, delay_bits, kind, &b.format));
    return vec_push(&e->blocks, b);
}

static spk_status block_for_key(struct emit *e, const struct map_tile *tile,
                                const struct map_axon *a, const struct map_block_key *key,
                                uint32_t *out_block)
{
    const struct map_proj *p = &e->net->projs.data[a->proj];
    bool fresh = true;
    uint32_t content;
    *out_block = (uint32_t)e->blocks.len;
    if (e->target->sharing != TGT_SHARE_NONE)
        SPK_TRY(block_map_add(&e->tile_blocks, key, *out_block, out_block, &fresh));
    if (!fresh)
        return SPK_OK;
    SPK_TRY(content_of(e, tile, a, key, &content));
    return push_block(e, content, e->contents.data[content].kind, p->shift, p->weight_bits,
                      map_delay_bits(key->delay));
}

spk_status emit_block(struct emit *e, const struct map_tile *tile, const struct map_axon *a,
                      uint32_t *out_block)
{
    const struct map_block_key key = map_axon_key(e->net, tile, a);
    return block_for_key(e, tile, a, &key, out_block);
}

spk_status emit_block_atom(struct emit *e, const struct map_tile *tile, const struct map_axon *a,
                           uint32_t *out_block)
{
    struct map_block_key key = map_axon_key(e->net, tile, a);
    key.channel = a->first_source_channel;
    return block_for_key(e, tile, a, &key, out_block);
}

spk_status emit_enable_block(struct emit *e, const struct map_tile *tile, bool coarse,
                             uint32_t offset, uint32_t *out_block)
{
    const struct map_pop *p = &e->net->pops.data[tile->pop];
    const uint32_t fine_shift = map_enable_shift(e->net, false);
    struct img_content c;
    uint64_t first = e->weights.len;
    uint32_t content;
    memset(&c, 0, sizeof c);
    c.kind = IMG_BLOCK_LIST;
    c.n_rows = 1;
    c.row_first = e->rows.len;
    for (uint32_t comp = 0; comp < tile->comps; comp++) {
        /* bias = (qf + qc * h) * 2^fine, -h/2 <= qf < h/2; none on padding */
        const uint32_t neuron = img_group_neuron(&vec_last(&e->groups), tile->comp_first + comp);
        const int32_t bias =
            neuron == IMG_NONE ? 0 : map_pop_bias(e->net, p, tile->c0 + neuron % tile->nc);
        const int32_t units = bias / (1 << fine_shift);
        const int32_t bits = e->target->arith.weight_bits - 1, h = 1 << bits;
        int32_t qc = (units + h / 2) >> bits, qf = units - qc * h;
        if (qc < -h || qc >= h)
            return diag_internal(e->diags, p->span, "E0702",
                                 "bias %d of '%s' does not fit two enable weights", units, p->name);
        SPK_TRY(vec_push(&e->weights, (int8_t)(coarse ? qc : qf)));
    }
    SPK_TRY(emit_store_bytes(e, first, &first));
    SPK_TRY(vec_push(&e->rows, (struct img_row){e->runs.len, 1}));
    SPK_TRY(vec_push(&e->runs, (struct img_run){offset, tile->comps, first}));
    SPK_TRY(emit_store_content(e, &c, &content));
    *out_block = (uint32_t)e->blocks.len;
    return push_block(e, content, IMG_BLOCK_LIST, map_enable_shift(e->net, coarse), 0, 0);
}
