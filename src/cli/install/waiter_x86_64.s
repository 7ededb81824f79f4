# The program that stays when "install --wait" has done its work: waits for SIGTERM or SIGINT, which have to be
# blocked already, then runs the program named by its first argument with the arguments that follow, or ends
# with code 0 without one. It is a whole ELF file, made by:
#   as waiter_x86_64.s -o waiter.o && objcopy -O binary waiter.o waiter
# System call numbers: arch/x86/entry/syscalls/syscall_64.tbl.
.set BASE, 0x400000
.set RT_SIGTIMEDWAIT, 128
.set EXECVE, 59
.set EXIT_GROUP, 231
.set EINTR, 4

file:
  .byte 0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0 # 64 bits, little-endian
  .short 2, 62                                 # an executable for x86_64
  .long 1
  .quad BASE + start - file, programs - file, 0
  .long 0
  .short 64, 56, 2, 64, 0, 0
programs:
  .long 1, 5                                   # PT_LOAD the whole file, readable and executable
  .quad 0, BASE, BASE, end - file, end - file, 0x1000
  .long 0x6474e551, 6                          # PT_GNU_STACK, not executable
  .quad 0, 0, 0, 0, 0, 16
signals:
  .quad 1 << (15 - 1) | 1 << (2 - 1)           # SIGTERM and SIGINT
start:
  lea signals(%rip), %rdi
  xor %esi, %esi                               # no siginfo_t
  xor %edx, %edx                               # no time limit
  mov $8, %r10d
  mov $RT_SIGTIMEDWAIT, %eax
  syscall
  cmp $-EINTR, %eax
  je start
  test %eax, %eax
  js fail
  xor %edi, %edi
  mov (%rsp), %rax                             # argc; argv follows, a null pointer, then the environment
  cmp $1, %rax
  jbe exit
  mov 16(%rsp), %rdi                           # argv[1]
  lea 16(%rsp), %rsi                           # argv + 1
  lea 16(%rsp,%rax,8), %rdx
  mov $EXECVE, %eax
  syscall
fail:
  mov $1, %edi
exit:
  mov $EXIT_GROUP, %eax
  syscall
end:
