/* Synapse blocks and their shared contents.
 *
 * Two axons with equal keys share a block on a core (its memory is charged once there); equal keys
 * on different cores share the stored content. A content is generated once, from the projection's
 * closed form. */
#include <string.h>

#include "backends/chip/emit_internal.h"
#include "support/alloc.h"

struct row_builder {
    struct emit *e;
    const struct map_proj *p;
    const struct map_tile *tile;
    uint32_t channel; /* of the source */
    uint32_t end;     /* compartment offset behind the last run of this row */
    bool open;
};

static spk_status push_weights(struct row_builder *b, const struct map_piece *piece)
{
    struct emit *e = b->e;
    if (b->p->weight_param == IR_NONE) {
        for (uint32_t i = 0; i < piece->length; i++)
            SPK_TRY(vec_push(&e->weights, b->p->weight));
        return SPK_OK;
    }
    const struct ir_param *w = &e->net->module->param[b->p->weight_param];
    const uint32_t in = w->dim[1], kh = w->rank > 2 ? w->dim[2] : 1,
                   kw = w->rank > 3 ? w->dim[3] : 1;
    const int8_t *data = w->data;
    for (uint32_t i = 0; i < piece->length; i++) {
        uint64_t o = piece->target_channel + i;
        SPK_TRY(
            vec_push(&e->weights, data[((o * in + b->channel) * kh + piece->ky) * kw + piece->kx]));
    }
    return SPK_OK;
}

static spk_status push_piece(void *ctx, const struct map_piece *piece)
{
    struct row_builder *b = ctx;
    struct emit *e = b->e;
    if (b->open && piece->start == b->end) {
        vec_last(&e->runs).length += piece->length;
    } else {
        SPK_TRY(vec_push(&e->runs, (struct img_run){piece->start, piece->length, e->weights.len}));
        vec_last(&e->rows).n_runs++;
        b->open = true;
    }
    b->end = piece->start + piece->length;
    return push_weights(b, piece);
}

static spk_status make_list(struct emit *e, const struct map_tile *tile, const struct map_axon *a,
                            struct img_content *c)
{
    c->kind = IMG_BLOCK_LIST;
    c->row_first = e->rows.len;
    for (uint32_t i = 0; i < a->n_rows; i++) {
        struct row_builder b = {.e = e,
                                .p = &e->net->projs.data[a->proj],
                                .tile = tile,
                                .channel = a->first_row_channel + i};
        SPK_TRY(vec_push(&e->rows, (struct img_row){e->runs.len, 0}));
        SPK_TRY(map_row_pieces(e->net, tile, a, b.channel, push_piece, &b));
    }
    return SPK_OK;
}

/* Weights [source channels][kh][kw][nc]. */
static spk_status make_conv(struct emit *e, const struct map_tile *tile, const struct map_axon *a,
                            struct img_content *c)
{
    const struct map_proj *p = &e->net->projs.data[a->proj];
    struct row_builder b = {.e = e, .p = p, .tile = tile};
    c->kind = IMG_BLOCK_CONV;
    c->kernel_h = (uint8_t)p->kernel;
    c->kernel_w = (uint8_t)p->kernel_w;
    c->stride = (uint8_t)p->stride;
    c->pad = (uint8_t)p->pad;
    c->nc = tile->nc;
    c->weight_first = e->weights.len;
    if (p->kernel > 255 || p->kernel_w > 255 || p->stride > 255 || p->pad > 255 ||
        p->stride != p->stride_w || p->pad != p->pad_w)
        return diag_nofit(e->diags, e->net->pops.data[p->target].span, "E0701",
                          "convolutional sharing needs equal strides and pads in x and y, below "
                          "256");
    for (uint32_t i = 0; i < a->n_rows; i++) {
        b.channel = a->first_row_channel + i;
        for (uint32_t ky = 0; ky < p->kernel; ky++) {
            for (uint32_t kx = 0; kx < p->kernel_w; kx++) {
                struct map_piece piece = {0, tile->nc, tile->c0, ky, kx};
                SPK_TRY(push_weights(&b, &piece));
            }
        }
    }
    return SPK_OK;
}

static spk_status content_of(struct emit *e, const struct map_tile *tile, const struct map_axon *a,
                             const struct map_block_key *key, uint32_t *out)
{
    bool fresh;
    SPK_TRY(block_map_add(&e->content_map, key, (uint32_t)e->contents.len, out, &fresh));
    if (!fresh)
        return SPK_OK;
    struct img_content c;
    memset(&c, 0, sizeof c);
    c.n_rows = a->n_rows;
    if (a->conv)
        SPK_TRY(make_conv(e, tile, a, &c));
    else
        SPK_TRY(make_list(e, tile, a, &c));
    return vec_push(&e->contents, c);
}

/* Core-local number of a synapse format. */
static spk_status format_of(struct emit *e, uint32_t shift, uint32_t delay_bits, uint32_t kind,
                            uint32_t *out)
{
    const uint32_t id = (kind << 16) | (delay_bits << 8) | shift;
    for (*out = 0; *out < e->core_formats.len; (*out)++)
        if (e->core_formats.data[*out] == id)
            return SPK_OK;
    return vec_push(&e->core_formats, id);
}

static spk_status push_block(struct emit *e, uint32_t content, uint32_t kind, uint32_t shift,
                             uint32_t delay_bits)
{
    struct img_block b;
    memset(&b, 0, sizeof b);
    b.core = e->core;
    b.content = content;
    b.kind = (uint8_t)kind;
    b.shift = (uint8_t)shift;
    b.weight_bits = e->target->arith.weight_bits;
    b.delay_bits = (uint8_t)delay_bits;
    SPK_TRY(format_of(e, shift, delay_bits, kind, &b.format));
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
        SPK_TRY(block_map_add(&e->core_blocks, key, *out_block, out_block, &fresh));
    if (!fresh)
        return SPK_OK;
    SPK_TRY(content_of(e, tile, a, key, &content));
    return push_block(e, content, a->conv ? IMG_BLOCK_CONV : IMG_BLOCK_LIST, p->shift,
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
                             uint32_t *out_block)
{
    const struct map_pop *p = &e->net->pops.data[tile->pop];
    const uint32_t fine_shift = map_enable_shift(e->net, false);
    struct img_content c;
    memset(&c, 0, sizeof c);
    c.kind = IMG_BLOCK_LIST;
    c.n_rows = 1;
    c.row_first = e->rows.len;
    SPK_TRY(vec_push(&e->rows, (struct img_row){e->runs.len, 1}));
    SPK_TRY(vec_push(&e->runs, (struct img_run){0, tile->comps, e->weights.len}));
    for (uint32_t comp = 0; comp < tile->comps; comp++) {
        /* bias = qf * 2^fine + qc * 2^(fine + 7), -64 <= qf <= 63; none on padding */
        const uint32_t neuron = img_group_neuron(&vec_last(&e->groups), comp);
        const int32_t bias =
            neuron == IMG_NONE ? 0 : map_pop_bias(e->net, p, tile->c0 + neuron % tile->nc);
        const int32_t units = bias / (1 << fine_shift);
        int32_t qc = (units + 64) >> 7, qf = units - qc * 128;
        if (qc < -128 || qc > 127)
            return diag_internal(e->diags, p->span, "E0702",
                                 "bias %d of '%s' does not fit two enable weights", units, p->name);
        SPK_TRY(vec_push(&e->weights, (int8_t)(coarse ? qc : qf)));
    }
    SPK_TRY(vec_push(&e->contents, c));
    *out_block = (uint32_t)e->blocks.len;
    return push_block(e, (uint32_t)e->contents.len - 1, IMG_BLOCK_LIST,
                      map_enable_shift(e->net, coarse), 0);
}
