/* The objects of the public API: what a model and a mapping tell, levels against each other, owners
 * in any order, several threads, memory that runs out. */
#include <pthread.h>

#include "tests/unit/object_fixture.h"

static spk_context *context(void)
{
    const struct spk_context_options one = {.threads = 1};
    spk_context *c;
    assert_ok(spk_context_create(&one, &c));
    return c;
}

static void test_model(void **state)
{
    spk_context *c = context();
    spk_model *bare, *model = fixture_model(c);
    struct spk_model_info info = {.struct_size = sizeof info};
    struct spk_value value = {.struct_size = sizeof value};
    struct spk_tensor t = {.struct_size = sizeof t};
    spk_result *text;
    uint32_t recorded = 0;
    (void)state;
    assert_ok(spk_model_describe(model, &info));
    assert_true(info.has_weights && !info.framed && !info.normalised);
    assert_string_equal(info.name, "my_model");
    assert_string_equal(info.stage, "model");
    assert_true(info.timesteps == 2 && info.classes == 3);
    assert_true(info.channels == 1 && info.height == 8 && info.width == 8);
    for (uint32_t i = 0; i < info.n_values; i++) {
        assert_ok(spk_model_value(model, i, &value));
        recorded += value.recorded;
        if (value.name != NULL && strcmp(value.name, "block.0.mlp.fc1_lif") == 0)
            assert_true(value.rank == 2 && value.shape[0] == 16 && value.shape[1] == 4 &&
                        value.timesteps == 2);
    }
    assert_int_equal(recorded, 2 + 7 + 2); /* stem, neurons of the block, its two sums */
    assert_ok(spk_model_load(c, &fixture_options, &bare));
    assert_ok(spk_model_parameter(bare, 0, &t));
    assert_null(t.data);
    assert_ok(spk_model_parameter(model, 0, &t));
    assert_non_null(t.data);
    assert_string_equal(t.name, "stem0_conv.weight");
    assert_true(t.rank == 4 && t.shape[0] == 4 && t.shape[1] == 1 && t.size == 4 * 4 * 4);
    assert_ok(spk_model_print(c, model, &text));
    assert_non_null(strstr(spk_result_text(text), "conv2d"));
    spk_result_free(text);
    spk_model_destroy(bare);
    spk_model_destroy(model);
    spk_context_destroy(c);
}

static spk_outputs *run_level(spk_context *c, spk_mapping *m, const char *level)
{
    const struct spk_session_options o = {.struct_size = sizeof o, .level = level};
    const struct spk_tensor input = fixture_input();
    const struct spk_batch b = {.struct_size = sizeof b, .input = &input, .record_all = true};
    spk_session *session;
    spk_outputs *outputs;
    assert_ok(spk_session_create_mapped(c, m, &o, &session));
    assert_ok(spk_session_run(c, session, &b, &outputs));
    spk_session_destroy(session);
    return outputs;
}

/* Q and M agree in every recorded value. */
static void expect_equal(const spk_outputs *a, const spk_outputs *b)
{
    struct spk_tensor x = {.struct_size = sizeof x}, y = {.struct_size = sizeof y};
    unsigned long spikes = 0;
    assert_int_equal(spk_outputs_count(a), spk_outputs_count(b));
    assert_true(spk_outputs_count(a) > 5);
    for (size_t i = 0; i < spk_outputs_count(a); i++) {
        assert_ok(spk_outputs_at(a, i, &x));
        assert_ok(spk_outputs_find(b, x.name, &y));
        assert_true(x.size == y.size && x.rank == y.rank && x.dtype == y.dtype);
        assert_memory_equal(x.data, y.data, x.size);
        for (uint64_t k = 0; k < x.size; k++)
            spikes += ((const uint8_t *)x.data)[k];
    }
    assert_true(spikes > 100);
    assert_ok(spk_outputs_logits(a, &x));
    assert_ok(spk_outputs_logits(b, &y));
    assert_true(x.rank == 2 && x.shape[0] == FIXTURE_IMAGES && x.shape[1] == 3);
    assert_memory_equal(x.data, y.data, x.size);
}

static void test_mapping(void **state)
{
    spk_context *c = context();
    spk_model *model = fixture_model(c);
    spk_mapping *m = fixture_mapping(c, model);
    struct spk_mapping_info info = {.struct_size = sizeof info};
    struct spk_core core = {.struct_size = sizeof core};
    struct spk_tile tile = {.struct_size = sizeof tile};
    struct spk_layer layer = {.struct_size = sizeof layer};
    uint64_t by_core = 0, by_layer = 0, tiles = 0;
    (void)state;
    assert_ok(spk_mapping_describe(m, &info));
    assert_string_equal(info.target, "loihi2");
    for (uint32_t i = 0; i < info.n_cores; i++) {
        assert_ok(spk_mapping_core(m, i, &core));
        assert_true(core.neurons <= core.neurons_limit && core.in_axons <= core.in_axons_limit);
        assert_true(core.synapse_bits <= core.synapse_bits_limit);
        by_core += core.neurons;
        for (uint32_t t = 0; t < core.n_tiles; t++, tiles++) {
            assert_ok(spk_mapping_tile(m, core.first_tile + t, &tile));
            assert_int_equal(tile.core, i);
        }
    }
    assert_int_equal(tiles, info.n_tiles);
    for (uint32_t i = 0; i < info.n_layers; i++) {
        assert_ok(spk_mapping_layer(m, i, &layer));
        by_layer += layer.neurons;
    }
    assert_true(by_core == by_layer && by_core == info.neurons && by_core > 100);
    spk_outputs *q = run_level(c, m, "Q"), *mapped = run_level(c, m, NULL);
    expect_equal(q, mapped);
    spk_outputs_destroy(q);
    spk_outputs_destroy(mapped);
    spk_mapping_destroy(m);
    spk_model_destroy(model);
    spk_context_destroy(c);
}

static void test_results(void **state)
{
    spk_context *c = context();
    spk_model *model = fixture_model(c), *lowered;
    spk_mapping *m = fixture_mapping(c, model);
    const struct spk_tensor input = fixture_input();
    const uint32_t labels[] = {0, 1, 2};
    const struct spk_batch b = {
        .struct_size = sizeof b, .input = &input, .labels = labels, .n_labels = 3};
    struct spk_model_info info = {.struct_size = sizeof info};
    spk_result *r;
    (void)state;
    assert_ok(spk_mapping_verify(c, m, &b, NULL, &r));
    assert_non_null(strstr(spk_result_json(r), "\"mismatches\": 0"));
    assert_non_null(strstr(spk_result_json(r), "top1_mapped"));
    spk_result_free(r);
    assert_ok(spk_mapping_check(c, m, &r));
    assert_non_null(strstr(spk_result_json(r), "\"violations\": 0"));
    spk_result_free(r);
    assert_ok(spk_mapping_cost(c, m, 3, &r));
    assert_non_null(strstr(spk_result_json(r), "\"totals\""));
    spk_result_free(r);
    assert_ok(spk_model_run_passes(c, model, "prepare", NULL, &lowered));
    spk_model_destroy(model);
    assert_ok(spk_model_describe(lowered, &info));
    assert_string_equal(info.stage, "lowered");
    assert_true(info.has_weights);
    spk_model_destroy(lowered);
    spk_mapping_destroy(m);
    spk_context_destroy(c);
}

/* Everything goes before what uses it, the context first; the session still runs. */
static void test_owners(void **state)
{
    spk_context *first = context(), *second;
    spk_model *model = fixture_model(first);
    spk_mapping *m = fixture_mapping(first, model);
    spk_session *mapped, *reference;
    spk_outputs *a, *b;
    const struct spk_tensor input = fixture_input();
    const struct spk_batch batch = {.struct_size = sizeof batch, .input = &input};
    struct spk_tensor x = {.struct_size = sizeof x};
    (void)state;
    assert_ok(spk_session_create_mapped(first, m, NULL, &mapped));
    assert_ok(spk_session_create(first, model, NULL, &reference));
    spk_context_destroy(first);
    spk_model_destroy(model);
    spk_mapping_destroy(m);
    second = context();
    assert_ok(spk_session_run(second, mapped, &batch, &a));
    assert_ok(spk_session_run(second, reference, &batch, &b));
    spk_session_destroy(reference);
    spk_session_destroy(mapped);
    spk_context_destroy(second);
    assert_ok(spk_outputs_logits(a, &x));
    assert_non_null(x.data);
    spk_outputs_destroy(a);
    spk_outputs_destroy(b);
}

/* ---- threads ---- */

struct worker {
    spk_model *model;
    spk_mapping *mapping;
    spk_outputs *outputs;
    int status;
};

static void *work(void *user)
{
    struct worker *w = user;
    const struct spk_context_options two = {.threads = 2};
    const struct spk_tensor input = {.struct_size = sizeof input,
                                     .dtype = SPIKEC_F32,
                                     .rank = 4,
                                     .shape = {FIXTURE_IMAGES, 1, 8, 8},
                                     .data = fixture_pixels,
                                     .size = sizeof fixture_pixels};
    const struct spk_batch b = {.struct_size = sizeof b, .input = &input, .record_all = true};
    spk_context *c;
    spk_session *s = NULL;
    spk_target *t = NULL;
    spk_mapping *own = NULL;
    w->status = spk_context_create(&two, &c);
    if (w->status == SPIKEC_OK)
        w->status = spk_target_load(c, "loihi2", &t);
    if (w->status == SPIKEC_OK)
        w->status = spk_mapping_compile(c, w->model, t, NULL, &own);
    if (w->status == SPIKEC_OK)
        w->status = spk_session_create_mapped(c, w->mapping, NULL, &s);
    if (w->status == SPIKEC_OK)
        w->status = spk_session_run(c, s, &b, &w->outputs);
    spk_mapping_destroy(own);
    spk_target_destroy(t);
    spk_session_destroy(s);
    spk_context_destroy(c);
    return NULL;
}

static void test_threads(void **state)
{
    spk_context *c = context();
    spk_model *model = fixture_model(c);
    spk_mapping *m = fixture_mapping(c, model);
    struct worker workers[4];
    pthread_t threads[4];
    (void)state;
    (void)fixture_input();
    for (int i = 0; i < 4; i++) {
        workers[i] = (struct worker){.model = model, .mapping = m};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_ok(workers[i].status);
        expect_equal(workers[0].outputs, workers[i].outputs);
    }
    for (int i = 0; i < 4; i++)
        spk_outputs_destroy(workers[i].outputs);
    spk_mapping_destroy(m);
    spk_model_destroy(model);
    spk_context_destroy(c);
}

/* ---- memory that runs out ---- */

/* All of it, from loading to a run. */
static int everything(spk_context *c, const spk_weights *weights)
{
    spk_model *bare = NULL, *model = NULL;
    spk_target *target = NULL;
    spk_mapping *m = NULL;
    spk_session *s = NULL;
    spk_outputs *o = NULL;
    spk_weights *copy = NULL;
    const struct spk_tensor input = fixture_input();
    const struct spk_batch b = {.struct_size = sizeof b, .input = &input, .record_all = true};
    int status = spk_weights_create(c, &copy);
    for (size_t i = 0; status == SPIKEC_OK && i < spk_weights_count(weights); i++) {
        struct spk_tensor t = {.struct_size = sizeof t};
        (void)spk_weights_at(weights, i, &t);
        status = spk_weights_add(c, copy, &t);
    }
    if (status == SPIKEC_OK)
        status = spk_model_load(c, &fixture_options, &bare);
    if (status == SPIKEC_OK)
        status = spk_model_with_weights(c, bare, copy, &model);
    if (status == SPIKEC_OK)
        status = spk_target_load(c, "loihi2", &target);
    if (status == SPIKEC_OK)
        status = spk_mapping_compile(c, model, target, NULL, &m);
    if (status == SPIKEC_OK)
        status = spk_session_create_mapped(c, m, NULL, &s);
    if (status == SPIKEC_OK)
        status = spk_session_run(c, s, &b, &o);
    spk_outputs_destroy(o);
    spk_session_destroy(s);
    spk_mapping_destroy(m);
    spk_target_destroy(target);
    spk_model_destroy(model);
    spk_model_destroy(bare);
    spk_weights_destroy(copy);
    return status;
}

/* Every allocation at first, then ever fewer: there are tens of thousands. */
static void test_out_of_memory(void **state)
{
    spk_context *c = context();
    spk_model *bare;
    (void)state;
    assert_ok(spk_model_load(c, &fixture_options, &bare));
    spk_weights *weights = fixture_weights(c, bare);
    spk_model_destroy(bare);
    for (uint64_t n = 1; spk_fault_available(); n += 1 + n / 24) {
        spk_fault_arm(SPK_FAULT_ALLOC, n);
        const int status = everything(c, weights);
        if (!spk_fault_disarm(SPK_FAULT_ALLOC)) {
            assert_ok(status);
            assert_true(n > 500);
            break;
        }
        assert_int_equal(status, SPIKEC_ERR_NOMEM);
    }
    spk_weights_destroy(weights);
    spk_context_destroy(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),   cmocka_unit_test(test_mapping),
        cmocka_unit_test(test_results), cmocka_unit_test(test_owners),
        cmocka_unit_test(test_threads), cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
