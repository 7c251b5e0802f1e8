/* Counters behind fault injection; the only file of the library with mutable state outside objects,
 * and only where SPIKEC_FAULT_INJECTION is defined. */
#include "support/fault.h"

#if defined(SPIKEC_FAULT_INJECTION)

struct fault_counter {
    uint64_t countdown; /* operations left before the one that fails; 0 = nothing armed */
    bool fired;
};

static _Thread_local struct fault_counter fault_counters[SPK_FAULT_KIND_COUNT];

bool spk_fault_available(void)
{
    return true;
}

void spk_fault_arm(enum spk_fault_kind kind, uint64_t nth)
{
    fault_counters[kind] = (struct fault_counter){.countdown = nth};
}

bool spk_fault_disarm(enum spk_fault_kind kind)
{
    bool fired = fault_counters[kind].fired;
    fault_counters[kind] = (struct fault_counter){0};
    return fired;
}

bool spk_fault_hit(enum spk_fault_kind kind)
{
    struct fault_counter *counter = &fault_counters[kind];
    if (counter->countdown == 0 || --counter->countdown > 0)
        return false;
    counter->fired = true;
    return true;
}

#else

bool spk_fault_available(void)
{
    return false;
}

void spk_fault_arm(enum spk_fault_kind kind, uint64_t nth)
{
    (void)kind;
    (void)nth;
}

bool spk_fault_disarm(enum spk_fault_kind kind)
{
    (void)kind;
    return false;
}

#endif
