/* Usage of all tiles. Tiles of a grid whose windows no border cuts, and that are as large, use the
 * same: each class is counted once, so the cost is that of a few tiles per population plus one copy
 * per tile. */
#include "passes/map/map.h"
#include "support/alloc.h"

/* out[g]: the first row (column) of the grid that costs the same as row g. */
static void axis_likes(const struct map_net *net, const struct map_pop *p, bool columns,
                       uint32_t *out)
{
    const uint32_t tile = columns ? p->tw : p->th, size = columns ? p->width : p->height;
    const uint32_t n = columns ? p->gw : p->gh;
    uint32_t inner = IR_NONE;
    for (uint32_t g = 0; g < n; g++) {
        bool cut = (uint64_t)(g + 1) * tile > size;
        for (uint32_t i = 0; i < p->n_projs; i++) {
            const struct map_proj *j = &net->projs.data[p->proj_first + i];
            const uint64_t stride = columns ? j->stride_w : j->stride;
            const uint64_t pad = columns ? j->pad_w : j->pad;
            const uint64_t kernel = columns ? j->kernel_w : j->kernel;
            const uint64_t view = columns ? j->view_w : j->view_h;
            const uint64_t first = (uint64_t)g * tile * stride;
            cut = cut || (j->pos == MAP_POS_WINDOW &&
                          (first < pad || first + (tile - 1) * stride + kernel > view + pad));
        }
        if (!cut && inner == IR_NONE)
            inner = g;
        out[g] = cut ? g : inner;
    }
}

/* The same for channel tiles: alike where every projection takes all source channels. */
static void channel_likes(const struct map_net *net, const struct map_pop *p, uint32_t *out)
{
    bool alike = !map_configs_count(net, p);
    for (uint32_t i = 0; i < p->n_projs; i++)
        alike = alike && net->projs.data[p->proj_first + i].chan == MAP_CHAN_FULL;
    for (uint32_t g = 0; g < p->gc; g++)
        out[g] = alike && (g + 1) * p->tc <= p->channels ? 0 : g;
}

static spk_status measure_pop(struct mapping *m, const struct map_pop *p, uint32_t *rows,
                              uint32_t *columns, uint32_t *channels)
{
    axis_likes(&m->net, p, false, rows);
    axis_likes(&m->net, p, true, columns);
    channel_likes(&m->net, p, channels);
    struct map_usage *u = &m->usage[p->tile_first];
    const struct map_tile *t = &m->tiles.data[p->tile_first];
    for (uint32_t y = 0, at = 0; y < p->gh; y++) {
        for (uint32_t x = 0; x < p->gw; x++) {
            for (uint32_t c = 0; c < p->gc; c++, at++) {
                const uint32_t like = (rows[y] * p->gw + columns[x]) * p->gc + channels[c];
                if (like == at)
                    SPK_TRY(map_tile_usage(&m->net, &t[at], &u[at]));
                else
                    u[at] = u[like];
            }
        }
    }
    return SPK_OK;
}

/* Usage of the tiles of the populations in `usage`, out-axons of those in `which`; NULL: of all. */
static spk_status measure(struct mapping *m, const bool *usage, const bool *which)
{
    struct map_net *net = &m->net;
    uint32_t *likes, rows = 1, columns = 1, channels = 1;
    for (size_t i = 0; i < net->pops.len; i++) {
        const struct map_pop *p = &net->pops.data[i];
        rows = p->gh > rows ? p->gh : rows;
        columns = p->gw > columns ? p->gw : columns;
        channels = p->gc > channels ? p->gc : channels;
    }
    SPK_TRY(spk_alloc_array_raw((size_t)rows + columns + channels, sizeof *likes, &likes));
    spk_status status = SPK_OK;
    for (size_t i = 0; i < net->pops.len && status == SPK_OK; i++)
        if (net->pops.data[i].has_compartments && (usage == NULL || usage[i]))
            status =
                measure_pop(m, &net->pops.data[i], likes, likes + rows, likes + rows + columns);
    spk_free(likes);
    return status == SPK_OK ? map_count_out_axons(m, which) : status;
}

spk_status map_measure(struct mapping *m)
{
    spk_free(m->usage);
    m->usage = NULL;
    SPK_TRY(spk_alloc_array(m->tiles.len, sizeof *m->usage, &m->usage));
    return measure(m, NULL, NULL);
}

static bool reads(const struct map_net *net, const struct map_pop *p, uint32_t source)
{
    for (uint32_t i = 0; i < p->n_projs; i++) {
        const struct map_proj *j = &net->projs.data[p->proj_first + i];
        for (uint32_t s = 0; s < j->n_sources; s++)
            if (j->source[s].pop == source)
                return true;
    }
    return false;
}

spk_status map_measure_around(struct mapping *m, uint32_t pop)
{
    const struct map_net *net = &m->net;
    const size_t n = net->pops.len;
    bool *usage;
    SPK_TRY(spk_alloc_array(2 * n, sizeof *usage, &usage));
    bool *out = usage + n;
    usage[pop] = out[pop] = true;
    for (uint32_t i = 0; i < n; i++) {
        usage[i] = usage[i] || reads(net, &net->pops.data[i], pop);
        out[i] = out[i] || usage[i] || reads(net, &net->pops.data[pop], i);
    }
    spk_status status = measure(m, usage, out);
    spk_free(usage);
    return status;
}
