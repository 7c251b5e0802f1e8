/* Simulator, part 12: probes. Where the points of a run lie, group by group (or task by task), so
 * that only groups with points do more than they would. */
#include "runtime/sim_internal.h"

#include <stdlib.h>
#include <string.h>

#include "support/alloc.h"

void sim_probe_clear(struct sim *s)
{
    spk_free(s->seats);
    spk_free(s->seat_first);
    s->seats = NULL;
    s->seat_first = NULL;
}

static bool in_group(const struct sim *s, const struct sim_group *g, const struct probe_point *p,
                     uint32_t *out_neuron)
{
    const uint32_t wide = s->im->layers[p->layer].width;
    const uint32_t y = p->position / wide - g->y0, x = p->position % wide - g->x0;
    if (g->layer != p->layer || y >= g->ny || x >= g->nx || p->channel - g->c0 >= g->nc)
        return false;
    *out_neuron = (y * g->nx + x) * g->nc + p->channel - g->c0;
    return true;
}

/* Owner (a group, or behind them a task) and neuron of a point; false where it has no membrane. */
static bool find_seat(const struct sim *s, const struct probe_point *p, struct sim_seat *out)
{
    if (p->layer >= s->n_layers || p->channel >= s->im->layers[p->layer].channels)
        return false;
    for (uint32_t i = s->layer_group_first[p->layer]; i < s->layer_group_first[p->layer + 1]; i++) {
        const struct sim_group *g = &s->groups[s->layer_groups[i]];
        out->owner = s->layer_groups[i];
        if (in_group(s, g, p, &out->neuron))
            return img_has_membrane(g->program);
    }
    for (uint32_t i = 0; i < s->n_tasks; i++) {
        const struct sim_task *t = &s->tasks[i];
        if (t->def->layer != p->layer || t->def->core != IMG_NONE || p->position >= t->def->tokens)
            continue;
        out->owner = s->n_groups + i;
        out->neuron = p->position * t->nc + p->channel;
        return true;
    }
    return false;
}

static int compare_seats(const void *x, const void *y)
{
    const struct sim_seat *a = x, *b = y;
    if (a->owner != b->owner)
        return a->owner < b->owner ? -1 : 1;
    return (a->point > b->point) - (a->point < b->point);
}

static int32_t threshold(const struct sim *s, const struct sim_seat *seat)
{
    if (seat->owner >= s->n_groups)
        return s->tasks[seat->owner - s->n_groups].def->vth;
    const struct sim_group *g = &s->groups[seat->owner];
    if (g->program == IMG_PROG_ENGINE)
        return s->tasks[s->core_task[g->core]].def->vth;
    return s->vth[g->first + seat->neuron];
}

spk_status sim_probe_begin(struct sim *s, struct diag_list *d)
{
    const struct probe_run *p = s->run->probe;
    const uint32_t n_owners = s->n_groups + s->n_tasks;
    sim_probe_clear(s);
    if (p == NULL)
        return SPK_OK;
    SPK_TRY(spk_alloc_array(p->n_points, sizeof *s->seats, &s->seats));
    SPK_TRY(spk_alloc_array((size_t)n_owners + 1, sizeof *s->seat_first, &s->seat_first));
    for (uint32_t i = 0; i < p->n_points; i++) {
        const struct probe_point *at = &p->point[i];
        if (!find_seat(s, at, &s->seats[i]))
            return diag_error(d, spk_span_none, "E0843",
                              "channel %u, position %u of layer %u has no membrane on the chip",
                              at->channel, at->position, at->layer);
        s->seats[i].point = i;
        s->seat_first[s->seats[i].owner + 1]++;
        p->threshold[i] = threshold(s, &s->seats[i]);
    }
    for (uint32_t i = 0; i < n_owners; i++)
        s->seat_first[i + 1] += s->seat_first[i];
    if (p->n_points > 0)
        qsort(s->seats, p->n_points, sizeof *s->seats, compare_seats);
    return SPK_OK;
}

void sim_probe_put(struct sim *s, const struct sim_seat *seat, uint32_t layer, int32_t membrane,
                   bool fired)
{
    const struct probe_run *p = s->run->probe;
    const uint64_t at = probe_at(p, s->image[layer], (uint32_t)s->frame[layer], seat->point);
    p->membrane[at] = membrane;
    p->fired[at] = fired;
}

void sim_probe_task(struct sim *s, const struct sim_task *t, uint32_t owner)
{
    for (uint32_t i = s->seat_first[owner]; i < s->seat_first[owner + 1]; i++)
        sim_probe_put(s, &s->seats[i], t->def->layer, t->h[s->seats[i].neuron],
                      t->fired[s->seats[i].neuron] != 0);
}
