/*
 * The launcher: what "rdma-cni install" puts into the directory of CNI plugins as DIR/rdma. It changes to the root
 * directory and becomes the program that DIR/.rdma-cni/current leads to, with the same arguments, environment and
 * streams, as the same process.
 *
 * The runtime of a compiled program ends before any line of the program when the working directory has no name: it was
 * removed, or lies outside of the root, which is how thick Multus starts plugins from 4.1.0 on (chroot without chdir).
 *
 * launcher.ts has the executables for both architectures. A test builds them and compares:
 *   x86_64-linux-gnu-gcc-14 FLAGS -o launcher launcher.c, and the same with aarch64-linux-gnu-gcc-14
 *   FLAGS: -Os -std=c17 -Wall -Wextra -Werror -ffreestanding -nostdlib -static -no-pie -fno-pic -fno-stack-protector
 *   FLAGS: -fno-asynchronous-unwind-tables -fno-tree-loop-distribute-patterns -fno-ident -s
 *   FLAGS: -Wl,--build-id=none,-z,noseparate-code,-z,noexecstack,-z,nosectionheader
 */

#define PATH_MAX 4096 /* these two: uapi linux/limits.h */
#define NAME_MAX 255
#define AT_FDCWD (-100) /* uapi linux/fcntl.h */
#define DIRECTORY ".rdma-cni/"
#define LINK "current"

/* System call numbers: arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h. */
#if defined(__x86_64__)
enum { SYS_write = 1, SYS_execve = 59, SYS_chdir = 80, SYS_exit_group = 231, SYS_readlinkat = 267 };

static long call(long number, long a, long b, long c, long d) {
  long result;
  register long r10 __asm__("r10") = d;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
                   : "rcx", "r11", "memory");
  return result;
}

/* The kernel puts argc, argv and envp on the stack. */
__asm__(".global _start\n_start: mov %rsp, %rdi\n call launch\n");
#elif defined(__aarch64__)
enum { SYS_write = 64, SYS_execve = 221, SYS_chdir = 49, SYS_exit_group = 94, SYS_readlinkat = 78 };

static long call(long number, long a, long b, long c, long d) {
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
  return x0;
}

__asm__(".global _start\n_start: mov x0, sp\n bl launch\n");
#endif

/* By these words install and doctor know a launcher, of whatever version. */
__attribute__((used)) static const char mark[] = "rdma-cni launcher";

/* Copies words with the NUL that ends them, and returns where that is. */
static char *copy(char *to, const char *words) {
  while ((*to = *words++)) to++;
  return to;
}

/* The error as it is put together: a path can grow sixfold when it is quoted. */
struct text {
  unsigned long length;
  char bytes[8 * PATH_MAX];
};

static void put(struct text *text, const char *words) {
  while (*words) text->bytes[text->length++] = *words++;
}

static void put_number(struct text *text, long number) {
  if (number > 9) put_number(text, number / 10);
  text->bytes[text->length++] = '0' + number % 10;
}

/* The length of the UTF-8 sequence that begins here (RFC 3629), 0 when it is none. */
static int utf8_length(const unsigned char *at) {
  int lead = at[0], second = at[1];
  int length = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
  for (int i = 1; i < length; i++)
    if ((at[i] & 0xc0) != 0x80) return 0;
  int is_overlong = (lead == 0xe0 && second < 0xa0) || (lead == 0xf0 && second < 0x90);
  int is_beyond = (lead == 0xed && second >= 0xa0) || (lead == 0xf4 && second >= 0x90);
  return is_overlong || is_beyond ? 0 : length;
}

/* A path as people read it quoted, within a JSON string: \"/opt/cni/bin\". */
static void put_quoted(struct text *text, const char *path) {
  put(text, "\\\"");
  while (*path) {
    int length = utf8_length((const unsigned char *)path);
    if (length == 0) {
      put(text, "\\ufffd");
      path++;
    } else if (*path == '"' || *path == '\\' || (length == 1 && *path < 0x20)) {
      put(text, "\\u00");
      text->bytes[text->length++] = '0' + (*path >> 4);
      text->bytes[text->length++] = "0123456789abcdef"[*path & 15];
      path++;
    } else {
      while (length-- > 0) text->bytes[text->length++] = *path++;
    }
  }
  put(text, "\\\"");
}

/* uapi asm-generic/errno-base.h and errno.h. */
enum { EPERM = 1, ENOENT = 2, EIO = 5, E2BIG = 7, ENOEXEC = 8, ENOMEM = 12, EACCES = 13, ENOTDIR = 20, ENFILE = 23,
       ETXTBSY = 26, ENAMETOOLONG = 36, ELOOP = 40 };

static const char *errno_name(int number) {
  switch (number) {
    case EPERM: return "EPERM";
    case ENOENT: return "ENOENT";
    case EIO: return "EIO";
    case E2BIG: return "E2BIG";
    case ENOEXEC: return "ENOEXEC";
    case ENOMEM: return "ENOMEM";
    case EACCES: return "EACCES";
    case ENOTDIR: return "ENOTDIR";
    case ENFILE: return "ENFILE";
    case ETXTBSY: return "ETXTBSY";
    case ENAMETOOLONG: return "ENAMETOOLONG";
    case ELOOP: return "ELOOP";
    default: return "errno";
  }
}

/* What the kernel means by it when it is asked to run a program. */
static const char *errno_words(int number) {
  switch (number) {
    case ENOENT: return ": it is missing, or the loader of glibc is";
    case ENOEXEC: return ": it is for another architecture, or incomplete";
    case EACCES: return ": it is not executable, or its file system is mounted noexec";
    case ETXTBSY: return ": something writes to it";
    default: return "";
  }
}

/* Prints one CNI error and ends. */
static void fail(const char *task, const char *path, int number, const char *words, const char *details) {
  struct text text;
  text.length = 0;
  put(&text, "{\"cniVersion\":\"1.1.0\",\"code\":5,\"msg\":\"Cannot ");
  put(&text, task);
  put_quoted(&text, path);
  put(&text, ": ");
  put(&text, errno_name(number));
  put(&text, " (");
  put_number(&text, number);
  put(&text, ")");
  put(&text, words);
  put(&text, "\",\"details\":\"");
  put(&text, details);
  put(&text, "\"}\n");
  for (unsigned long written = 0; written < text.length;) {
    long count = call(SYS_write, 1, (long)(text.bytes + written), text.length - written, 0);
    if (count <= 0) break;
    written += count;
  }
  call(SYS_exit_group, 1, 0, 0, 0);
}

/*
 * Puts the name of the installed version behind a directory, as the link there has it. The kernel would follow the link
 * as well, but then ps and the kernel log would call the process "current". A link that leads elsewhere is left to it.
 */
static void put_version(char *path, char *end) {
  char version[NAME_MAX];
  copy(end, LINK);
  long length = call(SYS_readlinkat, AT_FDCWD, (long)path, (long)version, sizeof version);
  for (long i = 0; i < length; i++)
    if (version[i] == '/') return;
  for (long i = 0; i < length; i++) end[i] = version[i];
  if (length > 0) end[length] = 0;
}

__attribute__((noreturn, used)) void launch(long *stack) {
  char **argv = (char **)(stack + 1);
  char **envp = argv + stack[0] + 1;
  char path[PATH_MAX + sizeof DIRECTORY + NAME_MAX];
  long length = call(SYS_readlinkat, AT_FDCWD, (long)"/proc/self/exe", (long)path, PATH_MAX);
  if (length < 0) fail("read ", "/proc/self/exe", -length, "", "rdma-cni needs /proc: mount it");

  /* What follows the last slash goes, " (deleted)" too, which the kernel appends when there is a newer launcher. */
  while (length > 0 && path[length - 1] != '/') length--;
  char *end = copy(path + length, DIRECTORY);

  long error = call(SYS_chdir, (long)"/", 0, 0, 0);
  if (error < 0) fail("change to ", "/", -error, "", "rdma-cni must be able to enter the root directory");

  /* Once more when an installation removes that version at this moment, or looks whether it is running. */
  for (int tries = 0; tries < 2; tries++) {
    put_version(path, end);
    error = call(SYS_execve, (long)path, (long)argv, (long)envp, 0);
    if (error != -ENOENT && error != -ETXTBSY) break;
  }
  fail("run ", path, -error, errno_words(-error),
       "rdma-cni is not installed as it should be on this node: run \\\"rdma-cni install\\\" again");
  __builtin_unreachable();
}
