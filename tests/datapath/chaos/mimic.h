/* SPDX-License-Identifier: BSD-3-Clause */
/* An offload that an application must not notice; see mimic.c. */
#ifndef MIMIC_H
#define MIMIC_H

#include "phca_proxy.h"
#include "phca_test.h"

#define MIMIC_MSG_MAX 8192
#define MIMIC_FAILS PHCA_WC_GENERAL_ERR /* the status of posted requests that it fails */
#define MIMIC_FAILS_EVERY 8             /* one seed of so many does */

/* How often it did what. */
struct mimic_counts {
	uint64_t passed, late, children, delivered, failed;
};

const struct phca_offload_ops *mimic_ops(void);
/* Whether it fails some. */
bool mimic_fails(const struct phca_offload *o);
void mimic_add(const struct phca_offload *o, struct mimic_counts *c);

#endif
