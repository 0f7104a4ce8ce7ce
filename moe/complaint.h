/* complaint.h - the one line that says what is wrong with a file (used inside moe/). */
#ifndef MOE_COMPLAINT_H
#define MOE_COMPLAINT_H

#include <stddef.h>

/* Where the line goes. */
struct complaint {
	char *text;
	size_t len; /* bytes of text; 0: nobody wants to know */
	const char *path;
};

/* Writes "path: ..." (cut to fit, control characters as '?': names in a damaged file hold anything) and returns
 * -EINVAL. */
int complain(const struct complaint *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
