/* The C header of code built ahead of time: what goes in and out, how much memory it needs. */
#include <ctype.h>
#include <string.h>

#include "backends/llvm/native_private.h"
#include "backends/llvm/native_target.h"
#include "config.h"

void nat_symbol_name(const char *name, bool upper, struct strbuf *out)
{
    if (!isalpha((unsigned char)name[0]))
        strbuf_append(out, upper ? "MODEL_" : "model_");
    for (const char *c = name; *c; c++) {
        int letter = isalnum((unsigned char)*c) ? *c : '_';

        strbuf_char(out, (char)(upper ? toupper(letter) : letter));
    }
}

static const struct ir_node *input_of(const struct ir_module *m)
{
    for (uint32_t i = 0; i < m->n_nodes; i++)
        if (m->node[i].op == IR_OP_INPUT)
            return &m->node[i];
    return NULL; /* a plan has one */
}

/* An initialiser, one number per channel. */
static void write_floats(const char *prefix, const char *what, const struct ir_node *n,
                         const float *x, struct strbuf *out)
{
    strbuf_printf(out, "#define %s_INPUT_%s {", prefix, what);
    for (uint32_t i = 0; i < n->type.channels; i++) {
        strbuf_append(out, i ? ", " : "");
        strbuf_append(out, "(float)");
        strbuf_f32(out, x[n->a.input.n_norm == 1 ? 0 : i]);
    }
    strbuf_append(out, "}\n");
}

static void write_input(const struct ir_node *n, uint32_t steps, struct strbuf *out)
{
    const struct ir_attr_input *a = &n->a.input;
    const struct ir_type *t = &n->type;

    if (a->events)
        strbuf_printf(
            out,
            " * input   float [batch][%u][%u][%u][%u]: a frame of events for each of %u "
            "time steps;\n"
            " *         [step][channel][row][column], counts: whole numbers from 0 to %u\n",
            t->timesteps, t->channels, t->height, t->width, steps, nat_input_max(t));
    else
        strbuf_printf(out,
                      " * input   float [batch][%u][%u][%u]: an image, shown in each of %u time "
                      "steps;\n *         [channel][row][column], finite\n",
                      t->channels, t->height, t->width, steps);
    if (a->normalise)
        strbuf_append(
            out, " *         a byte b of a picture becomes (b / 255 - MEAN) / STD, those of its "
                 "channel\n");
}

static void write_comment(const struct nat_plan *p, const struct nat_build_options *o,
                          const char *cpu, const char *name, struct strbuf *out)
{
    uint32_t steps = 1;

    for (uint32_t i = 0; i < p->m->n_nodes; i++)
        steps = p->m->node[i].type.timesteps > steps ? p->m->node[i].type.timesteps : steps;
    strbuf_printf(
        out, "/* %s: a spiking network as machine code, %s.\n * Made by spikec %s for %s.\n *\n",
        name, o->level, SPIKEC_VERSION,
        strcmp(cpu, "native") == 0 ? "the processor that made it" : cpu);
    write_input(input_of(p->m), steps, out);
    strbuf_printf(
        out,
        " * logits  float [batch][%u]: the head's sums, one per class; no unit, the "
        "largest is the answer\n"
        " * state   none outside a call: neurons start anew with every image, and nothing "
        "is kept\n"
        " * batch   images are computed one after another, independently; 0 is allowed\n"
        " * memory  nothing is allocated; `workspace` has %llu bytes, of any alignment and "
        "content.\n"
        " *         Calls with workspaces of their own may run at the same time\n",
        p->classes, (unsigned long long)nat_workspace_of(p).bytes);
    if (p->integer)
        strbuf_append(
            out, " * wraps   how many currents of the batch left the width of a neuron's state "
                 "and wrapped;\n *         NULL: not wanted\n");
    strbuf_append(out,
                  " *\n * Returns 0; 1 where an input is none: then nothing was computed. */\n");
}

void nat_header(const struct nat_plan *p, const struct nat_build_options *o, const char *cpu,
                struct strbuf *out)
{
    const struct ir_node *in = input_of(p->m);
    const struct ir_type *t = &in->type;
    struct strbuf name = {0}, upper = {0};
    const char *u;

    nat_symbol_name(p->m->name, false, &name);
    nat_symbol_name(p->m->name, true, &upper);
    u = strbuf_cstr(&upper);
    write_comment(p, o, cpu, strbuf_cstr(&name), out);
    strbuf_printf(out, "#ifndef SPIKEC_%s_H\n#define SPIKEC_%s_H\n\n", u, u);
    strbuf_append(out, "#include <stddef.h>\n#include <stdint.h>\n\n");
    strbuf_append(out, "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n");
    strbuf_printf(out, "#define %s_INPUT_FRAMES %u\n", u, t->timesteps);
    strbuf_printf(out, "#define %s_INPUT_CHANNELS %u\n", u, t->channels);
    strbuf_printf(out, "#define %s_INPUT_HEIGHT %u\n", u, t->height);
    strbuf_printf(out, "#define %s_INPUT_WIDTH %u\n", u, t->width);
    strbuf_printf(out, "#define %s_INPUT_FLOATS %llu /* of an image */\n", u,
                  (unsigned long long)p->input_items);
    if (in->a.input.normalise) {
        write_floats(u, "MEAN", in, in->a.input.mean, out);
        write_floats(u, "STD", in, in->a.input.std, out);
    }
    strbuf_printf(out, "#define %s_CLASSES %u\n", u, p->classes);
    strbuf_printf(out, "#define %s_WORKSPACE_BYTES %llu\n\n", u,
                  (unsigned long long)nat_workspace_of(p).bytes);
    strbuf_printf(
        out, "int %s_run(const float *input, size_t batch, float *logits, void *workspace%s);\n",
        strbuf_cstr(&name), p->integer ? ",\n    uint64_t *wraps" : "");
    strbuf_append(out, "\n#ifdef __cplusplus\n}\n#endif\n\n#endif\n");
    if (out->status == SPK_OK)
        out->status = name.status != SPK_OK ? name.status : upper.status;
    strbuf_fini(&name);
    strbuf_fini(&upper);
}
