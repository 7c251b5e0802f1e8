/* Back end `chip`: a mapping -> the flat tables of a chip image (ir/image.h, docs/chip-image.md).
 */
#ifndef SPIKEC_BACKENDS_CHIP_EMIT_H
#define SPIKEC_BACKENDS_CHIP_EMIT_H

#include "ir/image.h"
#include "passes/map/map.h"

/* Fills *out (image_fini when done). `provenance` is a JSON text stored with the image. Core i of
 * the image is core i of the mapping; layer i is population i. Errors: out of memory; SPK_ERR_NOFIT
 * where a count exceeds the image's field widths; SPK_ERR_CANCELLED. `progress` may be NULL. */
SPK_CHECKED spk_status chip_emit(const struct mapping *m, const char *provenance,
                                 const struct progress *progress, struct diag_list *diags,
                                 struct image *out);

#endif
