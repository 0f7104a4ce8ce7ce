#include "testbed/run_log.h"

#include <inttypes.h>

int run_log_layer(struct journal *j, const struct layer_record *r)
{
	return journal_event(
	        j,
	        "{\"event\": \"layer\", \"index\": %" PRIu64 ", \"layer\": %u, \"tokens\": %u, \"prompt\": %s, "
	        "\"start_s\": %.9g, \"latency_s\": %.9g, \"waiting_s\": %.9g, \"downlink_s\": %.9g, "
	        "\"compute_s\": %.9g, \"uplink_s\": %.9g, \"calls\": %u, \"rows\": %u, \"dropped\": %u, "
	        "\"last_device\": %u, \"predicted_s\": %.9g, \"predicted_sd_s\": %.9g, \"theta\": %.9g, "
	        "\"kept_weight\": %.9g, \"multicast_rows\": %u}",
	        r->index, r->layer, r->n_tokens, r->prompt ? "true" : "false", r->t_start_s, r->latency_s, r->waiting_s,
	        r->downlink_s, r->compute_s, r->uplink_s, r->n_calls, r->n_rows, r->n_dropped, r->last_device,
	        r->predicted_s, r->predicted_sd_s, r->theta, r->kept_weight, r->n_multicast);
}

int run_log_deviation(struct journal *j, const struct deviation *d)
{
	return journal_event(j,
	                     "{\"event\": \"deviation\", \"index\": %" PRIu64
	                     ", \"layer\": %u, \"row\": %u, \"wanted\": %u, \"expert\": %d, \"share\": %.6g, "
	                     "\"reason\": \"%s\"}",
	                     d->index, d->layer, d->row, d->wanted, d->expert, d->share,
	                     deviation_reason_name(d->reason));
}
