/* Where the summands of a residual stream wait for their consumers, on chips with binary spikes. */
#ifndef SPIKEC_PASSES_RELAY_PLAN_H
#define SPIKEC_PASSES_RELAY_PLAN_H

#include "ir/ir.h"
#include "ir/target.h"
#include "support/status.h"
#include "support/vec.h"

struct relay_steps VEC_FIELDS(uint32_t);

/* start[i]: start step of every value (depth_compute). Fills station[i], [n_nodes] of empty lists,
 * with the start steps of the relays that value i needs, ascending: each at most 1 + the longest
 * synaptic delay behind the one before, so that every projection that reads value i finds it, or a
 * relay of it, at most that delay before its latest operand, and every attention at the same step.
 * With attention_only, for attention alone. */
spk_status relay_plan(const struct ir_module *m, const struct tgt *t, const uint32_t *start,
                      bool attention_only, struct relay_steps *station) SPK_CHECKED;

#endif
