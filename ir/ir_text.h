/* Names of the IR's enums and short texts of types and shapes, as they appear in the text form,
 * in diagnostics and in reports. All names are static text, never NULL.                       */
#ifndef SPIKEC_IR_IR_TEXT_H
#define SPIKEC_IR_IR_TEXT_H

#include "ir/ir.h"
#include "support/strbuf.h"

const char *ir_kind_name(enum ir_kind k);             /* "spike", "count", "current", "real" */
const char *ir_num_name(enum ir_num n);               /* "f32", "i32" */
const char *ir_layout_name(enum ir_layout l);         /* "chw", "cn", "nc", "c" */
const char *ir_dtype_name(enum ir_dtype t);           /* "f32", "i8", "i16", "i32" */
const char *ir_stage_name(enum ir_stage s);           /* "model", "lowered", "quantised" */
const char *ir_attn_order_name(enum ir_attn_order o); /* "auto", "kv_first", "qk_first" */
const char *ir_encode_name(enum ir_encode_kind k);    /* "current", "events" */

/* "[32, 14, 14 chw]": the axes in the order of the layout. */
void ir_shape_text(const struct ir_type *t, struct strbuf *out);
/* "current f32 T=4 [32, 14, 14 chw]"; a known bound of a count follows its kind: "count<=4". */
void ir_type_text(const struct ir_type *t, struct strbuf *out);
/* "[64, 32, 3, 3]" */
void ir_dims_text(uint32_t rank, const uint32_t *dim, struct strbuf *out);

#endif
