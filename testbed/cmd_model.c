/* wdmoe model info: what a model file holds. */
#include <string.h>

#include "moe/model.h"
#include "testbed/cli.h"

enum { TYPE_IDS = 64 };

static bool is_of_experts(const struct gguf_tensor *t)
{
	return memmem(t->name.bytes, t->name.len, "_exps.", 6);
}

/* Bytes of each tensor type: {"F32": ..., "Q8_0": ...}; of the base, of the experts, or of both. */
static json_t *types_json(const struct moe_model *m, bool base, bool experts)
{
	size_t bytes[TYPE_IDS] = { 0 };
	json_t *types = json_object();
	for (size_t i = 0; i < gguf_n_tensors(m->file); i++) {
		const struct gguf_tensor *t = gguf_tensor_at(m->file, i);
		if (t->type->id < TYPE_IDS && (is_of_experts(t) ? experts : base))
			bytes[t->type->id] += t->n_bytes;
	}
	for (uint32_t id = 0; id < TYPE_IDS; id++)
		if (bytes[id])
			json_object_set_new(types, tensor_type_name(id), json_integer((json_int_t)bytes[id]));
	return types;
}

/* Files mix types by layer, so that experts of one layer may be larger than those of another. */
static json_t *layers_json(const struct moe_model *m)
{
	json_t *layers = json_array();
	for (size_t i = 0; i < m->shape.n_layer; i++) {
		const struct moe_layer *l = &m->layers[i];
		json_array_append_new(layers, json_pack("{s:I, s:s, s:s, s:s}", "expert_bytes",
		                                        (json_int_t)moe_model_expert_bytes(m, i), "gate_type",
		                                        l->gate.type->name, "up_type", l->up.type->name, "down_type",
		                                        l->down.type->name));
	}
	return layers;
}

static json_t *info_json(const struct moe_model *m)
{
	const struct moe_shape *s = &m->shape;
	char hash[MOE_HASH_HEX];
	moe_model_hash_hex(m, hash);
	json_t *root = json_pack("{s:i, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "schema", 1,
	                         "version", cli_version(), "hash", hash, "architecture", m->arch->name, "n_layer",
	                         (json_int_t)s->n_layer, "n_embd", (json_int_t)s->n_embd, "n_vocab",
	                         (json_int_t)s->n_vocab, "n_ctx", (json_int_t)s->n_ctx, "n_head", (json_int_t)s->n_head,
	                         "n_head_kv", (json_int_t)s->n_head_kv, "head_dim", (json_int_t)s->head_dim_k,
	                         "n_expert", (json_int_t)s->n_expert, "n_expert_used", (json_int_t)s->n_expert_used,
	                         "n_ff", (json_int_t)s->n_ff);
	json_t *more = json_pack(
	        "{s:I, s:I, s:b, s:o, s:o, s:o, s:I, s:I, s:o}", "n_ff_shared", (json_int_t)s->n_ff_shared, "n_files",
	        (json_int_t)gguf_n_parts(m->file), "tied_output", m->output.data == m->embedding.data, "type_bytes",
	        types_json(m, true, true), "base_type_bytes", types_json(m, true, false), "expert_type_bytes",
	        types_json(m, false, true), "base_bytes", (json_int_t)moe_model_base_bytes(m), "expert_bytes",
	        (json_int_t)moe_model_expert_bytes(m, 0), "layers", layers_json(m));
	json_object_update(root, more);
	json_decref(more);
	return root;
}

static void print_types(FILE *f, const char *what, double bytes, json_t *types)
{
	const char *type;
	json_t *of_type;
	fprintf(f, "%-16s%.1f kB:", what, bytes / 1e3);
	json_object_foreach(types, type, of_type)
	        fprintf(f, " %s %.1f", type, (double)json_integer_value(of_type) / 1e3);
	fputc('\n', f);
	json_decref(types);
}

static void print_experts(FILE *f, const struct moe_model *m)
{
	size_t least = SIZE_MAX, most = 0, all = 0;
	for (size_t i = 0; i < m->shape.n_layer; i++) {
		size_t bytes = moe_model_expert_bytes(m, i);
		least = bytes < least ? bytes : least;
		most = bytes > most ? bytes : most;
		all += bytes * m->shape.n_expert;
	}
	print_types(f, "experts", (double)all, types_json(m, false, true));
	if (least == most)
		fprintf(f, "one expert      %.1f kB in every layer\n", (double)most / 1e3);
	else
		fprintf(f, "one expert      %.1f to %.1f kB, by layer\n", (double)least / 1e3, (double)most / 1e3);
}

static void print_info(FILE *f, const struct moe_model *m)
{
	const struct moe_shape *s = &m->shape;
	char hash[MOE_HASH_HEX];
	moe_model_hash_hex(m, hash);
	fprintf(f, "file            %s", gguf_path(m->file));
	if (gguf_n_parts(m->file) > 1)
		fprintf(f, " and %zu more", gguf_n_parts(m->file) - 1);
	fprintf(f, "\nhash            %s\n", hash);
	fprintf(f, "architecture    %s: %zu layers, embedding %zu, vocabulary %zu, context %zu\n", m->arch->name,
	        s->n_layer, s->n_embd, s->n_vocab, s->n_ctx);
	fprintf(f, "attention       %zu heads over %zu key-value heads of %zu\n", s->n_head, s->n_head_kv,
	        s->head_dim_k);
	fprintf(f, "routing         %zu experts a layer, %zu used, width %zu", s->n_expert, s->n_expert_used, s->n_ff);
	if (s->n_ff_shared)
		fprintf(f, ", beside a shared one of %zu", s->n_ff_shared);
	fputc('\n', f);
	print_types(f, "base half", (double)moe_model_base_bytes(m), types_json(m, true, false));
	print_experts(f, m);
}

int cmd_model_info(int argc, char **argv)
{
	struct cli_list files = { .n = 0 };
	const char *json = NULL;
	const struct cli_option options[] = {
		{ "json", CLI_STRING, &json, "FILE", CLI_HELP_JSON },
	};
	const struct cli_syntax syntax = {
		"MODEL", "Tells what a model file (GGUF) holds; of a model in several files, name the first.",
		options, 1,
		&files,  1,
		1
	};
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
