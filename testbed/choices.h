/* choices.h - multiple-choice questions, in the field names of the data sets they come from.
 *
 *     struct choices list = { 0 };
 *     if (choices_load(&list, "piqa", path, err, sizeof err) < 0) ...
 *     list.question[i].context, .choice[k], .gold
 *     choices_free(&list);
 *
 * Files are JSON lines. What a task reads, and what the model is asked:
 *
 *     piqa     goal, sol1, sol2, label                        Question: {goal} / Answer:
 *     arc      question, choices {text, label}, answerKey     Question: {question} / Answer:
 *     boolq    passage, question, label (or answer)           {passage} / Question: {question}? / Answer:   no, yes
 *     mmlu     question, choices, answer                      {question} / A. ... / D. ... / Answer:        A .. D
 *     generic  context, choices, gold                         {context}
 *
 * Sources: the data sets' own field names; forms of the questions by lm-evaluation-harness.
 */
#ifndef TESTBED_CHOICES_H
#define TESTBED_CHOICES_H

#include <stddef.h>

enum { CHOICES_MAX = 26 };

struct question {
	char *context;
	char *choice[CHOICES_MAX];
	size_t n_choices; /* 2 or more */
	size_t gold;      /* the right one */
};

struct choices {
	struct question *question;
	size_t n;
};

/* Reads a file. 0, or negative errno and one line naming file and line in err; *c can be freed in any case. task: a name
 * above. */
int choices_load(struct choices *c, const char *task, const char *path, char *err, size_t err_len);
void choices_free(struct choices *c);

#endif
