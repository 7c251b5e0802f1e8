/* Event lists of the packed engine (packed_kernels.h says how they lie).
 *
 * A class is a bit plane and a set of time steps: without sharing each step alone; with it, steps
 * are taken in groups of up to four, and an element belongs to the set of all steps of the group at
 * which it is active, so that its weight row is read and added once for all of them.
 * Algorithm: per row of the image the events are listed as they come, with their classes, and
 * sorted by class: the numbers of every position and class tell where each goes. Sharing is chosen
 * where the rows it saves cost more than its classes do: both are counted in loads of a vector; the
 * cost of a class was measured (docs/engines.md).                        */
#include <string.h>

#include "runtime/packed_internal.h"
#include "support/alloc.h"

/* What an empty or short list costs for each row of the window, and a class altogether, in loads
 * of 64 bytes. */
#define COST_PIECE 10.0
#define COST_CLASS 12.0

void pk_lists_fini(struct pk_lists *l)
{
    for (uint32_t q = 0; q < l->n_slices; q++) {
        for (uint32_t y = 0; l->row && l->row[q] && y < l->in_h; y++)
            spk_free(l->row[q][y].memory);
        if (l->row)
            spk_free(l->row[q]);
    }
    spk_free(l->row);
    spk_free(l->cls);
    pk_bits_release(l->in);
    *l = (struct pk_lists){0};
}

/* ---- one slice ---- */

struct build {
    struct pk_lists *l;
    const struct pk_bits *in;
    const struct pk_kernels *kernels;
    uint32_t slice, channels; /* of it */
    uint32_t plane_classes;
};

/* The longest list of a row: all its bits. */
static uint64_t row_bits(const struct build *b, const struct pk_list_row *r)
{
    uint64_t n = 0, words = (uint64_t)b->l->in_w * r->position_words;

    for (uint32_t p = 0; p < r->planes; p++)
        for (uint32_t t = 0; t < r->frames; t++)
            n += b->kernels->count(r->bits + p * r->plane_words + t * r->frame_words, words);
    return n;
}

/* Numbers of events become places; entries go there. */
static void sort_row(const struct build *b, const struct pk_list_row *r, uint32_t n,
                     uint32_t *entry, uint32_t *at)
{
    uint32_t classes = b->l->n_classes, begin = 0;

    for (uint32_t k = 0; k < classes; k++) {
        at[k] = r->count[k] = begin;
        for (uint32_t x = 1; x <= b->l->in_w; x++)
            begin = r->count[(uint64_t)x * classes + k] += begin;
    }
    for (uint32_t i = 0; i < n; i++)
        entry[at[r->cls[i]]++] = r->value[i];
}

static spk_status build_row(void *ctx, uint32_t y, uint32_t worker)
{
    const struct build *b = ctx;
    const struct pk_bits *in = b->in;
    struct pk_row *row = &b->l->row[b->slice][y];
    uint32_t classes = b->l->n_classes, n, *at = NULL;
    uint64_t position = (uint64_t)y * b->l->in_w, most, firsts;
    struct pk_list_row r = {.plane_words = pk_plane_words(in),
                            .frame_words = in->positions * in->words,
                            .position_words = in->words,
                            .planes = in->planes,
                            .frames = in->frames,
                            .in_w = b->l->in_w,
                            .words = (b->channels + 63) / 64,
                            .channels = b->channels,
                            .row_bytes = b->l->row_bytes,
                            .n_classes = classes,
                            .plane_classes = b->plane_classes,
                            .shared = b->l->shared};
    spk_status status;

    (void)worker;
    r.bits = in->data + position * in->words;
    most = row_bits(b, &r);
    r.bits += (uint64_t)b->slice * b->l->slice / 64;
    firsts = (uint64_t)classes * (b->l->in_w + 1);
    if (most > UINT32_MAX)
        return SPK_ERR_NOMEM;
    SPK_TRY(spk_alloc_array(firsts, sizeof *r.count, &row->memory));
    r.count = row->memory;
    SPK_TRY(spk_alloc_array_raw(most + most / 2 + classes + 1, sizeof *at, &at));
    r.value = at + classes;
    r.cls = (uint16_t *)(void *)(r.value + most);
    n = b->kernels->list_row(&r);
    status = spk_realloc_array(firsts + n + PK_SLACK, sizeof *at, &row->memory);
    if (status == SPK_OK) {
        r.count = row->memory;
        row->first = r.count;
        row->entry = r.count + firsts;
        sort_row(b, &r, n, r.count + firsts, at);
        memset(r.count + firsts + n, 0, PK_SLACK * sizeof *at);
    }
    spk_free(at);
    return status;
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
    for (uint32_t p = 0; p < in->planes; p++) {
        for (uint32_t t = 0; t < in->frames; t += step) {
            uint32_t n = in->frames - t < step ? in->frames - t : step;

            for (uint32_t s = 1; s < 1u << n; s++, k++) {
                l->cls[k].plane = (uint8_t)p;
                for (uint32_t i = 0; i < n; i++)
                    if (s >> i & 1)
                        l->cls[k].step[l->cls[k].n++] = (uint8_t)(t + i);
            }
        }
    }
    return SPK_OK;
}

static bool choose_shared(const struct ref_job *job, const struct pk_bits *in,
                          const struct pk_weights *w, uint32_t kernel_h)
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
    rows = (double)saved / (double)in->positions * w->taps * ((double)w->row_bytes / 64);
    return rows > more * w->n_slices * (kernel_h * COST_PIECE + COST_CLASS);
}

/* ---- entry ---- */

static spk_status build_lists(struct ref_job *job, struct pk_lists *l, struct pk_bits *in,
                              uint32_t n_slices)
{
    struct build b = {.l = l, .in = in, .kernels = pk_of(job->e)->kernels};

    SPK_TRY(make_classes(l, in));
    SPK_TRY(spk_alloc_array(n_slices, sizeof *l->row, &l->row));
    l->n_slices = n_slices;
    b.plane_classes = group_classes(in->frames, l->shared);
    for (uint32_t q = 0; q < n_slices; q++) {
        uint32_t rest = in->channels - q * l->slice;

        b.slice = q;
        b.channels = rest < l->slice ? rest : l->slice;
        SPK_TRY(spk_alloc_array(l->in_h, sizeof **l->row, &l->row[q]));
        SPK_TRY(ref_parallel(job, l->in_h, 1, build_row, &b));
    }
    return SPK_OK;
}

spk_status pk_lists_make(struct ref_job *job, struct pk_bits *in, const struct pk_weights *w,
                         uint32_t in_h, uint32_t in_w, uint32_t kernel_h)
{
    struct pk_lists *l = &pk_job_of(job)->lists;
    bool shared = choose_shared(job, in, w, kernel_h);
    spk_status status;

    if (l->in == in && l->in_h == in_h && l->in_w == in_w && l->slice == w->slice &&
        l->row_bytes == w->row_bytes && l->shared == shared)
        return SPK_OK;
    pk_lists_fini(l);
    l->in_h = in_h;
    l->in_w = in_w;
    l->slice = w->slice;
    l->row_bytes = w->row_bytes;
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
