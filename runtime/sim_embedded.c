/* Simulator, part 6: attention computed as a task, by an embedded processor or an attention engine
 * (docs/integers.md, section 4).
 *
 * Spikes of q, k and v of one frame are collected as bit planes over tokens. When the frame's
 * result is due: A[i][j] = popcount(k_i & v_j) per head, count[n][j] = sum of the rows A[i] over
 * the i with q[i][n] = 1, current = unit * count, integer LIF with hard reset. Both orders of
 * evaluation give these integers, so only what is counted as work depends on the order. Frames in
 * flight are kept in a ring indexed by the step counted from the operand's own start, so that
 * operands may arrive at different times. Work counted per frame. Processor: 2 * tokens * channels
 * * min of what the order iterates over, what a processor executes that does not exploit sparsity.
 * Engine: AND and popcount of whole words, and additions as they occur: a row of counts per spike,
 * one per membrane. A task of an engine is computed by the chunk of its core. */
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
    if (e->layer >= s->n_layers ||
        (e->core == IMG_NONE) != (im->layers[e->layer].kind == IMG_LAYER_EMBEDDED))
        return bad(d, i, "its layer is not an embedded one, or is one and it has a core");
    l = &im->layers[e->layer];
    if (e->heads == 0 || e->channels == 0 || e->channels % e->heads != 0 ||
        e->channels != l->channels || (uint64_t)l->height * l->width != e->tokens)
        return bad(d, i, "its shape does not agree with its layer or heads");
    if (e->head_count == 0 || e->columns == 0 || e->head_first > e->heads ||
        e->head_count > e->heads - e->head_first || e->column_first > e->channels / e->heads ||
        e->columns > e->channels / e->heads - e->column_first ||
        (e->head_count > 1 && e->columns != e->channels / e->heads) ||
        (e->core == IMG_NONE && e->head_count * e->columns != e->channels))
        return bad(d, i, "its heads or columns are not those of its layer");
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

/* The group of an engine's core is what the task computes. */
static spk_status check_engine(struct sim *s, const struct img_embedded *e, uint32_t i,
                               struct diag_list *d)
{
    const struct sim_core *core;
    const struct sim_group *g;

    if (e->core >= s->n_cores || s->cores[e->core].n_groups != 1)
        return bad(d, i, "its core is unknown or has not one group");
    core = &s->cores[e->core];
    g = &s->groups[core->group_first];
    if (s->core_task[e->core] != i || g->program != IMG_PROG_ENGINE || g->layer != e->layer ||
        !g->plain || g->y0 != 0 || g->x0 != 0 || g->ny * g->nx != e->tokens ||
        g->c0 != e->head_first * (e->channels / e->heads) + e->column_first ||
        g->nc != e->head_count * e->columns)
        return bad(d, i, "its core computes another group, or another task's");
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
        if (e->core != IMG_NONE)
            SPK_TRY(check_engine(s, e, i, d));
        t->def = e;
        t->words = (e->tokens + 63) / 64;
        t->dim = dim = e->channels / e->heads;
        t->planes = e->head_count * (2 * dim + e->columns);
        t->nc = e->head_count * e->columns;
        if (t->depth > (1u << 20))
            return bad(d, i, "its operands arrive more than 2^20 steps early");
        SPK_TRY(
            spk_alloc_array((size_t)t->depth * t->planes, t->words * sizeof *t->bits, &t->bits));
        SPK_TRY(spk_alloc_array((size_t)t->nc * e->tokens, sizeof *t->v, &t->v));
        SPK_TRY(spk_alloc_array((size_t)t->nc * e->tokens, sizeof *t->h, &t->h));
        SPK_TRY(spk_alloc_array((size_t)dim * e->columns, sizeof *t->counts, &t->counts));
        SPK_TRY(spk_alloc_array((size_t)e->tokens * e->columns, sizeof *t->sums, &t->sums));
        SPK_TRY(spk_alloc_array((size_t)t->nc * e->tokens, sizeof *t->fired, &t->fired));
    }
    for (uint32_t i = 0; i < s->n_groups; i++) {
        if (s->groups[i].program == IMG_PROG_ENGINE && s->core_task[s->groups[i].core] == IMG_NONE)
            return bad(d, i, "is missing: a group of an attention engine has none");
    }
    return SPK_OK;
}

void sim_embedded_destroy(struct sim *s)
{
    for (uint32_t i = 0; s->tasks && i < s->n_tasks; i++) {
        spk_free(s->tasks[i].bits);
        spk_free(s->tasks[i].v);
        spk_free(s->tasks[i].h);
        spk_free(s->tasks[i].counts);
        spk_free(s->tasks[i].sums);
        spk_free(s->tasks[i].fired);
    }
    spk_free(s->tasks);
}

void sim_embedded_reset(struct sim *s)
{
    for (uint32_t i = 0; i < s->n_tasks; i++) {
        struct sim_task *t = &s->tasks[i];

        memset(t->bits, 0, (size_t)t->depth * t->planes * t->words * sizeof *t->bits);
        memset(t->v, 0, (size_t)t->nc * t->def->tokens * sizeof *t->v);
    }
}

/* Plane of channel `index` of an operand of the task's head `head` (v: of its columns). */
static uint64_t *plane(const struct sim_task *t, uint64_t frame, uint32_t operand, uint32_t head,
                       uint32_t index)
{
    const uint32_t before = operand * t->def->head_count * t->dim;
    const uint32_t at = head * (operand == 2 ? t->def->columns : t->dim) + index;

    return t->bits + (frame % t->depth * t->planes + before + at) * t->words;
}

bool sim_task_reads(const struct image *im, uint32_t task, uint32_t operand, uint64_t first,
                    uint64_t n)
{
    const struct img_embedded *e = &im->embedded[task];
    const uint64_t d = e->heads ? e->channels / e->heads : 0;
    const uint64_t lo = e->head_first * d + (operand == 2 ? e->column_first : 0);
    const uint64_t width = e->head_count * (operand == 2 ? (uint64_t)e->columns : d);

    return n > 0 && first >= lo && first - lo < width && n <= width - (first - lo);
}

void sim_task_take(struct sim *s, const struct sim_due *due, const struct sim_spike *spike)
{
    const struct sim_axon *a = &s->axons[due->message.axon];
    const struct sim_task *t = &s->tasks[s->core_task[a->core]];
    const uint32_t operand = a->port - IMG_PORT_Q, d = t->dim;
    const uint32_t start = s->im->layers[operand_layer(t->def, operand)].start;
    const uint32_t before = t->def->head_first * d + (operand == 2 ? t->def->column_first : 0);
    const uint64_t bit = (uint64_t)1 << a->base % 64;

    if (s->step < (uint64_t)start + a->delay)
        return;
    const uint64_t frame = s->step - a->delay - start;
    for (uint32_t k = 0; k < due->message.n; k++) {
        const uint32_t channel =
            a->row + due->message.atom + (spike[k].neuron - spike[0].neuron) - before;
        uint64_t *words = operand == 2 ? plane(t, frame, 2, 0, channel)
                                       : plane(t, frame, operand, channel / d, channel % d);

        words[a->base / 64] |= bit;
    }
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
    words = plane(t, s->step - start, p->operand, 0, p->channel_first) + p->position / 64;
    for (uint32_t i = 0; i < n; i++)
        words[(size_t)(spike[i].neuron - o->first) * t->words] |= bit;
}

/* Integer LIF of one neuron, *h being its membrane before a reset; returns whether it fires. */
static bool fire(const struct img_embedded *e, int32_t *v, int32_t *h, int64_t current,
                 uint64_t *wraps)
{
    int64_t limit = ((int64_t)1 << (e->bits - 1)) - 1, range = (int64_t)1 << e->bits;
    int64_t u = current & (range - 1), a = *v < 0 ? -(int64_t)*v : *v, x;

    u = u > limit ? u - range : u;
    *wraps += u != current;
    a = (a * (4096 - (int64_t)e->decay)) >> 12;
    x = (*v < 0 ? -a : a) + u;
    x = x > limit ? limit : x < -limit ? -limit : x;
    *h = (int32_t)x;
    *v = x >= e->vth ? 0 : (int32_t)x;
    return x >= e->vth;
}

/* sums[n][j] of one head; returns the spikes of q and, in *out_v, of the task's v. */
static uint64_t sum_head(struct sim_task *t, uint64_t frame, uint32_t head, uint64_t *out_v)
{
    const struct img_embedded *e = t->def;
    const uint32_t cols = e->columns;
    uint64_t spikes = 0;

    for (uint32_t i = 0; i < t->dim; i++) {
        const uint64_t *k = plane(t, frame, 1, head, i);

        for (uint32_t j = 0; j < cols; j++) {
            const uint64_t *v = plane(t, frame, 2, head, j);
            int32_t n = 0;

            for (uint32_t w = 0; w < t->words; w++)
                n += __builtin_popcountll(k[w] & v[w]);
            t->counts[(size_t)i * cols + j] = n;
        }
    }
    for (uint32_t j = 0; j < cols; j++)
        for (uint32_t w = 0; w < t->words; w++)
            *out_v += (uint64_t)__builtin_popcountll(plane(t, frame, 2, head, j)[w]);
    memset(t->sums, 0, (size_t)e->tokens * cols * sizeof *t->sums);
    for (uint32_t i = 0; i < t->dim; i++) {
        const uint64_t *q = plane(t, frame, 0, head, i);
        const int32_t *row = t->counts + (size_t)i * cols;

        for (uint32_t w = 0; w < t->words; w++) {
            for (uint64_t bits = q[w]; bits; bits &= bits - 1, spikes++) {
                uint32_t n = w * 64 + (uint32_t)__builtin_ctzll(bits);
                int32_t *sum = t->sums + (size_t)n * cols;

                for (uint32_t j = 0; j < cols; j++)
                    sum[j] += row[j];
            }
        }
    }
    return spikes;
}

/* Work of an engine for one head of one frame. */
static void count_work(struct sim *s, const struct sim_task *t, uint64_t q, uint64_t v)
{
    const struct img_embedded *e = t->def;
    const uint64_t n = e->tokens, cols = e->columns, d = t->dim;
    const uint64_t word = s->im->meta.word_bits ? s->im->meta.word_bits : 64;
    struct sim_events *c = &s->stats.group[s->cores[e->core].group_first];

    c->engine_words +=
        e->qk_first ? n * n * ((d + word - 1) / word) : d * cols * ((n + word - 1) / word);
    c->engine_additions += (e->qk_first ? v * n : q * cols) + n * cols;
}

/* Frame `frame` of a task into t->fired, [tokens][heads][columns]; whether any neuron fires. */
static bool compute(struct sim *s, struct sim_task *t, uint64_t frame, uint64_t *wraps)
{
    const struct img_embedded *e = t->def;
    bool any = false;

    if (s->frame[e->layer] == 0)
        memset(t->v, 0, (size_t)t->nc * e->tokens * sizeof *t->v);
    for (uint32_t h = 0; h < e->head_count; h++) {
        uint64_t v = 0, q = sum_head(t, frame, h, &v);

        if (e->core != IMG_NONE)
            count_work(s, t, q, v);
        for (uint32_t n = 0; n < e->tokens; n++) {
            for (uint32_t j = 0; j < e->columns; j++) {
                size_t at = (size_t)n * t->nc + h * e->columns + j;

                t->fired[at] = fire(e, &t->v[at], &t->h[at],
                                    e->unit * (int64_t)t->sums[(size_t)n * e->columns + j], wraps);
                any |= t->fired[at] != 0;
            }
        }
    }
    return any;
}

/* Steps from the start of the task's layer, or -1 before it; the frame's planes are free then. */
static int64_t task_frame(const struct sim *s, const struct sim_task *t)
{
    return (int64_t)s->step - (int64_t)s->im->layers[t->def->layer].start;
}

static void clear_frame(struct sim_task *t, uint64_t frame)
{
    memset(plane(t, frame, 0, 0, 0), 0, (size_t)t->planes * t->words * sizeof *t->bits);
}

const int32_t *sim_engine_fire(struct sim *s, uint32_t core, uint64_t *wraps)
{
    struct sim_task *t = &s->tasks[s->core_task[core]];
    const int64_t frame = task_frame(s, t);
    bool any = false;

    if (frame < 0)
        return NULL;
    if (s->frame[t->def->layer] >= 0)
        any = compute(s, t, (uint64_t)frame, wraps);
    if (s->seats != NULL && s->frame[t->def->layer] >= 0)
        sim_probe_task(s, t, s->cores[core].group_first);
    clear_frame(t, (uint64_t)frame);
    return any ? t->fired : NULL;
}

void sim_embedded_step(struct sim *s)
{
    for (uint32_t i = 0; i < s->n_tasks; i++) {
        struct sim_task *t = &s->tasks[i];
        const struct img_embedded *e = t->def;
        const int64_t frame = task_frame(s, t);

        if (e->core != IMG_NONE || frame < 0)
            continue;
        if (s->frame[e->layer] >= 0) {
            compute(s, t, (uint64_t)frame, &s->stats.wraps);
            if (s->seats != NULL)
                sim_probe_task(s, t, s->n_groups + i);
            for (uint32_t n = 0; s->record && s->keep[e->layer].kept && n < e->tokens; n++)
                for (uint32_t c = 0; c < e->channels; c++)
                    if (t->fired[(size_t)n * t->nc + c])
                        sim_record_put(s, e->layer, c, n, 1);
            s->stats.embedded_ops +=
                2ull * e->tokens * e->channels * (e->qk_first ? e->tokens : t->dim);
        }
        clear_frame(t, (uint64_t)frame);
    }
}
