/* Probes: membranes and spikes of chosen neurons, step by step (docs/files.md, section 11).
 *
 * A point is one neuron of one layer. Its membrane in frame t is the one that is compared with the
 * threshold: after decay and input, before a reset. Both levels that compute in integers fill the
 * same arrays: the reference engine at level Q, the simulator at level M. */
#ifndef SPIKEC_IR_PROBE_H
#define SPIKEC_IR_PROBE_H

#include <stdint.h>

struct probe_point {
    uint32_t layer; /* of the image; level Q: node of the module */
    uint32_t channel, position;
};

struct probe_run {
    uint32_t n_points, timesteps;
    const struct probe_point *point; /* [n_points] points of one layer behind each other */
    int32_t *membrane;               /* [images][timesteps][n_points], zeroed by the caller */
    uint8_t *fired;                  /* the same; 1: the neuron fired */
    int32_t *threshold;              /* [n_points]: a neuron fires at membrane >= threshold */
};

static inline uint64_t probe_at(const struct probe_run *p, uint32_t image, uint32_t step,
                                uint32_t point)
{
    return ((uint64_t)image * p->timesteps + step) * p->n_points + point;
}

#endif
