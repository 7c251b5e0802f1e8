/* Neurons with params: their constants channel by channel, and what becomes of them.
 *
 * With the params of a channel in place, its program is one of constants. A membrane may be
 * measured in its own unit: dividing it by theta_c / theta_0 gives all channels the threshold of
 * the first, and what then differs are the gain, which multiplies the channel's weights, and the
 * constant input, which is a bias. Leaks and decays of currents cannot be changed so and must
 * agree. Cost: codes of the program times channels. */
#include <math.h>
#include <string.h>

#include "passes/quantise.h"
#include "support/alloc.h"

/* A program whose params are constants. */
struct fixed {
    struct ir_neuron n;
    const struct ir_eq **from; /* [codes] in the program */
    struct ir_eq *code;        /* [codes] */
    uint32_t codes;
};

static spk_status refuse(const struct ir_module *m, uint32_t id, struct diag_list *d,
                         const char *what)
{
    char name[160];
    spk_status s = diag_nofit(d, m->node[id].span, "E0630", "neuron %s: %s",
                              rw_value_name(m, id, name, sizeof name), what);
    diag_help_set(d, "give the neurons of the layer the same value");
    return s;
}

static struct ir_expr *expr_at(struct ir_neuron *n, uint32_t k)
{
    if (k < 2 * IR_MAX_STATES)
        return k % 2 ? &n->reset[k / 2] : &n->charge[k / 2];
    return k == 2 * IR_MAX_STATES ? &n->fire_lhs : &n->fire_rhs;
}

static spk_status fixed_create(const struct ir_neuron *program, struct fixed *f)
{
    const uint32_t n_exprs = 2 * IR_MAX_STATES + 2;
    uint32_t at = 0;
    *f = (struct fixed){.n = *program};
    for (uint32_t k = 0; k < n_exprs; k++)
        f->codes += expr_at(&f->n, k)->n;
    SPK_TRY(spk_alloc_array(f->codes + 1, sizeof *f->code, &f->code));
    SPK_TRY(spk_alloc_array(f->codes + 1, sizeof *f->from, &f->from));
    for (uint32_t k = 0; k < n_exprs; k++) {
        struct ir_expr *e = expr_at(&f->n, k);
        for (uint32_t i = 0; i < e->n; i++)
            f->from[at + i] = &e->code[i];
        e->code = f->code + at;
        at += e->n;
    }
    return SPK_OK;
}

static void fixed_fini(struct fixed *f)
{
    spk_free(f->code);
    spk_free(f->from);
}

/* The program of a channel; false: a param differs between its neurons, or has no data. */
static bool fix(const struct ir_module *m, const struct ir_node *n, uint32_t channel,
                struct fixed *f)
{
    const uint64_t positions = ir_type_positions(&n->type);
    bool fine = true;
    for (uint32_t i = 0; i < f->codes && fine; i++) {
        f->code[i] = *f->from[i];
        if (f->code[i].code != IR_EQ_PARAM)
            continue;
        const struct ir_param *p = &m->param[n->param[f->code[i].arg]];
        const uint64_t each = p->rank > 1 ? positions : 1;
        const float *data = p->data;
        fine = data != NULL;
        for (uint64_t k = 1; fine && k < each; k++)
            fine = data[channel * each + k] == data[channel * each];
        f->code[i] = (struct ir_eq){IR_EQ_CONST, 0, fine ? data[channel * each] : 0.0f};
    }
    return fine;
}

static bool alike(const struct quant_lif *a, const struct quant_lif *b)
{
    return a->decay == b->decay && a->current_keep == b->current_keep && a->strict == b->strict &&
           a->soft_reset == b->soft_reset;
}

static spk_status fill(const struct ir_module *m, uint32_t id, const struct tgt *t,
                       struct diag_list *d, struct fixed *f, struct quant_lif *first,
                       struct quant_rows *r)
{
    const struct ir_node *n = &m->node[id];
    for (uint32_t c = 0; c < r->n; c++) {
        struct quant_lif lif;
        if (!fix(m, n, c, f))
            return refuse(m, id, d, "its parameters differ within a channel");
        SPK_TRY(quant_lif_of(m, id, &f->n, t, d, &lif));
        if (c == 0)
            *first = lif;
        if (!alike(&lif, first))
            return refuse(m, id, d, "its leak differs within the layer");
        const double unit = first->theta / lif.theta;
        r->factor[c] = unit * lif.gain / first->gain;
        r->add[c] = (unit * lif.offset - first->offset) / first->gain;
        r->adds = r->adds || r->add[c] != 0.0;
        if (!isfinite(r->factor[c]) || !isfinite(r->add[c]))
            return refuse(m, id, d, "its thresholds or gains differ beyond measure");
    }
    return SPK_OK;
}

spk_status quant_rows_of(const struct ir_module *m, uint32_t id, const struct tgt *t,
                         struct diag_list *d, struct quant_lif *out, struct quant_rows *out_rows)
{
    const struct ir_node *n = &m->node[id];
    struct fixed f;
    *out_rows = (struct quant_rows){0};
    if (n->n_params == 0)
        return quant_lif_of(m, id, &m->neuron[n->a.neuron.program], t, d, out);
    spk_status s = fixed_create(&m->neuron[n->a.neuron.program], &f);
    out_rows->n = n->type.channels;
    if (s == SPK_OK)
        s = spk_alloc_array(out_rows->n, sizeof *out_rows->factor, &out_rows->factor);
    if (s == SPK_OK)
        s = spk_alloc_array(out_rows->n, sizeof *out_rows->add, &out_rows->add);
    if (s == SPK_OK)
        s = fill(m, id, t, d, &f, out, out_rows);
    fixed_fini(&f);
    if (s != SPK_OK)
        quant_rows_fini(out_rows);
    return s;
}

void quant_rows_fini(struct quant_rows *r)
{
    spk_free(r->factor);
    spk_free(r->add);
    *r = (struct quant_rows){0};
}

spk_status quant_rows_apply(const struct quant_rows *r, const float *w, const float *b,
                            uint32_t out, uint64_t per_out, struct quant_scaled *s)
{
    *s = (struct quant_scaled){.w = w, .b = b};
    if (r->n == 0 || w == NULL)
        return SPK_OK;
    SPK_TRY(spk_alloc_array(out, per_out * sizeof *s->own_w, &s->own_w));
    SPK_TRY(spk_alloc_array(out, sizeof *s->own_b, &s->own_b));
    for (uint32_t c = 0; c < out; c++) {
        for (uint64_t i = c * per_out; i < (c + 1) * per_out; i++)
            s->own_w[i] = (float)(r->factor[c] * (double)w[i]);
        s->own_b[c] = (float)((b ? r->factor[c] * (double)b[c] : 0.0) + r->add[c]);
    }
    s->w = s->own_w;
    s->b = b || r->adds ? s->own_b : NULL;
    return SPK_OK;
}

void quant_scaled_fini(struct quant_scaled *s)
{
    spk_free(s->own_w);
    spk_free(s->own_b);
    *s = (struct quant_scaled){0};
}
