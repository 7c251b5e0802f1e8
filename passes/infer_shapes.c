/* Pass infer-shapes: computes the type of every value again from its operands.
 *
 * Every node is added anew, which runs the shape rules of the IR on it; a module read from text
 * or edited by hand thereby gets consistent types, or an error that names both shapes.
 * Unused params and neuron programs are dropped on the way. Cost: linear.                     */
#include "passes/pass_list.h"
#include "passes/rewrite.h"

spk_status pass_infer_shapes(const struct pass_context *c, const int64_t *options,
                             const struct ir_module *in, struct ir_module **out)
{
    struct rewrite rw;
    (void)options;
    SPK_TRY(rw_init(&rw, in, in->stage, c->diags));
    spk_status s = SPK_OK;
    for (uint32_t i = 0; s == SPK_OK && i < in->n_nodes; i++)
        s = rw_copy(&rw, i);
    if (s == SPK_OK)
        *out = rw_take(&rw);
    rw_fini(&rw);
    return s;
}
