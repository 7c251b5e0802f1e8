/* Pass fuse-linear: what chains and sums of linear maps compute, before and after, and which are
 * left. Weights are small whole numbers, so that every sum is exact. */
#include "unit.h"

#include "passes/pass.h"
#include "runtime/record.h"
#include "runtime/reference.h"
#include "support/rng.h"
#include "support/strbuf.h"

#define HEAD "sir 1\nmodule \"m\"\nstage model\ntimesteps 3\n"
#define NEURON \
    "neuron #0 \"lif\" {\n state v = 0\n charge v = v + input\n fire v >= 3\n reset v = 0\n}\n"
#define INPUT "%0 = input {events=true} : count f32 T=3 [2, 8, 9 chw] name \"x\"\n"

static void fill(struct ir_module *m, uint64_t seed)
{
    struct rng rng;
    rng_seed(&rng, seed);
    for (uint32_t i = 0; i < m->n_params; i++) {
        float *data = NULL;
        const uint64_t n = ir_param_elements(&m->param[i]);
        assert_int_equal(spk_alloc_array(n, sizeof *data, &data), SPK_OK);
        for (uint64_t k = 0; k < n; k++)
            data[k] = (float)((int64_t)rng_below(&rng, 7) - 3);
        m->param[i].data = data;
        assert_int_equal(ir_module_own(m, data), SPK_OK);
    }
}

/* Spikes of value "s". */
static struct record *run(const struct ir_module *m, struct diag_list *d)
{
    float input[2 * 3 * 2 * 8 * 9], logits[2 * 16];
    struct engine *e;
    struct record *record;
    struct rng rng;
    rng_seed(&rng, 5);
    for (size_t i = 0; i < sizeof input / sizeof *input; i++)
        input[i] = (float)rng_below(&rng, 2);
    assert_int_equal(record_create(2, 0, &record), SPK_OK);
    assert_int_equal(record_add_module(record, m, d), SPK_OK);
    struct engine_recorder recorder = record_recorder(record);
    struct engine_run r = {
        .input = {2, input, 3 * 2 * 8 * 9}, .logits = logits, .recorder = &recorder};
    assert_int_equal(rt_reference_engine.create(m, d, &e), SPK_OK);
    assert_int_equal(rt_reference_engine.run(e, &r, d), SPK_OK);
    rt_reference_engine.destroy(e);
    return record;
}

static uint32_t projections(const struct ir_module *m)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->n_nodes; i++)
        n += m->node[i].op == IR_OP_CONV2D || m->node[i].op == IR_OP_LINEAR ||
             m->node[i].op == IR_OP_SCALE;
    return n;
}

/* The spikes of `nodes` are the same after the pass, which leaves `left` linear maps (the head's
 * among them). */
static void same(const char *params, const char *nodes, uint32_t left)
{
    struct diag_list d;
    struct strbuf text = {0};
    struct ir_module *own, *fused;
    const struct pass_context c = {.diags = &d, .verify_each = true};
    diag_init(&d);
    strbuf_printf(&text, "%s%s%s%s%s", HEAD, params, NEURON, INPUT, nodes);
    for (uint64_t seed = 1; seed < 4; seed++) {
        const spk_status status = ir_parse("test", strbuf_cstr(&text), text.len, &d, &own);
        if (status != SPK_OK)
            print_error("%s\n", unit_diag_text(&d));
        assert_int_equal(status, SPK_OK);
        fill(own, seed);
        assert_int_equal(ir_module_clone(own, true, &fused), SPK_OK);
        assert_int_equal(passes_run(&c, "fuse-linear,dce", &fused), SPK_OK);
        assert_int_equal(projections(fused), left);
        struct record *a = run(own, &d), *b = run(fused, &d);
        const struct record_tensor *x = record_find(a, "s"), *y = record_find(b, "s");
        assert_true(x && y && y->frame_elements == x->frame_elements);
        uint32_t fired = 0;
        for (uint32_t image = 0; image < 2; image++)
            for (uint32_t t = 0; t < 3; t++)
                for (uint32_t e = 0; e < x->frame_elements; e++) {
                    const int32_t spike = record_get(a, x, t, image, e);
                    assert_int_equal(spike, record_get(b, y, t, image, e));
                    fired += (uint32_t)spike;
                }
        assert_true(fired > 0);
        record_destroy(a);
        record_destroy(b);
        ir_module_destroy(own);
        ir_module_destroy(fused);
    }
    strbuf_fini(&text);
    diag_fini(&d);
}

/* Neuron, mean, head and output behind value `at` of shape [c, h, w]. */
static void check(const char *params, const char *maps, uint32_t at, const char *shape,
                  uint32_t channels, uint32_t left)
{
    struct strbuf p = {0}, n = {0};
    strbuf_printf(&p, "%sparam @head f32 [2, %u]\n", params, channels);
    strbuf_printf(&n,
                  "%s%%%u = neuron %%%u {program=0} : spike f32 T=3 [%s chw] name \"s\" recorded\n"
                  "%%%u = mean %%%u : real f32 T=1 [%u c]\n"
                  "%%%u = linear %%%u params(@head) : current f32 T=1 [2 c]\n"
                  "%%%u = output %%%u : real f32 T=1 [2 c] name \"y\"\n",
                  maps, at + 1, at, shape, at + 2, at + 1, channels, at + 3, at + 2, at + 4,
                  at + 3);
    same(strbuf_cstr(&p), strbuf_cstr(&n), left + 1);
    strbuf_fini(&p);
    strbuf_fini(&n);
}

static void in_a_row(void **state)
{
    (void)state;
    /* strides, a kernel behind a pool, biases of both */
    check(
        "param @a f32 [3, 2, 3, 2]\nparam @ab f32 [3]\nparam @b f32 [4, 3, 2, 2]\n"
        "param @bb f32 [4]\n",
        "%1 = conv2d %0 params(@a, @ab) {kernel=[3, 2], stride=[2, 1], pad=[1, 1]} : current f32 "
        "T=3 [3, 4, 10 chw]\n"
        "%2 = conv2d %1 params(@b, @bb) {kernel=[2, 2], stride=[1, 2]} : current f32 T=3 [4, 3, 5 "
        "chw]\n",
        2, "4, 3, 5", 4, 1);
    /* padding behind one position of no bias */
    check("param @a f32 [3, 2]\nparam @b f32 [4, 3, 3, 3]\n",
          "%1 = linear %0 params(@a) : current f32 T=3 [3, 8, 9 chw]\n"
          "%2 = conv2d %1 params(@b) {kernel=[3, 3], stride=[2, 2], pad=[1, 1]} : current f32 T=3 "
          "[4, 4, 5 chw]\n",
          2, "4, 4, 5", 4, 1);
    /* three, and scales before, between and behind */
    check("param @k f32 [2]\nparam @a f32 [3, 2]\nparam @j f32 [3]\nparam @b f32 [3, 3]\n"
          "param @i f32 [3]\n",
          "%1 = scale %0 params(@k) : current f32 T=3 [2, 8, 9 chw]\n"
          "%2 = linear %1 params(@a) : current f32 T=3 [3, 8, 9 chw]\n"
          "%3 = scale %2 params(@j) : current f32 T=3 [3, 8, 9 chw]\n"
          "%4 = linear %3 params(@b) : current f32 T=3 [3, 8, 9 chw]\n"
          "%5 = scale %4 params(@i) : current f32 T=3 [3, 8, 9 chw]\n",
          5, "3, 8, 9", 3, 1);
}

static void side_by_side(void **state)
{
    (void)state;
    /* kernels of two sizes around the same position, one bias */
    check("param @a f32 [2, 2, 3, 3]\nparam @ab f32 [2]\nparam @b f32 [2, 2, 1, 1]\n"
          "param @k f32 [2]\n",
          "%1 = conv2d %0 params(@a, @ab) {kernel=[3, 3], stride=[1, 1], pad=[1, 1]} : current f32 "
          "T=3 [2, 8, 9 chw]\n"
          "%2 = conv2d %0 params(@b) {kernel=[1, 1], stride=[1, 1]} : current f32 T=3 [2, 8, 9 "
          "chw]\n"
          "%3 = scale %0 params(@k) : current f32 T=3 [2, 8, 9 chw]\n"
          "%4 = add %2, %1, %3 : current f32 T=3 [2, 8, 9 chw]\n",
          4, "2, 8, 9", 2, 1);
}

static void left_alone(void **state)
{
    (void)state;
    /* padding of a map that has a bias; of one that was padded itself */
    check("param @a f32 [3, 2]\nparam @ab f32 [3]\nparam @b f32 [2, 3, 3, 3]\n",
          "%1 = linear %0 params(@a, @ab) : current f32 T=3 [3, 8, 9 chw]\n"
          "%2 = conv2d %1 params(@b) {kernel=[3, 3], stride=[1, 1], pad=[1, 1]} : current f32 T=3 "
          "[2, 8, 9 chw]\n",
          2, "2, 8, 9", 2, 2);
    check("param @a f32 [3, 2, 3, 3]\nparam @b f32 [2, 3, 3, 3]\n",
          "%1 = conv2d %0 params(@a) {kernel=[3, 3], stride=[1, 1], pad=[1, 1]} : current f32 T=3 "
          "[3, 8, 9 chw]\n"
          "%2 = conv2d %1 params(@b) {kernel=[3, 3], stride=[1, 1], pad=[1, 1]} : current f32 T=3 "
          "[2, 8, 9 chw]\n",
          2, "2, 8, 9", 2, 2);
    /* a factor for every neuron; other strides side by side are other shapes */
    check("param @k f32 [2, 8, 9]\n", "%1 = scale %0 params(@k) : current f32 T=3 [2, 8, 9 chw]\n",
          1, "2, 8, 9", 2, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_a_row),
        cmocka_unit_test(side_by_side),
        cmocka_unit_test(left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
