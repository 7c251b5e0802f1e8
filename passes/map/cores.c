/* Which tiles share a core: vector bin packing (docs/mapping.md, section 3).
 *
 * Tiles that use the same of everything are one kind, cores that hold the same kinds one state, so
 * that thousands of equal tiles are packed in one step. Kinds are taken by falling need of their
 * scarcest resource; each goes to the state that is fullest of those where it fits (best fit), what
 * is left opens new cores. A state is its parent with one more tile. Two measures of need are tried
 * and the one with fewer cores is kept (heuristics for vector bin packing: Panigrahy et al. 2011).
 * Where axons shift their blocks by a limited base, a tile that lies further back needs other
 * blocks: its use is then computed for the place at hand. Attention engines are not shared.
 * Cost: kinds times states, times what one tile costs to price where bases are limited. */
#include <stdlib.h>
#include <string.h>

#include "passes/map/shapes.h"
#include "support/alloc.h"

struct kind {
    uint32_t first, n; /* its tiles: packer.order[first .. first + n - 1], ascending */
    uint32_t used;     /* of them, when cores are made */
    double need;
};

/* Cores that hold the tiles of `parent` and one of `kind`. */
struct state {
    uint32_t parent, kind; /* parent IR_NONE: the first tile */
    uint32_t count;        /* cores that are in this state now */
    uint32_t tried;        /* last kind that was found not to fit after all, plus one */
    struct map_usage sum;
    double fill;
};

struct packer {
    struct mapping *m;
    const struct tgt *t;
    uint32_t n; /* tiles on neuron cores */
    uint32_t *order;
    VEC(struct kind) kinds;
    VEC(struct state) states;
    uint64_t limit[MAP_N_LIMITS];
};

static uint32_t aligned(uint32_t comps)
{
    return (comps + MAP_COMP_ALIGN - 1) / MAP_COMP_ALIGN * MAP_COMP_ALIGN;
}

/* ---- kinds ---- */

static bool alike(const struct mapping *m, uint32_t a, uint32_t b)
{
    const struct map_tile *x = &m->tiles.data[a], *y = &m->tiles.data[b];
    const struct map_usage *u = &m->usage[a], *v = &m->usage[b];
    return x->pop == y->pop && x->ny == y->ny && x->nx == y->nx && x->nc == y->nc &&
           x->comps == y->comps && x->lead == y->lead && u->in_axons == v->in_axons &&
           u->out_axons == v->out_axons && u->synapse_bits == v->synapse_bits &&
           u->configs == v->configs && u->formats == v->formats;
}

static double share_of(const struct packer *p, const struct map_usage *u, size_t limit)
{
    return p->limit[limit] == UINT64_MAX || p->limit[limit] == 0
               ? 0
               : (double)map_usage_of(u, map_limits[limit].limit) / (double)p->limit[limit];
}

/* The scarcest resource, or the sum of all. */
static double need_of(const struct packer *p, const struct map_usage *u, bool sum)
{
    double need = 0;
    for (size_t i = 0; i < MAP_N_LIMITS; i++) {
        const double share = share_of(p, u, i);
        need = sum ? need + share : share > need ? share : need;
    }
    return need;
}

static int compare_kinds(const void *a, const void *b)
{
    const struct kind *x = a, *y = b;
    if (x->need != y->need)
        return x->need > y->need ? -1 : 1;
    return (x->first > y->first) - (x->first < y->first);
}

/* The kinds of each population's tiles, and the tiles of each kind. */
static spk_status find_kinds(struct packer *p)
{
    const struct map_tile *tile = p->m->tiles.data;
    uint32_t *kind_of, first = 0, at = 0;
    SPK_TRY(spk_alloc_array_raw(p->n, sizeof *p->order, &p->order));
    SPK_TRY(spk_alloc_array_raw(p->n, sizeof *kind_of, &kind_of));
    spk_status status = SPK_OK;
    for (uint32_t i = 0; i < p->n && status == SPK_OK; i++) {
        if (i == 0 || tile[i].pop != tile[i - 1].pop)
            first = (uint32_t)p->kinds.len;
        uint32_t k = first;
        while (k < p->kinds.len && !alike(p->m, p->kinds.data[k].first, i))
            k++;
        if (k == p->kinds.len)
            status = vec_push(&p->kinds, (struct kind){.first = i}); /* until they are counted */
        if (status == SPK_OK)
            p->kinds.data[kind_of[i] = k].n++;
    }
    for (uint32_t k = 0; k < p->kinds.len; k++) {
        p->kinds.data[k].first = at;
        at += p->kinds.data[k].n;
    }
    for (uint32_t i = 0; i < p->n && status == SPK_OK; i++) {
        struct kind *k = &p->kinds.data[kind_of[i]];
        p->order[k->first + k->used++] = i;
    }
    for (size_t k = 0; k < p->kinds.len; k++)
        p->kinds.data[k].used = 0;
    spk_free(kind_of);
    return status;
}

static const struct map_usage *kind_usage(const struct packer *p, const struct kind *k)
{
    return &p->m->usage[p->order[k->first]];
}

static uint32_t pin_class(const struct packer *p, uint32_t kind)
{
    const uint32_t tile = p->order[p->kinds.data[kind].first];
    return p->m->net.pops.data[p->m->tiles.data[tile].pop].pin_class;
}

/* ---- states ---- */

static struct map_usage usage_sum(const struct map_usage *a, const struct map_usage *b)
{
    return (struct map_usage){.neurons = aligned(a->neurons) + b->neurons,
                              .configs = a->configs + b->configs,
                              .formats = a->formats + b->formats,
                              .in_axons = a->in_axons + b->in_axons,
                              .out_axons = a->out_axons + b->out_axons,
                              .synapse_bits = a->synapse_bits + b->synapse_bits};
}

/* Use of a tile that lies at compartment `comp`. */
static spk_status usage_at(const struct packer *p, uint32_t tile, uint32_t comp,
                           struct map_usage *out)
{
    struct map_tile t = p->m->tiles.data[tile];
    *out = p->m->usage[tile];
    if (comp == 0 || tgt_limit_value(p->t, TGT_AXON_BASE) == UINT64_MAX)
        return SPK_OK;
    const uint64_t out_axons = out->out_axons;
    t.comp_first = comp;
    SPK_TRY(map_tile_usage(&p->m->net, &t, out));
    out->out_axons = out_axons;
    return SPK_OK;
}

static spk_status push_state(struct packer *p, uint32_t parent, uint32_t kind, uint32_t count,
                             const struct map_usage *sum)
{
    const struct state s = {
        .parent = parent, .kind = kind, .count = count, .sum = *sum, .fill = need_of(p, sum, true)};
    return vec_push(&p->states, s);
}

/* The fullest state that can take the kind, or IR_NONE; *out_sum: its use then. */
static spk_status best_state(struct packer *p, uint32_t kind, uint32_t *out,
                             struct map_usage *out_sum)
{
    const struct kind *k = &p->kinds.data[kind];
    const struct map_usage *plain = kind_usage(p, k);
    const uint32_t class = pin_class(p, kind);
    for (;;) {
        struct map_usage use;
        *out = IR_NONE;
        for (uint32_t i = 0; i < p->states.len; i++) {
            const struct state *s = &p->states.data[i];
            if (s->count == 0 || s->tried == kind + 1 ||
                (*out != IR_NONE && s->fill <= p->states.data[*out].fill) ||
                pin_class(p, s->kind) != class)
                continue;
            const struct map_usage sum = usage_sum(&s->sum, plain);
            if (map_usage_violation(p->t, &sum) == MAP_N_LIMITS)
                *out = i;
        }
        if (*out == IR_NONE)
            return SPK_OK;
        struct state *s = &p->states.data[*out];
        SPK_TRY(usage_at(p, p->order[k->first], aligned(s->sum.neurons), &use));
        *out_sum = usage_sum(&s->sum, &use);
        if (map_usage_violation(p->t, out_sum) == MAP_N_LIMITS)
            return SPK_OK;
        s->tried = kind + 1;
    }
}

/* How many tiles of a kind an empty core holds. */
static uint32_t kind_fits(const struct packer *p, const struct kind *k)
{
    const struct map_usage *u = kind_usage(p, k);
    struct map_usage sum = *u;
    uint32_t n = 1;
    for (; n < k->n; n++) {
        sum = usage_sum(&sum, u);
        if (map_usage_violation(p->t, &sum) != MAP_N_LIMITS)
            break;
    }
    return n;
}

static spk_status pack_kind(struct packer *p, uint32_t kind)
{
    const struct kind *k = &p->kinds.data[kind];
    uint32_t left = k->n;
    while (left > 0) {
        struct map_usage sum;
        uint32_t at, n;
        SPK_TRY(best_state(p, kind, &at, &sum));
        if (at == IR_NONE) {
            const uint32_t each = kind_fits(p, k);
            n = (left + each - 1) / each;
            SPK_TRY(push_state(p, IR_NONE, kind, n, kind_usage(p, k)));
        } else {
            n = p->states.data[at].count < left ? p->states.data[at].count : left;
            p->states.data[at].count -= n;
            SPK_TRY(push_state(p, at, kind, n, &sum));
        }
        left -= n;
    }
    return SPK_OK;
}

/* Packs all kinds in the order of one measure; the number of cores. */
static spk_status pack(struct packer *p, bool by_sum, uint32_t *out_cores)
{
    vec_clear(&p->states);
    for (size_t i = 0; i < p->kinds.len; i++)
        p->kinds.data[i].need = need_of(p, kind_usage(p, &p->kinds.data[i]), by_sum);
    qsort(p->kinds.data, p->kinds.len, sizeof *p->kinds.data, compare_kinds);
    for (uint32_t i = 0; i < p->kinds.len; i++)
        SPK_TRY(pack_kind(p, i));
    *out_cores = 0;
    for (size_t i = 0; i < p->states.len; i++)
        *out_cores += p->states.data[i].count;
    return SPK_OK;
}

/* ---- cores ---- */

/* Tiles of one core in the state, next ones of their kinds, first packed first. */
static uint32_t take_tiles(struct packer *p, uint32_t state, uint32_t *out_tile)
{
    uint32_t n = 0;
    for (uint32_t s = state; s != IR_NONE; s = p->states.data[s].parent)
        n++;
    for (uint32_t s = state, i = n; s != IR_NONE; s = p->states.data[s].parent) {
        struct kind *k = &p->kinds.data[p->states.data[s].kind];
        out_tile[--i] = p->order[k->first + k->used++];
    }
    return n;
}

/* Places the tiles of a core behind each other. False where they break a limit after all: tiles of
 * one kind that lie at a border are priced alike at compartment 0 only. */
static spk_status lay_out(struct packer *p, const uint32_t *tile, uint32_t n, bool *out_fits)
{
    struct map_usage sum = {0}, use;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t at = aligned(sum.neurons);
        SPK_TRY(usage_at(p, tile[i], at, &use));
        sum = usage_sum(&sum, &use);
        p->m->tiles.data[tile[i]].comp_first = at;
    }
    *out_fits = map_usage_violation(p->t, &sum) == MAP_N_LIMITS;
    return SPK_OK;
}

struct group {
    uint32_t first, n; /* of packer's list of tiles */
    uint32_t key;      /* first tile */
};

static int compare_groups(const void *a, const void *b)
{
    const struct group *x = a, *y = b;
    return (x->key > y->key) - (x->key < y->key);
}

static spk_status make_groups(struct packer *p, uint32_t *tile, struct group *group,
                              uint32_t *out_groups)
{
    uint32_t at = 0, n_groups = 0;
    for (uint32_t s = 0; s < p->states.len; s++) {
        for (uint32_t i = 0; i < p->states.data[s].count; i++) {
            const uint32_t n = take_tiles(p, s, &tile[at]);
            bool fits = true;
            if (n > 1)
                SPK_TRY(lay_out(p, &tile[at], n, &fits));
            for (uint32_t k = 0; k < n; k += fits ? n : 1)
                group[n_groups++] = (struct group){at + k, fits ? n : 1, tile[at + k]};
            at += n;
        }
    }
    qsort(group, n_groups, sizeof *group, compare_groups);
    *out_groups = n_groups;
    return SPK_OK;
}

/* Cores in the order of their first tiles, engines last. */
static spk_status make_cores(struct packer *p)
{
    struct mapping *m = p->m;
    struct group *group = NULL;
    uint32_t *tile = NULL, n_groups = 0, at = 0;
    spk_status status = spk_alloc_array_raw(p->n, sizeof *group, &group);
    if (status == SPK_OK)
        status = spk_alloc_array_raw(p->n, sizeof *tile, &tile);
    if (status == SPK_OK)
        status = make_groups(p, tile, group, &n_groups);
    for (uint32_t g = 0; g < n_groups && status == SPK_OK; g++) {
        m->core_first[g] = at;
        for (uint32_t i = 0; i < group[g].n && status == SPK_OK; i++, at++) {
            const uint32_t id = tile[group[g].first + i];
            struct map_tile *t = &m->tiles.data[id];
            t->core = g;
            if (i == 0)
                t->comp_first = 0;
            m->core_tile[at] = id;
            status = usage_at(p, id, t->comp_first, &m->usage[id]);
        }
    }
    for (uint32_t i = 0; i < m->n_engines; i++) {
        m->core_first[n_groups + i] = at;
        m->tiles.data[at].core = n_groups + i;
        m->core_tile[at] = at;
        at++;
    }
    m->n_cores = n_groups + m->n_engines;
    m->core_first[m->n_cores] = at;
    spk_free(group);
    spk_free(tile);
    return status;
}

/* Every tile a kind of its own core. */
static spk_status pack_apart(struct packer *p)
{
    for (uint32_t i = 0; i < p->kinds.len; i++)
        SPK_TRY(push_state(p, IR_NONE, i, p->kinds.data[i].n, kind_usage(p, &p->kinds.data[i])));
    return SPK_OK;
}

static spk_status share(struct packer *p)
{
    uint32_t by_need = 0, by_sum = 0;
    SPK_TRY(pack(p, false, &by_need));
    SPK_TRY(pack(p, true, &by_sum));
    return by_need <= by_sum ? pack(p, false, &by_need) : SPK_OK;
}

struct map_usage map_core_usage(const struct mapping *m, uint32_t core)
{
    struct map_usage sum = m->usage[m->core_tile[m->core_first[core]]];
    for (uint32_t i = m->core_first[core] + 1; i < m->core_first[core + 1]; i++)
        sum = usage_sum(&sum, &m->usage[m->core_tile[i]]);
    return sum;
}

bool map_shares_cores(const struct map_net *net, const struct map_options *options)
{
    /* A core with tiles of distant layers is busier and lies farther from both, so sharing serves
     * no other objective. A routing table is counted when routes are made. */
    return !options->separate_cores && options->objective == MAP_CORES &&
           tgt_limit_value(net->target, TGT_ROUTES) == UINT64_MAX;
}

static void packer_init(struct packer *p, struct mapping *m)
{
    *p = (struct packer){.m = m, .t = m->net.target, .n = (uint32_t)m->tiles.len - m->n_engines};
    for (size_t i = 0; i < MAP_N_LIMITS; i++)
        p->limit[i] = tgt_core_limit(p->t, map_limits[i].limit, false);
}

static void packer_fini(struct packer *p)
{
    spk_free(p->order);
    vec_fini(&p->kinds);
    vec_fini(&p->states);
}

spk_status map_count_cores(struct mapping *m, uint32_t *out_cores)
{
    struct packer p;
    packer_init(&p, m);
    spk_status status = find_kinds(&p);
    if (status == SPK_OK)
        status = pack(&p, false, out_cores);
    packer_fini(&p);
    return status;
}

spk_status map_assign_cores(struct mapping *m, const struct map_options *options)
{
    const uint32_t n = (uint32_t)m->tiles.len;
    struct packer p;
    packer_init(&p, m);
    spk_status status = spk_alloc_array_raw((size_t)n + 1, sizeof *m->core_first, &m->core_first);
    if (status == SPK_OK)
        status = spk_alloc_array_raw(n, sizeof *m->core_tile, &m->core_tile);
    if (status == SPK_OK)
        status = find_kinds(&p);
    if (status == SPK_OK)
        status = map_shares_cores(&m->net, options) ? share(&p) : pack_apart(&p);
    if (status == SPK_OK)
        status = make_cores(&p);
    packer_fini(&p);
    return status;
}
