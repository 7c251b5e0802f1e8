/* YAML to tree, on libyaml's event interface.
 *
 * libyaml takes aliases that refer to themselves, keeps duplicate keys and is quadratic in the
 * nesting depth; therefore size, depth and number of nodes are limited here while the events are
 * drawn, and aliases are refused. Its marks count characters; spans count bytes, so an incremental
 * cursor over the text translates (marks come almost in order: O(length) in total).
 * Invariants: a node's children are complete when it is linked to its parent; keys of one mapping
 * are unique in the tree. Cost: O(length + sum over mappings of entries^2), bounded by the limits.
 * Limits: see yaml_tree.h; memory of libyaml itself does not come from support/alloc.h. */
#include "frontend/yaml_tree.h"

#include <string.h>
#include <yaml.h>

struct builder {
    yaml_parser_t parser;
    struct arena *arena;
    struct diag_list *diags;
    const char *text;
    size_t length;
    uint32_t file;
    size_t cursor_chars, cursor_bytes; /* a known pair of positions */
    uint32_t nodes, depth;
    spk_status status; /* first error that does not end the reading */
};

const char *yt_kind_name(enum yt_kind kind)
{
    switch (kind) {
    case YT_SCALAR:
        return "a text";
    case YT_MAP:
        return "a mapping";
    default:
        return "a list";
    }
}

struct yt_node *yt_get(const struct yt_node *map, const char *key)
{
    if (map->kind != YT_MAP)
        return NULL;
    for (struct yt_node *child = map->first; child; child = child->next) {
        if (strcmp(child->key, key) == 0)
            return child;
    }
    return NULL;
}

/* Byte offset of the character with this number. */
static uint32_t byte_offset(struct builder *b, size_t chars)
{
    if (chars < b->cursor_chars)
        b->cursor_chars = b->cursor_bytes = 0;
    while (b->cursor_chars < chars && b->cursor_bytes < b->length) {
        size_t step = spk_utf8_decode(b->text + b->cursor_bytes, b->length - b->cursor_bytes, NULL);
        b->cursor_bytes += step ? step : 1;
        b->cursor_chars++;
    }
    return (uint32_t)b->cursor_bytes;
}

static struct spk_span span_bytes(const struct builder *b, uint32_t begin, uint32_t end)
{
    if (!b->file)
        return spk_span_none;
    return (struct spk_span){b->file, begin, end};
}

/* Place between two marks, cut at the end of its first line. */
static struct spk_span mark_span(struct builder *b, yaml_mark_t start, yaml_mark_t end)
{
    uint32_t from = byte_offset(b, start.index);
    uint32_t to = byte_offset(b, end.index);
    const char *newline = memchr(b->text + from, '\n', to > from ? to - from : 0);
    if (newline)
        to = (uint32_t)(newline - b->text);
    if (to > from && b->text[to - 1] == '\r')
        to--;
    return span_bytes(b, from, to);
}

/* Reports an error after which reading goes on. */
static void complain(struct builder *b, spk_status status)
{
    if (b->status == SPK_OK || status == SPK_ERR_NOMEM)
        b->status = status;
}

/* Turns libyaml's error into a diagnostic. */
static spk_status syntax_error(struct builder *b)
{
    const yaml_parser_t *p = &b->parser;
    if (p->error == YAML_MEMORY_ERROR)
        return SPK_ERR_NOMEM;
    uint32_t at = p->error == YAML_READER_ERROR
                      ? (uint32_t)(p->problem_offset < b->length ? p->problem_offset : b->length)
                      : byte_offset(b, p->problem_mark.index);
    spk_status status = diag_error(b->diags, span_bytes(b, at, at), "E0501", "YAML: %s",
                                   p->problem ? p->problem : "unreadable");
    if (p->context && p->error != YAML_READER_ERROR) {
        at = byte_offset(b, p->context_mark.index);
        diag_note_add(b->diags, span_bytes(b, at, at), "%s", p->context);
    }
    return status;
}

static spk_status next_event(struct builder *b, yaml_event_t *event)
{
    if (!yaml_parser_parse(&b->parser, event))
        return syntax_error(b);
    return SPK_OK;
}

static spk_status new_node(struct builder *b, enum yt_kind kind, struct spk_span span,
                           struct yt_node **out_node)
{
    if (++b->nodes > YT_MAX_NODES)
        return diag_error(b->diags, span, "E0502", "more than %u YAML nodes", YT_MAX_NODES);
    struct yt_node *node = ARENA_NEW(b->arena, struct yt_node);
    if (!node)
        return SPK_ERR_NOMEM;
    node->kind = kind;
    node->span = span;
    *out_node = node;
    return SPK_OK;
}

/* Anchors and tags carry meaning that this reader does not give them. */
static void refuse_properties(struct builder *b, struct spk_span span, const yaml_char_t *anchor,
                              const yaml_char_t *tag)
{
    if (anchor)
        complain(b, diag_error(b->diags, span, "E0503", "YAML anchors are not allowed here"));
    if (tag)
        complain(b, diag_error(b->diags, span, "E0503", "YAML tags are not allowed here"));
}

static spk_status scalar_node(struct builder *b, const yaml_event_t *event,
                              struct yt_node **out_node)
{
    struct spk_span span = mark_span(b, event->start_mark, event->end_mark);
    const char *value = (const char *)event->data.scalar.value;
    size_t length = event->data.scalar.length;
    refuse_properties(b, span, event->data.scalar.anchor, event->data.scalar.tag);
    SPK_TRY(new_node(b, YT_SCALAR, span, out_node));
    if (memchr(value, 0, length))
        complain(b, diag_error(b->diags, span, "E0501", "NUL character in a text"));
    (*out_node)->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    (*out_node)->text = arena_strndup(b->arena, value, length);
    return (*out_node)->text ? SPK_OK : SPK_ERR_NOMEM;
}

static spk_status build(struct builder *b, const yaml_event_t *event, struct yt_node **out_node);

/* Draws one event and builds the node that it begins; *out_node is NULL where it ends `end`. */
static spk_status build_next(struct builder *b, yaml_event_type_t end, struct yt_node **out_node)
{
    yaml_event_t event;
    *out_node = NULL;
    SPK_TRY(next_event(b, &event));
    spk_status status = event.type == end ? SPK_OK : build(b, &event, out_node);
    yaml_event_delete(&event);
    return status;
}

static void link_child(struct yt_node *parent, struct yt_node **tail, struct yt_node *child)
{
    if (*tail)
        (*tail)->next = child;
    else
        parent->first = child;
    *tail = child;
    parent->n_children++;
}

static spk_status fill_map(struct builder *b, struct yt_node *map)
{
    struct yt_node *tail = NULL;
    for (;;) {
        struct yt_node *key, *value;
        SPK_TRY(build_next(b, YAML_MAPPING_END_EVENT, &key));
        if (!key)
            return SPK_OK;
        SPK_TRY(build_next(b, YAML_NO_EVENT, &value));
        if (key->kind != YT_SCALAR) {
            complain(b, diag_error(b->diags, key->span, "E0501", "a key must be a word, this is %s",
                                   yt_kind_name(key->kind)));
            continue;
        }
        const struct yt_node *first = yt_get(map, key->text);
        if (first) {
            complain(
                b, diag_error(b->diags, key->span, "E0504", "key '%s' is given twice", key->text));
            diag_note_add(b->diags, first->key_span, "the first one");
            continue;
        }
        value->key = key->text;
        value->key_span = key->span;
        link_child(map, &tail, value);
    }
}

static spk_status fill_list(struct builder *b, struct yt_node *list)
{
    struct yt_node *tail = NULL;
    for (;;) {
        struct yt_node *item;
        SPK_TRY(build_next(b, YAML_SEQUENCE_END_EVENT, &item));
        if (!item)
            return SPK_OK;
        link_child(list, &tail, item);
    }
}

/* Builds the node that `event` begins, drawing further events up to its end. */
static spk_status build(struct builder *b, const yaml_event_t *event, struct yt_node **out_node)
{
    struct spk_span span = mark_span(b, event->start_mark, event->end_mark);
    bool map = event->type == YAML_MAPPING_START_EVENT;
    if (event->type == YAML_SCALAR_EVENT)
        return scalar_node(b, event, out_node);
    if (event->type == YAML_ALIAS_EVENT) {
        complain(b, diag_error(b->diags, span, "E0503", "YAML aliases are not allowed here"));
        diag_help_set(b->diags, "write the value out");
        SPK_TRY(new_node(b, YT_SCALAR, span, out_node));
        (*out_node)->text = "";
        return SPK_OK;
    }
    if (!map && event->type != YAML_SEQUENCE_START_EVENT)
        return diag_internal(b->diags, span, "E0501", "unexpected YAML event %d", (int)event->type);
    refuse_properties(b, span,
                      map ? event->data.mapping_start.anchor : event->data.sequence_start.anchor,
                      map ? event->data.mapping_start.tag : event->data.sequence_start.tag);
    if (b->depth >= YT_MAX_DEPTH)
        return diag_error(b->diags, span, "E0502", "YAML nested deeper than %u levels",
                          YT_MAX_DEPTH);
    b->depth++;
    SPK_TRY(new_node(b, map ? YT_MAP : YT_LIST, span, out_node));
    SPK_TRY(map ? fill_map(b, *out_node) : fill_list(b, *out_node));
    b->depth--;
    if ((*out_node)->first && span.end == span.begin)
        (*out_node)->span = map ? (*out_node)->first->key_span : (*out_node)->first->span;
    return SPK_OK;
}

/* Stream start, document start, root, document end, stream end. */
static spk_status build_document(struct builder *b, struct yt_node **out_root)
{
    static const yaml_event_type_t before[] = {YAML_STREAM_START_EVENT, YAML_DOCUMENT_START_EVENT};
    static const yaml_event_type_t after[] = {YAML_DOCUMENT_END_EVENT, YAML_STREAM_END_EVENT};
    yaml_event_t event;
    for (int i = 0; i < 2; i++) {
        SPK_TRY(next_event(b, &event));
        yaml_event_type_t type = event.type;
        yaml_event_delete(&event);
        if (type != before[i])
            return diag_error(b->diags, span_bytes(b, 0, 0), "E0501", "the YAML file is empty");
    }
    SPK_TRY(build_next(b, YAML_NO_EVENT, out_root));
    for (int i = 0; i < 2; i++) {
        SPK_TRY(next_event(b, &event));
        yaml_event_type_t type = event.type;
        struct spk_span span = mark_span(b, event.start_mark, event.end_mark);
        yaml_event_delete(&event);
        if (type != after[i])
            return diag_error(b->diags, span, "E0503",
                              "a second YAML document begins here, one is allowed");
    }
    return SPK_OK;
}

spk_status yt_parse(const char *name, const char *text, size_t length, struct arena *arena,
                    struct diag_list *diags, struct yt_node **out_root)
{
    if (length > YT_MAX_BYTES)
        return diag_error(diags, diag_place(diags, "%s", name), "E0502",
                          "%zu bytes of YAML, at most %u are read", length, YT_MAX_BYTES);
    struct builder b = {
        .arena = arena,
        .diags = diags,
        .text = text,
        .length = length,
    };
    if (diags)
        SPK_TRY(diag_source_add(diags, name, text, length, &b.file));
    if (!yaml_parser_initialize(&b.parser))
        return SPK_ERR_NOMEM;
    yaml_parser_set_encoding(&b.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&b.parser, (const unsigned char *)text, length);
    struct yt_node *root = NULL;
    spk_status status = build_document(&b, &root);
    yaml_parser_delete(&b.parser);
    if (status == SPK_OK)
        status = b.status;
    if (status == SPK_OK)
        *out_root = root;
    return status;
}
