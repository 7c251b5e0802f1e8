/* Resource use of an image, core by core and group by group, from its tables (the mapper counts the
 * same in closed form; a test holds the two against each other). */
#include "backends/chip/usage.h"

#include <string.h>

#include "passes/map/map.h"
#include "support/alloc.h"

uint64_t chip_content_bits(const struct image *im, const struct tgt *target, uint32_t content,
                           uint32_t weight_bits, uint32_t delay_bits, uint64_t *out_synapses)
{
    const struct img_content *c = &im->contents[content];
    const uint32_t weight =
        c->kind == IMG_BLOCK_PLASTIC ? weight_bits + target->arith.plastic_tag_bits : weight_bits;
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

struct counting {
    const struct image *im;
    const struct tgt *target;
    uint64_t *bits, *synapses; /* per content, for delay_bits 0; others are computed again */
    uint32_t *block_group;     /* [blocks] */
    struct chip_usage *group;  /* [groups] */
};

static void count_compartments(struct counting *c, const struct img_core *core)
{
    for (uint32_t g = core->group_first; g < core->group_first + core->n_groups; g++) {
        c->group[g].neurons = img_group_comps(c->im, g);
        c->group[g].engine =
            core->n_configs > 0 && c->im->configs[core->config_first].program == IMG_PROG_ENGINE;
    }
}

static void count_axons(struct counting *c, uint32_t id)
{
    const struct image *im = c->im;
    const struct img_core *core = &im->cores[id];
    for (uint32_t i = 0; i < core->n_in_axons; i++) {
        const struct img_in_axon *a = &im->in_axons[core->in_axon_first + i];
        const uint32_t g = img_axon_group(im, id, a);
        c->group[g].in_axons++;
        if (a->block != IMG_NONE)
            c->block_group[a->block] = g;
    }
    for (uint32_t i = 0; i < core->n_out_axons; i++) {
        const struct img_out_axon *a = &im->out_axons[core->out_axon_first + i];
        c->group[img_group_at(im, id, a->comp_first)].out_axons +=
            a->kind == IMG_AXON_POP32 ? c->target->pop32_slots : c->target->pop16_slots;
    }
}

static uint32_t usual_bits(const struct counting *c, uint32_t kind)
{
    return kind == IMG_BLOCK_PLASTIC ? c->target->arith.plastic_bits : c->target->arith.weight_bits;
}

static void count_blocks(struct counting *c, const struct img_core *core)
{
    for (uint32_t i = core->block_first; i < core->block_first + core->n_blocks; i++) {
        const struct img_block *b = &c->im->blocks[i];
        struct chip_usage *u = &c->group[c->block_group[i]];
        uint64_t n;
        u->synapses += c->synapses[b->content];
        const bool usual = b->delay_bits == 0 && b->weight_bits == usual_bits(c, b->kind);
        u->synapse_bits += usual ? c->bits[b->content]
                                 : chip_content_bits(c->im, c->target, b->content, b->weight_bits,
                                                     b->delay_bits, &n);
    }
}

static void count_core(struct counting *c, uint32_t id, struct chip_usage *out)
{
    const struct img_core *core = &c->im->cores[id];
    memset(out, 0, sizeof *out);
    for (uint32_t i = core->block_first; i < core->block_first + core->n_blocks; i++)
        c->block_group[i] = core->group_first; /* where no axon comes to it */
    count_compartments(c, core);
    count_axons(c, id);
    count_blocks(c, core);
    for (uint32_t i = core->group_first; i < core->group_first + core->n_groups; i++) {
        const struct chip_usage *u = &c->group[i];
        out->engine = out->engine || u->engine;
        out->neurons += u->neurons;
        out->in_axons += u->in_axons;
        out->out_axons += u->out_axons;
        out->synapse_bits += u->synapse_bits;
        out->synapses += u->synapses;
    }
    out->configs = core->n_configs;
}

static spk_status count(struct counting *c, struct chip_usage *out_core)
{
    const struct image *im = c->im;
    SPK_TRY(spk_alloc_array(im->n_contents, sizeof *c->bits, &c->bits));
    SPK_TRY(spk_alloc_array(im->n_contents, sizeof *c->synapses, &c->synapses));
    SPK_TRY(spk_alloc_array_raw(im->n_blocks, sizeof *c->block_group, &c->block_group));
    SPK_TRY(spk_alloc_array(im->n_groups, sizeof *c->group, &c->group));
    for (uint32_t i = 0; i < im->n_contents; i++)
        c->bits[i] = chip_content_bits(im, c->target, i, usual_bits(c, im->contents[i].kind), 0,
                                       &c->synapses[i]);
    for (uint32_t i = 0; i < im->n_cores; i++)
        count_core(c, i, &out_core[i]);
    for (uint64_t i = 0; i < im->n_embedded; i++) {
        const struct img_embedded *e = &im->embedded[i];
        if (e->core == IMG_NONE)
            continue;
        const uint64_t bits = map_engine_task_bits(c->target, e);
        out_core[e->core].synapse_bits += bits;
        c->group[im->cores[e->core].group_first].synapse_bits += bits;
    }
    return SPK_OK;
}

spk_status chip_usage_count(const struct image *im, const struct tgt *target,
                            struct chip_usage *out_core, struct chip_usage *out_group)
{
    struct counting c = {.im = im, .target = target};
    spk_status status = count(&c, out_core);
    if (status == SPK_OK && out_group != NULL)
        memcpy(out_group, c.group, im->n_groups * sizeof *out_group);
    spk_free(c.bits);
    spk_free(c.synapses);
    spk_free(c.block_group);
    spk_free(c.group);
    return status;
}
