# The same program as waiter_x86_64.s, which tells what it does. It is made by:
#   aarch64-linux-gnu-as waiter_aarch64.s -o waiter.o && aarch64-linux-gnu-objcopy -O binary waiter.o waiter
# System call numbers: include/uapi/asm-generic/unistd.h.
.set BASE, 0x400000
.set RT_SIGTIMEDWAIT, 137
.set EXECVE, 221
.set EXIT_GROUP, 94
.set EINTR, 4

file:
  .byte 0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0 // 64 bits, little-endian
  .short 2, 183                                // an executable for aarch64
  .long 1
  .quad BASE + start - file, programs - file, 0
  .long 0
  .short 64, 56, 2, 64, 0, 0
programs:
  .long 1, 5                                   // PT_LOAD the whole file, readable and executable
  .quad 0, BASE, BASE, end - file, end - file, 0x10000
  .long 0x6474e551, 6                          // PT_GNU_STACK, not executable
  .quad 0, 0, 0, 0, 0, 16
signals:
  .quad 1 << (15 - 1) | 1 << (2 - 1)           // SIGTERM and SIGINT
start:
  adr x0, signals
  mov x1, 0                                    // no siginfo_t
  mov x2, 0                                    // no time limit
  mov x3, 8
  mov x8, RT_SIGTIMEDWAIT
  svc 0
  cmn x0, EINTR
  b.eq start
  tbnz x0, 63, fail
  mov x0, 0
  ldr x9, [sp]                                 // argc; argv follows, a null pointer, then the environment
  cmp x9, 1
  b.ls exit
  ldr x0, [sp, 16]                             // argv[1]
  add x1, sp, 16                               // argv + 1
  add x2, x1, x9, lsl 3
  mov x8, EXECVE
  svc 0
fail:
  mov x0, 1
exit:
  mov x8, EXIT_GROUP
  svc 0
end:
