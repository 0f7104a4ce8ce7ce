#include "testbed/choices.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- pieces of a record; each returns false for what is not there or of another type ---- */

static bool printed(char **at, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool printed(char **at, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	if (vasprintf(at, format, args) < 0)
		*at = NULL;
	va_end(args);
	return *at;
}

static bool add_choice(struct question *q, const char *text)
{
	return text && q->n_choices < CHOICES_MAX && printed(&q->choice[q->n_choices++], "%s", text);
}

/* The strings of an array. */
static bool add_choices(struct question *q, const json_t *array)
{
	size_t i;
	json_t *item;
	json_array_foreach(array, i, item) if (!add_choice(q, json_string_value(item))) return false;
	return json_is_array(array);
}

/* A number from 0, a bool, or a letter from A. */
static bool read_gold(struct question *q, const json_t *value)
{
	const char *text = json_string_value(value);
	if (json_is_boolean(value))
		q->gold = json_is_true(value);
	else if (json_is_integer(value) && json_integer_value(value) >= 0)
		q->gold = (size_t)json_integer_value(value);
	else if (text && text[0] >= 'A' && text[0] <= 'Z' && !text[1])
		q->gold = (size_t)(text[0] - 'A');
	else
		return false;
	return true;
}

/* ---- tasks ---- */

static bool read_piqa(struct question *q, const json_t *r)
{
	const char *goal = json_string_value(json_object_get(r, "goal"));
	return goal && printed(&q->context, "Question: %s\nAnswer:", goal) &&
	       add_choice(q, json_string_value(json_object_get(r, "sol1"))) &&
	       add_choice(q, json_string_value(json_object_get(r, "sol2"))) &&
	       read_gold(q, json_object_get(r, "label"));
}

static bool read_arc(struct question *q, const json_t *r)
{
	const char *question = json_string_value(json_object_get(r, "question"));
	const char *key = json_string_value(json_object_get(r, "answerKey"));
	const json_t *choices = json_object_get(r, "choices"), *labels = json_object_get(choices, "label");
	if (!question || !key || !printed(&q->context, "Question: %s\nAnswer:", question) ||
	    !add_choices(q, json_object_get(choices, "text")) || json_array_size(labels) != q->n_choices)
		return false;
	for (q->gold = 0; q->gold < q->n_choices; q->gold++) {
		const char *label = json_string_value(json_array_get(labels, q->gold));
		if (label && strcmp(label, key) == 0)
			return true;
	}
	return false;
}

static bool read_boolq(struct question *q, const json_t *r)
{
	const char *passage = json_string_value(json_object_get(r, "passage"));
	const char *question = json_string_value(json_object_get(r, "question"));
	const json_t *label = json_object_get(r, "label");
	return passage && question && printed(&q->context, "%s\nQuestion: %s?\nAnswer:", passage, question) &&
	       add_choice(q, "no") && add_choice(q, "yes") &&
	       read_gold(q, label ? label : json_object_get(r, "answer"));
}

/* text without white space around it; the caller frees it. */
static char *stripped(const char *text)
{
	static const char white[] = " \t\r\n\f\v";
	text += strspn(text, white);
	size_t n = strlen(text);
	while (n && strchr(white, text[n - 1]))
		n--;
	return strndup(text, n);
}

static bool read_mmlu(struct question *q, const json_t *r)
{
	const char *question = json_string_value(json_object_get(r, "question"));
	const json_t *texts = json_object_get(r, "choices");
	size_t n = json_array_size(texts), len = 0;
	char *text = question ? stripped(question) : NULL, *all = NULL;
	FILE *f = text && n <= CHOICES_MAX ? open_memstream(&all, &len) : NULL;
	bool ok = f;
	if (f)
		fprintf(f, "%s\n", text);
	for (size_t i = 0; i < n && ok; i++) {
		const char letter[] = { (char)('A' + i), '\0' }, *choice = json_string_value(json_array_get(texts, i));
		ok = choice && add_choice(q, letter);
		if (ok)
			fprintf(f, "%s. %s\n", letter, choice);
	}
	if (f) {
		fprintf(f, "Answer:");
		ok = fclose(f) == 0 && ok;
	}
	q->context = all;
	free(text);
	return ok && read_gold(q, json_object_get(r, "answer"));
}

static bool read_generic(struct question *q, const json_t *r)
{
	const char *context = json_string_value(json_object_get(r, "context"));
	return context && printed(&q->context, "%s", context) && add_choices(q, json_object_get(r, "choices")) &&
	       read_gold(q, json_object_get(r, "gold"));
}

static const struct task {
	const char *name, *fields;
	bool (*read)(struct question *q, const json_t *record);
} tasks[] = {
	{ "piqa", "goal, sol1, sol2, label", read_piqa },
	{ "arc", "question, choices {text, label}, answerKey", read_arc },
	{ "boolq", "passage, question, label", read_boolq },
	{ "mmlu", "question, choices, answer", read_mmlu },
	{ "generic", "context, choices, gold", read_generic },
};

/* ---- files ---- */

static void free_question(struct question *q)
{
	for (size_t i = 0; i < q->n_choices; i++)
		free(q->choice[i]);
	free(q->context);
}

/* Every choice has a length to divide by, and one of them is right. */
static bool is_whole(const struct question *q)
{
	for (size_t i = 0; i < q->n_choices; i++)
		if (!*q->choice[i])
			return false;
	return q->n_choices >= 2 && q->gold < q->n_choices;
}

static int take_line(struct choices *c, const struct task *task, const char *line, char *why, size_t why_len)
{
	json_error_t error;
	json_t *record = json_loads(line, 0, &error);
	struct question q = { 0 };
	if (!record) {
		snprintf(why, why_len, "%s", error.text);
		return -EINVAL;
	}
	bool ok = task->read(&q, record) && is_whole(&q);
	json_decref(record);
	if (!ok) {
		snprintf(why, why_len, "not a question of %s: %s", task->name, task->fields);
		free_question(&q);
		return -EINVAL;
	}
	if (!(c->n & (c->n - 1))) { /* at every power of two */
		struct question *more = realloc(c->question, (c->n ? 2 * c->n : 1) * sizeof *more);
		if (!more) {
			snprintf(why, why_len, "out of memory");
			free_question(&q);
			return -ENOMEM;
		}
		c->question = more;
	}
	c->question[c->n++] = q;
	return 0;
}

static const struct task *find_task(const char *name)
{
	for (size_t i = 0; i < sizeof tasks / sizeof tasks[0]; i++)
		if (strcmp(tasks[i].name, name) == 0)
			return &tasks[i];
	return NULL;
}

int choices_load(struct choices *c, const char *task_name, const char *path, char *err, size_t err_len)
{
	const struct task *task = find_task(task_name);
	FILE *f = task ? fopen(path, "r") : NULL;
	int rc = f ? 0 : task ? -errno : -EINVAL;
	if (!f) {
		snprintf(err, err_len, "%s: %s", task ? path : task_name, task ? strerror(errno) : "no such task");
		return rc;
	}
	char *line = NULL, why[160] = "";
	size_t room = 0, number = 0;
	while (!rc && getline(&line, &room, f) >= 0) {
		number++;
		if (line[strspn(line, " \t\r\n")])
			rc = take_line(c, task, line, why, sizeof why);
	}
	if (rc) {
		snprintf(err, err_len, "%s:%zu: %s", path, number, why);
	} else if (ferror(f)) {
		rc = -EIO;
		snprintf(err, err_len, "%s: cannot be read", path);
	} else if (!c->n) {
		rc = -EINVAL;
		snprintf(err, err_len, "%s: there is no question in it", path);
	}
	free(line);
	fclose(f);
	return rc;
}

void choices_free(struct choices *c)
{
	for (size_t i = 0; i < c->n; i++)
		free_question(&c->question[i]);
	free(c->question);
	*c = (struct choices){ 0 };
}
