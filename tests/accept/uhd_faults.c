/* The UHD backend under schedules of faults: uhd_faults [N] prints one JSON object; exit status 1 if one of them left it wrong. */
#include <stdio.h>
#include <stdlib.h>

#include "../radio/uhd_schedule.h"

static const char *const fault_names[UHD_DOUBLE_FAULT_TYPES] = {
	"overflow",   "sequence",    "bad_packet", "timeout",  "stream_ends", "late_command", "underflow",
	"late_burst", "tx_sequence", "no_ack",     "tx_stall", "unlock",      "disconnect",
};

int main(int argc, char **argv)
{
	unsigned long n = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000, wrong = 0;
	struct uhd_schedule_result sum = { 0 }, res;
	for (unsigned long seed = 0; seed < n; seed++) {
		const char *what = uhd_schedule_run(1000 + seed, &res);
		if (what)
			fprintf(stderr, "schedule %lu: %s\n", seed, what);
		wrong += what != NULL;
		for (int i = 0; i < UHD_DOUBLE_FAULT_TYPES; i++)
			sum.faults[i] += res.faults[i];
		sum.n_faults += res.n_faults;
		sum.samples += res.samples;
		sum.zeros += res.zeros;
		sum.accepted += res.accepted;
		sum.radiated += res.radiated;
		for (int i = 0; i < RADIO_EVENT_TYPES; i++)
			sum.events[i] += res.events[i];
	}
	printf("{\"gate\": \"uhd_faults\", \"schema\": 1, \"conditions\": {\"schedules\": %lu, \"rate_hz\": 1.92e6},\n "
	       "\"figures\": {",
	       n);
	printf("\"schedules_left_wrong\": %lu, \"asked\": 0, \"faults\": %zu,\n  \"faults_by_type\": {", wrong,
	       sum.n_faults);
	for (int i = 0; i < UHD_DOUBLE_FAULT_TYPES; i++)
		printf("%s\"%s\": %zu", i ? ", " : "", fault_names[i], sum.faults[i]);
	printf("},\n  \"samples_received\": %llu, \"samples_lost\": %llu, \"samples_sent\": %llu, "
	       "\"samples_radiated\": %llu,\n",
	       (unsigned long long)sum.samples, (unsigned long long)sum.zeros, (unsigned long long)sum.accepted,
	       (unsigned long long)sum.radiated);
	printf("  \"events\": {\"overflow\": %llu, \"underflow\": %llu, \"late\": %llu, \"unlocked\": %llu, \"lost\": "
	       "%llu}},\n",
	       (unsigned long long)sum.events[RADIO_OVERFLOW], (unsigned long long)sum.events[RADIO_UNDERFLOW],
	       (unsigned long long)sum.events[RADIO_LATE], (unsigned long long)sum.events[RADIO_UNLOCKED],
	       (unsigned long long)sum.events[RADIO_LOST]);
	printf(" \"passed\": %s}\n", wrong ? "false" : "true");
	return wrong != 0;
}
