/*
 * DPDK's ACL library on rules and connections that `headgate-bench policy` writes to a file.
 *
 *   acl FILE tuple|guard MEMORY_MB SECONDS
 *
 * tuple: one ACL for each direction, whose rules are (pod, peer prefix, protocol, ports): the rules of a guard are
 *        there once for each of its pods.
 * guard: a hash table (rte_hash) takes pods to numbers of guards, and ACLs hold (guard, peer prefix, protocol,
 *        ports) of both directions. They are several, each with the rules of some guards: building takes some
 *        five kilobytes for each rule of the one that is built, and more where addresses are longer.
 *
 * Takes MEMORY_MB for tables and ends if they are not built in SECONDS. Prints "built SECONDS RULES BYTES" or
 * "failed STAGE ERRNO SECONDS", then answers each line "CONNECTIONS ALGORITHM BATCH" on stdin (the first CONNECTIONS of
 * the file; scalar or simd; packets for each call) with "NANOSECONDS_A_CONNECTION WRONG", the number of verdicts that
 * differ from the file's.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <rte_acl.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_hash.h>
#include <rte_malloc.h>
#include <rte_memory.h>

/* As bench/src/policy/dpdk.rs writes them, in this machine's byte order but for addresses. */
struct header {
	uint8_t magic[8];
	uint32_t v6, pods, rules, connections;
};
struct pod {
	uint8_t address[16];
	uint32_t guards[2]; /* egress, ingress; 0: no policy selects it */
};
struct rule {
	uint32_t guard;
	uint8_t address[16];
	uint8_t length, protocol, any_protocol, ingress;
	uint16_t first, last;
};
struct connection {
	uint8_t src[16], dst[16];
	uint8_t protocol, allowed;
	uint16_t port;
};

enum { EGRESS, INGRESS };
enum { ALLOW = 1, DENY = 2 };
enum { MAX_BATCH = 64, KEY = 40, CHUNK = 1000, CHUNKS = 200, MAX_ACLS = 16, RULES_OF_ACL = 1250000, RULES_OF_ACL_V6 = 625000 };

static struct header head;
static struct pod *pods;
static struct rule *rules;
static struct connection *connections;

static bool by_guard;
static unsigned address_bytes;
static struct rte_acl_ctx *acls[MAX_ACLS]; /* by direction, or, where by_guard, by acl_of */
static uint8_t *acl_of; /* where the rules of a guard are */
static unsigned acl_count;
static struct rte_hash *pod_table;
/* The fastest that this processor has. */
static enum rte_acl_classify_alg simd = RTE_ACL_CLASSIFY_SCALAR;

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

static void fail(const char *stage, double since)
{
	printf("failed %s %d %.1f\n", stage, rte_errno ? rte_errno : errno, now() - since);
	exit(0);
}

static void *read_part(FILE *file, size_t size, size_t count)
{
	void *part = malloc(size * (count ? count : 1));
	if (part == NULL || fread(part, size, count, file) != count) {
		fprintf(stderr, "acl: the file of rules is too short\n");
		exit(1);
	}
	return part;
}

static void read_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	if (file == NULL || fread(&head, sizeof head, 1, file) != 1 || memcmp(head.magic, "HGACL 1\n", 8) != 0) {
		fprintf(stderr, "acl: %s is not a file of rules\n", path);
		exit(1);
	}
	pods = read_part(file, sizeof *pods, head.pods);
	rules = read_part(file, sizeof *rules, head.rules);
	connections = read_part(file, sizeof *connections, head.connections);
	fclose(file);
}

/*
 * What is looked up: the protocol, then words of four bytes: who is guarded, who the peer is, the port. Tries
 * branch in this order.
 */
static uint32_t fields(struct rte_acl_field_def *defs)
{
	unsigned subject = by_guard ? 4 : address_bytes;
	unsigned words = (subject + address_bytes) / 4, n = 0;
	defs[n++] = (struct rte_acl_field_def){ RTE_ACL_FIELD_TYPE_BITMASK, 1, 0, 0, 0 };
	for (unsigned w = 0; w < words; w++, n++)
		defs[n] = (struct rte_acl_field_def){ RTE_ACL_FIELD_TYPE_MASK, 4, n, n, 4 + 4 * w };
	defs[n] = (struct rte_acl_field_def){ RTE_ACL_FIELD_TYPE_RANGE, 2, n, n, 4 + 4 * words };
	defs[n + 1] = (struct rte_acl_field_def){ RTE_ACL_FIELD_TYPE_RANGE, 2, n + 1, n, 6 + 4 * words };
	return n + 2;
}

static uint32_t word(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] << 24 | bytes[1] << 16 | bytes[2] << 8 | bytes[3];
}

static unsigned put_address(struct rte_acl_field *field, const uint8_t *address, unsigned length)
{
	for (unsigned w = 0; w < address_bytes / 4; w++) {
		unsigned bits = length > 32 * w ? length - 32 * w : 0;
		field[w].value.u32 = word(address + 4 * w);
		field[w].mask_range.u32 = bits > 32 ? 32 : bits;
	}
	return address_bytes / 4;
}

/* `pod` is NULL where the rule is for a guard; `rule` is NULL for what denies a pod everything else. */
static int add(struct rte_acl_ctx *acl, const struct pod *pod, const struct rule *rule)
{
	static const uint8_t nobody[16];
	struct { struct rte_acl_rule_data data; struct rte_acl_field field[12]; } r;
	memset(&r, 0, sizeof r);
	r.data.category_mask = 1;
	r.data.priority = rule ? 2 : 1;
	r.data.userdata = rule ? ALLOW : DENY;
	unsigned n = 0;
	bool any_protocol = rule == NULL || rule->any_protocol;
	r.field[n].value.u8 = any_protocol ? 0 : rule->protocol;
	r.field[n++].mask_range.u8 = any_protocol ? 0 : 0xff;
	if (pod != NULL) {
		n += put_address(&r.field[n], pod->address, 8 * address_bytes);
	} else {
		r.field[n].value.u32 = rule->guard;
		r.field[n++].mask_range.u32 = 32;
	}
	n += put_address(&r.field[n], rule ? rule->address : nobody, rule ? rule->length : 0);
	r.field[n].value.u16 = rule ? rule->first : 0;
	r.field[n++].mask_range.u16 = rule ? rule->last : UINT16_MAX;
	r.field[n].value.u16 = 0;
	r.field[n++].mask_range.u16 = UINT16_MAX;
	return rte_acl_add_rules(acl, (struct rte_acl_rule *)&r, 1);
}

static struct rte_acl_ctx *create(const char *name, uint32_t most, uint32_t field_count, double since)
{
	struct rte_acl_param param = {
		.name = name, .socket_id = SOCKET_ID_ANY,
		.rule_size = RTE_ACL_RULE_SZ(field_count), .max_rule_num = most ? most : 1,
	};
	struct rte_acl_ctx *acl = rte_acl_create(&param);
	if (acl == NULL)
		fail("create", since);
	return acl;
}

static void build_one(struct rte_acl_ctx *acl, double since)
{
	struct rte_acl_config config = { .num_categories = 1 };
	config.num_fields = fields(config.defs);
	int error = rte_acl_build(acl, &config);
	if (error != 0) {
		rte_errno = -error;
		fail("build", since);
	}
}

/* The rules of each guard stand together; `start` has one element more than there are guards. */
static uint32_t *starts(uint32_t *guards)
{
	*guards = 0;
	for (uint32_t i = 0; i < head.rules; i++)
		*guards = rules[i].guard > *guards ? rules[i].guard : *guards;
	uint32_t *start = calloc(*guards + 2, sizeof *start);
	for (uint32_t i = 0; i < head.rules; i++)
		start[rules[i].guard + 1]++;
	for (uint32_t g = 0; g <= *guards; g++)
		start[g + 1] += start[g];
	return start;
}

static uint64_t build_by_guard(double since)
{
	struct rte_acl_config config;
	uint32_t guards, *start = starts(&guards), most = head.v6 ? RULES_OF_ACL_V6 : RULES_OF_ACL;
	acl_of = calloc(guards + 1, 1);
	for (uint32_t from = 1, to; from <= guards; from = to) {
		if (acl_count == MAX_ACLS) {
			rte_errno = E2BIG;
			fail("create", since);
		}
		for (to = from; to <= guards && (to == from || start[to + 1] - start[from] <= most); to++)
			acl_of[to] = acl_count;
		char name[16];
		snprintf(name, sizeof name, "acl-%u", acl_count);
		struct rte_acl_ctx *acl = create(name, start[to] - start[from], fields(config.defs), since);
		for (uint32_t i = start[from]; i < start[to]; i++)
			if (add(acl, NULL, &rules[i]) != 0)
				fail("add", since);
		build_one(acl, since);
		acls[acl_count++] = acl;
	}
	free(start);
	return head.rules;
}

static uint64_t build_by_tuple(double since)
{
	struct rte_acl_config config;
	uint32_t guards, *start = starts(&guards);
	uint64_t all = 0;
	for (int direction = EGRESS; direction <= INGRESS; direction++) {
		uint64_t count = 0;
		for (uint32_t p = 0; p < head.pods; p++) {
			uint32_t guard = pods[p].guards[direction];
			count += guard ? 1 + start[guard + 1] - start[guard] : 0;
		}
		if (count > RTE_ACL_MAX_INDEX) {
			rte_errno = E2BIG;
			fail("count", since);
		}
		acls[direction] = create(direction ? "ingress" : "egress", count, fields(config.defs), since);
		for (uint32_t p = 0; p < head.pods; p++) {
			uint32_t guard = pods[p].guards[direction];
			int error = guard ? add(acls[direction], &pods[p], NULL) : 0;
			for (uint32_t i = guard ? start[guard] : 0; guard && i < start[guard + 1]; i++)
				error |= add(acls[direction], &pods[p], &rules[i]);
			if (error != 0)
				fail("add", since);
		}
		build_one(acls[direction], since);
		all += count;
	}
	free(start);
	return all;
}

static void build_pod_table(double since)
{
	struct rte_hash_parameters parameters = {
		.name = "pods", .entries = head.pods + head.pods / 2 + 64, .key_len = address_bytes,
		.socket_id = SOCKET_ID_ANY,
	};
	pod_table = rte_hash_create(&parameters);
	if (pod_table == NULL)
		fail("hash", since);
	for (uint32_t p = 0; p < head.pods; p++)
		if (rte_hash_add_key_data(pod_table, pods[p].address, &pods[p]) != 0)
			fail("hash", since);
}

/* Without huge pages of its own, ask for transparent ones. */
static int use_huge_pages(const struct rte_memseg_list *list, void *arg)
{
	(void)arg;
	madvise(list->base_va, list->len, MADV_HUGEPAGE);
	return 0;
}

static void fill(uint8_t *key, const uint8_t *subject, unsigned subject_bytes, const uint8_t *peer,
		 const struct connection *c)
{
	uint16_t port = rte_cpu_to_be_16(c->port);
	key[0] = c->protocol;
	memcpy(key + 4, subject, subject_bytes);
	memcpy(key + 4 + subject_bytes, peer, address_bytes);
	memcpy(key + 4 + subject_bytes + address_bytes, &port, 2);
	memset(key + 6 + subject_bytes + address_bytes, 0, 2);
}

static void decide_by_tuple(const struct connection *c, unsigned count, enum rte_acl_classify_alg alg, uint8_t *allowed)
{
	uint8_t keys[2][MAX_BATCH][KEY];
	const uint8_t *data[2][MAX_BATCH];
	uint32_t results[2][MAX_BATCH];
	for (unsigned i = 0; i < count; i++) {
		fill(keys[EGRESS][i], c[i].src, address_bytes, c[i].dst, &c[i]);
		fill(keys[INGRESS][i], c[i].dst, address_bytes, c[i].src, &c[i]);
		data[EGRESS][i] = keys[EGRESS][i];
		data[INGRESS][i] = keys[INGRESS][i];
	}
	for (int direction = EGRESS; direction <= INGRESS; direction++)
		rte_acl_classify_alg(acls[direction], data[direction], results[direction], count, 1, alg);
	for (unsigned i = 0; i < count; i++)
		allowed[i] = results[EGRESS][i] != DENY && results[INGRESS][i] != DENY;
}

static void decide_by_guard(const struct connection *c, unsigned count, enum rte_acl_classify_alg alg, uint8_t *allowed)
{
	uint8_t keys[2 * MAX_BATCH][KEY];
	const uint8_t *data[MAX_ACLS][2 * MAX_BATCH];
	uint8_t of[MAX_ACLS][2 * MAX_BATCH];
	unsigned queries[MAX_ACLS] = { 0 }, used = 0;
	uint32_t results[2 * MAX_BATCH];
	const void *addresses[2][MAX_BATCH];
	void *found[2][MAX_BATCH];
	uint64_t hits[2];
	for (unsigned i = 0; i < count; i++) {
		addresses[EGRESS][i] = c[i].src;
		addresses[INGRESS][i] = c[i].dst;
		allowed[i] = 1;
	}
	for (int direction = EGRESS; direction <= INGRESS; direction++) {
		if (rte_hash_lookup_bulk_data(pod_table, addresses[direction], count, &hits[direction], found[direction]) < 0)
			abort();
		for (unsigned i = 0; i < count; i++) {
			const struct pod *pod = hits[direction] >> i & 1 ? found[direction][i] : NULL;
			if (pod == NULL || pod->guards[direction] == 0)
				continue;
			uint32_t guard = rte_cpu_to_be_32(pod->guards[direction]);
			unsigned acl = acl_of[pod->guards[direction]], q = queries[acl]++;
			fill(keys[used], (uint8_t *)&guard, 4, direction ? c[i].src : c[i].dst, &c[i]);
			data[acl][q] = keys[used++];
			of[acl][q] = i;
		}
	}
	for (unsigned acl = 0; acl < acl_count; acl++) {
		if (queries[acl] == 0)
			continue;
		rte_acl_classify_alg(acls[acl], data[acl], results, queries[acl], 1, alg);
		for (unsigned q = 0; q < queries[acl]; q++)
			allowed[of[acl][q]] &= results[q] == ALLOW;
	}
}

/* Goes through some connections once; seconds. */
static double pass(uint32_t first, uint32_t end, enum rte_acl_classify_alg alg, unsigned batch, uint8_t *allowed)
{
	double start = now();
	for (uint32_t i = first; i < end; i += batch) {
		unsigned n = end - i < batch ? end - i : batch;
		if (by_guard)
			decide_by_guard(connections + i, n, alg, allowed + i);
		else
			decide_by_tuple(connections + i, n, alg, allowed + i);
	}
	return now() - start;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* Goes through the first `count` connections, over and over; the median of a connection's seconds in a chunk. */
static double measure(uint32_t count, enum rte_acl_classify_alg alg, unsigned batch, uint8_t *allowed)
{
	double seconds[CHUNKS];
	uint32_t first = 0;
	for (unsigned i = 0; i < CHUNKS; i++) {
		uint32_t end = count - first < CHUNK ? count : first + CHUNK;
		seconds[i] = pass(first, end, alg, batch, allowed) / (end - first);
		first = end == count ? 0 : end;
	}
	qsort(seconds, CHUNKS, sizeof *seconds, compare);
	return seconds[CHUNKS / 2];
}

static void choose_simd(void)
{
	static const enum rte_acl_classify_alg best_first[] = {
		RTE_ACL_CLASSIFY_AVX512X32, RTE_ACL_CLASSIFY_AVX512X16, RTE_ACL_CLASSIFY_AVX2, RTE_ACL_CLASSIFY_SSE,
		RTE_ACL_CLASSIFY_NEON,
	};
	for (unsigned i = 0; i < RTE_DIM(best_first); i++) {
		if (rte_acl_set_ctx_classify(acls[0], best_first[i]) == 0) {
			simd = best_first[i];
			return;
		}
	}
}

static void answer(void)
{
	uint8_t *allowed = malloc(head.connections + 1);
	char algorithm[16];
	uint32_t count;
	unsigned batch;
	while (scanf("%u %15s %u", &count, algorithm, &batch) == 3) {
		enum rte_acl_classify_alg alg = strcmp(algorithm, "scalar") ? simd : RTE_ACL_CLASSIFY_SCALAR;
		if (count == 0 || count > head.connections || count > CHUNK * CHUNKS || batch == 0 || batch > MAX_BATCH)
			exit(1);
		double seconds = measure(count, alg, batch, allowed);
		uint32_t wrong = 0;
		for (uint32_t i = 0; i < count; i++)
			wrong += allowed[i] != connections[i].allowed;
		printf("%.2f %u\n", seconds * 1e9, wrong);
		fflush(stdout);
	}
}

int main(int argc, char **argv)
{
	if (argc != 5) {
		fprintf(stderr, "usage: acl FILE tuple|guard MEMORY_MB SECONDS\n");
		return 1;
	}
	read_file(argv[1]);
	by_guard = strcmp(argv[2], "guard") == 0;
	address_bytes = head.v6 ? 16 : 4;
	char *eal[] = { argv[0], "--no-huge", "--no-pci", "--no-telemetry", "--no-shconf", "--log-level=3",
			"--force-max-simd-bitwidth=512", "-m", argv[3], NULL };
	if (rte_eal_init(9, eal) < 0) {
		fprintf(stderr, "acl: rte_eal_init: %s\n", rte_strerror(rte_errno));
		return 1;
	}
	rte_memseg_list_walk(use_huge_pages, NULL);
	alarm(strtoul(argv[4], NULL, 10));
	double start = now();
	uint64_t count = by_guard ? build_by_guard(start) : build_by_tuple(start);
	if (by_guard)
		build_pod_table(start);
	choose_simd();
	alarm(0);
	struct rte_malloc_socket_stats stats;
	rte_malloc_get_socket_stats(0, &stats);
	printf("built %.2f %llu %zu\n", now() - start, (unsigned long long)count, stats.heap_allocsz_bytes);
	fflush(stdout);
	answer();
	return 0;
}
