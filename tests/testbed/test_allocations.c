/* The slot path allocates nothing: whole runs through the medium, from attached devices to answered calls, with every
 * call of malloc and its kin counted, those of the libraries below included. */
#include "tests/testbed/scene.h"

#include <errno.h>
#include <stdatomic.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)

static void in_the_slot_path_nothing_is_allocated(void **state)
{
	(void)state;
	skip(); /* the sanitizer has a malloc of its own */
}

#else

static atomic_bool counting; /* whatever thread it is */
static atomic_ulong n_allocations;

/* glibc's own, under the names it leaves for those who put theirs in front. */
extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);
extern void *__libc_memalign(size_t align, size_t n);

void *malloc(size_t n)
{
	n_allocations += counting;
	return __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	n_allocations += counting;
	return __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
	n_allocations += counting;
	return __libc_realloc(p, n);
}

void *memalign(size_t align, size_t n)
{
	n_allocations += counting;
	return __libc_memalign(align, n);
}

void *aligned_alloc(size_t align, size_t n)
{
	return memalign(align, n);
}

int posix_memalign(void **p, size_t align, size_t n)
{
	*p = memalign(align, n);
	return *p ? 0 : ENOMEM;
}

static uint64_t n_multicast;

static void run_under(const char *policy, const char *allocator)
{
	char by[64], with[64];
	const char *sets[] = { by, with, "moe.sequences=2", "scheduler.multicast=yes", "moe.codec_up=int8", NULL };
	snprintf(by, sizeof by, "scheduler.policy=%s", policy);
	snprintf(with, sizeof with, "scheduler.allocator=%s", allocator);
	struct scene *s = scene_open(two_devices, sets);
	struct lockstep *l = scene_lockstep(s);
	struct generation_options options = greedy(8);
	unsigned long before = n_allocations;
	counting = true;
	scene_attach(s); /* cold start, acquisition and access included */
	for (int i = 0; i < 100; i++)
		lockstep_slot(l);
	counting = false;
	for (int i = 0; i < 2; i++)
		assert_int_equal(inference_start(scene_inference(s), prompt, N_PROMPT, &options, lockstep_time_s(l)),
		                 i);
	counting = true;
	for (int i = 0; i < 2000 && inference_status(scene_inference(s)) == INFERENCE_RUNNING; i++)
		lockstep_slot(l);
	counting = false;
	assert_int_equal(n_allocations, before);
	n_multicast += inference_stats(scene_inference(s)).multicast_rows;
	assert_int_equal(inference_status(scene_inference(s)), INFERENCE_DONE);
	for (int dir = 0; dir < 2; dir++)
		assert_true(cell_device_stats(scene_cell(s), 0).blocks[dir] +
		                    cell_device_stats(scene_cell(s), 1).blocks[dir] >
		            16);
	scene_close(s);
}

static void in_the_slot_path_nothing_is_allocated(void **state)
{
	(void)state;
	counting = true;
	void *volatile one = malloc(1); /* volatile: or the compiler leaves the pair out */
	free(one);
	counting = false;
	assert_int_equal(n_allocations, 1); /* ours are the ones in use */
	static const char *const pairs[][2] = { { "vanilla", "equal" },           { "wdmoe", "round-robin" },
		                                { "wdmoe-bottleneck", "minmax" }, { "des", "proportional-fair" },
		                                { "jesa", "minmax-rb" },          { "sift", "horizon" },
		                                { "frontier", "horizon" } };
	for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
		run_under(pairs[i][0], pairs[i][1]);
	assert_true(n_multicast > 0);
}

#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_the_slot_path_nothing_is_allocated),
	};
	return cmocka_run_group_tests_name("allocations", tests, NULL, NULL);
}
