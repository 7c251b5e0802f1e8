/* Back end `netx`: a quantised module as a network of lava-dl (.net, HDF5; docs/netx.md).
 *
 * netx is a list of layers: input, conv, dense and flatten, each with one threshold and integer
 * weights. A module that is such a chain, with spikes or counts as input and rates as output, is
 * written; everything else is refused by name. */
#ifndef SPIKEC_BACKENDS_NETX_NETX_EXPORT_H
#define SPIKEC_BACKENDS_NETX_NETX_EXPORT_H

#include "ir/ir.h"
#include "support/diag.h"

struct netx_figures {
    uint64_t layers, neurons, weights;
};

/* `m`: stage QUANTISED with data. SPK_ERR_INPUT (E0775): values that are no such chain; (E0776):
 * layers whose integers netx cannot hold. */
spk_status netx_export(const struct ir_module *m, const char *path, struct diag_list *d,
                       struct netx_figures *out) SPK_CHECKED;

#endif
