/* Resource use of an image, core by core, from its tables (the mapper counts the same in closed
 * form; a test holds the two against each other). */
#include "backends/chip/usage.h"

#include <string.h>

#include "passes/map/map.h"
#include "support/alloc.h"

uint64_t chip_content_bits(const struct image *im, const struct tgt *target, uint32_t content,
                           uint32_t delay_bits, uint64_t *out_synapses)
{
    const struct img_content *c = &im->contents[content];
    const uint32_t weight = map_weight_bits(target, c->kind == IMG_BLOCK_PLASTIC);
    uint64_t bits = 0, synapses = 0;
    uint32_t last = 0, index;
    bool dense = true;
    if (c->kind == IMG_BLOCK_CONV) {
        const uint32_t n = (uint32_t)c->kernel_h * c->kernel_w * c->nc;
        *out_synapses = (uint64_t)c->n_rows * n;
        return c->n_rows * tgt_row_bits(&target->format, n, weight, delay_bits, 0);
    }
    for (uint64_t r = c->row_first; r < c->row_first + c->n_rows; r++) {
        const struct img_row *row = &im->rows[r];
        dense = dense && row->n_runs <= 1;
        for (uint64_t i = row->run_first; i < row->run_first + row->n_runs; i++) {
            const struct img_run *run = &im->runs[i];
            dense = dense && run->start == 0;
            if (run->start + run->length - 1 > last)
                last = run->start + run->length - 1;
        }
    }
    index = dense ? 0 : map_index_bits(&target->format, last);
    for (uint64_t r = c->row_first; r < c->row_first + c->n_rows; r++) {
        const struct img_row *row = &im->rows[r];
        uint32_t n = 0;
        for (uint64_t i = row->run_first; i < row->run_first + row->n_runs; i++)
            n += im->runs[i].length;
        synapses += n;
        bits += tgt_row_bits(&target->format, n, weight, delay_bits, index);
    }
    *out_synapses = synapses;
    return bits;
}

spk_status chip_usage_count(const struct image *im, const struct tgt *target,
                            struct chip_usage *out)
{
    uint64_t *bits, *synapses; /* per content, for delay_bits 0; others are computed again */
    SPK_TRY(spk_alloc_array(im->n_contents, sizeof *bits, &bits));
    spk_status status = spk_alloc_array(im->n_contents, sizeof *synapses, &synapses);
    if (status != SPK_OK) {
        spk_free(bits);
        return status;
    }
    for (uint32_t i = 0; i < im->n_contents; i++)
        bits[i] = chip_content_bits(im, target, i, 0, &synapses[i]);
    for (uint64_t c = 0; c < im->n_cores; c++) {
        const struct img_core *core = &im->cores[c];
        struct chip_usage *u = &out[c];
        memset(u, 0, sizeof *u);
        u->neurons = core->neurons;
        u->in_axons = core->n_in_axons;
        u->configs = core->n_configs;
        u->engine = core->n_groups > 0 && core->n_configs > 0 &&
                    im->configs[core->config_first].program == IMG_PROG_ENGINE;
        for (uint32_t i = 0; i < core->n_out_axons; i++)
            u->out_axons += im->out_axons[core->out_axon_first + i].kind == IMG_AXON_POP32
                                ? target->pop32_slots
                                : target->pop16_slots;
        for (uint32_t i = 0; i < core->n_blocks; i++) {
            const struct img_block *b = &im->blocks[core->block_first + i];
            uint64_t n;
            u->synapses += synapses[b->content];
            u->synapse_bits += b->delay_bits == 0
                                   ? bits[b->content]
                                   : chip_content_bits(im, target, b->content, b->delay_bits, &n);
        }
    }
    for (uint64_t i = 0; i < im->n_embedded; i++) {
        const struct img_embedded *e = &im->embedded[i];
        if (e->core != IMG_NONE)
            out[e->core].synapse_bits += map_engine_task_bits(target, e);
    }
    spk_free(bits);
    spk_free(synapses);
    return SPK_OK;
}
