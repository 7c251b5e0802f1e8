/* Golden cases as modules: structure after the manifest's configuration, data from the case's
 * weights. Names of weights and values are those of the checkpoints. The tensors stay in the mapped
 * file (or are copied where they lie unaligned).                                               */
#include "golden_case.h"

#include <stdio.h>
#include <string.h>

#include "support/alloc.h"
#include "support/file.h"

struct builder {
    struct golden_case *g;
    struct ir_module *m;
    struct diag_list *d;
    spk_status status;      /* sticky */
    uint32_t lif, attn_lif; /* programs */
};

/* Parts of a name, put together per call. */
struct name {
    char text[96];
};

static struct name label(const char *format, ...) SPK_PRINTF(1, 2);
static struct name label(const char *format, ...)
{
    struct name n;
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(n.text, sizeof n.text, format, arguments);
    va_end(arguments);
    return n;
}

static uint32_t add(struct builder *b, struct ir_node node)
{
    uint32_t id = 0;

    if (b->status == SPK_OK)
        b->status = ir_add_node(b->m, &node, b->d, &id);
    return id;
}

static const void *weight_data(struct builder *b, const char *name, const struct ir_param *p)
{
    const struct st_tensor *t = NULL;
    float *copy = NULL;

    if (!b->g->weights || b->status != SPK_OK)
        return NULL;
    b->status = st_require(b->g->weights, name, b->d, &t);
    if (b->status == SPK_OK && t->count != ir_param_elements(p))
        b->status = diag_error(b->d, spk_span_none, "E0999", "%s has a wrong size", name);
    if (b->status == SPK_OK)
        b->status = spk_alloc_array_raw(t->count, sizeof *copy, &copy);
    if (b->status == SPK_OK)
        b->status = st_to_f32(t, copy);
    if (b->status == SPK_OK)
        b->status = ir_module_own(b->m, copy);
    return copy;
}

static uint32_t param(struct builder *b, const char *name, uint32_t rank, uint32_t d0, uint32_t d1,
                      uint32_t k)
{
    struct ir_param p = {.name = name, .dtype = IR_DT_F32, .rank = rank, .dim = {d0, d1, k, k}};
    uint32_t id = 0;

    p.data = weight_data(b, name, &p);
    if (b->status == SPK_OK)
        b->status = ir_add_param(b->m, &p, &id);
    return id;
}

static uint32_t channels_of(const struct builder *b, uint32_t x)
{
    return b->status == SPK_OK ? b->m->node[x].type.channels : 1;
}

static uint32_t conv(struct builder *b, uint32_t x, const char *name, uint32_t out, uint16_t k,
                     uint16_t stride, uint16_t pad)
{
    uint32_t w = param(b, label("%s.weight", name).text, 4, out, channels_of(b, x), k);

    return add(b, (struct ir_node){.op = IR_OP_CONV2D,
                                   .n_operands = 1,
                                   .operand = &x,
                                   .n_params = 1,
                                   .param = &w,
                                   .a.conv = {k, k, stride, stride, pad, pad, 0}});
}

static uint32_t linear(struct builder *b, uint32_t x, const char *name, uint32_t out, bool bias)
{
    uint32_t p[2] = {param(b, label("%s.weight", name).text, 2, out, channels_of(b, x), 0), 0};

    if (bias)
        p[1] = param(b, label("%s.bias", name).text, 1, out, 0, 0);
    return add(b, (struct ir_node){.op = IR_OP_LINEAR,
                                   .n_operands = 1,
                                   .operand = &x,
                                   .n_params = bias ? 2 : 1,
                                   .param = p});
}

static uint32_t neuron(struct builder *b, uint32_t x, uint32_t program, const char *name)
{
    return add(b, (struct ir_node){.op = IR_OP_NEURON,
                                   .n_operands = 1,
                                   .operand = &x,
                                   .name = name,
                                   .recorded = true,
                                   .a.neuron.program = program});
}

/* Batch norm bn, then the neuron lif. */
static uint32_t bn_lif(struct builder *b, uint32_t x, const char *bn, const char *lif)
{
    static const char *const part[] = {"weight", "bias", "running_mean", "running_var"};
    uint32_t p[4], c = channels_of(b, x);

    for (int i = 0; i < 4; i++)
        p[i] = param(b, label("%s.%s", bn, part[i]).text, 1, c, 0, 0);
    x = add(b, (struct ir_node){.op = IR_OP_BATCHNORM,
                                .n_operands = 1,
                                .operand = &x,
                                .n_params = 4,
                                .param = p,
                                .a.eps = 1e-5f});
    return neuron(b, x, b->lif, lif);
}

static uint32_t sum(struct builder *b, uint32_t x, uint32_t y, const char *name)
{
    uint32_t xy[2] = {x, y};

    return add(b, (struct ir_node){.op = IR_OP_ADD,
                                   .n_operands = 2,
                                   .operand = xy,
                                   .name = name,
                                   .recorded = name != NULL});
}

static uint32_t lif_program(struct builder *b, const char *name, float tau, float vth)
{
    const struct ir_eq charge[] = {{IR_EQ_STATE, 0, 0}, {IR_EQ_INPUT, 0, 0},   {IR_EQ_STATE, 0, 0},
                                   {IR_EQ_SUB, 0, 0},   {IR_EQ_CONST, 0, tau}, {IR_EQ_DIV, 0, 0},
                                   {IR_EQ_ADD, 0, 0}};
    const struct ir_eq v = {IR_EQ_STATE, 0, 0}, th = {IR_EQ_CONST, 0, vth};
    const struct ir_eq zero = {IR_EQ_CONST, 0, 0};
    struct ir_neuron n = {.name = name,
                          .n_states = 1,
                          .state_name = {"v"},
                          .cmp = IR_CMP_GE,
                          .charge = {{charge, 7}},
                          .reset = {{&zero, 1}},
                          .fire_lhs = {&v, 1},
                          .fire_rhs = {&th, 1}};
    uint32_t id = 0;

    if (b->status == SPK_OK)
        b->status = ir_add_neuron(b->m, &n, &id);
    return id;
}

/* ---- the networks ---- */

static uint32_t stem_v2(struct builder *b, uint32_t x)
{
    uint32_t dim = b->g->config.dim;

    for (uint32_t i = 0; i < 4; i++) {
        struct name s = label("patch_embed.stage%u", i);
        uint32_t c = dim >> (3 - i), h;

        x = conv(b, x, label("%s.down_conv", s.text).text, c, 2, 2, 0);
        x = bn_lif(b, x, label("%s.down_bn", s.text).text, label("%s.down_lif", s.text).text);
        h = conv(b, x, label("%s.block0.conv1", s.text).text, 4 * c, 3, 1, 1);
        h = bn_lif(b, h, label("%s.block0.bn1", s.text).text, label("%s.block0.lif1", s.text).text);
        h = conv(b, h, label("%s.block0.conv2", s.text).text, c, 3, 1, 1);
        h = bn_lif(b, h, label("%s.block0.bn2", s.text).text, label("%s.block0.lif2", s.text).text);
        x = sum(b, x, h, i == 3 ? "patch_embed.out" : NULL);
    }
    return x;
}

static uint32_t stem_v1(struct builder *b, uint32_t x)
{
    static const char *const suffix[] = {"", "1", "2", "3"};
    const struct golden_config *c = &b->g->config;
    uint32_t h;

    for (uint32_t i = 0; i < 4; i++) {
        x = conv(b, x, label("patch_embed.proj_conv%s", suffix[i]).text, c->dim >> (3 - i), 3, 1,
                 1);
        x = bn_lif(b, x, label("patch_embed.proj_bn%s", suffix[i]).text,
                   label("patch_embed.proj_lif%s", suffix[i]).text);
        if (c->pool[i])
            x = add(b,
                    (struct ir_node){
                        .op = IR_OP_MAXPOOL, .n_operands = 1, .operand = &x, .a.pool = {3, 2, 1}});
    }
    h = conv(b, x, "patch_embed.rpe_conv", c->dim, 3, 1, 1);
    h = bn_lif(b, h, "patch_embed.rpe_bn", "patch_embed.rpe_lif");
    return sum(b, x, h, "patch_embed.out");
}

/* linear, batch norm, neuron called `part` of a block. */
static uint32_t token_sn(struct builder *b, uint32_t x, const char *part, uint32_t out, bool bias)
{
    const char *kind = b->g->config.linear ? "linear" : "conv";

    x = linear(b, x, label("%s_%s", part, kind).text, out, bias);
    return bn_lif(b, x, label("%s_bn", part).text, label("%s_lif", part).text);
}

static uint32_t block(struct builder *b, uint32_t x, uint32_t l)
{
    const struct golden_config *c = &b->g->config;
    struct name attn = label("block.%u.attn", l), mlp = label("block.%u.mlp", l);
    uint32_t qkv[3], y;

    for (int i = 0; i < 3; i++)
        qkv[i] = token_sn(b, x, label("%s.%c", attn.text, "qkv"[i]).text, c->dim, c->qkv_bias);
    y = add(b, (struct ir_node){.op = IR_OP_ATTENTION,
                                .n_operands = 3,
                                .operand = qkv,
                                .a.attention = {.heads = c->heads, .scale = c->scale}});
    y = neuron(b, y, b->attn_lif, label("%s.attn_lif", attn.text).text);
    y = token_sn(b, y, label("%s.proj", attn.text).text, c->dim, c->proj_bias);
    x = sum(b, x, y, label("%s.out", attn.text).text);
    y = token_sn(b, x, label("%s.fc1", mlp.text).text, c->dim * c->mlp_ratio, c->mlp_bias);
    y = token_sn(b, y, label("%s.fc2", mlp.text).text, c->dim, c->mlp_bias);
    return sum(b, x, y, label("block.%u.out", l).text);
}

static spk_status build(struct golden_case *g, struct diag_list *d)
{
    const struct golden_config *c = &g->config;
    struct builder b = {.g = g, .m = g->module, .d = d};
    uint32_t x;

    b.m->timesteps = c->timesteps;
    b.lif = lif_program(&b, "lif", c->tau, c->vth);
    b.attn_lif = lif_program(&b, "attn_lif", c->tau, c->attn_vth);
    x = add(&b, (struct ir_node){.op = IR_OP_INPUT,
                                 .name = "image",
                                 .type = {.layout = IR_CHW,
                                          .channels = c->in_channels,
                                          .height = c->height,
                                          .width = c->width},
                                 .a.input.events = c->events});
    if (!c->events)
        x = add(&b,
                (struct ir_node){
                    .op = IR_OP_REPEAT, .n_operands = 1, .operand = &x, .a.repeat = c->timesteps});
    x = c->v1 ? stem_v1(&b, x) : stem_v2(&b, x);
    x = add(&b, (struct ir_node){.op = IR_OP_RESHAPE,
                                 .n_operands = 1,
                                 .operand = &x,
                                 .a.reshape.to = c->linear ? IR_NC : IR_CN});
    for (uint32_t l = 0; l < c->depth; l++)
        x = block(&b, x, l);
    x = add(&b,
            (struct ir_node){.op = IR_OP_MEAN, .n_operands = 1, .operand = &x, .name = "features"});
    x = linear(&b, x, "head", c->classes, true);
    (void)add(
        &b, (struct ir_node){.op = IR_OP_OUTPUT, .n_operands = 1, .operand = &x, .name = "logits"});
    return b.status == SPK_OK ? ir_verify(b.m, d) : b.status;
}

/* ---- files ---- */

static spk_status read_config(const struct golden_case *g, struct diag_list *d,
                              struct golden_config *c)
{
    struct json_cursor root = js_root(g->manifest, g->folder, d), at, item;
    const char *text;
    double real[4];
    static const char *const reals[] = {"attn_scale", "attn_vth", "vth", "tau"};
    const struct {
        const char *key;
        uint32_t *to;
    } whole[] = {{"in_ch", &c->in_channels},   {"dim", &c->dim},
                 {"depth", &c->depth},         {"heads", &c->heads},
                 {"mlp_ratio", &c->mlp_ratio}, {"T", &c->timesteps},
                 {"classes", &c->classes}};
    uint32_t flag;

    SPK_TRY(js_get_string(&root, "mode", &text));
    c->exact = strcmp(text, "exact") == 0;
    SPK_TRY(js_member(&root, "config", &at));
    SPK_TRY(js_get_string(&at, "variant", &text));
    c->v1 = strcmp(text, "v1") == 0;
    SPK_TRY(js_get_string(&at, "input_mode", &text));
    c->events = strcmp(text, "events") == 0;
    SPK_TRY(js_get_string(&at, "lin", &text));
    c->linear = strcmp(text, "linear") == 0;
    SPK_TRY(js_get_bool(&at, "qkv_bias", &c->qkv_bias));
    SPK_TRY(js_get_bool(&at, "proj_bias", &c->proj_bias));
    SPK_TRY(js_get_bool(&at, "mlp_bias", &c->mlp_bias));
    for (int i = 0; i < 7; i++)
        SPK_TRY(js_get_u32(&at, whole[i].key, 1 << 20, whole[i].to));
    for (int i = 0; i < 4; i++)
        SPK_TRY(js_get_f64(&at, reals[i], &real[i]));
    c->scale = (float)real[0];
    c->attn_vth = (float)real[1];
    c->vth = (float)real[2];
    c->tau = (float)real[3];
    SPK_TRY(js_member(&at, "img", &item));
    struct json_cursor h, w;
    SPK_TRY(js_element(&item, 0, &h));
    SPK_TRY(js_element(&item, 1, &w));
    SPK_TRY(js_u32(&h, 1 << 16, &c->height));
    SPK_TRY(js_u32(&w, 1 << 16, &c->width));
    SPK_TRY(js_member(&at, "pools", &item));
    for (uint32_t i = 0; i < 4; i++) {
        SPK_TRY(js_element(&item, i, &h));
        SPK_TRY(js_u32(&h, 1, &flag));
        c->pool[i] = flag != 0;
    }
    return SPK_OK;
}

static spk_status read_image(struct golden_case *g, struct diag_list *d)
{
    const struct st_tensor *t;

    SPK_TRY(st_require(g->input, "input", d, &t));
    g->n_images = (uint32_t)t->shape[0];
    g->image_stride = t->count / g->n_images;
    SPK_TRY(spk_alloc_array_raw(t->count, sizeof *g->image, &g->image));
    return st_to_f32(t, g->image);
}

static spk_status open_file(const struct golden_case *g, const char *name, struct diag_list *d,
                            struct st_file **out)
{
    char *path = path_join(g->folder, name);
    spk_status status = path ? SPK_OK : SPK_ERR_NOMEM;

    if (status == SPK_OK && file_exists(path))
        status = st_open(path, d, out);
    spk_free(path);
    return status;
}

spk_status golden_open(const char *name, struct diag_list *d, struct golden_case *g)
{
    char *path;
    spk_status status;

    *g = (struct golden_case){0};
    snprintf(g->folder, sizeof g->folder, "%s/golden/%s", SPIKEC_TEST_DATA_DIR, name);
    path = path_join(g->folder, "manifest.json");
    status = path ? js_parse_file(path, NULL, d, &g->manifest) : SPK_ERR_NOMEM;
    spk_free(path);
    if (status == SPK_OK)
        status = read_config(g, d, &g->config);
    if (status == SPK_OK)
        status = open_file(g, "weights.safetensors", d, &g->weights);
    if (status == SPK_OK)
        status = open_file(g, "input.safetensors", d, &g->input);
    if (status == SPK_OK)
        status = open_file(g, "expected.safetensors", d, &g->expected);
    if (status == SPK_OK && g->input)
        status = read_image(g, d);
    if (status == SPK_OK)
        status = ir_module_create(name, &g->module);
    return status == SPK_OK ? build(g, d) : status;
}

void golden_close(struct golden_case *g)
{
    ir_module_destroy(g->module);
    st_close(g->weights);
    st_close(g->input);
    st_close(g->expected);
    js_free(g->manifest);
    spk_free(g->image);
    *g = (struct golden_case){0};
}

spk_status golden_list(struct diag_list *d, struct file_names *out)
{
    SPK_TRY(file_list(SPIKEC_TEST_DATA_DIR "/golden", "-exact", d, out));
    struct file_names floats = {0};
    spk_status status = file_list(SPIKEC_TEST_DATA_DIR "/golden", "-float", d, &floats);

    if (status == SPK_OK)
        status = vec_append(out, floats.data, floats.len);
    if (status == SPK_OK)
        vec_fini(&floats); /* the names went over */
    else
        file_names_fini(&floats);
    return status;
}
