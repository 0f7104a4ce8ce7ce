/* The commands of wdmoe. A new one: its function in cmd_<name>.c, a line among the declarations, a row in the table. */
#include "testbed/cli.h"

int cmd_config(int argc, char **argv);
int cmd_csi_info(int argc, char **argv);

static const struct cli_command commands[] = {
	{ "config", "list the configuration keys, or show what a configuration file comes to", cmd_config },
	{ "csi info", "tell what the journal of a run holds", cmd_csi_info },
};

int main(int argc, char **argv)
{
	return cli_main(commands, sizeof commands / sizeof commands[0], argc, argv);
}
