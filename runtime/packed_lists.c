/* Event lists of the packed engine (packed_kernels.h says how they lie).
 *
 * A class is a bit plane and a set of time steps: without sharing each step alone; with it, steps
 * are taken in groups of up to four, and an element belongs to the set of all steps of the group at
 * which it is active, so that its weight row is read and added once for all of them.
 * Algorithm: per row of the image the lists' lengths are counted, then offsets are summed up, then
 * the lists are filled; the sets of 64 channels at a time are ANDs of the steps' words.
 * Sharing is chosen where the rows it saves cost more than its classes do: both are counted in
 * loads of a vector; the cost of a class was measured (docs/engines.md).                        */
#include <string.h>

#include "runtime/packed_internal.h"
#include "support/alloc.h"

/* What an empty or short list costs for each row of the window, and a class altogether, in loads
 * of 64 bytes. */
#define COST_PIECE 10.0
#define COST_CLASS 12.0

#define SETS (1u << PK_GROUP)

void pk_lists_fini(struct pk_lists *l)
{
    for (uint32_t q = 0; q < l->n_slices; q++) {
        if (l->first)
            spk_free(l->first[q]);
        if (l->entry)
            spk_free(l->entry[q]);
    }
    spk_free(l->first);
    spk_free(l->entry);
    spk_free(l->cls);
    if (l->in) {
        struct pk_bits *in = (struct pk_bits *)(uintptr_t)l->in;
        pk_bits_release(in);
    }
    *l = (struct pk_lists){0};
}

/* Words of one position at the steps of a group, split into sets: mask[s] has the channels that
 * are active at exactly the steps of s. */
static inline void split(const uint64_t *step, uint32_t n, uint64_t *mask)
{
    mask[0] = ~(uint64_t)0;
    for (uint32_t t = 0; t < n; t++) {
        for (uint32_t s = 0; s < 1u << t; s++) {
            mask[s + (1u << t)] = mask[s] & step[t];
            mask[s] &= ~step[t];
        }
    }
}

struct build {
    struct pk_lists *l;
    const struct pk_bits *in;
    uint32_t slice;    /* being built */
    uint32_t channels; /* of it */
    uint64_t *row_n;   /* [in_h]: entries of a row, then where they begin */
};

/* Calls the body for every class and word: channels [64 * word, ..) of (y, x), `bits` of class k.
 */
#define FOR_CLASSES(b, y, x, word, k, bits, body)                                        \
    do {                                                                                 \
        const struct pk_bits *in_ = (b)->in;                                             \
        uint64_t at_ = ((uint64_t)(y) * (b)->l->in_w + (x)) * in_->words + (word);       \
        uint32_t k = 0;                                                                  \
                                                                                         \
        for (uint32_t p_ = 0; p_ < in_->planes; p_++) {                                  \
            for (uint32_t t_ = 0; t_ < in_->frames && !(b)->l->shared; t_++, k++) {      \
                uint64_t bits = pk_frame(in_, p_, t_)[at_];                              \
                body                                                                     \
            }                                                                            \
            for (uint32_t t_ = 0; t_ < in_->frames && (b)->l->shared; t_ += PK_GROUP) {  \
                uint32_t n_ = in_->frames - t_ < PK_GROUP ? in_->frames - t_ : PK_GROUP; \
                uint64_t step_[PK_GROUP], mask_[SETS], any_ = 0;                         \
                                                                                         \
                for (uint32_t i_ = 0; i_ < n_; i_++)                                     \
                    any_ |= step_[i_] = pk_frame(in_, p_, t_ + i_)[at_];                 \
                if (!any_) {                                                             \
                    k += (1u << n_) - 1;                                                 \
                    continue;                                                            \
                }                                                                        \
                split(step_, n_, mask_);                                                 \
                for (uint32_t s_ = 1; s_ < 1u << n_; s_++, k++) {                        \
                    uint64_t bits = mask_[s_];                                           \
                    body                                                                 \
                }                                                                        \
            }                                                                            \
        }                                                                                \
    } while (0)

static uint32_t *first_of(const struct build *b, uint32_t y, uint32_t x)
{
    return b->l->first[b->slice] + ((uint64_t)y * (b->l->in_w + 1) + x) * b->l->n_classes;
}

/* first[x + 1][k]: events of class k at x. */
static spk_status count_row(void *ctx, uint32_t y, uint32_t worker)
{
    const struct build *b = ctx;
    uint32_t word0 = b->slice * b->l->slice / 64, words = (b->channels + 63) / 64;
    uint64_t total = 0;

    (void)worker;
    for (uint32_t x = 0; x < b->l->in_w; x++) {
        uint32_t *n = first_of(b, y, x + 1);

        for (uint32_t w = 0; w < words; w++)
            FOR_CLASSES(b, y, x, word0 + w, k, bits, {
                uint32_t c = (uint32_t)__builtin_popcountll(bits);

                n[k] += c;
                total += c;
            });
    }
    b->row_n[y] = total;
    return SPK_OK;
}

/* Lengths to places: the lists of a row one behind the other. */
static void place_row(const struct build *b, uint32_t y, uint32_t begin)
{
    for (uint32_t k = 0; k < b->l->n_classes; k++) {
        first_of(b, y, 0)[k] = begin;
        for (uint32_t x = 0; x < b->l->in_w; x++)
            begin = first_of(b, y, x + 1)[k] += begin;
    }
}

static spk_status fill_row(void *ctx, uint32_t y, uint32_t worker)
{
    const struct build *b = ctx;
    uint32_t word0 = b->slice * b->l->slice / 64, words = (b->channels + 63) / 64;
    uint32_t *entry = b->l->entry[b->slice], *at = NULL;

    (void)worker;
    place_row(b, y, (uint32_t)b->row_n[y]);
    SPK_TRY(spk_alloc_array_raw(b->l->n_classes, sizeof *at, &at));
    memcpy(at, first_of(b, y, 0), b->l->n_classes * sizeof *at);
    for (uint32_t x = 0; x < b->l->in_w; x++) {
        uint32_t base = x * b->channels;

        for (uint32_t w = 0; w < words; w++)
            FOR_CLASSES(b, y, x, word0 + w, k, bits, {
                uint32_t *to = entry + at[k];

                for (; bits; bits &= bits - 1)
                    *to++ = (base + w * 64 + (uint32_t)__builtin_ctzll(bits)) * b->l->row_bytes;
                at[k] = (uint32_t)(to - entry);
            });
    }
    /* Every list of a position ends where that of the next begins. */
    spk_free(at);
    return SPK_OK;
}

static spk_status build_slice(struct ref_job *job, struct pk_lists *l, const struct pk_bits *in,
                              uint32_t q)
{
    uint32_t channels =
        in->channels - q * l->slice < l->slice ? in->channels - q * l->slice : l->slice;
    struct build b = {l, in, q, channels, NULL};
    uint64_t total = 0;
    spk_status status = spk_alloc_array((size_t)l->in_h * ((size_t)l->in_w + 1),
                                        l->n_classes * sizeof **l->first, &l->first[q]);

    if (status == SPK_OK)
        status = spk_alloc_array(l->in_h, sizeof *b.row_n, &b.row_n);
    if (status == SPK_OK)
        status = ref_parallel(job, l->in_h, 1, count_row, &b);
    for (uint32_t y = 0; status == SPK_OK && y < l->in_h; y++) {
        uint64_t n = b.row_n[y];

        b.row_n[y] = total;
        total += n;
    }
    if (status == SPK_OK && total > UINT32_MAX)
        status = SPK_ERR_NOMEM;
    if (status == SPK_OK)
        status = spk_alloc_array_raw(total + 1, sizeof **l->entry, &l->entry[q]);
    if (status == SPK_OK)
        status = ref_parallel(job, l->in_h, 1, fill_row, &b);
    spk_free(b.row_n);
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
    uint32_t k = 0;

    l->n_classes = in->planes * group_classes(in->frames, l->shared);
    SPK_TRY(spk_alloc_array(l->n_classes, sizeof *l->cls, &l->cls));
    for (uint32_t p = 0; p < in->planes; p++) {
        for (uint32_t t = 0; t < in->frames; t += l->shared ? PK_GROUP : 1) {
            uint32_t n = l->shared && in->frames - t >= PK_GROUP ? PK_GROUP
                         : l->shared                             ? in->frames - t
                                                                 : 1;

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

/* Events that sharing saves, per position of the input. */
static double saved(const struct ref_job *job, const struct pk_bits *in)
{
    const struct pk_kernels *kernels = pk_of(job->e)->kernels;
    uint64_t words = in->positions * in->words, lost = 0;
    uint64_t all = kernels->count(in->data, in->planes * pk_plane_words(in));

    for (uint32_t p = 0; p < in->planes; p++) {
        for (uint32_t t = 0; t < in->frames; t += PK_GROUP) {
            uint32_t n = in->frames - t < PK_GROUP ? in->frames - t : PK_GROUP;

            for (uint64_t i = 0; i < words; i++) {
                uint64_t any = 0;

                for (uint32_t s = 0; s < n; s++)
                    any |= pk_frame(in, p, t + s)[i];
                lost += (uint64_t)__builtin_popcountll(any);
            }
        }
    }
    return in->positions ? (double)(all - lost) / (double)in->positions : 0;
}

static bool choose_shared(const struct ref_job *job, const struct pk_bits *in,
                          const struct pk_weights *w, uint32_t kernel_h)
{
    enum pk_share share = pk_of(job->e)->options.share;
    double more, rows;

    if (in->frames == 1 || share != PK_SHARE_AUTO)
        return in->frames > 1 && share == PK_SHARE_ALWAYS;
    more = in->planes *
           ((double)group_classes(in->frames, true) - (double)group_classes(in->frames, false));
    rows = saved(job, in) * w->taps * ((double)w->row_bytes / 64);
    return rows > more * w->n_slices * (kernel_h * COST_PIECE + COST_CLASS);
}

spk_status pk_lists_make(struct ref_job *job, const struct pk_bits *in, const struct pk_weights *w,
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
    l->frames = in->frames;
    status = make_classes(l, in);
    if (status == SPK_OK)
        status = spk_alloc_array(w->n_slices, sizeof *l->first, &l->first);
    if (status == SPK_OK)
        status = spk_alloc_array(w->n_slices, sizeof *l->entry, &l->entry);
    if (status == SPK_OK)
        l->n_slices = w->n_slices;
    for (uint32_t q = 0; q < w->n_slices && status == SPK_OK; q++)
        status = build_slice(job, l, in, q);
    if (status != SPK_OK) {
        pk_lists_fini(l);
        return status;
    }
    l->in = in;
    ((struct pk_bits *)(uintptr_t)in)->refs++;
    return SPK_OK;
}
