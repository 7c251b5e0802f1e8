/* NIR and netx files: written and read while memory and writes fail; what comes back. */
#include "unit.h"

#include "backends/netx/netx_export.h"
#include "backends/nir/nir_export.h"
#include "frontend/model.h"
#include "support/file.h"

static const char GRAPH[] =
    "sir 1\nmodule \"m\"\nstage model\ntimesteps 3\n"
    "param @a.weight f32 [3, 2, 3, 3]\nparam @a.bias f32 [3]\nparam @b.weight f32 [4, 3, 4, 4]\n"
    "param @r.weight f32 [4, 4]\nparam @lif.tau f32 [4]\nparam @out.in f32 [4]\n"
    "param @head f32 [2, 4]\n"
    "neuron #0 \"lif\" {\n state v = 0\n charge v = v + (input - v) / 2\n fire v >= 1\n"
    " reset v = 0\n}\n"
    "neuron #1 \"own\" {\n state v = 0\n charge v = v + (input - v) / param(0)\n fire v > 1\n"
    " reset v = 0\n}\n"
    "%0 = input {events=true} : count f32 T=3 [2, 4, 4 chw] name \"x\"\n"
    "%1 = lag {steps=1, source=7} : spike f32 T=3 [4, 1, 1 chw]\n"
    "%2 = linear %1 params(@r.weight) : current f32 T=3 [4, 1, 1 chw]\n"
    "%3 = conv2d %0 params(@a.weight, @a.bias) {kernel=[3, 3], stride=[1, 1], pad=[1, 1]} : "
    "current f32 T=3 [3, 4, 4 chw]\n"
    "%4 = neuron %3 {program=0} : spike f32 T=3 [3, 4, 4 chw] name \"s\" recorded\n"
    "%5 = conv2d %4 params(@b.weight) {kernel=[4, 4], stride=[1, 1]} : current f32 T=3 [4, 1, 1 "
    "chw]\n"
    "%6 = add %5, %2 : current f32 T=3 [4, 1, 1 chw]\n"
    "%7 = neuron %6 params(@lif.tau) {program=1} : spike f32 T=3 [4, 1, 1 chw] name \"z\" "
    "recorded\n"
    "%8 = mean %7 : real f32 T=1 [4 c]\n"
    "%9 = linear %8 params(@head) : current f32 T=1 [2 c]\n"
    "%10 = output %9 : real f32 T=1 [2 c] name \"y\"\n";

static const char CHAIN[] =
    "sir 1\nmodule \"m\"\nstage quantised\ntimesteps 3\ntarget \"netx\"\n"
    "param @a.weight i8 [3, 2, 3, 3]\nparam @s.bias i32 [3]\nparam @s.vth i32 [3]\n"
    "param @b.weight i8 [2, 3, 4, 4]\nparam @z.vth i32 [2]\nparam @id f32 [2, 2]\n"
    "%0 = input {events=true} : count f32 T=3 [2, 4, 4 chw] name \"x\"\n"
    "%1 = encode %0 {kind=events} : count i32 T=3 [2, 4, 4 chw]\n"
    "%2 = conv2d %1 params(@a.weight) {kernel=[3, 3], stride=[1, 1], pad=[1, 1], shift=7} : "
    "current i32 T=3 [3, 4, 4 chw]\n"
    "%3 = neuron %2 params(@s.vth, @s.bias) {program=none, decay=2048, bits=24} : spike i32 T=3 "
    "[3, 4, 4 chw] name \"s\" recorded\n"
    "%4 = conv2d %3 params(@b.weight) {kernel=[4, 4], stride=[1, 1], shift=7} : current i32 T=3 "
    "[2, "
    "1, 1 chw]\n"
    "%5 = neuron %4 params(@z.vth) {program=none, decay=4095, current_keep=100, bits=24} : spike "
    "i32 T=3 [2, 1, 1 chw] name \"z\" recorded\n"
    "%6 = readout %5 params(@id) {divisor=3} : real f32 T=1 [2 c]\n"
    "%7 = output %6 : real f32 T=1 [2 c] name \"y\"\n";

/* Weights of small numbers; thresholds 65, biases 64, an identity. */
static struct ir_module *parse(const char *text, struct diag_list *d)
{
    struct ir_module *m;
    assert_ok(ir_parse("test", text, strlen(text), d, &m));
    for (uint32_t i = 0; i < m->n_params; i++) {
        struct ir_param *p = &m->param[i];
        const uint64_t n = ir_param_elements(p);
        uint8_t *data = NULL;
        assert_ok(spk_alloc_array(n, 4, &data));
        for (uint64_t k = 0; k < n; k++) {
            const int small = (int)(k * 7 % 5) - 2;
            if (p->dtype == IR_DT_I8)
                ((int8_t *)data)[k] = (int8_t)small;
            else if (p->dtype == IR_DT_I32)
                ((int32_t *)(void *)data)[k] = strstr(p->name, "vth") ? 65 : 64;
            else if (strcmp(p->name, "id") == 0)
                ((float *)(void *)data)[k] = k % 3 == 0 ? 1.0f : 0.0f;
            else
                ((float *)(void *)data)[k] =
                    strstr(p->name, "tau") ? 2.0f + (float)k : (float)small;
        }
        p->data = data;
        assert_ok(ir_module_own(m, data));
    }
    return m;
}

static struct ir_module *open_model(const char *path, struct diag_list *d)
{
    struct fe_model model = {0};
    const struct fe_options options = {0};
    spk_status status = fe_model_open(path, &options, d, &model);
    if (status != SPK_OK)
        print_error("%s\n", unit_diag_text(d));
    assert_ok(status);
    struct ir_module *m = model.module;
    model.module = NULL;
    fe_model_fini(&model);
    return m;
}

static spk_status export_graph(const struct ir_module *m, const char *out, struct diag_list *d)
{
    struct dir_writer *dir;
    struct nir_figures f;
    SPK_TRY(dir_begin(out, d, &dir));
    const spk_status status = nir_export(m, 0.5, dir, d, &f);
    if (status == SPK_OK)
        return dir_commit(dir);
    dir_abort(dir);
    return status;
}

static void graph_survives(void **state)
{
    char folder[64], out[96], file[128];
    struct diag_list d;
    (void)state;
    unit_temp_dir(folder);
    (void)snprintf(out, sizeof out, "%s/out", folder);
    (void)snprintf(file, sizeof file, "%s/graph.nir", out);
    diag_init(&d);
    struct ir_module *m = parse(GRAPH, &d);
    spk_status status;
    for_each_failing_alloc(status, {
        struct diag_list own;
        diag_init(&own);
        status = export_graph(m, out, &own);
        diag_fini(&own);
    });
    struct ir_module *back = open_model(file, &d);
    assert_true(ir_find_param(back, "lif.tau") == IR_NONE);
    const uint32_t tau = ir_find_param(back, "z.tau"), w = ir_find_param(back, "a.weight");
    assert_true(tau != IR_NONE && w != IR_NONE);
    assert_memory_equal(back->param[tau].data, m->param[ir_find_param(m, "lif.tau")].data, 16);
    assert_memory_equal(back->param[w].data, m->param[ir_find_param(m, "a.weight")].data, 54 * 4);
    for_each_failing_alloc(status, {
        struct diag_list own;
        struct fe_model model = {0};
        diag_init(&own);
        status = fe_model_open(file, NULL, &own, &model);
        fe_model_fini(&model);
        diag_fini(&own);
    });
    ir_module_destroy(back);
    ir_module_destroy(m);
    diag_fini(&d);
    unit_remove_dir(folder);
}

static void network_survives(void **state)
{
    char folder[64], file[96];
    struct diag_list d;
    struct netx_figures f;
    (void)state;
    unit_temp_dir(folder);
    (void)snprintf(file, sizeof file, "%s/n.net", folder);
    diag_init(&d);
    struct ir_module *m = parse(CHAIN, &d);
    spk_status status;
    for_each_failing_alloc(status, {
        struct diag_list own;
        diag_init(&own);
        status = netx_export(m, file, &own, &f);
        diag_fini(&own);
    });
    assert_int_equal(f.neurons, 50);
    struct ir_module *back = open_model(file, &d);
    assert_int_equal(back->n_nodes, m->n_nodes);
    for (uint32_t i = 0; i < m->n_params; i++)
        assert_memory_equal(back->param[i].data, m->param[i].data,
                            ir_param_elements(&m->param[i]) *
                                (m->param[i].dtype == IR_DT_I8 ? 1 : 4));
    assert_int_equal(back->node[5].a.neuron.q.current_keep, 100);
    for_each_failing_alloc(status, {
        struct diag_list own;
        struct fe_model model = {0};
        diag_init(&own);
        status = fe_model_open(file, NULL, &own, &model);
        fe_model_fini(&model);
        diag_fini(&own);
    });
    ir_module_destroy(back);
    ir_module_destroy(m);
    diag_fini(&d);
    unit_remove_dir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(graph_survives),
        cmocka_unit_test(network_survives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
