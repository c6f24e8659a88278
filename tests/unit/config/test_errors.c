/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Errors: each is refused with its line, its path, what is wrong and what to do.
 */
#include "config_test.h"

PHCA_TEST(errors, unknown_key_with_line_and_nearest)
{
	CU_ASSERT(cfg_refused("{\n \"portz\": []\n}",
		"2: portz: configuration has no key \"portz\"; did you mean \"ports\"?"));
	CU_ASSERT(cfg_refused("{\"memory\":{\n\n\"mbufz\":1}}",
		"3: memory.mbufz: memory has no key \"mbufz\"; did you mean \"mbufs\"?"));
	CU_ASSERT(cfg_refused("{\"quite_another\":1}", "1: quite_another: configuration has no key "
		"\"quite_another\"; remove it (doc/configuration.md lists the keys)"));
}

PHCA_TEST(errors, dangling_filter)
{
	CU_ASSERT(cfg_refused("{" PORT "," APP ",\n"
		"\"filters\":[{\"name\":\"by_size\",\"object\":\"x.o\"}],\n"
		"\"offloads\":[{\"name\":\"o\",\"driver\":\"null\"}],\n"
		"\"qps\":[{\"name\":\"a\",\"type\":\"UD\",\"app\":\"sink\"}],\n"
		"\"proxy_qps\":[{\"qps\":\"*\",\"rules\":[{\"filter\":\"by_size\",\"offload\":\"o\"},\n"
		"{\"offload\":\"o\",\n\"filter\":\n\"by_sise\"}]}]}",
		"8: proxy_qps[0].rules[1].filter: no filter named \"by_sise\"; did you mean \"by_size\"?"));
}

PHCA_TEST(errors, rc_is_not_supported)
{
	CU_ASSERT(cfg_refused(QP(",\n\"type\":\"RC\""),
		"2: qps[0].type: \"RC\" is not yet supported by this version; give one of \"UC\", \"UD\""));
}
