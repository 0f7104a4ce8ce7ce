#include "phy/mcs.h"

#include "phy/tb.h"

/* snr_db: tests/accept/phy_bler -n 2232 -t 200 -s 1 (2232 RE: 18 resource blocks of a downlink slot), channel known. */
/* clang-format off */
static const struct mcs table[] = {
	/* bits rate    snr_db */
	{ 2, 0.200f, -3.87f },
	{ 2, 0.250f, -2.79f },
	{ 2, 0.310f, -1.78f },
	{ 2, 0.380f, -0.68f },
	{ 2, 0.460f, 0.38f },
	{ 2, 0.550f, 1.50f },
	{ 2, 0.650f, 2.70f },
	{ 2, 0.760f, 4.14f },
	{ 4, 0.430f, 4.89f },
	{ 4, 0.490f, 6.02f },
	{ 4, 0.550f, 6.84f },
	{ 4, 0.610f, 7.73f },
	{ 4, 0.680f, 8.85f },
	{ 4, 0.750f, 9.92f },
	{ 4, 0.820f, 11.03f },
	{ 6, 0.600f, 12.14f },
	{ 6, 0.650f, 13.32f },
	{ 6, 0.700f, 14.26f },
	{ 6, 0.760f, 15.42f },
	{ 6, 0.820f, 16.62f },
	{ 6, 0.870f, 17.74f },
	{ 8, 0.700f, 18.98f },
	{ 8, 0.745f, 19.98f },
	{ 8, 0.790f, 21.10f },
	{ 8, 0.835f, 22.13f },
	{ 8, 0.880f, 23.38f },
	{ 8, 0.926f, 24.94f },
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
