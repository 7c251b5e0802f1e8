/* What the files of this room share and nobody else needs. */
#ifndef SPIKEC_IR_IR_PRIVATE_H
#define SPIKEC_IR_IR_PRIVATE_H

#include "ir/ir.h"

#define IR_EQ_MAX_DEPTH 16u /* stack of a neuron equation */
#define IR_EQ_MAX_CODE 256u /* postfix codes of one equation */
#define IR_MAX_ELEMENTS ((uint64_t)1 << 40)
#define IR_MAX_TIMESTEPS 65535u

/* Whether the postfix code is well formed: known codes, states below n_states, never more than
 * IR_EQ_MAX_DEPTH values on the stack, exactly one at the end. An empty expression is not.     */
bool ir_expr_valid(const struct ir_expr *e, uint32_t n_states);
/* All expressions of a program (empty charge and reset are fine), number of states, compare. */
bool ir_neuron_valid(const struct ir_neuron *n);
/* Same equations, constants and initial values (bit for bit; all NaN are one); with `names` also
 * the same names of program and states.                                                       */
bool ir_neuron_equal(const struct ir_neuron *a, const struct ir_neuron *b, bool names);
/* As ir_add_neuron without looking for an equal one: SPK_ERR_INPUT where it is not valid. */
spk_status ir_neuron_append(struct ir_module *m, const struct ir_neuron *n,
                            uint32_t *out_id) SPK_CHECKED;
/* All members equal. */
bool ir_type_equal(const struct ir_type *a, const struct ir_type *b);
/* Equal as bits, or both NaN. */
bool ir_same_f32(float a, float b);

#endif
