/* SPDX-License-Identifier: BSD-3-Clause */
/* Titles, counters and verdicts as text: what all the show commands share. */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "figures.h"
#include "text.h"

#define WIDTH 78

static void line(FILE *out, unsigned int n)
{
	while (n-- > 0)
		fputc('#', out);
}

void text_title(FILE *out, const char *fmt, ...)
{
	char title[WIDTH];
	unsigned int len, left;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(title, sizeof(title), fmt, ap);
	va_end(ap);
	len = (unsigned int)strlen(title) + 2;
	left = len < WIDTH ? (WIDTH - len) / 2 : 0;
	fputs("\n  ", out);
	line(out, left);
	fprintf(out, " %s ", title);
	line(out, len < WIDTH ? WIDTH - len - left : 0);
	fputc('\n', out);
}

void text_end(FILE *out)
{
	fputs("  ", out);
	line(out, WIDTH);
	fputc('\n', out);
}

void text_counters(FILE *out, const struct counter_group *g, const void *st, bool all)
{
	for (unsigned int i = 0; i < g->nb_rows; i++) {
		uint64_t v = counter_get(&g->rows[i], st);

		if (v != 0 || all)
			fprintf(out, "  %-18s %20" PRIu64 " %s\n", g->rows[i].name, v, g->rows[i].unit);
	}
}

void text_times(FILE *out, const char *name, const struct phca_hist *h, uint64_t max_ns)
{
	fprintf(out, "  %-18s", name);
#define SHOW(p, ppm) fprintf(out, " " #p " %.3f,", (double)phca_hist_percentile(h, ppm) / 1000.0);
	FIGURES_PERCENTILES(SHOW)
#undef SHOW
	fprintf(out, " longest %.3f us, of %" PRIu64 "\n", (double)max_ns / 1000.0, phca_hist_count(h));
}

void text_verdicts(FILE *out, const uint64_t *verdict)
{
	for (unsigned int v = 0; v < PHCA_V_COUNT; v++)
		if (verdict[v] != 0)
			fprintf(out, "  %-18s %20" PRIu64 " packets  %s\n", phca_verdict_str(v), verdict[v],
				phca_verdict_help(v));
}
