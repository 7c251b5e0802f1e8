/* Checker, part 3: chips, mesh, routes, schedule, embedded processors, prices.
 *
 * Distances: the routers (tiles) of all chips form one grid; a step inside a chip is a hop in x or
 * y, a step from chip to chip is a chip hop; a spike that stays at its router is one within-tile
 * spike. Drain: the number of steps after which the truncating decay takes the largest membrane to
 * zero; hard-wired neurons need that many steps between two images.                              */
#include "check/check_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/alloc.h"

static uint32_t distance(uint32_t a, uint32_t b)
{
    return a > b ? a - b : b - a;
}

static void check_meta(struct check *c)
{
    const struct img_meta *m = &c->im->meta;
    const struct tgt *t = c->t;
    const uint32_t word = t->engine.per_chip ? t->engine.word_bits : 0;
    const struct {
        const char *name;
        uint32_t have, want;
    } facts[] = {{"state bits", m->state_bits, t->arith.state_bits},
                 {"payload bits", m->payload_bits, t->arith.payload_bits},
                 {"threshold shift", m->threshold_shift, t->arith.threshold_shift},
                 {"cores of a chip in x", m->cores_x, t->cores_x},
                 {"cores of a chip in y", m->cores_y, t->cores_y},
                 {"tile width", m->tile_w, t->tile_w},
                 {"tile height", m->tile_h, t->tile_h},
                 {"word of an attention engine", m->word_bits, word}};
    const char *system = c->im->strings[m->system_name];
    bool found = false;

    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
        if (facts[i].have != facts[i].want)
            check_violation(c, "E0920", IMG_NONE, IMG_NONE, "%s: %u in the image, %u in '%s'",
                            facts[i].name, facts[i].have, facts[i].want, t->name);
    }
    if (strcmp(c->im->strings[m->target_name], t->name) != 0)
        check_violation(c, "E0920", IMG_NONE, IMG_NONE,
                        "made for target '%s', checked against '%s'",
                        c->im->strings[m->target_name], t->name);
    for (uint32_t i = 0; i < t->n_systems; i++) {
        if (strcmp(t->system[i].name, system) != 0)
            continue;
        found = true;
        if (t->system[i].chips_x != m->chips_x || t->system[i].chips_y != m->chips_y)
            check_violation(c, "E0920", IMG_NONE, IMG_NONE,
                            "system '%s' has %u x %u chips, not %u x %u", system,
                            t->system[i].chips_x, t->system[i].chips_y, m->chips_x, m->chips_y);
    }
    if (!found)
        check_violation(c, "E0920", IMG_NONE, IMG_NONE, "'%s' has no system '%s'", t->name, system);
}

static int compare_u32(const void *a, const void *b)
{
    const uint32_t *p = a, *q = b;

    return (*p > *q) - (*p < *q);
}

/* Cores of one class per chip: `most` are usable. */
static spk_status check_class_use(struct check *c, bool engines, uint32_t most)
{
    const struct image *im = c->im;
    uint32_t *chips, run = 0, n = 0;

    SPK_TRY(spk_alloc_array(im->n_cores, sizeof *chips, &chips));
    for (uint64_t i = 0; i < im->n_cores; i++)
        if ((c->core_task[i] != IMG_NONE) == engines)
            chips[n++] = im->cores[i].chip;
    if (n)
        qsort(chips, n, sizeof *chips, compare_u32);
    for (uint32_t i = 0; i < n; i++) {
        run = i > 0 && chips[i] == chips[i - 1] ? run + 1 : 1;
        if ((i + 1 == n || chips[i + 1] != chips[i]) && run > most)
            check_violation(c, "E0920", IMG_NONE, IMG_NONE, "chip %u uses %u %s, %u are usable",
                            chips[i], run, engines ? "attention engines" : "cores", most);
    }
    spk_free(chips);
    return SPK_OK;
}

/* Attention engines are the last places of a mesh, row by row. */
static spk_status check_chip_use(struct check *c)
{
    const struct image *im = c->im;
    const uint64_t all = (uint64_t)c->t->cores_x * c->t->cores_y;

    for (uint32_t i = 0; i < im->n_cores; i++) {
        const struct img_core *k = &im->cores[i];
        const uint64_t at = (uint64_t)k->y * c->t->cores_x + k->x;

        if (k->x >= c->t->cores_x || k->y >= c->t->cores_y)
            check_violation(c, "E0920", IMG_NONE, i, "outside the mesh of %u x %u cores",
                            c->t->cores_x, c->t->cores_y);
        else if ((all - at <= c->t->engine.per_chip) != (c->core_task[i] != IMG_NONE))
            check_violation(c, "E0920", IMG_NONE, i, "%s",
                            c->core_task[i] == IMG_NONE
                                ? "a neuron core in the place of an attention engine"
                                : "an attention engine in the place of a neuron core");
    }
    SPK_TRY(check_class_use(c, true, c->t->engine.per_chip));
    return check_class_use(c, false, c->t->cores_per_chip);
}

static void check_routes(struct check *c)
{
    const struct image *im = c->im;
    uint32_t wide = im->meta.chips_x, tw = c->t->tile_w ? c->t->tile_w : 1;
    uint32_t th = c->t->tile_h ? c->t->tile_h : 1;
    uint32_t grid_x = c->t->cores_x / tw, grid_y = c->t->cores_y / th;

    for (uint64_t i = 0; i < im->n_routes; i++) {
        const struct img_route *r = &im->routes[i];
        const struct img_core *s = &im->cores[r->src_core];
        uint32_t chip_x, chip_y, x, y, near;

        if (r->dest == IMG_DEST_HOST)
            continue;
        chip_x = distance(s->chip % wide, r->chip % wide);
        chip_y = distance(s->chip / wide, r->chip / wide);
        if (r->dest == IMG_DEST_EMBEDDED) {
            if (im->embedded[r->x].chip != r->chip || r->hops_chip != chip_x + chip_y)
                check_violation(
                    c, "E0921", IMG_NONE, r->src_core,
                    "route %llu to embedded task %u: chip %u and %u chip hops, expected "
                    "chip %u and %u",
                    (unsigned long long)i, r->x, r->chip, r->hops_chip, im->embedded[r->x].chip,
                    chip_x + chip_y);
            continue;
        }
        x = distance(s->chip % wide * grid_x + s->x / tw, r->chip % wide * grid_x + r->x / tw) -
            chip_x;
        y = distance(s->chip / wide * grid_y + s->y / th, r->chip / wide * grid_y + r->y / th) -
            chip_y;
        near = x + y + chip_x + chip_y == 0;
        if (r->hops_x != x || r->hops_y != y || r->hops_chip != chip_x + chip_y ||
            r->within_tile != near)
            check_violation(c, "E0921", IMG_NONE, r->src_core,
                            "route %llu to chip %u, x %u, y %u: %u + %u + %u hops (x, y, chip) and "
                            "%u within the tile, expected %u + %u + %u and %u",
                            (unsigned long long)i, r->chip, r->x, r->y, r->hops_x, r->hops_y,
                            r->hops_chip, r->within_tile, x, y, chip_x + chip_y, near);
    }
}

/* Idle steps until the largest membrane is zero; UINT32_MAX: never. */
static uint32_t drain(uint32_t bits, uint32_t decay)
{
    uint64_t v = ((uint64_t)1 << (bits - 1)) - 1;
    uint32_t steps = 0;

    while (v != 0) {
        uint64_t next = v * (4096 - (uint64_t)decay) / 4096;

        if (next == v)
            return UINT32_MAX;
        v = next;
        steps++;
    }
    return steps;
}

static void check_schedule(struct check *c)
{
    const struct img_meta *m = &c->im->meta;
    uint64_t last = 0;
    uint32_t worst = 0, known_decay = UINT32_MAX;

    for (uint64_t i = 0; i < c->im->n_layers; i++)
        last = c->im->layers[i].start > last ? c->im->layers[i].start : last;
    if (c->im->n_layers && m->latency != last + m->timesteps)
        check_violation(c, "E0922", IMG_NONE, IMG_NONE,
                        "latency %u, but the last layer ends after step %llu", m->latency,
                        (unsigned long long)(last + m->timesteps));
    for (uint64_t i = 0; i < c->im->n_configs; i++) {
        const struct img_config *g = &c->im->configs[i];
        uint32_t d;

        if (g->program != IMG_PROG_FIXED || g->decay == known_decay)
            continue;
        known_decay = g->decay;
        d = drain(c->t->arith.state_bits, g->decay);
        worst = d > worst ? d : worst;
    }
    if (worst == UINT32_MAX)
        check_violation(c, "E0922", IMG_NONE, IMG_NONE,
                        "hard-wired neurons with a decay of 0 keep their state between images");
    else if (m->interval < (uint64_t)m->timesteps + worst)
        check_violation(c, "E0922", IMG_NONE, IMG_NONE,
                        "interval %u: membranes need %u idle steps after %u frames to drain",
                        m->interval, worst, m->timesteps);
}

static void check_embedded(struct check *c)
{
    const struct image *im = c->im;

    bool processors = false;

    for (uint64_t i = 0; i < im->n_embedded; i++)
        processors = processors || im->embedded[i].core == IMG_NONE;
    if (processors && !(c->t->attention & TGT_ATTN_EMBEDDED))
        check_violation(c, "E0923", IMG_NONE, IMG_NONE,
                        "'%s' offers no embedded processors for attention", c->t->name);
    for (uint64_t i = 0; i < im->n_embedded; i++) {
        const struct img_embedded *e = &im->embedded[i];
        const uint32_t operands[3] = {e->q_layer, e->k_layer, e->v_layer};

        if (e->core != IMG_NONE) {
            check_engine_task(c, (uint32_t)i);
            continue;
        }
        if (e->processor >= tgt_limit_value(c->t, TGT_EMBEDDED_PER_CHIP))
            check_violation(c, "E0923", e->layer, IMG_NONE,
                            "task %llu: processor %u of chip %u, there are %llu",
                            (unsigned long long)i, e->processor, e->chip,
                            (unsigned long long)tgt_limit_value(c->t, TGT_EMBEDDED_PER_CHIP));
        for (uint64_t j = 0; j < i; j++) {
            if (im->embedded[j].core == IMG_NONE && im->embedded[j].chip == e->chip &&
                im->embedded[j].processor == e->processor)
                check_violation(c, "E0923", e->layer, IMG_NONE,
                                "tasks %llu and %llu share processor %u of chip %u",
                                (unsigned long long)j, (unsigned long long)i, e->processor,
                                e->chip);
        }
        for (int o = 0; o < 3; o++) {
            uint32_t from = im->layers[operands[o]].start, to = im->layers[e->layer].start;

            if (to < from || to - from < c->t->arith.embedded_latency || to <= from)
                check_violation(
                    c, "E0923", e->layer, IMG_NONE,
                    "starts at step %u, operand '%s' at %u: the processor needs %u steps", to,
                    check_layer_name(c, operands[o]), from, c->t->arith.embedded_latency);
        }
    }
}

static void check_payloads(struct check *c)
{
    uint64_t most =
        c->t->arith.payload_bits == 0 ? 1 : ((uint64_t)1 << c->t->arith.payload_bits) - 1;

    for (uint32_t i = 0; i < c->im->n_layers; i++) {
        const struct img_layer *l = &c->im->layers[i];

        if (l->kind != IMG_LAYER_INPUT && l->payload_bound > most)
            check_violation(c, "E0924", i, IMG_NONE,
                            "payloads up to %u, spikes of '%s' carry at most %llu",
                            l->payload_bound, c->t->name, (unsigned long long)most);
    }
}

static void check_prices(struct check *c)
{
    const struct image *im = c->im;

    for (uint32_t i = 0; i < im->n_prices && i < TGT_ENERGY_COUNT + TGT_TIME_COUNT; i++) {
        bool time = i >= TGT_ENERGY_COUNT;
        const struct tgt_const *k =
            time ? &c->t->time_ns[i - TGT_ENERGY_COUNT] : &c->t->energy_pj[i];
        bool same = k->present ? im->prices[i] == k->value : isnan(im->prices[i]);

        if (!same)
            check_violation(c, "E0925", IMG_NONE, IMG_NONE, "price of %s %s: %g, '%s' says %g",
                            time ? tgt_time_name((enum tgt_time)(i - TGT_ENERGY_COUNT))
                                 : tgt_energy_name((enum tgt_energy)i),
                            time ? "(ns)" : "(pJ)", im->prices[i], c->t->name,
                            k->present ? k->value : (double)NAN);
    }
}

static void check_host_currents(struct check *c)
{
    const struct img_encoder *e = &c->im->encoder;
    int32_t most = (1 << (c->t->arith.bias_mant_bits - 1)) - 1;

    if (!e->present)
        return;
    if (e->m_max > most || e->m_exp > c->t->arith.bias_exp_max)
        check_violation(c, "E0935", e->layer, IMG_NONE,
                        "host currents up to %d << %u, '%s' has biases up to %d << %u", e->m_max,
                        e->m_exp, c->t->name, most, c->t->arith.bias_exp_max);
}

spk_status check_chips(struct check *c)
{
    check_meta(c);
    SPK_TRY(check_chip_use(c));
    check_routes(c);
    check_schedule(c);
    check_embedded(c);
    check_payloads(c);
    check_prices(c);
    check_host_currents(c);
    return SPK_OK;
}
