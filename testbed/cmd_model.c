/* wdmoe model info: what a model file holds. */
#include "moe/model.h"
#include "testbed/cli.h"

static void print_types(const struct moe_model *m)
{
	enum { TYPE_IDS = 64 };
	size_t bytes[TYPE_IDS] = { 0 };
	for (size_t i = 0; i < gguf_n_tensors(m->file); i++) {
		const struct gguf_tensor *t = gguf_tensor_at(m->file, i);
		if (t->type->id < TYPE_IDS)
			bytes[t->type->id] += t->n_bytes;
	}
	printf("types          ");
	for (uint32_t id = 0; id < TYPE_IDS; id++)
		if (bytes[id])
			printf(" %s %.1f kB ", tensor_type_name(id), (double)bytes[id] / 1e3);
	printf("\n");
}

static void print_info(const struct moe_model *m)
{
	const struct moe_shape *s = &m->shape;
	char hash[MOE_HASH_HEX];
	moe_model_hash_hex(m, hash);
	printf("file            %s\n", gguf_path(m->file));
	printf("hash            %s\n", hash);
	printf("architecture    %s: %zu layers, embedding %zu, vocabulary %zu, context %zu\n", m->arch->name,
	       s->n_layer, s->n_embd, s->n_vocab, s->n_ctx);
	printf("attention       %zu heads over %zu key-value heads of %zu\n", s->n_head, s->n_head_kv, s->head_dim_k);
	printf("experts         %zu a layer, %zu used, width %zu\n", s->n_expert, s->n_expert_used, s->n_ff);
	print_types(m);
	printf("base half       %.1f kB\n", (double)moe_model_base_bytes(m) / 1e3);
	printf("one expert      %.1f kB a layer (the first)\n", (double)moe_model_expert_bytes(m, 0) / 1e3);
}

int cmd_model_info(int argc, char **argv)
{
	struct cli_list files = { .n = 0 };
	const struct cli_syntax syntax = { "MODEL", "Tells what a model file (GGUF) holds.", NULL, 0, &files, 1, 1 };
	int status;
	if (!cli_parse(&syntax, argc, argv, &status))
		return status;
	char found[4096], err[512];
	struct moe_model *m;
	cli_find_file(files.items[0], found, sizeof found);
	if (moe_model_open(found, NULL, &m, err, sizeof err) < 0)
		return cli_bad_input("%s", err);
	print_info(m);
	moe_model_close(m);
	return CLI_DONE;
}
