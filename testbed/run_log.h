/* run_log.h - what a base station does, as events of a journal (notes/journal.md), whoever runs it.
 */
#ifndef TESTBED_RUN_LOG_H
#define TESTBED_RUN_LOG_H

#include "testbed/inference.h"
#include "testbed/journal.h"

/* As journal_event. */
int run_log_layer(struct journal *j, const struct layer_record *r);
int run_log_deviation(struct journal *j, const struct deviation *d);

#endif
