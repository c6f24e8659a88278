/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Files that mean no good: each is refused with a text that fits, or loads.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include <rte_errno.h>

#include "config_test.h"

static bool refused_has(const char *text, size_t len, const char *part)
{
	struct phca_config *c = phca_config_parse("my.json", text, len, NULL, NULL, cfg_err, sizeof(cfg_err));
	bool ok = c == NULL && rte_errno == EINVAL && strncmp(cfg_err, "my.json:", 8) == 0 &&
		strstr(cfg_err, part) != NULL;

	if (!ok)
		printf("  want: %s\n  got:  %s\n", part, c != NULL ? "accepted" : cfg_err);
	phca_config_free(c);
	return ok;
}
#define REFUSED(text, part) CU_ASSERT(refused_has(text, sizeof(text) - 1, part))

/* n times s, between begin and end. */
static char *repeat(const char *begin, const char *s, size_t n, const char *end)
{
	size_t b = strlen(begin), len = strlen(s), e = strlen(end);
	char *text = malloc(b + n * len + e + 1);

	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	memcpy(text, begin, b);
	for (size_t i = 0; i < n; i++)
		memcpy(text + b + i * len, s, len);
	memcpy(text + b + n * len, end, e + 1);
	return text;
}

PHCA_TEST(hostile, syntax)
{
	REFUSED("", "1: (top): is empty; give at least {}");
	REFUSED(" \n\t ", "1: (top): is empty");
	REFUSED("{\n\"a\":\n}", "3: column ");
	REFUSED("{} x", "end of file expected");
	REFUSED("{\"ports\":[],\n\"ports\":[]}", "2: column 7: duplicate object key");
	REFUSED("{\"ports\":[],\n\"p\\u006frts\":[]}", "duplicate object key");
	REFUSED("[]", "1: (top): is an array; give an object, configuration");
	REFUSED("// no comments\n{}", "expected near '/'");
	REFUSED("{\"memory\":{\"mbufs\":NaN}}", "invalid token");
	REFUSED("{\"memory\":{\"mbufs\":0x10}}", "expected near");
	REFUSED("{,}", "expected near");
}

PHCA_TEST(hostile, bytes)
{
	REFUSED("{\"description\":\"a\\u0000b\"}", "remove the NUL character");
	REFUSED("{\"description\":\"a\0b\"}", "1: column ");
	REFUSED("{\"a\\u0000b\":1}", "1: column ");
	REFUSED("{\"description\":\"\xff\"}", "save the file as UTF-8");
	REFUSED("{\"description\":\"\xc0\x80\"}", "save the file as UTF-8");
	REFUSED("{\"description\":\"\xed\xa0\x80\"}", "save the file as UTF-8");
	REFUSED("{\"description\":\"\\ud800\"}", "1: column ");
	REFUSED("\xef\xbb\xbf{}", "1: column ");
	REFUSED("\0", "1: column ");
}

PHCA_TEST(hostile, numbers)
{
	REFUSED("{\"memory\":{\"mbufs\":1e400}}", "1: column ");
	REFUSED("{\"memory\":{\"mbufs\":99999999999999999999999}}", "too big integer");
	REFUSED("{\"memory\":{\"mbufs\":-9223372036854775808}}",
		"memory.mbufs: -9223372036854775808 is out of range");
	REFUSED("{\"memory\":{\"mbufs\":9223372036854775807}}", "is out of range");
	REFUSED("{\"memory\":{\"mbufs\":1e19}}", "memory.mbufs: is no whole number");
	REFUSED("{\"memory\":{\"mbufs\":16384.5}}", "memory.mbufs: is no whole number");
	REFUSED("{\"memory\":{\"mbufs\":4294967296}}", "4294967296 is out of range"); /* 0 in 32 bits */
}

PHCA_TEST(hostile, nesting)
{
	char *text = repeat("", "[", 1 << 20, ""), *open;

	CU_ASSERT(refused_has(text, strlen(text), "it is nested too deeply"));
	free(text);
	open = repeat("{\"ports\":", "[", 1000, "");
	text = repeat(open, "]", 1000, "}");
	free(open);
	CU_ASSERT(refused_has(text, strlen(text), "1: ports[0]: is an array; give an object, port"));
	free(text);
}

PHCA_TEST(hostile, long_names_fit_into_the_error)
{
	char *key = repeat("{\"", "k", 1 << 20, "\":1}");
	char *ref = repeat("{" PORT "," APP ",\"qps\":[{\"name\":\"a\",\"type\":\"UD\",\"app\":\"", "s",
		1 << 20, "\"}]}");
	char *maps = repeat("{\"filters\":[{\"name\":\"f\",\"object\":\"x.o\",\"maps\":{\"m\":{\"", "y", 1 << 16,
		"\":1}}}]}");
	char *object = repeat("{\"filters\":[{\"name\":\"f\",\"object\":\"", "o", 1 << 16, "\"}]}");

	CU_ASSERT(refused_has(key, strlen(key), "...\"; remove it"));
	CU_ASSERT(refused_has(ref, strlen(ref), "...\"; add it to \"apps\""));
	CU_ASSERT(refused_has(maps, strlen(maps), "give 1..255 printable ASCII characters"));
	CU_ASSERT(refused_has(object, strlen(object), "there is no file"));
	free(key);
	free(ref);
	free(maps);
	free(object);
}

PHCA_TEST(hostile, ten_megabytes)
{
	char *big = repeat("{\"description\":\"", "0123456789abcdef", 10 << 16, "\"}");
	char *lines = repeat("{", "\n", 10 << 20, "\"x\":1}");
	char *nets = repeat("{\"neighbourz\":[", "{\"address\":\"192.0.2.9\"},", 400000, "0]}");
	struct phca_config *c = cfg_text(big);

	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	CU_ASSERT_EQUAL(strlen(c->description), 10 << 20);
	phca_config_free(c);
	CU_ASSERT(refused_has(lines, strlen(lines), "my.json:10485761: x: configuration has no key"));
	CU_ASSERT(refused_has(nets, strlen(nets), "1: neighbourz: configuration has no key"));
	free(big);
	free(lines);
	free(nets);
}

PHCA_TEST(hostile, too_many)
{
	char *ports = repeat("{\"ports\":[", "{},", 4, "{}]}");
	char *qps = repeat("{" PORT "," APP ",\"qps\":[", "{},", 5000, "{}]}");

	CU_ASSERT(refused_has(ports, strlen(ports), "1: ports: has 5 elements; give 0..4"));
	CU_ASSERT(refused_has(qps, strlen(qps), "1: qps: has 5001 elements; give 0..4096"));
	free(ports);
	free(qps);
}

PHCA_TEST(hostile, files)
{
	char name[] = "/tmp/phca-config-XXXXXX", want[80];
	static char zero[1 << 16];
	int fd = mkstemp(name);

	CU_ASSERT_FATAL(fd >= 0);
	/* empty */
	CU_ASSERT_PTR_NULL(phca_config_load(name, NULL, NULL, cfg_err, sizeof(cfg_err)));
	snprintf(want, sizeof(want), "%s:1: (top): is empty; give at least {}", name);
	CU_ASSERT_STRING_EQUAL(cfg_err, want);
	CU_ASSERT_EQUAL(rte_errno, EINVAL);
	/* larger than is read */
	for (unsigned int i = 0; i < (17u << 20) / sizeof(zero); i++)
		CU_ASSERT_EQUAL(write(fd, zero, sizeof(zero)), (ssize_t)sizeof(zero));
	close(fd);
	CU_ASSERT_PTR_NULL(phca_config_load(name, NULL, NULL, cfg_err, sizeof(cfg_err)));
	CU_ASSERT_PTR_NOT_NULL(strstr(cfg_err, "is larger than 16 MiB"));
	unlink(name);
	CU_ASSERT_PTR_NULL(phca_config_load(name, NULL, NULL, cfg_err, sizeof(cfg_err)));
	CU_ASSERT_EQUAL(rte_errno, ENOENT);
	snprintf(want, sizeof(want), "%s: No such file or directory; mend the path", name);
	CU_ASSERT_STRING_EQUAL(cfg_err, want);
	/* a directory */
	CU_ASSERT_PTR_NULL(phca_config_load("/tmp", NULL, NULL, cfg_err, sizeof(cfg_err)));
	CU_ASSERT_EQUAL(rte_errno, EINVAL);
	CU_ASSERT_STRING_EQUAL(cfg_err, "/tmp: Is a directory; give a readable JSON file");
}

PHCA_TEST(hostile, error_buffers_of_any_size)
{
	char small[8];

	memset(small, 'x', sizeof(small));
	CU_ASSERT_PTR_NULL(phca_config_parse("my.json", "{\"x\":1}", 7, NULL, NULL, small, 4));
	CU_ASSERT_STRING_EQUAL(small, "my.");
	CU_ASSERT_EQUAL(small[4], 'x');
	CU_ASSERT_PTR_NULL(phca_config_parse("my.json", "{\"x\":1}", 7, NULL, NULL, NULL, 0));
	CU_ASSERT_PTR_NULL(phca_config_parse("my.json", "", 0, NULL, NULL, NULL, 0));
	CU_ASSERT_PTR_NULL(phca_config_parse("my.json", "{", 1, NULL, NULL, small, 0));
	CU_ASSERT_PTR_NULL(phca_config_load("/", NULL, NULL, NULL, 0));
	phca_config_free(NULL);
}
