/* Back end `sanafe`: the network of a chip image as input files of the simulator SANA-FE (GPL-3;
 * nothing of it is contained here), with what it should give.
 *
 *   arch.yaml                       the chip: compute tiles at the image's prices, one tile of
 * inputs network.net, or network.yaml    groups, edges, mapping (YAML for small networks) run.sh
 * runs `sim` (or $SANAFE_SIM) into results/ expected.json                   steps, layers of the
 * groups, energies expected_spikes.csv             spikes in the format of SANA-FE's spikes.csv
 *
 * Numbers: a membrane unit is 1/64 in SANA-FE, whose cut of the decayed membrane to 1/64 is then
 * that of docs/integers.md, and whose strict comparison is >= with thresholds lowered by 2^-20
 * units. */
#ifndef SPIKEC_BACKENDS_SANAFE_H
#define SPIKEC_BACKENDS_SANAFE_H

#include "ir/image.h"
#include "ir/target.h"
#include "support/file.h"

/* What a simulation of the same images gave, over the whole run. */
struct sanafe_run {
    uint32_t n_images;
    int32_t *const *values;  /* per layer: [image][frame][neuron], neuron = channel, position */
    const int32_t *currents; /* host currents: [image][neuron]; NULL: no encoder */
    double barrier_ns;
    double energy_pj[TGT_ENERGY_COUNT];
    double (*group_pj)[2]; /* of every group of the image: synapses, neurons and their spikes */
    uint32_t segment, n_segments; /* which part of the network, of how many; 0, 1: all of it */
    uint64_t messages_outside;    /* to host and embedded processors: not in SANA-FE's network */
};
/* A segment is the layers between two cuts of the image's order of layers, cut so that all segments
 * have about the same number of synapses. Layers before it that it hears are inputs, which fire
 * what they fired in the simulation. */
struct sanafe_figures {
    uint64_t timesteps, groups, neurons, inputs, edges, spikes;
    double energy_pj; /* expected, inputs included */
    bool yaml;
};

/* Writes the files below `dir`. Refused (SPK_ERR_INPUT): images whose chip SANA-FE cannot be
 * (E0720: other neurons than hard-wired ones, several chips, messages per out-axon entry, delays
 * above 5), prices that are missing (E0721). */
spk_status sanafe_export(const struct image *im, const struct sanafe_run *run,
                         const struct dir_writer *dir, struct diag_list *d,
                         struct sanafe_figures *out) SPK_CHECKED;

#endif
