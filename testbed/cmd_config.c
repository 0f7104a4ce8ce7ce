/* wdmoe config: the keys and what they mean, or what a configuration comes to. */
#include "testbed/cli.h"
#include "testbed/config.h"

#include <stdlib.h>

int cmd_config(int argc, char **argv)
{
	struct cli_list files = { .n = 0 }, sets = { .n = 0 };
	const struct cli_option options[] = {
		{ "set", CLI_REPEATED, &sets, "KEY=VALUE", "override a key of the file" },
	};
	const struct cli_syntax syntax = {
		"[CONFIG]",
		"Without CONFIG (a YAML file): all keys with default, meaning, unit and range.\n"
		"With CONFIG: checks it and shows all that it comes to, as JSON.",
		options,
		1,
		&files,
		0,
		1,
	};
	int status;
	if (!cli_parse(&syntax, argc, argv, &status))
		return status;
	if (files.n == 0 && sets.n == 0) {
		config_print_keys(stdout);
		return CLI_DONE;
	}
	struct config *c = malloc(sizeof *c);
	if (!c)
		return cli_failed("out of memory");
	char err[512];
	if (config_load(c, files.n > 0 ? files.items[0] : NULL, sets.items, sets.n, err, sizeof err) < 0) {
		free(c);
		return cli_bad_input("%s", err);
	}
	json_t *root = config_json(c, true);
	free(c);
	return json_out_write(&(struct json_out){ .path = "-", .text = stderr }, root);
}
