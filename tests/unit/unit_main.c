/* SPDX-License-Identifier: BSD-3-Clause */
/* main of unit-<library>: no EAL, nothing to set up. */
#include "phca_test.h"

int main(int argc, char **argv)
{
	return phca_test_main(argc, argv);
}
