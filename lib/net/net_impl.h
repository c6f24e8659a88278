/* SPDX-License-Identifier: BSD-3-Clause */
/* What the sources of lib/net share: the port, its neighbours, frame helpers. */
#ifndef NET_IMPL_H
#define NET_IMPL_H

#include <string.h>
#include <sys/queue.h>

#include <rte_branch_prediction.h>
#include <rte_ether.h>
#include <rte_hash.h>
#include <rte_log.h>
#include <rte_mbuf.h>

#include "phca_net.h"

extern int phca_net_logtype;
#define NET_LOG(level, ...) rte_log(RTE_LOG_##level, phca_net_logtype, "net: " __VA_ARGS__)

#define ONE_S 1000000000ull

/* Timers and counts of neighbours; RFC 4861 section 10 where it has one. */
#define PROBE_MAX     3                   /* MAX_MULTICAST_SOLICIT, MAX_UNICAST_SOLICIT */
#define PROBE_GAP_NS  ONE_S            /* RETRANS_TIMER */
#define REACHABLE_NS  (30 * ONE_S)     /* REACHABLE_TIME */
#define HOLD_NS       (3 * ONE_S)      /* a failed neighbour is not asked for */
#define IN_USE_NS     (60 * ONE_S)     /* used since: not evicted */
#define AGE_NS        (600 * ONE_S)    /* not used since: forgotten */
#define SWEEP_NS      ONE_S            /* one step of the search for aged entries */
#define SWEEP_STEP    64u                 /* entries of one step */
#define ANNOUNCE_NUM  2u                  /* RFC 5227 ANNOUNCE_NUM */
#define ANNOUNCE_NS   (2 * ONE_S)      /* RFC 5227 ANNOUNCE_INTERVAL */

#define ETH_HDR   14u
#define VLAN_HDR  4u
#define ARP_LEN   28u
#define IP4_HDR   20u
#define IP6_HDR   40u
#define ICMP_HDR  8u
#define ND_LEN    24u                     /* NS or NA without options */
#define ND_OPT    8u                      /* link-layer address option */
#define FRAME_MIN 60u                     /* shortest Ethernet frame without FCS */

/* State of an entry. READY to users: STATIC, REACHABLE, STALE, PROBE. */
enum neigh_is {
	NEIGH_FREE,      /* not in the table */
	NEIGH_STATIC,    /* configured; never changes */
	NEIGH_ASKING,    /* MAC unknown, asking all; on the probe list */
	NEIGH_REACHABLE, /* has answered since confirmed_ns */
	NEIGH_STALE,     /* MAC known, never confirmed; its use starts probes */
	NEIGH_PROBE,     /* MAC known and used, being asked; on the probe list */
	NEIGH_NO_ANSWER, /* until due_ns, then forgotten; on the held list */
};

struct neigh {
	uint8_t gid[16];
	uint8_t mac[6];
	uint8_t state;         /* enum neigh_is */
	uint8_t probes;        /* sent since the state began */
	uint8_t sgid;          /* own GID to ask from */
	bool used;             /* resolved by own traffic at least once */
	uint64_t used_ns;      /* last resolved; learnt when never used */
	uint64_t confirmed_ns; /* REACHABLE: last answer */
	uint64_t due_ns;       /* next probe, or end of NO_ANSWER */
	TAILQ_ENTRY(neigh) listed; /* ASKING, PROBE: probe_list; NO_ANSWER: held_list */
};
TAILQ_HEAD(neigh_list, neigh);

/* What other lcores see of an entry (lookup.c). */
struct neigh_view {
	uint64_t gid[2];  /* zeros: nobody */
	uint64_t what;    /* as view_pack() makes it: MAC address and state */
	uint32_t version; /* odd: being written */
};

/* A multicast group, as control threads want it. */
struct group_slot {
	uint8_t gid[16];
	uint32_t want;  /* control: number of the last change; odd: member */
	uint32_t done;  /* the owner: change up to which nothing is left to report */
};
/* The same, as its owner reports it. */
struct group {
	uint32_t seen;      /* last change of the slot that was taken */
	bool member;
	uint8_t left;       /* reports of the change to send */
	uint64_t change_ns; /* when the next of them is due */
	uint64_t answer_ns; /* when a query is to be answered */
};
#define GROUP_RECORDS 10u /* of one report: it fits where packets of the smallest MTU do */
/* Record types of IGMPv3 and MLDv2 (RFC 3376 4.2.12, RFC 3810 5.2.12). */
enum group_type { GROUP_IS_EXCLUDE = 2, GROUP_TO_INCLUDE = 3, GROUP_TO_EXCLUDE = 4 };
struct group_record {
	const uint8_t *gid;
	unsigned int slot;
	enum group_type type;
};
struct group_query {
	const uint8_t *gid; /* NULL: all groups */
	uint64_t max_ns;    /* answer within, > 0 */
	bool ip6;
	bool old;           /* of a router that knows version 1 (MLD) or 2 (IGMP) only */
};

/* How a neighbour's address came to be known. */
enum neigh_heard {
	HEARD_ASKING_US,  /* it asked for one of our addresses */
	HEARD_ANNOUNCING, /* it told, unasked or to somebody else */
	HEARD_ANSWERING,  /* it answered us, if we asked */
};

struct prefix {
	uint64_t net[2], mask[2]; /* network byte order as loaded */
	bool ip6;
};

struct phca_net {
	/* is_ours: constant */
	uint64_t mac48;        /* own MAC as the low 6 bytes of a load */
	bool promisc, vlan;
	uint16_t vlan_id;
	uint16_t nb_ip4;
	uint16_t nb_gids;
	uint32_t ip4[PHCA_GID_MAX]; /* own IPv4 addresses, network order */
	uint8_t gids[PHCA_GID_MAX][16];
	struct prefix prefixes[PHCA_GID_MAX];

	/* constant, less often used */
	uint16_t port_id, mtu, nb_rxq, nb_txq;
	uint8_t mac[6];
	bool has_gw4, has_gw6, set_mac;
	uint8_t gw4[16], gw6[16];
	struct rte_mempool *pool;

	/* control threads' */
	bool started, mc_list; /* mc_list: the device filters multicast by a list of MACs */
	uint32_t members[PHCA_NET_GROUP_MAX]; /* joins of each slot */

	/* the HCA lcore's */
	struct rte_hash *hash;  /* GID -> index into neighs */
	struct neigh_list probe_list; /* ordered by due_ns */
	struct neigh_list held_list;  /* ordered by due_ns */
	uint64_t poll_ns;       /* nothing is due before */
	uint64_t sweep_ns;
	uint32_t nb_neighs, hand, sweep; /* clock hand of eviction; next to look at for age */
	uint32_t announce_left, announce_gid;
	uint64_t announce_ns;
	struct neigh neighs[PHCA_NEIGH_MAX];
	uint64_t groups_ns;     /* no report is due before */
	uint64_t old_until_ns[2]; /* IGMP, MLD: an older router was heard */
	struct group groups[PHCA_NET_GROUP_MAX];

	/* control threads write, but for done; the owner reads */
	bool group_news __rte_cache_aligned; /* some slot's want has changed */
	struct group_slot slots[PHCA_NET_GROUP_MAX];

	/* written by the HCA lcore that owns the port, read by all */
	struct neigh_view views[PHCA_NEIGH_MAX] __rte_cache_aligned;
	/* own GID + 1: another lcore used the entry with it; the owner clears */
	uint8_t touched[PHCA_NEIGH_MAX] __rte_cache_aligned;
};

static inline uint64_t load64(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}
static inline uint32_t load32(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* A MAC address that one station can have. */
static inline bool mac_ok(const uint8_t mac[6])
{
	/* rte_is_valid_assigned_ether_addr() wants an even address */
	return (mac[0] & 1) == 0 && (mac[0] | mac[1] | mac[2] | mac[3] | mac[4] | mac[5]) != 0;
}

/* port.c: writes the text of an error, returns ret. */
__attribute__((format(printf, 4, 5)))
int fault(char *err, size_t err_len, int ret, const char *fmt, ...);

/* queues.c: configures the device and sets up all its queues; errors as in fault. */
struct rte_eth_dev_info;
int queues_init(struct phca_net *net, const struct phca_net_conf *c,
		const struct rte_eth_dev_info *info, char *err, size_t n);

/* gid.c */
int gid_add(struct phca_net *net, const uint8_t gid[16], uint8_t prefix_len, bool ip6);
bool gid_is_unicast(const uint8_t gid[16]);
bool gid_on_link(const struct phca_net *net, const uint8_t gid[16], bool ip6);
bool gid_multicast_mac(const uint8_t gid[16], uint8_t mac[6]);
void gid_join_solicited_node(struct phca_net *net, unsigned int idx);
bool gid_is_solicited_node(const struct phca_net *net, const uint8_t ip6[16]);

/* neigh.c */
int neigh_init(struct phca_net *net, int socket_id);
void neigh_fini(struct phca_net *net);
struct neigh *neigh_find(const struct phca_net *net, const uint8_t gid[16]);
bool neigh_hear(struct phca_net *net, const uint8_t gid[16], const uint8_t mac[6],
		enum neigh_heard how, uint64_t now_ns);
void neigh_doubt(struct neigh *e);

/*
 * The way to a destination, as far as it never changes. HOP_LINK: a station of the
 * link. HOP_FAR: a static neighbour, or else the gateway *gw (NULL: there is none).
 */
enum hop { HOP_MAC /* mac is written */, HOP_NONE, HOP_LINK, HOP_FAR };
enum hop next_hop(const struct phca_net *net, unsigned int sgid, const uint8_t dgid[16],
		uint8_t mac[6], const uint8_t **gw);

/* lookup.c: the owner's side */
void view_write(struct phca_net *net, const struct neigh *e, enum phca_neigh_state state);
unsigned int touched_take(struct phca_net *net, unsigned int idx);

/* input.c: helpers for the frames that this port sends by itself */
struct rte_mbuf *frame_new(struct phca_net *net, const uint8_t dmac[6], uint16_t type,
		uint32_t l3_len, uint8_t **l3);
void frame_answer(const struct phca_net *net, struct rte_mbuf *m, const uint8_t dmac[6]);

/* One file a protocol. f: the frame's L3 header; n: bytes from there on. */
enum phca_verdict arp_input(struct phca_net *net, struct rte_mbuf *m, uint8_t *f, uint32_t n,
		uint64_t now_ns, bool *reply);
enum phca_verdict icmp4_input(struct phca_net *net, struct rte_mbuf *m, uint8_t *f, uint32_t n,
		bool *reply);
enum phca_verdict icmp6_input(struct phca_net *net, struct rte_mbuf *m, uint8_t *f, uint32_t n,
		uint64_t now_ns, bool *reply);
enum phca_verdict echo6_input(struct phca_net *net, struct rte_mbuf *m, uint8_t *ip, uint32_t len,
		bool *reply);
enum phca_verdict nd_input(struct phca_net *net, struct rte_mbuf *m, uint8_t *ip, uint32_t len,
		uint64_t now_ns, bool *reply);
uint16_t icmp6_csum(const uint8_t *ip, const uint8_t *l4, uint32_t len);

enum phca_verdict igmp_input(struct phca_net *net, const uint8_t *f, uint32_t n, uint64_t now_ns);
enum phca_verdict mld_input(struct phca_net *net, const uint8_t *ip, uint32_t n, uint64_t now_ns);

/* group.c. filter_start: control; whether multicast comes in. restart: control, no owner yet. */
bool group_filter_start(struct phca_net *net);
void group_restart(struct phca_net *net);
void group_query(struct phca_net *net, const struct group_query *q, uint64_t now_ns);
unsigned int group_run(struct phca_net *net, uint64_t now_ns, struct rte_mbuf **out, unsigned int n,
		uint64_t *next);
/* n records of one family, 1..GROUP_RECORDS; old: the older version, then n is 1. */
struct rte_mbuf *igmp_report(struct phca_net *net, const struct group_record *r, unsigned int n,
		bool old);
struct rte_mbuf *mld_report(struct phca_net *net, const struct group_record *r, unsigned int n,
		bool old);

/* Who asks: dmac NULL asks all. Announcements of own GID idx. */
struct rte_mbuf *arp_request(struct phca_net *net, unsigned int sgid, const uint8_t tip[4],
		const uint8_t *dmac);
struct rte_mbuf *nd_solicit(struct phca_net *net, unsigned int sgid, const uint8_t target[16],
		const uint8_t *dmac);
struct rte_mbuf *nd_announce(struct phca_net *net, unsigned int gid);

#endif
