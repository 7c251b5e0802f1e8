/* What the files behind support/json.h share; nobody else includes this. */
#ifndef SPIKEC_SUPPORT_JSON_INTERNAL_H
#define SPIKEC_SUPPORT_JSON_INTERNAL_H

#include <jansson.h>
#include <stdint.h>

#include "support/json.h"

/* json_value is jansson's json_t. jansson wants it without const also where it only reads; the way
 * through uintptr_t says so to the compiler. */
static inline json_t *js_node(const struct json_value *value)
{
    return (json_t *)(uintptr_t)value;
}
static inline struct json_value *js_wrap(json_t *node)
{
    return (struct json_value *)node;
}

#endif
