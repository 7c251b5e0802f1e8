/* Constraints of a plain graph on a mesh: cells that stay free, clusters that have to go to some.
 */
#ifndef SPIKEC_API_PLACE_PINS_H
#define SPIKEC_API_PLACE_PINS_H

#include "passes/place/place.h"
#include "support/vec.h"

struct place_pins {
    uint8_t *blocked; /* [height * width], NULL: none */
    VEC(uint32_t) first, cell;
    uint32_t *of;
    struct place_regions regions; /* of these arrays */
};

/* Reads the file for `n` clusters on a mesh of width x height cells, one chip. SPK_ERR_INPUT with
 * the place in the file where it names layers, or cells or clusters that there are not.
 * place_pins_fini in any case. */
SPK_CHECKED spk_status place_pins_load(const char *path, uint32_t n, uint32_t width,
                                       uint32_t height, struct diag_list *diags,
                                       struct place_pins *out);
void place_pins_fini(struct place_pins *pins);

#endif
