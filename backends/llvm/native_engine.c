/* The native engine: runs a plan's kernels on images.
 *
 * Images are taken one after another with all threads inside each kernel, or, where an image is
 * small, several at a time with one thread each. Both give the same values: what a call computes
 * does not depend on which positions it was given. Records, statistics and progress are delivered
 * in image order on the caller's thread.
 * Memory: constants once; an arena per image in flight; scratch per thread.                     */
#include <math.h>
#include <string.h>

#include "backends/llvm/native.h"
#include "backends/llvm/native_target.h"
#include "backends/llvm/native_value.h"
#include "support/alloc.h"
#include "support/pool.h"

/* Images are computed side by side while their memory stays below this. */
#define SIDE_BYTES ((uint64_t)256 << 20)
#define ROUND 8u

struct engine {
    struct llvm l;
    struct nat_plan plan;
    struct nat_code code;
    const char *cpu; /* borrowed; NULL: this one */
    void *constants;
    uint64_t record_bytes; /* of an image, each record padded to 4 */
    uint32_t max_args;
    uint32_t input_node;
};

/* One image on its way. */
struct job {
    struct engine *e;
    const struct nat_code *code;
    const struct engine_run *run;
    struct pool *pool; /* for work inside the image */
    uint8_t *arena;
    void **args;
    uint8_t **scratch;  /* [workers] */
    uint64_t *counters; /* [workers][NAT_COUNTERS] */
    uint32_t image, workers;
    const struct nat_kernel *kernel; /* being run */
    void *expected;                  /* bitmaps of the kernel's teacher, or NULL */
    uint8_t *kept;
    uint64_t kept_used;
    struct nat_tally tally;
};

/* ---- creation ---- */

static void engine_destroy(struct engine *e)
{
    if (!e)
        return;
    if (e->l.library)
        nat_code_fini(&e->l, &e->code);
    nat_plan_fini(&e->plan);
    spk_free(e->constants);
    llvm_close(&e->l);
    spk_free(e);
}

static spk_status prepare(struct engine *e, const struct ir_module *m, struct diag_list *d)
{
    SPK_TRY(llvm_open(d, &e->l));
    SPK_TRY(nat_plan_init(m, d, &e->plan));
    for (uint32_t i = 0; i < m->n_nodes; i++) {
        if (m->node[i].op == IR_OP_INPUT)
            e->input_node = i;
        if (m->node[i].recorded)
            e->record_bytes += nat_align(nat_record_bytes(&m->node[i].type), 4);
    }
    for (size_t i = 0; i < e->plan.kernels.len; i++)
        if (e->plan.kernels.data[i].n_args > e->max_args)
            e->max_args = e->plan.kernels.data[i].n_args;
    e->constants = spk_alloc_aligned(e->plan.const_bytes + 64, 64);
    if (!e->constants)
        return SPK_ERR_NOMEM;
    nat_plan_constants(&e->plan, e->constants);
    return nat_code_init(&e->l, &e->plan, e->cpu, false, d, &e->code);
}

spk_status nat_engine_create(const struct ir_module *m, const char *cpu, struct diag_list *d,
                             struct engine **out)
{
    struct engine *e = NULL;
    spk_status status;

    *out = NULL;
    SPK_TRY(ir_verify(m, d));
    SPK_TRY(spk_alloc_array(1, sizeof *e, &e));
    e->cpu = cpu;
    status = prepare(e, m, d);
    if (status != SPK_OK) {
        engine_destroy(e);
        return status;
    }
    *out = e;
    return SPK_OK;
}

static spk_status engine_create(const struct ir_module *m, struct diag_list *d, struct engine **out)
{
    return nat_engine_create(m, NULL, d, out);
}

/* ---- one image ---- */

static void *resolve(const struct job *j, const struct nat_ref *r)
{
    const struct engine *e = j->e;

    switch (r->place) {
    case NAT_ARENA:
        return j->arena + e->plan.buffers.data[r->buffer].offset;
    case NAT_CONST:
        return (uint8_t *)e->constants + r->offset;
    case NAT_IMAGE:
        /* Only read. */
        return (void *)(uintptr_t)(j->run->input.data +
                                   (uint64_t)j->image * j->run->input.image_stride);
    case NAT_TEACHER:
        return j->expected;
    default:
        return NULL;
    }
}

static const void *value_of(const struct job *j, uint32_t id)
{
    const struct nat_plan *p = &j->e->plan;

    return j->arena + p->buffers.data[p->buffer[id]].offset;
}

static spk_status call(void *ctx, uint32_t chunk, uint32_t worker)
{
    const struct job *j = ctx;
    uint64_t begin = (uint64_t)chunk * j->kernel->tile, end = begin + j->kernel->tile;

    j->code->fn[j->kernel->function](j->args, j->scratch[worker], begin,
                                     end < j->kernel->items ? end : j->kernel->items,
                                     j->counters + (size_t)worker * NAT_COUNTERS);
    return SPK_OK;
}

/* The expected spikes of the kernel's neuron as bitmaps. */
static spk_status take_expected(struct job *j, uint32_t id)
{
    const struct engine_teacher *teacher = j->run->teacher;
    const struct ir_node *n = &j->e->plan.m->node[id];
    const struct nat_shape *s = &j->e->plan.shape[id];
    const uint8_t *golden;

    if (!teacher || n->op != IR_OP_NEURON || !n->recorded)
        return SPK_OK;
    golden = teacher->expected(teacher->ctx, j->image, id);
    if (!golden)
        return SPK_OK;
    SPK_TRY(spk_alloc_array(nat_value_bytes(s), 1, &j->expected));
    nat_import(s, &n->type, golden, j->expected);
    return SPK_OK;
}

static spk_status run_kernel(struct job *j, const struct nat_kernel *k)
{
    const struct nat_plan *p = &j->e->plan;
    spk_status status = take_expected(j, k->node);

    for (uint32_t i = 0; i < k->n_args; i++)
        j->args[i] = resolve(j, &p->args.data[k->first_arg + i]);
    j->kernel = k;
    memset(j->counters, 0, (size_t)j->workers * NAT_COUNTERS * sizeof *j->counters);
    if (status == SPK_OK)
        status = pool_run(j->pool, (k->items + k->tile - 1) / k->tile, call, j);
    for (uint32_t i = 0; i < j->workers * NAT_COUNTERS; i++)
        j->tally.count[(size_t)k->node * NAT_COUNTERS + i % NAT_COUNTERS] += j->counters[i];
    spk_free(j->expected);
    j->expected = NULL;
    return status;
}

static spk_status deliver(const struct job *j, uint32_t id, const void *golden)
{
    const struct engine_recorder *r = j->run->recorder;
    const struct ir_type *t = &j->e->plan.m->node[id].type;

    return r->value(r->ctx, j->image, id, t, golden, nat_record_is_i32(t));
}

static spk_status record(struct job *j, uint32_t id)
{
    const struct ir_type *t = &j->e->plan.m->node[id].type;
    const struct nat_shape *s = &j->e->plan.shape[id];
    void *golden = NULL;
    spk_status status;

    if (j->kept) {
        nat_export(s, t, value_of(j, id), j->kept + j->kept_used);
        j->kept_used += nat_align(nat_record_bytes(t), 4);
        return SPK_OK;
    }
    SPK_TRY(spk_alloc_array_raw(nat_record_bytes(t), 1, &golden));
    nat_export(s, t, value_of(j, id), golden);
    status = deliver(j, id, golden);
    spk_free(golden);
    return status;
}

static void store_features(const struct job *j)
{
    const struct nat_plan *p = &j->e->plan;
    const struct engine_run *r = j->run;
    uint64_t at = (uint64_t)j->image * p->channels;
    const void *value;

    if (p->features_buffer == NAT_NONE)
        return;
    value = j->arena + p->buffers.data[p->features_buffer].offset;
    for (uint32_t c = 0; c < p->channels; c++) {
        if (!p->features_counts) {
            if (r->features_f32)
                r->features_f32[at + c] = ((const float *)value)[c];
            continue;
        }
        if (r->features)
            r->features[at + c] = (int64_t)((const double *)value)[c];
        if (r->features_f32)
            r->features_f32[at + c] = (float)(((const double *)value)[c] / p->divisor);
    }
}

static void store_outputs(const struct job *j)
{
    const struct nat_plan *p = &j->e->plan;
    uint32_t id = p->logits_node;
    const struct nat_shape *s;

    store_features(j);
    if (id == NAT_NONE || !j->run->logits || p->shape[id].elem != NAT_F32)
        return;
    s = &p->shape[id];
    for (uint64_t r = 0; r < nat_positions(s); r++)
        memcpy(j->run->logits + j->image * (uint64_t)p->classes + r * s->channels,
               (const float *)value_of(j, id) + r * s->pitch, s->channels * sizeof(float));
}

static spk_status run_image(struct job *j)
{
    const struct nat_plan *p = &j->e->plan;

    j->kept_used = 0;
    for (uint32_t k = 0; k < p->kernels.len; k++) {
        SPK_TRY(run_kernel(j, &p->kernels.data[k]));
        for (uint32_t id = 0; id < p->m->n_nodes; id++) {
            if (p->kernel[id] != k)
                continue;
            SPK_TRY(nat_tally_value(&j->tally, p, id, value_of(j, id)));
            if (p->m->node[id].recorded && j->run->recorder)
                SPK_TRY(record(j, id));
        }
    }
    store_outputs(j);
    return SPK_OK;
}

/* ---- a run ---- */

static spk_status check_input(const struct engine *e, const struct engine_input *in,
                              struct diag_list *d)
{
    const struct ir_node *n = &e->plan.m->node[e->input_node];
    uint64_t items = e->plan.input_items;
    float most = (float)nat_input_max(&n->type);

    if (in->image_stride < items && in->n_images)
        return diag_internal(d, n->span, "E0746", "images of %llu values, the model needs %llu",
                             (unsigned long long)in->image_stride, (unsigned long long)items);
    for (uint64_t i = 0; i < in->n_images * items; i++) {
        float x = in->data[i / items * in->image_stride + i % items];
        unsigned long long image = i / items, at = i % items;

        if (!isfinite(x))
            return diag_error(d, n->span, "E0746", "image %llu: element %llu is not finite", image,
                              at);
        if (most > 0.0f && !(x >= 0.0f && x <= most && x == floorf(x)))
            return diag_error(d, n->span, "E0746",
                              "image %llu: element %llu is %g, event counts "
                              "are whole numbers from 0 to %g",
                              image, at, (double)x, (double)most);
    }
    return SPK_OK;
}

static void job_fini(struct job *j)
{
    for (uint32_t w = 0; j->scratch && w < j->workers; w++)
        spk_free(j->scratch[w]);
    spk_free(j->scratch);
    spk_free(j->counters);
    spk_free(j->args);
    spk_free(j->arena);
    spk_free(j->kept);
    nat_tally_fini(&j->tally, j->e->plan.m->n_nodes);
}

static spk_status job_init(struct job *j, struct engine *e, const struct nat_code *code,
                           const struct engine_run *r, bool side)
{
    *j = (struct job){.e = e, .code = code, .run = r, .pool = side ? NULL : r->pool};
    j->workers = pool_threads(j->pool);
    SPK_TRY(nat_tally_init(&j->tally, r->stats, e->plan.m));
    SPK_TRY(spk_alloc_array(e->max_args, sizeof *j->args, &j->args));
    SPK_TRY(spk_alloc_array((size_t)j->workers * NAT_COUNTERS, sizeof *j->counters, &j->counters));
    SPK_TRY(spk_alloc_array(j->workers, sizeof *j->scratch, &j->scratch));
    j->arena = spk_alloc_aligned(e->plan.arena_bytes + 64, 64);
    if (!j->arena)
        return SPK_ERR_NOMEM;
    for (uint32_t w = 0; w < j->workers; w++) {
        j->scratch[w] = spk_alloc_aligned(e->plan.scratch_bytes + 64, 64);
        if (!j->scratch[w])
            return SPK_ERR_NOMEM;
    }
    return side && r->recorder ? spk_alloc_array_raw(e->record_bytes, 1, &j->kept) : SPK_OK;
}

static spk_status side_image(void *ctx, uint32_t chunk, uint32_t worker)
{
    struct job *jobs = ctx;

    (void)worker;
    return run_image(&jobs[chunk]);
}

static spk_status deliver_kept(const struct job *j)
{
    const struct ir_module *m = j->e->plan.m;
    uint64_t at = 0;

    for (uint32_t id = 0; j->kept && id < m->n_nodes; id++) {
        if (!m->node[id].recorded)
            continue;
        SPK_TRY(deliver(j, id, j->kept + at));
        at += nat_align(nat_record_bytes(&m->node[id].type), 4);
    }
    return SPK_OK;
}

/* How many images to compute at a time; 1: one after another with all threads. */
static uint32_t round_size(const struct engine *e, const struct engine_run *r)
{
    uint32_t threads = pool_threads(r->pool), size = threads * ROUND;
    uint64_t bytes = e->plan.arena_bytes + e->plan.scratch_bytes + e->record_bytes;

    if (threads < 2 || r->teacher || r->input.n_images < threads)
        return 1;
    while (size >= threads && bytes * size > SIDE_BYTES)
        size /= 2;
    if (size < threads)
        return 1;
    return size < r->input.n_images ? size : r->input.n_images;
}

static spk_status run_rounds(struct job *job, uint32_t size, const struct engine_run *r)
{
    uint32_t n_images = r->input.n_images;

    for (uint32_t k = 0; k < n_images; k += size) {
        uint32_t n = n_images - k < size ? n_images - k : size;

        if (r->cancelled && r->cancelled(r->progress_ctx))
            return SPK_ERR_CANCELLED;
        for (uint32_t i = 0; i < n; i++)
            job[i].image = k + i;
        if (size == 1)
            SPK_TRY(run_image(job));
        else
            SPK_TRY(pool_run(r->pool, n, side_image, job));
        for (uint32_t i = 0; i < n; i++) {
            SPK_TRY(deliver_kept(&job[i]));
            nat_tally_merge(&job[i].tally, r->stats, &job[i].e->plan);
        }
        if (r->progress)
            r->progress(r->progress_ctx, k + n, n_images);
    }
    return SPK_OK;
}

static spk_status engine_run(struct engine *e, const struct engine_run *r, struct diag_list *d)
{
    uint32_t size = round_size(e, r), ready = 0;
    struct nat_code forced = {0};
    struct job *job = NULL;
    spk_status status;

    SPK_TRY(check_input(e, &r->input, d));
    if (r->teacher)
        SPK_TRY(nat_code_init(&e->l, &e->plan, e->cpu, true, d, &forced));
    status = spk_alloc_array(size, sizeof *job, &job);
    for (; ready < size && status == SPK_OK; ready++)
        status = job_init(&job[ready], e, r->teacher ? &forced : &e->code, r, size > 1);
    if (status == SPK_OK)
        status = run_rounds(job, size, r);
    for (uint32_t i = 0; i < ready; i++)
        job_fini(&job[i]);
    spk_free(job);
    nat_code_fini(&e->l, &forced);
    return status;
}

const struct engine_vtable nat_engine = {
    .name = "native",
    .create = engine_create,
    .run = engine_run,
    .destroy = engine_destroy,
};
