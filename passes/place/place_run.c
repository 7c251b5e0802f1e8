/* The placer's main line: multilevel annealing.
 *
 * The graph is coarsened by pairing until few nodes are left, and each level gets a grid of the
 * same shape with about one cell per node. The coarsest level is annealed from hot; then level by
 * level members start at their node's place (a little towards their neighbours), are legalised and
 * annealed from a temperature at which about half of the moves are accepted, so that what the
 * coarser level found is bent but not lost. (Multilevel annealing: Sankar, Rose 1999; legalisation
 * by rank: place_legalise.c.) Small and middling graphs get several starts of which the best
 * counts; starts run side by side, and which one wins does not depend on the threads. Middling
 * graphs have two that differ in how far they coarsen: pairing finds the large structure of some,
 * and hides that of others. A large graph is annealed last from its line along a Hilbert curve
 * where that costs less than what the coarser levels found (long chains in order). */
#include <math.h>
#include <string.h>

#include "passes/place/place_internal.h"
#include "passes/place/place_metis.h"
#include "passes/place/place_scotch.h"
#include "support/alloc.h"

#define MAX_LEVELS 40
#define COARSEST 300      /* nodes of the coarsest level */
#define COARSEST_HOT 2048 /* the same for the second start of a middling graph */
#define FEW 512           /* clusters up to which there are eight starts of one kind */
#define MIDDLING 8192
#define PROGRESS_STEPS 1000

struct start {
    struct place_level level[MAX_LEVELS];
    uint32_t n_levels;
    struct place_state state;
    struct place_wish *wish;
    uint32_t coarsest; /* most nodes of the last level */
    int64_t cost;
};

struct run {
    const struct ir_cluster_graph *graph;
    const struct place_grid *grid, *chips; /* chips: grid, or NULL where it is one chip */
    const struct place_options *options;
    struct diag_list *diags;
    struct start *start; /* [n_starts] */
    uint32_t n_starts;
    double effort;
};

/* Moves at a level of n nodes: n^(4/3) as in VPR up to 1024, less than so beyond, and no more for
 * ever larger levels than fits into a minute. */
static double moves_at(uint32_t n, double effort)
{
    const double base = 232, knee = 1024, most = 4096;
    if (n <= knee)
        return effort * base * pow(n, 4.0 / 3);
    return effort * base * pow(knee, 4.0 / 3) * pow(fmin(n, most) / knee, 0.75);
}

static spk_status build_levels(const struct run *r, struct start *s, uint64_t seed,
                               struct diag_list *diags)
{
    const uint64_t around = (uint64_t)r->grid->width + r->grid->height;
    uint32_t max_size = 2;
    SPK_TRY(place_level_build(r->graph, around, diags, &s->level[0]));
    s->n_levels = 1;
    s->level[0].regions = r->options->regions;
    SPK_TRY(place_axes_of_grid(r->grid, &s->level[0].axes));
    while (s->level[s->n_levels - 1].n > s->coarsest && s->n_levels < MAX_LEVELS) {
        struct place_level *fine = &s->level[s->n_levels - 1], *coarse = fine + 1;
        SPK_TRY(place_coarsen(fine, max_size, seed + s->n_levels, coarse));
        s->n_levels++;
        SPK_TRY(place_axes_coarse(&s->level[0].axes, coarse->n, &coarse->axes));
        SPK_TRY(place_regions_coarsen(&s->level[0], fine, coarse));
        if (coarse->n > 0.95 * fine->n)
            break;
        max_size = max_size * 2 + max_size / 2;
        if (max_size > r->graph->n_clusters)
            max_size = r->graph->n_clusters;
    }
    return SPK_OK;
}

/* Nodes of the coarsest level along a snake, in order of their first cluster. */
static spk_status place_coarsest(const struct run *r, struct start *s)
{
    const struct place_level *l = &s->level[s->n_levels - 1];
    const struct place_grid grid = {
        .width = l->axes.w, .height = l->axes.h, .blocked = l->axes.blocked};
    const uint32_t n = r->graph->n_clusters, *order = r->options->order;
    uint32_t *cell, *line, n_line = 0;
    SPK_TRY(spk_alloc_array_raw(2 * (size_t)l->n, sizeof *cell, &cell));
    line = cell + l->n;
    memset(cell, 0, l->n * sizeof *cell);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t v = order != NULL ? order[i] : i;
        for (uint32_t k = 0; k + 1 < s->n_levels; k++)
            v = s->level[k].up[v];
        if (cell[v]++ == 0)
            line[n_line++] = v;
    }
    spk_status status = place_in_order(&grid, PLACE_SNAKE, line, l->n, cell);
    for (uint32_t v = 0; v < l->n && status == SPK_OK; v++)
        s->wish[v] =
            (struct place_wish){(float)(cell[v] % l->axes.w), (float)(cell[v] / l->axes.w), v};
    if (status == SPK_OK)
        status = place_legalise(&l->axes, NULL, l->regions, s->wish, l->n, &s->state);
    spk_free(cell);
    return status;
}

struct pull {
    double x, y, weight;
};

static void add_pull(struct pull *p, float x, float y, double weight)
{
    p->x += weight * (double)x;
    p->y += weight * (double)y;
    p->weight += weight;
}

static float limited(double wish, double most)
{
    return (float)(wish > most ? most : wish < -most ? -most : wish);
}

/* Where the nodes of level k wish to be: at their coarse node's place, up to LEAN of its cell
 * towards the centre of their neighbours. Wishes hold the bare places first. */
#define LEAN 0.3
static spk_status wishes(struct start *s, uint32_t k)
{
    const struct place_level *f = &s->level[k], *c = &s->level[k + 1];
    const double fx = (double)f->axes.w / c->axes.w, fy = (double)f->axes.h / c->axes.h;
    struct pull *centre; /* [groups][2 sides] */
    float *lean;
    SPK_TRY(spk_alloc_array(2 * (size_t)f->n_groups, sizeof *centre, &centre));
    spk_status status = spk_alloc_array_raw(2 * (size_t)f->n, sizeof *lean, &lean);
    if (status != SPK_OK) {
        spk_free(centre);
        return status;
    }
    struct place_wish *w = s->wish;
    for (uint32_t a = 0; a < f->n; a++) {
        const struct place_xy p = s->state.pos[f->up[a]];
        w[a] = (struct place_wish){(float)((p.x + 0.5) * fx - 0.5), (float)((p.y + 0.5) * fy - 0.5),
                                   a};
    }
    for (uint32_t g = 0; g < f->n_groups; g++) {
        for (uint32_t i = f->group_first[g]; i < f->group_first[g + 1]; i++) {
            const struct place_member *m = &f->group[i];
            add_pull(&centre[2 * g], w[m->group].x, w[m->group].y, m->s);
            add_pull(&centre[2 * g + 1], w[m->group].x, w[m->group].y, m->d);
        }
    }
    for (uint32_t a = 0; a < f->n; a++) {
        struct pull p = {0, 0, 0};
        for (uint32_t i = f->link_first[a]; i < f->link_first[a + 1]; i++)
            add_pull(&p, w[f->link[i].node].x, w[f->link[i].node].y, f->link[i].weight);
        for (uint32_t i = f->member_first[a]; i < f->member_first[a + 1]; i++) {
            const struct place_member *m = &f->member[i];
            const struct pull *from = &centre[2 * m->group], *to = from + 1;
            p.x += m->s * to->x + m->d * from->x;
            p.y += m->s * to->y + m->d * from->y;
            p.weight += m->s * to->weight + m->d * from->weight;
        }
        const double ax = p.weight > 0 ? p.x / p.weight - (double)w[a].x : 0;
        const double ay = p.weight > 0 ? p.y / p.weight - (double)w[a].y : 0;
        lean[2 * a] = limited(LEAN * ax, LEAN * fx);
        lean[2 * a + 1] = limited(LEAN * ay, LEAN * fy);
    }
    for (uint32_t a = 0; a < f->n; a++) {
        w[a].x += lean[2 * a];
        w[a].y += lean[2 * a + 1];
    }
    spk_free(lean);
    spk_free(centre);
    return SPK_OK;
}

static spk_status anneal_level(const struct run *r, struct start *s, uint32_t k, uint64_t seed,
                               const struct progress *progress)
{
    struct place_level *l = &s->level[k];
    const bool coarsest = k + 1 == s->n_levels, finest = k == 0;
    const double more = !coarsest                              ? 1
                        : s->coarsest != COARSEST              ? 2
                        : r->graph->n_clusters <= COARSEST_HOT ? 4
                                                               : 10;
    struct place_schedule plan = {.moves = moves_at(l->n, more * r->effort),
                                  .acceptance = coarsest ? 0.8 : 0.45,
                                  .cooling = 0.95,
                                  .range = coarsest ? PLACE_MAX_SIDE : 4,
                                  .descend = finest,
                                  .seed = seed + k,
                                  .progress_base = (uint64_t)(s->n_levels - 1 - k) *
                                                   PROGRESS_STEPS / s->n_levels,
                                  .progress_span = PROGRESS_STEPS / s->n_levels};
    return place_anneal(l, r->chips == NULL, &plan, progress, &s->state, NULL);
}

static void set_cells(const struct run *r, struct start *s, const uint32_t *cell)
{
    const uint32_t width = r->grid->width;
    memset(s->state.at, 0xff, (size_t)width * r->grid->height * sizeof *s->state.at);
    for (uint32_t v = 0; v < r->graph->n_clusters; v++) {
        s->state.pos[v] =
            (struct place_xy){(uint16_t)(cell[v] % width), (uint16_t)(cell[v] / width)};
        s->state.at[cell[v]] = v;
    }
}

/* Takes the line along a Hilbert curve instead of what the levels found if it costs less: of large
 * graphs, and where the levels had no time to find much. */
static spk_status try_line(const struct run *r, struct start *s)
{
    const uint32_t n = r->graph->n_clusters, width = r->grid->width;
    const struct place_level *l = &s->level[0];
    struct place_state line = {0};
    int64_t found = 0, cost = 0;
    uint32_t *cell = NULL;
    if (r->options->regions != NULL || (n <= MIDDLING && !progress_cancelled(r->options->progress)))
        return SPK_OK;
    SPK_TRY(place_level_cost(l, &s->state, &found));
    spk_status status = spk_alloc_array_raw(n, sizeof *cell, &cell);
    if (status == SPK_OK)
        status = spk_alloc_array_raw(n, sizeof *line.pos, &line.pos);
    if (status == SPK_OK)
        status = place_in_order(r->grid, PLACE_HILBERT, r->options->order, n, cell);
    for (uint32_t v = 0; v < n && status == SPK_OK; v++)
        line.pos[v] = (struct place_xy){(uint16_t)(cell[v] % width), (uint16_t)(cell[v] / width)};
    if (status == SPK_OK)
        status = place_level_cost(l, &line, &cost);
    if (status == SPK_OK && cost < found)
        set_cells(r, s, cell);
    spk_free(line.pos);
    spk_free(cell);
    return status;
}

static spk_status run_start(const struct run *r, struct start *s, uint64_t seed,
                            const struct progress *progress, struct diag_list *diags)
{
    const size_t cells = (size_t)r->grid->width * r->grid->height;
    const uint32_t n = r->graph->n_clusters;
    SPK_TRY(build_levels(r, s, seed * 131, diags));
    SPK_TRY(spk_alloc_array_raw(n, sizeof *s->state.pos, &s->state.pos));
    SPK_TRY(spk_alloc_array_raw(cells, sizeof *s->state.at, &s->state.at));
    SPK_TRY(spk_alloc_array_raw(n, sizeof *s->wish, &s->wish));
    SPK_TRY(place_coarsest(r, s));
    for (uint32_t k = s->n_levels; k-- > 0;) {
        const bool finest = k == 0;
        if (k + 1 < s->n_levels) {
            SPK_TRY(wishes(s, k));
            place_level_fini(&s->level[k + 1]);
            SPK_TRY(place_legalise(&s->level[k].axes, finest ? r->chips : NULL, s->level[k].regions,
                                   s->wish, s->level[k].n, &s->state));
        }
        if (finest)
            SPK_TRY(try_line(r, s));
        SPK_TRY(anneal_level(r, s, k, seed * 977, progress));
    }
    return place_level_cost(&s->level[0], &s->state, &s->cost);
}

static void start_fini(struct start *s)
{
    for (uint32_t k = 0; k < s->n_levels; k++)
        place_level_fini(&s->level[k]);
    spk_free(s->state.pos);
    spk_free(s->state.at);
    spk_free(s->wish);
}

static spk_status start_chunk(void *ctx, uint32_t chunk, uint32_t worker)
{
    struct run *r = ctx;
    const struct progress *listener = r->options->progress;
    const struct progress silent = progress_silent(listener);
    (void)worker;
    r->start[chunk].coarsest = r->graph->n_clusters > FEW && chunk == 1 ? COARSEST_HOT : COARSEST;
    return run_start(r, &r->start[chunk], r->options->seed * 4099 + chunk,
                     chunk == 0 ? listener : &silent, chunk == 0 ? r->diags : NULL);
}

static uint32_t number_of_starts(uint32_t n)
{
    return n <= FEW ? 8 : n <= MIDDLING ? 2 : 1;
}

static spk_status keep_cheapest(const struct run *r, const struct start *s, double *io_cost,
                                uint32_t *kept)
{
    const uint32_t n = r->graph->n_clusters, width = r->grid->width;
    uint32_t *cell;
    double cost;
    SPK_TRY(spk_alloc_array_raw(n, sizeof *cell, &cell));
    for (uint32_t v = 0; v < n; v++)
        cell[v] = s->state.pos[v].y * width + s->state.pos[v].x;
    spk_status status = place_cost(r->graph, r->grid, PLACE_MULTICAST, cell, &cost);
    if (status == SPK_OK && cost < *io_cost) {
        *io_cost = cost;
        memcpy(kept, cell, n * sizeof *cell);
    }
    spk_free(cell);
    return status;
}

/* Anneals the state by M; *io_cost and `kept`: the cheapest cells so far, looked at before and
 * after.
 */
static spk_status anneal_multicast(const struct run *r, struct start *s, double acceptance,
                                   double *io_cost, uint32_t *kept)
{
    const uint32_t n = r->graph->n_clusters;
    const struct place_schedule plan = {.moves = moves_at(n, r->effort),
                                        .acceptance = acceptance,
                                        .cooling = 0.95,
                                        .range = 8,
                                        .seed = r->options->seed * 31 + 7};
    SPK_TRY(keep_cheapest(r, s, io_cost, kept));
    SPK_TRY(place_anneal_multicast(r->graph, &s->level[0].axes, r->options->regions, &plan,
                                   r->options->progress, &s->state, NULL));
    return keep_cheapest(r, s, io_cost, kept);
}

/* Clusters column by column: routes go x first, so a layer in a column takes one branch. */
static void columns(const struct run *r, uint32_t *cell)
{
    const struct place_grid *g = r->grid;
    const uint32_t *order = r->options->order;
    uint32_t i = 0;
    for (uint32_t x = 0; x < g->width; x++) {
        for (uint32_t y = 0; y < g->height && i < r->graph->n_clusters; y++) {
            const uint32_t at = y * g->width + x;
            if (g->blocked != NULL && g->blocked[at])
                continue;
            cell[order != NULL ? order[i] : i] = at;
            i++;
        }
    }
}

/* Multicast: annealed from what is best for unicast, a little from the line along a Hilbert curve
 * and hardly from the columns, which layers that send to all of the next are near; the cheapest
 * counts. */
static spk_status anneal_trees(const struct run *r, struct start *s)
{
    static const double acceptance[] = {0.45, 0.2, 0.02};
    const uint32_t n = r->graph->n_clusters;
    const int n_starts = n <= MIDDLING && r->options->regions == NULL ? 3 : 1;
    double best = INFINITY;
    uint32_t *cell;
    SPK_TRY(spk_alloc_array_raw(2 * (size_t)n, sizeof *cell, &cell));
    uint32_t *kept = cell + n;
    spk_status status = SPK_OK;
    for (int i = 0; i < n_starts && status == SPK_OK; i++) {
        if (i == 1)
            status = place_in_order(r->grid, PLACE_HILBERT, r->options->order, n, cell);
        if (i == 2)
            columns(r, cell);
        if (status == SPK_OK && i > 0)
            set_cells(r, s, cell);
        if (status == SPK_OK)
            status = anneal_multicast(r, s, acceptance[i], &best, kept);
    }
    if (status == SPK_OK)
        set_cells(r, s, kept);
    spk_free(cell);
    return status;
}

static spk_status run_multilevel(struct run *r, uint32_t *out_cell)
{
    const uint32_t n = r->graph->n_clusters;
    uint32_t best = 0;
    r->n_starts = number_of_starts(n);
    SPK_TRY(spk_alloc_array(r->n_starts, sizeof *r->start, &r->start));
    progress_begin(r->options->progress, "placing", PROGRESS_STEPS);
    spk_status status = pool_run(r->options->pool, r->n_starts, start_chunk, r);
    progress_end(r->options->progress);
    for (uint32_t i = 1; i < r->n_starts && status == SPK_OK; i++)
        if (r->start[i].cost < r->start[best].cost)
            best = i;
    struct start *s = &r->start[best];
    if (status == SPK_OK && r->options->objective == PLACE_MULTICAST)
        status = anneal_trees(r, s);
    for (uint32_t v = 0; v < n && status == SPK_OK; v++)
        out_cell[v] = s->state.pos[v].y * r->grid->width + s->state.pos[v].x;
    for (uint32_t i = 0; i < r->n_starts; i++)
        start_fini(&r->start[i]);
    spk_free(r->start);
    return status;
}

static spk_status check_regions(const struct run *r)
{
    const struct place_regions *regions = r->options->regions;
    const uint32_t n = r->graph->n_clusters;
    uint32_t *cell, lacking, v = 0;
    if (regions == NULL)
        return SPK_OK;
    SPK_TRY(spk_alloc_array_raw(n, sizeof *cell, &cell));
    spk_status status = place_regions_assign(regions, n, r->grid->width, NULL, cell, &lacking);
    spk_free(cell);
    SPK_TRY(status);
    if (lacking == PLACE_NONE)
        return SPK_OK;
    while (regions->of[v] != lacking)
        v++;
    return diag_nofit(r->diags, spk_span_none, "E0683",
                      "the %u places to which cluster %u may go are too few for all clusters that "
                      "may go only there",
                      regions->first[lacking + 1] - regions->first[lacking], v);
}

static spk_status check_room(const struct run *r)
{
    const struct place_grid *g = r->grid;
    const uint64_t cells = (uint64_t)g->width * g->height;
    uint64_t n_free = cells;
    for (uint64_t i = 0; g->blocked != NULL && i < cells; i++)
        n_free -= g->blocked[i] != 0;
    if (cells >= UINT32_MAX)
        return diag_nofit(r->diags, spk_span_none, "E0684",
                          "a mesh of %u x %u has more cells than can be numbered", g->width,
                          g->height);
    if (r->graph->n_clusters <= n_free)
        return SPK_OK;
    return diag_nofit(r->diags, spk_span_none, "E0685",
                      "%u clusters, and the mesh of %u x %u has %llu free cells",
                      r->graph->n_clusters, g->width, g->height, (unsigned long long)n_free);
}

/* Moves what another placer put where it may not be, with the least change. */
static spk_status obey_regions(const struct run *r, uint32_t *io_cell)
{
    const uint32_t n = r->graph->n_clusters, width = r->grid->width;
    struct place_axes axes;
    struct place_state state = {NULL, NULL};
    struct place_wish *wish = NULL;
    SPK_TRY(place_axes_of_grid(r->grid, &axes));
    spk_status status = spk_alloc_array_raw(n, sizeof *state.pos, &state.pos);
    if (status == SPK_OK)
        status = spk_alloc_array_raw((size_t)axes.w * axes.h, sizeof *state.at, &state.at);
    if (status == SPK_OK)
        status = spk_alloc_array_raw(n, sizeof *wish, &wish);
    for (uint32_t v = 0; v < n && status == SPK_OK; v++)
        wish[v] = (struct place_wish){(float)(io_cell[v] % width), (float)(io_cell[v] / width), v};
    if (status == SPK_OK)
        status = place_legalise(&axes, NULL, r->options->regions, wish, n, &state);
    for (uint32_t v = 0; v < n && status == SPK_OK; v++)
        io_cell[v] = state.pos[v].y * width + state.pos[v].x;
    spk_free(wish);
    spk_free(state.at);
    spk_free(state.pos);
    place_axes_fini(&axes);
    return status;
}

static spk_status baseline(struct run *r, uint32_t *out_cell)
{
    const struct place_options *o = r->options;
    switch (o->engine) {
    case PLACE_SCOTCH:
        return place_by_scotch(r->graph, r->grid, o->seed, r->diags, out_cell);
    case PLACE_METIS:
        return place_by_metis(r->graph, r->grid, o->seed, r->diags, out_cell);
    default:
        return place_in_order(r->grid, o->engine, o->order, r->graph->n_clusters, out_cell);
    }
}

spk_status place_run(const struct ir_cluster_graph *graph, const struct place_grid *grid,
                     const struct place_options *options, struct diag_list *diags,
                     uint32_t *out_cell)
{
    const uint32_t n = graph->n_clusters;
    struct place_grid whole = *grid;
    struct run r = {.graph = graph,
                    .grid = &whole,
                    .options = options,
                    .diags = diags,
                    .effort = options->effort > 0 ? options->effort : 1};
    SPK_TRY(place_grid_check(grid, diags));
    whole.chip_w = grid->chip_w == 0 || grid->chip_w > grid->width ? grid->width : grid->chip_w;
    whole.chip_h = grid->chip_h == 0 || grid->chip_h > grid->height ? grid->height : grid->chip_h;
    if (whole.chip_w < whole.width || whole.chip_h < whole.height)
        r.chips = &whole;
    SPK_TRY(check_room(&r));
    SPK_TRY(check_regions(&r));
    if (n == 0)
        return SPK_OK;
    if (options->engine == PLACE_SPIKEC)
        SPK_TRY(run_multilevel(&r, out_cell));
    else
        SPK_TRY(baseline(&r, out_cell));
    if (options->engine != PLACE_SPIKEC && options->regions != NULL)
        SPK_TRY(obey_regions(&r, out_cell));
    const bool early = progress_cancelled(options->progress);
    if (options->out_ended_early != NULL)
        *options->out_ended_early = early;
    return early && options->out_ended_early == NULL ? SPK_ERR_CANCELLED : SPK_OK;
}

static const char *const ENGINE_NAMES[] = {"spikec", "scotch", "metis", "hilbert", "row", "snake"};

bool place_engine_find(const char *name, enum place_engine *out_engine)
{
    for (unsigned i = 0; i < sizeof ENGINE_NAMES / sizeof *ENGINE_NAMES; i++) {
        if (strcmp(name, ENGINE_NAMES[i]) == 0) {
            *out_engine = (enum place_engine)i;
            return true;
        }
    }
    return false;
}

const char *place_engine_name(enum place_engine engine)
{
    return ENGINE_NAMES[engine];
}
