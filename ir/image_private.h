/* What the image files of this room share. */
#ifndef SPIKEC_IR_IMAGE_PRIVATE_H
#define SPIKEC_IR_IMAGE_PRIVATE_H

#include "ir/image.h"

/* How many pointers the string array has room for when it holds n strings. */
size_t image_string_capacity(size_t n);

/* Checks what makes the tables safe to walk (docs/chip-image.md, "Rules"): reports every violation
 * up to a limit, naming table, row, field, value and bound. `name` is the file's. SPK_ERR_INPUT
 * where there is one.                                                                          */
spk_status image_check_tables(const struct image *im, const char *name,
                              struct diag_list *d) SPK_CHECKED;

#endif
