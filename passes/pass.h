/* Passes over the spiking IR and the manager that runs pipelines of them.
 *
 * A pass takes a module and makes a new one; the input stays as it was until the manager drops
 * it, so a pass that fails has changed nothing. Each pass states in the registry
 * (pass_registry.c, the one place where passes are listed) what it expects, what it changes and
 * what it never changes. The pipeline text is
 *
 *     pipeline = item { "," item }        item   = name [ "{" option { "," option } "}" ]
 *     option   = name "=" value           name   = a pass, or a standard pipeline
 *
 * e.g. "prepare,quantise{clip=off},balance-delays{attention=embedded}". Blanks are ignored. The
 * whole text is checked before the first pass runs; an unknown name is an error that tells the
 * nearest known one.                                                                          */
#ifndef SPIKEC_PASSES_PASS_H
#define SPIKEC_PASSES_PASS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ir/engine.h"
#include "ir/ir.h"
#include "ir/target.h"
#include "support/diag.h"
#include "support/pool.h"
#include "support/progress.h"
#include "support/status.h"

#define PASS_MAX_OPTIONS 8u
#define PASS_MAX_CHOICES 8u

/* Distinct thresholds that quantise gives a layer of hard-wired neurons at most. The mapper counts
 * on all of them, so that a mapping does not depend on the weights. */
#define PASSES_MAX_THRESHOLDS 16u

/* What the passes of a pipeline may use. Everything is borrowed; NULL members are allowed as
 * stated.                                                                                     */
struct constraints;
struct pass_context {
    const struct tgt *target;               /* NULL: passes that need one refuse */
    const struct engine_vtable *engine;     /* runs networks for calibration; NULL: none */
    const struct engine_input *calibration; /* NULL: weights and statistics only */
    const struct constraints *constraints;  /* bits of weights; NULL: the target's */
    struct diag_list *diags;                /* NULL: messages are dropped */
    struct pool *pool;                      /* NULL: serial; never changes a result */
    bool verify_each;                       /* run the IR verifier after every pass */
    bool remarks;                           /* passes report what they did as remarks */
    /* Called after every pass with its result (print-after); NULL: nobody looks. */
    void (*after)(void *ctx, const char *pass, const struct ir_module *m);
    void *after_ctx;
    const struct progress *progress; /* NULL: nobody listens, nobody cancels */
};

enum pass_option_kind { PASS_OPTION_BOOL, PASS_OPTION_INT, PASS_OPTION_CHOICE };

struct pass_option {
    const char *name; /* NULL ends the list */
    enum pass_option_kind kind;
    int64_t value;                        /* default: 0/1, the number, or an index into choice[] */
    int64_t min, max;                     /* INT */
    const char *choice[PASS_MAX_CHOICES]; /* CHOICE: allowed texts, NULL-terminated if fewer */
    const char *help;
};

/* Makes *out (owned by the caller) from `in`, which stays valid and unchanged. options[i] is the
 * value of the pass's option i. Tensor data that did not change is shared with `in`.          */
typedef spk_status (*pass_fn)(const struct pass_context *c, const int64_t *options,
                              const struct ir_module *in, struct ir_module **out);

enum pass_stage_bit {
    PASS_ON_MODEL = 1u << IR_STAGE_MODEL,
    PASS_ON_LOWERED = 1u << IR_STAGE_LOWERED,
    PASS_ON_QUANTISED = 1u << IR_STAGE_QUANTISED,
    PASS_ON_ANY = PASS_ON_MODEL | PASS_ON_LOWERED | PASS_ON_QUANTISED
};

struct pass {
    const char *name;
    const char *summary; /* one line */
    const char *expects; /* in words; the stage is checked by the manager */
    const char *changes;
    const char *never; /* what it never changes */
    uint32_t stages;   /* set of enum pass_stage_bit it accepts */
    bool needs_target;
    pass_fn run;
    struct pass_option option[PASS_MAX_OPTIONS + 1];
};

/* All passes in the order in which a user meets them; *out_count of them. */
const struct pass *pass_registry(size_t *out_count);
const struct pass *pass_find(const char *name, size_t length); /* NULL: no such pass */

/* A named pipeline: a text that stands for its name in a pipeline. */
struct pass_alias {
    const char *name, *summary, *text;
};
const struct pass_alias *pass_aliases(size_t *out_count);

/* Runs a pipeline on *m. On success *m is the result and the module it held belongs to it (it is
 * destroyed at once, or with the result where that shares its tensor data). On failure *m is the
 * module as it was before the pass that failed. SPK_ERR_USAGE for a bad pipeline text (nothing was
 * run then); SPK_ERR_INPUT for a pass applied at a wrong stage; SPK_ERR_INTERNAL where verify_each
 * finds that a pass broke the module.                                                         */
spk_status passes_run(const struct pass_context *c, const char *pipeline,
                      struct ir_module **m) SPK_CHECKED;
/* Checks a pipeline text without running it. */
spk_status passes_check(const char *pipeline, struct diag_list *d) SPK_CHECKED;

/* Of a module at stage MODEL: the last value of the spiking encoder of an autoencoder, that is what
 * its only mean over time alone is taken of; IR_NONE where it has none. Pass `encoder` then keeps
 * what leads there.                                                                           */
uint32_t passes_encoder_end(const struct ir_module *m);

/* How far the standard pipeline goes. */
enum passes_level {
    PASSES_PREPARED,  /* float, lowered: what level R runs and a mapper can estimate */
    PASSES_QUANTISED, /* integers of c->target: what level Q runs */
    PASSES_BALANCED   /* quantised, with relays: what the mapper maps */
};
/* The standard pipeline from a MODEL, LOWERED or QUANTISED module to `level`; stages that *m has
 * behind it are skipped. attention: "auto" or a lowering (passes/attention.h), NULL = auto;
 * objective of that choice: "cores" or "latency", NULL = cores. Ownership and failure as
 * passes_run.                                                                                 */
spk_status passes_compile_pipeline(const struct pass_context *c, enum passes_level level,
                                   const char *attention, const char *objective,
                                   struct ir_module **m) SPK_CHECKED;

#endif
