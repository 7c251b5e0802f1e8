/* A small network of the zoo with the weights of a golden case, ready to be mapped; and the kinds
 * of targets and attention that are mapped. */
#ifndef SPIKEC_TESTS_MAP_FIXTURE_H
#define SPIKEC_TESTS_MAP_FIXTURE_H

#include "frontend/model.h"
#include "frontend/target_yaml.h"
#include "frontend/weights.h"
#include "passes/map/map.h"
#include "passes/pass.h"
#include "runtime/reference.h"
#include "unit.h"

struct net {
    struct diag_list diags;
    struct ir_module *module;
    struct tgt *target;
};

static inline void net_open(struct net *n, const char *target, enum tgt_attention attention)
{
    static const struct fe_setting sets[] = {{"height", "32"}, {"width", "32"}, {"dim", "32"},
                                             {"depth", "2"},   {"heads", "2"},  {"classes", "10"}};
    struct fe_options options = {.sets = sets, .n_sets = 6};
    struct fe_model model = {0};
    memset(n, 0, sizeof *n);
    diag_init(&n->diags);
    const bool discrete = strcmp(target, "loihi1-discrete") == 0;
    assert_ok(fe_target_load(discrete ? "loihi1" : target, &n->diags, &n->target));
    if (discrete) {
        n->target->axon_population = false;
        n->target->sharing = TGT_SHARE_NONE;
    }
    assert_ok(fe_model_open("spikformer_v2", &options, &n->diags, &model));
    n->module = model.module;
    model.module = NULL;
    fe_model_fini(&model);
    assert_ok(fe_weights_bind(n->module,
                              SPIKEC_TEST_DATA_DIR "/golden/v2-tiny-exact/weights.safetensors",
                              &n->diags, NULL));
    struct pass_context pc = {
        .target = n->target, .engine = &rt_reference_engine, .diags = &n->diags};
    assert_ok(passes_compile_pipeline(&pc, PASSES_BALANCED, tgt_attention_name(attention), NULL,
                                      &n->module));
}

static inline void net_close(struct net *n)
{
    ir_module_destroy(n->module);
    tgt_destroy(n->target);
    diag_fini(&n->diags);
}

static const struct {
    const char *target;
    enum tgt_attention attention;
} KINDS[] = {{"loihi1", TGT_ATTN_EMBEDDED},         {"loihi1-discrete", TGT_ATTN_EMBEDDED},
             {"loihi1-discrete", TGT_ATTN_AND_LIF}, {"loihi1", TGT_ATTN_AND_LIF},
             {"loihi2", TGT_ATTN_PRODUCT},          {"loihi2", TGT_ATTN_AND_LIF},
             {"loihi2", TGT_ATTN_EMBEDDED},         {"loihi2", TGT_ATTN_SERIAL},
             {"loihi2", TGT_ATTN_PLASTIC},          {"engine-mesh", TGT_ATTN_ENGINE}};
#define N_KINDS (sizeof KINDS / sizeof KINDS[0])

#endif
