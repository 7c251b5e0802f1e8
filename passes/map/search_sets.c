/* Classes of equal populations, their shapes, and tables of what a pair of shapes costs.
 *
 * The encoder blocks of a transformer are equal: a population's shapes follow from its own numbers
 * (class) and are then filtered by the least that its neighbours must ask for (set), both found by
 * comparing keys, so that depth costs nothing. Of many shapes a spread is kept: several around each
 * number of tiles, close ones near the fewest. */
#include <string.h>

#include "passes/map/search.h"
#include "support/alloc.h"

struct key_vec VEC_FIELDS(uint32_t);

static spk_status key_add(struct key_vec *k, const uint32_t *words, size_t n)
{
    return vec_append(k, words, n);
}

/* Everything about a population on which its own limits depend. */
static spk_status class_key(const struct search *s, uint32_t pop, struct key_vec *k)
{
    const struct map_net *net = s->net;
    const struct map_pop *p = &net->pops.data[pop];
    const uint32_t own[] = {p->channels,
                            p->height,
                            p->width,
                            p->enable,
                            p->coarse,
                            s->ports[pop],
                            map_configs_count(net, p) ? pop + 1 : 0,
                            p->teachers,
                            p->n_projs};
    vec_clear(k);
    SPK_TRY(key_add(k, own, sizeof own / sizeof own[0]));
    for (uint32_t i = 0; i < p->n_projs; i++) {
        const struct map_proj *j = &net->projs.data[p->proj_first + i];
        const uint32_t proj[] = {(uint32_t)j->pos,
                                 (uint32_t)j->chan,
                                 j->r,
                                 j->d,
                                 j->kernel,
                                 j->kernel_w,
                                 j->stride,
                                 j->stride_w,
                                 j->pad,
                                 j->pad_w,
                                 j->view_h,
                                 j->view_w,
                                 j->weight_param == IR_NONE ? j->shift : 0,
                                 j->n_sources,
                                 j->plastic + 2u * j->weight_bits,
                                 j->block_proj == p->proj_first + i};
        SPK_TRY(key_add(k, proj, sizeof proj / sizeof proj[0]));
        for (uint32_t a = 0; a < j->n_sources; a++) {
            const struct map_pop *src = &net->pops.data[j->source[a].pop];
            const uint32_t alias[] = {src->channels, src->height, src->width, src->has_compartments,
                                      j->source[a].delay};
            SPK_TRY(key_add(k, alias, sizeof alias / sizeof alias[0]));
        }
    }
    return SPK_OK;
}

static bool key_equal(const uint32_t *key, uint32_t n, const struct key_vec *k)
{
    return n == k->len && memcmp(key, k->data, n * sizeof *key) == 0;
}

static spk_status key_keep(const struct key_vec *k, uint32_t **out, uint32_t *out_n)
{
    SPK_TRY(spk_alloc_array_raw(k->len, sizeof **out, out));
    memcpy(*out, k->data, k->len * sizeof **out);
    *out_n = (uint32_t)k->len;
    return SPK_OK;
}

static spk_status class_of(struct search *s, uint32_t pop, struct key_vec *k)
{
    struct search_class c = {0};
    SPK_TRY(class_key(s, pop, k));
    for (uint32_t i = 0; i < s->classes.len; i++) {
        if (key_equal(s->classes.data[i].key, s->classes.data[i].n_key, k)) {
            s->class_of[pop] = i;
            return SPK_OK;
        }
    }
    spk_status status = key_keep(k, &c.key, &c.n_key);
    if (status == SPK_OK)
        status = map_shapes_find(s->net, pop, s->objective == MAP_LATENCY, &c.shapes);
    c.blocks = UINT32_MAX;
    for (size_t i = 0; i < c.shapes.len; i++)
        c.blocks = c.shapes.data[i].gc < c.blocks ? c.shapes.data[i].gc : c.blocks;
    s->class_of[pop] = (uint32_t)s->classes.len;
    if (status == SPK_OK)
        status = vec_push(&s->classes, c);
    if (status != SPK_OK) {
        spk_free(c.key);
        vec_fini(&c.shapes);
    }
    return status;
}

/* ---- sets ---- */

static uint32_t full_blocks(const struct search *s, const struct map_proj *p, uint32_t pop)
{
    return p->chan == MAP_CHAN_FULL ? s->classes.data[s->class_of[pop]].blocks : 1;
}

uint64_t search_port_axons(const struct search *s, uint32_t pop, const struct map_shape *shape)
{
    return s->ports[pop] * shape_positions(shape) *
           (s->net->target->axon_population ? 1 : shape->tc);
}

/* Whether the shape could be legal if every neighbour had as few channel blocks as it can. */
static bool shape_possible(const struct search *s, uint32_t pop, const struct map_shape *shape)
{
    const struct tgt *t = s->net->target;
    const struct map_pop *p = &s->net->pops.data[pop];
    uint64_t out = 0, in = 0;
    for (uint32_t i = s->out_first[pop]; i < s->out_first[pop + 1]; i++) {
        const struct search_edge *e = &s->edges.data[s->out[i]];
        const struct map_proj *j = &s->net->projs.data[e->proj];
        const bool reads_all =
            j->pos != MAP_POS_WINDOW || (j->stride <= j->kernel && j->stride_w <= j->kernel_w);
        if (reads_all)
            out += (uint64_t)full_blocks(s, j, e->dst) * t->pop16_slots *
                   (t->axon_population ? 1 : shape->tc);
    }
    for (uint32_t i = 0; i < p->n_projs; i++) {
        const struct map_proj *j = &s->net->projs.data[p->proj_first + i];
        const uint64_t window = map_shape_window(s->net, j, shape);
        for (uint32_t a = 0; a < j->n_sources; a++) {
            const struct map_pop *src = &s->net->pops.data[j->source[a].pop];
            if (!t->axon_population && j->chan == MAP_CHAN_FULL)
                in += window * src->channels;
            else
                in += window *
                      (t->axon_population ? map_source_chunks(s->net, j, a, 0, shape->tc) : 1);
        }
    }
    return search_port_axons(s, pop, shape) + out * shape_positions(shape) <=
               tgt_limit_value(t, TGT_OUT_AXONS) &&
           in <= tgt_limit_value(t, TGT_IN_AXONS);
}

static uint32_t most_tiles(const struct map_proj *p, bool columns, const struct map_pop *t,
                           uint32_t tile)
{
    const uint32_t view = columns ? p->view_w : p->view_h;
    uint32_t most = 0;
    for (uint32_t i = 0; i < view; i++) {
        const uint32_t n = map_axis_tiles(p, columns, i, columns ? t->width : t->height, tile);
        most = n > most ? n : most;
    }
    return most;
}

/* Quarters of out-axon slots that the tiles of a shape ask of a source position. */
static uint64_t shape_asks(const struct map_net *net, uint32_t pop, const struct map_shape *s)
{
    const struct map_pop *p = &net->pops.data[pop];
    uint64_t sum = 0;
    for (uint32_t i = 0; i < p->n_projs; i++) {
        const struct map_proj *j = &net->projs.data[p->proj_first + i];
        sum += (uint64_t)s->gc * map_shape_slots(net, j, s) * most_tiles(j, false, p, s->th) *
               most_tiles(j, true, p, s->tw);
    }
    return sum;
}

/* Shapes by rising number of tiles; of those, the ones that no other beats in all that neighbours
 * see: tiles, positions (what consumers ask is per position), slots asked of a source position. */
static spk_status keep_best(const struct search *s, uint32_t pop, struct shape_vec *shapes,
                            uint64_t **out_asks)
{
    size_t n = 0;
    SPK_TRY(spk_alloc_array_raw(shapes->len + 1, sizeof **out_asks, out_asks));
    for (size_t i = 0; i < shapes->len; i++) {
        const struct map_shape *x = &shapes->data[i];
        const uint64_t asks = shape_asks(s->net, pop, x);
        bool beaten = false;
        for (size_t j = 0; j < n && !beaten && s->objective == MAP_CORES; j++)
            beaten =
                (*out_asks)[j] <= asks && shape_positions(&shapes->data[j]) <= shape_positions(x);
        if (beaten)
            continue;
        (*out_asks)[n] = asks;
        shapes->data[n++] = *x;
    }
    shapes->len = n;
    return SPK_OK;
}

/* Of shapes [from, to) with about as many tiles: the ends of what they ask of neighbours. */
static void keep_some(const struct shape_vec *all, const uint64_t *asks, size_t from, size_t to,
                      struct search_set *set)
{
    size_t pick[4] = {from, from, from, from};
    for (size_t i = from; i < to; i++) {
        const struct map_shape *x = &all->data[i];
        if (asks[i] < asks[pick[1]])
            pick[1] = i;
        if (x->gc > all->data[pick[2]].gc)
            pick[2] = i;
        if (shape_positions(x) < shape_positions(&all->data[pick[3]]))
            pick[3] = i;
    }
    for (int i = 0; i < 4; i++) {
        bool seen = false;
        for (int j = 0; j < i; j++)
            seen = seen || pick[j] == pick[i];
        if (!seen && set->n < SEARCH_SHAPES)
            set->shape[set->n++] = all->data[pick[i]];
    }
}

static void thin(const struct shape_vec *all, const uint64_t *asks, struct search_set *set)
{
    size_t from = 0;
    if (all->len <= SEARCH_SHAPES) {
        for (size_t i = 0; i < all->len; i++)
            set->shape[set->n++] = all->data[i];
        return;
    }
    for (int bucket = 0; from < all->len && set->n < SEARCH_SHAPES; bucket++) {
        const double width = bucket < 10 ? 1.05 : 1.25;
        const double end = width * (double)shape_tiles(&all->data[from]);
        size_t to = from + 1;
        while (to < all->len && (double)shape_tiles(&all->data[to]) <= end)
            to++;
        keep_some(all, asks, from, to, set);
        from = to;
    }
}

static double axis_reach(const struct map_proj *p, bool columns, const struct map_pop *t,
                         uint32_t tile)
{
    const uint32_t view = columns ? p->view_w : p->view_h;
    double sum = 0;
    for (uint32_t i = 0; i < view; i++)
        sum += map_axis_tiles(p, columns, i, columns ? t->width : t->height, tile);
    return sum;
}

static double channel_reach(const struct map_net *net, const struct map_proj *p,
                            const struct map_pop *t, uint32_t tc)
{
    double sum = 0;
    for (uint32_t c = 0; c < t->channels; c += tc) {
        uint32_t lo, hi;
        map_source_channels(net, p, c, c + tc > t->channels ? t->channels - c : tc, &lo, &hi);
        sum += hi - lo;
    }
    return sum;
}

/* In-axons of a tile from sources without compartments, and of enable spikes. */
static uint64_t fixed_axons(const struct map_net *net, const struct map_pop *p,
                            const struct search_set *set, uint32_t b)
{
    uint64_t n = p->enable ? (p->coarse ? 2 : 1) : 0;
    for (uint32_t k = 0; k < p->n_projs; k++) {
        const struct map_proj *j = &net->projs.data[p->proj_first + k];
        for (uint32_t a = 0; a < j->n_sources; a++)
            if (!net->pops.data[j->source[a].pop].has_compartments)
                n += set->window[b * p->n_projs + k] *
                     map_source_chunks(net, j, a, 0, set->shape[b].tc);
    }
    return n;
}

static spk_status set_fill(const struct search *s, uint32_t pop, struct search_set *set)
{
    const struct map_net *net = s->net;
    const struct map_pop *p = &net->pops.data[pop];
    const struct shape_vec *all = &s->classes.data[s->class_of[pop]].shapes;
    double rows[SEARCH_SHAPES], columns[SEARCH_SHAPES], channels[SEARCH_SHAPES];
    struct search_firsts f;
    struct shape_vec possible = {0};
    uint64_t *asks = NULL;
    spk_status status = SPK_OK;
    for (size_t i = 0; i < all->len && status == SPK_OK; i++)
        if (shape_possible(s, pop, &all->data[i]))
            status = vec_push(&possible, all->data[i]);
    if (status == SPK_OK && possible.len == 0)
        status = vec_append(&possible, all->data, all->len);
    if (status == SPK_OK)
        status = keep_best(s, pop, &possible, &asks);
    if (status == SPK_OK)
        thin(&possible, asks, set);
    vec_fini(&possible);
    spk_free(asks);
    set->n_projs = p->n_projs;
    SPK_TRY(status);
    SPK_TRY(spk_alloc_array(set->n * p->n_projs, sizeof *set->window, &set->window));
    SPK_TRY(spk_alloc_array(set->n * p->n_projs, sizeof *set->reach, &set->reach));
    search_find_firsts(set, &f);
    for (uint32_t k = 0; k < p->n_projs; k++) {
        const struct map_proj *j = &net->projs.data[p->proj_first + k];
        for (uint32_t b = 0; b < set->n; b++) {
            const struct map_shape *shape = &set->shape[b];
            set->window[b * p->n_projs + k] = map_shape_window(net, j, shape);
            rows[b] = f.rows[b] != b ? rows[f.rows[b]] : axis_reach(j, false, p, shape->th);
            columns[b] =
                f.columns[b] != b ? columns[f.columns[b]] : axis_reach(j, true, p, shape->tw);
            channels[b] =
                f.channels[b] != b ? channels[f.channels[b]] : channel_reach(net, j, p, shape->tc);
            set->reach[b * p->n_projs + k] = rows[b] * columns[b] * channels[b];
        }
    }
    for (uint32_t b = 0; b < set->n; b++)
        set->fixed[b] = fixed_axons(net, p, set, b);
    return SPK_OK;
}

static void set_destroy(struct search_set *set)
{
    if (set == NULL)
        return;
    spk_free(set->key);
    spk_free(set->window);
    spk_free(set->reach);
    spk_free(set);
}

static spk_status set_of(struct search *s, uint32_t pop, struct key_vec *k)
{
    vec_clear(k);
    SPK_TRY(vec_push(k, s->class_of[pop]));
    for (uint32_t i = s->in_first[pop]; i < s->in_first[pop + 1]; i++)
        SPK_TRY(vec_push(k, s->class_of[s->edges.data[i].src]));
    SPK_TRY(vec_push(k, IR_NONE));
    for (uint32_t i = s->out_first[pop]; i < s->out_first[pop + 1]; i++) {
        const struct search_edge *e = &s->edges.data[s->out[i]];
        SPK_TRY(vec_push(k, s->class_of[e->dst]));
        SPK_TRY(vec_push(k, e->k));
    }
    for (size_t i = 0; i < s->sets.len; i++) {
        if (key_equal(s->sets.data[i]->key, s->sets.data[i]->n_key, k)) {
            s->set[pop] = s->sets.data[i];
            return SPK_OK;
        }
    }
    struct search_set *set;
    SPK_TRY(spk_alloc_array(1, sizeof *set, &set));
    spk_status status = key_keep(k, &set->key, &set->n_key);
    if (status == SPK_OK)
        status = set_fill(s, pop, set);
    if (status == SPK_OK)
        status = vec_push(&s->sets, set);
    if (status != SPK_OK)
        set_destroy(set);
    else
        s->set[pop] = set;
    return status;
}

/* ---- all ---- */

static spk_status find_edges(struct search *s)
{
    const struct map_net *net = s->net;
    const uint32_t n = (uint32_t)net->pops.len;
    for (uint32_t i = 0; i < n; i++) {
        const struct map_pop *p = &net->pops.data[i];
        s->in_first[i] = (uint32_t)s->edges.len;
        if (p->kind == IMG_LAYER_EMBEDDED) {
            s->ports[p->q]++;
            s->ports[p->k]++;
            s->ports[p->v]++;
        }
        s->ports[i] += p->readout;
        for (uint32_t k = 0; k < p->n_projs && p->has_compartments; k++) {
            const struct map_proj *j = &net->projs.data[p->proj_first + k];
            for (uint32_t a = 0; a < j->n_sources; a++) {
                const uint32_t src = j->source[a].pop;
                const struct search_edge e = {p->proj_first + k, a, src, i, k, NULL};
                if (!net->pops.data[src].has_compartments)
                    continue;
                SPK_TRY(vec_push(&s->edges, e));
                s->out_first[src + 1]++;
            }
        }
    }
    s->in_first[n] = (uint32_t)s->edges.len;
    for (uint32_t i = 0; i < n; i++)
        s->out_first[i + 1] += s->out_first[i];
    SPK_TRY(spk_alloc_array_raw(s->edges.len, sizeof *s->out, &s->out));
    for (size_t i = s->edges.len; i-- > 0;) /* from behind: the last slot of each source first */
        s->out[--s->out_first[s->edges.data[i].src + 1]] = (uint32_t)i;
    for (uint32_t i = 0; i < n; i++)
        s->out_first[i] = s->out_first[i + 1];
    s->out_first[n] = (uint32_t)s->edges.len;
    return SPK_OK;
}

spk_status search_prepare(struct search *s)
{
    struct map_net *net = s->net;
    const uint32_t n = (uint32_t)net->pops.len;
    struct key_vec key = {0};
    SPK_TRY(spk_alloc_array(n, sizeof *s->class_of, &s->class_of));
    SPK_TRY(spk_alloc_array(n, sizeof *s->set, &s->set));
    SPK_TRY(spk_alloc_array(n + 1, sizeof *s->in_first, &s->in_first));
    SPK_TRY(spk_alloc_array(n + 1, sizeof *s->out_first, &s->out_first));
    SPK_TRY(spk_alloc_array(n, sizeof *s->ports, &s->ports));
    SPK_TRY(spk_alloc_array(n, sizeof *s->alive, &s->alive));
    SPK_TRY(find_edges(s));
    SPK_TRY(spk_alloc_array(n, sizeof *s->least_axons, &s->least_axons));
    SPK_TRY(spk_alloc_array(s->edges.len, sizeof *s->least_in, &s->least_in));
    SPK_TRY(spk_alloc_array(s->edges.len, sizeof *s->least_out, &s->least_out));
    for (uint32_t i = 0; i < n; i++) { /* until they are cut: one tile per position */
        struct map_pop *p = &net->pops.data[i];
        const struct map_shape whole = map_shape_make(p, 1, 1, p->channels);
        map_shape_set(p, &whole);
        s->class_of[i] = IR_NONE;
    }
    spk_status status = SPK_OK;
    for (uint32_t i = 0; i < n && status == SPK_OK; i++)
        if (net->pops.data[i].has_compartments)
            status = class_of(s, i, &key);
    for (uint32_t i = 0; i < n && status == SPK_OK; i++) {
        if (!net->pops.data[i].has_compartments)
            continue;
        status = set_of(s, i, &key);
        if (status == SPK_OK)
            s->alive[i] = s->set[i]->n == 64 ? UINT64_MAX : ((uint64_t)1 << s->set[i]->n) - 1;
    }
    for (size_t i = 0; i < s->edges.len && status == SPK_OK; i++)
        status = search_table_of(s, &s->edges.data[i]);
    vec_fini(&key);
    return status;
}

void search_fini(struct search *s)
{
    for (size_t i = 0; i < s->classes.len; i++) {
        spk_free(s->classes.data[i].key);
        vec_fini(&s->classes.data[i].shapes);
    }
    for (size_t i = 0; i < s->sets.len; i++)
        set_destroy(s->sets.data[i]);
    for (size_t i = 0; i < s->tables.len; i++)
        spk_free(s->tables.data[i].pair);
    vec_fini(&s->classes);
    vec_fini(&s->sets);
    vec_fini(&s->tables);
    vec_fini(&s->edges);
    spk_free(s->class_of);
    spk_free(s->set);
    spk_free(s->in_first);
    spk_free(s->out_first);
    spk_free(s->out);
    spk_free(s->ports);
    spk_free(s->least_axons);
    spk_free(s->least_in);
    spk_free(s->least_out);
    spk_free(s->alive);
}
