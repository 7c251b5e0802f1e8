/* What the files of the SANA-FE back end share. */
#ifndef SPIKEC_BACKENDS_SANAFE_INTERNAL_H
#define SPIKEC_BACKENDS_SANAFE_INTERNAL_H

#include "backends/sanafe/sanafe.h"
#include "ir/image_walk.h"
#include "support/strbuf.h"

#define SANAFE_MAX_DELAY 5u

/* A text file that is written as it grows. */
struct sanafe_text {
    struct file_writer *file;
    struct strbuf text;
};
SPK_CHECKED spk_status sanafe_text_open(struct sanafe_text *t, const struct dir_writer *dir,
                                        const char *name, struct diag_list *d);
/* Writes out what has piled up. */
SPK_CHECKED spk_status sanafe_text_flush(struct sanafe_text *t);
/* Finishes the file where status is SPK_OK, else throws it away; returns the final status. */
SPK_CHECKED spk_status sanafe_text_close(struct sanafe_text *t, spk_status status);

/* A neuron of the host: one spike train, one input unit. */
struct sanafe_input {
    uint32_t source, neuron; /* as img_synapse; the currents of an image: n_sources + image, 0 */
    int32_t above;           /* spikes where the payload exceeds this */
    int64_t start;           /* our step of frame 0 of image 0 */
    uint64_t spikes;
    uint8_t *cores; /* [n_cores] 1: has synapses there */
};

struct sanafe {
    const struct image *im;
    const struct sanafe_run *run;
    struct diag_list *d;
    uint32_t tiles_x, tiles_y, per_tile;
    uint32_t offset;       /* step 0 of ours is step `offset` of SANA-FE, counted from 0 */
    uint32_t n_sources;    /* layers, then enable spikes of layers */
    uint8_t *in;           /* [n_layers] 1: in the segment; 0: beside it, or without compartments */
    uint32_t *group_first; /* [n_layers] group of channel 0; IMG_NONE: not in */
    struct img_config *config; /* [n_groups] */
    uint32_t n_groups;         /* of layers, one per channel; then padding where there is any */
    uint32_t n_padding;
    uint32_t first_input; /* group of the first input */
    uint64_t *comp_first; /* [n_cores + 1] */
    uint32_t *padding;    /* [all compartments] number among the padding, IMG_NONE: a neuron */
    uint64_t mapped;      /* compartments of the segment */
    struct sanafe_input *inputs; /* in the order of source, neuron, above */
    uint32_t n_inputs, inputs_cap;
    uint32_t max_delay;
    bool yaml;
    uint64_t edges, spikes;
    double between_pj;       /* messages between cores of a segment, see sanafe_segment.c */
    uint64_t current_events; /* synapses through which host currents come, over the run */
};

/* sanafe_inputs.c: makes the inputs of a run. fires: whether one does at our step `step`. */
SPK_CHECKED spk_status sanafe_inputs_make(struct sanafe *s);
bool sanafe_input_fires(const struct sanafe *s, const struct sanafe_input *i, int64_t step);
/* The inputs of a host source's neuron: how many, and the first of them. */
uint32_t sanafe_inputs_of(const struct sanafe *s, uint32_t source, uint32_t neuron,
                          uint32_t *out_first);
/* Steps that SANA-FE takes. */
uint64_t sanafe_timesteps(const struct sanafe *s);
/* Place of a core in SANA-FE: number of its tile, and within it. */
uint32_t sanafe_tile(const struct sanafe *s, uint32_t core, uint32_t *out_within);
/* Input units are dealt to the cores of the input tile, which is the last. */
#define SANAFE_INPUT_CORES 4u

/* sanafe_segment.c: chooses the layers; whether a compartment is in; what messages within a segment
 * cost (of a part of the network only: of all of it the simulation has counted them). */
SPK_CHECKED spk_status sanafe_segment_choose(struct sanafe *s);
bool sanafe_is_in(const struct sanafe *s, uint32_t core, uint32_t comp);
SPK_CHECKED spk_status sanafe_segment_messages(struct sanafe *s);
/* Energy of the hops from one tile to another. */
double sanafe_hops_pj(const struct sanafe *s, uint32_t from_tile, uint32_t to_tile);

SPK_CHECKED spk_status sanafe_write_arch(const struct sanafe *s, const struct dir_writer *dir);
SPK_CHECKED spk_status sanafe_write_network(struct sanafe *s, const struct dir_writer *dir);
SPK_CHECKED spk_status sanafe_write_expected(struct sanafe *s, const struct dir_writer *dir,
                                             double *out_energy_pj);

#endif
