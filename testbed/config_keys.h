/* config_keys.h - the tables behind config.h: every key with type, place, range, default and help, and how values are
 * read and shown.
 *
 * Private to config.c. A new key is a field in config.h and a row in config_keys.c; YAML, --set, reports and `wdmoe
 * config` follow.
 */
#ifndef TESTBED_CONFIG_KEYS_H
#define TESTBED_CONFIG_KEYS_H

#include "testbed/config.h"

enum { CONFIG_WHY_BYTES = 256 };

enum config_kind { REAL, INTEGER, SEED, YES_NO, WORD, NAME, PATH, TEXT, EXPERTS, EVERY, RADIO };

enum {
	LOCAL = 1, /* tells where things lie or how fast they go, not what comes out */
	FIRST = 2, /* sets other keys: in a file it is read before them */
};

struct config_key {
	const char *path; /* as in the YAML, below its group */
	enum config_kind kind;
	size_t offset;
	const char *initial; /* default, as one would write it */
	double min, max;     /* of numbers, both inclusive */
	const char *help;    /* with the unit */
	const char *const *words;
	unsigned flags;
};

/* What devices.x=1 and profiles.name.x=1 reach into. */
struct config_group {
	const char *name;
	const struct config_key *keys;
	size_t n_keys;
	size_t offset, stride, offset_n, max;
	bool named; /* a mapping by name (the first field of its struct) rather than a sequence */
};

/* store: writes what the text says to `at`; false and a reason in why[CONFIG_WHY_BYTES] if it says nothing of this
 * kind. */
struct config_kind_ops {
	const char *name;
	bool plain; /* not in quotes */
	bool (*store)(const struct config_key *k, void *at, const char *text, char *why);
	json_t *(*dump)(const void *at);
};

extern const struct config_kind_ops config_kinds[]; /* by enum config_kind */
extern const struct config_key config_root_keys[];
extern const size_t config_n_root_keys;
extern const struct config_group config_groups[];
extern const size_t config_n_groups;
extern const struct config_profile config_built_in[];
extern const size_t config_n_built_in;

/* Writes the reason, returns false. */
bool config_refuse(char *why, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
