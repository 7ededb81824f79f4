/*
 * The launcher: what "rdma-cni install" puts into the directory of CNI plugins as DIR/rdma. It lets the node's agent do
 * a call. When none does, it becomes the program that DIR/.rdma-cni/current leads to, with the same arguments,
 * environment and streams, as the same process.
 *
 * The runtime of a compiled program ends before any line of the program when the working directory has no name: it was
 * removed, or lies outside of the root, which is how thick Multus starts plugins from 4.1.0 on (chroot without chdir).
 * So this changes to the root directory.
 *
 * It is built without a C library, so that it starts within microseconds (deployment/build/launcher.ts).
 */

#define PATH_MAX 4096 /* these two: uapi linux/limits.h */
#define NAME_MAX 255
#define AT_FDCWD (-100) /* uapi linux/fcntl.h */
#define F_GETFD 1       /* uapi asm-generic/fcntl.h */
#define DIRECTORY ".rdma-cni/"
#define LINK "current"
#ifndef SOCKET
#define SOCKET "/run/rdma-cni/agent.sock"
#endif

/* System call numbers: arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h. */
#if defined(__x86_64__)
enum { SYS_read = 0, SYS_write = 1, SYS_lseek = 8, SYS_rt_sigprocmask = 14, SYS_socket = 41, SYS_connect = 42,
       SYS_sendto = 44, SYS_recvfrom = 45, SYS_setsockopt = 54, SYS_execve = 59, SYS_fcntl = 72, SYS_chdir = 80,
       SYS_exit_group = 231, SYS_newfstatat = 262, SYS_readlinkat = 267, SYS_faccessat = 269, SYS_dup3 = 292,
       SYS_memfd_create = 319 };

static long call(long number, long a, long b, long c, long d, long e, long f) {
  long result;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}

/* The kernel puts argc, argv and envp on the stack. */
__asm__(".global _start\n_start: mov %rsp, %rdi\n call launch\n");
#elif defined(__aarch64__)
enum { SYS_dup3 = 24, SYS_fcntl = 25, SYS_faccessat = 48, SYS_chdir = 49, SYS_lseek = 62, SYS_read = 63, SYS_write = 64,
       SYS_readlinkat = 78, SYS_newfstatat = 79, SYS_exit_group = 94, SYS_rt_sigprocmask = 135, SYS_socket = 198,
       SYS_connect = 203, SYS_sendto = 206, SYS_recvfrom = 207, SYS_setsockopt = 208, SYS_execve = 221,
       SYS_memfd_create = 279 };

static long call(long number, long a, long b, long c, long d, long e, long f) {
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  register long x5 __asm__("x5") = f;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
  return x0;
}

__asm__(".global _start\n_start: mov x0, sp\n bl launch\n");
#endif

/* uapi asm-generic/errno-base.h and errno.h. */
enum { EPERM = 1, ENOENT = 2, EINTR = 4, EIO = 5, E2BIG = 7, ENOEXEC = 8, ENOMEM = 12, EACCES = 13, ENOTDIR = 20,
       ENFILE = 23, ETXTBSY = 26, ENAMETOOLONG = 36, ELOOP = 40 };

/* By these words install and doctor know a launcher, of whatever version. */
__attribute__((used)) static const char mark[] = "rdma-cni launcher";

/* Copies words with the NUL that ends them, and returns where that is. */
static char *copy(char *to, const char *words) {
  while ((*to = *words++)) to++;
  return to;
}

/*
 * A text as it is put together: the error, or what is sent to the agent. A path can grow sixfold when it is quoted. The
 * kernel takes more than this in one packet (net.core.wmem_default is 208 KB).
 */
struct text {
  unsigned long length;
  char bytes[128 * 1024];
};

static void put(struct text *text, const char *words) {
  while (*words) text->bytes[text->length++] = *words++;
}

static void put_number(struct text *text, unsigned long number) {
  if (number > 9) put_number(text, number / 10);
  text->bytes[text->length++] = '0' + number % 10;
}

/* Returns whether all of it was written. */
static int write_all(int file, const char *bytes, unsigned long length) {
  while (length > 0) {
    long count = call(SYS_write, file, (long)bytes, length, 0, 0, 0);
    if (count == -EINTR) continue;
    if (count <= 0) return 0;
    bytes += count;
    length -= count;
  }
  return 1;
}

__attribute__((noreturn)) static void leave(int code) {
  for (;;) call(SYS_exit_group, code, 0, 0, 0, 0, 0);
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
__attribute__((noreturn)) static void fail(const char *task, const char *path, int number, const char *words, const char *details) {
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
  write_all(1, text.bytes, text.length);
  leave(1);
}

/*
 * Puts the name of the installed version behind a directory, as the link there has it. The kernel would follow the link
 * as well, but then ps and the kernel log would call the process "current". A link that leads elsewhere is left to it.
 */
static void put_version(char *path, char *end) {
  char version[NAME_MAX];
  copy(end, LINK);
  long length = call(SYS_readlinkat, AT_FDCWD, (long)path, (long)version, sizeof version, 0, 0);
  for (long i = 0; i < length; i++)
    if (version[i] == '/') return;
  for (long i = 0; i < length; i++) end[i] = version[i];
  if (length > 0) end[length] = 0;
}

/* uapi linux/un.h, linux/net.h, asm-generic/socket.h, linux/socket.h and linux/memfd.h. */
struct address {
  unsigned short family;
  char path[108];
};
struct time {
  long seconds, microseconds;
};
enum { AF_UNIX = 1, SOCK_SEQPACKET = 5, SOL_SOCKET = 1, SO_RCVTIMEO = 20, SO_SNDTIMEO = 21, MSG_NOSIGNAL = 0x4000,
       SOCK_CLOEXEC = 02000000, MFD_CLOEXEC = 1 };
enum { SIG_BLOCK = 0, SIGPIPE = 13 };

/* Seconds until the agent has the request, and from then on until its reply. */
#ifndef ACCEPT_TIME
#define ACCEPT_TIME 10
#endif
#ifndef REPLY_TIME
#define REPLY_TIME 290
#endif

/* More than the program takes from standard input (src/cni/stdio.ts). */
enum { INPUT_LIMIT = 4 * 1024 * 1024 };

/* The last of them. What is opened gets one's number when that is closed, and would be taken for it. */
enum { STANDARD_STREAMS = 2 };

static const char *value_of(const char *variable, const char *name) {
  while (*name && *variable == *name) variable++, name++;
  return *name ? 0 : variable;
}

static int is_same(const char *a, const char *b) {
  const char *rest = value_of(a, b);
  return rest && !*rest;
}

/* Whole, with the NUL that ends it; nothing of it when there is no room. */
static int put_item(struct text *text, const char *words) {
  unsigned long length = 0;
  while (words[length++]) {}
  if (length > sizeof text->bytes - text->length) return 0;
  copy(text->bytes + text->length, words);
  text->length += length;
  return 1;
}

/* The numbers by which the kernel knows what a path leads to, "0:0" when that is nothing. */
static void put_identity(struct text *text, const char *path) {
  unsigned long stat[32]; /* struct stat: device and inode first, on both architectures */
  if (!path || call(SYS_newfstatat, AT_FDCWD, (long)path, (long)stat, 0, 0, 0) < 0) stat[0] = stat[1] = 0;
  put_number(text, stat[0]);
  put(text, ":");
  put_number(text, stat[1]);
  text->bytes[text->length++] = 0;
}

/* The next bytes of standard input, 0 at its end. */
static long read_input(char *bytes, unsigned long room) {
  long count;
  do count = call(SYS_read, 0, (long)bytes, room, 0, 0, 0);
  while (count == -EINTR);
  return count;
}

/*
 * The length of the next packet, 0 at the end of the connection. The kernel looks for a packet before it looks for the end
 * (net/unix/af_unix.c, __unix_dgram_recvmsg). When both come in between it returns 0, and the packet is still there.
 */
static long receive(int file, char *bytes, unsigned long room, long seconds) {
  struct time time = {seconds, 0};
  call(SYS_setsockopt, file, SOL_SOCKET, SO_RCVTIMEO, (long)&time, sizeof time, 0);
  int ends = 0;
  long count;
  do count = call(SYS_recvfrom, file, (long)bytes, room, 0, 0, 0);
  while (count == -EINTR || (count == 0 && ends++ == 0));
  return count;
}

static int connect_to_agent(void) {
  static const struct address address = {AF_UNIX, SOCKET};
  struct time time = {ACCEPT_TIME, 0}; /* for a queue that is full */
  long file = call(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, 0, 0, 0);
  if (file < 0) return file;
  call(SYS_setsockopt, file, SOL_SOCKET, SO_SNDTIMEO, (long)&time, sizeof time, 0);
  long error = call(SYS_connect, file, (long)&address, sizeof address, 0, 0, 0);
  return error < 0 ? error : file;
}

/*
 * Prints the agent's reply, says so, and ends: exit code, log and a NUL, output. When it cannot be printed, or this
 * process ends before that, the agent sees the connection end and undoes what an ADD has done.
 */
__attribute__((noreturn)) static void print(int agent, const char *reply, unsigned long length) {
  unsigned long signals = 1ul << (SIGPIPE - 1);
  call(SYS_rt_sigprocmask, SIG_BLOCK, (long)&signals, 0, sizeof signals, 0, 0);
  unsigned long log = 1;
  while (log < length && reply[log]) log++;
  write_all(2, reply + 1, log - 1);
  unsigned long output = log < length ? log + 1 : length;
  if (!write_all(1, reply + output, length - output)) leave(1);
  call(SYS_sendto, agent, (long)"p", 1, MSG_NOSIGNAL, 0, 0);
  leave(reply[0]);
}

/*
 * Asks the agent, and prints its reply. The request is one packet: words, each with a NUL at its end, an empty one, and
 * standard input (src/agent/protocol.ts).
 *
 * Returns when the program has to do it: no agent, or one that declines, ends or takes too long. Then standard input is a
 * file with what it was, and whatever the agent has begun is begun again, which every call can be.
 */
static void ask_agent(const char *program, char **envp, int has_input) {
  if (call(SYS_faccessat, AT_FDCWD, (long)SOCKET, 0, 0, 0, 0) < 0) return;
  /* What is opened here would take the place of a standard stream that is closed, and be written to. */
  for (int stream = 0; stream < 3; stream++)
    if (call(SYS_fcntl, stream, F_GETFD, 0, 0, 0, 0) < 0) return;
  struct text request;
  request.length = 0;
  put_item(&request, "rdma-cni agent 1");
  put_item(&request, program);
  put_identity(&request, "/");
  put_identity(&request, "/proc/self/ns/net");
  const char *netns = 0;
  for (char **variable = envp; *variable && !netns; variable++) netns = value_of(*variable, "CNI_NETNS=");
  put_identity(&request, netns);
  for (char **variable = envp; *variable; variable++)
    if ((value_of(*variable, "CNI_") || value_of(*variable, "TRACEPARENT=")) && !put_item(&request, *variable)) return;
  if (!put_item(&request, "")) return;

  int file = -1;
  char *input = request.bytes + request.length;
  long room = sizeof request.bytes - request.length, length = 0, count = 0;
  if (has_input) {
    file = call(SYS_memfd_create, (long)"input", MFD_CLOEXEC, 0, 0, 0, 0);
    if (file <= STANDARD_STREAMS) return;
    while (length < room && (count = read_input(input + length, room - length)) > 0) length += count;
    if (count < 0 && length == 0) return; /* the program says why */
  }
  request.length += length;
  char reply[2 * sizeof request.bytes];
  int agent = count == 0 ? connect_to_agent() : -1;
  if (agent > STANDARD_STREAMS && call(SYS_sendto, agent, (long)request.bytes, request.length, MSG_NOSIGNAL, 0, 0) >= 0 &&
      receive(agent, reply, 1, ACCEPT_TIME) == 1 && *reply == 'a') {
    long received = receive(agent, reply, sizeof reply, REPLY_TIME);
    if (received > 0) print(agent, reply, received);
  }
  if (!has_input) return;
  for (long total = 0; length > 0 && total < INPUT_LIMIT; total += length, length = count) {
    if (!write_all(file, input, length)) fail("copy ", "standard input", ENOMEM, "", "the node has too little memory");
    count = count > 0 ? read_input(input, room) : 0;
  }
  call(SYS_lseek, file, 0, 0, 0, 0, 0);
  call(SYS_dup3, file, 0, 0, 0, 0, 0);
}

__attribute__((noreturn, used)) void launch(long *stack) {
  char **argv = (char **)(stack + 1);
  char **envp = argv + stack[0] + 1;
  char path[PATH_MAX + sizeof DIRECTORY + NAME_MAX];
  long length = call(SYS_readlinkat, AT_FDCWD, (long)"/proc/self/exe", (long)path, PATH_MAX, 0, 0);
  if (length < 0) fail("read ", "/proc/self/exe", -length, "", "rdma-cni needs /proc: mount it");

  /* What follows the last slash goes, " (deleted)" too, which the kernel appends when there is a newer launcher. */
  while (length > 0 && path[length - 1] != '/') length--;
  char *end = copy(path + length, DIRECTORY);

  long error = call(SYS_chdir, (long)"/", 0, 0, 0, 0, 0);
  if (error < 0) fail("change to ", "/", -error, "", "rdma-cni must be able to enter the root directory");

  const char *command = 0;
  for (char **variable = envp; *variable && !command; variable++) command = value_of(*variable, "CNI_COMMAND=");
  int is_check = stack[0] == 3 && is_same(argv[1], "agent") && is_same(argv[2], "--check");

  /* Once more when an installation removes that version at this moment, or looks whether it is running. */
  for (int tries = 0; tries < 2; tries++) {
    put_version(path, end);
    if (tries == 0 && command && *command) ask_agent(end, envp, !is_same(command, "VERSION"));
    else if (tries == 0 && is_check) ask_agent("", envp, 0);
    error = call(SYS_execve, (long)path, (long)argv, (long)envp, 0, 0, 0);
    if (error != -ENOENT && error != -ETXTBSY) break;
  }
  fail("run ", path, -error, errno_words(-error),
       "this launcher cannot install it again. Delete this node's pod of the DaemonSet, or reinstall the package "
       "(apt-get install --reinstall rdma-cni, dnf reinstall rdma-cni), or run a copy of the program as "
       "\\\"./rdma-cni install --cni-bin-dir DIR\\\", with the launcher's directory");
}
