/* What the files of the chip back end share. */
#ifndef SPIKEC_BACKENDS_CHIP_EMIT_INTERNAL_H
#define SPIKEC_BACKENDS_CHIP_EMIT_INTERNAL_H

#include "backends/chip/emit.h"
#include "passes/map/block_map.h"
#include "support/vec.h"

/* emit_store.c: hash table; zero-initialised is empty. */
struct emit_table {
    struct emit_slot *slot;
    size_t capacity, n;
};
struct emit_piece { /* weights from .. from + length - 1 */
    uint64_t from;
    uint32_t length;
};
struct emit_constant { /* `length` weights of one value, from `first` */
    uint64_t first;
    uint32_t length;
};

#define EMIT_VEC(type, name) VEC(type) name;
struct emit {
    const struct mapping *m;
    const struct map_net *net;
    const struct tgt *target;
    const struct progress *progress;
    struct diag_list *diags;
    struct image *im;
    IMG_TABLES(EMIT_VEC)
    /* The tables that grow with the number of axons are counted first and get exactly their size;
     * out_axons are filled by source core, and hold the number of their destination in `route`
     * until emit_routes. */
    uint64_t *out_first;          /* [cores + 1] */
    uint64_t *out_next;           /* [cores] next free out-axon */
    uint32_t longest_run;         /* compartments of the largest tile: no run is longer */
    struct block_map content_map; /* key -> made[], whole image */
    VEC(uint32_t) made;           /* content of each key */
    struct block_map tile_blocks; /* key -> block, the tile at hand */
    VEC(uint32_t) core_formats;   /* this core's (shift, delay bits, kind) */
    struct emit_table stored_bytes, stored_kernels, stored_contents;
    VEC(uint64_t) kernel_first; /* see emit_store.c */
    struct emit_constant constant[256];
    VEC(struct emit_piece) pieces; /* of the run under construction */
    uint32_t core;
};
#undef EMIT_VEC

/* Destinations are numbered cores, then embedded tasks, then the host. */
static inline uint32_t emit_dest(const struct emit *e, enum img_dest dest, uint32_t index)
{
    const uint32_t cores = e->m->n_cores;
    const uint32_t tasks = cores + (uint32_t)e->embedded.len;
    return dest == IMG_DEST_CORE ? index : dest == IMG_DEST_EMBEDDED ? cores + index : tasks;
}

/* emit_count.c: sizes of the axon tables, and room for them. */
SPK_CHECKED spk_status emit_reserve(struct emit *e);

/* emit_store.c. Weights of `length` target channels from `target`, of one source channel, for all
 * kernel coordinates; those of (ky, kx) begin at *out_first + emit_tap * length. */
SPK_CHECKED spk_status emit_store_kernel(struct emit *e, const struct map_proj *p, uint32_t channel,
                                         uint32_t target, uint32_t length, uint64_t *out_first);
uint32_t emit_tap(const struct map_proj *p, uint32_t ky, uint32_t kx);
/* `length` equal weights. */
SPK_CHECKED spk_status emit_store_constant(struct emit *e, int8_t weight, uint32_t length,
                                           uint64_t *out_first);
/* The weights from `first` to the end of the table: kept, or dropped where they are there already.
 */
SPK_CHECKED spk_status emit_store_bytes(struct emit *e, uint64_t first, uint64_t *out_first);
/* A content whose rows and runs are the last of their tables: likewise. */
SPK_CHECKED spk_status emit_store_content(struct emit *e, const struct img_content *c,
                                          uint32_t *out_content);
void emit_table_fini(struct emit_table *t);

/* emit_blocks.c: finds or makes the block of an axon on the current core. */
SPK_CHECKED spk_status emit_block(struct emit *e, const struct map_tile *tile,
                                  const struct map_axon *axon, uint32_t *out_block);
/* As emit_block for one atom of an axon (targets with discrete axons only). */
SPK_CHECKED spk_status emit_block_atom(struct emit *e, const struct map_tile *tile,
                                       const struct map_axon *axon, uint32_t *out_block);
/* The block of an enable spike: weight per compartment from `offset` on, bias part `coarse` or
 * fine. */
SPK_CHECKED spk_status emit_enable_block(struct emit *e, const struct map_tile *tile, bool coarse,
                                         uint32_t offset, uint32_t *out_block);
/* emit_routes.c: adds an out-axon of tile `src`, its destination's number in `route`; makes the
 * routes of all out-axons. */
SPK_CHECKED spk_status emit_out(struct emit *e, uint32_t src, const struct img_out_axon *axon);
SPK_CHECKED spk_status emit_routes(struct emit *e);
/* emit_host.c: encoder, head, sums, prices, meta; the ports of read-out and embedded tasks. */
SPK_CHECKED spk_status emit_host(struct emit *e, const char *provenance);
SPK_CHECKED spk_status emit_ports(struct emit *e);

#endif
