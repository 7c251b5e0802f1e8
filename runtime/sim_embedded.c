/* Simulator, part 6: attention computed by embedded processors (docs/integers.md, section 4).
 *
 * Spikes of q, k and v of one frame are collected as bit planes over tokens. When the frame's
 * result is due: A[i][j] = popcount(k_i & v_j) per head, count[j][n] = sum of A[i][j] over the i
 * with q[i][n] = 1, current = unit * count, integer LIF with hard reset. Frames in flight are kept
 * in a ring indexed by the step counted from the operand's own start, so that operands may arrive
 * at different times. Operations counted: 2 * tokens * channels * (channels / heads) per frame,
 * what a processor executes that does not exploit sparsity.                                     */
#include "runtime/sim_internal.h"

#include <string.h>

#include "support/alloc.h"

static spk_status bad(struct diag_list *d, uint64_t index, const char *why)
{
    return diag_error(d, diag_place(d, "chip image"), "E0841", "embedded task %llu: %s",
                      (unsigned long long)index, why);
}

static uint32_t operand_layer(const struct img_embedded *e, uint32_t operand)
{
    return operand == 0 ? e->q_layer : operand == 1 ? e->k_layer : e->v_layer;
}

static spk_status check_task(const struct sim *s, const struct img_embedded *e, uint64_t i,
                             struct diag_list *d, uint32_t *out_depth)
{
    const struct image *im = s->im;
    const struct img_layer *l;

    *out_depth = 0;
    if (e->layer >= s->n_layers || im->layers[e->layer].kind != IMG_LAYER_EMBEDDED)
        return bad(d, i, "its layer is not an embedded one");
    l = &im->layers[e->layer];
    if (e->heads == 0 || e->channels == 0 || e->channels % e->heads != 0 ||
        e->channels != l->channels || (uint64_t)l->height * l->width != e->tokens)
        return bad(d, i, "its shape does not agree with its layer or heads");
    if (e->bits < 2 || e->bits > 31 || e->decay > 4096)
        return bad(d, i, "state width or decay is out of range");
    for (uint32_t o = 0; o < 3; o++) {
        uint32_t layer = operand_layer(e, o);

        if (layer >= s->n_layers || im->layers[layer].start >= l->start)
            return bad(d, i, "an operand is unknown or not earlier than the result");
        if (l->start - im->layers[layer].start + 1 > *out_depth)
            *out_depth = l->start - im->layers[layer].start + 1;
    }
    if (e->port_first > im->n_embedded_ports || e->n_ports > im->n_embedded_ports - e->port_first)
        return bad(d, i, "its ports leave their table");
    for (uint32_t p = 0; p < e->n_ports; p++) {
        const struct img_embedded_port *port = &im->embedded_ports[e->port_first + p];

        if (port->operand > 2 || port->position >= e->tokens || port->channel_first > e->channels ||
            port->n_channels > e->channels - port->channel_first)
            return bad(d, i, "a port leaves its operand");
    }
    return SPK_OK;
}

spk_status sim_embedded_create(struct sim *s, struct diag_list *d)
{
    s->n_tasks = (uint32_t)s->im->n_embedded;
    SPK_TRY(spk_alloc_array(s->n_tasks, sizeof *s->tasks, &s->tasks));
    for (uint32_t i = 0; i < s->n_tasks; i++) {
        struct sim_task *t = &s->tasks[i];
        const struct img_embedded *e = &s->im->embedded[i];
        uint32_t dim;

        SPK_TRY(check_task(s, e, i, d, &t->depth));
        t->def = e;
        t->words = (e->tokens + 63) / 64;
        dim = e->channels / e->heads;
        if (t->depth > (1u << 20))
            return bad(d, i, "its operands arrive more than 2^20 steps early");
        SPK_TRY(spk_alloc_array((size_t)t->depth * 3 * e->channels, t->words * sizeof *t->bits,
                                &t->bits));
        SPK_TRY(spk_alloc_array((size_t)e->channels * e->tokens, sizeof *t->v, &t->v));
        SPK_TRY(spk_alloc_array((size_t)dim * dim, sizeof *t->counts, &t->counts));
        SPK_TRY(spk_alloc_array((size_t)e->channels * e->tokens, 1, &t->fired));
    }
    return SPK_OK;
}

void sim_embedded_destroy(struct sim *s)
{
    for (uint32_t i = 0; s->tasks && i < s->n_tasks; i++) {
        spk_free(s->tasks[i].bits);
        spk_free(s->tasks[i].v);
        spk_free(s->tasks[i].counts);
        spk_free(s->tasks[i].fired);
    }
    spk_free(s->tasks);
}

void sim_embedded_reset(struct sim *s)
{
    for (uint32_t i = 0; i < s->n_tasks; i++) {
        struct sim_task *t = &s->tasks[i];

        memset(t->bits, 0, (size_t)t->depth * 3 * t->def->channels * t->words * sizeof *t->bits);
        memset(t->v, 0, (size_t)t->def->channels * t->def->tokens * sizeof *t->v);
    }
}

static uint64_t *plane(const struct sim_task *t, uint64_t frame, uint32_t operand, uint32_t channel)
{
    uint64_t slot = frame % t->depth;

    return t->bits + ((slot * 3 + operand) * t->def->channels + channel) * t->words;
}

void sim_embedded_collect(struct sim *s, const struct sim_out *o, const struct sim_spike *spike,
                          uint32_t n)
{
    const struct sim_task *t = &s->tasks[o->target];
    const struct img_embedded_port *p = &s->im->embedded_ports[o->port];
    uint32_t start = s->im->layers[operand_layer(t->def, p->operand)].start;
    uint64_t bit = (uint64_t)1 << (p->position % 64), *words;

    s->stats.embedded_spikes += n;
    if (s->step < start)
        return;
    words = plane(t, s->step - start, p->operand, p->channel_first) + p->position / 64;
    for (uint32_t i = 0; i < n; i++)
        words[(size_t)(spike[i].neuron - o->first) * t->words] |= bit;
}

/* Integer LIF of one neuron; returns whether it fires. */
static bool fire(const struct sim *s, const struct sim_task *t, int32_t *v, int64_t current,
                 uint64_t *wraps)
{
    const struct img_embedded *e = t->def;
    int64_t limit = ((int64_t)1 << (e->bits - 1)) - 1, range = (int64_t)1 << e->bits;
    int64_t u = current & (range - 1), a = *v < 0 ? -(int64_t)*v : *v, x;

    (void)s;
    u = u > limit ? u - range : u;
    *wraps += u != current;
    a = (a * (4096 - (int64_t)e->decay)) >> 12;
    x = (*v < 0 ? -a : a) + u;
    x = x > limit ? limit : x < -limit ? -limit : x;
    *v = x >= e->vth ? 0 : (int32_t)x;
    return x >= e->vth;
}

static void compute_head(struct sim *s, struct sim_task *t, uint64_t frame, uint32_t head)
{
    uint32_t dim = t->def->channels / t->def->heads, first = head * dim, tokens = t->def->tokens;

    for (uint32_t i = 0; i < dim; i++) {
        const uint64_t *k = plane(t, frame, 1, first + i);

        for (uint32_t j = 0; j < dim; j++) {
            const uint64_t *v = plane(t, frame, 2, first + j);
            int32_t n = 0;

            for (uint32_t w = 0; w < t->words; w++)
                n += __builtin_popcountll(k[w] & v[w]);
            t->counts[(size_t)j * dim + i] = n;
        }
    }
    for (uint32_t j = 0; j < dim; j++) {
        for (uint32_t n = 0; n < tokens; n++) {
            size_t at = (size_t)(first + j) * tokens + n;
            int64_t count = 0;

            for (uint32_t i = 0; i < dim; i++) {
                if (plane(t, frame, 0, first + i)[n / 64] >> (n % 64) & 1)
                    count += t->counts[(size_t)j * dim + i];
            }
            t->fired[at] = fire(s, t, &t->v[at], t->def->unit * count, &s->stats.wraps);
            if (t->fired[at] && s->record && s->keep[t->def->layer].kept)
                sim_record_put(s, t->def->layer, first + j, n, 1);
        }
    }
}

void sim_embedded_step(struct sim *s)
{
    for (uint32_t i = 0; i < s->n_tasks; i++) {
        struct sim_task *t = &s->tasks[i];
        const struct img_embedded *e = t->def;
        uint32_t start = s->im->layers[e->layer].start;
        uint64_t frame;

        if (s->step < start)
            continue;
        frame = s->step - start;
        if (s->frame[e->layer] >= 0) {
            if (s->frame[e->layer] == 0)
                memset(t->v, 0, (size_t)e->channels * e->tokens * sizeof *t->v);
            for (uint32_t h = 0; h < e->heads; h++)
                compute_head(s, t, frame, h);
            s->stats.embedded_ops += 2ull * e->tokens * e->channels * (e->channels / e->heads);
        }
        memset(plane(t, frame, 0, 0), 0, (size_t)3 * e->channels * t->words * sizeof *t->bits);
    }
}
