/* Neuron programs: well-formedness, equality, and the closed form of leaky integrators.
 *
 * The closed form is found by running the postfix code on symbolic values a*v + b*input + c with
 * double coefficients: sums and differences always stay in that form, products and quotients where
 * a factor (the divisor) is a constant, min, max and abs only on constants. Float constants of the
 * program enter exactly. Cost: linear in the code.
 *
 * A program is a leaky integrator where it has one state v, v is charged by such a form that
 * depends on the input, the comparison is (v + const) against a const, and the reset is a const or
 * v minus the threshold. Everything else (two states, quadratic terms, a reset that looks at the
 * input) is refused; it still runs on the reference engine.                                    */
#include <math.h>
#include <string.h>

#include "ir/ir.h"
#include "ir/ir_private.h"

static int operands_of(uint8_t code)
{
    switch (code) {
    case IR_EQ_CONST:
    case IR_EQ_INPUT:
    case IR_EQ_STATE:
    case IR_EQ_PARAM:
        return 0;
    case IR_EQ_NEG:
    case IR_EQ_ABS:
        return 1;
    case IR_EQ_ADD:
    case IR_EQ_SUB:
    case IR_EQ_MUL:
    case IR_EQ_DIV:
    case IR_EQ_MIN:
    case IR_EQ_MAX:
        return 2;
    default:
        return -1;
    }
}

bool ir_expr_valid(const struct ir_expr *e, uint32_t n_states)
{
    uint32_t depth = 0;
    if (!e->code || e->n > IR_EQ_MAX_CODE)
        return false;
    for (uint32_t i = 0; i < e->n; i++) {
        int need = operands_of(e->code[i].code);
        if (need < 0 || (uint32_t)need > depth)
            return false;
        if (e->code[i].code == IR_EQ_STATE && e->code[i].arg >= n_states)
            return false;
        if (e->code[i].code == IR_EQ_PARAM && e->code[i].arg >= IR_MAX_NEURON_PARAMS)
            return false;
        depth = depth - (uint32_t)need + 1;
        if (depth > IR_EQ_MAX_DEPTH)
            return false;
    }
    return depth == 1;
}

bool ir_neuron_valid(const struct ir_neuron *n)
{
    if (n->n_states < 1 || n->n_states > IR_MAX_STATES)
        return false;
    if (n->cmp != IR_CMP_GE && n->cmp != IR_CMP_GT)
        return false;
    for (uint32_t i = 0; i < n->n_states; i++) {
        if (n->charge[i].n && !ir_expr_valid(&n->charge[i], n->n_states))
            return false;
        if (n->reset[i].n && !ir_expr_valid(&n->reset[i], n->n_states))
            return false;
    }
    return ir_expr_valid(&n->fire_lhs, n->n_states) && ir_expr_valid(&n->fire_rhs, n->n_states);
}

static uint32_t params_of(const struct ir_expr *e, uint32_t at_least)
{
    for (uint32_t i = 0; i < e->n; i++)
        if (e->code[i].code == IR_EQ_PARAM && e->code[i].arg >= at_least)
            at_least = e->code[i].arg + 1u;
    return at_least;
}

uint32_t ir_neuron_params(const struct ir_neuron *n)
{
    uint32_t params = params_of(&n->fire_rhs, params_of(&n->fire_lhs, 0));
    for (uint32_t i = 0; i < n->n_states && i < IR_MAX_STATES; i++)
        params = params_of(&n->reset[i], params_of(&n->charge[i], params));
    return params;
}

bool ir_same_f32(float a, float b)
{
    return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b));
}

static bool expr_equal(const struct ir_expr *a, const struct ir_expr *b)
{
    if (a->n != b->n)
        return false;
    for (uint32_t i = 0; i < a->n; i++) {
        const struct ir_eq *x = &a->code[i], *y = &b->code[i];
        if (x->code != y->code)
            return false;
        if ((x->code == IR_EQ_STATE || x->code == IR_EQ_PARAM) && x->arg != y->arg)
            return false;
        if (x->code == IR_EQ_CONST && !ir_same_f32(x->k, y->k))
            return false;
    }
    return true;
}

static bool name_equal(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

bool ir_neuron_equal(const struct ir_neuron *a, const struct ir_neuron *b, bool names)
{
    if (a->n_states != b->n_states || a->cmp != b->cmp)
        return false;
    if (names && !name_equal(a->name, b->name))
        return false;
    for (uint32_t i = 0; i < a->n_states && i < IR_MAX_STATES; i++) {
        if (names && !name_equal(a->state_name[i], b->state_name[i]))
            return false;
        if (!ir_same_f32(a->state_init[i], b->state_init[i]) ||
            !expr_equal(&a->charge[i], &b->charge[i]) || !expr_equal(&a->reset[i], &b->reset[i]))
            return false;
    }
    return expr_equal(&a->fire_lhs, &b->fire_lhs) && expr_equal(&a->fire_rhs, &b->fire_rhs);
}

/* i*(state 0 of two) + a*v + b*input + c, v being the last state */
struct affine {
    double i, a, b, c;
};

static bool constant(const struct affine *x)
{
    return x->i == 0.0 && x->a == 0.0 && x->b == 0.0;
}

static struct affine scaled(struct affine x, double k)
{
    return (struct affine){x.i * k, x.a * k, x.b * k, x.c * k};
}

static bool combine(uint8_t code, struct affine *x, const struct affine *y)
{
    bool constants = constant(x) && constant(y);
    switch (code) {
    case IR_EQ_ADD:
        *x = (struct affine){x->i + y->i, x->a + y->a, x->b + y->b, x->c + y->c};
        return true;
    case IR_EQ_SUB:
        *x = (struct affine){x->i - y->i, x->a - y->a, x->b - y->b, x->c - y->c};
        return true;
    case IR_EQ_MUL:
        if (!constant(x) && !constant(y))
            return false;
        *x = constant(y) ? scaled(*x, y->c) : scaled(*y, x->c);
        return true;
    case IR_EQ_DIV:
        if (!constant(y) || y->c == 0.0)
            return false;
        *x = (struct affine){x->i / y->c, x->a / y->c, x->b / y->c, x->c / y->c};
        return true;
    case IR_EQ_MIN:
        x->c = fmin(x->c, y->c);
        return constants;
    case IR_EQ_MAX:
        x->c = fmax(x->c, y->c);
        return constants;
    default:
        return false;
    }
}

static bool evaluate(const struct ir_expr *e, uint32_t n_states, struct affine *out)
{
    struct affine stack[IR_EQ_MAX_DEPTH];
    uint32_t n = 0;
    if (!ir_expr_valid(e, n_states))
        return false;
    for (uint32_t i = 0; i < e->n; i++) {
        switch (e->code[i].code) {
        case IR_EQ_CONST:
            stack[n++] = (struct affine){.c = (double)e->code[i].k};
            break;
        case IR_EQ_INPUT:
            stack[n++] = (struct affine){.b = 1.0};
            break;
        case IR_EQ_STATE:
            if (e->code[i].arg + 1u == n_states)
                stack[n++] = (struct affine){.a = 1.0};
            else
                stack[n++] = (struct affine){.i = 1.0};
            break;
        case IR_EQ_PARAM:
            return false; /* no constant of the layer */
        case IR_EQ_NEG:
            stack[n - 1] = scaled(stack[n - 1], -1.0);
            break;
        case IR_EQ_ABS:
            if (!constant(&stack[n - 1]))
                return false;
            stack[n - 1].c = fabs(stack[n - 1].c);
            break;
        default:
            n--;
            if (!combine(e->code[i].code, &stack[n - 1], &stack[n]))
                return false;
            break;
        }
    }
    *out = stack[0];
    return isfinite(out->i) && isfinite(out->a) && isfinite(out->b) && isfinite(out->c);
}

/* i <- i*current_retain + b*input, which `charge` of the membrane takes in place of the input. */
static bool synaptic_current(const struct ir_neuron *n, struct affine *charge, double *out_retain)
{
    struct affine current;
    if (n->state_init[0] != 0.0f || n->reset[0].n > 0 || charge->b != 0.0 ||
        !evaluate(&n->charge[0], 2, &current) || current.a != 0.0 || current.c != 0.0)
        return false;
    *out_retain = current.i;
    charge->b = charge->i * current.b;
    charge->i = 0.0;
    return true;
}

bool ir_neuron_as_lif(const struct ir_neuron *n, struct ir_lif *out)
{
    struct affine charge, lhs, rhs, reset;
    double current_retain = 0.0;
    if (n->n_states < 1 || n->n_states > 2)
        return false;
    const uint32_t v = n->n_states - 1;
    if (!isfinite(n->state_init[v]) || !evaluate(&n->charge[v], v + 1, &charge) ||
        !evaluate(&n->fire_lhs, v + 1, &lhs) || !evaluate(&n->fire_rhs, v + 1, &rhs) ||
        !evaluate(&n->reset[v], v + 1, &reset))
        return false;
    if (v == 1 && !synaptic_current(n, &charge, &current_retain))
        return false;
    if (charge.b == 0.0 || lhs.i != 0.0 || lhs.a != 1.0 || lhs.b != 0.0 || !constant(&rhs))
        return false;
    struct ir_lif lif = {
        .current_retain = current_retain,
        .retain = charge.a,
        .gain = charge.b,
        .offset = charge.c,
        .v_init = (double)n->state_init[v],
        .v_th = rhs.c - lhs.c,
        .cmp = n->cmp,
    };
    if (constant(&reset))
        lif.v_reset = reset.c;
    else if (reset.i == 0.0 && reset.a == 1.0 && reset.b == 0.0 && reset.c == -lif.v_th)
        lif.soft_reset = true;
    else
        return false;
    *out = lif;
    return true;
}
