/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What needs more than one key to check, and defaults that depend on others.
 * These run when all keys of an object have been read; whatever the JSON schema
 * cannot say is here, in object.c, or in check of names and references.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "config_impl.h"

/* ------------------------------------------------------------------- port */

static bool in_prefix(const struct phca_net_addr *a, const uint8_t gid[16])
{
	unsigned int bits = a->ip6 ? a->prefix_len : 96u + a->prefix_len;
	unsigned int whole = bits / 8, rest = bits % 8;

	if (memcmp(a->gid, gid, whole) != 0)
		return false;
	return rest == 0 || ((a->gid[whole] ^ gid[whole]) & (0xff00 >> rest) & 0xff) == 0;
}

static int check_gateway(struct loader *l, const struct phca_config_port *p, const char *key,
		const uint8_t gid[16], bool ip6)
{
	if (gid[0] == 0xfe && (gid[1] & 0xc0) == 0x80)
		return 0; /* link-local */
	for (unsigned int i = 0; i < p->nb_addrs; i++) {
		if (memcmp(p->addrs[i].gid, gid, 16) == 0)
			return cfg_fail_key(l, key, "is the port's own address; give that of the gateway");
		if (p->addrs[i].ip6 == ip6 && in_prefix(&p->addrs[i], gid))
			return 0;
	}
	return cfg_fail_key(l, key, "is in no prefix of the port; add an address of its network, or mend it");
}

static int check_neighs(struct loader *l, const struct phca_config_port *p)
{
	int rc = 0;

	cfg_push_key(l, "neighbours");
	for (unsigned int i = 0; i < p->nb_neighs; i++) {
		cfg_push_idx(l, i);
		for (unsigned int j = 0; rc == 0 && j < i; j++)
			if (memcmp(p->neighs[i].gid, p->neighs[j].gid, 16) == 0)
				rc = cfg_fail_key(l, "address", "is that of neighbour [%u] already; remove one", j);
		for (unsigned int j = 0; rc == 0 && j < p->nb_addrs; j++)
			if (memcmp(p->neighs[i].gid, p->addrs[j].gid, 16) == 0)
				rc = cfg_fail_key(l, "address", "is an address of the port itself; remove it");
		if (rc != 0)
			return rc;
		cfg_pop(l);
	}
	cfg_pop(l);
	return 0;
}

static int same_device(struct loader *l, const struct phca_config_port *p, const struct phca_config *c)
{
	for (unsigned int i = 0; c != NULL && i < c->nb_ports; i++) {
		const struct phca_config_port *o = &c->ports[i];

		if (p->device != NULL ? o->device != NULL && strcmp(p->device, o->device) == 0 : p->id == o->id)
			return cfg_fail_key(l, p->device != NULL ? "device" : "id",
				"port \"%s\" uses this device already; give another", o->name);
	}
	return 0;
}

int cfg_port_finish(struct loader *l, void *obj, const json_t *v)
{
	struct phca_config_port *p = obj;
	int rc;

	(void)v;
	if (p->device == NULL && p->id < 0)
		return cfg_fail(l, "port lacks key \"device\" (name of the DPDK port) or \"id\"; add one of them");
	if (p->device != NULL && p->id >= 0)
		return cfg_fail_key(l, "id", "there is a \"device\" too; remove one of them");
	rc = same_device(l, p, l->c);
	if (rc == 0)
		rc = same_device(l, p, l->base);
	if (rc == 0 && p->has_gw4)
		rc = check_gateway(l, p, "gateway4", p->gw4, false);
	if (rc == 0 && p->has_gw6)
		rc = check_gateway(l, p, "gateway6", p->gw6, true);
	return rc != 0 ? rc : check_neighs(l, p);
}

/* --------------------------------------------------- filters and drivers */

int cfg_filter_finish(struct loader *l, void *obj, const json_t *v)
{
	struct phca_config_filter *f = obj;

	(void)v;
	return cfg_object_find(l, f->object, &f->object);
}

static const char *next_setting(void *arg, unsigned int i)
{
	const struct phca_setting *t = arg;

	return t[i].name;
}

static int check_setting(struct loader *l, const char *driver, const struct phca_setting *table,
		const struct phca_setting_arg *a)
{
	static const char *const kinds[] = { "a number", "true or false", "a string" };
	const struct phca_setting *s = table;
	const char *near;

	while (s != NULL && s->name != NULL && strcmp(s->name, a->name) != 0)
		s++;
	if (s == NULL || s->name == NULL) {
		near = table != NULL ? cfg_nearest(a->name, next_setting, (void *)(uintptr_t)table) : NULL;
		if (near != NULL)
			return cfg_fail(l, "driver \"%s\" has no setting \"%s\"; did you mean \"%s\"?",
				driver, a->name, near);
		return cfg_fail(l, "driver \"%s\" has no setting \"%s\"; remove it", driver, a->name);
	}
	if (a->kind != s->kind)
		return cfg_fail(l, "is %s; give %s: %s", kinds[a->kind], kinds[s->kind], s->help);
	if (s->kind == PHCA_SETTING_UINT && (a->u < s->min || a->u > s->max))
		return cfg_fail(l, "%" PRIu64 " is out of range; give %" PRIu64 "..%" PRIu64 ": %s",
			a->u, s->min, s->max, s->help);
	return 0;
}

/* The settings of a driver against its table, so that an error has its place. */
static int check_settings(struct loader *l, const char *driver, const struct phca_setting *table,
		const struct phca_setting_arg *args, unsigned int n)
{
	cfg_push_key(l, "settings");
	for (unsigned int i = 0; i < n; i++) {
		int rc;

		cfg_push_key(l, args[i].name);
		rc = check_setting(l, driver, table, &args[i]);
		if (rc != 0)
			return rc;
		cfg_pop(l);
	}
	for (const struct phca_setting *s = table; s != NULL && s->name != NULL; s++) {
		unsigned int i = 0;

		while (i < n && strcmp(args[i].name, s->name) != 0)
			i++;
		if (i == n && s->kind == PHCA_SETTING_STRING && s->def_str == NULL)
			return cfg_fail(l, "driver \"%s\" needs setting \"%s\" (%s); add it", driver, s->name, s->help);
	}
	cfg_pop(l);
	return 0;
}

static const char *next_driver(void *arg, unsigned int i)
{
	const char *const *names = arg;

	return names[i];
}

static int no_driver(struct loader *l, const char *what, const char *driver, const char *const *names)
{
	const char *near = names != NULL ? cfg_nearest(driver, next_driver, (void *)(uintptr_t)names) : NULL;
	char list[256] = "";
	size_t n = 0;

	if (near != NULL)
		return cfg_fail_key(l, "driver", "there is no %s driver \"%s\"; did you mean \"%s\"?",
			what, driver, near);
	for (unsigned int i = 0; names != NULL && names[i] != NULL && n < sizeof(list); i++)
		n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s", i > 0 ? ", " : "", names[i]);
	return cfg_fail_key(l, "driver", "there is no %s driver \"%s\"; give one that this program has%s%s", what,
		driver, n > 0 ? ": " : "", list);
}

int cfg_offload_finish(struct loader *l, void *obj, const json_t *v)
{
	struct phca_config_offload *o = obj;
	const struct phca_offload_ops *ops;

	(void)v;
	o->program.name = o->name;
	if (l->lookup == NULL || l->lookup->offload == NULL)
		return 0;
	ops = l->lookup->offload(o->driver);
	if (ops == NULL)
		return no_driver(l, "offload", o->driver, l->lookup->offload_names);
	if (ops->program == NULL && o->has_program)
		return cfg_fail_key(l, "program", "driver \"%s\" runs no program; remove it", o->driver);
	if (ops->program != NULL && !o->has_program)
		return cfg_fail(l, "offload lacks key \"program\" (the program that driver \"%s\" runs); add it",
			o->driver);
	return check_settings(l, o->driver, ops->settings, o->args, o->nb_args);
}

int cfg_app_finish(struct loader *l, void *obj, const json_t *v)
{
	const struct phca_config_app *a = obj;
	const struct phca_app_ops *ops;

	(void)v;
	if (l->lookup == NULL || l->lookup->app == NULL)
		return 0;
	ops = l->lookup->app(a->driver);
	if (ops == NULL)
		return no_driver(l, "application", a->driver, l->lookup->app_names);
	return check_settings(l, a->driver, ops->settings, a->args, a->nb_args);
}

/* --------------------------------------------------------------------- QP */

const char *cfg_qp_types(unsigned int only, const char *sep, char *buf, size_t size)
{
	size_t n = 0;

	buf[0] = '\0';
	for (unsigned int t = PHCA_QPT_RC; t <= PHCA_QPT_UD; t++)
		if ((only & 1u << t) != 0 && n < size)
			n += (size_t)snprintf(buf + n, size - n, "%s%s", n > 0 ? sep : "",
				phca_qp_type_str(t));
	return buf;
}

bool cfg_qp_applies(const struct key *k, const void *obj)
{
	const struct phca_config_qp *qp = obj;

	return k->only == 0 || (k->only & 1u << qp->init.type) != 0;
}

static const struct phca_config_port *qp_port(const struct loader *l, const struct phca_config_qp *qp)
{
	unsigned int base = l->priv->nb_base[SEC_PORT], idx = (unsigned int)qp->port;

	return idx < base ? &l->base->ports[idx] : &l->c->ports[idx - base];
}

static int same_qpn(struct loader *l, const struct phca_config_qp *qp, const struct phca_config *c)
{
	for (unsigned int i = 0; c != NULL && qp->init.qpn != 0 && i < c->nb_qps; i++) {
		const struct phca_config_qp *o = &c->qps[i];

		if (o->init.qpn != 0 && qp->init.qpn < o->init.qpn + o->count &&
				o->init.qpn < qp->init.qpn + qp->count)
			return cfg_fail_key(l, "qpn", "0x%x..0x%x overlaps with QP \"%s\", 0x%x..0x%x; "
				"give other numbers",
				qp->init.qpn, qp->init.qpn + qp->count - 1, o->name, o->init.qpn,
				o->init.qpn + o->count - 1);
	}
	return 0;
}

static int check_mtu(struct loader *l, struct phca_config_qp *qp)
{
	const struct phca_config_port *port = qp_port(l, qp);

	if (qp->init.type == PHCA_QPT_UD)
		return 0;
	if (qp->attr.path_mtu == 0)
		qp->attr.path_mtu = port->mtu;
	if (qp->attr.path_mtu > port->mtu)
		return cfg_fail_key(l, "path_mtu", "%u is more than mtu %u of port \"%s\"; lower it",
			qp->attr.path_mtu, port->mtu, port->name);
	return 0;
}

int cfg_srq_finish(struct loader *l, void *obj, const json_t *v)
{
	const struct phca_config_srq *srq = obj;

	(void)v;
	if (srq->init.limit > srq->init.max_wr)
		return cfg_fail_key(l, "limit", "%u is more than max_wr %u; lower it", srq->init.limit,
			srq->init.max_wr);
	return 0;
}

/* Whose it is: an application's, or an offload's that has use for it. */
static int check_owner(struct loader *l, const struct phca_config_qp *qp)
{
	unsigned int base = l->priv->nb_base[SEC_OFFLOAD], idx = (unsigned int)qp->offload;
	const struct phca_config_offload *o;
	const struct phca_offload_ops *ops;

	if (qp->app < 0 && qp->offload < 0)
		return cfg_fail(l, "qp lacks key \"app\" (application that owns it) or \"offload\"; add one of them");
	if (qp->offload < 0)
		return 0;
	if (qp->app >= 0)
		return cfg_fail_key(l, "offload", "and \"app\" are both given; a QP belongs to one of them, "
			"remove the other");
	if (qp->init.type == PHCA_QPT_UD)
		return cfg_fail_key(l, "offload", "has peers on QPs of type \"RC\" or \"UC\", and this is \"UD\"; "
			"give it a peer, or to an app");
	if (qp->srq >= 0)
		return cfg_fail_key(l, "srq", "a QP of an offload takes no receives, its requests go to the offload; "
			"remove it");
	o = idx < base ? &l->base->offloads[idx] : &l->c->offloads[idx - base];
	ops = l->lookup != NULL && l->lookup->offload != NULL ? l->lookup->offload(o->driver) : NULL;
	if (ops != NULL && ops->peer == NULL)
		return cfg_fail_key(l, "offload", "driver \"%s\" of offload \"%s\" has no use for QPs of its own; "
			"give the QP to an app", o->driver, o->name);
	return 0;
}

/* A QP with an SRQ: both of one application; the receives are the SRQ's. */
static int check_srq(struct loader *l, struct phca_config_qp *qp, const json_t *v)
{
	unsigned int base = l->priv->nb_base[SEC_SRQ], idx = (unsigned int)qp->srq;
	const struct phca_config_srq *srq;

	if (qp->srq < 0)
		return 0;
	srq = idx < base ? &l->base->srqs[idx] : &l->c->srqs[idx - base];
	if (srq->app != qp->app)
		return cfg_fail_key(l, "srq", "SRQ \"%s\" belongs to another app than this QP; "
			"give one of the same", srq->name);
	if (json_object_get(v, "max_recv_wr") != NULL && qp->init.max_recv_wr != 0)
		return cfg_fail_key(l, "max_recv_wr", "the QP's receives are those of its \"srq\"; remove one");
	qp->init.max_recv_wr = 0;
	return 0;
}

/* What has no way there would only be told by retries that run out. UC may receive without one. */
static bool has_way(const struct phca_config_port *p, const uint8_t gid[16])
{
	bool ip6 = !phca_gid_is_ip4(gid);

	if (ip6 ? p->has_gw6 || (gid[0] == 0xfe && (gid[1] & 0xc0) == 0x80) : p->has_gw4)
		return true;
	for (unsigned int i = 0; i < p->nb_addrs; i++)
		if (p->addrs[i].ip6 == ip6 && in_prefix(&p->addrs[i], gid))
			return true;
	for (unsigned int i = 0; i < p->nb_neighs; i++)
		if (memcmp(p->neighs[i].gid, gid, 16) == 0)
			return true;
	return false;
}

/* The peer of a connected QP. */
static int check_peer(struct loader *l, struct phca_config_qp *qp, const json_t *v)
{
	const char *need = json_object_get(v, "peer") == NULL ? "peer" : "dest_qpn";

	if (qp->attr.dest_qpn + qp->count - 1 > 0xffffff)
		return cfg_fail_key(l, "count", "peers 0x%x..0x%x end behind 0xffffff; lower it", qp->attr.dest_qpn,
			qp->attr.dest_qpn + qp->count - 1);
	if (qp->init.type == PHCA_QPT_UC && (qp->attr.access & ~(uint32_t)PHCA_ACCESS_REMOTE_WRITE) != 0)
		return cfg_fail_key(l, "access", "UC has neither READs nor atomics; leave only \"remote_write\"");
	if (qp->init.type == PHCA_QPT_RC && json_object_get(v, need) == NULL)
		return cfg_fail(l, "qp lacks key \"%s\", which type \"RC\" needs; add it", need);
	if (qp->init.type == PHCA_QPT_RC && !has_way(qp_port(l, qp), qp->attr.av.dgid))
		return cfg_fail_key(l, "peer", "is in no prefix of port \"%s\", which has no gateway of its family; "
			"mend it, or add an address or a gateway to the port", qp_port(l, qp)->name);
	return 0;
}

/* Which attributes are given or have a default. */
static unsigned int attr_mask(enum phca_qp_type type)
{
	unsigned int mask = PHCA_QP_PKEY | PHCA_QP_SQ_PSN;

	if (type == PHCA_QPT_UD)
		return mask | PHCA_QP_QKEY;
	mask |= PHCA_QP_ACCESS | PHCA_QP_DEST_QPN | PHCA_QP_PATH_MTU | PHCA_QP_RQ_PSN;
	if (type == PHCA_QPT_RC)
		mask |= PHCA_QP_TIMEOUT | PHCA_QP_RETRY_CNT | PHCA_QP_RNR_RETRY | PHCA_QP_MIN_RNR_TIMER |
			PHCA_QP_MAX_RD_ATOMIC | PHCA_QP_MAX_DEST_RD_ATOMIC;
	return mask;
}

int cfg_qp_finish(struct loader *l, void *obj, const json_t *v)
{
	struct phca_config_qp *qp = obj;
	int rc;

	if (l->priv->nb_base[SEC_PORT] + l->c->nb_ports == 0)
		return cfg_fail(l, "there is no port for this QP; add one to \"ports\"");
	if (qp->init.qpn != 0 && qp->init.qpn + qp->count - 1 > 0xfffffe)
		return cfg_fail_key(l, "count", "QPs 0x%x..0x%x end behind 0xfffffe; lower it", qp->init.qpn,
			qp->init.qpn + qp->count - 1);
	if ((qp->attr.pkey & 0x7fff) == 0)
		return cfg_fail_key(l, "pkey", "0x%04x is no valid partition key; its low 15 bits must not be 0",
			qp->attr.pkey);
	if (json_object_get(v, "max_send_wr") != NULL && qp->init.max_send_wr + qp->init.max_recv_wr == 0 &&
			qp->srq < 0)
		return cfg_fail_key(l, "max_send_wr", "and max_recv_wr are both 0; the QP could do nothing");
	rc = check_owner(l, qp);
	if (rc == 0)
		rc = same_qpn(l, qp, l->c);
	if (rc == 0)
		rc = same_qpn(l, qp, l->base);
	if (rc == 0)
		rc = check_srq(l, qp, v);
	if (rc == 0)
		rc = check_mtu(l, qp);
	if (rc == 0 && qp->init.type != PHCA_QPT_UD)
		rc = check_peer(l, qp, v);
	qp->init.port = (unsigned int)qp->port;
	qp->attr_mask |= attr_mask(qp->init.type);
	return rc;
}

/* -------------------------------------------------------------- proxy QPs */

static int direction_parse(struct loader *l, const struct key *k, const json_t *v, void *obj)
{
	struct phca_config_rule *r = obj;
	unsigned int dir = 0;
	struct key number = *k;
	int rc;

	number.off = 0;
	number.size = sizeof(dir);
	rc = kind_word.parse(l, &number, v, &dir);
	r->send = (dir & CFG_DIR_SEND) != 0;
	r->inbound = (dir & CFG_DIR_INBOUND) != 0;
	return rc;
}

static int direction_print(const struct phca_config *c, const struct key *k, const void *obj, json_t **out)
{
	const struct phca_config_rule *r = obj;
	unsigned int dir = (r->send ? CFG_DIR_SEND : 0) | (r->inbound ? CFG_DIR_INBOUND : 0);
	struct key number = *k;

	number.off = 0;
	number.size = sizeof(dir);
	return kind_word.print(c, &number, &dir, out);
}

static json_t *direction_schema(const struct key *k)
{
	return kind_word.schema(k);
}

const struct kind kind_direction = { direction_parse, direction_print, direction_schema, "word" };

int cfg_rule_finish(struct loader *l, void *obj, const json_t *v)
{
	struct phca_config_rule *r = obj;
	char name[CFG_RULE_NAME_MAX];

	(void)v;
	if (!r->send && !r->inbound)
		r->send = r->inbound = true;
	if (r->name != NULL)
		return 0;
	snprintf(name, sizeof(name), "%s-%s", cfg_section_name(l->c, SEC_FILTER, (unsigned int)r->filter),
		cfg_section_name(l->c, SEC_OFFLOAD, (unsigned int)r->offload));
	r->name = cfg_strdup(l, name);
	return r->name != NULL ? 0 : cfg_fail_mem(l);
}

static bool is_in(const struct phca_config_proxy_qp *p, int qp)
{
	for (unsigned int i = 0; i < p->nb_qps; i++)
		if (p->qps[i] == qp)
			return true;
	return false;
}

static int check_no_peer(struct loader *l, int qp)
{
	unsigned int base = l->priv->nb_base[SEC_QP], idx = (unsigned int)qp;
	const struct phca_config_qp *c = idx < base ? &l->base->qps[idx] : &l->c->qps[idx - base];

	return c->offload < 0 ? 0 : cfg_fail_key(l, "qps", "QP \"%s\" belongs to offload \"%s\", which gets all "
		"its requests; remove it", c->name, cfg_section_name(l->c, SEC_OFFLOAD, (unsigned int)c->offload));
}

static int same_qp(struct loader *l, int qp, const struct phca_config *c)
{
	for (unsigned int i = 0; c != NULL && i < c->nb_proxy_qps; i++)
		if (is_in(&c->proxy_qps[i], qp))
			return cfg_fail_key(l, "qps", "QP \"%s\" is a proxy QP by %sproxy_qps[%u] already; "
				"put all its rules in one place", cfg_section_name(l->c, SEC_QP, (unsigned int)qp),
				c == l->base ? "the running configuration's " : "", i);
	return 0;
}

int cfg_proxy_qp_finish(struct loader *l, void *obj, const json_t *v)
{
	const struct phca_config_proxy_qp *p = obj;
	int rc = 0;

	(void)v;
	for (unsigned int i = 0; rc == 0 && i < p->nb_qps; i++) {
		rc = check_no_peer(l, p->qps[i]);
		if (rc == 0)
			rc = same_qp(l, p->qps[i], l->c);
		if (rc == 0)
			rc = same_qp(l, p->qps[i], l->base);
	}
	return rc;
}

/* ------------------------------------------------ QPs of other processes */

int cfg_depths_finish(struct loader *l, void *obj, const json_t *v)
{
	const struct phca_config_depths *d = obj;

	(void)v;
	if (d->min > d->max)
		return cfg_fail_key(l, "max", "%u is less than min %u; raise it, or lower min", d->max, d->min);
	return 0;
}

int cfg_app_proxy_finish(struct loader *l, void *obj, const json_t *v)
{
	const struct phca_config_app_proxy *p = obj;

	(void)v;
	for (unsigned int i = 0; l->base != NULL && i < l->base->nb_app_proxy; i++)
		if (strcmp(l->base->app_proxy[i].name, p->name) == 0)
			return cfg_fail_key(l, "name", "the running configuration has rule list \"%s\" already; "
				"give it another name", p->name);
	return 0;
}

/* ------------------------------------------------------------------- root */

static uint64_t sum_qps(const struct phca_config *c)
{
	uint64_t n = 0;

	for (unsigned int i = 0; c != NULL && i < c->nb_qps; i++)
		n += c->qps[i].count;
	return n;
}

int cfg_root_finish(struct loader *l, void *obj, const json_t *v)
{
	const struct phca_config *c = obj, *sizes = l->base != NULL ? l->base : c;
	uint64_t qps = sum_qps(c) + sum_qps(l->base);

	(void)v;
	if (qps > sizes->memory.max_qp)
		return cfg_fail_key(l, "qps", "make %" PRIu64 " QPs, more than memory.max_qp %u; raise that", qps,
			sizes->memory.max_qp);
	for (unsigned int i = 0; i < c->nb_ports; i++) {
		if (sizes->memory.mbuf_size >= c->ports[i].mtu + 256u)
			continue;
		cfg_push_key(l, l->base != NULL ? "ports" : "memory");
		return cfg_fail(l, "mbuf_size %u is less than mtu %u of port \"%s\" and 256 for headers; raise it",
			sizes->memory.mbuf_size, c->ports[i].mtu, c->ports[i].name);
	}
	return 0;
}
