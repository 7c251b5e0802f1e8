/* Running a batch, and what comes out. */
#include <string.h>

#include "api/object_session.h"
#include "support/alloc.h"

void spk_outputs_destroy(spk_outputs *o)
{
    if (o == NULL)
        return;
    spk_free(o->logits);
    record_destroy(o->record);
    spk_free(o->of_node);
    spk_free(o);
}

/* ---- what is wanted ---- */

static spk_status want(spk_context *c, const spk_session *s, spk_outputs *o, uint32_t id)
{
    const struct ir_node *n = &s->module->node[id];
    return record_add(o->record, n->name, &n->type, n->op == IR_OP_NEURON, &c->diags,
                      &o->of_node[id]);
}

static spk_status want_named(spk_context *c, const spk_session *s, spk_outputs *o, const char *name)
{
    const uint32_t id = name != NULL ? ir_find_value(s->module, name) : IR_NONE;
    if (id == IR_NONE || !s->module->node[id].recorded)
        return diag_usage(&c->diags, spk_span_none, "E1059", "'%s' is no value that is recorded",
                          name != NULL ? name : "");
    return o->of_node[id] == IR_NONE ? want(c, s, o, id) : SPK_OK;
}

static spk_status outputs_create(spk_context *c, const spk_session *s, const struct spk_batch *b,
                                 uint32_t n_images, spk_outputs *o)
{
    o->n_images = n_images;
    o->classes = api_classes(s->module);
    SPK_TRY(spk_alloc_array((size_t)n_images * o->classes, sizeof *o->logits, &o->logits));
    SPK_TRY(spk_alloc_array(s->module->n_nodes, sizeof *o->of_node, &o->of_node));
    SPK_TRY(record_create(n_images, 0, &o->record));
    for (uint32_t i = 0; i < s->module->n_nodes; i++)
        o->of_node[i] = IR_NONE;
    for (uint32_t i = 0; b->record_all && i < s->module->n_nodes; i++)
        if (s->module->node[i].recorded)
            SPK_TRY(want(c, s, o, i));
    if (b->record == NULL && b->n_record > 0)
        return diag_usage(&c->diags, spk_span_none, "E1050", "the batch's list of names is NULL");
    for (size_t i = 0; !b->record_all && i < b->n_record; i++)
        SPK_TRY(want_named(c, s, o, b->record[i]));
    return SPK_OK;
}

/* ---- levels R and Q ---- */

static spk_status take_node(void *ctx, uint32_t image, uint32_t node, const struct ir_type *type,
                            const void *data, bool is_i32)
{
    const spk_outputs *o = ctx;
    (void)type;
    (void)is_i32;
    if (o->of_node[node] == IR_NONE)
        return SPK_OK;
    return record_put(o->record, o->of_node[node], image, data);
}

static spk_status run_engine(spk_context *c, spk_session *s, const struct engine_input *in,
                             spk_outputs *o)
{
    const struct engine_recorder recorder = {o, take_node};
    const struct engine_run run = {.input = *in,
                                   .logits = o->logits,
                                   .recorder = record_count(o->record) > 0 ? &recorder : NULL,
                                   .pool = c->pool,
                                   .cancelled = api_cancelled,
                                   .progress = api_progress,
                                   .progress_ctx = c};
    api_progress_begin(c, "running", in->n_images);
    return s->vtable->run(s->engine, &run, &c->diags);
}

/* ---- level M ---- */

struct mapped_run {
    spk_outputs *o;
    struct sim_rates rates;
};

static spk_status take_value(void *ctx, uint32_t image, const struct sim_value *value,
                             const void *data)
{
    struct mapped_run *r = ctx;
    sim_rates_add(&r->rates, value, data);
    const uint32_t index = record_index(r->o->record, value->name);
    return index == IR_NONE ? SPK_OK : record_put(r->o->record, index, image, data);
}

static spk_status run_mapped(spk_context *c, spk_session *s, const struct engine_input *in,
                             spk_outputs *o)
{
    struct mapped_run r = {.o = o};
    const struct sim_recorder recorder = {&r, take_value};
    const struct sim_run run = {.input = *in,
                                .logits = o->logits,
                                .recorder = &recorder,
                                .pool = c->pool,
                                .cancelled = api_cancelled,
                                .progress = api_progress,
                                .progress_ctx = c};
    s->has_run = false;
    spk_status status = sim_rates_init(&r.rates, s->mapping->folder.model);
    if (status == SPK_OK) {
        api_progress_begin(c, "simulating", in->n_images);
        status = sim_run(s->sim, &run, &c->diags);
    }
    if (status == SPK_OK)
        status = sim_rates_paper(&r.rates, in, &s->paper);
    sim_rates_fini(&r.rates);
    s->has_run = status == SPK_OK;
    return status;
}

/* ---- calls ---- */

static spk_status run_batch(spk_context *c, spk_session *s, const struct spk_batch *b,
                            spk_outputs *o)
{
    struct api_data data;
    SPK_TRY(api_batch_load(c, b, s->module, &data));
    const struct engine_input *in = &data.input.input;
    spk_status status = outputs_create(c, s, b, in->n_images, o);
    if (status == SPK_OK)
        status = s->sim != NULL ? run_mapped(c, s, in, o) : run_engine(c, s, in, o);
    api_data_fini(&data);
    return status;
}

static const struct diag_list *sources_of(const spk_session *s)
{
    return s->model != NULL ? &s->model->sources : &s->mapping->sources;
}

int spk_session_run(spk_context *c, spk_session *s, const struct spk_batch *batch,
                    spk_outputs **out)
{
    struct spk_batch b;
    spk_outputs *o;
    if (out != NULL)
        *out = NULL;
    SPK_TRY(api_call(c, out != NULL && s != NULL && batch != NULL, "spk_session_run"));
    SPK_TRY(API_TAKE(c, batch, &b));
    SPK_TRY(api_sources_adopt(c, sources_of(s)));
    SPK_TRY(spk_alloc_array(1, sizeof *o, &o));
    spk_status status = run_batch(c, s, &b, o);
    if (status == SPK_OK)
        *out = o;
    else
        spk_outputs_destroy(o);
    return status;
}

int spk_mapping_verify(spk_context *c, const spk_mapping *m, const struct spk_batch *batch,
                       const struct spk_session_options *o, spk_result **out)
{
    struct spk_session_options options;
    struct spk_batch b;
    struct api_report r;
    struct api_data data;
    if (out != NULL)
        *out = NULL;
    SPK_TRY(api_call(c, out != NULL && m != NULL && batch != NULL, "spk_mapping_verify"));
    SPK_TRY(API_TAKE(c, o, &options));
    SPK_TRY(API_TAKE(c, batch, &b));
    SPK_TRY(api_sources_adopt(c, &m->sources));
    SPK_TRY(api_batch_load(c, &b, m->folder.quantised, &data));
    spk_status status = api_report_begin(&r, "verify");
    if (status == SPK_OK)
        status = api_verify_folder(c, &m->folder, &data, options.engine, &r);
    api_data_fini(&data);
    return api_report_end(&r, status, false, out);
}

/* ---- outputs ---- */

int spk_outputs_logits(const spk_outputs *o, struct spk_tensor *out)
{
    if (o == NULL)
        return SPK_ERR_USAGE;
    const struct spk_tensor t = {.name = "logits",
                                 .dtype = SPIKEC_F32,
                                 .rank = 2,
                                 .shape = {o->n_images, o->classes},
                                 .data = o->logits,
                                 .size = (uint64_t)o->n_images * o->classes * sizeof(float)};
    return API_GIVE(&t, out);
}

size_t spk_outputs_count(const spk_outputs *o)
{
    return o == NULL ? 0 : record_count(o->record);
}

int spk_outputs_at(const spk_outputs *o, size_t index, struct spk_tensor *out)
{
    if (index >= spk_outputs_count(o))
        return SPK_ERR_USAGE;
    const struct record_tensor *r = record_at(o->record, (uint32_t)index);
    struct spk_tensor t = {.name = r->name,
                           .dtype = r->is_i32 ? SPIKEC_I32 : SPIKEC_U8,
                           .rank = 2 + r->n_axes,
                           .shape = {r->timesteps, o->n_images},
                           .data = r->data};
    for (uint32_t i = 0; i < r->n_axes; i++)
        t.shape[2 + i] = r->axis[i];
    t.size = r->timesteps * (uint64_t)o->n_images * r->frame_elements * (r->is_i32 ? 4u : 1u);
    return API_GIVE(&t, out);
}

int spk_outputs_find(const spk_outputs *o, const char *name, struct spk_tensor *out)
{
    if (o == NULL || name == NULL)
        return SPK_ERR_USAGE;
    const uint32_t index = record_index(o->record, name);
    return index == IR_NONE ? SPK_ERR_INPUT : spk_outputs_at(o, index, out);
}
