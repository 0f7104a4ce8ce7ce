#include "phy/mcs.h"

#include "phy/tb.h"

/* snr_db: tests/accept/phy_bler -n 2232 -t 500 -s 1 (2232 RE: 18 resource blocks of a downlink slot), channel known. */
/* clang-format off */
static const struct mcs table[] = {
	/* bits rate   snr_db */
	{ 2, 0.12f, -5.9f },
	{ 2, 0.16f, -4.6f },
	{ 2, 0.20f, -3.6f },
	{ 2, 0.26f, -2.3f },
	{ 2, 0.33f, -1.2f },
	{ 2, 0.42f, 0.1f },
	{ 2, 0.52f, 1.4f },
	{ 2, 0.62f, 2.5f },
	{ 4, 0.37f, 4.0f },
	{ 4, 0.44f, 5.4f },
	{ 4, 0.52f, 6.7f },
	{ 4, 0.60f, 7.9f },
	{ 4, 0.68f, 9.2f },
	{ 6, 0.51f, 10.7f },
	{ 6, 0.58f, 12.2f },
	{ 6, 0.65f, 13.6f },
	{ 6, 0.72f, 14.9f },
	{ 6, 0.79f, 16.4f },
	{ 6, 0.85f, 17.8f },
	{ 6, 0.90f, 19.1f },
};
/* clang-format on */

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
