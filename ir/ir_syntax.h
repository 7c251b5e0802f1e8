/* What printer, parser and equality share: the attributes of every op as data. */
#ifndef SPIKEC_IR_IR_SYNTAX_H
#define SPIKEC_IR_IR_SYNTAX_H

#include <stddef.h>

#include "ir/ir.h"

enum ir_attr_type {
    IR_ATTR_U8,
    IR_ATTR_U16,
    IR_ATTR_U32,
    IR_ATTR_I32,
    IR_ATTR_F32,
    IR_ATTR_BOOL,
    IR_ATTR_WORD /* an enum: 32 bits, spelled by `words` (NULL-terminated) */
};
struct ir_attr_info {
    const char *key;
    enum ir_attr_type type;
    size_t offset;  /* in struct ir_node */
    uint32_t count; /* consecutive elements */
    const char *const *words;
    bool always; /* printed also where it is zero */
};
/* Attributes of an op in the order of the text; NULL and 0 where it has none. */
const struct ir_attr_info *ir_attr_table(enum ir_op op, uint32_t *out_n);
/* Element i of an attribute as an integer; floats as their bits. */
int64_t ir_attr_get(const struct ir_node *n, const struct ir_attr_info *a, uint32_t i);
/* The value must be in the range of the type; floats as their bits. */
void ir_attr_set(struct ir_node *n, const struct ir_attr_info *a, uint32_t i, int64_t value);
float ir_attr_get_f32(const struct ir_node *n, const struct ir_attr_info *a, uint32_t i);

/* Whether a name can be written without quotes: letters, digits, '_' and '.', not starting with
 * a digit or a dot.                                                                            */
bool ir_plain_name(const char *name);

#endif
