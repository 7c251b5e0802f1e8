/* The .spk front end beyond the zoo: look-up, settings, bindings, names, equations, formatter,
 * limits, and running out of memory at every allocation. */
#include "unit.h"

#include "frontend/model.h"
#include "support/file.h"

#define LIF                                                   \
    "neuron lif(tau = 2.0, v_th = 1.0) {\n\tstate v = 0.0;\n" \
    "\tcharge v = v + (input - v) / tau;\n\tfire v >= v_th;\n\treset v = 0.0;\n}\n"
#define IMAGE "\tinput image : frame[2, 8, 8] repeat 4;\n"
#define HEAD "\toutput y = linear(mean(x, tokens, time), 3) as \"head\";\n}\n"

static struct ir_module *parse(const char *text, const struct fe_options *options)
{
    struct diag_list d;
    struct ir_module *m = NULL;
    diag_init(&d);
    if (fe_model_parse_text("test.spk", text, strlen(text), options, &d, &m) != SPK_OK) {
        char *found = unit_diag_text(&d);
        fail_msg("%s", found);
    }
    diag_fini(&d);
    return m;
}

static void refuse(const char *text, const struct fe_options *options, const char *part)
{
    struct diag_list d;
    struct ir_module *m = NULL;
    diag_init(&d);
    assert_int_equal(fe_model_parse_text("test.spk", text, strlen(text), options, &d, &m),
                     SPK_ERR_INPUT);
    assert_null(m);
    unit_expect_diag(&d, part);
    diag_fini(&d);
    /* and without a list */
    assert_int_equal(fe_model_parse_text("test.spk", text, strlen(text), options, NULL, &m),
                     SPK_ERR_INPUT);
}

static const struct ir_node *value(const struct ir_module *m, const char *name)
{
    uint32_t id = ir_find_value(m, name);
    if (id == IR_NONE)
        fail_msg("no value %s", name);
    return &m->node[id];
}

/* ---- look-up ---- */

static void test_zoo_names(void **state)
{
    (void)state;
    assert_true(fe_model_is_zoo_name("spikformer_v2"));
    assert_false(fe_model_is_zoo_name("./spikformer_v2"));
    assert_false(fe_model_is_zoo_name("spikformer_v2.spk"));
    assert_false(fe_model_is_zoo_name(""));
}

static void test_find(void **state)
{
    (void)state;
    char folder[64], *path = NULL, *second, *file;
    struct diag_list d;
    struct fe_model_names names;
    diag_init(&d);
    unit_temp_dir(folder);
    second = path_join(folder, "second");
    const char *dirs[] = {"/nonexistent-folder", folder, second};
    file = path_join(folder, "mine.spk");
    assert_ok(file_write_all(file, "x", 1, NULL));
    assert_ok(fe_model_find("mine", dirs, 3, &d, &path));
    assert_string_equal(path, file);
    spk_free(path);
    assert_ok(fe_model_find("some/path.spk", dirs, 3, &d, &path)); /* not opened here */
    assert_string_equal(path, "some/path.spk");
    spk_free(path);
    assert_int_equal(fe_model_find("mime", dirs, 3, &d, &path), SPK_ERR_INPUT);
    assert_null(path);
    unit_expect_diag(&d, "did you mean 'mine'?");
    assert_int_equal(fe_model_find("", dirs, 3, &d, &path), SPK_ERR_USAGE);
    assert_ok(fe_model_list(dirs, 3, &d, &names));
    assert_int_equal(names.n, 1);
    assert_string_equal(names.name[0], "mine");
    fe_model_names_fini(&names);
    /* the environment comes first, the working directory never */
    assert_ok(setenv("SPIKEC_MODELS", folder, 1));
    assert_ok(fe_model_find("mine", NULL, 0, &d, &path));
    assert_string_equal(path, file);
    spk_free(path);
    assert_ok(unsetenv("SPIKEC_MODELS"));
    assert_ok(chdir(folder));
    assert_int_equal(fe_model_find("mine", NULL, 0, &d, &path), SPK_ERR_INPUT);
    assert_ok(chdir("/"));
    assert_ok(fe_model_find("spikformer_v2", NULL, 0, &d, &path));
    spk_free(path);
    unit_remove_dir(folder);
    spk_free(file);
    spk_free(second);
    diag_fini(&d);
}

static void test_missing_file(void **state)
{
    (void)state;
    struct diag_list d;
    struct fe_model model;
    diag_init(&d);
    assert_int_equal(fe_model_open("/nonexistent/x.spk", NULL, &d, &model), SPK_ERR_IO);
    assert_null(model.module);
    unit_expect_diag(&d, "/nonexistent/x.spk");
    diag_fini(&d);
}

/* ---- settings and bindings ---- */

static void test_settings(void **state)
{
    (void)state;
    static const char source[] = LIF "model m(a = 2, s = 0.5, on = false) {\n" IMAGE
                                     "\tlet x = tokens(lif(image) as \"l\");\n"
                                     "\tif on { x = lif(linear(x, 12) as \"on\") as \"on_lif\"; }\n"
                                     "\tx = lif(attention(x, x, x, a, s)) as \"a\";\n" HEAD;
    struct ir_module *m = parse(source, NULL);
    assert_int_equal(ir_find_value(m, "on"), IR_NONE);
    ir_module_destroy(m);
    struct fe_setting sets[] = {{"a", "5"}, {"on", "true"}, {"s", "2"}, {"a", "3"}};
    struct fe_options options = {.sets = sets, .n_sets = 4};
    m = parse(source, &options);
    assert_int_equal(value(m, "on")->type.channels, 12);
    const struct ir_node *a = &m->node[value(m, "a")->operand[0]];
    assert_int_equal(a->a.attention.heads, 3); /* the last one wins */
    assert_true(a->a.attention.scale == 2.0f); /* a whole number is fine for a decimal one */
    ir_module_destroy(m);
    sets[0].name = "b";
    refuse(source, &options, "model 'm' has no parameter 'b'");
}

static const char *param_at(const struct ir_module *m, uint32_t i)
{
    return m->param[i].name;
}

static void test_bindings(void **state)
{
    (void)state;
    static const char source[] = "model m() {\n" IMAGE "\tlet x = linear(image, 4) as \"enc.a\";\n"
                                 "\tx = linear(x, 4) as \"enc.ab\";\n"
                                 "\tfor i in 0 .. 1 { bind \"fc{i}\" = \"head\"; }\n" HEAD;
    struct fe_binding binds[3] = {{"first", "enc.a"}, {"backbone.", ""}};
    struct fe_options options = {.binds = binds, .n_binds = 1};
    struct ir_module *m = parse(source, &options);
    assert_string_equal(param_at(m, 0), "first.weight");
    assert_string_equal(param_at(m, 1), "first.bias");
    assert_string_equal(param_at(m, 2), "enc.ab.weight"); /* a prefix ends at a '.' */
    assert_string_equal(param_at(m, 4), "fc0.weight");
    assert_int_equal(ir_find_param(m, "fc0.bias"), 5);
    assert_int_equal(value(m, "head")->op, IR_OP_LINEAR); /* values keep their names */
    ir_module_destroy(m);
    options.n_binds = 2; /* the first that fits counts, the rest get the prefix */
    m = parse(source, &options);
    assert_string_equal(param_at(m, 0), "first.weight");
    assert_string_equal(param_at(m, 2), "backbone.enc.ab.weight");
    assert_string_equal(param_at(m, 4), "backbone.head.weight");
    ir_module_destroy(m);
    binds[0] = (struct fe_binding){"enc.a.weight", "kernel"}; /* the other way round, whole name */
    options.n_binds = 1;
    m = parse(source, &options);
    assert_string_equal(param_at(m, 0), "kernel");
    assert_string_equal(param_at(m, 1), "enc.a.bias");
    ir_module_destroy(m);
    binds[0] = (struct fe_binding){"x", "enc.b"};
    refuse(source, &options, "the model has no weight 'enc.b' nor 'x'");
}

/* ---- language ---- */

static void test_scopes_and_names(void **state)
{
    (void)state;
    struct ir_module *m =
        parse(LIF "block sn(x, out) { lif(batchnorm(linear(x, out, bias = false))) }\n"
                  "block two(x) { sn(sn(x, 3) in \"fc1_*\", 4) in \"b.*2\" }\n"
                  "model m() {\n" IMAGE "\tlet x = sn(image, 5);\n\tx = two(x) in \"s\";\n"
                  "\tx = sn(x, 2) in \"p_*\" as \"out\";\n\tlet y = x + x;\n"
                  "\tx = y as \"sum\";\n" HEAD,
              NULL);
    static const char *const names[] = {
        "linear",   "bn",   "lif", "s.fc1_linear", "s.fc1_lif", "s.b.linear2", "s.b.lif2",
        "p_linear", "p_bn", "out", "sum",          "head",      "y",           "image"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        (void)value(m, names[i]);
    assert_int_equal(ir_find_value(m, "p_lif"), IR_NONE);
    assert_true(value(m, "out")->recorded && value(m, "sum")->recorded);
    assert_true(value(m, "sum")->type.kind == IR_COUNT && value(m, "sum")->type.bound == 2);
    assert_false(value(m, "linear")->recorded || value(m, "image")->recorded);
    assert_int_equal(ir_find_param(m, "s.fc1_bn.running_var") != IR_NONE, 1);
    ir_module_destroy(m);
}

static void test_arithmetic_and_control(void **state)
{
    (void)state;
    /* The output's size counts the conditions that hold. */
    struct ir_module *m = parse(
        "block sized(x, n = 2, k = n + 1) {\n"
        "\tif k == 3 and n == 2 { return linear(x, k) as \"k\"; }\n\telse if n > 2 { linear(x, n) "
        "as \"n\" } else { x } }\n"
        "model m(a = 7, b = 2.5, f = false) {\n" IMAGE "\tlet n = 0;\n"
        "\tif a * 2 - 4 == 10 and not f { n = n + 1; }\n"
        "\tif 2 ** 3 ** 2 == 512 and -2 ** 2 == -4 and (-2) ** 2 == 4 { n = n + 1; }\n"
        "\tif div(a, 2) == 3 and a % 2 == 1 and div(-7, 2) == -4 { n = n + 1; }\n"
        "\tif b * 2 == 5 and a / 2.0 == 3.5 and min(a, b) == 2.5 { n = n + 1; }\n"
        "\tif max(2, 3) == 3 and abs(-4) == 4 and abs(-0.5) == 0.5 { n = n + 1; }\n"
        "\tif f or 1 < 2 and 2 <= 2 and 3 != 4 { n = n + 1; }\n"
        "\tif f and div(1, 0) == 0 { n = 100; }\n"
        "\tif \"{a}x\" == \"7x\" and true != false { n = n + 1; }\n"
        "\tfor i in 0 .. 3 { for j in i .. 3 { n = n + 1; } }\n"
        "\tfor i in 3 .. 1 { n = 100; }\n"
        "\tif image.channels == 2 and image.height * image.width == image.tokens { n = n + 1; }\n"
        "\tlet x = linear(image, n) as \"count\";\n"
        "\tx = sized(sized(x), n = 9);\n" HEAD,
        NULL);
    assert_int_equal(value(m, "count")->type.channels, 14);
    assert_int_equal(value(m, "k")->type.channels, 3);
    assert_int_equal(value(m, "n")->type.channels, 9);
    ir_module_destroy(m);
}

static void test_equations(void **state)
{
    (void)state;
    struct ir_lif lif;
    struct ir_module *m = parse(
        "neuron soft(beta = 0.9, v_th = 1) {\n\tstate v = 0.25;\n"
        "\tcharge v = v * beta + (1 - beta / 2) * input;\n\tfire v_th < v;\n"
        "\treset v = v - v_th;\n}\n"
        "neuron adaptive(a = 0.5) {\n\tstate i = 0;\n\tstate v = 0;\n\tcharge i = i / 2 + input;\n"
        "\tcharge v = max(-v, min(abs(i), a)) - 1e-3;\n\tfire v >= i + a;\n\treset i = i;\n"
        "\treset v = 0;\n\trate 0.25;\n}\n"
        "model m() {\n" IMAGE "\tlet x = adaptive(soft(image), 3) as \"a\";\n"
        "\tx = (adaptive(x) as \"b\") + (adaptive(x, a = 0.5) as \"c\");\n" HEAD,
        NULL);
    assert_int_equal(m->n_neurons, 3); /* b and c share one program */
    assert_int_equal(value(m, "b")->a.neuron.program, value(m, "c")->a.neuron.program);
    const struct ir_neuron *soft = &m->neuron[0], *adaptive = &m->neuron[1];
    assert_string_equal(soft->name, "soft");
    assert_true(ir_neuron_as_lif(soft, &lif));
    assert_true(lif.retain == (double)0.9f && lif.soft_reset && lif.cmp == IR_CMP_GT);
    assert_true(lif.gain == (double)(float)(1.0 - 0.9 / 2.0) && lif.v_init == 0.25);
    static const enum ir_eq_code charge[] = {IR_EQ_STATE, IR_EQ_NEG,   IR_EQ_STATE,
                                             IR_EQ_ABS,   IR_EQ_CONST, IR_EQ_MIN,
                                             IR_EQ_MAX,   IR_EQ_CONST, IR_EQ_SUB};
    assert_int_equal(adaptive->n_states, 2);
    assert_string_equal(adaptive->state_name[1], "v");
    assert_int_equal(adaptive->charge[1].n, 9);
    for (uint32_t i = 0; i < 9; i++)
        assert_int_equal(adaptive->charge[1].code[i].code, charge[i]);
    assert_true(adaptive->charge[1].code[0].arg == 1 && adaptive->charge[1].code[2].arg == 0);
    assert_true(adaptive->charge[1].code[4].k == 3.0f && adaptive->charge[1].code[7].k == 1e-3f);
    assert_true(m->declared_rate == 0.25f);
    ir_module_destroy(m);
}

static void test_input_kinds(void **state)
{
    (void)state;
    struct ir_module *m = parse("model m() {\n\tinput e : frames[2, 8, 4] steps 5;\n"
                                "\tlet x = e;\n" HEAD,
                                NULL);
    assert_true(value(m, "e")->a.input.events && value(m, "e")->type.kind == IR_COUNT);
    assert_int_equal(value(m, "e")->type.timesteps, 5);
    assert_int_equal(m->timesteps, 5);
    assert_int_equal(m->node[1].op, IR_OP_MEAN); /* frames are not repeated */
    ir_module_destroy(m);
    m = parse("model m() {\n\tinput i : frame[3, 8, 4] repeat 5 normalise mean [0.5, 1, -2] "
              "std [1, 2, 4];\n\tlet x = i;\n" HEAD,
              NULL);
    const struct ir_node *in = value(m, "i");
    assert_true(in->type.kind == IR_REAL && in->type.timesteps == 1 && !in->a.input.events);
    assert_true(in->a.input.normalise && in->a.input.n_norm == 3);
    assert_true(in->a.input.mean[2] == -2.0f && in->a.input.std[2] == 4.0f);
    assert_true(m->node[1].op == IR_OP_REPEAT && m->node[1].type.timesteps == 5);
    ir_module_destroy(m);
}

static void test_spans_point_at_model_lines(void **state)
{
    (void)state;
    static const char text[] = LIF "model m() {\n" IMAGE "\tlet x = lif(image) as \"l\";\n" HEAD;
    struct diag_list d;
    struct ir_module *m = NULL;
    diag_init(&d);
    assert_ok(fe_model_parse_text("test.spk", text, strlen(text), NULL, &d, &m));
    struct spk_span span = value(m, "l")->span;
    assert_int_equal(diag_source_locate(&d, span.file, span.begin).line, 9);
    assert_int_equal(strncmp(text + span.begin, "lif(image)", span.end - span.begin), 0);
    assert_ok(ir_verify(m, &d));
    ir_module_destroy(m);
    diag_fini(&d);
}

static void test_imports(void **state)
{
    (void)state;
    char folder[64], *main_path, *sub, *lib, *deep;
    struct fe_model model;
    unit_temp_dir(folder);
    main_path = path_join(folder, "main.spk");
    sub = path_join(folder, "a.spk");
    lib = path_join(folder, "b.spk");
    deep = path_join(folder, "c.spk");
    static const char a[] = "import \"./b.spk\";\nblock f(x) { lif(x) as \"f\" }\n";
    static const char b[] = "import \"c.spk\";\n" LIF;
    static const char c[] = "model not_this() { }\n";
    static const char text[] =
        "import \"a.spk\";\nimport \"b.spk\";\n"
        "model m(n = 3) {\n\tweights \"w/m.safetensors\";\n" IMAGE "\tlet x = f(image);\n" HEAD;
    assert_ok(file_write_all(main_path, text, strlen(text), NULL));
    assert_ok(file_write_all(sub, a, strlen(a), NULL));
    assert_ok(file_write_all(lib, b, strlen(b), NULL));
    assert_ok(file_write_all(deep, c, strlen(c), NULL));
    spk_status status = fe_model_open(main_path, NULL, NULL, &model);
    assert_int_equal(status, SPK_ERR_INPUT); /* imported models are checked, too: no input */
    assert_ok(file_write_all(deep, "", 0, NULL));
    assert_ok(fe_model_open(main_path, NULL, NULL, &model));
    assert_string_equal(model.module->name, "m");
    assert_int_equal(strncmp(model.weights, folder, strlen(folder)), 0);
    assert_string_equal(model.weights + strlen(folder), "/w/m.safetensors");
    fe_model_fini(&model);
    for_each_failing_alloc(status, {
        status = fe_model_open(main_path, NULL, NULL, &model);
        fe_model_fini(&model);
    });
    unit_remove_dir(folder);
    spk_free(main_path);
    spk_free(sub);
    spk_free(lib);
    spk_free(deep);
}

/* ---- formatter ---- */

static void test_format(void **state)
{
    (void)state;
    static const char ugly[] = "model m( { // cut off";
    struct strbuf out = {0};
    struct diag_list d;
    diag_init(&d);
    assert_int_equal(fe_format("x.spk", ugly, strlen(ugly), &d, &out), SPK_ERR_INPUT);
    assert_int_equal(out.len, 0);
    diag_fini(&d);
    static const char in[] =
        "\n\n// top  \r\nimport   \"a.spk\" ;// trailing\n"
        "neuron lif(tau=2.0){state v=-1;charge v=v+(input-v)/tau;fire v>=-tau;\n\n\n\n"
        "// own line\nreset v=0;}\nblock f(x){lif(x)as\"y\"}\n// about g\n"
        "block g(\nx, // first\ny=3\n){for i in 0..y{if not true{x=x;}else{\nx=x+f(x)in\"s\"\n"
        "as\"t\";}}\nreturn x.channels;}";
    static const char expected[] =
        "// top\nimport \"a.spk\"; // trailing\n"
        "neuron lif(tau = 2.0) {\n\tstate v = -1;\n\tcharge v = v + (input - v) / tau;\n"
        "\tfire v >= -tau;\n\n\t// own line\n\treset v = 0;\n}\n\n"
        "block f(x) { lif(x) as \"y\" }\n\n// about g\nblock g(\n\tx, // first\n\ty = 3\n) {\n"
        "\tfor i in 0 .. y {\n\t\tif not true { x = x; } else {\n\t\t\tx = x + f(x) in \"s\"\n"
        "\t\t\t\tas \"t\";\n\t\t}\n\t}\n\treturn x.channels;\n}\n";
    assert_ok(fe_format("x.spk", in, strlen(in), NULL, &out));
    assert_string_equal(strbuf_cstr(&out), expected);
    strbuf_clear(&out);
    assert_ok(fe_format("x.spk", expected, strlen(expected), NULL, &out));
    assert_string_equal(strbuf_cstr(&out), expected);
    strbuf_clear(&out);
    assert_ok(fe_format("x.spk", "", 0, NULL, &out));
    assert_int_equal(out.len, 0);
    spk_status status = SPK_OK;
    for_each_failing_alloc(status, {
        struct strbuf text = {0};
        status = fe_format("x.spk", in, strlen(in), NULL, &text);
        strbuf_fini(&text);
    });
    strbuf_fini(&out);
}

/* ---- limits ---- */

static void repeat_text(struct strbuf *out, const char *part, size_t n)
{
    for (size_t i = 0; i < n; i++)
        strbuf_append(out, part);
}

static void refuse_built(struct strbuf *text, const char *part)
{
    assert_ok(text->status);
    refuse(strbuf_cstr(text), NULL, part);
    strbuf_clear(text);
}

static void test_limits(void **state)
{
    (void)state;
    struct strbuf t = {0};
    strbuf_append(&t, "model m() { let x = ");
    repeat_text(&t, "(", 100000);
    refuse_built(&t, "nested too deeply");
    strbuf_append(&t, "model m() { let x = 1");
    repeat_text(&t, " + 1", 100000);
    strbuf_append(&t, "; }");
    refuse_built(&t, "nested too deeply");
    strbuf_append(&t, "model m() { ");
    repeat_text(&t, "if true { ", 10000);
    refuse_built(&t, "nested too deeply");
    repeat_text(&t, "block b(x) { x }\n", 5000);
    refuse_built(&t, "is defined twice");
    strbuf_append(&t, "model m() {" IMAGE "let x = 0;");
    repeat_text(&t, "for i in 0 .. 1000000 {", 1);
    strbuf_append(&t, "for j in 0 .. 1000000 { x = x + j; } } }");
    refuse_built(&t, "no output");
    strbuf_append(&t, "model m() {" IMAGE "let s = 0; for i in 0 .. 1000000 { "
                      "for j in 0 .. 1000000 { s = 1; } } let x = image; " HEAD);
    refuse_built(&t, "takes too long");
    strbuf_append(&t,
                  "model m() {" IMAGE "let x = conv2d(image, 2147483647, 65535, 1, 65535); " HEAD);
    refuse_built(&t, "2^40 elements");
    strbuf_append(&t, "block again(x, s) { again(x, \"{s}{s}\") }\nmodel m() {" IMAGE
                      "let x = again(image, \"abc\"); " HEAD);
    refuse_built(&t, "string is too long");
    strbuf_append(&t, "block f(");
    for (int i = 0; i < 100; i++)
        strbuf_printf(&t, "a%d = 1, ", i);
    strbuf_append(&t, ") { a0 }\nmodel m() {" IMAGE "let x = f(1, 2); " HEAD);
    refuse_built(&t, "more than 31 parameters");
    strbuf_fini(&t);
}

static void test_node_limit(void **state)
{
    (void)state;
    static const char text[] = LIF "model m(n = 10) {\n" IMAGE "\tlet x = lif(image);\n"
                                   "\tfor i in 0 .. n { x = x + x; }\n" HEAD;
    struct fe_setting set = {"n", "1000000"};
    struct fe_options options = {.sets = &set, .n_sets = 1};
    refuse(text, &options, "more than 1000000 operations");
    set.value = "2147483647";
    refuse(text, &options, "2147483647 turns of a loop");
}

static void test_out_of_memory(void **state)
{
    (void)state;
    static const char text[] =
        LIF "block sn(x, out) { lif(batchnorm(linear(x, out)), v_th = 0.5) }\n"
            "model m(n = 2, s = 0.125) {\n" IMAGE "\tlet x = tokens(image);\n"
            "\tfor i in 0 .. n { x = sn(x, 4) in \"b{i}\"; }\n\tbind \"q.\" = \"b1.\";\n"
            "\tx = (x + x) as \"sum\";\n" HEAD;
    struct fe_setting set = {"n", "3"};
    struct fe_binding bind = {"fc", "head"};
    struct fe_options options = {.sets = &set, .n_sets = 1, .binds = &bind, .n_binds = 1};
    spk_status status = SPK_OK;
    for_each_failing_alloc(status, {
        struct ir_module *m = NULL;
        struct diag_list d;
        diag_init(&d);
        status = fe_model_parse_text("m.spk", text, strlen(text), &options, &d, &m);
        ir_module_destroy(m);
        diag_fini(&d);
    });
    /* on the way to an error as well: either it is reported, or memory ran out */
    for (uint64_t nth = 1; spk_fault_available(); nth++) {
        static const char bad[] = LIF "model m(dim = 10) {\n" IMAGE
                                      "\tlet x = linear(image, dim / 4) as \"{dim}\";\n" HEAD;
        struct ir_module *m = NULL;
        struct diag_list d;
        diag_init(&d);
        spk_fault_arm(SPK_FAULT_ALLOC, nth);
        status = fe_model_parse_text("m.spk", bad, strlen(bad), NULL, &d, &m);
        bool fired = spk_fault_disarm(SPK_FAULT_ALLOC);
        assert_null(m);
        assert_true(status == SPK_ERR_INPUT || (fired && status == SPK_ERR_NOMEM));
        diag_fini(&d);
        if (!fired)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zoo_names),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_missing_file),
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_bindings),
        cmocka_unit_test(test_scopes_and_names),
        cmocka_unit_test(test_arithmetic_and_control),
        cmocka_unit_test(test_equations),
        cmocka_unit_test(test_input_kinds),
        cmocka_unit_test(test_spans_point_at_model_lines),
        cmocka_unit_test(test_imports),
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_node_limit),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
