/* Simulator, part 4: messages. A chunk processes the messages that are due for its cores.
 *
 * A message is a run of spikes for one in-axon; each spike selects by its atom a row of the
 * content, which is added, times the payload, to the destination accumulators. LIST rows are runs
 * of consecutive targets; CONV rows are kernels whose targets follow from the source position: tap
 * (ky, kx) reaches output (oy, ox) with oy * stride + ky = sy + pad, all channels of the group at
 * once. The spikes of a message reach the same targets, always through a kernel and as a rule
 * through list rows, so their rows are added up in one go. Messages are taken core by core, so that
 * a core's weights and accumulators stay in the cache. Sums are modulo 2^32, therefore independent
 * of the order of messages. Cost: a few ns per message and spike, and sim_add.c per synapse. */
#include "runtime/sim_internal.h"

#include <stdlib.h>

/* Spikes of one message, and what they cost. */
struct batch {
    const struct sim_spike *spike;
    uint32_t n;
    uint32_t neuron;    /* atom = spike.neuron - neuron */
    uint64_t copies;    /* messages that the chip sends for these spikes */
    uint64_t events;    /* synapses times copies */
    uint64_t magnitude; /* synapses times payload magnitude */
};

static void count(const struct sim *s, struct batch *b, const struct sim_spike *spike,
                  uint64_t synapses)
{
    uint64_t magnitude = (uint64_t)llabs(spike->payload), most = (uint64_t)s->max_payload;
    uint64_t copies = magnitude <= most ? 1 : (magnitude + most - 1) / most;

    b->copies += copies;
    b->events += synapses * copies;
    b->magnitude += synapses * magnitude;
}

static uint64_t row_length(const struct image *im, const struct sim_axon *a,
                           const struct img_content *t, uint32_t atom)
{
    const struct img_row *row = &im->rows[t->row_first + a->row + atom];
    uint64_t n = 0;

    for (uint32_t i = 0; i < row->n_runs; i++)
        n += im->runs[row->run_first + i].length;
    return n;
}

/* Rows that wait to be added up together: spikes of one message, magnitudes within SIM_ROWS_MAX. */
struct rows {
    uint32_t n, used;
    bool ones; /* all payloads are 1 */
    size_t at[SIM_ROWS_MAX];
    int16_t payload[SIM_ROWS_MAX];
};

static bool rows_fit(const struct rows *r, int32_t payload)
{
    return r->n < SIM_ROWS_MAX && r->used + (uint64_t)llabs(payload) <= SIM_ROWS_MAX;
}

static void rows_put(struct rows *r, size_t at, int32_t payload)
{
    r->ones = (r->n == 0 || r->ones) && payload == 1;
    r->at[r->n] = at;
    r->payload[r->n++] = (int16_t)payload;
    r->used += (uint32_t)llabs(payload);
}

/* Adds what waits, the same runs of all rows; at[k] is the first run of row k. */
static void flush_list(const struct sim *s, const struct sim_axon *a, struct rows *r,
                       uint32_t n_runs, int32_t *acc)
{
    const struct img_run *runs = s->im->runs;
    size_t weight[SIM_ROWS_MAX];

    for (uint32_t i = 0; i < n_runs && r->n > 0; i++) {
        const struct img_run *first = &runs[r->at[0] + i];

        for (uint32_t k = 0; k < r->n; k++)
            weight[k] = (size_t)runs[r->at[k] + i].weight_first;
        sim_add_rows(acc + first->start, s->im->weights, weight, r->ones ? NULL : r->payload, r->n,
                     first->length, a->shift);
    }
    r->n = r->used = 0;
}

static bool same_targets(const struct img_run *a, const struct img_run *b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (a[i].start != b[i].start || a[i].length != b[i].length)
            return false;
    }
    return true;
}

/* Neighbouring rows of a block have the same targets as a rule: they are added up in one go. */
static void deliver_list(const struct sim *s, const struct sim_axon *a, const struct img_content *t,
                         struct batch *b)
{
    const struct image *im = s->im;
    int32_t *acc = (a->port ? s->acc1 : s->acc) + a->base;
    struct rows rows = {.n = 0};
    uint64_t synapses = 0;
    uint32_t n_runs = 0;

    for (uint32_t k = 0; k < b->n; k++) {
        const struct sim_spike *spike = &b->spike[k];
        const struct img_row *row = &im->rows[t->row_first + a->row + (spike->neuron - b->neuron)];
        const struct img_run *run = &im->runs[row->run_first];

        if (rows.n == 0 || row->n_runs != n_runs || !rows_fit(&rows, spike->payload) ||
            !same_targets(run, &im->runs[rows.at[0]], n_runs)) {
            flush_list(s, a, &rows, n_runs, acc);
            n_runs = row->n_runs;
            synapses = 0;
            for (uint32_t i = 0; i < n_runs; i++)
                synapses += run[i].length;
        }
        count(s, b, spike, synapses);
        if (rows_fit(&rows, spike->payload)) {
            rows_put(&rows, (size_t)row->run_first, spike->payload);
            continue;
        }
        for (uint32_t i = 0; i < n_runs; i++)
            sim_add_run(acc + run[i].start, im->weights + run[i].weight_first, run[i].length,
                        a->shift, spike->payload);
    }
    flush_list(s, a, &rows, n_runs, acc);
}

/* The taps along one axis that reach [first, first + n): k from *out_k in steps of `stride` (which
 * lowers the output by one each) while k < kernel and the output is not below first.            */
struct taps {
    int32_t k, end, out; /* first tap, one past the last, output of the first tap */
};
static struct taps taps_of(int32_t source, int32_t pad, int32_t stride, int32_t kernel,
                           int32_t first, int32_t n)
{
    int32_t reach = source + pad; /* out * stride + k == reach */
    int32_t k = reach - (first + n - 1) * stride;
    int32_t end = reach - first * stride + 1;

    if (k < 0)
        k = reach % stride;
    end = end > kernel ? kernel : end;
    return (struct taps){k, end, (reach - k) / stride};
}

/* Where one message's kernel taps go. */
struct window {
    const int8_t *w; /* of row 0 of the axon */
    int32_t *acc;    /* of the group */
    struct taps ty, tx;
    uint32_t stride, kernel_w, pitch, nc, y0, x0, shift;
};

/* Adds the rows that wait, whose weights start at w + rows.at[k]: tap by tap, all at once. */
static void add_window(const struct window *at, const struct rows *rows)
{
    const int16_t *payload = rows->ones ? NULL : rows->payload;
    const int32_t stride = (int32_t)at->stride;

    for (int32_t ky = at->ty.k, oy = at->ty.out; ky < at->ty.end; ky += stride, oy--) {
        for (int32_t kx = at->tx.k, ox = at->tx.out; kx < at->tx.end; kx += stride, ox--) {
            uint32_t p = ((uint32_t)oy - at->y0) * at->pitch + ((uint32_t)ox - at->x0);

            sim_add_rows(at->acc + (size_t)p * at->nc,
                         at->w + ((size_t)ky * at->kernel_w + (size_t)kx) * at->nc, rows->at,
                         payload, rows->n, at->nc, at->shift);
        }
    }
}

/* One row with a payload too large for 16-bit sums. */
static void add_large(const struct window *at, size_t row, int32_t payload)
{
    const int32_t stride = (int32_t)at->stride;

    for (int32_t ky = at->ty.k, oy = at->ty.out; ky < at->ty.end; ky += stride, oy--) {
        for (int32_t kx = at->tx.k, ox = at->tx.out; kx < at->tx.end; kx += stride, ox--) {
            uint32_t p = ((uint32_t)oy - at->y0) * at->pitch + ((uint32_t)ox - at->x0);

            sim_add_run(at->acc + (size_t)p * at->nc,
                        at->w + ((size_t)ky * at->kernel_w + (size_t)kx) * at->nc + row, at->nc,
                        at->shift, payload);
        }
    }
}

static uint32_t taps_count(const struct taps *t, int32_t stride)
{
    return t->k < t->end ? (uint32_t)((t->end - t->k + stride - 1) / stride) : 0;
}

static void deliver_conv(const struct sim *s, const struct sim_axon *a, const struct img_content *t,
                         struct batch *b)
{
    const struct sim_group *g = &s->groups[a->base];
    const size_t row_size = (size_t)t->kernel_h * t->kernel_w * t->nc;
    const struct window at = {
        .w = s->im->weights + t->weight_first + a->row * row_size,
        .acc = (a->port ? s->acc1 : s->acc) + g->comp,
        .ty = taps_of(a->sy, t->pad, t->stride, t->kernel_h, (int32_t)g->y0, (int32_t)g->ny),
        .tx = taps_of(a->sx, t->pad, t->stride, t->kernel_w, (int32_t)g->x0, (int32_t)g->nx),
        .stride = t->stride,
        .kernel_w = t->kernel_w,
        .pitch = g->pitch,
        .nc = g->nc,
        .y0 = g->y0,
        .x0 = g->x0,
        .shift = a->shift};
    const uint64_t synapses =
        (uint64_t)taps_count(&at.ty, t->stride) * taps_count(&at.tx, t->stride) * g->nc;
    struct rows rows = {.n = 0};

    for (uint32_t k = 0; k < b->n; k++) {
        const struct sim_spike *spike = &b->spike[k];
        const size_t from = (spike->neuron - b->neuron) * row_size;

        count(s, b, spike, synapses);
        if (!rows_fit(&rows, spike->payload)) {
            add_window(&at, &rows);
            rows.n = rows.used = 0;
        }
        if (rows_fit(&rows, spike->payload))
            rows_put(&rows, from, spike->payload);
        else
            add_large(&at, from, spike->payload);
    }
    add_window(&at, &rows);
}

static spk_status deliver(struct sim *s, uint32_t chunk, const struct sim_due *due)
{
    const struct sim_message *m = &due->message;
    const struct sim_axon *a = &s->axons[m->axon];
    const struct img_content *t = s->im->contents + a->content;
    struct sim_events *stats = &s->stats.group[a->group];
    const struct sim_spike *spike =
        sim_spikes_of(s, s->step - a->delay, due->from)->data + m->first;
    struct batch b = {.spike = spike, .n = m->n, .neuron = spike->neuron - m->atom};

    if (a->ticks == SIM_TASK) {
        sim_task_take(s, due, spike);
        stats->messages_in += b.n;
        return SPK_OK;
    }
    if (a->ticks != SIM_PLAIN) {
        SPK_TRY(sim_ticks_take(s, chunk, due, spike));
        for (uint32_t k = 0; k < b.n; k++)
            count(s, &b, &spike[k], row_length(s->im, a, t, spike[k].neuron - b.neuron));
    } else if (a->kind == IMG_BLOCK_LIST)
        deliver_list(s, a, t, &b);
    else
        deliver_conv(s, a, t, &b);
    if (s->touched != NULL)
        sim_touched_mark(s, a, b.neuron, spike, b.n);
    s->dirty[a->core] = 1;
    stats->messages_in += b.copies;
    stats->synaptic_events += b.events;
    stats->payload_events += b.magnitude;
    return SPK_OK;
}

/* Counting sort of the chunk's messages by destination core. */
static spk_status sort_due(struct sim *s, uint32_t chunk)
{
    struct sim_chunk *own = &s->chunks[chunk];
    struct sim_messages *lists =
        &s->lists[(s->step % s->ring) * (s->n_chunks + 1) * s->n_chunks + chunk];
    uint32_t *first = own->core_first, cores = s->n_cores / s->n_chunks + 1;
    size_t n = 0;

    for (uint32_t c = 0; c <= cores; c++)
        first[c] = 0;
    for (uint32_t from = 0; from <= s->n_chunks; from++) {
        const struct sim_messages *list = &lists[(size_t)from * s->n_chunks];

        n += list->len;
        for (size_t i = 0; i < list->len; i++)
            first[list->data[i].core / s->n_chunks + 1]++;
    }
    if (n > UINT32_MAX)
        return SPK_ERR_NOMEM;
    SPK_TRY(vec_reserve(&own->dues, n));
    own->dues.len = n;
    for (uint32_t c = 0; c < cores; c++)
        first[c + 1] += first[c];
    for (uint32_t from = 0; from <= s->n_chunks; from++) {
        const struct sim_messages *list = &lists[(size_t)from * s->n_chunks];

        for (size_t i = 0; i < list->len; i++) {
            uint32_t core = list->data[i].core / s->n_chunks;
            own->dues.data[first[core]++] = (struct sim_due){list->data[i], from};
        }
    }
    return SPK_OK;
}

spk_status sim_deliver_chunk(void *ctx, uint32_t chunk, uint32_t worker)
{
    struct sim *s = ctx;
    struct sim_chunk *own = &s->chunks[chunk];
    uint64_t slot = s->step % s->ring;

    (void)worker;
    SPK_TRY(sort_due(s, chunk));
    for (size_t i = 0; i < own->dues.len; i++) {
        const struct sim_due *due = &own->dues.data[i];

        SPK_TRY(deliver(s, chunk, due));
        if (i + 1 == own->dues.len || due[1].message.core != due->message.core)
            SPK_TRY(sim_ticks_finish(s, chunk, due->message.core));
    }
    for (uint32_t from = 0; from <= s->n_chunks; from++)
        vec_clear(&s->lists[(slot * (s->n_chunks + 1) + from) * s->n_chunks + chunk]);
    return SPK_OK;
}
