#include "moe/complaint.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

int complain(const struct complaint *c, const char *format, ...)
{
	if (!c->len)
		return -EINVAL;
	int used = snprintf(c->text, c->len, "%s: ", c->path);
	if (used > 0 && (size_t)used < c->len) {
		va_list ap;
		va_start(ap, format);
		vsnprintf(c->text + used, c->len - (size_t)used, format, ap);
		va_end(ap);
	}
	for (char *t = c->text; *t; t++)
		if ((unsigned char)*t < ' ')
			*t = '?';
	return -EINVAL;
}
