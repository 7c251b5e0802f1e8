/* Firing rates of populations: what is expected of a range of channels.
 *
 * A neuron of spikes sends as often as it fires. A payload of up to b with mean r is taken as the
 * sum of b independent spikes of rate r / b, and is sent unless it is 0. Cost: linear in the
 * channels. */
#include <math.h>

#include "passes/map/net.h"

double map_declared_rate(const struct ir_module *m)
{
    return m->declared_rate > 0 ? (double)m->declared_rate : 0.1;
}

static double sends(double rate, double bound)
{
    if (bound <= 1)
        return rate < 1 ? rate : 1;
    return rate < bound ? 1 - pow(1 - rate / bound, bound) : 1;
}

double map_pop_sends(const struct map_pop *p, uint32_t first, uint32_t n)
{
    double sum = 0;
    if (p->channel_rate == NULL)
        return n * sends(p->rate, p->payload_bound);
    for (uint32_t c = first; c < first + n; c++)
        sum += sends(p->channel_rate[map_pop_channel(p, c)], p->payload_bound);
    return sum;
}

spk_status map_pop_set_rate(struct map_net *net, struct map_pop *p, const struct map_rate *rate)
{
    double sum = 0;
    for (uint32_t c = 0; c < rate->n; c++)
        sum += rate->rate[c];
    p->rate = sum / rate->n;
    p->channel_rate = NULL;
    if (rate->n != p->channels || rate->n == 1)
        return SPK_OK;
    p->channel_rate =
        arena_memdup(&net->arena, rate->rate, rate->n * sizeof *rate->rate, _Alignof(double));
    return p->channel_rate != NULL ? SPK_OK : SPK_ERR_NOMEM;
}
