#include "testbed/call.h"

#include <endian.h>
#include <errno.h>
#include <math.h>
#include <string.h>

enum { ROW_HEARD = 0x80 };

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

static uint8_t *put16(uint8_t *out, uint16_t value)
{
	value = htobe16(value);
	memcpy(out, &value, sizeof value);
	return out + sizeof value;
}

size_t call_encode(const struct call_choice *choices, size_t n_choices, size_t n_rows, bool combined, uint8_t *out)
{
	uint8_t *at = out;
	for (size_t i = 0, n; i < n_choices && n_rows; i += n, n_rows--) {
		n = choices_of_row(choices + i, n_choices - i);
		*at++ = (uint8_t)(n | (choices[i].heard ? ROW_HEARD : 0));
		if (choices[i].heard)
			at = put16(at, choices[i].number);
		for (size_t k = 0; k < n; k++)
			at = put16(at, choices[i + k].expert);
		for (size_t k = 0; combined && k < n; k++, at += sizeof(float)) {
			uint32_t bits;
			memcpy(&bits, &choices[i + k].weight, sizeof bits);
			bits = htobe32(bits);
			memcpy(at, &bits, sizeof bits);
		}
	}
	return (size_t)(at - out);
}

static uint16_t get16(const uint8_t *in)
{
	uint16_t value;
	memcpy(&value, in, sizeof value);
	return be16toh(value);
}

/* The n choices of one row, all but row and state. */
static bool decode_choices(const uint8_t *in, size_t n, bool combined, struct call_choice *choices)
{
	for (size_t k = 0; k < n; k++) {
		choices[k] = (struct call_choice){ .expert = get16(in + k * sizeof(uint16_t)), .weight = 1 };
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

/* One row from the front of in; returns its size in the table, 0: damaged. */
static size_t decode_row(const uint8_t *in, size_t n_in, size_t row, bool combined, struct call_choice *choices,
                         size_t max, size_t *n_choices)
{
	if (!n_in)
		return 0;
	bool heard = in[0] & ROW_HEARD;
	size_t n = in[0] & ~ROW_HEARD, at = 1 + (heard ? CALL_HEARD_BYTES : 0),
	       size = at + call_table_bytes(0, n, combined);
	if (n < 1 || n > CALL_ROW_EXPERTS_MAX || n > max || size > n_in ||
	    !decode_choices(in + at, n, combined, choices))
		return 0;
	for (size_t k = 0; k < n; k++) {
		choices[k].row = (uint16_t)row;
		choices[k].heard = heard;
		choices[k].number = heard ? get16(in + 1) : 0;
	}
	*n_choices = n;
	return size;
}

ssize_t call_decode(const uint8_t *in, size_t n, const struct message *m, struct call_choice *choices, size_t max)
{
	size_t at = 0, n_choices = 0;
	if (m->choices > max)
		return -EBADMSG;
	for (size_t row = 0, k = 0; row < m->rows; row++, n_choices += k) {
		size_t size =
		        decode_row(in + at, n - at, row, m->combined, choices + n_choices, m->choices - n_choices, &k);
		if (!size)
			return -EBADMSG;
		at += size;
	}
	return n_choices == m->choices ? (ssize_t)at : -EBADMSG;
}
