/* Chip simulator (level M): executes a chip image step by step, event driven, in the integer
 * arithmetic of docs/integers.md. It reads nothing but struct image, so what it computes is what
 * the emitted tables say and not what some compiler pass believed.
 *
 * One step s: the host writes encoder currents of the layer whose window opens; every core updates
 * its compartments and fires; spikes become messages (out-axon, route, destination core, in-axon);
 * host and embedded processors inject theirs; all messages due are processed by the destination
 * cores, whose compartments see them at step s + 1. A spike fired at s through an in-axon with
 * delay d is seen at s + 1 + d. Images follow each other every `interval` steps and nothing is
 * reloaded between them; sim_run starts from a freshly loaded chip (all state zero).
 *
 * Conventions that the image leaves open:
 *   ENABLE injections send atom 0; EMBEDDED and EVENTS send atom = channel - channel_first;
 *   biases (static and host-written) act on valid frames only.
 *
 * Results are the same for any number of threads: messages only ever add integers modulo 2^32. */
#ifndef SPIKEC_RUNTIME_SIM_H
#define SPIKEC_RUNTIME_SIM_H

#include "ir/engine.h"
#include "ir/image.h"
#include "ir/probe.h"
#include "ir/target.h"

struct pool;
struct sim;

/* A recorded value: a layer with `recorded` set, or a sum of layers. */
struct sim_value {
    const char *name;
    uint32_t layer;  /* index into image->layers, IMG_NONE for a sum */
    uint32_t sum;    /* index into image->sums, IMG_NONE for a layer */
    uint32_t layout; /* enum ir_layout */
    uint32_t timesteps, channels, height, width;
    bool is_i32; /* data is int32_t, else uint8_t; i32 where the bound exceeds 255 */
};

/* Called on the thread of sim_run, images in order, within an image the layers in table order,
 * then the sums. data: [T, axes in layout], valid during the call.                              */
struct sim_recorder {
    void *ctx;
    spk_status (*value)(void *ctx, uint32_t image, const struct sim_value *value, const void *data);
};

struct sim_run {
    struct engine_input input;           /* encoder: f32 [C,H,W]; events: f32 [T,C,H,W] per image */
    float *logits;                       /* [n_images, classes], may be NULL */
    int64_t *features;                   /* [n_images, channels] integer counts, may be NULL */
    const struct sim_recorder *recorder; /* may be NULL */
    const struct probe_run *probe;       /* may be NULL; SPK_ERR_INPUT (E0843) for neurons that have
                                            no membrane */
    struct pool *pool;                   /* NULL: serial */
    bool (*cancelled)(void *ctx);        /* may be NULL; polled before each step */
    /* NULL: cancelling is SPK_ERR_CANCELLED. Else, once an image is finished, no more are begun and
     * those under way are finished: everything is then as of a run of so many images. */
    uint32_t *out_images;
    void (*progress)(void *ctx, uint64_t done, uint64_t total); /* may be NULL */
    void *progress_ctx;                                         /* handed to both */
};

/* Events of one group, core or chip over a whole run. What is counted:
 *   synaptic_events   synapses processed: for each message that arrives, the stored synapses of
 *                     its row (zero weights included), whatever its payload;
 *   payload_events    the same, times the payload's magnitude;
 *   updates_active    compartment-steps with state, input or bias not all zero;
 *   updates_touched   of the others those at which synapses were processed, where that has a price
 *                     (padding too); on other chips they are inactive;
 *   updates_inactive  all other compartment-steps (every compartment of the core is visited once
 *                     per step, padding included);
 *   spikes_out        spikes fired, graded or not, however many destinations they have;
 *   messages_out      one per spike and out-axon entry: one destination core (or port); where the
 *                     chip sends one message per core, one per spike and route; a graded
 *                     spike is one message;
 *   messages_in       messages that arrive from cores, host or embedded processors; a host count
 *                     wider than the payload takes several (binary chips: count of them);
 *   within_tile, hops_x, hops_y, hops_chip   sums over messages_out of the route's numbers;
 *   engine_words      AND and popcount of a word, by an attention engine; its neurons are no
 * updates; engine_additions  its additions: a row of counts per spike of q (of v where (q k^T) v is
 * its order), and one per membrane and frame; host_writes       bias words the host writes: one per
 * compartment at window start and one at its end. */
struct sim_events {
    uint64_t synaptic_events, payload_events;
    uint64_t updates_active, updates_inactive, updates_touched;
    uint64_t spikes_out, messages_out, messages_in;
    uint64_t within_tile, hops_x, hops_y, hops_chip;
    uint64_t host_writes;
    uint64_t engine_words, engine_additions;
    double energy_pj[TGT_ENERGY_COUNT]; /* NaN where unpriced and not zero events */
    double energy_total_pj;             /* sum of what is priced */
    double busy_ns;                     /* synaptic events and updates, priced ones */
};

struct sim_stats {
    uint64_t images, steps, ticks; /* ticks of all steps */
    uint32_t n_cores;
    uint32_t n_groups;
    struct sim_events *core;  /* [n_cores] sums over its groups */
    struct sim_events *group; /* [n_groups]; busy_ns is the group's part */
    struct sim_events total;  /* sums; embedded operations are priced here only; busy_ns is
                                     the busiest core's */
    uint64_t n_routes;
    uint64_t *route_messages; /* [n_routes] */
    uint64_t max_route_messages;
    uint64_t max_link_load;   /* messages over the busiest router-to-router link, XY paths */
    uint32_t link_w, link_h;  /* routers of all chips; 0 where there are too many */
    uint64_t *link_load;      /* [link_h][link_w][4] east, west, south, north; or NULL */
    uint64_t injections;      /* messages injected by host and embedded processors */
    uint64_t host_spikes;     /* messages received by the host */
    uint64_t embedded_spikes; /* messages received by embedded processors */
    uint64_t embedded_ops;    /* of processors: 2 * tokens * channels * (channels / heads), or
                               * tokens where (q k^T) v is the order, per frame and task */
    uint64_t spikes_outside_windows;
    uint32_t outside_layer, outside_core; /* of the first such spike; IMG_NONE: none */
    uint64_t outside_step;
    uint64_t wraps;           /* currents that left the state width, payloads theirs */
    double time_ns;           /* sum over steps of (busiest core + barrier), priced parts */
    double barrier_ns;        /* per step, interpolated over the used tiles of the fullest chip */
    uint32_t unpriced_energy; /* bit e: enum tgt_energy e occurred and has no price */
    uint32_t unpriced_time;   /* bit t: enum tgt_time t likewise */
};

/* Makes an image ready. Errors: SPK_ERR_INPUT (E0841: an index, range or combination that cannot
 * be executed), SPK_ERR_NOMEM. The image must outlive the simulator and is not changed.         */
spk_status sim_create(const struct image *im, struct diag_list *d, struct sim **out) SPK_CHECKED;
void sim_destroy(struct sim *s); /* NULL is allowed */

/* Runs images back to back for (n_images - 1) * interval + latency steps. Errors: SPK_ERR_INPUT
 * (E0842: input not finite, event counts negative or fractional), SPK_ERR_CANCELLED, SPK_ERR_NOMEM,
 * and whatever the recorder returns. Can be called again.                                       */
spk_status sim_run(struct sim *s, const struct sim_run *r, struct diag_list *d) SPK_CHECKED;

/* Host currents of one image [channel][position of the encoder's layer], which the image must have.
 */
spk_status sim_encode(const struct image *im, const float *image, int32_t *out) SPK_CHECKED;

/* Statistics of the last sim_run; owned by the simulator, valid until the next run. */
const struct sim_stats *sim_statistics(const struct sim *s);

/* Where neuron (channel, position) of a layer lives; false where no compartment holds it. */
bool sim_locate(const struct sim *s, uint32_t layer, uint32_t channel, uint32_t position,
                uint32_t *out_core, uint32_t *out_compartment);
/* Layer of that name, IMG_NONE when there is none. */
uint32_t sim_find_layer(const struct sim *s, const char *name);

#endif
