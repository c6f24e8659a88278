/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the tests of lib/config share: texts to configurations and to errors,
 * and a folder with an empty filter object "x.o" that PHCA_FILTER_PATH names.
 */
#ifndef CONFIG_TEST_H
#define CONFIG_TEST_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "phca_config.h"
#include "phca_test.h"

/* The last error's text. */
extern char cfg_err[PHCA_CONFIG_ERR_MAX];

/* Load a text as file "my.json"; NULL with cfg_err. */
struct phca_config *cfg_text(const char *text);
/* The same, added to base, checked with drivers. */
struct phca_config *cfg_text_on(const char *text, const struct phca_config *base,
		const struct phca_config_lookup *lookup);
/* Whether the text is refused with exactly this error (behind "my.json:"). Prints both when not. */
bool cfg_refused(const char *text, const char *want);
bool cfg_refused_on(const char *text, const char *want, const struct phca_config *base,
		const struct phca_config_lookup *lookup);
/* What phca_config_print says, to be freed. */
char *cfg_printed(const struct phca_config *c);

/* A port, an app, and QPs that are q. */
#define PORT "\"ports\":[{\"name\":\"p0\",\"device\":\"net_null0\",\"addresses\":[\"192.0.2.1/24\"]}]"
#define APP "\"apps\":[{\"name\":\"sink\",\"driver\":\"sink\"}]"
#define QPS(q) "{" PORT "," APP ",\"qps\":[" q "]}"
#define QP(rest) QPS("{\"name\":\"a\",\"app\":\"sink\"" rest "}")

#endif
