/* Checker: which groups of a core the synapses of an in-axon can end in. Told by the first and the
 * last target of the whole content, so it is never too little. Cost: linear in the runs, once. */
#include "check/check_internal.h"
#include "support/alloc.h"

spk_status check_find_spans(struct check *c)
{
    const struct image *im = c->im;

    SPK_TRY(spk_alloc_array(im->n_contents, sizeof *c->span_first, &c->span_first));
    SPK_TRY(spk_alloc_array(im->n_contents, sizeof *c->span_last, &c->span_last));
    for (uint64_t i = 0; i < im->n_contents; i++) {
        const struct img_content *t = &im->contents[i];
        uint32_t first = UINT32_MAX, last = 0;

        for (uint64_t r = t->row_first; t->kind != IMG_BLOCK_CONV && r < t->row_first + t->n_rows;
             r++) {
            const struct img_run *run = &im->runs[im->rows[r].run_first];

            for (uint32_t j = 0; j < im->rows[r].n_runs; j++, run++) {
                const uint32_t end = run->start + run->length - 1;

                first = run->start < first ? run->start : first;
                last = end > last ? end : last;
            }
        }
        c->span_first[i] = first == UINT32_MAX ? 0 : first;
        c->span_last[i] = last;
    }
    return SPK_OK;
}

void check_axon_groups(const struct check *c, uint32_t core, const struct img_in_axon *a,
                       uint32_t *out_first, uint32_t *out_last)
{
    const struct img_core *k = &c->im->cores[core];

    *out_first = *out_last = a->group != IMG_NONE ? a->group : k->group_first;
    if (a->group != IMG_NONE || a->block == IMG_NONE || k->n_groups == 1)
        return;
    const uint32_t content = c->im->blocks[a->block].content;
    *out_first = img_group_at(c->im, core, a->base + c->span_first[content]);
    *out_last = img_group_at(c->im, core, a->base + c->span_last[content]);
}
