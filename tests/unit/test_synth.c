/* Synthetic weights: rates reached on networks of several kinds, the walk against a run, constant
 * channels, sameness at any number of threads, images, and running out of memory. */
#include <math.h>

#include "frontend/model.h"
#include "passes/synth.h"
#include "runtime/reference.h"
#include "unit.h"

struct bench {
    struct diag_list diags;
    struct ir_module *m;
    struct synth_images images;
    struct synth_result result;
    struct synth_options o;
};

static const char HEAD[] =
    "neuron lif(tau = 2.0, v_th = 1.0) {\n"
    " state v = 0.0; charge v = v + (input - v) / tau; fire v >= v_th; reset v = 0.0; }\n"
    "neuron high(v_th = 50.0) {\n"
    " state v = 0.0; charge v = v + 0.25 * input; fire v >= v_th; reset v = v - v_th; }\n"
    "neuron low(v_th = 0.5) {\n"
    " state v = 0.0; charge v = v - 0.5 * input; fire v >= v_th; reset v = 0.0; }\n"
    "block cb(x, out, s, p) { batchnorm(conv2d(x, out, 3, s, p)) }\n"
    "block cs(x, out, s, p) { lif(cb(x, out, s, p)) }\n"
    "block ts(x) { lif(batchnorm(linear(x, x.channels))) }\n"
    "model m() { input image : frame[3, 16, 16] repeat 4;\n";
#define TAIL "output logits = linear(mean(y, tokens, time), 5) as \"head\";"

static void begin(struct bench *b, const char *body)
{
    struct strbuf text = {0};
    memset(b, 0, sizeof *b);
    diag_init(&b->diags);
    strbuf_printf(&text, "%s%s}\n", HEAD, body);
    spk_status status = fe_model_parse_text("m.spk", strbuf_cstr(&text), text.len,
                                            &(struct fe_options){0}, &b->diags, &b->m);
    if (status != SPK_OK)
        fail_msg("%s", unit_diag_text(&b->diags));
    strbuf_fini(&text);
    b->o = (struct synth_options){.rate = 0.1,
                                  .seed = 3,
                                  .engine = &rt_reference_engine,
                                  .input = &b->images.input,
                                  .diags = &b->diags};
    assert_ok(synth_images_make(b->m, 24, 3, &b->diags, &b->images));
}

static void end(struct bench *b)
{
    synth_result_fini(&b->result);
    synth_images_fini(&b->images);
    ir_module_destroy(b->m);
    diag_fini(&b->diags);
}

static const struct synth_layer *layer_of(const struct bench *b, const char *name)
{
    for (uint32_t i = 0; i < b->result.n_layers; i++)
        if (strcmp(b->m->node[b->result.layer[i].node].name, name) == 0)
            return &b->result.layer[i];
    fail_msg("no layer %s", name);
    return NULL;
}

static void expect(const struct bench *b, const char *name, enum synth_means means, double rate,
                   double relative)
{
    const struct synth_layer *l = layer_of(b, name);
    if (l->means != means || fabs(l->rate - rate) > relative * rate)
        fail_msg("%s: set by %s, rate %g", name, synth_means_name(l->means), l->rate);
}

/* The rates told are those of a run. */
static void expect_run(const struct bench *b)
{
    struct engine *e;
    struct engine_stats stats = {0};
    struct engine_run run = {.input = b->images.input, .stats = &stats};
    assert_ok(spk_alloc_array(b->m->n_nodes, sizeof *stats.sum, &stats.sum));
    assert_ok(rt_reference_engine.create(b->m, NULL, &e));
    assert_ok(rt_reference_engine.run(e, &run, NULL));
    for (uint32_t i = 0; i < b->result.n_layers; i++) {
        const struct synth_layer *l = &b->result.layer[i];
        const struct ir_type *t = &b->m->node[l->node].type;
        double n = (double)ir_type_elements(t) * t->timesteps * run.input.n_images, mean = 0;
        assert_true(fabs(stats.sum[l->node] / n - l->rate) < 1e-12);
        for (uint32_t c = 0; c < t->channels; c++)
            mean += b->result.channel_rate[l->node][c] / t->channels;
        assert_true(fabs(mean - l->rate) < 1e-12);
    }
    rt_reference_engine.destroy(e);
    spk_free(stats.sum);
}

/* ---- kinds of networks ---- */

static void rates(void **state)
{
    (void)state;
    static const double wanted[] = {0.02, 0.1, 0.5, 0.9};
    struct bench b;
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        begin(&b, "let x = cs(image, 16, 1, 1) in \"a_*\";\n"
                  "let y = cs(x, 24, 2, 1) in \"b_*\";\n" TAIL);
        b.o.rate = wanted[i];
        assert_ok(synth_weights(b.m, &b.o, &b.result));
        assert_int_equal(b.result.n_layers, 2);
        expect(&b, "a_lif", SYNTH_BATCHNORM, wanted[i], 0.01);
        expect(&b, "b_lif", SYNTH_BATCHNORM, wanted[i], 0.01);
        expect_run(&b);
        assert_int_equal(b.diags.items.len, 0);
        end(&b);
    }
}

/* A pool between norm and neuron, thresholds far from 1, soft reset, a falling response, currents
 * that are added up before the neuron; and a neuron without any norm. */
static void odd_layers(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, "let x = lif(maxpool(cb(image, 16, 1, 1) in \"a_*\", 2)) as \"pooled\";\n"
              "let h = high(cb(x, 16, 1, 1) in \"b_*\") as \"high\";\n"
              "let l = low(cb(h, 16, 1, 1) in \"c_*\") as \"low\";\n"
              "let s = cb(l, 16, 1, 1) in \"d_*\";\n"
              "let r = s + (cb(lif(s) as \"inner\", 16, 1, 1) in \"e_*\");\n"
              "let z = lif(r) as \"outer\";\n"
              "let y = lif(conv2d(z, 16, 3, 1, 1) as \"f_conv\") as \"bare\";\n" TAIL);
    assert_ok(synth_weights(b.m, &b.o, &b.result));
    expect(&b, "pooled", SYNTH_BATCHNORM, 0.1, 0.01);
    expect(&b, "high", SYNTH_BATCHNORM, 0.1, 0.01);
    expect(&b, "low", SYNTH_BATCHNORM, 0.1, 0.01);
    expect(&b, "inner", SYNTH_BATCHNORM, 0.1, 0.01);
    expect(&b, "outer", SYNTH_BATCHNORM, 0.1, 0.01);
    assert_int_equal(layer_of(&b, "bare")->means, SYNTH_NONE);
    expect_run(&b);
    unit_expect_diag(&b.diags,
                     "1 of 6 spiking layers are more than a tenth away from the rate 0.1: "
                     "bare");
    end(&b);
}

#define QKV                                             \
    "let t = tokens(cs(image, 32, 4, 1) in \"s_*\");\n" \
    "let q = ts(t) in \"q_*\"; let k = ts(t) in \"k_*\"; let v = ts(t) in \"v_*\";\n"

static void attention(void **state)
{
    (void)state;
    /* Far too much, about enough, far too little of independent spikes. */
    static const char *const scale[] = {"8.0", "1.0", "0.4"};
    struct bench b;
    for (size_t i = 0; i < sizeof scale / sizeof scale[0]; i++) {
        char body[1024];
        (void)snprintf(body, sizeof body,
                       QKV "let y = lif(attention(q, k, v, 2, %s)) as \"attn\";\n" TAIL, scale[i]);
        begin(&b, body);
        assert_ok(synth_weights(b.m, &b.o, &b.result));
        expect(&b, "attn", SYNTH_ATTENTION, 0.1, 0.1);
        expect(&b, "q_lif", SYNTH_BATCHNORM, 0.1, 0.02);
        expect(&b, "k_lif", SYNTH_BATCHNORM, 0.1, 0.02);
        expect(&b, "v_lif", SYNTH_BATCHNORM, 0.1, 0.02);
        expect_run(&b);
        assert_int_equal(b.diags.items.len, 0);
        end(&b);
    }
}

/* What the overlap alone cannot give: q, k and v leave the rate, together, and a warning says so.
 */
static void attention_out_of_reach(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, QKV "let y = lif(attention(q, k, v, 2, 0.02)) as \"attn\";\n" TAIL);
    assert_ok(synth_weights(b.m, &b.o, &b.result));
    expect(&b, "attn", SYNTH_ATTENTION, 0.1, 0.1);
    double q = layer_of(&b, "q_lif")->rate;
    assert_true(q > 0.12 && q < 0.6);
    expect(&b, "k_lif", SYNTH_BATCHNORM, q, 0.02);
    expect(&b, "v_lif", SYNTH_BATCHNORM, q, 0.02);
    expect_run(&b);
    unit_expect_diag(&b.diags, "q_lif");
    end(&b);
    /* No scale of spikes reaches this threshold: the nearest is kept. */
    begin(&b, QKV "let y = lif(attention(q, k, v, 2, 0.0001)) as \"attn\";\n" TAIL);
    assert_ok(synth_weights(b.m, &b.o, &b.result));
    assert_true(layer_of(&b, "attn")->rate < 0.01);
    expect(&b, "q_lif", SYNTH_BATCHNORM, 0.1, 0.02); /* nothing was won by moving it */
    expect_run(&b);
    unit_expect_diag(&b.diags, "attn");
    end(&b);
}

/* q is k, or q is read by others too: then it keeps its rate, and v is what can move. */
static void attention_with_shared_operands(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, QKV "let w = ts(q) in \"w_*\";\n"
                  "let y = lif(attention(q, q, v, 2, 0.6)) as \"attn\";\n"
                  "let z = lif(attention(w, k, k, 2, 0.6)) as \"other\";\n"
                  "output logits = linear(mean(y + z, tokens, time), 5) as \"head\";");
    assert_ok(synth_weights(b.m, &b.o, &b.result));
    expect(&b, "q_lif", SYNTH_BATCHNORM, 0.1, 0.01);
    expect(&b, "w_lif", SYNTH_BATCHNORM, layer_of(&b, "w_lif")->rate, 0.01);
    expect(&b, "attn", SYNTH_ATTENTION, 0.1, 0.1);
    expect_run(&b);
    end(&b);
}

/* Running statistics are those of what reaches the norm; and a walk computes what a run computes.
 */
static void statistics(void **state)
{
    (void)state;
    const struct engine_walk_vtable *walk = rt_reference_engine.walk;
    struct engine_walk *at;
    struct engine *e;
    struct bench b;
    double mean[24], variance[24];
    begin(&b, "let x = cs(image, 16, 1, 1) in \"a_*\";\n"
              "let y = cs(x, 24, 2, 1) in \"b_*\";\n" TAIL);
    assert_ok(synth_weights(b.m, &b.o, &b.result));
    assert_ok(rt_reference_engine.create(b.m, &b.diags, &e));
    assert_ok(walk->begin(e, &b.images.input, NULL, &b.diags, &at));
    assert_int_equal(walk->compute(at, 2), SPK_ERR_INTERNAL); /* its operand is not there */
    for (uint32_t id = 0; id < b.m->n_nodes; id++) {
        const struct ir_node *n = &b.m->node[id];
        assert_ok(walk->compute(at, id));
        if (n->op != IR_OP_BATCHNORM)
            continue;
        const float *m = b.m->param[n->param[2]].data, *v = b.m->param[n->param[3]].data;
        assert_ok(walk->moments(at, n->operand[0], mean, variance));
        for (uint32_t c = 0; c < n->type.channels; c++) {
            assert_true(m[c] == (float)mean[c] && v[c] == (float)variance[c]);
            assert_true(v[c] > 0.0f);
        }
        /* Normalised but for scale and bias: the norm's own moments. */
        const float *scale = b.m->param[n->param[0]].data, *bias = b.m->param[n->param[1]].data;
        assert_ok(walk->moments(at, id, mean, variance));
        for (uint32_t c = 0; c < n->type.channels; c++) {
            assert_true(fabs(mean[c] - (double)bias[c]) < 1e-4);
            assert_true(fabs(sqrt(variance[c]) / (double)scale[c] - 1) < 1e-3);
        }
    }
    walk->drop(at, 1);
    assert_int_equal(walk->moments(at, 1, mean, NULL), SPK_ERR_INTERNAL);
    walk->end(at);
    walk->end(NULL);
    rt_reference_engine.destroy(e);
    end(&b);
}

/* Images without any content: every channel is constant, and yet layers fire. */
static void constant_channels(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, "let x = cs(image, 64, 1, 1) in \"a_*\";\n"
              "let y = cs(x, 64, 2, 1) in \"b_*\";\n" TAIL);
    memset(b.images.data, 0, b.images.input.n_images * b.images.input.image_stride * sizeof(float));
    assert_ok(synth_weights(b.m, &b.o, &b.result));
    /* 64 channels of one pattern each: steps of 1 / 256. */
    expect(&b, "a_lif", SYNTH_BATCHNORM, 0.1, 0.02);
    expect(&b, "b_lif", SYNTH_BATCHNORM, 0.1, 0.02);
    for (uint32_t i = 0; i < b.m->n_params; i++)
        for (uint64_t k = 0; k < ir_param_elements(&b.m->param[i]); k++)
            assert_true(isfinite(((const float *)b.m->param[i].data)[k]));
    for (uint32_t i = 0; i < b.m->n_nodes; i++)
        for (uint32_t c = 0; b.m->node[i].op == IR_OP_BATCHNORM && c < 64; c++)
            assert_true(((const float *)b.m->param[b.m->node[i].param[3]].data)[c] > 1e-3f);
    expect_run(&b);
    end(&b);
}

/* ---- sameness ---- */

static void same_at_any_threads(void **state)
{
    (void)state;
    static const char body[] = QKV "let y = lif(attention(q, k, v, 2, 0.6)) as \"attn\";\n" TAIL;
    struct bench one, other;
    begin(&one, body);
    assert_ok(synth_weights(one.m, &one.o, &one.result));
    for (uint32_t i = 0; i < 3; i++) { /* 2 threads; 5; 2 and another seed */
        struct pool *pool;
        bool same = true;
        begin(&other, body);
        assert_ok(pool_create(i == 1 ? 5 : 2, &pool));
        other.o.pool = pool;
        other.o.seed = i == 2 ? 4 : 3;
        assert_ok(synth_weights(other.m, &other.o, &other.result));
        for (uint32_t k = 0; k < one.m->n_params; k++)
            same &= memcmp(one.m->param[k].data, other.m->param[k].data,
                           ir_param_elements(&one.m->param[k]) * sizeof(float)) == 0;
        assert_int_equal(same, i < 2);
        pool_destroy(pool);
        end(&other);
    }
    end(&one);
}

/* No two pieces of weights are the same numbers: params of one shape, chunks of one param. */
static void weights_differ(void **state)
{
    (void)state;
    struct bench b;
    double sum = 0, square = 0;
    begin(&b, "let x = cs(image, 96, 2, 1) in \"a_*\";\n"
              "let z = cs(x, 96, 2, 1) in \"b_*\";\n"
              "let y = cs(z, 96, 1, 1) in \"c_*\";\n" TAIL);
    b.images.input.n_images = 2;
    assert_ok(synth_weights(b.m, &b.o, &b.result));
    const struct ir_param *p = &b.m->param[ir_find_param(b.m, "b_conv.weight")];
    const struct ir_param *q = &b.m->param[ir_find_param(b.m, "c_conv.weight")];
    const float *w = p->data, *v = q->data;
    const uint64_t n = ir_param_elements(p);
    assert_int_equal(n, 96 * 96 * 9);
    for (uint64_t i = 0; i < n; i++) {
        assert_true(w[i] != v[i]);
        assert_true(i < 65536 || w[i] != w[i - 65536]);
        sum += (double)w[i];
        square += (double)w[i] * (double)w[i];
    }
    assert_true(fabs(sum / (double)n) < 1e-3);
    assert_true(fabs(square * 96 * 9 / (double)n - 1) < 0.02);
    end(&b);
}

/* ---- images ---- */

/* Means of squared differences between pixels 1 and 8 apart. */
static void roughness(const float *x, uint32_t side, double out[2])
{
    for (uint32_t k = 0; k < 2; k++) {
        uint32_t far = k ? 8 : 1;
        double sum = 0;
        for (uint32_t y = 0; y < side; y++)
            for (uint32_t c = 0; c + far < side; c++)
                sum += pow((double)x[y * side + c + far] - (double)x[y * side + c], 2);
        out[k] = sum / side / (side - far);
    }
}

static void images(void **state)
{
    (void)state;
    static const struct fe_setting still[] = {
        {"height", "64"}, {"width", "64"}, {"dim", "16"}, {"depth", "1"}, {"heads", "1"}};
    struct diag_list d;
    struct ir_module *m;
    struct synth_images a = {0}, b = {0};
    double rough[2], mean = 0, cross = 0;
    diag_init(&d);
    assert_ok(fe_model_load("spikformer_v2", still, 5, NULL, 0, &d, &m));
    assert_ok(synth_images_make(m, 3, 9, &d, &a));
    assert_ok(synth_images_make(m, 5, 9, &d, &b));
    assert_int_equal(a.input.n_images, 3);
    assert_int_equal(a.input.image_stride, 3 * 64 * 64);
    assert_memory_equal(a.data, b.data, 3 * 3 * 64 * 64 * sizeof(float));
    assert_memory_not_equal(a.data, a.data + 3 * 64 * 64, 64 * 64 * sizeof(float));
    /* Variance per octave is constant: far pixels differ more than near ones, but less than in a
     * random walk, where it would be 8 times as much. Channels go together. */
    roughness(a.data, 64, rough);
    assert_true(rough[1] > 2 * rough[0] && rough[1] < 8 * rough[0]);
    for (uint32_t i = 0; i < 64 * 64; i++) {
        mean += (double)a.data[i] / (64 * 64);
        cross += (double)a.data[i] * (double)a.data[i + 64 * 64] / (64 * 64);
    }
    assert_true(fabs(mean) < 1e-3 && cross > 0.8 && cross < 0.97);
    synth_images_fini(&b);
    assert_ok(synth_images_make(m, 0, 9, &d, &b)); /* 16 positions, 4 steps: 4,096 need 64 images */
    assert_int_equal(b.input.n_images, 64);
    synth_images_fini(&a);
    synth_images_fini(&b);
    ir_module_destroy(m);
    diag_fini(&d);
}

static void events(void **state)
{
    (void)state;
    static const struct fe_setting set[] = {{"height", "32"}, {"width", "32"},    {"dim", "16"},
                                            {"depth", "1"},   {"timesteps", "6"}, {"heads", "1"}};
    const uint64_t n = 2 * 6 * 2 * 32 * 32;
    struct diag_list d;
    struct ir_module *m;
    struct synth_images s = {0};
    double with = 0;
    diag_init(&d);
    assert_ok(fe_model_load("spikformer_v2_events", set, 6, NULL, 0, &d, &m));
    assert_ok(synth_images_make(m, 2, 9, &d, &s));
    assert_int_equal(s.input.n_images * s.input.image_stride, n);
    for (uint64_t i = 0; i < n; i++) {
        assert_true(s.data[i] >= 0.0f && s.data[i] == floorf(s.data[i]));
        with += s.data[i] > 0.0f;
    }
    assert_true(fabs(with / (double)n - 0.1) < 0.01);
    for (uint64_t i = 0; i < 32 * 32; i++) /* brighter or darker, not both */
        assert_true(s.data[i] == 0.0f || s.data[i + 32 * 32] == 0.0f);
    synth_images_fini(&s);
    ir_module_destroy(m);
    diag_fini(&d);
}

/* ---- refusals ---- */

static void refused(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, "let y = cs(image, 8, 2, 1) in \"a_*\";\n" TAIL);
    b.o.rate = 1.0;
    assert_int_equal(synth_weights(b.m, &b.o, &b.result), SPK_ERR_INTERNAL);
    b.o.rate = (double)NAN;
    assert_int_equal(synth_weights(b.m, &b.o, &b.result), SPK_ERR_INTERNAL);
    b.o.rate = 0.1;
    b.images.data[5] = NAN;
    assert_int_equal(synth_weights(b.m, &b.o, &b.result), SPK_ERR_INPUT);
    unit_expect_diag(&b.diags, "element 5 is not finite");
    assert_null(b.result.layer);
    end(&b);
}

static void out_of_memory(void **state)
{
    (void)state;
    static const char body[] = QKV "let y = lif(attention(q, k, v, 2, 8.0)) as \"attn\";\n" TAIL;
    struct bench b;
    spk_status status = SPK_OK;
    if (!spk_fault_available())
        skip();
    begin(&b, body);
    b.images.input.n_images = 1;
    for_each_failing_alloc(status, {
        synth_result_fini(&b.result);
        diag_clear(&b.diags);
        status = synth_weights(b.m, &b.o, &b.result);
    });
    end(&b);
    begin(&b, body);
    for_each_failing_alloc(status, {
        synth_images_fini(&b.images);
        status = synth_images_make(b.m, 2, 1, &b.diags, &b.images);
    });
    end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates),
        cmocka_unit_test(odd_layers),
        cmocka_unit_test(attention),
        cmocka_unit_test(attention_out_of_reach),
        cmocka_unit_test(attention_with_shared_operands),
        cmocka_unit_test(statistics),
        cmocka_unit_test(constant_channels),
        cmocka_unit_test(same_at_any_threads),
        cmocka_unit_test(weights_differ),
        cmocka_unit_test(images),
        cmocka_unit_test(events),
        cmocka_unit_test(refused),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
