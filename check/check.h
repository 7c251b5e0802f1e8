/* Independent checker of chip images. Shares no code with mapper, simulator or passes: it derives
 * everything again from the tables of the image.
 *
 * Legality (always): every limit and capability of the target, per core and per chip.
 * Completeness (with a quantised module): every neuron exists exactly once with the right
 * parameters, receives exactly the synapses that the module says at exactly the right step, and
 * encoder, read-out, recorded values and head are the module's.
 *
 * Violations are diagnostics (codes E0920 to E0953) that name layer, core (number, chip, x, y),
 * what was expected and what was found.
 *
 *   E0930 core limit exceeded        E0931 in-axon illegal          E0932 out-axon illegal
 *   E0933 block or weight illegal    E0934 configuration illegal    E0935 group illegal
 *   E0920 chip, mesh or system       E0921 route distance           E0922 schedule
 *   E0923 embedded processor         E0924 layer payload            E0925 prices
 *   E0926 constraint
 *   E0940 layer missing              E0941 layer unknown            E0942 layer's description
 *   E0943 neuron missing or doubled  E0944 neuron parameters        E0945 synapses
 *   E0946 bias                       E0947 time of a connection     E0948 embedded task or port
 *   E0949 host port                  E0950 encoder                  E0951 head
 *   E0952 recorded sum               E0953 module cannot be checked */
#ifndef SPIKEC_CHECK_CHECK_H
#define SPIKEC_CHECK_CHECK_H

#include "ir/image.h"
#include "ir/ir.h"
#include "ir/target.h"

struct constraints;
struct pool;
struct progress;

struct check_options {
    uint32_t max_reports; /* violations that become diagnostics; 0: 50. All are counted */
    struct pool *pool;    /* NULL: serial; the outcome is the same */
    const struct progress *progress;       /* NULL: nobody listens */
    const struct constraints *constraints; /* what the user had fixed, or NULL */
};

struct check_report {
    uint64_t violations; /* all of them; a wrong neuron counts once however it is wrong */
    uint64_t legality, completeness; /* violations of each part */
    uint64_t cores, neurons, in_axons, out_axons;
    uint64_t synapses; /* of the image, one per source neuron, target neuron and axon; counted
                          with a module only */
};

/* `options` may be NULL. Returns SPK_OK where nothing is wrong, SPK_DIFFERENCE where the report
 * counts violations, SPK_ERR_INPUT where the tables are not safe to walk (diagnostics of the image
 * reader) or the module is not quantised, SPK_ERR_NOMEM, SPK_ERR_CANCELLED. The module must be
 * verified. Cost: linear in the expanded synapses, about 2 ns each; memory: linear in axons and in
 * the compartments of one core per thread, and one byte per neuron of a layer.  */
spk_status check_image(const struct image *im, const struct tgt *t, const struct ir_module *m,
                       const struct check_options *options, struct diag_list *d,
                       struct check_report *out) SPK_CHECKED;

#endif
