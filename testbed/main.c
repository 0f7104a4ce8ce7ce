/* The commands of wdmoe. A new one: its function in cmd_<name>.c, a line among the declarations, a row in the table. */
#include "testbed/blas_core.h"
#include "testbed/cli.h"

int cmd_bench_moe(int argc, char **argv);
int cmd_bench_nodes(int argc, char **argv);
int cmd_bench_scheduler(int argc, char **argv);
int cmd_channel(int argc, char **argv);
int cmd_bs(int argc, char **argv);
int cmd_device(int argc, char **argv);
int cmd_radio_calibrate(int argc, char **argv);
int cmd_radio_probe(int argc, char **argv);
int cmd_radio_selftest(int argc, char **argv);
int cmd_ether(int argc, char **argv);
int cmd_config(int argc, char **argv);
int cmd_csi_info(int argc, char **argv);
int cmd_eval_mc(int argc, char **argv);
int cmd_eval_ppl(int argc, char **argv);
int cmd_eval_tasks(int argc, char **argv);
int cmd_replay(int argc, char **argv);
int cmd_reproduce_wdmoe(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_schedule(int argc, char **argv);
int cmd_sweep(int argc, char **argv);
int cmd_generate(int argc, char **argv);
int cmd_logits(int argc, char **argv);
int cmd_tokenize(int argc, char **argv);
int cmd_model_info(int argc, char **argv);
int cmd_model_sensitivity(int argc, char **argv);
int cmd_model_similarity(int argc, char **argv);
int cmd_attach(int argc, char **argv);
int cmd_phy_csi(int argc, char **argv);
int cmd_phy_acquire(int argc, char **argv);
int cmd_phy_profiles(int argc, char **argv);
int cmd_phy_levels(int argc, char **argv);
int cmd_phy_bler(int argc, char **argv);
int cmd_phy_plot(int argc, char **argv);
int cmd_phy_bench(int argc, char **argv);
int cmd_phy_control(int argc, char **argv);

static const struct cli_command commands[] = {
	{ "run", "answer a prompt with the experts reached over the air", cmd_run },
	{ "generate", "answer a prompt unsplit and locally", cmd_generate },
	{ "bs", "the base station as a process, in real time", cmd_bs },
	{ "device", "a device as a process, in real time", cmd_device },
	{ "ether", "the medium between base station and devices as a process", cmd_ether },
	{ "radio probe", "which USRPs there are and what they can do", cmd_radio_probe },
	{ "radio selftest", "measure a radio that hears itself", cmd_radio_selftest },
	{ "radio calibrate", "find the gains and levels of a radio", cmd_radio_calibrate },
	{ "eval tasks", "ask a model held-out items, here or over the air", cmd_eval_tasks },
	{ "schedule", "decide one layer from a file by any policy and allocator", cmd_schedule },
	{ "sweep", "items over the air under all combinations of configuration values, and seeds", cmd_sweep },
	{ "reproduce wdmoe", "the published simulation, with frontier beside it", cmd_reproduce_wdmoe },
	{ "bench moe", "time the model engine: decoding, prompts, several sequences, expert calls, memory",
	  cmd_bench_moe },
	{ "bench nodes", "time the slots of base station and devices, at several rates", cmd_bench_nodes },
	{ "bench scheduler", "time the decisions of a slot and of a layer", cmd_bench_scheduler },
	{ "eval ppl", "the perplexity of a text", cmd_eval_ppl },
	{ "eval mc", "multiple-choice questions, each choice judged by its likelihood", cmd_eval_mc },
	{ "logits", "write the logits of every position of a file of token ids", cmd_logits },
	{ "tokenize", "print the token ids of a file", cmd_tokenize },
	{ "model info", "tell what a model file holds", cmd_model_info },
	{ "model sensitivity", "how much each layer suffers from an expert left out", cmd_model_sensitivity },
	{ "model similarity", "which experts of a layer compute alike", cmd_model_similarity },
	{ "config", "list the configuration keys, or show what a configuration file comes to", cmd_config },
	{ "attach", "start a cell cold, many times, and tell how long it took", cmd_attach },
	{ "phy csi", "compare estimated channels with the true ones", cmd_phy_csi },
	{ "phy acquire", "find the sync signal, or an access preamble, many times from cold", cmd_phy_acquire },
	{ "phy profiles", "list the numerologies that have a name", cmd_phy_profiles },
	{ "phy levels", "measure peaks, clipping and the adjacent channel of all that is sent", cmd_phy_levels },
	{ "phy bler", "block error rates over SNR, of the whole chain through simulated channels", cmd_phy_bler },
	{ "phy plot", "draw error rates, spectrum or constellation as SVG", cmd_phy_plot },
	{ "phy bench", "time the chains of the PHY and their stages on one core", cmd_phy_bench },
	{ "phy control", "miss and false rates of the control channels", cmd_phy_control },
	{ "replay", "run a device on a recording of what its radio received", cmd_replay },
	{ "channel", "taps over time of a model, of what a run measured, or of a file", cmd_channel },
	{ "csi info", "tell what the journal of a run holds", cmd_csi_info },
};

int main(int argc, char **argv)
{
	blas_core_choose(argv);
	return cli_main(commands, sizeof commands / sizeof commands[0], argc, argv);
}
