/* What the files of the chip back end share. */
#ifndef SPIKEC_BACKENDS_CHIP_EMIT_INTERNAL_H
#define SPIKEC_BACKENDS_CHIP_EMIT_INTERNAL_H

#include "backends/chip/emit.h"
#include "passes/map/block_map.h"
#include "support/vec.h"

/* An out-axon before it is sorted to its source core. */
struct emit_out {
    uint32_t src_core, comp_first, comp_count, atom_first;
    uint32_t dest, dest_core; /* enum img_dest; core, or embedded task */
    uint32_t dest_axon;
    uint8_t kind;
};

#define EMIT_VEC(type, name) VEC(type) name;
struct emit {
    const struct mapping *m;
    const struct map_net *net;
    const struct tgt *target;
    struct diag_list *diags;
    struct image *im;
    IMG_TABLES(EMIT_VEC)
    VEC(struct emit_out) outs;
    struct block_map content_map; /* key -> content, whole image */
    struct block_map core_blocks; /* key -> block, this core */
    VEC(uint32_t) core_formats;   /* this core's (shift, delay bits, kind) */
    uint32_t core;
};
#undef EMIT_VEC

/* emit_blocks.c: finds or makes the block of an axon on the current core. */
SPK_CHECKED spk_status emit_block(struct emit *e, const struct map_tile *tile,
                                  const struct map_axon *axon, uint32_t *out_block);
/* As emit_block for one atom of an axon (targets with discrete axons only). */
SPK_CHECKED spk_status emit_block_atom(struct emit *e, const struct map_tile *tile,
                                       const struct map_axon *axon, uint32_t *out_block);
/* The block of an enable spike: weight per compartment, bias part `coarse` or fine. */
SPK_CHECKED spk_status emit_enable_block(struct emit *e, const struct map_tile *tile, bool coarse,
                                         uint32_t *out_block);
/* emit_routes.c: sorts e->outs by source core, fills out_axons and routes. */
SPK_CHECKED spk_status emit_routes(struct emit *e);
/* emit_host.c: encoder, head, sums, prices, meta; the ports of read-out and embedded tasks. */
SPK_CHECKED spk_status emit_host(struct emit *e, const char *provenance);
SPK_CHECKED spk_status emit_ports(struct emit *e);

#endif
