/* What an emitted image is expected to do: events, messages, hops, link loads and their prices per
 * image, from firing rates and the image's own tables, before anything is simulated.
 *
 * Steady state: images follow each other every `interval` steps. A neuron of a layer with rate r
 * fires r times per frame on average; a count relay of n summands sends when not all are 0, taken
 * as independent: 1 - (1 - r/n)^n. Rates are those the mapping was made with. */
#ifndef SPIKEC_BACKENDS_CHIP_PREDICT_H
#define SPIKEC_BACKENDS_CHIP_PREDICT_H

#include "ir/image.h"
#include "passes/map/map.h"

/* Expected counts per image; the meaning of each is that of the simulator's statistics. */
struct chip_events {
    double synaptic_events, neuron_updates, neuron_updates_active, spikes_out;
    double messages, messages_in, within_tile, hops_x, hops_y, hops_chip, host_writes;
    double energy_pj[TGT_ENERGY_COUNT]; /* 0 where the target has no price */
    double busy_ns;                     /* priced synaptic events and updates; of a sum: largest */
};

/* Load of one directed link between neighbouring routers. */
struct chip_link {
    uint32_t x, y;      /* router it leaves, in the grid of the routers of all chips */
    uint32_t direction; /* 0 east, 1 west, 2 south (y + 1), 3 north */
    double messages;    /* per image */
};
#define CHIP_HOT_LINKS 8
/* The router that it leaves, within its chip. */
struct chip_router {
    uint32_t chip, x, y;
};
struct chip_router chip_link_router(const struct img_meta *meta, const struct chip_link *link);
const char *chip_direction_name(uint32_t direction);

struct chip_prediction {
    uint64_t n_groups;
    struct chip_events *group; /* [image groups] */
    struct chip_events total;
    double host_in, host_out, embedded_in; /* messages of host and embedded processors */
    uint64_t links;                        /* links that carry anything */
    double link_mean, link_variance;       /* over all links of the chips' grid */
    uint32_t n_hot;
    struct chip_link hot[CHIP_HOT_LINKS]; /* fullest first */
    uint32_t grid_w, grid_h;              /* routers of all chips */
    double *load; /* [grid_h][grid_w][direction] messages per image over each link */
};

/* The image must be one that chip_emit made of this mapping. */
SPK_CHECKED spk_status chip_predict(const struct mapping *m, const struct image *im,
                                    struct chip_prediction *out);
void chip_prediction_fini(struct chip_prediction *p);
void chip_events_add(struct chip_events *sum, const struct chip_events *e);
/* Of all groups of a core; busy_ns is their sum. */
struct chip_events chip_events_of_core(const struct chip_prediction *p,
                                       const struct img_core *core);

#endif
