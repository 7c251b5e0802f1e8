/* What a user fixes about a mapping, as data: places that are not to be used, places that layers
 * have to go to, bits of weights. Read by frontend/constraints_yaml.c (docs/constraints.md has the
 * format); obeyed by the mapper, verified from the image by the checker.
 *
 * A place is a core's position: the chip's number in the system (row by row), x and y within the
 * chip's mesh, core = y * cores_x + x. An area is all places whose chip, x, y and core lie in four
 * ranges; what a file leaves out is the whole range. */
#ifndef SPIKEC_IR_CONSTRAINTS_H
#define SPIKEC_IR_CONSTRAINTS_H

#include <stdbool.h>
#include <stdint.h>

#include "support/arena.h"
#include "support/diag.h"

#define CTR_ANY UINT32_MAX

struct ctr_range {
    uint32_t first, last; /* both included; 0 .. CTR_ANY: not limited */
};
struct ctr_area {
    struct ctr_range chip, x, y, core;
};

struct ctr_forbid {
    struct ctr_area area;
    bool reserved; /* kept free for something else; not defective */
    struct spk_span span;
};

/* All cores of the layers, or with `part` the layer's core of that number: cores that hold neurons
 * of the layer, in the order of the first of them by row, column, channel. A pin of clusters is for
 * `place`, which knows no layers. */
struct ctr_pin {
    const char *layer;        /* a name, or a pattern: * stands for any letters; NULL: clusters */
    struct ctr_range cluster; /* of `place` */
    uint32_t part;            /* CTR_ANY: all cores of the layer */
    struct ctr_area area;
    struct spk_span span, layer_span;
};

struct ctr_bits {
    const char *layer; /* as of a pin */
    uint32_t bits;
    struct spk_span span, layer_span;
};

struct constraints {
    struct arena arena;
    const char *path;
    const char *text;
    size_t length;
    uint8_t sha256[32]; /* of the text */
    uint32_t n_forbid, n_pins, n_bits;
    struct ctr_forbid *forbid;
    struct ctr_pin *pin;
    struct ctr_bits *bits; /* of a layer that several match the last one counts */
};

void constraints_destroy(struct constraints *c); /* heap; NULL is allowed */

static inline bool ctr_in_range(struct ctr_range r, uint32_t v)
{
    return v >= r.first && v <= r.last;
}
static inline bool ctr_is_any(struct ctr_range r)
{
    return r.first == 0 && r.last == CTR_ANY;
}
/* Whether the area holds a place of a mesh of cores_x columns. */
bool ctr_area_has(const struct ctr_area *a, uint32_t cores_x, uint32_t chip, uint32_t x,
                  uint32_t y);
/* Places that both hold; false where the ranges alone leave none. */
bool ctr_area_meet(const struct ctr_area *a, const struct ctr_area *b, struct ctr_area *out);
/* Bits of the weights that feed layer `name`; `most` where c is NULL or says nothing of it. */
uint32_t ctr_bits_of(const struct constraints *c, const char *name, uint32_t most);
bool ctr_name_matches(const char *pattern, const char *name);
/* "chip 0, x 3, y 4-7". */
void ctr_area_text(const struct ctr_area *a, struct strbuf *out);

#endif
