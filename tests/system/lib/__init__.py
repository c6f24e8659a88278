# SPDX-License-Identifier: BSD-3-Clause
"""What system tests share: programs under control, network namespaces joined by
veth pairs, DPDK telemetry, and a runner that counts. Whatever a test starts or
makes is gone when it ends, also when it fails."""
