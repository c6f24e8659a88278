/* SPDX-License-Identifier: BSD-3-Clause */
/* Looks drivers up in the generated list. */
#include <string.h>

#include "phca_drivers.h"

static const struct phca_offload_ops *const offloads[] = {
#define PHCA_OFFLOAD_DRIVER(n) &phca_offload_##n,
#define PHCA_APP_DRIVER(n)
#include "driver_list.h"
#undef PHCA_OFFLOAD_DRIVER
#undef PHCA_APP_DRIVER
	NULL,
};

static const struct phca_app_ops *const apps[] = {
#define PHCA_OFFLOAD_DRIVER(n)
#define PHCA_APP_DRIVER(n) &phca_app_##n,
#include "driver_list.h"
#undef PHCA_OFFLOAD_DRIVER
#undef PHCA_APP_DRIVER
	NULL,
};

const struct phca_offload_ops *phca_offload_driver_at(unsigned int i)
{
	return i < sizeof(offloads) / sizeof(offloads[0]) ? offloads[i] : NULL;
}

const struct phca_app_ops *phca_app_driver_at(unsigned int i)
{
	return i < sizeof(apps) / sizeof(apps[0]) ? apps[i] : NULL;
}

const struct phca_offload_ops *phca_offload_driver_find(const char *name)
{
	for (unsigned int i = 0; offloads[i] != NULL; i++)
		if (strcmp(offloads[i]->name, name) == 0)
			return offloads[i];
	return NULL;
}

const struct phca_app_ops *phca_app_driver_find(const char *name)
{
	for (unsigned int i = 0; apps[i] != NULL; i++)
		if (strcmp(apps[i]->name, name) == 0)
			return apps[i];
	return NULL;
}
