/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is loaded: defaults, every key, indices of references. The helpers of
 * the other files are here too.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_errno.h>

#include "config_test.h"

char cfg_err[PHCA_CONFIG_ERR_MAX];
static char objects[] = "/tmp/phca-config-XXXXXX";

static void remove_objects(void)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/x.o", objects);
	unlink(path);
	rmdir(objects);
}

/* Before main: every test may name x.o. */
__attribute__((constructor)) static void make_objects(void)
{
	char path[64];
	int fd;

	if (mkdtemp(objects) == NULL)
		return;
	snprintf(path, sizeof(path), "%s/x.o", objects);
	fd = open(path, O_CREAT | O_WRONLY, 0644);
	if (fd >= 0)
		close(fd);
	setenv("PHCA_FILTER_PATH", objects, 1);
	atexit(remove_objects);
}

struct phca_config *cfg_text_on(const char *text, const struct phca_config *base,
		const struct phca_config_lookup *lookup)
{
	memset(cfg_err, 0x7e, sizeof(cfg_err));
	return phca_config_parse("my.json", text, strlen(text), base, lookup, cfg_err, sizeof(cfg_err));
}

struct phca_config *cfg_text(const char *text)
{
	struct phca_config *c = cfg_text_on(text, NULL, NULL);

	if (c == NULL)
		printf("  refused: %s\n", cfg_err);
	return c;
}

bool cfg_refused_on(const char *text, const char *want, const struct phca_config *base,
		const struct phca_config_lookup *lookup)
{
	struct phca_config *c = cfg_text_on(text, base, lookup);
	bool ok = c == NULL && rte_errno == EINVAL && strncmp(cfg_err, "my.json:", 8) == 0 &&
		strcmp(cfg_err + 8, want) == 0;

	if (!ok)
		printf("  text: %s\n  want: my.json:%s\n  got:  %s\n", text, want, c != NULL ? "accepted" : cfg_err);
	phca_config_free(c);
	return ok;
}

bool cfg_refused(const char *text, const char *want)
{
	return cfg_refused_on(text, want, NULL, NULL);
}

char *cfg_printed(const struct phca_config *c)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	CU_ASSERT_EQUAL(phca_config_print(c, f), 0);
	fclose(f);
	return text;
}

/* The same defaults as those of lib/hca and lib/cc. */
static void check_congestion(const struct phca_congestion_conf *c)
{
	struct phca_congestion_conf def;

	phca_congestion_default(&def);
	CU_ASSERT(c->enabled && c->ecn);
	CU_ASSERT_EQUAL(c->cnp_dscp, def.cnp_dscp);
	CU_ASSERT_EQUAL(c->line_rate_bps, 0);
	CU_ASSERT_EQUAL(memcmp(&c->params, &def.params, sizeof(def.params)), 0);
	CU_ASSERT_EQUAL(phca_cc_params_check(&c->params), NULL);
}

/* Nobody is served unless it is said; then with the same limits as those of lib/host. */
static void check_host(const struct phca_config_host *h)
{
	struct phca_host_limits def;

	phca_host_limits_default(&def);
	CU_ASSERT(!h->given && !h->has_group && h->socket == NULL && h->device == NULL);
	CU_ASSERT_EQUAL(h->mode, 0666);
	CU_ASSERT_EQUAL(memcmp(&h->limits, &def, sizeof(def)), 0);
	/* one client cannot be given more than there is */
	CU_ASSERT(h->limits.mem_bytes > 0 && h->limits.mem_bytes % (1 << 20) == 0);
	CU_ASSERT(h->limits.mem_bytes / (uint64_t)sysconf(_SC_PAGESIZE) <= (uint64_t)sysconf(_SC_PHYS_PAGES));
}

PHCA_TEST(load, empty_object_has_the_defaults)
{
	struct phca_config *c = cfg_text("{}");

	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	CU_ASSERT_STRING_EQUAL(c->path, "my.json");
	CU_ASSERT_EQUAL(c->lcores.hca.n, 0);
	CU_ASSERT_EQUAL(c->lcores.proxy.n, 0);
	CU_ASSERT_EQUAL(c->lcores.app, -1);
	CU_ASSERT_EQUAL(c->memory.mbufs, 16384);
	CU_ASSERT_EQUAL(c->memory.mbuf_size, 4608);
	CU_ASSERT_EQUAL(c->memory.max_qp, 1024);
	CU_ASSERT_EQUAL(c->memory.max_mr, 65536);
	CU_ASSERT_EQUAL(c->proxy.ring_size, 4096);
	CU_ASSERT_EQUAL(c->proxy.offload_max_packets, 256);
	check_congestion(&c->congestion);
	check_host(&c->host);
	CU_ASSERT_EQUAL(c->nb_ports + c->nb_filters + c->nb_offloads + c->nb_apps + c->nb_qps + c->nb_proxy_qps, 0);
	CU_ASSERT_PTR_NULL(c->description);
	phca_config_free(c);
}

PHCA_TEST(load, host_is_printed_when_it_is_there)
{
	struct phca_config *c = cfg_text("{\"host\":{}}"), *none = cfg_text("{}");
	char *text;

	CU_ASSERT_FATAL(c != NULL && none != NULL);
	CU_ASSERT(c->host.given && c->host.mode == 0666);
	text = cfg_printed(c);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\"mode\": \"0666\""));
	free(text);
	text = cfg_printed(none);
	CU_ASSERT_PTR_NULL(strstr(text, "\"host\""));
	free(text);
	phca_config_free(none);
	phca_config_free(c);
}

PHCA_TEST(load, defaults_of_a_port)
{
	static const uint8_t gid[16] = { [10] = 0xff, 0xff, 192, 0, 2, 1 };
	struct phca_config *c = cfg_text("{" PORT "}");

	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	CU_ASSERT_EQUAL_FATAL(c->nb_ports, 1);
	CU_ASSERT_STRING_EQUAL(c->ports[0].device, "net_null0");
	CU_ASSERT_EQUAL(c->ports[0].id, -1);
	CU_ASSERT_EQUAL(c->ports[0].nb_addrs, 1);
	CU_ASSERT_EQUAL(memcmp(c->ports[0].addrs[0].gid, gid, 16), 0);
	CU_ASSERT_EQUAL(c->ports[0].addrs[0].prefix_len, 24);
	CU_ASSERT_FALSE(c->ports[0].addrs[0].ip6);
	CU_ASSERT_EQUAL(c->ports[0].mtu, 4096);
	CU_ASSERT_FALSE(c->ports[0].vlan || c->ports[0].set_mac || c->ports[0].promisc);
	CU_ASSERT_FALSE(c->ports[0].has_gw4 || c->ports[0].has_gw6);
	CU_ASSERT_EQUAL(c->ports[0].nb_neighs, 0);
	CU_ASSERT_EQUAL(c->ports[0].rx_desc, 1024);
	CU_ASSERT_EQUAL(c->ports[0].tx_desc, 1024);
	phca_config_free(c);
}

PHCA_TEST(load, defaults_of_a_ud_qp)
{
	struct phca_config *c = cfg_text(QP(",\"type\":\"UD\""));

	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	CU_ASSERT_EQUAL(c->qps[0].init.type, PHCA_QPT_UD);
	CU_ASSERT_EQUAL(c->qps[0].init.qpn, 0);
	CU_ASSERT_EQUAL(c->qps[0].count, 1);
	CU_ASSERT_EQUAL(c->qps[0].init.max_send_wr, 128);
	CU_ASSERT_EQUAL(c->qps[0].init.max_recv_wr, 512);
	CU_ASSERT_EQUAL(c->qps[0].init.max_send_sge, 1);
	CU_ASSERT_EQUAL(c->qps[0].init.max_recv_sge, 1);
	CU_ASSERT_EQUAL(c->qps[0].init.max_inline, 0);
	CU_ASSERT_FALSE(c->qps[0].init.sq_sig_all);
	CU_ASSERT_EQUAL(c->qps[0].attr.pkey, 0xffff);
	CU_ASSERT_EQUAL(c->qps[0].attr.qkey, 0x11111111);
	CU_ASSERT_EQUAL(c->qps[0].attr_mask, PHCA_QP_PKEY | PHCA_QP_QKEY | PHCA_QP_SQ_PSN);
	CU_ASSERT_EQUAL(c->qps[0].port, 0);
	CU_ASSERT_EQUAL(c->qps[0].app, 0);
	phca_config_free(c);
}

PHCA_TEST(load, defaults_of_a_uc_qp)
{
	struct phca_config *c = cfg_text(QP(",\"type\":\"UC\""));

	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	CU_ASSERT_EQUAL(c->qps[0].attr.path_mtu, 4096);
	CU_ASSERT_EQUAL(c->qps[0].attr.rq_psn.v, 0);
	CU_ASSERT_EQUAL(c->qps[0].attr.access, 0);
	CU_ASSERT_EQUAL(c->qps[0].attr_mask, PHCA_QP_PKEY | PHCA_QP_SQ_PSN | PHCA_QP_ACCESS |
		PHCA_QP_DEST_QPN | PHCA_QP_PATH_MTU | PHCA_QP_RQ_PSN);
	phca_config_free(c);
}

#define RC ",\"type\":\"RC\",\"peer\":\"192.0.2.2\",\"dest_qpn\":5"

PHCA_TEST(load, defaults_of_an_rc_qp)
{
	struct phca_config *c = cfg_text(QP(RC));
	const struct phca_qp_attr *a;

	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	a = &c->qps[0].attr;
	CU_ASSERT_EQUAL(c->qps[0].init.type, PHCA_QPT_RC);
	CU_ASSERT(a->timeout == 14 && a->retry_cnt == 7 && a->rnr_retry == 7 && a->min_rnr_timer == 12);
	CU_ASSERT(a->max_rd_atomic == 16 && a->max_dest_rd_atomic == 16 && a->path_mtu == 4096);
	CU_ASSERT(a->av.hop_limit == 64 && a->av.traffic_class == 0 && a->access == 0);
	CU_ASSERT_EQUAL(c->qps[0].attr_mask, PHCA_QP_PKEY | PHCA_QP_SQ_PSN | PHCA_QP_ACCESS |
		PHCA_QP_DEST_QPN | PHCA_QP_PATH_MTU | PHCA_QP_RQ_PSN | PHCA_QP_AV | PHCA_QP_TIMEOUT |
		PHCA_QP_RETRY_CNT | PHCA_QP_RNR_RETRY | PHCA_QP_MIN_RNR_TIMER | PHCA_QP_MAX_RD_ATOMIC |
		PHCA_QP_MAX_DEST_RD_ATOMIC);
	phca_config_free(c);
}

PHCA_TEST(load, one_lcore_or_several)
{
	struct phca_config *c = cfg_text("{\"lcores\":{\"hca\":[3,1],\"proxy\":7}}");

	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	CU_ASSERT(c->lcores.hca.n == 2 && c->lcores.hca.id[0] == 3 && c->lcores.hca.id[1] == 1);
	CU_ASSERT(c->lcores.proxy.n == 1 && c->lcores.proxy.id[0] == 7);
	phca_config_free(c);
}
