/* Mapping: a quantised, balanced module onto the cores of a target. Public header of the room.
 *
 *   map_run: network -> tiles -> cores -> system -> places.
 * The result is what back ends read: populations, projections, tiles, places. Nothing in it is
 * stored per synapse, but for networks that are cut neuron by neuron (neuron_cut.h). The same
 * module, target, options and seed give the same result. */
#ifndef SPIKEC_PASSES_MAP_MAP_H
#define SPIKEC_PASSES_MAP_MAP_H

#include "ir/constraints.h"
#include "passes/map/axons.h"
#include "passes/map/net.h"
#include "passes/place/place.h"
#include "support/pool.h"
#include "support/progress.h"

/* What the tile shapes are chosen for, all populations together. */
enum map_objective {
    MAP_CORES,   /* fewest cores, then fewest expected messages */
    MAP_TRAFFIC, /* expected messages times estimated hops, on at most MAP_SPREAD times the cores */
    MAP_ENERGY,  /* the same at the target's prices of hops and messages */
    MAP_LATENCY  /* least work of the busiest core per step, on as many */
};
#define MAP_SPREAD 4
/* First compartments of tiles are multiples of this, so that short axons can address them. */
#define MAP_COMP_ALIGN 4u

/* How a network is cut into tiles. */
enum map_cut {
    MAP_CUT_AUTO,   /* by tiles; sparse vectors of neurons by whichever serves the objective */
    MAP_CUT_TILES,  /* regular tiles of layers */
    MAP_CUT_NEURONS /* every neuron on its own (neuron_cut.h) */
};

struct map_options {
    enum map_objective objective;
    enum map_cut cut;
    const char *system; /* NULL: the smallest listed one that fits */
    uint64_t seed;
    enum place_engine placer;
    const struct map_rate *node_rate;      /* [module nodes]; NULL: declared */
    bool remarks;                          /* explain every layer's tile */
    bool separate_cores;                   /* no core holds more than one tile */
    bool no_places;                        /* estimates: stop at the system, leave `place` NULL */
    const struct constraints *constraints; /* of places; NULL: none. Outlive the mapping */
    bool *out_ended_early;                 /* as of struct place_options */
    struct pool *pool;                     /* may be NULL */
    struct progress *progress;             /* may be NULL */
};

/* Use of one core, counted from its axons. */
struct map_usage {
    bool engine; /* an attention engine, not a neuron core */
    uint32_t neurons, configs, formats;
    uint64_t in_axons, out_axons, synapse_bits;
};

struct map_place {
    uint32_t chip, x, y; /* x, y within the chip */
};

/* A chip in use: its number in the system (row by row), whether neuron cores may go there. */
struct map_chip {
    uint32_t number;
    bool neurons;
};

/* Figures of a placement, per frame, of the expected messages between cores; those between tiles of
 * one core are none. */
struct map_placing {
    double traffic;    /* hops of all messages, chip borders included; multicast: links of trees */
    double cost;       /* the same at the costs that were minimised */
    double messages;   /* one for each destination core */
    double over_chips; /* of these, the ones that leave their chip */
    uint32_t max_hop;
};

struct mapping {
    struct map_net net;
    uint32_t n_engines;         /* the last so many tiles and cores are those of engines */
    VEC(struct map_tile) tiles; /* by population */
    struct map_usage *usage;    /* [tiles] */
    uint32_t n_cores;
    uint32_t *core_first, *core_tile; /* [n_cores + 1], [tiles]: tiles of core i in the order of
                                         their compartments, core_tile[core_first[i]] and up */
    struct map_place *place;          /* [n_cores], NULL where no places were asked for */
    const struct tgt_system *system;
    uint32_t n_chips;                            /* in use, in the order in which they are filled */
    struct map_chip *chip;                       /* [n_chips] on the network's arena */
    uint32_t block_x, block_y, block_w, block_h; /* the block of chips around them */
    const struct constraints *constraints;       /* or NULL */
    uint64_t seed;
    enum place_engine placer;
    enum map_cut cut; /* TILES or NEURONS */
    struct map_placing layer_order, placed;
};

/* SPK_ERR_NOFIT with layer, resource, need, have and the smallest change that fits. The module and
 * the target must outlive the mapping. */
SPK_CHECKED spk_status map_run(const struct ir_module *module, const struct tgt *target,
                               const struct map_options *options, struct diag_list *diags,
                               struct mapping *out);
void map_fini(struct mapping *m);
/* Names of the command line: "auto", "tiles", "neurons"; false where there is none of that name. */
bool map_cut_find(const char *name, enum map_cut *out_cut);
const char *map_cut_name(enum map_cut cut);

/* --- rooms inside --- */

/* partition.c: sets the tile shapes of all populations, fills tiles and usage. */
SPK_CHECKED spk_status map_partition(struct mapping *m, const struct map_options *options,
                                     struct diag_list *diags);
/* cores.c: sets the core and the first compartment of every tile, and what a tile uses there. */
SPK_CHECKED spk_status map_assign_cores(struct mapping *m, const struct map_options *options);
/* Tiles of the shapes that are set, without cores. */
SPK_CHECKED spk_status map_make_tiles(struct mapping *m);
/* Use of a core: the sum of its tiles; configurations and formats that tiles have in common count
 * for each. */
struct map_usage map_core_usage(const struct mapping *m, uint32_t core);
/* tile_usage.c: usage of one tile but for out-axons, which depend on its consumers; the sources are
 * cut already. */
SPK_CHECKED spk_status map_tile_usage(const struct map_net *net, const struct map_tile *tile,
                                      struct map_usage *out);
/* Whether the thresholds of a population's tiles take configurations that the target limits. */
bool map_configs_count(const struct map_net *net, const struct map_pop *p);
/* Number of cores that map_assign_cores would make, one order of kinds tried. */
SPK_CHECKED spk_status map_count_cores(struct mapping *m, uint32_t *out_cores);
/* Whether tiles may share cores at all. */
bool map_shares_cores(const struct map_net *net, const struct map_options *options);
/* measure.c: usage of all tiles, out-axons included. */
SPK_CHECKED spk_status map_measure(struct mapping *m);
/* The same where only the cut of one population changed: of itself, of those that read it, and the
 * out-axons of those that it reads; m->usage has room for all tiles. */
SPK_CHECKED spk_status map_measure_around(struct mapping *m, uint32_t pop);
/* out_axons.c: sets out_axons of the usage of all tiles of the populations in `which` (NULL: all):
 * consumers, read-out and embedded ports. */
SPK_CHECKED spk_status map_count_out_axons(struct mapping *m, const bool *which);
/* Row (column) tiles [*first, *last] of a consumer with `size` rows in tiles of `tile` that read
 * source row `at`; false where none does. */
bool map_axis_range(const struct map_proj *p, bool columns, uint32_t at, uint32_t size,
                    uint32_t tile, uint32_t *first, uint32_t *last);
/* Their number. */
uint32_t map_axis_tiles(const struct map_proj *p, bool columns, uint32_t at, uint32_t size,
                        uint32_t tile);
/* Memory that a task takes of an attention engine. */
uint64_t map_engine_task_bits(const struct tgt *t, const struct img_embedded *task);
/* In-axons per source position that target channels c0 .. c0 + nc - 1 need from one alias. */
uint32_t map_source_chunks(const struct map_net *net, const struct map_proj *p, uint32_t source,
                           uint32_t c0, uint32_t nc);
struct map_tile map_tile_at(const struct map_net *net, uint32_t pop, uint32_t gy, uint32_t gx,
                            uint32_t gc);

/* mesh.c: sets the system, the smallest listed one that fits or the one that is named, and its
 * chips in use. */
SPK_CHECKED spk_status map_choose_system(struct mapping *m, const char *forced,
                                         struct diag_list *diags);
/* constrain.c: whether the layers and places exist that the constraints name; sets pin_class of the
 * populations. SPK_ERR_INPUT with the place in the file. */
SPK_CHECKED spk_status map_constrain(struct mapping *m, const struct constraints *constraints,
                                     struct diag_list *diags);
/* The same, once the system is chosen: for every neuron core the places that it may take. An empty
 * `out` (n 0, of NULL): no core is pinned. SPK_ERR_NOFIT where there are too few. */
struct map_mesh;
SPK_CHECKED spk_status map_pin_cores(const struct mapping *m, const struct map_mesh *mesh,
                                     struct diag_list *diags, struct place_regions *out);
void map_pins_fini(struct place_regions *pins);
/* Whether a chip must be in use because something is pinned to it, and whether a chip beyond the
 * first n must. */
bool map_chip_pinned(const struct mapping *m, uint32_t chip);
bool map_pinned_beyond(const struct mapping *m, uint64_t n);
/* Whether a place is forbidden or reserved, and of a chip, all of it. */
bool map_forbidden(const struct mapping *m, uint32_t chip, uint32_t x, uint32_t y);
bool map_chip_forbidden(const struct mapping *m, uint32_t chip);
/* place.c: chooses a system and a place for every core. */
SPK_CHECKED spk_status map_place_cores(struct mapping *m, const struct map_options *options,
                                       struct diag_list *diags);

#endif
