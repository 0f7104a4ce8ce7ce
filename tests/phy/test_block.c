/* Blocks over a grid: every RE with a channel, every RB with a noise of its own. */
#include "phy/block.h"
#include "phy/gold.h"
#include "phy/mcs.h"
#include "phy/modem.h"
#include "tests/phy/awgn.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N_RB = 18, SEED = 77 };

struct bench {
	struct numerology num;
	struct layout *layout;
	struct block *block;
	struct awgn random;
	struct grant grant;
	size_t n_grid, n_bytes;
	float complex *sent, *h, *received;
	float noise_var[N_RB];
	uint8_t *tb, *got;
};

static struct bench *create(uint64_t seed, uint8_t mcs)
{
	struct bench *b = calloc(1, sizeof *b);
	char why[128];

	assert_non_null(b);
	assert_int_equal(numerology_init(&b->num, 7.68e6, 30e3, N_RB, 14, why, sizeof why), 0);
	b->layout = layout_create(&b->num, why, sizeof why);
	b->block = block_create(&b->num);
	assert_true(b->layout && b->block);
	b->random.state = seed;
	b->grant.mcs = mcs;
	rb_set_add_range(&b->grant.rbs, 0, N_RB);
	b->n_grid = b->num.n_symbols * b->num.n_sc;
	b->n_bytes = block_bytes(&b->num, &b->grant);
	b->sent = calloc(b->n_grid, sizeof *b->sent);
	b->h = calloc(b->n_grid, sizeof *b->h);
	b->received = calloc(b->n_grid, sizeof *b->received);
	b->tb = calloc(1, block_bytes_max(&b->num));
	b->got = calloc(1, block_bytes_max(&b->num));
	assert_true(b->sent && b->h && b->received && b->tb && b->got);
	awgn_bytes(&b->random, b->tb, b->n_bytes);
	return b;
}

static void destroy(struct bench *b)
{
	free(b->got);
	free(b->tb);
	free(b->received);
	free(b->h);
	free(b->sent);
	block_destroy(b->block);
	layout_destroy(b->layout);
	free(b);
}

/* Sends the block in a slot over h, at noise_var. */
static size_t transmit(struct bench *b, uint64_t slot)
{
	size_t n_re = layout_dl_data(b->layout, slot, &b->grant.rbs, block_re(b->block));

	memset(b->sent, 0, b->n_grid * sizeof *b->sent);
	assert_int_equal(block_send(b->block, &b->grant, SEED, n_re, 1, b->tb, b->n_bytes, b->sent), 0);
	for (size_t i = 0; i < b->n_grid; i++) {
		float noise_var = b->noise_var[i % b->num.n_sc / PHY_RB_SC];
		b->received[i] = b->h[i] * b->sent[i] + sqrtf(noise_var) * awgn_noise(&b->random);
	}
	return n_re;
}

static int receive(struct bench *b, size_t n_re, struct tb_soft *soft, struct rx_info *info)
{
	struct block_channel channel = { b->h, b->noise_var };
	size_t n_bytes;
	int rc = block_receive(b->block, &b->grant, SEED, n_re, b->received, &channel, soft, b->got, &n_bytes, info);

	assert_int_equal(n_bytes, b->n_bytes);
	return rc;
}

/* A channel that no two REs share, and noise of 30 dB more in one RB of three: at rate 0.55 the others suffice, if the
 * soft bits know it. Contiguous and scattered RBs, in slots with and without sync symbol. */
static void every_element_counts_by_its_own_channel_and_noise(void **state)
{
	(void)state;
	for (unsigned slot = 0; slot < 4; slot++) {
		struct bench *b = create(slot + 1, 4); /* QPSK, rate 0.46 */
		struct rx_info info;
		for (size_t rb = 0; rb < N_RB; rb++)
			b->noise_var[rb] = rb % 3 ? 0.01f : 10;
		if (slot > 1) {
			rb_set_remove(&b->grant.rbs, 3);
			rb_set_remove(&b->grant.rbs, 10);
			rb_set_remove(&b->grant.rbs, 11);
			b->n_bytes = block_bytes(&b->num, &b->grant);
		}
		for (size_t i = 0; i < b->n_grid; i++)
			b->h[i] = (0.5f + (float)awgn_uniform(&b->random)) *
			          cexpf(6.2831853f * I * (float)awgn_uniform(&b->random));
		size_t n_re = transmit(b, slot % 2);
		assert_int_equal(receive(b, n_re, NULL, &info), 0);
		assert_memory_equal(b->got, b->tb, b->n_bytes);
		destroy(b);
	}
}

static void a_block_is_written_on_its_elements_alone(void **state)
{
	struct bench *b = create(9, 20);
	size_t n_re, there = 0;
	double power = 0;

	(void)state;
	b->grant.rbs = (struct rb_set){ { 0x155 } };
	b->n_bytes = block_bytes(&b->num, &b->grant);
	n_re = transmit(b, 1);
	for (size_t i = 0; i < n_re; i++) {
		float complex x = b->sent[block_re(b->block)[i]];
		there += x != 0;
		power += (double)(crealf(x) * crealf(x) + cimagf(x) * cimagf(x));
		b->sent[block_re(b->block)[i]] = 0;
	}
	assert_int_equal(there, n_re);
	assert_true(fabs(power / (double)n_re - 1) <
	            0.1); /* unit mean power: a deviation of 3 % for 600 REs of 64QAM */
	for (size_t i = 0; i < b->n_grid; i++)
		assert_true(b->sent[i] == 0);
	destroy(b);
}

/* EVM is the noise, SNR the channel's over the noise. */
static void quality_is_reported(void **state)
{
	(void)state;
	for (uint8_t mcs = 0; mcs < mcs_count(); mcs += 5) {
		struct bench *b = create(mcs, mcs);
		struct rx_info info;
		for (size_t i = 0; i < b->n_grid; i++)
			b->h[i] = 2 * I;
		for (size_t rb = 0; rb < N_RB; rb++)
			b->noise_var[rb] = 4 * 1e-3f;
		assert_int_equal(receive(b, transmit(b, 1), NULL, &info), 0);
		assert_true(fabsf(info.snr_db - 30) < 0.01f);
		assert_true(fabsf(info.evm_db + 30) < 1);
		destroy(b);
	}
}

/* In a sync slot the highest MCS has more bits than fit; with version 2 in another slot they are there. */
static void a_block_is_repeated_in_a_slot_of_another_length(void **state)
{
	struct bench *b = create(3, (uint8_t)(mcs_count() - 1));
	struct tb_soft *soft = tb_soft_create(b->n_bytes);

	(void)state;
	assert_non_null(soft);
	for (size_t i = 0; i < b->n_grid; i++)
		b->h[i] = 1;
	for (size_t rb = 0; rb < N_RB; rb++)
		b->noise_var[rb] = 1e-3f; /* 30 dB */
	assert_int_equal(receive(b, transmit(b, 0), soft, NULL), -EBADMSG);
	b->grant.rv = 2;
	assert_int_equal(receive(b, transmit(b, 1), soft, NULL), 0);
	assert_memory_equal(b->got, b->tb, b->n_bytes);
	/* The buffer holds this block: one of another MCS, or of fewer RBs, is not added to it. */
	b->grant.mcs--;
	b->n_bytes = block_bytes(&b->num, &b->grant);
	assert_int_equal(receive(b, 2000, soft, NULL), -EINVAL);
	tb_soft_destroy(soft);
	destroy(b);
}

static void what_is_no_number_or_nothing_is_no_block(void **state)
{
	struct bench *b = create(4, 8);
	size_t n_re = transmit(b, 1);
	struct rx_info info;

	(void)state;
	assert_int_equal(receive(b, n_re, NULL, &info), -EBADMSG); /* h is nil */
	for (size_t i = 0; i < b->n_grid; i++) {
		b->h[i] = CMPLXF(NAN, INFINITY);
		b->received[i] = CMPLXF(-INFINITY, NAN);
	}
	assert_int_equal(receive(b, n_re, NULL, &info), -EBADMSG);
	for (size_t rb = 0; rb < N_RB; rb++)
		b->noise_var[rb] = rb % 2 ? NAN : -1;
	assert_int_equal(receive(b, n_re, NULL, &info), -EBADMSG);
	destroy(b);
}

static void impossible_blocks_are_refused(void **state)
{
	struct bench *b = create(5, 8);
	size_t n_re = transmit(b, 1), n_bytes;
	struct block_channel channel = { b->h, b->noise_var };

	(void)state;
	assert_int_equal(block_send(b->block, &b->grant, SEED, n_re, 1, b->tb, b->n_bytes - 1, b->sent), -EINVAL);
	assert_int_equal(block_send(b->block, &b->grant, SEED, 0, 1, b->tb, b->n_bytes, b->sent), -EINVAL);
	assert_int_equal(receive(b, 0, NULL, NULL), -EINVAL);
	b->grant.mcs = (uint8_t)mcs_count();
	assert_int_equal(block_send(b->block, &b->grant, SEED, n_re, 1, b->tb, b->n_bytes, b->sent), -EINVAL);
	assert_int_equal(
	        block_receive(b->block, &b->grant, SEED, n_re, b->received, &channel, NULL, b->got, &n_bytes, NULL),
	        -EINVAL);
	assert_int_equal(n_bytes, 0);
	b->grant = (struct grant){ .mcs = 3 }; /* no RB */
	assert_int_equal(block_send(b->block, &b->grant, SEED, 0, 1, b->tb, 0, b->sent), -EINVAL);
	destroy(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_element_counts_by_its_own_channel_and_noise),
		cmocka_unit_test(a_block_is_written_on_its_elements_alone),
		cmocka_unit_test(quality_is_reported),
		cmocka_unit_test(a_block_is_repeated_in_a_slot_of_another_length),
		cmocka_unit_test(what_is_no_number_or_nothing_is_no_block),
		cmocka_unit_test(impossible_blocks_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
