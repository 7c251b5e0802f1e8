/* What the files of the simulator share: the prepared tables and the state of a run.
 *
 * Neurons are numbered through, group by group ((y * nx + x) * nc + c within one), and so are the
 * compartments of all cores, padding included: synapses add to accumulators by compartment, all
 * else is kept in flat arrays over neurons. Cores are dealt to a fixed number of
 * chunks (core id modulo n_chunks); a chunk is the unit of parallel work, both when firing (it
 * owns its cores' state) and when delivering (it owns their accumulators). Messages wait in lists
 * by (due step modulo ring depth, source chunk, destination chunk); source chunk n_chunks is the
 * host. Files: sim_create.c (tables), sim_axons.c (axon tables), sim_update.c (neurons),
 * sim_deliver.c (synapses), sim_host.c (encoder, injections, head), sim_embedded.c (attention on
 * embedded processors), sim_record.c (recorded values), sim_run.c (loop), sim_stats.c (pricing). */
#ifndef SPIKEC_RUNTIME_SIM_INTERNAL_H
#define SPIKEC_RUNTIME_SIM_INTERNAL_H

#include "runtime/sim.h"
#include "support/vec.h"

#define SIM_MAX_CHUNKS 32u
#define SIM_MAX_DELAY 4096u
#define SIM_MAX_TICKS 65535u

struct sim_group {
    uint32_t core, layer;
    uint32_t first; /* its first neuron */
    uint32_t n;
    uint32_t comps; /* compartments that are visited on its account, padding included */
    uint32_t y0, x0, c0, ny, nx, nc;
    uint32_t comp;                /* its first compartment, counted through all cores */
    uint32_t pitch, slice, plane; /* as img_group; plain: neuron i is compartment comp + i */
    bool plain;
    int32_t keep; /* 4096 - decay */
    int32_t current_keep;
    uint8_t program; /* enum img_program */
    bool soft_reset;
    bool has_bias; /* static bias or host current: runs on every valid frame */
    bool host;     /* host_current */
    bool always;   /* some threshold <= 0: cannot be skipped when quiet */
    bool active;   /* state: some v is not 0 */
};

struct sim_core {
    uint32_t first, neurons; /* global compartments */
    uint32_t group_first, n_groups;
    uint32_t plastic_first, n_plastic; /* learning blocks, into sim.plastic */
};

/* What a message means beyond being added at once: see sim_ticks.c. */
enum sim_ticks { SIM_PLAIN, SIM_LEARN, SIM_TEACH, SIM_READ, SIM_PORT, SIM_TASK };

/* A point of a probe: neuron of its group or task. */
struct sim_seat {
    uint32_t owner, neuron, point;
};

/* A learning block: the ticks of this step at which a row had a pre-synaptic and a column a
 * post-synaptic spike; weights [n_rows][longest] of a row, formed for reads at tick formed - 1. */
struct sim_plastic {
    uint32_t block, n_rows, width, longest, most;
    uint32_t base; /* global compartment of the first teacher, IMG_NONE: never taught */
    uint64_t *pre, *post;
    uint16_t *weight;
    uint32_t *formed;
    bool touched;
};

/* An in-axon made ready for delivery. */
struct sim_axon {
    uint32_t core, group; /* group: whose neurons it reaches */
    uint32_t content;
    uint32_t base;   /* LIST: global compartment of the base; CONV: target group */
    uint16_t sy, sx; /* CONV: source position */
    uint16_t delay;
    uint16_t atoms;
    uint32_t row; /* of atom 0 */
    uint8_t kind, shift, port;
    uint8_t ticks;    /* enum sim_ticks */
    uint32_t plastic; /* LEARN, READ: index into sim.plastic */
};

/* An out-axon made ready: where a spike of its compartments goes. */
struct sim_out {
    uint32_t first; /* neuron of atom 0; may lie below 0, modulo 2^32 */
    uint32_t count; /* neurons; 0: the entry is one of padding */
    uint32_t route;
    uint32_t target; /* core: global in-axon; embedded: task; host: port */
    uint32_t port;   /* embedded: index into embedded_ports[] */
    uint8_t dest;    /* enum img_dest */
};

struct sim_spike {
    uint32_t neuron; /* counted through; of the host: the atom */
    int32_t payload;
};
struct sim_spikes VEC_FIELDS(struct sim_spike);

/* Spikes first .. first + n - 1 of the source chunk's list, on their way to one in-axon; `atom` is
 * that of the first, the others follow from their neurons. */
struct sim_message {
    uint32_t axon, core;
    uint32_t first;
    uint16_t atom, n; /* in-axons have at most 65,535 atoms; n is at least 1 */
};
struct sim_messages VEC_FIELDS(struct sim_message);

/* One spike for an axon that minds the tick at which it left. */
struct sim_late {
    uint32_t axon;
    uint16_t atom, tick;
    int32_t payload;
};
struct sim_lates VEC_FIELDS(struct sim_late);

/* Spikes of this step on their way to host or embedded processor. */
struct sim_note {
    uint32_t out; /* index into outs[] */
    uint32_t first, n;
};
struct sim_notes VEC_FIELDS(struct sim_note);

/* A message whose time has come, and the list that its spikes are in. */
struct sim_due {
    struct sim_message message;
    uint32_t from;
};
struct sim_dues VEC_FIELDS(struct sim_due);

struct sim_task { /* state of an attention task */
    const struct img_embedded *def;
    uint32_t depth;  /* frames in flight */
    uint32_t words;  /* 64-bit words per channel of tokens */
    uint32_t dim;    /* channels of a head */
    uint32_t planes; /* of a frame: heads x (dim of q, dim of k, columns of v) */
    uint32_t nc;     /* channels computed: heads x columns */
    uint64_t *bits;  /* [depth][planes][words] */
    int32_t *v;      /* [tokens][nc] */
    int32_t *h;      /* the same, before the reset of the last frame */
    int32_t *counts; /* [dim][columns] of one head, scratch */
    int32_t *sums;   /* [tokens][columns] of one head, scratch */
    int32_t *fired;  /* [tokens][nc] */
};

struct sim_keep {    /* recording of one layer */
    uint64_t offset; /* bytes from the start of an image's slot, IMG: not kept */
    bool kept, is_i32;
};

struct sim_chunk { /* counters and buffers that one chunk owns */
    struct sim_notes notes;
    uint64_t wraps, outside;
    uint64_t outside_step;
    uint32_t outside_layer, outside_core;
    int32_t *fired;          /* scratch: payload per neuron, size of the largest group */
    int32_t *input, *input1; /* scratch: accumulators of a group that is not plain */
    uint32_t *core_first;    /* scratch of delivery: [cores of the chunk + 1] */
    struct sim_dues dues;    /* scratch of delivery: what is due, sorted by core */
    /* sim_ticks.c: spikes of one core that wait for its last message, the same sorted by tick, the
     * ranges of ticks [ticks + 1], sums of the two ports at one tick [neurons of the largest core]
     */
    struct sim_lates late, sorted;
    uint32_t *tick_first;
    int32_t *port[2];
};

struct sim {
    const struct image *im;
    uint32_t n_cores, n_groups, n_chunks, n_axons, n_outs, n_layers;
    uint32_t n_comps, n_neurons;
    struct sim_core *cores;
    struct sim_group *groups;
    uint32_t *layer_group_first; /* CSR: groups by layer */
    uint32_t *layer_groups;
    struct sim_axon *axons;
    struct sim_out *outs;
    uint32_t *segment;       /* [n_neurons] segment of equal out-axons */
    uint32_t *segment_first; /* CSR over segments into segment_outs */
    uint32_t *segment_outs;
    uint8_t *segment_repeats; /* of segment_outs: its route has been counted; NULL: none has */
    uint64_t n_segments;
    uint32_t ring; /* depth of the message ring: largest delay + 1 */

    int32_t *vth, *bias, *static_bias; /* [n_neurons] */
    int32_t *v;                        /* [n_neurons] */
    int32_t *u;                        /* [n_neurons] decaying currents; NULL: no group has any */
    int32_t *acc, *acc1;               /* [n_comps]; acc1 (port 1) may be NULL */
    uint8_t *dirty;                    /* [n_cores]: accumulators hold input */
    uint8_t *touched;           /* [n_comps]: synapses were processed; NULL: that has no price */
    struct sim_messages *lists; /* [ring][n_chunks + 1][n_chunks], by due step */
    struct sim_spikes *spikes;  /* [ring][n_chunks + 1], by the step fired at */
    struct sim_chunk *chunks;   /* [n_chunks] */
    uint32_t n_tasks;
    struct sim_task *tasks;
    uint32_t *core_task; /* [n_cores] task of an attention engine, IMG_NONE: neuron core */
    int64_t max_payload; /* 1 on binary chips */
    bool any_ports;
    uint32_t tick_words; /* of a set of ticks */
    VEC(struct sim_plastic) plastic;

    /* one run */
    const struct sim_run *run;
    struct sim_seat *seats; /* of the run's probe, by owner: groups, then tasks; or NULL */
    uint32_t *seat_first;   /* [n_groups + n_tasks + 1] */
    uint32_t n_images;      /* of the run: fewer than its input has where it was cancelled */
    uint64_t step, n_steps;
    int32_t *frame;        /* [n_layers] valid frame at this step, or -1 */
    uint32_t *image;       /* [n_layers] its image */
    uint32_t n_slots;      /* images in flight */
    uint64_t slot_bytes;   /* recording */
    uint32_t n_records;    /* slots with recording: n_slots, or the images of the run if fewer */
    uint8_t *record;       /* [n_records][slot_bytes], NULL without recorder */
    struct sim_keep *keep; /* [n_layers] */
    int32_t *sum_buffer;   /* scratch of the largest sum */
    int64_t *counts;       /* [n_slots][head channels] */
    int32_t *pixels;       /* encoder: one image as integers */
    struct sim_stats stats;
    uint64_t *last_events, *last_active; /* [n_groups] at the previous step's end */
    uint64_t *active_updates;            /* [n_groups] running */
    uint64_t *touched_updates;           /* [n_groups] of this step; NULL as `touched` */
    uint32_t fullest_chip;               /* cores in use on the chip that has most of them */
};

/* sim_create.c */
uint64_t sim_layer_elements(const struct img_layer *l);

/* sim_axons.c: in-axons, out-axons, segments, ring depth and message lists. */
spk_status sim_build_axons(struct sim *s, struct diag_list *d) SPK_CHECKED;

/* sim_update.c: pool function, fires the cores of one chunk. */
spk_status sim_fire_chunk(void *ctx, uint32_t chunk, uint32_t worker);
/* The spikes that source chunk `from` fires at step `step`; those of the last `ring` steps. */
struct sim_spikes *sim_spikes_of(const struct sim *s, uint64_t step, uint32_t from);
/* Appends a message of source chunk `from`: spikes [first, first + n) that it fires at this step.
 */
spk_status sim_send(struct sim *s, uint32_t from, uint32_t axon, uint32_t comp, size_t first,
                    size_t n) SPK_CHECKED;

/* sim_deliver.c: pool function, processes the messages due for the cores of one chunk. */
spk_status sim_deliver_chunk(void *ctx, uint32_t chunk, uint32_t worker);

/* sim_add.c: acc[i] += payload * (w[i] << shift), modulo 2^32. */
/* sim_probe.c */
spk_status sim_probe_begin(struct sim *s, struct diag_list *d) SPK_CHECKED;
void sim_probe_clear(struct sim *s);
void sim_probe_put(struct sim *s, const struct sim_seat *seat, uint32_t layer, int32_t membrane,
                   bool fired);
/* The last frame of a task, whose points are those of `owner`. */
void sim_probe_task(struct sim *s, const struct sim_task *t, uint32_t owner);

void sim_add_run(int32_t *acc, const int8_t *w, uint32_t n, uint32_t shift, int32_t payload);
/* acc[i] += sum over k < n_rows of payload[k] * (w[row[k] + i] << shift), modulo 2^32; payload
 * NULL: all 1. The magnitudes of the payloads add up to at most SIM_ROWS_MAX. */
#define SIM_ROWS_MAX 255u
void sim_add_rows(int32_t *acc, const int8_t *w, const size_t *row, const int16_t *payload,
                  uint32_t n_rows, uint32_t n, uint32_t shift);

/* sim_ticks.c. axon: after the axon's other fields are set, axons of a core one after the other;
 * extent: one more than its content's largest target. create: when all axons are there. take: a
 * message to an axon whose `ticks` is not PLAIN: of source chunk `from`, its first spike has atom
 * `atom`; adds what it costs to synapses per spike. finish: after the last message of a core.   */
spk_status sim_ticks_axon(struct sim *s, uint32_t index, uint64_t extent,
                          struct diag_list *d) SPK_CHECKED;
spk_status sim_ticks_create(struct sim *s) SPK_CHECKED;
void sim_ticks_destroy(struct sim *s);
void sim_ticks_reset(struct sim *s);
spk_status sim_ticks_take(struct sim *s, uint32_t chunk, const struct sim_due *due,
                          const struct sim_spike *spike) SPK_CHECKED;
spk_status sim_ticks_finish(struct sim *s, uint32_t chunk, uint32_t core) SPK_CHECKED;

/* sim_touched.c: compartments at rest that get input. mark: n spikes reach axon a, atoms from that
 * of `spike` on. count: when a group updates: its neurons' currents, and their biases or second
 * currents (NULL: none); input NULL: it does not update at this step. */
spk_status sim_touched_create(struct sim *s) SPK_CHECKED;
void sim_touched_destroy(struct sim *s);
void sim_touched_reset(struct sim *s);
void sim_touched_mark(const struct sim *s, const struct sim_axon *a, uint32_t neuron,
                      const struct sim_spike *spike, uint32_t n);
void sim_touched_count(struct sim *s, const struct sim_group *g, const int32_t *input,
                       const int32_t *other);

/* sim_host.c */
spk_status sim_host_check_input(const struct sim *s, const struct sim_run *r,
                                struct diag_list *d) SPK_CHECKED;
spk_status sim_host_write_currents(struct sim *s) SPK_CHECKED; /* where a window opens */
spk_status sim_host_inject(struct sim *s) SPK_CHECKED;         /* EVENTS, ENABLE, EMBEDDED */
/* n spikes of compartments that out-axon o covers. */
void sim_host_collect(struct sim *s, const struct sim_out *o, const struct sim_spike *spike,
                      uint32_t n);
void sim_host_finish(struct sim *s, uint32_t image); /* features and logits of an image */

/* sim_embedded.c */
spk_status sim_embedded_create(struct sim *s, struct diag_list *d) SPK_CHECKED;
void sim_embedded_destroy(struct sim *s);
void sim_embedded_reset(struct sim *s);
void sim_embedded_collect(struct sim *s, const struct sim_out *o, const struct sim_spike *spike,
                          uint32_t n);
void sim_embedded_step(struct sim *s); /* computes the frames that processors fire at this step */
/* Attention engines. reads: whether channels [first, first + n) of an operand are a task's. take: a
 * message to an engine. fire: computes the frame due; what each neuron of the core's group fires,
 * NULL: nothing. */
bool sim_task_reads(const struct image *im, uint32_t task, uint32_t operand, uint64_t first,
                    uint64_t n);
void sim_task_take(struct sim *s, const struct sim_due *due, const struct sim_spike *spike);
const int32_t *sim_engine_fire(struct sim *s, uint32_t core, uint64_t *wraps);

/* sim_record.c */
spk_status sim_record_plan(struct sim *s, struct diag_list *d) SPK_CHECKED;
spk_status sim_record_begin(struct sim *s) SPK_CHECKED;
void sim_record_put(struct sim *s, uint32_t layer, uint32_t channel, uint32_t position,
                    int32_t payload);
spk_status sim_record_finish(struct sim *s, uint32_t image) SPK_CHECKED;

/* sim_stats.c */
spk_status sim_stats_create(struct sim *s) SPK_CHECKED;
void sim_stats_reset(struct sim *s);
void sim_stats_step(struct sim *s); /* busy times of the step just done */
/* n messages along a route. */
void sim_count_route(struct sim_events *e, const struct img_route *r, uint64_t n);
spk_status sim_stats_finish(struct sim *s) SPK_CHECKED;
void sim_stats_destroy(struct sim *s);

#endif
