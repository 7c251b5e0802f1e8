/* Back ends brian and sanafe on hand-made images: the n-th allocation and the n-th write fail, and
 * what SANA-FE or Brian cannot be is refused. What the files mean, tests/tool shows by running
 * them. */
#include "backends/brian/brian.h"
#include "backends/sanafe/sanafe.h"
#include "support/fault.h"
#include "tests/unit/tiny_sim.h"

struct job {
    const struct image *im;
    bool sanafe;
    spk_status status; /* of the back end alone */
    char text[512];
};

/* Writes the folder `export.out`, for input counts 3 and 1. */
static spk_status write_folder(struct job *j)
{
    static int32_t in[2] = {3, 1}, out[2] = {0, 1};
    int32_t *const values[2] = {in, out};
    double groups[1][2] = {{1.0, 2.0}};
    const struct sanafe_run run = {
        .n_images = 1, .values = values, .group_pj = groups, .n_segments = 1};
    struct sanafe_figures sf;
    struct brian_figures bf;
    struct dir_writer *dir = NULL;
    struct strbuf text = {0};
    struct diag_list d;
    diag_init(&d);
    j->status = dir_begin("export.out", &d, &dir);
    if (j->status == SPK_OK) {
        j->status = j->sanafe ? sanafe_export(j->im, &run, dir, &d, &sf)
                              : brian_export(j->im, dir, &d, &bf);
        if (j->status == SPK_OK)
            j->status = dir_commit(dir);
        else
            dir_abort(dir);
    }
    diag_render(&d, NULL, &text);
    snprintf(j->text, sizeof j->text, "%s", strbuf_cstr(&text));
    strbuf_fini(&text);
    diag_fini(&d);
    return j->status;
}

static void remove_folder(void)
{
    assert_int_equal(system("rm -rf export.out"), 0);
}

static void make_priced(struct tiny *t, uint32_t delay)
{
    make_fixed(t, 193, 25, delay, true);
    t->im.meta.message = TGT_MESSAGE_CORE;
    for (int e = 0; e < TGT_ENERGY_COUNT; e++)
        t->im.prices[e] = 1.0;
}

static void test_faults(void **state)
{
    static const enum spk_fault_kind kinds[] = {SPK_FAULT_ALLOC, SPK_FAULT_WRITE};
    struct tiny t;
    (void)state;
    make_priced(&t, 2);
    for (int k = 0; k < 4; k++) {
        struct job j = {.im = &t.im, .sanafe = k & 1};
        bool hit = spk_fault_available();
        for (uint64_t nth = 1; hit; nth++) {
            remove_folder();
            spk_fault_arm(kinds[k / 2], nth);
            spk_status status = write_folder(&j);
            hit = spk_fault_disarm(kinds[k / 2]);
            assert_true(hit ? status == SPK_ERR_NOMEM || status == SPK_ERR_IO : status == SPK_OK);
            assert_true(file_exists("export.out") == !hit);
            assert_true(nth > 3 || hit); /* there is something to fail */
        }
    }
    remove_folder();
    image_fini(&t.im);
}

static void refused(const struct image *im, bool sanafe, const char *code, const char *what)
{
    struct job j = {.im = im, .sanafe = sanafe};
    remove_folder();
    assert_int_equal(write_folder(&j), SPK_ERR_INPUT);
    if (strstr(j.text, code) == NULL || strstr(j.text, what) == NULL)
        fail_msg("'%s' has no %s '%s'", j.text, code, what);
    assert_false(file_exists("export.out"));
}

static void test_refusals(void **state)
{
    struct tiny t;
    (void)state;
    make_priced(&t, 6);
    refused(&t.im, true, "E0720", "longer ones");
    image_fini(&t.im);
    make_priced(&t, 0);
    t.im.meta.message = TGT_MESSAGE_ENTRY;
    refused(&t.im, true, "E0720", "one per out-axon entry");
    t.im.meta.message = TGT_MESSAGE_CORE;
    t.im.prices[TGT_E_SPIKE_OUT] = (double)NAN;
    refused(&t.im, true, "E0721", "spike_out");
    t.im.prices[TGT_E_SPIKE_OUT] = 1.0;
    t.im.configs[0].program = IMG_PROG_GATED;
    refused(&t.im, true, "E0720", "programmable");
    refused(&t.im, false, "E0710", "layer 'n'");
    image_fini(&t.im);
    make_conv(&t, true, true);
    t.im.meta.message = TGT_MESSAGE_CORE;
    t.im.configs[1].program = IMG_PROG_SUM; /* one of three tiles */
    refused(&t.im, false, "E0711", "layer 'b'");
    image_fini(&t.im);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_faults),
                                       cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
