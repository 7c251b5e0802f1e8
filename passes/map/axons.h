/* What a tile of a population needs from its sources, in closed form: which source positions
 * reach it, by which axon, into which synapse block. Used alike to price a tile shape and to emit
 * the image. */
#ifndef SPIKEC_PASSES_MAP_AXONS_H
#define SPIKEC_PASSES_MAP_AXONS_H

#include "passes/map/net.h"

/* A block of positions and channels of one population, on compartments comp_first and up of a core:
 * neuron (y, x, c) of the tile is compartment comp_first + lead + c / slice * plane + (y * pitch +
 * x) * slice + c % slice (struct img_group); the others of its `comps` compartments are padding,
 * the last nc of them teachers where the population has those. */
struct map_tile {
    uint32_t pop;
    uint32_t y0, x0, c0, ny, nx, nc;
    uint32_t core, comp_first;
    uint32_t slice, pitch, plane, lead, comps;
    uint32_t top, left; /* rows and columns of padding before the first neuron */
    bool pad_y, pad_x;  /* axons reach their whole window along that axis, padding included */
};

/* layout.c: fills in slice and everything behind it, by the population's choice. */
void map_tile_layout(const struct map_net *net, struct map_tile *tile);
/* Compartment of the core of row y, column x, channel c of the tile (counted within it). */
uint32_t map_tile_comp(const struct map_tile *tile, uint32_t y, uint32_t x, uint32_t channel);

/* One in-axon of a tile: source position `pos` of alias `source` of projection `proj`; its atoms
 * are the source's channels first_source_channel .. + n_atoms - 1, at most an axon's atoms, however
 * the source is cut into tiles, and they address rows row .. row + n_atoms - 1 of the block. (A
 * block has a row for every source channel that can reach the tile, so all aliases share it.) The
 * axon reaches rows ty .. ty + rows - 1 and columns tx .. tx + cols - 1 of the tile, padding before
 * its first neuron counted; ky, kx are the kernel coordinates there. */
struct map_axon {
    uint32_t proj, source;
    uint32_t pos;
    uint32_t ty, tx, rows, cols, ky, kx;
    uint32_t base;   /* LIST: compartment base of the in-axon, within the target's limit */
    uint32_t offset; /* LIST: what of the first compartment does not fit the base */
    uint32_t first_source_channel, n_atoms, row;
    uint32_t first_row_channel, n_rows; /* of the block: source channels in row order */
    enum img_axon_kind kind;
    bool conv; /* goes to a CONV block */
    uint64_t
        need_first; /* MAP_CHAN_LIST: rows that reach the tile, need[need_first ..) of the list */
    uint32_t n_need;
};

/* Sets base, offset and kind. */
void map_axon_place(const struct map_net *net, const struct map_tile *tile, struct map_axon *axon);

/* Identity of a synapse block within one projection: axons with equal keys share the block on a
 * core, and cores with equal keys share its stored content. */
struct map_block_key {
    uint32_t proj, delay;
    uint32_t channel; /* discrete axons: the one source channel of the row; else IR_NONE */
    uint32_t c0, nc, slice, pitch, plane;
    uint32_t rows, cols, ky, kx,
        offset; /* MAP_CHAN_LIST: rows: source, ky, kx: position, channel */
};

typedef spk_status (*map_axon_fn)(void *ctx, const struct map_tile *tile,
                                  const struct map_axon *axon);

/* Calls fn for every in-axon of the tile (enable axons excluded): projections, aliases, positions,
 * chunks of atoms in this order. */
SPK_CHECKED spk_status map_tile_axons(const struct map_net *net, const struct map_tile *tile,
                                      map_axon_fn fn, void *ctx);

/* Index of the tile of `pop` that holds a position (linear, in the population's own geometry) and
 * channel. Populations without compartments have no tiles: IR_NONE. */
uint32_t map_tile_of(const struct map_net *net, uint32_t pop, uint32_t position, uint32_t channel);

/* Calls fn for every tile of the source that an in-axon's atoms lie on: index of the tile, first
 * channel and number of channels. Once with tile IR_NONE for sources without compartments. */
typedef spk_status (*map_sender_fn)(void *ctx, uint32_t tile, uint32_t channel, uint32_t n);
SPK_CHECKED spk_status map_axon_senders(const struct map_net *net, const struct map_axon *axon,
                                        map_sender_fn fn, void *ctx);

struct map_block_key map_axon_key(const struct map_net *net, const struct map_tile *tile,
                                  const struct map_axon *axon);

/* Whether the axons of a projection go to one block that convolves. */
bool map_proj_conv(const struct tgt *t, const struct map_proj *proj);

/* Along one axis of a window: the targets t with 0 <= y + pad - t*stride < kernel, those in
 * [t0, t0 + n) or, where the axis is padded, all if one of them is: *count targets from
 * t0 - before + *first on, with kernel coordinate *k at the first; false where there are none. */
bool map_window_targets(uint32_t y, uint32_t pad, uint32_t stride, uint32_t kernel, uint32_t t0,
                        uint32_t n, bool padded, uint32_t before, uint32_t *first, uint32_t *count,
                        uint32_t *k);
/* Source rows that reach target rows [t0, t0 + n) of a source with `size` rows: within
 * [*lo, *hi); all of them where stride is at most kernel. */
void map_window_sources(uint32_t t0, uint32_t n, uint32_t pad, uint32_t stride, uint32_t kernel,
                        uint32_t size, uint32_t *lo, uint32_t *hi);

/* Channels of the source of `proj` that can reach target channels c0 .. c0 + nc - 1: [*lo, *hi). */
void map_source_channels(const struct map_net *net, const struct map_proj *proj, uint32_t c0,
                         uint32_t nc, uint32_t *lo, uint32_t *hi);

/* The runs of one row (source channel `channel`) of a LIST block: target offsets relative to the
 * block's first compartment, ascending, adjacent ones merged. fn also gets the kernel position of
 * the piece and the first target channel, from which weights follow. */
struct map_piece {
    uint32_t start, length;  /* compartments */
    uint32_t target_channel; /* of the first compartment */
    uint32_t ky, kx;
};
typedef spk_status (*map_piece_fn)(void *ctx, const struct map_piece *piece);
SPK_CHECKED spk_status map_row_pieces(const struct map_net *net, const struct map_tile *tile,
                                      const struct map_axon *axon, uint32_t channel,
                                      map_piece_fn fn, void *ctx);

/* Shift of the weights of an enable spike: a bias is fine * 2^s + coarse * 2^(s + b - 1), with b
 * bits of weights. */
uint8_t map_enable_shift(const struct map_net *net, bool coarse);
/* Memory of one enable row: one weight per compartment, `offset` before the first. */
uint64_t map_enable_bits(const struct map_net *net, uint32_t neurons, uint32_t offset);
/* What of compartment `first` an in-axon's base can hold; the rest is an offset inside its block.
 */
uint32_t map_axon_base(const struct tgt *t, uint32_t first, uint32_t *out_offset);

/* Out-axon slots that the entry at the source takes. */
uint32_t map_axon_slots(const struct tgt *t, enum img_axon_kind kind);

/* Atoms of an in-axon: a source with more channels has one for every so many. No tile of tc
 * channels lies on two of them (tc 0: the source is not cut). */
uint32_t map_axon_atoms(const struct tgt *t, uint32_t channels, uint32_t tc);
/* Stored bits of a weight, tag included where synapses learn. */
uint32_t map_weight_bits(const struct tgt *t, const struct map_proj *p);

/* Stored bits of a delay of `delay` extra steps. */
uint32_t map_delay_bits(uint32_t delay);

/* Index bits of a sparse row whose largest target offset is `last`. */
uint32_t map_index_bits(const struct tgt_format *f, uint32_t last);

#endif
