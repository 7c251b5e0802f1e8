/* Lowerings of attention: which of them a target can do for a layer, and what each costs.
 *
 * Costs are closed forms over the layer's shape (docs/mapping.md, section 1): cores of all
 * populations that the lowering adds, attn_lif included, each in the best uniform tiling of whole
 * heads or parts of one head by positions; steps from q, k, v to attn_lif; ticks that a step needs.
 * A processor of the chip counts as its share of the chip's cores, an engine core as one.     */
#ifndef SPIKEC_PASSES_ATTENTION_H
#define SPIKEC_PASSES_ATTENTION_H

#include "ir/ir.h"
#include "ir/target.h"
#include "support/diag.h"
#include "support/strbuf.h"

#define ATTN_LOWERINGS 6u

/* Most tokens of a layer that the and_lif lowering takes: it needs heads*d*d*tokens^2 neurons. */
#define ATTN_AND_LIF_TOKENS 16u

struct attn_shape {
    uint32_t tokens, channels, heads;
    int32_t unit;  /* 0: not quantised yet */
    bool distinct; /* q, k and v are three different values that nothing else uses as q, k or v */
    enum ir_attn_order order;
};

struct attn_candidate {
    enum ir_attn_lowering lowering;
    bool offered;       /* the target lists it */
    const char *reason; /* NULL: possible; else why this layer cannot have it */
    double cores;
    uint32_t steps, ticks;
};

enum attn_objective { ATTN_FEW_CORES, ATTN_LOW_LATENCY };

/* The bit of enum tgt_attention that a lowering stands for. */
enum tgt_attention attn_bit(enum ir_attn_lowering l);
/* "and_lif", ...; IR_LOWER_OPEN and false for an unknown name. */
bool attn_by_name(const char *name, enum ir_attn_lowering *out);
const char *attn_name(enum ir_attn_lowering l);

/* The lowering of all attention of a module, "mixed" where they differ, "none" without any. */
const char *attn_of_module(const struct ir_module *m);

struct attn_shape attn_shape_of(const struct ir_module *m, uint32_t attention);
/* All lowerings in the order of the enum, without OPEN. */
void attn_candidates(const struct tgt *t, const struct attn_shape *s,
                     struct attn_candidate out[ATTN_LOWERINGS]);
/* <0, 0, >0 as a is better than, as good as, worse than b; impossible ones are worst; the later in
 * the enum wins a tie. */
int attn_compare(enum attn_objective o, const struct attn_candidate *a,
                 const struct attn_candidate *b);

/* Ticks of a step that the lowering needs for a layer; 1 where it needs no more than others. */
uint32_t attn_ticks(enum ir_attn_lowering l, uint32_t tokens, uint32_t per_head);
/* Capabilities that the lowering needs and the target does not have, as words; "" for none. */
void attn_missing(const struct tgt *t, enum ir_attn_lowering l, struct strbuf *out);

/* Task of one engine core: `heads` whole heads, or `columns` v-columns of one head (a divisor of
 * its channels). false where not even one column fits memory and operations. */
bool attn_engine_task(const struct tgt *t, const struct attn_shape *s, uint32_t *out_heads,
                      uint32_t *out_columns);
/* Memory of an engine task in bits: q, k and v of one frame, counts, membranes. */
uint64_t attn_engine_bits(const struct tgt *t, const struct attn_shape *s, uint32_t heads,
                          uint32_t columns);
/* Word operations (AND and popcount) of a task per frame, and the most additions it can need: with
 * all inputs firing, and one per membrane. */
uint64_t attn_engine_words(const struct tgt *t, const struct attn_shape *s, uint32_t heads,
                           uint32_t columns);
uint64_t attn_engine_adds(const struct attn_shape *s, uint32_t heads, uint32_t columns);

#endif
