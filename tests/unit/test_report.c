/* The reader of a compiled folder for reports: what it takes over, how it colours, and that it and
 * both writers come back cleanly from every allocation that fails. */
#include <math.h>
#include <string.h>

#include "backends/report/report.h"
#include "config.h"
#include "frontend/target_yaml.h"
#include "support/fault.h"
#include "tests/unit/unit.h"

static const char MAPPING[] =
    "{\"schema\":2,\"target\":\"loihi1\",\"system\":\"s\",\"timesteps\":4,"
    "\"mesh\":{\"chips\":[2,1],\"cores\":[16,8],\"router\":[2,2]},"
    "\"constraints\":{\"forbid\":[{\"x\":[2,3],\"reserved\":false},{\"chip\":[1,1],\"y\":[0,0],"
    "\"reserved\":true}],\"pin\":[{\"layer\":\"stem.*\",\"part\":null,\"x\":[0,3]},"
    "{\"layer\":\"*\",\"part\":0,\"chip\":null}]},"
    "\"provenance\":{\"model\":\"m<&>.spk\"},\"layers\":["
    "{\"name\":\"stem.a\",\"kind\":\"neuron\",\"channels\":4,\"height\":2,\"width\":2,"
    "\"start_step\":0,\"rate\":0.5,\"sources\":[]},"
    "{\"name\":\"block.0.b\",\"kind\":\"neuron\",\"channels\":2,\"height\":1,\"width\":4,"
    "\"start_step\":1,\"rate\":0.25,\"sources\":[{\"name\":\"stem.a\",\"delay\":3}]},"
    "{\"name\":\"relay.0\",\"kind\":\"relay\",\"channels\":2,\"height\":1,\"width\":4,"
    "\"start_step\":2,\"rate\":0.25,\"sources\":[{\"name\":\"block.0.b\",\"delay\":0}]}],"
    "\"cores\":[{\"id\":0,\"chip\":0,\"x\":3,\"y\":1,\"tiles\":[0]},"
    "{\"id\":1,\"chip\":1,\"x\":0,\"y\":7,\"tiles\":[2,1]}],"
    "\"tiles\":["
    "{\"id\":0,\"core\":0,\"layer\":\"stem.a\",\"rows\":[0,2],\"columns\":[0,2],"
    "\"channels\":[0,4]},"
    "{\"id\":1,\"core\":1,\"layer\":\"block.0.b\",\"rows\":[0,1],\"columns\":[0,4],"
    "\"channels\":[0,2]},"
    "{\"id\":2,\"core\":1,\"layer\":\"relay.0\",\"rows\":[0,1],\"columns\":[0,4],"
    "\"channels\":[0,2]}]}";

#define USAGE(neurons)                                                                           \
    "\"neurons\":" neurons ",\"in_axons\":1,\"out_axons\":2,\"synapse_bits\":64,\"synapses\":8," \
    "\"predicted\":{\"synaptic_events\":10.5,\"energy_priced_pj\":7.5,\"messages\":3.0}"
#define CORE(neurons)                                                                      \
    "{\"class\":\"neurons\",\"neurons_limit\":1024,\"synapse_bits_limit\":1048576," USAGE( \
        neurons) "}"
static const char COST[] = "{\"images\":0,\"timesteps\":4,\"chips\":[{\"id\":0,\"cores\":1," USAGE(
    "16") "},"
          "{\"id\":1,\"cores\":1," USAGE("16") "}],\"totals\":{" USAGE(
              "32") "},\"layers\":["
                    "{\"name\":\"relay.0\",\"cores\":1,\"guest_cores\":0," USAGE(
                        "8") "},"
                             "{\"name\":\"stem.a\",\"cores\":1,\"guest_cores\":0," USAGE(
                                 "16") "}],"
                                       "\"links\":{\"columns\":16,\"rows\":4,\"loads\":[[1,0,2.5,0,"
                                       "0,0]]},"
                                       "\"cores\":[" CORE("16") "," CORE("16") "]}";

struct fixture {
    struct diag_list d;
    struct tgt *target;
    struct json_value *mapping, *cost;
};

static void fixture_init(struct fixture *x)
{
    diag_init(&x->d);
    assert_int_equal(fe_target_load(SPIKEC_SOURCE_TARGETS_DIR "/loihi1.yaml", &x->d, &x->target),
                     SPK_OK);
    assert_int_equal(js_parse(MAPPING, strlen(MAPPING), "mapping", NULL, &x->d, &x->mapping),
                     SPK_OK);
    assert_int_equal(js_parse(COST, strlen(COST), "cost", NULL, &x->d, &x->cost), SPK_OK);
}

static void fixture_fini(struct fixture *x)
{
    js_free(x->mapping);
    js_free(x->cost);
    tgt_destroy(x->target);
    diag_fini(&x->d);
}

static spk_status read_folder(struct fixture *x, struct rep_folder *f)
{
    const struct json_cursor mapping = js_root(x->mapping, "mapping", &x->d);
    const struct json_cursor cost = js_root(x->cost, "cost", &x->d);
    return rep_folder_read(&mapping, &cost, NULL, x->target, f);
}

static void test_read(void **state)
{
    struct fixture x;
    struct rep_folder f;
    (void)state;
    fixture_init(&x);
    assert_int_equal(read_folder(&x, &f), SPK_OK);
    assert_int_equal(f.n_layers, 3);
    assert_int_equal(f.n_cores, 2);
    assert_int_equal(f.layer[1].n_sources, 1);
    assert_int_equal(f.source[f.layer[1].source_first].layer, 0);
    assert_int_equal(f.source[f.layer[1].source_first].delay, 3);
    assert_int_equal(f.core[1].n_tiles, 2);
    assert_int_equal(f.tile[f.core_tile[f.core[1].tile_first]].layer, 2);
    assert_true(f.layer[0].figure[REP_NEURONS] == 16);
    assert_true(isnan(f.layer[1].figure[REP_NEURONS])); /* not in cost.json */
    assert_true(f.core_figure[REP_FIGURES + REP_EVENTS] == 10.5);
    assert_true(f.core_figure[REP_ENERGY] == 7.5);
    assert_true(isnan(f.core_figure[REP_BUSY]));
    assert_true(f.limit[0][REP_NEURONS] == 1024);
    assert_true(isnan(f.limit[0][REP_IN_AXONS]));
    assert_int_equal(f.n_links, 1);
    assert_true(f.link[0].load[0] == 2.5);
    /* two columns of eight rows on two chips; a row of sixteen, of which two are forbidden already
     */
    assert_int_equal(f.marks.places.len, 2 * 16 + 14);
    assert_int_equal(f.marks.places.data[16].chip, 1);
    assert_int_equal(f.marks.places.data[16].forbid, 1);
    assert_int_equal(f.marks.places.data[18].forbid, 0);
    assert_int_equal(f.marks.pinned.len, 3); /* core 0 by both, core 1 by the second */
    assert_int_equal(f.marks.pinned.data[1].core, 0);
    assert_int_equal(f.marks.pinned.data[1].pin, 1);
    assert_int_equal(f.marks.pinned.data[2].core, 1);
    rep_folder_fini(&f);
    fixture_fini(&x);
}

static void test_colours(void **state)
{
    struct fixture x;
    struct rep_folder f;
    (void)state;
    fixture_init(&x);
    assert_int_equal(read_folder(&x, &f), SPK_OK);
    assert_int_equal(f.n_groups, 3);
    assert_string_equal(f.group[f.layer[0].group], "stem");
    assert_string_equal(f.group[f.layer[1].group], "block.0");
    assert_string_equal(f.group[f.layer[2].group], "relays");
    assert_true(f.layer[0].colour != f.layer[1].colour);
    const uint32_t grey = f.layer[2].colour;
    assert_true((grey >> 16) - (grey & 255u) + 16 < 32); /* red and blue nearly equal */
    assert_int_equal(rep_scale_colour(-1), rep_scale_stop[0]);
    assert_int_equal(rep_scale_colour((double)NAN), rep_scale_stop[0]);
    assert_int_equal(rep_scale_colour(2), rep_scale_stop[REP_SCALE_STOPS - 1]);
    assert_int_equal(rep_scale_colour(0.5), rep_scale_stop[5]);
    rep_folder_fini(&f);
    fixture_fini(&x);
}

static spk_status all(struct fixture *x, struct strbuf *page, struct strbuf *svg)
{
    const struct floorplan_options options[2] = {{-1, "layer", -1}, {REP_EVENTS, "events", 1}};
    struct rep_folder f;
    spk_status status = read_folder(x, &f);
    if (status == SPK_OK)
        status = report_html(&f, NULL, NULL, page);
    for (int i = 0; i < 2 && status == SPK_OK; i++)
        status = floorplan_svg(&f, &options[i], svg);
    rep_folder_fini(&f);
    return status;
}

static void test_out_of_memory(void **state)
{
    struct fixture x;
    struct strbuf page = {0}, svg = {0};
    (void)state;
    if (!spk_fault_available())
        skip();
    fixture_init(&x);
    uint64_t n = 1;
    for (;; n++) {
        strbuf_fini(&page);
        strbuf_fini(&svg);
        spk_fault_arm(SPK_FAULT_ALLOC, n);
        const spk_status status = all(&x, &page, &svg);
        if (!spk_fault_disarm(SPK_FAULT_ALLOC))
            break;
        assert_int_equal(status, SPK_ERR_NOMEM);
    }
    assert_true(n > 20);
    assert_non_null(strstr(strbuf_cstr(&page), "m\\u003c&>.spk"));
    assert_non_null(strstr(strbuf_cstr(&svg), "m&lt;&amp;&gt; on loihi1"));
    strbuf_fini(&page);
    strbuf_fini(&svg);
    fixture_fini(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_colours),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
