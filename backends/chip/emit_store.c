/* What an image stores once however often it is used: weights and contents.
 *
 * Kernels. A run of synapses is a sequence of pieces: one target position each, consecutive target
 * channels, one kernel coordinate. Neighbouring positions see kernel coordinates that fall by the
 * stride. So the weights of one source channel to one range of target channels lie in the image
 * once, all kernel coordinates in that order (by residue modulo the stride, then falling), and a
 * run of any position, border or middle, is a part of them. Runs that are no such part (several
 * kernel rows in one run) are stored as they are, once per value.
 * Contents that come out equal are one, though the projections or delays they were made for differ.
 *
 * Tables are hash tables with linear probing, at most half full; entries stay in the order in which
 * they were asked for, so the image does not depend on the hash. */
#include <string.h>

#include "backends/chip/emit_internal.h"
#include "support/alloc.h"

struct emit_slot {
    uint64_t key[2];
    uint64_t value; /* + 1; 0: free */
};

/* Whether the stored value is what is looked for; NULL: equal keys suffice. */
typedef bool (*same_fn)(const struct emit *e, uint64_t value, const void *wanted);

void emit_table_fini(struct emit_table *t)
{
    spk_free(t->slot);
    *t = (struct emit_table){0};
}

static uint64_t mix(uint64_t h, uint64_t x)
{
    h = (h ^ x) * 0xff51afd7ed558ccdu;
    return h ^ h >> 32;
}

static size_t home(const struct emit_table *t, const uint64_t key[2])
{
    return (size_t)mix(mix(0x9e3779b97f4a7c15u, key[0]), key[1]) & (t->capacity - 1);
}

static spk_status grow(struct emit_table *t)
{
    struct emit_table n = {.capacity = t->capacity ? t->capacity * 2 : 256, .n = t->n};
    SPK_TRY(spk_alloc_array(n.capacity, sizeof *n.slot, &n.slot));
    for (size_t i = 0; i < t->capacity; i++) {
        if (t->slot[i].value == 0)
            continue;
        size_t at = home(&n, t->slot[i].key);
        while (n.slot[at].value != 0)
            at = (at + 1) & (n.capacity - 1);
        n.slot[at] = t->slot[i];
    }
    emit_table_fini(t);
    *t = n;
    return SPK_OK;
}

/* Finds what `same` accepts under the key, or adds `value`. */
static spk_status intern(struct emit *e, struct emit_table *t, const uint64_t key[2],
                         uint64_t value, same_fn same, const void *wanted, uint64_t *out_value,
                         bool *out_new)
{
    if ((t->n + 1) * 2 > t->capacity)
        SPK_TRY(grow(t));
    size_t at = home(t, key);
    for (; t->slot[at].value != 0; at = (at + 1) & (t->capacity - 1)) {
        const struct emit_slot *s = &t->slot[at];
        if (s->key[0] == key[0] && s->key[1] == key[1] &&
            (same == NULL || same(e, s->value - 1, wanted)))
            break;
    }
    *out_new = t->slot[at].value == 0;
    if (*out_new) {
        t->slot[at] = (struct emit_slot){{key[0], key[1]}, value + 1};
        t->n++;
    }
    *out_value = t->slot[at].value - 1;
    return SPK_OK;
}

/* ---- weights ---- */

/* The weights at the end of the table, from `first`. */
static bool same_bytes(const struct emit *e, uint64_t value, const void *wanted)
{
    const uint64_t first = *(const uint64_t *)wanted;
    return memcmp(e->weights.data + value, e->weights.data + first, e->weights.len - first) == 0;
}

static uint64_t hash_bytes(const int8_t *data, uint64_t n)
{
    uint64_t h = n, word;
    for (; n >= sizeof word; n -= sizeof word, data += sizeof word) {
        memcpy(&word, data, sizeof word);
        h = mix(h, word);
    }
    word = 0;
    memcpy(&word, data, n);
    return mix(h, word);
}

spk_status emit_store_bytes(struct emit *e, uint64_t first, uint64_t *out_first)
{
    const uint64_t n = e->weights.len - first;
    const uint64_t key[2] = {n ? hash_bytes(e->weights.data + first, n) : 0, n};
    bool fresh;
    SPK_TRY(intern(e, &e->stored_bytes, key, first, same_bytes, &first, out_first, &fresh));
    if (!fresh)
        e->weights.len = first;
    return SPK_OK;
}

/* Place of kernel coordinate k along one axis, see above. */
static uint32_t tap_place(uint32_t k, uint32_t kernel, uint32_t stride)
{
    const uint32_t residue = k % stride;
    uint32_t before = 0;
    for (uint32_t r = 0; r < residue; r++)
        before += r < kernel ? (kernel - 1 - r) / stride + 1 : 0;
    return before + (kernel - 1 - k) / stride;
}

uint32_t emit_tap(const struct map_proj *p, uint32_t ky, uint32_t kx)
{
    return tap_place(ky, p->kernel, p->stride) * p->kernel_w +
           tap_place(kx, p->kernel_w, p->stride_w);
}

/* Where the kernels of all source channels to one range of target channels begin: part of
 * kernel_first, one entry per channel, UINT64_MAX where there is none yet. One look-up serves the
 * rows of a block, which take their channels in order. */
static spk_status kernel_range(struct emit *e, const struct map_proj *p, uint32_t inputs,
                               uint32_t target, uint32_t length, uint64_t *out_range)
{
    const uint64_t key[2] = {(uint64_t)p->weight_param << 32 | target, length};
    const size_t n = e->kernel_first.len;
    bool fresh;
    SPK_TRY(intern(e, &e->stored_kernels, key, n, NULL, NULL, out_range, &fresh));
    if (!fresh)
        return SPK_OK;
    SPK_TRY(vec_resize(&e->kernel_first, n + inputs));
    for (uint32_t i = 0; i < inputs; i++)
        e->kernel_first.data[n + i] = UINT64_MAX;
    return SPK_OK;
}

spk_status emit_store_kernel(struct emit *e, const struct map_proj *p, uint32_t channel,
                             uint32_t target, uint32_t length, uint64_t *out_first)
{
    const struct ir_param *w = &e->net->module->param[p->weight_param];
    const uint64_t taps = (uint64_t)p->kernel * p->kernel_w;
    const int8_t *from = w->data;
    uint64_t range;
    SPK_TRY(kernel_range(e, p, w->dim[1], target, length, &range));
    *out_first = e->kernel_first.data[range + channel];
    if (*out_first != UINT64_MAX)
        return SPK_OK;
    *out_first = e->weights.len;
    SPK_TRY(vec_resize(&e->weights, e->weights.len + taps * length));
    e->kernel_first.data[range + channel] = *out_first;
    from += (uint64_t)target * w->dim[1] * taps + channel * taps;
    for (uint32_t ky = 0; ky < p->kernel; ky++) {
        for (uint32_t kx = 0; kx < p->kernel_w; kx++, from++) {
            int8_t *to = e->weights.data + *out_first + (uint64_t)emit_tap(p, ky, kx) * length;
            for (uint32_t i = 0; i < length; i++)
                to[i] = from[(uint64_t)i * w->dim[1] * taps];
        }
    }
    return SPK_OK;
}

spk_status emit_store_constant(struct emit *e, int8_t weight, uint32_t length, uint64_t *out_first)
{
    struct emit_constant *c = &e->constant[(uint8_t)weight];
    if (c->length == 0) {
        c->length = e->longest_run;
        c->first = e->weights.len;
        SPK_TRY(vec_resize(&e->weights, c->first + c->length));
        memset(e->weights.data + c->first, weight, c->length);
    }
    *out_first = c->first;
    return length <= c->length
               ? SPK_OK
               : diag_internal(e->diags, spk_span_none, "E0709",
                               "a run of %u synapses is longer than its tile", length);
}

/* ---- contents ---- */

static bool same_rows(const struct emit *e, const struct img_content *a,
                      const struct img_content *b)
{
    for (uint64_t i = 0; i < a->n_rows; i++) {
        const struct img_row *x = &e->rows.data[a->row_first + i];
        const struct img_row *y = &e->rows.data[b->row_first + i];
        if (x->n_runs != y->n_runs)
            return false;
        for (uint64_t j = 0; j < x->n_runs; j++) {
            const struct img_run *p = &e->runs.data[x->run_first + j];
            const struct img_run *q = &e->runs.data[y->run_first + j];
            if (p->start != q->start || p->length != q->length ||
                p->weight_first != q->weight_first)
                return false;
        }
    }
    return true;
}

static bool same_content(const struct emit *e, uint64_t value, const void *wanted)
{
    const struct img_content *a = &e->contents.data[value], *b = wanted;
    if (a->kind != b->kind || a->n_rows != b->n_rows || a->nc != b->nc)
        return false;
    if (a->kind == IMG_BLOCK_LIST)
        return same_rows(e, a, b);
    return a->kernel_h == b->kernel_h && a->kernel_w == b->kernel_w && a->stride == b->stride &&
           a->pad == b->pad && a->weight_first == b->weight_first;
}

static uint64_t hash_rows(const struct emit *e, const struct img_content *c)
{
    uint64_t h = c->n_rows;
    for (uint64_t i = c->row_first; i < c->row_first + c->n_rows; i++) {
        const struct img_row *row = &e->rows.data[i];
        h = mix(h, row->n_runs);
        for (uint64_t j = row->run_first; j < row->run_first + row->n_runs; j++) {
            const struct img_run *run = &e->runs.data[j];
            h = mix(mix(h, (uint64_t)run->start << 32 | run->length), run->weight_first);
        }
    }
    return h;
}

/* The rows of a list content are the last ones of their tables: they go where it is not new. */
spk_status emit_store_content(struct emit *e, const struct img_content *c, uint32_t *out_content)
{
    const bool list = c->kind == IMG_BLOCK_LIST;
    const uint64_t key[2] = {list ? hash_rows(e, c) : c->weight_first, c->kind};
    uint64_t id;
    bool fresh;
    SPK_TRY(intern(e, &e->stored_contents, key, e->contents.len, same_content, c, &id, &fresh));
    *out_content = (uint32_t)id;
    if (fresh)
        return vec_push(&e->contents, *c);
    if (list && c->n_rows > 0) {
        e->runs.len = (size_t)e->rows.data[c->row_first].run_first;
        e->rows.len = (size_t)c->row_first;
    }
    return SPK_OK;
}
