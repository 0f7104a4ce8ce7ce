#include "phy/dl_level.h"

/* tests/accept/phy_control.py (4000 messages a point, seed 1), rounded up to 0.1 dB; 16 CCEs: 24 RBs, 1000 messages. */
/* clang-format off */
static const struct {
	uint8_t n_cce;
	float snr_db[DCI_SIZES];
} thresholds[] = {
	/*     short  long */
	{ 16, { -8.5f, -8.2f } },
	{ 12, { -7.7f, -6.9f } },
	{  8, { -6.6f, -5.2f } },
	{  4, { -3.7f, -2.1f } },
	{  2, { -0.4f,  1.5f } },
	{  1, {  3.4f,  7.1f } },
};
/* clang-format on */

size_t dl_levels(const struct layout *l, unsigned levels[DL_LEVELS_MAX])
{
	size_t n_cce = layout_n_cce(l), n = 0;
	unsigned whole = n_cce < DL_LEVEL_MAX ? (unsigned)n_cce : DL_LEVEL_MAX;
	levels[n++] = whole;
	for (unsigned level = DL_LEVEL_MAX / 2; level; level /= 2)
		if (level < whole)
			levels[n++] = level;
	return n;
}

bool dl_level_ok(const struct layout *l, unsigned level)
{
	unsigned levels[DL_LEVELS_MAX];
	size_t n = dl_levels(l, levels);
	for (size_t i = 0; i < n; i++)
		if (levels[i] == level)
			return true;
	return false;
}

unsigned dl_level_max(const struct layout *l)
{
	unsigned levels[DL_LEVELS_MAX];
	dl_levels(l, levels);
	return levels[0];
}

float dl_level_snr_db(enum dci_size size, unsigned level)
{
	size_t i = 0, last = sizeof thresholds / sizeof thresholds[0] - 1;
	while (i < last && thresholds[i].n_cce > level)
		i++;
	return thresholds[i].snr_db[size];
}

unsigned dl_level_for(const struct layout *l, enum dci_size size, float snr_db)
{
	unsigned levels[DL_LEVELS_MAX];
	size_t i = dl_levels(l, levels) - 1;
	while (i > 0 && !(dl_level_snr_db(size, levels[i]) <= snr_db))
		i--;
	return levels[i];
}
