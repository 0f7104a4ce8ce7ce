/* phy_options.h - what the commands of the PHY have in common on the command line: numerology and channel; lists of MCSs
 * and ranges of SNRs.
 *
 *     struct phy_options o = phy_options_default();
 *     const struct cli_option options[] = { PHY_OPTIONS(o), ... };
 *     if (cli_parse(...) && phy_options_take(&o, &link_config) == CLI_DONE)
 */
#ifndef TESTBED_PHY_OPTIONS_H
#define TESTBED_PHY_OPTIONS_H

#include "testbed/cli.h"
#include "testbed/phy_link.h"

struct phy_options {
	const char *profile;
	double rate_hz, scs_hz, carrier_hz; /* rate, spacing and RBs: 0 where the profile's are meant */
	int64_t n_rb, n_symbols, pilot_step;
	const char *channel;
};

struct phy_options phy_options_default(void);

/* Rows for the table of options. */
/* clang-format off */
#define PHY_OPTIONS(o) \
	{ "profile", CLI_STRING, &(o).profile, "NAME", "numerology by name (wdmoe phy profiles)" }, \
	{ "rate-hz", CLI_DOUBLE, &(o).rate_hz, "R", "complex samples a second; 0: the profile's", .min = 0, .max = 2e8 }, \
	{ "scs-hz", CLI_DOUBLE, &(o).scs_hz, "F", "subcarrier spacing; 0: the profile's", .min = 0, .max = 1e6 }, \
	{ "rb", CLI_INT, &(o).n_rb, "N", "resource blocks of the band; 0: the profile's", .min = 0, .max = PHY_RB_MAX }, \
	{ "symbols", CLI_INT, &(o).n_symbols, "N", "OFDM symbols of a slot", .min = 1, .max = PHY_SYMBOLS_MAX }, \
	{ "pilot-step", CLI_INT, &(o).pilot_step, "N", "downlink pilots on every N-th subcarrier; 0: the usual", .min = 0, .max = 12 }, \
	{ "carrier-hz", CLI_DOUBLE, &(o).carrier_hz, "F", "carrier", .min = 1e6, .max = 1e11 }, \
	{ "channel", CLI_STRING, &(o).channel, "C", \
	  "awgn, or a fading model with its delay spread, Doppler, K: tdl-a,100ns,30hz epa,10hz rice,10hz,6db" }
/* clang-format on */

/* Numerology, carrier and channel of *link. CLI_DONE, or CLI_BAD_INPUT after naming the culprit. */
int phy_options_take(const struct phy_options *o, struct phy_link_config *link);

/* Numerology and channel as keys of a report. */
void phy_options_json(const struct phy_options *o, const struct numerology *num, json_t *report);

/* "all", or numbers and ranges with commas between: 0,3,5-9. */
int phy_options_mcs(const char *text, unsigned *mcs, size_t max, size_t *n);

struct phy_range {
	bool automatic;
	double from, step;
	size_t n; /* values; automatic: 0 */
};

/* "A:STEP:B", "A", "auto" or "auto:STEP". step: where none is given. option: its name, for complaints. */
int phy_options_range(const char *option, const char *text, double step, struct phy_range *r);

/* Processors of this machine, at most 64. */
int64_t phy_options_cores(void);

#endif
