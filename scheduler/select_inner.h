/* select_inner.h - what the files of the selection policies share. */
#ifndef SCHEDULER_SELECT_INNER_H
#define SCHEDULER_SELECT_INNER_H

#include "scheduler/select.h"

struct frontier;

struct curve {
	struct select_point *point;
	size_t n, n_max;
};

/* A run: the layer, the choices as they are, and the latencies under the split of the band. */
struct selection {
	const struct layer *l;
	const struct select_params *p;
	struct layer_choice *choices;
	uint32_t *tokens_on;          /* [n_devices] kept up by select_serve and select_drop */
	struct bandwidth *b;          /* the split when select_split was called last */
	struct layer_choice *scratch; /* room for as many choices */
	struct curve *curve;
	struct frontier *frontier;
	double theta; /* out: the last one kept */
};

/* Choice i (counted over all tokens) is served by `device`; by nobody. */
void select_serve(struct selection *s, size_t i, size_t device);
void select_drop(struct selection *s, size_t i);
size_t select_n_served(const struct selection *s, size_t token);
/* All choices as `from` has them. */
void select_adopt(struct selection *s, const struct layer_choice *from);

/* Splits the band for tokens_on; returns the layer's latency. */
double select_split(struct selection *s);
/* Latency of a device with so many tokens at the rates of the last split; that of the slowest with tokens_on. */
double select_device_s(const struct selection *s, size_t device, uint32_t tokens);
double select_slowest_s(const struct selection *s, size_t *slowest);
/* Of the expert's holders in reach the one that would be done first with one token more; n_devices: none. */
size_t select_holder(const struct selection *s, size_t expert);
/* The part of its token's weight that choice i stands for. */
double select_share(const struct selection *s, size_t i);
/* What the layer loses without choice i; what a token is worth when nothing of it is served; 1 less all that is lost now. With a
 * loss_exponent of 1 the last is the weight kept. */
double select_loss(const struct selection *s, size_t i);
double select_worth(const struct selection *s, size_t token);
double select_kept(const struct selection *s);

double select_price_s(const struct select_params *p, double full_s);
/* The point of the curve that the parameters ask for. full_s: latency with every choice served. */
size_t select_operate(const struct select_params *p, const struct curve *curve, double full_s);
/* Sorts points by latency and leaves out those that another one beats. */
void select_pareto(struct curve *curve);

/* The policies. They begin with choices as `vanilla` leaves them, split made. */
int select_wdmoe(struct selection *s);
int select_bottleneck(struct selection *s);
int select_des(struct selection *s);
int select_jesa(struct selection *s);
int select_sift(struct selection *s);
int select_exhaustive(struct selection *s);
int select_frontier(struct selection *s);

struct frontier *frontier_create(const struct select_limits *limits);
void frontier_destroy(struct frontier *f);

#endif
