#include "testbed/placement.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where the work on a placement stands. */
struct placing {
	struct placement *p;
	const struct config *c;
	const struct moe_model *model;
	char *err;
	size_t err_len;
};

static uint32_t *holders_of(const struct placement *p, size_t layer, size_t expert)
{
	return &p->holders[layer * p->n_expert + expert];
}

bool placement_holds(const struct placement *p, size_t device, size_t layer, size_t expert)
{
	return *holders_of(p, layer, expert) & 1u << device;
}

size_t placement_bytes(const struct placement *p, const struct moe_model *model, size_t device)
{
	size_t bytes = 0;
	for (size_t layer = 0; layer < p->n_layer; layer++)
		for (size_t e = 0; e < p->n_expert; e++)
			if (placement_holds(p, device, layer, e))
				bytes += moe_model_expert_bytes(model, layer);
	return bytes;
}

/* ---- lists ---- */

static int place_list(const struct placing *w, size_t device)
{
	const struct config_device *d = &w->c->devices[device];
	for (int64_t i = 0; i < d->n_experts; i++) {
		struct config_experts r = d->experts[i];
		size_t last_layer = r.layer_last < 0 ? w->p->n_layer - 1 : (size_t)r.layer_last;
		if (last_layer >= w->p->n_layer || (size_t)r.expert_last >= w->p->n_expert) {
			snprintf(
			        w->err, w->err_len,
			        "devices[%zu].experts: the model has %zu experts in each of %zu layers, counted from 0",
			        device, w->p->n_expert, w->p->n_layer);
			return -EINVAL;
		}
		for (size_t layer = (size_t)r.layer_first; layer <= last_layer; layer++)
			for (size_t e = (size_t)r.expert_first; e <= (size_t)r.expert_last; e++)
				*holders_of(w->p, layer, e) |= 1u << device;
	}
	return 0;
}

/* ---- moe.placement: modulo ---- */

static int place_modulo(const struct placing *w)
{
	for (size_t layer = 0; layer < w->p->n_layer; layer++)
		for (size_t e = 0; e < w->p->n_expert; e++)
			for (size_t r = 0; r < (size_t)w->c->moe.replicas; r++) {
				size_t device = (e + r) % w->p->n_devices;
				if (w->c->devices[device].experts_auto)
					*holders_of(w->p, layer, e) |= 1u << device;
			}
	return 0;
}

/* ---- moe.placement: balanced ---- */

struct room {
	double row_s;      /* of one row on one expert */
	double bytes, max; /* held and possible, all layers */
	double so_far_max; /* of these, up to the layer at hand */
	size_t n_in_layer;
};

static double max_bytes(const struct config_device *d)
{
	return d->memory_mb > 0 ? 1e6 * d->memory_mb : INFINITY;
}

static void measure_rooms(const struct placing *w, struct room rooms[])
{
	struct moe_cost cost = moe_expert_cost(w->model, 0, 1);
	for (size_t d = 0; d < w->p->n_devices; d++) {
		const struct config_device *device = &w->c->devices[d];
		const struct config_profile *profile = config_profile(w->c, device->profile);
		rooms[d] = (struct room){
			.row_s = 1e-6 * (profile->fixed_us + device->call_us) +
			         fmax(cost.bytes / (1e9 * profile->memory_gb_s), cost.flop / (1e9 * profile->gflop_s)),
			.bytes = (double)placement_bytes(w->p, w->model, d),
			.max = max_bytes(device),
		};
	}
}

/* The device that is done first when it takes one expert more; -1 if none has room. */
static int pick_device(const struct placing *w, const struct room rooms[], uint32_t taken, double bytes, bool whole)
{
	int best = -1;
	double best_s = INFINITY;
	for (size_t d = 0; d < w->p->n_devices; d++) {
		const struct room *r = &rooms[d];
		double t = (double)(r->n_in_layer + 1) * r->row_s;
		if (!w->c->devices[d].experts_auto || taken & 1u << d ||
		    r->bytes + bytes > (whole ? r->max : r->so_far_max))
			continue;
		if (best < 0 || t < best_s || (t <= best_s && r->bytes < rooms[best].bytes)) {
			best = (int)d;
			best_s = t;
		}
	}
	return best;
}

static void enter_layer(const struct placing *w, size_t layer, const double before[], struct room rooms[])
{
	for (size_t d = 0; d < w->p->n_devices; d++) {
		struct room *r = &rooms[d];
		double part = (double)(layer + 1) / (double)w->p->n_layer;
		r->so_far_max = isfinite(r->max) ? before[d] + (r->max - before[d]) * part : r->max;
		r->n_in_layer = 0;
		for (size_t e = 0; e < w->p->n_expert; e++)
			r->n_in_layer += placement_holds(w->p, d, layer, e);
	}
}

/* Gives every expert its copy number `copy`, counted from 0, unless it has it. */
static int place_copies(const struct placing *w, struct room rooms[], int copy)
{
	double before[CONFIG_DEVICES_MAX];
	for (size_t d = 0; d < w->p->n_devices; d++)
		before[d] = rooms[d].bytes;
	for (size_t layer = 0; layer < w->p->n_layer; layer++) {
		double bytes = (double)moe_model_expert_bytes(w->model, layer);
		enter_layer(w, layer, before, rooms);
		for (size_t e = 0; e < w->p->n_expert; e++) {
			uint32_t *holders = holders_of(w->p, layer, e);
			if (__builtin_popcount(*holders) > copy)
				continue;
			int d = pick_device(w, rooms, *holders, bytes, false);
			if (d < 0)
				d = pick_device(w, rooms, *holders, bytes, true);
			if (d < 0) {
				snprintf(w->err, w->err_len,
				         "moe.placement: no device has room for expert %zu of layer %zu (%.1f MB), "
				         "copy %d",
				         e, layer, 1e-6 * bytes, copy + 1);
				return -EINVAL;
			}
			*holders |= 1u << d;
			rooms[d].bytes += bytes;
			rooms[d].n_in_layer++;
		}
	}
	return 0;
}

static int place_balanced(const struct placing *w)
{
	struct room rooms[CONFIG_DEVICES_MAX];
	int rc = 0;
	measure_rooms(w, rooms);
	for (int copy = 0; copy < (int)w->c->moe.replicas && !rc; copy++)
		rc = place_copies(w, rooms, copy);
	return rc;
}

/* ---- the whole ---- */

static int check_memory(const struct placing *w)
{
	for (size_t d = 0; d < w->p->n_devices; d++) {
		double bytes = (double)placement_bytes(w->p, w->model, d);
		if (bytes > max_bytes(&w->c->devices[d])) {
			snprintf(w->err, w->err_len, "devices[%zu].memory_mb: its experts take %.1f MB, more than %g",
			         d, 1e-6 * bytes, w->c->devices[d].memory_mb);
			return -EINVAL;
		}
	}
	return 0;
}

static int place_all(const struct placing *w)
{
	bool any_auto = false;
	int rc = 0;
	for (size_t d = 0; d < w->p->n_devices && !rc; d++) {
		any_auto |= w->c->devices[d].experts_auto;
		rc = place_list(w, d);
	}
	if (!rc && any_auto)
		rc = strcmp(w->c->moe.placement, "balanced") == 0 ? place_balanced(w) : place_modulo(w);
	return rc ? rc : check_memory(w);
}

int placement_create(struct placement *p, const struct config *c, const struct moe_model *model, char *err,
                     size_t err_len)
{
	*p = (struct placement){ .n_layer = model->shape.n_layer,
		                 .n_expert = model->shape.n_expert,
		                 .n_devices = c->n_devices };
	p->holders = calloc(p->n_layer * p->n_expert, sizeof *p->holders);
	if (!p->holders) {
		snprintf(err, err_len, "out of memory");
		return -ENOMEM;
	}
	const struct placing w = { p, c, model, err, err_len };
	int rc = place_all(&w);
	if (rc)
		placement_free(p);
	return rc;
}

void placement_free(struct placement *p)
{
	free(p->holders);
	p->holders = NULL;
}
