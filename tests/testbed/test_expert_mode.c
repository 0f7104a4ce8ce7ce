/* Experts that are wrong on purpose: exactly as wrong as asked for. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "testbed/expert_mode.h"

enum { N_EXPERT = 8, N_USED = 3 };

static struct moe_model *mini;
static float probs[N_EXPERT];
static struct moe_choice topk[N_USED], chosen[N_EXPERT];

/* The rules read nothing of the model but its shape and how it renormalises: mini with other numbers will do. */
static int set_up(void **state)
{
	(void)state;
	char err[256];
	if (moe_model_open(SOURCE_DIR "/tests/moe/data/mini.gguf", NULL, &mini, err, sizeof err))
		return -1;
	mini->shape.n_expert = N_EXPERT;
	mini->shape.n_expert_used = N_USED;
	static const float p[N_EXPERT] = { 0.02f, 0.40f, 0.03f, 0.05f, 0.10f, 0.30f, 0.06f, 0.04f };
	for (size_t i = 0; i < N_EXPERT; i++)
		probs[i] = p[i];
	static const uint32_t best[N_USED] = { 1, 5, 4 };
	for (size_t i = 0; i < N_USED; i++)
		topk[i] = (struct moe_choice){ best[i], p[best[i]], p[best[i]] / 0.8f };
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	moe_model_close(mini);
	return 0;
}

static size_t choose(const char *mode, uint64_t seed)
{
	struct expert_chooser c = { .model = mini, .seed = seed };
	assert_int_equal(expert_mode_parse(mode, &c.mode), 0);
	return expert_choose(&c, 0, 0, probs, topk, chosen);
}

static void near(double value, double expected)
{
	assert_true(fabs(value - expected) < 1e-6);
}

static void nothing_asked_leaves_the_routers_choice(void **state)
{
	(void)state;
	static const char *const same[] = { "", "top3", "top100", "drop<0", "dead:7" };
	for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
		assert_int_equal(choose(same[i], 1), N_USED);
		assert_memory_equal(chosen, topk, sizeof topk);
	}
}

static void top_keeps_the_first_and_renormalises(void **state)
{
	(void)state;
	assert_int_equal(choose("top1", 1), 1);
	assert_int_equal(chosen[0].expert, 1);
	near(chosen[0].weight, 1);
	assert_int_equal(choose("top2", 1), 2);
	assert_int_equal(chosen[1].expert, 5);
	near(chosen[0].weight, 0.4 / 0.7);
	near(chosen[1].weight, 0.3 / 0.7);
}

static void drop_leaves_out_light_ones_but_never_the_first(void **state)
{
	(void)state;
	assert_int_equal(choose("drop<0.2", 1), 2); /* weights 0.5, 0.375, 0.125 */
	near(chosen[0].weight, 0.4 / 0.7);
	assert_int_equal(choose("drop<0.12", 1), 3);
	assert_int_equal(choose("drop<0.4", 1), 1);
	assert_int_equal(choose("drop<1", 1), 1);
	struct expert_chooser just = { .model = mini };
	assert_int_equal(expert_mode_parse("drop<0", &just.mode), 0);
	just.mode.value = (double)topk[1].weight; /* not below it */
	assert_int_equal(expert_choose(&just, 0, 0, probs, topk, chosen), 2);
	assert_int_equal(just.n_routed, N_USED);
	assert_int_equal(just.n_left_out, N_USED - 2);
	assert_int_equal(choose("drop<1", 1), 1);
	assert_int_equal(chosen[0].expert, 1);
	near(chosen[0].weight, 1);
}

static void a_dead_expert_is_left_out(void **state)
{
	(void)state;
	assert_int_equal(choose("dead:5", 1), 2);
	assert_int_equal(chosen[0].expert, 1);
	assert_int_equal(chosen[1].expert, 4);
	near(chosen[0].weight, 0.8);
	near(chosen[1].weight, 0.2);
}

static void random_ones_are_different_even_and_keep_the_weights(void **state)
{
	(void)state;
	enum { DRAWS = 8000 };
	struct expert_chooser c = { .model = mini, .seed = 5 };
	unsigned seen[N_EXPERT] = { 0 };
	assert_int_equal(expert_mode_parse("random", &c.mode), 0);
	for (int i = 0; i < DRAWS; i++) {
		assert_int_equal(expert_choose(&c, 0, 0, probs, topk, chosen), N_USED);
		for (size_t k = 0; k < N_USED; k++) {
			assert_true(chosen[k].expert < N_EXPERT);
			assert_true(chosen[k].weight == topk[k].weight);
			seen[chosen[k].expert]++;
			for (size_t j = 0; j < k; j++)
				assert_true(chosen[j].expert != chosen[k].expert);
		}
	}
	double share = (double)N_USED / N_EXPERT, sigma = sqrt(DRAWS * share * (1 - share));
	for (size_t e = 0; e < N_EXPERT; e++)
		assert_true(fabs(seen[e] - DRAWS * share) < 5 * sigma);
}

static void random_ones_follow_the_seed(void **state)
{
	(void)state;
	struct expert_chooser a = { .model = mini, .seed = 5 }, b = a, other = { .model = mini, .seed = 6 };
	struct moe_choice x[N_EXPERT], y[N_EXPERT];
	int differ = 0;
	expert_mode_parse("random", &a.mode);
	b.mode = other.mode = a.mode;
	for (int i = 0; i < 50; i++) {
		expert_choose(&a, 0, 0, probs, topk, x);
		expert_choose(&b, 0, 0, probs, topk, y);
		for (size_t k = 0; k < N_USED; k++)
			assert_int_equal(x[k].expert, y[k].expert);
		expert_choose(&other, 0, 0, probs, topk, y);
		differ += x[0].expert != y[0].expert;
	}
	assert_true(differ > 20);
}

static void words_it_does_not_know_are_refused(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"top",  "top0",  "top-1",     "top1.5",   "topnan",    "top1e9",   "top2x",    "top2 ",   "Top2",
		"drop", "drop<", "drop<-0.1", "drop<x",   "drop<nan",  "drop<inf", "drop>0.1", "random3", "rand",
		"dead", "dead:", "dead:-1",   "dead:1.5", "dead:1e30", " ",        "none",
	};
	struct expert_mode mode;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(expert_mode_parse(bad[i], &mode), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_asked_leaves_the_routers_choice),
		cmocka_unit_test(top_keeps_the_first_and_renormalises),
		cmocka_unit_test(drop_leaves_out_light_ones_but_never_the_first),
		cmocka_unit_test(a_dead_expert_is_left_out),
		cmocka_unit_test(random_ones_are_different_even_and_keep_the_weights),
		cmocka_unit_test(random_ones_follow_the_seed),
		cmocka_unit_test(words_it_does_not_know_are_refused),
	};
	return cmocka_run_group_tests_name("expert_mode", tests, set_up, tear_down);
}
