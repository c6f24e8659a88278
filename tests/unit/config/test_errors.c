/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Errors: each is refused with its line, its path, what is wrong and what to do.
 */
#include <stdio.h>

#include "config_test.h"

#define REFUSED(text, want) CU_ASSERT(cfg_refused(text, want))
/* A port with more keys, on line 2. */
#define PORT_WITH(rest) "{\"ports\":[{\"name\":\"p\",\"device\":\"d\"," \
	"\"addresses\":[\"10.0.0.1/8\",\"2001:db8::1/64\"],\n" \
	rest "}]}"
#define FILTER(rest) "{\"filters\":[{\"name\":\"f\",\"object\":\"x.o\"," rest "}]}"
#define UD ",\"type\":\"UD\""
#define UC ",\"type\":\"UC\""
#define PROXY "{" PORT "," APP ",\"filters\":[{\"name\":\"by_size\",\"object\":\"x.o\"}]," \
	"\"offloads\":[{\"name\":\"o\",\"driver\":\"null\"}]," \
	"\"qps\":[{\"name\":\"a\",\"type\":\"UD\",\"app\":\"sink\"}," \
	"{\"name\":\"b\",\"type\":\"UD\",\"app\":\"sink\"}]," \
	"\"proxy_qps\":["

PHCA_TEST(errors, unknown_key_with_line_and_nearest)
{
	REFUSED("{\n \"portz\": []\n}", "2: portz: configuration has no key \"portz\"; did you mean \"ports\"?");
	REFUSED("{\"memory\":{\n\n\"mbufz\":1}}",
		"3: memory.mbufz: memory has no key \"mbufz\"; did you mean \"mbufs\"?");
	REFUSED("{\"quite_another\":1}", "1: quite_another: configuration has no key "
		"\"quite_another\"; remove it (doc/configuration.md lists the keys)");
	REFUSED("{\"Ports\":[]}", "1: Ports: configuration has no key \"Ports\"; did you mean \"ports\"?");
	REFUSED("{\"prots\":[]}", "1: prots: configuration has no key \"prots\"; did you mean \"ports\"?");
	REFUSED("{\"\":1}", "1: [\"\"]: configuration has no key \"\"; remove it (doc/configuration.md lists "
		"the keys)");
}

PHCA_TEST(errors, missing_key_is_on_the_line_of_its_object)
{
	REFUSED("{\"ports\":[\n{\"name\":\"p\"}]}",
		"2: ports[0]: port lacks key \"addresses\" (own addresses, each a GID; "
		"GID 0 is the link-local address made of the MAC); add it");
	REFUSED(QPS("\n{\"name\":\"a\",\"app\":\"sink\"}"), "2: qps[0]: qp lacks key \"type\" (transport); add it");
	REFUSED("{\"ports\":[{\"name\":\"p\",\n\"addresses\":[\"10.0.0.1/8\"]}]}",
		"1: ports[0]: port lacks key \"device\" (name of the DPDK port) or \"id\"; add one of them");
	REFUSED(PORT_WITH("\"id\":0"), "2: ports[0].id: there is a \"device\" too; remove one of them");
}

PHCA_TEST(errors, wrong_types)
{
	REFUSED("{\"ports\":{}}", "1: ports: is an object; give an array of objects, port");
	REFUSED("{\"ports\":[\n1]}", "2: ports[0]: is a number; give an object, port");
	REFUSED("{\"memory\":null}", "1: memory: is null; give an object, memory");
	REFUSED("{\"memory\":{\"mbufs\":\"1024\"}}",
		"1: memory.mbufs: is a string; give a whole number, 1024..4194304");
	REFUSED("{\"memory\":{\"mbufs\":true}}", "1: memory.mbufs: is true; give a whole number, 1024..4194304");
	REFUSED("{\"description\":1}", "1: description: is a number; give a string");
	REFUSED("{\"description\":\"\"}", "1: description: is empty; give a string");
	REFUSED(PORT_WITH("\"promiscuous\":1"), "2: ports[0].promiscuous: is a number; give true or false");
	REFUSED(PORT_WITH("\"gateway4\":1"), "2: ports[0].gateway4: is a number; give a string");
	REFUSED(PORT_WITH("\"mac\":false"),
		"2: ports[0].mac: \"false\" is no MAC address; give one as \"02:00:00:00:00:02\"");
	REFUSED("{\"ports\":[{\"name\":7}]}", "1: ports[0].name: is a number; give a string");
	REFUSED(QP(",\"type\":4"), "1: qps[0].type: is a number; give one of \"RC\", \"UC\", \"UD\"");
	REFUSED(QP(UC ",\"access\":\"remote_write\""), "1: qps[0].access: is a string; give an array of words");
	REFUSED(QP(UC ",\"qpn\":null"),
		"1: qps[0].qpn: is null; give a whole number, 2..16777214, or a string \"0x...\"");
	REFUSED(QP(UC ",\"port\":0"), "1: qps[0].port: is a number; give the name of a port");
	REFUSED(FILTER("\"params\":[]"), "1: filters[0].params: is an array; give an object");
	REFUSED(FILTER("\"params\":{\"n\":[]}"),
		"1: filters[0].params.n: is an array; give a whole number, true, false or a string");
	REFUSED(FILTER("\"params\":{\"n\":1.5}"),
		"1: filters[0].params.n: is no whole number; give a whole number, true, false or a string");
	REFUSED(FILTER("\"params\":{\"4n\":1}"),
		"1: filters[0].params.4n: is no name; give letters, digits and _, at most 63");
	REFUSED(FILTER("\"maps\":{\"m\":1}"), "1: filters[0].maps.m: is a number; give an object of keys and values");
	REFUSED(FILTER("\"maps\":{\"m\":{\"k\":[1,\n\"a\"]}}"),
		"2: filters[0].maps.m.k[1]: is no whole number; give one");
	REFUSED(FILTER("\"maps\":{\"m\":{\"k\":[]}}"),
		"1: filters[0].maps.m.k: has 0 elements; give 1..64 whole numbers");
	REFUSED(FILTER("\"maps\":{\"m\":{\"k\":{}}}"),
		"1: filters[0].maps.m.k: is an object; give a whole number, a string or an array of numbers");
	REFUSED("{\"offloads\":[{\"name\":\"o\",\"driver\":\"null\",\"settings\":{\"s\":null}}]}",
		"1: offloads[0].settings.s: is null; give a number, true, false or a string");
	REFUSED("{\"offloads\":[{\"name\":\"o\",\"driver\":\"null\",\"settings\":{\"s\":-1}}]}",
		"1: offloads[0].settings.s: is negative; give a whole number, 0 or more");
}

PHCA_TEST(errors, ranges)
{
	REFUSED("{\"memory\":{\"mbufs\":1023}}", "1: memory.mbufs: 1023 is out of range; give 1024..4194304");
	REFUSED("{\"memory\":{\"mbufs\":-1}}", "1: memory.mbufs: -1 is out of range; give 1024..4194304");
	REFUSED("{\"proxy\":{\"ring_size\":100}}",
		"1: proxy.ring_size: 100 is out of range; give a power of two, 64..1048576 elements");
	REFUSED("{\"host\":{\"mode\":\"0888\"}}",
		"1: host.mode: \"0888\" are no permissions; give 0 and 1 to 3 octal digits, \"0660\"");
	REFUSED("{\"host\":{\"mode\":432}}", "1: host.mode: is a number; give a string of octal digits, \"0660\"");
	REFUSED("{\"host\":{\"group\":\"no-such-group\"}}", "1: host.group: there is no group \"no-such-group\" on "
		"this machine; mend the name, or give the number");
	REFUSED("{\"host\":{\"group\":-1}}", "1: host.group: -1 is out of range; give 0..4294967294");
	REFUSED("{\"host\":{\"limits\":{\"clients\":0}}}", "1: host.limits.clients: 0 is out of range; give 1..4096");
	REFUSED("{\"host\":{\"device\":\"0a\"}}", "1: host.device: \"0a\" does not fit; give 1 to 23 characters: "
		"letters, digits, _ -, a letter first");
	REFUSED("{\"congestion\":{\"cnp_dscp\":64}}", "1: congestion.cnp_dscp: 64 is out of range; give 0..63");
	REFUSED("{\"congestion\":{\"min_rate_bps\":1}}",
		"1: congestion.min_rate_bps: 1 is out of range; give 1000000..1000000000000");
	REFUSED("{\"congestion\":{\"ecn\":1}}", "1: congestion.ecn: is a number; give true or false");
	REFUSED(PORT_WITH("\"mtu\":1500"),
		"2: ports[0].mtu: 1500 is out of range; give a power of two, 256..4096 bytes");
	REFUSED(PORT_WITH("\"vlan\":4095"), "2: ports[0].vlan: 4095 is out of range; give 0..4094");
	REFUSED(QP(UD ",\"qpn\":1"), "1: qps[0].qpn: 1 is out of range; give 2..16777214, or a string \"0x...\"");
	REFUSED(QP(UD ",\"qpn\":\"0xffffff\""),
		"1: qps[0].qpn: 16777215 is out of range; give 2..16777214, or a string \"0x...\"");
	REFUSED(QP(UD ",\"qpn\":\"12\""), "1: qps[0].qpn: \"12\" is no hexadecimal number of 1 to 6 digits; "
		"give 2..16777214, or a string \"0x...\"");
	REFUSED(QP(UD ",\"qkey\":\"0x100000000\""), "1: qps[0].qkey: \"0x100000000\" is no hexadecimal number of "
		"1 to 8 digits; give 0..4294967295, or a string \"0x...\"");
	REFUSED(QP(UD ",\"pkey\":32768"),
		"1: qps[0].pkey: 0x8000 is no valid partition key; its low 15 bits must not be 0");
	REFUSED(QP(UD ",\"count\":0"), "1: qps[0].count: 0 is out of range; give 1..4096");
	REFUSED(QP(UD ",\"qpn\":\"0xfffffd\",\n\"count\":3"),
		"2: qps[0].count: QPs 0xfffffd..0xffffff end behind 0xfffffe; lower it");
	REFUSED(QP(UD ",\"max_send_wr\":0,\"max_recv_wr\":0"),
		"1: qps[0].max_send_wr: and max_recv_wr are both 0; the QP could do nothing");
	REFUSED(PROXY "{\"qps\":\"*\",\"window\":15}]}",
		"1: proxy_qps[0].window: 15 is out of range; give 0 or 16..65536 WRs");
	REFUSED("{\"offloads\":[{\"name\":\"o\",\"driver\":\"d\",\"time_limit_us\":3600000001}]}",
		"1: offloads[0].time_limit_us: 3600000001 is out of range; give 0..3600000000 us");
}

PHCA_TEST(errors, what_a_transport_needs_and_has_not)
{
#define RC ",\"type\":\"RC\",\"peer\":\"192.0.2.2\""
	REFUSED(QP(",\n\"type\":\"RC\",\"dest_qpn\":5"),
		"1: qps[0]: qp lacks key \"peer\", which type \"RC\" needs; add it");
	REFUSED(QP(RC), "1: qps[0]: qp lacks key \"dest_qpn\", which type \"RC\" needs; add it");
	REFUSED(QP(RC ",\"dest_qpn\":5,\n\"timeout\":32"), "2: qps[0].timeout: 32 is out of range; give 0..31");
	REFUSED(QP(RC ",\"dest_qpn\":5,\"max_rd_atomic\":17"),
		"1: qps[0].max_rd_atomic: 17 is out of range; give 0..16");
	REFUSED(QP(RC ",\"dest_qpn\":\"0xfffffe\",\n\"count\":3"),
		"2: qps[0].count: peers 0xfffffe..0x1000000 end behind 0xffffff; lower it");
	REFUSED(QP(UC ",\"retry_cnt\":1"), "1: qps[0].retry_cnt: only a QP of type \"RC\" has this; remove it");
	REFUSED(QP(UD ",\"path_mtu\":256"),
		"1: qps[0].path_mtu: only a QP of type \"RC\" or \"UC\" has this; remove it");
	REFUSED(QP(RC ",\"dest_qpn\":5,\"qkey\":1"), "1: qps[0].qkey: only a QP of type \"UD\" has this; remove it");
}

PHCA_TEST(errors, a_qp_has_one_owner)
{
#define PEER(rest) "{" PORT "," APP ",\"srqs\":[{\"name\":\"s\",\"app\":\"sink\"}]," \
	"\"offloads\":[{\"name\":\"o\",\"driver\":\"null\"}]," \
	"\"qps\":[{\"name\":\"a\",\"peer\":\"192.0.2.2\",\"dest_qpn\":5," rest "}]}"
	REFUSED(PEER("\"type\":\"RC\""),
		"1: qps[0]: qp lacks key \"app\" (application that owns it) or \"offload\"; add one of them");
	REFUSED(PEER("\"type\":\"RC\",\"app\":\"sink\",\n\"offload\":\"o\""),
		"2: qps[0].offload: and \"app\" are both given; a QP belongs to one of them, remove the other");
	REFUSED(PEER("\"type\":\"RC\",\"offload\":\"O\""),
		"1: qps[0].offload: no offload named \"O\"; did you mean \"o\"?");
	REFUSED(PEER("\"type\":\"RC\",\"offload\":\"o\",\n\"srq\":\"s\""),
		"2: qps[0].srq: a QP of an offload takes no receives, its requests go to the offload; remove it");
	REFUSED("{" PORT ",\"offloads\":[{\"name\":\"o\",\"driver\":\"null\"}],"
		"\"qps\":[{\"name\":\"a\",\"type\":\"UD\",\"offload\":\"o\"}]}",
		"1: qps[0].offload: has peers on QPs of type \"RC\" or \"UC\", and this is \"UD\"; "
		"give it a peer, or to an app");
	REFUSED("{" PORT ",\"offloads\":[{\"name\":\"o\",\"driver\":\"null\"}],"
		"\"qps\":[{\"name\":\"a\",\"type\":\"RC\",\"offload\":\"o\",\"peer\":\"192.0.2.2\",\"dest_qpn\":5}],\n"
		"\"proxy_qps\":[{\"qps\":[\"a\"]}]}",
		"2: proxy_qps[0].qps: QP \"a\" belongs to offload \"o\", which gets all its requests; remove it");
}

PHCA_TEST(errors, lcores)
{
#define LCORES(v) "{\"lcores\":{\n\"hca\":" v "}}"
	REFUSED(LCORES("\"1\""), "2: lcores.hca: is a string; give a number or an array of numbers");
	REFUSED(LCORES("[]"), "2: lcores.hca: has 0 elements; give 1..8");
	REFUSED(LCORES("[1,2,3,4,5,6,7,8,9]"), "2: lcores.hca: has 9 elements; give 1..8");
	REFUSED(LCORES("[1,\n1]"), "3: lcores.hca[1]: lcore 1 is there twice; remove one");
	REFUSED(LCORES("-1"), "2: lcores.hca: -1 is out of range; give 0..127");
	REFUSED(LCORES("[128]"), "2: lcores.hca[0]: 128 is out of range; give 0..127");
	REFUSED(LCORES("1.5"), "2: lcores.hca: is no whole number; give a whole number, 0..127");
	REFUSED("{\"lcores\":{\"app\":[1]}}", "1: lcores.app: is an array; give a whole number, 0..127");
}

PHCA_TEST(errors, shared_receive_queues)
{
#define SRQ(s, q) "{" PORT ",\"apps\":[{\"name\":\"sink\",\"driver\":\"sink\"}," \
	"{\"name\":\"two\",\"driver\":\"sink\"}]," \
	"\"srqs\":[{\"name\":\"s\",\"app\":\"two\"" s "}],\n\"qps\":[{\"name\":\"a\",\"type\":\"UD\"" q "}]}"
	REFUSED(SRQ("", ",\"app\":\"sink\",\"srq\":\"s\""), "2: qps[0].srq: SRQ \"s\" belongs to another app "
		"than this QP; give one of the same");
	REFUSED(SRQ("", ",\"app\":\"two\",\"srq\":\"s\",\"max_recv_wr\":5"),
		"2: qps[0].max_recv_wr: the QP's receives are those of its \"srq\"; remove one");
	REFUSED(SRQ("", ",\"app\":\"two\",\"srq\":\"t\""), "2: qps[0].srq: no SRQ named \"t\"; add it to \"srqs\", "
		"or mend the name");
	REFUSED(SRQ(",\"max_wr\":4,\"limit\":5", ",\"app\":\"two\""),
		"1: srqs[0].limit: 5 is more than max_wr 4; lower it");
}

PHCA_TEST(errors, multicast_groups)
{
	REFUSED(QP(UD ",\"mcast\":[\"239.1.1.1\",\n\"10.0.0.1\"]"), "2: qps[0].mcast[1]: \"10.0.0.1\" is no "
		"multicast address; give one as \"239.1.1.1\" or \"ff15::1\"");
	REFUSED(QP(UD ",\"mcast\":[\"ff15::1\",\"ff15::1\"]"), "1: qps[0].mcast[1]: is there twice; remove one");
	REFUSED(QP(UD ",\"mcast\":\"239.1.1.1\""), "1: qps[0].mcast: is a string; give an array of strings");
	REFUSED(QP(UC ",\"mcast\":[]"), "1: qps[0].mcast: only a QP of type \"UD\" has this; remove it");
}

PHCA_TEST(errors, words_and_names)
{
	REFUSED(QP(",\"type\":\"XRC\""), "1: qps[0].type: there is no \"XRC\" (known: \"RC\", \"UC\", \"UD\"); "
		"did you mean \"RC\"?");
	REFUSED(QP(",\"type\":\"ud\""),
		"1: qps[0].type: there is no \"ud\" (known: \"RC\", \"UC\", \"UD\"); did you mean \"UD\"?");
	REFUSED(QP(UC ",\"access\":[\"remote_wirte\"]"), "1: qps[0].access[0]: there is no \"remote_wirte\" "
		"(known: \"remote_write\", \"remote_read\", \"remote_atomic\"); did you mean \"remote_write\"?");
	REFUSED(QP(UC ",\"access\":[\"remote_read\"]"), "1: qps[0].access: UC has neither READs "
		"nor atomics; leave only \"remote_write\"");
	REFUSED(QP(UC ",\"access\":[\"remote_write\",\n\"remote_write\"]"),
		"2: qps[0].access[1]: is there twice; remove one");
	REFUSED("{\"apps\":[{\"name\":\"a b\",\"driver\":\"sink\"}]}", "1: apps[0].name: \"a b\" does not fit; "
		"give 1 to 63 characters: letters, digits, _ . -, not . or - first");
	REFUSED(FILTER("\"program\":\"a-b\""), "1: filters[0].program: \"a-b\" does not fit; "
		"give 1 to 63 characters: letters, digits, _, no digit first");
	REFUSED(PROXY "{\"qps\":\"*\",\"rules\":[{\"filter\":\"by_size\",\"offload\":\"o\",\"direction\":\"out\"}]}]}",
		"1: proxy_qps[0].rules[0].direction: there is no \"out\"; give one of \"both\", \"send\", "
		"\"inbound\"");
}

PHCA_TEST(errors, addresses)
{
#define ADDR(a) "{\"ports\":[{\"name\":\"p\",\"device\":\"d\",\"addresses\":[\"10.0.0.1/8\",\n" a "]}]}"
	REFUSED(ADDR("\"10.0.0.2\""), "2: ports[0].addresses[1]: \"10.0.0.2\" has no prefix length; "
		"give one as \"192.0.2.1/24\" or \"2001:db8::1/64\"");
	REFUSED(ADDR("\"10.0.0.2/33\""),
		"2: ports[0].addresses[1]: \"10.0.0.2/33\" has no good prefix length; give 0..32");
	REFUSED(ADDR("\"10.0.0.2/08\""),
		"2: ports[0].addresses[1]: \"10.0.0.2/08\" has no good prefix length; give 0..32");
	REFUSED(ADDR("\"fd00::1/129\""),
		"2: ports[0].addresses[1]: \"fd00::1/129\" has no good prefix length; give 0..128");
	REFUSED(ADDR("\"10.0.2/24\""), "2: ports[0].addresses[1]: \"10.0.2\" is no IP address; "
		"give one as \"192.0.2.1\" or \"2001:db8::1\"");
	REFUSED(ADDR("\"224.0.0.1/24\""),
		"2: ports[0].addresses[1]: \"224.0.0.1\" is a multicast address; give a unicast address");
	REFUSED(ADDR("\"::/0\""),
		"2: ports[0].addresses[1]: \"::\" is the unspecified address; give a unicast address");
	REFUSED(ADDR("\"0.0.0.0/0\""),
		"2: ports[0].addresses[1]: \"0.0.0.0\" is the unspecified address; give a unicast address");
	REFUSED(ADDR("\"::ffff:10.0.0.2/120\""),
		"2: ports[0].addresses[1]: \"::ffff:10.0.0.2\" is an IPv4 address; write it as 10.0.0.2");
	REFUSED(ADDR("\"10.0.0.1/24\""),
		"2: ports[0].addresses[1]: \"10.0.0.1/24\" is the address of [0] again; remove one");
	REFUSED(ADDR("3"), "2: ports[0].addresses[1]: is a number; give a string");
	REFUSED("{\"ports\":[{\"name\":\"p\",\"device\":\"d\",\"addresses\":[]}]}",
		"1: ports[0].addresses: has 0 elements; give 1..15");
	REFUSED(PORT_WITH("\"gateway4\":\"2001:db8::2\""),
		"2: ports[0].gateway4: \"2001:db8::2\" is an IPv6 address; "
		"give an IPv4 address, or use key \"gateway6\"");
	REFUSED(PORT_WITH("\"gateway4\":\"192.0.2.9\""),
		"2: ports[0].gateway4: is in no prefix of the port; add an address of its network, or mend it");
	REFUSED(PORT_WITH("\"gateway6\":\"2001:db8::1\""),
		"2: ports[0].gateway6: is the port's own address; give that of the gateway");
	REFUSED(PORT_WITH("\"mac\":\"01:00:5e:00:00:01\""),
		"2: ports[0].mac: \"01:00:5e:00:00:01\" is a multicast address; give the address of one interface");
	REFUSED(PORT_WITH("\"mac\":\"00:00:00:00:00:00\""),
		"2: ports[0].mac: \"00:00:00:00:00:00\" is no address; give the address of one interface");
	REFUSED(PORT_WITH("\"mac\":\"02-00-00-00-00-02\""),
		"2: ports[0].mac: \"02-00-00-00-00-02\" is no MAC address; give one as \"02:00:00:00:00:02\"");
	REFUSED(PORT_WITH("\"neighbours\":[{\"address\":\"10.0.0.2\",\"mac\":\"02:00:00:00:00:02\"},\n"
		"{\"address\":\"10.0.0.2\",\"mac\":\"02:00:00:00:00:03\"}]"),
		"3: ports[0].neighbours[1].address: is that of neighbour [0] already; remove one");
	REFUSED(PORT_WITH("\"neighbours\":[{\"address\":\"10.0.0.1\",\"mac\":\"02:00:00:00:00:02\"}]"),
		"2: ports[0].neighbours[0].address: is an address of the port itself; remove it");
}

/* Whether the gateway is one of a port with this address. */
static bool is_gateway(const char *addr, const char *key, const char *gw)
{
	char text[256];
	struct phca_config *c;
	bool ok;

	snprintf(text, sizeof(text), "{\"ports\":[{\"name\":\"p\",\"id\":0,\"addresses\":[\"%s\"],\"%s\":\"%s\"}]}",
		addr, key, gw);
	c = cfg_text_on(text, NULL, NULL);
	ok = c != NULL;
	phca_config_free(c);
	return ok;
}

PHCA_TEST(errors, gateways_at_the_edges_of_prefixes)
{
	CU_ASSERT_TRUE(is_gateway("10.0.16.1/20", "gateway4", "10.0.31.255"));
	CU_ASSERT_TRUE(is_gateway("10.0.16.1/20", "gateway4", "10.0.16.2"));
	CU_ASSERT_FALSE(is_gateway("10.0.16.1/20", "gateway4", "10.0.32.1"));
	CU_ASSERT_FALSE(is_gateway("10.0.16.1/20", "gateway4", "10.0.15.255"));
	CU_ASSERT_FALSE(is_gateway("10.0.16.1/20", "gateway4", "10.0.16.1"));
	CU_ASSERT_TRUE(is_gateway("10.0.0.1/0", "gateway4", "203.0.113.1"));
	CU_ASSERT_FALSE(is_gateway("10.0.0.1/32", "gateway4", "10.0.0.2"));
	CU_ASSERT_TRUE(is_gateway("10.0.0.1/31", "gateway4", "10.0.0.0"));
	CU_ASSERT_TRUE(is_gateway("2001:db8:8000::1/33", "gateway6", "2001:db8:ffff::1"));
	CU_ASSERT_FALSE(is_gateway("2001:db8:8000::1/33", "gateway6", "2001:db8:7fff::1"));
	CU_ASSERT_TRUE(is_gateway("2001:db8::1/64", "gateway6", "fe80::1"));
	CU_ASSERT_TRUE(is_gateway("2001:db8::1/64", "gateway6", "febf::1"));
	CU_ASSERT_FALSE(is_gateway("2001:db8::1/64", "gateway6", "fec0::1"));
	CU_ASSERT_FALSE(is_gateway("2001:db8::1/0", "gateway4", "10.0.0.1"));
}

PHCA_TEST(errors, references)
{
	REFUSED("{" PORT "," APP ",\n"
		"\"filters\":[{\"name\":\"by_size\",\"object\":\"x.o\"}],\n"
		"\"offloads\":[{\"name\":\"o\",\"driver\":\"null\"}],\n"
		"\"qps\":[{\"name\":\"a\",\"type\":\"UD\",\"app\":\"sink\"}],\n"
		"\"proxy_qps\":[{\"qps\":\"*\",\"rules\":[{\"filter\":\"by_size\",\"offload\":\"o\"},\n"
		"{\"offload\":\"o\",\n\"filter\":\n\"by_sise\"}]}]}",
		"8: proxy_qps[0].rules[1].filter: no filter named \"by_sise\"; did you mean \"by_size\"?");
	REFUSED(PROXY "{\"qps\":\"*\",\"rules\":[{\"filter\":\"by_size\",\n\"offload\":\"delay\"}]}]}",
		"2: proxy_qps[0].rules[0].offload: no offload named \"delay\"; add it to \"offloads\", or "
		"mend the name");
	REFUSED(PROXY "{\"qps\":[\"a\",\n\"c-qp\"]}]}",
		"2: proxy_qps[0].qps[1]: no QP named \"c-qp\"; add it to \"qps\", or mend the name");
	REFUSED(QPS("{\"name\":\"a\",\"type\":\"UD\",\"app\":\"sing\"}"),
		"1: qps[0].app: no app named \"sing\"; did you mean \"sink\"?");
	REFUSED(QP(UD ",\"port\":\"p1\""), "1: qps[0].port: no port named \"p1\"; did you mean \"p0\"?");
	REFUSED("{" APP ",\"qps\":[{\"name\":\"a\",\"type\":\"UD\",\"app\":\"sink\"}]}",
		"1: qps[0]: there is no port for this QP; add one to \"ports\"");
	REFUSED("{\"proxy_qps\":[{\"qps\":\"*\"}]}",
		"1: proxy_qps[0].qps: \"*\" means all QPs, and there is none that belongs to an app; "
		"add one to \"qps\"");
	REFUSED("{\"proxy_qps\":[{\"qps\":\"all\"}]}",
		"1: proxy_qps[0].qps: is a string; give an array of names, or \"*\" for all QPs");
}

PHCA_TEST(errors, duplicates)
{
	REFUSED("{\"apps\":[{\"name\":\"a\",\"driver\":\"sink\"},\n{\"driver\":\"echo\",\n\"name\":\"a\"}]}",
		"3: apps[1].name: \"a\" is the name of app [0] already; give it another");
	REFUSED("{\"ports\":[{\"name\":\"p\",\"device\":\"d\",\"addresses\":[\"10.0.0.1/8\"]},\n"
		"{\"name\":\"q\",\"device\":\"d\",\"addresses\":[\"10.0.0.2/8\"]}]}",
		"2: ports[1].device: port \"p\" uses this device already; give another");
	REFUSED("{\"ports\":[{\"name\":\"p\",\"id\":0,\"addresses\":[\"10.0.0.1/8\"]},\n"
		"{\"name\":\"q\",\"id\":0,\"addresses\":[\"10.0.0.2/8\"]}]}",
		"2: ports[1].id: port \"p\" uses this device already; give another");
	REFUSED(QPS("{\"name\":\"a\",\"app\":\"sink\",\"type\":\"UD\",\"qpn\":16,\"count\":4},\n"
		"{\"name\":\"b\",\"app\":\"sink\",\"type\":\"UD\",\"qpn\":\"0x13\"}"),
		"2: qps[1].qpn: 0x13..0x13 overlaps with QP \"a\", 0x10..0x13; give other numbers");
	REFUSED(QPS("{\"name\":\"a\",\"app\":\"sink\",\"type\":\"UD\"},"
		"{\"name\":\"a\",\"app\":\"sink\",\"type\":\"UD\"}"),
		"1: qps[1].name: \"a\" is the name of qp [0] already; give it another");
	REFUSED(PROXY "{\"qps\":[\"a\",\"a\"]}]}", "1: proxy_qps[0].qps[1]: QP \"a\" is there twice; remove one");
	REFUSED(PROXY "{\"qps\":[\"a\"]},\n{\"qps\":\"*\"}]}",
		"2: proxy_qps[1].qps: QP \"a\" is a proxy QP by proxy_qps[0] already; put all its rules in "
		"one place");
	REFUSED(PROXY "{\"qps\":\"*\",\"rules\":[{\"filter\":\"by_size\",\"offload\":\"o\"},\n"
		"{\"filter\":\"by_size\",\"offload\":\"o\"}]}]}",
		"2: proxy_qps[0].rules[1].name: \"by_size-o\" is the name of rule [0] already; give it another");
}

PHCA_TEST(errors, keys_of_another_type_of_qp)
{
	REFUSED(QP(UC ",\n\"qkey\":1"), "2: qps[0].qkey: only a QP of type \"UD\" has this; remove it");
	REFUSED(QP(UD ",\n\"peer\":\"10.0.0.2\""),
		"2: qps[0].peer: only a QP of type \"RC\" or \"UC\" has this; remove it");
	REFUSED(QP(UD ",\"access\":[]"),
		"1: qps[0].access: only a QP of type \"RC\" or \"UC\" has this; remove it");
	REFUSED(QP(UD ",\"dest_qpn\":1"),
		"1: qps[0].dest_qpn: only a QP of type \"RC\" or \"UC\" has this; remove it");
	REFUSED(QP(UD ",\"path_mtu\":256"),
		"1: qps[0].path_mtu: only a QP of type \"RC\" or \"UC\" has this; remove it");
	REFUSED(QP(UD ",\"rq_psn\":0"),
		"1: qps[0].rq_psn: only a QP of type \"RC\" or \"UC\" has this; remove it");
}

PHCA_TEST(errors, sizes_that_do_not_fit_together)
{
	REFUSED("{\"memory\":{\n\"max_qp\":8}," PORT "," APP ",\n\"qps\":["
		"{\"name\":\"a\",\"type\":\"UD\",\"app\":\"sink\",\"count\":9}]}",
		"3: qps: make 9 QPs, more than memory.max_qp 8; raise that");
	REFUSED("{" PORT ",\n\"memory\":{\"mbuf_size\":4351}}",
		"2: memory: mbuf_size 4351 is less than mtu 4096 of port \"p0\" and 256 for headers; raise it");
	REFUSED("{\"ports\":[{\"name\":\"p\",\"device\":\"d\",\"mtu\":512,\"addresses\":[\"10.0.0.1/8\"]}],"
		APP ",\n\"qps\":["
		"{\"name\":\"a\",\"type\":\"UC\",\"app\":\"sink\",\n\"path_mtu\":1024}]}",
		"3: qps[0].path_mtu: 1024 is more than mtu 512 of port \"p\"; lower it");
}

PHCA_TEST(errors, rc_peer_without_a_way)
{
#define WAY(port, peer) "{\"ports\":[{\"name\":\"p\",\"device\":\"d\",\"addresses\":[\"10.0.0.1/8\"]" port "}]," \
	APP ",\n\"qps\":[{\"name\":\"a\",\"type\":\"RC\",\"app\":\"sink\",\"dest_qpn\":5,\n\"peer\":\"" peer "\"}]}"
#define NO_WAY "3: qps[0].peer: is in no prefix of port \"p\", which has no gateway of its family; " \
	"mend it, or add an address or a gateway to the port"
	REFUSED(WAY("", "192.0.2.2"), NO_WAY);
	REFUSED(WAY("", "2001:db8::2"), NO_WAY);
	REFUSED(WAY(",\"gateway4\":\"10.0.0.9\"", "2001:db8::2"), NO_WAY);
#undef NO_WAY
#undef WAY
}

PHCA_TEST(errors, filter_object_names_the_places_tried)
{
	const char *dirs = getenv("PHCA_FILTER_PATH");
	char want[256];

	CU_ASSERT_PTR_NOT_NULL_FATAL(dirs);
	snprintf(want, sizeof(want), "my.json:2: filters[0].object: there is no file \"nix.o\" (tried "
		"./nix.o, %s/nix.o, ",
		dirs);
	CU_ASSERT_PTR_NULL(cfg_text_on("{\"filters\":[{\"name\":\"f\",\n\"object\":\"nix.o\"}]}", NULL, NULL));
	CU_ASSERT_EQUAL(strncmp(cfg_err, want, strlen(want)), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(cfg_err, "/config/filters/nix.o, "));
	CU_ASSERT_PTR_NOT_NULL(strstr(cfg_err, "); compile it, mend the path, or set PHCA_FILTER_PATH"));
	/* absolute: only there; a folder is no object */
	REFUSED("{\"filters\":[{\"name\":\"f\",\"object\":\"/\"}]}", "1: filters[0].object: there is no file \"/\" "
		"(tried /); compile it, mend the path, or set PHCA_FILTER_PATH");
}

#define APP_PROXY(rest) "{\"app_proxy\":[{\"name\":\"k\"," rest "}]}"
#define MATCH(rest) APP_PROXY("\"match\":{" rest "}")

PHCA_TEST(errors, rule_lists_of_applications)
{
	REFUSED(APP_PROXY("\"window\":16"), "1: app_proxy[0]: rule list lacks key \"match\" (QPs that become proxy "
		"QPs: all that is given must fit; `{}`: all QPs); add it");
	REFUSED(MATCH("\"exe\":\"/bin/x\""), "1: app_proxy[0].match.exe: \"/bin/x\" does not fit; give 1 to 63 "
		"characters: printable ASCII, no space, no /");
	REFUSED(MATCH("\"user\":\"no-such-user-here\""), "1: app_proxy[0].match.user: there is no user "
		"\"no-such-user-here\" on this machine; mend the name, or give the number");
	REFUSED(MATCH("\"user\":\"a b\""), "1: app_proxy[0].match.user: \"a b\" is no name of a user; give a name, "
		"or the number");
	REFUSED(MATCH("\"user\":true"), "1: app_proxy[0].match.user: is true; give the name of a user, or the number");
	REFUSED(MATCH("\"user\":-1"), "1: app_proxy[0].match.user: -1 is out of range; give 0..4294967294");
	REFUSED(MATCH("\"transport\":\"XRC\""), "1: app_proxy[0].match.transport: there is no \"XRC\" (known: \"RC\", "
		"\"UC\", \"UD\"); did you mean \"RC\"?");
	REFUSED(MATCH("\"cq_depth\":{\"min\":8,\"max\":7}"),
		"1: app_proxy[0].match.cq_depth.max: 7 is less than min 8; raise it, or lower min");
	REFUSED(MATCH("\"peer\":\"10.0.0.0/33\""),
		"1: app_proxy[0].match.peer: \"10.0.0.0/33\" has no good prefix length; give 0..32");
	REFUSED(MATCH("\"peer\":\"host\""), "1: app_proxy[0].match.peer: \"host\" is no IP address or prefix; give one "
		"as \"192.0.2.0/24\" or \"2001:db8::1\"");
	REFUSED(MATCH("\"peer\":\"::ffff:10.0.0.1\""),
		"1: app_proxy[0].match.peer: \"::ffff:10.0.0.1\" is an IPv4 address; write it as 10.0.0.1");
	REFUSED(MATCH("\"prog\":1"), "1: app_proxy[0].match.prog: match has no key \"prog\"; remove it "
		"(doc/configuration.md lists the keys)");
	REFUSED("{\"app_proxy\":[{\"name\":\"k\",\"match\":{}},\n{\"name\":\"k\",\"match\":{}}]}",
		"2: app_proxy[1].name: \"k\" is the name of rule list [0] already; give it another");
}
