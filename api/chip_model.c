/* Models as chips take them: of a masked autoencoder the encoder (pass encoder), while its decoder
 * stays on the host. */
#include "api/api_internal.h"
#include "passes/pass.h"

spk_status api_chip_model_load(spk_context *c, const struct spk_model_options *o, bool bind_weights,
                               struct api_model *out)
{
    const struct pass_context pc = {.diags = &c->diags, .pool = c->pool};
    SPK_TRY(api_model_load(c, o, bind_weights, out));
    const struct ir_module *m = out->module;
    const uint32_t end = m->stage == IR_STAGE_MODEL ? passes_encoder_end(m) : IR_NONE;
    if (end == IR_NONE)
        return SPK_OK;
    for (uint32_t i = end + 1; i < m->n_nodes; i++)
        out->host_ops += m->node[i].op != IR_OP_OUTPUT;
    const spk_status status = passes_run(&pc, "encoder", &out->module);
    if (status != SPK_OK)
        api_model_fini(out);
    return status;
}

void api_report_host_ops(const struct api_model *m, struct api_report *r)
{
    if (m->host_ops == 0)
        return;
    jw_u64(&r->w, "host_ops", m->host_ops);
    strbuf_printf(&r->result->text,
                  "%s: the encoder alone, with no patch hidden; the decoder's %u ops stay on the "
                  "host\n",
                  m->module->name, m->host_ops);
}
