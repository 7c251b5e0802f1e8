/* Tensor data of a module to and from a safetensors file.
 *
 * Saved are all params that have data, in id order, under their own names. Loading binds every
 * param of the module: name, element type and shape must be those of the module; all that are
 * missing or differ are reported. Data are used where they lie in the mapped file, which the module
 * then keeps open; a tensor that is not aligned to its elements is copied to a heap block of the
 * module. Tensors that no param asks for are ignored.                                           */
#include <string.h>

#include "ir/ir.h"
#include "ir/ir_text.h"
#include "support/alloc.h"
#include "support/pth.h"
#include "support/safetensors.h"

static enum st_dtype file_type(enum ir_dtype t)
{
    switch (t) {
    case IR_DT_I8:
        return ST_I8;
    case IR_DT_I16:
        return ST_I16;
    case IR_DT_I32:
        return ST_I32;
    case IR_DT_F32:
        break;
    }
    return ST_F32;
}

static spk_status collect(const struct ir_module *m, struct st_writer *w)
{
    for (uint32_t i = 0; i < m->n_params; i++) {
        const struct ir_param *p = &m->param[i];
        uint64_t shape[IR_MAX_RANK];
        if (!p->data)
            continue;
        for (uint32_t j = 0; j < p->rank; j++)
            shape[j] = p->dim[j];
        SPK_TRY(st_writer_add(w, p->name, file_type(p->dtype), p->rank, shape, p->data));
    }
    return SPK_OK;
}

spk_status ir_params_save(const struct ir_module *m, const char *path, struct diag_list *d)
{
    struct st_writer *w;
    SPK_TRY(st_writer_create(&w));
    spk_status s = collect(m, w);
    if (s == SPK_OK)
        s = st_writer_save(w, path, d);
    st_writer_destroy(w);
    return s;
}

static bool fits(const struct ir_param *p, const struct st_tensor *t)
{
    if (t->dtype != file_type(p->dtype) || t->rank != p->rank)
        return false;
    for (uint32_t i = 0; i < p->rank; i++) {
        if (t->shape[i] != p->dim[i])
            return false;
    }
    return true;
}

static spk_status wrong_shape(const struct ir_param *p, const struct st_file *f,
                              const struct st_tensor *t, struct diag_list *d)
{
    struct strbuf have = {0}, want = {0};
    st_describe(t, &have);
    ir_dims_text(p->rank, p->dim, &want);
    spk_status s = diag_error(d, st_place(f, t, d), "E0370", "is %s, the network needs %s %s",
                              strbuf_cstr(&have), ir_dtype_name(p->dtype), strbuf_cstr(&want));
    strbuf_fini(&have);
    strbuf_fini(&want);
    return s;
}

static spk_status bind(struct ir_module *m, struct ir_param *p, const struct st_tensor *t)
{
    if ((uintptr_t)t->data % ir_dtype_size(p->dtype) == 0) {
        p->data = t->data;
        p->mapped = true;
        return SPK_OK;
    }
    void *copy = spk_alloc(t->size);
    if (!copy)
        return SPK_ERR_NOMEM;
    memcpy(copy, t->data, t->size);
    spk_status s = ir_module_own(m, copy);
    if (s != SPK_OK) {
        spk_free(copy);
        return s;
    }
    p->data = copy;
    return SPK_OK;
}

static spk_status bind_all(struct ir_module *m, const struct st_file *f, struct diag_list *d)
{
    spk_status result = SPK_OK;
    for (uint32_t i = 0; i < m->n_params; i++) {
        const struct st_tensor *t;
        spk_status s = st_require(f, m->param[i].name, d, &t);
        if (s == SPK_OK)
            s = fits(&m->param[i], t) ? bind(m, &m->param[i], t)
                                      : wrong_shape(&m->param[i], f, t, d);
        if (s == SPK_ERR_NOMEM)
            return s;
        if (s != SPK_OK)
            result = s;
    }
    return result;
}

static void close_file(void *file)
{
    st_close(file);
}

spk_status ir_params_load(struct ir_module *m, const char *path, struct diag_list *d)
{
    struct st_file *f;
    SPK_TRY(tensor_file_open(path, false, d, &f));
    spk_status s = ir_module_on_destroy(m, close_file, f);
    if (s != SPK_OK) {
        st_close(f);
        return s;
    }
    return bind_all(m, f, d);
}
