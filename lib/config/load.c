/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From a file or a text to a configuration: read, let jansson parse, walk the
 * tables. All or nothing: whatever is wrong, everything is freed and the one
 * error text says where.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_errno.h>

#include "config_impl.h"

/* jansson's complaint, with what it quotes of the file made printable. */
static int fail_syntax(struct loader *l, const json_error_t *e)
{
	char what[JSON_ERROR_TEXT_LENGTH];
	const char *mend = "mend the JSON";

	if (json_error_code(e) == json_error_out_of_memory)
		return cfg_fail_mem(l);
	if (json_error_code(e) == json_error_duplicate_key)
		mend = "a key may be there once; remove one";
	else if (json_error_code(e) == json_error_null_character)
		mend = "remove the NUL character";
	else if (json_error_code(e) == json_error_invalid_utf8)
		mend = "save the file as UTF-8";
	else if (json_error_code(e) == json_error_stack_overflow)
		mend = "it is nested too deeply";
	if (l->err != NULL && l->err_len > 0)
		snprintf(l->err, l->err_len, "%s:%d: column %d: %s; %s", l->file, e->line > 0 ? e->line : 1,
			e->column > 0 ? e->column : 1, cfg_clean(what, sizeof(what), e->text), mend);
	return -EINVAL;
}

static bool is_blank(const char *text, size_t len)
{
	while (len > 0 && memchr(" \t\r\n", text[len - 1], 4) != NULL)
		len--;
	return len == 0;
}

static int parse(struct loader *l)
{
	json_error_t e;
	json_t *root;
	int rc;

	if (is_blank(l->text, l->len)) {
		snprintf(l->err, l->err_len, "%s:1: (top): is empty; give at least {}", l->file);
		return -EINVAL;
	}
	root = json_loadb(l->text, l->len, JSON_REJECT_DUPLICATES, &e);
	if (root == NULL)
		return fail_syntax(l, &e);
	rc = l->base != NULL && ((const struct cfg_priv *)l->base->priv)->is_addition ?
		cfg_fail(l, "the base is an addition itself; merge it into its own base first") : cfg_base_names(l);
	if (rc == 0)
		rc = cfg_table_parse(l, &cfg_root, root, l->c);
	json_decref(root);
	return rc;
}

struct phca_config *phca_config_parse(const char *name, const char *text, size_t len,
		const struct phca_config *base, const struct phca_config_lookup *lookup, char *err, size_t err_len)
{
	char none[1];
	struct loader l = { .file = name, .text = text, .len = len, .base = base, .lookup = lookup,
		.err = err != NULL && err_len > 0 ? err : none, .err_len = err != NULL && err_len > 0 ? err_len : 1 };
	int rc = -ENOMEM;

	l.err[0] = '\0';
	l.c = calloc(1, sizeof(*l.c));
	l.priv = calloc(1, sizeof(*l.priv));
	if (l.c == NULL || l.priv == NULL) {
		free(l.priv);
		l.priv = NULL;
		cfg_fail_mem(&l);
	} else {
		l.c->priv = l.priv;
		l.priv->is_addition = base != NULL;
		l.c->path = cfg_strdup(&l, name);
		rc = l.c->path == NULL ? cfg_fail_mem(&l) : parse(&l);
	}
	if (rc == 0)
		return l.c;
	phca_config_free(l.c);
	rte_errno = -rc;
	return NULL;
}

/* The whole file, NUL terminated. 0, or negative errno with a reason. */
static int read_all(int fd, char **text, size_t *len)
{
	size_t size = 1 << 16;
	char *buf = malloc(size + 1), *more;
	ssize_t n = 0;

	*len = 0;
	while (buf != NULL && (n = read(fd, buf + *len, size - *len)) > 0) {
		*len += (size_t)n;
		if (*len < size)
			continue;
		if (size >= CFG_FILE_MAX) {
			free(buf);
			return -EFBIG;
		}
		size *= 2;
		more = realloc(buf, size + 1);
		if (more == NULL)
			free(buf);
		buf = more;
	}
	if (buf == NULL)
		return -ENOMEM;
	if (n < 0) {
		int rc = -errno;

		free(buf);
		return rc;
	}
	buf[*len] = '\0';
	*text = buf;
	return 0;
}

struct phca_config *phca_config_load(const char *path, const struct phca_config *base,
		const struct phca_config_lookup *lookup, char *err, size_t err_len)
{
	struct phca_config *c = NULL;
	char *text = NULL;
	size_t len = 0;
	int rc, fd = open(path, O_RDONLY | O_CLOEXEC);

	rc = fd < 0 ? -errno : read_all(fd, &text, &len);
	if (fd >= 0)
		close(fd);
	if (rc == 0) {
		c = phca_config_parse(path, text, len, base, lookup, err, err_len);
		rc = c != NULL ? 0 : -rte_errno;
		free(text);
	} else if (err != NULL && err_len > 0) {
		snprintf(err, err_len, "%s: %s; %s", path,
			rc == -EFBIG ? "is larger than 16 MiB" : strerror(-rc),
			rc == -ENOENT ? "mend the path" : "give a readable JSON file");
	}
	if (c == NULL)
		rte_errno = rc == -ENOENT || rc == -ENOMEM ? -rc : EINVAL;
	return c;
}
