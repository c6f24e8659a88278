/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The prompt on rte_cmdline. Tokens are made at start from the syntax of each
 * command, so that the table in commands.c is the only place that lists them.
 * On a terminal rte_cmdline edits and completes the line; from a pipe or file
 * lines are parsed as they are and echoed behind the prompt.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_common.h>
#include <rte_string_fns.h>

#include <cmdline.h>
#include <cmdline_parse.h>
#include <cmdline_parse_string.h>
#include <cmdline_socket.h>

#include "commands.h"

#define PROMPT "proxyhca> "
#define TOKENS_MAX 8
#define WORD_MAX 512   /* longest argument, NUL included */
#define LINE_LEN 4096

/* What the parser fills in: arguments in order; the last may be the rest of the line. */
struct parsed {
	char arg[COMMAND_ARGS_MAX][WORD_MAX];
	cmdline_multi_string_t rest;
	char word[STR_TOKEN_SIZE]; /* fixed words go here, unused */
};
static_assert(sizeof(struct parsed) <= CMDLINE_PARSE_RESULT_BUFSIZE, "rte_cmdline's buffer");

/* An argument that completes from what exists. rte_cmdline wants the header first. */
struct arg_token {
	struct cmdline_token_hdr hdr;
	struct appliance *a;
	char kind[STR_TOKEN_SIZE];  /* "qp|all" */
};

/* One command, as rte_cmdline wants it. */
struct binding {
	struct appliance *a;
	const struct command *cmd;
	struct cmdline_inst *inst;
	union { struct cmdline_token_string word; struct arg_token arg; } tokens[TOKENS_MAX];
	char words[TOKENS_MAX][STR_TOKEN_SIZE];
	unsigned int nb_args;
	bool has_rest;
};

/* All commands. */
struct prompt {
	struct binding *bindings;
	unsigned int n;
	cmdline_parse_ctx_t *ctx;
};

static int arg_parse(cmdline_parse_token_hdr_t *hdr, const char *src, void *res, unsigned int size)
{
	unsigned int len = 0;

	RTE_SET_USED(hdr);
	while (!cmdline_isendoftoken(src[len]))
		len++;
	if (len == 0 || len >= WORD_MAX || (res && len >= size))
		return -1;
	if (res) {
		memcpy(res, src, len);
		((char *)res)[len] = '\0';
	}
	return (int)len;
}

static int arg_choices(cmdline_parse_token_hdr_t *hdr)
{
	struct arg_token *t = (struct arg_token *)hdr;
	char buf[32];
	int n = 0;

	while (commands_choice(t->a, t->kind, (unsigned int)n, buf, sizeof(buf)))
		n++;
	return n;
}

static int arg_choice(cmdline_parse_token_hdr_t *hdr, int i, char *dst, unsigned int size)
{
	struct arg_token *t = (struct arg_token *)hdr;
	char buf[32];
	const char *word = commands_choice(t->a, t->kind, (unsigned int)i, buf, sizeof(buf));

	return word && rte_strscpy(dst, word, size) >= 0 ? 0 : -1;
}

static int arg_help(cmdline_parse_token_hdr_t *hdr, char *dst, unsigned int size)
{
	struct arg_token *t = (struct arg_token *)hdr;

	snprintf(dst, size, "<%s>", t->kind);
	return 0;
}

static struct cmdline_token_ops arg_ops = {
	.parse = arg_parse, .complete_get_nb = arg_choices, .complete_get_elt = arg_choice,
	.get_help = arg_help,
};

static void run(void *result, struct cmdline *cl, void *data)
{
	struct parsed *p = result;
	struct binding *b = data;
	struct command_args c = { .a = b->a, .out = stdout };

	for (unsigned int i = 0; i < b->nb_args; i++)
		c.arg[i] = i + 1 == b->nb_args && b->has_rest ? p->rest : p->arg[i];
	pthread_mutex_lock(&b->a->control);
	b->cmd->run(&c);
	pthread_mutex_unlock(&b->a->control);
	fflush(stdout);
	if (b->a->quit)
		cmdline_quit(cl);
}

/* One word of the syntax becomes a token. */
static void bind_word(struct binding *b, unsigned int n, const char *word)
{
	struct cmdline_token_string *s = &b->tokens[n].word;
	struct arg_token *t = &b->tokens[n].arg;
	size_t len = strlen(word);

	b->inst->tokens[n] = &b->tokens[n].word.hdr;
	if (word[0] != '<') {
		rte_strscpy(b->words[n], word, sizeof(b->words[n]));
		s->hdr.ops = &cmdline_token_string_ops;
		s->hdr.offset = offsetof(struct parsed, word);
		s->string_data.str = b->words[n];
	} else if (len > 5 && strcmp(word + len - 4, "...>") == 0) {
		s->hdr.ops = &cmdline_token_string_ops;
		s->hdr.offset = offsetof(struct parsed, rest);
		s->string_data.str = TOKEN_STRING_MULTI;
		b->has_rest = true;
		b->nb_args++;
	} else {
		snprintf(t->kind, sizeof(t->kind), "%.*s", (int)len - 2, word + 1);
		t->a = b->a;
		t->hdr.ops = &arg_ops;
		t->hdr.offset = (unsigned int)offsetof(struct parsed, arg) + b->nb_args++ * WORD_MAX;
	}
}

static int bind_command(struct binding *b, struct appliance *a, const struct command *cmd)
{
	char syntax[256], *save = NULL, *word;
	unsigned int n = 0;

	b->a = a;
	b->cmd = cmd;
	b->inst = calloc(1, sizeof(*b->inst) + (TOKENS_MAX + 1) * sizeof(b->inst->tokens[0]));
	if (!b->inst || rte_strscpy(syntax, cmd->syntax, sizeof(syntax)) < 0)
		return -ENOMEM;
	for (word = strtok_r(syntax, " ", &save); word && n < TOKENS_MAX; n++) {
		bind_word(b, n, word);
		word = strtok_r(NULL, " ", &save);
	}
	b->inst->f = run;
	b->inst->data = b;
	b->inst->help_str = cmd->help;
	return 0;
}

static void prompt_free(struct prompt *p)
{
	for (unsigned int i = 0; p->bindings && i < p->n; i++)
		free(p->bindings[i].inst);
	free(p->bindings);
	free(p->ctx);
}

static int prompt_make(struct prompt *p, struct appliance *a)
{
	*p = (struct prompt){ 0 };
	while (commands_at(p->n))
		p->n++;
	p->bindings = calloc(p->n, sizeof(*p->bindings));
	p->ctx = calloc(p->n + 1, sizeof(*p->ctx));
	for (unsigned int i = 0; i < p->n; i++) {
		if (!p->bindings || !p->ctx || bind_command(&p->bindings[i], a, commands_at(i)) < 0) {
			prompt_free(p);
			return -ENOMEM;
		}
		p->ctx[i] = p->bindings[i].inst;
	}
	return 0;
}

/* One line that was not typed at a terminal; there is room for one more character. */
static void line_run(struct cmdline *cl, const char *where, unsigned int no, char *line)
{
	char at[300] = "";

	line[strcspn(line, "\r\n")] = '\0';
	if (strchr("#", line[strspn(line, " \t")]))
		return; /* empty, or a comment */
	if (where)
		snprintf(at, sizeof(at), "%s:%u: ", where, no);
	printf(PROMPT "%s\n", line);
	fflush(stdout);
	line[strlen(line) + 1] = '\0';
	line[strlen(line)] = '\n';
	switch (cmdline_parse(cl, line)) {
	case CMDLINE_PARSE_AMBIGUOUS:
		printf("%sambiguous command; 'help' lists all\n", at);
		break;
	case CMDLINE_PARSE_NOMATCH:
		printf("%scommand not found; 'help' lists all\n", at);
		break;
	case CMDLINE_PARSE_BAD_ARGS:
		printf("%sbad arguments; 'help' lists all commands with theirs\n", at);
		break;
	default:
		break;
	}
	fflush(stdout);
}

/* A line of a file; of one that is too long nothing is run. @return whether there was one */
static bool line_read(FILE *in, char *line, const char *path, unsigned int no)
{
	int c;

	if (!fgets(line, LINE_LEN, in))
		return false;
	if (strchr(line, '\n') || feof(in))
		return true;
	do {
		c = fgetc(in);
	} while (c != '\n' && c != EOF);
	printf("%s:%u: line longer than %d characters ignored\n", path, no, LINE_LEN - 2);
	line[0] = '\0';
	return true;
}

int prompt_file(struct appliance *a, const char *path)
{
	FILE *in = fopen(path, "r");
	char line[LINE_LEN + 2];
	struct prompt p;
	struct cmdline *cl;
	int rc = -ENOMEM;

	if (!in) {
		rc = -errno;
		fprintf(stderr, "dpdk-proxyhca: --cmdline-file %s: %s\n", path, strerror(-rc));
		return rc;
	}
	if (prompt_make(&p, a) < 0) {
		fclose(in);
		return rc;
	}
	cl = cmdline_new(p.ctx, PROMPT, -1, -1);
	for (unsigned int no = 1; cl && !a->quit && line_read(in, line, path, no); no++)
		line_run(cl, path, no, line);
	if (cl) {
		cmdline_free(cl);
		rc = 0;
	}
	prompt_free(&p);
	fclose(in);
	if (rc == 0)
		printf("Read CLI commands from %s\n", path);
	fflush(stdout);
	return rc;
}

/* Whole lines out of @p buf; @return what is left in it. */
static size_t lines_run(struct appliance *a, struct cmdline *cl, char *buf, size_t len, bool end)
{
	char line[LINE_LEN + 2];
	char *nl;

	while (!a->quit && ((nl = memchr(buf, '\n', len)) != NULL || (end && len > 0))) {
		size_t n = nl ? (size_t)(nl - buf) + 1 : len;

		memcpy(line, buf, n);
		line[n] = '\0';
		memmove(buf, buf + n, len - n);
		len -= n;
		line_run(cl, NULL, 0, line);
	}
	return len;
}

/* Commands from a pipe or file on stdin, until its end. */
static void pipe_run(struct appliance *a, struct cmdline *cl)
{
	char buf[LINE_LEN];
	size_t len = 0;

	while (!a->quit && control_wait(a, true, -1) == 1) {
		ssize_t n = read(STDIN_FILENO, buf + len, sizeof(buf) - len);

		if (n > 0)
			len += (size_t)n;
		len = lines_run(a, cl, buf, len, n <= 0);
		if (n <= 0)
			return;
		if (len == sizeof(buf)) {
			printf("line longer than %d characters ignored\n", LINE_LEN);
			len = 0;
		}
	}
}

/* Commands from a terminal, edited by rte_cmdline; Ctrl-D leaves. */
static void terminal_run(struct appliance *a, struct cmdline *cl)
{
	char buf[64];

	while (!a->quit && control_wait(a, true, -1) == 1) {
		ssize_t n = read(STDIN_FILENO, buf, sizeof(buf));

		if (n <= 0 || cmdline_in(cl, buf, (int)n) < 0)
			return;
	}
}

int prompt_run(struct appliance *a)
{
	bool terminal = isatty(STDIN_FILENO);
	struct cmdline *cl;
	struct prompt p;

	if (prompt_make(&p, a) < 0)
		return -ENOMEM;
	fflush(stdout);
	cl = terminal ? cmdline_stdin_new(p.ctx, PROMPT) : cmdline_new(p.ctx, PROMPT, -1, -1);
	if (!cl) {
		prompt_free(&p);
		return -ENOMEM;
	}
	if (terminal) {
		terminal_run(a, cl);
		cmdline_quit(cl);
		cmdline_stdin_exit(cl); /* the terminal is as it was */
	} else {
		pipe_run(a, cl);
		cmdline_free(cl);
	}
	prompt_free(&p);
	return 0;
}
