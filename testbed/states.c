#include "testbed/states.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct states {
	size_t n_max;
	bool any;
	uint32_t set;
	uint8_t *bytes;
	uint8_t *heard; /* by byte: 1 */
	size_t end;     /* nothing was from here on */
};

struct states *states_create(size_t n_max)
{
	struct states *s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	s->n_max = n_max;
	s->bytes = malloc(n_max);
	s->heard = calloc(n_max, 1);
	if (!s->bytes || !s->heard) {
		states_destroy(s);
		errno = ENOMEM;
		return NULL;
	}
	return s;
}

void states_destroy(struct states *s)
{
	if (!s)
		return;
	free(s->heard);
	free(s->bytes);
	free(s);
}

void states_reset(struct states *s)
{
	s->any = false;
}

size_t states_write_segment(uint32_t set, uint32_t offset, const uint8_t *bytes, size_t n, uint8_t *out)
{
	uint32_t word[2] = { htobe32(set), htobe32(offset) };
	uint16_t length = htobe16((uint16_t)n);
	memcpy(out, word, sizeof word);
	memcpy(out + sizeof word, &length, sizeof length);
	memcpy(out + STATES_HEADER, bytes, n);
	return STATES_HEADER + n;
}

static void begin_set(struct states *s, uint32_t set)
{
	s->any = true;
	s->set = set;
	memset(s->heard, 0, s->end);
	s->end = 0;
}

int states_take(struct states *s, const uint8_t *tb, size_t n_tb)
{
	for (size_t n; n_tb >= STATES_HEADER; tb += STATES_HEADER + n, n_tb -= STATES_HEADER + n) {
		uint32_t word[2];
		uint16_t length;
		memcpy(word, tb, sizeof word);
		memcpy(&length, tb + sizeof word, sizeof length);
		size_t offset = be32toh(word[1]);
		uint32_t set = be32toh(word[0]);
		n = be16toh(length);
		if (!n)
			return 0;
		if (n > n_tb - STATES_HEADER || offset > s->n_max || n > s->n_max - offset)
			return -EBADMSG;
		if (s->any && (int32_t)(set - s->set) < 0)
			return -EALREADY;
		if (!s->any || set != s->set)
			begin_set(s, set);
		memcpy(s->bytes + offset, tb + STATES_HEADER, n);
		memset(s->heard + offset, 1, n);
		s->end = offset + n > s->end ? offset + n : s->end;
	}
	return 0;
}

bool states_have(const struct states *s, uint32_t set, size_t offset, size_t n)
{
	return s->any && set == s->set && offset <= s->n_max && n <= s->n_max - offset &&
	       !memchr(s->heard + offset, 0, n);
}

const uint8_t *states_at(const struct states *s, size_t offset)
{
	return s->bytes + offset;
}
