/* SPDX-License-Identifier: BSD-3-Clause */
/* Which entry of app_proxy a queue pair of an application gets. */
#include <errno.h>

#include "config_test.h"

static const uint8_t near[16] = { [10] = 0xff, 0xff, 192, 0, 2, 77 }, far[16] = { [10] = 0xff, 0xff, 192, 0, 3, 77 };
static const uint8_t six[16] = { 0x20, 0x01, 0x0d, 0xb8, 0x12, 0x34, [15] = 1 };

static struct phca_config_app_qp any(void)
{
	return (struct phca_config_app_qp){ .exe = "ib_send_bw", .uid = 1000, .type = PHCA_QPT_RC, .cq_depth = 64 };
}

#define M(rest) "{\"app_proxy\":[{\"name\":\"a\",\"match\":{" rest "}}]}"

/* Whether the only entry takes q: 0, or what find says. */
static int one(const char *text, struct phca_config_app_qp q)
{
	struct phca_config *c = cfg_text(text);
	int rc;

	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	rc = phca_config_app_proxy_find(c, &q);
	phca_config_free(c);
	return rc;
}

PHCA_TEST(match, keys_that_are_not_given_take_any)
{
	struct phca_config_app_qp q = any();

	CU_ASSERT_EQUAL(one("{}", q), -ENOENT);
	CU_ASSERT_EQUAL(one(M(""), q), 0);
	q.type = PHCA_QPT_UD;
	q.cq_depth = PHCA_CQE_MAX;
	CU_ASSERT_EQUAL(one(M(""), q), 0);
}

PHCA_TEST(match, each_key)
{
	struct phca_config_app_qp q = any();

	CU_ASSERT_EQUAL(one(M("\"exe\":\"ib_send_bw\""), q), 0);
	CU_ASSERT_EQUAL(one(M("\"exe\":\"ib_send\""), q), -ENOENT);
	CU_ASSERT_EQUAL(one(M("\"exe\":\"ib_*_bw\""), q), 0);
	CU_ASSERT_EQUAL(one(M("\"exe\":\"ib_[rw]*\""), q), -ENOENT);
	CU_ASSERT_EQUAL(one(M("\"user\":1000"), q), 0);
	CU_ASSERT_EQUAL(one(M("\"user\":\"1000\""), q), 0);
	CU_ASSERT_EQUAL(one(M("\"user\":\"root\""), q), -ENOENT);
	CU_ASSERT_EQUAL(one(M("\"transport\":\"RC\""), q), 0);
	CU_ASSERT_EQUAL(one(M("\"transport\":\"UD\""), q), -ENOENT);
	CU_ASSERT_EQUAL(one(M("\"cq_depth\":{\"min\":64}"), q), 0);
	CU_ASSERT_EQUAL(one(M("\"cq_depth\":{\"min\":65}"), q), -ENOENT);
	CU_ASSERT_EQUAL(one(M("\"cq_depth\":{\"max\":64}"), q), 0);
	CU_ASSERT_EQUAL(one(M("\"cq_depth\":{\"max\":63}"), q), -ENOENT);
	CU_ASSERT_EQUAL(one(M("\"exe\":\"ib_send_bw\",\"user\":1000,\"transport\":\"UC\""), q), -ENOENT);
}

PHCA_TEST(match, peer_is_known_later_and_never_for_ud)
{
	struct phca_config_app_qp q = any();

	CU_ASSERT_EQUAL(one(M("\"peer\":\"192.0.2.0/24\""), q), -EAGAIN);
	CU_ASSERT_EQUAL(one(M("\"peer\":\"192.0.2.0/24\",\"exe\":\"x\""), q), -ENOENT);
	q.dgid = near;
	CU_ASSERT_EQUAL(one(M("\"peer\":\"192.0.2.0/24\""), q), 0);
	CU_ASSERT_EQUAL(one(M("\"peer\":\"192.0.2.77\""), q), 0);
	CU_ASSERT_EQUAL(one(M("\"peer\":\"192.0.2.76\""), q), -ENOENT);
	CU_ASSERT_EQUAL(one(M("\"peer\":\"192.0.2.76/31\""), q), 0);
	CU_ASSERT_EQUAL(one(M("\"peer\":\"192.0.2.78/31\""), q), -ENOENT);
	CU_ASSERT_EQUAL(one(M("\"peer\":\"0.0.0.0/0\""), q), 0);
	CU_ASSERT_EQUAL(one(M("\"peer\":\"2001:db8::/32\""), q), -ENOENT);
	CU_ASSERT_EQUAL(one(M("\"peer\":\"::/0\""), q), -ENOENT); /* of the other family */
	q.dgid = six;
	CU_ASSERT_EQUAL(one(M("\"peer\":\"0.0.0.0/0\""), q), -ENOENT);
	CU_ASSERT_EQUAL(one(M("\"peer\":\"::/0\""), q), 0);
	CU_ASSERT_EQUAL(one(M("\"peer\":\"2001:db8:1235::/46\""), q), 0);
	CU_ASSERT_EQUAL(one(M("\"peer\":\"2001:db8:1235::/48\""), q), -ENOENT);
	q.type = PHCA_QPT_UD;
	CU_ASSERT_EQUAL(one(M("\"peer\":\"::/0\""), q), -ENOENT);
}

PHCA_TEST(match, the_first_that_fits)
{
	struct phca_config *c = cfg_text("{\"app_proxy\":[{\"name\":\"a\",\"match\":{\"user\":0}},"
		"{\"name\":\"b\",\"match\":{\"peer\":\"192.0.2.0/24\"}},"
		"{\"name\":\"c\",\"match\":{\"transport\":\"RC\"}},{\"name\":\"d\",\"match\":{}}]}");
	struct phca_config_app_qp q = any();

	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	CU_ASSERT_EQUAL(phca_config_app_proxy_find(c, &q), -EAGAIN);
	q.dgid = near;
	CU_ASSERT_EQUAL(phca_config_app_proxy_find(c, &q), 1);
	q.dgid = far;
	CU_ASSERT_EQUAL(phca_config_app_proxy_find(c, &q), 2);
	q.type = PHCA_QPT_UC;
	CU_ASSERT_EQUAL(phca_config_app_proxy_find(c, &q), 3);
	q.dgid = NULL;
	q.type = PHCA_QPT_UD;
	CU_ASSERT_EQUAL(phca_config_app_proxy_find(c, &q), 3);
	q.type = PHCA_QPT_RC;
	q.uid = 0;
	CU_ASSERT_EQUAL(phca_config_app_proxy_find(c, &q), 0); /* decided before the peer counts */
	phca_config_free(c);
}
