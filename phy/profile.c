#include "phy/profile.h"

#include <string.h>

static const struct numerology_profile profiles[] = {
	/* name       rate      FFT   RB */
	{ "1.92M-15k", 1.92e6, 128, 9 },      { "3.84M-15k", 3.84e6, 256, 18 },    { "3.84M-30k", 3.84e6, 128, 9 },
	{ "7.68M-15k", 7.68e6, 512, 36 },     { "7.68M-30k", 7.68e6, 256, 18 },    { "7.68M-60k", 7.68e6, 128, 9 },
	{ "10M-1024", 10e6, 1024, 72 },       { "10M-512", 10e6, 512, 36 },        { "10M-256", 10e6, 256, 18 },
	{ "12.5M-1024", 12.5e6, 1024, 72 },   { "12.5M-512", 12.5e6, 512, 36 },    { "12.5M-256", 12.5e6, 256, 18 },
	{ "15.36M-15k", 15.36e6, 1024, 72 },  { "15.36M-30k", 15.36e6, 512, 36 },  { "15.36M-60k", 15.36e6, 256, 18 },
	{ "20M-2048", 20e6, 2048, 110 },      { "20M-1024", 20e6, 1024, 72 },      { "20M-512", 20e6, 512, 36 },
	{ "25M-2048", 25e6, 2048, 110 },      { "25M-1024", 25e6, 1024, 72 },      { "25M-512", 25e6, 512, 36 },
	{ "30.72M-15k", 30.72e6, 2048, 110 }, { "30.72M-30k", 30.72e6, 1024, 72 }, { "30.72M-60k", 30.72e6, 512, 36 },
};

enum { N_PROFILES = sizeof profiles / sizeof profiles[0] };

const struct numerology_profile *numerology_profile_at(size_t i)
{
	return i < N_PROFILES ? &profiles[i] : NULL;
}

const struct numerology_profile *numerology_profile_find(const char *name)
{
	for (size_t i = 0; i < N_PROFILES; i++)
		if (strcmp(profiles[i].name, name) == 0)
			return &profiles[i];
	return NULL;
}

struct numerology_config numerology_profile_config(const struct numerology_profile *p, size_t n_symbols)
{
	return (struct numerology_config){
		.rate_hz = p->rate_hz,
		.scs_hz = p->rate_hz / (double)p->n_fft,
		.n_rb = p->n_rb,
		.n_symbols = n_symbols,
		.taper = TAPER_USUAL,
	};
}
