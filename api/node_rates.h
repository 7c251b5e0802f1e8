/* Expected firing rates of the nodes that the mapper sees, from rates by value name. */
#ifndef SPIKEC_API_NODE_RATES_H
#define SPIKEC_API_NODE_RATES_H

#include "frontend/rates.h"
#include "passes/map/map.h"

struct node_rates {
    struct arena arena;
    struct map_rate *of_node; /* [nodes of the module], n > 0 */
};
/* A zero-initialised object is allowed. */
void node_rates_fini(struct node_rates *r);
/* Rates of the nodes of `m`: those given (of nodes of `named`, which has the same value names;
 * NULL: none), per channel where they are; of a sum or a delay the sum of its operands'; of what
 * only passes on its operand (reshape, repeat) the operand's; of a max-pool the chance that one of
 * its window spikes; of all others the declared one. */
SPK_CHECKED spk_status node_rates_init(const struct ir_module *m, const struct fe_rates *given,
                                       const struct ir_module *named, struct node_rates *out);

#endif
