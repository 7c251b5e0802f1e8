/* Open addressing with linear probing, at most half full. Keys are plain words, compared whole; a
 * key must be fully initialised (map_axon_key does). */
#include "passes/map/block_map.h"

#include <string.h>

#include "support/alloc.h"

static uint32_t key_slot(const struct map_block_key *k, uint32_t capacity)
{
    const uint32_t *w = (const uint32_t *)k;
    uint64_t h = 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < sizeof *k / sizeof *w; i++) {
        h = (h ^ w[i]) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    return (uint32_t)h & (capacity - 1);
}

static spk_status block_map_grow(struct block_map *map)
{
    struct block_map n = {NULL, NULL, map->capacity ? map->capacity * 2 : 64, map->n};
    SPK_TRY(spk_alloc_array(n.capacity, sizeof *n.key, &n.key));
    spk_status status = spk_alloc_array(n.capacity, sizeof *n.value, &n.value);
    if (status != SPK_OK) {
        spk_free(n.key);
        return status;
    }
    for (uint32_t i = 0; i < map->capacity; i++) {
        if (map->value[i] == 0)
            continue;
        uint32_t at = key_slot(&map->key[i], n.capacity);
        while (n.value[at] != 0)
            at = (at + 1) & (n.capacity - 1);
        n.key[at] = map->key[i];
        n.value[at] = map->value[i];
    }
    block_map_fini(map);
    *map = n;
    return SPK_OK;
}

spk_status block_map_add(struct block_map *map, const struct map_block_key *key, uint32_t value,
                         uint32_t *out_value, bool *out_new)
{
    if ((map->n + 1) * 2 > map->capacity)
        SPK_TRY(block_map_grow(map));
    uint32_t at = key_slot(key, map->capacity);
    while (map->value[at] != 0 && memcmp(&map->key[at], key, sizeof *key) != 0)
        at = (at + 1) & (map->capacity - 1);
    *out_new = map->value[at] == 0;
    if (*out_new) {
        map->key[at] = *key;
        map->value[at] = value + 1;
        map->n++;
    }
    *out_value = map->value[at] - 1;
    return SPK_OK;
}

void block_map_clear(struct block_map *map)
{
    if (map->capacity > 0)
        memset(map->value, 0, map->capacity * sizeof *map->value);
    map->n = 0;
}

void block_map_fini(struct block_map *map)
{
    spk_free(map->key);
    spk_free(map->value);
    *map = (struct block_map){0};
}
