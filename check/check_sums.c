/* Checker, part 9: sums of rows, shared by the positions of a layer.
 *
 * The hash of a source neuron is the product of one factor for its channel and one for layer and
 * position (check_hash). An axon whose atoms are neighbouring channels of one position therefore
 * adds, at every target, the position's factor times
 *     sum over its rows of factor(channel of the row) * weight,
 * which is the same for all positions, all summands of a residual sum and all cores that share the
 * content. These sums are kept per (content, rows, first channel) in a table of one thread; it is
 * emptied when it exceeds SUMS_MAX values, which costs time and changes no result. Rows of a list
 * that differ in their runs have no common targets and thus no sums. */
#include "check/check_internal.h"

#include <string.h>

#include "support/alloc.h"

#define SUMS_MAX ((size_t)1 << 22)

struct row_sum {
    uint32_t content, row, n, channel; /* n 0: free slot */
    bool regular;                      /* false: the rows differ in their runs */
    size_t first;                      /* of values[] */
};

void check_sums_fini(struct check_sums *m)
{
    spk_free(m->slot);
    vec_fini(&m->values);
    *m = (struct check_sums){0};
}

static uint32_t slot_of(const struct check_sums *m, const struct row_sum *k)
{
    uint64_t h = ((uint64_t)k->content << 32 | k->row) * 0x9e3779b97f4a7c15ull;

    h = (h ^ (h >> 29) ^ ((uint64_t)k->n << 32 | k->channel)) * 0xbf58476d1ce4e5b9ull;
    uint32_t at = (uint32_t)(h >> 32) & (m->capacity - 1);
    while (m->slot[at].n != 0 && (m->slot[at].content != k->content || m->slot[at].row != k->row ||
                                  m->slot[at].n != k->n || m->slot[at].channel != k->channel))
        at = (at + 1) & (m->capacity - 1);
    return at;
}

static spk_status grow(struct check_sums *m)
{
    struct check_sums n = *m;

    n.capacity = m->capacity ? m->capacity * 2 : 1024;
    SPK_TRY(spk_alloc_array(n.capacity, sizeof *n.slot, &n.slot));
    for (uint32_t i = 0; i < m->capacity; i++) {
        if (m->slot[i].n != 0)
            n.slot[slot_of(&n, &m->slot[i])] = m->slot[i];
    }
    spk_free(m->slot);
    *m = n;
    return SPK_OK;
}

static bool same_runs(const struct image *im, const struct img_row *a, const struct img_row *b)
{
    bool same = a->n_runs == b->n_runs;

    for (uint32_t i = 0; same && i < a->n_runs; i++)
        same = im->runs[a->run_first + i].start == im->runs[b->run_first + i].start &&
               im->runs[a->run_first + i].length == im->runs[b->run_first + i].length;
    return same;
}

/* Number of synapses of each row; false where the rows differ in their runs. */
static bool row_size(const struct image *im, const struct img_content *t, uint32_t row, uint32_t n,
                     size_t *out)
{
    bool same = true;

    *out = (size_t)t->kernel_h * t->kernel_w * t->nc;
    if (t->kind == IMG_BLOCK_CONV)
        return true;
    const struct img_row *first = &im->rows[t->row_first + row];
    *out = 0;
    for (uint32_t i = 0; i < first->n_runs; i++)
        *out += im->runs[first->run_first + i].length;
    for (uint32_t k = 1; same && k < n; k++)
        same = same_runs(im, first, first + k);
    return same;
}

static void add_weights(uint64_t *sum, const int8_t *weights, size_t n, uint64_t factor)
{
    for (size_t i = 0; i < n; i++)
        sum[i] += factor * (uint64_t)(int64_t)weights[i];
}

static void add_row(const struct image *im, const struct img_content *t, uint32_t row, size_t size,
                    uint64_t factor, uint64_t *sum)
{
    if (t->kind == IMG_BLOCK_CONV) {
        add_weights(sum, im->weights + t->weight_first + row * size, size, factor);
        return;
    }
    const struct img_row *r = &im->rows[t->row_first + row];
    for (uint32_t i = 0; i < r->n_runs; i++) {
        const struct img_run *run = &im->runs[r->run_first + i];

        add_weights(sum, im->weights + run->weight_first, run->length, factor);
        sum += run->length;
    }
}

spk_status check_sums_find(struct check_sums *m, const struct image *im, uint32_t content,
                           uint32_t row, uint32_t n, uint32_t channel, const uint64_t **out)
{
    const struct img_content *t = &im->contents[content];
    struct row_sum key = {.content = content, .row = row, .n = n, .channel = channel};
    size_t size;

    *out = NULL;
    if (m->values.len > SUMS_MAX) {
        memset(m->slot, 0, m->capacity * sizeof *m->slot);
        m->used = 0;
        vec_clear(&m->values);
    }
    if ((m->used + 1) * 2 > m->capacity)
        SPK_TRY(grow(m));
    uint32_t at = slot_of(m, &key);
    if (m->slot[at].n == 0) {
        key.regular = row_size(im, t, row, n, &size);
        key.first = m->values.len;
        if (key.regular) {
            SPK_TRY(vec_resize(&m->values, key.first + size));
            for (uint32_t k = 0; k < n; k++)
                add_row(im, t, row + k, size, check_hash_channel(channel + k),
                        m->values.data + key.first);
        }
        m->slot[at] = key;
        m->used++;
    }
    if (m->slot[at].regular)
        *out = m->values.data + m->slot[at].first;
    return SPK_OK;
}
