/* When every population fires: start steps, attention latency, drain (docs/integers.md, 6).
 *
 * Usable on lowered and quantised modules, with and without delays.                           */
#ifndef SPIKEC_PASSES_DEPTH_H
#define SPIKEC_PASSES_DEPTH_H

#include "ir/ir.h"
#include "ir/target.h"
#include "support/diag.h"
#include "support/status.h"

/* Steps from q, k, v to the neuron behind attention: 4 for product and AND-LIF, 2 for serial, 1 for
 * plastic, the target's for embedded processors and engines. SPK_ERR_NOFIT for a lowering that the
 * target does not offer, SPK_ERR_INPUT where none is chosen (pass choose-attention).          */
spk_status depth_attention_latency(const struct tgt *t, enum ir_attn_lowering l,
                                   struct diag_list *d, uint32_t *out) SPK_CHECKED;

/* start[i], for every node: the step at which frame 0 of image 0 of the value is there. For
 * spiking values that is the L of the population that fires it (of its latest summand for
 * recorded sums, of its operand for reshapes); for currents it is the L of their sources, plus
 * the latency that the neuron does not add itself for attention; 0 for everything on the host.
 * start has n_nodes entries. With check_aligned, projections, max-pools, attention and delays
 * whose operands have different starts are errors (SPK_ERR_INTERNAL: a balanced module has none),
 * so are delays longer than the target allows.                                                */
spk_status depth_compute(const struct ir_module *m, const struct tgt *t, bool check_aligned,
                         struct diag_list *d, uint32_t *start) SPK_CHECKED;

/* start[id] of one node from those of its operands; attention has a lowering of the target's. */
uint32_t depth_of_node(const struct ir_module *m, const struct tgt *t, uint32_t id,
                       const uint32_t *start);

/* The number of idle steps after which the truncating decay v = sign(v) * ((|v| * (4096 - decay))
 * >> 12) takes +-(2^(bits-1) - 1) to zero; UINT32_MAX where it never does (decay 0).           */
uint32_t depth_drain(uint32_t bits, uint32_t decay);
/* Largest drain of all neurons of a quantised module; 0 for programmable neurons, which reset
 * themselves.                                                                                 */
uint32_t depth_module_drain(const struct ir_module *m, const struct tgt *t);

#endif
