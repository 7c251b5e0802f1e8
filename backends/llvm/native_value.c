/* Records and statistics of the native engine.
 *
 * Only values that exist are measured: currents that go straight into a neuron never do, and their
 * statistics stay as the caller gave them. Sums of spikes are counted word by word.              */
#include "backends/llvm/native_value.h"

#include <math.h>
#include <string.h>

#include "backends/llvm/native_emit.h"
#include "support/alloc.h"

bool nat_record_is_i32(const struct ir_type *t)
{
    return t->bound < 1 || t->bound > UINT8_MAX;
}

uint64_t nat_record_bytes(const struct ir_type *t)
{
    return t->timesteps * ir_type_elements(t) * (nat_record_is_i32(t) ? 4 : 1);
}

static inline bool bit_at(const uint8_t *row, uint64_t c)
{
    return row[c / 8] >> (c % 8) & 1;
}

static const uint8_t *row_at(const struct nat_shape *s, const void *value, uint64_t row)
{
    return (const uint8_t *)value + row * s->pitch * nat_elem_bits(s->elem) / 8;
}

void nat_export(const struct nat_shape *s, const struct ir_type *t, const void *value, void *out)
{
    uint64_t positions = nat_positions(s), size = positions * s->channels;
    bool turn = t->layout != IR_NC, wide = nat_record_is_i32(t);

    for (uint64_t r = 0; r < t->timesteps * positions; r++) {
        uint64_t f = r / positions, p = r % positions;
        const uint8_t *row = row_at(s, value, (s->frames == 1 ? 0 : f * positions) + p);

        for (uint64_t c = 0; c < s->channels; c++) {
            uint64_t to = f * size + (turn ? c * positions + p : p * s->channels + c);

            if (wide)
                memcpy((int32_t *)out + to, row + 4 * c, 4);
            else
                ((uint8_t *)out)[to] = s->elem == NAT_BITS ? bit_at(row, c) : row[c];
        }
    }
}

void nat_import(const struct nat_shape *s, const struct ir_type *t, const uint8_t *golden,
                void *out)
{
    uint64_t positions = nat_positions(s), size = positions * s->channels;
    bool turn = t->layout != IR_NC;

    for (uint64_t r = 0; r < s->frames * positions; r++) {
        uint64_t f = r / positions, p = r % positions;
        uint8_t *row = (uint8_t *)out + r * s->pitch / 8;

        for (uint64_t c = 0; c < s->channels; c++)
            if (golden[f * size + (turn ? c * positions + p : p * s->channels + c)])
                row[c / 8] |= (uint8_t)(1u << c % 8);
    }
}

/* ---- statistics ---- */

void nat_tally_fini(struct nat_tally *t, uint32_t n_nodes)
{
    for (uint32_t i = 0; t->channel_sum && i < n_nodes; i++)
        spk_free(t->channel_sum[i]);
    spk_free(t->channel_sum);
    spk_free(t->sum);
    spk_free(t->min);
    spk_free(t->max);
    spk_free(t->count);
    memset(t, 0, sizeof *t);
}

spk_status nat_tally_init(struct nat_tally *t, const struct engine_stats *s,
                          const struct ir_module *m)
{
    uint32_t n = m->n_nodes;

    memset(t, 0, sizeof *t);
    SPK_TRY(spk_alloc_array((size_t)n * NAT_COUNTERS, sizeof *t->count, &t->count));
    if (!s)
        return SPK_OK;
    t->extremes = s->min || s->max || s->abs_max;
    t->wanted = s->sum || s->channel_sum || t->extremes;
    SPK_TRY(spk_alloc_array(n, sizeof *t->sum, &t->sum));
    SPK_TRY(spk_alloc_array(n, sizeof *t->min, &t->min));
    SPK_TRY(spk_alloc_array(n, sizeof *t->max, &t->max));
    if (!s->channel_sum)
        return SPK_OK;
    SPK_TRY(spk_alloc_array(n, sizeof *t->channel_sum, &t->channel_sum));
    for (uint32_t i = 0; i < n; i++)
        if (s->channel_sum[i])
            SPK_TRY(spk_alloc_array(m->node[i].type.channels, sizeof(double), &t->channel_sum[i]));
    return SPK_OK;
}

static double item_at(const struct nat_shape *s, const uint8_t *row, uint64_t c)
{
    int32_t i;
    float f;

    if (s->elem == NAT_BITS)
        return bit_at(row, c);
    if (s->elem == NAT_U8)
        return row[c];
    if (s->elem == NAT_F32) {
        memcpy(&f, row + 4 * c, 4);
        return (double)f;
    }
    memcpy(&i, row + 4 * c, 4);
    return i;
}

/* Sums of spikes alone. */
static double count_spikes(const struct nat_shape *s, const void *value)
{
    const uint64_t *word = value;
    uint64_t n = 0;

    for (uint64_t i = 0; i < nat_value_bytes(s) / 8; i++)
        n += (uint64_t)__builtin_popcountll(word[i]);
    return (double)n;
}

spk_status nat_tally_value(struct nat_tally *t, const struct nat_plan *p, uint32_t id,
                           const void *value)
{
    const struct nat_shape *s = &p->shape[id];
    double repeats = s->frames == 1 ? s->steps : 1, *sum, total = 0, low = INFINITY,
           high = -INFINITY;
    uint64_t rows = s->frames * nat_positions(s);

    if (!t->wanted)
        return SPK_OK;
    if (s->elem == NAT_BITS && !t->extremes && !(t->channel_sum && t->channel_sum[id])) {
        t->sum[id] = count_spikes(s, value) * repeats;
        return SPK_OK;
    }
    SPK_TRY(spk_alloc_array(s->channels, sizeof *sum, &sum));
    for (uint64_t r = 0; r < rows; r++) {
        const uint8_t *row = row_at(s, value, r);

        for (uint32_t c = 0; c < s->channels; c++) {
            double x = item_at(s, row, c);

            sum[c] += x;
            low = x < low ? x : low;
            high = x > high ? x : high;
        }
    }
    for (uint32_t c = 0; c < s->channels; c++) {
        total += sum[c] * repeats;
        if (t->channel_sum && t->channel_sum[id])
            t->channel_sum[id][c] = sum[c] * repeats;
    }
    spk_free(sum);
    t->sum[id] = total;
    t->min[id] = low;
    t->max[id] = high;
    return SPK_OK;
}

void nat_tally_merge(struct nat_tally *t, const struct engine_stats *s, const struct nat_plan *p)
{
    for (uint32_t i = 0; s && i < p->m->n_nodes; i++) {
        uint64_t *count = &t->count[(size_t)i * NAT_COUNTERS];

        if (s->flips)
            s->flips[i] += count[NAT_FLIPS];
        if (s->flips_outside)
            s->flips_outside[i] += count[NAT_OUTSIDE];
        if (s->wraps)
            s->wraps[i] += count[NAT_WRAPS];
        memset(count, 0, NAT_COUNTERS * sizeof *count);
        if (!t->wanted || p->kernel[i] == NAT_NONE)
            continue;
        if (s->sum)
            s->sum[i] += t->sum[i];
        if (s->min && t->extremes)
            s->min[i] = fmin(s->min[i], t->min[i]);
        if (s->max && t->extremes)
            s->max[i] = fmax(s->max[i], t->max[i]);
        if (s->abs_max && t->extremes)
            s->abs_max[i] = fmax(s->abs_max[i], fmax(fabs(t->min[i]), fabs(t->max[i])));
        for (uint32_t c = 0; s->channel_sum && s->channel_sum[i] && c < p->shape[i].channels; c++)
            s->channel_sum[i][c] += t->channel_sum[i][c];
    }
}
