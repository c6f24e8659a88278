/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Find the compiled object of a filter. An absolute path is taken as it is. Any
 * other is tried below the folder of the configuration file, then below each
 * folder of PHCA_FILTER_PATH, then where the build and the installation put the
 * filters. What is kept is the absolute path of a file that can be read.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config_dirs.h"
#include "config_impl.h"

struct search {
	char *found;       /* by realpath */
	char tried[640];   /* "a, b, c" */
	size_t tried_len;
};

static bool try_file(struct search *s, const char *dir, size_t dir_len, const char *object)
{
	char path[PATH_MAX];
	struct stat st;
	int n;

	n = snprintf(path, sizeof(path), "%.*s%s%s", (int)dir_len, dir, dir_len > 0 ? "/" : "", object);
	if (n < 0 || (size_t)n >= sizeof(path))
		return false;
	if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, R_OK) == 0) {
		s->found = realpath(path, NULL);
		return s->found != NULL;
	}
	if (s->tried_len < sizeof(s->tried)) {
		n = snprintf(s->tried + s->tried_len, sizeof(s->tried) - s->tried_len, "%s%s",
			s->tried_len > 0 ? ", " : "", path);
		s->tried_len += n > 0 ? (size_t)n : 0;
	}
	return false;
}

/* Each folder of a list with colons. */
static bool try_list(struct search *s, const char *list, const char *object)
{
	while (list != NULL && *list != '\0') {
		size_t n = strcspn(list, ":");

		if (n > 0 && try_file(s, list, n, object))
			return true;
		list += n + (list[n] == ':');
	}
	return false;
}

int cfg_object_find(struct loader *l, const char *object, const char **found)
{
	struct search s = { .found = NULL };
	const char *slash = strrchr(l->file, '/');
	char tried[sizeof(s.tried)], word[80];

	if (*object == '/') {
		try_file(&s, "", 0, object);
	} else if (!try_file(&s, slash != NULL ? l->file : ".",
			slash == l->file ? 1 : slash != NULL ? (size_t)(slash - l->file) : 1, object) &&
			!try_list(&s, getenv("PHCA_FILTER_PATH"), object)) {
		try_list(&s, PHCA_FILTER_DIRS, object);
	}
	if (s.found == NULL)
		return cfg_fail_key(l, "object", "there is no file \"%s\" (tried %s); compile it, mend the path, "
			"or set PHCA_FILTER_PATH", cfg_clean(word, sizeof(word), object),
			cfg_clean(tried, sizeof(tried), s.tried));
	*found = cfg_strdup(l, s.found);
	free(s.found);
	return *found != NULL ? 0 : cfg_fail_mem(l);
}
