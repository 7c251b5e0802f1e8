/* Colours of layers and of the scale of figures.
 *
 * A network has more layers than eyes tell colours apart, so a hue stands for a group (the block or
 * stage that the layers' names begin with) and shades of it for the layers inside; relays are grey.
 * Hues are those of Okabe and Ito (2008) that show on white and on black, then six more between
 * them; the scale is viridis (van der Walt and Smith, 2015), which the colour-blind read as well.
 */
#include <math.h>
#include <string.h>

#include "backends/report/report.h"
#include "support/alloc.h"

static const uint32_t HUES[] = {0x0072b2, 0xe69f00, 0x009e73, 0xcc79a7, 0x56b4e9, 0xd55e00,
                                0x8c6bb1, 0x999933, 0xa3335f, 0x44aa99, 0x9c6644, 0x5b5bd6};
#define N_HUES (sizeof HUES / sizeof HUES[0])
static const uint32_t GREY = 0x9a9fa6;

const uint32_t rep_scale_stop[REP_SCALE_STOPS] = {0x440154, 0x482475, 0x414487, 0x355f8d,
                                                  0x2a788e, 0x21918c, 0x22a884, 0x44bf70,
                                                  0x7ad151, 0xbddf26, 0xfde725};

static uint32_t mix(uint32_t a, uint32_t b, double share)
{
    uint32_t out = 0;
    for (int shift = 16; shift >= 0; shift -= 8) {
        const double x = a >> shift & 255u, y = b >> shift & 255u;
        out |= (uint32_t)(x + (y - x) * share + 0.5) << shift;
    }
    return out;
}

uint32_t rep_scale_colour(double share)
{
    if (!(share > 0))
        return rep_scale_stop[0];
    if (share >= 1)
        return rep_scale_stop[REP_SCALE_STOPS - 1];
    const double at = share * (REP_SCALE_STOPS - 1);
    const uint32_t i = (uint32_t)at;
    return mix(rep_scale_stop[i], rep_scale_stop[i + 1], at - i);
}

/* Length of the name's part that names its group: up to the first '.' behind a digit, at most two
 * words ("patch_embed.stage0", "block.3"); the whole first word where there is no number. */
static size_t group_length(const char *name)
{
    const char *dot = strchr(name, '.');
    if (dot == NULL)
        return strlen(name);
    if (dot > name && dot[-1] >= '0' && dot[-1] <= '9')
        return (size_t)(dot - name);
    const char *end = dot + 1 + strcspn(dot + 1, ".");
    if (end > dot + 1 && end[-1] >= '0' && end[-1] <= '9')
        return (size_t)(end - name);
    return (size_t)(dot - name);
}

static uint32_t group_of(struct rep_folder *f, const char *name, size_t length)
{
    char text[sizeof *f->group];
    if (length >= sizeof text)
        length = sizeof text - 1;
    while (length > 0 && ((unsigned char)name[length] & 0xc0) == 0x80) /* not inside a character */
        length--;
    memcpy(text, name, length);
    text[length] = '\0';
    for (uint32_t i = 0; i < f->n_groups; i++)
        if (strcmp(f->group[i], text) == 0)
            return i;
    memcpy(f->group[f->n_groups], text, length + 1);
    return f->n_groups++;
}

static bool is_relay(const struct rep_layer *l)
{
    return strcmp(l->kind, "relay") == 0;
}

spk_status rep_colours(struct rep_folder *f)
{
    SPK_TRY(spk_alloc_array(f->n_layers, sizeof *f->group, &f->group));
    uint32_t *member;
    SPK_TRY(spk_alloc_array((size_t)f->n_layers * 2, sizeof *member, &member));
    uint32_t *size = member + f->n_layers;
    for (uint32_t i = 0; i < f->n_layers; i++) {
        struct rep_layer *l = &f->layer[i];
        l->group =
            is_relay(l) ? group_of(f, "relays", 6) : group_of(f, l->name, group_length(l->name));
        member[i] = size[l->group]++;
    }
    uint32_t hue = 0, relays = UINT32_MAX;
    for (uint32_t i = 0; i < f->n_layers; i++)
        if (is_relay(&f->layer[i]))
            relays = f->layer[i].group;
    for (uint32_t g = 0; g < f->n_groups; g++) {
        const uint32_t base = g == relays ? GREY : HUES[hue++ % N_HUES];
        const double last = size[g] > 1 ? size[g] - 1 : 1;
        for (uint32_t i = 0; i < f->n_layers; i++) {
            const double at = member[i] / last; /* 0 .. 1 */
            if (f->layer[i].group == g && size[g] == 1)
                f->layer[i].colour = base;
            else if (f->layer[i].group == g)
                f->layer[i].colour =
                    at < 0.5 ? mix(base, 0x10141a, 0.36 * (1 - 2 * at))
                             : mix(base, 0xffffff, (g == relays ? 0.3 : 0.52) * (2 * at - 1));
        }
    }
    spk_free(member);
    return SPK_OK;
}
