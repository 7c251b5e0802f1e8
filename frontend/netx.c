/* lava-dl networks as quantised modules.
 *
 * Layers follow one another; netx_layer.c reads those with neurons. The output is read as rates.
 * Limits: those of the file's tensors, NETX_MAX_ELEMENTS weights in a layer.       */
#include "frontend/netx.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "frontend/netx_layer.h"
#include "support/alloc.h"
#include "support/strbuf.h"

#define NETX_MAX_LAYERS 65536u
#define NETX_MAX_NAME 64u
#define NETX_TIMESTEPS 4u /* where neither the file nor a setting tells: as the zoo's models */

spk_status netx_refuse(const struct netx *x, const char *key, const char *code, const char *format,
                       ...)
{
    va_list arguments;
    char path[128];
    spk_snprintf(path, sizeof path, "%s%s%s", x->path, *key ? "/" : "", key);
    va_start(arguments, format);
    spk_status status = diag_vreport(x->d, DIAG_ERROR, SPK_ERR_INPUT, h5_place(x->file, path), code,
                                     format, arguments);
    va_end(arguments);
    return status;
}

/* ---- numbers of a layer ---- */

const char *netx_path(struct netx *x, const char *key)
{
    return arena_printf(&x->arena, "%s/%s", x->path, key);
}

/* Whole numbers; count 0 where `needed` is false and there are none. */
spk_status netx_whole(struct netx *x, const char *key, bool needed, double least, double most,
                      struct h5_info *info, double **out)
{
    const char *path = netx_path(x, key);
    *out = NULL;
    *info = (struct h5_info){0};
    if (path == NULL)
        return SPK_ERR_NOMEM;
    if (!needed && !h5_exists(x->file, path))
        return SPK_OK;
    SPK_TRY(h5_read_as_f64(x->file, path, NETX_MAX_ELEMENTS, info, out));
    for (uint64_t i = 0; i < info->count; i++) {
        const double v = (*out)[i];
        if (v == floor(v) && v >= least && v <= most)
            continue;
        spk_free(*out);
        *out = NULL;
        return netx_refuse(x, key, "E0294", "%g is no whole number from %g to %g", v, least, most);
    }
    return SPK_OK;
}

/* `count` numbers, or one for all; `absent` where there are none. */
spk_status netx_few(struct netx *x, const char *key, int64_t absent, double least, double most,
                    uint32_t count, int64_t *out)
{
    struct h5_info info;
    double *data;
    SPK_TRY(netx_whole(x, key, absent < 0, least, most, &info, &data));
    const bool fine = info.count <= 1 || info.count == count;
    for (uint32_t i = 0; i < count && fine; i++)
        out[i] = info.count == 0 ? absent : (int64_t)data[info.count == 1 ? 0 : i];
    spk_free(data);
    if (info.count == 0 && absent < 0)
        return netx_refuse(x, key, "E0294", "it is empty");
    return fine ? SPK_OK : netx_refuse(x, key, "E0294", "%u numbers are wanted", count);
}

spk_status netx_word(struct netx *x, const char *key, const char **out)
{
    const char *path = netx_path(x, key);
    struct h5_names texts = {0};
    if (path == NULL)
        return SPK_ERR_NOMEM;
    SPK_TRY(h5_read_strings(x->file, path, 1, NETX_MAX_NAME, &texts));
    *out = texts.len == 1 ? arena_strdup(&x->arena, texts.data[0]) : NULL;
    const bool missing = texts.len != 1;
    h5_names_fini(&texts);
    if (missing)
        return netx_refuse(x, key, "E0292", "one name is wanted");
    return *out ? SPK_OK : SPK_ERR_NOMEM;
}

/* Refuses datasets that are not among the blank-separated `known`. */
spk_status netx_keys(struct netx *x, const char *type, const char *known)
{
    struct h5_names names;
    spk_status status = SPK_OK;
    SPK_TRY(h5_list(x->file, x->path, 4096, &names));
    for (size_t i = 0; i < names.len && status == SPK_OK; i++) {
        const size_t n = strlen(names.data[i]);
        const char *at = known;
        bool found = false;
        while (!found && (at = strstr(at, names.data[i])) != NULL) {
            found = (at == known || at[-1] == ' ') && (at[n] == ' ' || at[n] == '\0');
            at += n;
        }
        if (!found)
            status = netx_refuse(x, names.data[i], "E0293",
                                 "a %s layer with this, which spikec does not know; it knows: %s",
                                 type, known);
    }
    h5_names_fini(&names);
    return status;
}

/* ---- building ---- */

spk_status netx_param(struct netx *x, const char *key, enum ir_dtype type, uint32_t rank,
                      const uint32_t *dim, void *data, uint32_t *out)
{
    struct ir_param p = {
        .dtype = type, .rank = rank, .data = data, .span = h5_place(x->file, x->path)};
    spk_status status = ir_module_own(x->m, data);
    if (status != SPK_OK) {
        spk_free(data);
        return status;
    }
    memcpy(p.dim, dim, rank * sizeof *dim);
    p.name = arena_printf(&x->arena, "layer.%u.%s", x->index, key);
    return p.name ? ir_add_param(x->m, &p, out) : SPK_ERR_NOMEM;
}

spk_status netx_node(struct netx *x, struct ir_node *n, const char *name)
{
    uint32_t operand = x->at, id;
    n->span = h5_place(x->file, x->path);
    if (n->op != IR_OP_INPUT) {
        n->n_operands = 1;
        n->operand = &operand;
    }
    SPK_TRY(ir_add_node(x->m, n, x->d, &id));
    x->at = id;
    if (name == NULL)
        return SPK_OK;
    x->m->node[id].name = arena_strdup(&x->m->arena, name);
    return x->m->node[id].name ? SPK_OK : SPK_ERR_NOMEM;
}

/* ---- layers ---- */

static spk_status read_input(struct netx *x)
{
    struct ir_node n = {.op = IR_OP_INPUT, .a.input.events = true};
    int64_t dims[3];
    SPK_TRY(netx_keys(x, "input", "type shape neuron weight bias"));
    static const char *const analog[] = {"neuron", "weight", "bias"};
    for (size_t i = 0; i < 3; i++) {
        const char *path = netx_path(x, analog[i]);
        if (path == NULL)
            return SPK_ERR_NOMEM;
        if (h5_exists(x->file, path))
            return netx_refuse(x, analog[i], "E0297",
                               "an input of real values that drive neurons, which spikec does not "
                               "read: it takes networks whose input is spikes");
    }
    SPK_TRY(netx_few(x, "shape", -1, 1, 65535, 3, dims));
    if (dims[0] * dims[1] * dims[2] > (int64_t)NETX_MAX_ELEMENTS)
        return netx_refuse(x, "shape", "E0294", "more than %llu inputs",
                           (unsigned long long)NETX_MAX_ELEMENTS);
    n.type.layout = IR_CHW;
    n.type.channels = (uint32_t)dims[0];
    n.type.height = (uint32_t)dims[1];
    n.type.width = (uint32_t)dims[2];
    SPK_TRY(netx_node(x, &n, "input"));
    struct ir_node encode = {.op = IR_OP_ENCODE, .a.encode.kind = IR_ENCODE_EVENTS};
    return netx_node(x, &encode, NULL);
}

static spk_status read_flatten(struct netx *x)
{
    const struct ir_type *t = &x->m->node[x->at].type;
    struct h5_info info;
    double *dims;
    SPK_TRY(netx_keys(x, "flatten", "type shape"));
    SPK_TRY(netx_whole(x, "shape", false, 1, 1e9, &info, &dims));
    double n = 1.0;
    for (uint64_t i = 0; i < info.count; i++)
        n *= dims[i];
    spk_free(dims);
    if (info.count > 0 && n != (double)ir_type_elements(t))
        return netx_refuse(x, "shape", "E0294", "%g elements, the layer before has %llu", n,
                           (unsigned long long)ir_type_elements(t));
    x->flat = true;
    return SPK_OK;
}

static spk_status read_layer(struct netx *x)
{
    const char *type;
    SPK_TRY(netx_word(x, "type", &type));
    const bool first = x->index == 0;
    if (first != (strcmp(type, "input") == 0))
        return netx_refuse(x, "type", "E0292",
                           "the first layer, and no other, must be 'input'; it is '%s'", type);
    if (first)
        return read_input(x);
    if (strcmp(type, "dense") == 0)
        return netx_dense(x);
    if (strcmp(type, "conv") == 0)
        return netx_conv(x);
    if (strcmp(type, "flatten") == 0)
        return read_flatten(x);
    return netx_refuse(
        x, "type", "E0292",
        "a layer of type '%s', which spikec does not read; it reads input, conv, dense, "
        "flatten",
        type);
}

/* Rates of the last layer, behind an identity matrix as read-outs have weights. */
static spk_status read_out(struct netx *x)
{
    const struct ir_type t = x->m->node[x->at].type;
    const uint32_t channels = t.channels, dim[2] = {channels, channels};
    const uint64_t divisor = ir_type_positions(&t) * t.timesteps;
    uint32_t param;
    float *one = NULL;
    if (t.kind != IR_SPIKE || x->flat)
        return netx_refuse(x, "", "E0292", "the last layer has no neurons");
    if (channels > 4096 || divisor > UINT32_MAX)
        return netx_refuse(x, "", "E0294", "an output of %u channels, at most 4096 are read",
                           channels);
    SPK_TRY(spk_alloc_array((size_t)channels * channels, sizeof *one, &one));
    for (size_t c = 0; c < channels; c++)
        one[c * channels + c] = 1.0f;
    SPK_TRY(netx_param(x, "identity", IR_DT_F32, 2, dim, one, &param));
    struct ir_node n = {.op = IR_OP_READOUT, .param = &param, .n_params = 1};
    n.a.readout.divisor = (uint32_t)divisor;
    SPK_TRY(netx_node(x, &n, NULL));
    struct ir_node output = {.op = IR_OP_OUTPUT};
    return netx_node(x, &output, "output");
}

/* ---- the file ---- */

static spk_status read_steps(struct netx *x, const struct fe_options *o)
{
    double steps = NAN;
    x->path = "simulation";
    if (h5_exists(x->file, "simulation/tSample")) {
        int64_t number;
        SPK_TRY(netx_few(x, "tSample", 0, 0, 1e9, 1, &number));
        steps = number >= 1 && number <= 65535 ? (double)number : (double)NAN;
    }
    for (uint32_t i = 0; i < o->n_sets; i++) {
        const struct fe_setting *s = &o->sets[i];
        if (strcmp(s->name, "timesteps") != 0)
            return diag_error(x->d, spk_span_none, "E0291",
                              "a netx network has no parameter '%s'; it has timesteps", s->name);
        if (!spk_parse_f64(s->value, strlen(s->value), &steps))
            steps = -1.0;
    }
    if (o->n_binds > 0 || o->dt > 0.0)
        return diag_error(x->d, spk_span_none, "E0291",
                          "a netx network holds its weights and its steps: it takes neither --bind "
                          "nor --dt");
    if (isnan(steps)) {
        diag_warning(x->d, spk_span_none, "W0281",
                     "the network does not tell the number of time steps: %u are assumed",
                     NETX_TIMESTEPS);
        diag_help_set(x->d, "give it with --set timesteps=N");
        steps = NETX_TIMESTEPS;
    }
    if (!(steps >= 1.0 && steps <= 65535.0) || steps != floor(steps))
        return diag_error(x->d, spk_span_none, "E0291", "timesteps must be 1 to 65535");
    x->m->timesteps = (uint32_t)steps;
    return SPK_OK;
}

static spk_status read_layers(struct netx *x)
{
    struct h5_names names;
    SPK_TRY(h5_list(x->file, "layer", NETX_MAX_LAYERS, &names));
    const uint32_t n = (uint32_t)names.len;
    h5_names_fini(&names);
    spk_status status = SPK_OK;
    x->path = "layer";
    if (n == 0)
        return netx_refuse(x, "", "E0292", "there are no layers");
    for (x->index = 0; x->index < n && status == SPK_OK; x->index++) {
        x->path = arena_printf(&x->arena, "layer/%u", x->index);
        if (x->path == NULL)
            return SPK_ERR_NOMEM;
        if (!h5_exists(x->file, x->path))
            status = netx_refuse(x, "", "E0292", "the %u layers are not numbered from 0 on", n);
        else
            status = read_layer(x);
    }
    x->index--;
    return status == SPK_OK ? read_out(x) : status;
}

spk_status fe_netx_load(const struct h5_file *file, const char *name,
                        const struct fe_options *options, struct diag_list *d,
                        struct ir_module **out)
{
    struct netx x = {.file = file, .d = d, .at = IR_NONE};
    *out = NULL;
    arena_init(&x.arena, 0);
    spk_status status = ir_module_create(name, &x.m);
    if (status == SPK_OK) {
        x.m->stage = IR_STAGE_QUANTISED;
        x.m->target = arena_strdup(&x.m->arena, "netx"); /* its arithmetic, of no one chip */
        status = x.m->target ? read_steps(&x, options) : SPK_ERR_NOMEM;
    }
    if (status == SPK_OK)
        status = read_layers(&x);
    if (status == SPK_OK)
        status = ir_verify(x.m, d);
    arena_fini(&x.arena);
    if (status == SPK_OK)
        *out = x.m;
    else
        ir_module_destroy(x.m);
    return status;
}
