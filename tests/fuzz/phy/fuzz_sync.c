/* Acquisition and tracking on samples that are anything: nothing crashes, and what is locked is a number. */
#include "tests/fuzz/input.h"

#include "phy/acquire.h"
#include "phy/numerology.h"
#include "phy/track.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct numerology num;
	static struct acquire *a;
	static float complex *samples;
	if (!a) {
		if (numerology_init(&num, 1.92e6, 15e3, 6, 14, NULL, 0))
			abort();
		a = acquire_create(&num, 1, NULL);
		samples = calloc(num.slot_len, sizeof *samples);
		if (!a || !samples)
			abort();
	}
	struct fuzz_input in = { data, size };
	acquire_reset(a, fuzz_u32(&in));
	memset(samples, 0, num.slot_len * sizeof *samples);
	for (size_t i = 0; i < 30 && !acquire_result(a); i++) {
		if (in.size)
			fuzz_samples(&in, samples, num.slot_len);
		acquire_feed(a, samples, 1 + fuzz_byte(&in) * num.slot_len / 256);
		acquire_feed(a, samples, num.slot_len);
	}
	struct acquired lock = { .slot_start = fuzz_u32(&in) };
	if (acquire_result(a))
		lock = *acquire_result(a);
	must(isfinite(lock.fraction) && isfinite(lock.cfo_hz) && isfinite(lock.metric));
	struct track_config config = track_config_default(3.5e9, 3.4e9);
	struct track t;
	track_start(&t, &num, &config, &lock);
	for (size_t i = 0; i < 50 && in.size; i++) {
		struct track_measurement m;
		fuzz_bytes(&in, &m, sizeof m);
		track_update(&t, fuzz_byte(&in) % 8 ? &m : NULL);
		track_sync_slot(&t, fuzz_byte(&in) % 2);
		must(isfinite(t.cfo_hz) && isfinite(t.fraction));
	}
	return 0;
}
