/*
 * ELF kernels for x86: program headers and the PVH note (ELF-64 object file format; Xen's
 * public/elfnote.h, XEN_ELFNOTE_PHYS32_ENTRY). Called by the kernel loader on the main thread, on
 * files that anybody may have made up.
 */
#include "arch/x86_64/elf.h"

#include <string.h>

#include <gelf.h>
#include <libelf.h>

#define XEN_ELFNOTE_PHYS32_ENTRY 18

/* In the notes of a Linux kernel PVH's is among the first twenty. */
#define ELF_NOTES_MAX 256

static int elf_refuse(const char **why, int err, const char *text)
{
	*why = text;
	return err;
}

static const char *elf_foreign_machine(unsigned machine)
{
	switch (machine) {
	case EM_AARCH64:
		return "an arm64 ELF";
	case EM_ARM:
		return "a 32-bit Arm ELF";
	case EM_RISCV:
		return "a RISC-V ELF";
	case EM_PPC64:
		return "a 64-bit PowerPC ELF";
	case EM_S390:
		return "an s390 ELF";
	default:
		return "an ELF for another architecture";
	}
}

static int elf_check_kind(Elf *elf, const GElf_Ehdr *ehdr, const char **why)
{
	bool is_64bit = gelf_getclass(elf) == ELFCLASS64;

	if (ehdr->e_ident[EI_DATA] != ELFDATA2LSB)
		return elf_refuse(why, -ENOEXEC, "a big-endian ELF");
	if (ehdr->e_machine != (is_64bit ? EM_X86_64 : EM_386))
		return elf_refuse(why, -ENOEXEC, elf_foreign_machine(ehdr->e_machine));
	if (ehdr->e_type == ET_REL)
		return elf_refuse(why, -ENOEXEC, "an x86 object file or kernel module");
	if (ehdr->e_type == ET_CORE)
		return elf_refuse(why, -ENOEXEC, "an x86 core dump");
	return 0;
}

/* Keeps the segments sorted; refuses what overlaps a neighbour. */
static int elf_insert_segment(struct elf_image *image, const struct elf_segment *segment,
			      const char **why)
{
	struct elf_segment *list = image->segments;
	unsigned at = image->segment_count;

	if (at == ELF_SEGMENTS_MAX)
		return elf_refuse(why, -EINVAL, "an ELF with more segments than a kernel has");
	while (at > 0 && list[at - 1].gpa > segment->gpa)
		at--;
	if ((at > 0 && list[at - 1].gpa + list[at - 1].mem_len > segment->gpa) ||
	    (at < image->segment_count && segment->gpa + segment->mem_len > list[at].gpa))
		return elf_refuse(why, -EINVAL, "a damaged ELF: its segments overlap");
	memmove(&list[at + 1], &list[at], (image->segment_count - at) * sizeof(*list));
	list[at] = *segment;
	image->segment_count++;
	return 0;
}

static int elf_add_load(struct elf_image *image, const GElf_Phdr *phdr, size_t len,
			const char **why)
{
	struct elf_segment segment = { .offset = phdr->p_offset,
				       .file_len = phdr->p_filesz,
				       .gpa = phdr->p_paddr,
				       .mem_len = phdr->p_memsz };

	if (phdr->p_memsz == 0)
		return 0;
	if (phdr->p_filesz > phdr->p_memsz)
		return elf_refuse(why, -EINVAL,
				  "a damaged ELF: a segment is larger in the file than in memory");
	if (phdr->p_offset > len || phdr->p_filesz > len - phdr->p_offset)
		return elf_refuse(why, -EINVAL,
				  "a truncated ELF: a segment ends behind the end of the file");
	if (segment.gpa + segment.mem_len < segment.gpa)
		return elf_refuse(why, -EINVAL,
				  "a damaged ELF: a segment wraps around the address space");
	return elf_insert_segment(image, &segment, why);
}

static bool elf_holds(const struct elf_image *image, gpa_t gpa)
{
	for (unsigned i = 0; i < image->segment_count; i++) {
		if (gpa >= image->segments[i].gpa &&
		    gpa - image->segments[i].gpa < image->segments[i].mem_len)
			return true;
	}
	return false;
}

/* The PVH entry among the notes of one segment. */
static void elf_read_notes(Elf *elf, const GElf_Phdr *phdr, size_t len, struct elf_image *image)
{
	Elf_Data *data;
	size_t offset = 0;

	if (phdr->p_offset > len || phdr->p_filesz > len - phdr->p_offset ||
	    phdr->p_filesz > INT32_MAX)
		return;
	data = elf_getdata_rawchunk(elf, (int64_t)phdr->p_offset, phdr->p_filesz,
				    phdr->p_align == 8 ? ELF_T_NHDR8 : ELF_T_NHDR);
	for (unsigned i = 0; data != NULL && i < ELF_NOTES_MAX; i++) {
		size_t name_at, desc_at;
		GElf_Nhdr note;
		uint64_t entry = 0;

		offset = gelf_getnote(data, offset, &note, &name_at, &desc_at);
		if (offset == 0)
			return;
		if (note.n_type != XEN_ELFNOTE_PHYS32_ENTRY || note.n_namesz != 4 ||
		    memcmp((const char *)data->d_buf + name_at, "Xen", 4) != 0)
			continue;
		if (note.n_descsz != 4 && note.n_descsz != 8)
			continue;
		memcpy(&entry, (const char *)data->d_buf + desc_at, note.n_descsz);
		if (entry <= UINT32_MAX && elf_holds(image, entry)) {
			image->has_pvh = true;
			image->pvh_entry = entry;
			return;
		}
	}
}

static int elf_read(Elf *elf, size_t len, struct elf_image *out, const char **why)
{
	GElf_Ehdr ehdr;
	size_t count;
	int ret;

	if (elf_kind(elf) != ELF_K_ELF || gelf_getehdr(elf, &ehdr) == NULL)
		return elf_refuse(why, -ENOEXEC, "not an ELF, or one truncated in its header");
	ret = elf_check_kind(elf, &ehdr, why);
	if (ret < 0)
		return ret;
	if (elf_getphdrnum(elf, &count) != 0)
		return elf_refuse(why, -EINVAL, "a truncated ELF");
	for (size_t i = 0; i < count; i++) {
		GElf_Phdr phdr;

		if (gelf_getphdr(elf, (int)i, &phdr) == NULL)
			return elf_refuse(why, -EINVAL,
					  "a truncated ELF: its program headers are cut off");
		if (phdr.p_type == PT_INTERP)
			return elf_refuse(why, -ENOEXEC, "an ordinary x86 program, no kernel");
		if (phdr.p_type == PT_LOAD)
			ret = elf_add_load(out, &phdr, len, why);
		if (ret < 0)
			return ret;
	}
	if (out->segment_count == 0)
		return elf_refuse(why, -EINVAL, "an ELF with nothing to load");
	/* Once more for the notes: what they say is checked against the segments. */
	for (size_t i = 0; i < count && !out->has_pvh; i++) {
		GElf_Phdr phdr;

		if (gelf_getphdr(elf, (int)i, &phdr) != NULL && phdr.p_type == PT_NOTE)
			elf_read_notes(elf, &phdr, len, out);
	}
	out->is_64bit = gelf_getclass(elf) == ELFCLASS64;
	out->entry = ehdr.e_entry;
	out->has_entry = out->is_64bit && elf_holds(out, ehdr.e_entry);
	return 0;
}

int elf_parse(const void *data, size_t len, struct elf_image *out, const char **why)
{
	Elf *elf;
	int ret;

	memset(out, 0, sizeof(*out));
	*why = "";
	if (elf_version(EV_CURRENT) == EV_NONE)
		return elf_refuse(why, -ENOEXEC, "an ELF, but libelf is too old for this program");
	/* libelf writes to the memory only when asked to update it. */
	elf = elf_memory((char *)data, len);
	if (elf == NULL)
		return elf_refuse(why, -ENOEXEC, "not an ELF, or one truncated in its header");
	ret = elf_read(elf, len, out, why);
	elf_end(elf);
	return ret;
}
