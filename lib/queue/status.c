/* SPDX-License-Identifier: BSD-3-Clause */
/* Completion statuses in words, from the one list in phca_queue.h. */
#include "phca_queue.h"

static const char *const status_str[PHCA_WC_STATUS_COUNT] = {
#define ROW(e, n, h) [n] = h,
	PHCA_WC_STATUSES(ROW)
#undef ROW
};

const char *phca_wc_status_str(uint32_t status)
{
	return status < PHCA_WC_STATUS_COUNT ? status_str[status] : "unknown";
}
