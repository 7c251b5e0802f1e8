/* Random weights.
 *
 * Weights of projections are normal with mean 0 and variance 1 / fan-in (LeCun 1998): sums of many
 * inputs then have the variance of one. Biases of projections and of the head are drawn alike.
 * Batch norms start neutral (weight 1, bias 0, mean 0, variance 1); synth_norms.c sets them.
 * Every chunk of a param draws from its own stream of the generator, numbered by param and chunk,
 * so that the data do not depend on threads. Cost: some 20 ns a weight. */
#include <math.h>

#include "passes/synth_internal.h"
#include "support/alloc.h"
#include "support/rng.h"

#define CHUNK ((uint64_t)1 << 16)

struct fill {
    float *data;
    uint64_t n, seed, stream;
    double scale;
};

static spk_status fill_chunk(void *ctx, uint32_t chunk, uint32_t worker)
{
    const struct fill *f = ctx;
    uint64_t begin = chunk * CHUNK, end = f->n - begin < CHUNK ? f->n : begin + CHUNK;
    struct rng rng;

    (void)worker;
    rng_seed_stream(&rng, f->seed, f->stream + chunk);
    for (uint64_t i = begin; i < end; i++)
        f->data[i] = (float)(rng_normal(&rng) * f->scale);
    return SPK_OK;
}

/* Inputs of one output of the projection that uses a param, 0 where none does. */
static void find_fan_in(const struct ir_module *m, uint64_t *fan_in)
{
    for (uint32_t i = 0; i < m->n_nodes; i++) {
        const struct ir_node *n = &m->node[i];
        const struct ir_param *w;
        uint64_t inputs = 1;

        if (n->op != IR_OP_CONV2D && n->op != IR_OP_LINEAR && n->op != IR_OP_READOUT)
            continue;
        w = &m->param[n->param[0]];
        for (uint32_t d = 1; d < w->rank; d++)
            inputs *= w->dim[d];
        for (uint32_t k = 0; k < n->n_params; k++)
            fan_in[n->param[k]] = inputs ? inputs : 1;
    }
}

static spk_status fill_param(struct ir_module *m, uint32_t id, const uint64_t *fan_in,
                             struct fill *f, struct pool *pool)
{
    struct ir_param *p = &m->param[id];
    uint64_t chunks;

    f->n = ir_param_elements(p);
    SPK_TRY(spk_alloc_array(f->n, sizeof *f->data, &f->data));
    spk_status status = ir_module_own(m, f->data);
    if (status != SPK_OK) {
        spk_free(f->data);
        return status;
    }
    p->data = f->data;
    if (fan_in[id] == 0)
        return SPK_OK;
    f->scale = 1.0 / sqrt((double)fan_in[id]);
    chunks = (f->n + CHUNK - 1) / CHUNK;
    if (chunks > UINT32_MAX)
        return SPK_ERR_NOMEM;
    status = pool_run(pool, (uint32_t)chunks, fill_chunk, f);
    f->stream += chunks;
    return status;
}

/* weight 1, of batch norms also variance 1; bias and mean are 0 already. */
static void neutral_norms(const struct ir_module *m, float *const *data)
{
    for (uint32_t i = 0; i < m->n_nodes; i++) {
        const struct ir_node *n = &m->node[i];

        const bool norm = n->op == IR_OP_BATCHNORM || n->op == IR_OP_LAYERNORM;

        for (uint32_t k = 0; norm && k < n->n_params; k += 3)
            for (uint64_t c = 0; c < ir_param_elements(&m->param[n->param[k]]); c++)
                data[n->param[k]][c] = 1.0f;
    }
}

spk_status synth_params_fill(struct ir_module *m, uint64_t seed, struct pool *pool,
                             float ***out_data)
{
    struct fill f = {.seed = seed, .stream = SYNTH_STREAM_WEIGHTS};
    uint64_t *fan_in = NULL;
    float **data = NULL;
    spk_status status = spk_alloc_array(m->n_params, sizeof *fan_in, &fan_in);

    if (status == SPK_OK)
        status = spk_alloc_array(m->n_params, sizeof *data, &data);
    if (status == SPK_OK)
        find_fan_in(m, fan_in);
    for (uint32_t i = 0; i < m->n_params && status == SPK_OK; i++) {
        status = fill_param(m, i, fan_in, &f, pool);
        data[i] = f.data;
    }
    if (status == SPK_OK) {
        neutral_norms(m, data);
        *out_data = data;
    } else {
        spk_free(data);
    }
    spk_free(fan_in);
    return status;
}
