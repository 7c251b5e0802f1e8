/* The packed engine beside another one: all paths of kernels that this machine has, with and
 * without sums that time steps share, on one thread and on three. */
#ifndef SPIKEC_TESTS_PACKED_VARIANTS_H
#define SPIKEC_TESTS_PACKED_VARIANTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "runtime/compare.h"
#include "runtime/packed.h"
#include "runtime/record.h"
#include "support/pool.h"
#include "support/strbuf.h"

struct packed_variant {
    struct pk_options options;
    uint32_t threads;
    char name[48];
};

/* Variant i, or false where there are no more; paths that this machine lacks are left out. */
static inline bool packed_variant(uint32_t i, struct packed_variant *out)
{
    static const enum pk_path paths[] = {PK_PATH_PORTABLE, PK_PATH_AVX2, PK_PATH_AVX512};

    for (uint32_t p = 0; p < 3; p++) {
        if (!pk_path_available(paths[p]))
            continue;
        if (i < 3) {
            /* Weights that are not kept are re-laid at every use; the smallest tiles have 64 input
             * channels. */
            *out = (struct packed_variant){
                .options = {paths[p], (enum pk_share)(PK_SHARE_AUTO + i), i == 2},
                .threads = i + 1};
            snprintf(out->name, sizeof out->name, "%s, sharing %u", pk_path_name(paths[p]), i);
            return true;
        }
        i -= 3;
    }
    return false;
}

/* `run` is what another engine was given and holds what it gave: `want`, and where these are there
 * the wraps, n_logits logits and n_features features. All must be equal. */
#define PACKED_MOST 64u
static inline void packed_same(const struct ir_module *m, const struct engine_run *run,
                               const struct record *want, uint32_t n_logits, uint32_t n_features,
                               struct diag_list *d)
{
    const uint64_t *want_wraps = run->stats ? run->stats->wraps : NULL;
    struct packed_variant v;
    uint32_t n = 0;

    for (; packed_variant(n, &v); n++) {
        struct engine_run own = *run;
        struct engine_recorder recorder;
        struct engine *e = NULL;
        struct record *got = NULL;
        struct pool *pool = NULL;
        struct compare c = {0};
        uint64_t wraps[PACKED_MOST] = {0};
        float logits[PACKED_MOST];
        int64_t features[PACKED_MOST];
        struct engine_stats stats = {.wraps = wraps};

        assert_true(m->n_nodes <= PACKED_MOST && n_logits <= PACKED_MOST &&
                    n_features <= PACKED_MOST);
        own.stats = want_wraps ? &stats : NULL;
        own.logits = n_logits ? logits : NULL;
        own.features = n_features ? features : NULL;
        assert_int_equal(pool_create(v.threads, &pool), SPK_OK);
        assert_int_equal(record_create(run->input.n_images, 0, &got), SPK_OK);
        assert_int_equal(record_add_module(got, m, d), SPK_OK);
        recorder = record_recorder(got);
        own.recorder = &recorder;
        own.pool = pool;
        assert_int_equal(pk_create(m, &v.options, d, &e), SPK_OK);
        assert_int_equal(rt_packed_engine.run(e, &own, d), SPK_OK);
        assert_int_equal(compare_records(want, 0, got, 0, run->input.n_images, d, &c), SPK_OK);
        if (c.mismatches + c.sum_mismatches > 0)
            print_error("%s: %s differs at step %u, element %llu\n", v.name,
                        c.first.found ? c.layer[c.first.layer].name : "a sum", c.first.frame,
                        (unsigned long long)c.first.index);
        assert_int_equal(c.mismatches, 0);
        assert_int_equal(c.sum_mismatches, 0);
        if (want_wraps)
            assert_memory_equal(wraps, want_wraps, m->n_nodes * sizeof *wraps);
        if (n_logits)
            assert_memory_equal(logits, run->logits, n_logits * sizeof *logits);
        if (n_features)
            assert_memory_equal(features, run->features, n_features * sizeof *features);
        compare_fini(&c);
        rt_packed_engine.destroy(e);
        record_destroy(got);
        pool_destroy(pool);
    }
    assert_true(n >= 3);
}

#endif
