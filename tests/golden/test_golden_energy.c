/* The papers' energy against `energy` and `ops` of every manifest: from rates measured by the
 * reference engine, and from the manifest's rates alone where nothing is max-pooled.           */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "golden_case.h"
#include "runtime/paper_energy.h"
#include "runtime/reference.h"
#include "support/alloc.h"
#include "support/file.h"

static void check(spk_status status, struct diag_list *d)
{
    if (status != SPK_OK) {
        struct strbuf text = {0};

        diag_render(d, NULL, &text);
        print_error("status %s\n%s\n", spk_status_name(status), strbuf_cstr(&text));
        strbuf_fini(&text);
    }
    assert_int_equal(status, SPK_OK);
}

static void check_close(double got, double expected)
{
    if (!(fabs(got - expected) <= 1e-9 * fabs(expected)))
        print_error("expected %.17g, got %.17g\n", expected, got);
    assert_true(fabs(got - expected) <= 1e-9 * fabs(expected));
}

static double real(const struct json_cursor *at, const char *key, struct diag_list *d)
{
    double x = 0;

    check(js_get_f64(at, key, &x), d);
    return x;
}

/* "block.0.attn.q_conv" is listed as "block.0.attn.q"; attention is named after its neuron. */
static bool same_op(const char *got, const char *expected)
{
    size_t n = strlen(expected);

    if (strcmp(got, expected) == 0)
        return true;
    if (n > 4 && strcmp(expected + n - 4, ".ssa") == 0)
        return strncmp(got, expected, n - 3) == 0;
    return strncmp(got, expected, n) == 0 &&
           (strcmp(got + n, "_conv") == 0 || strcmp(got + n, "_linear") == 0);
}

static void check_ops(const struct golden_case *g, const struct paper_energy *p,
                      struct diag_list *d)
{
    struct json_cursor root = js_root(g->manifest, g->folder, d), ops, op;
    size_t n = 0;

    check(js_member(&root, "ops", &ops), d);
    check(js_array_length(&ops, &n), d);
    assert_int_equal(n, p->n_ops);
    for (size_t i = 0; i < n; i++) {
        const struct paper_op *x = &p->op[i];
        const char *name;
        bool spike;

        check(js_element(&ops, i, &op), d);
        check(js_get_string(&op, "name", &name), d);
        check(js_get_bool(&op, "spike", &spike), d);
        assert_true(same_op(x->name, name));
        assert_int_equal(x->spike, spike);
        check_close((double)x->macs, real(&op, "macs", d));
        check_close(x->steps, real(&op, "T", d));
        if (!spike)
            continue;
        check_close(x->rate, real(&op, "fr", d));
        check_close(x->sops, real(&op, "sops", d));
        if (js_has(&op, "fk")) {
            check_close(x->rate_k, real(&op, "fk", d));
            check_close(x->rate_v, real(&op, "fv", d));
        }
    }
}

static void check_energy(const struct golden_case *g, const double *rate, struct diag_list *d)
{
    struct json_cursor root = js_root(g->manifest, g->folder, d), energy;
    struct paper_energy p;

    check(paper_energy_compute(g->module, rate, d, &p), d);
    assert_int_equal(p.first_unknown, IR_NONE);
    check(js_member(&root, "energy", &energy), d);
    check_close((double)p.macs_float, real(&energy, "MACs_float", d));
    check_close((double)p.macs_per_step, real(&energy, "MACs_per_step", d));
    check_close(p.sops, real(&energy, "SOPs", d));
    check_close(p.energy_mj, real(&energy, "E_mJ", d));
    check_ops(g, &p, d);
    paper_energy_fini(&p);
}

static void measured(const struct golden_case *g, double *rate, struct diag_list *d)
{
    struct engine *e = NULL;
    double *sum = NULL;

    check(spk_alloc_array(g->module->n_nodes, sizeof *sum, &sum), d);
    check(rt_reference_engine.create(g->module, d, &e), d);
    struct engine_stats stats = {.sum = sum};
    struct engine_run r = {.input = {g->n_images, g->image, g->image_stride}, .stats = &stats};
    check(rt_reference_engine.run(e, &r, d), d);
    paper_energy_rates(g->module, sum, g->n_images, rate);
    rt_reference_engine.destroy(e);
    spk_free(sum);
}

/* The manifest's rates, by name; everything else unknown. */
static void declared(const struct golden_case *g, double *rate, struct diag_list *d)
{
    struct json_cursor root = js_root(g->manifest, g->folder, d), rates, item;
    void *iterator = NULL;

    for (uint32_t i = 0; i < g->module->n_nodes; i++)
        rate[i] = (double)NAN;
    check(js_member(&root, "rates", &rates), d);
    while (js_next_member(&rates, &iterator, &item)) {
        uint32_t node = ir_find_value(g->module, item.key);

        assert_int_not_equal(node, IR_NONE);
        check(js_f64(&item, &rate[node]), d);
    }
}

static void all_manifests(void **state)
{
    struct diag_list d;
    struct file_names names = {0};
    uint32_t runs = 0, rates = 0;

    (void)state;
    diag_init(&d);
    check(golden_list(&d, &names), &d);
    for (size_t i = 0; i < names.len; i++) {
        struct golden_case g;
        double *rate = NULL;

        check(golden_open(names.data[i], &d, &g), &d);
        check(spk_alloc_array(g.module->n_nodes, sizeof *rate, &rate), &d);
        if (g.weights && g.input) {
            measured(&g, rate, &d);
            check_energy(&g, rate, &d);
            runs++;
        }
        declared(&g, rate, &d);
        if (!g.config.v1 && !g.config.events) {
            check_energy(&g, rate, &d);
            rates++;
        } else {
            /* A pooled value or the input is not among the rates: no figure. */
            struct paper_energy p;

            check(paper_energy_compute(g.module, rate, &d, &p), &d);
            assert_int_not_equal(p.first_unknown, IR_NONE);
            assert_true(isnan(p.energy_mj));
            paper_energy_fini(&p);
        }
        spk_free(rate);
        golden_close(&g);
    }
    assert_true(runs >= 10 && rates >= 7);
    file_names_fini(&names);
    diag_fini(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_manifests)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
