#include "testbed/svg_plot.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

enum {
	WIDTH = 900,
	HEIGHT = 560,
	LEFT = 78,
	TOP = 58,
	BOTTOM = 62,
	LEGEND = 190,
	AREA_W = WIDTH - LEFT - LEGEND,
	AREA_H = HEIGHT - TOP - BOTTOM,
	ROW = 17, /* of the legend */
	MARKS = 5,
	TICKS = 8, /* about so many on a linear axis */
};

struct svg_plot {
	struct svg_plot_frame frame;
	double width, height; /* of the plot area */
	size_t n_colours, n_rows;
	char *body_text, *legend_text;
	size_t body_len, legend_len;
	FILE *body, *legend;
};

/* ---- text and numbers ---- */

static void put_text(FILE *f, const char *text)
{
	for (; *text; text++) {
		if (*text == '<')
			fputs("&lt;", f);
		else if (*text == '&')
			fputs("&amp;", f);
		else if ((unsigned char)*text >= ' ')
			fputc(*text, f);
	}
}

static double share(const struct svg_plot_axis *a, double v)
{
	return a->log ? log(v / a->min) / log(a->max / a->min) : (v - a->min) / (a->max - a->min);
}

static double at_x(const struct svg_plot *p, double x)
{
	return LEFT + p->width * share(&p->frame.x, x);
}

static double at_y(const struct svg_plot *p, double y)
{
	return TOP + p->height * (1 - share(&p->frame.y, y));
}

static bool usable(const struct svg_plot_axis *a, double v)
{
	return isfinite(v) && (!a->log || v > 0);
}

/* Hues all around when there are many, a set that people with any eyes can tell apart when there are few. */
static void put_colour(const struct svg_plot *p, FILE *f, size_t colour)
{
	static const char *const few[] = { "#0072b2", "#d55e00", "#009e73", "#cc79a7",
		                           "#7f6a00", "#56b4e9", "#000000", "#e69f00" };
	const size_t n_few = sizeof few / sizeof few[0];
	if (p->n_colours <= n_few)
		fputs(few[colour % n_few], f);
	else
		fprintf(f, "hsl(%.0f,%d%%,%d%%)", 300.0 * (double)(colour % p->n_colours) / (double)p->n_colours,
		        colour % 2 ? 60 : 85, colour % 3 ? 42 : 32);
}

/* ---- making ---- */

struct svg_plot *svg_plot_create(const struct svg_plot_frame *frame)
{
	struct svg_plot *p = calloc(1, sizeof *p);
	if (!p)
		return NULL;
	p->frame = *frame;
	p->height = AREA_H;
	p->width = frame->square ? AREA_H : AREA_W;
	p->n_colours = 1;
	p->body = open_memstream(&p->body_text, &p->body_len);
	p->legend = open_memstream(&p->legend_text, &p->legend_len);
	if (p->body && p->legend)
		return p;
	svg_plot_destroy(p);
	return NULL;
}

void svg_plot_destroy(struct svg_plot *p)
{
	if (!p)
		return;
	if (p->body)
		fclose(p->body);
	if (p->legend)
		fclose(p->legend);
	free(p->body_text);
	free(p->legend_text);
	free(p);
}

void svg_plot_colours(struct svg_plot *p, size_t n_colours)
{
	p->n_colours = n_colours;
}

/* ---- series ---- */

/* A mark of one of MARKS shapes, so that neighbours differ in more than colour. */
static void put_mark(const struct svg_plot *p, FILE *f, size_t colour, double x, double y)
{
	const char *const fill = colour % 2 ? "#fff" : NULL;
	switch (colour % MARKS) {
	case 0:
		fprintf(f, "<circle cx='%.2f' cy='%.2f' r='3.4'", x, y);
		break;
	case 1:
		fprintf(f, "<rect x='%.2f' y='%.2f' width='6' height='6'", x - 3, y - 3);
		break;
	case 2:
		fprintf(f, "<path d='M%.2f %.2fl4 7h-8z'", x, y - 4.4);
		break;
	case 3:
		fprintf(f, "<path d='M%.2f %.2fl4.4 4.4l-4.4 4.4l-4.4-4.4z'", x, y - 4.4);
		break;
	default:
		fprintf(f, "<path d='M%.2f %.2fl4-7h-8z'", x, y + 4.4);
	}
	fputs(" stroke='", f);
	put_colour(p, f, colour);
	fputs("' fill='", f);
	if (fill)
		fputs(fill, f);
	else
		put_colour(p, f, colour);
	fputs("'/>\n", f);
}

static void put_path(struct svg_plot *p, size_t colour, unsigned style, const double *x, const double *y, size_t n)
{
	bool pen = false;
	fputs("<path fill='none' stroke-width='1.7' stroke-linejoin='round' stroke='", p->body);
	put_colour(p, p->body, colour);
	fprintf(p->body, "'%s d='", style & SVG_PLOT_DASHED ? " stroke-dasharray='6 4'" : "");
	for (size_t i = 0; i < n; i++) {
		if (usable(&p->frame.x, x[i]) && usable(&p->frame.y, y[i])) {
			fprintf(p->body, "%c%.2f %.2f", pen ? 'L' : 'M', at_x(p, x[i]), at_y(p, y[i]));
			pen = true;
		} else {
			pen = false;
		}
	}
	fputs("'/>\n", p->body);
}

static void put_dots(struct svg_plot *p, size_t colour, const double *x, const double *y, size_t n)
{
	fputs("<path fill='none' stroke-width='2.4' stroke-linecap='round' stroke-opacity='0.35' stroke='", p->body);
	put_colour(p, p->body, colour);
	fputs("' d='", p->body);
	for (size_t i = 0; i < n; i++)
		if (usable(&p->frame.x, x[i]) && usable(&p->frame.y, y[i]))
			fprintf(p->body, "M%.1f %.1fh0", at_x(p, x[i]), at_y(p, y[i]));
	fputs("'/>\n", p->body);
}

static void put_legend(struct svg_plot *p, const char *name, size_t colour, unsigned style)
{
	double x = LEFT + p->width + 16, y = TOP + 10 + ROW * (double)p->n_rows++;
	if (style & SVG_PLOT_LINE) {
		fprintf(p->legend, "<path stroke-width='1.7'%s stroke='",
		        style & SVG_PLOT_DASHED ? " stroke-dasharray='6 4'" : "");
		put_colour(p, p->legend, colour);
		fprintf(p->legend, "' d='M%.1f %.1fh24'/>\n", x, y);
	}
	if (style & (SVG_PLOT_MARKS | SVG_PLOT_DOTS))
		put_mark(p, p->legend, style & SVG_PLOT_MARKS ? colour : 0, x + 12, y);
	fprintf(p->legend, "<text x='%.1f' y='%.1f'>", x + 31, y + 4);
	put_text(p->legend, name);
	fputs("</text>\n", p->legend);
}

void svg_plot_line(struct svg_plot *p, const char *name, size_t colour, unsigned style, const double *x,
                   const double *y, size_t n)
{
	if (style & SVG_PLOT_LINE)
		put_path(p, colour, style, x, y, n);
	if (style & SVG_PLOT_DOTS)
		put_dots(p, colour, x, y, n);
	for (size_t i = 0; style & SVG_PLOT_MARKS && i < n; i++)
		if (usable(&p->frame.x, x[i]) && usable(&p->frame.y, y[i]))
			put_mark(p, p->body, colour, at_x(p, x[i]), at_y(p, y[i]));
	if (name)
		put_legend(p, name, colour, style);
}

void svg_plot_bars(struct svg_plot *p, size_t colour, const double *x, const double *low, const double *high, size_t n)
{
	fputs("<path fill='none' stroke-width='1' stroke-opacity='0.55' stroke='", p->body);
	put_colour(p, p->body, colour);
	fputs("' d='", p->body);
	for (size_t i = 0; i < n; i++) {
		if (!usable(&p->frame.x, x[i]) || !usable(&p->frame.y, high[i]) || !isfinite(low[i]))
			continue;
		double bottom = usable(&p->frame.y, low[i]) ? fmin(at_y(p, low[i]), HEIGHT) : HEIGHT;
		fprintf(p->body, "M%.2f %.2fV%.2fm-3 0h6", at_x(p, x[i]), bottom, at_y(p, high[i]));
	}
	fputs("'/>\n", p->body);
}

void svg_plot_band(struct svg_plot *p, const char *name, size_t colour, double from, double to)
{
	double a = at_x(p, from), b = at_x(p, to);
	fprintf(p->body, "<rect x='%.2f' y='%d' width='%.2f' height='%.0f' fill-opacity='0.1' fill='", a, TOP, b - a,
	        p->height);
	put_colour(p, p->body, colour);
	fprintf(p->body, "'/>\n<text x='%.2f' y='%d' text-anchor='middle' font-size='11'>", (a + b) / 2, TOP + 14);
	put_text(p->body, name);
	fputs("</text>\n", p->body);
}

/* ---- axes ---- */

/* 1, 2 or 5 times a power of ten, for about TICKS steps in a range. */
static double tick_step(double range)
{
	double raw = range / TICKS, power = pow(10, floor(log10(raw))), m = raw / power;
	return power * (m <= 1 ? 1 : m <= 2 ? 2 : m <= 5 ? 5 : 10);
}

static void grid_line(const struct svg_plot *p, FILE *f, bool vertical, double at, const char *stroke)
{
	if (vertical)
		fprintf(f, "<path stroke='%s' d='M%.2f %dv%.0f'/>\n", stroke, at, TOP, p->height);
	else
		fprintf(f, "<path stroke='%s' d='M%d %.2fh%.0f'/>\n", stroke, LEFT, at, p->width);
}

static void tick_label(const struct svg_plot *p, FILE *f, bool vertical, double at)
{
	if (vertical)
		fprintf(f, "<text text-anchor='middle' x='%.2f' y='%.0f'>", at, TOP + p->height + 18);
	else
		fprintf(f, "<text text-anchor='end' x='%d' y='%.2f'>", LEFT - 7, at + 4);
}

static void linear_ticks(const struct svg_plot *p, FILE *f, bool vertical, const struct svg_plot_axis *a)
{
	double step = tick_step(a->max - a->min);
	for (double i = ceil(a->min / step - 1e-9); i * step <= a->max + 1e-9 * step; i++) {
		double at = vertical ? at_x(p, i * step) : at_y(p, i * step);
		grid_line(p, f, vertical, at, "#e2e2e2");
		tick_label(p, f, vertical, at);
		fprintf(f, "%g</text>\n", fabs(i) < 0.5 ? 0 : i * step);
	}
}

static void decade_ticks(const struct svg_plot *p, FILE *f, bool vertical, const struct svg_plot_axis *a)
{
	for (double e = floor(log10(a->min) + 1e-9); pow(10, e) <= a->max * (1 + 1e-9); e++) {
		for (int m = 1; m < 10; m++) {
			double v = m * pow(10, e);
			if (v < a->min * (1 - 1e-9) || v > a->max * (1 + 1e-9))
				continue;
			double at = vertical ? at_x(p, v) : at_y(p, v);
			grid_line(p, f, vertical, at, m == 1 ? "#cfcfcf" : "#eeeeee");
			if (m > 1)
				continue;
			tick_label(p, f, vertical, at);
			fprintf(f, "10<tspan dy='-5' font-size='9'>%.0f</tspan></text>\n", e);
		}
	}
}

static void put_axes(const struct svg_plot *p, FILE *f)
{
	const struct svg_plot_axis *axis[] = { &p->frame.x, &p->frame.y };
	for (int i = 0; i < 2; i++)
		(axis[i]->log ? decade_ticks : linear_ticks)(p, f, i == 0, axis[i]);
	fprintf(f, "<text text-anchor='middle' x='%.1f' y='%.0f'>", LEFT + p->width / 2, TOP + p->height + 42);
	put_text(f, p->frame.x.label);
	fprintf(f, "</text>\n<text text-anchor='middle' transform='translate(20 %.1f) rotate(-90)'>",
	        TOP + p->height / 2);
	put_text(f, p->frame.y.label);
	fprintf(f, "</text>\n<text x='%d' y='24' font-size='16' font-weight='bold'>", LEFT);
	put_text(f, p->frame.title);
	fprintf(f, "</text>\n<text x='%d' y='43' fill='#555'>", LEFT);
	put_text(f, p->frame.subtitle ? p->frame.subtitle : "");
	fputs("</text>\n", f);
}

/* ---- the picture ---- */

int svg_plot_write(const struct svg_plot *p, FILE *f)
{
	if (fflush(p->body) || fflush(p->legend))
		return -ENOMEM;
	double height = fmax(HEIGHT, TOP + 20 + ROW * (double)p->n_rows), width = LEFT + p->width + LEGEND;
	fprintf(f,
	        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %.0f %.0f' width='%.0f' height='%.0f' "
	        "font-family='sans-serif' font-size='12'>\n<rect width='100%%' height='100%%' fill='#fff'/>\n"
	        "<clipPath id='area'><rect x='%d' y='%d' width='%.0f' height='%.0f'/></clipPath>\n",
	        width, height, width, height, LEFT, TOP, p->width, p->height);
	put_axes(p, f);
	fprintf(f, "<g clip-path='url(#area)'>\n%s</g>\n%s", p->body_text, p->legend_text);
	fprintf(f, "<rect x='%d' y='%d' width='%.0f' height='%.0f' fill='none' stroke='#333'/>\n</svg>\n", LEFT, TOP,
	        p->width, p->height);
	return fflush(f) || ferror(f) ? -EIO : 0;
}
