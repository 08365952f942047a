/* Any file as an ELF kernel: what is accepted must hold what the header promises. */
#include <assert.h>

#include "arch/x86_64/elf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct elf_image image;
	const char *why = NULL;

	if (elf_parse(data, len, &image, &why) != 0) {
		assert(why != NULL && why[0] != '\0');
		return 0;
	}
	assert(image.segment_count > 0 && image.segment_count <= ELF_SEGMENTS_MAX);
	for (unsigned i = 0; i < image.segment_count; i++) {
		const struct elf_segment *s = &image.segments[i];

		assert(s->offset <= len && s->file_len <= len - s->offset);
		assert(s->mem_len >= s->file_len && s->mem_len > 0);
		assert(s->gpa + s->mem_len > s->gpa);
		assert(i == 0 || s[-1].gpa + s[-1].mem_len <= s->gpa);
	}
	return 0;
}
