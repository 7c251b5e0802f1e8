/* Sessions and outputs from inside. */
#ifndef SPIKEC_API_OBJECT_SESSION_H
#define SPIKEC_API_OBJECT_SESSION_H

#include "api/cost.h"
#include "api/object_internal.h"
#include "api/sim_rates.h"
#include "runtime/record.h"
#include "runtime/sim.h"

struct spk_session {
    spk_model *model; /* either this or a mapping */
    spk_mapping *mapping;
    struct ir_module *own;          /* the float module with its constant part hoisted */
    const struct ir_module *module; /* that runs; at level M the one that was mapped */
    const struct engine_vtable *vtable;
    struct engine *engine; /* levels R and Q */
    struct sim *sim;       /* level M */
    bool has_run;
    struct cost_paper paper; /* of the last run */
};

struct spk_outputs {
    uint32_t n_images, classes;
    float *logits;
    struct record *record;
    uint32_t *of_node; /* [nodes of the module] tensor of the record, IR_NONE: not wanted */
};

#endif
