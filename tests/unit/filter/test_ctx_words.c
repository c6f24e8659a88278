/* SPDX-License-Identifier: BSD-3-Clause */
/* What a filter may read of its context is known when it is loaded. */
#include "filter_test.h"

#define WORD(field) (1u << offsetof(struct phca_filter_ctx, field) / 8)

static uint32_t words_of(const char *name)
{
	struct phca_filter *f = ft_load(name, NULL, 0, false);
	uint32_t w;

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	w = phca_filter_ctx_words(f);
	phca_filter_free(f);
	return w;
}

PHCA_TEST(ctx_words, are_those_that_the_program_reads)
{
	CU_ASSERT_EQUAL(words_of("all"), 0);
	CU_ASSERT_EQUAL(words_of("one_in_n"), 0);
	CU_ASSERT_EQUAL(words_of("by_size"), WORD(msg_len));
	CU_ASSERT(words_of("by_source") & WORD(sgid));
	CU_ASSERT_FALSE(words_of("by_source") & WORD(payload));
}

PHCA_TEST(ctx_words, cover_every_word_that_a_variable_offset_can_reach)
{
	uint32_t w = words_of("by_payload_key");

	for (unsigned int i = 0; i < PHCA_CTX_PAYLOAD; i += 8)
		CU_ASSERT(w & 1u << (offsetof(struct phca_filter_ctx, payload) + i) / 8);
}
