/* Event lists of the packed engine (packed_kernels.h says how they lie).
 *
 * A class is a bit plane and a set of time steps: without sharing each step alone; with it, steps
 * are taken in groups of up to four, and an element belongs to the set of all steps of the group at
 * which it is active, so that its weight row is read and added once for all of them. Sharing is
 * chosen where the rows it saves cost more than its streams do; what a stream costs, in rows, was
 * measured (docs/engines.md). */
#include <string.h>

#include "runtime/packed_internal.h"
#include "support/alloc.h"
#include "support/checked.h"

/* What one stream more costs, in rows. */
#define COST_STREAM 6.0

void pk_lists_fini(struct pk_lists *l)
{
    for (uint32_t q = 0; l->part && q < l->n_slices; q++) {
        spk_free(l->part[q].entry);
        spk_free(l->part[q].first);
    }
    spk_free(l->part);
    spk_free(l->cls);
    spk_free(l->group);
    pk_bits_release(l->in);
    *l = (struct pk_lists){0};
}

/* ---- one slice ---- */

struct build {
    struct pk_lists *l;
    const struct pk_bits *in;
    const struct pk_kernels *kernels;
    uint32_t slice, channels; /* of it */
    uint64_t *at;             /* [in_h + 1] where rows begin */
};

/* The first word of the slice in a row. */
static const uint64_t *row_words(const struct build *b, uint32_t y)
{
    return b->in->data + (uint64_t)y * b->l->in_w * b->in->words +
           (uint64_t)b->slice * b->l->slice / 64;
}

/* The most entries a row can have: its bits. */
static spk_status count_row(void *ctx, uint32_t y, uint32_t worker)
{
    const struct build *b = ctx;
    const struct pk_bits *in = b->in;
    uint32_t words = (b->channels + 63) / 64;
    uint64_t n = 0;

    (void)worker;
    for (uint32_t f = 0; f < in->planes * in->frames; f++) {
        const uint64_t *row = row_words(b, y) + (uint64_t)f * in->positions * in->words;

        if (words == in->words) {
            n += b->kernels->count(row, (uint64_t)b->l->in_w * words);
            continue;
        }
        for (uint32_t x = 0; x < b->l->in_w; x++)
            n += b->kernels->count(row + (uint64_t)x * in->words, words);
    }
    b->at[y + 1] = n + (uint64_t)PK_SLACK * b->l->n_classes;
    return SPK_OK;
}

static spk_status fill_row(void *ctx, uint32_t y, uint32_t worker)
{
    const struct build *b = ctx;
    const struct pk_bits *in = b->in;
    const struct pk_lists *l = b->l;
    struct pk_list_row r = {.bits = row_words(b, y),
                            .plane_words = pk_plane_words(in),
                            .frame_words = in->positions * in->words,
                            .position_words = in->words,
                            .frames = in->frames,
                            .in_w = l->in_w,
                            .channels = b->channels,
                            .n_classes = l->n_classes,
                            .cls = l->cls,
                            .shared = l->shared,
                            .entry = l->part[b->slice].entry,
                            .at = (uint32_t)b->at[y],
                            .first = l->part[b->slice].first +
                                     (uint64_t)y * l->n_classes * (l->in_w + 1)};

    (void)worker;
    (void)b->kernels->list_row(&r);
    return SPK_OK;
}

static spk_status build_slice(struct ref_job *job, struct build *b)
{
    const struct pk_lists *l = b->l;
    struct pk_slice *part = &b->l->part[b->slice];
    const uint64_t factor[] = {l->in_h, l->n_classes, l->in_w + 1};
    uint64_t firsts;

    if (!checked_product_u64(factor, 3, &firsts))
        return SPK_ERR_NOMEM;
    SPK_TRY(ref_parallel(job, l->in_h, 1, count_row, b));
    b->at[0] = 0;
    for (uint32_t y = 0; y < l->in_h; y++)
        b->at[y + 1] += b->at[y];
    if (b->at[l->in_h] > UINT32_MAX)
        return SPK_ERR_NOMEM;
    SPK_TRY(spk_alloc_array_raw(b->at[l->in_h], sizeof *part->entry, &part->entry));
    SPK_TRY(spk_alloc_array_raw(firsts, sizeof *part->first, &part->first));
    return ref_parallel(job, l->in_h, 1, fill_row, b);
}

/* ---- classes ---- */

static uint32_t group_classes(uint32_t frames, bool shared)
{
    uint32_t n = 0;

    for (uint32_t t = 0; shared && t < frames; t += PK_GROUP)
        n += (1u << (frames - t < PK_GROUP ? frames - t : PK_GROUP)) - 1;
    return shared ? n : frames;
}

static spk_status make_classes(struct pk_lists *l, const struct pk_bits *in)
{
    uint32_t k = 0, step = l->shared ? PK_GROUP : 1;

    l->n_classes = in->planes * group_classes(in->frames, l->shared);
    SPK_TRY(spk_alloc_array(l->n_classes, sizeof *l->cls, &l->cls));
    SPK_TRY(spk_alloc_array((size_t)in->planes * step, sizeof *l->group, &l->group));
    for (uint32_t p = 0; p < in->planes; p++) {
        for (uint32_t size = 1; size <= step; size++) {
            struct pk_group *g = &l->group[l->n_groups];

            g->first = k;
            for (uint32_t t = 0; t < in->frames; t += step) {
                uint32_t n = in->frames - t < step ? in->frames - t : step;

                for (uint32_t set = 1; set < 1u << n; set++) {
                    if ((uint32_t)__builtin_popcount(set) != size)
                        continue;
                    l->cls[k].plane = (uint8_t)p;
                    for (uint32_t i = 0; i < n; i++)
                        if (set >> i & 1)
                            l->cls[k].step[l->cls[k].n++] = (uint8_t)(t + i);
                    k++;
                }
            }
            g->n = k - g->first;
            l->n_groups += g->n > 0;
        }
    }
    return SPK_OK;
}

static bool choose_shared(const struct ref_job *job, const struct pk_bits *in,
                          const struct pk_weights *w)
{
    const struct pk_kernels *kernels = pk_of(job->e)->kernels;
    enum pk_share share = pk_of(job->e)->options.share;
    uint64_t words = in->positions * in->words, saved = 0;
    double more, rows;

    if (in->frames == 1 || share != PK_SHARE_AUTO)
        return in->frames > 1 && share == PK_SHARE_ALWAYS;
    for (uint32_t p = 0; p < in->planes; p++)
        saved += kernels->saved(pk_frame(in, p, 0), words, in->frames, words);
    more = in->planes *
           ((double)group_classes(in->frames, true) - (double)group_classes(in->frames, false));
    rows = (double)saved / (double)in->positions * w->kernel_w * w->kernel_h;
    return rows > more * w->n_slices * w->kernel_h * COST_STREAM;
}

/* ---- entry ---- */

static spk_status build_lists(struct ref_job *job, struct pk_lists *l, const struct pk_bits *in,
                              uint32_t n_slices)
{
    struct build b = {.l = l, .in = in, .kernels = pk_of(job->e)->kernels};
    spk_status status;

    SPK_TRY(make_classes(l, in));
    SPK_TRY(spk_alloc_array(n_slices, sizeof *l->part, &l->part));
    l->n_slices = n_slices;
    SPK_TRY(spk_alloc_array((size_t)l->in_h + 1, sizeof *b.at, &b.at));
    status = SPK_OK;
    for (uint32_t q = 0; q < n_slices && status == SPK_OK; q++) {
        uint32_t rest = in->channels - q * l->slice;

        b.slice = q;
        b.channels = rest < l->slice ? rest : l->slice;
        status = build_slice(job, &b);
    }
    spk_free(b.at);
    return status;
}

spk_status pk_lists_make(struct ref_job *job, struct pk_bits *in, const struct pk_weights *w,
                         uint32_t in_h, uint32_t in_w)
{
    struct pk_lists *l = &pk_job_of(job)->lists;
    bool shared = choose_shared(job, in, w);
    spk_status status;

    if (l->in == in && l->in_h == in_h && l->in_w == in_w && l->slice == w->slice &&
        l->shared == shared)
        return SPK_OK;
    pk_lists_fini(l);
    l->in_h = in_h;
    l->in_w = in_w;
    l->slice = w->slice;
    l->shared = shared;
    status = build_lists(job, l, in, w->n_slices);
    if (status != SPK_OK) {
        pk_lists_fini(l);
        return status;
    }
    l->in = in;
    in->refs++;
    return SPK_OK;
}
