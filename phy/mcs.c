#include "phy/mcs.h"

#include "phy/tb.h"

/* snr_db: tests/accept/phy_bler -n 2232 -t 60 -s 1 (2232 RE: 18 resource blocks of a downlink slot), channel known. */
/* clang-format off */
static const struct mcs table[] = {
	/* bits rate    snr_db */
	{ 2, 0.200f, -3.6f },
	{ 2, 0.250f, -2.5f },
	{ 2, 0.310f, -1.5f },
	{ 2, 0.380f, -0.4f },
	{ 2, 0.460f, 0.6f },
	{ 2, 0.550f, 1.7f },
	{ 2, 0.650f, 2.9f },
	{ 2, 0.760f, 4.2f },
	{ 4, 0.430f, 5.1f },
	{ 4, 0.490f, 6.1f },
	{ 4, 0.550f, 7.0f },
	{ 4, 0.610f, 7.9f },
	{ 4, 0.680f, 9.0f },
	{ 4, 0.750f, 10.1f },
	{ 6, 0.550f, 11.4f },
	{ 6, 0.600f, 12.3f },
	{ 6, 0.650f, 13.4f },
	{ 6, 0.700f, 14.4f },
	{ 6, 0.760f, 15.5f },
	{ 6, 0.820f, 16.7f },
	{ 6, 0.870f, 17.9f },
	{ 8, 0.700f, 19.1f },
	{ 8, 0.745f, 20.1f },
	{ 8, 0.790f, 21.2f },
	{ 8, 0.835f, 22.3f },
	{ 8, 0.880f, 23.5f },
	{ 8, 0.930f, 25.1f },
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

	return n_bytes < MCS_TBS_MIN_BYTES + TB_CRC_BYTES ? 0 : tb_size_fit(n_bytes - TB_CRC_BYTES, m->rate);
}
