/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of telemetry share. */
#ifndef TELEMETRY_H
#define TELEMETRY_H

#include <rte_telemetry.h>

#include "appliance.h"

/* An answer to a request, perhaps with a parameter. @return 0, negative errno */
struct request { struct appliance *a; const char *params; struct rte_tel_data *d; };

/* @return an empty dictionary; NULL: no memory */
struct rte_tel_data *telemetry_dict(void);
/* A dictionary inside another one, or in an array when @p name is NULL. */
void telemetry_add(struct rte_tel_data *d, const char *name, struct rte_tel_data *in);
/* @return whether the text is a number of an object; decimal or hexadecimal */
bool telemetry_number(const char *text, uint32_t *out);

/* telemetry_times.c */
void telemetry_offload_detail(struct request *r, const struct offload_obj *o);
void telemetry_qp_stall(struct request *r, const struct qp_obj *q);

/* telemetry_trace.c */
int telemetry_trace(struct request *r);

#endif
