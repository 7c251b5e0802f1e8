/* NIR graphs and netx networks of arbitrary content. The bytes choose nodes, datasets, their shapes
 * and values, and edges, which are written as a sound HDF5 file: what is tested is our reader, not
 * libhdf5. A file is read into a sound module, or refused with a word. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "frontend/model.h"
#include "support/alloc.h"
#include "support/h5.h"
#include "support/strbuf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct bytes {
    const uint8_t *at, *end;
};

static uint8_t next(struct bytes *b)
{
    return b->at < b->end ? *b->at++ : 0;
}

struct kind {
    const char *name, *keys;
};

static const struct kind NIR[] = {
    {"Input", "shape"},
    {"Output", "shape"},
    {"Affine", "weight bias"},
    {"Linear", "weight"},
    {"Scale", "scale"},
    {"Conv1d", "weight bias stride padding dilation groups input_shape"},
    {"Conv2d", "weight bias stride padding dilation groups input_shape"},
    {"SumPool2d", "kernel_size stride padding"},
    {"AvgPool2d", "kernel_size stride padding"},
    {"Flatten", "input_type start_dim end_dim"},
    {"IF", "r v_threshold v_reset"},
    {"LIF", "tau r v_leak v_threshold v_reset metadata/fire_at"},
    {"LI", "tau r v_leak"},
    {"I", "r"},
    {"CubaLIF", "tau_syn tau_mem r v_leak v_threshold v_reset w_in"},
    {"CubaLI", "tau_syn tau_mem r v_leak w_in"},
    {"Delay", "delay"},
    {"Threshold", "threshold"},
    {"NIRGraph", "edges"},
    {"Nothing", "weight"},
};
static const struct kind NETX[] = {
    {"input", "shape"},
    {"dense", "shape weight bias inFeatures outFeatures neuron/iDecay neuron/vDecay "
              "neuron/vThMant neuron/refDelay"},
    {"conv", "shape weight bias groups stride padding dilation neuron/iDecay neuron/vDecay "
             "neuron/vThMant"},
    {"flatten", "shape"},
    {"pool", "weight"},
};

/* A dataset: absent, or of rank 0 to 4 with dims 0 to 6; whole numbers, eighths, or extremes. */
static void dataset(struct h5_file *f, const char *path, struct bytes *b)
{
    const uint8_t shape = next(b), values = next(b);
    uint64_t dims[4], count = 1;
    double data[1296];
    if (shape == 0xff)
        return;
    const uint32_t rank = shape % 5;
    for (uint32_t i = 0; i < rank; i++) {
        dims[i] = next(b) % 7;
        count *= dims[i];
    }
    for (uint64_t i = 0; i < count && i < 1296; i++) {
        const double x = (double)(int8_t)next(b);
        data[i] = values % 4 == 0   ? (double)(uint8_t)x
                  : values % 4 == 1 ? x / 8.0
                  : values % 4 == 2 ? x
                                    : x * 1e300 * 1e300;
    }
    if (count <= 1296 &&
        h5_write(f, path, H5_F64, rank, dims, data, shape & 0x80 ? 4 : 0) != SPK_OK)
        return; /* the name is taken */
}

static void node(struct h5_file *f, const char *group, const struct kind *k, struct bytes *b)
{
    char path[256], key[64];
    const char *at = k->keys;
    while (*at) {
        size_t n = strcspn(at, " ");
        memcpy(key, at, n);
        key[n] = '\0';
        at += n + (at[n] == ' ');
        spk_snprintf(path, sizeof path, "%s/%s", group, key);
        dataset(f, path, b);
    }
}

static void write_nir(struct h5_file *f, const char *group, struct bytes *b, int depth)
{
    const unsigned n = 2 + next(b) % 7;
    const char *graph = "NIRGraph", *ends[24];
    char path[256], name[9][4];
    uint64_t dims[2] = {next(b) % 12, 2};
    spk_snprintf(path, sizeof path, "%s/type", group);
    bool ok = h5_write_text(f, path, 0, NULL, &graph) == SPK_OK;
    for (unsigned i = 0; i < n && ok; i++) {
        const struct kind *k = i < 2 ? &NIR[i] : &NIR[next(b) % (sizeof NIR / sizeof NIR[0])];
        spk_snprintf(name[i], sizeof name[i], "n%u", i);
        spk_snprintf(path, sizeof path, "%s/nodes/%s", group, name[i]);
        if (strcmp(k->name, "NIRGraph") == 0 && depth < 2) {
            write_nir(f, path, b, depth + 1);
            continue;
        }
        node(f, path, k, b);
        spk_snprintf(path, sizeof path, "%s/nodes/%s/type", group, name[i]);
        ok = h5_write_text(f, path, 0, NULL, &k->name) == SPK_OK;
    }
    for (uint64_t i = 0; i < 2 * dims[0]; i++)
        ends[i] = name[next(b) % n];
    spk_snprintf(path, sizeof path, "%s/edges", group);
    if (!ok || h5_write_text(f, path, 2, dims, ends) != SPK_OK)
        return;
}

static void write_netx(struct h5_file *f, struct bytes *b)
{
    const unsigned n = 1 + next(b) % 5;
    const char *type = "LOIHI";
    char path[64];
    for (unsigned i = 0; i < n; i++) {
        const struct kind *k = i == 0 ? NETX : &NETX[next(b) % (sizeof NETX / sizeof NETX[0])];
        spk_snprintf(path, sizeof path, "layer/%u", i);
        node(f, path, k, b);
        spk_snprintf(path, sizeof path, "layer/%u/type", i);
        if (h5_write_ascii(f, path, 10, k->name) != SPK_OK)
            return;
        spk_snprintf(path, sizeof path, "layer/%u/neuron/type", i);
        if (strcmp(k->name, "dense") == 0 || strcmp(k->name, "conv") == 0)
            if (h5_write_text(f, path, 0, NULL, &type) != SPK_OK)
                return;
    }
}

static void read_file(const char *path)
{
    const struct fe_setting steps = {"timesteps", "3"};
    const struct fe_options options = {.sets = &steps, .n_sets = 1};
    struct diag_list diags;
    struct fe_model model = {0};
    struct strbuf text = {0};
    diag_init(&diags);
    spk_status status = fe_model_open(path, &options, &diags, &model);
    if (status == SPK_OK) {
        if (ir_verify(model.module, &diags) != SPK_OK)
            abort();
        ir_print(model.module, &text);
    } else if (status != SPK_ERR_INPUT || diags.error_count == 0) {
        abort();
    }
    diag_render(&diags, NULL, &text);
    strbuf_fini(&text);
    fe_model_fini(&model);
    diag_fini(&diags);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes b = {data, data + size};
    struct diag_list diags;
    struct h5_file *f;
    char path[] = "fuzz_graphs.XXXXXX";
    const int fd = mkstemp(path);
    const double dt = 0.5;
    if (fd < 0)
        return 0;
    close(fd);
    diag_init(&diags);
    if (h5_create(path, &diags, &f) != SPK_OK)
        abort();
    const bool netx = next(&b) % 2 != 0;
    if (netx)
        write_netx(f, &b);
    else
        write_nir(f, "node", &b, 0);
    bool ok = netx || next(&b) % 8 == 0 ||
              h5_write(f, "node/metadata/dt", H5_F64, 0, NULL, &dt, 0) == SPK_OK;
    if (h5_close(f) == SPK_OK && ok)
        read_file(path);
    diag_fini(&diags);
    unlink(path);
    return 0;
}
