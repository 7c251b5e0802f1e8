/* Constraints on places (docs/constraints.md): what they name must exist, and every core that they
 * pin gets the list of places that it may take.
 *
 * Populations with the same pins are a class, and cores are shared within a class only, so that a
 * core has one set of pins; a population whose single cores are pinned is a class of its own. The
 * areas of all pins of a core are intersected. Whether all cores find places together is decided by
 * the placement room (a matching); what can be said with names is looked for here before. Cost:
 * populations x pins, and different areas x places of the chips in use. */
#include <stdlib.h>
#include <string.h>

#include "passes/map/mesh.h"
#include "support/alloc.h"
#include "support/name_hint.h"

bool map_forbidden(const struct mapping *m, uint32_t chip, uint32_t x, uint32_t y)
{
    const struct constraints *c = m->constraints;
    for (uint32_t i = 0; c != NULL && i < c->n_forbid; i++)
        if (ctr_area_has(&c->forbid[i].area, m->net.target->cores_x, chip, x, y))
            return true;
    return false;
}

bool map_chip_forbidden(const struct mapping *m, uint32_t chip)
{
    const struct constraints *c = m->constraints;
    for (uint32_t i = 0; c != NULL && i < c->n_forbid; i++) {
        const struct ctr_area *a = &c->forbid[i].area;
        if (ctr_in_range(a->chip, chip) && ctr_is_any(a->x) && ctr_is_any(a->y) &&
            ctr_is_any(a->core))
            return true;
    }
    return false;
}

bool map_chip_pinned(const struct mapping *m, uint32_t chip)
{
    const struct constraints *c = m->constraints;
    for (uint32_t i = 0; c != NULL && i < c->n_pins; i++)
        if (!ctr_is_any(c->pin[i].area.chip) && ctr_in_range(c->pin[i].area.chip, chip))
            return true;
    return false;
}

bool map_pinned_beyond(const struct mapping *m, uint64_t n)
{
    const struct constraints *c = m->constraints;
    for (uint32_t i = 0; c != NULL && i < c->n_pins; i++)
        if (!ctr_is_any(c->pin[i].area.chip) && c->pin[i].area.chip.last >= n)
            return true;
    return false;
}

/* ---- what the file names ---- */

static spk_status check_range(const struct mapping *m, struct ctr_range r, const char *what,
                              uint64_t n, struct spk_span span, struct diag_list *diags)
{
    const uint32_t beyond = r.last != CTR_ANY ? r.last : r.first;
    if (ctr_is_any(r) || beyond < n)
        return SPK_OK;
    spk_status status = diag_error(diags, span, "E0677", "there is no %s %u on '%s'", what, beyond,
                                   m->net.target->name);
    diag_help_set(diags, "%ss from 0 to %llu", what, (unsigned long long)(n - 1));
    return status;
}

static spk_status check_area(const struct mapping *m, const struct ctr_area *a,
                             struct spk_span span, struct diag_list *diags)
{
    const struct tgt *t = m->net.target;
    uint64_t chips = 1;
    for (uint32_t i = 0; i < t->n_systems; i++) {
        const uint64_t n = (uint64_t)t->system[i].chips_x * t->system[i].chips_y;
        chips = n > chips ? n : chips;
    }
    SPK_TRY(check_range(m, a->chip, "chip", chips, span, diags));
    SPK_TRY(check_range(m, a->x, "column", t->cores_x, span, diags));
    SPK_TRY(check_range(m, a->y, "row", t->cores_y, span, diags));
    return check_range(m, a->core, "core", (uint64_t)t->cores_x * t->cores_y, span, diags);
}

static bool has_neuron_cores(const struct map_pop *p)
{
    return p->has_compartments && p->engine == 0;
}

static spk_status unknown_layer(const struct mapping *m, const char *name, struct spk_span span,
                                struct diag_list *diags)
{
    struct name_hint hint;
    name_hint_init(&hint, name);
    for (size_t i = 0; i < m->net.pops.len; i++)
        name_hint_offer(&hint, m->net.pops.data[i].name);
    spk_status status = diag_error(diags, span, "E0646", "there is no layer '%s'", name);
    if (name_hint_best(&hint) != NULL)
        diag_help_set(diags, "did you mean '%s'?", name_hint_best(&hint));
    else
        diag_help_set(diags, "'spikec estimate' lists the layers; * stands for any letters");
    return status;
}

static spk_status check_layer(const struct mapping *m, const struct ctr_pin *pin,
                              struct diag_list *diags)
{
    bool known = false, placed = false;
    if (pin->layer == NULL)
        return diag_error(diags, pin->span, "E0646",
                          "a pin of clusters is for 'place', which reads plain graphs");
    for (size_t i = 0; i < m->net.pops.len; i++) {
        const struct map_pop *p = &m->net.pops.data[i];
        const bool match = ctr_name_matches(pin->layer, p->name);
        known = known || match;
        placed = placed || (match && has_neuron_cores(p));
    }
    if (placed)
        return SPK_OK;
    if (known)
        return diag_error(diags, pin->layer_span, "E0647",
                          "'%s' has no neuron cores that could be pinned", pin->layer);
    return unknown_layer(m, pin->layer, pin->layer_span, diags);
}

/* Which pins hold for which populations, [pops][pins]. */
static spk_status match_pins(const struct mapping *m, const struct constraints *c, uint8_t **out)
{
    const size_t n = m->net.pops.len;
    size_t cells;
    if (__builtin_mul_overflow(n, (size_t)c->n_pins, &cells))
        return SPK_ERR_NOMEM;
    SPK_TRY(spk_alloc_array(cells + 1, 1, out));
    for (size_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < c->n_pins; k++)
            (*out)[i * c->n_pins + k] = has_neuron_cores(&m->net.pops.data[i]) &&
                                        ctr_name_matches(c->pin[k].layer, m->net.pops.data[i].name);
    return SPK_OK;
}

static void set_classes(struct mapping *m, const struct constraints *c, const uint8_t *match)
{
    for (uint32_t i = 0; i < m->net.pops.len; i++) {
        const uint8_t *row = match + (size_t)i * c->n_pins;
        uint32_t first = 0;
        bool pinned = false, apart = false;
        for (uint32_t k = 0; k < c->n_pins; k++) {
            pinned = pinned || row[k];
            apart = apart || (row[k] && c->pin[k].part != CTR_ANY);
        }
        while (!apart && first < i &&
               memcmp(row, match + (size_t)first * c->n_pins, c->n_pins) != 0)
            first++;
        m->net.pops.data[i].pin_class = !pinned ? 0 : apart ? i + 1 : first + 1;
    }
}

/* Bits of the weights that feed the layers; later entries of the file win. */
static spk_status set_bits(struct mapping *m, const struct ctr_bits *b, struct diag_list *diags)
{
    const uint32_t most = m->net.target->arith.weight_bits;
    bool known = false, weighted = false;
    if (b->bits > most) {
        spk_status status = diag_error(diags, b->span, "E0669", "%u bits of weights, '%s' has %u",
                                       b->bits, m->net.target->name, most);
        diag_help_set(diags, "2 to %u", most);
        return status;
    }
    for (size_t i = 0; i < m->net.pops.len; i++) {
        const struct map_pop *p = &m->net.pops.data[i];
        const bool match = ctr_name_matches(b->layer, p->name);
        known = known || match;
        for (uint32_t k = 0; match && k < p->n_projs; k++) {
            struct map_proj *j = &m->net.projs.data[p->proj_first + k];
            if (j->weight_name == NULL || j->plastic)
                continue;
            j->weight_bits = b->bits < most ? (uint8_t)b->bits : 0;
            weighted = true;
        }
    }
    if (known && weighted)
        return SPK_OK;
    if (known)
        return diag_error(diags, b->layer_span, "E0647", "'%s' has no weights on the chip",
                          b->layer);
    return unknown_layer(m, b->layer, b->layer_span, diags);
}

spk_status map_constrain(struct mapping *m, const struct constraints *c, struct diag_list *diags)
{
    uint8_t *match;
    spk_status status = SPK_OK;
    for (uint32_t i = 0; i < c->n_forbid; i++) {
        const spk_status s = check_area(m, &c->forbid[i].area, c->forbid[i].span, diags);
        status = status == SPK_OK ? s : status;
    }
    for (uint32_t i = 0; i < c->n_pins; i++) {
        spk_status s = check_area(m, &c->pin[i].area, c->pin[i].span, diags);
        s = s == SPK_OK ? check_layer(m, &c->pin[i], diags) : s;
        status = status == SPK_OK ? s : status;
    }
    SPK_TRY(status);
    for (uint32_t i = 0; i < c->n_bits; i++)
        SPK_TRY(set_bits(m, &c->bits[i], diags));
    m->constraints = c;
    SPK_TRY(match_pins(m, c, &match));
    set_classes(m, c, match);
    spk_free(match);
    return SPK_OK;
}

/* ---- cores and places ---- */

/* Cores that may go to the same area. */
struct pinned_area {
    struct ctr_area area;
    uint32_t n_cores, pop, pin; /* one of its populations and pins, for messages */
};

struct pinning {
    const struct mapping *m;
    const struct constraints *c;
    const struct map_mesh *mesh;
    struct diag_list *diags;
    uint8_t *match;
    uint32_t *part; /* [cores] of the core's first layer: which of its cores this is */
    uint32_t *of;   /* [cores] area, or PLACE_NONE */
    VEC(struct pinned_area) areas;
    VEC(uint32_t) first, cells;
};

static uint32_t pop_of(const struct mapping *m, uint32_t core)
{
    return m->tiles.data[m->core_tile[m->core_first[core]]].pop;
}

/* Numbers the cores of every pinned population by their first tile, and checks the numbers that are
 * pinned. */
static spk_status number_parts(struct pinning *p)
{
    const struct mapping *m = p->m;
    spk_status status = SPK_OK;
    memset(p->part, 0xff, m->n_cores * sizeof *p->part);
    for (uint32_t i = 0; i < m->net.pops.len; i++) {
        const struct map_pop *pop = &m->net.pops.data[i];
        uint32_t n = 0;
        if (pop->pin_class == 0)
            continue;
        for (uint32_t k = 0; k < pop->gh * pop->gw * pop->gc; k++) {
            const uint32_t core = m->tiles.data[pop->tile_first + k].core;
            if (p->part[core] == UINT32_MAX)
                p->part[core] = n++;
        }
        for (uint32_t k = 0; k < p->c->n_pins; k++) {
            const struct ctr_pin *pin = &p->c->pin[k];
            if (!p->match[(size_t)i * p->c->n_pins + k] || pin->part == CTR_ANY || pin->part < n)
                continue;
            status =
                diag_error(p->diags, pin->span, "E0648", "'%s' has no part %u: it has %u core%s",
                           pop->name, pin->part, n, n == 1 ? "" : "s");
        }
    }
    return status;
}

static spk_status add_area(struct pinning *p, const struct pinned_area *a, uint32_t *out)
{
    for (*out = 0; *out < p->areas.len; ++*out)
        if (memcmp(&p->areas.data[*out].area, &a->area, sizeof a->area) == 0)
            break;
    if (*out == p->areas.len)
        SPK_TRY(vec_push(&p->areas, *a));
    p->areas.data[*out].n_cores++;
    return SPK_OK;
}

/* The area of a core: what all its pins have in common. */
static spk_status area_of(struct pinning *p, uint32_t core)
{
    const struct mapping *m = p->m;
    const struct ctr_range any = {0, CTR_ANY};
    struct pinned_area a = {{any, any, any, any}, 0, pop_of(m, core), PLACE_NONE};
    p->of[core] = PLACE_NONE;
    for (uint32_t k = 0; k < p->c->n_pins; k++) {
        const struct ctr_pin *pin = &p->c->pin[k];
        const struct ctr_area before = a.area;
        if (!p->match[(size_t)a.pop * p->c->n_pins + k] ||
            (pin->part != CTR_ANY && pin->part != p->part[core]))
            continue;
        if (!ctr_area_meet(&before, &pin->area, &a.area)) {
            spk_status status =
                diag_error(p->diags, pin->span, "E0649",
                           "'%s' is pinned here and elsewhere, and the two have no place in common",
                           m->net.pops.data[a.pop].name);
            diag_note_add(p->diags, p->c->pin[a.pin].span, "the other pin");
            return status;
        }
        a.pin = k;
    }
    return a.pin == PLACE_NONE ? SPK_OK : add_area(p, &a, &p->of[core]);
}

static int compare_cells(const void *x, const void *y)
{
    const uint32_t *a = x, *b = y;
    return (*a > *b) - (*a < *b);
}

static spk_status refuse_area(const struct pinning *p, const struct pinned_area *a, size_t cells)
{
    const struct ctr_pin *pin = &p->c->pin[a->pin];
    const char *layer = p->m->net.pops.data[a->pop].name;
    struct strbuf place = {0};
    ctr_area_text(&a->area, &place);
    spk_status status =
        cells == 0
            ? diag_nofit(p->diags, pin->span, "E0678",
                         "'%s' is pinned to %s, where no core may be used", layer,
                         strbuf_cstr(&place))
            : diag_nofit(p->diags, pin->span, "E0679",
                         "%u cores ('%s' and what shares its pins) are pinned to %s, which has %zu",
                         a->n_cores, layer, strbuf_cstr(&place), cells);
    if (cells == 0)
        diag_help_set(p->diags,
                      "it is forbidden, reserved, holds engines, or is beyond the %u cores of a "
                      "chip that are usable",
                      p->m->net.target->cores_per_chip);
    else
        diag_help_set(p->diags, "a larger place, or more chips: chip 0-1");
    strbuf_fini(&place);
    return status;
}

static spk_status find_cells(struct pinning *p)
{
    const struct tgt *t = p->m->net.target;
    SPK_TRY(vec_push(&p->first, 0));
    for (size_t i = 0; i < p->areas.len; i++) {
        const struct pinned_area *a = &p->areas.data[i];
        const size_t before = p->cells.len;
        for (uint32_t k = 0; k < p->mesh->n_slots; k++) {
            const struct map_place at = map_mesh_place(p->m, p->mesh, p->mesh->slot[k]);
            if (ctr_area_has(&a->area, t->cores_x, at.chip, at.x, at.y))
                SPK_TRY(vec_push(&p->cells, p->mesh->slot[k]));
        }
        const size_t n = p->cells.len - before;
        if (n < a->n_cores)
            return refuse_area(p, a, n);
        qsort(p->cells.data + before, n, sizeof *p->cells.data, compare_cells);
        SPK_TRY(vec_push(&p->first, (uint32_t)p->cells.len));
    }
    return SPK_OK;
}

/* Two areas that are one and the same place. */
static spk_status check_single(const struct pinning *p)
{
    for (size_t i = 0; i < p->areas.len; i++) {
        for (size_t k = 0; k < i && p->first.data[i + 1] - p->first.data[i] == 1; k++) {
            if (p->first.data[k + 1] - p->first.data[k] != 1 ||
                p->cells.data[p->first.data[k]] != p->cells.data[p->first.data[i]])
                continue;
            const struct pinned_area *a = &p->areas.data[i], *b = &p->areas.data[k];
            spk_status status =
                diag_nofit(p->diags, p->c->pin[a->pin].span, "E0679",
                           "cores of '%s' and '%s' are pinned to one place",
                           p->m->net.pops.data[a->pop].name, p->m->net.pops.data[b->pop].name);
            diag_note_add(p->diags, p->c->pin[b->pin].span, "the other pin");
            return status;
        }
    }
    return SPK_OK;
}

static spk_status pin_all(struct pinning *p)
{
    const uint32_t n = p->m->n_cores - p->m->n_engines;
    SPK_TRY(match_pins(p->m, p->c, &p->match));
    SPK_TRY(spk_alloc_array_raw(p->m->n_cores, sizeof *p->part, &p->part));
    SPK_TRY(spk_alloc_array_raw(p->m->n_cores, sizeof *p->of, &p->of));
    SPK_TRY(number_parts(p));
    for (uint32_t i = 0; i < n; i++)
        SPK_TRY(area_of(p, i));
    SPK_TRY(find_cells(p));
    return check_single(p);
}

spk_status map_pin_cores(const struct mapping *m, const struct map_mesh *mesh,
                         struct diag_list *diags, struct place_regions *out)
{
    struct pinning p = {.m = m, .c = m->constraints, .mesh = mesh, .diags = diags};
    memset(out, 0, sizeof *out);
    if (p.c == NULL || p.c->n_pins == 0)
        return SPK_OK;
    spk_status status = pin_all(&p);
    spk_free(p.match);
    spk_free(p.part);
    if (status == SPK_OK) {
        *out = (struct place_regions){(uint32_t)p.areas.len, p.first.data, p.cells.data, p.of};
        vec_fini(&p.areas);
        return SPK_OK;
    }
    spk_free(p.of);
    vec_fini(&p.areas);
    vec_fini(&p.first);
    vec_fini(&p.cells);
    return status;
}

void map_pins_fini(struct place_regions *pins)
{
    union { /* arrays that are only read by all others */
        const uint32_t *seen;
        uint32_t *own;
    } first = {pins->first}, cell = {pins->cell}, of = {pins->of};
    spk_free(first.own);
    spk_free(cell.own);
    spk_free(of.own);
    memset(pins, 0, sizeof *pins);
}
