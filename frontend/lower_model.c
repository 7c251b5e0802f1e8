/* Evaluation of a model: statements are run once, with the parameters' values, and every tensor
 * operation on the way adds a node to the module (lower_expr.c, lower_ops.c). Loops, conditions and
 * blocks are gone afterwards.
 *
 * Errors do not stop the evaluation; a loop stops after the first turn with an error, so that one
 * mistake is reported once, and where a condition is wrong the rest of its block is left out.
 *
 * Cost: linear in the statements and expressions evaluated, which FE_MAX_STEPS bounds; the module
 * is bounded by FE_MAX_NODES.                                                                  */
#include "frontend/lower.h"

static const struct fe_hint no_hint;

/* ---- statements ---- */

#define FE_ENOUGH_NODES 20000.0 /* made by a loop before its end is extrapolated */

static spk_status fe_run_for(struct fe_eval *ev, const struct fe_stmt *s)
{
    struct fe_value first, limit;
    SPK_TRY(fe_eval_expr(ev, s->value, &no_hint, &first));
    SPK_TRY(fe_eval_expr(ev, s->limit, &no_hint, &limit));
    bool fine = fe_check_kind(ev, FE_F_INT, &first, "start of the range", s->value->span);
    if (!fe_check_kind(ev, FE_F_INT, &limit, "end of the range", s->limit->span) || !fine)
        return SPK_OK;
    if (limit.i > first.i && (uint64_t)limit.i - (uint64_t)first.i > FE_MAX_NODES)
        return fe_stop(ev, s->limit->span, "E0254",
                       "%lld turns of a loop: a model has at most %u operations",
                       (long long)(limit.i - first.i), FE_MAX_NODES);
    uint32_t errors = ev->d->error_count, nodes = ev->m->n_nodes;
    for (int64_t i = first.i; i < limit.i && ev->d->error_count == errors; i++) {
        size_t outer = ev->variables.len;
        struct fe_value turn = {.kind = FE_V_INT, .i = i};
        SPK_TRY(fe_step(ev, s->span));
        SPK_TRY(fe_define(ev, s->name.text, &turn));
        SPK_TRY(fe_run(ev, s->body));
        ev->variables.len = outer;
        if (ev->frame->returned)
            break;
        /* Far too many: say so before memory is filled. */
        double turns = (double)(i - first.i + 1), all = (double)(limit.i - first.i);
        double made = (double)(ev->m->n_nodes - nodes);
        if (made > FE_ENOUGH_NODES && made / turns * all > 4.0 * FE_MAX_NODES)
            return fe_stop(ev, s->limit->span, "E0254",
                           "%lld turns of this loop: the model would have more than %u operations",
                           (long long)(limit.i - first.i), FE_MAX_NODES);
    }
    return SPK_OK;
}

static spk_status fe_run_if(struct fe_eval *ev, const struct fe_stmt *s)
{
    struct fe_value condition;
    SPK_TRY(fe_eval_expr(ev, s->value, &no_hint, &condition));
    if (condition.kind == FE_V_ERROR) {
        ev->frame->returned = true; /* neither way is right: do not guess */
        return SPK_OK;
    }
    if (condition.kind != FE_V_BOOL) {
        fe_error(ev, s->value->span, "E0260", "a condition is true or false, this is %s",
                 fe_value_kind_name(condition.kind));
        diag_help_set(ev->d, "write a comparison, for instance: depth > 0");
        ev->frame->returned = true;
        return SPK_OK;
    }
    return fe_run(ev, condition.b ? s->body : s->other);
}

/* Numbers after `mean` or `std`; *out_n 0 where one was wrong (reported). */
static spk_status fe_norm(struct fe_eval *ev, const struct fe_list *l, bool positive,
                          double *values, uint32_t *out_n)
{
    uint32_t n = 0;
    *out_n = 0;
    for (; l; l = l->next, n++) {
        struct fe_value v;
        SPK_TRY(fe_eval_expr(ev, l->value, &no_hint, &v));
        if (n >= 4)
            return fe_error(ev, l->value->span, "E0268", "at most 4 normalisation constants");
        if (!fe_check_kind(ev, FE_F_NUMBER, &v, "normalisation constant", l->value->span))
            return SPK_OK;
        (void)fe_value_number(&v, &values[n]);
        if (values[n] > 3e38 || values[n] < -3e38 || (positive && !((float)values[n] > 0.0f)))
            return fe_error(ev, l->value->span, "E0268",
                            positive ? "std must be above 0" : "mean is out of range");
    }
    *out_n = n;
    return SPK_OK;
}

static spk_status fe_run_input(struct fe_eval *ev, const struct fe_stmt *s)
{
    struct fe_value shape[3], steps, value;
    double mean[4] = {0}, std[4] = {0};
    uint32_t n_mean = 0, n_std = 0, errors = ev->d->error_count;
    for (uint32_t i = s->mask; i < 3; i++)
        SPK_TRY(fe_eval_expr(ev, s->shape[i], &no_hint, &shape[i]));
    value = (struct fe_value){.kind = FE_V_ERROR};
    if (s->mask) {
        SPK_TRY(fe_mask_input(ev, s, shape, &value));
        return fe_define(ev, s->name.text, &value);
    }
    SPK_TRY(fe_eval_expr(ev, s->limit, &no_hint, &steps));
    SPK_TRY(fe_norm(ev, s->mean, false, mean, &n_mean));
    SPK_TRY(fe_norm(ev, s->std, true, std, &n_std));
    if (ev->d->error_count == errors && n_mean != n_std)
        fe_error(ev, s->span, "E0268", "%u means, but %u stds", n_mean, n_std);
    if (ev->d->error_count == errors)
        SPK_TRY(fe_input(ev, s, shape, &steps, mean, std, n_mean, &value));
    return fe_define(ev, s->name.text, &value);
}

static spk_status fe_run_output(struct fe_eval *ev, const struct fe_stmt *s)
{
    struct fe_value v;
    SPK_TRY(fe_eval_expr(ev, s->value, &no_hint, &v));
    ev->n_outputs++;
    if (!fe_check_kind(ev, FE_F_TENSOR, &v, "output", s->value->span))
        return SPK_OK;
    const struct ir_type *t = &ev->m->node[v.node].type;
    const bool events = t->kind == IR_SPIKE || t->kind == IR_COUNT;
    if (events || t->timesteps != 1) {
        fe_error(ev, s->value->span, "E0269",
                 "an output is of real numbers, the same at all time "
                 "steps; this one is %s%u steps",
                 events ? "spikes of " : "currents of ", t->timesteps);
        diag_help_set(ev->d, "average first: linear(mean(x, tokens, time), classes); or over time "
                             "alone, where the output has positions: mean(x, time)");
        return SPK_OK;
    }
    uint32_t operand = v.node; /* v is overwritten below */
    struct ir_node out = {.op = IR_OP_OUTPUT, .n_operands = 1, .operand = &operand};
    struct fe_hint hint = {s->name.text, s->name.span};
    return fe_add_node(ev, &out, &hint, s->span, &v);
}

static spk_status fe_run_bind(struct fe_eval *ev, const struct fe_stmt *s)
{
    struct fe_binding bind = {NULL, NULL};
    SPK_TRY(fe_interpolate(ev, s->string, &bind.from));
    SPK_TRY(fe_interpolate(ev, s->string2, &bind.to));
    if (!bind.from || !bind.to)
        return SPK_OK;
    SPK_TRY(vec_push(&ev->binds, bind));
    return vec_push(&ev->bind_spans, s->span);
}

static spk_status fe_run_stmt(struct fe_eval *ev, const struct fe_stmt *s)
{
    struct fe_value v;
    struct fe_value *variable;
    switch (s->kind) {
    case FE_LET:
        SPK_TRY(fe_eval_expr(ev, s->value, &no_hint, &v));
        return fe_define(ev, s->name.text, &v);
    case FE_ASSIGN:
        SPK_TRY(fe_eval_expr(ev, s->value, &no_hint, &v));
        variable = fe_variable(ev, s->name.text);
        if (!variable)
            return SPK_ERR_INTERNAL;
        *variable = v;
        return SPK_OK;
    case FE_FOR:
        return fe_run_for(ev, s);
    case FE_IF:
        return fe_run_if(ev, s);
    case FE_RETURN:
        SPK_TRY(fe_eval_expr(ev, s->value, &ev->frame->hint, &v));
        ev->frame->result = v;
        ev->frame->returned = true;
        return SPK_OK;
    case FE_IN:
        return fe_run_input(ev, s);
    case FE_OUT:
        return fe_run_output(ev, s);
    case FE_WEIGHTS:
        if (ev->weights)
            return fe_error(ev, s->span, "E0270", "the weights are named twice");
        return fe_interpolate(ev, s->string, &ev->weights);
    case FE_BIND:
        return fe_run_bind(ev, s);
    }
    return SPK_ERR_INTERNAL;
}

spk_status fe_run(struct fe_eval *ev, const struct fe_stmt *body)
{
    size_t outer = ev->variables.len;
    for (const struct fe_stmt *s = body; s && !ev->frame->returned; s = s->next) {
        SPK_TRY(fe_step(ev, s->span));
        if (diag_limit_reached(ev->d))
            return SPK_ERR_INPUT;
        if (++ev->nesting > FE_MAX_NESTING)
            return fe_stop(ev, s->span, "E0254", "nested too deeply");
        SPK_TRY(fe_run_stmt(ev, s));
        ev->nesting--;
    }
    ev->variables.len = outer;
    return SPK_OK;
}

/* ---- the whole model ---- */

static spk_status fe_finish(struct fe_eval *ev, const struct fe_binding *binds, uint32_t n_binds)
{
    const struct fe_def *model = ev->symbols->model;
    if (!ev->n_outputs)
        return fe_stop(ev, model->name.span, "E0213", "model '%s' has no output", model->name.text);
    ev->m->declared_rate = (float)ev->rate;
    VEC(struct fe_binding) all = {0};
    VEC(struct spk_span) spans = {0};
    spk_status status = vec_append(&all, binds, n_binds);
    for (uint32_t i = 0; i < n_binds && status == SPK_OK; i++)
        status = vec_push(&spans, diag_place(ev->d, "--bind %s=%s", binds[i].from, binds[i].to));
    if (status == SPK_OK)
        status = vec_append(&all, ev->binds.data, ev->binds.len);
    if (status == SPK_OK)
        status = vec_append(&spans, ev->bind_spans.data, ev->bind_spans.len);
    if (status == SPK_OK)
        status = fe_bind_names(ev->m, all.data, spans.data, (uint32_t)all.len, ev->d);
    vec_fini(&all);
    vec_fini(&spans);
    return status;
}

static spk_status fe_lower_model(struct fe_eval *ev, const struct fe_value *params,
                                 const struct fe_binding *binds, uint32_t n_binds)
{
    const struct fe_def *model = ev->symbols->model;
    struct fe_frame frame = {.def = model, .scope = ""};
    uint32_t errors = ev->d->error_count, i = 0;
    ev->frame = &frame;
    for (const struct fe_parameter *q = model->params; q; q = q->next)
        SPK_TRY(fe_define(ev, q->name.text, &params[i++]));
    SPK_TRY(fe_run(ev, model->body));
    if (ev->d->out_of_memory)
        return SPK_ERR_NOMEM;
    if (ev->d->error_count > errors)
        return SPK_ERR_INPUT;
    SPK_TRY(fe_finish(ev, binds, n_binds));
    return ir_verify(ev->m, ev->d);
}

spk_status fe_lower(const struct fe_symbols *s, const struct fe_value *params,
                    const struct fe_binding *binds, uint32_t n_binds, struct arena *arena,
                    struct diag_list *d, struct ir_module **out, const char **out_weights)
{
    struct fe_eval ev = {.symbols = s, .arena = arena, .d = d, .input = IR_NONE};
    *out = NULL;
    *out_weights = NULL;
    spk_status status = ir_module_create(s->model->name.text, &ev.m);
    if (status == SPK_OK)
        status = fe_lower_model(&ev, params, binds, n_binds);
    fe_names_fini(&ev);
    vec_fini(&ev.variables);
    vec_fini(&ev.programs);
    vec_fini(&ev.binds);
    vec_fini(&ev.bind_spans);
    if (status != SPK_OK) {
        ir_module_destroy(ev.m);
        return status;
    }
    *out = ev.m;
    *out_weights = ev.weights;
    return SPK_OK;
}
