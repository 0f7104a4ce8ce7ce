#include "testbed/call.h"

#include <endian.h>
#include <errno.h>
#include <math.h>
#include <string.h>

size_t call_table_bytes(size_t n_rows, size_t n_choices, bool combined)
{
	return n_rows + n_choices * (sizeof(uint16_t) + (combined ? sizeof(float) : 0));
}

static size_t choices_of_row(const struct call_choice *choices, size_t n)
{
	size_t k = 1;
	while (k < n && choices[k].row == choices[0].row)
		k++;
	return k;
}

size_t call_encode(const struct call_choice *choices, size_t n_choices, size_t n_rows, bool combined, uint8_t *out)
{
	for (size_t i = 0, n; i < n_choices; i += n) {
		n = choices_of_row(choices + i, n_choices - i);
		*out++ = (uint8_t)n;
		for (size_t k = 0; k < n; k++, out += sizeof(uint16_t)) {
			uint16_t expert = htobe16(choices[i + k].expert);
			memcpy(out, &expert, sizeof expert);
		}
		for (size_t k = 0; combined && k < n; k++, out += sizeof(float)) {
			uint32_t bits;
			memcpy(&bits, &choices[i + k].weight, sizeof bits);
			bits = htobe32(bits);
			memcpy(out, &bits, sizeof bits);
		}
	}
	return call_table_bytes(n_rows, n_choices, combined);
}

/* The n choices of one row. */
static bool decode_row(const uint8_t *in, size_t row, size_t n, bool combined, struct call_choice *choices)
{
	for (size_t k = 0; k < n; k++) {
		uint16_t expert;
		memcpy(&expert, in + k * sizeof expert, sizeof expert);
		choices[k] = (struct call_choice){ .row = (uint16_t)row, .expert = be16toh(expert), .weight = 1 };
		for (size_t other = 0; other < k; other++)
			if (choices[other].expert == choices[k].expert)
				return false;
	}
	for (size_t k = 0; combined && k < n; k++) {
		uint32_t bits;
		memcpy(&bits, in + n * sizeof(uint16_t) + k * sizeof bits, sizeof bits);
		bits = be32toh(bits);
		memcpy(&choices[k].weight, &bits, sizeof bits);
		if (!isfinite(choices[k].weight))
			return false;
	}
	return true;
}

ssize_t call_decode(const uint8_t *in, size_t n, const struct message *m, struct call_choice *choices, size_t max)
{
	size_t at = 0, n_choices = 0;
	if (m->choices > max || n < call_table_bytes(m->rows, m->choices, m->combined))
		return -EBADMSG;
	for (size_t row = 0; row < m->rows; row++) {
		size_t k = in[at++];
		if (k < 1 || k > CALL_ROW_EXPERTS_MAX || k > m->choices - n_choices ||
		    !decode_row(in + at, row, k, m->combined, choices + n_choices))
			return -EBADMSG;
		n_choices += k;
		at += call_table_bytes(0, k, m->combined);
	}
	return n_choices == m->choices ? (ssize_t)at : -EBADMSG;
}
