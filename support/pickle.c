/* The pickle machine: a stack of values, a stack of marks, a memo.
 *
 * Invariants: every read is checked against the end of the stream, every pop against the innermost
 * mark; the number of values is limited, and a value has constant size plus what was pushed onto
 * the stack for it, so that memory is linear in the stream. No recursion. Cost: O(bytes). */
#include "support/pickle.h"

#include <string.h>

#include "support/strbuf.h"

struct machine {
    const struct pickle_stream *in;
    size_t at;     /* next byte */
    size_t opcode; /* place of the opcode at work */
    size_t n_values;
    struct pickle_refs stack, memo;
    VEC(size_t) marks;
    struct pickle_refs *persistent;
};

/* ---- complaints and reading ---- */

static spk_status fail(struct machine *m, const char *what)
{
    return diag_error(m->in->diags, diag_place(m->in->diags, "%s", m->in->name), "E0062",
                      "pickle at byte %llu: %s", (unsigned long long)(m->in->base + m->opcode),
                      what);
}

static spk_status take(struct machine *m, uint64_t n, const uint8_t **out_bytes)
{
    if (n > m->in->size - m->at)
        return fail(m, "the stream ends within a value");
    *out_bytes = m->in->data + m->at;
    m->at += (size_t)n;
    return SPK_OK;
}

/* Unsigned little-endian number of 1 to 8 bytes. */
static spk_status take_number(struct machine *m, unsigned n, uint64_t *out_number)
{
    const uint8_t *p = NULL;
    SPK_TRY(take(m, n, &p));
    *out_number = 0;
    for (unsigned i = 0; i < n; i++)
        *out_number |= (uint64_t)p[i] << (8 * i);
    return SPK_OK;
}

static spk_status new_value(struct machine *m, enum pickle_kind kind,
                            struct pickle_value **out_value)
{
    if (m->n_values++ >= PICKLE_MAX_VALUES)
        return fail(m, "more than 4194304 values");
    *out_value = ARENA_NEW(m->in->arena, struct pickle_value);
    if (!*out_value)
        return SPK_ERR_NOMEM;
    (*out_value)->kind = kind;
    (*out_value)->offset = m->in->base + m->opcode;
    return SPK_OK;
}

/* ---- stack ---- */

/* Values above the innermost mark. */
static size_t loose(const struct machine *m)
{
    return m->stack.len - (m->marks.len ? vec_last(&m->marks) : 0);
}

static spk_status need(struct machine *m, size_t n)
{
    return loose(m) < n ? fail(m, "too few values on the stack") : SPK_OK;
}

/* Removes the innermost mark; *out_first is the index of the first value above it. */
static spk_status pop_mark(struct machine *m, size_t *out_first)
{
    if (!m->marks.len)
        return fail(m, "there is no mark on the stack");
    *out_first = vec_pop(&m->marks);
    return SPK_OK;
}

static spk_status push_new(struct machine *m, enum pickle_kind kind,
                           struct pickle_value **out_value)
{
    SPK_TRY(new_value(m, kind, out_value));
    return vec_push(&m->stack, *out_value);
}

static spk_status push_integer(struct machine *m, int64_t number)
{
    struct pickle_value *v;
    SPK_TRY(push_new(m, PICKLE_INT, &v));
    v->integer = number;
    return SPK_OK;
}

static spk_status push_boolean(struct machine *m, bool truth)
{
    struct pickle_value *v;
    SPK_TRY(push_new(m, PICKLE_BOOL, &v));
    v->boolean = truth;
    return SPK_OK;
}

static spk_status push_text(struct machine *m, enum pickle_kind kind, unsigned length_bytes)
{
    struct pickle_value *v;
    const uint8_t *p = NULL;
    uint64_t length = 0;
    SPK_TRY(take_number(m, length_bytes, &length));
    SPK_TRY(take(m, length, &p));
    SPK_TRY(push_new(m, kind, &v));
    v->text.data = (const char *)p;
    v->text.length = (size_t)length;
    return SPK_OK;
}

/* LONG1 and LONG4: two's complement of any length. */
static spk_status push_long(struct machine *m, unsigned length_bytes)
{
    struct pickle_value *v;
    const uint8_t *p = NULL;
    uint64_t length = 0, bits = 0;
    SPK_TRY(take_number(m, length_bytes, &length));
    SPK_TRY(take(m, length, &p));
    if (length > 8) {
        SPK_TRY(push_new(m, PICKLE_LONG, &v));
        v->text.data = (const char *)p;
        v->text.length = (size_t)length;
        return SPK_OK;
    }
    for (unsigned i = 0; i < length; i++)
        bits |= (uint64_t)p[i] << (8 * i);
    unsigned spare = (unsigned)(64 - 8 * length);
    return push_integer(m, spare < 64 ? (int64_t)(bits << spare) >> spare : 0);
}

static spk_status push_real(struct machine *m)
{
    struct pickle_value *v;
    const uint8_t *p = NULL;
    uint64_t bits = 0;
    SPK_TRY(take(m, 8, &p));
    for (unsigned i = 0; i < 8; i++) /* big-endian, alone among the numbers */
        bits = bits << 8 | p[i];
    SPK_TRY(push_new(m, PICKLE_FLOAT, &v));
    memcpy(&v->real, &bits, sizeof bits);
    return SPK_OK;
}

/* ---- containers ---- */

static spk_status append(struct machine *m, struct pickle_value *list, struct pickle_value *item)
{
    if (list->list.n == list->list.room) {
        size_t room = list->list.room ? list->list.room * 2 : 4;
        struct pickle_value **grown = ARENA_NEW_ARRAY(m->in->arena, struct pickle_value *, room);
        if (!grown)
            return SPK_ERR_NOMEM;
        if (list->list.n)
            memcpy(grown, list->list.item, list->list.n * sizeof(struct pickle_value *));
        list->list.item = grown;
        list->list.room = room;
    }
    list->list.item[list->list.n++] = item;
    return SPK_OK;
}

/* Replaces the values from index `first` on by one container that holds them. */
static spk_status collect(struct machine *m, enum pickle_kind kind, size_t first)
{
    struct pickle_value *v;
    size_t n = m->stack.len - first;
    if (kind == PICKLE_DICT && n % 2)
        return fail(m, "a key without a value");
    SPK_TRY(new_value(m, kind, &v));
    if (n) {
        v->list.item = ARENA_NEW_ARRAY(m->in->arena, struct pickle_value *, n);
        if (!v->list.item)
            return SPK_ERR_NOMEM;
        memcpy(v->list.item, m->stack.data + first, n * sizeof(struct pickle_value *));
        v->list.n = v->list.room = n;
    }
    m->stack.len = first;
    return vec_push(&m->stack, v);
}

static spk_status collect_mark(struct machine *m, enum pickle_kind kind)
{
    size_t first = 0;
    SPK_TRY(pop_mark(m, &first));
    return collect(m, kind, first);
}

/* Puts the values from index `first` on into the container beneath them. An object that a call
 * would have made takes anything and keeps nothing. */
static spk_status put_into(struct machine *m, enum pickle_kind kind, size_t first)
{
    if (first == 0 || (m->marks.len && vec_last(&m->marks) >= first))
        return fail(m, "there is nothing to put a value into");
    struct pickle_value *target = m->stack.data[first - 1];
    size_t n = m->stack.len - first;
    if (kind == PICKLE_DICT && n % 2)
        return fail(m, "a key without a value");
    if (target->kind != kind && target->kind != PICKLE_CALL)
        return fail(m, kind == PICKLE_DICT ? "a key is set in something that is no dict"
                                           : "a value is appended to something that is no list");
    for (size_t i = first; target->kind == kind && i < m->stack.len; i++)
        SPK_TRY(append(m, target, m->stack.data[i]));
    m->stack.len = first;
    return SPK_OK;
}

static spk_status put_mark(struct machine *m, enum pickle_kind kind)
{
    size_t first = 0;
    SPK_TRY(pop_mark(m, &first));
    return put_into(m, kind, first);
}

/* ---- globals and calls ---- */

/* A name for messages and comparison: valid UTF-8 without control characters, not too long. */
static spk_status check_name(struct machine *m, const char *text, size_t length,
                             const char **out_name)
{
    size_t step;
    if (length == 0 || length > 1000)
        return fail(m, "the name of a global is empty or too long");
    for (size_t i = 0; i < length; i += step) {
        step = spk_utf8_decode(text + i, length - i, NULL);
        if (step == 0 || (unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return fail(m, "the name of a global is no text");
    }
    *out_name = arena_strndup(m->in->arena, text, length);
    return *out_name ? SPK_OK : SPK_ERR_NOMEM;
}

static spk_status push_global(struct machine *m, const char *module, size_t module_length,
                              const char *name, size_t name_length)
{
    struct pickle_value *v;
    SPK_TRY(new_value(m, PICKLE_GLOBAL, &v));
    SPK_TRY(check_name(m, module, module_length, &v->global.module));
    SPK_TRY(check_name(m, name, name_length, &v->global.name));
    return vec_push(&m->stack, v);
}

/* Text up to a line feed, which is skipped. */
static spk_status take_line(struct machine *m, const char **out_text, size_t *out_length)
{
    const uint8_t *begin = m->in->data + m->at, *end;
    size_t rest = m->in->size - m->at;
    end = rest ? memchr(begin, '\n', rest) : NULL;
    if (!end)
        return fail(m, "the stream ends within a name");
    *out_text = (const char *)begin;
    *out_length = (size_t)(end - begin);
    m->at += *out_length + 1;
    return SPK_OK;
}

static spk_status op_global(struct machine *m)
{
    const char *module, *name;
    size_t module_length, name_length;
    SPK_TRY(take_line(m, &module, &module_length));
    SPK_TRY(take_line(m, &name, &name_length));
    return push_global(m, module, module_length, name, name_length);
}

static spk_status op_stack_global(struct machine *m)
{
    SPK_TRY(need(m, 2));
    struct pickle_value *name = vec_pop(&m->stack), *module = vec_pop(&m->stack);
    if (name->kind != PICKLE_STRING || module->kind != PICKLE_STRING)
        return fail(m, "the name of a global is no text");
    return push_global(m, module->text.data, module->text.length, name->text.data,
                       name->text.length);
}

/* The arguments of a dict type as a dict: none, or a list of pairs (Python 2). */
static spk_status dict_of(struct machine *m, const struct pickle_value *arguments,
                          struct pickle_value *dict)
{
    if (arguments->list.n == 0)
        return SPK_OK;
    const struct pickle_value *pairs = arguments->list.item[0];
    if (pairs->kind != PICKLE_LIST)
        return SPK_OK;            /* the factory of a defaultdict */
    m->n_values += pairs->list.n; /* one list may be given to many dicts */
    if (m->n_values > PICKLE_MAX_VALUES)
        return fail(m, "more than 4194304 values");
    for (size_t i = 0; i < pairs->list.n; i++) {
        const struct pickle_value *pair = pairs->list.item[i];
        if ((pair->kind != PICKLE_LIST && pair->kind != PICKLE_TUPLE) || pair->list.n != 2)
            return fail(m, "a dict is made of something that is no pair");
        SPK_TRY(append(m, dict, pair->list.item[0]));
        SPK_TRY(append(m, dict, pair->list.item[1]));
    }
    return SPK_OK;
}

/* REDUCE, NEWOBJ: `extra` values above callable and arguments are dropped. */
static spk_status op_call(struct machine *m, size_t extra)
{
    struct pickle_value *v;
    SPK_TRY(need(m, 2 + extra));
    m->stack.len -= extra;
    struct pickle_value *arguments = vec_pop(&m->stack), *callable = vec_pop(&m->stack);
    if (arguments->kind != PICKLE_TUPLE)
        return fail(m, "the arguments of a call are no tuple");
    if (pickle_is_global(callable, "collections", "OrderedDict") ||
        pickle_is_global(callable, "collections", "defaultdict")) {
        SPK_TRY(push_new(m, PICKLE_DICT, &v));
        return dict_of(m, arguments, v);
    }
    SPK_TRY(push_new(m, PICKLE_CALL, &v));
    v->list.item = ARENA_NEW_ARRAY(m->in->arena, struct pickle_value *, 2);
    if (!v->list.item)
        return SPK_ERR_NOMEM;
    v->list.item[0] = callable;
    v->list.item[1] = arguments;
    v->list.n = v->list.room = 2;
    return SPK_OK;
}

/* Drops the state that an object would have been given. */
static spk_status op_build(struct machine *m)
{
    SPK_TRY(need(m, 2));
    m->stack.len--;
    return SPK_OK;
}

static spk_status op_persistent(struct machine *m)
{
    struct pickle_value *v;
    SPK_TRY(need(m, 1));
    SPK_TRY(collect(m, PICKLE_PERSISTENT, m->stack.len - 1));
    v = vec_last(&m->stack);
    return m->persistent ? vec_push(m->persistent, v) : SPK_OK;
}

/* ---- memo ---- */

static spk_status op_put(struct machine *m, uint64_t index)
{
    SPK_TRY(need(m, 1));
    if (index >= PICKLE_MAX_MEMO)
        return fail(m, "the memo has more than 4194304 entries");
    if (index >= m->memo.len)
        SPK_TRY(vec_resize(&m->memo, (size_t)index + 1));
    m->memo.data[index] = vec_last(&m->stack);
    return SPK_OK;
}

static spk_status op_get(struct machine *m, uint64_t index)
{
    if (index >= m->memo.len || !m->memo.data[index])
        return fail(m, "the memo has no such entry");
    return vec_push(&m->stack, m->memo.data[index]);
}

/* ---- opcodes ---- */

static spk_status op_protocol(struct machine *m)
{
    uint64_t protocol = 0;
    SPK_TRY(take_number(m, 1, &protocol));
    if (protocol < 2 || protocol > 5)
        return fail(m, "protocols 2 to 5 are understood, this is another");
    return SPK_OK;
}

static spk_status op_pop(struct machine *m)
{
    if (m->marks.len && loose(m) == 0) {
        m->marks.len--;
        return SPK_OK;
    }
    SPK_TRY(need(m, 1));
    m->stack.len--;
    return SPK_OK;
}

static spk_status op_tuple(struct machine *m, size_t n)
{
    SPK_TRY(need(m, n));
    return collect(m, PICKLE_TUPLE, m->stack.len - n);
}

static spk_status op_put_one(struct machine *m, enum pickle_kind kind)
{
    size_t n = kind == PICKLE_DICT ? 2 : 1;
    SPK_TRY(need(m, n + 1));
    return put_into(m, kind, m->stack.len - n);
}

static spk_status refuse(struct machine *m, unsigned opcode)
{
    struct strbuf text = {0};
    strbuf_printf(&text, "opcode 0x%02x is not one that torch.save writes", opcode);
    spk_status status = fail(m, strbuf_cstr(&text));
    strbuf_fini(&text);
    return status;
}

/* Containers, marks, calls. */
static spk_status step_structure(struct machine *m, unsigned opcode)
{
    struct pickle_value *v;
    size_t first = 0;
    switch (opcode) {
    case '(': /* MARK */
        return vec_push(&m->marks, m->stack.len);
    case '0': /* POP */
        return op_pop(m);
    case '1': /* POP_MARK */
        SPK_TRY(pop_mark(m, &first));
        m->stack.len = first;
        return SPK_OK;
    case '2': /* DUP */
        SPK_TRY(need(m, 1));
        v = vec_last(&m->stack);
        return vec_push(&m->stack, v);
    case ')': /* EMPTY_TUPLE */
        return op_tuple(m, 0);
    case 0x85: /* TUPLE1, TUPLE2, TUPLE3 */
    case 0x86:
    case 0x87:
        return op_tuple(m, opcode - 0x84);
    case 't': /* TUPLE */
        return collect_mark(m, PICKLE_TUPLE);
    case ']': /* EMPTY_LIST, EMPTY_SET */
    case 0x8f:
        return collect(m, PICKLE_LIST, m->stack.len);
    case 'l': /* LIST, FROZENSET */
    case 0x91:
        return collect_mark(m, PICKLE_LIST);
    case '}': /* EMPTY_DICT */
        return collect(m, PICKLE_DICT, m->stack.len);
    case 'd': /* DICT */
        return collect_mark(m, PICKLE_DICT);
    case 'a': /* APPEND */
        return op_put_one(m, PICKLE_LIST);
    case 'e': /* APPENDS, ADDITEMS */
    case 0x90:
        return put_mark(m, PICKLE_LIST);
    case 's': /* SETITEM */
        return op_put_one(m, PICKLE_DICT);
    case 'u': /* SETITEMS */
        return put_mark(m, PICKLE_DICT);
    case 'c': /* GLOBAL */
        return op_global(m);
    case 0x93: /* STACK_GLOBAL */
        return op_stack_global(m);
    case 'R': /* REDUCE, NEWOBJ */
    case 0x81:
        return op_call(m, 0);
    case 0x92: /* NEWOBJ_EX */
        return op_call(m, 1);
    case 'b': /* BUILD */
        return op_build(m);
    case 'Q': /* BINPERSID */
        return op_persistent(m);
    default:
        return refuse(m, opcode);
    }
}

/* Numbers, texts, memo; the rest is structure. */
static spk_status step(struct machine *m, unsigned opcode)
{
    struct pickle_value *v;
    uint64_t n;
    switch (opcode) {
    case 0x80: /* PROTO */
        return op_protocol(m);
    case 0x95: /* FRAME: its length says nothing that the stream does not */
        return take_number(m, 8, &n);
    case 'N': /* NONE */
        return push_new(m, PICKLE_NONE, &v);
    case 0x88: /* NEWTRUE, NEWFALSE */
    case 0x89:
        return push_boolean(m, opcode == 0x88);
    case 'K': /* BININT1, BININT2 */
    case 'M':
        SPK_TRY(take_number(m, opcode == 'K' ? 1 : 2, &n));
        return push_integer(m, (int64_t)n);
    case 'J': /* BININT */
        SPK_TRY(take_number(m, 4, &n));
        return push_integer(m, (int32_t)(uint32_t)n);
    case 0x8a: /* LONG1, LONG4 */
        return push_long(m, 1);
    case 0x8b:
        return push_long(m, 4);
    case 'G': /* BINFLOAT */
        return push_real(m);
    case 'X': /* BINUNICODE, SHORT_BINUNICODE, BINUNICODE8; SHORT_BINSTRING, BINSTRING */
    case 'T':
        return push_text(m, PICKLE_STRING, 4);
    case 0x8c:
    case 'U':
        return push_text(m, PICKLE_STRING, 1);
    case 0x8d:
        return push_text(m, PICKLE_STRING, 8);
    case 'C': /* SHORT_BINBYTES, BINBYTES, BINBYTES8, BYTEARRAY8 */
        return push_text(m, PICKLE_BYTES, 1);
    case 'B':
        return push_text(m, PICKLE_BYTES, 4);
    case 0x8e:
    case 0x96:
        return push_text(m, PICKLE_BYTES, 8);
    case 'q': /* BINPUT, LONG_BINPUT, MEMOIZE */
    case 'r':
        SPK_TRY(take_number(m, opcode == 'q' ? 1 : 4, &n));
        return op_put(m, n);
    case 0x94:
        return op_put(m, m->memo.len);
    case 'h': /* BINGET, LONG_BINGET */
    case 'j':
        SPK_TRY(take_number(m, opcode == 'h' ? 1 : 4, &n));
        return op_get(m, n);
    default:
        return step_structure(m, opcode);
    }
}

static spk_status run(struct machine *m, struct pickle_value **out_value)
{
    for (;;) {
        const uint8_t *p = NULL;
        m->opcode = m->at;
        SPK_TRY(take(m, 1, &p));
        if (m->opcode == 0 && *p != 0x80)
            return fail(m, "it does not begin with a protocol of 2 to 5");
        if (*p == '.') /* STOP */
            break;
        SPK_TRY(step(m, *p));
        if (m->stack.len > PICKLE_MAX_VALUES || m->marks.len > PICKLE_MAX_VALUES)
            return fail(m, "more than 4194304 values on the stack");
    }
    SPK_TRY(need(m, 1));
    if (m->stack.len != 1 || m->marks.len != 0)
        return fail(m, "it ends with more than one value");
    *out_value = m->stack.data[0];
    return SPK_OK;
}

spk_status pickle_read(const struct pickle_stream *stream, struct pickle_refs *persistent,
                       struct pickle_value **out_value, size_t *out_used)
{
    struct pickle_stream in = *stream;
    struct machine m = {.in = &in, .persistent = persistent};
    if (in.size > PICKLE_MAX_BYTES)
        in.size = PICKLE_MAX_BYTES;
    spk_status status = run(&m, out_value);
    *out_used = m.at;
    vec_fini(&m.stack);
    vec_fini(&m.memo);
    vec_fini(&m.marks);
    return status;
}

bool pickle_is_text(const struct pickle_value *value, const char *text)
{
    size_t n = strlen(text);
    return value->kind == PICKLE_STRING && value->text.length == n &&
           memcmp(value->text.data, text, n) == 0;
}

bool pickle_is_global(const struct pickle_value *value, const char *module, const char *name)
{
    return value->kind == PICKLE_GLOBAL && strcmp(value->global.module, module) == 0 &&
           strcmp(value->global.name, name) == 0;
}

struct pickle_value *pickle_get(const struct pickle_value *dict, const char *key)
{
    for (size_t i = dict->list.n; dict->kind == PICKLE_DICT && i >= 2; i -= 2) {
        if (pickle_is_text(dict->list.item[i - 2], key))
            return dict->list.item[i - 1];
    }
    return NULL;
}
