/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The admin server takes any messages. An input is a connection's life: each message
 * is an op with the members that its length asks for, or raw bytes, with the
 * client's shared memory, a file or nothing as descriptors; between them the lcores
 * turn. Whatever it was: the server goes on, an answer has the form that its op has,
 * and when the connection ends nothing of it is left: objects, memory, descriptors.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <rte_eal.h>

#include "fuzz_check.h"
#include "lab.h"
#include "phca_admin.h"
#include "phca_host.h"

#define MESSAGES_MAX 64
#define MEM_BYTES (INT64_C(1) << 30) /* of shared memory */
#define OP_MASK 0x3f
#define WITH_MEM 0x40  /* the memory object comes along */
#define RAW 0x80       /* the message is not completed: any bytes, any length */

static struct lab *lab;
static struct phca_host *host;
static struct sockaddr_un addr = { .sun_family = AF_UNIX };
static int mem_fd;
static unsigned int fds_before;

static char *eal[] = {
	(char[]){ "fuzz" }, (char[]){ "--no-huge" }, (char[]){ "-m" }, (char[]){ "256" }, (char[]){ "--no-pci" },
	(char[]){ "--no-shconf" }, (char[]){ "--no-telemetry" }, (char[]){ "--lcores" }, (char[]){ "0@0" },
	(char[]){ "--log-level=critical" }, NULL,
};

static unsigned int fds_now(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned int n = 0;

	FUZZ_CHECK(d != NULL);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

static void end(void)
{
	phca_host_destroy(host);
}

static void begin(void)
{
	struct phca_host_conf conf = {
		.device = "fuzz", .path = addr.sun_path, .version = "", .mode = 0600, .max_qp = 4096, .max_mr = 4096,
	};
	char err[512];

	FUZZ_CHECK(rte_eal_init(RTE_DIM(eal) - 1, eal) >= 0);
	lab = lab_open(NULL);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "/tmp/phca-fuzz-admin-%d", (int)getpid());
	phca_host_limits_default(&conf.limits);
	conf.limits.arena_bytes = 4 << 20;
	conf.limits.mem_bytes = 64 << 20;
	for (unsigned int k = 0; k < PHCA_HOST_KIND_COUNT; k++)
		conf.limits.objects[k] = 8;
	conf.hca = lab->hca;
	conf.mem = lab->mem;
	conf.loop = lab->hca_loop;
	host = phca_host_create(&conf, err, sizeof(err));
	FUZZ_CHECK(host != NULL);
	atexit(end);
	mem_fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	FUZZ_CHECK(ftruncate(mem_fd, MEM_BYTES) == 0 && fcntl(mem_fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
}

static void serve(void)
{
	while (phca_host_poll(host) > 0)
		;
}

/* What came, and close what came along. @return false: the connection has ended */
static bool answer(int fd, const struct phca_admin_req *q)
{
	union {
		struct phca_admin_ans ans;
		uint8_t bytes[PHCA_ADMIN_MSG_MAX];
	} a;
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(PHCA_ADMIN_FDS_MAX * sizeof(int))];
	} control;
	struct iovec io = { &a, sizeof(a) };
	struct msghdr h = {
		.msg_iov = &io, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(fd, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *k = CMSG_FIRSTHDR(&h);

	if (n <= 0) {
		FUZZ_CHECK(n == 0 || errno == ECONNRESET);
		return false;
	}
	for (size_t i = 0; k != NULL && i < (k->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
		int got;

		memcpy(&got, CMSG_DATA(k) + i * sizeof(int), sizeof(int));
		close(got);
	}
	FUZZ_CHECK(a.ans.magic == PHCA_ADMIN_MAGIC && a.ans.len == n);
	FUZZ_CHECK(a.ans.op == q->op && a.ans.seq == q->seq && a.ans.status <= 0);
	if (a.ans.status != 0 && q->op != PHCA_ADMIN_HELLO)
		FUZZ_CHECK(n == PHCA_ADMIN_ANS_HDR);
	else if (q->op == PHCA_ADMIN_GIDS_QUERY)
		FUZZ_CHECK(n == PHCA_ADMIN_ANS_HDR + 8 + a.ans.u.nb_gids * (ssize_t)sizeof(struct phca_admin_gid));
	else
		FUZZ_CHECK(n == (ssize_t)phca_admin_ans_len(q->op));
	return true;
}

/* One message of the input. @return bytes of it that were used; 0: the connection has ended */
static size_t message(int fd, const uint8_t *data, size_t size, uint32_t seq)
{
	union {
		struct phca_admin_req req;
		uint8_t bytes[PHCA_ADMIN_MSG_MAX];
	} m = { .bytes = { 0 } };
	uint32_t op = data[0] & OP_MASK, len = phca_admin_req_len(op);
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(sizeof(int))];
	} control = { .bytes = { 0 } };
	struct iovec io = { &m, 0 };
	struct msghdr h = { .msg_iov = &io, .msg_iovlen = 1 };
	size_t used = RTE_MIN(size - 1, len > PHCA_ADMIN_REQ_HDR ? (size_t)len - PHCA_ADMIN_REQ_HDR : 0);

	memcpy(m.bytes + PHCA_ADMIN_REQ_HDR, data + 1, used);
	if (op == PHCA_ADMIN_MR_REG) {
		size_t segs = (m.req.u.mr_reg.nb_segs & 3) * sizeof(struct phca_admin_seg);
		size_t more = RTE_MIN(size - 1 - used, segs);

		m.req.u.mr_reg.nb_segs &= 3;
		memcpy(m.bytes + len, data + 1 + used, more);
		len += (uint32_t)segs;
		used += more;
	}
	if (data[0] & WITH_MEM) {
		h.msg_control = &control;
		h.msg_controllen = sizeof(control);
		control.align = (struct cmsghdr){ CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
		memcpy(CMSG_DATA(&control.align), &mem_fd, sizeof(int));
	}
	if (data[0] & RAW) {
		len = (uint32_t)RTE_MIN(size - 1, sizeof(m));
		memcpy(&m, data + 1, len);
		used = len;
	} else {
		m.req.magic = PHCA_ADMIN_MAGIC;
		m.req.op = (uint16_t)op;
		m.req.len = (uint16_t)len;
		m.req.seq = seq;
		m.req.nb_fds = h.msg_control != NULL;
	}
	io.iov_len = len;
	if (len == 0 || sendmsg(fd, &h, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)len)
		return 0;
	serve();
	lab_turn(lab, 2);
	return answer(fd, &m.req) ? 1 + used : 0;
}

static void nothing_is_left(void)
{
	struct phca_host_stats st;

	serve();
	phca_host_stats_get(host, &st);
	FUZZ_CHECK(st.connected == 0 && st.clients == 0 && st.mem_bytes == 0 && st.arena_used == 0);
	FUZZ_CHECK(st.clients_opened == st.clients_closed);
	FUZZ_CHECK(phca_mem_nb_mr(lab->mem) == 0 && phca_mem_nb_mw(lab->mem) == 0);
	/* what might wait is closed by other threads, a moment later */
	for (unsigned int i = 0; fds_now() != fds_before && i < 10000; i++)
		usleep(1000);
	FUZZ_CHECK(fds_now() == fds_before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct phca_admin_req hello = {
		.magic = PHCA_ADMIN_MAGIC, .op = PHCA_ADMIN_HELLO,
		.len = (uint16_t)phca_admin_req_len(PHCA_ADMIN_HELLO),
		.u.hello = { .version = PHCA_ADMIN_VERSION, .queue_abi = PHCA_QUEUE_ABI },
	};
	size_t used;
	int fd;

	if (lab == NULL)
		begin();
	if (size == 0)
		return -1;
	fds_before = fds_now(); /* libFuzzer opens some of its own between inputs, to name functions */
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	FUZZ_CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	if (data[0] & 1) { /* else it has to say HELLO itself */
		FUZZ_CHECK(send(fd, &hello, hello.len, MSG_NOSIGNAL) == hello.len);
		serve();
		FUZZ_CHECK(answer(fd, &hello));
	}
	data++;
	size--;
	for (uint32_t i = 0; i < MESSAGES_MAX && size > 0; i++) {
		used = message(fd, data, size, i);
		if (used == 0)
			break;
		data += used;
		size -= used;
	}
	close(fd);
	nothing_is_left();
	return 0;
}
