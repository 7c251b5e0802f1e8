/* Suggestions for misspelt names. */
#include "support/name_hint.h"
#include "unit.h"

static const char *suggest(const char *wanted, const char *const *candidates)
{
    struct name_hint hint;
    name_hint_init(&hint, wanted);
    for (; *candidates; candidates++)
        name_hint_offer(&hint, *candidates);
    return name_hint_best(&hint);
}

static void nearest(void **state)
{
    (void)state;
    const char *const names[] = {"neurons", "in_axons", "out_axons", "delay", NULL};
    assert_string_equal(suggest("neuron", names), "neurons");
    assert_string_equal(suggest("nuerons", names), "neurons"); /* a swap counts once */
    assert_string_equal(suggest("in_axns", names), "in_axons");
    assert_string_equal(suggest("delay", names), "delay");
    assert_string_equal(suggest("deley", names), "delay");
    assert_null(suggest("colour", names));
    assert_null(suggest("", names));
    const char *const none[] = {NULL};
    assert_null(suggest("x", none));
    /* Of equally near ones the first. */
    const char *const pair[] = {"hop_x", "hop_y", NULL};
    assert_string_equal(suggest("hop_z", pair), "hop_x");
}

static void very_long(void **state)
{
    (void)state;
    char text[400];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = 0;
    const char *const names[] = {text, "b", NULL};
    assert_null(suggest("aaaa", names));
    assert_null(suggest(text, names));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nearest),
        cmocka_unit_test(very_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
