/* Probes for the report: both formats give the same, the sample and the core of every neuron are
 * right, and every allocation that fails is told. test_report reads hostile files. */
#include "api/report_probes.h"
#include "support/file.h"
#include "support/safetensors.h"
#include "tests/unit/unit.h"

#define NEURONS 200u
#define IMAGES 40u
#define STEPS 3u

/* A layer of 200 channels on two cores, of which the last 50 channels are on none. */
static struct rep_layer layer = {.name = "a,b", .channels = NEURONS, .height = 1, .width = 2};
static struct rep_tile tiles[2] = {{.core = 7, .range = {0, 1, 0, 2, 0, 100}},
                                   {.core = 3, .range = {0, 1, 0, 2, 100, 150}}};
static const struct rep_folder folder = {
    .timesteps = STEPS, .n_layers = 1, .layer = &layer, .n_tiles = 2, .tile = tiles};

static int32_t membrane_of(uint32_t neuron, uint32_t image, uint32_t step)
{
    return (int32_t)(neuron * 1000 + image * STEPS + step) - 50000;
}
static uint8_t fired_of(uint32_t neuron, uint32_t image, uint32_t step)
{
    return (neuron + image + step) % 3 == 0;
}

static void write_tensors(const char *path, struct diag_list *d)
{
    static int32_t membrane[IMAGES][STEPS][NEURONS], place[NEURONS][3], threshold[NEURONS];
    static uint8_t fired[IMAGES][STEPS][NEURONS];
    const uint64_t shape[3] = {IMAGES, STEPS, NEURONS}, places[2] = {NEURONS, 3};
    struct st_writer *w = NULL;
    for (uint32_t i = 0; i < NEURONS; i++) {
        place[i][0] = (int32_t)i;
        place[i][2] = (int32_t)(i % 2);
        threshold[i] = (int32_t)i + 64;
        for (uint32_t k = 0; k < IMAGES; k++)
            for (uint32_t t = 0; t < STEPS; t++) {
                membrane[k][t][i] = membrane_of(i, k, t);
                fired[k][t][i] = fired_of(i, k, t);
            }
    }
    assert_ok(st_writer_create(&w));
    assert_ok(st_writer_add(w, "a,b.membrane", ST_I32, 3, shape, membrane));
    assert_ok(st_writer_add(w, "a,b.spikes", ST_U8, 3, shape, fired));
    assert_ok(st_writer_add(w, "a,b.neurons", ST_I32, 2, places, place));
    assert_ok(st_writer_add(w, "a,b.threshold", ST_I32, 1, places, threshold));
    assert_ok(st_writer_meta(w, "spikec_probes", "1"));
    assert_ok(st_writer_save(w, path, d));
    st_writer_destroy(w);
}

static void write_table(const char *path, struct diag_list *d)
{
    struct strbuf text = {0};
    strbuf_append(&text, "layer,channel,row,column,image,step,membrane,threshold,spike\n");
    for (uint32_t i = 0; i < NEURONS; i++)
        for (uint32_t k = 0; k < IMAGES; k++)
            for (uint32_t t = 0; t < STEPS; t++)
                strbuf_printf(&text, "a,b,%u,0,%u,%u,%u,%d,%u,%u\n", i, i % 2, k, t,
                              membrane_of(i, k, t), i + 64, fired_of(i, k, t));
    assert_ok(file_write_all(path, text.data, text.len, d));
    strbuf_fini(&text);
}

static void check(const struct rep_probes *p)
{
    assert_int_equal(p->images, IMAGES);
    assert_int_equal(p->images_shown, REP_SHOWN_FRAMES / STEPS);
    assert_int_equal(p->n_layers, 1);
    const struct rep_probed_layer *l = &p->layer[0];
    assert_int_equal(l->neurons, NEURONS);
    assert_int_equal(l->n_shown, REP_SAMPLED);
    for (uint32_t s = 0, at = 0; s < l->n_shown; s++) {
        const uint32_t i = s * NEURONS / REP_SAMPLED;
        assert_int_equal(l->neuron[s].place[0], i);
        assert_int_equal(l->neuron[s].place[2], i % 2);
        assert_int_equal(l->neuron[s].threshold, i + 64);
        assert_int_equal(l->neuron[s].core, i < 100 ? 7 : i < 150 ? 3 : -1);
        for (uint32_t k = 0; k < p->images_shown; k++)
            for (uint32_t t = 0; t < STEPS; t++, at++) {
                assert_int_equal(l->membrane[at], membrane_of(i, k, t));
                assert_int_equal(l->fired[at / 8] >> at % 8 & 1, fired_of(i, k, t));
            }
    }
}

static void test_both_formats(void **state)
{
    static const char *const names[2] = {"probes.safetensors", "probes.csv"};
    char dir[64];
    struct diag_list d;
    (void)state;
    diag_init(&d);
    unit_temp_dir(dir);
    for (int i = 0; i < 2; i++) {
        char *path = path_join(dir, names[i]);
        struct rep_probes p = {0};
        spk_status status = SPK_OK;
        assert_non_null(path);
        (i == 0 ? write_tensors : write_table)(path, &d);
        for_each_failing_alloc(status, {
            report_probes_fini(&p);
            status = report_probes_read(path, &folder, &d, &p);
        });
        report_probes_fini(&p);
        assert_ok(report_probes_read(path, &folder, &d, &p));
        check(&p);
        report_probes_fini(&p);
        spk_free(path);
    }
    unit_remove_dir(dir);
    diag_fini(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_both_formats)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
