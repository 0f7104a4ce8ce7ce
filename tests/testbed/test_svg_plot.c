/* Diagrams: well-formed, points where they belong, nothing of what has no place. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "testbed/svg_plot.h"

static const struct svg_plot_frame frame = { .title = "a < b & c",
	                                     .x = { "x", 0, 10, false },
	                                     .y = { "y", 1e-4, 1, true } };

static char *draw(unsigned style, const double *x, const double *y, size_t n)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	struct svg_plot *p = svg_plot_create(&frame);
	assert_non_null(p);
	svg_plot_line(p, "one", 0, style, x, y, n);
	assert_int_equal(svg_plot_write(p, f), 0);
	svg_plot_destroy(p);
	fclose(f);
	return text;
}

static size_t count(const char *text, const char *what)
{
	size_t n = 0;
	for (const char *at = text; (at = strstr(at, what)); at += strlen(what))
		n++;
	return n;
}

/* The plot area is found from its frame, the last rectangle; a mark must stand where the axes say. */
static void a_point_stands_where_the_axes_say(void **state)
{
	(void)state;
	const double x[] = { 2.5 }, y[] = { 1e-3 };
	double left, top, width, height, cx, cy;
	char *text = draw(SVG_PLOT_MARKS, x, y, 1);
	const char *area = strstr(text, "<clipPath"), *mark = strstr(text, "<circle");
	assert_true(area && mark);
	assert_int_equal(sscanf(strstr(area, "<rect"), "<rect x='%lf' y='%lf' width='%lf' height='%lf'", &left, &top,
	                        &width, &height),
	                 4);
	assert_int_equal(sscanf(mark, "<circle cx='%lf' cy='%lf'", &cx, &cy), 2);
	assert_true(fabs(cx - (left + width / 4)) < 0.01);
	assert_true(fabs(cy - (top + height * 3 / 4)) < 0.01);
	free(text);
}

static void what_has_no_logarithm_breaks_the_line(void **state)
{
	(void)state;
	const double x[] = { 1, 2, 3, 4, 5 }, y[] = { 0.5, 0.1, 0, NAN, 0.01 };
	char *text = draw(SVG_PLOT_MARKS, x, y, 5);
	assert_int_equal(count(text, "<circle"), 3 + 1); /* and one in the legend */
	assert_null(strstr(text, "nan"));
	assert_null(strstr(text, "inf"));
	free(text);
}

static void texts_cannot_break_the_picture(void **state)
{
	(void)state;
	char *text = draw(SVG_PLOT_LINE, NULL, NULL, 0);
	assert_non_null(strstr(text, "a &lt; b &amp; c"));
	assert_null(strstr(text, "a < b"));
	assert_int_equal(count(text, "<text"), count(text, "</text>"));
	assert_int_equal(count(text, "10<tspan"), 5); /* decades of 1e-4 .. 1 */
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_point_stands_where_the_axes_say),
		cmocka_unit_test(what_has_no_logarithm_breaks_the_line),
		cmocka_unit_test(texts_cannot_break_the_picture),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
