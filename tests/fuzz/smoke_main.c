/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Runs a fuzz target without libFuzzer, so that any build (gcc, sanitizers) can:
 * all seeds as they are, then seeded random mutations of them. The same seed
 * gives the same inputs everywhere.
 *
 *   smoke-NAME INPUTS CORPUS-FOLDER...
 *
 * The input under way is kept in the file named by PHCA_SMOKE_SAVE when the
 * target aborts; run that alone with: smoke-NAME 0 FOLDER-OF-IT
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "fuzz_check.h"

#define SEEDS_MAX 4096
#define INPUT_MAX 65536

struct input {
	uint8_t *data;
	size_t size;
};

static struct input seeds[SEEDS_MAX], now;
static size_t seeds_count;
static uint64_t state = 0x5eed;

static uint64_t next_rand(void)
{
	uint64_t z = state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* A signal handler: only what is safe in one. */
static void on_abort(int sig)
{
	const char *name = getenv("PHCA_SMOKE_SAVE");
	int fd = name != NULL ? open(name, O_CREAT | O_TRUNC | O_WRONLY, 0644) : -1;

	if (fd >= 0 && write(fd, now.data, now.size) == (ssize_t)now.size)
		close(fd);
	raise(sig); /* SA_RESETHAND: now it ends the program */
}

static void seed_load(const char *dir, const char *name)
{
	struct input in = { .data = malloc(INPUT_MAX) };
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "rb");
	if (in.data == NULL || f == NULL || seeds_count == SEEDS_MAX) {
		fprintf(stderr, "smoke: cannot take %s (seed %zu of at most %d)\n", path,
			seeds_count + 1, SEEDS_MAX);
		exit(1);
	}
	in.size = fread(in.data, 1, INPUT_MAX, f);
	fclose(f);
	/* exactly as long as it is, for AddressSanitizer */
	in.data = realloc(in.data, in.size + (in.size == 0));
	seeds[seeds_count++] = in;
}

static int by_size_then_bytes(const void *a, const void *b)
{
	const struct input *x = a, *y = b;

	if (x->size != y->size)
		return x->size < y->size ? -1 : 1;
	return memcmp(x->data, y->data, x->size);
}

static void corpus_load(const char *dir)
{
	DIR *d = opendir(dir);

	if (d == NULL) {
		fprintf(stderr, "smoke: no corpus folder %s\n", dir);
		exit(1);
	}
	for (struct dirent *e; (e = readdir(d)) != NULL;)
		if (e->d_name[0] != '.')
			seed_load(dir, e->d_name);
	closedir(d);
}

/* Puts n bytes of the seed other into in, over or between what is there. */
static void mix_in(struct input *in, const struct input *other)
{
	size_t at = next_rand() % (in->size + 1), from, n;

	if (other->size == 0)
		return;
	from = next_rand() % other->size;
	n = 1 + next_rand() % (other->size - from);
	if (at + n > INPUT_MAX)
		return;
	memcpy(in->data + at, other->data + from, n);
	if (at + n > in->size)
		in->size = at + n;
}

static void mutate(struct input *in)
{
	static const uint8_t edges[] = { 0x00, 0x01, 0x7f, 0x80, 0xff };
	size_t at = in->size > 0 ? next_rand() % in->size : 0;

	switch (in->size > 0 ? next_rand() % 8 : 6) {
	case 0: case 1:
		in->data[at] ^= (uint8_t)(1u << (next_rand() & 7));
		break;
	case 2:
		in->data[at] = (uint8_t)next_rand();
		break;
	case 3:
		in->data[at] = edges[next_rand() % sizeof(edges)];
		break;
	case 4: /* cut */
		in->size = at;
		break;
	case 5: /* take out */
		memmove(in->data + at, in->data + at + 1, in->size - at - 1);
		in->size--;
		break;
	case 6: /* put in */
		if (in->size < INPUT_MAX) {
			memmove(in->data + at + 1, in->data + at, in->size - at);
			in->data[at] = (uint8_t)next_rand();
			in->size++;
		}
		break;
	default:
		mix_in(in, &seeds[next_rand() % seeds_count]);
	}
}

static void run(const struct input *in)
{
	now.data = malloc(in->size + (in->size == 0));
	now.size = in->size;
	if (now.data == NULL)
		abort();
	memcpy(now.data, in->data, in->size);
	LLVMFuzzerTestOneInput(now.data, now.size);
	free(now.data);
}

int main(int argc, char **argv)
{
	const char *longer = getenv("PHCA_TEST_LONG");
	unsigned long n = argc > 1 ? strtoul(argv[1], NULL, 0) : 0;
	struct sigaction action = { .sa_handler = on_abort, .sa_flags = SA_RESETHAND };
	struct input in = { .data = malloc(INPUT_MAX) };

	for (int i = 2; i < argc; i++)
		corpus_load(argv[i]);
	if (seeds_count == 0 || in.data == NULL) {
		fprintf(stderr, "smoke: no seeds; usage: %s INPUTS CORPUS-FOLDER...\n", argv[0]);
		return 1;
	}
	/* the order of readdir is not the same everywhere */
	qsort(seeds, seeds_count, sizeof(seeds[0]), by_size_then_bytes);
	if (longer != NULL && strcmp(longer, "1") == 0)
		n *= 50;
	sigaction(SIGABRT, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
	for (size_t i = 0; i < seeds_count; i++)
		run(&seeds[i]);
	for (unsigned long i = 0; i < n; i++) {
		const struct input *seed = &seeds[next_rand() % seeds_count];

		memcpy(in.data, seed->data, seed->size);
		in.size = seed->size;
		for (uint64_t k = 1 + next_rand() % 4; k > 0; k--)
			mutate(&in);
		run(&in);
	}
	printf("%zu seeds, %lu mutations\n", seeds_count, n);
	printf("tests 1 passed 0 failed 0 skipped\n");
	for (size_t i = 0; i < seeds_count; i++)
		free(seeds[i].data);
	free(in.data);
	return 0;
}
