/* How far two computations are apart: rows against the definition, texts by a model against itself and against fewer
 * experts. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "testbed/divergence.h"
#include "tests/testbed/mini.h"

enum { N_TOKENS = 40, MAX_ROWS = 16 };

static struct moe_model *open_mini(void)
{
	struct moe_model *m;
	char err[256];
	assert_int_equal(moe_model_open(mini_path, NULL, &m, err, sizeof err), 0);
	return m;
}

/* p = (1/2, 1/4, 1/4), q = (1/4, 1/2, 1/4): KL = 1/2 log 2 - 1/4 log 2. */
static void a_row_is_compared_by_the_definition(void **state)
{
	(void)state;
	struct divergence d = { .n_vocab = 3 };
	const float p[] = { logf(2), 0, 0 }, q[] = { 5, 5 + logf(2), 5 };
	divergence_add_row(&d, p, q);
	assert_true(fabs(d.kl - 0.25 * M_LN2) < 1e-6);
	assert_int_equal(d.n_same, 0);
	divergence_add_row(&d, p, p);
	assert_true(fabs(d.kl - 0.25 * M_LN2) < 1e-6);
	assert_int_equal(d.n, 2);
	assert_int_equal(d.n_same, 1);
	assert_true(fabs(d.largest - 0.25 * M_LN2) < 1e-6);
	json_t *j = divergence_json(&d);
	assert_true(fabs(json_number_value(json_object_get(j, "kl_mean_nats")) - 0.125 * M_LN2) < 1e-6);
	assert_true(json_number_value(json_object_get(j, "top1_agreement")) == 0.5);
	json_decref(j);
}

static void nothing_compared_is_null(void **state)
{
	(void)state;
	struct divergence d = { .n_vocab = 3 };
	json_t *j = divergence_json(&d);
	assert_true(json_is_null(json_object_get(j, "kl_mean_nats")));
	assert_true(json_is_null(json_object_get(j, "top1_agreement")));
	json_decref(j);
}

static size_t one_expert(void *user, size_t layer, size_t row, const float *probs, const struct moe_choice *topk,
                         struct moe_choice *chosen)
{
	(void)layer, (void)row, (void)probs;
	chosen[0] = topk[0];
	moe_renormalise(user, chosen, 1);
	return 1;
}

static void a_model_is_nothing_apart_from_itself_and_something_from_half_its_experts(void **state)
{
	(void)state;
	struct moe_model *m = open_mini();
	struct divergence d;
	int32_t ids[N_TOKENS];
	for (size_t i = 0; i < N_TOKENS; i++)
		ids[i] = (int32_t)(i * 37 % m->shape.n_vocab);
	struct moe_forward *f =
	        moe_forward_create(m, &(struct moe_ctx_options){ .n_ctx = N_TOKENS, .max_rows = MAX_ROWS });
	assert_int_equal(divergence_init(&d, m, N_TOKENS, MAX_ROWS), 0);
	assert_int_equal(divergence_add(&d, f, ids, N_TOKENS, 3), 0);
	assert_int_equal(d.n, N_TOKENS - 3);
	assert_int_equal(d.n_same, d.n);
	assert_true(d.kl == 0);
	moe_forward_set_select(f, one_expert, m);
	assert_int_equal(divergence_add(&d, f, ids, N_TOKENS, 0), 0);
	assert_int_equal(d.n, 2 * N_TOKENS - 3);
	assert_true(d.kl > 1e-3);
	divergence_free(&d);
	moe_forward_destroy(f);
	moe_model_close(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_row_is_compared_by_the_definition),
		cmocka_unit_test(nothing_compared_is_null),
		cmocka_unit_test(a_model_is_nothing_apart_from_itself_and_something_from_half_its_experts),
	};
	return cmocka_run_group_tests_name("divergence", tests, NULL, NULL);
}
