/* What people look at: a compiled folder as one HTML page that opens offline, and its floor plan as
 * a vector drawing for papers.
 *
 * Both show what the folder's mapping.json, cost.json and verify.json hold, and nothing else: where
 * a figure is missing it stays missing, and the page says which command adds it. The same input
 * gives the same bytes. */
#ifndef SPIKEC_BACKENDS_REPORT_REPORT_H
#define SPIKEC_BACKENDS_REPORT_REPORT_H

#include "ir/constraints.h"
#include "ir/target.h"
#include "support/json.h"
#include "support/strbuf.h"
#include "support/vec.h"

/* What a core, a layer, a chip or the whole uses and does; per image from REP_EVENTS on. */
enum rep_figure {
    REP_NEURONS,
    REP_IN_AXONS,
    REP_OUT_AXONS,
    REP_SYNAPSE_BITS,
    REP_SYNAPSES,
    REP_EVENTS,
    REP_UPDATES,
    REP_UPDATES_ACTIVE,
    REP_SPIKES,
    REP_MESSAGES,
    REP_MESSAGES_IN,
    REP_HOPS,
    REP_ENERGY,
    REP_BUSY,
    REP_FIGURES
};
#define REP_LIMITED 4 /* the first of them have a limit per core */

struct rep_figure_info {
    const char *key;   /* in cost.json, and for --colour-by */
    const char *label; /* for people */
    const char *unit;
};
extern const struct rep_figure_info rep_figure_info[REP_FIGURES];

struct rep_source {
    uint32_t layer, delay;
};
struct rep_layer {
    const char *name, *kind, *attention; /* attention: NULL where there is none */
    uint32_t channels, height, width, start;
    double rate; /* that it was mapped with */
    uint32_t cores, guests;
    uint32_t source_first, n_sources;
    uint32_t group;             /* index into groups */
    uint32_t colour;            /* 0xRRGGBB */
    double figure[REP_FIGURES]; /* NaN: unknown */
    double energy[TGT_ENERGY_COUNT];
};
struct rep_tile {
    uint32_t layer, core;
    uint32_t range[6]; /* rows, columns, channels of the layer, half-open */
};
struct rep_core {
    uint32_t chip, x, y;
    bool engine;
    uint32_t tile_first, n_tiles; /* into core_tile */
};
struct rep_chip {
    uint32_t id, cores;
    double figure[REP_FIGURES];
};
struct rep_link { /* messages per image from a router to its neighbours */
    uint32_t x, y;
    double load[4]; /* east, west, south, north */
};

/* What the constraints of the folder say of places and cores: the floor plans show it. */
struct rep_place { /* in a chip in use; the first entry that forbids it */
    uint32_t chip, x, y, forbid;
};
struct rep_pinned { /* a core and a pin that holds it */
    uint32_t core, pin;
};
struct rep_marks {
    uint32_t n_forbid, n_pins;
    struct ctr_forbid *forbid;
    struct ctr_pin *pin;
    VEC(struct rep_place) places;  /* by chip, row, column */
    VEC(struct rep_pinned) pinned; /* by core, then pin */
};

/* A compiled folder, read. Strings belong to the JSON trees. */
struct rep_folder {
    const struct tgt *target;
    const struct json_value *mapping, *cost, *verify; /* verify NULL: not verified */
    uint32_t chips_x, chips_y, cores_x, cores_y, router_x, router_y;
    uint32_t images; /* simulated; 0: figures are predicted from rates */
    uint32_t timesteps;
    uint32_t n_layers, n_sources, n_tiles, n_cores, n_chips, n_links, n_groups;
    struct rep_layer *layer;
    struct rep_source *source;
    struct rep_tile *tile;
    uint32_t *core_tile;
    struct rep_core *core;
    double *core_figure; /* [n_cores][REP_FIGURES] */
    struct rep_chip *chip;
    struct rep_link *link;
    uint32_t links_w, links_h;    /* routers of all chips */
    char (*group)[64];            /* names of groups of layers */
    double limit[2][REP_LIMITED]; /* of neuron cores, of engines; NaN: none */
    double total[REP_FIGURES], total_energy[TGT_ENERGY_COUNT];
    struct rep_marks marks;
};
/* Reads and checks the trees, which must outlive *out; verify may be NULL. SPK_ERR_INPUT with the
 * place of what is wrong. rep_folder_fini in every case. */
SPK_CHECKED spk_status rep_folder_read(const struct json_cursor *mapping,
                                       const struct json_cursor *cost,
                                       const struct json_value *verify, const struct tgt *target,
                                       struct rep_folder *out);
void rep_folder_fini(struct rep_folder *f);

/* Of recorded values at most so many neurons of a layer are shown, evenly spaced, and so many
 * frames of each: whole images, at least one. */
#define REP_SAMPLED 160u
#define REP_SHOWN_FRAMES 64u
uint32_t rep_shown_images(uint64_t images, uint32_t timesteps);

/* Recorded spikes of a layer: rates of every frame, and a sample of neurons. */
struct rep_activity_layer {
    uint32_t layer;
    uint64_t neurons;
    double *rate;       /* [timesteps], mean over neurons and images */
    uint32_t n_sampled; /* neurons i * neurons / n_sampled */
    uint8_t *fired;     /* bits, [n_sampled][images_shown * timesteps], rows without gaps */
};
struct rep_activity {
    const char *file; /* name of the file that they come from */
    uint32_t images, images_shown, timesteps;
    uint32_t n_layers;
    struct rep_activity_layer *layer;
};

/* Probed neurons of a layer; membranes and thresholds are the chip's integers. */
struct rep_probed_neuron {
    uint32_t place[3]; /* channel, row, column */
    int64_t core;      /* that holds it; -1: none does */
    int32_t threshold;
};
struct rep_probed_layer {
    uint32_t layer;
    uint64_t neurons; /* in the file */
    uint32_t n_shown; /* neurons i * neurons / n_shown */
    struct rep_probed_neuron *neuron;
    int32_t *membrane; /* [n_shown][images_shown][timesteps]: compared with the threshold */
    uint8_t *fired;    /* bits, the same order, without gaps */
};
struct rep_probes {
    const char *file;  /* name of the file that they come from */
    const char *level; /* "Q", "M"; NULL: the file does not tell */
    uint64_t images;
    uint32_t images_shown, timesteps;
    uint32_t n_layers;
    struct rep_probed_layer *layer;
};

/* Whether the drawing library was there when the tool was built; without it there is no page. */
bool report_available(void);
/* The page; activity and probes may be NULL. */
SPK_CHECKED spk_status report_html(const struct rep_folder *f, const struct rep_activity *activity,
                                   const struct rep_probes *probes, struct strbuf *out);

/* The page of an exploration, from the text of its explore.json. */
SPK_CHECKED spk_status report_explore_html(const char *json, size_t length, struct strbuf *out);

struct floorplan_options {
    int colour_by;       /* enum rep_figure, or -1: layer */
    const char *subject; /* what is drawn, for title and legend */
    int64_t chip;        /* id, or -1: all in use */
};
/* SVG 1.1 of the cores in their places, with legend and scale. SPK_ERR_INPUT where no core lies on
 * the chip. */
SPK_CHECKED spk_status floorplan_svg(const struct rep_folder *f, const struct floorplan_options *o,
                                     struct strbuf *out);

/* Scale of figures from 0 to 1, colour-blind safe: 0xRRGGBB. */
uint32_t rep_scale_colour(double share);
#define REP_SCALE_STOPS 11
extern const uint32_t rep_scale_stop[REP_SCALE_STOPS];
/* Sets group and colour of every layer: a hue for each group, shades inside, greys for relays. */
SPK_CHECKED spk_status rep_colours(struct rep_folder *f);

#endif
