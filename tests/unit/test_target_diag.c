/* What is wrong in a target description is said with its place and with what would fit.
 * Every case edits the shipped description of loihi1 and expects pieces of the message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config.h"
#include "frontend/target_yaml.h"
#include "support/alloc.h"

struct edit {
    const char *from, *to; /* the first occurrence is replaced; from "" appends at the end */
    uint32_t errors;
    const char *expect[4];
};

static const struct edit edits[] = {
    {"value: 1024,",
     "value: 1024.5,",
     1,
     {"loihi1.yaml:9:20: error[E0507]", "limits.neurons must be an integer, found '1024.5'",
      "  9 |   neurons: {value: 1024.5", "a value from 1 to 1048576 compartments would fit"}},
    {"value: 1024,", "value: \"1024\",", 1, {"write it without quotes"}},
    {"value: 1024,", "value: 0,", 1, {"limits.neurons 0 is out of range"}},
    {"value: 1024,", "value: [1, 2],", 1, {"must be an integer, this is a list"}},
    {"value: 1024, ", "", 1, {"limits.neurons has no 'value'"}},
    {"value: 1024,", "valeu: 1024,", 2, {"unknown key 'valeu'", "did you mean 'value'?"}},
    {"unit: compartments",
     "unit: neurons",
     1,
     {"limits.neurons is given in 'neurons'", "the unit of this constant is 'compartments'"}},
    {"unit: compartments, ", "", 1, {"limits.neurons has no 'unit'"}},
    {"basis: derived",
     "basis: guessed",
     1,
     {"basis of limits.neurons cannot be 'guessed'", "measured, simulated, derived, assumed"}},
    {", source: \"Davies et al. 2018, IEEE Micro 38(1): 1,024 compartments per core\"",
     "",
     1,
     {"limits.neurons has no 'source'"}},
    {"\"Davies et al. 2018, IEEE Micro 38(1): 1,024 compartments per core\"",
     "\"\"",
     1,
     {"'source' of limits.neurons must be a text that is not empty"}},
    {"  neurons: {value",
     "  neuron: {value",
     2,
     {"unknown key 'neuron' in limits", "did you mean 'neurons'?", "limits.neurons is missing"}},
    {"  in_axons:",
     "  neurons: {value: 3}\n  in_axons:",
     1,
     {"key 'neurons' is given twice", "the first one", "11:3: error[E0504]"}},
    {"{value: 23.6, unit: pJ",
     "{value: .inf, unit: pJ",
     1,
     {"energy.synaptic_op must be a finite number, found '.inf'",
      "leave the key out where nothing is published"}},
    {"{value: 23.6, unit: pJ", "{value: .nan, unit: pJ", 1, {"finite number"}},
    {"{value: 23.6, unit: pJ", "{value: -1, unit: pJ", 1, {"out of range"}},
    {"{value: 23.6, unit: pJ", "{value: 1e999, unit: pJ", 1, {"finite number"}},
    {"{value: 23.6, unit: pJ", "{value: 23.6, unit: nJ", 1, {"the unit of this constant is 'pJ'"}},
    {"value: fixed", "value: analog", 1, {"cannot be 'analog'", "one of: fixed, programmable"}},
    {"value: fixed",
     "value: programmable",
     2,
     {"threshold_shift has no meaning for programmable neurons", "the neuron is declared here"}},
    {"  threshold_shift: ",
     "  threshold_shitf: ",
     2,
     {"arithmetic.threshold_shift is missing; fixed neurons need it"}},
    {"value: true", "value: yes", 1, {"weight_even must be true or false"}},
    {"value: [and_lif, embedded]",
     "value: [and_lif, enbedded]",
     1,
     {"cannot be 'enbedded'", "one of: and_lif, embedded, product, serial, plastic, engine"}},
    {"value: [and_lif, embedded]", "value: [and_lif, and_lif]", 1, {"'and_lif' is listed twice"}},
    {"value: [and_lif, embedded]", "value: and_lif", 1, {"must be a list of words"}},
    {"value: [and_lif, embedded]",
     "value: [product]",
     3,
     {"needs arithmetic.two_ports", "payload_bits is 0", "needs programmable neurons"}},
    {"value: [16, 8]", "value: [16]", 1, {"must be two integers, [x, y]"}},
    {"value: [16, 8]",
     "value: [15, 8]",
     2,
     {"128 cores per chip on a mesh of 15 x 8", "at most 120 would fit",
      "tiles of 2 x 2 cores do not divide the mesh of 15 x 8"}},
    {"value: 113,", "value: 1130,", 1, {"barrier_min 1130 ns is above barrier_max 465 ns"}},
    {"{value: 8, unit: bits",
     "{value: 9, unit: bits",
     1,
     {"weight_bits 9 is out of range", "from 1 to 8 bits would fit"}},
    {"chips: {value: [2, 1]",
     "chips: {value: [200, 1]",
     1,
     {"system nahuku-8 with 8 chips stands behind kapoho-bay with 200 chips"}},
    {"name: nahuku-8", "name: kapoho-bay", 1, {"two systems are named 'kapoho-bay'"}},
    {"index_bits_max: {value: 12",
     "index_bits_max: {value: 9",
     1,
     {"an index of 9 bits cannot address 1024 compartments"}},
    {"  axon_base: ", "  # ", 1, {"sharing by population needs limits.axon_base"}},
    {"value: 1048576,", "value: 1048577,", 1, {"no whole number of 64-bit words"}},
    {"spikec_target: 1", "spikec_target: 2", 1, {"spikec_target 2 is out of range"}},
    {"spikec_target: 1\n", "", 1, {"this is no target description"}},
    {"name: loihi1", "name: Loihi 1", 1, {"characters other than"}},
    {"systems:", "system:", 2, {"did you mean 'systems'?", "at least one system"}},
    {"energy:", "energies:", 1, {"unknown key 'energies'", "did you mean 'energy'?"}},
    {"limits:\n", "limits: 3\n#", 1, {"YAML: "}},
    {"{value: 1024,", "&a {value: 1024,", 1, {"YAML anchors are not allowed"}},
    {"value: 4096,", "value: *a,", 1, {"YAML"}},
    {"value: 1024,", "value: !!int 1024,", 1, {"YAML tags are not allowed"}},
    {"value: 1024,", "value: 1024", 1, {"YAML: ", "E0501"}},
    {"", "\n---\nname: x\n", 1, {"a second YAML document"}},
    {"", "\nx: [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]\n", 1, {"nested deeper than 16 levels"}},
    {"", "\n? [a]\n: 1\n", 1, {"a key must be a word"}},
    {"", "\nx: \"\\0\"\n", 1, {"NUL character"}},
};

static char *base;

static int read_base(void **state)
{
    (void)state;
    size_t size;
    return file_read(SPIKEC_SOURCE_TARGETS_DIR "/loihi1.yaml", 0, NULL, &base, &size) != SPK_OK;
}

static int free_base(void **state)
{
    (void)state;
    spk_free(base);
    return 0;
}

static void apply(const struct edit *e, struct strbuf *out)
{
    const char *at = e->from[0] ? strstr(base, e->from) : base + strlen(base);
    assert_non_null(at);
    strbuf_append_n(out, base, (size_t)(at - base));
    strbuf_append(out, e->to);
    strbuf_append(out, at + strlen(e->from));
    assert_int_equal(out->status, SPK_OK);
}

static void all_edits(void **state)
{
    (void)state;
    uint32_t wrong = 0;
    for (size_t i = 0; i < sizeof edits / sizeof edits[0]; i++) {
        const struct edit *e = &edits[i];
        struct strbuf text = {0}, shown = {0};
        struct diag_list diags;
        struct tgt *t = NULL;
        apply(e, &text);
        diag_init(&diags);
        spk_status status =
            fe_target_parse("loihi1.yaml", strbuf_cstr(&text), text.len, &diags, &t);
        diag_render(&diags, NULL, &shown);
        bool good = status == SPK_ERR_INPUT && !t && diags.error_count == e->errors;
        for (int k = 0; k < 4 && e->expect[k]; k++)
            good = good && strstr(strbuf_cstr(&shown), e->expect[k]);
        if (!good) {
            print_message("edit %zu: '%s' -> '%s' gave %u errors:\n%s\n", i, e->from, e->to,
                          diags.error_count, strbuf_cstr(&shown));
            wrong++;
        }
        if (getenv("SHOW_DIAGNOSTICS"))
            print_message("%s\n", strbuf_cstr(&shown));
        /* The same without a list: same status, nothing recorded. */
        assert_int_equal(fe_target_parse("x", strbuf_cstr(&text), text.len, NULL, &t), status);
        diag_fini(&diags);
        strbuf_fini(&shown);
        strbuf_fini(&text);
    }
    assert_int_equal(wrong, 0);
}

/* One run shows the errors of all sections. */
static void several_at_once(void **state)
{
    (void)state;
    static const char text[] =
        "spikec_target: 1\nname: x\ndescription: y\n"
        "limits:\n  neurons: 5\n  colour: red\narithmetic: []\n"
        "mesh:\n  cores: {value: [1, x], unit: cores, basis: assumed, source: s}\n";
    struct diag_list diags;
    struct strbuf shown = {0};
    struct tgt *t = NULL;
    diag_init(&diags);
    diags.max_errors = 0;
    assert_int_equal(fe_target_parse("x.yaml", text, sizeof text - 1, &diags, &t), SPK_ERR_INPUT);
    diag_render(&diags, NULL, &shown);
    static const char *const expect[] = {
        "5:12: error[E0507]: limits.neurons must be a mapping",
        "unknown key 'colour'",
        "section 'arithmetic' must be a mapping, this is a list",
        "limits.in_axons is missing",
        "9:22: error[E0507]: value of mesh.cores must be an integer, found 'x'",
        "mesh.tile is missing",
        "attention.lowerings is missing",
        "at least one system",
        "neurons: {value: 5, unit: compartments, basis: assumed"};
    for (size_t i = 0; i < sizeof expect / sizeof expect[0]; i++) {
        if (!strstr(strbuf_cstr(&shown), expect[i]))
            print_message("'%s' is not in:\n%s\n", expect[i], strbuf_cstr(&shown));
        assert_non_null(strstr(strbuf_cstr(&shown), expect[i]));
    }
    strbuf_fini(&shown);
    diag_fini(&diags);
}

static void odd_files(void **state)
{
    (void)state;
    struct tgt *t = NULL;
    struct diag_list diags;
    diag_init(&diags);
    assert_int_equal(fe_target_parse("x", "", 0, &diags, &t), SPK_ERR_INPUT);
    assert_int_equal(fe_target_parse("x", "[1]", 3, &diags, &t), SPK_ERR_INPUT);
    assert_int_equal(fe_target_parse("x", "a", 1, &diags, &t), SPK_ERR_INPUT);
    assert_int_equal(fe_target_parse("x", "\xff\xfe", 2, &diags, &t), SPK_ERR_INPUT);
    assert_int_equal(fe_target_parse("x", "a: \xc3\x28", 5, &diags, &t), SPK_ERR_INPUT);
    assert_true(diags.error_count >= 5);
    /* Larger than the limit, and more nodes than the limit. */
    size_t size = 300000;
    char *big = spk_alloc(size);
    assert_non_null(big);
    memset(big, ' ', size);
    assert_int_equal(fe_target_parse("x", big, size, &diags, &t), SPK_ERR_INPUT);
    for (size_t i = 0; i + 2 <= size; i += 2)
        memcpy(big + i, i ? "1," : "[ ", 2);
    assert_int_equal(fe_target_parse("x", big, 200000, &diags, &t), SPK_ERR_INPUT);
    struct strbuf shown = {0};
    diag_render(&diags, NULL, &shown);
    assert_non_null(strstr(strbuf_cstr(&shown), "300000 bytes of YAML, at most 262144 are read"));
    assert_non_null(strstr(strbuf_cstr(&shown), "more than 8192 YAML nodes"));
    strbuf_fini(&shown);
    spk_free(big);
    diag_fini(&diags);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_edits),
        cmocka_unit_test(several_at_once),
        cmocka_unit_test(odd_files),
    };
    return cmocka_run_group_tests(tests, read_base, free_base);
}
