/* svg_plot.h - a diagram with two axes, written as SVG: lines, marks, error bars, dots, bands and a legend.
 *
 *     struct svg_plot *p = svg_plot_create(&(struct svg_plot_frame){ .title = "Block error rates",
 *             .x = { "SNR (dB)", -5, 20 }, .y = { "BLER", 1e-3, 1, .log = true } });
 *     svg_plot_line(p, "MCS 4", 0, SVG_PLOT_LINE | SVG_PLOT_MARKS, x, y, n);
 *     if (svg_plot_write(p, file)) ...
 *     svg_plot_destroy(p);
 *
 * What lies outside the axes is cut off at the frame; what is not finite, or not positive on a logarithmic axis, is left
 * out and breaks a line. Texts may hold any character. What is added later is drawn on top.
 */
#ifndef TESTBED_SVG_PLOT_H
#define TESTBED_SVG_PLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct svg_plot;

struct svg_plot_axis {
	const char *label;
	double min, max; /* min < max; logarithmic: 0 < min */
	bool log;        /* decades */
};

struct svg_plot_frame {
	const char *title, *subtitle; /* subtitle may be NULL */
	struct svg_plot_axis x, y;
	bool square; /* a plot area as wide as high */
};

enum { SVG_PLOT_LINE = 1, SVG_PLOT_MARKS = 2, SVG_PLOT_DASHED = 4, SVG_PLOT_DOTS = 8 };

/* Texts are copied. NULL without memory. */
struct svg_plot *svg_plot_create(const struct svg_plot_frame *frame);
void svg_plot_destroy(struct svg_plot *p); /* NULL is fine */

/* A series of n points in the colour of that number (n_colours of them share the range of hues, any number is fine).
 * name: for the legend; NULL: not in it. style: of SVG_PLOT_... */
void svg_plot_colours(struct svg_plot *p, size_t n_colours);
void svg_plot_line(struct svg_plot *p, const char *name, size_t colour, unsigned style, const double *x,
                   const double *y, size_t n);

/* Vertical bars from low to high at each x. */
void svg_plot_bars(struct svg_plot *p, size_t colour, const double *x, const double *low, const double *high, size_t n);

/* A shaded range of x over the whole height, with its name at the top. */
void svg_plot_band(struct svg_plot *p, const char *name, size_t colour, double from, double to);

/* The whole picture. 0, or a negative errno. */
int svg_plot_write(const struct svg_plot *p, FILE *f);

#endif
