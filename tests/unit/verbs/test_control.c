/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Control verbs against an appliance of the test's own: what is asked of it, what programs
 * see of its answers, and what happens when it refuses, talks nonsense or is gone.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include "control.h"

#include "fake_appliance.h"
#include "phca_verbs.h"

int ibv_read_sysfs_file(const char *folder, const char *file, char *buf, size_t size);

static char dir[] = "/tmp/phca-verbs-XXXXXX";
static struct fake *box;
static struct ibv_device **list;
static struct ibv_context *ctx;

static void up(void)
{
	snprintf(dir, sizeof(dir), "/tmp/phca-verbs-XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
	setenv(PHCA_VERBS_ENV_SOCKET, dir, 1);
	box = fake_start(dir, "a.sock", "phca0");
	list = ibv_get_device_list(NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(list);
	CU_ASSERT_PTR_NOT_NULL_FATAL(list[0]);
	ctx = ibv_open_device(list[0]);
	CU_ASSERT_PTR_NOT_NULL_FATAL(ctx);
}

static void down(void)
{
	CU_ASSERT_EQUAL(ibv_close_device(ctx), 0);
	ibv_free_device_list(list);
	fake_stop(box);
	rmdir(dir);
	unsetenv(PHCA_VERBS_ENV_SOCKET);
}

static struct ibv_qp *make_qp(struct ibv_pd *pd, struct ibv_cq *cq, uint32_t inline_bytes)
{
	struct ibv_qp_init_attr a = { .send_cq = cq, .recv_cq = cq, .qp_type = IBV_QPT_RC,
		.cap = { .max_send_wr = 10, .max_recv_wr = 12, .max_send_sge = 2, .max_recv_sge = 1,
			.max_inline_data = inline_bytes } };

	return ibv_create_qp(pd, &a);
}

/* ------------------------------------------------------------------- devices */

PHCA_TEST(device, list_is_sorted_and_gives_the_same_pointers)
{
	struct ibv_device **a, **b;
	struct fake *other;
	int n = 0, m = 0;

	up();
	other = fake_start(dir, "b.sock", "phca0"); /* two that call themselves the same */
	a = ibv_get_device_list(&n);
	b = ibv_get_device_list(&m);
	CU_ASSERT_EQUAL_FATAL(n, 2);
	CU_ASSERT_EQUAL_FATAL(m, 2);
	CU_ASSERT_PTR_EQUAL(a[0], list[0]);
	CU_ASSERT_PTR_EQUAL(a[0], b[0]);
	CU_ASSERT_PTR_EQUAL(a[1], b[1]);
	CU_ASSERT_PTR_NULL(a[2]);
	CU_ASSERT(strverscmp(a[0]->name, a[1]->name) < 0);
	CU_ASSERT_STRING_NOT_EQUAL(a[0]->dev_name, a[1]->dev_name);
	CU_ASSERT_NOT_EQUAL(ibv_get_device_guid(a[0]), ibv_get_device_guid(a[1]));
	CU_ASSERT_NOT_EQUAL(ibv_get_device_index(a[0]), ibv_get_device_index(a[1]));
	CU_ASSERT_EQUAL(a[0]->node_type, IBV_NODE_CA);
	CU_ASSERT_EQUAL(a[0]->transport_type, IBV_TRANSPORT_IB);
	ibv_free_device_list(a);
	ibv_free_device_list(b);
	fake_stop(other);
	down();
}

PHCA_TEST(device, a_socket_without_appliance_is_no_device)
{
	char places[256];
	int n = -1;

	up();
	snprintf(places, sizeof(places), "%s/none.sock:/nonexistent:%s", dir, box->path);
	setenv(PHCA_VERBS_ENV_SOCKET, places, 1);
	ibv_free_device_list(ibv_get_device_list(&n));
	CU_ASSERT_EQUAL(n, 1);
	setenv(PHCA_VERBS_ENV_SOCKET, "/nonexistent", 1);
	ibv_free_device_list(ibv_get_device_list(&n));
	CU_ASSERT_EQUAL(n, 0);
	down();
}

PHCA_TEST(device, another_version_is_refused)
{
	int n = -1;

	up();
	box->version = PHCA_ADMIN_VERSION + 1;
	ibv_free_device_list(ibv_get_device_list(&n)); /* and one line on standard error */
	CU_ASSERT_EQUAL(n, 0);
	errno = 0;
	CU_ASSERT_PTR_NULL(ibv_open_device(list[0]));
	CU_ASSERT_EQUAL(errno, EPROTO);
	down();
}

PHCA_TEST(device, sysfs_files_that_programs_read)
{
	const char *path;
	char buf[64];

	up();
	path = list[0]->ibdev_path;
	CU_ASSERT_EQUAL(ibv_read_sysfs_file(path, "node_type", buf, sizeof(buf)), 5);
	CU_ASSERT_STRING_EQUAL(buf, "1: CA");
	CU_ASSERT(ibv_read_sysfs_file(path, "ports/1/gid_attrs/types/1", buf, sizeof(buf)) > 0);
	CU_ASSERT_STRING_EQUAL(buf, "RoCE v2");
	CU_ASSERT(ibv_read_sysfs_file(path, "node_guid", buf, sizeof(buf)) > 0);
	CU_ASSERT_STRING_EQUAL(buf, "0200:0000:0000:0061");
	CU_ASSERT(ibv_read_sysfs_file(path, "ports/1/gids/1", buf, sizeof(buf)) > 0);
	CU_ASSERT_STRING_EQUAL(buf, "0000:0000:0000:0000:0000:ffff:0a00:0001");
	CU_ASSERT(ibv_read_sysfs_file(path, "fw_ver", buf, sizeof(buf)) > 0);
	CU_ASSERT_STRING_EQUAL(buf, "1.2.3");
	CU_ASSERT_EQUAL(ibv_read_sysfs_file(path, "no/such", buf, sizeof(buf)), -1);
	CU_ASSERT_EQUAL(ibv_read_sysfs_file(path, "node_guid", buf, 10), -1); /* no room */
	CU_ASSERT(ibv_read_sysfs_file("/proc/self", "comm", buf, sizeof(buf)) > 0);
	CU_ASSERT_STRING_EQUAL(buf, "unit-verbs");
	down();
}

/* ---------------------------------------------------------------------- query */

PHCA_TEST(query, nothing_is_written_behind_an_older_struct)
{
	struct { struct ibv_port_attr a; uint8_t guard[8]; } p;
	struct { struct ibv_device_attr_ex a; uint8_t guard[64]; } d;
	struct { uint8_t a[48]; uint8_t guard[16]; } old;
	struct vctx *v;

	up();
	v = to_vctx(ctx);
	memset(&p, 0xee, sizeof(p));
	CU_ASSERT_EQUAL(v->v.query_port(ctx, 1, &p.a, 52), 0);
	CU_ASSERT_EQUAL(p.a.state, IBV_PORT_ACTIVE);
	CU_ASSERT_EQUAL(p.a.active_mtu, IBV_MTU_1024);
	CU_ASSERT_EQUAL(p.a.gid_tbl_len, 8);
	CU_ASSERT_EQUAL(p.a.link_layer, IBV_LINK_LAYER_ETHERNET);
	CU_ASSERT_EQUAL(p.a.active_width, 2); /* 4X EDR */
	CU_ASSERT_EQUAL(p.a.active_speed, 32);
	CU_ASSERT_EQUAL(((uint8_t *)&p)[52], 0xee);
	CU_ASSERT_EQUAL(v->v.query_port(ctx, 1, &p.a, 56), 0); /* a newer one: the rest is 0 */
	CU_ASSERT_EQUAL(((uint8_t *)&p)[55], 0);
	CU_ASSERT_EQUAL(((uint8_t *)&p)[56], 0xee);
	CU_ASSERT_EQUAL(v->v.query_port(ctx, 2, &p.a, 52), EINVAL);
	memset(&old, 0xee, sizeof(old));
	CU_ASSERT_EQUAL((ibv_query_port)(ctx, 1, (struct _compat_ibv_port_attr *)&old), 0);
	CU_ASSERT_EQUAL(old.guard[0], 0xee);
	memset(&d, 0xee, sizeof(d));
	CU_ASSERT_EQUAL(v->v.query_device_ex(ctx, NULL, &d.a, sizeof(d)), 0);
	CU_ASSERT_EQUAL(d.guard[63], 0);
	memset(&d, 0xee, sizeof(d));
	CU_ASSERT_EQUAL(v->v.query_device_ex(ctx, NULL, &d.a, 240), 0);
	CU_ASSERT_EQUAL(((uint8_t *)&d)[240], 0xee);
	CU_ASSERT_EQUAL(v->v.query_device_ex(ctx, NULL, &d.a, 100), EINVAL);
	down();
}

PHCA_TEST(query, the_device_is_what_the_appliance_says)
{
	struct ibv_device_attr a;
	struct ibv_values_ex t = { .comp_mask = IBV_VALUES_MASK_RAW_CLOCK };
	__be16 pkey = 0;

	up();
	CU_ASSERT_EQUAL(ibv_query_device(ctx, &a), 0);
	CU_ASSERT_STRING_EQUAL(a.fw_ver, "1.2.3");
	CU_ASSERT_EQUAL(a.vendor_id, 0x1234);
	CU_ASSERT_EQUAL(a.max_qp_wr, 1000);
	CU_ASSERT_EQUAL(a.max_sge, 4);
	CU_ASSERT_EQUAL(a.max_total_mcast_qp_attach, 30);
	CU_ASSERT_EQUAL(a.phys_port_cnt, 1);
	CU_ASSERT_EQUAL(a.node_guid, ibv_get_device_guid(list[0]));
	CU_ASSERT_EQUAL(ibv_query_rt_values_ex(ctx, &t), 0);
	CU_ASSERT_EQUAL(t.raw_clock.tv_nsec, 123456789);
	CU_ASSERT_EQUAL(ibv_query_pkey(ctx, 1, 0, &pkey), 0);
	CU_ASSERT_EQUAL(pkey, 0xffff);
	CU_ASSERT_EQUAL(ibv_query_pkey(ctx, 1, 1, &pkey), -1);
	CU_ASSERT_EQUAL(ibv_get_pkey_index(ctx, 1, htons(0xffff)), 0);
	CU_ASSERT_EQUAL(ibv_get_pkey_index(ctx, 1, htons(0x8001)), -1);
	down();
}

int ibv_query_gid_type(struct ibv_context *context, uint8_t port_num, unsigned int index, unsigned int *type);

PHCA_TEST(query, gids_empty_entries_and_beyond)
{
	struct ibv_gid_entry e[8];
	union ibv_gid g;
	unsigned int type = 9;

	up();
	CU_ASSERT_EQUAL(ibv_query_gid(ctx, 1, 4, &g), 0);
	CU_ASSERT_EQUAL(g.raw[12], 10);
	CU_ASSERT_EQUAL(g.raw[15], 2);
	CU_ASSERT_EQUAL(ibv_query_gid(ctx, 1, 3, &g), 0); /* empty */
	CU_ASSERT_EQUAL(g.global.interface_id, 0);
	CU_ASSERT_EQUAL(ibv_query_gid(ctx, 1, 8, &g), -1);
	CU_ASSERT_EQUAL(errno, EINVAL);
	CU_ASSERT_EQUAL(ibv_query_gid_type(ctx, 1, 1, &type), 0);
	CU_ASSERT_EQUAL(type, 1); /* RoCE v2 in this call's numbers */
	CU_ASSERT_EQUAL(ibv_query_gid_ex(ctx, 1, 1, &e[0], 0), 0);
	CU_ASSERT_EQUAL(e[0].gid_type, IBV_GID_TYPE_ROCE_V2);
	CU_ASSERT_EQUAL(ibv_query_gid_ex(ctx, 1, 2, &e[0], 0), ENODATA);
	CU_ASSERT_EQUAL(ibv_query_gid_ex(ctx, 1, 8, &e[0], 0), EINVAL);
	CU_ASSERT_EQUAL(ibv_query_gid_ex(ctx, 1, 1, &e[0], 1), EOPNOTSUPP);
	CU_ASSERT_EQUAL(ibv_query_gid_table(ctx, e, 8, 0), FAKE_GIDS);
	CU_ASSERT_EQUAL(e[2].gid_index, 4);
	CU_ASSERT_EQUAL(ibv_query_gid_table(ctx, e, 2, 0), -EINVAL);
	/* Another size of entry: a newer program's. */
	CU_ASSERT_EQUAL(_ibv_query_gid_table(ctx, e, 4, 0, sizeof(e[0]) * 2), FAKE_GIDS);
	CU_ASSERT_EQUAL(e[4].gid_index, 4);
	CU_ASSERT_EQUAL(e[5].gid_index, 0);
	down();
}

/* ------------------------------------------------------------------- addresses */

PHCA_TEST(ah, waits_for_the_neighbour_and_keeps_its_mac)
{
	struct ibv_ah_attr a = { .is_global = 1, .port_num = 1, .sl = 3,
		.grh = { .sgid_index = 1, .hop_limit = 9, .traffic_class = 8, .flow_label = 0x12345 } };
	struct ibv_pd *pd;
	struct ibv_ah *ah;
	uint8_t mac[6];
	uint16_t vid;

	up();
	pd = ibv_alloc_pd(ctx);
	a.grh.dgid.raw[10] = a.grh.dgid.raw[11] = 0xff;
	a.grh.dgid.raw[15] = 9;
	box->refuse_n[PHCA_ADMIN_RESOLVE] = 5;
	box->refuse[PHCA_ADMIN_RESOLVE] = -EAGAIN;
	ah = ibv_create_ah(pd, &a);
	CU_ASSERT_PTR_NOT_NULL_FATAL(ah);
	CU_ASSERT_EQUAL(box->count[PHCA_ADMIN_RESOLVE], 6);
	CU_ASSERT_EQUAL(box->last[PHCA_ADMIN_RESOLVE].u.resolve.sgid_index, 1);
	CU_ASSERT_EQUAL(memcmp(box->last[PHCA_ADMIN_RESOLVE].u.resolve.dgid, a.grh.dgid.raw, 16), 0);
	CU_ASSERT_EQUAL(to_vah(ah)->av.dmac[5], 7);
	CU_ASSERT_EQUAL(to_vah(ah)->av.hop_limit, 9);
	CU_ASSERT_EQUAL(to_vah(ah)->av.traffic_class, 8);
	CU_ASSERT_EQUAL(to_vah(ah)->av.flow_label, 0x12345);
	CU_ASSERT_EQUAL(to_vah(ah)->av.sl, 3);
	CU_ASSERT_EQUAL(ibv_destroy_ah(ah), 0);
	CU_ASSERT_EQUAL(ibv_resolve_eth_l2_from_gid(ctx, &a, mac, &vid), 0);
	CU_ASSERT_EQUAL(mac[5], 7);
	CU_ASSERT_EQUAL(vid, 0xffff);
	box->refuse[PHCA_ADMIN_RESOLVE] = -EHOSTUNREACH;
	CU_ASSERT_PTR_NULL(ibv_create_ah(pd, &a));
	CU_ASSERT_EQUAL(errno, EHOSTUNREACH);
	a.is_global = 0; /* RoCE has no other */
	CU_ASSERT_PTR_NULL(ibv_create_ah(pd, &a));
	CU_ASSERT_EQUAL(errno, EINVAL);
	ibv_dealloc_pd(pd);
	down();
}

/* The last 20 of the 40 bytes, as RoCE v2 over IPv4 leaves them. */
static void ipv4_grh(struct ibv_grh *grh, uint8_t last)
{
	uint8_t *b = (uint8_t *)grh + 20;
	uint32_t sum = 0;

	memset(grh, 0x66, 20); /* not defined; looks like version 6 */
	memset(b, 0, 20);
	b[0] = 0x45, b[1] = 0x28, b[8] = 17;
	b[12] = 10, b[15] = 200;  /* from 10.0.0.200 */
	b[16] = 10, b[19] = last; /* to 10.0.0.last */
	for (unsigned int i = 0; i < 20; i += 2)
		sum += ((uint32_t)b[i] << 8) | b[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	b[10] = (uint8_t)(~sum >> 8), b[11] = (uint8_t)~sum;
}

PHCA_TEST(ah, from_a_received_datagram)
{
	struct ibv_wc wc = { .wc_flags = IBV_WC_GRH, .sl = 2 };
	struct ibv_ah_attr a;
	struct ibv_grh grh;

	up();
	ipv4_grh(&grh, 2); /* our 10.0.0.2 is entry 4 */
	CU_ASSERT_EQUAL(ibv_init_ah_from_wc(ctx, 1, &wc, &grh, &a), 0);
	CU_ASSERT_EQUAL(a.grh.sgid_index, 4);
	CU_ASSERT_EQUAL(a.grh.dgid.raw[11], 0xff);
	CU_ASSERT_EQUAL(a.grh.dgid.raw[15], 200);
	CU_ASSERT_EQUAL(a.grh.traffic_class, 0x28);
	CU_ASSERT_EQUAL(a.sl, 2);
	CU_ASSERT_EQUAL(a.is_global, 1);
	ipv4_grh(&grh, 77); /* not one of ours */
	CU_ASSERT_EQUAL(ibv_init_ah_from_wc(ctx, 1, &wc, &grh, &a), -1);
	CU_ASSERT_EQUAL(errno, ENOENT);
	ipv4_grh(&grh, 2);
	((uint8_t *)&grh)[30]++; /* its checksum is wrong: an IPv6 header, to nobody we know */
	CU_ASSERT_EQUAL(ibv_init_ah_from_wc(ctx, 1, &wc, &grh, &a), -1);
	memset(&grh, 0, sizeof(grh));
	grh.version_tclass_flow = htonl(0x60000000 | 0x1c << 20 | 0xabcde);
	grh.sgid.raw[0] = 0xfe, grh.sgid.raw[15] = 0x55;
	grh.dgid.raw[0] = 0xfe, grh.dgid.raw[1] = 0x80, grh.dgid.raw[15] = 1;
	CU_ASSERT_EQUAL(ibv_init_ah_from_wc(ctx, 1, &wc, &grh, &a), 0);
	CU_ASSERT_EQUAL(a.grh.sgid_index, 0);
	CU_ASSERT_EQUAL(a.grh.dgid.raw[15], 0x55);
	CU_ASSERT_EQUAL(a.grh.flow_label, 0xabcde);
	CU_ASSERT_EQUAL(a.grh.traffic_class, 0x1c);
	grh.dgid.raw[0] = 0xff; /* to a group: answered from our first address of the family */
	CU_ASSERT_EQUAL(ibv_init_ah_from_wc(ctx, 1, &wc, &grh, &a), 0);
	CU_ASSERT_EQUAL(a.grh.sgid_index, 0);
	down();
}

/* --------------------------------------------------------------------- objects */

PHCA_TEST(mr, says_where_memory_is_and_with_which_rights)
{
	struct ibv_mr *mr;
	struct ibv_pd *pd;
	char *mem = aligned_alloc(4096, 3 * 4096);

	up();
	memset(mem, 7, 3 * 4096);
	pd = ibv_alloc_pd(ctx);
	mr = ibv_reg_mr_iova2(pd, mem + 100, 5000, 0x1000,
		IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_RELAXED_ORDERING);
	CU_ASSERT_PTR_NOT_NULL_FATAL(mr);
	CU_ASSERT_EQUAL(box->last[PHCA_ADMIN_MR_REG].u.mr_reg.access, 5);
	CU_ASSERT_EQUAL(box->last[PHCA_ADMIN_MR_REG].u.mr_reg.iova, 0x1000);
	CU_ASSERT_EQUAL(box->last[PHCA_ADMIN_MR_REG].u.mr_reg.length, 5000);
	CU_ASSERT_EQUAL(box->seg[0].kind, PHCA_ADMIN_SEG_SWAP);
	CU_ASSERT_EQUAL(box->seg[0].va, (uintptr_t)mem);
	CU_ASSERT_EQUAL(box->seg[0].length, 8192);
	CU_ASSERT_EQUAL(box->count[PHCA_ADMIN_MEM_SHARE], 1);
	CU_ASSERT_EQUAL(box->fds_got, 1);
	CU_ASSERT_EQUAL(mr->lkey, mr->rkey);
	CU_ASSERT_EQUAL(mem[101], 7);
	CU_ASSERT_EQUAL(ibv_dereg_mr(mr), 0);
	mr = (ibv_reg_mr)(pd, mem, 10, 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(mr);
	CU_ASSERT_EQUAL(box->count[PHCA_ADMIN_MEM_SHARE], 1); /* once */
	CU_ASSERT_EQUAL(box->last[PHCA_ADMIN_MR_REG].u.mr_reg.iova, (uintptr_t)mem);
	CU_ASSERT_EQUAL(ibv_rereg_mr(mr, IBV_REREG_MR_CHANGE_ACCESS, NULL, NULL, 0, IBV_ACCESS_LOCAL_WRITE), 0);
	CU_ASSERT_EQUAL(box->last[PHCA_ADMIN_MR_REG].u.mr_reg.access, 1);
	CU_ASSERT_EQUAL(box->last[PHCA_ADMIN_MR_REG].u.mr_reg.length, 10);
	CU_ASSERT_EQUAL(ibv_rereg_mr(mr, IBV_REREG_MR_CHANGE_PD, NULL, NULL, 0, 0), IBV_REREG_MR_ERR_INPUT);
	CU_ASSERT_EQUAL(ibv_dereg_mr(mr), 0);
	CU_ASSERT_EQUAL(box->count[PHCA_ADMIN_MR_REG], box->count[PHCA_ADMIN_MR_DEREG]);
	CU_ASSERT_PTR_NULL((ibv_reg_mr)(pd, mem, 10, IBV_ACCESS_ON_DEMAND));
	CU_ASSERT_EQUAL(errno, EOPNOTSUPP);
	CU_ASSERT_PTR_NULL((ibv_reg_mr)(pd, mem, 0, 0));
	CU_ASSERT_EQUAL(errno, EINVAL);
	CU_ASSERT_PTR_NULL((ibv_reg_mr)(pd, (void *)(uintptr_t)4096, 10, 0)); /* nothing is there */
	CU_ASSERT_EQUAL(errno, EFAULT);
	box->refuse[PHCA_ADMIN_PD_FREE] = -EBUSY;
	CU_ASSERT_EQUAL(ibv_dealloc_pd(pd), EBUSY);
	CU_ASSERT_EQUAL(ibv_dealloc_pd(pd), 0);
	free(mem);
	down();
}

PHCA_TEST(mr, what_cannot_be_shared_is_reached_through_the_kernel)
{
	void *mem = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct ibv_mr *mr;
	struct ibv_pd *pd;

	up();
	pd = ibv_alloc_pd(ctx);
	box->refuse[PHCA_ADMIN_MR_REG] = -EACCES; /* as an appliance that may not look there */
	mr = (ibv_reg_mr)(pd, mem, 8192, IBV_ACCESS_LOCAL_WRITE);
	CU_ASSERT_PTR_NOT_NULL_FATAL(mr);
	CU_ASSERT_EQUAL(box->count[PHCA_ADMIN_MR_REG], 2);
	CU_ASSERT_EQUAL(box->last[PHCA_ADMIN_MR_REG].u.mr_reg.nb_segs, 1);
	CU_ASSERT_EQUAL(box->seg[0].kind, PHCA_ADMIN_SEG_REMOTE);
	CU_ASSERT_EQUAL(box->seg[0].length, 8192);
	CU_ASSERT_EQUAL(ibv_dereg_mr(mr), 0);
	ibv_dealloc_pd(pd);
	munmap(mem, 8192);
	down();
}

PHCA_TEST(qp, limits_caps_and_attributes)
{
	struct ibv_qp_attr a = { .qp_state = IBV_QPS_RTR, .path_mtu = IBV_MTU_2048, .dest_qp_num = 0x123,
		.rq_psn = 0x1ffffff, .max_dest_rd_atomic = 4, .min_rnr_timer = 12, .qkey = 99 };
	const int rtr = IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
		IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER;
	struct ibv_qp_init_attr init;
	struct phca_admin_qp_attr *sent;
	struct ibv_cq *cq;
	struct ibv_qp *qp;
	struct ibv_pd *pd;

	up();
	pd = ibv_alloc_pd(ctx);
	cq = ibv_create_cq(ctx, 20, NULL, NULL, 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(cq);
	CU_ASSERT_PTR_NULL(make_qp(pd, cq, FAKE_INLINE + 1)); /* libfabric searches the limit so */
	CU_ASSERT_EQUAL(errno, EINVAL);
	qp = make_qp(pd, cq, 10);
	CU_ASSERT_PTR_NOT_NULL_FATAL(qp);
	CU_ASSERT_PTR_EQUAL(vtable_get(&to_vctx(ctx)->qps, qp->qp_num), qp);
	CU_ASSERT_EQUAL(qp->state, IBV_QPS_RESET);
	CU_ASSERT_PTR_NULL(ibv_qp_to_qp_ex(qp));
	a.ah_attr.is_global = 1;
	a.ah_attr.grh.dgid.raw[15] = 3;
	CU_ASSERT_EQUAL(ibv_modify_qp(qp, &a, rtr), 0);
	CU_ASSERT_EQUAL(qp->state, IBV_QPS_RTR);
	CU_ASSERT_EQUAL(box->count[PHCA_ADMIN_RESOLVE], 1);
	sent = &box->last[PHCA_ADMIN_QP_MODIFY].u.qp_modify.attr;
	CU_ASSERT_EQUAL(box->last[PHCA_ADMIN_QP_MODIFY].u.qp_modify.mask, (uint32_t)rtr);
	CU_ASSERT_EQUAL(sent->path_mtu, 2048);
	CU_ASSERT_EQUAL(sent->rq_psn, 0xffffff);
	CU_ASSERT_EQUAL(sent->av.dgid[15], 3);
	CU_ASSERT_EQUAL(sent->av.dmac[5], 0);
	CU_ASSERT_EQUAL(sent->qkey, 0); /* not in the mask */
	CU_ASSERT_EQUAL(ibv_modify_qp(qp, &a, IBV_QP_STATE | IBV_QP_CAP), EOPNOTSUPP);
	CU_ASSERT_EQUAL(ibv_query_qp(qp, &a, 0, &init), 0);
	CU_ASSERT_EQUAL(a.path_mtu, IBV_MTU_2048);
	CU_ASSERT_EQUAL(a.dest_qp_num, 0x123);
	CU_ASSERT_EQUAL(init.cap.max_inline_data, FAKE_INLINE);
	CU_ASSERT_EQUAL(init.cap.max_recv_wr, 12);
	box->refuse[PHCA_ADMIN_QP_MODIFY] = -EINVAL;
	CU_ASSERT_EQUAL(ibv_modify_qp(qp, &a, IBV_QP_STATE), EINVAL);
	CU_ASSERT_EQUAL(ibv_destroy_qp(qp), 0);
	CU_ASSERT_EQUAL(ibv_destroy_cq(cq), 0);
	ibv_dealloc_pd(pd);
	down();
}

PHCA_TEST(cq, completions_that_were_not_polled_outlive_a_resize)
{
	struct phca_cqe e = { .flags = 0 };
	struct phca_ring hca;
	struct ibv_wc wc[8];
	struct ibv_cq *cq;
	struct ibv_pd *pd;
	struct ibv_qp *qp;

	up();
	pd = ibv_alloc_pd(ctx);
	cq = ibv_create_cq(ctx, 4, NULL, NULL, 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(cq);
	qp = make_qp(pd, cq, 0);
	hca = to_vcq(cq)->ring;
	e.wc.qp_num = qp->qp_num;
	e.wc.opcode = IBV_WC_RECV;
	for (uint64_t i = 0; i < 3; i++) {
		e.wc.wr_id = i;
		memcpy(phca_ring_next(&hca), &e, sizeof(e));
	}
	phca_ring_publish(&hca);
	CU_ASSERT_EQUAL(ibv_poll_cq(cq, 1, wc), 1);
	CU_ASSERT_EQUAL(ibv_resize_cq(cq, 64), 0);
	CU_ASSERT_EQUAL(cq->cqe, 64);
	CU_ASSERT_EQUAL(box->count[PHCA_ADMIN_CQ_RESIZE_DONE], 1);
	hca = to_vcq(cq)->ring;
	e.wc.wr_id = 3;
	memcpy(phca_ring_next(&hca), &e, sizeof(e));
	phca_ring_publish(&hca);
	CU_ASSERT_EQUAL(ibv_resize_cq(cq, 128), 0); /* again, with what is left of both */
	CU_ASSERT_EQUAL(ibv_poll_cq(cq, 8, wc), 3);
	for (uint64_t i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(wc[i].wr_id, i + 1);
	CU_ASSERT_EQUAL(ibv_poll_cq(cq, 8, wc), 0);
	CU_ASSERT_EQUAL(ibv_resize_cq(cq, 5000), EINVAL);
	CU_ASSERT_EQUAL(ibv_destroy_qp(qp), 0);
	CU_ASSERT_EQUAL(ibv_destroy_cq(cq), 0);
	ibv_dealloc_pd(pd);
	down();
}

PHCA_TEST(cq, a_channel_with_cqs_is_busy)
{
	struct ibv_cq *cq;

	up();
	CU_ASSERT_PTR_NULL(ibv_create_cq(ctx, 4, NULL, NULL, 1)); /* one vector only */
	CU_ASSERT_EQUAL(errno, EINVAL);
	CU_ASSERT_PTR_NULL(ibv_create_cq(ctx, 0, NULL, NULL, 0));
	box->refuse[PHCA_ADMIN_CQ_DESTROY] = -EBUSY;
	cq = ibv_create_cq(ctx, 4, NULL, NULL, 0);
	CU_ASSERT_EQUAL(ibv_destroy_cq(cq), EBUSY);
	CU_ASSERT_EQUAL(ibv_destroy_cq(cq), 0);
	down();
}

PHCA_TEST(srq, made_armed_and_asked)
{
	struct ibv_srq_init_attr init = { .attr = { .max_wr = 16, .max_sge = 2 } };
	struct ibv_srq_attr a = { .srq_limit = 5 };
	struct ibv_srq *srq;
	struct ibv_pd *pd;
	uint32_t num = 0;

	up();
	pd = ibv_alloc_pd(ctx);
	srq = ibv_create_srq(pd, &init);
	CU_ASSERT_PTR_NOT_NULL_FATAL(srq);
	CU_ASSERT_EQUAL(ibv_modify_srq(srq, &a, IBV_SRQ_LIMIT), 0);
	CU_ASSERT_EQUAL(box->last[PHCA_ADMIN_SRQ_ARM].u.srq_arm.limit, 5);
	CU_ASSERT_EQUAL(ibv_modify_srq(srq, &a, IBV_SRQ_MAX_WR), EOPNOTSUPP);
	CU_ASSERT_EQUAL(ibv_query_srq(srq, &a), 0);
	CU_ASSERT_EQUAL(a.max_wr, 16);
	CU_ASSERT_EQUAL(ibv_get_srq_num(srq, &num), 0);
	CU_ASSERT_EQUAL(num, 77);
	CU_ASSERT_EQUAL(ibv_destroy_srq(srq), 0);
	init.attr.max_wr = 100000;
	CU_ASSERT_PTR_NULL(ibv_create_srq(pd, &init));
	CU_ASSERT_EQUAL(errno, EINVAL);
	ibv_dealloc_pd(pd);
	down();
}

PHCA_TEST(unsupported, verbs_that_this_device_does_not_have)
{
	struct ibv_xrcd_init_attr xrcd = { .comp_mask = 0 };
	struct ibv_alloc_dm_attr dm = { .length = 8 };

	up();
	CU_ASSERT_PTR_NULL(ibv_open_xrcd(ctx, &xrcd));
	CU_ASSERT_EQUAL(errno, EOPNOTSUPP);
	CU_ASSERT_PTR_NULL(ibv_alloc_dm(ctx, &dm));
	CU_ASSERT_EQUAL(errno, EOPNOTSUPP);
	CU_ASSERT_PTR_NULL(ibv_reg_dmabuf_mr(NULL, 0, 1, 0, 0, 0));
	CU_ASSERT_EQUAL(errno, EOPNOTSUPP);
	CU_ASSERT_EQUAL(ibv_fork_init(), 0);
	CU_ASSERT_EQUAL(ibv_is_fork_initialized(), IBV_FORK_UNNEEDED);
	down();
}

/* ------------------------------------------------------------------- the end of it */

static void expect_dead(struct ibv_context *c)
{
	struct pollfd p = { .fd = c->async_fd, .events = POLLIN };
	struct ibv_async_event e;
	struct ibv_device_attr a;

	CU_ASSERT_EQUAL_FATAL(poll(&p, 1, 10000), 1);
	CU_ASSERT_EQUAL(ibv_get_async_event(c, &e), 0);
	CU_ASSERT_EQUAL(e.event_type, IBV_EVENT_DEVICE_FATAL);
	ibv_ack_async_event(&e);
	CU_ASSERT_EQUAL(ibv_query_device(c, &a), EIO);
	CU_ASSERT_PTR_NULL(ibv_alloc_pd(c));
	CU_ASSERT_EQUAL(errno, EIO);
}

PHCA_TEST(gone, an_appliance_that_ends_is_told_and_destroying_works)
{
	struct ibv_qp_attr a = { .qp_state = IBV_QPS_ERR };
	struct ibv_cq *cq;
	struct ibv_mr *mr;
	struct ibv_pd *pd;
	struct ibv_qp *qp;
	void *mem = calloc(1, 100);

	up();
	pd = ibv_alloc_pd(ctx);
	cq = ibv_create_cq(ctx, 4, NULL, NULL, 0);
	mr = (ibv_reg_mr)(pd, mem, 100, IBV_ACCESS_LOCAL_WRITE);
	CU_ASSERT_PTR_NOT_NULL_FATAL(mr);
	qp = make_qp(pd, cq, 0);
	fake_die(box);
	expect_dead(ctx);
	CU_ASSERT_EQUAL(ibv_modify_qp(qp, &a, IBV_QP_STATE), EIO);
	CU_ASSERT_EQUAL(ibv_destroy_qp(qp), 0);
	CU_ASSERT_EQUAL(ibv_dereg_mr(mr), 0);
	CU_ASSERT_EQUAL(ibv_destroy_cq(cq), 0);
	CU_ASSERT_EQUAL(ibv_dealloc_pd(pd), 0);
	free(mem);
	down();
}

static void events_write(unsigned int n)
{
	struct phca_admin_event e = { .num = 1 };

	CU_ASSERT_EQUAL(fcntl(box->events_wr, F_SETFL, O_NONBLOCK), 0);
	for (unsigned int i = 0; i < n; i++) {
		e.type = i % 2 ? IBV_EVENT_PORT_ACTIVE : IBV_EVENT_PORT_ERR;
		while (write(box->events_wr, &e, sizeof(e)) < 0)
			usleep(100);
	}
}

/*
 * Bytes that a full pipe has at least. The watcher writes up to 128 at once, which begin another page
 * when they do not fit into the last.
 */
static int full_pipe(int fd)
{
	int size = fcntl(fd, F_GETPIPE_SZ);

	return size - size / 4096 * 128;
}

/* More than the program's descriptor holds: the appliance keeps the others, and the last word comes last. */
PHCA_TEST(gone, events_that_nobody_reads_are_not_lost)
{
	const unsigned int many = 10000;
	struct ibv_async_event e;
	unsigned int n = 0;
	int bytes = 0;

	up();
	events_write(many);
	for (unsigned int i = 0; i < many; i++) {
		CU_ASSERT_EQUAL_FATAL(ibv_get_async_event(ctx, &e), 0);
		CU_ASSERT_EQUAL(e.event_type, i % 2 ? IBV_EVENT_PORT_ACTIVE : IBV_EVENT_PORT_ERR);
		ibv_ack_async_event(&e);
	}
	events_write(many);
	while (ioctl(ctx->async_fd, FIONREAD, &bytes) == 0 && bytes < full_pipe(ctx->async_fd))
		usleep(100);
	fake_die(box);
	do {
		CU_ASSERT_EQUAL_FATAL(ibv_get_async_event(ctx, &e), 0);
	} while (e.event_type != IBV_EVENT_DEVICE_FATAL && n++ < many);
	CU_ASSERT_EQUAL(e.event_type, IBV_EVENT_DEVICE_FATAL);
	CU_ASSERT(n >= (unsigned int)full_pipe(ctx->async_fd) / sizeof(struct phca_admin_event));
	down();
}

PHCA_TEST(gone, an_appliance_that_babbles_is_not_believed)
{
	up();
	box->babble = true;
	CU_ASSERT_PTR_NULL(ibv_alloc_pd(ctx));
	CU_ASSERT_EQUAL(errno, EIO);
	expect_dead(ctx);
	down();
}

PHCA_TEST(gone, a_new_appliance_serves_who_opens_again)
{
	struct ibv_context *again;
	struct ibv_pd *pd;
	struct fake *second;

	up();
	fake_die(box);
	expect_dead(ctx);
	second = fake_start(dir, "a.sock", "phca0");
	again = ibv_open_device(list[0]);
	CU_ASSERT_PTR_NOT_NULL_FATAL(again);
	pd = ibv_alloc_pd(again);
	CU_ASSERT_PTR_NOT_NULL(pd);
	ibv_dealloc_pd(pd);
	ibv_close_device(again);
	fake_stop(second);
	down();
}

PHCA_TEST(gone, a_child_of_fork_asks_nothing)
{
	struct phca_ring hca;
	struct phca_cqe *e;
	struct ibv_cq *cq;
	struct ibv_pd *pd;
	struct ibv_qp *qp;
	struct ibv_wc wc;
	int status = 0;
	pid_t child;

	up();
	pd = ibv_alloc_pd(ctx);
	cq = ibv_create_cq(ctx, 4, NULL, NULL, 0);
	qp = make_qp(pd, cq, 0);
	hca = to_vcq(cq)->ring;
	e = phca_ring_next(&hca);
	e->wc = (struct phca_wc){ .wr_id = 99, .opcode = IBV_WC_RECV, .qp_num = qp->qp_num };
	phca_ring_publish(&hca);
	child = fork();
	if (child == 0) { /* no CUnit here */
		bool ok = ibv_alloc_pd(ctx) == NULL && errno == EIO && ibv_destroy_qp(qp) == 0 &&
			ibv_destroy_cq(cq) == 0 && ibv_dealloc_pd(pd) == 0;

		_exit(ok ? 42 : 1);
	}
	waitpid(child, &status, 0);
	CU_ASSERT(WIFEXITED(status));
	CU_ASSERT_EQUAL(WEXITSTATUS(status), 42);
	CU_ASSERT_EQUAL(box->count[PHCA_ADMIN_PD_FREE], 0);
	CU_ASSERT_EQUAL(box->count[PHCA_ADMIN_QP_DESTROY], 0);
	CU_ASSERT_EQUAL(ibv_poll_cq(cq, 1, &wc), 1); /* the parent's completion is still there */
	CU_ASSERT_EQUAL(wc.wr_id, 99);
	CU_ASSERT_EQUAL(ibv_destroy_qp(qp), 0);
	CU_ASSERT_EQUAL(ibv_destroy_cq(cq), 0);
	CU_ASSERT_EQUAL(ibv_dealloc_pd(pd), 0); /* and so do its objects */
	CU_ASSERT_EQUAL(box->count[PHCA_ADMIN_PD_FREE], 1);
	down();
}
