/* bs_loop.h - the base station inside a slot loop in real time, and what passes between the loop and who asks it prompts.
 *
 *     struct bs_loop *l = bs_loop_create(bs, &num, tx_ahead, journal);
 *     paced_start(&config, &num, radio, &(struct paced_node){ bs_loop_node(l) }, ...);
 *     bs_loop_ask(l, &prompt);                              the asking thread
 *     while (bs_loop_next(l, &event))
 *             if (event.type == BS_LOOP_ENDED) {
 *                     ... inference_generation(inf, event.place) ...   nothing touches it until it is released
 *                     bs_loop_release(l, event.place);
 *             }
 *     bs_loop_destroy(l);                                   after paced_stop
 *
 * Prompts wait until every expert is attached. Layers, deviations and CSI go into the journal from the loop, which drops what its ring does not hold.
 */
#ifndef TESTBED_BS_LOOP_H
#define TESTBED_BS_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "moe/generation.h"
#include "testbed/bs.h"
#include "testbed/journal.h"
#include "testbed/paced.h"

enum bs_loop_event_type {
	BS_LOOP_DEVICE,  /* device's state at the base station is now `state` */
	BS_LOOP_STARTED, /* the prompt asked for longest ago is at work, in `place` */
	BS_LOOP_REFUSED, /* it is not, `text` says why */
	BS_LOOP_ENDED,   /* the answer in `place` is there */
	BS_LOOP_FAILED,  /* all answers under way are lost: `text` */
};

struct bs_loop_event {
	enum bs_loop_event_type type;
	uint64_t slot;
	unsigned device;
	enum cell_device_state state;
	unsigned place;
	char text[256];
};

struct bs_loop_prompt {
	const int32_t *tokens; /* until it is started or refused */
	size_t n_tokens;
	struct generation_options options;
};

struct bs_loop;

/* bs outlives it, as does the journal (NULL: none). csi_every: slots, 0: no CSI. NULL with errno. */
struct bs_loop *bs_loop_create(struct bs *bs, const struct numerology *num, unsigned tx_ahead, unsigned n_devices,
                               struct journal *journal, uint64_t csi_every);
void bs_loop_destroy(struct bs_loop *l); /* NULL is fine */

struct paced_node bs_loop_node(struct bs_loop *l);

int bs_loop_ask(struct bs_loop *l, const struct bs_loop_prompt *prompt); /* 0 or -ENOBUFS */
void bs_loop_release(struct bs_loop *l, unsigned place);
bool bs_loop_next(struct bs_loop *l, struct bs_loop_event *event);

#endif
