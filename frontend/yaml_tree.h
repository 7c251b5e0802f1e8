/* YAML documents as a small tree with places; the only pair of files that includes libyaml.
 *
 * Accepted is a subset that cannot surprise: one document, block or flow mappings with scalar keys,
 * lists, scalars. Anchors, aliases, tags, duplicate keys and keys that are no scalars are errors,
 * reported with their place while reading goes on; syntax errors end the reading.                */
#ifndef SPIKEC_FRONTEND_YAML_TREE_H
#define SPIKEC_FRONTEND_YAML_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/arena.h"
#include "support/diag.h"
#include "support/status.h"

#define YT_MAX_BYTES 262144u /* of a document */
#define YT_MAX_DEPTH 16u
#define YT_MAX_NODES 8192u

enum yt_kind { YT_SCALAR, YT_MAP, YT_LIST };

struct yt_node {
    enum yt_kind kind;
    bool quoted;          /* scalar in quotes or a block scalar: text, never a number or flag */
    const char *text;     /* scalar: NUL-terminated UTF-8 without NUL inside */
    const char *key;      /* of the mapping entry that this node is the value of, or NULL */
    struct spk_span span; /* scalar: its text; map and list: the first line of it */
    struct spk_span key_span;
    uint32_t n_children;
    struct yt_node *first, *next; /* children in the order of the file */
};

/* "a text", "a mapping", "a list". */
const char *yt_kind_name(enum yt_kind kind);

/* Parses text[0..length), registers it as source `name` in diags (so that errors carry line and
 * column) and builds the tree in `arena`. SPK_ERR_INPUT after any error; *out_root is set only on
 * SPK_OK. diags may be NULL: then spans are spk_span_none. */
SPK_CHECKED spk_status yt_parse(const char *name, const char *text, size_t length,
                                struct arena *arena, struct diag_list *diags,
                                struct yt_node **out_root);

/* Entry `key` of a mapping, NULL when absent (or when the node is no mapping). */
struct yt_node *yt_get(const struct yt_node *map, const char *key);

#endif
