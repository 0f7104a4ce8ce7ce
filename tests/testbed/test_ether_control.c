/* Live commands to an ether: what they do to the true channel, and what is refused. */
#include <complex.h>
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "testbed/ether_control.h"

static const double RATE_HZ = 1e6;

struct fixture {
	struct ether *ether;
	struct ether_control *control;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	struct ether_config c = { .rate_hz = RATE_HZ, .dl_hz = 3.5e9, .ul_hz = 3.4e9, .seed = 5, .n_devices = 2 };
	char err[128];
	for (size_t k = 0; k <= 2; k++)
		c.link[k] = (struct ether_link_config){ .path_loss_db = 80, .model = "none" };
	f->ether = ether_create(&c, err, sizeof err);
	f->control = ether_control_create(f->ether, &c);
	*state = f;
	return f->ether && f->control ? 0 : -1;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	ether_control_destroy(f->control);
	ether_destroy(f->ether);
	free(f);
	return 0;
}

static double loss_db(struct fixture *f, size_t device, uint64_t t)
{
	double complex h;
	double offset_hz = 0;
	assert_int_equal(ether_true_response(f->ether, device + 1, ETHER_DL, (double)t, &offset_hz, 1, &h), 0);
	return -20 * log10(cabs(h));
}

static void told(struct fixture *f, const char *command, uint64_t now, const char *says)
{
	char answer[256];
	int rc = ether_control_do(f->control, command, now, answer, sizeof answer);
	assert_int_equal(rc, strncmp(says, "error", 5) == 0 ? -EINVAL : 0);
	if (!strstr(answer, says))
		fail_msg("%s: \"%s\" is not \"%s\"", command, answer, says);
}

static void test_path_loss(void **state)
{
	struct fixture *f = *state;
	told(f, "path-loss 1 93.5", 0, "ok");
	assert_true(fabs(loss_db(f, 1, 1000) - 93.5) < 1e-4);
	assert_true(fabs(loss_db(f, 0, 1000) - 80) < 1e-4);
	told(f, "show 1", 0, "path loss 93.50 dB, none");
}

static void test_fading_and_speed(void **state)
{
	struct fixture *f = *state;
	told(f, "fading 0 rayleigh", 0, "ok");
	told(f, "speed 0 30", 0, "ok");
	double least = 1e9, most = -1e9;
	for (uint64_t t = 0; t < 200000; t += 500) {
		double l = loss_db(f, 0, t);
		least = fmin(least, l);
		most = fmax(most, l);
	}
	assert_true(most - least > 10); /* it fades, within twenty coherence times */
	told(f, "fading 0 tdl-a 50", 0, "ok");
	told(f, "show 0", 0, "tdl-a, 50.0 ns, 30.00 km/h");
}

static void test_outage_is_silence_at_the_receiver(void **state)
{
	struct fixture *f = *state;
	float complex x[1000], y[3000];
	for (int i = 0; i < 1000; i++)
		x[i] = 0.5f;
	told(f, "outage 0 dl 1", 1000, "ok"); /* 1000 samples from 1000 on */
	for (uint64_t t = 0; t < 4000; t += 1000)
		assert_int_equal(radio_send(ether_radio(f->ether, 0), x, 1000, t), 0);
	assert_int_equal(radio_recv(ether_radio(f->ether, 1), y, 3000, 0), 0);
	double dark = 0, lit = 0;
	for (int i = 100; i < 900; i++) {
		dark += cabsf(y[1000 + i]);
		lit += cabsf(y[i]) + cabsf(y[2000 + i]);
	}
	assert_true(dark < 0.05 * lit);
}

static void test_mobility(void **state)
{
	struct fixture *f = *state;
	const char *path = "walk.csv";
	char command[64];
	FILE *file = fopen(path, "w");
	fputs("# seconds, dB\n0,80\n1,100\n2,90\n", file);
	fclose(file);
	snprintf(command, sizeof command, "mobility 1 %s", path);
	told(f, command, 500000, "ok");
	for (double t_s = 0; t_s <= 3; t_s += 0.02) {
		uint64_t now = 500000 + (uint64_t)(t_s * RATE_HZ);
		double expected = t_s < 1 ? 80 + 20 * t_s : t_s < 2 ? 100 - 10 * (t_s - 1) : 90;
		ether_control_move(f->control, now);
		assert_true(fabs(loss_db(f, 1, now) - expected) < 0.25); /* set anew every 10 ms */
	}
	remove(path);
}

static void test_refusals(void **state)
{
	struct fixture *f = *state;
	told(f, "", 0, "error: a command is");
	told(f, "path-loss 2 90", 0, "error: there is no such device");
	told(f, "dance 1", 0, "error: there is no such command");
	told(f, "path-loss 1", 0, "error: path-loss K DB");
	told(f, "path-loss 1 -3", 0, "error: ether: link[2].path_loss_db = -3 is outside");
	told(f, "fading 1 marble", 0, "error: fading: there is no such model");
	told(f, "fading 1 tdl-a 1e9", 0, "error: ether: link[2].delay_spread_s");
	told(f, "outage 1 up 5", 0, "error: outage K");
	told(f, "mobility 1 /nowhere", 0, "error: mobility");
	assert_true(fabs(loss_db(f, 1, 1000) - 80) < 1e-4); /* nothing of it changed anything */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_path_loss, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_fading_and_speed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_outage_is_silence_at_the_receiver, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_mobility, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_refusals, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
