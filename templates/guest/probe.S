/* The program of the throw-away image that proves a Docker daemon: it answers every
 * connection on port 8080 with one line. Static, no libc, x86-64 Linux, a few hundred bytes.
 *
 *   as --64 -o probe.o probe.S && objcopy -O binary -j .text probe.o probe
 *
 * `probe` beside this file is the result; tests/unit/test_probe.py assembles it again. */
        .intel_syntax noprefix
        .text
        .globl _start
        .set    BASE, 0x400000
elf:    .byte   0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0
        .word   2, 62                           /* ET_EXEC, x86-64 */
        .long   1
        .quad   BASE + (_start - elf)           /* entry */
        .quad   segment - elf, 0
        .long   0
        .word   64, 56, 1, 0, 0, 0
segment:
        .long   1, 5                            /* PT_LOAD, read and execute */
        .quad   0, BASE, BASE
        .quad   end - elf, end - elf, 0x1000
_start:
        mov     edi, 2                          /* socket(AF_INET, SOCK_STREAM, 0) */
        mov     esi, 1
        xor     edx, edx
        mov     eax, 41
        syscall
        mov     ebx, eax
        mov     edi, ebx                        /* bind(fd, 0.0.0.0:8080, 16) */
        lea     rsi, [rip + address]
        mov     edx, 16
        mov     eax, 49
        syscall
        test    eax, eax
        jnz     fail
        mov     edi, ebx                        /* listen(fd, 8) */
        mov     esi, 8
        mov     eax, 50
        syscall
next:   mov     edi, ebx                        /* accept(fd, NULL, NULL) */
        xor     esi, esi
        xor     edx, edx
        mov     eax, 43
        syscall
        test    eax, eax
        js      fail
        mov     r12d, eax
        mov     edi, r12d                       /* write(connection, line) */
        lea     rsi, [rip + line]
        mov     edx, end - line
        mov     eax, 1
        syscall
        mov     edi, r12d                       /* close(connection) */
        mov     eax, 3
        syscall
        jmp     next
fail:   mov     edi, 1                          /* exit(1) */
        mov     eax, 60
        syscall
address:
        .word   2                               /* AF_INET */
        .byte   0x1f, 0x90                      /* port 8080 */
        .long   0
        .quad   0
line:   .ascii  "phoenix-harden\n"
end:
