/* The spool: order, whole or not at all, waiting and refusing, errors of the file. */
#include "measure.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <unistd.h>

#include "radio/spool.h"

enum { RING = 4096, RECORD = 100 };

static void make_record(uint8_t *record, uint32_t number)
{
	for (size_t i = 0; i < RECORD; i++)
		record[i] = (uint8_t)(number * 31 + i);
}

/* Reads all of a pipe; returns the bytes read. */
struct reader {
	int fd;
	uint8_t *bytes;
	size_t n, max;
};

static void *read_all(void *arg)
{
	struct reader *r = arg;
	ssize_t got;
	while ((got = read(r->fd, r->bytes + r->n, r->max - r->n)) > 0)
		r->n += (size_t)got;
	return NULL;
}

static void feed_through_a_pipe(enum spool_when_full when_full, size_t n_records, bool reader_late, size_t *accepted)
{
	int end[2];
	uint8_t record[RECORD], *kept = malloc(n_records * RECORD);
	struct reader r = { .bytes = malloc(n_records * RECORD), .max = n_records * RECORD };
	pthread_t thread;
	assert_int_equal(pipe(end), 0);
	r.fd = end[0];
	struct spool *s = spool_create(end[1], RING, when_full);
	assert_non_null(s);
	if (!reader_late)
		pthread_create(&thread, NULL, read_all, &r);
	*accepted = 0;
	for (uint32_t i = 0; i < n_records; i++) {
		make_record(record, i);
		int rc = spool_put(s, record, RECORD);
		assert_true(rc == 0 || (rc == -ENOBUFS && when_full == SPOOL_DROP));
		if (rc == 0)
			memcpy(kept + RECORD * (*accepted)++, record, RECORD);
	}
	if (reader_late)
		pthread_create(&thread, NULL, read_all, &r);
	assert_int_equal(spool_close(s), 0);
	pthread_join(thread, NULL);
	assert_int_equal(r.n, *accepted * RECORD);
	assert_memory_equal(r.bytes, kept, r.n);
	close(end[0]);
	free(r.bytes);
	free(kept);
}

static void what_is_put_in_comes_out_whole_and_in_order(void **state)
{
	(void)state;
	size_t accepted;
	feed_through_a_pipe(SPOOL_WAIT, 20000, false, &accepted);
	assert_int_equal(accepted, 20000);
}

/* Nobody reads: the pipe and then the ring fill up; no record is torn. */
static void a_full_ring_refuses(void **state)
{
	(void)state;
	size_t accepted;
	feed_through_a_pipe(SPOOL_DROP, 5000, true, &accepted);
	assert_in_range(accepted, RING / RECORD, 4999);
}

static void an_error_of_the_file_is_told_and_nothing_hangs(void **state)
{
	(void)state;
	int end[2], rc = 0;
	uint8_t record[RECORD] = { 0 };
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe(end), 0);
	close(end[0]);
	struct spool *s = spool_create(end[1], RING, SPOOL_WAIT);
	assert_non_null(s);
	for (int i = 0; i < 1000; i++)
		rc = spool_put(s, record, RECORD);
	assert_int_equal(rc, -EPIPE);
	assert_int_equal(spool_close(s), -EPIPE);
}

static void what_can_never_fit_is_refused(void **state)
{
	(void)state;
	uint8_t large[RING + 1] = { 0 };
	int fd = open("/dev/null", O_WRONLY);
	assert_null(spool_create(fd, 1000, SPOOL_WAIT));
	assert_int_equal(errno, EINVAL);
	struct spool *s = spool_create(fd, RING, SPOOL_WAIT);
	assert_int_equal(spool_put(s, large, sizeof large), -EMSGSIZE);
	assert_int_equal(spool_put(s, large, RING), 0);
	assert_int_equal(spool_close(s), 0);
	assert_int_equal(spool_close(NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_put_in_comes_out_whole_and_in_order),
		cmocka_unit_test(a_full_ring_refuses),
		cmocka_unit_test(an_error_of_the_file_is_told_and_nothing_hangs),
		cmocka_unit_test(what_can_never_fit_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
