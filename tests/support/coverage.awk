# Reads llvm-cov's lcov output. Prints, for files whose path begins with one of PREFIXES (separated by
# blanks), lines covered and lines that could be; after them each function that has lines which were
# not, with these lines.

function wanted(path,	i)
{
	for (i = 1; i <= prefix_count; i++)
		if (index(path, prefixes[i]) == 1)
			return 1
	return 0
}

function add(part)
{
	missing = missing (missing == "" ? "" : ", ") part
}

# The lines first..last were not reached.
function range(first, last)
{
	add(first == last ? first : first "-" last)
}

function end_function()
{
	if (missing != "")
		list = list sprintf("  %s %s: %s\n", path, name, missing)
	missing = ""
}

function end_file(	i, from, last)
{
	name = "-"
	from = last = 0
	for (i = 1; i <= line_max; i++) {
		if (i in starts) {
			if (from)
				range(from, last)
			from = 0
			end_function()
			name = starts[i]
		}
		if (!(i in count))
			continue
		if (count[i] == 0) {
			if (!from)
				from = i
			last = i
		} else if (from) {
			range(from, last)
			from = 0
		}
	}
	if (from)
		range(from, last)
	end_function()
	printf "%6.1f %%  %5d of %5d  %s\n", total ? 100 * hit / total : 100, hit, total, path
	all_hit += hit
	all_total += total
}

BEGIN {
	prefix_count = split(PREFIXES, prefixes, " ")
}

/^SF:/ {
	path = substr($0, 4)
	sub(ROOT "/", "", path)
	use = wanted(path)
	delete starts
	delete count
	line_max = hit = total = 0
}

use && /^FN:/ {
	split(substr($0, 4), part, ",")
	sub(/.*:/, "", part[2])
	starts[part[1] + 0] = part[2]
}

use && /^DA:/ {
	split(substr($0, 4), part, ",")
	count[part[1] + 0] = part[2] + 0
	total++
	hit += part[2] > 0
	if (part[1] + 0 > line_max)
		line_max = part[1] + 0
}

use && /^end_of_record/ {
	end_file()
}

END {
	printf "%6.1f %%  %5d of %5d  all of these\n", all_total ? 100 * all_hit / all_total : 0, all_hit, all_total
	if (list != "")
		printf "\nlines not reached, by function:\n%s", list
}
