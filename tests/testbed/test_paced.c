/* What a slot loop in real time is made of: helper, mailbox, ledger, and the loop itself on a radio in virtual time. */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "testbed/helper.h"
#include "testbed/ledger.h"
#include "testbed/mailbox.h"
#include "testbed/paced.h"

/* ---- helper ---- */

static int order[100], n_done;

static void work(void *arg)
{
	order[n_done++] = *(int *)arg;
}

static atomic_bool may_end;

static void slow(void *arg)
{
	while (!atomic_load(&may_end))
		usleep(100);
	work(arg);
}

static void test_helper_works_in_order(void **state)
{
	(void)state;
	int numbers[100];
	uint64_t ticket = 0;
	struct helper *h = helper_create();
	assert_non_null(h);
	assert_true(helper_done(h, 0));
	for (int i = 0; i < 100; i++) {
		numbers[i] = i;
		ticket = helper_start(h, i ? work : slow, &numbers[i]);
		assert_int_equal(ticket, i + 1);
	}
	assert_false(helper_done(h, ticket)); /* the first one takes as long as it is let */
	atomic_store(&may_end, true);
	while (!helper_done(h, ticket))
		usleep(100);
	for (int i = 0; i < 100; i++)
		assert_int_equal(order[i], i);
	helper_destroy(h);
}

static void nothing(void *arg)
{
	(void)arg;
}

static void test_helper_is_full(void **state)
{
	(void)state;
	struct helper *h = helper_create();
	int number = 1;
	n_done = 0;
	atomic_store(&may_end, false);
	assert_int_equal(helper_start(h, slow, &number), 1);
	for (int i = 1; i < HELPER_JOBS; i++)
		assert_int_equal(helper_start(h, nothing, NULL), i + 1);
	assert_int_equal(helper_start(h, nothing, NULL), 0);
	atomic_store(&may_end, true);
	helper_destroy(h);
}

/* ---- mailbox ---- */

struct thing {
	uint64_t number, check;
};

static void *put_all(void *arg)
{
	struct mailbox *m = arg;
	for (uint64_t i = 0; i < 100000;) {
		struct thing t = { i, i * 3 };
		if (!mailbox_put(m, &t))
			i++;
	}
	return NULL;
}

static void test_mailbox_keeps_order(void **state)
{
	(void)state;
	struct mailbox *m = mailbox_create(sizeof(struct thing), 7);
	pthread_t thread;
	struct thing t;
	pthread_create(&thread, NULL, put_all, m);
	for (uint64_t i = 0; i < 100000;)
		if (mailbox_take(m, &t)) {
			assert_int_equal(t.number, i);
			assert_int_equal(t.check, 3 * i++);
		}
	pthread_join(thread, NULL);
	assert_false(mailbox_take(m, &t));
	for (int i = 0; i < 7; i++)
		assert_int_equal(mailbox_put(m, &t), 0);
	assert_int_equal(mailbox_put(m, &t), -ENOBUFS);
	mailbox_destroy(m);
	assert_null(mailbox_create(1, 0));
}

/* ---- ledger ---- */

static void test_ledger_against_sorting(void **state)
{
	(void)state;
	static struct ledger l;
	static struct ledger_counts before;
	static double v[10000];
	uint32_t rng = 1;
	for (int i = 0; i < 10000; i++) {
		rng = rng * 1664525 + 1013904223;
		v[i] = 2e-6 * exp(8.0 * rng / 4294967296.0);
		ledger_note(&l, 3, v[i], (uint64_t)i);
	}
	double worst = 0;
	int at = 0;
	for (int i = 0; i < 10000; i++)
		if (v[i] > worst) {
			worst = v[i];
			at = i;
		}
	for (int i = 1; i < 10000; i++) /* insertion sort: independent of the library's */
		for (int k = i; k > 0 && v[k] < v[k - 1]; k--) {
			double t = v[k];
			v[k] = v[k - 1];
			v[k - 1] = t;
		}
	struct ledger_line line = ledger_read(&l, 3, &before);
	assert_int_equal(line.n, 10000);
	assert_true(line.p50_s >= v[4999] && line.p50_s <= 1.0906 * v[4999]);
	assert_true(line.p99_s >= v[9899] && line.p99_s <= 1.0906 * v[9899]);
	assert_true(line.p999_s >= v[9989] && line.p999_s <= 1.0906 * v[9989]);
	assert_true(fabs(line.worst_s - worst) < 1e-9);
	assert_int_equal(line.worst_slot, at);
	line = ledger_read(&l, 3, &before);
	assert_int_equal(line.n, 0);
	assert_true(isnan(line.p50_s));
	assert_int_equal(ledger_read(&l, 3, NULL).n, 10000);
}

/* ---- the loop ---- */

enum { SLOT = 100, AHEAD = 3, LAST = 500 };

/* A radio in virtual time: every tenth send comes too late for it; gone after slot LAST. */
struct fake_radio {
	struct radio radio;
	uint64_t received, sent;
};

static int fake_recv(struct radio *r, float complex *x, size_t n, uint64_t t)
{
	struct fake_radio *f = (struct fake_radio *)r;
	for (size_t i = 0; i < n; i++)
		x[i] = (float)(t + i);
	f->received++;
	return f->received > LAST ? -EIO : 0;
}

static int fake_send(struct radio *r, const float complex *x, size_t n, uint64_t t)
{
	struct fake_radio *f = (struct fake_radio *)r;
	(void)x;
	(void)n;
	(void)t;
	if (f->sent++ % 10 != 9)
		return 0;
	radio_raise(r, RADIO_LATE, t);
	return -ETIME;
}

struct counting_node {
	uint64_t slots, sent, wrong;
	float complex tx[SLOT];
};

static uint64_t next(void *arg)
{
	return ((struct counting_node *)arg)->slots * SLOT;
}

static void slot(void *arg, const float complex *rx, struct paced_tx *tx)
{
	struct counting_node *n = arg;
	n->wrong += rx[0] != (float)(n->slots * SLOT);
	*tx = (struct paced_tx){ n->slots % 2 == 0, (n->slots + AHEAD) * SLOT, n->tx };
	n->slots++;
}

static void sent(void *arg)
{
	((struct counting_node *)arg)->sent++;
}

static void test_loop_counts_and_ends_with_its_radio(void **state)
{
	(void)state;
	static const struct radio_ops ops = { .recv = fake_recv, .send = fake_send };
	static struct config config;
	static struct ledger ledger;
	struct numerology num = { .slot_len = SLOT };
	struct fake_radio radio = { .radio = { .ops = &ops } };
	struct counting_node counting = { .slots = 0 };
	struct paced_node node = { &counting, next, slot, sent };
	char warning[128];
	config_defaults(&config);
	struct paced *p = paced_start(&config, &num, &radio.radio, &node, &ledger, warning, sizeof warning);
	assert_non_null(p);
	assert_string_equal(warning, "");
	while (paced_state(p) == PACED_RUNNING)
		usleep(100);
	struct paced_counts c = paced_counts(p);
	paced_stop(p);
	assert_int_equal(counting.wrong, 0);
	assert_int_equal(counting.slots, LAST);
	assert_int_equal(counting.sent, LAST);
	assert_int_equal(c.slots, LAST + 1);
	assert_int_equal(c.slots_late, LAST / 2 / 10);
	assert_int_equal(c.events[RADIO_LATE], LAST / 2 / 10);
	for (unsigned s = 0; s < PACED_STAGES; s++)
		assert_int_equal(ledger_read(&ledger, s, NULL).n, LAST);
}

/* Another processor than there are: one line, and the loop runs all the same. */
static void test_what_the_system_refuses_is_told(void **state)
{
	(void)state;
	static const struct radio_ops ops = { .recv = fake_recv, .send = fake_send };
	static struct config config;
	static struct ledger ledger;
	struct numerology num = { .slot_len = SLOT };
	struct fake_radio radio = { .radio = { .ops = &ops } };
	struct counting_node counting = { .slots = 0 };
	struct paced_node node = { &counting, next, slot, NULL };
	char warning[128];
	config_defaults(&config);
	config.realtime.cpu = 1000;
	struct paced *p = paced_start(&config, &num, &radio.radio, &node, &ledger, warning, sizeof warning);
	assert_non_null(p);
	assert_non_null(strstr(warning, "realtime.cpu 1000"));
	while (paced_state(p) == PACED_RUNNING)
		usleep(100);
	paced_stop(p);
	assert_int_equal(counting.slots, LAST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_helper_works_in_order),
		cmocka_unit_test(test_helper_is_full),
		cmocka_unit_test(test_mailbox_keeps_order),
		cmocka_unit_test(test_ledger_against_sorting),
		cmocka_unit_test(test_loop_counts_and_ends_with_its_radio),
		cmocka_unit_test(test_what_the_system_refuses_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
