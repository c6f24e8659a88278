/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every key lands in its member; a configuration that is printed loads to the
 * same; additions count the base's elements first and merge into it; the
 * embedded configuration loads.
 */
#include <errno.h>
#include <stdio.h>

#include <rte_errno.h>

#include "config_test.h"

/* Every key, none with its default. */
static const char all_keys[] =
"{\"$schema\":\"s.json\",\"description\":\"d\","
"\"lcores\":{\"hca\":[3,4],\"proxy\":2,\"app\":1},"
"\"memory\":{\"mbufs\":2048,\"mbuf_size\":8192,\"max_qp\":64,\"max_mr\":5},"
"\"proxy\":{\"ring_size\":1024,\"offload_max_packets\":17},"
"\"congestion\":{\"enabled\":false,\"ecn\":false,\"cnp_dscp\":46,\"line_rate_mbps\":25000,"
"\"gain_divisor\":128,\"alpha_timer_us\":60,\"rate_timer_us\":300,\"byte_counter_bytes\":150000,"
"\"fast_recovery_rounds\":3,\"ai_rate_bps\":5000000,\"hai_rate_bps\":50000000,"
"\"min_rate_bps\":2000000,\"cnp_interval_us\":4,\"burst_bytes\":0},"
"\"host\":{\"socket\":\"/tmp/s\",\"device\":\"rdma0\",\"mode\":\"0060\",\"group\":65533,\"limits\":{"
"\"clients\":3,\"pds\":4,\"mrs\":5,\"mws\":6,\"channels\":7,\"cqs\":8,\"srqs\":9,\"qps\":10,"
"\"registered_mib\":11,\"remote\":false,\"queues_mib\":12}},"
"\"ports\":[{\"name\":\"p0\",\"description\":\"dp\",\"device\":\"0000:01:00.0\","
"\"addresses\":[\"192.0.2.1/24\",\"2001:db8::1/64\"],\"mtu\":2048,\"vlan\":0,\"mac\":\"02:AB:00:00:00:01\","
"\"neighbours\":[{\"address\":\"192.0.2.2\",\"mac\":\"02:00:00:00:00:02\"},"
"{\"address\":\"fe80::2\",\"mac\":\"02:00:00:00:00:03\"}],"
"\"promiscuous\":true,\"gateway4\":\"192.0.2.254\",\"gateway6\":\"fe80::1\","
"\"rx_descriptors\":512,\"tx_descriptors\":256},"
"{\"name\":\"p1\",\"id\":1,\"addresses\":[\"198.51.100.1/32\"]}],"
"\"filters\":[{\"name\":\"f\",\"description\":\"df\",\"object\":\"x.o\",\"program\":\"prog\","
"\"params\":{\"n\":-5,\"b\":true,\"s\":\"\\u00e9\\n\",\"big\":9223372036854775807},"
"\"maps\":{\"prefixes\":{\"10.0.0.0/8\":\"1\",\"2001:db8::/32\":2},\"keys\":{\"{a=1}\":[1,-2,3.0]}}},"
"{\"name\":\"g\",\"object\":\"x.o\"}],"
"\"offloads\":[{\"name\":\"o\",\"description\":\"do\",\"driver\":\"delay\","
"\"settings\":{\"u\":7,\"b\":false,\"s\":\"x\"},\"time_limit_us\":0},"
"{\"name\":\"o2\",\"driver\":\"null\",\"time_limit_us\":3600000000}],"
"\"apps\":[{\"name\":\"sink\",\"driver\":\"sink\"},"
"{\"name\":\"echo\",\"description\":\"da\",\"driver\":\"echo\",\"settings\":{\"depth\":3}}],"
"\"srqs\":[{\"name\":\"s0\",\"app\":\"sink\"},"
"{\"name\":\"s1\",\"description\":\"ds\",\"app\":\"sink\",\"max_wr\":64,\"max_sge\":2,\"limit\":8}],"
"\"qps\":[{\"name\":\"ud\",\"description\":\"dq\",\"mcast\":[\"239.1.1.1\",\"ff15::7\"],"
"\"type\":\"UD\",\"app\":\"echo\",\"port\":\"p1\",\"qpn\":\"0x10\","
"\"count\":4,\"max_send_wr\":1,\"max_recv_wr\":2,\"max_send_sge\":3,\"max_recv_sge\":4,\"max_inline\":5,"
"\"sq_sig_all\":true,\"pkey\":\"0x8001\",\"qkey\":305419896,\"sq_psn\":\"0xffffff\"},"
"{\"name\":\"uc\",\"type\":\"UC\",\"app\":\"sink\",\"qpn\":32,\"rq_psn\":77,\"dest_qpn\":\"0x123456\","
"\"peer\":\"192.0.2.2\",\"path_mtu\":1024,\"access\":[\"remote_write\"]},"
"{\"name\":\"any\",\"type\":\"UC\",\"app\":\"sink\",\"peer\":\"2001:db8::2\"},"
"{\"name\":\"rc\",\"type\":\"RC\",\"app\":\"sink\",\"srq\":\"s1\","
"\"peer\":\"192.0.2.2\",\"dest_qpn\":9,\"traffic_class\":\"0x6a\","
"\"hop_limit\":1,\"timeout\":0,\"retry_cnt\":1,\"rnr_retry\":2,\"min_rnr_timer\":31,\"max_rd_atomic\":0,"
"\"max_dest_rd_atomic\":3,\"access\":[\"remote_read\",\"remote_atomic\"]}],"
"\"proxy_qps\":[{\"description\":\"dx\",\"qps\":[\"uc\",\"ud\"],\"window\":64,\"rules\":["
"{\"name\":\"r\",\"filter\":\"g\",\"offload\":\"o2\",\"direction\":\"send\"},"
"{\"filter\":\"f\",\"offload\":\"o\",\"direction\":\"inbound\"},{\"filter\":\"g\",\"offload\":\"o\"}]}],"
"\"app_proxy\":[{\"name\":\"kv\",\"description\":\"dk\",\"match\":{\"exe\":\"ib_*_bw\",\"user\":\"root\","
"\"transport\":\"UC\",\"cq_depth\":{\"min\":2,\"max\":100},\"peer\":\"192.0.2.0/24\"},\"window\":32,"
"\"rules\":[{\"filter\":\"g\",\"offload\":\"o2\"}]},"
"{\"name\":\"rest\",\"match\":{\"user\":65533,\"peer\":\"2001:db8::7\"}},{\"name\":\"all\",\"match\":{}}]}";

static void check_ports(const struct phca_config *c)
{
	static const uint8_t mac[6] = { 2, 0xab, 0, 0, 0, 1 }, nmac[6] = { 2, 0, 0, 0, 0, 3 };
	static const uint8_t gw4[16] = { [10] = 0xff, 0xff, 192, 0, 2, 254 }, gw6[16] = { 0xfe, 0x80, [15] = 1 };
	const struct phca_config_port *p = &c->ports[0];

	CU_ASSERT_EQUAL_FATAL(c->nb_ports, 2);
	CU_ASSERT_STRING_EQUAL(p->name, "p0");
	CU_ASSERT_STRING_EQUAL(p->description, "dp");
	CU_ASSERT_STRING_EQUAL(p->device, "0000:01:00.0");
	CU_ASSERT_EQUAL(p->nb_addrs, 2);
	CU_ASSERT(p->addrs[1].ip6 && p->addrs[1].prefix_len == 64 && p->addrs[1].gid[0] == 0x20);
	CU_ASSERT_EQUAL(p->mtu, 2048);
	CU_ASSERT(p->vlan && p->vlan_id == 0);
	CU_ASSERT(p->set_mac && memcmp(p->mac, mac, 6) == 0);
	CU_ASSERT_EQUAL(p->nb_neighs, 2);
	CU_ASSERT(memcmp(p->neighs[1].mac, nmac, 6) == 0 && p->neighs[1].gid[0] == 0xfe);
	CU_ASSERT(p->promisc && p->has_gw4 && p->has_gw6);
	CU_ASSERT(memcmp(p->gw4, gw4, 16) == 0 && memcmp(p->gw6, gw6, 16) == 0);
	CU_ASSERT(p->rx_desc == 512 && p->tx_desc == 256);
	CU_ASSERT(c->ports[1].device == NULL && c->ports[1].id == 1 && !c->ports[1].vlan);
}

static void check_filters(const struct phca_config *c)
{
	const struct phca_config_filter *f = &c->filters[0];

	CU_ASSERT_EQUAL_FATAL(c->nb_filters, 2);
	CU_ASSERT_STRING_EQUAL(f->description, "df");
	CU_ASSERT(f->object[0] == '/' && strcmp(strrchr(f->object, '/'), "/x.o") == 0);
	CU_ASSERT_STRING_EQUAL(f->program, "prog");
	CU_ASSERT_EQUAL_FATAL(f->nb_params, 4);
	CU_ASSERT(f->params[0].kind == PHCA_FV_INT && f->params[0].i == -5);
	CU_ASSERT(f->params[1].kind == PHCA_FV_BOOL && f->params[1].u == 1);
	CU_ASSERT(f->params[2].kind == PHCA_FV_STRING && strcmp(f->params[2].s, "\xc3\xa9\n") == 0);
	CU_ASSERT(f->params[3].kind == PHCA_FV_INT && f->params[3].i == INT64_MAX);
	CU_ASSERT_EQUAL_FATAL(f->nb_entries, 3);
	CU_ASSERT_STRING_EQUAL(f->entries[0].map, "prefixes");
	CU_ASSERT_STRING_EQUAL(f->entries[0].key, "10.0.0.0/8");
	CU_ASSERT_STRING_EQUAL(f->entries[0].value, "1");
	CU_ASSERT_STRING_EQUAL(f->entries[1].value, "2");
	CU_ASSERT_STRING_EQUAL(f->entries[2].map, "keys");
	CU_ASSERT_STRING_EQUAL(f->entries[2].key, "{a=1}");
	CU_ASSERT_STRING_EQUAL(f->entries[2].value, "[1,-2,3]");
	CU_ASSERT(c->filters[1].program == NULL && c->filters[1].nb_params == 0 && c->filters[1].nb_entries == 0);
}

static void check_qps(const struct phca_config *c)
{
	static const uint8_t peer[16] = { [10] = 0xff, 0xff, 192, 0, 2, 2 };
	const struct phca_config_qp *q = c->qps;

	CU_ASSERT_EQUAL_FATAL(c->nb_qps, 4);
	CU_ASSERT_STRING_EQUAL(q[0].description, "dq");
	CU_ASSERT(q[0].app == 1 && q[0].port == 1 && q[0].init.port == 1);
	CU_ASSERT(q[0].init.qpn == 0x10 && q[0].count == 4 && q[0].init.max_send_wr == 1);
	CU_ASSERT(q[0].init.max_recv_wr == 2 && q[0].init.max_send_sge == 3 && q[0].init.max_recv_sge == 4);
	CU_ASSERT(q[0].init.max_inline == 5 && q[0].init.sq_sig_all);
	CU_ASSERT(q[0].attr.pkey == 0x8001 && q[0].attr.qkey == 0x12345678 && q[0].attr.sq_psn.v == 0xffffff);
	CU_ASSERT(q[1].init.type == PHCA_QPT_UC && q[1].init.qpn == 32 && q[1].attr.rq_psn.v == 77);
	CU_ASSERT(q[1].attr.dest_qpn == 0x123456 && memcmp(q[1].attr.av.dgid, peer, 16) == 0);
	CU_ASSERT(q[1].attr.path_mtu == 1024 && q[1].attr.access == PHCA_ACCESS_REMOTE_WRITE);
	CU_ASSERT_EQUAL(q[1].attr_mask & PHCA_QP_AV, PHCA_QP_AV);
	CU_ASSERT(q[2].init.qpn == 0 && q[2].attr.path_mtu == 2048);
	CU_ASSERT(q[0].nb_mcast == 2 && q[0].mcast[0][12] == 239 && q[0].mcast[1][0] == 0xff && q[1].nb_mcast == 0);
	CU_ASSERT(q[0].srq == -1 && q[3].srq == 1 && q[3].init.max_recv_wr == 0);
	CU_ASSERT_EQUAL_FATAL(c->nb_srqs, 2);
	CU_ASSERT(c->srqs[0].app == 0 && c->srqs[0].init.max_wr == 512 && c->srqs[0].init.max_sge == 1);
	CU_ASSERT(c->srqs[1].init.max_wr == 64 && c->srqs[1].init.max_sge == 2 && c->srqs[1].init.limit == 8);
	CU_ASSERT(q[3].attr.av.traffic_class == 0x6a && q[3].attr.av.hop_limit == 1 && q[3].attr.dest_qpn == 9);
	CU_ASSERT(q[3].attr.timeout == 0 && q[3].attr.retry_cnt == 1 && q[3].attr.rnr_retry == 2);
	CU_ASSERT(q[3].attr.min_rnr_timer == 31 && q[3].attr.max_rd_atomic == 0);
	CU_ASSERT(q[3].attr.max_dest_rd_atomic == 3);
	CU_ASSERT_EQUAL(q[3].attr.access, PHCA_ACCESS_REMOTE_READ | PHCA_ACCESS_REMOTE_ATOMIC);
}

static void check_congestion(const struct phca_congestion_conf *c)
{
	const struct phca_cc_params *p = &c->params;

	CU_ASSERT(!c->enabled && !c->ecn && c->cnp_dscp == 46 && c->line_rate_bps == UINT64_C(25000000000));
	CU_ASSERT(p->gain_divisor == 128 && p->alpha_timer_us == 60 && p->rate_timer_us == 300);
	CU_ASSERT(p->byte_counter_bytes == 150000 && p->fast_recovery_rounds == 3 && p->ai_rate_bps == 5000000);
	CU_ASSERT(p->hai_rate_bps == 50000000 && p->min_rate_bps == 2000000 && p->cnp_interval_us == 4);
	CU_ASSERT_EQUAL(p->burst_bytes, 0);
}

static void check_app_proxy(const struct phca_config *c)
{
	const struct phca_config_app_proxy *p = c->app_proxy;

	CU_ASSERT_EQUAL_FATAL(c->nb_app_proxy, 3);
	CU_ASSERT_STRING_EQUAL(p[0].name, "kv");
	CU_ASSERT_STRING_EQUAL(p[0].description, "dk");
	CU_ASSERT_STRING_EQUAL(p[0].match.exe, "ib_*_bw");
	CU_ASSERT(p[0].match.has_user && p[0].match.uid == 0 && strcmp(p[0].match.user, "root") == 0);
	CU_ASSERT(p[0].match.transport == PHCA_QPT_UC && p[0].window == 32);
	CU_ASSERT(p[0].match.cq_depth.min == 2 && p[0].match.cq_depth.max == 100);
	CU_ASSERT(p[0].match.has_peer && !p[0].match.peer.ip6 && p[0].match.peer.prefix_len == 24);
	CU_ASSERT(p[0].match.peer.gid[12] == 192 && p[0].match.peer.gid[15] == 0);
	CU_ASSERT(p[0].nb_rules == 1 && strcmp(p[0].rules[0].name, "g-o2") == 0 && p[0].rules[0].filter == 1);
	CU_ASSERT(p[1].match.has_user && p[1].match.uid == 65533 && p[1].match.user == NULL);
	CU_ASSERT(p[1].match.exe == NULL && p[1].match.transport == 0 && p[1].nb_rules == 0);
	CU_ASSERT(p[1].match.peer.ip6 && p[1].match.peer.prefix_len == 128 && p[1].match.peer.gid[15] == 7);
	CU_ASSERT(!p[2].match.has_user && !p[2].match.has_peer && p[2].match.exe == NULL);
	CU_ASSERT(p[2].match.cq_depth.min == 1 && p[2].match.cq_depth.max == PHCA_CQE_MAX);
}

static void check_host(const struct phca_config_host *h)
{
	CU_ASSERT(h->given && h->mode == 060 && h->has_group && h->group == NULL && h->gid == 65533);
	CU_ASSERT_STRING_EQUAL(h->socket, "/tmp/s");
	CU_ASSERT_STRING_EQUAL(h->device, "rdma0");
	CU_ASSERT_EQUAL(h->limits.clients, 3);
	for (unsigned int k = 0; k < PHCA_HOST_KIND_COUNT; k++)
		CU_ASSERT_EQUAL(h->limits.objects[k], 4 + k);
	CU_ASSERT_EQUAL(h->limits.mem_bytes, 11u << 20);
	CU_ASSERT_EQUAL(h->limits.arena_bytes, 12u << 20);
}

static void check_rest(const struct phca_config *c)
{
	const struct phca_config_proxy_qp *p = c->proxy_qps;

	CU_ASSERT_STRING_EQUAL(c->schema, "s.json");
	CU_ASSERT_STRING_EQUAL(c->description, "d");
	CU_ASSERT(c->lcores.hca.n == 2 && c->lcores.hca.id[0] == 3 && c->lcores.hca.id[1] == 4);
	CU_ASSERT(c->lcores.proxy.n == 1 && c->lcores.proxy.id[0] == 2 && c->lcores.app == 1);
	CU_ASSERT(c->memory.mbufs == 2048 && c->memory.mbuf_size == 8192);
	CU_ASSERT(c->memory.max_qp == 64 && c->memory.max_mr == 5);
	CU_ASSERT(c->proxy.ring_size == 1024 && c->proxy.offload_max_packets == 17);
	check_congestion(&c->congestion);
	CU_ASSERT(c->nb_offloads == 2 && c->offloads[0].nb_args == 3 && c->offloads[0].time_limit_ns == 0);
	CU_ASSERT_EQUAL(c->offloads[1].time_limit_ns, 3600000000000);
	CU_ASSERT_STRING_EQUAL(c->offloads[0].driver, "delay");
	CU_ASSERT(c->nb_apps == 2 && c->apps[1].nb_args == 1 && strcmp(c->apps[1].driver, "echo") == 0);
	CU_ASSERT_EQUAL_FATAL(c->nb_proxy_qps, 1);
	CU_ASSERT_STRING_EQUAL(p->description, "dx");
	CU_ASSERT(p->nb_qps == 2 && p->qps[0] == 1 && p->qps[1] == 0 && p->window == 64);
	CU_ASSERT_EQUAL_FATAL(p->nb_rules, 3);
	CU_ASSERT_STRING_EQUAL(p->rules[0].name, "r");
	CU_ASSERT(p->rules[0].filter == 1 && p->rules[0].offload == 1 && p->rules[0].send && !p->rules[0].inbound);
	CU_ASSERT_STRING_EQUAL(p->rules[1].name, "f-o");
	CU_ASSERT(!p->rules[1].send && p->rules[1].inbound);
	CU_ASSERT(p->rules[2].send && p->rules[2].inbound);
	check_app_proxy(c);
	check_host(&c->host);
}

PHCA_TEST(print, every_key_lands_in_its_member)
{
	struct phca_config *c = cfg_text(all_keys);

	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	check_ports(c);
	check_filters(c);
	check_qps(c);
	check_rest(c);
	phca_config_free(c);
}

/* Loads, prints, loads what was printed, and prints that. */
static struct phca_config *round_trip(const char *text)
{
	struct phca_config *c = cfg_text(text), *again;
	char *first, *second;

	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	first = cfg_printed(c);
	again = cfg_text(first);
	CU_ASSERT_PTR_NOT_NULL_FATAL(again);
	second = cfg_printed(again);
	CU_ASSERT_STRING_EQUAL(first, second);
	free(first);
	free(second);
	phca_config_free(c);
	return again;
}

PHCA_TEST(print, what_is_printed_loads_to_the_same)
{
	struct phca_config *c = round_trip(all_keys);

	check_ports(c);
	check_filters(c);
	check_qps(c);
	check_rest(c);
	phca_config_free(c);
	phca_config_free(round_trip("{}"));
	phca_config_free(round_trip(QP(",\"type\":\"UD\"")));
	phca_config_free(round_trip(QP(",\"type\":\"UC\"")));
}

PHCA_TEST(print, defaults_are_filled_in)
{
	struct phca_config *c = cfg_text(QP(",\"type\":\"UD\""));
	char *text;

	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	text = cfg_printed(c);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\"mbufs\": 16384"));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\"qkey\": \"0x11111111\""));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\"port\": \"p0\""));
	CU_ASSERT_PTR_NULL(strstr(text, "\"vlan\""));
	CU_ASSERT_PTR_NULL(strstr(text, "\"peer\""));
	free(text);
	phca_config_free(c);
}

PHCA_TEST(print, error_of_the_file_is_reported)
{
	struct phca_config *c = cfg_text("{}");
	FILE *full = fopen("/dev/full", "w");

	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	CU_ASSERT_PTR_NOT_NULL_FATAL(full);
	CU_ASSERT_EQUAL(phca_config_print(c, full), -EIO);
	fclose(full);
	phca_config_free(c);
}

PHCA_TEST(print, embedded_configuration)
{
	size_t len = 0;
	const char *text = phca_config_default_text(&len);
	struct phca_config *c;

	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	CU_ASSERT_EQUAL(len, strlen(text));
	/* its filters are where the build made them, which is where is looked last */
	c = cfg_text(text);
	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	CU_ASSERT_STRING_EQUAL(c->ports[0].device, "net_pcap0");
	CU_ASSERT(c->nb_qps >= 4 && c->nb_proxy_qps >= 2);
	CU_ASSERT_PTR_NOT_NULL(strstr(c->filters[0].object, "/config/filters/"));
	phca_config_free(c);
}

/* ----------------------------------------------------------------- additions */

static const char addition[] = "{\"apps\":[{\"name\":\"more\",\"driver\":\"sink\"}],"
	"\"qps\":[{\"name\":\"new\",\"type\":\"UD\",\"app\":\"more\",\"port\":\"p1\",\"qpn\":64},"
	"{\"name\":\"old\",\"type\":\"UD\",\"app\":\"sink\"}],"
	"\"offloads\":[{\"name\":\"o3\",\"driver\":\"null\"}],"
	"\"proxy_qps\":[{\"qps\":\"*\",\"rules\":[{\"filter\":\"f\",\"offload\":\"o3\"}]}],"
	"\"app_proxy\":[{\"name\":\"late\",\"match\":{},\"rules\":[{\"filter\":\"f\",\"offload\":\"o3\"}]}]}";

PHCA_TEST(addition, indices_count_the_base_first)
{
	struct phca_config *base = cfg_text(all_keys), *add;
	char *text;

	CU_ASSERT_PTR_NOT_NULL_FATAL(base);
	add = cfg_text_on(addition, base, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(add);
	CU_ASSERT(add->nb_apps == 1 && add->nb_qps == 2 && add->nb_ports == 0);
	CU_ASSERT(add->qps[0].app == 2 && add->qps[0].port == 1);
	CU_ASSERT(add->qps[1].app == 0 && add->qps[1].port == 0);
	CU_ASSERT_EQUAL(add->proxy_qps[0].nb_qps, 2);
	CU_ASSERT(add->proxy_qps[0].qps[0] == 4 && add->proxy_qps[0].qps[1] == 5);
	CU_ASSERT(add->proxy_qps[0].rules[0].filter == 0 && add->proxy_qps[0].rules[0].offload == 2);
	/* printed without the base, with the base's names, and it adds to it again */
	phca_config_free(base);
	text = cfg_printed(add);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\"filter\": \"f\""));
	CU_ASSERT_PTR_NULL(strstr(text, "\"memory\""));
	phca_config_free(add);
	base = cfg_text(all_keys);
	add = cfg_text_on(text, base, NULL);
	CU_ASSERT_PTR_NOT_NULL(add);
	free(text);
	phca_config_free(add);
	phca_config_free(base);
}

PHCA_TEST(addition, what_the_base_has_is_refused)
{
	struct phca_config *base = cfg_text(all_keys);

#define REFUSED(text, want) CU_ASSERT(cfg_refused_on(text, want, base, NULL))
	CU_ASSERT_PTR_NOT_NULL_FATAL(base);
	REFUSED("{\"memory\":{}}", "1: memory: is fixed when the program starts; remove it from the addition");
	REFUSED("{\"congestion\":{}}",
		"1: congestion: is fixed when the program starts; remove it from the addition");
	REFUSED("{\"app_proxy\":[{\"name\":\"rest\",\"match\":{}}]}",
		"1: app_proxy[0].name: the running configuration has "
		"rule list \"rest\" already; give it another name");
	REFUSED("{\"apps\":[{\"name\":\"sink\",\"driver\":\"sink\"}]}",
		"1: apps[0].name: the running configuration has app \"sink\" already; give it another name");
	REFUSED("{\"qps\":[{\"name\":\"n\",\"type\":\"UD\",\"app\":\"sink\",\"qpn\":19}]}",
		"1: qps[0].qpn: 0x13..0x13 overlaps with QP \"ud\", 0x10..0x13; give other numbers");
	REFUSED("{\"ports\":[{\"name\":\"p9\",\"id\":1,\"addresses\":[\"10.0.0.1/8\"]}]}",
		"1: ports[0].id: port \"p1\" uses this device already; give another");
	REFUSED("{\"proxy_qps\":[{\"qps\":[\"uc\"]}]}", "1: proxy_qps[0].qps: QP \"uc\" is a proxy QP by the running "
		"configuration's proxy_qps[0] already; put all its rules in one place");
	REFUSED("{\"qps\":[{\"name\":\"n\",\"type\":\"UD\",\"app\":\"sink\",\"count\":58}]}",
		"1: qps: make 65 QPs, more than memory.max_qp 64; raise that");
	REFUSED("{\"qps\":[{\"name\":\"n\",\"type\":\"UD\",\"app\":\"ekko\"}]}",
		"1: qps[0].app: no app named \"ekko\"; did you mean \"echo\"?");
	REFUSED("{\"proxy_qps\":[{\"qps\":\"*\"}]}",
		"1: proxy_qps[0].qps: \"*\" means all QPs, and there is none that belongs to an app; "
		"add one to \"qps\"");
	phca_config_free(base);
}

PHCA_TEST(addition, merges_into_its_base)
{
	struct phca_config *base = cfg_text(all_keys), *other = cfg_text("{}"), *add;

	CU_ASSERT_PTR_NOT_NULL_FATAL(base);
	add = cfg_text_on(addition, base, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(add);
	CU_ASSERT_PTR_NULL(cfg_text_on("{}", add, NULL)); /* no base by itself */
	CU_ASSERT_EQUAL(rte_errno, EINVAL);
	CU_ASSERT_EQUAL(phca_config_merge(other, add), -EINVAL);
	CU_ASSERT_EQUAL(phca_config_merge(base, other), -EINVAL);
	CU_ASSERT_EQUAL_FATAL(phca_config_merge(base, add), 0);
	CU_ASSERT(base->nb_app_proxy == 4 && base->app_proxy[3].rules[0].offload == 2);
	CU_ASSERT(base->nb_qps == 6 && base->nb_apps == 3 && base->nb_offloads == 3 && base->nb_proxy_qps == 2);
	CU_ASSERT_STRING_EQUAL(base->qps[4].name, "new");
	CU_ASSERT_STRING_EQUAL(base->apps[base->qps[4].app].name, "more");
	CU_ASSERT_STRING_EQUAL(base->qps[base->proxy_qps[1].qps[0]].name, "new");
	add = cfg_text_on("{\"qps\":[{\"name\":\"third\",\"type\":\"UD\",\"app\":\"more\"}]}", base, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(add);
	CU_ASSERT_EQUAL(phca_config_merge(base, add), 0);
	check_ports(base);
	CU_ASSERT_STRING_EQUAL(base->qps[6].name, "third");
	phca_config_free(base);
	phca_config_free(other);
}
