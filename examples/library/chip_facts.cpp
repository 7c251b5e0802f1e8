// Prints the published constants of a chip with their basis; errors as data.
//   chip_facts TARGET
#include <spikec/spikec.h>

#include <iostream>
#include <memory>

struct Give {
    void operator()(spk_context *c) const { spk_context_destroy(c); }
    void operator()(spk_target *t) const { spk_target_destroy(t); }
};

int main(int argc, char **argv)
{
    spk_context *made = nullptr;
    spk_target *loaded = nullptr;
    if (argc != 2 || spk_context_create(nullptr, &made) != SPIKEC_OK)
        return SPIKEC_ERR_USAGE;
    const std::unique_ptr<spk_context, Give> context(made);
    const int status = spk_target_load(context.get(), argv[1], &loaded);
    const std::unique_ptr<spk_target, Give> target(loaded);
    for (size_t i = 0; i < spk_context_diagnostic_count(context.get()); i++) {
        spk_diagnostic d{};
        d.struct_size = sizeof d;
        spk_context_diagnostic(context.get(), i, &d);
        std::cerr << d.code << ": " << d.message << "\n";
    }
    if (status != SPIKEC_OK)
        return status;
    spk_target_info info{};
    info.struct_size = sizeof info;
    spk_target_describe(target.get(), &info);
    std::cout << info.name << ": " << info.n_facts << " constants\n";
    for (uint32_t i = 0; i < info.n_facts; i++) {
        spk_fact fact{};
        fact.struct_size = sizeof fact;
        spk_target_fact(target.get(), i, &fact);
        std::cout << fact.section << "." << fact.key << " = " << fact.text << " " << fact.unit
                  << " (" << fact.basis << ")\n";
    }
    return SPIKEC_OK;
}
