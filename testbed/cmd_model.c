/* wdmoe model info: what a model file holds. */
#include "moe/model.h"
#include "testbed/cli.h"

enum { TYPE_IDS = 64 };

/* Bytes of each tensor type: {"F32": ..., "Q8_0": ...}. */
static json_t *types_json(const struct moe_model *m)
{
	size_t bytes[TYPE_IDS] = { 0 };
	json_t *types = json_object();
	for (size_t i = 0; i < gguf_n_tensors(m->file); i++) {
		const struct gguf_tensor *t = gguf_tensor_at(m->file, i);
		if (t->type->id < TYPE_IDS)
			bytes[t->type->id] += t->n_bytes;
	}
	for (uint32_t id = 0; id < TYPE_IDS; id++)
		if (bytes[id])
			json_object_set_new(types, tensor_type_name(id), json_integer((json_int_t)bytes[id]));
	return types;
}

static json_t *info_json(const struct moe_model *m)
{
	const struct moe_shape *s = &m->shape;
	char hash[MOE_HASH_HEX];
	moe_model_hash_hex(m, hash);
	return json_pack("{s:i, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:I}",
	                 "schema", 1, "version", cli_version(), "hash", hash, "architecture", m->arch->name, "n_layer",
	                 (json_int_t)s->n_layer, "n_embd", (json_int_t)s->n_embd, "n_vocab", (json_int_t)s->n_vocab,
	                 "n_ctx", (json_int_t)s->n_ctx, "n_head", (json_int_t)s->n_head, "n_head_kv",
	                 (json_int_t)s->n_head_kv, "head_dim", (json_int_t)s->head_dim_k, "n_expert",
	                 (json_int_t)s->n_expert, "n_expert_used", (json_int_t)s->n_expert_used, "n_ff",
	                 (json_int_t)s->n_ff, "type_bytes", types_json(m), "base_bytes",
	                 (json_int_t)moe_model_base_bytes(m), "expert_bytes", (json_int_t)moe_model_expert_bytes(m, 0));
}

static void print_info(FILE *f, const struct moe_model *m)
{
	const struct moe_shape *s = &m->shape;
	char hash[MOE_HASH_HEX];
	const char *type;
	json_t *types = types_json(m), *bytes;
	moe_model_hash_hex(m, hash);
	fprintf(f, "file            %s\n", gguf_path(m->file));
	fprintf(f, "hash            %s\n", hash);
	fprintf(f, "architecture    %s: %zu layers, embedding %zu, vocabulary %zu, context %zu\n", m->arch->name,
	        s->n_layer, s->n_embd, s->n_vocab, s->n_ctx);
	fprintf(f, "attention       %zu heads over %zu key-value heads of %zu\n", s->n_head, s->n_head_kv,
	        s->head_dim_k);
	fprintf(f, "experts         %zu a layer, %zu used, width %zu\n", s->n_expert, s->n_expert_used, s->n_ff);
	json_object_foreach(types, type, bytes)
	        fprintf(f, "%-16s%.1f kB\n", type, (double)json_integer_value(bytes) / 1e3);
	fprintf(f, "base half       %.1f kB\n", (double)moe_model_base_bytes(m) / 1e3);
	fprintf(f, "one expert      %.1f kB a layer (the first)\n", (double)moe_model_expert_bytes(m, 0) / 1e3);
	json_decref(types);
}

int cmd_model_info(int argc, char **argv)
{
	struct cli_list files = { .n = 0 };
	const char *json = NULL;
	const struct cli_option options[] = {
		{ "json", CLI_STRING, &json, "FILE", CLI_HELP_JSON },
	};
	const struct cli_syntax syntax = { "MODEL", "Tells what a model file (GGUF) holds.", options, 1, &files, 1, 1 };
	char found[4096], err[512];
	struct moe_model *m;
	struct json_out out;
	int status;
	if (!cli_parse(&syntax, argc, argv, &status))
		return status;
	if ((status = json_out_open(&out, json)) != CLI_DONE)
		return status;
	cli_find_file(files.items[0], found, sizeof found);
	if (moe_model_open(found, NULL, &m, err, sizeof err) < 0)
		return cli_bad_input("%s", err);
	print_info(json_out_text(&out), m);
	status = json_out_write(&out, info_json(m));
	moe_model_close(m);
	return status;
}
