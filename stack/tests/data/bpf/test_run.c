// Runs a program of an object file in the kernel, over packets, and says what came out (BPF_PROG_TEST_RUN). Needs root and libbpf 1.x.
//
//   test_run OBJECT SECTION xdp|tc     packets on standard input, one a line, in hexadecimal
//
// Prints "refused" when the verifier does not take the program; else for each packet its verdict (r0, signed) and its bytes after the run.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level, (void)format, (void)args;
	return 0;
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return fprintf(stderr, "usage: test_run OBJECT SECTION xdp|tc\n"), 2;
	libbpf_set_print(quiet);
	struct bpf_object *object = bpf_object__open(argv[1]);
	struct bpf_program *program, *wanted = NULL;

	if (!object)
		return perror(argv[1]), 2;
	bpf_object__for_each_program(program, object) {
		int is = !wanted && !strcmp(bpf_program__section_name(program), argv[2]);

		if (is) {
			wanted = program;
			bpf_program__set_type(program, argv[3][0] == 'x' ? BPF_PROG_TYPE_XDP : BPF_PROG_TYPE_SCHED_CLS);
		}
		bpf_program__set_autoload(program, is);
	}
	if (!wanted)
		return fprintf(stderr, "no section %s\n", argv[2]), 2;
	int error = bpf_object__load(object);

	if (error == -EACCES || error == -EINVAL || error == -E2BIG)
		return puts("refused"), 0;
	if (error)
		return fprintf(stderr, "load: %s\n", strerror(-error)), 2;
	char line[8192];

	while (fgets(line, sizeof line, stdin)) {
		unsigned char in[4096], out[8192];
		unsigned len = 0, byte;

		while (len < sizeof in && sscanf(line + 2 * len, "%2x", &byte) == 1)
			in[len++] = byte;
		LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in, .data_size_in = len, .data_out = out, .data_size_out = sizeof out);
		error = bpf_prog_test_run_opts(bpf_program__fd(wanted), &opts);
		if (error)
			return fprintf(stderr, "run: %s\n", strerror(-error)), 2;
		printf("%d ", (int)opts.retval);
		for (unsigned i = 0; i < opts.data_size_out; i++)
			printf("%02x", out[i]);
		puts("");
	}
	return 0;
}
