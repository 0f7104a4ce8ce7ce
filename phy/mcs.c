#include "phy/mcs.h"

#include "phy/tb.h"

/* snr_db: tests/accept/phy_bler, seed 1, 2232 RE (18 resource blocks of a downlink slot), channel known. */
static const struct mcs table[] = {
	/* bits rate   snr_db */
	{ 2, 0.12f, -6.0f },
	{ 2, 0.16f, -5.0f },
	{ 2, 0.20f, -4.0f },
	{ 2, 0.26f, -2.7f },
	{ 2, 0.33f, -1.3f },
	{ 2, 0.42f, 0.1f },
	{ 2, 0.52f, 1.5f },
	{ 2, 0.62f, 2.9f },
	{ 4, 0.37f, 4.5f },
	{ 4, 0.44f, 5.7f },
	{ 4, 0.52f, 7.1f },
	{ 4, 0.60f, 8.4f },
	{ 4, 0.68f, 9.8f },
	{ 6, 0.51f, 11.0f },
	{ 6, 0.58f, 12.3f },
	{ 6, 0.65f, 13.7f },
	{ 6, 0.72f, 15.1f },
	{ 6, 0.79f, 16.5f },
	{ 6, 0.85f, 17.9f },
	{ 6, 0.90f, 19.2f },
};

size_t mcs_count(void)
{
	return sizeof table / sizeof table[0];
}

const struct mcs *mcs_get(size_t index)
{
	return index < mcs_count() ? &table[index] : NULL;
}

size_t mcs_for_snr(float snr_db)
{
	size_t index = 0;

	while (index + 1 < mcs_count() && table[index + 1].snr_db <= snr_db)
		index++;
	return index;
}

size_t mcs_tbs_bytes(const struct mcs *m, size_t n_re)
{
	size_t n_bytes = (size_t)((double)n_re * m->bits * (double)m->rate) / 8;

	return n_bytes < MCS_TBS_MIN_BYTES + TB_CRC_BYTES ? 0 : tb_size_fit(n_bytes - TB_CRC_BYTES);
}
