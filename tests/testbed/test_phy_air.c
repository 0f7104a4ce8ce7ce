/* The air of link-level figures: its truth against what a noiseless slot shows, its noise against the variance asked. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "phy/nco.h"
#include "phy/ofdm.h"
#include "radio/tdl.h"
#include "testbed/phy_air.h"
#include "testbed/spread.h"

#define assert_near(x, y, tolerance) assert_true(fabs((x) - (y)) <= (tolerance))

enum { SLOTS = 6 };

struct scene {
	struct numerology num;
	struct ofdm *ofdm;
	struct ring *ring;
	struct phy_air *air;
	float complex *grid, *heard, *samples;
};

static void open_scene(struct scene *s, double noise_var)
{
	char why[128];
	assert_int_equal(numerology_init(&s->num, 7.68e6, 30e3, 18, 14, why, sizeof why), 0);
	size_t n_re = s->num.n_symbols * s->num.n_sc;
	s->ofdm = ofdm_create(&s->num, numerology_backoff(&s->num));
	s->ring = ring_create(RING_HISTORY);
	s->air = phy_air_create();
	s->grid = calloc(n_re, sizeof *s->grid);
	s->heard = calloc(n_re, sizeof *s->heard);
	s->samples = calloc(s->num.slot_len, sizeof *s->samples);
	assert_true(s->ofdm && s->ring && s->air && s->grid && s->heard && s->samples);
	phy_air_reset(s->air, 7, 20, noise_var);
}

static void close_scene(struct scene *s)
{
	free(s->samples);
	free(s->heard);
	free(s->grid);
	phy_air_destroy(s->air);
	ring_destroy(s->ring);
	ofdm_destroy(s->ofdm);
}

/* The same random QPSK slot over and over, turned by an NCO. */
static void send_slots(struct scene *s, double nco_hz, double *phase_of_last)
{
	struct nco nco;
	nco_init(&nco, s->num.rate_hz);
	nco_set_hz(&nco, nco_hz);
	for (size_t i = 0; i < s->num.n_symbols * s->num.n_sc; i++)
		s->grid[i] =
		        0.05f * ((spread_uniform(1, i) < 0.5 ? 1 : -1) + I * (spread_uniform(2, i) < 0.5 ? 1 : -1));
	for (uint64_t n = 0; n < SLOTS; n++) {
		ofdm_modulate(s->ofdm, s->grid, s->samples);
		*phase_of_last = n == SLOTS - 2 ? nco_phase_rad(&nco) : *phase_of_last;
		nco_up(&nco, s->samples, s->samples, s->num.slot_len);
		ring_write(s->ring, n * s->num.slot_len, s->samples, s->num.slot_len, 1);
	}
}

/* Error of the truth over the channel's power, in dB, over all REs of the last slot but one. */
static double truth_error_db(const char *model, double doppler_hz, double ppm, double nco_hz, double down_hz)
{
	struct scene s;
	double nco_rad = 0, error = 0, power = 0;
	open_scene(&s, 0);
	const struct fading_link_config link = { .profile = tdl_find(model),
		                                 .delay_spread_s = 100e-9,
		                                 .speed_m_s = doppler_hz / 3.5e9 * 299792458.0,
		                                 .path_loss_db = 3,
		                                 .propagation_delay_s = 1.3 / s.num.rate_hz,
		                                 .rate_hz = s.num.rate_hz,
		                                 .carrier_hz = 3.5e9,
		                                 .rx_error = 1e-6 * ppm,
		                                 .rx_start_s = 100.37 / s.num.rate_hz,
		                                 .seed = 3 };
	assert_int_equal(phy_air_link(s.air, s.ring, &link), 0);
	send_slots(&s, nco_hz, &nco_rad);
	double sent_at = (double)((SLOTS - 2) * s.num.slot_len);
	uint64_t start = (uint64_t)llround(phy_air_receiver_clock(s.air, 0, sent_at));
	phy_air_hear(s.air, start, s.num.slot_len, s.samples);
	struct nco down;
	nco_init(&down, s.num.rate_hz);
	nco_set_hz(&down, down_hz);
	nco_down(&down, s.samples, s.samples, s.num.slot_len);
	ofdm_demodulate(s.ofdm, s.samples, s.heard);
	for (size_t l = 0; l < s.num.n_symbols; l++) {
		double complex h[PHY_SC_MAX];
		const struct phy_air_look look = {
			.num = &s.num,
			.t_ref = (double)start + numerology_symbol_middle(&s.num, l) -
			         (double)numerology_backoff(&s.num),
			.t_slot = (double)start,
			.sent_at = sent_at,
			.nco_hz = nco_hz,
			.nco_rad = nco_rad,
			.down_hz = down_hz,
			.amplitude = 0.05 * M_SQRT2,
		};
		phy_air_truth(s.air, 0, &look, h);
		for (size_t k = 0; k < s.num.n_sc; k++) {
			size_t i = l * s.num.n_sc + k;
			double complex seen = s.heard[i] / (s.grid[i] / (0.05 * M_SQRT2)), e = seen - h[k];
			error += creal(e * conj(e));
			power += creal(h[k] * conj(h[k]));
		}
	}
	close_scene(&s);
	return 10 * log10(error / power);
}

static void the_truth_is_what_a_noiseless_slot_shows(void **state)
{
	(void)state;
	assert_true(truth_error_db("none", 0, 0, 0, 0) < -50);
	assert_true(truth_error_db("tdl-a", 0, 0, 0, 0) < -45);
	assert_true(truth_error_db("tdl-a", 30, 0, 0, 0) < -40);
}

static void the_truth_knows_clocks_and_both_turnings(void **state)
{
	(void)state;
	const double cfo_hz = -2e-6 * 3.5e9; /* of a receiver 2 ppm fast */
	assert_true(truth_error_db("none", 0, 2, 0, cfo_hz) < -45);
	assert_true(truth_error_db("tdl-a", 30, 2, -cfo_hz, 0) < -40);
	assert_true(truth_error_db("tdl-a", 30, 2, 1000 - cfo_hz, 1000) < -38);
	assert_true(truth_error_db("none", 0, 2, 0, 0) > -20); /* a fifth of a subcarrier left */
}

static void noise_has_the_variance_asked_for(void **state)
{
	(void)state;
	struct scene s;
	double power = 0;
	const size_t n = 40;
	open_scene(&s, 0.25);
	for (size_t i = 0; i < n; i++) {
		phy_air_hear(s.air, 1001 * i, s.num.slot_len, s.samples);
		for (size_t k = 0; k < s.num.slot_len; k++)
			power += (double)crealf(s.samples[k] * conjf(s.samples[k]));
	}
	assert_near(power / (double)(n * s.num.slot_len), 0.25, 0.005); /* five deviations */
	close_scene(&s);
}

static void a_stretch_is_the_same_in_whatever_pieces(void **state)
{
	(void)state;
	struct scene s;
	float complex pieces[300];
	open_scene(&s, 1);
	phy_air_hear(s.air, 977, 300, s.samples);
	phy_air_hear(s.air, 977, 111, pieces);
	phy_air_hear(s.air, 977 + 111, 189, pieces + 111);
	assert_memory_equal(s.samples, pieces, sizeof pieces);
	close_scene(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_truth_is_what_a_noiseless_slot_shows),
		cmocka_unit_test(the_truth_knows_clocks_and_both_turnings),
		cmocka_unit_test(noise_has_the_variance_asked_for),
		cmocka_unit_test(a_stretch_is_the_same_in_whatever_pieces),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
