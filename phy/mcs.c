#include "phy/mcs.h"

#include "phy/tb.h"

/* snr_db: tests/accept/phy_bler -n 2232 -t 200 -s 1 (2232 RE: 18 resource blocks of a downlink slot), channel known. */
/* clang-format off */
static const struct mcs table[] = {
	/* bits rate  it. snr_db */
	{ 2, 0.200f, 8, -3.14f },
	{ 2, 0.250f, 8, -2.13f },
	{ 2, 0.310f, 8, -1.05f },
	{ 2, 0.380f, 8, 0.08f },
	{ 2, 0.460f, 8, 1.11f },
	{ 2, 0.550f, 8, 2.16f },
	{ 2, 0.650f, 8, 3.33f },
	{ 2, 0.760f, 8, 4.59f },
	{ 4, 0.430f, 8, 5.66f },
	{ 4, 0.490f, 8, 6.61f },
	{ 4, 0.550f, 8, 7.50f },
	{ 4, 0.610f, 8, 8.37f },
	{ 4, 0.680f, 8, 9.44f },
	{ 4, 0.750f, 8, 10.52f },
	{ 4, 0.820f, 8, 11.56f },
	{ 6, 0.600f, 12, 12.44f },
	{ 6, 0.650f, 12, 13.61f },
	{ 6, 0.700f, 12, 14.56f },
	{ 6, 0.760f, 12, 15.71f },
	{ 6, 0.820f, 12, 16.87f },
	{ 6, 0.870f, 20, 17.80f },
	{ 8, 0.700f, 32, 18.98f },
	{ 8, 0.745f, 32, 19.98f },
	{ 8, 0.790f, 32, 21.10f },
	{ 8, 0.835f, 32, 22.13f },
	{ 8, 0.880f, 32, 23.39f },
	{ 8, 0.926f, 32, 24.91f },
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
