/* The shipped targets: they load, hold the published numbers, print and convert to JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config.h"
#include "frontend/target_fields.h"
#include "frontend/target_yaml.h"
#include "support/alloc.h"
#include "support/fault.h"
#include "support/json.h"

static struct tgt *load(const char *name)
{
    struct diag_list diags;
    struct strbuf text = {0};
    struct tgt *t = NULL;
    diag_init(&diags);
    spk_status status = fe_target_load(name, &diags, &t);
    diag_render(&diags, NULL, &text);
    assert_string_equal(strbuf_cstr(&text), "");
    assert_int_equal(status, SPK_OK);
    strbuf_fini(&text);
    diag_fini(&diags);
    return t;
}

static void loihi1_numbers(void **state)
{
    (void)state;
    struct tgt *t = load("loihi1");
    assert_string_equal(t->name, "loihi1");
    assert_int_equal(tgt_limit_value(t, TGT_NEURONS), 1024);
    assert_int_equal(tgt_limit_value(t, TGT_SYNAPSE_BITS), 1048576);
    assert_int_equal(tgt_limit_value(t, TGT_IN_AXONS), 4096);
    assert_int_equal(tgt_limit_value(t, TGT_OUT_AXONS), 4096);
    assert_int_equal(tgt_limit_value(t, TGT_CONFIGS), 16);
    assert_int_equal(tgt_limit_value(t, TGT_SYNAPSE_FORMATS), 16);
    assert_int_equal(tgt_limit_value(t, TGT_DELAY), 7);
    assert_int_equal(tgt_limit_value(t, TGT_AXON_BASE), 255);
    assert_int_equal(tgt_limit_value(t, TGT_ATOMS), 512);
    assert_int_equal(tgt_limit_value(t, TGT_EMBEDDED_PER_CHIP), 3);
    assert_int_equal(t->arith.neuron, TGT_NEURON_FIXED);
    assert_int_equal(t->arith.state_bits, 24);
    assert_int_equal(t->arith.weight_bits, 8);
    assert_true(t->arith.weight_even);
    assert_int_equal(t->arith.current_shift, 6);
    assert_int_equal(t->arith.weight_exp_min, 0);
    assert_int_equal(t->arith.weight_exp_max, 7);
    assert_int_equal(t->arith.threshold_shift, 6);
    assert_int_equal(t->arith.threshold_mant_bits, 17);
    assert_int_equal(t->arith.bias_mant_bits, 13);
    assert_int_equal(t->arith.bias_exp_max, 7);
    assert_int_equal(t->arith.decay_max, 4095);
    assert_int_equal(t->arith.payload_bits, 0);
    assert_false(t->arith.two_ports);
    assert_int_equal(t->arith.embedded_latency, 2);
    assert_int_equal(t->sharing, TGT_SHARE_POPULATION);
    assert_true(t->axon_discrete && t->axon_population);
    assert_int_equal(t->attention, TGT_ATTN_AND_LIF | TGT_ATTN_EMBEDDED);
    assert_int_equal(t->cores_x, 16);
    assert_int_equal(t->cores_y, 8);
    assert_int_equal(t->tile_w, 2);
    assert_int_equal(t->tile_h, 2);
    assert_int_equal(t->cores_per_chip, 128);
    assert_int_equal(t->n_systems, 4);
    assert_string_equal(t->system[3].name, "pohoiki-springs");
    assert_int_equal(t->system[3].chips_x * t->system[3].chips_y, 768);
    assert_true(t->system[3].barrier_ns.present);
    assert_false(t->system[0].barrier_ns.present);
    /* A row of 64 dense 8-bit synapses takes 576 bits, a sparse one with 10 index bits 1216. */
    assert_int_equal(tgt_row_bits(&t->format, 64, 8, 0, 0), 576);
    assert_int_equal(tgt_row_bits(&t->format, 64, 8, 0, 10), 1216);
    tgt_destroy(t);
}

static void loihi1_prices(void **state)
{
    (void)state;
    struct tgt *t = load("loihi1");
    static const struct {
        enum tgt_energy e;
        double pj;
    } priced[] = {{TGT_E_SYNAPTIC_OP, 23.6},   {TGT_E_NEURON_ACTIVE, 81},
                  {TGT_E_NEURON_INACTIVE, 52}, {TGT_E_SPIKE_WITHIN_TILE, 1.7},
                  {TGT_E_HOP_X, 3.0},          {TGT_E_HOP_Y, 4.0}};
    for (size_t i = 0; i < sizeof priced / sizeof priced[0]; i++) {
        assert_true(t->energy_pj[priced[i].e].present);
        assert_true(t->energy_pj[priced[i].e].value == priced[i].pj);
        assert_int_equal(t->energy_pj[priced[i].e].basis, TGT_SIMULATED);
    }
    assert_false(t->energy_pj[TGT_E_HOP_CHIP].present);
    assert_false(t->energy_pj[TGT_E_HOST_WRITE].present);
    assert_false(t->energy_pj[TGT_E_EMBEDDED_OP].present);
    assert_false(t->energy_pj[TGT_E_MESSAGE_OUT].present);
    assert_true(t->time_ns[TGT_T_BARRIER_MIN].value == 113.0);
    assert_true(t->time_ns[TGT_T_BARRIER_MAX].value == 465.0);
    assert_true(t->time_ns[TGT_T_HOP_Y].value == 6.5);
    assert_true(t->static_mw.present);
    tgt_destroy(t);
}

static void loihi2_numbers(void **state)
{
    (void)state;
    struct tgt *t = load("loihi2");
    assert_int_equal(tgt_limit_value(t, TGT_NEURONS), 8192);
    assert_int_equal(tgt_limit_value(t, TGT_IN_AXONS), 4096);
    assert_int_equal(t->limit[TGT_IN_AXONS].basis, TGT_ASSUMED);
    assert_true(tgt_limit_value(t, TGT_CONFIGS) == UINT64_MAX);
    assert_true(tgt_limit_value(t, TGT_AXON_BASE) == UINT64_MAX);
    assert_int_equal(t->arith.neuron, TGT_NEURON_PROGRAMMABLE);
    assert_int_equal(t->arith.payload_bits, 24);
    assert_true(t->arith.two_ports);
    assert_false(t->arith.weight_even);
    assert_int_equal(t->arith.decay_max, 4096);
    assert_int_equal(t->sharing, TGT_SHARE_CONVOLUTION);
    assert_int_equal(t->attention, TGT_ATTN_AND_LIF | TGT_ATTN_EMBEDDED | TGT_ATTN_PRODUCT |
                                       TGT_ATTN_SERIAL | TGT_ATTN_PLASTIC);
    assert_int_equal(t->arith.plastic_bits, 8);
    assert_int_equal(t->arith.plastic_tag_bits, 0);
    assert_int_equal(t->engine.per_chip, 0);
    assert_int_equal(t->cores_x * t->cores_y, 128);
    assert_int_equal(t->cores_per_chip, 122);
    assert_int_equal(t->n_systems, 3);
    assert_int_equal(t->system[2].chips_x * t->system[2].chips_y, 1152);
    for (int i = 0; i < TGT_ENERGY_COUNT; i++)
        assert_false(t->energy_pj[i].present);
    for (int i = 0; i < TGT_TIME_COUNT; i++)
        assert_false(t->time_ns[i].present);
    tgt_destroy(t);
}

/* The YAML keys of the three enum sections are the names that ir/target.h gives. */
static void keys_are_the_names(void **state)
{
    (void)state;
    uint32_t limits = 0, energies = 0, times = 0;
    for (uint32_t i = 0; i < tf_n_fields; i++) {
        const struct tf_field *f = &tf_fields[i];
        if (strcmp(f->section, "limits") == 0)
            assert_string_equal(f->key, tgt_limit_name((enum tgt_limit)limits++));
        if (strcmp(f->section, "energy") == 0)
            assert_string_equal(f->key, tgt_energy_name((enum tgt_energy)energies++));
        if (strcmp(f->section, "time") == 0)
            assert_string_equal(f->key, tgt_time_name((enum tgt_time)times++));
        if (strcmp(f->key, "lowerings") == 0) {
            for (uint32_t w = 0; w < f->n_words; w++)
                assert_string_equal(f->words[w], tgt_attention_name((enum tgt_attention)(1u << w)));
        }
    }
    assert_int_equal(limits, TGT_LIMIT_COUNT);
    assert_int_equal(energies, TGT_ENERGY_COUNT);
    assert_int_equal(times, TGT_TIME_COUNT);
}

static void every_fact_has_a_source(void **state)
{
    (void)state;
    static const char *const names[] = {"engine-mesh", "loihi1", "loihi2"};
    for (int n = 0; n < 2; n++) {
        struct tgt *t = load(names[n]);
        assert_true(t->n_facts > 30);
        for (uint32_t i = 0; i < t->n_facts; i++) {
            assert_true(t->fact[i].constant.present);
            assert_true(strlen(t->fact[i].constant.source) > 3);
            assert_true(t->fact[i].text[0] != 0);
        }
        tgt_destroy(t);
    }
}

static void printed(void **state)
{
    (void)state;
    struct tgt *t = load("loihi1");
    struct strbuf text = {0};
    fe_target_print(t, &text);
    assert_int_equal(text.status, SPK_OK);
    assert_non_null(strstr(strbuf_cstr(&text), "1048576 bits           derived    Davies"));
    assert_non_null(strstr(strbuf_cstr(&text), "host_write                      - pJ"));
    assert_non_null(strstr(strbuf_cstr(&text), "not published"));
    assert_non_null(strstr(strbuf_cstr(&text), "12 x 64 chips"));
    strbuf_fini(&text);
    tgt_destroy(t);
}

static void as_json(void **state)
{
    (void)state;
    struct tgt *t = load("loihi1");
    struct strbuf text = {0};
    struct json_value *tree = NULL;
    struct json_cursor root, section, member;
    int64_t number;
    double real;
    const char *word;
    assert_int_equal(fe_target_json(t, 2, &text), SPK_OK);
    assert_int_equal(js_parse(strbuf_cstr(&text), text.len, "json", NULL, NULL, &tree), SPK_OK);
    root = js_root(tree, "json", NULL);
    assert_int_equal(js_member(&root, "limits", &section), SPK_OK);
    assert_int_equal(js_member(&section, "neurons", &member), SPK_OK);
    assert_int_equal(js_get_i64(&member, "value", 0, 99999, &number), SPK_OK);
    assert_int_equal(number, 1024);
    assert_int_equal(js_get_string(&member, "basis", &word), SPK_OK);
    assert_string_equal(word, "derived");
    assert_int_equal(js_member(&root, "energy", &section), SPK_OK);
    assert_false(js_has(&section, "host_write"));
    assert_int_equal(js_member(&section, "hop_y", &member), SPK_OK);
    assert_int_equal(js_get_f64(&member, "value", &real), SPK_OK);
    assert_true(real == 4.0);
    assert_int_equal(js_get_string(&root, "schema", &word), SPK_OK);
    assert_string_equal(word, "spikec-target-1");
    js_free(tree);
    strbuf_fini(&text);
    tgt_destroy(t);
}

/* The imagined chip: loihi2's neuron cores and a row of engines; nothing published, nothing priced.
 */
static void engine_mesh_numbers(void **state)
{
    (void)state;
    struct tgt *t = load("engine-mesh");
    assert_int_equal(t->attention, 63);
    assert_int_equal(t->engine.per_chip, 8);
    assert_int_equal(t->engine.memory_bits, 1048576);
    assert_int_equal(t->engine.word_bits, 64);
    assert_int_equal(t->engine.ops_per_step, 1766400);
    assert_int_equal(t->engine.latency, 1);
    assert_int_equal(t->cores_x * t->cores_y, 136);
    assert_false(tgt_is_engine(t, 7, 15));
    assert_true(tgt_is_engine(t, 0, 16) && tgt_is_engine(t, 7, 16));
    assert_int_equal(tgt_core_limit(t, TGT_NEURONS, false), 8192);
    assert_int_equal(tgt_core_limit(t, TGT_NEURONS, true), 1048576 / 24);
    assert_int_equal(tgt_core_limit(t, TGT_SYNAPSE_BITS, true), 1048576);
    assert_int_equal(tgt_core_limit(t, TGT_IN_AXONS, true), 4096);
    for (uint32_t i = 0; i < t->n_facts; i++)
        assert_int_equal(t->fact[i].constant.basis, TGT_ASSUMED);
    for (int e = 0; e < TGT_ENERGY_COUNT; e++)
        assert_false(t->energy_pj[e].present);
    tgt_destroy(t);
}

static void listed_and_found(void **state)
{
    (void)state;
    struct file_names names;
    bool seen[2] = {false, false};
    assert_int_equal(fe_target_list(NULL, &names), SPK_OK);
    for (size_t i = 0; i < names.len; i++) {
        seen[0] |= strcmp(names.data[i], "loihi1") == 0;
        seen[1] |= strcmp(names.data[i], "loihi2") == 0;
        assert_true(i == 0 || strcmp(names.data[i - 1], names.data[i]) < 0);
    }
    assert_true(seen[0] && seen[1]);
    file_names_fini(&names);
    tgt_destroy(load(SPIKEC_SOURCE_TARGETS_DIR "/loihi1.yaml"));
}

static void own_folder_comes_first(void **state)
{
    (void)state;
    struct diag_list diags;
    struct strbuf text = {0};
    struct tgt *t = NULL;
    char *data = NULL;
    size_t size = 0;
    char folder[] = "target_test_XXXXXX";
    assert_non_null(mkdtemp(folder));
    strbuf_printf(&text, "%s/mychip.yaml", folder);
    assert_int_equal(file_read(SPIKEC_SOURCE_TARGETS_DIR "/loihi1.yaml", 0, NULL, &data, &size),
                     SPK_OK);
    assert_int_equal(file_write_all(strbuf_cstr(&text), data, size, NULL), SPK_OK);
    diag_init(&diags);
    assert_int_equal(setenv("SPIKEC_TARGETS", folder, 1), 0);
    /* The file calls itself loihi1. */
    assert_int_equal(fe_target_load("mychip", &diags, &t), SPK_ERR_INPUT);
    assert_int_equal(diags.error_count, 1);
    assert_int_equal(fe_target_load("loihi2", &diags, &t), SPK_OK);
    tgt_destroy(t);
    assert_int_equal(unsetenv("SPIKEC_TARGETS"), 0);
    diag_clear(&diags);
    assert_int_equal(fe_target_load("mychip", &diags, &t), SPK_ERR_INPUT);
    assert_int_equal(fe_target_load("loihi", &diags, &t), SPK_ERR_INPUT);
    struct strbuf shown = {0};
    diag_render(&diags, NULL, &shown);
    assert_non_null(strstr(strbuf_cstr(&shown), "there is no target named 'loihi'"));
    assert_non_null(strstr(strbuf_cstr(&shown), "did you mean 'loihi1'?"));
    assert_int_equal(remove(strbuf_cstr(&text)), 0);
    assert_int_equal(remove(folder), 0);
    assert_int_equal(fe_target_load(strbuf_cstr(&text), &diags, &t), SPK_ERR_IO);
    strbuf_fini(&shown);
    strbuf_fini(&text);
    spk_free(data);
    diag_fini(&diags);
}

/* Every allocation fails once; nothing leaks, the status is out of memory. */
static void out_of_memory(void **state)
{
    (void)state;
    char *data = NULL;
    size_t size = 0;
    if (!spk_fault_available())
        skip();
    assert_int_equal(file_read(SPIKEC_SOURCE_TARGETS_DIR "/loihi2.yaml", 0, NULL, &data, &size),
                     SPK_OK);
    for (uint64_t n = 1;; n++) {
        struct diag_list diags;
        struct tgt *t = NULL;
        diag_init(&diags);
        spk_fault_arm(SPK_FAULT_ALLOC, n);
        spk_status status = fe_target_parse("loihi2.yaml", data, size, &diags, &t);
        bool fired = spk_fault_disarm(SPK_FAULT_ALLOC);
        assert_int_equal(status, fired ? SPK_ERR_NOMEM : SPK_OK);
        tgt_destroy(t);
        diag_fini(&diags);
        if (!fired) {
            assert_true(n > 3);
            break;
        }
    }
    spk_free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loihi1_numbers),
        cmocka_unit_test(loihi1_prices),
        cmocka_unit_test(loihi2_numbers),
        cmocka_unit_test(engine_mesh_numbers),
        cmocka_unit_test(keys_are_the_names),
        cmocka_unit_test(every_fact_has_a_source),
        cmocka_unit_test(printed),
        cmocka_unit_test(as_json),
        cmocka_unit_test(listed_and_found),
        cmocka_unit_test(own_folder_comes_first),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
