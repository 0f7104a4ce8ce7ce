#include "phy/dpss.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The tridiagonal matrix that commutes with the band limit has the same eigenvectors, well apart: diagonal d, beside
 * it e (Slepian 1978, eq. 14). */
struct tridiagonal {
	size_t n;
	double *d, *e, *a, *b, *c; /* a, b, c: of a solution */
};

static void fill(struct tridiagonal *t, double w)
{
	for (size_t i = 0; i < t->n; i++) {
		double m = ((double)t->n - 1 - 2 * (double)i) / 2;
		t->d[i] = m * m * cos(2 * M_PI * w);
		t->e[i] = (double)(i + 1) * (double)(t->n - 1 - i) / 2;
	}
}

/* How many eigenvalues lie above x (Sturm's sequence). */
static size_t count_above(const struct tridiagonal *t, double x)
{
	size_t n = 0;
	double q = 1;
	for (size_t i = 0; i < t->n; i++) {
		double beside = i ? t->e[i - 1] * t->e[i - 1] / (q != 0 ? q : 1e-300) : 0;
		q = t->d[i] - x - beside;
		n += q > 0;
	}
	return n;
}

/* The j-th largest eigenvalue, by bisection between bounds from Gershgorin's circles. */
static double eigenvalue(const struct tridiagonal *t, size_t j)
{
	double size = 0;
	for (size_t i = 0; i < t->n; i++)
		size = fmax(size, fabs(t->d[i]) + 2 * fabs(t->e[i]) + (i ? 2 * fabs(t->e[i - 1]) : 0));
	double low = -size, high = size;
	for (int step = 0; step < 64; step++) {
		double middle = 0.5 * (low + high);
		if (count_above(t, middle) > j)
			low = middle;
		else
			high = middle;
	}
	return 0.5 * (low + high);
}

/* v <- (T - x)^-1 v, by elimination with row exchanges, then normalised. a, b, c: the diagonal and the two above. */
static void inverse_step(struct tridiagonal *t, double x, double *v)
{
	size_t n = t->n;
	for (size_t i = 0; i < n; i++) {
		t->a[i] = t->d[i] - x;
		t->b[i] = t->e[i];
		t->c[i] = 0;
	}
	for (size_t i = 0; i + 1 < n; i++) {
		double below = t->e[i];
		if (fabs(below) > fabs(t->a[i])) {
			double a = t->a[i], b = t->b[i], y = v[i];
			t->a[i] = below, t->b[i] = t->a[i + 1], t->c[i] = t->b[i + 1];
			double f = a / below;
			t->a[i + 1] = b - f * t->b[i], t->b[i + 1] = -f * t->c[i];
			v[i] = v[i + 1];
			v[i + 1] = y - f * v[i];
		} else {
			double f = below / (t->a[i] != 0 ? t->a[i] : 1e-300);
			t->a[i + 1] -= f * t->b[i];
			v[i + 1] -= f * v[i];
		}
	}
	double sum = 0;
	for (size_t i = n; i-- > 0;) {
		double y = v[i] - (i + 1 < n ? t->b[i] * v[i + 1] : 0) - (i + 2 < n ? t->c[i] * v[i + 2] : 0);
		v[i] = y / (fabs(t->a[i]) > 1e-12 ? t->a[i] : 1e-12);
		sum += v[i] * v[i];
	}
	for (size_t i = 0; i < n; i++)
		v[i] /= sqrt(sum);
}

/* Share in the band: a row of the eigenvalue equation of the sinc kernel, where the sequence is largest. */
static double concentration(const double *v, size_t n, double w)
{
	size_t at = 0;
	for (size_t i = 0; i < n; i++)
		at = fabs(v[i]) > fabs(v[at]) ? i : at;
	double sum = 0;
	for (size_t i = 0; i < n; i++) {
		double x = (double)i - (double)at;
		sum += v[i] * (i == at ? 2 * w : sin(2 * M_PI * w * x) / (M_PI * x));
	}
	return fmin(fmax(sum / v[at], 0), 1);
}

int dpss(size_t n, double w, size_t n_sequences, double *v, double *lambda)
{
	double *room = calloc(5 * n, sizeof *room);
	if (!room)
		return -ENOMEM;
	struct tridiagonal t = { n, room, room + n, room + 2 * n, room + 3 * n, room + 4 * n };
	fill(&t, w);
	for (size_t j = 0; j < n_sequences; j++) {
		double *s = v + j * n, x = eigenvalue(&t, j);
		for (size_t i = 0; i < n; i++) /* even and odd, and nothing special */
			s[i] = cos(1.7 * (double)i) + 0.1;
		for (int step = 0; step < 4; step++)
			inverse_step(&t, x, s);
		lambda[j] = concentration(s, n, w);
	}
	free(room);
	return 0;
}
