/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands that change something: receiving, filters and their maps, configuration, counters. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_errno.h>

#include "commands.h"
#include "figures.h"
#include "text.h"

void command_start(struct command_args *c)
{
	if (c->a->started) {
		fprintf(c->out, "It receives already\n");
		return;
	}
	control_start(c->a, true);
	fprintf(c->out, "Receiving on %u ports\n", c->a->nb_ports);
}

void command_stop(struct command_args *c)
{
	if (!c->a->started) {
		fprintf(c->out, "It does not receive\n");
		return;
	}
	control_drain(c->a);
	summary_final(c->a, c->out);
	fprintf(c->out, "Stopped receiving\n");
}

void command_quit(struct command_args *c)
{
	c->a->quit = true;
}

void command_delay(struct command_args *c)
{
	char *end;
	unsigned long ms;

	errno = 0;
	ms = strtoul(c->arg[0], &end, 10);
	if (errno || *end || end == c->arg[0] || ms > 3600000) {
		fprintf(c->out, "delay '%s': milliseconds expected, 0..3600000\n", c->arg[0]);
		return;
	}
	pthread_mutex_unlock(&c->a->control);
	control_wait(c->a, false, (int)ms);
	pthread_mutex_lock(&c->a->control);
}

void command_clear_all(struct command_args *c)
{
	figures_clear_all(c->a);
	fprintf(c->out, "All statistics cleared\n");
}

void command_set_map(struct command_args *c)
{
	const struct filter_obj *f = objects_program(c->a, c->arg[0]);
	char err[PHCA_FILTER_ERR_MAX] = "";

	if (!f)
		fprintf(c->out, "filter '%s': there is none; 'show filter all' lists them\n", c->arg[0]);
	else if (phca_filter_map_set(phca_filter_slot_get(&f->slot), c->arg[1], c->arg[2], c->arg[3],
			err, sizeof(err)) < 0)
		fprintf(c->out, "%s\n", err);
	else
		fprintf(c->out, "%s %s: map %s: %s = %s\n",
			phca_filter_kind_of(phca_filter_slot_get(&f->slot))->noun, f->name, c->arg[1],
			c->arg[2], c->arg[3]);
}

void command_del_map(struct command_args *c)
{
	const struct filter_obj *f = objects_program(c->a, c->arg[0]);
	char err[PHCA_FILTER_ERR_MAX] = "";

	if (!f)
		fprintf(c->out, "filter '%s': there is none; 'show filter all' lists them\n", c->arg[0]);
	else if (phca_filter_map_del(phca_filter_slot_get(&f->slot), c->arg[1], c->arg[2], err,
			sizeof(err)) < 0)
		fprintf(c->out, "%s\n", err);
	else
		fprintf(c->out, "%s %s: map %s: %s removed\n",
			phca_filter_kind_of(phca_filter_slot_get(&f->slot))->noun, f->name, c->arg[1], c->arg[2]);
}

/* PARAMETER=VALUE: true and false are bool, numbers integers, the rest strings. */
static bool param_parse(const char *word, struct phca_filter_param *p)
{
	const char *eq = strchr(word, '=');
	char *end;

	if (!eq || eq == word)
		return false;
	p->name = strndup(word, (size_t)(eq - word));
	p->s = strdup(eq + 1);
	if (!p->name || !p->s)
		return false;
	errno = 0;
	if (strcmp(p->s, "true") == 0 || strcmp(p->s, "false") == 0) {
		p->kind = PHCA_FV_BOOL;
		p->u = p->s[0] == 't';
		return true;
	}
	if (p->s[0] == '-') {
		p->kind = PHCA_FV_INT;
		p->i = strtoll(p->s, &end, 0);
	} else {
		p->u = strtoull(p->s, &end, 0);
		p->i = (int64_t)p->u;
		p->kind = p->u > INT64_MAX ? PHCA_FV_UINT : PHCA_FV_INT;
	}
	if (errno || *end || end == p->s)
		p->kind = PHCA_FV_STRING;
	return true;
}

/*
 * The path of FILE: as it is, or beside the object that the filter has now;
 * absolute when it is there, so that "show config" can be loaded from anywhere.
 */
static char *object_path(const char *file, const char *now)
{
	const char *slash = strrchr(now, '/');
	char *beside, *path = realpath(file, NULL);

	if (path || file[0] == '/' || !slash)
		return path ? path : strdup(file);
	if (asprintf(&beside, "%.*s%s", (int)(slash + 1 - now), now, file) < 0)
		return NULL;
	path = realpath(beside, NULL);
	free(beside);
	return path ? path : strdup(file);
}

/* "FILE [program NAME] [PARAMETER=VALUE ...]" on top of what is configured; key: the word before NAME. */
static bool filter_words(struct phca_config_filter *own, const char *now, const char *key, char *line, FILE *out)
{
	char *save = NULL, *word = strtok_r(line, " \t\r\n", &save);

	if (word)
		own->object = object_path(word, now);
	while (own->object && (word = strtok_r(NULL, " \t\r\n", &save)) != NULL) {
		struct phca_filter_param *p;

		if (strcmp(word, key) == 0 && !own->program) {
			word = strtok_r(NULL, " \t\r\n", &save);
			own->program = word ? strdup(word) : NULL;
			if (own->program)
				continue;
			fprintf(out, "'%s' needs a name\n", key);
			return false;
		}
		p = realloc(own->params, (own->nb_params + 1) * sizeof(*p));
		if (!p)
			return false;
		own->params = p;
		memset(&p[own->nb_params], 0, sizeof(*p));
		if (!param_parse(word, &p[own->nb_params++])) {
			fprintf(out, "'%s': PARAMETER=VALUE or '%s NAME' expected\n", word, key);
			return false;
		}
	}
	if (!own->object)
		fprintf(out, "'object' needs a file\n");
	return own->object != NULL;
}

void command_set_filter(struct command_args *c)
{
	struct filter_obj *f = objects_filter(c->a, c->arg[0]);
	struct phca_config_filter *own = calloc(1, sizeof(*own));
	char *line = strdup(c->arg[1]), err[ERR_MAX] = "";

	if (!f) {
		fprintf(c->out, "filter '%s': there is none; 'show filter all' lists them\n", c->arg[0]);
	} else if (own && line && filter_words(own,
			phca_filter_object(phca_filter_slot_get(&f->slot)), "program", line, c->out)) {
		own->name = f->name;
		for (unsigned int i = 0; i < c->a->nb_filters; i++)
			if (c->a->filters[i] == f)
				own->description = c->a->cfg->filters[i].description;
		if (filter_replace(c->a, f, own, err, sizeof(err)) == 0) {
			fprintf(c->out, "filter %s: replaced by %s, program %s\n", f->name, own->object,
				phca_filter_program(phca_filter_slot_get(&f->slot)));
			own = NULL;
		} else {
			fprintf(c->out, "%s\nThe filter is unchanged\n", err);
		}
	}
	filter_conf_free(own);
	free(line);
}

void command_replace_offload(struct command_args *c)
{
	struct offload_obj *o = objects_offload(c->a, c->arg[0]);
	struct phca_config_filter *own = calloc(1, sizeof(*own));
	char *line = strdup(c->arg[1]), err[ERR_MAX] = "";

	if (!o) {
		fprintf(c->out, "offload '%s': there is none; 'show offload all' lists them\n", c->arg[0]);
	} else if (!o->program.slot.cur) {
		fprintf(c->out, "offload %s: driver %s runs no program\n", o->name, phca_offload_ops(o->on[0])->name);
	} else if (own && line && filter_words(own, phca_filter_object(o->program.slot.cur), "function", line,
			c->out)) {
		own->name = o->name;
		if (filter_replace(c->a, &o->program, own, err, sizeof(err)) == 0) {
			fprintf(c->out, "offload %s: replaced by %s, function %s\n", o->name, own->object,
				phca_filter_program(phca_filter_slot_get(&o->program.slot)));
			own = NULL;
		} else {
			fprintf(c->out, "%s\nThe offload is unchanged\n", err);
		}
	}
	filter_conf_free(own);
	free(line);
}

/* Forget what was joined last; its memory stays with the configuration. */
static void counts_restore(struct phca_config *cfg, const struct phca_config *was)
{
	cfg->nb_ports = was->nb_ports;
	cfg->nb_filters = was->nb_filters;
	cfg->nb_offloads = was->nb_offloads;
	cfg->nb_srqs = was->nb_srqs;
	cfg->nb_qps = was->nb_qps;
	cfg->nb_proxy_qps = was->nb_proxy_qps;
	cfg->nb_app_proxy = was->nb_app_proxy;
	cfg->nb_apps = was->nb_apps;
}

void command_load_config(struct command_args *c)
{
	struct appliance *a = c->a;
	char err[ERR_MAX] = "";
	struct phca_config *add = phca_config_load(c->arg[0], a->cfg, &a->lookup, err, sizeof(err));
	struct phca_config was;
	int rc;

	if (!add) {
		fprintf(c->out, "%s\n", err);
		return;
	}
	if (add->nb_ports > 0) {
		fprintf(c->out, "%s: ports cannot be added while it runs; start with them\n", c->arg[0]);
		phca_config_free(add);
		return;
	}
	was = *a->cfg;
	rc = phca_config_merge(a->cfg, add);
	if (rc < 0) {
		fprintf(c->out, "%s: not joined: %s\n", c->arg[0], rte_strerror(-rc));
		phca_config_free(add);
		return;
	}
	if (objects_add(a, err, sizeof(err)) < 0) {
		fprintf(c->out, "%s\nNothing of %s was added\n", err, c->arg[0]);
		counts_restore(a->cfg, &was);
		return;
	}
	fprintf(c->out, "Added %u filters, %u offloads, %u QP groups, %u proxy QP groups, %u entries of "
		"app_proxy, %u apps\n",
		a->cfg->nb_filters - was.nb_filters, a->cfg->nb_offloads - was.nb_offloads,
		a->cfg->nb_qps - was.nb_qps, a->cfg->nb_proxy_qps - was.nb_proxy_qps,
		a->cfg->nb_app_proxy - was.nb_app_proxy, a->cfg->nb_apps - was.nb_apps);
}
