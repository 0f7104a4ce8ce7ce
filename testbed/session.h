/* session.h - a lockstep run from cold start through prompts, with everything it leaves for reports.
 *
 *     struct session *s;
 *     session_create(&config, &s, err, sizeof err);
 *     rc = session_attach(s, err, sizeof err);                        all devices there, or why not
 *     rc = session_prompt(s, tokens, n, &options, err, sizeof err);   as often as wanted
 *     session_generation(s) ... session_layers(s, &n) ...
 *     session_destroy(s);
 *
 * A callback once a slot may show progress; it must not change anything. An interrupt (cli.h) ends a run with -EINTR.
 */
#ifndef TESTBED_SESSION_H
#define TESTBED_SESSION_H

#include <stddef.h>
#include <stdint.h>

#include "testbed/lockstep.h"

struct session;

/* As lockstep_create. */
int session_create(const struct config *config, struct session **out, char *err, size_t err_len);
void session_destroy(struct session *s); /* NULL is fine */

/* Everything from now on is logged there too; NULL for none. The caller closes it, after the session's last slot. */
void session_set_journal(struct session *s, struct journal *journal);

/* Called after every slot; NULL for none. */
void session_on_slot(struct session *s, void (*fn)(void *arg, struct session *s), void *arg);

/* Runs until the experts are all attached. 0; -ETIMEDOUT (a line names who is missing), -EINTR, or the journal's
 * error. */
int session_attach(struct session *s, char *err, size_t err_len);

/* Several at a time: asks a prompt, and lets a slot pass. The answers are the inference's, by place. */
int session_ask(struct session *s, const int32_t *tokens, size_t n, const struct generation_options *options, char *err,
                size_t err_len);                                 /* as inference_start, with a line in err */
int session_go_on(struct session *s, char *err, size_t err_len); /* 0; -EIO, -EINTR, the journal's error as below */

/* Runs one prompt to its end, in place 0; what was in any place is forgotten. 0; -EINVAL (tokens), -ENOSPC (longer than the context), -EIO (the run failed: the line
 * says where), -EINTR, or the journal's error. What was done so far stays readable. */
int session_prompt(struct session *s, const int32_t *tokens, size_t n, const struct generation_options *options,
                   char *err, size_t err_len);

/* Lets n slots pass with nothing to do, so that what is on its way arrives. */
int session_settle(struct session *s, size_t n_slots);

struct lockstep *session_lockstep(struct session *s);
double session_attached_s(const struct session *s); /* virtual time at which the last device was there; NAN before */
/* Records of all layers so far, in order. */
const struct layer_record *session_layers(const struct session *s, size_t *n);

#endif
