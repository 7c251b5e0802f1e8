/* A checkpoint while it is read (private to support/pth*.c). */
#ifndef SPIKEC_SUPPORT_PTH_INTERNAL_H
#define SPIKEC_SUPPORT_PTH_INTERNAL_H

#include "support/pickle.h"
#include "support/pth.h"
#include "support/zip.h"

/* A storage of the old format; found while the file is walked through. */
struct pth_stored {
    const char *key;
    size_t key_length;
    uint64_t n, bytes; /* elements and size, as the pickle wants them */
    const uint8_t *data;
};

struct pth {
    const char *name;
    const uint8_t *data;
    size_t size;
    struct file_map map; /* closed at the end; may be empty */
    struct diag_list *diags;
    struct arena arena;
    struct pickle_value *value;    /* what was saved */
    struct pickle_refs persistent; /* all storages it refers to */
    const char *format;
    /* zip */
    struct zip_archive zip;
    const char *root; /* first part of the member names */
    bool *checked;    /* per member */
    /* before 1.6 */
    struct pth_stored *stored; /* sorted by key */
    size_t n_stored;
    /* result */
    VEC(struct st_tensor) tensors;
    VEC(const char *) others;
    VEC(void *) gathered; /* heap copies of tensors that do not lie in one piece */
    uint64_t total;       /* bytes of all tensors */
};

/* Where the bytes of a persistent id lie. */
struct pth_storage {
    enum st_dtype dtype;
    bool typed; /* else bytes, whose type is told by the tensor */
    const char *key;
    size_t key_length;
    uint64_t n;            /* elements (bytes where not typed) */
    uint64_t view, n_view; /* window of a view in the old format, in elements */
    const uint8_t *data;   /* set by pth_locate */
};

/* pth_file.c. Read the container and the pickle in it. */
SPK_CHECKED spk_status pth_read_zip(struct pth *f);
SPK_CHECKED spk_status pth_read_legacy(struct pth *f);
/* Understands a persistent id, without looking for its data. */
SPK_CHECKED spk_status pth_storage_parse(struct pth *f, const struct pickle_value *persistent,
                                         struct pth_storage *out_storage);
/* The same, with data, which has been checked to be there. */
SPK_CHECKED spk_status pth_storage_find(struct pth *f, const struct pickle_value *persistent,
                                        struct pth_storage *out_storage);

/* pth_tensor.c. Whether a value is a call of a function that rebuilds tensors; reading it. */
bool pth_is_tensor(const struct pickle_value *value);
SPK_CHECKED spk_status pth_tensor_read(struct pth *f, const struct pickle_value *value,
                                       const char *name, struct st_tensor *out_tensor);

/* pth_select.c: the tensors of the state dict, and what else there is. */
SPK_CHECKED spk_status pth_select(struct pth *f, bool ema);

/* An error at a byte of the file. */
spk_status pth_fail(struct pth *f, uint64_t offset, const char *format, ...) SPK_PRINTF(3, 4);

#endif
