/* Runs a fuzz target over the files of its corpus: what `make test` does with it, built by the ordinary compiler.
 *
 *     fuzz_NAME_replay FOLDER     exit status 1 without a single file
 */
#include "input.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

static int run(const char *folder, const char *name)
{
	static uint8_t data[1 << 20];
	char path[4096];
	snprintf(path, sizeof path, "%s/%s", folder, name);
	FILE *f = fopen(path, "rb");
	if (!f)
		return -1;
	size_t n = fread(data, 1, sizeof data, f);
	fclose(f);
	LLVMFuzzerTestOneInput(data, n);
	for (size_t cut = n / 2; cut > 0; cut /= 2) /* truncated ones come for free */
		LLVMFuzzerTestOneInput(data, n - cut);
	return 0;
}

int main(int argc, char **argv)
{
	DIR *d = argc == 2 ? opendir(argv[1]) : NULL;
	if (!d) {
		fprintf(stderr, "%s: %s is no folder\n", argv[0], argc == 2 ? argv[1] : "(none given)");
		return 1;
	}
	size_t n = 0;
	for (struct dirent *e; (e = readdir(d));)
		n += e->d_name[0] != '.' && !run(argv[1], e->d_name);
	closedir(d);
	printf("%zu inputs, each with its beginnings\n", n);
	return n ? 0 : 1;
}
