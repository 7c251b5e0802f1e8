/* Records and comparisons: golden layouts, files, teachers with their errors, mismatches and their
 * order, merging of batches, size limit, and running out of memory.                            */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/compare.h"
#include "runtime/record.h"
#include "support/fault.h"
#include "support/safetensors.h"

static const struct ir_type spikes = {IR_SPIKE, IR_F32, IR_CHW, 2, 3, 1, 2, 1};
static const struct ir_type counts = {IR_COUNT, IR_F32, IR_NC, 2, 2, 1, 3, 300};

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

/* Two tensors, n images; element i of image k of `s` is bit (i + k) & 1, of `c` 1000 k + i. */
static struct record *sample(uint32_t n, struct diag_list *d)
{
    struct record *r = NULL;
    uint32_t s, c;

    check(record_create(n, 0, &r), d);
    check(record_add(r, "s", &spikes, true, d, &s), d);
    check(record_add(r, "c", &counts, false, d, &c), d);
    for (uint32_t k = 0; k < n; k++) {
        uint8_t bits[2 * 6];
        int32_t whole[2 * 6];

        for (uint32_t i = 0; i < 12; i++) {
            bits[i] = (i + k) & 1;
            whole[i] = (int32_t)(1000 * k + i);
        }
        check(record_put(r, s, k, bits), d);
        check(record_put(r, c, k, whole), d);
    }
    return r;
}

static void layout(void **state)
{
    struct diag_list d;
    struct record *r;

    (void)state;
    diag_init(&d);
    r = sample(3, &d);
    const struct record_tensor *s = record_find(r, "s"), *c = record_find(r, "c");
    assert_int_equal(s->n_axes, 3);
    assert_true(s->axis[0] == 3 && s->axis[1] == 1 && s->axis[2] == 2);
    assert_int_equal(c->n_axes, 2);
    assert_true(c->axis[0] == 3 && c->axis[1] == 2); /* tokens, channels */
    assert_true(c->is_i32 && !s->is_i32 && s->neuron && !c->neuron);
    /* [T][B][elements]: step 1 of image 2, element 4 is item 10 of what was put. */
    assert_int_equal(record_get(r, c, 1, 2, 4), 2010);
    assert_int_equal(s->data[(1 * 3 + 2) * 6 + 3], (9 + 2) & 1);
    assert_null(record_find(r, "x"));
    assert_int_equal(record_put(r, 0, 3, s->data), SPK_ERR_INTERNAL);
    assert_int_equal(record_put(r, 2, 0, s->data), SPK_ERR_INTERNAL);
    uint32_t again;
    assert_int_equal(record_add(r, "s", &spikes, true, &d, &again), SPK_ERR_INTERNAL);
    record_destroy(r);
    diag_fini(&d);
}

static void size_limit(void **state)
{
    struct diag_list d;
    struct record *r = NULL;
    uint32_t i;

    (void)state;
    diag_init(&d);
    check(record_create(100, 1300, &r), &d);
    check(record_add(r, "s", &spikes, true, &d, &i), &d); /* 1,200 bytes */
    assert_int_equal(record_add(r, "t", &spikes, true, &d, &i), SPK_ERR_INPUT);
    assert_int_equal(d.error_count, 1);
    assert_non_null(d.items.data[0]->help);
    record_destroy(r);
    diag_fini(&d);
}

static void file_round_trip(void **state)
{
    struct diag_list d;
    struct record *r, *back = NULL;
    struct compare c;
    const float logits[4] = {1, 2, 3, 4}, features[6] = {0};
    const struct record_outputs outputs = {features, logits, 3, 2, NULL};
    char path[] = "test_record_XXXXXX";
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    diag_init(&d);
    r = sample(2, &d);
    check(record_save(r, &outputs, path, &d), &d);
    check(record_open(path, &d, &back), &d);
    assert_int_equal(record_images(back), 2);
    assert_int_equal(record_count(back), 2); /* without features and logits */
    check(compare_records(r, 0, back, 0, 2, &d, &c), &d);
    assert_int_equal(c.mismatches + c.sum_mismatches, 0);
    assert_int_equal(c.values_compared, 2 * 12);
    compare_fini(&c);
    record_destroy(back);
    record_destroy(r);
    /* A file without recorded values, and one that is not there. */
    struct st_writer *w = NULL;
    const uint64_t shape[2] = {2, 2};
    check(st_writer_create(&w), &d);
    check(st_writer_add(w, "logits", ST_F32, 2, shape, logits), &d);
    check(st_writer_save(w, path, &d), &d);
    st_writer_destroy(w);
    assert_int_equal(record_open(path, &d, &back), SPK_ERR_INPUT);
    assert_null(back);
    unlink(path);
    assert_int_equal(record_open(path, &d, &back), SPK_ERR_IO);
    diag_fini(&d);
}

/* Changes element `item` of an image's frames. */
static void poke(struct record *r, uint32_t tensor, uint32_t image, uint32_t item, int32_t value,
                 struct diag_list *d)
{
    const struct record_tensor *t = record_at(r, tensor);
    uint8_t bits[12];
    int32_t whole[12];

    for (uint32_t i = 0; i < 12; i++) {
        whole[i] = record_get(r, t, i / 6, image, i % 6);
        if (i == item)
            whole[i] = value;
        bits[i] = (uint8_t)whole[i];
    }
    check(record_put(r, tensor, image, t->is_i32 ? (const void *)whole : bits), d);
}

static void mismatches(void **state)
{
    struct diag_list d;
    struct record *a, *b;
    struct compare c, more;

    (void)state;
    diag_init(&d);
    a = sample(3, &d);
    b = sample(3, &d);
    poke(b, 0, 2, 1, 0, &d);  /* image 2, frame 0, index 1: 1 -> 0 */
    poke(b, 0, 1, 11, 1, &d); /* image 1, frame 1, index 5: 0 -> 1; the first */
    poke(b, 1, 0, 7, -5, &d); /* a sum: counted apart */
    check(compare_records(a, 0, b, 0, 3, &d, &c), &d);
    assert_int_equal(c.n_layers, 2);
    assert_int_equal(c.values_compared, 36);
    assert_int_equal(c.mismatches, 2);
    assert_int_equal(c.sum_mismatches, 1);
    assert_true(c.first.found);
    assert_int_equal(c.first.image, 1);
    assert_int_equal(c.first.layer, 0);
    assert_int_equal(c.first.frame, 1);
    assert_int_equal(c.first.index, 5);
    assert_int_equal(c.first.expected, 0);
    assert_int_equal(c.first.got, 1);
    assert_int_equal(c.layer[0].expected_sum, 18);
    assert_int_equal(c.layer[0].got_sum, 18);
    assert_true(compare_agreement(36, 2) > 0.944 && compare_agreement(36, 2) < 0.945);
    assert_true(compare_agreement(0, 0) >= 1.0);
    compare_fini(&c);
    /* In two batches, later ones first: the same figures. */
    check(compare_records(a, 2, b, 2, 1, &d, &c), &d);
    assert_int_equal(c.first.image, 0);
    c.first.image += 2;
    check(compare_records(a, 0, b, 0, 2, &d, &more), &d);
    check(compare_merge(&c, &more, 0), &d);
    assert_int_equal(c.mismatches, 2);
    assert_int_equal(c.values_compared, 36);
    assert_int_equal(c.sum_mismatches, 1);
    assert_int_equal(c.first.image, 1);
    assert_int_equal(c.layer[0].values, 36);
    compare_fini(&more);
    compare_fini(&c);
    /* Different pairs of images. */
    check(compare_records(a, 0, a, 1, 1, &d, &c), &d);
    assert_int_equal(c.mismatches, 12);
    compare_fini(&c);
    assert_int_equal(compare_records(a, 0, b, 1, 3, &d, &c), SPK_ERR_INTERNAL);
    record_destroy(a);
    record_destroy(b);
    diag_fini(&d);
}

static void missing_and_misshapen(void **state)
{
    struct diag_list d;
    struct record *a, *b = NULL;
    struct compare c;
    struct ir_type other = spikes;
    uint32_t i;

    (void)state;
    diag_init(&d);
    a = sample(1, &d);
    check(record_create(1, 0, &b), &d);
    check(record_add(b, "c", &counts, false, &d, &i), &d);
    assert_int_equal(compare_records(a, 0, b, 0, 1, &d, &c), SPK_ERR_INPUT);
    other.width = 3;
    check(record_add(b, "s", &other, true, &d, &i), &d);
    assert_int_equal(compare_records(a, 0, b, 0, 1, &d, &c), SPK_ERR_INPUT);
    assert_int_equal(d.error_count, 2);
    record_destroy(a);
    record_destroy(b);
    diag_fini(&d);
}

/* A module of one neuron value `name` over [3, 1, 2], T = 2. */
static struct ir_module *neuron_module(const char *name, struct diag_list *d)
{
    static const struct ir_eq v = {IR_EQ_STATE, 0, 0}, x = {IR_EQ_INPUT, 0, 0};
    struct ir_neuron n = {.name = "n",
                          .n_states = 1,
                          .state_name = {"v"},
                          .charge = {{&x, 1}},
                          .fire_lhs = {&v, 1},
                          .fire_rhs = {&v, 1}};
    struct ir_node input = {.op = IR_OP_INPUT,
                            .name = "image",
                            .a.input.events = true,
                            .type = {.layout = IR_CHW, .channels = 3, .height = 1, .width = 2}};
    struct ir_module *m = NULL;
    uint32_t from, id;

    check(ir_module_create("m", &m), d);
    m->timesteps = 2;
    check(ir_add_neuron(m, &n, &id), d);
    check(ir_add_node(m, &input, d, &from), d);
    struct ir_node node = {.op = IR_OP_NEURON,
                           .n_operands = 1,
                           .operand = &from,
                           .name = name,
                           .recorded = true,
                           .a.neuron.program = id};
    check(ir_add_node(m, &node, d, &id), d);
    return m;
}

static void teacher(void **state)
{
    struct diag_list d;
    struct record *r;
    struct record_teacher *t = NULL;
    struct ir_module *m, *unknown;

    (void)state;
    diag_init(&d);
    r = sample(3, &d);
    m = neuron_module("s", &d);
    check(record_teacher_create(r, m, 1, 2, &d, &t), &d);
    struct engine_teacher e = record_teacher_engine(t);
    const uint8_t *x = e.expected(e.ctx, 1, 1); /* image 2 of the record */
    assert_non_null(x);
    for (uint32_t i = 0; i < 12; i++)
        assert_int_equal(x[i], (i + 2) & 1);
    assert_null(e.expected(e.ctx, 0, 0)); /* the input is not taught */
    assert_null(e.expected(e.ctx, 2, 1));
    record_teacher_destroy(t);
    /* Too few images, a missing layer, another shape. */
    assert_int_equal(record_teacher_create(r, m, 1, 3, &d, &t), SPK_ERR_INPUT);
    unknown = neuron_module("c", &d);
    assert_int_equal(record_teacher_create(r, unknown, 0, 1, &d, &t), SPK_ERR_INPUT);
    ir_module_destroy(unknown);
    unknown = neuron_module("z", &d);
    assert_int_equal(record_teacher_create(r, unknown, 0, 1, &d, &t), SPK_ERR_INPUT);
    assert_null(t);
    assert_int_equal(d.error_count, 3);
    ir_module_destroy(unknown);
    ir_module_destroy(m);
    record_destroy(r);
    diag_fini(&d);
}

static void outputs(void **state)
{
    const float a[6] = {1, 2, 2, 0.5f, -1, 0}, b[6] = {1, 2, 2, 0.5f, -1, 1e-5f};
    const uint32_t labels[2] = {1, 1};

    (void)state;
    assert_int_equal(compare_logits(a, b, 2, 3, 0), 1);
    assert_int_equal(compare_logits(a, b, 2, 3, 1e-4f), 0);
    assert_int_equal(compare_argmax(a, 3), 1); /* the first of equals */
    assert_int_equal(compare_argmax(a + 3, 3), 0);
    assert_int_equal(compare_top1(a, labels, 2, 3), 1);
}

static void out_of_memory(void **state)
{
    uint64_t n;

    (void)state;
    if (!spk_fault_available())
        skip();
    for (n = 1;; n++) {
        struct record *r = NULL;
        struct compare c = {0};
        uint32_t i;
        spk_status status;

        spk_fault_arm(SPK_FAULT_ALLOC, n);
        status = record_create(2, 0, &r);
        if (status == SPK_OK)
            status = record_add(r, "s", &spikes, true, NULL, &i);
        if (status == SPK_OK)
            status = compare_records(r, 0, r, 0, 2, NULL, &c);
        compare_fini(&c);
        record_destroy(r);
        if (!spk_fault_disarm(SPK_FAULT_ALLOC)) {
            assert_int_equal(status, SPK_OK);
            break;
        }
        assert_int_equal(status, SPK_ERR_NOMEM);
    }
    assert_true(n > 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layout),
        cmocka_unit_test(size_limit),
        cmocka_unit_test(file_round_trip),
        cmocka_unit_test(mismatches),
        cmocka_unit_test(missing_and_misshapen),
        cmocka_unit_test(teacher),
        cmocka_unit_test(outputs),
        cmocka_unit_test(out_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
