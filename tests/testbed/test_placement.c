/* Which device holds which expert: lists, modulo, balanced by memory and speed; what does not fit is named. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "testbed/placement.h"

/* The small model: 2 layers of 4 experts, 12288 bytes each. */
enum { N_LAYER = 2, N_EXPERT = 4, EXPERT_BYTES = 12288, SETS_MAX = 8 };

static struct config config;
static char err[512];

static int set_up(void **state)
{
	struct moe_model *m;
	if (moe_model_open(SOURCE_DIR "/tests/moe/data/mini.gguf", &(struct moe_half){ .base = true }, &m, err,
	                   sizeof err))
		return -1;
	*state = m;
	return 0;
}

static int tear_down(void **state)
{
	moe_model_close(*state);
	return 0;
}

/* n devices with these settings, ended by NULL. */
static int place(const struct moe_model *m, size_t n, const char *const *sets, struct placement *p)
{
	config_defaults(&config);
	config.n_devices = n;
	for (size_t d = 1; d < n; d++)
		config.devices[d] = config.devices[0];
	for (; *sets; sets++)
		assert_int_equal(config_set(&config, *sets, err, sizeof err), 0);
	return placement_create(p, &config, m, err, sizeof err);
}

static unsigned n_holders(const struct placement *p, size_t layer, size_t e)
{
	return (unsigned)__builtin_popcount(p->holders[layer * p->n_expert + e]);
}

static size_t n_held(const struct placement *p, size_t d, size_t layer)
{
	size_t n = 0;
	for (size_t e = 0; e < N_EXPERT; e++)
		n += placement_holds(p, d, layer, e);
	return n;
}

static void lists_name_layers_and_experts(void **state)
{
	static const char *const sets[] = { "devices[0].experts=0-1 1:3", "devices[1].experts=[\"0:2-3\", 1:2]", NULL };
	static const bool held[2][N_LAYER][N_EXPERT] = { { { 1, 1, 0, 0 }, { 1, 1, 0, 1 } },
		                                         { { 0, 0, 1, 1 }, { 0, 0, 1, 0 } } };
	struct placement p;
	assert_int_equal(place(*state, 2, sets, &p), 0);
	for (size_t d = 0; d < 2; d++)
		for (size_t layer = 0; layer < N_LAYER; layer++)
			for (size_t e = 0; e < N_EXPERT; e++)
				assert_int_equal(placement_holds(&p, d, layer, e), held[d][layer][e]);
	assert_int_equal(placement_bytes(&p, *state, 0), 5 * EXPERT_BYTES);
	placement_free(&p);
}

static void what_the_model_does_not_have_is_named(void **state)
{
	static const char *const bad[] = { "devices[0].experts=4", "devices[0].experts=2:0",
		                           "devices[0].experts=1-9:0" };
	for (size_t i = 0; i < 3; i++) {
		const char *sets[] = { bad[i], NULL };
		struct placement p;
		assert_int_equal(place(*state, 2, sets, &p), -EINVAL);
		assert_non_null(strstr(err, "devices[0].experts"));
	}
}

static void modulo_deals_in_turn_with_replicas_behind(void **state)
{
	static const char *const sets[] = { "moe.replicas=2", NULL };
	struct placement p;
	assert_int_equal(place(*state, 3, sets, &p), 0);
	for (size_t d = 0; d < 3; d++)
		for (size_t layer = 0; layer < N_LAYER; layer++)
			for (size_t e = 0; e < N_EXPERT; e++)
				assert_int_equal(placement_holds(&p, d, layer, e), e % 3 == d || (e + 1) % 3 == d);
	placement_free(&p);
}

/* Device 1 is three times as fast: of four experts it gets three. */
static void a_fast_device_gets_more(void **state)
{
	static const char *const sets[] = { "moe.placement=balanced", "devices.profile=none", "devices[0].call_us=300",
		                            "devices[1].call_us=100", NULL };
	struct placement p;
	assert_int_equal(place(*state, 2, sets, &p), 0);
	for (size_t layer = 0; layer < N_LAYER; layer++) {
		assert_int_equal(n_held(&p, 0, layer), 1);
		assert_int_equal(n_held(&p, 1, layer), 3);
	}
	placement_free(&p);
}

/* The same with memory for two experts on the fast one: one in each layer, not both in the first. */
static void memory_is_kept_for_the_layers_to_come(void **state)
{
	static const char *const sets[] = { "moe.placement=balanced",     "devices.profile=none",
		                            "devices[0].call_us=300",     "devices[1].call_us=100",
		                            "devices[1].memory_mb=0.025", NULL };
	struct placement p;
	assert_int_equal(place(*state, 2, sets, &p), 0);
	for (size_t layer = 0; layer < N_LAYER; layer++) {
		assert_int_equal(n_held(&p, 0, layer), 3);
		assert_int_equal(n_held(&p, 1, layer), 1);
	}
	placement_free(&p);
}

static void replicas_lie_on_different_devices(void **state)
{
	static const char *const sets[] = { "moe.placement=balanced", "moe.replicas=3", "devices[2].call_us=500",
		                            NULL };
	struct placement p;
	assert_int_equal(place(*state, 4, sets, &p), 0);
	for (size_t layer = 0; layer < N_LAYER; layer++)
		for (size_t e = 0; e < N_EXPERT; e++)
			assert_int_equal(n_holders(&p, layer, e), 3);
	placement_free(&p);
}

/* What a list holds already needs no other place. */
static void lists_count_in_the_balance(void **state)
{
	static const char *const sets[] = { "moe.placement=balanced", "devices[0].experts=0-2", NULL };
	struct placement p;
	assert_int_equal(place(*state, 3, sets, &p), 0);
	for (size_t layer = 0; layer < N_LAYER; layer++) {
		assert_int_equal(n_held(&p, 0, layer), 3);
		assert_int_equal(n_held(&p, 1, layer) + n_held(&p, 2, layer), 1);
		for (size_t e = 0; e < N_EXPERT; e++)
			assert_int_equal(n_holders(&p, layer, e), 1);
	}
	placement_free(&p);
}

static void too_little_memory_is_named(void **state)
{
	static const char *const cases[][3] = {
		{ "moe.placement=balanced", "devices.memory_mb=0.04",
		  "no device has room for expert" }, /* 3 + 3 of 8 */
		{ "devices[1].memory_mb=0.01", "moe.replicas=1", "devices[1].memory_mb" },
	};
	for (size_t i = 0; i < 2; i++) {
		const char *sets[] = { cases[i][0], cases[i][1], NULL };
		struct placement p;
		assert_int_equal(place(*state, 2, sets, &p), -EINVAL);
		if (!strstr(err, cases[i][2]))
			fail_msg("%s", err);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_name_layers_and_experts),
		cmocka_unit_test(what_the_model_does_not_have_is_named),
		cmocka_unit_test(modulo_deals_in_turn_with_replicas_behind),
		cmocka_unit_test(a_fast_device_gets_more),
		cmocka_unit_test(memory_is_kept_for_the_layers_to_come),
		cmocka_unit_test(replicas_lie_on_different_devices),
		cmocka_unit_test(lists_count_in_the_balance),
		cmocka_unit_test(too_little_memory_is_named),
	};
	return cmocka_run_group_tests_name("placement", tests, set_up, tear_down);
}
