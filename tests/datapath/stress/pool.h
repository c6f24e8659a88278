/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef POOL_H
#define POOL_H

/* Packet pools made from now on are such that ThreadSanitizer sees their order. @return 0 or negative errno */
int pool_seen(void);

#endif
