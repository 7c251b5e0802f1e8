/* The zoo against the golden cases: names, order and shapes of all recorded values, names and
 * shapes of all weights, parameter counts of the published sizes, and the canonical form of the
 * files. */
#include "unit.h"

#include "config.h"
#include "frontend/model.h"
#include "support/file.h"
#include "support/json.h"
#include "support/safetensors.h"

#define GOLDEN SPIKEC_TEST_DATA_DIR "/golden/"

/* ---- from a manifest to a zoo model and its settings ---- */

struct config {
    char text[12][32];
    struct fe_setting sets[12];
    uint32_t n;
    const char *model;
};

static void set_u32(struct config *c, const char *name, const struct json_cursor *from,
                    const char *key)
{
    uint32_t value;
    assert_ok(js_get_u32(from, key, UINT32_MAX, &value));
    (void)snprintf(c->text[c->n], sizeof c->text[c->n], "%u", value);
    c->sets[c->n] = (struct fe_setting){name, c->text[c->n]};
    c->n++;
}

static void read_config(const struct json_cursor *root, struct config *c)
{
    static const char *const names[][2] = {
        {"in_channels", "in_ch"},   {"dim", "dim"},     {"depth", "depth"},    {"heads", "heads"},
        {"mlp_ratio", "mlp_ratio"}, {"timesteps", "T"}, {"classes", "classes"}};
    struct json_cursor config, img, size;
    const char *variant, *mode, *lin;
    double scale;
    *c = (struct config){.n = 0};
    assert_ok(js_member(root, "config", &config));
    assert_ok(js_get_string(&config, "variant", &variant));
    assert_ok(js_get_string(&config, "input_mode", &mode));
    assert_ok(js_get_string(&config, "lin", &lin));
    bool events = strcmp(mode, "events") == 0;
    if (strcmp(variant, "v2") == 0)
        c->model = events ? "spikformer_v2_events" : "spikformer_v2";
    else
        c->model = strcmp(lin, "linear") == 0 ? "spikformer_v1_cifar10"
                   : events                   ? "spikformer_v1_cifar10dvs"
                                              : "spikformer_v1_imagenet";
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        set_u32(c, names[i][0], &config, names[i][1]);
    assert_ok(js_member(&config, "img", &img));
    for (uint32_t i = 0; i < 2; i++) {
        int64_t value;
        assert_ok(js_element(&img, i, &size));
        assert_ok(js_i64(&size, 1, 10000, &value));
        (void)snprintf(c->text[c->n], sizeof c->text[c->n], "%d", (int)value);
        c->sets[c->n] = (struct fe_setting){i ? "width" : "height", c->text[c->n]};
        c->n++;
    }
    assert_ok(js_get_f64(&config, "attn_scale", &scale));
    (void)snprintf(c->text[c->n], sizeof c->text[c->n], "%.9g", scale);
    c->sets[c->n] = (struct fe_setting){"attn_scale", c->text[c->n]};
    c->n++;
}

static struct ir_module *load(const char *model, const struct fe_setting *sets, uint32_t n)
{
    struct diag_list d;
    struct ir_module *m = NULL;
    diag_init(&d);
    spk_status status = fe_model_load(model, sets, n, NULL, 0, &d, &m);
    if (status != SPK_OK) {
        char *text = unit_diag_text(&d);
        fail_msg("%s: %s", model, text);
    }
    assert_int_equal(d.items.len, 0);
    diag_fini(&d);
    return m;
}

/* ---- comparisons ---- */

/* [T, 1, axes...] of a value as in the golden tensors. */
static uint32_t golden_shape(const struct ir_type *t, uint64_t *shape)
{
    uint32_t n = 0;
    shape[n++] = t->timesteps;
    shape[n++] = 1;
    shape[n++] = t->layout == IR_NC ? t->width : t->channels;
    if (t->layout == IR_CHW)
        shape[n++] = t->height;
    shape[n++] = t->layout == IR_NC ? t->channels : t->width;
    return n;
}

/* Recorded values are those of `order`, in that order, with the shapes of `layers`. */
static void check_values(const struct ir_module *m, const struct json_cursor *root)
{
    struct json_cursor order, layers, item;
    size_t n, seen = 0;
    assert_ok(js_member(root, "order", &order));
    assert_ok(js_member(root, "layers", &layers));
    assert_ok(js_array_length(&order, &n));
    for (uint32_t i = 0; i < m->n_nodes; i++) {
        const struct ir_node *node = &m->node[i];
        const char *name;
        struct json_cursor layer, shape, axis;
        uint64_t expected[8];
        size_t rank;
        if (!node->recorded)
            continue;
        assert_true(seen < n);
        assert_ok(js_element(&order, seen++, &item));
        assert_ok(js_string(&item, &name));
        assert_string_equal(node->name, name);
        assert_ok(js_member(&layers, name, &layer));
        assert_ok(js_member(&layer, "shape", &shape));
        assert_ok(js_array_length(&shape, &rank));
        assert_int_equal(rank, golden_shape(&node->type, expected));
        for (size_t k = 0; k < rank; k++) {
            int64_t value;
            if (k == 1)
                continue; /* images in the case */
            assert_ok(js_element(&shape, k, &axis));
            assert_ok(js_i64(&axis, 1, INT32_MAX, &value));
            assert_int_equal((uint64_t)value, expected[k]);
        }
    }
    assert_int_equal(seen, n);
}

static bool ends_with(const char *text, const char *suffix)
{
    size_t n = strlen(text), k = strlen(suffix);
    return n >= k && strcmp(text + n - k, suffix) == 0;
}

/* Every tensor of the checkpoint is a param of its shape (trailing ones aside), and no more. */
static void check_weights(const struct ir_module *m, const char *path)
{
    struct st_file *file = NULL;
    uint32_t bound = 0;
    assert_ok(st_open(path, NULL, &file));
    for (size_t i = 0; i < st_count(file); i++) {
        const struct st_tensor *t = st_at(file, i);
        if (ends_with(t->name, ".num_batches_tracked"))
            continue;
        uint32_t id = ir_find_param(m, t->name);
        if (id == IR_NONE)
            fail_msg("%s: no param for %s", path, t->name);
        const struct ir_param *p = &m->param[id];
        uint32_t rank = t->rank;
        while (rank > p->rank && t->shape[rank - 1] == 1)
            rank--;
        assert_int_equal(rank, p->rank);
        for (uint32_t k = 0; k < rank; k++)
            assert_int_equal(t->shape[k], p->dim[k]);
        bound++;
    }
    assert_int_equal(bound, m->n_params);
    st_close(file);
}

static uint64_t trainable(const struct ir_module *m)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < m->n_params; i++) {
        if (!strstr(m->param[i].name, ".running_"))
            n += ir_param_elements(&m->param[i]);
    }
    return n;
}

static void check_case(const char *name)
{
    char path[512];
    struct json_value *manifest;
    struct config config;
    int64_t params;
    (void)snprintf(path, sizeof path, GOLDEN "%s/manifest.json", name);
    assert_ok(js_parse_file(path, NULL, NULL, &manifest));
    struct json_cursor root = js_root(manifest, path, NULL);
    read_config(&root, &config);
    struct ir_module *m = load(config.model, config.sets, config.n);
    check_values(m, &root);
    assert_ok(js_get_i64(&root, "params", 1, INT64_MAX, &params));
    assert_int_equal(trainable(m), params);
    (void)snprintf(path, sizeof path, GOLDEN "%s/weights.safetensors", name);
    if (file_exists(path))
        check_weights(m, path);
    else
        assert_true(strncmp(name, "v2-8-512", 8) == 0 || strncmp(name, "v2-small", 8) == 0);
    assert_int_equal(m->stage, IR_STAGE_MODEL);
    ir_module_destroy(m);
    js_free(manifest);
}

static void test_golden_names_and_shapes(void **state)
{
    (void)state;
    struct file_names names;
    size_t cases = 0;
    assert_ok(file_list(SPIKEC_TEST_DATA_DIR "/golden", "", NULL, &names));
    for (size_t i = 0; i < names.len; i++) {
        if (ends_with(names.data[i], ".md"))
            continue;
        check_case(names.data[i]);
        cases++;
    }
    assert_int_equal(cases, 12);
    file_names_fini(&names);
}

/* Published sizes (docs and model cards of the authors). */
static void test_parameter_counts(void **state)
{
    (void)state;
    static const struct {
        const char *model;
        struct fe_setting sets[3];
        uint32_t n;
        uint64_t params;
    } sizes[] = {
        {"spikformer_v2", {{"dim", "384"}}, 1, 29111272},
        {"spikformer_v2", {{0}}, 0, 51545064},
        {"spikformer_v2", {{"dim", "768"}, {"heads", "12"}}, 2, 115508200},
        {"spikformer_v2", {{"dim", "768"}, {"heads", "12"}, {"depth", "16"}}, 3, 172278760},
        {"spikformer_v1_imagenet", {{"dim", "384"}}, 1, 16816024},
        {"spikformer_v1_imagenet", {{0}}, 0, 29689384},
        {"spikformer_v1_imagenet", {{"dim", "768"}, {"heads", "12"}}, 2, 66338632},
        {"spikformer_v1_cifar10", {{0}}, 0, 9324730},
        {"spikformer_v1_cifar10dvs", {{0}}, 0, 2566666},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct ir_module *m = load(sizes[i].model, sizes[i].sets, sizes[i].n);
        assert_int_equal(trainable(m), sizes[i].params);
        ir_module_destroy(m);
    }
}

static void test_program_of_lif(void **state)
{
    (void)state;
    static const enum ir_eq_code expected[] = {IR_EQ_STATE, IR_EQ_INPUT, IR_EQ_STATE, IR_EQ_SUB,
                                               IR_EQ_CONST, IR_EQ_DIV,   IR_EQ_ADD};
    struct ir_module *m = load("spikformer_v2", NULL, 0);
    assert_int_equal(m->n_neurons, 2); /* thresholds 1 and, behind the attention, 0.5 */
    for (uint32_t i = 0; i < m->n_neurons; i++) {
        const struct ir_neuron *n = &m->neuron[i];
        struct ir_lif lif;
        assert_int_equal(n->charge[0].n, 7);
        for (uint32_t k = 0; k < 7; k++)
            assert_int_equal(n->charge[0].code[k].code, expected[k]);
        assert_true(n->charge[0].code[4].k == 2.0f);
        assert_true(ir_neuron_as_lif(n, &lif));
        assert_true(lif.retain == 0.5 && lif.gain == 0.5 && lif.v_reset == 0.0);
        assert_true(lif.v_th == (i ? 0.5 : 1.0) && !lif.soft_reset && lif.cmp == IR_CMP_GE);
    }
    assert_true(m->declared_rate > 0.0f);
    ir_module_destroy(m);
}

static void test_fashion(void **state)
{
    (void)state;
    struct fe_model model;
    assert_ok(fe_model_open("spikformer_v2_fashion", NULL, NULL, &model));
    const struct ir_node *in = &model.module->node[0];
    assert_int_equal(in->op, IR_OP_INPUT);
    assert_true(in->a.input.normalise && in->a.input.n_norm == 1);
    assert_true(in->a.input.mean[0] == 0.2860f && in->a.input.std[0] == 0.3530f);
    assert_int_equal(in->type.height, 28);
    assert_true(ir_find_value(model.module, "patch_embed.stage1.block0.lif2") != IR_NONE);
    assert_true(ir_find_value(model.module, "patch_embed.stage2.down_lif") == IR_NONE);
    assert_true(ends_with(model.path, "/spikformer_v2_fashion.spk"));
    assert_true(ends_with(model.weights, "/spikformer_v2_fashion.safetensors"));
    if (file_exists(model.weights))
        check_weights(model.module, model.weights);
    fe_model_fini(&model);
}

static void check_formatted(const char *folder)
{
    struct file_names names;
    assert_ok(file_list(folder, ".spk", NULL, &names));
    assert_true(names.len > 0);
    for (size_t i = 0; i < names.len; i++) {
        char *path = path_join(folder, names.data[i]), *text;
        struct strbuf out = {0};
        size_t n;
        assert_ok(file_read(path, 0, NULL, &text, &n));
        assert_ok(fe_format(path, text, n, NULL, &out));
        assert_string_equal(strbuf_cstr(&out), text);
        strbuf_fini(&out);
        spk_free(text);
        spk_free(path);
    }
    file_names_fini(&names);
}

static void test_zoo_is_formatted(void **state)
{
    (void)state;
    check_formatted(SPIKEC_SOURCE_MODELS_DIR);
    check_formatted(SPIKEC_SOURCE_MODELS_DIR "/blocks");
}

static void test_every_zoo_model_has_the_common_parameters(void **state)
{
    (void)state;
    static const char *const names[] = {"height",  "width",     "in_channels", "dim",
                                        "depth",   "heads",     "mlp_ratio",   "timesteps",
                                        "classes", "attn_scale"};
    struct fe_model_names zoo;
    assert_ok(fe_model_list(NULL, 0, NULL, &zoo));
    assert_true(zoo.n >= 6);
    for (uint32_t i = 0; i < zoo.n; i++) {
        struct fe_param_list list;
        assert_ok(fe_model_params(zoo.name[i], NULL, &list));
        assert_string_equal(list.model, zoo.name[i]);
        /* Autoencoders have no classes; parameters of their own stand behind the common ones. */
        const bool classes = strstr(zoo.name[i], "_mae") == NULL;
        for (uint32_t k = 0, at = 0; k < sizeof names / sizeof names[0]; k++) {
            if (k == 8 && !classes)
                continue;
            assert_in_range(at, 0, list.n - 1);
            assert_string_equal(list.param[at].name, names[k]);
            assert_int_equal(list.param[at].type, k == 9 ? FE_PARAM_FLOAT : FE_PARAM_INT);
            at++;
        }
        fe_param_list_fini(&list);
        struct ir_module *m = load(zoo.name[i], NULL, 0); /* the defaults fit */
        ir_module_destroy(m);
    }
    fe_model_names_fini(&zoo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_names_and_shapes),
        cmocka_unit_test(test_parameter_counts),
        cmocka_unit_test(test_program_of_lif),
        cmocka_unit_test(test_fashion),
        cmocka_unit_test(test_zoo_is_formatted),
        cmocka_unit_test(test_every_zoo_model_has_the_common_parameters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
