/* Scotch (Pellegrini, Roman 1996; version 7): static mapping of the graph onto a 2D mesh.
 *
 * Scotch balances loads within a tolerance, so a cell may get two clusters and another none; the
 * mapped cells are therefore taken as wishes and legalised by rank. Weights are those of the
 * annealer's level (whole numbers). The tile, the chip and unequal costs are unknown to Scotch's
 * mesh and only count when the result is priced. */
#include "passes/place/place_scotch.h"

#include "config.h"

#include "passes/place/place_internal.h"
#include "support/alloc.h"

#if SPIKEC_HAVE_SCOTCH
#include <limits.h>
#include <stdio.h>
/* scotch.h needs stdio.h before it. */
#include <scotch.h>

struct scotch_arrays {
    SCOTCH_Num *first, *to, *weight, *part;
};

static spk_status to_arrays(const struct place_level *l, struct scotch_arrays *out)
{
    const uint32_t n_links = l->link_first[l->n];
    SPK_TRY(spk_alloc_array_raw((size_t)l->n + 1, sizeof *out->first, &out->first));
    SPK_TRY(spk_alloc_array_raw((size_t)n_links + 1, sizeof *out->to, &out->to));
    SPK_TRY(spk_alloc_array_raw((size_t)n_links + 1, sizeof *out->weight, &out->weight));
    SPK_TRY(spk_alloc_array(l->n, sizeof *out->part, &out->part));
    for (uint32_t v = 0; v <= l->n; v++)
        out->first[v] = (SCOTCH_Num)l->link_first[v];
    for (uint32_t k = 0; k < n_links; k++) {
        out->to[k] = (SCOTCH_Num)l->link[k].node;
        out->weight[k] = l->link[k].weight > 0 ? l->link[k].weight : 1;
    }
    return SPK_OK;
}

/* Maps within a context of one thread with its own generator: Scotch's threads would make the
 * result differ from run to run. */
static bool map_in_context(SCOTCH_Context *context, SCOTCH_Graph *graph, SCOTCH_Arch *arch,
                           SCOTCH_Strat *strat, uint64_t seed, SCOTCH_Num *part)
{
    SCOTCH_Graph bound;
    if (SCOTCH_contextRandomClone(context) != 0)
        return false;
    SCOTCH_contextRandomSeed(context, (SCOTCH_Num)(seed & INT_MAX));
    SCOTCH_contextRandomReset(context);
    if (SCOTCH_contextThreadSpawn(context, 1, NULL) != 0 || SCOTCH_graphInit(&bound) != 0)
        return false;
    const bool good = SCOTCH_contextBindGraph(context, graph, &bound) == 0 &&
                      SCOTCH_graphMap(&bound, arch, strat, part) == 0;
    SCOTCH_graphExit(&bound);
    return good;
}

static bool map_onto_mesh(const struct place_level *l, const struct place_grid *grid,
                          const struct scotch_arrays *a, uint64_t seed)
{
    SCOTCH_Context context;
    SCOTCH_Graph graph;
    SCOTCH_Arch arch;
    SCOTCH_Strat strat;
    if (SCOTCH_contextInit(&context) != 0)
        return false;
    bool good = SCOTCH_graphInit(&graph) == 0 && SCOTCH_archInit(&arch) == 0 &&
                SCOTCH_stratInit(&strat) == 0;
    if (good) {
        good = SCOTCH_graphBuild(&graph, 0, (SCOTCH_Num)l->n, a->first, NULL, NULL, NULL,
                                 (SCOTCH_Num)l->link_first[l->n], a->to, a->weight) == 0 &&
               SCOTCH_archMesh2(&arch, (SCOTCH_Num)grid->width, (SCOTCH_Num)grid->height) == 0 &&
               map_in_context(&context, &graph, &arch, &strat, seed, a->part);
        SCOTCH_stratExit(&strat);
        SCOTCH_archExit(&arch);
        SCOTCH_graphExit(&graph);
    }
    SCOTCH_contextExit(&context);
    return good;
}

static spk_status wishes_of_parts(const struct place_level *l, const struct scotch_arrays *a,
                                  uint32_t *out_cell)
{
    const struct place_axes *ax = &l->axes;
    struct place_state state = {NULL, NULL};
    struct place_wish *wish = NULL;
    spk_status status = spk_alloc_array_raw(l->n, sizeof *state.pos, &state.pos);
    if (status == SPK_OK)
        status = spk_alloc_array_raw((size_t)ax->w * ax->h, sizeof *state.at, &state.at);
    if (status == SPK_OK)
        status = spk_alloc_array_raw(l->n, sizeof *wish, &wish);
    for (uint32_t v = 0; v < l->n && status == SPK_OK; v++)
        wish[v] = (struct place_wish){(float)((uint32_t)a->part[v] % ax->w),
                                      (float)((uint32_t)a->part[v] / ax->w), v};
    if (status == SPK_OK)
        status = place_legalise(ax, NULL, NULL, wish, l->n, &state);
    for (uint32_t v = 0; v < l->n && status == SPK_OK; v++)
        out_cell[v] = state.pos[v].y * ax->w + state.pos[v].x;
    spk_free(wish);
    spk_free(state.at);
    spk_free(state.pos);
    return status;
}

spk_status place_by_scotch(const struct ir_cluster_graph *graph, const struct place_grid *grid,
                           uint64_t seed, struct diag_list *diags, uint32_t *out_cell)
{
    struct place_level l;
    struct scotch_arrays a = {NULL, NULL, NULL, NULL};
    if (grid->blocked != NULL)
        return diag_usage(diags, spk_span_none, "E0686",
                          "the placer 'scotch' knows no meshes with blocked cells");
    SPK_TRY(place_level_build(graph, PLACE_NO_GROUPS, diags, &l));
    spk_status status = place_axes_of_grid(grid, &l.axes);
    if (status == SPK_OK && l.link_first[l.n] > INT_MAX)
        status = diag_nofit(diags, spk_span_none, "E0687", "the graph is too large for Scotch");
    if (status == SPK_OK)
        status = to_arrays(&l, &a);
    if (status == SPK_OK && !map_onto_mesh(&l, grid, &a, seed))
        status = diag_internal(diags, spk_span_none, "E0688", "Scotch could not map the graph");
    if (status == SPK_OK)
        status = wishes_of_parts(&l, &a, out_cell);
    spk_free(a.first);
    spk_free(a.to);
    spk_free(a.weight);
    spk_free(a.part);
    place_level_fini(&l);
    return status;
}

#else

spk_status place_by_scotch(const struct ir_cluster_graph *graph, const struct place_grid *grid,
                           uint64_t seed, struct diag_list *diags, uint32_t *out_cell)
{
    (void)graph;
    (void)grid;
    (void)seed;
    (void)out_cell;
    return diag_usage(diags, spk_span_none, "E0689",
                      "the placer 'scotch' is not built in: libscotch-dev was not found");
}

#endif
