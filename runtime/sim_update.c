/* Simulator, part 3: neuron updates and firing.
 *
 * One step of a compartment (docs/integers.md, section 1):
 *   u = wrap(trunc(u * current_keep / 4096) + acc + bias); v = clip(trunc(v * keep / 4096) + u);
 *   fire v >= vth; reset. Groups whose currents decay form u beforehand and integrate that.
 * The product v * keep needs 36 bits; it is formed in 32 as (|v| >> 12) * keep +
 * (((|v| & 4095) * keep) >> 12), which is the same number. The loops are written for automatic
 * vectorisation; keep = 2048 (tau = 2) and keep = 0 have versions of their own.
 * A group is skipped when nothing can happen to it: no state, no input, no bias, all thresholds
 * positive. Sums are kept modulo 2^32; a current beyond that range would escape the wrap counter.
 */
#include "runtime/sim_internal.h"

#include <string.h>

enum keep_mode { KEEP_ANY, KEEP_HALF, KEEP_NONE };

struct update {
    int32_t *v, *acc, *fired;
    const int32_t *vth, *bias;
    uint32_t n;
    int32_t keep;
    uint32_t state_bits;
    bool soft;
};
struct outcome {
    uint32_t any_v, any_fired; /* not 0: some are not 0 */
    uint32_t active, wraps;
};

static inline int32_t wrap_bits(int32_t x, uint32_t bits)
{
    return (int32_t)((uint32_t)x << (32 - bits)) >> (32 - bits);
}

__attribute__((always_inline)) static inline int32_t decayed(int32_t v, int32_t keep,
                                                             enum keep_mode mode)
{
    int32_t sign = v >> 31, a = (v ^ sign) - sign;

    if (mode == KEEP_NONE)
        return 0;
    if (mode == KEEP_HALF)
        a >>= 1;
    else
        a = (a >> 12) * keep + (((a & 4095) * keep) >> 12);
    return (a ^ sign) - sign;
}

__attribute__((always_inline)) static inline void
integrate(const struct update *p, enum keep_mode mode, bool biased, struct outcome *out)
{
    int32_t *restrict v = p->v, *restrict acc = p->acc, *restrict fired = p->fired;
    const int32_t *restrict vth = p->vth, *restrict bias = p->bias;
    const int32_t keep = p->keep, limit = (int32_t)((1u << (p->state_bits - 1)) - 1);
    const int32_t soft = p->soft ? -1 : 0;
    const uint32_t bits = p->state_bits;
    int32_t any_v = 0, any_fired = 0, active = 0, wraps = 0;

    for (uint32_t i = 0; i < p->n; i++) {
        int32_t in = biased ? (int32_t)((uint32_t)acc[i] + (uint32_t)bias[i]) : acc[i];
        int32_t busy = biased ? v[i] | acc[i] | bias[i] : v[i] | acc[i];
        int32_t u = wrap_bits(in, bits);
        int32_t x = decayed(v[i], keep, mode) + u;

        x = x > limit ? limit : x;
        x = x < -limit ? -limit : x;
        int32_t fire = -(int32_t)(x >= vth[i]);
        x = (x & ~fire) | (soft & fire & (int32_t)((uint32_t)x - (uint32_t)vth[i]));
        wraps += in != u;
        active += busy != 0;
        any_v |= x;
        any_fired |= fire;
        v[i] = x;
        acc[i] = 0;
        fired[i] = -fire;
    }
    *out =
        (struct outcome){(uint32_t)any_v, (uint32_t)any_fired, (uint32_t)active, (uint32_t)wraps};
}

static void integrate_any(const struct update *p, struct outcome *out)
{
    if (p->bias)
        integrate(p, KEEP_ANY, true, out);
    else
        integrate(p, KEEP_ANY, false, out);
}

static void integrate_half(const struct update *p, struct outcome *out)
{
    if (p->bias)
        integrate(p, KEEP_HALF, true, out);
    else
        integrate(p, KEEP_HALF, false, out);
}

static void integrate_none(const struct update *p, struct outcome *out)
{
    if (p->bias)
        integrate(p, KEEP_NONE, true, out);
    else
        integrate(p, KEEP_NONE, false, out);
}

/* Decaying currents: u of this step, which also takes the place of the input. */
static uint32_t keep_currents(struct sim *s, const struct sim_group *g, const struct update *p,
                              uint32_t *out_any)
{
    int32_t *u = s->u + g->first;
    uint32_t wraps = 0, any = 0;

    for (uint32_t i = 0; i < g->n; i++) {
        int32_t in = (int32_t)((uint32_t)p->acc[i] + (p->bias ? (uint32_t)p->bias[i] : 0u) +
                               (uint32_t)decayed(u[i], g->current_keep, KEEP_ANY));

        u[i] = wrap_bits(in, p->state_bits);
        wraps += in != u[i];
        any |= (uint32_t)u[i];
        p->acc[i] = u[i];
    }
    *out_any = any;
    return wraps;
}

struct sim_spikes *sim_spikes_of(const struct sim *s, uint64_t step, uint32_t from)
{
    return &s->spikes[(step % s->ring) * (s->n_chunks + 1) + from];
}

spk_status sim_send(struct sim *s, uint32_t from, uint32_t axon, uint32_t neuron, size_t first,
                    size_t n)
{
    const struct sim_axon *a = &s->axons[axon];
    uint64_t slot = (s->step + a->delay) % s->ring;
    struct sim_messages *list =
        &s->lists[(slot * (s->n_chunks + 1) + from) * s->n_chunks + a->core % s->n_chunks];
    uint32_t atom = sim_spikes_of(s, s->step, from)->data[first].neuron - neuron;
    struct sim_message m = {axon, a->core, (uint32_t)first, (uint16_t)atom, (uint16_t)n};

    return vec_push(list, m);
}

/* All messages of spikes [first, first + n) of the chunk, which are of one segment of the group.
 * Those of a core with one group are counted by its routes, in the end. */
static spk_status route_spikes(struct sim *s, const struct sim_group *g, uint32_t chunk,
                               uint32_t segment, size_t first, size_t n)
{
    struct sim_events *shared =
        s->cores[g->core].n_groups > 1 ? &s->stats.group[g - s->groups] : NULL;

    for (uint32_t i = s->segment_first[segment]; i < s->segment_first[segment + 1]; i++) {
        uint32_t id = s->segment_outs[i];
        bool counted = s->segment_repeats != NULL && s->segment_repeats[i] != 0;
        const struct sim_out *o = &s->outs[id];

        s->stats.route_messages[o->route] += counted ? 0 : n;
        if (shared != NULL && !counted)
            sim_count_route(shared, &s->im->routes[o->route], n);
        if (o->dest == IMG_DEST_CORE) {
            SPK_TRY(sim_send(s, chunk, o->target, o->first, first, n));
        } else {
            struct sim_note note = {id, (uint32_t)first, (uint32_t)n};
            SPK_TRY(vec_push(&s->chunks[chunk].notes, note));
        }
    }
    return SPK_OK;
}

static void note_outside(struct sim *s, const struct sim_group *g, struct sim_chunk *chunk)
{
    chunk->outside++;
    if (chunk->outside_layer == IMG_NONE ||
        (chunk->outside_step == s->step && g->core < chunk->outside_core)) {
        chunk->outside_layer = g->layer;
        chunk->outside_core = g->core;
        chunk->outside_step = s->step;
    }
}

/* Records and routes what a group fired: payload per neuron. */
static spk_status emit(struct sim *s, const struct sim_group *g, uint32_t chunk,
                       const int32_t *fired)
{
    struct sim_chunk *own = &s->chunks[chunk];
    struct sim_spikes *list = sim_spikes_of(s, s->step, chunk);
    const struct img_layer *l = &s->im->layers[g->layer];
    bool valid = s->frame[g->layer] >= 0;
    bool kept = valid && s->record && s->keep[g->layer].kept;
    size_t before = list->len, first = before; /* of the group, of the open segment */
    uint32_t segment = s->segment[g->first];

    SPK_TRY(vec_reserve(list, list->len + g->n));
    for (uint32_t p = 0, i = 0; p < g->ny * g->nx; p++) {
        uint32_t position = (g->y0 + p / g->nx) * l->width + g->x0 + p % g->nx;

        for (uint32_t c = 0; c < g->nc; c++, i++) {
            if (fired[i] == 0)
                continue;
            if (!valid)
                note_outside(s, g, own);
            else if (kept && g->c0 + c < l->channels)
                sim_record_put(s, g->layer, img_channel(s->im, g->layer, g->c0 + c), position,
                               fired[i]);
            if (s->segment[g->first + i] != segment) {
                if (list->len > first)
                    SPK_TRY(route_spikes(s, g, chunk, segment, first, list->len - first));
                segment = s->segment[g->first + i];
                first = list->len;
            }
            list->data[list->len++] = (struct sim_spike){g->first + i, fired[i]};
        }
    }
    if (list->len > first)
        SPK_TRY(route_spikes(s, g, chunk, segment, first, list->len - first));
    s->stats.group[g - s->groups].spikes_out += list->len - before;
    return SPK_OK;
}

/* The accumulators of a group in the order of its neurons. Those of a group that is not plain are
 * moved to scratch memory (padding keeps what lands on it, modulo 2^32, unread). */
static int32_t *group_input(const struct sim_group *g, int32_t *acc, int32_t *scratch)
{
    uint32_t i = 0;

    acc += g->comp;
    if (g->plain)
        return acc;
    for (uint32_t p = 0; p < g->ny * g->nx; p++) {
        int32_t *at = acc + (size_t)(p / g->nx * g->pitch + p % g->nx) * g->slice;

        for (uint32_t c = 0; c < g->nc; c += g->slice, at += g->plane) {
            uint32_t n = g->nc - c < g->slice ? g->nc - c : g->slice;

            for (uint32_t r = 0; r < n; r++, i++) {
                scratch[i] = at[r];
                at[r] = 0;
            }
        }
    }
    return scratch;
}

/* Probed neurons of a group before its update: what it will compare with the threshold. */
static void probe_before(struct sim *s, const struct sim_group *g, const struct update *p)
{
    const uint32_t owner = (uint32_t)(g - s->groups);
    const int32_t limit = (int32_t)((1u << (p->state_bits - 1)) - 1);

    for (uint32_t k = s->seat_first[owner]; k < s->seat_first[owner + 1]; k++) {
        const uint32_t i = s->seats[k].neuron;
        const uint32_t in = (uint32_t)p->acc[i] + (p->bias ? (uint32_t)p->bias[i] : 0u);
        int32_t x = decayed(p->v[i], p->keep, KEEP_ANY) + wrap_bits((int32_t)in, p->state_bits);

        x = x > limit ? limit : x < -limit ? -limit : x;
        sim_probe_put(s, &s->seats[k], g->layer, x, x >= p->vth[i]);
    }
}

/* The update itself has come to the same. */
static spk_status probe_after(const struct sim *s, const struct sim_group *g,
                              const struct update *p)
{
    const struct probe_run *probe = s->run->probe;
    const uint32_t owner = (uint32_t)(g - s->groups);

    for (uint32_t k = s->seat_first[owner]; k < s->seat_first[owner + 1]; k++) {
        const struct sim_seat *seat = &s->seats[k];
        const uint64_t at =
            probe_at(probe, s->image[g->layer], (uint32_t)s->frame[g->layer], seat->point);
        const int32_t h = probe->membrane[at], vth = p->vth[seat->neuron];
        const int32_t reset = p->soft ? (int32_t)((uint32_t)h - (uint32_t)vth) : 0;

        if ((p->fired[seat->neuron] != 0) != (probe->fired[at] != 0) ||
            p->v[seat->neuron] != (probe->fired[at] ? reset : h))
            return SPK_ERR_INTERNAL;
    }
    return SPK_OK;
}

/* Neurons with state (FIXED, PROG, GATED). */
static spk_status update_neurons(struct sim *s, struct sim_group *g, uint32_t chunk, bool dirty)
{
    int32_t frame = s->frame[g->layer];
    bool biased = g->has_bias && frame >= 0, idle = g->program != IMG_PROG_FIXED && frame < 0;
    struct outcome out;

    if (!dirty && (idle || (!g->active && !g->always && !biased)))
        return SPK_OK;
    struct update p = {.v = s->v + g->first,
                       .acc = group_input(g, s->acc, s->chunks[chunk].input),
                       .fired = s->chunks[chunk].fired,
                       .vth = s->vth + g->first,
                       .bias = biased ? s->bias + g->first : NULL,
                       .n = g->n,
                       .keep = g->keep,
                       .state_bits = s->im->meta.state_bits,
                       .soft = g->soft_reset};

    if (idle) {
        memset(p.acc, 0, g->n * sizeof *p.acc);
        if (s->touched != NULL)
            sim_touched_count(s, g, NULL, NULL);
        return SPK_OK;
    }
    if (g->program != IMG_PROG_FIXED && frame == 0 && g->active) {
        memset(p.v, 0, g->n * sizeof *p.v);
        if (g->current_keep > 0)
            memset(s->u + g->first, 0, g->n * sizeof *s->u);
    }
    if (dirty && s->touched != NULL)
        sim_touched_count(s, g, p.acc, p.bias);
    uint32_t any_u = 0;
    if (g->current_keep > 0) {
        s->chunks[chunk].wraps += keep_currents(s, g, &p, &any_u);
        p.bias = NULL;
    }
    const bool probed = s->seats != NULL && frame >= 0;
    if (probed)
        probe_before(s, g, &p);
    if (g->keep == 2048)
        integrate_half(&p, &out);
    else if (g->keep == 0)
        integrate_none(&p, &out);
    else
        integrate_any(&p, &out);
    if (probed)
        SPK_TRY(probe_after(s, g, &p));
    g->active = (out.any_v | any_u) != 0;
    s->active_updates[g - s->groups] += out.active;
    s->chunks[chunk].wraps += out.wraps;
    return out.any_fired ? emit(s, g, chunk, s->chunks[chunk].fired) : SPK_OK;
}

/* SUM, PRODUCT, ACCUMULATE: no state beyond the step, the payload is wrapped to its width. */
static spk_status update_graded(struct sim *s, struct sim_group *g, uint32_t chunk)
{
    int32_t *acc = group_input(g, s->acc, s->chunks[chunk].input);
    int32_t *acc1 = s->acc1 ? group_input(g, s->acc1, s->chunks[chunk].input1) : NULL;
    int32_t *fired = s->chunks[chunk].fired;
    uint32_t bits = s->im->meta.payload_bits, active = 0;
    bool any = false;

    if (s->touched != NULL)
        sim_touched_count(s, g, acc, acc1);
    for (uint32_t i = 0; i < g->n; i++) {
        int64_t x = acc[i];
        int32_t payload;

        active += acc[i] != 0 || (acc1 && acc1[i] != 0);
        if (g->program == IMG_PROG_PRODUCT)
            x = acc1 ? x * acc1[i] : 0;
        payload = x >= -s->max_payload && x <= s->max_payload
                      ? (int32_t)x
                      : wrap_bits((int32_t)(uint32_t)(uint64_t)x, bits);
        s->chunks[chunk].wraps += payload != x;
        fired[i] = payload;
        any |= payload != 0;
        acc[i] = 0;
    }
    s->active_updates[g - s->groups] += active;
    return any ? emit(s, g, chunk, s->chunks[chunk].fired) : SPK_OK;
}

spk_status sim_fire_chunk(void *ctx, uint32_t chunk, uint32_t worker)
{
    struct sim *s = ctx;

    (void)worker;
    vec_clear(sim_spikes_of(s, s->step, chunk));
    for (uint32_t c = chunk; c < s->n_cores; c += s->n_chunks) {
        const struct sim_core *core = &s->cores[c];
        bool dirty = s->dirty[c] != 0;

        for (uint32_t i = 0; i < core->n_groups; i++) {
            struct sim_group *g = &s->groups[core->group_first + i];

            if (g->program == IMG_PROG_ENGINE) {
                const int32_t *fired = sim_engine_fire(s, c, &s->chunks[chunk].wraps);
                SPK_TRY(fired ? emit(s, g, chunk, fired) : SPK_OK);
            } else if (img_has_membrane(g->program)) {
                SPK_TRY(update_neurons(s, g, chunk, dirty));
            } else if (dirty) {
                SPK_TRY(update_graded(s, g, chunk));
            }
        }
        if (dirty && s->acc1)
            memset(s->acc1 + core->first, 0, core->neurons * sizeof *s->acc1);
        s->dirty[c] = 0;
    }
    return SPK_OK;
}
