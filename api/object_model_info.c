/* What a model is made of. */
#include <string.h>

#include "api/object_internal.h"
#include "runtime/record.h"

static const struct ir_node *input_of(const struct ir_module *m)
{
    for (uint32_t i = 0; i < m->n_nodes; i++)
        if (m->node[i].op == IR_OP_INPUT)
            return &m->node[i];
    return NULL;
}

int spk_model_describe(const spk_model *model, struct spk_model_info *out)
{
    static const char *const stages[] = {"model", "lowered", "quantised"};
    if (model == NULL)
        return SPK_ERR_USAGE;
    const struct ir_module *m = model->loaded.module;
    const struct ir_node *input = input_of(m);
    struct spk_model_info info = {.name = m->name,
                                  .stage = stages[m->stage],
                                  .timesteps = m->timesteps,
                                  .classes = api_classes(m),
                                  .n_values = m->n_nodes,
                                  .n_parameters = m->n_params,
                                  .n_ignored = model->loaded.n_ignored,
                                  .has_weights = api_has_data(m)};
    if (input != NULL) {
        info.framed = input->a.input.events || input->a.input.series;
        info.normalised = input->a.input.normalise;
        info.channels = input->type.channels;
        info.height = input->type.height;
        info.width = input->type.width;
    }
    return API_GIVE(&info, out);
}

int spk_model_value(const spk_model *model, uint32_t index, struct spk_value *out)
{
    if (model == NULL || index >= model->loaded.module->n_nodes)
        return SPK_ERR_USAGE;
    const struct ir_node *n = &model->loaded.module->node[index];
    struct spk_value v = {.name = n->name,
                          .op = ir_op_info(n->op)->name,
                          .recorded = n->recorded,
                          .timesteps = n->type.timesteps};
    uint64_t axis[3];
    v.rank = record_axes(&n->type, axis);
    for (uint32_t i = 0; i < v.rank; i++)
        v.shape[i] = (uint32_t)axis[i];
    return API_GIVE(&v, out);
}

int spk_model_parameter(const spk_model *model, uint32_t index, struct spk_tensor *out)
{
    static const int types[] = {[IR_DT_F32] = SPIKEC_F32,
                                [IR_DT_I8] = SPIKEC_I8,
                                [IR_DT_I16] = SPIKEC_I16,
                                [IR_DT_I32] = SPIKEC_I32};
    if (model == NULL || index >= model->loaded.module->n_params)
        return SPK_ERR_USAGE;
    const struct ir_param *p = &model->loaded.module->param[index];
    struct spk_tensor t = {.name = p->name,
                           .dtype = types[p->dtype],
                           .rank = p->rank,
                           .data = p->data,
                           .size = ir_param_elements(p) * ir_dtype_size(p->dtype)};
    for (uint32_t i = 0; i < p->rank; i++)
        t.shape[i] = p->dim[i];
    return API_GIVE(&t, out);
}

const char *spk_model_ignored(const spk_model *model, uint32_t index)
{
    if (model == NULL || index >= model->loaded.n_ignored)
        return NULL;
    return model->loaded.ignored[index];
}

int spk_model_print(spk_context *c, const spk_model *model, spk_result **out)
{
    struct api_report r;
    struct strbuf sir = {0};
    if (out != NULL)
        *out = NULL;
    SPK_TRY(api_call(c, out != NULL && model != NULL, "spk_model_print"));
    spk_status status = api_report_begin(&r, "print");
    if (status == SPK_OK) {
        ir_print(model->loaded.module, &sir);
        jw_string(&r.w, "sir", strbuf_cstr(&sir));
        strbuf_append(&r.result->text, strbuf_cstr(&sir));
        status = sir.status;
    }
    strbuf_fini(&sir);
    return api_report_end(&r, status, false, out);
}
