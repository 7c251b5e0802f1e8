/* Constant arithmetic of the language: whole numbers stay whole, `/` on them is exact or an error
 * with the nearest values that fit, mixed operands become decimal numbers (double).
 *
 * Cost: O(1) each. Overflow of 64 bits and results that are not finite are errors.             */
#include <math.h>
#include <string.h>

#include "frontend/sema.h"
#include "support/checked.h"

/* "dim 500" for a name, "500" for anything else. */
static void fe_operand_text(const struct fe_expr *e, int64_t value, struct strbuf *out)
{
    if (e && e->kind == FE_NAME)
        strbuf_printf(out, "%s ", e->name);
    strbuf_i64(out, value);
}

static bool fe_not_divisible(const struct fe_expr *e, int64_t a, int64_t b, struct diag_list *d)
{
    struct strbuf text = {0};
    fe_operand_text(e->left, a, &text);
    strbuf_append(&text, " is not divisible by ");
    fe_operand_text(e->right, b, &text);
    int64_t step = b == INT64_MIN ? INT64_MAX : b < 0 ? -b : b, below = a - a % step, above;
    if (a > 0 && checked_add_i64(below, step, &above)) {
        strbuf_append(&text, "; nearest: ");
        if (below > 0)
            strbuf_printf(&text, "%lld, ", (long long)below);
        strbuf_i64(&text, above);
    }
    diag_error(d, e->span, "E0220", "%s", strbuf_cstr(&text));
    strbuf_fini(&text);
    return false;
}

static bool fe_power(int64_t base, int64_t exponent, int64_t *out)
{
    int64_t result = 1;
    bool fits = true;
    if (base == 0 || base == 1 || base == -1) { /* any exponent, no loop */
        *out = exponent == 0 ? 1 : base == -1 && exponent % 2 == 0 ? 1 : base;
        return true;
    }
    for (int64_t i = 0; i < exponent && fits; i++)
        fits = checked_mul_i64(result, base, &result);
    *out = result;
    return fits;
}

static bool fe_fold_int(const struct fe_expr *e, int64_t a, int64_t b, struct diag_list *d,
                        struct fe_value *out)
{
    bool fits = true;
    out->kind = FE_V_INT;
    switch (e->op) {
    case FE_ADD:
        fits = checked_add_i64(a, b, &out->i);
        break;
    case FE_SUB:
        fits = checked_sub_i64(a, b, &out->i);
        break;
    case FE_MUL:
        fits = checked_mul_i64(a, b, &out->i);
        break;
    case FE_DIV:
    case FE_MOD:
        if (b == 0)
            return diag_error(d, e->span, "E0221", "division by zero"), false;
        if (b == -1) {
            fits = checked_sub_i64(0, a, &out->i);
            out->i = e->op == FE_MOD ? 0 : out->i;
            break;
        }
        if (e->op == FE_DIV && a % b != 0)
            return fe_not_divisible(e, a, b, d);
        out->i = e->op == FE_DIV ? a / b : a % b;
        break;
    case FE_POW:
        if (b < 0) {
            diag_error(d, e->span, "E0221", "negative power of a whole number");
            diag_help_set(d, "write the base as a decimal number, for instance 2.0");
            return false;
        }
        fits = fe_power(a, b, &out->i);
        break;
    default:
        fits = false;
        break;
    }
    if (!fits)
        diag_error(d, e->span, "E0221", "result does not fit 64 bits");
    return fits;
}

static bool fe_fold_float(const struct fe_expr *e, double a, double b, struct diag_list *d,
                          struct fe_value *out)
{
    out->kind = FE_V_FLOAT;
    switch (e->op) {
    case FE_ADD:
        out->f = a + b;
        break;
    case FE_SUB:
        out->f = a - b;
        break;
    case FE_MUL:
        out->f = a * b;
        break;
    case FE_DIV:
    case FE_MOD:
        if (b == 0.0)
            return diag_error(d, e->span, "E0221", "division by zero"), false;
        out->f = e->op == FE_DIV ? a / b : fmod(a, b);
        break;
    default:
        out->f = pow(a, b);
        break;
    }
    if (!isfinite(out->f))
        return diag_error(d, e->span, "E0221", "result is not a finite number"), false;
    return true;
}

static bool fe_compare(enum fe_operator op, int order)
{
    switch (op) {
    case FE_EQ:
        return order == 0;
    case FE_NE:
        return order != 0;
    case FE_LT:
        return order < 0;
    case FE_LE:
        return order <= 0;
    case FE_GT:
        return order > 0;
    default:
        return order >= 0;
    }
}

static bool fe_mismatch(const struct fe_expr *e, const struct fe_value *a, const struct fe_value *b,
                        struct diag_list *d)
{
    if (b)
        diag_error(d, e->span, "E0222", "'%s' does not work on %s and %s", fe_operator_text(e->op),
                   fe_value_kind_name(a->kind), fe_value_kind_name(b->kind));
    else
        diag_error(d, e->span, "E0222", "'%s' does not work on %s", fe_operator_text(e->op),
                   fe_value_kind_name(a->kind));
    if (a->kind == FE_V_TENSOR || (b && b->kind == FE_V_TENSOR))
        diag_help_set(d, "tensors can be added; numbers act on them through functions only");
    return false;
}

static bool fe_fold_unary(const struct fe_expr *e, const struct fe_value *a, struct diag_list *d,
                          struct fe_value *out)
{
    if (e->op == FE_NOT && a->kind == FE_V_BOOL) {
        *out = (struct fe_value){.kind = FE_V_BOOL, .b = !a->b};
    } else if (e->op == FE_NEG && a->kind == FE_V_FLOAT) {
        *out = (struct fe_value){.kind = FE_V_FLOAT, .f = -a->f};
    } else if (e->op == FE_NEG && a->kind == FE_V_INT) {
        out->kind = FE_V_INT;
        if (!checked_sub_i64(0, a->i, &out->i))
            return diag_error(d, e->span, "E0221", "result does not fit 64 bits"), false;
    } else {
        return fe_mismatch(e, a, NULL, d);
    }
    return true;
}

static bool fe_fold_compare(const struct fe_expr *e, const struct fe_value *a,
                            const struct fe_value *b, struct diag_list *d, struct fe_value *out)
{
    double x, y;
    int order;
    if (a->kind == FE_V_INT && b->kind == FE_V_INT)
        order = (a->i > b->i) - (a->i < b->i);
    else if (fe_value_number(a, &x) && fe_value_number(b, &y))
        order = (x > y) - (x < y);
    else if (a->kind == b->kind && (e->op == FE_EQ || e->op == FE_NE) && a->kind == FE_V_BOOL)
        order = a->b != b->b;
    else if (a->kind == b->kind && (e->op == FE_EQ || e->op == FE_NE) && a->kind == FE_V_STRING)
        order = strcmp(a->text, b->text);
    else
        return fe_mismatch(e, a, b, d);
    *out = (struct fe_value){.kind = FE_V_BOOL, .b = fe_compare(e->op, order)};
    return true;
}

bool fe_fold(const struct fe_expr *e, const struct fe_value *a, const struct fe_value *b,
             struct diag_list *d, struct fe_value *out)
{
    struct fe_value result = {.kind = FE_V_ERROR};
    double x, y;
    bool done = true;
    *out = result;
    if (a->kind == FE_V_ERROR || (b && b->kind == FE_V_ERROR))
        return true; /* reported where it arose */
    if (e->kind == FE_UNARY) {
        done = fe_fold_unary(e, a, d, &result);
    } else if (e->op == FE_AND || e->op == FE_OR) {
        if (a->kind != FE_V_BOOL || b->kind != FE_V_BOOL)
            return fe_mismatch(e, a, b, d);
        result = (struct fe_value){.kind = FE_V_BOOL,
                                   .b = e->op == FE_AND ? a->b && b->b : a->b || b->b};
    } else if (e->op >= FE_EQ) {
        done = fe_fold_compare(e, a, b, d, &result);
    } else if (a->kind == FE_V_INT && b->kind == FE_V_INT) {
        done = fe_fold_int(e, a->i, b->i, d, &result);
    } else if (fe_value_number(a, &x) && fe_value_number(b, &y)) {
        done = fe_fold_float(e, x, y, d, &result);
    } else {
        done = fe_mismatch(e, a, b, d);
    }
    if (done)
        *out = result;
    return done;
}

bool fe_literal(const struct fe_expr *e, struct fe_value *out)
{
    struct fe_value inner;
    *out = (struct fe_value){.kind = FE_V_ERROR};
    switch (e->kind) {
    case FE_INT:
        *out = (struct fe_value){.kind = FE_V_INT, .i = e->i};
        return true;
    case FE_FLOAT:
        *out = (struct fe_value){.kind = FE_V_FLOAT, .f = e->f};
        return true;
    case FE_BOOL:
        *out = (struct fe_value){.kind = FE_V_BOOL, .b = e->b};
        return true;
    case FE_UNARY:
        return e->op == FE_NEG && e->left->kind != FE_UNARY && fe_literal(e->left, &inner) &&
               inner.kind != FE_V_BOOL && fe_fold(e, &inner, NULL, NULL, out);
    default:
        return false;
    }
}
