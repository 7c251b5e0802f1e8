/* From files to a program: lexes and parses the main unit and, depth first, what it imports.
 *
 * A file is loaded once however often it is imported (identity by canonical path). A file that
 * imports itself on the way is an error that shows the chain. Limits: FE_MAX_UNITS files of
 * FE_MAX_SOURCE bytes, FE_MAX_IMPORT_DEPTH levels.                                             */
#include <stdlib.h>
#include <string.h>

#include "frontend/ast.h"
#include "support/alloc.h"
#include "support/file.h"

#define FE_MAX_UNITS 64u
#define FE_MAX_IMPORT_DEPTH 16u

spk_status fe_parse_unit(struct fe_program *program, const char *path, const char *text,
                         size_t length, struct diag_list *d, struct fe_unit **out)
{
    *out = NULL;
    if (length > FE_MAX_SOURCE) {
        diag_error(d, diag_place(d, "%s", path), "E0111", "file is too large: %zu bytes", length);
        diag_help_set(d, "a model description has at most %u bytes", FE_MAX_SOURCE);
        return SPK_ERR_INPUT;
    }
    struct fe_unit *unit = ARENA_NEW(&program->arena, struct fe_unit);
    if (!unit || !(unit->path = unit->id = arena_strdup(&program->arena, path)))
        return SPK_ERR_NOMEM;
    SPK_TRY(diag_source_add(d, path, text, length, &unit->file));
    struct fe_unit **end = &program->units;
    while (*end)
        end = &(*end)->next;
    *end = unit;
    *out = unit;

    uint32_t errors = d->error_count;
    struct fe_token_vec tokens = {0};
    spk_status status = fe_lex(text, length, unit->file, d, &tokens);
    if (status == SPK_OK) {
        struct fe_parser parser = {.program = program,
                                   .unit = unit,
                                   .diags = d,
                                   .text = text,
                                   .tokens = tokens.data,
                                   .n_tokens = tokens.len};
        status = fe_parse_tokens(&parser);
    }
    vec_fini(&tokens);
    if (status == SPK_OK && d->out_of_memory)
        status = SPK_ERR_NOMEM;
    if (status == SPK_OK && d->error_count > errors)
        status = SPK_ERR_INPUT;
    return status;
}

/* The way from the main unit to the one being loaded. */
struct fe_chain {
    const struct fe_chain *parent;
    struct fe_unit *unit;
    struct spk_span span; /* of the import in the parent's unit */
    uint32_t depth;
};

static void fe_note_chain(struct diag_list *d, const struct fe_chain *chain)
{
    for (; chain && chain->parent; chain = chain->parent)
        diag_note_add(d, chain->span, "imported here");
}

static spk_status fe_load_imports(struct fe_program *program, const struct fe_chain *chain,
                                  struct diag_list *d);

/* Path of an import, relative to the folder of the importing file; NULL when out of memory. */
static char *fe_import_path(const char *importer, const char *relative)
{
    size_t folder = (size_t)(path_base(importer) - importer);
    char *prefix = spk_strndup(importer, folder > 1 ? folder - 1 : folder);
    char *joined = prefix ? path_join(prefix, relative) : NULL;
    spk_free(prefix);
    return joined;
}

/* Canonical path on the arena, the path itself where there is no such file. */
static const char *fe_identity(struct fe_program *program, const char *path)
{
    char *real = realpath(path, NULL); /* libc's memory */
    const char *id = arena_strdup(&program->arena, real ? real : path);
    free(real);
    return id;
}

static spk_status fe_load_file(struct fe_program *program, const char *path, const char *id,
                               struct fe_import *import, const struct fe_chain *chain,
                               struct diag_list *d)
{
    char *text = NULL;
    size_t length = 0;
    if (!file_exists(path) || file_is_directory(path)) {
        diag_error(d, import->path->span, "E0112", "there is no file '%s'", path);
        diag_help_set(d, "imports are looked up relative to the file that imports");
        fe_note_chain(d, chain);
        return SPK_ERR_INPUT;
    }
    SPK_TRY(file_read(path, FE_MAX_SOURCE, d, &text, &length));
    spk_status status = fe_parse_unit(program, path, text, length, d, &import->unit);
    spk_free(text);
    if (import->unit && status != SPK_ERR_NOMEM) {
        import->unit->id = id;
        struct fe_chain next = {chain, import->unit, import->span, chain->depth + 1};
        spk_status inner = fe_load_imports(program, &next, d);
        status = status == SPK_OK ? inner : status;
    }
    return status;
}

static spk_status fe_load_import(struct fe_program *program, struct fe_import *import,
                                 const struct fe_chain *chain, struct diag_list *d)
{
    const char *relative = fe_string_plain(import->path);
    if (!relative || !*relative) {
        diag_error(d, import->path->span, "E0112", "an import names a file");
        return SPK_ERR_INPUT;
    }
    char *path = fe_import_path(chain->unit->path, relative);
    const char *id = path ? fe_identity(program, path) : NULL;
    if (!id) {
        spk_free(path);
        return SPK_ERR_NOMEM;
    }
    spk_status status = SPK_OK;
    uint32_t count = 0;
    struct fe_unit *known = NULL;
    for (struct fe_unit *u = program->units; u; u = u->next, count++) {
        if (strcmp(u->id, id) == 0)
            known = u;
    }
    bool cycle = false;
    for (const struct fe_chain *c = chain; c && known; c = c->parent)
        cycle = cycle || c->unit == known;
    if (cycle) {
        status =
            diag_error(d, import->span, "E0113", "import of a file that is importing this one");
        fe_note_chain(d, chain);
    } else if (known) {
        import->unit = known;
    } else if (count >= FE_MAX_UNITS || chain->depth >= FE_MAX_IMPORT_DEPTH) {
        status = diag_error(d, import->span, "E0114", "too many imports");
        diag_help_set(d, "at most %u files, %u levels deep", FE_MAX_UNITS, FE_MAX_IMPORT_DEPTH);
    } else {
        status = fe_load_file(program, path, id, import, chain, d);
    }
    spk_free(path);
    return status;
}

static spk_status fe_load_imports(struct fe_program *program, const struct fe_chain *chain,
                                  struct diag_list *d)
{
    spk_status worst = SPK_OK;
    for (struct fe_import *i = chain->unit->imports; i; i = i->next) {
        spk_status status = fe_load_import(program, i, chain, d);
        if (status == SPK_ERR_NOMEM || diag_limit_reached(d))
            return status == SPK_OK ? worst : status;
        worst = worst == SPK_OK ? status : worst;
    }
    return worst;
}

spk_status fe_program_load(struct fe_program *program, const char *path, const char *text,
                           size_t length, struct diag_list *d)
{
    char *owned = NULL;
    if (!text) {
        SPK_TRY(file_read(path, FE_MAX_SOURCE, d, &owned, &length));
        text = owned;
    }
    struct fe_unit *unit = NULL;
    spk_status status = fe_parse_unit(program, path, text, length, d, &unit);
    spk_free(owned);
    if (!unit || status == SPK_ERR_NOMEM)
        return status;
    unit->id = fe_identity(program, path);
    if (!unit->id)
        return SPK_ERR_NOMEM;
    struct fe_chain chain = {NULL, unit, spk_span_none, 0};
    spk_status inner = fe_load_imports(program, &chain, d);
    return status == SPK_OK ? inner : status;
}
