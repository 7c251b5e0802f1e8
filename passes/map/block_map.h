/* Hash map from synapse-block keys to 32-bit values (open addressing, insertion only). */
#ifndef SPIKEC_PASSES_MAP_BLOCK_MAP_H
#define SPIKEC_PASSES_MAP_BLOCK_MAP_H

#include "passes/map/axons.h"

/* Zero-initialised is empty. */
struct block_map {
    struct map_block_key *key;
    uint32_t *value; /* value + 1; 0 = free */
    uint32_t capacity, n;
};

/* Finds the key or inserts it with `value`; *out_value is the stored one, *out_new tells which. */
SPK_CHECKED spk_status block_map_add(struct block_map *map, const struct map_block_key *key,
                                     uint32_t value, uint32_t *out_value, bool *out_new);
void block_map_clear(struct block_map *map); /* keeps the memory */
void block_map_fini(struct block_map *map);

#endif
