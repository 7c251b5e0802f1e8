/* Means of the values that a simulation records, by node of the float module. */
#include "api/sim_rates.h"

#include <math.h>

#include "api/paper.h"
#include "support/alloc.h"

spk_status sim_rates_init(struct sim_rates *r, const struct ir_module *model)
{
    r->model = model;
    SPK_TRY(spk_alloc_array(model->n_nodes, sizeof *r->sum, &r->sum));
    return spk_alloc_array(model->n_nodes, sizeof *r->measured, &r->measured);
}

void sim_rates_fini(struct sim_rates *r)
{
    spk_free(r->sum);
    spk_free(r->measured);
    *r = (struct sim_rates){0};
}

/* Ones of the max-pool of one map of spikes. */
static double pooled_ones(const struct ir_node *pool, const uint8_t *map, uint32_t height,
                          uint32_t width)
{
    const struct ir_attr_pool *a = &pool->a.pool;
    double ones = 0;
    for (uint32_t y = 0; y < pool->type.height; y++) {
        for (uint32_t x = 0; x < pool->type.width; x++) {
            bool any = false;
            for (uint32_t k = 0; k < (uint32_t)a->kernel * a->kernel && !any; k++) {
                int64_t sy = (int64_t)y * a->stride + k / a->kernel - a->pad;
                int64_t sx = (int64_t)x * a->stride + k % a->kernel - a->pad;
                any = sy >= 0 && sx >= 0 && sy < height && sx < width && map[sy * width + sx] != 0;
            }
            ones += any;
        }
    }
    return ones;
}

static void add_pools(struct sim_rates *r, uint32_t id, const struct sim_value *v,
                      const uint8_t *data)
{
    const size_t map = (size_t)v->height * v->width;
    for (uint32_t i = id + 1; i < r->model->n_nodes; i++) {
        const struct ir_node *n = &r->model->node[i];
        if (n->op != IR_OP_MAXPOOL || n->operand[0] != id || v->layout != IR_CHW)
            continue;
        r->measured[i] = true;
        for (size_t m = 0; m < (size_t)v->timesteps * v->channels; m++)
            r->sum[i] += pooled_ones(n, data + m * map, v->height, v->width);
    }
}

void sim_rates_add(struct sim_rates *r, const struct sim_value *v, const void *data)
{
    const uint32_t id = ir_find_value(r->model, v->name);
    const size_t n = (size_t)v->timesteps * v->channels * v->height * v->width;
    double sum = 0;
    if (id == IR_NONE)
        return;
    for (size_t i = 0; i < n; i++)
        sum += v->is_i32 ? ((const int32_t *)data)[i] : ((const uint8_t *)data)[i];
    r->sum[id] += sum;
    r->measured[id] = true;
    if (!v->is_i32)
        add_pools(r, id, v, data);
}

static void measure_input(struct sim_rates *r, uint32_t id, const struct engine_input *in)
{
    const struct ir_type *t = &r->model->node[id].type;
    const uint64_t n = ir_type_elements(t) * t->timesteps;
    for (uint32_t k = 0; k < in->n_images; k++)
        for (uint64_t i = 0; i < n; i++)
            r->sum[id] += (double)in->data[k * in->image_stride + i];
    r->measured[id] = true;
}

spk_status sim_rates_paper(struct sim_rates *r, const struct engine_input *in,
                           struct cost_paper *out)
{
    double *mean;
    SPK_TRY(spk_alloc_array(r->model->n_nodes, sizeof *mean, &mean));
    for (uint32_t i = 0; i < r->model->n_nodes; i++) {
        const struct ir_type *t = &r->model->node[i].type;
        const double n = (double)ir_type_elements(t) * t->timesteps * in->n_images;
        if (r->model->node[i].op == IR_OP_INPUT)
            measure_input(r, i, in);
        mean[i] = r->measured[i] && n > 0 ? r->sum[i] / n : (double)NAN;
    }
    spk_status status = paper_from_means(r->model, mean, out);
    spk_free(mean);
    return status;
}
