/* Simulator, part 4: synapses. A chunk processes the messages that are due for its cores.
 *
 * A message names an in-axon and an atom: the row of that atom is added, times the payload, to the
 * destination accumulators. LIST rows are runs of consecutive targets; CONV rows are kernels whose
 * targets follow from the source position: tap (ky, kx) reaches output (oy, ox) with
 * oy * stride + ky = sy + pad, all channels of the group at once. Sums are modulo 2^32, therefore
 * independent of the order of messages. Cost: a few ns per message and about 0.3 ns per synapse. */
#include "runtime/sim_internal.h"

#include <stdlib.h>

/* acc[i] += (w[i] << shift) * payload. */
static void add_run(int32_t *restrict acc, const int8_t *restrict w, uint32_t n, uint32_t shift,
                    int32_t payload)
{
    if (payload == 1) {
        for (uint32_t i = 0; i < n; i++)
            acc[i] = (int32_t)((uint32_t)acc[i] + ((uint32_t)(int32_t)w[i] << shift));
    } else {
        uint32_t scale = (uint32_t)payload << shift;
        for (uint32_t i = 0; i < n; i++)
            acc[i] = (int32_t)((uint32_t)acc[i] + (uint32_t)(int32_t)w[i] * scale);
    }
}

static uint64_t deliver_list(const struct sim *s, const struct sim_axon *a,
                             const struct img_content *t, const struct sim_message *m)
{
    const struct image *im = s->im;
    const struct img_row *row = &im->rows[t->row_first + a->row + m->atom];
    int32_t *acc = (a->port ? s->acc1 : s->acc) + a->base;
    uint64_t synapses = 0;

    for (uint32_t i = 0; i < row->n_runs; i++) {
        const struct img_run *run = &im->runs[row->run_first + i];

        add_run(acc + run->start, im->weights + run->weight_first, run->length, a->shift,
                m->payload);
        synapses += run->length;
    }
    return synapses;
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

static uint64_t deliver_conv(const struct sim *s, const struct sim_axon *a,
                             const struct img_content *t, const struct sim_message *m)
{
    const struct sim_group *g = &s->groups[a->base];
    const uint64_t row = (uint64_t)a->row + m->atom;
    const int8_t *w = s->im->weights + t->weight_first + row * t->kernel_h * t->kernel_w * t->nc;
    int32_t *acc = (a->port ? s->acc1 : s->acc) + g->first;
    struct taps ty = taps_of(a->sy, t->pad, t->stride, t->kernel_h, (int32_t)g->y0, (int32_t)g->ny);
    struct taps tx = taps_of(a->sx, t->pad, t->stride, t->kernel_w, (int32_t)g->x0, (int32_t)g->nx);
    uint64_t synapses = 0;

    for (int32_t ky = ty.k, oy = ty.out; ky < ty.end; ky += t->stride, oy--) {
        for (int32_t kx = tx.k, ox = tx.out; kx < tx.end; kx += t->stride, ox--) {
            uint32_t p = ((uint32_t)oy - g->y0) * g->nx + ((uint32_t)ox - g->x0);

            add_run(acc + (size_t)p * g->nc, w + (size_t)(ky * t->kernel_w + kx) * t->nc, g->nc,
                    a->shift, m->payload);
            synapses += g->nc;
        }
    }
    return synapses;
}

static void deliver(struct sim *s, const struct sim_message *m)
{
    const struct sim_axon *a = &s->axons[m->axon];
    const struct img_content *t = &s->im->contents[a->content];
    struct sim_core_stats *stats = &s->stats.core[a->core];
    uint64_t magnitude = (uint64_t)llabs(m->payload);
    uint64_t copies = magnitude <= (uint64_t)s->max_payload
                          ? 1
                          : (magnitude + (uint64_t)s->max_payload - 1) / (uint64_t)s->max_payload;
    uint64_t synapses =
        a->kind == IMG_BLOCK_LIST ? deliver_list(s, a, t, m) : deliver_conv(s, a, t, m);

    s->dirty[a->core] = 1;
    stats->messages_in += copies;
    stats->synaptic_events += synapses * copies;
    stats->payload_events += synapses * magnitude;
}

spk_status sim_deliver_chunk(void *ctx, uint32_t chunk, uint32_t worker)
{
    struct sim *s = ctx;
    uint64_t slot = s->step % s->ring;

    (void)worker;
    for (uint32_t from = 0; from <= s->n_chunks; from++) {
        struct sim_messages *list =
            &s->lists[(slot * (s->n_chunks + 1) + from) * s->n_chunks + chunk];

        for (size_t i = 0; i < list->len; i++)
            deliver(s, &list->data[i]);
        vec_clear(list);
    }
    return SPK_OK;
}
