/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * What lib/verbs has of its own: the environment variables that it reads. Its
 * functions are those of <infiniband/verbs.h>, which applications call from any
 * thread; no header of ours is needed for them.
 */
#ifndef PHCA_VERBS_H
#define PHCA_VERBS_H

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Where the appliances are: paths with ':' between them, each an appliance's socket
 * or a directory with sockets (PHCA_ADMIN_SUFFIX). Not set: PHCA_ADMIN_DIR.
 * Ignored in programs that run with more rights than their user's.
 */
#define PHCA_VERBS_ENV_SOCKET "PHCA_SOCKET"
/** Set to anything but "0": what fails is said on standard error, one line each. */
#define PHCA_VERBS_ENV_DEBUG "PHCA_VERBS_DEBUG"

#ifdef __cplusplus
}
#endif
#endif
