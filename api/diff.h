/* What the files of `spikec diff` share. A comparison is a list of changes, each a figure or a text
 * that two compiled folders do not have in common; changes of the inputs know what they may act on,
 * and so tell why the rest changed. */
#ifndef SPIKEC_API_DIFF_H
#define SPIKEC_API_DIFF_H

#include "api/api_internal.h"
#include "support/arena.h"
#include "support/json.h"

/* What a change is of, and, as bits, what an input may act on. */
enum diff_part {
    DIFF_INPUT = 0,         /* options, constants of the target, files: the causes */
    DIFF_MODEL = 1 << 0,    /* layers and their shapes, sources, steps */
    DIFF_WEIGHTS = 1 << 1,  /* tensors of the float network */
    DIFF_INTEGERS = 1 << 2, /* tensors of the quantised network */
    DIFF_CUT = 1 << 3,      /* lowerings of attention, tiles, which tiles share a core */
    DIFF_PLACES = 1 << 4,   /* cores on other positions */
    DIFF_COST = 1 << 5
};
#define DIFF_PARTS 6
#define DIFF_ALL (DIFF_MODEL | DIFF_WEIGHTS | DIFF_INTEGERS | DIFF_CUT | DIFF_PLACES | DIFF_COST)

struct diff_value {
    bool present, is_text;
    double number;
    const char *text;
};
struct diff_change {
    enum diff_part part;
    const char *kind;  /* inputs: "option", "setting", "constant", ...; else NULL */
    const char *layer; /* NULL: of the whole */
    const char *name, *unit;
    struct diff_value first, second;
    uint32_t acts_on; /* inputs: set of enum diff_part */
};

/* One of the two folders. */
struct diff_side {
    const char *folder;
    char *mapping_path, *cost_path;
    struct json_value *mapping, *cost;
    struct tgt *target;
    struct json_cursor m, c; /* roots */
    bool simulated;
};

struct diff {
    spk_context *context;
    struct diff_side side[2];
    struct arena arena;
    VEC(struct diff_change) changes;
    /* How much was compared. */
    uint64_t tensors[2];          /* of the first folder: weights, integers */
    uint64_t tiles, tiles_moved;  /* tiles that both have; of these on another chip, x, y */
    const char *cost_basis;       /* "predicted", "simulated", "static" */
    double largest[2];            /* difference of a value of DIFF_WEIGHTS, DIFF_INTEGERS */
    const char *largest_where[2]; /* name of its tensor */
};

SPK_CHECKED spk_status diff_add(struct diff *d, const struct diff_change *change);
struct diff_value diff_number(double v);
struct diff_value diff_text(const char *text); /* NULL: not present */

/* diff_inputs.c: options, settings, files, constants. */
SPK_CHECKED spk_status diff_inputs(struct diff *d);
/* diff_mapping.c: layers, tiles, places, costs. */
SPK_CHECKED spk_status diff_mapping(struct diff *d);
SPK_CHECKED spk_status diff_cost(struct diff *d);
/* diff_tensors.c: stem "model" (DIFF_WEIGHTS) or "quantised" (DIFF_INTEGERS). */
SPK_CHECKED spk_status diff_tensors(struct diff *d, const char *stem, enum diff_part part);

/* diff_write.c */
bool diff_equal(const struct diff *d);
SPK_CHECKED spk_status diff_write(const struct diff *d, struct api_report *r);

#endif
