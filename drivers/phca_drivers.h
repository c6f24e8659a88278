/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The drivers built into the appliance, by name. The table is generated from
 * the lists in drivers/meson.build. Any thread.
 */
#ifndef PHCA_DRIVERS_H
#define PHCA_DRIVERS_H

#include "phca_hca.h"
#include "phca_proxy.h"

/** @return the offload driver of this name; NULL: none. */
const struct phca_offload_ops *phca_offload_driver_find(const char *name);
/** @return the application driver of this name; NULL: none. */
const struct phca_app_ops *phca_app_driver_find(const char *name);
/** @return offload driver @p i, in the order of the list; NULL past the end. */
const struct phca_offload_ops *phca_offload_driver_at(unsigned int i);
/** @return application driver @p i, in the order of the list; NULL past the end. */
const struct phca_app_ops *phca_app_driver_at(unsigned int i);

#define PHCA_OFFLOAD_DRIVER(n) extern const struct phca_offload_ops phca_offload_##n;
#define PHCA_APP_DRIVER(n) extern const struct phca_app_ops phca_app_##n;
#include "driver_list.h"
#undef PHCA_OFFLOAD_DRIVER
#undef PHCA_APP_DRIVER

#endif
