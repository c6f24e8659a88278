/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Telemetry of the driver itself, so that any program has it: /phca/impair lists
 * devices, /phca/impair,DEVICE gives counters and rules of one. Answers are made
 * with the lock of all devices, on telemetry's thread.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_telemetry.h>

#include "impair_impl.h"

static void add_dict(struct rte_tel_data *d, const char *name, struct rte_tel_data *in)
{
	if (rte_tel_data_add_dict_container(d, name, in, 0) < 0)
		rte_tel_data_free(in);
}

static void add_counters(struct rte_tel_data *d, struct impair *dev, enum phca_impair_dir dir)
{
	struct rte_tel_data *in = rte_tel_data_alloc();
	struct phca_impair_counters st;

	if (in == NULL)
		return;
	impair_count(dev, dir, -1, &st);
	rte_tel_data_start_dict(in);
	for (unsigned int i = 0; i < IMPAIR_NB_COUNTERS; i++)
		rte_tel_data_add_dict_u64(in, impair_counter_names[i], ((const uint64_t *)&st)[i]);
	add_dict(d, dir == PHCA_IMPAIR_RX ? "rx" : "tx", in);
}

/* By number: a dictionary holds no array of dictionaries. */
static void add_rules(struct rte_tel_data *d, const struct impair *dev)
{
	struct rte_tel_data *list = rte_tel_data_alloc();
	struct phca_impair_rule_info info;
	char number[16];

	if (list == NULL)
		return;
	rte_tel_data_start_dict(list);
	for (unsigned int i = 0; impair_rule(dev, i, &info) == 0; i++) {
		struct rte_tel_data *in = rte_tel_data_alloc();

		if (in == NULL)
			break;
		rte_tel_data_start_dict(in);
		rte_tel_data_add_dict_string(in, "rule", info.text);
		rte_tel_data_add_dict_u64(in, "matched", info.matched);
		rte_tel_data_add_dict_u64(in, "fired", info.fired);
		snprintf(number, sizeof(number), "rule_%u", i);
		add_dict(list, number, in);
	}
	add_dict(d, "rules", list);
}

static void dev_name(const struct impair *dev, char name[RTE_ETH_NAME_MAX_LEN])
{
	if (rte_eth_dev_get_name_by_port(dev->port_id, name) < 0)
		snprintf(name, RTE_ETH_NAME_MAX_LEN, "%u", dev->port_id);
}

/* By name or port number. */
static struct impair *find(const char *text)
{
	char name[RTE_ETH_NAME_MAX_LEN], number[8];
	struct impair *dev;

	for (unsigned int i = 0; (dev = impair_at(i)) != NULL; i++) {
		dev_name(dev, name);
		snprintf(number, sizeof(number), "%u", dev->port_id);
		if (strcmp(text, name) == 0 || strcmp(text, number) == 0)
			return dev;
	}
	return NULL;
}

static int list(struct rte_tel_data *d)
{
	char name[RTE_ETH_NAME_MAX_LEN];
	const struct impair *dev;

	rte_tel_data_start_array(d, RTE_TEL_STRING_VAL);
	for (unsigned int i = 0; (dev = impair_at(i)) != NULL; i++) {
		dev_name(dev, name);
		rte_tel_data_add_array_string(d, name);
	}
	return 0;
}

static int one(struct impair *dev, struct rte_tel_data *d)
{
	char name[RTE_ETH_NAME_MAX_LEN];

	rte_tel_data_start_dict(d);
	dev_name(dev, name);
	rte_tel_data_add_dict_string(d, "name", name);
	rte_tel_data_add_dict_u64(d, "port", dev->port_id);
	rte_tel_data_add_dict_string(d, "lower", dev->lower.is_ring ? dev->lower.ring[0]->name : dev->lower.name);
	rte_tel_data_add_dict_u64(d, "seed", dev->seed);
	add_counters(d, dev, PHCA_IMPAIR_RX);
	add_counters(d, dev, PHCA_IMPAIR_TX);
	add_rules(d, dev);
	return 0;
}

static int answer(const char *cmd, const char *params, struct rte_tel_data *d)
{
	bool all = params == NULL || *params == '\0';
	struct impair *dev;
	int rc;

	RTE_SET_USED(cmd);
	pthread_mutex_lock(&impair_lock);
	dev = all ? NULL : find(params);
	rc = all ? list(d) : dev != NULL ? one(dev, d) : -EINVAL;
	pthread_mutex_unlock(&impair_lock);
	return rc;
}

RTE_INIT(impair_telemetry)
{
	rte_telemetry_register_cmd("/phca/impair", answer, "Names of net_impair devices; with a parameter, "
		"name or port: its counters and rules");
}
