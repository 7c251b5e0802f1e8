/* Rebuilding a module: the one way in which passes change graphs.
 *
 * A rewrite walks the nodes of `src` in order and adds nodes to `dst`; value[] maps every source
 * value to the destination value that stands for it (IR_NONE: not built). Params and neuron
 * programs are taken over when a node that uses them is copied, so that unused ones vanish.
 * Names are copied into the destination; tensor data is shared.                               */
#ifndef SPIKEC_PASSES_REWRITE_H
#define SPIKEC_PASSES_REWRITE_H

#include "ir/ir.h"
#include "support/diag.h"
#include "support/status.h"

struct rewrite {
    const struct ir_module *src;
    struct ir_module *dst;
    struct diag_list *diags;
    uint32_t *value;  /* [src->n_nodes] */
    uint32_t *param;  /* [src->n_params], filled by rw_param */
    uint32_t *neuron; /* [src->n_neurons], filled by rw_neuron */
    uint32_t *uses;   /* [src->n_nodes]: how many operands refer to the value */
};

/* Makes an empty destination with the source's name, time steps and declared rate at `stage`.
 * After a failure nothing needs to be released.                                               */
spk_status rw_init(struct rewrite *rw, const struct ir_module *src, enum ir_stage stage,
                   struct diag_list *d) SPK_CHECKED;
/* Releases the maps and, unless rw_take was called, the destination. */
void rw_fini(struct rewrite *rw);
/* Hands the destination over, with the sources of feedbacks named by its ids. */
struct ir_module *rw_take(struct rewrite *rw);
/* Names the sources of feedbacks by the destination's ids now; rw_take then is not called, as the
 * destination is the source of another rewrite.                                               */
void rw_patch(struct rewrite *rw);

/* The destination's id of a source param / neuron program; adds it on first use. */
spk_status rw_param(struct rewrite *rw, uint32_t src_param, uint32_t *out) SPK_CHECKED;
spk_status rw_neuron(struct rewrite *rw, uint32_t src_neuron, uint32_t *out) SPK_CHECKED;

/* Adds to the destination a node whose operands and params are destination ids. The name is
 * copied. *out may be NULL.                                                                   */
spk_status rw_add(struct rewrite *rw, const struct ir_node *node, uint32_t *out) SPK_CHECKED;
/* Copies source node `id` with operands, params and program mapped, and sets value[id]. All its
 * operands must have been built.                                                              */
spk_status rw_copy(struct rewrite *rw, uint32_t id) SPK_CHECKED;
/* As rw_copy with other operands (destination ids). */
spk_status rw_copy_operands(struct rewrite *rw, uint32_t id, const uint32_t *operand,
                            uint32_t n_operands) SPK_CHECKED;

/* Adds a param with heap data, which the destination owns from now on (also on failure it is
 * released). data may be NULL (shape only). A name already taken gets ".2", ".3", …           */
spk_status rw_new_param(struct rewrite *rw, const struct ir_param *shape, void *data,
                        uint32_t *out) SPK_CHECKED;

/* Whether a source value is spikes or counts (something that travels between cores). */
bool rw_is_spiking(const struct ir_type *t);
/* "'block.0.attn.q_lif'" or "value 17" for messages, in the diagnostics' arena or static. */
const char *rw_value_name(const struct ir_module *m, uint32_t id, char *buffer, size_t size);

#endif
